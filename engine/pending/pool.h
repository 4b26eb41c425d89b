/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A fixed number of places, each named by an id while it is taken: a chained hash to find them, a
 * list in order of arrival to forget the oldest, a list of free ones. What lies in a place is the
 * caller's, in an array of its own.
 *
 *     buckets  id -> place -> place ...          (chain, the newest first)
 *     order    oldest <-> ... <-> newest
 *     free     place -> place ...                (through chain)
 *
 * Invariants: a place is either free or in one chain and in the order list; `taken` counts the
 * latter. Several places may have one id; find() gives the newest, find_next() the others.
 */
#ifndef SONA_ENGINE_PENDING_POOL_H
#define SONA_ENGINE_PENDING_POOL_H

#include <stddef.h>
#include <stdint.h>

#define SONA_PENDING_NONE UINT32_MAX

struct sona_pending_link {
    uint64_t id;
    uint32_t chain;        /* next in the bucket, or next free */
    uint32_t older, newer; /* order of arrival */
};

struct sona_pending_pool {
    struct sona_pending_link *links;
    uint32_t *buckets;
    uint32_t capacity, bucket_mask;
    uint32_t taken;
    uint32_t free;
    uint32_t oldest, newest;
};

/* Bytes of links and buckets, a multiple of 64, and their initialisation. */
size_t sona_pending_pool_bytes(uint32_t capacity);
void sona_pending_pool_init(struct sona_pending_pool *pool, void *memory, uint32_t capacity);

/* The newest place with this id, or SONA_PENDING_NONE; then the next older ones. */
uint32_t sona_pending_pool_find(const struct sona_pending_pool *pool, uint64_t id);
uint32_t sona_pending_pool_find_next(const struct sona_pending_pool *pool, uint32_t place);

/* This id will be looked for, taken or given soon: have its bucket at hand. Changes nothing. */
void sona_pending_pool_expect(const struct sona_pending_pool *pool, uint64_t id);

/* Take a free place as the newest; SONA_PENDING_NONE when there is none. */
uint32_t sona_pending_pool_take(struct sona_pending_pool *pool, uint64_t id);
/* Give a place back. */
void sona_pending_pool_give(struct sona_pending_pool *pool, uint32_t place);

#endif
