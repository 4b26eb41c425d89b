/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Pin and validate against a segment made by hand: only whole pairs pass. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "shm/reader.h"

#define HOT    3u
#define COLD   2u
#define STRIDE 256u
#define BOTH   (SONA_SHM_USE_HOT | SONA_SHM_USE_COLD)

struct segment {
    struct sona_shm_live live;
    unsigned char hot[HOT * STRIDE];
    unsigned char cold[COLD * STRIDE];
    _Atomic uint64_t hazard;
    struct sona_shm_reader reader;
};

static struct sona_shm_hot *hot_of(struct segment *s, uint32_t i)
{
    return (void *)(s->hot + i * STRIDE);
}

static struct sona_shm_cold *cold_of(struct segment *s, uint32_t j)
{
    return (void *)(s->cold + j * STRIDE);
}

/* One pair, published as g = 9 in hot slot 1 and cold slot 0; the cold half is of g = 4. */
static uint64_t segment_make(struct segment *s, bool full_fence)
{
    const uint64_t id = SONA_SHM_ID(9, 0, 1);

    memset(s, 0, sizeof *s);
    s->reader = (struct sona_shm_reader){.live = &s->live,
                                         .hot = (const char *)s->hot,
                                         .cold = (const char *)s->cold,
                                         .hot_stride = STRIDE,
                                         .cold_stride = STRIDE,
                                         .hot_slots = HOT,
                                         .cold_slots = COLD,
                                         .full_fence = full_fence};
    atomic_store(&cold_of(s, 0)->seq, SONA_SHM_COLD_ID(4, 0));
    atomic_store(&hot_of(s, 1)->cold_id, SONA_SHM_COLD_ID(4, 0));
    atomic_store(&hot_of(s, 1)->seq, id);
    atomic_store(&s->live.cur, id);
    return id;
}

static struct segment *segment_new(void)
{
    return aligned_alloc(SONA_SHM_SPACING, (sizeof(struct segment) + 127) / 128 * 128);
}

Test(reader, a_whole_pair_is_pinned_and_stays_valid)
{
    struct segment *s = segment_new();

    for (int full = 0; full < 2; full++) {
        uint64_t id = segment_make(s, full != 0);
        struct sona_shm_pin pin;

        cr_assert(eq(int, sona_shm_pin(&s->reader, &s->hazard, &pin), 1));
        cr_assert(eq(u64, pin.id, id));
        cr_assert(eq(u64, atomic_load(&s->hazard), id), "the hazard names what is read");
        cr_assert(eq(ptr, (void *)pin.hot, s->hot + STRIDE + SONA_SHM_SPACING));
        cr_assert(eq(ptr, (void *)pin.cold, s->cold + SONA_SHM_SPACING));
        cr_assert(sona_shm_validate(&pin, BOTH));
        sona_shm_unpin(&s->hazard);
        cr_assert(eq(u64, atomic_load(&s->hazard), 0));
    }
    free(s);
}

Test(reader, without_a_model_there_is_nothing_to_pin)
{
    struct segment *s = segment_new();
    struct sona_shm_pin pin;

    segment_make(s, false);
    atomic_store(&s->live.cur, 0);
    cr_assert(eq(int, sona_shm_pin(&s->reader, &s->hazard, &pin), 0));
    cr_assert(eq(u64, atomic_load(&s->hazard), 0));
    free(s);
}

Test(reader, a_cur_that_names_slots_out_of_range_is_no_model)
{
    struct segment *s = segment_new();
    struct sona_shm_pin pin;

    for (uint32_t i = 0; i < 256; i++) {
        for (uint32_t j = 0; j < 256; j++) {
            segment_make(s, false);
            if (i < HOT && j < COLD)
                continue;
            atomic_store(&s->live.cur, SONA_SHM_ID(9, j, i));
            cr_assert(eq(int, sona_shm_pin(&s->reader, &s->hazard, &pin), 0), "hot %u cold %u", i,
                      j);
        }
    }
    free(s);
}

Test(reader, torn_pairs_are_not_pinned)
{
    struct segment *s = segment_new();
    struct sona_shm_pin pin;

    segment_make(s, false);
    atomic_store(&hot_of(s, 1)->seq, 0);
    cr_assert(eq(int, sona_shm_pin(&s->reader, &s->hazard, &pin), -1), "hot is being written");
    segment_make(s, false);
    atomic_store(&hot_of(s, 1)->seq, SONA_SHM_ID(10, 0, 1));
    cr_assert(eq(int, sona_shm_pin(&s->reader, &s->hazard, &pin), -1), "hot is another's");
    segment_make(s, false);
    atomic_store(&cold_of(s, 0)->seq, 0);
    cr_assert(eq(int, sona_shm_pin(&s->reader, &s->hazard, &pin), -1), "cold is being written");
    segment_make(s, false);
    atomic_store(&cold_of(s, 0)->seq, SONA_SHM_COLD_ID(8, 0));
    cr_assert(eq(int, sona_shm_pin(&s->reader, &s->hazard, &pin), -1), "cold is another's");
    segment_make(s, false);
    atomic_store(&hot_of(s, 1)->cold_id, 0);
    atomic_store(&cold_of(s, 0)->seq, 0);
    cr_assert(eq(int, sona_shm_pin(&s->reader, &s->hazard, &pin), -1), "0 equals 0 is no pair");
    free(s);
}

Test(reader, a_half_that_changes_under_the_reader_fails_validation_of_that_half)
{
    struct segment *s = segment_new();
    struct sona_shm_pin pin;

    segment_make(s, false);
    cr_assert(eq(int, sona_shm_pin(&s->reader, &s->hazard, &pin), 1));
    atomic_store(&hot_of(s, 1)->seq, 0);
    cr_assert(not(sona_shm_validate(&pin, BOTH)));
    cr_assert(not(sona_shm_validate(&pin, SONA_SHM_USE_HOT)));
    cr_assert(sona_shm_validate(&pin, SONA_SHM_USE_COLD));

    segment_make(s, false);
    cr_assert(eq(int, sona_shm_pin(&s->reader, &s->hazard, &pin), 1));
    atomic_store(&cold_of(s, 0)->seq, SONA_SHM_COLD_ID(10, 0));
    cr_assert(not(sona_shm_validate(&pin, BOTH)));
    cr_assert(sona_shm_validate(&pin, SONA_SHM_USE_HOT));
    cr_assert(not(sona_shm_validate(&pin, SONA_SHM_USE_COLD)));

    segment_make(s, false);
    cr_assert(eq(int, sona_shm_pin(&s->reader, &s->hazard, &pin), 1));
    atomic_store(&s->live.cur, SONA_SHM_ID(10, 0, 2));
    cr_assert(sona_shm_validate(&pin, BOTH), "a newer pair elsewhere does not harm this one");
    free(s);
}
