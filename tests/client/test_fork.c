/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* After fork() the child is told so by every call, harms nothing, and can open its own client. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client_fixture.h"
#include "tests/support/settled.h"

TestSuite(forks, .init = client_start, .fini = client_stop);

/* Run `child` in a child; its return value, or -1 when it died otherwise. */
static int in_child(int (*child)(void))
{
    int status;
    pid_t pid = settled_fork();

    if (pid == 0)
        _exit(child());
    cr_assert(gt(int, pid, 0));
    cr_assert(eq(int, waitpid(pid, &status, 0), pid));
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The number of the first call that did not say SONA_E_FORKED; 0: all did. */
static int call_everything(void)
{
    float y[FAKE_DIM], scores[4];
    uint64_t id = 1;
    uint32_t n;
    sona_decision d;
    sona_pattern p;
    sona_route_info r;
    sona_version_info v;
    sona_client_stats s;
    sona_geometry g;
    sona_lane *other;
    const sona_step step = {.reward = 1};
    const sona_signal signal = sona_signal_positive(1, 1);
    const sona_err got[] = {
        sona_apply(lane, x, FAKE_DIM, y, NULL),
        sona_apply_micro(lane, x, FAKE_DIM, y, NULL),
        sona_apply_base(lane, 0, x, FAKE_DIM, y, NULL),
        sona_apply_tenant(lane, 1, x, FAKE_DIM, y, NULL),
        sona_apply_batch(lane, 1, x, FAKE_DIM, y, NULL),
        sona_apply_micro_batch(lane, 1, x, FAKE_DIM, y, NULL),
        sona_apply_base_batch(lane, 0, 1, x, FAKE_DIM, y, NULL),
        sona_merge_into(lane, 0, x, 1, FAKE_DIM, y, NULL),
        sona_score_tenant(lane, 1, x, FAKE_DIM, scores, 4, NULL),
        sona_trajectory_begin_tenant(lane, 1, x, FAKE_DIM, &id),
        sona_decide(lane, x, FAKE_DIM, NULL, &d),
        sona_outcome(lane, 1, 1, NULL),
        sona_outcome_revoke(lane, 1),
        sona_learn(lane, &signal, NULL),
        sona_score(lane, x, FAKE_DIM, scores, 4, NULL),
        sona_trajectory_begin(lane, x, FAKE_DIM, &id),
        sona_trajectory_step(lane, id, &step),
        sona_trajectory_route(lane, id, 0),
        sona_trajectory_context(lane, id, "c"),
        sona_trajectory_end(lane, id, 1),
        sona_find_patterns(lane, x, FAKE_DIM, 1, &p, &n),
        sona_routes(lane, &r, 1, &n),
        sona_version_of(lane, &v),
        sona_lane_claim(client, &other, NULL),
        sona_client_maintain(client),
        sona_client_stats_get(client, &s),
        sona_client_geometry(client, &g),
    };

    for (int i = 0; i < (int)(sizeof got / sizeof got[0]); i++)
        if (got[i] != SONA_E_FORKED)
            return i + 1;
    return 0;
}

Test(forks, every_call_in_the_child_says_forked_and_changes_nothing)
{
    sona_client_stats before, after;
    char none[2048];

    cr_assert(eq(int, sona_client_stats_get(client, &before), SONA_OK));
    cr_assert(eq(int, in_child(call_everything), 0), "the number of the call that did not");
    cr_assert(eq(int, sona_client_stats_get(client, &after), SONA_OK));
    cr_assert(eq(int, memcmp(&before, &after, sizeof before), 0));
    cr_assert(eq(u32, fake_drain(&fake, 0, 0, none, 1), 0));
}

static int close_and_open_its_own(void)
{
    sona_client_options options = fake_options(&fake);
    sona_client *own = NULL;
    sona_lane *mine;
    float y[FAKE_DIM];
    uint64_t version = 0;

    sona_lane_release(&lane);
    sona_client_close(&client);
    if (client || lane)
        return 1;
    /* The parent's thread serves; the child's copy of the fake has none. */
    if (sona_client_open(&own, &options, NULL) != SONA_OK)
        return 2;
    if (sona_lane_claim(own, &mine, NULL) != SONA_OK ||
        sona_apply(mine, x, FAKE_DIM, y, &version) != SONA_OK || version == 0)
        return 3;
    sona_client_close(&own);
    return 0;
}

Test(forks, the_child_can_close_its_copy_and_open_a_client_of_its_own)
{
    float y[FAKE_DIM];
    uint64_t version = 0;
    char byte;

    cr_assert(eq(int, in_child(close_and_open_its_own), 0), "the step that failed");
    cr_assert(eq(int, sona_apply(lane, x, FAKE_DIM, y, &version), SONA_OK));
    cr_assert(ne(u64, version, 0), "the parent goes on");
    cr_assert(eq(int, sona_client_maintain(client), SONA_OK));
    cr_assert(eq(u32, fake.peer[1].hello.lanes, 2));
    cr_assert(eq(i64, recv(fake.peer[1].socket, &byte, 1, 0), 0), "the child's hung up");
}

static void *just_exit(void *arg)
{
    sona_lane *mine;

    return sona_lane_claim(client, &mine, NULL) == SONA_E_FORKED ? arg : NULL;
}

static int let_threads_exit(void)
{
    pthread_t thread;
    void *result = NULL;

    if (pthread_create(&thread, NULL, just_exit, &fake) != 0 || pthread_join(thread, &result) != 0)
        return 1;
    if (result != &fake)
        return 2;
    pthread_exit(NULL); /* the forking thread's destructor runs, and the process ends with 0 */
}

Test(forks, threads_that_exit_in_the_child_give_nothing_back)
{
    sona_client_stats s;

    cr_assert(eq(int, in_child(let_threads_exit), 0));
    cr_assert(eq(int, sona_client_stats_get(client, &s), SONA_OK));
    cr_assert(eq(u32, s.lanes_claimed, 1));
}

static long faults(void)
{
    struct rusage usage;

    cr_assert(eq(int, getrusage(RUSAGE_THREAD, &usage), 0));
    return usage.ru_minflt + usage.ru_majflt;
}

/* Make the stack below the caller our own again: it is shared after a fork, too. */
static void __attribute__((noinline)) unshare_stack(void)
{
    volatile char room[32 * 1024];

    for (size_t at = 0; at < sizeof room; at += 1024)
        room[at] = 1;
}

Test(forks, the_parents_lanes_meet_no_page_fault_after_a_fork)
{
    float y[FAKE_DIM];
    sona_decision d;
    int tie[2];

    cr_assert(eq(int, pipe(tie), 0));
    for (int i = 0; i < 10; i++)
        cr_assert(eq(int, sona_decide(lane, x, FAKE_DIM, NULL, &d), SONA_OK));
    (void)faults();
    pid_t pid = settled_fork();
    if (pid == 0) {
        char byte;

        _exit(read(tie[0], &byte, 1) == 1 ? 0 : 1); /* alive, so that pages stay shared */
    }
    cr_assert(gt(int, pid, 0));
    unshare_stack();
    (void)faults();
    long before = faults();
    sona_err a = sona_decide(lane, x, FAKE_DIM, NULL, &d);
    sona_err b = sona_apply(lane, x, FAKE_DIM, y, NULL);
    sona_err c = sona_outcome(lane, d.id, 1, NULL);
    long after = faults();
    cr_assert(eq(i64, write(tie[1], "x", 1), 1));
    cr_assert(eq(int, waitpid(pid, NULL, 0), pid));
    cr_assert(a == SONA_OK && b == SONA_OK && c == SONA_OK);
    cr_assert(eq(long, after - before, 0));
}
