/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The clusters of the cells: what k-means++ and Lloyd's steps promise, step by step. The file under
 * test is taken in whole: its steps are its own business, and the test's.
 */
#include "engine/learner/cluster.c"

#include "oracle.h"
#include "tests/engine/learner_fixture.h"

#define ROUNDS 40

/* A learner with outcomes of random topics, and a job that has begun. */
static void open_job(struct dice *dice, struct sona_learner **l, struct sona_learner_job **job)
{
    sona_config config = learner_config();

    config.replay_capacity = 64 + dice_below(dice, 400);
    config.pattern_clusters = 1 + dice_below(dice, 40);
    *l = learner_open(&config, 3);
    *job = job_open(&config);
    teach_topics(*l, 40 + dice_below(dice, 400), 3, dice);
    cycle(*l, *job);
    teach_topics(*l, 1 + dice_below(dice, 300), 3, dice);
    cr_assert(sona_learner_cycle_start(*l, *job, 0));
}

static double inertia(const struct sona_learner_job *j, const struct sample *s)
{
    uint32_t n = j->layout.dim_padded;
    double sum = 0;

    for (uint32_t i = 0; i < s->count; i++)
        for (uint32_t at = 0; at < n; at++)
            sum += pow(
                (double)s->point[(size_t)i * n + at] - (double)centroid(j, s->cluster[i])[at], 2);
    return sum;
}

/* The state before Lloyd's first step, as find_clusters() makes it. */
static void seed_all(struct sona_learner_job *j, struct sample *s, uint32_t target)
{
    draw_sample(j, s);
    for (uint32_t c = 0; c < cold_of(j)->n_patterns; c++) {
        to_space(j, mean_of(j, c), centroid(j, c));
        note_norm(j, c);
    }
    measure_all(j, s);
    for (uint32_t c = cold_of(j)->n_patterns; c < target && seed_centroid(j, s, c); c++) {
        cold_of(j)->n_patterns++;
        measure(j, s, c, c + 1);
    }
}

/* (old c + sum of its points) / (old + their number), in double; c itself without points. */
static void weighted_mean(const struct sona_learner_job *j, const struct sample *s, uint32_t c,
                          double *ret)
{
    uint32_t n = j->layout.dim_padded;
    double old = 0, points = 0;

    for (uint32_t k = 0; k < j->n_routes; k++)
        old += (double)tally_of(j, j->archive, c)[j->layout.pattern_n / sizeof(float) + k];
    for (uint32_t at = 0; at < n; at++)
        ret[at] = old * (double)centroid(j, c)[at];
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->cluster[i] != c)
            continue;
        points += 1;
        for (uint32_t at = 0; at < n; at++)
            ret[at] += (double)s->point[(size_t)i * n + at];
    }
    for (uint32_t at = 0; at < n; at++)
        ret[at] = points > 0 ? ret[at] / (old + points) : (double)centroid(j, c)[at];
}

static void expect_nearest(const struct sona_learner_job *j, const struct sample *s, uint64_t seed)
{
    uint32_t n = j->layout.dim_padded;

    for (uint32_t i = 0; i < s->count; i++)
        for (uint32_t c = 0; c < cold_of(j)->n_patterns; c++) {
            const float *point = s->point + (size_t)i * n;

            cr_assert(le(flt, sona_kernels_active()->distance(point, centroid(j, s->cluster[i]), n),
                         sona_kernels_active()->distance(point, centroid(j, c), n) + 1e-5f),
                      "point %u, seed %llu", i, (unsigned long long)seed);
        }
}

Test(kmeans, lloyd_steps_move_to_weighted_means_and_inertia_never_grows)
{
    struct dice dice = dice_open("lloyd_steps_move_to_weighted_means_and_inertia_never_grows");

    for (int round = 0; round < ROUNDS; round++) {
        struct sona_learner *l;
        struct sona_learner_job *j;
        struct sample s;
        static double want[SONA_LEARNER_PATTERNS][DIM];
        double before;

        open_job(&dice, &l, &j);
        seed_all(j, &s, j->archive_rows);
        before = inertia(j, &s);
        for (int step = 0; step < 6; step++) {
            for (uint32_t c = 0; c < cold_of(j)->n_patterns; c++)
                weighted_mean(j, &s, c, want[c]);
            move_centroids(j, &s);
            for (uint32_t c = 0; c < cold_of(j)->n_patterns; c++)
                for (uint32_t at = 0; at < DIM; at++)
                    cr_assert(epsilon_eq(dbl, (double)centroid(j, c)[at], want[c][at], 1e-5),
                              "centroid %u, seed %llu", c, (unsigned long long)dice.seed);
            cr_assert(le(dbl, inertia(j, &s), before + 1e-4), "moving, seed %llu",
                      (unsigned long long)dice.seed);
            before = inertia(j, &s);
            measure_all(j, &s);
            expect_nearest(j, &s, dice.seed);
            cr_assert(le(dbl, inertia(j, &s), before + 1e-4), "assigning, seed %llu",
                      (unsigned long long)dice.seed);
            before = inertia(j, &s);
        }
        free(j);
        free(l);
    }
}

Test(kmeans, seeds_are_points_and_lower_the_inertia)
{
    struct dice dice = dice_open("seeds_are_points_and_lower_the_inertia");

    for (int round = 0; round < ROUNDS; round++) {
        struct sona_learner *l;
        struct sona_learner_job *j;
        struct sample s;
        double before;
        uint32_t c;

        open_job(&dice, &l, &j);
        seed_all(j, &s, 1);
        before = inertia(j, &s);
        for (c = cold_of(j)->n_patterns; c < j->archive_rows && seed_centroid(j, &s, c); c++) {
            bool is_point = false;

            for (uint32_t i = 0; i < s.count && !is_point; i++)
                is_point = memcmp(s.point + (size_t)i * j->layout.dim_padded, centroid(j, c),
                                  j->layout.dim_padded * sizeof(float)) == 0;
            cr_assert(is_point, "seed %llu", (unsigned long long)dice.seed);
            cold_of(j)->n_patterns++;
            measure(j, &s, c, c + 1);
            cr_assert(lt(dbl, inertia(j, &s), before), "seed %llu", (unsigned long long)dice.seed);
            before = inertia(j, &s);
        }
        free(j);
        free(l);
    }
}

static struct sona_learner_job *copy_of(const struct sona_learner_job *j)
{
    return memcpy(aligned_alloc(64, j->bytes), j, j->bytes);
}

Test(kmeans, patterns_are_bounded_apart_and_not_empty_and_equal_jobs_find_equal_ones)
{
    struct dice dice =
        dice_open("patterns_are_bounded_apart_and_not_empty_and_equal_jobs_find_equal_ones");

    for (int round = 0; round < ROUNDS; round++) {
        struct sona_learner *l;
        struct sona_learner_job *j, *again;
        struct sample s;
        uint32_t n;

        open_job(&dice, &l, &j);
        again = copy_of(j);
        find_clusters(j);
        find_clusters(again);
        cr_assert(eq(int, memcmp(j, again, j->bytes), 0), "seed %llu",
                  (unsigned long long)dice.seed);
        n = cold_of(j)->n_patterns;
        cr_assert(le(u32, n, j->config.pattern_clusters));
        cr_assert(le(u32, n, SONA_LEARNER_PATTERNS));
        cr_assert(ge(u32, n, 1));
        draw_sample(j, &s);
        measure_all(j, &s);
        for (uint32_t c = 0; c < n; c++) {
            cr_assert(has_point(&s, c) || evidence(j, c) >= EMPTY_BELOW,
                      "pattern %u of %u, seed %llu", c, n, (unsigned long long)dice.seed);
            for (uint32_t other = 0; other < c; other++)
                cr_assert(ge(flt,
                             sona_kernels_active()->distance(centroid(j, c), centroid(j, other),
                                                             j->layout.dim_padded),
                             MERGE_BELOW));
        }
        free(again);
        free(j);
        free(l);
    }
}
