/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The demo's last word: figures as JSON and as text. It states; it does not judge.
 */
#ifndef SONA_TOOLS_DEMO_REPORT_H
#define SONA_TOOLS_DEMO_REPORT_H

#include <stdio.h>

#include <jansson.h>

#include "tools/demo/curve.h"
#include "tools/demo/packages.h"
#include "tools/demo/proof.h"
#include "tools/replay/run.h"

#define SONA_DEMO_FIRST 500u  /* "at the start" */
#define SONA_DEMO_LAST  1000u /* "at the end" */

struct sona_demo_figures {
    const struct sona_replay_setup *setup;
    const struct sona_replay_result *result;
    const struct sona_demo_curve *curve;
    const struct sona_demo_packages *packages; /* null: a data set */
    const struct sona_demo_proof *proof;
    const char *what;         /* "routed right", "reward" */
    uint32_t n_first, n_last; /* windows, filled by init */
    double first, last;
};

/* Fill in the windows: shorter ones when the run is short. */
void sona_demo_report_windows(struct sona_demo_figures *figures);
/* The caller's reference; null: no memory. */
json_t *sona_demo_report_json(const struct sona_demo_figures *figures);
void sona_demo_report_print(FILE *out, const struct sona_demo_figures *figures);

/* Write the object to `path`; false with errno. */
bool sona_demo_report_save(const char *path, json_t *object);

#endif
