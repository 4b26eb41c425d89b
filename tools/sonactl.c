/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * sonactl: ask a running sidecar how it is. The sidecar answers in JSON; this prints it, or lays it
 * out for reading. Exit status: 0 ok, 1 failed, 2 usage, 3 not running, 5 version mismatch.
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

enum key { KEY_INSTANCE = 0x100, KEY_RUNTIME_DIR, KEY_JSON };

static const struct argp_option table[] = {
    {"instance", KEY_INSTANCE, "NAME", 0, "name of the instance (default: \"default\")", 0},
    {"runtime-dir", KEY_RUNTIME_DIR, "DIR", 0,
     "directory of its socket (default: /run/sona, else $XDG_RUNTIME_DIR/sona)", 0},
    {"json", KEY_JSON, NULL, 0, "print the sidecar's JSON as it is", 0},
    {0},
};

struct options {
    const char *instance, *runtime_dir;
    bool json;
    uint32_t what; /* enum sona_wire_query; 0: none was named */
};

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
    case ARGP_KEY_ARG:
        if (o->what != 0)
            argp_error(state, "one command at a time; \"%s\" is a second one", text);
        else if (strcmp(text, "status") == 0)
            o->what = SONA_WIRE_STATUS;
        else if (strcmp(text, "stats") == 0)
            o->what = SONA_WIRE_STATS;
        else if (strcmp(text, "patterns") == 0)
            o->what = SONA_WIRE_PATTERNS;
        else
            argp_error(state, "\"%s\" is no command; there are status, stats and patterns", text);
        return 0;
    case ARGP_KEY_END:
        if (o->what == 0)
            argp_error(state, "a command is missing: status, stats or patterns");
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

    (void)printf("\n%-24s %6s %-8s %8s %10s %8s\n", "route", "id", "state", "cost", "outcomes",
                 "quality");
    json_array_foreach(list, i, r)(void)
        printf("%-24s %6" PRId64 " %-8s %8.3f %10.1f %8.3f\n", text_at(r, "name"),
               number_at(r, "id"), text_at(r, "state"), real_at(r, "cost"), real_at(r, "outcomes"),
               real_at(r, "mean_quality"));
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
        "step",    "pending",    "parked_now",   "replay_length", "patterns",
        "clients", "lanes",      "memory_bytes", "mean_quality",  "recent_quality",
        "mse",     "micro_norm", "base_norm",    "last_cycle_ms", "buffer_success_rate"};

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
    if (options->what == SONA_WIRE_STATUS)
        print_status(o);
    else if (options->what == SONA_WIRE_PATTERNS)
        print_patterns(o);
    else
        print_stats(o);
    json_decref(o);
    return fflush(stdout) != 0 ? EXIT_FAILED : 0;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {
        .options = table,
        .parser = take,
        .args_doc = "status|stats|patterns",
        .doc = "Ask a running sona-sidecar how it is.\v"
               "Exit status: 0 ok, 1 failed, 2 usage, 3 not running, 5 version mismatch."};
    struct options options = {0};
    char *json = NULL;
    sona_diag diag = {0};

    argp_program_version = "sonactl " SONA_VERSION;
    argp_err_exit_status = EXIT_USAGE;
    if (argp_parse(&argp, argc, argv, 0, NULL, &options) != 0)
        return EXIT_USAGE;
    sona_err err =
        sona_tools_query(options.runtime_dir, options.instance, options.what, &json, &diag);
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
