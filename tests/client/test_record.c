/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What each call writes into its lane, to the byte that the sidecar reads. */
#include <math.h>
#include <string.h>

#include "client_fixture.h"
#include "watch.h"

/* Lane 1, since much is 0 where a lane is not written at all. */
static void start(void)
{
    client_start();
    cr_assert(eq(int, sona_lane_claim(client, &lane, NULL), SONA_OK));
}

TestSuite(record, .init = start, .fini = client_stop);

union slot {
    struct sona_record head;
    char bytes[256];
};

/* The first of the records in the lane. */
static union slot take_first(void)
{
    union slot slot;

    cr_assert(le(u32, fake.peer[0].plan.record_stride, sizeof slot));
    cr_assert(eq(u32, fake_drain(&fake, 0, 1, &slot, 1), 1));
    return slot;
}

/* The one record in the lane. */
static union slot take(void)
{
    union slot slot;

    cr_assert(le(u32, fake.peer[0].plan.record_stride, sizeof slot));
    cr_assert(eq(u32, fake_drain(&fake, 0, 1, &slot, 2), 1), "exactly one record");
    cr_assert(eq(u32, slot.head.magic, SONA_RECORD_MAGIC));
    cr_assert(eq(u32, slot.head.version, SONA_RECORD_VERSION));
    return slot;
}

static void check_embedding(const union slot *slot)
{
    const float *f = (const float *)(const void *)(slot->bytes + sizeof slot->head);
    double norm = 0, sum = 0;

    for (uint32_t i = 0; i < FAKE_DIM; i++) {
        norm += (double)f[i] * (double)f[i];
        sum += (double)x[i] * (double)x[i];
    }
    cr_assert(lt(dbl, fabs(norm - 1), 1e-6), "unit norm");
    for (uint32_t i = 0; i < FAKE_DIM; i++)
        cr_assert(lt(dbl, fabs((double)f[i] - (double)x[i] / sqrt(sum)), 1e-6), "float %u", i);
}

Test(record, a_decision_is_recorded_as_it_was_answered)
{
    for (uint64_t seq = 0; seq < 3; seq++) {
        sona_decision d;

        cr_assert(eq(int, sona_decide(lane, x, FAKE_DIM, NULL, &d), SONA_OK));
        union slot slot = take();
        cr_assert(eq(u32, slot.head.kind, SONA_RECORD_DECIDE));
        cr_assert(eq(u64, slot.head.lane_seq, seq));
        cr_assert(eq(u64, slot.head.id, SONA_ID(fake.peer[0].tag, 1, seq)));
        cr_assert(eq(u64, slot.head.id, d.id));
        cr_assert(eq(u64, slot.head.snapshot, d.version));
        cr_assert(ne(u64, d.version, 0));
        cr_assert(eq(u32, slot.head.route, d.route));
        cr_assert(eq(flt, slot.head.value, d.propensity));
        check_embedding(&slot);
    }
}

#define MANY 20000u

/* Decide on `on`, lane 1 of the fake's `peer`; which decisions left a record. */
static uint64_t note_recorded(sona_lane *on, uint32_t peer, uint32_t left_out, bool recorded[MANY])
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < MANY; i++) {
        union slot slot = {.head = {.kind = 0}};
        sona_decision d = {.id = 1};

        cr_assert(eq(int, sona_decide(on, x, FAKE_DIM, NULL, &d), SONA_OK));
        cr_assert(d.propensity > 0 && d.propensity <= 1, "decision %u", i);
        recorded[i] = fake_drain(&fake, peer, 1, &slot, 2) == 1;
        cr_assert(eq(u64, d.id, recorded[i] ? SONA_ID(fake.peer[peer].tag, 1, count) : 0));
        if (!recorded[i])
            continue;
        cr_assert(eq(u64, slot.head.lane_seq, count), "no place is skipped");
        cr_assert(eq(u32, slot.head.unrecorded, left_out));
        count++;
    }
    return count;
}

static void leave_out(uint16_t unrecorded)
{
    ((struct sona_model_hot *)fake.hot)->unrecorded = unrecorded;
    (void)fake_publish(&fake, false);
}

Test(record, a_share_of_1_records_every_decision)
{
    static bool recorded[MANY];

    cr_expect(eq(u64, note_recorded(lane, 0, 0, recorded), MANY));
    cr_expect(eq(u64, watch_stats(client).unrecorded, 0));
}

/* 5 standard deviations are 306. */
Test(record, a_share_of_a_quarter_records_a_quarter_and_the_same_with_the_same_seed)
{
    static bool first[MANY], again[MANY];
    uint16_t unrecorded = sona_model_unrecorded(0.25f);

    leave_out(unrecorded);
    uint64_t n = note_recorded(lane, 0, unrecorded, first);
    cr_expect(epsilon_eq(dbl, (double)n, 0.25 * MANY, 306), "%llu", (unsigned long long)n);
    cr_expect(eq(u64, watch_stats(client).unrecorded, MANY - n));
    cr_expect(eq(u64, watch_stats(client).decides, MANY));

    sona_client *other = fake_client(&fake);
    sona_lane *lanes[2];
    for (int i = 0; i < 2; i++)
        cr_assert(eq(int, sona_lane_claim(other, &lanes[i], NULL), SONA_OK));
    cr_expect(eq(u64, note_recorded(lanes[1], 1, unrecorded, again), n));
    cr_expect(zero(int, memcmp(first, again, sizeof first)));
    sona_client_close(&other);
}

Test(record, a_decision_left_out_is_no_loss_in_a_full_ring_and_hears_of_nothing)
{
    sona_signal signal = sona_signal_positive(0, 0.75f);
    sona_signal_effect effect;
    sona_decision d = {.id = 1};

    cr_assert(eq(int, sona_decide(lane, x, FAKE_DIM, NULL, &d), SONA_OK));
    cr_assert(ne(u64, d.id, 0));
    leave_out(UINT16_MAX);
    cr_assert(eq(int, sona_decide(lane, x, FAKE_DIM, NULL, &d), SONA_OK));
    cr_expect(eq(u64, d.id, 0));
    cr_expect(eq(int, sona_outcome(lane, d.id, 1, NULL), SONA_E_UNKNOWN_ID));
    cr_assert(eq(int, sona_learn(lane, &signal, &effect), SONA_OK));
    cr_expect(eq(int, effect, SONA_SIGNAL_BASELINE), "it is not about the decision before");
    while (sona_outcome(lane, 1, 1, NULL) == SONA_OK) {
    }
    cr_expect(eq(int, sona_decide(lane, x, FAKE_DIM, NULL, &d), SONA_OK));
    cr_expect(eq(u64, watch_stats(client).unrecorded, 2));
    cr_expect(eq(u64, watch_stats(client).dropped_full, 1), "of the outcome");
}

Test(record, decisions_and_trajectories_say_whose_query_it_is)
{
    const sona_candidates ours = {.tenant = 0xfffffffe};
    sona_decision d;
    uint64_t id;

    cr_assert(eq(int, sona_decide(lane, x, FAKE_DIM, &ours, &d), SONA_OK));
    cr_expect(eq(u32, take().head.node, 0xfffffffe));
    cr_assert(eq(int, sona_decide(lane, x, FAKE_DIM, NULL, &d), SONA_OK));
    cr_expect(eq(u32, take().head.node, 0));
    cr_assert(eq(int, sona_trajectory_begin_tenant(lane, 7, x, FAKE_DIM, &id), SONA_OK));
    cr_expect(eq(u32, take().head.node, 7));
    cr_assert(eq(int, sona_trajectory_begin(lane, x, FAKE_DIM, &id), SONA_OK));
    cr_expect(eq(u32, take().head.node, 0));
}

Test(record, an_outcome_names_its_decision_and_all_that_is_known)
{
    const sona_outcome_info info = {.latency_us = 11, .tokens_in = 22, .tokens_out = 33};

    cr_assert(eq(int, sona_outcome(lane, 0x123456789abcdef0u, 0.75f, &info), SONA_OK));
    union slot slot = take();
    cr_assert(eq(u32, slot.head.kind, SONA_RECORD_OUTCOME));
    cr_assert(eq(u64, slot.head.id, 0x123456789abcdef0u), "any lane's, any process's");
    cr_assert(eq(flt, slot.head.value, 0.75f));
    cr_assert(eq(u32, slot.head.latency_us, 11));
    cr_assert(eq(u32, slot.head.node, 22));
    cr_assert(eq(u32, slot.head.reserved1, 33));
    cr_assert(eq(int, sona_outcome(lane, 1, 0, NULL), SONA_OK));
    slot = take();
    cr_assert(eq(u64, slot.head.lane_seq, 1));
    cr_assert(eq(u32, slot.head.latency_us, 0));
}

Test(record, a_revocation_names_what_it_takes_back)
{
    cr_assert(eq(int, sona_outcome_revoke(lane, 0x123456789abcdef0u), SONA_OK));
    union slot slot = take();
    cr_assert(eq(u32, slot.head.kind, SONA_RECORD_REVOKE));
    cr_assert(eq(u64, slot.head.id, 0x123456789abcdef0u));
    cr_assert(eq(int, sona_outcome_revoke(lane, 0), SONA_E_UNKNOWN_ID));
    cr_assert(eq(int, sona_outcome_revoke(NULL, 1), SONA_E_ARGUMENT));
}

Test(record, a_signal_is_the_outcome_of_what_it_is_about_and_what_it_says_beside)
{
    sona_signal signal = sona_signal_with_gradient(sona_signal_positive(1.5f, 0.75f), x, FAKE_DIM);
    sona_signal_effect effect;
    sona_decision d;

    cr_assert(eq(int, sona_learn(lane, &signal, &effect), SONA_OK));
    cr_assert(eq(int, effect, SONA_SIGNAL_BASELINE));
    union slot slot = take();
    cr_assert(eq(u32, slot.head.kind, SONA_RECORD_SIGNAL));
    cr_assert(zero(u64, slot.head.id));
    cr_assert(eq(u32, slot.head.n_floats, FAKE_DIM));
    cr_assert(eq(flt, slot.head.value, 0.75f));
    check_embedding(&slot);

    cr_assert(eq(int, sona_decide(lane, x, FAKE_DIM, NULL, &d), SONA_OK));
    (void)take();
    cr_assert(eq(int, sona_learn(lane, &signal, &effect), SONA_OK));
    cr_assert(eq(int, effect, SONA_SIGNAL_LAST));
    slot = take_first();
    cr_assert(eq(u32, slot.head.kind, SONA_RECORD_OUTCOME));
    cr_assert(eq(u64, slot.head.id, d.id));
    cr_assert(eq(flt, slot.head.value, 0.75f));
    cr_assert(eq(u32, slot.head.latency_us, 1500));
    slot = take();
    cr_assert(eq(u32, slot.head.kind, SONA_RECORD_SIGNAL));
    cr_assert(eq(u64, slot.head.id, d.id));

    signal = sona_signal_about(sona_signal_negative(0, SONA_THUMBS_DOWN), 4711);
    cr_assert(eq(int, sona_learn(lane, &signal, &effect), SONA_OK));
    cr_assert(eq(int, effect, SONA_SIGNAL_NAMED));
    slot = take();
    cr_assert(eq(u32, slot.head.kind, SONA_RECORD_OUTCOME));
    cr_assert(eq(u64, slot.head.id, 4711));

    signal = sona_signal_with_gradient(signal, x, 3);
    cr_assert(eq(int, sona_learn(lane, &signal, NULL), SONA_E_SHAPE));
    signal = sona_signal_positive(0, 1.5f);
    cr_assert(eq(int, sona_learn(lane, &signal, NULL), SONA_E_RANGE));
    cr_assert(eq(int, sona_learn(lane, NULL, NULL), SONA_E_ARGUMENT));
}

Test(record, a_trajectory_is_its_calls_in_order_under_one_id)
{
    float activations[3] = {1, -2, 3}, attention[2] = {0.25f, 0.75f};
    const sona_step step = {.activations = activations,
                            .attention = attention,
                            .n_activations = 3,
                            .n_attention = 2,
                            .reward = -0.5f,
                            .score = 2.5f,
                            .node_id = 77,
                            .latency_us = 88,
                            .layer = 1};
    uint64_t id = 0;

    cr_assert(eq(int, sona_trajectory_begin(lane, x, FAKE_DIM, &id), SONA_OK));
    union slot slot = take();
    cr_assert(eq(u32, slot.head.kind, SONA_RECORD_BEGIN));
    cr_assert(eq(u64, id, SONA_ID(fake.peer[0].tag, 1, 0)));
    cr_assert(eq(u64, slot.head.id, id));
    check_embedding(&slot);

    cr_assert(eq(int, sona_trajectory_step(lane, id, &step), SONA_OK));
    slot = take();
    const float *f = (const float *)(const void *)(slot.bytes + sizeof slot.head);
    cr_assert(eq(u32, slot.head.kind, SONA_RECORD_STEP));
    cr_assert(eq(u64, slot.head.id, id));
    cr_assert(eq(flt, slot.head.value, -0.5f));
    cr_assert(eq(flt, slot.head.score, 2.5f));
    cr_assert(eq(u32, slot.head.node, 77));
    cr_assert(eq(u32, slot.head.latency_us, 88));
    cr_assert(eq(u32, slot.head.layer, 1));
    cr_assert(eq(u32, slot.head.n_floats, 3));
    cr_assert(eq(u32, slot.head.n_attention, 2));
    cr_assert(eq(int, memcmp(f, activations, sizeof activations), 0));
    cr_assert(eq(int, memcmp(f + FAKE_DIM, attention, sizeof attention), 0));

    cr_assert(eq(int, sona_trajectory_route(lane, id, 2), SONA_OK));
    slot = take();
    cr_assert(eq(u32, slot.head.kind, SONA_RECORD_ROUTE));
    cr_assert(eq(u32, slot.head.route, 2));
    cr_assert(eq(int, sona_trajectory_context(lane, id, "tenant-7"), SONA_OK));
    slot = take();
    cr_assert(eq(u32, slot.head.kind, SONA_RECORD_CONTEXT));
    cr_assert(eq(str, slot.bytes + sizeof slot.head, "tenant-7"));
    cr_assert(eq(int, sona_trajectory_end(lane, id, 1), SONA_OK));
    slot = take();
    cr_assert(eq(u32, slot.head.kind, SONA_RECORD_END));
    cr_assert(eq(u64, slot.head.id, id));
    cr_assert(eq(u64, slot.head.lane_seq, 4));
    cr_assert(eq(flt, slot.head.value, 1));
}

Test(record, a_found_pattern_is_told_once_for_its_access_count)
{
    sona_pattern found[4];
    uint32_t n = 99;

    cr_assert(eq(int, sona_find_patterns(lane, x, FAKE_DIM, 4, found, &n), SONA_OK));
    cr_assert(eq(u32, n, FAKE_PATTERNS));
    cr_assert(le(flt, found[0].distance, found[1].distance));
    union slot slot = take();
    cr_assert(eq(u32, slot.head.kind, SONA_RECORD_PATTERN_HIT));
    cr_assert(eq(u32, slot.head.node, found[0].index));
    cr_assert(ne(u64, slot.head.snapshot, 0));
}

Test(record, a_forced_decision_is_recorded_to_observe_and_not_to_bypass)
{
    sona_candidates candidates = {.mode = SONA_MODE_OBSERVE, .forced = 1};
    sona_decision d;
    char none[2048];

    cr_assert(eq(int, sona_decide(lane, x, FAKE_DIM, &candidates, &d), SONA_OK));
    union slot slot = take();
    cr_assert(eq(u64, slot.head.id, d.id));
    cr_assert(eq(u32, slot.head.route, 1));
    cr_assert(eq(u32, d.route, 1));
    cr_assert(eq(flt, d.propensity, 1));
    candidates.mode = SONA_MODE_BYPASS;
    cr_assert(eq(int, sona_decide(lane, x, FAKE_DIM, &candidates, &d), SONA_OK));
    cr_assert(eq(u64, d.id, 0));
    cr_assert(eq(u32, d.route, 1));
    cr_assert(eq(u32, fake_drain(&fake, 0, 1, none, 1), 0));
}

Test(record, looking_things_up_writes_nothing)
{
    float y[FAKE_DIM], scores[4];
    sona_route_info routes[4];
    sona_version_info version;
    uint32_t n;
    uint64_t v;
    char none[2048];

    cr_assert(eq(int, sona_apply(lane, x, FAKE_DIM, y, &v), SONA_OK));
    cr_assert(eq(int, sona_apply_micro(lane, x, FAKE_DIM, y, &v), SONA_OK));
    cr_assert(eq(int, sona_apply_base(lane, 1, x, FAKE_DIM, y, &v), SONA_OK));
    cr_assert(eq(int, sona_score(lane, x, FAKE_DIM, scores, 4, &v), SONA_OK));
    cr_assert(eq(int, sona_routes(lane, routes, 4, &n), SONA_OK));
    cr_assert(eq(u32, n, FAKE_ROUTES));
    cr_assert(eq(str, routes[2].name, "route-2"));
    cr_assert(eq(int, sona_version_of(lane, &version), SONA_OK));
    cr_assert(eq(u64, version.version, v));
    cr_assert(eq(u64, version.step, fake.step));
    cr_assert(not(isnan(scores[2])));
    cr_assert(isnan(scores[3]), "no such route");
    cr_assert(eq(u32, fake_drain(&fake, 0, 1, none, 1), 0));
}

Test(record, the_adapters_add_what_the_model_says)
{
    float y[FAKE_DIM], expected[FAKE_DIM];
    const struct sona_model_view view = {
        .layout = &fake.layout, .hot = fake.hot, .cold = fake.cold};
    uint64_t v;

    cr_assert(eq(int, sona_apply(lane, x, FAKE_DIM, y, &v), SONA_OK));
    sona_model_apply(&view, x, expected);
    cr_assert(eq(int, memcmp(y, expected, sizeof y), 0));
    cr_assert(ne(int, memcmp(y, x, sizeof y), 0), "and that is something");
    cr_assert(eq(int, sona_apply_micro(lane, x, FAKE_DIM, y, &v), SONA_OK));
    sona_model_apply_micro(&view, x, expected);
    cr_assert(eq(int, memcmp(y, expected, sizeof y), 0));
    cr_assert(eq(int, sona_apply_base(lane, 0, x, FAKE_DIM, y, &v), SONA_OK));
    sona_model_apply_base(&view, 0, x, expected);
    cr_assert(eq(int, memcmp(y, expected, sizeof y), 0));
}
