/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What a decision, an update and a background cycle of the learner cost, each beside a floor: the
 * time to stream the same bytes once (a cycle: as often as its algorithm must), measured in the
 * same run with the kernel in use.
 *
 * usage: learning-cost [GLOB]      one JSON object per line for every name that matches
 *
 * Names: decide/DIM/ROUTES, update/DIM/ROUTES, cycle/DIM/REPLAY, and cycle/.../repeated with only
 * 16 different queries in the replay, decide/.../tenants with 4096 tenants. Updates are timed one
 * by one; one in 256 starts a background cycle inside the call, beyond what p99 shows. A cycle is
 * longer than the processor is ever left to one program on a busy machine: cycles are timed by the
 * thread's own clock, calls by the wall's.
 */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sona/engine.h>

#include "engine/facade.h"
#include "engine/kernels/kernels.h"
#include "engine/model/block.h"
#include "tools/random.h"
#include "tools/sample.h"

#define QUERIES  4096u
#define REPEATED 16u
#define STREAMS  5u        /* at least */
#define FLOOR_NS 50000000u /* a floor is looked for this long */
/* Passes of a cycle over the replay: the common head (moment, 6 Gram products, residual), a
 * route's Krylov basis (moment, 10 products), codes, patterns. */
#define CYCLE_PASSES 21u
/* Vectors that only learning touches: ridge path, common head, squares of gradients, replay. */
#define LEARN_VECTORS 8u

struct bench {
    uint32_t dim, routes, replay, timed, cycles, points;
    uint32_t tenants; /* each query is of one of them, drawn evenly; 0: of nobody */
    const char *note; /* appended to the names */
    const char *glob;
    float *x; /* [points][dim] */
    sona_engine *engine;
    struct sona_tools_random random;
    uint64_t now_ms;
};

static const struct bench benches[] = {
    {.dim = 256, .routes = 9, .replay = 5000, .timed = 20000, .cycles = 30, .points = QUERIES},
    {.dim = 256,
     .routes = 9,
     .replay = 5000,
     .timed = 2000,
     .cycles = 30,
     .points = REPEATED,
     .note = "/repeated"},
    {.dim = 256,
     .routes = 9,
     .replay = 5000,
     .timed = 20000,
     .points = QUERIES,
     .tenants = 4096,
     .note = "/tenants"},
    {.dim = 1536, .routes = 90, .replay = 5000, .timed = 2000, .cycles = 5, .points = QUERIES},
};

static void die(const char *what)
{
    fprintf(stderr, "learning-cost: %s\n", what);
    exit(1);
}

static bool wanted(const struct bench *b, const char *name)
{
    return fnmatch(b->glob, name, 0) == 0;
}

/* Time of one dot product of a query with each of `rows` rows of `dim` floats. */
static double stream_ns(uint32_t rows, uint32_t dim)
{
    size_t floats = (size_t)(rows + 1) * dim;
    float *block = aligned_alloc(64, (floats * sizeof *block + 63) & ~(size_t)63);
    float *out = malloc(rows * sizeof *out);
    uint64_t least = UINT64_MAX, begin;

    if (block == NULL || out == NULL)
        die("no memory");
    for (size_t i = 0; i < floats; i++)
        block[i] = 1e-3f * (float)(i % 97);
    begin = sona_tools_now_ns();
    for (uint32_t i = 0; i < STREAMS || sona_tools_now_ns() - begin < FLOOR_NS; i++) {
        uint64_t start = sona_tools_now_ns(), ns;

        sona_kernels_active()->dot_rows(block, dim, rows, block + (size_t)rows * dim, dim, out);
        ns = sona_tools_now_ns() - start;
        least = ns < least ? ns : least;
    }
    free(out);
    free(block);
    return (double)least;
}

static uint64_t thread_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void print(const char *name, struct sona_tools_sample *sample, const char *floor_what,
                  double floor_ns)
{
    double least = sona_tools_sample_percentile(sample, 0);

    printf("{\"name\": \"%s\", \"unit\": \"ns\", \"min\": %.0f, \"p50\": %.0f, \"p90\": %.0f, "
           "\"p99\": %.0f, \"iterations\": %u, \"floor\": {\"what\": \"%s\", \"min\": %.0f}, "
           "\"ratio\": %.2f}\n",
           name, least, sona_tools_sample_percentile(sample, 0.5),
           sona_tools_sample_percentile(sample, 0.9), sona_tools_sample_percentile(sample, 0.99),
           sample->count, floor_what, floor_ns, least / floor_ns);
    fflush(stdout);
}

static void make_queries(struct bench *b)
{
    b->x = malloc((size_t)b->points * b->dim * sizeof *b->x);
    if (b->x == NULL)
        die("no memory");
    for (size_t i = 0; i < (size_t)b->points * b->dim; i++)
        b->x[i] = (float)sona_tools_random_unit(&b->random) - 0.5f;
}

static void make_engine(struct bench *b)
{
    sona_route_spec *routes = calloc(b->routes, sizeof *routes);
    sona_config config;
    sona_diag diag;

    if (routes == NULL)
        die("no memory");
    for (uint32_t k = 0; k < b->routes; k++) {
        snprintf(routes[k].name, sizeof routes[k].name, "route-%u", k);
        routes[k].prior_quality = 0.5f;
        routes[k].prior_weight = 1;
    }
    sona_config_init(&config);
    config.embedding_dim = b->dim;
    config.routes_max = b->routes < 16 ? 16 : b->routes;
    config.replay_capacity = b->replay;
    config.tenants_max = b->tenants;
    if (sona_engine_create(&b->engine, &config, routes, b->routes, &diag) != SONA_OK)
        die(diag.text);
    free(routes);
}

/* Every coordinate has a route that it is good for, so that there is something to learn. */
static float quality_of(struct bench *b, const float *x, uint32_t route)
{
    return sona_tools_random_unit(&b->random) < 0.5 + (double)x[route % b->dim] ? 1 : 0;
}

/* One decision and its outcome. */
static void turn(struct bench *b, struct sona_tools_sample *decide,
                 struct sona_tools_sample *update)
{
    const float *x = b->x + (size_t)sona_tools_random_below(&b->random, b->points) * b->dim;
    sona_candidates all = {.tenant = 0};
    sona_decision decision;
    uint64_t start, middle;
    float quality;

    if (b->tenants > 0)
        all.tenant = 1 + sona_tools_random_below(&b->random, b->tenants);
    start = sona_tools_now_ns();
    if (sona_engine_decide(b->engine, x, b->dim, &all, b->now_ms, &decision) != SONA_OK)
        die("a query was not decided");
    middle = sona_tools_now_ns();
    if (decide != NULL)
        sona_tools_sample_add(decide, middle - start);
    quality = quality_of(b, x, SONA_ROUTE_INDEX(decision.route));
    start = sona_tools_now_ns();
    if (sona_engine_outcome(b->engine, decision.id, quality, 0, b->now_ms) != SONA_OK)
        die("an outcome was refused");
    if (update != NULL)
        sona_tools_sample_add(update, sona_tools_now_ns() - start);
    b->now_ms++;
}

/* Rows of `dim` floats that a decision reads: two heads per route, the code, MicroLoRA's A and the
 * learner's patterns, which are half as long (not the bank that people ask, which has more). */
static uint32_t rows_of_decide(const struct bench *b)
{
    const struct sona_model_layout *layout = &b->engine->layout;
    struct sona_model_view view = sona_learner_view(b->engine->learner);

    return 2 * b->routes + layout->geometry.base_rank + layout->geometry.micro_rank +
           (sona_model_n_patterns(&view) + 1) / 2;
}

static void time_calls(struct bench *b)
{
    struct sona_tools_sample decide, update;
    char name[64];
    uint32_t rows;

    if (!sona_tools_sample_init(&decide, b->timed) || !sona_tools_sample_init(&update, b->timed))
        die("no memory");
    for (uint32_t i = 0; i < b->timed; i++)
        turn(b, &decide, &update);
    rows = rows_of_decide(b);
    snprintf(name, sizeof name, "decide/%u/%u%s", b->dim, b->routes, b->note ? b->note : "");
    if (wanted(b, name))
        print(name, &decide, "one stream over heads, code and patterns", stream_ns(rows, b->dim));
    snprintf(name, sizeof name, "update/%u/%u%s", b->dim, b->routes, b->note ? b->note : "");
    if (wanted(b, name))
        print(name, &update, "one stream over what decide reads and learning writes",
              stream_ns(rows + LEARN_VECTORS, b->dim));
    sona_tools_sample_done(&decide);
    sona_tools_sample_done(&update);
}

static void time_cycles(struct bench *b)
{
    struct sona_tools_sample sample;
    sona_cycle_report report;
    char name[64];

    snprintf(name, sizeof name, "cycle/%u/%u/%u%s", b->dim, b->routes, b->replay,
             b->note ? b->note : "");
    if (b->cycles == 0 || !wanted(b, name))
        return;
    if (!sona_tools_sample_init(&sample, b->cycles))
        die("no memory");
    for (uint32_t i = 0; i < b->cycles; i++) {
        uint64_t start;

        turn(b, NULL, NULL);
        start = thread_ns();
        if (sona_engine_learn_now(b->engine, b->now_ms, &report) != SONA_OK)
            die("a cycle failed");
        if (report.ran)
            sona_tools_sample_add(&sample, thread_ns() - start);
    }
    print(name, &sample, "21 streams over the replay", CYCLE_PASSES * stream_ns(b->replay, b->dim));
    sona_tools_sample_done(&sample);
}

int main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof benches / sizeof *benches; i++) {
        struct bench b = benches[i];

        b.glob = argc > 1 ? argv[1] : "*";
        b.random = sona_tools_random_init(1, i);
        make_queries(&b);
        make_engine(&b);
        for (uint32_t t = 0; t < b.replay; t++)
            turn(&b, NULL, NULL);
        time_calls(&b);
        time_cycles(&b);
        sona_engine_destroy(&b.engine);
        free(b.x);
    }
    return 0;
}
