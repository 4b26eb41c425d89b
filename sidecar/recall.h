/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A join that remembers: whatever goes into it goes into the arena first, so that the next process
 * finds what waits for its outcome, and brings out what the last one had not handed over.
 *
 *     record, new rules, window's end, client's end ──► arena ──► join ──► events, numbered
 *     start: checkpoint ──► the same again ──► events that the learner has are left out
 *
 * Events are numbered over all starts. The learner's journal says how many it has taken; those
 * before are known, those from there on are handed over (again: they were in a queue that died).
 * The intake's, and its thread's rules.
 */
#ifndef SONA_SIDECAR_RECALL_H
#define SONA_SIDECAR_RECALL_H

#include <stdbool.h>
#include <stdint.h>

#include "sidecar/arena.h"
#include "sidecar/join.h"

struct sona_sidecar_recall {
    const sona_config *config;
    const struct sona_model_layout *layout;
    struct sona_sidecar_join join;
    struct sona_sidecar_arena *arena; /* null: what waits ends with the process */
    uint32_t record_stride;
    size_t checkpoint_bytes;
    uint64_t made;  /* number of the next event */
    uint64_t taken; /* at the start: events before it are the learner's already */
    /* Where each lane was when it was last drained, by what the arena holds. */
    struct sona_sidecar_recalled_lane {
        uint32_t tag, lane;
        uint64_t next;
    } * lanes;
    uint32_t n_lanes;
};

struct sona_sidecar_recall_options {
    const sona_config *config;
    const struct sona_model_layout *layout;
    uint32_t record_stride;
    const char *path; /* of the arena; null: none */
    /* Whose events `taken` counts: what an arena kept beside another journal has not been learned
     * there, but it was told to somebody else. 0: none. */
    uint64_t journal;
    uint64_t taken;
};

sona_err sona_sidecar_recall_init(struct sona_sidecar_recall *ret,
                                  const struct sona_sidecar_recall_options *options,
                                  sona_diag *reterr);
/* `remove`: nobody comes back to what waits. */
void sona_sidecar_recall_done(struct sona_sidecar_recall *recall, bool remove);
/* Look at an arena (arena.h). */
void sona_sidecar_recall_verify(const char *path, sona_sidecar_finding *tell, void *context);
size_t sona_sidecar_recall_arena_bytes(const struct sona_sidecar_recall_options *options);

/* Take what the last process left, once, before anything else. `hand` gets each event that the
 * learner has not; it may wait for room. An error: nothing is recalled, and it goes on anew. */
struct sona_sidecar_recall_hand {
    void *context;
    struct sona_sidecar_joined *(*slot)(void *context);
    void (*commit)(void *context);
};
sona_err sona_sidecar_recall_replay(struct sona_sidecar_recall *recall,
                                    const struct sona_sidecar_recall_hand *hand, sona_diag *reterr);

/* Room for one more call of those below; writes a checkpoint when that is what it takes. `settled`:
 * the learner has kept every event that was handed over, else a checkpoint would leave behind what
 * nobody else knows. False: not now; nothing below may be called. Between two records, whose slots
 * were given back. */
bool sona_sidecar_recall_ready(struct sona_sidecar_recall *recall, bool settled);
/* The same between two records of one visit, where no checkpoint may be written. */
bool sona_sidecar_recall_has_room(const struct sona_sidecar_recall *recall);

/* As the functions of join.h, remembered. */
bool sona_sidecar_recall_take(struct sona_sidecar_recall *recall,
                              const struct sona_sidecar_taken *taken,
                              struct sona_sidecar_joined *ret);
bool sona_sidecar_recall_more(struct sona_sidecar_recall *recall, struct sona_sidecar_joined *ret);
/* `thinned`: as struct sona_sidecar_taken has it. True with *ret_kept false: it gave way. */
bool sona_sidecar_recall_expire(struct sona_sidecar_recall *recall, uint64_t now_ms,
                                uint32_t *budget, bool thinned, struct sona_sidecar_joined *ret,
                                bool *ret_kept);
void sona_sidecar_recall_forget_tag(struct sona_sidecar_recall *recall, uint32_t tag);
/* The published route table is another one. */
void sona_sidecar_recall_rules(struct sona_sidecar_recall *recall,
                               const struct sona_sidecar_route *routes, uint32_t n_routes);

#endif
