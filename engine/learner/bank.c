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

/* A part of a row, in the table or outside. */
static float *part_of(const struct sona_model_bank *row, size_t part)
{
    return sona_model_floats_of((void *)(uintptr_t)row, part);
}

/* After its sums changed: unit centroid, type. */
static void refresh(const struct sona_model_layout *layout, struct sona_model_bank *row)
{
    float *x = part_of(row, layout->bank_centroid);
    float norm = sqrtf(sona_kernels_active()->dot(x, x, layout->dim_padded));

    for (uint32_t i = 0; i < layout->dim_padded && norm > 0; i++)
        x[i] /= norm;
    row->type = type_of(row);
}

void sona_learner_bank_refresh(const struct sona_model_layout *layout, void *cold, uint32_t c)
{
    refresh(layout, sona_model_bank_row(layout, cold, c));
}

void sona_learner_bank_remove(const struct sona_model_layout *layout, void *cold, uint32_t c)
{
    uint32_t last = --head_of(cold)->n_bank;
    struct sona_model_bank *row = sona_model_bank_row(layout, cold, last);

    if (c != last)
        memcpy(sona_model_bank_row(layout, cold, c), row, layout->bank.stride);
    memset(row, 0, layout->bank.stride);
}

static void scale_part(const struct sona_model_layout *layout, struct sona_model_bank *row,
                       size_t part, float factor)
{
    float *values = part_of(row, part);

    for (uint32_t k = 0; k < layout->geometry.routes_max; k++)
        values[k] *= factor;
}

static void fade(const struct sona_model_layout *layout, struct sona_model_bank *row, float factor)
{
    row->mass *= factor;
    row->weight *= factor;
    row->sum *= factor;
    for (uint32_t t = 0; t < SONA_MODEL_TYPES; t++)
        row->typed[t] *= factor;
    scale_part(layout, row, layout->bank_n, factor);
    scale_part(layout, row, layout->bank_s, factor);
}

void sona_learner_bank_decay(const struct sona_model_layout *layout, void *cold, float factor)
{
    for (uint32_t c = 0; c < head_of(cold)->n_bank; c++)
        fade(layout, sona_model_bank_row(layout, cold, c), factor);
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

static void add_part(const struct sona_model_layout *layout, struct sona_model_bank *to,
                     const struct sona_model_bank *from, size_t part)
{
    float *sum = part_of(to, part);
    const float *more = part_of(from, part);

    for (uint32_t k = 0; k < layout->geometry.routes_max; k++)
        sum[k] += more[k];
}

/* Neither of them without mass, as rows of a file may be, nor opposite and of one mass. */
static bool has_mean(const struct sona_model_layout *layout, const struct sona_model_bank *a,
                     const struct sona_model_bank *b)
{
    const float *x = part_of(a, layout->bank_centroid), *y = part_of(b, layout->bank_centroid);
    float square = 0;

    for (uint32_t i = 0; i < layout->dim_padded; i++) {
        float sum = a->mass * x[i] + b->mass * y[i];

        square += sum * sum;
    }
    return square > 1e-30f; /* below, its length could not be made 1 */
}

/* What row `from` knows goes to row `to`, which keeps the older name. */
static void merge(const struct sona_model_layout *layout, struct sona_model_bank *to,
                  const struct sona_model_bank *from)
{
    float *x = part_of(to, layout->bank_centroid);
    const float *y = part_of(from, layout->bank_centroid);
    uint32_t examples =
        from->n_examples < SONA_PATTERN_EXAMPLES ? from->n_examples : SONA_PATTERN_EXAMPLES;

    if (has_mean(layout, to, from))
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
    add_part(layout, to, from, layout->bank_n);
    add_part(layout, to, from, layout->bank_s);
    refresh(layout, to);
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
            merge(layout, sona_model_bank_row(layout, cold, a),
                  sona_model_bank_row(layout, cold, b));
            sona_learner_bank_remove(layout, cold, b);
            merged++;
        }
    return merged;
}

/* ---- rows from outside ---- */

#define GIVEN_MAX 1e7f /* evidence of one row that is brought: a float counts no further */
#define HELD_MAX  9e6f /* that it may come to by being brought again and again: it may go on so */
#define SIDE      1e-3 /* how far the length of a centroid may be from 1 */

static const struct sona_model_bank *given_row(const struct sona_model_layout *layout,
                                               const void *rows, uint32_t i)
{
    return (const void *)((const unsigned char *)rows + (size_t)i * layout->bank.stride);
}

static bool up_to(float value, float most)
{
    return value >= 0 && value <= most; /* false for what is no number */
}

sona_err sona_learner_bank_check(const struct sona_model_layout *layout, const void *row)
{
    const struct sona_model_bank *given = row;
    const float *x = part_of(given, layout->bank_centroid);
    const float *n = part_of(given, layout->bank_n);
    double square = 0;

    for (uint32_t i = 0; i < layout->dim_padded; i++)
        square += (double)x[i] * (double)x[i];
    if (!isfinite(square))
        return SONA_E_NOT_FINITE;
    if (!(fabs(sqrt(square) - 1) <= SIDE) || given->id == 0 ||
        given->id >= SONA_LEARNER_BANK_NUMBERS || given->created_at >= SONA_LEARNER_BANK_NUMBERS ||
        given->last_accessed >= SONA_LEARNER_BANK_NUMBERS ||
        given->access_count >= SONA_LEARNER_BANK_NUMBERS ||
        given->n_examples > SONA_PATTERN_EXAMPLES || given->cluster_size > (uint32_t)GIVEN_MAX ||
        !up_to(given->mass, GIVEN_MAX) || !up_to(given->weight, GIVEN_MAX) ||
        !sona_model_counts_are_sound(&given->weight, &given->sum, 1) ||
        !sona_model_counts_are_sound(n, part_of(given, layout->bank_s),
                                     layout->geometry.routes_max))
        return SONA_E_RANGE;
    for (uint32_t t = 0; t < SONA_MODEL_TYPES; t++)
        if (!up_to(given->typed[t], GIVEN_MAX))
            return SONA_E_RANGE;
    for (uint32_t k = 0; k < layout->geometry.routes_max; k++)
        if (!up_to(n[k], GIVEN_MAX))
            return SONA_E_RANGE;
    return SONA_OK;
}

/* The row of the first `n` that is most like it; the first of several. */
static uint32_t likest(const struct sona_model_layout *layout, const void *cold, uint32_t n,
                       const struct sona_model_bank *given, float *ret_likeness)
{
    uint32_t best = 0;

    *ret_likeness = -2;
    for (uint32_t c = 0; c < n; c++) {
        float likeness =
            sona_kernels_active()->dot(sona_model_bank_part(layout, cold, c, layout->bank_centroid),
                                       part_of(given, layout->bank_centroid), layout->dim_padded);

        if (likeness > *ret_likeness) {
            *ret_likeness = likeness;
            best = c;
        }
    }
    return best;
}

/* A table's counts stay those that it can be loaded with. */
static void bound(const struct sona_model_layout *layout, struct sona_model_bank *row)
{
    const float *n = part_of(row, layout->bank_n);
    float most = row->mass > row->weight ? row->mass : row->weight;

    for (uint32_t t = 0; t < SONA_MODEL_TYPES; t++)
        most = row->typed[t] > most ? row->typed[t] : most;
    for (uint32_t k = 0; k < layout->geometry.routes_max; k++)
        most = n[k] > most ? n[k] : most;
    if (most > HELD_MAX)
        fade(layout, row, HELD_MAX / most);
}

static bool is_used(const struct sona_model_layout *layout, const void *cold, uint64_t id)
{
    for (uint32_t c = 0; c < ((const struct sona_model_cold *)cold)->n_bank; c++)
        if (sona_model_bank_row(layout, cold, c)->id == id)
            return true;
    return false;
}

/* A row of its own, under its number if that is free. */
static void add_row(const struct sona_model_layout *layout, void *cold,
                    const struct sona_model_bank *given, uint64_t *last_id)
{
    uint64_t id = is_used(layout, cold, given->id) ? ++*last_id : given->id;
    struct sona_model_bank *row = sona_model_bank_row(layout, cold, head_of(cold)->n_bank++);

    memcpy(row, given, layout->bank.stride);
    row->id = id;
    row->type = type_of(row);
}

/* What it knows goes to a row that keeps its name and age. */
static void add_to(const struct sona_model_layout *layout, struct sona_model_bank *to,
                   const struct sona_model_bank *given)
{
    uint64_t id = to->id, created_at = to->created_at;

    if (to->cluster_size > UINT32_MAX - given->cluster_size)
        to->cluster_size = UINT32_MAX - given->cluster_size;
    merge(layout, to, given);
    if (to->cluster_size > (uint32_t)GIVEN_MAX)
        to->cluster_size = (uint32_t)GIVEN_MAX;
    if (to->access_count >= SONA_LEARNER_BANK_NUMBERS)
        to->access_count = SONA_LEARNER_BANK_NUMBERS - 1;
    to->id = id;
    to->created_at = created_at;
    bound(layout, to);
}

bool sona_learner_bank_take(const struct sona_model_layout *layout, void *cold, const void *rows,
                            uint32_t n, float similarity, uint64_t *last_id, uint32_t *ret_merged)
{
    uint32_t before = head_of(cold)->n_bank, alike = 0;
    uint64_t highest = *last_id;
    float likeness;

    for (uint32_t i = 0; i < n; i++) {
        (void)likest(layout, cold, before, given_row(layout, rows, i), &likeness);
        alike += likeness >= similarity;
        if (given_row(layout, rows, i)->id > highest)
            highest = given_row(layout, rows, i)->id;
    }
    if (n - alike > layout->bank.count - before)
        return false;
    *last_id = highest;
    /* New rows first, while no centroid has moved: the same are alike as were counted. Then the
     * others, which are those that have become no row of their own. */
    for (uint32_t i = 0; i < n; i++) {
        (void)likest(layout, cold, before, given_row(layout, rows, i), &likeness);
        if (!(likeness >= similarity))
            add_row(layout, cold, given_row(layout, rows, i), last_id);
    }
    for (uint32_t i = 0, added = before; i < n; i++) {
        const struct sona_model_bank *given = given_row(layout, rows, i);

        if (added < head_of(cold)->n_bank &&
            memcmp(part_of(given, layout->bank_centroid),
                   sona_model_bank_part(layout, cold, added, layout->bank_centroid),
                   layout->dim_padded * sizeof(float)) == 0) {
            added++;
            continue;
        }
        uint32_t to = likest(layout, cold, before, given, &likeness);
        add_to(layout, sona_model_bank_row(layout, cold, to), given);
    }
    *ret_merged = alike;
    return true;
}

void sona_learner_bank_index(const struct sona_model_layout *layout, void *cold)
{
    sona_model_index_bank(layout, cold, head_of(cold)->n_bank);
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
