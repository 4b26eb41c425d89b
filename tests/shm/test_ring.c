/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Rings: full, empty, the wrap of 32-bit counters, and indices that a hostile producer scribbled.
 */
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "shm/ring.h"

#define SLOTS  8u
#define STRIDE 192u

/* Offsets of the ring's words, as the header of shm/ring.c draws them. */
#define C_HEAD 0
#define P_TAIL 64
#define MASK   132

struct lane {
    alignas(64) unsigned char ring[256];
    alignas(64) char records[SLOTS * STRIDE];
    char guard[STRIDE]; /* must stay zero */
    struct sona_shm_ring producer;
    struct sona_shm_drain drain;
};

static void poke(struct lane *lane, size_t offset, uint32_t value)
{
    memcpy(lane->ring + offset, &value, sizeof value);
}

static uint32_t peek(const struct lane *lane, size_t offset)
{
    uint32_t value;

    memcpy(&value, lane->ring + offset, sizeof value);
    return value;
}

/* A ring whose first record has sequence `start`. */
static void lane_init(struct lane *lane, uint64_t start)
{
    memset(lane, 0, sizeof *lane);
    sona_shm_ring_init(lane->ring, SLOTS);
    poke(lane, C_HEAD, (uint32_t)start);
    poke(lane, P_TAIL, (uint32_t)start);
    sona_shm_ring_bind(&lane->producer, lane->ring, lane->records, SLOTS, STRIDE);
    sona_shm_drain_bind(&lane->drain, lane->ring, lane->records, SLOTS, STRIDE, start);
}

static bool push(struct lane *lane, uint64_t value)
{
    char *record = sona_shm_ring_reserve(&lane->producer);

    if (!record)
        return false;
    for (size_t at = 0; at < STRIDE; at += sizeof value)
        memcpy(record + at, &value, sizeof value);
    sona_shm_ring_commit(&lane->producer);
    return true;
}

/* The record `ahead` of the cursor; fails the test when its words differ. */
static uint64_t look(const struct lane *lane, uint32_t ahead)
{
    uint64_t copy[STRIDE / sizeof(uint64_t)];

    sona_shm_drain_copy(&lane->drain, ahead, copy);
    for (size_t i = 1; i < STRIDE / sizeof(uint64_t); i++)
        cr_assert(eq(u64, copy[i], copy[0]), "the copy is one record");
    return copy[0];
}

Test(ring, an_empty_ring_has_nothing_ready)
{
    struct lane lane;

    lane_init(&lane, 0);
    cr_assert(eq(i64, sona_shm_drain_ready(&lane.drain), 0));
    cr_assert(eq(u32, sona_shm_ring_used(&lane.producer), 0));
}

Test(ring, reserving_again_gives_the_same_slot_and_commits_nothing)
{
    struct lane lane;

    lane_init(&lane, 0);
    void *first = sona_shm_ring_reserve(&lane.producer);

    cr_assert(eq(ptr, first, lane.records));
    cr_assert(eq(ptr, sona_shm_ring_reserve(&lane.producer), first));
    cr_assert(eq(i64, sona_shm_drain_ready(&lane.drain), 0));
}

Test(ring, push_to_full_ring_returns_full_and_leaves_it_unchanged)
{
    struct lane lane, before;

    lane_init(&lane, 0);
    for (uint64_t n = 0; n < SLOTS - 1; n++)
        cr_assert(push(&lane, n));
    before = lane;
    cr_assert(not(push(&lane, 99)));
    cr_assert(eq(int, memcmp(&lane, &before, sizeof lane), 0));
    cr_assert(eq(u32, sona_shm_ring_used(&lane.producer), SLOTS - 1));
    cr_assert(eq(i64, sona_shm_drain_ready(&lane.drain), SLOTS - 1));
    for (uint32_t i = 0; i < SLOTS - 1; i++)
        cr_assert(eq(u64, look(&lane, i), i));
}

Test(ring, a_given_back_slot_can_be_written_again)
{
    struct lane lane;

    lane_init(&lane, 0);
    for (uint64_t n = 0; n < SLOTS - 1; n++)
        cr_assert(push(&lane, n));
    sona_shm_drain_advance(&lane.drain, 2);
    cr_assert(push(&lane, 7));
    cr_assert(push(&lane, 8));
    cr_assert(not(push(&lane, 9)));
    cr_assert(eq(i64, sona_shm_drain_ready(&lane.drain), SLOTS - 1));
    cr_assert(eq(u64, look(&lane, 0), 2));
    cr_assert(eq(u64, look(&lane, SLOTS - 2), 8));
}

Test(ring, records_stay_in_order_while_the_32_bit_counters_wrap)
{
    const uint64_t start = (UINT64_C(5) << 32) + UINT32_MAX - 3 * SLOTS;
    struct lane lane;
    uint64_t pushed = start, taken = start;

    lane_init(&lane, start);
    while (taken < start + 10 * SLOTS) {
        while (push(&lane, pushed))
            pushed++;
        cr_assert(eq(u64, pushed, taken + SLOTS - 1), "as many as the ring holds, at %" PRIu64,
                  pushed);
        cr_assert(eq(i64, sona_shm_drain_ready(&lane.drain), SLOTS - 1));
        for (uint32_t i = 0; i < 3; i++)
            cr_assert(eq(u64, look(&lane, i), taken + i));
        sona_shm_drain_advance(&lane.drain, 3);
        taken += 3;
        cr_assert(eq(u64, lane.drain.cursor, taken), "the cursor has 64 bits");
        cr_assert(eq(u32, peek(&lane, C_HEAD), (uint32_t)taken));
    }
}

Test(ring, a_producer_index_beyond_the_ring_is_refused)
{
    struct lane lane;

    lane_init(&lane, 1000);
    push(&lane, 1);
    for (uint64_t p = 0; p <= UINT32_MAX; p += 65537) {
        uint32_t tail = (uint32_t)p;
        uint32_t ahead = tail - 1000;

        poke(&lane, P_TAIL, tail);
        cr_assert(
            eq(i64, sona_shm_drain_ready(&lane.drain), ahead <= SLOTS - 1 ? (int64_t)ahead : -1),
            "p_tail %" PRIu32, tail);
    }
    poke(&lane, P_TAIL, 1000 + SLOTS);
    cr_assert(eq(i64, sona_shm_drain_ready(&lane.drain), -1), "one more than the capacity");
    poke(&lane, P_TAIL, 999);
    cr_assert(eq(i64, sona_shm_drain_ready(&lane.drain), -1), "behind the cursor");
}

Test(ring, the_drain_believes_nothing_shared_but_the_tail)
{
    struct lane lane;

    lane_init(&lane, 0);
    push(&lane, 5);
    for (size_t offset = 0; offset < sizeof lane.ring; offset += 4)
        if (offset != P_TAIL)
            poke(&lane, offset, 0xdeadbeef);
    cr_assert(eq(i64, sona_shm_drain_ready(&lane.drain), 1));
    cr_assert(eq(u64, look(&lane, 0), 5));
}

Test(ring, of_scribbled_counters_nothing_is_said_to_be_in_use)
{
    struct lane lane;

    lane_init(&lane, 0);
    push(&lane, 5);
    cr_expect(eq(u32, sona_shm_ring_used(&lane.producer), 1));
    poke(&lane, P_TAIL, SLOTS);
    cr_expect(eq(u32, sona_shm_ring_used(&lane.producer), 0), "more than there is room for");
    poke(&lane, C_HEAD, SLOTS + 1);
    cr_expect(eq(u32, sona_shm_ring_used(&lane.producer), 0), "less than none");
}

Test(ring, a_scribbled_mask_leads_the_producer_nowhere_outside)
{
    struct lane lane;

    lane_init(&lane, 0);
    for (uint32_t n = 0; n < 4 * SLOTS; n++) {
        poke(&lane, MASK, 0xffffffff);
        poke(&lane, C_HEAD, 0x80000000u + n);
        char *record = sona_shm_ring_reserve(&lane.producer);

        if (record) {
            cr_assert(ge(ptr, record, lane.records));
            cr_assert(lt(ptr, record, lane.records + sizeof lane.records));
            cr_assert(eq(sz, (size_t)(record - lane.records) % STRIDE, 0));
        }
        sona_shm_ring_commit(&lane.producer);
    }
}

Test(ring, queue_hands_over_every_record_once_and_in_order)
{
    const uint32_t slots = 16, stride = 40;
    struct sona_shm_queue *queue = sona_shm_queue_init(
        aligned_alloc(64, (sona_shm_queue_bytes(slots, stride) + 63) / 64 * 64), slots, stride);
    uint64_t in = 0, out = 0;

    cr_assert(eq(ptr, sona_shm_queue_peek(queue), NULL));
    while (out < 1000) {
        uint64_t *slot;

        while ((slot = sona_shm_queue_reserve(queue))) {
            for (uint32_t i = 0; i < stride / sizeof *slot; i++)
                slot[i] = in;
            in++;
            sona_shm_queue_commit(queue);
        }
        cr_assert(eq(u64, in - out, slots - 1), "full at one less than its slots");
        for (uint32_t n = 0; n < 5; n++) {
            cr_assert(eq(ptr, sona_shm_queue_peek(queue), sona_shm_queue_peek(queue)));
            slot = sona_shm_queue_peek(queue);
            cr_assert(ne(ptr, slot, NULL));
            cr_assert(eq(u64, slot[0], out));
            cr_assert(eq(u64, slot[stride / sizeof *slot - 1], out));
            out++;
            sona_shm_queue_release(queue);
        }
    }
    while (sona_shm_queue_peek(queue)) {
        sona_shm_queue_release(queue);
        out++;
    }
    cr_assert(eq(u64, out, in));
    free(queue);
}

/* Another consumer was killed at `noted`; it had given back up to `given`. */
static bool resume(struct lane *lane, uint64_t noted, uint64_t given)
{
    poke(lane, C_HEAD, (uint32_t)given);
    sona_shm_drain_bind(&lane->drain, lane->ring, lane->records, SLOTS, STRIDE, noted);
    return sona_shm_drain_resume(&lane->drain);
}

Test(ring, a_drain_goes_on_at_its_cursor_and_skips_what_was_not_given_back)
{
    const uint64_t starts[] = {0, (UINT64_C(1) << 32) - 3, (UINT64_C(7) << 32) - 1};

    for (size_t k = 0; k < sizeof starts / sizeof starts[0]; k++) {
        struct lane lane;

        lane_init(&lane, starts[k]);
        for (uint64_t n = 0; n < 6; n++)
            cr_assert(push(&lane, starts[k] + n));
        cr_assert(resume(&lane, starts[k] + 4, starts[k] + 1));
        cr_assert(eq(i64, sona_shm_drain_ready(&lane.drain), 2));
        cr_assert(eq(u64, look(&lane, 0), starts[k] + 4));
        cr_assert(eq(u32, peek(&lane, C_HEAD), (uint32_t)(starts[k] + 4)), "now they are");
    }
}

Test(ring, a_drain_does_not_go_on_where_no_drain_of_ours_stopped)
{
    struct lane lane;

    lane_init(&lane, 100);
    for (uint64_t n = 0; n < 6; n++)
        cr_assert(push(&lane, n));
    cr_assert(not(resume(&lane, 102, 103)), "c_head is ahead of the cursor");
    cr_assert(eq(u32, peek(&lane, C_HEAD), 103), "and stays");
    cr_assert(not(resume(&lane, 102, 102 - SLOTS)), "c_head is a ring behind");
    cr_assert(not(resume(&lane, 107, 107)), "p_tail is behind the cursor");
    cr_assert(resume(&lane, 106, 106));
}

Test(ring, a_look_from_outside_changes_nothing)
{
    struct lane lane;
    uint32_t head;

    lane_init(&lane, 100);
    for (uint64_t n = 0; n < 6; n++)
        cr_assert(push(&lane, n));
    sona_shm_drain_bind(&lane.drain, lane.ring, lane.records, SLOTS, STRIDE, 104);
    poke(&lane, C_HEAD, 102);
    cr_assert(eq(i64, sona_shm_drain_look(&lane.drain, &head), 2));
    cr_assert(eq(u32, head, 102));
    cr_assert(eq(u32, peek(&lane, C_HEAD), 102));
    poke(&lane, C_HEAD, 105);
    cr_assert(eq(i64, sona_shm_drain_look(&lane.drain, &head), -1), "c_head is ahead");
    poke(&lane, C_HEAD, 104);
    poke(&lane, P_TAIL, 103);
    cr_assert(eq(i64, sona_shm_drain_look(&lane.drain, &head), -1), "p_tail is behind");
}
