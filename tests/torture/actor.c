/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* A client of the torture. Everything that it learns of itself goes into its log. */
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <sona/client.h>

#include "engine/model/model.h"
#include "shm/record.h"
#include "tests/torture/torture.h"

#define QUERIES 16u

uint64_t torture_now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void torture_nap_us(uint64_t us)
{
    const struct timespec t = {.tv_sec = (time_t)(us / 1000000),
                               .tv_nsec = (long)(us % 1000000) * 1000};

    (void)nanosleep(&t, NULL);
}

struct worker {
    sona_lane *handle;
    struct torture_shared *shared;
    struct torture_log *log;
    struct torture_lane *lane;
    float x[QUERIES][TORTURE_DIM];
    pthread_t thread;
};

/* Versions go on for ever, over restarts too. A first answer comes from a model. */
static void see(struct torture_lane *lane, uint64_t version)
{
    if (version == 0)
        return; /* revoked four times in a row: the identity, as promised */
    lane->backwards += version < lane->version;
    lane->version = version;
}

/* `n` records more, at most; then that many are there, at least. Release: in this order, whenever
 * the process ends. */
static void intend(struct torture_lane *lane)
{
    uint64_t done = atomic_load_explicit(&lane->done, memory_order_relaxed);

    atomic_store_explicit(&lane->intent, done + 1, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst);
}

static void committed(struct torture_lane *lane, bool is)
{
    uint64_t done = atomic_load_explicit(&lane->done, memory_order_relaxed);

    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&lane->done, done + is, memory_order_release);
    atomic_store_explicit(&lane->intent, done + is, memory_order_release);
}

/* The id must be the next of this lane. Another tag: the sidecar's successor did not take the lanes
 * back, and counting begins again. */
static void check_id(struct torture_lane *lane, uint64_t id)
{
    uint32_t tag = atomic_load_explicit(&lane->tag, memory_order_relaxed);

    if (SONA_ID_TAG(id) != tag) {
        lane->renewed += tag != 0;
        atomic_store_explicit(&lane->done, 0, memory_order_relaxed);
        atomic_store_explicit(&lane->intent, 1, memory_order_relaxed);
        atomic_store_explicit(&lane->tag, SONA_ID_TAG(id), memory_order_relaxed);
    }
    lane->wrong += SONA_ID_SEQ(id) != atomic_load_explicit(&lane->done, memory_order_relaxed);
}

/* Adapt, decide, tell. */
static void live_once(struct worker *w, uint64_t n)
{
    struct torture_lane *lane = w->lane;
    sona_lane *handle = w->handle;
    const float *x = w->x[n % QUERIES];
    uint64_t version = 0;
    float y[TORTURE_DIM];
    sona_decision d = {.id = 0};

    lane->wrong += sona_apply(handle, x, TORTURE_DIM, y, &version) != SONA_OK;
    see(lane, version);
    intend(lane);
    sona_err err = sona_decide(handle, x, TORTURE_DIM, NULL, &d);
    if (d.id != 0)
        check_id(lane, d.id);
    committed(lane, d.id != 0);
    see(lane, d.version);
    lane->wrong += err != SONA_OK && err != SONA_E_FULL && err != SONA_E_DETACHED;
    lane->wrong += SONA_ROUTE_INDEX(d.route) >= 3;
    if (d.id == 0)
        return;
    intend(lane);
    err = sona_outcome(handle, d.id, n % 3 == 0 ? 1 : 0, NULL);
    committed(lane, err == SONA_OK);
}

static bool left_behind(const struct torture_shared *shared)
{
    uint64_t alive = atomic_load_explicit(&shared->alive_us, memory_order_relaxed);

    return torture_now_us() > alive + 3 * TORTURE_LIMIT_US;
}

static void *work(void *arg)
{
    struct worker *w = arg;

    torture_hold(w->shared, w->log, w->lane);
    for (uint64_t n = 0; !atomic_load_explicit(&w->shared->stop, memory_order_relaxed); n++) {
        live_once(w, n);
        atomic_fetch_add_explicit(&w->lane->calls, 1, memory_order_relaxed);
        if (n % 4 == 0)
            torture_nap_us(50); /* few processors are shared with the sidecar */
        if (n % 1024 == 0 && left_behind(w->shared))
            _exit(4);
    }
    return NULL;
}

/* A child of ours must be told that the client is not its own; then it outlives us for a while, and
 * with it everything that it inherited. */
static void have_child(struct torture_log *log, sona_lane *handle, const float *x)
{
    pid_t parent = getpid();
    float y[TORTURE_DIM];
    uint64_t version;

    if (fork() != 0)
        return;
    bool refused = sona_apply(handle, x, TORTURE_DIM, y, &version) == SONA_E_FORKED;
    atomic_fetch_add_explicit(&log->forked, refused, memory_order_relaxed);
    while (getppid() == parent)
        torture_nap_us(1000);
    torture_nap_us(20000);
    _exit(0);
}

static sona_client *attach(const struct sona_spawn *sidecar, const struct torture_log *log)
{
    const sona_client_options options = {.instance = sidecar->instance,
                                         .runtime_dir = sidecar->runtime_dir,
                                         .lanes = TORTURE_LANES + (log->kind == TORTURE_FORKS),
                                         .dim = TORTURE_DIM,
                                         .seed = log->seed};
    uint64_t end = torture_now_us() + TORTURE_LIMIT_US;
    sona_client *client;

    /* The sidecar may be dead, or die while it answers. */
    while (sona_client_open(&client, &options, NULL) != SONA_OK) {
        if (torture_now_us() > end)
            _exit(1);
        torture_nap_us(1000);
    }
    return client;
}

static void learn_sizes(sona_client *client)
{
    struct sona_model_layout layout;
    sona_geometry geometry;

    if (sona_client_geometry(client, &geometry) != SONA_OK ||
        sona_model_layout_init(&layout, &geometry) != SONA_OK)
        _exit(5);
    torture_sizes(layout.hot_bytes, layout.cold_bytes);
}

static void hire(struct worker *w, struct torture_shared *shared, struct torture_log *log,
                 uint32_t i, sona_lane *handle)
{
    w->handle = handle;
    w->shared = shared;
    w->log = log;
    w->lane = &log->lane[i];
    for (uint32_t q = 0; q < QUERIES; q++)
        for (uint32_t k = 0; k < TORTURE_DIM; k++)
            w->x[q][k] = (float)((q * 37 + k * 11 + log->seed % 7) % 29) - 14.5f;
}

void torture_actor(const struct sona_spawn *sidecar, struct torture_shared *shared,
                   struct torture_log *log)
{
    static struct worker worker[TORTURE_LANES];
    uint32_t lanes = TORTURE_LANES + (log->kind == TORTURE_FORKS);
    sona_lane *handle[TORTURE_LANES + 1];
    sona_client *client = attach(sidecar, log);
    sona_client_stats stats;

    learn_sizes(client);
    for (uint32_t i = 0; i < lanes; i++) /* in this order: the ids name them by it */
        if (sona_lane_claim(client, &handle[i], NULL) != SONA_OK)
            _exit(2);
    for (uint32_t i = 0; i < TORTURE_LANES; i++) {
        hire(&worker[i], shared, log, i, handle[i]);
        if (pthread_create(&worker[i].thread, NULL, work, &worker[i]) != 0)
            _exit(2);
    }
    if (log->kind == TORTURE_FORKS)
        have_child(log, handle[TORTURE_LANES], worker[0].x[0]);
    for (uint32_t i = 0; i < TORTURE_LANES; i++)
        (void)pthread_join(worker[i].thread, NULL);
    for (uint32_t i = 0; i < lanes; i++)
        sona_lane_release(&handle[i]);
    uint64_t end = torture_now_us() + TORTURE_LIMIT_US;
    do /* what waits in the rings is for the last sidecar */
        (void)sona_client_stats_get(client, &stats);
    while (!stats.attached && torture_now_us() < end);
    sona_client_close(&client);
    _exit(0);
}
