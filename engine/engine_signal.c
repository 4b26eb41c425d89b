/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Learning signals: the outcome of what they are about, the baseline, a direction. */
#include <math.h>

#include "engine/facade.h"

static sona_err check_signal(sona_engine *engine, const sona_signal *signal)
{
    if (!isfinite(signal->quality) || !isfinite(signal->latency_ms))
        return SONA_E_NOT_FINITE;
    if (signal->quality < 0 || signal->quality > 1 || signal->latency_ms < 0)
        return SONA_E_RANGE;
    /* Last, so that the prepared direction is in engine->query. */
    return signal->gradient ? sona_engine_prepare(engine, signal->gradient, signal->n_gradient)
                            : SONA_OK;
}

sona_err sona_engine_learn(sona_engine *engine, const sona_signal *signal, uint64_t now_ms,
                           sona_signal_effect *ret)
{
    struct sona_learner_event beside = {.kind = SONA_LEARNER_BASELINE, .now_ms = now_ms};
    sona_signal_effect effect = SONA_SIGNAL_NAMED;
    sona_err err;

    if (engine == NULL || signal == NULL)
        return SONA_E_ARGUMENT;
    err = check_signal(engine, signal);
    if (err != SONA_OK)
        return sona_engine_refuse(engine, err);
    beside.id = signal->id;
    if (signal->id == 0) {
        beside.id = engine->last_decision;
        effect = beside.id != 0 ? SONA_SIGNAL_LAST : SONA_SIGNAL_BASELINE;
    }
    if (beside.id != 0)
        err = sona_engine_settle(engine, beside.id, signal->quality, sona_signal_latency_us(signal),
                                 now_ms);
    if (beside.id == 0 || signal->gradient != NULL) {
        sona_err second;

        beside.quality = signal->quality;
        if (signal->gradient != NULL) {
            beside.kind = SONA_LEARNER_GRADIENT;
            beside.x = engine->query;
        }
        engine->counter[SONA_COUNTER_signals]++;
        second = sona_learner_learn(engine->learner, &beside);
        err = err == SONA_OK ? second : err;
    }
    if (err == SONA_OK && ret != NULL)
        *ret = effect;
    return err;
}
