/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The NEON row for 64-bit ARM: the C row's four lanes, with fused multiply-add. Every such
 * processor has it.
 */
#include <arm_neon.h>

#include "engine/kernels/rows.h"

#define LANES 4

typedef float32x4_t vec;

static inline vec splat(float a)
{
    return vdupq_n_f32(a);
}

static inline vec zero(void)
{
    return vdupq_n_f32(0);
}

static inline vec load(const float *p)
{
    return vld1q_f32(p);
}

static inline void store(float *p, vec v)
{
    vst1q_f32(p, v);
}

static inline vec load_some(const float *p, size_t n)
{
    float lanes[LANES] = {0};

    for (size_t i = 0; i < n && i < LANES; i++)
        lanes[i] = p[i];
    return vld1q_f32(lanes);
}

static inline void store_some(float *p, size_t n, vec v)
{
    float lanes[LANES];

    vst1q_f32(lanes, v);
    for (size_t i = 0; i < n && i < LANES; i++)
        p[i] = lanes[i];
}

static inline vec add(vec a, vec b)
{
    return vaddq_f32(a, b);
}

static inline vec sub(vec a, vec b)
{
    return vsubq_f32(a, b);
}

static inline vec mul(vec a, vec b)
{
    return vmulq_f32(a, b);
}

static inline vec quotient(vec a, vec b)
{
    return vdivq_f32(a, b);
}

static inline vec madd(vec a, vec b, vec c)
{
    return vfmaq_f32(c, a, b);
}

static inline vec root(vec v)
{
    return vsqrtq_f32(v);
}

static inline float total(vec v)
{
    return vaddvq_f32(v);
}

/* Loads are instructions of their own here. */
static inline vec keep(vec v)
{
    return v;
}

#define COUNTS_BITS

#include "engine/kernels/lanes.h"

static bool always(void)
{
    return true;
}

const struct sona_kernels sona_kernels_row_neon = SONA_KERNELS_ROW("neon", always);
