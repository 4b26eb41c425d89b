/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The publisher's half: owns the model segment, chooses free slots, brings them up to date, swaps
 * `cur`. One thread (the learner's) publishes; it never waits for a reader.
 *
 * The model is opaque bytes: a dense head that is always copied, and tables of rows with the step
 * of their last change, of which only those not older than the slot's last image are copied.
 */
#ifndef SONA_SHM_PUBLISHER_H
#define SONA_SHM_PUBLISHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/layout.h"

#define SONA_SHM_TABLES_MAX 4u

/* Rows of a half. */
struct sona_shm_rows {
    size_t offset, stride;
    uint32_t count;
    const uint64_t *changed_at; /* [count] learner step of the last change */
};

/* A hot half as the learner holds it. */
struct sona_shm_image {
    const void *bytes;
    size_t size;
    size_t dense_bytes; /* head, always copied */
    uint64_t step;      /* learner step it shows */
    uint32_t n_tables;
    struct sona_shm_rows table[SONA_SHM_TABLES_MAX];
};

struct sona_shm_publisher;

/* What a segment is made of. */
struct sona_shm_segment_options {
    const char *instance;
    sona_geometry geometry;
    uint64_t hot_bytes, cold_bytes; /* of a model half */
    uint32_t hot_slots, cold_slots; /* 0: the defaults */
    uint32_t ring_slots;            /* 0: the default */
    uint32_t lease_ms;              /* 0: SONA_SHM_LEASE_MS */
    uint64_t wall_us;               /* wall clock: g, generation and incarnation start from it */
    uint64_t floor_g;               /* a g that was used by an earlier sidecar, as somebody else
                                       remembers it; 0: nobody does */
    /* Go on in the segment that a dead sidecar left, if it fits. */
    bool adopt;
    uint64_t now_ms;   /* monotonic: leases and grace of adopted slots begin here */
    uint32_t grace_ms; /* 0: SONA_SHM_GRACE_MS */
    /* Null, or: is this pair of halves a sound model? One that is not is not adopted. */
    bool (*judge)(const void *arg, const void *hot, const void *cold);
    const void *judge_arg;
};

/* g begins at the wall clock in ticks of this length, and a publisher must publish more rarely than
 * that; then no g comes twice, even when the old segment is gone (docs/adr/0003). 48 bits of such
 * ticks last until the year 2148. */
#define SONA_SHM_G_TICK_US 20u

/* Create the segment in state INIT, or adopt what a dead sidecar of the same instance left, in the
 * state it left it. What is not adopted is marked RETIRED and its name removed; generation,
 * incarnation and g go on from there. SONA_E_BUSY (a live sidecar writes it), SONA_E_PERMISSION
 * (another user's), SONA_E_MEMORY (/dev/shm too small: says how much is needed), SONA_E_RANGE,
 * SONA_E_SYSTEM. */
sona_err sona_shm_publisher_create(struct sona_shm_publisher **ret,
                                   const struct sona_shm_segment_options *options,
                                   sona_diag *reterr);
/* Unmap, free and clear the pointer. `unlink_name`: also remove the segment's name (clean stop). */
void sona_shm_publisher_destroy(struct sona_shm_publisher **publisher, bool unlink_name);

int sona_shm_publisher_fd(const struct sona_shm_publisher *publisher); /* read-only descriptor */
const struct sona_shm_header *sona_shm_publisher_header(const struct sona_shm_publisher *publisher);
struct sona_shm_live *sona_shm_publisher_live(struct sona_shm_publisher *publisher);
struct sona_shm_counters *sona_shm_publisher_counters(struct sona_shm_publisher *publisher);

/* True when the segment is one that a dead sidecar left. Until its clients are back, or the grace
 * is over, every slot that it had bound counts as pinned: a publication may be coalesced, also the
 * first. */
bool sona_shm_publisher_adopted(const struct sona_shm_publisher *publisher);
/* Why what a dead sidecar left was not adopted; null: nothing was left, or it was. Static. */
const char *sona_shm_publisher_renewed(const struct sona_shm_publisher *publisher);
/* All lanes of the dead sidecar are in the scan: the hazards say it all from now on. Any thread. */
void sona_shm_publisher_grace_end(struct sona_shm_publisher *publisher);
/* The hot half that readers see until the first publication, null: none. Before that, by the thread
 * that publishes. */
const void *sona_shm_publisher_adopted_hot(const struct sona_shm_publisher *publisher);
/* The id that `cur` names; 0: none yet. Any thread. */
uint64_t sona_shm_publisher_current(const struct sona_shm_publisher *publisher);

/* Set the state that clients see (release: what was written before is seen with it). */
void sona_shm_publisher_set_state(struct sona_shm_publisher *publisher, enum sona_shm_state state);

/* Lanes whose hazards the scan reads. Add before the client learns of its attachment; remove after
 * its death is certain or its lanes are closed and past grace. `lanes`: mapped lane areas. Any
 * thread (a short lock, never taken by publish's fast path). */
sona_err sona_shm_publisher_scan_add(struct sona_shm_publisher *publisher, void *lanes,
                                     const struct sona_shm_plan *plan);
void sona_shm_publisher_scan_remove(struct sona_shm_publisher *publisher, void *lanes);

/* A free cold slot to write the next cold half into (any thread may write it, until published), or
 * null: none is free and none is past its lease; postpone. At most one is reserved. */
void *sona_shm_publisher_reserve_cold(struct sona_shm_publisher *publisher, uint64_t now_ms);
void sona_shm_publisher_cancel_cold(struct sona_shm_publisher *publisher);

/* Whoever pinned a slot loses it so long after cur left it: then a publication finds one. */
uint32_t sona_shm_publisher_lease_ms(const struct sona_shm_publisher *publisher);

/* The next image is no successor of those published: its learner was replaced, and steps may have
 * gone back. Every slot gets its whole image once before rows are compared by step again. */
void sona_shm_publisher_forget_images(struct sona_shm_publisher *publisher);

struct sona_shm_published {
    uint64_t id;      /* the new cur word; 0: coalesced, publish again later */
    uint32_t revoked; /* slots, hot and cold, taken from readers past their lease */
    uint64_t bytes;   /* copied */
};
/* Publish the hot half, with the reserved cold half when `with_cold`. Never waits. */
void sona_shm_publisher_publish(struct sona_shm_publisher *publisher,
                                const struct sona_shm_image *hot, bool with_cold, uint64_t now_ms,
                                struct sona_shm_published *ret);

#endif
