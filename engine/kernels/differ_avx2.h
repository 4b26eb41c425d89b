/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * differ() for processors that look sixteen bytes up at a time: the bits of every half byte are
 * looked up (Mula 2008), and what four rows have of them is carried as the four quarters of a word,
 * so that one sum across the lanes does for all. Counting words one by one waits for the only port
 * that can. A part of a row, beside lanes.h.
 */
#ifndef SONA_ENGINE_KERNELS_DIFFER_AVX2_H
#define SONA_ENGINE_KERNELS_DIFFER_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "engine/kernels/kernels.h"

#define OWN_DIFFER

_Static_assert(SONA_KERNELS_SIGN_WORDS * sizeof(uint64_t) == sizeof(__m256i), "a row is a vector");

/* Bits in which the row at p and x differ, as sums of every eight bytes. */
static inline __m256i differing(const uint64_t *p, __m256i x)
{
    const __m256i half = _mm256_set1_epi8(0x0f);
    const __m256i bits = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1,
                                          2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    __m256i v = _mm256_xor_si256(_mm256_loadu_si256((const void *)p), x);
    __m256i low = _mm256_shuffle_epi8(bits, _mm256_and_si256(v, half));
    __m256i high = _mm256_shuffle_epi8(bits, _mm256_and_si256(_mm256_srli_epi16(v, 4), half));

    return _mm256_sad_epu8(_mm256_add_epi8(low, high), _mm256_setzero_si256());
}

static inline uint64_t across(__m256i v)
{
    __m128i two = _mm_add_epi64(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

    return (uint64_t)_mm_cvtsi128_si64(_mm_add_epi64(two, _mm_unpackhi_epi64(two, two)));
}

static void differ(const uint64_t *rows, size_t n_rows, const uint64_t *x, uint16_t *out)
{
    const size_t words = SONA_KERNELS_SIGN_WORDS;
    const __m256i query = _mm256_loadu_si256((const void *)x);
    size_t r = 0;

    for (; r + 4 <= n_rows; r += 4, rows += 4 * words) {
        __m256i pair = _mm256_add_epi64(differing(rows, query),
                                        _mm256_slli_epi64(differing(rows + words, query), 16));
        __m256i next = _mm256_add_epi64(differing(rows + 2 * words, query),
                                        _mm256_slli_epi64(differing(rows + 3 * words, query), 16));
        uint64_t sums = across(_mm256_add_epi64(pair, _mm256_slli_epi64(next, 32)));

        memcpy(out + r, &sums, sizeof sums);
    }
    for (; r < n_rows; r++, rows += words)
        out[r] = (uint16_t)across(differing(rows, query));
}

#endif
