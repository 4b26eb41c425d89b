/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The learner in one process: decide, tell the outcome, let time pass. A thin order of calls over
 * the model's functions, the pending table and the learner; nothing is computed here.
 *
 * Decisions draw from stream 0 of the seed, in the order of the calls that get as far as the draw,
 * as a lane of the client does from the stream of its own number. One lane through a sidecar and
 * one engine therefore decide alike, bit for bit.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/diag.h"
#include "engine/facade.h"
#include "engine/model/block.h"

#define STREAM 0 /* of the random numbers */
#define OWNER  0 /* one process, one user: every outcome is its own */

/* Where each part lies in the allocation. */
struct plan {
    struct sona_model_layout layout;
    size_t learner, job, pending, sums, scratch, query; /* offsets */
    size_t bytes;
};

static size_t claim(size_t *at, size_t bytes)
{
    size_t offset = *at;

    *at += (bytes + SONA_MODEL_ALIGN - 1) / SONA_MODEL_ALIGN * SONA_MODEL_ALIGN;
    return offset;
}

static sona_err plan_make(struct plan *ret, const sona_config *config, sona_diag *reterr)
{
    sona_geometry geometry;
    sona_err err = sona_config_check(config, reterr);
    size_t at = 0;

    if (err != SONA_OK)
        return err;
    sona_config_geometry(config, &geometry);
    err = sona_model_layout_init(&ret->layout, &geometry);
    if (err != SONA_OK)
        return sona_engine_diag(reterr, err, "the geometry is refused: %s", sona_err_text(err));
    claim(&at, sizeof(struct sona_engine));
    ret->learner = claim(&at, sona_learner_bytes(config));
    ret->job = claim(&at, sona_learner_job_bytes(config));
    ret->pending =
        claim(&at, sona_pending_bytes(config->trajectory_capacity, ret->layout.dim_padded));
    ret->sums = claim(&at, sona_pending_sums_bytes(config->step_capacity, ret->layout.dim_padded));
    ret->scratch = claim(&at, sona_model_scratch_bytes(&ret->layout));
    ret->query = claim(&at, ret->layout.dim_padded * sizeof(float));
    ret->bytes = at;
    return SONA_OK;
}

static sona_engine *build(char *memory, const struct plan *plan, const sona_config *config)
{
    sona_engine *engine = (sona_engine *)(void *)memory;

    memset(engine, 0, sizeof(*engine));
    engine->config = *config;
    sona_config_resolve(&engine->config);
    engine->layout = plan->layout;
    engine->bytes = plan->bytes;
    engine->learner = sona_learner_init(memory + plan->learner, config);
    engine->job = sona_learner_job_init(memory + plan->job, config);
    engine->pending = sona_pending_init(memory + plan->pending, config->trajectory_capacity,
                                        plan->layout.dim_padded, config->feedback_window_ms,
                                        config->max_trajectory_steps, config->default_quality);
    engine->sums =
        sona_pending_sums_init(memory + plan->sums, config->step_capacity, plan->layout.dim_padded);
    sona_pending_use_sums(engine->pending, engine->sums);
    sona_model_scratch_init(&engine->layout, memory + plan->scratch, &engine->scores);
    engine->query = (float *)(void *)(memory + plan->query);
    return engine;
}

/* Declare the routes; the first that is refused is named. */
static sona_err declare(sona_engine *engine, const sona_route_spec *routes, uint32_t n_routes,
                        sona_diag *reterr)
{
    for (uint32_t i = 0; i < n_routes; i++) {
        sona_route ignored;
        sona_err err = sona_learner_route_add(engine->learner, &routes[i], &ignored);

        if (err != SONA_OK)
            return sona_engine_diag(reterr, err, "route %u (\"%.*s\"): %s", i,
                                    SONA_ROUTE_NAME_MAX - 1, routes[i].name, sona_err_text(err));
    }
    return SONA_OK;
}

sona_err sona_engine_make(sona_engine **ret, const sona_config *config, sona_diag *reterr)
{
    struct plan plan;
    char *memory;
    sona_err err = plan_make(&plan, config, reterr);

    if (err != SONA_OK)
        return err;
    memory = aligned_alloc(SONA_MODEL_ALIGN, plan.bytes);
    if (memory == NULL)
        return sona_engine_diag(reterr, SONA_E_MEMORY, "no memory for %zu bytes: %s", plan.bytes,
                                sona_err_remedy(SONA_E_MEMORY));
    *ret = build(memory, &plan, config);
    return SONA_OK;
}

sona_err sona_engine_create(sona_engine **ret, const sona_config *config,
                            const sona_route_spec *routes, uint32_t n_routes, sona_diag *reterr)
{
    sona_engine *engine = NULL;
    sona_config defaults;
    sona_err err;

    if (ret == NULL || routes == NULL)
        return sona_engine_diag(reterr, SONA_E_ARGUMENT, "the result or the routes are null");
    if (config == NULL) {
        sona_config_init(&defaults);
        config = &defaults;
    }
    err = sona_config_check(config, reterr);
    if (err != SONA_OK)
        return err;
    if (n_routes == 0 || n_routes > config->routes_max)
        return sona_engine_diag(reterr, SONA_E_RANGE, "%u routes: declare 1..%u (routes_max)",
                                n_routes, config->routes_max);
    err = sona_engine_make(&engine, config, reterr);
    if (err == SONA_OK)
        err = declare(engine, routes, n_routes, reterr);
    if (err != SONA_OK) {
        sona_engine_destroy(&engine);
        return err;
    }
    *ret = engine;
    return SONA_OK;
}

void sona_engine_destroy(sona_engine **engine)
{
    if (engine == NULL)
        return;
    free(*engine);
    *engine = NULL;
}

size_t sona_engine_bytes(const sona_config *config)
{
    struct plan plan;

    if (config == NULL || plan_make(&plan, config, NULL) != SONA_OK)
        return 0;
    return plan.bytes;
}

sona_err sona_engine_memory_of(const sona_config *config, sona_engine_memory *ret,
                               sona_diag *reterr)
{
    struct plan plan;
    sona_err err;

    if (config == NULL || ret == NULL)
        return sona_engine_diag(reterr, SONA_E_ARGUMENT, "configuration or result is null");
    err = plan_make(&plan, config, reterr);
    if (err != SONA_OK)
        return err;
    ret->learner = plan.job - plan.learner;
    ret->job = plan.pending - plan.job;
    ret->pending = plan.scratch - plan.pending;
    ret->total = plan.bytes;
    ret->other = ret->total - ret->learner - ret->job - ret->pending;
    return SONA_OK;
}

sona_err sona_engine_refuse(sona_engine *engine, sona_err err)
{
    static const struct {
        sona_err err;
        sona_counter counter;
    } reasons[] = {
        {SONA_E_SHAPE, SONA_COUNTER_drop_shape},
        {SONA_E_NOT_FINITE, SONA_COUNTER_drop_not_finite},
        {SONA_E_RANGE, SONA_COUNTER_drop_range},
        {SONA_E_ZERO_VECTOR, SONA_COUNTER_drop_zero_vector},
        {SONA_E_ROUTE, SONA_COUNTER_drop_route},
        {SONA_E_NO_ROUTE, SONA_COUNTER_drop_no_route},
        {SONA_E_UNKNOWN_ID, SONA_COUNTER_drop_unknown_id},
    };

    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].err == err)
            engine->counter[reasons[i].counter]++;
    return err;
}

sona_err sona_engine_prepare(sona_engine *engine, const float *x, uint32_t dim)
{
    if (dim != engine->layout.geometry.dim)
        return SONA_E_SHAPE;
    return sona_model_prepare(&engine->layout, x, engine->query);
}

uint64_t sona_engine_remember(sona_engine *engine, enum sona_pending_kind kind, sona_route route,
                              float propensity, uint32_t tenant, uint64_t now_ms)
{
    struct sona_model_view view = sona_learner_view(engine->learner);
    bool decision = kind == SONA_PENDING_DECISION;
    struct sona_pending_entry entry = {
        .id = ++engine->ids,
        .owner = OWNER,
        .version = sona_engine_version(engine),
        .kind = kind,
        .route = route,
        .propensity = propensity,
        .tenant = tenant,
        .unrecorded = decision ? sona_model_hot_of(&view)->unrecorded : 0,
        .x = engine->query,
    };
    struct sona_pending_joined joined;
    sona_err err;

    /* Neither a known id nor a parked outcome can be met: ids are new, and nothing is parked here.
     */
    sona_pending_add(engine->pending, &entry, now_ms, &joined, &err);
    (void)sona_learner_learn(engine->learner, &(struct sona_learner_event){
                                                  .kind = SONA_LEARNER_QUERY,
                                                  .id = entry.id,
                                                  .x = engine->query,
                                                  .now_ms = now_ms,
                                              }); /* the query was prepared: it is sound */
    return entry.id;
}

sona_err sona_engine_decide(sona_engine *engine, const float *x, uint32_t dim,
                            const sona_candidates *candidates, uint64_t now_ms, sona_decision *ret)
{
    struct sona_model_view view;
    sona_decision decision;
    uint64_t n;
    sona_err err;

    if (engine == NULL || x == NULL || ret == NULL)
        return SONA_E_ARGUMENT;
    err = sona_engine_prepare(engine, x, dim);
    if (err != SONA_OK)
        return sona_engine_refuse(engine, err);

    view = sona_learner_view(engine->learner);
    n = engine->draws++;
    err = sona_model_decide(&view, engine->query, candidates,
                            sona_model_random(engine->config.seed, STREAM, n), &engine->scores,
                            &decision);
    if (err != SONA_OK)
        return sona_engine_refuse(engine, err);
    decision.version = sona_engine_version(engine);
    decision.id = 0;
    if (candidates == NULL || candidates->mode != SONA_MODE_BYPASS) {
        if (!sona_model_leaves_out(sona_model_hot_of(&view)->unrecorded, engine->config.seed,
                                   STREAM, n))
            decision.id = sona_engine_remember(engine, SONA_PENDING_DECISION, decision.route,
                                               decision.propensity,
                                               candidates == NULL ? 0 : candidates->tenant, now_ms);
        engine->last_decision = decision.id; /* what was left out hides what came before it */
    }
    *ret = decision;
    return SONA_OK;
}

/* One whole background cycle between two events. False when there was nothing to start with. */
static bool cycle(sona_engine *engine, uint64_t now_ms, sona_cycle_report *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (!sona_learner_cycle_start(engine->learner, engine->job, now_ms))
        return false;
    sona_learner_cycle_run(engine->job);
    sona_learner_cycle_install(engine->learner, engine->job, ret);
    return true;
}

/* What the steps of a trajectory did, layer by layer, before its outcome. */
static void learn_steps(sona_engine *engine, const struct sona_pending_joined *joined,
                        uint64_t now_ms)
{
    uint32_t at = joined->entry.sums;
    struct sona_pending_layer layer;

    while (sona_pending_sums_next(engine->sums, &at, joined->quality, &layer))
        (void)sona_learner_learn(engine->learner, &(struct sona_learner_event){
                                                      .kind = SONA_LEARNER_STEPS,
                                                      .id = joined->entry.id,
                                                      .x = layer.wins,
                                                      .base = layer.base,
                                                      .credit = layer.credit,
                                                      .layer = layer.layer,
                                                      .route = joined->entry.route,
                                                      .quality = layer.reward,
                                                      .now_ms = now_ms,
                                                  });
}

/* Let the learner have what was joined, and a cycle if one is due then. */
static sona_err learn(sona_engine *engine, const struct sona_pending_joined *joined,
                      uint64_t now_ms)
{
    static const enum sona_learner_kind kinds[] = {
        [SONA_PENDING_JOINED] = SONA_LEARNER_OUTCOME,
        [SONA_PENDING_REPLACING] = SONA_LEARNER_REPLACE,
        [SONA_PENDING_REVOKING] = SONA_LEARNER_REVOKE,
    };
    sona_cycle_report ignored;
    sona_err err;

    if (joined->word == SONA_PENDING_JOINED)
        learn_steps(engine, joined, now_ms);
    err = sona_learner_learn(engine->learner, &(struct sona_learner_event){
                                                  .kind = kinds[joined->word],
                                                  .tenant = joined->entry.tenant,
                                                  .id = joined->entry.id,
                                                  .x = joined->entry.x,
                                                  .route = joined->entry.route,
                                                  .quality = joined->quality,
                                                  .propensity = joined->entry.propensity,
                                                  .version = joined->entry.version,
                                                  .now_ms = now_ms,
                                                  .type = joined->entry.type,
                                              });
    if (sona_learner_cycle_due(engine->learner, now_ms))
        cycle(engine, now_ms, &ignored);
    return err;
}

sona_err sona_engine_settle(sona_engine *engine, uint64_t id, float quality, uint32_t latency_us,
                            uint64_t now_ms)
{
    struct sona_pending_joined joined;
    bool found;
    sona_err err;

    if (!isfinite(quality))
        return sona_engine_refuse(engine, SONA_E_NOT_FINITE);
    if (quality < 0 || quality > 1)
        return sona_engine_refuse(engine, SONA_E_RANGE);
    /* Decisions are added before their id is told, so no outcome is ever on its way before one. */
    err = sona_pending_outcome(engine->pending, id, OWNER, quality, latency_us, now_ms, false,
                               &joined, &found);
    return err == SONA_OK ? learn(engine, &joined, now_ms) : err;
}

sona_err sona_engine_revoke(sona_engine *engine, uint64_t id, uint64_t now_ms)
{
    struct sona_pending_joined joined;
    bool found;
    sona_err err;

    if (engine == NULL)
        return SONA_E_ARGUMENT;
    err = sona_pending_revoke(engine->pending, id, OWNER, now_ms, false, &joined, &found);
    return err == SONA_OK && found ? learn(engine, &joined, now_ms) : err;
}

sona_err sona_engine_outcome(sona_engine *engine, uint64_t decision_id, float quality,
                             uint32_t latency_us, uint64_t now_ms)
{
    if (engine == NULL)
        return SONA_E_ARGUMENT;
    return sona_engine_settle(engine, decision_id, quality, latency_us, now_ms);
}

static void expire(sona_engine *engine, uint64_t now_ms)
{
    struct sona_pending_joined joined;
    uint32_t budget = UINT32_MAX;

    while (sona_pending_expire(engine->pending, now_ms, &budget, &joined))
        learn(engine, &joined, now_ms);
}

/* To what the learner tells: what waits, and the counters beside its own. */
static void add_stats(const sona_engine *engine, sona_stats *ret)
{
    sona_pending_stats(engine->pending, ret);
    for (int i = 0; i < SONA_COUNTER_COUNT; i++)
        ret->counter[i] += engine->counter[i];
}

/* Of the statistics, what costs nothing to know: the counters, and what waits. */
static void count(const sona_engine *engine, sona_stats *ret)
{
    *ret = (sona_stats){.step = 0};
    memcpy(ret->counter, sona_learner_counters(engine->learner), sizeof ret->counter);
    add_stats(engine, ret);
}

sona_err sona_engine_flush(sona_engine *engine, uint64_t now_ms, sona_instant_report *ret_report)
{
    sona_stats before, after;
    sona_instant_report report;

    if (engine == NULL)
        return SONA_E_ARGUMENT;
    count(engine, &before);
    expire(engine, now_ms);
    count(engine, &after);
    report = (sona_instant_report){
        .learned = after.counter[SONA_COUNTER_learned] - engine->flushed[0],
        .micro_updates = after.counter[SONA_COUNTER_micro_updates] - engine->flushed[1],
        .layer_updates = after.counter[SONA_COUNTER_layer_updates] - engine->flushed[2],
        .expired =
            after.counter[SONA_COUNTER_drop_abandoned] + after.counter[SONA_COUNTER_defaulted] -
            before.counter[SONA_COUNTER_drop_abandoned] - before.counter[SONA_COUNTER_defaulted],
        .pending = after.pending,
    };
    engine->flushed[0] = after.counter[SONA_COUNTER_learned];
    engine->flushed[1] = after.counter[SONA_COUNTER_micro_updates];
    engine->flushed[2] = after.counter[SONA_COUNTER_layer_updates];
    if (ret_report != NULL)
        *ret_report = report;
    return SONA_OK;
}

sona_err sona_engine_tick(sona_engine *engine, uint64_t now_ms, sona_cycle_report *ret_report)
{
    sona_cycle_report report = {.ran = false};

    if (engine == NULL)
        return SONA_E_ARGUMENT;
    expire(engine, now_ms);
    if (sona_learner_cycle_due(engine->learner, now_ms))
        cycle(engine, now_ms, &report);
    if (ret_report != NULL)
        *ret_report = report;
    return SONA_OK;
}

sona_err sona_engine_learn_now(sona_engine *engine, uint64_t now_ms, sona_cycle_report *ret_report)
{
    sona_cycle_report report;

    if (engine == NULL)
        return SONA_E_ARGUMENT;
    cycle(engine, now_ms, &report);
    if (ret_report != NULL)
        *ret_report = report;
    return SONA_OK;
}

sona_err sona_engine_route_add(sona_engine *engine, const sona_route_spec *spec, sona_route *ret)
{
    if (engine == NULL || spec == NULL || ret == NULL)
        return SONA_E_ARGUMENT;
    return sona_learner_route_add(engine->learner, spec, ret);
}

sona_err sona_engine_route_retire(sona_engine *engine, sona_route route)
{
    if (engine == NULL)
        return SONA_E_ARGUMENT;
    return sona_learner_route_retire(engine->learner, route);
}

sona_err sona_engine_route_mode(sona_engine *engine, sona_route route, sona_mode mode)
{
    if (engine == NULL)
        return SONA_E_ARGUMENT;
    return sona_learner_route_mode(engine->learner, route, mode);
}

sona_err sona_engine_route_cost(sona_engine *engine, sona_route route, float cost)
{
    if (engine == NULL)
        return SONA_E_ARGUMENT;
    return sona_learner_route_cost(engine->learner, route, cost);
}

static void take_live(sona_config *config, const sona_config *wanted)
{
#define TAKE(name) config->name = wanted->name;
    SONA_CONFIG_LIVE_FIELDS(TAKE)
#undef TAKE
}

sona_err sona_engine_configure(sona_engine *engine, const sona_config *config, sona_diag *reterr)
{
    if (engine == NULL || config == NULL)
        return sona_engine_diag(reterr, SONA_E_ARGUMENT, "engine or configuration is null");
    sona_config wanted = *config, rest = engine->config;
    sona_err err = sona_config_check(config, reterr);

    if (err != SONA_OK)
        return err;
    sona_config_resolve(&wanted);
    take_live(&rest, &wanted);
#define COMPARE(type, name, def, min, max, alias, help)                   \
    if (rest.name != wanted.name)                                         \
        return sona_engine_diag(reterr, SONA_E_CONFIG,                    \
                                "%s takes a new engine: it cannot change" \
                                " while one runs",                        \
                                #name);
    SONA_CONFIG_FIELDS(COMPARE)
#undef COMPARE
    engine->config = rest;
    sona_learner_configure(engine->learner, &rest);
    return SONA_OK;
}

void sona_engine_set_enabled(sona_engine *engine, bool enabled)
{
    sona_learner_set_enabled(engine->learner, enabled);
}

bool sona_engine_enabled(const sona_engine *engine)
{
    return sona_learner_enabled(engine->learner);
}

void sona_engine_stats(const sona_engine *engine, sona_stats *ret)
{
    sona_learner_stats(engine->learner, ret);
    add_stats(engine, ret);
    ret->memory_bytes = engine->bytes;
}

sona_err sona_engine_stats_json(const sona_engine *engine, char *buffer, size_t size,
                                size_t *ret_bytes)
{
    sona_stats stats;

    if (engine == NULL)
        return SONA_E_ARGUMENT;
    sona_engine_stats(engine, &stats);
    return sona_stats_json(&stats, sona_engine_enabled(engine), engine->config.background, buffer,
                           size, ret_bytes);
}
