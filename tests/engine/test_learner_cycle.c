/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The background cycle: when it is due, what it makes, and that thread and moment do not matter. */
#include <pthread.h>

#include "tests/engine/learner_fixture.h"

static void *run(void *job)
{
    sona_learner_cycle_run(job);
    return NULL;
}

Test(cycle, run_on_another_thread_while_learning_goes_on_gives_the_same_bytes)
{
    struct dice dice =
        dice_open("run_on_another_thread_while_learning_goes_on_gives_the_same_bytes");
    sona_config config = learner_config();
    struct sona_learner *l[2];
    struct sona_learner_job *job[2] = {job_open(&config), job_open(&config)};

    l[0] = learner_open(&config, 4);
    teach_topics(l[0], 300, 4, &dice);
    cycle(l[0], job[0]);
    teach_topics(l[0], 300, 4, &dice);
    l[1] = learner_copy(l[0]);
    for (int i = 0; i < 2; i++) {
        struct dice same = {.state = dice.seed};
        sona_cycle_report report;
        pthread_t thread;

        cr_assert(eq(int, sona_learner_cycle_start(l[i], job[i], 5), 1));
        if (i == 0) {
            cr_assert(eq(int, pthread_create(&thread, NULL, run, job[i]), 0));
            teach_topics(l[i], 170, 4, &same);
            pthread_join(thread, NULL);
        } else {
            teach_topics(l[i], 170, 4, &same);
            run(job[i]);
        }
        sona_learner_cycle_install(l[i], job[i], &report);
        cr_assert(eq(int, report.ran, 1));
    }
    cr_assert(eq(int, memcmp(l[0], l[1], l[0]->bytes), 0), "seed %llu",
              (unsigned long long)dice.seed);
    for (int i = 0; i < 2; i++) {
        free(job[i]);
        free(l[i]);
    }
}

/* Outcomes counted by the patterns, and outcomes that were learned and are not in the archive's
 * decayed part. */
static double mass(const struct sona_learner *l)
{
    double sum = 0;

    for (uint32_t c = 0; c < sona_learner_head(l)->n_patterns; c++) {
        const float *tally = sona_learner_tally(l, c);

        for (uint32_t k = 0; k < l->layout.geometry.routes_max; k++)
            sum += (double)tally[l->layout.pattern_n / sizeof(float) + k];
        sum += (double)tally[l->layout.pattern_bare / sizeof(float)];
    }
    return sum;
}

Test(cycle, installed_late_it_counts_every_outcome_once)
{
    struct dice dice = dice_open("installed_late_it_counts_every_outcome_once");
    sona_config config = learner_config();
    struct sona_learner *l;
    struct sona_learner_job *job = job_open(&config);
    sona_cycle_report report;
    float x[DIM] = {1};

    config.drift = false;
    l = learner_open(&config, 4);
    teach_topics(l, 100, 4, &dice);
    cr_assert(eq(int, teach(l, x, SONA_ROUTE_NONE, 0.7f), SONA_OK));
    cycle(l, job);
    cr_assert(epsilon_eq(dbl, mass(l), 101, 1e-2));
    for (uint32_t late = 0; late < 5; late++) {
        teach_topics(l, 20, 4, &dice);
        cr_assert(eq(int, sona_learner_cycle_start(l, job, 0), 1));
        teach_topics(l, late * 10, 4, &dice);
        sona_learner_cycle_run(job);
        sona_learner_cycle_install(l, job, &report);
        cr_assert(epsilon_eq(dbl, mass(l), l->replay_count, 1e-2), "late by %u, seed %llu",
                  late * 10, (unsigned long long)dice.seed);
        cr_assert(eq(u64, report.replayed + late * 10, l->replay_count));
    }
    free(job);
    free(l);
}

Test(cycle, what_came_since_the_start_is_on_top_of_the_new_code_head)
{
    struct dice dice = dice_open("what_came_since_the_start_is_on_top_of_the_new_code_head");
    sona_config config = learner_config();
    struct sona_learner *l, *early;
    struct sona_learner_job *job = job_open(&config);
    sona_cycle_report report;
    struct dice same;

    config.drift = false;
    l = learner_open(&config, 2);
    teach_topics(l, 200, 2, &dice);
    early = learner_copy(l);
    same = dice;
    cycle(early, job);
    teach_topics(early, 30, 2, &same);
    cr_assert(eq(int, sona_learner_cycle_start(l, job, 0), 1));
    teach_topics(l, 30, 2, &dice);
    sona_learner_cycle_run(job);
    sona_learner_cycle_install(l, job, &report);
    /* Code heads and pattern counts do not depend on when the install came. */
    for (uint32_t k = 0; k < 2; k++)
        cr_assert(eq(int,
                     memcmp(sona_learner_part(l, k, l->layout.route_code),
                            sona_learner_part(early, k, l->layout.route_code),
                            l->layout.routes.stride - l->layout.route_code),
                     0),
                  "route %u, seed %llu", k, (unsigned long long)dice.seed);
    for (uint32_t c = 0; c < sona_learner_head(l)->n_patterns; c++)
        cr_assert(eq(int,
                     memcmp(sona_learner_tally(l, c), sona_learner_tally(early, c),
                            l->layout.pattern_stats.stride),
                     0));
    free(job);
    free(early);
    free(l);
}

/* Nothing in patterns or archive speaks of route k. */
static void assert_no_trace(const struct sona_learner *l, uint32_t k, uint64_t seed)
{
    size_t at = l->layout.pattern_n / sizeof(float) + k;

    for (uint32_t c = 0; c < sona_learner_head(l)->n_patterns; c++)
        cr_assert(eq(flt, sona_learner_tally(l, c)[at], 0), "seed %llu", (unsigned long long)seed);
    for (uint32_t c = 0; c < l->archive_rows; c++)
        cr_assert(eq(flt, sona_learner_archive(l, c)[at], 0), "seed %llu",
                  (unsigned long long)seed);
}

Test(cycle, a_route_retired_while_it_ran_gives_nothing_to_its_successor)
{
    struct dice dice = dice_open("a_route_retired_while_it_ran_gives_nothing_to_its_successor");
    sona_config config = learner_config();
    struct sona_learner *l;
    struct sona_learner_job *job;
    sona_cycle_report report;
    sona_route route;
    float x[DIM];

    config.replay_capacity = 100; /* so that there is an archive */
    l = learner_open(&config, 6);
    job = job_open(&config);
    for (int round = 0; round < 3; round++) {
        teach_topics(l, 100, 6, &dice);
        cycle(l, job);
    }
    teach_topics(l, 50, 6, &dice);
    cr_assert(eq(int, sona_learner_cycle_start(l, job, 0), 1));
    sona_learner_cycle_run(job);
    cr_assert(eq(int, sona_learner_route_retire(l, 3), SONA_OK));
    learner_add_route(l, "successor", &route);
    teach_topics(l, 60, 3, &dice); /* the others go on; entries of the job are evicted */
    assert_no_trace(l, 3, dice.seed);
    sona_learner_cycle_install(l, job, &report);
    assert_no_trace(l, 3, dice.seed);
    topic_query(x, 3, 0, &dice);
    cr_assert(epsilon_eq(flt, predicted(l, x, 3), 0.5f, 0.25f), "little but the prior, seed %llu",
              (unsigned long long)dice.seed);
    cr_assert(eq(u32, sona_learner_row(l, 3)->fit, 0));
    cr_assert(le(u64, l->next_cycle, l->counter[SONA_COUNTER_learned] + 40), "a refit is near");
    cycle(l, job);
    assert_no_trace(l, 3, dice.seed);
    cr_assert(eq(u32, sona_learner_row(l, 3)->fit, 1));
    assert_sound(l, dice.seed);
    free(job);
    free(l);
}

Test(cycle, comes_early_and_often_then_at_a_steady_pace)
{
    static const uint32_t want[] = {32, 64, 128, 256, 512, 768};
    struct dice dice = dice_open("comes_early_and_often_then_at_a_steady_pace");
    sona_config config = learner_config();
    struct sona_learner *l = learner_open(&config, 3);
    struct sona_learner_job *job = job_open(&config);
    uint32_t cycles = 0;

    for (uint32_t n = 1; n <= 800; n++) {
        teach_topics(l, 1, 3, &dice);
        if (sona_learner_cycle_due(l, 0)) {
            cr_assert(lt(u32, cycles, 6));
            cr_assert(eq(u32, n, want[cycles]));
            cycles++;
            cycle(l, job);
        }
    }
    cr_assert(eq(u32, cycles, 6));
    free(job);
    free(l);
}

Test(cycle, comes_after_the_interval_when_there_is_something_new)
{
    struct dice dice = dice_open("comes_after_the_interval_when_there_is_something_new");
    sona_config config = learner_config();
    struct sona_learner *l;
    struct sona_learner_job *job = job_open(&config);

    config.background_interval_ms = 1000;
    l = learner_open(&config, 3);
    cr_assert(eq(int, sona_learner_cycle_due(l, 1u << 30), 0), "nothing to learn from");
    teach_topics(l, 1, 3, &dice);
    cr_assert(eq(int, sona_learner_cycle_due(l, 999), 0));
    cr_assert(eq(int, sona_learner_cycle_due(l, 1000), 1));
    cr_assert(eq(int, sona_learner_cycle_start(l, job, 1000), 1));
    teach_topics(l, 1, 3, &dice);
    cr_assert(eq(int, sona_learner_cycle_due(l, 5000), 0), "one at a time");
    free(job);
    free(l);
}

Test(cycle, comes_after_the_interval_of_a_clock_that_began_again)
{
    struct dice dice = dice_open("comes_after_the_interval_of_a_clock_that_began_again");
    sona_config config = learner_config();
    struct sona_learner_job *job = job_open(&config);
    sona_cycle_report report;

    config.background_interval_ms = 1000;
    struct sona_learner *l = learner_open(&config, 3);
    teach_topics(l, 1, 3, &dice);
    cr_assert(eq(int, sona_learner_cycle_start(l, job, 1u << 30), 1));
    sona_learner_cycle_run(job);
    sona_learner_cycle_install(l, job, &report);
    teach_topics(l, 1, 3, &dice); /* at 0: the machine was started again */
    cr_assert(eq(int, sona_learner_cycle_due(l, 999), 0));
    cr_assert(eq(int, sona_learner_cycle_due(l, 1000), 1));
    free(job);
    free(l);
}

Test(cycle, is_refused_when_one_runs_when_nothing_is_new_and_when_switched_off)
{
    struct dice dice =
        dice_open("is_refused_when_one_runs_when_nothing_is_new_and_when_switched_off");
    sona_config config = learner_config();
    struct sona_learner *l = learner_open(&config, 3), *before;
    struct sona_learner_job *job = job_open(&config);
    sona_cycle_report report;

    cr_assert(eq(int, sona_learner_cycle_start(l, job, 0), 0), "nothing is new");
    teach_topics(l, 40, 3, &dice);
    cr_assert(eq(int, sona_learner_cycle_start(l, job, 0), 1));
    teach_topics(l, 40, 3, &dice);
    cr_assert(eq(int, sona_learner_cycle_start(l, job, 0), 0), "one runs");
    sona_learner_cycle_run(job);
    sona_learner_cycle_install(l, job, &report);
    cr_assert(eq(int, report.ran, 1));
    before = learner_copy(l);
    sona_learner_cycle_install(l, job, &report);
    cr_assert(eq(int, report.ran, 0), "a job is installed once");
    cr_assert(eq(int, memcmp(l, before, l->bytes), 0));
    free(before);
    free(l);
    config.background = false;
    l = learner_open(&config, 3);
    teach_topics(l, 40, 3, &dice);
    cr_assert(eq(int, sona_learner_cycle_due(l, 0), 0));
    cr_assert(eq(int, sona_learner_cycle_start(l, job, 0), 0), "switched off");
    free(job);
    free(l);
}

Test(cycle, the_code_is_orthonormal_and_the_heads_are_split_without_loss)
{
    struct dice dice = dice_open("the_code_is_orthonormal_and_the_heads_are_split_without_loss");
    sona_config config = learner_config();
    const uint32_t fewer[] = {1, 3, 40, 390};

    for (int at = 0; at < 4; at++) {
        struct sona_learner *l = learner_open(&config, 4);
        struct sona_learner_job *job = job_open(&config);
        const float *code = sona_model_floats(sona_learner_cold(l), l->layout.code);

        teach_topics(l, fewer[at], 4, &dice);
        cycle(l, job);
        for (uint32_t a = 0; a < 4; a++)
            for (uint32_t b = 0; b < 4; b++)
                cr_assert(
                    epsilon_eq(flt, sona_kernels_active()->dot(code + a * DIM, code + b * DIM, DIM),
                               a == b, 1e-5f),
                    "%u outcomes, seed %llu", fewer[at], (unsigned long long)dice.seed);
        for (uint32_t k = 0; k < 4; k++) {
            const float *g = sona_learner_part(l, k, l->layout.route_code);
            const float *rest = sona_learner_job_refit(job, k);
            const float *whole = sona_learner_job_head(job, k);

            for (int i = 0; i < DIM; i++) {
                float sum = rest[i];

                for (uint32_t r = 0; r < 4; r++)
                    sum += g[r] * code[r * DIM + i];
                cr_assert(epsilon_eq(flt, sum, whole[i], 1e-5f));
            }
        }
        free(job);
        free(l);
    }
}

Test(cycle, the_heads_of_the_path_are_the_ridge_solutions)
{
    struct dice dice = dice_open("the_heads_of_the_path_are_the_ridge_solutions");
    static const double ridges[] = {1, 4, 16, 64, 256};
    sona_config config = learner_config();
    struct sona_learner *l = learner_open(&config, 2);
    struct sona_learner_job *job = job_open(&config);

    /* Eight directions: ten Krylov steps are all there is. */
    for (int i = 0; i < 300; i++) {
        float x[DIM] = {0}, norm = 0;

        for (int at = 0; at < 8; at++) {
            x[at] = dice_signed(&dice);
            norm += x[at] * x[at];
        }
        for (int at = 0; at < 8; at++)
            x[at] /= sqrtf(norm);
        cr_assert(eq(int, teach(l, x, i % 2, x[i % 2] > 0 ? 0.9f : 0.3f), SONA_OK));
    }
    cycle(l, job);
    for (uint32_t k = 0; k < 2; k++) {
        const float *w0 = sona_learner_job_floats(job, job->common);
        double m[8 * 8] = {0}, b[8] = {0}, want[8];

        for (uint32_t i = 0; i < job->count; i++) {
            const struct sona_learner_entry *entry = &sona_learner_job_entries(job)[i];
            const float *x = sona_learner_job_x(job, i);
            double r = (double)entry->quality - (double)sona_learner_job_row(job, k)->mean;

            if (entry->route != k)
                continue;
            for (int a = 0; a < 8; a++)
                r -= (double)w0[a] * (double)x[a];
            for (int a = 0; a < 8; a++) {
                b[a] += r * (double)x[a];
                for (int c = 0; c < 8; c++)
                    m[a * 8 + c] += (double)x[a] * (double)x[c];
            }
        }
        for (int p = 0; p < 5; p++) {
            const float *head = sona_learner_job_floats(job, job->path) +
                                ((size_t)k * (SONA_LEARNER_PATH - 1) + (size_t)p) * DIM;
            double ridged[8 * 8];

            memcpy(ridged, m, sizeof ridged);
            for (int a = 0; a < 8; a++)
                ridged[a * 9] += ridges[p];
            cr_assert(eq(int, sona_learner_solve(ridged, 8, 8, b, want), 1));
            for (int a = 0; a < 8; a++)
                cr_assert(epsilon_eq(dbl, (double)head[a], want[a], 1e-4), "ridge %g, seed %llu",
                          ridges[p], (unsigned long long)dice.seed);
        }
    }
    free(job);
    free(l);
}

Test(patterns, keep_their_ids_while_queries_come_to_them)
{
    struct dice dice = dice_open("keep_their_ids_while_queries_come_to_them");
    sona_config config = learner_config();
    struct sona_learner *l;
    struct sona_learner_job *job;
    uint64_t id[4];

    config.pattern_clusters = 4;
    l = learner_open(&config, 2);
    job = job_open(&config);
    for (uint32_t round = 0; round < 8; round++) {
        /* Seeds are drawn by the square of their distance: the first queries lie on their topics,
         * so that no draw can take a second one of the same. */
        for (uint32_t i = 0; i < 100; i++) {
            uint32_t topic = i % 4, route = i / 4 % 2;
            float x[DIM];

            topic_query(x, topic, round == 0 ? 0 : 0.1f, &dice);
            cr_assert(eq(int, teach(l, x, route, topic % 2 == route ? 0.9f : 0.2f), SONA_OK));
        }
        cycle(l, job);
        cr_assert(eq(u32, sona_learner_head(l)->n_patterns, 4), "one per topic, seed %llu",
                  (unsigned long long)dice.seed);
        for (uint32_t c = 0; c < 4; c++) {
            const struct sona_model_pattern *row =
                sona_model_pattern_row(&l->layout, sona_learner_cold(l), c);

            if (round == 0)
                id[c] = row->id;
            cr_assert(eq(u64, row->id, id[c]), "round %u, seed %llu", round,
                      (unsigned long long)dice.seed);
            for (uint32_t other = 0; other < c; other++)
                cr_assert(ne(u64, row->id, id[other]));
        }
    }
    free(job);
    free(l);
}

Test(patterns, what_was_evicted_weighs_on)
{
    struct dice dice = dice_open("what_was_evicted_weighs_on");
    sona_config config = learner_config();
    struct sona_learner *l;
    struct sona_learner_job *job;

    config.replay_capacity = 64;
    l = learner_open(&config, 2);
    job = job_open(&config);
    for (int round = 0; round < 4; round++) {
        teach_topics(l, 64, 2, &dice);
        cycle(l, job);
    }
    cr_assert(gt(dbl, mass(l), 200), "256 outcomes, 64 of them in the replay, the rest decayed");
    cr_assert(lt(dbl, mass(l), 256.01));
    free(job);
    free(l);
}

Test(patterns, poor_trajectories_are_counted_but_shape_none)
{
    struct dice dice = dice_open("poor_trajectories_are_counted_but_shape_none");
    sona_config config = learner_config();
    struct sona_learner *l = learner_open(&config, 2);
    struct sona_learner_job *job = job_open(&config);
    float x[DIM];

    for (int i = 0; i < 100; i++) {
        topic_query(x, (uint32_t)i % 2, 0.1f, &dice);
        cr_assert(eq(int, teach(l, x, 0, 0.1f), SONA_OK));
    }
    cycle(l, job);
    cr_assert(eq(u32, sona_learner_head(l)->n_patterns, 0));
    for (int i = 0; i < 100; i++) {
        topic_query(x, 5, 0.1f, &dice);
        cr_assert(eq(int, teach(l, x, 0, 0.9f), SONA_OK));
    }
    cycle(l, job);
    cr_assert(gt(u32, sona_learner_head(l)->n_patterns, 0));
    cr_assert(epsilon_eq(dbl, mass(l), 200, 1e-2));
    for (uint32_t c = 0; c < sona_learner_head(l)->n_patterns; c++) {
        const float *centroid =
            sona_model_floats(sona_learner_cold(l),
                              sona_model_at(&l->layout.patterns, c, l->layout.pattern_centroid));

        cr_assert(gt(flt, centroid[5], 0.8f), "seed %llu", (unsigned long long)dice.seed);
    }
    free(job);
    free(l);
}

Test(cycle, a_lifted_centroid_multiplies_a_query_as_the_centroid_multiplies_its_point)
{
    struct dice dice = dice_open("a_lifted_centroid_multiplies_a_query");
    sona_config config = learner_config();
    struct sona_learner *l = learner_open(&config, 2);
    struct sona_learner_job *job = job_open(&config);
    const struct sona_model_layout *layout = &l->layout;
    const float *code = sona_model_floats(sona_learner_cold(l), layout->code);

    teach_topics(l, 300, 2, &dice);
    cycle(l, job);
    cr_assert(gt(u32, sona_learner_head(l)->n_patterns, 1));
    for (uint32_t c = 0; c < sona_learner_head(l)->n_patterns; c++) {
        const float *centroid = sona_model_floats(
            sona_learner_cold(l), sona_model_at(&layout->patterns, c, layout->pattern_centroid));
        const int16_t *lifted = sona_model_pattern_lifted(layout, sona_learner_cold(l), c);
        double want = 0, got = 0, rounding = 1e-5; /* of float sums; and half a unit a coordinate */
        float x[DIM];

        topic_query(x, dice_below(&dice, DIM), 0.3f, &dice);
        for (int i = 0; i < DIM; i++) {
            want += (double)x[i] * (double)centroid[i];
            got += (double)x[i] * (double)lifted[i] / (double)SONA_MODEL_LIFTED;
            rounding += fabs((double)x[i]) / 2 / (double)SONA_MODEL_LIFTED;
        }
        for (uint32_t r = 0; r < layout->geometry.base_rank; r++) {
            double ax = 0, ac = 0;

            for (int i = 0; i < DIM; i++) {
                ax += (double)code[r * layout->dim_padded + i] * (double)x[i];
                ac += (double)code[r * layout->dim_padded + i] * (double)centroid[i];
            }
            want += ax * ac;
        }
        cr_assert(epsilon_eq(dbl, got, want, rounding), "seed %llu", (unsigned long long)dice.seed);
    }
    free(job);
    free(l);
}

/* Squared error that the job's heads and BaseLoRA together leave over its outcomes. */
static double left_over(const struct sona_learner_job *job)
{
    struct sona_model_view view = sona_learner_job_view(job);
    double sum = 0;

    for (uint32_t i = 0; i < job->count; i++) {
        const struct sona_learner_entry *entry = &sona_learner_job_entries(job)[i];
        const float *x = sona_learner_job_x(job, i), *head, *w;
        double e = (double)entry->quality - (double)sona_learner_job_row(job, entry->route)->mean;
        float y[DIM];

        head = sona_learner_job_head(job, entry->route);
        w = sona_learner_job_part(job, entry->route, job->layout.route_head);
        sona_model_apply_base(&view, 0, x, y);
        for (int at = 0; at < DIM; at++)
            e -= (double)head[at] * (double)x[at] + (double)w[at] * ((double)y[at] - (double)x[at]);
        sum += e * e;
    }
    return sum;
}

Test(base, its_own_slow_step_lowers_what_the_heads_leave_over)
{
    struct dice dice = dice_open("its_own_slow_step_lowers_what_the_heads_leave_over");
    static const float rates[] = {0, 0.001f, 0.01f};
    double left[3];

    for (int i = 0; i < 3; i++) {
        struct dice same = {.state = dice.seed};
        sona_config config = learner_config();
        struct sona_learner_job *job;
        struct sona_learner *l;

        config.base_lora_lr = rates[i];
        job = job_open(&config);
        l = learner_open(&config, 4);
        teach_topics(l, 250, 4, &same);
        cycle(l, job); /* the first fold: BaseLoRA is not zero any more */
        cr_assert(gt(dbl, sona_learner_base_norm(l), 0));
        cr_assert(eq(int, teach(l, sona_learner_job_x(job, 0), 0, 0.5f), SONA_OK));
        cr_assert(eq(int, sona_learner_cycle_start(l, job, 0), 1));
        sona_learner_cycle_run(job);
        left[i] = left_over(job);
        free(job);
        free(l);
    }
    cr_assert(lt(dbl, left[1], left[0]), "seed %llu", (unsigned long long)dice.seed);
    cr_assert(lt(dbl, left[2], left[1]), "seed %llu", (unsigned long long)dice.seed);
}

Test(base, the_report_says_how_far_it_moved)
{
    struct dice dice = dice_open("the_report_says_how_far_it_moved");
    sona_config config = learner_config();
    struct sona_learner *l, *before;
    struct sona_learner_job *job;

    config.micro_lora_lr = 0.1f;
    l = learner_open(&config, 4);
    job = job_open(&config);
    for (int round = 0; round < 4; round++) {
        struct sona_model_view now = sona_learner_view(l), then;
        sona_cycle_report report;
        double square = 0;

        before = learner_copy(l);
        then = sona_learner_view(before);
        teach_topics(l, 60, 4, &dice);
        report = cycle(l, job);
        for (int axis = 0; axis < DIM; axis++) {
            float x[DIM] = {0}, y[2][DIM];

            x[axis] = 1;
            sona_model_apply_base(&now, 0, x, y[0]);
            sona_model_apply_base(&then, 0, x, y[1]);
            for (int i = 0; i < DIM; i++)
                square += pow((double)y[0][i] - (double)y[1][i], 2);
        }
        cr_assert(gt(dbl, report.base_change, 1e-4));
        cr_assert(epsilon_eq(dbl, report.base_change, sqrt(square), 1e-3), "round %d, seed %llu",
                  round, (unsigned long long)dice.seed);
        free(before);
    }
    free(job);
    free(l);
}
