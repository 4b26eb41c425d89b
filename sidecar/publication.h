/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What is shown of the learner, and when: snapshots to clients, versions to the other threads.
 *
 * When a snapshot is due: at once when there is nothing more to learn (but never twice in one tick
 * of g), and every 500 us while there is, so that a flood of feedback costs 2,000 copies a second
 * and a single feedback is visible in microseconds.
 *
 * The order of a cold half: reserve before the cycle starts, renew when it is installed; the next
 * snapshot carries both new halves under one word. Between the two nothing else is published, so
 * that no reader sees a fold half done. All of it is the learner thread's.
 */
#ifndef SONA_SIDECAR_PUBLICATION_H
#define SONA_SIDECAR_PUBLICATION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/model/model.h"
#include "shm/publisher.h"
#include "sidecar/histogram.h"
#include "sidecar/joined.h"
#include "sidecar/tally.h"
#include "sidecar/version.h"

struct sona_learner;

struct sona_sidecar_publication {
    const struct sona_learner *learner;
    const struct sona_model_layout *layout;
    struct sona_shm_publisher *publisher;
    struct sona_sidecar_stream *stream; /* told how far the versions are */
    struct sona_sidecar_versions *versions;

    /* What the learner says. */
    uint64_t taken;         /* events taken from the queue */
    bool dirty;             /* learned since the last snapshot */
    bool stale;             /* something to show since the last version */
    uint64_t route_changes; /* grows when the route table changes */
    uint64_t cold_changes;  /* and when the cold half does */
    uint64_t bytes;         /* of its memory */
    double cycle_ms;        /* what the last cycle took */

    uint64_t published_us, shown_us;  /* tried last, done last */
    uint64_t snapshot_us;             /* when the last snapshot became visible */
    uint64_t published_step, version; /* of the last snapshot */
    bool held;                        /* the last snapshot was coalesced: readers hold every slot */
    bool cold_new;                    /* the cold half is not published yet */
    bool cold_written;                /* but copied into the reserved slot */
    void *cold_slot;                  /* reserved, null: none */
    struct sona_sidecar_tally tally;
    struct sona_sidecar_histogram publish_times; /* a snapshot's */
    _Atomic uint64_t refused;                    /* snapshots; relaxed: a figure for people */
};

/* Reserve a slot for the cold half that a cycle is going to make. False: none is free now. */
bool sona_sidecar_publication_reserve(struct sona_sidecar_publication *p, uint64_t now_us);
void sona_sidecar_publication_cancel(struct sona_sidecar_publication *p);
/* The cold half is another one. */
void sona_sidecar_publication_renew(struct sona_sidecar_publication *p);
/* The whole learner is another one; it may have taken fewer steps. */
void sona_sidecar_publication_replace(struct sona_sidecar_publication *p);

/* Publish a snapshot now, if a slot is free (else `dirty` stays) and the weights are sound. */
void sona_sidecar_publication_publish(struct sona_sidecar_publication *p, uint64_t now_us);
/* Show a version now. */
void sona_sidecar_publication_show(struct sona_sidecar_publication *p, uint64_t now_us);
/* Publish and show what is due; returns in how many microseconds the next of them is, SONA_
 * SIDECAR_IDLE_US at most. `idle`: there is nothing more to learn. */
#define SONA_SIDECAR_IDLE_US 20000u
uint64_t sona_sidecar_publication_deliver(struct sona_sidecar_publication *p, uint64_t now_us,
                                          bool idle);

#endif
