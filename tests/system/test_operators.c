/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What operators do with the store of a sidecar: go back and forward, check, forget, export. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "opinion.h"

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
