/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The way from intake to learner: a private SPSC queue of joined events, each with its embedding,
 * and two positions in the stream of events, by which a client is freed only after what it said is
 * in the statistics.
 */
#ifndef SONA_SIDECAR_JOINED_H
#define SONA_SIDECAR_JOINED_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <sona/model.h>

#include "shm/ring.h"
#include "sidecar/wake.h"

/* One joined event; the embedding follows. */
struct sona_sidecar_joined {
    alignas(64) uint64_t id;
    uint64_t version, now_ms;
    sona_route route;
    float quality, propensity;
    uint32_t kind; /* enum sona_learner_kind */
    uint32_t tenant;
};
static_assert(sizeof(struct sona_sidecar_joined) == 64, "the embedding is aligned");

static inline float *sona_sidecar_joined_x(struct sona_sidecar_joined *joined)
{
    return (float *)(void *)(joined + 1);
}

#define SONA_SIDECAR_QUEUE_BYTES                                               \
    (8u << 20) /* about; never fewer than 64 or more than queue_capacity slots \
                */

struct sona_sidecar_stream {
    struct sona_shm_queue *queue;
    struct sona_sidecar_wake wake; /* of the learner */
    _Atomic bool finished;         /* intake, release: nothing follows; the learner: acquire */
    _Atomic uint64_t
        shown; /* learner, release: events in the version that is shown; intake: acquire */
};

#endif
