/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Linear Thompson sampling (Agrawal & Goyal 2013): each route's weights are drawn from
 * N(theta, alpha^2 A^-1), and the best draw is chosen. A decision needs the drawn weights only
 * along z, where they are N(theta.z, alpha^2 z'A^-1 z): one number is drawn for each route.
 */
#include <math.h>
#include <stdlib.h>

#include "baseline.h"
#include "ridge.h"

enum { RIDGE, ALPHA, BIAS, PRIOR };

struct lints {
    struct sona_baseline_setup setup;
    struct sona_ridge *ridge;
    struct sona_tools_random random;
    double *value, *variance; /* [routes] scratch */
};

static void done(void *self)
{
    struct lints *lints = self;

    if (lints == NULL)
        return;
    sona_ridge_done(lints->ridge);
    free(lints->value);
    free(lints->variance);
    free(lints);
}

static void *init(const struct sona_baseline_setup *setup)
{
    struct lints *lints = calloc(1, sizeof *lints);
    const double *param = setup->param;

    if (lints == NULL)
        return NULL;
    *lints = (struct lints){
        .setup = *setup,
        .ridge =
            sona_ridge_init(setup->dim, setup->routes, param[RIDGE], param[BIAS], param[PRIOR]),
        .random = sona_tools_random_init(setup->seed, SONA_BASELINE_PURPOSE),
        .value = calloc(setup->routes, sizeof(double)),
        .variance = calloc(setup->routes, sizeof(double)),
    };
    if (lints->ridge == NULL || lints->value == NULL || lints->variance == NULL) {
        done(lints);
        return NULL;
    }
    return lints;
}

static void score(void *self, const double *x, double *ret)
{
    struct lints *lints = self;

    sona_ridge_predict(lints->ridge, x, ret, NULL);
    for (uint32_t k = 0; k < lints->setup.routes; k++)
        ret[k] -= lints->setup.cost[k];
}

/* A standard normal number (Box & Muller 1958). */
static double normal(struct sona_tools_random *random)
{
    double u = 1 - sona_tools_random_unit(random), v = sona_tools_random_unit(random);

    return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

static uint32_t choose(void *self, const double *x)
{
    struct lints *lints = self;

    sona_ridge_predict(lints->ridge, x, lints->value, lints->variance);
    for (uint32_t k = 0; k < lints->setup.routes; k++)
        lints->value[k] +=
            lints->setup.param[ALPHA] * sqrt(fmax(0, lints->variance[k])) * normal(&lints->random) -
            lints->setup.cost[k];
    return sona_baseline_best(lints->value, lints->setup.routes);
}

static void learn(void *self, const double *x, uint32_t route, double value)
{
    struct lints *lints = self;

    sona_ridge_learn(lints->ridge, x, route, value);
}

const struct sona_baseline sona_baseline_lints = {
    .name = "lints",
    .help = "ridge regression, Thompson sampling",
    .param = {{"ridge", 3, 1e-6, 1e6, "penalty on the weights"},
              {"alpha", 0.3, 0, 100, "width of the posterior"},
              {"bias", 1, 0, 100, "value of the constant feature; 0: none"},
              {"prior", 0, -10, 10, "what an untried route is thought to be worth"}},
    .init = init,
    .choose = choose,
    .learn = learn,
    .score = score,
    .done = done,
};
