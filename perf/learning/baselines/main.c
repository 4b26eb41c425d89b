/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * learning-baseline: a baseline meets a data set exactly as SONA does in sona-replay, and says what
 * it earned in the same fields. A line of JSON for each seed.
 */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "learner.h"
#include "tools/replay/options.h"
#include "tools/replay/report.h"
#include "tools/stop.h"

static void help(void)
{
    puts("usage: learning-baseline LEARNER[:KEY=VALUE,...] --data FILE [options of sona-replay]\n"
         "\n"
         "A simple learner in SONA's place. With told_cost=1 it is told quality - lambda * cost\n"
         "instead of subtracting the cost at the decision. Learners, parameters [default]:");
    for (uint32_t i = 0; sona_baselines[i] != NULL; i++) {
        printf("\n%s: %s\n", sona_baselines[i]->name, sona_baselines[i]->help);
        for (uint32_t p = 0; p < SONA_BASELINE_PARAMS_MAX; p++) {
            const struct sona_baseline_param *param = &sona_baselines[i]->param[p];

            if (param->name == NULL)
                break;
            printf("  %-10s %s [%g]\n", param->name, param->help, param->value);
        }
    }
}

static sona_err run_seed(const struct sona_replay_options *options, uint64_t seed,
                         const struct sona_baseline_choice *choice, const char *name,
                         sona_diag *reterr)
{
    static struct sona_replay_result result;
    struct sona_replay_setup setup = options->setup;
    struct sona_baseline_learner *learner = NULL;
    json_t *object;
    sona_err err;

    setup.spec.seed = seed;
    setup.embedded = true;
    err = sona_baseline_open(&learner, choice, setup.set, (double)setup.spec.lambda, seed,
                             &setup.learner, reterr);
    if (err == SONA_OK)
        err = sona_replay_run(&setup, &result, reterr);
    sona_baseline_close(&learner);
    if (err != SONA_OK || result.interrupted)
        return err;
    object = sona_replay_report_json(&setup, &result);
    (void)json_object_set_new(object, "learner", json_string(name));
    sona_replay_report_line(stdout, object);
    json_decref(object);
    return SONA_OK;
}

int main(int argc, char **argv)
{
    struct sona_baseline_choice choice;
    struct sona_replay_options options;
    struct sona_tools_dataset set;
    sona_diag diag = {0};
    sona_err err;
    const volatile sig_atomic_t *stop = sona_tools_stop_install();

    (void)setlocale(LC_CTYPE, "");
    if (argc < 2 || strcmp(argv[1], "--help") == 0) {
        help();
        return argc < 2 ? 2 : 0;
    }
    if (sona_baseline_parse(&choice, argv[1], &diag) != SONA_OK ||
        sona_replay_options_parse(&options, argc - 1, argv + 1, &diag) != SONA_OK) {
        fprintf(stderr, "learning-baseline: %s\n", diag.text);
        return 2;
    }
    err = sona_tools_dataset_open(&set, options.data, &diag);
    if (err == SONA_OK) {
        options.setup.set = &set;
        options.setup.stop = stop;
        for (uint32_t i = 0; i < options.seeds && err == SONA_OK && *stop == 0; i++)
            err = run_seed(&options, options.setup.spec.seed + i, &choice, argv[1], &diag);
        sona_tools_dataset_close(&set);
    }
    if (err != SONA_OK)
        fprintf(stderr, "learning-baseline: %s\n", diag.text);
    return *stop != 0 ? 130 : err != SONA_OK;
}
