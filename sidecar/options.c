/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See options.h. */
#include "sidecar/options.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sona/client.h>

#include "shm/layout.h"
#include "shm/wire.h"
#include "sidecar/intake.h"

#define EXIT_USAGE  2
#define WEIGHT_MAX  1e6f
#define LEASE_MAX   600000
#define IDLE_MAX    1000000
#define LANES_LIMIT ((uint64_t)SONA_SHM_CLIENTS_MAX * SONA_LANES_MAX)

enum key {
    KEY_INSTANCE = 0x100,
    KEY_RUNTIME_DIR,
    KEY_ROUTES,
    KEY_SET,
    KEY_DIM,
    KEY_BACKGROUND,
    KEY_LANES_MAX,
    KEY_IDLE_CAP,
    KEY_LEASE,
    KEY_READY_FD,
    KEY_CHECK,
    KEY_PRINT,
    KEY_PRESET,
    KEY_MEMORY
};

static const struct argp_option table[] = {
    {"instance", KEY_INSTANCE, "NAME", 0, "name of the instance (default: \"default\")", 0},
    {"runtime-dir", KEY_RUNTIME_DIR, "DIR", 0,
     "directory of socket and lock (default: /run/sona, else $XDG_RUNTIME_DIR/sona)", 0},
    {"routes", KEY_ROUTES, "LIST", 0,
     "the routes: name[:cost[:prior_quality[:prior_weight]]],... or a number N for route-0, "
     "route-1, ...",
     0},
    {"set", KEY_SET, "KEY=VALUE", 0, "set a configuration key; --print-config lists them", 0},
    {"preset", KEY_PRESET, "NAME", 0, "begin with a preset, listed below; --set goes on from it",
     0},
    {"dim", KEY_DIM, "N", 0, "the same as --set embedding_dim=N", 0},
    {"background", KEY_BACKGROUND, "MODE", 0,
     "thread (default), or inline: cycles run between two events, so that the same events give the "
     "same model",
     0},
    {"lanes-max", KEY_LANES_MAX, "N", 0, "lanes of all clients together (default: 256)", 0},
    {"idle-cap-us", KEY_IDLE_CAP, "N", 0, "longest nap of the idle intake (default: 1000)", 0},
    {"lease-ms", KEY_LEASE, "N", 0, "a slot pinned longer may be taken back (default: 1000)", 0},
    {"ready-fd", KEY_READY_FD, "FD", 0, "write READY and a newline there once clients can attach",
     0},
    {"check", KEY_CHECK, NULL, 0, "check options and surroundings, say so, and exit", 0},
    {"memory", KEY_MEMORY, "json", OPTION_ARG_OPTIONAL,
     "write the bytes that each preset, and this configuration, will take, and exit", 0},
    {"print-config", KEY_PRINT, NULL, 0, "write the configuration and exit", 0},
    {0},
};

struct parse {
    struct sona_sidecar_options *options;
    bool routes_max_set;
    bool preset_only; /* first round: a preset goes before all settings, wherever it stands */
    int mistakes;
};

__attribute__((format(printf, 2, 3))) static void mistake(struct parse *p, const char *format, ...)
{
    va_list args;

    p->mistakes++;
    (void)fputs("sona-sidecar: ", stderr);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
}

static void take_number(struct parse *p, const char *option, const char *text, uint64_t min,
                        uint64_t max, uint32_t *ret)
{
    char *end;

    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < min || value > max)
        mistake(p, "--%s takes a number from %llu to %llu, not \"%s\"", option,
                (unsigned long long)min, (unsigned long long)max, text);
    else
        *ret = (uint32_t)value;
}

static void take_key(struct parse *p, const char *key, const char *value)
{
    sona_diag diag;

    if (sona_config_set(&p->options->config, key, value, &diag) != SONA_OK)
        mistake(p, "%s", diag.text);
    else if (strcmp(key, "routes_max") == 0)
        p->routes_max_set = true;
}

static void take_setting(struct parse *p, char *text)
{
    char *equals = strchr(text, '=');

    if (!equals) {
        mistake(p, "--set takes key=value, not \"%s\"", text);
        return;
    }
    *equals = '\0';
    take_key(p, text, equals + 1);
    *equals = '=';
}

/* One number of a route; an empty one keeps its default. */
static void take_share(struct parse *p, const char *route, const char *what, const char *text,
                       float max, float *ret)
{
    char *end;

    if (!text || text[0] == '\0')
        return;
    float value = strtof(text, &end);
    if (*end != '\0' || !isfinite(value) || value < 0 || value > max)
        mistake(p, "--routes: the %s of \"%s\" is a number from 0 to %g, not \"%s\"", what, route,
                (double)max, text);
    else
        *ret = value;
}

static bool name_ok(const char *name, size_t size)
{
    size_t n = strlen(name);

    for (size_t i = 0; i < n; i++)
        if (name[i] <= ' ' || name[i] > '~')
            return false;
    return n > 0 && n < size;
}

static void take_route(struct parse *p, char *text)
{
    struct sona_sidecar_options *o = p->options;
    const char *name = strsep(&text, ":");
    const char *cost = strsep(&text, ":"), *quality = strsep(&text, ":"),
               *weight = strsep(&text, ":");

    if (o->n_routes == SONA_ROUTES_MAX) {
        mistake(p, "--routes names more than %d routes", SONA_ROUTES_MAX);
        return;
    }
    sona_route_spec *spec = &o->routes[o->n_routes];
    *spec = (sona_route_spec){.prior_quality = 0.5f, .prior_weight = 1};
    if (!name_ok(name, sizeof spec->name)) {
        mistake(p, "--routes: a route's name is 1 to %zu printable ASCII characters, not \"%s\"",
                sizeof spec->name - 1, name);
        return;
    }
    for (uint32_t k = 0; k < o->n_routes; k++)
        if (strcmp(o->routes[k].name, name) == 0) {
            mistake(p, "--routes names \"%s\" twice", name);
            return;
        }
    (void)snprintf(spec->name, sizeof spec->name, "%s", name);
    take_share(p, name, "cost", cost, 1, &spec->cost);
    take_share(p, name, "prior quality", quality, 1, &spec->prior_quality);
    take_share(p, name, "prior weight", weight, WEIGHT_MAX, &spec->prior_weight);
    if (text)
        mistake(p, "--routes: \"%s\" has more than name:cost:prior_quality:prior_weight", name);
    o->n_routes++;
}

static void take_routes(struct parse *p, const char *text)
{
    uint32_t count = 0;

    p->options->n_routes = 0;
    if (text[0] != '\0' && strspn(text, "0123456789") == strlen(text)) {
        take_number(p, "routes", text, 1, SONA_ROUTES_MAX, &count);
        for (uint32_t k = 0; k < count; k++) {
            char name[SONA_ROUTE_NAME_MAX];

            (void)snprintf(name, sizeof name, "route-%u", k);
            take_route(p, name);
        }
        return;
    }
    char *copy = strdup(text), *rest = copy, *part;
    if (!copy) {
        mistake(p, "--routes: out of memory");
        return;
    }
    while ((part = strsep(&rest, ",")))
        take_route(p, part);
    free(copy);
}

static void take_mode(struct parse *p, const char *text)
{
    if (strcmp(text, "thread") == 0)
        p->options->background_inline = false;
    else if (strcmp(text, "inline") == 0)
        p->options->background_inline = true;
    else
        mistake(p, "--background takes thread or inline, not \"%s\"", text);
}

static error_t take(int key, char *text, struct argp_state *state)
{
    struct parse *p = state->input;
    struct sona_sidecar_options *o = p->options;
    uint32_t number = 0;

    if (p->preset_only) {
        if (key == KEY_PRESET)
            take_key(p, "preset", text);
        return key == ARGP_KEY_ARG || key >= KEY_INSTANCE ? 0 : ARGP_ERR_UNKNOWN;
    }
    switch (key) {
    case KEY_INSTANCE:
        if (!sona_wire_instance_ok(text))
            mistake(p,
                    "--instance takes 1 to 63 letters, digits, '.', '_' or '-', not beginning with "
                    "'.', not \"%s\"",
                    text);
        o->instance = text;
        return 0;
    case KEY_RUNTIME_DIR:
        if (text[0] == '\0')
            mistake(p, "--runtime-dir takes a directory");
        o->runtime_dir = text;
        return 0;
    case KEY_ROUTES:
        take_routes(p, text);
        return 0;
    case KEY_SET:
        take_setting(p, text);
        return 0;
    case KEY_DIM:
        take_key(p, "embedding_dim", text);
        return 0;
    case KEY_PRESET:
        return 0; /* taken in the first round */
    case KEY_MEMORY:
        o->memory = text ? SONA_SIDECAR_MEMORY_JSON : SONA_SIDECAR_MEMORY_TABLE;
        if (text && strcmp(text, "json") != 0)
            mistake(p, "--memory takes json or nothing, not \"%s\"", text);
        return 0;
    case KEY_BACKGROUND:
        take_mode(p, text);
        return 0;
    case KEY_LANES_MAX:
        take_number(p, "lanes-max", text, 1, LANES_LIMIT, &o->lanes_max);
        return 0;
    case KEY_IDLE_CAP:
        take_number(p, "idle-cap-us", text, 1, IDLE_MAX, &o->idle_cap_us);
        return 0;
    case KEY_LEASE:
        take_number(p, "lease-ms", text, 1, LEASE_MAX, &o->lease_ms);
        return 0;
    case KEY_READY_FD:
        take_number(p, "ready-fd", text, 0, INT32_MAX, &number);
        o->ready_fd = (int)number;
        return 0;
    case KEY_CHECK:
        o->check = true;
        return 0;
    case KEY_PRINT:
        o->print_config = true;
        return 0;
    case ARGP_KEY_ARG:
        mistake(p, "\"%s\" belongs to no option; see --help", text);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* What the options owe each other. */
static void check_together(struct parse *p)
{
    struct sona_sidecar_options *o = p->options;
    sona_diag diag;

    if (o->n_routes == 0 && !o->print_config && o->memory == SONA_SIDECAR_MEMORY_NOT &&
        p->mistakes == 0)
        mistake(p, "no routes: name them with --routes small,large, or --routes N");
    if (!p->routes_max_set && o->n_routes > o->config.routes_max)
        o->config.routes_max = o->n_routes;
    if (o->n_routes > o->config.routes_max)
        mistake(p, "--routes names %u routes and routes_max is %u; raise it with --set",
                o->n_routes, o->config.routes_max);
    if (p->mistakes == 0 && sona_config_check(&o->config, &diag) != SONA_OK)
        mistake(p, "%s", diag.text);
    sona_config_resolve(&o->config);
}

/* The end of --help: the presets, then the rest of the documentation. */
static char *help(int key, const char *text, void *input)
{
    char *ret = NULL;
    size_t size;

    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC)
        return (char *)(uintptr_t)text;
    FILE *stream = open_memstream(&ret, &size);
    if (!stream)
        return (char *)(uintptr_t)text;
    (void)fputs("Presets:\n", stream);
    for (uint32_t i = 0; sona_config_preset_name(i); i++)
        (void)fprintf(stream, "  %-17s %s\n", sona_config_preset_name(i),
                      sona_config_preset_help(i));
    (void)fprintf(stream, "\n%s", text);
    (void)fclose(stream);
    return ret; /* argp frees it */
}

int sona_sidecar_options_parse(struct sona_sidecar_options *ret, int argc, char **argv)
{
    static const struct argp argp = {
        .options = table,
        .parser = take,
        .help_filter = help,
        .doc = "Learn which route serves which query best, beside a router.\v"
               "Exit status: 0 a clean stop, 1 a failure, 2 a mistake on the command line."};
    struct parse p = {.options = ret};

    memset(ret, 0, sizeof *ret);
    ret->instance = "default";
    ret->ready_fd = -1;
    ret->lanes_max = SONA_SIDECAR_LANES_MAX;
    ret->idle_cap_us = SONA_SIDECAR_IDLE_CAP_US;
    ret->lease_ms = SONA_SHM_LEASE_MS;
    sona_config_init(&ret->config);
    argp_program_version = "sona-sidecar " SONA_VERSION;
    argp_err_exit_status = EXIT_USAGE;
    for (int round = 0; round < 2; round++) {
        p.preset_only = round == 0;
        if (argp_parse(&argp, argc, argv, 0, NULL, &p) != 0)
            return EXIT_USAGE;
    }
    check_together(&p);
    return p.mistakes == 0 ? 0 : EXIT_USAGE;
}

static void print_key(void *arg, const char *name, const char *alias, const char *value,
                      const char *help)
{
    (void)arg;
    (void)alias;
    (void)printf("%s=%s\n    # %s\n", name, value, help);
}

void sona_sidecar_options_print(const struct sona_sidecar_options *options)
{
    sona_config_each(print_key, NULL, &options->config);
}
