/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * sona-bench: how far every operation is from its limit.
 */
#include <fnmatch.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "perf/bench/bench.h"
#include "perf/bench/live.h"
#include "perf/bench/options.h"
#include "tools/option.h"
#include "tools/stop.h"
#include "tools/terminal.h"

#define EXIT_STOPPED 130
#define ROW_MS       400u
#define BLOCK_NS     20000u

static const struct sona_bench_entry *const tables[] = {
    sona_bench_roofline_entries, sona_bench_kernel_entries,  sona_bench_call_entries,
    sona_bench_bank_entries,     sona_bench_learner_entries, sona_bench_publish_entries,
    sona_bench_visible_entries,  sona_bench_tail_entries,    sona_bench_host_entries,
    sona_bench_claim_entries,    sona_bench_trace_entries,
};

static struct sona_tools_terminal terminal;

static void report(struct sona_bench *bench, const struct sona_bench_row *row)
{
    sona_tools_terminal_wipe(&terminal);
    if (bench->json)
        sona_bench_print_json(stdout, row);
    else
        sona_bench_print_table(stdout, row, bench->rows == 0);
    bench->rows++;
}

/* A glob may also name a row below an entry: then the entry is run. */
static bool matches(const char *glob, const char *name)
{
    size_t n = strlen(name);

    return fnmatch(glob, name, 0) == 0 || (strncmp(glob, name, n) == 0 && glob[n] == '/');
}

static bool wanted(const struct sona_bench_options *options, const struct sona_bench_entry *entry)
{
    for (uint32_t i = 0; i < options->n_filters; i++)
        if (matches(options->filter[i], entry->name))
            return options->all || !entry->long_run || strcmp(options->filter[i], "*") != 0;
    return options->n_filters == 0 && (options->all || !entry->long_run);
}

static void list(const struct sona_bench_options *options)
{
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct sona_bench_entry *e = tables[t]; e->name; e++)
            if (options->n_filters == 0 || wanted(options, e))
                printf("%-34s %s%s\n", e->name, e->help, e->long_run ? " (long)" : "");
}

static uint32_t count(const struct sona_bench_options *options)
{
    uint32_t n = 0;

    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct sona_bench_entry *e = tables[t]; e->name; e++)
            n += wanted(options, e);
    return n;
}

static int run(struct sona_bench *bench, const struct sona_bench_options *options)
{
    uint32_t total = count(options), done = 0;

    if (total == 0) {
        (void)fprintf(stderr, "sona-bench: no row has such a name; see sona-bench --list\n");
        return 1;
    }
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        for (const struct sona_bench_entry *e = tables[t]; e->name && !*bench->stop; e++) {
            if (!wanted(options, e))
                continue;
            sona_tools_terminal_bar(&terminal, "measuring", done++, total, e->name);
            e->run(bench, e);
        }
    }
    sona_tools_terminal_wipe(&terminal);
    sona_bench_live_close(bench);
    return *bench->stop ? EXIT_STOPPED : 0;
}

int main(int argc, char **argv)
{
    struct sona_bench_options options;
    struct sona_bench bench = {.report = report};
    sona_diag diag;

    (void)setlocale(LC_CTYPE, "");
    if (sona_bench_options_parse(&options, argc, argv, &diag) != SONA_OK) {
        (void)fprintf(stderr, "sona-bench: %s\n", diag.text);
        return 2;
    }
    if (options.help) {
        sona_bench_options_help();
        return sona_tools_option_shown("sona-bench");
    }
    if (options.version)
        return sona_tools_option_version("sona-bench");
    if (options.list) {
        list(&options);
        return 0;
    }
    bench.json = options.json;
    bench.quick = options.quick;
    bench.pin = !options.no_pin;
    bench.stop = sona_tools_stop_install();
    bench.budget = (struct sona_bench_budget){
        .total_ns = 1000000ull * (options.row_ms  ? options.row_ms
                                  : options.quick ? 10
                                                  : ROW_MS),
        .block_ns = BLOCK_NS,
        .rounds_min = options.quick ? 5 : 15,
        .rounds_max = 200000,
    };
    sona_tools_terminal_init(&terminal, stderr);
    return run(&bench, &options);
}
