/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The record: what a client puts into its lane, one per event. Fixed stride, from the geometry:
 * 64 bytes of header, `dim` floats, `attention_dim` floats, rounded up to 64 bytes.
 *
 * Everything in it is untrusted: the drain copies it once and judges the copy.
 */
#ifndef SONA_SHM_RECORD_H
#define SONA_SHM_RECORD_H

#include <assert.h>
#include <stdint.h>

#include <sona/model.h>

#define SONA_RECORD_MAGIC   0x52434453u /* "SDCR" */
#define SONA_RECORD_VERSION 1u

enum sona_record_kind {
    SONA_RECORD_DECIDE = 1,  /* floats: prepared embedding; route, propensity (value), expected
                                quality (score), sona_why (flags), tenant (node) */
    SONA_RECORD_OUTCOME = 2, /* id of a decision anywhere; quality (value), latency_us, tokens */
    SONA_RECORD_BEGIN = 3,   /* floats: prepared embedding; id is the record's own; tenant (node) */
    SONA_RECORD_STEP = 4,  /* floats: activations, attention; reward (value), score, node, layer */
    SONA_RECORD_ROUTE = 5, /* route of a trajectory */
    SONA_RECORD_CONTEXT = 6,     /* floats area: NUL-terminated text, SONA_RECORD_TEXT bytes */
    SONA_RECORD_END = 7,         /* quality (value) of a trajectory */
    SONA_RECORD_PATTERN_HIT = 8, /* id = pattern, node = its row */
    SONA_RECORD_REVOKE = 9,      /* id of a decision or trajectory anywhere */
    SONA_RECORD_SIGNAL = 10      /* quality (value); floats: prepared direction, or none; id of what
                                    it is about, or 0; sona_signal_kind (flags) */
};

/* flags of a STEP: its reward is known. */
#define SONA_RECORD_REWARDED 1u
/* Bytes of a CONTEXT's text, NUL included: the smallest stride leaves as much behind the header. */
#define SONA_RECORD_TEXT 64u

struct sona_record {
    uint32_t magic;
    uint8_t version;
    uint8_t kind; /* enum sona_record_kind */
    uint16_t flags;
    uint64_t lane_seq; /* counts from 0; its low 32 bits are the ring position */
    uint64_t id;       /* decision or trajectory */
    uint64_t snapshot; /* cur word that answered, 0 = none */
    sona_route route;
    float value; /* propensity, quality or reward */
    float score;
    uint32_t latency_us;
    uint32_t node;        /* node id, tenant or pattern row; tokens_in of an outcome */
    uint16_t n_floats;    /* activations in use (STEP) */
    uint16_t n_attention; /* attention weights in use (STEP) */
    uint16_t layer;
    uint16_t unrecorded; /* DECIDE: that of the model that decided (record_share); else 0 */
    uint32_t reserved1;  /* tokens_out of an outcome */
};
static_assert(sizeof(struct sona_record) == 64, "record header");

/* Floats of a record begin behind its header. */
static inline float *sona_record_floats(void *record)
{
    return (float *)((char *)record + sizeof(struct sona_record));
}

static inline uint32_t sona_record_stride(const sona_geometry *g)
{
    uint32_t bytes = (uint32_t)sizeof(struct sona_record) + 4 * (g->dim + g->attention_dim);

    return (bytes + 63) / 64 * 64;
}

/* Ids: tag:16 | lane:8 | lane_seq:40. The tag is drawn by the sidecar for each attachment, never 0
 * and never that of another attachment it remembers. */
#define SONA_ID_SEQ_BITS 40
#define SONA_ID(tag, lane, seq) \
    ((uint64_t)(tag) << 48 | (uint64_t)(lane) << 40 | ((uint64_t)(seq)&0xffffffffffull))
#define SONA_ID_TAG(id)  ((uint32_t)((uint64_t)(id) >> 48))
#define SONA_ID_LANE(id) ((uint32_t)((uint64_t)(id) >> 40 & 0xff))
#define SONA_ID_SEQ(id)  ((uint64_t)(id)&0xffffffffffull)

#endif
