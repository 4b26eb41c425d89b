/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The keeper: makes what was committed durable, and keeps the WAL short, so that the writer never
 * waits for a disk that syncs.
 *
 * A checkpoint copies the WAL into the database. The first round runs beside the writer and does
 * nearly all of it, both syncs included. What the writer added meanwhile is left over, and only a
 * WAL that is copied whole starts again from its beginning; so for a second round the writer pauses
 * between two transactions. That pause is the stall that sona_store_stats reports; appends go on
 * into the intake log.
 *
 * After a sync that failed the kernel may call the lost pages clean, and the next sync succeeds
 * without having written them. So nothing more is durable, by whomever it was synced, until the WAL
 * was written over itself and synced.
 */
#include <stdlib.h>

#include "shm/diag.h"
#include "shm/fault.h"
#include "sidecar/clock.h"
#include "sidecar/store/internal.h"

#define CHECKPOINT_RETRY_US 500000u /* while a reader keeps the WAL */
#define AGAIN_BYTES         65536

/* The WAL as a file of our own connection: same inode, another descriptor. */
static int wal_of(struct sona_store *store, sqlite3_file **ret)
{
    int rc = sqlite3_file_control(store->keeper_db, "main", SQLITE_FCNTL_JOURNAL_POINTER, ret);

    if (rc != SQLITE_OK)
        return rc;
    return *ret && (*ret)->pMethods ? SQLITE_OK : SQLITE_IOERR_FSYNC;
}

static int sync_wal(struct sona_store *store)
{
    sqlite3_file *wal = NULL;
    int rc = wal_of(store, &wal);

    return rc == SQLITE_OK ? wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL) : rc;
}

static void pause_writer(struct sona_store *store, bool pause)
{
    (void)pthread_mutex_lock(&store->lock);
    store->pause = pause;
    (void)pthread_cond_signal(&store->work);
    while (pause && !store->parked && store->writer_runs)
        (void)pthread_cond_wait(&store->done, &store->lock);
    (void)pthread_mutex_unlock(&store->lock);
}

static void reach(struct sona_store *store, uint64_t position)
{
    (void)pthread_mutex_lock(&store->lock);
    if (position > atomic_load_explicit(&store->durable, memory_order_relaxed))
        atomic_store_explicit(&store->durable, position, memory_order_release);
    (void)pthread_cond_broadcast(&store->done);
    (void)pthread_mutex_unlock(&store->lock);
}

/* The second round, with the writer still. *whole: nothing is left in the WAL. */
static int copy_rest(struct sona_store *store, bool *whole)
{
    int in_wal = 0, copied = 0;
    uint64_t begin = sona_sidecar_now_us(), us;

    pause_writer(store, true);
    uint64_t target = atomic_load_explicit(&store->committed, memory_order_acquire);
    int rc = sqlite3_wal_checkpoint_v2(store->keeper_db, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_wal,
                                       &copied);
    *whole = rc == SQLITE_OK && in_wal == copied;
    if (*whole) {
        atomic_store_explicit(&store->wal_pages, 0, memory_order_relaxed);
        reach(store, target);
    }
    pause_writer(store, false);
    us = sona_sidecar_now_us() - begin;
    sona_store_count(&store->stall_us, us);
    sona_store_highest(&store->stall_us_max, us);
    return rc;
}

static int checkpoint(struct sona_store *store, bool *whole)
{
    int in_wal = 0, copied = 0;
    int rc = sqlite3_wal_checkpoint_v2(store->keeper_db, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_wal,
                                       &copied);

    *whole = false;
    if (rc == SQLITE_OK)
        rc = copy_rest(store, whole);
    if (*whole)
        sona_store_count(&store->n_checkpoints, 1);
    /* A reader, or somebody else's checkpoint: not now. */
    return (rc & 0xff) == SQLITE_BUSY ? SQLITE_OK : rc;
}

static bool has_failed(const struct sona_store *store)
{
    return atomic_load_explicit(&store->sync_failed, memory_order_relaxed);
}

/* Write the WAL over itself: then it is dirty again, and a sync is one. To copy it into the
 * database instead would leave what is on the disk of it, an older state, to be found and believed
 * there. */
static int write_again(sqlite3_file *wal)
{
    unsigned char *bytes = malloc(AGAIN_BYTES);
    sqlite3_int64 size = 0;
    int rc = bytes ? wal->pMethods->xFileSize(wal, &size) : SQLITE_NOMEM;

    for (sqlite3_int64 at = 0; rc == SQLITE_OK && at < size; at += AGAIN_BYTES) {
        int n = size - at < AGAIN_BYTES ? (int)(size - at) : AGAIN_BYTES;

        rc = wal->pMethods->xRead(wal, bytes, n, at);
        if (rc == SQLITE_OK)
            rc = wal->pMethods->xWrite(wal, bytes, n, at);
    }
    free(bytes);
    return rc;
}

/* After a sync that failed. The writer rests: nobody else writes the WAL. */
static int sync_again(struct sona_store *store)
{
    sqlite3_file *wal = NULL;

    pause_writer(store, true);
    uint64_t target = atomic_load_explicit(&store->committed, memory_order_acquire);
    int rc = wal_of(store, &wal);
    if (rc == SQLITE_OK)
        rc = write_again(wal);
    if (rc == SQLITE_OK)
        rc = wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL);
    if (rc == SQLITE_OK) {
        atomic_store_explicit(&store->sync_failed, false, memory_order_relaxed);
        reach(store, target);
    }
    pause_writer(store, false);
    return rc;
}

static int make_durable(struct sona_store *store)
{
    uint64_t target = atomic_load_explicit(&store->committed, memory_order_acquire);
    uint64_t begin = sona_sidecar_now_us();

    if (has_failed(store))
        return sync_again(store);
    if (target <= atomic_load_explicit(&store->durable, memory_order_relaxed))
        return SQLITE_OK;
    int rc = sync_wal(store);
    sona_store_count(&store->n_syncs, 1);
    sona_store_highest(&store->sync_us_max, sona_sidecar_now_us() - begin);
    SONA_FAULT(journal_synced);
    if (rc != SQLITE_OK)
        sona_store_sync_failed(store);
    else if (!has_failed(store)) /* the writer's own meanwhile */
        reach(store, target);
    return rc;
}

static void report(struct sona_store *store, int rc)
{
    sona_diag diag = {.code = SONA_OK};

    if (rc != SQLITE_OK)
        (void)sona_store_sqlite_error(store->keeper_db, rc, store->files.db, &diag);
    (void)pthread_mutex_lock(&store->lock);
    bool changed = diag.code != store->keeper_sick.code;
    store->keeper_sick = diag;
    (void)pthread_cond_broadcast(&store->done);
    (void)pthread_mutex_unlock(&store->lock);
    if (changed && rc != SQLITE_OK)
        sona_store_notice(store, "sync_failed", "%s", diag.text);
    else if (changed)
        sona_store_notice(store, "sync_recovered", "%s is on the disk again", store->files.db);
}

/* Under the lock: a flush waits for what can be synced now. */
static bool asked(const struct sona_store *store)
{
    uint64_t durable = atomic_load_explicit(&store->durable, memory_order_relaxed);

    return store->wanted > durable &&
           atomic_load_explicit(&store->committed, memory_order_relaxed) > durable;
}

static bool wal_long(const struct sona_store *store)
{
    return atomic_load_explicit(&store->wal_pages, memory_order_relaxed) * SONA_STORE_PAGE_BYTES >
           store->options.wal_bytes;
}

/* Returns whether to stop; *sync: a sync is due. */
static bool wait(struct sona_store *store, uint64_t until, bool *sync)
{
    (void)pthread_mutex_lock(&store->lock);
    while (!store->keeper_stop && !asked(store) && sona_sidecar_now_us() < until &&
           !(wal_long(store) && sona_sidecar_now_us() >= store->next_checkpoint_us))
        sona_store_wait_until(store, &store->keep, until);
    bool stop = store->keeper_stop;
    *sync = stop || asked(store) || sona_sidecar_now_us() >= until;
    (void)pthread_mutex_unlock(&store->lock);
    return stop;
}

void *sona_store_keeper_main(void *argument)
{
    struct sona_store *store = argument;
    uint64_t period_us = 1000ull * store->options.sync_ms;
    uint64_t due = sona_sidecar_now_us() + period_us;
    bool stop, sync, whole;

    do {
        int rc = SQLITE_OK;

        stop = wait(store, due, &sync);
        bool timer = sona_sidecar_now_us() >= due;
        bool wish = stop || has_failed(store) ||
                    (sync && (!timer || store->options.durability != SONA_STORE_PROCESS));
        if (timer)
            due = sona_sidecar_now_us() + period_us;
        if (wish)
            rc = make_durable(store);
        /* What was lost of the WAL, and copied, would be found older after a failure of the power.
         */
        if (rc == SQLITE_OK && !stop && !has_failed(store) && wal_long(store) &&
            sona_sidecar_now_us() >= store->next_checkpoint_us) {
            rc = checkpoint(store, &whole);
            store->next_checkpoint_us = whole ? 0 : sona_sidecar_now_us() + CHECKPOINT_RETRY_US;
            if (rc != SQLITE_OK)
                sona_store_sync_failed(store);
        }
        report(store, rc);
        if (rc != SQLITE_OK && !stop) { /* leave the disk alone for a while */
            (void)pthread_mutex_lock(&store->lock);
            if (!store->keeper_stop)
                sona_store_wait_until(store, &store->keep,
                                      sona_sidecar_now_us() + 1000ull * SONA_STORE_RETRY_MS);
            (void)pthread_mutex_unlock(&store->lock);
        }
    } while (!stop);
    return NULL;
}
