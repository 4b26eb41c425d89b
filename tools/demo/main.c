/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * sona-demo: watch a learner learn to route, from nothing, over real shared memory.
 */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tools/demo/live.h"
#include "tools/demo/log.h"
#include "tools/demo/options.h"
#include "tools/demo/packages.h"
#include "tools/demo/proof.h"
#include "tools/demo/report.h"
#include "tools/demo/validate.h"
#include "tools/fail.h"
#include "tools/option.h"
#include "tools/replay/report.h"
#include "tools/stop.h"

#define EXIT_STOPPED 130

/* One demo over a set: packages or a file. */
struct demo {
    const struct sona_demo_options *options;
    const struct sona_tools_dataset *set;
    const struct sona_demo_packages *packages; /* null: a file */
    struct sona_demo_live live;
    struct sona_demo_proof proof;
};

static void step(void *arg, const struct sona_replay_step *step)
{
    struct demo *demo = arg;

    sona_demo_live_step(&demo->live, step);
}

/* While the sidecar still runs: everything else has been counted by now. */
static void prove(void *arg, struct sona_tools_router *router)
{
    struct demo *demo = arg;

    sona_demo_proof_run(&demo->proof, router, demo->set);
}

/* Say what will be seen. */
static void introduce(const struct demo *demo, const struct sona_replay_stream *stream)
{
    char rows[SONA_TOOLS_GROUPED_MAX], found[SONA_TOOLS_GROUPED_MAX], seen[SONA_TOOLS_GROUPED_MAX];

    if (demo->packages != NULL)
        printf("\n  SONA demo: twelve specialist desks, one learner\n\n"
               "  %s package descriptions found on this Debian, in 12 sections of the\n"
               "  %s packages it knows. Each is sent to one desk. The learner hears whether\n"
               "  that desk was right, never what another would have said. It starts from "
               "nothing.\n\n",
               sona_tools_grouped(demo->set->rows, found),
               sona_tools_grouped(demo->packages->seen, seen));
    else
        printf("\n  SONA demo: %s, %u routes, %u dimensions\n\n"
               "  %s queries found. Each is sent to one route. The learner hears how good that\n"
               "  was, never what another would have been. It starts from nothing.\n\n",
               demo->set->name, demo->set->routes, demo->set->dim,
               sona_tools_grouped(demo->set->rows, found));
    printf("  %s feedbacks; order and exploration by seed %llu. The learner is\n  %s.\n\n",
           sona_tools_grouped(stream->length, rows), (unsigned long long)demo->options->seed,
           demo->options->embedded ? "inside this process"
                                   : "in a private sona-sidecar, reached over shared memory");
    (void)fflush(stdout);
}

/* What those who do not learn would earn, for the level lines: known before the run. */
static sona_err prepare(struct demo *demo, struct sona_replay_setup *setup, const char *what,
                        sona_diag *reterr)
{
    struct sona_replay_stream stream;
    struct sona_replay_baselines base;
    sona_err err = sona_replay_stream_init(&stream, demo->set, &setup->spec, reterr);

    if (err != SONA_OK)
        return err;
    sona_replay_stream_baselines(&stream, &base);
    if (!demo->options->json)
        introduce(demo, &stream);
    if (!sona_demo_live_init(&demo->live, stream.length, what,
                             (struct sona_demo_level[]){
                                 {"best single", base.best_fixed},
                                 {"chance", base.random},
                             },
                             2, demo->options->json))
        err = sona_tools_fail(reterr, SONA_E_MEMORY, "not enough memory for the curve");
    sona_replay_stream_done(&stream);
    return err;
}

/* Write the numbers to their file, and say where; with --json to stdout as well. */
static sona_err publish(const struct sona_demo_options *options, json_t *object, sona_diag *reterr)
{
    const char *path = options->out != NULL ? options->out : "sona-demo.json";
    bool saved = (options->json && options->out == NULL) || sona_demo_report_save(path, object);
    int e = errno;

    if (options->json)
        sona_replay_report_line(stdout, object);
    else if (saved)
        printf("  %-26s %s\n\n", "these numbers, and more", path);
    json_decref(object);
    if (!saved)
        return sona_tools_fail(reterr, SONA_E_SYSTEM,
                               "cannot write %s: %s; choose another with "
                               "--out",
                               path, strerror(e));
    if (fflush(stdout) != 0 || ferror(stdout))
        return sona_tools_fail(reterr, SONA_E_SYSTEM, "the numbers cannot be printed");
    return SONA_OK;
}

static int learn(struct demo *demo, sona_diag *reterr)
{
    const char *what = demo->packages != NULL ? "routed right" : "reward";
    struct sona_replay_setup setup = {
        .set = demo->set,
        .spec = {.order = SONA_REPLAY_SHUFFLED,
                 .rows = demo->options->rows,
                 .seed = demo->options->seed,
                 .lambda = (float)demo->options->lambda},
        .embedded = demo->options->embedded,
        .feedback = 1,
        .measure_apply = true,
        .stop = sona_tools_stop_install(),
        .on_step = step,
        .on_end = prove,
        .arg = demo,
    };
    struct sona_replay_result result = {0};
    struct sona_demo_figures figures = {
        .setup = &setup,
        .result = &result,
        .packages = demo->packages,
        .proof = &demo->proof,
        .what = what,
    };
    sona_err err;

    if (setup.spec.rows == UINT32_MAX)
        setup.spec.rows = demo->set->rows < SONA_DEMO_ROWS ? demo->set->rows : SONA_DEMO_ROWS;
    err = prepare(demo, &setup, what, reterr);
    if (err == SONA_OK)
        err = sona_replay_run(&setup, &result, reterr);
    sona_demo_live_finish(&demo->live);
    if (err == SONA_OK && !result.interrupted) {
        figures.curve = &demo->live.curve;
        sona_demo_report_windows(&figures);
        if (!demo->options->json)
            sona_demo_report_print(stdout, &figures);
        err = publish(demo->options, sona_demo_report_json(&figures), reterr);
    }
    sona_demo_live_done(&demo->live);
    if (result.interrupted)
        fprintf(stderr, "sona-demo: interrupted after %u feedbacks; the sidecar is stopped\n",
                result.done);
    return err != SONA_OK ? 1 : result.interrupted ? EXIT_STOPPED : 0;
}

static int demo_packages(const struct sona_demo_options *options, sona_diag *reterr)
{
    struct sona_demo_packages packages;
    struct demo demo = {.options = options, .packages = &packages, .set = &packages.set};
    int status;

    if (sona_demo_packages_load(&packages, reterr) != SONA_OK)
        return 1;
    status = learn(&demo, reterr);
    sona_demo_packages_done(&packages);
    return status;
}

static int demo_data(const struct sona_demo_options *options, sona_diag *reterr)
{
    struct sona_tools_dataset set;
    struct demo demo = {.options = options, .set = &set};
    int status;

    if (sona_tools_dataset_open(&set, options->data, reterr) != SONA_OK)
        return 1;
    status = learn(&demo, reterr);
    sona_tools_dataset_close(&set);
    return status;
}

static void log_progress(void *arg, uint32_t done, uint32_t length)
{
    struct sona_tools_terminal *terminal = arg;
    char text[SONA_TOOLS_GROUPED_MAX];

    sona_tools_terminal_bar(terminal, "  learning", done, length, sona_tools_grouped(done, text));
}

static void name_malformed(const struct sona_demo_log *log)
{
    uint64_t shown =
        log->malformed < SONA_DEMO_LOG_REASONS_MAX ? log->malformed : SONA_DEMO_LOG_REASONS_MAX;

    for (uint64_t i = 0; i < shown; i++)
        fprintf(stderr, "sona-demo: %s; passed over\n", log->reason[i]);
    if (log->malformed > shown)
        fprintf(stderr, "sona-demo: ... and %llu more lines passed over\n",
                (unsigned long long)(log->malformed - shown));
    if (log->cut)
        fprintf(stderr, "sona-demo: only the first %u usable lines are read\n",
                SONA_DEMO_LOG_ROWS_MAX);
}

static int demo_log(const struct sona_demo_options *options, sona_diag *reterr)
{
    static struct sona_demo_log log; /* large: 256 routes and their names */
    static struct sona_demo_validation validation;
    struct sona_tools_terminal terminal;
    struct sona_demo_validate_options validate = {
        .embedded = options->embedded,
        .seed = options->seed,
        .stop = sona_tools_stop_install(),
        .on_line = log_progress,
        .arg = &terminal,
    };
    sona_err err = sona_demo_log_open(&log, options->log, reterr);

    if (err != SONA_OK)
        return 1;
    sona_tools_terminal_init(&terminal, stderr);
    name_malformed(&log);
    err = sona_demo_validate(&log, &validate, &validation, reterr);
    sona_tools_terminal_wipe(&terminal);
    if (err == SONA_OK && !validation.interrupted) {
        if (!options->json) {
            sona_demo_validation_print(stdout, options->log, &log, &validation);
            printf("\n");
        }
        err = publish(
            options, sona_demo_validation_json(options->log, &log, &validate, &validation), reterr);
    }
    sona_demo_log_close(&log);
    if (validation.interrupted)
        fprintf(stderr, "sona-demo: interrupted; the sidecar is stopped\n");
    return err != SONA_OK ? 1 : validation.interrupted ? EXIT_STOPPED : 0;
}

int main(int argc, char **argv)
{
    struct sona_demo_options options;
    sona_diag diag = {0};
    int status;

    (void)setlocale(LC_CTYPE, "");
    if (sona_demo_options_parse(&options, argc, argv, &diag) != SONA_OK) {
        fprintf(stderr, "sona-demo: %s\n", diag.text);
        return 2;
    }
    if (options.help) {
        sona_demo_options_help();
        return sona_tools_option_shown("sona-demo");
    }
    if (options.version)
        return sona_tools_option_version("sona-demo");
    status = options.log != NULL    ? demo_log(&options, &diag)
             : options.data != NULL ? demo_data(&options, &diag)
                                    : demo_packages(&options, &diag);
    if (status == 1)
        fprintf(stderr, "sona-demo: %s\n", diag.text);
    return status;
}
