/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/**
 * @file config.h
 * Configuration of one instance: the same keys for the C struct, `--set key=value` and the seeds.
 */
#ifndef SONA_CONFIG_H
#define SONA_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sona/error.h>
#include <sona/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * X(type, name, default, min, max, alias or "", help). One row per key.
 * type is `u32`, `u64`, `f32` or `flag`; min and max are inclusive.
 */
#define SONA_CONFIG_FIELDS(X)                                                                     \
    X(u32, hidden_dim, 256, SONA_DIM_MIN, SONA_DIM_MAX, "", "floats of a step's activations")     \
    X(u32, embedding_dim, 0, 0, SONA_DIM_MAX, "dim", "floats of a query; 0: hidden_dim")          \
    X(u32, attention_dim, 64, 0, SONA_ATTENTION_MAX, "", "attention weights a step can carry")    \
    X(u32, routes_max, 16, 1, SONA_ROUTES_MAX, "", "capacity of the route table")                 \
    X(u32, micro_lora_rank, 2, 1, SONA_MICRO_RANK_MAX, "", "MicroLoRA rank")                      \
    X(u32, base_lora_rank, 8, SONA_BASE_RANK_MIN, SONA_BASE_RANK_MAX, "",                         \
      "BaseLoRA and code rank")                                                                   \
    X(u32, base_lora_layers, 12, 1, SONA_LAYERS_MAX, "", "BaseLoRA layers")                       \
    X(f32, micro_lora_lr, 0.002, 0, 1, "micro_lr", "MicroLoRA learning rate")                     \
    X(f32, base_lora_lr, 0.0001, 0, 1, "base_lr", "BaseLoRA learning rate")                       \
    X(f32, lora_alpha, 1, 0, 64, "", "scale of the adapters: s = alpha / rank")                   \
    X(u32, pattern_clusters, 100, 1, SONA_PATTERNS_MAX, "", "most patterns kept")                 \
    X(f32, pattern_quality_threshold, 0.3, 0, 1, "quality_threshold",                             \
      "trajectories below it stay out of the pattern bank (they still teach)")                    \
    X(u32, trajectory_capacity, 10000, 16, 1000000, "trajectory_buffer_size",                     \
      "decisions and trajectories that may wait for their outcome")                               \
    X(u32, max_trajectory_steps, 50, 1, 10000, "", "steps of one trajectory")                     \
    X(u32, replay_capacity, 5000, 64, 1000000, "", "outcomes kept for the background loop")       \
    X(u64, background_interval_ms, 3600000, 1, 31536000000, "",                                   \
      "a background cycle runs at least this often when there is something new")                  \
    X(u64, feedback_window_ms, 3600000, 1, 31536000000, "", "an outcome may come this late")      \
    X(f32, lambda, 0, 0, 1000, "", "weight of the cost in quality - lambda * cost")               \
    X(f32, max_explore, 1, 0, 1, "", "upper bound on the share of exploring decisions")           \
    X(flag, normalize, 1, 0, 1, "", "scale embeddings to unit norm on entry")                     \
    X(flag, micro, 1, 0, 1, "", "MicroLoRA term")                                                 \
    X(flag, base, 1, 0, 1, "", "refit heads on the BaseLoRA code")                                \
    X(flag, patterns, 1, 0, 1, "", "ReasoningBank residual")                                      \
    X(flag, background, 1, 0, 1, "", "background loop")                                           \
    X(flag, drift, 1, 0, 1, "", "Page-Hinkley drift detection per route")                         \
    X(flag, gate, 1, 0, 1, "", "regime gate: another learner for other queries")                  \
    X(u32, regimes_max, 10, 2, 64, "", "regimes remembered; the least recently used gives way")   \
    X(u64, seed, 1, 0, UINT64_MAX, "", "seed of everything random in the learner")                \
    X(f32, default_quality, -1, -1, 1, "",                                                        \
      "learned for a decision whose feedback window ends without an outcome; negative: nothing")  \
    X(u32, step_capacity, 512, 0, 1000000, "",                                                    \
      "layers of waiting trajectories whose step activations are summed at a time")               \
    X(u64, consolidation_interval, 1000, 1, 1000000000000, "",                                    \
      "trajectories and outcomes between consolidations of the pattern bank")                     \
    X(f32, pattern_similarity, 0.9, 0.3, 1, "", "patterns so alike (cosine) are merged")          \
    X(f32, pattern_decay, 0.98, 0, 1, "", "part of a pattern's weight a consolidation leaves")    \
    X(f32, pattern_min_quality, 0.1, 0, 1, "",                                                    \
      "a consolidation prunes patterns below it that are old and that no search found")           \
    X(u64, pattern_min_age, 10000, 0, 1000000000000, "", "learner steps until a pattern is old")  \
    X(f32, lora_dropout, 0, 0, 0.9, "",                                                           \
      "share of an embedding that one step of MicroLoRA does not see")                            \
    X(flag, enable_simd, 1, 0, 1, "", "SIMD kernels; off: the C ones for this model")             \
    X(u32, queue_capacity, 4096, 64, 4096, "",                                                    \
      "learned events that may be on their way inside the sidecar")                               \
    X(u32, tenants_max, 0, 0, SONA_TENANTS_MAX, "", "tenants with an adapter of their own")       \
    X(u32, tenant_lora_rank, 2, 0, SONA_TENANT_RANK, "",                                          \
      "rank of a tenant's adapter; 0: only its preferences among the routes")                     \
    X(flag, ewc, 0, 0, 1, "", "EWC++: anchors of earlier tasks hold the heads of routes")         \
    X(f32, ewc_lambda, 2000, 0, 100000, "", "weight of the anchors, at first; it adapts")         \
    X(f32, ewc_strength, -1, -1, 1, "", "ewc_lambda in units of 5000; negative: not set")         \
    X(f32, ewc_gamma, 0.95, 0, 1, "", "part of the importances that a further task leaves")       \
    X(u32, ewc_fisher_samples, 100, 1, 1000000, "", "outcomes that importances are taken from")   \
    X(flag, ewc_online, 1, 0, 1, "", "one anchor for all tasks; off: one for each of the last")   \
    X(u32, ewc_tasks_max, 8, 1, 64, "", "anchors kept with ewc_online off; the oldest gives way") \
    X(f32, record_share, 1, 0, 1, "",                                                             \
      "share of the decisions that are recorded; the others cannot hear of an outcome")

/**
 * X(name): the keys that a running learner takes over (sona_engine_configure(), SIGHUP of the
 * sidecar). It reads them where it uses them; the others set sizes, or what weights mean.
 */
#define SONA_CONFIG_LIVE_FIELDS(X) \
    X(micro_lora_lr)               \
    X(base_lora_lr)                \
    X(lora_dropout)                \
    X(lambda)                      \
    X(max_explore)                 \
    X(background)                  \
    X(background_interval_ms)      \
    X(drift)                       \
    X(pattern_quality_threshold)   \
    X(consolidation_interval)      \
    X(pattern_similarity)          \
    X(pattern_decay)               \
    X(pattern_min_quality)         \
    X(pattern_min_age)             \
    X(record_share)

/** Configuration of one instance. Start from sona_config_init(); check with sona_config_check(). */
typedef struct sona_config {
#define SONA_CONFIG_TYPE_u32  uint32_t
#define SONA_CONFIG_TYPE_u64  uint64_t
#define SONA_CONFIG_TYPE_f32  float
#define SONA_CONFIG_TYPE_flag bool

#define SONA_CONFIG_MEMBER(type, name, def, min, max, alias, help) SONA_CONFIG_TYPE_##type name;
    SONA_CONFIG_FIELDS(SONA_CONFIG_MEMBER)
#undef SONA_CONFIG_MEMBER
} sona_config;

/** Fill @p ret with the defaults. */
SONA_API void sona_config_init(sona_config *ret);

/**
 * Fill @p ret with a preset: the defaults, and what the preset says otherwise.
 * @param name  default, max_throughput, max_quality, edge_deployment, batch_processing,
 *              for_ephemeral or for_coordinator
 * @return SONA_OK; SONA_E_CONFIG with @p reterr naming the presets, SONA_E_ARGUMENT for a null
 *         pointer: @p ret is unchanged then
 */
SONA_API sona_err sona_config_preset(sona_config *ret, const char *name, sona_diag *reterr);
/** Return the name of preset @p index, in the order above; null past the last. Static storage. */
SONA_API const char *sona_config_preset_name(uint32_t index);
/** Return one clause that says what preset @p index is for; null past the last. Static storage. */
SONA_API const char *sona_config_preset_help(uint32_t index);

/**
 * Set one key from text.
 * @param key    a name or alias of SONA_CONFIG_FIELDS, also in camel case (microLoraRank); or
 *               `preset`, whose value names a preset: what was set before is forgotten
 * @param value  a number; flags also take true/false/on/off
 * @return SONA_OK; SONA_E_CONFIG with @p reterr naming the key, the range or the nearest known key.
 *         The configuration is unchanged on error.
 */
SONA_API sona_err sona_config_set(sona_config *config, const char *key, const char *value,
                                  sona_diag *reterr);

/**
 * Check every field against its range, and the fields against each other.
 * @return SONA_OK; SONA_E_CONFIG with as many of the mistakes as @p reterr holds.
 */
SONA_API sona_err sona_config_check(const sona_config *config, sona_diag *reterr);

/** Write out the fields that follow from others: embedding_dim 0 becomes hidden_dim, and an
 *  ewc_strength of 0..1 makes ewc_lambda 5000 times that. */
SONA_API void sona_config_resolve(sona_config *config);

/** Derive the geometry of the model that @p config describes. */
SONA_API void sona_config_geometry(const sona_config *config, sona_geometry *ret);

/** Visit every key in order: for --help, listings and completions. */
SONA_API void sona_config_each(void (*visit)(void *arg, const char *name, const char *alias,
                                             const char *value, const char *help),
                               void *arg, const sona_config *config);

#ifdef __cplusplus
}
#endif
#endif
