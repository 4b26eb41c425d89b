/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What journaling an outcome costs, beside two floors, in the same run: the same bytes written in
 * the same groups to a plain file, with fdatasync as often as the durability asks for it; and
 * SQLite alone, one thread that inserts the same rows in the same groups, with no log before it and
 * no checksums.
 *
 * usage: store-cost [DIR [RECORDS [CORES]]]     one JSON object per line
 *
 * The intake log lies in /dev/shm, as it lies on the tmpfs of a runtime directory. CORES 1: all
 * threads on one.
 *
 * "per_s" is by the wall, from the first append until all is committed; "per_s_core" by the time of
 * the processor that all threads took together, appending included: what one core would carry. The
 * first suffers from a busy machine or disk, the second does not. "append_ns" is what the caller of
 * sona_store_append waits, its waits for a full log excepted: those are "full".
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <sqlite3.h>

#include "sidecar/store/store.h"
#include "tools/random.h"
#include "tools/sample.h"

#define GROUP       64u
#define VECTORS     1024u
#define LARGE_GROUP 4096u
#define OVERHEAD    104u /* of a record in the intake log, beside its vector */

struct figures {
    double wall_s, cpu_s;
};

struct bench {
    const char *dir, *intake_dir;
    uint64_t records;
    uint32_t dim;
    enum sona_store_durability durability;
    float *x; /* VECTORS of them */
    struct sona_tools_sample append;
    uint64_t full;
};

static void die(const char *what)
{
    (void)fprintf(stderr, "store-cost: %s\n", what);
    exit(1);
}

static double cpu_s(void)
{
    struct rusage use;

    (void)getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6;
}

static void begin(struct figures *f)
{
    f->wall_s = (double)sona_tools_now_ns() * 1e-9;
    f->cpu_s = cpu_s();
}

static void end(struct figures *f)
{
    f->wall_s = (double)sona_tools_now_ns() * 1e-9 - f->wall_s;
    f->cpu_s = cpu_s() - f->cpu_s;
}

static void append(struct bench *b, struct sona_store *store, uint64_t i)
{
    struct sona_store_record r = {.kind = SONA_STORE_outcome,
                                  .uid = 1000,
                                  .lane = {{1 + i % 4, 1}},
                                  .lane_seq = i,
                                  .id = i * 0x9e3779b97f4a7c15u,
                                  .version = i,
                                  .route = (uint32_t)(i % 9),
                                  .quality = 0.5f,
                                  .propensity = 0.25f,
                                  .now_ms = i / 100,
                                  .x = b->x + (i % VECTORS) * b->dim,
                                  .x_n = b->dim};
    uint64_t start = sona_tools_now_ns();
    sona_err err = sona_store_append(store, &r, 1, NULL);

    if (err == SONA_OK)
        sona_tools_sample_add(&b->append, sona_tools_now_ns() - start);
    for (; err == SONA_E_FULL; err = sona_store_append(store, &r, 1, NULL)) {
        b->full++;
        (void)usleep(1000);
    }
    if (err != SONA_OK)
        die(sona_err_text(err));
}

static struct figures journal(struct bench *b, struct sona_store_stats *stats)
{
    struct sona_store_options options = {.instance = "bench",
                                         .state_dir = b->dir,
                                         .intake_dir = b->intake_dir,
                                         .durability = b->durability};
    struct sona_store *store = NULL;
    struct figures f;
    sona_diag diag;

    if (sona_store_open(&store, &options, &diag) != SONA_OK)
        die(diag.text);
    begin(&f);
    for (uint64_t i = 0; i < b->records; i++)
        append(b, store, i);
    while (sona_store_positions(store).committed < b->records)
        (void)usleep(200);
    end(&f);
    if (sona_store_flush(store, b->records, 60000, &diag) != SONA_OK)
        die(diag.text);
    sona_store_stats(store, stats);
    sona_store_close(&store);
    /* What is in the file after the last checkpoint. */
    if (sona_store_open(&store, &options, &diag) != SONA_OK)
        die(diag.text);
    struct sona_store_stats after;
    sona_store_stats(store, &after);
    stats->used_bytes = after.used_bytes;
    sona_store_close(&store);
    return f;
}

/* The same bytes without a store. */
static void floor_of(const struct bench *b, struct figures *f)
{
    char path[512];
    size_t bytes = GROUP * (OVERHEAD + b->dim * sizeof(float));
    uint8_t *group = malloc(bytes);
    uint64_t synced = sona_tools_now_ns();

    (void)snprintf(path, sizeof path, "%s/floor", b->dir);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    if (fd < 0 || !group)
        die("cannot write the floor's file");
    begin(f);
    for (uint64_t i = 0; i < b->records; i += GROUP) {
        for (uint32_t k = 0; k < GROUP; k++)
            memcpy(group + k * (bytes / GROUP) + OVERHEAD, b->x + (i + k) % VECTORS * b->dim,
                   b->dim * sizeof(float));
        if (write(fd, group, bytes) != (ssize_t)bytes)
            die("the floor's file is full");
        bool due = b->durability == SONA_STORE_EVERY || (b->durability == SONA_STORE_INTERVAL &&
                                                         sona_tools_now_ns() - synced > 500000000u);
        if (due && fdatasync(fd) == 0)
            synced = sona_tools_now_ns();
    }
    end(f);
    (void)close(fd);
    (void)unlink(path);
    free(group);
}

static void sql(sqlite3 *db, const char *text)
{
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        die(sqlite3_errmsg(db));
}

static void insert_row(const struct bench *b, sqlite3_stmt *stmt, uint64_t i)
{
    static const uint64_t lane[2] = {1, 1};

    for (int column = 1; column <= 21; column++)
        (void)sqlite3_bind_int64(stmt, column, (sqlite3_int64)(i / (uint64_t)column));
    (void)sqlite3_bind_int64(stmt, 1, (sqlite3_int64)i + 1);
    (void)sqlite3_bind_blob(stmt, 7, lane, sizeof lane, SQLITE_STATIC);
    (void)sqlite3_bind_double(stmt, 14, 0.5);
    (void)sqlite3_bind_double(stmt, 15, 0.25);
    (void)sqlite3_bind_double(stmt, 16, 0);
    (void)sqlite3_bind_null(stmt, 17);
    (void)sqlite3_bind_blob(stmt, 18, b->x + i % VECTORS * b->dim, (int)(b->dim * sizeof(float)),
                            SQLITE_STATIC);
    (void)sqlite3_bind_null(stmt, 19);
    (void)sqlite3_bind_null(stmt, 20);
    if (sqlite3_step(stmt) != SQLITE_DONE)
        die("SQLite alone cannot insert");
    (void)sqlite3_reset(stmt);
}

/* The same rows without a store, in groups as large as the store's when it is behind. */
static void sqlite_alone(const struct bench *b, struct figures *f)
{
    char path[512];
    sqlite3_stmt *stmt;
    sqlite3 *db;

    (void)snprintf(path, sizeof path, "%s/bench.db", b->dir);
    if (sqlite3_open(path, &db) != SQLITE_OK)
        die("SQLite alone cannot open its file");
    sql(db, "PRAGMA page_size=16384; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=4096;"
            "CREATE TABLE event(a INTEGER PRIMARY KEY, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p,"
            "q, r, s, t, u)");
    sql(db, b->durability == SONA_STORE_EVERY ? "PRAGMA synchronous=FULL"
                                              : "PRAGMA synchronous=NORMAL");
    if (sqlite3_prepare_v2(db,
                           "INSERT INTO event VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                           -1, &stmt, NULL) != SQLITE_OK)
        die(sqlite3_errmsg(db));
    begin(f);
    for (uint64_t i = 0; i < b->records;) {
        sql(db, "BEGIN");
        for (uint32_t k = 0; k < LARGE_GROUP && i < b->records; k++)
            insert_row(b, stmt, i++);
        sql(db, "COMMIT");
    }
    end(f);
    (void)sqlite3_finalize(stmt);
    (void)sqlite3_close(db);
}

static void clear(const char *dir)
{
    static const char *const suffixes[] = {".db", ".db-wal", ".db-shm", ".db.lock", ".intake"};
    char path[512];

    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        (void)snprintf(path, sizeof path, "%s/bench%s", dir, suffixes[i]);
        (void)unlink(path);
    }
}

static void run(struct bench *b)
{
    static const char *const names[] = {"process", "interval", "every"};
    struct sona_store_stats stats = {0};
    struct figures f, floor, alone;
    struct sona_tools_random random = sona_tools_random_init(1, 1);

    b->x = malloc((size_t)VECTORS * b->dim * sizeof *b->x);
    if (!b->x || !sona_tools_sample_init(&b->append, (uint32_t)b->records))
        die("no memory");
    for (size_t i = 0; i < (size_t)VECTORS * b->dim; i++)
        b->x[i] = (float)sona_tools_random_unit(&random) - 0.5f;
    clear(b->dir);
    b->full = 0;
    clear(b->intake_dir);
    floor_of(b, &floor);
    f = journal(b, &stats);
    clear(b->dir);
    clear(b->intake_dir);
    sqlite_alone(b, &alone);
    clear(b->dir);
    double n = (double)b->records;
    (void)printf(
        "{\"name\": \"journal/%u/%s\", \"unit\": \"records/s\", \"records\": %.0f, "
        "\"per_s\": %.0f, \"per_s_core\": %.0f, \"append_ns\": {\"p50\": %.0f, \"p99\": %.0f, "
        "\"p999\": %.0f, \"max\": %.0f}, \"full\": %llu, \"groups\": %llu, \"stall_us_max\": %llu, "
        "\"stall_us\": %llu, \"sync_us_max\": %llu, \"checkpoints\": %llu, "
        "\"bytes_per_record\": %.0f, \"floor\": {\"what\": \"write and fdatasync\", \"per_s\": "
        "%.0f, \"per_s_core\": %.0f}, \"ratio\": %.2f, \"ratio_core\": %.2f, "
        "\"sqlite_alone\": {\"per_s\": %.0f, \"per_s_core\": %.0f}, \"ratio_sqlite_core\": "
        "%.2f}\n",
        b->dim, names[b->durability], n, n / f.wall_s, n / f.cpu_s,
        sona_tools_sample_percentile(&b->append, 0.5),
        sona_tools_sample_percentile(&b->append, 0.99),
        sona_tools_sample_percentile(&b->append, 0.999),
        sona_tools_sample_percentile(&b->append, 1), (unsigned long long)b->full,
        (unsigned long long)stats.groups, (unsigned long long)stats.stall_us_max,
        (unsigned long long)stats.stall_us, (unsigned long long)stats.sync_us_max,
        (unsigned long long)stats.checkpoints, (double)stats.used_bytes / n, n / floor.wall_s,
        n / floor.cpu_s, f.wall_s / floor.wall_s, f.cpu_s / floor.cpu_s, n / alone.wall_s,
        n / alone.cpu_s, f.cpu_s / alone.cpu_s);
    (void)fflush(stdout);
    sona_tools_sample_done(&b->append);
    free(b->x);
}

int main(int argc, char **argv)
{
    char made[] = "/tmp/sona-store-cost-XXXXXX";
    const char *dir = argc > 1 ? argv[1] : mkdtemp(made);
    uint64_t records = argc > 2 ? strtoull(argv[2], NULL, 10) : 200000;

    char shm[] = "/dev/shm/sona-store-cost-XXXXXX";
    const char *intake_dir = mkdtemp(shm);
    cpu_set_t cores;

    if (!dir || !intake_dir || records < GROUP || records > 100000000)
        die("usage: store-cost [DIR [RECORDS [CORES]]]");
    CPU_ZERO(&cores);
    for (int core = 0; argc > 3 && core < atoi(argv[3]) && core < CPU_SETSIZE; core++)
        CPU_SET(core, &cores);
    if (argc > 3 && sched_setaffinity(0, sizeof cores, &cores) != 0)
        die("CORES are not there");
    for (int durability = SONA_STORE_PROCESS; durability <= SONA_STORE_EVERY; durability++)
        run(&(struct bench){.dir = dir,
                            .intake_dir = intake_dir,
                            .records = records,
                            .dim = 256,
                            .durability = durability});
    run(&(struct bench){.dir = dir,
                        .intake_dir = intake_dir,
                        .records = records / 6 + GROUP,
                        .dim = 1536,
                        .durability = SONA_STORE_INTERVAL});
    (void)rmdir(intake_dir);
    if (argc <= 1)
        (void)rmdir(dir);
    return 0;
}
