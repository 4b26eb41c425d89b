/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* A small engine with three routes, and queries for it. */
#ifndef SONA_TESTS_ENGINE_ENGINE_FIXTURE_H
#define SONA_TESTS_ENGINE_ENGINE_FIXTURE_H

#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <sona/engine.h>

#include "engine/facade.h"
#include "tests/engine/dice.h"

#define DIM    32
#define ROUTES 3

static inline sona_config small_config(void)
{
    sona_config config;

    sona_config_init(&config);
    config.hidden_dim = config.embedding_dim = DIM;
    config.routes_max = 8;
    config.attention_dim = 4;
    config.trajectory_capacity = 64;
    config.replay_capacity = 512;
    config.max_trajectory_steps = 3;
    config.feedback_window_ms = 1000;
    return config;
}

static inline sona_route_spec route_named(const char *name)
{
    sona_route_spec spec = {.prior_quality = 0.5f, .prior_weight = 1};

    snprintf(spec.name, sizeof(spec.name), "%s", name);
    return spec;
}

static inline sona_engine *engine_open_with(const sona_config *config, uint32_t n_routes)
{
    sona_route_spec specs[SONA_ROUTES_MAX];
    sona_engine *engine = NULL;
    sona_diag diag = {.text = ""};

    for (uint32_t i = 0; i < n_routes; i++) {
        char name[24];

        snprintf(name, sizeof(name), "route-%u", i);
        specs[i] = route_named(name);
    }
    cr_assert(eq(int, sona_engine_create(&engine, config, specs, n_routes, &diag), SONA_OK), "%s",
              diag.text);
    return engine;
}

static inline sona_engine *engine_open(void)
{
    sona_config config = small_config();

    return engine_open_with(&config, ROUTES);
}

/* A query of topic t: its own axis, and noise on all others. */
static inline void query(float x[DIM], uint32_t topic, struct dice *dice)
{
    for (int i = 0; i < DIM; i++)
        x[i] = 0.15f * dice_signed(dice);
    x[topic] += 1;
}

/* A decision for this very route, which waits for its outcome. */
static inline sona_decision forced(sona_engine *engine, const float *x, sona_route route,
                                   uint64_t now_ms)
{
    sona_candidates candidates = {.mode = SONA_MODE_OBSERVE, .forced = route};
    sona_decision d;

    cr_assert(eq(int, sona_engine_decide(engine, x, DIM, &candidates, now_ms, &d), SONA_OK));
    return d;
}

/* One outcome of this route at x, at the time 0. */
static inline void tell_of(sona_engine *engine, const float *x, sona_route route, float quality)
{
    sona_decision d = forced(engine, x, route, 0);

    cr_assert(eq(int, sona_engine_outcome(engine, d.id, quality, 0, 0), SONA_OK));
}

/* What the route is worth at x: its predicted quality, where its cost or lambda is 0. */
static inline float score(sona_engine *engine, const float *x, uint32_t route)
{
    float scores[SONA_ROUTES_MAX];

    cr_assert(eq(int, sona_engine_score(engine, x, DIM, scores), SONA_OK));
    return scores[route];
}

static inline bool same_model(const sona_engine *a, const sona_engine *b)
{
    struct sona_model_view va = sona_learner_view(a->learner), vb = sona_learner_view(b->learner);

    return memcmp(va.hot, vb.hot, va.layout->hot_bytes) == 0 &&
           memcmp(va.cold, vb.cold, va.layout->cold_bytes) == 0;
}

static inline uint64_t engine_count(const sona_engine *engine, sona_counter counter)
{
    sona_stats stats;

    sona_engine_stats(engine, &stats);
    return stats.counter[counter];
}

/* All counters but `counter`, which grew by one, are as before. */
static inline void assert_counted(const sona_engine *engine, const sona_stats *before,
                                  sona_counter counter)
{
    sona_stats after;

    sona_engine_stats(engine, &after);
    for (int i = 0; i < SONA_COUNTER_COUNT; i++)
        cr_assert(eq(u64, after.counter[i], before->counter[i] + (i == (int)counter)),
                  "%s after a refusal that belongs to %s", sona_counter_name((sona_counter)i),
                  sona_counter_name(counter));
    cr_assert(eq(u64, after.step, before->step));
    cr_assert(eq(u64, after.pending, before->pending));
}

#endif
