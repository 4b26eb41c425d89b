/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The judgement on one record's private copy: everything in it is a stranger's claim. Pure.
 */
#ifndef SONA_SIDECAR_JUDGE_H
#define SONA_SIDECAR_JUDGE_H

#include <stdint.h>

#include <sona/model.h>
#include <sona/stats.h>

#include "shm/record.h"

/* Nothing is wrong with the record. */
#define SONA_SIDECAR_ACCEPTED (-1)

/* An embedding that claims unit length may be off by this much, squared. */
#define SONA_SIDECAR_NORM_SLACK 1e-3f

struct sona_sidecar_route {
    sona_route id;
    uint32_t state; /* sona_route_state */
};

/* What records are held against. */
struct sona_sidecar_rules {
    sona_geometry geometry;
    uint32_t dim_padded;
    uint32_t n_routes;
    struct sona_sidecar_route route[SONA_ROUTES_MAX]; /* the published table */
};

/* Where the record was taken from. */
struct sona_sidecar_origin {
    uint32_t tag, lane;
    uint64_t seq; /* the cursor: what its lane_seq must be */
};

/* What can be said of a record without rules: it is one, it was written for this place, and a new
 * id is its own. SONA_SIDECAR_ACCEPTED, or the counter it is dropped under. */
int sona_sidecar_judge_head(const struct sona_sidecar_origin *origin,
                            const struct sona_record *record);
/* The counter under which the record is dropped, or SONA_SIDECAR_ACCEPTED. `record` is followed by
 * its floats and room up to dim_padded; the pad of an embedding is cleared. */
int sona_sidecar_judge(const struct sona_sidecar_rules *rules,
                       const struct sona_sidecar_origin *origin, struct sona_record *record);

#endif
