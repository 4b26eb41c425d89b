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
 *     add ──► waiting ──outcome──► settled (told) ──revoke──► settled (revoked)
 *               │  ├──revoke───► settled (revoked)
 *               │  └──window───► settled (expired), perhaps with a default quality
 *               └──arena full──► forgotten (evicted)
 *     outcome or revocation, decision on its way ──► parked ──add──► the same as above
 *
 * Accounting, checked by the tests after every operation: the books of sona/stats.h.
 */
#include <assert.h>
#include <string.h>

#include "engine/pending/table.h"

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
           round_up(capacity * sizeof(struct sona_pending_settled)) +
           round_up(SONA_PENDING_PARKED_MAX * sizeof(struct sona_pending_parked)) +
           round_up((size_t)capacity * dim_padded * sizeof(float));
}

static void *carve(char **at, size_t bytes)
{
    void *ret = *at;

    *at += bytes;
    return ret;
}

struct sona_pending *sona_pending_init(void *memory, uint32_t capacity, uint32_t dim_padded,
                                       uint64_t window_ms, uint32_t max_steps,
                                       float default_quality)
{
    char *at = memory;
    struct sona_pending *pending = carve(&at, round_up(sizeof(*pending)));

    assert((uintptr_t)memory % 64 == 0 && capacity >= 1);
    memset(pending, 0, sizeof(*pending));
    pending->dim_padded = dim_padded;
    pending->max_steps = max_steps;
    pending->window_ms = window_ms;
    pending->default_quality = default_quality;

    sona_pending_pool_init(&pending->waiting_pool, carve(&at, sona_pending_pool_bytes(capacity)),
                           capacity);
    sona_pending_pool_init(&pending->settled_pool, carve(&at, sona_pending_pool_bytes(capacity)),
                           capacity);
    sona_pending_pool_init(&pending->parked_pool,
                           carve(&at, sona_pending_pool_bytes(SONA_PENDING_PARKED_MAX)),
                           SONA_PENDING_PARKED_MAX);
    pending->waiting = carve(&at, round_up(capacity * sizeof(struct sona_pending_entry)));
    pending->settled = carve(&at, round_up(capacity * sizeof(struct sona_pending_settled)));
    pending->parked =
        carve(&at, round_up(SONA_PENDING_PARKED_MAX * sizeof(struct sona_pending_parked)));
    pending->vectors = carve(&at, round_up((size_t)capacity * dim_padded * sizeof(float)));
    assert((size_t)(at - (char *)memory) == sona_pending_bytes(capacity, dim_padded));
    return pending;
}

void sona_pending_use_sums(struct sona_pending *pending, struct sona_pending_sums *sums)
{
    pending->sums = sums;
}

/* A waiting entry's place is free; what its steps left can be read until the next step. */
static void give_waiting(struct sona_pending *pending, uint32_t place)
{
    if (pending->sums != NULL)
        sona_pending_sums_give(pending->sums, pending->waiting[place].sums);
    sona_pending_pool_give(&pending->waiting_pool, place);
}

/* A clock that went back makes nothing older. */
static bool outlived(const struct sona_pending *pending, uint64_t since_ms, uint64_t now_ms)
{
    return now_ms > since_ms && now_ms - since_ms > pending->window_ms;
}

/* Each new one pushes one out: the next to go is known long before. */
static void forget_oldest(struct sona_pending_pool *pool)
{
    sona_pending_pool_give(pool, pool->oldest);
    if (pool->oldest != SONA_PENDING_NONE)
        sona_pending_pool_expect(pool, pool->links[pool->oldest].id);
}

/* Move a waiting entry among the settled ones; the oldest of those is forgotten for it if need be.
 * Its vector stays readable until the place is taken again. */
static void settle(struct sona_pending *pending, uint32_t place, enum sona_pending_fate fate,
                   float quality)
{
    const struct sona_pending_entry *entry = &pending->waiting[place];
    struct sona_pending_pool *pool = &pending->settled_pool;
    uint32_t to;

    if (pool->taken == pool->capacity)
        forget_oldest(pool);
    to = sona_pending_pool_take(pool, entry->id);
    pending->settled[to] = (struct sona_pending_settled){
        .owner = entry->owner, .begun_ms = entry->begun_ms, .fate = fate, .quality = quality};
    give_waiting(pending, place);
}

/* A decision that gets the default quality when its window ends. */
static bool has_default(const struct sona_pending *pending, uint32_t place)
{
    return pending->default_quality >= 0 && pending->waiting[place].kind == SONA_PENDING_DECISION;
}

static void abandon(struct sona_pending *pending, uint32_t place)
{
    COUNT(pending, drop_abandoned);
    settle(pending, place, SONA_PENDING_EXPIRED, 0);
}

static void withdraw(struct sona_pending *pending, uint32_t place)
{
    COUNT(pending, withdrawn);
    settle(pending, place, SONA_PENDING_REVOKED, 0);
}

static void join(struct sona_pending *pending, uint32_t place, float quality, uint32_t latency_us,
                 struct sona_pending_joined *ret)
{
    *ret = (struct sona_pending_joined){
        .entry = pending->waiting[place], .quality = quality, .latency_us = latency_us};
    COUNT(pending, joined);
    if (quality >= 0.5f)
        COUNT(pending, positive_feedback);
    else
        COUNT(pending, negative_feedback);
    if (latency_us > 0)
        COUNT(pending, latencies);
    pending->counter[SONA_COUNTER_latency_us] += latency_us;
    settle(pending, place, SONA_PENDING_TOLD, quality);
}

/* Resolve the owner's parked word with the entry that has just come, and refuse those of others.
 * At most one is the owner's. */
static bool join_parked(struct sona_pending *pending, uint32_t place,
                        struct sona_pending_joined *ret)
{
    const struct sona_pending_entry entry = pending->waiting[place];
    bool joined = false;

    for (;;) {
        uint32_t at = sona_pending_pool_find(&pending->parked_pool, entry.id);

        if (at == SONA_PENDING_NONE)
            return joined;
        const struct sona_pending_parked *parked = &pending->parked[at];
        if (parked->owner != entry.owner) {
            COUNT(pending, drop_foreign);
        } else if (parked->revoke) {
            withdraw(pending, place);
        } else {
            join(pending, place, parked->quality, parked->latency_us, ret);
            joined = true;
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
        COUNT(pending, strays);
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
        give_waiting(pending, pool->oldest);
    }
    place = sona_pending_pool_take(pool, entry->id);
    vector = pending->vectors + (size_t)place * pending->dim_padded;
    memcpy(vector, entry->x, pending->dim_padded * sizeof(float));

    kept = &pending->waiting[place];
    *kept = *entry;
    kept->begun_ms = now_ms;
    kept->steps = 0;
    kept->reward_sum = 0;
    kept->sums = SONA_PENDING_NO_SUM;
    kept->type = SONA_PATTERN_GENERAL;
    kept->x = vector;
    /* Ids of a lane count up. */
    sona_pending_pool_expect(pool, entry->id + 1);
    sona_pending_pool_expect(&pending->settled_pool, entry->id + 1);
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
    COUNT(pending, strays);
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

void sona_pending_activations(struct sona_pending *pending, uint64_t id,
                              const struct sona_pending_activations *step)
{
    uint32_t place = sona_pending_pool_find(&pending->waiting_pool, id);

    if (place == SONA_PENDING_NONE || pending->sums == NULL)
        return;
    if (!sona_pending_sums_add(pending->sums, &pending->waiting[place].sums, step))
        COUNT(pending, drop_step_sums);
}

void sona_pending_note(struct sona_pending *pending, uint32_t node, float score, float reward,
                       uint32_t latency_us)
{
    sona_pending_nodes_add(&pending->nodes, node, score, reward, latency_us);
}

sona_err sona_pending_context(struct sona_pending *pending, uint64_t id, sona_pattern_type type)
{
    uint32_t place = sona_pending_pool_find(&pending->waiting_pool, id);

    if (place == SONA_PENDING_NONE)
        return refuse_absent(pending, id);
    COUNT(pending, contexts);
    if (type != SONA_PATTERN_GENERAL)
        pending->waiting[place].type = (uint16_t)type;
    return SONA_OK;
}

sona_err sona_pending_route(struct sona_pending *pending, uint64_t id, sona_route route)
{
    uint32_t place = sona_pending_pool_find(&pending->waiting_pool, id);

    if (place == SONA_PENDING_NONE)
        return refuse_absent(pending, id);
    /* A decision's route was drawn with a known propensity; another route would belie it. */
    if (pending->waiting[place].kind != SONA_PENDING_TRAJECTORY) {
        COUNT(pending, strays);
        return refuse(pending, SONA_COUNTER_drop_unknown_id, SONA_E_UNKNOWN_ID);
    }
    pending->waiting[place].route = route;
    return SONA_OK;
}

/* What a second word does to one of the same owner that is parked: the later outcome counts, and a
 * revocation beats every outcome. Counted as if the first had been learned. */
static sona_err park_again(struct sona_pending *pending, struct sona_pending_parked *first,
                           const struct sona_pending_parked *second)
{
    if (first->revoke)
        return refuse(pending, SONA_COUNTER_drop_revoked, SONA_E_DUPLICATE);
    if (second->revoke) {
        COUNT(pending, drop_revoked); /* the outcome; the revocation waits in its place */
        first->revoke = true;
        return SONA_OK;
    }
    if (first->quality == second->quality)
        return refuse(pending, SONA_COUNTER_drop_duplicate, SONA_E_DUPLICATE);
    COUNT(pending, replacing);
    COUNT(pending, replaced);
    first->quality = second->quality;
    first->latency_us = second->latency_us;
    return SONA_OK;
}

/* Keep a word for the decision that is on its way. One per owner: somebody else's for the same id
 * must not keep the owner's out. */
static sona_err park(struct sona_pending *pending, uint64_t id,
                     const struct sona_pending_parked *word)
{
    struct sona_pending_pool *pool = &pending->parked_pool;
    uint32_t at;

    for (at = sona_pending_pool_find(pool, id); at != SONA_PENDING_NONE;
         at = sona_pending_pool_find_next(pool, at))
        if (pending->parked[at].owner == word->owner)
            return park_again(pending, &pending->parked[at], word);
    at = sona_pending_pool_take(pool, id);
    if (at == SONA_PENDING_NONE)
        return refuse(pending, SONA_COUNTER_drop_parked_full, SONA_E_LIMIT);
    pending->parked[at] = *word;
    COUNT(pending, parked);
    return SONA_OK;
}

/* SONA_OK when the waiting entry may still be spoken about. */
static sona_err check_waiting(struct sona_pending *pending, uint32_t place, uint64_t owner,
                              uint64_t now_ms)
{
    if (pending->waiting[place].owner != owner)
        return refuse(pending, SONA_COUNTER_drop_foreign, SONA_E_PERMISSION);
    if (!outlived(pending, pending->waiting[place].begun_ms, now_ms))
        return SONA_OK;
    if (!has_default(pending, place)) /* else it waits for the default, a tick away */
        abandon(pending, place);
    return refuse(pending, SONA_COUNTER_drop_expired, SONA_E_TIMEOUT);
}

/* A second word about a settled entry. */
static sona_err speak_again(struct sona_pending *pending, uint32_t place, uint64_t id,
                            const struct sona_pending_parked *word, struct sona_pending_joined *ret)
{
    struct sona_pending_settled *settled = &pending->settled[place];

    if (settled->owner != word->owner)
        return refuse(pending, SONA_COUNTER_drop_foreign, SONA_E_PERMISSION);
    if (settled->fate == SONA_PENDING_REVOKED)
        return refuse(pending, SONA_COUNTER_drop_revoked, SONA_E_DUPLICATE);
    if (settled->fate == SONA_PENDING_TOLD && !word->revoke && settled->quality == word->quality)
        return refuse(pending, SONA_COUNTER_drop_duplicate, SONA_E_DUPLICATE);
    if (settled->fate == SONA_PENDING_EXPIRED ||
        outlived(pending, settled->begun_ms, word->since_ms))
        return refuse(pending, SONA_COUNTER_drop_expired, SONA_E_TIMEOUT);
    *ret = (struct sona_pending_joined){
        .word = word->revoke ? SONA_PENDING_REVOKING : SONA_PENDING_REPLACING,
        .entry = {.id = id, .owner = word->owner, .route = SONA_ROUTE_NONE},
        .quality = word->quality,
        .latency_us = word->latency_us,
    };
    if (word->revoke) {
        COUNT(pending, revoking);
        settled->fate = SONA_PENDING_REVOKED;
    } else {
        COUNT(pending, replacing);
        settled->quality = word->quality;
    }
    return SONA_OK;
}

/* One word about an id, wherever the id stands. */
static sona_err speak(struct sona_pending *pending, uint64_t id,
                      const struct sona_pending_parked *word, bool on_its_way,
                      struct sona_pending_joined *ret, bool *joined)
{
    uint32_t place = sona_pending_pool_find(&pending->waiting_pool, id);
    sona_err err;

    *joined = false;
    if (place != SONA_PENDING_NONE) {
        err = check_waiting(pending, place, word->owner, word->since_ms);
        if (err != SONA_OK)
            return err;
        if (word->revoke) {
            withdraw(pending, place);
            return SONA_OK;
        }
        join(pending, place, word->quality, word->latency_us, ret);
        *joined = true;
        return SONA_OK;
    }
    place = sona_pending_pool_find(&pending->settled_pool, id);
    if (place != SONA_PENDING_NONE) {
        err = speak_again(pending, place, id, word, ret);
        *joined = err == SONA_OK;
        return err;
    }
    if (!on_its_way)
        return refuse(pending, SONA_COUNTER_drop_unknown_id, SONA_E_UNKNOWN_ID);
    return park(pending, id, word);
}

sona_err sona_pending_outcome(struct sona_pending *pending, uint64_t id, uint64_t owner,
                              float quality, uint32_t latency_us, uint64_t now_ms, bool on_its_way,
                              struct sona_pending_joined *ret, bool *joined)
{
    COUNT(pending, outcomes);
    return speak(
        pending, id,
        &(struct sona_pending_parked){
            .owner = owner, .since_ms = now_ms, .quality = quality, .latency_us = latency_us},
        on_its_way, ret, joined);
}

sona_err sona_pending_revoke(struct sona_pending *pending, uint64_t id, uint64_t owner,
                             uint64_t now_ms, bool on_its_way, struct sona_pending_joined *ret,
                             bool *joined)
{
    COUNT(pending, revokes);
    return speak(pending, id,
                 &(struct sona_pending_parked){.owner = owner, .since_ms = now_ms, .revoke = true},
                 on_its_way, ret, joined);
}

bool sona_pending_is_due(const struct sona_pending *pending, uint64_t now_ms)
{
    uint32_t waiting = pending->waiting_pool.oldest, parked = pending->parked_pool.oldest;

    return (waiting != SONA_PENDING_NONE &&
            outlived(pending, pending->waiting[waiting].begun_ms, now_ms)) ||
           (parked != SONA_PENDING_NONE &&
            outlived(pending, pending->parked[parked].since_ms, now_ms));
}

bool sona_pending_expire(struct sona_pending *pending, uint64_t now_ms, uint32_t *budget,
                         struct sona_pending_joined *ret)
{
    struct sona_pending_pool *waiting = &pending->waiting_pool;
    struct sona_pending_pool *parked = &pending->parked_pool;

    /* Both lists are in order of arrival, hence of age: the first young one ends the walk. */
    for (; *budget > 0 && waiting->oldest != SONA_PENDING_NONE; (*budget)--) {
        uint32_t place = waiting->oldest;

        if (!outlived(pending, pending->waiting[place].begun_ms, now_ms))
            break;
        if (has_default(pending, place)) {
            *ret = (struct sona_pending_joined){.entry = pending->waiting[place],
                                                .quality = pending->default_quality};
            COUNT(pending, defaulted);
            settle(pending, place, SONA_PENDING_EXPIRED, 0);
            (*budget)--;
            return true;
        }
        abandon(pending, place);
    }
    for (; *budget > 0 && parked->oldest != SONA_PENDING_NONE; (*budget)--) {
        if (!outlived(pending, pending->parked[parked->oldest].since_ms, now_ms))
            break;
        COUNT(pending, drop_unknown_id);
        sona_pending_pool_give(parked, parked->oldest);
    }
    return false;
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
    sona_pending_nodes_tell(&pending->nodes, stats);
}
