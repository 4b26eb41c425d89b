/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Disks that are full, read-only or broken; files that are others', damaged or of another time.
 * Each is told with the file and what to do. */
#include <errno.h>
#include <sys/wait.h>

#include "sidecar/store/database.h"
#include "tests/sidecar/store/faulty.h"
#include "tests/sidecar/store/store_fixture.h"
#include "tests/support/wrapped.h"

static void setup(void)
{
    fixture_setup();
    faulty_reset();
}

TestSuite(faults, .init = setup, .fini = fixture_teardown);

static struct sona_store_options faulty_options(void)
{
    struct sona_store_options options = fixture_options();

    options.vfs = FAULTY_VFS;
    options.commit_ms = 1;
    options.durability = SONA_STORE_INTERVAL;
    options.sync_ms = 10;
    return options;
}

/* The store cannot be opened: `err`, the file and the remedy. */
static void expect_refused(const struct sona_store_options *options, sona_err err, const char *file,
                           const char *remedy)
{
    struct sona_store *store = NULL;
    sona_err got = sona_store_open(&store, options, &fixture_diag);

    cr_expect(eq(int, got, err), "%s", fixture_diag.text);
    cr_expect(eq(ptr, store, NULL));
    cr_expect(ne(ptr, strstr(fixture_diag.text, file), NULL), "%s", fixture_diag.text);
    cr_expect(ne(ptr, strstr(fixture_diag.text, remedy), NULL), "%s", fixture_diag.text);
}

/* Append until the store says that it cannot write; then let it, and see all that was taken. */
static void sicken_and_heal(enum faulty_error error, const char *words)
{
    struct sona_store_options options = faulty_options();
    struct sona_store *store = fixture_open(&options);
    sona_err err = SONA_OK;
    uint64_t n = 100;

    fixture_fill(store, 1, n);
    cr_assert(eq(int, sona_store_flush(store, n, 10000, &fixture_diag), SONA_OK));
    faulty_set(error);
    while (err == SONA_OK || err == SONA_E_FULL) {
        err = fixture_append(store, n + 1);
        n += err == SONA_OK;
        (void)usleep(200); /* what is taken meanwhile is read back below */
    }
    cr_expect(eq(int, err, SONA_E_SYSTEM));
    cr_expect(eq(int, sona_store_health(store, &fixture_diag), SONA_E_SYSTEM));
    cr_expect(ne(ptr, strstr(fixture_diag.text, words), NULL), "%s", fixture_diag.text);
    cr_expect(ne(ptr, strstr(fixture_diag.text, "one.db"), NULL), "%s", fixture_diag.text);
    cr_expect(eq(int, sona_store_flush(store, n, 10000, &fixture_diag), SONA_E_SYSTEM));
    cr_expect(ne(ptr, strstr(fixture_notices, "_failed: "), NULL), "%s", fixture_notices);
    cr_expect(eq(int, sona_store_generation_save(store, n, "state", 5, false, NULL, &fixture_diag),
                 SONA_E_SYSTEM),
              "%s", fixture_diag.text);
    faulty_set(FAULTY_NONE);
    while (sona_store_health(store, NULL) != SONA_OK)
        (void)usleep(1000); /* the test's time-out is the limit */
    cr_expect(eq(int, sona_store_flush(store, n, 10000, &fixture_diag), SONA_OK), "%s",
              fixture_diag.text);
    fixture_expect(store, n);
    cr_expect(eq(u32, fixture_findings(store), 0), "%s", fixture_notices);
    sona_store_close(&store);
}

Test(faults, full_disk_stops_the_journal_until_there_is_room, .timeout = 250)
{
    sicken_and_heal(FAULTY_FULL, "no space left");
}

Test(faults, write_error_is_told_and_survived, .timeout = 250)
{
    sicken_and_heal(FAULTY_WRITE, "look at the disk");
}

Test(faults, failed_sync_is_told_and_what_it_covered_is_written_again, .timeout = 250)
{
    sicken_and_heal(FAULTY_SYNC, "look at the disk");
}

/* What the failed sync was for lies in pages that the kernel calls clean: the next sync leaves them
 * alone, and says that all is well. Then the power fails. */
static void lose_a_sync(bool healed)
{
    struct sona_store_options options = faulty_options();
    struct dice dice = {.seed = 1, .state = 1};

    options.sync_ms = 600000; /* only when it is asked for */
    struct sona_store *store = fixture_open(&options);
    fixture_fill(store, 1, 100);
    cr_assert(eq(int, sona_store_flush(store, 100, 10000, &fixture_diag), SONA_OK));
    fixture_fill(store, 101, 200);
    while (sona_store_positions(store).committed < 200)
        (void)usleep(1000); /* the test's time-out is the limit */
    faulty_set(FAULTY_SYNC_LOST);
    cr_expect(eq(int, sona_store_flush(store, 200, 10000, &fixture_diag), SONA_E_SYSTEM));
    faulty_set(FAULTY_NONE);
    while (healed && sona_store_flush(store, 200, 10000, &fixture_diag) != SONA_OK)
        (void)usleep(1000);
    (void)sona_store_generation_save(store, 200, "state", 5, false, NULL, NULL); /* syncs, too */
    uint64_t durable = sona_store_positions(store).durable;
    cr_expect(ge(u64, durable, healed ? 200 : 100));
    faulty_cut_after(1);
    sona_store_close(&store);
    faulty_restore(&dice);
    store = fixture_open(&options);
    uint64_t kept = sona_store_positions(store).appended;
    cr_expect(ge(u64, kept, durable), "it was promised");
    fixture_expect(store, kept);
    cr_expect(eq(u32, fixture_findings(store), 0), "%s", fixture_notices);
    sona_store_close(&store);
}

Test(faults, a_sync_behind_one_that_failed_promises_nothing_that_was_lost, .timeout = 250)
{
    lose_a_sync(false);
}

Test(faults, what_a_failed_sync_lost_is_written_again_where_it_was, .timeout = 250)
{
    lose_a_sync(true);
}

static void wait_refused(void)
{
    while (faulty_refusals() == 0)
        (void)usleep(1000); /* the test's time-out is the limit */
}

/* What the failed sync was for is written again from the WAL: which cannot be read at first, and
 * for which there is no memory then. */
Test(faults, what_a_failed_sync_lost_is_waited_for_until_it_can_be_written_again, .timeout = 250)
{
    struct sona_store_options options = faulty_options();
    struct sona_store *store = fixture_open(&options);

    fixture_fill(store, 1, 100);
    faulty_set(FAULTY_SYNC);
    cr_expect(eq(int, sona_store_flush(store, 100, 10000, &fixture_diag), SONA_E_SYSTEM));
    faulty_set(FAULTY_READ_WAL);
    wait_refused();
    cr_expect(eq(int, sona_store_health(store, &fixture_diag), SONA_E_SYSTEM));
    wrapped_fail("malloc", 0, 1, ENOMEM);
    faulty_set(FAULTY_NONE);
    while (sona_store_health(store, NULL) != SONA_OK)
        (void)usleep(1000);
    cr_expect(eq(u32, wrapped_failed("malloc"), 1));
    cr_expect(eq(int, sona_store_flush(store, 100, 10000, &fixture_diag), SONA_OK));
    fixture_expect(store, 100);
    sona_store_close(&store);
}

/* Upkeep meets the bad disk first: it removes nothing, and again later. */
Test(faults, rows_that_cannot_be_removed_stay_until_they_can, .timeout = 250)
{
    struct sona_store_options options = faulty_options();
    struct sona_store *store = fixture_open(&options);
    struct sona_store_stats stats;

    fixture_fill(store, 1, 2000);
    for (uint64_t at = 1000; at <= 1500; at += 500)
        cr_assert(eq(int,
                     sona_store_generation_save(store, at, "state", 5, false, NULL, &fixture_diag),
                     SONA_OK));
    sona_store_close(&store);
    options.retain_bytes = 4096;
    faulty_set(FAULTY_WRITE);
    store = fixture_open(&options);
    wait_refused();
    sona_store_stats(store, &stats);
    cr_expect(eq(u64, stats.first_position, 1));
    cr_expect(eq(u64, stats.rows_removed, 0));
    faulty_set(FAULTY_NONE);
    do {
        (void)usleep(1000);
        sona_store_stats(store, &stats);
    } while (stats.first_position < 1001);
    cr_expect(eq(u64, stats.rows_removed, 1000));
    sona_store_close(&store);
}

/* An operator's sqlite3 copies the WAL, and sleeps over it: that is no failure. */
Test(faults, a_checkpoint_of_somebody_elses_is_waited_for_and_told_nobody, .timeout = 250)
{
    struct sona_store_options options = faulty_options();
    struct sona_store_stats stats;

    options.wal_bytes = 4096;
    struct sona_store *store = fixture_open(&options);
    faulty_set(FAULTY_BUSY);
    fixture_fill(store, 1, 200);
    wait_refused();
    cr_expect(eq(int, sona_store_health(store, NULL), SONA_OK));
    sona_store_stats(store, &stats);
    cr_expect(eq(u64, stats.checkpoints, 0));
    faulty_set(FAULTY_NONE);
    do {
        (void)usleep(1000);
        sona_store_stats(store, &stats);
    } while (stats.checkpoints == 0);
    cr_expect(eq(str, fixture_notices, ""));
    fixture_expect(store, 200);
    sona_store_close(&store);
}

Test(faults, file_system_gone_read_only_is_told_and_survived, .timeout = 250)
{
    sicken_and_heal(FAULTY_READ_ONLY, "writable");
}

Test(faults, with_the_disk_refusing_to_the_end_the_intake_log_keeps_what_was_taken, .timeout = 250)
{
    struct sona_store_options options = faulty_options();
    struct sona_store *store = fixture_open(&options);
    struct sona_store_stats stats;
    uint64_t n = 0;

    faulty_set(FAULTY_WRITE);
    while (fixture_append(store, n + 1) == SONA_OK) {
        n++;
        (void)usleep(200);
    }
    cr_assert(gt(u64, n, 0));
    sona_store_close(&store);
    faulty_set(FAULTY_NONE);
    store = fixture_open(&options);
    sona_store_stats(store, &stats);
    cr_expect(eq(u64, stats.recovered, n));
    fixture_expect(store, n);
    sona_store_close(&store);
}

/* In a child that is nobody, if we are root: root may write anything. */
static void read_only_directory(const char *dir)
{
    struct sona_store_options options = fixture_options();
    struct sona_store *store = NULL;

    options.state_dir = dir;
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
        _exit(2);
    sona_err err = sona_store_open(&store, &options, &fixture_diag);
    (void)fprintf(stderr, "%s\n", fixture_diag.text);
    _exit(err == SONA_E_PERMISSION && strstr(fixture_diag.text, "make it writable") ? 0 : 1);
}

Test(faults, read_only_directory_is_named_with_the_remedy)
{
    char dir[128];
    int status;

    (void)snprintf(dir, sizeof dir, "%s/state", fixture_dir);
    cr_assert(eq(int, mkdir(dir, 0700), 0));
    if (geteuid() == 0) {
        cr_assert(eq(int, chown(dir, 65534, 65534), 0));
        cr_assert(eq(int, chmod(fixture_dir, 0755), 0));
    }
    cr_assert(eq(int, chmod(dir, 0500), 0));
    pid_t pid = fork();
    if (pid == 0)
        read_only_directory(dir);
    cr_assert(eq(i64, waitpid(pid, &status, 0), pid));
    cr_expect(eq(int, status, 0));
    cr_assert(eq(int, chmod(dir, 0700), 0));
}

Test(faults, directory_open_to_others_is_refused)
{
    struct sona_store_options options = fixture_options();

    cr_assert(eq(int, chmod(fixture_dir, 0750), 0));
    expect_refused(&options, SONA_E_PERMISSION, fixture_dir, "chmod 700");
}

Test(faults, file_of_another_owner_is_refused)
{
    static const char *const suffixes[] = {".db", ".intake", ".db.lock"};
    struct sona_store_options options = fixture_options();

    if (geteuid() != 0)
        cr_skip("needs root, who can give files away");
    for (size_t i = 0; i < 3; i++) {
        struct sona_store *store = fixture_open(&options);

        sona_store_close(&store);
        cr_assert(eq(int, chown(fixture_path(suffixes[i]), 65534, 65534), 0));
        expect_refused(&options, SONA_E_PERMISSION, suffixes[i], "chown");
        cr_assert(eq(int, chown(fixture_path(suffixes[i]), 0, 0), 0));
    }
}

Test(faults, symbolic_link_in_a_files_place_is_refused)
{
    static const char *const suffixes[] = {".db", ".intake", ".db.lock", ".db-wal"};
    struct sona_store_options options = fixture_options();

    for (size_t i = 0; i < 4; i++) {
        cr_assert(eq(int, symlink("/etc/passwd", fixture_path(suffixes[i])), 0));
        expect_refused(&options, SONA_E_PERMISSION, suffixes[i], "move it away");
        cr_assert(eq(int, unlink(fixture_path(suffixes[i])), 0));
    }
}

Test(faults, two_on_one_store_is_refused_and_the_first_goes_on)
{
    struct sona_store_options options = fixture_options(), elsewhere = options;
    struct sona_store *store = fixture_open(&options);
    char dir[128];

    expect_refused(&options, SONA_E_BUSY, "one.db", "--instance");
    /* Another journal, but the same intake log. */
    (void)snprintf(dir, sizeof dir, "%s/other", fixture_dir);
    elsewhere.state_dir = dir;
    elsewhere.intake_dir = fixture_dir;
    expect_refused(&elsewhere, SONA_E_BUSY, "one.intake", "--instance");
    fixture_fill(store, 1, 10);
    cr_assert(eq(int, sona_store_flush(store, 10, 10000, &fixture_diag), SONA_OK));
    fixture_expect(store, 10);
    sona_store_close(&store);
}

Test(faults, newer_schema_is_refused_and_left_alone)
{
    struct sona_store_options options = fixture_options();
    struct sona_store *store = fixture_open(&options);

    sona_store_close(&store);
    fixture_sql("PRAGMA user_version=5");
    expect_refused(&options, SONA_E_ABI, "one.db", "upgrade");
    fixture_sql("PRAGMA user_version=4");
    store = fixture_open(&options);
    sona_store_close(&store);
}

Test(faults, older_schema_is_brought_up_to_date_with_all_its_rows)
{
    struct sona_store_options options = fixture_options();
    struct sona_store *store = fixture_open(&options);

    fixture_fill(store, 1, 50);
    sona_store_close(&store);
    fixture_sql("DROP TABLE imported; DROP VIEW outcome; DROP VIEW journal; DROP TABLE kind; "
                "ALTER TABLE event DROP COLUMN unrecorded; PRAGMA user_version=1");
    store = fixture_open(&options);
    fixture_expect(store, 50);
    sona_store_close(&store);
    fixture_sql("SELECT * FROM outcome; SELECT * FROM journal");
}

Test(faults, database_of_another_program_is_refused_and_left_alone)
{
    struct sona_store_options options = fixture_options();

    fixture_sql("CREATE TABLE mine(x); INSERT INTO mine VALUES(1)");
    (void)chmod(fixture_path(".db"), 0600);
    expect_refused(&options, SONA_E_FORMAT, "one.db", "another state_dir");
    fixture_sql("SELECT x FROM mine");
}

Test(faults, file_that_is_no_database_is_refused)
{
    struct sona_store_options options = fixture_options();
    char noise[20000];

    memset(noise, 'x', sizeof noise);
    FILE *file = fopen(fixture_path(".db"), "wb");
    cr_assert(eq(u64, fwrite(noise, 1, sizeof noise, file), sizeof noise));
    (void)fclose(file);
    (void)chmod(fixture_path(".db"), 0600);
    expect_refused(&options, SONA_E_FORMAT, "one.db", "move it away");
}

/* Flip a bit at the only place of the database that holds these bytes. */
static void damage(const void *bytes, size_t n, size_t in)
{
    FILE *file = fopen(fixture_path(".db"), "r+b");
    static uint8_t all[8u << 20];
    size_t size = fread(all, 1, sizeof all, file);
    uint8_t *at = memmem(all, size, bytes, n);

    cr_assert(ne(ptr, at, NULL));
    at[in] ^= 1;
    cr_assert(eq(int, fseek(file, at - all + (long)in, SEEK_SET), 0));
    cr_assert(eq(u64, fwrite(at + in, 1, 1, file), 1));
    (void)fclose(file);
}

Test(faults, flipped_bit_in_an_embedding_stops_the_replay_and_is_found)
{
    struct sona_store_options options = fixture_options();
    struct sona_store *store = fixture_open(&options);
    struct fixture_seen seen = {.first = 1};
    struct fixture_record f;

    fixture_fill(store, 1, 500);
    sona_store_close(&store);
    fixture_make(&f, 321);
    damage(f.x, sizeof f.x, 17);
    store = fixture_open(&options);
    cr_expect(
        eq(int, sona_store_replay(store, 1, fixture_see, &seen, &fixture_diag), SONA_E_FORMAT));
    cr_expect(ne(ptr, strstr(fixture_diag.text, "position 321"), NULL), "%s", fixture_diag.text);
    cr_expect(eq(u64, seen.last, 320));
    cr_expect(eq(u32, fixture_findings(store), 1), "%s", fixture_notices);
    cr_expect(ne(ptr, strstr(fixture_notices, "position 321"), NULL), "%s", fixture_notices);
    sona_store_close(&store);
}

Test(faults, corrupt_page_is_told_and_found)
{
    struct sona_store_options options = fixture_options();
    struct sona_store *store = fixture_open(&options);
    struct fixture_seen seen = {.first = 1};
    static const uint8_t zeros[SONA_STORE_PAGE_BYTES];

    fixture_fill(store, 1, 2000);
    sona_store_close(&store);
    int fd = open(fixture_path(".db"), O_RDWR);
    off_t size = lseek(fd, 0, SEEK_END);
    cr_assert(eq(i64, pwrite(fd, zeros, sizeof zeros, size / 2 / sizeof zeros * sizeof zeros),
                 sizeof zeros));
    (void)close(fd);
    store = fixture_open(&options);
    cr_expect(
        eq(int, sona_store_replay(store, 1, fixture_see, &seen, &fixture_diag), SONA_E_FORMAT),
        "%s", fixture_diag.text);
    cr_expect(ne(ptr, strstr(fixture_diag.text, "one.db"), NULL), "%s", fixture_diag.text);
    cr_expect(lt(u64, seen.rows, 2000));
    cr_expect(gt(u32, fixture_findings(store), 0));
    sona_store_close(&store);
}

Test(faults, damaged_generation_falls_back_to_the_one_before_loudly)
{
    struct sona_store_options options = fixture_options();
    struct sona_store *store = fixture_open(&options);
    struct sona_store_generation g;
    void *bytes = NULL;

    fixture_fill(store, 1, 300);
    cr_assert(eq(
        int,
        sona_store_generation_save(store, 100, "the first state", 15, false, NULL, &fixture_diag),
        SONA_OK));
    cr_assert(eq(
        int,
        sona_store_generation_save(store, 200, "the second state", 16, false, NULL, &fixture_diag),
        SONA_OK));
    sona_store_close(&store);
    damage("the second state", 16, 5);
    store = fixture_open(&options);
    cr_expect(eq(u32, fixture_findings(store), 1));
    fixture_notices[0] = '\0';
    cr_assert(eq(int, sona_store_generation_read(store, 0, &g, &bytes, &fixture_diag), SONA_OK));
    cr_expect(eq(u64, g.position, 100));
    cr_expect(eq(int, memcmp(bytes, "the first state", 15), 0));
    cr_expect(ne(ptr, strstr(fixture_notices, "generation_damaged: "), NULL), "%s",
              fixture_notices);
    cr_expect(g.exact, "what came since is there to be replayed");
    struct fixture_seen seen = {.first = 1, .last = 100};
    cr_expect(eq(int, sona_store_replay(store, 101, fixture_see, &seen, &fixture_diag), SONA_OK));
    cr_expect(eq(u64, seen.rows, 200));
    cr_expect(eq(u64, seen.wrong, 0));
    cr_expect(
        eq(int, sona_store_generation_rollback(store, 2, NULL, &fixture_diag), SONA_E_FORMAT));
    free(bytes);
    sona_store_close(&store);
}

Test(faults, options_out_of_range_are_refused)
{
    struct sona_store_options options = fixture_options();

    options.sample = 1.5f;
    expect_refused(&options, SONA_E_RANGE, "sample", "0..1");
    options = fixture_options();
    options.instance = "../one";
    expect_refused(&options, SONA_E_RANGE, "instance", "letters");
}
