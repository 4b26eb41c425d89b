/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What a call costs, against a live sidecar that drains and learns.
 *     hot_path [DIM [ROUTES]]           default 256 9
 *
 * Medians over batches of calls, so that the clock is not what is measured. Between batches the
 * ring is given time to drain; a call that met a full ring would be cheaper and is not counted.
 */
#include <stdlib.h>
#include <string.h>

#include <sona/client.h>

#include "tests/stress/tap.h"
#include "tools/spawn.h"

#define BATCH   256u /* well inside a ring */
#define QUERIES 32u
#define BATCHES 1000u

enum call { DECIDE, OUTCOME, APPLY, VERSION, SEARCH, CALLS };
static const char *const names[] = {"decide", "outcome", "apply", "version_of", "find_patterns"};

static uint64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static sona_err call(enum call which, sona_lane *lane, const float *x, uint32_t dim, float *y,
                     uint64_t *id)
{
    sona_decision d = {.id = 0};
    sona_version_info version;
    sona_pattern pattern[4];
    sona_err err;
    uint32_t n;

    switch (which) {
    case DECIDE:
        err = sona_decide(lane, x, dim, NULL, &d);
        *id = d.id;
        return err;
    case OUTCOME:
        return sona_outcome(lane, *id, 0.5f, NULL);
    case APPLY:
        return sona_apply(lane, x, dim, y, NULL);
    case VERSION:
        return sona_version_of(lane, &version);
    default:
        return sona_find_patterns(lane, x, dim, 4, pattern, &n);
    }
}

/* Let the sidecar take what is in the ring. */
static void pause_briefly(void)
{
    const struct timespec t = {.tv_nsec = 200000};

    (void)nanosleep(&t, NULL);
}

static void measure(enum call which, sona_lane *lane, const float *x, uint32_t dim)
{
    static double ns[BATCHES];
    static float y[SONA_DIM_MAX];
    uint64_t ids[BATCH];
    uint32_t n = 0;

    for (uint32_t round = 0; n < BATCHES && round < 4 * BATCHES; round++) {
        sona_err worst = SONA_OK;

        for (uint32_t i = 0; which == OUTCOME && i < BATCH; i++)
            (void)call(DECIDE, lane, x + (i % QUERIES) * dim, dim, y, &ids[i]);
        pause_briefly();
        uint64_t begin = now_ns();
        for (uint32_t i = 0; i < BATCH; i++) {
            sona_err err = call(which, lane, x + (i % QUERIES) * dim, dim, y, &ids[i]);

            worst = err != SONA_OK ? err : worst;
        }
        uint64_t took = now_ns() - begin;
        if (worst == SONA_OK)
            ns[n++] = (double)took / BATCH;
    }
    if (n == 0) {
        (void)printf("%-14s every batch met a full ring\n", names[which]);
        return;
    }
    qsort(ns, n, sizeof ns[0], by_value);
    (void)printf("%-14s min %7.1f  p50 %7.1f  p99 %7.1f ns\n", names[which], ns[0], ns[n / 2],
                 ns[n - 1 - n / 100]);
}

int main(int argc, char **argv)
{
    static float x[QUERIES * SONA_DIM_MAX];
    const char *dim_text = argc > 1 ? argv[1] : "256", *routes = argc > 2 ? argv[2] : "9";
    const char *const args[] = {"--dim", dim_text, "--routes", routes, NULL};
    uint32_t dim = (uint32_t)strtoul(dim_text, NULL, 10);
    struct sona_spawn sidecar;
    sona_client *client = NULL;
    sona_lane *lane;
    sona_diag diag = {.text = ""};

    if (dim > SONA_DIM_MAX ||
        sona_spawn_start(&sidecar, NULL, NULL, NULL, args, &diag) != SONA_OK) {
        (void)fprintf(stderr, "%s\n", diag.text);
        return 1;
    }
    const sona_client_options options = {.instance = sidecar.instance,
                                         .runtime_dir = sidecar.runtime_dir};
    if (sona_client_open(&client, &options, &diag) != SONA_OK ||
        sona_lane_claim(client, &lane, &diag) != SONA_OK) {
        (void)fprintf(stderr, "%s\n", diag.text);
        (void)sona_spawn_stop(&sidecar);
        return 1;
    }
    for (uint32_t i = 0; i < QUERIES; i++)
        for (uint32_t k = 0; k < dim; k++)
            x[i * dim + k] = (float)((i * 37 + k * 11) % 29) - 14.5f;
    sona_client_stats stats;
    (void)sona_client_stats_get(client, &stats);
    (void)printf("dim %s, %s routes, %u batches of %u calls each, %s fences\n", dim_text, routes,
                 BATCHES, BATCH, stats.full_fence ? "FULL" : "ASYM");
    for (int which = 0; which < CALLS; which++)
        measure((enum call)which, lane, x, dim);
    sona_client_close(&client);
    (void)sona_spawn_stop(&sidecar);
    return 0;
}
