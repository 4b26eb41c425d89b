/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What a snapshot can be asked besides a decision and its patterns: its routes, its age.
 */
#include <string.h>

#include "engine/model/block.h"
#include "engine/model/model.h"

uint32_t sona_model_routes(const struct sona_model_view *view, sona_route_info *ret,
                           uint32_t capacity)
{
    uint32_t n = sona_model_n_routes(view);

    for (uint32_t k = 0; k < n && k < capacity; k++) {
        const struct sona_model_route *row = sona_model_route_row(view->layout, view->hot, k);
        uint32_t state = sona_model_word(&row->state), mode = sona_model_word(&row->mode);

        memset(&ret[k], 0, sizeof ret[k]);
        ret[k].id = row->id;
        ret[k].state = state <= SONA_ROUTE_RETIRED ? (sona_route_state)state : SONA_ROUTE_FREE;
        memcpy(ret[k].name, row->name, SONA_ROUTE_NAME_MAX - 1);
        ret[k].cost = row->cost;
        ret[k].outcomes = row->n;
        ret[k].mean_quality = row->mean;
        ret[k].mode =
            mode <= SONA_MODE_BYPASS ? (sona_mode)mode : SONA_MODE_BYPASS; /* torn: not chosen */
    }
    return n;
}

sona_err sona_model_route_check(const struct sona_model_view *view, sona_route route)
{
    uint32_t index = SONA_ROUTE_INDEX(route);
    const struct sona_model_route *row;

    if (index >= sona_model_n_routes(view))
        return SONA_E_ROUTE;
    row = sona_model_route_row(view->layout, view->hot, index);
    if (sona_model_word(&row->id) != route || sona_model_word(&row->state) != SONA_ROUTE_ENABLED)
        return SONA_E_ROUTE;
    return SONA_OK;
}

uint64_t sona_model_step(const struct sona_model_view *view)
{
    return sona_model_hot_of(view)->step;
}

uint64_t sona_model_observed(const struct sona_model_view *view)
{
    return sona_model_hot_of(view)->observed;
}
