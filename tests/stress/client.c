/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Lanes that never stop while their sidecar is killed and started again, lanes are claimed and
 * given back, and somebody reads the stats all the time. client [RESTARTS]
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sona/client.h>

#include "tap.h"
#include "tools/spawn.h"

#define DIM       64u
#define ATTACH_MS 30000 /* until a client must have found a sidecar */
#define THREADS   3u

struct worker {
    pthread_t thread;
    sona_client *client;
    uint64_t calls, wrong, backwards, claims;
    _Atomic uint64_t recorded; /* relaxed: only whether it grows */
};

static _Atomic bool stop;

/* One query and everything that belongs to it. */
static void serve(struct worker *w, sona_lane *lane, uint64_t *last)
{
    float x[DIM], y[DIM];
    sona_decision d = {.id = 0};
    sona_pattern pattern;
    uint64_t version = 0;
    uint32_t n;

    for (uint32_t i = 0; i < DIM; i++)
        x[i] = (float)((w->calls * 7 + i * 13) % 31) - 15.5f;
    sona_err decided = sona_decide(lane, x, DIM, NULL, &d);
    sona_err told = d.id ? sona_outcome(lane, d.id, 0.5f, NULL) : SONA_OK;
    w->wrong += (decided != SONA_OK && decided != SONA_E_FULL && decided != SONA_E_DETACHED) ||
                (told != SONA_OK && told != SONA_E_FULL && told != SONA_E_DETACHED) ||
                !(d.propensity > 0) || (d.id == 0) != (decided != SONA_OK);
    w->wrong += sona_apply(lane, x, DIM, y, &version) != SONA_OK;
    w->wrong += sona_find_patterns(lane, x, DIM, 1, &pattern, &n) != SONA_OK;
    w->backwards += d.version < *last || version < d.version;
    *last = version;
    w->calls++;
    if (d.id != 0)
        atomic_fetch_add_explicit(&w->recorded, 1, memory_order_relaxed);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    uint64_t last = 0;

    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        sona_lane *lane;

        if (sona_lane_claim(w->client, &lane, NULL) != SONA_OK) {
            w->wrong++;
            break;
        }
        w->claims++;
        for (int n = 0; n < 5000 && !atomic_load_explicit(&stop, memory_order_relaxed); n++)
            serve(w, lane, &last);
        if (w->claims % 2 == 0)
            sona_lane_release(&lane);
        else
            break; /* forget it: the exit of the thread gives it back */
    }
    return NULL;
}

/* Keep THREADS workers at it until every one of them recorded something new. */
static void work_on(struct worker *workers)
{
    uint64_t before[THREADS];

    for (uint32_t i = 0; i < THREADS; i++)
        before[i] = atomic_load_explicit(&workers[i].recorded, memory_order_relaxed);
    for (uint32_t i = 0; i < THREADS;) {
        struct worker *w = &workers[i];
        sona_client_stats stats;

        (void)sona_client_stats_get(w->client, &stats);
        if (atomic_load_explicit(&w->recorded, memory_order_relaxed) > before[i]) {
            i++;
            continue;
        }
        if (pthread_tryjoin_np(w->thread, NULL) == 0)
            (void)pthread_create(&w->thread, NULL, work, w);
        (void)sched_yield();
    }
}

static bool start(struct sona_spawn *sidecar, const char *instance, const char *dir)
{
    const char *const args[] = {"--dim", "64", "--routes", "4", NULL};
    sona_diag diag = {.text = ""};

    if (sona_spawn_start(sidecar, NULL, instance, dir, args, &diag) == SONA_OK)
        return true;
    (void)printf("# %s\n", diag.text);
    return false;
}

/* Kill and start again; false when it does not come back. */
static bool restart(struct sona_spawn *sidecar)
{
    char instance[sizeof sidecar->instance], dir[sizeof sidecar->runtime_dir];
    bool own_dir = sidecar->own_dir;

    memcpy(instance, sidecar->instance, sizeof instance);
    memcpy(dir, sidecar->runtime_dir, sizeof dir);
    sona_spawn_kill(sidecar);
    bool ok = start(sidecar, instance, dir);
    sidecar->own_dir = own_dir;
    return ok;
}

/* Rings take records while nobody listens: work alone does not show that the client found the next
 * one. */
static bool await_attachment(sona_client *client, uint64_t n)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    sona_client_stats s = {.attached = false};

    for (int i = 0; i < ATTACH_MS; i++) {
        if (sona_client_stats_get(client, &s) == SONA_OK && s.attachments >= n)
            return true;
        (void)nanosleep(&pause, NULL);
    }
    return false;
}

static void report(struct tap *tap, const struct worker *workers, sona_client *client,
                   uint64_t restarts)
{
    uint64_t calls = 0, wrong = 0, backwards = 0, recorded = 0;
    sona_client_stats s = {.attached = false};

    for (uint32_t i = 0; i < THREADS; i++) {
        calls += workers[i].calls;
        wrong += workers[i].wrong;
        backwards += workers[i].backwards;
        recorded += atomic_load_explicit(&workers[i].recorded, memory_order_relaxed);
    }
    (void)sona_client_stats_get(client, &s);
    tap_ok(tap, wrong == 0, "%llu rounds of calls, %llu answers out of order",
           (unsigned long long)calls, (unsigned long long)wrong);
    tap_ok(tap, backwards == 0 && s.identity == 0, "versions never go back or away");
    tap_ok(tap, s.attachments == restarts + 1, "%llu attachments for %llu restarts",
           (unsigned long long)s.attachments, (unsigned long long)restarts);
    tap_ok(tap, s.lanes_claimed == 0, "%u lanes are still claimed", s.lanes_claimed);
    tap_ok(tap,
           s.decides == calls && s.applies == calls && s.outcomes <= recorded &&
               s.refused_argument + s.refused_shape + s.refused_range == 0,
           "every call is counted (full %llu, detached %llu, lost by restarts %llu)",
           (unsigned long long)s.dropped_full, (unsigned long long)s.dropped_detached,
           (unsigned long long)s.dropped_restart);
}

int main(int argc, char **argv)
{
    uint64_t restarts = argc > 1 ? strtoull(argv[1], NULL, 10) : 10;
    struct worker workers[THREADS] = {{.calls = 0}};
    struct tap tap = {0, 0};
    struct sona_spawn sidecar;
    sona_client *client = NULL;
    sona_diag diag = {.text = ""};

#ifdef SONA_TSAN
    /* The sidecar is not on trial here: packaged liburcu is not instrumented, so the grace periods
     * that order its threads are invisible. Our own runtime has read its options already. */
    (void)setenv("TSAN_OPTIONS", "report_bugs=0", 1);
#endif
    if (!start(&sidecar, NULL, NULL))
        return 1;
    const sona_client_options options = {
        .instance = sidecar.instance, .runtime_dir = sidecar.runtime_dir, .timeout_ms = 10000};
    bool open = sona_client_open(&client, &options, &diag) == SONA_OK;
    tap_ok(&tap, open, "the client opens %s", diag.text);
    for (uint32_t i = 0; open && i < THREADS; i++) {
        workers[i].client = client;
        (void)pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    }
    for (uint64_t n = 0; open && n <= restarts; n++) {
        work_on(workers);
        if (n < restarts && (!restart(&sidecar) || !await_attachment(client, n + 2))) {
            tap_ok(&tap, false, "the sidecar comes back, and the client finds it");
            break;
        }
    }
    atomic_store_explicit(&stop, true, memory_order_relaxed);
    for (uint32_t i = 0; open && i < THREADS; i++)
        (void)pthread_join(workers[i].thread, NULL);
    if (open)
        report(&tap, workers, client, restarts);
    sona_client_close(&client);
    (void)sona_spawn_stop(&sidecar);
    return tap_done(&tap);
}
