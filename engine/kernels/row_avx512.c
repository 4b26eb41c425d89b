/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The AVX-512 row: sixteen lanes, fused multiply-add. Compiled with its own flags; nothing but the
 * table is visible outside, and nothing of it runs before usable() said yes.
 */
#include <immintrin.h>

#include "engine/kernels/rows.h"

#define LANES 16

typedef __m512 vec;

static inline vec splat(float a)
{
    return _mm512_set1_ps(a);
}

static inline vec zero(void)
{
    return _mm512_setzero_ps();
}

static inline vec load(const float *p)
{
    return _mm512_loadu_ps(p);
}

static inline void store(float *p, vec v)
{
    _mm512_storeu_ps(p, v);
}

/* Lanes below n; masked lanes are neither read nor written, hence cannot fault. */
static inline __mmask16 first(size_t n)
{
    return (__mmask16)((1u << n) - 1);
}

static inline vec load_some(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps(first(n), p);
}

static inline void store_some(float *p, size_t n, vec v)
{
    _mm512_mask_storeu_ps(p, first(n), v);
}

static inline vec add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}

static inline vec sub(vec a, vec b)
{
    return _mm512_sub_ps(a, b);
}

static inline vec mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}

static inline vec quotient(vec a, vec b)
{
    return _mm512_div_ps(a, b);
}

static inline vec madd(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}

static inline vec root(vec v)
{
    return _mm512_sqrt_ps(v);
}

static inline float total(vec v)
{
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));

    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline vec keep(vec v)
{
    __asm__("" : "+v"(v));
    return v;
}

#define WHOLES 32

typedef __m512i whole;

static inline whole whole_zero(void)
{
    return _mm512_setzero_si512();
}

static inline whole whole_load(const int16_t *p)
{
    return _mm512_loadu_si512(p);
}

static inline whole whole_madd(whole v, const int16_t *p, whole sum)
{
    return _mm512_add_epi32(sum, _mm512_madd_epi16(v, whole_load(p)));
}

static inline __m256i halves(whole sum)
{
    return _mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti32x8_epi32(sum, 1));
}

static inline void whole_totals(const whole *sum, int32_t *out)
{
    __m256i four = _mm256_hadd_epi32(_mm256_hadd_epi32(halves(sum[0]), halves(sum[1])),
                                     _mm256_hadd_epi32(halves(sum[2]), halves(sum[3])));

    _mm_storeu_si128((__m128i *)(void *)out, _mm_add_epi32(_mm256_castsi256_si128(four),
                                                           _mm256_extracti128_si256(four, 1)));
}

#include "engine/kernels/differ_avx2.h"
#include "engine/kernels/lanes.h"

static bool cpu_has_avx512(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

const struct sona_kernels sona_kernels_row_avx512 = SONA_KERNELS_ROW("avx512", cpu_has_avx512);
