/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See gather.h. */
#include "sidecar/config/gather.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "shm/wire.h"
#include "sidecar/config/routes.h"

#define RANKS 3u /* files of all, files of an instance, environment and command line */

struct sona_sidecar_gather *
sona_sidecar_gather_open(void (*told)(void *arg, const char *where, const char *what), void *arg)
{
    /* Its own mapping: it is gone at once when it is closed, from the allocator's books too. */
    struct sona_sidecar_gather *g =
        mmap(NULL, sizeof *g, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (g == MAP_FAILED)
        return NULL;
    g->told = told;
    g->arg = arg;
    g->last = &g->first;
    sona_sidecar_options_init(&g->scratch);
    return g;
}

static void forget(struct sona_sidecar_said *said)
{
    free(said->text);
    free(said->routes);
    free(said);
}

void sona_sidecar_gather_close(struct sona_sidecar_gather **gather)
{
    struct sona_sidecar_gather *g = *gather;

    if (!g)
        return;
    while (g->first) {
        struct sona_sidecar_said *next = g->first->next;

        forget(g->first);
        g->first = next;
    }
    (void)munmap(g, sizeof *g);
    *gather = NULL;
}

void sona_sidecar_gather_layer(struct sona_sidecar_gather *gather)
{
    memset(gather->said, 0, sizeof gather->said);
    for (uint32_t i = 0; i < gather->n_named; i++)
        gather->named[i].in_layer = false;
}

void sona_sidecar_gather_over(struct sona_sidecar_gather *gather)
{
    gather->over = true;
}

uint32_t sona_sidecar_gather_find(const struct sona_sidecar_gather *gather, const char *name)
{
    for (uint32_t i = 0; i < gather->n_named; i++)
        if (strcmp(gather->named[i].name, name) == 0)
            return i + 1;
    return 0;
}

bool sona_sidecar_gather_enter(struct sona_sidecar_gather *gather, const char *where,
                               const char *name)
{
    struct sona_sidecar_gather *g = gather;
    uint32_t n = sona_sidecar_gather_find(g, name);

    if (!sona_wire_instance_ok(name)) {
        sona_sidecar_gather_mistake(g, where,
                                    "the name of an instance is 1 to 63 letters, digits, '.', '_' "
                                    "or '-', not beginning with '.', not \"%.64s\"",
                                    name);
        return false;
    }
    if (n == 0 && g->n_named == SONA_SIDECAR_INSTANCES_MAX) {
        sona_sidecar_gather_mistake(g, where, "there are more than %u instances",
                                    SONA_SIDECAR_INSTANCES_MAX);
        return false;
    }
    if (n > 0 && g->named[n - 1].in_layer) {
        sona_sidecar_gather_mistake(g, where, "instance %s is said twice: also at %s", name,
                                    g->named[n - 1].where);
        return false;
    }
    if (n == 0)
        n = ++g->n_named;
    (void)snprintf(g->named[n - 1].name, sizeof g->named[0].name, "%s", name);
    (void)snprintf(g->named[n - 1].where, sizeof g->named[0].where, "%s", where);
    g->named[n - 1].in_layer = true;
    memcpy(g->said_of_all, g->said, sizeof g->said);
    memset(g->said, 0, sizeof g->said);
    g->instance = n;
    return true;
}

void sona_sidecar_gather_leave(struct sona_sidecar_gather *gather)
{
    memcpy(gather->said, gather->said_of_all, sizeof gather->said);
    gather->instance = 0;
}

void sona_sidecar_gather_mistake(struct sona_sidecar_gather *gather, const char *where,
                                 const char *format, ...)
{
    char what[2 * SONA_DIAG_TEXT_MAX];
    va_list args;

    if (gather->mistakes++ >= SONA_SIDECAR_MISTAKES_MAX) {
        if (gather->mistakes == SONA_SIDECAR_MISTAKES_MAX + 1)
            gather->told(gather->arg, "sona-sidecar", "and more mistakes; mend these first");
        return;
    }
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    gather->told(gather->arg, where, what);
}

void sona_sidecar_gather_no_memory(struct sona_sidecar_gather *gather, const char *where)
{
    gather->no_memory = true;
    sona_sidecar_gather_mistake(gather, where, "out of memory for the options");
}

static struct sona_sidecar_said *remember(struct sona_sidecar_gather *g,
                                          const struct sona_sidecar_setting *setting,
                                          const char *where)
{
    struct sona_sidecar_said *said = calloc(1, sizeof *said);

    if (!said) {
        sona_sidecar_gather_no_memory(g, where);
        return NULL;
    }
    said->setting = setting;
    said->instance = g->instance;
    said->rank = g->over ? RANKS - 1 : g->instance > 0;
    (void)snprintf(said->where, sizeof said->where, "%s", where);
    *g->last = said;
    g->last = &said->next;
    g->said[sona_sidecar_setting_index(setting)] = said;
    return said;
}

bool sona_sidecar_gather_twice(struct sona_sidecar_gather *gather,
                               const struct sona_sidecar_setting *setting, const char *where)
{
    const struct sona_sidecar_said *before = gather->said[sona_sidecar_setting_index(setting)];

    if (before)
        sona_sidecar_gather_mistake(gather, where, "%s is said twice: also at %s", setting->key,
                                    before->where);
    return before != NULL;
}

void sona_sidecar_gather_say(struct sona_sidecar_gather *gather,
                             const struct sona_sidecar_setting *setting, const char *where,
                             const char *text)
{
    struct sona_sidecar_gather *g = gather;
    char why[SONA_DIAG_TEXT_MAX];

    if (setting->type == SONA_SIDECAR_ROUTES) {
        struct sona_sidecar_routes routes;

        sona_sidecar_routes_parse(g, where, text, &routes);
        sona_sidecar_gather_say_routes(g, setting, where, &routes);
        return;
    }
    if (!sona_sidecar_setting_take(setting, &g->scratch, text, why))
        sona_sidecar_gather_mistake(g, where, "%s", why);
    if (g->instance > 0 && strcmp(setting->section, "http") == 0)
        sona_sidecar_gather_mistake(g, where,
                                    "http.%s is of the whole process, not of an instance; "
                                    "say it outside of instances",
                                    setting->key);
    struct sona_sidecar_said *said = remember(g, setting, where);
    if (said && !(said->text = strdup(text)))
        sona_sidecar_gather_no_memory(g, where);
}

void sona_sidecar_gather_say_routes(struct sona_sidecar_gather *gather,
                                    const struct sona_sidecar_setting *setting, const char *where,
                                    const struct sona_sidecar_routes *routes)
{
    struct sona_sidecar_said *said = remember(gather, setting, where);

    if (!said)
        return;
    size_t bytes = offsetof(struct sona_sidecar_routes, spec) + routes->n * sizeof routes->spec[0];
    said->routes = malloc(bytes);
    if (said->routes)
        memcpy(said->routes, routes, bytes);
    else
        sona_sidecar_gather_no_memory(gather, where);
}

/* ---- what counts in the end ---- */

static void take(struct sona_sidecar_options *o, const struct sona_sidecar_said *said)
{
    char why[SONA_DIAG_TEXT_MAX];

    if (said->routes) {
        memset(o->routes, 0, o->n_routes * sizeof o->routes[0]);
        o->n_routes = said->routes->n;
        memcpy(o->routes, said->routes->spec, o->n_routes * sizeof o->routes[0]);
    } else if (!said->text || !sona_sidecar_setting_take(said->setting, o, said->text, why)) {
        return; /* told when it was said */
    }
    (void)snprintf(o->where[sona_sidecar_setting_index(said->setting)], SONA_SIDECAR_WHERE_MAX,
                   "%s", said->where);
}

static const char *where_of(const struct sona_sidecar_options *o, const char *key)
{
    const struct sona_sidecar_setting *s = sona_sidecar_setting_find(NULL, key);

    return o->where[sona_sidecar_setting_index(s)];
}

/* Whose options are judged. */
struct judged {
    struct sona_sidecar_gather *gather;
    const struct sona_sidecar_options *options;
    uint32_t instance; /* 0: the only one there is */
};

/* Where the first of these was said; else where the instance is. */
static const char *where_either(const struct judged *j, const char *key, const char *other)
{
    const char *where = where_of(j->options, key);

    if (where[0] == '\0')
        where = where_of(j->options, other);
    if (where[0] == '\0' && j->instance > 0)
        where = j->gather->named[j->instance - 1].where;
    return where[0] != '\0' ? where : "sona-sidecar";
}

static void owe(const struct judged *j, const char *where, const char *what)
{
    if (j->instance > 0)
        sona_sidecar_gather_mistake(j->gather, where, "instance %s: %s",
                                    j->gather->named[j->instance - 1].name, what);
    else
        sona_sidecar_gather_mistake(j->gather, where, "%s", what);
}

/* An instance that says where its state is would silently share that of all others: a flag or the
 * environment wins over every file. */
static void check_state(const struct judged *j)
{
    const struct sona_sidecar_said *own = NULL, *over = NULL;
    char what[SONA_DIAG_TEXT_MAX];

    for (const struct sona_sidecar_said *said = j->gather->first; said; said = said->next) {
        if (strcmp(said->setting->key, "state_dir") != 0 || !said->text)
            continue;
        if (said->rank == RANKS - 1)
            over = said;
        else if (said->instance > 0 && said->instance == j->instance)
            own = said;
    }
    if (!own || !over || strcmp(own->text, over->text) == 0)
        return;
    (void)snprintf(what, sizeof what,
                   "its state_dir is \"%.50s\", and %.50s says \"%.50s\" for all instances and "
                   "would win; take one of them away",
                   own->text, over->where, over->text);
    owe(j, own->where, what);
}

/* What the options owe each other. */
static void check_together(struct sona_sidecar_gather *g, uint32_t instance,
                           struct sona_sidecar_options *o)
{
    const struct judged judged = {g, o, instance};
    bool only_shown = o->print_config || o->memory != SONA_SIDECAR_MEMORY_NOT;
    char what[SONA_DIAG_TEXT_MAX];
    sona_diag diag;

    if (o->n_routes == 0 && !only_shown)
        owe(&judged, where_either(&judged, "routes", "routes"),
            "no routes: name them under routes: in the configuration, or with --routes "
            "small,large, "
            "or --routes N");
    if (where_of(o, "routes_max")[0] == '\0' && o->n_routes > o->config.routes_max)
        o->config.routes_max = o->n_routes;
    if (o->n_routes > o->config.routes_max) {
        (void)snprintf(what, sizeof what, "there are %u routes and routes_max is %u; raise it",
                       o->n_routes, o->config.routes_max);
        owe(&judged, where_either(&judged, "routes_max", "routes"), what);
    }
    if (o->http_port != 0 && o->token_file_text[0] == '\0') {
        (void)snprintf(what, sizeof what,
                       "every local program reaches port %u: name a token_file with what a client "
                       "has to know",
                       o->http_port);
        owe(&judged, where_either(&judged, "listen_port", "listen_port"), what);
    }
    if (instance > 0)
        check_state(&judged);
    if (sona_config_check(&o->config, &diag) != SONA_OK)
        owe(&judged,
            strstr(diag.text, "base_lora_rank")
                ? where_either(&judged, "base_lora_rank", "embedding_dim")
                : where_either(&judged, "embedding_dim", "hidden_dim"),
            diag.text);
}

static bool concerns(const struct sona_sidecar_said *said, uint32_t instance)
{
    return said->instance == 0 || said->instance == instance;
}

void sona_sidecar_gather_apply(struct sona_sidecar_gather *gather, uint32_t instance,
                               struct sona_sidecar_options *options)
{
    struct sona_sidecar_gather *g = gather;
    struct sona_sidecar_options *o = options;
    const struct sona_sidecar_said *preset = NULL;

    if (!g->applied) /* what would be said of them together may follow from single mistakes */
        g->sound = g->mistakes == 0;
    g->applied = true;
    for (uint32_t rank = 0; rank < RANKS; rank++)
        for (const struct sona_sidecar_said *said = g->first; said; said = said->next)
            if (said->rank == rank && concerns(said, instance) &&
                said->setting->type == SONA_SIDECAR_PRESET)
                preset = said; /* the last one; it would undo what was set before it */
    if (preset)
        take(o, preset);
    for (uint32_t rank = 0; rank < RANKS; rank++)
        for (const struct sona_sidecar_said *said = g->first; said; said = said->next)
            if (said->rank == rank && concerns(said, instance) &&
                said->setting->type != SONA_SIDECAR_PRESET)
                take(o, said);
    if (g->sound && instance != SONA_SIDECAR_NOBODY)
        check_together(g, instance, o);
    sona_config_resolve(&o->config);
}
