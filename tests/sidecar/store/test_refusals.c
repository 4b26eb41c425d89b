/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What the store does not take, and what it says: options, names, directories, records, disks. */
#include "sidecar/store/database.h"
#include "sidecar/store/files.h"
#include "sidecar/store/intake_log.h"
#include "tests/sidecar/store/store_fixture.h"
#include "tests/support/wrapped.h"

#include <errno.h>
#include <math.h>
#include <sys/wait.h>
#ifdef SONA_COVERAGE
#include <gcov.h>
#endif

#define COUNT(table) (sizeof(table) / sizeof *(table))

TestSuite(refusals, .init = fixture_setup, .fini = fixture_teardown);

static void expect_no_store(const char *why, const struct sona_store_options *options,
                            sona_err code, const char *words)
{
    struct sona_store *store = NULL;

    cr_expect(eq(int, sona_store_open(&store, options, &fixture_diag), code), "%s: %s", why,
              fixture_diag.text);
    cr_expect(eq(ptr, store, NULL), "%s", why);
    cr_expect(ne(ptr, strstr(fixture_diag.text, words), NULL), "%s: %s", why, fixture_diag.text);
}

Test(refusals, options_out_of_range_open_nothing)
{
    for (int what = 0; what < 8; what++) {
        struct sona_store_options o = fixture_options();

        if (what == 0)
            o.state_dir = NULL;
        else if (what == 1)
            o.durability = SONA_STORE_EVERY + 1;
        else if (what <= 4)
            o.sample = what == 2 ? -0.5f : what == 3 ? 1.5f : NAN;
        else if (what == 5)
            o.intake_bytes = SONA_STORE_LOG_MAX + 1;
        else if (what == 6)
            o.commit_ms = 60001;
        else
            o.sync_ms = 600001;
        expect_no_store("option", &o, SONA_E_RANGE, "out of range");
    }
    cr_expect(eq(int, access(fixture_path(".db"), F_OK), -1), "and leave nothing");
}

Test(refusals, names_of_instances_are_no_paths)
{
    char longer[65];
    const char *const names[] = {NULL, "", ".one", "a/b", "a b", longer};
    struct sona_store_options o = fixture_options();

    memset(longer, 'x', 64);
    longer[64] = '\0';
    for (size_t i = 0; i < COUNT(names); i++) {
        o.instance = names[i];
        expect_no_store("name", &o, SONA_E_RANGE, "begins with no dot");
    }
}

Test(refusals, directories_that_cannot_be_ours_say_what_to_do)
{
    struct sona_store_options o = fixture_options();
    char file[96], missing[96];

    (void)snprintf(file, sizeof file, "%s/file", fixture_dir);
    (void)snprintf(missing, sizeof missing, "%s/a/b", fixture_dir);
    cr_assert(ge(int, close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0));
    o.state_dir = missing;
    expect_no_store("missing", &o, SONA_E_SYSTEM, "cannot make the directory");
    o.state_dir = file;
    expect_no_store("a file", &o, SONA_E_SYSTEM, "cannot use");
    o.state_dir = fixture_dir;
    o.intake_dir = file;
    expect_no_store("a file for the intake", &o, SONA_E_SYSTEM, "cannot use");
    o.intake_dir = NULL;
    cr_assert(eq(int, chmod(fixture_dir, 0755), 0));
    expect_no_store("open to others", &o, SONA_E_PERMISSION, "chmod 700 it");
    cr_assert(eq(int, chmod(fixture_dir, 0700), 0));
    wrapped_fail("realpath", 0, 1, ELOOP);
    expect_no_store("a link to itself", &o, SONA_E_SYSTEM, "cannot examine the directory");
    static const int errors[] = {EROFS, EACCES, EPERM};
    for (size_t i = 0; i < COUNT(errors); i++) {
        wrapped_fail("access", 0, 1, errors[i]);
        expect_no_store("read-only", &o, SONA_E_PERMISSION, "cannot write the directory");
    }
    wrapped_fail("access", 0, 1, EIO);
    expect_no_store("broken", &o, SONA_E_SYSTEM, "cannot write the directory");
    wrapped_fail("stat64", 0, 1, EIO);
    expect_no_store("gone meanwhile", &o, SONA_E_SYSTEM, "cannot examine the directory");
    wrapped_fail("lstat64", 0, 1, EIO);
    expect_no_store("unreadable", &o, SONA_E_SYSTEM, "cannot examine");
}

Test(refusals, files_in_the_way_are_left_alone)
{
    const struct sona_store_options o = fixture_options();
    const char *const suffixes[] = {".db", ".db-wal", ".db.lock", ".intake"};
    struct stat st;

    for (size_t i = 0; i < COUNT(suffixes); i++) {
        const char *path = fixture_path(suffixes[i]);

        cr_assert(eq(int, mkdir(path, 0700), 0));
        expect_no_store(suffixes[i], &o, SONA_E_PERMISSION, "no regular file");
        cr_expect(eq(int, rmdir(path), 0));
        cr_assert(ge(int, close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0));
        cr_assert(eq(int, chmod(path, 0644), 0));
        expect_no_store(suffixes[i], &o, SONA_E_PERMISSION, "chmod 600 it");
        cr_expect(eq(int, stat(path, &st), 0));
        cr_expect(eq(u32, st.st_mode & 0777, 0644));
        (void)unlink(path);
    }
}

/* A directory below the fixture's whose path has `length` characters. */
static void make_deep(char *path, size_t length)
{
    size_t at = (size_t)snprintf(path, length + 1, "%s", fixture_dir);

    while (at < length) {
        size_t n = length - at - 1 > 200 ? 200 : length - at - 1;

        path[at++] = '/';
        memset(path + at, 'd', n);
        path[at += n] = '\0';
        cr_assert(eq(int, mkdir(path, 0700), 0), "%s", strerror(errno));
    }
}

Test(refusals, a_path_that_leaves_no_room_for_a_files_name_is_refused)
{
    struct sona_store_options o = fixture_options();
    static char deep[SONA_STORE_PATH_MAX];

    make_deep(deep, SONA_STORE_PATH_MAX - 10);
    o.state_dir = deep;
    expect_no_store("of the state", &o, SONA_E_RANGE, "path is too long");
    o.state_dir = fixture_dir;
    o.intake_dir = deep;
    expect_no_store("of the intake", &o, SONA_E_RANGE, "path is too long");
}

Test(refusals, a_file_with_two_names_is_left_alone)
{
    const struct sona_store_options o = fixture_options();
    char other[160];

    (void)snprintf(other, sizeof other, "%s", fixture_path(".other"));
    cr_assert(ge(int, close(open(other, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0));
    cr_assert(eq(int, link(other, fixture_path(".db")), 0));
    expect_no_store("a link", &o, SONA_E_PERMISSION, "no regular file, or a link");
}

/* In a child, whose root is the fixture's directory. */
Test(refusals, a_store_may_lie_in_the_root_directory)
{
    struct sona_store_options o = fixture_options();
    int status = -1;

    if (geteuid() != 0)
        cr_skip("only root can change its root");
    o.state_dir = "/";
    pid_t pid = fork();
    if (pid == 0) {
        struct sona_store *store = NULL;
        const struct sona_store_record r = {.kind = SONA_STORE_query};
        uint64_t position = 0;

        int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (chroot(fixture_dir) != 0 || chdir("/") != 0)
            _exit(2);
        if (sona_store_open(&store, &o, NULL) != SONA_OK ||
            sona_store_append(store, &r, 1, &position) != SONA_OK ||
            sona_store_flush(store, position, 10000, NULL) != SONA_OK)
            _exit(1);
        sona_store_close(&store);
        bool there = access("/one.db", F_OK) == 0;
        if (fchdir(root) != 0 || chroot(".") != 0)
            _exit(4);
#ifdef SONA_COVERAGE
        __gcov_dump(); /* which an end like this leaves out */
#endif
        _exit(there ? 0 : 3);
    }
    cr_assert(eq(i64, waitpid(pid, &status, 0), pid));
    cr_expect(eq(int, status, 0));
}

Test(refusals, an_append_that_is_larger_than_a_quarter_of_the_log_is_refused)
{
    const struct sona_store_options o = fixture_options();
    struct sona_store *store = fixture_open(&o);
    static char payload[SONA_STORE_PAYLOAD_MAX];
    struct sona_store_record r[20];
    uint64_t position = 77;

    for (size_t i = 0; i < COUNT(r); i++)
        r[i] = (struct sona_store_record){.payload = payload, .payload_bytes = sizeof payload};
    cr_expect(eq(int, sona_store_append(store, r, COUNT(r), &position), SONA_E_LIMIT));
    cr_expect(eq(u64, position, 77));
    cr_expect(eq(int, sona_store_append(store, r, 1, &position), SONA_OK));
    sona_store_close(&store);
}

static bool stop_at_once(void *context, struct sona_store_lane lane, uint32_t uid, uint64_t next)
{
    (void)lane, (void)uid, (void)next;
    ++*(uint32_t *)context;
    return false;
}

Test(refusals, a_flush_that_waits_for_nothing_times_out_and_cursors_end_where_told)
{
    struct sona_store_options o = fixture_options();
    uint32_t told = 0;

    o.commit_ms = 60000;
    o.commit_records = 1000000;
    struct sona_store *store = fixture_open(&o);
    fixture_fill(store, 1, 10);
    cr_expect(eq(int, sona_store_flush(store, 10, 0, &fixture_diag), SONA_E_TIMEOUT));
    cr_expect(ne(ptr, strstr(fixture_diag.text, "was not synced in 0 ms"), NULL), "%s",
              fixture_diag.text);
    sona_store_cursors(store, stop_at_once, &told);
    cr_expect(eq(u32, told, 1));
    sona_store_close(&store);
    o.journal_off = true;
    store = fixture_open(&o);
    cr_expect(eq(dbl, sona_store_backlog(store), 0));
    cr_expect(eq(int, sona_store_flush(store, 10, 1000, &fixture_diag), SONA_E_RANGE));
    sona_store_close(&store);
}

Test(refusals, records_that_cannot_be_meant_are_not_appended)
{
    static const float x[1];
    const struct {
        sona_err code;
        struct sona_store_record record;
    } cases[] = {
        {SONA_E_LIMIT, {.x = x, .x_n = SONA_STORE_FLOATS_MAX + 1}},
        {SONA_E_LIMIT, {.base = x, .base_n = SONA_STORE_FLOATS_MAX + 1}},
        {SONA_E_LIMIT, {.payload = x, .payload_bytes = SONA_STORE_PAYLOAD_MAX + 1}},
        {SONA_E_RANGE, {.kind = 64}},
        {SONA_E_RANGE, {.x_n = 1}},
        {SONA_E_RANGE, {.base_n = 1}},
        {SONA_E_RANGE, {.payload_bytes = 1}},
        {SONA_E_RANGE, {.lane = {{1, 1}}, .lane_seq = UINT64_MAX}},
        {SONA_E_NOT_FINITE, {.quality = NAN}},
        {SONA_E_NOT_FINITE, {.propensity = INFINITY}},
        {SONA_E_NOT_FINITE, {.credit = -INFINITY}},
    };
    const struct sona_store_options o = fixture_options();
    struct sona_store *store = fixture_open(&o);
    uint64_t position = 77;

    for (size_t i = 0; i < COUNT(cases); i++)
        cr_expect(eq(int, sona_store_append(store, &cases[i].record, 1, &position), cases[i].code),
                  "case %zu", i);
    cr_expect(eq(int, sona_store_append(store, &cases[0].record, 0, &position), SONA_E_LIMIT));
    cr_expect(eq(int,
                 sona_store_append(store, &cases[0].record, SONA_STORE_BATCH_MAX + 1, &position),
                 SONA_E_LIMIT));
    cr_expect(eq(u64, position, 77), "written on success only");
    cr_expect(eq(u64, sona_store_positions(store).appended, 0));
    sona_store_close(&store);
}

Test(refusals, generations_and_rules_that_say_nothing_are_refused)
{
    const struct sona_store_options o = fixture_options();
    const struct sona_store_rule none = {.uid = 3};
    struct sona_store *store = fixture_open(&o);
    uint64_t n = 77;

    fixture_fill(store, 1, 3);
    cr_assert(eq(int, sona_store_flush(store, 3, 10000, &fixture_diag), SONA_OK));
    cr_expect(eq(int, sona_store_generation_save(store, 3, NULL, 8, false, &n, &fixture_diag),
                 SONA_E_RANGE));
    cr_expect(eq(int, sona_store_generation_save(store, 4, "state", 5, false, &n, &fixture_diag),
                 SONA_E_RANGE),
              "of what never happened");
    cr_expect(
        eq(int,
           sona_store_generation_save(store, 3, "state", (size_t)SONA_STORE_GENERATION_MAX + 1,
                                      false, &n, &fixture_diag),
           SONA_E_RANGE));
    cr_expect(eq(int, sona_store_forget(store, &none, &n, &fixture_diag), SONA_E_RANGE));
    cr_expect(ne(ptr, strstr(fixture_diag.text, "say whom"), NULL), "%s", fixture_diag.text);
    cr_expect(eq(u64, n, 77));
    fixture_expect(store, 3);
    sona_store_close(&store);
}

Test(refusals, each_kind_has_its_name_in_the_export_and_a_new_one_is_other)
{
#define NAME(name, number) {number, "\"kind\":\"" #name "\""},
    static const struct {
        uint32_t kind;
        const char *words;
    } kinds[] = {SONA_STORE_KINDS(NAME){60, "\"kind\":\"other\",\"kind_number\":60"}};
#undef NAME
    const struct sona_store_options o = fixture_options();
    struct sona_store *store = fixture_open(&o);
    uint64_t position = 0;

    for (size_t i = 0; i < COUNT(kinds); i++) {
        char *text = NULL;
        size_t size = 0;

        if (!sona_store_takes_row(kinds[i].kind))
            continue;
        cr_assert(eq(int,
                     sona_store_append(store, &(struct sona_store_record){.kind = kinds[i].kind}, 1,
                                       &position),
                     SONA_OK));
        cr_assert(eq(int, sona_store_flush(store, position, 10000, &fixture_diag), SONA_OK));
        FILE *file = open_memstream(&text, &size);
        cr_assert(
            eq(int, sona_store_export(store, position, position, file, &fixture_diag), SONA_OK));
        (void)fclose(file);
        cr_expect(ne(ptr, strstr(text, kinds[i].words), NULL), "%s", text);
        free(text);
    }
    sona_store_close(&store);
}

Test(refusals, an_export_onto_a_full_disk_says_so)
{
    const struct sona_store_options o = fixture_options();
    struct sona_store *store = fixture_open(&o);
    FILE *full = fopen("/dev/full", "w");

    fixture_fill(store, 1, 100);
    cr_assert(eq(int, sona_store_flush(store, 100, 10000, &fixture_diag), SONA_OK));
    cr_expect(eq(int, sona_store_export(store, 1, UINT64_MAX, full, &fixture_diag), SONA_E_SYSTEM));
    cr_expect(ne(ptr, strstr(fixture_diag.text, "could not be written"), NULL));
    (void)fclose(full);
    FILE *closed = fopen("/dev/null", "r"); /* nothing can be written, and nothing waits to be */
    cr_expect(eq(int, sona_store_export(store, 1, 3, closed, &fixture_diag), SONA_E_SYSTEM));
    (void)fclose(closed);
    fixture_expect(store, 100);
    sona_store_close(&store);
}

Test(refusals, what_sqlite_says_comes_with_what_to_do)
{
    static const struct {
        int rc;
        sona_err code;
        const char *words;
    } cases[] = {
        {SQLITE_FULL, SONA_E_SYSTEM, "no space left"},
        {SQLITE_READONLY, SONA_E_PERMISSION, "make it and its directory writable"},
        {SQLITE_PERM, SONA_E_PERMISSION, "make it and its directory writable"},
        {SQLITE_CANTOPEN, SONA_E_PERMISSION, "make it and its directory writable"},
        {SQLITE_AUTH, SONA_E_PERMISSION, "make it and its directory writable"},
        {SQLITE_CORRUPT, SONA_E_FORMAT, ".recover"},
        {SQLITE_NOTADB, SONA_E_FORMAT, ".recover"},
        {SQLITE_BUSY, SONA_E_BUSY, "end its transaction"},
        {SQLITE_LOCKED, SONA_E_BUSY, "end its transaction"},
        {SONA_STORE_LOG_OVERWRITTEN, SONA_E_FORMAT, "restart the sidecar"},
        {SQLITE_NOMEM, SONA_E_MEMORY, "out of memory"},
        {SQLITE_IOERR_FSYNC, SONA_E_SYSTEM, "look at the disk"},
        {SQLITE_TOOBIG, SONA_E_SYSTEM, "/x.db: "},
    };
    sqlite3 *db = NULL;

    cr_assert(eq(int, sqlite3_open(":memory:", &db), SQLITE_OK));
    for (size_t i = 0; i < 2 * COUNT(cases); i++) {
        sqlite3 *with = i < COUNT(cases) ? NULL : db;
        size_t k = i % COUNT(cases);

        cr_expect(eq(int, sona_store_sqlite_error(with, cases[k].rc, "/x.db", &fixture_diag),
                     cases[k].code),
                  "%d", cases[k].rc);
        cr_expect(ne(ptr, strstr(fixture_diag.text, cases[k].words), NULL), "%s",
                  fixture_diag.text);
        cr_expect(ne(ptr, strstr(fixture_diag.text, "/x.db"), NULL), "%s", fixture_diag.text);
    }
    (void)sqlite3_close(db);
}

static uint32_t pages_seen;

static bool see_page(void *context, const struct sona_store_record *record)
{
    pages_seen++;
    return record->position < *(const uint64_t *)context;
}

Test(refusals, imports_are_known_once_they_are_committed_and_pages_end_where_told)
{
    const struct sona_store_import known[3] = {{.key = 7}, {.key = 8, .source = 3}, {.key = 9}};
    const struct sona_store_options o = fixture_options();
    struct sona_store *store = fixture_open(&o);
    struct sona_store_record r[2];
    uint64_t position = 0, last = 1;
    bool found[3] = {false, false, true};

    for (uint32_t i = 0; i < 2; i++)
        r[i] = (struct sona_store_record){.kind = SONA_STORE_query_outcome,
                                          .lane = SONA_STORE_IMPORTS,
                                          .lane_seq = i,
                                          .payload = &known[i],
                                          .payload_bytes = sizeof known[i]};
    cr_assert(eq(int, sona_store_append(store, r, 2, &position), SONA_OK));
    cr_assert(eq(int, sona_store_flush(store, position, 10000, &fixture_diag), SONA_OK));
    cr_assert(eq(int, sona_store_imported(store, known, 3, found, &fixture_diag), SONA_OK));
    cr_expect(found[0] && found[1]);
    cr_expect(not(found[2]));
    cr_expect(eq(int, sona_store_page(store, 1, see_page, &last, &fixture_diag), SONA_OK));
    cr_expect(eq(u32, pages_seen, 1), "told to stop");
    cr_expect(eq(int, sona_store_page(store, 3, see_page, &last, &fixture_diag), SONA_OK));
    cr_expect(eq(u32, pages_seen, 1), "there are no more");
    sona_store_close(&store);
}
