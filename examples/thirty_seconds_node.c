/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The thirty-second example of the seeds (Node.js), in C, and again until it has learned. */
#include <math.h>
#include <sona/seeds.h>
#include <stdio.h>

#define DIM 256

static float error_of(sona_engine *engine, const float *query)
{
    static float scores[SONA_ROUTES_MAX];

    sona_engine_score(engine, query, DIM, scores);
    return fabsf(0.85f - scores[0]);
}

int main(void)
{
    float query[DIM], activations[DIM], attention[64], before;
    sona_engine *engine = NULL;
    sona_diag diag;

    if (sona_engine_new(&engine, DIM, &diag) != SONA_OK)
        return fprintf(stderr, "%s\n", diag.text), 1;
    for (int i = 0; i < DIM; i++) {
        query[i] = 0.1f;
        activations[i] = 0.5f;
    }
    for (int i = 0; i < 64; i++)
        attention[i] = 0.8f;
    before = error_of(engine, query);
    for (uint64_t n = 0; n < 20; n++) {
        uint64_t id;

        sona_engine_begin_trajectory(engine, query, DIM, n, &id);
        sona_engine_add_trajectory_step(engine, id, activations, DIM, attention, 64, 0.9f);
        sona_engine_set_trajectory_route(engine, id, 0);
        sona_engine_end_trajectory(engine, id, 0.85f, n);
    }
    printf("error of the expected quality: %.3f before, %.3f after 20 interactions\n",
           (double)before, (double)error_of(engine, query));
    sona_engine_destroy(&engine);
    return 0;
}
