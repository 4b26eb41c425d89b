/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * How long something took, in buckets of 1, 2 and 5 in each decade from a microsecond to a second:
 * one writer, any reader. Relaxed throughout: figures for people. A reader sums the buckets itself,
 * so that what it calls the count always agrees with them.
 */
#ifndef SONA_SIDECAR_HISTOGRAM_H
#define SONA_SIDECAR_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

/* X(nanoseconds, the same in seconds as OpenMetrics writes it). */
#define SONA_SIDECAR_HISTOGRAM_BOUNDS(X) \
    X(1000, "1e-06")                     \
    X(2000, "2e-06")                     \
    X(5000, "5e-06")                     \
    X(10000, "1e-05")                    \
    X(20000, "2e-05")                    \
    X(50000, "5e-05")                    \
    X(100000, "0.0001")                  \
    X(200000, "0.0002")                  \
    X(500000, "0.0005")                  \
    X(1000000, "0.001")                  \
    X(2000000, "0.002")                  \
    X(5000000, "0.005")                  \
    X(10000000, "0.01")                  \
    X(20000000, "0.02")                  \
    X(50000000, "0.05")                  \
    X(100000000, "0.1")                  \
    X(200000000, "0.2")                  \
    X(500000000, "0.5")                  \
    X(1000000000, "1.0")

enum {
#define SONA_SIDECAR_HISTOGRAM_COUNT(ns, text) SONA_SIDECAR_HISTOGRAM_##ns,
    SONA_SIDECAR_HISTOGRAM_BOUNDS(SONA_SIDECAR_HISTOGRAM_COUNT)
#undef SONA_SIDECAR_HISTOGRAM_COUNT
        SONA_SIDECAR_BUCKETS /* and one more, for what took longer */
};

struct sona_sidecar_histogram {
    _Atomic uint64_t bucket[SONA_SIDECAR_BUCKETS + 1];
    _Atomic uint64_t sum_ns;
};

/* The writer alone: no read-modify-write is needed. */
static inline void sona_sidecar_histogram_grow(_Atomic uint64_t *word, uint64_t n)
{
    uint64_t now = atomic_load_explicit(word, memory_order_relaxed);

    atomic_store_explicit(word, now + n, memory_order_relaxed);
}

/* `n` times took `ns` together: each counts with their mean. */
static inline void sona_sidecar_histogram_add(struct sona_sidecar_histogram *h, uint64_t n,
                                              uint64_t ns)
{
    static const uint64_t bound[] = {
#define SONA_SIDECAR_HISTOGRAM_NS(ns, text) (ns),
        SONA_SIDECAR_HISTOGRAM_BOUNDS(SONA_SIDECAR_HISTOGRAM_NS)
#undef SONA_SIDECAR_HISTOGRAM_NS
    };
    uint32_t k = 0;

    if (n == 0)
        return;
    while (k < SONA_SIDECAR_BUCKETS && ns / n > bound[k])
        k++;
    sona_sidecar_histogram_grow(&h->bucket[k], n);
    sona_sidecar_histogram_grow(&h->sum_ns, ns);
}

#endif
