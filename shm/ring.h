/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * SPSC rings of fixed-stride records over ConcurrencyKit's ck_ring. ring.c is the only file that
 * includes <ck_ring.h>.
 *
 *   producer  sona_shm_ring_reserve -> write in place -> sona_shm_ring_commit
 *   consumer of a shared lane   sona_shm_drain (private shadow; the shared ck_ring_t is never
 *             operated on: a client may have scribbled on it)
 *   consumer of a private queue sona_shm_queue_peek -> read -> sona_shm_queue_release
 */
#ifndef SONA_SHM_RING_H
#define SONA_SHM_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ck_ring;

/* Producer's end, private to one thread at a time. */
struct sona_shm_ring {
    struct ck_ring *ring;
    char *records;
    uint32_t stride;
    uint32_t slots;
};

/* Initialise the ck_ring in `ring_memory` (256 bytes, 64-byte aligned); slots: a power of two. */
void sona_shm_ring_init(void *ring_memory, uint32_t slots);
/* Bind the producer's end to an initialised ring. */
void sona_shm_ring_bind(struct sona_shm_ring *ret, void *ring_memory, void *records, uint32_t slots,
                        uint32_t stride);
/* [hot] The next slot to write, or null when full. Not committed until told; asking again gives the
 * same slot. */
void *sona_shm_ring_reserve(struct sona_shm_ring *ring);
/* [hot] Make the reserved slot visible to the consumer, and prefetch the next one for writing. */
void sona_shm_ring_commit(struct sona_shm_ring *ring);

/* Records committed and not yet given back; any thread of the producer's process. */
uint32_t sona_shm_ring_used(const struct sona_shm_ring *ring);

/* Consumer's shadow of a shared lane: nothing but `p_tail` is read from shared memory, and that is
 * judged. */
struct sona_shm_drain {
    struct ck_ring *ring; /* shared */
    const char *records;  /* shared */
    uint32_t stride, slots;
    uint64_t cursor; /* 64-bit sequence of the next record to take */
};
void sona_shm_drain_bind(struct sona_shm_drain *ret, void *ring_memory, const void *records,
                         uint32_t slots, uint32_t stride, uint64_t cursor);
/* Go on at the drain's cursor in a ring that another consumer has drained: everything before it is
 * given back (the one before was killed before it could), nothing is read twice. False: the ring's
 * c_head is ahead of the cursor or more than a ring behind it, or p_tail makes no sense: no
 * consumer of ours left it so. */
bool sona_shm_drain_resume(struct sona_shm_drain *drain);
/* What resume would say, with nothing given back, of a ring that others may be using: how many
 * records are committed beyond the cursor; -1: its indices and the cursor contradict each other, at
 * least as they were read one after the other. *ret_head: c_head as it was read. */
int64_t sona_shm_drain_look(const struct sona_shm_drain *drain, uint32_t *ret_head);
/* How many records are committed beyond the cursor; -1: the producer's index makes no sense. */
int64_t sona_shm_drain_ready(const struct sona_shm_drain *drain);
/* One memcpy of the record `ahead` of the cursor into private memory (ahead < ready). */
void sona_shm_drain_copy(const struct sona_shm_drain *drain, uint32_t ahead, void *ret);
/* Advance the cursor by n and give the slots back to the producer: one store, after the copies. */
void sona_shm_drain_advance(struct sona_shm_drain *drain, uint32_t n);

/* A private SPSC queue between two threads of one process: one allocation by the caller. */
struct sona_shm_queue;
size_t sona_shm_queue_bytes(uint32_t slots, uint32_t stride);
struct sona_shm_queue *sona_shm_queue_init(void *memory, uint32_t slots, uint32_t stride);
void *sona_shm_queue_reserve(struct sona_shm_queue *queue); /* producer; null when full */
/* Producer: how much of it is taken, 0..1. */
double sona_shm_queue_full(const struct sona_shm_queue *queue);
void sona_shm_queue_commit(struct sona_shm_queue *queue);
void *sona_shm_queue_peek(struct sona_shm_queue *queue); /* consumer; null when empty */
/* Consumer: the `k`th behind the oldest; null when there are not so many. */
void *sona_shm_queue_peek_at(struct sona_shm_queue *queue, uint32_t k);
void sona_shm_queue_release(struct sona_shm_queue *queue);

#endif
