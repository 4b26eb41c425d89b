/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* A look at the rings of a lane memory while a producer and a drain are at work in it: nothing is
 * found, for nothing is wrong. What is found is in tests/system/test_check.c. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "shm/record.h"
#include "shm/ring.h"
#include "shm/wire.h"
#include "sidecar/rings.h"

#define SLOTS  8u
#define STRIDE 128u
#define LOOKS  20000u
#define TAG    77u

static struct sona_shm_plan plan = {.hot_slots = 2,
                                    .cold_slots = 2,
                                    .hot_bytes = 1,
                                    .cold_bytes = 1,
                                    .ring_slots = SLOTS,
                                    .record_stride = STRIDE,
                                    .n_lanes = 1};
static struct sona_sidecar_ledger *ledger;
static char *map, path[64], found[256];
static int slot;
static _Atomic bool stop;
static _Atomic uint64_t drained;

static struct sona_shm_lane *lane(void)
{
    return (void *)(map + plan.lane_offset);
}

static char *records(void)
{
    return map + plan.lane_offset + plan.records_offset;
}

static void setup(void)
{
    const uint8_t uuid[16] = {1};
    struct sona_sidecar_issue issue = {
        .tag = TAG, .n_lanes = 1, .ring_slots = SLOTS, .record_stride = STRIDE};
    void *at;
    int fd;

    cr_assert(eq(int, sona_shm_plan_init(&plan), SONA_OK));
    cr_assert(eq(int, sona_shm_lanes_create(&plan, uuid, TAG, 1, &fd, &at, NULL), SONA_OK));
    cr_assert(sona_shm_lanes_identity(fd, issue.identity));
    (void)close(fd);
    map = at;
    (void)snprintf(path, sizeof path, "/tmp/t-rings-%d.lanes", (int)getpid());
    cr_assert(eq(int, sona_sidecar_ledger_open(&ledger, path, NULL), SONA_OK));
    slot = sona_sidecar_ledger_issue(ledger, &issue);
}

static void teardown(void)
{
    sona_sidecar_ledger_close(&ledger, true);
}

TestSuite(rings, .init = setup, .fini = teardown);

static void *produce(void *arg)
{
    struct sona_shm_ring ring;

    sona_shm_ring_bind(&ring, lane()->ring, records(), SLOTS, STRIDE);
    for (uint64_t seq = 0; !atomic_load_explicit(&stop, memory_order_relaxed);) {
        struct sona_record *r = sona_shm_ring_reserve(&ring);

        if (!r)
            continue;
        *r = (struct sona_record){.magic = SONA_RECORD_MAGIC,
                                  .version = SONA_RECORD_VERSION,
                                  .kind = SONA_RECORD_DECIDE,
                                  .lane_seq = seq,
                                  .id = SONA_ID(TAG, 0, seq)};
        seq++;
        sona_shm_ring_commit(&ring);
    }
    return arg;
}

/* As the intake does: the cursor first, then c_head. */
static void *drain(void *arg)
{
    struct sona_shm_drain d;

    sona_shm_drain_bind(&d, lane()->ring, records(), SLOTS, STRIDE, 0);
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        int64_t n = sona_shm_drain_ready(&d);

        if (n <= 0)
            continue;
        sona_sidecar_ledger_advance(ledger, slot, 0, d.cursor + (uint64_t)n);
        sona_shm_drain_advance(&d, (uint32_t)n);
        atomic_store_explicit(&drained, d.cursor, memory_order_relaxed);
    }
    return arg;
}

static void note(void *context, const char *text)
{
    (void)context;
    (void)snprintf(found, sizeof found, "%s", text);
}

Test(rings, at_work_are_found_in_order, .timeout = 120)
{
    pthread_t thread[2];

    cr_assert(zero(int, pthread_create(&thread[0], NULL, produce, NULL)));
    cr_assert(zero(int, pthread_create(&thread[1], NULL, drain, NULL)));
    /* Until there was something to see, however the threads are scheduled. */
    for (uint32_t n = 0; n < LOOKS || atomic_load_explicit(&drained, memory_order_relaxed) < LOOKS;
         n++)
        sona_sidecar_rings_verify(map, &plan, 1, ledger, slot, note, NULL);
    atomic_store_explicit(&stop, true, memory_order_relaxed);
    for (int k = 0; k < 2; k++)
        (void)pthread_join(thread[k], NULL);
    cr_expect(eq(str, found, ""));
}
