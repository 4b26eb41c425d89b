/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/**
 * @file stats.h
 * Counters by name. Every event ends in exactly one of `learned`, a named reason, or `pending`.
 */
#ifndef SONA_STATS_H
#define SONA_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sona/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * X(name, help): what happened, counted by the learner's side. Append only.
 *
 * The books. An event that is refused at sight ends as drop_not_finite, drop_shape, drop_range,
 * drop_zero_vector, drop_route, drop_no_route, drop_malformed or drop_influence and takes no part
 * in what follows. Of the others, in an engine after every call and in a sidecar when nothing is on
 * its way:
 *
 *     queries   decisions + trajectories
 *               = pending + joined + withdrawn + defaulted + drop_evicted + drop_abandoned
 *     words     outcomes + revokes + strays
 *     about     = parked_now + joined + replacing + revoking + withdrawn + drop_unknown_id
 *     an id       + drop_duplicate + drop_expired + drop_foreign + drop_revoked + drop_parked_full
 *     learning  joined + defaulted + replacing + revoking + signals + imported
 *               = learned + replaced + revoked + baseline_updates + gradient_updates
 *                 + drop_disabled + drop_bypass + drop_route_retired + drop_revoke_late
 *                 + drop_thinned
 *     steps     each is one of steps, drop_steps and strays
 */
#define SONA_COUNTERS(X)                                                                      \
    X(decisions, "decisions recorded")                                                        \
    X(outcomes, "outcomes of decisions and ends of trajectories received")                    \
    X(trajectories, "trajectories begun")                                                     \
    X(steps, "trajectory steps recorded")                                                     \
    X(learned, "outcomes and trajectories that changed weights")                              \
    X(micro_updates, "MicroLoRA updates")                                                     \
    X(background_cycles, "background cycles installed")                                       \
    X(background_postponed, "background cycles put off because no cold slot was free")        \
    X(snapshots, "model snapshots published")                                                 \
    X(coalesced, "publications merged into the next one")                                     \
    X(revoked_slots, "slots taken back from a reader past its lease")                         \
    X(drift_resets, "routes whose old evidence was discounted")                               \
    X(folds, "MicroLoRA folds into BaseLoRA")                                                 \
    X(parked, "outcomes that overtook their decision and were kept for it")                   \
    X(drop_not_finite, "events refused: NaN or infinite number")                              \
    X(drop_shape, "events refused: wrong dimension")                                          \
    X(drop_range, "events refused: number outside its range")                                 \
    X(drop_zero_vector, "events refused: zero vector")                                        \
    X(drop_route, "events refused: unknown route")                                            \
    X(drop_route_retired, "outcomes whose route was retired meanwhile")                       \
    X(drop_unknown_id, "outcomes for an id never decided, or forgotten")                      \
    X(drop_duplicate, "second outcomes for one id, or a second use of it")                    \
    X(drop_expired, "outcomes later than the feedback window")                                \
    X(drop_foreign, "outcomes for a decision of another user's client")                       \
    X(drop_evicted, "decisions evicted before their outcome came")                            \
    X(drop_abandoned, "decisions and trajectories never finished within the window")          \
    X(drop_steps, "steps beyond max_trajectory_steps")                                        \
    X(drop_disabled, "events while learning was switched off")                                \
    X(drop_malformed, "records with a broken header")                                         \
    X(drop_parked_full, "overtaking outcomes beyond the parking space")                       \
    X(drop_client_full, "events dropped by clients: ring full")                               \
    X(drop_client_detached, "events dropped by clients: no sidecar")                          \
    X(drop_client_refused, "calls refused by clients: bad argument (see the client's stats)") \
    X(clients_attached, "attachments accepted")                                               \
    X(clients_refused, "attachments refused")                                                 \
    X(clients_reclaimed, "attachments whose owner died, drained and freed")                   \
    X(lanes_quarantined, "lanes closed because their indices made no sense")                  \
    X(drop_no_route, "decisions refused: no candidate route left")                            \
    X(joined, "outcomes joined with their decision or trajectory")                            \
    X(strays, "steps, routes and second decisions for an id that is not waiting")             \
    X(revokes, "revocations received")                                                        \
    X(withdrawn, "decisions and trajectories revoked before their outcome came")              \
    X(defaulted, "decisions whose window ended: default_quality stood in for their outcome")  \
    X(replacing, "different second outcomes within the window, handed to the learner")        \
    X(replaced, "outcomes that took the place of an earlier one")                             \
    X(revoking, "revocations of an outcome, handed to the learner")                           \
    X(revoked, "outcomes taken back")                                                         \
    X(drop_revoked, "outcomes and revocations of an id that was revoked before")              \
    X(drop_revoke_late, "second outcomes and revocations of one that the replay has not")     \
    X(drop_bypass, "outcomes of a route in mode bypass")                                      \
    X(contexts, "context names received for trajectories")                                    \
    X(layer_updates, "steps of a BaseLoRA layer by a trajectory's activations")               \
    X(drop_step_sums, "steps whose activations found no room (step_capacity); they count")    \
    X(pattern_hits, "searches told to the pattern bank")                                      \
    X(drop_pattern_hits, "searches that found a pattern which is gone")                       \
    X(patterns_merged, "patterns taken up by a similar one")                                  \
    X(patterns_pruned, "patterns removed from the bank")                                      \
    X(patterns_missed, "outcomes that left the replay before the bank took them in")          \
    X(consolidations, "consolidations of the pattern bank")                                   \
    X(positive_feedback, "outcomes joined, of quality 0.5 or more")                           \
    X(negative_feedback, "outcomes joined, of quality below 0.5")                             \
    X(latencies, "outcomes joined that told a latency")                                       \
    X(latency_us, "microseconds of latency that they told, summed")                           \
    X(tenants_evicted, "tenants that lost their adapter to one that came later")              \
    X(signals, "directions, and rewards about no decision, received")                         \
    X(baseline_updates, "rewards about no decision that moved the global baseline")           \
    X(gradient_updates, "directions that moved the adapter")                                  \
    X(regime_switches, "changes to another regime of queries")                                \
    X(regimes_replaced, "regimes forgotten because regimes_max was reached")                  \
    X(background_discarded, "background cycles thrown away because the regime changed")       \
    X(handed_back, "clients of a killed sidecar whose lanes go on where they were")           \
    X(handback_refused, "clients that came back with lanes which could not be taken")         \
    X(lost_killed, "records taken by killed sidecars: what they learned from them is lost")   \
    X(ewc_boundaries, "tasks that ended: their weights became an anchor of EWC++")            \
    X(ewc_holds, "steps of a head that an anchor held back")                                  \
    X(ewc_forgotten, "anchors that gave way because ewc_tasks_max was reached")               \
    X(ewc_consolidations, "times that the anchors of several tasks were made one")            \
    X(queries_withheld, "queries that the regime gate was not shown: the journal is busy")    \
    X(drop_thinned, "outcomes not learned because the journal was the bottleneck")            \
    X(drop_influence, "records that a client beyond its share (influence_cap) left behind")   \
    X(influence_waits, "visits to a client's lane that ended early: it was beyond its share") \
    X(imported, "outcomes and changes of them that came from a file, handed to the learner")  \
    X(import_duplicates, "lines of such files that were taken before")                        \
    X(import_refused, "lines of such files that could not be taken")

typedef enum sona_counter {
#define SONA_COUNTER_ENUM(name, help) SONA_COUNTER_##name,
    SONA_COUNTERS(SONA_COUNTER_ENUM)
#undef SONA_COUNTER_ENUM
        SONA_COUNTER_COUNT
} sona_counter;

#define SONA_NODES_MAX 16 /**< nodes that step statistics are kept for, one by one */

/** What the steps of one node were like. */
typedef struct sona_node_stats {
    uint32_t node; /**< sona_step.node_id; UINT32_MAX: all nodes that came after the first
                        SONA_NODES_MAX */
    uint32_t reserved;
    uint64_t steps;
    double mean_score, mean_reward;
    double mean_latency_us;
} sona_node_stats;

/** State of a learner at one moment. */
typedef struct sona_stats {
    uint64_t counter[SONA_COUNTER_COUNT]; /**< by sona_counter */
    uint64_t step;                        /**< events the learner has taken so far */
    uint64_t version;                     /**< snapshot id last published, 0 = none */
    uint64_t pending;       /**< decisions and trajectories waiting for their outcome */
    uint64_t parked_now;    /**< outcomes waiting for their decision */
    uint64_t replay_length; /**< outcomes held for the background loop */
    uint64_t memory_bytes;  /**< bytes of learner and model */
    uint32_t routes;        /**< enabled routes */
    uint32_t patterns;      /**< patterns in the bank */
    uint32_t clients;       /**< attached clients */
    uint32_t lanes;         /**< lanes claimed by them */
    double mean_quality;    /**< of all outcomes learned */
    double recent_quality;  /**< exponential mean over about 200 outcomes */
    double mse;             /**< moving average of the squared prediction error */
    double stack[4];        /**< trust in head, refit, patterns, MicroLoRA; 0..1.5 */
    double micro_norm;      /**< Frobenius norm of s B_m A_m */
    double base_norm;       /**< Frobenius norm of B_0 A_0 */
    double fold_discarded;  /**< singular mass discarded by folds so far */
    double last_cycle_ms;   /**< duration of the last background cycle, as the caller timed it */
    const char *simd;       /**< kernel variant in use: "c", "avx2", ... Static storage. */

    uint32_t layers_trained; /**< BaseLoRA layers that step activations have changed */
    uint32_t n_nodes;        /**< rows of @ref node in use */
    sona_node_stats node[SONA_NODES_MAX + 1]; /**< steps by node, in the order of their first */
    uint32_t tenants;                         /**< tenants with an adapter */
    double tenant_spread;                     /**< learned variance of a quality between tenants */
    uint32_t regimes;   /**< regimes of queries remembered, the active one included; 0: no gate */
    uint32_t regime;    /**< number of the active one, 1 for the first; 0: no gate */
    uint32_t ewc_tasks; /**< tasks that anchors of EWC++ remember, of all regimes */
    double ewc_lambda;  /**< weight of the anchors, as adapted; 0: EWC++ is off */
    double ewc_penalty; /**< lambda / 2 times sum F (w - anchor)^2 of the active regime's heads */
} sona_stats;

/** Return the name of @p counter, such as "drop_duplicate". Static storage. */
SONA_API const char *sona_counter_name(sona_counter counter);
/** Return one clause that says what @p counter counts. Static storage. */
SONA_API const char *sona_counter_help(sona_counter counter);

#define SONA_STATS_JSON_MAX 16384 /**< bytes that always hold what sona_stats_json() writes */

/**
 * Write @p stats as one JSON object: every counter and gauge by name, and the names by which
 * programs of the seeds read them (trajectories_recorded, patterns_stored, patterns_extracted,
 * learning_cycles, trajectories_buffered, trajectories_dropped, buffer_success_rate,
 * instant_enabled, background_enabled, total_requests, total_learning_cycles, avg_latency_us,
 * feedback_ratio). What is not finite is null.
 * @param instant     whether loop A is on: learning from outcomes
 * @param background  whether loop B is on
 * @param buffer      @p size bytes; null for size 0
 * @param ret_bytes   bytes needed, the final NUL included
 * @return SONA_OK; SONA_E_LIMIT when @p size is too small: the text is cut, NUL-terminated;
 *         SONA_E_ARGUMENT
 * @threads any
 */
SONA_API sona_err sona_stats_json(const sona_stats *stats, bool instant, bool background,
                                  char *buffer, size_t size, size_t *ret_bytes);

#ifdef __cplusplus
}
#endif
#endif
