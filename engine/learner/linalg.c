/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Small dense algebra: Cholesky, one-sided Jacobi, Gram-Schmidt. Sizes are at most
 * SONA_LEARNER_SMALL, loops have fixed bounds, and sums have one order: equal inputs, equal bytes.
 */
#include <math.h>
#include <string.h>

#include "engine/kernels/kernels.h"
#include "engine/learner/linalg.h"

#define SWEEPS_MAX 30

static bool cholesky(const double *m, size_t stride, uint32_t n,
                     double low[SONA_LEARNER_SMALL][SONA_LEARNER_SMALL])
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j <= i; j++) {
            double sum = m[i * stride + j];

            for (uint32_t k = 0; k < j; k++)
                sum -= low[i][k] * low[j][k];
            if (i != j) {
                low[i][j] = sum / low[j][j];
            } else {
                if (!(sum > 0) || !isfinite(sum))
                    return false;
                low[i][i] = sqrt(sum);
            }
        }
    return true;
}

static void substitute(double low[SONA_LEARNER_SMALL][SONA_LEARNER_SMALL], uint32_t n,
                       const double *b, double *x)
{
    for (uint32_t i = 0; i < n; i++) {
        double sum = b[i];

        for (uint32_t k = 0; k < i; k++)
            sum -= low[i][k] * x[k];
        x[i] = sum / low[i][i];
    }
    for (uint32_t i = n; i-- > 0;) {
        double sum = x[i];

        for (uint32_t k = i + 1; k < n; k++)
            sum -= low[k][i] * x[k];
        x[i] = sum / low[i][i];
    }
}

#define EIGHT 8u /* the size of the stack, which is solved for every outcome */

/* M = L D L' by elimination, b as a ninth column: no square root, one division per row, and all
 * loops unrolled, for what is left of the time is the chain of the divisions. */
static bool solve_eight(const double *m, size_t stride, const double *b, double *x)
{
    double rest[EIGHT][EIGHT + 1], inverse[EIGHT];

    for (uint32_t i = 0; i < EIGHT; i++) {
        for (uint32_t j = i; j < EIGHT; j++)
            rest[i][j] = m[i * stride + j];
        rest[i][EIGHT] = b[i];
    }
#pragma GCC unroll 8
    for (uint32_t k = 0; k < EIGHT; k++) {
        if (!(rest[k][k] > 0) || !isfinite(rest[k][k]))
            return false;
        inverse[k] = 1 / rest[k][k];
#pragma GCC unroll 8
        for (uint32_t i = k + 1; i < EIGHT; i++) {
            double factor = rest[k][i] * inverse[k];

#pragma GCC unroll 9
            for (uint32_t j = i; j <= EIGHT; j++)
                rest[i][j] -= factor * rest[k][j];
        }
    }
#pragma GCC unroll 8
    for (uint32_t i = EIGHT; i-- > 0;) {
        x[i] = rest[i][EIGHT] * inverse[i];
#pragma GCC unroll 8
        for (uint32_t j = 0; j < i; j++)
            rest[j][EIGHT] -= rest[j][i] * x[i];
    }
    return true;
}

bool sona_learner_solve(const double *m, size_t stride, uint32_t n, const double *b, double *x)
{
    double low[SONA_LEARNER_SMALL][SONA_LEARNER_SMALL];

    if (n == EIGHT)
        return solve_eight(m, stride, b, x);
    if (!cholesky(m, stride, n, low))
        return false;
    substitute(low, n, b, x);
    return true;
}

bool sona_learner_invert(const double *m, size_t stride, uint32_t n, double *ret)
{
    double low[SONA_LEARNER_SMALL][SONA_LEARNER_SMALL];

    if (!cholesky(m, stride, n, low))
        return false;
    for (uint32_t j = 0; j < n; j++) {
        double unit[SONA_LEARNER_SMALL] = {0};

        unit[j] = 1;
        substitute(low, n, unit, ret + (size_t)j * n);
    }
    return true;
}

/* Rotate rows p and q of w (and of u) so that they become orthogonal. True if they were not. */
static bool rotate(double *w, double *u, uint32_t n, uint32_t p, uint32_t q)
{
    double *a = w + (size_t)p * n, *b = w + (size_t)q * n;
    double *ua = u + (size_t)p * n, *ub = u + (size_t)q * n;
    double aa = 0, bb = 0, ab = 0, zeta, t, c, s;

    for (uint32_t i = 0; i < n; i++) {
        aa += a[i] * a[i];
        bb += b[i] * b[i];
        ab += a[i] * b[i];
    }
    if (fabs(ab) <= 1e-14 * sqrt(aa * bb) || ab == 0)
        return false;
    zeta = (bb - aa) / (2 * ab);
    t = (zeta >= 0 ? 1 : -1) / (fabs(zeta) + sqrt(1 + zeta * zeta));
    c = 1 / sqrt(1 + t * t);
    s = c * t;
    for (uint32_t i = 0; i < n; i++) {
        double x = a[i], y = ua[i];

        a[i] = c * x - s * b[i];
        b[i] = s * x + c * b[i];
        ua[i] = c * y - s * ub[i];
        ub[i] = s * y + c * ub[i];
    }
    return true;
}

static void swap_rows(double *rows, uint32_t n, uint32_t p, uint32_t q)
{
    for (uint32_t i = 0; i < n; i++) {
        double keep = rows[(size_t)p * n + i];

        rows[(size_t)p * n + i] = rows[(size_t)q * n + i];
        rows[(size_t)q * n + i] = keep;
    }
}

void sona_learner_svd(const double *m, uint32_t n, double *u, double *s, double *v)
{
    /* Rows of v start as the rows of m: v = u m, with u orthogonal. */
    memcpy(v, m, (size_t)n * n * sizeof *v);
    memset(u, 0, (size_t)n * n * sizeof *u);
    for (uint32_t i = 0; i < n; i++)
        u[(size_t)i * n + i] = 1;
    for (int sweep = 0; sweep < SWEEPS_MAX; sweep++) {
        bool turned = false;

        for (uint32_t p = 0; p + 1 < n; p++)
            for (uint32_t q = p + 1; q < n; q++)
                turned |= rotate(v, u, n, p, q);
        if (!turned)
            break;
    }
    for (uint32_t i = 0; i < n; i++) {
        double sum = 0;

        for (uint32_t j = 0; j < n; j++)
            sum += v[(size_t)i * n + j] * v[(size_t)i * n + j];
        s[i] = sqrt(sum);
        for (uint32_t j = 0; j < n; j++)
            v[(size_t)i * n + j] = s[i] > 0 ? v[(size_t)i * n + j] / s[i] : 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t top = i;

        for (uint32_t j = i + 1; j < n; j++)
            if (s[j] > s[top])
                top = j;
        if (top != i) {
            double keep = s[i];

            s[i] = s[top];
            s[top] = keep;
            swap_rows(u, n, i, top);
            swap_rows(v, n, i, top);
        }
    }
}

bool sona_learner_orthonormalise(float *rows, size_t stride, uint32_t r, size_t n)
{
    const struct sona_kernels *kernels = sona_kernels_active();
    float *row = rows + r * stride;
    float before = sqrtf(kernels->dot(row, row, n)), after;

    /* Twice is enough: the second pass removes what rounding left of the first. */
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < r; i++)
            kernels->axpy(-kernels->dot(rows + i * stride, row, n), rows + i * stride, row, n);
    after = sqrtf(kernels->dot(row, row, n));
    if (!(after > 1e-5f * before) || !(after > 1e-30f)) {
        memset(row, 0, n * sizeof *row);
        return false;
    }
    for (size_t i = 0; i < n; i++)
        row[i] /= after;
    return true;
}
