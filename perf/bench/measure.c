/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "perf/bench/measure.h"

#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#define BLOCK_CALLS_MAX (1u << 22)

static uint64_t now(bool cpu)
{
    struct timespec t;

    (void)clock_gettime(cpu ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#define RETRIES     8u   /* of what seems to fill a block */
#define LONG_BLOCKS 100u /* so many times too long: it is so */

/* Nanoseconds of one block of n calls. */
static uint64_t block_of(const struct sona_bench_side *side, uint32_t n)
{
    uint64_t start;

    if (side->before)
        side->before(side->self, n);
    start = now(side->cpu);
    side->run(side->self, n);
    return now(side->cpu) - start;
}

/* Calls that fill a block; finding out warms up. */
static uint32_t calls_of(const struct sona_bench_side *side, uint64_t block_ns)
{
    uint32_t limit = side->block_max ? side->block_max : BLOCK_CALLS_MAX, n = 1;

    if (side->block > 0) {
        (void)block_of(side, side->block);
        return side->block;
    }
    for (;;) {
        uint64_t ns = block_of(side, n);

        if (ns >= block_ns / 2) {
            /* Again: the first ones meet cold caches, pages without memory and busy neighbours. A
             * block of one such call would be measured with all of them. */
            uint64_t least = ns, calls;

            for (uint32_t i = 0; i < RETRIES && least < LONG_BLOCKS * block_ns; i++) {
                uint64_t again = block_of(side, n);

                least = again < least ? again : least;
            }
            calls = block_ns * n / (least > 0 ? least : 1);

            if (least >= block_ns / 2 || n >= limit)
                return calls < 1 ? 1 : calls > limit ? limit : (uint32_t)calls;
        }
        if (n >= limit)
            return limit;
        n = n < limit / 2 ? 2 * n : limit;
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double sona_bench_median(double *values, uint32_t n, double *ret_low, double *ret_high)
{
    double spread = 0.98 * sqrt(n); /* 1.96 standard deviations of a rank: sqrt(n) / 2 each */
    double low = floor(n / 2.0 - spread), high = ceil(n / 2.0 + spread);

    *ret_low = *ret_high = (double)NAN;
    if (n == 0)
        return (double)NAN;
    qsort(values, n, sizeof *values, by_value);
    *ret_low = values[low < 0 ? 0 : (uint32_t)low];
    *ret_high = values[high > n - 1.0 ? n - 1 : (uint32_t)high];
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* One block of each side, every other round in the other order; keeps the ratios to side 0. */
static void round_of(const struct sona_bench_side *sides, uint32_t n_sides, uint32_t round,
                     double *ratio, uint32_t rounds_max, struct sona_bench_measured *ret)
{
    double ps[SONA_BENCH_SIDES_MAX];

    for (uint32_t turn = 0; turn < n_sides; turn++) {
        uint32_t i = round % 2 ? n_sides - 1 - turn : turn;

        ps[i] = 1000.0 * (double)block_of(&sides[i], ret[i].block) / ret[i].block;
        sona_bench_histogram_add(&ret[i].ps, (uint64_t)(ps[i] + 0.5));
    }
    for (uint32_t i = 0; i < n_sides; i++)
        ratio[(uint64_t)i * rounds_max + round] = ps[i] > 0 ? ps[0] / ps[i] : 1;
}

bool sona_bench_measure(const struct sona_bench_side *sides, uint32_t n_sides,
                        const struct sona_bench_budget *budget, struct sona_bench_measured *ret)
{
    double *ratio = malloc((size_t)n_sides * budget->rounds_max * sizeof *ratio);
    uint32_t rounds = 0;
    uint64_t begin;

    if (ratio == NULL)
        return false;
    for (uint32_t i = 0; i < n_sides; i++) {
        sona_bench_histogram_clear(&ret[i].ps);
        ret[i].block = calls_of(&sides[i], budget->block_ns);
    }
    begin = now(false);
    while (rounds < budget->rounds_max &&
           (rounds < budget->rounds_min || now(false) - begin < budget->total_ns)) {
        round_of(sides, n_sides, rounds, ratio, budget->rounds_max, ret);
        rounds++;
    }
    for (uint32_t i = 0; i < n_sides; i++)
        ret[i].ratio = sona_bench_median(ratio + (size_t)i * budget->rounds_max, rounds,
                                         &ret[i].low, &ret[i].high);
    free(ratio);
    return true;
}

bool sona_bench_pin(bool pinned)
{
    static cpu_set_t before;
    static bool kept;
    cpu_set_t one;
    int cpu = sched_getcpu();

    if (!kept)
        kept = sched_getaffinity(0, sizeof before, &before) == 0;
    if (!kept || cpu < 0)
        return false;
    if (!pinned)
        return sched_setaffinity(0, sizeof before, &before) == 0;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return sched_setaffinity(0, sizeof one, &one) == 0;
}
