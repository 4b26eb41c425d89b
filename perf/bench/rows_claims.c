/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What the claims of the system that came before are held against, where no other row says it: one
 * way of doing a thing beside the other in turns, and its calls one by one.
 */
#include <stdlib.h>
#include <string.h>

#include <sona/engine.h>

#include "perf/bench/live.h"
#include "perf/bench/model.h"

#define DIM       256u
#define EVENTS    256u
#define ATTENTION 64u

/* An adapter of a rank by a row of the kernels. */
struct way {
    struct sona_bench_model model;
    const struct sona_kernels *row;
    uint32_t rank;
    float c[SONA_MICRO_RANK_MAX];
    float *x, *y;
};

static void run_way(void *self, uint32_t n)
{
    struct way *w = self;
    const struct sona_model_layout *l = &w->model.layout;

    for (uint32_t i = 0; i < n; i++) {
        w->row->dot_rows(sona_model_floats(w->model.hot, l->micro_a), l->dim_padded, w->rank, w->x,
                         DIM, w->c);
        w->row->expand(w->x, sona_model_floats(w->model.hot, l->micro_b), l->dim_padded, w->c,
                       w->rank, w->y, DIM);
    }
}

static void way_init(struct way *w, uint32_t rank, const struct sona_kernels *row)
{
    memset(w, 0, sizeof *w);
    sona_bench_model_init(&w->model, DIM, rank, 8, 1);
    w->row = row;
    w->rank = rank;
    w->x = sona_bench_vectors(1, DIM, 3);
    w->y = sona_bench_memory(DIM * sizeof *w->y);
}

static void way_done(struct way *w)
{
    sona_bench_model_done(&w->model);
    free(w->x);
    free(w->y);
    free(w);
}

static const struct sona_kernels *plain_row(void)
{
    const struct sona_kernels *const *all = sona_kernels_all();

    while (all[1])
        all++;
    return *all;
}

/* entry->a: 1 rank 2 beside rank 1, 2 the row in use beside the C row */
static void ways(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    struct way *one = sona_bench_memory(sizeof *one), *other = sona_bench_memory(sizeof *other);
    struct sona_bench_side own = {.what = entry->name, .run = run_way, .self = one};
    struct sona_bench_side floor = {
        .what = entry->a == 1 ? "rank 1" : "the C row", .run = run_way, .self = other};

    way_init(one, 2, sona_kernels_active());
    way_init(other, entry->a == 1 ? 1 : 2, entry->a == 1 ? sona_kernels_active() : plain_row());
    sona_bench_compare(bench, entry->name, &own, &floor, NULL);
    way_done(one);
    way_done(other);
}

struct bank {
    struct sona_bench_model model;
    float *x;
};

static void run_bank(void *self, uint32_t n)
{
    struct bank *b = self;
    sona_pattern found[5];

    for (uint32_t i = 0; i < n; i++)
        (void)sona_model_find_patterns(&b->model.view, b->x, 5, found);
}

static void clusters(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    struct bank *more = sona_bench_memory(sizeof *more), *less = sona_bench_memory(sizeof *less);
    struct sona_bench_side own = {.what = entry->name, .run = run_bank, .self = more};
    struct sona_bench_side floor = {.what = "50 patterns", .run = run_bank, .self = less};

    sona_bench_model_init(&more->model, DIM, 2, 8, 100);
    sona_bench_model_init(&less->model, DIM, 2, 8, 50);
    more->x = less->x = sona_bench_vectors(1, DIM, 3);
    sona_bench_compare(bench, entry->name, &own, &floor, NULL);
    sona_bench_model_done(&more->model);
    sona_bench_model_done(&less->model);
    free(more->x);
    free(more);
    free(less);
}

struct events {
    struct sona_bench_live *live;
    uint64_t id[EVENTS];
    float attention[ATTENTION];
    uint32_t told; /* 0 begin, 1 step, 2 end */
};

static void expect(sona_err err)
{
    if (err != SONA_OK)
        sona_bench_die("an event was refused: %s", sona_err_text(err));
}

static void run_begin(struct events *e, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        expect(
            sona_trajectory_begin(e->live->lane, sona_bench_live_query(e->live), DIM, &e->id[i]));
}

static void run_step(struct events *e, uint32_t n)
{
    sona_step step = {.activations = e->live->x,
                      .n_activations = DIM,
                      .attention = e->attention,
                      .n_attention = ATTENTION,
                      .reward = 0.5f,
                      .rewarded = true};

    for (uint32_t i = 0; i < n; i++)
        expect(sona_trajectory_step(e->live->lane, e->id[i], &step));
}

static void run_event(void *self, uint32_t n)
{
    struct events *e = self;

    if (e->told == 0)
        run_begin(e, n);
    else if (e->told == 1)
        run_step(e, n);
    else
        for (uint32_t i = 0; i < n; i++)
            expect(sona_trajectory_end(e->live->lane, e->id[i], 0.5f));
}

static void before_event(void *self, uint32_t n)
{
    struct events *e = self;

    sona_bench_live_drain(e->live);
    if (e->told > 0)
        run_begin(e, n);
    sona_bench_live_drain(e->live);
}

/* entry->a: which event */
static void event(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    struct events *e = sona_bench_memory(sizeof *e);
    struct sona_bench_side own = {
        .what = entry->name, .run = run_event, .before = before_event, .self = e, .block = EVENTS};

    e->live = sona_bench_live_get(bench, &(struct sona_bench_shape){.dim = DIM, .routes = 9});
    e->told = entry->a;
    sona_bench_compare(bench, entry->name, &own, NULL, NULL);
    free(e);
}

struct embedded {
    sona_engine *engine;
    char text[16384];
    uint32_t what;
    uint64_t now_ms;
};

static void run_embedded(void *self, uint32_t n)
{
    struct embedded *e = self;
    sona_cycle_report cycle;
    size_t bytes;

    for (uint32_t i = 0; i < n; i++) {
        if (e->what == 0)
            expect(sona_engine_stats_json(e->engine, e->text, sizeof e->text, &bytes));
        else if (e->what == 1)
            expect(sona_engine_tick(e->engine, e->now_ms++, &cycle));
        else if (e->what == 2)
            expect(sona_engine_flush(e->engine, e->now_ms++, NULL));
        else
            e->text[0] ^= (char)sona_engine_enabled(e->engine);
    }
}

/* entry->a: which call */
static void embedded(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    struct embedded *e = sona_bench_memory(sizeof *e);
    struct sona_bench_side own = {.what = entry->name, .run = run_embedded, .self = e};
    sona_route_spec route = {.name = "route", .prior_quality = 0.5f, .prior_weight = 1};
    sona_diag diag;

    e->what = entry->a;
    if (sona_engine_create(&e->engine, NULL, &route, 1, &diag) != SONA_OK)
        sona_bench_die("%s", diag.text);
    sona_bench_compare(bench, entry->name, &own, NULL, NULL);
    sona_engine_destroy(&e->engine);
    free(e);
}

const struct sona_bench_entry sona_bench_claim_entries[] = {
    {"claim/rank/256", ways, 1, 0, 0, false, "MicroLoRA of rank 2 beside rank 1"},
    {"claim/simd/256", ways, 2, 0, 0, false, "the kernel row in use beside the C row"},
    {"claim/clusters/256", clusters, 0, 0, 0, false, "k = 5 of 100 patterns beside 50"},
    {"record/begin/256", event, 0, 0, 0, false, "sona_trajectory_begin(), a live consumer"},
    {"record/step/256", event, 1, 0, 0, false, "sona_trajectory_step(), 256 + 64 floats"},
    {"record/end/256", event, 2, 0, 0, false, "sona_trajectory_end()"},
    {"engine/stats", embedded, 0, 0, 0, false, "sona_engine_stats_json()"},
    {"engine/tick", embedded, 1, 0, 0, false, "sona_engine_tick() when nothing is due"},
    {"engine/flush", embedded, 2, 0, 0, false, "sona_engine_flush() when nothing waits"},
    {"engine/enabled", embedded, 3, 0, 0, false, "sona_engine_enabled()"},
    {NULL, NULL, 0, 0, 0, false, NULL},
};
