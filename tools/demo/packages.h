/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The demo's queries: descriptions of the packages that this Debian knows. Twelve sections of the
 * distribution are twelve specialist desks; a description is worth 1 at the desk of its section, 0
 * at any other. Name and description are embedded, nothing that names the section is.
 */
#ifndef SONA_TOOLS_DEMO_PACKAGES_H
#define SONA_TOOLS_DEMO_PACKAGES_H

#include <stdint.h>
#include <stdio.h>

#include <sona/error.h>

#include "tools/dataset.h"

#define SONA_DEMO_DESKS        12u
#define SONA_DEMO_PACKAGES_MAX 100000u /* rows kept; the rest is not read */
#define SONA_DEMO_PACKAGES_MIN 1000u   /* below it there is nothing to show */

struct sona_demo_packages {
    struct sona_tools_dataset set;
    uint32_t seen;       /* packages in the listing */
    uint32_t duplicates; /* in one of the sections, but name or description were seen before */
};

/* Read a listing in the format of `apt-cache dumpavail`. SONA_E_FORMAT when no package of the
 * twelve sections is in it, SONA_E_MEMORY. */
sona_err sona_demo_packages_read(struct sona_demo_packages *ret, FILE *listing, sona_diag *reterr);

/* Ask apt-cache. SONA_E_ABSENT with the remedy when there are no package lists. */
sona_err sona_demo_packages_load(struct sona_demo_packages *ret, sona_diag *reterr);

void sona_demo_packages_done(struct sona_demo_packages *packages);

#endif
