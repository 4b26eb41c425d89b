/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Losing a sidecar and finding its successor: what lanes are told, what is counted, what is freed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client_fixture.h"

TestSuite(attachments, .init = client_start, .fini = client_stop);

static sona_client_stats stats(void)
{
    sona_client_stats s;

    cr_assert(eq(int, sona_client_stats_get(client, &s), SONA_OK));
    return s;
}

static sona_decision decide(sona_err expected)
{
    sona_decision d;

    cr_assert(eq(int, sona_decide(lane, x, FAKE_DIM, NULL, &d), expected));
    return d;
}

/* Maps of the model segment by the client. */
static int models_mapped(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    int n = 0;

    while (fgets(line, sizeof line, maps))
        n += strstr(line, "/dev/shm/sona.") && strstr(line, "r--s");
    (void)fclose(maps);
    return n;
}

Test(attachments, a_lost_sidecar_leaves_its_last_model_and_its_events_are_counted)
{
    sona_decision before = decide(SONA_OK);

    fake_end(&fake);
    cr_assert(eq(int, sona_client_maintain(client), SONA_E_DETACHED));
    cr_assert(not(stats().attached));
    sona_decision after = decide(SONA_E_DETACHED);
    cr_assert(eq(u64, after.version, before.version), "the last model answers");
    cr_assert(eq(u64, after.id, 0), "but nothing is recorded");
    cr_assert(gt(flt, after.propensity, 0));
    cr_assert(eq(int, sona_outcome(lane, before.id, 1, NULL), SONA_E_DETACHED));
    sona_client_stats s = stats();
    cr_assert(eq(u64, s.dropped_detached, 2));
    cr_assert(eq(u64, s.dropped_restart, 1), "the decision that nobody took");
    cr_assert(eq(u64, s.identity, 0));
    fake_restart(&fake);
}

Test(attachments, until_the_loss_is_noticed_the_ring_just_fills)
{
    fake_end(&fake);
    for (uint32_t i = 0; i < FAKE_SLOTS - 1; i++)
        cr_assert(ne(u64, decide(SONA_OK).id, 0));
    cr_assert(eq(u64, decide(SONA_E_FULL).id, 0));
    cr_assert(eq(int, sona_client_maintain(client), SONA_E_DETACHED));
    sona_client_stats s = stats();
    cr_assert(eq(u64, s.dropped_full, 1));
    cr_assert(eq(u64, s.dropped_restart, FAKE_SLOTS - 1));
    cr_assert(eq(u64, s.dropped_detached, 0));
    cr_assert(eq(u64, s.decides, FAKE_SLOTS));
    fake_restart(&fake);
}

Test(attachments, the_successor_is_found_and_events_flow_again)
{
    sona_decision before = decide(SONA_OK);
    char record[2048];

    cr_assert(eq(u32, fake_drain(&fake, 0, 0, record, 1), 1));
    fake_end(&fake);
    cr_assert(eq(int, sona_client_maintain(client), SONA_E_DETACHED));
    fake_restart(&fake);
    cr_assert(eq(int, sona_client_maintain(client), SONA_OK));
    sona_decision after = decide(SONA_OK);
    cr_assert(gt(u64, after.version, before.version), "versions do not go back");
    cr_assert(eq(u64, after.id, SONA_ID(fake.peer[0].tag, 0, 0)), "a new ring begins at 0");
    cr_assert(ne(u64, after.id, before.id));
    cr_assert(eq(u32, fake_drain(&fake, 0, 0, record, 2), 1));
    sona_client_stats s = stats();
    cr_assert(s.attached);
    cr_assert(eq(u64, s.attachments, 2));
    cr_assert(eq(u64, s.dropped_restart, 0), "what was drained is not lost");
    cr_assert(ne(u64, fake.peer[0].hello.previous_incarnation, 0));
}

Test(attachments, undrained_events_are_counted_once_however_often_it_is_asked)
{
    for (int round = 1; round <= 3; round++) {
        (void)decide(SONA_OK);
        (void)decide(SONA_OK);
        fake_end(&fake);
        for (int i = 0; i < 3; i++)
            cr_assert(eq(int, sona_client_maintain(client), SONA_E_DETACHED));
        cr_assert(eq(u64, stats().dropped_restart, 2u * (uint64_t)round));
        fake_restart(&fake);
        for (int i = 0; i < 3; i++)
            cr_assert(eq(int, sona_client_maintain(client), SONA_OK));
        cr_assert(eq(u64, stats().dropped_restart, 2u * (uint64_t)round));
    }
}

Test(attachments, a_lane_that_rests_holds_nothing_up)
{
    (void)decide(SONA_OK); /* and never again */
    for (int round = 0; round < 4; round++) {
        fake_end(&fake);
        cr_assert(eq(int, sona_client_maintain(client), SONA_E_DETACHED));
        fake_restart(&fake);
        cr_assert(eq(int, sona_client_maintain(client), SONA_OK), "round %d", round);
        cr_assert(eq(int, models_mapped(), 1), "the old one is unmapped");
    }
    cr_assert(eq(u64, stats().attachments, 5));
}

Test(attachments, scores_of_the_last_decision_outlive_its_attachment)
{
    sona_decision d = decide(SONA_OK);
    float copy[FAKE_ROUTES];

    cr_assert(eq(u32, d.n_scores, FAKE_ROUTES));
    memcpy(copy, d.scores, sizeof copy);
    fake_end(&fake);
    cr_assert(eq(int, sona_client_maintain(client), SONA_E_DETACHED));
    fake_restart(&fake);
    cr_assert(eq(int, sona_client_maintain(client), SONA_OK));
    cr_assert(eq(int, memcmp(copy, d.scores, sizeof copy), 0));
}

Test(attachments, a_retired_segment_is_left_for_its_successor)
{
    sona_decision before = decide(SONA_OK);

    sona_shm_publisher_set_state(fake.publisher, SONA_SHM_RETIRED);
    cr_assert(eq(int, sona_client_maintain(client), SONA_OK), "it attached anew at once");
    cr_assert(eq(u64, stats().attachments, 2));
    char byte;
    cr_assert(eq(i64, recv(fake.peer[0].socket, &byte, 1, 0), 0), "and hung up on the old");
    cr_assert(ge(u64, decide(SONA_OK).version, before.version));
}

Test(attachments, a_draining_sidecar_gets_no_more_events_and_keeps_the_connection)
{
    sona_shm_publisher_set_state(fake.publisher, SONA_SHM_DRAINING);
    cr_assert(eq(int, sona_client_maintain(client), SONA_E_DETACHED));
    (void)decide(SONA_E_DETACHED);
    cr_assert(eq(u32, fake.n_peers, 1), "no second handshake");
    char byte;
    cr_assert(eq(i64, recv(fake.peer[0].socket, &byte, 1, MSG_DONTWAIT), -1));
    cr_assert(eq(int, errno, EAGAIN));
}

Test(attachments, a_closed_lane_is_answered_with_a_new_attachment)
{
    atomic_store_explicit(&fake_lane(&fake, 0, 1)->control.closed, 1, memory_order_relaxed);
    cr_assert(eq(int, sona_client_maintain(client), SONA_OK));
    cr_assert(eq(u64, stats().attachments, 2));
    cr_assert(eq(u64, decide(SONA_OK).id, SONA_ID(fake.peer[1].tag, 0, 0)));
}

Test(attachments, another_dimension_after_the_restart_is_taken_when_none_was_asked_for)
{
    struct fake other;
    float wide[2 * FAKE_DIM];
    sona_decision d;

    fake_end(&fake);
    cr_assert(eq(int, sona_client_maintain(client), SONA_E_DETACHED));
    fake_start_dim(&other, 2 * FAKE_DIM);
    cr_assert(eq(int, rename(other.path, fake.path), 0));
    cr_assert(eq(int, sona_client_maintain(client), SONA_OK));
    cr_assert(eq(int, sona_decide(lane, x, FAKE_DIM, NULL, &d), SONA_E_SHAPE));
    fake_query(wide, 2 * FAKE_DIM, 0);
    cr_assert(eq(int, sona_decide(lane, wide, 2 * FAKE_DIM, NULL, &d), SONA_OK));
    cr_assert(eq(u32, stats().dim, 2 * FAKE_DIM));
    sona_client_close(&client);
    (void)unlink(fake.path);
    fake_stop(&other);
    fake_restart(&fake);
}

/* A sidecar that is killed, and one that goes on in its place. */
static void crash_and_go_on(bool same_segment, bool take_back)
{
    fake_crash(&fake);
    cr_assert(eq(int, sona_client_maintain(client), SONA_E_DETACHED));
    fake.adopt = same_segment;
    fake.take_back = take_back;
}

Test(attachments, a_killed_sidecar_leaves_the_ring_open_until_it_is_full)
{
    uint64_t version = decide(SONA_OK).version;

    crash_and_go_on(true, true);
    for (uint32_t i = 1; i < FAKE_SLOTS - 1; i++) {
        sona_decision d = decide(SONA_OK);

        cr_assert(eq(u64, SONA_ID_SEQ(d.id), i));
        cr_assert(eq(u64, d.version, version), "the last model answers");
    }
    (void)decide(SONA_E_DETACHED);
    cr_assert(eq(int, sona_client_maintain(client), SONA_E_DETACHED));
    sona_client_stats s = stats();
    cr_assert(eq(u64, s.dropped_detached, 1));
    cr_assert(eq(u64, s.dropped_full, 0));
    cr_assert(eq(u64, s.dropped_restart, FAKE_SLOTS - 1), "nobody has come for them yet");
    fake_restart(&fake);
    cr_assert(eq(int, sona_client_maintain(client), SONA_OK));
    cr_assert(eq(u64, stats().dropped_restart, 0), "now somebody has");
}

/* Three decisions in the ring, one of them said while nobody was there; they are all drained. */
static void expect_rings_go_on(bool same_segment)
{
    char record[4 * 2048];
    uint32_t tag = fake.peer[0].tag;

    (void)decide(SONA_OK);
    (void)decide(SONA_OK);
    crash_and_go_on(same_segment, true);
    uint64_t before = decide(SONA_OK).version;
    fake_restart(&fake);
    cr_assert(eq(int, sona_client_maintain(client), SONA_OK));
    cr_assert(fake.peer[0].came_back);
    sona_decision d = decide(SONA_OK);
    cr_assert(eq(u64, d.id, SONA_ID(tag, 0, 3)), "the same ring goes on");
    cr_assert(gt(u64, d.version, before));
    cr_assert(eq(u32, fake_drain(&fake, 0, 0, record, 4), 4));
    cr_assert(eq(u64, stats().attachments, 2));
    cr_assert(eq(u64, stats().dropped_restart, 0));
    cr_assert(eq(int, models_mapped(), 1));
}

Test(attachments, in_the_same_segment_rings_go_on_and_nothing_is_mapped)
{
    expect_rings_go_on(true);
}

Test(attachments, in_another_segment_rings_go_on_in_the_same_memory)
{
    expect_rings_go_on(false);
}

Test(attachments, lanes_that_are_not_taken_back_are_replaced_and_counted)
{
    (void)decide(SONA_OK);
    crash_and_go_on(true, false);
    fake_restart(&fake);
    cr_assert(eq(int, sona_client_maintain(client), SONA_OK));
    cr_assert(not(fake.peer[0].came_back));
    cr_assert(eq(u64, decide(SONA_OK).id, SONA_ID(fake.peer[0].tag, 0, 0)), "a new ring");
    cr_assert(eq(u64, stats().dropped_restart, 1));
}

Test(attachments, lanes_that_a_sidecar_closed_are_not_handed_back)
{
    (void)decide(SONA_OK);
    atomic_store_explicit(&fake_lane(&fake, 0, 1)->control.closed, 1, memory_order_relaxed);
    crash_and_go_on(true, true);
    (void)decide(SONA_E_DETACHED);
    fake_restart(&fake);
    cr_assert(eq(int, sona_client_maintain(client), SONA_OK));
    cr_assert(not(fake.peer[0].came_back));
}

Test(attachments, the_maintenance_thread_does_all_this_by_itself)
{
    sona_client_options options = fake_options(&fake);
    sona_client *other;
    sona_client_stats s;

    options.no_maintenance_thread = false;
    cr_assert(eq(int, sona_client_open(&other, &options, NULL), SONA_OK));
    fake_end(&fake);
    do
        cr_assert(eq(int, sona_client_stats_get(other, &s), SONA_OK));
    while (s.attached); /* the test's time-out is the bound */
    cr_assert(eq(int, sona_client_maintain(other), SONA_E_DETACHED));
    fake_restart(&fake);
    do
        cr_assert(eq(int, sona_client_stats_get(other, &s), SONA_OK));
    while (!s.attached);
    cr_assert(eq(u64, s.attachments, 2));
    cr_assert(eq(int, sona_client_maintain(other), SONA_OK));
    sona_client_close(&other);
}

/* Lanes decide as fast as they can while the sidecar is restarted under them. */
static atomic_bool enough;

static void *decide_until_enough(void *arg)
{
    uint64_t last = 0, *backwards = arg;
    sona_lane *mine;
    float y[FAKE_DIM];

    if (sona_lane_claim(client, &mine, NULL) != SONA_OK)
        return NULL;
    while (!atomic_load_explicit(&enough, memory_order_relaxed)) {
        uint64_t version = 0;
        sona_decision d;

        (void)sona_apply(mine, x, FAKE_DIM, y, &version);
        (void)sona_decide(mine, x, FAKE_DIM, NULL, &d);
        *backwards += version < last || d.version < version;
        last = d.version;
    }
    return NULL;
}

Test(attachments, lanes_work_on_while_attachments_change_under_them)
{
    uint64_t backwards = 0;
    pthread_t thread;

    cr_assert(eq(int, pthread_create(&thread, NULL, decide_until_enough, &backwards), 0));
    for (int round = 0; round < 30; round++) {
        uint64_t applies = stats().applies;

        while (stats().applies < applies + 1000) /* the test's time-out is the bound */
            (void)fake_publish(&fake, false);
        fake_end(&fake);
        cr_assert(eq(int, sona_client_maintain(client), SONA_E_DETACHED));
        fake_restart(&fake);
        while (sona_client_maintain(client) != SONA_OK || models_mapped() != 1)
            continue; /* a lane that is inside a call holds the old one for so long */
    }
    atomic_store_explicit(&enough, true, memory_order_relaxed);
    cr_assert(eq(int, pthread_join(thread, NULL), 0));
    cr_assert(eq(u64, backwards, 0), "a version went back");
    cr_assert(eq(u64, stats().identity, 0));
}
