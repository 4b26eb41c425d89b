/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What would a learned router have done with this log? Progressive validation: before the learner
 * is taught a line it is asked what it would choose; then the line is a trajectory (begin, route,
 * end with its quality), and the next line is asked of the snapshot that contains it.
 *
 * Only lines where both agree can be judged: the log does not know the quality of a route that was
 * not taken.
 */
#ifndef SONA_TOOLS_DEMO_VALIDATE_H
#define SONA_TOOLS_DEMO_VALIDATE_H

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>
#include <sona/error.h>

#include "tools/demo/log.h"
#include "tools/router.h"

/* Lines of some part of the log, and those where log and learner agree. */
struct sona_demo_agreement {
    uint32_t lines, agreed;
    double quality;        /* sum over lines */
    double agreed_quality; /* sum over those agreed */
};

struct sona_demo_validation {
    struct sona_demo_agreement all, second_half;
    struct {
        uint32_t logged, chosen; /* by the log, by the learner */
        double quality;          /* sum over the lines logged */
    } route[SONA_ROUTES_MAX];
    struct sona_tools_totals totals;
    bool interrupted;
};

struct sona_demo_validate_options {
    bool embedded;
    uint64_t seed;
    const volatile sig_atomic_t *stop;
    void (*on_line)(void *arg, uint32_t done, uint32_t length); /* may be null */
    void *arg;
};

sona_err sona_demo_validate(const struct sona_demo_log *log,
                            const struct sona_demo_validate_options *options,
                            struct sona_demo_validation *ret, sona_diag *reterr);

void sona_demo_validation_print(FILE *out, const char *name, const struct sona_demo_log *log,
                                const struct sona_demo_validation *validation);
json_t *sona_demo_validation_json(const char *name, const struct sona_demo_log *log,
                                  const struct sona_demo_validate_options *options,
                                  const struct sona_demo_validation *validation);

#endif
