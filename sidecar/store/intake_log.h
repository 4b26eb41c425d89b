/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The intake log: a preallocated mapped file through which records pass on their way to the
 * journal. A store into it survives the end of the process at any instruction, since the pages are
 * the file's and not the process's.
 *
 *     page     bytes           what
 *     header   64 KiB          struct sona_store_log_header
 *     data     capacity        batches, one after the other, round and round
 *
 *     batch    64 B            struct sona_store_batch
 *              per record      struct sona_store_entry, x, base, payload; padded to 8 bytes
 *              zeros           up to a multiple of 64 bytes
 *
 * Offsets count bytes ever written; the place is the offset modulo the capacity. The data is mapped
 * twice, end to start, so that a batch never wraps.
 *
 *     trimmed, all zero      waiting for the journal        being written
 *     ──────────────────┬───────────────────────────────┬────────────────────
 *                      tail                            head
 *                 the writer moves it             the commit word
 *
 * The appender writes a batch behind head, then moves head over it with a release store [H]: that
 * is the acknowledgement. What lies behind head when the process dies was never acknowledged. What
 * lies before it is checked all the same, by magic, offset, sequence and checksum: a file on a disk
 * may lose pages with the power. The writer zeroes what it trims: embeddings do not linger. It
 * moves `start` before and tail after that, so that a kill in between does not show zeros to the
 * next one.
 *
 * Little endian, as the floats; version 1. The layout changes with SONA_STORE_LOG_VERSION.
 */
#ifndef SONA_SIDECAR_STORE_INTAKE_LOG_H
#define SONA_SIDECAR_STORE_INTAKE_LOG_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>

#include "sidecar/store/store.h"

#define SONA_STORE_LOG_MAGIC    0x31474f4c414e4f53ull /* "SONALOG1" */
#define SONA_STORE_LOG_VERSION  1u
#define SONA_STORE_LOG_HEADER   65536u /* a multiple of every page size */
#define SONA_STORE_LOG_MAX      (1ull << 36)
#define SONA_STORE_BATCH_MAGIC  0x48435442u /* "BTCH" */
#define SONA_STORE_BATCH_STRIDE 64u

struct sona_store_log_header {
    uint64_t magic;
    uint32_t version, header_bytes;
    uint64_t capacity;
    uint8_t store_uuid[16];              /* of the journal it feeds */
    alignas(128) _Atomic uint64_t head;  /* [H] appender: release; writer: acquire */
    _Atomic uint64_t head_position;      /* last position before head; stored before it, relaxed */
    alignas(128) _Atomic uint64_t start; /* writer: journaled up to here; read at open */
    _Atomic uint64_t tail;               /* [T] writer: release; appender: acquire */
};
static_assert(sizeof(struct sona_store_log_header) == 384, "the layout is on disk");

struct sona_store_batch {
    uint32_t magic, count;
    uint64_t bytes; /* with this header and the padding */
    uint64_t at;    /* its own offset */
    uint64_t seq;   /* batches count from 1, without a gap */
    uint64_t first_position;
    uint64_t sum; /* XXH3-64 of what follows, seeded by that of this header with the word 0 */
    uint64_t reserved[2];
};
static_assert(sizeof(struct sona_store_batch) == 64, "the layout is on disk");

struct sona_store_entry {
    uint64_t position; /* CURSOR: 0 */
    uint64_t lane[2], lane_seq, id, version, now_ms;
    uint32_t kind, uid, tenant, route;
    uint16_t type, unrecorded; /* the latter 0 in an older log */
    uint32_t layer;
    float quality, propensity, credit;
    uint32_t x_n, base_n, payload_bytes;
};
static_assert(sizeof(struct sona_store_entry) == 104, "the layout is on disk");

struct sona_store_log {
    int fd;
    uint64_t capacity;
    struct sona_store_log_header *header;
    uint8_t *data;     /* 2 * capacity bytes */
    uint64_t next_seq; /* appender */
};

/* Map `path`, made with `capacity` (a power of two) when absent. An existing file keeps its own
 * capacity. SONA_E_FORMAT: it is not an intake log of this version; SONA_E_SYSTEM, _PERMISSION. */
sona_err sona_store_log_open(struct sona_store_log *ret, const char *path, uint64_t capacity,
                             sona_diag *reterr);
void sona_store_log_close(struct sona_store_log *log);

/* Room for a batch of `bytes`. Appender. */
bool sona_store_log_fits(const struct sona_store_log *log, uint64_t bytes);
/* Bytes of a batch. */
uint64_t sona_store_log_bytes(const struct sona_store_record *records, uint32_t n);
/* Write and acknowledge a batch that fits; its rows get positions from first_position on. Returns
 * the last position given, first_position - 1 if no record takes one. Appender. */
uint64_t sona_store_log_append(struct sona_store_log *log, const struct sona_store_record *records,
                               uint32_t n, uint64_t first_position);

/* The batch at offset `at` < head, or null when it is not whole. */
const struct sona_store_batch *sona_store_log_batch(const struct sona_store_log *log, uint64_t at);
/* The next record of a batch: *offset begins at sizeof(struct sona_store_batch). False: no more, or
 * it does not fit into the batch. Vectors and payload point into the log. */
bool sona_store_log_record(const struct sona_store_batch *batch, uint64_t *offset,
                           struct sona_store_record *ret);
/* Zero and give back everything before offset `to`. Writer. */
void sona_store_log_trim(struct sona_store_log *log, uint64_t to);
/* Forget everything, and begin with `seq`; `uuid`: the journal it feeds from now on. Alone. */
void sona_store_log_reset(struct sona_store_log *log, const uint8_t uuid[16], uint64_t seq);

static inline uint64_t sona_store_log_head(const struct sona_store_log *log)
{
    return atomic_load_explicit(&log->header->head, memory_order_acquire); /* [H] */
}

static inline uint64_t sona_store_log_tail(const struct sona_store_log *log)
{
    return atomic_load_explicit(&log->header->tail, memory_order_acquire); /* [T] */
}

static inline uint64_t sona_store_log_start(const struct sona_store_log *log)
{
    return atomic_load_explicit(&log->header->start, memory_order_acquire);
}

/* Whether a record takes a row and a position. */
static inline bool sona_store_takes_row(uint32_t kind)
{
    return kind != SONA_STORE_cursor;
}

#endif
