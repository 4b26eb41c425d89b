/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See lanes.h. */
#include "sidecar/store/lanes.h"

#include <stdlib.h>

#define MASK (SONA_STORE_LANE_SLOTS - 1)

sona_err sona_store_lanes_init(struct sona_store_lanes *lanes)
{
    lanes->count = 0;
    lanes->slot = calloc(SONA_STORE_LANE_SLOTS, sizeof *lanes->slot);
    return lanes->slot ? SONA_OK : SONA_E_MEMORY;
}

void sona_store_lanes_done(struct sona_store_lanes *lanes)
{
    free(lanes->slot);
    lanes->slot = NULL;
}

/* Identities are random, but an odd one costs only time. */
static uint32_t home_of(struct sona_store_lane lane)
{
    uint64_t h = (lane.word[0] ^ (lane.word[1] << 31 | lane.word[1] >> 33)) * 0x9e3779b97f4a7c15ull;

    return (uint32_t)(h >> 40) & MASK;
}

/* Where the lane is, or would be. There is always a free slot: at most half are taken. */
static uint32_t place_of(const struct sona_store_lanes *lanes, struct sona_store_lane lane)
{
    uint32_t i = home_of(lane);

    while (sona_store_lane_is(lanes->slot[i].lane) &&
           (lanes->slot[i].lane.word[0] != lane.word[0] ||
            lanes->slot[i].lane.word[1] != lane.word[1]))
        i = (i + 1) & MASK;
    return i;
}

struct sona_store_cursor *sona_store_lanes_find(const struct sona_store_lanes *lanes,
                                                struct sona_store_lane lane)
{
    struct sona_store_cursor *cursor = &lanes->slot[place_of(lanes, lane)];

    return sona_store_lane_is(cursor->lane) ? cursor : NULL;
}

void sona_store_lanes_advance(struct sona_store_lanes *lanes, struct sona_store_lane lane,
                              uint32_t uid, uint64_t next)
{
    struct sona_store_cursor *cursor = &lanes->slot[place_of(lanes, lane)];

    if (!sona_store_lane_is(cursor->lane)) {
        *cursor = (struct sona_store_cursor){.lane = lane};
        lanes->count++;
    }
    cursor->uid = uid;
    if (cursor->next < next)
        cursor->next = next;
}

void sona_store_lanes_remove(struct sona_store_lanes *lanes, struct sona_store_lane lane)
{
    uint32_t hole = place_of(lanes, lane);

    if (!sona_store_lane_is(lanes->slot[hole].lane))
        return;
    lanes->count--;
    /* Move back whoever would not be found across the hole. */
    for (uint32_t i = (hole + 1) & MASK; sona_store_lane_is(lanes->slot[i].lane);
         i = (i + 1) & MASK) {
        uint32_t home = home_of(lanes->slot[i].lane);

        if (((i - home) & MASK) >= ((i - hole) & MASK)) {
            lanes->slot[hole] = lanes->slot[i];
            hole = i;
        }
    }
    lanes->slot[hole] = (struct sona_store_cursor){0};
}
