/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The histogram is exact where it says so, and everywhere else within its promise, held against all
 * values put in order. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "perf/bench/histogram.h"
#include "tools/random.h"

#define VALUES 20000u

static struct sona_bench_histogram histogram, other;

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

Test(histogram, every_value_lies_in_its_bucket_and_buckets_follow_one_another)
{
    for (uint32_t b = 1; b < SONA_BENCH_BUCKETS; b++) {
        uint64_t start = sona_bench_histogram_start(b);

        cr_assert(gt(u64, start, sona_bench_histogram_start(b - 1)), "bucket %u", b);
        cr_assert(eq(u32, sona_bench_histogram_bucket(start), b));
        cr_assert(eq(u32, sona_bench_histogram_bucket(start - 1), b - 1));
    }
    cr_assert(eq(u32, sona_bench_histogram_bucket(0), 0));
    cr_assert(eq(u32, sona_bench_histogram_bucket(UINT64_MAX), SONA_BENCH_BUCKETS - 1));
}

Test(histogram, percentiles_are_those_of_the_ordered_values_within_a_256th)
{
    static uint64_t values[VALUES];
    const double p[] = {0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1};
    uint64_t seed = (uint64_t)time(NULL);
    struct sona_tools_random random = sona_tools_random_init(seed, 1);

    sona_bench_histogram_clear(&histogram);
    for (uint32_t i = 0; i < VALUES; i++) {
        /* Of every size: a number of random length in bits. */
        values[i] = sona_tools_random_next(&random) >> sona_tools_random_below(&random, 60);
        sona_bench_histogram_add(&histogram, values[i]);
    }
    qsort(values, VALUES, sizeof *values, by_value);
    for (size_t i = 0; i < sizeof p / sizeof *p; i++) {
        double rank = ceil(p[i] * VALUES);
        double exact = (double)values[rank < 1 ? 0 : (uint32_t)rank - 1];
        double got = sona_bench_histogram_percentile(&histogram, p[i]);

        cr_assert(le(dbl, fabs(got - exact), exact / 256), "seed %llu: p%g is %g, not %g",
                  (unsigned long long)seed, p[i], got, exact);
    }
    cr_assert(eq(u64, histogram.least, values[0]));
    cr_assert(eq(u64, histogram.greatest, values[VALUES - 1]));
}

Test(histogram, small_values_are_kept_exactly)
{
    sona_bench_histogram_clear(&histogram);
    for (uint64_t v = 0; v < 256; v++)
        for (uint64_t n = 0; n <= v; n++)
            sona_bench_histogram_add(&histogram, v);
    cr_assert(eq(u64, histogram.count, 256 * 257 / 2));
    /* Values up to v are (v + 1)(v + 2) / 2 of them: exactly that share belongs to v. */
    for (double v = 0; v < 256; v++)
        cr_assert(eq(dbl,
                     sona_bench_histogram_percentile(
                         &histogram, (v + 1) * (v + 2) / 2 / (double)histogram.count - 1e-9),
                     v));
}

Test(histogram, merging_two_is_counting_all_in_one)
{
    static struct sona_bench_histogram all;

    sona_bench_histogram_clear(&histogram);
    sona_bench_histogram_clear(&other);
    sona_bench_histogram_clear(&all);
    for (uint64_t v = 1; v < 1000000; v += 1 + v / 3) {
        sona_bench_histogram_add(v % 2 ? &histogram : &other, v);
        sona_bench_histogram_add(&all, v);
    }
    sona_bench_histogram_merge(&histogram, &other);
    cr_assert(eq(u64, histogram.count, all.count));
    cr_assert(eq(u64, histogram.least, all.least));
    cr_assert(eq(u64, histogram.greatest, all.greatest));
    for (uint32_t b = 0; b < SONA_BENCH_BUCKETS; b++)
        cr_assert(eq(u64, histogram.bucket[b], all.bucket[b]));
}

Test(histogram, an_empty_one_knows_nothing)
{
    sona_bench_histogram_clear(&histogram);
    cr_assert(isnan(sona_bench_histogram_percentile(&histogram, 0.5)));
    cr_assert(isnan(sona_bench_histogram_mean(&histogram)));
}
