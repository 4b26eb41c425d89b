/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The pattern bank of an instance as JSON lines, both ways (docs/jsonl.md).
 *
 *     {"format": "sona-patterns-1", "dim", ...}     the first line
 *     {"id", "centroid", "mass", "routes", ...}     one for each pattern, in the bank's order
 *
 * Numbers are written with as many digits as give back the same bits. Routes go by their names,
 * since their rows differ between instances.
 *
 * A file comes from a stranger: nothing of it is believed that is not checked, and what is refused
 * is named by its line.
 */
#ifndef SONA_SIDECAR_PATTERNS_H
#define SONA_SIDECAR_PATTERNS_H

#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <sona/error.h>

#include "engine/model/model.h"

/* Of rows: what a journal can take at once. */
#define SONA_SIDECAR_PATTERNS_BYTES_MAX (15u << 20)

struct sona_sidecar_patterns {
    uint64_t step;                   /* of the learner that they are of */
    uint32_t n;                      /* rows */
    uint32_t room;                   /* for so many */
    uint64_t bytes;                  /* of one */
    alignas(64) unsigned char row[]; /* as the bank has them (sona_learner_bank_rows) */
};

/* Room for so many rows of this layout, zero; null without memory. Freed with free(). */
struct sona_sidecar_patterns *sona_sidecar_patterns_make(const struct sona_model_layout *layout,
                                                         uint32_t room);
/* The file, to be freed; null without memory. */
char *sona_sidecar_patterns_write(const struct sona_model_layout *layout,
                                  const sona_route_info *routes, uint32_t n_routes,
                                  const struct sona_sidecar_patterns *patterns, size_t *ret_bytes);
/* What a file says, for an instance with this layout and these routes. Sentences begin with
 * "line N: ". SONA_E_FORMAT: a line is not what it must be; SONA_E_SHAPE: it is of another
 * dimension; SONA_E_ROUTE: of a route that is not here; SONA_E_NOT_FINITE, SONA_E_RANGE: its
 * numbers cannot be used; SONA_E_LIMIT: too many rows. */
sona_err sona_sidecar_patterns_read(const struct sona_model_layout *layout,
                                    const sona_route_info *routes, uint32_t n_routes,
                                    const char *text, size_t n, struct sona_sidecar_patterns **ret,
                                    sona_diag *reterr);

#endif
