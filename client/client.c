/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Opening and closing a client, and what can be asked of it as a whole. */
#include "client/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/diag.h"
#include "shm/wire.h"

#ifdef SONA_TSAN
#define ALWAYS_FULL true /* ThreadSanitizer cannot see membarrier */
#else
#define ALWAYS_FULL false
#endif

/* A page that is zeroed in every child of fork(): how a call knows, without asking the kernel. */
static sona_err guard_create(struct sona_client_guard **ret, sona_diag *reterr)
{
    void *page =
        mmap(NULL, SONA_SHM_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, errno, "cannot allocate a page");
    if (madvise(page, SONA_SHM_PAGE, MADV_WIPEONFORK) != 0) {
        int e = errno;

        (void)munmap(page, SONA_SHM_PAGE);
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, e,
                                 "this kernel cannot wipe a page on fork; Linux 4.14 or later is "
                                 "needed");
    }
    (void)mlock(page, SONA_SHM_PAGE);
    *ret = page;
    /* Relaxed: nobody else has the client yet. */
    atomic_store_explicit(&(*ret)->alive, 1, memory_order_relaxed);
    return SONA_OK;
}

static sona_err check_options(const sona_client_options *o, sona_diag *reterr)
{
    if (o->lanes > SONA_LANES_MAX)
        return sona_shm_diag_set(reterr, SONA_E_RANGE, 0, "a client has 1..%d lanes, not %u",
                                 SONA_LANES_MAX, o->lanes);
    if (o->dim != 0 && (o->dim < SONA_DIM_MIN || o->dim > SONA_DIM_MAX))
        return sona_shm_diag_set(reterr, SONA_E_RANGE, 0, "a dimension is %d..%d, not %u",
                                 SONA_DIM_MIN, SONA_DIM_MAX, o->dim);
    if (o->when_absent != SONA_FAIL && o->when_absent != SONA_DETACHED)
        return sona_shm_diag_set(reterr, SONA_E_RANGE, 0,
                                 "when_absent is SONA_FAIL or SONA_DETACHED");
    return SONA_OK;
}

/* Take over the options. */
static sona_err configure(struct sona_client *client, const sona_client_options *o,
                          sona_diag *reterr)
{
    const char *instance = o->instance ? o->instance : "default";
    sona_err err = check_options(o, reterr);

    if (err == SONA_OK)
        err = sona_wire_path(o->runtime_dir, instance, client->path, sizeof client->path, reterr);
    if (err != SONA_OK)
        return err;
    client->n_lanes = o->lanes ? o->lanes : SONA_CLIENT_LANES;
    client->dim = o->dim;
    client->timeout_ms = o->timeout_ms ? o->timeout_ms : SONA_CLIENT_TIMEOUT_MS;
    client->pooled_lanes = o->pooled_lanes;
    client->seed = o->seed;
    if (client->seed == 0 &&
        getrandom(&client->seed, sizeof client->seed, 0) != (ssize_t)sizeof client->seed)
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno, "the kernel gives no random seed");
    /* Before the first hazard store, or the publisher's barrier would miss us. */
    client->full_fence = ALWAYS_FULL || o->full_fence || !sona_shm_membarrier_available() ||
                         !sona_shm_membarrier_register();
    return SONA_OK;
}

/* Everything that exists before the first attachment. */
static sona_err build(struct sona_client *client, const sona_client_options *o, sona_diag *reterr)
{
    struct sona_client_attachment *a;
    sona_err err = configure(client, o, reterr);

    if (err == SONA_OK)
        err = guard_create(&client->guard, reterr);
    if (err != SONA_OK)
        return err;
    client->lanes =
        aligned_alloc(alignof(struct sona_lane), client->n_lanes * sizeof(struct sona_lane));
    client->states = sona_client_pages_map(client->n_lanes * sizeof(struct sona_client_lane_state),
                                           &client->states_locked);
    if (!client->lanes || !client->states)
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, ENOMEM, "cannot allocate the lanes");
    sona_client_lanes_init(client);
    err = sona_client_attachment_void(client, client->dim, &a, reterr);
    if (err != SONA_OK)
        return err;
    /* Relaxed: nobody else has the client yet. */
    atomic_store_explicit(&client->att, a, memory_order_relaxed);
    atomic_store_explicit(&client->locked, a->locked && client->states_locked,
                          memory_order_relaxed);
    atomic_store_explicit(&client->memlock_failures,
                          (uint64_t)!a->locked + (uint64_t)!client->states_locked,
                          memory_order_relaxed);
    return sona_client_lanes_register(client, reterr);
}

/* In the process that opened it, everything goes. In a child, what fork() did not give it is left
 * out: those addresses may be somebody else's by now. */
static void tear_down(struct sona_client *client)
{
    /* Relaxed: as in sona_client_enter(). */
    bool ours =
        client->guard && atomic_load_explicit(&client->guard->alive, memory_order_relaxed) != 0;

    if (client->number != 0)
        sona_client_lanes_unregister(client);
    if (ours) {
        sona_client_maintain_stop(client);
        if (client->wake >= 0)
            (void)close(client->wake);
        sona_client_attachment_close(atomic_load_explicit(&client->att, memory_order_relaxed));
        sona_client_attachment_close(client->old);
        if (client->states)
            (void)munmap(client->states, client->n_lanes * sizeof *client->states);
    }
    if (!ours)
        sona_client_lanes_drop_fd(client->memory);
    sona_client_hang_up(client); /* a child's copy would keep the connection open */
    if (client->guard)
        (void)munmap(client->guard, SONA_SHM_PAGE);
    (void)pthread_mutex_destroy(&client->lock);
    (void)pthread_mutex_destroy(&client->maintaining);
    free(client->lanes);
    free(client);
}

/* A library does not print: what is no error but worth a warning goes where errors go. */
static void warn(const struct sona_client *client, sona_diag *reterr)
{
    if (!reterr)
        return;
    *reterr = (sona_diag){.code = SONA_OK};
    /* Relaxed: this thread wrote it. */
    if (atomic_load_explicit(&client->memlock_failures, memory_order_relaxed) > 0)
        (void)sona_shm_diag_set(reterr, SONA_OK, 0,
                                "memory of this client is not locked: it is over RLIMIT_MEMLOCK; "
                                "raise it (ulimit -l) to keep page faults out of the request path");
}

sona_err sona_client_open(sona_client **ret, const sona_client_options *options, sona_diag *reterr)
{
    static const sona_client_options defaults;
    const sona_client_options *o = options ? options : &defaults;
    struct sona_client *client;

    if (!ret)
        return sona_shm_diag_set(reterr, SONA_E_ARGUMENT, 0, "a place for the client is needed");
    client = calloc(1, sizeof *client);
    if (!client)
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, errno, "cannot allocate a client");
    client->socket = client->wake = -1;
    (void)pthread_mutex_init(&client->lock, NULL);
    (void)pthread_mutex_init(&client->maintaining, NULL);

    sona_err err = build(client, o, reterr);
    if (err == SONA_OK) {
        err = sona_client_maintain_once(client, reterr);
        if (o->when_absent == SONA_DETACHED && (err == SONA_E_ABSENT || err == SONA_E_DETACHED))
            err = SONA_OK;
    }
    if (err == SONA_OK && !o->no_maintenance_thread)
        err = sona_client_maintain_start(client, reterr);
    if (err != SONA_OK) {
        tear_down(client);
        return err;
    }
    warn(client, reterr);
    *ret = client;
    return SONA_OK;
}

void sona_client_close(sona_client **client)
{
    if (!client || !*client)
        return;
    tear_down(*client);
    *client = NULL;
}

static bool alive(const sona_client *client)
{
    /* Relaxed: as in sona_client_enter(). */
    return atomic_load_explicit(&client->guard->alive, memory_order_relaxed) != 0;
}

sona_err sona_client_stats_get(sona_client *client, sona_client_stats *ret)
{
    if (!client || !ret)
        return SONA_E_ARGUMENT;
    if (!alive(client))
        return SONA_E_FORKED;
    sona_client_stats s = {.full_fence = client->full_fence};

    /* Relaxed throughout: each number stands alone. */
    for (uint32_t i = 0; i < client->n_lanes; i++) {
        const struct sona_client_lane_state *state = &client->states[i];

#define ADD(name) \
    s.name += atomic_load_explicit(&state->counter[SONA_CLIENT_##name], memory_order_relaxed);
        SONA_CLIENT_COUNTERS(ADD)
#undef ADD
    }
    s.attached = atomic_load_explicit(&client->attached, memory_order_acquire);
    s.attachments = atomic_load_explicit(&client->attachments, memory_order_relaxed);
    s.dim = atomic_load_explicit(&client->last_dim, memory_order_relaxed);
    s.lanes_claimed = atomic_load_explicit(&client->claimed, memory_order_relaxed);
    s.dropped_restart = atomic_load_explicit(&client->dropped_restart, memory_order_relaxed) +
                        atomic_load_explicit(&client->undrained, memory_order_relaxed);
    s.memory_locked = atomic_load_explicit(&client->locked, memory_order_relaxed);
    s.memlock_failures = atomic_load_explicit(&client->memlock_failures, memory_order_relaxed);
    *ret = s;
    return SONA_OK;
}

sona_err sona_client_geometry(sona_client *client, sona_geometry *ret)
{
    if (!client || !ret)
        return SONA_E_ARGUMENT;
    if (!alive(client))
        return SONA_E_FORKED;
    (void)pthread_mutex_lock(&client->lock); /* keeps the attachment mapped */
    /* Relaxed: the lock orders. */
    const struct sona_client_attachment *a =
        atomic_load_explicit(&client->att, memory_order_relaxed);
    bool attached = a->model_map != NULL;
    if (attached)
        *ret = a->layout.geometry;
    (void)pthread_mutex_unlock(&client->lock);
    return attached ? SONA_OK : SONA_E_DETACHED;
}
