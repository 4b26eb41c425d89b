/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Claiming lanes, giving them back, forgetting them. */
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "fake.h"

static struct fake fake;

static void start(void)
{
    fake_start(&fake);
}

static void stop(void)
{
    fake_stop(&fake);
}

TestSuite(lane, .init = start, .fini = stop);

static uint32_t claimed(sona_client *client)
{
    sona_client_stats stats;

    cr_assert(eq(int, sona_client_stats_get(client, &stats), SONA_OK));
    return stats.lanes_claimed;
}

Test(lane, when_all_are_claimed_the_next_claim_says_how_many_there_are)
{
    sona_client *client = fake_client(&fake);
    sona_lane *lane[2], *none = (void *)&fake;
    sona_diag diag;

    cr_assert(eq(int, sona_lane_claim(client, &lane[0], NULL), SONA_OK));
    cr_assert(eq(int, sona_lane_claim(client, &lane[1], NULL), SONA_OK));
    cr_assert(ne(ptr, lane[0], lane[1]));
    cr_assert(eq(int, sona_lane_claim(client, &none, &diag), SONA_E_LANES));
    cr_assert(eq(ptr, none, (void *)&fake), "written on success only");
    cr_assert(ne(ptr, strstr(diag.text, "2 lanes"), NULL), "%s", diag.text);
    cr_assert(eq(u32, claimed(client), 2));

    sona_lane *again = lane[0];
    sona_lane_release(&lane[0]);
    cr_assert(eq(ptr, lane[0], NULL));
    cr_assert(eq(u32, claimed(client), 1));
    cr_assert(eq(int, sona_lane_claim(client, &none, NULL), SONA_OK));
    cr_assert(eq(ptr, none, again));
    sona_lane_release(&lane[0]);
    sona_lane_release(NULL);
    cr_assert(eq(u32, claimed(client), 2), "releasing nothing changes nothing");
    sona_client_close(&client);
}

struct job {
    sona_client *client;
    sona_lane *lane;
    sona_err err;
};

static void *claim_and_exit(void *arg)
{
    struct job *job = arg;

    job->err = sona_lane_claim(job->client, &job->lane, NULL);
    return NULL;
}

static sona_err claim_in_a_thread_that_exits(sona_client *client)
{
    struct job job = {.client = client};
    pthread_t thread;

    cr_assert(eq(int, pthread_create(&thread, NULL, claim_and_exit, &job), 0));
    cr_assert(eq(int, pthread_join(thread, NULL), 0));
    return job.err;
}

Test(lane, a_thread_that_exits_gives_back_what_it_forgot)
{
    sona_client *client = fake_client(&fake);

    for (int i = 0; i < 100; i++)
        cr_assert(eq(int, claim_in_a_thread_that_exits(client), SONA_OK), "thread %d", i);
    cr_assert(eq(u32, claimed(client), 0));
    sona_client_close(&client);
}

Test(lane, a_pooled_lane_outlives_the_thread_that_claimed_it)
{
    sona_client_options options = fake_options(&fake);
    sona_client *client;

    options.pooled_lanes = true;
    cr_assert(eq(int, sona_client_open(&client, &options, NULL), SONA_OK));
    cr_assert(eq(int, claim_in_a_thread_that_exits(client), SONA_OK));
    cr_assert(eq(int, claim_in_a_thread_that_exits(client), SONA_OK));
    cr_assert(eq(u32, claimed(client), 2));
    cr_assert(eq(int, claim_in_a_thread_that_exits(client), SONA_E_LANES));
    sona_client_close(&client);
}

Test(lane, a_thread_gives_back_its_own_lanes_only_and_of_every_client)
{
    sona_client *one = fake_client(&fake), *two = fake_client(&fake);
    sona_lane *mine;

    cr_assert(eq(int, sona_lane_claim(one, &mine, NULL), SONA_OK));
    cr_assert(eq(int, claim_in_a_thread_that_exits(one), SONA_OK));
    cr_assert(eq(int, claim_in_a_thread_that_exits(two), SONA_OK));
    cr_assert(eq(u32, claimed(one), 1));
    cr_assert(eq(u32, claimed(two), 0));
    sona_client_close(&two);
    sona_client_close(&one);
}

static pthread_barrier_t barrier;

static void *claim_and_outlive(void *arg)
{
    struct job *job = arg;

    job->err = sona_lane_claim(job->client, &job->lane, NULL);
    (void)pthread_barrier_wait(&barrier); /* claimed */
    (void)pthread_barrier_wait(&barrier); /* the client is closed */
    return NULL;
}

Test(lane, a_client_may_be_closed_before_the_threads_that_claimed_lanes_exit)
{
    struct job job = {.client = fake_client(&fake)};
    pthread_t thread;

    (void)pthread_barrier_init(&barrier, NULL, 2);
    cr_assert(eq(int, pthread_create(&thread, NULL, claim_and_outlive, &job), 0));
    (void)pthread_barrier_wait(&barrier);
    cr_assert(eq(int, job.err, SONA_OK));
    sona_client_close(&job.client);
    (void)pthread_barrier_wait(&barrier);
    cr_assert(eq(int, pthread_join(thread, NULL), 0));
}

Test(lane, each_lane_draws_its_own_numbers_and_goes_on_after_a_claim)
{
    float x[FAKE_DIM];
    uint32_t differ = 0, n = 0;
    sona_route first[2][40];

    fake_query(x, FAKE_DIM, 0);
    /* Once in one claim, once with a release in the middle: the same numbers. */
    for (int run = 0; run < 2; run++) {
        sona_client *client = fake_client(&fake);
        sona_lane *a, *b;

        cr_assert(eq(int, sona_lane_claim(client, &a, NULL), SONA_OK));
        cr_assert(eq(int, sona_lane_claim(client, &b, NULL), SONA_OK));
        for (int i = 0; i < 40; i++) {
            sona_decision d, e;

            if (run == 1 && i == 20) {
                sona_lane_release(&a);
                cr_assert(eq(int, sona_lane_claim(client, &a, NULL), SONA_OK));
            }
            sona_err err = sona_decide(a, x, FAKE_DIM, NULL, &d);
            cr_assert(err == SONA_OK || err == SONA_E_FULL);
            (void)sona_decide(b, x, FAKE_DIM, NULL, &e);
            first[run][i] = d.route;
            differ += d.route != e.route;
            n++;
        }
        sona_client_close(&client);
    }
    cr_assert(eq(int, memcmp(first[0], first[1], sizeof first[0]), 0));
    cr_assert(gt(u32, differ, n / 10), "two lanes explore alike: %u of %u differ", differ, n);
}
