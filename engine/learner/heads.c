/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What one outcome does to the route that served it: its mean, its AdaGrad head, the code part of
 * its refit head, and the running comparison of the heads on the ridge path.
 */
#include <math.h>
#include <string.h>

#include "engine/learner/state.h"

#define CODE_RIDGE 16.0f /* prior precision of a code head, in outcomes; 1 for its bias */
#define LOSS_MAX   20.0f
#define ERROR_MAX  4.0f /* qualities lie in 0..1: a larger error says that the head exploded */

void sona_learner_heads_prior(const struct sona_model_layout *layout, float *cov)
{
    uint32_t n = layout->code_dim;

    memset(cov, 0, (size_t)n * layout->code_padded * sizeof *cov);
    for (uint32_t i = 0; i < n; i++)
        cov[(size_t)i * layout->code_padded + i] = i + 1 < n ? 1 / CODE_RIDGE : 1;
}

void sona_learner_heads_init(struct sona_learner *l, uint32_t k)
{
    memset(sona_learner_part(l, k, l->layout.route_head), 0,
           l->layout.routes.stride - l->layout.route_head);
    sona_learner_heads_prior(&l->layout, sona_learner_part(l, k, l->layout.route_cov));
    memset(sona_learner_floats(l, l->grad2) + (size_t)k * l->layout.dim_padded, 0,
           l->layout.dim_padded * sizeof(float));
    memset(sona_learner_floats(l, l->path) +
               (size_t)k * (SONA_LEARNER_PATH - 1) * l->layout.dim_padded,
           0, (SONA_LEARNER_PATH - 1) * l->layout.dim_padded * sizeof(float));
    memset(&sona_learner_routes(l)[k], 0, sizeof sona_learner_routes(l)[k]);
    sona_learner_ewc_forget(l, k);
}

void sona_learner_heads_count(struct sona_learner *l, uint32_t k, float quality)
{
    struct sona_model_route *row = sona_learner_row(l, k);

    /* At 2^24 a float no longer counts by ones; the mean goes on as a moving one. */
    if (row->n >= 8e6f) {
        row->s *= 0.5f;
        row->n *= 0.5f;
    }
    row->n += 1;
    row->s += quality;
    row->mean = (row->s + row->prior_s) / (row->n + row->prior_n);
}

static void bound_known(float *w, size_t n, float norm2)
{
    if (norm2 > SONA_MODEL_NORM_MAX * SONA_MODEL_NORM_MAX) {
        float scale = SONA_MODEL_NORM_MAX / sqrtf(norm2);

        for (size_t i = 0; i < n; i++)
            w[i] *= scale;
    }
}

void sona_learner_heads_bound(float *w, size_t n)
{
    bound_known(w, n, sona_kernels_active()->dot(w, w, n));
}

static float clamp_error(float e)
{
    return sona_model_clamp(e, -ERROR_MAX, ERROR_MAX);
}

float sona_learner_heads_adagrad(struct sona_learner *l, uint32_t k, const float *x, float quality)
{
    const float *w = sona_learner_part(l, k, l->layout.route_head);

    return sona_learner_heads_adagrad_known(
        l, k, x, sona_kernels_active()->dot(w, x, l->layout.dim_padded), quality);
}

float sona_learner_heads_adagrad_known(struct sona_learner *l, uint32_t k, const float *x,
                                       float product, float quality)
{
    const struct sona_kernels *kernels = sona_kernels_active();
    struct sona_model_route *row = sona_learner_row(l, k);
    struct sona_learner_route *memory = &sona_learner_routes(l)[k];
    float *w = sona_learner_part(l, k, l->layout.route_head);
    float *grad2 = sona_learner_floats(l, l->grad2) + (size_t)k * l->layout.dim_padded;
    uint32_t n = l->layout.dim_padded;
    float e = clamp_error(quality - product - row->bias);
    float norm2 = kernels->adagrad(e, SONA_LEARNER_RATE, SONA_LEARNER_EPSILON, x, grad2, w, n);

    memory->bias_grad2 += e * e;
    row->bias += SONA_LEARNER_RATE * e / sqrtf(memory->bias_grad2 + SONA_LEARNER_EPSILON);
    bound_known(w, n, norm2);
    return e;
}

void sona_learner_heads_uncount(struct sona_learner *l, uint32_t k, float quality, float weight)
{
    struct sona_model_route *row = sona_learner_row(l, k);

    row->n = sona_model_clamp(row->n - weight, 0, 1e7f);
    row->s = sona_model_clamp(row->s - weight * quality, 0, row->n);
    row->mean = (row->s + row->prior_s) / (row->n + row->prior_n);
}

/* One coordinate. The accumulator as it is now gives the size of the step: exactly the one taken
 * when nothing came in between, else a smaller one, since later steps have seen its effect. After a
 * drift the accumulator is `weight` of what it was, and so is its share in it. */
static void unstep(float g, float weight, float *grad2, float *w)
{
    *w -= SONA_LEARNER_RATE * g * sqrtf(weight / (*grad2 + SONA_LEARNER_EPSILON));
    *grad2 = sona_model_clamp(*grad2 - weight * g * g, 0, INFINITY);
}

void sona_learner_heads_step_back(struct sona_learner *l, uint32_t k, const float *x, float error,
                                  float weight)
{
    float *w = sona_learner_part(l, k, l->layout.route_head);
    float *grad2 = sona_learner_floats(l, l->grad2) + (size_t)k * l->layout.dim_padded;

    for (uint32_t i = 0; i < l->layout.dim_padded; i++)
        unstep(error * x[i], weight, &grad2[i], &w[i]);
    unstep(error, weight, &sona_learner_routes(l)[k].bias_grad2, &sona_learner_row(l, k)->bias);
    sona_learner_heads_bound(w, l->layout.dim_padded);
}

void sona_learner_heads_path(struct sona_learner *l, uint32_t k, const float *x, float quality)
{
    const struct sona_kernels *kernels = sona_kernels_active();
    struct sona_learner_route *memory = &sona_learner_routes(l)[k];
    const float *common = sona_learner_floats(l, l->common);
    const float *path = sona_learner_floats(l, l->path) +
                        (size_t)k * (SONA_LEARNER_PATH - 1) * l->layout.dim_padded;
    uint32_t n = l->layout.dim_padded;
    float head[SONA_LEARNER_PATH - 1], least = INFINITY;
    float base = sona_learner_row(l, k)->mean + kernels->dot(common, x, n);

    kernels->dot_rows(path, n, SONA_LEARNER_PATH - 1, x, n, head);
    for (uint32_t i = 0; i < SONA_LEARNER_PATH; i++) {
        float e = clamp_error(quality - base - (i + 1 < SONA_LEARNER_PATH ? head[i] : 0));

        memory->loss[i] += e * e;
        least = memory->loss[i] < least ? memory->loss[i] : least;
    }
    /* Only differences count. The bound is far beyond what tells heads apart, and lets the ranking
     * turn again when the route changes. */
    for (uint32_t i = 0; i < SONA_LEARNER_PATH; i++)
        memory->loss[i] = sona_model_clamp(memory->loss[i] - least, 0, LOSS_MAX);
}

static const float nothing[SONA_BASE_RANK_MAX + 1 + 15];

void sona_learner_heads_code(struct sona_learner *l, uint32_t k, const float *x, const float *code,
                             float quality)
{
    const float *refit =
        sona_model_floats(sona_learner_cold(l), sona_model_at(&l->layout.refit, k, 0));

    sona_learner_heads_code_known(
        l, k, x, code, sona_kernels_active()->dot(refit, x, l->layout.dim_padded), quality);
}

void sona_learner_heads_code_known(struct sona_learner *l, uint32_t k, const float *x,
                                   const float *code, float product, float quality)
{
    const struct sona_model_layout *layout = &l->layout;
    const struct sona_kernels *kernels = sona_kernels_active();
    float *g = sona_learner_part(l, k, layout->route_code);
    float *p = sona_learner_part(l, k, layout->route_cov);
    float pz[SONA_BASE_RANK_MAX + 1 + 15];
    float e = clamp_error(quality - kernels->dot(g, code, layout->code_padded) - product);
    float pull = sona_learner_pull(layout, x), variance, gain, half;

    kernels->expand(nothing, p, layout->code_padded, code, layout->code_dim, pz,
                    layout->code_padded);
    variance = pull * kernels->dot(pz, code, layout->code_padded);
    if (!(variance >= 0)) { /* rounding ate the covariance: begin again from the prior */
        sona_learner_heads_prior(layout, p);
        return;
    }
    gain = pull / (1 + variance);
    half = sqrtf(gain);
    for (uint32_t i = 0; i < layout->code_padded; i++) {
        g[i] += gain * e * pz[i];
        pz[i] *= half;
    }
    for (uint32_t i = 0; i < layout->code_dim; i++) {
        float *row = p + (size_t)i * layout->code_padded;

        /* Two factors in either order have the same product: P stays symmetric to the last bit. */
        for (uint32_t j = 0; j < layout->code_padded; j++)
            row[j] -= pz[i] * pz[j];
        /* What a million outcomes leave is still a variance. */
        if (row[i] < 1e-7f)
            row[i] = 1e-7f;
    }
    sona_learner_heads_bound(g, layout->code_dim);
}
