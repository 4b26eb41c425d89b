/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What the surroundings of an instance have, looked at before it starts: room in memory, limits,
 * and what the kernel can do. Each finding says what is there, or what is missing, what that costs,
 * and what to do. `--check` prints all of them; a start logs those that are missing.
 */
#ifndef SONA_SIDECAR_STARTUP_H
#define SONA_SIDECAR_STARTUP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <sona/error.h>

#include "sidecar/options.h"

enum sona_sidecar_grade {
    SONA_SIDECAR_FINE,
    SONA_SIDECAR_LACKING, /* it serves, and something costs more */
    SONA_SIDECAR_FATAL    /* it cannot serve here */
};

struct sona_sidecar_finding {
    const char *what; /* a short name, which stays what it is */
    enum sona_sidecar_grade grade;
    char text[SONA_DIAG_TEXT_MAX];
};

#define SONA_SIDECAR_FINDINGS_MAX 12u

/* Look at everything for this instance; returns how many findings there are. */
uint32_t sona_sidecar_startup_look(const struct sona_sidecar_options *options,
                                   struct sona_sidecar_finding ret[SONA_SIDECAR_FINDINGS_MAX]);
/* A line for each. Returns the worst. */
enum sona_sidecar_grade sona_sidecar_startup_print(const struct sona_sidecar_options *options,
                                                   FILE *to);
/* Log what is missing. */
void sona_sidecar_startup_log(const struct sona_sidecar_options *options);

#endif
