/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The quick start of the seeds (Rust), in C: two routing steps, one outcome, one thumb. */
#include <math.h>
#include <sona/seeds.h>
#include <stdio.h>

#define DIM 256

int main(void)
{
    static float scores[SONA_ROUTES_MAX];
    float query[DIM], next[DIM], optimized[DIM], before;
    sona_engine *engine = NULL;
    sona_config config;
    sona_stats stats;
    sona_diag diag;
    uint64_t id;

    /* 1. Create an engine with a configuration. */
    sona_config_init(&config);
    config.hidden_dim = DIM;
    config.micro_lora_rank = 2;
    config.base_lora_rank = 16;
    if (sona_engine_with_config(&engine, &config, &diag) != SONA_OK)
        return fprintf(stderr, "%s\n", diag.text), 1;
    for (int i = 0; i < DIM; i++) {
        query[i] = 0.1f;
        next[i] = 1.0f;
    }
    sona_engine_score(engine, query, DIM, scores);
    before = fabsf(0.9f - scores[0]);

    /* 2. Record a query, 3. the routing decisions, 4. the outcome. */
    sona_engine_start_trajectory(engine, query, DIM, 0, &id);
    sona_engine_record_step(engine, id, 42, 0.85f, 150);
    sona_engine_record_step(engine, id, 17, 0.92f, 120);
    sona_engine_set_trajectory_route(engine, id, 0);
    sona_engine_end_trajectory(engine, id, 0.90f, 0);

    /* 5. Learn from what the user said. No decision was made here, so it moves the baseline that
     * rewards are measured by. */
    sona_signal thumb = sona_signal_feedback(true, 50, 0.95f);
    sona_signal_effect effect;
    sona_engine_learn(engine, &thumb, 0, &effect);

    /* 6. Apply what was learned to the next query. */
    sona_engine_apply_lora(engine, next, DIM, optimized);
    sona_engine_score(engine, query, DIM, scores);
    sona_engine_stats(engine, &stats);
    printf("error of the expected quality: %.3f before, %.3f after one interaction\n",
           (double)before, (double)fabsf(0.9f - scores[0]));
    printf("steps by node:");
    for (uint32_t i = 0; i < stats.n_nodes; i++)
        printf(" %u (score %.2f, %.0f us)", stats.node[i].node, stats.node[i].mean_score,
               stats.node[i].mean_latency_us);
    printf("\n");
    sona_engine_destroy(&engine);
    return 0;
}
