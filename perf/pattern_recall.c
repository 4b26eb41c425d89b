/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * How many of the nearest patterns a search through the short list of a large bank finds: queries
 * of a data set against a bank that is made of other queries of it, beside a scan of the whole
 * bank.
 *
 * usage: pattern-recall FILE.bin...      one JSON object a line for every file
 *
 * Both searches are run in turns, query by query; times are medians of single calls, `ratio` is the
 * median of the pairs' ratios. `recall` is of the K nearest, the worst query's beside it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/model/block.h"
#include "tools/dataset.h"
#include "tools/sample.h"

#define QUERIES 500u
#define K       5u

struct trial {
    double found, worst;
    double ratio[QUERIES], listed_us[QUERIES], scan_us[QUERIES];
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, QUERIES, sizeof *values, by_value);
    return values[QUERIES / 2];
}

static void prepare(const struct sona_model_layout *l, const float *x, float *ret)
{
    if (sona_model_prepare(l, x, ret) != SONA_OK) {
        fprintf(stderr, "pattern-recall: a row of the data set has no direction\n");
        exit(1);
    }
}

/* A bank of the first n rows. */
static void *fill(const struct sona_model_layout *l, const struct sona_tools_dataset *set,
                  uint32_t n, void **ret_hot)
{
    void *cold = aligned_alloc(SONA_MODEL_ALIGN, l->cold_bytes);

    *ret_hot = aligned_alloc(SONA_MODEL_ALIGN, l->hot_bytes);
    if (!cold || !*ret_hot) {
        fprintf(stderr, "pattern-recall: out of memory\n");
        exit(1);
    }
    sona_model_blocks_init(l, *ret_hot, cold);
    for (uint32_t i = 0; i < n; i++) {
        sona_model_bank_row(l, cold, i)->id = i + 1;
        prepare(l, set->x + (size_t)i * set->dim,
                sona_model_bank_part(l, cold, i, l->bank_centroid));
    }
    ((struct sona_model_cold *)cold)->n_bank = n;
    sona_model_index_bank(l, cold, n);
    return cold;
}

static void search(const struct sona_model_view *view, const float *x, uint32_t q,
                   struct trial *ret)
{
    /* More than SONA_MODEL_SHORT_K are looked for by a scan. */
    sona_pattern found[K], all[SONA_MODEL_SHORT_K + 1];
    uint64_t at[3];
    double hits = 0;

    at[0] = sona_tools_now_ns();
    (void)sona_model_find_patterns(view, x, K, found);
    at[1] = sona_tools_now_ns();
    (void)sona_model_find_patterns(view, x, SONA_MODEL_SHORT_K + 1, all);
    at[2] = sona_tools_now_ns();
    for (uint32_t i = 0; i < K; i++)
        for (uint32_t j = 0; j < K; j++)
            hits += found[i].index == all[j].index;
    ret->found += hits;
    ret->worst = hits / K < ret->worst ? hits / K : ret->worst;
    ret->listed_us[q] = (double)(at[1] - at[0]) / 1e3;
    ret->scan_us[q] = (double)(at[2] - at[1]) / 1e3;
    ret->ratio[q] = ret->scan_us[q] / ret->listed_us[q];
}

static int measure(const char *path)
{
    static struct trial trial;
    struct sona_tools_dataset set = {.rows = 0};
    struct sona_model_layout l;
    float x[SONA_DIM_MAX];
    sona_diag diag = {.text = ""};
    void *hot, *cold;
    uint32_t n;

    if (sona_tools_dataset_open(&set, path, &diag) != SONA_OK) {
        fprintf(stderr, "pattern-recall: %s\n", diag.text);
        return 1;
    }
    n = set.rows < QUERIES ? 0 : set.rows - QUERIES;
    n = n < SONA_PATTERNS_MAX ? n : SONA_PATTERNS_MAX;
    sona_geometry g = {.dim = set.dim,
                       .routes_max = 1,
                       .micro_rank = 1,
                       .base_rank = SONA_BASE_RANK_MIN,
                       .layers = 1,
                       .patterns_max = n,
                       .flags = SONA_GEOMETRY_NORMALIZE};
    if (n <= SONA_MODEL_SCAN || sona_model_layout_init(&l, &g) != SONA_OK) {
        fprintf(stderr, "pattern-recall: %s has too few rows for a bank that needs a short list\n",
                path);
        sona_tools_dataset_close(&set);
        return 1;
    }
    cold = fill(&l, &set, n, &hot);
    trial = (struct trial){.worst = 1};
    for (uint32_t q = 0; q < QUERIES; q++) {
        struct sona_model_view view = {&l, hot, cold};

        prepare(&l, set.x + (size_t)(n + q) * set.dim, x);
        search(&view, x, q, &trial);
    }
    double listed_us = median(trial.listed_us), scan_us = median(trial.scan_us);
    printf("{\"name\": \"recall/%s\", \"dim\": %u, \"patterns\": %u, \"queries\": %u, \"k\": %u, "
           "\"recall\": %.4f, \"worst\": %.1f, \"p50_us\": %.1f, \"scan_us\": %.1f, "
           "\"ratio\": %.1f}\n",
           set.name, set.dim, n, QUERIES, K, trial.found / (K * QUERIES), trial.worst, listed_us,
           scan_us, median(trial.ratio));
    fflush(stdout);
    free(hot);
    free(cold);
    sona_tools_dataset_close(&set);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = 0;

    if (argc < 2 || argv[1][0] == '-') {
        fprintf(stderr, "usage: pattern-recall FILE.bin...\n");
        return 2;
    }
    for (int i = 1; i < argc; i++)
        failed |= measure(argv[i]);
    return failed;
}
