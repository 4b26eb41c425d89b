/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * One background cycle: what it reads (copied at the start), what it makes (taken at the install),
 * and its working memory. Nothing in it points into the learner.
 */
#ifndef SONA_ENGINE_LEARNER_JOB_H
#define SONA_ENGINE_LEARNER_JOB_H

#include "engine/learner/state.h"

#define SONA_LEARNER_CLUSTER_SAMPLE 1024u /* outcomes that shape the clusters */

struct sona_learner_job {
    sona_config config;
    struct sona_model_layout layout;
    /* Offsets, in bytes from the start of this struct. In: */
    size_t hot, entry, x;
    size_t archive_then; /* the archive as it was: it is stored with a running job (save.h) */
    /* In and out: the cold half, ridge paths, common head, route memory, archive, pattern means. */
    size_t cold, path, common, route, archive, means;
    /* Out: counts per pattern, nearest pattern per outcome. */
    size_t tally, label;
    /* Work. */
    size_t order, residual, codes, heads, krylov, sample, nearest, pick, scores;
    size_t bytes;

    uint32_t archive_rows;
    uint32_t count;      /* outcomes, oldest first */
    uint32_t first_slot; /* replay slot of the oldest */
    uint32_t n_routes;
    uint32_t first[SONA_ROUTES_MAX + 1]; /* of each route in `order` */
    uint32_t routes_refit;
    uint64_t step; /* learner step at the start */
    uint64_t pattern_id;
    uint64_t draws;
    /* The pattern bank. In: outcomes up to bank_step are in it; of `fresh` ones since, some may
     * have left the replay. In and out: the last id. Out: what came of it. */
    uint64_t bank_step, fresh, bank_id, bank_missed;
    uint32_t bank_merged, bank_pruned;
    uint32_t consolidate, reserved;
};

static inline float *sona_learner_job_floats(const struct sona_learner_job *j, size_t offset)
{
    return (float *)(void *)((unsigned char *)(uintptr_t)j + offset);
}

static inline void *sona_learner_job_at(const struct sona_learner_job *j, size_t offset)
{
    return (unsigned char *)(uintptr_t)j + offset;
}

static inline const float *sona_learner_job_x(const struct sona_learner_job *j, uint32_t i)
{
    return sona_learner_job_floats(j, j->x) + (size_t)i * j->layout.dim_padded;
}

static inline struct sona_learner_entry *sona_learner_job_entries(const struct sona_learner_job *j)
{
    return sona_learner_job_at(j, j->entry);
}

static inline float *sona_learner_job_part(const struct sona_learner_job *j, uint32_t k,
                                           size_t part)
{
    return sona_model_floats_of(sona_learner_job_at(j, j->hot),
                                sona_model_at(&j->layout.routes, k, part));
}

static inline struct sona_model_route *sona_learner_job_row(const struct sona_learner_job *j,
                                                            uint32_t k)
{
    return (struct sona_model_route *)(uintptr_t)sona_model_route_row(
        &j->layout, sona_learner_job_at(j, j->hot), k);
}

static inline float *sona_learner_job_refit(const struct sona_learner_job *j, uint32_t k)
{
    return sona_model_floats_of(sona_learner_job_at(j, j->cold),
                                sona_model_at(&j->layout.refit, k, 0));
}

static inline float *sona_learner_job_head(const struct sona_learner_job *j, uint32_t k)
{
    return sona_learner_job_floats(j, j->heads) + (size_t)k * j->layout.dim_padded;
}

static inline struct sona_model_view sona_learner_job_view(const struct sona_learner_job *j)
{
    return (struct sona_model_view){
        .layout = &j->layout,
        .hot = sona_learner_job_at(j, j->hot),
        .cold = sona_learner_job_at(j, j->cold),
    };
}

/* cycle.c: copy what the learner keeps unchanged until the install: cold half, common head, pattern
 * means, ids; and the rest of it as it is now. */
void sona_learner_job_begin(const struct sona_learner *l, struct sona_learner_job *j);
/* refit.c: heads of all routes from the replay, and their average over the ridge path. */
void sona_learner_job_refit_heads(struct sona_learner_job *j);
/* code.c: the code A, code heads and covariances; splits what refit left in `heads`. */
void sona_learner_job_code(struct sona_learner_job *j);
/* base.c: BaseLoRA's own slow step. */
void sona_learner_job_base(struct sona_learner_job *j);
/* cluster.c: patterns, their counts and linear predictions. */
void sona_learner_job_cluster(struct sona_learner_job *j);

#endif
