/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The basic learning loop of the seeds, in C: 1,000 queries with feedback, a background cycle every
 * 100. The queries have topics, and each of three models knows one of them, so that there is
 * something to learn; the engine chooses the model.
 */
#include <sona/seeds.h>
#include <stdio.h>

#define DIM     256
#define MODELS  3
#define QUERIES 1000

/* A small generator, so that the example prints the same everywhere. */
static float dice(void)
{
    static uint64_t state = 1;

    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(state >> 40) / 16777216.0f;
}

int main(void)
{
    sona_route_spec models[MODELS] = {{.name = "small", .prior_quality = 0.5f, .prior_weight = 1},
                                      {.name = "large", .prior_quality = 0.5f, .prior_weight = 1},
                                      {.name = "code", .prior_quality = 0.5f, .prior_weight = 1}};
    float x[DIM], first = 0, last = 0;
    sona_engine *engine = NULL;
    sona_stats stats;
    sona_diag diag;

    if (sona_engine_create(&engine, NULL, models, MODELS, &diag) != SONA_OK)
        return fprintf(stderr, "%s\n", diag.text), 1;
    for (uint64_t n = 0; n < QUERIES; n++) {
        uint32_t topic = (uint32_t)(dice() * MODELS);
        sona_decision decision;
        uint64_t id;
        float quality;

        for (uint32_t i = 0; i < DIM; i++)
            x[i] = 0.1f * (dice() - 0.5f) + (i == topic);
        sona_engine_decide(engine, x, DIM, NULL, n, &decision);
        quality = decision.route == topic ? 0.8f + 0.2f * dice() : 0.4f * dice();
        sona_engine_outcome(engine, decision.id, quality, 100000, n);

        /* The steps on the way, as a trajectory of their own. */
        sona_engine_start_trajectory(engine, x, DIM, n, &id);
        for (uint32_t step = 0; step < 3; step++)
            sona_engine_record_step(engine, id, step, 0.5f + 0.5f * dice(),
                                    50 + (uint32_t)(100 * dice()));
        sona_engine_end_trajectory(engine, id, quality, n);
        if (n % 100 == 0)
            sona_engine_run_background_cycle(engine, n, NULL);
        first += n < 100 ? quality / 100 : 0;
        last += n >= QUERIES - 100 ? quality / 100 : 0;
    }
    sona_engine_stats(engine, &stats);
    printf("trajectories: %llu\n", (unsigned long long)stats.counter[SONA_COUNTER_trajectories]);
    printf("patterns: %u\n", stats.patterns);
    printf("learning cycles: %llu\n",
           (unsigned long long)stats.counter[SONA_COUNTER_background_cycles]);
    printf("mean quality: %.3f of the first 100, %.3f of the last 100\n", (double)first,
           (double)last);
    sona_engine_destroy(&engine);
    return 0;
}
