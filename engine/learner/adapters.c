/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The adapters as they leave and come back: MicroLoRA and every layer of BaseLoRA, as rows of `dim`
 * floats without padding, first A and then B transposed.
 *
 * What comes from outside has to be what the learner could have made itself: finite, and each row
 * of A with its row of B no longer than 1 together, as the fold and all steps keep it.
 */
#include <math.h>
#include <string.h>

#include "engine/learner/state.h"

#define PAIR_MAX 1.001f /* |s b_r| |a_r|; what the learner rounds is within it */

/* Where the rows of adapter `i` are, MicroLoRA being the first; `ret_b` is behind them. */
static float *rows_of(const struct sona_learner *l, uint32_t i, float **ret_b)
{
    const struct sona_model_layout *layout = &l->layout;

    if (i == 0) {
        *ret_b = sona_model_floats_of(sona_learner_hot(l), layout->micro_b);
        return sona_model_floats_of(sona_learner_hot(l), layout->micro_a);
    }
    size_t at = (i - 1) * layout->layer_stride;
    *ret_b = sona_model_floats_of(sona_learner_cold(l), layout->base_b + at);
    return sona_model_floats_of(sona_learner_cold(l), layout->base_a + at);
}

static uint32_t rank_of(const struct sona_model_layout *layout, uint32_t i)
{
    return i == 0 ? layout->geometry.micro_rank : layout->geometry.base_rank;
}

size_t sona_learner_adapters_floats(const sona_geometry *geometry)
{
    return 2 * (size_t)geometry->dim *
           (geometry->micro_rank + (size_t)geometry->layers * geometry->base_rank);
}

static void copy_out(const float *rows, const struct sona_model_layout *layout, uint32_t rank,
                     float *ret)
{
    for (uint32_t r = 0; r < rank; r++)
        memcpy(ret + (size_t)r * layout->geometry.dim, rows + (size_t)r * layout->dim_padded,
               layout->geometry.dim * sizeof *ret);
}

void sona_learner_adapters_copy(const struct sona_learner *learner, float *ret)
{
    const struct sona_model_layout *layout = &learner->layout;

    for (uint32_t i = 0; i <= layout->geometry.layers; i++) {
        uint32_t rank = rank_of(layout, i);
        float *b, *a = rows_of(learner, i, &b);

        copy_out(a, layout, rank, ret);
        ret += (size_t)rank * layout->geometry.dim;
        copy_out(b, layout, rank, ret);
        ret += (size_t)rank * layout->geometry.dim;
    }
}

static double square_of(const float *row, uint32_t dim)
{
    double sum = 0;

    for (uint32_t i = 0; i < dim; i++)
        sum += (double)row[i] * (double)row[i];
    return sum;
}

sona_err sona_learner_adapters_check(const struct sona_model_layout *layout, float micro_scale,
                                     const float *from, uint32_t *ret_adapter, uint32_t *ret_row)
{
    uint32_t dim = layout->geometry.dim;

    for (uint32_t i = 0; i <= layout->geometry.layers; i++) {
        uint32_t rank = rank_of(layout, i);
        const float *a = from, *b = from + (size_t)rank * dim;
        double scale = i == 0 ? (double)micro_scale : 1;

        for (uint32_t r = 0; r < rank; r++) {
            double square_a = square_of(a + (size_t)r * dim, dim);
            double square_b = square_of(b + (size_t)r * dim, dim);
            double limit = (double)SONA_MODEL_NORM_MAX * (double)SONA_MODEL_NORM_MAX;

            *ret_adapter = i;
            *ret_row = r;
            if (!isfinite(square_a) || !isfinite(square_b))
                return SONA_E_NOT_FINITE;
            if (square_a > limit || square_b > limit ||
                scale * sqrt(square_a * square_b) > (double)PAIR_MAX)
                return SONA_E_RANGE;
        }
        from += 2 * (size_t)rank * dim;
    }
    return SONA_OK;
}

/* Padding is zero, and stays it. */
static void copy_in(const float *from, const struct sona_model_layout *layout, uint32_t rank,
                    float *rows)
{
    for (uint32_t r = 0; r < rank; r++)
        memcpy(rows + (size_t)r * layout->dim_padded, from + (size_t)r * layout->geometry.dim,
               layout->geometry.dim * sizeof *rows);
}

/* A layer of zeros is skipped by readers; those beyond the mask are always read. */
static void mark_base(struct sona_learner *l, uint32_t layer, const float *b)
{
    struct sona_model_cold *cold = sona_learner_cold(l);
    uint32_t rank = l->layout.geometry.base_rank;
    bool used = false;

    for (size_t i = 0; i < (size_t)rank * l->layout.dim_padded; i++)
        used |= b[i] != 0;
    if (layer < 32)
        cold->has_base = used ? cold->has_base | 1u << layer : cold->has_base & ~(1u << layer);
}

sona_err sona_learner_adapters_take(struct sona_learner *learner, const float *from)
{
    struct sona_learner *l = learner;
    const struct sona_model_layout *layout = &l->layout;
    uint32_t adapter, row;
    sona_err err = sona_learner_adapters_check(layout, sona_learner_head(l)->micro_scale, from,
                                               &adapter, &row);

    if (err != SONA_OK)
        return err;
    for (uint32_t i = 0; i <= layout->geometry.layers; i++) {
        uint32_t rank = rank_of(layout, i);
        float *b, *a = rows_of(l, i, &b);

        copy_in(from, layout, rank, a);
        copy_in(from + (size_t)rank * layout->geometry.dim, layout, rank, b);
        from += 2 * (size_t)rank * layout->geometry.dim;
        if (i > 0)
            mark_base(l, i - 1, b);
        if (i > 1)
            sona_learner_layer_take(l, i - 1, a);
    }
    sona_learner_micro_heads(l);
    return SONA_OK;
}
