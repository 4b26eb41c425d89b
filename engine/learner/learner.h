/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The learner: state = f(configuration, events). One block of memory, no clock, no thread, no file.
 *
 *     event ──► learn (loop A) ──► working model (hot rows marked changed)
 *                  │ replay ring
 *     cycle_start ─┴─► job ── cycle_run (any thread, pure) ──► cycle_install ──► new cold half
 *
 * A background cycle reads the state at its start; what was learned between start and install is
 * applied again on top at the install. Start and install are events like any other: replaying them
 * at the same positions gives the same bytes.
 */
#ifndef SONA_ENGINE_LEARNER_LEARNER_H
#define SONA_ENGINE_LEARNER_LEARNER_H

#include <stddef.h>
#include <stdint.h>

#include <sona/config.h>
#include <sona/engine.h>
#include <sona/model.h>
#include <sona/stats.h>

#include "engine/model/model.h"

struct sona_learner;
struct sona_learner_job; /* the input and output of one background cycle */

/* What an event says. */
enum sona_learner_kind {
    SONA_LEARNER_OUTCOME = 0,   /* what came of a query: learn from it */
    SONA_LEARNER_QUERY,         /* a query was seen; what comes of it may be told late, or never */
    SONA_LEARNER_REVOKE,        /* take back what the outcome `id` taught; nothing else is read */
    SONA_LEARNER_REPLACE,       /* the same, then learn its query and route with `quality` */
    SONA_LEARNER_QUERY_OUTCOME, /* a query, and an outcome that was there before it */
    SONA_LEARNER_STEPS,         /* what a trajectory's steps did in one layer; before its outcome */
    SONA_LEARNER_HIT,           /* a search found a pattern nearest */
    SONA_LEARNER_BASELINE,      /* a reward about nothing in particular: `quality` */
    SONA_LEARNER_GRADIENT,      /* x is a direction, for the query of outcome `id` if it is known */
    SONA_LEARNER_KINDS
};

/* A joined event: a query, the route that served it, and what came of it. */
struct sona_learner_event {
    enum sona_learner_kind kind;
    uint32_t tenant; /* whose query it is; 0: nobody's in particular */
    uint64_t id;
    const float *x;   /* dim_padded floats, prepared (sona_model_prepare) */
    sona_route route; /* SONA_ROUTE_NONE: no route is known (a bare trajectory) */
    float quality;    /* 0..1 */
    float propensity; /* 0 = unknown */
    uint64_t version; /* snapshot that decided */
    uint64_t now_ms;
    uint32_t type; /* OUTCOME: sona_pattern_type that its contexts name; 0: none */
    /* STEPS: x = sum a r h, base = sum a h over the layer's steps (h unit, a credit, r reward;
     * dim_padded floats each), credit = sum a, quality = sum a r / sum a, any finite number. */
    uint32_t layer; /* HIT: row of the pattern, whose number is `id` */
    float credit;
    const float *base;
};

/* Bytes for `config`, and initialisation of that memory (64-byte aligned, any content).
 * `config` was checked, `routes` validated with sona_learner_route_add()'s rules. */
size_t sona_learner_bytes(const sona_config *config);
struct sona_learner *sona_learner_init(void *memory, const sona_config *config);

/*
 * Learn from one event. SONA_OK: weights changed and `learned` counts it, or learning is switched
 * off and `drop_disabled` does, or the route is in mode bypass and `drop_bypass` does.
 * SONA_E_ROUTE: unknown or retired (drop_route, drop_route_retired). The caller has checked x,
 * quality and propensity, and they are checked again (SONA_E_NOT_FINITE, SONA_E_ZERO_VECTOR,
 * SONA_E_RANGE). A refusal changes its counter and nothing else.
 *
 * Without a route there is no head to credit. Such an event teaches what routes share: the
 * directions of queries (replay), the mass of the patterns near it, and MicroLoRA, which bends y
 * along x when the quality is above the running baseline of such events and away from it below.
 *
 * REVOKE and REPLACE find the outcome in the replay by its id: O(replay_capacity). SONA_OK counted
 * as revoked or replaced; SONA_E_TIMEOUT when the replay no longer has it (drop_revoke_late). What
 * is taken back when: see revoke.c.
 *
 * A query (SONA_LEARNER_QUERY) is counted and looked at; of the event only kind, id, x and now_ms
 * are read. Each query is told once, before its outcome.
 *
 * SONA_LEARNER_STEPS trains a copy of one BaseLoRA layer (layers.c) and SONA_LEARNER_HIT notes an
 * access to a pattern (asked.c): neither takes a step, and readers see both after the next install.
 */
sona_err sona_learner_learn(struct sona_learner *learner, const struct sona_learner_event *event);
/* Count an event that came from a file; then learn it. */
void sona_learner_imported(struct sona_learner *learner);
/* Queries seen so far. A query takes no step and publishes nothing by itself. */
uint64_t sona_learner_observed(const struct sona_learner *learner);
/* Whether it does anything with a query but count it. */
bool sona_learner_watches(const sona_config *config);
/* How often another regime became the active one: then every row and the cold half are new. */
uint64_t sona_learner_switches(const struct sona_learner *learner);
/* Whether it did since this was last asked: for a publisher. */
bool sona_learner_switched(struct sona_learner *learner);

/* The working model: what sona_model_* reads, and what a publisher copies from. */
struct sona_model_view sona_learner_view(const struct sona_learner *learner);
/* Per row of layout.routes and layout.pattern_stats: the learner step of its last change. */
const uint64_t *sona_learner_route_changes(const struct sona_learner *learner);
const uint64_t *sona_learner_pattern_changes(const struct sona_learner *learner);
/* The same for layout.tenant_index and layout.tenants. */
const uint64_t *sona_learner_index_changes(const struct sona_learner *learner);
const uint64_t *sona_learner_tenant_changes(const struct sona_learner *learner);
/* Events taken so far. An install changes rows without taking a step: readers who wait for an event
 * count events. */
uint64_t sona_learner_step(const struct sona_learner *learner);
/* SONA_COUNTER_COUNT of them; what sona_learner_stats() tells is computed, this is kept. */
const uint64_t *sona_learner_counters(const struct sona_learner *learner);

/* Background loop. due: a cycle should start now. start: copy what it needs into `job` (memory of
 * sona_learner_job_bytes()). run: pure, may be on another thread while learning goes on. install:
 * switch to the new cold half, fold MicroLoRA, reapply what came since; returns what changed. */
bool sona_learner_cycle_due(const struct sona_learner *learner, uint64_t now_ms);
size_t sona_learner_job_bytes(const sona_config *config);
struct sona_learner_job *sona_learner_job_init(void *memory, const sona_config *config);
bool sona_learner_cycle_start(struct sona_learner *learner, struct sona_learner_job *job,
                              uint64_t now_ms);
void sona_learner_cycle_run(struct sona_learner_job *job);
void sona_learner_cycle_install(struct sona_learner *learner, struct sona_learner_job *job,
                                sona_cycle_report *ret);

/* Routes and switches. */
sona_err sona_learner_route_add(struct sona_learner *learner, const sona_route_spec *spec,
                                sona_route *ret);
sona_err sona_learner_route_retire(struct sona_learner *learner, sona_route route);
/* SONA_E_ROUTE, SONA_E_RANGE */
sona_err sona_learner_route_mode(struct sona_learner *learner, sona_route route, sona_mode mode);
sona_err sona_learner_route_cost(struct sona_learner *learner, sona_route route, float cost);
void sona_learner_set_enabled(struct sona_learner *learner, bool enabled);
bool sona_learner_enabled(const struct sona_learner *learner);

/* Take over what SONA_CONFIG_LIVE_FIELDS names of `config`, which was checked; the rest of it is
 * not read. An event like any other: from here on the learner is one that had these values. A cycle
 * that runs goes on with those it started with. */
void sona_learner_configure(struct sona_learner *learner, const sona_config *config);
/* The configuration in effect. */
const sona_config *sona_learner_configuration(const struct sona_learner *learner);
/* Whether those fields are as in `config`. */
bool sona_learner_configured(const struct sona_learner *learner, const sona_config *config);

/* Let at most this share of decisions explore, whatever max_explore of the configuration says,
 * until the configuration says another value than it does now: the last word counts. Part of the
 * state. SONA_E_RANGE outside 0..1: nothing changed. */
sona_err sona_learner_explore(struct sona_learner *learner, float share);
/* The share in effect, and that of the configuration. */
float sona_learner_explores(const struct sona_learner *learner, float *ret_configured);

/* EWC++. boundary: a task ends here; false: it taught nothing, or EWC++ is off. consolidate: all
 * tasks into one; false: there are none to merge. Neither takes a step or moves a weight. */
bool sona_learner_ewc_boundary(struct sona_learner *learner);
bool sona_learner_ewc_consolidate(struct sona_learner *learner);
void sona_learner_ewc_state(const struct sona_learner *learner, sona_ewc *ret);
/* Importances of route row k: layout.geometry.dim floats, and that of the bias. */
void sona_learner_ewc_importance(const struct sona_learner *learner, uint32_t k, float *ret,
                                 float *ret_bias);
/* The most important weights; returns how many there are, at most `capacity`. */
uint32_t sona_learner_ewc_top(const struct sona_learner *learner, uint32_t capacity,
                              sona_ewc_weight *ret);

/* The pattern bank, at once; no cycle is running. See sona/engine.h. SONA_E_RANGE, with *ret as it
 * was: a factor outside 0..1, a quality outside 0..2, a cosine outside -1..1. */
sona_err sona_learner_decay(struct sona_learner *learner, float factor, sona_bank_report *ret);
sona_err sona_learner_prune(struct sona_learner *learner, const sona_prune_rule *rule,
                            sona_bank_report *ret);
sona_err sona_learner_consolidate(struct sona_learner *learner, float similarity,
                                  sona_bank_report *ret);

/*
 * The rows of the bank as they lie in it, layout.bank.stride bytes each (struct sona_model_bank and
 * its parts), and such rows taken into it (sona_learner_bank_take()); no cycle is running.
 * `ret`: room for layout.bank.count rows, aligned as they are; returns how many there are.
 * SONA_E_NOT_FINITE, SONA_E_RANGE: a row that sona_learner_bank_check() refuses.
 * SONA_E_LIMIT: the bank has no room. Then nothing of it changed but for searches that were noted.
 */
uint32_t sona_learner_bank_rows(const struct sona_learner *learner, void *ret);
sona_err sona_learner_bank_add(struct sona_learner *learner, const void *rows, uint32_t n,
                               sona_bank_report *ret);

/*
 * The adapters of the active regime, all of them: per adapter its A and then its B transposed, rank
 * rows of dim floats each; MicroLoRA is the first, the layers of BaseLoRA follow. Readers compute
 * the same from a copy that was taken back as from the original, bit for bit.
 *
 * take: no cycle is running. Takes no step. What steps have taught the layers beyond 0 since the
 * last install is replaced, too; layer 0's is folded in later, as ever. SONA_E_NOT_FINITE, and
 * SONA_E_RANGE for rows that are longer than the learner would let them grow: nothing changed, and
 * check says which adapter and row it is.
 */
size_t sona_learner_adapters_floats(const sona_geometry *geometry);
void sona_learner_adapters_copy(const struct sona_learner *learner, float *ret);
sona_err sona_learner_adapters_check(const struct sona_model_layout *layout, float micro_scale,
                                     const float *from, uint32_t *ret_adapter, uint32_t *ret_row);
sona_err sona_learner_adapters_take(struct sona_learner *learner, const float *from);

/* Counters (by name; others than the learner's own are added by the room that saw the event) and
 * gauges. `ret` is written whole. */
void sona_learner_stats(const struct sona_learner *learner, sona_stats *ret);

#endif
