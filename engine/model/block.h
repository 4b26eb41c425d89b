/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Typed access to the parts of a model block, for the model's own functions and the learner.
 *
 * Offsets come from the layout alone. Words that steer a loop or an index are fetched once, through
 * sona_model_word(), and clamped by the caller: the block may be changing under a reader.
 */
#ifndef SONA_ENGINE_MODEL_BLOCK_H
#define SONA_ENGINE_MODEL_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/kernels/kernels.h"
#include "engine/model/model.h"

/* Fetch a word exactly once, so that the value that was clamped is the value that is used. Relaxed:
 * it pairs with nothing here; the reader's check of the slot's `seq` afterwards orders it. */
static inline uint32_t sona_model_word(const uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static inline uint32_t sona_model_word_up_to(const uint32_t *word, uint32_t limit)
{
    uint32_t value = sona_model_word(word);

    return value < limit ? value : limit;
}

/* `low` for NaN, so that a torn number cannot leave the interval. */
static inline float sona_model_clamp(float value, float low, float high)
{
    if (!(value > low))
        return low;
    return value < high ? value : high;
}

static inline const struct sona_model_hot *sona_model_hot_of(const struct sona_model_view *view)
{
    return view->hot;
}

static inline const struct sona_model_cold *sona_model_cold_of(const struct sona_model_view *view)
{
    return view->cold;
}

static inline const float *sona_model_floats(const void *block, size_t offset)
{
    return (const float *)(const void *)((const unsigned char *)block + offset);
}

static inline float *sona_model_floats_of(void *block, size_t offset)
{
    return (float *)(void *)((unsigned char *)block + offset);
}

static inline const struct sona_model_route *
sona_model_route_row(const struct sona_model_layout *layout, const void *hot, uint32_t index)
{
    const void *row =
        (const unsigned char *)hot + layout->routes.offset + (size_t)index * layout->routes.stride;

    return row;
}

/* Offset of a part of a row: of the block that `rows` belongs to. */
static inline size_t sona_model_at(const struct sona_model_rows *rows, uint32_t index, size_t part)
{
    return rows->offset + (size_t)index * rows->stride + part;
}

static inline const struct sona_model_pattern *
sona_model_pattern_row(const struct sona_model_layout *layout, const void *cold, uint32_t index)
{
    const void *row = (const unsigned char *)cold + layout->patterns.offset +
                      (size_t)index * layout->patterns.stride;

    return row;
}

static inline const int16_t *sona_model_pattern_lifted(const struct sona_model_layout *layout,
                                                       const void *cold, uint32_t index)
{
    const void *row = (const unsigned char *)cold +
                      sona_model_at(&layout->patterns, index, layout->pattern_lifted);

    return row;
}

static inline const struct sona_model_tenant_group *
sona_model_tenant_group_at(const struct sona_model_layout *layout, const void *hot, uint32_t index)
{
    const void *group = (const unsigned char *)hot + layout->tenant_index.offset +
                        (size_t)index * layout->tenant_index.stride;

    return group;
}

static inline const struct sona_model_tenant *
sona_model_tenant_row(const struct sona_model_layout *layout, const void *hot, uint32_t index)
{
    const void *row = (const unsigned char *)hot + layout->tenants.offset +
                      (size_t)index * layout->tenants.stride;

    return row;
}

/* A part of a tenant's row. */
static inline const float *sona_model_tenant_part(const struct sona_model_layout *layout,
                                                  const void *hot, uint32_t index, size_t part)
{
    return sona_model_floats(hot, sona_model_at(&layout->tenants, index, part));
}

/* Rows of a vector table, as a stride in floats. */
static inline size_t sona_model_stride(const struct sona_model_rows *rows)
{
    return rows->stride / sizeof(float);
}

static inline uint32_t sona_model_n_routes(const struct sona_model_view *view)
{
    return sona_model_word_up_to(&sona_model_hot_of(view)->n_routes,
                                 view->layout->geometry.routes_max);
}

/* Until the end of the block around it, compute with the kernels that the model asks for. At the
 * top of every function through which computing on a model is entered. */
#define SONA_MODEL_KERNELS(layout)                             \
    const struct sona_kernels *const kernels_before            \
        __attribute__((cleanup(sona_kernels_leave), unused)) = \
            sona_kernels_enter(((layout)->geometry.flags & SONA_GEOMETRY_PLAIN) != 0)

/* Patterns that both halves know. */
static inline uint32_t sona_model_n_patterns(const struct sona_model_view *view)
{
    uint32_t hot =
        sona_model_word_up_to(&sona_model_hot_of(view)->n_patterns, view->layout->patterns.count);

    return sona_model_word_up_to(&sona_model_cold_of(view)->n_patterns, hot);
}

static inline struct sona_model_bank *sona_model_bank_row(const struct sona_model_layout *layout,
                                                          const void *cold, uint32_t index)
{
    const unsigned char *row =
        (const unsigned char *)cold + layout->bank.offset + (size_t)index * layout->bank.stride;

    return (struct sona_model_bank *)(uintptr_t)row;
}

/* Is the bank's column of a route about this generation of it? The bank outlives the fit of a
 * route: regimes share it, and patterns may be brought. */
static inline bool sona_model_bank_knows(const void *cold, const struct sona_model_route *route)
{
    return sona_model_word(&route->fit) == 1 ||
           route->birth <= ((const struct sona_model_cold *)cold)->step;
}

static inline float *sona_model_bank_part(const struct sona_model_layout *layout, const void *cold,
                                          uint32_t index, size_t part)
{
    return sona_model_floats_of((void *)(uintptr_t)cold, sona_model_at(&layout->bank, index, part));
}

#endif
