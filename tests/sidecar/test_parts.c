/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "sidecar/parts.h"

#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#define MOST 100000u /* bytes */

static unsigned char value[MOST], got[MOST];

TestSuite(parts);

/* Cut `n` units and join them; whole with the last one and not before. */
static void go_round(uint64_t n, uint32_t unit)
{
    uint32_t count;
    uint64_t done = 0;
    struct sona_store_record *records =
        sona_sidecar_parts_cut(SONA_STORE_patterns, value, n, unit, &count);

    cr_assert(ne(ptr, records, NULL));
    cr_assert(eq(u64, count, (n * unit + SONA_SIDECAR_PART_BYTES - 1) / SONA_SIDECAR_PART_BYTES));
    memset(got, 0, sizeof got);
    for (uint32_t i = 0; i < count; i++) {
        struct sona_sidecar_part part;

        cr_assert(eq(int, records[i].kind, SONA_STORE_patterns));
        cr_assert(le(u32, records[i].payload_bytes, SONA_STORE_PAYLOAD_MAX));
        cr_assert(sona_sidecar_part_read(&records[i], unit, &part));
        cr_assert(eq(u64, part.n, n));
        cr_assert(eq(int, sona_sidecar_part_join(&part, got, &done), i == count - 1));
    }
    cr_assert(eq(int, memcmp(got, value, n * unit), 0));
    free(records);
}

Test(parts, joined_they_are_what_was_cut)
{
    const uint32_t edge = SONA_SIDECAR_PART_BYTES;
    const uint64_t bytes[] = {1, edge - 1, edge, edge + 1, 2 * edge, 3 * edge - 1, MOST};

    for (uint32_t i = 0; i < MOST; i++)
        value[i] = (unsigned char)(i * 31 + i / 251);
    for (size_t k = 0; k < sizeof bytes / sizeof *bytes; k++) {
        go_round(bytes[k], 1);
        go_round((bytes[k] + 3) / 4 * 4 <= MOST ? (bytes[k] + 3) / 4 : bytes[k] / 4, 4);
    }
}

Test(parts, those_that_ended_early_are_passed_over_and_the_first_begins_anew)
{
    uint32_t count;
    uint64_t done = 7;
    struct sona_sidecar_part part[3];
    struct sona_store_record *records =
        sona_sidecar_parts_cut(SONA_STORE_adapters, value, 3 * SONA_SIDECAR_PART_BYTES, 1, &count);

    cr_assert(ne(ptr, records, NULL));
    cr_assert(eq(u32, count, 3));
    for (int i = 0; i < 3; i++)
        cr_assert(sona_sidecar_part_read(&records[i], 1, &part[i]));
    cr_assert(not(sona_sidecar_part_join(&part[0], got, &done)));
    cr_assert(not(sona_sidecar_part_join(&part[1], got, &done)));
    cr_assert(not(sona_sidecar_part_join(&part[0], got, &done)), "the power failed in between");
    cr_assert(not(sona_sidecar_part_join(&part[2], got, &done)), "the second is missing");
    cr_assert(not(sona_sidecar_part_join(&part[1], got, &done)));
    cr_assert(sona_sidecar_part_join(&part[2], got, &done));
    free(records);
}

Test(parts, a_payload_of_another_length_or_place_is_none)
{
    uint32_t count;
    struct sona_sidecar_part part;
    struct sona_store_record *records =
        sona_sidecar_parts_cut(SONA_STORE_adapters, value, 10, 4, &count);
    unsigned char payload[64];
    const uint64_t behind = 10;

    cr_assert(ne(ptr, records, NULL));
    cr_assert(eq(u32, records[0].payload_bytes, 56));
    for (uint32_t bytes = 0; bytes < 56; bytes++) {
        struct sona_store_record cut = records[0];

        cut.payload_bytes = bytes;
        cr_assert(not(sona_sidecar_part_read(&cut, 4, &part)));
    }
    memcpy(payload, records[0].payload, 56);
    memcpy(payload + sizeof behind, &behind, sizeof behind);
    records[0].payload = payload;
    cr_assert(not(sona_sidecar_part_read(&records[0], 4, &part)), "behind the last unit");
    free(records);
}
