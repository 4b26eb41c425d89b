/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What it costs to save and load a learner whose tables are full: replay, every route, the bank,
 * and a background job that runs. One JSON object per setting.
 * usage: state-cost [DIM ROUTES REPLAY PATTERNS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/learner/save.h"
#include "engine/learner/state.h"
#include "tools/random.h"
#include "tools/sample.h"

#define REPEAT 7

struct cost {
    size_t block, bytes, with_job;
    double copy_ms, seal_ms, open_ms, load_ms;
};

static void fill_bank(struct sona_learner *l, struct sona_tools_random *dice)
{
    struct sona_model_cold *cold = sona_learner_cold(l);

    cold->n_bank = l->layout.bank.count;
    for (uint32_t c = 0; c < cold->n_bank; c++) {
        *sona_model_bank_row(&l->layout, cold, c) =
            (struct sona_model_bank){.id = c + 1, .mass = 1, .weight = 1, .sum = 0.5f};
        sona_model_bank_part(
            &l->layout, cold, c,
            l->layout.bank_centroid)[sona_tools_random_below(dice, l->layout.geometry.dim)] = 1;
    }
    sona_model_index_bank(&l->layout, cold, cold->n_bank);
}

static struct sona_learner *fill(const sona_config *config, uint32_t routes,
                                 struct sona_tools_random *dice)
{
    struct sona_learner *l =
        sona_learner_init(aligned_alloc(64, sona_learner_bytes(config)), config);
    float *x = calloc(l->layout.dim_padded, sizeof *x), *raw = calloc(config->embedding_dim, 4);

    for (uint32_t k = 0; k < routes; k++) {
        sona_route_spec spec = {.prior_quality = 0.5f, .prior_weight = 1};
        sona_route ignored;

        (void)snprintf(spec.name, sizeof spec.name, "route-%u", k);
        (void)sona_learner_route_add(l, &spec, &ignored);
    }
    for (uint32_t i = 0; i < config->replay_capacity; i++) {
        for (uint32_t d = 0; d < config->embedding_dim; d++)
            raw[d] = (float)sona_tools_random_unit(dice) - 0.5f;
        (void)sona_model_prepare(&l->layout, raw, x);
        (void)sona_learner_learn(
            l, &(struct sona_learner_event){.id = i + 1,
                                            .x = x,
                                            .route = sona_tools_random_below(dice, routes),
                                            .quality = (float)sona_tools_random_unit(dice)});
    }
    fill_bank(l, dice);
    free(raw);
    free(x);
    return l;
}

static size_t needed(const struct sona_learner *l, const struct sona_learner_job *job)
{
    struct sona_state_writer writer;

    sona_state_writer_init(&writer, NULL, 0);
    sona_learner_save(l, job, &writer);
    return writer.end;
}

static double least(double now, double best)
{
    return best == 0 || now < best ? now : best;
}

static void measure(struct sona_learner *l, struct sona_learner_job *job, struct cost *ret)
{
    unsigned char *bytes = malloc(ret->bytes);
    void *memory = aligned_alloc(64, sona_learner_bytes(&l->config));

    for (int i = 0; i < REPEAT; i++) {
        struct sona_state_writer writer;
        struct sona_state_reader reader;
        struct sona_learner *loaded = sona_learner_init(memory, &l->config);
        uint64_t at[5];
        sona_diag diag = {.text = ""};
        bool running;

        at[0] = sona_tools_now_ns();
        sona_state_writer_init(&writer, bytes, ret->bytes);
        sona_learner_save(l, job, &writer);
        (void)sona_state_writer_end(&writer, sona_learner_save_layout());
        at[1] = sona_tools_now_ns();
        (void)sona_state_seal(bytes, ret->bytes);
        at[2] = sona_tools_now_ns();
        if (sona_state_reader_open(&reader, bytes, ret->bytes, sona_learner_save_layout(), &diag) !=
            SONA_OK)
            fprintf(stderr, "%s\n", diag.text), exit(1);
        at[3] = sona_tools_now_ns();
        if (sona_learner_load(loaded, job, SONA_LEARNER_KEYS_NOW, &reader, &running) != SONA_OK)
            fprintf(stderr, "%s\n", diag.text), exit(1);
        at[4] = sona_tools_now_ns();
        ret->copy_ms = least((double)(at[1] - at[0]) / 1e6, ret->copy_ms);
        ret->seal_ms = least((double)(at[2] - at[1]) / 1e6, ret->seal_ms);
        ret->open_ms = least((double)(at[3] - at[2]) / 1e6, ret->open_ms);
        ret->load_ms = least((double)(at[4] - at[3]) / 1e6, ret->load_ms);
    }
    free(bytes);
    free(memory);
}

static void report(uint32_t dim, uint32_t routes, uint32_t replay, uint32_t patterns)
{
    struct sona_tools_random dice = sona_tools_random_init(1, 0);
    struct sona_learner_job *job;
    struct sona_learner *l;
    struct cost cost = {.block = 0};
    sona_config config;

    sona_config_init(&config);
    config.hidden_dim = config.embedding_dim = dim;
    config.routes_max = routes;
    config.replay_capacity = replay;
    config.pattern_clusters = patterns;
    l = fill(&config, routes, &dice);
    job = sona_learner_job_init(aligned_alloc(64, sona_learner_job_bytes(&config)), &config);
    cost.block = sona_learner_bytes(&config);
    cost.bytes = needed(l, NULL);
    measure(l, NULL, &cost);
    (void)sona_learner_cycle_start(l, job, 0);
    cost.with_job = needed(l, job) - cost.bytes;
    printf("{\"dim\": %u, \"routes\": %u, \"replay\": %u, \"patterns\": %u, \"block_bytes\": %zu, "
           "\"state_bytes\": %zu, \"job_bytes\": %zu, \"copy_ms\": %.2f, \"seal_ms\": %.2f, "
           "\"open_ms\": %.2f, \"load_ms\": %.2f}\n",
           dim, routes, replay, patterns, cost.block, cost.bytes, cost.with_job, cost.copy_ms,
           cost.seal_ms, cost.open_ms, cost.load_ms);
    free(job);
    free(l);
}

int main(int argc, char **argv)
{
    if (argc == 5) {
        report((uint32_t)strtoul(argv[1], NULL, 10), (uint32_t)strtoul(argv[2], NULL, 10),
               (uint32_t)strtoul(argv[3], NULL, 10), (uint32_t)strtoul(argv[4], NULL, 10));
        return 0;
    }
    report(256, 9, 5000, 100);
    report(1536, 256, 5000, 10000);
    return 0;
}
