/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The lane target, for the two programs that feed it. */
#ifndef SONA_TESTS_FUZZ_LANE_H
#define SONA_TESTS_FUZZ_LANE_H

#include "shm/record.h"
#include "tests/fuzz/targets/fuzz.h"

#define FUZZ_LANE_DIM       20u
#define FUZZ_LANE_ATTENTION 4u
#define FUZZ_LANE_SLOTS     8u
#define FUZZ_LANE_STRIDE    192u

/* How an input begins; the image of the lane follows. */
struct fuzz_lane_head {
    uint64_t cursor;  /* where the sidecar believes to be */
    uint8_t resume;   /* the lane is handed back */
    uint8_t mend;     /* bits: what of the image is put right, to get deeper (lane.c) */
    uint8_t tail;     /* so many records are committed, when that is mended */
    uint8_t later_ms; /* per record */
    uint8_t pad[4];
};

/* Images that one join takes before it is begun anew. 1: what an input does depends on it alone. */
extern uint32_t fuzz_lane_images_of_a_join;
/* Records that were accepted so far. */
extern uint64_t fuzz_lane_accepted;

#endif
