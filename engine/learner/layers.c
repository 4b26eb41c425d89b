/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * BaseLoRA layers trained by the activations of trajectory steps: REINFORCE (Williams 1992) with a
 * running baseline.
 *
 * For the steps t of one layer in one trajectory, h_t the unit activations, a_t their credit, r_t
 * their reward (the trajectory's quality where none is known), b the baseline before them:
 *
 *     g = sum a_t (r_t - b) h_t / sum a_t      towards what did better than usual, away from worse
 *     m = sum a_t h_t / sum a_t                what the layer's input looked like
 *
 * and one step up g.(B A m), the adapter's output at m along g:
 *
 *     b_r += rate (a_r.m) g,   a_r += rate (b_r.g) m       both from the values before either
 *
 * b is not the trajectory's own mean: it runs over the trajectories of the layer, and of the route
 * where that is known, so that a lone step teaches, and equal rewards do. It starts at 1/2 with the
 * weight of one trajectory, and a route's at its layer's.
 *
 * The learner trains a copy; a background cycle's install takes it over whole. Layer 0 is the sum
 * of the folds: what its steps teach is an adapter of its own that is folded in like MicroLoRA and
 * then starts anew. Bound: |B A| <= 1 (Frobenius), by rows.
 */
#include <math.h>
#include <string.h>

#include "engine/learner/state.h"

#define BASE_MAX   1.0f   /* Frobenius norm of B_l A_l */
#define A_MAX      4.0f   /* norm of a row of A, in multiples of that of a fresh one */
#define G_MAX      2.0f   /* length of g: no single trajectory pulls harder */
#define KEEP       0.995f /* the baselines look back over about 200 trajectories */
#define REWARD_MAX 1e3f

struct sona_learner_baseline {
    float n, s;
};

static struct sona_learner_baseline *baseline(struct sona_learner *l, uint32_t layer, uint32_t k)
{
    struct sona_learner_baseline *table = (void *)((unsigned char *)l + l->baselines);

    return &table[(size_t)layer * (l->layout.geometry.routes_max + 1) + k];
}

size_t sona_learner_baselines_bytes(const sona_geometry *geometry)
{
    return (size_t)geometry->layers * (geometry->routes_max + 1) *
           sizeof(struct sona_learner_baseline);
}

static float *rows(const struct sona_learner *l, uint32_t layer)
{
    return sona_learner_floats(l, l->layers + layer * l->layout.layer_stride);
}

bool sona_learner_layer_trained(const struct sona_learner *l, uint32_t layer)
{
    return l->trained[layer / 64] >> layer % 64 & 1;
}

static void mark(struct sona_learner *l, uint32_t layer, bool trained)
{
    uint64_t bit = 1ull << layer % 64;

    l->trained[layer / 64] = trained ? l->trained[layer / 64] | bit : l->trained[layer / 64] & ~bit;
}

/* A random, B zero: the first step moves B alone, along g. */
static void begin(struct sona_learner *l, uint32_t layer)
{
    const struct sona_model_layout *layout = &l->layout;
    float *a = rows(l, layer);

    memset(a, 0, layout->layer_stride);
    l->layer_starts++;
    for (uint32_t r = 0; r < layout->geometry.base_rank; r++)
        for (uint32_t i = 0; i < layout->geometry.dim; i++)
            a[(size_t)r * layout->dim_padded + i] =
                sona_learner_normal(l->config.seed, SONA_LEARNER_STREAM_LAYER + l->layer_starts,
                                    (uint64_t)r * layout->dim_padded + i);
    mark(l, layer, true);
    if (layer == 0)
        l->layer0 = 1;
}

static void shorten(float *row, uint32_t n, float limit)
{
    float norm = sqrtf(sona_kernels_active()->dot(row, row, n));

    for (uint32_t i = 0; i < n && norm > limit; i++)
        row[i] *= limit / norm;
}

static void keep_bounds(const struct sona_model_layout *layout, float *a, float *b)
{
    uint32_t n = layout->dim_padded, rank = layout->geometry.base_rank;
    float fresh = sqrtf((float)layout->geometry.dim);

    for (uint32_t r = 0; r < rank; r++) {
        float *row = a + (size_t)r * n, norm;

        shorten(row, n, A_MAX * fresh);
        norm = sqrtf(sona_kernels_active()->dot(row, row, n));
        shorten(b + (size_t)r * n, n, BASE_MAX / ((float)rank * (norm + 1e-6f)));
    }
}

/* The baseline for layer and route before this trajectory; then it has seen it. */
static float take_baseline(struct sona_learner *l, uint32_t layer, uint32_t k, float reward)
{
    struct sona_learner_baseline *all = baseline(l, layer, l->layout.geometry.routes_max);
    struct sona_learner_baseline *own = k != SONA_LEARNER_NO_ROUTE ? baseline(l, layer, k) : NULL;
    float b = (all->s + 0.5f) / (all->n + 1);

    if (own) {
        b = (own->s + b) / (own->n + 1);
        own->n = KEEP * own->n + 1;
        own->s = KEEP * own->s + reward;
    }
    all->n = KEEP * all->n + 1;
    all->s = KEEP * all->s + reward;
    return b;
}

/* ret = (x + factor y) / weight */
static void combine(const float *x, const float *y, float factor, float weight, uint32_t n,
                    float *ret)
{
    for (uint32_t i = 0; i < n; i++)
        ret[i] = (x[i] + factor * y[i]) / weight;
}

static void step(struct sona_learner *l, uint32_t layer, const float *g, const float *m)
{
    const struct sona_model_layout *layout = &l->layout;
    const struct sona_kernels *kernels = sona_kernels_active();
    uint32_t n = layout->dim_padded, rank = layout->geometry.base_rank;
    float *a = rows(l, layer), *b = a + (size_t)rank * n;
    float am[SONA_BASE_RANK_MAX], bg[SONA_BASE_RANK_MAX];

    kernels->dot_rows(a, n, rank, m, n, am);
    kernels->dot_rows(b, n, rank, g, n, bg);
    for (uint32_t r = 0; r < rank; r++) {
        kernels->axpy(l->config.base_lora_lr * am[r], g, b + (size_t)r * n, n);
        kernels->axpy(l->config.base_lora_lr * bg[r], m, a + (size_t)r * n, n);
    }
    keep_bounds(layout, a, b);
}

sona_err sona_learner_layers_learn(struct sona_learner *l, const struct sona_learner_event *event)
{
    const struct sona_model_layout *layout = &l->layout;
    struct sona_model_view view = sona_learner_view(l);
    uint32_t n = layout->dim_padded, k = SONA_LEARNER_NO_ROUTE;
    float *g = sona_learner_floats(l, l->scratch), *m = g + n, b;

    if (event->layer >= layout->geometry.layers || !(event->credit >= 0))
        return SONA_E_RANGE;
    if (!sona_model_all_finite(event->x, n) || !sona_model_all_finite(event->base, n) ||
        !isfinite(event->quality) || !isfinite(event->credit))
        return SONA_E_NOT_FINITE;
    if (!sona_learner_enabled(l) || !(event->credit > 0) || !(l->config.base_lora_lr > 0))
        return SONA_OK;
    if (sona_model_route_check(&view, event->route) == SONA_OK)
        k = SONA_ROUTE_INDEX(event->route);
    b = take_baseline(l, event->layer, k,
                      sona_model_clamp(event->quality, -REWARD_MAX, REWARD_MAX));
    combine(event->x, event->base, -b, event->credit, n, g);
    combine(event->base, event->base, 0, event->credit, n, m);
    shorten(g, n, G_MAX);
    shorten(m, n, 1);
    if (!sona_learner_layer_trained(l, event->layer))
        begin(l, event->layer);
    step(l, event->layer, g, m);
    l->counter[SONA_COUNTER_layer_updates]++;
    return SONA_OK;
}

void sona_learner_layers_install(struct sona_learner *l)
{
    const struct sona_model_layout *layout = &l->layout;
    struct sona_model_cold *cold = sona_learner_cold(l);

    for (uint32_t layer = 1; layer < layout->geometry.layers; layer++) {
        if (!sona_learner_layer_trained(l, layer))
            continue;
        memcpy(sona_model_floats_of(cold, layout->base_a + layer * layout->layer_stride),
               rows(l, layer), layout->layer_stride);
        if (layer < 32)
            cold->has_base |= 1u << layer;
    }
}

void sona_learner_layer_take(struct sona_learner *l, uint32_t layer, const float *from)
{
    const struct sona_model_layout *layout = &l->layout;
    const float *b = from + (size_t)layout->geometry.base_rank * layout->dim_padded;
    bool used = false;

    for (size_t i = 0; i < (size_t)layout->geometry.base_rank * layout->dim_padded; i++)
        used |= b[i] != 0;
    memcpy(rows(l, layer), from, layout->layer_stride);
    mark(l, layer, used); /* else its next trajectory begins it */
}

void sona_learner_layers_folded(struct sona_learner *l)
{
    mark(l, 0, false);
}

void sona_learner_layers_forget(struct sona_learner *l, uint32_t k)
{
    for (uint32_t layer = 0; layer < l->layout.geometry.layers; layer++)
        *baseline(l, layer, k) = (struct sona_learner_baseline){0};
}

const float *sona_learner_layer_rows(const struct sona_learner *l, uint32_t layer)
{
    return rows(l, layer);
}

uint32_t sona_learner_layers_trained(const struct sona_learner *l)
{
    uint32_t count = l->layer0; /* its own adapter comes and goes with the folds */

    for (uint32_t layer = 1; layer < l->layout.geometry.layers; layer++)
        count += sona_learner_layer_trained(l, layer);
    return count;
}
