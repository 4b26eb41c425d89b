/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Who may attach, to how much; and that everything is given back. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <sona/client.h>

#include "sidecar/clients.h"

static struct sona_shm_publisher *publisher;
static struct sona_sidecar_ledger *ledger;
static char ledger_path[64];
static struct sona_sidecar_clients clients;
static const struct sona_sidecar_peer peer = {.pid = 1, .pidfd = -1};

static void setup(void)
{
    static char name[64];
    sona_diag diag;

    (void)snprintf(name, sizeof name, "t-clients-%d", (int)getpid());
    struct sona_shm_segment_options options = {
        .instance = name,
        .geometry = {.dim = 16, .routes_max = 4, .base_rank = 4, .layers = 1, .patterns_max = 4},
        .hot_bytes = 256,
        .cold_bytes = 256,
        .ring_slots = 2,
        .wall_us = 1,
    };
    cr_assert(eq(int, sona_shm_publisher_create(&publisher, &options, &diag), SONA_OK), "%s",
              diag.text);
    (void)snprintf(ledger_path, sizeof ledger_path, "/tmp/t-clients-%d.lanes", (int)getpid());
    cr_assert(eq(int, sona_sidecar_ledger_open(&ledger, ledger_path, &diag), SONA_OK));
    cr_assert(
        eq(int, sona_sidecar_clients_init(&clients, publisher, ledger, false, 8, &diag), SONA_OK));
}

static void teardown(void)
{
    sona_sidecar_clients_done(&clients);
    sona_sidecar_ledger_close(&ledger, true);
    sona_shm_publisher_destroy(&publisher, true);
}

TestSuite(clients, .init = setup, .fini = teardown);

static struct sona_wire_hello hello(uint32_t lanes)
{
    return (struct sona_wire_hello){
        .head = {.abi_major = SONA_ABI_MAJOR, .abi_minor = SONA_ABI_MINOR},
        .layout_hash = sona_shm_layout_hash(),
        .lanes = lanes,
        .fence_modes = SONA_SHM_FENCE_FULL,
    };
}

static sona_err attach(const struct sona_wire_hello *h, struct sona_sidecar_attachment **ret,
                       sona_diag *diag)
{
    int fd = -1;
    sona_err err = sona_sidecar_clients_attach(&clients, &peer, h, -1, ret, &fd, diag);

    if (err == SONA_OK)
        (void)close(fd);
    return err;
}

Test(clients, an_attachment_has_lanes_that_are_empty_and_a_tag_of_its_own)
{
    struct sona_sidecar_attachment *a, *b;
    struct sona_wire_hello h = hello(2);
    sona_diag diag;

    cr_assert(eq(int, attach(&h, &a, &diag), SONA_OK));
    cr_assert(eq(int, attach(&h, &b, &diag), SONA_OK));
    cr_assert(ne(u32, a->tag, 0));
    cr_assert(ne(u32, a->tag, b->tag));
    for (uint32_t i = 0; i < 2; i++)
        cr_assert(eq(i64, sona_shm_drain_ready(&a->lane[i].drain), 0));
    cr_assert(eq(u32, clients.n, 2));
    cr_assert(eq(u32, clients.lanes, 4));
}

Test(clients, a_tag_comes_back_only_after_all_the_others)
{
    struct sona_sidecar_attachment *a;
    struct sona_wire_hello h = hello(1);
    static bool seen[UINT16_MAX + 1];
    sona_diag diag;

    for (int n = 0; n < 2000; n++) {
        cr_assert(eq(int, attach(&h, &a, &diag), SONA_OK));
        cr_assert(not(seen[a->tag]));
        seen[a->tag] = true;
        sona_sidecar_clients_free(&clients, a, true);
    }
}

Test(clients, tag_0_is_skipped_and_one_in_use_too)
{
    struct sona_sidecar_attachment *a, *b;
    struct sona_wire_hello h = hello(1);
    sona_diag diag;

    clients.last_tag = UINT16_MAX;
    cr_assert(eq(int, attach(&h, &a, &diag), SONA_OK));
    cr_assert(eq(u32, a->tag, 1));
    clients.last_tag = 0;
    cr_assert(eq(int, attach(&h, &b, &diag), SONA_OK));
    cr_assert(eq(u32, b->tag, 2));
}

Test(clients, lanes_are_limited_for_all_together_and_come_back)
{
    struct sona_sidecar_attachment *a, *b;
    struct sona_wire_hello h = hello(6);
    sona_diag diag;

    cr_assert(eq(int, attach(&h, &a, &diag), SONA_OK));
    h.lanes = 3;
    cr_assert(eq(int, attach(&h, &b, &diag), SONA_E_LIMIT));
    cr_assert(ne(ptr, strstr(diag.text, "--lanes-max"), NULL), "%s", diag.text);
    cr_assert(ne(ptr, strstr(diag.text, "6 of 8"), NULL), "%s", diag.text);
    sona_sidecar_clients_free(&clients, a, true);
    cr_assert(eq(int, attach(&h, &b, &diag), SONA_OK));
    sona_stats stats = {.clients = 0};
    sona_sidecar_clients_stats(&clients, &stats);
    cr_assert(eq(u64, stats.counter[SONA_COUNTER_clients_attached], 2));
    cr_assert(eq(u64, stats.counter[SONA_COUNTER_clients_reclaimed], 1));
    cr_assert(eq(u32, stats.lanes, 3));
}

Test(clients, a_hello_that_cannot_be_answered_is_refused_by_name)
{
    struct sona_sidecar_attachment *a;
    struct sona_wire_hello h;
    sona_diag diag;

    h = hello(0);
    cr_expect(eq(int, attach(&h, &a, &diag), SONA_E_RANGE));
    h = hello(SONA_LANES_MAX + 1);
    cr_expect(eq(int, attach(&h, &a, &diag), SONA_E_RANGE));
    h = hello(1);
    h.layout_hash ^= 1;
    cr_expect(eq(int, attach(&h, &a, &diag), SONA_E_ABI));
    h = hello(1);
    h.head.abi_minor = SONA_ABI_MINOR + 1;
    cr_expect(eq(int, attach(&h, &a, &diag), SONA_E_ABI));
    h = hello(1);
    h.fence_modes = 0;
    cr_expect(eq(int, attach(&h, &a, &diag), SONA_E_ABI));
    h = hello(1);
    h.dim = 17;
    cr_expect(eq(int, attach(&h, &a, &diag), SONA_E_SHAPE));
    cr_expect(ne(ptr, strstr(diag.text, "--dim 17"), NULL), "%s", diag.text);
    cr_expect(eq(u32, clients.n, 0));
}

Test(clients, what_a_client_counted_is_kept_when_it_is_gone)
{
    struct sona_sidecar_attachment *a;
    struct sona_wire_hello h = hello(2);
    sona_diag diag;

    cr_assert(eq(int, attach(&h, &a, &diag), SONA_OK));
    atomic_store_explicit(&a->lane[0].shared->counters.dropped_full, 3, memory_order_relaxed);
    atomic_store_explicit(&a->lane[1].shared->counters.dropped_full, 4, memory_order_relaxed);
    atomic_store_explicit(&a->lane[1].shared->counters.refused, 5, memory_order_relaxed);
    for (int n = 0; n < 2; n++) {
        sona_stats stats = {.clients = 0};

        sona_sidecar_clients_stats(&clients, &stats);
        cr_assert(eq(u64, stats.counter[SONA_COUNTER_drop_client_full], 7));
        cr_assert(eq(u64, stats.counter[SONA_COUNTER_drop_client_refused], 5));
        if (n == 0)
            sona_sidecar_clients_free(&clients, a, true);
    }
}
