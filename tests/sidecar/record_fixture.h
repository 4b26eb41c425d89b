/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* A small instance's rules, and records that are right until a test spoils them. */
#ifndef SONA_TESTS_SIDECAR_RECORD_FIXTURE_H
#define SONA_TESTS_SIDECAR_RECORD_FIXTURE_H

#include <math.h>
#include <stdalign.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "sidecar/judge.h"

#define DIM       20u /* not a multiple of the padding */
#define ATTENTION 4u
#define TAG       7u
#define LANE      2u

struct room {
    alignas(64) struct sona_record record;
    float floats[64];
};

static inline void rules_init(struct sona_sidecar_rules *rules)
{
    memset(rules, 0, sizeof *rules);
    rules->geometry = (sona_geometry){.dim = DIM,
                                      .routes_max = 4,
                                      .micro_rank = 2,
                                      .base_rank = 4,
                                      .layers = 3,
                                      .patterns_max = 8,
                                      .attention_dim = ATTENTION,
                                      .flags = SONA_GEOMETRY_NORMALIZE};
    rules->dim_padded = 32;
    rules->n_routes = 3;
    rules->route[0] = (struct sona_sidecar_route){.id = 0, .state = SONA_ROUTE_ENABLED};
    rules->route[1] =
        (struct sona_sidecar_route){.id = SONA_ROUTE_ID(1, 2), .state = SONA_ROUTE_ENABLED};
    rules->route[2] = (struct sona_sidecar_route){.id = 2, .state = SONA_ROUTE_RETIRED};
}

/* A right record of `kind` at `seq`. */
static inline struct sona_record *record_init(struct room *room, int kind, uint64_t seq)
{
    memset(room, 0, sizeof *room);
    room->record = (struct sona_record){
        .magic = SONA_RECORD_MAGIC,
        .version = SONA_RECORD_VERSION,
        .kind = (uint8_t)kind,
        .lane_seq = seq,
        .id = SONA_ID(TAG, LANE, seq),
        .route = 0,
        .value = 0.5f,
    };
    room->floats[seq % DIM] = 1;
    return &room->record;
}

#endif
