/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Stores that a sidecar cannot use: it says so in one sentence, and clients decide all the same. */
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "load.h"
#include "opinion.h"

/* A start under the stage's names, with one more argument, must be refused with these words. */
static void expect_refused(struct stage *stage, const char *runtime_dir, const char *argument,
                           const char *words)
{
    const char *args[STAGE_ARGS_MAX + 1];
    struct sona_spawn second;
    sona_diag diag = {0};
    int n = 0;

    for (; stage->args[n]; n++)
        args[n] = stage->args[n];
    args[n++] = argument;
    args[n] = NULL;
    sona_err err = sona_spawn_start(&second, NULL, stage->spawn.instance, runtime_dir, args, &diag);
    cr_assert(ne(int, err, SONA_OK));
    cr_expect(ne(ptr, strstr(diag.text, words), NULL), "%s", diag.text);
}

Test(store, a_state_directory_that_cannot_be_written_is_named_with_the_remedy, .timeout = 60)
{
    struct stage stage;

    stage_open_kept(&stage, NULL);
    stage_stop(&stage);
    /* Nobody makes directories there, root neither. */
    expect_refused(&stage, stage.spawn.runtime_dir, "--state-dir=/proc/sona",
                   "make it writable for this user, or choose another directory");
    stage_reopen(&stage);
    stage_close(&stage);
}

/* What a check says of the daemon that nobody told where state belongs. */
static void check_default(const char *xdg, const char *runtime_dir, char said[2048])
{
    char command[512];

    (void)snprintf(command, sizeof command,
                   "XDG_STATE_HOME='%s' '%s' -c /dev/null --routes=2 --dim=16 --runtime-dir '%s' "
                   "--instance default-%d --check 2>&1",
                   xdg, getenv("SONA_SIDECAR"), runtime_dir, (int)getpid());
    FILE *out = popen(command, "r");
    cr_assert(ne(ptr, out, NULL));
    said[fread(said, 1, 2047, out)] = '\0';
    cr_expect(eq(int, pclose(out), 0), "%s", said);
}

Test(store, nobody_has_to_say_where_and_who_has_no_place_is_served_all_the_same, .timeout = 60)
{
    char home[] = "/tmp/sona-home-XXXXXX", said[2048], path[64];
    struct stat st;

    cr_assert(ne(ptr, mkdtemp(home), NULL));
    (void)snprintf(path, sizeof path, "%s/a/b", home); /* neither is there */
    check_default(path, home, said);
    cr_expect(ne(ptr, strstr(said, "/a/b/sona"), NULL), "%s", said);
    (void)snprintf(path, sizeof path, "%s/a/b/sona", home);
    cr_assert(zero(int, stat(path, &st)), "it was made");
    cr_expect(eq(u32, st.st_mode & 0777, 0700));
    check_default("/proc/nowhere", home, said);
    cr_expect(ne(ptr, strstr(said, "state_not_kept"), NULL), "%s", said);
    cr_expect(ne(ptr, strstr(said, "not kept: a restart"), NULL), "%s", said);
    (void)snprintf(path, sizeof path, "rm -rf '%s'", home);
    cr_expect(zero(int, system(path)));
}

Test(store, a_state_of_another_hidden_dim_is_refused_by_the_name_of_the_key, .timeout = 60)
{
    struct stage stage;

    stage_open_kept(&stage, NULL);
    learn_here(&stage, 20);
    stage_stop(&stage);
    expect_refused(&stage, stage.spawn.runtime_dir, "--set=hidden_dim=32", "hidden_dim");
    stage_reopen(&stage);
    cr_expect(eq(u64, stage_counter(&stage, "learned"), 20), "the refused start changed nothing");
    stage_close(&stage);
}

Test(store, a_second_sidecar_of_one_store_is_refused_and_clients_decide_on, .timeout = 60)
{
    char other[] = "/tmp/sona-other-XXXXXX", path[128];
    static const char *const ends[] = {"lanes", "lock", "intake"};
    struct stage stage;
    struct load load;

    stage_open_kept(&stage, NULL);
    cr_assert(ne(ptr, mkdtemp(other), NULL));
    load_start(&load, &stage);
    load_await(&load, 100);
    expect_refused(&stage, other, "--background=inline", "another sidecar has the store");
    load_await(&load, 2000);
    load_stop(&load);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s.%s", other, stage.spawn.instance, ends[i]);
        (void)unlink(path);
    }
    cr_expect(zero(int, rmdir(other)), "the refused one left something behind");
    stage_close(&stage);
}

static void set_schema(const struct stage *stage, int to)
{
    char path[160], sql[64];
    sqlite3 *db = NULL;

    (void)snprintf(path, sizeof path, "%s/%s.db", stage->state_dir, stage->spawn.instance);
    (void)snprintf(sql, sizeof sql, "PRAGMA user_version=%d", to);
    cr_assert(eq(int, sqlite3_open(path, &db), SQLITE_OK));
    cr_assert(eq(int, sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK));
    (void)sqlite3_close(db);
}

Test(store, a_newer_schema_is_refused_and_left_as_it_is, .timeout = 60)
{
    char arguments[128], text[1024];
    struct stage stage;

    stage_open_kept(&stage, NULL);
    learn_here(&stage, 20);
    stage_stop(&stage);
    set_schema(&stage, 999);
    expect_refused(&stage, stage.spawn.runtime_dir, "--background=inline", "newer");
    (void)snprintf(arguments, sizeof arguments, "--state-dir '%s' check", stage.state_dir);
    cr_expect(eq(int, stage_sonactl(&stage, arguments, text, sizeof text), 5), "%s", text);
    set_schema(&stage, 4);
    stage_reopen(&stage);
    cr_expect(eq(u64, stage_counter(&stage, "learned"), 20));
    stage_close(&stage);
}

/* No file grows any more, as on a full disk; then there is room again. */
Test(store, on_a_full_disk_clients_decide_and_what_they_told_is_learned_later, .timeout = 120)
{
    struct stage stage;
    sona_decision d;
    float x[STAGE_DIM];

    stage_open_kept(&stage, NULL);
    learn_here(&stage, 50);
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    stage_limit_files(&stage, 4096);
    teach(lane, 50);
    stage_await_waits(&stage, true);
    for (uint32_t i = 0; i < 1000; i++) {
        stage_query(i, x);
        cr_assert(eq(int, sona_decide(lane, x, STAGE_DIM, NULL, &d), SONA_OK));
        stage_pause();
    }
    stage_limit_files(&stage, UINT64_MAX);
    cr_expect(eq(u64, stage_await(&stage, "learned", 100), 100));
    stage_await_waits(&stage, false);
    sona_lane_release(&lane);
    sona_client_close(&client);
    stage_restart(&stage);
    cr_expect(eq(u64, stage_counter(&stage, "learned"), 100));
    stage_close(&stage);
}

/* With "every", nothing is learned before it is on the disk; a stop does not wait for that. */
Test(store, who_waits_for_a_full_disk_can_be_stopped_and_knows_it_all_afterwards, .timeout = 120)
{
    static const char *const every[] = {"--durability=every", NULL};
    struct stage stage;

    stage_open_kept(&stage, every);
    learn_here(&stage, 50);
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    stage_limit_files(&stage, 4096);
    teach(lane, 50);
    stage_await_waits(&stage, true);
    (void)stage_await(&stage, "joined", 100);
    stage_restart(&stage);
    cr_expect(eq(u64, stage_await(&stage, "learned", 100), 100));
    sona_lane_release(&lane);
    sona_client_close(&client);
    stage_close(&stage);
}

/* Of this configuration and of one with another state: what waits for its outcome goes on waiting.
 */
Test(store, a_check_changes_nothing_of_a_stopped_sidecar, .timeout = 60)
{
    char other[] = "/tmp/sona-other-XXXXXX", line[512], said[2048];
    struct stage stage;
    sona_decision d;
    float x[STAGE_DIM];

    stage_open_kept(&stage, NULL);
    cr_assert(ne(ptr, mkdtemp(other), NULL));
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    stage_query(1, x);
    cr_assert(eq(int, sona_decide(lane, x, STAGE_DIM, NULL, &d), SONA_OK));
    (void)stage_await(&stage, "decisions", 1);
    sona_spawn_kill(&stage.spawn);
    const char *const state[] = {stage.state_dir, other};
    for (size_t i = 0; i < sizeof state / sizeof *state; i++) {
        (void)snprintf(line, sizeof line,
                       "'%s' --isolated --routes=a,b,c --dim=16 --set=hidden_dim=16 "
                       "--set=attention_dim=4 --set=base_lora_layers=2 --instance '%s' "
                       "--runtime-dir '%s' --state-dir '%s' --check 2>&1",
                       getenv("SONA_SIDECAR"), stage.spawn.instance, stage.spawn.runtime_dir,
                       state[i]);
        FILE *out = popen(line, "r");
        cr_assert(ne(ptr, out, NULL));
        said[fread(said, 1, sizeof said - 1, out)] = '\0';
        cr_expect(eq(int, pclose(out), 0), "%s", said);
        cr_expect(eq(ptr, strstr(said, "arena_begun_anew"), NULL), "%s", said);
        cr_expect(eq(ptr, strstr(said, "generation_kept"), NULL), "%s", said);
    }
    stage_reopen(&stage);
    sona_err err;
    while ((err = sona_outcome(lane, d.id, 1, NULL)) == SONA_E_DETACHED)
        stage_pause(); /* the test's time-out is the bound */
    cr_assert(eq(int, err, SONA_OK));
    (void)stage_await(&stage, "learned", 1);
    sona_lane_release(&lane);
    sona_client_close(&client);
    stage_close(&stage);
    (void)snprintf(line, sizeof line, "rm -rf '%s'", other);
    cr_expect(zero(int, system(line)));
}
