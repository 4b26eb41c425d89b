/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Looking up patterns in a bank that is full, whatever its size: the look-up of a snapshot without
 * the client around it.
 */
#include <stdlib.h>

#include "perf/bench/bench.h"
#include "perf/bench/model.h"

#define K       5u
#define QUERIES 64u

struct lookup {
    struct sona_bench_model model;
    float *x;
    uint32_t turn, dim;
    sona_pattern found[K];
};

static void run_lookup(void *self, uint32_t n)
{
    struct lookup *b = self;

    for (uint32_t i = 0; i < n; i++)
        (void)sona_model_find_patterns(&b->model.view,
                                       b->x + (size_t)(b->turn++ % QUERIES) * b->dim, K, b->found);
}

/* entry->a: patterns, b: dim */
static void lookup(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    struct lookup *b = sona_bench_memory(sizeof *b);
    struct sona_bench_side own = {.what = entry->name, .run = run_lookup, .self = b};
    struct sona_bench_floor floor = {0};
    struct sona_bench_side stream = {
        .what = "one stream over what it reads", .run = sona_bench_floor_run, .self = &floor};

    b->dim = entry->b;
    b->x = sona_bench_vectors(QUERIES, b->dim, 13);
    sona_bench_model_init(&b->model, b->dim, 2, 8, entry->a);
    floor.read = sona_bench_model_search_bytes(&b->model.layout, entry->a, K);
    sona_bench_floor_init(&floor);
    sona_bench_compare(bench, entry->name, &own, &stream, NULL);
    sona_bench_model_done(&b->model);
    sona_bench_floor_done(&floor);
    free(b->x);
    free(b);
}

const struct sona_bench_entry sona_bench_bank_entries[] = {
    {"bank/50/256", lookup, 50, 256, 0, false, "k = 5 of a full bank, without the call around it"},
    {"bank/100/256", lookup, 100, 256, 0, false, ""},
    {"bank/1000/256", lookup, 1000, 256, 0, false, ""},
    {"bank/10000/256", lookup, 10000, 256, 0, false, ""},
    {"bank/10000/1536", lookup, 10000, 1536, 0, true, ""},
    {"growth/find/patterns/10", lookup, 10, 256, 0, true, ""},
    {"growth/find/patterns/100", lookup, 100, 256, 0, true, ""},
    {"growth/find/patterns/1000", lookup, 1000, 256, 0, true, ""},
    {"growth/find/patterns/10000", lookup, 10000, 256, 0, true, ""},
    {NULL, NULL, 0, 0, 0, false, NULL},
};
