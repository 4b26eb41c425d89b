/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The background thread: runs one cycle's job (pure, no shared state) while the learner goes on.
 *
 *     idle ──give──► running ──the thread──► done ──take──► idle
 *
 * give and take are the learner's; it alone starts and installs cycles.
 */
#ifndef SONA_SIDECAR_BACKGROUND_H
#define SONA_SIDECAR_BACKGROUND_H

#include <stdbool.h>
#include <stdint.h>

#include <sona/error.h>

#include "sidecar/wake.h"

struct sona_learner_job;
struct sona_sidecar_background;

/* `done`: who is woken when a job is done. */
sona_err sona_sidecar_background_create(struct sona_sidecar_background **ret,
                                        struct sona_sidecar_wake *done, sona_diag *reterr);
/* Hand a started job over. The one before was taken. */
void sona_sidecar_background_give(struct sona_sidecar_background *background,
                                  struct sona_learner_job *job);
/* The finished job, and how long it took; null: none is. */
struct sona_learner_job *sona_sidecar_background_take(struct sona_sidecar_background *background,
                                                      double *ret_ms);
/* Wait for a running job, end the thread, free. */
void sona_sidecar_background_destroy(struct sona_sidecar_background **background);

#endif
