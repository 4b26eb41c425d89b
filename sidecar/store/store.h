/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The store of one instance: what must outlive its sidecar. A library of its own: it knows no
 * learner, no segment and no socket, and has two threads, the writer and the keeper.
 *
 *     append ──► intake log ──(writer: groups)──► journal ──(keeper: sync, checkpoint)──► disk
 *     any thread  mapped file                      SQLite, WAL
 *
 * Three positions say how far each record has come; positions count from 1 and have no gaps:
 *
 *     appended   it is in the intake log: it survives the end of the process, kill -9 included
 *     committed  it is in the journal, in the same transaction as the cursor of its lane
 *     durable    the journal was synced since: it survives the power failing
 *
 * Files, all 0600, in `state_dir` (0700): INSTANCE.db with -wal and -shm, the lock
 * INSTANCE.db.lock, and in `intake_dir` INSTANCE.intake. docs/journal.md describes the tables for
 * those who query them; intake_log.h describes the log's bytes.
 *
 * Errors name the file and the remedy in the sona_diag. What happens on the store's own threads,
 * or is survived, goes to options.notice. Functions are of any thread unless they say otherwise.
 */
#ifndef SONA_SIDECAR_STORE_STORE_H
#define SONA_SIDECAR_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <sona/error.h>

struct sona_store;

#define SONA_STORE_BATCH_MAX       1024u       /* records of one append */
#define SONA_STORE_FLOATS_MAX      4096u       /* of either vector of a record */
#define SONA_STORE_PAYLOAD_MAX     65536u      /* bytes of a record's payload */
#define SONA_STORE_LANES_MAX       16384u      /* lanes with a cursor */
#define SONA_STORE_INTAKE_MIN      (4u << 20)  /* bytes of the intake log */
#define SONA_STORE_INTAKE_BYTES    (64u << 20) /* by default */
#define SONA_STORE_GENERATION_MAX  (1u << 30)  /* bytes of one generation */
#define SONA_STORE_GENERATIONS_MIN 2u          /* kept: the last, and the one behind it */

/* X(name, number): what a record says. The first are joined events, numbered as enum
 * sona_learner_kind. Numbers are written to disk: never renumber, only append. The store keeps
 * kinds it does not know as they are; only CURSOR, LANE_END and FORGOTTEN mean something to it. */
#define SONA_STORE_KINDS(X)                                               \
    X(outcome, 0)                                                         \
    X(query, 1)                                                           \
    X(revoke, 2)                                                          \
    X(replace, 3)                                                         \
    X(query_outcome, 4)                                                   \
    X(steps, 5)                                                           \
    X(hit, 6)                                                             \
    X(baseline, 7)                                                        \
    X(gradient, 8)                                                        \
    X(start, 32)         /* of a sidecar: configuration in the payload */ \
    X(cycle_start, 33)   /* of a background cycle */                      \
    X(cycle_install, 34) /* of a background cycle */                      \
    X(route, 35)         /* a change of the route table */                \
    X(config, 36)        /* a change of configuration */                  \
    X(command, 37)       /* of an operator */                             \
    X(tick, 38)          /* time passed */                                \
    X(timeout, 39)       /* a decision's window ended */                  \
    X(evicted, 40)       /* a decision gave way before its outcome */     \
    X(rollback, 41)      /* the payload names the generation */           \
    X(adapters, 42)      /* a part of adapters that were imported */      \
    X(patterns, 43)      /* a part of patterns that were imported */      \
    X(forgotten, 61)     /* was a record; nothing of it is left */        \
    X(lane_end, 62)      /* the lane is gone, its cursor with it */       \
    X(cursor, 63)        /* only moves its lane's cursor: no row, no position */

enum sona_store_kind {
#define SONA_STORE_KIND(name, number) SONA_STORE_##name = (number),
    SONA_STORE_KINDS(SONA_STORE_KIND)
#undef SONA_STORE_KIND
};

/* Identity of a lane, drawn by the sidecar; all zero: the record came from no lane. */
struct sona_store_lane {
    uint64_t word[2];
};

/* The lane of records that came from files. Their payload says of each by which key it is known,
 * which the store remembers in the transaction that commits it, until a rollback undoes it. */
#define SONA_STORE_IMPORTS ((struct sona_store_lane){.word = {2, 0}})
struct sona_store_import {
    uint64_t key,
        source; /* source: number of the journal that it was learned from first; 0: none */
};

struct sona_store_record {
    uint64_t position;   /* given by the store */
    uint64_t written_ms; /* wall clock of its transaction; given by the store */
    uint32_t kind;       /* enum sona_store_kind, or another number below 64 */
    uint32_t uid;        /* user of the client */
    uint32_t tenant, route;
    struct sona_store_lane lane;
    uint64_t lane_seq;         /* the lane's record that this one came from */
    uint64_t id;               /* decision, trajectory or pattern */
    uint64_t version;          /* snapshot that decided */
    uint64_t now_ms;           /* the sidecar's clock, which the learner is told */
    uint16_t type, unrecorded; /* as struct sona_sidecar_joined, as is layer */
    uint32_t layer;
    float quality, propensity; /* finite, as is credit */
    float credit;
    float p_sample;    /* given by the store. 0: the vectors are as they were appended. Else the row
                          was    thinned: x was kept with this probability, as f16, or is gone */
    const float *x;    /* x_n floats, kept bit by bit; null with 0 */
    const float *base; /* the second vector */
    const void *payload;
    uint32_t x_n, base_n, payload_bytes;
};

/* What a record that came from a file is known by; false: it came from no file. */
static inline bool sona_store_import_of(const struct sona_store_record *r,
                                        struct sona_store_import *ret)
{
    const struct sona_store_lane imports = SONA_STORE_IMPORTS;

    if (memcmp(&r->lane, &imports, sizeof imports) != 0 || r->payload_bytes != sizeof *ret)
        return false;
    memcpy(ret, r->payload, sizeof *ret);
    return true;
}

/* Of the records that this one stands for, the share that was written: in (0, 1]. */
static inline double sona_store_share_of(const struct sona_store_record *r)
{
    return 1 - r->unrecorded / 65536.0;
}

enum sona_store_durability {
    SONA_STORE_PROCESS,  /* synced by checkpoints only: a power failure costs what came since */
    SONA_STORE_INTERVAL, /* synced twice a second: it costs at most the last second */
    SONA_STORE_EVERY     /* every group is synced; who must not lose anything waits by flush */
};

struct sona_store_options {
    const char *instance;   /* letters, digits, '.', '_', '-'; at most 63 */
    const char *state_dir;  /* made with mode 0700 when absent */
    const char *intake_dir; /* null: state_dir. On tmpfs the log costs no disk writes */
    enum sona_store_durability durability;
    bool journal_off;        /* generations only: positions count, records are dropped */
    uint64_t intake_bytes;   /* rounded up to a power of two; 0: SONA_STORE_INTAKE_BYTES */
    uint32_t commit_ms;      /* a group waits so long for ... 0: 5 */
    uint32_t commit_records; /* ... so many records. 0: 64 */
    uint32_t sync_ms;        /* by SONA_STORE_INTERVAL; 0: 500 */
    uint64_t wal_bytes;      /* a checkpoint is due beyond; 0: 64 MiB */
    uint64_t retain_bytes;   /* of the journal's file in use; 0: no limit */
    uint64_t retain_ms;      /* age of rows; 0: no limit */
    uint32_t generations;    /* kept beside the pinned ones; 0: 8 */
    float sample;            /* share of the thinned rows that keep an f16 embedding, 0..1 */
    uint64_t seed;           /* of that sample */
    const char *vfs;         /* of SQLite; null: the default. For tests */
    /* Told on any thread, without a lock held; `event` is a static name, `text` one sentence. */
    void (*notice)(void *context, const char *event, const char *text);
    void *context;
};

struct sona_store_positions {
    uint64_t appended, committed, durable;
};

/*
 * Open, or make, the store. Records that the intake log holds and the journal does not are
 * committed, each once, before this returns. A torn batch at the log's end was never acknowledged
 * and is dropped.
 *
 * SONA_E_BUSY another process has it; SONA_E_PERMISSION directory or file not ours, readable by
 * others, a symbolic link, or not writable; SONA_E_FORMAT not a store, or damaged; SONA_E_ABI a
 * newer schema (an older one is brought up to date); SONA_E_RANGE options; SONA_E_MEMORY;
 * SONA_E_SYSTEM.
 */
sona_err sona_store_open(struct sona_store **ret, const struct sona_store_options *options,
                         sona_diag *reterr);
/* Commit and sync what was appended, end the threads, free. With the disk refusing, what is not
 * committed stays in the intake log. Takes null. */
void sona_store_close(struct sona_store **store);

/*
 * Append n records as one: after a crash all of them are there or none. Their positions follow each
 * other; the last is written to *ret_position (may be null). Vectors and payloads are copied. No
 * system call but a wake-up of the writer.
 *
 * Each lane's cursor becomes its largest lane_seq + 1. A batch with a lane_seq behind the cursor is
 * refused whole: SONA_E_DUPLICATE. SONA_E_FULL: the intake log is full, the writer is behind; wait
 * or thin. SONA_E_SYSTEM: the writer cannot write (see sona_store_health); nothing is taken until
 * it can. SONA_E_LIMIT: too many lanes, a record too long. SONA_E_NOT_FINITE, SONA_E_RANGE.
 */
sona_err sona_store_append(struct sona_store *store, const struct sona_store_record *records,
                           uint32_t n, uint64_t *ret_position);
/* How far records have come. No lock. */
struct sona_store_positions sona_store_positions(const struct sona_store *store);
/* A number that no other store has, of the database's random one. */
uint64_t sona_store_identity(const struct sona_store *store);
/* How much of the intake log waits for the journal, 0..1. No lock. */
double sona_store_backlog(const struct sona_store *store);
/* Wait until everything up to `position` is durable, whatever the durability. SONA_E_TIMEOUT;
 * SONA_E_SYSTEM while the writer cannot write; SONA_E_RANGE beyond what was appended. */
sona_err sona_store_flush(struct sona_store *store, uint64_t position, uint32_t timeout_ms,
                          sona_diag *reterr);
/* SONA_OK, or why the writer cannot write now, with file and remedy. It tries again by itself. */
sona_err sona_store_health(struct sona_store *store, sona_diag *reterr);

/*
 * Visit committed records in order, positions `from` and up; the visitor returns false to stop. The
 * record and what it points to are the store's, valid during the call. Every row's checksum is
 * verified: SONA_E_FORMAT names the position. SONA_E_LIMIT: rows at `from` were removed by
 * retention. Forgotten rows are visited with their kind.
 */
typedef bool sona_store_visitor(void *context, const struct sona_store_record *record);
sona_err sona_store_replay(struct sona_store *store, uint64_t from, sona_store_visitor *visit,
                           void *context, sona_diag *reterr);
/* `,"key":[...]` with all bits of the numbers, null for what JSON has none for; nothing of n = 0.
 */
void sona_store_put_vector(FILE *to, const char *key, const float *x, uint32_t n);
/* Write rows `from`..`to` as JSON lines, vectors included when they are kept. */
sona_err sona_store_export(struct sona_store *store, uint64_t from, uint64_t to, FILE *file,
                           sona_diag *reterr);

/* Visit committed records like that, from `from` or what is left behind it, without waiting for
 * whoever reads everything: SONA_E_BUSY. Damaged ones are passed over. */
sona_err sona_store_page(struct sona_store *store, uint64_t from, sona_store_visitor *visit,
                         void *context, sona_diag *reterr);
/* Which of these are committed, by their keys. SONA_E_BUSY likewise. */
sona_err sona_store_imported(struct sona_store *store, const struct sona_store_import *imports,
                             uint32_t n, bool *ret, sona_diag *reterr);

/* The cursor of a lane, appended records included: the next lane_seq. False: it has none. */
bool sona_store_cursor(struct sona_store *store, struct sona_store_lane lane, uint64_t *ret_next);
typedef bool sona_store_cursor_visitor(void *context, struct sona_store_lane lane, uint32_t uid,
                                       uint64_t next);
void sona_store_cursors(struct sona_store *store, sona_store_cursor_visitor *visit, void *context);

/* A generation: the state after the record at `position`. */
struct sona_store_generation {
    uint64_t number;     /* from 1, never used twice */
    uint64_t position;   /* 0: before the first record */
    uint64_t created_ms; /* wall clock */
    uint64_t bytes;
    uint64_t origin; /* the generation that a rollback copied; 0: none */
    bool pinned;     /* kept until it is unpinned */
    bool exact;      /* the records behind it are all there, bit by bit: replay reaches the state */
};

/* Save a generation; it is durable, and what it covers too, when this returns. The records up to
 * `position` are committed before. One caller at a time; the others wait. */
sona_err sona_store_generation_save(struct sona_store *store, uint64_t position, const void *bytes,
                                    size_t n, bool pinned, uint64_t *ret_number, sona_diag *reterr);
/* Read a generation and verify its checksum; free(*ret_bytes). Number 0: the newest good one; each
 * that is damaged is told to options.notice and passed over. SONA_E_UNKNOWN_ID: there is none;
 * SONA_E_FORMAT: it is damaged. */
sona_err sona_store_generation_read(struct sona_store *store, uint64_t number,
                                    struct sona_store_generation *ret, void **ret_bytes,
                                    sona_diag *reterr);
/* Up to `capacity` generations, newest first; *ret_n: how many there are. SONA_E_BUSY: a check
 * reads everything. */
sona_err sona_store_generation_list(struct sona_store *store, struct sona_store_generation *ret,
                                    uint32_t capacity, uint32_t *ret_n, sona_diag *reterr);
sona_err sona_store_generation_pin(struct sona_store *store, uint64_t number, bool pinned,
                                   sona_diag *reterr);
/* Make a copy of `number` the newest generation, at the journal's end: what was learned since is
 * left out from the next start on. Nothing is removed, so it can be undone the same way. Stop
 * learning first: a record appended after this is replayed on top. */
sona_err sona_store_generation_rollback(struct sona_store *store, uint64_t number,
                                        uint64_t *ret_number, sona_diag *reterr);

/* Which rows to forget: those that match everything that is set. */
struct sona_store_rule {
    bool by_uid, by_tenant, by_before;
    uint32_t uid, tenant;
    uint64_t before_ms; /* wall clock */
};
/* Overwrite the rows that match, and their copies in WAL and intake log; what is left of each is
 * its position. What they taught stays in the weights: save a generation first, else the next
 * resume misses the rows behind the last one. */
sona_err sona_store_forget(struct sona_store *store, const struct sona_store_rule *rule,
                           uint64_t *ret_rows, sona_diag *reterr);

/* Verify the database (SQLite's integrity_check), every row's and generation's checksum, the order
 * of positions and the cursors. Each finding is told; *ret_findings counts them. Slow: reads
 * everything. */
typedef void sona_store_finding(void *context, const char *text);
sona_err sona_store_check(struct sona_store *store, sona_store_finding *tell, void *context,
                          uint32_t *ret_findings, sona_diag *reterr);

struct sona_store_stats {
    uint64_t appended, refused_full, refused_duplicate, refused_sick; /* records, batches ... */
    uint64_t groups, committed; /* transactions with records, and the records in them */
    uint64_t recovered;         /* records that the intake log gave at open */
    uint64_t dropped;           /* acknowledged records that open could not save: a power failure */
    uint64_t torn;              /* batches that were never acknowledged */
    uint64_t rows_removed, rows_thinned, rows_forgotten;
    uint64_t syncs, checkpoints;
    uint64_t stall_us, stall_us_max; /* the writer held still for checkpoints */
    uint64_t sync_us_max;
    uint64_t intake_bytes;                      /* waiting in the intake log */
    uint64_t wal_bytes, file_bytes, used_bytes; /* of the database */
    uint64_t first_position;                    /* oldest row */
    uint64_t thinned_position;                  /* rows up to here have no exact vectors */
    bool generation_due;                        /* retention waits for a generation: save one */
};
void sona_store_stats(struct sona_store *store, struct sona_store_stats *ret);

#endif
