/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A learner that never stops, fed from the journal of sidecars that are killed: what their state
 * must be, to the bit. It reads the rows between two lives, as an operator's sqlite3 would, and
 * leaves the files as the killed one left them.
 */
#ifndef SONA_TESTS_SYSTEM_FOLLOWER_H
#define SONA_TESTS_SYSTEM_FOLLOWER_H

#include <stdbool.h>
#include <stdint.h>

#include "sidecar/chronicle.h"
#include "sidecar/core.h"
#include "sidecar/options.h"
#include "sidecar/store/row.h"
#include "tools/spawn.h"

#define FOLLOWER_ARGS_MAX 32

struct follower {
    char db[160];
    char *argv[FOLLOWER_ARGS_MAX + 1]; /* the options point into them */
    struct sona_sidecar_options *options;
    struct sona_model_layout layout;
    struct sona_sidecar_core core;
    struct sona_sidecar_chronicle chronicle;
    struct sona_sidecar_replay replay;
    struct sona_store_row_buffer *buffer;
    uint64_t rows, kinds[64];
    sona_store_visitor *visit; /* sees each row, too; may be null */
    void *context;
};

/* `args`: the sidecars', null-terminated. */
sona_err follower_open(struct follower *ret, const char *state_dir, const char *instance,
                       const char *const *args, sona_diag *reterr);
/* Do what is new in the journal. No sidecar lives. SONA_E_FORMAT: a row is missing, damaged, no
 * longer exact, or cannot be done. */
sona_err follower_read(struct follower *follower, sona_diag *reterr);
/* Whether the newest generation, with what came after it done again, gives the follower's bytes;
 * the diagnostic says why not. The store is opened: what waits in the intake log is journaled, and
 * read. */
bool follower_agrees(struct follower *follower, const struct sona_spawn *sidecar,
                     const char *state_dir, sona_diag *reterr);
void follower_close(struct follower *follower);

#endif
