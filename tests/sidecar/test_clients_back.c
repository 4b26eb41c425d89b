/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Lanes that come back after the sidecar was killed: which are taken, and which are not. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <sona/client.h>

#include "sidecar/clients.h"

static struct sona_shm_publisher *publisher;
static struct sona_sidecar_ledger *ledger;
static struct sona_sidecar_clients clients;
static struct sona_sidecar_peer peer = {.pid = 1, .uid = 5, .pidfd = -1};
static char name[64], path[80];
static uint32_t ring_slots = 16;

static void begin(void)
{
    struct sona_shm_segment_options options = {
        .instance = name,
        .geometry = {.dim = 16, .routes_max = 4, .base_rank = 4, .layers = 1, .patterns_max = 4},
        .hot_bytes = 256,
        .cold_bytes = 256,
        .ring_slots = ring_slots,
        .wall_us = 1,
    };
    sona_diag diag = {0};

    cr_assert(eq(int, sona_sidecar_ledger_open(&ledger, path, &diag), SONA_OK), "%s", diag.text);
    cr_assert(eq(int, sona_shm_publisher_create(&publisher, &options, &diag), SONA_OK), "%s",
              diag.text);
    cr_assert(
        eq(int, sona_sidecar_clients_init(&clients, publisher, ledger, false, 8, &diag), SONA_OK));
}

static void end(bool killed)
{
    sona_sidecar_clients_done(&clients);
    sona_sidecar_ledger_close(&ledger, !killed);
    sona_shm_publisher_destroy(&publisher, true);
}

static void setup(void)
{
    (void)snprintf(name, sizeof name, "t-back-%d", (int)getpid());
    (void)snprintf(path, sizeof path, "/tmp/t-back-%d.lanes", (int)getpid());
    begin();
}

static void teardown(void)
{
    end(false);
}

TestSuite(handback, .init = setup, .fini = teardown);

/* Attach; *fd: the lanes to hand back, and then the ones to use. True: the old ones go on. */
static bool attach(uint32_t lanes, int *fd, struct sona_sidecar_attachment **ret)
{
    const struct sona_wire_hello hello = {
        .head = {.abi_major = SONA_ABI_MAJOR, .abi_minor = SONA_ABI_MINOR},
        .layout_hash = sona_shm_layout_hash(),
        .lanes = lanes,
        .fence_modes = SONA_SHM_FENCE_FULL,
    };
    sona_diag diag = {0};
    int given = -1;

    cr_assert(eq(int, sona_sidecar_clients_attach(&clients, &peer, &hello, *fd, ret, &given, &diag),
                 SONA_OK),
              "%s", diag.text);
    if (given >= 0)
        *fd = given;
    return given < 0;
}

static uint64_t count(sona_counter counter)
{
    sona_stats stats = {.clients = 0};

    sona_sidecar_clients_stats(&clients, &stats);
    return stats.counter[counter];
}

/* A client of two lanes, of which 3 records of lane 1 were drained; then a kill. */
static int lanes_of_the_dead(uint32_t *tag)
{
    struct sona_sidecar_attachment *a;
    int fd = -1;

    cr_assert(not(attach(2, &fd, &a)));
    *tag = a->tag;
    for (uint32_t k = 0; k < 3; k++) { /* p_tail, as a producer moves it */
        struct sona_shm_ring ring;

        sona_shm_ring_bind(&ring, a->lane[1].shared->ring, (char *)(a->lane[1].shared + 1),
                           a->plan.ring_slots, a->plan.record_stride);
        (void)sona_shm_ring_reserve(&ring);
        sona_shm_ring_commit(&ring);
    }
    sona_sidecar_ledger_advance(ledger, a->slot, 1, 3);
    end(true);
    return fd;
}

static void expect_refused(int fd)
{
    struct sona_sidecar_attachment *a;

    cr_assert(not(attach(2, &fd, &a)));
    cr_assert(not(a->came_back));
    cr_assert(eq(u64, a->lane[1].next, 0));
    cr_assert(eq(u64, count(SONA_COUNTER_handback_refused), 1));
    cr_assert(eq(u64, count(SONA_COUNTER_handed_back), 0));
}

Test(handback, lanes_go_on_under_their_tag_at_their_cursor)
{
    struct sona_sidecar_attachment *a;
    uint32_t tag;
    int fd = lanes_of_the_dead(&tag);

    begin();
    cr_assert(eq(u64, count(SONA_COUNTER_lost_killed), 3));
    cr_assert(attach(2, &fd, &a));
    cr_assert(a->came_back);
    cr_assert(eq(u32, a->tag, tag));
    cr_assert(eq(u64, a->lane[0].next, 0));
    cr_assert(eq(u64, a->lane[1].next, 3));
    cr_assert(eq(i64, sona_shm_drain_ready(&a->lane[1].drain), 0));
    cr_assert(eq(u64, count(SONA_COUNTER_handed_back), 1));
    cr_assert(eq(u64, count(SONA_COUNTER_handback_refused), 0));
}

Test(handback, the_same_lanes_come_back_once)
{
    struct sona_sidecar_attachment *a, *b;
    uint32_t tag;
    int fd = lanes_of_the_dead(&tag), again = fd;

    begin();
    cr_assert(attach(2, &fd, &a));
    cr_assert(not(attach(2, &again, &b)), "they are in use");
    cr_assert(ne(u32, b->tag, tag));
}

Test(handback, lanes_of_another_user_are_not_taken)
{
    uint32_t tag;
    int fd = lanes_of_the_dead(&tag);

    begin();
    peer.uid = 6;
    expect_refused(fd);
}

Test(handback, lanes_with_a_hole_are_not_taken)
{
    uint32_t tag;
    int fd = lanes_of_the_dead(&tag);

    begin();
    cr_assert(eq(int, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096), 0));
    expect_refused(fd);
}

Test(handback, a_copy_of_lanes_is_not_taken)
{
    uint32_t tag;
    int fd = lanes_of_the_dead(&tag), copy = memfd_create("copy", MFD_ALLOW_SEALING);
    struct stat st;

    begin();
    cr_assert(eq(int, fstat(fd, &st), 0));
    char *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    cr_assert(eq(i64, write(copy, bytes, (size_t)st.st_size), st.st_size));
    cr_assert(eq(int, fcntl(copy, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0));
    expect_refused(copy);
}

Test(handback, lanes_that_nobody_issued_are_not_taken)
{
    uint32_t tag;
    int fd = lanes_of_the_dead(&tag);

    (void)unlink(path); /* a container that kept nothing */
    begin();
    expect_refused(fd);
}

Test(handback, what_is_no_lane_memory_is_not_taken)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    expect_refused(fd);
}

Test(handback, lanes_of_another_geometry_are_not_taken)
{
    uint32_t tag;
    int fd = lanes_of_the_dead(&tag);

    ring_slots = 32;
    begin();
    expect_refused(fd);
}

Test(handback, a_tag_that_may_come_back_is_given_to_nobody)
{
    struct sona_sidecar_attachment *a;
    uint32_t tag;
    int fd = lanes_of_the_dead(&tag), none = -1;

    begin();
    clients.last_tag = (uint16_t)(tag - 1);
    cr_assert(not(attach(1, &none, &a)));
    cr_assert(ne(u32, a->tag, tag));
    cr_assert(attach(2, &fd, &a));
    cr_assert(eq(u32, a->tag, tag));
}
