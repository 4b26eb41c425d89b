/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What a learner would do on rows it never learns from: the greedy policy, without exploring and
 * without recording anything.
 */
#ifndef SONA_TOOLS_REPLAY_SCORE_H
#define SONA_TOOLS_REPLAY_SCORE_H

#include "tools/replay/run.h"
#include "tools/replay/stream.h"
#include "tools/router.h"

struct sona_replay_scorer {
    const struct sona_replay_stream *stream; /* borrowed, as the router */
    struct sona_tools_router *router;
    float *x, *score;
};

sona_err sona_replay_scorer_init(struct sona_replay_scorer *ret,
                                 const struct sona_replay_stream *stream,
                                 struct sona_tools_router *router, sona_diag *reterr);
void sona_replay_scorer_done(struct sona_replay_scorer *scorer);

/* Mean reward of always taking the highest score on n rows, as `phase` shows them and as they are
 * worth at `step`. NaN for no row, or when the learner cannot score. */
double sona_replay_scorer_policy(struct sona_replay_scorer *scorer,
                                 const struct sona_replay_phase *phase, const uint32_t *row,
                                 uint32_t n, uint32_t step);
/* The same through decide, without exploring and without telling an outcome: the learner sees the
 * queries, as it would in service. Another learner is scored. In lock-step (`watch`) each waits for
 * the last. */
double sona_replay_scorer_served(struct sona_replay_scorer *scorer,
                                 const struct sona_replay_phase *phase, const uint32_t *row,
                                 uint32_t n, uint32_t step, bool watch);
/* APGR of the two routes on the test rows, at the end; NaN when there is none. */
double sona_replay_scorer_apgr(struct sona_replay_scorer *scorer,
                               const struct sona_replay_phase *phase);

#endif
