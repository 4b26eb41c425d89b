/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The quick start of the seeds (Node.js), in C: a configuration by position, an interaction, a
 * thumb and a tick, and again until it has learned. */
#include <math.h>
#include <sona/seeds.h>
#include <stdio.h>

#define DIM 256

static float error_of(sona_engine *engine, const float *query)
{
    static float scores[SONA_ROUTES_MAX];

    sona_engine_score(engine, query, DIM, scores);
    return fabsf(0.90f - scores[0]);
}

int main(void)
{
    float query[DIM], optimized[DIM], before, moved = 0;
    sona_engine *engine = NULL;
    sona_stats stats;
    sona_diag diag;

    /* micro_lora_rank, base_lora_rank, trajectory_buffer_size, ewc_lambda */
    if (sona_engine_with_positions(&engine, 2, 16, 10000, 0.4f, &diag) != SONA_OK)
        return fprintf(stderr, "%s\n", diag.text), 1;
    for (int i = 0; i < DIM; i++)
        query[i] = 0.1f;
    before = error_of(engine, query);
    for (uint64_t n = 0; n < 10; n++) {
        sona_cycle_report report;
        sona_signal_effect effect;
        uint64_t id;

        sona_engine_start_trajectory(engine, query, DIM, n, &id);
        sona_engine_record_step(engine, id, 42, 0.85f, 150);
        sona_engine_record_step(engine, id, 17, 0.92f, 120);
        sona_engine_set_trajectory_route(engine, id, 0);
        sona_engine_end_trajectory(engine, id, 0.90f, n);
        sona_signal thumb = sona_signal_feedback(true, 50, 0.95f);
        sona_engine_learn(engine, &thumb, n, &effect);
        sona_engine_tick(engine, n, &report);
    }
    sona_engine_apply_lora(engine, query, DIM, optimized);
    for (int i = 0; i < DIM; i++)
        moved += fabsf(optimized[i] - query[i]);
    sona_engine_stats(engine, &stats);
    printf("error of the expected quality: %.3f before, %.3f after 10 interactions\n",
           (double)before, (double)error_of(engine, query));
    printf("the embedding %s; %llu learned, %llu thumbs up\n", moved > 0 ? "moved" : "did not move",
           (unsigned long long)stats.counter[SONA_COUNTER_learned],
           (unsigned long long)stats.counter[SONA_COUNTER_signals]);
    sona_engine_destroy(&engine);
    return 0;
}
