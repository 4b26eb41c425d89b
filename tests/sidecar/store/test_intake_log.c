/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The intake log as a kill, a power failure or a stranger leaves it. */
#include "sidecar/store/intake_log.h"
#include "sidecar/store/lanes.h"
#include "tests/engine/dice.h"
#include "tests/sidecar/store/store_fixture.h"
#include "tests/support/wrapped.h"

#include <errno.h>

TestSuite(intake_log, .init = fixture_setup, .fini = fixture_teardown);

/* A store with ten records in the journal, and `n` more, one a batch, in the log alone: as after a
 * kill. *ret: the log, open. */
static void leave_behind(struct sona_store_log *ret, uint32_t n)
{
    struct sona_store_options options = fixture_options();
    struct sona_store *store = fixture_open(&options);
    struct fixture_record f;

    fixture_fill(store, 1, 10);
    sona_store_close(&store);
    cr_assert(eq(int, sona_store_log_open(ret, fixture_path(".intake"), 0, &fixture_diag), SONA_OK),
              "%s", fixture_diag.text);
    ret->next_seq = 11;
    for (uint32_t i = 0; i < n; i++) {
        fixture_make(&f, 11 + i);
        cr_assert(eq(u64, sona_store_log_append(ret, &f.record, 1, 11 + i), 11 + i));
    }
}

static struct sona_store_stats reopen(uint64_t rows)
{
    struct sona_store_options options = fixture_options();
    struct sona_store *store = fixture_open(&options);
    struct sona_store_stats stats;

    sona_store_stats(store, &stats);
    fixture_expect(store, rows);
    cr_expect(eq(u32, fixture_findings(store), 0), "%s", fixture_notices);
    sona_store_close(&store);
    return stats;
}

Test(intake_log, what_a_killed_sidecar_left_is_journaled_once)
{
    struct sona_store_log log;

    leave_behind(&log, 30);
    sona_store_log_close(&log);
    cr_expect(eq(u64, reopen(40).recovered, 30));
    cr_expect(eq(u64, reopen(40).recovered, 0));
}

Test(intake_log, batches_that_are_journaled_already_are_passed_over)
{
    struct sona_store_log log;
    static uint8_t before[1u << 20];

    /* The kill comes between the commit and the trimming: put the log back as it was. */
    leave_behind(&log, 30);
    memcpy(before, log.header, sizeof before);
    sona_store_log_close(&log);
    cr_expect(eq(u64, reopen(40).recovered, 30));
    int fd = open(fixture_path(".intake"), O_WRONLY);
    cr_assert(eq(i64, pwrite(fd, before, sizeof before, 0), sizeof before));
    (void)close(fd);
    cr_expect(eq(u64, reopen(40).recovered, 0));
    cr_expect(eq(str, fixture_notices, ""), "nothing is wrong with that");
}

Test(intake_log, a_batch_that_was_not_acknowledged_is_dropped)
{
    struct sona_store_log log;
    struct fixture_record f;
    uint64_t head;

    leave_behind(&log, 5);
    head = sona_store_log_head(&log);
    fixture_make(&f, 16);
    (void)sona_store_log_append(&log, &f.record, 1, 16);
    atomic_store(&log.header->head, head); /* killed before the last store */
    sona_store_log_close(&log);
    struct sona_store_stats stats = reopen(15);
    cr_expect(eq(u64, stats.recovered, 5));
    cr_expect(eq(u64, stats.dropped, 0));
}

Test(intake_log, a_flipped_bit_ends_what_can_be_saved_and_is_told)
{
    struct dice dice = dice_open("intake_log");

    for (int round = 0; round < 40; round++) {
        struct sona_store_log log;
        struct sona_store_stats stats;

        leave_behind(&log, 20);
        uint64_t start = sona_store_log_start(&log), bytes = sona_store_log_head(&log) - start;
        uint64_t at = dice_below(&dice, (uint32_t)bytes), good = 0;
        for (uint64_t walk = start; walk + sona_store_log_batch(&log, walk)->bytes <= start + at;
             good++)
            walk += sona_store_log_batch(&log, walk)->bytes;
        log.data[(start + at) & (log.capacity - 1)] ^= (uint8_t)(1u << dice_below(&dice, 8));
        sona_store_log_close(&log);
        stats = reopen(10 + good);
        cr_assert(eq(u64, stats.recovered, good), "seed %llu", (unsigned long long)dice.seed);
        cr_assert(eq(u64, stats.dropped, 20 - good));
        cr_assert(ne(ptr, strstr(fixture_notices, "intake_damaged: "), NULL));
        fixture_teardown();
        fixture_setup();
        fixture_notices[0] = '\0';
    }
}

Test(intake_log, goes_round_its_file_many_times)
{
    struct sona_store_options options = fixture_options();
    struct sona_store *store = fixture_open(&options);
    float x[2048] = {0};
    uint64_t n = 0, bytes = 0;

    while (bytes < 5ull * SONA_STORE_INTAKE_MIN) {
        uint32_t floats = 1 + (uint32_t)(fixture_mix(n, 1) % 2048);
        struct sona_store_record r = {.x = x, .x_n = floats, .now_ms = n};

        x[floats - 1] = (float)n;
        if (sona_store_append(store, &r, 1, NULL) != SONA_OK) {
            (void)usleep(500);
            continue;
        }
        n++;
        bytes += 4 * floats;
    }
    cr_assert(eq(int, sona_store_flush(store, n, 60000, &fixture_diag), SONA_OK));
    cr_expect(eq(u32, fixture_findings(store), 0), "%s", fixture_notices);
    cr_expect(eq(u64, sona_store_positions(store).committed, n));
    sona_store_close(&store);
}

Test(intake_log, of_another_journal_is_put_aside_and_told)
{
    struct sona_store_options options = fixture_options();
    struct sona_store_log log;
    struct sona_store *store;
    struct stat st;

    leave_behind(&log, 5);
    sona_store_log_close(&log);
    cr_assert(eq(int, unlink(fixture_path(".db")), 0)); /* an operator begins anew */
    store = fixture_open(&options);
    cr_expect(eq(u64, sona_store_positions(store).appended, 0));
    cr_expect(ne(ptr, strstr(fixture_notices, "intake_foreign: "), NULL), "%s", fixture_notices);
    cr_expect(eq(int, stat(fixture_path(".intake.orphan"), &st), 0));
    fixture_fill(store, 1, 5);
    sona_store_close(&store);
    (void)reopen(5);
}

Test(intake_log, takes_the_size_that_is_asked_for_after_it_is_emptied)
{
    struct sona_store_options options = fixture_options();
    struct sona_store_log log;
    struct stat st;

    leave_behind(&log, 5);
    sona_store_log_close(&log);
    options.intake_bytes = 3 * SONA_STORE_INTAKE_MIN;
    struct sona_store *store = fixture_open(&options);
    fixture_expect(store, 15);
    cr_assert(eq(int, stat(fixture_path(".intake"), &st), 0));
    cr_expect(eq(i64, st.st_size, 4 * SONA_STORE_INTAKE_MIN + SONA_STORE_LOG_HEADER));
    sona_store_close(&store);
}

Test(intake_log, that_is_none_is_refused)
{
    struct sona_store_log log;
    FILE *file = fopen(fixture_path(".intake"), "wb");

    (void)fputs("this is no intake log, but somebody's notes", file);
    (void)fclose(file);
    cr_expect(eq(int, sona_store_log_open(&log, fixture_path(".intake"), 1u << 22, &fixture_diag),
                 SONA_E_FORMAT));
    cr_expect(ne(ptr, strstr(fixture_diag.text, "move it away"), NULL), "%s", fixture_diag.text);
}

Test(intake_log, lanes_are_found_whatever_was_removed)
{
    struct dice dice = dice_open("lanes");
    struct sona_store_lanes lanes;
    static uint64_t next[20000];
    uint32_t count = 0;

    cr_assert(eq(int, sona_store_lanes_init(&lanes), SONA_OK));
    for (int turn = 0; turn < 200000; turn++) {
        uint32_t i = dice_below(&dice, 20000);
        struct sona_store_lane lane = {{i % 64 + 1, i / 64}}; /* alike: long probes */

        if (next[i] > 0 && dice_below(&dice, 3) == 0) {
            sona_store_lanes_remove(&lanes, lane);
            next[i] = 0;
            count--;
        } else if (next[i] > 0 || count < SONA_STORE_LANES_MAX) {
            count += next[i] == 0;
            sona_store_lanes_advance(&lanes, lane, 1, next[i] += 1 + dice_below(&dice, 9));
        }
    }
    cr_expect(eq(u32, lanes.count, count));
    for (uint32_t i = 0; i < 20000; i++) {
        struct sona_store_cursor *cursor =
            sona_store_lanes_find(&lanes, (struct sona_store_lane){{i % 64 + 1, i / 64}});

        cr_assert(eq(u64, cursor ? cursor->next : 0, next[i]), "seed %llu",
                  (unsigned long long)dice.seed);
    }
    sona_store_lanes_done(&lanes);
}

/* A file as a log makes it, then one word of its header otherwise; a file of other length, too. */
Test(intake_log, of_which_any_word_of_the_header_is_wrong_is_refused_and_left_alone)
{
    for (int what = 0; what < 8; what++) {
        const char *path = fixture_path(".intake");
        struct sona_store_log log, none = {.fd = 77};
        struct stat st;

        cr_assert(eq(int, sona_store_log_open(&log, path, SONA_STORE_INTAKE_MIN, &fixture_diag),
                     SONA_OK));
        struct sona_store_log_header *h = log.header;
        h->magic ^= what == 0;
        h->version ^= what == 1 ? 0x100 : 0;
        h->header_bytes ^= what == 2 ? 64 : 0;
        h->capacity = what == 3   ? SONA_STORE_INTAKE_MIN / 2
                      : what == 4 ? 2 * SONA_STORE_LOG_MAX
                      : what == 5 ? SONA_STORE_INTAKE_MIN + SONA_STORE_BATCH_STRIDE
                      : what == 6 ? 2 * SONA_STORE_INTAKE_MIN
                                  : h->capacity;
        if (what == 7)
            cr_assert(eq(int, ftruncate(log.fd, SONA_STORE_LOG_HEADER), 0));
        sona_store_log_close(&log);
        cr_expect(eq(int, sona_store_log_open(&none, path, 1u << 22, &fixture_diag), SONA_E_FORMAT),
                  "case %d", what);
        cr_expect(ne(ptr, strstr(fixture_diag.text, "move it away"), NULL), "%s",
                  fixture_diag.text);
        cr_expect(eq(int, none.fd, 77), "written on success only");
        cr_expect(eq(int, stat(path, &st), 0), "whatever it is, somebody wants it");
        (void)unlink(path);
    }
}

Test(intake_log, whose_making_was_cut_short_is_made_again)
{
    const char *path = fixture_path(".intake");
    struct sona_store_log log;

    wrapped_fail("posix_fallocate64", 0, 1, ENOSPC);
    cr_expect(eq(int, sona_store_log_open(&log, path, SONA_STORE_INTAKE_MIN, &fixture_diag),
                 SONA_E_SYSTEM));
    cr_expect(ne(ptr, strstr(fixture_diag.text, "make room"), NULL), "%s", fixture_diag.text);
    cr_assert(eq(int, truncate(path, 4096), 0)); /* some pages, no magic */
    cr_assert(
        eq(int, sona_store_log_open(&log, path, SONA_STORE_INTAKE_MIN, &fixture_diag), SONA_OK),
        "%s", fixture_diag.text);
    cr_expect(eq(u64, log.header->capacity, SONA_STORE_INTAKE_MIN));
    sona_store_log_close(&log);
    sona_store_log_close(&log); /* once more does nothing */
}

Test(intake_log, that_cannot_be_opened_says_why)
{
    static const struct {
        const char *call;
        unsigned pass;
        int error;
        sona_err code;
        const char *words;
    } cases[] = {
        {"open64", 0, EACCES, SONA_E_PERMISSION, "cannot open"},
        {"open64", 0, EPERM, SONA_E_PERMISSION, "cannot open"},
        {"open64", 0, EROFS, SONA_E_PERMISSION, "make it writable"},
        {"open64", 0, EMFILE, SONA_E_SYSTEM, "cannot open"},
        {"fstat64", 0, EIO, SONA_E_SYSTEM, "cannot open"},
        {"fcntl64", 0, EAGAIN, SONA_E_BUSY, "another sidecar has the intake log"},
        {"mmap64", 0, ENOMEM, SONA_E_SYSTEM, "cannot map"},
        {"mmap64", 1, ENOMEM, SONA_E_SYSTEM, "cannot map"},
        {"mmap64", 2, ENOMEM, SONA_E_SYSTEM, "cannot map"},
    };
    const char *path = fixture_path(".intake");

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sona_store_log log = {.fd = 77};

        wrapped_fail(cases[i].call, cases[i].pass, 1, cases[i].error);
        cr_expect(eq(int, sona_store_log_open(&log, path, SONA_STORE_INTAKE_MIN, &fixture_diag),
                     cases[i].code),
                  "%s", cases[i].call);
        cr_expect(eq(u32, wrapped_failed(cases[i].call), 1));
        cr_expect(ne(ptr, strstr(fixture_diag.text, cases[i].words), NULL), "%s",
                  fixture_diag.text);
        cr_expect(ne(ptr, strstr(fixture_diag.text, path), NULL), "%s", fixture_diag.text);
        cr_expect(eq(int, log.fd, 77), "written on success only");
        (void)unlink(path);
    }
}

/* A batch whose header lies: nothing is taken for one, whatever its checksum says. */
Test(intake_log, has_no_batch_where_a_word_of_its_header_lies)
{
    struct sona_store_log log;

    leave_behind(&log, 3);
    uint64_t at = sona_store_log_start(&log);
    struct sona_store_batch *b = (void *)(log.data + (at & (log.capacity - 1)));
    const struct sona_store_batch good = *b;

    cr_assert(eq(ptr, (void *)(uintptr_t)sona_store_log_batch(&log, at), b));
    for (int what = 0; what < 8; what++) {
        *b = good;
        b->magic ^= what == 0;
        b->at ^= what == 1 ? SONA_STORE_BATCH_STRIDE : 0;
        b->bytes = what == 2   ? sizeof *b - SONA_STORE_BATCH_STRIDE
                   : what == 3 ? sona_store_log_head(&log) - at + SONA_STORE_BATCH_STRIDE
                   : what == 4 ? good.bytes + 1
                               : good.bytes;
        b->count = what == 5 ? 0 : what == 6 ? SONA_STORE_BATCH_MAX + 1 : good.count;
        b->sum ^= what == 7;
        cr_expect(eq(ptr, (void *)(uintptr_t)sona_store_log_batch(&log, at), NULL), "case %d",
                  what);
    }
    *b = good;
    cr_expect(ne(ptr, (void *)(uintptr_t)sona_store_log_batch(&log, at), NULL));
    cr_expect(eq(ptr, (void *)(uintptr_t)sona_store_log_batch(&log, at + 8), NULL), "no stride");
    cr_expect(
        eq(ptr, (void *)(uintptr_t)sona_store_log_batch(&log, sona_store_log_head(&log)), NULL),
        "the end");
    atomic_store(&log.header->head, at + log.capacity + SONA_STORE_BATCH_STRIDE);
    cr_expect(eq(ptr, (void *)(uintptr_t)sona_store_log_batch(&log, at), NULL), "more than all");
    sona_store_log_close(&log);
}

/* The same for the entries inside, should a checksum ever agree by chance or malice. */
Test(intake_log, has_no_record_that_reaches_out_of_its_batch)
{
    struct sona_store_log log;
    struct sona_store_record r = {.position = 77};

    leave_behind(&log, 1);
    uint64_t at = sona_store_log_start(&log);
    struct sona_store_batch *b = (void *)(log.data + (at & (log.capacity - 1)));
    struct sona_store_entry *e = (void *)(b + 1), good = *e;
    uint64_t offset;

    for (int what = 0; what < 4; what++) {
        *e = good;
        e->x_n = what == 0 ? SONA_STORE_FLOATS_MAX + 1 : what == 3 ? good.x_n + 64 : good.x_n;
        e->base_n = what == 1 ? SONA_STORE_FLOATS_MAX + 1 : good.base_n;
        e->payload_bytes = what == 2 ? SONA_STORE_PAYLOAD_MAX + 1 : good.payload_bytes;
        offset = sizeof *b;
        cr_expect(not(sona_store_log_record(b, &offset, &r)), "case %d", what);
        cr_expect(eq(u64, offset, sizeof *b), "case %d: not passed over", what);
        cr_expect(eq(u64, r.position, 77), "case %d: written on success only", what);
    }
    *e = good;
    cr_expect(sona_store_log_record(b, &offset, &r));
    cr_expect(eq(u64, r.position, 11));
    offset = b->bytes - sizeof *e + 8;
    cr_expect(not(sona_store_log_record(b, &offset, &r)), "no room for an entry");
    sona_store_log_close(&log);
}
