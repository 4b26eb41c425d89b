/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Ridge regression for each route, exactly, one outcome at a time: what LinUCB and LinTS stand on.
 *
 *     z = [x; bias],  A = ridge I + sum z z',  theta = prior + A^-1 sum z (value - prior)
 *
 * The inverse is kept and follows each z by a rank-one update (Sherman & Morrison 1950),
 * O(width^2).
 */
#ifndef SONA_PERF_RIDGE_H
#define SONA_PERF_RIDGE_H

#include <stddef.h>

#include "baseline.h"

struct sona_ridge {
    uint32_t routes, width; /* width: dim, and one more with a bias */
    double bias;            /* value of the constant feature; 0: none */
    double prior;           /* what an untried route is thought to be worth */
    double *inverse;        /* [routes][width][width] of A: lower triangles */
    double *theta;          /* [routes][width] */
    float *packed;          /* [routes][packed_size] the inverse again, for the variance */
    size_t packed_size;
    double *z, *az; /* [width] scratch */
    float *zf;      /* [padded width] scratch */
};

/* Null: no memory. */
struct sona_ridge *sona_ridge_init(uint32_t dim, uint32_t routes, double penalty, double bias,
                                   double prior);
void sona_ridge_done(struct sona_ridge *ridge);
/* Expected value of each route, and (may be null) z' A^-1 z. */
void sona_ridge_predict(struct sona_ridge *ridge, const double *x, double *ret_value,
                        double *ret_variance);
void sona_ridge_learn(struct sona_ridge *ridge, const double *x, uint32_t route, double value);

#endif
