/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The pending table: each rule by itself, then all of them against a model that is slow and plain,
 * over random operations, with every counter compared after each.
 */
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "engine/pending/pending.h"
#include "tests/engine/dice.h"
#include "tests/engine/pending_model.h"

#define DIM 16

struct table {
    void *memory;
    struct sona_pending *pending;
    struct sona_pending_joined joined; /* of the last add or outcome */
    bool found;
};

static struct table table_open(uint32_t capacity)
{
    size_t bytes = (sona_pending_bytes(capacity, DIM) + 63) / 64 * 64;
    struct table t = {.memory = aligned_alloc(64, bytes)};

    memset(t.memory, 0xa5, bytes); /* any content will do */
    t.pending = sona_pending_init(t.memory, capacity, DIM, WINDOW, STEPS);
    return t;
}

static void table_close(struct table *t)
{
    free(t->memory);
}

static sona_err add(struct table *t, uint64_t id, uint64_t owner, enum sona_pending_kind kind,
                    uint64_t now_ms)
{
    float x[DIM] = {(float)id, (float)owner};
    struct sona_pending_entry entry = {.id = id,
                                       .owner = owner,
                                       .kind = kind,
                                       .route = kind == SONA_PENDING_DECISION ? 7 : SONA_ROUTE_NONE,
                                       .propensity = 0.5f,
                                       .version = 11,
                                       .begun_ms = 12345,
                                       .steps = 99,
                                       .reward_sum = 99,
                                       .x = x};
    sona_err err;

    t->found = sona_pending_add(t->pending, &entry, now_ms, &t->joined, &err);
    return err;
}

static sona_err outcome(struct table *t, uint64_t id, uint64_t owner, float quality,
                        uint64_t now_ms, bool on_its_way)
{
    return sona_pending_outcome(t->pending, id, owner, quality, 31, now_ms, on_its_way, &t->joined,
                                &t->found);
}

static sona_stats stats_of(const struct table *t)
{
    sona_stats stats;

    memset(&stats, 0, sizeof(stats));
    sona_pending_stats(t->pending, &stats);
    return stats;
}

static uint64_t count(const struct table *t, sona_counter counter)
{
    return stats_of(t).counter[counter];
}

Test(pending, an_outcome_brings_back_what_was_remembered)
{
    struct table t = table_open(4);

    cr_assert(eq(int, add(&t, 42, 1, SONA_PENDING_DECISION, 1000), SONA_OK));
    cr_assert(not(t.found));
    cr_assert(eq(int, outcome(&t, 42, 1, 0.25f, 1050, false), SONA_OK));
    cr_assert(t.found);
    cr_assert(eq(u64, t.joined.entry.id, 42));
    cr_assert(eq(u64, t.joined.entry.begun_ms, 1000));
    cr_assert(eq(u64, t.joined.entry.version, 11));
    cr_assert(eq(u32, t.joined.entry.route, 7));
    cr_assert(eq(u32, t.joined.entry.steps, 0));
    cr_assert(eq(flt, t.joined.entry.propensity, 0.5f));
    cr_assert(eq(flt, t.joined.entry.x[0], 42));
    cr_assert(eq(flt, t.joined.quality, 0.25f));
    cr_assert(eq(u32, t.joined.latency_us, 31));
    cr_assert(zero(u64, stats_of(&t).pending));
    table_close(&t);
}

Test(pending, a_second_outcome_is_a_duplicate_whether_it_says_the_same_or_not)
{
    struct table t = table_open(4);

    add(&t, 1, 0, SONA_PENDING_DECISION, 0);
    cr_assert(eq(int, outcome(&t, 1, 0, 0.5f, 0, false), SONA_OK));
    cr_assert(eq(int, outcome(&t, 1, 0, 0.5f, 0, false), SONA_E_DUPLICATE));
    cr_assert(eq(int, outcome(&t, 1, 0, 0.9f, 0, true), SONA_E_DUPLICATE));
    cr_assert(not(t.found));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_drop_duplicate), 2));
    cr_assert(eq(int, add(&t, 1, 0, SONA_PENDING_DECISION, 0), SONA_E_DUPLICATE));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_drop_duplicate), 3));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_decisions), 1));
    table_close(&t);
}

Test(pending, a_duplicate_is_still_known_after_a_flood_of_decisions)
{
    struct table t = table_open(4);

    add(&t, 1, 0, SONA_PENDING_DECISION, 0);
    cr_assert(eq(int, outcome(&t, 1, 0, 0.5f, 0, false), SONA_OK));
    for (uint64_t id = 100; id < 200; id++)
        add(&t, id, 0, SONA_PENDING_DECISION, 0);
    cr_assert(eq(int, outcome(&t, 1, 0, 0.5f, 0, false), SONA_E_DUPLICATE));
    table_close(&t);
}

Test(pending, an_id_that_never_was_is_unknown)
{
    struct table t = table_open(4);

    cr_assert(eq(int, outcome(&t, 1, 0, 0.5f, 0, false), SONA_E_UNKNOWN_ID));
    cr_assert(eq(int, sona_pending_step(t.pending, 1, 0), SONA_E_UNKNOWN_ID));
    cr_assert(eq(int, sona_pending_route(t.pending, 1, 3), SONA_E_UNKNOWN_ID));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_drop_unknown_id), 3));
    table_close(&t);
}

Test(pending, a_full_table_evicts_the_oldest_and_counts_it)
{
    struct table t = table_open(4);

    for (uint64_t id = 1; id <= 5; id++)
        cr_assert(eq(int, add(&t, id, 0, SONA_PENDING_DECISION, id), SONA_OK));
    cr_assert(eq(u64, stats_of(&t).pending, 4));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_drop_evicted), 1));
    cr_assert(eq(int, outcome(&t, 1, 0, 0.5f, 5, false), SONA_E_UNKNOWN_ID));
    for (uint64_t id = 2; id <= 5; id++) {
        cr_assert(eq(int, outcome(&t, id, 0, 0.5f, 5, false), SONA_OK));
        cr_assert(eq(flt, t.joined.entry.x[0], (float)id));
    }
    table_close(&t);
}

Test(pending, an_outcome_that_overtook_its_decision_is_joined_when_it_comes)
{
    struct table t = table_open(4);

    cr_assert(eq(int, outcome(&t, 9, 5, 0.75f, 10, true), SONA_OK));
    cr_assert(not(t.found));
    cr_assert(eq(u64, stats_of(&t).parked_now, 1));
    cr_assert(eq(int, add(&t, 9, 5, SONA_PENDING_DECISION, 20), SONA_OK));
    cr_assert(t.found);
    cr_assert(eq(flt, t.joined.quality, 0.75f));
    cr_assert(eq(flt, t.joined.entry.x[0], 9));
    cr_assert(zero(u64, stats_of(&t).parked_now));
    cr_assert(zero(u64, stats_of(&t).pending));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_parked), 1));
    table_close(&t);
}

Test(pending, a_stranger_can_neither_tell_nor_block_an_outcome)
{
    struct table t = table_open(4);

    cr_assert(eq(int, outcome(&t, 1, 66, 0, 0, true), SONA_OK));
    cr_assert(eq(int, outcome(&t, 1, 5, 0.75f, 0, true), SONA_OK), "the owner's is kept too");
    cr_assert(eq(int, outcome(&t, 1, 5, 0.1f, 0, true), SONA_E_DUPLICATE));
    add(&t, 1, 5, SONA_PENDING_DECISION, 0);
    cr_assert(t.found);
    cr_assert(eq(flt, t.joined.quality, 0.75f));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_drop_foreign), 1));

    add(&t, 2, 5, SONA_PENDING_DECISION, 0);
    cr_assert(eq(int, outcome(&t, 2, 66, 0, 0, false), SONA_E_PERMISSION));
    cr_assert(eq(int, outcome(&t, 2, 5, 0.5f, 0, false), SONA_OK));
    cr_assert(eq(int, outcome(&t, 2, 66, 0, 0, false), SONA_E_PERMISSION),
              "not even that it is settled");
    cr_assert(eq(u64, count(&t, SONA_COUNTER_drop_foreign), 3));
    table_close(&t);
}

Test(pending, the_window_closes_after_its_last_millisecond)
{
    struct table t = table_open(4);

    add(&t, 1, 0, SONA_PENDING_DECISION, 1000);
    add(&t, 2, 0, SONA_PENDING_TRAJECTORY, 1000);
    sona_pending_expire(t.pending, 1000 + WINDOW, 10);
    cr_assert(eq(int, outcome(&t, 1, 0, 0.5f, 1000 + WINDOW, false), SONA_OK));
    cr_assert(eq(int, outcome(&t, 2, 0, 0.5f, 1001 + WINDOW, false), SONA_E_TIMEOUT));
    cr_assert(eq(int, outcome(&t, 2, 0, 0.5f, 1001 + WINDOW, false), SONA_E_TIMEOUT));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_drop_expired), 2));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_drop_abandoned), 1));
    table_close(&t);
}

Test(pending, expiry_does_no_more_than_its_budget)
{
    struct table t = table_open(8);

    for (uint64_t id = 1; id <= 6; id++)
        add(&t, id, 0, SONA_PENDING_DECISION, 0);
    outcome(&t, 77, 0, 0.5f, 0, true);
    sona_pending_expire(t.pending, WINDOW + 1, 4);
    cr_assert(eq(u64, stats_of(&t).pending, 2));
    sona_pending_expire(t.pending, WINDOW + 1, 2);
    cr_assert(eq(u64, stats_of(&t).parked_now, 1));
    sona_pending_expire(t.pending, WINDOW + 1, 1);
    cr_assert(zero(u64, stats_of(&t).parked_now));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_drop_abandoned), 6));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_drop_unknown_id), 1));
    table_close(&t);
}

Test(pending, a_clock_that_goes_back_expires_nothing)
{
    struct table t = table_open(4);

    add(&t, 1, 0, SONA_PENDING_DECISION, 5000);
    sona_pending_expire(t.pending, 10, 10);
    cr_assert(eq(int, outcome(&t, 1, 0, 0.5f, 10, false), SONA_OK));
    table_close(&t);
}

Test(pending, steps_add_up_and_end_at_the_limit)
{
    struct table t = table_open(4);

    add(&t, 1, 0, SONA_PENDING_TRAJECTORY, 0);
    for (int i = 0; i < STEPS; i++)
        cr_assert(eq(int, sona_pending_step(t.pending, 1, 0.5f), SONA_OK));
    cr_assert(eq(int, sona_pending_step(t.pending, 1, 0.5f), SONA_E_LIMIT));
    cr_assert(eq(int, sona_pending_route(t.pending, 1, 3), SONA_OK));
    cr_assert(eq(int, outcome(&t, 1, 0, 0.5f, 0, false), SONA_OK));
    cr_assert(eq(u32, t.joined.entry.steps, STEPS));
    cr_assert(eq(flt, t.joined.entry.reward_sum, 0.5f * STEPS));
    cr_assert(eq(u32, t.joined.entry.route, 3));
    cr_assert(eq(int, sona_pending_step(t.pending, 1, 0.5f), SONA_E_DUPLICATE));
    cr_assert(eq(int, sona_pending_route(t.pending, 1, 3), SONA_E_DUPLICATE));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_steps), STEPS));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_drop_steps), 1));
    table_close(&t);
}

Test(pending, the_route_of_a_decision_cannot_be_changed)
{
    struct table t = table_open(4);

    add(&t, 1, 0, SONA_PENDING_DECISION, 0);
    cr_assert(eq(int, sona_pending_route(t.pending, 1, 3), SONA_E_UNKNOWN_ID));
    outcome(&t, 1, 0, 0.5f, 0, false);
    cr_assert(eq(u32, t.joined.entry.route, 7));
    table_close(&t);
}

Test(pending, parking_is_bounded_and_unparking_takes_the_tag)
{
    struct table t = table_open(4);

    for (uint64_t i = 0; i < SONA_PENDING_PARKED_MAX; i++)
        cr_assert(eq(int, outcome(&t, (i % 2) << 48 | (i + 1), 0, 0.5f, 0, true), SONA_OK));
    cr_assert(eq(int, outcome(&t, 1u << 20, 0, 0.5f, 0, true), SONA_E_LIMIT));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_drop_parked_full), 1));
    sona_pending_unpark(t.pending, 1ull << 48, 0xffffull << 48);
    cr_assert(eq(u64, stats_of(&t).parked_now, SONA_PENDING_PARKED_MAX / 2));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_drop_unknown_id), SONA_PENDING_PARKED_MAX / 2));
    add(&t, 1, 0, SONA_PENDING_DECISION, 0);
    cr_assert(t.found, "those of other tags are still there");
    table_close(&t);
}

/* The two equations that pending.c promises. */
static void assert_adds_up(const sona_stats *s, const struct model *m, const char *at)
{
    cr_assert(eq(u64, s->counter[SONA_COUNTER_decisions] + s->counter[SONA_COUNTER_trajectories],
                 s->pending + m->joined + s->counter[SONA_COUNTER_drop_evicted] +
                     s->counter[SONA_COUNTER_drop_abandoned]),
              "%s", at);
    cr_assert(eq(u64, s->counter[SONA_COUNTER_outcomes], m->joined + s->parked_now + m->refused),
              "%s", at);
}

static void assert_same(const struct table *t, const struct model *m, const char *at)
{
    sona_stats s = stats_of(t);

    for (int i = 0; i < SONA_COUNTER_COUNT; i++)
        cr_assert(eq(u64, s.counter[i], m->counter[i]), "%s: %s", at,
                  sona_counter_name((sona_counter)i));
    cr_assert(eq(u64, s.pending, (uint64_t)m->waiting.n), "%s", at);
    cr_assert(eq(u64, s.parked_now, (uint64_t)m->parked.n), "%s", at);
    assert_adds_up(&s, m, at);
}

/* One random operation on both; the answers must agree. */
static void operate(struct table *t, struct model *m, struct dice *dice, uint64_t now_ms,
                    const char *at)
{
    uint64_t id = dice_below(dice, 4) == 0 ? 1 + dice_below(dice, 200) : 1 + dice_below(dice, 24);
    uint64_t owner = dice_below(dice, 5) == 0, tag = dice_below(dice, 8);
    bool on_its_way = dice_below(dice, 2) == 0, found;
    enum sona_pending_kind kind =
        dice_below(dice, 2) == 0 ? SONA_PENDING_DECISION : SONA_PENDING_TRAJECTORY;
    float value = (float)dice_below(dice, 100) / 128, parked_value = 0;
    int i = list_find(&m->waiting, id);
    struct item before = i >= 0 ? m->waiting.item[i] : (struct item){.id = 0};

    switch (dice_below(dice, 10)) {
    case 0:
    case 1:
    case 2:
        cr_assert(eq(int, add(t, id, owner, kind, now_ms),
                     model_add(m,
                               (struct item){
                                   .id = id,
                                   .owner = owner,
                                   .at_ms = now_ms,
                                   .kind = kind,
                                   .route = kind == SONA_PENDING_DECISION ? 7 : SONA_ROUTE_NONE},
                               &found, &parked_value)),
                  "%s", at);
        cr_assert(eq(int, t->found, found), "%s", at);
        if (found)
            cr_assert(eq(flt, t->joined.quality, parked_value), "%s", at);
        break;
    case 3:
    case 4:
    case 5:
        cr_assert(eq(int, outcome(t, id, owner, value, now_ms, on_its_way),
                     model_outcome(m, id, owner, value, now_ms, on_its_way, &found)),
                  "%s", at);
        cr_assert(eq(int, t->found, found), "%s", at);
        if (found) {
            cr_assert(eq(u64, t->joined.entry.id, before.id), "%s", at);
            cr_assert(eq(u32, t->joined.entry.steps, before.steps), "%s", at);
            cr_assert(eq(u32, t->joined.entry.route, before.route), "%s", at);
            cr_assert(eq(flt, t->joined.entry.reward_sum, before.value), "%s", at);
            cr_assert(eq(flt, t->joined.entry.x[0], (float)before.id), "%s", at);
            cr_assert(eq(flt, t->joined.entry.x[1], (float)before.owner), "%s", at);
        }
        break;
    case 6:
        cr_assert(eq(int, sona_pending_step(t->pending, id, value), model_step(m, id, value)), "%s",
                  at);
        break;
    case 7:
        cr_assert(eq(int, sona_pending_route(t->pending, id, 3), model_route(m, id, 3)), "%s", at);
        break;
    case 8:
        sona_pending_expire(t->pending, now_ms, (uint32_t)tag);
        model_expire(m, now_ms, (uint32_t)tag);
        break;
    default:
        sona_pending_unpark(t->pending, tag, 7);
        model_unpark(m, tag, 7);
    }
}

Test(pending, it_agrees_with_the_plain_model_and_every_event_is_counted_once)
{
    struct dice dice = dice_open("pending");
    struct table t = table_open(CAPACITY);
    static struct model model;
    uint64_t now_ms = 0;

    for (int i = 0; i < 100000; i++) {
        char at[80];

        snprintf(at, sizeof(at), "SONA_TEST_SEED=%llu operation %d", (unsigned long long)dice.seed,
                 i);
        now_ms += dice_below(&dice, 12);
        operate(&t, &model, &dice, now_ms, at);
        assert_same(&t, &model, at);
    }
    for (int i = 0; i < SONA_COUNTER_COUNT; i++)
        if (model.counter[i] == 0 &&
            (i == SONA_COUNTER_drop_evicted || i == SONA_COUNTER_parked ||
             i == SONA_COUNTER_drop_foreign || i == SONA_COUNTER_drop_abandoned))
            cr_fail("%s never happened: the test does not reach it",
                    sona_counter_name((sona_counter)i));
    table_close(&t);
}
