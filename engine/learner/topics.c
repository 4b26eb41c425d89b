/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * How outcomes come into the pattern bank: k-means on the sphere (Dhillon and Modha 2001), in
 * batches of new outcomes, seeded as k-means++ does (Arthur and Vassilvitskii 2007).
 *
 *     nearest pattern of every new outcome
 *     ─► seeds, drawn by squared distance, where no pattern is near and the bank has room
 *     ─► two rounds of means over the new patterns; those that turn out alike are dropped again
 *     ─► every outcome is counted with its nearest pattern, which moves towards it by its share
 *
 * Each outcome comes in once, so that a pattern seen again is updated, not repeated. Only outcomes
 * of at least pattern_quality_threshold shape patterns; worse ones count for the qualities of a
 * pattern that they are near to, and for nothing where there is none.
 */
#include <math.h>
#include <string.h>

#include "engine/learner/bank.h"
#include "engine/learner/job.h"

#define ROUNDS 2u

/* Outcomes of one batch: at most SONA_LEARNER_CLUSTER_SAMPLE. */
struct batch {
    const struct sona_learner_entry *entry;
    float *point;      /* unit length */
    float *distance;   /* to the nearest pattern */
    uint32_t *cluster; /* the nearest pattern; SONA_LEARNER_NO_ROUTE: there is none */
    uint32_t count;
    float beyond; /* distance at which a topic is new */
};

static struct sona_model_cold *cold_of(const struct sona_learner_job *j)
{
    return sona_learner_job_at(j, j->cold);
}

static float *centroid(const struct sona_learner_job *j, uint32_t c)
{
    return sona_model_bank_part(&j->layout, cold_of(j), c, j->layout.bank_centroid);
}

static float *point(const struct sona_learner_job *j, const struct batch *b, uint32_t i)
{
    return b->point + (size_t)i * j->layout.dim_padded;
}

static bool shapes(const struct sona_learner_job *j, const struct sona_learner_entry *entry)
{
    return entry->weight > 0 && entry->quality >= j->config.pattern_quality_threshold;
}

static void open(const struct sona_learner_job *j, struct batch *b, uint32_t from)
{
    uint32_t n = j->layout.dim_padded;

    b->entry = sona_learner_job_entries(j) + from;
    b->point = sona_learner_job_floats(j, j->sample);
    b->distance = sona_learner_job_floats(j, j->nearest);
    b->cluster = sona_learner_job_at(j, j->pick);
    b->count = j->count - from < SONA_LEARNER_CLUSTER_SAMPLE ? j->count - from
                                                             : SONA_LEARNER_CLUSTER_SAMPLE;
    b->beyond = 2 - 2 * (j->config.pattern_similarity - SONA_LEARNER_BANK_GAP);
    for (uint32_t i = 0; i < b->count; i++) {
        const float *x = sona_learner_job_x(j, from + i);
        float norm = sqrtf(sona_kernels_active()->dot(x, x, n));

        for (uint32_t d = 0; d < n; d++)
            point(j, b, i)[d] = norm > 0 ? x[d] / norm : 0;
        b->distance[i] = 4;
        b->cluster[i] = SONA_LEARNER_NO_ROUTE;
    }
}

/* Note the patterns [from, n_bank) where one of them is nearer than what was known. */
static void measure(const struct sona_learner_job *j, struct batch *b, uint32_t from)
{
    uint32_t n = cold_of(j)->n_bank;
    float dot[SONA_MODEL_CHUNK];

    for (uint32_t i = 0; i < b->count; i++)
        for (uint32_t at = from; at < n; at += SONA_MODEL_CHUNK) {
            uint32_t chunk = n - at < SONA_MODEL_CHUNK ? n - at : SONA_MODEL_CHUNK;

            sona_kernels_active()->dot_rows(centroid(j, at), sona_model_stride(&j->layout.bank),
                                            chunk, point(j, b, i), j->layout.dim_padded, dot);
            for (uint32_t c = 0; c < chunk; c++)
                if (2 - 2 * dot[c] < b->distance[i] || b->cluster[i] == SONA_LEARNER_NO_ROUTE) {
                    b->distance[i] = fmaxf(2 - 2 * dot[c], 0);
                    b->cluster[i] = at + c;
                }
        }
}

static void measure_all(const struct sona_learner_job *j, struct batch *b)
{
    for (uint32_t i = 0; i < b->count; i++) {
        b->distance[i] = 4;
        b->cluster[i] = SONA_LEARNER_NO_ROUTE;
    }
    measure(j, b, 0);
}

/* How much outcome `i` asks for a pattern of its own. */
static double pull(const struct sona_learner_job *j, const struct batch *b, uint32_t i)
{
    return shapes(j, &b->entry[i]) && b->distance[i] > b->beyond ? (double)b->distance[i] : 0;
}

/* A new pattern at an outcome that is far from all; false when none is. */
static bool seed(struct sona_learner_job *j, struct batch *b)
{
    struct sona_model_cold *cold = cold_of(j);
    uint32_t last = b->count, at;
    double sum = 0, left;

    for (uint32_t i = 0; i < b->count; i++)
        sum += pull(j, b, i);
    if (!(sum > 0) || cold->n_bank == j->layout.bank.count)
        return false;
    left =
        (double)(sona_model_random(j->config.seed, SONA_LEARNER_STREAM_BANK, ++j->bank_id) >> 11) *
        0x1p-53 * sum;
    for (at = 0; at < b->count; at++) {
        if (!(pull(j, b, at) > 0))
            continue;
        last = at;
        left -= pull(j, b, at);
        if (left < 0)
            break;
    }
    *sona_model_bank_row(&j->layout, cold, cold->n_bank) =
        (struct sona_model_bank){.id = j->bank_id, .created_at = j->step};
    memcpy(centroid(j, cold->n_bank), point(j, b, last), j->layout.dim_padded * sizeof(float));
    cold->n_bank++;
    measure(j, b, cold->n_bank - 1);
    return true;
}

/* The mean of what shapes pattern `c`, beside what it was before with its mass. */
static void move(const struct sona_learner_job *j, const struct batch *b, uint32_t c)
{
    struct sona_model_bank *row = sona_model_bank_row(&j->layout, cold_of(j), c);
    float mass = row->mass;
    bool any = false;

    for (uint32_t i = 0; i < b->count; i++) {
        if (b->cluster[i] != c || !shapes(j, &b->entry[i]))
            continue;
        if (!any)
            for (uint32_t d = 0; d < j->layout.dim_padded; d++)
                centroid(j, c)[d] *= mass;
        any = true;
        sona_kernels_active()->axpy(b->entry[i].weight, point(j, b, i), centroid(j, c),
                                    j->layout.dim_padded);
    }
    if (any)
        sona_learner_bank_refresh(&j->layout, cold_of(j), c);
}

/* New patterns that came to lie beside another; what they had goes there. */
static bool drop_alike(const struct sona_learner_job *j, uint32_t first)
{
    struct sona_model_cold *cold = cold_of(j);
    uint32_t before = cold->n_bank;

    for (uint32_t c = cold->n_bank; c-- > first;)
        for (uint32_t a = 0; a < c; a++)
            if (sona_learner_bank_likeness(&j->layout, cold, a, c) >=
                j->config.pattern_similarity) {
                sona_learner_bank_remove(&j->layout, cold, c);
                break;
            }
    return cold->n_bank != before;
}

/* What outcome `i` says about its pattern. */
static void count(const struct sona_learner_job *j, const struct batch *b, uint32_t i)
{
    const struct sona_learner_entry *entry = &b->entry[i];
    struct sona_model_bank *row = sona_model_bank_row(&j->layout, cold_of(j), b->cluster[i]);

    if (shapes(j, entry)) {
        row->mass += entry->weight;
        row->cluster_size++;
        row->example[row->n_examples++ % SONA_PATTERN_EXAMPLES] = entry->id;
        row->typed[entry->type] += entry->weight;
    } else if (b->distance[i] > b->beyond) {
        return;
    }
    row->weight += entry->weight;
    row->sum += entry->weight * entry->quality;
    row->last_accessed = entry->step;
    if (entry->route < j->n_routes) {
        sona_model_bank_part(&j->layout, cold_of(j), b->cluster[i],
                             j->layout.bank_n)[entry->route] += entry->weight;
        sona_model_bank_part(&j->layout, cold_of(j), b->cluster[i],
                             j->layout.bank_s)[entry->route] += entry->weight * entry->quality;
    }
}

static void learn(struct sona_learner_job *j, uint32_t from)
{
    uint32_t before = cold_of(j)->n_bank;
    struct batch b;

    open(j, &b, from);
    measure(j, &b, 0);
    while (seed(j, &b))
        ;
    for (uint32_t round = 0; round < ROUNDS && cold_of(j)->n_bank > before; round++) {
        for (uint32_t c = before; c < cold_of(j)->n_bank; c++)
            move(j, &b, c);
        measure_all(j, &b);
    }
    if (drop_alike(j, before))
        measure_all(j, &b);
    for (uint32_t c = 0; c < cold_of(j)->n_bank; c++)
        move(j, &b, c);
    for (uint32_t i = 0; i < b.count; i++)
        if (b.cluster[i] != SONA_LEARNER_NO_ROUTE && b.entry[i].weight > 0 &&
            !sona_learner_entry_gone(&b.entry[i]))
            count(j, &b, i);
    for (uint32_t c = 0; c < cold_of(j)->n_bank; c++)
        sona_learner_bank_refresh(&j->layout, cold_of(j), c);
}

static void consolidate(struct sona_learner_job *j)
{
    const sona_prune_rule rule = {.min_quality = j->config.pattern_min_quality,
                                  .min_accesses = 1,
                                  .min_age = j->config.pattern_min_age};
    void *cold = cold_of(j);
    uint32_t n, rows;

    sona_learner_bank_decay(&j->layout, cold, j->config.pattern_decay);
    j->bank_pruned +=
        sona_learner_bank_prune(&j->layout, cold, &rule, SONA_LEARNER_BANK_MASS, j->step);
    n = cold_of(j)->n_bank;
    if (n < 2)
        return;
    rows = SONA_LEARNER_BANK_PAIRS / n;
    j->bank_merged +=
        sona_learner_bank_merge(&j->layout, cold, j->config.pattern_similarity,
                                rows < n ? (uint32_t)(cold_of(j)->cycle * rows % n) : 0, rows);
}

void sona_learner_job_bank(struct sona_learner_job *j)
{
    const struct sona_learner_entry *entries = sona_learner_job_entries(j);
    uint32_t from = j->count;

    while (from > 0 && entries[from - 1].step > j->bank_step)
        from--;
    j->bank_missed = j->fresh > j->count - from ? j->fresh - (j->count - from) : 0;
    j->bank_merged = j->bank_pruned = 0;
    /* A route that the last cycle did not know has nothing to do with its predecessor's counts. */
    for (uint32_t k = 0; k < j->n_routes; k++)
        if (!sona_model_bank_knows(cold_of(j), sona_learner_job_row(j, k)))
            sona_learner_bank_forget_route(&j->layout, cold_of(j), k);
    for (; from < j->count; from += SONA_LEARNER_CLUSTER_SAMPLE)
        learn(j, from);
    if (j->consolidate)
        consolidate(j);
    sona_learner_bank_index(&j->layout, cold_of(j));
}
