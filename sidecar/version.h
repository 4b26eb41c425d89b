/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What the learner shows to the other threads of the sidecar: an immutable object, swapped by
 * liburcu. The learner is the only writer; control and intake read under sona_sidecar_version_read.
 * (Other processes read snapshots by our own protocol, shm/publisher.h.)
 *
 * Every thread that reads or swaps calls sona_sidecar_version_enter once, and leave at its end.
 */
#ifndef SONA_SIDECAR_VERSION_H
#define SONA_SIDECAR_VERSION_H

#include <stdatomic.h>
#include <stdint.h>

#include <urcu.h>

#include <sona/model.h>
#include <sona/stats.h>

/* The pattern bank, which changes with the cold half: too large for every version, so one object is
 * shared by those between two such changes. */
struct sona_sidecar_bank {
    _Atomic uint32_t owners; /* versions that have it; relaxed to add, the last release frees */
    uint32_t n;
    sona_pattern pattern[]; /* n */
};

struct sona_sidecar_version {
    struct rcu_head rcu;
    struct sona_sidecar_bank *bank; /* null: none yet, or no memory */
    sona_stats stats;               /* the learner's counters and gauges */
    uint64_t published_us;          /* when its snapshot was, by the monotonic clock */
    uint64_t route_changes;         /* grows when the route table changes */
    uint64_t cycles;                /* background cycles that the bank has seen */
    uint64_t cold_changes;          /* grows when the bank is another one */
    uint32_t enabled;               /* 1: learning is on */
    uint32_t n_routes;
    float explores, explores_configured; /* max_explore in effect, and of the configuration */
    sona_route_info route[];             /* n_routes */
};

/* The one pointer. */
struct sona_sidecar_versions {
    struct sona_sidecar_version *current;
};

void sona_sidecar_version_enter(void);
void sona_sidecar_version_leave(void);

/* A new object with room for n_routes, to be filled and swapped in; null without memory. */
struct sona_sidecar_version *sona_sidecar_version_make(uint32_t n_routes);
/* An object for n patterns, with no owner; null without memory. */
struct sona_sidecar_bank *sona_sidecar_bank_make(uint32_t n);
/* Give a version its share of the bank; null is fine. */
void sona_sidecar_version_share(struct sona_sidecar_version *version,
                                struct sona_sidecar_bank *bank);
/* Show `next`; the one before is freed when no reader holds it any more. */
void sona_sidecar_version_swap(struct sona_sidecar_versions *versions,
                               struct sona_sidecar_version *next);
/* Free the last one. Every other thread has left. */
void sona_sidecar_version_done(struct sona_sidecar_versions *versions);

/* The current object, valid until sona_sidecar_version_unread; null before the first. Do not block
 * in between. */
const struct sona_sidecar_version *
sona_sidecar_version_read(const struct sona_sidecar_versions *versions);
void sona_sidecar_version_unread(void);

#endif
