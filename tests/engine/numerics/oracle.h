/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Dense algebra in double, for tests only: slow, plain, and sharing no line with what it judges.
 * Matrices are row-major and `n` wide.
 */
#ifndef SONA_TESTS_ENGINE_NUMERICS_ORACLE_H
#define SONA_TESTS_ENGINE_NUMERICS_ORACLE_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define ORACLE_MAX 64u /* rows */

/* Solve m x = b by Gauss-Jordan elimination with partial pivoting; m and b are destroyed, b becomes
 * x. False for a singular matrix. */
static inline bool oracle_solve(double *m, double *b, uint32_t n)
{
    for (uint32_t c = 0; c < n; c++) {
        uint32_t top = c;

        for (uint32_t r = c; r < n; r++)
            if (fabs(m[r * n + c]) > fabs(m[top * n + c]))
                top = r;
        if (!(fabs(m[top * n + c]) > 0))
            return false;
        for (uint32_t i = 0; i < n; i++) {
            double keep = m[c * n + i];

            m[c * n + i] = m[top * n + i];
            m[top * n + i] = keep;
        }
        double keep = b[c];
        b[c] = b[top];
        b[top] = keep;
        for (uint32_t r = 0; r < n; r++) {
            double f = r == c ? 0 : m[r * n + c] / m[c * n + c];

            for (uint32_t i = c; i < n; i++)
                m[r * n + i] -= f * m[c * n + i];
            b[r] -= f * b[c];
        }
    }
    for (uint32_t c = 0; c < n; c++)
        b[c] /= m[c * n + c];
    return true;
}

/* Turn coordinates p and q of the symmetric m so that m_pq becomes 0; rows of v turn along. */
static inline void oracle_turn(double *m, double *v, uint32_t n, uint32_t p, uint32_t q)
{
    double off = m[p * n + q], angle, c, s;

    if (!(fabs(off) > 0))
        return;
    angle = 0.5 * atan2(2 * off, m[p * n + p] - m[q * n + q]);
    c = cos(angle);
    s = sin(angle);
    for (uint32_t i = 0; i < n; i++) {
        double a = m[i * n + p], b = m[i * n + q];

        m[i * n + p] = c * a + s * b;
        m[i * n + q] = c * b - s * a;
    }
    for (uint32_t i = 0; i < n; i++) {
        double a = m[p * n + i], b = m[q * n + i];

        m[p * n + i] = c * a + s * b;
        m[q * n + i] = c * b - s * a;
        a = v[p * n + i];
        b = v[q * n + i];
        v[p * n + i] = c * a + s * b;
        v[q * n + i] = c * b - s * a;
    }
}

/* Eigenvalues of the symmetric m, largest first, and unit eigenvectors in the rows of v, by cyclic
 * Jacobi rotations. m is destroyed. */
static inline void oracle_eigen(double *m, uint32_t n, double *values, double *v)
{
    memset(v, 0, (size_t)n * n * sizeof *v);
    for (uint32_t i = 0; i < n; i++)
        v[i * n + i] = 1;
    for (int sweep = 0; sweep < 40; sweep++) {
        double off = 0, on = 0;

        for (uint32_t p = 0; p < n; p++) {
            on += m[p * n + p] * m[p * n + p];
            for (uint32_t q = p + 1; q < n; q++)
                off += m[p * n + q] * m[p * n + q];
        }
        if (!(off > 1e-30 * on))
            break;
        for (uint32_t p = 0; p < n; p++)
            for (uint32_t q = p + 1; q < n; q++)
                oracle_turn(m, v, n, p, q);
    }
    for (uint32_t i = 0; i < n; i++)
        values[i] = m[i * n + i];
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = i + 1; j < n; j++)
            if (values[j] > values[i]) {
                double keep = values[i], row[ORACLE_MAX];

                values[i] = values[j];
                values[j] = keep;
                memcpy(row, v + (size_t)i * n, n * sizeof *row);
                memcpy(v + (size_t)i * n, v + (size_t)j * n, n * sizeof *row);
                memcpy(v + (size_t)j * n, row, n * sizeof *row);
            }
}

/* Singular values of m (n rows), largest first, as the roots of the eigenvalues of m'm; right
 * singular vectors in the rows of v. Good to about 1e-8 of the largest. */
static inline void oracle_singular(const double *m, uint32_t n, double *values, double *v)
{
    double square[ORACLE_MAX * ORACLE_MAX];

    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < n; j++) {
            square[i * n + j] = 0;
            for (uint32_t r = 0; r < n; r++)
                square[i * n + j] += m[r * n + i] * m[r * n + j];
        }
    oracle_eigen(square, n, values, v);
    for (uint32_t i = 0; i < n; i++)
        values[i] = values[i] > 0 ? sqrt(values[i]) : 0;
}

/* The smallest eigenvalue of a symmetric float matrix of n rows, `stride` floats apart; -INFINITY
 * when it is not symmetric, bit for bit, or not finite. */
static inline double oracle_least(const float *p, uint32_t n, uint32_t stride)
{
    double m[ORACLE_MAX * ORACLE_MAX], v[ORACLE_MAX * ORACLE_MAX], values[ORACLE_MAX];

    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < n; j++) {
            float a = p[(size_t)i * stride + j], b = p[(size_t)j * stride + i];

            if (!isfinite(a) || a < b || a > b)
                return -INFINITY;
            m[i * n + j] = (double)a;
        }
    oracle_eigen(m, n, values, v);
    return values[n - 1];
}

#endif
