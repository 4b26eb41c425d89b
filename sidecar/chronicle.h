/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What happened to the learner, in order, and kept: state = f(chronicle).
 *
 *     event, command, start and install of a cycle ──append──► store ──► then it is done
 *     start of a sidecar: newest generation ──► the same things done again ──► the same bytes
 *
 * Nothing is done that was not appended; when the store cannot take it (its disk is full, its
 * writer behind), learning waits, and says so, while clients go on deciding. The learner thread's,
 * but for the store's own threads.
 */
#ifndef SONA_SIDECAR_CHRONICLE_H
#define SONA_SIDECAR_CHRONICLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sona/error.h>

#include "sidecar/command.h"
#include "sidecar/core.h"
#include "sidecar/joined.h"
#include "sidecar/store/store.h"

#define SONA_SIDECAR_CHRONICLE_BATCH  256u /* most events of one append */
#define SONA_SIDECAR_CHRONICLE_PROMPT 64u  /* where nobody waits for the disk: seen sooner */

struct sona_sidecar_chronicle {
    struct sona_store *store; /* null: nothing is kept, and nothing is ever refused */
    uint32_t dim, dim_padded;
    bool every;        /* events are on the disk before they are learned */
    uint64_t position; /* of the last thing done */
    uint64_t events;   /* handed to the learner since the first start: the number of the next */
    uint64_t imports;  /* records that came from files, likewise */
    bool waits;        /* the last append was refused: said once */
    /* Events that are appended, and not on the disk yet, so not learned; the last one's position.
     */
    uint32_t ahead;
    uint64_t ahead_position;
};

/* Append events, oldest first. How many of them are to be learned now; 0: none, not now. Call again
 * with the same ones first. */
uint32_t sona_sidecar_chronicle_events(struct sona_sidecar_chronicle *c,
                                       struct sona_sidecar_joined *const *joined, uint32_t n);
/* Append a step of a cycle (SONA_STORE_cycle_start, _cycle_install). */
bool sona_sidecar_chronicle_cycle(struct sona_sidecar_chronicle *c, enum sona_store_kind kind,
                                  uint64_t now_ms);
bool sona_sidecar_chronicle_command(struct sona_sidecar_chronicle *c,
                                    const struct sona_sidecar_command *command);

/* Append adapters that are to be taken, in as many records as it takes, all or none of them. */
bool sona_sidecar_chronicle_adapters(struct sona_sidecar_chronicle *c,
                                     const struct sona_sidecar_adapters *adapters);
/* Append events that came from a file, each with its key; at most SONA_SIDECAR_CHRONICLE_BATCH, all
 * or none of them. */
bool sona_sidecar_chronicle_imports(struct sona_sidecar_chronicle *c,
                                    struct sona_sidecar_joined *const *joined,
                                    const struct sona_store_import *imports, uint32_t n);
/* Are they on the disk, where that is waited for? Asks again and again. */
bool sona_sidecar_chronicle_imports_kept(struct sona_sidecar_chronicle *c, uint64_t position);
/* Are they in the journal, so that the same lines are known from now on? Also true when it cannot
 * be written. `position`: of the chronicle when they were appended. */
bool sona_sidecar_chronicle_imports_known(const struct sona_sidecar_chronicle *c,
                                          uint64_t position);
/* The same of patterns. */
bool sona_sidecar_chronicle_patterns(struct sona_sidecar_chronicle *c,
                                     const struct sona_sidecar_patterns *patterns);

/* Keys that may change at run time are events, their first values too: what was learned under
 * others is learned under them again, and what begins now is written down before it counts. Nothing
 * without a store, or when they are as they were; `fresh`: no event was before. */
sona_err sona_sidecar_chronicle_configure(struct sona_sidecar_chronicle *c,
                                          struct sona_learner *learner, const sona_config *config,
                                          bool fresh, sona_diag *reterr);

struct sona_sidecar_resumed {
    uint64_t generation; /* number; 0: there was none */
    uint64_t position;   /* that it contains */
    uint64_t passed;     /* generations that were damaged */
    uint64_t replayed;   /* records done again */
};

/* Doing records again, in order: what a start does, and who follows a journal from outside. */
struct sona_sidecar_replay {
    struct sona_sidecar_chronicle *chronicle;
    struct sona_sidecar_core *core;
    struct sona_sidecar_joined *joined; /* room for one with its vectors */
    struct sona_sidecar_change *change;
    struct sona_sidecar_adapters *adapters; /* null, or as much of them as was read */
    uint64_t floats;                        /* of them */
    struct sona_sidecar_patterns *patterns; /* the same */
    uint64_t pattern_bytes;
    uint64_t replayed, bad; /* bad: position of a record that cannot be done */
};
sona_err sona_sidecar_replay_begin(struct sona_sidecar_replay *ret,
                                   struct sona_sidecar_chronicle *c, struct sona_sidecar_core *core,
                                   sona_diag *reterr);
/* A sona_store_visitor; false: the record cannot be done, and is named in `bad`. */
bool sona_sidecar_replay_record(void *replay, const struct sona_store_record *record);
void sona_sidecar_replay_end(struct sona_sidecar_replay *replay);

/* Do again what came after c->position. */
sona_err sona_sidecar_chronicle_replay(struct sona_sidecar_chronicle *c,
                                       struct sona_sidecar_core *core, uint64_t *ret_replayed,
                                       sona_diag *reterr);
/*
 * Read the newest good generation and do again what came after it. Without a generation everything
 * is done again from the first record. SONA_E_FORMAT: the journal's rows behind the newest good
 * generation are damaged or were removed; SONA_E_VERSION, SONA_E_CONFIG: what is kept was learned
 * by another version or with another geometry.
 */
sona_err sona_sidecar_chronicle_resume(struct sona_sidecar_chronicle *c,
                                       struct sona_sidecar_core *core,
                                       struct sona_sidecar_resumed *ret, sona_diag *reterr);

#endif
