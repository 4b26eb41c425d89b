/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A publisher of a private instance, a model of plain bytes, and lanes whose hazards a test sets as
 * a reader would. Each Criterion test is a process of its own: the pid makes names private.
 */
#ifndef SONA_TESTS_SHM_PUBLISHER_FIXTURE_H
#define SONA_TESTS_SHM_PUBLISHER_FIXTURE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "shm/publisher.h"

#define FIXTURE_ROWS       8u
#define FIXTURE_ROW_BYTES  64u
#define FIXTURE_DENSE      128u
#define FIXTURE_HOT_BYTES  (FIXTURE_DENSE + 2 * FIXTURE_ROWS * FIXTURE_ROW_BYTES)
#define FIXTURE_COLD_BYTES 256u
#define FIXTURE_LANES      16u
#define FIXTURE_WALL_US    UINT64_C(1800000000000000)

struct fixture {
    struct sona_shm_publisher *publisher;
    struct sona_shm_segment_options options;
    char instance[64];
    const char *map; /* as a client maps it: read-only */
    struct sona_shm_plan plan, lanes_plan;
    char *lanes;
    unsigned char bytes[FIXTURE_HOT_BYTES];
    uint64_t changed_at[2][FIXTURE_ROWS];
    struct sona_shm_image image;
};

static inline struct sona_shm_lane *fixture_lane(struct fixture *f, uint32_t i)
{
    return (void *)(f->lanes + f->lanes_plan.lane_offset + i * f->lanes_plan.lane_stride);
}

static inline void fixture_pin(struct fixture *f, uint32_t lane, uint64_t id)
{
    atomic_store_explicit(&fixture_lane(f, lane)->hazard, id, memory_order_release);
}

static inline uint64_t fixture_cur(const struct fixture *f)
{
    const struct sona_shm_live *live = (const void *)(f->map + SONA_SHM_PAGE);

    return atomic_load_explicit(&live->cur, memory_order_acquire);
}

static inline const struct sona_shm_hot *fixture_hot(const struct fixture *f, uint32_t i)
{
    return (const void *)(f->map + f->plan.hot_offset + i * f->plan.hot_stride);
}

static inline const struct sona_shm_cold *fixture_cold(const struct fixture *f, uint32_t j)
{
    return (const void *)(f->map + f->plan.cold_offset + j * f->plan.cold_stride);
}

static inline uint64_t fixture_hot_seq(const struct fixture *f, uint32_t i)
{
    return atomic_load_explicit(&fixture_hot(f, i)->seq, memory_order_acquire);
}

static inline uint64_t fixture_cold_seq(const struct fixture *f, uint32_t j)
{
    return atomic_load_explicit(&fixture_cold(f, j)->seq, memory_order_acquire);
}

static inline void fixture_options(struct fixture *f, const char *name, uint32_t hot_slots,
                                   uint32_t cold_slots)
{
    memset(f, 0, sizeof *f);
    (void)snprintf(f->instance, sizeof f->instance, "t-%s-%d", name, (int)getpid());
    f->options = (struct sona_shm_segment_options){
        .instance = f->instance,
        .geometry = {.dim = 16,
                     .routes_max = 4,
                     .micro_rank = 2,
                     .base_rank = 4,
                     .layers = 1,
                     .patterns_max = 4,
                     .attention_dim = 0,
                     .flags = SONA_GEOMETRY_NORMALIZE},
        .hot_bytes = FIXTURE_HOT_BYTES,
        .cold_bytes = FIXTURE_COLD_BYTES,
        .hot_slots = hot_slots,
        .cold_slots = cold_slots,
        .wall_us = FIXTURE_WALL_US,
    };
}

static inline void fixture_open(struct fixture *f, const char *name, uint32_t hot_slots,
                                uint32_t cold_slots)
{
    sona_diag diag = {0};

    fixture_options(f, name, hot_slots, cold_slots);
    cr_assert(eq(int, sona_shm_publisher_create(&f->publisher, &f->options, &diag), SONA_OK), "%s",
              diag.text);
    const struct sona_shm_header *header = sona_shm_publisher_header(f->publisher);
    cr_assert(eq(int, sona_shm_header_plan(header, 0, &f->plan), SONA_OK));
    cr_assert(eq(int, sona_shm_header_plan(header, FIXTURE_LANES, &f->lanes_plan), SONA_OK));
    f->map = mmap(NULL, (size_t)f->plan.model_bytes, PROT_READ, MAP_SHARED,
                  sona_shm_publisher_fd(f->publisher), 0);
    cr_assert(ne(ptr, (void *)f->map, MAP_FAILED));
    f->lanes = calloc(1, (size_t)f->lanes_plan.lanes_bytes);
    cr_assert(ne(ptr, f->lanes, NULL));
    cr_assert(
        eq(int, sona_shm_publisher_scan_add(f->publisher, f->lanes, &f->lanes_plan), SONA_OK));
    f->image = (struct sona_shm_image){.bytes = f->bytes,
                                       .size = sizeof f->bytes,
                                       .dense_bytes = FIXTURE_DENSE,
                                       .step = 1,
                                       .n_tables = 2};
    for (uint32_t t = 0; t < 2; t++)
        f->image.table[t] =
            (struct sona_shm_rows){.offset = FIXTURE_DENSE + t * FIXTURE_ROWS * FIXTURE_ROW_BYTES,
                                   .stride = FIXTURE_ROW_BYTES,
                                   .count = FIXTURE_ROWS,
                                   .changed_at = f->changed_at[t]};
}

static inline void fixture_close(struct fixture *f)
{
    sona_shm_publisher_scan_remove(f->publisher, f->lanes);
    free(f->lanes);
    (void)munmap((void *)(uintptr_t)f->map, (size_t)f->plan.model_bytes);
    sona_shm_publisher_destroy(&f->publisher, true);
}

/* Publish the fixture's image at a new step. */
static inline struct sona_shm_published fixture_publish(struct fixture *f, bool with_cold,
                                                        uint64_t now_ms)
{
    struct sona_shm_published published;

    f->image.step++;
    f->bytes[0] = (unsigned char)f->image.step;
    sona_shm_publisher_publish(f->publisher, &f->image, with_cold, now_ms, &published);
    return published;
}

/* The first pair: reserve a cold slot, fill it with `value`, publish both. */
static inline struct sona_shm_published fixture_publish_cold(struct fixture *f, int value,
                                                             uint64_t now_ms)
{
    void *cold = sona_shm_publisher_reserve_cold(f->publisher, now_ms);

    cr_assert(ne(ptr, cold, NULL));
    memset(cold, value, FIXTURE_COLD_BYTES);
    return fixture_publish(f, true, now_ms);
}

#endif
