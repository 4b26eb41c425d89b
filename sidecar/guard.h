/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Memory that a client could pull from under us. A lane memory is sealed against resizing, but
 * holes may be punched into it, and a hole is filled on the next access only where memory is left:
 * else the access is a SIGBUS. Within a guarded map it reads zeros instead, from a private page
 * that takes the place of the missing one, and the map is marked as broken: whoever drains it
 * stops. Anywhere else a SIGBUS is what it always was.
 */
#ifndef SONA_SIDECAR_GUARD_H
#define SONA_SIDECAR_GUARD_H

#include <stdbool.h>
#include <stddef.h>

#include <sona/error.h>

#define SONA_SIDECAR_GUARD_NONE (-1)

/* Handle SIGBUS in this process. The signal must not be blocked in any thread. */
sona_err sona_sidecar_guard_install(sona_diag *reterr);
/* Guard a map; SONA_SIDECAR_GUARD_NONE when there are too many. Any thread. */
int sona_sidecar_guard_add(void *map, size_t bytes);
void sona_sidecar_guard_remove(int guard);
/* Was a page of it missing? Any thread. */
bool sona_sidecar_guard_broken(int guard);

#endif
