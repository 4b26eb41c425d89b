/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Generations: copies of the learner's state, taken between two events and written by a thread of
 * their own, so that a start has little to do again and retention something to rest on.
 *
 * One is due after SONA_SIDECAR_KEEP_RECORDS records, after SONA_SIDECAR_KEEP_MS with anything new,
 * when the store's retention waits for one, and at a clean stop. The learner thread's.
 */
#ifndef SONA_SIDECAR_KEEPER_H
#define SONA_SIDECAR_KEEPER_H

#include <stdbool.h>
#include <stdint.h>

#include <sona/error.h>

#include "sidecar/chronicle.h"
#include "sidecar/core.h"
#include "sidecar/wake.h"
#include "sidecar/worker.h"

#ifdef SONA_FAULTS /* many, so that kills meet them */
#define SONA_SIDECAR_KEEP_RECORDS 1000u
#else
#define SONA_SIDECAR_KEEP_RECORDS 20000u
#endif
#define SONA_SIDECAR_KEEP_MS 60000u

struct sona_sidecar_keeper {
    struct sona_sidecar_worker *worker; /* null: nothing is kept */
    struct sona_store *store;
    bool busy;          /* the worker has the copy */
    uint64_t kept;      /* position of the newest generation */
    uint64_t kept_ms;   /* when it was due */
    uint64_t looked_ms; /* at whether retention waits */
    /* The worker's, while it is busy. */
    void *bytes;
    size_t n;
    uint64_t position, number;
    sona_err err;
    sona_diag diag;
};

/* `done`: who is woken when a generation is written. `position`: of the newest one. */
sona_err sona_sidecar_keeper_init(struct sona_sidecar_keeper *ret, struct sona_store *store,
                                  uint64_t position, struct sona_sidecar_wake *done,
                                  sona_diag *reterr);
/* Take a copy if one is due, note one that was written. Cost: the copy, milliseconds. */
void sona_sidecar_keeper_step(struct sona_sidecar_keeper *keeper,
                              const struct sona_sidecar_core *core,
                              const struct sona_sidecar_chronicle *chronicle, uint64_t now_ms);
/* The last one, of what there is now; waits for the disk. Then the thread ends. */
void sona_sidecar_keeper_done(struct sona_sidecar_keeper *keeper,
                              const struct sona_sidecar_core *core,
                              const struct sona_sidecar_chronicle *chronicle);

#endif
