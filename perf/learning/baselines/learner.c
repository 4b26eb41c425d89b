/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "learner.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/fail.h"
#include "tools/replay/options.h"

const struct sona_baseline *const sona_baselines[] = {
    &sona_baseline_mean,  &sona_baseline_adagrad, &sona_baseline_linucb,
    &sona_baseline_lints, &sona_baseline_knn,     NULL,
};

/* A decision that waits for its outcome. Its id is its place + 1. */
struct waiting {
    float *x; /* null: told, or another's id */
    uint32_t route;
};

struct sona_baseline_learner {
    const struct sona_baseline *baseline;
    struct sona_tools_learner interface;
    void *self;
    uint32_t dim, routes;
    bool told_cost;
    double *cost;           /* [routes] lambda * cost; what is told or decided with */
    double *free_of_charge; /* [routes] zeros */
    double *x, *value;      /* scratch */
    struct waiting *waiting;
    uint64_t count, capacity;
};

static const struct sona_baseline *find(const char *name, size_t n)
{
    for (uint32_t i = 0; sona_baselines[i] != NULL; i++)
        if (strlen(sona_baselines[i]->name) == n && strncmp(sona_baselines[i]->name, name, n) == 0)
            return sona_baselines[i];
    return NULL;
}

/* One "key=value". */
static sona_err set_param(struct sona_baseline_choice *choice, const char *text, sona_diag *reterr)
{
    const char *equals = strchr(text, '=');
    double value;

    if (strncmp(text, "told_cost=", 10) == 0 && sona_replay_parse_real(text + 10, 0, 1, &value)) {
        choice->told_cost = value > 0;
        return SONA_OK;
    }
    for (uint32_t i = 0; equals != NULL && i < SONA_BASELINE_PARAMS_MAX; i++) {
        const struct sona_baseline_param *param = &choice->baseline->param[i];

        if (param->name == NULL)
            break;
        if (strlen(param->name) != (size_t)(equals - text) ||
            strncmp(param->name, text, (size_t)(equals - text)) != 0)
            continue;
        if (!sona_replay_parse_real(equals + 1, param->low, param->high, &choice->param[i]))
            return sona_tools_fail(reterr, SONA_E_ARGUMENT, "%s takes a number from %g to %g",
                                   param->name, param->low, param->high);
        return SONA_OK;
    }
    return sona_tools_fail(reterr, SONA_E_ARGUMENT, "%s has no parameter \"%.40s\"; see --help",
                           choice->baseline->name, text);
}

sona_err sona_baseline_parse(struct sona_baseline_choice *ret, const char *text, sona_diag *reterr)
{
    size_t n = strcspn(text, ":");
    struct sona_baseline_choice choice = {.baseline = find(text, n)};
    sona_err err = SONA_OK;
    char *copy, *rest, *part;

    if (choice.baseline == NULL)
        return sona_tools_fail(reterr, SONA_E_ARGUMENT, "\"%.40s\" is no baseline; see --help",
                               text);
    for (uint32_t i = 0; i < SONA_BASELINE_PARAMS_MAX; i++)
        choice.param[i] = choice.baseline->param[i].value;
    copy = rest = strdup(text[n] == ':' ? text + n + 1 : "");
    if (copy == NULL)
        return sona_tools_fail(reterr, SONA_E_MEMORY, "not enough memory");
    while (err == SONA_OK && (part = strsep(&rest, ",")) != NULL)
        if (*part != '\0')
            err = set_param(&choice, part, reterr);
    free(copy);
    if (err == SONA_OK)
        *ret = choice;
    return err;
}

/* The embedding at unit norm. */
static const double *unit(struct sona_baseline_learner *learner, const float *x)
{
    double square = 0;

    for (uint32_t j = 0; j < learner->dim; j++)
        square += (double)x[j] * (double)x[j];
    for (uint32_t j = 0; j < learner->dim; j++)
        learner->x[j] = (double)x[j] / sqrt(square);
    return learner->x;
}

static bool grow(struct sona_baseline_learner *learner)
{
    uint64_t capacity = learner->capacity > 0 ? 2 * learner->capacity : 1024;
    struct waiting *waiting = realloc(learner->waiting, capacity * sizeof *waiting);

    if (waiting == NULL)
        return false;
    learner->waiting = waiting;
    learner->capacity = capacity;
    return true;
}

static sona_err decide(void *self, const float *x, sona_decision *ret)
{
    struct sona_baseline_learner *learner = self;
    struct waiting *waiting;

    if (learner->count == learner->capacity && !grow(learner))
        return SONA_E_MEMORY;
    waiting = &learner->waiting[learner->count];
    waiting->x = malloc(learner->dim * sizeof *x);
    if (waiting->x == NULL)
        return SONA_E_MEMORY;
    memcpy(waiting->x, x, learner->dim * sizeof *x);
    waiting->route = learner->baseline->choose(learner->self, unit(learner, x));
    *ret = (sona_decision){.id = ++learner->count, .route = waiting->route};
    return SONA_OK;
}

static sona_err outcome(void *self, uint64_t id, float quality)
{
    struct sona_baseline_learner *learner = self;
    struct waiting *waiting;

    if (id == 0 || id > learner->count || learner->waiting[id - 1].x == NULL)
        return SONA_E_UNKNOWN_ID;
    waiting = &learner->waiting[id - 1];
    learner->baseline->learn(learner->self, unit(learner, waiting->x), waiting->route,
                             (double)quality -
                                 (learner->told_cost ? learner->cost[waiting->route] : 0));
    free(waiting->x);
    waiting->x = NULL;
    return SONA_OK;
}

/* A score is of the quality or of the reward; the held-out policy wants the reward in both cases.
 */
static void score(void *self, const float *x, float *ret)
{
    struct sona_baseline_learner *learner = self;

    learner->baseline->score(learner->self, unit(learner, x), learner->value);
    for (uint32_t k = 0; k < learner->routes; k++)
        ret[k] = (float)learner->value[k];
}

sona_err sona_baseline_open(struct sona_baseline_learner **ret,
                            const struct sona_baseline_choice *choice,
                            const struct sona_tools_dataset *set, double lambda, uint64_t seed,
                            const struct sona_tools_learner **ret_learner, sona_diag *reterr)
{
    struct sona_baseline_learner *learner = calloc(1, sizeof *learner);
    struct sona_baseline_setup setup = {.dim = set->dim, .routes = set->routes, .seed = seed};

    if (learner != NULL) {
        learner->baseline = choice->baseline;
        learner->told_cost = choice->told_cost;
        learner->dim = set->dim;
        learner->routes = set->routes;
        learner->cost = calloc(set->routes, sizeof *learner->cost);
        learner->free_of_charge = calloc(set->routes, sizeof *learner->free_of_charge);
        learner->x = calloc(set->dim, sizeof *learner->x);
        learner->value = calloc(set->routes, sizeof *learner->value);
    }
    if (learner != NULL && learner->cost != NULL && learner->free_of_charge != NULL &&
        learner->x != NULL && learner->value != NULL) {
        for (uint32_t k = 0; k < set->routes; k++)
            learner->cost[k] = lambda * (double)set->route[k].cost;
        setup.cost = choice->told_cost ? learner->free_of_charge : learner->cost;
        memcpy(setup.param, choice->param, sizeof setup.param);
        learner->self = choice->baseline->init(&setup);
    }
    if (learner == NULL || learner->self == NULL) {
        sona_baseline_close(&learner);
        return sona_tools_fail(reterr, SONA_E_MEMORY, "not enough memory for a learner");
    }
    learner->interface = (struct sona_tools_learner){learner, decide, outcome, score};
    *ret_learner = &learner->interface;
    *ret = learner;
    return SONA_OK;
}

void sona_baseline_close(struct sona_baseline_learner **learner)
{
    struct sona_baseline_learner *gone = *learner;

    if (gone == NULL)
        return;
    if (gone->self != NULL)
        gone->baseline->done(gone->self);
    for (uint64_t i = 0; i < gone->count; i++)
        free(gone->waiting[i].x);
    free(gone->waiting);
    free(gone->cost);
    free(gone->free_of_charge);
    free(gone->x);
    free(gone->value);
    free(gone);
    *learner = NULL;
}
