/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Which lanes this instance has issued to whom, and up to where each is drained: what a sidecar
 * must remember to take lanes back from the clients of one that was killed.
 *
 *     issue ──► advance, advance, ... ──► forget          one sidecar
 *                  │ kill -9
 *                  └──► find ──► claim ──► advance ...    the next one
 *
 * The cursor is the authority on what was drained: it is moved after a record is in private memory
 * and before its slot in the ring is given back. It is 64 bits wide, one store, and survives the
 * death of the process, because it lies in a mapped file of the runtime directory
 * (<instance>.lanes). A store behind the same functions may keep it longer than that: load at open,
 * write at advance.
 *
 * What was drained is learned in memory, and dies with the process: `taken` says how much.
 *
 * Control issues, claims and forgets; the intake alone advances. The instance's lock is held.
 */
#ifndef SONA_SIDECAR_LEDGER_H
#define SONA_SIDECAR_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include <sona/error.h>

#include "shm/layout.h"
#include "sidecar/verify.h"

#define SONA_SIDECAR_LEDGER_MAX  (2 * SONA_SHM_CLIENTS_MAX)
#define SONA_SIDECAR_LEDGER_NONE (-1)

/* One lane memory, as it was issued. */
struct sona_sidecar_issue {
    uint8_t identity[SONA_SHM_IDENTITY_BYTES];
    uint64_t inode; /* of the memfd: another with a copied identity is not it */
    uint64_t uid;
    uint32_t tag; /* of the ids of its decisions */
    uint32_t n_lanes, ring_slots, record_stride;
};

struct sona_sidecar_ledger;

/* Open or make the file. One that is broken or of another version is begun anew. */
sona_err sona_sidecar_ledger_open(struct sona_sidecar_ledger **ret, const char *path,
                                  sona_diag *reterr);
/* Look at the file, which a sidecar may be using: is each issue what was written, each tag of one
 * lane memory? Nothing is changed; a file that is not there is no finding. */
void sona_sidecar_ledger_verify(const char *path, sona_sidecar_finding *tell, void *context);
/* A private copy of the file, as a killed sidecar left it, to ask and not to change; null: there is
 * none of this version. */
struct sona_sidecar_ledger *sona_sidecar_ledger_look(const char *path);
/* `remove`: nobody will come back with these lanes. Null is fine. */
void sona_sidecar_ledger_close(struct sona_sidecar_ledger **ledger, bool remove);

/* Remember an issue, in use; its cursors are 0. The oldest that nobody came back with makes room.
 * Returns its slot; SONA_SIDECAR_LEDGER_NONE when all are in use. */
int sona_sidecar_ledger_issue(struct sona_sidecar_ledger *ledger,
                              const struct sona_sidecar_issue *issue);
int sona_sidecar_ledger_find(const struct sona_sidecar_ledger *ledger,
                             const uint8_t identity[SONA_SHM_IDENTITY_BYTES]);
/* What is noted of it is what was written. */
bool sona_sidecar_ledger_is_sound(const struct sona_sidecar_ledger *ledger, int slot);
/* By the memory itself, which page 0 has no say in. */
int sona_sidecar_ledger_find_inode(const struct sona_sidecar_ledger *ledger, uint64_t inode);
const struct sona_sidecar_issue *sona_sidecar_ledger_at(const struct sona_sidecar_ledger *ledger,
                                                        int slot);
/* In use by this process. */
bool sona_sidecar_ledger_in_use(const struct sona_sidecar_ledger *ledger, int slot);
void sona_sidecar_ledger_claim(struct sona_sidecar_ledger *ledger, int slot);
void sona_sidecar_ledger_forget(struct sona_sidecar_ledger *ledger, int slot);

/* Sequence of the next record to take from a lane. */
uint64_t sona_sidecar_ledger_cursor(const struct sona_sidecar_ledger *ledger, int slot,
                                    uint32_t lane);
/* Everything before `cursor` is taken. One store. */
void sona_sidecar_ledger_advance(struct sona_sidecar_ledger *ledger, int slot, uint32_t lane,
                                 uint64_t cursor);

/* Issues of earlier sidecars that nobody has come back with. */
uint32_t sona_sidecar_ledger_waiting(const struct sona_sidecar_ledger *ledger);
bool sona_sidecar_ledger_has_tag(const struct sona_sidecar_ledger *ledger, uint32_t tag);
/* True for a tag whose lanes may still be handed back soon. Any thread. */
bool sona_sidecar_ledger_expects(const struct sona_sidecar_ledger *ledger, uint32_t tag);
/* Expect nobody any more; who comes all the same is welcome. */
void sona_sidecar_ledger_give_up(struct sona_sidecar_ledger *ledger);
/* Records taken by earlier sidecars since the file was made. */
uint64_t sona_sidecar_ledger_taken(const struct sona_sidecar_ledger *ledger);
/* The newest g that was noted here; 0: none. */
uint64_t sona_sidecar_ledger_g(const struct sona_sidecar_ledger *ledger);
void sona_sidecar_ledger_note_g(struct sona_sidecar_ledger *ledger, uint64_t g);

#endif
