/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* How a comparison is run, and what it makes of its numbers; never how fast this machine is. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <math.h>
#include <string.h>

#include "perf/bench/measure.h"
#include "perf/bench/roofline.h"
#include "tools/random.h"

/* A side that notes when it was run, and with how many calls. */
struct noted {
    char name;
    char *log;
    uint64_t calls, prepared;
};

static void run(void *self, uint32_t n)
{
    struct noted *noted = self;
    char text[2] = {noted->name, '\0'};

    noted->calls += n;
    if (strlen(noted->log) < 60)
        strcat(noted->log, text);
}

static void before(void *self, uint32_t n)
{
    ((struct noted *)self)->prepared += n;
}

Test(measure, sides_are_run_in_turns_and_every_other_round_in_the_other_order)
{
    static struct sona_bench_measured measured[2];
    char log[64] = "";
    struct noted a = {.name = 'a', .log = log}, b = {.name = 'b', .log = log};
    struct sona_bench_side sides[2] = {
        {.run = run, .self = &a, .before = before, .block = 3},
        {.run = run, .self = &b, .block = 5},
    };
    struct sona_bench_budget budget = {.block_ns = 1000, .rounds_min = 4, .rounds_max = 4};

    cr_assert(sona_bench_measure(sides, 2, &budget, measured));
    /* One of each to warm up, then four rounds. */
    cr_assert(eq(str, log,
                 "ab"
                 "ab"
                 "ba"
                 "ab"
                 "ba"));
    cr_assert(eq(u64, a.calls, 5 * 3));
    cr_assert(eq(u64, a.prepared, a.calls));
    cr_assert(eq(u64, b.calls, 5 * 5));
    cr_assert(eq(u64, measured[0].ps.count, 4));
    cr_assert(eq(u32, measured[1].block, 5));
}

Test(measure, a_side_beside_itself_has_a_ratio_of_exactly_one)
{
    static struct sona_bench_measured measured;
    char log[64] = "";
    struct noted a = {.name = 'a', .log = log};
    struct sona_bench_side side = {.run = run, .self = &a};
    struct sona_bench_budget budget = {.block_ns = 1000, .rounds_min = 9, .rounds_max = 9};

    cr_assert(sona_bench_measure(&side, 1, &budget, &measured));
    cr_assert(measured.ratio == 1 && measured.low == 1 && measured.high == 1);
    cr_assert(ge(u32, measured.block, 1));
}

Test(measure, no_block_is_longer_than_it_may_be)
{
    static struct sona_bench_measured measured;
    char log[64] = "";
    struct noted a = {.name = 'a', .log = log};
    struct sona_bench_side side = {.run = run, .self = &a, .block_max = 7};
    struct sona_bench_budget budget = {.block_ns = 1000000, .rounds_min = 2, .rounds_max = 2};

    cr_assert(sona_bench_measure(&side, 1, &budget, &measured));
    cr_assert(eq(u32, measured.block, 7));
}

Test(median, lies_in_an_interval_that_holds_the_true_one_95_times_of_100)
{
    enum { TRIES = 2000, N = 101 };
    struct sona_tools_random random = sona_tools_random_init(5, 1);
    uint32_t held = 0;

    for (uint32_t t = 0; t < TRIES; t++) {
        double values[N], low, high, median;

        for (uint32_t i = 0; i < N; i++) /* skewed, and its median is 1 */
            values[i] = exp(4 * (sona_tools_random_unit(&random) - 0.5));
        median = sona_bench_median(values, N, &low, &high);
        cr_assert(low <= median && median <= high);
        held += low <= 1 && 1 <= high;
    }
    /* 95 % and a little, since ranks are whole: within four standard errors. */
    cr_assert(ge(u32, held, TRIES * 93 / 100));
    cr_assert(le(u32, held, TRIES * 985 / 1000));
}

Test(median, of_few_values_is_their_middle_and_of_none_unknown)
{
    double one[] = {3}, two[] = {5, 1}, three[] = {9, 1, 2}, low, high;

    cr_assert(sona_bench_median(one, 1, &low, &high) == 3 && low == 3 && high == 3);
    cr_assert(sona_bench_median(two, 2, &low, &high) == 3 && low == 1 && high == 5);
    cr_assert(sona_bench_median(three, 3, &low, &high) == 2 && low == 1 && high == 9);
    cr_assert(isnan(sona_bench_median(one, 0, &low, &high)));
}

/* What is counted of the probes is done: the buffer is stored to, and gone around in. */
Test(roofline, every_probe_goes_around_in_its_buffer_and_stores_all_of_it)
{
    static char buffer[8 * SONA_BENCH_PROBE_STEP] __attribute__((aligned(64)));
    uint32_t probes = 0;

    for (const struct sona_bench_probe *const *p = sona_bench_probes(); *p; p++) {
        size_t at;

        if (!(*p)->usable())
            continue;
        probes++;
        memset(buffer, 1, sizeof buffer);
        at = (*p)->store(buffer, sizeof buffer, 0, sizeof buffer / 2);
        cr_assert(eq(sz, at, sizeof buffer / 2), "%s", (*p)->name);
        for (size_t i = 0; i < sizeof buffer; i++)
            cr_assert(eq(chr, buffer[i], i >= sizeof buffer / 2), "%s: byte %zu", (*p)->name, i);
        at = (*p)->store(buffer, sizeof buffer, at, sizeof buffer);
        cr_assert(eq(sz, at, sizeof buffer / 2), "%s goes around", (*p)->name);
        cr_assert(eq(chr, buffer[sizeof buffer - 1], 0));
        at = (*p)->load(buffer, sizeof buffer, at, sizeof buffer / 2 + SONA_BENCH_PROBE_STEP);
        cr_assert(eq(sz, at, SONA_BENCH_PROBE_STEP));
        /* c = 0.999 c + 0.001, eight chains: 8 after long enough. */
        cr_assert(lt(dbl, fabs((double)(*p)->madd(20000) - 8), 0.01), "%s", (*p)->name);
    }
    cr_assert(ge(u32, probes, 1));
}

Test(roofline, what_limits_is_the_slowest_of_the_three)
{
    struct sona_bench_floor loads = {.read = 1 << 20};
    struct sona_bench_floor stores = {.written = 1 << 20};
    struct sona_bench_floor madds = {.read = 1024, .madds = 1 << 24};

    sona_bench_floor_init(&loads);
    sona_bench_floor_init(&stores);
    sona_bench_floor_init(&madds);
    cr_assert(eq(int, (int)loads.limit, SONA_BENCH_LOADS));
    cr_assert(eq(int, (int)stores.limit, SONA_BENCH_STORES));
    cr_assert(eq(int, (int)madds.limit, SONA_BENCH_MADDS));
    sona_bench_floor_done(&loads);
    sona_bench_floor_done(&stores);
    sona_bench_floor_done(&madds);
}
