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

#include <sona/config.h>
#include <sona/model.h>

#include "engine/learner/learner.h"
#include "shm/ring.h"
#include "sidecar/wake.h"

/* One joined event; two vectors of dim_padded floats follow: the embedding, and for
 * SONA_LEARNER_STEPS the second sum. */
struct sona_sidecar_joined {
    alignas(64) uint64_t id;
    uint64_t version, now_ms;
    sona_route route;
    float quality, propensity;
    uint32_t kind; /* enum sona_learner_kind */
    uint32_t tenant;
    uint16_t type;       /* sona_pattern_type of its contexts */
    uint16_t unrecorded; /* of a decision's query and outcome: as in its record */
    uint32_t layer;      /* STEPS: BaseLoRA layer; HIT: pattern row */
    float credit;        /* STEPS */
    uint32_t uid;        /* who said it */
};
static_assert(sizeof(struct sona_sidecar_joined) == 64, "the embedding is aligned");

static inline float *sona_sidecar_joined_x(struct sona_sidecar_joined *joined)
{
    return (float *)(void *)(joined + 1);
}

static inline float *sona_sidecar_joined_base(struct sona_sidecar_joined *joined,
                                              uint32_t dim_padded)
{
    return sona_sidecar_joined_x(joined) + dim_padded;
}

/* Vectors that an event of this kind brings; what else lies behind it is of an older one. */
static inline uint32_t sona_sidecar_joined_vectors(uint32_t kind)
{
    switch ((enum sona_learner_kind)kind) {
    case SONA_LEARNER_OUTCOME:
    case SONA_LEARNER_QUERY:
    case SONA_LEARNER_QUERY_OUTCOME:
    case SONA_LEARNER_GRADIENT:
        return 1;
    case SONA_LEARNER_STEPS:
        return 2;
    case SONA_LEARNER_REVOKE:
    case SONA_LEARNER_REPLACE:
    case SONA_LEARNER_HIT:
    case SONA_LEARNER_BASELINE:
    case SONA_LEARNER_KINDS:
        break;
    }
    return 0;
}

#define SONA_SIDECAR_QUEUE_BYTES                                               \
    (8u << 20) /* about; never fewer than 64 or more than queue_capacity slots \
                */

/* Slots of the queue that `capacity` and that bound leave: a power of two. */
static inline uint32_t sona_sidecar_queue_slots(uint32_t capacity, uint32_t stride)
{
    uint32_t slots = 64;

    while (2 * slots <= capacity && 2 * slots * stride <= SONA_SIDECAR_QUEUE_BYTES)
        slots *= 2;
    return slots;
}

static inline uint32_t sona_sidecar_joined_stride(uint32_t dim_padded)
{
    return (uint32_t)(sizeof(struct sona_sidecar_joined) + 2 * dim_padded * sizeof(float));
}

static inline size_t sona_sidecar_queue_bytes(const sona_config *config, uint32_t dim_padded)
{
    uint32_t stride = sona_sidecar_joined_stride(dim_padded);

    return sona_shm_queue_bytes(sona_sidecar_queue_slots(config->queue_capacity, stride), stride);
}

struct sona_sidecar_stream {
    struct sona_shm_queue *queue;
    struct sona_sidecar_wake wake; /* of the learner */
    _Atomic bool finished;         /* intake, release: nothing follows; the learner: acquire */
    /* What a flush waits for. The intake stores the position, relaxed, then the count, release; the
     * learner loads the count, acquire, then the position. */
    _Atomic uint64_t flush_handed; /* events handed over when the last flush was drained */
    _Atomic uint64_t flushed;      /* flushes drained */
    _Atomic uint64_t kept;         /* events in the journal; learner, release; intake, acquire */
    _Atomic uint64_t
        shown; /* learner, release: events in the version that is shown; intake: acquire */
};

#endif
