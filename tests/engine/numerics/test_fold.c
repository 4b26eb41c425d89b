/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The fold against the dense matrix B_0 A_0 + s B_m A_m and its singular values. */
#include "oracle.h"
#include "tests/engine/learner_fixture.h"

/* ret += scale sum_r b_r a_r', dense. */
static void add_product(double *ret, const float *b, const float *a, uint32_t rank, double scale)
{
    for (uint32_t r = 0; r < rank; r++)
        for (uint32_t i = 0; i < DIM; i++)
            for (uint32_t j = 0; j < DIM; j++)
                ret[i * DIM + j] += scale * (double)b[r * DIM + i] * (double)a[r * DIM + j];
}

static void dense_base(const struct sona_learner *l, double *ret)
{
    const struct sona_model_layout *layout = &l->layout;

    memset(ret, 0, DIM * DIM * sizeof *ret);
    add_product(ret, sona_model_floats(sona_learner_cold(l), layout->base_b),
                sona_model_floats(sona_learner_cold(l), layout->base_a), layout->geometry.base_rank,
                1);
}

static void draw_rows(float *rows, uint32_t count, double norm, struct dice *dice)
{
    for (uint32_t r = 0; r < count; r++) {
        double length = 0;

        for (uint32_t i = 0; i < DIM; i++) {
            rows[r * DIM + i] = dice_signed(dice);
            length += (double)rows[r * DIM + i] * (double)rows[r * DIM + i];
        }
        for (uint32_t i = 0; i < DIM; i++)
            rows[r * DIM + i] = (float)(norm * (double)rows[r * DIM + i] / sqrt(length));
    }
}

/* Eckart and Young: no matrix of that rank is nearer in the Frobenius norm than the truncation,
 * whose distance is the root of the discarded squares. */
Test(fold, is_the_best_approximation_of_its_rank_and_discards_what_it_says)
{
    struct dice dice = dice_open("is_the_best_approximation_of_its_rank_and_discards_what_it_says");

    for (int round = 0; round < 60; round++) {
        sona_config config = learner_config();
        struct sona_learner *l;
        const struct sona_model_layout *layout;
        double whole[DIM * DIM], after[DIM * DIM], s[DIM], v[DIM * DIM], kept[DIM];
        double square = 0, sum = 0, distance = 0, discarded, size = 0.02 + 0.1 * dice_unit(&dice);
        uint32_t rank;

        config.base_lora_rank = rank = 4 + dice_below(&dice, 13);
        config.micro_lora_rank = 1 + dice_below(&dice, 2);
        config.lora_alpha = 0.5f + dice_unit(&dice);
        l = learner_open(&config, 1);
        layout = &l->layout;
        draw_rows(sona_model_floats_of(sona_learner_cold(l), layout->base_a),
                  dice_below(&dice, rank + 1), 1, &dice); /* not always of full rank */
        draw_rows(sona_model_floats_of(sona_learner_cold(l), layout->base_b), rank, size, &dice);
        draw_rows(sona_model_floats_of(sona_learner_hot(l), layout->micro_a),
                  config.micro_lora_rank, 1, &dice);
        draw_rows(sona_model_floats_of(sona_learner_hot(l), layout->micro_b),
                  config.micro_lora_rank, size, &dice);
        dense_base(l, whole);
        add_product(whole, sona_model_floats(sona_learner_hot(l), layout->micro_b),
                    sona_model_floats(sona_learner_hot(l), layout->micro_a), config.micro_lora_rank,
                    (double)sona_learner_head(l)->micro_scale);
        oracle_singular(whole, DIM, s, v);
        discarded = sona_learner_fold(l);
        dense_base(l, after);
        for (uint32_t i = rank; i < DIM; i++) {
            square += s[i] * s[i];
            sum += s[i];
        }
        for (uint32_t i = 0; i < DIM * DIM; i++)
            distance += (whole[i] - after[i]) * (whole[i] - after[i]);
        cr_assert(epsilon_eq(dbl, sqrt(distance), sqrt(square), 1e-5), "rank %u, seed %llu", rank,
                  (unsigned long long)dice.seed);
        cr_assert(epsilon_eq(dbl, discarded, sum, 1e-5), "rank %u, seed %llu", rank,
                  (unsigned long long)dice.seed);
        oracle_singular(after, DIM, kept, v);
        for (uint32_t i = 0; i < DIM; i++)
            cr_assert(epsilon_eq(dbl, kept[i], i < rank ? s[i] : 0, 1e-5),
                      "singular value %u of rank %u, seed %llu", i, rank,
                      (unsigned long long)dice.seed);
        free(l);
    }
}

/* What would be longer than the adapter may be is scaled down, all alike, and counted. */
Test(fold, of_too_much_keeps_the_directions_and_counts_the_rest)
{
    struct dice dice = dice_open("of_too_much_keeps_the_directions_and_counts_the_rest");
    sona_config config = learner_config();
    struct sona_learner *l = learner_open(&config, 1);
    double whole[DIM * DIM], after[DIM * DIM], s[DIM], kept[DIM], v[DIM * DIM], norm = 0, lost = 0;
    double discarded;

    draw_rows(sona_model_floats_of(sona_learner_cold(l), l->layout.base_a), 4, 1, &dice);
    draw_rows(sona_model_floats_of(sona_learner_cold(l), l->layout.base_b), 4, 3, &dice);
    dense_base(l, whole);
    oracle_singular(whole, DIM, s, v);
    discarded = sona_learner_fold(l); /* of a MicroLoRA that is zero */
    dense_base(l, after);
    oracle_singular(after, DIM, kept, v);
    for (uint32_t i = 0; i < 4; i++)
        norm += s[i] * s[i];
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert(epsilon_eq(dbl, kept[i], s[i] / sqrt(norm), 1e-5), "seed %llu",
                  (unsigned long long)dice.seed);
        lost += s[i] * (1 - 1 / sqrt(norm));
    }
    cr_assert(epsilon_eq(dbl, discarded, lost, 1e-4));
    free(l);
}
