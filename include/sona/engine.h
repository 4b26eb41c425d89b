/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/**
 * @file engine.h
 * The learner inside one process: for embedding, bindings, replay and tests.
 *
 * Pure and deterministic: no threads, clocks, files or globals. Time and seed are arguments; the
 * same configuration and the same calls give the same bytes for one SIMD variant, in this process
 * and in any other. Two variants round differently: after the same 5,000 events their scores are
 * within 0.1 of each other (a cluster more or less; else 1e-6), and less than 1 % of their
 * decisions differ.
 *
 * @threads An engine belongs to one thread at a time. The sidecar is the way to share a learner.
 */
#ifndef SONA_ENGINE_H
#define SONA_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sona/config.h>
#include <sona/error.h>
#include <sona/model.h>
#include <sona/signal.h>
#include <sona/stats.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sona_engine sona_engine;

/** What a background cycle changed, in numbers. */
typedef struct sona_cycle_report {
    bool ran;              /**< false: nothing was due or nothing is new; the rest is 0 */
    uint64_t replayed;     /**< outcomes read */
    uint32_t patterns;     /**< patterns afterwards */
    uint32_t routes_refit; /**< route heads refit */
    double base_change;    /**< Frobenius norm of the change of B_0 A_0 */
    double fold_discarded; /**< singular mass the fold could not keep */
} sona_cycle_report;

/** What loop A changed, in numbers. */
typedef struct sona_instant_report {
    uint64_t learned;       /**< outcomes and trajectories learned from */
    uint64_t micro_updates; /**< steps of MicroLoRA */
    uint64_t layer_updates; /**< steps of BaseLoRA layers by activations */
    uint64_t expired;       /**< of this call: windows that ended without an outcome */
    uint64_t pending;       /**< still waiting for their outcome */
} sona_instant_report;

/** EWC++ at one moment: anchors of earlier tasks that hold the heads of the routes. All 0 and false
 *  when it is off (`ewc`). */
typedef struct sona_ewc {
    bool enabled;
    bool online;         /**< one anchor for all tasks (`ewc_online`), else one for each */
    uint32_t tasks;      /**< that anchors remember, those of stored regimes included */
    uint64_t boundaries; /**< tasks that ended so far */
    uint64_t outcomes;   /**< of the task under way, that taught a route */
    double lambda;       /**< weight of the anchors: ewc_lambda at first, 1/64 to 8 times that */
    double penalty;      /**< regularisation loss: lambda/2 sum F (w - w*)^2 over tasks and weights,
                              as of each route's last step */
    double excess;       /**< squared error on kept outcomes of older tasks, above what it was when
                              their task ended; a moving mean */
} sona_ewc;

#define SONA_EWC_BIAS UINT32_MAX /**< in place of a weight's index: the bias of the head */

/** A weight that EWC++ holds. */
typedef struct sona_ewc_weight {
    sona_route route;
    uint32_t index;   /**< dimension of the query, or SONA_EWC_BIAS */
    float importance; /**< Fisher F, of all tasks: mean squared gradient of the squared error / 2 */
    float weight;     /**< as it is */
    float anchor;     /**< what it is held to */
} sona_ewc_weight;

/** Bytes by part of an engine; those of learner, job and pending are a sidecar's, too. */
typedef struct sona_engine_memory {
    size_t learner; /**< weights, replay, working model */
    size_t job;     /**< what a background cycle works on */
    size_t pending; /**< decisions and trajectories that wait, and the sums of their steps */
    size_t other;   /**< scratch and the engine itself */
    size_t total;   /**< sona_engine_bytes() */
} sona_engine_memory;

/**
 * Create an engine in one allocation.
 * @param config   checked with sona_config_check(); null for the defaults
 * @param routes   @p n_routes route declarations, 1..routes_max; copied
 * @return SONA_OK; SONA_E_CONFIG or SONA_E_RANGE with @p reterr; SONA_E_MEMORY
 */
SONA_API sona_err sona_engine_create(sona_engine **ret, const sona_config *config,
                                     const sona_route_spec *routes, uint32_t n_routes,
                                     sona_diag *reterr);
/** Free the engine and clear the pointer. Null is fine. */
SONA_API void sona_engine_destroy(sona_engine **engine);

/**
 * Write the whole state of the engine to @p buffer: what it learned, what waits for its outcome,
 * and where its random numbers are. An engine that loads it decides and learns on exactly as this
 * one does, to the last bit, in another process and on another day (the same SIMD variant given).
 * Equal states are equal bytes. docs/state-format.md describes them.
 *
 * The bytes hold embeddings of queries: they are as private as those.
 * @param buffer     @p size bytes at any address; may be null with @p size 0, to ask how many are
 *                   needed
 * @param ret_bytes  how many are needed, also when they do not fit
 * @return SONA_OK; SONA_E_LIMIT: @p size is less than *ret_bytes, and what @p buffer holds is of no
 *         use; SONA_E_ARGUMENT
 * @cost one copy of what is in use (at 256 floats and 5,000 outcomes 7 MB, 2 ms), and a checksum
 */
SONA_API sona_err sona_engine_save(const sona_engine *engine, void *buffer, size_t size,
                                   size_t *ret_bytes);
/**
 * Create an engine from what sona_engine_save() wrote: routes, weights and all.
 *
 * Nothing about @p bytes is trusted: their checksums are verified, and whatever passes them is
 * checked again for indices, counts and numbers that no engine could have come to.
 * @param config  null: the one the state was saved with. Else the keys that say what the numbers
 *                mean or how many there are (dimensions, ranks, capacities, normalize, gate,
 *                lora_alpha) must be the same; the others count from now on.
 * @param bytes   exactly @p n bytes at any address, not needed afterwards
 * @return SONA_OK; SONA_E_FORMAT: not a state, or one that was forged; SONA_E_DAMAGED: cut off or
 *         changed; SONA_E_VERSION: of a newer version, another byte order or layout; SONA_E_CONFIG:
 *         another configuration (or an invalid one); SONA_E_MEMORY; SONA_E_ARGUMENT. @p reterr says
 *         which part, and what to do; @p ret is unchanged.
 * @cost as saving, and a look at every number
 */
SONA_API sona_err sona_engine_load(sona_engine **ret, const sona_config *config, const void *bytes,
                                   size_t n, sona_diag *reterr);

/** Return the bytes that sona_engine_create() would allocate for @p config; 0 if it is invalid. */
SONA_API size_t sona_engine_bytes(const sona_config *config);
/** Say where they go. @return SONA_OK; SONA_E_CONFIG or SONA_E_RANGE with @p reterr,
 *  SONA_E_ARGUMENT */
SONA_API sona_err sona_engine_memory_of(const sona_config *config, sona_engine_memory *ret,
                                        sona_diag *reterr);

/**
 * Choose a route for a query and remember the decision until its outcome.
 * @param x           @p dim floats
 * @param candidates  null: every enabled route
 * @param now_ms      the caller's clock, any epoch, never going back
 * @param ret         its scores are valid until the next call; id is 0 for SONA_MODE_BYPASS
 *                    and for what record_share leaves out: it is decided, and not remembered
 * @return SONA_OK; SONA_E_SHAPE, SONA_E_NOT_FINITE, SONA_E_ZERO_VECTOR, SONA_E_RANGE, SONA_E_ROUTE,
 *         SONA_E_NO_ROUTE: counted, nothing else changes. SONA_E_ARGUMENT for a null pointer, here
 *         and below: not counted.
 */
SONA_API sona_err sona_engine_decide(sona_engine *engine, const float *x, uint32_t dim,
                                     const sona_candidates *candidates, uint64_t now_ms,
                                     sona_decision *ret);
/**
 * Tell how good a decision was, and learn from it at once (loop A). A second outcome that says the
 * same changes nothing; one that says something else within feedback_window_ms of the decision
 * takes the place of the first, as if that had been revoked.
 * @param quality  0..1
 * @return SONA_OK: learned, replaced, or counted as drop_disabled or drop_bypass;
 *         SONA_E_NOT_FINITE, SONA_E_RANGE, SONA_E_UNKNOWN_ID, SONA_E_DUPLICATE (told before, or
 * revoked), SONA_E_TIMEOUT (later than feedback_window_ms, or the first outcome is no longer in the
 * replay), SONA_E_ROUTE (the route was retired meanwhile): counted
 */
SONA_API sona_err sona_engine_outcome(sona_engine *engine, uint64_t decision_id, float quality,
                                      uint32_t latency_us, uint64_t now_ms);

/**
 * Take back what was told about a decision or trajectory, for good: a later outcome is refused, and
 * a decision that still waits for one is withdrawn.
 *
 * The mean of the route, the counts of the patterns and the route's AdaGrad head let go of the
 * outcome at once, the refit heads at the next background cycle, which is brought forward. What
 * the stack weights and MicroLoRA took from it fades with the outcomes that follow.
 * @return SONA_OK: taken back, or counted as drop_disabled; SONA_E_UNKNOWN_ID; SONA_E_DUPLICATE:
 *         it was revoked before, nothing changes; SONA_E_TIMEOUT: later than feedback_window_ms, or
 *         the replay (replay_capacity outcomes) no longer has it; counted
 * @cost O(replay_capacity + embedding_dim)
 */
SONA_API sona_err sona_engine_revoke(sona_engine *engine, uint64_t id, uint64_t now_ms);

/**
 * Learn from a signal (see signal.h): the outcome of what it names, else of the last decision, else
 * (also when record_share left that one out) a move of the global reward baseline; and its
 * direction, if it has one, moves the adapter, even when that outcome says nothing new or comes too
 * late.
 * @param ret  null, or what it was taken to be about; written on SONA_OK
 * @return as sona_engine_outcome(); SONA_E_SHAPE, SONA_E_NOT_FINITE, SONA_E_RANGE,
 *         SONA_E_ZERO_VECTOR (the direction): counted, nothing else changes. A direction without
 *         MicroLoRA (`micro` off) is counted as drop_disabled.
 */
SONA_API sona_err sona_engine_learn(sona_engine *engine, const sona_signal *signal, uint64_t now_ms,
                                    sona_signal_effect *ret);

/** Begin a trajectory for a query. @return as sona_engine_decide(); *ret_id is its id. */
SONA_API sona_err sona_engine_begin(sona_engine *engine, const float *x, uint32_t dim,
                                    uint64_t now_ms, uint64_t *ret_id);
/** The same for a query of a tenant (sona_tenant_key()); 0: nobody's in particular. */
SONA_API sona_err sona_engine_begin_tenant(sona_engine *engine, uint32_t tenant, const float *x,
                                           uint32_t dim, uint64_t now_ms, uint64_t *ret_id);
/**
 * Add a step of at most hidden_dim (or embedding_dim, if larger) activations and attention_dim
 * attention weights; see sona_step. At the end of the trajectory the activations train their
 * BaseLoRA layer, by REINFORCE with a running baseline b per layer, and per route where the
 * trajectory has one: for unit activations h, credit a and reward r of the layer's steps, the
 * adapter's output at the mean of a h moves along sum a (r - b) h / sum a, by base_lora_lr. It
 * shows in sona_engine_apply_base() after the next background cycle. Memory per trajectory and
 * layer does not grow with its steps; when step_capacity of them are in use, the activations of a
 * further one are counted as drop_step_sums and teach nothing. Score, reward and latency count in
 * sona_stats.node.
 *  @return SONA_OK; SONA_E_UNKNOWN_ID, SONA_E_DUPLICATE (it has ended),
 *  SONA_E_LIMIT after max_trajectory_steps, SONA_E_SHAPE, SONA_E_NOT_FINITE, SONA_E_RANGE (layer):
 *  counted, nothing else changes */
SONA_API sona_err sona_engine_step(sona_engine *engine, uint64_t id, const sona_step *step);
/** Say which route served the trajectory. @return SONA_OK, SONA_E_UNKNOWN_ID (also for a decision),
 *  SONA_E_DUPLICATE (it has ended), SONA_E_ROUTE */
SONA_API sona_err sona_engine_route(sona_engine *engine, uint64_t id, sona_route route);
/** Say what a trajectory or decision is about: the pattern types of the bank follow from these
 * names (sona_pattern_type_of()); of several that name a type the last one counts.
 *  @param context  at most SONA_CONTEXT_MAX bytes, NUL included
 *  @return SONA_OK; SONA_E_RANGE for a longer one; SONA_E_UNKNOWN_ID, SONA_E_DUPLICATE (it has
 *  ended): counted */
SONA_API sona_err sona_engine_context(sona_engine *engine, uint64_t id, const char *context);
/** End the trajectory with its quality, 0..1, and learn from it.
 *  @return as sona_engine_outcome() */
SONA_API sona_err sona_engine_end(sona_engine *engine, uint64_t id, float quality, uint64_t now_ms);

/** Write y = x + MicroLoRA(x) + BaseLoRA_0(x). x and y: @p dim floats, not overlapping. |y - x| is
 *  at most about 2 |x|; y is finite for |x| up to 1e30.
 *  @return SONA_OK; SONA_E_ARGUMENT, SONA_E_SHAPE, SONA_E_NOT_FINITE */
SONA_API sona_err sona_engine_apply(const sona_engine *engine, const float *x, uint32_t dim,
                                    float *y);
/** The same with the tenant's adapter on top: y += s B_T A_T x. A tenant that is not known (yet),
 * and 0, add nothing. */
SONA_API sona_err sona_engine_apply_tenant(const sona_engine *engine, uint32_t tenant,
                                           const float *x, uint32_t dim, float *y);
/** Write y = x + s B_m A_m x. */
SONA_API sona_err sona_engine_apply_micro(const sona_engine *engine, const float *x, uint32_t dim,
                                          float *y);
/** Write y = x + B_l A_l x of layer @p layer. @return also SONA_E_RANGE for an unknown layer */
SONA_API sona_err sona_engine_apply_base(const sona_engine *engine, uint32_t layer, const float *x,
                                         uint32_t dim, float *y);
/** The three above for @p n vectors at once, one after another in @p x and in @p y (row-major, n
 * rows of @p dim floats). @return as they do; SONA_E_RANGE for n = 0; a number that is not finite
 *  anywhere refuses the whole batch */
SONA_API sona_err sona_engine_apply_batch(const sona_engine *engine, uint32_t n, const float *x,
                                          uint32_t dim, float *y);
SONA_API sona_err sona_engine_apply_micro_batch(const sona_engine *engine, uint32_t n,
                                                const float *x, uint32_t dim, float *y);
SONA_API sona_err sona_engine_apply_base_batch(const sona_engine *engine, uint32_t layer,
                                               uint32_t n, const float *x, uint32_t dim, float *y);
/**
 * Merge an adapter into a weight matrix that is applied behind it: W' = W (I + B A), so that
 * W' x = W apply(x). The convention is y = W x with W row-major, @p rows rows of @p cols floats.
 * @param layer       a BaseLoRA layer, or SONA_LAYER_BOTH: MicroLoRA and layer 0, as
 *                    sona_engine_apply()
 * @param cols        the engine's dimension, else SONA_E_SHAPE
 * @param ret_merged  @p rows x @p cols floats, not overlapping @p weights
 * @return SONA_OK; SONA_E_ARGUMENT, SONA_E_SHAPE, SONA_E_RANGE (layer, no rows), SONA_E_NOT_FINITE
 * @cost 2 rank multiply-adds per weight
 */
SONA_API sona_err sona_engine_merge_into(const sona_engine *engine, uint32_t layer,
                                         const float *weights, uint32_t rows, uint32_t cols,
                                         float *ret_merged);
/** Write the value of every route by index (cost subtracted) to @p ret_scores (routes_max floats);
 *  NaN where a route is not enabled. Neither explores nor records.
 *  @return SONA_OK; SONA_E_NO_ROUTE; SONA_E_SHAPE, SONA_E_NOT_FINITE, SONA_E_ZERO_VECTOR */
SONA_API sona_err sona_engine_score(sona_engine *engine, const float *x, uint32_t dim,
                                    float *ret_scores);
/** The same for a query of @p tenant. */
SONA_API sona_err sona_engine_score_tenant(sona_engine *engine, uint32_t tenant, const float *x,
                                           uint32_t dim, float *ret_scores);
/** Find the @p k patterns nearest to @p x, nearest first. @p ret_count <= @p k. The nearest one's
 *  access count grows, as is seen after the next background cycle.
 *  Exact up to 256 patterns, and for every k > 16. Of more patterns the 256 whose signatures differ
 *  least from the query's are measured: of encoders' embeddings .97 to .999 of the nearest five
 *  are among them, of features without neighbours fewer (ADR 0036; Charikar 2002).
 *  @return SONA_OK; SONA_E_RANGE for k = 0; SONA_E_SHAPE, SONA_E_NOT_FINITE, SONA_E_ZERO_VECTOR */
SONA_API sona_err sona_engine_find_patterns(sona_engine *engine, const float *x, uint32_t dim,
                                            uint32_t k, sona_pattern *ret, uint32_t *ret_count);

/** Copy up to @p capacity patterns of the bank, from row @p from on, in no order; similarity and
 *  distance are 0. *ret_count = rows copied. Not an access. @return SONA_OK, SONA_E_ARGUMENT */
SONA_API sona_err sona_engine_patterns(const sona_engine *engine, uint32_t from, uint32_t capacity,
                                       sona_pattern *ret, uint32_t *ret_count);
/**
 * What a background cycle does with the bank every consolidation_interval outcomes, now: fade all
 * evidence by @p factor (0..1); remove the patterns that fall under @p rule; merge patterns whose
 * cosine is @p similarity (-1..1) or more, the older one keeping its id.
 * @param ret_report  null, or what changed, in numbers
 * @return SONA_OK; SONA_E_ARGUMENT, SONA_E_RANGE
 */
SONA_API sona_err sona_engine_patterns_decay(sona_engine *engine, float factor,
                                             sona_bank_report *ret_report);
SONA_API sona_err sona_engine_patterns_prune(sona_engine *engine, const sona_prune_rule *rule,
                                             sona_bank_report *ret_report);
SONA_API sona_err sona_engine_patterns_consolidate(sona_engine *engine, float similarity,
                                                   sona_bank_report *ret_report);

/** Say how EWC++ stands. @return SONA_OK, SONA_E_ARGUMENT. @cost O(routes) */
SONA_API sona_err sona_engine_ewc(const sona_engine *engine, sona_ewc *ret);
/**
 * End the task under way, as the detector does when queries change kind: the weights of now become
 * an anchor, with the importances that the task's outcomes gave them (diagonal of the empirical
 * Fisher information; arXiv 1612.00796, and 1805.06370 with `ewc_online`). From then on each step
 * of a head is followed by one towards its anchor, as far as lambda times importance says.
 * @param ret        null, or how EWC++ stands afterwards
 * @param ret_ended  null, or whether there was a task to end: false when no outcome taught a route
 *                   since the last boundary, and when EWC++ is off. Nothing changes then.
 * @return SONA_OK, SONA_E_ARGUMENT
 * @cost O(routes x embedding_dim); with `ewc_online` off, times ewc_tasks_max
 */
SONA_API sona_err sona_engine_ewc_boundary(sona_engine *engine, sona_ewc *ret, bool *ret_ended);
/**
 * Make the anchors of all tasks (of the active regime, with the gate on) one: importances are
 * summed, and the anchor is their weighted mean, so that every head is held as it was.
 * @param ret         null, or how EWC++ stands afterwards
 * @param ret_merged  null, or whether there were two tasks or more
 * @return SONA_OK, SONA_E_ARGUMENT
 */
SONA_API sona_err sona_engine_ewc_consolidate(sona_engine *engine, sona_ewc *ret, bool *ret_merged);
/** Write how important each weight of a route's head is to earlier tasks to @p ret (@p dim floats),
 *  and the bias's to @p ret_bias (may be null); all 0 before the first boundary and without EWC++.
 *  @return SONA_OK; SONA_E_ARGUMENT, SONA_E_SHAPE, SONA_E_ROUTE */
SONA_API sona_err sona_engine_ewc_importance(const sona_engine *engine, sona_route route,
                                             uint32_t dim, float *ret, float *ret_bias);
/** Copy the @p capacity most important weights of all routes, by falling importance.
 *  @return SONA_OK; SONA_E_ARGUMENT. @cost O(routes x embedding_dim x capacity) at worst */
SONA_API sona_err sona_engine_ewc_top(const sona_engine *engine, uint32_t capacity,
                                      sona_ewc_weight *ret, uint32_t *ret_count);

/** Write the centroid of the pattern at @p index (sona_pattern.index, of the present state), of
 *  unit length, to @p ret (@p dim floats). @return SONA_OK; SONA_E_SHAPE; SONA_E_RANGE: no such
 *  pattern (any more) */
SONA_API sona_err sona_engine_pattern_centroid(const sona_engine *engine, uint32_t index,
                                               uint32_t dim, float *ret);

/** Let time pass: expire what waits too long, learn default_quality (if there is one) for each
 *  decision among it, and run a background cycle if one is due. */
SONA_API sona_err sona_engine_tick(sona_engine *engine, uint64_t now_ms,
                                   sona_cycle_report *ret_report);
/**
 * Finish what loop A has to do: every outcome was learned when it was told, so that what is left is
 * to expire what waits too long, as sona_engine_tick() does. No background cycle runs, unless an
 * outcome that this learns makes one due. Nothing is ever discarded: what is within its window
 * waits on.
 * @param ret_report  what loop A changed since the last flush; may be null
 * @return SONA_OK, SONA_E_ARGUMENT
 */
SONA_API sona_err sona_engine_flush(sona_engine *engine, uint64_t now_ms,
                                    sona_instant_report *ret_report);
/** Run a background cycle now. Nothing is ever discarded. */
SONA_API sona_err sona_engine_learn_now(sona_engine *engine, uint64_t now_ms,
                                        sona_cycle_report *ret_report);

/** Add a route. @return SONA_OK; SONA_E_LIMIT when the table is full; SONA_E_RANGE;
 * SONA_E_DUPLICATE for a name in use */
SONA_API sona_err sona_engine_route_add(sona_engine *engine, const sona_route_spec *spec,
                                        sona_route *ret);
/** Retire a route; its row may be reused under another generation. @return SONA_OK, SONA_E_ROUTE */
SONA_API sona_err sona_engine_route_retire(sona_engine *engine, sona_route route);
/** Say whether the policy may choose a route, and whether its outcomes teach (sona_mode). A route
 *  begins in mode apply. What it learned stays, whatever the mode.
 *  @return SONA_OK, SONA_E_ROUTE, SONA_E_RANGE (no such mode) */
SONA_API sona_err sona_engine_route_mode(sona_engine *engine, sona_route route, sona_mode mode);
/** Change what a route costs, 0..1; it counts from the next decision on.
 *  @return SONA_OK, SONA_E_ROUTE, SONA_E_RANGE */
SONA_API sona_err sona_engine_route_cost(sona_engine *engine, sona_route route, float cost);
/** Copy up to @p capacity rows of the route table. @return SONA_OK; *ret_count = rows in use */
SONA_API sona_err sona_engine_routes(const sona_engine *engine, sona_route_info *ret,
                                     uint32_t capacity, uint32_t *ret_count);

/**
 * Change the configuration of a running engine: its keys of SONA_CONFIG_LIVE_FIELDS take the values
 * of @p config. An event like any other: the same events and changes give the same model.
 * @param config  the whole configuration, as for sona_engine_create()
 * @return SONA_OK; SONA_E_CONFIG when it is unsound, or differs in a key that only a new engine
 *         takes over, and @p reterr names it: nothing has changed then. SONA_E_ARGUMENT
 * @cost   some hundred nanoseconds
 */
SONA_API sona_err sona_engine_configure(sona_engine *engine, const sona_config *config,
                                        sona_diag *reterr);

/** Switch learning on or off. Off, decisions go on from the last model and events are counted. */
SONA_API void sona_engine_set_enabled(sona_engine *engine, bool enabled);
/** Return whether learning is on. */
SONA_API bool sona_engine_enabled(const sona_engine *engine);
/** Fill @p ret with the counters and gauges of this moment. */
SONA_API void sona_engine_stats(const sona_engine *engine, sona_stats *ret);
/** Write them as JSON: see sona_stats_json(), whose buffer and returns these are. */
SONA_API sona_err sona_engine_stats_json(const sona_engine *engine, char *buffer, size_t size,
                                         size_t *ret_bytes);

#ifdef __cplusplus
}
#endif
#endif
