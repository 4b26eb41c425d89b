/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/**
 * @file model.h
 * Geometry, routes, decisions and patterns: the vocabulary shared by engine, sidecar and client.
 *
 * A *model* is a pair of immutable blocks of bytes, hot and cold, whose sizes and offsets follow
 * from the geometry alone. Nothing in this file depends on who holds the model.
 */
#ifndef SONA_MODEL_H
#define SONA_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include <sona/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SONA_DIM_MIN          4    /**< smallest embedding */
#define SONA_DIM_MAX          4096 /**< largest embedding */
#define SONA_ROUTES_MAX       256  /**< routes alive or retired at one time */
#define SONA_ROUTE_NAME_MAX   64   /**< bytes of a route's name, NUL included */
#define SONA_MICRO_RANK_MAX   2
#define SONA_BASE_RANK_MIN    4
#define SONA_BASE_RANK_MAX    16
#define SONA_LAYERS_MAX       64         /**< BaseLoRA layers */
#define SONA_PATTERNS_MAX     10000      /**< patterns of the ReasoningBank */
#define SONA_ATTENTION_MAX    4096       /**< attention weights of one step */
#define SONA_CONTEXT_MAX      64         /**< bytes of a context's name, NUL included */
#define SONA_LAYER_BOTH       UINT32_MAX /**< in place of a layer: what sona_apply() adds */
#define SONA_PATTERN_ROUTES   16         /**< routes that a found pattern tells about */
#define SONA_PATTERN_EXAMPLES 4          /**< decisions or trajectories that it names */
#define SONA_TENANTS_MAX      4096       /**< tenants with an adapter of their own */
#define SONA_TENANT_RANK      2          /**< largest rank of a tenant's adapter */

/** Everything that fixes the layout of a model and of the records about it. Immutable per segment
 *  generation. */
typedef struct sona_geometry {
    uint32_t dim;           /**< floats of an embedding, SONA_DIM_MIN..SONA_DIM_MAX */
    uint32_t routes_max;    /**< capacity of the route table, 1..SONA_ROUTES_MAX */
    uint32_t micro_rank;    /**< MicroLoRA rank, 1..2 */
    uint32_t base_rank;     /**< BaseLoRA rank and rank of the code z, 4..16, at most dim */
    uint32_t layers;        /**< BaseLoRA layers, 1..SONA_LAYERS_MAX */
    uint32_t patterns_max;  /**< capacity of the pattern table, 1..SONA_PATTERNS_MAX */
    uint32_t attention_dim; /**< attention weights a step can carry, 0..SONA_ATTENTION_MAX */
    uint32_t flags;         /**< SONA_GEOMETRY_* */
    uint32_t hidden_dim;  /**< floats of a step's activations, SONA_DIM_MIN..SONA_DIM_MAX; 0: dim */
    uint32_t tenants_max; /**< tenants with an adapter, 0..SONA_TENANTS_MAX; 0: no tenants */
    uint32_t tenant_rank; /**< rank of a tenant's adapter, 0..SONA_TENANT_RANK */
    uint32_t reserved;    /**< 0 */
} sona_geometry;

/** Embeddings are scaled to unit norm on entry (the default). Without it they are used as given. */
#define SONA_GEOMETRY_NORMALIZE 1u
/** Whoever computes with the model uses the C kernels: the same bits on every processor. */
#define SONA_GEOMETRY_PLAIN 2u

/**
 * A route's identity: index in the route table (low 16 bits) and generation (high 16 bits). The
 * first route at an index has generation 0, so its id is its index. An outcome that arrives after
 * its route was retired never lands on the successor at the same index.
 */
typedef uint32_t sona_route;
#define SONA_ROUTE_NONE                  UINT32_MAX
#define SONA_ROUTE_INDEX(route)          ((uint32_t)(route)&0xffffu)
#define SONA_ROUTE_GENERATION(route)     ((uint32_t)(route) >> 16)
#define SONA_ROUTE_ID(index, generation) ((uint32_t)(generation) << 16 | (uint32_t)(index))

typedef enum sona_route_state {
    SONA_ROUTE_FREE = 0,    /**< never used, or free for reuse */
    SONA_ROUTE_ENABLED = 1, /**< may be chosen */
    SONA_ROUTE_RETIRED = 2  /**< never chosen; its late outcomes are counted as route_retired */
} sona_route_state;

/** What is wanted of a decision, or of a route. */
typedef enum sona_mode {
    SONA_MODE_APPLY = 0,   /**< decision: choose, explore, record. Route: chosen and learned */
    SONA_MODE_OBSERVE = 1, /**< decision: take and record the caller's `forced` route. Route: never
                                chosen by the policy; outcomes of forced decisions teach */
    SONA_MODE_BYPASS = 2 /**< decision: `forced` is taken, nothing is recorded. Route: never chosen
                              by the policy, not learned; outcomes are counted */
} sona_mode;

/** What a route is declared with. */
typedef struct sona_route_spec {
    char name[SONA_ROUTE_NAME_MAX]; /**< unique, not empty, NUL-terminated */
    float cost;                     /**< relative cost c_k, 0..1 */
    float prior_quality;            /**< believed quality before evidence, 0..1 (.5 if unknown) */
    float prior_weight;             /**< what it weighs, in outcomes, 0..1e6 (1 if unknown) */
} sona_route_spec;

/** One row of the route table as a snapshot shows it. */
typedef struct sona_route_info {
    sona_route id;
    sona_route_state state;
    char name[SONA_ROUTE_NAME_MAX];
    float cost;
    float outcomes;     /**< outcomes learned (discounted when the route drifted) */
    float mean_quality; /**< their mean, prior included, 0..1 */
    sona_mode mode;
} sona_route_info;

/** Candidate routes of one decision. Zero-initialise, then set what differs. */
typedef struct sona_candidates {
    bool restricted;     /**< false: every route in mode apply; true: only those of them in `set` */
    bool no_explore;     /**< take the best route for certain */
    bool override_costs; /**< use `costs` (routes_max floats) instead of the table's */
    sona_mode mode;
    sona_route forced;                  /**< for OBSERVE and BYPASS */
    uint64_t set[SONA_ROUTES_MAX / 64]; /**< bit i = route index i */
    const float *costs;                 /**< routes_max floats, 0..1, borrowed for the call */
    uint32_t tenant; /**< whose query it is (sona_tenant_key()); 0: nobody's in particular */
} sona_candidates;

/**
 * Return the key of the tenant called @p name: any number but 0, always the same for the same name.
 * Two of 4096 names meet in one key with a chance of 1 in 500; number your tenants yourself where
 * that matters: any u32 but 0 is a key.
 * @param name  NUL-terminated, any length; null or "": 0, no tenant
 * @threads any. @cost one multiplication a byte. FNV-1a (Fowler, Noll and Vo).
 */
SONA_API uint32_t sona_tenant_key(const char *name);

/** Why a route was chosen. */
typedef enum sona_why {
    SONA_WHY_BEST = 0,    /**< highest upper value among the candidates */
    SONA_WHY_EXPLORE = 1, /**< drawn by the exploration policy */
    SONA_WHY_ONLY = 2,    /**< the only candidate */
    SONA_WHY_COLD = 3,    /**< no model or no evidence yet: uniform over the candidates */
    SONA_WHY_FORCED = 4   /**< the caller's choice (observe, bypass) */
} sona_why;

/** The answer to "which route for this query". */
typedef struct sona_decision {
    uint64_t id;      /**< name it in sona_outcome(); 0 = not recorded, no outcome can be told */
    sona_route route; /**< the chosen route */
    sona_why why;
    float propensity;    /**< probability with which this route was chosen, exactly; (0, 1] */
    float expected;      /**< predicted quality of the chosen route (cost not subtracted) */
    uint64_t version;    /**< snapshot that decided; 0 = none (identity) */
    uint32_t n_scores;   /**< floats at `scores` */
    const float *scores; /**< value of every route by index, cost subtracted; NaN where not a
                              candidate. Owned by the lane or engine, valid until its next call. */
} sona_decision;

/**
 * A step of a trajectory. Zero-initialise, then set what is known.
 *
 * Activations train BaseLoRA layer `layer` when the trajectory ends (sona_engine_step()). Only
 * their direction counts, and only the first min(hidden_dim, embedding_dim) of them. Attention
 * weights say how much of the step's attention went to these activations: their sum, negative ones
 * left out and never more than 1, is the step's share of the credit. A whole softmax sums to 1, as
 * does no attention at all.
 */
typedef struct sona_step {
    const float *activations; /**< n_activations floats, or null */
    const float *attention;   /**< n_attention floats, or null */
    uint32_t n_activations;
    uint32_t n_attention;
    float reward;     /**< any finite number; by convention 0..1. 0 without `rewarded`: none is
                           known, and the trajectory's quality stands in for it */
    float score;      /**< confidence in the node, any finite number */
    uint32_t node_id; /**< a number the caller likes */
    uint32_t latency_us;
    uint32_t layer; /**< BaseLoRA layer the activations belong to */
    bool rewarded;  /**< the reward is known, even if it is 0 */
} sona_step;

typedef enum sona_pattern_type {
    SONA_PATTERN_GENERAL = 0,
    SONA_PATTERN_REASONING = 1,
    SONA_PATTERN_FACTUAL = 2,
    SONA_PATTERN_CREATIVE = 3,
    SONA_PATTERN_CODEGEN = 4,
    SONA_PATTERN_CONVERSATIONAL = 5
} sona_pattern_type;

/** What a pattern knows about one route. */
typedef struct sona_pattern_route {
    sona_route route;
    float outcomes;     /**< counted near the pattern; they fade as the pattern's weight does */
    float mean_quality; /**< of those, 0..1 */
} sona_pattern_route;

/** A pattern of the ReasoningBank, as found near a query: of the last background cycle. */
typedef struct sona_pattern {
    uint64_t id;            /**< stable across background cycles as long as the pattern lives */
    uint32_t index;         /**< row in the snapshot's pattern table */
    sona_pattern_type type; /**< what more than half of its trajectories with a known context were
                                 about (sona_pattern_type_of()); general otherwise */
    float similarity;       /**< cosine of centroid and query, -1..1 */
    float distance;         /**< squared Euclidean distance of their unit vectors, 0..4 */
    float avg_quality;      /**< mean quality of the outcomes near it, 0..1 */
    float total_weight;     /**< evidence behind it, in outcomes; it fades (pattern_decay) */
    uint32_t cluster_size;  /**< trajectories that shaped it: those of at least
                                 pattern_quality_threshold */
    uint32_t best_route;    /**< route index with the best mean here; UINT32_MAX without evidence */
    float best_quality;     /**< that mean */
    uint64_t created_at;    /**< learner step */
    uint64_t last_accessed; /**< learner step of the last trajectory that came to it, or of the
                                 last search that found it nearest */
    uint64_t access_count;  /**< searches that found it nearest */
    uint32_t n_routes;      /**< enabled routes with evidence here, those with the most of it */
    uint32_t n_examples;
    sona_pattern_route routes[SONA_PATTERN_ROUTES]; /**< n_routes, by falling evidence */
    uint64_t examples[SONA_PATTERN_EXAMPLES]; /**< n_examples ids of decisions or trajectories: the
                                                   latest that shaped it */
} sona_pattern;

/** What a call on the ReasoningBank changed. */
typedef struct sona_bank_report {
    uint32_t patterns; /**< afterwards */
    uint32_t merged;   /**< taken up by a similar one */
    uint32_t pruned;   /**< removed */
    double weight;     /**< evidence of all patterns afterwards, in outcomes */
} sona_bank_report;

/** Which patterns sona_engine_patterns_prune() removes: those for which all of it holds. */
typedef struct sona_prune_rule {
    float min_quality;     /**< avg_quality is below it, */
    uint64_t min_accesses; /**< access_count is below it, */
    uint64_t min_age;      /**< and it is at least so many learner steps old */
} sona_prune_rule;

/**
 * Return the pattern type that a trajectory's context names. Upper and lower case are the same;
 * the first of these words that @p context contains decides: "code" or "program" (codegen),
 * "reason", "math" or "logic" (reasoning), "fact", "knowledge" or "question" (factual), "creativ"
 * or "story" (creative), "convers", "chat" or "dialog" (conversational).
 * @param context  NUL-terminated; null: no context
 * @return the type; SONA_PATTERN_GENERAL when none of the words is in it
 * @threads any
 */
SONA_API sona_pattern_type sona_pattern_type_of(const char *context);
/** Return the name of @p type: "general", "reasoning", "factual", "creative", "codegen",
 *  "conversational"; "?" for another value. Static storage. */
SONA_API const char *sona_pattern_type_name(sona_pattern_type type);

#ifdef __cplusplus
}
#endif
#endif
