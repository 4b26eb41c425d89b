/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* A store in JSON, in the same words from a running sidecar and from a tool. Names are stable. */
#ifndef SONA_SIDECAR_STORE_DESCRIBE_H
#define SONA_SIDECAR_STORE_DESCRIBE_H

#include <jansson.h>

#include <sona/error.h>

struct sona_store;

/* An object: `appended`, the journal's last position, and `generations`, an array, newest first.
 * Null: see reterr. The caller's. */
json_t *sona_store_describe_generations(struct sona_store *store, sona_diag *reterr);

/* An object: how far records have come, what waits, what the files take, and the newest generation
 * with its age. Null without memory. */
json_t *sona_store_describe(struct sona_store *store);

#endif
