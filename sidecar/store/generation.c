/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Generations: the state's bytes with the position they cover, in parts of a megabyte, so that
 * saving a large one holds up no group of records. The row in `generation` is written last, in a
 * transaction that syncs: a generation is there whole, or not at all. Parts without a row are what
 * a kill left; the next open removes them.
 */
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "shm/diag.h"
#include "shm/fault.h"
#include "sidecar/clock.h"
#include "sidecar/store/internal.h"

/* Generations behind the newest whose records stay exact. */
#ifdef SONA_FAULTS /* all there are: the journal is followed from outside (tests/system/kills) */
#define EXACT "1000000"
#else
#define EXACT "1"
#endif

static uint32_t parts_of(uint64_t bytes)
{
    return (uint32_t)((bytes + SONA_STORE_PART_BYTES - 1) / SONA_STORE_PART_BYTES);
}

int sona_store_generation_look(struct sona_store *store)
{
    int64_t newest = 0, behind = 0;
    int rc = sona_store_sqlite_number(
        store->db,
        "SELECT coalesce((SELECT position FROM generation ORDER BY number DESC LIMIT 1),0)",
        &newest);

    /* A damaged generation falls back to the one before: its records stay exact. */
    if (rc == SQLITE_OK)
        rc = sona_store_sqlite_number(store->db,
                                      "SELECT coalesce((SELECT position FROM generation ORDER BY "
                                      "number DESC LIMIT 1 OFFSET " EXACT "),0)",
                                      &behind);
    if (rc != SQLITE_OK)
        return rc;
    if (store->newest != (uint64_t)newest)
        store->since_newest = 0;
    store->newest = (uint64_t)newest;
    store->cover = (uint64_t)(behind < newest ? behind : newest);
    return SQLITE_OK;
}

int sona_store_generation_clean(struct sona_store *store)
{
    return sqlite3_exec(store->db,
                        "DELETE FROM part WHERE (id>>12) NOT IN (SELECT number FROM generation)",
                        NULL, NULL, NULL);
}

/* --- what the writer does --------------------------------------------------------------------- */

struct save {
    struct sona_store_chore chore;
    const uint8_t *bytes;
    uint64_t n, sum, position, number, origin;
    uint64_t since; /* with `origin`: the position that it goes back to */
    uint64_t drop;  /* the generation that gives way; 0: none */
    uint32_t part, drop_part, drop_parts;
    uint32_t row_slice; /* the slice that wrote the row */
    bool pinned, row;
};

static int write_part(struct sona_store *store, struct save *s)
{
    sqlite3_stmt *stmt = sona_store_sql(store, SONA_STORE_SQL_part);
    uint64_t at = (uint64_t)s->part * SONA_STORE_PART_BYTES;
    uint64_t n = s->n - at < SONA_STORE_PART_BYTES ? s->n - at : SONA_STORE_PART_BYTES;

    sona_store_bind(stmt, 1, SONA_STORE_PART_ID(s->number, s->part));
    (void)sqlite3_bind_blob(stmt, 2, s->bytes + at, (int)n, SQLITE_STATIC);
    s->part++;
    s->chore.durable = s->part == parts_of(s->n); /* what comes next makes it one */
    int rc = sona_store_sql_finish(stmt);
    SONA_FAULT(generation_part);
    return rc;
}

static int write_row(struct sona_store *store, struct save *s)
{
    sqlite3_stmt *stmt = sona_store_sql(store, SONA_STORE_SQL_generation);

    sona_store_bind(stmt, 1, s->number);
    sona_store_bind(stmt, 2, s->position);
    sona_store_bind(stmt, 3, sona_sidecar_wall_us() / 1000);
    sona_store_bind(stmt, 4, s->n);
    sona_store_bind(stmt, 5, s->sum);
    sona_store_bind(stmt, 6, s->pinned);
    if (s->origin != 0)
        sona_store_bind(stmt, 7, s->origin);
    else
        (void)sqlite3_bind_null(stmt, 7);
    s->row = true;
    s->row_slice = s->chore.slices;
    int rc = sona_store_sql_finish(stmt);
    if (rc == SQLITE_OK && s->origin != 0) { /* what came from files since was never taken */
        sona_store_bind(store->sql[SONA_STORE_SQL_imported_undone], 1, s->since);
        rc = sona_store_sql_finish(store->sql[SONA_STORE_SQL_imported_undone]);
    }
    SONA_FAULT(generation_row);
    return rc;
}

/* Without a journal positions go on from here; rows of an earlier one stay until retention takes
 * them, but nothing can be replayed across the gap. */
static int leave_gap(struct sona_store *store, uint64_t position)
{
    sqlite3_stmt *progress = sona_store_sql(store, SONA_STORE_SQL_progress);
    sqlite3_stmt *first = sona_store_sql(store, SONA_STORE_SQL_removed);

    sona_store_bind(progress, 1, position);
    sona_store_bind(progress, 2, store->intake_seq);
    int rc = sona_store_sql_finish(progress);
    sona_store_bind(first, 1, position + 1);
    return rc == SQLITE_OK ? sona_store_sql_finish(first) : rc;
}

/* Which generation gives way: the oldest that is not pinned, beyond the number that is kept. */
static int choose_drop(struct sona_store *store, struct save *s)
{
    char sql[200];
    int64_t number = 0, bytes = 0;

    (void)snprintf(sql, sizeof sql,
                   "SELECT coalesce((SELECT number FROM generation WHERE pinned=0 ORDER BY number "
                   "DESC LIMIT 1 OFFSET %u),0)",
                   store->options.generations);
    int rc = sona_store_sqlite_number(store->db, sql, &number);
    (void)snprintf(sql, sizeof sql,
                   "SELECT coalesce((SELECT bytes FROM generation WHERE number=%lld),0)",
                   (long long)number);
    if (rc == SQLITE_OK)
        rc = sona_store_sqlite_number(store->db, sql, &bytes);
    s->drop = (uint64_t)number;
    s->drop_part = 0;
    s->drop_parts = parts_of((uint64_t)bytes);
    return rc;
}

/* One slice of removing what gives way: its row first, then part by part. */
static int drop_slice(struct sona_store *store, struct save *s, bool *done)
{
    bool row = s->drop_part == 0;
    sqlite3_stmt *stmt;
    int rc = SQLITE_OK;

    if (row) {
        stmt = sona_store_sql(store, SONA_STORE_SQL_generation_remove);
        sona_store_bind(stmt, 1, s->drop);
        rc = sona_store_sql_finish(stmt);
    }
    if (rc == SQLITE_OK && s->drop_part < s->drop_parts) {
        stmt = sona_store_sql(store, SONA_STORE_SQL_part_remove);
        sona_store_bind(stmt, 1, SONA_STORE_PART_ID(s->drop, s->drop_part));
        rc = sona_store_sql_finish(stmt);
    }
    s->drop_part++;
    if (rc == SQLITE_OK && s->drop_part >= s->drop_parts)
        rc = choose_drop(store, s);
    *done = s->drop == 0;
    return rc;
}

static int save_step(struct sona_store *store, struct sona_store_chore *chore, bool *done)
{
    struct save *s = (struct save *)chore;
    uint64_t committed = atomic_load_explicit(&store->committed, memory_order_relaxed);
    int rc;

    if (committed < s->chore.after) { /* the writer is sick: its records do not come */
        s->chore.err =
            sona_shm_diag_set(&s->chore.diag, SONA_E_SYSTEM, 0,
                              "%s cannot be written now; see its health", store->files.db);
        return SQLITE_OK;
    }
    if (s->number == 0) {
        int64_t last = 0;

        rc = sona_store_sqlite_number(
            store->db,
            "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name='generation'),0)", &last);
        if (rc != SQLITE_OK)
            return rc;
        s->number = (uint64_t)last + 1;
    }
    if (s->part < parts_of(s->n))
        return write_part(store, s);
    if (!s->row) {
        rc = write_row(store, s);
        if (rc == SQLITE_OK && store->options.journal_off)
            rc = leave_gap(store, s->position);
        if (rc == SQLITE_OK)
            rc = choose_drop(store, s);
        *done = s->drop == 0;
        return rc;
    }
    s->chore.durable = false;
    return drop_slice(store, s, done);
}

/* --- calls ------------------------------------------------------------------------------------ */

static sona_err save(struct sona_store *store, struct save *s, uint64_t *ret_number,
                     sona_diag *reterr)
{
    s->chore.step = save_step;
    s->chore.after = s->position;
    s->chore.durable = s->n == 0;
    sona_err err = sona_store_chore_run(store, &s->chore, reterr);
    /* Saved is saved, even if what was to give way did not. */
    bool saved = s->row && s->chore.slices > s->row_slice;
    if (saved && err != SONA_OK)
        sona_store_notice(store, "generation_kept", "%s", s->chore.diag.text);
    if (saved && ret_number)
        *ret_number = s->number;
    return saved ? SONA_OK : err;
}

sona_err sona_store_generation_save(struct sona_store *store, uint64_t position, const void *bytes,
                                    size_t n, bool pinned, uint64_t *ret_number, sona_diag *reterr)
{
    struct save s = {.bytes = bytes, .n = n, .position = position, .pinned = pinned};

    if (n > SONA_STORE_GENERATION_MAX || !bytes || position > sona_store_positions(store).appended)
        return sona_shm_diag_set(reterr, SONA_E_RANGE, 0,
                                 "a generation has up to %u bytes, and covers what was appended",
                                 SONA_STORE_GENERATION_MAX);
    s.sum = XXH3_64bits(bytes, n);
    return save(store, &s, ret_number, reterr);
}

/* Under `reading`. `stmt` gives a row: number, position, created_ms, bytes, sum, pinned, origin. */
static void take_row(struct sona_store *store, sqlite3_stmt *stmt, struct sona_store_generation *g)
{
    *g = (struct sona_store_generation){.number = sona_store_column(stmt, 0),
                                        .position = sona_store_column(stmt, 1),
                                        .created_ms = sona_store_column(stmt, 2),
                                        .bytes = sona_store_column(stmt, 3),
                                        .pinned = sqlite3_column_int(stmt, 5) != 0,
                                        .origin = sona_store_column(stmt, 6)};
    g->exact = !store->options.journal_off &&
               g->position >= atomic_load_explicit(&store->thinned, memory_order_acquire) &&
               g->position + 1 >= atomic_load_explicit(&store->first, memory_order_acquire);
}

#define COLUMNS "SELECT number, position, created_ms, bytes, sum, pinned, origin FROM generation "

/* Under `reading`: all parts of a generation into `bytes`. False: some are missing or damaged. */
static bool read_parts(struct sona_store *store, const struct sona_store_generation *g,
                       uint8_t *bytes)
{
    sqlite3_stmt *stmt;
    uint64_t at = 0;

    if (sqlite3_prepare_v2(store->reader_db, "SELECT data FROM part WHERE id=?1", -1, &stmt,
                           NULL) != SQLITE_OK)
        return false;
    for (uint32_t part = 0; part < parts_of(g->bytes); part++) {
        sona_store_bind(stmt, 1, SONA_STORE_PART_ID(g->number, part));
        if (sqlite3_step(stmt) != SQLITE_ROW)
            break;
        size_t n = (size_t)sqlite3_column_bytes(stmt, 0);
        if (n == 0 || n > g->bytes - at)
            break;
        memcpy(bytes + at, sqlite3_column_blob(stmt, 0), n);
        at += n;
        (void)sqlite3_reset(stmt);
    }
    (void)sqlite3_finalize(stmt);
    return at == g->bytes;
}

static sona_err damaged(struct sona_store *store, uint64_t number, sona_diag *reterr)
{
    return sona_shm_diag_set(reterr, SONA_E_FORMAT, 0,
                             "generation %llu in %s is damaged; use the one before, and look at "
                             "the disk",
                             (unsigned long long)number, store->files.db);
}

/* Under `reading`. */
static sona_err read_one(struct sona_store *store, const struct sona_store_generation *g,
                         uint64_t sum, void **ret_bytes, sona_diag *reterr)
{
    if (g->bytes > SONA_STORE_GENERATION_MAX)
        return damaged(store, g->number, reterr);
    uint8_t *bytes = malloc(g->bytes ? g->bytes : 1);

    if (!bytes)
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, 0, "out of memory for a generation");
    if (!read_parts(store, g, bytes) || XXH3_64bits(bytes, g->bytes) != sum) {
        free(bytes);
        return damaged(store, g->number, reterr);
    }
    *ret_bytes = bytes;
    return SONA_OK;
}

sona_err sona_store_generation_read(struct sona_store *store, uint64_t number,
                                    struct sona_store_generation *ret, void **ret_bytes,
                                    sona_diag *reterr)
{
    struct sona_store_generation g;
    sqlite3_stmt *stmt;
    sona_err err = SONA_E_UNKNOWN_ID;
    sona_diag diag;
    int rc;

    (void)pthread_mutex_lock(&store->reading);
    rc = sqlite3_prepare_v2(
        store->reader_db, COLUMNS "WHERE ?1=0 OR number=?1 ORDER BY number DESC", -1, &stmt, NULL);
    if (rc == SQLITE_OK) {
        sona_store_bind(stmt, 1, number);
        while (err != SONA_OK && err != SONA_E_MEMORY && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
            take_row(store, stmt, &g);
            err = read_one(store, &g, sona_store_column(stmt, 4), ret_bytes, &diag);
            if (err == SONA_E_FORMAT && number == 0)
                sona_store_notice(store, "generation_damaged", "%s", diag.text);
        }
        (void)sqlite3_finalize(stmt);
    }
    (void)pthread_mutex_unlock(&store->reading);
    if (err == SONA_OK) {
        *ret = g;
        return SONA_OK;
    }
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return sona_store_sqlite_error(store->reader_db, rc, store->files.db, reterr);
    if (err != SONA_E_UNKNOWN_ID) {
        if (reterr)
            *reterr = diag;
        return err;
    }
    return sona_shm_diag_set(reterr, SONA_E_UNKNOWN_ID, 0,
                             "%s has no such generation; see sonactl generations list",
                             store->files.db);
}

sona_err sona_store_generation_list(struct sona_store *store, struct sona_store_generation *ret,
                                    uint32_t capacity, uint32_t *ret_n, sona_diag *reterr)
{
    sqlite3_stmt *stmt;
    uint32_t n = 0;
    sona_err err = sona_store_read_briefly(store, reterr);

    if (err != SONA_OK)
        return err;
    int rc = sqlite3_prepare_v2(store->reader_db, COLUMNS "ORDER BY number DESC", -1, &stmt, NULL);
    if (rc == SQLITE_OK) {
        for (; (rc = sqlite3_step(stmt)) == SQLITE_ROW; n++)
            if (n < capacity)
                take_row(store, stmt, &ret[n]);
        (void)sqlite3_finalize(stmt);
    }
    (void)pthread_mutex_unlock(&store->reading);
    if (rc != SQLITE_DONE)
        return sona_store_sqlite_error(store->reader_db, rc, store->files.db, reterr);
    *ret_n = n;
    return SONA_OK;
}

struct pin {
    struct sona_store_chore chore;
    uint64_t number;
    bool pinned;
};

static int pin_step(struct sona_store *store, struct sona_store_chore *chore, bool *done)
{
    struct pin *pin = (struct pin *)chore;
    sqlite3_stmt *stmt = sona_store_sql(store, SONA_STORE_SQL_pin);

    sona_store_bind(stmt, 1, pin->number);
    sona_store_bind(stmt, 2, pin->pinned);
    int rc = sona_store_sql_finish(stmt);
    if (rc == SQLITE_OK && sqlite3_changes(store->db) == 0)
        chore->err = sona_shm_diag_set(&chore->diag, SONA_E_UNKNOWN_ID, 0,
                                       "%s has no generation %llu; see sonactl generations list",
                                       store->files.db, (unsigned long long)pin->number);
    *done = true;
    return rc;
}

sona_err sona_store_generation_pin(struct sona_store *store, uint64_t number, bool pinned,
                                   sona_diag *reterr)
{
    struct pin pin = {
        .chore = {.step = pin_step, .durable = true}, .number = number, .pinned = pinned};

    return sona_store_chore_run(store, &pin.chore, reterr);
}

sona_err sona_store_generation_rollback(struct sona_store *store, uint64_t number,
                                        uint64_t *ret_number, sona_diag *reterr)
{
    struct sona_store_generation g;
    void *bytes = NULL;
    sona_err err = SONA_E_RANGE;

    /* Read and verified first: a damaged one must not become the newest. */
    if (number != 0)
        err = sona_store_generation_read(store, number, &g, &bytes, reterr);
    else
        (void)sona_shm_diag_set(reterr, err, 0, "name the generation to go back to");
    if (err != SONA_OK)
        return err;
    struct save s = {.bytes = bytes,
                     .n = g.bytes,
                     .sum = XXH3_64bits(bytes, g.bytes),
                     .position = sona_store_positions(store).appended,
                     .origin = number,
                     .since = g.position};
    err = save(store, &s, ret_number, reterr);
    free(bytes);
    return err;
}
