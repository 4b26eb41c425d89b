/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* [hot] Looking things up in the current snapshot: patterns, routes, its version. */
#include "client/hot.h"

#define HALVES (SONA_SHM_USE_HOT | SONA_SHM_USE_COLD)

/* Tell the sidecar that a pattern was found, for its access count. An ornament: when the ring is
 * full the search is good all the same, and the drop is counted. */
static void tell_hit(struct sona_client_call *call, const sona_pattern *found, uint64_t version)
{
    sona_err why;
    struct sona_record *record = sona_client_event_reserve(call, &why);

    if (!record) {
        (void)sona_client_event_drop(call, why);
        return;
    }
    *record = (struct sona_record){.kind = SONA_RECORD_PATTERN_HIT,
                                   .id = found->id,
                                   .snapshot = version,
                                   .route = SONA_ROUTE_NONE,
                                   .node = found->index};
    sona_client_event_commit(call, record);
}

sona_err sona_find_patterns(sona_lane *lane, const float *x, uint32_t dim, uint32_t k,
                            sona_pattern *ret, uint32_t *ret_count)
{
    struct sona_client_call call;
    struct sona_client_read read;
    uint32_t count = 0;

    if (!lane)
        return SONA_E_ARGUMENT;
    if (!sona_client_enter(&call, lane))
        return SONA_E_FORKED;
    if (!x || !ret || !ret_count)
        return sona_client_refuse(&call, SONA_E_ARGUMENT);
    if (dim != call.att->layout.geometry.dim || dim == 0)
        return sona_client_refuse(&call, SONA_E_SHAPE);
    if (k == 0)
        return sona_client_refuse(&call, SONA_E_RANGE);
    sona_err err = sona_model_prepare(&call.att->layout, x, call.port->x);
    if (err != SONA_OK)
        return sona_client_refuse(&call, err);

    sona_client_read_begin(&read);
    while (sona_client_read_next(&call, &read)) {
        count = sona_model_find_patterns(&read.view, call.port->x, k, ret);
        if (sona_client_read_valid(&call, &read, HALVES))
            break;
    }
    uint64_t version = sona_client_read_end(&call, &read);
    if (version == 0)
        count = 0;
    if (count > 0)
        tell_hit(&call, &ret[0], version);
    *ret_count = count;
    sona_client_answered(&call, SONA_CLIENT_searches, version);
    return sona_client_leave(&call, SONA_OK);
}

sona_err sona_routes(sona_lane *lane, sona_route_info *ret, uint32_t capacity, uint32_t *ret_count)
{
    struct sona_client_call call;
    struct sona_client_read read;
    uint32_t count = 0;

    if (!lane)
        return SONA_E_ARGUMENT;
    if (!sona_client_enter(&call, lane))
        return SONA_E_FORKED;
    if ((!ret && capacity > 0) || !ret_count)
        return sona_client_refuse(&call, SONA_E_ARGUMENT);
    sona_client_read_begin(&read);
    while (sona_client_read_next(&call, &read)) {
        count = sona_model_routes(&read.view, ret, capacity);
        if (sona_client_read_valid(&call, &read, SONA_SHM_USE_HOT))
            break;
    }
    if (sona_client_read_end(&call, &read) == 0)
        return sona_client_leave(&call, SONA_E_DETACHED);
    *ret_count = count;
    return sona_client_leave(&call, SONA_OK);
}

sona_err sona_version_of(sona_lane *lane, sona_version_info *ret)
{
    struct sona_client_call call;
    struct sona_client_read read;
    uint64_t step = 0, observed = 0;

    if (!lane)
        return SONA_E_ARGUMENT;
    if (!sona_client_enter(&call, lane))
        return SONA_E_FORKED;
    if (!ret)
        return sona_client_refuse(&call, SONA_E_ARGUMENT);
    sona_client_read_begin(&read);
    while (sona_client_read_next(&call, &read)) {
        step = sona_model_step(&read.view);
        observed = sona_model_observed(&read.view);
        if (sona_client_read_valid(&call, &read, SONA_SHM_USE_HOT))
            break;
    }
    uint64_t version = sona_client_read_end(&call, &read);
    *ret = (sona_version_info){.version = version};
    if (version != 0) {
        ret->step = step;
        ret->observed = observed;
    }
    return sona_client_leave(&call, SONA_OK);
}
