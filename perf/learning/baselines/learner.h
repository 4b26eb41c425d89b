/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A baseline in SONA's place: joins outcomes, however late, with their decisions, normalises the
 * embedding as SONA does, and reads "linucb:ridge=3,alpha=0.3".
 */
#ifndef SONA_PERF_LEARNER_H
#define SONA_PERF_LEARNER_H

#include <sona/error.h>

#include "baseline.h"
#include "tools/dataset.h"
#include "tools/router.h"

/* A baseline with its parameters set. */
struct sona_baseline_choice {
    const struct sona_baseline *baseline;
    double param[SONA_BASELINE_PARAMS_MAX];
    bool told_cost; /* the learner is told quality - cost, and decides without costs */
};

/* SONA_E_ARGUMENT: the diagnostic says what is not known or out of range. */
sona_err sona_baseline_parse(struct sona_baseline_choice *ret, const char *text, sona_diag *reterr);

/* Start one for a set; *ret_learner is what a replay takes, and points into *ret. SONA_E_MEMORY. */
struct sona_baseline_learner;
sona_err sona_baseline_open(struct sona_baseline_learner **ret,
                            const struct sona_baseline_choice *choice,
                            const struct sona_tools_dataset *set, double lambda, uint64_t seed,
                            const struct sona_tools_learner **ret_learner, sona_diag *reterr);
/* Null is fine; clears the pointer. */
void sona_baseline_close(struct sona_baseline_learner **learner);

#endif
