/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* A reader holds one version, whole, while others are swapped in. */
#include <pthread.h>
#include <stdatomic.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "sidecar/version.h"

#define SWAPS 50000u

static struct sona_sidecar_versions versions;
static _Atomic bool done;
static _Atomic uint64_t torn, went_back, reads;

static struct sona_sidecar_version *make(uint64_t n)
{
    struct sona_sidecar_version *v = sona_sidecar_version_make(3);

    v->stats.step = n;
    for (int c = 0; c < SONA_COUNTER_COUNT; c++)
        v->stats.counter[c] = n;
    v->route[2].id = (sona_route)n;
    return v;
}

static void *reader(void *arg)
{
    uint64_t last = 0;

    (void)arg;
    sona_sidecar_version_enter();
    while (!atomic_load_explicit(&done, memory_order_acquire)) {
        const struct sona_sidecar_version *v = sona_sidecar_version_read(&versions);
        uint64_t n = v->stats.step;

        for (int c = 0; c < SONA_COUNTER_COUNT; c++)
            if (v->stats.counter[c] != n)
                atomic_fetch_add_explicit(&torn, 1, memory_order_relaxed);
        if (v->route[2].id != (sona_route)n)
            atomic_fetch_add_explicit(&torn, 1, memory_order_relaxed);
        if (n < last)
            atomic_fetch_add_explicit(&went_back, 1, memory_order_relaxed);
        last = n;
        sona_sidecar_version_unread();
        atomic_fetch_add_explicit(&reads, 1, memory_order_relaxed);
    }
    sona_sidecar_version_leave();
    return NULL;
}

Test(version, a_reader_sees_whole_versions_that_never_go_back, .timeout = 60)
{
    pthread_t thread[2];

    sona_sidecar_version_enter();
    sona_sidecar_version_swap(&versions, make(1));
    for (int t = 0; t < 2; t++)
        cr_assert(eq(int, pthread_create(&thread[t], NULL, reader, NULL), 0));
    for (uint64_t n = 2; n < SWAPS; n++)
        sona_sidecar_version_swap(&versions, make(n));
    while (atomic_load_explicit(&reads, memory_order_relaxed) < 1000)
        (void)sched_yield();
    atomic_store_explicit(&done, true, memory_order_release);
    for (int t = 0; t < 2; t++)
        cr_assert(eq(int, pthread_join(thread[t], NULL), 0));
    sona_sidecar_version_done(&versions);
    sona_sidecar_version_leave();
    cr_assert(eq(u64, atomic_load(&torn), 0));
    cr_assert(eq(u64, atomic_load(&went_back), 0));
}
