/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * One run: a learner meets a stream, query by query, and sees only the quality of what it chose.
 *
 *     for each query:  decide ─► (reward is counted) ─► outcome, now or late or never
 *                      lock-step: wait until the snapshot that decides next contains the outcome
 *
 * Everything reported is counted here, from the decisions taken; what became of the events is read
 * from the learner's own counters.
 */
#ifndef SONA_TOOLS_REPLAY_RUN_H
#define SONA_TOOLS_REPLAY_RUN_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include <sona/error.h>

#include "tools/replay/resume.h"
#include "tools/replay/stream.h"
#include "tools/router.h"

#define SONA_REPLAY_MARKS 4u /* policy_at 100, 300, 1000, 3000; the end is extra */
extern const uint32_t sona_replay_mark[SONA_REPLAY_MARKS];
#define SONA_REPLAY_CURVE_MAX 512u /* points of a learning curve */

/* One feedback, as a display may want it. */
struct sona_replay_step {
    uint32_t done, length; /* queries decided so far, and in all */
    float quality;         /* of the chosen route */
    double reward;
};

struct sona_replay_setup {
    const struct sona_tools_dataset *set;
    struct sona_replay_spec spec;
    const char *preset;                  /* to begin with; null: the defaults */
    struct sona_tools_settings settings; /* what the user wants different */
    bool embedded;
    bool free_run;   /* do not wait for the snapshot after an outcome */
    double feedback; /* share of the outcomes that is told, 0..1 */
    uint32_t delay;  /* decisions between a decision and its outcome */
    uint32_t
        resume_at;  /* queries after which the learner is saved and loaded; 0: never. Embedded */
    uint32_t curve; /* queries for each point of the curve; 0: none */
    /* Not null: another learner in SONA's place (perf/learning). Borrowed; `embedded` must be set.
     */
    const struct sona_tools_learner *learner;
    bool separate;                     /* a learner for every tenant; embedded only */
    bool measure_apply;                /* call and time sona_apply() for every query too */
    const volatile sig_atomic_t *stop; /* not null: end early when it becomes true */
    void (*on_step)(void *arg, const struct sona_replay_step *step); /* may be null */
    /* May be null. Called at the end, before the sidecar stops. */
    void (*on_end)(void *arg, struct sona_tools_router *router);
    void *arg;
};

struct sona_replay_latency {
    double p50, p99; /* nanoseconds; NaN: nothing measured */
};

struct sona_replay_result {
    struct sona_replay_spec spec; /* rows and test filled in */
    uint32_t done;                /* queries decided; below the stream's length when stopped */
    bool interrupted;
    double mean_reward, tail_reward;
    struct sona_replay_baselines base;
    double policy[SONA_REPLAY_MARKS + 1];       /* the last is the end; NaN: not reached */
    double before, d0_200, d200_500, d500_1000; /* drift; NaN else */
    double after, end, forgetting;              /* blocks, tasks; NaN else */
    /* returning: reward of the last 200 of the first turn, then after the return; the first task's
     * test after its turn, 50 feedbacks after the return, and at its end; NaN else */
    double r_before, r0_50, r50_200, tested_before, tested_50, tested_after;
    double apgr;                        /* two routes; NaN else */
    uint32_t n_curve;                   /* whole points of `curve` queries each */
    float curve[SONA_REPLAY_CURVE_MAX]; /* mean reward of each */
    struct sona_replay_latency decide, outcome, apply, visible;
    uint64_t told;       /* outcomes told */
    uint64_t unrecorded; /* decisions and outcomes that met a full ring: nothing was told */
    uint64_t decisions;  /* hash over route, propensity and expectation of every decision */
    struct sona_replay_resumed resumed;
    double seconds; /* of the whole loop */
    struct sona_tools_totals totals;
};

/* Run. The diagnostic says what failed. */
sona_err sona_replay_run(const struct sona_replay_setup *setup, struct sona_replay_result *ret,
                         sona_diag *reterr);

/* Area under (quality gain over the weak model / gap) against the share of queries sent to the
 * strong one, over all thresholds of `advantage` (higher: more for the strong one). n >= 1 rows of
 * the qualities of both; NaN when there is no gap. Sorts its input. */
struct sona_replay_pair {
    double advantage, strong, weak;
};
double sona_replay_apgr(struct sona_replay_pair *pairs, uint32_t n);

#endif
