/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The writer: takes batches from the intake log and commits them in groups, each with the cursors
 * of its lanes and its place in the log in one transaction. Between two groups it does one slice of
 * whatever else writes: retention, thinning, generations, forgetting. So SQLite has one writer, and
 * no transaction is long.
 *
 *     commit group ──► positions ──► trim the log         a kill between: the sequence says which
 *                                                         batches are in the journal already
 *
 * When the disk refuses, nothing is taken from the log; the writer tries again, and meanwhile
 * appends are refused.
 */
#include <string.h>

#include "shm/diag.h"
#include "shm/fault.h"
#include "sidecar/clock.h"
#include "sidecar/store/internal.h"

#define PRESSED_SLICES 8u /* of 1024 rows: two groups */
/* Lanes that a group merges; others are written twice, which does no harm. */
#define CACHE 256u

sqlite3_stmt *sona_store_sql(struct sona_store *store, enum sona_store_statement statement)
{
    return store->sql[statement];
}

/* Do what a statement without rows says, and make it ready for the next time. */
int sona_store_sql_finish(sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);

    (void)sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int sona_store_sql_run(struct sona_store *store, enum sona_store_statement statement)
{
    return sona_store_sql_finish(store->sql[statement]);
}

static int count_wal(void *context, sqlite3 *db, const char *name, int pages)
{
    struct sona_store *store = context;

    (void)db;
    (void)name;
    atomic_store_explicit(&store->wal_pages, (uint64_t)pages, memory_order_relaxed);
    return SQLITE_OK;
}

/* Whether COMMIT syncs. */
static int set_sync(struct sona_store *store, bool full)
{
    if (store->own_sync == full)
        return SQLITE_OK;
    int rc = sqlite3_exec(store->db, full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL",
                          NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        store->own_sync = full;
    return rc;
}

sona_err sona_store_writer_prepare(struct sona_store *store, sona_diag *reterr)
{
    static const char *const texts[] = {
#define TEXT(name, sql) sql,
        SONA_STORE_STATEMENTS(TEXT)
#undef TEXT
    };
    int rc = SQLITE_OK;

    for (int i = 0; i < SONA_STORE_SQLS && rc == SQLITE_OK; i++)
        rc = sqlite3_prepare_v3(store->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &store->sql[i],
                                NULL);
    (void)sqlite3_wal_hook(store->db, count_wal, store);
    if (rc == SQLITE_OK)
        rc = set_sync(store, store->options.durability == SONA_STORE_EVERY);
    return rc == SQLITE_OK ? SONA_OK
                           : sona_store_sqlite_error(store->db, rc, store->files.db, reterr);
}

void sona_store_writer_done(struct sona_store *store)
{
    for (int i = 0; i < SONA_STORE_SQLS; i++)
        (void)sqlite3_finalize(store->sql[i]);
}

/* --- a group ---------------------------------------------------------------------------------- */

struct group {
    uint64_t from, to; /* offsets in the log */
    uint64_t seq, position, wall_ms;
    uint32_t rows, touched;
    uint32_t waiting;                              /* rows that are not inserted yet */
    uint16_t cache[CACHE];                         /* index + 1 into touched, by hash of the lane */
    struct sona_store_record row[SONA_STORE_MANY]; /* they; vectors and payload are in the log */
};

/* Note what the group does to the record's lane. */
static void touch(struct sona_store *store, struct group *g, const struct sona_store_record *r)
{
    if (!sona_store_lane_is(r->lane))
        return;
    uint16_t *cached = &g->cache[(r->lane.word[0] ^ r->lane.word[1]) % CACHE];
    struct sona_store_touched *t = *cached ? &store->touched[*cached - 1] : NULL;
    bool end = r->kind == SONA_STORE_lane_end;

    if (!t || end || memcmp(&t->lane, &r->lane, sizeof r->lane) != 0) {
        t = &store->touched[g->touched++];
        *t = (struct sona_store_touched){.lane = r->lane, .end = end};
        *cached = end ? 0 : (uint16_t)g->touched;
    }
    t->uid = r->uid;
    if (t->next < r->lane_seq + 1)
        t->next = r->lane_seq + 1;
}

/* Insert the rows that wait. */
static int insert(struct sona_store *store, struct group *g)
{
    sqlite3_stmt *one = store->sql[SONA_STORE_SQL_insert];
    sqlite3_stmt *many = store->sql[SONA_STORE_SQL_insert_many];
    uint32_t n = g->waiting;
    int rc = SQLITE_OK;

    g->waiting = 0;
    if (n == SONA_STORE_MANY) {
        for (uint32_t i = 0; i < n; i++)
            sona_store_row_bind(many, i, &g->row[i], &store->many[i]);
        return sona_store_sql_finish(many);
    }
    for (uint32_t i = 0; i < n && rc == SQLITE_OK; i++) {
        sona_store_row_bind(one, 0, &g->row[i], &store->one);
        rc = sona_store_sql_finish(one);
    }
    return rc;
}

/* Note the key of a record that came from a file. */
static int remember(struct sona_store *store, const struct sona_store_record *r)
{
    struct sona_store_import import;

    if (!sona_store_import_of(r, &import))
        return SQLITE_OK;
    sona_store_bind(store->sql[SONA_STORE_SQL_imported], 1, import.key);
    sona_store_bind(store->sql[SONA_STORE_SQL_imported], 2, r->position);
    return sona_store_sql_finish(store->sql[SONA_STORE_SQL_imported]);
}

static int add_batch(struct sona_store *store, struct group *g,
                     const struct sona_store_batch *batch)
{
    uint64_t offset = sizeof *batch;
    struct sona_store_record r;
    uint32_t n = 0;

    for (; n < batch->count && sona_store_log_record(batch, &offset, &r); n++) {
        touch(store, g, &r);
        if (!sona_store_takes_row(r.kind))
            continue;
        r.written_ms = g->wall_ms;
        g->row[g->waiting++] = r;
        int rc = remember(store, &r);
        if (rc == SQLITE_OK && g->waiting == SONA_STORE_MANY)
            rc = insert(store, g);
        if (rc != SQLITE_OK)
            return rc;
        g->position = r.position;
        g->rows++;
    }
    if (n != batch->count)
        return SONA_STORE_LOG_OVERWRITTEN;
    g->seq = batch->seq;
    g->to += batch->bytes;
    return SQLITE_OK;
}

static int write_lanes(struct sona_store *store, const struct group *g)
{
    int rc = SQLITE_OK;

    for (uint32_t i = 0; i < g->touched && rc == SQLITE_OK; i++) {
        const struct sona_store_touched *t = &store->touched[i];
        sqlite3_stmt *stmt =
            sona_store_sql(store, t->end ? SONA_STORE_SQL_lane_end : SONA_STORE_SQL_lane);

        (void)sqlite3_bind_blob(stmt, 1, &t->lane, sizeof t->lane, SQLITE_STATIC);
        if (!t->end) {
            sona_store_bind(stmt, 2, t->uid);
            sona_store_bind(stmt, 3, t->next);
            sona_store_bind(stmt, 4, g->wall_ms);
        }
        rc = sona_store_sql_finish(stmt);
    }
    return rc;
}

static int fill(struct sona_store *store, struct group *g)
{
    uint64_t head = sona_store_log_head(&store->log);
    int rc = SQLITE_OK;

    while (g->to < head && g->rows < SONA_STORE_GROUP_MAX && g->touched < SONA_STORE_GROUP_MAX &&
           g->to - g->from < SONA_STORE_GROUP_BYTES && rc == SQLITE_OK) {
        const struct sona_store_batch *batch = sona_store_log_batch(&store->log, g->to);

        if (!batch || batch->seq != g->seq + 1) {
            if (g->to == g->from)
                return SONA_STORE_LOG_OVERWRITTEN;
            break; /* what came before is whole */
        }
        rc = add_batch(store, g, batch);
    }
    if (rc == SQLITE_OK)
        rc = insert(store, g);
    if (rc == SQLITE_OK)
        rc = write_lanes(store, g);
    if (rc == SQLITE_OK) {
        sqlite3_stmt *progress = store->sql[SONA_STORE_SQL_progress];

        sona_store_bind(progress, 1, g->position);
        sona_store_bind(progress, 2, g->seq);
        rc = sona_store_sql_finish(progress);
    }
    return rc;
}

/* A commit's sync may have been what failed: the keeper mends it. */
static void note_failure(struct sona_store *store, int rc)
{
    if ((rc & 0xff) == SQLITE_IOERR)
        sona_store_sync_failed(store);
}

int sona_store_writer_group(struct sona_store *store)
{
    struct group g = {.from = sona_store_log_tail(&store->log),
                      .seq = store->intake_seq,
                      .wall_ms = sona_sidecar_wall_us() / 1000};

    g.to = g.from;
    g.position = atomic_load_explicit(&store->committed, memory_order_relaxed);
    int rc = sona_store_sql_run(store, SONA_STORE_SQL_begin);
    if (rc == SQLITE_OK)
        rc = fill(store, &g);
    SONA_FAULT(journal_filled);
    if (rc == SQLITE_OK)
        rc = sona_store_sql_run(store, SONA_STORE_SQL_commit);
    if (rc != SQLITE_OK) {
        note_failure(store, rc);
        if (!sqlite3_get_autocommit(store->db))
            (void)sona_store_sql_run(store, SONA_STORE_SQL_rollback);
        return rc;
    }
    SONA_FAULT(journal_committed);
    store->intake_seq = g.seq;
    /* Durable first: nobody sees a durable position beyond the committed one for long. */
    atomic_store_explicit(&store->committed, g.position, memory_order_release);
    if (store->own_sync && !atomic_load_explicit(&store->sync_failed, memory_order_relaxed))
        atomic_store_explicit(&store->durable, g.position, memory_order_release);
    store->since_newest += g.to - g.from;
    sona_store_log_trim(&store->log, g.to);
    SONA_FAULT(journal_trimmed);
    sona_store_count(&store->n_groups, 1);
    sona_store_count(&store->n_committed, g.rows);
    return SQLITE_OK;
}

/* --- chores ----------------------------------------------------------------------------------- */

sona_err sona_store_chore_run(struct sona_store *store, struct sona_store_chore *chore,
                              sona_diag *reterr)
{
    (void)pthread_mutex_lock(&store->lock);
    while (store->chore)
        (void)pthread_cond_wait(&store->done, &store->lock);
    store->chore = chore;
    (void)pthread_cond_signal(&store->work);
    while (!chore->finished)
        (void)pthread_cond_wait(&store->done, &store->lock);
    (void)pthread_mutex_unlock(&store->lock);
    if (chore->err != SONA_OK && reterr)
        *reterr = chore->diag;
    return chore->err;
}

/* Under the lock: wake the keeper if there is something for it. */
static void nudge_keeper(struct sona_store *store)
{
    if (store->wanted > atomic_load_explicit(&store->durable, memory_order_relaxed) ||
        atomic_load_explicit(&store->wal_pages, memory_order_relaxed) * SONA_STORE_PAGE_BYTES >
            store->options.wal_bytes)
        (void)pthread_cond_signal(&store->keep);
}

/* One slice in a transaction of its own. */
static void do_slice(struct sona_store *store, struct sona_store_chore *chore)
{
    bool every = store->options.durability == SONA_STORE_EVERY, done = false;
    bool durable = chore->durable; /* the step sets that of the next */
    int rc = SQLITE_OK;

    /* Its sync would leave alone what the failed one was for (keeper.c). */
    if (durable && atomic_load_explicit(&store->sync_failed, memory_order_relaxed))
        chore->err = sona_shm_diag_set(
            &chore->diag, SONA_E_SYSTEM, 0,
            "%s is not synced since a sync failed; see its health, try again", store->files.db);
    if (chore->err == SONA_OK)
        rc = set_sync(store, durable);
    if (rc == SQLITE_OK && chore->err == SONA_OK)
        rc = sona_store_sql_run(store, SONA_STORE_SQL_begin);
    if (rc == SQLITE_OK && chore->err == SONA_OK)
        rc = chore->step(store, chore, &done);
    if (rc == SQLITE_OK && chore->err == SONA_OK)
        rc = sona_store_sql_run(store, SONA_STORE_SQL_commit);
    if (rc == SQLITE_OK && chore->err == SONA_OK)
        chore->slices++;
    if (rc == SQLITE_OK && chore->err == SONA_OK && durable)
        atomic_store_explicit(&store->durable,
                              atomic_load_explicit(&store->committed, memory_order_relaxed),
                              memory_order_release);
    if (!sqlite3_get_autocommit(store->db))
        (void)sona_store_sql_run(store, SONA_STORE_SQL_rollback);
    if (rc != SQLITE_OK && chore->err == SONA_OK)
        chore->err = sona_store_sqlite_error(store->db, rc, store->files.db, &chore->diag);
    note_failure(store, rc);
    (void)set_sync(store, every);
    if (done)
        (void)sona_store_generation_look(store);
    (void)pthread_mutex_lock(&store->lock);
    nudge_keeper(store);
    if (done || chore->err != SONA_OK) {
        chore->finished = true;
        store->chore = NULL;
        (void)pthread_cond_broadcast(&store->done);
    }
    (void)pthread_mutex_unlock(&store->lock);
}

/* Its position is committed, or never will be while the writer is sick. */
static bool chore_ready(const struct sona_store *store)
{
    return store->chore &&
           (store->sick.code != SONA_OK ||
            atomic_load_explicit(&store->committed, memory_order_relaxed) >= store->chore->after);
}

/* --- the thread ------------------------------------------------------------------------------- */

/* What to do next. */
struct turn {
    bool group, stop;
    struct sona_store_chore *chore;
};

/* Sleep until there is something to do: under the lock. */
static struct turn wait_for_work(struct sona_store *store)
{
    struct turn turn = {0};

    for (;;) {
        uint64_t now = sona_sidecar_now_us(), until = now + 1000000;
        uint64_t waiting = store->next_position - 1 -
                           atomic_load_explicit(&store->committed, memory_order_relaxed);
        bool some = !store->options.journal_off &&
                    sona_store_log_head(&store->log) != sona_store_log_tail(&store->log);

        if (store->pause) {
            store->parked = true;
            (void)pthread_cond_broadcast(&store->done);
            (void)pthread_cond_wait(&store->work, &store->lock);
            store->parked = false;
            continue;
        }
        turn.stop = store->stop;
        turn.chore = chore_ready(store) ? store->chore : NULL;
        if (some)
            until = store->first_waiting_us + 1000ull * store->options.commit_ms;
        turn.group =
            some && (until <= now || waiting >= store->options.commit_records || store->stop ||
                     (store->chore && !turn.chore) ||
                     store->wanted > atomic_load_explicit(&store->committed, memory_order_relaxed));
        if (turn.group || turn.chore || turn.stop || store->tidy_more)
            return turn;
        sona_store_wait_until(store, &store->work, until);
        if (!some && sona_sidecar_now_us() >= until)
            return turn; /* time to look whether something is to be tidied */
    }
}

/* After a group, or an attempt at one. */
static void report(struct sona_store *store, int rc)
{
    sona_diag diag = {.code = SONA_OK};
    bool changed;

    if (rc != SQLITE_OK)
        (void)sona_store_sqlite_error(store->db, rc, store->files.db, &diag);
    (void)pthread_mutex_lock(&store->lock);
    changed = diag.code != store->sick.code;
    store->sick = diag;
    store->first_waiting_us = sona_sidecar_now_us();
    (void)pthread_cond_broadcast(&store->done);
    nudge_keeper(store);
    (void)pthread_mutex_unlock(&store->lock);
    if (changed && rc != SQLITE_OK)
        sona_store_notice(store, "journal_failed", "%s", diag.text);
    else if (changed)
        sona_store_notice(store, "journal_recovered", "%s is written again", store->files.db);
}

/* One slice between two groups; with the file far too large as much as a group may add. */
static void tidy(struct sona_store *store)
{
    uint64_t now = sona_sidecar_wall_us() / 1000;
    uint32_t slices = 0;

    if (!store->tidy_more && now - store->tidied_ms < 1000)
        return;
    if (!store->tidy_more)
        store->tidied_ms = now;
    do /* a disk that refuses will be told by a group */
        note_failure(store, sona_store_tidy(store, &store->tidy_more));
    while (store->tidy_more && store->pressed && ++slices < PRESSED_SLICES);
}

void *sona_store_writer_main(void *argument)
{
    struct sona_store *store = argument;

    for (;;) {
        (void)pthread_mutex_lock(&store->lock);
        struct turn turn = wait_for_work(store);
        (void)pthread_mutex_unlock(&store->lock);
        int rc = SQLITE_OK;

        if (turn.group)
            report(store, rc = sona_store_writer_group(store));
        if (turn.chore)
            do_slice(store, turn.chore);
        if (turn.stop && (rc != SQLITE_OK || (!turn.group && !turn.chore)))
            return NULL;
        if (rc == SQLITE_OK) {
            tidy(store);
        } else { /* leave the disk alone for a while; a stop or a chore need not wait */
            (void)pthread_mutex_lock(&store->lock);
            if (!store->stop && !store->chore)
                sona_store_wait_until(store, &store->work,
                                      sona_sidecar_now_us() + 1000ull * SONA_STORE_RETRY_MS);
            (void)pthread_mutex_unlock(&store->lock);
        }
    }
}
