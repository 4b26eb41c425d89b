/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The intake thread: drains every lane, judges each record's copy, joins decisions with their
 * outcomes, and hands what is joined to the learner. It never learns, publishes or waits for
 * either: when the learner's queue is full it stops draining, the rings fill, and the clients count
 * drops.
 */
#ifndef SONA_SIDECAR_INTAKE_H
#define SONA_SIDECAR_INTAKE_H

#include <stdint.h>

#include <sona/config.h>
#include <sona/error.h>

#include "engine/model/model.h"
#include "sidecar/join.h"
#include "sidecar/attachment.h"
#include "sidecar/figures.h"
#include "sidecar/hearing.h"
#include "sidecar/joined.h"
#include "sidecar/ledger.h"
#include "sidecar/ration.h"
#include "sidecar/tally.h"
#include "sidecar/version.h"

#define SONA_SIDECAR_IDLE_CAP_US 1000u

struct sona_sidecar_intake_options {
    const sona_config *config;
    const struct sona_model_layout *layout;
    uint32_t record_stride;
    uint32_t idle_cap_us;
    struct sona_sidecar_hearing hearing;
    const char *arena_path; /* null: what waits for an outcome ends with the process */
    uint64_t journal;       /* sona_store_identity(); 0: none */
    uint64_t taken;         /* events that the learner has, over all starts */
    struct sona_sidecar_ration_options ration;
    struct sona_sidecar_stream *stream;
    struct sona_sidecar_ledger *ledger;
    const struct sona_sidecar_versions *versions;
    int gone_fd; /* eventfd: written when a letter lies in the outbox */
};

struct sona_sidecar_intake;

sona_err sona_sidecar_intake_create(struct sona_sidecar_intake **ret,
                                    const struct sona_sidecar_intake_options *options,
                                    sona_diag *reterr);
/* Know what the last process's intake knew; the learner, which runs, gets what it has not. Once,
 * before the start, and before any lane is handed back. */
void sona_sidecar_intake_recall(struct sona_sidecar_intake *intake);
sona_err sona_sidecar_intake_start(struct sona_sidecar_intake *intake, sona_diag *reterr);
/* Hand over an attachment (ATTACHED), say that its client is gone (ENDED), or ask for a flush
 * (FLUSH, null). From control. */
void sona_sidecar_intake_tell(struct sona_sidecar_intake *intake,
                              enum sona_sidecar_letter_kind kind,
                              struct sona_sidecar_attachment *attachment);
/* An attachment that is drained and learned; null: none now. From control. */
struct sona_sidecar_attachment *sona_sidecar_intake_gone(struct sona_sidecar_intake *intake);
/* Drain what is committed, tell the learner that nothing follows, end the thread. */
void sona_sidecar_intake_stop(struct sona_sidecar_intake *intake);
void sona_sidecar_intake_destroy(struct sona_sidecar_intake **intake);

const struct sona_sidecar_intake_figures *
sona_sidecar_intake_figures(const struct sona_sidecar_intake *intake);
/* Bytes of its tables; and those that one for `config` will have. */
uint64_t sona_sidecar_intake_bytes(const struct sona_sidecar_intake *intake);
uint64_t sona_sidecar_intake_bytes_of(const sona_config *config,
                                      const struct sona_model_layout *layout);

#endif
