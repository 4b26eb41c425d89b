/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See judge.h. */
#include "sidecar/judge.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "engine/kernels/kernels.h"
#include "engine/model/model.h"

static int header(const struct sona_sidecar_origin *origin, const struct sona_record *r)
{
    bool ok = r->magic == SONA_RECORD_MAGIC && r->version == SONA_RECORD_VERSION &&
              r->kind >= SONA_RECORD_DECIDE && r->kind <= SONA_RECORD_SIGNAL &&
              r->lane_seq == origin->seq;

    return ok ? SONA_SIDECAR_ACCEPTED : SONA_COUNTER_drop_malformed;
}

/* A new id must be the record's own: nobody can speak for another client, or twice. */
static int own_id(const struct sona_sidecar_origin *origin, const struct sona_record *r)
{
    return r->id == SONA_ID(origin->tag, origin->lane, origin->seq) ? SONA_SIDECAR_ACCEPTED
                                                                    : SONA_COUNTER_drop_malformed;
}

/* Steps and the like belong to a trajectory of the same attachment. */
static int near_id(const struct sona_sidecar_origin *origin, const struct sona_record *r)
{
    return SONA_ID_TAG(r->id) == origin->tag ? SONA_SIDECAR_ACCEPTED : SONA_COUNTER_drop_unknown_id;
}

static int embedding(const struct sona_sidecar_rules *rules, struct sona_record *r)
{
    float *x = sona_record_floats(r);
    uint32_t dim = rules->geometry.dim;

    memset(x + dim, 0, (rules->dim_padded - dim) * sizeof *x);
    float norm2 = sona_kernels_active()->dot(x, x, rules->dim_padded);
    if (!isfinite(norm2)) /* too long to be squared, or NaN or infinite somewhere */
        return sona_model_all_finite(x, dim) ? SONA_COUNTER_drop_range
                                             : SONA_COUNTER_drop_not_finite;
    if (norm2 == 0)
        return SONA_COUNTER_drop_zero_vector;
    if (rules->geometry.flags & SONA_GEOMETRY_NORMALIZE &&
        fabsf(norm2 - 1) > SONA_SIDECAR_NORM_SLACK)
        return SONA_COUNTER_drop_range;
    return SONA_SIDECAR_ACCEPTED;
}

/* Known: its row is in use, under this generation or a later one (what came of a retired route is
 * the learner's to say). */
static int route(const struct sona_sidecar_rules *rules, sona_route id)
{
    uint32_t index = SONA_ROUTE_INDEX(id);

    if (index >= rules->n_routes || rules->route[index].state == SONA_ROUTE_FREE ||
        SONA_ROUTE_GENERATION(id) > SONA_ROUTE_GENERATION(rules->route[index].id))
        return SONA_COUNTER_drop_route;
    return SONA_SIDECAR_ACCEPTED;
}

static int share(float value, bool zero_is_fine)
{
    if (!isfinite(value))
        return SONA_COUNTER_drop_not_finite;
    if (value > 1 || value < 0 || (value == 0 && !zero_is_fine))
        return SONA_COUNTER_drop_range;
    return SONA_SIDECAR_ACCEPTED;
}

static int step(const struct sona_sidecar_rules *rules, struct sona_record *r)
{
    const float *x = sona_record_floats(r);
    const sona_geometry *g = &rules->geometry;

    if (r->n_floats > g->dim || r->n_attention > g->attention_dim)
        return SONA_COUNTER_drop_shape;
    if (r->layer >= g->layers)
        return SONA_COUNTER_drop_range;
    if (!isfinite(r->value) || !isfinite(r->score) || !sona_model_all_finite(x, r->n_floats) ||
        !sona_model_all_finite(x + g->dim, r->n_attention))
        return SONA_COUNTER_drop_not_finite;
    return SONA_SIDECAR_ACCEPTED;
}

static int context(struct sona_record *r)
{
    bool ended = memchr(sona_record_floats(r), '\0', SONA_RECORD_TEXT) != NULL;

    return ended ? SONA_SIDECAR_ACCEPTED : SONA_COUNTER_drop_malformed;
}

/* The first complaint counts. */
#define HOLD(judgement)                        \
    do {                                       \
        int verdict_ = (judgement);            \
        if (verdict_ != SONA_SIDECAR_ACCEPTED) \
            return verdict_;                   \
    } while (0)

int sona_sidecar_judge_head(const struct sona_sidecar_origin *origin, const struct sona_record *r)
{
    HOLD(header(origin, r));
    return r->kind == SONA_RECORD_DECIDE || r->kind == SONA_RECORD_BEGIN ? own_id(origin, r)
                                                                         : SONA_SIDECAR_ACCEPTED;
}

int sona_sidecar_judge(const struct sona_sidecar_rules *rules,
                       const struct sona_sidecar_origin *origin, struct sona_record *r)
{
    HOLD(sona_sidecar_judge_head(origin, r));
    switch ((enum sona_record_kind)r->kind) {
    case SONA_RECORD_DECIDE:
        HOLD(share(r->value, false));
        /* Where none is recorded, nor is this one. */
        HOLD(r->unrecorded == UINT16_MAX ? SONA_COUNTER_drop_range : SONA_SIDECAR_ACCEPTED);
        HOLD(route(rules, r->route));
        return embedding(rules, r);
    case SONA_RECORD_BEGIN:
        return embedding(rules, r);
    case SONA_RECORD_OUTCOME:
    case SONA_RECORD_END:
        return share(r->value, true);
    case SONA_RECORD_STEP:
        HOLD(near_id(origin, r));
        return step(rules, r);
    case SONA_RECORD_ROUTE:
        HOLD(near_id(origin, r));
        return route(rules, r->route);
    case SONA_RECORD_CONTEXT:
        HOLD(near_id(origin, r));
        return context(r);
    case SONA_RECORD_REVOKE: /* whose id it is, the table says */
        return SONA_SIDECAR_ACCEPTED;
    case SONA_RECORD_SIGNAL:
        HOLD(share(r->value, true));
        if (r->n_floats == 0)
            return SONA_SIDECAR_ACCEPTED;
        return r->n_floats == rules->geometry.dim ? embedding(rules, r) : SONA_COUNTER_drop_shape;
    case SONA_RECORD_PATTERN_HIT:
        return r->node < rules->geometry.patterns_max ? SONA_SIDECAR_ACCEPTED
                                                      : SONA_COUNTER_drop_range;
    }
    return SONA_COUNTER_drop_malformed; /* not reached: the header was held against the range */
}
