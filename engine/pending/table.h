/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The tables behind pending.h, for the join itself and for storing them. */
#ifndef SONA_ENGINE_PENDING_TABLE_H
#define SONA_ENGINE_PENDING_TABLE_H

#include "engine/pending/nodes.h"
#include "engine/pending/pending.h"
#include "engine/pending/pool.h"

enum sona_pending_fate { SONA_PENDING_TOLD, SONA_PENDING_EXPIRED, SONA_PENDING_REVOKED };

struct sona_pending_settled {
    uint64_t owner;
    uint64_t begun_ms;
    enum sona_pending_fate fate;
    float quality; /* as told last */
};

struct sona_pending_parked {
    uint64_t owner;
    uint64_t since_ms;
    float quality;
    uint32_t latency_us;
    bool revoke; /* not an outcome: what takes it back */
};

struct sona_pending {
    uint32_t dim_padded;
    uint32_t max_steps;
    uint64_t window_ms;
    float default_quality; /* negative: none */

    struct sona_pending_pool waiting_pool, settled_pool, parked_pool;
    struct sona_pending_entry *waiting;
    struct sona_pending_settled *settled;
    struct sona_pending_parked *parked;
    float *vectors;                 /* dim_padded floats per waiting entry */
    struct sona_pending_sums *sums; /* null: none are kept */
    struct sona_pending_nodes nodes;

    uint64_t counter[SONA_COUNTER_COUNT];
};

#endif
