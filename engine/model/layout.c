/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Where everything in a model block is, as a function of the geometry alone, and the division of
 * the scratch memory that scoring needs. Every part starts on SONA_MODEL_ALIGN.
 */
#include <string.h>

#include "engine/model/block.h"
#include "engine/model/model.h"

_Static_assert(SONA_MODEL_ALIGN % sizeof(float) == 0, "strides are whole floats");
_Static_assert(sizeof(struct sona_model_hot) == 112 && sizeof(struct sona_model_cold) == 48 &&
                   sizeof(struct sona_model_route) == 120 &&
                   sizeof(struct sona_model_pattern) == 48 &&
                   sizeof(struct sona_model_bank) == 112 &&
                   sizeof(struct sona_model_tenant) == 16 &&
                   sizeof(struct sona_model_tenant_group) == 128,
               "the same on every ABI: no hole, no hidden tail");

static size_t align(size_t bytes)
{
    return (bytes + SONA_MODEL_ALIGN - 1) & ~(size_t)(SONA_MODEL_ALIGN - 1);
}

static uint32_t pad(uint32_t floats)
{
    return (floats + 15u) & ~15u;
}

/* Reserve `bytes` at the end of what was laid out so far. */
static size_t place(size_t *end, size_t bytes)
{
    size_t offset = *end;

    *end = align(offset + bytes);
    return offset;
}

static size_t place_rows(size_t *end, struct sona_model_rows *rows, size_t stride, uint32_t count)
{
    rows->stride = stride;
    rows->count = count;
    rows->offset = place(end, stride * count);
    return rows->offset;
}

static bool within(uint32_t value, uint32_t low, uint32_t high)
{
    return value >= low && value <= high;
}

static bool geometry_in_range(const sona_geometry *g)
{
    return within(g->dim, SONA_DIM_MIN, SONA_DIM_MAX) &&
           within(g->routes_max, 1, SONA_ROUTES_MAX) &&
           within(g->micro_rank, 1, SONA_MICRO_RANK_MAX) &&
           within(g->base_rank, SONA_BASE_RANK_MIN, SONA_BASE_RANK_MAX) && g->base_rank <= g->dim &&
           within(g->layers, 1, SONA_LAYERS_MAX) && within(g->patterns_max, 1, SONA_PATTERNS_MAX) &&
           g->attention_dim <= SONA_ATTENTION_MAX && g->reserved == 0 &&
           (g->hidden_dim == 0 || within(g->hidden_dim, SONA_DIM_MIN, SONA_DIM_MAX)) &&
           (g->flags & ~(SONA_GEOMETRY_NORMALIZE | SONA_GEOMETRY_PLAIN)) == 0 &&
           g->tenants_max <= SONA_TENANTS_MAX && g->tenant_rank <= SONA_TENANT_RANK;
}

/* Behind everything else, so that nothing moves where there are no tenants. */
static void lay_out_tenants(struct sona_model_layout *l, size_t *end)
{
    const sona_geometry *g = &l->geometry;
    size_t vector = l->dim_padded * sizeof(float), row = 0;
    uint32_t groups = SONA_MODEL_TENANT_PROBES;

    if (g->tenants_max == 0)
        return;
    /* Half full at most: then a key finds no place in its two groups about once in a lifetime. */
    while (groups * SONA_MODEL_TENANT_GROUP < 2 * g->tenants_max)
        groups *= 2;
    place_rows(end, &l->tenant_index, sizeof(struct sona_model_tenant_group), groups);
    place(&row, sizeof(struct sona_model_tenant));
    l->tenant_a = place(&row, g->tenant_rank * vector);
    l->tenant_b = place(&row, g->tenant_rank * vector);
    l->tenant_heads = place(&row, SONA_TENANT_RANK * g->routes_max * sizeof(float));
    l->tenant_bias = place(&row, g->routes_max * sizeof(float));
    l->tenant_n = place(&row, g->routes_max * sizeof(float));
    place_rows(end, &l->tenants, row, g->tenants_max);
}

static uint32_t cells(const sona_geometry *g)
{
    return g->patterns_max < SONA_MODEL_CELLS ? g->patterns_max : SONA_MODEL_CELLS;
}

static void lay_out_hot(struct sona_model_layout *l)
{
    const sona_geometry *g = &l->geometry;
    size_t vector = l->dim_padded * sizeof(float);
    size_t table = g->routes_max * sizeof(float);
    size_t end = 0, row = 0;

    place(&end, sizeof(struct sona_model_hot));
    l->micro_a = place(&end, g->micro_rank * vector);
    l->micro_b = place(&end, g->micro_rank * vector);
    l->micro_heads = place(&end, SONA_MICRO_RANK_MAX * table);
    l->hot_dense_bytes = end;

    place(&row, sizeof(struct sona_model_route));
    l->route_head = place(&row, vector);
    l->route_code = place(&row, l->code_padded * sizeof(float));
    l->route_cov = place(&row, (size_t)l->code_dim * l->code_padded * sizeof(float));
    place_rows(&end, &l->routes, row, g->routes_max);

    l->pattern_n = 0;
    l->pattern_s = table;
    l->pattern_bare = 2 * table;
    place_rows(&end, &l->pattern_stats, align(2 * table + 2 * sizeof(float)), cells(g));
    lay_out_tenants(l, &end);
    l->hot_bytes = end;
}

static void lay_out_cold(struct sona_model_layout *l)
{
    const sona_geometry *g = &l->geometry;
    size_t vector = l->dim_padded * sizeof(float);
    size_t matrix = g->base_rank * vector;
    size_t end = 0, row = 0;

    place(&end, sizeof(struct sona_model_cold));
    l->code = place(&end, matrix);
    l->layer_stride = 2 * matrix;
    l->base_a = place(&end, g->layers * l->layer_stride);
    l->base_b = l->base_a + matrix;
    l->cold_dense_bytes = end;

    place_rows(&end, &l->refit, vector, g->routes_max);
    place(&row, sizeof(struct sona_model_pattern));
    /* Beside the entry, which a search reads as well: one stream. */
    l->pattern_lifted = place(&row, l->dim_padded * sizeof(int16_t));
    l->pattern_centroid = place(&row, vector);
    l->pattern_lin = place(&row, g->routes_max * sizeof(float));
    place_rows(&end, &l->patterns, row, cells(g));

    row = 0;
    place(&row, sizeof(struct sona_model_bank));
    l->bank_centroid = place(&row, vector);
    l->bank_n = place(&row, g->routes_max * sizeof(float));
    l->bank_s = place(&row, g->routes_max * sizeof(float));
    place_rows(&end, &l->bank, row, g->patterns_max);
    /* Side by side: a search reads all of them, and little of what they stand for. */
    if (g->patterns_max > SONA_MODEL_SCAN)
        place_rows(&end, &l->bank_signs, SONA_KERNELS_SIGN_WORDS * sizeof(uint64_t),
                   g->patterns_max);
    place_rows(&end, &l->bank_whole, align(l->dim_padded * sizeof(int16_t)),
               g->patterns_max < SONA_MODEL_SCAN ? g->patterns_max : SONA_MODEL_SCAN);
    l->bank_rough = place(&end, sizeof(uint32_t));
    l->cold_bytes = end;
}

sona_err sona_model_layout_init(struct sona_model_layout *ret, const sona_geometry *geometry)
{
    if (!geometry_in_range(geometry))
        return SONA_E_RANGE;
    memset(ret, 0, sizeof *ret);
    ret->geometry = *geometry;
    ret->dim_padded = pad(geometry->dim);
    ret->code_dim = geometry->base_rank + 1;
    ret->code_padded = pad(ret->code_dim);
    lay_out_hot(ret);
    lay_out_cold(ret);
    return SONA_OK;
}

void sona_model_blocks_init(const struct sona_model_layout *layout, void *hot, void *cold)
{
    struct sona_model_hot *h = hot;
    struct sona_model_cold *c = cold;

    memset(hot, 0, layout->hot_bytes);
    memset(cold, 0, layout->cold_bytes);
    h->magic = SONA_MODEL_HOT_MAGIC;
    h->bytes = (uint32_t)layout->hot_bytes;
    h->enabled = 1;
    h->max_explore = 1;
    h->mse = 0.25f; /* of a coin: nothing is known yet */
    h->micro_scale = 1;
    h->tenant_scale = 1;
    c->magic = SONA_MODEL_COLD_MAGIC;
    c->bytes = (uint32_t)layout->cold_bytes;
    c->pattern_width = 1;
}

/* value, quality, upper, propensity, the four terms, two products and the tenant's: one table
 * each. */
#define ROUTE_TABLES 11u

size_t sona_model_scratch_bytes(const struct sona_model_layout *layout)
{
    return ROUTE_TABLES * align(layout->geometry.routes_max * sizeof(float)) +
           align(layout->code_padded * sizeof(float)) + align(layout->dim_padded * sizeof(int16_t));
}

void sona_model_scratch_init(const struct sona_model_layout *layout, void *memory,
                             struct sona_model_scores *ret)
{
    memset(memory, 0, sona_model_scratch_bytes(layout));
    sona_model_scratch_divide(layout, memory, ret);
}

void sona_model_scratch_divide(const struct sona_model_layout *layout, void *memory,
                               struct sona_model_scores *ret)
{
    size_t table = layout->geometry.routes_max * sizeof(float);
    size_t code = layout->code_padded * sizeof(float);
    size_t end = 0;

    memset(ret, 0, sizeof *ret);
    ret->value = sona_model_floats_of(memory, place(&end, table));
    ret->quality = sona_model_floats_of(memory, place(&end, table));
    ret->upper = sona_model_floats_of(memory, place(&end, table));
    ret->propensity = sona_model_floats_of(memory, place(&end, table));
    for (uint32_t j = 0; j < 4; j++)
        ret->term[j] = sona_model_floats_of(memory, place(&end, table));
    for (uint32_t j = 0; j < 2; j++)
        ret->product[j] = sona_model_floats_of(memory, place(&end, table));
    ret->tenant = sona_model_floats_of(memory, place(&end, table));
    ret->tenant_row = SONA_MODEL_NO_TENANT;
    ret->code = sona_model_floats_of(memory, place(&end, code));
    ret->point = (int16_t *)(void *)((unsigned char *)memory +
                                     place(&end, layout->dim_padded * sizeof(int16_t)));
}
