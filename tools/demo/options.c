/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "tools/demo/options.h"

#include <stdio.h>

#include "tools/dataset.h"
#include "tools/fail.h"
#include "tools/option.h"
#include "tools/replay/options.h"

enum option_id { DATA = 1000, LOG, ROWS, SEED, LAMBDA, EMBEDDED, OUT, JSON, HELP, VERSION };

static const struct option long_options[] = {
    {"data", required_argument, NULL, DATA},
    {"log", required_argument, NULL, LOG},
    {"rows", required_argument, NULL, ROWS},
    {"seed", required_argument, NULL, SEED},
    {"lambda", required_argument, NULL, LAMBDA},
    {"embedded", no_argument, NULL, EMBEDDED},
    {"out", required_argument, NULL, OUT},
    {"json", no_argument, NULL, JSON},
    {"help", no_argument, NULL, HELP},
    {"version", no_argument, NULL, VERSION},
    {NULL, 0, NULL, 0},
};

static const char help_text[] =
    "usage: sona-demo [options]                 package descriptions of this Debian, 12 desks\n"
    "       sona-demo --data FILE.bin [options] a routing data set (format SONARTE1)\n"
    "       sona-demo --log FILE.jsonl [options] your own router's log\n"
    "\n"
    "Watch a learner learn to route, from nothing, hearing only how its own choices turned out.\n"
    "It runs in a private sona-sidecar; queries, decisions and outcomes go through real shared\n"
    "memory. At the end: what it earned, beside chance and the best single route, how long the\n"
    "calls took, and whether a call in the request path ever entered the kernel.\n"
    "\n"
    "  --rows N      feedbacks [6000, or what there is]; a log is read whole\n"
    "  --seed S      of the order and of the exploration [1]\n"
    "  --lambda L    with --data: reward = quality - L * cost, costs divided by the largest [0]\n"
    "  --embedded    learn inside this process, without a sidecar\n"
    "  --out FILE    where the numbers are written as JSON [sona-demo.json]\n"
    "  --json        print the numbers as one JSON object, draw nothing\n"
    "  --help        this text\n"
    "  --version     name and version\n"
    "\n"
    "A log has one JSON object per line, in the order of time:\n"
    "  {\"text\": \"the query\", \"route\": \"name\", \"quality\": 0.8}\n"
    "  {\"embedding\": [0.1, ...], \"route\": \"name\", \"quality\": 0.8}\n"
    "Lines that cannot be used are named, counted and passed over.\n"
    "\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.\n";

void sona_demo_options_help(void)
{
    fputs(help_text, stdout);
}

static sona_err parse_one(struct sona_demo_options *options, int id, const char *text,
                          sona_diag *reterr)
{
    uint64_t rows = 0;

    switch (id) {
    case DATA:
        options->data = text;
        break;
    case LOG:
        options->log = text;
        break;
    case OUT:
        options->out = text;
        break;
    case ROWS:
        if (!sona_replay_parse_u64(text, 1, SONA_TOOLS_ROWS_MAX, &rows))
            return sona_tools_fail(reterr, SONA_E_ARGUMENT,
                                   "--rows takes a whole number from 1 to %u", SONA_TOOLS_ROWS_MAX);
        options->rows = (uint32_t)rows;
        break;
    case SEED:
        if (!sona_replay_parse_u64(text, 0, UINT64_MAX, &options->seed))
            return sona_tools_fail(reterr, SONA_E_ARGUMENT, "--seed takes a whole number");
        break;
    case LAMBDA:
        if (!sona_replay_parse_real(text, 0, 1000, &options->lambda))
            return sona_tools_fail(reterr, SONA_E_ARGUMENT, "--lambda takes a number from 0 on");
        break;
    case EMBEDDED:
        options->embedded = true;
        break;
    case JSON:
        options->json = true;
        break;
    case VERSION:
        options->version = true;
        break;
    default:
        options->help = true;
        break;
    }
    return SONA_OK;
}

sona_err sona_demo_options_parse(struct sona_demo_options *ret, int argc, char **argv,
                                 sona_diag *reterr)
{
    struct sona_demo_options options = {.rows = UINT32_MAX, .seed = 1};
    int id = 0;

    optind = 0;
    while (id != -1) {
        sona_err err = sona_tools_option_next("sona-demo", argc, argv, long_options, &id, reterr);

        if (err == SONA_OK && id != -1)
            err = parse_one(&options, id, optarg, reterr);
        if (err != SONA_OK)
            return err;
    }
    if (optind < argc)
        return sona_tools_fail(reterr, SONA_E_ARGUMENT,
                               "\"%.60s\" is left over; name a data set with --data FILE, a log "
                               "with --log FILE",
                               argv[optind]);
    if (options.data != NULL && options.log != NULL)
        return sona_tools_fail(reterr, SONA_E_ARGUMENT, "--data and --log exclude each other");
    if (options.log != NULL && options.rows != UINT32_MAX)
        return sona_tools_fail(reterr, SONA_E_ARGUMENT, "a log is read whole: leave --rows out");
    if (options.data == NULL && options.lambda > 0)
        return sona_tools_fail(reterr, SONA_E_ARGUMENT,
                               "--lambda needs routes with costs: use it with --data");
    *ret = options;
    return SONA_OK;
}
