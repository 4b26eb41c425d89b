/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The AVX2 row: eight lanes, fused multiply-add. Compiled with its own flags; nothing but the table
 * is visible outside, and nothing of it runs before usable() said yes.
 */
#include <immintrin.h>

#include "engine/kernels/rows.h"

#define LANES 8

typedef __m256 vec;

static inline vec splat(float a)
{
    return _mm256_set1_ps(a);
}

static inline vec zero(void)
{
    return _mm256_setzero_ps();
}

static inline vec load(const float *p)
{
    return _mm256_loadu_ps(p);
}

static inline void store(float *p, vec v)
{
    _mm256_storeu_ps(p, v);
}

/* Lanes below n; masked lanes are neither read nor written, hence cannot fault. */
static inline __m256i first(size_t n)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);

    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane);
}

static inline vec load_some(const float *p, size_t n)
{
    return _mm256_maskload_ps(p, first(n));
}

static inline void store_some(float *p, size_t n, vec v)
{
    _mm256_maskstore_ps(p, first(n), v);
}

static inline vec add(vec a, vec b)
{
    return _mm256_add_ps(a, b);
}

static inline vec sub(vec a, vec b)
{
    return _mm256_sub_ps(a, b);
}

static inline vec mul(vec a, vec b)
{
    return _mm256_mul_ps(a, b);
}

static inline vec quotient(vec a, vec b)
{
    return _mm256_div_ps(a, b);
}

static inline vec madd(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}

static inline vec root(vec v)
{
    return _mm256_sqrt_ps(v);
}

static inline float total(vec v)
{
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));

    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline vec keep(vec v)
{
    __asm__("" : "+x"(v));
    return v;
}

#define WHOLES 16

typedef __m256i whole;

static inline whole whole_zero(void)
{
    return _mm256_setzero_si256();
}

static inline whole whole_load(const int16_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

static inline whole whole_madd(whole v, const int16_t *p, whole sum)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(v, whole_load(p)));
}

static inline void whole_totals(const whole *sum, int32_t *out)
{
    whole four =
        _mm256_hadd_epi32(_mm256_hadd_epi32(sum[0], sum[1]), _mm256_hadd_epi32(sum[2], sum[3]));

    _mm_storeu_si128((__m128i *)(void *)out, _mm_add_epi32(_mm256_castsi256_si128(four),
                                                           _mm256_extracti128_si256(four, 1)));
}

#include "engine/kernels/differ_avx2.h"
#include "engine/kernels/lanes.h"

static bool cpu_has_avx2_and_fma(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

const struct sona_kernels sona_kernels_row_avx2 = SONA_KERNELS_ROW("avx2", cpu_has_avx2_and_fma);
