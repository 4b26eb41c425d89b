/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Patterns: weighted k-means in x', begun from the patterns of the last cycle, so that a pattern
 * keeps its id as long as queries come to it; new ones are seeded as k-means++ does. What outcomes
 * long evicted said about a pattern weighs on with it.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "engine/learner/job.h"
#include "engine/learner/linalg.h"

#define LLOYD_STEPS          2u
#define OUTCOMES_PER_PATTERN 8u    /* that shape them, at least: fewer patterns else */
#define ARCHIVE_KEEP         0.98f /* of evicted evidence, per cycle */
#define PATTERN_WIDTH        0.15f /* softmax width over squared distances */
#define LINE_MAX             4.0f  /* qualities lie in 0..1: more says that a head exploded */
#define EMPTY_BELOW          0.5f  /* outcomes that a pattern without points has to know of */
#define MERGE_BELOW          1e-4f /* squared distance of two centroids that are one pattern */

/* The outcomes that shape the clusters. */
struct sample {
    float *point;   /* x' */
    float *nearest; /* squared distance to the nearest centroid */
    uint32_t *pick; /* outcome behind each point */
    uint32_t *cluster;
    uint32_t count;
};

static float *centroid(const struct sona_learner_job *j, uint32_t c)
{
    return sona_model_floats_of(sona_learner_job_at(j, j->cold),
                                sona_model_at(&j->layout.patterns, c, j->layout.pattern_centroid));
}

static struct sona_model_pattern *pattern(const struct sona_learner_job *j, uint32_t c)
{
    return (struct sona_model_pattern *)(uintptr_t)sona_model_pattern_row(
        &j->layout, sona_learner_job_at(j, j->cold), c);
}

static float *mean_of(const struct sona_learner_job *j, uint32_t c)
{
    return sona_learner_job_floats(j, j->means) + (size_t)c * j->layout.dim_padded;
}

static float *tally_of(const struct sona_learner_job *j, size_t table, uint32_t c)
{
    return sona_learner_job_floats(j, table + c * j->layout.pattern_stats.stride);
}

static struct sona_model_cold *cold_of(const struct sona_learner_job *j)
{
    return sona_learner_job_at(j, j->cold);
}

/* x' = norm(x + A'A x) */
static void to_space(const struct sona_learner_job *j, const float *x, float *ret)
{
    const struct sona_kernels *kernels = sona_kernels_active();
    const float *code = sona_model_floats(cold_of(j), j->layout.code);
    uint32_t n = j->layout.dim_padded, rank = j->layout.geometry.base_rank;
    float z[SONA_BASE_RANK_MAX], norm;

    kernels->dot_rows(code, n, rank, x, n, z);
    kernels->expand(x, code, n, z, rank, ret, n);
    norm = sqrtf(kernels->dot(ret, ret, n));
    if (norm > 0)
        for (uint32_t i = 0; i < n; i++)
            ret[i] /= norm;
}

/* Evenly over the replay, the newest included; only trajectories good enough shape patterns. */
static void draw_sample(struct sona_learner_job *j, struct sample *s)
{
    const struct sona_learner_entry *entries = sona_learner_job_entries(j);
    uint32_t eligible = 0, seen = 0;

    s->point = sona_learner_job_floats(j, j->sample);
    s->nearest = sona_learner_job_floats(j, j->nearest);
    s->pick = sona_learner_job_at(j, j->pick);
    s->cluster = s->pick + SONA_LEARNER_CLUSTER_SAMPLE;
    s->count = 0;
    for (uint32_t i = 0; i < j->count; i++)
        eligible += entries[i].quality >= j->config.pattern_quality_threshold;
    for (uint32_t i = 0; i < j->count; i++) {
        if (!(entries[i].quality >= j->config.pattern_quality_threshold))
            continue;
        seen++;
        /* Take one whenever the rounded share of those seen grows. */
        if (eligible > SONA_LEARNER_CLUSTER_SAMPLE &&
            (uint64_t)seen * SONA_LEARNER_CLUSTER_SAMPLE / eligible ==
                (uint64_t)(seen - 1) * SONA_LEARNER_CLUSTER_SAMPLE / eligible)
            continue;
        s->pick[s->count] = i;
        to_space(j, sona_learner_job_x(j, i), s->point + (size_t)s->count * j->layout.dim_padded);
        s->nearest[s->count] = FLT_MAX;
        s->cluster[s->count++] = 0;
    }
}

/* Note the patterns [from, to) where one of them is nearer than what was known. */
static void measure(const struct sona_learner_job *j, struct sample *s, uint32_t from, uint32_t to)
{
    struct sona_model_view view = sona_learner_job_view(j);
    uint32_t n = j->layout.dim_padded;
    float distance[SONA_LEARNER_PATTERNS];

    for (uint32_t i = 0; i < s->count; i++) {
        sona_model_distances(&view, s->point + (size_t)i * n, from, to - from, distance);
        for (uint32_t c = from; c < to; c++)
            if (distance[c - from] < s->nearest[i]) {
                s->nearest[i] = distance[c - from];
                s->cluster[i] = c;
            }
    }
}

static void measure_all(const struct sona_learner_job *j, struct sample *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        s->nearest[i] = FLT_MAX;
    measure(j, s, 0, cold_of(j)->n_patterns);
}

static void note_norm(const struct sona_learner_job *j, uint32_t c)
{
    pattern(j, c)->norm2 =
        sona_kernels_active()->dot(centroid(j, c), centroid(j, c), j->layout.dim_padded);
}

/* A point far from every centroid, by squared distance; false when all points are on one. */
static bool seed_centroid(struct sona_learner_job *j, struct sample *s, uint32_t c)
{
    uint32_t n = j->layout.dim_padded, at = 0;
    double sum = 0, left;

    for (uint32_t i = 0; i < s->count; i++)
        sum += (double)(s->nearest[i] < 4 ? s->nearest[i] : 4);
    if (!(sum > (double)MERGE_BELOW * s->count))
        return false;
    left =
        (double)(sona_model_random(j->config.seed, SONA_LEARNER_STREAM_CLUSTER, j->draws++) >> 11) *
        0x1p-53 * sum;
    for (at = 0; at + 1 < s->count; at++) {
        left -= (double)(s->nearest[at] < 4 ? s->nearest[at] : 4);
        if (left < 0)
            break;
    }
    memcpy(centroid(j, c), s->point + (size_t)at * n, n * sizeof(float));
    memcpy(mean_of(j, c), sona_learner_job_x(j, s->pick[at]), n * sizeof(float));
    *pattern(j, c) = (struct sona_model_pattern){
        .id = ++j->pattern_id,
        .created_at = j->step,
        .last_accessed = j->step,
    };
    note_norm(j, c);
    memset(tally_of(j, j->archive, c), 0, j->layout.pattern_stats.stride);
    return true;
}

/* Move every centroid to the mean of its points; one without points stays where it is. */
static void move_centroids(struct sona_learner_job *j, struct sample *s)
{
    const struct sona_kernels *kernels = sona_kernels_active();
    uint32_t n = j->layout.dim_padded;

    for (uint32_t c = 0; c < cold_of(j)->n_patterns; c++) {
        const float *bare = tally_of(j, j->archive, c);
        float weight = 0, old = 0;

        for (uint32_t k = 0; k < j->n_routes; k++)
            old += bare[j->layout.pattern_n / sizeof(float) + k];
        for (uint32_t i = 0; i < s->count; i++)
            weight += s->cluster[i] == c;
        if (!(weight > 0))
            continue;
        for (uint32_t i = 0; i < n; i++) {
            centroid(j, c)[i] *= old / (old + weight);
            mean_of(j, c)[i] *= old / (old + weight);
        }
        for (uint32_t i = 0; i < s->count; i++) {
            if (s->cluster[i] != c)
                continue;
            kernels->axpy(1 / (old + weight), s->point + (size_t)i * n, centroid(j, c), n);
            kernels->axpy(1 / (old + weight), sona_learner_job_x(j, s->pick[i]), mean_of(j, c), n);
        }
        note_norm(j, c);
    }
}

static void add_rows(const struct sona_learner_job *j, float *to, const float *from)
{
    for (size_t i = 0; i < j->layout.pattern_stats.stride / sizeof(float); i++)
        to[i] += from[i];
}

/* Take pattern `c` out; what it knew goes to `heir`, the last one moves into its place. */
static void remove_pattern(struct sona_learner_job *j, uint32_t c, uint32_t heir)
{
    uint32_t last = --cold_of(j)->n_patterns;

    add_rows(j, tally_of(j, j->archive, heir), tally_of(j, j->archive, c));
    if (c != last) {
        memcpy(pattern(j, c), pattern(j, last), j->layout.patterns.stride);
        memcpy(mean_of(j, c), mean_of(j, last), j->layout.dim_padded * sizeof(float));
        memcpy(tally_of(j, j->archive, c), tally_of(j, j->archive, last),
               j->layout.pattern_stats.stride);
    }
    memset(tally_of(j, j->archive, last), 0, j->layout.pattern_stats.stride);
    memset(pattern(j, last), 0, j->layout.patterns.stride);
    memset(mean_of(j, last), 0, j->layout.dim_padded * sizeof(float));
}

static void merge_equal(struct sona_learner_job *j)
{
    for (uint32_t a = 0; a < cold_of(j)->n_patterns; a++)
        for (uint32_t b = cold_of(j)->n_patterns; b-- > a + 1;)
            if (sona_kernels_active()->distance(centroid(j, a), centroid(j, b),
                                                j->layout.dim_padded) < MERGE_BELOW)
                remove_pattern(j, b, a);
}

/* All that the archive knows of pattern `c`, in outcomes. */
static float evidence(const struct sona_learner_job *j, uint32_t c)
{
    const float *tally = tally_of(j, j->archive, c);
    float sum = tally[j->layout.pattern_bare / sizeof(float)];

    for (uint32_t k = 0; k < j->n_routes; k++)
        sum += tally[j->layout.pattern_n / sizeof(float) + k];
    return sum;
}

static bool has_point(const struct sample *s, uint32_t c)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->cluster[i] == c)
            return true;
    return false;
}

static uint32_t nearest_other(const struct sona_learner_job *j, uint32_t c)
{
    uint32_t nearest = c;
    float least = FLT_MAX;

    for (uint32_t other = 0; other < cold_of(j)->n_patterns; other++) {
        float distance = sona_kernels_active()->distance(centroid(j, c), centroid(j, other),
                                                         j->layout.dim_padded);

        if (other != c && distance < least) {
            least = distance;
            nearest = other;
        }
    }
    return nearest;
}

/* Queries go elsewhere, and what came once has faded: make room. The sample's clusters are not
 * those of the table any more. */
static void drop_empty(struct sona_learner_job *j, const struct sample *s)
{
    for (uint32_t c = cold_of(j)->n_patterns; c-- > 0;) {
        uint32_t heir = nearest_other(j, c);

        if (heir != c && evidence(j, c) < EMPTY_BELOW && !has_point(s, c))
            remove_pattern(j, c, heir);
    }
}

static void find_clusters(struct sona_learner_job *j)
{
    struct sample s;
    uint32_t target = j->archive_rows;

    draw_sample(j, &s);
    if (target > s.count / OUTCOMES_PER_PATTERN)
        target = s.count / OUTCOMES_PER_PATTERN;
    if (target == 0 && s.count > 0)
        target = 1;
    /* The space moved with the code; the patterns move along. */
    for (uint32_t c = 0; c < cold_of(j)->n_patterns; c++) {
        to_space(j, mean_of(j, c), centroid(j, c));
        note_norm(j, c);
    }
    measure_all(j, &s);
    while (cold_of(j)->n_patterns < target) {
        uint32_t c = cold_of(j)->n_patterns;

        if (!seed_centroid(j, &s, c))
            break;
        cold_of(j)->n_patterns++;
        measure(j, &s, c, c + 1);
    }
    for (uint32_t step = 0; step < LLOYD_STEPS; step++) {
        move_centroids(j, &s);
        measure_all(j, &s);
    }
    drop_empty(j, &s);
    merge_equal(j);
}

/* c + A'A c, which is what queries are multiplied with, by way of the place of the next basis. */
static void lift_centroids(struct sona_learner_job *j)
{
    const struct sona_kernels *kernels = sona_kernels_active();
    const struct sona_model_layout *layout = &j->layout;
    const float *code = sona_model_floats(cold_of(j), layout->code);
    uint32_t n = layout->dim_padded, rank = layout->geometry.base_rank;
    float z[SONA_BASE_RANK_MAX], *lifted = sona_learner_job_floats(j, j->krylov);

    for (uint32_t c = 0; c < cold_of(j)->n_patterns; c++) {
        kernels->dot_rows(code, n, rank, centroid(j, c), n, z);
        kernels->expand(centroid(j, c), code, n, z, rank, lifted, n);
        kernels->fix(lifted, SONA_MODEL_LIFTED, n,
                     (int16_t *)(uintptr_t)sona_model_pattern_lifted(layout, cold_of(j), c));
    }
}

/* L_ck: what the refit heads say at the pattern's own queries. */
static void predict_at_patterns(struct sona_learner_job *j)
{
    const struct sona_model_layout *layout = &j->layout;
    const struct sona_kernels *kernels = sona_kernels_active();

    for (uint32_t c = 0; c < cold_of(j)->n_patterns; c++) {
        float *line = sona_model_floats_of(
            cold_of(j), sona_model_at(&layout->patterns, c, layout->pattern_lin));

        memset(line, 0, layout->geometry.routes_max * sizeof *line);
        for (uint32_t k = 0; k < j->n_routes; k++)
            line[k] = sona_model_clamp(
                sona_learner_job_row(j, k)->mean +
                    kernels->dot(sona_learner_job_head(j, k), mean_of(j, c), layout->dim_padded),
                -LINE_MAX, LINE_MAX);
    }
}

/* Counts of all outcomes, and the rows of the table, under the patterns as they are now. */
static void count_outcomes(struct sona_learner_job *j)
{
    const struct sona_learner_entry *entries = sona_learner_job_entries(j);
    struct sona_model_view view = sona_learner_job_view(j);
    struct sona_model_hot *head = sona_learner_job_at(j, j->hot);
    uint32_t *label = sona_learner_job_at(j, j->label);
    struct sona_model_scores scores;

    head->n_patterns = cold_of(j)->n_patterns;
    cold_of(j)->pattern_width = PATTERN_WIDTH;
    sona_model_scratch_init(&j->layout, sona_learner_job_at(j, j->scores), &scores);
    for (uint32_t c = 0; c < head->n_patterns; c++) {
        float *archive = tally_of(j, j->archive, c);

        for (size_t i = 0; i < j->layout.pattern_stats.stride / sizeof(float); i++)
            archive[i] *= ARCHIVE_KEEP;
        memcpy(tally_of(j, j->tally, c), archive, j->layout.pattern_stats.stride);
        pattern(j, c)->cluster_size = 0;
        pattern(j, c)->weight = pattern(j, c)->quality = 0;
    }
    for (uint32_t i = 0; i < j->count; i++) {
        const struct sona_learner_entry *entry = &entries[i];

        label[i] = SONA_LEARNER_NO_ROUTE;
        if (sona_learner_entry_gone(entry))
            continue;
        sona_model_locate(&view, sona_learner_job_x(j, i), &scores);
        for (uint32_t a = 0; a < scores.near.count; a++)
            sona_learner_patterns_add(&j->layout, tally_of(j, j->tally, scores.near.index[a]),
                                      entry->route, entry->quality,
                                      entry->weight * scores.near.weight[a]);
        if (scores.near.count > 0) {
            struct sona_model_pattern *row = pattern(j, label[i] = scores.near.index[0]);

            row->cluster_size++;
            row->weight += entry->weight;
            row->quality += entry->weight * entry->quality;
            row->last_accessed = entry->step;
        }
    }
    for (uint32_t c = 0; c < head->n_patterns; c++) {
        struct sona_model_pattern *row = pattern(j, c);

        row->quality = row->weight > 0 ? sona_model_clamp(row->quality / row->weight, 0, 1) : 0;
    }
}

void sona_learner_job_cluster(struct sona_learner_job *j)
{
    find_clusters(j);
    lift_centroids(j);
    predict_at_patterns(j);
    count_outcomes(j);
}
