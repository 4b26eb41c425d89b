/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The command line of sona-demo.
 */
#ifndef SONA_TOOLS_DEMO_OPTIONS_H
#define SONA_TOOLS_DEMO_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <sona/error.h>

#define SONA_DEMO_ROWS 6000u /* feedbacks by default */

struct sona_demo_options {
    const char *data, *log, *out; /* point into argv; null: not given */
    uint32_t rows;                /* UINT32_MAX: not given */
    uint64_t seed;
    double lambda;
    bool json, embedded, help, version;
};

/* Parse. SONA_E_ARGUMENT with one sentence. */
sona_err sona_demo_options_parse(struct sona_demo_options *ret, int argc, char **argv,
                                 sona_diag *reterr);
void sona_demo_options_help(void);

#endif
