/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The learner's memory and loop A: what one event changes, in which order.
 *
 *     score x with the weights as they are ─► error ─► stack, mse, drift
 *     ─► count ─► AdaGrad head ─► code head ─► MicroLoRA ─► patterns ─► replay
 */
#include <math.h>
#include <string.h>

#include "engine/learner/state.h"

#define ALIGN(bytes) (((size_t)(bytes) + 63) & ~(size_t)63)

static const uint32_t first_cycles[] = {32, 64, 128, 256};

static void place(size_t *end, size_t *ret_offset, size_t bytes)
{
    *ret_offset = *end;
    *end = ALIGN(*end + bytes);
}

static uint32_t archive_rows(const struct sona_model_layout *layout)
{
    uint32_t patterns = layout->geometry.patterns_max;

    return patterns < SONA_LEARNER_PATTERNS ? patterns : SONA_LEARNER_PATTERNS;
}

static size_t lay_out(struct sona_learner *l, const sona_config *config)
{
    sona_geometry geometry;
    size_t end = 0, vector, self;

    sona_config_geometry(config, &geometry);
    if (sona_model_layout_init(&l->layout, &geometry) != SONA_OK)
        return 0;
    vector = l->layout.dim_padded * sizeof(float);
    place(&end, &self, sizeof *l);
    place(&end, &l->hot, l->layout.hot_bytes);
    place(&end, &l->cold, l->layout.cold_bytes);
    place(&end, &l->grad2, geometry.routes_max * vector);
    place(&end, &l->path, geometry.routes_max * (SONA_LEARNER_PATH - 1) * vector);
    place(&end, &l->common, vector);
    place(&end, &l->route, geometry.routes_max * sizeof(struct sona_learner_route));
    l->archive_rows = archive_rows(&l->layout);
    place(&end, &l->archive, l->archive_rows * l->layout.pattern_stats.stride);
    place(&end, &l->means, l->archive_rows * vector);
    place(&end, &l->entry, config->replay_capacity * sizeof(struct sona_learner_entry));
    place(&end, &l->replay, config->replay_capacity * vector);
    place(&end, &l->route_changes, geometry.routes_max * sizeof(uint64_t));
    place(&end, &l->pattern_changes, geometry.patterns_max * sizeof(uint64_t));
    place(&end, &l->scores, sona_model_scratch_bytes(&l->layout));
    place(&end, &l->scratch, 2 * (size_t)SONA_LEARNER_FOLD_ROWS * vector);
    place(&end, &l->kept, l->layout.layer_stride);
    place(&end, &l->gone, (config->replay_capacity + 63) / 64 * sizeof(uint64_t));
    place(&end, &l->layers, geometry.layers * l->layout.layer_stride);
    place(&end, &l->baselines, sona_learner_baselines_bytes(&geometry));
    place(&end, &l->hits, geometry.patterns_max * sizeof(struct sona_learner_hits));
    place(&end, &l->index_changes, l->layout.tenant_index.count * sizeof(uint64_t));
    place(&end, &l->tenant_changes, l->layout.tenants.count * sizeof(uint64_t));
    place(&end, &l->tenant_seen, l->layout.tenants.count * sizeof(uint64_t));
    sona_learner_ewc_place(l, config, &end);
    sona_learner_gate_place(l, config, &end);
    sona_learner_regime_place(l, config, &end);
    l->bytes = end;
    return end;
}

size_t sona_learner_bytes(const sona_config *config)
{
    struct sona_learner probe;

    return lay_out(&probe, config);
}

/* Member by member: the padding between members is whatever the caller's stack held. */
void sona_learner_config_copy(sona_config *ret, const sona_config *config)
{
    memset(ret, 0, sizeof *ret);
#define COPY(type, name, def, min, max, alias, help) ret->name = config->name;
    SONA_CONFIG_FIELDS(COPY)
#undef COPY
    sona_config_resolve(ret);
}

void sona_learner_configure(struct sona_learner *learner, const sona_config *config)
{
    struct sona_model_hot *head = sona_learner_head(learner);

    learner->explored &= config->max_explore == learner->config.max_explore;
#define TAKE(name) learner->config.name = config->name;
    SONA_CONFIG_LIVE_FIELDS(TAKE)
#undef TAKE
    head->lambda = config->lambda;
    if (!learner->explored)
        head->max_explore = config->max_explore;
    head->unrecorded = sona_model_unrecorded(config->record_share);
}

const sona_config *sona_learner_configuration(const struct sona_learner *learner)
{
    return &learner->config;
}

bool sona_learner_configured(const struct sona_learner *learner, const sona_config *config)
{
    bool same = true;

#define COMPARE(name) same &= learner->config.name == config->name;
    SONA_CONFIG_LIVE_FIELDS(COMPARE)
#undef COMPARE
    return same;
}

sona_err sona_learner_explore(struct sona_learner *learner, float share)
{
    if (!(share >= 0 && share <= 1))
        return SONA_E_RANGE;
    sona_learner_head(learner)->max_explore = share;
    learner->explored = share != learner->config.max_explore;
    return SONA_OK;
}

float sona_learner_explores(const struct sona_learner *learner, float *ret_configured)
{
    *ret_configured = learner->config.max_explore;
    return ((const struct sona_model_hot *)sona_learner_hot(learner))->max_explore;
}

struct sona_learner *sona_learner_init(void *memory, const sona_config *config)
{
    struct sona_learner *l = memory;
    struct sona_model_hot *head;

    memset(memory, 0, sona_learner_bytes(config));
    lay_out(l, config);
    sona_learner_config_copy(&l->config, config);
    sona_model_blocks_init(&l->layout, sona_learner_hot(l), sona_learner_cold(l));
    head = sona_learner_head(l);
    head->lambda = config->lambda;
    head->max_explore = config->max_explore;
    head->unrecorded = sona_model_unrecorded(config->record_share);
    head->micro_scale = config->lora_alpha / (float)config->micro_lora_rank;
    head->tenant_spread = 0.01f;
    head->tenant_scale =
        config->lora_alpha / (float)(config->tenant_lora_rank ? config->tenant_lora_rank : 1);
    head->flags = (config->micro ? SONA_MODEL_USE_MICRO : 0) |
                  (config->base ? SONA_MODEL_USE_BASE : 0) |
                  (config->patterns ? SONA_MODEL_USE_PATTERNS : 0);
    l->replay_capacity = config->replay_capacity;
    l->next_cycle = first_cycles[0];
    l->recent_quality = 0.5;
    sona_learner_stack_init(l);
    sona_learner_micro_reset(l);
    sona_learner_gate_init(l);
    return l;
}

struct sona_model_view sona_learner_view(const struct sona_learner *learner)
{
    return (struct sona_model_view){
        .layout = &learner->layout,
        .hot = sona_learner_hot(learner),
        .cold = sona_learner_cold(learner),
    };
}

const uint64_t *sona_learner_route_changes(const struct sona_learner *learner)
{
    return (const void *)((const unsigned char *)learner + learner->route_changes);
}

const uint64_t *sona_learner_pattern_changes(const struct sona_learner *learner)
{
    return (const void *)((const unsigned char *)learner + learner->pattern_changes);
}

const uint64_t *sona_learner_index_changes(const struct sona_learner *learner)
{
    return (const void *)((const unsigned char *)learner + learner->index_changes);
}

const uint64_t *sona_learner_tenant_changes(const struct sona_learner *learner)
{
    return (const void *)((const unsigned char *)learner + learner->tenant_changes);
}

const uint64_t *sona_learner_counters(const struct sona_learner *learner)
{
    return learner->counter;
}

uint64_t sona_learner_step(const struct sona_learner *learner)
{
    return sona_learner_head(learner)->step;
}

void sona_learner_set_enabled(struct sona_learner *learner, bool enabled)
{
    sona_learner_head(learner)->enabled = enabled;
}

bool sona_learner_enabled(const struct sona_learner *learner)
{
    return sona_learner_head(learner)->enabled != 0;
}

sona_err sona_learner_count_as(struct sona_learner *l, sona_counter counter, sona_err err)
{
    l->counter[counter]++;
    return err;
}

/* Not by the norm: the squares of small numbers vanish. */
static bool is_zero(const float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (x[i] != 0)
            return false;
    return true;
}

/* The caller has checked; the learner's finiteness does not rest on that. */
static sona_err check(struct sona_learner *l, const struct sona_learner_event *event)
{
    float norm2 = sona_kernels_active()->dot(event->x, event->x, l->layout.dim_padded);

    /* A finite sum of squares has finite parts; only one that is not needs the second look. */
    if ((!isfinite(norm2) && !sona_model_all_finite(event->x, l->layout.dim_padded)) ||
        !isfinite(event->quality) || !isfinite(event->propensity))
        return sona_learner_count_as(l, SONA_COUNTER_drop_not_finite, SONA_E_NOT_FINITE);
    if (is_zero(event->x, l->layout.dim_padded))
        return sona_learner_count_as(l, SONA_COUNTER_drop_zero_vector, SONA_E_ZERO_VECTOR);
    if (!(event->quality >= 0 && event->quality <= 1) ||
        !(event->propensity >= 0 && event->propensity <= 1) ||
        !(norm2 <= 1.01f * SONA_MODEL_NORM_MAX * SONA_MODEL_NORM_MAX))
        return sona_learner_count_as(l, SONA_COUNTER_drop_range, SONA_E_RANGE);
    return SONA_OK;
}

static sona_err check_route(struct sona_learner *l, sona_route route)
{
    uint32_t k = SONA_ROUTE_INDEX(route);
    const struct sona_model_route *row;

    if (k >= sona_learner_head(l)->n_routes)
        return sona_learner_count_as(l, SONA_COUNTER_drop_route, SONA_E_ROUTE);
    row = sona_learner_row(l, k);
    if (row->id == route && row->state == SONA_ROUTE_ENABLED)
        return SONA_OK;
    /* This generation was there once: the outcome of a route that was retired meanwhile. */
    if (row->state != SONA_ROUTE_FREE &&
        SONA_ROUTE_GENERATION(route) <= SONA_ROUTE_GENERATION(row->id))
        return sona_learner_count_as(l, SONA_COUNTER_drop_route_retired, SONA_E_ROUTE);
    return sona_learner_count_as(l, SONA_COUNTER_drop_route, SONA_E_ROUTE);
}

/* A route's outcome. Returns the error of its AdaGrad head. */
static float learn_route(struct sona_learner *l, const struct sona_learner_event *event, uint32_t k,
                         struct sona_model_scores *scores)
{
    struct sona_model_view view = sona_learner_view(l);
    float rest, error, target, residual, term = 0, quality;

    sona_model_predict(&view, event->x, event->tenant, scores);
    if (scores->tenant_row != SONA_MODEL_NO_TENANT)
        term = scores->tenant[k];
    quality = event->quality - term; /* what is left for the learner that all share */
    scores->quality[k] -= term;
    error = sona_learner_stack_learn(l, scores, k, quality, &rest);
    if (sona_learner_row(l, k)->fit)
        sona_learner_heads_path(l, k, event->x, event->quality);
    sona_learner_drift_watch(l, k, error);
    sona_learner_heads_count(l, k, event->quality);
    residual = sona_learner_heads_adagrad_known(l, k, event->x, scores->product[0][k], quality);
    sona_learner_ewc_learn(l, k, event->x, residual);
    if (sona_learner_row(l, k)->fit && l->config.base)
        sona_learner_heads_code_known(l, k, event->x, scores->code, scores->product[1][k], quality);
    target = sona_model_clamp(quality - rest, -2, 2);
    if (l->config.micro)
        sona_learner_micro_learn(l, k, event->x, scores->micro_code, target);
    sona_learner_tenants_learn(l, event, k, scores, error);
    sona_learner_head(l)->outcomes++;
    sona_learner_touch_route(l, k);
    return residual;
}

/*
 * A bare trajectory: no route to credit. It teaches what routes share: where queries come from (the
 * replay's directions), what happens near a pattern, and how MicroLoRA bends this query: along x
 * when the trajectory did better than the running baseline, away from it when it did worse. That is
 * the step of a routed outcome with x in place of w and the advantage as the error.
 */
static void learn_bare(struct sona_learner *l, const struct sona_learner_event *event,
                       struct sona_model_scores *scores)
{
    struct sona_model_view view = sona_learner_view(l);
    float baseline = (l->bare_s + 0.5f) / (l->bare_n + 1);

    sona_model_locate(&view, event->x, scores);
    if (l->config.micro)
        sona_learner_micro_step(l, event->x, event->x, event->quality - baseline);
    l->bare_n = 0.995f * l->bare_n + 1; /* about the last 200 */
    l->bare_s = 0.995f * l->bare_s + event->quality;
}

/* A query, seen before its outcome. */
static sona_err observe(struct sona_learner *l, const struct sona_learner_event *event)
{
    const struct sona_learner_event query = {.x = event->x};
    sona_err err = check(l, &query);

    if (err != SONA_OK)
        return err;
    sona_learner_head(l)->observed++;
    if (sona_learner_enabled(l))
        sona_learner_gate_observe(l, event->id, event->x);
    return SONA_OK;
}

void sona_learner_teach(struct sona_learner *l, const struct sona_learner_event *event, uint32_t k)
{
    struct sona_model_scores scores;
    float error = 0;

    sona_learner_head(l)->step++;
    sona_model_scratch_divide(&l->layout, (unsigned char *)l + l->scores, &scores);
    if (k != SONA_LEARNER_NO_ROUTE)
        error = learn_route(l, event, k, &scores);
    else
        learn_bare(l, event, &scores);
    if (l->config.patterns)
        sona_learner_patterns_count(l, &scores.near, k, event->quality);
    sona_learner_replay_push(
        l, event, k, scores.near.count ? scores.near.index[0] : SONA_LEARNER_NO_ROUTE, error);
    l->fresh++;
    l->quality_count += 1;
    l->quality_sum += (double)event->quality;
    l->recent_quality += 0.005 * ((double)event->quality - l->recent_quality);
    if (!l->clock_started) {
        l->clock_started = 1;
        l->last_cycle_ms = event->now_ms;
    }
}

static sona_err learn(struct sona_learner *l, const struct sona_learner_event *event)
{
    uint32_t k = SONA_LEARNER_NO_ROUTE;
    sona_err err = check(l, event);

    if (err == SONA_OK && event->route != SONA_ROUTE_NONE) {
        err = check_route(l, event->route);
        k = SONA_ROUTE_INDEX(event->route);
    }
    if (err != SONA_OK)
        return err;
    if (!sona_learner_enabled(l))
        return sona_learner_count_as(l, SONA_COUNTER_drop_disabled, SONA_OK);
    if (k != SONA_LEARNER_NO_ROUTE && sona_learner_row(l, k)->mode == SONA_MODE_BYPASS)
        return sona_learner_count_as(l, SONA_COUNTER_drop_bypass, SONA_OK);
    sona_learner_teach(l, event, k);
    l->taught++;
    return sona_learner_count_as(l, SONA_COUNTER_learned, SONA_OK);
}

/* What becomes of a query is learned by the regime that the query was of. */
static sona_err learn_where_seen(struct sona_learner *l, const struct sona_learner_event *event)
{
    bool revise = event->kind == SONA_LEARNER_REVOKE || event->kind == SONA_LEARNER_REPLACE;
    uint32_t index = sona_learner_gate_regime_of(l, event->id);
    sona_err err;

    if (index == l->gate.active)
        return revise ? sona_learner_revise(l, event) : learn(l, event);
    sona_learner_regime_enter(l, index);
    err = revise ? sona_learner_revise(l, event) : learn(l, event);
    sona_learner_regime_leave(l, index);
    return err;
}

/* A state outlives the clock that it was dated by, as where the machine is started again: what is
 * further back than an interval is another clock, and the interval begins with it. */
static void hold_clock(struct sona_learner *l, uint64_t now_ms)
{
    if (l->last_cycle_ms > now_ms && l->last_cycle_ms - now_ms > l->config.background_interval_ms)
        l->last_cycle_ms = now_ms;
}

sona_err sona_learner_learn(struct sona_learner *learner, const struct sona_learner_event *event)
{
    SONA_MODEL_KERNELS(&learner->layout);
    sona_err err;

    hold_clock(learner, event->now_ms);
    switch (event->kind) {
    case SONA_LEARNER_QUERY:
        return observe(learner, event);
    case SONA_LEARNER_QUERY_OUTCOME:
        err = observe(learner, event);
        return err != SONA_OK ? err : learn_where_seen(learner, event);
    case SONA_LEARNER_STEPS:
        return sona_learner_layers_learn(learner, event);
    case SONA_LEARNER_HIT:
        return sona_learner_hit(learner, event);
    case SONA_LEARNER_BASELINE:
        return sona_learner_baseline(learner, event);
    case SONA_LEARNER_GRADIENT:
        err = check(learner, event);
        return err != SONA_OK ? err : sona_learner_gradient(learner, event);
    case SONA_LEARNER_OUTCOME:
    case SONA_LEARNER_REVOKE:
    case SONA_LEARNER_REPLACE:
    case SONA_LEARNER_KINDS:
        break;
    }
    return learn_where_seen(learner, event);
}

void sona_learner_imported(struct sona_learner *learner)
{
    learner->counter[SONA_COUNTER_imported]++;
}

bool sona_learner_watches(const sona_config *config)
{
    return sona_learner_gate_watches(config);
}

uint64_t sona_learner_switches(const struct sona_learner *learner)
{
    return learner->gate.changes;
}

bool sona_learner_switched(struct sona_learner *learner)
{
    bool ret = learner->gate.told != learner->gate.changes;

    learner->gate.told = learner->gate.changes;
    return ret;
}

uint64_t sona_learner_observed(const struct sona_learner *learner)
{
    return sona_learner_head(learner)->observed;
}

bool sona_learner_cycle_due(const struct sona_learner *learner, uint64_t now_ms)
{
    if (!learner->config.background || learner->cycle_running ||
        (learner->fresh == 0 && learner->fresh_hits == 0) || !sona_learner_enabled(learner))
        return false;
    return learner->taught >= learner->next_cycle ||
           (now_ms > learner->last_cycle_ms &&
            now_ms - learner->last_cycle_ms >= learner->config.background_interval_ms);
}

/* Early and often while little is known, then at a steady pace. */
void sona_learner_cycle_schedule(struct sona_learner *l, uint64_t now_ms)
{
    uint64_t learned = l->taught;

    l->next_cycle = learned + SONA_LEARNER_CYCLE_EVERY;
    for (uint32_t i = 0; i < sizeof first_cycles / sizeof *first_cycles; i++)
        if (first_cycles[i] > learned) {
            l->next_cycle = first_cycles[i];
            break;
        }
    l->last_cycle_ms = now_ms;
    l->clock_started = 1;
}

void sona_learner_cycle_soon(struct sona_learner *l)
{
    uint64_t soon = l->taught + SONA_LEARNER_REFIT;

    if (l->next_cycle > soon)
        l->next_cycle = soon;
}

void sona_learner_stats(const struct sona_learner *learner, sona_stats *ret)
{
    SONA_MODEL_KERNELS(&learner->layout);
    const struct sona_learner *l = learner;
    const struct sona_model_hot *head = sona_learner_head(l);
    sona_ewc ewc;

    memset(ret, 0, sizeof *ret);
    memcpy(ret->counter, l->counter, sizeof ret->counter);
    ret->step = head->step;
    ret->replay_length = l->replay_count;
    ret->memory_bytes = l->bytes;
    for (uint32_t k = 0; k < head->n_routes; k++)
        ret->routes += sona_learner_row(l, k)->state == SONA_ROUTE_ENABLED;
    ret->patterns = ((const struct sona_model_cold *)sona_learner_cold(l))->n_bank;
    ret->layers_trained = sona_learner_layers_trained(l);
    ret->mean_quality = l->quality_count > 0 ? l->quality_sum / l->quality_count : 0;
    ret->recent_quality = l->recent_quality;
    ret->mse = (double)head->mse;
    for (uint32_t j = 0; j < 4; j++)
        ret->stack[j] = (double)sona_model_clamp(head->stack[j], 0, 1.5f);
    ret->micro_norm = sona_learner_micro_norm(l);
    ret->base_norm = sona_learner_base_norm(l);
    ret->fold_discarded = l->fold_discarded;
    ret->tenants = head->n_tenants;
    ret->tenant_spread = (double)head->tenant_spread;
    ret->regimes = sona_learner_gate_regimes(l);
    ret->regime = l->config.gate ? (uint32_t)sona_learner_regimes(l)[l->gate.active].id : 0;
    ret->simd = sona_kernels_active()->name;
    sona_learner_ewc_state(l, &ewc);
    ret->ewc_tasks = ewc.tasks;
    ret->ewc_lambda = ewc.lambda;
    ret->ewc_penalty = ewc.penalty;
}
