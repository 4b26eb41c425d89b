/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What is said about the options, gathered before any of it counts. Every value is judged when it
 * is said, in the order of the text, so that all mistakes are told, also in what a later layer
 * overrides.
 *
 *     layer of a file, of each drop-in, of the environment ──► command line ──► apply: preset
 * first, then layer after layer, a later one over an earlier
 *
 * A file may name instances. What it says of one comes before what any file says of all, and what
 * the environment and the command line say of all comes before both.
 */
#ifndef SONA_SIDECAR_CONFIG_GATHER_H
#define SONA_SIDECAR_CONFIG_GATHER_H

#include <stdbool.h>
#include <stdint.h>

#include "sidecar/config/setting.h"

#define SONA_SIDECAR_MISTAKES_MAX 100u /* told; more are counted */

struct sona_sidecar_routes {
    uint32_t n;
    sona_route_spec spec[SONA_ROUTES_MAX];
};

/* One thing that was said. */
struct sona_sidecar_said {
    const struct sona_sidecar_setting *setting;
    char where[SONA_SIDECAR_WHERE_MAX];
    uint32_t instance;                  /* 0: of all; else of the n-th that is named */
    uint32_t rank;                      /* a higher one is applied later */
    char *text;                         /* null for routes */
    struct sona_sidecar_routes *routes; /* null for the rest; `n` specs of it are there */
    struct sona_sidecar_said *next;
};

struct sona_sidecar_gather {
    void (*told)(void *arg, const char *where, const char *what);
    void *arg;
    uint32_t mistakes;
    bool no_memory; /* one of the mistakes is nobody's */
    struct sona_sidecar_said *first, **last;
    struct sona_sidecar_options scratch; /* where values are tried */
    /* What this layer said already, of all or of the instance it speaks of; null: nothing. */
    const struct sona_sidecar_said *said[SONA_SIDECAR_SETTINGS_MAX];
    const struct sona_sidecar_said *said_of_all[SONA_SIDECAR_SETTINGS_MAX];
    uint32_t instance; /* spoken of; 0: all */
    bool over;         /* what is said wins over what instances say */
    bool applied, sound;
    uint32_t n_named;
    struct {
        char name[SONA_INSTANCE_NAME_MAX], where[SONA_SIDECAR_WHERE_MAX];
        bool in_layer; /* this layer named it */
    } named[SONA_SIDECAR_INSTANCES_MAX];
};

/* Begin with nothing said; null: out of memory. */
struct sona_sidecar_gather *
sona_sidecar_gather_open(void (*told)(void *arg, const char *where, const char *what), void *arg);
void sona_sidecar_gather_close(struct sona_sidecar_gather **gather);
/* What follows is of another layer: it may say again what was said. */
void sona_sidecar_gather_layer(struct sona_sidecar_gather *gather);
/* What follows wins over what instances say. */
void sona_sidecar_gather_over(struct sona_sidecar_gather *gather);
/* Until leave, what follows is said of the instance of this name. False, and a mistake is told: it
 * is no name, this layer had it before, or there are too many. */
bool sona_sidecar_gather_enter(struct sona_sidecar_gather *gather, const char *where,
                               const char *name);
void sona_sidecar_gather_leave(struct sona_sidecar_gather *gather);

__attribute__((format(printf, 3, 4))) void
sona_sidecar_gather_mistake(struct sona_sidecar_gather *gather, const char *where,
                            const char *format, ...);
/* The same, for want of memory. */
void sona_sidecar_gather_no_memory(struct sona_sidecar_gather *gather, const char *where);
/* `text` for `setting`. ROUTES: the one-line form. */
void sona_sidecar_gather_say(struct sona_sidecar_gather *gather,
                             const struct sona_sidecar_setting *setting, const char *where,
                             const char *text);
/* The list of routes; copied. */
void sona_sidecar_gather_say_routes(struct sona_sidecar_gather *gather,
                                    const struct sona_sidecar_setting *setting, const char *where,
                                    const struct sona_sidecar_routes *routes);
/* True, and a mistake is told, when this layer said it before. */
bool sona_sidecar_gather_twice(struct sona_sidecar_gather *gather,
                               const struct sona_sidecar_setting *setting, const char *where);

#define SONA_SIDECAR_NOBODY UINT32_MAX
/* Everything said of all and of the n-th instance, over the built-in values; then what the options
 * owe each other. 0: the only one there is, without a name in the files. NOBODY: what all inherit,
 * which owes nothing. What only the command line says is kept. */
void sona_sidecar_gather_apply(struct sona_sidecar_gather *gather, uint32_t instance,
                               struct sona_sidecar_options *options);
/* The number of the instance of this name; 0: none. */
uint32_t sona_sidecar_gather_find(const struct sona_sidecar_gather *gather, const char *name);

#endif
