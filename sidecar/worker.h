/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A thread for one kind of long work, one piece at a time, while its owner goes on: background
 * cycles (pure, no shared state), generations (the disk).
 *
 *     idle ──give──► running ──the thread──► done ──take──► idle
 *
 * give and take are the owner's.
 */
#ifndef SONA_SIDECAR_WORKER_H
#define SONA_SIDECAR_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include <sona/error.h>

#include "sidecar/wake.h"

struct sona_sidecar_worker;

/* `name`: of the thread, at most 15 bytes. `run` does a piece of work. `done`: who is woken then.
 */
sona_err sona_sidecar_worker_create(struct sona_sidecar_worker **ret, const char *name,
                                    void (*run)(void *work), struct sona_sidecar_wake *done,
                                    sona_diag *reterr);
/* Hand work over. The piece before was taken. */
void sona_sidecar_worker_give(struct sona_sidecar_worker *worker, void *work);
/* True once per piece: it is done; how long it took. */
bool sona_sidecar_worker_take(struct sona_sidecar_worker *worker, double *ret_ms);
/* Wait for the piece that runs, end the thread, free. Takes null. */
void sona_sidecar_worker_destroy(struct sona_sidecar_worker **worker);

#endif
