/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What is said about the options, gathered before any of it counts. Every value is judged when it
 * is said, in the order of the text, so that all mistakes are told, also in what a later layer
 * overrides.
 *
 *     layer of a file, of each drop-in, of the environment ──► command line ──► apply: preset
 * first, then layer after layer, a later one over an earlier
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
    char *text;                         /* null for routes */
    struct sona_sidecar_routes *routes; /* null for the rest; `n` specs of it are there */
    struct sona_sidecar_said *next;
};

struct sona_sidecar_gather {
    void (*told)(void *arg, const char *where, const char *what);
    void *arg;
    uint32_t mistakes;
    struct sona_sidecar_said *first, **last;
    struct sona_sidecar_options scratch; /* where values are tried */
    /* What this layer said already; null: nothing. */
    const struct sona_sidecar_said *said[SONA_SIDECAR_SETTINGS_MAX];
};

/* Begin with nothing said; null: out of memory. */
struct sona_sidecar_gather *
sona_sidecar_gather_open(void (*told)(void *arg, const char *where, const char *what), void *arg);
void sona_sidecar_gather_close(struct sona_sidecar_gather **gather);
/* What follows is of another layer: it may say again what was said. */
void sona_sidecar_gather_layer(struct sona_sidecar_gather *gather);

__attribute__((format(printf, 3, 4))) void
sona_sidecar_gather_mistake(struct sona_sidecar_gather *gather, const char *where,
                            const char *format, ...);
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

/* Everything said, over the built-in values; then what the options owe each other. What only the
 * command line says is kept. */
void sona_sidecar_gather_apply(struct sona_sidecar_gather *gather,
                               struct sona_sidecar_options *options);

#endif
