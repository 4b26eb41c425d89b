/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * sonactl: ask a running sidecar how it is, or have it change something. The sidecar answers in
 * JSON; this prints it, or lays it out for reading. Exit status: 0 ok, 1 failed, 2 usage, 3 not
 * running, 5 version mismatch.
 */
#include <argp.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <sona/stats.h>
#include <sona/version.h>

#include "shm/wire.h"
#include "tools/query.h"

#define EXIT_FAILED   1
#define EXIT_USAGE    2
#define EXIT_ABSENT   3
#define EXIT_MISMATCH 5

enum key {
    KEY_INSTANCE = 0x100,
    KEY_RUNTIME_DIR,
    KEY_JSON,
    KEY_COST,
    KEY_PRIOR_QUALITY,
    KEY_PRIOR_WEIGHT,
    KEY_MIN_ACCESSES,
    KEY_MIN_AGE
};

static const struct argp_option table[] = {
    {"instance", KEY_INSTANCE, "NAME", 0, "name of the instance (default: \"default\")", 0},
    {"runtime-dir", KEY_RUNTIME_DIR, "DIR", 0,
     "directory of its socket (default: /run/sona, else $XDG_RUNTIME_DIR/sona)", 0},
    {"json", KEY_JSON, NULL, 0, "print the sidecar's JSON as it is", 0},
    {"cost", KEY_COST, "C", 0, "routes add: relative cost, 0..1 (default: 0)", 0},
    {"prior-quality", KEY_PRIOR_QUALITY, "Q", 0,
     "routes add: believed quality before evidence, 0..1 (default: 0.5)", 0},
    {"prior-weight", KEY_PRIOR_WEIGHT, "W", 0,
     "routes add: what that belief weighs, in outcomes (default: 1)", 0},
    {"min-accesses", KEY_MIN_ACCESSES, "N", 0,
     "patterns prune: spare those that searches found N times (default: none)", 0},
    {"min-age", KEY_MIN_AGE, "STEPS", 0,
     "patterns prune: spare those younger than so many events (default: 0)", 0},
    {0},
};

#define WORDS_MAX 4 /* routes mode NAME MODE */

struct options {
    const char *instance, *runtime_dir;
    bool json;
    char *word[WORDS_MAX];
    int n_words;
    uint32_t query; /* enum sona_wire_query; 0: a command */
    struct sona_wire_command command;
};

/* What can be typed, in words; those in capitals stand for any word, the rest for themselves. */
static const struct form {
    const char *word[WORDS_MAX];
    uint32_t query, command;
} forms[] = {
    {{"status"}, SONA_WIRE_STATUS, 0},
    {{"stats"}, SONA_WIRE_STATS, 0},
    {{"patterns"}, SONA_WIRE_PATTERNS, 0},
    {{"routes", "list"}, SONA_WIRE_ROUTES, 0},
    {{"config"}, SONA_WIRE_CONFIG, 0},
    {{"routes", "add", "NAME"}, 0, SONA_WIRE_ROUTE_ADD},
    {{"routes", "retire", "NAME"}, 0, SONA_WIRE_ROUTE_RETIRE},
    {{"routes", "mode", "NAME", "MODE"}, 0, SONA_WIRE_ROUTE_MODE},
    {{"routes", "cost", "NAME", "C"}, 0, SONA_WIRE_ROUTE_COST},
    {{"learn"}, 0, SONA_WIRE_LEARN},
    {{"flush"}, 0, SONA_WIRE_FLUSH},
    {{"enable"}, 0, SONA_WIRE_ENABLE},
    {{"disable"}, 0, SONA_WIRE_DISABLE},
    {{"patterns", "decay", "FACTOR"}, 0, SONA_WIRE_PATTERNS_DECAY},
    {{"patterns", "prune", "QUALITY"}, 0, SONA_WIRE_PATTERNS_PRUNE},
    {{"patterns", "consolidate", "COSINE"}, 0, SONA_WIRE_PATTERNS_CONSOLIDATE},
    {{"ewc"}, 0, SONA_WIRE_EWC},
    {{"ewc", "boundary"}, 0, SONA_WIRE_EWC_BOUNDARY},
    {{"ewc", "consolidate"}, 0, SONA_WIRE_EWC_CONSOLIDATE},
};

#define COMMANDS                                                                                  \
    "status, stats, config, patterns, patterns decay FACTOR|prune QUALITY|consolidate COSINE, "   \
    "routes list|add NAME|retire NAME|mode NAME apply|observe|bypass|cost NAME C, learn, flush, " \
    "enable, disable, ewc, ewc boundary and ewc consolidate"

static bool matches(const struct form *form, const struct options *o)
{
    for (int i = 0; i < WORDS_MAX; i++) {
        const char *word = form->word[i];

        if (!word || i >= o->n_words)
            return !word && i >= o->n_words;
        if (word[0] >= 'a' && strcmp(word, o->word[i]) != 0)
            return false;
    }
    return true;
}

static float number_of(const char *text, struct argp_state *state)
{
    char *end;
    float value = strtof(text, &end);

    if (end == text || *end != '\0')
        argp_error(state, "\"%s\" is no number", text);
    return value;
}

static uint64_t count_of(const char *text, struct argp_state *state)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end != '\0')
        argp_error(state, "\"%s\" is no whole number", text);
    return value;
}

static void take_mode(struct options *o, struct argp_state *state)
{
    static const char *const modes[] = {"apply", "observe", "bypass"};

    for (uint32_t m = 0; m < sizeof modes / sizeof modes[0]; m++)
        if (strcmp(o->word[3], modes[m]) == 0) {
            o->command.mode = m;
            return;
        }
    argp_error(state, "\"%s\" is no mode; there are apply, observe and bypass", o->word[3]);
}

/* All words are there: which form is it? */
static void understand(struct options *o, struct argp_state *state)
{
    const struct form *form = NULL;

    for (size_t i = 0; i < sizeof forms / sizeof forms[0] && !form; i++)
        form = matches(&forms[i], o) ? &forms[i] : NULL;
    if (o->n_words == 0)
        argp_error(state, "a command is missing; there are " COMMANDS);
    if (!form) {
        argp_error(state, "\"%s%s%s\" is no command; there are " COMMANDS, o->word[0],
                   o->n_words > 1 ? " " : "", o->n_words > 1 ? o->word[1] : "");
        return;
    }
    o->query = form->query;
    o->command.what = form->command;
    if (form->command >= SONA_WIRE_ROUTE_ADD && form->command <= SONA_WIRE_ROUTE_COST &&
        snprintf(o->command.spec.name, sizeof o->command.spec.name, "%s", o->word[2]) >=
            (int)sizeof o->command.spec.name)
        argp_error(state, "a route's name has at most %d bytes", SONA_ROUTE_NAME_MAX - 1);
    if (form->command == SONA_WIRE_ROUTE_MODE)
        take_mode(o, state);
    if (form->command == SONA_WIRE_ROUTE_COST)
        o->command.spec.cost = number_of(o->word[3], state);
    if (form->command == SONA_WIRE_PATTERNS_PRUNE)
        o->command.rule.min_quality = number_of(o->word[2], state);
    else if (form->command == SONA_WIRE_PATTERNS_DECAY ||
             form->command == SONA_WIRE_PATTERNS_CONSOLIDATE)
        o->command.amount = number_of(o->word[2], state);
}

static error_t take(int key, char *text, struct argp_state *state)
{
    struct options *o = state->input;

    switch (key) {
    case KEY_INSTANCE:
        o->instance = text;
        return 0;
    case KEY_RUNTIME_DIR:
        o->runtime_dir = text;
        return 0;
    case KEY_JSON:
        o->json = true;
        return 0;
    case KEY_COST:
        o->command.spec.cost = number_of(text, state);
        return 0;
    case KEY_PRIOR_QUALITY:
        o->command.spec.prior_quality = number_of(text, state);
        return 0;
    case KEY_PRIOR_WEIGHT:
        o->command.spec.prior_weight = number_of(text, state);
        return 0;
    case KEY_MIN_ACCESSES:
        o->command.rule.min_accesses = count_of(text, state);
        return 0;
    case KEY_MIN_AGE:
        o->command.rule.min_age = count_of(text, state);
        return 0;
    case ARGP_KEY_ARG:
        if (o->n_words == WORDS_MAX)
            argp_error(state, "\"%s\" is one word too many", text);
        else
            o->word[o->n_words++] = text;
        return 0;
    case ARGP_KEY_END:
        understand(o, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- reading an answer; what is not there reads as nothing ---- */

static const char *text_at(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));

    return text ? text : "?";
}

static int64_t number_at(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static double real_at(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static void print_fences(const json_t *list)
{
    size_t i;
    json_t *mode;

    json_array_foreach(list, i, mode)(void)
        printf("%s%s", i == 0 ? "" : ", ", json_string_value(mode));
}

static void print_status(const json_t *o)
{
    const json_t *segment = json_object_get(o, "segment"), *g = json_object_get(o, "geometry");
    const json_t *learner = json_object_get(o, "learner"), *clients = json_object_get(o, "clients");
    const json_t *a;
    size_t i;

    (void)printf("instance   %s, %s for %.1f s\n", text_at(o, "instance"), text_at(o, "state"),
                 real_at(o, "uptime_s"));
    (void)printf("sidecar    pid %" PRId64 ", version %s, ABI %s, SIMD %s, fences ",
                 number_at(o, "pid"), text_at(o, "version"), text_at(o, "abi"), text_at(o, "simd"));
    print_fences(json_object_get(o, "fence_modes"));
    (void)printf("\nsocket     %s\n", text_at(o, "socket"));
    (void)printf("segment    %s, %" PRId64 " bytes, generation %" PRId64 "\n",
                 text_at(segment, "name"), number_at(segment, "bytes"),
                 number_at(segment, "generation"));
    (void)printf("model      %" PRId64 " floats, %" PRId64 " routes at most, ranks %" PRId64
                 "/%" PRId64 ", %" PRId64 " layers, %" PRId64 " patterns at most\n",
                 number_at(g, "dim"), number_at(g, "routes_max"), number_at(g, "micro_rank"),
                 number_at(g, "base_rank"), number_at(g, "layers"), number_at(g, "patterns_max"));
    (void)printf("learner    step %" PRId64 ", %" PRId64 " background cycles (%s)\n",
                 number_at(learner, "step"), number_at(learner, "cycles"),
                 text_at(learner, "background"));
    (void)printf("memory     %" PRId64 " bytes private, %" PRId64
                 " of them beyond the libraries' own\n",
                 number_at(o, "private_bytes"), number_at(o, "own_bytes"));
    (void)printf("reclaimed  %" PRId64 " clients, the last in %" PRId64
                 " us, the slowest in %" PRId64 " us\n",
                 number_at(o, "clients_reclaimed"), number_at(o, "last_reclaim_us"),
                 number_at(o, "max_reclaim_us"));
    (void)printf("clients    %zu\n", json_array_size(clients));
    if (json_array_size(clients) > 0)
        (void)printf("           %10s %8s %6s %6s  %s\n", "pid", "uid", "lanes", "tag",
                     "end noticed by");
    json_array_foreach(clients, i, a)(void) printf(
        "           %10" PRId64 " %8" PRId64 " %6" PRId64 " %6" PRId64 "  %s%s\n",
        number_at(a, "pid"), number_at(a, "uid"), number_at(a, "lanes"), number_at(a, "tag"),
        text_at(a, "liveness"), json_is_true(json_object_get(a, "ending")) ? " (ending)" : "");
}

static void print_routes(const json_t *list)
{
    const json_t *r;
    size_t i;

    (void)printf("%-24s %8s %-8s %-8s %8s %10s %8s\n", "route", "id", "state", "mode", "cost",
                 "outcomes", "quality");
    json_array_foreach(list, i, r)(void)
        printf("%-24s %8" PRId64 " %-8s %-8s %8.3f %10.1f %8.3f\n", text_at(r, "name"),
               number_at(r, "id"), text_at(r, "state"), text_at(r, "mode"), real_at(r, "cost"),
               real_at(r, "outcomes"), real_at(r, "mean_quality"));
}

static void print_gauge(const json_t *o, const char *key)
{
    const json_t *value = json_object_get(o, key);

    if (json_is_integer(value))
        (void)printf("%-22s %14" PRId64 "\n", key, (int64_t)json_integer_value(value));
    else if (json_is_real(value))
        (void)printf("%-22s %14.4f\n", key, json_real_value(value));
}

/* Every counter with what it counts, those at zero left out; then gauges; then routes. */
static void print_stats(const json_t *o)
{
    static const char *const gauges[] = {
        "step",      "pending",    "parked_now",   "replay_length", "patterns",
        "clients",   "lanes",      "memory_bytes", "mean_quality",  "recent_quality",
        "mse",       "micro_norm", "base_norm",    "last_cycle_ms", "buffer_success_rate",
        "ewc_tasks", "ewc_lambda", "ewc_penalty"};

    for (int c = 0; c < SONA_COUNTER_COUNT; c++) {
        const char *name = sona_counter_name((sona_counter)c);
        int64_t value = number_at(o, name);

        if (value != 0)
            (void)printf("%-22s %14" PRId64 "  %s\n", name, value,
                         sona_counter_help((sona_counter)c));
    }
    (void)putchar('\n');
    for (size_t i = 0; i < sizeof gauges / sizeof gauges[0]; i++)
        print_gauge(o, gauges[i]);
    (void)putchar('\n');
    print_routes(json_object_get(o, "routes"));
}

static void print_patterns(const json_t *o)
{
    const json_t *p, *route;
    size_t i;

    (void)printf("%" PRId64 " patterns, %" PRId64 " shown\n", number_at(o, "patterns_stored"),
                 number_at(o, "shown"));
    (void)printf("%10s %-14s %8s %8s %8s %8s  %s\n", "id", "type", "size", "weight", "quality",
                 "accesses", "most used route");
    json_array_foreach(json_object_get(o, "patterns"), i, p)
    {
        route = json_array_get(json_object_get(p, "routes"), 0);
        (void)printf("%10" PRId64 " %-14s %8" PRId64 " %8.1f %8.3f %8" PRId64 "  %s\n",
                     number_at(p, "id"), text_at(p, "pattern_type"), number_at(p, "cluster_size"),
                     real_at(p, "total_weight"), real_at(p, "avg_quality"),
                     number_at(p, "access_count"), text_at(route, "route"));
    }
}

static void print_config(const json_t *list)
{
    const json_t *row;
    size_t i;

    (void)printf("%-34s %-20s %-8s %s\n", "option", "value", "change", "from");
    json_array_foreach(list, i, row)(void) printf(
        "%-34s %-20s %-8s %s\n", text_at(row, "key"), text_at(row, "value"),
        json_is_true(json_object_get(row, "live")) ? "SIGHUP" : "restart", text_at(row, "from"));
}

/* How EWC++ stands. */
static void print_ewc(uint32_t what, const json_t *o)
{
    const json_t *top = json_object_get(o, "top"), *w, *index;
    size_t i;

    if (!json_is_true(json_object_get(o, "enabled"))) {
        (void)printf("EWC++ is off; start the sidecar with --set=ewc=on\n");
        return;
    }
    if (what != SONA_WIRE_EWC && !json_is_true(json_object_get(o, "changed")))
        (void)printf("%s\n", what == SONA_WIRE_EWC_BOUNDARY
                                 ? "nothing to end: no outcome since the last boundary"
                                 : "nothing to merge: fewer than two tasks");
    (void)printf("tasks      %" PRId64 " remembered by %s, %" PRId64 " ended, %" PRId64
                 " outcomes of the one under way\n",
                 number_at(o, "tasks"),
                 json_is_true(json_object_get(o, "online")) ? "one anchor" : "an anchor each",
                 number_at(o, "boundaries"), number_at(o, "outcomes"));
    (void)printf("penalty    %.6f, lambda %.1f, older outcomes are off by %+.4f more\n",
                 real_at(o, "penalty"), real_at(o, "lambda"), real_at(o, "excess"));
    if (json_array_size(top) > 0)
        (void)printf("%-24s %8s %12s %10s %10s\n", "route", "weight", "importance", "is", "anchor");
    json_array_foreach(top, i, w)
    {
        index = json_object_get(w, "index");
        (void)printf("%-24s ", text_at(w, "route"));
        if (json_is_string(index))
            (void)printf("%8s", json_string_value(index));
        else
            (void)printf("%8" PRId64, (int64_t)json_integer_value(index));
        (void)printf(" %12.6f %10.4f %10.4f\n", real_at(w, "importance"), real_at(w, "weight"),
                     real_at(w, "anchor"));
    }
}

/* What a command did, in a sentence. */
static void print_done(uint32_t what, const json_t *o)
{
    if (what == SONA_WIRE_LEARN && !json_is_true(json_object_get(o, "ran")))
        (void)printf("nothing to learn: no outcome since the last cycle, or learning is off\n");
    else if (what == SONA_WIRE_LEARN)
        (void)printf("cycle: %" PRId64 " outcomes read, %" PRId64 " routes refit, %" PRId64
                     " patterns, BaseLoRA moved by %.4f, %.4f discarded\n",
                     number_at(o, "replayed"), number_at(o, "routes_refit"),
                     number_at(o, "patterns"), real_at(o, "base_change"),
                     real_at(o, "fold_discarded"));
    else if (what == SONA_WIRE_FLUSH)
        (void)printf("flushed: %" PRId64 " outcomes learned, %" PRId64
                     " decisions wait for theirs\n",
                     number_at(o, "learned"), number_at(o, "pending"));
    else if (what <= SONA_WIRE_ROUTE_COST)
        (void)printf("done: route %s, id %" PRId64 ", in snapshot %" PRId64 "\n",
                     text_at(o, "name"), number_at(o, "id"), number_at(o, "version"));
    else if (what >= SONA_WIRE_EWC)
        print_ewc(what, o);
    else if (what >= SONA_WIRE_PATTERNS_DECAY)
        (void)printf("done: %" PRId64 " patterns, %" PRId64 " merged, %" PRId64
                     " pruned, evidence of %.1f outcomes, in snapshot %" PRId64 "\n",
                     number_at(o, "patterns"), number_at(o, "merged"), number_at(o, "pruned"),
                     real_at(o, "weight"), number_at(o, "version"));
    else
        (void)printf("done: learning is %s\n", what == SONA_WIRE_ENABLE ? "on" : "off");
}

static int print_answer(const struct options *options, const char *json)
{
    json_error_t error;

    if (options->json)
        return puts(json) < 0 ? EXIT_FAILED : 0;
    json_t *o = json_loads(json, 0, &error);
    if (!o) {
        (void)fprintf(stderr, "sonactl: the sidecar's answer is no JSON: %s\n", error.text);
        return EXIT_FAILED;
    }
    if (options->query == SONA_WIRE_STATUS)
        print_status(o);
    else if (options->query == SONA_WIRE_PATTERNS)
        print_patterns(o);
    else if (options->query == SONA_WIRE_STATS)
        print_stats(o);
    else if (options->query == SONA_WIRE_ROUTES)
        print_routes(json_object_get(o, "routes"));
    else if (options->query == SONA_WIRE_CONFIG)
        print_config(json_object_get(o, "options"));
    else
        print_done(options->command.what, o);
    json_decref(o);
    return fflush(stdout) != 0 ? EXIT_FAILED : 0;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {
        .options = table,
        .parser = take,
        .args_doc = "status|stats|config|patterns\n"
                    "routes list|add NAME|retire NAME\n"
                    "routes mode NAME apply|observe|bypass\n"
                    "routes cost NAME C\n"
                    "learn|flush|enable|disable\n"
                    "patterns decay FACTOR|prune QUALITY|consolidate COSINE\n"
                    "ewc [boundary|consolidate]",
        .doc =
            "Ask a running sona-sidecar how it is, or have it change something: a command returns "
            "when its change is published. learn forces a background cycle; flush learns all "
            "that was accepted so far and discards nothing. patterns decay fades all evidence of "
            "the bank by a factor (0..1), prune removes the patterns below a mean quality, "
            "consolidate merges those at least so alike (-1..1). ewc says how EWC++ stands; ewc "
            "boundary ends a task, whose weights become an anchor, and ewc consolidate makes one "
            "of all anchors.\v"
            "Exit status: 0 ok, 1 failed, 2 usage, 3 not running, 5 version mismatch."};
    struct options options = {.command = {.spec = {.prior_quality = 0.5f, .prior_weight = 1},
                                          .rule.min_accesses = UINT64_MAX}};
    char *json = NULL;
    sona_diag diag = {0};

    argp_program_version = "sonactl " SONA_VERSION;
    argp_err_exit_status = EXIT_USAGE;
    if (argp_parse(&argp, argc, argv, 0, NULL, &options) != 0)
        return EXIT_USAGE;
    sona_err err = options.query != 0 ? sona_tools_query(options.runtime_dir, options.instance,
                                                         options.query, &json, &diag)
                                      : sona_tools_command(options.runtime_dir, options.instance,
                                                           &options.command, &json, &diag);
    if (err != SONA_OK) {
        (void)fprintf(stderr, "sonactl: %s\n", diag.text);
        return err == SONA_E_ABSENT  ? EXIT_ABSENT
               : err == SONA_E_ABI   ? EXIT_MISMATCH
               : err == SONA_E_RANGE ? EXIT_USAGE
                                     : EXIT_FAILED;
    }
    int status = print_answer(&options, json);
    free(json);
    return status;
}
