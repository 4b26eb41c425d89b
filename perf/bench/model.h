/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A model of a given shape with random weights in private memory: what kernels and look-ups are
 * measured on when no learner is needed to have filled it.
 */
#ifndef SONA_PERF_BENCH_MODEL_H
#define SONA_PERF_BENCH_MODEL_H

#include "engine/model/block.h"
#include "engine/model/model.h"

struct sona_bench_model {
    struct sona_model_layout layout;
    void *hot, *cold;
    struct sona_model_view view; /* of the three above: the struct must not be copied */
};

/* Ranks as given, one route, `patterns` rows of the bank, all in use. */
void sona_bench_model_init(struct sona_bench_model *ret, uint32_t dim, uint32_t micro_rank,
                           uint32_t base_rank, uint32_t patterns);
void sona_bench_model_done(struct sona_bench_model *model);

/* Bytes that a decision reads of a model, its query included: of each route the entry, two heads,
 * the code's head and covariance; the code, A of MicroLoRA; of each of the learner's own patterns
 * the entry and the lifted centroid. */
size_t sona_bench_model_decision_bytes(const struct sona_model_view *view);
/* Bytes that the best search known here reads of a bank that holds so many rows: where there are
 * signatures those, and the rows of the short list; of a small bank the centroids in whole numbers,
 * and the k that are told; of the smallest all centroids. */
size_t sona_bench_model_search_bytes(const struct sona_model_layout *layout, uint32_t patterns,
                                     uint32_t k);

#endif
