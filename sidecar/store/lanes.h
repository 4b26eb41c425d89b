/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The cursors of lanes in memory: a hash table of fixed size, open addressing, no tombstones. It
 * runs ahead of the table in the journal by what the intake log holds. Under the store's lock.
 */
#ifndef SONA_SIDECAR_STORE_LANES_H
#define SONA_SIDECAR_STORE_LANES_H

#include "sidecar/store/store.h"

#define SONA_STORE_LANE_SLOTS (2 * SONA_STORE_LANES_MAX) /* a power of two */

struct sona_store_cursor {
    struct sona_store_lane lane; /* all zero: free */
    uint64_t next;
    uint32_t uid, reserved;
};

struct sona_store_lanes {
    struct sona_store_cursor *slot; /* SONA_STORE_LANE_SLOTS */
    uint32_t count;
};

static inline bool sona_store_lane_is(struct sona_store_lane lane)
{
    return (lane.word[0] | lane.word[1]) != 0;
}

sona_err sona_store_lanes_init(struct sona_store_lanes *lanes);
void sona_store_lanes_done(struct sona_store_lanes *lanes);
/* The cursor of a lane; null: it has none. */
struct sona_store_cursor *sona_store_lanes_find(const struct sona_store_lanes *lanes,
                                                struct sona_store_lane lane);
/* Its cursor is at least `next`. A new lane needs room (count < SONA_STORE_LANES_MAX). */
void sona_store_lanes_advance(struct sona_store_lanes *lanes, struct sona_store_lane lane,
                              uint32_t uid, uint64_t next);
void sona_store_lanes_remove(struct sona_store_lanes *lanes, struct sona_store_lane lane);

#endif
