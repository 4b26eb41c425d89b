/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The tools' own random numbers: which rows a run sees, in which order, and which outcomes are
 * told. A counter through a mixer, so that one seed gives one stream on every machine. It is kept
 * apart from the learner's draws: another learner must be shown the same rows.
 */
#ifndef SONA_TOOLS_RANDOM_H
#define SONA_TOOLS_RANDOM_H

#include <stdint.h>

struct sona_tools_random {
    uint64_t state;
};

/* The next 64 bits. */
static inline uint64_t sona_tools_random_next(struct sona_tools_random *random)
{
    uint64_t h = random->state += 0x9e3779b97f4a7c15ull;

    h = (h ^ h >> 32) * 0x6a09e667f3bcc909ull;
    h = (h ^ h >> 29) * 0xbb67ae8584caa73bull;
    return h ^ h >> 32;
}

/* A stream for one purpose of one seed: `purpose` keeps the streams of a seed apart. */
static inline struct sona_tools_random sona_tools_random_init(uint64_t seed, uint64_t purpose)
{
    struct sona_tools_random random = {seed};

    random.state = sona_tools_random_next(&random) + purpose * 0x3c6ef372fe94f82bull;
    return random;
}

/* A number below n (n > 0). The bias is under n / 2^32, far below what a run can show. */
static inline uint32_t sona_tools_random_below(struct sona_tools_random *random, uint32_t n)
{
    return (uint32_t)((sona_tools_random_next(random) >> 32) * n >> 32);
}

/* A number in [0, 1). */
static inline double sona_tools_random_unit(struct sona_tools_random *random)
{
    return (double)(sona_tools_random_next(random) >> 11) * 0x1p-53;
}

/* Put `order` into a random order, all orders equally likely. */
static inline void sona_tools_random_shuffle(struct sona_tools_random *random, uint32_t *order,
                                             uint32_t n)
{
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = sona_tools_random_below(random, i);
        uint32_t t = order[i - 1];

        order[i - 1] = order[j];
        order[j] = t;
    }
}

#endif
