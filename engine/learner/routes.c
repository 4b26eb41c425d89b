/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The route table: rows are reused under another generation, so that nothing of a retired route
 * reaches its successor.
 */
#include <string.h>

#include "engine/learner/state.h"

#define PRIOR_WEIGHT_MAX 1e6f

static bool spec_is_sound(const sona_route_spec *spec)
{
    return spec->name[0] != 0 && memchr(spec->name, 0, sizeof spec->name) != NULL &&
           spec->cost >= 0 && spec->cost <= 1 && spec->prior_quality >= 0 &&
           spec->prior_quality <= 1 && spec->prior_weight >= 0 &&
           spec->prior_weight <= PRIOR_WEIGHT_MAX;
}

static bool name_in_use(const struct sona_learner *l, const char *name)
{
    for (uint32_t k = 0; k < sona_learner_head(l)->n_routes; k++) {
        const struct sona_model_route *row = sona_learner_row(l, k);

        if (row->state == SONA_ROUTE_ENABLED && strcmp(row->name, name) == 0)
            return true;
    }
    return false;
}

/* A row never used, else a retired one that has a generation left; routes_max if there is none. */
static uint32_t find_row(const struct sona_learner *l)
{
    uint32_t n = sona_learner_head(l)->n_routes;

    if (n < l->layout.geometry.routes_max)
        return n;
    for (uint32_t k = 0; k < n; k++) {
        const struct sona_model_route *row = sona_learner_row(l, k);

        if (row->state == SONA_ROUTE_RETIRED && SONA_ROUTE_GENERATION(row->id) < 0xffffu)
            return k;
    }
    return l->layout.geometry.routes_max;
}

sona_err sona_learner_route_add(struct sona_learner *learner, const sona_route_spec *spec,
                                sona_route *ret)
{
    SONA_MODEL_KERNELS(&learner->layout);
    struct sona_learner *l = learner;
    struct sona_model_hot *head = sona_learner_head(l);
    struct sona_model_route *row;
    uint32_t k, generation;

    if (!spec_is_sound(spec))
        return SONA_E_RANGE;
    if (name_in_use(l, spec->name))
        return SONA_E_DUPLICATE;
    k = find_row(l);
    if (k == l->layout.geometry.routes_max)
        return SONA_E_LIMIT;

    row = sona_learner_row(l, k);
    generation = row->state == SONA_ROUTE_RETIRED ? SONA_ROUTE_GENERATION(row->id) + 1 : 0;
    head->step++;
    memset(row, 0, sizeof *row);
    row->id = SONA_ROUTE_ID(k, generation);
    row->state = SONA_ROUTE_ENABLED;
    memcpy(row->name, spec->name, strlen(spec->name));
    row->cost = spec->cost;
    /* A belief that weighs nothing still has to stand where there is no evidence at all. */
    row->prior_n =
        spec->prior_weight > SONA_MODEL_WEIGHT_MIN ? spec->prior_weight : SONA_MODEL_WEIGHT_MIN;
    row->prior_s = row->prior_n * spec->prior_quality;
    row->mean = spec->prior_quality;
    row->bias = spec->prior_quality; /* so that the very first outcome, even a 0, is an error */
    row->birth = head->step;
    sona_learner_heads_init(l, k);
    sona_learner_tenants_forget(l, k);
    if (k == head->n_routes)
        head->n_routes++;
    sona_learner_micro_heads(l);
    sona_learner_touch_route(l, k);
    sona_learner_cycle_soon(l);
    *ret = row->id;
    return SONA_OK;
}

sona_err sona_learner_route_retire(struct sona_learner *learner, sona_route route)
{
    SONA_MODEL_KERNELS(&learner->layout);
    struct sona_learner *l = learner;
    struct sona_model_view view = sona_learner_view(l);
    uint32_t k = SONA_ROUTE_INDEX(route);
    struct sona_model_route *row;

    if (sona_model_route_check(&view, route) != SONA_OK)
        return SONA_E_ROUTE;
    sona_learner_head(l)->step++;
    row = sona_learner_row(l, k);
    row->state = SONA_ROUTE_RETIRED;
    row->n = row->s = 0;
    sona_learner_heads_init(l, k);
    sona_learner_layers_forget(l, k);
    sona_learner_patterns_discount(l, k, 0);
    sona_learner_replay_forget(l, k);
    sona_learner_micro_heads(l);
    sona_learner_touch_route(l, k);
    return SONA_OK;
}

/* Step and mark, so that the row is published. */
static void changed(struct sona_learner *l, uint32_t k)
{
    sona_learner_head(l)->step++;
    sona_learner_touch_route(l, k);
}

sona_err sona_learner_route_mode(struct sona_learner *learner, sona_route route, sona_mode mode)
{
    struct sona_model_view view = sona_learner_view(learner);
    uint32_t k = SONA_ROUTE_INDEX(route);

    if (sona_model_route_check(&view, route) != SONA_OK)
        return SONA_E_ROUTE;
    if ((uint32_t)mode > SONA_MODE_BYPASS)
        return SONA_E_RANGE;
    sona_learner_row(learner, k)->mode = mode;
    changed(learner, k);
    return SONA_OK;
}

sona_err sona_learner_route_cost(struct sona_learner *learner, sona_route route, float cost)
{
    struct sona_model_view view = sona_learner_view(learner);
    uint32_t k = SONA_ROUTE_INDEX(route);

    if (sona_model_route_check(&view, route) != SONA_OK)
        return SONA_E_ROUTE;
    if (!(cost >= 0 && cost <= 1))
        return SONA_E_RANGE;
    sona_learner_row(learner, k)->cost = cost;
    changed(learner, k);
    return SONA_OK;
}
