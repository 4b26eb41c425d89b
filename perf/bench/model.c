/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "perf/bench/model.h"

#include <stdlib.h>
#include <string.h>

#include "perf/bench/bench.h"

/* Rows of `dim` floats, `stride` floats apart: small random numbers. */
static void fill(void *block, size_t offset, size_t stride, uint32_t rows, uint32_t dim,
                 uint64_t seed)
{
    float *from = sona_bench_vectors(rows, dim, seed);

    for (uint32_t r = 0; r < rows; r++)
        memcpy(sona_model_floats_of(block, offset) + r * stride, from + (size_t)r * dim,
               dim * sizeof *from);
    free(from);
}

void sona_bench_model_init(struct sona_bench_model *ret, uint32_t dim, uint32_t micro_rank,
                           uint32_t base_rank, uint32_t patterns)
{
    sona_geometry g = {.dim = dim,
                       .routes_max = 16,
                       .micro_rank = micro_rank,
                       .base_rank = base_rank,
                       .layers = 1,
                       .patterns_max = patterns,
                       .flags = SONA_GEOMETRY_NORMALIZE};
    struct sona_model_layout *l = &ret->layout;
    struct sona_model_hot *hot;
    struct sona_model_cold *cold;

    if (sona_model_layout_init(l, &g) != SONA_OK)
        sona_bench_die("a model of %u dimensions cannot be laid out", dim);
    ret->hot = hot = sona_bench_memory(l->hot_bytes);
    ret->cold = cold = sona_bench_memory(l->cold_bytes);
    ret->view = (struct sona_model_view){l, ret->hot, ret->cold};
    sona_model_blocks_init(l, ret->hot, ret->cold);
    hot->micro_scale = 0.5f;
    cold->has_base = 1;
    cold->n_bank = l->bank.count < patterns ? l->bank.count : patterns;
    fill(hot, l->micro_a, l->dim_padded, micro_rank, dim, 1);
    fill(hot, l->micro_b, l->dim_padded, micro_rank, dim, 2);
    fill(cold, l->base_a, l->dim_padded, base_rank, dim, 3);
    fill(cold, l->base_b, l->dim_padded, base_rank, dim, 4);
    fill(cold, l->bank.offset + l->bank_centroid, l->bank.stride / sizeof(float), cold->n_bank, dim,
         5);
    sona_model_index_bank(l, cold, cold->n_bank);
}

size_t sona_bench_model_decision_bytes(const struct sona_model_view *view)
{
    const struct sona_model_layout *l = view->layout;
    const sona_geometry *g = &l->geometry;
    size_t vector = l->dim_padded * sizeof(float), code = l->code_padded * sizeof(float);
    size_t route = sizeof(struct sona_model_route) + 2 * vector + code + l->code_dim * code;
    size_t cell = sizeof(struct sona_model_pattern) + l->dim_padded * sizeof(int16_t);

    return vector * (1 + g->base_rank + g->micro_rank) + route * sona_model_n_routes(view) +
           cell * sona_model_n_patterns(view);
}

size_t sona_bench_model_search_bytes(const struct sona_model_layout *layout, uint32_t patterns,
                                     uint32_t k)
{
    size_t centroid = layout->dim_padded * sizeof(float), whole = centroid / 2;

    if (patterns > SONA_MODEL_SCAN)
        return patterns * (SONA_MODEL_SIGNS / 8) + SONA_MODEL_SHORT * centroid;
    return patterns * whole + k * centroid < patterns * centroid ? patterns * whole + k * centroid
                                                                 : patterns * centroid;
}

void sona_bench_model_done(struct sona_bench_model *model)
{
    free(model->hot);
    free(model->cold);
}
