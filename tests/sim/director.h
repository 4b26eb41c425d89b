/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The story of a seed, as client and oracle know it. */
#ifndef SONA_TESTS_SIM_DIRECTOR_H
#define SONA_TESTS_SIM_DIRECTOR_H

#include <stddef.h>

#include "sidecar/sidecar.h"
#include "tests/sim/client.h"
#include "tests/sim/world.h"

#define SIM_POINT_PINNED SONA_FAULT_COUNT /* behind the sidecar's: a client holds a snapshot */
#define SIM_POINTS       (SONA_FAULT_COUNT + 1)
#define SIM_LEASE_MS     5u
#define SIM_WINDOW_NS    1000000000ull /* what durability: interval may lose */

/* Deaths and the like, in the order in which the report has them. */
#define SIM_TURNS(X) \
    X(sidecar_point) \
    X(sidecar_step)  \
    X(client_point)  \
    X(client_step)   \
    X(power_write)   \
    X(power_step)    \
    X(stop)          \
    X(sidecar_pause) \
    X(client_pause)  \
    X(disk_error)

enum sim_turn {
#define SIM_TURN(name) SIM_TURN_##name,
    SIM_TURNS(SIM_TURN)
#undef SIM_TURN
        SIM_TURN_COUNT
};

/* The sidecar of now. */
struct sim_life {
    uint32_t process; /* 0: none was started */
    bool serves, ended;
    struct sona_sidecar sidecar;
    struct sona_sidecar_options options;
    struct sona_sidecar_orders *orders;
    uint64_t taken, learned, thinned, dropped; /* at its clean end */
};
extern struct sim_life sim_life;

extern uint32_t sim_durability;              /* enum sona_store_durability */
extern size_t sim_hot_bytes, sim_cold_bytes; /* of a model half; 0: not known yet */
extern uint64_t sim_turns[SIM_TURN_COUNT], sim_passed[SIM_POINTS];
extern bool sim_was_cut;
extern uint64_t sim_rows, sim_outcomes, sim_lost; /* of the journal; told, and rightly not there */

/* The sidecar of now drains this lane memory; it has, and gave it back. */
void sim_lanes_taken(uint32_t tag);
void sim_lanes_given_back(uint32_t tag);
/* The arguments of every sidecar, null-terminated. */
const char *const *sim_arguments(void);
void sim_forget_last(void);
/* Hold what was said against what is there. No sidecar lives. */
void sim_judge(void);

#endif
