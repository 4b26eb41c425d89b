/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See intake_log.h. */
#include "sidecar/store/intake_log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "shm/diag.h"
#include "shm/fault.h"

static sona_err refused(const char *what, const char *path, sona_diag *reterr)
{
    int e = errno;

    return sona_shm_diag_set(
        reterr, e == EACCES || e == EPERM || e == EROFS ? SONA_E_PERMISSION : SONA_E_SYSTEM, e,
        "cannot %s the intake log %s; make room or make it writable, or choose another directory",
        what, path);
}

/* Header, then the data twice, one behind the other. */
static sona_err map(struct sona_store_log *log, const char *path, sona_diag *reterr)
{
    size_t whole = SONA_STORE_LOG_HEADER + 2 * (size_t)log->capacity;
    uint8_t *at = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int flags = MAP_SHARED | MAP_FIXED | MAP_POPULATE;

    if (at == MAP_FAILED)
        return refused("map", path, reterr);
    size_t once = SONA_STORE_LOG_HEADER + (size_t)log->capacity;
    if (mmap(at, once, PROT_READ | PROT_WRITE, flags, log->fd, 0) == MAP_FAILED ||
        mmap(at + once, log->capacity, PROT_READ | PROT_WRITE, flags, log->fd,
             SONA_STORE_LOG_HEADER) == MAP_FAILED) {
        sona_err err = refused("map", path, reterr);

        (void)munmap(at, whole);
        return err;
    }
    (void)madvise(at, whole, MADV_DONTDUMP); /* embeddings are personal: not into a core file */
    (void)madvise(at, whole, MADV_DONTFORK);
    log->header = (struct sona_store_log_header *)(void *)at;
    log->data = at + SONA_STORE_LOG_HEADER;
    return SONA_OK;
}

static sona_err make(struct sona_store_log *log, const char *path, sona_diag *reterr)
{
    int e = posix_fallocate(log->fd, 0, (off_t)(SONA_STORE_LOG_HEADER + log->capacity));

    if (e != 0) { /* a shorter file is begun again the next time */
        errno = e;
        return refused("preallocate", path, reterr);
    }
    sona_err err = map(log, path, reterr);
    if (err == SONA_OK) {
        log->header->version = SONA_STORE_LOG_VERSION;
        log->header->header_bytes = SONA_STORE_LOG_HEADER;
        log->header->capacity = log->capacity;
        atomic_thread_fence(memory_order_release); /* the magic last: who sees it sees the rest */
        log->header->magic = SONA_STORE_LOG_MAGIC;
    }
    return err;
}

static bool sound(const struct sona_store_log_header *h, uint64_t file_bytes)
{
    return h->magic == SONA_STORE_LOG_MAGIC && h->version == SONA_STORE_LOG_VERSION &&
           h->header_bytes == SONA_STORE_LOG_HEADER && h->capacity >= SONA_STORE_INTAKE_MIN &&
           h->capacity <= SONA_STORE_LOG_MAX && (h->capacity & (h->capacity - 1)) == 0 &&
           file_bytes == SONA_STORE_LOG_HEADER + h->capacity;
}

sona_err sona_store_log_open(struct sona_store_log *ret, const char *path, uint64_t capacity,
                             sona_diag *reterr)
{
    struct sona_store_log log = {.capacity = capacity};
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct sona_store_log_header header = {0};
    struct stat st;
    sona_err err;

    log.fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (log.fd < 0 || fstat(log.fd, &st) != 0) {
        err = refused("open", path, reterr);
    } else if (fcntl(log.fd, F_OFD_SETLK, &range) != 0) {
        err = sona_shm_diag_set(reterr, SONA_E_BUSY, 0,
                                "another sidecar has the intake log %s; stop it, or choose another "
                                "--instance name",
                                path);
    } else if (st.st_size == 0 || (pread(log.fd, &header, sizeof header, 0) > 0 &&
                                   header.magic == 0)) { /* new, or its making was cut short */
        err = make(&log, path, reterr);
    } else if (!sound(&header, (uint64_t)st.st_size)) {
        err = sona_shm_diag_set(reterr, SONA_E_FORMAT, 0,
                                "%s is not an intake log of version %u; move it away", path,
                                SONA_STORE_LOG_VERSION);
    } else {
        log.capacity = header.capacity;
        err = map(&log, path, reterr);
    }
    if (err == SONA_OK)
        *ret = log;
    else if (log.fd >= 0)
        (void)close(log.fd);
    return err;
}

void sona_store_log_close(struct sona_store_log *log)
{
    if (!log->header)
        return;
    (void)munmap(log->header, SONA_STORE_LOG_HEADER + 2 * (size_t)log->capacity);
    (void)close(log->fd);
    log->header = NULL;
}

static uint64_t entry_bytes(const struct sona_store_entry *e)
{
    uint64_t bytes =
        sizeof *e + sizeof(float) * ((uint64_t)e->x_n + e->base_n) + (uint64_t)e->payload_bytes;

    return (bytes + 7) & ~7ull;
}

bool sona_store_log_fits(const struct sona_store_log *log, uint64_t bytes)
{
    uint64_t head = atomic_load_explicit(&log->header->head, memory_order_relaxed); /* ours */

    return head - sona_store_log_tail(log) + bytes <= log->capacity;
}

uint64_t sona_store_log_bytes(const struct sona_store_record *records, uint32_t n)
{
    uint64_t bytes = sizeof(struct sona_store_batch);

    for (uint32_t i = 0; i < n; i++)
        bytes += entry_bytes(&(struct sona_store_entry){.x_n = records[i].x_n,
                                                        .base_n = records[i].base_n,
                                                        .payload_bytes = records[i].payload_bytes});
    return (bytes + SONA_STORE_BATCH_STRIDE - 1) & ~(uint64_t)(SONA_STORE_BATCH_STRIDE - 1);
}

/* The place is zero: it was trimmed, so padding needs no writing. */
static uint64_t put(uint8_t *at, const struct sona_store_record *r, uint64_t position)
{
    struct sona_store_entry e = {.position = position,
                                 .lane = {r->lane.word[0], r->lane.word[1]},
                                 .lane_seq = r->lane_seq,
                                 .id = r->id,
                                 .version = r->version,
                                 .now_ms = r->now_ms,
                                 .kind = r->kind,
                                 .uid = r->uid,
                                 .tenant = r->tenant,
                                 .route = r->route,
                                 .type = r->type,
                                 .unrecorded = r->unrecorded,
                                 .layer = r->layer,
                                 .quality = r->quality,
                                 .propensity = r->propensity,
                                 .credit = r->credit,
                                 .x_n = r->x_n,
                                 .base_n = r->base_n,
                                 .payload_bytes = r->payload_bytes};
    uint8_t *body = at + sizeof e;

    memcpy(at, &e, sizeof e);
    if (r->x_n > 0)
        memcpy(body, r->x, r->x_n * sizeof(float));
    body += r->x_n * sizeof(float);
    if (r->base_n > 0)
        memcpy(body, r->base, r->base_n * sizeof(float));
    body += r->base_n * sizeof(float);
    if (r->payload_bytes > 0)
        memcpy(body, r->payload, r->payload_bytes);
    return entry_bytes(&e);
}

/* `batch`: a copy of the header of the batch at `place`. */
static uint64_t sum_of(const struct sona_store_batch *batch, const uint8_t *place)
{
    struct sona_store_batch header = *batch;

    header.sum = 0;
    return XXH3_64bits_withSeed(place + sizeof header, batch->bytes - sizeof header,
                                XXH3_64bits(&header, sizeof header));
}

uint64_t sona_store_log_append(struct sona_store_log *log, const struct sona_store_record *records,
                               uint32_t n, uint64_t first_position)
{
    uint64_t at = atomic_load_explicit(&log->header->head, memory_order_relaxed); /* ours */
    uint8_t *place = log->data + (at & (log->capacity - 1));
    uint64_t bytes = sona_store_log_bytes(records, n), offset = sizeof(struct sona_store_batch);
    uint64_t position = first_position;
    struct sona_store_batch batch = {.magic = SONA_STORE_BATCH_MAGIC,
                                     .count = n,
                                     .bytes = bytes,
                                     .at = at,
                                     .seq = log->next_seq,
                                     .first_position = first_position};

    for (uint32_t i = 0; i < n; i++) {
        bool row = sona_store_takes_row(records[i].kind);

        offset += put(place + offset, &records[i], row ? position : 0);
        position += row;
    }
    batch.sum = sum_of(&batch, place);
    memcpy(place, &batch, sizeof batch);
    log->next_seq++;
    SONA_FAULT(journal_copied);
    atomic_store_explicit(&log->header->head_position, position - 1, memory_order_relaxed);
    atomic_store_explicit(&log->header->head, at + bytes, memory_order_release); /* [H] */
    SONA_FAULT(journal_appended);
    return position - 1;
}

const struct sona_store_batch *sona_store_log_batch(const struct sona_store_log *log, uint64_t at)
{
    uint64_t left = sona_store_log_head(log) - at;
    uint8_t *place = log->data + (at & (log->capacity - 1));
    struct sona_store_batch batch;

    if (left < sizeof batch || left > log->capacity || at % SONA_STORE_BATCH_STRIDE != 0)
        return NULL;
    memcpy(&batch, place, sizeof batch);
    if (batch.magic != SONA_STORE_BATCH_MAGIC || batch.at != at || batch.bytes < sizeof batch ||
        batch.bytes > left || batch.bytes % SONA_STORE_BATCH_STRIDE != 0 || batch.count == 0 ||
        batch.count > SONA_STORE_BATCH_MAX)
        return NULL;
    if (sum_of(&batch, place) != batch.sum)
        return NULL;
    return (const struct sona_store_batch *)(const void *)place;
}

bool sona_store_log_record(const struct sona_store_batch *batch, uint64_t *offset,
                           struct sona_store_record *ret)
{
    const uint8_t *place = (const uint8_t *)batch + *offset;
    struct sona_store_entry e;

    if (*offset + sizeof e > batch->bytes)
        return false;
    memcpy(&e, place, sizeof e);
    if (e.x_n > SONA_STORE_FLOATS_MAX || e.base_n > SONA_STORE_FLOATS_MAX ||
        e.payload_bytes > SONA_STORE_PAYLOAD_MAX || *offset + entry_bytes(&e) > batch->bytes)
        return false;
    const float *x = (const float *)(const void *)(place + sizeof e); /* 8-byte aligned */
    const float *base = x + e.x_n;

    *ret = (struct sona_store_record){.position = e.position,
                                      .kind = e.kind,
                                      .uid = e.uid,
                                      .tenant = e.tenant,
                                      .route = e.route,
                                      .lane = {{e.lane[0], e.lane[1]}},
                                      .lane_seq = e.lane_seq,
                                      .id = e.id,
                                      .version = e.version,
                                      .now_ms = e.now_ms,
                                      .type = e.type,
                                      .unrecorded = e.unrecorded,
                                      .layer = e.layer,
                                      .quality = e.quality,
                                      .propensity = e.propensity,
                                      .credit = e.credit,
                                      .x = e.x_n > 0 ? x : NULL,
                                      .base = e.base_n > 0 ? base : NULL,
                                      .payload = e.payload_bytes > 0 ? base + e.base_n : NULL,
                                      .x_n = e.x_n,
                                      .base_n = e.base_n,
                                      .payload_bytes = e.payload_bytes};
    *offset += entry_bytes(&e);
    return true;
}

void sona_store_log_trim(struct sona_store_log *log, uint64_t to)
{
    uint64_t tail = atomic_load_explicit(&log->header->tail, memory_order_relaxed); /* ours */

    atomic_store_explicit(&log->header->start, to, memory_order_release);
    memset(log->data + (tail & (log->capacity - 1)), 0, to - tail);
    atomic_store_explicit(&log->header->tail, to, memory_order_release); /* [T] */
}

void sona_store_log_reset(struct sona_store_log *log, const uint8_t uuid[16], uint64_t seq)
{
    uint64_t head = sona_store_log_head(log);
    uint64_t at = (head + SONA_STORE_BATCH_STRIDE - 1) & ~(uint64_t)(SONA_STORE_BATCH_STRIDE - 1);

    /* Empty before it is clean: a kill in here leaves nothing that looks acknowledged. */
    atomic_store_explicit(&log->header->start, at, memory_order_release);
    atomic_store_explicit(&log->header->tail, at, memory_order_release);
    atomic_store_explicit(&log->header->head, at, memory_order_release);
    memset(log->data, 0, log->capacity);
    memcpy(log->header->store_uuid, uuid, sizeof log->header->store_uuid);
    log->next_seq = seq;
}
