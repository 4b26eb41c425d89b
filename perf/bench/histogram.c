/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "perf/bench/histogram.h"

#include <math.h>
#include <string.h>

#define SUBS (1u << SONA_BENCH_SUB_BITS)

void sona_bench_histogram_clear(struct sona_bench_histogram *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->least = UINT64_MAX;
}

uint32_t sona_bench_histogram_bucket(uint64_t value)
{
    if (value < 2 * SUBS)
        return (uint32_t)value;
    /* Shifted so that SUB_BITS + 1 bits are left: SUBS .. 2 SUBS - 1. */
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(value) - SONA_BENCH_SUB_BITS;

    return shift * SUBS + (uint32_t)(value >> shift);
}

uint64_t sona_bench_histogram_start(uint32_t bucket)
{
    if (bucket < 2 * SUBS)
        return bucket;
    uint32_t shift = bucket / SUBS - 1;

    return (uint64_t)(bucket - shift * SUBS) << shift;
}

void sona_bench_histogram_add(struct sona_bench_histogram *h, uint64_t value)
{
    h->bucket[sona_bench_histogram_bucket(value)]++;
    h->count++;
    h->sum += (double)value;
    h->least = value < h->least ? value : h->least;
    h->greatest = value > h->greatest ? value : h->greatest;
}

void sona_bench_histogram_merge(struct sona_bench_histogram *to,
                                const struct sona_bench_histogram *from)
{
    for (uint32_t i = 0; i < SONA_BENCH_BUCKETS; i++)
        to->bucket[i] += from->bucket[i];
    to->count += from->count;
    to->sum += from->sum;
    to->least = from->least < to->least ? from->least : to->least;
    to->greatest = from->greatest > to->greatest ? from->greatest : to->greatest;
}

/* The middle of the whole numbers that fall into a bucket. */
static double middle(uint32_t bucket)
{
    double start = (double)sona_bench_histogram_start(bucket);

    if (bucket < 2 * SUBS)
        return start;
    return start + ((double)(1ull << (bucket / SUBS - 1)) - 1) / 2;
}

double sona_bench_histogram_percentile(const struct sona_bench_histogram *h, double p)
{
    double rank = ceil(p * (double)h->count), seen = 0;

    if (h->count == 0)
        return (double)NAN;
    if (p <= 0)
        return (double)h->least;
    if (rank >= (double)h->count)
        return (double)h->greatest;
    for (uint32_t i = 0; i < SONA_BENCH_BUCKETS; i++) {
        seen += (double)h->bucket[i];
        if (seen >= rank)
            return fmin(fmax(middle(i), (double)h->least), (double)h->greatest);
    }
    return (double)h->greatest;
}

double sona_bench_histogram_mean(const struct sona_bench_histogram *h)
{
    return h->count > 0 ? h->sum / (double)h->count : (double)NAN;
}
