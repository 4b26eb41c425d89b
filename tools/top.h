/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* sonactl top: what happens in a sidecar, each second. */
#ifndef SONA_TOOLS_TOP_H
#define SONA_TOOLS_TOP_H

#include <stdbool.h>
#include <stdint.h>

#include <sona/error.h>

/* As it is typed, and what --help says of it. */
#define SONA_TOOLS_TOP_WORD "top"
#define SONA_TOOLS_TOP_HELP "what happens in it, each second; q ends it"

struct sona_tools_top {
    const char *runtime_dir, *instance; /* null: the default; "default" */
    bool json;                          /* one object a line */
    uint64_t count;                     /* seconds to show; 0: until q, Ctrl-C or a closed pipe */
};

/* On a terminal that can redraw (TERM is not "dumb") a page that is drawn again each second, and q
 * ends it; else a line each second. What sona_tools_ask() says of the first look; later ones wait
 * for the sidecar on a terminal. */
sona_err sona_tools_top(const struct sona_tools_top *ask, sona_diag *reterr);

#endif
