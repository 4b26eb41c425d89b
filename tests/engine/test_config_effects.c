/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* No key is hollow: each one here fails when the key does nothing. */
#include <math.h>
#include <stdlib.h>

#include "engine/kernels/kernels.h"
#include "engine/model/block.h"
#include "tests/engine/engine_fixture.h"

/* Decide and learn `n` queries of three topics; route t is good at topic t. */
static void live(sona_engine *engine, int n)
{
    struct dice dice = {.state = 4711};

    for (int i = 0; i < n; i++) {
        uint32_t topic = dice_below(&dice, 3);
        sona_decision decision;
        float x[DIM];

        query(x, topic, &dice);
        cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, (uint64_t)i, &decision), 0));
        cr_assert(eq(int,
                     sona_engine_outcome(engine, decision.id,
                                         SONA_ROUTE_INDEX(decision.route) == topic ? 0.9f : 0.1f, 0,
                                         (uint64_t)i),
                     0));
    }
}

/* Whether both engines hold the same weights, bit for bit. */
static sona_engine *lived(const sona_config *config, int n)
{
    sona_engine *engine = engine_open_with(config, ROUTES);

    live(engine, n);
    return engine;
}

static const char *simd_of(const sona_engine *engine)
{
    sona_stats stats;

    sona_engine_stats(engine, &stats);
    return stats.simd;
}

Test(config_effects, without_simd_an_engine_computes_what_the_c_kernels_compute)
{
    sona_config config = small_config(), plain = config;
    const char *fast_row = sona_kernels_active()->name;
    sona_engine *fast = lived(&config, 300), *off, *c;

    plain.enable_simd = false;
    off = lived(&plain, 300);
    cr_assert(eq(str, (char *)(uintptr_t)sona_kernels_active()->name,
                 (char *)(uintptr_t)fast_row)); /* other engines of the process go on */
    cr_assert(eq(str, (char *)(uintptr_t)simd_of(off), "c"));
    cr_assert(eq(str, (char *)(uintptr_t)simd_of(fast), (char *)(uintptr_t)fast_row));
    cr_assert(sona_kernels_select("c"));
    c = lived(&config, 300);
    cr_assert(same_model(off, c));
    if (strcmp(fast_row, "c") != 0)
        cr_assert(not(same_model(off, fast)));
    sona_engine_destroy(&fast);
    sona_engine_destroy(&off);
    sona_engine_destroy(&c);
}

Test(config_effects, what_is_asked_of_an_engine_without_simd_comes_from_the_c_kernels)
{
    sona_config plain = small_config();
    float x[DIM], y[4][DIM], z[4][DIM], score[2][8];
    struct dice dice = {.state = 815};
    sona_engine *engine;
    sona_pattern pattern[2];
    uint32_t count;

    plain.enable_simd = false;
    engine = lived(&plain, 300);
    query(x, 1, &dice);
    for (int round = 0; round < 2; round++) {
        float(*out)[DIM] = round == 0 ? y : z;

        if (round == 1)
            cr_assert(sona_kernels_select("c"));
        sona_engine_apply(engine, x, DIM, out[0]);
        sona_engine_apply_micro(engine, x, DIM, out[1]);
        sona_engine_apply_base(engine, 0, x, DIM, out[2]);
        cr_assert(eq(int, sona_engine_score(engine, x, DIM, score[round]), 0));
        cr_assert(
            eq(int, sona_engine_find_patterns(engine, x, DIM, 1, &pattern[round], &count), 0));
        cr_assert(eq(u32, count, 1));
    }
    for (int i = 0; i < 3; i++)
        cr_assert(zero(int, memcmp(y[i], z[i], sizeof y[i])), "adapter %d", i);
    for (int k = 0; k < ROUTES; k++)
        cr_assert(zero(int, memcmp(&score[0][k], &score[1][k], sizeof(float))));
    cr_assert(eq(flt, pattern[0].distance, pattern[1].distance));
    cr_assert(eq(flt, pattern[0].similarity, pattern[1].similarity));
    sona_engine_destroy(&engine);
}

Test(config_effects, dropout_hides_its_share_of_the_embedding_from_one_step)
{
    sona_config config = small_config();
    struct sona_model_view view;
    int moved = 0, still = 0;

    config.background = false;
    config.micro_lora_lr = 1;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        float x[DIM], before[DIM];
        sona_decision decision;
        sona_engine *engine;
        const float *a;

        config.seed = seed;
        config.lora_dropout = 0.25f;
        engine = engine_open_with(&config, ROUTES);
        view = sona_learner_view(engine->learner);
        a = sona_model_floats(view.hot, view.layout->micro_a);
        for (int i = 0; i < DIM; i++)
            x[i] = 1;
        /* The first outcome moves B alone, which is zero; later ones A, along x. */
        for (int n = 0; n < 3; n++) {
            memcpy(before, a, sizeof before);
            cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, 0, &decision), 0));
            cr_assert(eq(int, sona_engine_outcome(engine, decision.id, 1, 0, 0), 0));
            for (int i = 0; i < DIM && n > 0 && memcmp(before, a, sizeof before) != 0; i++)
                *(a[i] != before[i] ? &moved : &still) += 1;
        }
        sona_engine_destroy(&engine);
    }
    cr_assert(gt(int, moved + still, 40 * DIM), "%d", moved + still);
    /* A share of 0.25 within six standard deviations of at least 1280 throws. */
    cr_assert(lt(dbl, fabs((double)still / (moved + still) - 0.25), 6 * sqrt(0.25 * 0.75 / 1280)),
              "%d of %d", still, moved + still);
}

Test(config_effects, dropout_follows_from_the_seed_and_none_is_no_dropout)
{
    sona_config config = small_config();
    sona_engine *none = lived(&config, 300), *a, *b, *other;
    sona_config changed = config;

    changed.lora_dropout = 0.5f;
    a = lived(&changed, 300);
    b = lived(&changed, 300);
    cr_assert(same_model(a, b));
    cr_assert(not(same_model(a, none)));
    changed.lora_dropout = 0;
    other = lived(&changed, 300);
    cr_assert(same_model(other, none));
    sona_engine_destroy(&none);
    sona_engine_destroy(&a);
    sona_engine_destroy(&b);
    sona_engine_destroy(&other);
}

/* ---- every other key: what it changes of one life, told as a number ---- */

static uint64_t fold(uint64_t hash, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 1099511628211u;
    return hash;
}

/* Three routes of different cost, and the error of adding a fourth. */
static sona_engine *costly_engine(const sona_config *config, uint64_t *hash)
{
    sona_route_spec specs[3] = {route_named("a"), route_named("b"), route_named("c")};
    sona_route_spec fourth = route_named("d");
    sona_engine *engine = NULL;
    sona_route route = 0;
    sona_err err;

    for (int k = 0; k < 3; k++)
        specs[k].cost = 0.3f * (float)k;
    cr_assert(eq(int, sona_engine_create(&engine, config, specs, 3, NULL), SONA_OK));
    err = sona_engine_route_add(engine, &fourth, &route);
    if (err == SONA_OK)
        cr_assert(eq(int, sona_engine_route_retire(engine, route), SONA_OK));
    *hash = fold(*hash, &err, sizeof err);
    return engine;
}

/* A trajectory of four steps: activations longer than an embedding, attention weights, a layer
 * beyond the first. */
static void walk(sona_engine *engine, const float *x, uint64_t now_ms)
{
    float longer[DIM + 8] = {0.5f, 0.2f}, attention[4] = {0.4f, 0.3f, 0.2f, 0.1f};
    uint64_t id;

    if (sona_engine_begin(engine, x, DIM, now_ms, &id) != SONA_OK)
        return;
    for (uint32_t n = 0; n < 4; n++) {
        sona_step step = {.activations = n == 3 ? longer : x,
                          .n_activations = n == 3 ? DIM + 8 : DIM,
                          .attention = attention,
                          .n_attention = 4,
                          .layer = n % 2 ? 5 : 1,
                          .reward = 0.9f,
                          .rewarded = true};

        (void)sona_engine_step(engine, id, &step);
    }
    (void)sona_engine_end(engine, id, now_ms % 2 ? 0.8f : 0.35f, now_ms);
}

/* What can be asked at the end, and the books. */
static uint64_t fold_end(uint64_t hash, sona_engine *engine, const float *x)
{
    float y[DIM] = {0}, scores[16] = {0};
    sona_pattern found[4];
    uint32_t count = 0;
    sona_stats stats;

    (void)sona_engine_apply(engine, x, DIM, y);
    hash = fold(hash, y, sizeof y);
    (void)sona_engine_apply_base(engine, 1, x, DIM, y);
    hash = fold(hash, y, sizeof y);
    if (sona_engine_score(engine, x, DIM, scores) == SONA_OK)
        hash = fold(hash, scores, 3 * sizeof *scores);
    (void)sona_engine_find_patterns(engine, x, DIM, 4, found, &count);
    for (uint32_t i = 0; i < count; i++)
        hash = fold(hash, &found[i].total_weight, sizeof found[i].total_weight);
    sona_engine_stats(engine, &stats);
    hash = fold(hash, &stats.patterns, sizeof stats.patterns);
    return fold(hash, stats.counter, sizeof stats.counter);
}

static uint64_t life_of(const sona_config *config)
{
    uint64_t hash = 14695981039346656037u;
    struct dice dice = {.state = 17};
    sona_engine *engine = costly_engine(config, &hash);
    uint64_t late = 0;
    float x[DIM];

    for (uint64_t n = 0; n < 700; n++) {
        uint32_t topic = dice_below(&dice, 3);
        sona_candidates candidates = {.tenant = (uint32_t)(1 + n % 2)};
        sona_decision decision = {0};
        float quality;

        query(x, topic, &dice);
        x[3] += topic < 2; /* two topics are somewhat alike */
        (void)sona_engine_decide(engine, x, DIM, &candidates, n, &decision);
        hash = fold(hash, &decision.route, sizeof decision.route);
        hash = fold(hash, &decision.propensity, sizeof decision.propensity);
        /* From the middle on nothing is good any more: something to notice. */
        quality = SONA_ROUTE_INDEX(decision.route) == topic && n < 350 ? 0.9f : 0.02f;
        if (n % 10 < 9) /* one in ten is told late, and one in twenty never */
            (void)sona_engine_outcome(engine, decision.id, quality, 0, n);
        else
            late = decision.id;
        if (n % 20 == 16 && late != 0)
            (void)sona_engine_outcome(engine, late, 0.7f, 0, n);
        if (n % 7 == 0)
            walk(engine, x, n);
        (void)sona_engine_tick(engine, n, NULL);
    }
    (void)sona_engine_tick(engine, 100000, NULL);
    hash = fold_end(hash, engine, x);
    sona_engine_destroy(&engine);
    return hash;
}

/* Keys, and a value with which that life goes another way. Not here: `drift` (drift, in
 * test_learner), enable_simd (above), queue_capacity (memory, in tests/system), and those of the
 * gate and of EWC++ (below). */
static const char *const changes[][2] = {
    {"hidden_dim", "64"},
    {"embedding_dim", "16"},
    {"attention_dim", "3"},
    {"routes_max", "3"},
    {"micro_lora_rank", "1"},
    {"base_lora_rank", "4"},
    {"base_lora_layers", "2"},
    {"micro_lora_lr", "0.1"},
    {"base_lora_lr", "0.1"},
    {"lora_alpha", "4"},
    {"pattern_clusters", "1"},
    {"pattern_quality_threshold", "0.85"},
    {"trajectory_capacity", "16"},
    {"max_trajectory_steps", "2"},
    {"replay_capacity", "64"},
    {"background_interval_ms", "10"},
    {"feedback_window_ms", "5"},
    {"lambda", "0.5"},
    {"max_explore", "0"},
    {"normalize", "0"},
    {"micro", "0"},
    {"base", "0"},
    {"patterns", "0"},
    {"background", "0"},
    {"seed", "2"},
    {"default_quality", "0.5"},
    {"step_capacity", "0"},
    {"consolidation_interval", "50"},
    {"pattern_similarity", "0.3"},
    {"pattern_decay", "0.5"},
    {"lora_dropout", "0.5"},
    {"tenants_max", "0"},
    {"tenant_lora_rank", "0"},
    {"record_share", "0.5"},
};

static sona_config eventful_config(void)
{
    sona_config config = small_config();

    config.tenants_max = 4;
    config.consolidation_interval = 100;
    config.pattern_clusters = 8;
    config.trajectory_capacity = 128;
    config.base_lora_layers = 6;
    return config;
}

/* Queries of four kinds, one after the other and the first once more: what the gate is for, and
 * where tasks end. */
static uint64_t life_of_kinds(const sona_config *config)
{
    static const uint32_t kinds[] = {0, 6, 12, 18, 0};
    uint64_t hash = 14695981039346656037u;
    struct dice dice = {.state = 23};
    sona_engine *engine = engine_open_with(config, ROUTES);
    float x[DIM];

    for (uint64_t n = 0; n < 2000; n++) {
        uint32_t topic = dice_below(&dice, 3);
        sona_decision decision;

        query(x, kinds[n / 400] + topic, &dice);
        cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, n, &decision), 0));
        hash = fold(hash, &decision.propensity, sizeof decision.propensity);
        cr_assert(
            eq(int,
               sona_engine_outcome(engine, decision.id,
                                   SONA_ROUTE_INDEX(decision.route) == topic ? 0.9f : 0.2f, 0, n),
               0));
    }
    hash = fold_end(hash, engine, x);
    sona_engine_destroy(&engine);
    return hash;
}

Test(config_effects, every_key_of_the_gate_and_of_ewc_changes_what_happens, .timeout = 120)
{
    static const struct {
        const char *base[3],
            *change[2]; /* "key=value" each; what it begins with, and what differs */
    } changes_of_kinds[] = {
        {{"gate=1"}, {"gate", "0"}},
        {{"gate=1"}, {"regimes_max", "2"}},
        {{"gate=0"}, {"ewc", "1"}},
        {{"gate=1"}, {"ewc", "1"}},
        {{"gate=0", "ewc=1"}, {"ewc_lambda", "20"}},
        {{"gate=0", "ewc=1"}, {"ewc_strength", "0.9"}},
        {{"gate=0", "ewc=1"}, {"ewc_gamma", "0.2"}},
        {{"gate=0", "ewc=1"}, {"ewc_fisher_samples", "10"}},
        {{"gate=0", "ewc=1"}, {"ewc_online", "0"}},
        {{"gate=0", "ewc=1", "ewc_online=0"}, {"ewc_tasks_max", "1"}},
    };

    for (size_t i = 0; i < sizeof changes_of_kinds / sizeof *changes_of_kinds; i++) {
        const char *key = changes_of_kinds[i].change[0], *value = changes_of_kinds[i].change[1];
        sona_config config = small_config(), changed;

        for (int j = 0; j < 3 && changes_of_kinds[i].base[j] != NULL; j++) {
            char name[32] = "";

            (void)sscanf(changes_of_kinds[i].base[j], "%31[^=]", name);
            cr_assert(eq(
                int,
                sona_config_set(&config, name, strchr(changes_of_kinds[i].base[j], '=') + 1, NULL),
                0));
        }
        changed = config;
        cr_assert(eq(int, sona_config_set(&changed, key, value, NULL), 0));
        cr_expect(eq(u64, life_of_kinds(&config), life_of_kinds(&config)), "%s", key);
        cr_expect(ne(u64, life_of_kinds(&changed), life_of_kinds(&config)),
                  "%s=%s changes nothing of %s", key, value, changes_of_kinds[i].base[0]);
    }
}

Test(config_effects, every_key_changes_what_happens, .timeout = 120)
{
    sona_config config = eventful_config();
    uint64_t usual = life_of(&config);

    cr_assert(eq(u64, life_of(&config), usual)); /* a life is a function of its configuration */
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        sona_config changed = config;
        sona_diag diag = {.text = ""};

        cr_assert(eq(int, sona_config_set(&changed, changes[i][0], changes[i][1], &diag), 0), "%s",
                  diag.text);
        cr_expect(ne(u64, life_of(&changed), usual), "%s=%s changes nothing", changes[i][0],
                  changes[i][1]);
    }
}
