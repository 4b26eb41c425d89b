/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * k nearest neighbours, epsilon-greedy: a route is worth what it was worth on the queries most
 * similar to this one, drawn towards its mean by `shrink` imagined outcomes. The neighbours are the
 * k nearest of all outcomes, or with each=1 the k nearest of each route. With heat > 0 a neighbour
 * counts exp((similarity - that of the nearest) / heat), else 1.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "baseline.h"
#include "dense.h"

enum { EPSILON, HORIZON, K, EACH, HEAT, SHRINK };

struct outcome {
    uint32_t route;
    float value;
};

struct neighbour {
    float similarity;
    uint32_t index;
};

struct arm {
    double n, sum;
};

struct knn {
    struct sona_baseline_setup setup;
    struct sona_baseline_greedy greedy;
    uint32_t count, capacity;
    float *x; /* [capacity][dim] */
    struct outcome *outcome;
    struct neighbour *near; /* [capacity] scratch */
    float *similarity;      /* [capacity] scratch */
    float *query;           /* [dim] scratch */
    double *scores;
    struct arm *arm, *around; /* [routes] of all outcomes; of the neighbours */
};

static void done(void *self)
{
    struct knn *knn = self;

    if (knn == NULL)
        return;
    free(knn->x);
    free(knn->outcome);
    free(knn->near);
    free(knn->similarity);
    free(knn->query);
    free(knn->scores);
    free(knn->arm);
    free(knn->around);
    free(knn);
}

static void *init(const struct sona_baseline_setup *setup)
{
    struct knn *knn = calloc(1, sizeof *knn);

    if (knn == NULL)
        return NULL;
    knn->setup = *setup;
    knn->greedy = (struct sona_baseline_greedy){
        .random = sona_tools_random_init(setup->seed, SONA_BASELINE_PURPOSE),
        .epsilon = setup->param[EPSILON],
        .horizon = setup->param[HORIZON],
    };
    knn->query = calloc(setup->dim, sizeof *knn->query);
    knn->scores = calloc(setup->routes, sizeof *knn->scores);
    knn->arm = calloc(setup->routes, sizeof *knn->arm);
    knn->around = calloc(setup->routes, sizeof *knn->around);
    if (knn->query == NULL || knn->scores == NULL || knn->arm == NULL || knn->around == NULL) {
        done(knn);
        return NULL;
    }
    return knn;
}

/* Bring the k nearest of n to the front, in no order (Hoare's selection). */
static void select_nearest(struct neighbour *near, uint32_t n, uint32_t k)
{
    uint32_t low = 0, high = n;

    while (k > 0 && k < n && high - low > 1) {
        float pivot = near[low + (high - 1 - low) / 2].similarity;
        uint32_t i = low, j = high;

        for (;;) {
            while (near[i].similarity > pivot)
                i++;
            do
                j--;
            while (near[j].similarity < pivot);
            if (i >= j)
                break;
            struct neighbour swap = near[i];
            near[i++] = near[j];
            near[j] = swap;
        }
        /* [low, j] are at least as near as [j + 1, high) */
        if (k == j + 1)
            return;
        if (k <= j)
            high = j + 1;
        else
            low = j + 1;
    }
}

static void count(struct knn *knn, uint32_t n)
{
    double heat = knn->setup.param[HEAT];
    float nearest = -INFINITY;

    for (uint32_t i = 0; i < n; i++)
        nearest = fmaxf(nearest, knn->near[i].similarity);
    for (uint32_t i = 0; i < n; i++) {
        const struct outcome *outcome = &knn->outcome[knn->near[i].index];
        double weight = heat > 0 ? exp((double)(knn->near[i].similarity - nearest) / heat) : 1;

        knn->around[outcome->route].n += weight;
        knn->around[outcome->route].sum += weight * (double)outcome->value;
    }
}

/* The outcomes of one route, or with `route` = routes of all, as candidates. */
static uint32_t gather(struct knn *knn, uint32_t route)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < knn->count; i++)
        if (route == knn->setup.routes || knn->outcome[i].route == route)
            knn->near[n++] = (struct neighbour){knn->similarity[i], i};
    return n;
}

static void score(void *self, const double *x, double *ret)
{
    struct knn *knn = self;
    uint32_t routes = knn->setup.routes, k = (uint32_t)knn->setup.param[K];
    bool each = knn->setup.param[EACH] > 0;
    double shrink = knn->setup.param[SHRINK];

    for (uint32_t j = 0; j < knn->setup.dim; j++)
        knn->query[j] = (float)x[j];
    sona_dense_similar(knn->x, knn->query, knn->similarity, knn->count, knn->setup.dim);
    memset(knn->around, 0, routes * sizeof *knn->around);
    for (uint32_t route = each ? 0 : routes; route < routes + !each; route++) {
        uint32_t n = gather(knn, route);

        select_nearest(knn->near, n, k);
        count(knn, n < k ? n : k);
    }
    for (uint32_t r = 0; r < routes; r++) {
        double mean = (knn->arm[r].sum + 0.5) / (knn->arm[r].n + 1);

        ret[r] =
            (knn->around[r].sum + shrink * mean) / (knn->around[r].n + shrink) - knn->setup.cost[r];
    }
}

static uint32_t choose(void *self, const double *x)
{
    struct knn *knn = self;

    score(knn, x, knn->scores);
    return sona_baseline_greedy_choose(&knn->greedy, knn->scores, knn->setup.routes);
}

static void *grown(void *old, size_t count, size_t size)
{
    void *new = realloc(old, count * size);

    if (new == NULL)
        abort(); /* a benchmark without memory has no result */
    return new;
}

static void learn(void *self, const double *x, uint32_t route, double value)
{
    struct knn *knn = self;
    uint32_t dim = knn->setup.dim;

    if (knn->count == knn->capacity) {
        knn->capacity = knn->capacity > 0 ? 2 * knn->capacity : 1024;
        knn->x = grown(knn->x, (size_t)knn->capacity * dim, sizeof *knn->x);
        knn->outcome = grown(knn->outcome, knn->capacity, sizeof *knn->outcome);
        knn->near = grown(knn->near, knn->capacity, sizeof *knn->near);
        knn->similarity = grown(knn->similarity, knn->capacity, sizeof *knn->similarity);
    }
    for (uint32_t j = 0; j < dim; j++)
        knn->x[(size_t)knn->count * dim + j] = (float)x[j];
    knn->outcome[knn->count++] = (struct outcome){route, (float)value};
    knn->arm[route].n++;
    knn->arm[route].sum += value;
}

const struct sona_baseline sona_baseline_knn = {
    .name = "knn",
    .help = "k nearest neighbours, epsilon-greedy",
    .param = {{"epsilon", 0.05, 0, 1, "share of decisions at random"},
              {"horizon", 0, 0, 1e9, "epsilon falls as horizon / t after it; 0: never"},
              {"k", 100, 1, 1e6, "neighbours"},
              {"each", 0, 0, 1, "1: so many of each route, not of all"},
              {"heat", 0, 0, 100, "of the weights by similarity; 0: all alike"},
              {"shrink", 1, 1e-9, 1e6, "imagined outcomes at the route's mean"}},
    .init = init,
    .choose = choose,
    .learn = learn,
    .score = score,
    .done = done,
};
