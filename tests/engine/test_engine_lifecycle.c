/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The life of outcomes and routes through the engine's calls: taken back, replaced, standing in for
 * those that never came; routes observed, bypassed, re-priced, believed in. */
#include "tests/engine/engine_fixture.h"

/* The books of sona/stats.h. */
static void assert_books(const sona_engine *engine, uint64_t seed)
{
    sona_stats s;

    sona_engine_stats(engine, &s);
#define N(name) s.counter[SONA_COUNTER_##name]
    cr_assert(eq(u64, N(decisions) + N(trajectories),
                 s.pending + N(joined) + N(withdrawn) + N(defaulted) + N(drop_evicted) +
                     N(drop_abandoned)),
              "queries, seed %llu", (unsigned long long)seed);
    cr_assert(eq(u64, N(outcomes) + N(revokes) + N(strays),
                 s.parked_now + N(joined) + N(replacing) + N(revoking) + N(withdrawn) +
                     N(drop_unknown_id) + N(drop_duplicate) + N(drop_expired) + N(drop_foreign) +
                     N(drop_revoked) + N(drop_parked_full)),
              "words, seed %llu", (unsigned long long)seed);
    cr_assert(eq(u64, N(joined) + N(defaulted) + N(replacing) + N(revoking) + N(signals),
                 N(learned) + N(replaced) + N(revoked) + N(baseline_updates) + N(gradient_updates) +
                     N(drop_disabled) + N(drop_bypass) + N(drop_route_retired) +
                     N(drop_revoke_late)),
              "learning, seed %llu", (unsigned long long)seed);
#undef N
}

Test(lifecycle, a_thumbs_down_that_is_taken_back_lets_the_prediction_rise_again)
{
    sona_engine *engine = engine_open();
    float x[DIM] = {1}, before, down, after;
    sona_decision d;

    for (int i = 0; i < 5; i++)
        tell_of(engine, x, 1, 0.7f);
    before = score(engine, x, 1);
    d = forced(engine, x, 1, 0);
    cr_assert(eq(int, sona_engine_outcome(engine, d.id, 0, 0, 0), SONA_OK));
    down = score(engine, x, 1);
    cr_assert(lt(flt, down, before));
    cr_assert(eq(int, sona_engine_revoke(engine, d.id, 0), SONA_OK));
    after = score(engine, x, 1);
    cr_assert(gt(flt, after, down + 0.8f * (before - down)), "%g, %g, %g", (double)before,
              (double)down, (double)after);
    cr_assert(eq(int, sona_engine_revoke(engine, d.id, 0), SONA_E_DUPLICATE));
    cr_assert(eq(int, sona_engine_outcome(engine, d.id, 0, 0, 0), SONA_E_DUPLICATE));
    cr_assert(eq(flt, score(engine, x, 1), after), "neither changed anything");
    cr_assert(eq(int, sona_engine_revoke(NULL, d.id, 0), SONA_E_ARGUMENT));
    cr_assert(eq(int, sona_engine_revoke(engine, 4711, 0), SONA_E_UNKNOWN_ID));
    assert_books(engine, 0);
    sona_engine_destroy(&engine);
}

Test(lifecycle, the_second_of_two_different_outcomes_counts)
{
    sona_engine *engine = engine_open();
    float x[DIM] = {1};
    sona_route_info info[8];
    uint32_t n;
    sona_decision d = forced(engine, x, 2, 0);

    cr_assert(eq(int, sona_engine_outcome(engine, d.id, 0.1f, 0, 10), SONA_OK));
    cr_assert(eq(int, sona_engine_outcome(engine, d.id, 0.9f, 0, 1000), SONA_OK));
    cr_assert(eq(int, sona_engine_outcome(engine, d.id, 0.9f, 0, 1000), SONA_E_DUPLICATE));
    cr_assert(eq(int, sona_engine_outcome(engine, d.id, 0.2f, 0, 1001), SONA_E_TIMEOUT));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_replaced), 1));
    cr_assert(eq(int, sona_engine_routes(engine, info, 8, &n), SONA_OK));
    cr_assert(eq(flt, info[2].outcomes, 1));
    cr_assert(ieee_ulp_eq(flt, info[2].mean_quality, (0.9f + 0.5f) / 2, 8));
    cr_assert(gt(flt, score(engine, x, 2), score(engine, x, 1)));
    assert_books(engine, 0);
    sona_engine_destroy(&engine);
}

Test(lifecycle, a_decision_nobody_answers_is_learned_with_the_default_quality)
{
    sona_config config = small_config();
    sona_engine *engine, *none;
    float x[DIM] = {1}, before;
    sona_decision d, fresh;

    config.default_quality = 0.125f;
    engine = engine_open_with(&config, ROUTES);
    d = forced(engine, x, 1, 0);
    fresh = forced(engine, x, 1, 500);
    before = score(engine, x, 1);
    cr_assert(eq(int, sona_engine_tick(engine, 1000, NULL), SONA_OK));
    cr_assert(zero(u64, engine_count(engine, SONA_COUNTER_learned)));
    cr_assert(eq(int, sona_engine_tick(engine, 1001, NULL), SONA_OK));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_defaulted), 1));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_learned), 1));
    cr_assert(lt(flt, score(engine, x, 1), before));
    cr_assert(eq(int, sona_engine_outcome(engine, d.id, 1, 0, 1001), SONA_E_TIMEOUT));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_drop_expired), 1));
    cr_assert(eq(int, sona_engine_outcome(engine, fresh.id, 1, 0, 1001), SONA_OK));
    assert_books(engine, 0);
    sona_engine_destroy(&engine);

    none = engine_open();
    forced(none, x, 1, 0);
    cr_assert(eq(int, sona_engine_tick(none, 1001, NULL), SONA_OK));
    cr_assert(zero(u64, engine_count(none, SONA_COUNTER_learned)));
    cr_assert(eq(u64, engine_count(none, SONA_COUNTER_drop_abandoned), 1));
    sona_engine_destroy(&none);
}

Test(lifecycle, a_route_under_observation_is_never_chosen_and_learns_what_is_forced)
{
    struct dice dice = dice_open("observe");
    sona_engine *engine = engine_open();
    float x[DIM] = {1};
    sona_route_info info[8];
    uint32_t n;
    sona_decision d;

    for (int i = 0; i < 20; i++)
        tell_of(engine, x, 1, 1); /* by far the best, were it allowed */
    cr_assert(eq(int, sona_engine_route_mode(engine, 1, SONA_MODE_OBSERVE), SONA_OK));
    for (int i = 0; i < 500; i++) {
        query(x, dice_below(&dice, 3), &dice);
        cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, 0, &d), SONA_OK));
        cr_assert(ne(u32, d.route, 1), "seed %llu", (unsigned long long)dice.seed);
    }
    cr_assert(eq(int, sona_engine_routes(engine, info, 8, &n), SONA_OK));
    cr_assert(eq(int, info[1].mode, SONA_MODE_OBSERVE));
    cr_assert(eq(int, info[1].state, SONA_ROUTE_ENABLED));
    tell_of(engine, x, 1, 0);
    cr_assert(eq(int, sona_engine_routes(engine, info, 8, &n), SONA_OK));
    cr_assert(eq(flt, info[1].outcomes, 21));

    sona_candidates only = {.restricted = true, .set = {1ull << 1}};
    cr_assert(eq(int, sona_engine_decide(engine, x, DIM, &only, 0, &d), SONA_E_NO_ROUTE));
    cr_assert(eq(int, sona_engine_route_mode(engine, 1, SONA_MODE_APPLY), SONA_OK));
    cr_assert(eq(int, sona_engine_decide(engine, x, DIM, &only, 0, &d), SONA_OK));
    cr_assert(eq(u32, d.route, 1));
    sona_engine_destroy(&engine);
}

Test(lifecycle, a_bypassed_route_is_neither_chosen_nor_learned_and_its_outcomes_are_counted)
{
    sona_engine *engine = engine_open();
    float x[DIM] = {1}, before;
    sona_decision d, early;

    early = forced(engine, x, 1, 0);
    tell_of(engine, x, 1, 1);
    before = score(engine, x, 1);
    cr_assert(eq(int, sona_engine_route_mode(engine, 1, SONA_MODE_BYPASS), SONA_OK));
    for (int i = 0; i < 40; i++) {
        cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, 0, &d), SONA_OK));
        cr_assert(ne(u32, d.route, 1));
    }
    d = forced(engine, x, 1, 0);
    cr_assert(eq(int, sona_engine_outcome(engine, d.id, 0, 0, 0), SONA_OK));
    cr_assert(eq(int, sona_engine_outcome(engine, early.id, 0, 0, 0), SONA_OK), "decided before");
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_drop_bypass), 2));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_learned), 1));
    cr_assert(eq(int, sona_engine_route_mode(engine, 1, SONA_MODE_APPLY), SONA_OK));
    cr_assert(eq(flt, score(engine, x, 1), before));
    assert_books(engine, 0);

    cr_assert(eq(int, sona_engine_route_mode(engine, 7, SONA_MODE_APPLY), SONA_E_ROUTE));
    cr_assert(eq(int, sona_engine_route_mode(engine, SONA_ROUTE_ID(1, 1), SONA_MODE_APPLY),
                 SONA_E_ROUTE));
    cr_assert(eq(int, sona_engine_route_mode(engine, 1, (sona_mode)3), SONA_E_RANGE));
    cr_assert(eq(int, sona_engine_route_mode(NULL, 1, SONA_MODE_APPLY), SONA_E_ARGUMENT));
    sona_engine_destroy(&engine);
}

Test(lifecycle, a_new_cost_counts_from_the_next_decision_on)
{
    sona_config config = small_config();
    sona_engine *engine;
    float x[DIM] = {1}, before;

    config.lambda = 0.5f;
    engine = engine_open_with(&config, 2);
    before = score(engine, x, 0);
    cr_assert(eq(int, sona_engine_route_cost(engine, 0, 0.5f), SONA_OK));
    cr_assert(ieee_ulp_eq(flt, score(engine, x, 0), before - 0.25f, 8));
    cr_assert(eq(int, sona_engine_route_cost(engine, 0, 1.5f), SONA_E_RANGE));
    cr_assert(eq(int, sona_engine_route_cost(engine, 0, NAN), SONA_E_RANGE));
    cr_assert(eq(int, sona_engine_route_cost(engine, 5, 0), SONA_E_ROUTE));
    cr_assert(eq(int, sona_engine_route_cost(NULL, 0, 0), SONA_E_ARGUMENT));
    cr_assert(ieee_ulp_eq(flt, score(engine, x, 0), before - 0.25f, 8), "refused is unchanged");
    sona_engine_destroy(&engine);
}

/* How far believing a lot (.9 weighing 20 outcomes) lifts a route above believing nothing much,
 * after `n` outcomes of .3 for both. */
static float head_start(uint32_t n)
{
    sona_config config = small_config();
    sona_route_spec specs[2] = {route_named("believed"), route_named("unknown")};
    sona_engine *engine = NULL;
    float x[DIM] = {1}, lift;
    sona_diag diag;

    specs[0].prior_quality = 0.9f;
    specs[0].prior_weight = 20;
    cr_assert(eq(int, sona_engine_create(&engine, &config, specs, 2, &diag), SONA_OK));
    for (uint32_t i = 0; i < n; i++) {
        tell_of(engine, x, 0, 0.3f);
        tell_of(engine, x, 1, 0.3f);
    }
    lift = score(engine, x, 0) - score(engine, x, 1);
    sona_engine_destroy(&engine);
    return lift;
}

Test(lifecycle, a_prior_decides_a_cold_start_and_fades_with_the_outcomes)
{
    float cold = head_start(0), warm = head_start(10), hot = head_start(400);

    cr_assert(gt(flt, cold, 0.35f), "%g", (double)cold);
    cr_assert(gt(flt, warm, 0.05f), "%g", (double)warm);
    cr_assert(lt(flt, warm, cold), "%g, %g", (double)warm, (double)cold);
    cr_assert(lt(flt, fabsf(hot), 0.05f), "%g", (double)hot);
}

/* One call of any kind, about one of the last few ids, right or wrong. */
static void do_anything(sona_engine *engine, struct dice *dice, uint64_t now_ms)
{
    uint64_t newest = engine->ids, id = newest - dice_below(dice, 80);
    float x[DIM];
    sona_decision d;
    sona_route added;

    switch (dice_below(dice, 40)) {
    case 0:
        sona_engine_set_enabled(engine, dice_below(dice, 4) > 0);
        break;
    case 1:
        (void)sona_engine_route_mode(engine, dice_below(dice, 4), dice_below(dice, 4));
        break;
    case 2:
        if (dice_below(dice, 8) == 0) {
            char name[24];

            (void)sona_engine_route_retire(engine, SONA_ROUTE_ID(3 + dice_below(dice, 3), 0));
            snprintf(name, sizeof name, "late-%llu", (unsigned long long)dice_next(dice) % 1000);
            sona_route_spec spec = route_named(name);
            (void)sona_engine_route_add(engine, &spec, &added);
        }
        break;
    case 3:
        (void)sona_engine_tick(engine, now_ms, NULL);
        break;
    case 4:
        (void)sona_engine_begin(engine, x, dice_below(dice, 2) ? DIM : 3, now_ms, &id);
        break;
    case 5:
        (void)sona_engine_step(engine, id, &(sona_step){.reward = 1});
        break;
    case 6:
    case 7:
    case 8:
    case 9:
        (void)sona_engine_revoke(engine, id, now_ms);
        break;
    case 11:
    case 12: {
        sona_signal signal = sona_signal_positive(1, (float)dice_below(dice, 5) / 4);

        query(x, dice_below(dice, 3), dice);
        if (dice_below(dice, 2))
            signal = sona_signal_with_gradient(signal, x, DIM);
        if (dice_below(dice, 4) == 0)
            signal.id = id;
        (void)sona_engine_learn(engine, &signal, now_ms, NULL);
        break;
    }
    case 10:
        query(x, dice_below(dice, 3), dice);
        (void)sona_engine_begin(engine, x, DIM, now_ms, &id);
        (void)sona_engine_route(engine, id, dice_below(dice, 6));
        break;
    default:
        if (dice_below(dice, 2) == 0) {
            query(x, dice_below(dice, 3), dice);
            (void)sona_engine_decide(engine, x, DIM, NULL, now_ms, &d);
        } else {
            (void)sona_engine_outcome(engine, id, (float)dice_below(dice, 5) / 4, 0, now_ms);
        }
    }
}

static void keep_books(float default_quality)
{
    static const sona_counter reached[] = {
        SONA_COUNTER_replaced,       SONA_COUNTER_revoked,         SONA_COUNTER_drop_revoked,
        SONA_COUNTER_withdrawn,      SONA_COUNTER_drop_bypass,     SONA_COUNTER_drop_disabled,
        SONA_COUNTER_drop_duplicate, SONA_COUNTER_drop_expired,    SONA_COUNTER_drop_revoke_late,
        SONA_COUNTER_drop_evicted,   SONA_COUNTER_drop_unknown_id, SONA_COUNTER_gradient_updates};
    struct dice dice = dice_open("books");
    sona_config config = small_config();
    sona_engine *engine;
    uint64_t now_ms = 0;

    config.default_quality = default_quality;
    config.trajectory_capacity = 48;
    config.replay_capacity = 64;
    engine = engine_open_with(&config, 6);
    for (int i = 0; i < 20000; i++) {
        now_ms += dice_below(&dice, 60);
        do_anything(engine, &dice, now_ms);
        if (i % 16 == 0)
            assert_books(engine, dice.seed);
    }
    for (size_t i = 0; i < sizeof reached / sizeof *reached; i++)
        cr_assert(gt(u64, engine_count(engine, reached[i]), 0), "%s was not reached, seed %llu",
                  sona_counter_name(reached[i]), (unsigned long long)dice.seed);
    cr_assert(eq(int, engine_count(engine, SONA_COUNTER_defaulted) > 0, default_quality >= 0));
    sona_engine_destroy(&engine);
}

Test(lifecycle, the_books_balance_whatever_is_said, .timeout = 120)
{
    keep_books(-1);
}

Test(lifecycle, the_books_balance_with_a_default_quality, .timeout = 120)
{
    keep_books(0.5f);
}
