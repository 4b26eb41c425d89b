/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Is a route still what it was? Two Page-Hinkley sums over its prediction errors; when one passes
 * the threshold, the route's old evidence is discounted, and it is refit when new evidence is in.
 */
#include "engine/learner/state.h"

#define DRIFT_DELTA 0.1f  /* mean error that is not drift */
#define DRIFT_LIMIT 8.0f  /* alarm when the sum of what exceeds it passes this */
#define DRIFT_KEEP  0.05f /* of the old evidence */

/* Trust in the code head falls back to the prior's, never below: P grows, at most to the prior. */
static void inflate(struct sona_learner *l, uint32_t k)
{
    const struct sona_model_layout *layout = &l->layout;
    float *p = sona_learner_part(l, k, layout->route_cov);
    float prior[(SONA_BASE_RANK_MAX + 1) * 32];
    float scale = 1 / DRIFT_KEEP;

    sona_learner_heads_prior(layout, prior);
    for (uint32_t i = 0; i < layout->code_dim; i++) {
        size_t at = (size_t)i * layout->code_padded + i;

        if (p[at] * scale > prior[at])
            scale = prior[at] / p[at];
    }
    if (scale > 1)
        for (size_t i = 0; i < (size_t)layout->code_dim * layout->code_padded; i++)
            p[i] *= scale;
}

void sona_learner_drift_discount_code(struct sona_learner *l, uint32_t k)
{
    inflate(l, k);
    sona_learner_patterns_discount(l, k, DRIFT_KEEP);
    sona_learner_replay_discount_archive(l, k, DRIFT_KEEP);
}

static void discount(struct sona_learner *l, uint32_t k)
{
    const struct sona_model_layout *layout = &l->layout;
    struct sona_model_route *row = sona_learner_row(l, k);
    float *grad2 = sona_learner_floats(l, l->grad2) + (size_t)k * layout->dim_padded;

    row->n *= DRIFT_KEEP;
    row->s *= DRIFT_KEEP;
    row->mean = (row->s + row->prior_s) / (row->n + row->prior_n);
    for (uint32_t i = 0; i < layout->dim_padded; i++)
        grad2[i] *= DRIFT_KEEP;
    sona_learner_routes(l)[k].bias_grad2 *= DRIFT_KEEP;
    sona_learner_ewc_discount(l, k, DRIFT_KEEP);
    sona_learner_drift_discount_code(l, k);
    sona_learner_replay_discount(l, k, DRIFT_KEEP);
}

void sona_learner_drift_watch(struct sona_learner *l, uint32_t k, float error)
{
    struct sona_learner_route *memory = &sona_learner_routes(l)[k];
    uint64_t step = sona_learner_head(l)->step;

    if (!l->config.drift || step < memory->quiet_until)
        return;
    memory->up = sona_model_clamp(memory->up + error - DRIFT_DELTA, 0, 1e6f);
    memory->down = sona_model_clamp(memory->down - error - DRIFT_DELTA, 0, 1e6f);
    if (memory->up <= DRIFT_LIMIT && memory->down <= DRIFT_LIMIT)
        return;
    memory->up = memory->down = 0;
    memory->resets++;
    memory->quiet_until = step + SONA_LEARNER_REFIT;
    l->counter[SONA_COUNTER_drift_resets]++;
    discount(l, k);
    sona_learner_cycle_soon(l);
}
