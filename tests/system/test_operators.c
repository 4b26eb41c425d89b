/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What operators do with the store of a sidecar: go back and forward, check, forget, export. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "load.h"
#include "opinion.h"
#include "sidecar/ledger.h"
#include "sidecar/verify.h"

static char text[1 << 20]; /* what sonactl printed last */

/* sonactl on the store; returns its exit status. */
static int keep(const struct stage *stage, const char *arguments)
{
    char line[512];

    (void)snprintf(line, sizeof line, "--state-dir '%s' %s", stage->state_dir, arguments);
    return stage_sonactl(stage, line, text, sizeof text);
}

/* The same, must end with 0; its JSON, the caller's. */
static json_t *ask(const struct stage *stage, const char *arguments)
{
    char line[256];
    json_error_t error;

    (void)snprintf(line, sizeof line, "--json %s", arguments);
    cr_assert(eq(int, keep(stage, line), 0), "%s", text);
    json_t *o = json_loads(text, 0, &error);
    cr_assert(ne(ptr, o, NULL), "%s: %s", error.text, text);
    return o;
}

static uint64_t take_number(json_t *o, const char *key)
{
    uint64_t ret = (uint64_t)json_integer_value(json_object_get(o, key));

    json_decref(o);
    return ret;
}

static uint64_t newest(const struct stage *stage)
{
    json_t *o = ask(stage, "generations list");
    json_t *g = json_incref(json_array_get(json_object_get(o, "generations"), 0));

    cr_assert(ne(ptr, g, NULL), "%s", text);
    json_decref(o);
    return take_number(g, "number");
}

static void roll_back(const struct stage *stage, uint64_t number)
{
    char line[64];

    (void)snprintf(line, sizeof line, "generations rollback %llu", (unsigned long long)number);
    cr_assert(eq(int, keep(stage, line), 0), "%s", text);
}

static void expect_opinion(const struct stage *stage, uint64_t learned,
                           const struct opinion *opinion)
{
    struct opinion now = opinion_now(stage);

    cr_expect(eq(u64, stage_counter(stage, "learned"), learned));
    cr_expect(zero(int, memcmp(&now, opinion, sizeof now)), "of %llu outcomes",
              (unsigned long long)learned);
}

/* Cycles run inline, so that none ends between the opinion and the stop. */
static const char *const in_line[] = {"--background=inline", NULL};

Test(operators, a_rollback_goes_back_to_what_was_known_then_and_can_be_undone, .timeout = 120)
{
    struct stage stage;

    stage_open_kept(&stage, in_line);
    learn_here(&stage, 150);
    struct opinion early = opinion_now(&stage);
    stage_stop(&stage);
    uint64_t older = newest(&stage);
    stage_reopen(&stage);
    learn_here(&stage, 250);
    struct opinion late = opinion_now(&stage);
    cr_assert(ne(int, memcmp(&early, &late, sizeof late), 0), "it learned something");
    stage_stop(&stage);
    uint64_t newer = newest(&stage);
    cr_assert(gt(u64, newer, older));

    roll_back(&stage, older);
    stage_reopen(&stage);
    expect_opinion(&stage, 150, &early);
    stage_stop(&stage);
    roll_back(&stage, newer);
    stage_reopen(&stage);
    expect_opinion(&stage, 400, &late);
    learn_here(&stage, 10);
    cr_assert(eq(u64, stage_counter(&stage, "learned"), 410), "it goes on from there");
    stage_close(&stage);
}

/* sonactl on the running sidecar; must end with 0. The generation that its answer names. */
static uint64_t on_running(const struct stage *stage, const char *arguments)
{
    char line[128];
    json_error_t error;

    (void)snprintf(line, sizeof line, "--json %s", arguments);
    cr_assert(eq(int, stage_sonactl(stage, line, text, sizeof text), 0), "%s", text);
    json_t *o = json_loads(text, 0, &error);
    cr_assert(ne(ptr, o, NULL), "%s: %s", error.text, text);
    return take_number(o, "generation");
}

/* None comes between an opinion and the copy that is compared with it. */
static const char *const no_cycles[] = {"--set=background=off", NULL};

/* A client is there all the time, and decides on; killed afterwards, it is what it was told to be.
 */
Test(operators, a_running_sidecar_goes_back_at_once_and_stays_there, .timeout = 120)
{
    char line[64];
    struct stage stage;
    sona_decision d;
    float x[STAGE_DIM];
    uint64_t version = 0;

    stage_open_kept(&stage, no_cycles);
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    learn_here(&stage, 150);
    /* Answered when all that was learned is published. */
    uint64_t kept = on_running(&stage, "generations save");
    struct opinion early = opinion_now(&stage);
    learn_here(&stage, 250);
    uint64_t last = on_running(&stage, "generations save");
    struct opinion late = opinion_now(&stage);
    cr_assert(ne(int, memcmp(&early, &late, sizeof late), 0), "it learned something");
    cr_assert(gt(u64, last, kept));

    (void)snprintf(line, sizeof line, "generations rollback %llu", (unsigned long long)kept);
    for (int turn = 0; turn < 3; turn++) {
        stage_query(1, x);
        cr_assert(eq(int, sona_decide(lane, x, STAGE_DIM, NULL, &d), SONA_OK));
        cr_assert(ge(u64, d.version, version), "a version went back");
        version = d.version;
        if (turn == 0)
            cr_assert(gt(u64, on_running(&stage, line), last));
        if (turn == 1) {
            sona_spawn_kill(&stage.spawn);
            stage_reopen(&stage);
        }
        expect_opinion(&stage, 150, &early);
    }
    learn_here(&stage, 20);
    cr_expect(eq(u64, stage_counter(&stage, "learned"), 170), "it goes on from there");
    (void)snprintf(line, sizeof line, "generations rollback %llu", (unsigned long long)last);
    (void)on_running(&stage, line);
    expect_opinion(&stage, 400, &late);
    sona_lane_release(&lane);
    sona_client_close(&client);
    stage_close(&stage);
}

Test(operators, a_running_sidecar_pins_and_says_what_there_is_not, .timeout = 60)
{
    struct stage stage;

    stage_open_kept(&stage, NULL);
    learn_here(&stage, 20);
    cr_expect(eq(u64, on_running(&stage, "generations save"), 1));
    for (int pinned = 1; pinned >= 0; pinned--) {
        (void)on_running(&stage, pinned ? "generations pin 1" : "generations unpin 1");
        cr_assert(eq(int, stage_sonactl(&stage, "--json generations list", text, sizeof text), 0));
        cr_expect(eq(int, strstr(text, "\"pinned\":true") != NULL, pinned), "%s", text);
    }
    cr_expect(eq(int, stage_sonactl(&stage, "generations pin 99", text, sizeof text), 1));
    cr_expect(ne(ptr, strstr(text, "no generation 99"), NULL), "%s", text);
    cr_expect(eq(int, stage_sonactl(&stage, "generations rollback 99", text, sizeof text), 1));
    cr_expect(ne(ptr, strstr(text, "no such generation"), NULL), "%s", text);
    cr_expect(eq(u64, stage_counter(&stage, "learned"), 20), "a refusal changes nothing");
    stage_close(&stage);
    stage_open(&stage, NULL);
    cr_expect(eq(int, stage_sonactl(&stage, "generations save", text, sizeof text), 3));
    cr_expect(ne(ptr, strstr(text, "start it with --state-dir"), NULL), "%s", text);
    stage_close(&stage);
}

Test(operators, a_sidecar_that_runs_tells_of_its_journal, .timeout = 60)
{
    struct stage stage;

    stage_open_kept(&stage, NULL);
    learn_here(&stage, 30);
    sona_spawn_kill(&stage.spawn);
    stage_reopen(&stage);
    json_t *status = stage_status(&stage), *journal = json_object_get(status, "journal");
    cr_expect(ge(i64, json_integer_value(json_object_get(journal, "appended")), 30));
    cr_expect(ge(i64, json_integer_value(json_object_get(journal, "replayed_at_start")), 30));
    cr_expect(eq(str, (char *)(uintptr_t)json_string_value(json_object_get(journal, "waits")), ""));
    json_decref(status);
    cr_expect(eq(int, stage_sonactl(&stage, "status", text, sizeof text), 0));
    cr_expect(ne(ptr, strstr(text, "replayed at the start"), NULL), "%s", text);
    stage_restart(&stage); /* keeps one */
    cr_expect(eq(int, stage_sonactl(&stage, "generations list", text, sizeof text), 0), "%s", text);
    cr_expect(ne(ptr, strstr(text, "\n         1 "), NULL), "%s", text);
    stage_close(&stage);
}

Test(operators, the_store_of_a_sidecar_that_runs_is_left_alone, .timeout = 60)
{
    static const char *const asked[] = {"generations list", "generations rollback 1", "check",
                                        "forget --tenant 1", "export"};
    struct stage stage;

    stage_open_kept(&stage, NULL);
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        char sentence[160];

        cr_expect(eq(int, keep(&stage, asked[i]), 1), "%s", asked[i]);
        (void)snprintf(sentence, sizeof sentence,
                       "sonactl: the sidecar of instance %s runs on this store; stop it first\n",
                       stage.spawn.instance);
        cr_expect(eq(str, text, sentence), "%s", asked[i]);
    }
    learn_here(&stage, 5);
    stage_close(&stage);
}

Test(operators, a_store_that_is_not_there_is_not_made, .timeout = 60)
{
    struct stage stage;

    stage_open_kept(&stage, NULL);
    stage_stop(&stage);
    char name[64];
    (void)snprintf(name, sizeof name, "%s", stage.spawn.instance);
    (void)snprintf(stage.spawn.instance, sizeof stage.spawn.instance, "nobody");
    cr_expect(eq(int, keep(&stage, "check"), 3), "%s", text);
    cr_expect(ne(ptr, strstr(text, "there is no store"), NULL), "%s", text);
    char path[160];
    (void)snprintf(path, sizeof path, "%s/nobody.db", stage.state_dir);
    cr_expect(ne(int, access(path, F_OK), 0));
    (void)snprintf(stage.spawn.instance, sizeof stage.spawn.instance, "%s", name);
    stage_reopen(&stage);
    stage_close(&stage);
}

Test(operators, a_pinned_generation_says_so_until_it_is_unpinned, .timeout = 60)
{
    struct stage stage;

    stage_open_kept(&stage, NULL);
    learn_here(&stage, 20);
    stage_stop(&stage);
    for (int pinned = 1; pinned >= 0; pinned--) {
        cr_expect(eq(int, keep(&stage, pinned ? "generations pin 1" : "generations unpin 1"), 0),
                  "%s", text);
        json_t *o = ask(&stage, "generations list");
        json_t *list = json_object_get(o, "generations");
        json_t *g = json_array_get(list, json_array_size(list) - 1);

        cr_expect(eq(int, json_is_true(json_object_get(g, "pinned")), pinned));
        json_decref(o);
    }
    cr_expect(eq(int, keep(&stage, "generations pin 999"), 1));
    cr_expect(ne(ptr, strstr(text, "no generation 999"), NULL), "%s", text);
    stage_reopen(&stage);
    stage_close(&stage);
}

static void run_sql(const struct stage *stage, const char *sql, int64_t *ret)
{
    char path[160];
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;

    (void)snprintf(path, sizeof path, "%s/%s.db", stage->state_dir, stage->spawn.instance);
    cr_assert(eq(int, sqlite3_open(path, &db), SQLITE_OK));
    cr_assert(eq(int, sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK), "%s",
              sqlite3_errmsg(db));
    int rc = sqlite3_step(stmt);
    cr_assert(rc == SQLITE_ROW || rc == SQLITE_DONE, "%s", sqlite3_errmsg(db));
    if (ret)
        *ret = sqlite3_column_int64(stmt, 0);
    (void)sqlite3_finalize(stmt);
    (void)sqlite3_close(db);
}

/* Of a generation's bytes. */
static int64_t sum_of(const struct stage *stage, uint64_t number)
{
    char sql[64];
    int64_t ret = 0;

    (void)snprintf(sql, sizeof sql, "SELECT sum FROM generation WHERE number=%llu",
                   (unsigned long long)number);
    run_sql(stage, sql, &ret);
    cr_assert(ne(i64, ret, 0));
    return ret;
}

Test(operators, what_is_told_beside_a_rollback_is_learned_behind_it, .timeout = 120)
{
    uint64_t end = stage_now_ms() + STAGE_LIMIT_MS, before, learned;
    struct stage stage;
    struct load load;

    stage_open_kept(&stage, in_line);
    learn_here(&stage, 100);
    uint64_t kept = on_running(&stage, "generations save");
    char line[64];
    (void)snprintf(line, sizeof line, "generations rollback %llu", (unsigned long long)kept);
    load_start(&load, &stage);
    for (uint64_t n = 1; n <= 3; n++) {
        load_await(&load, 500 * n);
        (void)on_running(&stage, line);
    }
    load_await(&load, 2000);
    load_stop(&load);
    while (stage_counter(&stage, "clients") > 0) { /* drained, and learned */
        cr_assert(lt(u64, stage_now_ms(), end), "the client was not given back");
        stage_pause();
    }
    learned = stage_counter(&stage, "learned");
    before = atomic_load_explicit(&load.count->outcomes, memory_order_relaxed);
    cr_expect(gt(u64, learned, 100));
    cr_expect(lt(u64, learned, 100 + before), "nothing was left behind");
    /* Its bytes now, and those of who resumes from the copy that the rollback made. */
    uint64_t last = on_running(&stage, "generations save");
    sona_spawn_kill(&stage.spawn);
    int64_t sum = sum_of(&stage, last), again;
    (void)snprintf(line, sizeof line, "DELETE FROM generation WHERE number=%llu",
                   (unsigned long long)last);
    run_sql(&stage, line, NULL);
    stage_reopen(&stage);
    cr_expect(eq(u64, stage_counter(&stage, "learned"), learned));
    again = sum_of(&stage, on_running(&stage, "generations save"));
    cr_expect(eq(i64, again, sum), "the bytes are others");
    stage_close(&stage);
}

Test(operators, check_finds_a_truncated_generation_and_a_start_goes_on_without_it, .timeout = 120)
{
    struct stage stage;

    stage_open_kept(&stage, in_line);
    learn_here(&stage, 100);
    stage_stop(&stage);
    stage_reopen(&stage);
    learn_here(&stage, 100);
    struct opinion before = opinion_now(&stage);
    stage_stop(&stage);
    cr_assert(eq(int, keep(&stage, "check"), 0), "%s", text);
    cr_assert(ne(ptr, strstr(text, "sound: 0 findings"), NULL), "%s", text);
    run_sql(&stage,
            "UPDATE part SET data=substr(data,1,length(data)-9) "
            "WHERE id=(SELECT max(id) FROM part)",
            NULL);
    cr_assert(eq(int, keep(&stage, "check"), 4), "%s", text);
    cr_assert(ne(ptr, strstr(text, "is damaged"), NULL), "%s", text);
    cr_assert(ne(ptr, strstr(text, "degraded: "), NULL), "%s", text);
    stage_reopen(&stage);
    expect_opinion(&stage, 200, &before);
    char log[4096] = "";
    cr_assert(gt(i64, pread(stage.spawn.log_fd, log, sizeof log - 1, 0), 0));
    cr_expect(ne(ptr, strstr(log, "generation_damaged"), NULL), "it fell back in silence: %s", log);
    stage_close(&stage);
}

/* Overwrite a byte of a file, from the end of it when `at` is negative; returns what was there. */
static unsigned char spoil(const char *path, off_t at, unsigned char byte)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    unsigned char before = 0;

    cr_assert(ge(int, fd, 0), "%s", path);
    cr_assert(eq(i64, pread(fd, &before, 1, at), 1));
    cr_assert(eq(i64, pwrite(fd, &byte, 1, at), 1));
    (void)close(fd);
    return before;
}

/* What check says while `at` of that file is another byte; then it is what it was. */
static void expect_found(const struct stage *stage, bool running, const char *path, off_t at,
                         const char *words)
{
    unsigned char before = spoil(path, at, 0xa7);
    int status = running ? stage_sonactl(stage, "check", text, sizeof text) : keep(stage, "check");

    cr_expect(eq(int, status, 4), "%s", text);
    cr_expect(ne(ptr, strstr(text, words), NULL), "%s", text);
    cr_expect(ne(ptr, strstr(text, "degraded: 1 findings"), NULL), "%s", text);
    (void)spoil(path, at, before);
    status = running ? stage_sonactl(stage, "check", text, sizeof text) : keep(stage, "check");
    cr_expect(eq(int, status, 0), "%s", text);
}

/* Where the ledger has the identity of the first lane memory that it issued. */
static off_t issue_in(const char *path)
{
    static unsigned char file[1 << 17];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = pread(fd, file, sizeof file, 0);

    (void)close(fd);
    /* Behind magic, sizes, g, what is gone and the states. */
    for (ssize_t at = 32 + 4 * SONA_SIDECAR_LEDGER_MAX; at < n; at++)
        if (file[at] != 0)
            return at;
    return -1;
}

static void note_finding(void *context, const char *finding)
{
    (void)snprintf(context, 256, "%s", finding);
}

Test(operators, check_looks_at_ledger_arena_and_segment_of_one_that_runs_and_one_that_was_killed,
     .timeout = 120)
{
    char ledger[256], arena[256], segment[256];
    struct stage stage;
    struct load load;

    stage_open_kept(&stage, NULL);
    load_start(&load, &stage);
    load_await(&load, 3000); /* some checkpoints of the arena */
    const char *dir = stage.spawn.runtime_dir, *name = stage.spawn.instance;
    (void)snprintf(ledger, sizeof ledger, "%s/%s.lanes", dir, name);
    (void)snprintf(arena, sizeof arena, "%s/%s.arena", dir, name);
    (void)snprintf(segment, sizeof segment, "/dev/shm/sona.%s.model", name);
    text[0] = '\0';
    for (int n = 0; n < 100; n++) /* all of it changing meanwhile */
        sona_sidecar_verify_memory(dir, name, note_finding, text);
    cr_expect(eq(str, text, ""));
    load_stop(&load);
    (void)stage_await(&stage, "clients_reclaimed", 1); /* its entry is free, */
    sona_client *client = stage_client(&stage, 1);     /* and this one's */
    cr_expect(eq(int, stage_sonactl(&stage, "check", text, sizeof text), 0), "%s", text);
    cr_expect(ne(ptr, strstr(text, "sound: 0 findings"), NULL), "%s", text);
    expect_found(&stage, true, ledger, issue_in(ledger), "is not what was written");
    sona_spawn_kill(&stage.spawn);
    cr_expect(eq(int, keep(&stage, "check"), 0), "%s", text);
    expect_found(&stage, false, ledger, issue_in(ledger), "is not what was written");
    expect_found(&stage, false, arena, 0, "is no arena of this version");
    expect_found(&stage, false, segment, 40, name); /* the header's checksum covers it */
    stage_reopen(&stage);
    sona_client_close(&client);
    stage_close(&stage);
}

Test(operators, check_finds_a_damaged_page, .timeout = 120)
{
    static const unsigned char rubbish[64] = {0xa5, 0x5a, 0xa5};
    char path[160];
    int64_t root, page;
    struct stage stage;

    stage_open_kept(&stage, NULL);
    learn_here(&stage, 300);
    sona_spawn_kill(&stage.spawn); /* its rows are needed: they are in no generation */
    cr_assert(eq(int, keep(&stage, "check"), 0), "%s", text);
    run_sql(&stage, "SELECT rootpage FROM sqlite_schema WHERE name='event'", &root);
    run_sql(&stage, "PRAGMA page_size", &page);
    (void)snprintf(path, sizeof path, "%s/%s.db", stage.state_dir, stage.spawn.instance);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    unsigned char whole[65536];
    cr_assert(le(i64, page, (int64_t)sizeof whole));
    cr_assert(eq(i64, pread(fd, whole, (size_t)page, (root - 1) * page), page));
    cr_assert(eq(i64, pwrite(fd, rubbish, sizeof rubbish, (root - 1) * page), sizeof rubbish));
    (void)close(fd);
    cr_expect(eq(int, keep(&stage, "check"), 1), "%s", text);
    cr_expect(ne(ptr, strstr(text, ".db"), NULL), "%s", text);
    fd = open(path, O_RDWR | O_CLOEXEC);
    cr_assert(eq(i64, pwrite(fd, whole, (size_t)page, (root - 1) * page), page));
    (void)close(fd);
    cr_expect(eq(int, keep(&stage, "check"), 0), "%s", text);
    stage_reopen(&stage);
    stage_close(&stage);
}

/* Lines of an export that say so. */
static uint64_t lines_with(const char *what)
{
    uint64_t n = 0;

    for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

Test(operators, forget_blanks_rows_and_leaves_what_they_taught, .timeout = 120)
{
    char line[64];
    struct stage stage;

    stage_open_kept(&stage, in_line);
    learn_here(&stage, 40);
    struct opinion before = opinion_now(&stage);
    (void)snprintf(line, sizeof line, "forget --client %u", (unsigned)getuid());
    sona_spawn_kill(&stage.spawn);
    cr_expect(eq(int, keep(&stage, line), 1));
    cr_expect(ne(ptr, strstr(text, "start the sidecar, stop it, and forget then"), NULL), "%s",
              text);
    stage_reopen(&stage);
    stage_stop(&stage);
    cr_assert(eq(int, keep(&stage, "export --jsonl"), 0));
    uint64_t outcomes =
        lines_with("\"kind\":\"query_outcome\"") + lines_with("\"kind\":\"outcome\"");
    cr_assert(eq(u64, outcomes, 40), "%s", text);
    cr_expect(ge(u64, take_number(ask(&stage, line), "rows"), 40));
    cr_expect(eq(u64, take_number(ask(&stage, line), "rows"), 0), "there is nothing left");
    cr_assert(eq(int, keep(&stage, "export --jsonl"), 0));
    cr_expect(ge(u64, lines_with("\"kind\":\"forgotten\""), 40), "%s", text);
    cr_expect(eq(u64, lines_with("\"x\":["), 0), "%s", text);
    stage_reopen(&stage);
    expect_opinion(&stage, 40, &before);
    stage_close(&stage);
}

Test(operators, an_outcome_carries_the_share_of_decisions_that_was_recorded, .timeout = 60)
{
    static const char *const more[] = {"--set", "record_share=0.25", NULL};
    struct stage stage;
    sona_client_stats stats;
    uint64_t told = 0;
    int64_t rows;
    float x[STAGE_DIM];

    stage_open_kept(&stage, more);
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    for (uint64_t n = 0; n < 400; n++) {
        sona_decision d;

        stage_query(n, x);
        cr_assert(eq(int, sona_decide(lane, x, STAGE_DIM, NULL, &d), SONA_OK));
        if (d.id == 0)
            continue;
        cr_assert(eq(int, sona_outcome(lane, d.id, 0.5f, NULL), SONA_OK));
        told++;
    }
    cr_expect(eq(u64, stage_await(&stage, "learned", told), told));
    cr_assert(eq(int, sona_client_stats_get(client, &stats), SONA_OK));
    cr_expect(eq(u64, told + stats.unrecorded, 400));
    sona_lane_release(&lane);
    sona_client_close(&client);
    stage_stop(&stage);
    run_sql(&stage, "SELECT count(*) FROM outcome WHERE share=0.25", &rows);
    cr_expect(eq(i64, rows, (int64_t)told));
    run_sql(&stage, "SELECT count(*) FROM outcome", &rows);
    cr_expect(eq(i64, rows, (int64_t)told));
    cr_assert(eq(int, keep(&stage, "export --jsonl"), 0));
    cr_expect(ge(u64, lines_with("\"share\":0.25,"), told));
    stage_reopen(&stage);
    stage_close(&stage);
}

Test(operators, export_writes_the_rows_that_are_asked_for, .timeout = 60)
{
    char line[256], file[96];
    struct stage stage;
    json_error_t error;
    struct stat st;

    stage_open_kept(&stage, NULL);
    learn_here(&stage, 40);
    stage_stop(&stage);
    cr_assert(eq(int, keep(&stage, "export --jsonl --from 11 --to 30"), 0));
    uint64_t position = 11;
    for (char *at = strtok(text, "\n"); at; at = strtok(NULL, "\n"), position++) {
        json_t *o = json_loads(at, 0, &error);

        cr_assert(ne(ptr, o, NULL), "%s: %s", error.text, at);
        cr_expect(eq(u64, take_number(o, "position"), position));
    }
    cr_expect(eq(u64, position, 31));
    (void)snprintf(file, sizeof file, "%s/rows.jsonl", stage.state_dir);
    (void)snprintf(line, sizeof line, "export --file '%s'", file);
    cr_expect(eq(int, keep(&stage, line), 0), "%s", text);
    cr_expect(zero(int, stat(file, &st)));
    cr_expect(eq(int, st.st_mode & 0777, 0600), "what is in it is personal");
    cr_expect(eq(int, keep(&stage, line), 1), "a file that is there is not overwritten");
    (void)unlink(file);
    stage_reopen(&stage);
    stage_close(&stage);
}
