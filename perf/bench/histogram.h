/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Counts of whole numbers in a log-linear histogram: values below 256 have a bucket each; above,
 * every power of two is cut into 128 buckets of equal width, so that a percentile is never off by
 * more than 1/256 of itself. Count, sum, least and greatest are exact. Memory is touched at
 * start: adding a value is a handful of instructions and one store.
 *
 *     value    0 ... 255 | 256 ... 511 | 512 ... 1023 | ...     to 2^64 - 1
 *     width        1     |      2      |      4       | ...
 */
#ifndef SONA_PERF_BENCH_HISTOGRAM_H
#define SONA_PERF_BENCH_HISTOGRAM_H

#include <stdint.h>

#define SONA_BENCH_SUB_BITS 7u
#define SONA_BENCH_BUCKETS  ((64u - SONA_BENCH_SUB_BITS + 1u) << SONA_BENCH_SUB_BITS)

struct sona_bench_histogram {
    uint64_t count, least, greatest;
    double sum;
    uint64_t bucket[SONA_BENCH_BUCKETS];
};

void sona_bench_histogram_clear(struct sona_bench_histogram *ret);
void sona_bench_histogram_add(struct sona_bench_histogram *h, uint64_t value);
/* Everything that `from` counted, too. */
void sona_bench_histogram_merge(struct sona_bench_histogram *to,
                                const struct sona_bench_histogram *from);
/* The value that a share p (0..1) of all does not exceed: the middle of its bucket, within what was
 * seen; p 0: the least, p 1: the greatest. NaN when nothing was counted. */
double sona_bench_histogram_percentile(const struct sona_bench_histogram *h, double p);
double sona_bench_histogram_mean(const struct sona_bench_histogram *h);

/* The bucket of a value, and the least value of a bucket. */
uint32_t sona_bench_histogram_bucket(uint64_t value);
uint64_t sona_bench_histogram_start(uint32_t bucket);

#endif
