/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What may go on beside a router's calls, to be switched on and off in turns: feedback that keeps
 * the sidecar publishing, background cycles without end, neighbours that take processor and
 * caches, a sidecar that is stopped, killed, or started anew.
 */
#ifndef SONA_PERF_BENCH_STRAIN_H
#define SONA_PERF_BENCH_STRAIN_H

#include <pthread.h>
#include <stdatomic.h>

#include "perf/bench/live.h"

enum sona_bench_strain_kind {
    SONA_BENCH_QUIET,
    SONA_BENCH_PUBLISHING, /* an outcome each half millisecond, from another lane */
    SONA_BENCH_CYCLES,     /* one background cycle after the other */
    SONA_BENCH_NEIGHBOUR,  /* a thread for each processor that streams through 8 MiB */
    SONA_BENCH_STOPPED,    /* SIGSTOP */
    SONA_BENCH_KILLED,     /* SIGKILL; a new one is started when it is over */
    SONA_BENCH_RESTARTED   /* SIGKILL, and at once a new one, while calls go on */
};

#define SONA_BENCH_NEIGHBOURS_MAX 16u

struct sona_bench_strain {
    enum sona_bench_strain_kind kind;
    struct sona_bench_live *live;
    uint32_t n_threads;
    pthread_t thread[SONA_BENCH_NEIGHBOURS_MAX];
    _Atomic bool on, over;
    _Atomic uint64_t done; /* outcomes told, or cycles run, or streams */
};

void sona_bench_strain_init(struct sona_bench_strain *ret, struct sona_bench_live *live,
                            enum sona_bench_strain_kind kind);
/* Off means: as it was before. */
void sona_bench_strain_switch(struct sona_bench_strain *strain, bool on);
void sona_bench_strain_done(struct sona_bench_strain *strain);

#endif
