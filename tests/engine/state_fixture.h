/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A life of an engine: everything that it can be told, drawn from dice, so that two engines can be
 * told the same. And its state as bytes.
 */
#ifndef SONA_TESTS_ENGINE_STATE_FIXTURE_H
#define SONA_TESTS_ENGINE_STATE_FIXTURE_H

#include <stdlib.h>

#include "tests/engine/engine_fixture.h"

#define LIFE_IDS   48u /* decisions and trajectories that are talked about */
#define LIFE_NAMES 5u  /* that routes are called by */

/* One who tells an engine things. Copied, it tells another engine the same. */
struct life {
    struct dice dice;
    sona_config config;
    uint64_t now_ms, steps;
    uint64_t id[LIFE_IDS];
    sona_route route[LIFE_NAMES];
    uint32_t n_routes, names;
    uint64_t heard; /* a hash of every answer */
};

static inline void hear(struct life *life, const void *bytes, size_t n)
{
    const unsigned char *at = bytes;

    for (size_t i = 0; i < n; i++)
        life->heard = (life->heard ^ at[i]) * 0x100000001b3ull;
}

static inline void hear_error(struct life *life, sona_err err)
{
    hear(life, &err, sizeof err);
}

/* Queries of other directions every 400 events, and back. */
static inline void life_query(struct life *life, float x[DIM])
{
    uint32_t first = life->steps / 400 % 2 ? DIM / 2 : 0;

    query(x, first + dice_below(&life->dice, 4), &life->dice);
}

static inline uint32_t life_tenant(struct life *life)
{
    return life->config.tenants_max > 0 ? dice_below(&life->dice, life->config.tenants_max + 3) : 0;
}

static inline void live_decide(struct life *life, sona_engine *engine, uint32_t place)
{
    sona_candidates candidates = {.tenant = life_tenant(life),
                                  .no_explore = dice_below(&life->dice, 8) == 0};
    sona_decision decision = {.id = 0};
    float x[DIM];
    sona_err err;

    life_query(life, x);
    err = sona_engine_decide(engine, x, DIM, &candidates, life->now_ms, &decision);
    hear_error(life, err);
    hear(life, &decision.id, sizeof decision.id);
    hear(life, &decision.route, sizeof decision.route);
    hear(life, &decision.propensity, sizeof decision.propensity);
    hear(life, &decision.expected, sizeof decision.expected);
    if (err == SONA_OK)
        life->id[place] = decision.id;
}

static inline void live_trajectory(struct life *life, sona_engine *engine, uint32_t place)
{
    float x[DIM], h[DIM], attention[2] = {0.5f, 0.3f};
    uint64_t id = 0;

    life_query(life, x);
    hear_error(life,
               sona_engine_begin_tenant(engine, life_tenant(life), x, DIM, life->now_ms, &id));
    life->id[place] = id;
    hear_error(life, sona_engine_context(engine, id, "coding"));
    if (dice_below(&life->dice, 2))
        hear_error(life, sona_engine_route(engine, id,
                                           life->route[dice_below(&life->dice, life->n_routes)]));
    for (uint32_t n = dice_below(&life->dice, 5); n > 0; n--) {
        sona_step step = {.activations = h,
                          .n_activations = DIM,
                          .attention = attention,
                          .n_attention = 2,
                          .reward = dice_unit(&life->dice),
                          .rewarded = dice_below(&life->dice, 2),
                          .layer = dice_below(&life->dice, life->config.base_lora_layers),
                          .node_id = dice_below(&life->dice, 20)};

        life_query(life, h);
        hear_error(life, sona_engine_step(engine, id, &step));
    }
}

static inline void live_signal(struct life *life, sona_engine *engine, uint64_t id)
{
    sona_signal signal = sona_signal_positive(3, dice_unit(&life->dice));
    float g[DIM];

    life_query(life, g);
    if (dice_below(&life->dice, 2))
        signal = sona_signal_about(signal, id);
    if (dice_below(&life->dice, 2))
        signal = sona_signal_with_gradient(signal, g, DIM);
    hear_error(life, sona_engine_learn(engine, &signal, life->now_ms, NULL));
}

/* Routes come, go and change. */
static inline void live_routes(struct life *life, sona_engine *engine)
{
    uint32_t which = dice_below(&life->dice, life->n_routes);
    sona_route_spec spec;
    char name[24];

    switch (dice_below(&life->dice, 4)) {
    case 0:
        (void)snprintf(name, sizeof name, "late-%u", life->names++);
        spec = route_named(name);
        hear_error(life, sona_engine_route_retire(engine, life->route[which]));
        hear_error(life, sona_engine_route_add(engine, &spec, &life->route[which]));
        break;
    case 1:
        hear_error(life, sona_engine_route_cost(engine, life->route[which],
                                                0.1f * dice_unit(&life->dice)));
        break;
    case 2:
        hear_error(life, sona_engine_route_mode(engine, life->route[which],
                                                (sona_mode)dice_below(&life->dice, 2)));
        break;
    default:
        sona_engine_set_enabled(engine, dice_below(&life->dice, 4) > 0);
    }
}

static inline void live_bank(struct life *life, sona_engine *engine)
{
    sona_bank_report report;
    sona_pattern pattern[2];
    uint32_t n = 0;
    float x[DIM];

    life_query(life, x);
    hear_error(life, sona_engine_find_patterns(engine, x, DIM, 2, pattern, &n));
    hear(life, &n, sizeof n);
    if (n > 0)
        hear(life, &pattern[0].id, sizeof pattern[0].id);
    if (dice_below(&life->dice, 8) == 0)
        hear_error(life, sona_engine_patterns_consolidate(engine, 0.95f, &report));
}

/* What a running engine takes over. */
static inline void live_configure(struct life *life, sona_engine *engine)
{
    sona_config config = life->config;

    config.lambda = 0.2f * dice_unit(&life->dice);
    config.micro_lora_lr = 0.01f * dice_unit(&life->dice);
    config.pattern_similarity = 0.5f + 0.4f * dice_unit(&life->dice);
    hear_error(life, sona_engine_configure(engine, &config, NULL));
}

/* One event. */
static inline void live(struct life *life, sona_engine *engine)
{
    uint32_t what = dice_below(&life->dice, 100), place = dice_below(&life->dice, LIFE_IDS);
    uint64_t id = life->id[place];

    life->steps++;
    life->now_ms += dice_below(&life->dice, 12);
    sona_engine_set_enabled(engine, sona_engine_enabled(engine) || life->steps % 16 == 0);
    if (what < 42)
        live_decide(life, engine, place);
    else if (what < 80)
        hear_error(life, sona_engine_outcome(engine, id, dice_unit(&life->dice),
                                             dice_below(&life->dice, 50), life->now_ms));
    else if (what < 88)
        live_trajectory(life, engine, place);
    else if (what < 91)
        hear_error(life, sona_engine_revoke(engine, id, life->now_ms));
    else if (what < 94)
        live_signal(life, engine, id);
    else if (what < 96)
        live_bank(life, engine);
    else if (what < 97 && place % 8 == 0)
        live_configure(life, engine);
    else if (what < 97)
        live_routes(life, engine);
    else if (what < 98)
        hear_error(life, sona_engine_tick(engine, life->now_ms, NULL));
    else if (what < 99)
        hear_error(life, sona_engine_flush(engine, life->now_ms, NULL));
    else
        hear_error(life, sona_engine_learn_now(engine, life->now_ms, NULL));
}

static inline struct life life_begin(const char *name, const sona_config *config)
{
    struct life life = {.dice = dice_open(name), .config = *config, .n_routes = ROUTES};

    for (uint32_t k = 0; k < ROUTES; k++)
        life.route[k] = k;
    return life;
}

struct saved {
    unsigned char *bytes;
    size_t n;
};

static inline struct saved save(const sona_engine *engine)
{
    struct saved ret = {.bytes = NULL};
    size_t again;

    cr_assert(eq(int, sona_engine_save(engine, NULL, 0, &ret.n), SONA_E_LIMIT));
    ret.bytes = malloc(ret.n);
    cr_assert(eq(int, sona_engine_save(engine, ret.bytes, ret.n, &again), SONA_OK));
    cr_assert(eq(sz, again, ret.n));
    return ret;
}

static inline sona_engine *load_with(const struct saved *saved, const sona_config *config)
{
    sona_engine *engine = NULL;
    sona_diag diag = {.text = ""};

    cr_assert(eq(int, sona_engine_load(&engine, config, saved->bytes, saved->n, &diag), SONA_OK),
              "%s", diag.text);
    return engine;
}

/* Small enough that a test sees many of them, rich enough that every part is in use. */
static inline sona_config rich_config(void)
{
    sona_config config = small_config();

    config.base_lora_rank = 4;
    config.base_lora_layers = 3;
    config.replay_capacity = 300;
    config.pattern_clusters = 12;
    config.consolidation_interval = 200;
    config.step_capacity = 24;
    config.tenants_max = 4;
    config.regimes_max = 3;
    config.ewc = true;
    config.ewc_online = false;
    config.ewc_tasks_max = 3;
    config.ewc_fisher_samples = 40;
    return config;
}

#endif
