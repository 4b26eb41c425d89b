/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The learner of a sidecar and its background job: everything that changes them goes through here,
 * whether it happens now or is done again at a start. No thread, no clock, no file.
 */
#ifndef SONA_SIDECAR_CORE_H
#define SONA_SIDECAR_CORE_H

#include <stdbool.h>
#include <stdint.h>

#include <sona/engine.h>

#include "engine/learner/learner.h"
#include "sidecar/joined.h"

struct sona_sidecar_core {
    const sona_config *config;
    const struct sona_model_layout *layout;
    struct sona_learner *learner;
    struct sona_learner_job *job;
    uint64_t bytes; /* of both */
    bool running;   /* a cycle was started and is not installed */
};

/* Allocate both; no route is declared. */
sona_err sona_sidecar_core_init(struct sona_sidecar_core *ret, const sona_config *config,
                                const struct sona_model_layout *layout, sona_diag *reterr);
void sona_sidecar_core_done(struct sona_sidecar_core *core);

/* Whether a route of this name is there, or was. */
bool sona_sidecar_core_knows(const struct sona_sidecar_core *core, const char *route);
/* Learn from a joined event. What sona_learner_learn() says; a refusal is counted. */
sona_err sona_sidecar_core_learn(struct sona_sidecar_core *core,
                                 struct sona_sidecar_joined *joined);
/* Start a cycle: false, there is nothing to run one for. Then run the job, on any thread, and
 * install it. */
bool sona_sidecar_core_cycle_start(struct sona_sidecar_core *core, uint64_t now_ms);
void sona_sidecar_core_cycle_install(struct sona_sidecar_core *core, sona_cycle_report *ret);

/* Bytes that a copy of the state needs at present, and the copy; no cycle is running. The copy is
 * sealed (sona_state_seal) before it is kept. */
size_t sona_sidecar_core_save_bytes(const struct sona_sidecar_core *core);
bool sona_sidecar_core_save(const struct sona_sidecar_core *core, void *buffer, size_t bytes);
sona_err sona_sidecar_core_load(struct sona_sidecar_core *core, const void *bytes, size_t n,
                                sona_diag *reterr);

#endif
