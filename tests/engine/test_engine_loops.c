/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The loops by hand: what each call changed is in its numbers, and none discards anything. */
#include "tests/engine/engine_fixture.h"

static uint64_t decide(sona_engine *engine, uint64_t now_ms)
{
    struct dice dice = {.state = now_ms + 1};
    sona_decision decision;
    float x[DIM];

    query(x, (uint32_t)now_ms % 3, &dice);
    cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, now_ms, &decision), 0));
    return decision.id;
}

static void learn(sona_engine *engine, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        cr_assert(eq(int, sona_engine_outcome(engine, decide(engine, i), 0.7f, 0, i), 0));
}

Test(loops, flush_says_what_loop_a_changed_since_the_last_one)
{
    sona_engine *engine = engine_open();
    sona_instant_report report;

    cr_assert(eq(int, sona_engine_flush(engine, 0, &report), SONA_OK));
    cr_assert(zero(u64, report.learned));
    learn(engine, 5);
    decide(engine, 5);
    cr_assert(eq(int, sona_engine_flush(engine, 5, &report), SONA_OK));
    cr_assert(eq(u64, report.learned, 5));
    cr_assert(eq(u64, report.micro_updates, 5));
    cr_assert(eq(u64, report.pending, 1)); /* within its window: it waits on */
    cr_assert(zero(u64, report.expired));
    cr_assert(eq(int, sona_engine_flush(engine, 5, &report), SONA_OK));
    cr_assert(zero(u64, report.learned));
    cr_assert(zero(u64, report.micro_updates));
    cr_assert(eq(u64, report.pending, 1));
    cr_assert(eq(int, sona_engine_flush(NULL, 5, &report), SONA_E_ARGUMENT));
    cr_assert(eq(int, sona_engine_flush(engine, 5, NULL), SONA_OK));
    sona_engine_destroy(&engine);
}

Test(loops, flush_expires_what_waited_too_long_and_counts_it)
{
    sona_engine *engine = engine_open(); /* feedback_window_ms is 1000 */
    sona_instant_report report;

    decide(engine, 0);
    cr_assert(eq(int, sona_engine_flush(engine, 5000, &report), SONA_OK));
    cr_assert(eq(u64, report.expired, 1));
    cr_assert(zero(u64, report.pending));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_drop_abandoned), 1));
    sona_engine_destroy(&engine);
}

Test(loops, a_tick_that_was_not_due_says_so_and_changes_nothing)
{
    sona_engine *engine = engine_open();
    sona_cycle_report report = {.ran = true, .replayed = 9};
    sona_stats before, after;

    learn(engine, 3);
    sona_engine_stats(engine, &before);
    cr_assert(eq(int, sona_engine_tick(engine, 3, &report), SONA_OK));
    cr_assert(not(report.ran));
    cr_assert(zero(u64, report.replayed));
    sona_engine_stats(engine, &after);
    cr_assert(eq(u64, after.step, before.step));
    cr_assert(eq(u64, after.counter[SONA_COUNTER_background_cycles], 0));
    sona_engine_destroy(&engine);
}

Test(loops, a_tick_runs_the_cycle_when_the_interval_is_over)
{
    sona_config config = small_config();
    sona_cycle_report report;
    sona_engine *engine;

    config.background_interval_ms = 500;
    engine = engine_open_with(&config, ROUTES);
    learn(engine, 3);
    cr_assert(eq(int, sona_engine_tick(engine, 499, &report), SONA_OK));
    cr_assert(not(report.ran));
    cr_assert(eq(int, sona_engine_tick(engine, 600, &report), SONA_OK));
    cr_assert(report.ran);
    cr_assert(eq(u64, report.replayed, 3));
    cr_assert(eq(int, sona_engine_tick(engine, 5000, &report), SONA_OK));
    cr_assert(not(report.ran)); /* nothing is new */
    sona_engine_destroy(&engine);
}

Test(loops, ninety_nine_trajectories_are_not_discarded_by_a_forced_cycle)
{
    sona_engine *engine = engine_open();
    sona_cycle_report report;
    struct dice dice = {.state = 5};
    sona_stats before, after;

    for (int i = 0; i < 99; i++) {
        float x[DIM];
        uint64_t id;

        query(x, dice_below(&dice, 3), &dice);
        cr_assert(eq(int, sona_engine_begin(engine, x, DIM, 0, &id), 0));
        cr_assert(eq(int, sona_engine_end(engine, id, 0.8f, 0), 0));
    }
    sona_engine_stats(engine, &before);
    cr_assert(eq(u64, before.counter[SONA_COUNTER_learned], 99));
    cr_assert(eq(int, sona_engine_learn_now(engine, 0, &report), SONA_OK));
    cr_assert(report.ran);
    cr_assert(eq(u64, report.replayed, 99));
    sona_engine_stats(engine, &after);
    cr_assert(eq(u64, after.replay_length, 99));
    cr_assert(gt(u32, after.patterns, 0));
    cr_assert(eq(int, sona_engine_learn_now(engine, 0, &report), SONA_OK));
    cr_assert(not(report.ran)); /* nothing is new, and nothing is gone */
    sona_engine_stats(engine, &after);
    cr_assert(eq(u64, after.replay_length, 99));
    sona_engine_destroy(&engine);
}

Test(loops, a_disabled_engine_learns_nothing_and_counts_what_it_was_told)
{
    sona_engine *engine = engine_open();
    uint64_t id = decide(engine, 0);
    sona_stats before, after;

    sona_engine_set_enabled(engine, false);
    cr_assert(not(sona_engine_enabled(engine)));
    sona_engine_stats(engine, &before);
    cr_assert(eq(int, sona_engine_outcome(engine, id, 0.1f, 0, 0), SONA_OK));
    sona_engine_stats(engine, &after);
    cr_assert(eq(u64, after.counter[SONA_COUNTER_drop_disabled], 1));
    cr_assert(eq(u64, after.counter[SONA_COUNTER_learned], 0));
    cr_assert(eq(dbl, after.micro_norm, before.micro_norm));
    sona_engine_set_enabled(engine, true);
    cr_assert(sona_engine_enabled(engine));
    learn(engine, 1);
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_learned), 1));
    sona_engine_destroy(&engine);
}

Test(loops, the_parts_of_an_engine_sum_to_what_is_allocated)
{
    for (uint32_t i = 0; sona_config_preset_name(i) != NULL; i++) {
        sona_engine_memory memory;
        sona_config config;
        sona_stats stats;
        sona_engine *engine;

        cr_assert(eq(int, sona_config_preset(&config, sona_config_preset_name(i), NULL), 0));
        cr_assert(eq(int, sona_engine_memory_of(&config, &memory, NULL), SONA_OK));
        engine = engine_open_with(&config, 2);
        sona_engine_stats(engine, &stats);
        cr_assert(eq(u64, stats.memory_bytes, memory.total));
        cr_assert(eq(sz, memory.total, sona_engine_bytes(&config)));
        cr_assert(
            eq(sz, memory.total, memory.learner + memory.job + memory.pending + memory.other));
        cr_assert(ge(sz, memory.learner, sona_learner_bytes(&config)));
        cr_assert(lt(sz, memory.learner, sona_learner_bytes(&config) + 64));
        cr_assert(ge(sz, memory.job, sona_learner_job_bytes(&config)));
        sona_engine_destroy(&engine);
    }
}
