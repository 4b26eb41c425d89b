/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Context-free: the mean of each route, whatever is asked. Explored by an upper confidence bound
 * (UCB1, Auer et al. 2002) when ucb > 0, and by epsilon-greedy.
 */
#include <math.h>
#include <stdlib.h>

#include "baseline.h"

enum { EPSILON, HORIZON, UCB };

struct arm {
    double n, sum;
};

struct mean {
    struct sona_baseline_setup setup;
    struct sona_baseline_greedy greedy;
    double t, *scores;
    struct arm arm[];
};

static void done(void *self)
{
    struct mean *mean = self;

    if (mean != NULL)
        free(mean->scores);
    free(mean);
}

static void *init(const struct sona_baseline_setup *setup)
{
    struct mean *mean = calloc(1, sizeof *mean + setup->routes * sizeof *mean->arm);

    if (mean == NULL)
        return NULL;
    mean->setup = *setup;
    mean->greedy = (struct sona_baseline_greedy){
        .random = sona_tools_random_init(setup->seed, SONA_BASELINE_PURPOSE),
        .epsilon = setup->param[EPSILON],
        .horizon = setup->param[HORIZON],
    };
    mean->scores = calloc(setup->routes, sizeof *mean->scores);
    if (mean->scores == NULL) {
        done(mean);
        return NULL;
    }
    return mean;
}

/* One imagined outcome of 0.5 stands in for a route that was never tried. */
static void score(void *self, const double *x, double *ret)
{
    const struct mean *mean = self;

    (void)x;
    for (uint32_t k = 0; k < mean->setup.routes; k++)
        ret[k] = (mean->arm[k].sum + 0.5) / (mean->arm[k].n + 1) - mean->setup.cost[k];
}

static uint32_t choose(void *self, const double *x)
{
    struct mean *mean = self;
    double ucb = mean->setup.param[UCB];

    score(mean, x, mean->scores);
    for (uint32_t k = 0; ucb > 0 && k < mean->setup.routes; k++)
        mean->scores[k] += ucb * sqrt(2 * log(mean->t + 1) / (mean->arm[k].n + 1));
    return sona_baseline_greedy_choose(&mean->greedy, mean->scores, mean->setup.routes);
}

static void learn(void *self, const double *x, uint32_t route, double value)
{
    struct mean *mean = self;

    (void)x;
    mean->t++;
    mean->arm[route].n++;
    mean->arm[route].sum += value;
}

const struct sona_baseline sona_baseline_mean = {
    .name = "mean",
    .help = "context-free mean, UCB1 or epsilon-greedy",
    .param = {{"epsilon", 0.05, 0, 1, "share of decisions at random"},
              {"horizon", 0, 0, 1e9, "epsilon falls as horizon / t after it; 0: never"},
              {"ucb", 0, 0, 10, "width of the confidence bound; 0: none"}},
    .init = init,
    .choose = choose,
    .learn = learn,
    .score = score,
    .done = done,
};
