/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * From an outcome that is told to a snapshot that contains it, each timed by itself; beside it, in
 * the same turns, what the machine takes for nothing: a word sent to a thread of this process and
 * back, and a bare sleep of the sidecar's longest nap.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "perf/bench/live.h"
#include "tools/sample.h"

#define DIM      256u
#define TURNS    250u
#define ACTIVE   20u /* of a turn */
#define IDLE_NS  8000000
#define NAP_NS   1000000 /* idle_cap_us as it is by default */
#define LIMIT_NS 2000000000u

/* Two words that go back and forth. */
struct pingpong {
    _Alignas(128) _Atomic uint64_t ball;
    _Alignas(128) _Atomic uint64_t back;
    _Alignas(128) _Atomic bool over;
    pthread_t thread;
};

/* Spins as the sidecar does: gives the processor away now and then, or two threads on one core
 * wait for each other's time slice. */
static void *answer(void *arg)
{
    struct pingpong *p = arg;
    uint64_t seen = 0;

    while (!atomic_load_explicit(&p->over, memory_order_relaxed)) {
        uint64_t ball = atomic_load_explicit(&p->ball, memory_order_acquire);

        if (ball != seen) {
            seen = ball;
            atomic_store_explicit(&p->back, ball, memory_order_release);
        }
    }
    return NULL;
}

static uint64_t ping(struct pingpong *p, uint64_t ball)
{
    uint64_t start = sona_tools_now_ns();

    atomic_store_explicit(&p->ball, ball, memory_order_release);
    while (atomic_load_explicit(&p->back, memory_order_acquire) != ball)
        if (sona_tools_now_ns() - start > LIMIT_NS)
            sona_bench_die("a thread of this process did not answer within two seconds");
    return sona_tools_now_ns() - start;
}

static uint64_t step_of(struct sona_bench_live *live)
{
    sona_version_info version = {0};

    (void)sona_version_of(live->lane, &version);
    return version.step;
}

static uint64_t visible(struct sona_bench_live *live, uint32_t i)
{
    const float *x = sona_bench_live_query(live);
    uint64_t before = step_of(live), start;
    sona_decision d;

    if (sona_decide(live->lane, x, DIM, NULL, &d) != SONA_OK)
        sona_bench_die("a query was not decided");
    start = sona_tools_now_ns();
    if (sona_outcome(live->lane, d.id, (float)(i % 2), NULL) != SONA_OK)
        sona_bench_die("an outcome was not taken");
    while (step_of(live) == before)
        if (sona_tools_now_ns() - start > LIMIT_NS)
            sona_bench_die("an outcome was not visible within two seconds");
    return sona_tools_now_ns() - start;
}

static void pause_ns(long ns)
{
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = ns}, NULL);
}

struct seen {
    struct sona_bench_histogram active, idle, ping, nap;
};

static void one_turn(struct sona_bench_live *live, struct pingpong *p, struct seen *s, uint32_t t)
{
    /* The first wakes the sidecar. */
    (void)visible(live, 0);
    for (uint32_t i = 0; i < ACTIVE; i++)
        sona_bench_histogram_add(&s->active, visible(live, i));
    p->over = false;
    if (pthread_create(&p->thread, NULL, answer, p) != 0)
        sona_bench_die("a thread cannot be started");
    for (uint32_t i = 0; i <= ACTIVE; i++) {
        uint64_t ns = ping(p, 1 + t * (ACTIVE + 1) + i);

        if (i > 0) /* the first starts the thread */
            sona_bench_histogram_add(&s->ping, ns);
    }
    atomic_store_explicit(&p->over, true, memory_order_relaxed);
    (void)pthread_join(p->thread, NULL);
    pause_ns(IDLE_NS);
    sona_bench_histogram_add(&s->idle, visible(live, t));
    uint64_t start = sona_tools_now_ns();
    pause_ns(NAP_NS);
    sona_bench_histogram_add(&s->nap, sona_tools_now_ns() - start);
}

static void compared(struct sona_bench *bench, const char *name,
                     const struct sona_bench_histogram *h, const char *what,
                     const struct sona_bench_histogram *floor)
{
    struct sona_bench_row row;

    sona_bench_row_times(&row, name, h, 1, 1, true);
    if (floor) {
        row.floor_what = what;
        row.floor_min = sona_bench_histogram_percentile(floor, 0);
        row.floor_p50 = sona_bench_histogram_percentile(floor, 0.5);
        row.ratio = row.p50 / row.floor_p50;
        row.low = row.high = row.ratio;
        (void)snprintf(row.note, sizeof row.note, "floor's p99: %.0f ns; the ratio is of medians",
                       sona_bench_histogram_percentile(floor, 0.99));
    }
    bench->report(bench, &row);
}

static void feedback(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    struct sona_bench_live *live =
        sona_bench_live_get(bench, &(struct sona_bench_shape){.dim = DIM, .routes = 9});
    struct pingpong *p = sona_bench_memory((sizeof *p + 127) & ~(size_t)127);
    struct seen *s = sona_bench_memory(sizeof *s);
    uint32_t turns = bench->quick ? 4 : TURNS;

    (void)entry;
    (void)prctl(PR_SET_TIMERSLACK, 1); /* as the sidecar's intake */
    sona_bench_histogram_clear(&s->active);
    sona_bench_histogram_clear(&s->idle);
    sona_bench_histogram_clear(&s->ping);
    sona_bench_histogram_clear(&s->nap);
    for (uint32_t t = 0; t < turns && !*bench->stop; t++)
        one_turn(live, p, s, t);
    compared(bench, "visible/active", &s->active, "a bare ping-pong between two threads", &s->ping);
    compared(bench, "visible/idle", &s->idle, "a bare sleep of 1 ms", &s->nap);
    compared(bench, "visible/null/pingpong", &s->ping, NULL, NULL);
    compared(bench, "visible/null/sleep", &s->nap, NULL, NULL);
    (void)prctl(PR_SET_TIMERSLACK, 0);
    free(s);
    free(p);
}

const struct sona_bench_entry sona_bench_visible_entries[] = {
    {"visible", feedback, 0, 0, 0, false,
     "from an outcome told to a snapshot that contains it: while active, and from idle"},
    {NULL, NULL, 0, 0, 0, false, NULL},
};
