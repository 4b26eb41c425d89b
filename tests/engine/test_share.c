/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* record_share in process: which decisions are remembered, and what becomes of the others. */
#include <stdlib.h>

#include "tests/engine/engine_fixture.h"

#define DECISIONS 20000u

struct run {
    bool recorded[DECISIONS];
    uint64_t count, learned, heard; /* heard: a hash of every answer */
};

/* Decide, and tell the outcome of what was remembered. */
static struct run *run_with(float share, uint64_t seed)
{
    struct run *r = calloc(1, sizeof *r);
    struct dice dice = {.state = 7};
    sona_config config = small_config();
    float x[DIM];

    config.record_share = share;
    config.seed = seed;
    config.background = false;
    sona_engine *engine = engine_open_with(&config, ROUTES);
    for (uint32_t i = 0; i < DECISIONS; i++) {
        sona_decision d;

        query(x, dice_below(&dice, 4), &dice);
        cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, i, &d), SONA_OK));
        cr_assert(d.propensity > 0 && d.propensity <= 1, "decision %u", i);
        r->heard = (r->heard ^ d.route ^ d.id << 8) * 0x100000001b3ull;
        r->recorded[i] = d.id != 0;
        r->count += r->recorded[i];
        if (d.id != 0)
            cr_assert(eq(int, sona_engine_outcome(engine, d.id, 0.5f, 0, i), SONA_OK));
    }
    cr_expect(eq(u64, engine_count(engine, SONA_COUNTER_decisions), r->count));
    r->learned = engine_count(engine, SONA_COUNTER_learned);
    sona_engine_destroy(&engine);
    return r;
}

Test(share, of_1_remembers_every_decision)
{
    struct run *whole = run_with(1, 1);

    cr_expect(eq(u64, whole->count, DECISIONS));
    cr_expect(eq(u64, whole->learned, DECISIONS));
    free(whole);
}

/* 5 standard deviations are 306. */
Test(share, of_a_quarter_remembers_a_quarter_and_learns_from_all_of_it)
{
    struct run *quarter = run_with(0.25f, 1);

    cr_expect(epsilon_eq(dbl, (double)quarter->count, 0.25 * DECISIONS, 306), "%llu",
              (unsigned long long)quarter->count);
    cr_expect(eq(u64, quarter->learned, quarter->count));
    free(quarter);
}

Test(share, is_drawn_by_the_seed_and_nothing_else)
{
    struct run *first = run_with(0.25f, 1), *again = run_with(0.25f, 1),
               *other = run_with(0.25f, 2);

    cr_expect(eq(u64, first->heard, again->heard));
    cr_expect(zero(int, memcmp(first->recorded, again->recorded, sizeof first->recorded)));
    cr_expect(ne(int, memcmp(first->recorded, other->recorded, sizeof first->recorded), 0));
    free(first);
    free(again);
    free(other);
}

Test(share, of_0_remembers_nothing_and_the_smallest_one_is_not_0)
{
    uint64_t remembered = 0;

    cr_expect(eq(u32, sona_model_unrecorded(1), 0));
    cr_expect(eq(u32, sona_model_unrecorded(0.25f), 49152));
    cr_expect(eq(u32, sona_model_unrecorded(1e-30f), UINT16_MAX - 1));
    cr_expect(eq(u32, sona_model_unrecorded(0), UINT16_MAX));
    for (uint64_t n = 0; n < 1000000; n++)
        remembered += !sona_model_leaves_out(UINT16_MAX, 1, 0, n);
    cr_expect(eq(u64, remembered, 0));
}

Test(share, left_out_decisions_hear_of_nothing_and_hide_the_one_before_them)
{
    const sona_signal good = sona_signal_positive(0, 0.9f);
    struct dice dice = {.state = 3};
    sona_signal_effect effect;
    sona_decision d;
    float x[DIM];
    sona_engine *engine = engine_open();
    sona_config config = small_config();

    query(x, 1, &dice);
    cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, 0, &d), SONA_OK));
    cr_assert(ne(u64, d.id, 0));
    config.record_share = 0; /* from now on */
    cr_assert(eq(int, sona_engine_configure(engine, &config, NULL), SONA_OK));
    cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, 0, &d), SONA_OK));
    cr_expect(eq(u64, d.id, 0));
    cr_expect(eq(int, sona_engine_outcome(engine, d.id, 1, 0, 0), SONA_E_UNKNOWN_ID));
    cr_assert(eq(int, sona_engine_learn(engine, &good, 0, &effect), SONA_OK));
    cr_expect(eq(int, effect, SONA_SIGNAL_BASELINE), "it is not about the decision before");
    cr_expect(eq(u64, engine_count(engine, SONA_COUNTER_learned), 0));
    sona_engine_destroy(&engine);
}

/* The share that a decision was taken under is its own, whatever the share is later. */
Test(share, is_kept_with_what_waits_over_saving_and_loading)
{
    struct dice dice = {.state = 3};
    sona_config config = small_config();
    sona_engine *engine, *again = NULL;
    struct sona_pending_joined joined;
    size_t n = 0;
    float x[DIM];
    sona_decision d = {.id = 0};
    bool found;

    config.record_share = 0.25f;
    engine = engine_open_with(&config, ROUTES);
    query(x, 1, &dice);
    while (d.id == 0)
        cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, 0, &d), SONA_OK));
    config.record_share = 1;
    cr_assert(eq(int, sona_engine_configure(engine, &config, NULL), SONA_OK));
    (void)sona_engine_save(engine, NULL, 0, &n);
    void *bytes = malloc(n);
    cr_assert(eq(int, sona_engine_save(engine, bytes, n, &n), SONA_OK));
    cr_assert(eq(int, sona_engine_load(&again, NULL, bytes, n, NULL), SONA_OK));
    cr_assert(eq(int,
                 sona_pending_outcome(again->pending, d.id, 0, 0.5f, 0, 0, false, &joined, &found),
                 SONA_OK));
    cr_expect(eq(u32, joined.entry.unrecorded, 49152));
    free(bytes);
    sona_engine_destroy(&engine);
    sona_engine_destroy(&again);
}
