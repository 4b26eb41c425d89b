/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* One client and its sidecar, and one engine: told the same in the same order, they know the same
 * to the last bit, whatever is taken back, replaced or changed in between. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <sona/engine.h>

#include "reload_fixture.h"

#define ROUNDS 400
#define ROUTES 3

struct pair {
    struct stage stage;
    sona_client *client;
    sona_lane *lane;
    sona_engine *engine;
    sona_config config; /* of the engine */
    uint64_t rng;
    /* The last decisions, by both names. */
    struct {
        uint64_t here, there;
    } id[64];
    uint32_t n;
};

static uint64_t draw(struct pair *p, uint64_t below)
{
    uint64_t z = (p->rng += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (z ^ z >> 31) % below;
}

/* `file`: a configuration of the sidecar's, or null. */
static void open_pair(struct pair *p, bool ewc, const char *file)
{
    const char *const more[] = {"--background",
                                "inline",
                                "--set=replay_capacity=128",
                                "--set=seed=1",
                                ewc ? "--set=ewc=on" : "--set=ewc=off",
                                file ? "-c" : NULL,
                                file,
                                NULL};
    static const char *const names[ROUTES] = {"a", "b", "c"};
    sona_route_spec specs[ROUTES];
    sona_config config;
    sona_diag diag;

    memset(p, 0, sizeof *p);
    p->rng = 20261122;
    stage_open(&p->stage, more);
    p->client = stage_client(&p->stage, 1);
    p->lane = stage_lane(p->client);
    sona_config_init(&config);
    config.embedding_dim = config.hidden_dim = STAGE_DIM;
    config.attention_dim = 4;
    config.base_lora_layers = 2;
    config.replay_capacity = 128;
    config.seed = 1;
    config.ewc = ewc;
    p->config = config;
    for (int k = 0; k < ROUTES; k++) {
        specs[k] = (sona_route_spec){.prior_quality = 0.5f, .prior_weight = 1};
        (void)snprintf(specs[k].name, sizeof specs[k].name, "%s", names[k]);
    }
    cr_assert(eq(int, sona_engine_create(&p->engine, &config, specs, ROUTES, &diag), SONA_OK), "%s",
              diag.text);
}

static void close_pair(struct pair *p)
{
    sona_engine_destroy(&p->engine);
    sona_lane_release(&p->lane);
    sona_client_close(&p->client);
    stage_close(&p->stage);
}

static void command(const struct pair *p, struct sona_control_request c)
{
    char *text = NULL;
    sona_diag diag = {0};

    cr_assert(
        eq(int,
           sona_tools_ask(p->stage.spawn.runtime_dir, p->stage.spawn.instance, &c, &text, &diag),
           SONA_OK),
        "%s", diag.text);
    free(text);
}

/* All that was said is learned and published. */
static void flush(const struct pair *p)
{
    command(p, (struct sona_control_request){.what = SONA_CONTROL_FLUSH});
}

static void decide(struct pair *p, uint64_t round)
{
    sona_decision here, there;
    float x[STAGE_DIM];

    stage_query(round % 23, x);
    cr_assert(eq(int, sona_engine_decide(p->engine, x, STAGE_DIM, NULL, 0, &here), SONA_OK));
    cr_assert(eq(int, sona_decide(p->lane, x, STAGE_DIM, NULL, &there), SONA_OK));
    cr_assert(eq(u32, here.route, there.route), "round %llu", (unsigned long long)round);
    cr_assert(zero(int, memcmp(&here.propensity, &there.propensity, sizeof here.propensity)),
              "round %llu", (unsigned long long)round);
    cr_assert(zero(int, memcmp(here.scores, there.scores, ROUTES * sizeof(float))), "round %llu",
              (unsigned long long)round);
    p->id[p->n % 64].here = here.id;
    p->id[p->n % 64].there = there.id;
    p->n++;
}

static void tell(struct pair *p)
{
    uint32_t at = (uint32_t)draw(p, p->n < 64 ? p->n : 64);
    float quality = (float)draw(p, 5) / 4;

    if (draw(p, 6) == 0) {
        sona_signal here = sona_signal_feedback(true, 3, quality), there;
        float g[STAGE_DIM];

        stage_query(draw(p, 99), g);
        if (draw(p, 2))
            here = sona_signal_with_gradient(here, g, STAGE_DIM);
        there = here;
        if (draw(p, 2)) {
            here.id = p->id[at].here;
            there.id = p->id[at].there;
        }
        (void)sona_engine_learn(p->engine, &here, 0, NULL);
        cr_assert(eq(int, sona_learn(p->lane, &there, NULL), SONA_OK));
    } else if (draw(p, 5) == 0) {
        (void)sona_engine_revoke(p->engine, p->id[at].here, 0);
        cr_assert(eq(int, sona_outcome_revoke(p->lane, p->id[at].there), SONA_OK));
    } else {
        (void)sona_engine_outcome(p->engine, p->id[at].here, quality, 0, 0);
        cr_assert(eq(int, sona_outcome(p->lane, p->id[at].there, quality, NULL), SONA_OK));
    }
}

/* The bank, faded, pruned and consolidated at the same place of both lives. */
static void tend_bank(const struct pair *p)
{
    const sona_prune_rule rule = {.min_quality = 0.45f, .min_accesses = UINT64_MAX};
    sona_bank_report decayed, pruned, merged;

    cr_assert(eq(int, sona_engine_patterns_decay(p->engine, 0.5f, &decayed), SONA_OK));
    cr_assert(eq(int, sona_engine_patterns_prune(p->engine, &rule, &pruned), SONA_OK));
    cr_assert(eq(int, sona_engine_patterns_consolidate(p->engine, 0.3f, &merged), SONA_OK));
    cr_assert(gt(u32, pruned.pruned, 0));
    cr_assert(gt(u32, merged.merged, 0));
    cr_assert(gt(u32, merged.patterns, 1));
    command(p, (struct sona_control_request){.what = SONA_CONTROL_PATTERNS_DECAY, .amount = 0.5f});
    command(p, (struct sona_control_request){.what = SONA_CONTROL_PATTERNS_PRUNE, .rule = rule});
    command(p, (struct sona_control_request){.what = SONA_CONTROL_PATTERNS_CONSOLIDATE,
                                             .amount = 0.3f});
}

/* What can be asked of both is answered alike. */
static void assert_same_answers(const struct pair *p)
{
    float x[3 * STAGE_DIM], here[3 * STAGE_DIM], there[3 * STAGE_DIM];
    sona_pattern ours[8], theirs[8];
    uint32_t n = 0, m = 0;

    memset(ours, 0, sizeof ours); /* what is not there is not compared */
    memset(theirs, 0, sizeof theirs);
    for (uint64_t i = 0; i < 3; i++)
        stage_query(i, x + i * STAGE_DIM);
#define SAME(engine_call, client_call)        \
    cr_assert(eq(int, engine_call, SONA_OK)); \
    cr_assert(eq(int, client_call, SONA_OK)); \
    cr_assert(zero(int, memcmp(here, there, sizeof here)))
    SAME(sona_engine_apply_batch(p->engine, 3, x, STAGE_DIM, here),
         sona_apply_batch(p->lane, 3, x, STAGE_DIM, there, NULL));
    SAME(sona_engine_apply_micro_batch(p->engine, 3, x, STAGE_DIM, here),
         sona_apply_micro_batch(p->lane, 3, x, STAGE_DIM, there, NULL));
    SAME(sona_engine_apply_base_batch(p->engine, 0, 3, x, STAGE_DIM, here),
         sona_apply_base_batch(p->lane, 0, 3, x, STAGE_DIM, there, NULL));
    SAME(sona_engine_merge_into(p->engine, SONA_LAYER_BOTH, x, 3, STAGE_DIM, here),
         sona_merge_into(p->lane, SONA_LAYER_BOTH, x, 3, STAGE_DIM, there, NULL));
#undef SAME
    cr_assert(eq(int, sona_engine_find_patterns(p->engine, x, STAGE_DIM, 8, ours, &n), SONA_OK));
    cr_assert(eq(int, sona_find_patterns(p->lane, x, STAGE_DIM, 8, theirs, &m), SONA_OK));
    cr_assert(eq(u32, n, m));
    cr_assert(gt(u32, n, 1));
    for (uint32_t i = 0; i < n; i++) {
        memcpy(ours[i].examples, theirs[i].examples, sizeof ours[i].examples); /* other names */
        cr_assert(zero(int, memcmp(&ours[i], &theirs[i], sizeof ours[i])), "pattern %u", i);
    }
}

Test(alike, whatever_is_told_again_or_taken_back, .timeout = 120)
{
    static const sona_counter same[] = {
        SONA_COUNTER_learned,   SONA_COUNTER_replaced,          SONA_COUNTER_revoked,
        SONA_COUNTER_withdrawn, SONA_COUNTER_drop_duplicate,    SONA_COUNTER_drop_revoked,
        SONA_COUNTER_joined,    SONA_COUNTER_background_cycles, SONA_COUNTER_gradient_updates};
    struct pair p;
    sona_stats stats;

    open_pair(&p, false, NULL);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        decide(&p, round);
        for (uint64_t n = draw(&p, 4); n > 0; n--)
            tell(&p);
        flush(&p);
        if (round == 200) {
            cr_assert(eq(int, sona_engine_route_mode(p.engine, 1, SONA_MODE_OBSERVE), SONA_OK));
            command(&p, (struct sona_control_request){.what = SONA_CONTROL_ROUTE_MODE,
                                                      .mode = SONA_MODE_OBSERVE,
                                                      .spec.name = "b"});
        }
        if (round == 300) {
            sona_cycle_report report;

            cr_assert(eq(int, sona_engine_learn_now(p.engine, 0, &report), SONA_OK));
            command(&p, (struct sona_control_request){.what = SONA_CONTROL_LEARN});
            tend_bank(&p);
        }
    }
    assert_same_answers(&p);
    sona_engine_stats(p.engine, &stats);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        cr_assert(gt(u64, stats.counter[same[i]], 0), "%s", sona_counter_name(same[i]));
        cr_assert(
            eq(u64, stage_counter(&p.stage, sona_counter_name(same[i])), stats.counter[same[i]]),
            "%s", sona_counter_name(same[i]));
    }
    close_pair(&p);
}

Test(alike, ewc_across_the_ends_of_tasks, .timeout = 120)
{
    static const sona_counter same[] = {SONA_COUNTER_learned, SONA_COUNTER_ewc_boundaries,
                                        SONA_COUNTER_ewc_holds};
    struct pair p;
    sona_stats stats;

    open_pair(&p, true, NULL);
    for (uint64_t round = 0; round < 200; round++) {
        decide(&p, round);
        for (uint64_t n = draw(&p, 4); n > 0; n--)
            tell(&p);
        flush(&p);
        if (round % 60 == 50) {
            cr_assert(eq(int, sona_engine_ewc_boundary(p.engine, NULL, NULL), SONA_OK));
            command(&p, (struct sona_control_request){.what = SONA_CONTROL_EWC_BOUNDARY});
        }
    }
    sona_engine_stats(p.engine, &stats);
    cr_assert(eq(u32, stats.ewc_tasks, 3));
    cr_assert(gt(dbl, stats.ewc_penalty, 0));
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        cr_assert(gt(u64, stats.counter[same[i]], 0), "%s", sona_counter_name(same[i]));
        cr_assert(
            eq(u64, stage_counter(&p.stage, sona_counter_name(same[i])), stats.counter[same[i]]),
            "%s", sona_counter_name(same[i]));
    }
    cr_assert(eq(u64, stage_counter(&p.stage, "ewc_tasks"), 3));
    close_pair(&p);
}

Test(alike, a_configuration_that_changes_in_between, .timeout = 120)
{
    struct reload_file file;
    struct pair p;
    sona_diag diag;

    reload_open(&file, "");
    open_pair(&p, false, file.path);
    for (uint64_t round = 0; round < 300; round++) {
        decide(&p, round);
        for (uint64_t n = draw(&p, 4); n > 0; n--)
            tell(&p);
        flush(&p);
        if (round % 100 != 50)
            continue;
        p.config.micro_lora_lr = round == 50 ? 0.05f : 0.01f;
        p.config.lora_dropout = round == 50 ? 0.25f : 0;
        p.config.max_explore = 0.5f;
        p.config.consolidation_interval = 20;
        p.config.pattern_similarity = 0.5f;
        p.config.drift = round == 250;
        reload_write(
            &file, round == 50 ? "learner: {micro_lora_lr: 0.05, lora_dropout: 0.25, max_explore: "
                                 "0.5, consolidation_interval: 20, pattern_similarity: 0.5, "
                                 "drift: off}\n"
                   : round == 150
                       ? "learner: {micro_lora_lr: 0.01, max_explore: 0.5, "
                         "consolidation_interval: 20, pattern_similarity: 0.5, drift: off}\n"
                       : "learner: {micro_lora_lr: 0.01, max_explore: 0.5, "
                         "consolidation_interval: 20, pattern_similarity: 0.5}\n");
        reload_await(&p.stage, round == 250 ? "learner.drift" : "learner.micro_lora_lr",
                     round == 50    ? "0.05"
                     : round == 150 ? "0.01"
                                    : "true");
        cr_assert(eq(int, sona_engine_configure(p.engine, &p.config, &diag), SONA_OK), "%s",
                  diag.text);
    }
    assert_same_answers(&p);
    close_pair(&p);
    reload_close(&file);
}
