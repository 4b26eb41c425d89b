/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * LinUCB with disjoint models (Li et al. 2010): the highest upper confidence bound,
 * theta.z + alpha sqrt(z'A^-1 z) - cost, is chosen.
 */
#include <math.h>
#include <stdlib.h>

#include "baseline.h"
#include "ridge.h"

enum { RIDGE, ALPHA, BIAS, PRIOR };

struct linucb {
    struct sona_baseline_setup setup;
    struct sona_ridge *ridge;
    double *value, *variance; /* [routes] scratch */
};

static void done(void *self)
{
    struct linucb *linucb = self;

    if (linucb == NULL)
        return;
    sona_ridge_done(linucb->ridge);
    free(linucb->value);
    free(linucb->variance);
    free(linucb);
}

static void *init(const struct sona_baseline_setup *setup)
{
    struct linucb *linucb = calloc(1, sizeof *linucb);
    const double *param = setup->param;

    if (linucb == NULL)
        return NULL;
    *linucb = (struct linucb){
        .setup = *setup,
        .ridge =
            sona_ridge_init(setup->dim, setup->routes, param[RIDGE], param[BIAS], param[PRIOR]),
        .value = calloc(setup->routes, sizeof(double)),
        .variance = calloc(setup->routes, sizeof(double)),
    };
    if (linucb->ridge == NULL || linucb->value == NULL || linucb->variance == NULL) {
        done(linucb);
        return NULL;
    }
    return linucb;
}

static void score(void *self, const double *x, double *ret)
{
    struct linucb *linucb = self;

    sona_ridge_predict(linucb->ridge, x, ret, NULL);
    for (uint32_t k = 0; k < linucb->setup.routes; k++)
        ret[k] -= linucb->setup.cost[k];
}

static uint32_t choose(void *self, const double *x)
{
    struct linucb *linucb = self;

    sona_ridge_predict(linucb->ridge, x, linucb->value, linucb->variance);
    for (uint32_t k = 0; k < linucb->setup.routes; k++)
        linucb->value[k] +=
            linucb->setup.param[ALPHA] * sqrt(fmax(0, linucb->variance[k])) - linucb->setup.cost[k];
    return sona_baseline_best(linucb->value, linucb->setup.routes);
}

static void learn(void *self, const double *x, uint32_t route, double value)
{
    struct linucb *linucb = self;

    sona_ridge_learn(linucb->ridge, x, route, value);
}

const struct sona_baseline sona_baseline_linucb = {
    .name = "linucb",
    .help = "ridge regression, upper confidence bound",
    .param = {{"ridge", 3, 1e-6, 1e6, "penalty on the weights"},
              {"alpha", 0.3, 0, 100, "width of the confidence bound"},
              {"bias", 1, 0, 100, "value of the constant feature; 0: none"},
              {"prior", 0, -10, 10, "what an untried route is thought to be worth"}},
    .init = init,
    .choose = choose,
    .learn = learn,
    .score = score,
    .done = done,
};
