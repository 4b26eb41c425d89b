/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See pool.h. Every operation but find is O(1); find walks one chain, 1 to 2 places on average. */
#include <assert.h>

#include "engine/pending/pool.h"

/* At least as many buckets as places, a power of two. */
static uint32_t bucket_count(uint32_t capacity)
{
    uint32_t count = 1;

    while (count < capacity)
        count *= 2;
    return count;
}

/* Ids count upwards in their low bits and share the high ones: mix before masking. The multipliers
 * are odd, so nothing is lost; any that spread the bits would do. */
static uint32_t bucket_of(const struct sona_pending_pool *pool, uint64_t id)
{
    id ^= id >> 32;
    id *= 0x9e3779b97f4a7c15u; /* 2^64 over the golden ratio */
    id ^= id >> 29;
    id *= 0xd1342543de82ef95u;
    return (uint32_t)(id >> 32) & pool->bucket_mask;
}

static size_t links_bytes(uint32_t capacity)
{
    return (capacity * sizeof(struct sona_pending_link) + 63) / 64 * 64;
}

size_t sona_pending_pool_bytes(uint32_t capacity)
{
    return links_bytes(capacity) + (bucket_count(capacity) * sizeof(uint32_t) + 63) / 64 * 64;
}

void sona_pending_pool_init(struct sona_pending_pool *pool, void *memory, uint32_t capacity)
{
    assert(capacity >= 1 && capacity <= UINT32_MAX / 2);
    pool->links = memory;
    pool->buckets = (uint32_t *)(void *)((char *)memory + links_bytes(capacity));
    pool->capacity = capacity;
    pool->bucket_mask = bucket_count(capacity) - 1;
    pool->taken = 0;
    pool->oldest = pool->newest = SONA_PENDING_NONE;
    pool->free = 0;
    for (uint32_t i = 0; i <= pool->bucket_mask; i++)
        pool->buckets[i] = SONA_PENDING_NONE;
    for (uint32_t i = 0; i < capacity; i++)
        pool->links[i].chain = i + 1 < capacity ? i + 1 : SONA_PENDING_NONE;
}

void sona_pending_pool_expect(const struct sona_pending_pool *pool, uint64_t id)
{
    __builtin_prefetch(&pool->buckets[bucket_of(pool, id)], 1);
}

static uint32_t find_from(const struct sona_pending_pool *pool, uint32_t place, uint64_t id)
{
    while (place != SONA_PENDING_NONE && pool->links[place].id != id)
        place = pool->links[place].chain;
    return place;
}

uint32_t sona_pending_pool_find(const struct sona_pending_pool *pool, uint64_t id)
{
    return find_from(pool, pool->buckets[bucket_of(pool, id)], id);
}

uint32_t sona_pending_pool_find_next(const struct sona_pending_pool *pool, uint32_t place)
{
    const struct sona_pending_link *link = &pool->links[place];

    return find_from(pool, link->chain, link->id);
}

uint32_t sona_pending_pool_take(struct sona_pending_pool *pool, uint64_t id)
{
    uint32_t place = pool->free;
    struct sona_pending_link *link;
    uint32_t *bucket;

    if (place == SONA_PENDING_NONE)
        return SONA_PENDING_NONE;
    link = &pool->links[place];
    pool->free = link->chain;

    bucket = &pool->buckets[bucket_of(pool, id)];
    link->id = id;
    link->chain = *bucket;
    *bucket = place;

    link->older = pool->newest;
    link->newer = SONA_PENDING_NONE;
    if (pool->newest != SONA_PENDING_NONE)
        pool->links[pool->newest].newer = place;
    else
        pool->oldest = place;
    pool->newest = place;
    pool->taken++;
    return place;
}

void sona_pending_pool_give(struct sona_pending_pool *pool, uint32_t place)
{
    struct sona_pending_link *link = &pool->links[place];
    uint32_t *at = &pool->buckets[bucket_of(pool, link->id)];

    while (*at != place) {
        assert(*at != SONA_PENDING_NONE); /* a place that was not taken */
        at = &pool->links[*at].chain;
    }
    *at = link->chain;

    if (link->older != SONA_PENDING_NONE)
        pool->links[link->older].newer = link->newer;
    else
        pool->oldest = link->newer;
    if (link->newer != SONA_PENDING_NONE)
        pool->links[link->newer].older = link->older;
    else
        pool->newest = link->older;

    link->chain = pool->free;
    pool->free = place;
    pool->taken--;
}
