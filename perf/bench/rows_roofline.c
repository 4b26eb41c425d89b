/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The machine itself: bytes a nanosecond out of (and into) each level, multiply-adds, the clock.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "perf/bench/bench.h"
#include "tools/sample.h"

#define MEMORY_BYTES (96u << 20)

static void run_clock(void *self, uint32_t n)
{
    volatile uint64_t kept;

    (void)self;
    for (uint32_t i = 0; i < n; i++)
        kept = sona_tools_now_ns();
    (void)kept;
}

static void clock_row(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    struct sona_bench_side side = {.what = "clock", .run = run_clock};

    sona_bench_compare(bench, entry->name, &side, NULL, NULL);
}

/* The rate of `units` per call, as a row. */
static void rate(struct sona_bench *bench, const char *name, struct sona_bench_floor *floor,
                 double units, const char *unit)
{
    struct sona_bench_side side = {.what = name, .run = sona_bench_floor_run, .self = floor};
    struct sona_bench_measured *measured = sona_bench_memory(sizeof *measured);
    struct sona_bench_row row;
    double slow, fast;

    if (bench->pin)
        (void)sona_bench_pin(true);
    if (!sona_bench_measure(&side, 1, &bench->budget, measured))
        sona_bench_die("not enough memory for the rounds of a comparison");
    if (bench->pin)
        (void)sona_bench_pin(false);
    sona_bench_row_times(&row, name, &measured->ps, 1000, measured->block, false);
    slow = row.p99, fast = row.min;
    row.unit = unit;
    row.p90 = units / sona_bench_histogram_percentile(&measured->ps, 0.1) * 1000;
    row.p50 = units / row.p50;
    row.min = units / slow;
    row.p99 = units / fast;
    (void)snprintf(row.note, sizeof row.note,
                   "a rate: the least is its slowest percent, p99 the best");
    bench->report(bench, &row);
    free(measured);
}

/* entry->a: level of the cache, 4: memory; entry->b: 1 for stores */
static void bandwidth(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    size_t l2 = sona_bench_cache_bytes(2), l3 = sona_bench_cache_bytes(3);
    size_t bytes = entry->a == 4   ? MEMORY_BYTES
                   : entry->a == 3 ? (l3 / 8 > 2 * l2 ? l3 / 8 : 2 * l2)
                                   : sona_bench_cache_bytes(entry->a) / 2;

    for (const struct sona_bench_probe *const *p = sona_bench_probes(); *p; p++) {
        struct sona_bench_floor floor = {.probe = *p, .footprint = bytes};
        char name[SONA_BENCH_NAME_MAX];
        /* In pieces, so that the piece is over before somebody else has the processor. */
        size_t piece = bytes < 65536 ? bytes : 65536;

        if (!(*p)->usable())
            continue;
        floor.read = entry->b ? 0 : piece;
        floor.written = entry->b ? piece : 0;
        sona_bench_floor_init(&floor);
        (void)snprintf(name, sizeof name, "%s/%s", entry->name, (*p)->name);
        rate(bench, name, &floor, (double)piece, "GB/s");
        sona_bench_floor_done(&floor);
    }
}

static void arithmetic(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    for (const struct sona_bench_probe *const *p = sona_bench_probes(); *p; p++) {
        struct sona_bench_floor floor = {.probe = *p, .madds = 1u << 14};
        char name[SONA_BENCH_NAME_MAX];

        if (!(*p)->usable())
            continue;
        sona_bench_floor_init(&floor);
        (void)snprintf(name, sizeof name, "%s/%s", entry->name, (*p)->name);
        rate(bench, name, &floor, 2.0 * (double)floor.madds, "GFLOP/s");
        sona_bench_floor_done(&floor);
    }
}

const struct sona_bench_entry sona_bench_roofline_entries[] = {
    {"roofline/l1/load", bandwidth, 1, 0, 0, false, "bytes from the first cache"},
    {"roofline/l1/store", bandwidth, 1, 1, 0, false, "bytes into it"},
    {"roofline/l2/load", bandwidth, 2, 0, 0, false, "from the second"},
    {"roofline/l3/load", bandwidth, 3, 0, 0, false, "from the third"},
    {"roofline/memory/load", bandwidth, 4, 0, 0, false, "from memory"},
    {"roofline/madd", arithmetic, 0, 0, 0, false, "multiply-adds"},
    {"clock/read", clock_row, 0, 0, 0, false, "reading the clock: in every call timed by itself"},
    {NULL, NULL, 0, 0, 0, false, NULL},
};
