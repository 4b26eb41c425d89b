/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * libevent, of which 2.1.12 does not survive that a small allocation fails: it frees a connection
 * or a request that it could make only by half, and listens no more without a word. What it asks
 * for is therefore waited for, and when a little of it does not come, the process ends and says so:
 * the state on disk is that of any kill, and the supervisor starts it again.
 */
#ifndef SONA_SIDECAR_PATIENCE_H
#define SONA_SIDECAR_PATIENCE_H

#include <stddef.h>

#define SONA_SIDECAR_PATIENCE_TRIES   100
#define SONA_SIDECAR_PATIENCE_WAIT_US 1000
#define SONA_SIDECAR_PATIENCE_SMALL   1024 /* bytes; more than that, libevent can do without */

/* Whom to ask for memory: realloc(), or what a test has in its place. */
typedef void *(*sona_sidecar_patience_source)(void *at, size_t bytes);

/* Before anything else is asked of libevent, in one thread. */
void sona_sidecar_patience_begin(sona_sidecar_patience_source source);

#endif
