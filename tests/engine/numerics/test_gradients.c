/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Every step down a gradient, over random shapes and ranks, against central differences in double
 * of the loss as it is written down. */
#include "tests/engine/learner_fixture.h"

#define SHAPE_MAX 80u

/* A learner of a random shape, with two routes. */
static struct sona_learner *open_shape(struct dice *dice, sona_config *config)
{
    *config = learner_config();
    config->embedding_dim = config->hidden_dim = 4 + dice_below(dice, SHAPE_MAX - 3);
    config->micro_lora_rank = 1 + dice_below(dice, 2);
    config->base_lora_rank = 4 + dice_below(dice, 13);
    if (config->base_lora_rank > config->embedding_dim)
        config->base_lora_rank = 4;
    config->lora_alpha = 0.5f + 3 * dice_unit(dice);
    config->micro_lora_lr = 0.01f;
    return learner_open(config, 2);
}

/* A unit query of the shape, padded. */
static void draw_query(float x[SHAPE_MAX], uint32_t dim, struct dice *dice)
{
    double norm = 0;

    memset(x, 0, SHAPE_MAX * sizeof *x);
    for (uint32_t i = 0; i < dim; i++) {
        x[i] = dice_signed(dice);
        norm += (double)x[i] * (double)x[i];
    }
    for (uint32_t i = 0; i < dim; i++)
        x[i] = (float)((double)x[i] / sqrt(norm));
}

static double product(const float *a, const float *b, uint32_t n)
{
    double sum = 0;

    for (uint32_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* (target - sum_r s (b_r.w)(a_r.x))^2 / 2 */
static double adapter_loss(const float *a, const float *b, uint32_t rank, uint32_t n, double scale,
                           const float *w, const float *x, double target)
{
    double e = target;

    for (uint32_t r = 0; r < rank; r++)
        e -= scale * product(b + (size_t)r * n, w, n) * product(a + (size_t)r * n, x, n);
    return e * e / 2;
}

/* The slope of the adapter's loss in *at, an element of a or b. */
static double adapter_slope(float *at, const float *a, const float *b, uint32_t rank, uint32_t n,
                            double scale, const float *w, const float *x, double target)
{
    float keep = *at;
    double up, down, width;

    *at = keep + 1e-3f;
    width = (double)*at;
    up = adapter_loss(a, b, rank, n, scale, w, x, target);
    *at = keep - 1e-3f;
    width -= (double)*at;
    down = adapter_loss(a, b, rank, n, scale, w, x, target);
    *at = keep;
    return (up - down) / width;
}

Test(gradients, micro_lora_goes_down_the_slope_in_both_factors_at_any_shape)
{
    struct dice dice = dice_open("micro_lora_goes_down_the_slope_in_both_factors_at_any_shape");

    for (int round = 0; round < 60; round++) {
        sona_config config;
        struct sona_learner *l = open_shape(&dice, &config);
        uint32_t n = l->layout.dim_padded, rank = config.micro_lora_rank;
        float *a = sona_model_floats_of(sona_learner_hot(l), l->layout.micro_a);
        float *b = sona_model_floats_of(sona_learner_hot(l), l->layout.micro_b);
        float was_a[2 * SHAPE_MAX], was_b[2 * SHAPE_MAX], w[SHAPE_MAX] = {0}, x[SHAPE_MAX];
        double scale = (double)(config.lora_alpha / (float)rank);
        double rate = (double)config.micro_lora_lr;

        draw_query(x, config.embedding_dim, &dice);
        for (uint32_t i = 0; i < config.embedding_dim; i++) {
            w[i] = 0.3f * dice_signed(&dice);
            for (uint32_t r = 0; r < rank; r++) {
                a[r * n + i] = 0.1f * dice_signed(&dice); /* well inside the bounds */
                b[r * n + i] = 0.02f * dice_signed(&dice);
            }
        }
        memcpy(was_a, a, rank * n * sizeof *a);
        memcpy(was_b, b, rank * n * sizeof *b);
        sona_learner_micro_step(l, w, x, 0.7f);
        for (uint32_t i = 0; i < rank * n; i++) {
            double in_a = adapter_slope(&was_a[i], was_a, was_b, rank, n, scale, w, x, 0.7f);
            double in_b = adapter_slope(&was_b[i], was_a, was_b, rank, n, scale, w, x, 0.7f);

            cr_assert(epsilon_eq(dbl, (double)a[i], (double)was_a[i] - rate * in_a, 1e-6),
                      "A[%u] of %u x %u, seed %llu", i, rank, config.embedding_dim,
                      (unsigned long long)dice.seed);
            cr_assert(epsilon_eq(dbl, (double)b[i], (double)was_b[i] - rate * in_b, 1e-6),
                      "B[%u] of %u x %u, seed %llu", i, rank, config.embedding_dim,
                      (unsigned long long)dice.seed);
        }
        free(l);
    }
}

/* The gradient that an AdaGrad step of `moved` was made of: with G its accumulator afterwards,
 * moved = -0.1 g / sqrt(G + 1e-4). */
static double gradient_of(float moved, float grad2)
{
    return -(double)moved * sqrt((double)grad2 + 1e-4) / 0.1;
}

Test(gradients, adagrad_heads_step_along_the_slope_in_weights_and_bias)
{
    struct dice dice = dice_open("adagrad_heads_step_along_the_slope_in_weights_and_bias");

    for (int round = 0; round < 60; round++) {
        sona_config config;
        struct sona_learner *l = open_shape(&dice, &config);
        uint32_t n = l->layout.dim_padded;
        float *w = sona_learner_part(l, 1, l->layout.route_head);
        float *grad2 = sona_learner_floats(l, l->grad2) + n;
        struct sona_model_route *row = sona_learner_row(l, 1);
        float was_w[SHAPE_MAX], was_grad2[SHAPE_MAX + 1], was_bias, x[SHAPE_MAX],
            quality = dice_unit(&dice);

        for (int i = 0; i < 5; i++) {
            draw_query(x, config.embedding_dim, &dice);
            sona_learner_heads_adagrad(l, 1, x, dice_unit(&dice));
        }
        draw_query(x, config.embedding_dim, &dice);
        memcpy(was_w, w, n * sizeof *w);
        memcpy(was_grad2, grad2, n * sizeof *grad2);
        was_grad2[n] = sona_learner_routes(l)[1].bias_grad2;
        was_bias = row->bias;
        sona_learner_heads_adagrad(l, 1, x, quality);
        for (uint32_t i = 0; i <= n; i++) {
            /* (q - w.x - b)^2 / 2: quadratic, so central differences are exact. */
            double e = (double)quality - (double)was_bias - product(was_w, x, n);
            double h = 1e-3 * (i < n ? (double)x[i] : 1);
            double slope = ((e - h) * (e - h) - (e + h) * (e + h)) / 2 / 2e-3;
            float sum = i < n ? grad2[i] : sona_learner_routes(l)[1].bias_grad2;
            double taken = gradient_of(i < n ? w[i] - was_w[i] : row->bias - was_bias, sum);

            cr_assert(epsilon_eq(dbl, taken, slope, 1e-4), "%u of %u, seed %llu", i, n,
                      (unsigned long long)dice.seed);
            cr_assert(epsilon_eq(dbl, (double)sum, (double)was_grad2[i] + slope * slope, 1e-4));
        }
        free(l);
    }
}

/* The step knows the length that it leaves, whatever the number of lanes: so it must cut it, too.
 */
Test(gradients, an_adagrad_head_never_grows_beyond_its_longest)
{
    struct dice dice = dice_open("an_adagrad_head_never_grows_beyond_its_longest");

    for (int round = 0; round < 60; round++) {
        sona_config config;
        struct sona_learner *l = open_shape(&dice, &config);
        uint32_t n = l->layout.dim_padded;
        float *w = sona_learner_part(l, 1, l->layout.route_head);
        float x[SHAPE_MAX], before, after;

        draw_query(x, config.embedding_dim, &dice);
        before = SONA_MODEL_NORM_MAX * (round % 2 ? 0.5f : 2) / (float)sqrt(product(x, x, n));
        for (uint32_t i = 0; i < n; i++)
            w[i] = before * x[i];
        sona_learner_heads_adagrad(l, 1, x, dice_unit(&dice));
        after = (float)sqrt(product(w, w, n));
        cr_assert(epsilon_eq(flt, after / SONA_MODEL_NORM_MAX, round % 2 ? 0.5f : 1, 1e-3f),
                  "%g, seed %llu", (double)after, (unsigned long long)dice.seed);
        free(l);
    }
}

/* A base adapter with content, as a fold would have left it. */
static void fill_base(struct sona_learner *l, struct dice *dice)
{
    struct sona_model_cold *cold = sona_learner_cold(l);
    uint32_t n = l->layout.dim_padded;
    float *a = sona_model_floats_of(cold, l->layout.base_a);
    float *b = sona_model_floats_of(cold, l->layout.base_b);

    for (uint32_t r = 0; r < l->layout.geometry.base_rank; r++)
        for (uint32_t i = 0; i < l->layout.geometry.dim; i++) {
            a[r * n + i] = 0.1f * dice_signed(dice);
            b[r * n + i] = 0.02f * dice_signed(dice);
        }
    cold->has_base |= 1u;
}

Test(gradients, base_lora_slow_step_goes_down_the_slope_of_one_outcome)
{
    struct dice dice = dice_open("base_lora_slow_step_goes_down_the_slope_of_one_outcome");

    for (int round = 0; round < 40; round++) {
        sona_config config;
        struct sona_learner *l = open_shape(&dice, &config);
        struct sona_learner_job *job;
        uint32_t n = l->layout.dim_padded, rank = config.base_lora_rank, at, k;
        float was_b[16 * SHAPE_MAX], x[SHAPE_MAX], *b;
        const float *a, *w;
        double target;

        l->config.base_lora_lr = 1; /* so that the step is far above rounding */
        job = job_open(&l->config);
        for (int i = 0; i < 50; i++) {
            draw_query(x, config.embedding_dim, &dice);
            cr_assert(eq(int, teach(l, x, dice_below(&dice, 2), dice_unit(&dice)), SONA_OK));
        }
        cycle(l, job); /* heads for the job; the job's own base is all zero until the fold */
        fill_base(l, &dice);
        cr_assert(eq(int, teach(l, x, 0, 0.9f), SONA_OK));
        cr_assert(sona_learner_cycle_start(l, job, 0));
        at = dice_below(&dice, job->count);
        for (uint32_t i = 0; i < job->count; i++)
            sona_learner_job_entries(job)[i].weight = i == at; /* the others take no step */
        k = sona_learner_job_entries(job)[at].route;
        a = sona_learner_job_floats(job, job->cold + l->layout.base_a);
        b = sona_learner_job_floats(job, job->cold + l->layout.base_b);
        w = sona_learner_job_part(job, k, l->layout.route_head);
        target = (double)sona_learner_job_entries(job)[at].quality -
                 (double)sona_learner_job_row(job, k)->mean -
                 product(sona_learner_job_head(job, k), sona_learner_job_x(job, at), n);
        memcpy(was_b, b, rank * n * sizeof *b);
        sona_learner_job_base(job);
        for (uint32_t i = 0; i < rank * n; i++)
            cr_assert(
                epsilon_eq(dbl, (double)b[i],
                           (double)was_b[i] - adapter_slope(&was_b[i], a, was_b, rank, n, 1, w,
                                                            sona_learner_job_x(job, at), target),
                           2e-5),
                "B[%u] of %u x %u, seed %llu", i, rank, n, (unsigned long long)dice.seed);
        free(job);
        free(l);
    }
}
