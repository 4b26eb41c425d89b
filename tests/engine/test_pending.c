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

static struct table table_open_with(uint32_t capacity, float default_quality)
{
    size_t bytes = (sona_pending_bytes(capacity, DIM) + 63) / 64 * 64;
    struct table t = {.memory = aligned_alloc(64, bytes)};

    memset(t.memory, 0xa5, bytes); /* any content will do */
    t.pending = sona_pending_init(t.memory, capacity, DIM, WINDOW, STEPS, default_quality);
    return t;
}

static struct table table_open(uint32_t capacity)
{
    return table_open_with(capacity, -1);
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
    return sona_pending_outcome(t->pending, id, owner, quality, LATENCY_US, now_ms, on_its_way,
                                &t->joined, &t->found);
}

static sona_err revoke(struct table *t, uint64_t id, uint64_t owner, uint64_t now_ms,
                       bool on_its_way)
{
    return sona_pending_revoke(t->pending, id, owner, now_ms, on_its_way, &t->joined, &t->found);
}

/* How many decisions got the default quality. */
static uint32_t expire(struct table *t, uint64_t now_ms, uint32_t budget)
{
    uint32_t n = 0;

    while (sona_pending_expire(t->pending, now_ms, &budget, &t->joined))
        n++;
    return n;
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

Test(pending, a_second_outcome_that_says_the_same_is_a_duplicate)
{
    struct table t = table_open(4);

    add(&t, 1, 0, SONA_PENDING_DECISION, 0);
    cr_assert(eq(int, outcome(&t, 1, 0, 0.5f, 0, false), SONA_OK));
    cr_assert(eq(int, outcome(&t, 1, 0, 0.5f, 0, false), SONA_E_DUPLICATE));
    cr_assert(eq(int, outcome(&t, 1, 0, 0.5f, 2 * WINDOW, true), SONA_E_DUPLICATE));
    cr_assert(not(t.found));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_drop_duplicate), 2));
    cr_assert(eq(int, add(&t, 1, 0, SONA_PENDING_DECISION, 0), SONA_E_DUPLICATE));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_drop_duplicate), 3));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_strays), 1));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_decisions), 1));
    table_close(&t);
}

Test(pending, a_second_outcome_that_differs_replaces_the_first_within_the_window)
{
    struct table t = table_open(4);

    add(&t, 1, 3, SONA_PENDING_DECISION, 1000);
    outcome(&t, 1, 3, 0.5f, 1010, false);
    cr_assert(eq(int, t.joined.word, SONA_PENDING_JOINED));
    cr_assert(eq(int, outcome(&t, 1, 3, 0.75f, 1000 + WINDOW, false), SONA_OK));
    cr_assert(t.found);
    cr_assert(eq(int, t.joined.word, SONA_PENDING_REPLACING));
    cr_assert(eq(u64, t.joined.entry.id, 1));
    cr_assert(eq(flt, t.joined.quality, 0.75f));
    cr_assert(eq(int, outcome(&t, 1, 3, 0.75f, 1000 + WINDOW, false), SONA_E_DUPLICATE),
              "said again");
    cr_assert(eq(int, outcome(&t, 1, 4, 0.1f, 1010, false), SONA_E_PERMISSION));
    cr_assert(eq(int, outcome(&t, 1, 3, 0.5f, 1001 + WINDOW, false), SONA_E_TIMEOUT));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_replacing), 1));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_drop_expired), 1));
    table_close(&t);
}

Test(pending, a_revocation_takes_an_outcome_back_once_and_for_good)
{
    struct table t = table_open(4);

    add(&t, 1, 3, SONA_PENDING_DECISION, 0);
    outcome(&t, 1, 3, 0.5f, 0, false);
    cr_assert(eq(int, revoke(&t, 1, 4, 0, false), SONA_E_PERMISSION));
    cr_assert(eq(int, revoke(&t, 1, 3, WINDOW, false), SONA_OK));
    cr_assert(t.found);
    cr_assert(eq(int, t.joined.word, SONA_PENDING_REVOKING));
    cr_assert(eq(u64, t.joined.entry.id, 1));
    cr_assert(eq(int, revoke(&t, 1, 3, 0, false), SONA_E_DUPLICATE));
    cr_assert(eq(int, outcome(&t, 1, 3, 0.5f, 0, false), SONA_E_DUPLICATE), "nor told again");
    cr_assert(eq(int, outcome(&t, 1, 3, 0.9f, 0, false), SONA_E_DUPLICATE));
    cr_assert(not(t.found));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_revoking), 1));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_drop_revoked), 3));
    cr_assert(eq(int, revoke(&t, 77, 3, 0, false), SONA_E_UNKNOWN_ID));
    add(&t, 2, 3, SONA_PENDING_DECISION, 0);
    outcome(&t, 2, 3, 0.5f, 0, false);
    cr_assert(eq(int, revoke(&t, 2, 3, WINDOW + 1, false), SONA_E_TIMEOUT));
    table_close(&t);
}

Test(pending, a_revocation_that_overtakes_its_outcome_or_its_decision_still_wins)
{
    struct table t = table_open(4);

    add(&t, 1, 3, SONA_PENDING_DECISION, 0);
    cr_assert(eq(int, revoke(&t, 1, 3, 0, false), SONA_OK));
    cr_assert(not(t.found), "there was nothing to take back yet");
    cr_assert(eq(u64, count(&t, SONA_COUNTER_withdrawn), 1));
    cr_assert(eq(int, outcome(&t, 1, 3, 0.5f, 0, false), SONA_E_DUPLICATE));

    cr_assert(eq(int, revoke(&t, 2, 3, 0, true), SONA_OK), "before the decision");
    cr_assert(eq(int, outcome(&t, 2, 3, 0.5f, 0, true), SONA_E_DUPLICATE));
    add(&t, 2, 3, SONA_PENDING_DECISION, 0);
    cr_assert(not(t.found));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_withdrawn), 2));

    cr_assert(eq(int, outcome(&t, 3, 3, 0.5f, 0, true), SONA_OK));
    cr_assert(eq(int, revoke(&t, 3, 3, 0, true), SONA_OK));
    add(&t, 3, 3, SONA_PENDING_DECISION, 0);
    cr_assert(not(t.found));
    cr_assert(zero(u64, stats_of(&t).pending));
    cr_assert(zero(u64, count(&t, SONA_COUNTER_joined)));
    table_close(&t);
}

Test(pending, a_decision_whose_window_ends_gets_the_default_quality)
{
    struct table t = table_open_with(4, 0.25f);

    add(&t, 1, 0, SONA_PENDING_DECISION, 0);
    add(&t, 2, 0, SONA_PENDING_TRAJECTORY, 0);
    add(&t, 3, 0, SONA_PENDING_DECISION, 50);
    cr_assert(zero(u32, expire(&t, WINDOW, 10)));
    cr_assert(eq(int, outcome(&t, 1, 0, 0.9f, WINDOW + 1, false), SONA_E_TIMEOUT),
              "too late, though the default is not given yet");
    cr_assert(eq(u32, expire(&t, WINDOW + 1, 10), 1));
    cr_assert(eq(u64, t.joined.entry.id, 1));
    cr_assert(eq(flt, t.joined.entry.x[0], 1));
    cr_assert(eq(flt, t.joined.quality, 0.25f));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_defaulted), 1));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_drop_abandoned), 1), "the trajectory");
    cr_assert(eq(int, outcome(&t, 1, 0, 0.9f, WINDOW + 1, false), SONA_E_TIMEOUT));
    cr_assert(eq(int, outcome(&t, 1, 0, 0.25f, WINDOW + 1, false), SONA_E_TIMEOUT));
    cr_assert(eq(int, outcome(&t, 3, 0, 0.5f, WINDOW + 1, false), SONA_OK));
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
    cr_assert(eq(int, outcome(&t, 1, 5, 0.75f, 0, true), SONA_E_DUPLICATE));
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
    expire(&t, 1000 + WINDOW, 10);
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
    expire(&t, WINDOW + 1, 4);
    cr_assert(eq(u64, stats_of(&t).pending, 2));
    expire(&t, WINDOW + 1, 2);
    cr_assert(eq(u64, stats_of(&t).parked_now, 1));
    expire(&t, WINDOW + 1, 1);
    cr_assert(zero(u64, stats_of(&t).parked_now));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_drop_abandoned), 6));
    cr_assert(eq(u64, count(&t, SONA_COUNTER_drop_unknown_id), 1));
    table_close(&t);
}

Test(pending, a_clock_that_goes_back_expires_nothing)
{
    struct table t = table_open(4);

    add(&t, 1, 0, SONA_PENDING_DECISION, 5000);
    expire(&t, 10, 10);
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

/* The books of sona/stats.h, as far as they are this table's. */
static void assert_adds_up(const sona_stats *s, const char *at)
{
#define N(name) s->counter[SONA_COUNTER_##name]
    cr_assert(eq(u64, N(decisions) + N(trajectories),
                 s->pending + N(joined) + N(withdrawn) + N(defaulted) + N(drop_evicted) +
                     N(drop_abandoned)),
              "%s", at);
    cr_assert(eq(u64, N(outcomes) + N(revokes) + N(strays),
                 s->parked_now + N(joined) + N(replacing) + N(revoking) + N(withdrawn) +
                     N(drop_unknown_id) + N(drop_duplicate) + N(drop_expired) + N(drop_foreign) +
                     N(drop_revoked) + N(drop_parked_full)),
              "%s", at);
#undef N
}

static void assert_same(const struct table *t, const struct model *m, const char *at)
{
    sona_stats s = stats_of(t);

    for (int i = 0; i < SONA_COUNTER_COUNT; i++)
        cr_assert(eq(u64, s.counter[i], m->counter[i]), "%s: %s", at,
                  sona_counter_name((sona_counter)i));
    cr_assert(eq(u64, s.pending, (uint64_t)m->waiting.n), "%s", at);
    cr_assert(eq(u64, s.parked_now, (uint64_t)m->parked.n), "%s", at);
    assert_adds_up(&s, at);
}

/* Few different values: often the same again. */
static void operate_outcome(struct table *t, struct model *m, uint64_t id, uint64_t owner,
                            float value, uint64_t now_ms, bool on_its_way, const char *at)
{
    int i = list_find(&m->waiting, id);
    struct item before = i >= 0 ? m->waiting.item[i] : (struct item){.id = 0};
    bool found;

    cr_assert(eq(int, outcome(t, id, owner, value, now_ms, on_its_way),
                 model_word(m, id, owner, value, now_ms, on_its_way, false, &found)),
              "%s", at);
    cr_assert(eq(int, t->found, found), "%s", at);
    if (found)
        cr_assert(eq(flt, t->joined.quality, value), "%s", at);
    if (found && before.id != 0) {
        cr_assert(eq(int, t->joined.word, SONA_PENDING_JOINED), "%s", at);
        cr_assert(eq(u64, t->joined.entry.id, before.id), "%s", at);
        cr_assert(eq(u32, t->joined.entry.steps, before.steps), "%s", at);
        cr_assert(eq(u32, t->joined.entry.route, before.route), "%s", at);
        cr_assert(eq(flt, t->joined.entry.reward_sum, before.value), "%s", at);
        cr_assert(eq(flt, t->joined.entry.x[0], (float)before.id), "%s", at);
        cr_assert(eq(flt, t->joined.entry.x[1], (float)before.owner), "%s", at);
    }
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

    switch (dice_below(dice, 12)) {
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
        operate_outcome(t, m, id, owner, (float)dice_below(dice, 3) / 4, now_ms, on_its_way, at);
        break;
    case 6:
        cr_assert(eq(int, sona_pending_step(t->pending, id, value), model_step(m, id, value)), "%s",
                  at);
        break;
    case 7:
        cr_assert(eq(int, sona_pending_route(t->pending, id, 3), model_route(m, id, 3)), "%s", at);
        break;
    case 8:
        cr_assert(eq(u32, expire(t, now_ms, (uint32_t)tag), model_expire(m, now_ms, (uint32_t)tag)),
                  "%s", at);
        break;
    case 9:
    case 10:
        cr_assert(eq(int, revoke(t, id, owner, now_ms, on_its_way),
                     model_word(m, id, owner, 0, now_ms, on_its_way, true, &found)),
                  "%s", at);
        cr_assert(eq(int, t->found, found), "%s", at);
        if (found)
            cr_assert(eq(int, t->joined.word, SONA_PENDING_REVOKING), "%s", at);
        break;
    default:
        sona_pending_unpark(t->pending, tag, 7);
        model_unpark(m, tag, 7);
    }
}

/* Every counter of the table that random operations should reach. */
static const sona_counter reached[] = {
    SONA_COUNTER_drop_evicted, SONA_COUNTER_parked,    SONA_COUNTER_drop_foreign,
    SONA_COUNTER_joined,       SONA_COUNTER_withdrawn, SONA_COUNTER_drop_abandoned,
    SONA_COUNTER_replacing,    SONA_COUNTER_revoking,  SONA_COUNTER_drop_revoked,
    SONA_COUNTER_replaced,     SONA_COUNTER_strays,    SONA_COUNTER_drop_expired};

static void compare_with_model(float default_quality)
{
    struct dice dice = dice_open("pending");
    struct table t = table_open_with(CAPACITY, default_quality);
    static struct model model;
    uint64_t now_ms = 0;

    model = (struct model){.has_default = default_quality >= 0};
    for (int i = 0; i < 100000; i++) {
        char at[80];

        snprintf(at, sizeof(at), "SONA_TEST_SEED=%llu operation %d", (unsigned long long)dice.seed,
                 i);
        now_ms += dice_below(&dice, 12);
        operate(&t, &model, &dice, now_ms, at);
        assert_same(&t, &model, at);
    }
    for (size_t i = 0; i < sizeof reached / sizeof *reached; i++)
        cr_assert(gt(u64, model.counter[reached[i]], 0), "%s never happened: not reached",
                  sona_counter_name(reached[i]));
    cr_assert(eq(int, model.counter[SONA_COUNTER_defaulted] > 0, default_quality >= 0));
    table_close(&t);
}

Test(pending, it_agrees_with_the_plain_model_and_every_event_is_counted_once)
{
    compare_with_model(-1);
}

Test(pending, with_a_default_quality_it_agrees_as_well)
{
    compare_with_model(0.5f);
}
