/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Tutorial 1 of the seeds, in C: 100 interactions with thumbs up or down, and what was learned. */
#include <math.h>
#include <sona/seeds.h>
#include <stdio.h>

#define DIM 256

static void embed(int i, float *x)
{
    for (int j = 0; j < DIM; j++)
        x[j] = sinf((float)(i * DIM + j) * 0.001f);
}

/* Mean error of the expected quality over the 100 queries. */
static double error_of(sona_engine *engine)
{
    static float scores[SONA_ROUTES_MAX];
    double sum = 0;

    for (int i = 0; i < 100; i++) {
        float x[DIM];

        embed(i, x);
        sona_engine_score(engine, x, DIM, scores);
        sum += fabs((double)scores[0] - (i % 10 < 7 ? 0.9 : 0.3));
    }
    return sum / 100;
}

int main(void)
{
    float x[DIM], activations[DIM], attention[64], optimized[DIM], change = 0;
    int positive = 0, negative = 0;
    sona_engine *engine = NULL;
    sona_config config;
    sona_stats stats;
    sona_diag diag;
    double before;

    /* Steps 1 and 2: configure, create. */
    sona_config_init(&config);
    printf("MicroLoRA rank: %u\nlearning rate: %.3f\npattern clusters: %u\n",
           config.micro_lora_rank, (double)config.micro_lora_lr, config.pattern_clusters);
    if (sona_engine_with_config(&engine, &config, &diag) != SONA_OK)
        return fprintf(stderr, "%s\n", diag.text), 1;
    before = error_of(engine);

    /* Step 3: 100 interactions, seven in ten of them liked. */
    for (int j = 0; j < 64; j++)
        attention[j] = 1.0f / 64;
    for (int i = 0; i < 100; i++) {
        int liked = i % 10 < 7;
        uint64_t id;

        embed(i, x);
        sona_engine_begin_trajectory(engine, x, DIM, (uint64_t)i, &id);
        for (int j = 0; j < DIM; j++)
            activations[j] = tanhf(x[j]);
        sona_engine_add_step(engine, id, activations, DIM, attention, 64, 0.8f);
        sona_engine_set_trajectory_route(engine, id, 0);
        sona_engine_end_trajectory(engine, id, liked ? 0.9f : 0.3f, (uint64_t)i);
        *(liked ? &positive : &negative) += 1;
        sona_engine_tick(engine, (uint64_t)i, NULL);
    }

    /* Step 4: what was learned. */
    sona_engine_stats(engine, &stats);
    printf("positive feedback: %d\nnegative feedback: %d\n", positive, negative);
    printf("trajectories: %llu\npatterns: %u\nmicro updates: %llu\n",
           (unsigned long long)stats.counter[SONA_COUNTER_trajectories], stats.patterns,
           (unsigned long long)stats.counter[SONA_COUNTER_micro_updates]);

    /* Step 5: a new query. */
    for (int j = 0; j < DIM; j++)
        x[j] = 0.5f;
    sona_engine_apply_lora(engine, x, DIM, optimized);
    for (int j = 0; j < DIM; j++)
        change += fabsf(x[j] - optimized[j]);
    printf("embedding change: %.6f\n", (double)change);
    printf("error of the expected quality: %.3f before, %.3f after 100 interactions\n", before,
           error_of(engine));
    sona_engine_destroy(&engine);
    return 0;
}
