/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Decisions and trajectories that wait for their outcome, and the join when it comes.
 *
 * A fixed arena of entries in a hash table by id, in order of arrival. A full arena evicts the
 * oldest waiting entry and counts it. Of a resolved entry the id stays, as long as `capacity`
 * others are not resolved after it, so that a second outcome is told from an unknown one. An
 * outcome or revocation whose decision is known to be still on its way (the caller says so) is
 * parked and resolved when the decision arrives.
 *
 * Within the feedback window, counted from the decision, a second outcome that says the same is a
 * duplicate and one that says something else replaces the first; a revocation takes it back for
 * good, in whichever order it and the outcome arrive. Used by sona_engine in process and by the
 * sidecar's intake.
 */
#ifndef SONA_ENGINE_PENDING_PENDING_H
#define SONA_ENGINE_PENDING_PENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sona/config.h>
#include <sona/error.h>
#include <sona/model.h>
#include <sona/stats.h>

#include "engine/pending/sums.h"

struct sona_pending;

#define SONA_PENDING_PARKED_MAX 4096 /* outcomes waiting for their decision */

enum sona_pending_kind { SONA_PENDING_DECISION = 0, SONA_PENDING_TRAJECTORY = 1 };

/* What is remembered about one decision or trajectory. */
struct sona_pending_entry {
    uint64_t id;
    uint64_t owner; /* who may tell its outcome (the sidecar: uid); equal owners may */
    uint64_t begun_ms;
    uint64_t version;
    enum sona_pending_kind kind;
    sona_route route; /* SONA_ROUTE_NONE: not known (yet) */
    float propensity;
    uint32_t steps;
    float reward_sum; /* of the steps */
    uint32_t sums;    /* of its steps' activations (sums.h); SONA_PENDING_NO_SUM: none */
    uint16_t type;    /* sona_pattern_type that its contexts name, the last one counts; 0: none */
    uint16_t unrecorded; /* share of the decisions that were left out where it was recorded */
    uint32_t tenant;     /* 0: nobody's in particular */
    const float *x;      /* dim_padded floats in the arena, prepared; valid until the next call */
};

/* What the learner is to be told. */
enum sona_pending_word {
    SONA_PENDING_JOINED = 0, /* an outcome, or the default quality after a window */
    SONA_PENDING_REPLACING,  /* another outcome for entry.id; of the entry only the id is known */
    SONA_PENDING_REVOKING    /* the outcome of entry.id is taken back; likewise */
};

/* A joined outcome, to be handed to the learner at once. */
struct sona_pending_joined {
    enum sona_pending_word word;
    struct sona_pending_entry entry;
    float quality;
    uint32_t latency_us;
};

/* Bytes of memory for capacity entries of dim_padded floats, and its initialisation. A decision
 * whose window ends gets default_quality, or nothing when that is negative. */
size_t sona_pending_bytes(uint32_t capacity, uint32_t dim_padded);
struct sona_pending *sona_pending_init(void *memory, uint32_t capacity, uint32_t dim_padded,
                                       uint64_t window_ms, uint32_t max_steps,
                                       float default_quality);

/* Remember a decision or trajectory; x is copied; begun_ms, steps and reward_sum of `entry` are not
 * read: it begins now, without steps. When an outcome is parked for it, it is joined at once:
 * returns true and fills `ret`. SONA_E_DUPLICATE in *err for an id that is known, counted as
 * drop_duplicate; else SONA_OK. */
bool sona_pending_add(struct sona_pending *pending, const struct sona_pending_entry *entry,
                      uint64_t now_ms, struct sona_pending_joined *ret, sona_err *err);
/* Note a step. SONA_E_UNKNOWN_ID, SONA_E_DUPLICATE (ended), SONA_E_LIMIT */
sona_err sona_pending_step(struct sona_pending *pending, uint64_t id, float reward);
/* Where the activations of steps are summed; without it they teach nothing. Borrowed. */
void sona_pending_use_sums(struct sona_pending *pending, struct sona_pending_sums *sums);
/* The activations of a step that sona_pending_step() has taken. Without room for them
 * drop_step_sums counts them, and nothing else changes. */
void sona_pending_activations(struct sona_pending *pending, uint64_t id,
                              const struct sona_pending_activations *step);
/* The statistics of such a step, by node. */
void sona_pending_note(struct sona_pending *pending, uint32_t node, float score, float reward,
                       uint32_t latency_us);
/* Note what a context says a trajectory or decision is about. SONA_E_UNKNOWN_ID, SONA_E_DUPLICATE
 * (ended) */
sona_err sona_pending_context(struct sona_pending *pending, uint64_t id, sona_pattern_type type);
/* Set the route of a trajectory. SONA_E_UNKNOWN_ID (also for a decision, whose route is drawn),
 * SONA_E_DUPLICATE (ended) */
sona_err sona_pending_route(struct sona_pending *pending, uint64_t id, sona_route route);
/* Join an outcome. `on_its_way`: the decision was sent but has not been added yet, so park. Returns
 * SONA_OK with *joined telling whether `ret` was filled now (else it is parked);
 * SONA_E_UNKNOWN_ID, SONA_E_DUPLICATE (said before, or revoked), SONA_E_PERMISSION (another owner),
 * SONA_E_TIMEOUT (expired), SONA_E_LIMIT (no parking space). Every refusal is counted. */
sona_err sona_pending_outcome(struct sona_pending *pending, uint64_t id, uint64_t owner,
                              float quality, uint32_t latency_us, uint64_t now_ms, bool on_its_way,
                              struct sona_pending_joined *ret, bool *joined);
/* Take an outcome back: as sona_pending_outcome(). A decision that still waits is withdrawn:
 * SONA_OK with *joined false, and its outcome will be refused. */
sona_err sona_pending_revoke(struct sona_pending *pending, uint64_t id, uint64_t owner,
                             uint64_t now_ms, bool on_its_way, struct sona_pending_joined *ret,
                             bool *joined);
/* Whether anything waited longer than the window. */
bool sona_pending_is_due(const struct sona_pending *pending, uint64_t now_ms);
/* Forget what waited longer than the window, counted as drop_abandoned (entries) and
 * drop_unknown_id (what was parked for a decision that never came). True: a decision is to be
 * learned with the default quality, counted as defaulted; call again. At most *budget entries are
 * looked at, which is taken off *budget. */
bool sona_pending_expire(struct sona_pending *pending, uint64_t now_ms, uint32_t *budget,
                         struct sona_pending_joined *ret);
/* The caller knows that no decision with this id will come any more (its lane is drained and gone):
 * what is parked for ids with (id & mask) == tag is counted as unknown and forgotten. */
void sona_pending_unpark(struct sona_pending *pending, uint64_t tag, uint64_t mask);

/* Add this table's counters and gauges to `stats`. */
void sona_pending_stats(const struct sona_pending *pending, sona_stats *stats);

#endif
