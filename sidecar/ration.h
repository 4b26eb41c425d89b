/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What is kept of more than the journal can take. Everything that changes the learner is journaled
 * first, so a journal that is behind is a learner that is behind; something has to give way, in the
 * intake, before it has a number in the stream of events:
 *
 *     queries without an outcome   a uniform share of them, so that `query_rate` a second are left;
 *                                  none while the learner's queue or the way to the disk
 *                                  is more than half full, and none for a learner that does not
 *                                  watch queries at all
 *     outcomes                     from a half full way on a share of them, from 15/16 on all;
 *                                  each is counted, drop_thinned, and said once in the log
 *
 * The way to the disk is the intake log; where learning waits for the disk (durability every), the
 * learner's queue. As it drains more is kept again: what is kept settles at what the disk takes,
 * and nothing grows. What is chosen is written into the arena's entry, so that a replay chooses the
 * same. A disk that refuses altogether is another matter: then learning waits (chronicle.h).
 *
 * Shares are by hash of the id, each with a seed of its own: independent of what ids look like, and
 * of each other. One thread.
 */
#ifndef SONA_SIDECAR_RATION_H
#define SONA_SIDECAR_RATION_H

#include <stdbool.h>
#include <stdint.h>

struct sona_record;
struct sona_shm_queue;
struct sona_store;

struct sona_sidecar_ration_options {
    bool active;         /* false: everything is kept, and waits for the journal */
    bool queries;        /* the learner watches queries */
    uint32_t query_rate; /* a second; 0: all */
    /* What lies between the intake and the disk. */
    const struct sona_store *store;
    const struct sona_shm_queue *queue;
    bool learn_durable; /* the queue waits for the disk, too */
};

struct sona_sidecar_ration {
    struct sona_sidecar_ration_options options;
    /* Queries of this window, whose length makes the share of the next. */
    uint64_t window_ms;
    uint32_t asked;
    double query_share;
    /* Of outcomes. */
    double outcome_share;
    bool crowded;     /* queries without an outcome give way */
    bool thinning;    /* said */
    uint64_t thinned; /* all there ever were, when it was said */
};

void sona_sidecar_ration_init(struct sona_sidecar_ration *ret,
                              const struct sona_sidecar_ration_options *options);
/* Look how full queue and store are; now and then, before the two below. */
void sona_sidecar_ration_measure(struct sona_sidecar_ration *ration, uint64_t thinned,
                                 uint64_t now_ms);
/* The same, told: how full the way to the disk is, and the learner's queue, 0..1; outcomes thinned
 * so far; the time: now and then, before the two below. */
void sona_sidecar_ration_look(struct sona_sidecar_ration *ration, double disk, double queue,
                              uint64_t thinned, uint64_t now_ms);
/* Whether this record is a query that gives way; a query counts towards the rate. */
bool sona_sidecar_ration_withholds(struct sona_sidecar_ration *ration,
                                   const struct sona_record *record);
/* Whether what comes of this record gives way. */
bool sona_sidecar_ration_thins(struct sona_sidecar_ration *ration, uint64_t id);

#endif
