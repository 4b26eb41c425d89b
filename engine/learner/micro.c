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
/* Steps that B' w_k may be updated by, instead of being made anew. */
#define REFRESH 64u

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

/* Scale the row back when it is longer than `limit`; `norm` is its norm, then and afterwards.
 * Returns the factor. */
static float scale_row(float *row, uint32_t n, float limit, float *norm)
{
    float factor;

    if (!(*norm > limit))
        return 1;
    factor = limit / *norm;
    for (uint32_t i = 0; i < n; i++)
        row[i] *= factor;
    *norm = sqrtf(sona_kernels_active()->dot(row, row, n));
    return factor;
}

/* w_k . v of every route. */
static void on_heads(const struct sona_learner *l, const float *v, float *ret)
{
    const struct sona_model_layout *layout = &l->layout;

    sona_kernels_active()->dot_rows(
        sona_model_floats(sona_learner_hot(l),
                          sona_model_at(&layout->routes, 0, layout->route_head)),
        sona_model_stride(&layout->routes), sona_learner_head(l)->n_routes, v, layout->dim_padded,
        ret);
}

void sona_learner_micro_heads(struct sona_learner *l)
{
    const struct sona_model_layout *layout = &l->layout;
    float *h = sona_model_floats_of(sona_learner_hot(l), layout->micro_heads);
    const float *b = sona_model_floats(sona_learner_hot(l), layout->micro_b);
    float product[SONA_ROUTES_MAX];

    for (uint32_t r = 0; r < layout->geometry.micro_rank; r++) {
        on_heads(l, b + (size_t)r * layout->dim_padded, product);
        for (uint32_t k = 0; k < sona_learner_head(l)->n_routes; k++)
            h[(size_t)k * SONA_MICRO_RANK_MAX + r] = sona_learner_head(l)->micro_scale * product[k];
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

/* A step of both matrices, and what it did to B: every row became keep (b_r + by w). */
struct step {
    float by[SONA_MICRO_RANK_MAX], keep[SONA_MICRO_RANK_MAX];
    float bw[SONA_MICRO_RANK_MAX]; /* b_r . w before */
};

/* `ax`: A x. */
static void step(struct sona_learner *l, const float *w, const float *x, float *ax, float target,
                 struct step *ret)
{
    const struct sona_model_layout *layout = &l->layout;
    const struct sona_kernels *kernels = sona_kernels_active();
    float *a = sona_model_floats_of(sona_learner_hot(l), layout->micro_a);
    float *b = sona_model_floats_of(sona_learner_hot(l), layout->micro_b);
    float scale = sona_learner_head(l)->micro_scale, rate = l->config.micro_lora_lr;
    uint32_t n = layout->dim_padded, rank = layout->geometry.micro_rank;
    float fresh = sqrtf((float)layout->geometry.dim),
          share = MICRO_MAX / ((float)rank * (scale + 1e-6f));
    float *bw = ret->bw, e = target;

    kernels->dot_rows(b, n, rank, w, n, bw);
    for (uint32_t r = 0; r < rank; r++)
        if (bw[r] == 0)
            turn_towards(a + (size_t)r * n, b + (size_t)r * n, x, n, &ax[r]);
    for (uint32_t r = 0; r < rank; r++)
        e -= scale * bw[r] * ax[r];
    e = sona_model_clamp(e, -2, 2);
    /* sona_learner_micro_gradient() in place; both steps from the values before either. */
    for (uint32_t r = 0; r < rank; r++) {
        float norm_a, norm_b;

        ret->by[r] = rate * e * scale * sona_model_clamp(ax[r], -1e3f, 1e3f);
        norm_b = sqrtf(kernels->axpy_square(ret->by[r], w, b + (size_t)r * n, n));
        norm_a = sqrtf(kernels->axpy_square(rate * e * scale * sona_model_clamp(bw[r], -1e3f, 1e3f),
                                            x, a + (size_t)r * n, n));
        scale_row(a + (size_t)r * n, n, A_MAX * fresh, &norm_a);
        ret->keep[r] = scale_row(b + (size_t)r * n, n, share / (norm_a + 1e-6f), &norm_b);
    }
}

/* What a step of B does to the heads: s w_k.(keep (b + by w)) = keep (h_k + s by w_k.w), one sweep
 * over the heads whatever the rank. Rounding adds up; it is swept out every REFRESH steps. */
static void follow(struct sona_learner *l, const float *w, const struct step *step)
{
    float *h = sona_model_floats_of(sona_learner_hot(l), l->layout.micro_heads);
    float scale = sona_learner_head(l)->micro_scale, product[SONA_ROUTES_MAX];
    uint32_t n_routes = sona_learner_head(l)->n_routes;

    if (l->counter[SONA_COUNTER_micro_updates] % REFRESH == 0) {
        sona_learner_micro_heads(l);
        return;
    }
    on_heads(l, w, product);
    for (uint32_t k = 0; k < n_routes; k++)
        for (uint32_t r = 0; r < l->layout.geometry.micro_rank; r++) {
            float *at = &h[(size_t)k * SONA_MICRO_RANK_MAX + r];

            *at = step->keep[r] * (*at + scale * step->by[r] * product[k]);
        }
}

static void multiply(const struct sona_learner *l, const float *x, float *ret)
{
    sona_kernels_active()->dot_rows(sona_model_floats(sona_learner_hot(l), l->layout.micro_a),
                                    l->layout.dim_padded, l->layout.geometry.micro_rank, x,
                                    l->layout.dim_padded, ret);
}

void sona_learner_micro_learn(struct sona_learner *l, uint32_t k, const float *x, const float *seen,
                              float target)
{
    const float *w = sona_learner_part(l, k, l->layout.route_head);
    float *h = sona_model_floats_of(sona_learner_hot(l), l->layout.micro_heads);
    const float *dropped = drop(l, x);
    float ax[SONA_MICRO_RANK_MAX] = {seen[0], seen[1]};
    struct step made;

    if (dropped != x)
        multiply(l, dropped, ax);
    step(l, w, dropped, ax, target, &made);
    /* This head has just learned: what B made of it is of the head before. */
    for (uint32_t r = 0; r < l->layout.geometry.micro_rank; r++)
        h[(size_t)k * SONA_MICRO_RANK_MAX + r] = sona_learner_head(l)->micro_scale * made.bw[r];
    l->counter[SONA_COUNTER_micro_updates]++;
    follow(l, w, &made);
}

void sona_learner_micro_step(struct sona_learner *l, const float *w, const float *x, float target)
{
    float ax[SONA_MICRO_RANK_MAX];
    struct step made;

    x = drop(l, x);
    multiply(l, x, ax);
    step(l, w, x, ax, target, &made);
    l->counter[SONA_COUNTER_micro_updates]++;
    follow(l, w, &made);
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
