/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Sizes and offsets of everything shared, from private numbers, with every product checked; and the
 * two fingerprints by which strangers are told apart before a byte is interpreted: the layout hash
 * (do both sides mean the same structs?) and the checksum of page 0 (did it arrive whole?).
 */
#include "shm/layout.h"

#include <stdbool.h>
#include <string.h>

#include <sona/client.h>

#include "shm/diag.h"
#include "shm/record.h"

/* *value rounded up to a multiple of `to`; false on overflow. */
static bool round_up(uint64_t *value, uint64_t to)
{
    uint64_t sum;

    if (__builtin_add_overflow(*value, to - 1, &sum))
        return false;
    *value = sum / to * to;
    return true;
}

/* *ret = offset + count * stride, rounded up to whole pages; false on overflow. */
static bool area_end(uint64_t *ret, uint64_t offset, uint64_t count, uint64_t stride)
{
    return !__builtin_mul_overflow(count, stride, ret) &&
           !__builtin_add_overflow(*ret, offset, ret) && round_up(ret, SONA_SHM_PAGE);
}

static bool inputs_ok(const struct sona_shm_plan *plan)
{
    return plan->hot_slots >= 2 && plan->hot_slots <= SONA_SHM_HOT_MAX && plan->cold_slots >= 2 &&
           plan->cold_slots <= SONA_SHM_COLD_MAX && plan->ring_slots >= 2 &&
           plan->ring_slots <= SONA_SHM_RING_SLOTS_MAX &&
           (plan->ring_slots & (plan->ring_slots - 1)) == 0 &&
           plan->record_stride >= sizeof(struct sona_record) && plan->record_stride % 64 == 0 &&
           plan->record_stride <= SONA_SHM_STRIDE_MAX && plan->n_lanes <= SONA_LANES_MAX &&
           plan->hot_bytes > 0 && plan->cold_bytes > 0;
}

sona_err sona_shm_plan_init(struct sona_shm_plan *plan)
{
    if (!inputs_ok(plan))
        return SONA_E_RANGE;

    struct sona_shm_plan p = *plan;
    if (__builtin_add_overflow(p.hot_bytes, sizeof(struct sona_shm_hot), &p.hot_stride) ||
        __builtin_add_overflow(p.cold_bytes, sizeof(struct sona_shm_cold), &p.cold_stride) ||
        !round_up(&p.hot_stride, SONA_SHM_SPACING) || !round_up(&p.cold_stride, SONA_SHM_SPACING))
        return SONA_E_RANGE;
    p.hot_offset = 3 * SONA_SHM_PAGE;
    p.lane_offset = SONA_SHM_PAGE;
    p.records_offset = sizeof(struct sona_shm_lane);
    if (!area_end(&p.cold_offset, p.hot_offset, p.hot_slots, p.hot_stride) ||
        !area_end(&p.model_bytes, p.cold_offset, p.cold_slots, p.cold_stride) ||
        !area_end(&p.lane_stride, p.records_offset, p.ring_slots, p.record_stride) ||
        !area_end(&p.lanes_bytes, p.lane_offset, p.n_lanes, p.lane_stride))
        return SONA_E_RANGE;
    /* Both sizes are file sizes and map lengths: they must fit off_t and size_t. */
    if (p.model_bytes > (uint64_t)INT64_MAX || p.lanes_bytes > (uint64_t)INT64_MAX ||
        p.model_bytes > SIZE_MAX || p.lanes_bytes > SIZE_MAX)
        return SONA_E_RANGE;
    *plan = p;
    return SONA_OK;
}

uint64_t sona_shm_layout_hash(void)
{
    static const uint32_t facts[] = {
        SONA_SHM_PAGE,
        SONA_SHM_SPACING,
        sizeof(struct sona_shm_header),
        offsetof(struct sona_shm_header, uuid),
        offsetof(struct sona_shm_header, geometry),
        offsetof(struct sona_shm_header, hot_slots),
        offsetof(struct sona_shm_header, hot_bytes),
        offsetof(struct sona_shm_header, ring_slots),
        offsetof(struct sona_shm_header, crc),
        sizeof(sona_geometry),
        offsetof(struct sona_shm_live, cur),
        offsetof(struct sona_shm_live, incarnation),
        offsetof(struct sona_shm_live, state),
        offsetof(struct sona_shm_live, heartbeat),
        offsetof(struct sona_shm_hot, seq),
        offsetof(struct sona_shm_hot, cold_id),
        sizeof(struct sona_shm_hot),
        offsetof(struct sona_shm_cold, seq),
        sizeof(struct sona_shm_cold),
        offsetof(struct sona_shm_lane, hazard),
        offsetof(struct sona_shm_lane, counters),
        offsetof(struct sona_shm_lane, control),
        offsetof(struct sona_shm_lane, ring),
        sizeof(struct sona_shm_lane),
        sizeof(struct sona_record),
        offsetof(struct sona_record, lane_seq),
        offsetof(struct sona_record, id),
        offsetof(struct sona_record, snapshot),
        offsetof(struct sona_record, route),
        offsetof(struct sona_record, value),
        offsetof(struct sona_record, latency_us),
        offsetof(struct sona_record, n_floats),
        SONA_RECORD_VERSION,
    };
    uint64_t hash = 14695981039346656037u; /* FNV-1a */

    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++)
        for (unsigned shift = 0; shift < 32; shift += 8)
            hash = (hash ^ (facts[i] >> shift & 0xff)) * 1099511628211u;
    return hash;
}

/* Half a byte at a time: a small constant table, no initialisation, and fast enough for page 0. */
uint32_t sona_shm_crc32c(const void *bytes, size_t n)
{
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    const uint8_t *p = bytes;
    uint32_t crc = ~0u;

    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

/* Judge a private copy of page 0. The sizes of the model halves are the model room's business. */
sona_err sona_shm_header_check(const struct sona_shm_header *h, sona_diag *reterr)
{
    if (h->magic != SONA_SHM_MAGIC)
        return sona_shm_diag_set(
            reterr, SONA_E_GEOMETRY, 0,
            "the segment does not begin with SONA's magic; restart sona-sidecar");
    if (h->abi_major != SONA_ABI_MAJOR)
        return sona_shm_diag_set(reterr, SONA_E_ABI, 0,
                                 "the segment speaks ABI %u.%u, this library %u.%u; upgrade the "
                                 "older of the two",
                                 h->abi_major, h->abi_minor, SONA_ABI_MAJOR, SONA_ABI_MINOR);
    if (h->endianness != SONA_SHM_ENDIANNESS || h->header_bytes != sizeof *h ||
        h->layout_hash != sona_shm_layout_hash())
        return sona_shm_diag_set(reterr, SONA_E_ABI, 0,
                                 "client and sidecar were built with different shared layouts; "
                                 "install both from the same version");
    if (h->crc != sona_shm_crc32c(h, offsetof(struct sona_shm_header, crc)))
        return sona_shm_diag_set(reterr, SONA_E_GEOMETRY, 0,
                                 "the checksum of the segment's first page is wrong; restart "
                                 "sona-sidecar");
    const sona_geometry *g = &h->geometry;
    if (g->dim < SONA_DIM_MIN || g->dim > SONA_DIM_MAX || g->attention_dim > SONA_ATTENTION_MAX ||
        h->record_stride != sona_record_stride(g))
        return sona_shm_diag_set(reterr, SONA_E_GEOMETRY, 0,
                                 "the segment says dimension %u, attention %u, records of %u "
                                 "bytes, which do not fit together; restart sona-sidecar",
                                 g->dim, g->attention_dim, h->record_stride);
    return SONA_OK;
}

sona_err sona_shm_header_plan(const struct sona_shm_header *h, uint32_t n_lanes,
                              struct sona_shm_plan *ret)
{
    *ret = (struct sona_shm_plan){
        .hot_slots = h->hot_slots,
        .cold_slots = h->cold_slots,
        .ring_slots = h->ring_slots,
        .record_stride = h->record_stride,
        .n_lanes = n_lanes,
        .hot_bytes = h->hot_bytes,
        .cold_bytes = h->cold_bytes,
    };
    return sona_shm_plan_init(ret);
}
