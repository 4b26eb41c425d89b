/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Many vectors through the adapters, and adapters merged into a caller's weights. */
#include "engine/facade.h"

#define MICRO (UINT32_MAX - 1) /* in place of a layer */

static bool overlap(const float *x, const float *y, uint64_t n)
{
    uintptr_t a = (uintptr_t)x, b = (uintptr_t)y;

    return a < b + n * sizeof *y && b < a + n * sizeof *x;
}

static sona_err check(const sona_engine *engine, uint32_t layer, uint32_t n, const float *x,
                      uint32_t dim, const float *y)
{
    if (engine == NULL || x == NULL || y == NULL)
        return SONA_E_ARGUMENT;
    if (dim != engine->layout.geometry.dim)
        return SONA_E_SHAPE;
    if (overlap(x, y, (uint64_t)n * dim))
        return SONA_E_ARGUMENT;
    if (n == 0 ||
        (layer >= engine->layout.geometry.layers && layer != SONA_LAYER_BOTH && layer != MICRO))
        return SONA_E_RANGE;
    return sona_model_all_finite(x, (size_t)n * dim) ? SONA_OK : SONA_E_NOT_FINITE;
}

static sona_err apply_batch(const sona_engine *engine, uint32_t layer, uint32_t n, const float *x,
                            uint32_t dim, float *y)
{
    sona_err err = check(engine, layer, n, x, dim, y);
    struct sona_model_view view;

    if (err != SONA_OK)
        return err;
    view = sona_learner_view(engine->learner);
    for (uint32_t i = 0; i < n; i++, x += dim, y += dim)
        if (layer == SONA_LAYER_BOTH)
            sona_model_apply(&view, x, y);
        else if (layer == MICRO)
            sona_model_apply_micro(&view, x, y);
        else
            sona_model_apply_base(&view, layer, x, y);
    return SONA_OK;
}

sona_err sona_engine_apply_batch(const sona_engine *engine, uint32_t n, const float *x,
                                 uint32_t dim, float *y)
{
    return apply_batch(engine, SONA_LAYER_BOTH, n, x, dim, y);
}

sona_err sona_engine_apply_micro_batch(const sona_engine *engine, uint32_t n, const float *x,
                                       uint32_t dim, float *y)
{
    return apply_batch(engine, MICRO, n, x, dim, y);
}

/* The names that stand for other adapters are no layers here. */
sona_err sona_engine_apply_base_batch(const sona_engine *engine, uint32_t layer, uint32_t n,
                                      const float *x, uint32_t dim, float *y)
{
    uint32_t checked = layer < SONA_LAYERS_MAX ? layer : SONA_LAYERS_MAX;

    return apply_batch(engine, checked, n, x, dim, y);
}

sona_err sona_engine_merge_into(const sona_engine *engine, uint32_t layer, const float *weights,
                                uint32_t rows, uint32_t cols, float *ret_merged)
{
    sona_err err =
        layer == MICRO ? SONA_E_RANGE : check(engine, layer, rows, weights, cols, ret_merged);
    struct sona_model_view view;

    if (err != SONA_OK)
        return err;
    view = sona_learner_view(engine->learner);
    for (uint32_t i = 0; i < rows; i++)
        sona_model_merge(&view, layer, weights + (size_t)i * cols, ret_merged + (size_t)i * cols);
    return SONA_OK;
}
