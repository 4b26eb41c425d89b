/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Open, close, append, flush. See store.h. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/diag.h"
#include "sidecar/clock.h"
#include "sidecar/store/internal.h"

void sona_store_notice(struct sona_store *store, const char *event, const char *format, ...)
{
    char text[SONA_DIAG_TEXT_MAX];
    va_list args;

    if (!store->options.notice)
        return;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    store->options.notice(store->options.context, event, text);
}

void sona_store_wait_until(struct sona_store *store, pthread_cond_t *cond, uint64_t us)
{
    struct timespec at = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};

    (void)pthread_cond_timedwait(cond, &store->lock, &at);
}

/* --- open ------------------------------------------------------------------------------------- */

static sona_err check_options(struct sona_store_options *o, sona_diag *reterr)
{
    uint64_t bytes = SONA_STORE_INTAKE_MIN;

    if (!o->state_dir || o->durability > SONA_STORE_EVERY || !(o->sample >= 0 && o->sample <= 1) ||
        o->intake_bytes > SONA_STORE_LOG_MAX || o->commit_ms > 60000 || o->sync_ms > 600000)
        return sona_shm_diag_set(
            reterr, SONA_E_RANGE, 0,
            "the store's options are out of range: state_dir, durability, "
            "sample 0..1, intake_bytes up to 64 GiB, commit_ms up to a minute");
    o->intake_bytes = o->intake_bytes ? o->intake_bytes : SONA_STORE_INTAKE_BYTES;
    while (bytes < o->intake_bytes)
        bytes *= 2;
    o->intake_bytes = bytes;
    o->commit_ms = o->commit_ms ? o->commit_ms : 5;
    o->commit_records = o->commit_records ? o->commit_records : 64;
    o->sync_ms = o->sync_ms ? o->sync_ms : 500;
    o->wal_bytes = o->wal_bytes ? o->wal_bytes : 64u << 20;
    o->generations = o->generations ? o->generations : 8;
    if (o->generations < SONA_STORE_GENERATIONS_MIN)
        o->generations = SONA_STORE_GENERATIONS_MIN;
    return SONA_OK;
}

/* None of these fails on Linux with these attributes. */
static void make_locks(struct sona_store *s)
{
    pthread_condattr_t attr;

    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_mutex_init(&s->reading, NULL);
    (void)pthread_cond_init(&s->work, &attr);
    (void)pthread_cond_init(&s->keep, &attr);
    (void)pthread_cond_init(&s->done, &attr);
    (void)pthread_condattr_destroy(&attr);
}

static sona_err read_lanes(struct sona_store *s, sona_diag *reterr)
{
    sqlite3_stmt *stmt;
    struct sona_store_lane lane;
    int rc = sqlite3_prepare_v2(s->db, "SELECT identity, uid, next FROM lane", -1, &stmt, NULL);

    if (rc != SQLITE_OK)
        return sona_store_sqlite_error(s->db, rc, s->files.db, reterr);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW && s->lanes.count < SONA_STORE_LANES_MAX) {
        if (sqlite3_column_bytes(stmt, 0) != sizeof lane)
            continue;
        memcpy(&lane, sqlite3_column_blob(stmt, 0), sizeof lane);
        sona_store_lanes_advance(&s->lanes, lane, (uint32_t)sqlite3_column_int64(stmt, 1),
                                 sona_store_column(stmt, 2));
    }
    (void)sqlite3_finalize(stmt);
    return rc == SQLITE_DONE || rc == SQLITE_ROW
               ? SONA_OK
               : sona_store_sqlite_error(s->db, rc, s->files.db, reterr);
}

static sona_err open_database(struct sona_store *s, sona_diag *reterr)
{
    const char *path = s->files.db, *vfs = s->options.vfs;
    struct sona_store_state state;
    sona_err err = sona_store_database_open(&s->db, path, vfs, reterr);

    if (err == SONA_OK)
        err = sona_store_schema_open(s->db, path, reterr);
    if (err == SONA_OK)
        err = sona_store_database_open(&s->keeper_db, path, vfs, reterr);
    if (err == SONA_OK)
        err = sona_store_database_open(&s->reader_db, path, vfs, reterr);
    if (err == SONA_OK)
        err = sona_store_state_read(s->db, path, &state, reterr);
    if (err == SONA_OK)
        err = sona_store_writer_prepare(s, reterr);
    if (err != SONA_OK)
        return err;
    memcpy(s->uuid, state.uuid, sizeof s->uuid);
    s->intake_seq = state.intake_seq;
    atomic_store_explicit(&s->committed, state.position, memory_order_relaxed);
    atomic_store_explicit(&s->first, state.first, memory_order_relaxed);
    atomic_store_explicit(&s->thinned, state.thinned, memory_order_relaxed);
    int rc = sona_store_generation_clean(s);
    if (rc == SQLITE_OK)
        rc = sona_store_generation_look(s);
    if (s->newest < state.position) /* how much is not known: a resume had better save soon */
        s->since_newest = s->options.retain_bytes;
    if (rc == SQLITE_OK)
        rc = sona_store_measure(s);
    return rc == SQLITE_OK ? SONA_OK : sona_store_sqlite_error(s->db, rc, path, reterr);
}

/* Walk over what the journal has; the log's tail is then at what it has not. */
static void skip_journaled(struct sona_store *s, uint64_t *at)
{
    const struct sona_store_batch *batch;

    while ((batch = sona_store_log_batch(&s->log, *at)) && batch->seq <= s->intake_seq)
        *at += batch->bytes;
}

/* What was acknowledged and cannot be saved is told, and counted. */
static void lament(struct sona_store *s)
{
    uint64_t last = atomic_load_explicit(&s->log.header->head_position, memory_order_relaxed);
    uint64_t committed = atomic_load_explicit(&s->committed, memory_order_relaxed);

    s->dropped = last > committed ? last - committed : 0;
    s->torn = 1;
    sona_store_notice(s, "intake_damaged",
                      "%s lost pages, as after a power failure: %llu acknowledged records are gone",
                      s->files.intake, (unsigned long long)s->dropped);
}

/* Commit what the log holds and the journal does not, each batch once. */
static sona_err recover(struct sona_store *s, sona_diag *reterr)
{
    uint64_t at = sona_store_log_start(&s->log), head = sona_store_log_head(&s->log);
    uint64_t before = atomic_load_explicit(&s->committed, memory_order_relaxed);
    const struct sona_store_batch *batch;
    int rc = SQLITE_OK;

    if (memcmp(s->log.header->store_uuid, s->uuid, sizeof s->uuid) != 0) {
        if (at != head)
            sona_store_notice(s, "intake_foreign",
                              "%s belongs to another journal than %s; its records are dropped",
                              s->files.intake, s->files.db);
        return SONA_OK;
    }
    skip_journaled(s, &at);
    atomic_store_explicit(&s->log.header->tail, at, memory_order_relaxed);
    while (rc == SQLITE_OK && at < head) {
        batch = sona_store_log_batch(&s->log, at);
        /* A gap in the sequence: what came before was lost with the power. */
        if (!batch || batch->seq != s->intake_seq + 1 ||
            batch->first_position != atomic_load_explicit(&s->committed, memory_order_relaxed) + 1)
            break;
        rc = sona_store_writer_group(s); /* ends before a damaged batch */
        at = sona_store_log_tail(&s->log);
    }
    if (rc != SQLITE_OK)
        return sona_store_sqlite_error(s->db, rc, s->files.db, reterr);
    s->recovered = atomic_load_explicit(&s->committed, memory_order_relaxed) - before;
    if (at != head)
        lament(s);
    return SONA_OK;
}

/* Put a log that is not ours to use out of the way: another journal's, or of another size. */
static sona_err renew_log(struct sona_store *s, bool foreign, sona_diag *reterr)
{
    char aside[SONA_STORE_PATH_MAX + 8];

    sona_store_log_close(&s->log);
    (void)snprintf(aside, sizeof aside, "%s.orphan", s->files.intake);
    if ((foreign ? rename(s->files.intake, aside) : unlink(s->files.intake)) != 0)
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno, "cannot move %s away",
                                 s->files.intake);
    return sona_store_log_open(&s->log, s->files.intake, s->options.intake_bytes, reterr);
}

static sona_err open_log(struct sona_store *s, sona_diag *reterr)
{
    sona_err err = sona_store_log_open(&s->log, s->files.intake, s->options.intake_bytes, reterr);

    if (err == SONA_OK)
        err = recover(s, reterr);
    if (err != SONA_OK)
        return err;
    bool waits = sona_store_log_start(&s->log) != sona_store_log_head(&s->log);
    bool foreign = waits && memcmp(s->log.header->store_uuid, s->uuid, sizeof s->uuid) != 0;
    if (foreign || s->log.capacity != s->options.intake_bytes)
        err = renew_log(s, foreign, reterr);
    if (err == SONA_OK)
        sona_store_log_reset(&s->log, s->uuid, s->intake_seq + 1);
    return err;
}

static sona_err start_threads(struct sona_store *s, sona_diag *reterr)
{
    s->writer_runs = true;
    int e = pthread_create(&s->writer, NULL, sona_store_writer_main, s);
    if (e == 0) {
        (void)pthread_setname_np(s->writer, "sona-journal");
        s->keeper_runs = true;
        e = pthread_create(&s->keeper, NULL, sona_store_keeper_main, s);
        s->keeper_runs = e == 0;
        if (e == 0)
            (void)pthread_setname_np(s->keeper, "sona-sync");
    } else {
        s->writer_runs = false;
    }
    return e == 0 ? SONA_OK
                  : sona_shm_diag_set(reterr, SONA_E_SYSTEM, e, "cannot start the store's threads");
}

sona_err sona_store_open(struct sona_store **ret, const struct sona_store_options *options,
                         sona_diag *reterr)
{
    struct sona_store *s = calloc(1, sizeof *s);
    sona_err err;

    if (!s)
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, 0, "out of memory for the store");
    s->options = *options;
    s->files.lock_fd = -1;
    s->buffer = malloc(sizeof *s->buffer);
    s->tidy_buffer = malloc(sizeof *s->tidy_buffer);
    s->touched = malloc((SONA_STORE_GROUP_MAX + SONA_STORE_BATCH_MAX) * sizeof *s->touched);
    make_locks(s);
    err = sona_store_lanes_init(&s->lanes);
    if (err != SONA_OK || !s->buffer || !s->tidy_buffer || !s->touched)
        err = sona_shm_diag_set(reterr, SONA_E_MEMORY, 0, "out of memory for the store");
    if (err == SONA_OK)
        err = check_options(&s->options, reterr);
    if (err == SONA_OK)
        err = sona_store_files_open(&s->files, &s->options, reterr);
    if (err == SONA_OK)
        err = open_database(s, reterr);
    if (err == SONA_OK && !s->options.journal_off)
        err = open_log(s, reterr);
    if (err == SONA_OK)
        err = read_lanes(s, reterr);
    if (err == SONA_OK) {
        uint64_t committed = atomic_load_explicit(&s->committed, memory_order_relaxed);

        s->next_position = committed + 1;
        atomic_store_explicit(&s->appended, committed, memory_order_relaxed);
        err = start_threads(s, reterr);
    }
    if (err != SONA_OK)
        sona_store_close(&s);
    else
        *ret = s;
    return err;
}

/* A WAL that lost pages is not copied: should the power fail, what the disk has of it would be
 * believed over the copy. The next open reads it from memory. */
static void keep_wal(struct sona_store *s)
{
    sqlite3 *const all[] = {s->reader_db, s->keeper_db, s->db};

    for (int i = 0; i < 3; i++)
        if (all[i] && atomic_load_explicit(&s->sync_failed, memory_order_relaxed))
            (void)sqlite3_db_config(all[i], SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
}

void sona_store_close(struct sona_store **store)
{
    struct sona_store *s = *store;

    if (!s)
        return;
    (void)pthread_mutex_lock(&s->lock);
    s->stop = true;
    (void)pthread_cond_signal(&s->work);
    (void)pthread_mutex_unlock(&s->lock);
    if (s->writer_runs)
        (void)pthread_join(s->writer, NULL);
    (void)pthread_mutex_lock(&s->lock);
    s->writer_runs = false; /* the keeper no longer waits for it to pause */
    s->keeper_stop = true;
    (void)pthread_cond_signal(&s->keep);
    (void)pthread_cond_broadcast(&s->done);
    (void)pthread_mutex_unlock(&s->lock);
    if (s->keeper_runs)
        (void)pthread_join(s->keeper, NULL);
    sona_store_writer_done(s);
    keep_wal(s);
    (void)sqlite3_close(s->reader_db);
    (void)sqlite3_close(s->keeper_db);
    (void)sqlite3_close(s->db); /* the last: copies and removes the WAL */
    sona_store_log_close(&s->log);
    sona_store_lanes_done(&s->lanes);
    sona_store_files_close(&s->files);
    free(s->touched);
    free(s->tidy_buffer);
    free(s->buffer);
    free(s);
    *store = NULL;
}

/* --- append ----------------------------------------------------------------------------------- */

static sona_err check_record(const struct sona_store_record *r)
{
    if (r->x_n > SONA_STORE_FLOATS_MAX || r->base_n > SONA_STORE_FLOATS_MAX ||
        r->payload_bytes > SONA_STORE_PAYLOAD_MAX)
        return SONA_E_LIMIT;
    if (r->kind >= 64 || (!r->x && r->x_n > 0) || (!r->base && r->base_n > 0) ||
        (!r->payload && r->payload_bytes > 0) || r->lane_seq == UINT64_MAX)
        return SONA_E_RANGE;
    if (!isfinite(r->quality) || !isfinite(r->propensity) || !isfinite(r->credit))
        return SONA_E_NOT_FINITE;
    return SONA_OK;
}

/* Nothing of the batch is behind its lane's cursor, and there is room for its new lanes. */
static sona_err check_lanes(const struct sona_store *s, const struct sona_store_record *records,
                            uint32_t n)
{
    uint32_t fresh = 0;

    for (uint32_t i = 0; i < n; i++) {
        const struct sona_store_cursor *cursor;

        if (!sona_store_lane_is(records[i].lane))
            continue;
        cursor = sona_store_lanes_find(&s->lanes, records[i].lane);
        if (cursor && records[i].lane_seq < cursor->next)
            return SONA_E_DUPLICATE;
        fresh += !cursor;
    }
    return s->lanes.count + fresh > SONA_STORE_LANES_MAX ? SONA_E_LIMIT : SONA_OK;
}

/* Under the lock. */
static sona_err admit(struct sona_store *s, const struct sona_store_record *records, uint32_t n,
                      uint64_t bytes)
{
    if (s->sick.code != SONA_OK || s->keeper_sick.code != SONA_OK) {
        s->n_sick++;
        return SONA_E_SYSTEM;
    }
    sona_err err = check_lanes(s, records, n);
    if (err != SONA_OK) {
        s->n_duplicate += err == SONA_E_DUPLICATE;
        return err;
    }
    if (!s->options.journal_off && !sona_store_log_fits(&s->log, bytes)) {
        s->n_full++;
        return SONA_E_FULL;
    }
    return SONA_OK;
}

static void move_cursors(struct sona_store *s, const struct sona_store_record *records, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct sona_store_record *r = &records[i];

        if (!sona_store_lane_is(r->lane))
            continue;
        if (r->kind == SONA_STORE_lane_end)
            sona_store_lanes_remove(&s->lanes, r->lane);
        else
            sona_store_lanes_advance(&s->lanes, r->lane, r->uid, r->lane_seq + 1);
    }
}

/* Under the lock: the records are taken. Returns the last position. */
static uint64_t take(struct sona_store *s, const struct sona_store_record *records, uint32_t n)
{
    uint64_t last = s->next_position - 1;

    if (s->options.journal_off) {
        for (uint32_t i = 0; i < n; i++)
            last += sona_store_takes_row(records[i].kind);
        atomic_store_explicit(&s->committed, last, memory_order_release);
    } else {
        uint64_t waited = last - atomic_load_explicit(&s->committed, memory_order_relaxed);
        bool empty = sona_store_log_head(&s->log) == sona_store_log_tail(&s->log);

        last = sona_store_log_append(&s->log, records, n, s->next_position);
        if (empty)
            s->first_waiting_us = sona_sidecar_now_us();
        /* Twice a group at most: when its time begins to run, and when it is full. */
        if (empty ||
            (waited < s->options.commit_records && waited + n >= s->options.commit_records))
            (void)pthread_cond_signal(&s->work);
    }
    s->n_appended += n;
    s->next_position = last + 1;
    atomic_store_explicit(&s->appended, last, memory_order_release);
    move_cursors(s, records, n);
    return last;
}

sona_err sona_store_append(struct sona_store *store, const struct sona_store_record *records,
                           uint32_t n, uint64_t *ret_position)
{
    sona_err err = n < 1 || n > SONA_STORE_BATCH_MAX ? SONA_E_LIMIT : SONA_OK;

    for (uint32_t i = 0; i < n && err == SONA_OK; i++)
        err = check_record(&records[i]);
    if (err != SONA_OK)
        return err;
    uint64_t bytes = sona_store_log_bytes(records, n);
    if (bytes > store->options.intake_bytes / 4)
        return SONA_E_LIMIT;
    (void)pthread_mutex_lock(&store->lock);
    err = admit(store, records, n, bytes);
    if (err == SONA_OK) {
        uint64_t last = take(store, records, n);

        if (ret_position)
            *ret_position = last;
    }
    (void)pthread_mutex_unlock(&store->lock);
    return err;
}

struct sona_store_positions sona_store_positions(const struct sona_store *store)
{
    /* The last first, so that durable <= committed <= appended whatever happens meanwhile. */
    struct sona_store_positions p = {
        .durable = atomic_load_explicit(&store->durable, memory_order_acquire)};

    p.committed = atomic_load_explicit(&store->committed, memory_order_acquire);
    p.appended = atomic_load_explicit(&store->appended, memory_order_acquire);
    return p;
}

uint64_t sona_store_identity(const struct sona_store *store)
{
    uint64_t ret;

    memcpy(&ret, store->uuid, sizeof ret);
    return ret;
}

double sona_store_backlog(const struct sona_store *store)
{
    if (store->options.journal_off)
        return 0;
    /* The tail first: it only comes nearer to the head. */
    uint64_t tail = sona_store_log_tail(&store->log);

    return (double)(sona_store_log_head(&store->log) - tail) / (double)store->log.capacity;
}

/* Under the lock. */
static sona_err health(const struct sona_store *store, sona_diag *reterr)
{
    const sona_diag *diag = store->sick.code != SONA_OK ? &store->sick : &store->keeper_sick;

    if (diag->code != SONA_OK && reterr)
        *reterr = *diag;
    return diag->code == SONA_OK ? SONA_OK : SONA_E_SYSTEM;
}

sona_err sona_store_health(struct sona_store *store, sona_diag *reterr)
{
    (void)pthread_mutex_lock(&store->lock);
    sona_err err = health(store, reterr);
    (void)pthread_mutex_unlock(&store->lock);
    return err;
}

sona_err sona_store_flush(struct sona_store *store, uint64_t position, uint32_t timeout_ms,
                          sona_diag *reterr)
{
    uint64_t until = sona_sidecar_now_us() + 1000ull * timeout_ms;
    sona_err err = SONA_OK;

    (void)pthread_mutex_lock(&store->lock);
    if (position >= store->next_position || store->options.journal_off)
        err = sona_shm_diag_set(reterr, SONA_E_RANGE, 0, "position %llu is not in the journal",
                                (unsigned long long)position);
    if (err == SONA_OK && store->wanted < position)
        store->wanted = position;
    (void)pthread_cond_signal(&store->work);
    (void)pthread_cond_signal(&store->keep);
    while (err == SONA_OK &&
           atomic_load_explicit(&store->durable, memory_order_acquire) < position) {
        err = health(store, reterr);
        if (err == SONA_OK && sona_sidecar_now_us() >= until)
            err = sona_shm_diag_set(reterr, SONA_E_TIMEOUT, 0,
                                    "%s was not synced in %u ms; the disk is slow", store->files.db,
                                    timeout_ms);
        if (err == SONA_OK)
            sona_store_wait_until(store, &store->done, until);
    }
    (void)pthread_mutex_unlock(&store->lock);
    return err;
}

bool sona_store_cursor(struct sona_store *store, struct sona_store_lane lane, uint64_t *ret_next)
{
    (void)pthread_mutex_lock(&store->lock);
    const struct sona_store_cursor *cursor = sona_store_lanes_find(&store->lanes, lane);
    if (cursor)
        *ret_next = cursor->next;
    (void)pthread_mutex_unlock(&store->lock);
    return cursor != NULL;
}

void sona_store_cursors(struct sona_store *store, sona_store_cursor_visitor *visit, void *context)
{
    for (uint32_t i = 0; i < SONA_STORE_LANE_SLOTS; i++) {
        (void)pthread_mutex_lock(&store->lock);
        struct sona_store_cursor c = store->lanes.slot[i];
        (void)pthread_mutex_unlock(&store->lock);
        if (sona_store_lane_is(c.lane) && !visit(context, c.lane, c.uid, c.next))
            return;
    }
}

void sona_store_stats(struct sona_store *store, struct sona_store_stats *ret)
{
#define GET(field) atomic_load_explicit(&store->field, memory_order_relaxed)
    struct sona_store_stats stats = {.groups = GET(n_groups),
                                     .committed = GET(n_committed),
                                     .rows_removed = GET(n_removed),
                                     .rows_thinned = GET(n_thinned),
                                     .rows_forgotten = GET(n_forgotten),
                                     .syncs = GET(n_syncs),
                                     .checkpoints = GET(n_checkpoints),
                                     .stall_us = GET(stall_us),
                                     .stall_us_max = GET(stall_us_max),
                                     .sync_us_max = GET(sync_us_max),
                                     .wal_bytes = GET(wal_pages) * SONA_STORE_PAGE_BYTES,
                                     .file_bytes = GET(file_bytes),
                                     .used_bytes = GET(used_bytes),
                                     .first_position = GET(first),
                                     .thinned_position = GET(thinned),
                                     .generation_due = GET(generation_due)};
#undef GET

    (void)pthread_mutex_lock(&store->lock);
    stats.appended = store->n_appended;
    stats.refused_full = store->n_full;
    stats.refused_duplicate = store->n_duplicate;
    stats.refused_sick = store->n_sick;
    stats.recovered = store->recovered;
    stats.dropped = store->dropped;
    stats.torn = store->torn;
    if (!store->options.journal_off)
        stats.intake_bytes = sona_store_log_head(&store->log) - sona_store_log_tail(&store->log);
    (void)pthread_mutex_unlock(&store->lock);
    *ret = stats;
}
