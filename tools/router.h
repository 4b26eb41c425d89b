/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * One learner behind one interface: the engine in this process, or a private sidecar over real
 * shared memory, reached through libsona-client like any router would.
 *
 * Lock-step (sona_tools_router_settle() after each outcome) makes both decide alike, bit for bit:
 * same seed, lane 0 draws from stream 0, the background loop runs inline.
 *
 * One thread. Nothing here prints.
 */
#ifndef SONA_TOOLS_ROUTER_H
#define SONA_TOOLS_ROUTER_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include <sona/config.h>
#include <sona/engine.h>
#include <sona/error.h>
#include <sona/model.h>
#include <sona/stats.h>

#define SONA_TOOLS_SETTINGS_MAX 48u /* key=value settings of one run */
#define SONA_TOOLS_SETTING_MAX  96u /* bytes of one */

/* Settings as text: they go to the engine and to the sidecar's command line in the same words. */
struct sona_tools_settings {
    uint32_t count;
    char text[SONA_TOOLS_SETTINGS_MAX][SONA_TOOLS_SETTING_MAX]; /* "key=value" */
};

/* Append "key=value"; later ones win. SONA_E_RANGE when there are too many or one is too long. */
sona_err sona_tools_settings_add(struct sona_tools_settings *settings, sona_diag *reterr,
                                 const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Append what a learner for queries of `dim` floats and `routes` routes needs to be set to. */
sona_err sona_tools_settings_base(struct sona_tools_settings *ret, uint32_t dim, uint32_t routes,
                                  uint64_t seed, sona_diag *reterr);
/* Apply them to the defaults, and check. SONA_E_CONFIG. */
sona_err sona_tools_settings_apply(const struct sona_tools_settings *settings, sona_config *ret,
                                   sona_diag *reterr);

/* Another learner in SONA's place, so that both meet the same streams and are scored by the same
 * code. Called by one thread; `self` is handed back. It has no adapter and no trajectories: apply
 * and teach are not for it. */
struct sona_tools_learner {
    void *self;
    sona_err (*decide)(void *self, const float *x, sona_decision *ret);
    sona_err (*outcome)(void *self, uint64_t id, float quality);
    void (*score)(void *self, const float *x, float *ret); /* of every route by index */
};

struct sona_tools_router_options {
    bool embedded;
    bool separate;          /* embedded: an engine of its own for every tenant */
    bool background_thread; /* sidecar: loop B on its own thread (not reproducible) */
    const struct sona_tools_settings *settings;
    const sona_route_spec *routes; /* borrowed for the router's life when separate */
    uint32_t n_routes;
    const struct sona_tools_learner *learner; /* not null: decides, and nothing is started */
    const volatile sig_atomic_t *stop;        /* not null: waiting ends when it becomes true */
};

/* What became of the events, by the learner's own counters. */
struct sona_tools_totals {
    uint64_t counter[SONA_COUNTER_COUNT]; /* by sona_counter */
    uint64_t step;
    uint64_t pending;
    char simd[16];
};

struct sona_tools_router;

sona_err sona_tools_router_open(struct sona_tools_router **ret,
                                const struct sona_tools_router_options *options, sona_diag *reterr);
/* Ends the sidecar too, and removes what it made. Null is fine; clears the pointer. */
void sona_tools_router_close(struct sona_tools_router **router);

/* `tenant`: a key, or 0; here and below. */
sona_err sona_tools_router_decide(struct sona_tools_router *router, uint32_t tenant, const float *x,
                                  sona_decision *ret);
/* The same without exploring: what a test asks. Not for another learner, which is only scored. */
sona_err sona_tools_router_choose(struct sona_tools_router *router, uint32_t tenant, const float *x,
                                  sona_decision *ret);
sona_err sona_tools_router_outcome(struct sona_tools_router *router, uint64_t id, float quality);
sona_err sona_tools_router_apply(struct sona_tools_router *router, const float *x, float *y);
/* Scores of every route by index: routes_max floats. */
sona_err sona_tools_router_score(struct sona_tools_router *router, uint32_t tenant, const float *x,
                                 float *ret);
/* A trajectory of one step: begin, route, end. Counts as one outcome told. */
sona_err sona_tools_router_teach(struct sona_tools_router *router, const float *x, sona_route route,
                                 float quality);

/* How many of the outcomes told the snapshot that decides now contains: each step of the learner is
 * one. */
uint64_t sona_tools_router_seen(struct sona_tools_router *router);
/* Wait until it contains all of them, spinning first. For lock-step, where one outcome is on its
 * way and the background loop runs inline: then any new step is that outcome. *ret_visible false:
 * the learner counted it under another name than learned, and no snapshot will show it. SONA_OK too
 * when told to stop. SONA_E_TIMEOUT when nothing moves for 10 s: the sidecar is gone or stuck. */
sona_err sona_tools_router_settle(struct sona_tools_router *router, bool *ret_visible,
                                  sona_diag *reterr);
/* Wait until the learner has seen the queries of all decisions taken, for lock-step: what it makes
 * of them shows in the snapshot that decides next. SONA_E_TIMEOUT as above. */
sona_err sona_tools_router_watch(struct sona_tools_router *router, sona_diag *reterr);
/* Settle with any number on their way and cycles at any time: asks the sidecar's counters. */
sona_err sona_tools_router_drain(struct sona_tools_router *router, sona_diag *reterr);

/* Where the engine of that number is kept, to be replaced by its like; null past the last one, and
 * for whoever has none. */
sona_engine **sona_tools_router_engine(struct sona_tools_router *router, uint32_t index);

/* Dimension and capacity of the route table. */
uint32_t sona_tools_router_routes_max(const struct sona_tools_router *router);
/* Names to attach with, for who wants a client of his own; null when embedded. */
const char *sona_tools_router_instance(const struct sona_tools_router *router);
const char *sona_tools_router_runtime_dir(const struct sona_tools_router *router);

/* Read the counters: from the engine, or asked from the sidecar. */
sona_err sona_tools_router_totals(struct sona_tools_router *router, struct sona_tools_totals *ret,
                                  sona_diag *reterr);

#endif
