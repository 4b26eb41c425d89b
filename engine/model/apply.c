/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Queries on their way in (checked, scaled, padded) and through the adapters.
 *
 *     y = x + s B_m A_m x + B_0 A_0 x
 *
 * Adapters read the caller's vector as it is: `dim` floats, no padding, any alignment.
 */
#include <math.h>
#include <string.h>

#include "engine/kernels/kernels.h"
#include "engine/model/block.h"
#include "engine/model/model.h"

/* An exponent of all ones is an infinity or a NaN. */
static bool each_finite(const float *x, size_t count)
{
    uint32_t bad = 0;

    for (size_t i = 0; i < count; i++) {
        uint32_t bits;

        memcpy(&bits, &x[i], sizeof bits);
        bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return !bad;
}

/* A finite sum of squares has finite parts; only one that is not needs the look at each, which
 * takes several times as long. */
bool sona_model_all_finite(const float *x, size_t count)
{
    return isfinite(sona_kernels_active()->dot(x, x, count)) || each_finite(x, count);
}

typedef float four __attribute__((vector_size(4 * sizeof(float))));
typedef double four_wide __attribute__((vector_size(4 * sizeof(double))));

/* Through memory: a vector this wide is not a return value on every machine. */
static inline void widen(const float *x, four_wide *ret)
{
    four v;

    memcpy(&v, x, sizeof v);
    *ret = __builtin_convertvector(v, four_wide);
}

/* In double: the squares of the largest and of the smallest floats are still numbers. Hence also
 * the check: the sum is finite exactly when every float is. */
static double sum_of_squares(const float *x, uint32_t n)
{
    four_wide sum = {0, 0, 0, 0};
    double part[4];
    uint32_t i = 0;

    for (; i + 4 <= n; i += 4) {
        four_wide v;

        widen(x + i, &v);
        sum += v * v;
    }
    for (uint32_t j = 0; j < 4; j++)
        part[j] = sum[j] + (i + j < n ? (double)x[i + j] * (double)x[i + j] : 0);
    return part[0] + part[1] + part[2] + part[3];
}

static void scale_into(const float *x, double scale, uint32_t n, float *ret)
{
    const four_wide factor = {scale, scale, scale, scale};
    uint32_t i = 0;

    for (; i + 4 <= n; i += 4) {
        four_wide v;
        four narrow;

        widen(x + i, &v);
        narrow = __builtin_convertvector(v * factor, four);
        memcpy(ret + i, &narrow, sizeof narrow);
    }
    for (; i < n; i++)
        ret[i] = (float)((double)x[i] * scale);
}

/* Sums between these are as good in float: what overflows or vanishes among the squares shows. */
#define PLAIN_MIN 1e-20f
#define PLAIN_MAX 1e30f

sona_err sona_model_prepare(const struct sona_model_layout *layout, const float *x, float *ret)
{
    SONA_MODEL_KERNELS(layout);
    uint32_t dim = layout->geometry.dim;
    float square = sona_kernels_active()->dot(x, x, dim);
    bool plain = square > PLAIN_MIN && square < PLAIN_MAX;
    double norm = sqrt(plain ? (double)square : sum_of_squares(x, dim)), scale = 1;

    if (!isfinite(norm))
        return SONA_E_NOT_FINITE;
    if (!(norm > 0))
        return SONA_E_ZERO_VECTOR;
    if (layout->geometry.flags & SONA_GEOMETRY_NORMALIZE)
        scale = 1 / norm;
    else if (norm > (double)SONA_MODEL_NORM_MAX)
        scale = (double)SONA_MODEL_NORM_MAX / norm;
    if (plain)
        sona_kernels_active()->scale((float)scale, x, ret, dim);
    else
        scale_into(x, scale, dim, ret);
    for (uint32_t i = dim; i < layout->dim_padded; i++)
        ret[i] = 0;
    return SONA_OK;
}

/* All finite, judged by the product of x with a row of an adapter, which is computed anyway: a
 * number that is not finite makes it so too, whatever it meets there, for 0 times infinity is no
 * number. */
static bool was_finite(float product, const float *x, size_t n)
{
    return isfinite(product) || each_finite(x, n);
}

sona_err sona_model_apply_none(const float *x, size_t n, float *y)
{
    if (!sona_model_all_finite(x, n))
        return SONA_E_NOT_FINITE;
    memcpy(y, x, n * sizeof *y);
    return SONA_OK;
}

/* c = s A_m x */
static void micro_code(const struct sona_model_view *view, const float *x, float *c)
{
    const struct sona_model_layout *l = view->layout;
    float scale = sona_model_hot_of(view)->micro_scale;

    sona_kernels_active()->dot_rows(sona_model_floats(view->hot, l->micro_a), l->dim_padded,
                                    l->geometry.micro_rank, x, l->geometry.dim, c);
    for (uint32_t r = 0; r < l->geometry.micro_rank; r++)
        c[r] *= scale;
}

/* y = from + s B_m c, in place or not */
static void micro_expand(const struct sona_model_view *view, const float *from, const float *c,
                         float *y)
{
    const struct sona_model_layout *l = view->layout;

    sona_kernels_active()->expand(from, sona_model_floats(view->hot, l->micro_b), l->dim_padded, c,
                                  l->geometry.micro_rank, y, l->geometry.dim);
}

sona_err sona_model_apply_micro(const struct sona_model_view *view, const float *x, float *y)
{
    SONA_MODEL_KERNELS(view->layout);
    float c[SONA_MICRO_RANK_MAX];

    micro_code(view, x, c);
    if (!was_finite(c[0], x, view->layout->geometry.dim))
        return SONA_E_NOT_FINITE;
    micro_expand(view, x, c, y);
    return SONA_OK;
}

/* Layers beyond the mask's 32 bits are read without asking. */
static bool layer_is_zero(const struct sona_model_view *view, uint32_t layer)
{
    uint32_t mask = sona_model_word(&sona_model_cold_of(view)->has_base);

    return layer >= view->layout->geometry.layers || (layer < 32 && !(mask >> layer & 1u));
}

sona_err sona_model_apply_base(const struct sona_model_view *view, uint32_t layer, const float *x,
                               float *y)
{
    SONA_MODEL_KERNELS(view->layout);
    const struct sona_model_layout *l = view->layout;
    const struct sona_kernels *kernels = sona_kernels_active();
    float c[SONA_BASE_RANK_MAX];
    size_t at = layer * l->layer_stride;

    if (layer_is_zero(view, layer))
        return sona_model_apply_none(x, l->geometry.dim, y);
    kernels->dot_rows(sona_model_floats(view->cold, l->base_a + at), l->dim_padded,
                      l->geometry.base_rank, x, l->geometry.dim, c);
    if (!was_finite(c[0], x, l->geometry.dim))
        return SONA_E_NOT_FINITE;
    kernels->expand(x, sona_model_floats(view->cold, l->base_b + at), l->dim_padded, c,
                    l->geometry.base_rank, y, l->geometry.dim);
    return SONA_OK;
}

sona_err sona_model_apply(const struct sona_model_view *view, const float *x, float *y)
{
    SONA_MODEL_KERNELS(view->layout);
    float c[SONA_MICRO_RANK_MAX];

    micro_code(view, x, c);
    if (!was_finite(c[0], x, view->layout->geometry.dim))
        return SONA_E_NOT_FINITE;
    if (layer_is_zero(view, 0)) {
        micro_expand(view, x, c, y);
        return SONA_OK;
    }
    (void)sona_model_apply_base(view, 0, x, y);
    micro_expand(view, y, c, y);
    return SONA_OK;
}

/* Two areas of `floats` floats each. */
static bool overlap(const float *x, const float *y, uint64_t floats)
{
    uintptr_t a = (uintptr_t)x, b = (uintptr_t)y;

    return (a < b ? b - a : a - b) < floats * sizeof *x;
}

sona_err sona_model_adapt_fits(const sona_geometry *geometry, enum sona_model_tier tier,
                               uint32_t which, uint32_t n, const float *x, uint32_t dim,
                               const float *y)
{
    if (x == NULL || y == NULL)
        return SONA_E_ARGUMENT;
    if (dim != geometry->dim || dim == 0)
        return SONA_E_SHAPE;
    if (overlap(x, y, (uint64_t)n * dim))
        return SONA_E_ARGUMENT;
    if (n == 0 || (tier == SONA_MODEL_BASE && which >= geometry->layers))
        return SONA_E_RANGE;
    return SONA_OK;
}

sona_err sona_model_adapt_check(const sona_geometry *geometry, enum sona_model_tier tier,
                                uint32_t which, uint32_t n, const float *x, uint32_t dim,
                                const float *y)
{
    sona_err err = sona_model_adapt_fits(geometry, tier, which, n, x, dim, y);

    return err != SONA_OK || sona_model_all_finite(x, (size_t)n * dim) ? err : SONA_E_NOT_FINITE;
}

static sona_err adapt_one(const struct sona_model_view *view, enum sona_model_tier tier,
                          uint32_t which, const float *x, float *y)
{
    sona_err err;

    if (tier == SONA_MODEL_MICRO)
        return sona_model_apply_micro(view, x, y);
    if (tier == SONA_MODEL_BASE)
        return sona_model_apply_base(view, which, x, y);
    err = sona_model_apply(view, x, y);
    if (err == SONA_OK)
        sona_model_tenant_apply(view, which, x, y);
    return err;
}

sona_err sona_model_adapt(const struct sona_model_view *view, enum sona_model_tier tier,
                          uint32_t which, uint32_t n, const float *x, float *y)
{
    uint32_t dim = view->layout->geometry.dim;
    sona_err err = SONA_OK;

    for (uint32_t i = 0; i < n && err == SONA_OK; i++, x += dim, y += dim)
        err = adapt_one(view, tier, which, x, y);
    return err;
}

/* ret += sum_r scale (w.b_r) a_r */
static void merge_rows(const float *a, const float *b, size_t stride, uint32_t rank, float scale,
                       const float *w, uint32_t dim, float *ret)
{
    float c[SONA_BASE_RANK_MAX];

    sona_kernels_active()->dot_rows(b, stride, rank, w, dim, c);
    for (uint32_t r = 0; r < rank; r++)
        sona_kernels_active()->axpy(scale * c[r], a + r * stride, ret, dim);
}

void sona_model_merge(const struct sona_model_view *view, uint32_t layer, const float *w,
                      float *ret)
{
    SONA_MODEL_KERNELS(view->layout);
    const struct sona_model_layout *l = view->layout;
    uint32_t at = layer == SONA_LAYER_BOTH ? 0 : layer;

    memcpy(ret, w, l->geometry.dim * sizeof *ret);
    if (!layer_is_zero(view, at))
        merge_rows(sona_model_floats(view->cold, l->base_a + at * l->layer_stride),
                   sona_model_floats(view->cold, l->base_b + at * l->layer_stride), l->dim_padded,
                   l->geometry.base_rank, 1, w, l->geometry.dim, ret);
    if (layer == SONA_LAYER_BOTH)
        merge_rows(sona_model_floats(view->hot, l->micro_a),
                   sona_model_floats(view->hot, l->micro_b), l->dim_padded, l->geometry.micro_rank,
                   sona_model_hot_of(view)->micro_scale, w, l->geometry.dim, ret);
}
