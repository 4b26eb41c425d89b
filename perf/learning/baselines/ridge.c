/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "ridge.h"

#include <stdlib.h>
#include <string.h>

#include "dense.h"

void sona_ridge_done(struct sona_ridge *ridge)
{
    if (ridge == NULL)
        return;
    free(ridge->inverse);
    free(ridge->theta);
    free(ridge->z);
    free(ridge->az);
    free(ridge->zf);
    free(ridge->packed);
    free(ridge);
}

struct sona_ridge *sona_ridge_init(uint32_t dim, uint32_t routes, double penalty, double bias,
                                   double prior)
{
    struct sona_ridge *ridge = calloc(1, sizeof *ridge);
    uint32_t width = dim + (bias > 0);
    size_t square = (size_t)width * width;

    if (ridge == NULL)
        return NULL;
    *ridge = (struct sona_ridge){
        .routes = routes,
        .width = width,
        .bias = bias,
        .prior = prior,
        .inverse = calloc(routes * square, sizeof(double)),
        .theta = calloc((size_t)routes * width, sizeof(double)),
        .z = calloc(width, sizeof(double)),
        .az = calloc(width, sizeof(double)),
        .zf = calloc(sona_dense_padded(width), sizeof(float)),
        .packed_size = sona_dense_packed_size(width),
    };
    ridge->packed = calloc(routes * ridge->packed_size, sizeof(float));
    if (ridge->inverse == NULL || ridge->theta == NULL || ridge->z == NULL || ridge->az == NULL ||
        ridge->zf == NULL || ridge->packed == NULL) {
        sona_ridge_done(ridge);
        return NULL;
    }
    for (uint32_t k = 0; k < routes; k++) {
        float *packed = ridge->packed + k * ridge->packed_size;

        for (uint32_t i = 0; i < width; i++) {
            ridge->inverse[k * square + (size_t)i * width + i] = 1 / penalty;
            packed[i] = (float)(1 / penalty);
            packed += sona_dense_padded(i + 1);
        }
    }
    return ridge;
}

static void extend(struct sona_ridge *ridge, const double *x)
{
    uint32_t dim = ridge->width - (ridge->bias > 0);

    memcpy(ridge->z, x, dim * sizeof *x);
    if (ridge->bias > 0)
        ridge->z[dim] = ridge->bias;
    for (uint32_t i = 0; i < ridge->width; i++)
        ridge->zf[i] = (float)ridge->z[i];
}

void sona_ridge_predict(struct sona_ridge *ridge, const double *x, double *ret_value,
                        double *ret_variance)
{
    uint32_t width = ridge->width;

    extend(ridge, x);
    for (uint32_t k = 0; k < ridge->routes; k++) {
        ret_value[k] =
            ridge->prior + sona_dense_dot(ridge->theta + (size_t)k * width, ridge->z, width);
        if (ret_variance != NULL)
            ret_variance[k] =
                sona_dense_form(ridge->packed + k * ridge->packed_size, ridge->zf, width);
    }
}

/* A^-1 -= (A^-1 z)(A^-1 z)' / (1 + z'A^-1 z), and theta moves along A^-1 z by the error over it. */
void sona_ridge_learn(struct sona_ridge *ridge, const double *x, uint32_t route, double value)
{
    uint32_t width = ridge->width;
    double *inverse = ridge->inverse + (size_t)route * width * width;
    double *theta = ridge->theta + (size_t)route * width;
    double spread, error;

    extend(ridge, x);
    sona_dense_times(inverse, ridge->z, ridge->az, width);
    spread = 1 + sona_dense_dot(ridge->z, ridge->az, width);
    error = value - ridge->prior - sona_dense_dot(theta, ridge->z, width);
    sona_dense_add(error / spread, ridge->az, theta, width);
    sona_dense_rank_one(inverse, -1 / spread, ridge->az, ridge->packed + route * ridge->packed_size,
                        width);
}
