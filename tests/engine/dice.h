/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Random numbers for tests. The seed is SONA_TEST_SEED, else the clock's; it is printed, and
 * belongs into the message of every assertion that can fail because of it.
 */
#ifndef SONA_TESTS_ENGINE_DICE_H
#define SONA_TESTS_ENGINE_DICE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct dice {
    uint64_t seed;
    uint64_t state;
};

static inline struct dice dice_open(const char *test)
{
    const char *wanted = getenv("SONA_TEST_SEED");
    struct timespec now;
    struct dice dice;

    clock_gettime(CLOCK_REALTIME, &now);
    dice.seed = wanted != NULL ? strtoull(wanted, NULL, 10)
                               : (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
    dice.state = dice.seed;
    fprintf(stderr, "%s: SONA_TEST_SEED=%llu\n", test, (unsigned long long)dice.seed);
    return dice;
}

/* 64 uniform bits: a Weyl sequence through two rounds of xor and multiply. */
static inline uint64_t dice_next(struct dice *dice)
{
    uint64_t z = dice->state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 31) * 0xa0761d6478bd642fu;
    z = (z ^ z >> 29) * 0xe7037ed1a0b428dbu;
    return z ^ z >> 32;
}

/* Uniform in 0..n-1. */
static inline uint32_t dice_below(struct dice *dice, uint32_t n)
{
    return (uint32_t)((dice_next(dice) >> 32) * n >> 32);
}

/* Uniform in [0, 1). */
static inline float dice_unit(struct dice *dice)
{
    return (float)(dice_next(dice) >> 40) * 0x1p-24f;
}

/* Uniform in [-1, 1). */
static inline float dice_signed(struct dice *dice)
{
    return 2 * dice_unit(dice) - 1;
}

#endif
