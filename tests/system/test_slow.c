/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* A disk that takes less than is told: a share is learned all the same, the rest is counted under
 * its name, and what was counted stays counted over a kill. And one that takes nothing any more. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "load.h"
#include "opinion.h"

/* A sidecar whose disk is slow, or worse; sonactl and the clients have another. */
static void open_slow(struct stage *stage, const char *name, const char *us,
                      const char *const *more)
{
    (void)setenv("LD_PRELOAD", getenv("SONA_TEST_SLOW_DISK"), 1);
    (void)setenv(name, us, 1);
    stage_open_kept(stage, more);
    (void)unsetenv("LD_PRELOAD");
    (void)unsetenv(name);
}

static void expect_books(const struct stage *stage, uint64_t told)
{
    uint64_t thinned = stage_counter(stage, "drop_thinned");
    uint64_t learned = stage_counter(stage, "learned");

    cr_expect(eq(u64, learned + thinned, told), "%llu learned, %llu thinned",
              (unsigned long long)learned, (unsigned long long)thinned);
}

static void outlast(struct stage *stage)
{
    uint64_t end = stage_now_ms() + STAGE_LIMIT_MS, learned, told;
    struct load load;

    load_start(&load, stage);
    (void)stage_await(stage, "drop_thinned", 1000);
    learned = stage_counter(stage, "learned");
    (void)stage_await(stage, "learned", learned + 1000); /* it goes on */
    (void)stage_await(stage, "queries_withheld", 1);
    load_stop(&load);
    told = atomic_load_explicit(&load.count->outcomes, memory_order_relaxed);
    while (stage_counter(stage, "clients") > 0) { /* drained, and learned */
        cr_assert(lt(u64, stage_now_ms(), end), "the client was not given back");
        stage_pause();
    }
    expect_books(stage, told);
    sona_spawn_kill(&stage->spawn);
    stage_reopen(stage);
    expect_books(stage, told);
    stage_close(stage);
}

Test(slow_disk, what_it_cannot_take_is_thinned_by_name_and_the_rest_is_learned, .timeout = 120)
{
    struct stage stage;

    open_slow(&stage, "SONA_TEST_WRITE_US", "10000", NULL);
    outlast(&stage);
}

Test(slow_disk, that_learning_waits_for_is_thinned_for_too, .timeout = 120)
{
    static const char *const every[] = {"--durability=every", NULL};
    struct stage stage;

    open_slow(&stage, "SONA_TEST_SYNC_US", "30000", every);
    outlast(&stage);
}

/* The same events give the same model, however slow the disk is. */
Test(slow_disk, in_lock_step_nothing_gives_way, .timeout = 120)
{
    static const char *const lock_step[] = {"--durability=every", "--background=inline",
                                            "--query-rate=1", "--set=queue_capacity=64", NULL};
    struct stage stage;
    struct load load;

    open_slow(&stage, "SONA_TEST_SYNC_US", "2000", lock_step);
    load_start(&load, &stage);
    (void)stage_await(&stage, "learned", 100);
    load_stop(&load);
    cr_expect(zero(u64, stage_counter(&stage, "drop_thinned")));
    cr_expect(zero(u64, stage_counter(&stage, "queries_withheld")));
    sona_spawn_kill(&stage.spawn);
    stage_reopen(&stage);
    stage_close(&stage);
}

/* As the kernel makes a file system whose disk fails. */
static void go_through_read_only(const char *durability)
{
    const char *const more[] = {durability, NULL};
    char file[] = "/tmp/sona-read-only-XXXXXX";
    struct stage stage;
    sona_decision d;
    float x[STAGE_DIM];

    (void)close(mkstemp(file));
    cr_assert(zero(int, unlink(file)));
    open_slow(&stage, "SONA_TEST_READ_ONLY", file, more);
    learn_here(&stage, 50);
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    int fd = open(file, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert(ge(int, fd, 0));
    (void)close(fd);
    teach(lane, 50);
    stage_await_waits(&stage, true);
    for (uint32_t i = 0; i < 500; i++) {
        stage_query(i, x);
        cr_assert(eq(int, sona_decide(lane, x, STAGE_DIM, NULL, &d), SONA_OK));
        cr_assert(gt(u64, d.version, 0), "an answer without a model");
        stage_pause();
    }
    cr_expect(stage_waits(&stage));
    cr_assert(zero(int, unlink(file)));
    cr_expect(eq(u64, stage_await(&stage, "learned", 100), 100));
    stage_await_waits(&stage, false);
    sona_lane_release(&lane);
    sona_client_close(&client);
    stage_restart(&stage);
    cr_expect(eq(u64, stage_counter(&stage, "learned"), 100));
    stage_close(&stage);
}

Test(slow_disk, gone_read_only_is_told_and_clients_decide_on, .timeout = 120)
{
    go_through_read_only("--durability=interval");
}

Test(slow_disk, gone_read_only_that_learning_waits_for_is_told_and_clients_decide_on,
     .timeout = 120)
{
    go_through_read_only("--durability=every");
}
