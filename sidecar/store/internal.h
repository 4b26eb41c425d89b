/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What the files of the store share. Who owns what:
 *
 *     writer   the connection `db` with its statements, the log's tail, chores
 *     keeper   the connection `keeper_db`: syncs and checkpoints
 *     readers  the connection `reader_db` and `buffer`, one at a time, by `reading`
 *     `lock`   the log's head, the lanes, and every field below it; never held over disk work
 *
 * Lock order: `reading`, then `lock`.
 */
#ifndef SONA_SIDECAR_STORE_INTERNAL_H
#define SONA_SIDECAR_STORE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "sidecar/store/database.h"
#include "sidecar/store/files.h"
#include "sidecar/store/intake_log.h"
#include "sidecar/store/lanes.h"
#include "sidecar/store/row.h"

#define SONA_STORE_GROUP_MAX   4096u /* records of one transaction, give or take a batch */
#define SONA_STORE_GROUP_BYTES (8u << 20)
#define SONA_STORE_SLICE_ROWS  256u /* that a chore touches in one transaction */
#define SONA_STORE_RETRY_MS    250u /* until a writer that failed tries again */
#define SONA_STORE_PART_BYTES  (1u << 20)
#define SONA_STORE_PARTS_MAX   (SONA_STORE_GENERATION_MAX / SONA_STORE_PART_BYTES)
/* Rows of table `part`: number << 12 | part. */
#define SONA_STORE_PART_ID(number, part) ((uint64_t)(number) << 12 | (uint64_t)(part))
static_assert(SONA_STORE_PARTS_MAX <= 1u << 12, "parts of a generation have ids of their own");

/* Work for the writer, done in slices between its groups. `step` does one in a transaction that the
 * caller begins and commits, and sets *done with the last. */
struct sona_store_chore {
    int (*step)(struct sona_store *store, struct sona_store_chore *chore, bool *done);
    uint64_t after;  /* begins when this position is committed */
    bool durable;    /* sync the next slice */
    uint32_t slices; /* committed */
    /* results */
    sona_err err;
    sona_diag diag;
    bool finished;
};

struct sona_store {
    struct sona_store_options
        options; /* defaults filled in; the strings are the caller's no more */
    struct sona_store_files files;
    struct sona_store_log log;
    uint8_t uuid[16];

    /* the writer's */
    sqlite3 *db;
    sqlite3_stmt *sql[SONA_STORE_SQLS];
    struct sona_store_touched *touched; /* lanes of the group: SONA_STORE_GROUP_MAX + a batch */
    struct sona_store_row_bound one, many[SONA_STORE_MANY]; /* what the two inserts are bound to */
    struct sona_store_row_buffer *tidy_buffer;
    uint16_t half[SONA_STORE_FLOATS_MAX];
    uint64_t intake_seq;     /* of the last batch in the journal */
    uint64_t cover;          /* rows up to here are behind the generation before the last */
    uint64_t newest;         /* position of the last generation */
    uint64_t since_newest;   /* bytes of records behind it, about */
    uint64_t tidied_ms;      /* wall clock of the last look for something to tidy */
    bool tidy_more, pressed; /* there is more to tidy; the file is far beyond its limit */
    bool own_sync;           /* synchronous=FULL now */

    /* the keeper's */
    sqlite3 *keeper_db;
    uint64_t next_checkpoint_us;
    /* What a sync was to make durable has to be written again; the writer's, too: relaxed, for its
     * own sync tells it on its own descriptor. */
    _Atomic bool sync_failed;

    /* the readers' */
    pthread_mutex_t reading;
    sqlite3 *reader_db;
    struct sona_store_row_buffer *buffer;

    /* how far: stored in this order's reverse; release, acquire */
    _Atomic uint64_t appended, committed, durable;
    _Atomic uint64_t wal_pages;      /* the writer's last sight; the keeper: 0 after a checkpoint */
    _Atomic uint64_t first, thinned; /* positions; the writer stores */
    _Atomic uint64_t file_bytes, used_bytes;
    _Atomic bool generation_due;
    /* counters: relaxed, one writer each but the appender's, which are under the lock */
    _Atomic uint64_t n_groups, n_committed, n_removed, n_thinned, n_forgotten, n_syncs,
        n_checkpoints, stall_us, stall_us_max, sync_us_max;

    pthread_mutex_t lock;
    pthread_cond_t work; /* the writer's, CLOCK_MONOTONIC */
    pthread_cond_t keep; /* the keeper's, CLOCK_MONOTONIC */
    pthread_cond_t done; /* everybody who waits for one of the two, CLOCK_MONOTONIC */
    struct sona_store_lanes lanes;
    uint64_t next_position, first_waiting_us;
    uint64_t wanted; /* a flush waits for this position */
    struct sona_store_chore *chore;
    sona_diag sick, keeper_sick; /* code SONA_OK: well */
    bool stop, keeper_stop, pause, parked, writer_runs, keeper_runs;
    uint64_t n_appended, n_full, n_duplicate, n_sick, recovered, dropped, torn;
    pthread_t writer, keeper;
};

/* store.c */
void sona_store_notice(struct sona_store *store, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Wait on a condition under `lock`, until a CLOCK_MONOTONIC time in us at most. */
void sona_store_wait_until(struct sona_store *store, pthread_cond_t *cond, uint64_t us);
/* Take `reading` for something short, of a thread that may not stand still: SONA_E_BUSY while a
 * check reads everything. */
sona_err sona_store_read_briefly(struct sona_store *store, sona_diag *reterr);
static inline void sona_store_sync_failed(struct sona_store *store)
{
    atomic_store_explicit(&store->sync_failed, true, memory_order_relaxed);
}
static inline void sona_store_count(_Atomic uint64_t *counter, uint64_t n)
{
    (void)atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}
static inline void sona_store_highest(_Atomic uint64_t *mark, uint64_t n)
{
    if (n > atomic_load_explicit(mark, memory_order_relaxed))
        atomic_store_explicit(mark, n, memory_order_relaxed);
}

/* writer.c */
struct sona_store_touched {
    struct sona_store_lane lane;
    uint64_t next;
    uint32_t uid;
    bool end;
};
int sona_store_sql_run(struct sona_store *store, enum sona_store_statement statement);
/* The statement, reset. */
sqlite3_stmt *sona_store_sql(struct sona_store *store, enum sona_store_statement statement);
int sona_store_sql_finish(sqlite3_stmt *stmt);
sona_err sona_store_writer_prepare(struct sona_store *store, sona_diag *reterr);
void sona_store_writer_done(struct sona_store *store);
/* Commit one group of what waits in the log. At open, and the writer's thread. */
int sona_store_writer_group(struct sona_store *store);
void *sona_store_writer_main(void *store);
/* Give the writer a chore and wait for its end. */
sona_err sona_store_chore_run(struct sona_store *store, struct sona_store_chore *chore,
                              sona_diag *reterr);

/* keeper.c */
void *sona_store_keeper_main(void *store);

/* generation.c: the writer's view of the table, read at open and after each chore */
int sona_store_generation_look(struct sona_store *store);
/* Remove parts that belong to no generation: a save was cut short. At open. */
int sona_store_generation_clean(struct sona_store *store);

/* tidy.c: one slice of retention and thinning; *more: there is another at once. */
int sona_store_tidy(struct sona_store *store, bool *more);
int sona_store_measure(struct sona_store *store);

#endif
