/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What became of decisions, as JSON lines, both ways (docs/jsonl.md).
 *
 *     {"format": "sona-decisions-1", "dim", "source"}                  the first line
 *     {"kind": "outcome", "id", "route", "quality", "propensity", "x"} one for each
 *
 * A line is taken once: by its key, which is the id of an outcome, and of what changes one the id
 * and what it says. A line that cannot be taken is named, and those after it are taken all the
 * same.
 */
#ifndef SONA_SIDECAR_DECISIONS_H
#define SONA_SIDECAR_DECISIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include <sona/error.h>

#include "engine/model/model.h"
#include "sidecar/joined.h"
#include "sidecar/store/store.h"

#define SONA_SIDECAR_DECISIONS_MAX 256u /* of one request */

struct sona_sidecar_decisions {
    uint32_t n, done; /* to be learned; that were */
    bool appended;
    uint64_t position; /* of the journal then */
    uint64_t lines, duplicates, n_refused;
    json_t *refused; /* [{"line", "text"}] */
    struct sona_store_import import[SONA_SIDECAR_DECISIONS_MAX];
    uint64_t line[SONA_SIDECAR_DECISIONS_MAX];
    sona_err err[SONA_SIDECAR_DECISIONS_MAX]; /* what the learner said */
    struct sona_sidecar_joined *joined[SONA_SIDECAR_DECISIONS_MAX];
    void *room; /* of them */
};

/* Takes null. */
void sona_sidecar_decisions_free(struct sona_sidecar_decisions *decisions);

struct sona_sidecar_decisions_place {
    const struct sona_model_layout *layout;
    const sona_route_info *routes;
    uint32_t n_routes;
    struct sona_store *store;
    uint64_t now_ms;
};

/* What a file says, less what was taken before. SONA_E_FORMAT, SONA_E_SHAPE: its first line is not
 * of such a file; SONA_E_LIMIT: more lines than can be taken at once; SONA_E_BUSY: see
 * sona_store_imported(). */
sona_err sona_sidecar_decisions_read(const struct sona_sidecar_decisions_place *place,
                                     const char *text, size_t n,
                                     struct sona_sidecar_decisions **ret, sona_diag *reterr);
/* Add the answer to a command that was applied. */
void sona_sidecar_decisions_report(const struct sona_sidecar_decisions *decisions, json_t *answer);

/* A page of the journal, positions `from` and up, as a file whose first line says in "next" where
 * the next page begins, and in "end" where the journal does. To be freed. */
sona_err sona_sidecar_decisions_page(const struct sona_sidecar_decisions_place *place,
                                     uint64_t from, char **ret, size_t *ret_bytes,
                                     sona_diag *reterr);

#endif
