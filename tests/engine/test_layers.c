/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* BaseLoRA layers trained by the steps of trajectories; batches and merges of adapters. */
#include "tests/engine/engine_fixture.h"

#include <math.h>

#include "engine/learner/state.h"

#define LAYERS 12

/* No MicroLoRA: without it nothing but steps changes any layer. */
static sona_config steps_config(void)
{
    sona_config config = small_config();

    config.base_lora_lr = 0.01f;
    config.micro = false;
    return config;
}

static uint64_t begin(sona_engine *engine)
{
    float x[DIM] = {1};
    uint64_t id;

    cr_assert(eq(int, sona_engine_begin(engine, x, DIM, 0, &id), SONA_OK));
    return id;
}

static void add_step(sona_engine *engine, uint64_t id, uint32_t layer, const float *h, uint32_t n,
                     float reward, bool rewarded)
{
    sona_step step = {.activations = h,
                      .n_activations = n,
                      .layer = layer,
                      .reward = reward,
                      .rewarded = rewarded};

    cr_assert(eq(int, sona_engine_step(engine, id, &step), SONA_OK));
}

static void end(sona_engine *engine, uint64_t id, float quality)
{
    sona_cycle_report report;

    cr_assert(eq(int, sona_engine_end(engine, id, quality, 0), SONA_OK));
    cr_assert(eq(int, sona_engine_learn_now(engine, 0, &report), SONA_OK));
    cr_assert(report.ran);
}

/* What layer `layer` adds to h, along h. */
static double moved(const sona_engine *engine, uint32_t layer, const float *h)
{
    float y[DIM];
    double sum = 0;

    cr_assert(eq(int, sona_engine_apply_base(engine, layer, h, DIM, y), SONA_OK));
    for (int i = 0; i < DIM; i++)
        sum += ((double)y[i] - (double)h[i]) * (double)h[i];
    return sum;
}

static double lone_step(uint32_t layer, float reward, bool rewarded, float quality)
{
    sona_config config = steps_config();
    sona_engine *engine = engine_open_with(&config, ROUTES);
    float h[DIM] = {[3] = 0.6f, [7] = -0.8f};
    uint64_t id = begin(engine);
    double ret;

    add_step(engine, id, layer, h, DIM, reward, rewarded);
    end(engine, id, quality);
    ret = moved(engine, layer, h);
    sona_engine_destroy(&engine);
    return ret;
}

Test(layers, a_single_step_learns)
{
    cr_assert(gt(dbl, lone_step(3, 0, false, 1), 1e-3), "its quality stands in for its reward");
    cr_assert(gt(dbl, lone_step(3, 0.9f, true, 0.5f), 1e-3));
    cr_assert(gt(dbl, lone_step(0, 0, false, 1), 1e-3), "layer 0 too, through the fold");
}

Test(layers, a_bad_step_moves_the_other_way)
{
    cr_assert(lt(dbl, lone_step(3, 0, false, 0), -1e-3));
    cr_assert(lt(dbl, lone_step(3, 0, true, 1), -1e-3), "a reward of 0 that is known");
    cr_assert(lt(dbl, lone_step(3, 0.1f, false, 1), -1e-3));
}

Test(layers, equal_rewards_teach)
{
    sona_config config = steps_config();
    sona_engine *engine = engine_open_with(&config, ROUTES);
    float h[DIM] = {[3] = 1}, g[DIM] = {[4] = 1};
    uint64_t id = begin(engine);

    add_step(engine, id, 5, h, DIM, 0.9f, true);
    add_step(engine, id, 5, g, DIM, 0.9f, true);
    end(engine, id, 0.9f);
    cr_assert(gt(dbl, moved(engine, 5, h), 1e-4));
    cr_assert(gt(dbl, moved(engine, 5, g), 1e-4));
    sona_engine_destroy(&engine);
}

Test(layers, training_one_changes_that_one_and_no_other)
{
    float h[DIM] = {[3] = 0.6f, [7] = -0.8f}, y[DIM];

    for (uint32_t layer = 0; layer < LAYERS; layer++) {
        sona_config config = steps_config();
        sona_engine *engine = engine_open_with(&config, ROUTES);
        uint64_t id = begin(engine);

        add_step(engine, id, layer, h, DIM, 1, true);
        end(engine, id, 1);
        for (uint32_t other = 0; other < LAYERS; other++) {
            cr_assert(eq(int, sona_engine_apply_base(engine, other, h, DIM, y), SONA_OK));
            cr_assert(eq(int, memcmp(y, h, sizeof h) == 0, other != layer),
                      "layer %u after training layer %u", other, layer);
        }
        sona_engine_destroy(&engine);
    }
}

Test(layers, readers_see_a_layer_after_the_install_and_whole)
{
    sona_config config = steps_config();
    sona_engine *engine = engine_open_with(&config, ROUTES);
    float h[DIM] = {[3] = 1};
    uint64_t id = begin(engine);

    add_step(engine, id, 2, h, DIM, 1, true);
    cr_assert(eq(int, sona_engine_end(engine, id, 1, 0), SONA_OK));
    cr_assert(eq(dbl, moved(engine, 2, h), 0));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_layer_updates), 1));
    cr_assert(eq(int, sona_engine_learn_now(engine, 0, NULL), SONA_OK));
    cr_assert(gt(dbl, moved(engine, 2, h), 0));
    sona_engine_destroy(&engine);
}

Test(layers, the_output_is_the_input_and_a_linear_delta)
{
    sona_config config = steps_config();
    sona_engine *engine = engine_open_with(&config, ROUTES);
    float h[DIM] = {[3] = 0.6f, [7] = -0.8f}, twice[DIM], y[DIM], z[DIM];
    uint64_t id = begin(engine);

    add_step(engine, id, 3, h, DIM, 1, true);
    end(engine, id, 1);
    for (int i = 0; i < DIM; i++)
        twice[i] = 2 * h[i];
    cr_assert(eq(int, sona_engine_apply_base(engine, 3, h, DIM, y), SONA_OK));
    cr_assert(eq(int, sona_engine_apply_base(engine, 3, twice, DIM, z), SONA_OK));
    for (int i = 0; i < DIM; i++)
        cr_assert(epsilon_eq(flt, z[i] - twice[i], 2 * (y[i] - h[i]), 1e-6f));
    sona_engine_destroy(&engine);
}

Test(layers, hidden_and_embedding_dimension_may_differ)
{
    float h[DIM + 16] = {[3] = 0.6f, [7] = -0.8f, [20] = 5, [40] = 5}, y[DIM];

    for (uint32_t hidden = 16; hidden <= 48; hidden += 32) {
        sona_config config = steps_config();
        uint32_t most = hidden > DIM ? hidden : DIM, used = hidden < DIM ? hidden : DIM;
        sona_engine *engine;
        uint64_t id;

        config.hidden_dim = hidden;
        engine = engine_open_with(&config, ROUTES);
        id = begin(engine);
        add_step(engine, id, 3, h, most, 1, true);
        cr_assert(eq(
            int,
            sona_engine_step(engine, id, &(sona_step){.activations = h, .n_activations = most + 1}),
            SONA_E_SHAPE));
        end(engine, id, 1);
        cr_assert(gt(dbl, moved(engine, 3, h), 1e-3), "hidden %u", hidden);
        cr_assert(eq(int, sona_engine_apply_base(engine, 3, h, DIM, y), SONA_OK));
        for (uint32_t i = used; i < DIM; i++)
            cr_assert(eq(flt, y[i], h[i]), "activation %u of %u", i, hidden);
        sona_engine_destroy(&engine);
    }
}

Test(layers, wrong_dimension_and_nan_change_nothing)
{
    sona_config config = steps_config();
    sona_engine *engine = engine_open_with(&config, ROUTES);
    float h[DIM + 1] = {[3] = 1}, bad[DIM] = {[5] = NAN};
    uint64_t id = begin(engine);
    sona_stats before;

    sona_engine_stats(engine, &before);
    cr_assert(eq(
        int, sona_engine_step(engine, id, &(sona_step){.activations = h, .n_activations = DIM + 1}),
        SONA_E_SHAPE));
    assert_counted(engine, &before, SONA_COUNTER_drop_shape);
    sona_engine_stats(engine, &before);
    cr_assert(eq(
        int, sona_engine_step(engine, id, &(sona_step){.activations = bad, .n_activations = DIM}),
        SONA_E_NOT_FINITE));
    assert_counted(engine, &before, SONA_COUNTER_drop_not_finite);
    sona_engine_stats(engine, &before);
    cr_assert(eq(u32, before.n_nodes, 0));
    end(engine, id, 1);
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_layer_updates), 0));
    cr_assert(eq(dbl, moved(engine, 0, h), 0));
    sona_engine_destroy(&engine);
}

Test(layers, attention_is_the_steps_share_of_the_credit)
{
    sona_config config = steps_config();
    sona_engine *engine = engine_open_with(&config, ROUTES);
    float h[DIM] = {[3] = 1}, g[DIM] = {[4] = 1}, little[2] = {0.1f, 0.1f};
    sona_step step = {.activations = g,
                      .n_activations = DIM,
                      .attention = little,
                      .n_attention = 2,
                      .layer = 5,
                      .reward = 0.9f};
    uint64_t id = begin(engine);

    add_step(engine, id, 5, h, DIM, 0.9f, true);
    cr_assert(eq(int, sona_engine_step(engine, id, &step), SONA_OK));
    end(engine, id, 0.9f);
    cr_assert(gt(dbl, moved(engine, 5, h), 10 * fabs(moved(engine, 5, g))));
    sona_engine_destroy(&engine);
}

Test(layers, activations_without_room_are_counted_and_lose_nothing_else)
{
    sona_config config = steps_config();
    float h[DIM] = {[3] = 1};
    sona_engine *engine;
    uint64_t id;

    config.step_capacity = 1;
    engine = engine_open_with(&config, ROUTES);
    for (int round = 0; round < 5; round++) {
        id = begin(engine);
        add_step(engine, id, 1, h, DIM, 1, true);
        add_step(engine, id, 2, h, DIM, 1, true);
        end(engine, id, 1);
    }
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_drop_step_sums), 5));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_steps), 10));
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_layer_updates), 5), "room comes back");
    cr_assert(eq(u64, engine_count(engine, SONA_COUNTER_learned), 5));
    cr_assert(gt(dbl, moved(engine, 1, h), 0));
    cr_assert(eq(dbl, moved(engine, 2, h), 0));
    sona_engine_destroy(&engine);
}

Test(layers, whatever_comes_stays_bounded)
{
    struct dice dice = dice_open("whatever_comes_stays_bounded");
    sona_config config = steps_config();
    sona_engine *engine;
    float h[DIM], y[DIM];

    config.base_lora_lr = 1;
    config.max_trajectory_steps = 50;
    engine = engine_open_with(&config, ROUTES);
    for (int round = 0; round < 300; round++) {
        uint64_t id = begin(engine);

        for (int s = 0; s < 20; s++) {
            float scale = s % 4 == 0 ? 1e30f : s % 4 == 1 ? 1e-38f : 1;

            for (int i = 0; i < DIM; i++)
                h[i] = scale * dice_signed(&dice);
            add_step(engine, id, (uint32_t)s % LAYERS, h, DIM, 1e30f * dice_signed(&dice), true);
        }
        cr_assert(eq(int, sona_engine_end(engine, id, dice_unit(&dice), 0), SONA_OK));
    }
    cr_assert(eq(int, sona_engine_learn_now(engine, 0, NULL), SONA_OK));
    for (uint32_t layer = 0; layer < LAYERS; layer++) {
        double delta = 0;

        for (int i = 0; i < DIM; i++)
            h[i] = i == (int)layer;
        cr_assert(eq(int, sona_engine_apply_base(engine, layer, h, DIM, y), SONA_OK));
        for (int i = 0; i < DIM; i++)
            delta += (double)(y[i] - h[i]) * (double)(y[i] - h[i]);
        cr_assert(le(dbl, delta, 1.01), "layer %u, seed %llu", layer,
                  (unsigned long long)dice.seed);
    }
    cr_assert(eq(int, sona_model_validate_cold(&engine->layout, sona_learner_cold(engine->learner)),
                 SONA_OK));
    sona_engine_destroy(&engine);
}

/* An engine whose adapters all do something. */
static sona_engine *trained(struct dice *dice)
{
    sona_config config = small_config();
    sona_engine *engine;
    float x[DIM], h[DIM] = {[3] = 0.6f, [7] = -0.8f};
    uint64_t id;

    config.base_lora_lr = 0.01f;
    engine = engine_open_with(&config, ROUTES);
    for (int i = 0; i < 40; i++) {
        sona_decision d;

        query(x, dice_below(dice, 4), dice);
        cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, 0, &d), SONA_OK));
        cr_assert(eq(int, sona_engine_outcome(engine, d.id, dice_unit(dice), 0, 0), SONA_OK));
    }
    id = begin(engine);
    add_step(engine, id, 3, h, DIM, 1, true);
    end(engine, id, 1);
    query(x, 1, dice); /* something in MicroLoRA after the fold */
    sona_decision d;
    cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, 0, &d), SONA_OK));
    cr_assert(eq(int, sona_engine_outcome(engine, d.id, 1, 0, 0), SONA_OK));
    return engine;
}

#define ROWS 5

static void multiply(const float *w, const float *x, double ret[ROWS])
{
    for (int r = 0; r < ROWS; r++) {
        ret[r] = 0;
        for (int i = 0; i < DIM; i++)
            ret[r] += (double)w[r * DIM + i] * (double)x[i];
    }
}

Test(layers, merged_weights_do_to_x_what_the_weights_do_to_the_adapted_x)
{
    static const uint32_t layers[] = {0, 3, 4, SONA_LAYER_BOTH};
    struct dice dice = dice_open("merged");
    sona_engine *engine = trained(&dice);
    float w[ROWS * DIM], merged[ROWS * DIM], x[DIM], y[DIM];
    double expected[ROWS], got[ROWS], plain[ROWS], change = 0;

    for (int i = 0; i < ROWS * DIM; i++)
        w[i] = dice_signed(&dice);
    query(x, 3, &dice);
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        cr_assert(
            eq(int, sona_engine_merge_into(engine, layers[i], w, ROWS, DIM, merged), SONA_OK));
        if (layers[i] == SONA_LAYER_BOTH)
            cr_assert(eq(int, sona_engine_apply(engine, x, DIM, y), SONA_OK));
        else
            cr_assert(eq(int, sona_engine_apply_base(engine, layers[i], x, DIM, y), SONA_OK));
        multiply(w, y, expected);
        multiply(merged, x, got);
        multiply(w, x, plain);
        for (int r = 0; r < ROWS; r++) {
            cr_assert(epsilon_eq(dbl, got[r], expected[r], 1e-5), "layer %u", layers[i]);
            change += fabs(got[r] - plain[r]);
        }
    }
    cr_assert(gt(dbl, change, 1e-4), "the adapters do something");
    cr_assert(eq(int, sona_engine_merge_into(engine, 99, w, ROWS, DIM, merged), SONA_E_RANGE));
    cr_assert(eq(int, sona_engine_merge_into(engine, 0, w, ROWS, DIM - 1, merged), SONA_E_SHAPE));
    w[DIM - 1] = NAN;
    for (uint32_t rows = 1; rows <= ROWS; rows++)
        cr_assert(
            eq(int, sona_engine_merge_into(engine, 0, w, rows, DIM, merged), SONA_E_NOT_FINITE));
    w[DIM - 1] = 1;
    cr_assert(eq(int, sona_engine_merge_into(engine, 0, w, ROWS, DIM, w + 1), SONA_E_ARGUMENT));
    sona_engine_destroy(&engine);
}

Test(layers, a_batch_is_its_rows_one_by_one)
{
    struct dice dice = dice_open("a_batch");
    sona_engine *engine = trained(&dice);
    float x[7 * DIM], y[7 * DIM], one[DIM];

    for (uint32_t i = 0; i < 7; i++)
        query(x + i * DIM, i, &dice);
    for (int tier = 0; tier < 3; tier++) {
        cr_assert(eq(int,
                     tier == 0   ? sona_engine_apply_batch(engine, 7, x, DIM, y)
                     : tier == 1 ? sona_engine_apply_micro_batch(engine, 7, x, DIM, y)
                                 : sona_engine_apply_base_batch(engine, 3, 7, x, DIM, y),
                     SONA_OK));
        for (uint32_t i = 0; i < 7; i++) {
            cr_assert(eq(int,
                         tier == 0   ? sona_engine_apply(engine, x + i * DIM, DIM, one)
                         : tier == 1 ? sona_engine_apply_micro(engine, x + i * DIM, DIM, one)
                                     : sona_engine_apply_base(engine, 3, x + i * DIM, DIM, one),
                         SONA_OK));
            cr_assert(eq(int, memcmp(one, y + i * DIM, sizeof one), 0), "tier %d, row %u", tier, i);
        }
    }
    cr_assert(
        eq(int, sona_engine_apply_base_batch(engine, UINT32_MAX, 7, x, DIM, y), SONA_E_RANGE));
    cr_assert(eq(int, sona_engine_apply_batch(engine, 0, x, DIM, y), SONA_E_RANGE));
    x[6 * DIM + 1] = NAN;
    cr_assert(eq(int, sona_engine_apply_batch(engine, 7, x, DIM, y), SONA_E_NOT_FINITE));
    sona_engine_destroy(&engine);
}

/* Neither factor of a rank-2 MicroLoRA may collapse onto one direction. */
Test(layers, rank_2_has_rank_2)
{
    struct dice dice = dice_open("rank_2");
    sona_engine *engine = trained(&dice);
    const struct sona_model_layout *l = &engine->layout;
    const size_t part[] = {l->micro_a, l->micro_b};

    for (int f = 0; f < 2; f++) {
        const float *u = sona_model_floats(sona_learner_hot(engine->learner), part[f]);
        const float *v = u + l->dim_padded;
        double uu = 0, vv = 0, uv = 0;

        for (int i = 0; i < DIM; i++) {
            uu += (double)u[i] * (double)u[i];
            vv += (double)v[i] * (double)v[i];
            uv += (double)u[i] * (double)v[i];
        }
        cr_assert(gt(dbl, uu, 0));
        cr_assert(gt(dbl, vv, 0));
        if (f == 0) /* one outcome after the fold moves both rows of B along one head */
            cr_assert(lt(dbl, uv * uv, 0.9 * uu * vv), "seed %llu", (unsigned long long)dice.seed);
    }
    for (int i = 0; i < 20; i++) {
        float x[DIM];
        sona_decision d;

        query(x, dice_below(&dice, 4), &dice);
        cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, 0, &d), SONA_OK));
        cr_assert(eq(int, sona_engine_outcome(engine, d.id, dice_unit(&dice), 0, 0), SONA_OK));
    }
    const float *b = sona_model_floats(sona_learner_hot(engine->learner), l->micro_b);
    const struct sona_kernels *kernels = sona_kernels_active();
    double uu = (double)kernels->dot(b, b, l->dim_padded);
    double vv = (double)kernels->dot(b + l->dim_padded, b + l->dim_padded, l->dim_padded);
    double uv = (double)kernels->dot(b, b + l->dim_padded, l->dim_padded);
    cr_assert(lt(dbl, uv * uv, 0.9999 * uu * vv), "seed %llu", (unsigned long long)dice.seed);
    sona_engine_destroy(&engine);
}
