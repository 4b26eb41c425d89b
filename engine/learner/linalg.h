/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Small dense algebra in double, and orthogonal bases of long float vectors. No memory of its own.
 */
#ifndef SONA_ENGINE_LEARNER_LINALG_H
#define SONA_ENGINE_LEARNER_LINALG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SONA_LEARNER_SMALL 36u /* rows of a small matrix */

/* Solve M x = b for a symmetric positive definite M of n <= SONA_LEARNER_SMALL rows, `stride`
 * doubles apart. False when M is not positive definite; x is then untouched. */
bool sona_learner_solve(const double *m, size_t stride, uint32_t n, const double *b, double *x);
/* Invert it. */
bool sona_learner_invert(const double *m, size_t stride, uint32_t n, double *ret);
/* Singular values and left/right vectors of a square matrix (n rows, row-major, n wide), largest
 * first: m = sum_i s_i u_i v_i'. u and v: rows are the vectors. */
void sona_learner_svd(const double *m, uint32_t n, double *u, double *s, double *v);
/* Make row `r` orthogonal to rows 0..r-1 (unit or zero) and scale it to unit length; false, and the
 * row cleared, when nothing but rounding is left of it. */
bool sona_learner_orthonormalise(float *rows, size_t stride, uint32_t r, size_t n);

#endif
