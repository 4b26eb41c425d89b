/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* A client process, and what it wrote down: a word is a decision and what was told of it. */
#ifndef SONA_TESTS_SIM_CLIENT_H
#define SONA_TESTS_SIM_CLIENT_H

#include <sona/client.h>

#include "tests/sim/world.h"

#define SIM_DIM         16u
#define SIM_CLIENTS_MAX 16u /* in all lives together */
#define SIM_LANES       2u
#define SIM_WORDS       96u /* of a client, at most */

struct sim_word {
    uint64_t id;
    float quality;
    bool told;
    uint32_t lane, order;    /* number + 1 of the lane that told it (0: none yet), and when */
    uint64_t learned_ns;     /* by a sidecar, first; 0: by none */
    bool must;               /* was safe when the power failed */
    bool corrected, revoked; /* told again, otherwise; taken back */
    float correction;
    /* The journal's. */
    uint32_t heard, heard_corrections, heard_revocations;
    float heard_quality;
    uint64_t position;
};

struct sim_client {
    uint32_t process, number, n_lanes;
    uint32_t words_wanted; /* of each lane */
    bool full_fence;
    sona_client *client;
    sona_lane *lane[SIM_LANES];
    uint32_t lane_of[SIM_LANES]; /* its number in ids, plus 1; 0: it has not decided yet */
    uint32_t lanes_done;
    bool finish;      /* nothing more happens to it: end when all is attached again */
    bool closed;      /* it ended by itself */
    bool may_lose;    /* of what it committed nobody can say whether it was drained */
    uint64_t dropped; /* by its own count, with a sidecar that was stopped */
    uint32_t tag;     /* of its lane memory; 0: none that it knows of */
    uint64_t committed, told[SIM_LANES], version[SIM_LANES];
    uint32_t n_words;
    struct sim_word word[SIM_WORDS];
};

extern struct sim_client sim_clients[SIM_CLIENTS_MAX];
extern uint32_t sim_n_clients;

/* Begin one, of so many lanes and words. */
struct sim_client *sim_client_begin(uint32_t n_lanes, uint32_t words);
/* The word with this id; null: nobody said it. */
struct sim_word *sim_word_of(uint64_t id, struct sim_client **ret_client);
struct sim_client *sim_client_of_tag(uint32_t tag);

#endif
