/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "perf/bench/live.h"

#include <jansson.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "client/client.h"
#include "perf/bench/model.h"
#include "shm/ring.h"
#include "shm/wire.h"
#include "tools/query.h"
#include "tools/sample.h"

#define LEARNED  2000u
#define TOPICS   24u
#define LIMIT_NS 20000000000ull
#define ARGS_MAX 16

static bool same(const struct sona_bench_shape *a, const struct sona_bench_shape *b)
{
    bool alike = a->dim == b->dim && a->routes == b->routes && a->micro_rank == b->micro_rank &&
                 a->patterns == b->patterns && a->learned == b->learned && !a->preset && !b->preset;

    for (size_t i = 0; alike && i < sizeof a->more / sizeof *a->more; i++) {
        alike = (a->more[i] == NULL) == (b->more[i] == NULL) &&
                (a->more[i] == NULL || strcmp(a->more[i], b->more[i]) == 0);
        if (a->more[i] == NULL)
            break;
    }
    return alike;
}

void sona_bench_live_start(struct sona_bench_live *live)
{
    const struct sona_bench_shape *shape = &live->shape;
    const struct sona_spawn before = live->sidecar;
    char text[5][48];
    const char *args[ARGS_MAX];
    sona_diag diag;
    int n = 0;

    (void)snprintf(text[0], sizeof text[0], "--set=embedding_dim=%u", shape->dim);
    (void)snprintf(text[1], sizeof text[1], "--set=routes_max=%u",
                   shape->routes < 16 ? 16 : shape->routes);
    (void)snprintf(text[2], sizeof text[2], "--routes=%u", shape->routes);
    (void)snprintf(text[3], sizeof text[3], "--set=micro_lora_rank=%u",
                   shape->micro_rank ? shape->micro_rank : 2);
    (void)snprintf(text[4], sizeof text[4], "--set=pattern_clusters=%u",
                   shape->patterns ? shape->patterns : 100);
    args[n++] = "--isolated";
    if (shape->preset)
        args[n++] = shape->preset;
    for (int i = 0; i < (shape->preset ? 3 : 5); i++)
        args[n++] = text[i];
    for (int i = 0; i < 6 && shape->more[i]; i++)
        args[n++] = shape->more[i];
    args[n] = NULL;
    if (before.instance[0] == '\0') {
        if (sona_spawn_start(&live->sidecar, NULL, NULL, NULL, args, &diag) != SONA_OK)
            sona_bench_die("%s", diag.text);
        return;
    }
    if (sona_spawn_start(&live->sidecar, NULL, before.instance, before.runtime_dir, args, &diag) !=
        SONA_OK)
        sona_bench_die("%s", diag.text);
    live->sidecar.own_dir = before.own_dir; /* still ours to remove */
}

static void attach(struct sona_bench_live *live)
{
    sona_client_options options = {.instance = live->sidecar.instance,
                                   .runtime_dir = live->sidecar.runtime_dir,
                                   .lanes = 16,
                                   .timeout_ms = 20000,
                                   .seed = 1};
    sona_diag diag;

    if (sona_client_open(&live->client, &options, &diag) != SONA_OK ||
        sona_lane_claim(live->client, &live->lane, &diag) != SONA_OK)
        sona_bench_die("%s", diag.text);
}

/* Something to have learned: every coordinate has a route that it is good for. */
void sona_bench_live_teach(struct sona_bench_live *live)
{
    struct sona_tools_random random = sona_tools_random_init(1, 3);
    uint32_t n = live->shape.learned ? live->shape.learned : LEARNED;

    for (uint32_t i = 0; i < n; i++) {
        const float *x = sona_bench_live_query(live);
        sona_decision d;

        if (i % 128 == 0)
            sona_bench_live_drain(live);
        if (sona_decide(live->lane, x, live->shape.dim, NULL, &d) != SONA_OK)
            sona_bench_die("a query was not decided while teaching");
        float good = x[SONA_ROUTE_INDEX(d.route) % live->shape.dim];

        (void)sona_outcome(live->lane, d.id,
                           sona_tools_random_unit(&random) < 0.5 + 4 * (double)good ? 1 : 0, NULL);
    }
    sona_bench_live_drain(live);
    sona_bench_live_settle(live, true);
}

/* Queries as encoders make them: around so many topics, in no order. Directions drawn evenly from
 * the whole sphere have no kind, and the regime gate finds one in them again and again. */
static float *queries(uint32_t dim)
{
    struct sona_tools_random random = sona_tools_random_init(1, 9);
    float *topic = sona_bench_vectors(TOPICS, dim, 12);
    float *x = sona_bench_vectors(SONA_BENCH_QUERIES, dim, 11);

    for (uint32_t i = 0; i < SONA_BENCH_QUERIES; i++) {
        const float *from = topic + (size_t)sona_tools_random_below(&random, TOPICS) * dim;
        float *row = x + (size_t)i * dim;
        float square = 0;

        for (uint32_t k = 0; k < dim; k++) {
            row[k] = 0.7f * row[k] + from[k];
            square += row[k] * row[k];
        }
        for (uint32_t k = 0; k < dim; k++)
            row[k] /= sqrtf(square);
    }
    free(topic);
    return x;
}

struct sona_bench_live *sona_bench_live_get(struct sona_bench *bench,
                                            const struct sona_bench_shape *shape)
{
    struct sona_bench_live *live = bench->live;

    if (live && same(&live->shape, shape))
        return live;
    sona_bench_live_close(bench);
    live = calloc(1, sizeof *live);
    if (!live)
        sona_bench_die("not enough memory for a client");
    live->shape = *shape;
    live->x = queries(shape->dim);
    live->random = sona_tools_random_init(1, 10);
    sona_bench_live_start(live);
    attach(live);
    sona_bench_live_teach(live);
    bench->live = live;
    return live;
}

void sona_bench_live_close(struct sona_bench *bench)
{
    struct sona_bench_live *live = bench->live;

    if (!live)
        return;
    sona_client_close(&live->client);
    (void)sona_spawn_stop(&live->sidecar);
    free(live->x);
    free(live);
    bench->live = NULL;
}

const float *sona_bench_live_query(struct sona_bench_live *live)
{
    return live->x +
           (size_t)sona_tools_random_below(&live->random, SONA_BENCH_QUERIES) * live->shape.dim;
}

/* Acquire: as every call on the lane; it is between two of them. */
static struct sona_client_attachment *attached(struct sona_bench_live *live)
{
    return atomic_load_explicit(&live->client->att, memory_order_acquire);
}

void sona_bench_live_drain(struct sona_bench_live *live)
{
    uint64_t begin = sona_tools_now_ns();

    for (;;) {
        if (sona_shm_ring_used(&attached(live)->port[live->lane->index].ring) == 0)
            return;
        if (sona_tools_now_ns() - begin > LIMIT_NS)
            sona_bench_die("the sidecar takes nothing out of the lane any more");
        (void)sched_yield();
    }
}

static json_t *told(struct sona_bench_live *live, uint32_t what)
{
    char *text = NULL;
    sona_diag diag;
    json_t *root;

    if (sona_tools_query(live->sidecar.runtime_dir, live->sidecar.instance, what, &text, &diag) !=
        SONA_OK)
        sona_bench_die("%s", diag.text);
    root = json_loads(text, 0, NULL);
    free(text);
    if (!root)
        sona_bench_die("the sidecar's answer is no JSON");
    return root;
}

void sona_bench_live_settle(struct sona_bench_live *live, bool cycle)
{
    struct sona_control_request command = {.what = SONA_CONTROL_FLUSH};
    char *text = NULL;
    sona_diag diag;

    for (int i = 0; i <= cycle; i++) {
        if (sona_tools_ask(live->sidecar.runtime_dir, live->sidecar.instance, &command, &text,
                           &diag) != SONA_OK)
            sona_bench_die("%s", diag.text);
        free(text);
        command.what = SONA_CONTROL_LEARN;
    }
}

size_t sona_bench_live_decision_bytes(struct sona_bench_live *live)
{
    struct sona_client_attachment *att = attached(live);
    _Atomic uint64_t hazard = 0; /* nobody scans it: what is read is only counted */
    struct sona_shm_pin pin;

    if (sona_shm_pin(&att->reader, &hazard, &pin) <= 0)
        sona_bench_die("the sidecar has no model");
    return sona_bench_model_decision_bytes(
        &(struct sona_model_view){.layout = &att->layout, .hot = pin.hot, .cold = pin.cold});
}

size_t sona_bench_live_search_bytes(struct sona_bench_live *live, uint32_t patterns, uint32_t k)
{
    return sona_bench_model_search_bytes(&attached(live)->layout, patterns, k);
}

uint64_t sona_bench_live_counter(struct sona_bench_live *live, const char *name)
{
    json_t *root = told(live, SONA_CONTROL_STATS);
    const json_t *value = json_object_get(root, name);
    uint64_t n = (uint64_t)json_number_value(value);

    if (!json_is_number(value))
        sona_bench_die("the sidecar has no counter %s", name);
    json_decref(root);
    return n;
}

void sona_bench_live_hold(struct sona_bench_live *live, bool held)
{
    int status;

    if (live->held == held)
        return;
    live->held = held;
    (void)kill(live->sidecar.pid, held ? SIGSTOP : SIGCONT);
    if (waitpid(live->sidecar.pid, &status, held ? WUNTRACED : WCONTINUED) != live->sidecar.pid ||
        WIFEXITED(status) || WIFSIGNALED(status))
        sona_bench_die("the sidecar ended on its own");
}
