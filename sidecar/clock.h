/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The two clocks of the sidecar: monotonic for everything it decides, wall only for numbering. */
#ifndef SONA_SIDECAR_CLOCK_H
#define SONA_SIDECAR_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t sona_sidecar_now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static inline uint64_t sona_sidecar_now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static inline uint64_t sona_sidecar_now_ms(void)
{
    return sona_sidecar_now_us() / 1000;
}

static inline uint64_t sona_sidecar_wall_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

#endif
