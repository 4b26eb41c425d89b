/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * MicroLoRA: one step per outcome down the gradient of e^2 / 2, e = target - w.(s B A x). B is zero
 * after a reset, A random: the first outcome moves B alone, along w and with the sign of its error.
 * Rows of A that hardly see that outcome's query are turned towards it first, so that it is felt.
 *
 * Bound: the adapter s B A is no longer than MICRO_MAX (Frobenius norm), so that y stays within a
 * few lengths of x.
 */
#include <math.h>
#include <string.h>

#include "engine/learner/linalg.h"
#include "engine/learner/state.h"

#define MICRO_MAX 1.0f
#define A_MAX     4.0f /* norm of a row of A, in multiples of that of a fresh one */
/* What a fresh row of A makes of the query of its first outcome, at least, in lengths of the query.
 * A random row makes about 1 of it, but of one in a few thousand so little that y would stay x. */
#define A_SEES 0.25f

/* Roughly normal, variance 1: the sum of four uniforms. No call to libm: the same everywhere. */
float sona_learner_normal(uint64_t seed, uint64_t stream, uint64_t n)
{
    uint64_t bits = sona_model_random(seed, stream, n);
    float sum = 0;

    for (int i = 0; i < 4; i++, bits >>= 16)
        sum += (float)(bits & 0xffff) / 65536.0f - 0.5f;
    return sum * 1.7320508f;
}

void sona_learner_micro_reset(struct sona_learner *l)
{
    const struct sona_model_layout *layout = &l->layout;
    float *a = sona_model_floats_of(sona_learner_hot(l), layout->micro_a);
    size_t bytes = layout->geometry.micro_rank * layout->dim_padded * sizeof(float);

    memset(a, 0, bytes);
    memset(sona_model_floats_of(sona_learner_hot(l), layout->micro_b), 0, bytes);
    memset(sona_model_floats_of(sona_learner_hot(l), layout->micro_heads), 0,
           layout->geometry.routes_max * SONA_MICRO_RANK_MAX * sizeof(float));
    l->resets++;
    for (uint32_t r = 0; r < layout->geometry.micro_rank; r++)
        for (uint32_t i = 0; i < layout->geometry.dim; i++)
            a[(size_t)r * layout->dim_padded + i] =
                sona_learner_normal(l->config.seed, SONA_LEARNER_STREAM_MICRO + l->resets,
                                    (uint64_t)r * layout->dim_padded + i);
}

float sona_learner_micro_gradient(const struct sona_model_layout *layout, const float *a,
                                  const float *b, float scale, const float *w, const float *x,
                                  float target, float *ret_a, float *ret_b)
{
    const struct sona_kernels *kernels = sona_kernels_active();
    uint32_t n = layout->dim_padded, rank = layout->geometry.micro_rank;
    float ax[SONA_MICRO_RANK_MAX], bw[SONA_MICRO_RANK_MAX];
    float e = target;

    kernels->dot_rows(a, n, rank, x, n, ax);
    kernels->dot_rows(b, n, rank, w, n, bw);
    for (uint32_t r = 0; r < rank; r++)
        e -= scale * bw[r] * ax[r];
    for (uint32_t r = 0; r < rank; r++)
        for (uint32_t i = 0; i < n; i++) {
            ret_a[(size_t)r * n + i] = -e * scale * bw[r] * x[i];
            ret_b[(size_t)r * n + i] = -e * scale * ax[r] * w[i];
        }
    return e;
}

/* Scale the row back when it is longer than `limit`; its norm afterwards. */
static float scale_row(float *row, uint32_t n, float limit)
{
    const struct sona_kernels *kernels = sona_kernels_active();
    float norm = sqrtf(kernels->dot(row, row, n));

    if (!(norm > limit))
        return norm;
    for (uint32_t i = 0; i < n; i++)
        row[i] *= limit / norm;
    return sqrtf(kernels->dot(row, row, n));
}

static void keep_bounds(struct sona_learner *l, float *a, float *b)
{
    uint32_t n = l->layout.dim_padded, rank = l->layout.geometry.micro_rank;
    float fresh = sqrtf((float)l->layout.geometry.dim);
    float share = MICRO_MAX / ((float)rank * (sona_learner_head(l)->micro_scale + 1e-6f));

    for (uint32_t r = 0; r < rank; r++) {
        float norm = scale_row(a + (size_t)r * n, n, A_MAX * fresh);

        scale_row(b + (size_t)r * n, n, share / (norm + 1e-6f));
    }
}

void sona_learner_micro_heads(struct sona_learner *l)
{
    const struct sona_model_layout *layout = &l->layout;
    float *h = sona_model_floats_of(sona_learner_hot(l), layout->micro_heads);
    const float *b = sona_model_floats(sona_learner_hot(l), layout->micro_b);
    uint32_t n_routes = sona_learner_head(l)->n_routes, rank = layout->geometry.micro_rank;

    /* Head by head: B stays near while the heads stream past it once. */
    for (uint32_t k = 0; k < n_routes; k++) {
        float *row = h + (size_t)k * SONA_MICRO_RANK_MAX;

        sona_kernels_active()->dot_rows(b, layout->dim_padded, rank,
                                        sona_learner_part(l, k, layout->route_head),
                                        layout->dim_padded, row);
        for (uint32_t r = 0; r < rank; r++)
            row[r] *= sona_learner_head(l)->micro_scale;
    }
}

/* Dropout (Srivastava et al. 2014), inverted: x without a random share of its entries, the others
 * larger by as much, so that the expected step is that of x. The mask follows from seed and step.
 * x itself at 0. */
static const float *drop(struct sona_learner *l, const float *x)
{
    float *ret = sona_learner_floats(l, l->scratch);
    uint64_t first = sona_learner_head(l)->step * (l->layout.dim_padded / 4), bits = 0;
    float keep = 1 - l->config.lora_dropout;
    uint64_t limit = (uint64_t)(keep * 65536.0f);

    if (!(l->config.lora_dropout > 0))
        return x;
    for (uint32_t i = 0; i < l->layout.dim_padded; i++, bits >>= 16) {
        if (i % 4 == 0)
            bits = sona_model_random(l->config.seed, SONA_LEARNER_STREAM_DROPOUT, first + i / 4);
        ret[i] = (bits & 0xffff) < limit ? x[i] / keep : 0;
    }
    return ret;
}

/* While a row of B is zero, its row of A may be any: y does not hang on it. */
static void turn_towards(float *a, const float *b, const float *x, uint32_t n, float *ax)
{
    const struct sona_kernels *kernels = sona_kernels_active();
    float norm2 = kernels->dot(x, x, n), least = A_SEES * sqrtf(norm2);

    if (!(fabsf(*ax) < least) || kernels->dot(b, b, n) > 0)
        return;
    kernels->axpy((copysignf(least, *ax) - *ax) / norm2, x, a, n);
    *ax = copysignf(least, *ax);
}

void sona_learner_micro_step(struct sona_learner *l, const float *w, const float *x, float target)
{
    const struct sona_model_layout *layout = &l->layout;
    const struct sona_kernels *kernels = sona_kernels_active();
    float *a = sona_model_floats_of(sona_learner_hot(l), layout->micro_a);
    float *b = sona_model_floats_of(sona_learner_hot(l), layout->micro_b);
    float scale = sona_learner_head(l)->micro_scale, rate = l->config.micro_lora_lr;
    float ax[SONA_MICRO_RANK_MAX], bw[SONA_MICRO_RANK_MAX], e = target;
    uint32_t n = layout->dim_padded, rank = layout->geometry.micro_rank;

    x = drop(l, x);
    kernels->dot_rows(a, n, rank, x, n, ax);
    kernels->dot_rows(b, n, rank, w, n, bw);
    for (uint32_t r = 0; r < rank; r++)
        if (bw[r] == 0)
            turn_towards(a + (size_t)r * n, b + (size_t)r * n, x, n, &ax[r]);
    for (uint32_t r = 0; r < rank; r++)
        e -= scale * bw[r] * ax[r];
    e = sona_model_clamp(e, -2, 2);
    /* sona_learner_micro_gradient() in place; both steps from the values before either. */
    for (uint32_t r = 0; r < rank; r++) {
        kernels->axpy(rate * e * scale * sona_model_clamp(ax[r], -1e3f, 1e3f), w, b + (size_t)r * n,
                      n);
        kernels->axpy(rate * e * scale * sona_model_clamp(bw[r], -1e3f, 1e3f), x, a + (size_t)r * n,
                      n);
    }
    keep_bounds(l, a, b);
    sona_learner_micro_heads(l);
    l->counter[SONA_COUNTER_micro_updates]++;
}

double sona_learner_product(const float *b, const float *a, const float *c, const float *d,
                            uint32_t rows, uint32_t n)
{
    const struct sona_kernels *kernels = sona_kernels_active();
    double sum = 0;

    for (uint32_t i = 0; i < rows; i++)
        for (uint32_t j = 0; j < rows; j++)
            sum += (double)kernels->dot(b + (size_t)i * n, c + (size_t)j * n, n) *
                   (double)kernels->dot(a + (size_t)i * n, d + (size_t)j * n, n);
    return sum;
}

static double product_norm(const float *b, const float *a, uint32_t rows, uint32_t n)
{
    double square = sona_learner_product(b, a, b, a, rows, n);

    return square > 0 ? sqrt(square) : 0;
}

double sona_learner_micro_norm(const struct sona_learner *l)
{
    return (double)sona_learner_head(l)->micro_scale *
           product_norm(sona_model_floats(sona_learner_hot(l), l->layout.micro_b),
                        sona_model_floats(sona_learner_hot(l), l->layout.micro_a),
                        l->layout.geometry.micro_rank, l->layout.dim_padded);
}

double sona_learner_base_norm(const struct sona_learner *l)
{
    return product_norm(sona_model_floats(sona_learner_cold(l), l->layout.base_b),
                        sona_model_floats(sona_learner_cold(l), l->layout.base_a),
                        l->layout.geometry.base_rank, l->layout.dim_padded);
}
