/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* kill -9 of either side, in the middle of a load. */
#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "load.h"

static uint64_t number_in(const json_t *o, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(o, name));
}

/* Wait for the answer that first says "reclaimed", and what it says about `learned`. */
static uint64_t learned_when_reclaimed(const struct stage *stage)
{
    uint64_t end = stage_now_ms() + STAGE_LIMIT_MS;

    for (;;) {
        json_t *o = stage_stats(stage);
        uint64_t reclaimed = number_in(o, "clients_reclaimed"), learned = number_in(o, "learned");

        json_decref(o);
        if (reclaimed > 0)
            return learned;
        cr_assert(lt(u64, stage_now_ms(), end), "the client was never reclaimed");
    }
}

Test(death, of_a_client_loses_nothing_it_committed_and_frees_its_lanes, .timeout = 120)
{
    struct stage stage;
    struct load load;

    stage_open(&stage, NULL);
    load_start(&load, &stage);
    load_await(&load, 20000);
    load_kill(&load);
    uint64_t learned = learned_when_reclaimed(&stage);
    uint64_t committed = atomic_load(&load.count->outcomes);
    json_t *status = stage_status(&stage);
    json_int_t reclaim_us = json_integer_value(json_object_get(status, "last_reclaim_us"));

    cr_log_info("%llu outcomes committed, %llu learned, reclaimed in %lld us",
                (unsigned long long)committed, (unsigned long long)learned, (long long)reclaim_us);
    cr_expect(ge(u64, learned, committed));
    cr_expect(le(u64, learned, committed + 1), "killed between a commit and its count");
    cr_expect(eq(sz, json_array_size(json_object_get(status, "clients")), 0));
    cr_expect(lt(i64, (int64_t)reclaim_us, 1000000));
    cr_expect(eq(u64, stage_counter(&stage, "lanes"), 0));
    json_decref(status);
    stage_close(&stage);
}

Test(death, of_many_clients_at_once_frees_them_all, .timeout = 120)
{
    enum { CLIENTS = 6 };
    struct load load[CLIENTS];
    struct stage stage;
    uint64_t committed = 0;

    stage_open(&stage, NULL);
    for (int k = 0; k < CLIENTS; k++)
        load_start(&load[k], &stage);
    for (int k = 0; k < CLIENTS; k++)
        load_await(&load[k], 1000);
    for (int k = 0; k < CLIENTS; k++) {
        load_kill(&load[k]);
        committed += atomic_load(&load[k].count->outcomes);
    }
    (void)stage_await(&stage, "clients_reclaimed", CLIENTS);
    uint64_t learned = stage_counter(&stage, "learned");
    cr_expect(ge(u64, learned, committed));
    cr_expect(le(u64, learned, committed + CLIENTS));
    cr_expect(eq(u64, stage_counter(&stage, "clients"), 0));
    stage_close(&stage);
}

/* One more answer; versions never go back. */
static sona_err answer(sona_lane *lane, uint64_t *last)
{
    float x[STAGE_DIM], y[STAGE_DIM];
    uint64_t version = 0;
    sona_decision d;

    stage_query(1, x);
    cr_assert(eq(int, sona_apply(lane, x, STAGE_DIM, y, &version), SONA_OK));
    cr_assert(ge(u64, version, *last), "a version went back");
    *last = version;
    for (uint32_t i = 0; i < STAGE_DIM; i++)
        cr_assert(lt(flt, fabsf(y[i]), 1e6f), "y[%u] is %g", i, (double)y[i]);
    sona_err err = sona_decide(lane, x, STAGE_DIM, NULL, &d);
    cr_assert(lt(u32, SONA_ROUTE_INDEX(d.route), 3));
    return err;
}

Test(death, of_the_sidecar_leaves_clients_answering_and_its_successor_is_found, .timeout = 120)
{
    struct stage stage;
    uint64_t last = 0;
    sona_client_stats stats;

    stage_open(&stage, NULL);
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    cr_assert(eq(int, answer(lane, &last), SONA_OK));
    uint64_t before = last, end = stage_now_ms() + STAGE_LIMIT_MS;
    sona_spawn_kill(&stage.spawn);

    /* It answers, and records until its ring is full. */
    while (answer(lane, &last) != SONA_E_DETACHED) {
        cr_assert(lt(u64, stage_now_ms(), end), "the client never noticed");
        stage_pause();
    }
    cr_assert(eq(u64, last, before), "it answers from the last model");

    stage_reopen(&stage);
    end = stage_now_ms() + STAGE_LIMIT_MS;
    do {
        cr_assert(lt(u64, stage_now_ms(), end), "the client never found the successor");
        stage_pause();
        cr_assert(eq(int, sona_client_stats_get(client, &stats), SONA_OK));
    } while (answer(lane, &last) != SONA_OK || stats.attachments < 2 || last == before);
    cr_assert(gt(u64, last, before), "the successor's versions go on");
    cr_assert(eq(u64, stats.attachments, 2));

    float x[STAGE_DIM];
    sona_decision d;
    stage_query(2, x);
    cr_assert(eq(int, sona_decide(lane, x, STAGE_DIM, NULL, &d), SONA_OK));
    cr_assert(eq(int, sona_outcome(lane, d.id, 1, NULL), SONA_OK));
    (void)stage_await(&stage, "learned", 1);
    sona_lane_release(&lane);
    sona_client_close(&client);
    stage_close(&stage);
}

Test(death, of_the_sidecar_under_load_is_survived_again_and_again, .timeout = 300)
{
    struct stage stage;
    struct load load;

    stage_open(&stage, NULL);
    load_start(&load, &stage);
    for (uint64_t round = 0; round < 5; round++) {
        uint64_t before = atomic_load(&load.count->outcomes);

        load_await(&load, before + 2000);
        sona_spawn_kill(&stage.spawn);
        stage_reopen(&stage);
        load_await_attachment(&load, round + 2);
    }
    load_await(&load, atomic_load(&load.count->outcomes) + 2000);
    load_stop(&load);
    cr_assert(eq(u64, load.count->stats.attachments, 6));
    (void)stage_await(&stage, "clients_reclaimed", 1);
    stage_close(&stage);
}

Test(death, a_stopped_client_is_not_taken_for_dead_and_holds_nobody_up, .timeout = 120)
{
    struct stage stage;
    struct load stopped, other;

    stage_open(&stage, NULL);
    load_start(&stopped, &stage);
    load_start(&other, &stage);
    load_await(&stopped, 500);
    load_await(&other, 500);
    cr_assert(eq(int, kill(stopped.pid, SIGSTOP), 0));
    uint64_t before = atomic_load(&other.count->outcomes);
    uint64_t snapshots = stage_counter(&stage, "snapshots");
    load_await(&other, before + 20000);
    (void)stage_await(&stage, "snapshots", snapshots + 10);
    cr_assert(eq(u64, stage_counter(&stage, "clients"), 2));
    cr_assert(eq(int, kill(stopped.pid, SIGCONT), 0));
    load_await(&stopped, atomic_load(&stopped.count->outcomes) + 500);
    load_stop(&stopped);
    load_stop(&other);
    cr_assert(eq(u64, stopped.count->stats.attachments, 1));
    (void)stage_await(&stage, "clients_reclaimed", 2);
    cr_assert(eq(u64, stage_counter(&stage, "learned"),
                 atomic_load(&stopped.count->outcomes) + atomic_load(&other.count->outcomes)));
    stage_close(&stage);
}

static int descriptors_of(pid_t pid)
{
    char path[64];
    int n = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    cr_assert(ne(ptr, dir, NULL));
    while (readdir(dir))
        n++;
    (void)closedir(dir);
    return n;
}

/* How many lane memories a process has mapped. */
static int lane_maps_of(pid_t pid)
{
    char path[64], line[512];
    int n = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "r");
    cr_assert(ne(ptr, maps, NULL));
    while (fgets(line, sizeof line, maps))
        n += strstr(line, "sona-lanes") != NULL;
    (void)fclose(maps);
    return n;
}

Test(death, clients_come_and_go_without_a_trace, .timeout = 120)
{
    enum { ROUNDS = 300 }; /* more than may be attached at one time */
    struct stage stage;

    stage_open(&stage, NULL);
    uint64_t bytes = stage_counter(&stage, "memory_bytes");
    int descriptors = descriptors_of(stage.spawn.pid);
    for (uint64_t n = 0; n < ROUNDS; n++) {
        sona_client *client = stage_client(&stage, 1);

        cr_assert(eq(int, lane_maps_of(stage.spawn.pid), 1));
        sona_client_close(&client);
        (void)stage_await(&stage, "clients_reclaimed", n + 1);
    }
    cr_expect(eq(int, lane_maps_of(stage.spawn.pid), 0));
    /* The sidecar closes its end of a connection when it hears of the other's; that is soon. */
    uint64_t deadline = stage_now_ms() + STAGE_LIMIT_MS;
    while (descriptors_of(stage.spawn.pid) > descriptors && stage_now_ms() < deadline)
        stage_pause();
    cr_expect(le(int, descriptors_of(stage.spawn.pid), descriptors));
    cr_expect(eq(u64, stage_counter(&stage, "memory_bytes"), bytes));
    cr_expect(eq(u64, stage_counter(&stage, "clients_attached"), ROUNDS));
    stage_close(&stage);
}
