/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The engine's promises about single calls: what is refused, how it is counted, what one outcome
 * changes, what an engine costs. What it learns over many calls: test_engine_learning.c. */
#include <math.h>
#include <malloc.h>

#include "tests/engine/engine_fixture.h"

/* Call decide and expect a refusal under one counter. */
static void assert_refused(sona_engine *engine, const float *x, uint32_t dim,
                           const sona_candidates *candidates, sona_err err, sona_counter counter)
{
    sona_decision decision = {.id = 77};
    sona_stats before;
    uint64_t id = 78;

    sona_engine_stats(engine, &before);
    cr_assert(eq(int, sona_engine_decide(engine, x, dim, candidates, 0, &decision), err));
    cr_assert(eq(u64, decision.id, 77), "a refused call writes nothing");
    assert_counted(engine, &before, counter);
    if (candidates != NULL)
        return;
    sona_engine_stats(engine, &before);
    cr_assert(eq(int, sona_engine_begin(engine, x, dim, 0, &id), err));
    cr_assert(eq(u64, id, 78));
    assert_counted(engine, &before, counter);
}

Test(engine, a_wrong_shape_is_refused_and_counted)
{
    sona_engine *engine = engine_open();
    float x[2 * DIM] = {1}, y[2 * DIM];

    assert_refused(engine, x, DIM - 1, NULL, SONA_E_SHAPE, SONA_COUNTER_drop_shape);
    assert_refused(engine, x, DIM + 1, NULL, SONA_E_SHAPE, SONA_COUNTER_drop_shape);
    assert_refused(engine, x, 0, NULL, SONA_E_SHAPE, SONA_COUNTER_drop_shape);
    cr_assert(eq(int, sona_engine_apply(engine, x, DIM + 1, y), SONA_E_SHAPE));
    cr_assert(eq(int, sona_engine_apply_micro(engine, x, DIM + 1, y), SONA_E_SHAPE));
    cr_assert(eq(int, sona_engine_apply_base(engine, 0, x, DIM + 1, y), SONA_E_SHAPE));
    cr_assert(eq(int, sona_engine_score(engine, x, DIM + 1, y), SONA_E_SHAPE));
    sona_engine_destroy(&engine);
}

Test(engine, nan_and_infinity_are_refused_and_counted)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    sona_engine *engine = engine_open();

    for (int i = 0; i < 3; i++) {
        for (int at = 0; at < DIM; at += DIM - 1) {
            float x[DIM] = {0, 1}, y[DIM];

            x[at] = bad[i];
            assert_refused(engine, x, DIM, NULL, SONA_E_NOT_FINITE, SONA_COUNTER_drop_not_finite);
            cr_assert(eq(int, sona_engine_apply(engine, x, DIM, y), SONA_E_NOT_FINITE));
        }
    }
    sona_engine_destroy(&engine);
}

Test(engine, the_zero_vector_is_refused_and_counted)
{
    sona_engine *engine = engine_open();
    float x[DIM] = {0};

    assert_refused(engine, x, DIM, NULL, SONA_E_ZERO_VECTOR, SONA_COUNTER_drop_zero_vector);
    sona_engine_destroy(&engine);
}

Test(engine, a_quality_outside_0_to_1_is_refused_and_the_decision_still_waits)
{
    static const float bad[] = {7, -0.001f, 1.001f, NAN, INFINITY};
    sona_engine *engine = engine_open();
    float x[DIM] = {1};
    sona_decision decision;
    sona_stats before;

    cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, 0, &decision), SONA_OK));
    for (int i = 0; i < 5; i++) {
        bool finite = isfinite(bad[i]);

        sona_engine_stats(engine, &before);
        cr_assert(eq(int, sona_engine_outcome(engine, decision.id, bad[i], 0, 0),
                     finite ? SONA_E_RANGE : SONA_E_NOT_FINITE));
        assert_counted(engine, &before,
                       finite ? SONA_COUNTER_drop_range : SONA_COUNTER_drop_not_finite);
    }
    cr_assert(eq(int, sona_engine_outcome(engine, decision.id, 1, 0, 0), SONA_OK));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_learned), 1));
    sona_engine_destroy(&engine);
}

Test(engine, unknown_and_repeated_outcomes_are_told_apart)
{
    sona_engine *engine = engine_open();
    float x[DIM] = {1};
    sona_decision decision;

    cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, 0, &decision), SONA_OK));
    cr_assert(ne(u64, decision.id, 0));
    cr_assert(eq(int, sona_engine_outcome(engine, 0, 1, 0, 0), SONA_E_UNKNOWN_ID));
    cr_assert(eq(int, sona_engine_outcome(engine, decision.id + 1, 1, 0, 0), SONA_E_UNKNOWN_ID));
    cr_assert(eq(int, sona_engine_outcome(engine, decision.id, 1, 0, 0), SONA_OK));
    cr_assert(eq(int, sona_engine_outcome(engine, decision.id, 1, 0, 0), SONA_E_DUPLICATE));
    cr_assert(eq(int, sona_engine_outcome(engine, decision.id, 1, 0, 0), SONA_E_DUPLICATE));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_drop_unknown_id), 2));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_drop_duplicate), 2));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_learned), 1));
    sona_engine_destroy(&engine);
}

Test(engine, an_outcome_after_the_window_is_expired)
{
    sona_engine *engine = engine_open();
    float x[DIM] = {1};
    sona_decision late, never;

    cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, 0, &late), SONA_OK));
    cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, 500, &never), SONA_OK));
    cr_assert(eq(int, sona_engine_outcome(engine, late.id, 1, 0, 1001), SONA_E_TIMEOUT));
    cr_assert(eq(int, sona_engine_tick(engine, 1501, NULL), SONA_OK));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_drop_abandoned), 2));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_drop_expired), 1));
    cr_assert(zero(u64, engine_count(engine, SONA_COUNTER_learned)));
    sona_engine_destroy(&engine);
}

Test(engine, without_a_route_left_the_call_is_refused)
{
    sona_candidates nobody = {.restricted = true},
                    unknown = {.mode = SONA_MODE_OBSERVE, .forced = 9};
    sona_engine *engine = engine_open();
    float x[DIM] = {1}, scores[8];

    assert_refused(engine, x, DIM, &nobody, SONA_E_NO_ROUTE, SONA_COUNTER_drop_no_route);
    assert_refused(engine, x, DIM, &unknown, SONA_E_ROUTE, SONA_COUNTER_drop_route);
    for (sona_route route = 0; route < ROUTES; route++)
        cr_assert(eq(int, sona_engine_route_retire(engine, route), SONA_OK));
    cr_assert(eq(int, sona_engine_route_retire(engine, 0), SONA_E_ROUTE));
    cr_assert(
        eq(int, sona_engine_decide(engine, x, DIM, NULL, 0, &(sona_decision){0}), SONA_E_NO_ROUTE));
    cr_assert(eq(int, sona_engine_score(engine, x, DIM, scores), SONA_E_NO_ROUTE));
    sona_engine_destroy(&engine);
}

Test(engine, the_only_candidate_has_propensity_one)
{
    sona_config config = small_config();
    sona_engine *engine = engine_open_with(&config, 1);
    sona_candidates third = {.restricted = true, .set = {1u << 2}};
    float x[DIM] = {1};
    sona_decision decision;

    cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, 0, &decision), SONA_OK));
    cr_assert(eq(flt, decision.propensity, 1));
    cr_assert(eq(int, decision.why, SONA_WHY_ONLY));
    cr_assert(eq(u32, decision.route, 0));
    sona_engine_destroy(&engine);

    engine = engine_open();
    cr_assert(eq(int, sona_engine_decide(engine, x, DIM, &third, 0, &decision), SONA_OK));
    cr_assert(eq(flt, decision.propensity, 1));
    cr_assert(eq(u32, decision.route, 2));
    sona_engine_destroy(&engine);
}

Test(engine, a_retired_routes_late_outcome_changes_nothing)
{
    sona_candidates second = {.restricted = true, .set = {1u << 1}};
    sona_engine *engine = engine_open();
    sona_route_spec spec = route_named("successor");
    float x[DIM] = {1};
    sona_decision decision;
    sona_route successor;

    cr_assert(eq(int, sona_engine_decide(engine, x, DIM, &second, 0, &decision), SONA_OK));
    cr_assert(eq(int, sona_engine_route_retire(engine, decision.route), SONA_OK));
    cr_assert(eq(int, sona_engine_route_add(engine, &spec, &successor), SONA_OK));
    cr_assert(ne(u32, successor, decision.route), "an index is reused under another generation");
    cr_assert(eq(int, sona_engine_outcome(engine, decision.id, 1, 0, 0), SONA_E_ROUTE));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_drop_route_retired), 1));
    cr_assert(zero(u64, engine_count(engine, SONA_COUNTER_learned)));
    sona_engine_destroy(&engine);
}

Test(engine, observing_records_the_callers_route_and_bypassing_records_nothing)
{
    sona_candidates observe = {.mode = SONA_MODE_OBSERVE, .forced = 1};
    sona_candidates bypass = {.mode = SONA_MODE_BYPASS, .forced = 2};
    sona_engine *engine = engine_open();
    float x[DIM] = {1};
    sona_decision decision;

    cr_assert(eq(int, sona_engine_decide(engine, x, DIM, &observe, 0, &decision), SONA_OK));
    cr_assert(eq(u32, decision.route, 1));
    cr_assert(ne(u64, decision.id, 0));
    cr_assert(eq(int, decision.why, SONA_WHY_FORCED));
    cr_assert(eq(int, sona_engine_outcome(engine, decision.id, 1, 0, 0), SONA_OK));
    cr_assert(eq(int, sona_engine_decide(engine, x, DIM, &bypass, 0, &decision), SONA_OK));
    cr_assert(eq(u32, decision.route, 2));
    cr_assert(zero(u64, decision.id));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_decisions), 1));
    sona_engine_destroy(&engine);
}

Test(engine, switched_off_it_decides_and_counts_but_does_not_learn)
{
    sona_engine *engine = engine_open();
    float x[DIM] = {1}, y[DIM];
    sona_cycle_report report = {.ran = true};
    sona_decision decision;

    sona_engine_set_enabled(engine, false);
    cr_assert(not(sona_engine_enabled(engine)));
    cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, 0, &decision), SONA_OK));
    cr_assert(eq(int, sona_engine_outcome(engine, decision.id, 1, 0, 0), SONA_OK));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_drop_disabled), 1));
    cr_assert(zero(u64, engine_count(engine, SONA_COUNTER_learned)));
    cr_assert(eq(int, sona_engine_apply(engine, x, DIM, y), SONA_OK));
    cr_assert(zero(int, memcmp(x, y, sizeof(x))));
    cr_assert(eq(int, sona_engine_tick(engine, 1u << 30, &report), SONA_OK));
    cr_assert(not(report.ran));
    sona_engine_set_enabled(engine, true);
    cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, 0, &decision), SONA_OK));
    cr_assert(eq(int, sona_engine_outcome(engine, decision.id, 1, 0, 0), SONA_OK));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_learned), 1));
    sona_engine_destroy(&engine);
}

/* What the head of the chosen route makes of the adapter's change: w . (y - x). */
static double felt_change(const sona_engine *engine, const float *x, const float *y,
                          sona_route route)
{
    struct sona_model_view view = sona_learner_view(engine->learner);
    const struct sona_model_rows *rows = &view.layout->routes;
    const float *w = (const float *)(const void *)((const char *)view.hot + rows->offset +
                                                   SONA_ROUTE_INDEX(route) * rows->stride +
                                                   view.layout->route_head);
    double sum = 0;

    for (int i = 0; i < DIM; i++)
        sum += (double)w[i] * ((double)y[i] - (double)x[i]);
    return sum;
}

Test(engine, after_one_feedback_y_differs_from_x_and_the_change_has_its_sign)
{
    /* What the seeds send for down and up, and the ends of the range: a first outcome of exactly 0
     * used to be no error to a head that began at 0. */
    static const float thumb[] = {0.0f, 0.2f, 0.95f, 1.0f};
    struct dice dice = dice_open("one feedback");

    for (int i = 0; i < 4; i++) {
        bool good = thumb[i] > 0.5f;
        sona_engine *engine = engine_open();
        float x[DIM], y[DIM], before[ROUTES + 5], after[ROUTES + 5];
        sona_decision decision;

        query(x, 0, &dice);
        cr_assert(eq(int, sona_engine_apply(engine, x, DIM, y), SONA_OK));
        cr_assert(zero(int, memcmp(x, y, sizeof(x))), "nothing learned: the identity");
        cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, 0, &decision), SONA_OK));
        cr_assert(eq(int, sona_engine_score(engine, x, DIM, before), SONA_OK));
        cr_assert(eq(int, sona_engine_outcome(engine, decision.id, thumb[i], 0, 0), SONA_OK));
        cr_assert(eq(int, sona_engine_score(engine, x, DIM, after), SONA_OK));
        cr_assert(eq(int, sona_engine_apply(engine, x, DIM, y), SONA_OK));

        cr_assert(ne(int, memcmp(x, y, sizeof(x)), 0), "SONA_TEST_SEED=%llu",
                  (unsigned long long)dice.seed);
        if (good) {
            cr_assert(gt(dbl, felt_change(engine, x, y, decision.route), 0));
            cr_assert(gt(flt, after[decision.route], before[decision.route]));
        } else {
            cr_assert(lt(dbl, felt_change(engine, x, y, decision.route), 0));
            cr_assert(lt(flt, after[decision.route], before[decision.route]));
        }
        sona_engine_destroy(&engine);
    }
}

Test(engine, a_trajectory_takes_steps_up_to_its_limit_and_teaches_at_its_end)
{
    sona_engine *engine = engine_open();
    float x[DIM] = {1}, attention[5] = {1}, activations[DIM + 1] = {1};
    sona_step step = {.activations = activations,
                      .n_activations = DIM,
                      .reward = 0.5f,
                      .attention = attention,
                      .n_attention = 4};
    sona_step bad;
    uint64_t id;

    cr_assert(eq(int, sona_engine_begin(engine, x, DIM, 0, &id), SONA_OK));
    bad = step, bad.n_activations = DIM + 1;
    cr_assert(eq(int, sona_engine_step(engine, id, &bad), SONA_E_SHAPE));
    bad = step, bad.n_attention = 5;
    cr_assert(eq(int, sona_engine_step(engine, id, &bad), SONA_E_SHAPE));
    bad = step, bad.reward = NAN;
    cr_assert(eq(int, sona_engine_step(engine, id, &bad), SONA_E_NOT_FINITE));
    bad = step, bad.layer = 12;
    cr_assert(eq(int, sona_engine_step(engine, id, &bad), SONA_E_RANGE));
    bad = step, bad.activations = NULL;
    cr_assert(eq(int, sona_engine_step(engine, id, &bad), SONA_E_ARGUMENT));
    for (int i = 0; i < 3; i++)
        cr_assert(eq(int, sona_engine_step(engine, id, &step), SONA_OK));
    cr_assert(eq(int, sona_engine_step(engine, id, &step), SONA_E_LIMIT));
    cr_assert(eq(int, sona_engine_route(engine, id, 99), SONA_E_ROUTE));
    cr_assert(eq(int, sona_engine_route(engine, id, 1), SONA_OK));
    cr_assert(eq(int, sona_engine_end(engine, id, 2, 0), SONA_E_RANGE));
    cr_assert(eq(int, sona_engine_end(engine, id, 0.9f, 0), SONA_OK));
    cr_assert(eq(int, sona_engine_end(engine, id, 0.9f, 0), SONA_E_DUPLICATE));
    cr_assert(eq(int, sona_engine_step(engine, id, &step), SONA_E_DUPLICATE));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_steps), 3));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_drop_steps), 1));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_learned), 1));
    sona_engine_destroy(&engine);
}

Test(engine, a_single_bare_trajectory_teaches)
{
    sona_engine *engine = engine_open();
    float x[DIM] = {1}, y[DIM];
    uint64_t id;

    cr_assert(eq(int, sona_engine_begin(engine, x, DIM, 0, &id), SONA_OK));
    cr_assert(eq(int, sona_engine_end(engine, id, 0, 0), SONA_OK));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_learned), 1));
    cr_assert(eq(int, sona_engine_apply(engine, x, DIM, y), SONA_OK));
    cr_assert(ne(int, memcmp(x, y, sizeof(x)), 0));
    sona_engine_destroy(&engine);
}

Test(engine, null_pointers_and_overlapping_buffers_are_refused)
{
    sona_engine *engine = engine_open(), *none = NULL;
    float x[2 * DIM] = {1};
    sona_decision decision;
    uint32_t count;

    cr_assert(eq(int, sona_engine_decide(NULL, x, DIM, NULL, 0, &decision), SONA_E_ARGUMENT));
    cr_assert(eq(int, sona_engine_decide(engine, NULL, DIM, NULL, 0, &decision), SONA_E_ARGUMENT));
    cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, 0, NULL), SONA_E_ARGUMENT));
    cr_assert(eq(int, sona_engine_apply(engine, x, DIM, x), SONA_E_ARGUMENT));
    cr_assert(eq(int, sona_engine_apply(engine, x, DIM, x + DIM - 1), SONA_E_ARGUMENT));
    cr_assert(eq(int, sona_engine_apply(engine, x + 1, DIM, x), SONA_E_ARGUMENT));
    cr_assert(eq(int, sona_engine_apply(engine, x, DIM, x + DIM), SONA_OK), "beside is fine");
    cr_assert(eq(int, sona_engine_apply_base(engine, 12, x, DIM, x + DIM), SONA_E_RANGE));
    cr_assert(eq(int, sona_engine_find_patterns(engine, x, DIM, 0, &(sona_pattern){0}, &count),
                 SONA_E_RANGE));
    cr_assert(eq(int, sona_engine_routes(engine, NULL, 1, &count), SONA_E_ARGUMENT));
    sona_engine_destroy(&engine);
    cr_assert(zero(ptr, engine));
    sona_engine_destroy(&none);
    sona_engine_destroy(NULL);
}

Test(engine, a_bad_configuration_or_route_is_refused_with_a_sentence)
{
    sona_route_spec twice[] = {route_named("a"), route_named("a")}, nameless = route_named("");
    sona_config config = small_config();
    sona_engine *engine = NULL;
    sona_diag diag;

    config.micro_lora_rank = 3;
    cr_assert(eq(int, sona_engine_create(&engine, &config, twice, 1, &diag), SONA_E_CONFIG));
    cr_assert(ne(ptr, strstr(diag.text, "MicroLoRA rank must be 1-2"), NULL));
    cr_assert(zero(sz, sona_engine_bytes(&config)));
    config = small_config();
    cr_assert(eq(int, sona_engine_create(&engine, &config, twice, 2, &diag), SONA_E_DUPLICATE));
    cr_assert(ne(ptr, strstr(diag.text, "route 1 (\"a\")"), NULL), "%s", diag.text);
    cr_assert(eq(int, sona_engine_create(&engine, &config, &nameless, 1, NULL), SONA_E_RANGE));
    cr_assert(eq(int, sona_engine_create(&engine, &config, twice, 0, &diag), SONA_E_RANGE));
    cr_assert(eq(int, sona_engine_create(&engine, &config, twice, 9, &diag), SONA_E_RANGE));
    cr_assert(eq(int, sona_engine_create(&engine, &config, NULL, 1, &diag), SONA_E_ARGUMENT));
    cr_assert(zero(ptr, engine));
}

static size_t in_use(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

/* Sanitizers replace the allocator, and find a leak themselves. */
Test(engine, it_is_one_allocation_of_the_announced_size_and_leaves_nothing)
{
    sona_config config = small_config();
    sona_route_spec spec = route_named("only");
    sona_engine *engine = NULL;
    float x[DIM] = {1};
    sona_stats stats;
    size_t start, with, after;

    start = in_use();
    cr_assert(eq(int, sona_engine_create(&engine, &config, &spec, 1, NULL), SONA_OK));
    with = in_use();
    for (int i = 0; i < 200; i++) {
        sona_decision decision;

        sona_engine_decide(engine, x, DIM, NULL, 0, &decision);
        sona_engine_outcome(engine, decision.id, 0.5f, 0, 0);
    }
    after = in_use();
    sona_engine_stats(engine, &stats);
    sona_engine_destroy(&engine);
    if (start == 0)
        cr_skip_test("this allocator does not tell what is in use");
    cr_assert(eq(u64, stats.memory_bytes, sona_engine_bytes(&config)));
    cr_assert(ge(sz, with - start, sona_engine_bytes(&config)));
    cr_assert(le(sz, with - start, sona_engine_bytes(&config) + 2 * 4096 + 256));
    cr_assert(eq(sz, after, with), "nothing is allocated after creation");
    cr_assert(eq(sz, in_use(), start));
}
