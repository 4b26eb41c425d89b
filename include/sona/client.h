/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/**
 * @file client.h
 * The router's side: decide, report outcomes, apply the adapters, look up patterns.
 *
 * Calls marked [hot] touch mapped memory only: no lock, no allocation, no system call, no page
 * fault of their own, bounded time. They never fail because the sidecar is slow, stopped or gone:
 * they answer from the last model, or with the identity, and say which.
 *
 * Every [hot] call checks its arguments first. A refused call changes nothing but its counter.
 *
 * @threads A sona_client may be shared by all threads of a process. A sona_lane belongs to one
 *          thread at a time; hand it over only when no call on it is in flight. Neither may be used
 *          from a signal handler, nor in the child after fork() (SONA_E_FORKED).
 */
#ifndef SONA_CLIENT_H
#define SONA_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sona/error.h>
#include <sona/model.h>
#include <sona/signal.h>

#ifdef __cplusplus
extern "C" {
#endif

/** One attachment of a process to one instance. */
typedef struct sona_client sona_client;
/** One thread's way in, and its pin on the model. */
typedef struct sona_lane sona_lane;

#define SONA_LANES_MAX         64 /**< lanes of one client */
#define SONA_INSTANCE_NAME_MAX 64 /**< bytes of an instance's name, NUL included */

typedef enum sona_when_absent {
    SONA_FAIL = 0,    /**< sona_client_open() returns SONA_E_ABSENT */
    SONA_DETACHED = 1 /**< it succeeds; the client attaches by itself when a sidecar appears */
} sona_when_absent;

/** Options of sona_client_open(). Zero-initialised means the defaults. */
typedef struct sona_client_options {
    const char *instance;    /**< name of the instance; null: "default" */
    const char *runtime_dir; /**< directory of the socket; null: /run/sona if it exists, else
                                  $XDG_RUNTIME_DIR/sona */
    uint32_t lanes;          /**< 1..SONA_LANES_MAX; 0: 4 */
    uint32_t dim;            /**< expected dimension; 0: take the instance's. Needed for decisions
                                  and apply before the first attachment. */
    sona_when_absent when_absent;
    bool no_maintenance_thread; /**< the caller runs sona_client_maintain() itself */
    bool full_fence;            /**< use the FULL fence mode even where membarrier works */
    uint32_t timeout_ms;        /**< for connect and handshake; 0: 2000 */
    uint64_t seed;              /**< of the exploration draw; 0: from the kernel's generator */
    bool pooled_lanes;          /**< lanes are handed between threads: the exit of the thread that
                                     claimed one does not return it */
} sona_client_options;

/**
 * Open a client: connect to the sidecar, map model and lanes, start the maintenance thread.
 * @param options  null for the defaults; strings are copied
 * @return SONA_OK; SONA_E_ABSENT, SONA_E_ABI, SONA_E_GEOMETRY, SONA_E_PERMISSION, SONA_E_SHAPE (dim
 *         differs), SONA_E_TIMEOUT, SONA_E_SYSTEM, SONA_E_MEMORY, SONA_E_RANGE; see @p reterr.
 *         With SONA_DETACHED, SONA_E_ABSENT is not an error. On SONA_OK the text of @p reterr is
 *         empty, or a warning: memory that could not be locked (RLIMIT_MEMLOCK).
 * @threads any. @cost milliseconds; system calls.
 */
SONA_API sona_err sona_client_open(sona_client **ret, const sona_client_options *options,
                                   sona_diag *reterr);
/** Release every lane, detach, free, and clear the pointer. Null is fine. No call may be in flight.
 *  What the lanes hold is drained by the sidecar; when none runs, it ends here, and is not counted.
 *  In a forked child it frees the child's copy and leaves the parent's attachment alone. */
SONA_API void sona_client_close(sona_client **client);

/**
 * Claim a lane for the calling thread. Returned by itself when the thread exits, unless the client
 * was opened with pooled_lanes. The n-th decision of a lane draws the n-th number of its stream,
 * counted over all its claims.
 * @return SONA_OK; SONA_E_LANES when all are claimed; SONA_E_FORKED
 */
SONA_API sona_err sona_lane_claim(sona_client *client, sona_lane **ret, sona_diag *reterr);
/** Give a lane back and clear the pointer. Null is fine. */
SONA_API void sona_lane_release(sona_lane **lane);

/**
 * Reconnect after a restart, switch attachments, free old ones. Only for clients opened with
 * no_maintenance_thread.
 * @return SONA_OK attached; SONA_E_DETACHED still no sidecar; else as sona_client_open()
 */
SONA_API sona_err sona_client_maintain(sona_client *client);

/**
 * [hot] Write y = x + MicroLoRA(x) + BaseLoRA_0(x) of the latest snapshot.
 * @param x            @p dim floats
 * @param y            @p dim floats, not overlapping @p x; unspecified until the call returns
 * @param ret_version  null, or the snapshot used; 0 = none, y is x
 * @return SONA_OK; SONA_E_ARGUMENT, SONA_E_SHAPE, SONA_E_NOT_FINITE, SONA_E_FORKED
 * @cost 2 (micro_rank + base_rank) dim multiply-adds
 */
SONA_API sona_err sona_apply(sona_lane *lane, const float *x, uint32_t dim, float *y,
                             uint64_t *ret_version);
/** [hot] Write y = x + MicroLoRA(x) + BaseLoRA_0(x) + s B_T A_T x: with the adapter of @p tenant
 *  (sona_tenant_key()). A tenant that is not known (yet), and 0, add nothing. As sona_apply().
 *  @cost as sona_apply(), and 2 tenant_rank dim multiply-adds */
SONA_API sona_err sona_apply_tenant(sona_lane *lane, uint32_t tenant, const float *x, uint32_t dim,
                                    float *y, uint64_t *ret_version);
/** [hot] Write y = x + s B_m A_m x. As sona_apply(). */
SONA_API sona_err sona_apply_micro(sona_lane *lane, const float *x, uint32_t dim, float *y,
                                   uint64_t *ret_version);
/** [hot] Write y = x + B_l A_l x of BaseLoRA layer @p layer. As sona_apply(), and SONA_E_RANGE. */
SONA_API sona_err sona_apply_base(sona_lane *lane, uint32_t layer, const float *x, uint32_t dim,
                                  float *y, uint64_t *ret_version);
/**
 * [hot] The three above for @p n vectors at once, one after another in @p x and in @p y (row-major,
 * n rows of @p dim floats). Long batches are read in chunks, each from one snapshot, so that no
 * call holds one for longer than about a millisecond.
 * @param n            1 or more, else SONA_E_RANGE
 * @param ret_version  null, or the oldest snapshot used; 0 = some rows of y are those of x
 * @return as sona_apply(); a number that is not finite anywhere refuses the whole batch
 */
SONA_API sona_err sona_apply_batch(sona_lane *lane, uint32_t n, const float *x, uint32_t dim,
                                   float *y, uint64_t *ret_version);
SONA_API sona_err sona_apply_micro_batch(sona_lane *lane, uint32_t n, const float *x, uint32_t dim,
                                         float *y, uint64_t *ret_version);
SONA_API sona_err sona_apply_base_batch(sona_lane *lane, uint32_t layer, uint32_t n, const float *x,
                                        uint32_t dim, float *y, uint64_t *ret_version);
/**
 * Merge an adapter into a weight matrix that is applied behind it: W' = W (I + B A), so that
 * W' x = W apply(x). The convention is y = W x with W row-major, @p rows rows of @p cols floats.
 * One read of one snapshot, hence no call for the request path: a slot held longer than the lease
 * may be taken back, and the read is repeated a few times.
 * @param layer        a BaseLoRA layer, or SONA_LAYER_BOTH: MicroLoRA and layer 0, as sona_apply()
 * @param cols         the instance's dimension, else SONA_E_SHAPE
 * @param ret_merged   @p rows x @p cols floats, not overlapping @p weights
 * @param ret_version  null, or the snapshot used; 0 = none, and the result is W
 * @return as sona_apply_base(); SONA_E_RANGE for no rows
 * @cost 2 rank multiply-adds per weight
 */
SONA_API sona_err sona_merge_into(sona_lane *lane, uint32_t layer, const float *weights,
                                  uint32_t rows, uint32_t cols, float *ret_merged,
                                  uint64_t *ret_version);

/**
 * [hot] Choose a route for a query and record the decision, or, where the instance's record_share
 * is below 1, that share of the decisions: which of them is drawn by (seed, lane, how-manieth).
 * @param x           @p dim floats, any norm but zero
 * @param candidates  null: every enabled route, explore
 * @param ret         written on SONA_OK, SONA_E_FULL and SONA_E_DETACHED. In the last two cases the
 *                    decision is good but not recorded: id is 0; as it is, with SONA_OK, of one
 *                    that record_share leaves out: it has its propensity, and nothing is to be
 *                    told of it.
 * @return SONA_OK; SONA_E_FULL, SONA_E_DETACHED; SONA_E_ARGUMENT, SONA_E_SHAPE, SONA_E_NOT_FINITE,
 *         SONA_E_ZERO_VECTOR, SONA_E_RANGE, SONA_E_ROUTE, SONA_E_NO_ROUTE, SONA_E_FORKED
 */
SONA_API sona_err sona_decide(sona_lane *lane, const float *x, uint32_t dim,
                              const sona_candidates *candidates, sona_decision *ret);

/** What is known about an outcome beside its quality. Zero-initialise, then set what is known. */
typedef struct sona_outcome_info {
    uint32_t latency_us;
    uint32_t tokens_in;
    uint32_t tokens_out;
} sona_outcome_info;

/**
 * [hot] Tell how good a decision was: late, from another thread or process of the same user if you
 * like. Unknown ids and second outcomes are found out and counted by the sidecar: one that says the
 * same changes nothing, one that says something else within the feedback window replaces the first.
 * @param decision_id  of a recorded decision; 0 is refused with SONA_E_UNKNOWN_ID
 * @param quality      0..1
 * @param info         null, or what else is known
 * @return SONA_OK; SONA_E_FULL, SONA_E_DETACHED, SONA_E_NOT_FINITE, SONA_E_RANGE,
 *         SONA_E_UNKNOWN_ID, SONA_E_FORKED
 */
SONA_API sona_err sona_outcome(sona_lane *lane, uint64_t decision_id, float quality,
                               const sona_outcome_info *info);

/**
 * [hot] Take back what was told about a decision or trajectory, for good: late, from another thread
 * or process of the same user, and before or after the outcome itself gets through. What lets go of
 * it when: see sona_engine_revoke(). A second revocation changes nothing.
 * @return SONA_OK; SONA_E_FULL, SONA_E_DETACHED, SONA_E_UNKNOWN_ID (0), SONA_E_FORKED. An unknown
 *         id, one whose window is over, and one that the replay no longer has are found out and
 *         counted by the sidecar.
 */
SONA_API sona_err sona_outcome_revoke(sona_lane *lane, uint64_t id);

/**
 * [hot] Learn from a signal (see signal.h). One that names an id is the outcome of that decision or
 * trajectory; one that names none is the outcome of the last decision recorded on this lane; before
 * there is one, and behind one that record_share left out, it moves the global reward baseline. Its
 * direction, if it has one, moves the adapter besides.
 * @param ret  null, or what it was taken to be about
 * @return SONA_OK; SONA_E_FULL (perhaps of the direction alone), SONA_E_DETACHED; SONA_E_ARGUMENT,
 *         SONA_E_SHAPE, SONA_E_NOT_FINITE, SONA_E_RANGE, SONA_E_ZERO_VECTOR (the direction):
 *         nothing is recorded; SONA_E_FORKED
 */
SONA_API sona_err sona_learn(sona_lane *lane, const sona_signal *signal, sona_signal_effect *ret);

/** [hot] Write the value of every route by index (cost subtracted) for @p x; NaN where a route is
 *  not enabled or not in mode apply. Neither records nor explores.
 *  @param ret_scores @p capacity floats
 *  @return SONA_OK; SONA_E_RANGE when capacity is below the instance's routes_max; SONA_E_NO_ROUTE
 *  without a model; as sona_decide() */
SONA_API sona_err sona_score(sona_lane *lane, const float *x, uint32_t dim, float *ret_scores,
                             uint32_t capacity, uint64_t *ret_version);

/** [hot] The same for a query of @p tenant. */
SONA_API sona_err sona_score_tenant(sona_lane *lane, uint32_t tenant, const float *x, uint32_t dim,
                                    float *ret_scores, uint32_t capacity, uint64_t *ret_version);

/** [hot] Begin a trajectory for a query. *ret_id names it in the calls below, on the same lane.
 *  @return as sona_decide(), but nothing is written on SONA_E_FULL and SONA_E_DETACHED */
SONA_API sona_err sona_trajectory_begin(sona_lane *lane, const float *x, uint32_t dim,
                                        uint64_t *ret_id);
/** [hot] The same for a query of @p tenant (sona_tenant_key()); 0: nobody's in particular. */
SONA_API sona_err sona_trajectory_begin_tenant(sona_lane *lane, uint32_t tenant, const float *x,
                                               uint32_t dim, uint64_t *ret_id);
/** [hot] Add a step (see sona_step in model.h).
 *  @return SONA_OK; SONA_E_SHAPE for more activations than hidden_dim and dim or attention than the
 * instance carries; SONA_E_RANGE for a layer it has not; SONA_E_ARGUMENT, SONA_E_NOT_FINITE,
 *  SONA_E_UNKNOWN_ID (0), SONA_E_FULL, SONA_E_DETACHED, SONA_E_FORKED */
SONA_API sona_err sona_trajectory_step(sona_lane *lane, uint64_t id, const sona_step *step);
/** [hot] Say which route served the trajectory. @return also SONA_E_ROUTE */
SONA_API sona_err sona_trajectory_route(sona_lane *lane, uint64_t id, sona_route route);
/** [hot] Attach a context name: at most 63 bytes and a NUL, else SONA_E_RANGE. */
SONA_API sona_err sona_trajectory_context(sona_lane *lane, uint64_t id, const char *context);
/** [hot] End the trajectory with its quality, 0..1. */
SONA_API sona_err sona_trajectory_end(sona_lane *lane, uint64_t id, float quality);

/** [hot] Find the @p k patterns nearest to @p x, nearest first; *ret_count <= k. The nearest is
 *  told to the sidecar for its access count; when that event is dropped, the search is good all
 *  the same.
 *  Exact up to 256 patterns, and for every k > 16. Of more patterns the 256 whose signatures differ
 *  least from the query's are measured: of encoders' embeddings .97 to .999 of the nearest five
 *  are among them, of features without neighbours fewer (ADR 0036; Charikar 2002).
 *  @cost reads 2 dim bytes of every pattern and few centroids of 4 dim (k > 16: all of those);
 *        beyond 256 patterns 32 bytes of each and 256 centroids
 *  @return SONA_OK (count 0 without a model); as sona_apply(); SONA_E_RANGE for k = 0 */
SONA_API sona_err sona_find_patterns(sona_lane *lane, const float *x, uint32_t dim, uint32_t k,
                                     sona_pattern *ret, uint32_t *ret_count);
/** [hot] Copy up to @p capacity rows of the route table; *ret_count = rows in use.
 *  @return SONA_OK; SONA_E_DETACHED without a model */
SONA_API sona_err sona_routes(sona_lane *lane, sona_route_info *ret, uint32_t capacity,
                              uint32_t *ret_count);

/** The snapshot a lane sees now. */
typedef struct sona_version_info {
    uint64_t version;  /**< snapshot id, 0 = none */
    uint64_t step;     /**< events the learner had taken when it was published */
    uint64_t observed; /**< queries it had seen; may lag while no outcome comes */
} sona_version_info;
/** [hot] Say which snapshot is current. */
SONA_API sona_err sona_version_of(sona_lane *lane, sona_version_info *ret);

/** What this client did and refused, summed over its lanes. */
typedef struct sona_client_stats {
    bool attached;        /**< a sidecar is attached and its heartbeat was fresh */
    uint64_t attachments; /**< how often it attached */
    uint32_t dim;         /**< of the instance; 0 = never attached */
    uint32_t lanes_claimed;
    uint64_t applies, decides, outcomes, trajectories, steps, searches, revokes, signals;
    uint64_t identity; /**< answers without a model */
    uint64_t retries;  /**< reads repeated because a slot changed under the reader */
    uint64_t dropped_full;
    uint64_t dropped_detached;
    uint64_t dropped_restart; /**< committed events that were not drained when the sidecar was lost;
                                   those that wait for a successor count until it takes them */
    uint64_t refused_argument, refused_shape, refused_not_finite, refused_range,
        refused_zero_vector, refused_route, refused_no_route, refused_unknown_id;
    bool memory_locked; /**< the maps are locked in memory; false: RLIMIT_MEMLOCK */
    uint64_t memlock_failures;
    bool full_fence;     /**< true: FULL mode, false: ASYM (membarrier) */
    uint64_t unrecorded; /**< decisions left out by record_share; `decides` counts them too */
} sona_client_stats;

/** Sum the counters of every lane. Not [hot] but makes no lock and no system call. @threads any
 *  @return SONA_OK, SONA_E_ARGUMENT, SONA_E_FORKED */
SONA_API sona_err sona_client_stats_get(sona_client *client, sona_client_stats *ret);

/** Return the geometry of the instance last attached. @threads any
 *  @return SONA_OK; SONA_E_DETACHED: never attached; SONA_E_ARGUMENT, SONA_E_FORKED */
SONA_API sona_err sona_client_geometry(sona_client *client, sona_geometry *ret);

#ifdef __cplusplus
}
#endif
#endif
