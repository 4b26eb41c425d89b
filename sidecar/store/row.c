/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See row.h. */
#include "sidecar/store/row.h"

#include <string.h>

#include <xxhash.h>

#include "sidecar/store/half.h"
#include "sidecar/store/intake_log.h"
#include "sidecar/store/lanes.h"

/* Columns of SELECT * FROM event; parameters of insert and replace count one more. */
enum column {
    POSITION,
    WRITTEN_MS,
    KIND,
    UID,
    TENANT,
    ROUTE,
    LANE,
    LANE_SEQ,
    ID,
    VERSION,
    NOW_MS,
    TYPE,
    LAYER,
    QUALITY,
    PROPENSITY,
    CREDIT,
    P_SAMPLE,
    X,
    BASE,
    PAYLOAD,
    SUM,
    UNRECORDED
};
static_assert(UNRECORDED + 1 == SONA_STORE_COLUMNS, "one parameter a column");

/* What a row's checksum is taken of: the numbers, then each blob. `thin` tells an f16 x from an
 * exact one; whether p_sample is NULL depends on it. */
static uint64_t sum_of(const struct sona_store_record *r, const void *x, size_t x_bytes, bool thin)
{
    struct {
        struct sona_store_entry entry;
        uint64_t written_ms;
        float p_sample;
        uint32_t thin;
    } numbers = {{r->position,
                  {r->lane.word[0], r->lane.word[1]},
                  r->lane_seq,
                  r->id,
                  r->version,
                  r->now_ms,
                  r->kind,
                  r->uid,
                  r->tenant,
                  r->route,
                  r->type,
                  r->unrecorded,
                  r->layer,
                  r->quality,
                  r->propensity,
                  r->credit,
                  r->x_n,
                  r->base_n,
                  r->payload_bytes},
                 r->written_ms,
                 thin ? r->p_sample : 0,
                 thin};
    uint64_t sum = XXH3_64bits(&numbers, sizeof numbers);

    sum = XXH3_64bits_withSeed(x, x_bytes, sum);
    sum = XXH3_64bits_withSeed(r->base, r->base_n * sizeof(float), sum);
    return XXH3_64bits_withSeed(r->payload, r->payload_bytes, sum);
}

/* A statement's row, and what it is bound to. */
struct place {
    sqlite3_stmt *stmt;
    int first; /* parameter before its first column's */
    struct sona_store_row_bound *bound;
};

static void put_integer(const struct place *p, int column, uint64_t value)
{
    if (p->bound->valid && p->bound->integer[column] == value)
        return;
    p->bound->integer[column] = value;
    sona_store_bind(p->stmt, p->first + column + 1, value);
}

/* By its bits: 0 and -0 are equal. */
static void put_real(const struct place *p, int column, float value)
{
    if (p->bound->valid && memcmp(&p->bound->real[column], &value, sizeof value) == 0)
        return;
    p->bound->real[column] = value;
    (void)sqlite3_bind_double(p->stmt, p->first + column + 1, (double)value);
}

/* The place of the bytes may be that of the last row's: what is there is bound each time. */
static void put_blob(const struct place *p, int column, const void *bytes, size_t n)
{
    bool bound = p->bound->valid && p->bound->blob[column] == 0;

    p->bound->blob[column] = n;
    if (n > 0)
        (void)sqlite3_bind_blob(p->stmt, p->first + column + 1, bytes, (int)n, SQLITE_STATIC);
    else if (!bound)
        (void)sqlite3_bind_null(p->stmt, p->first + column + 1);
}

/* Copied: it stays bound when the record is gone. */
static void put_lane(const struct place *p, const struct sona_store_lane *lane)
{
    struct sona_store_row_bound *b = p->bound;

    if (b->valid && memcmp(&b->lane, lane, sizeof *lane) == 0)
        return;
    b->lane = *lane;
    if (sona_store_lane_is(*lane))
        (void)sqlite3_bind_blob(p->stmt, p->first + LANE + 1, lane, sizeof *lane, SQLITE_TRANSIENT);
    else
        (void)sqlite3_bind_null(p->stmt, p->first + LANE + 1);
}

static void put(const struct place *p, const struct sona_store_record *r, const void *x,
                size_t x_bytes, bool thin)
{
    const struct {
        int column;
        uint64_t value;
    } integers[] = {{POSITION, r->position},
                    {WRITTEN_MS, r->written_ms},
                    {KIND, r->kind},
                    {UID, r->uid},
                    {TENANT, r->tenant},
                    {ROUTE, r->route},
                    {LANE_SEQ, r->lane_seq},
                    {ID, r->id},
                    {VERSION, r->version},
                    {NOW_MS, r->now_ms},
                    {TYPE, r->type},
                    {LAYER, r->layer},
                    {UNRECORDED, r->unrecorded}};

    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++)
        put_integer(p, integers[i].column, integers[i].value);
    put_lane(p, &r->lane);
    put_real(p, QUALITY, r->quality);
    put_real(p, PROPENSITY, r->propensity);
    put_real(p, CREDIT, r->credit);
    if (thin)
        put_real(p, P_SAMPLE, r->p_sample);
    else
        put_blob(p, P_SAMPLE, NULL, 0);
    put_blob(p, X, x, x_bytes);
    put_blob(p, BASE, r->base, r->base_n * sizeof *r->base);
    put_blob(p, PAYLOAD, r->payload, r->payload_bytes);
    put_integer(p, SUM, sum_of(r, x, x_bytes, thin));
    p->bound->valid = true;
}

void sona_store_row_bind(sqlite3_stmt *stmt, uint32_t row, const struct sona_store_record *record,
                         struct sona_store_row_bound *bound)
{
    const struct place place = {
        .stmt = stmt, .first = (int)(row * SONA_STORE_COLUMNS), .bound = bound};

    put(&place, record, record->x, record->x_n * sizeof *record->x, false);
}

void sona_store_row_bind_again(sqlite3_stmt *stmt, const struct sona_store_record *record,
                               uint16_t half[SONA_STORE_FLOATS_MAX], bool thin)
{
    const struct sona_store_record *r = record;
    struct sona_store_row_bound bound = {.valid = false};
    const struct place place = {.stmt = stmt, .bound = &bound};
    const void *x = r->x;

    if (thin) {
        for (uint32_t i = 0; i < r->x_n; i++)
            half[i] = sona_store_half_of(r->x[i]);
        x = half;
    }
    put(&place, r, x, r->x_n * (thin ? sizeof *half : sizeof *r->x), thin);
}

/* A blob's bytes into `to`, of at most `max` items of `size` bytes. */
static bool take_blob(sqlite3_stmt *stmt, int column, void *to, size_t size, size_t max,
                      uint32_t *ret_n)
{
    size_t bytes = (size_t)sqlite3_column_bytes(stmt, column);

    if (bytes % size != 0 || bytes / size > max)
        return false;
    if (bytes > 0)
        memcpy(to, sqlite3_column_blob(stmt, column), bytes);
    *ret_n = (uint32_t)(bytes / size);
    return true;
}

static uint32_t word(sqlite3_stmt *stmt, int column)
{
    return (uint32_t)sqlite3_column_int64(stmt, column);
}

bool sona_store_row_read(sqlite3_stmt *stmt, struct sona_store_row_buffer *buffer,
                         struct sona_store_record *ret)
{
    bool thin = sqlite3_column_type(stmt, P_SAMPLE) != SQLITE_NULL;
    size_t x_size = thin ? sizeof(uint16_t) : sizeof(float);
    uint32_t lane_n = 0;

    *ret = (struct sona_store_record){.position = sona_store_column(stmt, POSITION),
                                      .written_ms = sona_store_column(stmt, WRITTEN_MS),
                                      .kind = word(stmt, KIND),
                                      .uid = word(stmt, UID),
                                      .tenant = word(stmt, TENANT),
                                      .route = word(stmt, ROUTE),
                                      .lane_seq = sona_store_column(stmt, LANE_SEQ),
                                      .id = sona_store_column(stmt, ID),
                                      .version = sona_store_column(stmt, VERSION),
                                      .now_ms = sona_store_column(stmt, NOW_MS),
                                      .type = (uint16_t)word(stmt, TYPE),
                                      .unrecorded = (uint16_t)word(stmt, UNRECORDED),
                                      .layer = word(stmt, LAYER),
                                      .quality = (float)sqlite3_column_double(stmt, QUALITY),
                                      .propensity = (float)sqlite3_column_double(stmt, PROPENSITY),
                                      .credit = (float)sqlite3_column_double(stmt, CREDIT),
                                      .p_sample = (float)sqlite3_column_double(stmt, P_SAMPLE)};
    if (!take_blob(stmt, LANE, &ret->lane, sizeof ret->lane, 1, &lane_n) ||
        !take_blob(stmt, X, buffer->x, x_size, SONA_STORE_FLOATS_MAX, &ret->x_n) ||
        !take_blob(stmt, BASE, buffer->base, sizeof *buffer->base, SONA_STORE_FLOATS_MAX,
                   &ret->base_n) ||
        !take_blob(stmt, PAYLOAD, buffer->payload, 1, SONA_STORE_PAYLOAD_MAX, &ret->payload_bytes))
        return false;
    ret->base = ret->base_n > 0 ? buffer->base : NULL;
    ret->payload = ret->payload_bytes > 0 ? buffer->payload : NULL;
    if (sum_of(ret, buffer->x, ret->x_n * x_size, thin) != sona_store_column(stmt, SUM))
        return false;
    if (thin) /* widen in place, from the end */
        for (uint32_t i = ret->x_n; i-- > 0;) {
            uint16_t half;

            memcpy(&half, (const char *)buffer->x + i * sizeof half, sizeof half);
            buffer->x[i] = sona_store_half_to(half);
        }
    ret->x = ret->x_n > 0 ? buffer->x : NULL;
    ret->p_sample = thin ? ret->p_sample : -1;
    return true;
}
