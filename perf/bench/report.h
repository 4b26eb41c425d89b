/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What was measured, as one JSON object a line or as a table. The fields of a line, those in
 * brackets where they apply:
 *
 *   {"name", "unit", "min", "p50", "p90", "p99", ["p999", "p9999", "max"], "iterations", "block",
 *    ["floor": {"what", "min", "p50"}, "ratio", "ratio_95": [low, high], "fraction"],
 *    ["per_s"], ["note"]}
 *
 * `iterations` calls in all, `block` of them timed at a time: percentiles are of the mean of a
 * block. `ratio` is the median of paired ratios to the floor, `fraction` its inverse.
 */
#ifndef SONA_PERF_BENCH_REPORT_H
#define SONA_PERF_BENCH_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "perf/bench/measure.h"

#define SONA_BENCH_NAME_MAX 64u
#define SONA_BENCH_TEXT_MAX 160u

struct sona_bench_row {
    char name[SONA_BENCH_NAME_MAX];
    const char *unit; /* "ns"; also "bytes", "GB/s", "GFLOP/s", "1/s", "%" and the like */
    double min, p50, p90, p99, p999, p9999, max; /* NaN: not told */
    uint64_t iterations;
    uint32_t block;
    const char *floor_what; /* null: no floor */
    double floor_min, floor_p50;
    double ratio, low, high;
    char note[SONA_BENCH_TEXT_MAX]; /* "": none */
};

/* A row of one number. */
void sona_bench_row_value(struct sona_bench_row *ret, const char *name, const char *unit,
                          double value, const char *note);
/* A row of times that were counted in `h` in units of `per_ns` to the nanosecond. With `tails` all
 * percentiles are told, else those up to p99. */
void sona_bench_row_times(struct sona_bench_row *ret, const char *name,
                          const struct sona_bench_histogram *h, double per_ns, uint32_t block,
                          bool tails);
/* A row of the first side of a comparison; floor: one of the others, or null. */
void sona_bench_row_compared(struct sona_bench_row *ret, const char *name,
                             const struct sona_bench_measured *own, const char *what,
                             const struct sona_bench_measured *floor);

void sona_bench_print_json(FILE *out, const struct sona_bench_row *row);
/* `first`: with the head of the table. */
void sona_bench_print_table(FILE *out, const struct sona_bench_row *row, bool first);

#endif
