/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Counters of one thread that others may read: by name (sona_counter), one writer each. Relaxed:
 * a reader wants numbers, not an order between them; where order matters (an attachment is counted
 * as reclaimed after its events were learned) another word carries it.
 */
#ifndef SONA_SIDECAR_TALLY_H
#define SONA_SIDECAR_TALLY_H

#include <stdatomic.h>
#include <stdint.h>

#include <sona/stats.h>

struct sona_sidecar_tally {
    _Atomic uint64_t counter[SONA_COUNTER_COUNT];
};

/* The writer alone: no read-modify-write is needed. */
static inline void sona_sidecar_tally_set(struct sona_sidecar_tally *tally, sona_counter counter,
                                          uint64_t value)
{
    atomic_store_explicit(&tally->counter[counter], value, memory_order_relaxed);
}

static inline void sona_sidecar_tally_add(struct sona_sidecar_tally *tally, sona_counter counter,
                                          uint64_t n)
{
    uint64_t now = atomic_load_explicit(&tally->counter[counter], memory_order_relaxed);

    atomic_store_explicit(&tally->counter[counter], now + n, memory_order_relaxed);
}

/* Add every counter to `stats`. Any thread. */
static inline void sona_sidecar_tally_sum(const struct sona_sidecar_tally *tally, sona_stats *stats)
{
    for (int c = 0; c < SONA_COUNTER_COUNT; c++)
        stats->counter[c] += atomic_load_explicit(&tally->counter[c], memory_order_relaxed);
}

#endif
