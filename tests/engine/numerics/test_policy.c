/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The policy over random models, queries, candidate sets and costs: propensities as the formulas of
 * decide.c say them, computed here in double and without its code, and the frequencies of what is
 * drawn.
 */
#include <float.h>

#include "tests/engine/model_fixture.h"

#define ROUTES_MOST 40u

/* A model of a random size and mood. */
static void open_random(struct model *m, struct dice *dice)
{
    sona_geometry g = small_geometry();
    uint32_t n = 1 + dice_below(dice, dice_below(dice, 2) ? 5 : ROUTES_MOST);

    g.routes_max = ROUTES_MOST;
    model_open(m, &g);
    model_fill(m, n, 12, dice);
    model_head(m)->outcomes = dice_below(dice, 4) ? dice_below(dice, 100000) : 0;
    model_head(m)->step = 2 * model_head(m)->outcomes + n;
    model_head(m)->mse = dice_unit(dice) * dice_unit(dice);
    model_head(m)->lambda = dice_below(dice, 2) ? dice_unit(dice) : 0;
    model_head(m)->max_explore = dice_below(dice, 2) ? 1 : dice_unit(dice) * dice_unit(dice);
    for (uint32_t k = 0; k < n; k++)
        if (dice_below(dice, 6) == 0)
            model_route(m, k)->state = SONA_ROUTE_RETIRED;
}

static void draw_candidates(sona_candidates *c, float *costs, struct dice *dice)
{
    memset(c, 0, sizeof *c);
    c->restricted = dice_below(dice, 2);
    c->set[0] = dice_next(dice);
    c->no_explore = dice_below(dice, 5) == 0;
    c->override_costs = dice_below(dice, 3) == 0;
    c->costs = costs;
    for (uint32_t k = 0; k < ROUTES_MOST; k++)
        costs[k] = dice_unit(dice);
}

static bool may_be_chosen(struct model *m, const sona_candidates *c, uint32_t k)
{
    return model_route(m, k)->state == SONA_ROUTE_ENABLED &&
           (!c->restricted || (c->set[k / 64] >> (k % 64) & 1));
}

/* The propensities that follow from the upper values; returns how many candidates there are. */
static uint32_t expect_policy(struct model *m, const sona_candidates *c, double *p)
{
    uint32_t rows = model_head(m)->n_routes, n = 0, best = ROUTES_MOST;
    double share = 0, most = c->no_explore ? 0 : (double)model_head(m)->max_explore, gamma;

    for (uint32_t k = 0; k < rows; k++) {
        p[k] = 0;
        if (!may_be_chosen(m, c, k))
            continue;
        n++;
        if (best == ROUTES_MOST || m->scores.upper[k] > m->scores.upper[best])
            best = k;
    }
    gamma = 100 *
            sqrt(n * ((double)model_head(m)->outcomes + 1) / ((double)model_head(m)->mse + 0.001));
    for (uint32_t k = 0; k < rows; k++) {
        double gap = (double)m->scores.upper[best % ROUTES_MOST] - (double)m->scores.upper[k];

        if (k == best || !may_be_chosen(m, c, k))
            continue;
        p[k] = 0.995 / (n + gamma * gap) + 0.005 / n;
        share += p[k];
    }
    for (uint32_t k = 0; k < rows && share > most; k++)
        p[k] *= most / share;
    if (n > 0)
        p[best] = 1 - fmin(share, most);
    return n;
}

Test(policy, is_inverse_gap_weighting_with_a_floor_and_a_bound_for_any_model_and_question)
{
    struct dice dice =
        dice_open("is_inverse_gap_weighting_with_a_floor_and_a_bound_for_any_model_and_question");
    uint32_t refused = 0;

    for (int round = 0; round < 3000; round++) {
        float x[32], costs[ROUTES_MOST];
        double p[ROUTES_MOST], sum = 0, most = 0;
        sona_candidates c;
        struct model m;
        sona_decision d;
        sona_err err;
        uint32_t n;

        open_random(&m, &dice);
        draw_candidates(&c, costs, &dice);
        model_query(&m, x, &dice);
        err = sona_model_decide(&m.view, x, &c, dice_next(&dice), &m.scores, &d);
        n = expect_policy(&m, &c, p);
        if (n == 0) {
            cr_assert(eq(int, err, SONA_E_NO_ROUTE));
            refused++;
            model_close(&m);
            continue;
        }
        cr_assert(eq(int, err, SONA_OK));
        for (uint32_t k = 0; k < model_head(&m)->n_routes; k++) {
            double cost = (double)(c.override_costs ? costs[k] : model_route(&m, k)->cost);

            sum += (double)m.scores.propensity[k];
            most = fmax(most, (double)m.scores.propensity[k]);
            cr_assert(epsilon_eq(dbl, (double)m.scores.propensity[k], p[k], 1e-6 + 1e-5 * p[k]),
                      "route %u of %u, seed %llu", k, n, (unsigned long long)dice.seed);
            if (!may_be_chosen(&m, &c, k))
                continue;
            cr_assert(epsilon_eq(
                dbl, (double)d.scores[k],
                (double)m.scores.quality[k] - (double)model_head(&m)->lambda * cost, 1e-5));
            if (!c.no_explore && model_head(&m)->max_explore >= 1)
                cr_assert(ge(dbl, (double)m.scores.propensity[k], 0.005 / n * 0.999999));
        }
        cr_assert(epsilon_eq(dbl, sum, 1, 1e-5), "seed %llu", (unsigned long long)dice.seed);
        if (n > 1)
            cr_assert(
                ge(dbl, most, c.no_explore ? 1 : 1 - (double)model_head(&m)->max_explore - 1e-6));
        cr_assert(may_be_chosen(&m, &c, SONA_ROUTE_INDEX(d.route)));
        cr_assert(eq(flt, d.propensity, m.scores.propensity[SONA_ROUTE_INDEX(d.route)]));
        model_close(&m);
    }
    cr_assert(gt(u32, refused, 0), "some sets are empty");
}

/* The upper 1e-6 quantile of chi-square, by Wilson and Hilferty. */
static double quantile(uint32_t degrees)
{
    double a = 2.0 / (9.0 * degrees);

    return degrees * pow(1 - a + 4.753 * sqrt(a), 3);
}

/* Cells too small for the approximation are counted together. */
Test(policy, draws_come_as_often_as_their_propensities_say)
{
    enum { DRAWS = 50000 };
    struct dice dice = dice_open("draws_come_as_often_as_their_propensities_say");
    uint32_t tested = 0;

    for (int round = 0; round < 25; round++) {
        double expected[ROUTES_MOST], chi2 = 0, pooled[2] = {0, 0};
        uint32_t count[ROUTES_MOST] = {0}, cells = 0;
        float x[32], costs[ROUTES_MOST];
        sona_candidates c;
        struct model m;

        open_random(&m, &dice);
        model_head(&m)->outcomes /= 1000; /* so that more than one cell fills */
        draw_candidates(&c, costs, &dice);
        model_query(&m, x, &dice);
        for (uint64_t i = 0; i < DRAWS; i++) {
            sona_decision d;

            if (sona_model_decide(&m.view, x, &c, sona_model_random(dice.seed, (uint64_t)round, i),
                                  &m.scores, &d) != SONA_OK)
                break;
            count[SONA_ROUTE_INDEX(d.route)]++;
        }
        (void)expect_policy(&m, &c, expected); /* nobody to choose: no cell */
        for (uint32_t k = 0; k < model_head(&m)->n_routes; k++) {
            bool small = expected[k] * DRAWS < 8;

            cr_assert(expected[k] > 0 || count[k] == 0, "route %u cannot be drawn", k);
            pooled[0] += small ? count[k] : 0;
            pooled[1] += small ? expected[k] * DRAWS : 0;
            if (small)
                continue;
            chi2 += pow(count[k] - expected[k] * DRAWS, 2) / (expected[k] * DRAWS);
            cells++;
        }
        if (pooled[1] >= 8) {
            chi2 += pow(pooled[0] - pooled[1], 2) / pooled[1];
            cells++;
        }
        if (cells > 1) {
            cr_assert(lt(dbl, chi2, quantile(cells - 1)), "round %d, %u cells, seed %llu", round,
                      cells, (unsigned long long)dice.seed);
            tested++;
        }
        model_close(&m);
    }
    cr_assert(gt(u32, tested, 5));
}
