/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The code A: orthonormal directions in which routes differ, then those in which queries vary.
 * Heads are split into what the code can say, which goes on learning at every outcome, and the
 * remainder, which stands until the next cycle; together they are the refit head, exactly.
 */
#include <math.h>
#include <string.h>

#include "engine/learner/job.h"
#include "engine/learner/linalg.h"

#define HEAD_DIRECTIONS 12u /* at most, that the heads give to the code */
#define TRIES_MAX       8u  /* at a random direction */
#define HEAD_STEPS      8u  /* of orthogonal iteration */
#define QUERY_STEPS     3u
#define QUERY_SAMPLE    768u /* newest outcomes that the queries' directions come from */

static void random_row(struct sona_learner_job *j, float *row)
{
    for (uint32_t i = 0; i < j->layout.geometry.dim; i++)
        row[i] =
            (float)(sona_model_random(j->config.seed, SONA_LEARNER_STREAM_CODE, j->draws++) >> 40) /
                (float)(1u << 23) -
            1;
}

/* Heads less their mean, weighted by outcomes, in the job's krylov rows' place: `heads` stays. */
static void centre_heads(const struct sona_learner_job *j, float *ret)
{
    const struct sona_kernels *kernels = sona_kernels_active();
    uint32_t n = j->layout.dim_padded;
    float *mean = ret + (size_t)j->n_routes * n;
    float sum = 0;

    memset(mean, 0, n * sizeof *mean);
    for (uint32_t k = 0; k < j->n_routes; k++) {
        float weight = sona_learner_job_row(j, k)->n + 0.1f;

        kernels->axpy(weight, sona_learner_job_head(j, k), mean, n);
        sum += weight;
    }
    for (uint32_t k = 0; k < j->n_routes; k++) {
        memcpy(ret + (size_t)k * n, sona_learner_job_head(j, k), n * sizeof *ret);
        kernels->axpy(-1 / sum, mean, ret + (size_t)k * n, n);
    }
}

/* One step of orthogonal iteration for row r of the code, against `count` vectors. */
static bool iterate(float *code, uint32_t r, const float *vectors, uint32_t count, uint32_t n,
                    float *work)
{
    const struct sona_kernels *kernels = sona_kernels_active();
    float *row = code + (size_t)r * n;

    memset(work, 0, n * sizeof *work);
    for (uint32_t i = 0; i < count; i++)
        kernels->axpy(kernels->dot(vectors + (size_t)i * n, row, n), vectors + (size_t)i * n, work,
                      n);
    memcpy(row, work, n * sizeof *row);
    return sona_learner_orthonormalise(code, n, r, n);
}

/* Leading directions of the vectors, in rows [from, to) of the code; returns the row after the
 * last one found. */
static uint32_t directions(struct sona_learner_job *j, float *code, uint32_t from, uint32_t to,
                           const float *vectors, uint32_t count, uint32_t steps)
{
    uint32_t n = j->layout.dim_padded;
    float *work = sona_learner_job_floats(j, j->krylov);

    for (uint32_t r = from; r < to; r++)
        random_row(j, code + (size_t)r * n);
    for (uint32_t step = 0; step < steps; step++)
        for (uint32_t r = from; r < to; r++)
            if (!iterate(code, r, vectors, count, n, work)) {
                to = r; /* the vectors have no more directions */
                break;
            }
    return to;
}

static void find_code(struct sona_learner_job *j)
{
    uint32_t n = j->layout.dim_padded, rank = j->layout.geometry.base_rank, found;
    uint32_t limit = rank < HEAD_DIRECTIONS ? rank - rank / 4 : HEAD_DIRECTIONS;
    uint32_t sample = j->count < QUERY_SAMPLE ? j->count : QUERY_SAMPLE;
    float *code = sona_model_floats_of(sona_learner_job_at(j, j->cold), j->layout.code);
    float *centred = sona_learner_job_floats(j, j->sample);

    memset(code, 0, (size_t)rank * n * sizeof *code);
    if (limit + 1 > j->n_routes)
        limit = j->n_routes > 0 ? j->n_routes - 1 : 0;
    centre_heads(j, centred);
    found = directions(j, code, 0, limit, centred, j->n_routes, HEAD_STEPS);
    found = directions(j, code, found, rank, sona_learner_job_x(j, j->count - sample), sample,
                       QUERY_STEPS);
    /* Fewer queries than rows: any direction will do, so that the code is orthonormal. */
    for (uint32_t r = found; r < rank; r++)
        for (uint32_t tries = 0; tries < TRIES_MAX; tries++) {
            random_row(j, code + (size_t)r * n);
            if (sona_learner_orthonormalise(code, n, r, n))
                break;
        }
}

/* z of every outcome. */
static void encode(struct sona_learner_job *j)
{
    const struct sona_model_layout *layout = &j->layout;
    const float *code = sona_model_floats(sona_learner_job_at(j, j->cold), layout->code);
    float *codes = sona_learner_job_floats(j, j->codes);

    for (uint32_t i = 0; i < j->count; i++) {
        float *z = codes + (size_t)i * layout->code_padded;

        memset(z, 0, layout->code_padded * sizeof *z);
        sona_kernels_active()->dot_rows(code, layout->dim_padded, layout->geometry.base_rank,
                                        sona_learner_job_x(j, i), layout->dim_padded, z);
        z[layout->code_dim - 1] = 1;
    }
}

/* P_k = (Z'WZ + prior^-1)^-1 */
static void fit_covariance(struct sona_learner_job *j, uint32_t k)
{
    const struct sona_model_layout *layout = &j->layout;
    const struct sona_learner_entry *entries = sona_learner_job_entries(j);
    const uint32_t *order = sona_learner_job_at(j, j->order);
    uint32_t n = layout->code_dim;
    float *p = sona_learner_job_part(j, k, layout->route_cov);
    double precision[(SONA_BASE_RANK_MAX + 1) * (SONA_BASE_RANK_MAX + 1)] = {0};
    double inverse[(SONA_BASE_RANK_MAX + 1) * (SONA_BASE_RANK_MAX + 1)];

    sona_learner_heads_prior(layout, p);
    for (uint32_t i = 0; i < n; i++)
        precision[i * n + i] = 1 / (double)p[(size_t)i * layout->code_padded + i];
    for (uint32_t i = j->first[k]; i < j->first[k + 1]; i++) {
        const float *z =
            sona_learner_job_floats(j, j->codes) + (size_t)order[i] * layout->code_padded;
        double weight = (double)entries[order[i]].weight *
                        (double)sona_learner_pull(layout, sona_learner_job_x(j, order[i]));

        for (uint32_t a = 0; a < n; a++)
            for (uint32_t b = 0; b <= a; b++)
                precision[a * n + b] += weight * (double)z[a] * (double)z[b];
    }
    if (!sona_learner_invert(precision, n, n, inverse))
        return;
    for (uint32_t a = 0; a < n; a++)
        for (uint32_t b = 0; b <= a; b++)
            p[(size_t)a * layout->code_padded + b] = p[(size_t)b * layout->code_padded + a] =
                (float)inverse[a * n + b];
}

/* heads = code part + remainder */
static void split_head(struct sona_learner_job *j, uint32_t k)
{
    const struct sona_model_layout *layout = &j->layout;
    const struct sona_kernels *kernels = sona_kernels_active();
    const float *code = sona_model_floats(sona_learner_job_at(j, j->cold), layout->code);
    float *g = sona_learner_job_part(j, k, layout->route_code);
    float *rest = sona_learner_job_refit(j, k);
    uint32_t n = layout->dim_padded, rank = layout->geometry.base_rank;

    memset(g, 0, layout->code_padded * sizeof *g);
    kernels->dot_rows(code, n, rank, sona_learner_job_head(j, k), n, g);
    memcpy(rest, sona_learner_job_head(j, k), n * sizeof *rest);
    for (uint32_t r = 0; r < rank; r++)
        kernels->axpy(-g[r], code + (size_t)r * n, rest, n);
    g[rank] = sona_learner_job_row(j, k)->mean;
}

void sona_learner_job_code(struct sona_learner_job *j)
{
    find_code(j);
    encode(j);
    for (uint32_t k = 0; k < j->n_routes; k++) {
        split_head(j, k);
        fit_covariance(j, k);
    }
}
