/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Producer and consumer on one ring, and on one queue: every record arrives once, whole, in order.
 *     rings [RECORDS]
 */
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "shm/ring.h"
#include "tap.h"

#define SLOTS 64u
#define WORDS 24u /* of a record */

static uint64_t records = 1000000;

static alignas(128) unsigned char ring_memory[256];
static alignas(128) uint64_t ring_records[SLOTS * WORDS];
static struct sona_shm_queue *queue;

static void write_record(uint64_t *record, uint64_t n)
{
    for (uint32_t i = 0; i < WORDS; i++)
        record[i] = n * 31 + i;
}

/* 1 when any word is not of record n. */
static uint64_t wrong(const uint64_t *record, uint64_t n)
{
    for (uint32_t i = 0; i < WORDS; i++)
        if (record[i] != n * 31 + i)
            return 1;
    return 0;
}

static void *ring_producer(void *arg)
{
    struct sona_shm_ring ring;

    (void)arg;
    sona_shm_ring_bind(&ring, ring_memory, ring_records, SLOTS, WORDS * 8);
    for (uint64_t n = 0; n < records;) {
        uint64_t *record = sona_shm_ring_reserve(&ring);

        if (!record) {
            (void)sched_yield();
            continue;
        }
        write_record(record, n++);
        sona_shm_ring_commit(&ring);
    }
    return NULL;
}

static void *queue_producer(void *arg)
{
    (void)arg;
    for (uint64_t n = 0; n < records;) {
        uint64_t *record = sona_shm_queue_reserve(queue);

        if (!record) {
            (void)sched_yield();
            continue;
        }
        write_record(record, n++);
        sona_shm_queue_commit(queue);
    }
    return NULL;
}

static void test_ring(struct tap *tap)
{
    struct sona_shm_drain drain;
    pthread_t producer;
    uint64_t taken = 0, bad = 0, refused = 0, batches = 0;

    sona_shm_ring_init(ring_memory, SLOTS);
    sona_shm_drain_bind(&drain, ring_memory, ring_records, SLOTS, WORDS * 8, 0);
    (void)pthread_create(&producer, NULL, ring_producer, NULL);
    while (taken < records) {
        int64_t ready = sona_shm_drain_ready(&drain);
        uint64_t copy[WORDS];

        refused += ready < 0;
        if (ready <= 0) {
            (void)sched_yield();
            continue;
        }
        for (int64_t i = 0; i < ready; i++) {
            sona_shm_drain_copy(&drain, (uint32_t)i, copy);
            bad += wrong(copy, taken + (uint64_t)i);
        }
        sona_shm_drain_advance(&drain, (uint32_t)ready);
        taken += (uint64_t)ready;
        batches++;
    }
    (void)pthread_join(producer, NULL);
    tap_ok(tap, bad == 0 && refused == 0 && sona_shm_drain_ready(&drain) == 0,
           "ring: %llu records in %llu batches, %llu wrong, %llu indices refused",
           (unsigned long long)taken, (unsigned long long)batches, (unsigned long long)bad,
           (unsigned long long)refused);
}

static void test_queue(struct tap *tap)
{
    size_t bytes = (sona_shm_queue_bytes(SLOTS, WORDS * 8) + 127) / 128 * 128;
    void *memory = aligned_alloc(128, bytes);
    pthread_t producer;
    uint64_t taken = 0, bad = 0;

    queue = sona_shm_queue_init(memory, SLOTS, WORDS * 8);
    (void)pthread_create(&producer, NULL, queue_producer, NULL);
    while (taken < records) {
        const uint64_t *record = sona_shm_queue_peek(queue);

        if (!record) {
            (void)sched_yield();
            continue;
        }
        bad += wrong(record, taken++);
        sona_shm_queue_release(queue);
    }
    (void)pthread_join(producer, NULL);
    tap_ok(tap, bad == 0 && !sona_shm_queue_peek(queue), "queue: %llu records, %llu wrong",
           (unsigned long long)taken, (unsigned long long)bad);
    free(memory);
}

int main(int argc, char **argv)
{
    struct tap tap = {0, 0};

    if (argc > 1)
        records = strtoull(argv[1], NULL, 10);
    test_ring(&tap);
    test_queue(&tap);
    return tap_done(&tap);
}
