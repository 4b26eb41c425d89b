/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Every byte that two processes share: the wall between sidecar and router.
 *
 *   model segment  POSIX shm "/sona.<instance>.model", 0600, written by the sidecar only
 *     page 0   identity and geometry, immutable once state is READY
 *     page 1   cur, incarnation, state, heartbeat
 *     page 2   counters and the log of distinct errors, readable without asking the sidecar
 *     then     K_hot hot slots, K_cold cold slots: one cache-line pair of header, then opaque bytes
 *
 *   lane memfd     one per attachment, sealed SHRINK|GROW|SEAL, written by one client process
 *     page 0   descriptor for humans
 *     then     one area per lane: [128] hazard, [128] counters, [128] control, [256] ring, records
 *
 * Shared memory is input: sizes and offsets are computed from a private copy of the geometry
 * (sona_shm_plan), never read in place. Words written by different sides are 128 bytes apart (the
 * adjacent-line prefetcher pairs lines). All words little-endian; other machines are refused.
 */
#ifndef SONA_SHM_LAYOUT_H
#define SONA_SHM_LAYOUT_H

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <sona/error.h>
#include <sona/model.h>
#include <sona/version.h>

#define SONA_SHM_MAGIC          0x31474553414e4f53ull /* "SONASEG1" */
#define SONA_SHM_LANES_MAGIC    0x31454e4c414e4f53ull /* "SONALNE1" */
#define SONA_SHM_LANES_NAME     "sona-lanes" /* of a lane memfd, for those who look for it */
#define SONA_SHM_PAGE           4096u
#define SONA_SHM_SPACING        128u
#define SONA_SHM_HOT_MAX        16u
#define SONA_SHM_COLD_MAX       8u
#define SONA_SHM_HOT_SLOTS      8u
#define SONA_SHM_COLD_SLOTS     3u
#define SONA_SHM_RING_SLOTS     1024u /* capacity is one less */
#define SONA_SHM_RING_SLOTS_MAX (1u << 20)
#define SONA_SHM_STRIDE_MAX     65536u /* bytes of a record */
#define SONA_SHM_ENDIANNESS     0x01020304u
#define SONA_SHM_CLIENTS_MAX    256u  /* attachments at one time */
#define SONA_SHM_LEASE_MS       1000u /* a slot pinned longer may be revoked */
#define SONA_SHM_GRACE_MS       500u  /* after a restart lanes may be handed back for so long */

/* cur and hazard: g:48 | cold:8 | hot:8; 0 = none. g grows for ever, over restarts too. */
#define SONA_SHM_ID(g, cold, hot) ((uint64_t)(g) << 16 | (uint64_t)(cold) << 8 | (uint64_t)(hot))
#define SONA_SHM_ID_HOT(id)       ((uint32_t)((id)&0xff))
#define SONA_SHM_ID_COLD(id)      ((uint32_t)((id) >> 8 & 0xff))
#define SONA_SHM_ID_G(id)         ((uint64_t)(id) >> 16)
/* A cold slot's id: g of its first publication << 8 | its index. */
#define SONA_SHM_COLD_ID(g, cold) ((uint64_t)(g) << 8 | (uint64_t)(cold))

enum sona_shm_state {
    SONA_SHM_INIT = 0,     /* being written; not attachable */
    SONA_SHM_LIVE = 1,     /*   INIT -> LIVE -> DRAINING -> RETIRED; killed, then adopted: LIVE */
    SONA_SHM_DRAINING = 2, /* the sidecar is stopping: it drains what is committed */
    SONA_SHM_RETIRED = 3   /* another segment follows; keep reading, attach anew */
};

enum sona_shm_fence {
    SONA_SHM_FENCE_FULL = 1, /* bit mask of what the sidecar supports */
    SONA_SHM_FENCE_ASYM = 2
};

/* Page 0. Read once, at attach, copied and checked (crc over all before `crc`). */
struct sona_shm_header {
    uint64_t magic;
    uint16_t abi_major, abi_minor;
    uint32_t header_bytes; /* sizeof(struct sona_shm_header) */
    uint64_t layout_hash;  /* of this file's offsets: sona_shm_layout_hash() */
    uint32_t endianness;   /* SONA_SHM_ENDIANNESS as the writer stores it */
    uint32_t fence_modes;  /* enum sona_shm_fence */
    uint64_t total_bytes;
    uint8_t uuid[16];    /* of the segment */
    uint64_t generation; /* of the segment: grows when the geometry or the file changes */
    sona_geometry geometry;
    uint32_t hot_slots, cold_slots;
    uint64_t hot_bytes, cold_bytes; /* of a model half */
    uint32_t ring_slots, record_stride;
    uint32_t reserved[8];
    uint32_t crc; /* crc32c of everything above */
};
static_assert(sizeof(struct sona_shm_header) <= SONA_SHM_PAGE, "page 0");

/* Page 1. Each word on its own pair of lines. */
struct sona_shm_live {
    _Atomic uint64_t cur; /* id of the current pair; written by the publisher */
    uint8_t pad0[SONA_SHM_SPACING - 8];
    _Atomic uint64_t incarnation; /* of the sidecar process: grows at every start */
    _Atomic uint32_t state;       /* enum sona_shm_state */
    uint32_t pad1;
    _Atomic uint64_t heartbeat; /* counts up while the sidecar lives */
    uint8_t pad2[SONA_SHM_SPACING - 24];
};
static_assert(sizeof(struct sona_shm_live) == 2 * SONA_SHM_SPACING, "page 1");

/* Page 2: counters by SONA_COUNTERS order, gauges behind. */
#define SONA_SHM_COUNTERS_MAX 256u
#define SONA_SHM_ERRORS_MAX   16u
struct sona_shm_counters {
    _Atomic uint64_t counter[SONA_SHM_COUNTERS_MAX];
    struct {
        _Atomic uint64_t count; /* how often this error was seen; 0 = free */
        char text[112];
    } error[SONA_SHM_ERRORS_MAX];
};
static_assert(sizeof(struct sona_shm_counters) <= SONA_SHM_PAGE, "page 2");

/* Head of a hot slot; the model's bytes follow at SONA_SHM_SPACING. */
struct sona_shm_hot {
    _Atomic uint64_t seq;     /* its cur word while bound, 0 while written */
    _Atomic uint64_t cold_id; /* the cold half it belongs to */
    uint8_t pad[SONA_SHM_SPACING - 16];
};
/* Head of a cold slot. */
struct sona_shm_cold {
    _Atomic uint64_t seq; /* cold id while bound, 0 while written */
    uint8_t pad[SONA_SHM_SPACING - 8];
};
static_assert(sizeof(struct sona_shm_hot) == SONA_SHM_SPACING, "hot head");
static_assert(sizeof(struct sona_shm_cold) == SONA_SHM_SPACING, "cold head");

/* What a client counts itself; hints for people, nothing depends on them. Single writer. */
struct sona_shm_lane_counters {
    _Atomic uint64_t dropped_full; /* events this lane dropped: ring full */
    _Atomic uint64_t refused;      /* calls refused for their arguments */
    _Atomic uint64_t committed;    /* records committed: 64-bit sequence of the next one */
    uint8_t pad[SONA_SHM_SPACING - 24];
};

/* Written by the sidecar, read by the client now and then. */
struct sona_shm_lane_control {
    _Atomic uint32_t closed; /* 1: quarantined or detached; nothing is drained any more */
    uint8_t pad[SONA_SHM_SPACING - 4];
};

/* One lane, before its records. */
struct sona_shm_lane {
    _Atomic uint64_t hazard; /* the id this lane's reader is using, 0 = none; client */
    uint8_t pad0[SONA_SHM_SPACING - 8];
    struct sona_shm_lane_counters counters; /* client */
    struct sona_shm_lane_control control;   /* sidecar */
    uint8_t ring[256]; /* ck_ring_t: c_head is the sidecar's, p_tail/p_head the client's */
};
static_assert(sizeof(struct sona_shm_lane) == 3 * SONA_SHM_SPACING + 256, "lane head");

#define SONA_SHM_IDENTITY_BYTES 16u

/* Page 0 of the lane memfd: for people, but for the identity, under which the sidecar that issued
 * the memory remembers it. Written by the client, too, if it likes: a key to look up, no more. */
struct sona_shm_lanes_header {
    uint64_t magic;
    uint32_t n_lanes, ring_slots, record_stride, pid;
    uint64_t tag;
    uint8_t segment_uuid[16];
    uint8_t identity[SONA_SHM_IDENTITY_BYTES]; /* random */
};

/* Sizes and offsets, computed from private numbers. */
struct sona_shm_plan {
    uint32_t hot_slots, cold_slots, ring_slots, record_stride, n_lanes;
    uint64_t hot_bytes, cold_bytes;  /* of a model half */
    uint64_t hot_offset, hot_stride; /* slot i's head at hot_offset + i * hot_stride */
    uint64_t cold_offset, cold_stride;
    uint64_t model_bytes;              /* of the model segment */
    uint64_t lane_offset, lane_stride; /* lane i at lane_offset + i * lane_stride */
    uint64_t records_offset;           /* of a lane's records, within the lane */
    uint64_t lanes_bytes;              /* of the lane memfd */
};

/* Fill the plan from its inputs (slots, sizes, lanes are set by the caller). SONA_E_RANGE when a
 * number is out of its limits or a product overflows. */
sona_err sona_shm_plan_init(struct sona_shm_plan *plan);
uint64_t sona_shm_layout_hash(void);
uint32_t sona_shm_crc32c(const void *bytes, size_t n);

/* Judge a private copy of page 0: magic, ABI, layout, checksum, record stride. SONA_E_ABI,
 * SONA_E_GEOMETRY. The sizes of the model halves are the caller's to compare with its own layout.
 */
sona_err sona_shm_header_check(const struct sona_shm_header *header, sona_diag *reterr);
/* The plan of a checked header. SONA_E_RANGE. */
sona_err sona_shm_header_plan(const struct sona_shm_header *header, uint32_t n_lanes,
                              struct sona_shm_plan *ret);

#endif
