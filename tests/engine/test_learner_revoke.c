/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* An outcome that was taken back, or replaced: what is as if it had never been, when, and who is
 * told. */
#include "tests/engine/learner_fixture.h"

#define NEAR(a, b, slack, ...) \
    cr_assert(lt(dbl, fabs((double)(a) - (double)(b)), slack), __VA_ARGS__)

/* A learner, what changes it, and room for how it was. */
struct scene {
    struct dice dice;
    sona_config config;
    struct sona_learner *l, *was; /* was: null, or a copy of l */
    struct sona_learner_job *job;
    float x[DIM];
};

static struct scene scene_open_with(const char *name, uint32_t routes, uint32_t replay, bool drift)
{
    struct scene s = {.dice = dice_open(name), .config = learner_config()};

    s.config.replay_capacity = replay;
    s.config.drift = drift;
    s.l = learner_open(&s.config, routes);
    s.job = job_open(&s.config);
    return s;
}

static struct scene scene_open(const char *name, uint32_t routes)
{
    return scene_open_with(name, routes, learner_config().replay_capacity, true);
}

static void scene_close(struct scene *s)
{
    free(s->was);
    free(s->job);
    free(s->l);
}

static sona_err tell(struct sona_learner *l, enum sona_learner_kind kind, uint64_t id,
                     const float *x, sona_route route, float quality)
{
    struct sona_learner_event event = {
        .kind = kind, .id = id, .x = x, .route = route, .quality = quality};

    return sona_learner_learn(l, &event);
}

static sona_err revoke(struct sona_learner *l, uint64_t id)
{
    return tell(l, SONA_LEARNER_REVOKE, id, NULL, SONA_ROUTE_NONE, 0);
}

/* Learned and counted under `id`; teach_topics() uses id 0 throughout. */
static void learn(struct sona_learner *l, uint64_t id, const float *x, sona_route route,
                  float quality)
{
    cr_assert(eq(int, tell(l, SONA_LEARNER_OUTCOME, id, x, route, quality), SONA_OK));
}

static double pattern_count(const struct sona_learner *l, uint32_t k)
{
    double sum = 0;

    for (uint32_t c = 0; c < sona_learner_head(l)->n_patterns; c++)
        sum += (double)sona_learner_tally(l, c)[l->layout.pattern_n / sizeof(float) + k];
    return sum;
}

static double pattern_sum(const struct sona_learner *l, uint32_t k)
{
    double sum = 0;

    for (uint32_t c = 0; c < sona_learner_head(l)->n_patterns; c++)
        sum += (double)sona_learner_tally(l, c)[l->layout.pattern_s / sizeof(float) + k];
    return sum;
}

/* Everything of route k that is taken back at once is what it is in `was`. */
static void assert_route_is(const struct sona_learner *l, const struct sona_learner *was,
                            uint32_t k, uint64_t seed)
{
    const struct sona_model_route *a = sona_learner_row(l, k), *b = sona_learner_row(was, k);
    const float *grad2 = sona_learner_floats(l, l->grad2) + (size_t)k * DIM_PADDED;
    const float *grad2_was = sona_learner_floats(was, was->grad2) + (size_t)k * DIM_PADDED;

    NEAR(a->n, b->n, 1e-5, "n, seed %llu", (unsigned long long)seed);
    NEAR(a->s, b->s, 1e-5, "s, seed %llu", (unsigned long long)seed);
    NEAR(a->mean, b->mean, 1e-6, "mean, seed %llu", (unsigned long long)seed);
    NEAR(a->bias, b->bias, 1e-6, "bias, seed %llu", (unsigned long long)seed);
    NEAR(sona_learner_routes(l)[k].bias_grad2, sona_learner_routes(was)[k].bias_grad2, 1e-5,
         "G of the bias, seed %llu", (unsigned long long)seed);
    for (int i = 0; i < DIM; i++) {
        NEAR(head_of(l, k)[i], head_of(was, k)[i], 1e-6, "w[%d], seed %llu", i,
             (unsigned long long)seed);
        NEAR(grad2[i], grad2_was[i], 1e-6, "G[%d], seed %llu", i, (unsigned long long)seed);
    }
    for (uint32_t c = 0; c < sona_learner_head(l)->n_patterns; c++)
        for (size_t i = 0; i < l->layout.pattern_stats.stride / sizeof(float); i++)
            NEAR(sona_learner_tally(l, c)[i], sona_learner_tally(was, c)[i], 1e-5,
                 "pattern %u float %zu, seed %llu", c, i, (unsigned long long)seed);
}

Test(revoke, with_nothing_in_between_head_mean_and_counts_are_what_they_were)
{
    struct scene s = scene_open("revoke", 3);

    for (uint32_t round = 0; round < 20; round++) {
        teach_topics(s.l, 30, 3, &s.dice);
        cycle(s.l, s.job);
        s.was = learner_copy(s.l);
        topic_query(s.x, round % 4, 0.3f, &s.dice);
        learn(s.l, 7, s.x, 1, (float)(round % 3) / 2);
        cr_assert(gt(
            dbl, fabs((double)(sona_learner_row(s.l, 1)->n - sona_learner_row(s.was, 1)->n)), 0.5));
        cr_assert(eq(int, revoke(s.l, 7), SONA_OK));
        assert_route_is(s.l, s.was, 1, s.dice.seed);
        assert_sound(s.l, s.dice.seed);
        cr_assert(eq(u64, sona_learner_head(s.l)->outcomes, sona_learner_head(s.was)->outcomes));
        NEAR(s.l->quality_sum, s.was->quality_sum, 1e-9, "seed %llu",
             (unsigned long long)s.dice.seed);
        NEAR(s.l->quality_count, s.was->quality_count, 1e-9, "seed %llu",
             (unsigned long long)s.dice.seed);
        free(s.was);
        s.was = NULL;
    }
    cr_assert(eq(u64, s.l->counter[SONA_COUNTER_revoked], 20));
    cr_assert(eq(u64, s.l->counter[SONA_COUNTER_learned], 620));
    scene_close(&s);
}

Test(revoke, with_others_in_between_the_step_back_is_no_longer_than_the_step)
{
    struct scene s = scene_open("revoke between", 2);
    float before[DIM], step[DIM];

    teach_topics(s.l, 20, 2, &s.dice);
    topic_query(s.x, 1, 0.2f, &s.dice);
    memcpy(before, head_of(s.l, 1), sizeof before);
    learn(s.l, 7, s.x, 1, 0);
    for (int i = 0; i < DIM; i++)
        step[i] = head_of(s.l, 1)[i] - before[i];
    teach_topics(s.l, 30, 2, &s.dice);
    s.was = learner_copy(s.l);
    cr_assert(eq(int, revoke(s.l, 7), SONA_OK));
    for (int i = 0; i < DIM; i++) {
        double back = (double)head_of(s.was, 1)[i] - (double)head_of(s.l, 1)[i];

        cr_assert(le(dbl, fabs(back), fabs((double)step[i]) + 1e-6), "w[%d], seed %llu", i,
                  (unsigned long long)s.dice.seed);
        cr_assert(ge(dbl, back * (double)step[i], -1e-9), "seed %llu",
                  (unsigned long long)s.dice.seed);
    }
    cr_assert(gt(flt, predicted(s.l, s.x, 1), predicted(s.was, s.x, 1)), "a thumbs-down is gone");
    scene_close(&s);
}

/* The residual heads of route k for every ridge, as the job leaves them. */
static const float *path_of(const struct sona_learner *l, uint32_t k)
{
    return sona_learner_floats(l, l->path) + (size_t)k * (SONA_LEARNER_PATH - 1) * DIM_PADDED;
}

static double path_distance(const struct sona_learner *a, const struct sona_learner *b)
{
    double most = 0;

    for (uint32_t k = 0; k < 2; k++)
        for (int i = 0; i < (int)(SONA_LEARNER_PATH - 1) * DIM_PADDED; i++)
            most = fmax(most, fabs((double)path_of(a, k)[i] - (double)path_of(b, k)[i]));
    return most;
}

Test(revoke, the_next_cycle_refits_as_if_the_outcome_had_never_been)
{
    struct scene s = scene_open_with("revoke refit", 2, 400, false);
    struct dice again;
    struct sona_learner *with = s.l, *never, *revoked;

    never = learner_open(&s.config, 2);
    topic_query(s.x, 2, 0.1f, &s.dice);
    learn(with, 7, s.x, 0, 1);
    again = s.dice;
    teach_topics(never, 25, 2, &s.dice);
    teach_topics(with, 25, 2, &again);
    revoked = learner_copy(with);
    cr_assert(eq(int, revoke(revoked, 7), SONA_OK));
    cycle(never, s.job);
    cycle(with, s.job);
    cycle(revoked, s.job);
    cr_assert(lt(dbl, path_distance(revoked, never), 1e-4), "%g, seed %llu",
              path_distance(revoked, never), (unsigned long long)s.dice.seed);
    cr_assert(gt(dbl, path_distance(with, never), 1e-2), "the outcome matters, seed %llu",
              (unsigned long long)s.dice.seed);
    for (uint32_t k = 0; k < 2; k++)
        NEAR(pattern_count(revoked, k), pattern_count(never, k), 1e-3, "seed %llu",
             (unsigned long long)s.dice.seed);
    free(never);
    free(revoked);
    scene_close(&s);
}

Test(revoke, brings_the_next_cycle_forward)
{
    struct scene s = scene_open("revoke soon", 2);

    teach_topics(s.l, 300, 2, &s.dice);
    topic_query(s.x, 0, 0.1f, &s.dice);
    learn(s.l, 7, s.x, 0, 1);
    cycle(s.l, s.job);
    cr_assert(eq(u64, s.l->next_cycle, 301 + SONA_LEARNER_CYCLE_EVERY));
    cr_assert(eq(int, revoke(s.l, 7), SONA_OK));
    cr_assert(eq(u64, s.l->next_cycle, 301 + SONA_LEARNER_REFIT));
    cr_assert(eq(int, sona_learner_cycle_start(s.l, s.job, 0), 1), "and there is something to do");
    scene_close(&s);
}

/* Route k's counts over all patterns are those of the outcomes that are left. */
static void assert_counts_of_replay(const struct sona_learner *l, uint64_t seed)
{
    const struct sona_learner_entry *entries = sona_learner_entries(l);

    for (uint32_t k = 0; k < 2; k++) {
        double n = 0, s = 0;

        for (uint32_t i = 0; i < l->replay_count; i++)
            if (entries[i].route == k) {
                n += 1;
                s += (double)entries[i].quality;
            }
        NEAR(pattern_count(l, k), n, 1e-3, "route %u, seed %llu", k, (unsigned long long)seed);
        NEAR(pattern_sum(l, k), s, 1e-3, "route %u, seed %llu", k, (unsigned long long)seed);
    }
}

Test(revoke, a_job_that_runs_meanwhile_does_not_bring_the_outcome_back)
{
    struct scene s = scene_open_with("revoke running", 2, 400, false);
    sona_cycle_report report;

    teach_topics(s.l, 60, 2, &s.dice);
    cycle(s.l, s.job);
    for (uint64_t id = 1; id <= 12; id++) {
        topic_query(s.x, (uint32_t)id % 4, 0.2f, &s.dice);
        learn(s.l, id, s.x, (sona_route)(id % 2), 0.75f);
    }
    cr_assert(eq(int, sona_learner_cycle_start(s.l, s.job, 0), 1));
    for (uint64_t id = 1; id <= 6; id++)
        cr_assert(eq(int, revoke(s.l, id), SONA_OK));
    cr_assert(eq(int, tell(s.l, SONA_LEARNER_REPLACE, 7, NULL, SONA_ROUTE_NONE, 0.25f), SONA_OK));
    topic_query(s.x, 0, 0.2f, &s.dice);
    learn(s.l, 20, s.x, 0, 1);
    learn(s.l, 21, s.x, 0, 1);
    cr_assert(eq(int, revoke(s.l, 20), SONA_OK), "one that the job never saw");
    sona_learner_cycle_run(s.job);
    sona_learner_cycle_install(s.l, s.job, &report);
    cr_assert(report.ran);
    assert_counts_of_replay(s.l, s.dice.seed);
    cycle(s.l, s.job);
    assert_counts_of_replay(s.l, s.dice.seed);
    scene_close(&s);
}

Test(revoke, one_that_was_revoked_and_evicted_while_a_job_runs_is_not_archived)
{
    struct scene s = scene_open_with("revoke evicted", 3, 64, false);
    struct sona_learner *with = s.l, *never;
    sona_cycle_report report;
    struct dice again;

    topic_query(s.x, 1, 0.2f, &s.dice);
    learn(with, 7, s.x, 2, 1); /* the only outcome of route 2 */
    teach_topics(with, 63, 2, &s.dice);
    never = learner_copy(with);
    again = s.dice;

    cr_assert(eq(int, sona_learner_cycle_start(with, s.job, 0), 1));
    cr_assert(eq(int, revoke(with, 7), SONA_OK));
    teach_topics(with, 20, 2, &s.dice);
    sona_learner_cycle_run(s.job);
    sona_learner_cycle_install(with, s.job, &report);
    NEAR(pattern_count(with, 2), 0, 1e-4, "seed %llu", (unsigned long long)s.dice.seed);
    cycle(with, s.job);
    NEAR(pattern_count(with, 2), 0, 1e-4, "seed %llu", (unsigned long long)s.dice.seed);

    cr_assert(eq(int, sona_learner_cycle_start(never, s.job, 0), 1));
    teach_topics(never, 20, 2, &again);
    sona_learner_cycle_run(s.job);
    sona_learner_cycle_install(never, s.job, &report);
    cycle(never, s.job);
    cr_assert(gt(dbl, pattern_count(never, 2), 0.5), "not revoked it is archived, seed %llu",
              (unsigned long long)s.dice.seed);
    free(never);
    scene_close(&s);
}

Test(revoke, after_a_drift_no_more_is_taken_back_than_is_left)
{
    struct scene s = scene_open("revoke drift", 2);
    float bias, n, step = 0, last = 0; /* of the bias, by the last two outcomes */
    uint64_t id = 0;

    for (; id < 300; id++) {
        topic_query(s.x, dice_below(&s.dice, 4), 0.1f, &s.dice);
        learn(s.l, id + 1, s.x, (sona_route)(id % 2), id % 2 ? 0.5f : 0.9f);
    }
    for (; s.l->counter[SONA_COUNTER_drift_resets] == 0 && id < 400; id++) {
        topic_query(s.x, dice_below(&s.dice, 4), 0.1f, &s.dice);
        bias = sona_learner_row(s.l, 0)->bias;
        learn(s.l, id + 1, s.x, 0, 0.1f);
        step = last;
        last = sona_learner_row(s.l, 0)->bias - bias;
    }
    cr_assert(eq(u64, s.l->counter[SONA_COUNTER_drift_resets], 1));
    bias = sona_learner_row(s.l, 0)->bias;
    cr_assert(eq(int, revoke(s.l, id - 1), SONA_OK));
    cr_assert(le(flt, fabsf(sona_learner_row(s.l, 0)->bias - bias), 1.01f * fabsf(step)),
              "no longer than the step was, seed %llu", (unsigned long long)s.dice.seed);
    n = sona_learner_row(s.l, 0)->n;
    bias = sona_learner_row(s.l, 0)->bias;
    cr_assert(eq(int, revoke(s.l, 1), SONA_OK));
    NEAR(n - sona_learner_row(s.l, 0)->n, 0.05, 1e-5, "seed %llu", (unsigned long long)s.dice.seed);
    cr_assert(lt(flt, fabsf(bias - sona_learner_row(s.l, 0)->bias), 0.1f + 1e-6f));
    for (id = 3; id < 300; id += 2)
        cr_assert(eq(int, revoke(s.l, id), SONA_OK));
    cr_assert(ge(flt, sona_learner_row(s.l, 0)->n, 0));
    cr_assert(le(flt, sona_learner_row(s.l, 0)->s, sona_learner_row(s.l, 0)->n));
    assert_sound(s.l, s.dice.seed);
    scene_close(&s);
}

Test(revoke, what_the_replay_no_longer_has_is_late_and_changes_nothing)
{
    struct scene s = scene_open_with("revoke late", 2, 64, true);

    topic_query(s.x, 0, 0.1f, &s.dice);
    learn(s.l, 7, s.x, 0, 1);
    teach_topics(s.l, 64, 2, &s.dice);
    s.was = learner_copy(s.l);
    cr_assert(eq(int, revoke(s.l, 7), SONA_E_TIMEOUT));
    cr_assert(eq(int, revoke(s.l, 4711), SONA_E_TIMEOUT));
    cr_assert(
        eq(int, tell(s.l, SONA_LEARNER_REPLACE, 7, NULL, SONA_ROUTE_NONE, 0.5f), SONA_E_TIMEOUT));
    cr_assert(eq(u64, s.l->counter[SONA_COUNTER_drop_revoke_late], 3));
    s.l->counter[SONA_COUNTER_drop_revoke_late] = 0;
    cr_assert(zero(int, memcmp(s.l, s.was, s.l->bytes)));
    scene_close(&s);
}

Test(revoke, a_replacement_is_a_revocation_and_a_new_outcome)
{
    struct scene s = scene_open("replace", 2);
    struct sona_learner *other;

    teach_topics(s.l, 60, 2, &s.dice);
    cycle(s.l, s.job);
    topic_query(s.x, 3, 0.2f, &s.dice);
    learn(s.l, 7, s.x, 1, 0.1f);
    other = learner_copy(s.l);
    cr_assert(eq(int, tell(s.l, SONA_LEARNER_REPLACE, 7, NULL, SONA_ROUTE_NONE, 0.9f), SONA_OK));
    cr_assert(eq(int, revoke(other, 7), SONA_OK));
    learn(other, 7, s.x, 1, 0.9f);
    cr_assert(eq(u64, s.l->counter[SONA_COUNTER_replaced], 1));
    cr_assert(eq(u64, s.l->counter[SONA_COUNTER_learned], 61));
    memcpy(s.l->counter, other->counter, sizeof s.l->counter);
    s.l->taught = other->taught; /* it counts what counter `learned` counts */
    cr_assert(zero(int, memcmp(s.l, other, s.l->bytes)));
    cr_assert(eq(int, tell(s.l, SONA_LEARNER_REPLACE, 7, NULL, SONA_ROUTE_NONE, 0.5f), SONA_OK),
              "and again");
    cr_assert(eq(int, revoke(s.l, 7), SONA_OK));
    cr_assert(eq(int, revoke(s.l, 7), SONA_E_TIMEOUT), "only once");
    free(other);
    scene_close(&s);
}

Test(revoke, a_bad_replacement_leaves_the_first_outcome_alone)
{
    struct scene s = scene_open("bad replacement", 2);
    sona_route route;

    topic_query(s.x, 3, 0.2f, &s.dice);
    learn(s.l, 7, s.x, 1, 0.1f);
    s.was = learner_copy(s.l);
    cr_assert(eq(int, tell(s.l, SONA_LEARNER_REPLACE, 7, NULL, 0, NAN), SONA_E_NOT_FINITE));
    cr_assert(eq(int, tell(s.l, SONA_LEARNER_REPLACE, 7, NULL, 0, 1.5f), SONA_E_RANGE));
    memcpy(s.l->counter, s.was->counter, sizeof s.l->counter);
    cr_assert(zero(int, memcmp(s.l, s.was, s.l->bytes)));
    sona_learner_set_enabled(s.l, false);
    cr_assert(eq(int, revoke(s.l, 7), SONA_OK));
    cr_assert(eq(u64, s.l->counter[SONA_COUNTER_drop_disabled], 1), "off is off");
    cr_assert(eq(flt, sona_learner_row(s.l, 1)->n, 1));
    sona_learner_set_enabled(s.l, true);

    cr_assert(eq(int, sona_learner_route_retire(s.l, 1), SONA_OK));
    learner_add_route(s.l, "another", &route);
    cr_assert(eq(int, tell(s.l, SONA_LEARNER_REPLACE, 7, NULL, 0, 1), SONA_E_ROUTE));
    cr_assert(eq(u64, s.l->counter[SONA_COUNTER_drop_route_retired], 1));
    cr_assert(eq(int, revoke(s.l, 7), SONA_OK));
    cr_assert(zero(flt, sona_learner_row(s.l, SONA_ROUTE_INDEX(route))->n));
    scene_close(&s);
}

Test(revoke, a_bare_trajectory_leaves_the_counts_of_its_patterns)
{
    struct scene s = scene_open("revoke bare", 2);

    teach_topics(s.l, 80, 2, &s.dice);
    cycle(s.l, s.job);
    s.was = learner_copy(s.l);
    topic_query(s.x, 1, 0.2f, &s.dice);
    learn(s.l, 7, s.x, SONA_ROUTE_NONE, 0.8f);
    cr_assert(eq(int, revoke(s.l, 7), SONA_OK));
    assert_route_is(s.l, s.was, 0, s.dice.seed);
    scene_close(&s);
}
