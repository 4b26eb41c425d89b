/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The pattern bank: what it keeps, by which rule, and what callers can do with it. */
#include "tests/engine/engine_fixture.h"

#include <math.h>

#define WIDE   64
#define TOPICS 50u

static sona_config bank_config(void)
{
    sona_config config = small_config();

    config.hidden_dim = config.embedding_dim = WIDE;
    config.trajectory_capacity = 256;
    config.pattern_clusters = 100;
    return config;
}

static void topic(float x[WIDE], uint32_t t, struct dice *dice)
{
    for (int i = 0; i < WIDE; i++)
        x[i] = 0.05f * dice_signed(dice);
    x[t] += 1;
}

/* One trajectory of topic t; returns its id. */
static uint64_t tell(sona_engine *engine, uint32_t t, sona_route route, float quality,
                     const char *context, struct dice *dice)
{
    float x[WIDE];
    uint64_t id;

    topic(x, t, dice);
    cr_assert(eq(int, sona_engine_begin(engine, x, WIDE, 0, &id), SONA_OK));
    if (route != SONA_ROUTE_NONE)
        cr_assert(eq(int, sona_engine_route(engine, id, route), SONA_OK));
    if (context != NULL)
        cr_assert(eq(int, sona_engine_context(engine, id, context), SONA_OK));
    cr_assert(eq(int, sona_engine_end(engine, id, quality, 0), SONA_OK));
    return id;
}

static uint32_t cycle(sona_engine *engine)
{
    sona_cycle_report report;
    sona_pattern all[100];
    uint32_t n;

    cr_assert(eq(int, sona_engine_learn_now(engine, 0, &report), SONA_OK));
    cr_assert(report.ran);
    cr_assert(eq(int, sona_engine_patterns(engine, 0, 100, all, &n), SONA_OK));
    cr_assert(eq(u32, n, report.patterns));
    return n;
}

static sona_pattern nearest(sona_engine *engine, uint32_t t)
{
    float x[WIDE] = {0};
    sona_pattern found;
    uint32_t n;

    x[t] = 1;
    cr_assert(eq(int, sona_engine_find_patterns(engine, x, WIDE, 1, &found, &n), SONA_OK));
    cr_assert(eq(u32, n, 1));
    return found;
}

Test(bank, eight_cycles_over_the_same_50_topics_keep_50_patterns)
{
    struct dice dice = dice_open("fifty topics");
    sona_config config = bank_config();
    sona_engine *engine = engine_open_with(&config, ROUTES);
    uint64_t ids[TOPICS];

    for (int round = 0; round < 8; round++) {
        for (uint32_t i = 0; i < 3 * TOPICS; i++)
            tell(engine, i % TOPICS, i % ROUTES, 0.8f, NULL, &dice);
        cr_assert(eq(u32, cycle(engine), TOPICS), "round %d, seed %llu", round,
                  (unsigned long long)dice.seed);
        for (uint32_t t = 0; t < TOPICS; t++) {
            sona_pattern p = nearest(engine, t);

            cr_assert(gt(flt, p.similarity, 0.95f), "topic %u", t);
            cr_assert(eq(u32, p.cluster_size, 3 * ((uint32_t)round + 1)), "each counted once");
            if (round > 0)
                cr_assert(eq(u64, p.id, ids[t]), "updated, not replaced");
            ids[t] = p.id;
        }
    }
    sona_engine_destroy(&engine);
}

Test(bank, ninety_nine_trajectories_are_not_discarded)
{
    struct dice dice = dice_open("ninety-nine");
    sona_config config = bank_config();
    sona_engine *engine = engine_open_with(&config, ROUTES);
    sona_pattern all[100];
    uint32_t n, sum = 0;

    for (uint32_t i = 0; i < 99; i++)
        tell(engine, i % 7, SONA_ROUTE_NONE, 0.8f, NULL, &dice);
    cr_assert(eq(u32, cycle(engine), 7));
    cr_assert(eq(int, sona_engine_patterns(engine, 0, 100, all, &n), SONA_OK));
    for (uint32_t i = 0; i < n; i++)
        sum += all[i].cluster_size;
    cr_assert(eq(u32, sum, 99));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_learned), 99));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_patterns_missed), 0));
    sona_engine_destroy(&engine);
}

Test(bank, never_holds_more_than_pattern_clusters)
{
    struct dice dice = dice_open("clusters");
    sona_config config = bank_config();
    sona_engine *engine;

    config.pattern_clusters = 10;
    engine = engine_open_with(&config, ROUTES);
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 2 * TOPICS; i++)
            tell(engine, i % TOPICS, SONA_ROUTE_NONE, 0.8f, NULL, &dice);
        cr_assert(eq(u32, cycle(engine), 10));
    }
    sona_engine_destroy(&engine);
}

Test(bank, the_quality_threshold_has_an_effect)
{
    for (int low = 0; low < 2; low++) {
        struct dice dice = dice_open("threshold");
        sona_config config = bank_config();
        sona_engine *engine;

        config.pattern_quality_threshold = low ? 0.1f : 0.5f;
        engine = engine_open_with(&config, ROUTES);
        for (uint32_t i = 0; i < 40; i++)
            tell(engine, i % 4, SONA_ROUTE_NONE, i % 4 < 2 ? 0.9f : 0.2f, NULL, &dice);
        cr_assert(eq(u32, cycle(engine), low ? 4 : 2));
        /* Bad ones count for the quality of a pattern that is there, and shape none. */
        for (uint32_t i = 0; i < 10; i++)
            tell(engine, 0, SONA_ROUTE_NONE, 0, NULL, &dice);
        cycle(engine);
        cr_assert(eq(u32, nearest(engine, 0).cluster_size, 10));
        cr_assert(epsilon_eq(flt, nearest(engine, 0).avg_quality, 0.45f, 1e-4f));
        sona_engine_destroy(&engine);
    }
}

Test(bank, contexts_name_the_type_by_majority)
{
    struct dice dice = dice_open("types");
    sona_config config = bank_config();
    sona_engine *engine = engine_open_with(&config, ROUTES);

    for (int i = 0; i < 9; i++) {
        tell(engine, 0, SONA_ROUTE_NONE, 0.8f, i < 5 ? "CodeGen/c" : "math", &dice);
        tell(engine, 1, SONA_ROUTE_NONE, 0.8f, i % 3 == 0 ? "chat" : NULL, &dice);
        tell(engine, 2, SONA_ROUTE_NONE, 0.8f, i % 2 == 0 ? "story" : "facts", &dice);
        tell(engine, 3, SONA_ROUTE_NONE, 0.8f, "tenant-7", &dice);
    }
    tell(engine, 2, SONA_ROUTE_NONE, 0.8f, "facts", &dice); /* five of each */
    cycle(engine);
    cr_assert(eq(int, nearest(engine, 0).type, SONA_PATTERN_CODEGEN), "5 of 9");
    cr_assert(eq(int, nearest(engine, 1).type, SONA_PATTERN_CONVERSATIONAL), "of those that say");
    cr_assert(eq(int, nearest(engine, 2).type, SONA_PATTERN_GENERAL), "half is no majority");
    cr_assert(eq(int, nearest(engine, 3).type, SONA_PATTERN_GENERAL), "nobody says");
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_contexts), 9 + 3 + 9 + 9 + 1));
    sona_engine_destroy(&engine);
}

Test(bank, each_word_of_a_context_has_its_type)
{
    static const struct {
        const char *context;
        sona_pattern_type type;
    } cases[] = {
        {"codegen", SONA_PATTERN_CODEGEN},
        {"reasoning", SONA_PATTERN_REASONING},
        {"factual", SONA_PATTERN_FACTUAL},
        {"CREATIVE", SONA_PATTERN_CREATIVE},
        {"conversational", SONA_PATTERN_CONVERSATIONAL},
        {"general", SONA_PATTERN_GENERAL},
        {"", SONA_PATTERN_GENERAL},
        {NULL, SONA_PATTERN_GENERAL},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_assert(eq(int, sona_pattern_type_of(cases[i].context), cases[i].type), "case %zu", i);
    for (int t = SONA_PATTERN_GENERAL; t <= SONA_PATTERN_CONVERSATIONAL; t++)
        cr_assert(eq(int, sona_pattern_type_of(sona_pattern_type_name((sona_pattern_type)t)), t));
}

Test(bank, a_search_is_counted_with_the_pattern_it_found_nearest)
{
    struct dice dice = dice_open("hits");
    sona_config config = bank_config();
    sona_engine *engine = engine_open_with(&config, ROUTES);

    for (uint32_t i = 0; i < 20; i++)
        tell(engine, i % 2, SONA_ROUTE_NONE, 0.8f, NULL, &dice);
    cycle(engine);
    for (int i = 0; i < 3; i++)
        cr_assert(eq(u64, nearest(engine, 0).access_count, 0), "not before the next cycle");
    cycle(engine); /* with nothing new but searches */
    cr_assert(eq(u64, nearest(engine, 0).access_count, 3));
    cr_assert(eq(u64, nearest(engine, 1).access_count, 0));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_pattern_hits), 5));
    sona_engine_destroy(&engine);
}

Test(bank, a_pattern_knows_its_routes_and_its_latest_examples)
{
    struct dice dice = dice_open("routes");
    sona_config config = bank_config();
    sona_engine *engine = engine_open_with(&config, ROUTES);
    uint64_t last = 0;
    sona_pattern p;

    for (uint32_t i = 0; i < 12; i++)
        last = tell(engine, 0, i % 3 == 0 ? 2 : 1, i % 3 == 0 ? 0.9f : 0.4f, NULL, &dice);
    cycle(engine);
    p = nearest(engine, 0);
    cr_assert(eq(u32, p.n_routes, 2));
    cr_assert(eq(u32, p.routes[0].route, 1), "by evidence");
    cr_assert(epsilon_eq(flt, p.routes[0].outcomes, 8, 1e-4f));
    cr_assert(epsilon_eq(flt, p.routes[0].mean_quality, 0.4f, 1e-5f));
    cr_assert(eq(u32, p.routes[1].route, 2));
    cr_assert(epsilon_eq(flt, p.routes[1].outcomes, 4, 1e-4f));
    cr_assert(epsilon_eq(flt, p.routes[1].mean_quality, 0.9f, 1e-5f));
    cr_assert(eq(u32, p.best_route, 2));
    cr_assert(eq(u32, p.n_examples, SONA_PATTERN_EXAMPLES));
    cr_assert(eq(u64, p.examples[0], last));
    cr_assert(eq(int, sona_engine_route_retire(engine, 2), SONA_OK));
    cr_assert(eq(u32, nearest(engine, 0).n_routes, 1));
    sona_engine_destroy(&engine);
}

Test(bank, decay_prune_and_consolidate_say_what_they_changed)
{
    struct dice dice = dice_open("calls");
    sona_config config = bank_config();
    sona_engine *engine = engine_open_with(&config, ROUTES);
    sona_prune_rule rule = {.min_quality = 0.5f, .min_accesses = 1};
    sona_bank_report report;

    for (uint32_t i = 0; i < 40; i++)
        tell(engine, i % 4, SONA_ROUTE_NONE, i % 4 == 3 ? 0.35f : 0.8f, NULL, &dice);
    cr_assert(eq(u32, cycle(engine), 4));
    cr_assert(eq(int, sona_engine_patterns_decay(engine, 0.5f, &report), SONA_OK));
    cr_assert(epsilon_eq(dbl, report.weight, 20, 1e-3));
    cr_assert(epsilon_eq(flt, nearest(engine, 0).avg_quality, 0.8f, 1e-5f), "a mean stays");

    rule.min_age = 1000000;
    cr_assert(eq(int, sona_engine_patterns_prune(engine, &rule, &report), SONA_OK));
    cr_assert(eq(u32, report.pruned, 0), "too young");
    rule.min_age = 0;
    cr_assert(eq(int, sona_engine_patterns_prune(engine, &rule, &report), SONA_OK));
    cr_assert(eq(u32, report.pruned, 1));
    cr_assert(eq(u32, report.patterns, 3));

    cr_assert(eq(int, sona_engine_patterns_consolidate(engine, 0.9f, &report), SONA_OK));
    cr_assert(eq(u32, report.merged, 0), "nothing is alike");
    cr_assert(eq(int, sona_engine_patterns_consolidate(engine, -1, &report), SONA_OK));
    cr_assert(eq(u32, report.merged, 2));
    cr_assert(eq(u32, report.patterns, 1));
    cr_assert(epsilon_eq(dbl, report.weight, 15, 1e-3), "no evidence is lost");
    cr_assert(eq(u32, nearest(engine, 0).cluster_size, 30));
    cr_assert(eq(int, sona_engine_patterns_decay(engine, NAN, &report), SONA_E_RANGE));
    sona_engine_destroy(&engine);
}

Test(bank, a_pattern_that_searches_found_is_not_pruned)
{
    struct dice dice = dice_open("kept");
    sona_config config = bank_config();
    sona_engine *engine = engine_open_with(&config, ROUTES);
    sona_prune_rule rule = {.min_quality = 1, .min_accesses = 1};
    sona_bank_report report;

    for (uint32_t i = 0; i < 20; i++)
        tell(engine, i % 2, SONA_ROUTE_NONE, 0.8f, NULL, &dice);
    cycle(engine);
    (void)nearest(engine, 1);
    cr_assert(eq(int, sona_engine_patterns_prune(engine, &rule, &report), SONA_OK));
    cr_assert(eq(u32, report.pruned, 1));
    cr_assert(gt(flt, nearest(engine, 1).similarity, 0.9f));
    sona_engine_destroy(&engine);
}

Test(bank, is_consolidated_every_consolidation_interval)
{
    struct dice dice = dice_open("interval");
    sona_config config = bank_config();
    sona_engine *engine;

    config.consolidation_interval = 100;
    config.pattern_decay = 0.5f;
    engine = engine_open_with(&config, ROUTES);
    for (uint32_t i = 0; i < 99; i++)
        tell(engine, 0, SONA_ROUTE_NONE, 0.8f, NULL, &dice);
    cycle(engine);
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_consolidations), 0));
    cr_assert(epsilon_eq(flt, nearest(engine, 0).total_weight, 99, 1e-2f));
    tell(engine, 0, SONA_ROUTE_NONE, 0.8f, NULL, &dice);
    cycle(engine);
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_consolidations), 1));
    cr_assert(epsilon_eq(flt, nearest(engine, 0).total_weight, 50, 1e-2f));
    sona_engine_destroy(&engine);
}

/* Directions of a bank that outgrows a scan. */
static void direction(float x[WIDE], uint32_t t)
{
    struct dice own = {.state = t};

    for (int i = 0; i < WIDE; i++)
        x[i] = dice_signed(&own);
}

static void expect_sound(sona_engine *engine, const char *when)
{
    struct sona_model_view view = sona_learner_view(engine->learner);

    cr_assert(eq(int, sona_model_validate_cold(view.layout, view.cold), SONA_OK), "%s", when);
}

Test(bank, signatures_follow_their_patterns_through_cycles_prune_and_consolidate)
{
    const uint32_t many = 400;
    sona_config config = bank_config();
    sona_prune_rule rule = {.min_quality = 0.5f, .min_accesses = UINT32_MAX};
    sona_bank_report report;
    sona_engine *engine;
    float x[WIDE];

    config.pattern_clusters = many;
    config.trajectory_capacity = 2 * many;
    config.pattern_quality_threshold = 0;
    engine = engine_open_with(&config, ROUTES);
    for (uint32_t t = 0; t < many; t++) {
        uint64_t id;

        direction(x, t);
        cr_assert(eq(int, sona_engine_begin(engine, x, WIDE, 0, &id), SONA_OK));
        cr_assert(eq(int, sona_engine_end(engine, id, t % 3 ? 0.9f : 0.4f, 0), SONA_OK));
        if (t % 200 == 199)
            cr_assert(eq(int, sona_engine_learn_now(engine, 0, NULL), SONA_OK));
    }
    expect_sound(engine, "after cycles");
    for (uint32_t t = 1; t < many; t += 50) {
        sona_pattern found, all[SONA_MODEL_SHORT_K + 1];
        uint32_t n;

        direction(x, t);
        cr_assert(eq(int, sona_engine_find_patterns(engine, x, WIDE, 1, &found, &n), SONA_OK));
        cr_assert(eq(int,
                     sona_engine_find_patterns(engine, x, WIDE, SONA_MODEL_SHORT_K + 1, all, &n),
                     SONA_OK));
        cr_assert(eq(u64, found.id, all[0].id));
    }
    cr_assert(eq(int, sona_engine_patterns_prune(engine, &rule, &report), SONA_OK));
    cr_assert(gt(u32, report.pruned, 0));
    cr_assert(gt(u32, report.patterns, SONA_MODEL_SCAN));
    expect_sound(engine, "after prune");
    cr_assert(eq(int, sona_engine_patterns_consolidate(engine, 0.3f, &report), SONA_OK));
    cr_assert(gt(u32, report.merged, 0));
    expect_sound(engine, "after consolidate");

    /* Turned around, so that none of the rows is what it was when they are taken. */
    struct sona_learner *l = engine->learner;
    const struct sona_model_layout *layout = sona_learner_view(l).layout;
    unsigned char *rows = calloc(many, layout->bank.stride);
    uint32_t n = sona_learner_bank_rows(l, rows);
    for (uint32_t i = 0; i < n; i++) {
        float *c = (void *)(rows + i * layout->bank.stride + layout->bank_centroid);

        for (int d = 0; d < WIDE; d++)
            c[d] = -c[d];
        ((struct sona_model_bank *)(void *)(rows + i * layout->bank.stride))->n_examples = 0;
    }
    n = n < many - n ? n : many - n;
    cr_assert(eq(int, sona_learner_bank_add(l, rows, n, &report), SONA_OK));
    expect_sound(engine, "after rows were brought");
    free(rows);
    sona_engine_destroy(&engine);
}
