/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Choosing a route: inverse-gap weighting over the upper values, so that the probability of what
 * was chosen is known exactly and outcomes can be re-weighted later.
 *
 *     p_k = 1 / (n + gamma (U_best - U_k)),   gamma = 100 sqrt(n (t + 1) / (mse + .001))
 *     p_k <- .995 p_k + .005 / n              the best route takes what the others leave
 *
 * A bound on the exploring share shrinks all others alike. Draws run over doubles; the reported
 * propensity is the double that was drawn against, rounded once.
 */
#include <math.h>
#include <string.h>

#include "engine/model/block.h"
#include "engine/model/model.h"

#define GAP_SCALE 100.0
#define FLOOR     0.005 /* share that is uniform, so that no candidate is ever forgotten */

/* The policy over the candidates of one decision. */
struct policy {
    uint32_t best;  /* position, not route index */
    uint32_t count; /* candidates */
    uint16_t index[SONA_ROUTES_MAX];
    double p[SONA_ROUTES_MAX];
};

/* Uniform in [0, 1). */
static double unit(uint64_t random)
{
    return (double)(random >> 11) * 0x1p-53;
}

/* In a torn block anything may stand here; what is no number is the worst. */
static double upper_of(const struct sona_model_scores *scores, uint32_t k)
{
    double u = (double)scores->upper[k];

    return u > -1e30 && u < 1e30 ? u : -1e30;
}

static void gather(struct policy *policy, const struct sona_model_scores *scores)
{
    policy->count = policy->best = 0;
    for (uint32_t k = 0; k < scores->n_routes; k++) {
        if (!(scores->candidate[k / 64] >> (k % 64) & 1u))
            continue;
        policy->index[policy->count] = (uint16_t)k;
        if (upper_of(scores, k) > upper_of(scores, policy->index[policy->best]))
            policy->best = policy->count;
        policy->count++;
    }
}

static void weigh(struct policy *policy, const struct sona_model_hot *hot,
                  const struct sona_model_scores *scores, double max_explore)
{
    double n = policy->count;
    double mse = (double)sona_model_clamp(hot->mse, 0, 1);
    double t = (double)hot->outcomes;
    double gamma = GAP_SCALE * sqrt(n * (t + 1) / (mse + 0.001));
    double top = upper_of(scores, policy->index[policy->best]);
    double share = 0, keep = 1;

    for (uint32_t i = 0; i < policy->count; i++) {
        double gap = top - upper_of(scores, policy->index[i]);

        policy->p[i] = i == policy->best ? 0 : (1 - FLOOR) / (n + gamma * gap) + FLOOR / n;
        share += policy->p[i];
    }
    if (share > max_explore)
        keep = max_explore / share;
    for (uint32_t i = 0; i < policy->count; i++)
        policy->p[i] *= keep;
    policy->p[policy->best] = 1 - share * keep;
}

/* The position that `random` falls on. */
static uint32_t draw(const struct policy *policy, uint64_t random)
{
    double left = unit(random);

    for (uint32_t i = 0; i < policy->count; i++) {
        if (left < policy->p[i])
            return i;
        left -= policy->p[i];
    }
    return policy->best; /* rounding left a crumb: the best has the largest share */
}

static void answer(const struct sona_model_view *view, const struct sona_model_scores *scores,
                   uint32_t k, sona_why why, double propensity, sona_decision *ret)
{
    memset(ret, 0, sizeof *ret);
    /* The row is k whatever its bytes say by now; only the generation is theirs. */
    ret->route = SONA_ROUTE_ID(k, SONA_ROUTE_GENERATION(sona_model_word(
                                      &sona_model_route_row(view->layout, view->hot, k)->id)));
    ret->why = why;
    ret->propensity = (float)propensity;
    ret->expected = sona_model_clamp(scores->quality[k], 0, 1);
    ret->n_scores = scores->n_routes;
    ret->scores = scores->value;
}

static bool is_forced(const sona_candidates *candidates)
{
    return candidates &&
           (candidates->mode == SONA_MODE_OBSERVE || candidates->mode == SONA_MODE_BYPASS);
}

/* No outcome yet, and nothing believed beforehand tells the candidates apart. */
static bool is_cold(const struct policy *policy, const struct sona_model_hot *hot)
{
    if (hot->outcomes != 0)
        return false;
    for (uint32_t i = 0; i < policy->count; i++)
        if (fabs(policy->p[i] - policy->p[0]) > 1e-9)
            return false;
    return true;
}

sona_err sona_model_decide(const struct sona_model_view *view, const float *x,
                           const sona_candidates *candidates, uint64_t random,
                           struct sona_model_scores *scores, sona_decision *ret)
{
    const struct sona_model_hot *hot = sona_model_hot_of(view);
    struct policy policy;
    sona_err err;
    uint32_t at;

    if (is_forced(candidates) && sona_model_route_check(view, candidates->forced) != SONA_OK)
        return SONA_E_ROUTE;
    err = sona_model_score(view, x, candidates, scores);
    memset(scores->propensity, 0, view->layout->geometry.routes_max * sizeof(float));
    if (is_forced(candidates) && err != SONA_E_RANGE) {
        scores->propensity[SONA_ROUTE_INDEX(candidates->forced)] = 1;
        answer(view, scores, SONA_ROUTE_INDEX(candidates->forced), SONA_WHY_FORCED, 1, ret);
        ret->route = candidates->forced;
        return SONA_OK;
    }
    if (err != SONA_OK)
        return err;

    gather(&policy, scores);
    weigh(&policy, hot, scores,
          candidates && candidates->no_explore ? 0
                                               : (double)sona_model_clamp(hot->max_explore, 0, 1));
    at = draw(&policy, random);
    for (uint32_t i = 0; i < policy.count; i++)
        scores->propensity[policy.index[i]] = (float)policy.p[i];
    answer(view, scores, policy.index[at],
           policy.count == 1       ? SONA_WHY_ONLY
           : is_cold(&policy, hot) ? SONA_WHY_COLD
           : at == policy.best     ? SONA_WHY_BEST
                                   : SONA_WHY_EXPLORE,
           policy.p[at], ret);
    return SONA_OK;
}

sona_err sona_model_decide_cold(const sona_candidates *candidates, uint64_t random,
                                sona_decision *ret)
{
    uint32_t index[SONA_ROUTES_MAX];
    uint32_t count = 0, at;

    if (is_forced(candidates)) {
        if (SONA_ROUTE_INDEX(candidates->forced) >= SONA_ROUTES_MAX)
            return SONA_E_ROUTE;
        memset(ret, 0, sizeof *ret);
        ret->route = candidates->forced;
        ret->why = SONA_WHY_FORCED;
        ret->propensity = 1;
        return SONA_OK;
    }
    if (!candidates || !candidates->restricted)
        return SONA_E_NO_ROUTE;
    for (uint32_t k = 0; k < SONA_ROUTES_MAX; k++)
        if (candidates->set[k / 64] >> (k % 64) & 1u)
            index[count++] = k;
    if (count == 0)
        return SONA_E_NO_ROUTE;

    at = (uint32_t)(unit(random) * count);
    memset(ret, 0, sizeof *ret);
    /* Generations are unknown without a table; the first one is the likely one. */
    ret->route = SONA_ROUTE_ID(index[at < count ? at : count - 1], 0);
    ret->why = count == 1 ? SONA_WHY_ONLY : SONA_WHY_COLD;
    ret->propensity = 1 / (float)count;
    return SONA_OK;
}
