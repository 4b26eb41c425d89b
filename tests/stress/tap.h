/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * TAP on stdout for plain main() programs: ThreadSanitizer does not get along with a test framework
 * that forks. Results are reported by the main thread only.
 */
#ifndef SONA_TESTS_STRESS_TAP_H
#define SONA_TESTS_STRESS_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

struct tap {
    int run, failed;
};

__attribute__((format(printf, 3, 4))) static inline void tap_ok(struct tap *tap, bool ok,
                                                                const char *format, ...)
{
    va_list args;

    tap->run++;
    tap->failed += !ok;
    (void)printf("%sok %d - ", ok ? "" : "not ", tap->run);
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)printf("\n");
    (void)fflush(stdout);
}

/* The plan, and the exit status. */
static inline int tap_done(const struct tap *tap)
{
    (void)printf("1..%d\n", tap->run);
    return tap->failed ? 1 : 0;
}

static inline uint64_t tap_now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* xorshift; never 0. */
static inline uint64_t tap_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

#endif
