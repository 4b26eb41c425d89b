/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Recursive least squares, conjugate gradients and the Lanczos ridge path against dense solutions
 * in double (oracle.h). */
#include "oracle.h"
#include "tests/engine/learner_fixture.h"

static const double ridges[] = {1, 4, 16, 64, 256};

Test(solvers, recursive_least_squares_is_the_dense_solution_at_any_rank)
{
    struct dice dice = dice_open("recursive_least_squares_is_the_dense_solution_at_any_rank");

    for (int round = 0; round < 40; round++) {
        sona_config config = learner_config();
        struct sona_learner *l;
        uint32_t n, outcomes = 1 + dice_below(&dice, 300);
        float length;
        double m[17 * 17] = {0}, b[17] = {0};
        const float *g;

        config.base_lora_rank = 4 + dice_below(&dice, 13);
        config.normalize = dice_below(&dice, 2);
        length = config.normalize ? 1 : powf(10, 3 * dice_unit(&dice) - 1);
        l = learner_open(&config, 1);
        n = l->layout.code_dim;
        g = sona_learner_part(l, 0, l->layout.route_code);
        for (uint32_t i = 0; i < n; i++)
            m[i * n + i] = i + 1 < n ? 16 : 1; /* the prior */
        for (uint32_t o = 0; o < outcomes; o++) {
            float x[DIM] = {0}, z[32] = {0}, quality = dice_unit(&dice);
            double norm = 0, weight;

            for (uint32_t i = 0; i + 1 < n; i++) {
                z[i] = dice_signed(&dice);
                norm += (double)z[i] * (double)z[i];
            }
            for (uint32_t i = 0; i + 1 < n; i++)
                x[i] = z[i] = (float)((double)length * (double)z[i] / sqrt(norm));
            z[n - 1] = 1;
            sona_learner_heads_code(l, 0, x, z, quality);
            weight = length > 1 ? 1 / ((double)length * (double)length) : 1;
            for (uint32_t i = 0; i < n; i++) {
                b[i] += weight * (double)quality * (double)z[i];
                for (uint32_t j = 0; j < n; j++)
                    m[i * n + j] += weight * (double)z[i] * (double)z[j];
            }
        }
        cr_assert(oracle_solve(m, b, n));
        for (uint32_t i = 0; i < n; i++)
            cr_assert(epsilon_eq(dbl, (double)g[i], b[i], 1e-3 / fmax(1, (double)length)),
                      "rank %u, %u outcomes of length %g, seed %llu", n - 1, outcomes,
                      (double)length, (unsigned long long)dice.seed);
        free(l);
    }
}

/* One route's outcomes in a job, as a dense problem on the residual r of the common head. */
struct problem {
    double m[DIM * DIM], b[DIM];
    uint32_t outcomes;
};

/* w_i x_i x_i' and w_i r_i x_i summed over the outcomes of route k; k = 2: of all. `common`: null,
 * or what is taken off the targets. */
static void gather(const struct sona_learner_job *job, uint32_t k, const float *common,
                   struct problem *ret)
{
    memset(ret, 0, sizeof *ret);
    for (uint32_t o = 0; o < job->count; o++) {
        const struct sona_learner_entry *entry = &sona_learner_job_entries(job)[o];
        const float *x = sona_learner_job_x(job, o);
        double norm2 = 0, r, weight;

        if (k < 2 && entry->route != k)
            continue;
        r = (double)entry->quality - (double)sona_learner_job_row(job, entry->route)->mean;
        for (int i = 0; i < DIM; i++) {
            norm2 += (double)x[i] * (double)x[i];
            r -= common ? (double)common[i] * (double)x[i] : 0;
        }
        weight = (double)entry->weight * (job->config.normalize || norm2 <= 1 ? 1 : 1 / norm2);
        for (int i = 0; i < DIM; i++) {
            ret->b[i] += weight * r * (double)x[i];
            for (int j = 0; j < DIM; j++)
                ret->m[i * DIM + j] += weight * (double)x[i] * (double)x[j];
        }
        ret->outcomes++;
    }
}

/* sqrt(e' (M + ridge) e) */
static double energy(const struct problem *p, double ridge, const double *e)
{
    double sum = 0;

    for (int i = 0; i < DIM; i++) {
        sum += ridge * e[i] * e[i];
        for (int j = 0; j < DIM; j++)
            sum += e[i] * p->m[i * DIM + j] * e[j];
    }
    return sqrt(sum);
}

/* The bound of m Krylov steps: |v - v*| <= 2 rho^m |v0 - v*| in the energy norm, where rho =
 * (sqrt(kappa) - 1) / (sqrt(kappa) + 1) and kappa is the condition of M + ridge. */
static double contraction(const struct problem *p, double ridge, uint32_t steps)
{
    double m[DIM * DIM], values[DIM], v[DIM * DIM], kappa;

    memcpy(m, p->m, sizeof m);
    oracle_eigen(m, DIM, values, v);
    kappa = (values[0] + ridge) / (fmax(values[DIM - 1], 0) + ridge);
    return 2 * pow((sqrt(kappa) - 1) / (sqrt(kappa) + 1), steps);
}

/* Check that `head` is as near to the ridge solution as `steps` steps from `from` (null: zero)
 * promise. */
static void expect_krylov(const struct problem *p, double ridge, uint32_t steps, const float *from,
                          const float *head, uint64_t seed)
{
    double m[DIM * DIM], want[DIM], off[DIM], first[DIM], allowed;

    memcpy(m, p->m, sizeof m);
    memcpy(want, p->b, sizeof want);
    for (int i = 0; i < DIM; i++)
        m[i * DIM + i] += ridge;
    cr_assert(oracle_solve(m, want, DIM));
    for (int i = 0; i < DIM; i++) {
        off[i] = (double)head[i] - want[i];
        first[i] = (from ? (double)from[i] : 0) - want[i];
    }
    allowed = contraction(p, ridge, steps) * energy(p, ridge, first);
    cr_assert(le(dbl, energy(p, ridge, off), allowed + 1e-4 * (1 + energy(p, ridge, first))),
              "ridge %g, %u outcomes, seed %llu", ridge, p->outcomes, (unsigned long long)seed);
}

/* Outcomes of two routes over all directions, unevenly: more than ten Krylov steps can exhaust. */
static void teach_unevenly(struct sona_learner *l, uint32_t outcomes, float length,
                           struct dice *dice)
{
    for (uint32_t o = 0; o < outcomes; o++) {
        float x[DIM];
        double norm = 0;

        for (int i = 0; i < DIM; i++) {
            x[i] = dice_signed(dice) / (float)(1 + i);
            norm += (double)x[i] * (double)x[i];
        }
        for (int i = 0; i < DIM; i++)
            x[i] = (float)((double)length * (double)x[i] / sqrt(norm));
        cr_assert(
            eq(int, teach(l, x, dice_below(dice, 3) == 0, x[0] > x[1] ? 0.9f : 0.2f), SONA_OK));
    }
}

Test(solvers, heads_are_ridge_solutions_within_the_krylov_bound)
{
    struct dice dice = dice_open("heads_are_ridge_solutions_within_the_krylov_bound");

    for (int round = 0; round < 12; round++) {
        sona_config config = learner_config();
        struct sona_learner *l;
        struct sona_learner_job *job;
        float before[DIM];

        config.normalize = round % 3 != 2;
        l = learner_open(&config, 2);
        job = job_open(&config);
        for (int cycles = 0; cycles < 2; cycles++) {
            struct problem p;
            const float *common = sona_learner_job_floats(job, job->common);

            teach_unevenly(l, 5 + dice_below(&dice, 190), config.normalize ? 1 : 50, &dice);
            memcpy(before, sona_learner_floats(l, l->common), sizeof before);
            cycle(l, job);
            gather(job, 2, NULL, &p);
            expect_krylov(&p, 30, 5, before, common, dice.seed);
            for (uint32_t k = 0; k < 2; k++) {
                gather(job, k, common, &p);
                for (uint32_t i = 0; i < 5 && p.outcomes > 0; i++)
                    expect_krylov(&p, ridges[i], SONA_LEARNER_KRYLOV, NULL,
                                  sona_learner_job_floats(job, job->path) +
                                      ((size_t)k * 5 + i) * DIM,
                                  dice.seed);
            }
        }
        free(job);
        free(l);
    }
}

/* Before any loss is known the head is the plain mean of the path, whose last member is 0. */
Test(solvers, the_first_head_is_the_common_one_and_the_mean_of_the_path)
{
    struct dice dice = dice_open("the_first_head_is_the_common_one_and_the_mean_of_the_path");
    sona_config config = learner_config();
    struct sona_learner *l = learner_open(&config, 2);
    struct sona_learner_job *job = job_open(&config);

    teach_unevenly(l, 100, 1, &dice);
    cycle(l, job);
    for (uint32_t k = 0; k < 2; k++)
        for (uint32_t i = 0; i < DIM; i++) {
            double want = (double)sona_learner_job_floats(job, job->common)[i];

            for (uint32_t r = 0; r < 5; r++)
                want += (double)sona_learner_job_floats(job, job->path)[(k * 5 + r) * DIM + i] / 6;
            cr_assert(epsilon_eq(dbl, (double)sona_learner_job_head(job, k)[i], want, 1e-6),
                      "route %u, seed %llu", k, (unsigned long long)dice.seed);
        }
    free(job);
    free(l);
}

Test(solvers, small_systems_are_solved_and_inverted_as_by_elimination)
{
    struct dice dice = dice_open("small_systems_are_solved_and_inverted_as_by_elimination");

    for (uint32_t n = 1; n <= SONA_LEARNER_SMALL; n++) {
        double m[SONA_LEARNER_SMALL * SONA_LEARNER_SMALL] = {0},
                                      copy[SONA_LEARNER_SMALL * SONA_LEARNER_SMALL],
                                      b[SONA_LEARNER_SMALL], want[SONA_LEARNER_SMALL],
                                      x[SONA_LEARNER_SMALL],
                                      inverse[SONA_LEARNER_SMALL * SONA_LEARNER_SMALL];

        for (uint32_t o = 0; o < 2 * n; o++) {
            double row[SONA_LEARNER_SMALL];

            for (uint32_t i = 0; i < n; i++)
                row[i] = (double)dice_signed(&dice);
            for (uint32_t i = 0; i < n; i++)
                for (uint32_t j = 0; j < n; j++)
                    m[i * n + j] += row[i] * row[j] + (i == j) * 0.01;
        }
        for (uint32_t i = 0; i < n; i++)
            want[i] = b[i] = (double)dice_signed(&dice);
        memcpy(copy, m, sizeof m);
        cr_assert(oracle_solve(copy, want, n));
        cr_assert(eq(int, sona_learner_solve(m, n, n, b, x), 1));
        cr_assert(eq(int, sona_learner_invert(m, n, n, inverse), 1));
        for (uint32_t i = 0; i < n; i++) {
            double by_inverse = 0;

            for (uint32_t j = 0; j < n; j++)
                by_inverse += inverse[i * n + j] * b[j];
            cr_assert(epsilon_eq(dbl, x[i], want[i], 1e-8), "n %u, seed %llu", n,
                      (unsigned long long)dice.seed);
            cr_assert(epsilon_eq(dbl, by_inverse, want[i], 1e-8), "n %u, seed %llu", n,
                      (unsigned long long)dice.seed);
        }
    }
}

/* Whatever the geometry and however few the outcomes, retired routes among them. */
Test(solvers, the_code_is_orthonormal_at_any_geometry)
{
    struct dice dice = dice_open("the_code_is_orthonormal_at_any_geometry");

    for (int round = 0; round < 60; round++) {
        sona_config config = learner_config();
        struct sona_learner *l;
        struct sona_learner_job *job;
        uint32_t rank, dim, routes = 1 + dice_below(&dice, 6);
        const float *code;

        dim = 4 + dice_below(&dice, 40);
        config.embedding_dim = config.hidden_dim = dim;
        rank = config.base_lora_rank = dim < 16 ? dim : 4 + dice_below(&dice, 13);
        l = learner_open(&config, routes);
        job = job_open(&config);
        for (uint32_t o = 1 + dice_below(&dice, 80); o > 0; o--) {
            float x[48] = {0};

            /* A quarter of the streams never leaves one direction. */
            x[round % 4 == 0 ? 1 : dice_below(&dice, dim)] = 1;
            cr_assert(eq(int, teach(l, x, dice_below(&dice, routes), dice_unit(&dice)), SONA_OK));
        }
        cycle(l, job);
        code = sona_model_floats(sona_learner_cold(l), l->layout.code);
        for (uint32_t a = 0; a < rank; a++)
            for (uint32_t b = 0; b <= a; b++) {
                double sum = 0;

                for (uint32_t i = 0; i < dim; i++)
                    sum += (double)code[a * l->layout.dim_padded + i] *
                           (double)code[b * l->layout.dim_padded + i];
                cr_assert(epsilon_eq(dbl, sum, a == b, 1e-5), "rows %u, %u of %u x %u, seed %llu",
                          a, b, rank, dim, (unsigned long long)dice.seed);
            }
        free(job);
        free(l);
    }
}

/* One direction of negative curvature, somewhere; or a number that is none. */
Test(solvers, what_is_not_positive_definite_is_refused_and_nothing_is_written)
{
    static const double bad[] = {-1, 0, NAN, INFINITY};

    for (uint32_t n = 1; n <= SONA_LEARNER_SMALL; n++)
        for (uint32_t at = 0; at < n; at++)
            for (uint32_t i = 0; i < sizeof bad / sizeof *bad; i++) {
                double m[SONA_LEARNER_SMALL * SONA_LEARNER_SMALL] = {0},
                                              b[SONA_LEARNER_SMALL] = {0}, x[SONA_LEARNER_SMALL];

                for (uint32_t k = 0; k < n; k++) {
                    m[k * n + k] = k == at ? bad[i] : 1;
                    x[k] = 7;
                }
                cr_assert(eq(int, sona_learner_solve(m, n, n, b, x), 0), "n %u, %g at %u", n,
                          bad[i], at);
                for (uint32_t k = 0; k < n; k++)
                    cr_assert(eq(dbl, x[k], 7));
            }
}
