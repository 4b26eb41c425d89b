/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A client process that writes down itself what it committed, record by record, in memory that all
 * processes share: what the sidecars' journal is compared with after they were killed.
 *
 * Each lane's thread decides, and tells outcomes at once or much later, from either lane; it says
 * something else, revokes, gives directions, and runs trajectories with steps. A word is written
 * down when the call returned SONA_OK, and nothing else ever is.
 */
#ifndef SONA_TESTS_SYSTEM_WITNESS_H
#define SONA_TESTS_SYSTEM_WITNESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <sona/client.h>

#include "tools/spawn.h"

#define WITNESS_DIM   16u
#define WITNESS_LANES 2u         /* of a client, each with a thread */
#define WITNESS_SEQS  (1u << 22) /* records of a lane that are written down */

/* What was said of a decision or trajectory. */
enum {
    WITNESS_BEGAN = 1,
    WITNESS_TOLD = 2,
    WITNESS_REPLACED = 4,
    WITNESS_REVOKED = 8,
    WITNESS_DIRECTED = 16,
    WITNESS_STEPPED = 32
};

struct witness_word {
    float told, replaced; /* qualities */
    uint8_t said;
    /* The reader's: how often the journal has it, and with which qualities. */
    uint8_t queries, outcomes, replacements, revocations, directions, steps;
    float heard, corrected;
};

struct witness_lane {
    _Atomic uint64_t calls;
    _Atomic uint64_t committed; /* records */
    uint64_t tag, lane, version;
    uint64_t baselines; /* rewards about nothing */
    uint64_t backwards, without_model, wrong, full;
    struct witness_word word[WITNESS_SEQS]; /* by the number of the record that began it */
};

struct witness {
    _Atomic bool *stop;
    uint64_t seed;
    sona_client_stats stats;
    struct witness_lane lane[WITNESS_LANES];
};

/* The process's life, until *stop; never returns. What was not told yet is told at the end. */
_Noreturn void witness_run(struct witness *witness, const struct sona_spawn *sidecar);

#endif
