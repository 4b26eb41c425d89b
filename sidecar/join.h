/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What one record does: judged, then remembered, joined, or counted under the reason why not. No
 * thread, no clock, no shared memory: the intake's conscience, tested without its body.
 */
#ifndef SONA_SIDECAR_JOIN_H
#define SONA_SIDECAR_JOIN_H

#include <stdbool.h>
#include <stdint.h>

#include <sona/config.h>
#include <sona/error.h>

#include "engine/model/model.h"
#include "engine/pending/pending.h"
#include "engine/state/container.h"
#include "sidecar/joined.h"
#include "sidecar/judge.h"

#define SONA_SIDECAR_KINDS (SONA_RECORD_SIGNAL + 1)

struct sona_sidecar_join {
    struct sona_pending *pending;
    struct sona_pending_sums *sums;
    uint64_t bytes; /* of both tables */
    /* A trajectory that ended: the sums of its steps first, layer by layer, its outcome last. */
    struct {
        struct sona_pending_joined joined;
        uint32_t at; /* of the next sums */
        bool open;   /* the outcome is still to come */
        uint64_t now_ms;
    } rest;
    struct sona_sidecar_rules rules;
    uint64_t taken;
    uint64_t signals; /* handed on: directions, and rewards about no decision */
    uint64_t accepted[SONA_SIDECAR_KINDS]; /* not refused at sight */
    uint64_t refused[SONA_COUNTER_COUNT];  /* at sight, by reason */
};

/* One record on its way through. */
struct sona_sidecar_taken {
    struct sona_sidecar_origin origin;
    uint64_t owner;  /* who speaks: uid */
    bool muted;      /* it says more than its share (influence.h) */
    bool on_its_way; /* OUTCOME, END, REVOKE: the decision may still lie in its lane */
    bool withheld;   /* DECIDE, BEGIN: the learner does not see the query (sidecar/ration.h) */
    bool thinned;    /* what comes of it and would be learned is counted instead */
    uint64_t now_ms;
    struct sona_record *record; /* private copy, with its floats */
};

/* Bytes of the tables that sona_sidecar_join_init() allocates. */
size_t sona_sidecar_join_bytes(const sona_config *config, const struct sona_model_layout *layout);
sona_err sona_sidecar_join_init(struct sona_sidecar_join *ret, const sona_config *config,
                                const struct sona_model_layout *layout, sona_diag *reterr);
/* Empty, with the same tables: `config` and `layout` are those that it was made with. */
void sona_sidecar_join_begin_anew(struct sona_sidecar_join *join, const sona_config *config,
                                  const struct sona_model_layout *layout);
void sona_sidecar_join_done(struct sona_sidecar_join *join);

/* Take one record. True: the learner has something to see, a query or what came of one, in `ret`
 * and the vectors behind it. There may be more of it: call sona_sidecar_join_more() until it
 * returns false, before anything else. */
bool sona_sidecar_join_take(struct sona_sidecar_join *join, const struct sona_sidecar_taken *taken,
                            struct sona_sidecar_joined *ret);
bool sona_sidecar_join_more(struct sona_sidecar_join *join, struct sona_sidecar_joined *ret);
static inline bool sona_sidecar_join_has_more(const struct sona_sidecar_join *join)
{
    return join->rest.open;
}
/* Nothing more will come under this tag: outcomes parked for it are unknown. */
void sona_sidecar_join_forget_tag(struct sona_sidecar_join *join, uint32_t tag);
/* Forget what waited too long, a bounded number: *budget entries. True: a decision gets the default
 * quality, and fills `ret`; call again. */
#define SONA_SIDECAR_EXPIRE_BUDGET 256u
bool sona_sidecar_join_expire(struct sona_sidecar_join *join, uint64_t now_ms, uint32_t *budget,
                              struct sona_sidecar_joined *ret);
/* What was just returned, and all that is still to come of it, gives way to a disk that is too
 * slow: counted as drop_thinned. False: it is a correction of something learned, which does not. */
bool sona_sidecar_join_thin(struct sona_sidecar_join *join, struct sona_sidecar_joined *event);
/* What waits, and every counter, as sections of a container (engine/state); between two records,
 * with nothing more to come of the last one. Loading is into a join that was just initialised with
 * the same capacities: SONA_E_FORMAT with a diagnostic, and it must be initialised again. */
void sona_sidecar_join_save(const struct sona_sidecar_join *join, struct sona_state_writer *writer);
sona_err sona_sidecar_join_load(struct sona_sidecar_join *join, struct sona_state_reader *reader);
/* Add the counters and gauges to `stats`. */
void sona_sidecar_join_stats(const struct sona_sidecar_join *join, sona_stats *stats);

#endif
