/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Every kind of signal moves what it is about, in its direction, and says what it was about. */
#include "tests/engine/engine_fixture.h"

/* How far the adapter moves y at x along g. */
static double bend(const sona_engine *engine, const float *x, const float *g)
{
    float y[DIM];
    double sum = 0;

    cr_assert(eq(int, sona_engine_apply_micro(engine, x, DIM, y), SONA_OK));
    for (int i = 0; i < DIM; i++)
        sum += (double)g[i] * ((double)y[i] - (double)x[i]);
    return sum;
}

/* The change of route 1's prediction at x by this signal about a decision for it. */
static float moved_by(sona_signal signal, sona_signal_effect *effect, bool name_it)
{
    sona_engine *engine = engine_open();
    float x[DIM] = {1}, before = score(engine, x, 1), after;
    sona_decision d = forced(engine, x, 1, 0);

    if (name_it) {
        (void)forced(engine, x, 2, 0); /* another one is the last */
        signal = sona_signal_about(signal, d.id);
    }
    cr_assert(eq(int, sona_engine_learn(engine, &signal, 0, effect), SONA_OK));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_learned), 1));
    after = score(engine, x, 1);
    sona_engine_destroy(&engine);
    return after - before;
}

Test(signal, good_feedback_raises_and_bad_feedback_lowers_the_last_decision)
{
    sona_signal_effect effect;

    cr_assert(gt(flt, moved_by(sona_signal_positive(12, SONA_THUMBS_UP), &effect, false), 0.01f));
    cr_assert(eq(int, effect, SONA_SIGNAL_LAST));
    cr_assert(
        lt(flt, moved_by(sona_signal_negative(12, SONA_THUMBS_DOWN), &effect, false), -0.01f));
    cr_assert(lt(flt, moved_by(sona_signal_negative(0, SONA_REGENERATE), &effect, false), 0));
    cr_assert(gt(flt, moved_by(sona_signal_feedback(true, 5, 0.8f), &effect, false), 0.01f));
    cr_assert(lt(flt, moved_by(sona_signal_feedback(false, 5, 0.1f), &effect, false), -0.01f));
}

Test(signal, one_that_names_a_decision_is_about_that_one)
{
    sona_signal_effect effect;

    cr_assert(gt(flt, moved_by(sona_signal_positive(1, SONA_THUMBS_UP), &effect, true), 0.01f));
    cr_assert(eq(int, effect, SONA_SIGNAL_NAMED));
    cr_assert(lt(flt, moved_by(sona_signal_negative(1, SONA_THUMBS_DOWN), &effect, true), -0.01f));
}

static float moved_by_rewards(const float *rewards, uint32_t n)
{
    sona_engine *engine = engine_open();
    float x[DIM] = {1}, before = score(engine, x, 1), after;
    sona_signal_effect effect;
    sona_signal signal;
    uint64_t id;

    cr_assert(eq(int, sona_engine_begin(engine, x, DIM, 0, &id), SONA_OK));
    cr_assert(eq(int, sona_engine_route(engine, id, 1), SONA_OK));
    signal = sona_signal_trajectory(id, rewards, n);
    cr_assert(eq(int, sona_engine_learn(engine, &signal, 0, &effect), SONA_OK));
    cr_assert(eq(int, effect, SONA_SIGNAL_NAMED));
    after = score(engine, x, 1);
    sona_engine_destroy(&engine);
    return after - before;
}

Test(signal, the_rewards_of_a_trajectory_move_its_route_and_a_lone_step_does_too)
{
    const float good[] = {0.9f, 1, 0.8f}, bad[] = {0, 0.2f}, one = 1, equal[] = {0.1f, 0.1f};

    cr_assert(gt(flt, moved_by_rewards(good, 3), 0.01f));
    cr_assert(lt(flt, moved_by_rewards(bad, 2), -0.01f));
    cr_assert(gt(flt, moved_by_rewards(&one, 1), 0.01f));
    cr_assert(lt(flt, moved_by_rewards(equal, 2), -0.01f));
}

Test(signal, about_nothing_it_moves_the_baseline_that_trajectories_are_judged_by)
{
    sona_engine *engine = engine_open(), *fresh = engine_open();
    sona_signal up = sona_signal_positive(0, SONA_THUMBS_UP);
    sona_signal_effect effect;
    float x[DIM] = {1};
    uint64_t id;

    for (int i = 0; i < 50; i++)
        cr_assert(eq(int, sona_engine_learn(engine, &up, 0, &effect), SONA_OK));
    cr_assert(eq(int, effect, SONA_SIGNAL_BASELINE));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_signals), 50));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_baseline_updates), 50));
    cr_assert(zero(u64, engine_count(engine, SONA_COUNTER_learned)));
    cr_assert(eq(int, sona_engine_begin(engine, x, DIM, 0, &id), SONA_OK));
    cr_assert(eq(int, sona_engine_end(engine, id, 0.7f, 0), SONA_OK));
    cr_assert(eq(int, sona_engine_begin(fresh, x, DIM, 0, &id), SONA_OK));
    cr_assert(eq(int, sona_engine_end(fresh, id, 0.7f, 0), SONA_OK));
    cr_assert(gt(dbl, bend(fresh, x, x), 0), "above the baseline of .5");
    cr_assert(lt(dbl, bend(engine, x, x), 0), "below one of nearly .9");
    sona_engine_destroy(&engine);
    sona_engine_destroy(&fresh);
}

/* How far y at x moves along g after a signal of this quality with it, about a decision at x. */
static double bent_by(float quality, float scale, bool normalize)
{
    sona_config config = small_config();
    sona_engine *engine;
    float x[DIM] = {1}, g[DIM] = {0}, unit[DIM] = {0};
    sona_signal signal;
    double after;

    config.normalize = normalize;
    engine = engine_open_with(&config, ROUTES);
    g[5] = g[9] = scale;
    unit[5] = unit[9] = 0.70710678f;
    (void)forced(engine, x, 1, 0);
    signal = sona_signal_with_gradient(sona_signal_feedback(true, 0, quality), g, DIM);
    cr_assert(eq(int, sona_engine_learn(engine, &signal, 0, NULL), SONA_OK));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_gradient_updates), 1));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_learned), 1));
    after = bend(engine, x, unit);
    sona_engine_destroy(&engine);
    return after;
}

Test(signal, a_direction_moves_y_along_it_when_the_reward_was_good_and_against_it_when_bad)
{
    double good = bent_by(1, 1, true), bad = bent_by(0, 1, true);

    cr_assert(gt(dbl, good, 1e-5), "%g", good);
    cr_assert(lt(dbl, bad, -1e-5), "%g", bad);
    for (int normalize = 0; normalize < 2; normalize++) {
        cr_assert(lt(dbl, fabs(bent_by(1, 1e3f, normalize) - good), 1e-3 * good),
                  "its length does not matter");
        cr_assert(lt(dbl, fabs(bent_by(1, 1e-3f, normalize) - good), 1e-3 * good));
    }
}

Test(signal, directions_for_ever_leave_the_adapter_bounded)
{
    sona_engine *engine = engine_open();
    float g[DIM] = {0};
    sona_stats stats;

    for (int i = 0; i < 5000; i++) {
        g[i % 3] = i % 2 ? 1 : -1;
        sona_signal signal =
            sona_signal_with_gradient(sona_signal_positive(0, (float)(i % 2)), g, DIM);

        cr_assert(eq(int, sona_engine_learn(engine, &signal, 0, NULL), SONA_OK));
    }
    sona_engine_stats(engine, &stats);
    cr_assert(le(dbl, stats.micro_norm, 1.01));
    cr_assert(eq(u64, stats.counter[SONA_COUNTER_gradient_updates], 5000));
    sona_engine_destroy(&engine);
}

Test(signal, a_bad_one_is_counted_and_changes_nothing)
{
    sona_engine *engine = engine_open();
    float x[DIM] = {1}, zeros[DIM] = {0}, nan[DIM] = {NAN};
    sona_signal up = sona_signal_positive(0, SONA_THUMBS_UP);
    struct {
        sona_signal signal;
        sona_err err;
        sona_counter counter;
    } cases[] = {
        {sona_signal_positive(0, NAN), SONA_E_NOT_FINITE, SONA_COUNTER_drop_not_finite},
        {sona_signal_positive(NAN, 1), SONA_E_NOT_FINITE, SONA_COUNTER_drop_not_finite},
        {sona_signal_positive(0, 1.5f), SONA_E_RANGE, SONA_COUNTER_drop_range},
        {sona_signal_positive(-1, 0.5f), SONA_E_RANGE, SONA_COUNTER_drop_range},
        {sona_signal_trajectory(1, NULL, 0), SONA_E_NOT_FINITE, SONA_COUNTER_drop_not_finite},
        {sona_signal_with_gradient(up, x, 7), SONA_E_SHAPE, SONA_COUNTER_drop_shape},
        {sona_signal_with_gradient(up, nan, DIM), SONA_E_NOT_FINITE, SONA_COUNTER_drop_not_finite},
        {sona_signal_with_gradient(up, zeros, DIM), SONA_E_ZERO_VECTOR,
         SONA_COUNTER_drop_zero_vector},
    };
    sona_stats before;

    (void)forced(engine, x, 1, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sona_engine_stats(engine, &before);
        cr_assert(eq(int, sona_engine_learn(engine, &cases[i].signal, 0, NULL), cases[i].err),
                  "case %zu", i);
        assert_counted(engine, &before, cases[i].counter);
    }
    cr_assert(eq(int, sona_engine_learn(engine, NULL, 0, NULL), SONA_E_ARGUMENT));
    cr_assert(eq(int, sona_engine_learn(NULL, &up, 0, NULL), SONA_E_ARGUMENT));
    sona_engine_destroy(&engine);
}
