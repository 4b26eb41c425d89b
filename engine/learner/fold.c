/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The fold: B_0 A_0 + s B_m A_m, and what steps taught layer 0, cut to the base rank by its
 * singular values.
 *
 * Both factors are reduced to orthonormal rows, so that the singular value decomposition is one of
 * a square matrix of as many rows as the parts have together. What the cut loses is at most the sum
 * of the discarded singular values, for any x of unit length; that sum is counted.
 */
#include <math.h>
#include <string.h>

#include "engine/learner/linalg.h"
#include "engine/learner/state.h"

#define BASE_MAX 1.0 /* Frobenius norm of B_0 A_0 */

_Static_assert(SONA_LEARNER_FOLD_ROWS <= SONA_LEARNER_SMALL, "fits the small matrices");

typedef double small_matrix[SONA_LEARNER_FOLD_ROWS * SONA_LEARNER_FOLD_ROWS];

/* Rows that take part in a fold. */
struct part {
    const float *rows;
    uint32_t count;
    float scale;
};
#define PARTS 3 /* BaseLoRA, MicroLoRA, what layer 0's steps taught */

/* The rows of all parts (scaled) as coordinates in an orthonormal basis of their span. */
static void reduce(const struct part parts[PARTS], uint32_t rows, uint32_t n, float *basis,
                   double *coordinates)
{
    const struct sona_kernels *kernels = sona_kernels_active();
    uint32_t i = 0;

    for (uint32_t p = 0; p < PARTS; i += parts[p++].count)
        memcpy(basis + (size_t)i * n, parts[p].rows, (size_t)parts[p].count * n * sizeof(float));
    for (uint32_t r = 0; r < rows; r++)
        sona_learner_orthonormalise(basis, n, r, n);
    i = 0;
    for (uint32_t p = 0; p < PARTS; p++)
        for (uint32_t r = 0; r < parts[p].count; r++, i++)
            for (uint32_t j = 0; j < rows; j++)
                coordinates[i * rows + j] =
                    (double)parts[p].scale *
                    (double)kernels->dot(parts[p].rows + (size_t)r * n, basis + (size_t)j * n, n);
}

/* core = sum over rows of b_r a_r' in the two bases. */
static void multiply(const double *b, const double *a, uint32_t rows, double *core)
{
    memset(core, 0, (size_t)rows * rows * sizeof *core);
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t i = 0; i < rows; i++)
            for (uint32_t j = 0; j < rows; j++)
                core[i * rows + j] += b[r * rows + i] * a[r * rows + j];
}

/* row = sum_j factor c_j basis_j */
static void combine(const double *c, double factor, const float *basis, uint32_t rows, uint32_t n,
                    float *row)
{
    memset(row, 0, n * sizeof *row);
    for (uint32_t j = 0; j < rows; j++)
        sona_kernels_active()->axpy((float)(factor * c[j]), basis + (size_t)j * n, row, n);
}

double sona_learner_fold(struct sona_learner *l)
{
    const struct sona_model_layout *layout = &l->layout;
    struct sona_model_cold *cold = sona_learner_cold(l);
    uint32_t n = layout->dim_padded, rank = layout->geometry.base_rank;
    uint32_t micro_rank = layout->geometry.micro_rank;
    uint32_t steps_rank = sona_learner_layer_trained(l, 0) ? rank : 0;
    uint32_t rows = rank + micro_rank + steps_rank;
    const float *steps = sona_learner_layer_rows(l, 0);
    float *base_a = sona_model_floats_of(cold, layout->base_a);
    float *base_b = sona_model_floats_of(cold, layout->base_b);
    float *basis_b = sona_learner_floats(l, l->scratch);
    float *basis_a = basis_b + (size_t)SONA_LEARNER_FOLD_ROWS * n;
    small_matrix b, a, core, u, v;
    double s[SONA_LEARNER_FOLD_ROWS], kept = 0, discarded = 0, shrink;

    reduce((struct part[]){{base_b, rank, 1},
                           {sona_model_floats(sona_learner_hot(l), layout->micro_b), micro_rank,
                            sona_learner_head(l)->micro_scale},
                           {steps + (size_t)rank * n, steps_rank, 1}},
           rows, n, basis_b, b);
    reduce((struct part[]){{base_a, rank, 1},
                           {sona_model_floats(sona_learner_hot(l), layout->micro_a), micro_rank, 1},
                           {steps, steps_rank, 1}},
           rows, n, basis_a, a);
    multiply(b, a, rows, core);
    sona_learner_svd(core, rows, u, s, v);

    for (uint32_t i = 0; i < rank; i++)
        kept += s[i] * s[i];
    shrink = kept > BASE_MAX * BASE_MAX ? BASE_MAX / sqrt(kept) : 1;
    for (uint32_t i = 0; i < rows; i++)
        discarded += i < rank ? s[i] * (1 - shrink) : s[i];
    for (uint32_t i = 0; i < rank; i++) {
        combine(u + i * rows, s[i] * shrink, basis_b, rows, n, base_b + (size_t)i * n);
        combine(v + i * rows, 1, basis_a, rows, n, base_a + (size_t)i * n);
    }
    if (kept > 0)
        cold->has_base |= 1u;
    l->fold_discarded += discarded;
    l->counter[SONA_COUNTER_folds]++;
    return discarded;
}

void sona_learner_base_keep(struct sona_learner *l)
{
    memcpy(sona_learner_floats(l, l->kept),
           sona_model_floats(sona_learner_cold(l), l->layout.base_a), l->layout.layer_stride);
}

double sona_learner_base_change(const struct sona_learner *l)
{
    const struct sona_model_layout *layout = &l->layout;
    uint32_t n = layout->dim_padded, rank = layout->geometry.base_rank;
    const float *a = sona_model_floats(sona_learner_cold(l), layout->base_a);
    const float *b = sona_model_floats(sona_learner_cold(l), layout->base_b);
    const float *was_a = sona_learner_floats(l, l->kept);
    const float *was_b = was_a + (size_t)rank * n;
    double square = sona_learner_product(b, a, b, a, rank, n) -
                    2 * sona_learner_product(b, a, was_b, was_a, rank, n) +
                    sona_learner_product(was_b, was_a, was_b, was_a, rank, n);

    return square > 0 ? sqrt(square) : 0;
}
