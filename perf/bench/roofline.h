/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What the machine can do at most: how fast bytes come from each level of the memory, and how many
 * multiply-adds fit into a nanosecond. The probes do nothing else: loads that no arithmetic waits
 * for, stores of one register, independent chains of multiply-adds; as wide as the kernel row in
 * use, or as wide as the processor has it.
 */
#ifndef SONA_PERF_BENCH_ROOFLINE_H
#define SONA_PERF_BENCH_ROOFLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SONA_BENCH_PROBE_STEP 1024u

/* A width of the probes. */
struct sona_bench_probe {
    const char *name; /* of the kernel row with this width */
    uint32_t bytes;   /* of a vector */
    bool (*usable)(void);
    /* `total` bytes from `at` on, around and around in a buffer; its size and `at` are multiples of
     * SONA_BENCH_PROBE_STEP. Returns where to go on. */
    size_t (*load)(char *buffer, size_t size, size_t at, uint64_t total);
    size_t (*store)(char *buffer, size_t size, size_t at, uint64_t total);
    /* `steps` times 8 chains, each a multiply-add of bytes / 4 floats. */
    float (*madd)(uint64_t steps);
};

/* All that are compiled in, widest first; null-terminated. */
const struct sona_bench_probe *const *sona_bench_probes(void);
/* The one as wide as the kernel row in use. */
const struct sona_bench_probe *sona_bench_probe_active(void);

/*
 * The least that an operation can take: its bytes at the rate at which they come from where they
 * lie, or go there, or its multiply-adds, whichever takes longest; loads, stores and arithmetic
 * overlap at best. The rate is measured in turns with the operation, over a buffer as large as what
 * the operation keeps touching: a small one over half of the first cache, so that the ends of a
 * short loop do not count as bandwidth. What is a little larger than the first cache can keep most
 * of itself there, if it is used in the best order: then only the rest has the rate of the second.
 */
struct sona_bench_floor {
    const struct sona_bench_probe *probe; /* null: the one of the row in use */
    size_t read, written;                 /* bytes of one operation */
    size_t footprint;                     /* bytes that it keeps touching; 0: read + written */
    bool reused; /* as much of them as fits may stay in the first cache: the rest comes from afar */
    uint64_t madds; /* multiply-adds of floats */
    enum { SONA_BENCH_LOADS, SONA_BENCH_STORES, SONA_BENCH_MADDS } limit;
    char *memory; /* owned */
    size_t bytes, near_bytes, at;
    size_t near; /* of `read`, those that never leave the first cache */
};
/* Find out which of them it is. The numbers above are the caller's. */
void sona_bench_floor_init(struct sona_bench_floor *floor);
void sona_bench_floor_done(struct sona_bench_floor *floor);
/* In words, for a report. */
const char *sona_bench_floor_what(const struct sona_bench_floor *floor);
/* Run the floor n times: a side of a comparison, `self` a floor. */
void sona_bench_floor_run(void *self, uint32_t n);

/* Bytes of the caches, as the system says, or a usual size. level 1..3 */
size_t sona_bench_cache_bytes(uint32_t level);

#endif
