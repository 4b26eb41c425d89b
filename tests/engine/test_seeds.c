/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The names of the seeds do what the calls behind them do: two engines, told the same under either,
 * end up alike to the last bit. And what the seeds promise, defect by defect. */
#include <math.h>
#include <stdlib.h>

#include <sona/seeds.h>

#include "tests/engine/engine_fixture.h"

static const float attention[4] = {0.25f, 0.25f, 0.25f, 0.25f};

static void assert_same(const sona_engine *a, const sona_engine *b)
{
    struct sona_model_view va = sona_learner_view(a->learner), vb = sona_learner_view(b->learner);

    cr_assert(zero(int, memcmp(va.hot, vb.hot, va.layout->hot_bytes)));
    cr_assert(zero(int, memcmp(va.cold, vb.cold, va.layout->cold_bytes)));
}

/* One trajectory, and what the loops do after it, by our names. */
static void tell(sona_engine *e, const float *x, int way, uint64_t now_ms)
{
    sona_step step = {.activations = x,
                      .n_activations = DIM,
                      .attention = attention,
                      .n_attention = 4,
                      .reward = 0.8f,
                      .rewarded = true};
    sona_step node = {.node_id = 42, .score = 0.85f, .latency_us = 150};
    uint64_t id;

    (void)way;
    cr_assert(eq(int, sona_engine_begin(e, x, DIM, now_ms, &id), 0));
    cr_assert(eq(int, sona_engine_step(e, id, &step), 0));
    cr_assert(eq(int, sona_engine_step(e, id, &node), 0));
    cr_assert(eq(int, sona_engine_route(e, id, 1), 0));
    cr_assert(eq(int, sona_engine_context(e, id, "code review"), 0));
    cr_assert(eq(int, sona_engine_end(e, id, 0.9f, now_ms), 0));
}

/* The same in dialect A (way 0), its Node.js form (1) or dialect B (2). */
static void tell_in_dialect(sona_engine *e, const float *x, int way, uint64_t now_ms)
{
    uint64_t id;

    cr_assert(eq(int,
                 (way == 2 ? sona_engine_start_trajectory
                           : sona_engine_begin_trajectory)(e, x, DIM, now_ms, &id),
                 0));
    cr_assert(eq(int,
                 (way == 1 ? sona_engine_add_trajectory_step
                           : sona_engine_add_step)(e, id, x, DIM, attention, 4, 0.8f),
                 0));
    cr_assert(eq(int, sona_engine_record_step(e, id, 42, 0.85f, 150), 0));
    cr_assert(eq(int, sona_engine_set_trajectory_route(e, id, 1), 0));
    cr_assert(eq(int, sona_engine_add_trajectory_context(e, id, "code review"), 0));
    cr_assert(eq(int, sona_engine_end_trajectory(e, id, 0.9f, now_ms), 0));
}

Test(seeds, trajectories_told_in_either_dialect_teach_the_same)
{
    sona_engine *ours = engine_open(), *theirs = engine_open();
    struct dice dice = {.state = 3};
    sona_cycle_report report, same;

    for (int i = 0; i < 60; i++) {
        float x[DIM];

        query(x, (uint32_t)i % 3, &dice);
        tell(ours, x, i % 3, (uint64_t)i);
        tell_in_dialect(theirs, x, i % 3, (uint64_t)i);
    }
    assert_same(ours, theirs);
    cr_assert(eq(int, sona_engine_learn_now(ours, 60, &report), 0));
    cr_assert(eq(int, sona_engine_force_learn(theirs, 60, &same), 0));
    cr_assert(same.ran);
    cr_assert(eq(u64, same.replayed, report.replayed));
    assert_same(ours, theirs);
    sona_engine_destroy(&ours);
    sona_engine_destroy(&theirs);
}

Test(seeds, adapters_patterns_and_statistics_answer_to_either_name)
{
    sona_engine *engine = engine_open();
    struct dice dice = {.state = 4};
    float x[DIM], a[DIM], b[DIM];
    sona_pattern found, queried;
    uint32_t count;
    char text[SONA_STATS_JSON_MAX], json[SONA_STATS_JSON_MAX];
    size_t bytes;

    for (int i = 0; i < 60; i++) {
        query(x, (uint32_t)i % 3, &dice);
        tell(engine, x, 0, (uint64_t)i);
    }
    cr_assert(eq(int, sona_engine_apply(engine, x, DIM, a), 0));
    cr_assert(eq(int, sona_engine_apply_lora(engine, x, DIM, b), 0));
    cr_assert(zero(int, memcmp(a, b, sizeof a)));
    cr_assert(ne(int, memcmp(a, x, sizeof a), 0));
    cr_assert(eq(int, sona_engine_apply_micro(engine, x, DIM, a), 0));
    cr_assert(eq(int, sona_engine_apply_micro_lora(engine, x, DIM, b), 0));
    cr_assert(zero(int, memcmp(a, b, sizeof a)));
    cr_assert(eq(int, sona_engine_apply_base(engine, 0, x, DIM, a), 0));
    cr_assert(eq(int, sona_engine_apply_base_lora(engine, 0, x, DIM, b), 0));
    cr_assert(zero(int, memcmp(a, b, sizeof a)));
    cr_assert(eq(int, sona_engine_find_patterns(engine, x, DIM, 1, &found, &count), 0));
    cr_assert(eq(int, sona_engine_query_patterns(engine, x, DIM, 1, &queried, &count), 0));
    cr_assert(eq(u32, count, 1));
    cr_assert(eq(u64, found.id, queried.id));
    cr_assert(eq(int, sona_engine_stats_json(engine, text, sizeof text, &bytes), 0));
    cr_assert(eq(int, sona_engine_get_stats(engine, json, sizeof json, &bytes), 0));
    cr_assert(eq(str, text, json));
    sona_engine_destroy(&engine);
}

Test(seeds, the_centroid_of_a_pattern_is_as_similar_as_it_was_said)
{
    sona_engine *engine = engine_open();
    struct dice dice = {.state = 8};
    float x[DIM], centroid[DIM];
    double dot = 0, norm = 0, length = 0;
    sona_pattern found;
    uint32_t count;

    cr_assert(eq(int, sona_engine_pattern_centroid(engine, 0, DIM, centroid), SONA_E_RANGE));
    for (int i = 0; i < 60; i++) {
        query(x, (uint32_t)i % 3, &dice);
        tell(engine, x, 0, (uint64_t)i);
    }
    cr_assert(eq(int, sona_engine_find_patterns(engine, x, DIM, 1, &found, &count), 0));
    cr_assert(eq(int, sona_engine_pattern_centroid(engine, found.index, DIM, centroid), 0));
    for (int i = 0; i < DIM; i++) {
        dot += (double)centroid[i] * (double)x[i];
        norm += (double)x[i] * (double)x[i];
        length += (double)centroid[i] * (double)centroid[i];
    }
    cr_assert(lt(dbl, fabs(length - 1), 1e-4));
    cr_assert(lt(dbl, fabs(dot / sqrt(norm) - (double)found.similarity), 1e-4));
    cr_assert(eq(int, sona_engine_pattern_centroid(engine, 9999, DIM, centroid), SONA_E_RANGE));
    cr_assert(eq(int, sona_engine_pattern_centroid(engine, 0, DIM + 1, centroid), SONA_E_SHAPE));
    sona_engine_destroy(&engine);
}

Test(seeds, the_loops_answer_to_either_name)
{
    sona_engine *engine = engine_open();
    sona_instant_report instant;
    sona_cycle_report cycle;
    float x[DIM] = {1};

    tell(engine, x, 0, 0);
    cr_assert(eq(int, sona_engine_run_instant_cycle(engine, 0, &instant), 0));
    cr_assert(eq(u64, instant.learned, 1));
    cr_assert(eq(int, sona_engine_run_background_cycle(engine, 0, &cycle), 0));
    cr_assert(cycle.ran);
    cr_assert(eq(u64, cycle.replayed, 1));
    cr_assert(sona_engine_is_enabled(engine));
    sona_engine_set_enabled(engine, false);
    cr_assert(not(sona_engine_is_enabled(engine)));
    sona_engine_destroy(&engine);
}

Test(seeds, an_engine_comes_from_a_dimension_alone)
{
    sona_config config;
    sona_engine *engine = NULL;
    sona_diag diag;
    uint32_t count;
    sona_route_info route;
    float x[64] = {1}, y[64];

    cr_assert(eq(int, sona_engine_new(&engine, 64, &diag), SONA_OK));
    cr_assert(eq(int, sona_engine_apply(engine, x, 64, y), SONA_OK));
    cr_assert(eq(int, sona_engine_apply(engine, x, 63, y), SONA_E_SHAPE));
    cr_assert(eq(int, sona_engine_routes(engine, &route, 1, &count), SONA_OK));
    cr_assert(eq(str, route.name, "default"));
    sona_engine_destroy(&engine);
    cr_assert(eq(int, sona_engine_new(&engine, 2, &diag), SONA_E_CONFIG));
    sona_config_init(&config);
    config.hidden_dim = 32;
    cr_assert(eq(int, sona_engine_with_config(&engine, &config, &diag), SONA_OK));
    cr_assert(eq(int, sona_engine_apply(engine, x, 32, y), SONA_OK));
    sona_engine_destroy(&engine);
}

/* Tell one outcome of route 1 at x, and how far the expectation moved. */
static float moved_by(float quality)
{
    sona_engine *engine = engine_open();
    float x[DIM] = {1}, before = score(engine, x, 1), after;
    uint64_t id;

    cr_assert(eq(int, sona_engine_begin(engine, x, DIM, 0, &id), 0));
    cr_assert(eq(int, sona_engine_route(engine, id, 1), 0));
    cr_assert(eq(int, sona_engine_end(engine, id, quality, 0), 0));
    after = score(engine, x, 1);
    sona_engine_destroy(&engine);
    return after - before;
}

Test(seeds, feedback_teaches_about_the_last_decision_as_an_outcome_does)
{
    sona_engine *ours = engine_open(), *theirs = engine_open();
    sona_decision a, b;
    float x[DIM] = {1};

    cr_assert(eq(int, sona_engine_decide(ours, x, DIM, NULL, 0, &a), 0));
    cr_assert(eq(int, sona_engine_decide(theirs, x, DIM, NULL, 0, &b), 0));
    cr_assert(eq(int, sona_engine_outcome(ours, a.id, 0.95f, 50000, 0), 0));
    cr_assert(eq(
        int, sona_engine_learn_from_feedback(theirs, sona_signal_feedback(true, 50, 0.95f), 0), 0));
    assert_same(ours, theirs);
    cr_assert(eq(u64, engine_count(theirs, SONA_COUNTER_learned), 1));
    sona_engine_destroy(&ours);
    sona_engine_destroy(&theirs);
}

Test(seeds, one_thumbs_down_moves_the_other_way_than_one_thumbs_up)
{
    float up = moved_by(0.9f), down = moved_by(0.2f);

    cr_assert(gt(flt, up, 0.01f));
    cr_assert(lt(flt, down, -0.01f));
}

Test(seeds, a_wrong_dimension_or_a_number_that_is_none_changes_nothing)
{
    sona_engine *engine = engine_open(), *untouched = engine_open();
    float x[DIM] = {1}, bad[DIM] = {1}, y[DIM];
    sona_decision decision;
    uint64_t id;

    bad[7] = NAN;
    cr_assert(eq(int, sona_engine_begin(engine, x, DIM - 1, 0, &id), SONA_E_SHAPE));
    cr_assert(eq(int, sona_engine_begin(engine, bad, DIM, 0, &id), SONA_E_NOT_FINITE));
    cr_assert(eq(int, sona_engine_decide(engine, x, DIM + 1, NULL, 0, &decision), SONA_E_SHAPE));
    cr_assert(eq(int, sona_engine_decide(engine, bad, DIM, NULL, 0, &decision), SONA_E_NOT_FINITE));
    cr_assert(eq(int, sona_engine_apply(engine, bad, DIM, y), SONA_E_NOT_FINITE));
    cr_assert(eq(int, sona_engine_outcome(engine, 1, NAN, 0, 0), SONA_E_NOT_FINITE));
    assert_same(engine, untouched);
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_drop_shape), 2));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_drop_not_finite), 3));
    sona_engine_destroy(&engine);
    sona_engine_destroy(&untouched);
}

Test(seeds, a_configuration_by_position_sets_ranks_buffer_and_ewc)
{
    sona_engine *engine = NULL;
    sona_diag diag;

    cr_assert(eq(int, sona_engine_with_positions(&engine, 1, 16, 9000, 0.4f, &diag), SONA_OK));
    cr_assert(eq(u32, engine->layout.geometry.micro_rank, 1));
    cr_assert(eq(u32, engine->layout.geometry.base_rank, 16));
    cr_assert(eq(u32, engine->config.trajectory_capacity, 9000));
    cr_assert(engine->config.ewc);
    cr_assert(eq(flt, engine->config.ewc_lambda, 2000));
    sona_engine_destroy(&engine);
    cr_assert(ne(int, sona_engine_with_positions(&engine, 4, 16, 9000, 0.4f, &diag), SONA_OK));
    cr_assert(ne(int, sona_engine_with_positions(&engine, 2, 16, 9000, 2000, &diag), SONA_OK));
}

Test(seeds, a_route_is_known_by_its_name_as_long_as_it_is_enabled)
{
    sona_engine *named = engine_open(), *numbered = engine_open();
    float x[DIM] = {1};
    uint64_t id, other;

    cr_assert(eq(int, sona_engine_begin(named, x, DIM, 0, &id), SONA_OK));
    cr_assert(eq(int, sona_engine_set_trajectory_route_named(named, id, "route-2"), SONA_OK));
    cr_assert(eq(int, sona_engine_end(named, id, 0.9f, 0), SONA_OK));
    cr_assert(eq(int, sona_engine_begin(numbered, x, DIM, 0, &other), SONA_OK));
    cr_assert(eq(int, sona_engine_set_trajectory_route(numbered, other, 2), SONA_OK));
    cr_assert(eq(int, sona_engine_end(numbered, other, 0.9f, 0), SONA_OK));
    cr_assert(same_model(named, numbered));
    cr_assert(gt(flt, score(named, x, 2), score(named, x, 1)));

    cr_assert(eq(int, sona_engine_begin(named, x, DIM, 0, &id), SONA_OK));
    cr_assert(eq(int, sona_engine_set_trajectory_route_named(named, id, "route"), SONA_E_ROUTE));
    cr_assert(eq(int, sona_engine_set_trajectory_route_named(named, id, NULL), SONA_E_ARGUMENT));
    cr_assert(eq(int, sona_engine_set_trajectory_route_named(NULL, id, "x"), SONA_E_ARGUMENT));
    cr_assert(eq(int, sona_engine_route_retire(named, 2), SONA_OK));
    cr_assert(eq(int, sona_engine_set_trajectory_route_named(named, id, "route-2"), SONA_E_ROUTE));
    sona_engine_destroy(&named);
    sona_engine_destroy(&numbered);
}

Test(seeds, the_output_of_an_adapter_is_its_input_and_a_delta)
{
    sona_engine *engine = engine_open();
    float x[DIM] = {1}, y[DIM], twice[DIM], y2[DIM];

    cr_assert(eq(int, sona_engine_apply_lora(engine, x, DIM, y), 0));
    cr_assert(zero(int, memcmp(x, y, sizeof x))); /* nothing learned: the identity */
    for (int i = 0; i < 20; i++)
        tell(engine, x, 0, (uint64_t)i);
    cr_assert(eq(int, sona_engine_apply_lora(engine, x, DIM, y), 0));
    for (int i = 0; i < DIM; i++)
        twice[i] = 2 * x[i];
    cr_assert(eq(int, sona_engine_apply_lora(engine, twice, DIM, y2), 0));
    cr_assert(ne(int, memcmp(x, y, sizeof x), 0));
    for (int i = 0; i < DIM; i++)
        cr_assert(lt(flt, fabsf(y2[i] - 2 * y[i]), 1e-5f)); /* linear: x + delta(x) */
    sona_engine_destroy(&engine);
}

Test(seeds, an_adapter_of_rank_two_has_rank_two)
{
    sona_config config = small_config();
    struct dice dice = {.state = 6};
    sona_engine *engine;
    float e[3][DIM] = {{0}}, y[3][DIM], largest = 0;

    config.background = false; /* no fold: MicroLoRA alone */
    config.micro_lora_lr = 0.5f;
    engine = engine_open_with(&config, ROUTES);
    for (int i = 0; i < 40; i++) {
        float x[DIM];

        query(x, (uint32_t)i % 3, &dice);
        tell(engine, x, 0, (uint64_t)i);
    }
    /* The deltas of three inputs span a plane: some 2 x 2 minor is not zero, every 3 x 3 is. */
    for (int k = 0; k < 3; k++) {
        e[k][4 * k] = 1;
        cr_assert(eq(int, sona_engine_apply_micro_lora(engine, e[k], DIM, y[k]), 0));
        for (int i = 0; i < DIM; i++)
            y[k][i] -= e[k][i];
    }
    for (int i = 0; i < DIM; i++)
        for (int j = 0; j < i; j++) {
            float minor = fabsf(y[0][i] * y[1][j] - y[0][j] * y[1][i]);
            float size = fabsf(y[0][i] * y[1][j]) + fabsf(y[0][j] * y[1][i]);

            if (size > 1e-9f && minor / size > largest)
                largest = minor / size;
        }
    cr_assert(gt(flt, largest, 0.01f), "%g: one direction only", (double)largest);
    sona_engine_destroy(&engine);
}

Test(seeds, activations_and_embeddings_may_differ_in_length)
{
    sona_config config = small_config();
    sona_cycle_report report;
    sona_engine *engine;
    float x[DIM] = {1}, activations[2 * DIM] = {0, 1}, y[DIM];

    config.hidden_dim = 2 * DIM;
    config.base_lora_lr = 0.1f;
    engine = engine_open_with(&config, ROUTES);
    for (uint64_t i = 0; i < 40; i++) {
        uint64_t id;

        cr_assert(eq(int, sona_engine_begin(engine, x, DIM, i, &id), 0));
        cr_assert(
            eq(int,
               sona_engine_add_step(engine, id, activations, 2 * DIM, NULL, 0, i % 2 ? 0.9f : 0.1f),
               0));
        cr_assert(eq(int, sona_engine_end(engine, id, 0.9f, i), 0));
    }
    cr_assert(eq(int, sona_engine_learn_now(engine, 40, &report), 0));
    cr_assert(report.ran);
    cr_assert(eq(int, sona_engine_apply_base(engine, 0, activations, DIM, y), 0));
    for (int i = 0; i < DIM; i++)
        cr_assert(isfinite(y[i]));
    cr_assert(gt(u64, engine_count(engine, SONA_COUNTER_layer_updates), 0));
    sona_engine_destroy(&engine);
}

/* Three kinds of queries, one after the other: route t is good at topic t of each. */
static void live_through_kinds(sona_engine *engine)
{
    struct dice dice = {.state = 8};

    for (uint64_t n = 0; n < 1200; n++) {
        uint32_t topic = dice_below(&dice, 3);
        sona_decision decision;
        float x[DIM];

        query(x, (uint32_t)(n / 400) * 6 + topic, &dice);
        cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, n, &decision), 0));
        cr_assert(
            eq(int,
               sona_engine_outcome(engine, decision.id,
                                   SONA_ROUTE_INDEX(decision.route) == topic ? 0.9f : 0.2f, 0, n),
               0));
    }
}

Test(seeds, ewc_engages_when_queries_shift_tasks_and_penalty_are_not_zero)
{
    sona_config config = small_config();
    sona_engine *engine;
    sona_stats stats;

    config.gate = false;
    config.ewc = true;
    engine = engine_open_with(&config, ROUTES);
    live_through_kinds(engine);
    sona_engine_stats(engine, &stats);
    cr_assert(eq(u32, stats.ewc_tasks, 2));
    cr_assert(gt(dbl, stats.ewc_penalty, 0));
    cr_assert(gt(u64, stats.counter[SONA_COUNTER_ewc_holds], 500));
    cr_assert(eq(u64, stats.counter[SONA_COUNTER_ewc_boundaries], 2));
    sona_engine_destroy(&engine);
}

Test(seeds, tasks_and_importances_answer_to_the_names_of_the_seeds)
{
    sona_config config = small_config();
    float importance[DIM], sum = 0, bias = -1;
    sona_ewc_weight top[3];
    sona_engine *engine;
    uint32_t count = 9;
    sona_ewc ewc;
    bool changed;

    config.gate = false;
    config.ewc = true;
    config.ewc_online = false;
    engine = engine_open_with(&config, ROUTES);
    cr_assert(eq(u32, sona_engine_task_count(engine), 0));
    cr_assert(eq(int, sona_engine_ewc_top(engine, 3, top, &count), 0));
    cr_assert(eq(u32, count, 0));
    live_through_kinds(engine);
    cr_assert(eq(u32, sona_engine_task_count(engine), 2));
    cr_assert(eq(int, sona_engine_start_new_task(engine), 0));
    cr_assert(eq(u32, sona_engine_task_count(engine), 3));
    cr_assert(eq(int, sona_engine_ewc_boundary(engine, &ewc, &changed), 0));
    cr_assert(not(changed), "nothing was learned since");
    cr_assert(eq(u32, ewc.tasks, 3));
    cr_assert(eq(dbl, sona_engine_regularization_loss(engine), ewc.penalty));
    cr_assert(gt(dbl, ewc.penalty, 0));
    cr_assert(eq(int, sona_engine_importance_scores(engine, 1, DIM, importance), 0));
    for (int i = 0; i < DIM; i++)
        sum += importance[i];
    cr_assert(gt(flt, sum, 0));
    cr_assert(eq(int, sona_engine_ewc_importance(engine, 1, DIM, importance, &bias), 0));
    cr_assert(gt(flt, bias, 0));
    cr_assert(eq(int, sona_engine_ewc_top(engine, 3, top, &count), 0));
    cr_assert(eq(u32, count, 3));
    cr_assert(eq(u32, top[0].index, SONA_EWC_BIAS), "every outcome moves it");
    cr_assert(eq(int, sona_engine_consolidate_all_tasks(engine), 0));
    cr_assert(eq(u32, sona_engine_task_count(engine), 1));
    cr_assert(eq(int, sona_engine_ewc_consolidate(engine, &ewc, &changed), 0));
    cr_assert(not(changed));
    cr_assert(
        eq(int, sona_engine_ewc_importance(engine, 1, DIM - 1, importance, NULL), SONA_E_SHAPE));
    cr_assert(eq(int, sona_engine_ewc_importance(engine, 7, DIM, importance, NULL), SONA_E_ROUTE));
    cr_assert(eq(int, sona_engine_ewc_importance(engine, 1, DIM, NULL, NULL), SONA_E_ARGUMENT));
    cr_assert(eq(int, sona_engine_ewc_top(engine, 3, NULL, &count), SONA_E_ARGUMENT));
    cr_assert(eq(int, sona_engine_ewc(NULL, &ewc), SONA_E_ARGUMENT));
    cr_assert(eq(int, sona_engine_ewc_boundary(NULL, NULL, NULL), SONA_E_ARGUMENT));
    cr_assert(eq(int, sona_engine_ewc_consolidate(NULL, NULL, NULL), SONA_E_ARGUMENT));
    sona_engine_destroy(&engine);
}
