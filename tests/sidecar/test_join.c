/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What records do: remembered, joined, parked; and every one of them ends in exactly one counter.
 */
#include "record_fixture.h"

#include "engine/learner/learner.h"
#include "sidecar/join.h"

struct fixture {
    struct sona_sidecar_join join;
    struct room room;
    uint64_t next;          /* lane_seq */
    bool withheld, thinned; /* of what is taken from now on */
    struct {
        alignas(64) struct sona_sidecar_joined joined;
        float x[64]; /* two vectors */
    } out;
};

static void open_fixture(struct fixture *f, uint32_t capacity)
{
    sona_config config;
    sona_geometry geometry;
    struct sona_model_layout layout;
    sona_diag diag;

    memset(f, 0, sizeof *f);
    sona_config_init(&config);
    config.embedding_dim = config.hidden_dim = DIM;
    config.attention_dim = ATTENTION;
    config.trajectory_capacity = capacity;
    config.feedback_window_ms = 1000;
    config.max_trajectory_steps = 2;
    sona_config_geometry(&config, &geometry);
    cr_assert(eq(int, sona_model_layout_init(&layout, &geometry), SONA_OK));
    cr_assert(eq(int, sona_sidecar_join_init(&f->join, &config, &layout, &diag), SONA_OK));
    struct sona_sidecar_rules rules;
    rules_init(&rules);
    f->join.rules.n_routes = rules.n_routes;
    memcpy(f->join.rules.route, rules.route, sizeof rules.route);
}

/* Take the record in the room as the lane's next. */
static bool take(struct fixture *f, uint64_t owner, bool on_its_way, uint64_t now_ms)
{
    struct sona_sidecar_taken taken = {
        .origin = {.tag = TAG, .lane = LANE, .seq = f->next},
        .owner = owner,
        .on_its_way = on_its_way,
        .withheld = f->withheld,
        .thinned = f->thinned,
        .now_ms = now_ms,
        .record = &f->room.record,
    };

    f->next++;
    return sona_sidecar_join_take(&f->join, &taken, &f->out.joined);
}

static uint64_t decide(struct fixture *f, bool *joined)
{
    struct sona_record *r = record_init(&f->room, SONA_RECORD_DECIDE, f->next);
    uint64_t id = r->id;

    r->value = 0.25f;
    r->snapshot = 99;
    bool now = take(f, 1, false, 10);
    if (joined)
        *joined = now;
    return id;
}

static bool outcome(struct fixture *f, uint64_t id, uint64_t owner, bool on_its_way)
{
    struct sona_record *r = record_init(&f->room, SONA_RECORD_OUTCOME, f->next);

    r->id = id;
    r->value = 0.75f;
    return take(f, owner, on_its_way, 20);
}

static bool revoke(struct fixture *f, uint64_t id, uint64_t owner)
{
    record_init(&f->room, SONA_RECORD_REVOKE, f->next)->id = id;
    return take(f, owner, false, 30);
}

static bool expire(struct fixture *f, uint64_t now_ms)
{
    uint32_t budget = SONA_SIDECAR_EXPIRE_BUDGET;

    return sona_sidecar_join_expire(&f->join, now_ms, &budget, &f->out.joined);
}

static uint64_t count(const struct fixture *f, sona_counter counter)
{
    sona_stats stats;

    memset(&stats, 0, sizeof stats);
    sona_sidecar_join_stats(&f->join, &stats);
    return stats.counter[counter];
}

Test(join, an_outcome_brings_back_what_was_decided)
{
    struct fixture f;

    open_fixture(&f, 16);
    uint64_t id = decide(&f, NULL); /* x is the first unit vector */
    cr_assert(outcome(&f, id, 1, false));
    cr_assert(eq(u64, f.out.joined.id, id));
    cr_assert(eq(u64, f.out.joined.version, 99));
    cr_assert(eq(flt, f.out.joined.quality, 0.75f));
    cr_assert(eq(flt, f.out.joined.propensity, 0.25f));
    cr_assert(eq(u32, f.out.joined.route, 0));
    cr_assert(eq(flt, f.out.x[0], 1.0f));
    for (uint32_t i = 1; i < 32; i++)
        cr_assert(eq(flt, f.out.x[i], 0.0f));
    sona_sidecar_join_done(&f.join);
}

Test(join, every_query_is_told_once_with_its_outcome_when_that_came_first)
{
    struct fixture f;
    bool told;

    open_fixture(&f, 16);
    uint64_t id = decide(&f, &told);
    cr_assert(told);
    cr_assert(eq(u32, f.out.joined.kind, SONA_LEARNER_QUERY));
    cr_assert(eq(u64, f.out.joined.id, id));
    cr_assert(eq(flt, f.out.x[0], 1.0f));
    cr_assert(outcome(&f, id, 1, false));
    cr_assert(eq(u32, f.out.joined.kind, SONA_LEARNER_OUTCOME));

    /* The next outcome overtakes its decision. */
    id = record_init(&f.room, SONA_RECORD_DECIDE, f.next + 1)->id;
    cr_assert(not(outcome(&f, id, 1, true)));
    cr_assert(eq(u64, decide(&f, &told), id));
    cr_assert(told);
    cr_assert(eq(u32, f.out.joined.kind, SONA_LEARNER_QUERY_OUTCOME));
    cr_assert(eq(flt, f.out.joined.quality, 0.75f));
    sona_sidecar_join_done(&f.join);
}

Test(join, a_trajectory_of_several_records_ends_as_one_event)
{
    struct fixture f;

    open_fixture(&f, 16);
    uint64_t id = record_init(&f.room, SONA_RECORD_BEGIN, f.next)->id;
    cr_assert(take(&f, 1, false, 1));
    cr_assert(eq(u32, f.out.joined.kind, SONA_LEARNER_QUERY));
    for (int n = 0; n < 3; n++) {
        record_init(&f.room, SONA_RECORD_STEP, f.next)->id = id;
        cr_assert(not(take(&f, 1, false, 1)));
    }
    struct sona_record *r = record_init(&f.room, SONA_RECORD_ROUTE, f.next);
    r->id = id;
    r->route = SONA_ROUTE_ID(1, 2);
    cr_assert(not(take(&f, 1, false, 1)));
    record_init(&f.room, SONA_RECORD_CONTEXT, f.next)->id = id;
    memcpy(f.room.floats, "night", 6);
    cr_assert(not(take(&f, 1, false, 1)));
    r = record_init(&f.room, SONA_RECORD_END, f.next);
    r->id = id;
    cr_assert(take(&f, 1, false, 1));
    cr_assert(eq(u32, f.out.joined.route, SONA_ROUTE_ID(1, 2)));
    cr_assert(eq(u64, count(&f, SONA_COUNTER_trajectories), 1));
    cr_assert(eq(u64, count(&f, SONA_COUNTER_steps), 2));
    cr_assert(eq(u64, count(&f, SONA_COUNTER_drop_steps), 1), "max_trajectory_steps is 2");
    cr_assert(eq(u64, f.join.accepted[SONA_RECORD_CONTEXT], 1));
    sona_sidecar_join_done(&f.join);
}

Test(join, an_outcome_that_overtakes_its_decision_is_parked_and_joined)
{
    struct fixture f;
    bool joined;

    open_fixture(&f, 16);
    uint64_t id = SONA_ID(TAG, LANE, f.next + 1); /* of the decision that comes next */
    cr_assert(not(outcome(&f, id, 1, true)));
    cr_assert(eq(u64, count(&f, SONA_COUNTER_parked), 1));
    cr_assert(eq(u64, decide(&f, &joined), id));
    cr_assert(joined);
    cr_assert(eq(flt, f.out.joined.quality, 0.75f));
    cr_assert(eq(flt, f.out.joined.propensity, 0.25f));
    sona_sidecar_join_done(&f.join);
}

Test(join, outcomes_that_teach_nothing_are_counted_under_their_reason)
{
    struct fixture f;

    open_fixture(&f, 16);
    uint64_t id = decide(&f, NULL);
    cr_assert(not(outcome(&f, id, 2, false)));
    cr_assert(eq(u64, count(&f, SONA_COUNTER_drop_foreign), 1), "another user's");
    cr_assert(outcome(&f, id, 1, false));
    cr_assert(not(outcome(&f, id, 1, false)));
    cr_assert(eq(u64, count(&f, SONA_COUNTER_drop_duplicate), 1));
    cr_assert(not(outcome(&f, SONA_ID(TAG, LANE, 12345), 1, false)));
    cr_assert(eq(u64, count(&f, SONA_COUNTER_drop_unknown_id), 1));
    sona_sidecar_join_done(&f.join);
}

Test(join, what_is_parked_for_a_tag_that_is_gone_is_unknown)
{
    struct fixture f;

    open_fixture(&f, 16);
    (void)outcome(&f, SONA_ID(TAG, LANE, 100), 1, true);
    (void)outcome(&f, SONA_ID(TAG + 1, LANE, 100), 1, true);
    sona_sidecar_join_forget_tag(&f.join, TAG);
    cr_assert(eq(u64, count(&f, SONA_COUNTER_drop_unknown_id), 1));
    sona_stats stats = {.parked_now = 0};
    sona_sidecar_join_stats(&f.join, &stats);
    cr_assert(eq(u64, stats.parked_now, 1), "the other tag's stays");
    sona_sidecar_join_done(&f.join);
}

Test(join, a_decision_without_an_outcome_is_abandoned_after_the_window)
{
    struct fixture f;

    open_fixture(&f, 16);
    uint64_t id = decide(&f, NULL); /* at 10 ms */
    cr_assert(not(expire(&f, 1010)));
    cr_assert(eq(u64, count(&f, SONA_COUNTER_drop_abandoned), 0));
    cr_assert(not(expire(&f, 1011)));
    cr_assert(eq(u64, count(&f, SONA_COUNTER_drop_abandoned), 1));
    cr_assert(not(outcome(&f, id, 1, false)));
    cr_assert(eq(u64, count(&f, SONA_COUNTER_drop_expired), 1));
    sona_sidecar_join_done(&f.join);
}

Test(join, a_revocation_goes_to_the_learner_by_its_id)
{
    struct fixture f;

    open_fixture(&f, 16);
    uint64_t id = decide(&f, NULL);
    cr_assert(outcome(&f, id, 1, false));
    cr_assert(eq(u32, f.out.joined.kind, SONA_LEARNER_OUTCOME));
    cr_assert(not(revoke(&f, id, 2)), "of another user");
    cr_assert(revoke(&f, id, 1));
    cr_assert(eq(u64, f.out.joined.id, id));
    cr_assert(eq(u32, f.out.joined.kind, SONA_LEARNER_REVOKE));
    cr_assert(not(revoke(&f, id, 1)), "a second time");
    cr_assert(eq(u64, count(&f, SONA_COUNTER_revoking), 1));
    cr_assert(eq(u64, count(&f, SONA_COUNTER_drop_foreign), 1));
    cr_assert(eq(u64, count(&f, SONA_COUNTER_drop_revoked), 1));
    sona_sidecar_join_done(&f.join);
}

Test(join, a_different_second_outcome_goes_to_the_learner_as_a_replacement)
{
    struct fixture f;

    open_fixture(&f, 16);
    uint64_t id = decide(&f, NULL);
    cr_assert(outcome(&f, id, 1, false));
    cr_assert(not(outcome(&f, id, 1, false)), "the same again");
    struct sona_record *r = record_init(&f.room, SONA_RECORD_OUTCOME, f.next);
    r->id = id;
    r->value = 0.125f;
    cr_assert(take(&f, 1, false, 20));
    cr_assert(eq(u32, f.out.joined.kind, SONA_LEARNER_REPLACE));
    cr_assert(eq(u64, f.out.joined.id, id));
    cr_assert(eq(flt, f.out.joined.quality, 0.125f));
    sona_sidecar_join_done(&f.join);
}

static void add_step(struct fixture *f, uint64_t id, uint16_t layer, float reward, bool rewarded)
{
    struct sona_record *r = record_init(&f->room, SONA_RECORD_STEP, f->next);

    r->id = id;
    r->layer = layer;
    r->value = reward;
    r->flags = rewarded ? SONA_RECORD_REWARDED : 0;
    r->n_floats = DIM;
    r->node = 7;
    r->score = 0.5f;
    r->latency_us = 30;
    memset(f->room.floats, 0, sizeof f->room.floats);
    f->room.floats[layer] = 2; /* twice a unit vector */
    cr_assert(not(take(f, 1, false, 10)));
}

/* An outcome is one event; the sums of a trajectory's steps come before it, one event per layer. */
Test(join, the_steps_of_a_trajectory_go_to_the_learner_before_its_outcome)
{
    struct fixture f;
    uint32_t seen = 0;

    open_fixture(&f, 16);
    uint64_t id = record_init(&f.room, SONA_RECORD_BEGIN, f.next)->id;
    cr_assert(take(&f, 1, false, 10));
    add_step(&f, id, 1, 0, false);
    add_step(&f, id, 2, 0.75f, true);
    struct sona_record *r = record_init(&f.room, SONA_RECORD_END, f.next);
    r->id = id;
    r->value = 0.5f;
    for (bool more = take(&f, 1, false, 20); more;
         more = sona_sidecar_join_more(&f.join, &f.out.joined)) {
        const struct sona_sidecar_joined *j = &f.out.joined;
        const float *x = f.out.x, *base = x + 32;

        cr_assert(eq(u64, j->id, id));
        if (seen < 2) {
            cr_assert(eq(u32, j->kind, SONA_LEARNER_STEPS));
            cr_assert(eq(flt, j->credit, 1));
            cr_assert(eq(flt, base[j->layer], 1), "unit length");
            cr_assert(eq(flt, j->quality, j->layer == 1 ? 0.5f : 0.75f), "layer %u", j->layer);
            cr_assert(eq(flt, x[j->layer], j->quality));
        } else {
            cr_assert(eq(u32, j->kind, SONA_LEARNER_OUTCOME));
            cr_assert(eq(flt, j->quality, 0.5f));
        }
        seen++;
    }
    cr_assert(eq(u32, seen, 3));
    sona_stats s = {0};
    sona_sidecar_join_stats(&f.join, &s);
    cr_assert(eq(u32, s.n_nodes, 1));
    cr_assert(eq(u32, s.node[0].node, 7));
    cr_assert(eq(u64, s.node[0].steps, 2));
    cr_assert(eq(dbl, s.node[0].mean_latency_us, 30));
    sona_sidecar_join_done(&f.join);
}

Test(join, a_query_that_is_withheld_waits_for_its_outcome_all_the_same)
{
    struct fixture f;
    bool told;

    open_fixture(&f, 16);
    f.withheld = true;
    uint64_t id = decide(&f, &told);
    cr_assert(not(told));
    cr_assert(eq(u64, count(&f, SONA_COUNTER_queries_withheld), 1));
    cr_assert(eq(u64, count(&f, SONA_COUNTER_decisions), 1));
    cr_assert(outcome(&f, id, 1, false));
    cr_assert(eq(u32, f.out.joined.kind, SONA_LEARNER_OUTCOME));
    cr_assert(not(outcome(&f, SONA_ID(TAG, LANE, f.next + 1), 1, true)), "parked");
    decide(&f, &told);
    cr_assert(told, "with its outcome it is nothing to be withheld");
    cr_assert(eq(u32, f.out.joined.kind, SONA_LEARNER_QUERY_OUTCOME));
    cr_assert(eq(u64, count(&f, SONA_COUNTER_queries_withheld), 1));
    sona_sidecar_join_done(&f.join);
}

/* The steps of a trajectory and its outcome are one word, and count once. */
Test(join, what_is_thinned_is_counted_and_its_corrections_are_not_thinned)
{
    struct fixture f;

    open_fixture(&f, 16);
    uint64_t id = decide(&f, NULL);
    f.thinned = true;
    cr_assert(not(outcome(&f, id, 1, false)));
    cr_assert(eq(u64, count(&f, SONA_COUNTER_drop_thinned), 1));
    cr_assert(eq(u64, count(&f, SONA_COUNTER_joined), 1), "it was joined, and is no stray");
    cr_assert(revoke(&f, id, 1));
    cr_assert(eq(u32, f.out.joined.kind, SONA_LEARNER_REVOKE));
    id = record_init(&f.room, SONA_RECORD_BEGIN, f.next)->id;
    cr_assert(take(&f, 1, false, 10), "a query is not thinned");
    add_step(&f, id, 1, 0, false);
    add_step(&f, id, 2, 0.75f, true);
    struct sona_record *r = record_init(&f.room, SONA_RECORD_END, f.next);
    r->id = id;
    r->value = 0.5f;
    cr_assert(not(take(&f, 1, false, 20)));
    cr_assert(not(sona_sidecar_join_has_more(&f.join)));
    cr_assert(eq(u64, count(&f, SONA_COUNTER_drop_thinned), 2));
    r = record_init(&f.room, SONA_RECORD_SIGNAL, f.next);
    r->value = 0.5f;
    r->n_floats = 0;
    cr_assert(not(take(&f, 1, false, 20)));
    cr_assert(eq(u64, count(&f, SONA_COUNTER_drop_thinned), 3));
    sona_sidecar_join_done(&f.join);
}

Test(join, a_context_is_counted_and_names_the_type_of_its_outcome)
{
    struct fixture f;

    open_fixture(&f, 16);
    uint64_t id = record_init(&f.room, SONA_RECORD_BEGIN, f.next)->id;
    cr_assert(take(&f, 1, false, 10));
    struct sona_record *r = record_init(&f.room, SONA_RECORD_CONTEXT, f.next);
    r->id = id;
    memset(f.room.floats, 0, sizeof f.room.floats);
    strcpy((char *)f.room.floats, "Codegen/rust");
    cr_assert(not(take(&f, 1, false, 10)));
    r = record_init(&f.room, SONA_RECORD_END, f.next);
    r->id = id;
    cr_assert(take(&f, 1, false, 20));
    cr_assert(eq(u32, f.out.joined.type, SONA_PATTERN_CODEGEN));
    cr_assert(eq(u64, count(&f, SONA_COUNTER_contexts), 1));
    sona_sidecar_join_done(&f.join);
}

static uint64_t draw(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* The record that a careless or hostile client might write next. */
static void scribble(struct fixture *f, uint64_t *rng)
{
    struct sona_record *r =
        record_init(&f->room, (int)(draw(rng) % (SONA_SIDECAR_KINDS + 1)), f->next);

    if (r->kind != SONA_RECORD_DECIDE && r->kind != SONA_RECORD_BEGIN)
        r->id = SONA_ID(TAG + draw(rng) % 2, LANE, f->next - 8 + draw(rng) % 16);
    if (draw(rng) % 8 == 0)
        r->value = (float)draw(rng);
    if (draw(rng) % 8 == 0)
        r->route = (sona_route)(draw(rng) % 6);
    if (draw(rng) % 8 == 0)
        r->lane_seq += draw(rng) % 2;
    if (draw(rng) % 8 == 0)
        f->room.floats[draw(rng) % 40] = NAN;
}

Test(join, every_record_ends_in_exactly_one_counter)
{
    struct fixture f;
    uint64_t seed = 4711, rng = seed, joined = 0, queries = 0, hits = 0, refused = 0;
    sona_stats s;

    cr_log_info("seed %llu", (unsigned long long)seed);
    open_fixture(&f, 64);
    for (uint64_t n = 0; n < 100000; n++) {
        scribble(&f, &rng);
        if (take(&f, draw(&rng) % 16 == 0 ? 2 : 1, draw(&rng) % 2, n / 16)) {
            hits += f.out.joined.kind == SONA_LEARNER_HIT;
            joined +=
                f.out.joined.kind != SONA_LEARNER_QUERY && f.out.joined.kind != SONA_LEARNER_HIT;
            queries += f.out.joined.kind == SONA_LEARNER_QUERY ||
                       f.out.joined.kind == SONA_LEARNER_QUERY_OUTCOME;
        }
        if (n % 100 == 0)
            cr_assert(not(expire(&f, n / 16)));
    }
    memset(&s, 0, sizeof s);
    sona_sidecar_join_stats(&f.join, &s);
    uint64_t accepted = 0;
    for (int k = 0; k < SONA_SIDECAR_KINDS; k++)
        accepted += f.join.accepted[k];
    for (int c = 0; c < SONA_COUNTER_COUNT; c++)
        refused += f.join.refused[c];
    const uint64_t *a = f.join.accepted, *c = s.counter;
    cr_assert(eq(u64, f.join.taken, accepted + refused));
    cr_assert(eq(u64, c[SONA_COUNTER_decisions] + c[SONA_COUNTER_trajectories],
                 a[SONA_RECORD_DECIDE] + a[SONA_RECORD_BEGIN]));
    cr_assert(eq(u64, c[SONA_COUNTER_outcomes], a[SONA_RECORD_OUTCOME] + a[SONA_RECORD_END]));
    cr_assert(gt(u64, joined, 100), "the test joins something");
    cr_assert(eq(u64, c[SONA_COUNTER_revokes], a[SONA_RECORD_REVOKE]));
    cr_assert(eq(u64, joined,
                 c[SONA_COUNTER_joined] + c[SONA_COUNTER_replacing] - c[SONA_COUNTER_replaced] +
                     c[SONA_COUNTER_revoking] + c[SONA_COUNTER_signals]));
    cr_assert(eq(u64, c[SONA_COUNTER_signals], a[SONA_RECORD_SIGNAL]));
    cr_assert(gt(u64, c[SONA_COUNTER_signals], 0));
    cr_assert(eq(u64, c[SONA_COUNTER_decisions] + c[SONA_COUNTER_trajectories],
                 s.pending + c[SONA_COUNTER_joined] + c[SONA_COUNTER_withdrawn] +
                     c[SONA_COUNTER_drop_evicted] + c[SONA_COUNTER_drop_abandoned]),
              "seed %llu", (unsigned long long)seed);
    cr_assert(eq(u64, hits, a[SONA_RECORD_PATTERN_HIT]));
    cr_assert(eq(u64, queries, c[SONA_COUNTER_decisions] + c[SONA_COUNTER_trajectories]));
    sona_sidecar_join_done(&f.join);
}

struct saved {
    unsigned char *bytes;
    size_t n;
};

static struct saved save(const struct fixture *f)
{
    struct sona_state_writer writer;
    struct saved ret;

    sona_state_writer_init(&writer, NULL, 0);
    sona_sidecar_join_save(&f->join, &writer);
    ret = (struct saved){.bytes = malloc(writer.end), .n = writer.end};
    sona_state_writer_init(&writer, ret.bytes, ret.n);
    sona_sidecar_join_save(&f->join, &writer);
    cr_assert(sona_state_writer_end(&writer, 1));
    (void)sona_state_seal(ret.bytes, ret.n);
    return ret;
}

static void load(struct fixture *f, const struct saved *saved)
{
    struct sona_state_reader reader;
    sona_diag diag = {.text = ""};

    cr_assert(eq(int, sona_state_reader_open(&reader, saved->bytes, saved->n, 1, &diag), SONA_OK));
    cr_assert(eq(int, sona_sidecar_join_load(&f->join, &reader), SONA_OK), "%s", diag.text);
    cr_assert(eq(int, sona_state_reader_done(&reader), SONA_OK), "%s", diag.text);
}

/* One of everything that can wait, and of what can be refused. Returns ids of a decision and of a
 * trajectory that wait. */
static void fill(struct fixture *f, uint64_t *ret_decision, uint64_t *ret_trajectory)
{
    uint64_t told = decide(f, NULL), early;
    struct sona_record *r;

    cr_assert(outcome(f, told, 1, false));
    cr_assert(not(outcome(f, told, 2, false)), "another's");
    *ret_decision = decide(f, NULL);
    *ret_trajectory = record_init(&f->room, SONA_RECORD_BEGIN, f->next)->id;
    cr_assert(take(f, 1, false, 1));
    r = record_init(&f->room, SONA_RECORD_STEP, f->next);
    r->id = *ret_trajectory;
    r->n_floats = DIM;
    cr_assert(not(take(f, 1, false, 1)));
    early = record_init(&f->room, SONA_RECORD_DECIDE, f->next + 500)->id;
    cr_assert(not(outcome(f, early, 1, true)), "parked");
    record_init(&f->room, SONA_RECORD_STEP, f->next)->version = 99;
    cr_assert(not(take(f, 1, false, 1)), "refused at sight");
}

Test(join, what_waits_and_every_counter_come_back_from_a_save)
{
    uint64_t decision, trajectory;
    struct fixture f, g;
    struct saved saved, again;
    sona_stats before = {.step = 0}, after = {.step = 0};

    open_fixture(&f, 16);
    open_fixture(&g, 16);
    fill(&f, &decision, &trajectory);
    saved = save(&f);
    load(&g, &saved);
    g.next = f.next;
    again = save(&g);
    cr_assert(eq(sz, saved.n, again.n));
    cr_assert(eq(int, memcmp(saved.bytes, again.bytes, saved.n), 0));
    sona_sidecar_join_stats(&f.join, &before);
    sona_sidecar_join_stats(&g.join, &after);
    cr_assert(eq(int, memcmp(before.counter, after.counter, sizeof before.counter), 0));
    cr_assert(eq(u64, after.pending, 2));
    cr_assert(eq(u64, after.parked_now, 1));
    cr_assert(eq(u64, g.join.taken, f.join.taken));

    cr_assert(outcome(&f, decision, 1, false));
    cr_assert(outcome(&g, decision, 1, false));
    cr_assert(eq(int, memcmp(&f.out, &g.out, sizeof f.out.joined + 32 * sizeof(float)), 0));
    record_init(&g.room, SONA_RECORD_END, g.next)->id = trajectory;
    cr_assert(take(&g, 1, false, 1));
    cr_assert(eq(u32, g.out.joined.kind, SONA_LEARNER_STEPS), "the sums of its step came back");
    cr_assert(sona_sidecar_join_more(&g.join, &g.out.joined));
    cr_assert(eq(u32, g.out.joined.kind, SONA_LEARNER_OUTCOME));
    free(saved.bytes);
    free(again.bytes);
    sona_sidecar_join_done(&f.join);
    sona_sidecar_join_done(&g.join);
}
