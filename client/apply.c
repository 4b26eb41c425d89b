/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * [hot] The adapters: y = x + what was learned, for one vector or many, and merged into a caller's
 * weights. Without a valid snapshot y is x, and the version 0.
 *
 * A batch is read in chunks, each pinned and validated by itself, so that no call holds a slot for
 * long. A merge is one read of one snapshot: half a matrix of one and half of another would be
 * neither.
 */
#include <string.h>

#include "client/hot.h"

#define CHUNK_FLOATS (1u << 20) /* of factors and vectors, read for one chunk, about */

/* The halves of a snapshot that a tier reads. */
static uint32_t halves_of(enum sona_model_tier tier)
{
    return tier == SONA_MODEL_MICRO  ? SONA_SHM_USE_HOT
           : tier == SONA_MODEL_BASE ? SONA_SHM_USE_COLD
                                     : SONA_SHM_USE_HOT | SONA_SHM_USE_COLD;
}

/* Rows that one pin may last for. A single one is not worth the division. */
static uint32_t chunk_of(const sona_geometry *g, uint32_t n)
{
    uint32_t per_row;

    if (n == 1)
        return 1;
    per_row = 2 * (g->micro_rank + g->base_rank + 1) * g->dim;
    return per_row < CHUNK_FLOATS ? CHUNK_FLOATS / per_row : 1;
}

/* Adapt a chunk from one snapshot; *ret_version says which, 0: none. */
static sona_err run(struct sona_client_call *call, enum sona_model_tier tier, uint32_t which,
                    uint32_t n, const float *x, uint32_t dim, float *y, uint64_t *ret_version)
{
    struct sona_client_read read;
    sona_err err = SONA_OK;

    sona_client_read_begin(&read);
    while (sona_client_read_next(call, &read)) {
        err = sona_model_adapt(&read.view, tier, which, n, x, y);
        if (err != SONA_OK || sona_client_read_valid(call, &read, halves_of(tier)))
            break;
    }
    *ret_version = sona_client_read_end(call, &read);
    return err == SONA_OK && *ret_version == 0 ? sona_model_apply_none(x, (size_t)n * dim, y) : err;
}

static sona_err apply(sona_lane *lane, enum sona_model_tier tier, uint32_t which, uint32_t n,
                      const float *x, uint32_t dim, float *y, uint64_t *ret_version)
{
    struct sona_client_call call;
    uint64_t oldest = UINT64_MAX;

    if (!lane)
        return SONA_E_ARGUMENT;
    if (!sona_client_enter(&call, lane))
        return SONA_E_FORKED;
    const sona_geometry *g = &call.att->layout.geometry;
    sona_err err =
        (n == 1 ? sona_model_adapt_fits : sona_model_adapt_check)(g, tier, which, n, x, dim, y);
    for (uint32_t left = n, chunk = chunk_of(g, n); err == SONA_OK && left > 0;) {
        uint32_t rows = left < chunk ? left : chunk;
        uint64_t version;

        err = run(&call, tier, which, rows, x, dim, y, &version);
        if (version < oldest)
            oldest = version;
        left -= rows;
        x += (size_t)rows * dim;
        y += (size_t)rows * dim;
    }
    if (err != SONA_OK)
        return sona_client_refuse(&call, err);
    if (ret_version)
        *ret_version = oldest;
    sona_client_answered(&call, SONA_CLIENT_applies, oldest);
    return sona_client_leave(&call, SONA_OK);
}

sona_err sona_apply(sona_lane *lane, const float *x, uint32_t dim, float *y, uint64_t *ret_version)
{
    return apply(lane, SONA_MODEL_BOTH, 0, 1, x, dim, y, ret_version);
}

sona_err sona_apply_tenant(sona_lane *lane, uint32_t tenant, const float *x, uint32_t dim, float *y,
                           uint64_t *ret_version)
{
    return apply(lane, SONA_MODEL_BOTH, tenant, 1, x, dim, y, ret_version);
}

sona_err sona_apply_micro(sona_lane *lane, const float *x, uint32_t dim, float *y,
                          uint64_t *ret_version)
{
    return apply(lane, SONA_MODEL_MICRO, 0, 1, x, dim, y, ret_version);
}

sona_err sona_apply_base(sona_lane *lane, uint32_t layer, const float *x, uint32_t dim, float *y,
                         uint64_t *ret_version)
{
    return apply(lane, SONA_MODEL_BASE, layer, 1, x, dim, y, ret_version);
}

sona_err sona_apply_batch(sona_lane *lane, uint32_t n, const float *x, uint32_t dim, float *y,
                          uint64_t *ret_version)
{
    return apply(lane, SONA_MODEL_BOTH, 0, n, x, dim, y, ret_version);
}

sona_err sona_apply_micro_batch(sona_lane *lane, uint32_t n, const float *x, uint32_t dim, float *y,
                                uint64_t *ret_version)
{
    return apply(lane, SONA_MODEL_MICRO, 0, n, x, dim, y, ret_version);
}

sona_err sona_apply_base_batch(sona_lane *lane, uint32_t layer, uint32_t n, const float *x,
                               uint32_t dim, float *y, uint64_t *ret_version)
{
    return apply(lane, SONA_MODEL_BASE, layer, n, x, dim, y, ret_version);
}

sona_err sona_merge_into(sona_lane *lane, uint32_t layer, const float *weights, uint32_t rows,
                         uint32_t cols, float *ret_merged, uint64_t *ret_version)
{
    enum sona_model_tier tier = layer == SONA_LAYER_BOTH ? SONA_MODEL_BOTH : SONA_MODEL_BASE;
    struct sona_client_call call;
    struct sona_client_read read;

    if (!lane)
        return SONA_E_ARGUMENT;
    if (!sona_client_enter(&call, lane))
        return SONA_E_FORKED;
    sona_err err = sona_model_adapt_check(&call.att->layout.geometry, tier, layer, rows, weights,
                                          cols, ret_merged);
    if (err != SONA_OK)
        return sona_client_refuse(&call, err);
    sona_client_read_begin(&read);
    while (sona_client_read_next(&call, &read)) {
        for (uint32_t i = 0; i < rows; i++)
            sona_model_merge(&read.view, layer, weights + (size_t)i * cols,
                             ret_merged + (size_t)i * cols);
        if (sona_client_read_valid(&call, &read, halves_of(tier)))
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
