/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What the targets share: an input read from its front, where reading beyond its end gives zeros,
 * and promises that are held in release builds, too.
 */
#ifndef SONA_TESTS_FUZZ_FUZZ_H
#define SONA_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The promise, or a crash that says which. */
#define FUZZ_HOLD(promise)                                                              \
    do {                                                                                \
        if (!(promise)) {                                                               \
            (void)fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #promise); \
            abort();                                                                    \
        }                                                                               \
    } while (0)

struct fuzz_input {
    const uint8_t *at;
    size_t left;
};

/* The next n bytes into `to`; returns how many there were. */
static inline size_t fuzz_take(struct fuzz_input *in, void *to, size_t n)
{
    size_t some = n < in->left ? n : in->left;

    memset(to, 0, n);
    if (some > 0)
        memcpy(to, in->at, some);
    in->at += some;
    in->left -= some;
    return some;
}

static inline uint32_t fuzz_word(struct fuzz_input *in)
{
    uint32_t word;

    (void)fuzz_take(in, &word, sizeof word);
    return word;
}

static inline uint8_t fuzz_byte(struct fuzz_input *in)
{
    uint8_t byte;

    (void)fuzz_take(in, &byte, sizeof byte);
    return byte;
}

/* Memory of exactly so many bytes, a multiple of 64, with a red zone behind it. */
static inline void *fuzz_block(size_t bytes)
{
    void *block = aligned_alloc(64, bytes);

    FUZZ_HOLD(block != NULL);
    return memset(block, 0, bytes);
}

#endif
