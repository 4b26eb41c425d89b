/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What `sonactl check` says: is everything that an instance keeps what its writers left? The store
 * is read whole; ledger, arena and segment are read as files, whether a sidecar runs on them or was
 * killed; lane memories with their rings as rings.h says. Nothing is changed. Any thread.
 *
 *     sound     nothing was found
 *     degraded  a start goes on: from an older generation, or without what waited in memory
 *     failed    a start would be refused
 */
#ifndef SONA_SIDECAR_VERIFY_H
#define SONA_SIDECAR_VERIFY_H

#include <jansson.h>

#include <sona/error.h>

struct sona_sidecar_clients;
struct sona_store;

/* Each finding is one sentence. */
typedef void sona_sidecar_finding(void *context, const char *text);

/* The files of an instance that are no part of the store; one that is not there is no finding: a
 * clean stop removes them. `runtime_dir`: where its socket is. */
void sona_sidecar_verify_memory(const char *runtime_dir, const char *instance,
                                sona_sidecar_finding *tell, void *context);

/* An object: verdict, findings (an array of sentences), appended (the journal's last position),
 * lane_memories (looked_at, not_found). `clients`: those of the sidecar that runs; null: none does.
 * Null: see reterr. Cost: reads everything, seconds per gigabyte. */
json_t *sona_sidecar_verify(struct sona_store *store, const char *runtime_dir, const char *instance,
                            struct sona_sidecar_clients *clients, sona_diag *reterr);

#endif
