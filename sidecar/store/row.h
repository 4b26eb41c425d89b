/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A record as a row of table `event`, with a checksum of its own: SQLite has none on its pages, and
 * a flipped bit in an embedding would silently teach something else.
 */
#ifndef SONA_SIDECAR_STORE_ROW_H
#define SONA_SIDECAR_STORE_ROW_H

#include "sidecar/store/database.h"

/* Where a row's vectors and payload are put, aligned. */
struct sona_store_row_buffer {
    float x[SONA_STORE_FLOATS_MAX], base[SONA_STORE_FLOATS_MAX];
    uint8_t payload[SONA_STORE_PAYLOAD_MAX];
};

#define SONA_STORE_COLUMNS 22u /* of table `event` */

/* What a row of a statement's VALUES is bound to. Binding costs as much as half of the rest of an
 * insert, and from row to row most of the numbers stay. Zero: nothing was bound. */
struct sona_store_row_bound {
    bool valid;
    uint64_t integer[SONA_STORE_COLUMNS];
    float real[SONA_STORE_COLUMNS];
    uint64_t blob[SONA_STORE_COLUMNS]; /* bytes; 0: NULL */
    struct sona_store_lane lane;
};

/* Bind an exact record to row `row` of a statement that inserts. What it points to must stay where
 * it is until the statement was stepped. */
void sona_store_row_bind(sqlite3_stmt *stmt, uint32_t row, const struct sona_store_record *record,
                         struct sona_store_row_bound *bound);
/* Bind a record to the statement `replace`. With `thin` x is written as f16; `half`: room for x_n
 * numbers. What it points to stays bound until the next reset. */
void sona_store_row_bind_again(sqlite3_stmt *stmt, const struct sona_store_record *record,
                               uint16_t half[SONA_STORE_FLOATS_MAX], bool thin);
/* The row that a SELECT * FROM event stands on; p_sample: -1 when it is exact. False: its checksum,
 * or a size, is wrong; then *ret has its position at least. */
bool sona_store_row_read(sqlite3_stmt *stmt, struct sona_store_row_buffer *buffer,
                         struct sona_store_record *ret);

#endif
