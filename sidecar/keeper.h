/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Generations: copies of the learner's state, taken between two events and written by a thread of
 * their own, so that a start has little to do again and retention something to rest on.
 *
 * One is due after SONA_SIDECAR_KEEP_RECORDS records, after SONA_SIDECAR_KEEP_MS with anything new,
 * when the store's retention waits for one, at a clean stop, and when somebody asks. What people
 * ask for of generations is done by the same thread, one thing at a time. The learner thread's.
 */
#ifndef SONA_SIDECAR_KEEPER_H
#define SONA_SIDECAR_KEEPER_H

#include <stdbool.h>
#include <stdint.h>

#include <sona/error.h>

#include "shm/control.h"
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
    bool busy;                                    /* the worker has the copy */
    uint64_t kept;                                /* position of the newest generation */
    uint64_t kept_ms;                             /* when it was due */
    uint64_t looked_ms;                           /* at whether retention waits */
    const struct sona_sidecar_core *core;         /* of what is asked for */
    uint32_t asked;                               /* SONA_CONTROL_GENERATIONS_*; 0: nothing */
    const struct sona_sidecar_instance *instance; /* whose files a check looks at */
    struct sona_sidecar_clients *clients;         /* and whose lanes */
    bool done;                                    /* it was done, and waits for who asked */
    /* The worker's, while it is busy. */
    uint64_t wanted; /* the generation that was named */
    char found[SONA_SIDECAR_FOUND_MAX];
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
/* Begin what a request of class KEEPER asks for; false: something else is going on, ask again. For
 * a rollback nothing may be appended to the chronicle until it is answered, and no cycle run. */
bool sona_sidecar_keeper_ask(struct sona_sidecar_keeper *keeper,
                             const struct sona_sidecar_core *core,
                             const struct sona_sidecar_chronicle *chronicle,
                             const struct sona_control_request *request);
/* True once it is done: the generation's number, and how it went. After a rollback that went well
 * the learner's state is the caller's to take and free; else *ret_bytes is null. */
bool sona_sidecar_keeper_answer(struct sona_sidecar_keeper *keeper, uint64_t *ret_number,
                                sona_diag *ret_diag, void **ret_bytes, size_t *ret_n);
/* The last one, of what there is now; waits for the disk. Then the thread ends. */
void sona_sidecar_keeper_done(struct sona_sidecar_keeper *keeper,
                              const struct sona_sidecar_core *core,
                              const struct sona_sidecar_chronicle *chronicle);

#endif
