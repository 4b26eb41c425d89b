/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* EWC++: when a task ends, what holds the heads after it, and how firmly. */
#include "tests/engine/ewc_fixture.h"

/* ---- it engages ---- */

Test(ewc, a_change_of_queries_makes_an_anchor_that_holds_the_heads)
{
    sona_config config = ewc_config();
    struct world w =
        world_open("a_change_of_queries_makes_an_anchor_that_holds_the_heads", &config, 3);
    sona_stats stats;

    live(&w, HERE, 3, 500);
    sona_learner_stats(w.l, &stats);
    cr_assert(eq(u32, stats.ewc_tasks, 0));
    cr_assert(zero(dbl, stats.ewc_penalty));
    cr_assert(eq(u64, count(&w, SONA_COUNTER_ewc_holds), 0));
    live(&w, THERE, 3, 300);
    sona_learner_stats(w.l, &stats);
    cr_assert(eq(u32, stats.ewc_tasks, 1), "seed %llu", (unsigned long long)w.dice.seed);
    cr_assert(gt(dbl, stats.ewc_penalty, 0));
    cr_assert(gt(dbl, stats.ewc_lambda, 0));
    cr_assert(eq(u64, count(&w, SONA_COUNTER_ewc_boundaries), 1));
    cr_assert(gt(u64, count(&w, SONA_COUNTER_ewc_holds), 200));
    cr_assert(eq(u64, count(&w, SONA_COUNTER_regime_switches), 0), "one learner goes on");
    cr_assert(eq(u32, stats.regimes, 0), "there is no gate");
    assert_sound(w.l, w.dice.seed);
    free(w.l);
}

Test(ewc, with_the_gate_a_regime_that_returns_is_held_to_what_it_was)
{
    sona_config config = ewc_config();
    struct world w;
    sona_stats stats;

    config.gate = true;
    w = world_open("with_the_gate_a_regime_that_returns_is_held_to_what_it_was", &config, 3);
    live(&w, HERE, 3, 500);
    live(&w, THERE, 3, 300);
    sona_learner_stats(w.l, &stats);
    cr_assert(eq(u32, stats.regimes, 2));
    cr_assert(eq(u32, stats.ewc_tasks, 1), "of the regime that is stored");
    cr_assert(zero(dbl, stats.ewc_penalty), "the new one has no anchor");
    live(&w, HERE, 3, 200);
    sona_learner_stats(w.l, &stats);
    cr_assert(eq(u32, stats.ewc_tasks, 2), "seed %llu", (unsigned long long)w.dice.seed);
    cr_assert(gt(dbl, stats.ewc_penalty, 0));
    cr_assert(gt(u64, count(&w, SONA_COUNTER_ewc_holds), 100));
    free(w.l);
}

Test(ewc, a_task_without_outcomes_is_none)
{
    sona_config config = ewc_config(), off = learner_config();
    struct dice dice = dice_open("a_task_without_outcomes_is_none");
    struct sona_learner *l = learner_open(&config, 2), *before, *without = learner_open(&off, 2);

    before = learner_copy(l);
    cr_assert(not(sona_learner_ewc_boundary(l)));
    cr_assert(not(sona_learner_ewc_consolidate(l)));
    cr_assert(zero(int, memcmp(l, before, l->bytes)));
    random_task(l, 10, &dice);
    cr_assert(not(sona_learner_ewc_boundary(l)), "nothing came since");
    cr_assert(not(sona_learner_ewc_boundary(without)), "switched off");
    cr_assert(not(state_of(without).enabled));
    free(without);
    free(before);
    free(l);
}

/* ---- what changes nothing ---- */

Test(ewc, before_the_first_boundary_and_for_lambda_zero_every_weight_is_as_without_it)
{
    struct dice dice =
        dice_open("before_the_first_boundary_and_for_lambda_zero_every_weight_is_as_without_it");
    sona_config config = ewc_config(), off = config, nothing = config;
    struct sona_learner *l, *without, *zero;
    struct sona_learner_job *job;

    off.ewc = false;
    nothing.ewc_lambda = 0;
    l = learner_open(&config, 3);
    without = learner_open(&off, 3);
    zero = learner_open(&nothing, 3);
    job = job_open(&config);
    for (int round = 0; round < 6; round++) {
        struct dice a = dice, b = dice;

        teach_topics(l, 100, 3, &dice);
        teach_topics(without, 100, 3, &a);
        teach_topics(zero, 100, 3, &b);
        if (round == 2) {
            cycle(l, job);
            cycle(without, job);
            cycle(zero, job);
        }
        cr_assert(same_weights(without, zero), "round %d, seed %llu", round,
                  (unsigned long long)dice.seed);
        if (round < 4)
            cr_assert(same_weights(without, l), "round %d, seed %llu", round,
                      (unsigned long long)dice.seed);
        cr_assert(sona_learner_ewc_boundary(zero));
        if (round == 3)
            cr_assert(sona_learner_ewc_boundary(l));
    }
    cr_assert(not(same_weights(without, l)), "and then they are not");
    free(job);
    free(l);
    free(without);
    free(zero);
}

/* ---- the hold, against plain arithmetic in double ---- */

struct reference {
    double w[DIM + 1], grad2[DIM + 1], fisher[DIM + 1], total[DIM + 1], centre[DIM + 1];
    double lambda, gamma, samples;
    uint32_t seen;
};

static void reference_learn(struct reference *r, const float *x, float quality)
{
    double e = (double)quality - r->w[DIM];

    for (int i = 0; i < DIM; i++)
        e -= r->w[i] * (double)x[i];
    for (int i = 0; i <= DIM; i++) {
        double g = e * (i == DIM ? 1 : (double)x[i]), eta, pull;

        r->grad2[i] += g * g;
        eta = 0.1 / sqrt(r->grad2[i] + 1e-4);
        pull = eta * r->lambda * r->total[i];
        r->w[i] = (r->w[i] + eta * g + pull * r->centre[i]) / (1 + pull);
        r->fisher[i] = r->seen < r->samples ? r->fisher[i] + g * g / r->samples
                                            : r->fisher[i] + (g * g - r->fisher[i]) / r->samples;
    }
    r->seen++;
}

static void reference_boundary(struct reference *r)
{
    for (int i = 0; i <= DIM; i++) {
        r->total[i] = r->gamma * r->total[i] + r->fisher[i];
        r->centre[i] = r->w[i];
        r->fisher[i] = 0;
    }
    r->seen = 0;
}

Test(ewc, is_what_plain_arithmetic_makes_of_fisher_anchor_and_proximal_step)
{
    struct dice dice =
        dice_open("is_what_plain_arithmetic_makes_of_fisher_anchor_and_proximal_step");

    for (int round = 0; round < 20; round++) {
        sona_config config = ewc_config();
        struct reference r = {.samples = 5 + dice_below(&dice, 60)};
        struct sona_learner *l;

        config.ewc_fisher_samples = (uint32_t)r.samples;
        config.ewc_lambda = powf(10, 6 * dice_unit(&dice) - 1);
        config.ewc_gamma = dice_unit(&dice);
        l = learner_open(&config, 1);
        r.lambda = (double)config.ewc_lambda;
        r.gamma = (double)config.ewc_gamma;
        r.w[DIM] = (double)sona_learner_row(l, 0)->bias;
        for (int n = 0; n < 120; n++) {
            float x[DIM], quality = dice_unit(&dice), error;

            random_query(x, &dice);
            error = sona_learner_heads_adagrad(l, 0, x, quality);
            sona_learner_ewc_learn(l, 0, x, error);
            reference_learn(&r, x, quality);
            if (n % 40 == 39) { /* no replay, so no outcome is asked again: lambda stays */
                cr_assert(sona_learner_ewc_boundary(l));
                reference_boundary(&r);
            }
        }
        for (int i = 0; i <= DIM; i++) {
            float w = i == DIM ? sona_learner_row(l, 0)->bias : head_of(l, 0)[i];

            cr_assert(lt(dbl, fabs((double)w - r.w[i]), 1e-4), "weight %d, seed %llu", i,
                      (unsigned long long)dice.seed);
            cr_assert(lt(dbl, fabs((double)row_of(l, l->ewc.total, 0)[i] - r.total[i]),
                         1e-5 + 1e-3 * r.total[i]),
                      "importance %d, seed %llu", i, (unsigned long long)dice.seed);
        }
        free(l);
    }
}

Test(ewc, a_held_weight_stays_nearer_its_anchor_than_one_that_is_not)
{
    struct dice dice = dice_open("a_held_weight_stays_nearer_its_anchor_than_one_that_is_not");

    for (int round = 0; round < 20; round++) {
        sona_config config = ewc_config();
        struct sona_learner *held = learner_open(&config, 1), *loose;
        float f[DIM + 1], c[DIM + 1], x[DIM];

        random_task(held, 100, &dice);
        loose = learner_copy(held);
        loose->config.ewc_lambda = 0;
        memcpy(f, row_of(held, held->ewc.total, 0), sizeof f);
        memcpy(c, row_of(held, held->ewc.centre, 0), sizeof c);
        for (int n = 0; n < 100; n++) {
            float quality = dice_below(&dice, 2) ? 1 : 0;

            random_query(x, &dice);
            cr_assert(eq(int, teach(held, x, 0, quality), SONA_OK));
            cr_assert(eq(int, teach(loose, x, 0, quality), SONA_OK));
            if (n == 0) /* the first step begins at the same weights: then it is so for each */
                for (int i = 0; i < DIM; i++)
                    cr_assert(le(flt, fabsf(head_of(held, 0)[i] - c[i]),
                                 fabsf(head_of(loose, 0)[i] - c[i])),
                              "weight %d, seed %llu", i, (unsigned long long)dice.seed);
        }
        cr_assert(lt(dbl, distance(held, 0, f, c), 0.5 * distance(loose, 0, f, c)), "seed %llu",
                  (unsigned long long)dice.seed);
        free(held);
        free(loose);
    }
}

Test(ewc, the_penalty_is_the_one_of_the_definition)
{
    struct dice dice = dice_open("the_penalty_is_the_one_of_the_definition");

    for (int online = 0; online < 2; online++) {
        sona_config config = ewc_config();
        struct sona_learner *l;
        double sum = 0;
        float x[DIM];

        config.ewc_online = online;
        l = learner_open(&config, 2);
        for (int t = 0; t < 3; t++)
            random_task(l, 60, &dice);
        random_query(x, &dice);
        cr_assert(eq(int, teach(l, x, 0, 1), SONA_OK));
        for (uint32_t t = 0; t < 3 && !online; t++)
            for (uint32_t k = 0; k < 2; k++)
                sum += distance(l, k, task_of(l, t, 0, k), task_of(l, t, 1, k));
        for (uint32_t k = 0; k < 2 && online; k++)
            sum += distance(l, k, row_of(l, l->ewc.total, k), row_of(l, l->ewc.centre, k));
        sum *= 0.5 * state_of(l).lambda;
        cr_assert(gt(dbl, sum, 0));
        cr_assert(lt(dbl, fabs(state_of(l).penalty - sum), 1e-4 * sum), "%g, not %g, seed %llu",
                  state_of(l).penalty, sum, (unsigned long long)dice.seed);
        free(l);
    }
}

/* ---- lambda ---- */

/* The first task once, then the same queries with qualities turned round (or not): how far
 * lambda goes. */
static void live_again(bool turned, float first, double *ret_least, double *ret_most)
{
    struct dice dice = {.seed = 5, .state = 5};
    sona_config config = ewc_config();
    struct sona_learner *l;

    config.ewc_lambda = first;
    config.drift = false; /* a route that drifts lets go of its anchor */
    l = learner_open(&config, 2);
    teach_topics(l, 400, 2, &dice);
    cr_assert(sona_learner_ewc_boundary(l));
    *ret_least = *ret_most = (double)first;
    for (int n = 0; n < 1500; n++) {
        uint32_t topic = dice_below(&dice, 4), route = dice_below(&dice, 2);
        bool good = (topic % 2 == route) != turned;
        float x[DIM];

        topic_query(x, topic, 0.1f, &dice);
        cr_assert(eq(int, teach(l, x, route, good ? 0.9f : 0.2f), SONA_OK));
        *ret_least = fmin(*ret_least, state_of(l).lambda);
        *ret_most = fmax(*ret_most, state_of(l).lambda);
    }
    free(l);
}

Test(ewc, lambda_grows_while_older_outcomes_are_unlearned_falls_otherwise_and_has_bounds)
{
    double least, most;

    live_again(true, 1, &least, &most); /* holds next to nothing */
    cr_assert(eq(dbl, most, 8));
    cr_assert(gt(dbl, least, 0.5), "soon noticed");
    live_again(false, 64, &least, &most);
    cr_assert(eq(dbl, most, 64));
    cr_assert(eq(dbl, least, 1));
    live_again(true, 2000, &least, &most); /* holds: no more than it needs */
    cr_assert(lt(dbl, least, 2000));
    cr_assert(gt(dbl, least, 4 * 2000.0 / 64));
}
