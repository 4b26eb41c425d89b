/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What `sonactl check` says of lane memories: is page 0 what was issued, do the indices of each
 * ring fit what the ledger says was drained from it, is what waits in it a record of that lane?
 * Nothing is changed, whether client and intake are at work in it or the sidecar was killed.
 *
 * A lane memory has no name. A sidecar that runs has it mapped (clients.h). Behind one that was
 * killed its client holds on to it: it is found among the descriptors of the processes that whoever
 * asks may look into, their own user's, or all for root.
 */
#ifndef SONA_SIDECAR_RINGS_H
#define SONA_SIDECAR_RINGS_H

#include <stdint.h>
#include <sys/types.h>

#include "shm/layout.h"
#include "sidecar/ledger.h"
#include "sidecar/verify.h"

/* Lane memories that were looked at, and those in the ledger that were not found: their clients
 * have ended, or are somebody else's. */
struct sona_sidecar_rings_seen {
    uint32_t looked_at, not_found;
};

/* Judge a lane memory of that slot of the ledger, mapped from `map` on. One finding a lane. */
void sona_sidecar_rings_verify(const void *map, const struct sona_shm_plan *plan, pid_t pid,
                               const struct sona_sidecar_ledger *ledger, int slot,
                               sona_sidecar_finding *tell, void *context);
/* Look for the memories in a killed sidecar's ledger, and judge them. No ledger: none. Cost: the
 * descriptors of all processes, some microseconds each. */
struct sona_sidecar_rings_seen sona_sidecar_rings_search(const char *ledger_path,
                                                         sona_sidecar_finding *tell, void *context);

#endif
