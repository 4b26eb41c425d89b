/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Covariances of the code heads, and the stack: symmetric and positive whatever they have seen. */
#include "oracle.h"
#include "tests/engine/learner_fixture.h"

static double least(const struct sona_learner *l, uint32_t k)
{
    return oracle_least(sona_learner_part(l, k, l->layout.route_cov), l->layout.code_dim,
                        l->layout.code_padded);
}

/* z = [x; 1] of a query near `centre` (16 floats), `length` long. */
static void draw_code(float z[32], const float *centre, float spread, float length,
                      struct dice *dice)
{
    double norm = 0;

    memset(z, 0, 32 * sizeof *z);
    for (uint32_t i = 0; i < 16; i++) {
        z[i] = centre[i] + spread * dice_signed(dice);
        norm += (double)z[i] * (double)z[i];
    }
    for (uint32_t i = 0; i < 16; i++)
        z[i] = (float)((double)length * (double)z[i] / sqrt(norm));
    z[16] = 1;
}

/* Not an axis: what is known about it is spread over all entries of the covariance. */
static void draw_centre(float centre[16], struct dice *dice)
{
    for (uint32_t i = 0; i < 16; i++)
        centre[i] = dice_signed(dice);
}

static sona_config wide_config(void)
{
    sona_config config = learner_config();

    config.base_lora_rank = 16;
    return config;
}

/* No background cycle ever comes to rebuild it: the recursion alone. */
Test(covariance, stays_positive_over_a_million_outcomes_without_a_refit, .timeout = 300)
{
    static const float spread[] = {0, 0.001f, 0.01f, 0.3f};
    struct dice dice = dice_open("stays_positive_over_a_million_outcomes_without_a_refit");
    sona_config config = wide_config();
    struct sona_learner *l = learner_open(&config, 1);

    for (uint32_t round = 0; round < 4; round++) {
        float centre[16];

        draw_centre(centre, &dice);
        sona_learner_heads_init(l, 0);
        for (uint32_t i = 0; i < 250000; i++) {
            float z[32], x[DIM] = {0};

            draw_code(z, centre, spread[round], 1, &dice);
            memcpy(x, z, 16 * sizeof *x);
            sona_learner_heads_code(l, 0, x, z, dice_unit(&dice));
            if (i % 10000 == 9999)
                cr_assert(gt(dbl, least(l, 0), 0), "spread %g after %u, seed %llu",
                          (double)spread[round], i + 1, (unsigned long long)dice.seed);
        }
    }
    free(l);
}

/* Without normalisation a query may be 10,000 long: its square is beyond what a float tells from
 * the prior of a direction that has not been seen. */
Test(covariance, stays_positive_when_queries_are_not_normalised)
{
    struct dice dice = dice_open("stays_positive_when_queries_are_not_normalised");
    sona_config config = wide_config();
    struct sona_learner *l;

    config.normalize = false;
    l = learner_open(&config, 1);
    for (uint32_t round = 0; round < 200; round++) {
        float spread = powf(10, -6 * dice_unit(&dice)), length = powf(10, 6 * dice_unit(&dice) - 2);
        float centre[16];

        draw_centre(centre, &dice);
        sona_learner_heads_init(l, 0);
        for (uint32_t i = 0; i < 200; i++) {
            float z[32], x[DIM] = {0};

            draw_code(z, centre, spread, length, &dice);
            memcpy(x, z, 16 * sizeof *x);
            sona_learner_heads_code(l, 0, x, z, dice_unit(&dice));
            if (i % 10 == 0)
                cr_assert(gt(dbl, least(l, 0), 0), "outcome %u of length %g, seed %llu", i,
                          (double)length, (unsigned long long)dice.seed);
        }
    }
    free(l);
}

Test(covariance, is_the_inverse_of_prior_and_outcomes_after_a_cycle)
{
    struct dice dice = dice_open("is_the_inverse_of_prior_and_outcomes_after_a_cycle");
    sona_config config = learner_config();

    for (int unit = 0; unit < 2; unit++) {
        struct sona_learner *l;
        struct sona_learner_job *job;
        double m[5 * 5] = {0};

        config.normalize = unit;
        l = learner_open(&config, 1);
        job = job_open(&config);
        for (uint32_t i = 0; i < 300; i++) {
            float x[DIM];

            topic_query(x, dice_below(&dice, 4), 0.1f, &dice);
            for (int at = 0; at < DIM && !unit; at++)
                x[at] *= 1 + (float)(i % 50);
            cr_assert(eq(int, teach(l, x, 0, dice_unit(&dice)), SONA_OK));
        }
        cycle(l, job);
        for (uint32_t i = 0; i < 5; i++)
            m[i * 6] = i < 4 ? 16 : 1; /* the prior's precision */
        for (uint32_t o = 0; o < job->count; o++) {
            const float *z =
                sona_learner_job_floats(job, job->codes) + (size_t)o * l->layout.code_padded;
            double weight = unit ? 1 : 1 / pow(1 + (double)(o % 50), 2);

            for (uint32_t i = 0; i < 5; i++)
                for (uint32_t j = 0; j < 5; j++)
                    m[i * 5 + j] += weight * (double)z[i] * (double)z[j];
        }
        for (uint32_t j = 0; j < 5; j++) {
            const float *p = sona_learner_part(l, 0, l->layout.route_cov);
            double copy[5 * 5], column[5] = {0};

            memcpy(copy, m, sizeof m);
            column[j] = 1;
            cr_assert(oracle_solve(copy, column, 5));
            for (uint32_t i = 0; i < 5; i++)
                cr_assert(epsilon_eq(dbl, (double)p[i * l->layout.code_padded + j], column[i],
                                     1e-6 + 1e-4 * fabs(column[i])),
                          "P[%u][%u], seed %llu", i, j, (unsigned long long)dice.seed);
        }
        free(job);
        free(l);
    }
}

/* The stack's precision is a sum; its least eigenvalue cannot fall below the share of the prior
 * that never fades. Its weights are those of a dense solver. */
Test(stack, precision_keeps_its_floor_and_weights_solve_the_equations)
{
    struct dice dice = dice_open("precision_keeps_its_floor_and_weights_solve_the_equations");
    sona_config config = learner_config();
    struct sona_learner *l = learner_open(&config, 4);
    struct sona_learner_job *job = job_open(&config);

    for (uint32_t round = 0; round < 40; round++) {
        double m[64], b[8], values[8], v[64];

        for (uint32_t i = 0; i < 200; i++) {
            float x[DIM];

            topic_query(x, round % 4, round % 3 ? 0.1f : 0, &dice); /* collinear every third */
            cr_assert(eq(int, teach(l, x, i % 4, round % 2 ? 1 : dice_unit(&dice)), SONA_OK));
        }
        cycle(l, job);
        memcpy(m, l->stack.precision, sizeof m);
        memcpy(b, l->stack.moment, sizeof b);
        oracle_eigen(m, 8, values, v);
        cr_assert(gt(dbl, values[7], 0.299), "3 x .1, seed %llu", (unsigned long long)dice.seed);
        memcpy(m, l->stack.precision, sizeof m);
        cr_assert(oracle_solve(m, b, 8));
        for (int j = 0; j < 8; j++) {
            float weight = sona_learner_head(l)->stack[j];

            cr_assert(epsilon_eq(dbl, (double)weight, b[j], 1e-5 + 1e-5 * fabs(b[j])),
                      "weight %d, seed %llu", j, (unsigned long long)dice.seed);
        }
    }
    free(job);
    free(l);
}
