/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* A restart forgets nothing: what was learned, and what waits for its outcome. Many kills, with
 * every record counted and every byte compared: kills.c. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "opinion.h"
#include "reload_fixture.h"

/* An opinion, and how many cycles had been installed before and after it was asked for. */
static struct opinion settled_opinion(const struct stage *stage, uint64_t *ret_cycles)
{
    for (;;) {
        uint64_t before = stage_counter(stage, "background_cycles");
        struct opinion ret = opinion_now(stage);

        *ret_cycles = stage_counter(stage, "background_cycles");
        if (*ret_cycles == before)
            return ret;
    }
}

Test(resume, a_stopped_sidecar_knows_what_it_knew, .timeout = 120)
{
    uint64_t cycles, cycles_after;
    struct stage stage;
    int compared = 0;

    stage_open_kept(&stage, NULL);
    struct opinion nothing = opinion_now(&stage);
    learn_here(&stage, 700);
    struct opinion before = settled_opinion(&stage, &cycles);
    cr_assert(ne(int, memcmp(&nothing, &before, sizeof before), 0), "it learned something");
    for (int i = 0; i < 4; i++, cycles = cycles_after) {
        stage_restart(&stage);
        struct opinion after = settled_opinion(&stage, &cycles_after);

        cr_assert(eq(u64, stage_counter(&stage, "learned"), 700));
        if (cycles_after == cycles) { /* else the last cycle ended just before the stop */
            cr_assert(zero(int, memcmp(&before, &after, sizeof after)), "bit by bit");
            compared++;
        }
        before = after;
    }
    cr_assert(ge(int, compared, 2));
    stage_close(&stage);
}

Test(resume, a_killed_sidecar_knows_what_it_knew, .timeout = 120)
{
    struct stage stage;

    stage_open_kept(&stage, NULL);
    for (uint32_t round = 1; round <= 5; round++) {
        learn_here(&stage, 333);
        /* A cycle that is still running changes the model when it is installed. */
        (void)stage_await(&stage, "background_cycles", 1);
        sona_spawn_kill(&stage.spawn);
        stage_reopen(&stage);
        cr_assert(eq(u64, stage_counter(&stage, "learned"), 333 * round));
    }
    stage_close(&stage);
}

Test(resume, a_decision_waits_for_its_outcome_over_a_kill, .timeout = 120)
{
    struct stage stage;
    sona_decision d[10];
    uint64_t end = stage_now_ms() + STAGE_LIMIT_MS;

    stage_open_kept(&stage, NULL);
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    for (uint32_t i = 0; i < 10; i++) {
        float x[STAGE_DIM];

        stage_query(i, x);
        cr_assert(eq(int, sona_decide(lane, x, STAGE_DIM, NULL, &d[i]), SONA_OK));
    }
    (void)stage_await(&stage, "pending", 10);
    sona_spawn_kill(&stage.spawn);
    stage_reopen(&stage);
    (void)stage_await(&stage, "pending", 10);
    for (uint32_t i = 0; i < 10; i++) {
        sona_err err;

        while ((err = sona_outcome(lane, d[i].id, 1, NULL)) != SONA_OK) {
            cr_assert(eq(int, err, SONA_E_DETACHED));
            cr_assert(lt(u64, stage_now_ms(), end), "the client never found the successor");
            stage_pause();
        }
    }
    cr_assert(eq(u64, stage_await(&stage, "learned", 10), 10));
    cr_assert(eq(u64, stage_counter(&stage, "pending"), 0));
    sona_lane_release(&lane);
    sona_client_close(&client);
    stage_close(&stage);
}

/* What was learned before a change of the configuration is learned again under the values of then,
 * though the file has those of now. */
Test(resume, a_killed_sidecar_learns_again_under_the_rates_of_then, .timeout = 120)
{
    struct reload_file file;
    struct stage stage;

    reload_open(&file, "learner: {micro_lora_lr: 0, background: off}\n");
    stage_open_kept(&stage, (const char *const[]){"-c", file.path, NULL});
    learn_here(&stage, 300);
    reload_write(&file, "learner: {micro_lora_lr: 0.05, background: off}\n");
    reload_await(&stage, "learner.micro_lora_lr", "0.05");
    learn_here(&stage, 50);
    struct opinion before = opinion_now(&stage);
    sona_spawn_kill(&stage.spawn);
    stage_reopen(&stage);
    cr_assert(eq(u64, stage_counter(&stage, "learned"), 350));
    struct opinion after = opinion_now(&stage);
    cr_assert(zero(int, memcmp(&before, &after, sizeof after)), "bit by bit");

    /* Changed while nobody ran: it counts from the start on, and not before. */
    sona_spawn_kill(&stage.spawn);
    reload_write(&file, "learner: {micro_lora_lr: 0, background: off}\n");
    stage_reopen(&stage);
    after = opinion_now(&stage);
    cr_assert(zero(int, memcmp(&before, &after, sizeof after)), "what was learned stays");
    stage_close(&stage);
    reload_close(&file);
}
