/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The command line of sona-replay.
 */
#ifndef SONA_TOOLS_REPLAY_OPTIONS_H
#define SONA_TOOLS_REPLAY_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <sona/error.h>

#include "tools/replay/run.h"

#define SONA_REPLAY_SEEDS_MAX 1000u

struct sona_replay_options {
    const char *data; /* path, points into argv */
    uint32_t seeds;
    bool json;
    bool help, version;
    struct sona_replay_setup setup; /* but for the set, the display, and the seed after the first */
};

/* Parse. SONA_E_ARGUMENT, SONA_E_CONFIG: one sentence what and how to mend it. */
sona_err sona_replay_options_parse(struct sona_replay_options *ret, int argc, char **argv,
                                   sona_diag *reterr);
/* The whole help, to stdout. */
void sona_replay_options_help(void);

/* A whole number in [low, high] from text; false for anything else. */
bool sona_replay_parse_u64(const char *text, uint64_t low, uint64_t high, uint64_t *ret);
/* A finite number in [low, high] from text; false for anything else. */
bool sona_replay_parse_real(const char *text, double low, double high, double *ret);

#endif
