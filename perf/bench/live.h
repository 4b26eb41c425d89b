/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A private sidecar of a given shape that has learned something, and a client with its lanes: what
 * the calls of a router are measured on. One is kept for as long as entries ask for its shape.
 */
#ifndef SONA_PERF_BENCH_LIVE_H
#define SONA_PERF_BENCH_LIVE_H

#include <stdint.h>

#include <sona/client.h>
#include <sona/stats.h>

#include "perf/bench/bench.h"
#include "tools/spawn.h"

#define SONA_BENCH_QUERIES 1024u

struct sona_bench_shape {
    uint32_t dim, routes;
    uint32_t micro_rank; /* 0: the default */
    uint32_t patterns;   /* most patterns; 0: the default */
    uint32_t learned;    /* outcomes to begin with; 0: 2,000 */
    const char *preset;  /* an argument, which goes first; null: none, and nothing of the above */
    const char *more[6]; /* further arguments of the sidecar; null-terminated */
};

struct sona_bench_live {
    struct sona_bench_shape shape;
    struct sona_spawn sidecar;
    sona_client *client;
    sona_lane *lane;
    float *x; /* SONA_BENCH_QUERIES unit vectors */
    struct sona_tools_random random;
    bool held;
};

/* The one that runs, if it has this shape and nothing was wrong with it; else a new one. */
struct sona_bench_live *sona_bench_live_get(struct sona_bench *bench,
                                            const struct sona_bench_shape *shape);
/* Stop it, if one runs. */
void sona_bench_live_close(struct sona_bench *bench);

/* Start its sidecar: the first time, or again after sona_spawn_kill(), with the same names. */
void sona_bench_live_start(struct sona_bench_live *live);
/* Let it learn as many outcomes as the shape says, and run a cycle. */
void sona_bench_live_teach(struct sona_bench_live *live);

/* The next query. */
const float *sona_bench_live_query(struct sona_bench_live *live);
/* Wait until the sidecar has taken everything out of the lane. */
void sona_bench_live_drain(struct sona_bench_live *live);
/* Wait until it has learned all that it took (a command), then run a background cycle, too. */
void sona_bench_live_settle(struct sona_bench_live *live, bool cycle);
/* Bytes that a decision reads, as of the snapshot of now; that a search for k of `patterns` reads.
 */
size_t sona_bench_live_decision_bytes(struct sona_bench_live *live);
size_t sona_bench_live_search_bytes(struct sona_bench_live *live, uint32_t patterns, uint32_t k);
/* One of its counters, by the name in sona/stats.h. */
uint64_t sona_bench_live_counter(struct sona_bench_live *live, const char *name);
/* Stop (SIGSTOP) or continue its process, and wait until it is so. */
void sona_bench_live_hold(struct sona_bench_live *live, bool held);

#endif
