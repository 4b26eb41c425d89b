/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "dense.h"

#include <string.h>

/* A copy for AVX2, chosen when the program is loaded; same lanes, same bits. Not where a sanitizer
 * wants to be up before the choice is made. */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CLONES __attribute__((target_clones("avx2", "default")))
#else
#define CLONES
#endif
#define INLINE static inline __attribute__((always_inline))

typedef double lanes __attribute__((vector_size(32), aligned(8), may_alias));
typedef float lanes4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef float lanes8 __attribute__((vector_size(32), aligned(4), may_alias));

INLINE double dot(const double *a, const double *b, uint32_t n)
{
    lanes s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    double sum;
    uint32_t i = 0;

    for (; i + 16 <= n; i += 16) {
        s0 += *(const lanes *)(a + i) * *(const lanes *)(b + i);
        s1 += *(const lanes *)(a + i + 4) * *(const lanes *)(b + i + 4);
        s2 += *(const lanes *)(a + i + 8) * *(const lanes *)(b + i + 8);
        s3 += *(const lanes *)(a + i + 12) * *(const lanes *)(b + i + 12);
    }
    s0 = (s0 + s1) + (s2 + s3);
    sum = (s0[0] + s0[1]) + (s0[2] + s0[3]);
    for (; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

INLINE void add(double a, const double *x, double *y, uint32_t n)
{
    uint32_t i = 0;

    for (; i + 4 <= n; i += 4)
        *(lanes *)(y + i) += a * *(const lanes *)(x + i);
    for (; i < n; i++)
        y[i] += a * x[i];
}

CLONES double sona_dense_dot(const double *a, const double *b, uint32_t n)
{
    return dot(a, b, n);
}

CLONES void sona_dense_add(double a, const double *x, double *y, uint32_t n)
{
    add(a, x, y, n);
}

size_t sona_dense_packed_size(uint32_t n)
{
    size_t size = 0;

    for (uint32_t i = 0; i < n; i++)
        size += sona_dense_padded(i + 1);
    return size;
}

/* The lanes are summed once, at the end: sum_i x_i (row_i . x) is linear in them. */
CLONES double sona_dense_form(const float *packed, const float *x, uint32_t n)
{
    lanes8 sum = {0};
    double total = 0;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t j = 0, end = sona_dense_padded(i + 1);
        lanes8 s0 = {0}, s1 = {0};

        for (; j + 16 <= end; j += 16) {
            s0 += *(const lanes8 *)(packed + j) * *(const lanes8 *)(x + j);
            s1 += *(const lanes8 *)(packed + j + 8) * *(const lanes8 *)(x + j + 8);
        }
        if (j < end)
            s0 += *(const lanes8 *)(packed + j) * *(const lanes8 *)(x + j);
        sum += x[i] * (s0 + s1);
        packed += end;
    }
    for (uint32_t j = 0; j < 8; j++)
        total += (double)sum[j];
    return total;
}

CLONES void sona_dense_times(const double *m, const double *x, double *y, uint32_t n)
{
    memset(y, 0, n * sizeof *y);
    for (uint32_t i = 0; i < n; i++, m += n) {
        lanes sum = {0};
        double rest = m[i] * x[i];
        uint32_t j = 0;

        /* The row is a row to y[i] and a column to those before it. */
        for (; j + 4 <= i; j += 4) {
            lanes row = *(const lanes *)(m + j);

            sum += row * *(const lanes *)(x + j);
            *(lanes *)(y + j) += x[i] * row;
        }
        for (; j < i; j++) {
            rest += m[j] * x[j];
            y[j] += x[i] * m[j];
        }
        y[i] += rest + ((sum[0] + sum[1]) + (sum[2] + sum[3]));
    }
}

CLONES void sona_dense_rank_one(double *m, double a, const double *v, float *packed, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++, m += n) {
        double factor = a * v[i];
        uint32_t j = 0;

        for (; j + 4 <= i; j += 4) {
            lanes row = *(const lanes *)(m + j) + factor * *(const lanes *)(v + j);

            *(lanes *)(m + j) = row;
            *(lanes4 *)(packed + j) = 2 * __builtin_convertvector(row, lanes4);
        }
        for (; j <= i; j++) {
            m[j] += factor * v[j];
            packed[j] = (j < i ? 2 : 1) * (float)m[j];
        }
        packed += sona_dense_padded(i + 1);
    }
}

CLONES void sona_dense_similar(const float *rows_of, const float *x, float *ret, uint32_t rows,
                               uint32_t n)
{
    for (uint32_t r = 0; r < rows; r++, rows_of += n) {
        lanes8 s0 = {0}, s1 = {0};
        float sum = 0;
        uint32_t i = 0;

        for (; i + 16 <= n; i += 16) {
            s0 += *(const lanes8 *)(rows_of + i) * *(const lanes8 *)(x + i);
            s1 += *(const lanes8 *)(rows_of + i + 8) * *(const lanes8 *)(x + i + 8);
        }
        s0 += s1;
        for (; i < n; i++)
            sum += rows_of[i] * x[i];
        for (uint32_t j = 0; j < 8; j++)
            sum += s0[j];
        ret[r] = sum;
    }
}
