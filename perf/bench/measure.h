/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Measuring one thing beside others. Time on a shared machine drifts: clock rate, caches and
 * neighbours change within seconds. So what is compared is run in turns, a short block of each in
 * every round, and compared within the round; a ratio is the median over rounds, with the interval
 * that 95 of 100 such medians fall into whatever the distribution (order statistics).
 *
 *     warm up, find how many calls fill a block
 *     round 1   A A A A  B B B B        ratio a1/b1
 *     round 2   B B B B  A A A A        ratio a2/b2
 *     ...                               until the budget is spent
 *
 * Percentiles are of the mean time of a call in a block; where a block is one call, of calls.
 */
#ifndef SONA_PERF_BENCH_MEASURE_H
#define SONA_PERF_BENCH_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

#include "perf/bench/histogram.h"

#define SONA_BENCH_SIDES_MAX 4u

/* One of the things that are compared. */
struct sona_bench_side {
    const char *what;
    void (*run)(void *self, uint32_t n); /* the operation, n times */
    void *self;
    void (*before)(void *self, uint32_t n); /* not timed, before each block of n; may be null */
    uint32_t block;                         /* calls in a block; 0: as many as fill it */
    uint32_t block_max;                     /* 0: any number */
    bool cpu; /* by the thread's own clock: for what takes longer than one is left alone */
};

/* How long, and in which pieces. */
struct sona_bench_budget {
    uint64_t total_ns; /* of a comparison */
    uint64_t block_ns;
    uint32_t rounds_min, rounds_max; /* rounds_min is kept even beyond the total */
};

/* What one side took, in picoseconds a call; and how side 0 compares with it. */
struct sona_bench_measured {
    struct sona_bench_histogram ps;
    uint32_t block;
    double ratio, low, high; /* of side 0 to this one: median, 95 % interval */
};

/* Run all sides in turns. False: no memory. */
bool sona_bench_measure(const struct sona_bench_side *sides, uint32_t n_sides,
                        const struct sona_bench_budget *budget, struct sona_bench_measured *ret);

/* Median of n numbers, which are put in order, and its 95 % interval. */
double sona_bench_median(double *values, uint32_t n, double *ret_low, double *ret_high);

/* Keep this thread on one processor, or let it go again. False where that is not allowed. */
bool sona_bench_pin(bool pinned);

#endif
