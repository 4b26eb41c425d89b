/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Databases and logs in which every checksum of SQLite is right, and which no sidecar has written
 * so: somebody had a shell. Each is told, none is believed beyond what it can say. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include <xxhash.h>

#include "sidecar/store/describe.h"
#include "sidecar/store/intake_log.h"
#include "sidecar/store/lanes.h"
#include "tests/sidecar/store/store_fixture.h"
#include "tests/support/wrapped.h"

TestSuite(strange, .init = fixture_setup, .fini = fixture_teardown);

static const struct sona_store_options *plain(void)
{
    static struct sona_store_options options;

    options = fixture_options();
    return &options;
}

/* A closed store with `rows` rows and a generation at each of the positions. */
static void make(uint64_t rows, uint64_t first, uint64_t second)
{
    struct sona_store *store = fixture_open(plain());
    const uint64_t at[] = {first, second};

    fixture_fill(store, 1, rows);
    for (int i = 0; i < 2; i++)
        if (at[i] > 0)
            cr_assert(
                eq(int,
                   sona_store_generation_save(store, at[i], "state", 5, false, NULL, &fixture_diag),
                   SONA_OK));
    sona_store_close(&store);
}

static void expect_refused(sona_err code, const char *words)
{
    struct sona_store *store = NULL;

    cr_expect(eq(int, sona_store_open(&store, plain(), &fixture_diag), code), "%s",
              fixture_diag.text);
    cr_expect(eq(ptr, store, NULL));
    cr_expect(ne(ptr, strstr(fixture_diag.text, words), NULL), "%s", fixture_diag.text);
}

/* What a check of the store as it lies there finds. */
static void expect_found(uint32_t n, const char *words)
{
    struct sona_store *store = fixture_open(plain());

    fixture_notices[0] = '\0';
    cr_expect(eq(u32, fixture_findings(store), n), "%s", fixture_notices);
    cr_expect(ne(ptr, strstr(fixture_notices, words), NULL), "%s", fixture_notices);
    sona_store_close(&store);
}

Test(strange, a_database_with_a_number_of_anothers_is_refused)
{
    static const char *const marks[] = {"PRAGMA application_id=7", "PRAGMA user_version=3"};

    for (size_t i = 0; i < 2; i++) { /* no table yet, but its name is on the door */
        fixture_sql("PRAGMA journal_mode=DELETE; VACUUM");
        fixture_sql(marks[i]);
        (void)chmod(fixture_path(".db"), 0600);
        expect_refused(SONA_E_FORMAT, "another program");
        (void)unlink(fixture_path(".db"));
    }
    make(3, 0, 0);
    fixture_sql("PRAGMA user_version=0");
    expect_refused(SONA_E_FORMAT, "another program");
    fixture_sql("PRAGMA user_version=-1");
    expect_refused(SONA_E_FORMAT, "another program");
}

Test(strange, a_database_without_its_one_row_or_with_a_short_name_is_damaged)
{
    make(3, 0, 0);
    fixture_sql("UPDATE store SET uuid=x'0102'");
    expect_refused(SONA_E_FORMAT, "is damaged");
    fixture_sql("DELETE FROM store");
    expect_refused(SONA_E_FORMAT, "is damaged");
}

Test(strange, a_lane_with_a_short_name_is_passed_over_and_lanes_beyond_the_limit_are_not_read)
{
    char text[400];
    uint64_t next = 0;

    make(3, 0, 0);
    fixture_sql("INSERT INTO lane VALUES(x'0102',1,5,0)");
    struct sona_store *store = fixture_open(plain());
    cr_expect(not(sona_store_cursor(store, (struct sona_store_lane){{0x201, 0}}, &next)));
    sona_store_close(&store);
    (void)snprintf(
        text, sizeof text,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%u) INSERT "
        "INTO lane SELECT CAST(printf('%%016d',i) AS BLOB),1,5,0 FROM n",
        SONA_STORE_LANES_MAX + 10);
    fixture_sql(text);
    store = fixture_open(plain());
    const struct sona_store_record r = {.kind = SONA_STORE_cursor, .lane = {{77, 77}}};
    cr_expect(eq(int, sona_store_append(store, &r, 1, NULL), SONA_E_LIMIT), "it is full");
    sona_store_close(&store);
}

Test(strange, a_blob_of_a_length_that_no_vector_has_is_a_damaged_row)
{
    static const char *const columns[] = {"lane=x'0102'",
                                          "x=x'010203'",
                                          "x=zeroblob(65540)",
                                          "base=x'01'",
                                          "payload=zeroblob(4194304)",
                                          "quality=0.125"};
    char text[128];

    make(20, 0, 0);
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        (void)snprintf(text, sizeof text, "UPDATE event SET %s WHERE position=%zu", columns[i],
                       i + 1);
        fixture_sql(text);
        (void)snprintf(text, sizeof text, "the checksum of the row at position %zu is wrong",
                       i + 1);
        expect_found((uint32_t)i + 1, text);
    }
}

static bool see(void *context, const struct sona_store_record *record)
{
    *(uint64_t *)context = record->position;
    return true;
}

Test(strange, a_row_that_is_gone_stops_the_replay_and_is_found)
{
    uint64_t last = 0;

    make(20, 0, 0);
    fixture_sql("DELETE FROM event WHERE position IN (7,8)");
    expect_found(1, "positions 7 to 8 are missing");
    struct sona_store *store = fixture_open(plain());
    cr_expect(eq(int, sona_store_replay(store, 0, see, &last, &fixture_diag), SONA_E_FORMAT));
    cr_expect(ne(ptr, strstr(fixture_diag.text, "position 7"), NULL), "%s", fixture_diag.text);
    cr_expect(eq(u64, last, 6));
    uint32_t findings = 0;
    cr_expect(eq(int, sona_store_check(store, NULL, NULL, &findings, NULL), SONA_OK));
    cr_expect(eq(u32, findings, 1), "counted, though nobody listens");
    sona_store_close(&store);
    fixture_sql("DELETE FROM event WHERE position>15");
    expect_found(2, "positions 16 to 20 are missing");
    fixture_sql("DELETE FROM event WHERE position<3; UPDATE store SET first=5");
    expect_found(2, "positions 7 to 8 are missing"); /* the first four are not: so it is said */
}

Test(strange, a_generation_of_parts_that_do_not_fit_is_damaged)
{
    static const char *const parts[] = {"data=x''", "data=zeroblob(6)", "data=zeroblob(4)"};
    struct sona_store_generation g;
    struct sona_store *store;
    void *bytes = NULL;
    char text[96];

    make(20, 10, 15);
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(text, sizeof text, "UPDATE part SET %s WHERE id>>12=2", parts[i]);
        fixture_sql(text);
        expect_found(1, "generation 2 in");
        store = fixture_open(plain());
        cr_expect(eq(int, sona_store_generation_read(store, 2, &g, &bytes, NULL), SONA_E_FORMAT));
        cr_assert(eq(int, sona_store_generation_read(store, 0, &g, &bytes, NULL), SONA_OK));
        cr_expect(eq(u64, g.number, 1), "the one before");
        free(bytes);
        sona_store_close(&store);
    }
    fixture_sql("UPDATE generation SET bytes=2000000000 WHERE number=2");
    expect_found(1, "generation 2 in");
    fixture_sql("UPDATE generation SET position=99 WHERE number=1");
    expect_found(2, "covers positions beyond the journal");
    fixture_sql("UPDATE generation SET position=10 WHERE number=1; UPDATE store SET first=15");
    store = fixture_open(plain());
    cr_assert(eq(int, sona_store_generation_read(store, 1, &g, &bytes, NULL), SONA_OK));
    cr_expect(not(g.exact), "what came since is gone");
    free(bytes);
    cr_expect(eq(int, sona_store_generation_rollback(store, 0, NULL, &fixture_diag), SONA_E_RANGE));
    cr_expect(ne(ptr, strstr(fixture_diag.text, "name the generation"), NULL));
    sona_store_close(&store);
}

/* More than the keeper keeps, because somebody pinned them; and the clock was turned back. */
Test(strange, a_hundred_pinned_generations_of_tomorrow_are_listed)
{
    char text[400];

    make(20, 10, 15);
    (void)snprintf(text, sizeof text,
                   "WITH RECURSIVE n(i) AS (SELECT 3 UNION ALL SELECT i+1 FROM n WHERE i<102) "
                   "INSERT INTO generation SELECT i,15,9e15,0,%lld,1,NULL FROM n",
                   (long long)XXH3_64bits("", 0));
    fixture_sql(text);
    struct sona_store *store = fixture_open(plain());
    wrapped_fail("calloc", 0, 1, ENOMEM);
    cr_expect(eq(ptr, sona_store_describe_generations(store, &fixture_diag), NULL));
    cr_expect(eq(int, fixture_diag.code, SONA_E_MEMORY));
    json_t *all = sona_store_describe_generations(store, &fixture_diag);
    cr_expect(eq(sz, json_array_size(json_object_get(all, "generations")), 102));
    json_decref(all);
    all = sona_store_describe(store);
    cr_expect(eq(i64, json_integer_value(json_object_get(all, "generation")), 102));
    cr_expect(eq(i64, json_integer_value(json_object_get(all, "generation_age_ms")), 0));
    json_decref(all);
    cr_expect(eq(u32, fixture_findings(store), 0), "%s", fixture_notices);
    sona_store_close(&store);
}

/* ---- who asks while everything is read ---- */

struct asked {
    struct sona_store *store;
    sona_err page, list, imported;
    uint64_t rows;
};

static void *ask_page(void *argument)
{
    struct asked *a = argument;
    uint64_t last = 0;

    a->page = sona_store_page(a->store, 1, see, &last, NULL);
    return NULL;
}

static void *ask_list(void *argument)
{
    struct asked *a = argument;
    uint32_t n;

    a->list = sona_store_generation_list(a->store, NULL, 0, &n, NULL);
    return NULL;
}

static void *ask_imported(void *argument)
{
    struct asked *a = argument;
    const struct sona_store_import import = {.key = 7};
    bool found;

    a->imported = sona_store_imported(a->store, &import, 1, &found, NULL);
    return NULL;
}

static bool ask_meanwhile(void *context, const struct sona_store_record *record)
{
    static void *(*const asks[])(void *) = {ask_page, ask_list, ask_imported};
    struct asked *a = context;
    pthread_t thread[3];

    (void)record;
    for (int i = 0; i < 3; i++)
        cr_assert(eq(int, pthread_create(&thread[i], NULL, asks[i], a), 0));
    for (int i = 0; i < 3; i++)
        (void)pthread_join(thread[i], NULL);
    a->rows++;
    return false;
}

Test(strange, who_asks_while_everything_is_read_is_told_so_and_not_held_up)
{
    make(20, 10, 15);
    struct asked a = {.store = fixture_open(plain())};

    cr_expect(eq(int, sona_store_replay(a.store, 1, ask_meanwhile, &a, NULL), SONA_OK));
    cr_expect(eq(u64, a.rows, 1));
    cr_expect(eq(int, a.page, SONA_E_BUSY));
    cr_expect(eq(int, a.list, SONA_E_BUSY));
    cr_expect(eq(int, a.imported, SONA_E_BUSY));
    sona_store_close(&a.store);
}

/* ---- the C library refuses ---- */

Test(strange, a_store_without_memory_for_one_of_its_parts_is_not_opened)
{
    static const struct {
        const char *call;
        unsigned pass;
    } parts[] = {{"calloc", 0}, {"malloc", 0}, {"malloc", 1}, {"malloc", 2}, {"calloc", 1}};

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        wrapped_fail(parts[i].call, parts[i].pass, 1, ENOMEM);
        expect_refused(SONA_E_MEMORY, "out of memory for the store");
        cr_expect(eq(u32, wrapped_failed(parts[i].call), 1), "part %zu", i);
    }
    cr_expect(eq(int, access(fixture_path(".db"), F_OK), -1), "and nothing is left");
}

Test(strange, a_generation_for_which_there_is_no_memory_is_not_damaged)
{
    struct sona_store_generation g;
    uint32_t findings = 77;
    void *bytes = NULL;

    make(20, 10, 15);
    struct sona_store *store = fixture_open(plain());
    wrapped_fail("malloc", 0, 1, ENOMEM);
    cr_expect(
        eq(int, sona_store_generation_read(store, 0, &g, &bytes, &fixture_diag), SONA_E_MEMORY));
    cr_expect(ne(ptr, strstr(fixture_diag.text, "out of memory"), NULL));
    for (int with = 0; with < 2; with++) {
        fixture_diag.code = SONA_OK;
        wrapped_fail("malloc", 0, 1, ENOMEM);
        cr_expect(
            eq(int,
               sona_store_check(store, fixture_find, NULL, &findings, with ? &fixture_diag : NULL),
               SONA_E_MEMORY));
        cr_expect(eq(u32, findings, 77), "written on success only");
    }
    cr_expect(eq(int, fixture_diag.code, SONA_E_MEMORY));
    cr_expect(eq(int, sona_store_check(store, NULL, NULL, &findings, NULL), SONA_OK));
    cr_expect(eq(u32, findings, 0));
    sona_store_close(&store);
}

/* ---- the intake log ---- */

/* Ten records in the journal and `n` in the log alone, as after a kill. */
static void leave_behind(struct sona_store_log *ret, uint32_t n)
{
    struct fixture_record f;

    make(10, 0, 0);
    cr_assert(eq(int, sona_store_log_open(ret, fixture_path(".intake"), 0, &fixture_diag), SONA_OK),
              "%s", fixture_diag.text);
    ret->next_seq = 11;
    for (uint32_t i = 0; i < n; i++) {
        fixture_make(&f, 11 + i);
        (void)sona_store_log_append(ret, &f.record, 1, 11 + i);
    }
}

static struct sona_store_batch *first_batch(const struct sona_store_log *log)
{
    return (void *)(log->data + (sona_store_log_start(log) & (log->capacity - 1)));
}

/* As intake_log.h says it. */
static void seal(struct sona_store_batch *b)
{
    struct sona_store_batch head = *b;

    head.sum = 0;
    b->sum = XXH3_64bits_withSeed(b + 1, b->bytes - sizeof *b, XXH3_64bits(&head, sizeof head));
}

Test(strange, a_batch_with_a_record_too_long_for_it_is_not_journaled_though_its_sum_is_right)
{
    struct sona_store_log log;

    leave_behind(&log, 3);
    struct sona_store_batch *b = first_batch(&log);
    ((struct sona_store_entry *)(void *)(b + 1))->x_n += 64;
    seal(b);
    cr_assert(
        ne(ptr, (void *)(uintptr_t)sona_store_log_batch(&log, sona_store_log_start(&log)), NULL),
        "the sum is not what makes it wrong");
    sona_store_log_close(&log);
    expect_refused(SONA_E_FORMAT, "another program wrote into the intake log");
}

Test(strange, batches_that_do_not_follow_the_journal_are_lost_and_told)
{
    for (int what = 0; what < 2; what++) {
        struct sona_store_log log;
        struct sona_store_stats stats;

        leave_behind(&log, 3);
        if (what == 1) { /* the log says less than it holds */
            first_batch(&log)->sum ^= 1;
            atomic_store(&log.header->head_position, 0);
        }
        sona_store_log_close(&log);
        if (what == 0) /* an older copy of the database */
            fixture_sql("DELETE FROM event WHERE position>9; UPDATE store SET position=9");
        struct sona_store *store = fixture_open(plain());
        sona_store_stats(store, &stats);
        cr_expect(eq(u64, stats.recovered, 0));
        cr_expect(eq(u64, stats.dropped, what == 0 ? 4 : 0));
        cr_expect(ne(ptr, strstr(fixture_notices, "intake_damaged: "), NULL), "%s",
                  fixture_notices);
        sona_store_close(&store);
        fixture_teardown();
        fixture_setup();
        fixture_notices[0] = '\0';
    }
}

Test(strange, a_log_that_cannot_be_put_aside_says_why)
{
    struct sona_store_log log;

    leave_behind(&log, 3);
    sona_store_log_close(&log);
    cr_assert(eq(int, unlink(fixture_path(".db")), 0));
    wrapped_fail("rename", 0, 1, EACCES);
    expect_refused(SONA_E_SYSTEM, "cannot move");
    cr_expect(eq(u32, wrapped_failed("rename"), 1));
}

Test(strange, a_log_that_is_scribbled_on_while_it_is_used_is_told_and_not_journaled)
{
    struct sona_store_options options = fixture_options();
    struct sona_store_batch *b;

    options.commit_ms = 60000;
    options.commit_records = 1000000;
    struct sona_store *store = fixture_open(&options);
    fixture_fill(store, 1, 5);
    int fd = open(fixture_path(".intake"), O_RDWR);
    uint8_t *map = mmap(NULL, SONA_STORE_LOG_HEADER + SONA_STORE_INTAKE_MIN, PROT_READ | PROT_WRITE,
                        MAP_SHARED, fd, 0);
    cr_assert(ne(ptr, map, MAP_FAILED));
    (void)close(fd);
    const struct sona_store_log log = {.capacity = SONA_STORE_INTAKE_MIN,
                                       .header = (void *)map,
                                       .data = map + SONA_STORE_LOG_HEADER};
    b = first_batch(&log);
    b->sum ^= 1;
    cr_expect(eq(int, sona_store_flush(store, 5, 10000, &fixture_diag), SONA_E_SYSTEM));
    cr_expect(ne(ptr, strstr(fixture_diag.text, "another program wrote"), NULL), "%s",
              fixture_diag.text);
    cr_expect(eq(u64, sona_store_positions(store).committed, 0));
    b->sum ^= 1; /* and as it was */
    while (sona_store_health(store, NULL) != SONA_OK)
        (void)usleep(1000); /* the test's time-out is the limit */
    cr_expect(eq(int, sona_store_flush(store, 5, 10000, &fixture_diag), SONA_OK));
    fixture_expect(store, 5);
    sona_store_close(&store);
    (void)munmap(map, SONA_STORE_LOG_HEADER + SONA_STORE_INTAKE_MIN);
}

/* ---- lanes ---- */

/* One word alike in all of them: what is met on the way is told apart by the other. */
Test(strange, lanes_that_differ_in_one_word_only_are_kept_apart_and_cursors_do_not_go_back)
{
    struct sona_store_lanes lanes;

    cr_assert(eq(int, sona_store_lanes_init(&lanes), SONA_OK));
    for (uint64_t i = 0; i < SONA_STORE_LANES_MAX; i++)
        sona_store_lanes_advance(&lanes, (struct sona_store_lane){{7, i}}, 1, i + 1);
    for (uint64_t i = 0; i < SONA_STORE_LANES_MAX; i++) {
        struct sona_store_cursor *c =
            sona_store_lanes_find(&lanes, (struct sona_store_lane){{7, i}});

        cr_assert(ne(ptr, c, NULL));
        cr_assert(eq(u64, c->next, i + 1));
    }
    sona_store_lanes_advance(&lanes, (struct sona_store_lane){{7, 100}}, 2, 50);
    cr_expect(
        eq(u64, sona_store_lanes_find(&lanes, (struct sona_store_lane){{7, 100}})->next, 101));
    sona_store_lanes_remove(&lanes, (struct sona_store_lane){{8, 1}}); /* there is none */
    cr_expect(eq(u32, lanes.count, SONA_STORE_LANES_MAX));
    sona_store_lanes_done(&lanes);
}
