/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * sona-replay: let a learner meet a data set, and say what it earned.
 */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/option.h"
#include "tools/replay/options.h"
#include "tools/replay/report.h"
#include "tools/stop.h"
#include "tools/terminal.h"

struct display {
    struct sona_tools_terminal terminal; /* on stderr: stdout is for the result */
    double sum;
};

static void show(void *arg, const struct sona_replay_step *step)
{
    struct display *display = arg;
    char note[64];

    display->sum = step->done == 1 ? step->reward : display->sum + step->reward;
    (void)snprintf(note, sizeof note, "mean reward %.4f", display->sum / step->done);
    sona_tools_terminal_bar(&display->terminal, "learning", step->done, step->length, note);
}

/* Print one finished run. */
static void print(const struct sona_replay_options *options, const struct sona_replay_setup *setup,
                  const struct sona_replay_result *result, bool first)
{
    if (options->json) {
        json_t *object = sona_replay_report_json(setup, result);

        sona_replay_report_line(stdout, object);
        json_decref(object);
        return;
    }
    if (first)
        sona_replay_report_head(stdout, setup, result);
    sona_replay_report_row(stdout, result);
}

static int replay(struct sona_replay_options *options, sona_diag *reterr)
{
    struct sona_replay_result *results = calloc(options->seeds, sizeof *results);
    struct sona_replay_setup setup = options->setup;
    struct display display = {.sum = 0};
    int status = results != NULL ? 0 : 1;
    uint32_t done = 0;

    sona_tools_terminal_init(&display.terminal, stderr);
    setup.on_step = show;
    setup.arg = &display;
    setup.stop = sona_tools_stop_install();
    for (; done < options->seeds && status == 0; done++) {
        setup.spec.seed = options->setup.spec.seed + done;
        if (sona_replay_run(&setup, &results[done], reterr) != SONA_OK)
            status = 1;
        sona_tools_terminal_wipe(&display.terminal);
        if (status == 0 && results[done].interrupted) {
            fprintf(stderr, "sona-replay: interrupted after %u queries of seed %llu\n",
                    results[done].done, (unsigned long long)setup.spec.seed);
            status = 130;
        }
        if (status != 0)
            break;
        print(options, &setup, &results[done], done == 0);
    }
    if (done > 0 && !options->json)
        sona_replay_report_tail(stdout, &setup, results, done);
    if (status == 1)
        fprintf(stderr, "sona-replay: %s\n",
                results != NULL ? reterr->text : "not enough memory for the results");
    free(results);
    return status;
}

int main(int argc, char **argv)
{
    struct sona_replay_options options;
    struct sona_tools_dataset set;
    sona_diag diag = {0};
    int status;

    (void)setlocale(LC_CTYPE, "");
    if (sona_replay_options_parse(&options, argc, argv, &diag) != SONA_OK) {
        fprintf(stderr, "sona-replay: %s\n", diag.text);
        return 2;
    }
    if (options.help) {
        sona_replay_options_help();
        return sona_tools_option_shown("sona-replay");
    }
    if (options.version)
        return sona_tools_option_version("sona-replay");
    if (sona_tools_dataset_open(&set, options.data, &diag) != SONA_OK) {
        fprintf(stderr, "sona-replay: %s\n", diag.text);
        return 1;
    }
    options.setup.set = &set;
    status = replay(&options, &diag);
    sona_tools_dataset_close(&set);
    return status;
}
