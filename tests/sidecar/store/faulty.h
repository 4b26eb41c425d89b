/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A file layer for SQLite that can fail: the VFS "faulty" passes everything on to the system's, and
 * remembers beside it what a disk would hold.
 *
 * For each file it keeps the bytes as of the last sync, and every write and truncation since. A
 * power cut ends all writing; afterwards each write that was not synced is on the disk, or is not,
 * or only some of its 512-byte sectors are: each by the dice. A sync is never passed on: it is this
 * layer that knows what is safe.
 */
#ifndef SONA_TESTS_SIDECAR_STORE_FAULTY_H
#define SONA_TESTS_SIDECAR_STORE_FAULTY_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/engine/dice.h"

#define FAULTY_VFS "faulty"

enum faulty_error {
    FAULTY_NONE,
    FAULTY_FULL,      /* writes that make a file longer: no space */
    FAULTY_WRITE,     /* every write: I/O error */
    FAULTY_SYNC,      /* every sync: I/O error */
    FAULTY_READ_ONLY, /* every write: read-only file system */
    FAULTY_SYNC_LOST, /* every sync: I/O error, and no later one writes what it was for */
    FAULTY_READ_WAL,  /* every read of the WAL: I/O error */
    FAULTY_BUSY,      /* somebody else is making a checkpoint, and does not end */
};

/* Register the layer; forget all files; no error, no cut. */
void faulty_reset(void);
void faulty_set(enum faulty_error error);
/* Cut the power at the n-th write, truncation, sync or removal from now; UINT64_MAX: never. */
void faulty_cut_after(uint64_t n);
bool faulty_is_cut(void);
/* Told of a cut at once, under the layer's lock, while whoever writes waits: to end the process, as
 * the cut would. */
void faulty_on_cut(void (*told)(void));
/* Refusals of FAULTY_WRITE, FAULTY_READ_WAL and FAULTY_BUSY since they were set. */
uint64_t faulty_refusals(void);
/* Operations counted so far. */
uint64_t faulty_operations(void);
/* Write what the disk holds after the cut over the files. Nobody has them open any more. */
void faulty_restore(struct dice *dice);

#endif
