/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* A value that is too long for one record of the journal, as several: cut, and joined again. */
#ifndef SONA_SIDECAR_PARTS_H
#define SONA_SIDECAR_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "sidecar/store/store.h"

/* Bytes of a part's share, of which a unit's size is a divisor. */
#define SONA_SIDECAR_PART_BYTES 32768u

/* `n` units (at least one) of `unit` bytes as *ret_count records, payloads and all in one piece of
 * memory that free() gives back; null without memory. */
struct sona_store_record *sona_sidecar_parts_cut(enum sona_store_kind kind, const void *value,
                                                 uint64_t n, uint32_t unit, uint32_t *ret_count);

struct sona_sidecar_part {
    uint64_t n, at; /* units of the value, and before these */
    uint64_t count; /* these */
    const unsigned char *value;
    uint32_t unit;
};

/* What a record has of a value; `value` lies in its payload. False: it is no part. */
bool sona_sidecar_part_read(const struct sona_store_record *record, uint32_t unit,
                            struct sona_sidecar_part *ret);
/* Put a part into `value`, of which there are *done units. True: it was the last, the value is
 * whole. The first begins anew; one that does not follow is passed over: it is of parts that ended
 * early, as before a failure of the power, and that were never answered for. */
bool sona_sidecar_part_join(const struct sona_sidecar_part *part, void *value, uint64_t *done);

#endif
