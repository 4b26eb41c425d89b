/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The baselines are what they say they are: each learns what it can learn, and each update is held
 * against a solver that knows nothing of how it is done. */
#include "tests/tools/set_fixture.h"

#include "perf/learning/baselines/dense.h"
#include "perf/learning/baselines/learner.h"
#include "perf/learning/baselines/ridge.h"
#include "tools/replay/run.h"

#define DIM    7u
#define ROUTES 3u

static const double no_cost[ROUTES];

static struct sona_baseline_choice parsed(const char *text)
{
    struct sona_baseline_choice choice;
    sona_diag diag = {0};

    cr_assert(eq(int, sona_baseline_parse(&choice, text, &diag), SONA_OK), "%s", diag.text);
    return choice;
}

/* A baseline of DIM and ROUTES without costs. */
static void *started(const struct sona_baseline_choice *choice)
{
    struct sona_baseline_setup setup = {.dim = DIM, .routes = ROUTES, .cost = no_cost, .seed = 3};
    void *self;

    memcpy(setup.param, choice->param, sizeof setup.param);
    self = choice->baseline->init(&setup);
    cr_assert(ne(ptr, self, NULL));
    return self;
}

static void random_x(struct sona_tools_random *random, double *x)
{
    double square = 0;

    for (uint32_t j = 0; j < DIM; j++) {
        x[j] = 2 * sona_tools_random_unit(random) - 1;
        square += x[j] * x[j];
    }
    for (uint32_t j = 0; j < DIM; j++)
        x[j] /= sqrt(square);
}

static struct sona_replay_result replayed(const char *text, const struct sona_tools_dataset *set,
                                          uint32_t delay)
{
    struct sona_baseline_choice choice = parsed(text);
    struct sona_baseline_learner *learner;
    struct sona_replay_setup setup = {
        .set = set,
        .spec = {.rows = 1000, .test = 300, .seed = 4, .lambda = 0.1f},
        .embedded = true,
        .feedback = 1,
        .delay = delay,
    };
    static struct sona_replay_result result;
    sona_diag diag = {0};

    cr_assert(eq(int, sona_baseline_open(&learner, &choice, set, 0.1, 4, &setup.learner, &diag),
                 SONA_OK));
    cr_assert(eq(int, sona_replay_run(&setup, &result, &diag), SONA_OK), "%s", diag.text);
    sona_baseline_close(&learner);
    return result;
}

Test(baselines, each_with_a_context_learns_which_route_is_right_for_which_topic)
{
    static const char *const text[] = {"adagrad",  "linucb",          "lints:alpha=0.1",
                                       "knn:k=20", "knn:k=20,each=1", "linucb:told_cost=1"};
    struct sona_tools_dataset set = fixture_set(1500, ROUTES, 6);

    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        struct sona_replay_result result = replayed(text[i], &set, 0);

        cr_expect(gt(dbl, result.tail_reward, 0.8), "%s: %f", text[i], result.tail_reward);
        cr_expect(gt(dbl, result.policy[SONA_REPLAY_MARKS], 0.88), "%s", text[i]);
        cr_expect(eq(u64, result.told, 1000), "%s", text[i]);
    }
    sona_tools_dataset_close(&set);
}

Test(baselines, late_outcomes_meet_the_decision_they_belong_to)
{
    struct sona_tools_dataset set = fixture_set(1500, ROUTES, 6);
    struct sona_replay_result result = replayed("linucb", &set, 100);

    cr_expect(gt(dbl, result.tail_reward, 0.8), "%f", result.tail_reward);
    cr_expect(eq(u64, result.told, 1000));
    sona_tools_dataset_close(&set);
}

Test(baselines, the_context_free_mean_finds_the_best_single_route)
{
    static const char *const text[] = {"mean", "mean:epsilon=0,ucb=0.2",
                                       "mean:epsilon=1,horizon=50"};
    struct sona_tools_dataset set = fixture_set(1500, ROUTES, 6);

    for (uint32_t r = 0; r < set.rows; r++)
        set.quality[(size_t)r * ROUTES + 1] += 0.1f; /* now route 1 is the best of all */
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        struct sona_replay_result result = replayed(text[i], &set, 0);

        cr_expect(eq(u32, result.base.best_route, 1));
        cr_expect(gt(dbl, result.policy[SONA_REPLAY_MARKS], 0.45), "%s: %f", text[i],
                  result.policy[SONA_REPLAY_MARKS]);
    }
    sona_tools_dataset_close(&set);
}

/* Gaussian elimination with pivots on a copy: what a rank-one update must agree with. */
static void solve(const double *matrix, const double *right, double *ret, uint32_t n)
{
    double a[DIM + 1][DIM + 2];

    for (uint32_t i = 0; i < n; i++) {
        memcpy(a[i], matrix + i * n, n * sizeof **a);
        a[i][n] = right[i];
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t pivot = i;

        for (uint32_t r = i + 1; r < n; r++)
            pivot = fabs(a[r][i]) > fabs(a[pivot][i]) ? r : pivot;
        for (uint32_t j = 0; j <= n; j++) {
            double swap = a[i][j];

            a[i][j] = a[pivot][j];
            a[pivot][j] = swap;
        }
        for (uint32_t r = 0; r < n; r++) {
            double factor = r == i ? 0 : a[r][i] / a[i][i];

            for (uint32_t j = i; j <= n; j++)
                a[r][j] -= factor * a[i][j];
        }
    }
    for (uint32_t i = 0; i < n; i++)
        ret[i] = a[i][n] / a[i][i];
}

Test(baselines, ridge_by_rank_one_updates_equals_a_dense_solver)
{
    const double penalty = 3, bias = 2, prior = 0.4;
    struct sona_ridge *ridge = sona_ridge_init(DIM, ROUTES, penalty, bias, prior);
    struct sona_tools_random random = sona_tools_random_init(11, 1);
    double a[(DIM + 1) * (DIM + 1)] = {0}, b[DIM + 1] = {0}, z[DIM + 1], theta[DIM + 1];
    double az[DIM + 1], value[ROUTES], variance[ROUTES];
    const uint32_t n = DIM + 1;

    for (uint32_t i = 0; i < n; i++)
        a[i * n + i] = penalty;
    z[DIM] = bias;
    for (uint32_t t = 0; t < 500; t++) {
        double v = sona_tools_random_unit(&random);

        random_x(&random, z);
        sona_ridge_learn(ridge, z, t % 5 == 0 ? 0 : 1, v);
        if (t % 5 == 0)
            continue;
        for (uint32_t i = 0; i < n; i++) {
            b[i] += z[i] * (v - prior);
            for (uint32_t j = 0; j < n; j++)
                a[i * n + j] += z[i] * z[j];
        }
    }
    random_x(&random, z);
    sona_ridge_predict(ridge, z, value, variance);
    solve(a, b, theta, n);
    solve(a, z, az, n);
    cr_expect(epsilon_eq(dbl, value[1], prior + sona_dense_dot(theta, z, n), 1e-10));
    cr_expect(epsilon_eq(dbl, variance[1], sona_dense_dot(z, az, n), 1e-7));
    cr_expect(epsilon_eq(dbl, value[2], prior, 0), "nothing was learned about route 2");
    cr_expect(epsilon_eq(dbl, variance[2], (1 + bias * bias) / penalty, 1e-6));
    sona_ridge_done(ridge);
}

Test(baselines, adagrad_moves_by_the_rate_over_the_root_of_its_squared_gradients)
{
    struct sona_baseline_choice choice = parsed("adagrad:rate=0.2,start=0.01,prior=0.3");
    void *self = started(&choice);
    double w[DIM + 1] = {[DIM] = 0.3}, square[DIM + 1], x[DIM + 1] = {[DIM] = 1}, score[ROUTES];
    struct sona_tools_random random = sona_tools_random_init(12, 1);

    for (uint32_t j = 0; j <= DIM; j++)
        square[j] = 0.01;
    for (uint32_t t = 0; t < 20; t++) {
        double value = sona_tools_random_unit(&random), error = value;

        random_x(&random, x);
        for (uint32_t j = 0; j <= DIM; j++)
            error -= w[j] * x[j];
        choice.baseline->learn(self, x, 1, value);
        for (uint32_t j = 0; j <= DIM; j++) {
            square[j] += error * x[j] * error * x[j];
            w[j] += 0.2 * error * x[j] / sqrt(square[j]);
        }
    }
    random_x(&random, x);
    choice.baseline->score(self, x, score);
    cr_expect(epsilon_eq(dbl, score[1], sona_dense_dot(w, x, DIM) + w[DIM], 1e-12));
    cr_expect(epsilon_eq(dbl, score[0], 0.3, 1e-12));
    choice.baseline->done(self);
}

Test(baselines, linucb_adds_its_bound_to_what_it_expects)
{
    struct sona_baseline_choice choice = parsed("linucb:ridge=2,alpha=1,bias=0");
    void *self = started(&choice);
    double x[DIM] = {1}, other[DIM] = {0, 1}, score[ROUTES];

    /* x: route 0 is worth 0.8 / 3 there, with a bound of sqrt(1/3); the others 0 with sqrt(1/2). */
    choice.baseline->learn(self, x, 0, 0.8);
    choice.baseline->score(self, x, score);
    cr_expect(epsilon_eq(dbl, score[0], 0.8 / 3, 1e-12));
    cr_expect(eq(u32, choice.baseline->choose(self, x), 0), "0.844 against 0.707");
    choice.baseline->learn(self, x, 0, 0.1);
    /* 0.9 / 4 + sqrt(1/4) = 0.725 */
    cr_expect(eq(u32, choice.baseline->choose(self, x), 0));
    choice.baseline->learn(self, x, 0, 0.1);
    /* 1 / 5 + sqrt(1/5) = 0.647 */
    cr_expect(eq(u32, choice.baseline->choose(self, x), 1));
    cr_expect(eq(u32, choice.baseline->choose(self, other), 0), "all alike there");
    choice.baseline->done(self);
}

Test(baselines, lints_draws_as_often_as_its_posterior_says)
{
    struct sona_baseline_choice choice = parsed("lints:ridge=1,alpha=0.5,bias=0");
    void *self = started(&choice);
    double x[DIM] = {1};
    const uint32_t n = 40000;
    uint32_t first = 0;

    /* Route 2 is out of the race; 0: N(0.4, 0.25 / 2) against 1: N(0, 0.25 / 1). */
    for (uint32_t t = 0; t < 400; t++)
        choice.baseline->learn(self, x, 2, -100);
    choice.baseline->learn(self, x, 0, 0.8);
    for (uint32_t t = 0; t < n; t++)
        first += choice.baseline->choose(self, x) == 0;
    /* P(difference > 0) = Phi(0.4 / sqrt(0.375)) = 0.7432; five standard errors */
    cr_expect(epsilon_eq(dbl, (double)first / n, 0.5 * erfc(-0.4 / sqrt(0.375) / sqrt(2)), 0.011));
    choice.baseline->done(self);
}

struct seen {
    double similarity, value;
    uint32_t route;
};

static int by_similarity(const void *a, const void *b)
{
    double x = ((const struct seen *)a)->similarity, y = ((const struct seen *)b)->similarity;

    return x > y ? -1 : x < y;
}

/* What the k nearest say, by sorting all of them. */
static void sorted_knn(struct seen *seen, uint32_t n, uint32_t k, bool each, double heat,
                       double shrink, double *ret)
{
    double near[ROUTES] = {0}, sum[ROUTES] = {0}, all[ROUTES] = {0}, total[ROUTES] = {0};
    uint32_t taken[ROUTES] = {0}, any = 0;
    double nearest[ROUTES];

    qsort(seen, n, sizeof *seen, by_similarity);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t r = seen[i].route, *count = each ? &taken[r] : &any;
        double weight;

        all[r]++;
        total[r] += seen[i].value;
        if (*count == k)
            continue;
        if (*count == 0)
            nearest[each ? r : 0] = seen[i].similarity;
        weight = heat > 0 ? exp((seen[i].similarity - nearest[each ? r : 0]) / heat) : 1;
        near[r] += weight;
        sum[r] += weight * seen[i].value;
        ++*count;
    }
    for (uint32_t r = 0; r < ROUTES; r++)
        ret[r] = (sum[r] + shrink * (total[r] + 0.5) / (all[r] + 1)) / (near[r] + shrink);
}

Test(baselines, knn_equals_a_full_sort)
{
    static const struct {
        const char *text;
        uint32_t k;
        bool each;
        double heat, shrink;
    } cases[] = {{"knn:k=1", 1, false, 0, 1},
                 {"knn:k=25,shrink=3", 25, false, 0, 3},
                 {"knn:k=25,heat=0.1", 25, false, 0.1, 1},
                 {"knn:k=9,each=1,heat=0.2", 9, true, 0.2, 1},
                 {"knn:k=5000", 5000, false, 0, 1}};
    struct sona_tools_random random = sona_tools_random_init(13, 1);

    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct sona_baseline_choice choice = parsed(cases[c].text);
        void *self = started(&choice);
        double x[400][DIM], query[DIM], score[ROUTES], want[ROUTES];
        struct seen seen[400];

        random_x(&random, query);
        for (uint32_t t = 0; t < 400; t++) {
            random_x(&random, x[t]);
            seen[t] =
                (struct seen){sona_dense_dot(x[t], query, DIM), sona_tools_random_unit(&random),
                              sona_tools_random_below(&random, ROUTES)};
            choice.baseline->learn(self, x[t], seen[t].route, seen[t].value);
        }
        choice.baseline->score(self, query, score);
        sorted_knn(seen, 400, cases[c].k, cases[c].each, cases[c].heat, cases[c].shrink, want);
        for (uint32_t r = 0; r < ROUTES; r++)
            cr_expect(epsilon_eq(dbl, score[r], want[r], 1e-5), "%s, route %u", cases[c].text, r);
        choice.baseline->done(self);
    }
}

Test(baselines, the_mean_is_the_mean_and_its_bound_calls_for_the_untried)
{
    struct sona_baseline_choice choice = parsed("mean:epsilon=0,ucb=1");
    void *self = started(&choice);
    double x[DIM] = {1}, score[ROUTES];

    for (uint32_t t = 0; t < 9; t++)
        choice.baseline->learn(self, x, 0, 0.7);
    choice.baseline->score(self, x, score);
    cr_expect(epsilon_eq(dbl, score[0], (9 * 0.7 + 0.5) / 10, 1e-12));
    cr_expect(epsilon_eq(dbl, score[1], 0.5, 1e-12));
    cr_expect(eq(u32, choice.baseline->choose(self, x), 1));
    choice.baseline->done(self);
}

Test(baselines, a_falling_epsilon_explores_as_often_as_it_says)
{
    struct sona_baseline_greedy greedy = {
        .random = sona_tools_random_init(5, 1), .epsilon = 1, .horizon = 100};
    const double score[] = {0, 0, 1, 0};
    uint32_t other = 0;
    double want = 0;

    for (uint32_t t = 1; t <= 20000; t++) {
        other += sona_baseline_greedy_choose(&greedy, score, 4) != 2;
        want += 0.75 * (t > 100 ? 100.0 / t : 1);
    }
    /* about 472, five standard deviations */
    cr_expect(epsilon_eq(dbl, other, want, 5 * sqrt(want)), "%u of %f", other, want);
}

Test(baselines, operations_equal_plain_loops_on_every_width)
{
    struct sona_tools_random random = sona_tools_random_init(14, 1);

    for (uint32_t n = 1; n <= 40; n++) {
        double *m = calloc((size_t)n * n, sizeof *m), *lower = calloc((size_t)n * n, sizeof *m);
        double x[48] = {0}, y[48], want[48];
        double form = 0, square = 0;
        float *packed = calloc(sona_dense_packed_size(n), sizeof *packed), xf[48] = {0};

        for (uint32_t i = 0; i < n; i++) {
            x[i] = 2 * sona_tools_random_unit(&random) - 1;
            xf[i] = (float)x[i];
            square += x[i] * x[i];
            for (uint32_t j = 0; j <= i; j++)
                m[i * n + j] = m[j * n + i] = lower[i * n + j] =
                    2 * sona_tools_random_unit(&random) - 1;
        }
        /* Nothing above the diagonal is read. */
        for (uint32_t i = 0; i < n; i++)
            for (uint32_t j = i + 1; j < n; j++)
                lower[i * n + j] = (double)NAN;
        sona_dense_times(lower, x, y, n);
        for (uint32_t i = 0; i < n; i++) {
            double sum = 0;

            for (uint32_t j = 0; j < n; j++)
                sum += m[i * n + j] * x[j];
            cr_expect(epsilon_eq(dbl, y[i], sum, 1e-12), "width %u, row %u", n, i);
            form += x[i] * sum;
        }
        sona_dense_rank_one(lower, 0.5, x, packed, n);
        cr_expect(
            epsilon_eq(dbl, sona_dense_form(packed, xf, n), form + 0.5 * square * square, 1e-4),
            "width %u", n);
        for (uint32_t i = 0; i < n; i++)
            want[i] = y[i] + 0.5 * x[i] * square;
        sona_dense_times(lower, x, y, n);
        for (uint32_t i = 0; i < n; i++)
            cr_expect(epsilon_eq(dbl, y[i], want[i], 1e-12), "width %u, row %u", n, i);
        free(m);
        free(lower);
        free(packed);
    }
}

Test(baselines, what_is_not_known_is_refused_with_a_sentence)
{
    static const char *const bad[] = {"bogus",
                                      "linucb:bogus=1",
                                      "linucb:ridge=-1",
                                      "linucb:ridge",
                                      "knn:k=abc",
                                      "mean:told_cost=2",
                                      ""};
    struct sona_baseline_choice choice = {0};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sona_diag diag = {0};

        cr_expect(eq(int, sona_baseline_parse(&choice, bad[i], &diag), SONA_E_ARGUMENT), "%s",
                  bad[i]);
        cr_expect(ne(chr, diag.text[0], '\0'), "%s", bad[i]);
    }
    cr_expect(eq(ptr, (void *)choice.baseline, NULL), "untouched");
}
