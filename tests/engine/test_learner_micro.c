/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* MicroLoRA: its gradient against finite differences, its step, its fold. And the step of the
 * AdaGrad head, by the same means. */
#include "tests/engine/learner_fixture.h"

struct problem {
    struct sona_model_layout layout;
    float a[2 * DIM_PADDED], b[2 * DIM_PADDED], w[DIM_PADDED], x[DIM_PADDED];
    float scale, target;
};

static void draw_problem(struct problem *p, struct dice *dice)
{
    sona_geometry g = {
        .dim = DIM,
        .routes_max = 2,
        .micro_rank = 1 + dice_below(dice, 2),
        .base_rank = 4,
        .layers = 1,
        .patterns_max = 2,
    };

    cr_assert(eq(int, sona_model_layout_init(&p->layout, &g), SONA_OK));
    for (int i = 0; i < 2 * DIM; i++) {
        p->a[i] = dice_signed(dice);
        p->b[i] = dice_signed(dice);
    }
    for (int i = 0; i < DIM; i++) {
        p->w[i] = dice_signed(dice);
        p->x[i] = 0.3f * dice_signed(dice);
    }
    p->scale = 0.1f + dice_unit(dice);
    p->target = dice_signed(dice);
}

/* (target - w.(s B A x))^2 / 2, in double. */
static double loss(const struct problem *p)
{
    double e = (double)p->target;

    for (uint32_t r = 0; r < p->layout.geometry.micro_rank; r++) {
        double ax = 0, bw = 0;

        for (int i = 0; i < DIM; i++) {
            ax += (double)p->a[r * DIM + i] * (double)p->x[i];
            bw += (double)p->b[r * DIM + i] * (double)p->w[i];
        }
        e -= (double)p->scale * ax * bw;
    }
    return e * e / 2;
}

Test(micro, the_gradient_is_that_of_the_squared_error)
{
    struct dice dice = dice_open("the_gradient_is_that_of_the_squared_error");

    for (int round = 0; round < 50; round++) {
        struct problem p;
        float in_a[2 * DIM], in_b[2 * DIM];

        draw_problem(&p, &dice);
        sona_learner_micro_gradient(&p.layout, p.a, p.b, p.scale, p.w, p.x, p.target, in_a, in_b);
        for (uint32_t i = 0; i < p.layout.geometry.micro_rank * DIM; i++)
            for (int which = 0; which < 2; which++) {
                float *at = which ? &p.b[i] : &p.a[i], keep = *at;
                double up, down, width;

                *at = keep + 1e-3f;
                width = (double)*at;
                up = loss(&p);
                *at = keep - 1e-3f;
                width -= (double)*at;
                down = loss(&p);
                *at = keep;
                cr_assert(
                    epsilon_eq(dbl, (up - down) / width, (double)(which ? in_b : in_a)[i], 1e-4),
                    "%c[%u], seed %llu", which ? 'B' : 'A', i, (unsigned long long)dice.seed);
            }
    }
}

Test(micro, one_step_goes_down_the_gradient_by_the_rate)
{
    struct dice dice = dice_open("one_step_goes_down_the_gradient_by_the_rate");
    sona_config config = learner_config();

    for (int round = 0; round < 50; round++) {
        struct sona_learner *l = learner_open(&config, 2);
        float *a = sona_model_floats_of(sona_learner_hot(l), l->layout.micro_a);
        float *b = sona_model_floats_of(sona_learner_hot(l), l->layout.micro_b);
        float was_a[2 * DIM], was_b[2 * DIM], in_a[2 * DIM], in_b[2 * DIM], w[DIM], x[DIM];

        for (int i = 0; i < 2 * DIM; i++)
            b[i] = 0.001f * dice_signed(&dice); /* well inside the bounds */
        for (int i = 0; i < DIM; i++)
            w[i] = dice_signed(&dice);
        topic_query(x, dice_below(&dice, DIM), 0.3f, &dice);
        memcpy(was_a, a, sizeof was_a);
        memcpy(was_b, b, sizeof was_b);
        sona_learner_micro_gradient(&l->layout, a, b, sona_learner_head(l)->micro_scale, w, x, 0.4f,
                                    in_a, in_b);
        sona_learner_micro_step(l, w, x, 0.4f);
        for (int i = 0; i < 2 * DIM; i++) {
            cr_assert(epsilon_eq(flt, a[i], was_a[i] - config.micro_lora_lr * in_a[i], 1e-6f));
            cr_assert(epsilon_eq(flt, b[i], was_b[i] - config.micro_lora_lr * in_b[i], 1e-6f));
        }
        free(l);
    }
}

/* Take out of x what the rows of A see of it; each row in turn, a few times, as they are not
 * orthogonal. */
static void hide_from(const float *a, uint32_t rank, float *x)
{
    for (int pass = 0; pass < 20; pass++)
        for (uint32_t r = 0; r < rank; r++) {
            double ax = 0, aa = 0;

            for (int i = 0; i < DIM; i++) {
                ax += (double)a[r * DIM + i] * (double)x[i];
                aa += (double)a[r * DIM + i] * (double)a[r * DIM + i];
            }
            for (int i = 0; i < DIM; i++)
                x[i] = (float)((double)x[i] - ax / aa * (double)a[r * DIM + i]);
        }
}

Test(micro, a_first_outcome_is_felt_by_a_query_that_the_random_start_does_not_see)
{
    struct dice dice =
        dice_open("a_first_outcome_is_felt_by_a_query_that_the_random_start_does_not_see");

    for (uint32_t rank = 1; rank <= 2; rank++)
        for (int good = 0; good < 2; good++) {
            sona_config config = learner_config();
            struct sona_model_view view;
            struct sona_learner *l;
            float x[DIM], y[DIM];

            config.micro_lora_rank = rank;
            l = learner_open(&config, 2);
            view = sona_learner_view(l);
            topic_query(x, dice_below(&dice, DIM), 0.3f, &dice);
            hide_from(sona_model_floats(view.hot, l->layout.micro_a), rank, x);
            sona_model_apply(&view, x, y);
            cr_assert(zero(int, memcmp(x, y, sizeof x)));
            cr_assert(eq(int, teach(l, x, 0, good ? 0.9f : 0.2f), SONA_OK));
            sona_model_apply(&view, x, y);
            cr_assert(ne(int, memcmp(x, y, sizeof x), 0), "seed %llu",
                      (unsigned long long)dice.seed);
            cr_assert(gt(dbl, good ? bend(l, x, 0) : -bend(l, x, 0), 0), "seed %llu",
                      (unsigned long long)dice.seed);
            free(l);
        }
}

Test(micro, the_scores_see_what_the_adapter_does)
{
    struct dice dice = dice_open("the_scores_see_what_the_adapter_does");
    sona_config config = learner_config();
    struct sona_learner *l = learner_open(&config, 3);
    struct sona_model_view view = sona_learner_view(l);
    void *memory = aligned_alloc(64, sona_model_scratch_bytes(&l->layout));
    struct sona_model_scores scores;

    sona_model_scratch_init(&l->layout, memory, &scores);
    teach_topics(l, 200, 3, &dice);
    for (int round = 0; round < 20; round++) {
        float x[DIM];

        topic_query(x, dice_below(&dice, 4), 0.1f, &dice);
        cr_assert(eq(int, sona_model_score(&view, x, NULL, &scores), SONA_OK));
        for (uint32_t k = 0; k < 3; k++)
            cr_assert(epsilon_eq(dbl, (double)scores.term[3][k], bend(l, x, k), 1e-4),
                      "u_4k = w_k.(y - x), seed %llu", (unsigned long long)dice.seed);
    }
    free(memory);
    free(l);
}

/* h_k = s B' w_k as stored against the product, in lengths of b_r and w_k. */
static double worst_head(const struct sona_learner *l, uint32_t n_routes)
{
    const float *h = sona_model_floats(sona_learner_hot(l), l->layout.micro_heads);
    const float *b = sona_model_floats(sona_learner_hot(l), l->layout.micro_b);
    double worst = 0, scale = (double)sona_learner_head(l)->micro_scale;

    for (uint32_t k = 0; k < n_routes; k++)
        for (uint32_t r = 0; r < l->layout.geometry.micro_rank; r++) {
            const float *w = head_of(l, k), *row = b + (size_t)r * DIM_PADDED;
            double product = 0, bb = 0, ww = 0, off;

            for (int i = 0; i < DIM; i++) {
                product += (double)row[i] * (double)w[i];
                bb += (double)row[i] * (double)row[i];
                ww += (double)w[i] * (double)w[i];
            }
            off = fabs((double)h[k * SONA_MICRO_RANK_MAX + r] - scale * product);
            if (bb > 0 && ww > 0 && off / (scale * sqrt(bb * ww)) > worst)
                worst = off / (scale * sqrt(bb * ww));
        }
    return worst;
}

/* Between two refreshes the heads follow B by what each step did to it; the rate is large enough
 * for rows of B to be scaled back all the time. */
Test(micro, heads_follow_the_adapter_through_any_steps)
{
    struct dice dice = dice_open("heads_follow_the_adapter_through_any_steps");
    sona_config config = learner_config();
    double worst = 0;

    for (int round = 0; round < 20; round++) {
        struct sona_learner *l;

        config.micro_lora_lr = round % 2 ? 0.002f : 1;
        config.micro_lora_rank = 1 + dice_below(&dice, 2);
        config.background = 0;
        l = learner_open(&config, 3);
        for (int step = 0; step < 150; step++) {
            float x[DIM];

            topic_query(x, dice_below(&dice, DIM), 0.3f, &dice);
            if (dice_below(&dice, 5) == 0)
                sona_learner_micro_step(l, x, x, dice_signed(&dice));
            else
                teach(l, x, dice_below(&dice, 3), dice_unit(&dice));
            worst = fmax(worst, worst_head(l, 3));
        }
        free(l);
    }
    cr_assert(lt(dbl, worst, 2e-5), "%g, seed %llu", worst, (unsigned long long)dice.seed);
}

Test(heads, one_adagrad_step_follows_the_gradient_of_its_own_error)
{
    struct dice dice = dice_open("one_adagrad_step_follows_the_gradient_of_its_own_error");
    sona_config config = learner_config();
    struct sona_learner *l = learner_open(&config, 2);
    float w[DIM], grad2[DIM], x[DIM];

    teach_topics(l, 50, 2, &dice);
    for (int round = 0; round < 50; round++) {
        double e = 0.8 - (double)sona_learner_row(l, 1)->bias;

        topic_query(x, dice_below(&dice, DIM), 0.3f, &dice);
        memcpy(w, head_of(l, 1), sizeof w);
        memcpy(grad2, sona_learner_floats(l, l->grad2) + DIM, sizeof grad2);
        for (int i = 0; i < DIM; i++)
            e -= (double)w[i] * (double)x[i];
        sona_learner_heads_adagrad(l, 1, x, 0.8f);
        for (int i = 0; i < DIM; i++) {
            double minus = e * (double)x[i]; /* of (0.8 - w.x - b)^2 / 2 in w_i */
            double want =
                (double)w[i] + 0.1 * minus / sqrt((double)grad2[i] + minus * minus + 1e-4);

            cr_assert(epsilon_eq(dbl, (double)head_of(l, 1)[i], want, 1e-5), "seed %llu",
                      (unsigned long long)dice.seed);
        }
    }
    free(l);
}

Test(heads, a_code_step_is_recursive_least_squares)
{
    struct dice dice = dice_open("a_code_step_is_recursive_least_squares");
    sona_config config = learner_config();
    struct sona_learner *l = learner_open(&config, 2);
    uint32_t n = l->layout.code_dim;
    double precision[5 * 5] = {0}, moment[5] = {0}, want[5];
    const float *g = sona_learner_part(l, 0, l->layout.route_code);
    float prior[5 * 16];

    sona_learner_heads_prior(&l->layout, prior);
    for (uint32_t i = 0; i < n; i++)
        precision[i * n + i] = 1 / (double)prior[i * l->layout.code_padded + i];
    for (int round = 0; round < 300; round++) {
        float x[DIM] = {1}, z[16] = {0}, quality = dice_unit(&dice);

        for (uint32_t i = 0; i < n; i++)
            z[i] = i + 1 < n ? 0.5f * dice_signed(&dice) : 1;
        sona_learner_heads_code(l, 0, x, z, quality);
        for (uint32_t i = 0; i < n; i++) {
            moment[i] += (double)quality * (double)z[i];
            for (uint32_t j = 0; j < n; j++)
                precision[i * n + j] += (double)z[i] * (double)z[j];
        }
    }
    cr_assert(eq(int, sona_learner_solve(precision, n, n, moment, want), 1));
    for (uint32_t i = 0; i < n; i++)
        cr_assert(epsilon_eq(dbl, (double)g[i], want[i], 1e-3), "seed %llu",
                  (unsigned long long)dice.seed);
    free(l);
}

/* |a - b| of two vectors. */
static double apart(const float *a, const float *b)
{
    double sum = 0;

    for (int i = 0; i < DIM; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sqrt(sum);
}

Test(fold, keeps_y_up_to_the_discarded_mass)
{
    struct dice dice = dice_open("keeps_y_up_to_the_discarded_mass");
    sona_config config = learner_config();
    struct sona_learner *l;
    struct sona_model_view view;
    bool lost = false, exact = false;

    config.micro_lora_lr = 0.3f;
    l = learner_open(&config, 3);
    view = sona_learner_view(l);
    for (int round = 0; round < 12; round++) {
        float x[20][DIM], before[20][DIM], after[DIM];
        double discarded;

        teach_topics(l, 40, 3, &dice);
        for (int i = 0; i < 20; i++) {
            topic_query(x[i], dice_below(&dice, DIM), 0.3f, &dice);
            sona_model_apply(&view, x[i], before[i]);
        }
        sona_learner_base_keep(l);
        discarded = sona_learner_fold(l);
        sona_learner_micro_reset(l);
        for (int i = 0; i < 20; i++) {
            sona_model_apply(&view, x[i], after);
            cr_assert(le(dbl, apart(before[i], after), discarded + 1e-4), "round %d, seed %llu",
                      round, (unsigned long long)dice.seed);
        }
        cr_assert(gt(dbl, sona_learner_base_change(l), 0));
        lost |= discarded > 1e-3;
        exact |= discarded < 1e-4;
        assert_sound(l, dice.seed);
    }
    /* Rank 2 into rank 4: the first two folds fit, later ones cannot. */
    cr_assert(eq(int, exact, 1));
    cr_assert(eq(int, lost, 1));
    free(l);
}

Test(fold, of_nothing_changes_nothing)
{
    sona_config config = learner_config();
    struct sona_learner *l = learner_open(&config, 3);
    struct sona_model_view view = sona_learner_view(l);
    float x[DIM] = {1}, y[DIM];

    sona_learner_base_keep(l);
    cr_assert(eq(dbl, sona_learner_fold(l), 0));
    cr_assert(eq(dbl, sona_learner_base_change(l), 0));
    sona_model_apply(&view, x, y);
    cr_assert(eq(int, memcmp(x, y, sizeof x), 0));
    free(l);
}

Test(linalg, svd_rebuilds_the_matrix_from_orthonormal_factors)
{
    struct dice dice = dice_open("svd_rebuilds_the_matrix_from_orthonormal_factors");

    for (uint32_t n = 1; n <= 18; n++) {
        double m[18 * 18], u[18 * 18], s[18], v[18 * 18];

        for (uint32_t i = 0; i < n * n; i++)
            m[i] = (double)dice_signed(&dice) * (i / n % 3 == 2 ? 1e-9 : 1); /* nearly singular */
        sona_learner_svd(m, n, u, s, v);
        for (uint32_t i = 0; i < n; i++) {
            cr_assert(ge(dbl, s[i > 0 ? i - 1 : 0], s[i]));
            for (uint32_t j = 0; j < n; j++) {
                double sum = 0, uu = 0;

                for (uint32_t r = 0; r < n; r++) {
                    sum += s[r] * u[r * n + i] * v[r * n + j];
                    uu += u[i * n + r] * u[j * n + r];
                }
                cr_assert(epsilon_eq(dbl, sum, m[i * n + j], 1e-12), "n %u, seed %llu", n,
                          (unsigned long long)dice.seed);
                cr_assert(epsilon_eq(dbl, uu, i == j, 1e-12));
            }
        }
    }
}

Test(linalg, an_indefinite_matrix_is_not_solved)
{
    const double m[] = {1, 2, 2, 1}, b[] = {1, 1};
    double x[] = {7, 7}, inverse[4];

    cr_assert(eq(int, sona_learner_solve(m, 2, 2, b, x), 0));
    cr_assert(eq(dbl, x[0], 7));
    cr_assert(eq(int, sona_learner_invert(m, 2, 2, inverse), 0));
}
