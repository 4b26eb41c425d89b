/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What becomes of rows that no resume needs any more: those behind the generation before the last.
 * (If the last is damaged, the one before it needs the rows between the two.)
 *
 *     exact ──thinned──► without vectors, a sample with x in f16 ──retention──► removed
 *
 * The sample is uniform over positions: a hash of position and seed below `sample`. Its probability
 * is stored with each row, for estimates that weigh by it. A file beyond retain_bytes has its
 * oldest thinned rows removed, then more are thinned. Freed pages are used again: the file stays as
 * large as it was at its fullest. Forgetting is the third way, by an operator's word.
 */
#include "shm/diag.h"
#include "sidecar/clock.h"
#include "sidecar/store/internal.h"

#define REMOVE_ROWS 1024u /* in one transaction */

static uint64_t get(const _Atomic uint64_t *position)
{
    return atomic_load_explicit(position, memory_order_relaxed); /* ours */
}

int sona_store_measure(struct sona_store *store)
{
    int64_t pages = 0, unused = 0;
    int rc = sona_store_sqlite_number(store->db, "PRAGMA page_count", &pages);

    if (rc == SQLITE_OK)
        rc = sona_store_sqlite_number(store->db, "PRAGMA freelist_count", &unused);
    if (rc != SQLITE_OK)
        return rc;
    uint64_t used = (uint64_t)(pages - unused) * SONA_STORE_PAGE_BYTES;
    uint64_t limit = store->options.retain_bytes;
    atomic_store_explicit(&store->file_bytes, (uint64_t)pages * SONA_STORE_PAGE_BYTES,
                          memory_order_relaxed);
    atomic_store_explicit(&store->used_bytes, used, memory_order_relaxed);
    /* Exact rows reach back over two generations at most: half of the limit. */
    atomic_store_explicit(&store->generation_due, limit > 0 && store->since_newest > limit / 4,
                          memory_order_relaxed);
    store->pressed = limit > 0 && used > limit + limit / 4;
    return SQLITE_OK;
}

/* Uniform in [0, 1) from position and seed. */
static double draw(uint64_t position, uint64_t seed)
{
    uint64_t h = (position ^ seed * 0x9e3779b97f4a7c15ull) * 0xd6e8feb86659fd93ull;

    h = (h ^ h >> 32) * 0xd6e8feb86659fd93ull;
    h ^= h >> 32;
    return (double)(h >> 11) * 0x1p-53;
}

static int set_position(struct sona_store *store, enum sona_store_statement statement,
                        uint64_t position)
{
    sqlite3_stmt *stmt = sona_store_sql(store, statement);

    sona_store_bind(stmt, 1, position);
    return sona_store_sql_finish(stmt);
}

typedef void rewrite(struct sona_store *store, struct sona_store_record *record, void *context);

/* Read the rows from..to, at most a slice, and write back those that `matches`; *last: the last one
 * read. A row whose checksum is wrong is left as it is: check and replay tell. */
static int rewrite_rows(struct sona_store *store, uint64_t from, uint64_t to,
                        bool (*matches)(const struct sona_store_record *, const void *),
                        rewrite *change, void *context, uint64_t *last, uint64_t *changed)
{
    sqlite3_stmt *rows = sona_store_sql(store, SONA_STORE_SQL_rows);
    sqlite3_stmt *replace = sona_store_sql(store, SONA_STORE_SQL_replace);
    struct sona_store_record r;
    int rc;

    sona_store_bind(rows, 1, from);
    sona_store_bind(rows, 2, to);
    sona_store_bind(rows, 3, SONA_STORE_SLICE_ROWS);
    while ((rc = sqlite3_step(rows)) == SQLITE_ROW) {
        bool sound = sona_store_row_read(rows, store->tidy_buffer, &r);

        *last = r.position;
        if (!sound || !matches(&r, context))
            continue;
        change(store, &r, context);
        sona_store_row_bind_again(replace, &r, store->half, r.p_sample >= 0);
        if ((rc = sona_store_sql_finish(replace)) != SQLITE_OK)
            break;
        ++*changed;
    }
    (void)sqlite3_reset(rows);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* --- thinning --------------------------------------------------------------------------------- */

static bool is_exact(const struct sona_store_record *r, const void *context)
{
    (void)context;
    return r->p_sample < 0;
}

static void thin_row(struct sona_store *store, struct sona_store_record *r, void *context)
{
    float p = store->options.sample;

    (void)context;
    if (r->x_n > 0 && draw(r->position, store->options.seed) >= (double)p)
        r->x_n = 0;
    r->base_n = 0;
    r->p_sample = p;
}

static int thin(struct sona_store *store)
{
    uint64_t last = store->cover, changed = 0, ignored = 0;
    int rc = rewrite_rows(store, get(&store->thinned) + 1, store->cover, is_exact, thin_row,
                          &ignored, &last, &changed);

    if (rc == SQLITE_OK)
        rc = set_position(store, SONA_STORE_SQL_thinned, last);
    if (rc == SQLITE_OK)
        rc = sona_store_sql_run(store, SONA_STORE_SQL_commit);
    if (rc == SQLITE_OK) {
        atomic_store_explicit(&store->thinned, last, memory_order_release);
        sona_store_count(&store->n_thinned, changed);
    }
    return rc;
}

/* --- retention -------------------------------------------------------------------------------- */

/* The wall clock of the oldest row; 0: there is none. */
static int oldest(struct sona_store *store, uint64_t *position, uint64_t *written_ms)
{
    sqlite3_stmt *stmt = sona_store_sql(store, SONA_STORE_SQL_oldest);
    int rc;

    rc = sqlite3_step(stmt);
    *position = rc == SQLITE_ROW ? sona_store_column(stmt, 0) : 0;
    *written_ms = rc == SQLITE_ROW ? sona_store_column(stmt, 1) : 0;
    (void)sqlite3_reset(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Remove the oldest rows, `position` the first, none behind `bound`. */
static int remove_oldest(struct sona_store *store, uint64_t position, uint64_t bound)
{
    uint64_t until = position + REMOVE_ROWS < bound + 1 ? position + REMOVE_ROWS : bound + 1;
    uint64_t thinned = until - 1 > get(&store->thinned) ? until - 1 : get(&store->thinned);
    int rc = set_position(store, SONA_STORE_SQL_remove, until);
    uint64_t removed = (uint64_t)sqlite3_changes64(store->db);

    if (rc == SQLITE_OK)
        rc = set_position(store, SONA_STORE_SQL_removed, until);
    if (rc == SQLITE_OK)
        rc = set_position(store, SONA_STORE_SQL_thinned, thinned);
    if (rc == SQLITE_OK)
        rc = sona_store_sql_run(store, SONA_STORE_SQL_commit);
    if (rc == SQLITE_OK) {
        if (until > get(&store->first))
            atomic_store_explicit(&store->first, until, memory_order_release);
        atomic_store_explicit(&store->thinned, thinned, memory_order_release);
        sona_store_count(&store->n_removed, removed);
    }
    return rc;
}

int sona_store_tidy(struct sona_store *store, bool *more)
{
    const struct sona_store_options *o = &store->options;
    uint64_t position, written_ms, now_ms = sona_sidecar_wall_us() / 1000;
    int rc = sona_store_measure(store);

    *more = false;
    if (rc == SQLITE_OK)
        rc = oldest(store, &position, &written_ms);
    if (rc != SQLITE_OK)
        return rc;
    bool large = o->retain_bytes > 0 && get(&store->used_bytes) > o->retain_bytes;
    bool old = o->retain_ms > 0 && written_ms + o->retain_ms < now_ms;
    uint64_t bound = store->pressed ? store->cover : get(&store->thinned);
    bool removable = (large || old) && position != 0 && position <= bound;

    if (!removable && get(&store->thinned) >= store->cover)
        return SQLITE_OK;
    rc = sona_store_sql_run(store, SONA_STORE_SQL_begin);
    if (rc == SQLITE_OK)
        rc = removable ? remove_oldest(store, position, bound) : thin(store);
    if (!sqlite3_get_autocommit(store->db))
        (void)sona_store_sql_run(store, SONA_STORE_SQL_rollback);
    *more = rc == SQLITE_OK;
    return rc;
}

/* --- forgetting ------------------------------------------------------------------------------- */

struct forget {
    struct sona_store_chore chore;
    const struct sona_store_rule *rule;
    uint64_t from, to, rows;
};

static bool matches_rule(const struct sona_store_record *r, const void *context)
{
    const struct sona_store_rule *rule = ((const struct forget *)context)->rule;

    return r->kind != SONA_STORE_forgotten && (!rule->by_uid || r->uid == rule->uid) &&
           (!rule->by_tenant || r->tenant == rule->tenant) &&
           (!rule->by_before || r->written_ms < rule->before_ms);
}

static void blank(struct sona_store *store, struct sona_store_record *r, void *context)
{
    (void)store;
    (void)context;
    *r = (struct sona_store_record){.position = r->position,
                                    .written_ms = r->written_ms,
                                    .kind = SONA_STORE_forgotten,
                                    .p_sample = r->p_sample};
}

static int forget_step(struct sona_store *store, struct sona_store_chore *chore, bool *done)
{
    struct forget *f = (struct forget *)chore;
    uint64_t last = f->to, changed = 0;
    int rc = rewrite_rows(store, f->from, f->to, matches_rule, blank, f, &last, &changed);

    f->rows += changed;
    f->from = last + 1;
    *done = f->from > f->to;
    return rc;
}

sona_err sona_store_forget(struct sona_store *store, const struct sona_store_rule *rule,
                           uint64_t *ret_rows, sona_diag *reterr)
{
    struct forget f = {.chore = {.step = forget_step}, .rule = rule};

    if (!rule->by_uid && !rule->by_tenant && !rule->by_before)
        return sona_shm_diag_set(reterr, SONA_E_RANGE, 0, "say whom, or what, to forget");
    f.from = atomic_load_explicit(&store->first, memory_order_acquire);
    f.to = f.chore.after = sona_store_positions(store).appended;
    sona_err err = sona_store_chore_run(store, &f.chore, reterr);
    if (err != SONA_OK)
        return err;
    sona_store_count(&store->n_forgotten, f.rows);
    /* The old pages are still in the WAL: copy all of it and cut it off. */
    (void)pthread_mutex_lock(&store->reading);
    int rc =
        sqlite3_wal_checkpoint_v2(store->reader_db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if (rc != SQLITE_OK)
        err = sona_store_sqlite_error(store->reader_db, rc, store->files.db, reterr);
    (void)pthread_mutex_unlock(&store->reading);
    if (err == SONA_OK && ret_rows)
        *ret_rows = f.rows;
    return err;
}
