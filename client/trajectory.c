/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * [hot] Trajectories: one record for each call, all of one trajectory in one lane, so that the
 * sidecar meets them in order.
 */
#include <math.h>
#include <string.h>

#include "client/hot.h"

static_assert(SONA_CONTEXT_MAX == SONA_RECORD_TEXT, "the record holds the longest context");

/* Enter a call about trajectory `id` and reserve its record when `checked` is SONA_OK. On any other
 * result but SONA_OK the call is over. */
static sona_err begin(struct sona_client_call *call, sona_err checked, uint64_t id,
                      struct sona_record **ret)
{
    sona_err why;

    if (checked == SONA_OK && id == 0)
        checked = SONA_E_UNKNOWN_ID;
    if (checked != SONA_OK)
        return sona_client_refuse(call, checked);
    *ret = sona_client_event_reserve(call, &why);
    if (!*ret)
        return sona_client_leave(call, sona_client_event_drop(call, why));
    return SONA_OK;
}

static sona_err finish(struct sona_client_call *call, struct sona_record *record)
{
    sona_client_event_commit(call, record);
    return sona_client_leave(call, SONA_OK);
}

/* The snapshot that is current now; 0: none. */
static uint64_t current(struct sona_client_call *call)
{
    struct sona_client_read read;

    sona_client_read_begin(&read);
    while (sona_client_read_next(call, &read))
        if (sona_client_read_valid(call, &read, SONA_SHM_USE_HOT | SONA_SHM_USE_COLD))
            break;
    return sona_client_read_end(call, &read);
}

sona_err sona_trajectory_begin(sona_lane *lane, const float *x, uint32_t dim, uint64_t *ret_id)
{
    return sona_trajectory_begin_tenant(lane, 0, x, dim, ret_id);
}

sona_err sona_trajectory_begin_tenant(sona_lane *lane, uint32_t tenant, const float *x,
                                      uint32_t dim, uint64_t *ret_id)
{
    struct sona_client_call call;
    struct sona_record *record;
    sona_err why;

    if (!lane)
        return SONA_E_ARGUMENT;
    if (!sona_client_enter(&call, lane))
        return SONA_E_FORKED;
    if (!x || !ret_id)
        return sona_client_refuse(&call, SONA_E_ARGUMENT);
    if (dim != call.att->layout.geometry.dim || dim == 0)
        return sona_client_refuse(&call, SONA_E_SHAPE);
    record = sona_client_event_reserve(&call, &why);
    sona_err err = sona_model_prepare(&call.att->layout, x,
                                      record ? sona_record_floats(record) : call.port->x);
    if (err != SONA_OK)
        return sona_client_refuse(&call, err);
    if (!record)
        return sona_client_leave(&call, sona_client_event_drop(&call, why));

    uint64_t id = sona_client_event_id(&call);
    *record = (struct sona_record){.kind = SONA_RECORD_BEGIN,
                                   .id = id,
                                   .snapshot = current(&call),
                                   .route = SONA_ROUTE_NONE,
                                   .node = tenant};
    *ret_id = id;
    sona_client_count(call.state, SONA_CLIENT_trajectories);
    return finish(&call, record);
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* Activations are used up to the smaller of hidden and embedding dimension. */
static uint32_t used(const sona_geometry *g, uint32_t n)
{
    uint32_t most = g->hidden_dim != 0 && g->hidden_dim < g->dim ? g->hidden_dim : g->dim;

    return n < most ? n : most;
}

static sona_err check_step(const sona_geometry *g, const sona_step *step)
{
    if (!step || (step->n_activations > 0 && !step->activations) ||
        (step->n_attention > 0 && !step->attention))
        return SONA_E_ARGUMENT;
    if (step->n_activations > larger(g->dim, g->hidden_dim) || step->n_attention > g->attention_dim)
        return SONA_E_SHAPE;
    if (!isfinite(step->reward) || !isfinite(step->score) ||
        !sona_model_all_finite(step->activations, step->n_activations) ||
        !sona_model_all_finite(step->attention, step->n_attention))
        return SONA_E_NOT_FINITE;
    if (step->layer >= g->layers)
        return SONA_E_RANGE;
    return SONA_OK;
}

sona_err sona_trajectory_step(sona_lane *lane, uint64_t id, const sona_step *step)
{
    struct sona_client_call call;
    struct sona_record *record;

    if (!lane)
        return SONA_E_ARGUMENT;
    if (!sona_client_enter(&call, lane))
        return SONA_E_FORKED;
    const sona_geometry *g = &call.att->layout.geometry;
    sona_err err = begin(&call, check_step(g, step), id, &record);
    if (err != SONA_OK)
        return err;

    *record = (struct sona_record){
        .kind = SONA_RECORD_STEP,
        .id = id,
        .route = SONA_ROUTE_NONE,
        .value = step->reward,
        .score = step->score,
        .latency_us = step->latency_us,
        .node = step->node_id,
        .flags = step->rewarded || step->reward != 0 ? SONA_RECORD_REWARDED : 0,
        .n_floats = (uint16_t)used(g, step->n_activations),
        .n_attention = (uint16_t)step->n_attention,
        .layer = (uint16_t)step->layer,
    };
    float *floats = sona_record_floats(record);
    if (step->n_activations > 0)
        memcpy(floats, step->activations, used(g, step->n_activations) * sizeof *floats);
    if (step->n_attention > 0)
        memcpy(floats + g->dim, step->attention, step->n_attention * sizeof *floats);
    sona_client_count(call.state, SONA_CLIENT_steps);
    return finish(&call, record);
}

/* Whether the current snapshot knows the route as enabled. Without a snapshot nobody can tell, and
 * the sidecar will. */
static sona_err check_route(struct sona_client_call *call, sona_route route)
{
    struct sona_client_read read;
    sona_err err = SONA_OK;

    sona_client_read_begin(&read);
    while (sona_client_read_next(call, &read)) {
        err = sona_model_route_check(&read.view, route);
        if (sona_client_read_valid(call, &read, SONA_SHM_USE_HOT))
            break;
    }
    return sona_client_read_end(call, &read) == 0 ? SONA_OK : err;
}

sona_err sona_trajectory_route(sona_lane *lane, uint64_t id, sona_route route)
{
    struct sona_client_call call;
    struct sona_record *record;

    if (!lane)
        return SONA_E_ARGUMENT;
    if (!sona_client_enter(&call, lane))
        return SONA_E_FORKED;
    sona_err err = begin(&call, check_route(&call, route), id, &record);
    if (err != SONA_OK)
        return err;
    *record = (struct sona_record){.kind = SONA_RECORD_ROUTE, .id = id, .route = route};
    return finish(&call, record);
}

sona_err sona_trajectory_context(sona_lane *lane, uint64_t id, const char *context)
{
    struct sona_client_call call;
    struct sona_record *record;
    size_t n = context ? strnlen(context, SONA_CONTEXT_MAX) : 0;

    if (!lane)
        return SONA_E_ARGUMENT;
    if (!sona_client_enter(&call, lane))
        return SONA_E_FORKED;
    sona_err err = !context ? SONA_E_ARGUMENT : n >= SONA_CONTEXT_MAX ? SONA_E_RANGE : SONA_OK;
    err = begin(&call, err, id, &record);
    if (err != SONA_OK)
        return err;
    *record = (struct sona_record){.kind = SONA_RECORD_CONTEXT, .id = id, .route = SONA_ROUTE_NONE};
    char *text = (char *)sona_record_floats(record);
    memset(text, 0, SONA_CONTEXT_MAX);
    memcpy(text, context, n);
    return finish(&call, record);
}

sona_err sona_trajectory_end(sona_lane *lane, uint64_t id, float quality)
{
    struct sona_client_call call;
    struct sona_record *record;

    if (!lane)
        return SONA_E_ARGUMENT;
    if (!sona_client_enter(&call, lane))
        return SONA_E_FORKED;
    sona_err err = !isfinite(quality)           ? SONA_E_NOT_FINITE
                   : quality < 0 || quality > 1 ? SONA_E_RANGE
                                                : SONA_OK;
    err = begin(&call, err, id, &record);
    if (err != SONA_OK)
        return err;
    *record = (struct sona_record){
        .kind = SONA_RECORD_END, .id = id, .route = SONA_ROUTE_NONE, .value = quality};
    return finish(&call, record);
}
