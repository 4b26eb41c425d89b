/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The command line of sona-bench. */
#ifndef SONA_PERF_BENCH_OPTIONS_H
#define SONA_PERF_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <sona/error.h>

#define SONA_BENCH_FILTERS_MAX 32u

struct sona_bench_options {
    const char *filter[SONA_BENCH_FILTERS_MAX]; /* globs; none: everything that is short */
    uint32_t n_filters;
    bool json, list, quick, all, no_pin, help, version;
    uint32_t row_ms; /* milliseconds for a row; 0: the default */
};

/* SONA_E_ARGUMENT with the remedy. */
sona_err sona_bench_options_parse(struct sona_bench_options *ret, int argc, char **argv,
                                  sona_diag *reterr);
void sona_bench_options_help(void);

#endif
