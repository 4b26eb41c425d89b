/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The learner thread: owns the learner and what is published of it (publication.h). It takes joined
 * events, learns, starts and installs background cycles and applies commands, one at a time,
 * between two events.
 */
#ifndef SONA_SIDECAR_LEARNER_H
#define SONA_SIDECAR_LEARNER_H

#include <stdbool.h>
#include <stdint.h>

#include <sona/config.h>
#include <sona/error.h>
#include <sona/model.h>

#include "engine/model/model.h"
#include "shm/publisher.h"
#include "sidecar/command.h"
#include "sidecar/histogram.h"
#include "sidecar/joined.h"
#include "sidecar/tally.h"
#include "sidecar/version.h"

struct sona_store;
struct sona_sidecar_clients;
struct sona_sidecar_instance;

struct sona_sidecar_learner_options {
    const sona_config *config;
    const struct sona_model_layout *layout;
    const sona_route_spec *routes;
    uint32_t n_routes;
    bool background_inline;   /* cycles run here, at the event where they are due */
    struct sona_store *store; /* null: what is learned ends with the process */
    bool check;               /* nothing of this start is written to it */
    const struct sona_sidecar_instance *instance;
    struct sona_sidecar_clients *clients; /* for a check */
    bool learn_durable;                   /* nothing is learned before it is on the disk */
    struct sona_shm_publisher *publisher;
    struct sona_sidecar_stream *stream;
    struct sona_sidecar_versions *versions;
    struct sona_sidecar_commands *asked;
};

struct sona_sidecar_learner;

/* Make the learner as the store remembers it, declare the routes that are new, publish and show the
 * first pair. */
sona_err sona_sidecar_learner_create(struct sona_sidecar_learner **ret,
                                     const struct sona_sidecar_learner_options *options,
                                     sona_diag *reterr);
sona_err sona_sidecar_learner_start(struct sona_sidecar_learner *learner, sona_diag *reterr);
/* Wait for the thread, which ends when the stream is finished and learned; the last pair is
 * published and the last version shown. */
void sona_sidecar_learner_join(struct sona_sidecar_learner *learner);
void sona_sidecar_learner_destroy(struct sona_sidecar_learner **learner);

/* Events that learners of this store have taken, over all starts: the number of the next. Before
 * the thread is started. */
uint64_t sona_sidecar_learner_events(const struct sona_sidecar_learner *learner);
/* Records done again at the start. Any thread. */
uint64_t sona_sidecar_learner_replayed(const struct sona_sidecar_learner *learner);
/* What an event took to learn, and a snapshot to publish. Any thread. */
const struct sona_sidecar_histogram *
sona_sidecar_learner_learn_times(const struct sona_sidecar_learner *learner);
const struct sona_sidecar_histogram *
sona_sidecar_learner_publish_times(const struct sona_sidecar_learner *learner);
/* Publications refused because a weight was not finite. Any thread. */
uint64_t sona_sidecar_learner_refused(const struct sona_sidecar_learner *learner);

#endif
