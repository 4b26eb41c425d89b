/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Learners with EWC++ and without the gate, and looks into its memory. */
#ifndef SONA_TESTS_ENGINE_EWC_FIXTURE_H
#define SONA_TESTS_ENGINE_EWC_FIXTURE_H

#include "tests/engine/regime_fixture.h"

static inline sona_config ewc_config(void)
{
    sona_config config = learner_config();

    config.gate = false;
    config.ewc = true;
    return config;
}

/* The row of route k in a table of all routes: weights, then the bias. */
static inline const float *row_of(const struct sona_learner *l, size_t table, uint32_t k)
{
    return sona_learner_floats(l, table) + (size_t)k * (DIM_PADDED + 16);
}

/* Importances (anchor 0) or weights (1) of the task in slot t of the ring. */
static inline const float *task_of(const struct sona_learner *l, uint32_t t, uint32_t anchor,
                                   uint32_t k)
{
    return row_of(l, l->ewc.tasks, (2 * t + anchor) * l->layout.geometry.routes_max + k);
}

static inline sona_ewc state_of(const struct sona_learner *l)
{
    sona_ewc ret;

    sona_learner_ewc_state(l, &ret);
    return ret;
}

static inline bool same_weights(const struct sona_learner *a, const struct sona_learner *b)
{
    return memcmp(sona_learner_hot(a), sona_learner_hot(b), a->layout.hot_bytes) == 0 &&
           memcmp(sona_learner_cold(a), sona_learner_cold(b), a->layout.cold_bytes) == 0;
}

/* sum F (w - centre)^2 of route k. */
static inline double distance(const struct sona_learner *l, uint32_t k, const float *f,
                              const float *c)
{
    double sum = 0;

    for (int i = 0; i <= DIM; i++) {
        float w = i == DIM ? sona_learner_row(l, k)->bias : head_of(l, k)[i];

        sum += (double)f[i] * pow((double)w - (double)c[i], 2);
    }
    return sum;
}

static inline void random_query(float x[DIM], struct dice *dice)
{
    for (int i = 0; i < DIM; i++)
        x[i] = 0.3f * dice_signed(dice);
}

/* Random outcomes of route 0, and the end of a task. */
static inline void random_task(struct sona_learner *l, uint32_t n, struct dice *dice)
{
    float x[DIM];

    for (uint32_t i = 0; i < n; i++) {
        random_query(x, dice);
        cr_assert(eq(int, teach(l, x, 0, dice_unit(dice)), SONA_OK));
    }
    cr_assert(sona_learner_ewc_boundary(l));
}

#endif
