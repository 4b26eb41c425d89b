/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "perf/bench/options.h"

#include <stdio.h>

#include "tools/fail.h"
#include "tools/option.h"
#include "tools/replay/options.h"

enum option_id { FILTER = 1000, JSON, LIST, QUICK, ALL, NO_PIN, MS, HELP, VERSION };

static const struct option long_options[] = {
    {"filter", required_argument, NULL, FILTER},
    {"json", no_argument, NULL, JSON},
    {"list", no_argument, NULL, LIST},
    {"quick", no_argument, NULL, QUICK},
    {"all", no_argument, NULL, ALL},
    {"no-pin", no_argument, NULL, NO_PIN},
    {"ms", required_argument, NULL, MS},
    {"help", no_argument, NULL, HELP},
    {"version", no_argument, NULL, VERSION},
    {NULL, 0, NULL, 0},
};

static const char help_text[] =
    "usage: sona-bench [options]\n"
    "\n"
    "Measure every operation beside its floor: the least that this machine must take for it. Both\n"
    "run in turns, in short blocks, so that the drift of a shared machine cancels. What needs a\n"
    "sidecar starts a private one.\n"
    "\n"
    "  --filter GLOB  only rows whose name matches, such as 'kernel/micro/*' or 'decide/256/9';\n"
    "                 may be given again\n"
    "  --all          also what takes half a minute or more\n"
    "  --quick        a few rounds of each: shows that it works, not how fast it is\n"
    "  --ms N         milliseconds for a row, 1 to 600000 [400]\n"
    "  --no-pin       do not keep the measuring thread on one processor\n"
    "  --list         the names and what they are, measure nothing\n"
    "  --json         one JSON object a line\n"
    "  --help         this text\n"
    "  --version      name and version\n"
    "\n"
    "Columns: the least, the median and the 99th percentile of the mean of a block of calls, and\n"
    "the floor's median; then how many times the floor the operation takes: median over all\n"
    "rounds, and its 95 % interval. On a busy machine trust that last one.\n"
    "\n"
    "SONA_SIMD=c|avx2|... measures another row of the kernels.\n"
    "\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.\n";

void sona_bench_options_help(void)
{
    fputs(help_text, stdout);
}

static sona_err parse_one(struct sona_bench_options *o, int id, const char *text, sona_diag *reterr)
{
    uint64_t ms = 0;

    switch (id) {
    case FILTER:
        if (o->n_filters == SONA_BENCH_FILTERS_MAX)
            return sona_tools_fail(reterr, SONA_E_ARGUMENT, "--filter can be given %u times",
                                   SONA_BENCH_FILTERS_MAX);
        o->filter[o->n_filters++] = text;
        break;
    case MS:
        if (!sona_replay_parse_u64(text, 1, 600000, &ms))
            return sona_tools_fail(reterr, SONA_E_ARGUMENT,
                                   "--ms takes a whole number from 1 to 600000");
        o->row_ms = (uint32_t)ms;
        break;
    case JSON:
        o->json = true;
        break;
    case LIST:
        o->list = true;
        break;
    case QUICK:
        o->quick = true;
        break;
    case ALL:
        o->all = true;
        break;
    case NO_PIN:
        o->no_pin = true;
        break;
    case VERSION:
        o->version = true;
        break;
    default:
        o->help = true;
        break;
    }
    return SONA_OK;
}

sona_err sona_bench_options_parse(struct sona_bench_options *ret, int argc, char **argv,
                                  sona_diag *reterr)
{
    struct sona_bench_options options = {0};
    sona_err err;
    int id;

    optind = 0;
    while ((err = sona_tools_option_next("sona-bench", argc, argv, long_options, &id, reterr)) ==
               SONA_OK &&
           id != -1) {
        err = parse_one(&options, id, optarg, reterr);
        if (err != SONA_OK)
            return err;
    }
    if (err == SONA_OK && optind < argc)
        return sona_tools_fail(reterr, SONA_E_ARGUMENT,
                               "\"%.60s\" is left over; names go behind --filter", argv[optind]);
    if (err == SONA_OK)
        *ret = options;
    return err;
}
