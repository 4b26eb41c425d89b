/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Linear heads from the replay. A common head w0 by conjugate gradients; per route the residual on
 * top of it, for a whole path of ridges out of one Krylov basis:
 *
 *     Lanczos:  Q' (X'WX) Q = T,  Q e1 = X'W r / |X'W r|
 *     ridge p:  v_p = Q (T + p I)^-1 e1 |X'W r|
 *
 * Which ridge is right is not known: the heads are averaged by how well each has predicted outcomes
 * before seeing them (heads.c keeps the losses).
 */
#include <math.h>
#include <string.h>

#include "engine/learner/job.h"
#include "engine/learner/linalg.h"

#define COMMON_RIDGE 30.0f /* of the common head, in outcomes */
#define COMMON_STEPS 5u    /* of conjugate gradients, from the last cycle's head on */
#define LOSS_SCALE   2.0   /* of the losses, in error variances: log likelihoods */

static const double ridges[SONA_LEARNER_PATH - 1] = {1, 4, 16, 64, 256};

static float *residual(const struct sona_learner_job *j)
{
    return sona_learner_job_floats(j, j->residual);
}

static const uint32_t *order(const struct sona_learner_job *j)
{
    return sona_learner_job_at(j, j->order);
}

/* out = sum over the outcomes [from, to) in order of w_i (x_i . v) x_i */
static void gram(const struct sona_learner_job *j, uint32_t from, uint32_t to, const float *v,
                 float *out)
{
    const struct sona_kernels *kernels = sona_kernels_active();
    const struct sona_learner_entry *entries = sona_learner_job_entries(j);
    uint32_t n = j->layout.dim_padded;

    memset(out, 0, n * sizeof *out);
    for (uint32_t i = from; i < to; i++) {
        const float *x = sona_learner_job_x(j, order(j)[i]);

        kernels->axpy(entries[order(j)[i]].weight * sona_learner_pull(&j->layout, x) *
                          kernels->dot(x, v, n),
                      x, out, n);
    }
}

/* out = sum of w_i r_i x_i */
static void moment(const struct sona_learner_job *j, uint32_t from, uint32_t to, float *out)
{
    const struct sona_learner_entry *entries = sona_learner_job_entries(j);
    uint32_t n = j->layout.dim_padded;

    memset(out, 0, n * sizeof *out);
    for (uint32_t i = from; i < to; i++) {
        const float *x = sona_learner_job_x(j, order(j)[i]);

        sona_kernels_active()->axpy(entries[order(j)[i]].weight * sona_learner_pull(&j->layout, x) *
                                        residual(j)[order(j)[i]],
                                    x, out, n);
    }
}

/* (X'WX + COMMON_RIDGE) w0 = X'W r, from where the last cycle left w0. */
static void fit_common(struct sona_learner_job *j)
{
    const struct sona_kernels *kernels = sona_kernels_active();
    uint32_t n = j->layout.dim_padded, last = j->first[j->n_routes];
    float *w = sona_learner_job_floats(j, j->common);
    float *r = sona_learner_job_floats(j, j->krylov), *p = r + n, *ap = p + n;
    float rr;

    moment(j, 0, last, r);
    gram(j, 0, last, w, ap);
    kernels->axpy(COMMON_RIDGE, w, ap, n);
    kernels->axpy(-1, ap, r, n);
    memcpy(p, r, n * sizeof *p);
    rr = kernels->dot(r, r, n);
    for (uint32_t step = 0; step < COMMON_STEPS && rr > 1e-12f; step++) {
        float alpha, before = rr, curvature;

        gram(j, 0, last, p, ap);
        kernels->axpy(COMMON_RIDGE, p, ap, n);
        curvature = kernels->dot(p, ap, n);
        if (!(curvature > 0))
            break;
        alpha = rr / curvature;
        kernels->axpy(alpha, p, w, n);
        kernels->axpy(-alpha, ap, r, n);
        rr = kernels->dot(r, r, n);
        for (uint32_t i = 0; i < n; i++)
            p[i] = r[i] + rr / before * p[i];
    }
    for (uint32_t i = 0; i < last; i++)
        residual(j)[order(j)[i]] -= kernels->dot(w, sona_learner_job_x(j, order(j)[i]), n);
}

/* Basis vectors in `q`; the tridiagonal T in `diagonal` and `beside`. Returns the steps made. */
static uint32_t lanczos(const struct sona_learner_job *j, uint32_t k, float *q, double *diagonal,
                        double *beside, double *ret_start)
{
    const struct sona_kernels *kernels = sona_kernels_active();
    uint32_t n = j->layout.dim_padded;

    moment(j, j->first[k], j->first[k + 1], q);
    *ret_start = sqrt((double)kernels->dot(q, q, n));
    if (!sona_learner_orthonormalise(q, n, 0, n))
        return 0;
    for (uint32_t m = 0; m < SONA_LEARNER_KRYLOV; m++) {
        float *next = q + (size_t)(m + 1) * n;

        gram(j, j->first[k], j->first[k + 1], q + (size_t)m * n, next);
        diagonal[m] = (double)kernels->dot(q + (size_t)m * n, next, n);
        memcpy(next + n, next, n * sizeof *next);
        if (m + 1 == SONA_LEARNER_KRYLOV || !sona_learner_orthonormalise(q, n, m + 1, n))
            return m + 1;
        /* Against the vector as it was stored, not as it was meant: T is what Q makes of it. */
        beside[m] = (double)kernels->dot(next, next + n, n);
    }
    return SONA_LEARNER_KRYLOV;
}

/* y = (T + ridge)^-1 e1 start, by elimination; T + ridge is positive definite. */
static void solve_path(const double *diagonal, const double *beside, uint32_t m, double ridge,
                       double start, double *y)
{
    double pivot[SONA_LEARNER_KRYLOV];

    pivot[0] = diagonal[0] + ridge;
    y[0] = start;
    for (uint32_t i = 1; i < m; i++) {
        double f = beside[i - 1] / pivot[i - 1];

        pivot[i] = diagonal[i] + ridge - f * beside[i - 1];
        if (!(pivot[i] > 1e-9 * ridge))
            pivot[i] = ridge;
        y[i] = -f * y[i - 1];
    }
    for (uint32_t i = m; i-- > 0;)
        y[i] = (y[i] - (i + 1 < m ? beside[i] * y[i + 1] : 0)) / pivot[i];
}

/* Weights of the ridges, by their losses so far. */
static void average(const struct sona_learner_job *j, uint32_t k, double *weights)
{
    const struct sona_learner_route *routes = sona_learner_job_at(j, j->route);
    const struct sona_model_hot *head = sona_learner_job_at(j, j->hot);
    double least = INFINITY, sum = 0;

    for (uint32_t i = 0; i < SONA_LEARNER_PATH; i++) {
        weights[i] = (double)routes[k].loss[i];
        least = weights[i] < least ? weights[i] : least;
    }
    for (uint32_t i = 0; i < SONA_LEARNER_PATH; i++) {
        weights[i] = exp((least - weights[i]) / (LOSS_SCALE * ((double)head->mse + 1e-3)));
        sum += weights[i];
    }
    for (uint32_t i = 0; i < SONA_LEARNER_PATH; i++)
        weights[i] /= sum;
}

static void fit_route(struct sona_learner_job *j, uint32_t k)
{
    const struct sona_kernels *kernels = sona_kernels_active();
    uint32_t n = j->layout.dim_padded, m;
    float *q = sona_learner_job_floats(j, j->krylov);
    float *path = sona_learner_job_floats(j, j->path) + (size_t)k * (SONA_LEARNER_PATH - 1) * n;
    float *head = sona_learner_job_head(j, k);
    double diagonal[SONA_LEARNER_KRYLOV], beside[SONA_LEARNER_KRYLOV], y[SONA_LEARNER_KRYLOV];
    double weights[SONA_LEARNER_PATH], start;

    memset(path, 0, (SONA_LEARNER_PATH - 1) * n * sizeof *path);
    memset(head, 0, n * sizeof *head);
    if (j->first[k + 1] == j->first[k])
        return;
    m = lanczos(j, k, q, diagonal, beside, &start);
    if (m == 0)
        return;
    average(j, k, weights);
    for (uint32_t i = 0; i + 1 < SONA_LEARNER_PATH; i++) {
        solve_path(diagonal, beside, m, ridges[i], start, y);
        for (uint32_t r = 0; r < m; r++)
            kernels->axpy((float)y[r], q + (size_t)r * n, path + (size_t)i * n, n);
        kernels->axpy((float)weights[i], path + (size_t)i * n, head, n);
    }
    j->routes_refit++;
}

void sona_learner_job_refit_heads(struct sona_learner_job *j)
{
    const struct sona_learner_entry *entries = sona_learner_job_entries(j);
    uint32_t last = j->first[j->n_routes];

    for (uint32_t i = 0; i < last; i++) {
        const struct sona_learner_entry *entry = &entries[order(j)[i]];

        residual(j)[order(j)[i]] = entry->quality - sona_learner_job_row(j, entry->route)->mean;
    }
    fit_common(j);
    j->routes_refit = 0;
    for (uint32_t k = 0; k < j->n_routes; k++)
        fit_route(j, k);
    for (uint32_t k = 0; k < j->n_routes; k++) {
        sona_kernels_active()->axpy(1, sona_learner_job_floats(j, j->common),
                                    sona_learner_job_head(j, k), j->layout.dim_padded);
        sona_learner_heads_bound(sona_learner_job_head(j, k), j->layout.dim_padded);
    }
}
