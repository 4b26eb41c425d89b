/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * [hot] Learning signals. One that is about a decision is that decision's outcome; what a signal
 * says beside (a direction, or a reward about nothing in particular) is a record of its own, behind
 * the outcome in the same lane.
 */
#include <math.h>
#include <string.h>

#include "client/hot.h"

static sona_err check(const struct sona_client_call *call, const sona_signal *signal)
{
    if (!signal)
        return SONA_E_ARGUMENT;
    if (!isfinite(signal->quality) || !isfinite(signal->latency_ms))
        return SONA_E_NOT_FINITE;
    if (signal->quality < 0 || signal->quality > 1 || signal->latency_ms < 0)
        return SONA_E_RANGE;
    if (!signal->gradient)
        return SONA_OK;
    if (signal->n_gradient != call->att->layout.geometry.dim || signal->n_gradient == 0)
        return SONA_E_SHAPE;
    /* Into private memory first: a bad direction must not leave its outcome behind. */
    return sona_model_prepare(&call->att->layout, signal->gradient, call->port->x);
}

static sona_err tell_outcome(struct sona_client_call *call, uint64_t id, const sona_signal *signal)
{
    sona_err why;
    struct sona_record *record = sona_client_event_reserve(call, &why);

    if (!record)
        return sona_client_event_drop(call, why);
    *record = (struct sona_record){.kind = SONA_RECORD_OUTCOME,
                                   .id = id,
                                   .route = SONA_ROUTE_NONE,
                                   .value = signal->quality,
                                   .latency_us = sona_signal_latency_us(signal)};
    sona_client_event_commit(call, record);
    sona_client_count(call->state, SONA_CLIENT_outcomes);
    return SONA_OK;
}

static sona_err tell_beside(struct sona_client_call *call, uint64_t id, const sona_signal *signal)
{
    uint32_t n = signal->gradient ? signal->n_gradient : 0;
    sona_err why;
    struct sona_record *record = sona_client_event_reserve(call, &why);

    if (!record)
        return sona_client_event_drop(call, why);
    *record = (struct sona_record){.kind = SONA_RECORD_SIGNAL,
                                   .flags = (uint16_t)signal->kind,
                                   .id = id,
                                   .route = SONA_ROUTE_NONE,
                                   .value = signal->quality,
                                   .n_floats = (uint16_t)n};
    if (n > 0)
        memcpy(sona_record_floats(record), call->port->x, n * sizeof(float));
    sona_client_event_commit(call, record);
    sona_client_count(call->state, SONA_CLIENT_signals);
    return SONA_OK;
}

sona_err sona_learn(sona_lane *lane, const sona_signal *signal, sona_signal_effect *ret)
{
    struct sona_client_call call;
    sona_signal_effect effect = SONA_SIGNAL_NAMED;

    if (!lane)
        return SONA_E_ARGUMENT;
    if (!sona_client_enter(&call, lane))
        return SONA_E_FORKED;
    sona_err err = check(&call, signal);
    if (err != SONA_OK)
        return sona_client_refuse(&call, err);
    uint64_t id = signal->id;
    if (id == 0) {
        id = call.state->last_decision;
        effect = id ? SONA_SIGNAL_LAST : SONA_SIGNAL_BASELINE;
    }
    if (id)
        err = tell_outcome(&call, id, signal);
    if (err == SONA_OK && (!id || signal->gradient))
        err = tell_beside(&call, id, signal);
    if (err == SONA_OK && ret)
        *ret = effect;
    return sona_client_leave(&call, err);
}
