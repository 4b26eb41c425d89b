/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What learning takes, in process: an update beside one stream over what it reads and writes, and a
 * background cycle after so many new outcomes, at several lengths of history.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sona/engine.h>

#include "engine/facade.h"
#include "engine/model/block.h"
#include "perf/bench/bench.h"
#include "perf/bench/model.h"

#define QUERIES 4096u
#define IDS     256u
/* Vectors that only learning touches: ridge path, common head, squares of gradients, replay. */
#define LEARN_VECTORS 8u
/* Passes of a cycle over the replay: the common head (moment, 6 Gram products, residual), a route's
 * Krylov basis (moment, 10 products), codes, patterns. */
#define CYCLE_PASSES 21u

struct learn {
    sona_engine *engine;
    struct sona_tools_random random;
    uint32_t dim, fresh;
    uint64_t now_ms;
    float *x;
    uint64_t id[IDS];
    float quality[IDS];
};

static void init(struct learn *l, uint32_t dim, uint32_t routes, uint32_t replay)
{
    sona_route_spec *spec = sona_bench_memory(routes * sizeof *spec);
    sona_config config;
    sona_diag diag;

    memset(l, 0, sizeof *l);
    for (uint32_t k = 0; k < routes; k++) {
        (void)snprintf(spec[k].name, sizeof spec[k].name, "route-%u", k);
        spec[k].prior_quality = 0.5f;
        spec[k].prior_weight = 1;
    }
    sona_config_init(&config);
    config.embedding_dim = dim;
    config.routes_max = routes < 16 ? 16 : routes;
    config.replay_capacity = replay;
    if (sona_engine_create(&l->engine, &config, spec, routes, &diag) != SONA_OK)
        sona_bench_die("%s", diag.text);
    free(spec);
    l->dim = dim;
    l->x = sona_bench_vectors(QUERIES, dim, 17);
    l->random = sona_tools_random_init(1, 5);
}

static void done(struct learn *l)
{
    sona_engine_destroy(&l->engine);
    free(l->x);
    free(l);
}

/* Decide one query; what it turned out to be worth in *ret_quality. */
static uint64_t ask(struct learn *l, float *ret_quality)
{
    const float *x = l->x + (size_t)sona_tools_random_below(&l->random, QUERIES) * l->dim;
    sona_decision d;

    if (sona_engine_decide(l->engine, x, l->dim, NULL, l->now_ms++, &d) != SONA_OK)
        sona_bench_die("a query was not decided");
    *ret_quality =
        sona_tools_random_unit(&l->random) < 0.5 + 4 * (double)x[SONA_ROUTE_INDEX(d.route) % l->dim]
            ? 1
            : 0;
    return d.id;
}

static void tell(struct learn *l, uint64_t id, float quality)
{
    if (sona_engine_outcome(l->engine, id, quality, 0, l->now_ms) != SONA_OK)
        sona_bench_die("an outcome was refused");
}

static void learn(struct learn *l, uint32_t n)
{
    float quality;

    for (uint32_t i = 0; i < n; i++) {
        uint64_t id = ask(l, &quality);

        tell(l, id, quality);
    }
}

static void before_update(void *self, uint32_t n)
{
    struct learn *l = self;

    for (uint32_t i = 0; i < n; i++)
        l->id[i] = ask(l, &l->quality[i]);
}

static void run_update(void *self, uint32_t n)
{
    struct learn *l = self;

    for (uint32_t i = 0; i < n; i++)
        tell(l, l->id[i], l->quality[i]);
}

static void run_engine_decide(void *self, uint32_t n)
{
    struct learn *l = self;
    float quality;

    for (uint32_t i = 0; i < n; i++)
        (void)ask(l, &quality);
}

/* entry->a: dim, b: routes, c: 1 for the decision of an engine */
static void update(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    struct learn *l = sona_bench_memory(sizeof *l);
    struct sona_bench_side own = {.what = entry->name,
                                  .run = entry->c ? run_engine_decide : run_update,
                                  .before = entry->c ? NULL : before_update,
                                  .self = l,
                                  .block_max = 16};
    struct sona_bench_floor floor = {0};
    struct sona_bench_side stream = {.run = sona_bench_floor_run, .self = &floor};
    struct sona_model_view view;

    stream.what = entry->c ? "one stream over what it reads"
                           : "one stream over what decide reads and learning writes";
    init(l, entry->a, entry->b, 5000);
    learn(l, bench->quick ? 600 : 5000);
    view = sona_learner_view(l->engine->learner);
    floor.read = sona_bench_model_decision_bytes(&view) +
                 (entry->c ? 0 : (size_t)(LEARN_VECTORS - 1) * l->dim * sizeof(float));
    sona_bench_floor_init(&floor);
    sona_bench_compare(bench, entry->name, &own, &stream, NULL);
    sona_bench_floor_done(&floor);
    done(l);
}

static void before_cycle(void *self, uint32_t n)
{
    struct learn *l = self;

    (void)n;
    learn(l, l->fresh);
}

static void run_cycle(void *self, uint32_t n)
{
    struct learn *l = self;
    sona_cycle_report report;

    for (uint32_t i = 0; i < n; i++)
        if (sona_engine_learn_now(l->engine, l->now_ms, &report) != SONA_OK || !report.ran)
            sona_bench_die("a cycle did not run");
}

/* entry->a: new outcomes, b: dim, c: length of the history in thousands */
static void cycle(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    struct learn *l = sona_bench_memory(sizeof *l);
    struct sona_bench_side own = {.what = entry->name,
                                  .run = run_cycle,
                                  .before = before_cycle,
                                  .self = l,
                                  .block = 1,
                                  .cpu = true};
    struct sona_bench_floor floor = {0};
    struct sona_bench_side stream = {.what = "21 streams over the replay",
                                     .run = sona_bench_floor_run,
                                     .self = &floor,
                                     .block = CYCLE_PASSES,
                                     .cpu = true};
    struct sona_bench_budget kept = bench->budget;
    struct sona_bench_row row;

    /* A cycle is 20 ms, and what comes before it half as much: fewer rounds of a longer budget. */
    bench->budget.total_ns *= 4;
    bench->budget.rounds_min = bench->quick ? 2 : 15;
    init(l, entry->b, 9, 5000);
    l->fresh = bench->quick ? 200 : entry->a;
    learn(l, bench->quick ? 600 : 1000 * entry->c);
    floor.read = (size_t)5000 * entry->b * sizeof(float);
    sona_bench_floor_init(&floor);
    /* The floor's row is of one pass; the ratio is told of all of them. */
    struct sona_bench_side sides[2] = {own, stream};
    struct sona_bench_measured *m = sona_bench_memory(2 * sizeof *m);

    if (!sona_bench_measure(sides, 2, &bench->budget, m))
        sona_bench_die("not enough memory for the rounds of a comparison");
    sona_bench_row_compared(&row, entry->name, &m[0], stream.what, &m[1]);
    row.floor_min *= CYCLE_PASSES;
    row.floor_p50 *= CYCLE_PASSES;
    row.ratio /= CYCLE_PASSES;
    row.low /= CYCLE_PASSES;
    row.high /= CYCLE_PASSES;
    (void)snprintf(row.note, sizeof row.note, "thread time; replay of 5,000 outcomes");
    bench->report(bench, &row);
    bench->budget = kept;
    free(m);
    sona_bench_floor_done(&floor);
    done(l);
}

const struct sona_bench_entry sona_bench_learner_entries[] = {
    {"engine/decide/256/9", update, 256, 9, 1, false, "sona_engine_decide(), in process"},
    {"engine/decide/1536/90", update, 1536, 90, 1, false, ""},
    {"update/256/9", update, 256, 9, 0, false, "an outcome learned, in process"},
    {"update/1536/90", update, 1536, 90, 0, false, ""},
    {"background/1000", cycle, 1000, 256, 5, false,
     "a background cycle after 1,000 new outcomes, 256 dims, history of 5,000"},
    {"background/1000/20k", cycle, 1000, 256, 20, false, "the same, history of 20,000"},
    {"background/1000/100k", cycle, 1000, 256, 100, true, "the same, history of 100,000"},
    /* growth */
    {"growth/decide/dim/64", update, 64, 9, 1, true, ""},
    {"growth/update/dim/64", update, 64, 9, 0, true, ""},
    {"growth/decide/dim/256", update, 256, 9, 1, true, ""},
    {"growth/update/dim/256", update, 256, 9, 0, true, ""},
    {"growth/decide/dim/1024", update, 1024, 9, 1, true, ""},
    {"growth/update/dim/1024", update, 1024, 9, 0, true, ""},
    {"growth/decide/dim/4096", update, 4096, 9, 1, true, ""},
    {"growth/update/dim/4096", update, 4096, 9, 0, true, ""},
    {"growth/cycle/dim/64", cycle, 1000, 64, 5, true, ""},
    {"growth/cycle/dim/256", cycle, 1000, 256, 5, true, ""},
    {"growth/cycle/dim/1024", cycle, 1000, 1024, 5, true, ""},
    {"growth/decide/routes/2", update, 256, 2, 1, true, ""},
    {"growth/update/routes/2", update, 256, 2, 0, true, ""},
    {"growth/decide/routes/8", update, 256, 8, 1, true, ""},
    {"growth/update/routes/8", update, 256, 8, 0, true, ""},
    {"growth/decide/routes/32", update, 256, 32, 1, true, ""},
    {"growth/update/routes/32", update, 256, 32, 0, true, ""},
    {"growth/decide/routes/128", update, 256, 128, 1, true, ""},
    {"growth/update/routes/128", update, 256, 128, 0, true, ""},
    {"growth/decide/routes/256", update, 256, 256, 1, true, ""},
    {"growth/update/routes/256", update, 256, 256, 0, true, ""},
    {NULL, NULL, 0, 0, 0, false, NULL},
};
