/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A learning curve drawn with characters: the mean of the last WINDOW rewards over the queries, and
 * level lines to compare with. Braille dots where the terminal has Unicode, ASCII where not.
 *
 * The curve keeps every reward; drawing works them out anew. Nothing is drawn for queries to come.
 */
#ifndef SONA_TOOLS_DEMO_CURVE_H
#define SONA_TOOLS_DEMO_CURVE_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/terminal.h"

#define SONA_DEMO_WINDOW      500u
#define SONA_DEMO_CURVE_ROWS  11u  /* lines of text of the plot itself */
#define SONA_DEMO_CURVE_WIDTH 120u /* most columns of the plot */
#define SONA_DEMO_LEVELS_MAX  3u

struct sona_demo_level {
    const char *label; /* static */
    double value;
};

struct sona_demo_curve {
    double *sum; /* [length + 1] running sums: sum[t] of the first t rewards */
    uint32_t length, done;
    double low, high; /* of the axis */
    uint32_t n_levels;
    struct sona_demo_level level[SONA_DEMO_LEVELS_MAX];
};

/* False when there is no memory. The axis begins where the lowest level needs it. */
bool sona_demo_curve_init(struct sona_demo_curve *ret, uint32_t length,
                          const struct sona_demo_level *levels, uint32_t n_levels);
void sona_demo_curve_done(struct sona_demo_curve *curve);
void sona_demo_curve_add(struct sona_demo_curve *curve, double reward);

/* Mean of the rewards from..to-1; NaN for none. */
double sona_demo_curve_mean(const struct sona_demo_curve *curve, uint32_t from, uint32_t to);
/* Mean of the last SONA_DEMO_WINDOW rewards (or fewer) before `t`; NaN at 0. */
double sona_demo_curve_at(const struct sona_demo_curve *curve, uint32_t t);

/* Draw; returns the lines written. Each ends with a newline. */
uint32_t sona_demo_curve_draw(const struct sona_demo_curve *curve,
                              const struct sona_tools_terminal *terminal);

#endif
