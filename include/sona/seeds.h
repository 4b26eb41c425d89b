/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/**
 * @file seeds.h
 * The names of the two seed documents over the calls of engine.h and client.h: nothing is added
 * here but the names. docs/seeds.md has the whole list.
 *
 * A name that both an engine and a lane have takes the engine as sona_engine_..., the lane as
 * sona_.... Returns, ranges, threads and cost are those of the call behind it.
 */
#ifndef SONA_SEEDS_H
#define SONA_SEEDS_H

#include <stddef.h>
#include <string.h>

#include <sona/client.h>
#include <sona/config.h>
#include <sona/engine.h>
#include <sona/signal.h>

#ifdef __cplusplus
extern "C" {
#endif

/** with_config(config): an engine of one route, "default". */
static inline sona_err sona_engine_with_config(sona_engine **ret, const sona_config *config,
                                               sona_diag *reterr)
{
    sona_route_spec spec;

    memset(&spec, 0, sizeof spec);
    memcpy(spec.name, "default", sizeof "default");
    spec.prior_quality = 0.5f;
    spec.prior_weight = 1;
    return sona_engine_create(ret, config, &spec, 1, reterr);
}

/** withConfig(micro_lora_rank, base_lora_rank, trajectory_buffer_size, ewc_lambda), in this order:
 *  the other dialect's, whose ewc_lambda of 0..1 is our ewc_strength. EWC++ is on.
 *  @return as sona_engine_create(); a rank that is out of range names itself in @p reterr */
static inline sona_err sona_engine_with_positions(sona_engine **ret, uint32_t micro_lora_rank,
                                                  uint32_t base_lora_rank,
                                                  uint32_t trajectory_buffer_size,
                                                  float ewc_strength, sona_diag *reterr)
{
    sona_config config;

    sona_config_init(&config);
    config.micro_lora_rank = micro_lora_rank;
    config.base_lora_rank = base_lora_rank;
    config.trajectory_capacity = trajectory_buffer_size;
    config.ewc = true;
    config.ewc_strength = ewc_strength;
    return sona_engine_with_config(ret, &config, reterr);
}

/** new(hidden_dim): the same with the defaults and embeddings of @p hidden_dim floats. */
static inline sona_err sona_engine_new(sona_engine **ret, uint32_t hidden_dim, sona_diag *reterr)
{
    sona_config config;

    sona_config_init(&config);
    config.hidden_dim = hidden_dim;
    return sona_engine_with_config(ret, &config, reterr);
}

/** begin_trajectory(embedding) */
static inline sona_err sona_engine_begin_trajectory(sona_engine *engine, const float *x,
                                                    uint32_t dim, uint64_t now_ms, uint64_t *ret_id)
{
    return sona_engine_begin(engine, x, dim, now_ms, ret_id);
}

/** begin_trajectory(embedding) */
static inline sona_err sona_begin_trajectory(sona_lane *lane, const float *x, uint32_t dim,
                                             uint64_t *ret_id)
{
    return sona_trajectory_begin(lane, x, dim, ret_id);
}

/** start_trajectory(embedding) */
static inline sona_err sona_engine_start_trajectory(sona_engine *engine, const float *x,
                                                    uint32_t dim, uint64_t now_ms, uint64_t *ret_id)
{
    return sona_engine_begin(engine, x, dim, now_ms, ret_id);
}

/** start_trajectory(embedding) */
static inline sona_err sona_start_trajectory(sona_lane *lane, const float *x, uint32_t dim,
                                             uint64_t *ret_id)
{
    return sona_trajectory_begin(lane, x, dim, ret_id);
}

/** A step of activations, attention weights and a reward. */
static inline sona_step sona_step_of(const float *activations, uint32_t n_activations,
                                     const float *attention, uint32_t n_attention, float reward)
{
    sona_step step;

    memset(&step, 0, sizeof step);
    step.activations = activations;
    step.n_activations = n_activations;
    step.attention = attention;
    step.n_attention = n_attention;
    step.reward = reward;
    step.rewarded = true;
    return step;
}

/** A step through a node: its score and latency. */
static inline sona_step sona_step_through(uint32_t node_id, float score, uint32_t latency_us)
{
    sona_step step;

    memset(&step, 0, sizeof step);
    step.node_id = node_id;
    step.score = score;
    step.latency_us = latency_us;
    return step;
}

/** add_step(id, activations, attention, reward) */
static inline sona_err sona_engine_add_step(sona_engine *engine, uint64_t id,
                                            const float *activations, uint32_t n_activations,
                                            const float *attention, uint32_t n_attention,
                                            float reward)
{
    sona_step step = sona_step_of(activations, n_activations, attention, n_attention, reward);

    return sona_engine_step(engine, id, &step);
}

/** add_step(id, activations, attention, reward) */
static inline sona_err sona_add_step(sona_lane *lane, uint64_t id, const float *activations,
                                     uint32_t n_activations, const float *attention,
                                     uint32_t n_attention, float reward)
{
    sona_step step = sona_step_of(activations, n_activations, attention, n_attention, reward);

    return sona_trajectory_step(lane, id, &step);
}

/** add_trajectory_step(id, activations, attention, reward) */
static inline sona_err sona_engine_add_trajectory_step(sona_engine *engine, uint64_t id,
                                                       const float *activations,
                                                       uint32_t n_activations,
                                                       const float *attention, uint32_t n_attention,
                                                       float reward)
{
    sona_step step = sona_step_of(activations, n_activations, attention, n_attention, reward);

    return sona_engine_step(engine, id, &step);
}

/** add_trajectory_step(id, activations, attention, reward) */
static inline sona_err sona_add_trajectory_step(sona_lane *lane, uint64_t id,
                                                const float *activations, uint32_t n_activations,
                                                const float *attention, uint32_t n_attention,
                                                float reward)
{
    sona_step step = sona_step_of(activations, n_activations, attention, n_attention, reward);

    return sona_trajectory_step(lane, id, &step);
}

/** record_step(id, node_id, score, latency_us) */
static inline sona_err sona_engine_record_step(sona_engine *engine, uint64_t id, uint32_t node_id,
                                               float score, uint32_t latency_us)
{
    sona_step step = sona_step_through(node_id, score, latency_us);

    return sona_engine_step(engine, id, &step);
}

/** record_step(id, node_id, score, latency_us) */
static inline sona_err sona_record_step(sona_lane *lane, uint64_t id, uint32_t node_id, float score,
                                        uint32_t latency_us)
{
    sona_step step = sona_step_through(node_id, score, latency_us);

    return sona_trajectory_step(lane, id, &step);
}

/** set_trajectory_route(id, route) */
static inline sona_err sona_engine_set_trajectory_route(sona_engine *engine, uint64_t id,
                                                        sona_route route)
{
    return sona_engine_route(engine, id, route);
}

/** set_trajectory_route(id, route) */
static inline sona_err sona_set_trajectory_route(sona_lane *lane, uint64_t id, sona_route route)
{
    return sona_trajectory_route(lane, id, route);
}

/** The enabled route of this name among @p n rows of a route table; SONA_ROUTE_NONE: none is. */
static inline sona_route sona_route_named(const sona_route_info *rows, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++)
        if (rows[i].state == SONA_ROUTE_ENABLED && strcmp(rows[i].name, name) == 0)
            return rows[i].id;
    return SONA_ROUTE_NONE;
}

/** set_trajectory_route(id, route), the route by its name. It reads the whole table: on a busy path
 *  look the id up once, and use that.
 *  @return as sona_engine_route(); SONA_E_ROUTE, not counted, when no enabled route has the name;
 *          SONA_E_ARGUMENT for a null pointer */
static inline sona_err sona_engine_set_trajectory_route_named(sona_engine *engine, uint64_t id,
                                                              const char *name)
{
    sona_route_info rows[SONA_ROUTES_MAX];
    uint32_t n = 0;
    sona_err err = sona_engine_routes(engine, rows, SONA_ROUTES_MAX, &n);
    sona_route route;

    if (err != SONA_OK || name == NULL)
        return err != SONA_OK ? err : SONA_E_ARGUMENT;
    route = sona_route_named(rows, n, name);
    return route == SONA_ROUTE_NONE ? SONA_E_ROUTE : sona_engine_route(engine, id, route);
}

/** set_trajectory_route(id, route), the route by its name, as of the latest snapshot.
 *  @return as sona_trajectory_route() and sona_routes(); else as above */
static inline sona_err sona_set_trajectory_route_named(sona_lane *lane, uint64_t id,
                                                       const char *name)
{
    sona_route_info rows[SONA_ROUTES_MAX];
    uint32_t n = 0;
    sona_err err = sona_routes(lane, rows, SONA_ROUTES_MAX, &n);
    sona_route route;

    if (err != SONA_OK || name == NULL)
        return err != SONA_OK ? err : SONA_E_ARGUMENT;
    route = sona_route_named(rows, n, name);
    return route == SONA_ROUTE_NONE ? SONA_E_ROUTE : sona_trajectory_route(lane, id, route);
}

/** add_trajectory_context(id, context) */
static inline sona_err sona_engine_add_trajectory_context(sona_engine *engine, uint64_t id,
                                                          const char *context)
{
    return sona_engine_context(engine, id, context);
}

/** add_trajectory_context(id, context) */
static inline sona_err sona_add_trajectory_context(sona_lane *lane, uint64_t id,
                                                   const char *context)
{
    return sona_trajectory_context(lane, id, context);
}

/** end_trajectory(id, quality) */
static inline sona_err sona_engine_end_trajectory(sona_engine *engine, uint64_t id, float quality,
                                                  uint64_t now_ms)
{
    return sona_engine_end(engine, id, quality, now_ms);
}

/** end_trajectory(id, quality) */
static inline sona_err sona_end_trajectory(sona_lane *lane, uint64_t id, float quality)
{
    return sona_trajectory_end(lane, id, quality);
}

/** apply_lora(input) */
static inline sona_err sona_engine_apply_lora(const sona_engine *engine, const float *x,
                                              uint32_t dim, float *y)
{
    return sona_engine_apply(engine, x, dim, y);
}

/** apply_micro_lora(input) */
static inline sona_err sona_engine_apply_micro_lora(const sona_engine *engine, const float *x,
                                                    uint32_t dim, float *y)
{
    return sona_engine_apply_micro(engine, x, dim, y);
}

/** apply_base_lora(layer, input) */
static inline sona_err sona_engine_apply_base_lora(const sona_engine *engine, uint32_t layer,
                                                   const float *x, uint32_t dim, float *y)
{
    return sona_engine_apply_base(engine, layer, x, dim, y);
}

/** apply_lora(input) */
static inline sona_err sona_apply_lora(sona_lane *lane, const float *x, uint32_t dim, float *y)
{
    return sona_apply(lane, x, dim, y, NULL);
}

/** apply_micro_lora(input) */
static inline sona_err sona_apply_micro_lora(sona_lane *lane, const float *x, uint32_t dim,
                                             float *y)
{
    return sona_apply_micro(lane, x, dim, y, NULL);
}

/** apply_base_lora(layer, input) */
static inline sona_err sona_apply_base_lora(sona_lane *lane, uint32_t layer, const float *x,
                                            uint32_t dim, float *y)
{
    return sona_apply_base(lane, layer, x, dim, y, NULL);
}

/** query_patterns(embedding, k) */
static inline sona_err sona_engine_query_patterns(sona_engine *engine, const float *x, uint32_t dim,
                                                  uint32_t k, sona_pattern *ret,
                                                  uint32_t *ret_count)
{
    return sona_engine_find_patterns(engine, x, dim, k, ret, ret_count);
}

/** query_patterns(embedding, k) */
static inline sona_err sona_query_patterns(sona_lane *lane, const float *x, uint32_t dim,
                                           uint32_t k, sona_pattern *ret, uint32_t *ret_count)
{
    return sona_find_patterns(lane, x, dim, k, ret, ret_count);
}

/** force_learn() */
static inline sona_err sona_engine_force_learn(sona_engine *engine, uint64_t now_ms,
                                               sona_cycle_report *ret_report)
{
    return sona_engine_learn_now(engine, now_ms, ret_report);
}

/** run_background_cycle() */
static inline sona_err sona_engine_run_background_cycle(sona_engine *engine, uint64_t now_ms,
                                                        sona_cycle_report *ret_report)
{
    return sona_engine_learn_now(engine, now_ms, ret_report);
}

/** run_instant_cycle() */
static inline sona_err sona_engine_run_instant_cycle(sona_engine *engine, uint64_t now_ms,
                                                     sona_instant_report *ret_report)
{
    return sona_engine_flush(engine, now_ms, ret_report);
}

/** get_stats(): JSON */
static inline sona_err sona_engine_get_stats(const sona_engine *engine, char *buffer, size_t size,
                                             size_t *ret_bytes)
{
    return sona_engine_stats_json(engine, buffer, size, ret_bytes);
}

/** is_enabled() */
static inline bool sona_engine_is_enabled(const sona_engine *engine)
{
    return sona_engine_enabled(engine);
}

/** start_new_task(): the one under way ends, and its weights become an anchor. */
static inline sona_err sona_engine_start_new_task(sona_engine *engine)
{
    return sona_engine_ewc_boundary(engine, NULL, NULL);
}

/** consolidate_all_tasks() */
static inline sona_err sona_engine_consolidate_all_tasks(sona_engine *engine)
{
    return sona_engine_ewc_consolidate(engine, NULL, NULL);
}

/** task_count() */
static inline uint32_t sona_engine_task_count(const sona_engine *engine)
{
    sona_ewc ewc;

    return sona_engine_ewc(engine, &ewc) == SONA_OK ? ewc.tasks : 0;
}

/** regularization_loss() */
static inline double sona_engine_regularization_loss(const sona_engine *engine)
{
    sona_ewc ewc;

    return sona_engine_ewc(engine, &ewc) == SONA_OK ? ewc.penalty : 0;
}

/** importance_scores(), of one route */
static inline sona_err sona_engine_importance_scores(const sona_engine *engine, sona_route route,
                                                     uint32_t dim, float *ret)
{
    return sona_engine_ewc_importance(engine, route, dim, ret, NULL);
}

/** learn_from_feedback(signal): about the last decision, unless the signal names another. */
static inline sona_err sona_engine_learn_from_feedback(sona_engine *engine, sona_signal signal,
                                                       uint64_t now_ms)
{
    return sona_engine_learn(engine, &signal, now_ms, NULL);
}

/** learn_from_feedback(signal): about the lane's last decision, unless the signal names another. */
static inline sona_err sona_learn_from_feedback(sona_lane *lane, sona_signal signal)
{
    return sona_learn(lane, &signal, NULL);
}

#ifdef __cplusplus
}
#endif
#endif
