/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* EWC++: the memory of tasks, routes that come, go and drift, and what people ask of it. */
#include "tests/engine/ewc_fixture.h"

Test(ewc, the_ring_keeps_the_newest_tasks_and_never_more_than_its_limit)
{
    struct dice dice = dice_open("the_ring_keeps_the_newest_tasks_and_never_more_than_its_limit");
    sona_config config = ewc_config();
    struct sona_learner *l;
    float anchor[7][DIM];

    config.ewc_online = false;
    config.ewc_tasks_max = 3;
    l = learner_open(&config, 2);
    for (uint32_t t = 0; t < 7; t++) {
        random_task(l, 30, &dice);
        memcpy(anchor[t], head_of(l, 0), sizeof anchor[t]);
        cr_assert(eq(u32, state_of(l).tasks, t < 3 ? t + 1 : 3));
        for (uint32_t back = 0; back < 3 && back <= t; back++)
            cr_assert(zero(int, memcmp(task_of(l, (t - back) % 3, 1, 0), anchor[t - back],
                                       sizeof anchor[0])),
                      "task %u after %u, seed %llu", t - back, t, (unsigned long long)dice.seed);
    }
    cr_assert(eq(u64, l->counter[SONA_COUNTER_ewc_forgotten], 4));
    cr_assert(eq(u64, state_of(l).boundaries, 7));
    free(l);
}

Test(ewc, consolidated_tasks_have_the_sum_of_their_importances_and_hold_as_before)
{
    struct dice dice =
        dice_open("consolidated_tasks_have_the_sum_of_their_importances_and_hold_as_before");
    sona_config config = ewc_config();
    struct sona_learner *l, *apart;
    double sum[DIM + 1] = {0}, moment[DIM + 1] = {0};
    float x[DIM];

    config.ewc_online = false;
    l = learner_open(&config, 2);
    for (uint32_t t = 0; t < 4; t++) {
        random_task(l, 50, &dice);
        for (int i = 0; i <= DIM; i++) {
            sum[i] += (double)task_of(l, t, 0, 0)[i];
            moment[i] += (double)task_of(l, t, 0, 0)[i] * (double)task_of(l, t, 1, 0)[i];
        }
    }
    apart = learner_copy(l);
    cr_assert(sona_learner_ewc_consolidate(l));
    cr_assert(eq(u32, state_of(l).tasks, 1));
    cr_assert(eq(u64, l->counter[SONA_COUNTER_ewc_consolidations], 1));
    cr_assert(not(sona_learner_ewc_consolidate(l)), "there is one");
    for (int i = 0; i <= DIM; i++) {
        cr_assert(lt(dbl, fabs((double)task_of(l, 0, 0, 0)[i] - sum[i]), 1e-6 * sum[i]));
        cr_assert(lt(dbl, fabs((double)task_of(l, 0, 1, 0)[i] - moment[i] / sum[i]), 1e-6));
    }
    for (int n = 0; n < 30; n++) {
        float quality = dice_unit(&dice);

        random_query(x, &dice);
        cr_assert(eq(int, teach(l, x, 0, quality), SONA_OK));
        cr_assert(eq(int, teach(apart, x, 0, quality), SONA_OK));
    }
    cr_assert(same_weights(l, apart));
    cr_assert(lt(dbl, state_of(l).penalty, state_of(apart).penalty), "less a constant");
    random_task(l, 30, &dice); /* and the ring goes on behind it */
    cr_assert(eq(u32, state_of(l).tasks, 2));
    for (int i = 0; i <= DIM; i++)
        cr_assert(epsilon_eq(dbl, (double)row_of(l, l->ewc.total, 0)[i],
                             (double)task_of(l, 0, 0, 0)[i] + (double)task_of(l, 1, 0, 0)[i],
                             1e-6));
    free(l);
    free(apart);
}

Test(ewc, kept_outcomes_are_of_all_tasks)
{
    struct dice dice = dice_open("kept_outcomes_are_of_all_tasks");
    sona_config config = ewc_config();
    struct sona_learner *l = learner_open(&config, 4);
    uint32_t of[4] = {0};

    for (uint32_t t = 0; t < 4; t++) {
        for (int n = 0; n < 200; n++) {
            float x[DIM];

            random_query(x, &dice);
            cr_assert(eq(int, teach(l, x, t, dice_unit(&dice)), SONA_OK));
        }
        cr_assert(sona_learner_ewc_boundary(l));
    }
    for (uint32_t i = 0; i < SONA_LEARNER_PROBES; i++) {
        const struct sona_learner_ewc_probe *all =
            (void *)((unsigned char *)(uintptr_t)l + l->ewc.probe);

        cr_assert(lt(u32, all[i].route, 4));
        of[all[i].route]++;
    }
    for (uint32_t t = 0; t < 4; t++) /* 8 each, on average; the draw is the seed's */
        cr_assert(all(ge(u32, of[t], 2), le(u32, of[t], 16)), "%u of task %u", of[t], t);
    free(l);
}

/* ---- routes ---- */

Test(ewc, a_route_that_is_another_or_drifted_is_not_held_to_what_it_was)
{
    struct dice dice = dice_open("a_route_that_is_another_or_drifted_is_not_held_to_what_it_was");

    for (int online = 0; online < 2; online++) {
        sona_config config = ewc_config();
        float before[DIM + 1];
        struct sona_learner *l;
        sona_route route;

        config.ewc_online = online;
        config.routes_max = 2;
        l = learner_open(&config, 2);
        for (int t = 0; t < 2; t++) {
            teach_topics(l, 200, 2, &dice);
            cr_assert(sona_learner_ewc_boundary(l));
        }
        memcpy(before, row_of(l, l->ewc.total, 1), sizeof before);
        cr_assert(gt(flt, before[0], 0));
        sona_learner_ewc_discount(l, 1, 0.25f);
        for (int i = 0; i <= DIM; i++)
            cr_assert(epsilon_eq(flt, row_of(l, l->ewc.total, 1)[i], before[i] / 4, 1e-6f));
        cr_assert(eq(int, sona_learner_route_retire(l, 0), SONA_OK));
        learner_add_route(l, "successor", &route);
        cr_assert(eq(u32, SONA_ROUTE_INDEX(route), 0));
        teach_topics(l, 0, 2, &dice);
        cr_assert(sona_learner_ewc_boundary(l) == false);
        for (int i = 0; i <= DIM; i++)
            cr_assert(zero(flt, row_of(l, l->ewc.total, 0)[i]));
        for (int n = 0; n < 40; n++) {
            float x[DIM];

            random_query(x, &dice);
            cr_assert(eq(int, teach(l, x, route, dice_unit(&dice)), SONA_OK));
        }
        cr_assert(sona_learner_ewc_boundary(l));
        cr_assert(gt(flt, row_of(l, l->ewc.total, 0)[0], 0), "its own");
        if (!online)
            cr_assert(zero(flt, task_of(l, 0, 0, 0)[0]), "nothing of the predecessor's");
        free(l);
    }
}

Test(ewc, a_drift_alarm_lets_go_of_the_anchor)
{
    sona_config config = ewc_config();
    struct dice dice = {.seed = 3, .state = 3};
    struct sona_learner *l = learner_open(&config, 1);
    float x[DIM], before;

    random_query(x, &dice);
    for (int n = 0; n < 200; n++)
        cr_assert(eq(int, teach(l, x, 0, n % 5 ? 0.9f : 0.6f), SONA_OK));
    cr_assert(sona_learner_ewc_boundary(l));
    before = row_of(l, l->ewc.total, 0)[DIM];
    for (int n = 0; n < 100 && l->counter[SONA_COUNTER_drift_resets] == 0; n++)
        cr_assert(eq(int, teach(l, x, 0, 0), SONA_OK));
    cr_assert(eq(u64, l->counter[SONA_COUNTER_drift_resets], 1));
    cr_assert(lt(flt, row_of(l, l->ewc.total, 0)[DIM], 0.06f * before));
    free(l);
}

/* ---- what people ask ---- */

Test(ewc, the_most_important_weights_come_first_and_none_is_missed)
{
    struct dice dice = dice_open("the_most_important_weights_come_first_and_none_is_missed");
    sona_config config = ewc_config();
    struct sona_learner *l = learner_open(&config, 2);
    sona_ewc_weight top[200], few[5];
    float importance[DIM], bias;
    uint32_t n;

    cr_assert(eq(u32, sona_learner_ewc_top(l, 5, few), 0), "no anchor yet");
    teach_topics(l, 300, 2, &dice);
    cr_assert(sona_learner_ewc_boundary(l));
    n = sona_learner_ewc_top(l, 200, top);
    cr_assert(eq(u32, n, 2 * (DIM + 1)));
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = SONA_ROUTE_INDEX(top[i].route);

        sona_learner_ewc_importance(l, k, importance, &bias);
        cr_assert(eq(flt, top[i].importance,
                     top[i].index == SONA_EWC_BIAS ? bias : importance[top[i].index]));
        cr_assert(i == 0 || top[i].importance <= top[i - 1].importance);
        cr_assert(eq(flt, top[i].anchor, top[i].weight), "nothing was learned since");
    }
    cr_assert(eq(u32, sona_learner_ewc_top(l, 5, few), 5));
    cr_assert(zero(int, memcmp(few, top, sizeof few)));
    free(l);
}

/* ---- soundness ---- */

Test(ewc, whatever_happens_everything_stays_finite, .timeout = 120)
{
    struct dice dice = dice_open("whatever_happens_everything_stays_finite");

    for (int round = 0; round < 4; round++) {
        sona_config config = ewc_config();
        struct sona_learner *l;

        config.ewc_online = round & 1;
        config.normalize = round & 2;
        config.ewc_tasks_max = 2;
        config.ewc_gamma = 1;
        config.ewc_fisher_samples = 1;
        config.ewc_lambda = 1e5f;
        l = learner_open(&config, 3);
        for (int n = 0; n < 3000; n++) {
            float x[DIM];

            topic_query(x, dice_below(&dice, 4), 0.5f, &dice);
            for (int i = 0; i < DIM && !config.normalize; i++)
                x[i] *= n % 2 ? 9e3f : 1e-18f;
            cr_assert(eq(int, teach(l, x, dice_below(&dice, 3), (float)dice_below(&dice, 2)), 0));
            if (dice_below(&dice, 20) == 0)
                (void)sona_learner_ewc_boundary(l);
            if (dice_below(&dice, 200) == 0)
                (void)sona_learner_ewc_consolidate(l);
        }
        assert_sound(l, dice.seed);
        cr_assert(isfinite(state_of(l).penalty) && state_of(l).penalty >= 0, "seed %llu",
                  (unsigned long long)dice.seed);
        cr_assert(isfinite(state_of(l).excess));
        for (uint32_t k = 0; k < 3; k++)
            for (int i = 0; i <= DIM; i++)
                cr_assert(row_of(l, l->ewc.total, k)[i] >= 0 &&
                              row_of(l, l->ewc.total, k)[i] <= 1e10f &&
                              isfinite(row_of(l, l->ewc.centre, k)[i]),
                          "seed %llu", (unsigned long long)dice.seed);
        free(l);
    }
}

Test(ewc, takes_no_memory_when_it_is_off)
{
    sona_config config = learner_config(), on = config;
    size_t off_bytes = sona_learner_bytes(&config);
    struct sona_learner *l = learner_open(&config, 1);

    on.ewc = true;
    cr_assert(zero(sz, l->ewc.bytes));
    cr_assert(gt(sz, sona_learner_bytes(&on), off_bytes));
    free(l);
}
