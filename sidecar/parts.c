/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See parts.h. A payload is struct head, and the bytes of its units behind it. */
#include "sidecar/parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct head {
    uint64_t n, at;
};
static_assert(sizeof(struct head) + SONA_SIDECAR_PART_BYTES <= SONA_STORE_PAYLOAD_MAX, "a payload");

static uint64_t units_at(uint64_t n, uint64_t at, uint32_t unit)
{
    uint64_t most = SONA_SIDECAR_PART_BYTES / unit;

    return n - at < most ? n - at : most;
}

struct sona_store_record *sona_sidecar_parts_cut(enum sona_store_kind kind, const void *value,
                                                 uint64_t n, uint32_t unit, uint32_t *ret_count)
{
    uint64_t most = SONA_SIDECAR_PART_BYTES / unit, count = (n + most - 1) / most;
    struct sona_store_record *records =
        malloc(count * (sizeof *records + sizeof(struct head)) + n * unit);
    unsigned char *payload = records ? (unsigned char *)(records + count) : NULL;

    *ret_count = (uint32_t)count;
    for (uint64_t i = 0; records && i < count; i++) {
        const struct head head = {.n = n, .at = i * most};
        size_t bytes = (size_t)units_at(n, head.at, unit) * unit;

        memcpy(payload, &head, sizeof head);
        memcpy(payload + sizeof head, (const unsigned char *)value + head.at * unit, bytes);
        records[i] = (struct sona_store_record){
            .kind = kind, .payload = payload, .payload_bytes = (uint32_t)(sizeof head + bytes)};
        payload += sizeof head + bytes;
    }
    return records;
}

bool sona_sidecar_part_read(const struct sona_store_record *record, uint32_t unit,
                            struct sona_sidecar_part *ret)
{
    struct head head;

    if (record->payload_bytes < sizeof head)
        return false;
    memcpy(&head, record->payload, sizeof head);
    if (head.at >= head.n)
        return false;
    *ret = (struct sona_sidecar_part){
        .n = head.n,
        .at = head.at,
        .count = units_at(head.n, head.at, unit),
        .value = (const unsigned char *)record->payload + sizeof head,
        .unit = unit,
    };
    return record->payload_bytes == sizeof head + ret->count * unit;
}

bool sona_sidecar_part_join(const struct sona_sidecar_part *part, void *value, uint64_t *done)
{
    if (part->at == 0)
        *done = 0;
    if (part->at != *done)
        return false;
    memcpy((unsigned char *)value + part->at * part->unit, part->value, part->count * part->unit);
    *done += part->count;
    return *done == part->n;
}
