/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Slots: free, pinned, revoked, coalesced; rows brought up to date; cold halves. */
#include "publisher_fixture.h"

#include <errno.h>

#include "tests/support/wrapped.h"

Test(publisher, a_published_pair_is_what_cur_names)
{
    struct fixture f;

    fixture_open(&f, "pair", 0, 0);
    cr_assert(eq(u64, fixture_cur(&f), 0));
    f.bytes[FIXTURE_HOT_BYTES - 1] = 77;
    struct sona_shm_published p = fixture_publish_cold(&f, 42, 0);
    uint32_t i = SONA_SHM_ID_HOT(p.id), j = SONA_SHM_ID_COLD(p.id);

    cr_assert(ne(u64, p.id, 0));
    cr_assert(eq(u64, fixture_cur(&f), p.id));
    cr_assert(eq(u64, fixture_hot_seq(&f, i), p.id));
    cr_assert(eq(u64, fixture_cold_seq(&f, j), SONA_SHM_COLD_ID(SONA_SHM_ID_G(p.id), j)));
    cr_assert(eq(u64, atomic_load_explicit(&fixture_hot(&f, i)->cold_id, memory_order_relaxed),
                 fixture_cold_seq(&f, j)));
    cr_assert(eq(int, memcmp(fixture_hot(&f, i) + 1, f.bytes, sizeof f.bytes), 0));
    cr_assert(eq(int, ((const char *)(fixture_cold(&f, j) + 1))[FIXTURE_COLD_BYTES - 1], 42));
    cr_assert(eq(u64, p.bytes, FIXTURE_HOT_BYTES), "the first image of a slot is copied whole");
    fixture_close(&f);
}

Test(publisher, ids_grow_and_the_current_slot_is_never_written)
{
    struct fixture f;

    fixture_open(&f, "grow", 3, 2);
    uint64_t last = fixture_publish_cold(&f, 1, 0).id;
    for (uint64_t n = 0; n < 100; n++) {
        struct sona_shm_published p = fixture_publish(&f, false, n);

        cr_assert(gt(u64, SONA_SHM_ID_G(p.id), SONA_SHM_ID_G(last)));
        cr_assert(ne(u32, SONA_SHM_ID_HOT(p.id), SONA_SHM_ID_HOT(last)));
        cr_assert(eq(u64, fixture_hot_seq(&f, SONA_SHM_ID_HOT(last)), last),
                  "the slot that cur left is still bound: a reader may be about to validate it");
        last = p.id;
    }
    fixture_close(&f);
}

Test(publisher, a_pinned_slot_is_not_written_before_its_lease)
{
    struct fixture f;

    fixture_open(&f, "pinned", 4, 2);
    struct sona_shm_published pinned = fixture_publish_cold(&f, 1, 0);
    fixture_pin(&f, 3, pinned.id);
    for (uint64_t n = 0; n < 1000; n++) {
        struct sona_shm_published p = fixture_publish(&f, false, n % SONA_SHM_LEASE_MS);

        cr_assert(ne(u64, p.id, 0), "three other slots are enough for one pin");
        cr_assert(eq(u32, p.revoked, 0));
        cr_assert(eq(u64, fixture_hot_seq(&f, SONA_SHM_ID_HOT(pinned.id)), pinned.id));
    }
    fixture_pin(&f, 3, 0);
    bool reused = false;
    for (uint64_t n = 0; n < 8; n++)
        reused |= SONA_SHM_ID_HOT(fixture_publish(&f, false, 0).id) == SONA_SHM_ID_HOT(pinned.id);
    cr_assert(reused, "an unpinned slot is used again");
    fixture_close(&f);
}

/* Pin every slot but the current one with lanes of their own. */
static void pin_all_others(struct fixture *f, uint32_t slots, uint64_t now_ms)
{
    for (uint32_t n = 0; n + 1 < slots; n++) {
        fixture_pin(f, n, fixture_cur(f));
        cr_assert(ne(u64, fixture_publish(f, false, now_ms).id, 0));
    }
}

Test(publisher, with_every_slot_pinned_a_publication_is_coalesced_until_a_lease_ends)
{
    struct fixture f;

    fixture_open(&f, "coalesce", 3, 2);
    (void)fixture_publish_cold(&f, 1, 5000);
    pin_all_others(&f, 3, 5000);
    uint64_t before = fixture_cur(&f);
    struct sona_shm_published p = fixture_publish(&f, false, 5000 + SONA_SHM_LEASE_MS - 1);
    cr_assert(eq(u64, p.id, 0));
    cr_assert(eq(u64, fixture_cur(&f), before), "a coalesced publication changes nothing");

    p = fixture_publish(&f, false, 5000 + SONA_SHM_LEASE_MS);
    cr_assert(ne(u64, p.id, 0));
    cr_assert(eq(u32, p.revoked, 1));
    cr_assert(eq(u64, fixture_cur(&f), p.id));
    const unsigned char *image = (const void *)(fixture_hot(&f, SONA_SHM_ID_HOT(p.id)) + 1);
    cr_assert(eq(int, memcmp(image, f.bytes, sizeof f.bytes), 0),
              "the next publication shows what the coalesced one would have shown");
    fixture_close(&f);
}

Test(publisher, revocation_takes_the_slot_left_longest_ago_and_its_reader_can_tell)
{
    struct fixture f;

    fixture_open(&f, "oldest", 3, 2);
    struct sona_shm_published oldest = fixture_publish_cold(&f, 1, 0);
    fixture_pin(&f, 0, oldest.id);
    struct sona_shm_published second = fixture_publish(&f, false, 100);
    fixture_pin(&f, 1, second.id);
    (void)fixture_publish(&f, false, 200);
    struct sona_shm_published p = fixture_publish(&f, false, 5000);

    cr_assert(eq(u32, p.revoked, 1));
    cr_assert(eq(u32, SONA_SHM_ID_HOT(p.id), SONA_SHM_ID_HOT(oldest.id)));
    cr_assert(ne(u64, fixture_hot_seq(&f, SONA_SHM_ID_HOT(oldest.id)), oldest.id));
    cr_assert(eq(u64, fixture_hot_seq(&f, SONA_SHM_ID_HOT(second.id)), second.id));
    fixture_close(&f);
}

Test(publisher, a_lane_that_was_removed_pins_nothing)
{
    struct fixture f;

    fixture_open(&f, "removed", 3, 2);
    (void)fixture_publish_cold(&f, 1, 0);
    pin_all_others(&f, 3, 0);
    cr_assert(eq(u64, fixture_publish(&f, false, 0).id, 0));
    sona_shm_publisher_scan_remove(f.publisher, f.lanes);
    struct sona_shm_published p = fixture_publish(&f, false, 0);
    cr_assert(ne(u64, p.id, 0));
    cr_assert(eq(u32, p.revoked, 0));
    fixture_close(&f);
}

Test(publisher, hazards_that_are_no_id_of_ours_pin_nothing)
{
    struct fixture f;
    static const uint64_t garbage[] = {
        UINT64_MAX, 1,     0xffff, UINT64_C(0x0000123456780101), UINT64_C(0x7fffffffffff0000),
        0xff00,     0x00ff};

    fixture_open(&f, "garbage", 3, 2);
    (void)fixture_publish_cold(&f, 1, 0);
    for (uint32_t n = 0; n < sizeof garbage / sizeof garbage[0]; n++)
        fixture_pin(&f, n, garbage[n]);
    for (uint64_t n = 0; n < 50; n++) {
        struct sona_shm_published p = fixture_publish(&f, false, 0);

        cr_assert(ne(u64, p.id, 0));
        cr_assert(eq(u32, p.revoked, 0));
    }
    fixture_close(&f);
}

Test(publisher, a_cold_slot_is_pinned_by_every_id_that_named_it_though_its_hot_slot_is_gone)
{
    struct fixture f;

    fixture_open(&f, "cold-pin", 3, 3);
    (void)fixture_publish_cold(&f, 1, 0);
    struct sona_shm_published pinned =
        fixture_publish(&f, false, 0); /* not the cold half's first */
    uint32_t j = SONA_SHM_ID_COLD(pinned.id);
    uint64_t cold_id = fixture_cold_seq(&f, j);
    fixture_pin(&f, 0, pinned.id);

    /* Past the hot half's lease its slot is taken; the cold half stays pinned all the same. */
    fixture_pin(&f, 1, fixture_publish(&f, false, 10).id);
    (void)fixture_publish(&f, false, 20);
    cr_assert(eq(u32, fixture_publish(&f, false, 5000).revoked, 1));
    cr_assert(ne(u64, fixture_hot_seq(&f, SONA_SHM_ID_HOT(pinned.id)), pinned.id));
    for (int n = 0; n < 20; n++) {
        struct sona_shm_published p = fixture_publish_cold(&f, n, 5000);

        cr_assert(ne(u32, SONA_SHM_ID_COLD(p.id), j));
        cr_assert(eq(u64, fixture_cold_seq(&f, j), cold_id));
        fixture_pin(&f, 1, 0); /* or three hot slots would not be enough */
    }
    fixture_close(&f);
}

Test(publisher, a_cold_slot_cannot_be_reserved_while_all_are_in_use_and_can_past_the_lease)
{
    struct fixture f;

    fixture_open(&f, "cold-full", 8, 2);
    fixture_pin(&f, 0, fixture_publish_cold(&f, 1, 1000).id);
    (void)fixture_publish_cold(&f, 2, 1000);
    cr_assert(eq(ptr, sona_shm_publisher_reserve_cold(f.publisher, 1500), NULL));
    void *cold = sona_shm_publisher_reserve_cold(f.publisher, 1000 + SONA_SHM_LEASE_MS);
    cr_assert(ne(ptr, cold, NULL));
    cr_assert(eq(ptr, sona_shm_publisher_reserve_cold(f.publisher, 9000), NULL),
              "at most one is reserved");
    cr_assert(eq(u32, fixture_publish(&f, true, 9000).revoked, 1));
    fixture_close(&f);
}

Test(publisher, a_reserved_cold_slot_is_invisible_until_published_and_free_again_when_cancelled)
{
    struct fixture f;

    fixture_open(&f, "cancel", 8, 2);
    struct sona_shm_published first = fixture_publish_cold(&f, 1, 0);
    uint32_t other = 1 - SONA_SHM_ID_COLD(first.id);
    cr_assert(ne(ptr, sona_shm_publisher_reserve_cold(f.publisher, 0), NULL));
    cr_assert(eq(u64, fixture_cold_seq(&f, other), 0));
    struct sona_shm_published p = fixture_publish(&f, false, 0);
    cr_assert(eq(u32, SONA_SHM_ID_COLD(p.id), SONA_SHM_ID_COLD(first.id)));
    sona_shm_publisher_cancel_cold(f.publisher);
    p = fixture_publish_cold(&f, 2, 0);
    cr_assert(eq(u32, SONA_SHM_ID_COLD(p.id), other));
    cr_assert(eq(u64,
                 atomic_load_explicit(&fixture_hot(&f, SONA_SHM_ID_HOT(p.id))->cold_id,
                                      memory_order_relaxed),
                 fixture_cold_seq(&f, other)));
    fixture_close(&f);
}

/* Slot 1 was left before slot 0, which was current once more: the order of the slots is not that of
 * their ages. */
Test(publisher, revocation_goes_by_the_time_a_slot_was_left_not_by_its_place)
{
    struct sona_shm_published p[5];
    struct fixture f;

    for (int cold = 0; cold < 2; cold++) {
        fixture_open(&f, "ages", cold ? 8 : 3, cold ? 3 : 2);
        for (uint32_t k = 0; k < 5; k++) {
            uint64_t now_ms = 1000 + 10 * k;

            p[k] = cold || k == 0 ? fixture_publish_cold(&f, (int)k, now_ms)
                                  : fixture_publish(&f, false, now_ms);
            uint32_t slot = cold ? SONA_SHM_ID_COLD(p[k].id) : SONA_SHM_ID_HOT(p[k].id);
            cr_assert(eq(u32, slot, k < 3 ? k : k == 3 ? 0 : 2), "publication %u", k);
            if (k == 1 || k == 3)
                fixture_pin(&f, k, p[k].id);
        }
        uint64_t now_ms = 2000 + SONA_SHM_LEASE_MS;
        if (cold) {
            cr_expect(eq(ptr, sona_shm_publisher_reserve_cold(f.publisher, 1045), NULL));
            cr_expect(ne(ptr, sona_shm_publisher_reserve_cold(f.publisher, now_ms), NULL));
            cr_expect(eq(u64, fixture_cold_seq(&f, 1), 0), "it is taken from its reader");
            cr_expect(ne(u64, fixture_cold_seq(&f, 0), 0));
        } else {
            struct sona_shm_published taken = fixture_publish(&f, false, now_ms);

            cr_expect(eq(u32, taken.revoked, 1));
            cr_expect(eq(u32, SONA_SHM_ID_HOT(taken.id), 1));
            cr_expect(eq(u64, fixture_hot_seq(&f, 0), p[3].id));
        }
        fixture_close(&f);
    }
    /* And where the oldest lies first: the other is within its lease, or past it, too. */
    for (uint64_t late_ms = 0; late_ms < 1000; late_ms += 500) {
        fixture_open(&f, "ages-first", 8, 3);
        for (uint32_t k = 0; k < 3; k++) {
            p[k] = fixture_publish_cold(&f, 1, 1000 + 10 * k);
            fixture_pin(&f, k, p[k].id);
        }
        cr_expect(ne(
            ptr, sona_shm_publisher_reserve_cold(f.publisher, 1010 + SONA_SHM_LEASE_MS + late_ms),
            NULL));
        cr_expect(eq(u64, fixture_cold_seq(&f, 0), 0));
        cr_expect(ne(u64, fixture_cold_seq(&f, 1), 0));
        fixture_close(&f);
    }
}

Test(publisher, without_membarrier_nothing_is_known_to_be_free)
{
    struct fixture f;

    fixture_open(&f, "absent", 3, 2);
    if ((sona_shm_publisher_header(f.publisher)->fence_modes & SONA_SHM_FENCE_ASYM) == 0) {
        fixture_close(&f);
        cr_skip("no membarrier here: every reader has a fence of its own");
    }
    (void)fixture_publish_cold(&f, 1, 0);
    (void)fixture_publish(&f, false, 0);
    (void)fixture_publish(&f, false, 0); /* the last that was free from the beginning */
    uint64_t last = fixture_cur(&f);
    wrapped_fail("syscall", 0, 1, EPERM);
    cr_expect(eq(u64, fixture_publish(&f, false, 0).id, 0), "coalesced");
    cr_expect(eq(u32, wrapped_failed("syscall"), 1));
    cr_expect(eq(u64, fixture_cur(&f), last));
    struct sona_shm_published p = fixture_publish(&f, false, 0);
    cr_expect(ne(u64, p.id, 0), "and shown with the next");
    cr_expect(eq(u32, p.revoked, 0));
    fixture_close(&f);
}

Test(publisher, attachments_beyond_the_limit_are_not_watched)
{
    struct fixture f;

    fixture_open(&f, "limit", 3, 2);
    for (uint32_t n = 1; n < SONA_SHM_CLIENTS_MAX; n++)
        cr_assert(
            eq(int, sona_shm_publisher_scan_add(f.publisher, f.lanes, &f.lanes_plan), SONA_OK));
    cr_expect(
        eq(int, sona_shm_publisher_scan_add(f.publisher, f.lanes, &f.lanes_plan), SONA_E_LIMIT));
    sona_shm_publisher_scan_remove(f.publisher, &f); /* nobody's */
    cr_expect(
        eq(int, sona_shm_publisher_scan_add(f.publisher, f.lanes, &f.lanes_plan), SONA_E_LIMIT));
    sona_shm_publisher_scan_remove(f.publisher, f.lanes);
    cr_expect(eq(int, sona_shm_publisher_scan_add(f.publisher, f.lanes, &f.lanes_plan), SONA_OK));
    sona_shm_publisher_cancel_cold(f.publisher); /* of none */
    (void)fixture_publish_cold(&f, 1, 0);
    fixture_close(&f);
}

Test(publisher, only_changed_rows_are_copied)
{
    struct fixture f;

    fixture_open(&f, "rows", 2, 2);
    (void)fixture_publish_cold(&f, 1, 0);
    (void)fixture_publish(&f, false, 0); /* both slots are filled now */
    uint64_t bytes = 0;
    for (int n = 0; n < 4; n++) {
        f.changed_at[1][5] = f.image.step + 1;
        f.bytes[FIXTURE_DENSE + (FIXTURE_ROWS + 5) * FIXTURE_ROW_BYTES]++;
        bytes = fixture_publish(&f, false, 0).bytes;
    }
    cr_assert(eq(u64, bytes, FIXTURE_DENSE + FIXTURE_ROW_BYTES));
    fixture_close(&f);
}

static uint64_t draw(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = *state;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* One random step: change rows (some without taking a learner step), pin or unpin, publish. */
static void random_step(struct fixture *f, uint64_t *rng, uint64_t seed, uint64_t now_ms)
{
    for (uint64_t changes = draw(rng) % 4; changes > 0; changes--) {
        uint32_t t = (uint32_t)(draw(rng) % 2), r = (uint32_t)(draw(rng) % FIXTURE_ROWS);
        size_t at = FIXTURE_DENSE + (t * FIXTURE_ROWS + r) * FIXTURE_ROW_BYTES;

        f->bytes[at + draw(rng) % FIXTURE_ROW_BYTES] = (unsigned char)draw(rng);
        f->changed_at[t][r] = f->image.step;
    }
    f->bytes[draw(rng) % FIXTURE_DENSE] = (unsigned char)draw(rng);
    uint32_t lane = (uint32_t)(draw(rng) % 4);
    fixture_pin(f, lane, draw(rng) % 2 ? fixture_cur(f) : 0);

    bool with_cold = false;
    if (draw(rng) % 16 == 0) {
        void *cold = sona_shm_publisher_reserve_cold(f->publisher, now_ms);

        if (cold)
            memset(cold, (int)(draw(rng) % 100), FIXTURE_COLD_BYTES);
        with_cold = cold != NULL;
    }
    struct sona_shm_published p;
    sona_shm_publisher_publish(f->publisher, &f->image, with_cold, now_ms, &p);
    if (p.id == 0) {
        if (with_cold)
            sona_shm_publisher_cancel_cold(f->publisher);
        return;
    }
    const void *image = fixture_hot(f, SONA_SHM_ID_HOT(p.id)) + 1;
    cr_assert(eq(int, memcmp(image, f->bytes, sizeof f->bytes), 0),
              "slot %u differs from the learner's image at step %llu; seed %llu",
              SONA_SHM_ID_HOT(p.id), (unsigned long long)f->image.step, (unsigned long long)seed);
}

/* A learner as it once was: steps, too, go back to what they were. */
struct memory {
    unsigned char bytes[FIXTURE_HOT_BYTES];
    uint64_t changed_at[2][FIXTURE_ROWS], step;
};

static void random_replacement(struct fixture *f, struct memory *then, uint64_t *rng)
{
    if (draw(rng) % 2) {
        memcpy(then->bytes, f->bytes, sizeof then->bytes);
        memcpy(then->changed_at, f->changed_at, sizeof then->changed_at);
        then->step = f->image.step;
        return;
    }
    memcpy(f->bytes, then->bytes, sizeof then->bytes);
    memcpy(f->changed_at, then->changed_at, sizeof then->changed_at);
    f->image.step = then->step;
    sona_shm_publisher_forget_images(f->publisher);
}

Test(publisher, every_slot_shows_the_whole_image_whatever_the_order)
{
    struct memory then = {.step = 0};
    struct fixture f;
    uint64_t seed = (uint64_t)getpid(), rng = seed;

    cr_log_info("seed %llu", (unsigned long long)seed);
    fixture_open(&f, "random", 5, 3);
    (void)fixture_publish_cold(&f, 1, 0);
    for (uint64_t n = 0; n < 20000; n++) {
        f.image.step += draw(&rng) % 2; /* two publications may show the same step */
        if (draw(&rng) % 64 == 0)
            random_replacement(&f, &then, &rng);
        random_step(&f, &rng, seed, n * 10);
    }
    fixture_close(&f);
}
