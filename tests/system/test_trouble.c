/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A store that its next sidecar cannot use, or not at once, while a client of the last one lives:
 * the start is refused in one sentence, the client decides all the same, and when the trouble is
 * mended what it told meanwhile is learned.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "opinion.h"
#include "raw.h"

#define BEFORE 40u /* outcomes told before the trouble, */
#define DURING 20u /* and in it */

static void database(const struct stage *stage, char path[160])
{
    (void)snprintf(path, 160, "%s/%s.db", stage->state_dir, stage->spawn.instance);
}

static void run_sql(const struct stage *stage, const char *sql)
{
    char path[160];
    sqlite3 *db = NULL;

    database(stage, path);
    cr_assert(eq(int, sqlite3_open(path, &db), SQLITE_OK));
    cr_assert(eq(int, sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK), "%s",
              sqlite3_errmsg(db));
    (void)sqlite3_close(db);
}

static void expect_refused(const struct stage *stage, const char *words)
{
    struct sona_spawn second;
    sona_diag diag = {0};

    cr_assert(ne(int,
                 sona_spawn_start(&second, NULL, stage->spawn.instance, stage->spawn.runtime_dir,
                                  stage->args, &diag),
                 SONA_OK));
    cr_expect(ne(ptr, strstr(diag.text, words), NULL), "%s", diag.text);
}

/* Decisions are made by the last model there was; the ring keeps what is told. */
static void decide_on(sona_lane *lane, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        sona_decision d;
        float x[STAGE_DIM];

        stage_query(i, x);
        cr_assert(eq(int, sona_decide(lane, x, STAGE_DIM, NULL, &d), SONA_OK));
        cr_assert(gt(u64, d.version, 0), "an answer without a model");
        cr_assert(eq(int, sona_outcome(lane, d.id, 1, NULL), SONA_OK));
    }
}

/* Killed with a client attached, refused while `make` holds, mended, and all of it learned. */
static void go_through(void (*make)(const struct stage *), void (*mend)(const struct stage *),
                       const char *words)
{
    struct stage stage;

    stage_open_kept(&stage, NULL);
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    decide_on(lane, BEFORE);
    (void)stage_await(&stage, "learned", BEFORE);
    sona_spawn_kill(&stage.spawn);
    make(&stage);
    expect_refused(&stage, words);
    decide_on(lane, DURING);
    mend(&stage);
    stage_reopen(&stage);
    cr_expect(eq(u64, stage_await(&stage, "learned", BEFORE + DURING), BEFORE + DURING));
    sona_lane_release(&lane);
    sona_client_close(&client);
    stage_close(&stage);
}

static void give_away(const struct stage *stage)
{
    char path[160];

    database(stage, path);
    cr_assert(zero(int, chown(path, 65534, (gid_t)-1)));
}

static void take_back(const struct stage *stage)
{
    char path[160];

    database(stage, path);
    cr_assert(zero(int, chown(path, geteuid(), (gid_t)-1)));
}

Test(trouble, a_store_of_another_owner_is_refused_and_clients_decide_on, .timeout = 60)
{
    if (geteuid() != 0)
        cr_skip("only root can give files away");
    go_through(give_away, take_back, "belongs to user 65534");
}

static void open_to_all(const struct stage *stage)
{
    cr_assert(zero(int, chmod(stage->state_dir, 0755)));
}

static void close_to_all(const struct stage *stage)
{
    cr_assert(zero(int, chmod(stage->state_dir, 0700)));
}

Test(trouble, a_store_that_others_can_read_is_refused_and_clients_decide_on, .timeout = 60)
{
    go_through(open_to_all, close_to_all, "is open to other users");
}

static void make_newer(const struct stage *stage)
{
    run_sql(stage, "PRAGMA user_version=999");
}

static void make_known(const struct stage *stage)
{
    run_sql(stage, "PRAGMA user_version=4");
}

Test(trouble, a_newer_schema_is_refused_and_clients_decide_on, .timeout = 60)
{
    go_through(make_newer, make_known, "newer");
}

static unsigned char first_page[4096];

/* The header, and what is in the WAL would heal it. */
static void damage(const struct stage *stage)
{
    static const unsigned char rubbish[sizeof first_page] = {0xa5};
    char path[160];

    run_sql(stage, "PRAGMA wal_checkpoint(TRUNCATE)");
    database(stage, path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    cr_assert(eq(i64, pread(fd, first_page, sizeof first_page, 0), sizeof first_page));
    cr_assert(eq(i64, pwrite(fd, rubbish, sizeof rubbish, 0), sizeof rubbish));
    (void)close(fd);
}

static void heal(const struct stage *stage)
{
    char path[160];

    database(stage, path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    cr_assert(eq(i64, pwrite(fd, first_page, sizeof first_page, 0), sizeof first_page));
    (void)close(fd);
}

Test(trouble, a_damaged_page_is_refused_and_clients_decide_on, .timeout = 60)
{
    go_through(damage, heal, "is damaged, or no database");
}

static bool own_mounts;

static void seal(const struct stage *stage)
{
    const char *dir = stage->state_dir;

    if (own_mounts)
        cr_assert(mount(dir, dir, NULL, MS_BIND, NULL) == 0 &&
                  mount(NULL, dir, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) == 0);
    else
        cr_assert(zero(int, chmod(dir, 0500)));
}

static void unseal(const struct stage *stage)
{
    if (own_mounts)
        cr_assert(zero(int, umount(stage->state_dir)));
    else
        cr_assert(zero(int, chmod(stage->state_dir, 0700)));
}

Test(trouble, a_read_only_directory_is_refused_and_clients_decide_on, .timeout = 60)
{
    own_mounts =
        unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    if (!own_mounts && geteuid() == 0)
        cr_skip("root writes everywhere, and may not mount here");
    go_through(seal, unseal, "make it");
}

Test(trouble, an_older_schema_is_brought_up_to_date_under_a_live_client, .timeout = 60)
{
    struct stage stage;

    stage_open_kept(&stage, NULL);
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    decide_on(lane, BEFORE);
    (void)stage_await(&stage, "learned", BEFORE);
    sona_spawn_kill(&stage.spawn);
    run_sql(&stage, "DROP TABLE imported; DROP VIEW outcome; DROP VIEW journal; DROP TABLE kind; "
                    "ALTER TABLE event DROP COLUMN unrecorded; PRAGMA user_version=1");
    decide_on(lane, DURING);
    stage_reopen(&stage);
    cr_expect(eq(u64, stage_await(&stage, "learned", BEFORE + DURING), BEFORE + DURING));
    run_sql(&stage, "SELECT count(*) FROM outcome");
    sona_lane_release(&lane);
    sona_client_close(&client);
    stage_close(&stage);
}

/* What a container loses that starts again: /dev/shm and /run, with segment, ledger, arena and
 * intake log. */
static void lose_memory(const struct stage *stage)
{
    static const char *const ends[] = {"lanes", "arena", "intake", "sock", "lock"};
    char path[192];

    (void)snprintf(path, sizeof path, "/sona.%s.model", stage->spawn.instance);
    cr_assert(zero(int, shm_unlink(path)));
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s.%s", stage->spawn.runtime_dir,
                       stage->spawn.instance, ends[i]);
        (void)unlink(path);
    }
}

static void await_journaled(const struct stage *stage)
{
    uint64_t end = stage_now_ms() + STAGE_LIMIT_MS;
    json_int_t lag;

    do {
        json_t *o = stage_status(stage);

        lag = json_integer_value(json_object_get(json_object_get(o, "journal"), "lag"));
        json_decref(o);
        cr_assert(lt(u64, stage_now_ms(), end), "the journal never caught up");
        stage_pause();
    } while (lag > 0);
}

Test(trouble, a_container_that_starts_again_knows_what_was_journaled, .timeout = 60)
{
    uint64_t end = stage_now_ms() + STAGE_LIMIT_MS;
    struct stage stage;
    sona_client_stats s;

    stage_open_kept(&stage, NULL);
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    decide_on(lane, BEFORE);
    (void)stage_await(&stage, "learned", BEFORE);
    await_journaled(&stage);
    sona_spawn_kill(&stage.spawn);
    lose_memory(&stage);
    decide_on(lane, DURING); /* into a ring that nobody can take back: its ledger is gone */
    stage_reopen(&stage);
    cr_expect(eq(u64, stage_counter(&stage, "learned"), BEFORE), "the journal has them");
    do {
        cr_assert(lt(u64, stage_now_ms(), end), "the client never came back");
        cr_assert(eq(int, sona_client_stats_get(client, &s), SONA_OK));
        stage_pause();
    } while (!s.attached || s.attachments < 2);
    decide_on(lane, DURING);
    (void)stage_await(&stage, "learned", BEFORE + DURING);
    cr_assert(eq(int, sona_client_stats_get(client, &s), SONA_OK));
    cr_expect(eq(u64, s.dropped_restart, 2 * DURING), "what the ring had is counted");
    sona_lane_release(&lane);
    sona_client_close(&client);
    stage_close(&stage);
}

/* ---- what waits in the arena ---- */

Test(trouble, an_outcome_that_came_first_waits_for_its_decision_over_a_kill, .timeout = 60)
{
    struct stage stage;
    struct raw raw;

    stage_open_kept(&stage, NULL);
    raw_open(&raw, &stage);
    raw_record(&raw, 1, SONA_RECORD_OUTCOME)->id = raw_id(&raw, 0);
    raw_commit(&raw, 1);
    (void)stage_await(&stage, "parked_now", 1);
    sona_spawn_kill(&stage.spawn);
    stage_reopen(&stage);
    raw_reopen(&raw, &stage);
    (void)stage_await(&stage, "parked_now", 1);
    (void)raw_record(&raw, 0, SONA_RECORD_DECIDE);
    raw_commit(&raw, 0);
    (void)stage_await(&stage, "learned", 1);
    cr_expect(eq(u64, stage_counter(&stage, "drop_unknown_id"), 0));
    raw_close(&raw);
    stage_close(&stage);
}
