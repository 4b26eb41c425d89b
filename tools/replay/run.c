/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "tools/replay/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/fail.h"
#include "tools/random.h"
#include "tools/replay/score.h"
#include "tools/sample.h"

#define PURPOSE_TOLD 3 /* of the random numbers: which outcomes are told */
#define BEFORE_DRIFT 500u
#define RETURNED     50u /* feedbacks after which a task that returned is tested */

const uint32_t sona_replay_mark[SONA_REPLAY_MARKS] = {100, 300, 1000, 3000};

/* An outcome on its way. */
struct late {
    uint64_t id;
    uint32_t due; /* step */
    float quality;
};

struct run {
    const struct sona_replay_setup *setup;
    struct sona_replay_stream stream;
    struct sona_tools_router *router;
    struct sona_replay_scorer scorer;
    float *x, *y;      /* the query, and what apply makes of it */
    double *reward;    /* [length] */
    struct late *late; /* [length] in the order of their due step */
    uint32_t late_first, late_end;
    uint64_t *pushed_at; /* [length] free run: when each outcome told was pushed */
    uint64_t noticed;    /* of them, how many were seen in a snapshot */
    double *after, *end; /* [n_phases] policy right after the phase, and at the end */
    struct sona_tools_sample decide, outcome, apply, visible;
    struct sona_replay_result result;
};

static void run_done(struct run *run)
{
    sona_tools_router_close(&run->router);
    sona_replay_scorer_done(&run->scorer);
    sona_replay_stream_done(&run->stream);
    sona_tools_sample_done(&run->decide);
    sona_tools_sample_done(&run->outcome);
    sona_tools_sample_done(&run->apply);
    sona_tools_sample_done(&run->visible);
    free(run->x);
    free(run->y);
    free(run->reward);
    free(run->late);
    free(run->pushed_at);
    free(run->after);
    free(run->end);
}

/* What the run needs to be itself, then what the user wants different. */
static sona_err make_settings(const struct sona_replay_setup *setup,
                              struct sona_tools_settings *ret, sona_diag *reterr)
{
    sona_err err = SONA_OK;

    ret->count = 0;
    if (setup->preset != NULL)
        err = sona_tools_settings_add(ret, reterr, "preset=%s", setup->preset);
    if (err == SONA_OK)
        err = sona_tools_settings_base(ret, setup->set->dim, setup->set->routes, setup->spec.seed,
                                       reterr);

    if (err == SONA_OK)
        err = sona_tools_settings_add(ret, reterr, "lambda=%.9g", (double)setup->spec.lambda);
    if (err == SONA_OK && setup->spec.tenants > 0 && !setup->separate)
        err = sona_tools_settings_add(ret, reterr, "tenants_max=%u", setup->spec.tenants);
    for (uint32_t i = 0; i < setup->settings.count && err == SONA_OK; i++)
        err = sona_tools_settings_add(ret, reterr, "%s", setup->settings.text[i]);
    return err;
}

static sona_err run_init(struct run *run, sona_diag *reterr)
{
    const struct sona_replay_setup *setup = run->setup;
    struct sona_tools_settings settings;
    struct sona_tools_router_options options = {
        .embedded = setup->embedded,
        .separate = setup->separate,
        .background_thread = setup->free_run,
        .settings = &settings,
        .routes = setup->set->route,
        .n_routes = setup->set->routes,
        .learner = setup->learner,
        .stop = setup->stop,
    };
    sona_err err = sona_replay_stream_init(&run->stream, setup->set, &setup->spec, reterr);
    uint32_t length = run->stream.length, phases = run->stream.n_phases;

    if (err == SONA_OK)
        err = make_settings(setup, &settings, reterr);
    if (err != SONA_OK)
        return err;
    if (setup->curve > 0 && length / setup->curve > SONA_REPLAY_CURVE_MAX)
        return sona_tools_fail(reterr, SONA_E_RANGE,
                               "--curve %u makes more than %u points of %u queries", setup->curve,
                               SONA_REPLAY_CURVE_MAX, length);
    run->x = malloc(setup->set->dim * sizeof *run->x);
    run->y = malloc(setup->set->dim * sizeof *run->y);
    run->reward = malloc(length * sizeof *run->reward);
    run->late = malloc(length * sizeof *run->late);
    run->pushed_at = malloc(length * sizeof *run->pushed_at);
    run->after = malloc(phases * sizeof *run->after);
    run->end = malloc(phases * sizeof *run->end);
    if (run->x == NULL || run->y == NULL || run->reward == NULL || run->late == NULL ||
        run->pushed_at == NULL || run->after == NULL || run->end == NULL ||
        !sona_tools_sample_init(&run->decide, length) ||
        !sona_tools_sample_init(&run->outcome, length) ||
        !sona_tools_sample_init(&run->apply, length) ||
        !sona_tools_sample_init(&run->visible, length))
        return sona_tools_fail(reterr, SONA_E_MEMORY, "not enough memory for a run of %u rows",
                               length);
    err = sona_tools_router_open(&run->router, &options, reterr);
    if (err == SONA_OK)
        err = sona_replay_scorer_init(&run->scorer, &run->stream, run->router, reterr);
    return err;
}

/* Chain the decision into the hash: alike only if every decision is, to the last bit. */
static uint64_t chain(uint64_t h, const sona_decision *decision)
{
    uint32_t word[3] = {decision->route, 0, 0};

    memcpy(&word[1], &decision->propensity, sizeof word[1]);
    memcpy(&word[2], &decision->expected, sizeof word[2]);
    for (int i = 0; i < 3; i++) {
        h = (h ^ word[i]) * 0x9b05688c2b3e6c1full;
        h ^= h >> 29;
    }
    return h;
}

/* A snapshot contains the first `seen` outcomes told: note how long that took, where it is new. */
static void notice(struct run *run, uint64_t seen)
{
    uint64_t now = sona_tools_now_ns();

    for (; run->noticed < seen && run->noticed < run->result.told; run->noticed++)
        sona_tools_sample_add(&run->visible, now - run->pushed_at[run->noticed]);
}

/* Tell the outcomes that are due at `step`, and in lock-step wait until each can be seen. */
static sona_err tell(struct run *run, uint32_t step, sona_diag *reterr)
{
    const struct sona_replay_setup *setup = run->setup;

    for (; run->late_first < run->late_end; run->late_first++) {
        const struct late *late = &run->late[run->late_first];
        uint64_t start;
        bool visible;
        sona_err err;

        if (late->due > step)
            break;
        start = sona_tools_now_ns();
        err = sona_tools_router_outcome(run->router, late->id, late->quality);
        sona_tools_sample_add(&run->outcome, sona_tools_now_ns() - start);
        if (err == SONA_E_FULL) {
            run->result.unrecorded++;
            continue;
        }
        /* An unknown id: the decision was forgotten, which the learner counts as such. */
        if (err != SONA_OK && err != SONA_E_UNKNOWN_ID)
            return sona_tools_fail(reterr, err, "an outcome was refused: %s; %s",
                                   sona_err_text(err), sona_err_remedy(err));
        run->pushed_at[run->result.told++] = start;
        if (setup->free_run || setup->embedded)
            continue;
        err = sona_tools_router_settle(run->router, &visible, reterr);
        if (err != SONA_OK)
            return err;
        if (visible)
            notice(run, run->result.told);
        run->noticed = run->result.told;
    }
    return SONA_OK;
}

static sona_err step(struct run *run, uint32_t t, const struct sona_replay_phase *phase, bool told,
                     sona_diag *reterr)
{
    const struct sona_replay_setup *setup = run->setup;
    uint32_t row = run->stream.row[t], tenant = sona_replay_stream_tenant(&run->stream, t), route;
    uint32_t key = sona_replay_stream_key(tenant);
    sona_decision decision = {0};
    uint64_t start, end;
    float quality;
    sona_err err;

    sona_replay_stream_x(&run->stream, phase, row, run->x);
    start = sona_tools_now_ns();
    err = sona_tools_router_decide(run->router, key, run->x, &decision);
    end = sona_tools_now_ns();
    sona_tools_sample_add(&run->decide, end - start);
    route = SONA_ROUTE_INDEX(decision.route);
    if ((err != SONA_OK && err != SONA_E_FULL) || route >= setup->set->routes)
        return sona_tools_fail(reterr, err != SONA_OK ? err : SONA_E_ROUTE,
                               "query %u was not decided: %s; %s", t, sona_err_text(err),
                               sona_err_remedy(err));
    if (!setup->free_run && !setup->embedded) {
        err = sona_tools_router_watch(run->router, reterr);
        if (err != SONA_OK)
            return err;
    }
    run->result.decisions = chain(run->result.decisions, &decision);
    quality = sona_replay_stream_quality(&run->stream, t, row, tenant, route);
    run->reward[t] = sona_replay_stream_reward(&run->stream, t, row, tenant, route);
    if (decision.id == 0)
        run->result.unrecorded++;
    else if (told)
        run->late[run->late_end++] = (struct late){decision.id, t + setup->delay, quality};
    if (setup->measure_apply) {
        start = sona_tools_now_ns();
        err = sona_tools_router_apply(run->router, run->x, run->y);
        sona_tools_sample_add(&run->apply, sona_tools_now_ns() - start);
        if (err != SONA_OK)
            return sona_tools_fail(reterr, err, "apply failed: %s", sona_err_text(err));
    }
    err = tell(run, t, reterr);
    if (err == SONA_OK && setup->free_run && !setup->embedded)
        notice(run, sona_tools_router_seen(run->router));
    if (setup->on_step != NULL)
        setup->on_step(setup->arg, &(struct sona_replay_step){t + 1, run->stream.length, quality,
                                                              run->reward[t]});
    return err;
}

/* The greedy policy on the held-out rows, when t queries were decided. */
static void policy_mark(struct run *run, uint32_t t, const struct sona_replay_phase *phase)
{
    for (uint32_t m = 0; m < SONA_REPLAY_MARKS; m++)
        if (t == sona_replay_mark[m])
            run->result.policy[m] = sona_replay_scorer_policy(&run->scorer, phase, run->stream.test,
                                                              run->stream.spec.test, t);
}

/* How good the phase's test rows are served by what the learner is now. */
static double test_phase(struct run *run, const struct sona_replay_phase *phase, uint32_t step)
{
    const struct sona_replay_setup *setup = run->setup;

    if (setup->learner != NULL)
        return sona_replay_scorer_policy(&run->scorer, phase, phase->test, phase->n_test, step);
    return sona_replay_scorer_served(&run->scorer, phase, phase->test, phase->n_test, step,
                                     !setup->free_run);
}

static bool returns(const struct run *run, uint32_t p)
{
    return run->stream.spec.order == SONA_REPLAY_RETURNING && p + 1 == run->stream.n_phases;
}

static bool told_to_stop(const struct run *run)
{
    return run->setup->stop != NULL && *run->setup->stop != 0;
}

static sona_err learn(struct run *run, sona_diag *reterr)
{
    const struct sona_replay_setup *setup = run->setup;
    struct sona_tools_random random = sona_tools_random_init(setup->spec.seed, PURPOSE_TOLD);
    uint32_t t = 0;
    sona_err err = SONA_OK;

    for (uint32_t p = 0; p < run->stream.n_phases && err == SONA_OK; p++) {
        const struct sona_replay_phase *phase = &run->stream.phase[p];

        for (; t < phase->first + phase->count && !told_to_stop(run); t++) {
            err = step(run, t, phase, sona_tools_random_unit(&random) < setup->feedback, reterr);
            if (err != SONA_OK)
                break;
            policy_mark(run, t + 1, phase);
            if (setup->resume_at == t + 1)
                err = sona_replay_resume(run->router, &run->result.resumed, reterr);
            if (err != SONA_OK)
                break;
            if (returns(run, p) && t + 1 == phase->first + RETURNED)
                run->result.tested_50 = test_phase(run, phase, t + 1);
        }
        if (told_to_stop(run))
            break;
        if (run->stream.n_phases > 1 && err == SONA_OK)
            run->after[p] = test_phase(run, phase, t);
    }
    run->result.done = t;
    return err;
}

static double mean_between(const double *value, uint32_t from, uint32_t to)
{
    double sum = 0;

    for (uint32_t i = from; i < to; i++)
        sum += value[i];
    return to > from ? sum / (to - from) : (double)NAN;
}

/* The mean reward of a window after the drift; NaN when the stream ends before the window does. */
static double after_drift(const struct run *run, uint32_t from, uint32_t to)
{
    const struct sona_replay_stream *stream = &run->stream;

    return to <= run->result.done - stream->drift_at
               ? mean_between(run->reward, stream->drift_at + from, stream->drift_at + to)
               : (double)NAN;
}

static void sum_up_return(struct run *run)
{
    struct sona_replay_result *result = &run->result;
    uint32_t rows = run->stream.spec.rows, back = run->stream.n_phases - 1;
    uint32_t at = run->stream.phase[back].first;

    result->r_before = mean_between(run->reward, rows > 200 ? rows - 200 : 0, rows);
    if (rows >= RETURNED)
        result->r0_50 = mean_between(run->reward, at, at + RETURNED);
    if (rows >= 200)
        result->r50_200 = mean_between(run->reward, at + RETURNED, at + 200);
    result->tested_before = run->after[0];
    result->tested_after = run->after[back];
}

/* A phase that returns is the first one's second turn: it is in the figures once. */
static void sum_up_phases(struct run *run)
{
    struct sona_replay_result *result = &run->result;
    bool back = returns(run, run->stream.n_phases - 1);
    uint32_t n_phases = run->stream.n_phases - back;
    double after = 0, end = 0, lost = 0;
    uint32_t n = 0, n_lost = 0;

    if (back)
        sum_up_return(run);
    for (uint32_t p = 0; p < n_phases; p++) {
        const struct sona_replay_phase *phase = &run->stream.phase[p];

        if (phase->n_test == 0)
            continue;
        run->end[p] = test_phase(run, phase, run->stream.length);
        after += run->after[p];
        end += run->end[p];
        n++;
        if (back || p + 1 < n_phases) {
            lost += run->after[p] - run->end[p];
            n_lost++;
        }
    }
    result->after = n > 0 ? after / n : (double)NAN;
    result->end = n > 0 ? end / n : (double)NAN;
    result->forgetting = n_lost > 0 ? lost / n_lost : (double)NAN;
}

static void sum_up_curve(struct run *run)
{
    uint32_t width = run->setup->curve;
    struct sona_replay_result *result = &run->result;

    result->n_curve = width > 0 ? result->done / width : 0;
    for (uint32_t i = 0; i < result->n_curve; i++)
        result->curve[i] = (float)mean_between(run->reward, i * width, (i + 1) * width);
}

static void sum_up(struct run *run)
{
    struct sona_replay_result *result = &run->result;
    const struct sona_replay_stream *stream = &run->stream;
    const struct sona_replay_phase *last = &stream->phase[stream->n_phases - 1];
    uint32_t n = result->done;

    result->spec = stream->spec;
    result->mean_reward = mean_between(run->reward, 0, n);
    result->tail_reward = mean_between(run->reward, n - (n + 4) / 5, n);
    sona_replay_stream_baselines(stream, &result->base);
    sum_up_curve(run);
    if (result->interrupted)
        return;
    result->policy[SONA_REPLAY_MARKS] = sona_replay_scorer_policy(
        &run->scorer, last, stream->test, stream->spec.test, stream->length);
    if (stream->drift_at < stream->length) {
        uint32_t at = stream->drift_at;

        result->before = mean_between(run->reward, at > BEFORE_DRIFT ? at - BEFORE_DRIFT : 0, at);
        result->d0_200 = after_drift(run, 0, 200);
        result->d200_500 = after_drift(run, 200, 500);
        result->d500_1000 = after_drift(run, 500, 1000);
    }
    if (stream->n_phases > 1)
        sum_up_phases(run);
    if (stream->set->routes == 2)
        result->apgr = sona_replay_scorer_apgr(&run->scorer, last);
}

static struct sona_replay_latency latency(struct sona_tools_sample *sample)
{
    return (struct sona_replay_latency){
        .p50 = sona_tools_sample_percentile(sample, 0.5),
        .p99 = sona_tools_sample_percentile(sample, 0.99),
    };
}

/* Tell what is still on its way, wait for the learner to take it, and collect every figure. */
static sona_err finish(struct run *run, sona_diag *reterr)
{
    sona_err err = tell(run, UINT32_MAX, reterr);

    if (err == SONA_OK)
        err = sona_tools_router_drain(run->router, reterr);
    if (err != SONA_OK)
        return err;
    if (!run->setup->embedded)
        notice(run, run->result.told);
    sum_up(run);
    run->result.decide = latency(&run->decide);
    run->result.outcome = latency(&run->outcome);
    run->result.apply = latency(&run->apply);
    run->result.visible = latency(&run->visible);
    return sona_tools_router_totals(run->router, &run->result.totals, reterr);
}

sona_err sona_replay_run(const struct sona_replay_setup *setup, struct sona_replay_result *ret,
                         sona_diag *reterr)
{
    struct run run = {.setup = setup};
    struct sona_replay_result *result = &run.result;
    uint64_t start;
    sona_err err;

    for (uint32_t m = 0; m <= SONA_REPLAY_MARKS; m++)
        result->policy[m] = (double)NAN;
    result->before = result->d0_200 = result->d200_500 = result->d500_1000 = (double)NAN;
    result->after = result->end = result->forgetting = result->apgr = (double)NAN;
    result->r_before = result->r0_50 = result->r50_200 = (double)NAN;
    result->tested_before = result->tested_50 = result->tested_after = (double)NAN;
    err = run_init(&run, reterr);
    start = sona_tools_now_ns();
    if (err == SONA_OK)
        err = learn(&run, reterr);
    if (err == SONA_OK && !told_to_stop(&run))
        err = finish(&run, reterr);
    if (told_to_stop(&run) && run.router != NULL) {
        /* A Ctrl-C reaches the sidecar too: that it is gone is then no failure. */
        result->interrupted = true;
        err = SONA_OK;
        sum_up(&run);
    }
    result->seconds = (double)(sona_tools_now_ns() - start) / 1e9;
    if (err == SONA_OK && !result->interrupted && setup->on_end != NULL)
        setup->on_end(setup->arg, run.router);
    run_done(&run);
    if (err == SONA_OK)
        *ret = *result;
    return err;
}
