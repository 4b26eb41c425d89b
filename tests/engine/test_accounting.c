/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A million events, valid and not: the caller keeps his own account of what he was answered, and
 * the named counters must agree with it and with each other. SONA_TEST_EVENTS sets the number.
 */
#include <math.h>

#include "tests/engine/books.h"
#include "tests/engine/engine_fixture.h"

#define CLERK_IDS    128u
#define CLERK_ERRORS 32u

enum call { DECIDE, BEGIN, STEP, ROUTE, OUTCOME, END, REVOKE, CALLS };

/* One who makes all kinds of mistakes and writes down every answer. */
struct clerk {
    sona_engine *engine;
    sona_config config;
    struct dice dice;
    uint64_t answers[CALLS][CLERK_ERRORS];
    uint64_t events, bypassed, now_ms;
    uint64_t ids[CLERK_IDS]; /* decisions and trajectories, some long gone */
    uint32_t names;
};

static void note(struct clerk *c, enum call call, sona_err err)
{
    cr_assert(lt(u32, (uint32_t)err, CLERK_ERRORS));
    c->answers[call][err]++;
    c->events++;
}

static uint64_t noted(const struct clerk *c, enum call call, sona_err err)
{
    return c->answers[call][err];
}

static uint64_t noted_by_all(const struct clerk *c, sona_err err)
{
    uint64_t sum = 0;

    for (int call = 0; call < CALLS; call++)
        sum += c->answers[call][err];
    return sum;
}

static uint64_t *some_id(struct clerk *c)
{
    return &c->ids[dice_below(&c->dice, CLERK_IDS)];
}

/* A query; one in ten is not one. Returns its dimension. */
static uint32_t ask(struct clerk *c, float x[DIM + 1])
{
    uint32_t mistake = dice_below(&c->dice, 40);

    query(x, dice_below(&c->dice, ROUTES), &c->dice);
    if (mistake == 0)
        x[dice_below(&c->dice, DIM)] = dice_below(&c->dice, 2) ? NAN : -INFINITY;
    if (mistake == 1)
        memset(x, 0, DIM * sizeof *x);
    return mistake == 2 ? DIM - 1 : mistake == 3 ? DIM + 1 : DIM;
}

static float judge(struct clerk *c)
{
    static const float bad[] = {NAN, INFINITY, -0.01f, 1.01f};
    uint32_t mistake = dice_below(&c->dice, 40);

    return mistake < 4 ? bad[mistake] : (float)dice_below(&c->dice, 3) / 2;
}

static sona_route some_route(struct clerk *c)
{
    return SONA_ROUTE_ID(dice_below(&c->dice, 9), dice_below(&c->dice, 8) == 0);
}

static void decide(struct clerk *c)
{
    float x[DIM + 1], costs[8] = {0};
    sona_candidates how = {.costs = costs};
    uint32_t dim = ask(c, x), kind = dice_below(&c->dice, 24);
    sona_decision d;
    sona_err err;

    how.restricted = kind < 2;
    how.set[0] = kind == 0 ? 0 : dice_next(&c->dice);
    how.override_costs = kind == 2;
    costs[dice_below(&c->dice, 8)] = dice_below(&c->dice, 2) ? 2 : 1;
    how.mode = kind == 3 ? SONA_MODE_OBSERVE : kind == 4 ? SONA_MODE_BYPASS : SONA_MODE_APPLY;
    how.forced = some_route(c);
    err = sona_engine_decide(c->engine, x, dim, kind < 5 ? &how : NULL, c->now_ms, &d);
    note(c, DECIDE, err);
    if (err != SONA_OK)
        return;
    if (how.mode == SONA_MODE_BYPASS && kind < 5)
        c->bypassed++;
    else
        *some_id(c) = d.id;
}

static void begin(struct clerk *c)
{
    float x[DIM + 1];
    uint32_t dim = ask(c, x);
    uint64_t id;
    sona_err err = sona_engine_begin(c->engine, x, dim, c->now_ms, &id);

    note(c, BEGIN, err);
    if (err == SONA_OK)
        *some_id(c) = id;
}

static void step(struct clerk *c)
{
    static const float activations[DIM + 1] = {NAN, 1};
    uint32_t mistake = dice_below(&c->dice, 40);
    sona_step step = {
        .activations = activations + (mistake != 0),
        .n_activations = mistake == 1 ? 5000 : dice_below(&c->dice, DIM),
        .reward = mistake == 2 ? NAN : dice_unit(&c->dice),
        .layer = mistake == 3 ? 1000 : 0,
    };

    note(c, STEP, sona_engine_step(c->engine, *some_id(c), &step));
}

static void tell(struct clerk *c)
{
    uint64_t id = dice_below(&c->dice, 40) ? *some_id(c) : dice_next(&c->dice);
    float quality = judge(c);

    if (dice_below(&c->dice, 4))
        note(c, OUTCOME, sona_engine_outcome(c->engine, id, quality, 1, c->now_ms));
    else
        note(c, END, sona_engine_end(c->engine, id, quality, c->now_ms));
}

/* No event, but it decides what becomes of some: time, routes, the switch. */
static void meddle(struct clerk *c)
{
    sona_route_spec spec = route_named("");
    sona_route route;

    switch (dice_below(&c->dice, 4)) {
    case 0:
        c->now_ms += dice_below(&c->dice, 800);
        cr_assert(eq(int, sona_engine_tick(c->engine, c->now_ms, NULL), SONA_OK));
        break;
    case 1:
        sona_engine_set_enabled(c->engine, dice_below(&c->dice, 8) != 0);
        break;
    case 2:
        if (dice_below(&c->dice, 8) == 0)
            (void)sona_engine_route_retire(c->engine, some_route(c));
        break;
    default:
        snprintf(spec.name, sizeof spec.name, "new-%u", c->names++);
        (void)sona_engine_route_add(c->engine, &spec, &route);
    }
}

static void work(struct clerk *c)
{
    uint32_t kind = dice_below(&c->dice, 100);

    c->now_ms += dice_below(&c->dice, 4);
    if (kind < 38)
        decide(c);
    else if (kind < 45)
        begin(c);
    else if (kind < 53)
        step(c);
    else if (kind < 56)
        note(c, ROUTE, sona_engine_route(c->engine, *some_id(c), some_route(c)));
    else if (kind < 93)
        tell(c);
    else if (kind < 98)
        note(c, REVOKE, sona_engine_revoke(c->engine, *some_id(c), c->now_ms));
    else
        meddle(c);
}

/* His account against the counters. */
static void audit(const struct clerk *c)
{
    sona_stats s;
    const uint64_t *n = s.counter;
    const char *broken;

    sona_engine_stats(c->engine, &s);
    broken = books_broken(&s);
    cr_assert(eq(ptr, (void *)broken, NULL), "%s, SONA_TEST_SEED=%llu", broken,
              (unsigned long long)c->dice.seed);
    const struct {
        const char *what;
        uint64_t counted, noted;
    } same[] = {
        {"shape", n[BOOK(drop_shape)], noted_by_all(c, SONA_E_SHAPE)},
        {"not finite", n[BOOK(drop_not_finite)], noted_by_all(c, SONA_E_NOT_FINITE)},
        {"zero vector", n[BOOK(drop_zero_vector)], noted_by_all(c, SONA_E_ZERO_VECTOR)},
        {"range", n[BOOK(drop_range)], noted_by_all(c, SONA_E_RANGE)},
        {"no route", n[BOOK(drop_no_route)], noted_by_all(c, SONA_E_NO_ROUTE)},
        {"unknown route", n[BOOK(drop_route)],
         noted(c, DECIDE, SONA_E_ROUTE) + noted(c, ROUTE, SONA_E_ROUTE)},
        {"unknown id", n[BOOK(drop_unknown_id)], noted_by_all(c, SONA_E_UNKNOWN_ID)},
        {"duplicate", n[BOOK(drop_duplicate)] + n[BOOK(drop_revoked)],
         noted_by_all(c, SONA_E_DUPLICATE)},
        {"too late", n[BOOK(drop_expired)] + n[BOOK(drop_revoke_late)],
         noted_by_all(c, SONA_E_TIMEOUT)},
        {"steps beyond the limit", n[BOOK(drop_steps)], noted(c, STEP, SONA_E_LIMIT)},
        {"steps", n[BOOK(steps)], noted(c, STEP, SONA_OK)},
        {"decisions", n[BOOK(decisions)], noted(c, DECIDE, SONA_OK) - c->bypassed},
        {"trajectories", n[BOOK(trajectories)], noted(c, BEGIN, SONA_OK)},
        {"taken words",
         n[BOOK(joined)] + n[BOOK(replacing)] + n[BOOK(revoking)] + n[BOOK(withdrawn)],
         noted(c, OUTCOME, SONA_OK) + noted(c, END, SONA_OK) + noted(c, REVOKE, SONA_OK) +
             noted(c, OUTCOME, SONA_E_ROUTE) + noted(c, END, SONA_E_ROUTE) +
             n[BOOK(drop_revoke_late)]},
        {"all events", books_events(&s) + noted(c, ROUTE, SONA_OK) + c->bypassed, c->events},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        cr_assert(eq(u64, same[i].counted, same[i].noted), "%s, SONA_TEST_SEED=%llu", same[i].what,
                  (unsigned long long)c->dice.seed);
}

static uint64_t wanted_events(uint64_t otherwise)
{
    const char *wanted = getenv("SONA_TEST_EVENTS");

    return wanted != NULL ? strtoull(wanted, NULL, 10) : otherwise;
}

static void keep_books(const char *name, float default_quality)
{
    static const sona_counter seen[] = {
        BOOK(drop_not_finite),    BOOK(drop_shape),      BOOK(drop_range),
        BOOK(drop_zero_vector),   BOOK(drop_route),      BOOK(drop_no_route),
        BOOK(drop_route_retired), BOOK(drop_unknown_id), BOOK(drop_duplicate),
        BOOK(drop_expired),       BOOK(drop_evicted),    BOOK(drop_steps),
        BOOK(drop_disabled),      BOOK(strays),          BOOK(withdrawn),
        BOOK(replaced),           BOOK(revoked),         BOOK(drop_revoked),
        BOOK(drop_revoke_late),
    };
    struct clerk c = {.config = small_config(), .dice = dice_open(name)};
    uint64_t events = wanted_events(500000);

    c.config.replay_capacity = 64;
    c.config.base_lora_layers = 1;
    c.config.trajectory_capacity = 100;
    c.config.default_quality = default_quality;
    c.engine = engine_open_with(&c.config, 8);
    for (uint64_t next = 0; c.events < events;) {
        work(&c);
        if (c.events >= next) {
            audit(&c);
            next = c.events + (c.events < 2000 ? 1 : 1000);
        }
    }
    audit(&c);
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++)
        cr_assert(gt(u64, engine_count(c.engine, seen[i]), 0), "%s never happened",
                  sona_counter_name(seen[i]));
    cr_assert(gt(u64, engine_count(c.engine, SONA_COUNTER_learned), c.events / 50));
    cr_assert(gt(u64,
                 engine_count(c.engine, default_quality < 0 ? SONA_COUNTER_drop_abandoned
                                                            : SONA_COUNTER_defaulted),
                 0));
    sona_engine_destroy(&c.engine);
}

Test(accounting, every_event_of_a_mix_is_counted_once, .timeout = 3600)
{
    keep_books("every_event_of_a_mix_is_counted_once", -1);
}

Test(accounting, every_event_is_counted_once_when_silence_has_a_quality, .timeout = 3600)
{
    keep_books("every_event_is_counted_once_when_silence_has_a_quality", 0.25f);
}
