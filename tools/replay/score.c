/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "tools/replay/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/fail.h"

sona_err sona_replay_scorer_init(struct sona_replay_scorer *ret,
                                 const struct sona_replay_stream *stream,
                                 struct sona_tools_router *router, sona_diag *reterr)
{
    *ret = (struct sona_replay_scorer){
        .stream = stream,
        .router = router,
        .x = malloc(stream->set->dim * sizeof(float)),
        .score = malloc(sona_tools_router_routes_max(router) * sizeof(float)),
    };
    if (ret->x == NULL || ret->score == NULL)
        return sona_tools_fail(reterr, SONA_E_MEMORY, "not enough memory for the test rows");
    return SONA_OK;
}

void sona_replay_scorer_done(struct sona_replay_scorer *scorer)
{
    free(scorer->x);
    free(scorer->score);
    memset(scorer, 0, sizeof *scorer);
}

/* Score one row; false when the learner cannot. */
static bool score(struct sona_replay_scorer *scorer, const struct sona_replay_phase *phase,
                  uint32_t row, uint32_t tenant)
{
    sona_replay_stream_x(scorer->stream, phase, row, scorer->x);
    return sona_tools_router_score(scorer->router, sona_replay_stream_key(tenant), scorer->x,
                                   scorer->score) == SONA_OK;
}

double sona_replay_scorer_policy(struct sona_replay_scorer *scorer,
                                 const struct sona_replay_phase *phase, const uint32_t *row,
                                 uint32_t n, uint32_t step)
{
    uint32_t n_routes = scorer->stream->set->routes;
    double sum = 0;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t tenant = sona_replay_stream_test_tenant(scorer->stream, row + i), best = 0;

        if (!score(scorer, phase, row[i], tenant))
            return (double)NAN;
        for (uint32_t k = 1; k < n_routes; k++)
            if (scorer->score[k] > scorer->score[best])
                best = k;
        sum += sona_replay_stream_reward(scorer->stream, step, row[i], tenant, best);
    }
    return n > 0 ? sum / n : (double)NAN;
}

double sona_replay_scorer_served(struct sona_replay_scorer *scorer,
                                 const struct sona_replay_phase *phase, const uint32_t *row,
                                 uint32_t n, uint32_t step, bool watch)
{
    double sum = 0;
    sona_diag ignored;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t tenant = sona_replay_stream_test_tenant(scorer->stream, row + i);
        sona_decision decision;

        sona_replay_stream_x(scorer->stream, phase, row[i], scorer->x);
        if (sona_tools_router_choose(scorer->router, sona_replay_stream_key(tenant), scorer->x,
                                     &decision) != SONA_OK ||
            (watch && sona_tools_router_watch(scorer->router, &ignored) != SONA_OK))
            return (double)NAN;
        sum += sona_replay_stream_reward(scorer->stream, step, row[i], tenant,
                                         SONA_ROUTE_INDEX(decision.route));
    }
    return n > 0 ? sum / n : (double)NAN;
}

static int by_advantage(const void *a, const void *b)
{
    double x = ((const struct sona_replay_pair *)a)->advantage;
    double y = ((const struct sona_replay_pair *)b)->advantage;

    return x > y ? -1 : x < y;
}

double sona_replay_apgr(struct sona_replay_pair *pairs, uint32_t n)
{
    double weak = 0, strong = 0, gain = 0, area = 0;

    for (uint32_t i = 0; i < n; i++) {
        weak += pairs[i].weak;
        strong += pairs[i].strong;
    }
    if (n == 0 || fabs(strong - weak) < 1e-12)
        return (double)NAN;
    qsort(pairs, n, sizeof *pairs, by_advantage);
    /* Trapezoids between sending i and i + 1 queries to the strong model. */
    for (uint32_t i = 0; i < n; i++) {
        double next = gain + pairs[i].strong - pairs[i].weak;

        area += (gain + next) / 2;
        gain = next;
    }
    return area / (strong - weak) / n;
}

/* What a route is worth on test row i at the end. */
static double quality_of(const struct sona_replay_stream *stream, uint32_t i, uint32_t route)
{
    return (double)sona_replay_stream_quality(
        stream, stream->length, stream->test[i],
        sona_replay_stream_test_tenant(stream, stream->test + i), route);
}

double sona_replay_scorer_apgr(struct sona_replay_scorer *scorer,
                               const struct sona_replay_phase *phase)
{
    const struct sona_replay_stream *stream = scorer->stream;
    uint32_t n = stream->spec.test, strong;
    struct sona_replay_pair *pairs = calloc(n + 1, sizeof *pairs);
    double sum[2] = {0}, apgr;

    if (pairs == NULL)
        return (double)NAN;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < 2; k++)
            sum[k] += quality_of(stream, i, k);
    strong = sum[1] > sum[0];
    for (uint32_t i = 0; i < n; i++) {
        uint32_t row = stream->test[i];

        if (!score(scorer, phase, row, sona_replay_stream_test_tenant(stream, stream->test + i))) {
            free(pairs);
            return (double)NAN;
        }
        /* The costs shift every advantage alike, and so no threshold. */
        pairs[i] = (struct sona_replay_pair){
            .advantage = (double)scorer->score[strong] - (double)scorer->score[1 - strong],
            .strong = quality_of(stream, i, strong),
            .weak = quality_of(stream, i, 1 - strong),
        };
    }
    apgr = sona_replay_apgr(pairs, n);
    free(pairs);
    return apgr;
}
