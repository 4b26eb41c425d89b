/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What the engine does over many calls: it learns, it repeats itself to the bit, it adds up. */
#include <math.h>

#include "engine/kernels/kernels.h"
#include "tests/engine/engine_fixture.h"

/* Each topic has its specialist, which does well; the others do badly. Any fixed route, and a
 * random one, gets .45 in the mean; the best policy .85. */
static float quality_of(uint32_t topic, sona_route route, struct dice *dice)
{
    return (SONA_ROUTE_INDEX(route) == topic ? 0.75f : 0.15f) + 0.2f * dice_unit(dice);
}

/* Rounds of decide and outcome; returns the mean quality. */
static double play(sona_engine *engine, struct dice *dice, int rounds, uint64_t *now_ms)
{
    double sum = 0;

    for (int i = 0; i < rounds; i++) {
        uint32_t topic = dice_below(dice, ROUTES);
        float x[DIM], quality;
        sona_decision decision;

        query(x, topic, dice);
        cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, *now_ms, &decision), SONA_OK));
        quality = quality_of(topic, decision.route, dice);
        cr_assert(eq(int, sona_engine_outcome(engine, decision.id, quality, 0, *now_ms), SONA_OK));
        sum += (double)quality;
        (*now_ms)++;
    }
    return sum / rounds;
}

Test(engine_learning, specialists_are_found)
{
    struct dice dice = dice_open("specialists");
    sona_engine *engine = engine_open();
    uint64_t now_ms = 0;
    double late;

    play(engine, &dice, 600, &now_ms);
    late = play(engine, &dice, 400, &now_ms);
    /* Random is .45 with a standard error of .015; all the way to .85 leaves room to explore. */
    cr_assert(gt(dbl, late, 0.75), "mean quality %.3f SONA_TEST_SEED=%llu", late,
              (unsigned long long)dice.seed);
    cr_assert(gt(u64, engine_count(engine, SONA_COUNTER_background_cycles), 2));
    sona_engine_destroy(&engine);
}

Test(engine_learning, reported_propensities_are_the_frequencies)
{
    struct dice dice = dice_open("propensities");
    sona_candidates watch = {.mode = SONA_MODE_APPLY};
    sona_engine *engine = engine_open();
    double expected[ROUTES] = {0}, chosen[ROUTES] = {0}, chi2 = 0;
    uint64_t now_ms = 0;
    float x[DIM];

    play(engine, &dice, 40, &now_ms);
    query(x, 1, &dice);
    for (int i = 0; i < 20000; i++) {
        sona_decision decision;

        /* The model stays as it is: no outcome is told. */
        cr_assert(eq(int, sona_engine_decide(engine, x, DIM, &watch, now_ms, &decision), SONA_OK));
        chosen[decision.route] += 1;
        expected[decision.route] = 20000 * (double)decision.propensity;
    }
    for (int k = 0; k < ROUTES; k++) {
        cr_assert(gt(dbl, expected[k], 20000 * 0.005 / ROUTES * 0.999), "every route is tried");
        chi2 += (chosen[k] - expected[k]) * (chosen[k] - expected[k]) / expected[k];
    }
    cr_assert(le(dbl, fabs(expected[0] + expected[1] + expected[2] - 20000), 0.1));
    /* 2 degrees of freedom: beyond 27.6 once in a million runs. */
    cr_assert(lt(dbl, chi2, 27.6), "chi-square %.1f SONA_TEST_SEED=%llu", chi2,
              (unsigned long long)dice.seed);
    sona_engine_destroy(&engine);
}

/* Decisions, outcomes, trajectories, route changes, time: the same for equal dice. */
static void live(sona_engine *engine, struct dice *dice, uint32_t calls)
{
    uint64_t ids[16] = {0}, now_ms = 0;

    for (uint32_t i = 0; i < calls; i++) {
        uint32_t at = dice_below(dice, 16), topic = dice_below(dice, ROUTES);
        float x[DIM], reward = dice_unit(dice);
        sona_decision decision;
        sona_route route;

        now_ms += dice_below(dice, 40);
        query(x, topic, dice);
        switch (dice_below(dice, 12)) {
        case 0:
            sona_engine_begin(engine, x, DIM, now_ms, &ids[at]);
            break;
        case 1:
            sona_engine_step(engine, ids[at], &(sona_step){.reward = reward});
            break;
        case 2:
            sona_engine_route(engine, ids[at], dice_below(dice, 5));
            break;
        case 3:
            sona_engine_tick(engine, now_ms, NULL);
            break;
        case 4:
            x[3] = dice_below(dice, 3) == 0 ? NAN : x[3];
            sona_engine_score(engine, x, DIM, (float[8]){0});
            break;
        case 5:
            if (dice_below(dice, 20) == 0 &&
                sona_engine_route_retire(engine, dice_below(dice, 3)) == SONA_OK)
                sona_engine_route_add(engine, &(sona_route_spec){.name = "again"}, &route);
            break;
        case 6:
        case 7:
        case 8:
            if (sona_engine_decide(engine, x, DIM, NULL, now_ms, &decision) == SONA_OK)
                ids[at] = decision.id;
            break;
        default:
            sona_engine_outcome(engine, ids[at], quality_of(topic, topic, dice), 0, now_ms);
        }
    }
}

static bool same_stats(const sona_engine *a, const sona_engine *b)
{
    sona_stats one, two;

    memset(&one, 0, sizeof(one));
    memset(&two, 0, sizeof(two));
    sona_engine_stats(a, &one);
    sona_engine_stats(b, &two);
    return memcmp(&one, &two, sizeof(one)) == 0;
}

Test(engine_learning, the_same_calls_give_the_same_bytes)
{
    for (const struct sona_kernels *const *row = sona_kernels_all(); *row != NULL; row++) {
        struct dice dice = dice_open("same bytes"), again = dice;
        sona_engine *a = engine_open(), *b = engine_open();

        if (!sona_kernels_select((*row)->name))
            continue;
        live(a, &dice, 5000);
        live(b, &again, 5000);
        cr_assert(gt(u64, engine_count(a, SONA_COUNTER_background_cycles), 1));
        cr_assert(same_model(a, b), "%s SONA_TEST_SEED=%llu", (*row)->name,
                  (unsigned long long)dice.seed);
        cr_assert(same_stats(a, b), "%s SONA_TEST_SEED=%llu", (*row)->name,
                  (unsigned long long)dice.seed);
        live(a, &dice, 1);
        live(a, &dice, 200);
        cr_assert(not(same_model(a, b)), "the comparison sees a difference");
        sona_engine_destroy(&a);
        sona_engine_destroy(&b);
    }
}

Test(engine_learning, another_seed_explores_otherwise)
{
    struct dice dice = dice_open("another seed");
    sona_config config = small_config();
    sona_engine *a = engine_open(), *b;
    int differences = 0;
    float x[DIM];

    config.seed = 2;
    b = engine_open_with(&config, ROUTES);
    query(x, 0, &dice);
    for (int i = 0; i < 100; i++) {
        sona_decision one, two;

        cr_assert(eq(int, sona_engine_decide(a, x, DIM, NULL, 0, &one), SONA_OK));
        cr_assert(eq(int, sona_engine_decide(b, x, DIM, NULL, 0, &two), SONA_OK));
        differences += one.route != two.route;
    }
    /* Uniform over three routes: two thirds differ. */
    cr_assert(gt(int, differences, 30));
    sona_engine_destroy(&a);
    sona_engine_destroy(&b);
}

/* The n-th draw, refused calls that never reached it left out: what a client's lane 0 does. */
Test(engine_learning, draws_are_counted_from_zero_in_stream_zero)
{
    sona_engine *engine = engine_open();
    float x[DIM] = {1}, zero[DIM] = {0};
    sona_decision decision;

    for (uint64_t n = 0; n < 50; n++) {
        double u = (double)(sona_model_random(1, 0, n) >> 11) * 0x1p-53;

        sona_engine_decide(engine, zero, DIM, NULL, 0, &decision);
        cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, 0, &decision), SONA_OK));
        /* Nothing is known yet: uniform, in the order of the routes. */
        cr_assert(eq(u32, decision.route, (uint32_t)(u * ROUTES)), "draw %llu",
                  (unsigned long long)n);
    }
    sona_engine_destroy(&engine);
}

Test(engine_learning, every_event_ends_in_exactly_one_counter)
{
    struct dice dice = dice_open("every event");
    sona_engine *engine = engine_open();
    sona_stats s;
    uint64_t *c = s.counter, joined;

    live(engine, &dice, 20000);
    sona_engine_stats(engine, &s);
    joined = c[SONA_COUNTER_joined];
    cr_assert(eq(u64, c[SONA_COUNTER_decisions] + c[SONA_COUNTER_trajectories],
                 s.pending + joined + c[SONA_COUNTER_withdrawn] + c[SONA_COUNTER_defaulted] +
                     c[SONA_COUNTER_drop_evicted] + c[SONA_COUNTER_drop_abandoned]),
              "SONA_TEST_SEED=%llu", (unsigned long long)dice.seed);
    cr_assert(eq(u64,
                 joined + c[SONA_COUNTER_defaulted] + c[SONA_COUNTER_replacing] +
                     c[SONA_COUNTER_revoking],
                 c[SONA_COUNTER_learned] + c[SONA_COUNTER_replaced] + c[SONA_COUNTER_revoked] +
                     c[SONA_COUNTER_drop_disabled] + c[SONA_COUNTER_drop_bypass] +
                     c[SONA_COUNTER_drop_route_retired] + c[SONA_COUNTER_drop_revoke_late]),
              "SONA_TEST_SEED=%llu", (unsigned long long)dice.seed);
    cr_assert(gt(u64, c[SONA_COUNTER_learned], 500));
    cr_assert(gt(u64, c[SONA_COUNTER_drop_abandoned], 0));
    cr_assert(eq(str, (char *)s.simd, (char *)sona_kernels_active()->name));
    sona_engine_destroy(&engine);
}

/* Whose query it is matters through every call that takes a tenant. */
Test(engine_learning, a_tenant_has_scores_and_an_adapter_of_its_own)
{
    sona_config config = small_config();
    const uint32_t legal = sona_tenant_key("legal"), sales = sona_tenant_key("sales");
    float x[DIM] = {1}, all[ROUTES + 5], ours[ROUTES + 5], theirs[ROUTES + 5], y[2][DIM];
    sona_engine *engine;

    config.tenants_max = 4;
    engine = engine_open_with(&config, ROUTES);
    for (uint64_t n = 0; n < 120; n++) {
        const uint32_t tenant = n % 2 ? legal : sales;
        uint32_t route = (uint32_t)(n / 2 % ROUTES);
        bool good = route == (tenant == legal ? 0u : 2u);
        uint64_t id;

        cr_assert(eq(int, sona_engine_begin_tenant(engine, tenant, x, DIM, n, &id), SONA_OK));
        cr_assert(eq(int, sona_engine_route(engine, id, route), SONA_OK));
        cr_assert(eq(int, sona_engine_end(engine, id, good ? 0.95f : 0.1f, n), SONA_OK));
    }
    cr_assert(eq(int, sona_engine_score(engine, x, DIM, all), SONA_OK));
    cr_assert(eq(int, sona_engine_score_tenant(engine, legal, x, DIM, ours), SONA_OK));
    cr_assert(eq(int, sona_engine_score_tenant(engine, sales, x, DIM, theirs), SONA_OK));
    cr_assert(gt(flt, ours[0], ours[2]));
    cr_assert(gt(flt, theirs[2], theirs[0]));
    cr_assert(eq(int, sona_engine_score_tenant(engine, 12345, x, DIM, ours), SONA_OK));
    cr_assert(zero(int, memcmp(all, ours, ROUTES * sizeof(float))), "nobody that is known");

    cr_assert(eq(int, sona_engine_apply(engine, x, DIM, y[0]), SONA_OK));
    cr_assert(eq(int, sona_engine_apply_tenant(engine, legal, x, DIM, y[1]), SONA_OK));
    cr_assert(ne(int, memcmp(y[0], y[1], sizeof y[0]), 0));
    cr_assert(eq(int, sona_engine_apply_tenant(engine, 12345, x, DIM, y[1]), SONA_OK));
    cr_assert(zero(int, memcmp(y[0], y[1], sizeof y[0])));
    sona_engine_destroy(&engine);
}

Test(engine_learning, patterns_are_found_near_what_was_asked)
{
    struct dice dice = dice_open("patterns");
    sona_engine *engine = engine_open();
    sona_pattern found[4];
    sona_cycle_report report;
    uint64_t now_ms = 0;
    uint32_t count = 99;
    float x[DIM];

    query(x, 0, &dice);
    cr_assert(eq(int, sona_engine_find_patterns(engine, x, DIM, 4, found, &count), SONA_OK));
    cr_assert(zero(u32, count));
    play(engine, &dice, 300, &now_ms);
    cr_assert(eq(int, sona_engine_learn_now(engine, now_ms, &report), SONA_OK));
    cr_assert(report.ran);
    cr_assert(gt(u64, report.replayed, 0));
    cr_assert(gt(u32, report.patterns, 0));
    cr_assert(eq(int, sona_engine_find_patterns(engine, x, DIM, 4, found, &count), SONA_OK));
    cr_assert(gt(u32, count, 0));
    for (uint32_t i = 1; i < count; i++)
        cr_assert(le(flt, found[i - 1].distance, found[i].distance));
    sona_engine_destroy(&engine);
}

Test(engine_learning, the_table_shows_the_routes)
{
    sona_engine *engine = engine_open();
    sona_route_info info[8];
    uint32_t count;

    cr_assert(eq(int, sona_engine_routes(engine, info, 8, &count), SONA_OK));
    cr_assert(eq(u32, count, ROUTES));
    for (uint32_t k = 0; k < count; k++) {
        char name[24];

        snprintf(name, sizeof(name), "route-%u", k);
        cr_assert(eq(str, info[k].name, name));
        cr_assert(eq(int, info[k].state, SONA_ROUTE_ENABLED));
        cr_assert(eq(flt, info[k].mean_quality, 0.5f));
    }
    cr_assert(eq(int, sona_engine_routes(engine, info, 1, &count), SONA_OK));
    cr_assert(eq(u32, count, ROUTES), "rows in use, not rows copied");
    sona_engine_destroy(&engine);
}
