/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A store in a directory of its own, and records whose whole content follows from a number, so that
 * what is read back can be told from what was appended, bit by bit.
 */
#ifndef SONA_TESTS_SIDECAR_STORE_STORE_FIXTURE_H
#define SONA_TESTS_SIDECAR_STORE_STORE_FIXTURE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <sqlite3.h>

#include "sidecar/store/store.h"

#define FIXTURE_DIM 16u

static char fixture_dir[64];
static char fixture_notices[4096]; /* "event: text\n" ... */
static sona_diag fixture_diag;

static inline void fixture_notice(void *context, const char *event, const char *text)
{
    size_t used = strlen(fixture_notices);

    (void)context;
    (void)snprintf(fixture_notices + used, sizeof fixture_notices - used, "%s: %s\n", event, text);
}

static inline struct sona_store_options fixture_options(void)
{
    return (struct sona_store_options){.instance = "one",
                                       .state_dir = fixture_dir,
                                       .intake_bytes = SONA_STORE_INTAKE_MIN,
                                       .notice = fixture_notice};
}

static inline void fixture_setup_in(const char *where)
{
    (void)snprintf(fixture_dir, sizeof fixture_dir, "%s/sona-store-XXXXXX", where);
    cr_assert(ne(ptr, mkdtemp(fixture_dir), NULL));
}

static inline void fixture_setup(void)
{
    fixture_setup_in("/tmp");
}

/* Where syncs cost nothing: for tests that bring a disk of their own. */
static inline void fixture_setup_in_memory(void)
{
    fixture_setup_in(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
}

static inline void fixture_teardown(void)
{
    char command[128];

    (void)snprintf(command, sizeof command, "rm -rf '%s'", fixture_dir);
    (void)!system(command);
}

static inline const char *fixture_path(const char *suffix)
{
    static char path[160];

    (void)snprintf(path, sizeof path, "%s/one%s", fixture_dir, suffix);
    return path;
}

/* As somebody with a shell would: on the closed store's database. */
static inline void fixture_sql(const char *text)
{
    sqlite3 *db;

    cr_assert(eq(int, sqlite3_open(fixture_path(".db"), &db), SQLITE_OK));
    cr_assert(eq(int, sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK), "%s",
              sqlite3_errmsg(db));
    (void)sqlite3_close(db);
}

static inline struct sona_store *fixture_open(const struct sona_store_options *options)
{
    struct sona_store *store = NULL;
    sona_err err = sona_store_open(&store, options, &fixture_diag);

    cr_assert(eq(int, err, SONA_OK), "%s", fixture_diag.text);
    return store;
}

/* Of any number: floats with odd bits, -0 among them, and words of every width. */
static inline uint64_t fixture_mix(uint64_t n, uint64_t salt)
{
    uint64_t h = (n + 1) * 0x9e3779b97f4a7c15ull ^ salt * 0xbb67ae8584caa73bull;

    h = (h ^ h >> 29) * 0x6a09e667f3bcc909ull;
    return h ^ h >> 32;
}

struct fixture_record {
    struct sona_store_record record;
    float x[FIXTURE_DIM], base[FIXTURE_DIM];
    char payload[24];
};

/* Record number n, as appended through lane 1 + n % 3 with lane_seq n. */
static inline void fixture_make(struct fixture_record *ret, uint64_t n)
{
    struct fixture_record *f = ret;

    *f = (struct fixture_record){
        .record = {.kind = (uint32_t)(n % 9),
                   .uid = 1000 + (uint32_t)(n % 2),
                   .tenant = (uint32_t)(n % 5),
                   .route = n % 7 == 0 ? UINT32_MAX : (uint32_t)(n % 7),
                   .lane = {{1 + n % 3, 0x8000000000000000ull | n % 3}},
                   .lane_seq = n,
                   .id = fixture_mix(n, 1),
                   .version = fixture_mix(n, 2),
                   .now_ms = n,
                   .type = (uint16_t)(n % 4),
                   .unrecorded = n > 100 ? (uint16_t)(n % 6 * 13107) : 0, /* before: of old */
                   .layer = (uint32_t)fixture_mix(n, 3),
                   .quality = n % 11 == 0 ? -0.0f : (float)(fixture_mix(n, 4) >> 40) * 0x1p-24f,
                   .propensity = 1.0f / (float)(1 + n % 13),
                   .credit = -(float)(n % 17) * 1e-30f}};
    for (uint32_t i = 0; i < FIXTURE_DIM; i++) {
        f->x[i] = (float)(int32_t)fixture_mix(n, 10 + i) * 0x1p-31f;
        f->base[i] = i % 4 == 0 ? -0.0f : f->x[i] * 1e-38f; /* subnormal */
    }
    f->record.x = f->x;
    f->record.x_n = FIXTURE_DIM;
    if (n % 9 == SONA_STORE_steps) {
        f->record.base = f->base;
        f->record.base_n = FIXTURE_DIM;
    }
    if (n % 4 == 0) {
        f->record.payload_bytes = (uint32_t)snprintf(f->payload, sizeof f->payload, "payload %llu",
                                                     (unsigned long long)n);
        f->record.payload = f->payload;
    }
}

static inline sona_err fixture_append(struct sona_store *store, uint64_t n)
{
    struct fixture_record f;

    fixture_make(&f, n);
    return sona_store_append(store, &f.record, 1, NULL);
}

/* Append records from..to, waiting when the log is full. */
static inline void fixture_fill(struct sona_store *store, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n <= to; n++) {
        sona_err err = fixture_append(store, n);

        if (err == SONA_E_FULL) {
            n--;
            (void)usleep(500);
            continue;
        }
        cr_assert(eq(int, err, SONA_OK), "record %llu", (unsigned long long)n);
    }
}

/* Whether two records say the same, to the last bit. */
static inline bool fixture_same(const struct sona_store_record *a,
                                const struct sona_store_record *b)
{
    return a->kind == b->kind && a->uid == b->uid && a->tenant == b->tenant &&
           a->route == b->route && memcmp(&a->lane, &b->lane, sizeof a->lane) == 0 &&
           a->lane_seq == b->lane_seq && a->id == b->id && a->version == b->version &&
           a->now_ms == b->now_ms && a->type == b->type && a->unrecorded == b->unrecorded &&
           a->layer == b->layer && memcmp(&a->quality, &b->quality, 4) == 0 &&
           memcmp(&a->propensity, &b->propensity, 4) == 0 &&
           memcmp(&a->credit, &b->credit, 4) == 0 && a->x_n == b->x_n && a->base_n == b->base_n &&
           a->payload_bytes == b->payload_bytes &&
           (a->x_n == 0 || memcmp(a->x, b->x, 4 * a->x_n) == 0) &&
           (a->base_n == 0 || memcmp(a->base, b->base, 4 * a->base_n) == 0) &&
           (a->payload_bytes == 0 || memcmp(a->payload, b->payload, a->payload_bytes) == 0);
}

/* What a replay of fixture records finds: position p must be record `first` + p - 1. */
struct fixture_seen {
    uint64_t first, rows, wrong, last;
    uint64_t thinned; /* rows up to it may have lost their vectors */
};

static inline bool fixture_see(void *context, const struct sona_store_record *record)
{
    struct fixture_seen *seen = context;
    struct fixture_record f;

    fixture_make(&f, seen->first + record->position - 1);
    if (record->position <= seen->thinned && record->x_n == 0 && record->base_n == 0)
        f.record.x_n = f.record.base_n = 0;
    seen->rows++;
    seen->wrong += !fixture_same(record, &f.record) || record->position != seen->last + 1;
    seen->last = record->position;
    return true;
}

/* All positions up to `rows` are there once, in order, with the bits of records 1 and up. */
static inline void fixture_expect(struct sona_store *store, uint64_t rows)
{
    struct fixture_seen seen = {.first = 1};
    sona_err err = sona_store_replay(store, 1, fixture_see, &seen, &fixture_diag);

    cr_expect(eq(int, err, SONA_OK), "%s", fixture_diag.text);
    cr_expect(eq(u64, seen.rows, rows));
    cr_expect(eq(u64, seen.wrong, 0));
}

static inline void fixture_find(void *context, const char *text)
{
    (void)context;
    fixture_notice(NULL, "finding", text);
}

static inline uint32_t fixture_findings(struct sona_store *store)
{
    uint32_t findings = 1000;
    sona_err err = sona_store_check(store, fixture_find, NULL, &findings, &fixture_diag);

    cr_expect(eq(int, err, SONA_OK), "%s", fixture_diag.text);
    return findings;
}

#endif
