/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "tools/replay/options.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/fail.h"
#include "tools/option.h"

enum option_id {
    DATA = 1000,
    ROWS,
    TEST,
    SEED,
    SEEDS,
    LAMBDA,
    ORDER,
    EMBEDDED,
    WITHOUT,
    SET,
    PRESET,
    FEEDBACK,
    DELAY,
    FREE_RUN,
    TENANTS,
    SEPARATE,
    JSON,
    CURVE,
    RESUME_AT,
    HELP,
    VERSION
};

static const struct option long_options[] = {
    {"data", required_argument, NULL, DATA},
    {"rows", required_argument, NULL, ROWS},
    {"test", required_argument, NULL, TEST},
    {"seed", required_argument, NULL, SEED},
    {"seeds", required_argument, NULL, SEEDS},
    {"lambda", required_argument, NULL, LAMBDA},
    {"order", required_argument, NULL, ORDER},
    {"embedded", no_argument, NULL, EMBEDDED},
    {"without", required_argument, NULL, WITHOUT},
    {"set", required_argument, NULL, SET},
    {"preset", required_argument, NULL, PRESET},
    {"feedback", required_argument, NULL, FEEDBACK},
    {"delay", required_argument, NULL, DELAY},
    {"free-run", no_argument, NULL, FREE_RUN},
    {"tenants", required_argument, NULL, TENANTS},
    {"separate", no_argument, NULL, SEPARATE},
    {"json", no_argument, NULL, JSON},
    {"curve", required_argument, NULL, CURVE},
    {"resume-at", required_argument, NULL, RESUME_AT},
    {"help", no_argument, NULL, HELP},
    {"version", no_argument, NULL, VERSION},
    {NULL, 0, NULL, 0},
};

static const char help_text[] =
    "usage: sona-replay --data FILE [options]\n"
    "\n"
    "Let a learner meet the queries of a data set one by one. It sees only the quality of the\n"
    "route it chose, and what it earns is reported beside the best single route, chance and the\n"
    "oracle. Without --embedded it learns in a private sona-sidecar, over real shared memory.\n"
    "\n"
    "  --data FILE      data set (.bin, format SONARTE1; route names from the .json beside it)\n"
    "  --rows N         queries of the stream [5000, or what the set has]; of each task with "
    "tasks\n"
    "  --test N         rows held out for the greedy policy [1000, or a fifth of the set]\n"
    "  --seed S         of the order, the learner and its exploration [1]\n"
    "  --seeds N        repeat with the seeds S, S+1, ... [1]\n"
    "  --lambda L       reward = quality - L * cost; costs are divided by the largest [0]\n"
    "  --order ORDER    shuffled  (default)\n"
    "                   blocks    groups one after another; each tested right after its turn, and\n"
    "                             all again at the end\n"
    "                   drift     from the middle on, the best single route is worth 0.3 of what\n"
    "                             it was; \"before\" = the 500 queries up to then\n"
    "                   tasks[=T] T tasks [5] of --rows queries [1200], each with its own order "
    "of\n"
    "                             the embedding's blocks of 16 dimensions; tested like blocks\n"
    "                   returning[=T]\n"
    "                             the same, and then the first task once more, for --rows "
    "queries\n"
    "                   The tests of blocks, tasks and returning are decisions without exploring\n"
    "                   and without outcome, as in service: where queries change, the first ones\n"
    "                   pay for noticing it\n"
    "  --feedback P     only a share P of the outcomes is ever told [1]\n"
    "  --delay N        outcomes are told N decisions late [0]\n"
    "  --tenants N[:SPREAD[:KIND]]\n"
    "                   every query belongs to one of N tenants, who disagree about the routes by\n"
    "                   SPREAD [0.3], 0 to 1. KIND: taste (each has an opinion of every route, "
    "and\n"
    "                   it makes SPREAD of the quality), swap (each has pairs of routes "
    "exchanged,\n"
    "                   with probability SPREAD), or both [both]. The learner is told whose query\n"
    "                   it is and has room for all of them; --without tenants: it has not\n"
    "  --separate       with --tenants and --embedded: a learner of its own for every tenant\n"
    "  --free-run       do not wait until an outcome is visible before the next decision; the\n"
    "                   background loop has its own thread. Faster, but not reproducible\n"
    "  --embedded       learn inside this process, without a sidecar\n"
    "  --resume-at N    with --embedded: after N queries the learner is saved, destroyed and "
    "loaded;\n"
    "                   the decisions are the same as without\n"
    "  --without LIST   switch parts off: micro,base,patterns,background,drift,gate,\n"
    "                   tenants,ewc\n"
    "  --preset NAME    begin with a preset (below); --set goes on from it\n"
    "  --set KEY=VALUE  any configuration key (below); may be repeated\n"
    "  --json           one JSON object per line, one line per seed\n"
    "  --curve N        with --json: the mean reward of each N queries, too\n"
    "  --help           this text\n"
    "  --version        name and version\n"
    "\n"
    "In lock-step (the default) a seed gives the same decisions with and without --embedded.\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.\n"
    "\n";

static void print_key(void *arg, const char *name, const char *alias, const char *value,
                      const char *help)
{
    char label[64];

    (void)arg;
    (void)snprintf(label, sizeof label, "%s%s%s", name, alias[0] != '\0' ? ", " : "", alias);
    printf("  %-42s %s [%s]\n", label, help, value);
}

void sona_replay_options_help(void)
{
    sona_config config;

    sona_config_init(&config);
    fputs(help_text, stdout);
    printf("Presets:\n");
    for (uint32_t i = 0; sona_config_preset_name(i) != NULL; i++)
        printf("  %-42s %s\n", sona_config_preset_name(i), sona_config_preset_help(i));
    printf("\nConfiguration keys [default]:\n");
    sona_config_each(print_key, NULL, &config);
}

bool sona_replay_parse_u64(const char *text, uint64_t low, uint64_t high, uint64_t *ret)
{
    char *end;
    unsigned long long value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno != 0 || value < low ||
        value > high)
        return false;
    *ret = value;
    return true;
}

bool sona_replay_parse_real(const char *text, double low, double high, double *ret)
{
    char *end;
    double value;

    errno = 0;
    value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value) || value < low || value > high)
        return false;
    *ret = value;
    return true;
}

static sona_err parse_order(struct sona_replay_spec *spec, const char *text, sona_diag *reterr)
{
    static const char *const counted[] = {"tasks", "returning"};
    uint64_t tasks = 5;

    for (size_t i = 0; i < sizeof counted / sizeof *counted; i++) {
        size_t n = strlen(counted[i]);

        if (strncmp(text, counted[i], n) != 0 || text[n] != '=')
            continue;
        if (!sona_replay_parse_u64(text + n + 1, 2, SONA_REPLAY_TASKS_MAX, &tasks))
            return sona_tools_fail(reterr, SONA_E_ARGUMENT, "--order %s=T takes 2 to %u tasks",
                                   counted[i], SONA_REPLAY_TASKS_MAX);
        text = counted[i];
    }
    for (int order = SONA_REPLAY_SHUFFLED; order <= SONA_REPLAY_RETURNING; order++)
        if (strcmp(text, sona_replay_order_name((enum sona_replay_order)order)) == 0) {
            spec->order = (enum sona_replay_order)order;
            spec->tasks = (uint32_t)tasks;
            return SONA_OK;
        }
    return sona_tools_fail(reterr, SONA_E_ARGUMENT,
                           "--order %.40s is not known; it is shuffled, blocks, drift, tasks[=T] "
                           "or returning[=T]",
                           text);
}

/* "micro,drift" -> micro=0, drift=0 */
static sona_err parse_without(struct sona_tools_settings *settings, const char *text,
                              sona_diag *reterr)
{
    static const char *const parts[] = {"micro", "base",    "patterns", "background",
                                        "drift", "tenants", "gate",     "ewc"};

    while (*text != '\0') {
        size_t n = strcspn(text, ",");
        const char *part = NULL;
        sona_err err;

        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
            if (strlen(parts[i]) == n && strncmp(parts[i], text, n) == 0)
                part = parts[i];
        if (part == NULL)
            return sona_tools_fail(reterr, SONA_E_ARGUMENT,
                                   "--without %.*s is not known; the parts are micro, base, "
                                   "patterns, background, drift, gate, tenants and ewc",
                                   n < 40 ? (int)n : 40, text);
        err = sona_tools_settings_add(settings, reterr, "%s%s=0", part,
                                      strcmp(part, "tenants") == 0 ? "_max" : "");
        if (err != SONA_OK)
            return err;
        text += n + (text[n] == ',');
    }
    return SONA_OK;
}

/* What the run sets by itself must be said in its own words, or reward and learner would differ. */
static sona_err parse_set(struct sona_tools_settings *settings, const char *text, sona_diag *reterr)
{
    static const char *const own[][2] = {
        {"lambda=", "use --lambda"},
        {"seed=", "use --seed"},
        {"embedding_dim=", "the data set says it"},
        {"dim=", "the data set says it"},
        {"routes_max=", "the data set says it"},
        {"preset=", "use --preset"},
    };
    struct sona_tools_settings alone = {0};
    sona_config ignored;
    sona_err err;

    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (strncmp(text, own[i][0], strlen(own[i][0])) == 0)
            return sona_tools_fail(reterr, SONA_E_ARGUMENT, "--set %.40s is not possible: %s", text,
                                   own[i][1]);
    err = sona_tools_settings_add(&alone, reterr, "%s", text);
    if (err == SONA_OK)
        err = sona_tools_settings_apply(&alone, &ignored, reterr);
    if (err == SONA_OK)
        err = sona_tools_settings_add(settings, reterr, "%s", text);
    return err;
}

static sona_err parse_count(const char *name, const char *text, uint64_t low, uint64_t high,
                            uint64_t *ret, sona_diag *reterr)
{
    if (sona_replay_parse_u64(text, low, high, ret))
        return SONA_OK;
    return sona_tools_fail(reterr, SONA_E_ARGUMENT, "--%s takes a whole number from %llu to %llu",
                           name, (unsigned long long)low, (unsigned long long)high);
}

/* A number of queries. */
static sona_err parse_rows(const char *name, const char *text, uint64_t low, uint32_t *ret,
                           sona_diag *reterr)
{
    uint64_t count;
    sona_err err = parse_count(name, text, low, SONA_TOOLS_ROWS_MAX, &count, reterr);

    if (err == SONA_OK)
        *ret = (uint32_t)count;
    return err;
}

static sona_err parse_share(const char *name, const char *text, double high, double *ret,
                            sona_diag *reterr)
{
    if (sona_replay_parse_real(text, 0, high, ret))
        return SONA_OK;
    return sona_tools_fail(reterr, SONA_E_ARGUMENT, "--%s takes a number from 0 to %g", name, high);
}

/* "50", "50:0.3" or "50:0.3:taste" */
static sona_err parse_tenants(struct sona_replay_spec *spec, const char *text, sona_diag *reterr)
{
    static const char *const kinds[] = {"both", "taste", "swap"};
    char count[24], spread[24] = "", kind[8] = "both";
    uint64_t tenants = 0;
    double value = (double)SONA_REPLAY_SPREAD;
    size_t i = 0;

    if (sscanf(text, "%23[^:]:%23[^:]:%7s", count, spread, kind) >= 1 &&
        sona_replay_parse_u64(count, 1, SONA_TENANTS_MAX, &tenants) &&
        (spread[0] == '\0' || sona_replay_parse_real(spread, 0, 1, &value)))
        for (i = 0; i < sizeof kinds / sizeof *kinds; i++)
            if (strcmp(kind, kinds[i]) == 0) {
                spec->tenants = (uint32_t)tenants;
                spec->spread = (float)value;
                spec->kind = (enum sona_replay_kind)i;
                return SONA_OK;
            }
    return sona_tools_fail(reterr, SONA_E_ARGUMENT,
                           "--tenants %.40s is not known; it is N[:SPREAD[:KIND]], N from 1 to %u, "
                           "SPREAD from 0 to 1, KIND taste, swap or both",
                           text, SONA_TENANTS_MAX);
}

static sona_err parse_one(struct sona_replay_options *options, int id, const char *text,
                          sona_diag *reterr)
{
    struct sona_replay_setup *setup = &options->setup;
    struct sona_replay_spec *spec = &setup->spec;
    uint64_t count = 0;
    double real = 0;
    sona_config ignored;
    sona_err err = SONA_OK;

    switch (id) {
    case DATA:
        options->data = text;
        break;
    case ROWS:
        return parse_rows("rows", text, 1, &spec->rows, reterr);
    case TEST:
        return parse_rows("test", text, 0, &spec->test, reterr);
    case SEED:
        err = parse_count("seed", text, 0, UINT64_MAX - SONA_REPLAY_SEEDS_MAX, &spec->seed, reterr);
        break;
    case SEEDS:
        err = parse_count("seeds", text, 1, SONA_REPLAY_SEEDS_MAX, &count, reterr);
        options->seeds = (uint32_t)count;
        break;
    case DELAY:
        return parse_rows("delay", text, 0, &setup->delay, reterr);
    case LAMBDA:
        err = parse_share("lambda", text, 1000, &real, reterr);
        spec->lambda = (float)real;
        break;
    case FEEDBACK:
        err = parse_share("feedback", text, 1, &setup->feedback, reterr);
        break;
    case ORDER:
        return parse_order(spec, text, reterr);
    case TENANTS:
        return parse_tenants(spec, text, reterr);
    case SEPARATE:
        setup->separate = true;
        break;
    case WITHOUT:
        return parse_without(&setup->settings, text, reterr);
    case SET:
        return parse_set(&setup->settings, text, reterr);
    case PRESET:
        setup->preset = text;
        return sona_config_preset(&ignored, text, reterr);
    case EMBEDDED:
        setup->embedded = true;
        break;
    case FREE_RUN:
        setup->free_run = true;
        break;
    case CURVE:
        return parse_rows("curve", text, 1, &setup->curve, reterr);
    case RESUME_AT:
        return parse_rows("resume-at", text, 1, &setup->resume_at, reterr);
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
    return err;
}

sona_err sona_replay_options_parse(struct sona_replay_options *ret, int argc, char **argv,
                                   sona_diag *reterr)
{
    struct sona_replay_options options = {
        .seeds = 1,
        .setup = {.spec = {.order = SONA_REPLAY_SHUFFLED,
                           .tasks = 5,
                           .rows = SONA_REPLAY_DEFAULT,
                           .test = SONA_REPLAY_DEFAULT,
                           .seed = 1},
                  .feedback = 1},
    };
    int id = 0;

    optind = 0;
    while (id != -1) {
        sona_err err = sona_tools_option_next("sona-replay", argc, argv, long_options, &id, reterr);

        if (err == SONA_OK && id != -1)
            err = parse_one(&options, id, optarg, reterr);
        if (err != SONA_OK)
            return err;
    }
    if (optind < argc)
        return sona_tools_fail(reterr, SONA_E_ARGUMENT,
                               "\"%.60s\" is left over; name the data set with --data FILE",
                               argv[optind]);
    if (options.data == NULL && !options.help && !options.version)
        return sona_tools_fail(reterr, SONA_E_ARGUMENT,
                               "no data set; name one with --data FILE, or see --help");
    if (options.setup.embedded && options.setup.free_run)
        return sona_tools_fail(reterr, SONA_E_ARGUMENT,
                               "--embedded learns at once: leave --free-run out");
    if (options.setup.separate && (!options.setup.embedded || options.setup.spec.tenants == 0))
        return sona_tools_fail(reterr, SONA_E_ARGUMENT,
                               "--separate needs --tenants, and --embedded learners");
    if (options.setup.resume_at > 0 && !options.setup.embedded)
        return sona_tools_fail(reterr, SONA_E_ARGUMENT,
                               "--resume-at saves a learner of this process: it needs --embedded");
    *ret = options;
    return SONA_OK;
}
