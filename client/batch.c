/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * [hot] Many vectors through the adapters, and adapters merged into a caller's weights.
 *
 * A batch is read in chunks, each pinned and validated by itself, so that no call holds a slot for
 * long. A merge is one read of one snapshot: half a matrix of one and half of another would be
 * neither.
 */
#include <string.h>

#include "client/hot.h"

#define MICRO        (UINT32_MAX - 1) /* in place of a layer */
#define CHUNK_FLOATS (1u << 20)       /* of factors and vectors, read for one chunk, about */

static bool overlap(const float *x, uint64_t n_x, const float *y, uint64_t n_y)
{
    uintptr_t a = (uintptr_t)x, b = (uintptr_t)y;

    return a < b + n_y * sizeof *y && b < a + n_x * sizeof *x;
}

/* x of n rows, y of m rows. */
static sona_err check(const struct sona_client_call *call, uint32_t layer, uint64_t n,
                      const float *x, uint32_t dim, uint64_t m, const float *y)
{
    const sona_geometry *g = &call->att->layout.geometry;

    if (!x || !y)
        return SONA_E_ARGUMENT;
    if (dim != g->dim || dim == 0)
        return SONA_E_SHAPE;
    if (overlap(x, n * dim, y, m * dim))
        return SONA_E_ARGUMENT;
    if (layer >= g->layers && layer != SONA_LAYER_BOTH && layer != MICRO)
        return SONA_E_RANGE;
    return sona_model_all_finite(x, (size_t)n * dim) ? SONA_OK : SONA_E_NOT_FINITE;
}

/* Run `n` rows; returns the halves that were read. */
static uint32_t run(const struct sona_model_view *view, uint32_t layer, uint32_t n, const float *x,
                    uint32_t dim, float *y)
{
    for (uint32_t i = 0; i < n; i++, x += dim, y += dim)
        if (layer == SONA_LAYER_BOTH)
            sona_model_apply(view, x, y);
        else if (layer == MICRO)
            sona_model_apply_micro(view, x, y);
        else
            sona_model_apply_base(view, layer, x, y);
    return layer == SONA_LAYER_BOTH ? SONA_SHM_USE_HOT | SONA_SHM_USE_COLD
           : layer == MICRO         ? SONA_SHM_USE_HOT
                                    : SONA_SHM_USE_COLD;
}

/* Rows that one pin may last for. */
static uint32_t chunk_of(const sona_geometry *g)
{
    uint32_t per_row = 2 * (g->micro_rank + g->base_rank + 1) * g->dim;

    return per_row < CHUNK_FLOATS ? CHUNK_FLOATS / per_row : 1;
}

static uint64_t run_chunk(struct sona_client_call *call, uint32_t layer, uint32_t n, const float *x,
                          uint32_t dim, float *y)
{
    struct sona_client_read read;

    sona_client_read_begin(&read);
    while (sona_client_read_next(call, &read))
        if (sona_client_read_valid(call, &read, run(&read.view, layer, n, x, dim, y)))
            break;
    uint64_t version = sona_client_read_end(call, &read);
    if (version == 0)
        memcpy(y, x, (size_t)n * dim * sizeof *y);
    return version;
}

static sona_err apply_batch(sona_lane *lane, uint32_t layer, uint32_t n, const float *x,
                            uint32_t dim, float *y, uint64_t *ret_version)
{
    struct sona_client_call call;
    uint64_t oldest = UINT64_MAX;

    if (!lane)
        return SONA_E_ARGUMENT;
    if (!sona_client_enter(&call, lane))
        return SONA_E_FORKED;
    sona_err err = n == 0 ? SONA_E_RANGE : check(&call, layer, n, x, dim, n, y);
    if (err != SONA_OK)
        return sona_client_refuse(&call, err);
    uint32_t chunk = chunk_of(&call.att->layout.geometry);
    for (uint32_t from = 0; from < n; from += chunk) {
        uint32_t rows = n - from < chunk ? n - from : chunk;
        uint64_t version =
            run_chunk(&call, layer, rows, x + (size_t)from * dim, dim, y + (size_t)from * dim);

        if (version < oldest)
            oldest = version;
        if (chunk >= n - from)
            break; /* `from` may not pass UINT32_MAX */
    }
    if (ret_version)
        *ret_version = oldest;
    sona_client_answered(&call, SONA_CLIENT_applies, oldest);
    return sona_client_leave(&call, SONA_OK);
}

sona_err sona_apply_batch(sona_lane *lane, uint32_t n, const float *x, uint32_t dim, float *y,
                          uint64_t *ret_version)
{
    return apply_batch(lane, SONA_LAYER_BOTH, n, x, dim, y, ret_version);
}

sona_err sona_apply_micro_batch(sona_lane *lane, uint32_t n, const float *x, uint32_t dim, float *y,
                                uint64_t *ret_version)
{
    return apply_batch(lane, MICRO, n, x, dim, y, ret_version);
}

/* The names that stand for other adapters are no layers here. */
sona_err sona_apply_base_batch(sona_lane *lane, uint32_t layer, uint32_t n, const float *x,
                               uint32_t dim, float *y, uint64_t *ret_version)
{
    uint32_t checked = layer < SONA_LAYERS_MAX ? layer : SONA_LAYERS_MAX;

    return apply_batch(lane, checked, n, x, dim, y, ret_version);
}

sona_err sona_merge_into(sona_lane *lane, uint32_t layer, const float *weights, uint32_t rows,
                         uint32_t cols, float *ret_merged, uint64_t *ret_version)
{
    struct sona_client_call call;
    struct sona_client_read read;

    if (!lane)
        return SONA_E_ARGUMENT;
    if (!sona_client_enter(&call, lane))
        return SONA_E_FORKED;
    sona_err err = rows == 0 || layer == MICRO
                       ? SONA_E_RANGE
                       : check(&call, layer, rows, weights, cols, rows, ret_merged);
    if (err != SONA_OK)
        return sona_client_refuse(&call, err);
    sona_client_read_begin(&read);
    while (sona_client_read_next(&call, &read)) {
        for (uint32_t i = 0; i < rows; i++)
            sona_model_merge(&read.view, layer, weights + (size_t)i * cols,
                             ret_merged + (size_t)i * cols);
        if (sona_client_read_valid(&call, &read, SONA_SHM_USE_HOT | SONA_SHM_USE_COLD))
            break;
    }
    uint64_t version = sona_client_read_end(&call, &read);
    if (version == 0)
        memcpy(ret_merged, weights, (size_t)rows * cols * sizeof *ret_merged);
    if (ret_version)
        *ret_version = version;
    sona_client_answered(&call, SONA_CLIENT_applies, version);
    return sona_client_leave(&call, SONA_OK);
}
