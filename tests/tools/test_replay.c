/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Runs over a set whose answer is known: what is counted, what is reported, and that both
 * transports decide alike. */
#include "set_fixture.h"

#include "tools/replay/options.h"
#include "tools/replay/report.h"
#include "tools/replay/run.h"

#define ROWS 1500u

static struct sona_tools_dataset set;
static struct sona_replay_setup setup;
static struct sona_replay_result result;

static void start(void)
{
    set = fixture_set(ROWS, 3, 6);
    setup = (struct sona_replay_setup){
        .set = &set,
        .spec = {.rows = 1000, .test = 300, .seed = 4, .tasks = 2},
        .embedded = true,
        .feedback = 1,
    };
}

static void finish(void)
{
    sona_tools_dataset_close(&set);
}

static void run(void)
{
    sona_diag diag = {0};

    cr_assert(eq(int, sona_replay_run(&setup, &result, &diag), SONA_OK), "%s", diag.text);
}

TestSuite(replay, .init = start, .fini = finish);

Test(replay, a_learner_beats_the_best_single_route_where_every_topic_has_its_own)
{
    run();
    cr_expect(eq(u32, result.done, 1000));
    cr_expect(epsilon_eq(dbl, result.base.random, 0.3667, 0.01));
    cr_expect(epsilon_eq(dbl, result.base.oracle, 0.9, 1e-6));
    cr_expect(gt(dbl, result.tail_reward, 0.8), "%f", result.tail_reward);
    cr_expect(gt(dbl, result.mean_reward, result.base.best_fixed + 0.2));
    cr_expect(le(dbl, result.tail_reward, result.base.oracle));
    cr_expect(gt(dbl, result.policy[SONA_REPLAY_MARKS], 0.88));
    cr_expect(isnan(result.policy[3]), "3,000 queries were not reached");
    cr_expect(gt(dbl, result.decide.p50, 0));
    cr_expect(le(dbl, result.decide.p50, result.decide.p99));
}

Test(replay, the_curve_cuts_the_stream_into_whole_points_that_average_to_the_mean)
{
    double sum = 0;

    setup.curve = 250;
    run();
    cr_assert(eq(u32, result.n_curve, 4));
    for (uint32_t i = 0; i < 4; i++)
        sum += (double)result.curve[i] / 4;
    cr_expect(epsilon_eq(dbl, sum, result.mean_reward, 1e-6));
    cr_expect(gt(dbl, (double)result.curve[3], (double)result.curve[0]));
    setup.curve = 300;
    run();
    cr_expect(eq(u32, result.n_curve, 3), "the last 100 make no whole point");
}

Test(replay, a_curve_of_too_many_points_is_refused)
{
    sona_diag diag = {0};

    setup.curve = 1;
    cr_expect(eq(int, sona_replay_run(&setup, &result, &diag), SONA_E_RANGE));
    cr_expect(ne(ptr, strstr(diag.text, "--curve 1"), NULL));
}

/* Always the same route, whatever it is told; remembers the last it was told. */
struct stubborn {
    uint64_t id;
    double told;
};

static sona_err stubborn_decide(void *self, const float *x, sona_decision *ret)
{
    struct stubborn *stubborn = self;

    (void)x;
    *ret = (sona_decision){.id = ++stubborn->id, .route = 2, .propensity = 1};
    return SONA_OK;
}

static sona_err stubborn_outcome(void *self, uint64_t id, float quality)
{
    struct stubborn *stubborn = self;

    cr_expect(eq(u64, id, stubborn->id));
    stubborn->told += (double)quality;
    return SONA_OK;
}

static void stubborn_score(void *self, const float *x, float *ret)
{
    (void)self, (void)x;
    ret[0] = ret[1] = 0;
    ret[2] = 1;
}

Test(replay, another_learner_meets_the_same_stream_and_is_scored_alike)
{
    struct stubborn stubborn = {0};
    struct sona_tools_learner learner = {&stubborn, stubborn_decide, stubborn_outcome,
                                         stubborn_score};
    struct sona_replay_result ours;

    run();
    ours = result;
    setup.learner = &learner;
    run();
    cr_expect(eq(dbl, result.base.best_fixed, ours.base.best_fixed));
    cr_expect(eq(dbl, result.base.oracle, ours.base.oracle));
    cr_expect(eq(u64, result.told, 1000));
    cr_expect(eq(u64, result.totals.counter[SONA_COUNTER_learned], 1000));
    cr_expect(epsilon_eq(dbl, result.mean_reward, stubborn.told / 1000, 1e-9));
    cr_expect(epsilon_eq(dbl, result.policy[SONA_REPLAY_MARKS], 0.3667, 0.05));
}

Test(replay, every_outcome_told_is_learned_or_has_a_reason)
{
    run();
    cr_expect(eq(u64, result.told, 1000));
    cr_expect(eq(u64, result.totals.counter[SONA_COUNTER_learned], 1000));
    cr_expect(eq(u64, result.totals.counter[SONA_COUNTER_decisions], 1000));
}

Test(replay, a_seed_repeats_itself_and_another_differs)
{
    uint64_t hash;
    double mean;

    run();
    hash = result.decisions;
    mean = result.mean_reward;
    run();
    cr_expect(eq(u64, result.decisions, hash));
    cr_expect(eq(dbl, result.mean_reward, mean));
    setup.spec.seed++;
    run();
    cr_expect(ne(u64, result.decisions, hash));
}

/* The same run in this process and through a sidecar. */
static void expect_alike(const char *what)
{
    struct sona_replay_result embedded;

    setup.embedded = true;
    run();
    embedded = result;
    setup.embedded = false;
    run();
    cr_expect(eq(u64, result.decisions, embedded.decisions), "%s: shm %016llx, embedded %016llx",
              what, (unsigned long long)result.decisions, (unsigned long long)embedded.decisions);
    cr_expect(eq(dbl, result.mean_reward, embedded.mean_reward), "%s", what);
    cr_expect(eq(dbl, result.policy[SONA_REPLAY_MARKS], embedded.policy[SONA_REPLAY_MARKS]), "%s",
              what);
    cr_expect(eq(u64, result.totals.counter[SONA_COUNTER_learned],
                 embedded.totals.counter[SONA_COUNTER_learned]),
              "%s", what);
    cr_expect(gt(dbl, result.visible.p50, 0), "%s", what);
}

Test(replay, embedded_and_shm_decide_alike)
{
    setup.spec.rows = 700;
    expect_alike("shuffled");
    setup.spec.lambda = 0.1f;
    setup.feedback = 0.5;
    setup.delay = 30;
    setup.spec.order = SONA_REPLAY_DRIFT;
    expect_alike("drift, half of the outcomes, 30 late");
    setup.spec.order = SONA_REPLAY_SHUFFLED;
    setup.spec.tenants = 30;
    setup.spec.spread = 0.5f;
    expect_alike("tenants");
}

/* With as much disagreement as can be, one policy for all has nothing to find. */
Test(replay, tenants_who_are_told_apart_are_served_better)
{
    double told, separate;

    setup.spec.tenants = 10;
    setup.spec.spread = 1;
    setup.spec.kind = SONA_REPLAY_TASTE;
    run();
    told = result.tail_reward;
    setup.separate = true;
    run();
    separate = result.tail_reward;
    cr_expect(eq(u64, result.totals.counter[SONA_COUNTER_learned], 1000));
    setup.separate = false;
    (void)snprintf(setup.settings.text[setup.settings.count++], SONA_TOOLS_SETTING_MAX,
                   "tenants_max=0");
    run();
    cr_expect(gt(dbl, told, result.tail_reward + 0.05), "%f, without %f", told, result.tail_reward);
    cr_expect(gt(dbl, separate, result.tail_reward + 0.05), "%f, without %f", separate,
              result.tail_reward);
}

Test(replay, a_free_run_loses_nothing_silently, .timeout = 60)
{
    setup.embedded = false;
    setup.free_run = true;
    run();
    cr_expect(eq(u64, result.told + result.unrecorded, 1000));
    cr_expect(eq(u64, result.totals.counter[SONA_COUNTER_learned], result.told));
    cr_expect(ge(u64, result.totals.counter[SONA_COUNTER_drop_client_full], result.unrecorded));
}

Test(replay, a_record_share_leaves_out_the_same_decisions_over_both_transports, .timeout = 60)
{
    struct sona_replay_result embedded;

    setup.settings.count = 1;
    (void)snprintf(setup.settings.text[0], SONA_TOOLS_SETTING_MAX, "record_share=0.25");
    expect_alike("a quarter");
    cr_expect(epsilon_eq(dbl, (double)result.told, 250, 70), "5 standard deviations");
    cr_expect(eq(u64, result.told + result.unrecorded, 1000));
    cr_expect(eq(u64, result.totals.counter[SONA_COUNTER_learned], result.told));
    setup.embedded = true;
    run();
    embedded = result;
    setup.settings.count = 0;
    run();
    cr_expect(eq(u64, result.unrecorded, 0));
    cr_expect(ne(u64, result.decisions, embedded.decisions), "it learned from more");
    embedded = result;
    setup.settings.count = 1;
    (void)snprintf(setup.settings.text[0], SONA_TOOLS_SETTING_MAX, "record_share=1");
    run();
    cr_expect(eq(u64, result.decisions, embedded.decisions), "1 changes nothing");
}

Test(replay, a_share_of_the_outcomes_told_late_is_that_share)
{
    setup.feedback = 0.2;
    setup.delay = 100;
    run();
    cr_expect(gt(u64, result.told, 150));
    cr_expect(lt(u64, result.told, 250));
    cr_expect(eq(u64, result.totals.counter[SONA_COUNTER_learned], result.told));
    setup.feedback = 0;
    run();
    cr_expect(eq(u64, result.told, 0));
    cr_expect(lt(dbl, result.tail_reward, 0.5), "nothing told, nothing learned");
}

Test(replay, outcomes_too_late_for_the_capacity_are_counted_by_their_reason)
{
    sona_diag diag = {0};

    setup.delay = 100;
    cr_assert(eq(int, sona_tools_settings_add(&setup.settings, &diag, "trajectory_capacity=16"),
                 SONA_OK));
    for (int embedded = 1; embedded >= 0; embedded--) {
        setup.embedded = embedded;
        setup.spec.rows = 300;
        run();
        cr_expect(lt(u64, result.totals.counter[SONA_COUNTER_learned], 40));
        cr_expect(gt(u64, result.totals.counter[SONA_COUNTER_drop_evicted], 200));
        cr_expect(eq(u64, result.told, 300));
    }
}

Test(replay, drift_reports_its_windows_and_blocks_what_is_forgotten)
{
    setup.spec.order = SONA_REPLAY_DRIFT;
    setup.spec.rows = 1200;
    run();
    cr_expect(gt(dbl, result.before, result.d0_200), "%f, then %f", result.before, result.d0_200);
    cr_expect(isfinite(result.d200_500));
    cr_expect(isnan(result.d500_1000), "600 queries after the drift are fewer than 1,000");
    setup.spec.order = SONA_REPLAY_BLOCKS;
    setup.spec.rows = 1000;
    run();
    cr_expect(isnan(result.before));
    cr_expect(gt(dbl, result.after, 0.7));
    cr_expect(isfinite(result.forgetting));
    setup.spec.order = SONA_REPLAY_TASKS;
    setup.spec.rows = 400;
    run();
    cr_expect(eq(u32, result.done, 800));
    cr_expect(isfinite(result.after) && isfinite(result.end) && isfinite(result.forgetting));
}

Test(replay, switching_a_part_off_reaches_the_learner)
{
    char *argv[] = {"sona-replay", "--data", "x", "--without", "background", NULL};
    struct sona_replay_options options;
    sona_diag diag = {0};

    run();
    cr_expect(gt(u64, result.totals.counter[SONA_COUNTER_background_cycles], 0));
    cr_assert(eq(int, sona_replay_options_parse(&options, 5, argv, &diag), SONA_OK));
    setup.settings = options.setup.settings;
    run();
    cr_expect(eq(u64, result.totals.counter[SONA_COUNTER_background_cycles], 0));
}

static void stop_at_50(void *arg, const struct sona_replay_step *step)
{
    volatile sig_atomic_t *stop = arg;

    *stop = step->done == 50;
}

Test(replay, a_stopped_run_says_so_and_ends_its_sidecar)
{
    static volatile sig_atomic_t stop;

    setup.embedded = false;
    setup.stop = &stop;
    setup.on_step = stop_at_50;
    setup.arg = (void *)(uintptr_t)&stop;
    run();
    cr_expect(result.interrupted);
    cr_expect(eq(u32, result.done, 50));
}

Test(replay, apgr_is_one_half_for_chance_and_higher_for_those_who_know)
{
    struct sona_replay_pair knows[100], blind[100];

    for (uint32_t i = 0; i < 100; i++) {
        /* The strong one is better on every second row. */
        knows[i] = (struct sona_replay_pair){i % 2, i % 2 ? 1 : 0.5, 0.5};
        blind[i] = (struct sona_replay_pair){0, 0.7, 0.5};
    }
    cr_expect(epsilon_eq(dbl, sona_replay_apgr(knows, 100), 0.75, 1e-9));
    cr_expect(epsilon_eq(dbl, sona_replay_apgr(blind, 100), 0.5, 1e-9));
    for (uint32_t i = 0; i < 100; i++)
        blind[i].strong = blind[i].weak;
    cr_expect(isnan(sona_replay_apgr(blind, 100)), "no gap, no share of it");
    cr_expect(isnan(sona_replay_apgr(blind, 0)));
}

/* Fields that programs rely on, with their types. */
static void expect_field(const json_t *root, const char *name, json_type type)
{
    const json_t *field = json_object_get(root, name);

    cr_expect(field != NULL && json_typeof(field) == type, "field \"%s\"", name);
}

Test(replay, the_json_has_the_documented_fields_and_agrees_with_itself)
{
    static const char *const reals[] = {"lambda",     "mean_reward", "tail_reward",
                                        "best_fixed", "random",      "oracle"};
    static const char *const integers[] = {"rows",   "routes",  "seed",
                                           "events", "learned", "snapshots"};
    static const char *const objects[] = {"policy_at", "decide_ns", "outcome_ns", "visible_us",
                                          "dropped"};
    json_t *root;
    double low, high;

    setup.embedded = false;
    run();
    root = sona_replay_report_json(&setup, &result);
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        expect_field(root, reals[i], JSON_REAL);
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++)
        expect_field(root, integers[i], JSON_INTEGER);
    for (size_t i = 0; i < sizeof objects / sizeof *objects; i++)
        expect_field(root, objects[i], JSON_OBJECT);
    expect_field(root, "data", JSON_STRING);
    expect_field(root, "order", JSON_STRING);
    cr_expect(eq(str, (char *)json_string_value(json_object_get(root, "transport")), "shm"));
    cr_expect(eq(sz, strlen(json_string_value(json_object_get(root, "decisions"))), 16));
    cr_expect(eq(sz, json_object_size(json_object_get(root, "dropped")), 0));
    cr_expect(eq(int, (int)json_integer_value(json_object_get(root, "events")),
                 (int)json_integer_value(json_object_get(root, "learned"))));
    expect_field(json_object_get(root, "policy_at"), "end", JSON_REAL);
    expect_field(json_object_get(root, "policy_at"), "3000", JSON_NULL);
    low = json_real_value(json_object_get(json_object_get(root, "visible_us"), "p50"));
    high = json_real_value(json_object_get(json_object_get(root, "visible_us"), "p99"));
    cr_expect(gt(dbl, low, 0));
    cr_expect(le(dbl, low, high));
    json_decref(root);
}

Test(replay, wrong_usage_is_answered_in_one_sentence)
{
    static const struct {
        const char *option, *value, *words;
    } cases[] = {
        {"--rows", "0", "--rows takes a whole number from 1"},
        {"--rows", "12x", "--rows takes"},
        {"--rows", "-5", "--rows takes"},
        {"--seeds", "0", "--seeds takes"},
        {"--lambda", "nan", "--lambda takes"},
        {"--feedback", "1.5", "--feedback takes a number from 0 to 1"},
        {"--order", "sorted", "--order sorted is not known"},
        {"--order", "tasks=1", "2 to 32 tasks"},
        {"--tenants", "0", "N[:SPREAD[:KIND]]"},
        {"--tenants", "5:2", "SPREAD from 0 to 1"},
        {"--tenants", "5:.3:sour", "KIND taste, swap or both"},
        {"--without", "micro,wings", "--without wings is not known"},
        {"--set", "lambda=1", "use --lambda"},
        {"--set", "dim=8", "the data set says it"},
        {"--set", "nonsense=1", "nonsense"},
        {"--set", "micro_lora_rank", "write key=value"},
        {"--set", "micro_lora_rank=7", "must be 1-2"},
        {"--bogus", "1", "is not an option"},
        {"stray", "1", "is left over"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *argv[] = {"sona-replay",
                        "--data",
                        "x",
                        (char *)(uintptr_t)cases[i].option,
                        (char *)(uintptr_t)cases[i].value,
                        NULL};
        struct sona_replay_options options;
        sona_diag diag = {0};

        cr_expect(ne(int, sona_replay_options_parse(&options, 5, argv, &diag), SONA_OK), "%s %s",
                  cases[i].option, cases[i].value);
        cr_expect(strstr(diag.text, cases[i].words) != NULL, "\"%s\" is not in \"%s\"",
                  cases[i].words, diag.text);
    }
}
