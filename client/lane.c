/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Claiming lanes and giving them back.
 *
 * A thread that exits returns the lanes it forgot: each client has a pthread key whose value is a
 * number, and the key's destructor looks the number up. Numbers, not pointers, because a destructor
 * may already be on its way while another thread closes the client; what it looks up is then gone,
 * and it does nothing. The table of numbers is shared by all clients of the process.
 *
 * Locks: registry.lock, then a client's lock; both are held for a few instructions only. fork()
 * takes registry.lock, so that a child's thread exit never waits for a thread that is not there.
 */
#include "client/client.h"

#include <errno.h>
#include <stdlib.h>

#include "shm/diag.h"

/* A client in the registry. */
struct entry {
    struct entry *next;
    struct sona_client *client;
    uint64_t number;
    pthread_key_t key;
};

static struct {
    pthread_mutex_t lock;
    struct entry *first;
    uint64_t numbers; /* given out: to clients and to threads that claim */
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fork_prepare(void)
{
    (void)pthread_mutex_lock(&registry.lock);
}

static void fork_done(void)
{
    (void)pthread_mutex_unlock(&registry.lock);
}

static void watch_forks(void)
{
    (void)pthread_atfork(fork_prepare, fork_done, fork_done);
}

static bool alive(const struct sona_client *client)
{
    /* Relaxed: as in sona_client_enter(). */
    return atomic_load_explicit(&client->guard->alive, memory_order_relaxed) != 0;
}

/* Under the client's lock. */
static void unclaim(struct sona_lane *lane)
{
    uint32_t n = atomic_load_explicit(&lane->client->claimed, memory_order_relaxed);

    lane->claimed = false;
    lane->owner = 0;
    /* Relaxed: for stats. */
    atomic_store_explicit(&lane->client->claimed, n - 1, memory_order_relaxed);
}

/* The key's destructor: `value` is the number of a thread that is exiting. */
static void thread_exit(void *value)
{
    uint64_t owner = (uint64_t)(uintptr_t)value;

    (void)pthread_mutex_lock(&registry.lock);
    for (struct entry *e = registry.first; e; e = e->next) {
        if (!alive(e->client))
            continue; /* the parent's lanes are not ours to return */
        (void)pthread_mutex_lock(&e->client->lock);
        for (uint32_t i = 0; i < e->client->n_lanes; i++)
            if (e->client->lanes[i].claimed && e->client->lanes[i].owner == owner)
                unclaim(&e->client->lanes[i]);
        (void)pthread_mutex_unlock(&e->client->lock);
    }
    (void)pthread_mutex_unlock(&registry.lock);
}

sona_err sona_client_lanes_register(struct sona_client *client, sona_diag *reterr)
{
    struct entry *e = calloc(1, sizeof *e);

    if (!e)
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, errno, "cannot allocate a client");
    (void)pthread_once(&once, watch_forks);
    int rc = pthread_key_create(&e->key, thread_exit);
    if (rc != 0) {
        free(e);
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, rc,
                                 "no thread-specific key is left; close other clients first");
    }
    (void)pthread_mutex_lock(&registry.lock);
    e->client = client;
    e->number = client->number = ++registry.numbers;
    e->next = registry.first;
    registry.first = e;
    (void)pthread_mutex_unlock(&registry.lock);
    return SONA_OK;
}

void sona_client_lanes_unregister(struct sona_client *client)
{
    struct entry *found = NULL;

    (void)pthread_mutex_lock(&registry.lock);
    for (struct entry **at = &registry.first; *at; at = &(*at)->next) {
        if ((*at)->number == client->number) {
            found = *at;
            *at = found->next;
            break;
        }
    }
    (void)pthread_mutex_unlock(&registry.lock);
    if (found)
        (void)pthread_key_delete(found->key);
    free(found);
}

void sona_client_lanes_init(struct sona_client *client)
{
    for (uint32_t i = 0; i < client->n_lanes; i++)
        client->lanes[i] = (struct sona_lane){
            .guard = client->guard,
            .client = client,
            .state = &client->states[i],
            .index = i,
            .full_fence = client->full_fence,
        };
}

/* The calling thread's number for this client, made on first use; 0: out of memory. */
static uint64_t thread_number(const struct sona_client *client)
{
    uint64_t number = 0;

    (void)pthread_mutex_lock(&registry.lock);
    for (struct entry *e = registry.first; e; e = e->next) {
        if (e->number != client->number)
            continue;
        number = (uint64_t)(uintptr_t)pthread_getspecific(e->key);
        if (number == 0) {
            number = ++registry.numbers;
            if (pthread_setspecific(e->key, (const void *)(uintptr_t)number) != 0)
                number = 0;
        }
        break;
    }
    (void)pthread_mutex_unlock(&registry.lock);
    return number;
}

sona_err sona_lane_claim(sona_client *client, sona_lane **ret, sona_diag *reterr)
{
    uint64_t owner = 0;
    struct sona_lane *found = NULL;

    if (!client || !ret)
        return sona_shm_diag_set(reterr, SONA_E_ARGUMENT, 0, "a client and a place are needed");
    if (!alive(client))
        return sona_shm_diag_set(reterr, SONA_E_FORKED, 0,
                                 "this client belongs to the parent process; open one of your own");
    if (!client->pooled_lanes && (owner = thread_number(client)) == 0)
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, ENOMEM, "cannot note the thread");

    (void)pthread_mutex_lock(&client->lock);
    for (uint32_t i = 0; i < client->n_lanes && !found; i++)
        if (!client->lanes[i].claimed)
            found = &client->lanes[i];
    if (found) {
        uint32_t n = atomic_load_explicit(&client->claimed, memory_order_relaxed);

        found->claimed = true;
        found->owner = owner;
        atomic_store_explicit(&client->claimed, n + 1, memory_order_relaxed); /* for stats */
    }
    (void)pthread_mutex_unlock(&client->lock);
    if (!found)
        return sona_shm_diag_set(
            reterr, SONA_E_LANES, 0,
            "all %u lanes of this client are claimed; release one, or open the "
            "client with more lanes",
            client->n_lanes);
    *ret = found;
    return SONA_OK;
}

void sona_lane_release(sona_lane **lane)
{
    if (!lane || !*lane)
        return;
    struct sona_lane *l = *lane;
    *lane = NULL;
    if (!alive(l->client))
        return;
    (void)pthread_mutex_lock(&l->client->lock);
    if (l->claimed)
        unclaim(l);
    (void)pthread_mutex_unlock(&l->client->lock);
}
