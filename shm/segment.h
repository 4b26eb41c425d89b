/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The file behind the model: one POSIX shared memory object, and what a dead sidecar left under the
 * same name.
 *
 *     (none) ──create──► INIT ──set_state──► LIVE ──► DRAINING ──► RETIRED, name removed
 *                          ▲                  ▲
 *     left by kill -9 ─────┼──adopted─────────┘ the same bytes, a new incarnation; readers stay
 *                          └──renewed: marked RETIRED, name removed; generation, incarnation, g go
 * on
 *
 * Adopted is what was made for the very same geometry, by the same layout, whole, and whose current
 * pair is bound and sound. Of its bytes nothing but `cur`, the bindings and three numbers is
 * believed: the publisher writes every slot anew before it goes on from it.
 *
 * Invariants: the name leads to at most one segment that a live sidecar writes, whatever runtime
 * directory that sidecar was given (an open-file-description lock on the object itself); every page
 * is allocated before the first is written, so that no later store meets a full /dev/shm.
 */
#ifndef SONA_SHM_SEGMENT_H
#define SONA_SHM_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/layout.h"
#include "shm/publisher.h"

#define SONA_SHM_NAME_BYTES 80u /* "/sona." + instance + ".model" */

struct sona_shm_segment {
    char name[SONA_SHM_NAME_BYTES];
    int fd;      /* read-write, holds the lock */
    int read_fd; /* read-only, for clients */
    char *map;
    struct sona_shm_plan plan;
    struct sona_shm_header header; /* private copy of page 0 */
    uint64_t first_g;    /* below every g that will be published here, above every other */
    bool adopted;        /* `cur` names a pair that a dead sidecar published */
    const char *renewed; /* why what a dead sidecar left was not adopted; null: nothing was left */
};

/* Make the segment of options->instance in state INIT, with `cur` 0. Errors as
 * sona_shm_publisher_create(). Nothing is left behind on an error. */
sona_err sona_shm_segment_create(struct sona_shm_segment *ret,
                                 const struct sona_shm_segment_options *options, sona_diag *reterr);
/* Unmap and close; `unlink_name`: also remove the name. */
void sona_shm_segment_destroy(struct sona_shm_segment *segment, bool unlink_name);

/* The g to start above: past `old_g` by 2^20 when a stale segment was read (else 0), and past the
 * wall clock in ticks of SONA_SHM_G_TICK_US. */
uint64_t sona_shm_segment_first_g(uint64_t old_g, uint64_t wall_us);

#endif
