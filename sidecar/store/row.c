/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See row.h. */
#include "sidecar/store/row.h"

#include <string.h>

#include <xxhash.h>

#include "sidecar/store/half.h"
#include "sidecar/store/intake_log.h"

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
    SUM
};

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

static void bind_blob(sqlite3_stmt *stmt, int column, const void *bytes, size_t n)
{
    if (n > 0)
        (void)sqlite3_bind_blob(stmt, column + 1, bytes, (int)n, SQLITE_STATIC);
    else
        (void)sqlite3_bind_null(stmt, column + 1);
}

void sona_store_row_bind(sqlite3_stmt *stmt, const struct sona_store_record *record,
                         uint16_t half[SONA_STORE_FLOATS_MAX], bool thin)
{
    const struct sona_store_record *r = record;
    const struct {
        int column;
        uint64_t value;
    } integers[] = {{POSITION, r->position}, {WRITTEN_MS, r->written_ms},
                    {KIND, r->kind},         {UID, r->uid},
                    {TENANT, r->tenant},     {ROUTE, r->route},
                    {LANE_SEQ, r->lane_seq}, {ID, r->id},
                    {VERSION, r->version},   {NOW_MS, r->now_ms},
                    {TYPE, r->type},         {LAYER, r->layer}};
    const void *x = r->x;
    size_t x_bytes = r->x_n * (thin ? sizeof *half : sizeof *r->x);

    if (thin) {
        for (uint32_t i = 0; i < r->x_n; i++)
            half[i] = sona_store_half_of(r->x[i]);
        x = half;
    }
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++)
        sona_store_bind(stmt, integers[i].column + 1, integers[i].value);
    bind_blob(stmt, LANE, &r->lane, r->lane.word[0] | r->lane.word[1] ? sizeof r->lane : 0);
    (void)sqlite3_bind_double(stmt, QUALITY + 1, (double)r->quality);
    (void)sqlite3_bind_double(stmt, PROPENSITY + 1, (double)r->propensity);
    (void)sqlite3_bind_double(stmt, CREDIT + 1, (double)r->credit);
    if (thin)
        (void)sqlite3_bind_double(stmt, P_SAMPLE + 1, (double)r->p_sample);
    else
        (void)sqlite3_bind_null(stmt, P_SAMPLE + 1);
    bind_blob(stmt, X, x, x_bytes);
    bind_blob(stmt, BASE, r->base, r->base_n * sizeof *r->base);
    bind_blob(stmt, PAYLOAD, r->payload, r->payload_bytes);
    sona_store_bind(stmt, SUM + 1, sum_of(r, x, x_bytes, thin));
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
                                      .type = word(stmt, TYPE),
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
