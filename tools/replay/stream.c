/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "tools/replay/stream.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/fail.h"
#include "tools/random.h"

/* One stream of random numbers for each purpose, so that none shifts another. */
enum purpose {
    PURPOSE_ROWS = 1,
    PURPOSE_TASK = 2,
    PURPOSE_TENANT = 4,
    PURPOSE_TASTE = 5,
    PURPOSE_BLOCKS = 1000
};

const char *sona_replay_order_name(enum sona_replay_order order)
{
    static const char *const name[] = {"shuffled", "blocks", "drift", "tasks", "returning"};

    return name[order];
}

static bool has_tasks(const struct sona_replay_spec *spec)
{
    return spec->order == SONA_REPLAY_TASKS || spec->order == SONA_REPLAY_RETURNING;
}

/* Phases of a stream of tasks: with RETURNING the first comes once more. */
static uint32_t turns(const struct sona_replay_spec *spec)
{
    return spec->tasks + (spec->order == SONA_REPLAY_RETURNING);
}

void sona_replay_stream_done(struct sona_replay_stream *stream)
{
    free(stream->row);
    free(stream->test);
    free(stream->phase);
    free(stream->blocks);
    free(stream->tenant);
    free(stream->test_tenant);
    free(stream->taste);
    free(stream->swap);
    memset(stream, 0, sizeof *stream);
}

/* Fill in the defaults, and refuse what the set cannot give. */
static sona_err settle_sizes(struct sona_replay_spec *spec, const struct sona_tools_dataset *set,
                             sona_diag *reterr)
{
    uint32_t wish = has_tasks(spec) ? SONA_REPLAY_TASK_ROWS : SONA_REPLAY_ROWS;
    bool own_test = spec->test != SONA_REPLAY_DEFAULT;

    if (!own_test)
        spec->test = set->rows / 5 < SONA_REPLAY_TEST ? set->rows / 5 : SONA_REPLAY_TEST;
    if (spec->test >= set->rows)
        return sona_tools_fail(reterr, SONA_E_RANGE,
                               "--test %u leaves nothing to learn from: %s has %u rows, so it can "
                               "be at most %u",
                               spec->test, set->name, set->rows, set->rows - 1);
    if (spec->rows == SONA_REPLAY_DEFAULT)
        spec->rows = wish < set->rows - spec->test ? wish : set->rows - spec->test;
    if (!own_test && spec->rows <= set->rows && spec->rows > set->rows - spec->test)
        spec->test = set->rows - spec->rows;
    if (spec->rows < 1)
        return sona_tools_fail(reterr, SONA_E_RANGE, "--rows must be at least 1");
    if (spec->rows > set->rows - spec->test) {
        uint32_t most = own_test ? set->rows - spec->test : set->rows;

        return sona_tools_fail(reterr, SONA_E_RANGE,
                               own_test ? "--rows %u is more than %s has: at most %u beside its "
                                          "%u test rows"
                                        : "--rows %u is more than %s has: at most %u",
                               spec->rows, set->name, most, spec->test);
    }
    if (has_tasks(spec)) {
        if (spec->tasks < 2 || spec->tasks > SONA_REPLAY_TASKS_MAX)
            return sona_tools_fail(reterr, SONA_E_RANGE, "--order tasks=T takes 2 to %u tasks",
                                   SONA_REPLAY_TASKS_MAX);
        if (set->dim / SONA_REPLAY_BLOCK < 2)
            return sona_tools_fail(reterr, SONA_E_RANGE,
                                   "--order tasks permutes blocks of %u dimensions; %s has only "
                                   "%u dimensions",
                                   SONA_REPLAY_BLOCK, set->name, set->dim);
    }
    return SONA_OK;
}

/* Rows in the order of their group, stable. */
static void sort_by_group(const struct sona_tools_dataset *set, uint32_t *row, uint32_t n,
                          uint32_t *scratch)
{
    uint32_t *start = scratch; /* [groups + 1] */
    uint32_t *sorted = scratch + set->groups + 1;

    memset(start, 0, (set->groups + 1) * sizeof *start);
    for (uint32_t i = 0; i < n; i++)
        start[set->group[row[i]] + 1]++;
    for (uint32_t g = 0; g < set->groups; g++)
        start[g + 1] += start[g];
    for (uint32_t i = 0; i < n; i++)
        sorted[start[set->group[row[i]]]++] = row[i];
    memcpy(row, sorted, n * sizeof *row);
}

/* How many of the n rows from `i` on are of the same group. */
static uint32_t run_length(const struct sona_tools_dataset *set, const uint32_t *row, uint32_t i,
                           uint32_t n)
{
    uint32_t end = i;

    while (end < n && set->group[row[end]] == set->group[row[i]])
        end++;
    return end - i;
}

/* A phase for each group that the stream has. */
static sona_err lay_blocks(struct sona_replay_stream *stream)
{
    const struct sona_tools_dataset *set = stream->set;
    uint32_t n_test = stream->spec.test, most = stream->length > n_test ? stream->length : n_test;
    uint32_t *scratch = malloc(((size_t)set->groups + 1 + most) * sizeof *scratch);
    uint32_t t = 0;

    stream->phase = calloc(set->groups, sizeof *stream->phase);
    if (scratch == NULL || stream->phase == NULL) {
        free(scratch);
        return SONA_E_MEMORY;
    }
    sort_by_group(set, stream->row, stream->length, scratch);
    sort_by_group(set, stream->test, n_test, scratch);
    free(scratch);
    for (uint32_t i = 0; i < stream->length;) {
        struct sona_replay_phase *phase = &stream->phase[stream->n_phases++];
        uint16_t group = set->group[stream->row[i]];

        phase->first = i;
        phase->count = run_length(set, stream->row, i, stream->length);
        while (t < n_test && set->group[stream->test[t]] < group)
            t++;
        phase->test = stream->test + t;
        if (t < n_test && set->group[stream->test[t]] == group)
            phase->n_test = run_length(set, stream->test, t, n_test);
        i += phase->count;
    }
    return SONA_OK;
}

/* T phases; each takes the next rows of the pool, round and round, and its own permutation. */
static sona_err lay_tasks(struct sona_replay_stream *stream, const uint32_t *pool, uint32_t n_pool)
{
    const struct sona_replay_spec *spec = &stream->spec;
    uint32_t n_blocks = stream->set->dim / SONA_REPLAY_BLOCK;

    stream->phase = calloc(turns(spec), sizeof *stream->phase);
    stream->blocks = malloc((size_t)turns(spec) * n_blocks * sizeof *stream->blocks);
    if (stream->phase == NULL || stream->blocks == NULL)
        return SONA_E_MEMORY;
    stream->n_phases = turns(spec);
    for (uint32_t t = 0; t < stream->n_phases; t++) {
        struct sona_tools_random random =
            sona_tools_random_init(spec->seed, PURPOSE_BLOCKS + t % spec->tasks);
        uint32_t *blocks = stream->blocks + (size_t)t * n_blocks;
        uint32_t first = t * spec->rows;

        for (uint32_t i = 0; i < n_blocks; i++)
            blocks[i] = i;
        sona_tools_random_shuffle(&random, blocks, n_blocks);
        for (uint32_t i = 0; i < spec->rows; i++)
            stream->row[first + i] = pool[((uint64_t)first + i) % n_pool];
        random = sona_tools_random_init(spec->seed, PURPOSE_TASK + t);
        sona_tools_random_shuffle(&random, stream->row + first, spec->rows);
        stream->phase[t] = (struct sona_replay_phase){
            .first = first,
            .count = spec->rows,
            .test = stream->test,
            .n_test = spec->test,
            .blocks = blocks,
        };
    }
    return SONA_OK;
}

static sona_err lay_one(struct sona_replay_stream *stream)
{
    stream->phase = calloc(1, sizeof *stream->phase);
    if (stream->phase == NULL)
        return SONA_E_MEMORY;
    stream->n_phases = 1;
    stream->phase[0] = (struct sona_replay_phase){
        .count = stream->length, .test = stream->test, .n_test = stream->spec.test};
    return SONA_OK;
}

/* Shuffle the set, take the test rows from its end and the stream from its beginning. */
static sona_err lay_out(struct sona_replay_stream *stream)
{
    struct sona_replay_spec *spec = &stream->spec;
    uint32_t n = stream->set->rows, n_pool = n - spec->test;
    struct sona_tools_random random = sona_tools_random_init(spec->seed, PURPOSE_ROWS);
    uint32_t *order = malloc(n * sizeof *order);
    sona_err err = SONA_E_MEMORY;

    stream->length = has_tasks(spec) ? turns(spec) * spec->rows : spec->rows;
    stream->drift_at = stream->length;
    stream->row = malloc(stream->length * sizeof *stream->row);
    stream->test = malloc((spec->test + 1) * sizeof *stream->test);
    if (order != NULL && stream->row != NULL && stream->test != NULL) {
        for (uint32_t i = 0; i < n; i++)
            order[i] = i;
        sona_tools_random_shuffle(&random, order, n);
        memcpy(stream->test, order + n_pool, spec->test * sizeof *order);
        if (!has_tasks(spec))
            memcpy(stream->row, order, stream->length * sizeof *order);
        if (spec->order == SONA_REPLAY_BLOCKS)
            err = lay_blocks(stream);
        else if (has_tasks(spec))
            err = lay_tasks(stream, order, n_pool);
        else
            err = lay_one(stream);
    }
    free(order);
    return err;
}

/* Whose each of the n rows is: tenant i with a weight of 1 / (i + 1). */
static void draw_tenants(struct sona_tools_random *random, const double *sum, uint32_t n_tenants,
                         uint32_t *ret, uint32_t n)
{
    for (uint32_t t = 0; t < n; t++) {
        double at = sona_tools_random_unit(random) * sum[n_tenants - 1];
        uint32_t low = 0, high = n_tenants - 1;

        while (low < high) {
            uint32_t middle = (low + high) / 2;

            if (at < sum[middle])
                high = middle;
            else
                low = middle + 1;
        }
        ret[t] = low;
    }
}

/* What a tenant thinks of the routes, and which of them it calls by each other's names. */
static void draw_opinion(struct sona_replay_stream *stream, uint32_t tenant, uint32_t *pairs)
{
    const struct sona_replay_spec *spec = &stream->spec;
    uint32_t n = stream->set->routes;
    struct sona_tools_random random =
        sona_tools_random_init(spec->seed, PURPOSE_TASTE + ((uint64_t)tenant << 32));
    float *taste = stream->taste + (size_t)tenant * n;
    uint32_t *swap = stream->swap + (size_t)tenant * n;

    for (uint32_t k = 0; k < n; k++) {
        taste[k] = (float)sona_tools_random_unit(&random);
        swap[k] = pairs[k] = k;
    }
    sona_tools_random_shuffle(&random, pairs, n);
    for (uint32_t i = 0; i + 1 < n; i += 2)
        if (sona_tools_random_unit(&random) < (double)spec->spread &&
            spec->kind != SONA_REPLAY_TASTE) {
            swap[pairs[i]] = pairs[i + 1];
            swap[pairs[i + 1]] = pairs[i];
        }
}

static sona_err lay_tenants(struct sona_replay_stream *stream)
{
    const struct sona_replay_spec *spec = &stream->spec;
    size_t opinions = (size_t)spec->tenants * stream->set->routes;
    struct sona_tools_random random = sona_tools_random_init(spec->seed, PURPOSE_TENANT);
    double *sum = malloc(spec->tenants * sizeof *sum);
    uint32_t *pairs = malloc(stream->set->routes * sizeof *pairs);
    sona_err err = SONA_E_MEMORY;

    stream->tenant = malloc(stream->length * sizeof *stream->tenant);
    stream->test_tenant = malloc((spec->test + 1) * sizeof *stream->test_tenant);
    stream->taste = malloc(opinions * sizeof *stream->taste);
    stream->swap = malloc(opinions * sizeof *stream->swap);
    if (sum != NULL && pairs != NULL && stream->tenant != NULL && stream->test_tenant != NULL &&
        stream->taste != NULL && stream->swap != NULL) {
        for (uint32_t i = 0; i < spec->tenants; i++) {
            sum[i] = (i > 0 ? sum[i - 1] : 0) + 1.0 / (i + 1);
            draw_opinion(stream, i, pairs);
        }
        draw_tenants(&random, sum, spec->tenants, stream->tenant, stream->length);
        draw_tenants(&random, sum, spec->tenants, stream->test_tenant, spec->test);
        err = SONA_OK;
    }
    free(sum);
    free(pairs);
    return err;
}

sona_err sona_replay_stream_init(struct sona_replay_stream *ret,
                                 const struct sona_tools_dataset *set,
                                 const struct sona_replay_spec *spec, sona_diag *reterr)
{
    struct sona_replay_stream stream = {.set = set, .spec = *spec};
    sona_err err = settle_sizes(&stream.spec, set, reterr);

    if (err != SONA_OK)
        return err;
    err = lay_out(&stream);
    if (err == SONA_OK && spec->tenants > 0)
        err = lay_tenants(&stream);
    if (err != SONA_OK) {
        sona_replay_stream_done(&stream);
        return sona_tools_fail(reterr, err, "not enough memory for a stream of %u rows",
                               stream.spec.rows);
    }
    if (spec->order == SONA_REPLAY_DRIFT) {
        struct sona_replay_baselines before;

        /* Which route is best is judged before anything drifts. */
        sona_replay_stream_baselines(&stream, &before);
        stream.drift_route = before.best_route;
        stream.drift_at = stream.length / 2;
    }
    *ret = stream;
    return SONA_OK;
}

void sona_replay_stream_x(const struct sona_replay_stream *stream,
                          const struct sona_replay_phase *phase, uint32_t row, float *ret)
{
    uint32_t dim = stream->set->dim;
    const float *x = stream->set->x + (size_t)row * dim;

    memcpy(ret, x, dim * sizeof *ret);
    for (uint32_t b = 0; phase->blocks != NULL && b < dim / SONA_REPLAY_BLOCK; b++)
        memcpy(ret + b * SONA_REPLAY_BLOCK, x + phase->blocks[b] * SONA_REPLAY_BLOCK,
               SONA_REPLAY_BLOCK * sizeof *ret);
}

uint32_t sona_replay_stream_tenant(const struct sona_replay_stream *stream, uint32_t step)
{
    return stream->tenant != NULL && step < stream->length ? stream->tenant[step]
                                                           : SONA_REPLAY_NO_TENANT;
}

uint32_t sona_replay_stream_test_tenant(const struct sona_replay_stream *stream,
                                        const uint32_t *test)
{
    return stream->test_tenant != NULL ? stream->test_tenant[test - stream->test]
                                       : SONA_REPLAY_NO_TENANT;
}

uint32_t sona_replay_stream_key(uint32_t tenant)
{
    char name[24];

    if (tenant == SONA_REPLAY_NO_TENANT)
        return 0;
    (void)snprintf(name, sizeof name, "tenant-%u", tenant);
    return sona_tenant_key(name);
}

float sona_replay_stream_quality(const struct sona_replay_stream *stream, uint32_t step,
                                 uint32_t row, uint32_t tenant, uint32_t route)
{
    uint32_t n = stream->set->routes;
    bool drifted = stream->drift_at < stream->length && step >= stream->drift_at;
    bool owned = tenant != SONA_REPLAY_NO_TENANT && stream->swap != NULL;
    uint32_t behind = owned ? stream->swap[(size_t)tenant * n + route] : route;
    float quality = stream->set->quality[(size_t)row * n + behind];

    if (drifted && behind == stream->drift_route)
        quality *= SONA_REPLAY_DRIFT_FACTOR;
    if (owned && stream->spec.kind != SONA_REPLAY_SWAP)
        quality += stream->spec.spread * (stream->taste[(size_t)tenant * n + route] - quality);
    return quality;
}

double sona_replay_stream_reward(const struct sona_replay_stream *stream, uint32_t step,
                                 uint32_t row, uint32_t tenant, uint32_t route)
{
    return (double)sona_replay_stream_quality(stream, step, row, tenant, route) -
           (double)stream->spec.lambda * (double)stream->set->route[route].cost;
}

void sona_replay_stream_baselines(const struct sona_replay_stream *stream,
                                  struct sona_replay_baselines *ret)
{
    uint32_t n_routes = stream->set->routes;
    double total[SONA_ROUTES_MAX] = {0};
    double sum = 0, oracle = 0;

    for (uint32_t t = 0; t < stream->length; t++) {
        double best = -INFINITY;

        for (uint32_t k = 0; k < n_routes; k++) {
            double reward = sona_replay_stream_reward(stream, t, stream->row[t],
                                                      sona_replay_stream_tenant(stream, t), k);

            total[k] += reward;
            sum += reward;
            best = reward > best ? reward : best;
        }
        oracle += best;
    }
    ret->best_route = 0;
    for (uint32_t k = 1; k < n_routes; k++)
        if (total[k] > total[ret->best_route])
            ret->best_route = k;
    ret->best_fixed = total[ret->best_route] / stream->length;
    ret->random = sum / stream->length / n_routes;
    ret->oracle = oracle / stream->length;
}
