/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Vectors through the adapters, one or many, and adapters merged into a caller's weights. */
#include "engine/facade.h"

static sona_err apply(const sona_engine *engine, enum sona_model_tier tier, uint32_t which,
                      uint32_t n, const float *x, uint32_t dim, float *y)
{
    struct sona_model_view view;
    sona_err err;

    if (engine == NULL)
        return SONA_E_ARGUMENT;
    err = (n == 1 ? sona_model_adapt_fits : sona_model_adapt_check)(&engine->layout.geometry, tier,
                                                                    which, n, x, dim, y);
    if (err != SONA_OK)
        return err;
    view = sona_learner_view(engine->learner);
    return sona_model_adapt(&view, tier, which, n, x, y);
}

sona_err sona_engine_apply(const sona_engine *engine, const float *x, uint32_t dim, float *y)
{
    return apply(engine, SONA_MODEL_BOTH, 0, 1, x, dim, y);
}

sona_err sona_engine_apply_tenant(const sona_engine *engine, uint32_t tenant, const float *x,
                                  uint32_t dim, float *y)
{
    return apply(engine, SONA_MODEL_BOTH, tenant, 1, x, dim, y);
}

sona_err sona_engine_apply_micro(const sona_engine *engine, const float *x, uint32_t dim, float *y)
{
    return apply(engine, SONA_MODEL_MICRO, 0, 1, x, dim, y);
}

sona_err sona_engine_apply_base(const sona_engine *engine, uint32_t layer, const float *x,
                                uint32_t dim, float *y)
{
    return apply(engine, SONA_MODEL_BASE, layer, 1, x, dim, y);
}

sona_err sona_engine_apply_batch(const sona_engine *engine, uint32_t n, const float *x,
                                 uint32_t dim, float *y)
{
    return apply(engine, SONA_MODEL_BOTH, 0, n, x, dim, y);
}

sona_err sona_engine_apply_micro_batch(const sona_engine *engine, uint32_t n, const float *x,
                                       uint32_t dim, float *y)
{
    return apply(engine, SONA_MODEL_MICRO, 0, n, x, dim, y);
}

sona_err sona_engine_apply_base_batch(const sona_engine *engine, uint32_t layer, uint32_t n,
                                      const float *x, uint32_t dim, float *y)
{
    return apply(engine, SONA_MODEL_BASE, layer, n, x, dim, y);
}

sona_err sona_engine_merge_into(const sona_engine *engine, uint32_t layer, const float *weights,
                                uint32_t rows, uint32_t cols, float *ret_merged)
{
    enum sona_model_tier tier = layer == SONA_LAYER_BOTH ? SONA_MODEL_BOTH : SONA_MODEL_BASE;
    struct sona_model_view view;
    sona_err err;

    if (engine == NULL)
        return SONA_E_ARGUMENT;
    err = sona_model_adapt_check(&engine->layout.geometry, tier, layer, rows, weights, cols,
                                 ret_merged);
    if (err != SONA_OK)
        return err;
    view = sona_learner_view(engine->learner);
    for (uint32_t i = 0; i < rows; i++)
        sona_model_merge(&view, layer, weights + (size_t)i * cols, ret_merged + (size_t)i * cols);
    return SONA_OK;
}
