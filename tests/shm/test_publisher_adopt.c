/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The segment of a sidecar that was killed: when it goes on, and what may be written meanwhile. */
#include "publisher_fixture.h"

#include <errno.h>
#include <fcntl.h>

#include "tests/support/wrapped.h"

#define SKIP (UINT64_C(1) << 20)

static struct fixture f;
static char *map; /* writable: what a killed or hostile process may have left */
static bool sound = true;

static bool judge(const void *arg, const void *hot, const void *cold)
{
    (void)hot, (void)cold;
    return *(const bool *)arg;
}

/* The sidecar that is going to be killed is live, and the next one may go on. */
static void go_live(void)
{
    char name[80];

    sona_shm_publisher_set_state(f.publisher, SONA_SHM_LIVE);
    (void)snprintf(name, sizeof name, "/sona.%s.model", f.instance);
    int fd = shm_open(name, O_RDWR, 0);
    map = mmap(NULL, (size_t)f.plan.model_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cr_assert(ne(ptr, map, MAP_FAILED));
    (void)close(fd);
    f.options.adopt = true;
    f.options.judge = judge;
    f.options.judge_arg = &sound;
}

/* A pair in every slot: three hot ones and two cold ones. */
static void start(void)
{
    fixture_open(&f, "adopt", 3, 2);
    (void)fixture_publish_cold(&f, 1, 0);
    (void)fixture_publish(&f, false, 0);
    (void)fixture_publish_cold(&f, 2, 0);
    go_live();
}

/* Most slots were never bound. */
static void start_early(void)
{
    fixture_open(&f, "adopt-early", 4, 3);
    (void)fixture_publish_cold(&f, 1, 0);
    go_live();
}

static void stop(void)
{
    fixture_close(&f);
}

TestSuite(adopt, .init = start, .fini = stop);
TestSuite(adopt_early, .init = start_early, .fini = stop);

/* Killed, and started again at `now_ms`. True: it went on in the same segment. */
static bool again(uint64_t now_ms)
{
    sona_diag diag = {0};

    sona_shm_publisher_destroy(&f.publisher, false); /* the lock goes with its descriptor */
    f.options.now_ms = now_ms;
    cr_assert(eq(int, sona_shm_publisher_create(&f.publisher, &f.options, &diag), SONA_OK), "%s",
              diag.text);
    cr_assert(eq(int, sona_shm_publisher_scan_add(f.publisher, f.lanes, &f.lanes_plan), SONA_OK));
    return sona_shm_publisher_adopted(f.publisher);
}

static uint32_t state(void)
{
    const struct sona_shm_live *live = (const void *)(f.map + SONA_SHM_PAGE);

    return atomic_load_explicit(&live->state, memory_order_acquire);
}

Test(adopt, the_segment_goes_on_with_another_incarnation_and_greater_numbers)
{
    struct sona_shm_header before = *sona_shm_publisher_header(f.publisher);
    const struct sona_shm_live *live = (const void *)(f.map + SONA_SHM_PAGE);
    uint64_t cur = fixture_cur(&f), incarnation = live->incarnation;

    cr_assert(again(0));
    cr_assert(eq(int, memcmp(&before, sona_shm_publisher_header(f.publisher), sizeof before), 0));
    cr_assert(gt(u64, live->incarnation, incarnation));
    cr_assert(eq(u64, fixture_cur(&f), cur), "readers go on with the last pair");
    cr_assert(eq(u64, sona_shm_publisher_current(f.publisher), cur));
    cr_assert(eq(ptr, (void *)(uintptr_t)sona_shm_publisher_renewed(f.publisher), NULL));
    sona_shm_publisher_grace_end(f.publisher);
    uint64_t id = fixture_publish(&f, false, 0).id;
    cr_assert(gt(u64, SONA_SHM_ID_G(id), SONA_SHM_ID_G(cur) + SKIP));
    cr_assert(eq(u64, fixture_cur(&f), id));
}

Test(adopt, a_number_that_cur_did_not_show_any_more_is_not_used_again)
{
    uint64_t cur = fixture_cur(&f);
    uint64_t newer = SONA_SHM_ID(SONA_SHM_ID_G(cur) + 5 * SKIP, SONA_SHM_ID_COLD(cur), 0);
    struct sona_shm_hot *hot = (void *)(map + f.plan.hot_offset);

    cr_assert(ne(u32, SONA_SHM_ID_HOT(cur), 0));
    atomic_store(&hot->seq, newer); /* killed after it was bound, before cur was moved */
    cr_assert(again(0));
    sona_shm_publisher_grace_end(f.publisher);
    cr_assert(
        gt(u64, SONA_SHM_ID_G(fixture_publish(&f, false, 0).id), SONA_SHM_ID_G(newer) + SKIP));
}

Test(adopt, slots_that_were_bound_count_as_pinned_until_the_grace_is_over)
{
    cr_assert(again(1000));
    cr_assert(eq(u64, fixture_publish(&f, false, 1000).id, 0), "coalesced");
    cr_assert(eq(ptr, sona_shm_publisher_reserve_cold(f.publisher, 1499), NULL), "postponed");
    cr_assert(eq(u64, fixture_publish(&f, false, 1499).id, 0));
    cr_assert(ne(u64, fixture_publish(&f, false, 1500).id, 0));
    cr_assert(ne(ptr, sona_shm_publisher_reserve_cold(f.publisher, 1500), NULL));
}

/* A lane that is not handed back yet reads what the successor publishes, too. */
Test(adopt_early, slots_that_are_bound_during_the_grace_count_as_pinned_as_well)
{
    cr_assert(again(1000));
    cr_assert(ne(u64, fixture_publish_cold(&f, 2, 1000).id, 0), "slots that nobody can hold");
    cr_assert(ne(u64, fixture_publish_cold(&f, 3, 1000).id, 0));
    cr_assert(ne(u64, fixture_publish(&f, false, 1000).id, 0));
    cr_assert(eq(u64, fixture_publish(&f, false, 1499).id, 0), "coalesced");
    cr_assert(eq(ptr, sona_shm_publisher_reserve_cold(f.publisher, 1499), NULL), "postponed");
    cr_assert(ne(u64, fixture_publish(&f, false, 1500).id, 0));
    cr_assert(ne(ptr, sona_shm_publisher_reserve_cold(f.publisher, 1500), NULL));
}

Test(adopt, the_grace_ends_early_when_all_lanes_are_back_and_their_hazards_count)
{
    uint64_t cur = fixture_cur(&f), older = 0;

    for (uint32_t i = 0; i < 3; i++)
        if (fixture_hot_seq(&f, i) != cur &&
            SONA_SHM_ID_COLD(fixture_hot_seq(&f, i)) != SONA_SHM_ID_COLD(cur))
            older = fixture_hot_seq(&f, i);
    cr_assert(ne(u64, older, 0));
    fixture_pin(&f, 3, older); /* a reader that is stopped since before the kill */
    cr_assert(again(1000));
    sona_shm_publisher_grace_end(f.publisher);
    for (int n = 0; n < 10; n++) {
        (void)fixture_publish(&f, false, 1000);
        cr_assert(eq(u64, fixture_hot_seq(&f, SONA_SHM_ID_HOT(older)), older), "its slot is kept");
    }
    cr_assert(ne(u64, fixture_cur(&f), cur), "the others are used");
    cr_assert(eq(ptr, sona_shm_publisher_reserve_cold(f.publisher, 1000), NULL),
              "the cold half it reads is kept, too");
    fixture_pin(&f, 3, 0);
    cr_assert(ne(ptr, sona_shm_publisher_reserve_cold(f.publisher, 1001), NULL));
}

Test(adopt, a_slot_is_written_whole_before_it_is_gone_on_from)
{
    struct sona_shm_hot *hot = (void *)(map + f.plan.hot_offset);

    for (uint32_t i = 0; i < 3; i++) {
        hot = (void *)(map + f.plan.hot_offset + i * f.plan.hot_stride);
        memset((char *)(hot + 1) + FIXTURE_DENSE, 0xee, FIXTURE_HOT_BYTES - FIXTURE_DENSE);
    }
    cr_assert(again(0));
    sona_shm_publisher_grace_end(f.publisher);
    for (int n = 0; n < 6; n++) {
        uint64_t id = fixture_publish(&f, false, 0).id;
        const struct sona_shm_hot *now = fixture_hot(&f, SONA_SHM_ID_HOT(id));

        cr_assert(eq(int, memcmp(now + 1, f.bytes, FIXTURE_HOT_BYTES), 0), "a row was believed");
    }
}

/* What is not adopted is retired, and a new generation begins. */
static void expect_renewed(const char *words)
{
    uint64_t generation = sona_shm_publisher_header(f.publisher)->generation;
    uint64_t g = SONA_SHM_ID_G(fixture_cur(&f));

    cr_assert(not(again(0)));
    cr_assert(ne(ptr, strstr(sona_shm_publisher_renewed(f.publisher), words), NULL), "%s",
              sona_shm_publisher_renewed(f.publisher));
    cr_assert(eq(u32, state(), SONA_SHM_RETIRED), "readers are told");
    cr_assert(eq(u64, sona_shm_publisher_header(f.publisher)->generation, generation + 1));
    cr_assert(gt(u64, SONA_SHM_ID_G(fixture_publish_cold(&f, 3, 0).id), g));
}

Test(adopt, another_geometry_begins_a_new_generation)
{
    f.options.geometry.routes_max++;
    expect_renewed("geometry");
}

Test(adopt, other_rings_begin_a_new_generation)
{
    f.options.ring_slots = 64;
    expect_renewed("rings");
}

Test(adopt, a_broken_current_id_begins_a_new_generation)
{
    struct sona_shm_live *live = (void *)(map + SONA_SHM_PAGE);

    atomic_store(&live->cur, fixture_cur(&f) | 7);
    expect_renewed("names no pair");
}

Test(adopt, a_pair_that_is_not_bound_begins_a_new_generation)
{
    uint32_t j = SONA_SHM_ID_COLD(fixture_cur(&f));
    struct sona_shm_cold *cold = (void *)(map + f.plan.cold_offset + j * f.plan.cold_stride);

    atomic_store(&cold->seq, 0);
    expect_renewed("not bound");
}

Test(adopt, a_model_that_is_not_sound_begins_a_new_generation)
{
    sound = false;
    expect_renewed("not sound");
}

Test(adopt, a_first_page_that_is_broken_begins_a_new_generation)
{
    ((struct sona_shm_header *)(void *)map)->hot_bytes ^= 1;
    cr_assert(not(again(0)));
    cr_assert(eq(u32, state(), SONA_SHM_RETIRED));
}

/* A stop that was cut short: its readers were told, and its lanes are still being drained. */
Test(adopt, a_segment_that_is_draining_goes_on)
{
    sona_shm_publisher_set_state(f.publisher, SONA_SHM_DRAINING);
    cr_assert(again(0));
}

Test(adopt, a_grace_that_was_chosen_is_kept)
{
    f.options.grace_ms = 70;
    cr_assert(again(1000));
    cr_expect(eq(u64, fixture_publish(&f, false, 1069).id, 0), "coalesced");
    cr_expect(ne(u64, fixture_publish(&f, false, 1070).id, 0));
}

/* The machine is another one, or a filter of system calls is new: readers need another fence. */
Test(adopt, without_membarrier_a_new_generation_begins_whose_readers_fence_themselves)
{
    if ((sona_shm_publisher_header(f.publisher)->fence_modes & SONA_SHM_FENCE_ASYM) == 0)
        cr_skip("there never was one here");
    wrapped_fail("syscall", 0, 100, EPERM);
    cr_assert(not(again(0)));
    cr_expect(ne(ptr, strstr(sona_shm_publisher_renewed(f.publisher), "fences"), NULL));
    cr_expect(eq(u32, sona_shm_publisher_header(f.publisher)->fence_modes, SONA_SHM_FENCE_FULL));
    (void)fixture_publish_cold(&f, 3, 0);
    for (int n = 0; n < 10; n++) /* and without it their slots are found free */
        cr_expect(ne(u64, fixture_publish(&f, false, 0).id, 0));
    wrapped_fail("syscall", 0, 0, 0);
}

Test(adopt, of_a_segment_of_another_major_version_no_number_is_believed)
{
    struct sona_shm_header *h = (struct sona_shm_header *)(void *)map;
    uint64_t generation = h->generation;

    h->abi_major++;
    h->generation = generation + 1000;
    h->crc = sona_shm_crc32c(h, offsetof(struct sona_shm_header, crc));
    cr_assert(not(again(0)));
    cr_expect(lt(u64, sona_shm_publisher_header(f.publisher)->generation, generation + 1000));
    cr_expect(eq(u32, state(), SONA_SHM_LIVE), "it may be another's word");
}

Test(adopt, a_segment_that_is_retired_is_not_taken_up_again)
{
    sona_shm_publisher_set_state(f.publisher, SONA_SHM_RETIRED);
    expect_renewed("retired");
}

/* What a first page may say otherwise than ours, its checksum being right: a sidecar of another
 * make wrote it. */
enum otherwise {
    OTHER_MINOR,
    OTHER_DIM,
    OTHER_HOT_BYTES,
    OTHER_COLD_BYTES,
    OTHER_HOT_SLOTS,
    OTHER_COLD_SLOTS,
    OTHER_RINGS,
    OTHER_TOTAL,
    OTHER_FENCES,
    OTHERS
};

static void rewrite(struct sona_shm_header *h, enum otherwise what)
{
    h->abi_minor ^= what == OTHER_MINOR;
    h->geometry.patterns_max ^= what == OTHER_DIM;
    h->hot_bytes ^= what == OTHER_HOT_BYTES ? 64 : 0;
    h->cold_bytes ^= what == OTHER_COLD_BYTES ? 64 : 0;
    h->hot_slots ^= what == OTHER_HOT_SLOTS;
    h->cold_slots ^= what == OTHER_COLD_SLOTS;
    h->ring_slots ^= what == OTHER_RINGS ? 64 : 0;
    h->total_bytes ^= what == OTHER_TOTAL ? 4096 : 0;
    h->fence_modes ^= what == OTHER_FENCES ? 0x80 : 0;
    h->crc = sona_shm_crc32c(h, offsetof(struct sona_shm_header, crc));
}

Test(adopt, a_first_page_that_says_otherwise_begins_a_new_generation)
{
    static const char *const words[OTHERS] = {"version",     "geometry",    "geometry",
                                              "geometry",    "other slots", "other slots",
                                              "other slots", "other slots", "other slots"};

    for (int what = 0; what < OTHERS; what++) {
        rewrite((struct sona_shm_header *)(void *)map, (enum otherwise)what);
        cr_expect(not(again(0)), "case %d", what);
        cr_expect(ne(ptr, strstr(sona_shm_publisher_renewed(f.publisher), words[what]), NULL),
                  "case %d: %s", what, sona_shm_publisher_renewed(f.publisher));
        cr_expect(eq(u32, state(), SONA_SHM_RETIRED), "case %d", what);
        stop();
        start();
    }
}

/* Each word that binds a pair, wrong by itself. */
Test(adopt, a_pair_of_which_one_word_is_wrong_begins_a_new_generation)
{
    for (int what = 0; what < 7; what++) {
        struct sona_shm_live *live = (void *)(map + SONA_SHM_PAGE);
        uint64_t cur = fixture_cur(&f), g = SONA_SHM_ID_G(cur);
        struct sona_shm_hot *hot =
            (void *)(map + f.plan.hot_offset + SONA_SHM_ID_HOT(cur) * f.plan.hot_stride);
        uint64_t cold_id = atomic_load(&hot->cold_id);
        const char *words = "not bound";

        if (what == 0)
            atomic_store(&hot->seq, cur + (UINT64_C(1) << 20));
        else if (what == 1)
            atomic_store(&hot->cold_id, 0);
        else if (what == 2)
            atomic_store(&hot->cold_id, cold_id ^ 1); /* of another slot */
        else if (what == 3)
            atomic_store(&hot->cold_id, (g + 1) << 8 | (cold_id & 0xff)); /* newer than the pair */
        else if (what == 4)
            atomic_store(&live->cur, SONA_SHM_ID(0, SONA_SHM_ID_COLD(cur), SONA_SHM_ID_HOT(cur)));
        else if (what == 5)
            atomic_store(&live->cur, SONA_SHM_ID(g, f.plan.cold_slots, SONA_SHM_ID_HOT(cur)));
        else /* no clock comes to that number */
            atomic_store(&live->cur, SONA_SHM_ID((UINT64_C(1) << 48) - 1, SONA_SHM_ID_COLD(cur),
                                                 SONA_SHM_ID_HOT(cur)));
        if (what >= 4)
            words = "names no pair";
        cr_expect(not(again(0)), "case %d", what);
        cr_expect(ne(ptr, strstr(sona_shm_publisher_renewed(f.publisher), words), NULL),
                  "case %d: %s", what, sona_shm_publisher_renewed(f.publisher));
        stop();
        start();
    }
}

Test(adopt, a_segment_that_has_a_hole_or_another_size_begins_a_new_generation)
{
    char name[80];

    (void)snprintf(name, sizeof name, "/sona.%s.model", f.instance);
    int fd = shm_open(name, O_RDWR, 0);
    cr_assert(eq(int,
                 fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                           (off_t)(f.plan.model_bytes - 4096), 4096),
                 0));
    (void)close(fd);
    cr_assert(not(again(0)));
    cr_expect(ne(ptr, strstr(sona_shm_publisher_renewed(f.publisher), "size"), NULL));
    stop();
    start();
    fd = shm_open(name, O_RDWR, 0);
    cr_assert(eq(int, ftruncate(fd, (off_t)f.plan.model_bytes + 4096), 0));
    (void)close(fd);
    cr_assert(not(again(0)));
    cr_expect(ne(ptr, strstr(sona_shm_publisher_renewed(f.publisher), "size"), NULL));
}

Test(adopt, a_segment_of_which_no_line_is_sound_is_still_replaced)
{
    char name[80];

    memset(map, 0, 2 * SONA_SHM_PAGE); /* neither magic nor numbers */
    cr_assert(not(again(0)));
    cr_expect(eq(u32, state(), 0), "what is no segment is not written to");
    ((struct sona_shm_header *)(void *)map)->magic = 0;
    (void)snprintf(name, sizeof name, "/sona.%s.model", f.instance);
    int fd = shm_open(name, O_RDWR, 0); /* the next one is killed before it gave it a size */
    cr_assert(eq(int, ftruncate(fd, 100), 0));
    (void)close(fd);
    cr_assert(not(again(0)));
    cr_expect(ne(u64, sona_shm_publisher_header(f.publisher)->generation, 0));
}
