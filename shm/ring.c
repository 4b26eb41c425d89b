/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Rings of fixed-stride records. ck_ring knows its element size at compile time and ours comes from
 * the geometry, so ck_ring is typed over one byte: the "slot" it hands out is an index, and the
 * record is written in place at index * stride.
 *
 *     c_head ──► taken          p_tail ──► committed          32-bit counters that wrap; the slot
 * is consumer stores           producer stores               counter & (slots - 1); full at slots -
 * 1
 *
 * Orders:
 *   [R1] commit's store of p_tail (release) pairs with [R2] the consumer's load of p_tail
 * (acquire): a consumer that sees the counter sees the record. [R3] the consumer's store of c_head
 * (release) pairs with [R4] reserve's load of c_head: a producer that sees a slot given back
 * overwrites it after it was copied. ck leaves [R4] to the control dependency; the acquire fence
 * behind it says so to the compiler and to ARM. The consumer's side is our own C11 code in every
 * build: ck's dequeue orders its loads with a store fence, which is too weak on ARM, and it
 * believes the shared indices, which a client may have scribbled on. With SONA_TSAN the producer's
 * side is C11 too, because ThreadSanitizer cannot see the order of ck's assembly.
 */
#include "shm/ring.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "shm/layout.h"

/* The ring's words as C11 atomics. */
struct words {
    _Atomic uint32_t c_head;
    char pad0[60];
    _Atomic uint32_t p_tail;
    uint32_t p_head; /* ck's multi-producer rings only */
    char pad1[56];
    uint32_t size, mask;
};
static_assert(offsetof(struct words, p_tail) == 64, "own line for the producer");
static_assert(sizeof(struct words) <= sizeof(((struct sona_shm_lane *)0)->ring), "ring area");
static_assert(sizeof(_Atomic uint32_t) == sizeof(uint32_t), "atomics lie flat");

/* No slot: the ring is full. */
#define NONE UINT32_MAX

#ifdef SONA_TSAN

static uint32_t producer_index(struct words *w, void *records, uint32_t slots)
{
    uint32_t tail = atomic_load_explicit(&w->p_tail, memory_order_relaxed); /* our own word */
    uint32_t head = atomic_load_explicit(&w->c_head, memory_order_acquire); /* [R4] */

    (void)records;
    return ((tail + 1 - head) & (slots - 1)) == 0 ? NONE : tail & (slots - 1);
}

static void producer_commit(struct words *w)
{
    uint32_t tail = atomic_load_explicit(&w->p_tail, memory_order_relaxed); /* our own word */

    atomic_store_explicit(&w->p_tail, tail + 1, memory_order_release); /* [R1] */
}

static void words_init(struct words *w, uint32_t slots)
{
    memset(w, 0, sizeof *w);
    w->size = slots;
    w->mask = slots - 1;
}

#else

#include <ck_ring.h>

static_assert(sizeof(struct ck_ring) <= sizeof(((struct sona_shm_lane *)0)->ring), "ring area");
static_assert(offsetof(struct ck_ring, c_head) == offsetof(struct words, c_head), "ck layout");
static_assert(offsetof(struct ck_ring, p_tail) == offsetof(struct words, p_tail), "ck layout");
static_assert(offsetof(struct ck_ring, p_head) == offsetof(struct words, p_head), "ck layout");
static_assert(offsetof(struct ck_ring, size) == offsetof(struct words, size), "ck layout");
static_assert(offsetof(struct ck_ring, mask) == offsetof(struct words, mask), "ck layout");
static_assert(sizeof(unsigned int) == sizeof(uint32_t), "ck counts in unsigned int");

struct slot {
    char index; /* never read or written: only its address counts */
};
static_assert(sizeof(struct slot) == 1, "the distance of two slots is the distance of two indices");
CK_RING_PROTOTYPE(slot, slot)

/* The macro CK_RING_ENQUEUE_RESERVE_SPSC of ck 0.7.1 passes one argument too many, hence the call
 * of the function behind it. The base is only an address to count from; records are larger. */
static uint32_t producer_index(struct words *w, void *records, uint32_t slots)
{
    struct slot *base = records;
    struct slot *slot = ck_ring_enqueue_reserve_spsc_slot((struct ck_ring *)(void *)w, base);

    if (!slot)
        return NONE;
    atomic_thread_fence(memory_order_acquire); /* [R4] */
    /* ck took the mask from shared memory; the private size has the last word. */
    return (uint32_t)((uintptr_t)slot - (uintptr_t)base) & (slots - 1);
}

static void producer_commit(struct words *w)
{
    /* [R1] ck's own store fence comes from a header that was configured for the processor the
     * package was built on; this one is right wherever we are compiled, and free on x86. */
    atomic_thread_fence(memory_order_release);
    ck_ring_enqueue_commit_spsc((struct ck_ring *)(void *)w);
}

static void words_init(struct words *w, uint32_t slots)
{
    memset(w, 0, sizeof *w);
    ck_ring_init((struct ck_ring *)(void *)w, slots);
}

#endif

/* Ask for the line of the next record before it is needed: the consumer had it last. */
static void prefetch_for_write(const void *line)
{
#if defined(__x86_64__)
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)line));
#else
    __builtin_prefetch(line, 1, 3);
#endif
}

void sona_shm_ring_init(void *ring_memory, uint32_t slots)
{
    words_init(ring_memory, slots);
}

void sona_shm_ring_bind(struct sona_shm_ring *ret, void *ring_memory, void *records, uint32_t slots,
                        uint32_t stride)
{
    *ret = (struct sona_shm_ring){
        .ring = ring_memory, .records = records, .stride = stride, .slots = slots};
}

void *sona_shm_ring_reserve(struct sona_shm_ring *ring)
{
    uint32_t index = producer_index((struct words *)(void *)ring->ring, ring->records, ring->slots);

    return index == NONE ? NULL : ring->records + (size_t)index * ring->stride;
}

void sona_shm_ring_commit(struct sona_shm_ring *ring)
{
    struct words *w = (struct words *)(void *)ring->ring;

    producer_commit(w);
    uint32_t tail = atomic_load_explicit(&w->p_tail, memory_order_relaxed); /* our own word */
    const char *next = ring->records + (size_t)(tail & (ring->slots - 1)) * ring->stride;
    prefetch_for_write(next);
    prefetch_for_write(next + 64);
}

uint32_t sona_shm_ring_used(const struct sona_shm_ring *ring)
{
    struct words *w = (struct words *)(void *)ring->ring;
    /* Relaxed: a number for people, of two words that move. */
    uint32_t head = atomic_load_explicit(&w->c_head, memory_order_relaxed);
    uint32_t tail = atomic_load_explicit(&w->p_tail, memory_order_relaxed);

    return tail - head <= ring->slots - 1 ? tail - head : 0;
}

void sona_shm_drain_bind(struct sona_shm_drain *ret, void *ring_memory, const void *records,
                         uint32_t slots, uint32_t stride, uint64_t cursor)
{
    *ret = (struct sona_shm_drain){.ring = ring_memory,
                                   .records = records,
                                   .stride = stride,
                                   .slots = slots,
                                   .cursor = cursor};
}

/* The cursor is moved before c_head. So c_head is at the cursor, or behind it by what was noted and
 * not given back yet: duplicates. All in 32 bits that wrap; the cursor has the upper half. */
bool sona_shm_drain_resume(struct sona_shm_drain *drain)
{
    struct words *w = (struct words *)(void *)drain->ring;
    uint32_t head;

    if (sona_shm_drain_look(drain, &head) < 0)
        return false;
    atomic_store_explicit(&w->c_head, (uint32_t)drain->cursor, memory_order_release); /* [R3] */
    return true;
}

int64_t sona_shm_drain_look(const struct sona_shm_drain *drain, uint32_t *ret_head)
{
    const struct words *w = (const struct words *)(const void *)drain->ring;

    /* Acquire: the cursor is read again after it, should its writer live. */
    *ret_head = atomic_load_explicit(&w->c_head, memory_order_acquire);
    if ((uint32_t)drain->cursor - *ret_head > drain->slots - 1)
        return -1;
    return sona_shm_drain_ready(drain);
}

int64_t sona_shm_drain_ready(const struct sona_shm_drain *drain)
{
    struct words *w = (struct words *)(void *)drain->ring;
    uint32_t tail = atomic_load_explicit(&w->p_tail, memory_order_acquire); /* [R2] */
    uint32_t ready = tail - (uint32_t)drain->cursor;

    return ready <= drain->slots - 1 ? (int64_t)ready : -1;
}

void sona_shm_drain_copy(const struct sona_shm_drain *drain, uint32_t ahead, void *ret)
{
    uint32_t index = ((uint32_t)drain->cursor + ahead) & (drain->slots - 1);

    memcpy(ret, drain->records + (size_t)index * drain->stride, drain->stride);
}

void sona_shm_drain_advance(struct sona_shm_drain *drain, uint32_t n)
{
    struct words *w = (struct words *)(void *)drain->ring;

    drain->cursor += n;
    atomic_store_explicit(&w->c_head, (uint32_t)drain->cursor, memory_order_release); /* [R3] */
}

/* Each side's own fields on lines of their own; the ring's words keep ck's spacing. */
struct sona_shm_queue {
    struct words words;
    char pad0[256 - sizeof(struct words)];
    uint32_t slots, stride; /* constant */
    char pad1[128 - 8];
    uint32_t head, tail; /* consumer: its counter, and the newest p_tail it saw */
    char pad2[128 - 8];
    char records[];
};
static_assert(offsetof(struct sona_shm_queue, records) == 512, "queue head");

size_t sona_shm_queue_bytes(uint32_t slots, uint32_t stride)
{
    return sizeof(struct sona_shm_queue) + (size_t)slots * stride;
}

struct sona_shm_queue *sona_shm_queue_init(void *memory, uint32_t slots, uint32_t stride)
{
    struct sona_shm_queue *queue = memory;

    memset(queue, 0, sizeof *queue);
    words_init(&queue->words, slots);
    queue->slots = slots;
    queue->stride = stride;
    return queue;
}

void *sona_shm_queue_reserve(struct sona_shm_queue *queue)
{
    uint32_t index = producer_index(&queue->words, queue->records, queue->slots);

    return index == NONE ? NULL : queue->records + (size_t)index * queue->stride;
}

double sona_shm_queue_full(const struct sona_shm_queue *queue)
{
    /* Relaxed: our own index, and a consumer's that may be a little old. */
    uint32_t tail = atomic_load_explicit(&queue->words.p_tail, memory_order_relaxed);
    uint32_t head = atomic_load_explicit(&queue->words.c_head, memory_order_relaxed);

    return (double)(tail - head) / (double)queue->slots;
}

void sona_shm_queue_commit(struct sona_shm_queue *queue)
{
    producer_commit(&queue->words);
}

void *sona_shm_queue_peek_at(struct sona_shm_queue *queue, uint32_t k)
{
    if (queue->tail - queue->head <= k)
        queue->tail = atomic_load_explicit(&queue->words.p_tail, memory_order_acquire); /* [R2] */
    if (queue->tail - queue->head <= k)
        return NULL;
    return queue->records + (size_t)((queue->head + k) & (queue->slots - 1)) * queue->stride;
}

void *sona_shm_queue_peek(struct sona_shm_queue *queue)
{
    return sona_shm_queue_peek_at(queue, 0);
}

void sona_shm_queue_release(struct sona_shm_queue *queue)
{
    queue->head++;
    atomic_store_explicit(&queue->words.c_head, queue->head, memory_order_release); /* [R3] */
}
