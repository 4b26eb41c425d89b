/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The names of the seeds through a real sidecar, each doing what the call behind it does. */
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <sona/seeds.h>

#include "tests/system/stage.h"

Test(seeds, a_trajectory_in_either_dialect_is_learned_by_the_sidecar, .timeout = 60)
{
    static const float attention[4] = {1, 0, 0, 0};
    struct stage stage;
    float x[STAGE_DIM], y[STAGE_DIM], z[STAGE_DIM];
    uint64_t id;
    uint32_t count;
    sona_pattern pattern;

    stage_open(&stage, NULL);
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    stage_query(1, x);
    cr_assert(eq(int, sona_begin_trajectory(lane, x, STAGE_DIM, &id), 0));
    cr_assert(eq(int, sona_add_step(lane, id, x, STAGE_DIM, attention, 4, 0.9f), 0));
    cr_assert(eq(int, sona_set_trajectory_route(lane, id, 1), 0));
    cr_assert(eq(int, sona_add_trajectory_context(lane, id, "chat"), 0));
    cr_assert(eq(int, sona_end_trajectory(lane, id, 0.85f), 0));
    cr_assert(eq(int, sona_start_trajectory(lane, x, STAGE_DIM, &id), 0));
    cr_assert(eq(int, sona_record_step(lane, id, 42, 0.85f, 150), 0));
    cr_assert(eq(int, sona_add_trajectory_step(lane, id, x, STAGE_DIM, attention, 4, 0.9f), 0));
    cr_assert(eq(int, sona_set_trajectory_route_named(lane, id, "nobody"), SONA_E_ROUTE));
    cr_assert(eq(int, sona_set_trajectory_route_named(lane, id, "b"), 0));
    cr_assert(eq(int, sona_end_trajectory(lane, id, 0.9f), 0));
    cr_assert(eq(u64, stage_await(&stage, "learned", 2), 2));
    cr_assert(eq(u64, stage_counter(&stage, "steps"), 3));
    cr_assert(eq(u64, stage_counter(&stage, "positive_feedback"), 2));
    cr_assert(eq(u64, stage_counter(&stage, "trajectories_recorded"), 2));
    cr_assert(eq(u64, stage_counter(&stage, "total_requests"), 2));
    json_t *stats = stage_stats(&stage);
    const json_t *b = json_array_get(json_object_get(stats, "routes"), 1);
    cr_assert(eq(dbl, json_number_value(json_object_get(b, "outcomes")), 2), "by name and number");
    json_decref(stats);
    sona_decision decision;
    cr_assert(eq(int, sona_decide(lane, x, STAGE_DIM, NULL, &decision), 0));
    cr_assert(eq(int, sona_learn_from_feedback(lane, sona_signal_negative(50, 0.2f)), 0));
    cr_assert(eq(u64, stage_await(&stage, "learned", 3), 3));
    cr_assert(eq(u64, stage_counter(&stage, "negative_feedback"), 1));
    cr_assert(eq(int, sona_apply(lane, x, STAGE_DIM, y, NULL), 0));
    cr_assert(eq(int, sona_apply_lora(lane, x, STAGE_DIM, z), 0));
    cr_assert(zero(int, memcmp(y, z, sizeof y)));
    cr_assert(ne(int, memcmp(x, z, sizeof y), 0));
    cr_assert(eq(int, sona_apply_micro(lane, x, STAGE_DIM, y, NULL), 0));
    cr_assert(eq(int, sona_apply_micro_lora(lane, x, STAGE_DIM, z), 0));
    cr_assert(zero(int, memcmp(y, z, sizeof y)));
    cr_assert(eq(int, sona_apply_base(lane, 1, x, STAGE_DIM, y, NULL), 0));
    cr_assert(eq(int, sona_apply_base_lora(lane, 1, x, STAGE_DIM, z), 0));
    cr_assert(zero(int, memcmp(y, z, sizeof y)));
    cr_assert(eq(int, sona_query_patterns(lane, x, STAGE_DIM, 1, &pattern, &count), 0));
    cr_assert(zero(u32, count)); /* no background cycle yet */
    sona_client_close(&client);
    stage_close(&stage);
}
