/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The pattern bank as a table: decay, prune, merge. Rows lie without gaps from the first; a removed
 * one is replaced by the last. Pure functions over a cold half that nobody else is using.
 */
#include <math.h>
#include <string.h>

#include "engine/learner/bank.h"
#include "engine/learner/state.h"

static struct sona_model_cold *head_of(void *cold)
{
    return cold;
}

/* More than half of what is known: then that; else general. */
static uint32_t type_of(const struct sona_model_bank *row)
{
    float all = 0;
    uint32_t best = 1;

    for (uint32_t t = 1; t < SONA_MODEL_TYPES; t++) {
        all += row->typed[t];
        if (row->typed[t] > row->typed[best])
            best = t;
    }
    return row->typed[best] > all / 2 ? best : (uint32_t)SONA_PATTERN_GENERAL;
}

void sona_learner_bank_refresh(const struct sona_model_layout *layout, void *cold, uint32_t c)
{
    struct sona_model_bank *row = sona_model_bank_row(layout, cold, c);
    float *x = sona_model_bank_part(layout, cold, c, layout->bank_centroid);
    float norm = sqrtf(sona_kernels_active()->dot(x, x, layout->dim_padded));

    for (uint32_t i = 0; i < layout->dim_padded && norm > 0; i++)
        x[i] /= norm;
    row->type = type_of(row);
}

void sona_learner_bank_remove(const struct sona_model_layout *layout, void *cold, uint32_t c)
{
    uint32_t last = --head_of(cold)->n_bank;
    struct sona_model_bank *row = sona_model_bank_row(layout, cold, last);

    if (c != last)
        memcpy(sona_model_bank_row(layout, cold, c), row, layout->bank.stride);
    memset(row, 0, layout->bank.stride);
}

static void scale_part(const struct sona_model_layout *layout, void *cold, uint32_t c, size_t part,
                       float factor)
{
    float *values = sona_model_bank_part(layout, cold, c, part);

    for (uint32_t k = 0; k < layout->geometry.routes_max; k++)
        values[k] *= factor;
}

void sona_learner_bank_decay(const struct sona_model_layout *layout, void *cold, float factor)
{
    for (uint32_t c = 0; c < head_of(cold)->n_bank; c++) {
        struct sona_model_bank *row = sona_model_bank_row(layout, cold, c);

        row->mass *= factor;
        row->weight *= factor;
        row->sum *= factor;
        for (uint32_t t = 0; t < SONA_MODEL_TYPES; t++)
            row->typed[t] *= factor;
        scale_part(layout, cold, c, layout->bank_n, factor);
        scale_part(layout, cold, c, layout->bank_s, factor);
    }
}

static bool falls_under(const sona_prune_rule *rule, const struct sona_model_bank *row,
                        uint64_t step)
{
    float quality = row->weight > 0 ? row->sum / row->weight : 0;

    return quality < rule->min_quality && row->access_count < rule->min_accesses &&
           step >= row->created_at && step - row->created_at >= rule->min_age;
}

uint32_t sona_learner_bank_prune(const struct sona_model_layout *layout, void *cold,
                                 const sona_prune_rule *rule, float min_mass, uint64_t step)
{
    uint32_t removed = 0;

    for (uint32_t c = head_of(cold)->n_bank; c-- > 0;) {
        const struct sona_model_bank *row = sona_model_bank_row(layout, cold, c);

        if (!falls_under(rule, row, step) && !(row->mass < min_mass))
            continue;
        sona_learner_bank_remove(layout, cold, c);
        removed++;
    }
    return removed;
}

static void add_part(const struct sona_model_layout *layout, void *cold, uint32_t to, uint32_t from,
                     size_t part)
{
    float *sum = sona_model_bank_part(layout, cold, to, part);
    const float *more = sona_model_bank_part(layout, cold, from, part);

    for (uint32_t k = 0; k < layout->geometry.routes_max; k++)
        sum[k] += more[k];
}

/* What row `b` knows goes to row `a`, which keeps the older name. */
static void merge(const struct sona_model_layout *layout, void *cold, uint32_t a, uint32_t b)
{
    struct sona_model_bank *to = sona_model_bank_row(layout, cold, a);
    const struct sona_model_bank *from = sona_model_bank_row(layout, cold, b);
    float *x = sona_model_bank_part(layout, cold, a, layout->bank_centroid);
    const float *y = sona_model_bank_part(layout, cold, b, layout->bank_centroid);
    uint32_t examples =
        from->n_examples < SONA_PATTERN_EXAMPLES ? from->n_examples : SONA_PATTERN_EXAMPLES;

    for (uint32_t i = 0; i < layout->dim_padded; i++)
        x[i] = to->mass * x[i] + from->mass * y[i];
    for (uint32_t i = from->n_examples - examples; i < from->n_examples; i++)
        to->example[to->n_examples++ % SONA_PATTERN_EXAMPLES] =
            from->example[i % SONA_PATTERN_EXAMPLES];
    if (from->id < to->id) {
        to->id = from->id;
        to->created_at = from->created_at;
    }
    if (from->last_accessed > to->last_accessed)
        to->last_accessed = from->last_accessed;
    to->access_count += from->access_count;
    to->cluster_size += from->cluster_size;
    to->mass += from->mass;
    to->weight += from->weight;
    to->sum += from->sum;
    for (uint32_t t = 0; t < SONA_MODEL_TYPES; t++)
        to->typed[t] += from->typed[t];
    add_part(layout, cold, a, b, layout->bank_n);
    add_part(layout, cold, a, b, layout->bank_s);
    sona_learner_bank_refresh(layout, cold, a);
}

float sona_learner_bank_likeness(const struct sona_model_layout *layout, const void *cold,
                                 uint32_t a, uint32_t b)
{
    return sona_kernels_active()->dot(sona_model_bank_part(layout, cold, a, layout->bank_centroid),
                                      sona_model_bank_part(layout, cold, b, layout->bank_centroid),
                                      layout->dim_padded);
}

uint32_t sona_learner_bank_merge(const struct sona_model_layout *layout, void *cold,
                                 float similarity, uint32_t from, uint32_t rows)
{
    uint32_t merged = 0;

    for (uint32_t a = from; a < head_of(cold)->n_bank && a - from < rows; a++)
        for (uint32_t b = head_of(cold)->n_bank; b-- > a + 1;) {
            if (!(sona_learner_bank_likeness(layout, cold, a, b) >= similarity))
                continue;
            merge(layout, cold, a, b);
            sona_learner_bank_remove(layout, cold, b);
            merged++;
        }
    return merged;
}

void sona_learner_bank_forget_route(const struct sona_model_layout *layout, void *cold, uint32_t k)
{
    for (uint32_t c = 0; c < head_of(cold)->n_bank; c++) {
        sona_model_bank_part(layout, cold, c, layout->bank_n)[k] = 0;
        sona_model_bank_part(layout, cold, c, layout->bank_s)[k] = 0;
    }
}

double sona_learner_bank_weight(const struct sona_model_layout *layout, const void *cold)
{
    double sum = 0;

    for (uint32_t c = 0; c < ((const struct sona_model_cold *)cold)->n_bank; c++)
        sum += (double)sona_model_bank_row(layout, cold, c)->weight;
    return sum;
}
