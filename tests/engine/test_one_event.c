/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* "It says it learned, nothing changed": one event, one visible change, through the front door. */
#include <math.h>

#include "tests/engine/engine_fixture.h"

/* Three topics, all routes alike: something is known everywhere, and it is not the answer. */
static void warm_up(sona_engine *engine, struct dice *dice)
{
    float x[DIM];

    for (int i = 0; i < 150; i++) {
        query(x, dice_below(dice, 3), dice);
        tell_of(engine, x, dice_below(dice, ROUTES), 0.4f + 0.2f * dice_unit(dice));
    }
}

/* At x the prediction moves by a visible amount in the direction of `quality`; at a query of
 * another topic by a third of that at most. */
static void expect_local_change(float quality)
{
    struct dice dice = dice_open(quality > 0.5f ? "a thumbs-up" : "a thumbs-down");
    double here = 0, elsewhere = 0;

    for (int round = 0; round < 20; round++) {
        sona_engine *engine = engine_open();
        float x[DIM], far[DIM] = {0}, near_before, far_before, change;

        warm_up(engine, &dice);
        query(x, 0, &dice);
        for (int i = 0; i < DIM; i++)
            far[i] = i == 1 ? 1 : 0;
        near_before = score(engine, x, 1);
        far_before = score(engine, far, 1);
        tell_of(engine, x, 1, quality);
        change = score(engine, x, 1) - near_before;
        cr_assert(gt(flt, quality > 0.5f ? change : -change, 0.003f), "SONA_TEST_SEED=%llu",
                  (unsigned long long)dice.seed);
        here += fabs((double)change);
        elsewhere += fabs((double)(score(engine, far, 1) - far_before));
        sona_engine_destroy(&engine);
    }
    cr_log_info("moved by %.4f at x, by %.4f elsewhere", here / 20, elsewhere / 20);
    cr_assert(lt(dbl, elsewhere, here / 3), "SONA_TEST_SEED=%llu", (unsigned long long)dice.seed);
}

Test(one_event, a_thumbs_down_lowers_the_prediction_at_its_query_and_hardly_elsewhere)
{
    expect_local_change(0);
}

Test(one_event, a_thumbs_up_raises_the_prediction_at_its_query_and_hardly_elsewhere)
{
    expect_local_change(1);
}

Test(one_event, the_very_first_outcome_teaches_whatever_it_says)
{
    for (int good = 0; good < 2; good++) {
        sona_engine *engine = engine_open();
        float x[DIM] = {1}, before = score(engine, x, 1), change;

        tell_of(engine, x, 1, (float)good);
        change = score(engine, x, 1) - before;
        cr_assert(gt(flt, good ? change : -change, 0.05f));
        cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_learned), 1));
        sona_engine_destroy(&engine);
    }
}

/* No variance, no advantage, no learning: not here. */
Test(one_event, equal_rewards_teach)
{
    sona_engine *engine = engine_open();
    struct dice dice = dice_open("equal rewards");
    float x[DIM], last;

    query(x, 0, &dice);
    last = fabsf(score(engine, x, 0) - 0.8f);
    for (int i = 0; i < 5; i++) {
        float off;

        tell_of(engine, x, 0, 0.8f);
        off = fabsf(score(engine, x, 0) - 0.8f);
        cr_assert(lt(flt, off, last), "outcome %d, SONA_TEST_SEED=%llu", i,
                  (unsigned long long)dice.seed);
        last = off;
    }
    sona_engine_destroy(&engine);
}

/* The first trajectory there is, with a single step, with and without a route. */
Test(one_event, a_first_trajectory_of_a_single_step_teaches)
{
    for (int routed = 0; routed < 2; routed++) {
        sona_engine *engine = engine_open();
        float x[DIM] = {0, 0, 1}, y[DIM], before = score(engine, x, 2), change = 0;
        uint64_t id;

        cr_assert(eq(int, sona_engine_begin(engine, x, DIM, 0, &id), SONA_OK));
        cr_assert(eq(int, sona_engine_step(engine, id, &(sona_step){.reward = 1}), SONA_OK));
        if (routed)
            cr_assert(eq(int, sona_engine_route(engine, id, 2), SONA_OK));
        cr_assert(eq(int, sona_engine_end(engine, id, 1, 0), SONA_OK));
        cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_learned), 1));
        if (routed)
            cr_assert(gt(flt, score(engine, x, 2), before + 0.05f));
        cr_assert(eq(int, sona_engine_apply(engine, x, DIM, y), SONA_OK));
        for (int i = 0; i < DIM; i++)
            change += fabsf(y[i] - x[i]);
        cr_assert(gt(flt, change, 1e-6f), "y is still x");
        sona_engine_destroy(&engine);
    }
}
