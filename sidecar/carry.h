/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What the learner thread does with what a command brings along: files are filled or taken; routes
 * that are gone are used up. */
#ifndef SONA_SIDECAR_CARRY_H
#define SONA_SIDECAR_CARRY_H

#include <stdbool.h>

#include "sidecar/chronicle.h"
#include "sidecar/command.h"
#include "sidecar/core.h"
#include "sidecar/publication.h"

/* Does it carry one? */
bool sona_sidecar_carries(const struct sona_sidecar_command *command);
/* The next step of it, between two events. False: not done yet; again later, with the same. What is
 * taken is in the chronicle before, and not taken while a cycle runs, whose install brings its own.
 */
bool sona_sidecar_carry(struct sona_sidecar_core *core, struct sona_sidecar_chronicle *chronicle,
                        struct sona_sidecar_publication *out, struct sona_sidecar_command *command);

/* A route of this name, as an operator adds it. SONA_E_SYSTEM: the chronicle cannot take it; and as
 * sona_learner_route_add(). */
sona_err sona_sidecar_carry_route(struct sona_sidecar_core *core,
                                  struct sona_sidecar_chronicle *chronicle,
                                  const sona_route_spec *spec, sona_diag *reterr);

/* After a rollback, from a table of so many rows. Routes that came after the generation are gone,
 * but decisions for them are on their way and wait for outcomes. Their rows are used up, so that no
 * new route gets one's identity and its outcomes; under other names, so that the configuration may
 * add a route of that name again. SONA_E_SYSTEM: the chronicle cannot take it. */
sona_err sona_sidecar_carry_routes(struct sona_sidecar_core *core,
                                   struct sona_sidecar_chronicle *chronicle, uint32_t n_before,
                                   sona_diag *reterr);
/* The same at a start, from what readers still see of the last sidecar: somebody rolled the state
 * back meanwhile, put a backup in its place, or it was never kept. What `declared` has by that name
 * and the state does not know gets its row again. */
sona_err sona_sidecar_carry_shown(struct sona_sidecar_core *core,
                                  struct sona_sidecar_chronicle *chronicle, const void *hot,
                                  const sona_route_spec *declared, uint32_t n_declared,
                                  sona_diag *reterr);

#endif
