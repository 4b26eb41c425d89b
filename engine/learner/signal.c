/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Signals beside outcomes: a reward that is about nothing in particular, and a direction.
 *
 * The running baseline is that of bare trajectories: about the last 200 rewards without a route.
 * A direction g is REINFORCE on the adapter: y at x moves by (quality - baseline) along g, through
 * the step of MicroLoRA, which bounds its length. x is the query of the named outcome when the
 * replay has it, else the direction itself.
 */
#include <math.h>
#include <string.h>

#include "engine/learner/state.h"

static void move_baseline(struct sona_learner *l, float quality)
{
    l->bare_n = 0.995f * l->bare_n + 1;
    l->bare_s = 0.995f * l->bare_s + quality;
    l->recent_quality += 0.005 * ((double)quality - l->recent_quality);
}

sona_err sona_learner_baseline(struct sona_learner *l, const struct sona_learner_event *event)
{
    if (!(event->quality >= 0 && event->quality <= 1))
        return sona_learner_count_as(l, SONA_COUNTER_drop_range, SONA_E_RANGE);
    if (!sona_learner_enabled(l))
        return sona_learner_count_as(l, SONA_COUNTER_drop_disabled, SONA_OK);
    sona_learner_head(l)->step++;
    move_baseline(l, event->quality);
    return sona_learner_count_as(l, SONA_COUNTER_baseline_updates, SONA_OK);
}

/* `event` was checked: x is the direction. */
sona_err sona_learner_gradient(struct sona_learner *l, const struct sona_learner_event *event)
{
    const struct sona_kernels *kernels = sona_kernels_active();
    uint32_t n = l->layout.dim_padded, slot;
    float *direction = sona_learner_floats(l, l->scratch);
    float advantage = event->quality - (l->bare_s + 0.5f) / (l->bare_n + 1);
    float norm = sqrtf(kernels->dot(event->x, event->x, n));

    if (!sona_learner_enabled(l) || !l->config.micro)
        return sona_learner_count_as(l, SONA_COUNTER_drop_disabled, SONA_OK);
    if (!(norm > 0)) /* its squares vanish: no direction is left */
        return sona_learner_count_as(l, SONA_COUNTER_drop_zero_vector, SONA_E_ZERO_VECTOR);
    for (uint32_t i = 0; i < n; i++)
        direction[i] = event->x[i] / norm;
    slot = sona_learner_replay_find(l, event->id);
    sona_learner_head(l)->step++;
    sona_learner_micro_step(l, direction,
                            slot < l->replay_capacity ? sona_learner_replay_x(l, slot) : direction,
                            advantage);
    move_baseline(l, event->quality);
    return sona_learner_count_as(l, SONA_COUNTER_gradient_updates, SONA_OK);
}
