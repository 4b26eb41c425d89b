/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A set of queries whose answer is known for every route: what a replay reads.
 *
 * Read from a file of the format below, or built row by row by the caller. After a successful open
 * every number has been checked: finite, in range, no embedding without direction. Little-endian,
 * packed:
 *
 *     8 bytes  magic "SONARTE1"
 *     u32      n rows, dim, K routes, G groups
 *     f32      cost[K], any currency
 *     n rows   u16 group, f32 scale, f32 quality[K] in 0..1, i8 q[dim]: embedding[j] = q[j] * scale
 *
 * Beside FILE.bin there may be FILE.json {"models": [K names], "groups": [G names], "crc32": of the
 * .bin}; each field may be missing.
 */
#ifndef SONA_TOOLS_DATASET_H
#define SONA_TOOLS_DATASET_H

#include <stdint.h>

#include <sona/error.h>
#include <sona/model.h>

#define SONA_TOOLS_ROWS_MAX   10000000u
#define SONA_TOOLS_GROUPS_MAX 65535u

struct sona_tools_dataset {
    char name[64]; /* of the file, without directory and ".bin" */
    uint32_t rows, dim, routes, groups;
    sona_route_spec *route; /* [routes] names; costs divided by the largest of the set, 0..1 */
    uint16_t *group;        /* [rows] */
    float *quality;         /* [rows * routes] 0..1, of every route: reveal only the chosen one */
    float *x;               /* [rows * dim] */
};

/* Read and check a file. SONA_E_SYSTEM, SONA_E_FORMAT, SONA_E_MEMORY: the diagnostic says what is
 * wrong and how to mend it; `ret` is untouched. */
sona_err sona_tools_dataset_open(struct sona_tools_dataset *ret, const char *path,
                                 sona_diag *reterr);

/* Make an empty set of the given shape for the caller to fill: zeros, routes named "route-<k>".
 * SONA_E_RANGE, SONA_E_MEMORY. */
sona_err sona_tools_dataset_create(struct sona_tools_dataset *ret, const char *name, uint32_t rows,
                                   uint32_t dim, uint32_t routes, sona_diag *reterr);

/* Free what open or create made. A zeroed one is fine. */
void sona_tools_dataset_close(struct sona_tools_dataset *set);

#endif
