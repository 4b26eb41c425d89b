/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Loop A: what single events teach, what is refused, routes that come and go, drift. */
#include "tests/engine/learner_fixture.h"

static uint64_t count(const struct sona_learner *l, sona_counter counter)
{
    sona_stats stats;

    sona_learner_stats(l, &stats);
    return stats.counter[counter];
}

Test(learner, one_thumbs_down_lowers_the_prediction_here_and_hardly_elsewhere)
{
    sona_config config = learner_config();
    struct sona_learner *l = learner_open(&config, 3);
    float x[DIM] = {1}, other[DIM] = {0, 1};
    float here, there;

    here = predicted(l, x, 1);
    there = predicted(l, other, 1);
    cr_assert(eq(int, teach(l, x, 1, 0.1f), SONA_OK));
    here -= predicted(l, x, 1);
    there -= predicted(l, other, 1);
    cr_assert(gt(flt, here, 0.02f));
    /* The mean of the route falls for every query: what is left over is the direction's own. */
    cr_assert(gt(flt, here, there));
    free(l);
}

Test(learner, one_thumbs_up_raises_the_prediction)
{
    sona_config config = learner_config();
    struct sona_learner *l = learner_open(&config, 3);
    float x[DIM] = {0, 0, 1};
    float before = predicted(l, x, 2);

    cr_assert(eq(int, teach(l, x, 2, 0.95f), SONA_OK));
    cr_assert(gt(flt, predicted(l, x, 2), before + 0.02f));
    free(l);
}

Test(learner, y_bends_towards_the_head_after_a_thumbs_up_and_away_after_a_thumbs_down)
{
    struct dice dice =
        dice_open("y_bends_towards_the_head_after_a_thumbs_up_and_away_after_a_thumbs_down");
    sona_config config = learner_config();

    for (int round = 0; round < 100; round++) {
        float quality = round % 2 ? 0.95f : 0.2f, x[DIM];
        uint32_t k = dice_below(&dice, 3);
        struct sona_learner *l;

        config.seed = dice_next(&dice);
        l = learner_open(&config, 3);
        topic_query(x, dice_below(&dice, DIM), 0.3f, &dice);
        cr_assert(eq(dbl, bend(l, x, k), 0));
        cr_assert(eq(int, teach(l, x, k, quality), SONA_OK));
        /* The head follows the error's sign; the adapter moves x along the head times the error. */
        cr_assert(gt(dbl, bend(l, x, k) * (quality > 0.5f ? 1 : -1), 1e-9), "seed %llu",
                  (unsigned long long)dice.seed);
        free(l);
    }
}

Test(learner, equal_rewards_teach)
{
    struct dice dice = dice_open("equal_rewards_teach");
    sona_config config = learner_config();
    struct sona_learner *l = learner_open(&config, 2);

    for (int i = 0; i < 60; i++) {
        float x[DIM];

        topic_query(x, dice_below(&dice, 4), 0.1f, &dice);
        cr_assert(eq(int, teach(l, x, 0, 0.8f), SONA_OK));
    }
    for (uint32_t topic = 0; topic < 4; topic++) {
        float x[DIM];

        topic_query(x, topic, 0, &dice);
        cr_assert(epsilon_eq(flt, predicted(l, x, 0), 0.8f, 0.1f), "topic %u, seed %llu", topic,
                  (unsigned long long)dice.seed);
        cr_assert(gt(flt, predicted(l, x, 0), predicted(l, x, 1)));
    }
    free(l);
}

Test(learner, a_bare_trajectory_teaches_and_is_counted)
{
    struct dice dice = dice_open("a_bare_trajectory_teaches_and_is_counted");
    sona_config config = learner_config();
    struct sona_learner *l = learner_open(&config, 2);
    struct sona_model_view view = sona_learner_view(l);
    float x[DIM], y[DIM];

    for (int round = 0; round < 2; round++) {
        float along = 0;

        topic_query(x, 3, 0.2f, &dice);
        cr_assert(eq(int, teach(l, x, SONA_ROUTE_NONE, round ? 0.05f : 0.95f), SONA_OK));
        sona_model_apply(&view, x, y);
        for (int i = 0; i < DIM; i++)
            along += x[i] * (y[i] - x[i]);
        cr_assert(gt(flt, round ? -along : along, 0), "along x when better than before");
        free(l);
        l = learner_open(&config, 2);
        view = sona_learner_view(l);
    }
    cr_assert(eq(int, teach(l, x, SONA_ROUTE_NONE, 0.95f), SONA_OK));
    cr_assert(eq(u64, count(l, SONA_COUNTER_learned), 1));
    cr_assert(eq(u64, count(l, SONA_COUNTER_micro_updates), 1));
    cr_assert(eq(u32, l->replay_count, 1));
    cr_assert(eq(u64, sona_learner_head(l)->outcomes, 0), "no route was rewarded");
    free(l);
}

Test(learner, every_refusal_has_its_counter_and_changes_nothing_else)
{
    sona_config config = learner_config();
    struct sona_learner *l = learner_open(&config, 2), *before;
    float good[DIM] = {1}, nan[DIM] = {NAN}, zero[DIM] = {0}, huge[DIM] = {1e20f};
    const struct {
        struct sona_learner_event event;
        sona_err err;
        sona_counter counter;
    } cases[] = {
        {{.x = nan, .route = 0, .quality = 1}, SONA_E_NOT_FINITE, SONA_COUNTER_drop_not_finite},
        {{.x = good, .route = 0, .quality = NAN}, SONA_E_NOT_FINITE, SONA_COUNTER_drop_not_finite},
        {{.x = good, .route = 0, .propensity = INFINITY},
         SONA_E_NOT_FINITE,
         SONA_COUNTER_drop_not_finite},
        {{.x = zero, .route = 0, .quality = 1}, SONA_E_ZERO_VECTOR, SONA_COUNTER_drop_zero_vector},
        {{.x = huge, .route = 0, .quality = 1}, SONA_E_RANGE, SONA_COUNTER_drop_range},
        {{.x = good, .route = 0, .quality = 1.01f}, SONA_E_RANGE, SONA_COUNTER_drop_range},
        {{.x = good, .route = 0, .quality = -0.01f}, SONA_E_RANGE, SONA_COUNTER_drop_range},
        {{.x = good, .route = 0, .propensity = 2}, SONA_E_RANGE, SONA_COUNTER_drop_range},
        {{.x = good, .route = 2, .quality = 1}, SONA_E_ROUTE, SONA_COUNTER_drop_route},
        {{.x = good, .route = SONA_ROUTE_ID(0, 1), .quality = 1},
         SONA_E_ROUTE,
         SONA_COUNTER_drop_route},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        before = learner_copy(l);
        cr_assert(eq(int, sona_learner_learn(l, &cases[i].event), cases[i].err), "case %zu", i);
        before->counter[cases[i].counter]++;
        cr_assert(eq(int, memcmp(l, before, l->bytes), 0), "case %zu", i);
        free(before);
    }
    sona_learner_set_enabled(l, false);
    before = learner_copy(l);
    cr_assert(eq(int, teach(l, good, 0, 1), SONA_OK));
    before->counter[SONA_COUNTER_drop_disabled]++;
    cr_assert(eq(int, memcmp(l, before, l->bytes), 0), "switched off");
    free(before);
    free(l);
}

Test(learner, what_changed_is_marked_with_the_step)
{
    struct dice dice = dice_open("what_changed_is_marked_with_the_step");
    sona_config config = learner_config();
    struct sona_learner *l = learner_open(&config, 3), *before;
    struct sona_learner_job *job = job_open(&config);

    teach_topics(l, 100, 3, &dice);
    cycle(l, job);
    for (int round = 0; round < 100; round++) {
        uint64_t step = sona_learner_step(l);

        before = learner_copy(l);
        teach_topics(l, 1, 3, &dice);
        cr_assert(eq(u64, sona_learner_step(l), step + 1));
        for (uint32_t k = 0; k < config.routes_max; k++) {
            size_t at = sona_model_at(&l->layout.routes, k, 0);
            bool changed =
                memcmp((char *)sona_learner_hot(l) + at, (char *)sona_learner_hot(before) + at,
                       l->layout.routes.stride) != 0;

            if (changed)
                cr_assert(eq(u64, sona_learner_route_changes(l)[k], step + 1));
        }
        for (uint32_t c = 0; c < config.pattern_clusters; c++) {
            bool changed = memcmp(sona_learner_tally(l, c), sona_learner_tally(before, c),
                                  l->layout.pattern_stats.stride) != 0;

            if (changed)
                cr_assert(eq(u64, sona_learner_pattern_changes(l)[c], step + 1));
        }
        free(before);
    }
    free(job);
    free(l);
}

Test(routes, a_retired_route_leaves_nothing_to_its_successor)
{
    struct dice dice = dice_open("a_retired_route_leaves_nothing_to_its_successor");
    sona_config config = learner_config();
    struct sona_learner *l = learner_open(&config, 6);
    struct sona_learner_job *job = job_open(&config);
    const float *tally;
    sona_route route;
    float x[DIM] = {1};

    teach_topics(l, 120, 6, &dice);
    cycle(l, job);
    cr_assert(eq(int, sona_learner_route_retire(l, 2), SONA_OK));
    cr_assert(eq(int, sona_learner_route_retire(l, 2), SONA_E_ROUTE));
    cr_assert(eq(int, teach(l, x, 2, 1), SONA_E_ROUTE));
    cr_assert(eq(u64, count(l, SONA_COUNTER_drop_route_retired), 1));
    learner_add_route(l, "successor", &route);
    cr_assert(eq(u32, route, SONA_ROUTE_ID(2, 1)));
    cr_assert(eq(int, teach(l, x, 2, 1), SONA_E_ROUTE), "a late outcome misses the successor");
    cr_assert(eq(u64, count(l, SONA_COUNTER_drop_route_retired), 2));
    cr_assert(eq(flt, sona_learner_row(l, 2)->n, 0));
    for (int i = 0; i < DIM; i++)
        cr_assert(eq(flt, head_of(l, 2)[i], 0));
    for (uint32_t c = 0; c < sona_learner_head(l)->n_patterns; c++) {
        tally = sona_learner_tally(l, c);
        cr_assert(eq(flt, tally[l->layout.pattern_n / sizeof(float) + 2], 0));
    }
    for (uint32_t i = 0; i < l->replay_count; i++)
        cr_assert(ne(u32, sona_learner_entries(l)[i].route, 2));
    cr_assert(eq(int, teach(l, x, route, 1), SONA_OK));
    cycle(l, job);
    assert_sound(l, dice.seed);
    free(job);
    free(l);
}

Test(routes, a_full_table_a_bad_spec_and_a_name_in_use_are_refused)
{
    sona_config config = learner_config();
    struct sona_learner *l = learner_open(&config, 5);
    sona_route_spec spec = {.name = "route-3", .prior_quality = 0.5f, .prior_weight = 1};
    sona_route route = 77;

    cr_assert(eq(int, sona_learner_route_add(l, &spec, &route), SONA_E_DUPLICATE));
    spec.name[0] = 0;
    cr_assert(eq(int, sona_learner_route_add(l, &spec, &route), SONA_E_RANGE));
    memset(spec.name, 'x', sizeof spec.name);
    cr_assert(eq(int, sona_learner_route_add(l, &spec, &route), SONA_E_RANGE));
    spec.name[8] = 0;
    for (int i = 0; i < 4; i++) {
        sona_route_spec bad = spec;

        *(i == 0   ? &bad.cost
          : i == 1 ? &bad.prior_quality
                   : &bad.prior_weight) = i == 0   ? 1.5f
                                          : i == 1 ? NAN
                                          : i == 2 ? -1
                                                   : 2e6f;
        cr_assert(eq(int, sona_learner_route_add(l, &bad, &route), SONA_E_RANGE), "case %d", i);
    }
    cr_assert(eq(u32, route, 77), "nothing is written on refusal");
    cr_assert(eq(int, sona_learner_route_add(l, &spec, &route), SONA_OK));
    spec.name[0] = 'y';
    cr_assert(eq(int, sona_learner_route_add(l, &spec, &route), SONA_E_LIMIT));
    free(l);
}

Test(routes, a_prior_counts_as_many_outcomes_as_it_weighs)
{
    sona_config config = learner_config();
    struct sona_learner *l;
    sona_route_spec spec = {.name = "believed", .prior_quality = 0.9f, .prior_weight = 50};
    float x[DIM] = {1};
    sona_route route;

    config.drift = false;
    l = learner_open(&config, 1);
    cr_assert(eq(int, sona_learner_route_add(l, &spec, &route), SONA_OK));
    cr_assert(eq(flt, sona_learner_row(l, route)->mean, 0.9f));
    for (int i = 0; i < 50; i++)
        cr_assert(eq(int, teach(l, x, route, 0.1f), SONA_OK));
    cr_assert(epsilon_eq(flt, sona_learner_row(l, route)->mean, 0.5f, 1e-4f));
    free(l);
}

Test(drift, a_route_that_changed_loses_its_old_evidence_and_is_refit)
{
    struct dice dice = dice_open("a_route_that_changed_loses_its_old_evidence_and_is_refit");
    sona_config config = learner_config();
    struct sona_learner *l = learner_open(&config, 2);
    float x[DIM], before;
    uint32_t events = 0;

    for (int i = 0; i < 300; i++) {
        topic_query(x, dice_below(&dice, 4), 0.1f, &dice);
        cr_assert(eq(int, teach(l, x, i % 2, i % 2 ? 0.5f : 0.9f), SONA_OK));
    }
    cr_assert(eq(u64, count(l, SONA_COUNTER_drift_resets), 0));
    before = sona_learner_row(l, 0)->n;
    l->next_cycle = UINT64_MAX;
    while (count(l, SONA_COUNTER_drift_resets) == 0 && ++events < 200) {
        topic_query(x, dice_below(&dice, 4), 0.1f, &dice);
        cr_assert(eq(int, teach(l, x, 0, 0.1f), SONA_OK));
    }
    cr_assert(lt(u32, events, 40), "noticed after %u outcomes, seed %llu", events,
              (unsigned long long)dice.seed);
    cr_assert(lt(flt, sona_learner_row(l, 0)->n, 0.1f * before));
    cr_assert(ge(flt, sona_learner_row(l, 1)->n, 149), "the other route keeps its own");
    cr_assert(le(u64, l->next_cycle, count(l, SONA_COUNTER_learned) + 40), "a refit is near");
    assert_sound(l, dice.seed);
    free(l);
}

Test(drift, can_be_switched_off)
{
    sona_config config = learner_config();
    struct sona_learner *l;
    float x[DIM] = {1};

    config.drift = false;
    l = learner_open(&config, 1);
    for (int i = 0; i < 400; i++)
        cr_assert(eq(int, teach(l, x, 0, i < 200 ? 1 : 0), SONA_OK));
    cr_assert(eq(u64, count(l, SONA_COUNTER_drift_resets), 0));
    free(l);
}

Test(learner, the_better_route_of_each_topic_is_found)
{
    struct dice dice = dice_open("the_better_route_of_each_topic_is_found");
    sona_config config = learner_config();
    struct sona_learner *l = learner_open(&config, 4);
    struct sona_learner_job *job = job_open(&config);

    for (int round = 0; round < 10; round++) {
        teach_topics(l, 60, 4, &dice);
        cycle(l, job);
    }
    for (uint32_t topic = 0; topic < 4; topic++) {
        float x[DIM];

        topic_query(x, topic, 0.1f, &dice);
        for (uint32_t k = 0; k < 4; k++)
            cr_assert(epsilon_eq(flt, predicted(l, x, k), k == topic ? 0.9f : 0.2f, 0.15f),
                      "topic %u, route %u, seed %llu", topic, k, (unsigned long long)dice.seed);
    }
    free(job);
    free(l);
}

/* Events meant to break it: constants, repeats, extremes, denormals, contradictions, no route. */
static void attack(struct sona_learner *l, uint32_t n, struct dice *dice)
{
    float x[DIM] = {1};
    uint32_t mood = 0;

    for (uint32_t i = 0; i < n; i++) {
        struct sona_learner_event event = {.id = i, .x = x, .now_ms = i};

        if (i % 500 == 0)
            mood = dice_below(dice, 6);
        if (mood == 0 || i % 500 == 0)
            topic_query(x, dice_below(dice, DIM), dice_unit(dice), dice);
        if (mood == 5)
            for (int at = 0; at < DIM; at++)
                x[at] = at == (int)(i % DIM) ? 1 : 1e-41f;
        event.route = dice_below(dice, 20) ? dice_below(dice, mood == 3 ? 1 : 4) : SONA_ROUTE_NONE;
        event.quality = mood == 1   ? 1
                        : mood == 2 ? 0
                        : mood == 3 ? (float)(i & 1)
                        : mood == 4 ? (float)(i / 37 & 1)
                                    : dice_unit(dice);
        event.propensity = dice_unit(dice);
        cr_assert(eq(int, sona_learner_learn(l, &event), SONA_OK));
    }
}

Test(learner, a_hostile_stream_leaves_it_sound, .timeout = 120)
{
    struct dice dice = dice_open("a_hostile_stream_leaves_it_sound");
    const char *wanted = getenv("SONA_TEST_EVENTS");
    uint32_t events = wanted ? (uint32_t)strtoul(wanted, NULL, 10) : 200000;
    sona_config config = learner_config();
    struct sona_learner *l;
    struct sona_learner_job *job = job_open(&config);

    config.micro_lora_lr = 1; /* the largest there is */
    config.lora_alpha = 64;
    l = learner_open(&config, 4);
    for (uint32_t done = 0; done < events; done += 500) {
        attack(l, 500, &dice);
        if (sona_learner_cycle_due(l, done))
            cycle(l, job);
        assert_sound(l, dice.seed);
        cr_assert(le(dbl, sona_learner_micro_norm(l), 1.01));
        cr_assert(le(dbl, sona_learner_base_norm(l), 1.01));
    }
    free(job);
    free(l);
}

Test(learner, queries_of_any_length_leave_it_sound_without_normalisation)
{
    struct dice dice = dice_open("queries_of_any_length_leave_it_sound_without_normalisation");
    sona_config config = learner_config();
    struct sona_learner *l;
    struct sona_learner_job *job;

    config.normalize = false;
    l = learner_open(&config, 3);
    job = job_open(&config);
    for (uint32_t i = 0; i < 20000; i++) {
        float raw[DIM], x[DIM];
        float size = powf(10, 80 * dice_unit(&dice) - 42);

        for (int at = 0; at < DIM; at++)
            raw[at] = size * dice_signed(&dice);
        if (sona_model_prepare(&l->layout, raw, x) != SONA_OK)
            continue; /* all of it below the smallest float */
        cr_assert(eq(int, teach(l, x, i % 3, dice_unit(&dice)), SONA_OK));
        if (i % 1000 == 999) {
            cycle(l, job);
            assert_sound(l, dice.seed);
        }
    }
    free(job);
    free(l);
}

Test(learner, equal_events_give_equal_bytes)
{
    struct dice dice = dice_open("equal_events_give_equal_bytes");
    sona_config config = learner_config();
    struct sona_learner *l[2] = {learner_open(&config, 4), learner_open(&config, 4)};
    struct sona_learner_job *job[2] = {job_open(&config), job_open(&config)};

    for (int round = 0; round < 8; round++) {
        for (int i = 0; i < 2; i++) {
            struct dice same = {.state = dice.seed + (uint64_t)round};

            attack(l[i], 150, &same);
            cycle(l[i], job[i]);
        }
        cr_assert(eq(sz, l[0]->bytes, l[1]->bytes));
        cr_assert(eq(int, memcmp(l[0], l[1], l[0]->bytes), 0), "round %d, seed %llu", round,
                  (unsigned long long)dice.seed);
    }
    for (int i = 0; i < 2; i++) {
        free(job[i]);
        free(l[i]);
    }
}
