/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The power fails at random points, in the middle of groups, syncs, checkpoints and generations;
 * what the disk then holds is opened again. 200 points, or SONA_TEST_CUTS (`make verify`: 1,000).
 */
#include "tests/sidecar/store/faulty.h"
#include "tests/sidecar/store/store_fixture.h"

#define CUTS 200

static void setup(void)
{
    fixture_setup_in_memory();
    faulty_reset();
}

TestSuite(power, .init = setup, .fini = fixture_teardown);

/* What was promised before the cut. */
struct promise {
    uint64_t appended, durable, generation, generation_position;
    uint32_t generation_bytes;
};

static void fill_state(uint8_t *bytes, uint32_t n, uint64_t position)
{
    for (uint32_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)fixture_mix(position, i / 64);
}

static void save(struct sona_store *store, struct dice *dice, struct promise *p)
{
    static uint8_t state[3u << 20];
    uint32_t n = dice_below(dice, dice_below(dice, 4) == 0 ? sizeof state : 20000);
    uint64_t number;

    fill_state(state, n, p->appended);
    if (sona_store_generation_save(store, p->appended, state, n, false, &number, NULL) != SONA_OK)
        return;
    p->generation = number;
    p->generation_position = p->appended;
    p->generation_bytes = n;
    p->durable = p->appended; /* what a generation covers is durable with it */
}

/* Append, flush and save until the power is gone. */
static struct promise work(const struct sona_store_options *options, struct dice *dice)
{
    struct promise p = {0};
    struct sona_store *store = NULL;

    if (sona_store_open(&store, options, &fixture_diag) != SONA_OK)
        return p;
    while (!faulty_is_cut()) {
        uint32_t n = 1 + dice_below(dice, 20), what = dice_below(dice, 40);

        for (uint32_t i = 0; i < n && fixture_append(store, p.appended + 1) == SONA_OK; i++)
            p.appended++;
        if (what == 0)
            save(store, dice, &p);
        else if (what < 8 && p.appended > 0 &&
                 sona_store_flush(store, p.appended, 10000, NULL) == SONA_OK)
            p.durable = p.appended;
        if (sona_store_positions(store).durable > p.durable)
            p.durable = sona_store_positions(store).durable;
    }
    sona_store_close(&store);
    return p;
}

/* The log as a disk may hold it: any page may be what it was made of, zeros. Or it was in memory.
 */
static void lose_log(struct dice *dice)
{
    static const uint8_t zeros[4096];
    int fd = open(fixture_path(".intake"), O_RDWR);
    uint32_t fate = dice_below(dice, 3);

    if (fd < 0)
        return;
    if (fate == 0) {
        (void)unlink(fixture_path(".intake"));
    } else if (fate == 1) {
        off_t size = lseek(fd, 0, SEEK_END);

        for (off_t at = 0; at < size; at += sizeof zeros)
            if (dice_below(dice, 8) == 0)
                cr_assert(eq(i64, pwrite(fd, zeros, sizeof zeros, at), sizeof zeros));
    }
    (void)close(fd);
}

static void check_generation(struct sona_store *store, const struct promise *p)
{
    struct sona_store_generation g;
    static uint8_t state[3u << 20];
    void *bytes = NULL;

    if (p->generation == 0)
        return;
    cr_assert(eq(int, sona_store_generation_read(store, p->generation, &g, &bytes, &fixture_diag),
                 SONA_OK),
              "%s", fixture_diag.text);
    fill_state(state, p->generation_bytes, p->generation_position);
    cr_expect(eq(u64, g.position, p->generation_position));
    cr_expect(eq(u64, g.bytes, p->generation_bytes));
    cr_expect(eq(int, memcmp(bytes, state, p->generation_bytes), 0));
    free(bytes);
}

/* Open what is left. Everything durable is there, all that is there is a whole beginning of what
 * was appended, and the cursors stand where it ends. Returns how many records are gone. */
static uint64_t examine(const struct sona_store_options *options, const struct promise *p)
{
    struct sona_store *store = NULL;
    struct fixture_seen seen = {.first = 1};
    sona_err err = sona_store_open(&store, options, &fixture_diag);

    cr_assert(eq(int, err, SONA_OK), "%s", fixture_diag.text);
    uint64_t rows = sona_store_positions(store).committed;
    /* Upkeep comes by its own clock, and takes the vectors of what a generation has. */
    seen.thinned = p->generation_position;
    err = sona_store_replay(store, 1, fixture_see, &seen, &fixture_diag);
    cr_assert(eq(int, err, SONA_OK), "%s", fixture_diag.text);
    cr_assert(eq(u64, seen.rows, rows));
    cr_assert(eq(u64, seen.wrong, 0));
    cr_assert(ge(u64, rows, p->durable));
    cr_assert(le(u64, rows, p->appended));
    cr_assert(eq(u32, fixture_findings(store), 0), "%s", fixture_notices);
    check_generation(store, p);
    for (uint64_t n = rows > 3 ? rows - 2 : 1; n <= rows; n++)
        cr_assert(eq(int, fixture_append(store, n), SONA_E_DUPLICATE));
    fixture_fill(store, rows + 1, rows + 3);
    sona_store_close(&store);
    return p->appended - rows;
}

Test(power, cut_anywhere_leaves_a_store_with_all_that_was_durable_once, .timeout = 1200)
{
    const char *wanted = getenv("SONA_TEST_CUTS");
    int cuts = wanted ? atoi(wanted) : CUTS;
    struct dice dice = dice_open("power");
    uint64_t lost = 0, kept = 0;

    for (int i = 0; i < cuts; i++) {
        struct sona_store_options options = fixture_options();

        options.vfs = FAULTY_VFS;
        options.durability = (enum sona_store_durability)dice_below(&dice, 3);
        options.sync_ms = 1 + dice_below(&dice, 20);
        options.commit_ms = 1;
        options.commit_records = 1 + dice_below(&dice, 64);
        options.wal_bytes = 1 + dice_below(&dice, 1u << 20);
        options.generations = 2;
        fixture_notices[0] = '\0';
        faulty_reset();
        faulty_cut_after(1 + dice_below(&dice, dice_below(&dice, 2) == 0 ? 60 : 1500));
        struct promise p = work(&options, &dice);
        faulty_restore(&dice);
        lose_log(&dice);
        (void)unlink(fixture_path(".db-shm")); /* it was memory */
        faulty_cut_after(UINT64_MAX);
        faulty_reset();
        lost += examine(&options, &p);
        kept += p.durable;
        fixture_teardown();
        fixture_setup_in_memory();
    }
    cr_log_info("%d cuts: %llu durable records, %llu others lost", cuts, (unsigned long long)kept,
                (unsigned long long)lost);
    cr_assert(gt(u64, kept, 0));
    cr_assert(gt(u64, lost, 0), "the layer loses something, else this test shows nothing");
}
