/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What happened near each pattern: counts and sums of qualities per route, and of outcomes without
 * a route. Every outcome is counted; the quality threshold decides only who shapes the patterns.
 */
#include "engine/learner/state.h"

void sona_learner_patterns_add(const struct sona_model_layout *layout, float *tally, uint32_t k,
                               float quality, float weight)
{
    float *n = tally + layout->pattern_n / sizeof(float) + k;
    float *s = tally + layout->pattern_s / sizeof(float) + k;

    if (k == SONA_LEARNER_NO_ROUTE) {
        n = tally + layout->pattern_bare / sizeof(float);
        s = n + 1;
    }
    if (*n >= 8e6f) { /* a float counts no further */
        *n *= 0.5f;
        *s *= 0.5f;
    }
    *n += weight;
    *s += weight * quality;
}

void sona_learner_patterns_count(struct sona_learner *l, const struct sona_model_assignment *near,
                                 uint32_t k, float quality)
{
    for (uint32_t i = 0; i < near->count; i++) {
        sona_learner_patterns_add(&l->layout, sona_learner_tally(l, near->index[i]), k, quality,
                                  near->weight[i]);
        sona_learner_touch_pattern(l, near->index[i]);
    }
}

void sona_learner_patterns_uncount(struct sona_learner *l, const struct sona_model_assignment *near,
                                   uint32_t k, float quality, float weight)
{
    const struct sona_model_layout *layout = &l->layout;

    for (uint32_t i = 0; i < near->count; i++) {
        float *tally = sona_learner_tally(l, near->index[i]), w = weight * near->weight[i];
        float *n = tally + layout->pattern_n / sizeof(float) + k;
        float *s = tally + layout->pattern_s / sizeof(float) + k;

        if (k == SONA_LEARNER_NO_ROUTE) {
            n = tally + layout->pattern_bare / sizeof(float);
            s = n + 1;
        }
        *n = sona_model_clamp(*n - w, 0, 1e7f);
        *s = sona_model_clamp(*s - w * quality, 0, *n);
        sona_learner_touch_pattern(l, near->index[i]);
    }
}

void sona_learner_patterns_discount(struct sona_learner *l, uint32_t k, float factor)
{
    uint32_t n = sona_learner_head(l)->n_patterns;

    for (uint32_t c = 0; c < n; c++) {
        float *tally = sona_learner_tally(l, c);

        tally[l->layout.pattern_n / sizeof(float) + k] *= factor;
        tally[l->layout.pattern_s / sizeof(float) + k] *= factor;
        sona_learner_touch_pattern(l, c);
    }
}
