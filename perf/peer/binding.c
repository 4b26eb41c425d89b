/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Our engine behind Node, for the comparison with the peer and nothing else: the same calls, taking
 * and giving the same JavaScript arrays of numbers, one element at a time, as the peer's binding
 * does. Beside them, what an honest comparison needs:
 *
 *     convert      arrays in and out and nothing between: what Node takes of each call
 *     ...Typed     the same call with a Float32Array: what a better binding makes of it
 *     native       n calls in C, timed in C: without Node
 *
 * Built when the comparison runs (perf/peer/run). One engine, one thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <node_api.h>

#include <sona/engine.h>

#define DIM_MAX  4096u
#define ARGS_MAX 4u
#define K_MAX    16u

static struct {
    sona_engine *engine;
    uint32_t dim, routes;
    uint64_t now_ms;
    float x[DIM_MAX], y[DIM_MAX], attention[DIM_MAX];
} self;

static napi_value fail(napi_env env, const char *text)
{
    (void)napi_throw_error(env, NULL, text);
    return NULL;
}

static uint64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t args_of(napi_env env, napi_callback_info info, napi_value ret[ARGS_MAX])
{
    size_t n = ARGS_MAX;

    (void)napi_get_cb_info(env, info, &n, ret, NULL, NULL);
    return (uint32_t)n;
}

static double number(napi_env env, napi_value value)
{
    double ret = 0;

    (void)napi_get_value_double(env, value, &ret);
    return ret;
}

static napi_value number_of(napi_env env, double value)
{
    napi_value ret;

    (void)napi_create_double(env, value, &ret);
    return ret;
}

/* An array of numbers, element by element. */
static uint32_t array_in(napi_env env, napi_value array, float *ret)
{
    uint32_t n = 0;

    (void)napi_get_array_length(env, array, &n);
    n = n < DIM_MAX ? n : DIM_MAX;
    for (uint32_t i = 0; i < n; i++) {
        napi_value element;

        (void)napi_get_element(env, array, i, &element);
        ret[i] = (float)number(env, element);
    }
    return n;
}

static napi_value array_out(napi_env env, const float *x, uint32_t n)
{
    napi_value ret;

    (void)napi_create_array_with_length(env, n, &ret);
    for (uint32_t i = 0; i < n; i++)
        (void)napi_set_element(env, ret, i, number_of(env, (double)x[i]));
    return ret;
}

/* create(dim, routes, clusters, background): background 0: cycles only by learn() */
static napi_value create(napi_env env, napi_callback_info info)
{
    static sona_route_spec spec[SONA_ROUTES_MAX];
    napi_value args[ARGS_MAX];
    sona_config config;
    sona_diag diag;

    if (args_of(env, info, args) < 4)
        return fail(env, "create(dim, routes, clusters, background)");
    self.dim = (uint32_t)number(env, args[0]);
    self.routes = (uint32_t)number(env, args[1]);
    if (self.dim > DIM_MAX || self.routes > SONA_ROUTES_MAX)
        return fail(env, "too many dimensions or routes");
    sona_config_init(&config);
    config.embedding_dim = config.hidden_dim = self.dim;
    config.pattern_clusters = (uint32_t)number(env, args[2]);
    config.background = number(env, args[3]) > 0;
    for (uint32_t k = 0; k < self.routes; k++) {
        (void)snprintf(spec[k].name, sizeof spec[k].name, "route-%u", k);
        spec[k].prior_quality = 0.5f;
        spec[k].prior_weight = 1;
    }
    sona_engine_destroy(&self.engine);
    if (sona_engine_create(&self.engine, &config, spec, self.routes, &diag) != SONA_OK)
        return fail(env, diag.text);
    return NULL;
}

static napi_value convert(napi_env env, napi_callback_info info)
{
    napi_value args[ARGS_MAX];
    uint32_t n;

    if (args_of(env, info, args) < 1)
        return fail(env, "convert(array)");
    n = array_in(env, args[0], self.x);
    return array_out(env, self.x, n);
}

static napi_value apply_micro(napi_env env, napi_callback_info info)
{
    napi_value args[ARGS_MAX];

    if (args_of(env, info, args) < 1 || array_in(env, args[0], self.x) != self.dim)
        return fail(env, "applyMicro(array)");
    if (sona_engine_apply_micro(self.engine, self.x, self.dim, self.y) != SONA_OK)
        return fail(env, "refused");
    return array_out(env, self.y, self.dim);
}

static napi_value apply_base(napi_env env, napi_callback_info info)
{
    napi_value args[ARGS_MAX];

    if (args_of(env, info, args) < 2 || array_in(env, args[1], self.x) != self.dim)
        return fail(env, "applyBase(layer, array)");
    if (sona_engine_apply_base(self.engine, (uint32_t)number(env, args[0]), self.x, self.dim,
                               self.y) != SONA_OK)
        return fail(env, "refused");
    return array_out(env, self.y, self.dim);
}

static float *typed(napi_env env, napi_value value)
{
    napi_typedarray_type type;
    size_t n = 0;
    void *data = NULL;

    if (napi_get_typedarray_info(env, value, &type, &n, &data, NULL, NULL) != napi_ok ||
        type != napi_float32_array || n != self.dim)
        return NULL;
    return data;
}

/* applyMicroTyped(x, y): both Float32Arrays of the caller's */
static napi_value apply_micro_typed(napi_env env, napi_callback_info info)
{
    napi_value args[ARGS_MAX];
    float *x, *y;

    if (args_of(env, info, args) < 2 || !(x = typed(env, args[0])) || !(y = typed(env, args[1])))
        return fail(env, "applyMicroTyped(x, y)");
    if (sona_engine_apply_micro(self.engine, x, self.dim, y) != SONA_OK)
        return fail(env, "refused");
    return NULL;
}

static napi_value begin(napi_env env, napi_callback_info info)
{
    napi_value args[ARGS_MAX];
    uint64_t id;

    if (args_of(env, info, args) < 1)
        return fail(env, "begin(array)");
    if (sona_engine_begin(self.engine, self.x, array_in(env, args[0], self.x), self.now_ms++,
                          &id) != SONA_OK)
        return fail(env, "refused");
    return number_of(env, (double)id);
}

/* step(id, activations, attention, reward) */
static napi_value step(napi_env env, napi_callback_info info)
{
    napi_value args[ARGS_MAX];
    sona_step one = {.activations = self.y, .attention = self.attention, .rewarded = true};

    if (args_of(env, info, args) < 4)
        return fail(env, "step(id, activations, attention, reward)");
    one.n_activations = array_in(env, args[1], self.y);
    one.n_attention = array_in(env, args[2], self.attention);
    one.reward = (float)number(env, args[3]);
    if (sona_engine_step(self.engine, (uint64_t)number(env, args[0]), &one) != SONA_OK)
        return fail(env, "refused");
    return NULL;
}

static napi_value end(napi_env env, napi_callback_info info)
{
    napi_value args[ARGS_MAX];

    if (args_of(env, info, args) < 2)
        return fail(env, "end(id, quality)");
    if (sona_engine_end(self.engine, (uint64_t)number(env, args[0]), (float)number(env, args[1]),
                        self.now_ms) != SONA_OK)
        return fail(env, "refused");
    return NULL;
}

/* findPatterns(array, k): objects with a centroid, as the peer's */
static napi_value find_patterns(napi_env env, napi_callback_info info)
{
    napi_value args[ARGS_MAX], ret;
    sona_pattern found[K_MAX];
    uint32_t n = 0, k;

    if (args_of(env, info, args) < 2 || array_in(env, args[0], self.x) != self.dim)
        return fail(env, "findPatterns(array, k)");
    k = (uint32_t)number(env, args[1]);
    if (sona_engine_find_patterns(self.engine, self.x, self.dim, k < K_MAX ? k : K_MAX, found,
                                  &n) != SONA_OK)
        return fail(env, "refused");
    (void)napi_create_array_with_length(env, n, &ret);
    for (uint32_t i = 0; i < n; i++) {
        napi_value one;

        (void)napi_create_object(env, &one);
        (void)sona_engine_pattern_centroid(self.engine, found[i].index, self.dim, self.y);
        (void)napi_set_named_property(env, one, "id", number_of(env, (double)found[i].id));
        (void)napi_set_named_property(env, one, "centroid", array_out(env, self.y, self.dim));
        (void)napi_set_named_property(env, one, "clusterSize",
                                      number_of(env, found[i].cluster_size));
        (void)napi_set_named_property(env, one, "totalWeight",
                                      number_of(env, (double)found[i].total_weight));
        (void)napi_set_named_property(env, one, "avgQuality",
                                      number_of(env, (double)found[i].avg_quality));
        (void)napi_set_element(env, ret, i, one);
    }
    return ret;
}

static napi_value learn(napi_env env, napi_callback_info info)
{
    sona_cycle_report report;

    (void)info;
    if (sona_engine_learn_now(self.engine, self.now_ms, &report) != SONA_OK)
        return fail(env, "refused");
    return number_of(env, report.patterns);
}

/* decide(array): [route, id] */
static napi_value decide(napi_env env, napi_callback_info info)
{
    napi_value args[ARGS_MAX], ret;
    sona_decision d;

    if (args_of(env, info, args) < 1)
        return fail(env, "decide(array)");
    if (sona_engine_decide(self.engine, self.x, array_in(env, args[0], self.x), NULL, self.now_ms++,
                           &d) != SONA_OK)
        return fail(env, "refused");
    (void)napi_create_array_with_length(env, 2, &ret);
    (void)napi_set_element(env, ret, 0, number_of(env, SONA_ROUTE_INDEX(d.route)));
    (void)napi_set_element(env, ret, 1, number_of(env, (double)d.id));
    return ret;
}

static napi_value outcome(napi_env env, napi_callback_info info)
{
    napi_value args[ARGS_MAX];

    if (args_of(env, info, args) < 2)
        return fail(env, "outcome(id, quality)");
    if (sona_engine_outcome(self.engine, (uint64_t)number(env, args[0]),
                            (float)number(env, args[1]), 0, self.now_ms) != SONA_OK)
        return fail(env, "refused");
    return NULL;
}

static void run_trajectory(void)
{
    sona_step one = {.activations = self.x,
                     .attention = self.attention,
                     .n_activations = self.dim,
                     .n_attention = 64,
                     .reward = 0.8f,
                     .rewarded = true};
    uint64_t id = 0;

    (void)sona_engine_begin(self.engine, self.x, self.dim, self.now_ms++, &id);
    (void)sona_engine_step(self.engine, id, &one);
    (void)sona_engine_end(self.engine, id, 0.8f, self.now_ms);
}

/* native(what, n, array): nanoseconds of n calls without Node */
static napi_value native(napi_env env, napi_callback_info info)
{
    napi_value args[ARGS_MAX];
    sona_pattern found[K_MAX];
    char what[16];
    size_t bytes;
    uint32_t n, count;
    uint64_t start;

    if (args_of(env, info, args) < 3 || array_in(env, args[2], self.x) != self.dim)
        return fail(env, "native(what, n, array)");
    (void)napi_get_value_string_utf8(env, args[0], what, sizeof what, &bytes);
    n = (uint32_t)number(env, args[1]);
    start = now_ns();
    for (uint32_t i = 0; i < n; i++) {
        if (what[0] == 'm')
            (void)sona_engine_apply_micro(self.engine, self.x, self.dim, self.y);
        else if (what[0] == 'b')
            (void)sona_engine_apply_base(self.engine, 0, self.x, self.dim, self.y);
        else if (what[0] == 'p')
            (void)sona_engine_find_patterns(self.engine, self.x, self.dim, 5, found, &count);
        else
            run_trajectory();
    }
    return number_of(env, (double)(now_ns() - start));
}

NAPI_MODULE_INIT()
{
    static const struct {
        const char *name;
        napi_callback call;
    } all[] = {{"create", create},
               {"convert", convert},
               {"applyMicro", apply_micro},
               {"applyMicroTyped", apply_micro_typed},
               {"applyBase", apply_base},
               {"begin", begin},
               {"step", step},
               {"end", end},
               {"findPatterns", find_patterns},
               {"learn", learn},
               {"decide", decide},
               {"outcome", outcome},
               {"native", native}};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        napi_value f;

        (void)napi_create_function(env, all[i].name, NAPI_AUTO_LENGTH, all[i].call, NULL, &f);
        (void)napi_set_named_property(env, exports, all[i].name, f);
    }
    return exports;
}
