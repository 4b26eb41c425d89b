/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What an engine can be asked without telling it anything: scores, patterns, routes. */
#include <math.h>

#include "engine/facade.h"

sona_err sona_engine_score(sona_engine *engine, const float *x, uint32_t dim, float *ret_scores)
{
    return sona_engine_score_tenant(engine, 0, x, dim, ret_scores);
}

sona_err sona_engine_score_tenant(sona_engine *engine, uint32_t tenant, const float *x,
                                  uint32_t dim, float *ret_scores)
{
    const sona_candidates all = {.tenant = tenant};
    struct sona_model_view view;
    sona_err err;

    if (engine == NULL || x == NULL || ret_scores == NULL)
        return SONA_E_ARGUMENT;
    err = sona_engine_prepare(engine, x, dim);
    if (err != SONA_OK)
        return err;
    view = sona_learner_view(engine->learner);
    err = sona_model_score(&view, engine->query, &all, &engine->scores);
    if (err != SONA_OK)
        return err;
    /* Rows never used are no candidates, whatever the scratch held there. */
    for (uint32_t i = 0; i < engine->layout.geometry.routes_max; i++)
        ret_scores[i] = i < engine->scores.n_routes ? engine->scores.value[i] : NAN;
    return SONA_OK;
}

sona_err sona_engine_find_patterns(sona_engine *engine, const float *x, uint32_t dim, uint32_t k,
                                   sona_pattern *ret, uint32_t *ret_count)
{
    struct sona_model_view view;
    sona_err err;

    if (engine == NULL || x == NULL || ret == NULL || ret_count == NULL)
        return SONA_E_ARGUMENT;
    if (k == 0)
        return SONA_E_RANGE;
    err = sona_engine_prepare(engine, x, dim);
    if (err != SONA_OK)
        return err;
    view = sona_learner_view(engine->learner);
    *ret_count = sona_model_find_patterns(&view, engine->query, k, ret);
    if (*ret_count > 0)
        (void)sona_learner_learn(engine->learner, &(struct sona_learner_event){
                                                      .kind = SONA_LEARNER_HIT,
                                                      .id = ret[0].id,
                                                      .route = SONA_ROUTE_NONE,
                                                      .layer = ret[0].index,
                                                  });
    return SONA_OK;
}

sona_err sona_engine_routes(const sona_engine *engine, sona_route_info *ret, uint32_t capacity,
                            uint32_t *ret_count)
{
    struct sona_model_view view;

    if (engine == NULL || ret_count == NULL || (ret == NULL && capacity > 0))
        return SONA_E_ARGUMENT;
    view = sona_learner_view(engine->learner);
    *ret_count = sona_model_routes(&view, ret, capacity);
    return SONA_OK;
}

sona_err sona_engine_pattern_centroid(const sona_engine *engine, uint32_t index, uint32_t dim,
                                      float *ret)
{
    struct sona_model_view view;

    if (engine == NULL || ret == NULL)
        return SONA_E_ARGUMENT;
    if (dim != engine->layout.geometry.dim)
        return SONA_E_SHAPE;
    view = sona_learner_view(engine->learner);
    return sona_model_pattern_centroid(&view, index, ret) ? SONA_OK : SONA_E_RANGE;
}
