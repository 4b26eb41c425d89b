/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* [hot] The adapters: y = x + what was learned. Without a valid snapshot y is x, and the version 0.
 */
#include <string.h>

#include "client/hot.h"

enum tier { BOTH, MICRO, BASE };

static bool overlap(const float *x, const float *y, uint32_t dim)
{
    uintptr_t a = (uintptr_t)x, b = (uintptr_t)y;
    uintptr_t bytes = (uintptr_t)dim * sizeof *x;

    return a < b ? b - a < bytes : a - b < bytes;
}

static sona_err check(const struct sona_client_call *call, uint32_t layer, const float *x,
                      uint32_t dim, const float *y)
{
    const sona_geometry *g = &call->att->layout.geometry;

    if (!x || !y)
        return SONA_E_ARGUMENT;
    if (dim != g->dim || dim == 0)
        return SONA_E_SHAPE;
    if (overlap(x, y, dim))
        return SONA_E_ARGUMENT;
    if (layer >= g->layers)
        return SONA_E_RANGE;
    return sona_model_all_finite(x, dim) ? SONA_OK : SONA_E_NOT_FINITE;
}

/* Run the tier; `which` layer (BASE) or tenant (BOTH). Returns the halves that it read. */
static uint32_t run(const struct sona_model_view *view, enum tier tier, uint32_t which,
                    const float *x, float *y)
{
    switch (tier) {
    case MICRO:
        sona_model_apply_micro(view, x, y);
        return SONA_SHM_USE_HOT;
    case BASE:
        sona_model_apply_base(view, which, x, y);
        return SONA_SHM_USE_COLD;
    default:
        sona_model_apply(view, x, y);
        sona_model_tenant_apply(view, which, x, y);
        return SONA_SHM_USE_HOT | SONA_SHM_USE_COLD;
    }
}

static sona_err apply(sona_lane *lane, enum tier tier, uint32_t which, const float *x, uint32_t dim,
                      float *y, uint64_t *ret_version)
{
    struct sona_client_call call;
    struct sona_client_read read;

    if (!lane)
        return SONA_E_ARGUMENT;
    if (!sona_client_enter(&call, lane))
        return SONA_E_FORKED;
    sona_err err = check(&call, tier == BASE ? which : 0, x, dim, y);
    if (err != SONA_OK)
        return sona_client_refuse(&call, err);
    sona_client_read_begin(&read);
    while (sona_client_read_next(&call, &read))
        if (sona_client_read_valid(&call, &read, run(&read.view, tier, which, x, y)))
            break;
    uint64_t version = sona_client_read_end(&call, &read);
    if (version == 0)
        memcpy(y, x, dim * sizeof *y);
    if (ret_version)
        *ret_version = version;
    sona_client_answered(&call, SONA_CLIENT_applies, version);
    return sona_client_leave(&call, SONA_OK);
}

sona_err sona_apply(sona_lane *lane, const float *x, uint32_t dim, float *y, uint64_t *ret_version)
{
    return apply(lane, BOTH, 0, x, dim, y, ret_version);
}

sona_err sona_apply_tenant(sona_lane *lane, uint32_t tenant, const float *x, uint32_t dim, float *y,
                           uint64_t *ret_version)
{
    return apply(lane, BOTH, tenant, x, dim, y, ret_version);
}

sona_err sona_apply_micro(sona_lane *lane, const float *x, uint32_t dim, float *y,
                          uint64_t *ret_version)
{
    return apply(lane, MICRO, 0, x, dim, y, ret_version);
}

sona_err sona_apply_base(sona_lane *lane, uint32_t layer, const float *x, uint32_t dim, float *y,
                         uint64_t *ret_version)
{
    return apply(lane, BASE, layer, x, dim, y, ret_version);
}
