/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Small learners, streams of events for them, and looks inside. */
#ifndef SONA_TESTS_ENGINE_LEARNER_FIXTURE_H
#define SONA_TESTS_ENGINE_LEARNER_FIXTURE_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "engine/learner/job.h"
#include "engine/learner/linalg.h"
#include "engine/learner/state.h"
#include "tests/engine/dice.h"

#define DIM        32
#define DIM_PADDED 32

static inline sona_config learner_config(void)
{
    sona_config config;

    sona_config_init(&config);
    config.hidden_dim = config.embedding_dim = DIM;
    config.routes_max = 6;
    config.base_lora_rank = 4;
    config.base_lora_layers = 2;
    config.replay_capacity = 400;
    config.pattern_clusters = 8;
    return config;
}

static inline void learner_add_route(struct sona_learner *l, const char *name, sona_route *ret)
{
    sona_route_spec spec = {.prior_quality = 0.5f, .prior_weight = 1};

    snprintf(spec.name, sizeof spec.name, "%s", name);
    cr_assert(eq(int, sona_learner_route_add(l, &spec, ret), SONA_OK));
}

static inline struct sona_learner *learner_open(const sona_config *config, uint32_t n_routes)
{
    size_t bytes = sona_learner_bytes(config);
    void *memory = aligned_alloc(64, bytes);
    struct sona_learner *l;

    memset(memory, 0xa5, bytes);
    l = sona_learner_init(memory, config);
    for (uint32_t k = 0; k < n_routes; k++) {
        char name[24];
        sona_route route;

        snprintf(name, sizeof name, "route-%u", k);
        learner_add_route(l, name, &route);
        cr_assert(eq(u32, route, k));
    }
    return l;
}

static inline struct sona_learner *learner_copy(const struct sona_learner *l)
{
    return memcpy(aligned_alloc(64, l->bytes), l, l->bytes);
}

static inline struct sona_learner_job *job_open(const sona_config *config)
{
    size_t bytes = sona_learner_job_bytes(config);
    void *memory = aligned_alloc(64, bytes);

    memset(memory, 0x5a, bytes); /* a job may not depend on what its memory held */
    return sona_learner_job_init(memory, config);
}

static inline sona_cycle_report cycle(struct sona_learner *l, struct sona_learner_job *job)
{
    sona_cycle_report report;

    cr_assert(eq(int, sona_learner_cycle_start(l, job, 0), 1));
    sona_learner_cycle_run(job);
    sona_learner_cycle_install(l, job, &report);
    return report;
}

/* A unit query of topic t. */
static inline void topic_query(float x[DIM], uint32_t topic, float noise, struct dice *dice)
{
    double norm = 0;

    for (int i = 0; i < DIM; i++)
        x[i] = noise * dice_signed(dice);
    x[topic] += 1;
    for (int i = 0; i < DIM; i++)
        norm += (double)x[i] * (double)x[i];
    for (int i = 0; i < DIM; i++)
        x[i] = (float)((double)x[i] / sqrt(norm));
}

static inline sona_err teach(struct sona_learner *l, const float *x, sona_route route,
                             float quality)
{
    struct sona_learner_event event = {.x = x, .route = route, .quality = quality};

    return sona_learner_learn(l, &event);
}

/* `n` events of 4 topics over `routes` routes: route k is good (0.9) at topics t with t % routes
 * == k, bad (0.2) elsewhere. */
static inline void teach_topics(struct sona_learner *l, uint32_t n, uint32_t routes,
                                struct dice *dice)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t topic = dice_below(dice, 4), route = dice_below(dice, routes);
        float x[DIM];

        topic_query(x, topic, 0.1f, dice);
        cr_assert(eq(int, teach(l, x, route, topic % routes == route ? 0.9f : 0.2f), SONA_OK));
    }
}

/* Predicted quality of route k at x. */
static inline float predicted(const struct sona_learner *l, const float *x, uint32_t k)
{
    struct sona_model_view view = sona_learner_view(l);
    void *memory = aligned_alloc(64, sona_model_scratch_bytes(&l->layout));
    struct sona_model_scores scores;
    float quality;

    sona_model_scratch_init(&l->layout, memory, &scores);
    cr_assert(eq(int, sona_model_score(&view, x, NULL, &scores), SONA_OK));
    quality = scores.quality[k];
    free(memory);
    return quality;
}

static inline const float *head_of(const struct sona_learner *l, uint32_t k)
{
    return sona_learner_part(l, k, l->layout.route_head);
}

/* w_k.y - w_k.x of the whole adapter. */
static inline double bend(const struct sona_learner *l, const float *x, uint32_t k)
{
    struct sona_model_view view = sona_learner_view(l);
    float y[DIM];
    double sum = 0;

    sona_model_apply(&view, x, y);
    for (int i = 0; i < DIM; i++)
        sum += (double)head_of(l, k)[i] * ((double)y[i] - (double)x[i]);
    return sum;
}

/* Both halves pass the validator and every covariance is positive definite. */
static inline void assert_sound(const struct sona_learner *l, uint64_t seed)
{
    double precision[17 * 17], inverse[17 * 17];

    cr_assert(eq(int, sona_model_validate_hot(&l->layout, sona_learner_hot(l)), SONA_OK),
              "seed %llu", (unsigned long long)seed);
    cr_assert(eq(int, sona_model_validate_cold(&l->layout, sona_learner_cold(l)), SONA_OK),
              "seed %llu", (unsigned long long)seed);
    for (uint32_t k = 0; k < sona_learner_head(l)->n_routes; k++) {
        const float *p = sona_learner_part(l, k, l->layout.route_cov);
        uint32_t n = l->layout.code_dim;

        for (uint32_t i = 0; i < n; i++)
            for (uint32_t j = 0; j < n; j++) {
                precision[i * n + j] = (double)p[(size_t)i * l->layout.code_padded + j];
                cr_assert(eq(flt, p[(size_t)i * l->layout.code_padded + j],
                             p[(size_t)j * l->layout.code_padded + i]));
            }
        cr_assert(eq(int, sona_learner_invert(precision, n, n, inverse), 1), "route %u, seed %llu",
                  k, (unsigned long long)seed);
    }
}

#endif
