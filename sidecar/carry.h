/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What the learner thread does with what a command brings along: files are filled or taken. */
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

#endif
