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

/* Bind a record to the statement `insert` or `replace`. With `thin` x is written as f16. What it
 * points to stays bound until the next reset. `half`: room for x_n numbers. */
void sona_store_row_bind(sqlite3_stmt *stmt, const struct sona_store_record *record,
                         uint16_t half[SONA_STORE_FLOATS_MAX], bool thin);
/* The row that a SELECT * FROM event stands on; p_sample: -1 when it is exact. False: its checksum,
 * or a size, is wrong; then *ret has its position at least. */
bool sona_store_row_read(sqlite3_stmt *stmt, struct sona_store_row_buffer *buffer,
                         struct sona_store_record *ret);

#endif
