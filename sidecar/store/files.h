/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The names of a store's files, whose they may be, and the lock that one process holds. Everything
 * is checked before SQLite opens anything: it opens what it finds.
 */
#ifndef SONA_SIDECAR_STORE_FILES_H
#define SONA_SIDECAR_STORE_FILES_H

#include <assert.h>

#include "sidecar/store/store.h"

#define SONA_STORE_PATH_MAX 4096 /* PATH_MAX, as realpath writes */

struct sona_store_files {
    char db[SONA_STORE_PATH_MAX], lock[SONA_STORE_PATH_MAX], intake[SONA_STORE_PATH_MAX];
    int lock_fd; /* -1: none */
};

/* Make the directories, name and check the files, take the lock. */
sona_err sona_store_files_open(struct sona_store_files *ret,
                               const struct sona_store_options *options, sona_diag *reterr);
void sona_store_files_close(struct sona_store_files *files);

#endif
