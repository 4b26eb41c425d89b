/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What the files behind sona/engine.h share: the engine in its one allocation.
 *
 *     struct sona_engine | learner (model inside) | background job | pending | scratch | query
 *
 * Whoever refuses an event counts it: the pending table and the learner their own, this facade what
 * never reaches them.
 */
#ifndef SONA_ENGINE_FACADE_H
#define SONA_ENGINE_FACADE_H

#include <sona/engine.h>

#include "engine/learner/learner.h"
#include "engine/model/model.h"
#include "engine/pending/pending.h"

struct sona_engine {
    sona_config config;
    struct sona_model_layout layout;
    size_t bytes;

    struct sona_learner *learner;
    struct sona_learner_job *job;
    struct sona_pending *pending;
    struct sona_pending_sums *sums;
    struct sona_model_scores scores; /* into the scratch */
    float *query;                    /* dim_padded floats, prepared */

    uint64_t draws;         /* decisions that reached the draw: position in the random stream */
    uint64_t ids;           /* the last one given out; never 0 */
    uint64_t last_decision; /* the last one, 0: none, or it was left out by record_share */
    uint64_t counter[SONA_COUNTER_COUNT];
    uint64_t flushed[3]; /* learned, micro_updates, layer_updates at the last flush */
};

/* Allocate and initialise an engine without routes, from a configuration that is checked here. */
sona_err sona_engine_make(sona_engine **ret, const sona_config *config, sona_diag *reterr);

/* Count a refused event under the reason that belongs to `err`, and return it. */
sona_err sona_engine_refuse(sona_engine *engine, sona_err err);

/* Check a query and prepare it in engine->query. Not counted: a look-up is no event. */
sona_err sona_engine_prepare(sona_engine *engine, const float *x, uint32_t dim);

/* Remember the prepared query under a new id, which is returned. */
uint64_t sona_engine_remember(sona_engine *engine, enum sona_pending_kind kind, sona_route route,
                              float propensity, uint32_t tenant, uint64_t now_ms);

/* The outcome of a decision or the end of a trajectory: join, learn, and run a cycle if due. */
sona_err sona_engine_settle(sona_engine *engine, uint64_t id, float quality, uint32_t latency_us,
                            uint64_t now_ms);

/* Names the state that answers a call; never 0, which would mean that none did. */
static inline uint64_t sona_engine_version(const sona_engine *engine)
{
    return sona_learner_step(engine->learner) + 1;
}

#endif
