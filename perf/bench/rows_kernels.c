/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The kernels beside the roofline: the same bytes loaded and stored where they lie, or as many
 * multiply-adds, whichever takes longer. Every kernel is measured through the table of the row in
 * use; SONA_SIMD=c|avx2|... measures another one.
 */
#include <stdlib.h>

#include "perf/bench/bench.h"
#include "perf/bench/model.h"

#define CENTROIDS 100u

struct kernel {
    const struct sona_kernels *row;
    struct sona_bench_model model;
    uint32_t dim, rank, rows, points;
    const float *a, *b;
    size_t stride;
    float *x, *y, *out;
    float c[SONA_BASE_RANK_MAX];
    struct sona_bench_floor floor;
};

static void measure(struct sona_bench *bench, const struct sona_bench_entry *entry,
                    struct kernel *k, void (*run)(void *, uint32_t))
{
    struct sona_bench_side own = {.what = entry->name, .run = run, .self = k}, floor;

    k->floor.reused = true;
    sona_bench_floor_init(&k->floor);
    floor = (struct sona_bench_side){
        .what = sona_bench_floor_what(&k->floor), .run = sona_bench_floor_run, .self = &k->floor};
    sona_bench_compare(bench, entry->name, &own, &floor, NULL);
    sona_bench_floor_done(&k->floor);
}

/* y = x + s B A x: a = rank rows of A, b of B. */
static void run_adapter(void *self, uint32_t n)
{
    struct kernel *k = self;

    for (uint32_t i = 0; i < n; i++) {
        k->row->dot_rows(k->a, k->stride, k->rank, k->x, k->dim, k->c);
        k->row->expand(k->x, k->b, k->stride, k->c, k->rank, k->y, k->dim);
    }
}

/* entry->a: dim, b: rank, c: 1 for BaseLoRA */
static void adapter(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    struct kernel k = {.row = sona_kernels_active(), .dim = entry->a, .rank = entry->b};
    size_t bytes = k.dim * sizeof(float);

    sona_bench_model_init(&k.model, k.dim, entry->c ? 2 : k.rank, entry->c ? k.rank : 8, 1);
    k.stride = k.model.layout.dim_padded;
    k.a = entry->c ? sona_model_floats(k.model.cold, k.model.layout.base_a)
                   : sona_model_floats(k.model.hot, k.model.layout.micro_a);
    k.b = entry->c ? sona_model_floats(k.model.cold, k.model.layout.base_b)
                   : sona_model_floats(k.model.hot, k.model.layout.micro_b);
    k.x = sona_bench_vectors(1, k.dim, 9);
    k.y = sona_bench_memory(bytes);
    /* x is needed twice: B cannot begin before A is through. */
    k.floor.read = (2 * k.rank * k.stride + 2 * k.dim) * sizeof(float);
    k.floor.written = bytes;
    k.floor.footprint = (2 * k.rank * k.stride + 2 * k.dim) * sizeof(float);
    k.floor.madds = 2ull * k.rank * k.dim;
    measure(bench, entry, &k, run_adapter);
    free(k.x);
    free(k.y);
    sona_bench_model_done(&k.model);
}

static void run_dot(void *self, uint32_t n)
{
    struct kernel *k = self;

    for (uint32_t i = 0; i < n; i++)
        k->out[0] = k->row->dot(k->a, k->x, k->dim);
}

static void run_axpy(void *self, uint32_t n)
{
    struct kernel *k = self;

    for (uint32_t i = 0; i < n; i++)
        k->row->axpy(i & 1 ? 1e-3f : -1e-3f, k->x, k->y, k->dim);
}

static void run_distance(void *self, uint32_t n)
{
    struct kernel *k = self;

    for (uint32_t i = 0; i < n; i++)
        k->out[0] = k->row->distance(k->a, k->x, k->dim);
}

static void run_adagrad(void *self, uint32_t n)
{
    struct kernel *k = self;

    for (uint32_t i = 0; i < n; i++)
        k->out[0] = k->row->adagrad(i & 1 ? 1e-3f : -1e-3f, 1e-3f, 1e-6f, k->x, k->y, k->y + k->dim,
                                    k->dim);
}

/* entry->a: dim; two vectors are read, and for c > 0 of them c written. */
static void vectors(struct sona_bench *bench, const struct sona_bench_entry *entry,
                    void (*run)(void *, uint32_t), uint32_t read, uint32_t written, uint32_t madds)
{
    struct kernel k = {.row = sona_kernels_active(), .dim = entry->a};
    size_t bytes = k.dim * sizeof(float);
    float *a = sona_bench_vectors(1, k.dim, 8);

    k.a = a;
    k.x = sona_bench_vectors(1, k.dim, 9);
    k.y = sona_bench_memory(2 * bytes);
    k.out = sona_bench_memory(64);
    k.floor.read = read * bytes;
    k.floor.written = written * bytes;
    k.floor.footprint = (read > 1 + written ? read : 1 + written) * bytes;
    k.floor.madds = (uint64_t)madds * k.dim;
    measure(bench, entry, &k, run);
    free(a);
    free(k.x);
    free(k.y);
    free(k.out);
}

static void dot(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    vectors(bench, entry, run_dot, 2, 0, 1);
}

static void axpy(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    vectors(bench, entry, run_axpy, 2, 1, 1);
}

static void distance(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    vectors(bench, entry, run_distance, 2, 0, 1);
}

static void adagrad(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    vectors(bench, entry, run_adagrad, 3, 2, 3);
}

static void run_rows(void *self, uint32_t n)
{
    struct kernel *k = self;

    for (uint32_t i = 0; i < n; i++)
        for (uint32_t p = 0; p < k->points; p++)
            k->row->dot_rows(k->a, k->dim, k->rows, k->x + (size_t)p * k->dim, k->dim,
                             k->out + (size_t)p * k->rows);
}

/* entry->a: dim, b: rows, c: points that meet all of them (0: 1) */
static void rows(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    struct kernel k = {.row = sona_kernels_active(), .dim = entry->a, .rows = entry->b};
    float *a = sona_bench_vectors(k.rows, k.dim, 8);

    k.points = entry->c ? entry->c : 1;
    k.a = a;
    k.x = sona_bench_vectors(k.points, k.dim, 9);
    k.out = sona_bench_memory((size_t)k.rows * k.points * sizeof *k.out);
    /* Read once, at least: whatever is shared between the points may stay in registers. */
    k.floor.read = ((size_t)k.rows + k.points) * k.dim * sizeof(float);
    k.floor.written = (size_t)k.rows * k.points * sizeof(float);
    k.floor.madds = (uint64_t)k.rows * k.dim * k.points;
    measure(bench, entry, &k, run_rows);
    free(a);
    free(k.x);
    free(k.out);
}

#define ADAPTER(kind, rank, dim, base, help)                                      \
    {                                                                             \
        "kernel/" kind "/r" #rank "/" #dim, adapter, dim, rank, base, false, help \
    }

const struct sona_bench_entry sona_bench_kernel_entries[] = {
    ADAPTER("micro", 1, 256, 0, "y = x + s B A x, one rank"),
    ADAPTER("micro", 2, 256, 0, "the same, two ranks"),
    ADAPTER("micro", 1, 768, 0, ""),
    ADAPTER("micro", 2, 768, 0, ""),
    ADAPTER("micro", 1, 1536, 0, ""),
    ADAPTER("micro", 2, 1536, 0, ""),
    ADAPTER("micro", 1, 4096, 0, ""),
    ADAPTER("micro", 2, 4096, 0, ""),
    ADAPTER("base", 4, 256, 1, "the same, ranks of BaseLoRA"),
    ADAPTER("base", 8, 256, 1, ""),
    ADAPTER("base", 16, 256, 1, ""),
    ADAPTER("base", 4, 768, 1, ""),
    ADAPTER("base", 8, 768, 1, ""),
    ADAPTER("base", 16, 768, 1, ""),
    ADAPTER("base", 8, 1536, 1, ""),
    ADAPTER("base", 8, 4096, 1, ""),
    {"kernel/dot/256", dot, 256, 0, 0, false, "one dot product"},
    {"kernel/dot/1536", dot, 1536, 0, 0, false, ""},
    {"kernel/axpy/256", axpy, 256, 0, 0, false, "y += a x"},
    {"kernel/axpy/1536", axpy, 1536, 0, 0, false, ""},
    {"kernel/distance/256", distance, 256, 0, 0, false, "sum (x - y)^2"},
    {"kernel/distance/1536", distance, 1536, 0, 0, false, ""},
    {"kernel/adagrad/256", adagrad, 256, 0, 0, false, "a step of a route's head"},
    {"kernel/adagrad/1536", adagrad, 1536, 0, 0, false, ""},
    {"kernel/heads/256/9", rows, 256, 18, 0, false, "two heads for each of 9 routes"},
    {"kernel/heads/1536/90", rows, 1536, 180, 0, false, ""},
    {"kernel/rows/256/100", rows, 256, CENTROIDS, 0, false, "one query, 100 centroids"},
    {"kernel/rows/256/10000", rows, 256, 10000, 0, false, "one query, 10,000 centroids"},
    {"kernel/assign/256/100", rows, 256, CENTROIDS, 64, false, "64 points, 100 centroids: k-means"},
    {"growth/micro/dim/64", adapter, 64, 2, 0, true, ""},
    {"growth/micro/dim/256", adapter, 256, 2, 0, true, ""},
    {"growth/micro/dim/1024", adapter, 1024, 2, 0, true, ""},
    {"growth/micro/dim/4096", adapter, 4096, 2, 0, true, ""},
    {NULL, NULL, 0, 0, 0, false, NULL},
};
