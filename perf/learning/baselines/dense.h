/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The few operations on doubles that the baselines spend their time in. Four explicit lanes, summed
 * in one fixed order: the same bits on every processor.
 */
#ifndef SONA_PERF_DENSE_H
#define SONA_PERF_DENSE_H

#include <stddef.h>
#include <stdint.h>

double sona_dense_dot(const double *a, const double *b, uint32_t n);
/* y += a x */
void sona_dense_add(double a, const double *x, double *y, uint32_t n);
/* A symmetric matrix: n rows of n doubles, of which only the lower triangle is read and written.
 * What costs is reading it, so an update goes over it once, and a decision reads a packed copy in
 * floats: the rows of the triangle one after another, each up to a whole number of lanes, zeros
 * behind it, what is beside the diagonal doubled. */
size_t sona_dense_packed_size(uint32_t n);
static inline uint32_t sona_dense_padded(uint32_t n)
{
    return (n + 7) / 8 * 8;
}
/* x'Mx; x has sona_dense_padded(n) floats, zeros behind the first n. */
double sona_dense_form(const float *packed, const float *x, uint32_t n);
/* y = M x */
void sona_dense_times(const double *m, const double *x, double *y, uint32_t n);
/* M += a v v', and the packed copy with it; its zeros are not written. */
void sona_dense_rank_one(double *m, double a, const double *v, float *packed, uint32_t n);
/* Dot products of one vector with `rows` vectors of floats. */
void sona_dense_similar(const float *rows_of, const float *x, float *ret, uint32_t rows,
                        uint32_t n);

#endif
