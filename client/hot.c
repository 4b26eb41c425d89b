/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* [hot] The ways out of a call that are not success. */
#include "client/hot.h"

static enum sona_client_counter counter_of(sona_err err)
{
    switch (err) {
    case SONA_E_SHAPE:
        return SONA_CLIENT_refused_shape;
    case SONA_E_NOT_FINITE:
        return SONA_CLIENT_refused_not_finite;
    case SONA_E_RANGE:
        return SONA_CLIENT_refused_range;
    case SONA_E_ZERO_VECTOR:
        return SONA_CLIENT_refused_zero_vector;
    case SONA_E_ROUTE:
        return SONA_CLIENT_refused_route;
    case SONA_E_NO_ROUTE:
        return SONA_CLIENT_refused_no_route;
    case SONA_E_UNKNOWN_ID:
        return SONA_CLIENT_refused_unknown_id;
    default:
        return SONA_CLIENT_refused_argument;
    }
}

void sona_client_arrive(struct sona_client_lane_state *state,
                        const struct sona_client_attachment *att)
{
    /* Another memory has other rings, which begin at 0; the same one goes on. */
    if (att->lanes && state->lanes != att->lanes->serial) {
        state->lanes = att->lanes->serial;
        state->seq = 0;
    }
    atomic_store_explicit(&state->shown, att->serial, memory_order_release); /* [L2] */
}

/* Add one to a hint in shared memory; single writer, relaxed: for people. */
static void hint(_Atomic uint64_t *word)
{
    uint64_t n = atomic_load_explicit(word, memory_order_relaxed);

    atomic_store_explicit(word, n + 1, memory_order_relaxed);
}

sona_err sona_client_refuse(struct sona_client_call *call, sona_err err)
{
    sona_client_count(call->state, counter_of(err));
    if (call->port->shared)
        hint(&call->port->shared->counters.refused);
    return sona_client_leave(call, err);
}

sona_err sona_client_event_drop(struct sona_client_call *call, sona_err why)
{
    if (why == SONA_E_FULL) {
        sona_client_count(call->state, SONA_CLIENT_dropped_full);
        hint(&call->port->shared->counters.dropped_full);
    } else {
        sona_client_count(call->state, SONA_CLIENT_dropped_detached);
    }
    return why;
}
