/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * [hot] Choosing a route, and telling how good it was.
 *
 * The prepared query is written straight into the ring's next record and scored from there: one
 * copy of x. The record becomes an event only at the commit, after the snapshot was validated; a
 * refused or torn decision leaves the slot to the next call.
 */
#include <math.h>

#include "client/hot.h"
#include "engine/model/block.h"

/* Prepare x where it is to be scored: in `record`, or, when there is none, in private memory. */
static sona_err prepare(const struct sona_client_call *call, struct sona_record *record,
                        const float *x, const float **ret)
{
    float *place = record ? sona_record_floats(record) : call->port->x;

    *ret = place;
    return sona_model_prepare(&call->att->layout, x, place);
}

/* Decide by the current snapshot; without one, uniformly over a restricted set. *ret_unrecorded:
 * that snapshot's. */
static sona_err choose(struct sona_client_call *call, uint64_t random, const float *x,
                       const sona_candidates *candidates, sona_decision *ret,
                       uint16_t *ret_unrecorded)
{
    struct sona_client_read read;
    sona_err err = SONA_E_NO_ROUTE;

    sona_client_read_begin(&read);
    while (sona_client_read_next(call, &read)) {
        err = sona_model_decide(&read.view, x, candidates, random, &call->port->scores, ret);
        *ret_unrecorded = sona_model_hot_of(&read.view)->unrecorded;
        if (sona_client_read_valid(call, &read, SONA_SHM_USE_HOT | SONA_SHM_USE_COLD))
            break;
    }
    uint64_t version = sona_client_read_end(call, &read);
    if (version == 0) {
        err = sona_model_decide_cold(candidates, random, ret);
        *ret_unrecorded = 0; /* nobody has said otherwise */
    }
    ret->version = version;
    return err;
}

/* Write the record of a decision and commit it. */
static void commit_decision(struct sona_client_call *call, struct sona_record *record,
                            const sona_decision *d, uint32_t tenant, uint16_t unrecorded)
{
    *record = (struct sona_record){
        .kind = SONA_RECORD_DECIDE,
        .id = d->id,
        .snapshot = d->version,
        .route = d->route,
        .value = d->propensity,
        .score = d->expected,
        .node = tenant,
        .flags = (uint16_t)d->why,
        .unrecorded = unrecorded,
    };
    sona_client_event_commit(call, record);
}

sona_err sona_decide(sona_lane *lane, const float *x, uint32_t dim,
                     const sona_candidates *candidates, sona_decision *ret)
{
    struct sona_client_call call;
    struct sona_record *record = NULL;
    sona_err why = SONA_OK; /* the decision is not recorded */
    const float *prepared;
    sona_decision d = {.id = 0};
    uint16_t unrecorded = 0;
    bool left_out = false;

    if (!lane)
        return SONA_E_ARGUMENT;
    if (!sona_client_enter(&call, lane))
        return SONA_E_FORKED;
    if (!x || !ret || (candidates && candidates->override_costs && !candidates->costs))
        return sona_client_refuse(&call, SONA_E_ARGUMENT);
    if (dim != call.att->layout.geometry.dim || dim == 0)
        return sona_client_refuse(&call, SONA_E_SHAPE);
    bool bypass = candidates && candidates->mode == SONA_MODE_BYPASS;
    if (!bypass)
        record = sona_client_event_reserve(&call, &why);

    sona_err err = prepare(&call, record, x, &prepared);
    if (err == SONA_OK) {
        uint64_t seed = lane->client->seed, n = call.state->draws++;

        err = choose(&call, sona_model_random(seed, call.lane, n), prepared, candidates, &d,
                     &unrecorded);
        left_out = !bypass && sona_model_leaves_out(unrecorded, seed, call.lane, n);
    }
    if (err != SONA_OK)
        return sona_client_refuse(&call, err);
    if (left_out) {
        why = SONA_OK; /* whether there was room or not */
        call.state->last_decision = 0;
        sona_client_count(call.state, SONA_CLIENT_unrecorded);
    } else if (record) {
        why = SONA_OK;
        d.id = sona_client_event_id(&call);
        commit_decision(&call, record, &d, candidates ? candidates->tenant : 0, unrecorded);
        call.state->last_decision = d.id;
    } else if (why != SONA_OK) {
        sona_client_event_drop(&call, why);
    }
    sona_client_answered(&call, SONA_CLIENT_decides, d.version);
    *ret = d;
    return sona_client_leave(&call, why);
}

sona_err sona_outcome(sona_lane *lane, uint64_t decision_id, float quality,
                      const sona_outcome_info *info)
{
    struct sona_client_call call;
    sona_err why;

    if (!lane)
        return SONA_E_ARGUMENT;
    if (!sona_client_enter(&call, lane))
        return SONA_E_FORKED;
    if (!isfinite(quality))
        return sona_client_refuse(&call, SONA_E_NOT_FINITE);
    if (quality < 0 || quality > 1)
        return sona_client_refuse(&call, SONA_E_RANGE);
    if (decision_id == 0)
        return sona_client_refuse(&call, SONA_E_UNKNOWN_ID);

    struct sona_record *record = sona_client_event_reserve(&call, &why);
    if (!record)
        return sona_client_leave(&call, sona_client_event_drop(&call, why));
    *record = (struct sona_record){
        .kind = SONA_RECORD_OUTCOME,
        .id = decision_id,
        .route = SONA_ROUTE_NONE,
        .value = quality,
        .latency_us = info ? info->latency_us : 0,
        .node = info ? info->tokens_in : 0,
        .reserved1 = info ? info->tokens_out : 0,
    };
    sona_client_event_commit(&call, record);
    sona_client_count(call.state, SONA_CLIENT_outcomes);
    return sona_client_leave(&call, SONA_OK);
}

sona_err sona_outcome_revoke(sona_lane *lane, uint64_t id)
{
    struct sona_client_call call;
    sona_err why;

    if (!lane)
        return SONA_E_ARGUMENT;
    if (!sona_client_enter(&call, lane))
        return SONA_E_FORKED;
    if (id == 0)
        return sona_client_refuse(&call, SONA_E_UNKNOWN_ID);

    struct sona_record *record = sona_client_event_reserve(&call, &why);
    if (!record)
        return sona_client_leave(&call, sona_client_event_drop(&call, why));
    *record = (struct sona_record){.kind = SONA_RECORD_REVOKE, .id = id, .route = SONA_ROUTE_NONE};
    sona_client_event_commit(&call, record);
    sona_client_count(call.state, SONA_CLIENT_revokes);
    return sona_client_leave(&call, SONA_OK);
}

sona_err sona_score(sona_lane *lane, const float *x, uint32_t dim, float *ret_scores,
                    uint32_t capacity, uint64_t *ret_version)
{
    return sona_score_tenant(lane, 0, x, dim, ret_scores, capacity, ret_version);
}

sona_err sona_score_tenant(sona_lane *lane, uint32_t tenant, const float *x, uint32_t dim,
                           float *ret_scores, uint32_t capacity, uint64_t *ret_version)
{
    const sona_candidates all = {.tenant = tenant};
    struct sona_client_call call;
    struct sona_client_read read;
    const float *prepared;

    if (!lane)
        return SONA_E_ARGUMENT;
    if (!sona_client_enter(&call, lane))
        return SONA_E_FORKED;
    const sona_geometry *g = &call.att->layout.geometry;
    if (!x || !ret_scores)
        return sona_client_refuse(&call, SONA_E_ARGUMENT);
    if (dim != g->dim || dim == 0)
        return sona_client_refuse(&call, SONA_E_SHAPE);
    if (call.att->reader.live && capacity < g->routes_max)
        return sona_client_refuse(&call, SONA_E_RANGE);
    sona_err err = prepare(&call, NULL, x, &prepared);
    if (err != SONA_OK)
        return sona_client_refuse(&call, err);

    struct sona_model_scores *scores = &call.port->scores;
    sona_client_read_begin(&read);
    while (sona_client_read_next(&call, &read)) {
        err = sona_model_score(&read.view, prepared, &all, scores);
        if (sona_client_read_valid(&call, &read, SONA_SHM_USE_HOT | SONA_SHM_USE_COLD))
            break;
    }
    uint64_t version = sona_client_read_end(&call, &read);
    if (version == 0)
        err = SONA_E_NO_ROUTE; /* nothing is known of any route */
    if (err != SONA_OK)
        return sona_client_refuse(&call, err);
    for (uint32_t i = 0; i < g->routes_max; i++)
        ret_scores[i] = i < scores->n_routes ? scores->value[i] : NAN;
    if (ret_version)
        *ret_version = version;
    return sona_client_leave(&call, SONA_OK);
}
