/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * One linear regression for each route by AdaGrad (Duchi et al. 2011), explored by epsilon-greedy:
 * what Vowpal Wabbit does with --cb_explore. The constant is a feature like the others.
 */
#include <math.h>
#include <stdlib.h>

#include "baseline.h"
#include "dense.h"

enum { EPSILON, HORIZON, RATE, START, PRIOR, POWER };

struct adagrad {
    struct sona_baseline_setup setup;
    struct sona_baseline_greedy greedy;
    double *weight, *square; /* [routes][dim + 1]; the constant last */
    double *scores;
};

static void done(void *self)
{
    struct adagrad *adagrad = self;

    if (adagrad == NULL)
        return;
    free(adagrad->weight);
    free(adagrad->square);
    free(adagrad->scores);
    free(adagrad);
}

static void *init(const struct sona_baseline_setup *setup)
{
    struct adagrad *adagrad = calloc(1, sizeof *adagrad);
    size_t width = setup->dim + 1, n = setup->routes * width;

    if (adagrad == NULL)
        return NULL;
    adagrad->setup = *setup;
    adagrad->greedy = (struct sona_baseline_greedy){
        .random = sona_tools_random_init(setup->seed, SONA_BASELINE_PURPOSE),
        .epsilon = setup->param[EPSILON],
        .horizon = setup->param[HORIZON],
    };
    adagrad->weight = calloc(n, sizeof *adagrad->weight);
    adagrad->square = malloc(n * sizeof *adagrad->square);
    adagrad->scores = calloc(setup->routes, sizeof *adagrad->scores);
    if (adagrad->weight == NULL || adagrad->square == NULL || adagrad->scores == NULL) {
        done(adagrad);
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        adagrad->square[i] = setup->param[START];
    for (uint32_t k = 0; k < setup->routes; k++)
        adagrad->weight[k * width + setup->dim] = setup->param[PRIOR];
    return adagrad;
}

static double predict(const struct adagrad *adagrad, const double *x, uint32_t route)
{
    uint32_t dim = adagrad->setup.dim;
    const double *w = adagrad->weight + (size_t)route * (dim + 1);

    return sona_dense_dot(w, x, dim) + w[dim];
}

static void score(void *self, const double *x, double *ret)
{
    const struct adagrad *adagrad = self;

    for (uint32_t k = 0; k < adagrad->setup.routes; k++)
        ret[k] = predict(adagrad, x, k) - adagrad->setup.cost[k];
}

static uint32_t choose(void *self, const double *x)
{
    struct adagrad *adagrad = self;

    score(adagrad, x, adagrad->scores);
    return sona_baseline_greedy_choose(&adagrad->greedy, adagrad->scores, adagrad->setup.routes);
}

/* G += g^2, w += rate g / G^power with g = (value - w.x) x */
static void learn(void *self, const double *x, uint32_t route, double value)
{
    struct adagrad *adagrad = self;
    uint32_t dim = adagrad->setup.dim;
    double *w = adagrad->weight + (size_t)route * (dim + 1);
    double *square = adagrad->square + (size_t)route * (dim + 1);
    double error = value - predict(adagrad, x, route);
    double rate = adagrad->setup.param[RATE], power = adagrad->setup.param[POWER];

    for (uint32_t i = 0; i <= dim; i++) {
        double g = error * (i < dim ? x[i] : 1);

        square[i] += g * g;
        if (square[i] > 0)
            w[i] += rate * g / (power == 0.5 ? sqrt(square[i]) : pow(square[i], power));
    }
}

const struct sona_baseline sona_baseline_adagrad = {
    .name = "adagrad",
    .help = "linear heads by AdaGrad, epsilon-greedy",
    .param = {{"epsilon", 0.05, 0, 1, "share of decisions at random"},
              {"horizon", 0, 0, 1e9, "epsilon falls as horizon / t after it; 0: never"},
              {"rate", 0.1, 0, 100, "learning rate"},
              {"start", 1e-4, 0, 100, "squared gradients before the first"},
              {"prior", 0.5, -10, 10, "what an untried route is thought to be worth"},
              {"power", 0.5, 0, 1, "of the squared gradients in the rate"}},
    .init = init,
    .choose = choose,
    .learn = learn,
    .score = score,
    .done = done,
};
