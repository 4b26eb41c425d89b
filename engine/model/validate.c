/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Is this block one that the learner could have written? Asked at attach, restart, import and by
 * `check`, of blocks that nobody is writing; readers do not ask, they clamp.
 */
#include <string.h>

#include "engine/model/block.h"
#include "engine/model/model.h"

#define LAMBDA_MAX 1e3f

static bool between(float value, float low, float high)
{
    return value >= low && value <= high; /* false for NaN */
}

bool sona_model_vectors_are_bounded(const float *rows, size_t stride, size_t count, uint32_t dim)
{
    for (size_t r = 0; r < count; r++) {
        double sum = 0;

        if (!sona_model_all_finite(rows + r * stride, dim))
            return false;
        for (uint32_t i = 0; i < dim; i++)
            sum += (double)rows[r * stride + i] * (double)rows[r * stride + i];
        if (!(sum <= 1.01 * (double)SONA_MODEL_NORM_MAX * (double)SONA_MODEL_NORM_MAX))
            return false;
    }
    return true;
}

bool sona_model_counts_are_sound(const float *n, const float *s, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++)
        /* Sums of qualities in 0..1; rounding may put a sum an ulp over its count. */
        if (!between(n[k], 0, 1e9f) || !between(s[k], 0, n[k] * 1.001f + 1e-3f))
            return false;
    return true;
}

static bool route_is_sound(const struct sona_model_layout *l, const void *hot, uint32_t k)
{
    const struct sona_model_route *row = sona_model_route_row(l, hot, k);
    const float *cov = sona_model_floats(hot, sona_model_at(&l->routes, k, l->route_cov));

    if (row->state > SONA_ROUTE_RETIRED || row->mode > SONA_MODE_BYPASS || row->fit > 1 ||
        memchr(row->name, 0, SONA_ROUTE_NAME_MAX) == NULL)
        return false;
    if (row->state != SONA_ROUTE_FREE && (SONA_ROUTE_INDEX(row->id) != k || row->name[0] == 0))
        return false;
    if (!between(row->cost, 0, 1) || !sona_model_counts_are_sound(&row->n, &row->s, 1) ||
        !sona_model_counts_are_sound(&row->prior_n, &row->prior_s, 1) ||
        !between(row->mean, -0.01f, 1.01f) ||
        !between(row->bias, -SONA_MODEL_NORM_MAX, SONA_MODEL_NORM_MAX))
        return false;
    for (uint32_t i = 0; i < l->code_dim; i++)
        if (!(cov[(size_t)i * l->code_padded + i] >= 0))
            return false;
    return sona_model_vectors_are_bounded(cov, l->code_padded, l->code_dim, l->code_padded) &&
           sona_model_vectors_are_bounded(
               sona_model_floats(hot, sona_model_at(&l->routes, k, l->route_head)), 0, 1,
               l->dim_padded) &&
           sona_model_vectors_are_bounded(
               sona_model_floats(hot, sona_model_at(&l->routes, k, l->route_code)), 0, 1,
               l->code_padded);
}

static bool hot_head_is_sound(const struct sona_model_layout *l, const struct sona_model_hot *h)
{
    return h->magic == SONA_MODEL_HOT_MAGIC && h->bytes == l->hot_bytes &&
           h->n_routes <= l->geometry.routes_max && h->n_patterns <= l->patterns.count &&
           h->enabled <= 1 && h->outcomes <= h->step && between(h->lambda, 0, LAMBDA_MAX) &&
           between(h->max_explore, 0, 1) && between(h->mse, 0, 4) &&
           between(h->micro_scale, 0, 64) &&
           sona_model_vectors_are_bounded(h->stack, 0, 1, SONA_MODEL_STACK);
}

static bool tenant_is_sound(const struct sona_model_layout *l, const void *hot, uint32_t row)
{
    const struct sona_model_view view = {.layout = l, .hot = hot};
    const struct sona_model_tenant *tenant = sona_model_tenant_row(l, hot, row);
    const float *bias = sona_model_tenant_part(l, hot, row, l->tenant_bias);
    const float *n = sona_model_tenant_part(l, hot, row, l->tenant_n);

    for (uint32_t k = 0; k < l->geometry.routes_max; k++)
        if (!between(bias[k], -1, 1) || !between(n[k], 0, 1e9f))
            return false;
    return tenant->key != 0 && sona_model_tenant_find(&view, tenant->key) == row &&
           between(tenant->outcomes, 0, 1e9f) &&
           sona_model_vectors_are_bounded(sona_model_tenant_part(l, hot, row, l->tenant_a),
                                          l->dim_padded, 2 * l->geometry.tenant_rank,
                                          l->dim_padded) &&
           sona_model_vectors_are_bounded(sona_model_tenant_part(l, hot, row, l->tenant_heads),
                                          SONA_TENANT_RANK, l->geometry.routes_max,
                                          SONA_TENANT_RANK);
}

/* Every row is found by its key, and nothing else is in the index. */
static bool tenants_are_sound(const struct sona_model_layout *l, const void *hot)
{
    const struct sona_model_hot *h = hot;
    uint32_t listed = 0;

    for (uint32_t g = 0; g < l->tenant_index.count; g++)
        for (uint32_t i = 0; i < SONA_MODEL_TENANT_GROUP; i++)
            listed += sona_model_tenant_group_at(l, hot, g)->key[i] != 0;
    if (h->n_tenants > l->geometry.tenants_max || listed != h->n_tenants ||
        !between(h->tenant_scale, 0, 64) || !between(h->tenant_spread, 0, 1))
        return false;
    for (uint32_t row = 0; row < h->n_tenants; row++)
        if (!tenant_is_sound(l, hot, row))
            return false;
    return true;
}

static bool pattern_stats_are_sound(const struct sona_model_layout *l, const void *hot)
{
    for (uint32_t c = 0; c < ((const struct sona_model_hot *)hot)->n_patterns; c++) {
        const float *row = sona_model_floats(hot, sona_model_at(&l->pattern_stats, c, 0));
        const float *bare = row + l->pattern_bare / sizeof(float);

        if (!sona_model_counts_are_sound(row + l->pattern_n / sizeof(float),
                                         row + l->pattern_s / sizeof(float),
                                         l->geometry.routes_max) ||
            !sona_model_counts_are_sound(bare, bare + 1, 1))
            return false;
    }
    return true;
}

sona_err sona_model_validate_routes(const struct sona_model_layout *layout, const void *hot,
                                    uint32_t n_routes)
{
    for (uint32_t k = 0; k < n_routes; k++)
        if (!route_is_sound(layout, hot, k))
            return SONA_E_FORMAT;
    return SONA_OK;
}

sona_err sona_model_validate_hot(const struct sona_model_layout *layout, const void *hot)
{
    const struct sona_model_layout *l = layout;
    const struct sona_model_hot *h = hot;

    if (!hot_head_is_sound(l, h) ||
        !sona_model_vectors_are_bounded(sona_model_floats(hot, l->micro_a), l->dim_padded,
                                        l->geometry.micro_rank, l->dim_padded) ||
        !sona_model_vectors_are_bounded(sona_model_floats(hot, l->micro_b), l->dim_padded,
                                        l->geometry.micro_rank, l->dim_padded) ||
        !sona_model_vectors_are_bounded(sona_model_floats(hot, l->micro_heads), SONA_MICRO_RANK_MAX,
                                        l->geometry.routes_max, SONA_MICRO_RANK_MAX))
        return SONA_E_FORMAT;
    return sona_model_validate_routes(l, hot, h->n_routes) == SONA_OK &&
                   pattern_stats_are_sound(l, hot) && tenants_are_sound(l, hot)
               ? SONA_OK
               : SONA_E_FORMAT;
}

static bool pattern_is_sound(const struct sona_model_layout *l, const void *cold, uint32_t c)
{
    const struct sona_model_pattern *row = sona_model_pattern_row(l, cold, c);
    const float *lin = sona_model_floats(cold, sona_model_at(&l->patterns, c, l->pattern_lin));
    const int16_t *lifted = sona_model_pattern_lifted(l, cold, c);
    double square = 0;

    for (uint32_t i = 0; i < l->dim_padded; i++)
        square += (double)lifted[i] * (double)lifted[i];
    return row->type <= SONA_PATTERN_CONVERSATIONAL && between(row->weight, 0, 1e12f) &&
           between(row->quality, 0, 1) &&
           between(row->norm2, 0, SONA_MODEL_NORM_MAX * SONA_MODEL_NORM_MAX) &&
           sona_model_vectors_are_bounded(
               sona_model_floats(cold, sona_model_at(&l->patterns, c, l->pattern_centroid)), 0, 1,
               l->dim_padded) &&
           square <= (double)SONA_MODEL_LIFTED_MAX * (double)SONA_MODEL_LIFTED_MAX &&
           sona_model_vectors_are_bounded(lin, 0, 1, l->geometry.routes_max);
}

/* A signature that is not its row's would hide the row. */
static bool signs_are_sound(const struct sona_model_layout *l, const void *cold, uint32_t i)
{
    uint64_t signs[SONA_KERNELS_SIGN_WORDS];

    if (l->bank_signs.count == 0)
        return true;
    sona_model_signs(sona_model_bank_part(l, cold, i, l->bank_centroid), l->dim_padded, signs);
    return memcmp(sona_model_floats(cold, sona_model_at(&l->bank_signs, i, 0)), signs,
                  sizeof signs) == 0;
}

static bool bank_row_is_sound(const struct sona_model_layout *l, const void *cold, uint32_t i)
{
    const struct sona_model_bank *row = sona_model_bank_row(l, cold, i);

    for (uint32_t t = 0; t < SONA_MODEL_TYPES; t++)
        if (!between(row->typed[t], 0, 1e12f))
            return false;
    return row->id != 0 && row->type <= SONA_PATTERN_CONVERSATIONAL &&
           between(row->mass, 0, 1e12f) &&
           sona_model_counts_are_sound(&row->weight, &row->sum, 1) &&
           sona_model_counts_are_sound(sona_model_bank_part(l, cold, i, l->bank_n),
                                       sona_model_bank_part(l, cold, i, l->bank_s),
                                       l->geometry.routes_max) &&
           sona_model_vectors_are_bounded(sona_model_bank_part(l, cold, i, l->bank_centroid), 0, 1,
                                          l->dim_padded) &&
           signs_are_sound(l, cold, i);
}

static bool patterns_are_sound(const struct sona_model_layout *l, const void *cold)
{
    const struct sona_model_cold *c = cold;

    if (c->n_patterns > l->patterns.count || c->has_code > 1 ||
        !between(c->pattern_width, 1e-6f, 1e6f))
        return false;
    for (uint32_t i = 0; i < c->n_patterns; i++)
        if (!pattern_is_sound(l, cold, i))
            return false;
    return true;
}

/* The code, and what it leaves over. */
static bool refit_is_sound(const struct sona_model_layout *l, const void *cold)
{
    return sona_model_vectors_are_bounded(sona_model_floats(cold, l->code), l->dim_padded,
                                          l->geometry.base_rank, l->dim_padded) &&
           sona_model_vectors_are_bounded(sona_model_floats(cold, l->refit.offset),
                                          sona_model_stride(&l->refit), l->refit.count,
                                          l->dim_padded);
}

sona_err sona_model_validate_regime(const struct sona_model_layout *layout, const void *hot,
                                    const void *cold)
{
    return hot_head_is_sound(layout, hot) &&
                   sona_model_validate_routes(
                       layout, hot, ((const struct sona_model_hot *)hot)->n_routes) == SONA_OK &&
                   pattern_stats_are_sound(layout, hot) && refit_is_sound(layout, cold) &&
                   patterns_are_sound(layout, cold)
               ? SONA_OK
               : SONA_E_FORMAT;
}

sona_err sona_model_validate_cold(const struct sona_model_layout *layout, const void *cold)
{
    const struct sona_model_layout *l = layout;
    const struct sona_model_cold *c = cold;
    uint32_t matrices = 2 * l->geometry.layers * l->geometry.base_rank;

    if (c->magic != SONA_MODEL_COLD_MAGIC || c->bytes != l->cold_bytes ||
        c->n_bank > l->bank.count || !patterns_are_sound(l, cold) || !refit_is_sound(l, cold) ||
        !sona_model_vectors_are_bounded(sona_model_floats(cold, l->base_a), l->dim_padded, matrices,
                                        l->dim_padded))
        return SONA_E_FORMAT;
    for (uint32_t i = 0; i < c->n_bank; i++)
        if (!bank_row_is_sound(l, cold, i))
            return SONA_E_FORMAT;
    return sona_model_rounded_bank_is_sound(l, cold, c->n_bank) ? SONA_OK : SONA_E_FORMAT;
}
