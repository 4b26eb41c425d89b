/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Decisions: who may be chosen, how likely, and what is said about it; and the patterns that a
 * query finds. */
#include <stdlib.h>

#include "tests/engine/model_fixture.h"

static void open_filled(struct model *m, uint32_t n_routes, struct dice *dice)
{
    sona_geometry g = small_geometry();

    model_open(m, &g);
    model_fill(m, n_routes, 12, dice);
    model_fill_bank(m, 12, dice);
}

static sona_decision decide(struct model *m, const float *x, const sona_candidates *candidates,
                            uint64_t random)
{
    sona_decision d;

    cr_assert(eq(int, sona_model_decide(&m->view, x, candidates, random, &m->scores, &d), SONA_OK));
    return d;
}

/* What the formulas of model.h say, in double and without a kernel. */
struct reference {
    double z[5];
    double weight[3]; /* of the three nearest patterns, sum 1 */
    uint32_t near[3];
};

/* |x' - c|^2, x' of length 1 and on the code's axes twice x: of whole numbers, as the definition of
 * SONA_MODEL_POINT says. In real ones the third and the fourth nearest may be the other way round.
 */
static double distance2(struct model *m, const float *x, double length, uint32_t c)
{
    const struct sona_model_pattern *row = sona_model_pattern_row(&m->layout, m->cold, c);
    double product = 0;

    for (uint32_t i = 0; i < 20; i++)
        product += (double)rintf(x[i] * SONA_MODEL_POINT) * model_lifted(m, c)[i];
    return 1 + (double)row->norm2 -
           2 * product / (length * (double)SONA_MODEL_POINT * (double)SONA_MODEL_LIFTED);
}

static void reference_locate(struct model *m, const float *x, struct reference *ret)
{
    const struct sona_model_layout *l = &m->layout;
    double d[12], square = 1, sum = 0;

    *ret = (struct reference){.z = {0, 0, 0, 0, 1}};
    for (uint32_t r = 0; r < 4; r++) {
        for (uint32_t i = 0; i < 20; i++)
            ret->z[r] += (double)cold_floats(m, l->code)[r * l->dim_padded + i] * (double)x[i];
        square += 3 * ret->z[r] * ret->z[r]; /* of x + A'A x */
    }
    for (uint32_t c = 0; c < 12; c++)
        d[c] = distance2(m, x, sqrt(square), c);
    for (uint32_t p = 0; p < 3; p++) {
        for (uint32_t c = 0; c < 12; c++)
            if (d[c] < d[ret->near[p]])
                ret->near[p] = c;
        ret->weight[p] = exp(-d[ret->near[p]] / 0.15);
        sum += ret->weight[p];
        d[ret->near[p]] = INFINITY;
    }
    for (uint32_t p = 0; p < 3; p++)
        ret->weight[p] /= sum;
}

/* The four terms of route k. */
static void reference_terms(struct model *m, const struct reference *at, const float *x, uint32_t k,
                            double *u)
{
    const struct sona_model_layout *l = &m->layout;
    const struct sona_model_route *row = model_route(m, k);
    const float *w = hot_floats(m, sona_model_at(&l->routes, k, l->route_head));
    const float *g = hot_floats(m, sona_model_at(&l->routes, k, l->route_code));
    const float *rest = cold_floats(m, sona_model_at(&l->refit, k, 0));
    const float *h = hot_floats(m, l->micro_heads) + k * SONA_MICRO_RANK_MAX;
    const float *a = hot_floats(m, l->micro_a);
    double top = 0, below = 8;

    u[0] = (double)row->bias - (double)row->mean;
    u[1] = -(double)row->mean;
    u[3] = 0;
    for (uint32_t i = 0; i < 20; i++) {
        u[0] += (double)w[i] * (double)x[i];
        u[1] += (double)rest[i] * (double)x[i];
        for (uint32_t r = 0; r < 2; r++)
            u[3] += (double)h[r] * (double)x[i] * (double)a[r * l->dim_padded + i];
    }
    u[0] *= (double)row->n / ((double)row->n + 10);
    for (uint32_t i = 0; i < 5; i++)
        u[1] += (double)g[i] * at->z[i];
    for (uint32_t p = 0; p < 3; p++) {
        const float *tally = hot_floats(m, sona_model_at(&l->pattern_stats, at->near[p], 0));
        const float *line =
            cold_floats(m, sona_model_at(&l->patterns, at->near[p], l->pattern_lin));
        double n = (double)tally[l->pattern_n / sizeof(float) + k];

        top +=
            at->weight[p] * ((double)tally[l->pattern_s / sizeof(float) + k] - n * (double)line[k]);
        below += at->weight[p] * n;
    }
    u[2] = top / below;
}

static double reference_value(struct model *m, const float *x, uint32_t k)
{
    double own[4] = {0}, mean[4] = {0}, weight = 0;
    double v = (double)model_route(m, k)->mean - 0.3 * (double)model_route(m, k)->cost;
    struct reference at;

    reference_locate(m, x, &at);
    for (uint32_t r = 0; r < model_head(m)->n_routes; r++) {
        double u[4], share = (double)model_route(m, r)->n + 0.1;

        if (model_route(m, r)->state != SONA_ROUTE_ENABLED)
            continue;
        reference_terms(m, &at, x, r, u);
        weight += share;
        for (uint32_t j = 0; j < 4; j++)
            mean[j] += share * u[j];
        if (r == k)
            memcpy(own, u, sizeof own);
    }
    for (uint32_t j = 0; j < 4; j++)
        v += (double)model_head(m)->stack[j] * (own[j] - mean[j] / weight) +
             (double)model_head(m)->stack[4 + j] * mean[j] / weight;
    return v;
}

Test(score, values_follow_the_formulas)
{
    struct dice dice = dice_open("values_follow_the_formulas");
    struct model m;
    float x[32];

    open_filled(&m, 7, &dice);
    model_route(&m, 4)->state = SONA_ROUTE_RETIRED;
    for (int round = 0; round < 100; round++) {
        model_query(&m, x, &dice);
        cr_assert(eq(int, sona_model_score(&m.view, x, NULL, &m.scores), SONA_OK));
        for (uint32_t k = 0; k < 7; k++)
            if (k == 4)
                cr_assert(ne(int, isnan(m.scores.value[k]), 0), "a retired route has no value");
            else
                cr_assert(
                    epsilon_eq(dbl, (double)m.scores.value[k], reference_value(&m, x, k), 1e-4),
                    "route %u, seed %llu", k, (unsigned long long)dice.seed);
    }
}

Test(score, a_switched_off_term_takes_no_part)
{
    static const uint32_t flag[] = {SONA_MODEL_USE_BASE, SONA_MODEL_USE_PATTERNS,
                                    SONA_MODEL_USE_MICRO};
    struct dice dice = dice_open("a_switched_off_term_takes_no_part");
    struct model m;
    float x[32];

    open_filled(&m, 5, &dice);
    model_query(&m, x, &dice);
    for (int j = 0; j < 3; j++) {
        model_head(&m)->flags &= ~flag[j];
        cr_assert(eq(int, sona_model_score(&m.view, x, NULL, &m.scores), SONA_OK));
        for (uint32_t k = 0; k < 5; k++)
            cr_assert(eq(flt, m.scores.term[j + 1][k], 0), "term %d of route %u", j + 1, k);
        model_head(&m)->flags |= flag[j];
    }
}

Test(score, what_the_cold_half_says_of_a_predecessor_takes_no_part)
{
    struct dice dice = dice_open("what_the_cold_half_says_of_a_predecessor_takes_no_part");
    struct model m;
    float x[32];

    open_filled(&m, 5, &dice);
    model_query(&m, x, &dice);
    model_route(&m, 2)->fit = 0;
    cr_assert(eq(int, sona_model_score(&m.view, x, NULL, &m.scores), SONA_OK));
    cr_assert(eq(flt, m.scores.term[1][2], 0));
    cr_assert(eq(flt, m.scores.term[2][2], 0));
    cr_assert(ne(flt, m.scores.term[1][3], 0));
}

Test(decide, propensities_sum_to_one_and_none_is_below_the_floor)
{
    struct dice dice = dice_open("propensities_sum_to_one_and_none_is_below_the_floor");

    for (uint32_t n = 1; n <= 8; n++) {
        struct model m;

        open_filled(&m, n, &dice);
        for (int round = 0; round < 200; round++) {
            float x[32];
            double sum = 0;
            sona_decision d;

            model_query(&m, x, &dice);
            d = decide(&m, x, NULL, dice_next(&dice));
            for (uint32_t k = 0; k < n; k++) {
                sum += (double)m.scores.propensity[k];
                cr_assert(ge(dbl, (double)m.scores.propensity[k], 0.005 / n * 0.999999),
                          "seed %llu", (unsigned long long)dice.seed);
            }
            cr_assert(epsilon_eq(dbl, sum, 1, 1e-6));
            cr_assert(eq(flt, d.propensity, m.scores.propensity[SONA_ROUTE_INDEX(d.route)]));
            cr_assert(eq(u32, d.n_scores, n));
            if (n == 1) {
                cr_assert(eq(int, d.why, SONA_WHY_ONLY));
                cr_assert(eq(flt, d.propensity, 1));
            }
        }
    }
}

Test(decide, frequencies_match_the_propensities)
{
    enum { DRAWS = 40000 };
    struct dice dice = dice_open("frequencies_match_the_propensities");
    struct model m;

    open_filled(&m, 8, &dice);
    model_head(&m)->outcomes = 0; /* far from greedy, so that every cell fills */
    for (int round = 0; round < 5; round++) {
        uint32_t count[8] = {0};
        double chi2 = 0, p[8];
        float x[32];

        model_query(&m, x, &dice);
        for (uint64_t n = 0; n < DRAWS; n++)
            count[SONA_ROUTE_INDEX(
                decide(&m, x, NULL, sona_model_random(dice.seed, (uint64_t)round, n)).route)]++;
        for (uint32_t k = 0; k < 8; k++) {
            p[k] = (double)m.scores.propensity[k];
            chi2 += pow(count[k] - DRAWS * p[k], 2) / (DRAWS * p[k]);
        }
        /* Seven degrees of freedom: beyond 40 once in 10^6. */
        cr_assert(lt(dbl, chi2, 40), "round %d, seed %llu", round, (unsigned long long)dice.seed);
    }
}

Test(decide, a_larger_gap_is_never_likelier)
{
    struct dice dice = dice_open("a_larger_gap_is_never_likelier");
    struct model m;

    open_filled(&m, 8, &dice);
    for (int round = 0; round < 200; round++) {
        float x[32];

        model_query(&m, x, &dice);
        decide(&m, x, NULL, 0);
        for (uint32_t a = 0; a < 8; a++)
            for (uint32_t b = 0; b < 8; b++)
                if (m.scores.upper[a] > m.scores.upper[b])
                    cr_assert(ge(flt, m.scores.propensity[a], m.scores.propensity[b]), "seed %llu",
                              (unsigned long long)dice.seed);
    }
}

Test(decide, no_explore_takes_the_best_for_certain)
{
    struct dice dice = dice_open("no_explore_takes_the_best_for_certain");
    sona_candidates c = {.no_explore = true};
    struct model m;

    open_filled(&m, 8, &dice);
    for (int round = 0; round < 200; round++) {
        float x[32];
        sona_decision d;

        model_query(&m, x, &dice);
        d = decide(&m, x, &c, dice_next(&dice));
        cr_assert(eq(flt, d.propensity, 1));
        cr_assert(eq(int, d.why, SONA_WHY_BEST));
        for (uint32_t k = 0; k < 8; k++)
            cr_assert(ge(flt, m.scores.upper[d.route & 0xffff], m.scores.upper[k]));
    }
}

Test(decide, max_explore_bounds_the_exploring_share)
{
    static const float bounds[] = {0, 0.001f, 0.05f, 0.4f};
    struct dice dice = dice_open("max_explore_bounds_the_exploring_share");
    struct model m;

    open_filled(&m, 8, &dice);
    model_head(&m)->outcomes = 0;
    for (int i = 0; i < 4; i++) {
        float x[32], best = 0;
        double sum = 0;

        model_head(&m)->max_explore = bounds[i];
        model_query(&m, x, &dice);
        decide(&m, x, NULL, dice_next(&dice));
        for (uint32_t k = 0; k < 8; k++) {
            best = fmaxf(best, m.scores.propensity[k]);
            sum += (double)m.scores.propensity[k];
        }
        cr_assert(ge(dbl, (double)best, 1 - (double)bounds[i] - 1e-6));
        cr_assert(epsilon_eq(dbl, sum, 1, 1e-6));
    }
}

Test(decide, only_candidates_are_chosen)
{
    struct dice dice = dice_open("only_candidates_are_chosen");
    struct model m;

    open_filled(&m, 8, &dice);
    model_route(&m, 5)->state = SONA_ROUTE_RETIRED;
    for (int round = 0; round < 500; round++) {
        sona_candidates c = {.restricted = true};
        sona_decision d;
        sona_err err;
        float x[32];

        c.set[0] = dice_next(&dice);
        c.set[1] = dice_next(&dice); /* bits beyond the table name nobody */
        model_query(&m, x, &dice);
        err = sona_model_decide(&m.view, x, &c, dice_next(&dice), &m.scores, &d);
        if ((c.set[0] & 0xdf) == 0) {
            cr_assert(eq(int, err, SONA_E_NO_ROUTE));
            continue;
        }
        cr_assert(eq(int, err, SONA_OK));
        cr_assert(ne(u64, c.set[0] & 0xdf & (1ull << SONA_ROUTE_INDEX(d.route)), 0));
        cr_assert(eq(int, sona_model_route_check(&m.view, d.route), SONA_OK));
        for (uint32_t k = 0; k < 8; k++)
            cr_assert(eq(int, isnan(d.scores[k]) != 0, !(c.set[0] & 0xdf & (1ull << k))));
    }
}

Test(decide, given_costs_replace_the_tables)
{
    struct dice dice = dice_open("given_costs_replace_the_tables");
    float costs[8] = {1, 1, 1, 0, 1, 1, 1, 1}, x[32];
    sona_candidates c = {.override_costs = true, .costs = costs, .no_explore = true};
    struct model m;
    sona_decision d;

    open_filled(&m, 8, &dice);
    model_head(&m)->lambda = 100;
    model_query(&m, x, &dice);
    cr_assert(eq(u32, decide(&m, x, &c, 0).route, 3), "at this weight the cheapest wins");
    for (int i = 0; i < 3; i++) {
        costs[6] = i == 0 ? -0.1f : i == 1 ? 1.5f : NAN;
        cr_assert(eq(int, sona_model_decide(&m.view, x, &c, 0, &m.scores, &d), SONA_E_RANGE));
    }
    c.restricted = true;
    c.set[0] = 0xf;
    cr_assert(eq(u32, decide(&m, x, &c, 0).route, 3), "only candidates' costs are read");
}

Test(decide, a_forced_route_is_taken_as_it_is)
{
    struct dice dice = dice_open("a_forced_route_is_taken_as_it_is");
    sona_candidates c = {.mode = SONA_MODE_OBSERVE, .forced = SONA_ROUTE_ID(1, 3)};
    struct model m;
    sona_decision d;
    float x[32];

    open_filled(&m, 8, &dice);
    model_query(&m, x, &dice);
    for (int mode = SONA_MODE_OBSERVE; mode <= SONA_MODE_BYPASS; mode++) {
        c.mode = (sona_mode)mode;
        d = decide(&m, x, &c, 0);
        cr_assert(eq(u32, d.route, c.forced));
        cr_assert(eq(int, d.why, SONA_WHY_FORCED));
        cr_assert(eq(flt, d.propensity, 1));
    }
    c.forced = 1; /* the generation before */
    d.id = 77;
    cr_assert(eq(int, sona_model_decide(&m.view, x, &c, 0, &m.scores, &d), SONA_E_ROUTE));
    cr_assert(eq(u64, d.id, 77), "nothing is written on refusal");
}

Test(decide, without_any_evidence_all_candidates_are_equal)
{
    sona_geometry g = small_geometry();
    struct dice dice = dice_open("without_any_evidence_all_candidates_are_equal");
    struct model m;
    sona_decision d;
    float x[32];

    model_open(&m, &g);
    for (uint32_t k = 0; k < 4; k++) {
        struct sona_model_route *row = model_route(&m, model_head(&m)->n_routes++);

        row->id = k;
        row->state = SONA_ROUTE_ENABLED;
        row->prior_n = 1;
        row->prior_s = row->mean = 0.5f;
    }
    model_query(&m, x, &dice);
    d = decide(&m, x, NULL, dice_next(&dice));
    cr_assert(eq(int, d.why, SONA_WHY_COLD));
    cr_assert(epsilon_eq(flt, d.propensity, 0.25f, 1e-6f));
    model_route(&m, 2)->mean = 0.9f;
    d = decide(&m, x, NULL, 0);
    cr_assert(ne(int, d.why, SONA_WHY_COLD), "a belief is something to go by");
    cr_assert(gt(flt, m.scores.propensity[2], m.scores.propensity[1]));
}

Test(decide, without_a_model_the_draw_is_uniform_over_the_given_set)
{
    sona_candidates c = {.restricted = true, .set = {0x29, 0, 0, 1ull << 63}};
    uint32_t count[SONA_ROUTES_MAX] = {0};
    sona_decision d;

    for (uint64_t n = 0; n < 8000; n++) {
        cr_assert(eq(int, sona_model_decide_cold(&c, sona_model_random(1, 2, n), &d), SONA_OK));
        cr_assert(eq(flt, d.propensity, 0.25f));
        cr_assert(eq(int, d.why, SONA_WHY_COLD));
        count[d.route]++;
    }
    cr_assert(eq(u32, count[0] + count[3] + count[5] + count[255], 8000));
    for (uint32_t k = 0; k < 256; k++)
        if (count[k] > 0) /* deviation 39 */
            cr_assert(lt(int, abs((int)count[k] - 2000), 200), "route %u", k);
    c.set[0] = c.set[3] = 0;
    cr_assert(eq(int, sona_model_decide_cold(&c, 1, &d), SONA_E_NO_ROUTE));
    c.restricted = false;
    cr_assert(eq(int, sona_model_decide_cold(&c, 1, &d), SONA_E_NO_ROUTE));
    cr_assert(eq(int, sona_model_decide_cold(NULL, 1, &d), SONA_E_NO_ROUTE));
    c.restricted = true;
    c.set[1] = 1;
    cr_assert(eq(int, sona_model_decide_cold(&c, 1, &d), SONA_OK));
    cr_assert(eq(int, d.why, SONA_WHY_ONLY));
    cr_assert(eq(u32, d.route, 64));
    cr_assert(eq(flt, d.propensity, 1));
}

Test(patterns, the_nearest_come_first_and_none_is_missed)
{
    struct dice dice = dice_open("the_nearest_come_first_and_none_is_missed");
    struct model m;

    open_filled(&m, 5, &dice);
    for (int round = 0; round < 100; round++) {
        sona_pattern found[16], all[16];
        uint32_t k = 1 + dice_below(&dice, 14), n;
        float x[32];

        model_query(&m, x, &dice);
        cr_assert(eq(u32, sona_model_find_patterns(&m.view, x, 16, all), 12));
        n = sona_model_find_patterns(&m.view, x, k, found);
        cr_assert(eq(u32, n, k < 12 ? k : 12));
        for (uint32_t i = 0; i < n; i++) {
            cr_assert(eq(u64, found[i].id, all[i].id), "seed %llu", (unsigned long long)dice.seed);
            cr_assert(eq(u64, found[i].id, 100 + found[i].index));
            cr_assert(eq(u32, found[i].cluster_size, found[i].index));
            cr_assert(ge(flt, found[i].distance, found[i > 0 ? i - 1 : 0].distance));
        }
    }
}

Test(patterns, evidence_names_the_best_enabled_route)
{
    struct dice dice = dice_open("evidence_names_the_best_enabled_route");
    sona_pattern found[12];
    struct model m;
    float x[32];

    open_filled(&m, 5, &dice);
    for (uint32_t c = 0; c < 12; c++) {
        float *n = sona_model_bank_part(&m.layout, m.cold, c, m.layout.bank_n);
        float *sum = sona_model_bank_part(&m.layout, m.cold, c, m.layout.bank_s);

        for (uint32_t k = 0; k < 5; k++) {
            n[k] = 10 + (float)k;
            sum[k] = n[k] * (k == 3 ? 0.9f : k == 4 ? 1 : 0.2f);
        }
        sona_model_bank_row(&m.layout, m.cold, c)->weight = 40;
        sona_model_bank_row(&m.layout, m.cold, c)->sum = 15;
    }
    model_route(&m, 4)->state = SONA_ROUTE_RETIRED;
    model_query(&m, x, &dice);
    cr_assert(eq(u32, sona_model_find_patterns(&m.view, x, 12, found), 12));
    for (uint32_t i = 0; i < 12; i++) {
        cr_assert(eq(u32, found[i].best_route, 3));
        cr_assert(epsilon_eq(flt, found[i].best_quality, 0.9f, 1e-6f));
        cr_assert(epsilon_eq(flt, found[i].total_weight, 40, 1e-4f));
        cr_assert(epsilon_eq(flt, found[i].avg_quality, 15.0f / 40, 1e-6f));
        cr_assert(eq(u32, found[i].n_routes, 4), "the retired one is not told about");
        for (uint32_t r = 0; r < 4; r++) { /* by falling evidence */
            cr_assert(eq(u32, SONA_ROUTE_INDEX(found[i].routes[r].route), 3 - r));
            cr_assert(epsilon_eq(flt, found[i].routes[r].outcomes, 13 - (float)r, 1e-5f));
        }
        cr_assert(epsilon_eq(flt, found[i].routes[0].mean_quality, 0.9f, 1e-6f));
    }
}
