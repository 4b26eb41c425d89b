/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A router's calls against a live sidecar, each beside the least that it must do: an adapter's call
 * beside its kernel, a decision beside one stream over the rows it reads, an event beside the copy
 * of its record.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kernels/kernels.h"
#include "perf/bench/live.h"
#include "perf/bench/model.h"
#include "shm/layout.h"
#include "shm/record.h"

#define EVENTS    256u /* of a block: a quarter of the ring */
#define UNDRAINED 800u /* of a block while nobody takes any */
#define BATCH     32u
#define ATTENTION 64u

struct call {
    struct sona_bench_live *live;
    uint32_t dim, layer, n, k;
    const float *x;
    float *y;
    bool fresh; /* another query each time */
    struct sona_bench_model model;
    uint32_t rank;
    float c[SONA_BASE_RANK_MAX];
    bool base;
    uint64_t id[UNDRAINED];
    /* records that nobody reads */
    char *ring;
    uint32_t stride, slot;
    _Atomic uint64_t tail;
    float step[ATTENTION];
    sona_pattern found[16];
};

static void init(struct call *c, struct sona_bench *bench, const struct sona_bench_shape *shape)
{
    memset(c, 0, sizeof *c);
    c->live = sona_bench_live_get(bench, shape);
    c->dim = shape->dim;
    c->x = c->live->x;
    c->y = sona_bench_memory((size_t)BATCH * c->dim * sizeof *c->y);
}

static void expect(sona_err err)
{
    if (err != SONA_OK)
        sona_bench_die("a call was refused: %s", sona_err_text(err));
}

static void run_micro(void *self, uint32_t n)
{
    struct call *c = self;

    for (uint32_t i = 0; i < n; i++)
        expect(sona_apply_micro(c->live->lane, c->x, c->dim, c->y, NULL));
}

static void run_base(void *self, uint32_t n)
{
    struct call *c = self;

    for (uint32_t i = 0; i < n; i++)
        expect(sona_apply_base(c->live->lane, c->layer, c->x, c->dim, c->y, NULL));
}

static void run_apply(void *self, uint32_t n)
{
    struct call *c = self;

    for (uint32_t i = 0; i < n; i++)
        expect(sona_apply(c->live->lane, c->x, c->dim, c->y, NULL));
}

/* The kernel alone, on a block of the same shape in private memory. */
static void run_kernel(void *self, uint32_t n)
{
    struct call *c = self;
    const struct sona_kernels *row = sona_kernels_active();
    const struct sona_model_layout *l = &c->model.layout;
    const float *a = c->base ? sona_model_floats(c->model.cold, l->base_a)
                             : sona_model_floats(c->model.hot, l->micro_a);
    const float *b = c->base ? sona_model_floats(c->model.cold, l->base_b)
                             : sona_model_floats(c->model.hot, l->micro_b);

    for (uint32_t i = 0; i < n; i++) {
        row->dot_rows(a, l->dim_padded, c->rank, c->x, c->dim, c->c);
        row->expand(c->x, b, l->dim_padded, c->c, c->rank, c->y, c->dim);
    }
}

/* entry->a: dim, b: rank of MicroLoRA (0: BaseLoRA layer 0, rank 8) */
static void adapter(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    struct sona_bench_shape shape = {.dim = entry->a, .routes = 9, .micro_rank = entry->b};
    struct sona_bench_side own = {.what = entry->name, .run = entry->b ? run_micro : run_base};
    struct sona_bench_side floor = {.what = "its kernel alone", .run = run_kernel};
    struct call *c = sona_bench_memory(sizeof *c);

    if (entry->b == 2)
        shape.micro_rank = 0;
    init(c, bench, &shape);
    c->base = entry->b == 0;
    c->rank = c->base ? 8 : entry->b;
    sona_bench_model_init(&c->model, c->dim, c->base ? 2 : c->rank, 8, 1);
    own.self = floor.self = c;
    sona_bench_compare(bench, entry->name, &own, &floor, NULL);
    sona_bench_model_done(&c->model);
    free(c->y);
    free(c);
}

static void both(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    struct sona_bench_side own = {.what = entry->name, .run = run_apply};
    struct call *c = sona_bench_memory(sizeof *c);

    init(c, bench, &(struct sona_bench_shape){.dim = entry->a, .routes = 9});
    own.self = c;
    sona_bench_compare(bench, entry->name, &own, NULL, NULL);
    free(c->y);
    free(c);
}

static void run_batch(void *self, uint32_t n)
{
    struct call *c = self;

    for (uint32_t i = 0; i < n; i++)
        expect(sona_apply_micro_batch(c->live->lane, BATCH, c->x, c->dim, c->y, NULL));
}

static void run_singles(void *self, uint32_t n)
{
    struct call *c = self;

    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < BATCH; k++)
            expect(sona_apply_micro(c->live->lane, c->x + (size_t)k * c->dim, c->dim,
                                    c->y + (size_t)k * c->dim, NULL));
}

static void batch(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    struct sona_bench_side own = {.what = entry->name, .run = run_batch};
    struct sona_bench_side floor = {.what = "32 calls, one vector each", .run = run_singles};
    struct call *c = sona_bench_memory(sizeof *c);

    init(c, bench, &(struct sona_bench_shape){.dim = entry->a, .routes = 9});
    own.self = floor.self = c;
    sona_bench_compare(bench, entry->name, &own, &floor, NULL);
    free(c->y);
    free(c);
}

static void before_events(void *self, uint32_t n)
{
    struct call *c = self;

    (void)n;
    sona_bench_live_drain(c->live);
}

static void run_decide(void *self, uint32_t n)
{
    struct call *c = self;
    sona_decision d;

    for (uint32_t i = 0; i < n; i++)
        expect(sona_decide(c->live->lane, sona_bench_live_query(c->live), c->dim, NULL, &d));
}

static void run_score(void *self, uint32_t n)
{
    struct call *c = self;
    float scores[SONA_ROUTES_MAX];

    for (uint32_t i = 0; i < n; i++)
        expect(sona_score(c->live->lane, sona_bench_live_query(c->live), c->dim, scores,
                          SONA_ROUTES_MAX, NULL));
}

/* Beside one stream over the bytes that a decision reads. */
static void decide(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    struct call *c = sona_bench_memory(sizeof *c);
    struct sona_bench_side own = {.what = entry->name,
                                  .run = entry->c ? run_score : run_decide,
                                  .before = entry->c ? NULL : before_events,
                                  .self = c,
                                  .block_max = entry->c ? 0 : EVENTS};
    struct sona_bench_floor floor = {0};
    struct sona_bench_side stream = {
        .what = "one stream over what it reads", .run = sona_bench_floor_run, .self = &floor};

    init(c, bench, &(struct sona_bench_shape){.dim = entry->a, .routes = entry->b});
    floor.read = sona_bench_live_decision_bytes(c->live);
    sona_bench_floor_init(&floor);
    sona_bench_compare(bench, entry->name, &own, &stream, NULL);
    sona_bench_floor_done(&floor);
    free(c->y);
    free(c);
}

/* As many decisions as will be told of. */
static void before_outcomes(void *self, uint32_t n)
{
    struct call *c = self;

    for (uint32_t i = 0; i < n; i++) {
        sona_decision d;

        if (i % EVENTS == 0)
            sona_bench_live_drain(c->live);
        expect(sona_decide(c->live->lane, sona_bench_live_query(c->live), c->dim, NULL, &d));
        c->id[i] = d.id;
    }
    sona_bench_live_drain(c->live);
}

static void run_outcome(void *self, uint32_t n)
{
    struct call *c = self;

    for (uint32_t i = 0; i < n; i++)
        expect(sona_outcome(c->live->lane, c->id[i], 0.5f, NULL));
}

/* The sidecar is stopped from before the first block on, but for making room. */
static void before_undrained(void *self, uint32_t n)
{
    struct call *c = self;

    (void)n;
    sona_bench_live_hold(c->live, false);
    sona_bench_live_drain(c->live);
    sona_bench_live_hold(c->live, true);
}

/* What an event cannot do without: its 64 bytes, written where the next record is, and the index
 * that tells of it. */
static void run_record(void *self, uint32_t n)
{
    struct call *c = self;

    for (uint32_t i = 0; i < n; i++) {
        struct sona_record *record = (void *)(c->ring + (size_t)c->slot * c->stride);
        uint64_t tail = atomic_load_explicit(&c->tail, memory_order_relaxed);

        *record = (struct sona_record){.magic = SONA_RECORD_MAGIC, .lane_seq = tail, .id = i};
        /* Release: as the ring's index; nobody reads it. */
        atomic_store_explicit(&c->tail, tail + 1, memory_order_release);
        c->slot = (c->slot + 1) % SONA_SHM_RING_SLOTS;
    }
}

static void make_ring(struct call *c)
{
    sona_geometry g = {.dim = c->dim, .attention_dim = ATTENTION};

    c->stride = sona_record_stride(&g);
    c->ring = sona_bench_memory((size_t)c->stride * SONA_SHM_RING_SLOTS);
}

/* entry->b: 1 while nobody drains */
static void outcome(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    struct call *c = sona_bench_memory(sizeof *c);
    struct sona_bench_side own = {.what = entry->name,
                                  .run = run_outcome,
                                  .before = entry->b ? before_undrained : before_outcomes,
                                  .self = c,
                                  .block = entry->b ? UNDRAINED : EVENTS};
    struct sona_bench_side floor = {
        .what = "its record copied", .run = run_record, .self = c, .block = own.block};

    init(c, bench, &(struct sona_bench_shape){.dim = entry->a, .routes = 9});
    make_ring(c);
    if (entry->b) {
        before_outcomes(c, UNDRAINED);
        sona_bench_live_hold(c->live, true);
    }
    sona_bench_compare(bench, entry->name, &own, &floor, NULL);
    if (entry->b)
        sona_bench_live_hold(c->live, false);
    free(c->ring);
    free(c->y);
    free(c);
}

static void run_trajectory(void *self, uint32_t n)
{
    struct call *c = self;
    sona_step step = {.n_activations = c->dim,
                      .attention = c->step,
                      .n_attention = ATTENTION,
                      .reward = 0.5f,
                      .rewarded = true};

    for (uint32_t i = 0; i < n; i++) {
        uint64_t id;

        step.activations = sona_bench_live_query(c->live);
        expect(sona_trajectory_begin(c->live->lane, step.activations, c->dim, &id));
        expect(sona_trajectory_step(c->live->lane, id, &step));
        expect(sona_trajectory_end(c->live->lane, id, 0.5f));
    }
}

static char *next_record(struct call *c)
{
    char *record = c->ring + (size_t)c->slot * c->stride;

    c->slot = (c->slot + 1) % SONA_SHM_RING_SLOTS;
    return record;
}

/* Three records: the query; activations and attention; the end. */
static void run_copies(void *self, uint32_t n)
{
    struct call *c = self;
    size_t bytes = c->dim * sizeof(float);

    for (uint32_t i = 0; i < n; i++) {
        const float *x = sona_bench_live_query(c->live);
        char *begin = next_record(c), *step = next_record(c), *end = next_record(c);

        memset(begin, 0, sizeof(struct sona_record));
        memcpy(sona_record_floats(begin), x, bytes);
        memset(step, 0, sizeof(struct sona_record));
        memcpy(sona_record_floats(step), x, bytes);
        memcpy(sona_record_floats(step) + c->dim, c->step, sizeof c->step);
        memset(end, 0, sizeof(struct sona_record));
        /* Release: as the ring's index; nobody reads it. */
        atomic_store_explicit(&c->tail, i, memory_order_release);
    }
}

static void trajectory(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    struct call *c = sona_bench_memory(sizeof *c);
    struct sona_bench_side own = {.what = entry->name,
                                  .run = run_trajectory,
                                  .before = before_events,
                                  .self = c,
                                  .block_max = EVENTS};
    struct sona_bench_side floor = {
        .what = "its three records copied", .run = run_copies, .self = c};

    init(c, bench, &(struct sona_bench_shape){.dim = entry->a, .routes = 9});
    make_ring(c);
    for (uint32_t i = 0; i < ATTENTION; i++)
        c->step[i] = 1.0f / ATTENTION;
    sona_bench_compare(bench, entry->name, &own, &floor, NULL);
    free(c->ring);
    free(c->y);
    free(c);
}

static void run_find(void *self, uint32_t n)
{
    struct call *c = self;

    for (uint32_t i = 0; i < n; i++)
        expect(sona_find_patterns(c->live->lane, sona_bench_live_query(c->live), c->dim, c->k,
                                  c->found, &c->n));
}

/* Beside one stream over what it reads of the patterns that the bank holds. */
static void find(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    struct call *c = sona_bench_memory(sizeof *c);
    struct sona_bench_side own = {.what = entry->name,
                                  .run = run_find,
                                  .before = before_events,
                                  .self = c,
                                  .block_max = EVENTS};
    struct sona_bench_floor floor = {0};
    struct sona_bench_side stream = {
        .what = "one stream over what it reads", .run = sona_bench_floor_run, .self = &floor};

    init(c, bench, &(struct sona_bench_shape){.dim = entry->b, .routes = 9, .patterns = entry->a});
    c->k = 5;
    floor.read = sona_bench_live_search_bytes(
        c->live, (uint32_t)sona_bench_live_counter(c->live, "patterns"), c->k);
    sona_bench_floor_init(&floor);
    sona_bench_compare(bench, entry->name, &own, &stream, NULL);
    sona_bench_floor_done(&floor);
    free(c->y);
    free(c);
}

const struct sona_bench_entry sona_bench_call_entries[] = {
    {"apply/micro/256", adapter, 256, 2, 0, false, "sona_apply_micro(), and its kernel alone"},
    {"apply/micro/768", adapter, 768, 2, 0, false, ""},
    {"apply/micro/1536", adapter, 1536, 2, 0, false, ""},
    {"apply/micro/4096", adapter, 4096, 2, 0, false, ""},
    {"apply/micro/256/r1", adapter, 256, 1, 0, false, "the same with one rank"},
    {"apply/base/256", adapter, 256, 0, 0, false, "sona_apply_base(), rank 8"},
    {"apply/base/768", adapter, 768, 0, 0, false, ""},
    {"apply/both/256", both, 256, 0, 0, false, "sona_apply()"},
    {"apply/batch32/256", batch, 256, 0, 0, false, "32 vectors in one call, and in 32"},
    {"apply/batch32/1536", batch, 1536, 0, 0, false, ""},
    {"decide/256/9", decide, 256, 9, 0, false, "sona_decide() with a live consumer"},
    {"decide/1536/90", decide, 1536, 90, 0, false, ""},
    {"score/256/9", decide, 256, 9, 1, false, "sona_score(): no draw, no record"},
    {"outcome/256", outcome, 256, 0, 0, false, "sona_outcome() with a live consumer"},
    {"outcome/256/undrained", outcome, 256, 1, 0, false, "the same while nobody drains"},
    {"trajectory/256", trajectory, 256, 0, 0, false, "begin + step of 256 + 64 floats + end"},
    {"patterns/100/256", find, 100, 256, 0, false, "sona_find_patterns(), k = 5"},
    {NULL, NULL, 0, 0, 0, false, NULL},
};
