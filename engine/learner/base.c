/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The slow step of BaseLoRA: one pass over the newest outcomes of the replay, down the gradient of
 *
 *     e^2 / 2,   e = q - (g_k.z + V_k.x) - w_k.(B_0 A_0 x)
 *
 * in B_0, at base_lora_lr: what the refit heads leave over. A_0 stays: its directions come from the
 * folds. Nothing happens before the first fold, for B_0 A_0 is zero then.
 */
#include <math.h>

#include "engine/learner/job.h"

#define NEWEST 256u /* outcomes read: those since the last cycle, mostly */

void sona_learner_job_base(struct sona_learner_job *j)
{
    const struct sona_model_layout *layout = &j->layout;
    const struct sona_kernels *kernels = sona_kernels_active();
    const struct sona_model_cold *cold = sona_learner_job_at(j, j->cold);
    const float *a = sona_learner_job_floats(j, j->cold + layout->base_a);
    float *b = sona_learner_job_floats(j, j->cold + layout->base_b);
    uint32_t n = layout->dim_padded, rank = layout->geometry.base_rank;

    if (!(cold->has_base & 1u) || !(j->config.base_lora_lr > 0))
        return;
    for (uint32_t i = j->count > NEWEST ? j->count - NEWEST : 0; i < j->count; i++) {
        const struct sona_learner_entry *entry = &sona_learner_job_entries(j)[i];
        const float *x = sona_learner_job_x(j, i), *w;
        float ax[SONA_BASE_RANK_MAX], bw[SONA_BASE_RANK_MAX], e;

        if (entry->route >= j->n_routes)
            continue;
        w = sona_learner_job_part(j, entry->route, layout->route_head);
        kernels->dot_rows(a, n, rank, x, n, ax);
        kernels->dot_rows(b, n, rank, w, n, bw);
        e = entry->quality - sona_learner_job_row(j, entry->route)->mean -
            kernels->dot(sona_learner_job_head(j, entry->route), x, n);
        for (uint32_t r = 0; r < rank; r++)
            e -= bw[r] * ax[r];
        e = entry->weight * sona_model_clamp(e, -2, 2);
        for (uint32_t r = 0; r < rank; r++)
            kernels->axpy(j->config.base_lora_lr * e * sona_model_clamp(ax[r], -1e3f, 1e3f), w,
                          b + (size_t)r * n, n);
    }
    /* A step can be no longer than the adapter may be. */
    for (uint32_t r = 0; r < rank; r++) {
        float norm = sqrtf(kernels->dot(b + (size_t)r * n, b + (size_t)r * n, n));

        for (uint32_t i = 0; i < n && norm > 1; i++)
            b[(size_t)r * n + i] /= norm;
    }
}
