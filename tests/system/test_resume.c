/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* A restart forgets nothing: what was learned, what waits for its outcome, and what was told. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/state/container.h"
#include "load.h"
#include "opinion.h"
#include "sidecar/chronicle.h"
#include "sidecar/core.h"
#include "sidecar/options.h"
#include "tests/engine/dice.h"

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

/* The store of a stopped stage. */
static struct sona_store *open_store(const struct stage *stage)
{
    const struct sona_store_options options = {.instance = stage->spawn.instance,
                                               .state_dir = stage->state_dir,
                                               .intake_dir = stage->spawn.runtime_dir};
    struct sona_store *store = NULL;
    sona_diag diag = {0};

    cr_assert(eq(int, sona_store_open(&store, &options, &diag), SONA_OK), "%s", diag.text);
    return store;
}

/* Upkeep takes the vectors of rows that two generations have: then begin with the oldest generation
 * behind which all is exact. */
static void begin(struct sona_sidecar_core *core, struct sona_sidecar_chronicle *c)
{
    struct sona_store_generation row[16];
    struct sona_store_stats stats;
    sona_diag diag = {0};
    void *bytes = NULL;
    uint32_t n;

    sona_store_stats(c->store, &stats);
    if (stats.thinned_position == 0)
        return;
    cr_assert(eq(int, sona_store_generation_list(c->store, row, 16, &n, &diag), SONA_OK));
    while (n > 0 && !row[n - 1].exact)
        n--;
    cr_assert(gt(u32, n, 1), "the last one alone would prove nothing");
    cr_assert(
        eq(int, sona_store_generation_read(c->store, row[n - 1].number, &row[n - 1], &bytes, &diag),
           SONA_OK));
    cr_assert(eq(int, sona_sidecar_core_load(core, bytes, row[n - 1].bytes, &diag), SONA_OK), "%s",
              diag.text);
    c->position = row[n - 1].position;
    free(bytes);
}

/* What a learner is that does all of the journal, without a stop. */
static void *learn_it_all(const struct stage *stage, struct sona_store *store, size_t *ret_bytes)
{
    static struct sona_sidecar_options options;
    char *argv[STAGE_ARGS_MAX + 1] = {strdup("sona-sidecar")}; /* the parser writes into them */
    struct sona_model_layout layout;
    struct sona_sidecar_core core;
    sona_geometry geometry;
    sona_diag diag = {0};
    uint64_t replayed;
    int argc = 1;

    for (; stage->args[argc - 1]; argc++)
        argv[argc] = strdup(stage->args[argc - 1]);
    cr_assert(zero(int, sona_sidecar_options_parse(&options, argc, argv)));
    sona_config_geometry(&options.config, &geometry);
    cr_assert(eq(int, sona_model_layout_init(&layout, &geometry), SONA_OK));
    cr_assert(eq(int, sona_sidecar_core_init(&core, &options.config, &layout, &diag), SONA_OK));
    struct sona_sidecar_chronicle c = {
        .store = store, .dim = layout.geometry.dim, .dim_padded = layout.dim_padded};
    begin(&core, &c);
    cr_assert(eq(int, sona_sidecar_chronicle_replay(&c, &core, &replayed, &diag), SONA_OK), "%s",
              diag.text);
    cr_assert(gt(u64, replayed, 0));
    *ret_bytes = sona_sidecar_core_save_bytes(&core);
    void *ret = aligned_alloc(64, (*ret_bytes + 63) / 64 * 64);
    cr_assert(sona_sidecar_core_save(&core, ret, *ret_bytes));
    (void)sona_state_seal(ret, *ret_bytes);
    sona_sidecar_core_done(&core);
    while (argc > 0)
        free(argv[--argc]);
    return ret;
}

/* Killed wherever it was, also in the middle of a cycle; at the end the bytes are those of a
 * learner that was fed the same journal and never stopped. */
Test(resume, the_bytes_after_many_kills_are_those_of_a_learner_that_never_stopped, .timeout = 300)
{
    struct dice dice = dice_open("the_bytes_after_many_kills");
    struct sona_store_generation generation;
    struct stage stage;
    void *kept = NULL;
    sona_diag diag = {0};
    size_t bytes;

    stage_open_kept(&stage, NULL);
    for (int kill = 0; kill < 8; kill++) {
        struct load load;

        load_start(&load, &stage);
        load_await(&load, 100 + dice_below(&dice, 2000));
        sona_spawn_kill(&stage.spawn);
        load_kill(&load);
        stage_reopen(&stage);
    }
    learn_here(&stage, 50);
    stage_stop(&stage);
    struct sona_store *store = open_store(&stage);
    uint64_t end = sona_store_positions(store).appended;
    cr_assert(eq(int, sona_store_generation_read(store, 0, &generation, &kept, &diag), SONA_OK),
              "%s", diag.text);
    cr_assert(eq(u64, generation.position, end), "the last generation is of the end");
    void *again = learn_it_all(&stage, store, &bytes);
    cr_assert(eq(sz, bytes, generation.bytes));
    cr_assert(zero(int, memcmp(again, kept, bytes)), "seed %llu", (unsigned long long)dice.seed);
    free(again);
    free(kept);
    sona_store_close(&store);
    stage_reopen(&stage);
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

static uint64_t told(const struct load *load)
{
    return atomic_load_explicit(&load->count->outcomes, memory_order_relaxed);
}

/* The clients live on; what they committed is counted by themselves. */
Test(resume, what_clients_told_is_learned_once_over_many_kills, .timeout = 300)
{
    enum { CLIENTS = 2, KILLS = 8 };
    struct dice dice = dice_open("what_clients_told_is_learned_once_over_many_kills");
    struct stage stage;
    struct load load[CLIENTS];
    uint64_t outcomes = 0, end;

    stage_open_kept(&stage, NULL);
    for (int i = 0; i < CLIENTS; i++)
        load_start(&load[i], &stage);
    for (int kill = 0; kill < KILLS; kill++) {
        uint32_t more = 1 + dice_below(&dice, 1500);

        for (int i = 0; i < CLIENTS; i++)
            load_await(&load[i], told(&load[i]) + more);
        sona_spawn_kill(&stage.spawn);
        stage_reopen(&stage);
    }
    for (int i = 0; i < CLIENTS; i++)
        load_await(&load[i], told(&load[i]) + 1000);
    for (int i = 0; i < CLIENTS; i++) {
        load_stop(&load[i]);
        outcomes += told(&load[i]);
    }
    end = stage_now_ms() + STAGE_LIMIT_MS;
    while (stage_counter(&stage, "clients") > 0) { /* drained, and learned */
        cr_assert(lt(u64, stage_now_ms(), end), "the clients were not given back");
        stage_pause();
    }
    cr_expect(eq(u64, stage_counter(&stage, "learned"), outcomes), "seed %llu",
              (unsigned long long)dice.seed);
    stage_close(&stage);
}
