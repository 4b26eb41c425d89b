/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * sona-torture: clients and sidecars that are killed, stopped and started again while they decide,
 * apply and record, and an oracle that counts what must never happen.
 *
 *     main.c     the command line and the report
 *     drama.c    who is started, stopped and killed when; one thread, no waiting without a limit
 *     actor.c    a client process: two threads, each with a lane, writing down what they do
 *     hold.c     what happens while a snapshot is held: its sum is taken, or its holder ends
 *     oracle.c   the trace of every sidecar, held against what every client wrote down
 *
 * A client writes into its log, in memory that all processes share and that survives it. The number
 * of records that it is about to have committed is stored before a commit, the number that it has
 * after it: killed in between, either is right.
 */
#ifndef SONA_TESTS_TORTURE_TORTURE_H
#define SONA_TESTS_TORTURE_TORTURE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <sona/error.h>

#include "shm/fault.h"
#include "tools/random.h"
#include "tools/spawn.h"

#define TORTURE_DIM      16u
#define TORTURE_LANES    2u /* of an actor, each with a thread */
#define TORTURE_ACTORS   6u /* alive at one time */
#define TORTURE_LEASE_MS 5u
#define TORTURE_LIMIT_US 20000000u /* after so long something is wedged */

/* What a lane wrote down. Single writer: its thread. */
struct torture_lane {
    _Atomic uint64_t intent, done; /* records committed: at most, at least */
    _Atomic uint64_t calls;
    _Atomic uint32_t tag; /* of its ids; 0: none yet */
    uint64_t version;
    uint64_t reads,
        thrown_away; /* snapshots that were held; those whose reading was not accepted */
    uint64_t torn, backwards, wrong, renewed;
};

enum torture_kind { TORTURE_PLAIN, TORTURE_FORKS, TORTURE_NAMESPACE };

struct torture_log {
    /* Before it starts: */
    enum torture_kind kind;
    uint64_t seed;
    _Atomic uint64_t ends_at; /* it kills itself when it holds its nth snapshot; 0: never */
    _Atomic uint64_t stops_at;
    /* Its own: */
    _Atomic pid_t pid; /* as the director sees it */
    _Atomic uint64_t holds;
    _Atomic uint64_t held;    /* its hazard when it ended by its own hand */
    _Atomic uint64_t stopped; /* its hazard when it last stopped by its own hand; 0: none held */
    _Atomic uint64_t died_us;
    _Atomic uint32_t forked; /* a child of its own was refused, as it must be */
    struct torture_lane lane[TORTURE_LANES];
    /* The director's: */
    enum torture_state { TORTURE_ALIVE, TORTURE_REAPED, TORTURE_JUDGED } state;
    bool paused, attached;
    uint64_t act_us, reaped_us, moved_us, calls; /* when it is stopped or goes on; last progress */
    /* The oracle's: */
    uint32_t tag;             /* 0: it never attached */
    _Atomic uint64_t sidecar; /* pid of the one that has its lanes */
    uint64_t gone_us;
    uint64_t drained[TORTURE_LANES], breaks;
    struct sona_shm_trace last[TORTURE_LANES];
};

struct torture_shared {
    _Atomic bool stop;         /* end in peace */
    _Atomic uint64_t sidecar;  /* pid of the one that lives, about; 0: none */
    _Atomic uint64_t alive_us; /* the director; an actor that it left behind ends */
};

/* What is counted. The first six must be 0, at last. */
struct torture_counts {
    uint64_t torn, lost, doubled, wedged, leaked, wrong;
    uint64_t client_kills, kills_holding, stops, stops_holding, sidecar_kills, mid_publish;
    uint64_t reads, thrown_away, records, renewed, forks, namespaces;
    uint64_t both_dead, both_dead_records; /* clients that died without a sidecar; what they held */
    bool namespaces_tried, small_shm;
};

#define TORTURE_SAMPLES 65536u
struct torture_samples {
    uint32_t n;
    uint32_t us[TORTURE_SAMPLES];
};

struct torture {
    /* Asked for; 0: no bound of this kind. */
    uint64_t seconds, kills, stops, sidecar_kills, seed;
    bool quiet;

    struct torture_shared *shared;
    struct torture_log *logs; /* one for each client that ever was */
    uint32_t n_logs, logs_max;
    uint32_t live[TORTURE_ACTORS];
    uint32_t n_live;
    struct sona_tools_random random;
    struct sona_spawn sidecar;
    bool sidecar_up;
    struct torture_counts count;
    struct torture_samples reclaim, restart;
    uint64_t started_us;
    const volatile int *interrupted;

    /* The oracle's: */
    int trace_fd;
    uint64_t trace_at;
    uint32_t owner[1u << 16]; /* log of a tag, plus 1; 0: none */
    uint32_t unjudged;        /* reaped, not judged: from this log on */
};

/* The sidecar that lives has its lanes. Where that is not so few end: nobody could take up what
 * they leave behind. Relaxed: seen a little late, it is as good. */
static inline bool torture_in_hand(const struct torture_shared *shared,
                                   const struct torture_log *log)
{
    uint64_t sidecar = atomic_load_explicit(&shared->sidecar, memory_order_relaxed);

    return sidecar != 0 && sidecar == atomic_load_explicit(&log->sidecar, memory_order_relaxed);
}

uint64_t torture_now_us(void);
void torture_nap_us(uint64_t us);

/* actor.c: in the child; never returns. */
_Noreturn void torture_actor(const struct sona_spawn *sidecar, struct torture_shared *shared,
                             struct torture_log *log);
/* hold.c: the calling thread's lane and log, before its first call. */
void torture_hold(const struct torture_shared *shared, struct torture_log *log,
                  struct torture_lane *lane);
void torture_sizes(uint64_t hot, uint64_t cold); /* bytes of a model half; before any thread */

/* oracle.c */
void torture_oracle_read(struct torture *t);    /* what was traced since */
void torture_oracle_judge(struct torture *t);   /* whoever can be judged now */
void torture_oracle_orphans(struct torture *t); /* the sidecar is dead, and what it said is read */
/* One that ended is not given back yet; or one lives. */
bool torture_oracle_waits(const struct torture *t);
bool torture_oracle_expects(const struct torture *t);
void torture_sample(struct torture_samples *samples, uint64_t us);
double torture_percentile_ms(struct torture_samples *samples, double share);

/* drama.c: SONA_OK, whatever was counted; an error: it could not be played. */
sona_err torture_run(struct torture *t, sona_diag *reterr);

#endif
