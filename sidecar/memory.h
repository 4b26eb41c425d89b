/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Where the bytes of a sidecar go: what a configuration will allocate, known before anything is,
 * and what the process holds privately.
 */
#ifndef SONA_SIDECAR_MEMORY_H
#define SONA_SIDECAR_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include <sona/config.h>

struct sona_sidecar_whole;

struct sona_sidecar_memory {
    uint64_t engine; /* of the same learner embedded: sona_engine_bytes() */
    /* of a sidecar: */
    uint64_t learner, job;
    uint64_t waiting; /* decisions and trajectories, the intake with them */
    uint64_t queue;   /* from intake to learner */
    uint64_t segment; /* shared with the clients */
    uint64_t total;   /* the five together; `memory_bytes` of its statistics */
};

/* SONA_E_CONFIG, SONA_E_RANGE. */
sona_err sona_sidecar_memory_of(const sona_config *config, struct sona_sidecar_memory *ret,
                                sona_diag *reterr);

/* Write that of every preset, and of each instance, to stdout: a table, or one JSON object a line.
 * False when stdout takes no more. */
bool sona_sidecar_memory_print(const struct sona_sidecar_whole *whole);

/* Bytes that are this process's alone (smaps_rollup: private dirty); 0 without /proc. Clean private
 * pages are the files of programs and libraries, private or not as others happen to use them. */
uint64_t sona_sidecar_memory_private(void);
/* Remember them as what the libraries take, first thing in main(); and give them back. */
void sona_sidecar_memory_mark(void);
uint64_t sona_sidecar_memory_marked(void);

#endif
