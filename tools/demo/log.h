/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A router's own log: one JSON object per line,
 *
 *     {"embedding": [numbers], "route": "name", "quality": 0..1}
 *     {"text": "the query",    "route": "name", "quality": 0..1}
 *
 * in the order of time. Other fields are ignored. A line that cannot be used is counted, and the
 * reasons of the first ones are kept; reading goes on. The first usable line fixes the dimension.
 */
#ifndef SONA_TOOLS_DEMO_LOG_H
#define SONA_TOOLS_DEMO_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <sona/error.h>
#include <sona/model.h>

#define SONA_DEMO_LOG_ROWS_MAX    1000000u
#define SONA_DEMO_LOG_LINE_MAX    (1u << 20) /* bytes of one line */
#define SONA_DEMO_LOG_REASONS_MAX 10u
#define SONA_DEMO_LOG_REASON_MAX  160u

struct sona_demo_log {
    uint32_t rows, capacity, dim;
    float *x;          /* [rows * dim] */
    uint32_t *route;   /* [rows] */
    float *quality;    /* [rows] */
    uint32_t n_routes; /* in the order of their first line */
    sona_route_spec routes[SONA_ROUTES_MAX];
    uint64_t lines, malformed;
    bool cut; /* there is more than SONA_DEMO_LOG_ROWS_MAX: the rest was not read */
    char reason[SONA_DEMO_LOG_REASONS_MAX][SONA_DEMO_LOG_REASON_MAX]; /* "line 17: ..." */
};

/* Read all of it. SONA_E_FORMAT when no line can be used, SONA_E_MEMORY. */
sona_err sona_demo_log_read(struct sona_demo_log *ret, FILE *in, const char *name,
                            sona_diag *reterr);
/* The same from a file; SONA_E_SYSTEM. */
sona_err sona_demo_log_open(struct sona_demo_log *ret, const char *path, sona_diag *reterr);
void sona_demo_log_close(struct sona_demo_log *log);

#endif
