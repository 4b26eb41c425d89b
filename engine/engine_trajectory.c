/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Trajectories in the words of the seeds: begin, step, route, context, end. */
#include <math.h>
#include <string.h>

#include "engine/facade.h"

sona_err sona_engine_begin(sona_engine *engine, const float *x, uint32_t dim, uint64_t now_ms,
                           uint64_t *ret_id)
{
    return sona_engine_begin_tenant(engine, 0, x, dim, now_ms, ret_id);
}

sona_err sona_engine_begin_tenant(sona_engine *engine, uint32_t tenant, const float *x,
                                  uint32_t dim, uint64_t now_ms, uint64_t *ret_id)
{
    sona_err err;

    if (engine == NULL || x == NULL || ret_id == NULL)
        return SONA_E_ARGUMENT;
    err = sona_engine_prepare(engine, x, dim);
    if (err != SONA_OK)
        return sona_engine_refuse(engine, err);
    /* The caller chose the route, if any: no propensity is known. */
    *ret_id =
        sona_engine_remember(engine, SONA_PENDING_TRAJECTORY, SONA_ROUTE_NONE, 0, tenant, now_ms);
    return SONA_OK;
}

/* Activations may be as long as a hidden layer or as an embedding, whichever is larger. */
static sona_err check_step(const sona_engine *engine, const sona_step *step)
{
    const sona_config *config = &engine->config;
    uint32_t most =
        config->hidden_dim > config->embedding_dim ? config->hidden_dim : config->embedding_dim;

    if (step->n_activations > most || step->n_attention > config->attention_dim)
        return SONA_E_SHAPE;
    if (!isfinite(step->reward) || !isfinite(step->score) ||
        !sona_model_all_finite(step->activations, step->n_activations) ||
        !sona_model_all_finite(step->attention, step->n_attention))
        return SONA_E_NOT_FINITE;
    return step->layer < config->base_lora_layers ? SONA_OK : SONA_E_RANGE;
}

/* Activations are used up to the smaller of hidden and embedding dimension. */
static uint32_t used(const sona_engine *engine, uint32_t n)
{
    const sona_config *config = &engine->config;
    uint32_t most =
        config->hidden_dim < config->embedding_dim ? config->hidden_dim : config->embedding_dim;

    return n < most ? n : most;
}

sona_err sona_engine_step(sona_engine *engine, uint64_t id, const sona_step *step)
{
    sona_err err;

    if (engine == NULL || step == NULL || (step->n_activations > 0 && step->activations == NULL) ||
        (step->n_attention > 0 && step->attention == NULL))
        return SONA_E_ARGUMENT;
    err = check_step(engine, step);
    if (err != SONA_OK)
        return sona_engine_refuse(engine, err);
    err = sona_pending_step(engine->pending, id, step->reward);
    if (err != SONA_OK)
        return err;
    sona_pending_note(engine->pending, step->node_id, step->score, step->reward, step->latency_us);
    if (step->n_activations > 0)
        sona_pending_activations(
            engine->pending, id,
            &(struct sona_pending_activations){
                .h = step->activations,
                .n = used(engine, step->n_activations),
                .layer = step->layer,
                .credit = sona_pending_credit(step->attention, step->n_attention),
                .reward = step->reward,
                .rewarded = step->rewarded || step->reward != 0,
            });
    return SONA_OK;
}

sona_err sona_engine_context(sona_engine *engine, uint64_t id, const char *context)
{
    if (engine == NULL || context == NULL)
        return SONA_E_ARGUMENT;
    if (strnlen(context, SONA_CONTEXT_MAX) == SONA_CONTEXT_MAX)
        return sona_engine_refuse(engine, SONA_E_RANGE);
    return sona_pending_context(engine->pending, id, sona_pattern_type_of(context));
}

sona_err sona_engine_route(sona_engine *engine, uint64_t id, sona_route route)
{
    struct sona_model_view view;
    sona_err err;

    if (engine == NULL)
        return SONA_E_ARGUMENT;
    view = sona_learner_view(engine->learner);
    err = sona_model_route_check(&view, route);
    if (err != SONA_OK)
        return sona_engine_refuse(engine, err);
    return sona_pending_route(engine->pending, id, route);
}

sona_err sona_engine_end(sona_engine *engine, uint64_t id, float quality, uint64_t now_ms)
{
    if (engine == NULL)
        return SONA_E_ARGUMENT;
    return sona_engine_settle(engine, id, quality, 0, now_ms);
}
