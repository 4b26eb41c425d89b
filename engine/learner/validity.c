/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Could the learner have come to this state by itself? Asked of what was loaded: a checksum tells
 * damage, not lies. What passes keeps every promise of this room: no index leads out of a table,
 * and numbers stay finite and bounded whatever events follow.
 */
#include <math.h>

#include "engine/learner/linalg.h"
#include "engine/learner/state.h"

#define WIDE  1e9f /* what has no tighter bound: its products with a query are numbers still */
#define MANY  (1ull << 62) /* nothing is counted so far; what is goes on without wrapping to 0 */
#define GRAD2 1e30f        /* an accumulator of squares */

static bool between(double value, double low, double high)
{
    return value >= low && value <= high; /* false for NaN */
}

static bool are_between(const float *values, size_t count, float low, float high)
{
    for (size_t i = 0; i < count; i++)
        if (!(values[i] >= low && values[i] <= high))
            return false;
    return true;
}

bool sona_learner_rows_are_bounded(const float *rows, size_t count, uint32_t dim)
{
    return sona_model_vectors_are_bounded(rows, dim, count, dim);
}

bool sona_learner_tallies_are_sound(const struct sona_model_layout *layout, const float *rows,
                                    uint32_t count)
{
    size_t stride = sona_model_stride(&layout->pattern_stats);

    for (uint32_t c = 0; c < count; c++, rows += stride) {
        const float *bare = rows + layout->pattern_bare / sizeof(float);

        if (!sona_model_counts_are_sound(rows + layout->pattern_n / sizeof(float),
                                         rows + layout->pattern_s / sizeof(float),
                                         layout->geometry.routes_max) ||
            !sona_model_counts_are_sound(bare, bare + 1, 1))
            return false;
    }
    return true;
}

static bool entry_is_sound(const struct sona_learner *l, const struct sona_learner_entry *entry)
{
    return (entry->route == SONA_LEARNER_NO_ROUTE ||
            entry->route < sona_learner_head(l)->n_routes) &&
           (entry->pattern == SONA_LEARNER_NO_ROUTE || entry->pattern < l->layout.patterns.count) &&
           (between((double)entry->quality, 0, 1) || between((double)entry->quality, -1, -1)) &&
           between((double)entry->weight, 0, 1) && between((double)entry->error, -4, 4) &&
           entry->type < SONA_MODEL_TYPES && entry->step <= sona_learner_step(l);
}

bool sona_learner_entries_are_sound(const struct sona_learner *l,
                                    const struct sona_learner_entry *entries, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!entry_is_sound(l, &entries[i]))
            return false;
    return true;
}

bool sona_learner_memory_is_sound(const struct sona_learner_route *routes, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++)
        if (!between((double)routes[k].bias_grad2, 0, (double)GRAD2) ||
            !are_between(routes[k].loss, SONA_LEARNER_PATH, 0, 1e6f) ||
            !between((double)routes[k].up, 0, 1e6) || !between((double)routes[k].down, 0, 1e6))
            return false;
    return true;
}

static bool replay_is_sound(const struct sona_learner *l)
{
    uint32_t capacity = l->replay_capacity, count = l->replay_count;

    return count <= capacity &&
           (count < capacity ? l->replay_next == count : l->replay_next < capacity) &&
           sona_learner_entries_are_sound(l, sona_learner_entries(l), count) &&
           sona_learner_rows_are_bounded(sona_learner_replay_x(l, 0), count, l->layout.dim_padded);
}

static bool stack_is_sound(const struct sona_learner_stack *stack)
{
    for (uint32_t i = 0; i < SONA_MODEL_STACK; i++) {
        for (uint32_t j = 0; j < SONA_MODEL_STACK; j++)
            if (!between(stack->precision[i][j], -1e9, 1e9))
                return false;
        if (!(stack->precision[i][i] > 0) || !between(stack->moment[i], -1e9, 1e9))
            return false;
    }
    return true;
}

/* Symmetric and positive definite but for rounding: with any other matrix the update of a code head
 * (heads.c) would grow without bound. */
static bool covariance_is_sound(const struct sona_model_layout *m, const float *p)
{
    double copy[(SONA_BASE_RANK_MAX + 1) * (SONA_BASE_RANK_MAX + 1)];
    double inverse[(SONA_BASE_RANK_MAX + 1) * (SONA_BASE_RANK_MAX + 1)];
    uint32_t n = m->code_dim;
    double largest = 0;

    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < n; j++) {
            double value = (double)p[(size_t)i * m->code_padded + j];

            if (value < (double)p[(size_t)j * m->code_padded + i])
                return false;
            copy[i * n + j] = value;
            largest = i == j && value > largest ? value : largest;
        }
    for (uint32_t i = 0; i < n; i++)
        copy[i * n + i] += 1e-3 * largest + 1e-6;
    return sona_learner_invert(copy, n, n, inverse);
}

/* What the model's validator does not ask of a row, for it only reads. */
static bool routes_are_sound(const struct sona_learner *l)
{
    for (uint32_t k = 0; k < sona_learner_head(l)->n_routes; k++)
        /* What it is divided by is never 0; a stored regime may be older than the route. */
        if ((sona_learner_row(l, k)->state != SONA_ROUTE_FREE &&
             !(sona_learner_row(l, k)->prior_n >= 0.99f * SONA_MODEL_WEIGHT_MIN)) ||
            !covariance_is_sound(&l->layout, sona_learner_part(l, k, l->layout.route_cov)))
            return false;
    return true;
}

/* What every regime has of its own. */
static bool own_is_sound(const struct sona_learner *l)
{
    const struct sona_model_layout *m = &l->layout;
    const struct sona_model_hot *hot = sona_learner_head(l);
    const struct sona_model_cold *cold = sona_learner_cold(l);
    size_t routes = m->geometry.routes_max, n = m->dim_padded;

    return sona_model_validate_regime(m, hot, cold) == SONA_OK && routes_are_sound(l) &&
           hot->n_patterns == cold->n_patterns && stack_is_sound(&l->stack) &&
           between((double)l->bare_n, 0, 1e3) &&
           between((double)l->bare_s, 0, (double)l->bare_n * 1.001 + 1e-3) &&
           are_between(sona_learner_floats(l, l->grad2), routes * n, 0, GRAD2) &&
           are_between(sona_learner_floats(l, l->path), routes * (SONA_LEARNER_PATH - 1) * n, -WIDE,
                       WIDE) &&
           are_between(sona_learner_floats(l, l->common), n, -WIDE, WIDE) &&
           sona_learner_memory_is_sound(sona_learner_routes(l), (uint32_t)routes) &&
           sona_learner_tallies_are_sound(m, sona_learner_archive(l, 0), l->archive_rows) &&
           sona_learner_rows_are_bounded(sona_learner_floats(l, l->means), l->archive_rows,
                                         m->dim_padded) &&
           replay_is_sound(l) && sona_learner_ewc_is_sound(l);
}

static bool members_are_sound(const struct sona_learner *l)
{
    return between(l->quality_sum, -1e18, 1e18) && between(l->quality_count, -1e18, 1e18) &&
           between(l->recent_quality, -1e-6, 1 + 1e-6) && between(l->fold_discarded, 0, 1e18) &&
           between(l->spread_n, 0, 1e6) && between(l->spread_s, -1e6, 1e6) &&
           l->cycle_running <= 1 && l->clock_started <= 1 && l->layer0 <= 1 && l->explored <= 1 &&
           l->cycle_start <= sona_learner_step(l) && sona_learner_step(l) < MANY &&
           sona_learner_observed(l) < MANY && l->pattern_id < MANY && l->bank_id < MANY;
}

static bool layers_are_sound(const struct sona_learner *l)
{
    const struct sona_model_layout *m = &l->layout;
    uint32_t layers = m->geometry.layers, rows = 2 * m->geometry.base_rank;
    size_t baselines = (size_t)layers * (m->geometry.routes_max + 1);
    const float *baseline = sona_learner_floats(l, l->baselines);

    for (uint32_t layer = layers; layer < SONA_LAYERS_MAX; layer++)
        if (sona_learner_layer_trained(l, layer))
            return false;
    for (size_t i = 0; i < baselines; i++)
        if (!are_between(baseline + 2 * i, 1, 0, 1e3f) ||
            !are_between(baseline + 2 * i + 1, 1, -1e6f, 1e6f))
            return false;
    return sona_learner_rows_are_bounded(sona_learner_floats(l, l->layers), (size_t)layers * rows,
                                         m->dim_padded);
}

const char *sona_learner_fault(struct sona_learner *l)
{
    const struct sona_model_layout *m = &l->layout;

    if (sona_model_validate_hot(m, sona_learner_hot(l)) != SONA_OK)
        return "hot.head";
    if (sona_model_validate_cold(m, sona_learner_cold(l)) != SONA_OK)
        return "cold.head";
    if (!members_are_sound(l))
        return "learner.counter";
    if (!own_is_sound(l))
        return "learner.routes";
    if (!layers_are_sound(l))
        return "layers.baselines";
    if (!sona_learner_gate_is_sound(l))
        return "learner.gate";
    for (uint32_t r = 0; l->config.gate && r < l->config.regimes_max; r++)
        if (r != l->gate.active && sona_learner_regimes(l)[r].id != 0 &&
            !sona_learner_regime_is_sound(l, r, own_is_sound))
            return "gate.regimes";
    return NULL;
}
