/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The learner's block of memory, and the constants of its rules. Only engine/learner reads this.
 *
 *     struct sona_learner | hot | cold | AdaGrad accumulators | refit paths | route memory
 *                         | archive of evicted outcomes per pattern | replay entries | replay x
 *                         | change marks | scratch | EWC++ | gate | stored regimes
 *
 * Position independent and free of padding that is not cleared: the block can be stored, moved and
 * compared byte for byte. Everything stays finite: each rule below names its bound.
 */
#ifndef SONA_ENGINE_LEARNER_STATE_H
#define SONA_ENGINE_LEARNER_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/kernels/kernels.h"
#include "engine/learner/learner.h"
#include "engine/model/block.h"
#include "engine/model/model.h"

/* AdaGrad heads. */
#define SONA_LEARNER_RATE    0.1f
#define SONA_LEARNER_EPSILON 1e-4f
/* Ridge path of the refit, in units of outcomes; the last one means "no head of its own". */
#define SONA_LEARNER_PATH     6u
#define SONA_LEARNER_KRYLOV   10u
#define SONA_LEARNER_NO_ROUTE UINT32_MAX
/* Outcomes between background cycles, once the first few are over. */
#define SONA_LEARNER_CYCLE_EVERY 256u
/* Outcomes after which a route that is new, or not what it was, is refit. */
#define SONA_LEARNER_REFIT 40u
/* Patterns that are kept up, however many the bank could hold. */
#define SONA_LEARNER_PATTERNS 32u

/* Streams of sona_model_random(); decisions use small numbers. */
#define SONA_LEARNER_STREAM_MICRO   (1ull << 32)
#define SONA_LEARNER_STREAM_CODE    (2ull << 32)
#define SONA_LEARNER_STREAM_CLUSTER (3ull << 32)
#define SONA_LEARNER_STREAM_LAYER   (4ull << 32)
#define SONA_LEARNER_STREAM_BANK    (5ull << 32)
#define SONA_LEARNER_STREAM_EWC     (6ull << 32) /* and the number of the task */
#define SONA_LEARNER_STREAM_DROPOUT (9ull << 32)
#define SONA_LEARNER_STREAM_TENANT  (16ull << 32) /* and the tenant's key */

/* What is kept per route besides its row in the model. */
struct sona_learner_route {
    float bias_grad2;
    float loss[SONA_LEARNER_PATH]; /* prequential, of the heads of the refit path */
    float up, down;                /* Page-Hinkley sums */
    uint32_t resets;               /* drift resets so far */
    uint32_t reserved;
    uint64_t quiet_until; /* no drift alarm before this step */
};

/* An outcome held for the background loop. */
struct sona_learner_entry {
    uint64_t id;
    uint64_t step;
    uint32_t route;   /* index, or SONA_LEARNER_NO_ROUTE */
    uint32_t pattern; /* nearest one; SONA_LEARNER_NO_ROUTE: none yet */
    float quality;    /* negative: taken back (sona_learner_entry_gone) */
    float weight;     /* 1; less when the route drifted since */
    float error;      /* of the AdaGrad head when it learned this, for the step back */
    uint32_t tenant;
    uint32_t type; /* sona_pattern_type that contexts named; 0: none */
    uint32_t reserved;
};

/* Taken back: no evidence any more, and only its query is still there. */
static inline bool sona_learner_entry_gone(const struct sona_learner_entry *entry)
{
    return entry->quality < 0;
}

/* Least squares on the stack weights, as precision and moment: both are sums, so the precision is
 * positive definite by construction. */
struct sona_learner_stack {
    double precision[SONA_MODEL_STACK][SONA_MODEL_STACK];
    double moment[SONA_MODEL_STACK];
};

/* The gate (gate.c) and what is stored of a regime (regime.c). */
#define SONA_LEARNER_DIRECTIONS 8u   /* principal directions of a regime's queries */
#define SONA_LEARNER_COLLECT    300u /* queries they are made of, at most */
#define SONA_LEARNER_MARKS      128u /* words that mark them, two bits for each */
#define SONA_LEARNER_RECENT     64u  /* queries by which an old regime is recognised */
#define SONA_LEARNER_KEPT       512u /* newest outcomes that a stored regime keeps */

/* One regime of queries. Free: id 0. */
struct sona_learner_regime {
    uint64_t id;           /* 1, 2, ... in the order they were opened */
    uint64_t used;         /* queries seen when it was last left */
    float mean, deviation; /* of the energy of its queries in its directions */
    uint32_t ready;        /* directions stand, mean and deviation are known */
    uint32_t refined;      /* and they are of SONA_LEARNER_COLLECT queries */
    uint32_t measured;     /* queries that mean and deviation are of */
    uint32_t turning;      /* other directions are in the making: its queries changed */
    uint64_t base;         /* outcomes its learner had when these queries began */
    uint32_t next, count;  /* ring of the outcomes it keeps while it is stored */
    uint32_t tasks;        /* that its EWC++ memory has anchors of */
    uint32_t reserved;
};

/* Which regime a query was seen in; found by its id. */
struct sona_learner_seen {
    uint64_t id, regime;
};

struct sona_learner_gate {
    uint32_t active;    /* index of the regime that learns now */
    uint32_t phase;     /* of what is being measured about it */
    uint32_t count;     /* queries in that phase */
    uint32_t since;     /* queries since the alarm was small */
    uint64_t recent;    /* queries put in the ring of recent ones */
    uint64_t opened;    /* regimes so far: the last id given */
    uint64_t told;      /* of the changes below, those that a publisher knows of */
    uint64_t changes;   /* times that another regime became the active one */
    double sum, square; /* of the energies measured */
    float alarm;        /* CUSUM */
    uint32_t reserved;
};

/* EWC++ (ewc.c). */
#define SONA_LEARNER_PROBES 32u /* outcomes of older tasks that are asked again and again */

/* Head of a memory; strength is written at the first boundary. */
struct sona_learner_ewc {
    uint32_t tasks;    /* with anchors, or merged into the one */
    uint32_t next;     /* ring of tasks: where the next one goes */
    uint64_t outcomes; /* of the task under way */
    uint64_t ended;    /* tasks that became anchors so far */
    uint32_t asked;    /* answers of probes */
    float strength;    /* what ewc_lambda is multiplied by */
    float excess;      /* moving mean: squared error of probes above what it was */
    uint32_t reserved;
};

struct sona_learner_ewc_route {
    double importance; /* sum of F over the weights */
    double distance;   /* sum F (w - centre)^2 at the last change */
    double apart;      /* sum over tasks of F_t (w_t - centre)^2 */
    uint32_t seen;     /* outcomes of the task under way */
    uint32_t reserved;
};

struct sona_learner_ewc_probe {
    uint32_t route; /* SONA_LEARNER_NO_ROUTE: none, or the route is gone */
    float quality;
    float loss; /* squared error of the head when its task ended */
    uint32_t reserved;
};

/* Where the parts are, in bytes from the start of the learner; all of it is one range. */
struct sona_learner_ewc_places {
    size_t head, route, probe, probe_x, fisher, total, centre, tasks, bytes;
};

/* What regime_enter() put aside. */
struct sona_learner_visit {
    size_t entry, replay;
    uint64_t fresh;
    uint32_t next, count, cycle_running, reserved;
};

struct sona_learner {
    sona_config config;
    struct sona_model_layout layout;
    /* Offsets from the start of this struct, in bytes. */
    size_t bytes, hot, cold, grad2, path, common, route, archive, means, entry, replay;
    size_t route_changes, pattern_changes, scores, scratch, kept;
    size_t gone; /* a bit per replay slot: what it held was taken back while a job had a copy */
    size_t layers, baselines, hits;
    size_t index_changes, tenant_changes, tenant_seen;
    uint32_t archive_rows;
    uint32_t replay_next, replay_count;
    uint32_t replay_capacity; /* of the ring in use: config's, or a stored regime's */
    /* Of the gate: directions per regime and candidates for the next, marks of the queries that
     * they are made of, queries collected, recent ones and their ids, regimes, seen; stores and
     * their rings. */
    size_t directions, marks, collected, recent, recent_id, regime, seen, store, ring;
    size_t store_bytes, ring_bytes;
    uint32_t seen_count, ring_capacity;
    struct sona_learner_ewc_places ewc;
    struct sona_learner_gate gate;
    struct sona_learner_visit visit;

    uint64_t counter[SONA_COUNTER_COUNT];
    struct sona_learner_stack stack;
    double quality_sum, quality_count;
    double recent_quality;
    float bare_n, bare_s; /* outcomes without a route: their running baseline */

    /* Background loop. */
    uint64_t taught;      /* outcomes learned by the active regime */
    uint64_t next_cycle;  /* `taught` at which one is due */
    uint64_t cycle_start; /* step at the start of the running or last cycle */
    uint64_t fresh;       /* outcomes since that start */
    uint64_t last_cycle_ms;
    uint64_t pattern_id; /* last one given */
    uint64_t resets;     /* of MicroLoRA, names its next random start */
    double fold_discarded;
    double spread_n, spread_s; /* between tenants: weight and sum of products */
    uint32_t cycle_running;
    uint32_t clock_started;

    /* BaseLoRA layers that steps train (layers.c). */
    uint64_t trained[SONA_LAYERS_MAX / 64]; /* bit per layer: its copy is in use */
    uint64_t layer_starts;                  /* names the next random start */
    uint32_t layer0, explored; /* 1: steps have trained layer 0; max_explore was said by people */

    /* The pattern bank (bank.c). */
    uint64_t bank_step;    /* outcomes up to it are in the bank */
    uint64_t bank_id;      /* last one given */
    uint64_t fresh_hits;   /* since the last cycle began */
    uint64_t consolidated; /* learned events at the last consolidation */
};

/* Searches that found a row of the bank since the last install. */
struct sona_learner_hits {
    uint64_t count, last;
};

static inline float *sona_learner_floats(const struct sona_learner *l, size_t offset)
{
    return (float *)(void *)((unsigned char *)(uintptr_t)l + offset);
}

static inline void *sona_learner_hot(const struct sona_learner *l)
{
    return (unsigned char *)(uintptr_t)l + l->hot;
}

static inline void *sona_learner_cold(const struct sona_learner *l)
{
    return (unsigned char *)(uintptr_t)l + l->cold;
}

static inline struct sona_model_hot *sona_learner_head(const struct sona_learner *l)
{
    return sona_learner_hot(l);
}

static inline struct sona_learner_route *sona_learner_routes(const struct sona_learner *l)
{
    return (void *)((unsigned char *)(uintptr_t)l + l->route);
}

static inline struct sona_learner_entry *sona_learner_entries(const struct sona_learner *l)
{
    return (void *)((unsigned char *)(uintptr_t)l + l->entry);
}

static inline float *sona_learner_replay_x(const struct sona_learner *l, uint32_t slot)
{
    return sona_learner_floats(l, l->replay) + (size_t)slot * l->layout.dim_padded;
}

static inline struct sona_model_route *sona_learner_row(const struct sona_learner *l, uint32_t k)
{
    return (struct sona_model_route *)(uintptr_t)sona_model_route_row(&l->layout,
                                                                      sona_learner_hot(l), k);
}

/* A part of a hot route row: head, code head or covariance. */
static inline float *sona_learner_part(const struct sona_learner *l, uint32_t k, size_t part)
{
    return sona_model_floats_of(sona_learner_hot(l), sona_model_at(&l->layout.routes, k, part));
}

static inline float *sona_learner_tally(const struct sona_learner *l, uint32_t c)
{
    return sona_model_floats_of(sona_learner_hot(l), sona_model_at(&l->layout.pattern_stats, c, 0));
}

/* Counts of evicted outcomes, laid out as the model's. */
static inline float *sona_learner_archive(const struct sona_learner *l, uint32_t c)
{
    return sona_learner_floats(l, l->archive + c * l->layout.pattern_stats.stride);
}

/* Weight of an outcome in least squares: a query longer than 1 counts as one of unit length would,
 * so that no outcome adds more than 2 to a precision, and floats still tell the sums from the
 * prior.
 */
static inline float sona_learner_pull(const struct sona_model_layout *layout, const float *x)
{
    float norm2;

    if (layout->geometry.flags & SONA_GEOMETRY_NORMALIZE)
        return 1;
    norm2 = sona_kernels_active()->dot(x, x, layout->dim_padded);
    return norm2 > 1 ? 1 / norm2 : 1;
}

static inline void sona_learner_touch_route(struct sona_learner *l, uint32_t k)
{
    ((uint64_t *)(void *)((unsigned char *)l + l->route_changes))[k] = sona_learner_head(l)->step;
}

static inline void sona_learner_touch_pattern(struct sona_learner *l, uint32_t c)
{
    ((uint64_t *)(void *)((unsigned char *)l + l->pattern_changes))[c] = sona_learner_head(l)->step;
}

/* heads.c: what one outcome does to its route. */
void sona_learner_heads_init(struct sona_learner *l, uint32_t k);
void sona_learner_heads_count(struct sona_learner *l, uint32_t k, float quality);
/* Returns the head's error before the step, which is what takes the step back. */
float sona_learner_heads_adagrad(struct sona_learner *l, uint32_t k, const float *x, float quality);
/* The same where scoring has left w_k.x. */
float sona_learner_heads_adagrad_known(struct sona_learner *l, uint32_t k, const float *x,
                                       float product, float quality);
/* The opposites of count and adagrad, for evidence that weighs `weight` by now. */
void sona_learner_heads_uncount(struct sona_learner *l, uint32_t k, float quality, float weight);
void sona_learner_heads_step_back(struct sona_learner *l, uint32_t k, const float *x, float error,
                                  float weight);
void sona_learner_heads_code(struct sona_learner *l, uint32_t k, const float *x, const float *code,
                             float quality);
/* The same where scoring has left V_k.x. */
void sona_learner_heads_code_known(struct sona_learner *l, uint32_t k, const float *x,
                                   const float *code, float product, float quality);
void sona_learner_heads_path(struct sona_learner *l, uint32_t k, const float *x, float quality);
/* Scale a vector back when it is longer than any vector may be. */
void sona_learner_heads_bound(float *w, size_t n);
/* The covariance of a code head before any evidence. */
void sona_learner_heads_prior(const struct sona_model_layout *layout, float *cov);

/* stack.c */
void sona_learner_stack_init(struct sona_learner *l);
/* Error of the prediction for route `k` given the terms in `scores`; `ret_rest`: the prediction
 * without the MicroLoRA term. Learns the weights. */
float sona_learner_stack_learn(struct sona_learner *l, const struct sona_model_scores *scores,
                               uint32_t k, float quality, float *ret_rest);

/* micro.c */
/* Roughly normal, variance 1. */
float sona_learner_normal(uint64_t seed, uint64_t stream, uint64_t n);
void sona_learner_micro_reset(struct sona_learner *l);
/* One step for a direction w; and for the head of route `k`, which has just learned, with A x as
 * the scores have `seen` it. */
void sona_learner_micro_step(struct sona_learner *l, const float *w, const float *x, float target);
void sona_learner_micro_learn(struct sona_learner *l, uint32_t k, const float *x, const float *seen,
                              float target);
/* Gradients of (target - w.(s B A x))^2 / 2 in A and B (rank rows of dim_padded floats). */
float sona_learner_micro_gradient(const struct sona_model_layout *layout, const float *a,
                                  const float *b, float scale, const float *w, const float *x,
                                  float target, float *ret_a, float *ret_b);
void sona_learner_micro_heads(struct sona_learner *l);
double sona_learner_micro_norm(const struct sona_learner *l);
double sona_learner_base_norm(const struct sona_learner *l);
/* sum_i,j (b_i.c_j)(a_i.d_j) over `rows` rows each: the inner product of B A and C D. */
double sona_learner_product(const float *b, const float *a, const float *c, const float *d,
                            uint32_t rows, uint32_t n);

/* fold.c: fold MicroLoRA into BaseLoRA layer 0; returns the singular mass that did not fit. The
 * caller resets MicroLoRA in the same step. */
#define SONA_LEARNER_FOLD_ROWS (2 * SONA_BASE_RANK_MAX + SONA_MICRO_RANK_MAX)
double sona_learner_fold(struct sona_learner *l);
/* Remember B_0 A_0, and the Frobenius norm of what became of it since. */
void sona_learner_base_keep(struct sona_learner *l);
double sona_learner_base_change(const struct sona_learner *l);

/* layers.c: BaseLoRA layers by step activations. */
size_t sona_learner_baselines_bytes(const sona_geometry *geometry);
sona_err sona_learner_layers_learn(struct sona_learner *l, const struct sona_learner_event *event);
/* Layer's own A and B, when it is trained; layer 0's are an adapter beside BaseLoRA. */
const float *sona_learner_layer_rows(const struct sona_learner *l, uint32_t layer);
bool sona_learner_layer_trained(const struct sona_learner *l, uint32_t layer);
uint32_t sona_learner_layers_trained(const struct sona_learner *l);
/* Go on from these rows, A and then B, which came from outside; not of layer 0. */
void sona_learner_layer_take(struct sona_learner *l, uint32_t layer, const float *from);
/* Take the trained layers but 0 into the cold half. Layer 0's were folded: they start anew. */
void sona_learner_layers_install(struct sona_learner *l);
void sona_learner_layers_folded(struct sona_learner *l);
/* Route `k` is another one from now on. */
void sona_learner_layers_forget(struct sona_learner *l, uint32_t k);

/* asked.c: searches of the pattern bank. Take what was gathered into the cold half, at the start of
 * a cycle; carry what came since over to the table that the job made, at its install. */
struct sona_learner_job;
sona_err sona_learner_hit(struct sona_learner *l, const struct sona_learner_event *event);
void sona_learner_hits_take(struct sona_learner *l);
void sona_learner_hits_carry(struct sona_learner *l, struct sona_learner_job *j);

/* drift.c */
/* Route `k` is not what it was: discount what code head and patterns say about it. */
void sona_learner_drift_discount_code(struct sona_learner *l, uint32_t k);
void sona_learner_drift_watch(struct sona_learner *l, uint32_t k, float error);

/* replay.c */
void sona_learner_replay_push(struct sona_learner *l, const struct sona_learner_event *event,
                              uint32_t k, uint32_t pattern, float error);
/* Leave an outcome's count and quality with its pattern. */
void sona_learner_replay_archive(struct sona_learner *l, const struct sona_learner_entry *entry);
void sona_learner_replay_discount(struct sona_learner *l, uint32_t k, float factor);
void sona_learner_replay_discount_archive(struct sona_learner *l, uint32_t k, float factor);
void sona_learner_replay_forget(struct sona_learner *l, uint32_t k);

/* patterns.c: counts of the patterns near a query; k may be SONA_LEARNER_NO_ROUTE. */
void sona_learner_patterns_add(const struct sona_model_layout *layout, float *tally, uint32_t k,
                               float quality, float weight);
void sona_learner_patterns_count(struct sona_learner *l, const struct sona_model_assignment *near,
                                 uint32_t k, float quality);
/* Take `weight` times what was counted out again. */
void sona_learner_patterns_uncount(struct sona_learner *l, const struct sona_model_assignment *near,
                                   uint32_t k, float quality, float weight);
void sona_learner_patterns_discount(struct sona_learner *l, uint32_t k, float factor);

/* revoke.c: REVOKE and REPLACE. */
sona_err sona_learner_revise(struct sona_learner *l, const struct sona_learner_event *event);
/* The slot of outcome `id`; replay_capacity when it is not there. */
uint32_t sona_learner_replay_find(const struct sona_learner *l, uint64_t id);
/* Whether the outcome that a running job copied from `slot` was taken back since. */
bool sona_learner_slot_gone(const struct sona_learner *l, uint32_t slot);
void sona_learner_slots_clear(struct sona_learner *l);
/* tenants.c */
/* What the error of the whole prediction teaches about the event's tenant. */
void sona_learner_tenants_learn(struct sona_learner *l, const struct sona_learner_event *event,
                                uint32_t k, const struct sona_model_scores *scores, float error);
/* The heads of the routes were exchanged for others: tie every tenant's adapter to them. */
void sona_learner_tenants_tie(struct sona_learner *l);
/* What tenants know of the route in row k belongs to a predecessor. */
void sona_learner_tenants_forget(struct sona_learner *l, uint32_t k);

/* signal.c: BASELINE, and GRADIENT, whose x was checked. */
sona_err sona_learner_baseline(struct sona_learner *l, const struct sona_learner_event *event);
sona_err sona_learner_gradient(struct sona_learner *l, const struct sona_learner_event *event);

/* ewc.c. Each does nothing when EWC++ is off. */
void sona_learner_ewc_place(struct sona_learner *l, const sona_config *config, size_t *end);
/* After the AdaGrad step of route k at x, whose error was `error`. */
void sona_learner_ewc_learn(struct sona_learner *l, uint32_t k, const float *x, float error);
/* The head of route k was changed otherwise. */
void sona_learner_ewc_measure(struct sona_learner *l, uint32_t k);
/* Route k is not what it was, or is another one from now on. */
void sona_learner_ewc_discount(struct sona_learner *l, uint32_t k, float factor);
void sona_learner_ewc_forget(struct sona_learner *l, uint32_t k);
/* Whether the memory could have come to this state by itself. */
bool sona_learner_ewc_is_sound(const struct sona_learner *l);

/* gate.c: which regime queries belong to. */
/* Whether changes of regime are looked for: to change learners, or as boundaries of tasks. */
static inline bool sona_learner_gate_watches(const sona_config *config)
{
    return config->gate || config->ewc;
}

static inline struct sona_learner_regime *sona_learner_regimes(const struct sona_learner *l)
{
    return (void *)((unsigned char *)(uintptr_t)l + l->regime);
}

void sona_learner_gate_place(struct sona_learner *l, const sona_config *config, size_t *end);
void sona_learner_gate_init(struct sona_learner *l);
/* Whether it could have come to this state by itself. */
bool sona_learner_gate_is_sound(const struct sona_learner *l);
/* See a query; another regime may become the active one: then a task has ended, and with the gate
 * on another learner learns. */
void sona_learner_gate_observe(struct sona_learner *l, uint64_t id, const float *x);
/* Index of the regime that the query `id` was seen in; the active one when that is not known. */
uint32_t sona_learner_gate_regime_of(const struct sona_learner *l, uint64_t id);
uint32_t sona_learner_gate_regimes(const struct sona_learner *l); /* in use */

/* regime.c: the learners of regimes that are not active. */
/* Room for regimes_max of them; offsets go to `l`. */
void sona_learner_regime_place(struct sona_learner *l, const sona_config *config, size_t *end);
/* Store the active learner under index `from` and take up the one of index `to`, or a new one. */
void sona_learner_regime_switch(struct sona_learner *l, uint32_t from, uint32_t to, bool fresh);
/* Make a stored learner the one that learns, and put it back: for outcomes that come late. */
void sona_learner_regime_enter(struct sona_learner *l, uint32_t index);
void sona_learner_regime_leave(struct sona_learner *l, uint32_t index);
/* Ask `is_sound` about the stored learner of `index`, in the place of the active one; nothing is
 * changed. */
bool sona_learner_regime_is_sound(struct sona_learner *l, uint32_t index,
                                  bool (*is_sound)(const struct sona_learner *l));
/* Offset of the queries in the ring of `index`. */
size_t sona_learner_ring_x(const struct sona_learner *l, uint32_t index);

/* validity.c: could the learner have come to this by itself? Null, or the name of a section that it
 * could not (save.h). Nothing is changed. */
const char *sona_learner_fault(struct sona_learner *l);
bool sona_learner_entries_are_sound(const struct sona_learner *l,
                                    const struct sona_learner_entry *entries, uint32_t count);
bool sona_learner_memory_is_sound(const struct sona_learner_route *routes, uint32_t count);
bool sona_learner_rows_are_bounded(const float *rows, size_t count, uint32_t dim);
bool sona_learner_tallies_are_sound(const struct sona_model_layout *layout, const float *rows,
                                    uint32_t count);

/* learner.c */
/* Learn an event that was checked; k: its route's row, or SONA_LEARNER_NO_ROUTE. Counts all but
 * what it is counted as. */
void sona_learner_teach(struct sona_learner *l, const struct sona_learner_event *event, uint32_t k);
/* How an event ended: count it, and return `err`. */
sona_err sona_learner_count_as(struct sona_learner *l, sona_counter counter, sona_err err);
void sona_learner_place(size_t *end, size_t *ret_offset, size_t bytes);
void sona_learner_config_copy(sona_config *ret, const sona_config *config);
void sona_learner_cycle_schedule(struct sona_learner *l, uint64_t now_ms);
/* Have one after SONA_LEARNER_REFIT outcomes at the latest. */
void sona_learner_cycle_soon(struct sona_learner *l);

#endif
