/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The route table across rollbacks, restarts and configurations. A row is a route's identity, and
 * decisions for it may be on their way: no other route may get it.
 */
#ifndef SONA_SIDECAR_TABLE_H
#define SONA_SIDECAR_TABLE_H

#include <stdint.h>

#include <sona/error.h>

#include "sidecar/chronicle.h"
#include "sidecar/core.h"

/* After a rollback, from a table of so many rows. Routes that came after the generation are gone,
 * but decisions for them are on their way and wait for outcomes. Their rows are used up, so that no
 * new route gets one's identity and its outcomes; under other names, so that the configuration may
 * add a route of that name again. SONA_E_SYSTEM: the chronicle cannot take it. */
sona_err sona_sidecar_table_restore(struct sona_sidecar_core *core,
                                    struct sona_sidecar_chronicle *chronicle, uint32_t n_before,
                                    sona_diag *reterr);
/* The same at a start, from what readers still see of the last sidecar: somebody rolled the state
 * back meanwhile, put a backup in its place, or it was never kept. What `declared` has by that name
 * and the state does not know gets its row again. */
sona_err sona_sidecar_table_shown(struct sona_sidecar_core *core,
                                  struct sona_sidecar_chronicle *chronicle, const void *hot,
                                  const sona_route_spec *declared, uint32_t n_declared,
                                  sona_diag *reterr);
/* What the configuration says of routes, at a start: those that the state does not know are added,
 * and a cost that is said (above 0) is in effect. Whatever else differs is logged: what a route
 * learned goes by `sonactl routes retire` alone. */
sona_err sona_sidecar_table_declare(struct sona_sidecar_core *core,
                                    struct sona_sidecar_chronicle *chronicle,
                                    const sona_route_spec *declared, uint32_t n_declared,
                                    sona_diag *reterr);

#endif
