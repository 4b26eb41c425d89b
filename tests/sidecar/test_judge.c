/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Every claim in a record is judged, and dropped under the right name. */
#include "record_fixture.h"

static struct sona_sidecar_rules rules;
static const struct sona_sidecar_origin origin = {.tag = TAG, .lane = LANE, .seq = 5};

static void setup(void)
{
    rules_init(&rules);
}

TestSuite(judge, .init = setup);

Test(judge, a_right_record_of_every_kind_is_accepted)
{
    struct room room;

    for (int kind = SONA_RECORD_DECIDE; kind <= SONA_RECORD_PATTERN_HIT; kind++) {
        struct sona_record *r = record_init(&room, kind, origin.seq);

        cr_assert(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_SIDECAR_ACCEPTED), "kind %d",
                  kind);
    }
}

Test(judge, a_broken_header_is_malformed)
{
    struct room room;
    struct sona_record *r;

    r = record_init(&room, SONA_RECORD_OUTCOME, origin.seq);
    r->magic ^= 1;
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_malformed));
    r = record_init(&room, SONA_RECORD_OUTCOME, origin.seq);
    r->version++;
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_malformed));
    r = record_init(&room, SONA_RECORD_OUTCOME, origin.seq);
    r->lane_seq++;
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_malformed));
    r = record_init(&room, 0, origin.seq);
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_malformed));
    r = record_init(&room, SONA_RECORD_SIGNAL + 1, origin.seq);
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_malformed));
}

Test(judge, a_decision_cannot_be_made_in_the_name_of_another_lane_client_or_record)
{
    struct room room;
    struct sona_record *r = record_init(&room, SONA_RECORD_DECIDE, origin.seq);
    const uint64_t forged[] = {SONA_ID(TAG + 1, LANE, 5), SONA_ID(TAG, LANE + 1, 5),
                               SONA_ID(TAG, LANE, 6), 0};

    for (size_t n = 0; n < sizeof forged / sizeof forged[0]; n++) {
        r->id = forged[n];
        cr_assert(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_malformed));
    }
}

Test(judge, a_step_for_another_clients_trajectory_is_unknown)
{
    struct room room;
    struct sona_record *r = record_init(&room, SONA_RECORD_STEP, origin.seq);

    r->id = SONA_ID(TAG, LANE + 1, 1);
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_SIDECAR_ACCEPTED));
    r->id = SONA_ID(TAG + 1, LANE, 1);
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_unknown_id));
}

Test(judge, an_embedding_is_finite_not_zero_and_of_unit_length)
{
    struct room room;
    struct sona_record *r = record_init(&room, SONA_RECORD_DECIDE, origin.seq);

    room.floats[DIM - 1] = NAN;
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_not_finite));
    room.floats[DIM - 1] = -INFINITY;
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_not_finite));
    room.floats[DIM - 1] = 3e38f;
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_range));
    memset(room.floats, 0, sizeof room.floats);
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_zero_vector));
    room.floats[0] = 2;
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_range));
    rules.geometry.flags = 0;
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_SIDECAR_ACCEPTED),
              "an instance that does not normalise takes any length");
}

Test(judge, what_lies_behind_an_embedding_does_not_count_and_is_cleared)
{
    struct room room;
    struct sona_record *r = record_init(&room, SONA_RECORD_DECIDE, origin.seq);

    for (uint32_t i = DIM; i < rules.dim_padded; i++)
        room.floats[i] = NAN;
    cr_assert(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_SIDECAR_ACCEPTED));
    for (uint32_t i = DIM; i < rules.dim_padded; i++)
        cr_assert(eq(flt, room.floats[i], 0.0f));
}

Test(judge, a_propensity_is_above_0_and_at_most_1)
{
    struct room room;
    struct sona_record *r = record_init(&room, SONA_RECORD_DECIDE, origin.seq);

    r->value = 0;
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_range));
    r->value = 1.0001f;
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_range));
    r->value = NAN;
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_not_finite));
    r->value = 1;
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_SIDECAR_ACCEPTED));
}

Test(judge, a_quality_is_between_0_and_1_both_included)
{
    static const int kinds[] = {SONA_RECORD_OUTCOME, SONA_RECORD_END};
    struct room room;

    for (int n = 0; n < 2; n++) {
        struct sona_record *r = record_init(&room, kinds[n], origin.seq);

        r->value = 0;
        cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_SIDECAR_ACCEPTED));
        r->value = -0.001f;
        cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_range));
        r->value = INFINITY;
        cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_not_finite));
    }
}

Test(judge, a_route_is_one_that_is_or_was_in_the_table)
{
    struct room room;
    struct sona_record *r = record_init(&room, SONA_RECORD_DECIDE, origin.seq);

    r->route = SONA_ROUTE_ID(1, 0); /* a predecessor: the learner says route_retired */
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_SIDECAR_ACCEPTED));
    r->route = SONA_ROUTE_ID(1, 3); /* a generation that never was */
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_route));
    r->route = 2; /* retired */
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_SIDECAR_ACCEPTED));
    r->route = 3; /* no row */
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_route));
    r->route = SONA_ROUTE_NONE;
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_route));
}

Test(judge, a_step_carries_no_more_than_its_record_holds)
{
    struct room room;
    struct sona_record *r = record_init(&room, SONA_RECORD_STEP, origin.seq);

    r->n_floats = DIM;
    r->n_attention = ATTENTION;
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_SIDECAR_ACCEPTED));
    r->n_floats = DIM + 1;
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_shape));
    r->n_floats = UINT16_MAX;
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_shape));
    r->n_floats = DIM;
    r->n_attention = ATTENTION + 1;
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_shape));
    r->n_attention = ATTENTION;
    r->layer = 3;
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_range));
    r->layer = 2;
    room.floats[DIM + ATTENTION - 1] = NAN;
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_not_finite));
    r->n_attention = ATTENTION - 1;
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_SIDECAR_ACCEPTED),
              "what a step does not carry does not count");
    r->value = NAN;
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_not_finite));
}

Test(judge, a_context_without_end_is_malformed)
{
    struct room room;
    struct sona_record *r = record_init(&room, SONA_RECORD_CONTEXT, origin.seq);

    memset(room.floats, 'x', sizeof room.floats);
    cr_assert(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_malformed));
}

Test(judge, a_context_may_be_longer_than_the_floats_of_a_small_instance)
{
    struct room room;
    struct sona_record *r = record_init(&room, SONA_RECORD_CONTEXT, origin.seq);
    struct sona_sidecar_rules small = rules;

    small.geometry.dim = 4;
    memset(room.floats, 0, sizeof room.floats);
    memset(room.floats, 'x', SONA_RECORD_TEXT - 1);
    cr_assert(eq(int, sona_sidecar_judge(&small, &origin, r), SONA_SIDECAR_ACCEPTED));
}

Test(judge, a_pattern_hit_names_a_row_of_the_table)
{
    struct room room;
    struct sona_record *r = record_init(&room, SONA_RECORD_PATTERN_HIT, origin.seq);

    r->node = 7;
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_SIDECAR_ACCEPTED));
    r->node = 8;
    cr_expect(eq(int, sona_sidecar_judge(&rules, &origin, r), SONA_COUNTER_drop_range));
}

static uint64_t draw(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

Test(judge, no_bytes_lead_it_out_of_the_record)
{
    struct room room;
    uint64_t seed = 20261122, rng = seed;

    cr_log_info("seed %llu", (unsigned long long)seed);
    for (int n = 0; n < 200000; n++) { /* the sanitizers watch the bounds */
        struct sona_record *r =
            record_init(&room, (int)(draw(&rng) % (SONA_RECORD_PATTERN_HIT + 1)), origin.seq);
        unsigned char *bytes = (unsigned char *)&room;

        for (int k = 0; k < 6; k++) /* behind the header's magic, version, kind and sequence */
            bytes[16 + draw(&rng) % (sizeof room - 16)] = (unsigned char)draw(&rng);
        int verdict = sona_sidecar_judge(&rules, &origin, r);
        cr_assert(verdict == SONA_SIDECAR_ACCEPTED ||
                      (verdict >= 0 && verdict < SONA_COUNTER_COUNT),
                  "verdict %d; seed %llu", verdict, (unsigned long long)seed);
    }
}
