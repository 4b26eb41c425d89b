/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "perf/bench/strain.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shm/wire.h"
#include "tools/query.h"
#include "tools/sample.h"

#define STREAMED (8u << 20)
#define NEW      200u /* outcomes before a cycle */

static void nap(long ns)
{
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = ns}, NULL);
}

/* Relaxed, here and below: a flag that is looked at again soon; nothing depends on it. */
static bool is(const _Atomic bool *flag)
{
    return atomic_load_explicit(flag, memory_order_relaxed);
}

static void count(struct sona_bench_strain *s)
{
    (void)atomic_fetch_add_explicit(&s->done, 1, memory_order_relaxed);
}

static void tell(struct sona_bench_strain *s, sona_lane *lane, uint32_t i)
{
    const float *x = s->live->x + (size_t)(i * 7 % SONA_BENCH_QUERIES) * (size_t)s->live->shape.dim;
    sona_decision d;

    if (sona_decide(lane, x, s->live->shape.dim, NULL, &d) == SONA_OK)
        (void)sona_outcome(lane, d.id, (float)(i % 2), NULL);
}

static sona_lane *claim(struct sona_bench_strain *s)
{
    sona_lane *lane = NULL;
    sona_diag diag;

    if (sona_lane_claim(s->live->client, &lane, &diag) != SONA_OK)
        sona_bench_die("%s", diag.text);
    return lane;
}

static void *publish(void *arg)
{
    struct sona_bench_strain *s = arg;
    sona_lane *lane = claim(s);

    for (uint32_t i = 0; !is(&s->over); i++) {
        if (is(&s->on)) {
            tell(s, lane, i);
            count(s);
        }
        nap(500000);
    }
    sona_lane_release(&lane);
    return NULL;
}

static void *cycle(void *arg)
{
    struct sona_bench_strain *s = arg;
    sona_lane *lane = claim(s);
    struct sona_control_request command = {.what = SONA_CONTROL_LEARN};

    for (uint32_t i = 0; !is(&s->over);) {
        char *text = NULL;
        sona_diag diag;

        if (!is(&s->on)) {
            nap(1000000);
            continue;
        }
        for (uint32_t n = 0; n < NEW; n++)
            tell(s, lane, i++);
        if (sona_tools_ask(s->live->sidecar.runtime_dir, s->live->sidecar.instance, &command, &text,
                           &diag) != SONA_OK)
            sona_bench_die("%s", diag.text);
        free(text);
        count(s);
    }
    sona_lane_release(&lane);
    return NULL;
}

static void *stream(void *arg)
{
    struct sona_bench_strain *s = arg;
    char *memory = sona_bench_memory(STREAMED);

    while (!is(&s->over)) {
        if (is(&s->on)) {
            memset(memory, (int)atomic_load_explicit(&s->done, memory_order_relaxed), STREAMED);
            __asm__ volatile("" ::"r"(memory) : "memory");
            count(s);
        } else {
            nap(1000000);
        }
    }
    free(memory);
    return NULL;
}

/* The same sidecar anew; returns when the client is back. */
static void start_again(struct sona_bench_strain *s)
{
    uint64_t begin = sona_tools_now_ns();
    sona_client_stats stats = {0};

    sona_bench_live_start(s->live);
    while (sona_client_stats_get(s->live->client, &stats) != SONA_OK || !stats.attached) {
        if (sona_tools_now_ns() - begin > 20000000000ull)
            sona_bench_die("the client does not find the sidecar that was started again");
        nap(1000000);
    }
}

static void *restart(void *arg)
{
    struct sona_bench_strain *s = arg;

    while (!is(&s->over)) {
        if (is(&s->on)) {
            sona_spawn_kill(&s->live->sidecar);
            start_again(s);
            count(s);
        }
        nap(5000000);
    }
    return NULL;
}

void sona_bench_strain_init(struct sona_bench_strain *ret, struct sona_bench_live *live,
                            enum sona_bench_strain_kind kind)
{
    void *(*work)(void *) = kind == SONA_BENCH_PUBLISHING  ? publish
                            : kind == SONA_BENCH_CYCLES    ? cycle
                            : kind == SONA_BENCH_NEIGHBOUR ? stream
                            : kind == SONA_BENCH_RESTARTED ? restart
                                                           : NULL;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);

    memset(ret, 0, sizeof *ret);
    ret->kind = kind;
    ret->live = live;
    if (!work)
        return;
    ret->n_threads = kind != SONA_BENCH_NEIGHBOUR                   ? 1
                     : processors > (long)SONA_BENCH_NEIGHBOURS_MAX ? SONA_BENCH_NEIGHBOURS_MAX
                                                                    : (uint32_t)processors;
    for (uint32_t i = 0; i < ret->n_threads; i++)
        if (pthread_create(&ret->thread[i], NULL, work, ret) != 0)
            sona_bench_die("a thread cannot be started");
}

void sona_bench_strain_switch(struct sona_bench_strain *strain, bool on)
{
    atomic_store_explicit(&strain->on, on, memory_order_relaxed);
    if (strain->kind == SONA_BENCH_STOPPED)
        sona_bench_live_hold(strain->live, on);
    if (strain->kind != SONA_BENCH_KILLED)
        return;
    if (on) {
        sona_spawn_kill(&strain->live->sidecar);
    } else if (strain->live->sidecar.pid == 0) {
        start_again(strain);
        sona_bench_live_teach(strain->live);
    }
}

void sona_bench_strain_done(struct sona_bench_strain *strain)
{
    atomic_store_explicit(&strain->over, true, memory_order_relaxed);
    for (uint32_t i = 0; i < strain->n_threads; i++)
        (void)pthread_join(strain->thread[i], NULL);
    if (strain->kind == SONA_BENCH_RESTARTED) {
        /* A sidecar ends with the thread that started it. */
        sona_spawn_kill(&strain->live->sidecar);
        start_again(strain);
        sona_bench_live_teach(strain->live);
    }
}
