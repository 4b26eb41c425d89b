/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "perf/bench/bench.h"

#define SONA_BENCH_ALIGN 128u /* two lines: what two threads write */

void sona_bench_die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)fputs("sona-bench: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    exit(1);
}

void *sona_bench_memory(size_t bytes)
{
    size_t whole = (bytes + SONA_BENCH_ALIGN - 1) & ~(size_t)(SONA_BENCH_ALIGN - 1);
    void *memory = aligned_alloc(SONA_BENCH_ALIGN, whole);

    if (memory == NULL)
        sona_bench_die("not enough memory: %zu bytes are needed", bytes);
    memset(memory, 0, whole);
    return memory;
}

float *sona_bench_vectors(uint32_t n, uint32_t dim, uint64_t seed)
{
    struct sona_tools_random random = sona_tools_random_init(seed, 7);
    float *x = sona_bench_memory((size_t)n * dim * sizeof *x);

    for (uint32_t i = 0; i < n; i++) {
        float *row = x + (size_t)i * dim;
        double square = 0;

        for (uint32_t k = 0; k < dim; k++) {
            row[k] = (float)sona_tools_random_unit(&random) - 0.5f;
            square += (double)row[k] * (double)row[k];
        }
        for (uint32_t k = 0; k < dim; k++)
            row[k] /= (float)sqrt(square);
    }
    return x;
}

void sona_bench_compare(struct sona_bench *bench, const char *name,
                        const struct sona_bench_side *own, const struct sona_bench_side *floor,
                        struct sona_bench_row *ret)
{
    struct sona_bench_measured *measured = sona_bench_memory(2 * sizeof *measured);
    struct sona_bench_side sides[2] = {*own};
    struct sona_bench_row row;

    if (floor)
        sides[1] = *floor;
    if (bench->pin)
        (void)sona_bench_pin(true);
    if (!sona_bench_measure(sides, floor ? 2 : 1, &bench->budget, measured))
        sona_bench_die("not enough memory for the rounds of a comparison");
    if (bench->pin)
        (void)sona_bench_pin(false);
    sona_bench_row_compared(&row, name, &measured[0], floor ? floor->what : NULL,
                            floor ? &measured[1] : NULL);
    bench->report(bench, &row);
    if (ret)
        *ret = row;
    free(measured);
}

void sona_bench_report_value(struct sona_bench *bench, const char *name, const char *unit,
                             double value, const char *note)
{
    struct sona_bench_row row;

    sona_bench_row_value(&row, name, unit, value, note);
    bench->report(bench, &row);
}
