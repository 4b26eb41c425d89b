/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The learning curve while it grows: redrawn in place on a terminal, a plain line now and then
 * elsewhere, nothing at all when only the numbers are wanted.
 */
#ifndef SONA_TOOLS_DEMO_LIVE_H
#define SONA_TOOLS_DEMO_LIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/demo/curve.h"
#include "tools/replay/run.h"
#include "tools/terminal.h"

struct sona_demo_live {
    struct sona_tools_terminal terminal; /* on stdout */
    struct sona_demo_curve curve;
    bool silent;
    const char *what;    /* the curve's heading, such as "routed right" */
    uint32_t lines;      /* drawn last time, to draw over */
    uint32_t next_plain; /* feedback at which the next plain line is due */
    uint64_t drawn_ns, start_ns;
};

/* False when there is no memory. */
bool sona_demo_live_init(struct sona_demo_live *ret, uint32_t length, const char *what,
                         const struct sona_demo_level *levels, uint32_t n_levels, bool silent);
void sona_demo_live_done(struct sona_demo_live *live);

/* For sona_replay_setup.on_step; arg: the struct. */
void sona_demo_live_step(void *arg, const struct sona_replay_step *step);
/* Draw the last state, and leave the cursor below it. */
void sona_demo_live_finish(struct sona_demo_live *live);

#endif
