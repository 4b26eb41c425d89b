/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Models for tests: two blocks, each ending at a page that nobody may touch, filled as a learner
 * could have filled them or with whatever bytes a test likes. */
#ifndef SONA_TESTS_ENGINE_MODEL_FIXTURE_H
#define SONA_TESTS_ENGINE_MODEL_FIXTURE_H

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "engine/model/block.h"
#include "engine/model/model.h"
#include "tests/engine/dice.h"

struct model {
    struct sona_model_layout layout;
    struct sona_model_view view;
    struct sona_model_scores scores;
    unsigned char *hot, *cold, *scratch;
};

/* `bytes` (a multiple of 64) right before a page without any access. */
static inline void *guarded(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t body = (bytes + page - 1) / page * page;
    unsigned char *map =
        mmap(NULL, body + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    cr_assert(ne(ptr, map, MAP_FAILED));
    cr_assert(eq(int, mprotect(map + body, page, PROT_NONE), 0));
    return map + body - bytes;
}

static inline void unguard(void *block, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t body = (bytes + page - 1) / page * page;

    cr_assert(eq(int, munmap((unsigned char *)block + bytes - body, body + page), 0));
}

static inline sona_geometry small_geometry(void)
{
    return (sona_geometry){
        .dim = 20,
        .routes_max = 8,
        .micro_rank = 2,
        .base_rank = 4,
        .layers = 2,
        .patterns_max = 12,
        .flags = SONA_GEOMETRY_NORMALIZE,
    };
}

static inline void model_open(struct model *m, const sona_geometry *geometry)
{
    cr_assert(eq(int, sona_model_layout_init(&m->layout, geometry), SONA_OK));
    m->hot = guarded(m->layout.hot_bytes);
    m->cold = guarded(m->layout.cold_bytes);
    m->scratch = guarded(sona_model_scratch_bytes(&m->layout));
    sona_model_blocks_init(&m->layout, m->hot, m->cold);
    sona_model_scratch_init(&m->layout, m->scratch, &m->scores);
    m->view = (struct sona_model_view){&m->layout, m->hot, m->cold};
}

/* Models of a test that opens thousands. */
static inline void model_close(struct model *m)
{
    unguard(m->hot, m->layout.hot_bytes);
    unguard(m->cold, m->layout.cold_bytes);
    unguard(m->scratch, sona_model_scratch_bytes(&m->layout));
}

static inline struct sona_model_hot *model_head(struct model *m)
{
    return (void *)m->hot;
}

static inline struct sona_model_cold *model_cold(struct model *m)
{
    return (void *)m->cold;
}

static inline struct sona_model_route *model_route(struct model *m, uint32_t k)
{
    return (void *)(m->hot + sona_model_at(&m->layout.routes, k, 0));
}

static inline float *hot_floats(struct model *m, size_t offset)
{
    return sona_model_floats_of(m->hot, offset);
}

static inline float *cold_floats(struct model *m, size_t offset)
{
    return sona_model_floats_of(m->cold, offset);
}

static inline void fill(float *x, uint32_t n, uint32_t padded, float scale, struct dice *dice)
{
    for (uint32_t i = 0; i < padded; i++)
        x[i] = i < n ? scale * dice_signed(dice) : 0;
}

/* A route with evidence, a head, a code head and a covariance. */
static inline void model_add_route(struct model *m, struct dice *dice)
{
    uint32_t k = model_head(m)->n_routes++;
    struct sona_model_route *row = model_route(m, k);
    float *p = hot_floats(m, sona_model_at(&m->layout.routes, k, m->layout.route_cov));

    row->id = SONA_ROUTE_ID(k, k == 1 ? 3 : 0);
    row->state = SONA_ROUTE_ENABLED;
    snprintf(row->name, sizeof(row->name), "route-%u", k);
    row->cost = dice_unit(dice);
    row->n = 20 * dice_unit(dice);
    row->s = row->n * dice_unit(dice);
    row->prior_n = 1;
    row->prior_s = 0.5f;
    row->mean = (row->s + row->prior_s) / (row->n + row->prior_n);
    row->bias = 0.1f * dice_signed(dice);
    row->fit = 1;
    fill(hot_floats(m, sona_model_at(&m->layout.routes, k, m->layout.route_head)),
         m->layout.geometry.dim, m->layout.dim_padded, 0.3f, dice);
    fill(hot_floats(m, sona_model_at(&m->layout.routes, k, m->layout.route_code)),
         m->layout.code_dim, m->layout.code_padded, 0.3f, dice);
    for (uint32_t i = 0; i < m->layout.code_dim; i++)
        p[(size_t)i * m->layout.code_padded + i] = 0.05f + 0.1f * dice_unit(dice);
    fill(cold_floats(m, sona_model_at(&m->layout.refit, k, 0)), m->layout.geometry.dim,
         m->layout.dim_padded, 0.3f, dice);
}

static inline int16_t *model_lifted(struct model *m, uint32_t c)
{
    return (int16_t *)(uintptr_t)sona_model_pattern_lifted(&m->layout, m->cold, c);
}

/* A model with every part in use. */
static inline void model_fill(struct model *m, uint32_t n_routes, uint32_t n_patterns,
                              struct dice *dice)
{
    const struct sona_model_layout *l = &m->layout;
    struct sona_model_hot *head = model_head(m);

    for (uint32_t k = 0; k < n_routes; k++)
        model_add_route(m, dice);
    head->step = 1000;
    head->outcomes = 900;
    head->mse = 0.2f;
    head->lambda = 0.3f;
    head->micro_scale = 0.5f;
    head->flags = SONA_MODEL_USE_MICRO | SONA_MODEL_USE_BASE | SONA_MODEL_USE_PATTERNS;
    for (uint32_t j = 0; j < SONA_MODEL_STACK; j++)
        head->stack[j] = 0.5f + 0.5f * dice_unit(dice);
    head->n_patterns = model_cold(m)->n_patterns = n_patterns;
    model_cold(m)->has_code = 1;
    model_cold(m)->has_base = 1;
    model_cold(m)->pattern_width = 0.15f;
    for (uint32_t r = 0; r < l->geometry.micro_rank; r++) {
        fill(hot_floats(m, l->micro_a) + r * l->dim_padded, l->geometry.dim, l->dim_padded, 1,
             dice);
        fill(hot_floats(m, l->micro_b) + r * l->dim_padded, l->geometry.dim, l->dim_padded, 0.1f,
             dice);
    }
    fill(hot_floats(m, l->micro_heads), SONA_MICRO_RANK_MAX * n_routes,
         SONA_MICRO_RANK_MAX * n_routes, 0.1f, dice);
    for (uint32_t r = 0; r < l->geometry.base_rank; r++) {
        cold_floats(m, l->code)[r * l->dim_padded + r] = 1; /* orthonormal */
        fill(cold_floats(m, l->base_a) + r * l->dim_padded, l->geometry.dim, l->dim_padded, 0.2f,
             dice);
        fill(cold_floats(m, l->base_b) + r * l->dim_padded, l->geometry.dim, l->dim_padded, 0.2f,
             dice);
    }
    for (uint32_t c = 0; c < n_patterns; c++) {
        struct sona_model_pattern *row = (void *)(m->cold + sona_model_at(&l->patterns, c, 0));
        float *tally = hot_floats(m, sona_model_at(&l->pattern_stats, c, 0));

        row->id = 100 + c;
        row->cluster_size = c;
        row->norm2 = 0;
        fill(cold_floats(m, sona_model_at(&l->patterns, c, l->pattern_centroid)), l->geometry.dim,
             l->dim_padded, 0.3f, dice);
        for (uint32_t at = 0; at < l->geometry.dim; at++) {
            float value = cold_floats(m, sona_model_at(&l->patterns, c, l->pattern_centroid))[at];

            row->norm2 += value * value;
            /* The code is the first axes. */
            model_lifted(m, c)[at] = (int16_t)lrintf(
                SONA_MODEL_LIFTED * (at < l->geometry.base_rank ? 2 * value : value));
        }
        fill(cold_floats(m, sona_model_at(&l->patterns, c, l->pattern_lin)), n_routes, n_routes,
             0.5f, dice);
        for (uint32_t k = 0; k < n_routes; k++) {
            tally[l->pattern_n / sizeof(float) + k] = 4 * dice_unit(dice);
            tally[l->pattern_s / sizeof(float) + k] =
                dice_unit(dice) * tally[l->pattern_n / sizeof(float) + k];
        }
    }
}

/* A bank row of every pattern. */
static inline void model_fill_bank(struct model *m, uint32_t n_patterns, struct dice *dice)
{
    const struct sona_model_layout *l = &m->layout;

    model_cold(m)->n_bank = n_patterns;
    for (uint32_t c = 0; c < n_patterns; c++) {
        struct sona_model_bank *row = sona_model_bank_row(l, m->cold, c);
        float *centroid = sona_model_bank_part(l, m->cold, c, l->bank_centroid), norm = 0;

        *row = (struct sona_model_bank){.id = 100 + c, .cluster_size = c, .mass = 1, .weight = 1};
        fill(centroid, l->geometry.dim, l->dim_padded, 1, dice);
        for (uint32_t i = 0; i < l->geometry.dim; i++)
            norm += centroid[i] * centroid[i];
        for (uint32_t i = 0; i < l->geometry.dim; i++)
            centroid[i] /= sqrtf(norm);
    }
    sona_model_index_bank(l, m->cold, n_patterns);
}

/* A prepared query. */
static inline void model_query(struct model *m, float *x, struct dice *dice)
{
    float raw[SONA_DIM_MAX];

    fill(raw, m->layout.geometry.dim, m->layout.geometry.dim, 1, dice);
    cr_assert(eq(int, sona_model_prepare(&m->layout, raw, x), SONA_OK));
}

#endif
