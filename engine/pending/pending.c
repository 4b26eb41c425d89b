/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The join of decisions with their outcomes. Three pools in one block of memory:
 *
 *     waiting   entries with their embeddings; the only large one
 *     settled   ids of entries that are done, with the reason, as many again and a few bytes each:
 *               a flood of new decisions must not make duplicates look like unknown ids
 *     parked    outcomes that overtook their decision
 *
 *     add ──► waiting ──outcome──► settled (joined)
 *               │  └──window────► settled (abandoned)
 *               └──arena full───► forgotten (evicted)
 *     outcome, decision on its way ──► parked ──add──► joined
 *
 * Accounting, checked by the tests after every operation:
 *     decisions + trajectories = pending + joined + drop_evicted + drop_abandoned
 *     outcomes = joined + parked_now + the refusals of outcomes
 * where joined is what was handed to the caller, who counts it once more under what came of it.
 */
#include <assert.h>
#include <string.h>

#include "engine/pending/pending.h"
#include "engine/pending/pool.h"

struct settled {
    uint64_t owner;
    bool abandoned; /* its window closed; else joined */
};

struct parked {
    uint64_t owner;
    uint64_t since_ms;
    float quality;
    uint32_t latency_us;
};

struct sona_pending {
    uint32_t dim_padded;
    uint32_t max_steps;
    uint64_t window_ms;

    struct sona_pending_pool waiting_pool, settled_pool, parked_pool;
    struct sona_pending_entry *waiting;
    struct settled *settled;
    struct parked *parked;
    float *vectors; /* dim_padded floats per waiting entry */

    uint64_t counter[SONA_COUNTER_COUNT];
};

#define COUNT(pending, name) ((pending)->counter[SONA_COUNTER_##name]++)

static size_t round_up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

size_t sona_pending_bytes(uint32_t capacity, uint32_t dim_padded)
{
    return round_up(sizeof(struct sona_pending)) + 2 * sona_pending_pool_bytes(capacity) +
           sona_pending_pool_bytes(SONA_PENDING_PARKED_MAX) +
           round_up(capacity * sizeof(struct sona_pending_entry)) +
           round_up(capacity * sizeof(struct settled)) +
           round_up(SONA_PENDING_PARKED_MAX * sizeof(struct parked)) +
           round_up((size_t)capacity * dim_padded * sizeof(float));
}

static void *carve(char **at, size_t bytes)
{
    void *ret = *at;

    *at += bytes;
    return ret;
}

struct sona_pending *sona_pending_init(void *memory, uint32_t capacity, uint32_t dim_padded,
                                       uint64_t window_ms, uint32_t max_steps)
{
    char *at = memory;
    struct sona_pending *pending = carve(&at, round_up(sizeof(*pending)));

    assert((uintptr_t)memory % 64 == 0 && capacity >= 1);
    memset(pending, 0, sizeof(*pending));
    pending->dim_padded = dim_padded;
    pending->max_steps = max_steps;
    pending->window_ms = window_ms;

    sona_pending_pool_init(&pending->waiting_pool, carve(&at, sona_pending_pool_bytes(capacity)),
                           capacity);
    sona_pending_pool_init(&pending->settled_pool, carve(&at, sona_pending_pool_bytes(capacity)),
                           capacity);
    sona_pending_pool_init(&pending->parked_pool,
                           carve(&at, sona_pending_pool_bytes(SONA_PENDING_PARKED_MAX)),
                           SONA_PENDING_PARKED_MAX);
    pending->waiting = carve(&at, round_up(capacity * sizeof(struct sona_pending_entry)));
    pending->settled = carve(&at, round_up(capacity * sizeof(struct settled)));
    pending->parked = carve(&at, round_up(SONA_PENDING_PARKED_MAX * sizeof(struct parked)));
    pending->vectors = carve(&at, round_up((size_t)capacity * dim_padded * sizeof(float)));
    assert((size_t)(at - (char *)memory) == sona_pending_bytes(capacity, dim_padded));
    return pending;
}

/* A clock that went back makes nothing older. */
static bool outlived(const struct sona_pending *pending, uint64_t since_ms, uint64_t now_ms)
{
    return now_ms > since_ms && now_ms - since_ms > pending->window_ms;
}

/* Move a waiting entry among the settled ones; the oldest of those is forgotten for it if need be.
 * Its vector stays readable until the place is taken again. */
static void settle(struct sona_pending *pending, uint32_t place, bool abandoned)
{
    struct sona_pending_pool *pool = &pending->settled_pool;
    uint32_t to;

    if (pool->taken == pool->capacity)
        sona_pending_pool_give(pool, pool->oldest);
    to = sona_pending_pool_take(pool, pending->waiting[place].id);
    pending->settled[to] =
        (struct settled){.owner = pending->waiting[place].owner, .abandoned = abandoned};
    sona_pending_pool_give(&pending->waiting_pool, place);
}

static void abandon(struct sona_pending *pending, uint32_t place)
{
    COUNT(pending, drop_abandoned);
    settle(pending, place, true);
}

static void join(struct sona_pending *pending, uint32_t place, float quality, uint32_t latency_us,
                 struct sona_pending_joined *ret)
{
    *ret = (struct sona_pending_joined){
        .entry = pending->waiting[place], .quality = quality, .latency_us = latency_us};
    settle(pending, place, false);
}

/* Join the owner's parked outcome with the entry that has just come, and refuse those of others.
 * At most one is the owner's: a second was a duplicate when it came. */
static bool join_parked(struct sona_pending *pending, uint32_t place,
                        struct sona_pending_joined *ret)
{
    const struct sona_pending_entry entry = pending->waiting[place];
    bool joined = false;

    for (;;) {
        uint32_t at = sona_pending_pool_find(&pending->parked_pool, entry.id);

        if (at == SONA_PENDING_NONE)
            return joined;
        if (pending->parked[at].owner == entry.owner) {
            assert(!joined);
            join(pending, place, pending->parked[at].quality, pending->parked[at].latency_us, ret);
            joined = true;
        } else {
            COUNT(pending, drop_foreign);
        }
        sona_pending_pool_give(&pending->parked_pool, at);
    }
}

bool sona_pending_add(struct sona_pending *pending, const struct sona_pending_entry *entry,
                      uint64_t now_ms, struct sona_pending_joined *ret, sona_err *err)
{
    struct sona_pending_pool *pool = &pending->waiting_pool;
    struct sona_pending_entry *kept;
    float *vector;
    uint32_t place;

    if (sona_pending_pool_find(pool, entry->id) != SONA_PENDING_NONE ||
        sona_pending_pool_find(&pending->settled_pool, entry->id) != SONA_PENDING_NONE) {
        COUNT(pending, drop_duplicate);
        *err = SONA_E_DUPLICATE;
        return false;
    }
    *err = SONA_OK;
    if (entry->kind == SONA_PENDING_DECISION)
        COUNT(pending, decisions);
    else
        COUNT(pending, trajectories);
    if (pool->taken == pool->capacity) {
        COUNT(pending, drop_evicted);
        sona_pending_pool_give(pool, pool->oldest);
    }
    place = sona_pending_pool_take(pool, entry->id);
    vector = pending->vectors + (size_t)place * pending->dim_padded;
    memcpy(vector, entry->x, pending->dim_padded * sizeof(float));

    kept = &pending->waiting[place];
    *kept = *entry;
    kept->begun_ms = now_ms;
    kept->steps = 0;
    kept->reward_sum = 0;
    kept->x = vector;
    return join_parked(pending, place, ret);
}

static sona_err refuse(struct sona_pending *pending, sona_counter reason, sona_err err)
{
    pending->counter[reason]++;
    return err;
}

/* Why no entry with this id is waiting, for a step or a route. */
static sona_err refuse_absent(struct sona_pending *pending, uint64_t id)
{
    if (sona_pending_pool_find(&pending->settled_pool, id) != SONA_PENDING_NONE)
        return refuse(pending, SONA_COUNTER_drop_duplicate, SONA_E_DUPLICATE);
    return refuse(pending, SONA_COUNTER_drop_unknown_id, SONA_E_UNKNOWN_ID);
}

sona_err sona_pending_step(struct sona_pending *pending, uint64_t id, float reward)
{
    uint32_t place = sona_pending_pool_find(&pending->waiting_pool, id);
    struct sona_pending_entry *entry;

    if (place == SONA_PENDING_NONE)
        return refuse_absent(pending, id);
    entry = &pending->waiting[place];
    if (entry->steps >= pending->max_steps)
        return refuse(pending, SONA_COUNTER_drop_steps, SONA_E_LIMIT);
    entry->steps++;
    entry->reward_sum += reward;
    COUNT(pending, steps);
    return SONA_OK;
}

sona_err sona_pending_route(struct sona_pending *pending, uint64_t id, sona_route route)
{
    uint32_t place = sona_pending_pool_find(&pending->waiting_pool, id);

    if (place == SONA_PENDING_NONE)
        return refuse_absent(pending, id);
    /* A decision's route was drawn with a known propensity; another route would belie it. */
    if (pending->waiting[place].kind != SONA_PENDING_TRAJECTORY)
        return refuse(pending, SONA_COUNTER_drop_unknown_id, SONA_E_UNKNOWN_ID);
    pending->waiting[place].route = route;
    return SONA_OK;
}

/* Keep an outcome for the decision that is on its way. One per owner: somebody else's outcome for
 * the same id must not keep the owner's out. */
static sona_err park(struct sona_pending *pending, uint64_t id, const struct parked *outcome)
{
    struct sona_pending_pool *pool = &pending->parked_pool;
    uint32_t at;

    for (at = sona_pending_pool_find(pool, id); at != SONA_PENDING_NONE;
         at = sona_pending_pool_find_next(pool, at))
        if (pending->parked[at].owner == outcome->owner)
            return refuse(pending, SONA_COUNTER_drop_duplicate, SONA_E_DUPLICATE);
    at = sona_pending_pool_take(pool, id);
    if (at == SONA_PENDING_NONE)
        return refuse(pending, SONA_COUNTER_drop_parked_full, SONA_E_LIMIT);
    pending->parked[at] = *outcome;
    COUNT(pending, parked);
    return SONA_OK;
}

sona_err sona_pending_outcome(struct sona_pending *pending, uint64_t id, uint64_t owner,
                              float quality, uint32_t latency_us, uint64_t now_ms, bool on_its_way,
                              struct sona_pending_joined *ret, bool *joined)
{
    uint32_t place = sona_pending_pool_find(&pending->waiting_pool, id);
    uint32_t done;

    *joined = false;
    COUNT(pending, outcomes);
    if (place != SONA_PENDING_NONE) {
        if (pending->waiting[place].owner != owner)
            return refuse(pending, SONA_COUNTER_drop_foreign, SONA_E_PERMISSION);
        if (outlived(pending, pending->waiting[place].begun_ms, now_ms)) {
            abandon(pending, place);
            return refuse(pending, SONA_COUNTER_drop_expired, SONA_E_TIMEOUT);
        }
        join(pending, place, quality, latency_us, ret);
        *joined = true;
        return SONA_OK;
    }
    done = sona_pending_pool_find(&pending->settled_pool, id);
    if (done != SONA_PENDING_NONE) {
        if (pending->settled[done].owner != owner)
            return refuse(pending, SONA_COUNTER_drop_foreign, SONA_E_PERMISSION);
        if (pending->settled[done].abandoned)
            return refuse(pending, SONA_COUNTER_drop_expired, SONA_E_TIMEOUT);
        return refuse(pending, SONA_COUNTER_drop_duplicate, SONA_E_DUPLICATE);
    }
    if (!on_its_way)
        return refuse(pending, SONA_COUNTER_drop_unknown_id, SONA_E_UNKNOWN_ID);
    return park(
        pending, id,
        &(struct parked){
            .owner = owner, .since_ms = now_ms, .quality = quality, .latency_us = latency_us});
}

void sona_pending_expire(struct sona_pending *pending, uint64_t now_ms, uint32_t budget)
{
    struct sona_pending_pool *waiting = &pending->waiting_pool;
    struct sona_pending_pool *parked = &pending->parked_pool;

    /* Both lists are in order of arrival, hence of age: the first young one ends the walk. */
    for (; budget > 0 && waiting->oldest != SONA_PENDING_NONE; budget--) {
        if (!outlived(pending, pending->waiting[waiting->oldest].begun_ms, now_ms))
            break;
        abandon(pending, waiting->oldest);
    }
    for (; budget > 0 && parked->oldest != SONA_PENDING_NONE; budget--) {
        if (!outlived(pending, pending->parked[parked->oldest].since_ms, now_ms))
            break;
        COUNT(pending, drop_unknown_id);
        sona_pending_pool_give(parked, parked->oldest);
    }
}

void sona_pending_unpark(struct sona_pending *pending, uint64_t tag, uint64_t mask)
{
    struct sona_pending_pool *pool = &pending->parked_pool;

    for (uint32_t at = pool->oldest; at != SONA_PENDING_NONE;) {
        uint32_t newer = pool->links[at].newer;

        if ((pool->links[at].id & mask) == tag) {
            COUNT(pending, drop_unknown_id);
            sona_pending_pool_give(pool, at);
        }
        at = newer;
    }
}

void sona_pending_stats(const struct sona_pending *pending, sona_stats *stats)
{
    for (int i = 0; i < SONA_COUNTER_COUNT; i++)
        stats->counter[i] += pending->counter[i];
    stats->pending += pending->waiting_pool.taken;
    stats->parked_now += pending->parked_pool.taken;
}
