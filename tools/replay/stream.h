/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What a run is shown, in which order, and what it is tested on. A pure function of the set and the
 * seed: every learner and every transport sees the same stream.
 *
 *     set, shuffled by the seed:   [ stream ............ | unused ... | held-out test ]
 *
 * The last rows of the shuffled set are the test rows; they are scored, never decided or learned.
 * The stream is cut into phases: what is learned together and tested together.
 *
 *     shuffled  one phase
 *     drift     one phase; from the middle on, the best single route is worth 0.3 of what it was
 *     blocks    a phase per group, one group after another, in the order of their numbers
 *     tasks     T phases of the same length; each permutes the embedding's blocks of 16 dimensions
 *               in its own way, so that what one task teaches is wrong for the next
 *     returning tasks, and then the first of them once more, with other rows
 *
 * With tenants, every row of the stream and of the test belongs to one of N, drawn with the weights
 * 1, 1/2, 1/3, ... (few are large). They disagree about the routes by SPREAD, in two ways:
 *
 *     taste  each has an opinion of every route, uniform in 0..1, which makes SPREAD of the quality
 *     swap   the routes fall into pairs, other ones for each; a pair is exchanged with probability
 *            SPREAD: the tenant's "code" model is what others call "summary"
 *     both   the one after the other
 *
 * With blocks, tasks and returning every phase is tested right after its own turn, and all again at
 * the end.
 */
#ifndef SONA_TOOLS_REPLAY_STREAM_H
#define SONA_TOOLS_REPLAY_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include <sona/error.h>

#include "tools/dataset.h"

#define SONA_REPLAY_TASKS_MAX    32u
#define SONA_REPLAY_BLOCK        16u /* dimensions permuted together */
#define SONA_REPLAY_DRIFT_FACTOR 0.3f
#define SONA_REPLAY_ROWS         5000u /* default stream, or what the set has */
#define SONA_REPLAY_TASK_ROWS    1200u /* default for one task */
#define SONA_REPLAY_TEST         1000u /* default held-out rows, or a fifth of the set */
#define SONA_REPLAY_DEFAULT      UINT32_MAX

#define SONA_REPLAY_SPREAD    0.3f /* default disagreement of tenants */
#define SONA_REPLAY_NO_TENANT UINT32_MAX

enum sona_replay_kind { SONA_REPLAY_BOTH, SONA_REPLAY_TASTE, SONA_REPLAY_SWAP };

enum sona_replay_order {
    SONA_REPLAY_SHUFFLED,
    SONA_REPLAY_BLOCKS,
    SONA_REPLAY_DRIFT,
    SONA_REPLAY_TASKS,
    SONA_REPLAY_RETURNING
};

struct sona_replay_spec {
    enum sona_replay_order order;
    uint32_t tasks; /* for TASKS and RETURNING, 2..SONA_REPLAY_TASKS_MAX */
    uint32_t rows;  /* of the stream, or of each task; SONA_REPLAY_DEFAULT */
    uint32_t test;  /* held-out rows; SONA_REPLAY_DEFAULT */
    uint64_t seed;
    float lambda;     /* reward = quality - lambda * cost */
    uint32_t tenants; /* 0: none, 1..SONA_TENANTS_MAX */
    float spread;     /* how much they disagree, 0..1 */
    enum sona_replay_kind kind;
};

struct sona_replay_phase {
    uint32_t first, count; /* of sona_replay_stream.row */
    const uint32_t *test;  /* rows this phase is tested on; part of the stream's test rows */
    uint32_t n_test;
    const uint32_t *blocks; /* [dim / SONA_REPLAY_BLOCK] where each block comes from; null: as is */
};

struct sona_replay_stream {
    const struct sona_tools_dataset *set; /* borrowed */
    struct sona_replay_spec spec;         /* with rows and test filled in */
    uint32_t length;
    uint32_t *row;  /* [length] rows of the set */
    uint32_t *test; /* [spec.test] rows of the set */
    uint32_t n_phases;
    struct sona_replay_phase *phase;
    uint32_t *blocks;      /* of all phases */
    uint32_t *tenant;      /* [length] whose row it is; null: nobody's */
    uint32_t *test_tenant; /* [spec.test] */
    float *taste;          /* [tenants][routes] */
    uint32_t *swap;        /* [tenants][routes] the route that stands behind a route */
    uint32_t drift_at;     /* from this step on; length when nothing drifts */
    uint32_t drift_route;
};

/* Mean reward on the stream of those who do not learn. */
struct sona_replay_baselines {
    double best_fixed; /* the best single route */
    double random;     /* every route equally often */
    double oracle;     /* the best route for every row */
    uint32_t best_route;
};

/* The name of an order, as on the command line. */
const char *sona_replay_order_name(enum sona_replay_order order);

/* Lay the stream out. SONA_E_RANGE (more rows than the set has: with the maximum), SONA_E_MEMORY.
 */
sona_err sona_replay_stream_init(struct sona_replay_stream *ret,
                                 const struct sona_tools_dataset *set,
                                 const struct sona_replay_spec *spec, sona_diag *reterr);
void sona_replay_stream_done(struct sona_replay_stream *stream);

/* The embedding of a row of the set as `phase` shows it: dim floats. */
void sona_replay_stream_x(const struct sona_replay_stream *stream,
                          const struct sona_replay_phase *phase, uint32_t row, float *ret);
/* Whose row it is that comes at `step`; SONA_REPLAY_NO_TENANT. */
uint32_t sona_replay_stream_tenant(const struct sona_replay_stream *stream, uint32_t step);
/* The same for a row out of the test rows of a phase. */
uint32_t sona_replay_stream_test_tenant(const struct sona_replay_stream *stream,
                                        const uint32_t *test);
/* The key of a tenant, as a router would be told; 0 for SONA_REPLAY_NO_TENANT. */
uint32_t sona_replay_stream_key(uint32_t tenant);
/* What `route` is worth to `tenant` on `row` at `step` of the stream; `step` = length: at the end.
 */
float sona_replay_stream_quality(const struct sona_replay_stream *stream, uint32_t step,
                                 uint32_t row, uint32_t tenant, uint32_t route);
/* The same less lambda times the cost. */
double sona_replay_stream_reward(const struct sona_replay_stream *stream, uint32_t step,
                                 uint32_t row, uint32_t tenant, uint32_t route);

void sona_replay_stream_baselines(const struct sona_replay_stream *stream,
                                  struct sona_replay_baselines *ret);

#endif
