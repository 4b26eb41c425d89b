/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "tools/router.h"

#include <assert.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <sona/client.h>
#include <sona/engine.h>

#include "shm/wire.h"
#include "tools/fail.h"
#include "tools/query.h"
#include "tools/sample.h"
#include "tools/spawn.h"

#define SETTLE_SPIN_NS  100000u  /* spin this long, then give the processor away */
#define SETTLE_ASK_NS   3000000u /* nothing moved: ask what became of the events */
#define SETTLE_LIMIT_NS 10000000000u
static_assert(SONA_TOOLS_SETTINGS_MAX + 2 <= SONA_SPAWN_ARGS_MAX, "one argument for each");

/* Ids of the engine of a tenant's own carry its number in front. */
#define OWN_SHIFT 40

struct own {
    uint32_t tenant;
    sona_engine *engine;
};

struct sona_tools_router {
    sona_config config;
    sona_engine *engine; /* embedded */
    struct own *own;     /* [n_own] separate: of each tenant met so far */
    uint32_t n_own;
    const sona_route_spec *routes; /* for the next of them; null: not separate */
    uint32_t n_routes;
    uint64_t clock_ms;                        /* its clock: a millisecond for each decision */
    const struct sona_tools_learner *learner; /* or another one, not ours to free */

    struct sona_spawn sidecar; /* else */
    sona_client *client;
    sona_lane *lane;
    const volatile sig_atomic_t *stop;
    uint64_t told;
    uint64_t asked;        /* decisions recorded */
    uint64_t first_step;   /* of the snapshot before the first outcome */
    uint64_t settled_step; /* of the snapshot that contained `settled_told` outcomes */
    uint64_t settled_told;
};

sona_err sona_tools_settings_add(struct sona_tools_settings *settings, sona_diag *reterr,
                                 const char *format, ...)
{
    va_list args;
    int n;

    if (settings->count == SONA_TOOLS_SETTINGS_MAX)
        return sona_tools_fail(reterr, SONA_E_RANGE, "more than %u settings",
                               SONA_TOOLS_SETTINGS_MAX);
    va_start(args, format);
    n = vsnprintf(settings->text[settings->count], SONA_TOOLS_SETTING_MAX, format, args);
    va_end(args);
    if (n < 0 || n >= (int)SONA_TOOLS_SETTING_MAX)
        return sona_tools_fail(reterr, SONA_E_RANGE, "the setting \"%.40s...\" is too long",
                               settings->text[settings->count]);
    settings->count++;
    return SONA_OK;
}

sona_err sona_tools_settings_base(struct sona_tools_settings *ret, uint32_t dim, uint32_t routes,
                                  uint64_t seed, sona_diag *reterr)
{
    sona_config config;
    sona_err err;

    sona_config_init(&config);
    err = sona_tools_settings_add(ret, reterr, "embedding_dim=%u", dim);
    if (err == SONA_OK)
        err = sona_tools_settings_add(ret, reterr, "hidden_dim=%u", dim);
    if (err == SONA_OK)
        err = sona_tools_settings_add(ret, reterr, "attention_dim=0");
    if (err == SONA_OK)
        err = sona_tools_settings_add(ret, reterr, "routes_max=%u", routes);
    if (err == SONA_OK)
        err = sona_tools_settings_add(ret, reterr, "seed=%llu", (unsigned long long)seed);
    if (err == SONA_OK && dim < config.base_lora_rank) /* a rank cannot exceed the dimension */
        err = sona_tools_settings_add(ret, reterr, "base_lora_rank=%u", dim);
    return err;
}

sona_err sona_tools_settings_apply(const struct sona_tools_settings *settings, sona_config *ret,
                                   sona_diag *reterr)
{
    sona_config config;
    sona_err err = SONA_OK;

    sona_config_init(&config);
    for (uint32_t i = 0; i < settings->count && err == SONA_OK; i++) {
        char key[SONA_TOOLS_SETTING_MAX];
        const char *equals = strchr(settings->text[i], '=');

        if (equals == NULL)
            return sona_tools_fail(reterr, SONA_E_CONFIG,
                                   "\"%s\" is not a setting; write key=value", settings->text[i]);
        (void)snprintf(key, sizeof key, "%.*s", (int)(equals - settings->text[i]),
                       settings->text[i]);
        err = sona_config_set(&config, key, equals + 1, reterr);
    }
    if (err == SONA_OK)
        err = sona_config_check(&config, reterr);
    sona_config_resolve(&config);
    if (err == SONA_OK)
        *ret = config;
    return err;
}

/* Start a private sidecar with the same settings and routes. The routes go by number there: their
 * names may hold characters that its command line gives a meaning. */
static sona_err start_sidecar(struct sona_tools_router *router,
                              const struct sona_tools_router_options *options, sona_diag *reterr)
{
    static const char set[] = "--set=";
    const uint32_t n_settings = options->settings->count;
    const size_t route_bytes = 32; /* "route-255:0.123456789," */
    const char *args[SONA_TOOLS_SETTINGS_MAX + 4];
    char(*setting)[sizeof set + SONA_TOOLS_SETTING_MAX] =
        malloc((n_settings + 1) * sizeof *setting);
    char *routes = malloc(sizeof "--routes=" + options->n_routes * route_bytes), *to = routes;
    uint32_t n = 0;
    sona_err err;

    if (setting == NULL || routes == NULL) {
        free(setting);
        free(routes);
        return sona_tools_fail(reterr, SONA_E_MEMORY, "not enough memory for the routes");
    }
    for (uint32_t i = 0; i < n_settings; i++) {
        (void)snprintf(setting[i], sizeof setting[i], "%s%s", set, options->settings->text[i]);
        args[n++] = setting[i];
    }
    to += sprintf(to, "--routes=");
    for (uint32_t k = 0; k < options->n_routes; k++)
        to += snprintf(to, route_bytes, "%sroute-%u:%.9g", k > 0 ? "," : "", k,
                       (double)options->routes[k].cost);
    args[n++] = routes;
    args[n++] = options->background_thread ? "--background=thread" : "--background=inline";
    args[n] = NULL;
    err = sona_spawn_start(&router->sidecar, NULL, NULL, NULL, args, reterr);
    free(setting);
    free(routes);
    return err;
}

static sona_err open_client(struct sona_tools_router *router,
                            const struct sona_tools_router_options *options, sona_diag *reterr)
{
    sona_client_options client = {
        .lanes = 1,
        .dim = router->config.embedding_dim,
        .seed = router->config.seed,
    };
    sona_version_info version = {0};
    sona_err err = start_sidecar(router, options, reterr);

    client.instance = router->sidecar.instance;
    client.runtime_dir = router->sidecar.runtime_dir;
    if (err == SONA_OK)
        err = sona_client_open(&router->client, &client, reterr);
    if (err == SONA_OK && reterr->text[0] != '\0')
        (void)fprintf(stderr, "warning: %s\n", reterr->text);
    if (err == SONA_OK)
        err = sona_lane_claim(router->client, &router->lane, reterr);
    if (err == SONA_OK && sona_version_of(router->lane, &version) == SONA_OK)
        router->first_step = router->settled_step = version.step;
    return err;
}

sona_err sona_tools_router_open(struct sona_tools_router **ret,
                                const struct sona_tools_router_options *options, sona_diag *reterr)
{
    struct sona_tools_router *router = calloc(1, sizeof *router);
    sona_err err;

    if (router == NULL)
        return sona_tools_fail(reterr, SONA_E_MEMORY, "not enough memory for a router");
    router->stop = options->stop;
    router->routes = options->embedded && options->separate ? options->routes : NULL;
    router->n_routes = options->n_routes;
    err = sona_tools_settings_apply(options->settings, &router->config, reterr);
    router->learner = options->learner;
    if (err == SONA_OK && options->learner == NULL && options->embedded)
        err = sona_engine_create(&router->engine, &router->config, options->routes,
                                 options->n_routes, reterr);
    else if (err == SONA_OK && options->learner == NULL)
        err = open_client(router, options, reterr);
    if (err != SONA_OK) {
        sona_tools_router_close(&router);
        return err;
    }
    *ret = router;
    return SONA_OK;
}

void sona_tools_router_close(struct sona_tools_router **router)
{
    struct sona_tools_router *gone = *router;

    if (gone == NULL)
        return;
    sona_engine_destroy(&gone->engine);
    for (uint32_t i = 0; i < gone->n_own; i++)
        sona_engine_destroy(&gone->own[i].engine);
    free(gone->own);
    sona_lane_release(&gone->lane);
    sona_client_close(&gone->client);
    if (gone->sidecar.pid > 0)
        (void)sona_spawn_stop(&gone->sidecar);
    free(gone);
    *router = NULL;
}

sona_engine **sona_tools_router_engine(struct sona_tools_router *router, uint32_t index)
{
    if (router->engine == NULL || index > router->n_own)
        return NULL;
    return index == 0 ? &router->engine : &router->own[index - 1].engine;
}

/* The engine that a tenant's queries go to; made when it is met first. Null: no memory. *ret_front:
 * what its ids carry. */
static sona_engine *engine_of(struct sona_tools_router *router, uint32_t tenant,
                              uint64_t *ret_front)
{
    struct own *more;
    uint32_t i = 0;

    *ret_front = 0;
    if (router->routes == NULL || tenant == 0)
        return router->engine;
    while (i < router->n_own && router->own[i].tenant != tenant)
        i++;
    *ret_front = (uint64_t)(i + 1) << OWN_SHIFT;
    if (i < router->n_own)
        return router->own[i].engine;
    more = realloc(router->own, (router->n_own + 1) * sizeof *more);
    if (more == NULL)
        return NULL;
    router->own = more;
    more[i] = (struct own){.tenant = tenant};
    if (sona_engine_create(&more[i].engine, &router->config, router->routes, router->n_routes,
                           NULL) != SONA_OK)
        return NULL;
    router->n_own++;
    return more[i].engine;
}

static sona_err decide_embedded(struct sona_tools_router *router, const float *x,
                                const sona_candidates *candidates, sona_decision *ret)
{
    uint64_t front;
    sona_engine *engine = engine_of(router, candidates->tenant, &front);
    sona_err err = SONA_E_MEMORY;

    if (engine != NULL)
        err = sona_engine_decide(engine, x, router->config.embedding_dim, candidates,
                                 ++router->clock_ms, ret);
    if (err == SONA_OK)
        ret->id |= front;
    return err;
}

static sona_err outcome_embedded(struct sona_tools_router *router, uint64_t id, float quality)
{
    uint64_t own = id >> OWN_SHIFT;

    return sona_engine_outcome(own > 0 ? router->own[own - 1].engine : router->engine,
                               id & ((1ull << OWN_SHIFT) - 1), quality, 0, router->clock_ms);
}

static sona_err decide(struct sona_tools_router *router, const float *x,
                       const sona_candidates *candidates, sona_decision *ret)
{
    uint32_t dim = router->config.embedding_dim;
    sona_err err;

    if (router->engine != NULL)
        return decide_embedded(router, x, candidates, ret);
    err = sona_decide(router->lane, x, dim, candidates, ret);
    router->asked += err == SONA_OK && ret->id != 0;
    return err;
}

sona_err sona_tools_router_decide(struct sona_tools_router *router, uint32_t tenant, const float *x,
                                  sona_decision *ret)
{
    const sona_candidates all = {.tenant = tenant};

    if (router->learner != NULL)
        return router->learner->decide(router->learner->self, x, ret);
    return decide(router, x, &all, ret);
}

sona_err sona_tools_router_choose(struct sona_tools_router *router, uint32_t tenant, const float *x,
                                  sona_decision *ret)
{
    const sona_candidates best = {.no_explore = true, .tenant = tenant};

    assert(router->learner == NULL);
    return decide(router, x, &best, ret);
}

sona_err sona_tools_router_outcome(struct sona_tools_router *router, uint64_t id, float quality)
{
    sona_err err;

    if (router->learner != NULL)
        err = router->learner->outcome(router->learner->self, id, quality);
    else if (router->engine != NULL)
        err = outcome_embedded(router, id, quality);
    else
        err = sona_outcome(router->lane, id, quality, NULL);

    router->told += err == SONA_OK;
    return err;
}

sona_err sona_tools_router_apply(struct sona_tools_router *router, const float *x, float *y)
{
    uint32_t dim = router->config.embedding_dim;

    assert(router->learner == NULL);
    return router->engine != NULL ? sona_engine_apply(router->engine, x, dim, y)
                                  : sona_apply(router->lane, x, dim, y, NULL);
}

sona_err sona_tools_router_score(struct sona_tools_router *router, uint32_t tenant, const float *x,
                                 float *ret)
{
    uint32_t dim = router->config.embedding_dim;
    uint64_t front;
    sona_engine *engine = engine_of(router, tenant, &front);

    if (router->learner != NULL)
        return router->learner->score(router->learner->self, x, ret), SONA_OK;
    return engine != NULL ? sona_engine_score_tenant(engine, tenant, x, dim, ret)
                          : sona_score_tenant(router->lane, tenant, x, dim, ret,
                                              router->config.routes_max, NULL);
}

sona_err sona_tools_router_teach(struct sona_tools_router *router, const float *x, sona_route route,
                                 float quality)
{
    uint32_t dim = router->config.embedding_dim;
    uint64_t id = 0;
    sona_err err;

    assert(router->learner == NULL);
    if (router->engine != NULL) {
        err = sona_engine_begin(router->engine, x, dim, ++router->clock_ms, &id);
        if (err == SONA_OK)
            err = sona_engine_route(router->engine, id, route);
        if (err == SONA_OK)
            err = sona_engine_end(router->engine, id, quality, router->clock_ms);
    } else {
        err = sona_trajectory_begin(router->lane, x, dim, &id);
        router->asked += err == SONA_OK;
        if (err == SONA_OK)
            err = sona_trajectory_route(router->lane, id, route);
        if (err == SONA_OK)
            err = sona_trajectory_end(router->lane, id, quality);
    }
    router->told += err == SONA_OK;
    return err;
}

/* What it was told is learned when the call returns. */
static bool in_process(const struct sona_tools_router *router)
{
    return router->engine != NULL || router->learner != NULL;
}

uint64_t sona_tools_router_seen(struct sona_tools_router *router)
{
    sona_version_info version;

    if (in_process(router))
        return router->told;
    if (sona_version_of(router->lane, &version) != SONA_OK || version.version == 0)
        return 0;
    return version.step - router->first_step;
}

static uint64_t step_now(const struct sona_tools_router *router)
{
    sona_version_info version;

    return sona_version_of(router->lane, &version) == SONA_OK ? version.step : 0;
}

/* Outcomes that the sidecar is done with: learned, or counted under a reason of their own. */
static uint64_t done_with(const struct sona_tools_totals *totals)
{
    static const sona_counter reasons[] = {
        SONA_COUNTER_learned,
        SONA_COUNTER_drop_unknown_id,
        SONA_COUNTER_drop_duplicate,
        SONA_COUNTER_drop_expired,
        SONA_COUNTER_drop_foreign,
        SONA_COUNTER_drop_route,
        SONA_COUNTER_drop_route_retired,
        SONA_COUNTER_drop_disabled,
    };
    uint64_t sum = 0;

    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        sum += totals->counter[reasons[i]];
    return sum;
}

/* Spin, give the processor away, give up: true while waiting may go on. */
static bool patience(const struct sona_tools_router *router, uint64_t start, uint64_t now)
{
    if (now - start > SETTLE_SPIN_NS)
        (void)sched_yield();
    return now - start <= SETTLE_LIMIT_NS && (router->stop == NULL || *router->stop == 0);
}

static sona_err gave_up(const struct sona_tools_router *router, sona_diag *reterr)
{
    if (router->stop != NULL && *router->stop != 0)
        return SONA_OK;
    return sona_tools_fail(reterr, SONA_E_TIMEOUT,
                           "the sidecar published nothing for %u s; look at its log",
                           (unsigned)(SETTLE_LIMIT_NS / 1000000000u));
}

static void settle_at(struct sona_tools_router *router, uint64_t step)
{
    router->settled_step = step;
    router->settled_told = router->told;
}

sona_err sona_tools_router_settle(struct sona_tools_router *router, bool *ret_visible,
                                  sona_diag *reterr)
{
    uint64_t start, asked, now, step;

    *ret_visible = true;
    if (in_process(router))
        return SONA_OK;
    start = asked = now = sona_tools_now_ns();
    for (; patience(router, start, now); now = sona_tools_now_ns()) {
        step = step_now(router);
        if (step - router->settled_step >= router->told - router->settled_told) {
            settle_at(router, step);
            return SONA_OK;
        }
        /* An outcome that could not be learned never shows in a snapshot, only in a counter. */
        if (now - asked > SETTLE_ASK_NS) {
            struct sona_tools_totals totals;
            sona_err err = sona_tools_router_totals(router, &totals, reterr);

            if (err != SONA_OK)
                return err;
            if (done_with(&totals) >= router->told && step_now(router) >= totals.step) {
                *ret_visible = step_now(router) != router->settled_step;
                settle_at(router, step_now(router));
                return SONA_OK;
            }
            asked = sona_tools_now_ns();
        }
    }
    *ret_visible = false;
    return gave_up(router, reterr);
}

sona_err sona_tools_router_watch(struct sona_tools_router *router, sona_diag *reterr)
{
    uint64_t start, now;

    if (in_process(router))
        return SONA_OK;
    start = now = sona_tools_now_ns();
    for (; patience(router, start, now); now = sona_tools_now_ns()) {
        sona_version_info version;

        if (sona_version_of(router->lane, &version) == SONA_OK && version.observed >= router->asked)
            return SONA_OK;
    }
    return gave_up(router, reterr);
}

/* What a client counts by itself shows a moment later. */
static bool counted(const struct sona_tools_router *router, const struct sona_tools_totals *totals)
{
    sona_client_stats own;

    return sona_client_stats_get(router->client, &own) != SONA_OK ||
           totals->counter[SONA_COUNTER_drop_client_full] >= own.dropped_full;
}

sona_err sona_tools_router_drain(struct sona_tools_router *router, sona_diag *reterr)
{
    struct sona_tools_totals totals;
    uint64_t start, now;

    if (in_process(router))
        return SONA_OK;
    start = now = sona_tools_now_ns();
    for (; patience(router, start, now); now = sona_tools_now_ns()) {
        sona_err err = sona_tools_router_totals(router, &totals, reterr);

        if (err != SONA_OK)
            return err;
        if (done_with(&totals) >= router->told && step_now(router) >= totals.step &&
            counted(router, &totals)) {
            settle_at(router, step_now(router));
            return SONA_OK;
        }
    }
    return gave_up(router, reterr);
}

uint32_t sona_tools_router_routes_max(const struct sona_tools_router *router)
{
    return router->config.routes_max;
}

const char *sona_tools_router_instance(const struct sona_tools_router *router)
{
    return in_process(router) ? NULL : router->sidecar.instance;
}

const char *sona_tools_router_runtime_dir(const struct sona_tools_router *router)
{
    return in_process(router) ? NULL : router->sidecar.runtime_dir;
}

static void add_engine(const sona_engine *engine, struct sona_tools_totals *ret)
{
    sona_stats stats;

    sona_engine_stats(engine, &stats);
    for (uint32_t c = 0; c < SONA_COUNTER_COUNT; c++)
        ret->counter[c] += stats.counter[c];
    ret->step += stats.step;
    ret->pending += stats.pending;
    (void)snprintf(ret->simd, sizeof ret->simd, "%s", stats.simd);
}

/* A number of the answer by name; missing: 0. */
static uint64_t number(const json_t *root, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(root, name));
}

sona_err sona_tools_router_totals(struct sona_tools_router *router, struct sona_tools_totals *ret,
                                  sona_diag *reterr)
{
    json_t *root;
    char *text;
    sona_err err;

    memset(ret, 0, sizeof *ret);
    if (router->engine != NULL) {
        add_engine(router->engine, ret);
        for (uint32_t i = 0; i < router->n_own; i++)
            add_engine(router->own[i].engine, ret);
        return SONA_OK;
    }
    if (router->learner != NULL) {
        ret->counter[SONA_COUNTER_learned] = ret->step = router->told;
        return SONA_OK;
    }
    err = sona_tools_query(router->sidecar.runtime_dir, router->sidecar.instance,
                           SONA_CONTROL_STATS, &text, reterr);
    if (err != SONA_OK)
        return err;
    root = json_loads(text, 0, NULL);
    free(text);
    if (!json_is_object(root)) {
        json_decref(root);
        return sona_tools_fail(reterr, SONA_E_FORMAT, "the sidecar's statistics are not JSON");
    }
    for (uint32_t c = 0; c < SONA_COUNTER_COUNT; c++)
        ret->counter[c] = number(root, sona_counter_name((sona_counter)c));
    ret->step = number(root, "step");
    ret->pending = number(root, "pending");
    if (json_is_string(json_object_get(root, "simd")))
        (void)snprintf(ret->simd, sizeof ret->simd, "%s",
                       json_string_value(json_object_get(root, "simd")));
    json_decref(root);
    return SONA_OK;
}
