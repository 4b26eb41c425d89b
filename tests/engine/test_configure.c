/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* A change of the configuration is an event: what may change acts from there on, the rest stays. */
#include "tests/engine/engine_fixture.h"

/* Decide and learn `n` queries; the same n, the same queries. */
static void live(sona_engine *engine, int n)
{
    struct dice dice = {.state = 4711};

    for (int i = 0; i < n; i++) {
        uint32_t topic = dice_below(&dice, 3);
        sona_decision d;
        float x[DIM];

        query(x, topic, &dice);
        cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, (uint64_t)i, &d), SONA_OK));
        cr_assert(
            eq(int,
               sona_engine_outcome(engine, d.id, SONA_ROUTE_INDEX(d.route) == topic ? 0.9f : 0.1f,
                                   0, (uint64_t)i),
               SONA_OK));
    }
}

/* 200 queries, a change unless it is null, 200 more. */
static sona_engine *lived(const sona_config *before, const sona_config *change)
{
    sona_engine *engine = engine_open_with(before, ROUTES);
    sona_diag diag = {.text = ""};

    live(engine, 200);
    if (change)
        cr_assert(eq(int, sona_engine_configure(engine, change, &diag), SONA_OK), "%s", diag.text);
    live(engine, 200);
    return engine;
}

Test(configure, the_same_events_and_changes_give_the_same_model)
{
    sona_config config = small_config(), fast = config;
    sona_engine *never, *same, *changed, *again;

    fast.micro_lora_lr = 0.05f;
    never = lived(&config, NULL);
    same = lived(&config, &config);
    changed = lived(&config, &fast);
    again = lived(&config, &fast);
    cr_expect(same_model(never, same), "a change to what is does nothing");
    cr_expect(same_model(changed, again), "no dice");
    cr_expect(not(same_model(never, changed)), "the new rate taught something else");
    sona_engine_destroy(&never);
    sona_engine_destroy(&same);
    sona_engine_destroy(&changed);
    sona_engine_destroy(&again);
}

Test(configure, a_price_on_cost_counts_from_the_next_decision_on)
{
    sona_config config = small_config();
    sona_engine *engine = engine_open_with(&config, ROUTES);
    float x[DIM], before[SONA_ROUTES_MAX], after[SONA_ROUTES_MAX];
    struct dice dice = {.state = 12};
    sona_diag diag;

    cr_assert(eq(int, sona_engine_route_cost(engine, 1, 1), SONA_OK));
    query(x, 0, &dice);
    cr_assert(eq(int, sona_engine_score(engine, x, DIM, before), SONA_OK));
    config.lambda = 0.5f;
    cr_assert(eq(int, sona_engine_configure(engine, &config, &diag), SONA_OK));
    cr_assert(eq(int, sona_engine_score(engine, x, DIM, after), SONA_OK));
    cr_assert(eq(flt, after[0], before[0]));
    cr_assert(ieee_ulp_eq(flt, after[1], before[1] - 0.5f, 8));
    sona_engine_destroy(&engine);
}

Test(configure, background_cycles_follow_the_rates_of_their_start)
{
    sona_config config = small_config(), off = config;
    sona_engine *engine = engine_open_with(&config, ROUTES);
    sona_cycle_report report;
    sona_diag diag;

    off.background = false;
    live(engine, 50);
    cr_assert(eq(int, sona_engine_configure(engine, &off, &diag), SONA_OK));
    cr_assert(eq(int, sona_engine_learn_now(engine, 1000, &report), SONA_OK));
    cr_expect(not(report.ran), "switched off");
    cr_assert(eq(int, sona_engine_configure(engine, &config, &diag), SONA_OK));
    cr_assert(eq(int, sona_engine_learn_now(engine, 1000, &report), SONA_OK));
    cr_expect(report.ran, "and on again");
    sona_engine_destroy(&engine);
}

Test(configure, what_needs_a_new_engine_is_refused_by_name_and_changes_nothing)
{
    sona_config config = small_config(), wide = config, wrong = config;
    sona_engine *engine = engine_open_with(&config, ROUTES), *other = engine_open();
    sona_diag diag;

    wide.replay_capacity = 4096;
    wide.micro_lora_lr = 0.5f;
    cr_assert(eq(int, sona_engine_configure(engine, &wide, &diag), SONA_E_CONFIG));
    cr_assert(ne(ptr, strstr(diag.text, "replay_capacity"), NULL), "%s", diag.text);
    wrong.micro_lora_lr = -1;
    cr_assert(eq(int, sona_engine_configure(engine, &wrong, &diag), SONA_E_CONFIG));
    cr_assert(ne(ptr, strstr(diag.text, "micro_lora_lr"), NULL), "%s", diag.text);
    cr_assert(eq(int, sona_engine_configure(engine, NULL, &diag), SONA_E_ARGUMENT));
    live(engine, 100);
    live(other, 100);
    cr_expect(same_model(engine, other));
    sona_engine_destroy(&engine);
    sona_engine_destroy(&other);
}
