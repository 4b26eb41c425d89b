/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The thirty-second example of the seeds (Rust), in C: one interaction, recorded and learned. */
#include <math.h>
#include <sona/seeds.h>
#include <stdio.h>

#define DIM 256

int main(void)
{
    static char stats[SONA_STATS_JSON_MAX];
    float query[DIM], activations[DIM], attention[64], optimized[DIM], before, after;
    sona_engine *engine = NULL;
    sona_diag diag;
    uint64_t id;
    size_t bytes;

    /* 1. Create an engine. */
    if (sona_engine_new(&engine, DIM, &diag) != SONA_OK)
        return fprintf(stderr, "%s\n", diag.text), 1;
    for (int i = 0; i < DIM; i++) {
        query[i] = 0.1f;
        activations[i] = 0.5f;
    }
    for (int i = 0; i < 64; i++)
        attention[i] = 0.8f;
    static float scores[SONA_ROUTES_MAX];
    sona_engine_score(engine, query, DIM, scores);
    before = scores[0];

    /* 2. Record a user interaction: who asked what, ... */
    sona_engine_begin_trajectory(engine, query, DIM, 0, &id);
    /* 3. ... what happened, and which model answered, ... */
    sona_engine_add_step(engine, id, activations, DIM, attention, 64, 0.9f);
    sona_engine_set_trajectory_route(engine, id, 0);
    /* 4. ... and how good it was (0 bad, 1 perfect). */
    sona_engine_end_trajectory(engine, id, 0.85f, 0);

    /* 5. Apply what was learned to the next query. */
    for (int i = 0; i < DIM; i++)
        query[i] = 0.2f;
    sona_engine_apply_micro_lora(engine, query, DIM, optimized);
    sona_engine_score(engine, query, DIM, scores);
    after = scores[0];
    sona_engine_get_stats(engine, stats, sizeof stats, &bytes);
    printf("error of the expected quality: %.3f before, %.3f after one interaction\n",
           (double)fabsf(0.85f - before), (double)fabsf(0.85f - after));
    printf("statistics: %zu bytes of JSON\n", bytes);
    sona_engine_destroy(&engine);
    return 0;
}
