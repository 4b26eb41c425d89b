/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* EWC++, at the caller's word: tasks that end, anchors that become one, and what they hold. */
#include "engine/facade.h"

sona_err sona_engine_ewc(const sona_engine *engine, sona_ewc *ret)
{
    if (engine == NULL || ret == NULL)
        return SONA_E_ARGUMENT;
    sona_learner_ewc_state(engine->learner, ret);
    return SONA_OK;
}

static sona_err tell(const sona_engine *engine, bool changed, sona_ewc *ret, bool *ret_changed)
{
    if (ret != NULL)
        sona_learner_ewc_state(engine->learner, ret);
    if (ret_changed != NULL)
        *ret_changed = changed;
    return SONA_OK;
}

sona_err sona_engine_ewc_boundary(sona_engine *engine, sona_ewc *ret, bool *ret_ended)
{
    if (engine == NULL)
        return SONA_E_ARGUMENT;
    return tell(engine, sona_learner_ewc_boundary(engine->learner), ret, ret_ended);
}

sona_err sona_engine_ewc_consolidate(sona_engine *engine, sona_ewc *ret, bool *ret_merged)
{
    if (engine == NULL)
        return SONA_E_ARGUMENT;
    return tell(engine, sona_learner_ewc_consolidate(engine->learner), ret, ret_merged);
}

sona_err sona_engine_ewc_importance(const sona_engine *engine, sona_route route, uint32_t dim,
                                    float *ret, float *ret_bias)
{
    struct sona_model_view view;
    float bias;

    if (engine == NULL || ret == NULL)
        return SONA_E_ARGUMENT;
    if (dim != engine->layout.geometry.dim)
        return SONA_E_SHAPE;
    view = sona_learner_view(engine->learner);
    if (sona_model_route_check(&view, route) != SONA_OK)
        return SONA_E_ROUTE;
    sona_learner_ewc_importance(engine->learner, SONA_ROUTE_INDEX(route), ret, &bias);
    if (ret_bias != NULL)
        *ret_bias = bias;
    return SONA_OK;
}

sona_err sona_engine_ewc_top(const sona_engine *engine, uint32_t capacity, sona_ewc_weight *ret,
                             uint32_t *ret_count)
{
    if (engine == NULL || ret_count == NULL || (ret == NULL && capacity > 0))
        return SONA_E_ARGUMENT;
    *ret_count = sona_learner_ewc_top(engine->learner, capacity, ret);
    return SONA_OK;
}
