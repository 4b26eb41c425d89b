/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Publishing a snapshot, in process: how long the learner's thread is held up, whatever readers do.
 * Each publication is timed by itself, since its tail is what counts.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "perf/bench/bench.h"
#include "shm/publisher.h"
#include "tools/sample.h"

struct publish {
    struct sona_shm_publisher *publisher;
    struct sona_shm_image image;
    char *from, *to;
    size_t bytes;
    uint64_t step;
};

static uint64_t now_ms(void)
{
    return sona_tools_now_ns() / 1000000u;
}

static void run_publish(void *self, uint32_t n)
{
    struct publish *p = self;
    struct sona_shm_published done;

    for (uint32_t i = 0; i < n; i++) {
        p->image.step = ++p->step;
        sona_shm_publisher_publish(p->publisher, &p->image, false, now_ms(), &done);
        if (done.id == 0)
            sona_bench_die("a publication was put off, although nobody reads");
    }
}

static void run_copy(void *self, uint32_t n)
{
    struct publish *p = self;

    for (uint32_t i = 0; i < n; i++) {
        memcpy(p->to, p->from, p->bytes);
        __asm__ volatile("" ::: "memory");
    }
}

static void open_segment(struct publish *p)
{
    struct timespec wall;
    struct sona_shm_segment_options options = {.geometry = {.dim = 256,
                                                            .routes_max = 16,
                                                            .micro_rank = 2,
                                                            .base_rank = 8,
                                                            .layers = 1,
                                                            .patterns_max = 100},
                                               .hot_bytes = p->bytes,
                                               .cold_bytes = 4096};
    struct sona_shm_published done;
    char name[SONA_BENCH_NAME_MAX];
    sona_diag diag;

    (void)snprintf(name, sizeof name, "bench-%d", (int)getpid());
    (void)clock_gettime(CLOCK_REALTIME, &wall);
    options.instance = name;
    options.wall_us = (uint64_t)wall.tv_sec * 1000000u + (uint64_t)wall.tv_nsec / 1000u;
    if (sona_shm_publisher_create(&p->publisher, &options, &diag) != SONA_OK)
        sona_bench_die("%s", diag.text);
    if (!sona_shm_publisher_reserve_cold(p->publisher, now_ms()))
        sona_bench_die("a new segment has no free cold slot");
    p->image = (struct sona_shm_image){
        .bytes = p->from, .size = p->bytes, .dense_bytes = p->bytes, .step = ++p->step};
    sona_shm_publisher_publish(p->publisher, &p->image, true, now_ms(), &done);
}

/* entry->a: KiB of the hot half, all of it changed each time */
static void publish(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    struct publish *p = sona_bench_memory(sizeof *p);
    struct sona_bench_measured *m = sona_bench_memory(2 * sizeof *m);
    struct sona_bench_row row;

    p->bytes = (size_t)entry->a << 10;
    p->from = sona_bench_memory(p->bytes);
    p->to = sona_bench_memory(p->bytes);
    open_segment(p);
    struct sona_bench_side sides[2] = {
        {.what = entry->name, .run = run_publish, .self = p, .block = 1},
        {.what = "the same bytes copied", .run = run_copy, .self = p, .block = 1}};

    if (bench->pin)
        (void)sona_bench_pin(true);
    if (!sona_bench_measure(sides, 2, &bench->budget, m))
        sona_bench_die("not enough memory for the rounds of a comparison");
    if (bench->pin)
        (void)sona_bench_pin(false);
    sona_bench_row_compared(&row, entry->name, &m[0], sides[1].what, &m[1]);
    row.p999 = sona_bench_histogram_percentile(&m[0].ps, 0.999) / 1000;
    row.max = sona_bench_histogram_percentile(&m[0].ps, 1) / 1000;
    (void)snprintf(row.note, sizeof row.note, "each timed by itself, no clients");
    bench->report(bench, &row);
    sona_shm_publisher_destroy(&p->publisher, true);
    free(m);
    free(p->from);
    free(p->to);
    free(p);
}

const struct sona_bench_entry sona_bench_publish_entries[] = {
    {"publish/64k", publish, 64, 0, 0, false, "a snapshot of 64 KiB, all changed"},
    {"publish/1024k", publish, 1024, 0, 0, false, "of 1 MiB"},
    {NULL, NULL, 0, 0, 0, false, NULL},
};
