/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Floats in, floats out. Every kernel is defined by its C row; the other rows of the table compute
 * the same within rounding, and one row is chosen per process (SONA_SIMD=c|avx2|avx512|neon forces
 * one).
 *
 * Vectors are `n` floats, any alignment, n >= 0; outputs may not overlap inputs unless said. Fixed
 * summation order per row: equal inputs give equal bits.
 */
#ifndef SONA_ENGINE_KERNELS_KERNELS_H
#define SONA_ENGINE_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SONA_KERNELS_SIGN_WORDS 4u /* of one signature */

struct sona_kernels {
    const char *name;
    bool (*usable)(void);
    /* sum x_i y_i */
    float (*dot)(const float *x, const float *y, size_t n);
    /* out[r] = dot(rows + r * stride, x), stride in floats */
    void (*dot_rows)(const float *rows, size_t stride, size_t n_rows, const float *x, size_t n,
                     float *out);
    /* y = a x, the same bits of every row; y is x, or apart from it */
    void (*scale)(float a, const float *x, float *y, size_t n);
    /* y += a x */
    void (*axpy)(float a, const float *x, float *y, size_t n);
    /* The same, and sum y_i^2 of the new y. */
    float (*axpy_square)(float a, const float *x, float *y, size_t n);
    /* sum (x_i - y_i)^2 */
    float (*distance)(const float *x, const float *y, size_t n);
    /* AdaGrad: G += (e x)^2; w += rate e x / sqrt(G + epsilon); sum w_i^2 of the new w */
    float (*adagrad)(float e, float rate, float epsilon, const float *x, float *grad2, float *w,
                     size_t n);
    /* y = x + sum_r c_r B_r, r < rank (rows of B `stride` floats apart); y is x, or apart
     * from it */
    void (*expand)(const float *x, const float *b, size_t stride, const float *c, size_t rank,
                   float *y, size_t n);
    /* out[m] = z' P_m z, m < count: P_m begins at p + m * stride, has `n` rows of `padded` floats,
     * and is symmetric; z and the rows are 0 from n on. `padded` is a multiple of 16, z as long. */
    void (*forms)(const float *p, size_t stride, size_t count, const float *z, size_t n,
                  size_t padded, float *out);
    /* Whole numbers in place of floats where half the bytes are worth more than the last digits.
     * Sums of them have no order: all rows of the table give the same bits.
     * out_i = x_i scale, rounded to the nearest, ties to even; |x_i scale| < 2^15. */
    void (*fix)(const float *x, float scale, size_t n, int16_t *out);
    /* out[r] = sum_i x_i rows[r * stride + i], modulo 2^32. */
    void (*dot_rows_fixed)(const int16_t *rows, size_t stride, size_t n_rows, const int16_t *x,
                           size_t n, int32_t *out);
    /* out[r] = bits in which row r and x differ; rows of SONA_KERNELS_SIGN_WORDS words, one after
     * another. */
    void (*differ)(const uint64_t *rows, size_t n_rows, const uint64_t *x, uint16_t *out);
};

/* The row in use on this thread: the process's, resolved at load time by a constructor from cpuid
 * and SONA_SIMD, unless the thread entered the C row. */
const struct sona_kernels *sona_kernels_active(void);
/* From here on this thread computes with the C row when `plain`, else with the process's row. Keep
 * what it returns for sona_kernels_leave(), which goes back to it: both nest. */
const struct sona_kernels *sona_kernels_enter(bool plain);
void sona_kernels_leave(const struct sona_kernels *const *before);
/* All rows compiled in, in the order of preference, C last; null-terminated. */
const struct sona_kernels *const *sona_kernels_all(void);
/* Use the named row from now on (tests); false if unknown or not usable here. Not thread safe. */
bool sona_kernels_select(const char *name);

#endif
