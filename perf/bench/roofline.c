/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "perf/bench/roofline.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "engine/kernels/kernels.h"
#include "perf/bench/bench.h"
#include "tools/sample.h"

typedef float vec4 __attribute__((vector_size(16)));
typedef float vec8 __attribute__((vector_size(32)));
typedef float vec16 __attribute__((vector_size(64)));

static bool always(void)
{
    return true;
}

#define VEC  vec4
#define NAME plain
#define TARGET
#if defined(__aarch64__)
#define KEEP          "w"
#define MADD(a, b, c) (vec4) vfmaq_f32((float32x4_t)(c), (float32x4_t)(a), (float32x4_t)(b))
#elif defined(__x86_64__)
#define KEEP          "x"
#define MADD(a, b, c) ((a) * (b) + (c))
#else
#define KEEP          "m"
#define MADD(a, b, c) ((a) * (b) + (c))
#endif
#include "perf/bench/probe_lanes.h"

#if defined(__x86_64__)
#define VEC           vec8
#define NAME          avx2
#define TARGET        __attribute__((target("avx2,fma")))
#define KEEP          "x"
#define MADD(a, b, c) (vec8) _mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c))
#include "perf/bench/probe_lanes.h"

#define VEC           vec16
#define NAME          avx512
#define TARGET        __attribute__((target("avx512f")))
#define KEEP          "v"
#define MADD(a, b, c) (vec16) _mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c))
#include "perf/bench/probe_lanes.h"

static bool has_avx2(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f");
}

static const struct sona_bench_probe probe_avx2 = {"avx2",    32,         has_avx2,
                                                   load_avx2, store_avx2, madd_avx2};
static const struct sona_bench_probe probe_avx512 = {"avx512",    64,           has_avx512,
                                                     load_avx512, store_avx512, madd_avx512};
#endif

static const struct sona_bench_probe probe_plain = {
#if defined(__aarch64__)
    "neon",
#else
    "c",
#endif
    16,     always, load_plain, store_plain, madd_plain};

const struct sona_bench_probe *const *sona_bench_probes(void)
{
    static const struct sona_bench_probe *const all[] = {
#if defined(__x86_64__)
        &probe_avx512,
        &probe_avx2,
#endif
        &probe_plain,
        NULL
    };

    return all;
}

const struct sona_bench_probe *sona_bench_probe_active(void)
{
    const char *row = sona_kernels_active()->name;

    for (const struct sona_bench_probe *const *p = sona_bench_probes(); *p; p++)
        if (strcmp((*p)->name, row) == 0 && (*p)->usable())
            return *p;
    return &probe_plain;
}

void sona_bench_floor_run(void *self, uint32_t n)
{
    struct sona_bench_floor *floor = self;
    const struct sona_bench_probe *probe = floor->probe;
    volatile float kept;

    switch (floor->limit) {
    case SONA_BENCH_LOADS:
        (void)probe->load(floor->memory, floor->near_bytes, 0, n * (uint64_t)floor->near);
        floor->at = probe->load(floor->memory, floor->bytes, floor->at,
                                n * (uint64_t)(floor->read - floor->near));
        break;
    case SONA_BENCH_STORES:
        floor->at =
            probe->store(floor->memory, floor->bytes, floor->at, n * (uint64_t)floor->written);
        break;
    case SONA_BENCH_MADDS:
        kept = probe->madd(n * floor->madds / (8 * probe->bytes / sizeof(float)));
        (void)kept;
        break;
    }
}

/* The least time of several tries of the floor, as it is set. */
static uint64_t least_ns(struct sona_bench_floor *floor)
{
    uint64_t least = UINT64_MAX;
    size_t bytes = floor->read + floor->written;
    uint32_t n = bytes > 0 && bytes < (1u << 18) ? (uint32_t)((1u << 18) / bytes) : 1;

    for (int try = 0; try < 20; try++) {
        uint64_t start = sona_tools_now_ns(), ns;

        sona_bench_floor_run(floor, n);
        ns = sona_tools_now_ns() - start;
        least = ns < least ? ns : least;
    }
    return least;
}

void sona_bench_floor_init(struct sona_bench_floor *floor)
{
    size_t l1 = sona_bench_cache_bytes(1), touched = floor->footprint;
    uint64_t best = 0;
    int limit = SONA_BENCH_LOADS;

    if (touched == 0)
        touched = floor->read + floor->written;
    if (floor->probe == NULL)
        floor->probe = sona_bench_probe_active();
    touched = touched < l1 ? l1 / 2 : touched;
    floor->bytes =
        (touched + SONA_BENCH_PROBE_STEP - 1) / SONA_BENCH_PROBE_STEP * SONA_BENCH_PROBE_STEP;
    floor->near_bytes = l1 / 2;
    floor->near = floor->at = 0;
    if (floor->reused && touched > l1)
        floor->near = floor->read * l1 / touched;
    floor->memory = sona_bench_memory(floor->bytes);
    for (int candidate = SONA_BENCH_LOADS; candidate <= SONA_BENCH_MADDS; candidate++) {
        floor->limit = candidate;
        uint64_t ns = least_ns(floor);

        if (ns > best) {
            best = ns;
            limit = candidate;
        }
    }
    floor->limit = limit;
}

void sona_bench_floor_done(struct sona_bench_floor *floor)
{
    free(floor->memory);
    floor->memory = NULL;
}

const char *sona_bench_floor_what(const struct sona_bench_floor *floor)
{
    return floor->limit == SONA_BENCH_LOADS    ? "roofline: bytes loaded"
           : floor->limit == SONA_BENCH_STORES ? "roofline: bytes stored"
                                               : "roofline: multiply-adds";
}

size_t sona_bench_cache_bytes(uint32_t level)
{
    static const size_t usual[] = {32u << 10, 1u << 20, 16u << 20};
    long bytes = -1;

#if defined(_SC_LEVEL1_DCACHE_SIZE)
    static const int name[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE,
                               _SC_LEVEL3_CACHE_SIZE};

    bytes = sysconf(name[level - 1]);
#endif
    return bytes > 0 ? (size_t)bytes : usual[level - 1];
}
