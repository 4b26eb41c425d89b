/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Reading the journal back: replay, export, check. Rows are read in slices, each a short
 * transaction, since a reader that stays keeps the WAL from starting over.
 */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shm/diag.h"
#include "sidecar/store/internal.h"

struct walk {
    sona_store_visitor *visit;                         /* a sound row; false: stop */
    bool (*damaged)(void *context, uint64_t position); /* the same of a row that is not */
    void *context;
};

/* Under `reading`: rows from..to. */
static int walk_rows(struct sona_store *store, uint64_t from, uint64_t to, const struct walk *walk)
{
    struct sona_store_record r;
    sqlite3_stmt *stmt;
    bool on = true;
    int rc = sqlite3_prepare_v2(
        store->reader_db,
        "SELECT * FROM event WHERE position>=?1 AND position<=?2 ORDER BY position LIMIT ?3", -1,
        &stmt, NULL);

    if (rc != SQLITE_OK)
        return rc;
    while (on && from <= to) {
        uint32_t n = 0;

        sona_store_bind(stmt, 1, from);
        sona_store_bind(stmt, 2, to);
        sona_store_bind(stmt, 3, SONA_STORE_SLICE_ROWS);
        for (; on && (rc = sqlite3_step(stmt)) == SQLITE_ROW; n++) {
            bool sound = sona_store_row_read(stmt, store->buffer, &r);

            from = r.position + 1;
            if (r.p_sample < 0)
                r.p_sample = 0;
            on = sound ? walk->visit(walk->context, &r) : walk->damaged(walk->context, r.position);
        }
        (void)sqlite3_reset(stmt);
        if (on && (rc != SQLITE_DONE || n == 0))
            break;
    }
    (void)sqlite3_finalize(stmt);
    return !on || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

sona_err sona_store_read_briefly(struct sona_store *store, sona_diag *reterr)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 1;
    if (pthread_mutex_timedlock(&store->reading, &until) == 0)
        return SONA_OK;
    return sona_shm_diag_set(reterr, SONA_E_BUSY, 0,
                             "%s is being read from end to end, as a check does; ask again when "
                             "that is done",
                             store->files.db);
}

/* --- replay ----------------------------------------------------------------------------------- */

struct replay {
    sona_store_visitor *visit;
    void *context;
    uint64_t next, damaged; /* the position that must come; of a damaged row */
};

static bool replay_row(void *context, const struct sona_store_record *r)
{
    struct replay *replay = context;

    if (r->position != replay->next) {
        replay->damaged = replay->next;
        return false;
    }
    replay->next++;
    return replay->visit(replay->context, r);
}

static bool replay_damaged(void *context, uint64_t position)
{
    ((struct replay *)context)->damaged = position;
    return false;
}

sona_err sona_store_replay(struct sona_store *store, uint64_t from, sona_store_visitor *visit,
                           void *context, sona_diag *reterr)
{
    struct replay replay = {.visit = visit, .context = context, .next = from ? from : 1};
    struct walk walk = {replay_row, replay_damaged, &replay};
    uint64_t first = atomic_load_explicit(&store->first, memory_order_acquire);
    uint64_t to = sona_store_positions(store).committed;

    if (store->options.journal_off)
        return SONA_OK;
    if (replay.next < first)
        return sona_shm_diag_set(reterr, SONA_E_LIMIT, 0,
                                 "%s begins at position %" PRIu64 ": retention removed %" PRIu64,
                                 store->files.db, first, replay.next);
    (void)pthread_mutex_lock(&store->reading);
    int rc = walk_rows(store, replay.next, to, &walk);
    (void)pthread_mutex_unlock(&store->reading);
    if (replay.damaged != 0)
        return sona_shm_diag_set(reterr, SONA_E_FORMAT, 0,
                                 "the row at position %" PRIu64 " of %s is damaged; roll back to a "
                                 "later generation, or move the store away",
                                 replay.damaged, store->files.db);
    return rc == SQLITE_OK ? SONA_OK
                           : sona_store_sqlite_error(store->reader_db, rc, store->files.db, reterr);
}

/* --- in passing ------------------------------------------------------------------------------- */

static bool pass_over(void *context, uint64_t position)
{
    (void)context;
    (void)position;
    return true;
}

sona_err sona_store_page(struct sona_store *store, uint64_t from, sona_store_visitor *visit,
                         void *context, sona_diag *reterr)
{
    struct walk walk = {visit, pass_over, context};
    uint64_t to = sona_store_positions(store).committed;
    sona_err err = sona_store_read_briefly(store, reterr);

    if (err != SONA_OK)
        return err;
    int rc = from <= to ? walk_rows(store, from, to, &walk) : SQLITE_OK;
    (void)pthread_mutex_unlock(&store->reading);
    return rc == SQLITE_OK ? SONA_OK
                           : sona_store_sqlite_error(store->reader_db, rc, store->files.db, reterr);
}

sona_err sona_store_imported(struct sona_store *store, const struct sona_store_import *imports,
                             uint32_t n, bool *ret, sona_diag *reterr)
{
    sqlite3_stmt *stmt;
    sona_err err = sona_store_read_briefly(store, reterr);

    if (err != SONA_OK)
        return err;
    int rc = sqlite3_prepare_v2(store->reader_db, "SELECT 1 FROM imported WHERE key=?1", -1, &stmt,
                                NULL);
    if (rc == SQLITE_OK) {
        for (uint32_t i = 0; i < n && (rc == SQLITE_OK || rc == SQLITE_DONE || rc == SQLITE_ROW);
             i++) {
            sona_store_bind(stmt, 1, imports[i].key);
            rc = sqlite3_step(stmt);
            ret[i] = rc == SQLITE_ROW;
            (void)sqlite3_reset(stmt);
        }
        (void)sqlite3_finalize(stmt);
    }
    (void)pthread_mutex_unlock(&store->reading);
    return rc == SQLITE_OK || rc == SQLITE_DONE || rc == SQLITE_ROW
               ? SONA_OK
               : sona_store_sqlite_error(store->reader_db, rc, store->files.db, reterr);
}

/* --- export ----------------------------------------------------------------------------------- */

static const char *kind_name(uint32_t kind)
{
    switch (kind) {
#define NAME(name, number) \
    case number:           \
        return #name;
        SONA_STORE_KINDS(NAME)
#undef NAME
    default:
        return "other";
    }
}

void sona_store_put_vector(FILE *to, const char *key, const float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (i == 0)
            (void)fprintf(to, ",\"%s\":[", key);
        /* JSON has no infinity: f16 rounds beyond 65504 to it. */
        (void)fprintf(to, isfinite(x[i]) ? "%s%.9g" : "%snull", i > 0 ? "," : "", (double)x[i]);
    }
    if (n > 0)
        (void)fputc(']', to);
}

static bool print_row(void *context, const struct sona_store_record *r)
{
    FILE *file = context;

    (void)fprintf(file, "{\"position\":%" PRIu64 ",\"written_ms\":%" PRIu64 ",\"kind\":\"%s\"",
                  r->position, r->written_ms, kind_name(r->kind));
    if (r->kind == SONA_STORE_forgotten) {
        (void)fputs("}\n", file);
        return ferror(file) == 0;
    }
    (void)fprintf(file,
                  ",\"kind_number\":%u,\"uid\":%u,\"tenant\":%u,\"id\":\"%016" PRIx64
                  "\",\"version\":\"%016" PRIx64 "\",\"now_ms\":%" PRIu64
                  ",\"quality\":%.9g,\"propensity\":%.9g,\"credit\":%.9g,\"type\":%u,\"layer\":%u",
                  r->kind, r->uid, r->tenant, r->id, r->version, r->now_ms, (double)r->quality,
                  (double)r->propensity, (double)r->credit, r->type, r->layer);
    if (r->route != UINT32_MAX)
        (void)fprintf(file, ",\"route\":%u", r->route);
    if (sona_store_lane_is(r->lane))
        (void)fprintf(file, ",\"lane\":\"%016" PRIx64 "%016" PRIx64 "\",\"lane_seq\":%" PRIu64,
                      r->lane.word[0], r->lane.word[1], r->lane_seq);
    if (r->unrecorded > 0)
        (void)fprintf(file, ",\"share\":%.9g", sona_store_share_of(r));
    if (r->p_sample > 0)
        (void)fprintf(file, ",\"p_sample\":%.9g", (double)r->p_sample);
    sona_store_put_vector(file, "x", r->x, r->x_n);
    sona_store_put_vector(file, "base", r->base, r->base_n);
    if (r->payload_bytes > 0) {
        (void)fputs(",\"payload\":\"", file);
        for (uint32_t i = 0; i < r->payload_bytes; i++)
            (void)fprintf(file, "%02x", ((const uint8_t *)r->payload)[i]);
        (void)fputc('"', file);
    }
    (void)fputs("}\n", file);
    return ferror(file) == 0;
}

static bool print_damaged(void *context, uint64_t position)
{
    (void)fprintf(context, "{\"position\":%" PRIu64 ",\"kind\":\"damaged\"}\n", position);
    return ferror((FILE *)context) == 0;
}

sona_err sona_store_export(struct sona_store *store, uint64_t from, uint64_t to, FILE *file,
                           sona_diag *reterr)
{
    struct walk walk = {print_row, print_damaged, file};
    uint64_t last = sona_store_positions(store).committed;

    (void)pthread_mutex_lock(&store->reading);
    int rc = walk_rows(store, from, to < last ? to : last, &walk);
    (void)pthread_mutex_unlock(&store->reading);
    if (fflush(file) != 0 || ferror(file))
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, 0, "the export could not be written");
    return rc == SQLITE_OK ? SONA_OK
                           : sona_store_sqlite_error(store->reader_db, rc, store->files.db, reterr);
}

/* --- check ------------------------------------------------------------------------------------ */

struct check {
    sona_store_finding *tell;
    void *context;
    struct sona_store *store;
    const char *path;
    uint32_t findings;
    uint64_t next;
};

__attribute__((format(printf, 2, 3))) static void find(struct check *c, const char *format, ...)
{
    char text[SONA_DIAG_TEXT_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    c->findings++;
    if (c->tell)
        c->tell(c->context, text);
}

/* Positions up to `position`, it not, must be there, but for what retention took meanwhile: asked
 * of the transaction that the rows are read in. */
static void check_gap(struct check *c, uint64_t position)
{
    int64_t first = 0;

    if (c->next >= position ||
        sona_store_sqlite_number(c->store->reader_db, "SELECT first FROM store", &first) !=
            SQLITE_OK)
        return;
    if (c->next < (uint64_t)first)
        c->next = (uint64_t)first;
    if (c->next < position)
        find(c, "%s: positions %" PRIu64 " to %" PRIu64 " are missing", c->path, c->next,
             position - 1);
}

static bool check_order(struct check *c, uint64_t position)
{
    check_gap(c, position);
    c->next = position + 1;
    return true;
}

static bool check_row(void *context, const struct sona_store_record *r)
{
    return check_order(context, r->position);
}

static bool check_damaged(void *context, uint64_t position)
{
    struct check *c = context;

    find(c, "%s: the checksum of the row at position %" PRIu64 " is wrong", c->path, position);
    return check_order(c, position);
}

/* Under `reading`: every row of `sql` is a finding, but a text "ok". */
static int check_sql(struct sona_store *store, struct check *c, const char *sql, const char *what)
{
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(store->reader_db, sql, -1, &stmt, NULL);

    if (rc != SQLITE_OK)
        return rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(stmt, 0);

        if (text && strcmp(text, "ok") != 0)
            find(c, "%s: %s %.150s", c->path, what, text);
    }
    (void)sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static sona_err check_generations(struct sona_store *store, struct check *c, sona_diag *reterr)
{
    struct sona_store_generation g[64], one;
    uint32_t n = 0;
    sona_err err = sona_store_generation_list(store, g, 64, &n, reterr);

    for (uint32_t i = 0; err == SONA_OK && i < n && i < 64; i++) {
        void *bytes = NULL;
        sona_diag diag;

        err = sona_store_generation_read(store, g[i].number, &one, &bytes, &diag);
        if (err == SONA_E_FORMAT)
            find(c, "%s", diag.text);
        else if (err == SONA_OK && one.position > sona_store_positions(store).committed)
            find(c, "%s: generation %" PRIu64 " covers positions beyond the journal", c->path,
                 one.number);
        /* One that gave way meanwhile is no finding. */
        if (err == SONA_E_FORMAT || err == SONA_E_UNKNOWN_ID)
            err = SONA_OK;
        else if (err != SONA_OK && reterr)
            *reterr = diag;
        free(bytes);
    }
    return err;
}

sona_err sona_store_check(struct sona_store *store, sona_store_finding *tell, void *context,
                          uint32_t *ret_findings, sona_diag *reterr)
{
    struct check c = {.tell = tell, .context = context, .store = store, .path = store->files.db};
    struct walk walk = {check_row, check_damaged, &c};
    uint64_t to = sona_store_positions(store).committed;
    sona_err err;

    (void)pthread_mutex_lock(&store->reading);
    c.next = atomic_load_explicit(&store->first, memory_order_acquire);
    int rc = check_sql(store, &c, "PRAGMA integrity_check(100)", "SQLite finds:");
    if (rc == SQLITE_OK && !store->options.journal_off)
        rc = walk_rows(store, c.next, to, &walk);
    if (rc == SQLITE_OK && !store->options.journal_off)
        check_gap(&c, to + 1);
    if (rc == SQLITE_OK)
        rc = check_sql(store, &c,
                       "SELECT e.position FROM event e JOIN lane l ON l.identity=e.lane "
                       "WHERE e.lane_seq>=l.next LIMIT 100",
                       "the cursor of its lane is not beyond the row at position");
    (void)pthread_mutex_unlock(&store->reading);
    if ((rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB) {
        find(&c, "%s: SQLite cannot read on: %s", c.path, sqlite3_errstr(rc));
        rc = SQLITE_OK;
    }
    if (rc != SQLITE_OK)
        return sona_store_sqlite_error(store->reader_db, rc, store->files.db, reterr);
    err = check_generations(store, &c, reterr);
    if (err == SONA_OK)
        *ret_findings = c.findings;
    return err;
}
