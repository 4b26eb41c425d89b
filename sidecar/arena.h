/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The pending arena: what the intake knows, kept where the death of the process does not reach it.
 * A mapped file of fixed size in the runtime directory:
 *
 *     header 4 KiB | checkpoint | checkpoint | ring of entries
 *
 * The intake's state is f(entries). Each entry is appended before it is acted on, and ends in one
 * store of its position; a killed process leaves it complete or not there. When half of the ring
 * has been used, the state is written to the older of the two checkpoints, and the entries before
 * it may be overwritten. The next process reads the newest checkpoint and the entries after it, and
 * knows what the last one knew.
 *
 * It survives kill -9, not the power: a file from before the machine's last start is begun anew.
 * What must survive that is in the journal. One thread; the instance's lock is held.
 */
#ifndef SONA_SIDECAR_ARENA_H
#define SONA_SIDECAR_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sona/error.h>

#include "sidecar/verify.h"

#define SONA_SIDECAR_ARENA_ALIGN    64u
#define SONA_SIDECAR_ARENA_RING_MIN (1u << 20)  /* bytes */
#define SONA_SIDECAR_ARENA_RING     (16u << 20) /* by default: 10,000 records of 256 dims */

struct sona_sidecar_arena;

struct sona_sidecar_arena_options {
    const char *path;
    uint64_t meaning; /* of entries and checkpoints: with another, the file is begun anew */
    size_t checkpoint_bytes, ring_bytes;
};

/* One entry, followed by its payload. The caller's fields are written between reserve and commit.
 */
struct sona_sidecar_entry {
    uint64_t position; /* in the stream of entries, in bytes; the arena's */
    uint32_t bytes;    /* with this header; the arena's */
    uint32_t kind;
    uint64_t now_ms, owner, seq;
    uint32_t tag, lane;
    uint32_t flags, reserved[3];
};

/* What the last process left. */
enum sona_sidecar_arena_found {
    SONA_SIDECAR_ARENA_NEW,     /* no file, or an empty one */
    SONA_SIDECAR_ARENA_KEPT,    /* its checkpoint and entries can be read */
    SONA_SIDECAR_ARENA_FOREIGN, /* another version, shape or configuration: begun anew */
    SONA_SIDECAR_ARENA_BROKEN   /* its header contradicts itself: begun anew */
};

/* Open or make the file, 0600. SONA_E_PERMISSION, SONA_E_SYSTEM with the remedy; no space on the
 * file system is found here, not by a signal later. */
sona_err sona_sidecar_arena_open(struct sona_sidecar_arena **ret,
                                 const struct sona_sidecar_arena_options *options,
                                 enum sona_sidecar_arena_found *ret_found, sona_diag *reterr);
/* Look at the file, which an intake may be using: is its newest checkpoint a whole container
 * of that layout, are the entries behind it one stream? Nothing is changed; a file that is not
 * there is no finding. */
void sona_sidecar_arena_verify(const char *path, uint64_t layout, sona_sidecar_finding *tell,
                               void *context);
/* `remove`: there is nothing to come back to. Null is fine. */
void sona_sidecar_arena_close(struct sona_sidecar_arena **arena, bool remove);
size_t sona_sidecar_arena_bytes(const struct sona_sidecar_arena_options *options);

/* Room for an entry with `payload` bytes, its header cleared but for kind; null: write a checkpoint
 * first. A payload is at most an eighth of the ring. */
struct sona_sidecar_entry *sona_sidecar_arena_reserve(struct sona_sidecar_arena *arena,
                                                      uint32_t kind, uint32_t payload);
void sona_sidecar_arena_commit(struct sona_sidecar_arena *arena);
/* Whether reserve would give room for a payload of so many bytes. */
bool sona_sidecar_arena_has_room(const struct sona_sidecar_arena *arena, uint32_t payload);
/* A checkpoint should be written when it is convenient: half of the ring is used. */
bool sona_sidecar_arena_is_half(const struct sona_sidecar_arena *arena);

/* Where the next checkpoint goes (checkpoint_bytes, aligned to pages); commit: it holds the state
 * after all entries so far. */
void *sona_sidecar_arena_checkpoint_begin(struct sona_sidecar_arena *arena);
void sona_sidecar_arena_checkpoint_commit(struct sona_sidecar_arena *arena, size_t bytes);

/* The newest checkpoint; null: none was written yet. */
const void *sona_sidecar_arena_checkpoint(const struct sona_sidecar_arena *arena,
                                          size_t *ret_bytes);
/* The entry after `entry` (null: the first after the checkpoint); null at the end. Read all before
 * the first reserve. */
const struct sona_sidecar_entry *sona_sidecar_arena_next(const struct sona_sidecar_arena *arena,
                                                         const struct sona_sidecar_entry *entry);

static inline void *sona_sidecar_entry_payload(const struct sona_sidecar_entry *entry)
{
    return (void *)(uintptr_t)(entry + 1);
}

#endif
