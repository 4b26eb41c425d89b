/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The simple learners that SONA is measured against, one short file each behind one interface.
 *
 * All of them see what SONA sees: the embedding at unit norm, and the value of the route they
 * chose. A value is what the learner is told; `cost` is what the decision subtracts from it. Either
 * the quality is told and the cost is known at the decision, or, with the parameter told_cost=1,
 * the difference is told and `cost` is zero.
 *
 * Doubles throughout, one thread, no clock; every random number comes from setup.seed.
 */
#ifndef SONA_PERF_BASELINE_H
#define SONA_PERF_BASELINE_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/random.h"

#define SONA_BASELINE_PARAMS_MAX 8u
#define SONA_BASELINE_PURPOSE    100u /* of the random numbers: a baseline's own */

struct sona_baseline_param {
    const char *name;
    double value, low, high; /* default and range */
    const char *help;
};

struct sona_baseline_setup {
    uint32_t dim, routes;
    const double *cost; /* [routes] what a decision subtracts; borrowed */
    uint64_t seed;
    double param[SONA_BASELINE_PARAMS_MAX]; /* in the order of the learner's table */
};

struct sona_baseline {
    const char *name, *help;
    struct sona_baseline_param param[SONA_BASELINE_PARAMS_MAX]; /* ends at a null name */
    void *(*init)(const struct sona_baseline_setup *setup);     /* null: no memory */
    uint32_t (*choose)(void *self, const double *x);
    void (*learn)(void *self, const double *x, uint32_t route, double value);
    /* What each route is expected to earn, costs subtracted, nothing explored. */
    void (*score)(void *self, const double *x, double *ret);
    void (*done)(void *self);
};

extern const struct sona_baseline sona_baseline_mean, sona_baseline_adagrad, sona_baseline_linucb,
    sona_baseline_lints, sona_baseline_knn;
/* All of them; ends at null. */
extern const struct sona_baseline *const sona_baselines[];

/* Epsilon-greedy: the highest score, or with probability epsilon_t any route. */
struct sona_baseline_greedy {
    struct sona_tools_random random;
    double epsilon; /* at the start */
    double horizon; /* epsilon_t = epsilon * min(1, horizon / t); 0: for ever epsilon */
    uint64_t t;
};

/* The highest of n scores; the lowest index among equals. */
static inline uint32_t sona_baseline_best(const double *score, uint32_t n)
{
    uint32_t best = 0;

    for (uint32_t k = 1; k < n; k++)
        best = score[k] > score[best] ? k : best;
    return best;
}

static inline uint32_t sona_baseline_greedy_choose(struct sona_baseline_greedy *greedy,
                                                   const double *score, uint32_t n)
{
    double t = (double)++greedy->t, epsilon = greedy->epsilon;

    if (greedy->horizon > 0 && t > greedy->horizon)
        epsilon *= greedy->horizon / t;
    if (sona_tools_random_unit(&greedy->random) < epsilon)
        return sona_tools_random_below(&greedy->random, n);
    return sona_baseline_best(score, n);
}

#endif
