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
static bool same_model(const sona_engine *a, const sona_engine *b)
{
    struct sona_model_view va = sona_learner_view(a->learner), vb = sona_learner_view(b->learner);

    return memcmp(va.hot, vb.hot, va.layout->hot_bytes) == 0 &&
           memcmp(va.cold, vb.cold, va.layout->cold_bytes) == 0;
}

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
