/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The C row: the definition of every kernel, in GNU vector extensions. Four lanes are what every
 * 64-bit processor has (SSE2, NEON); the compiler takes them apart where they are missing. Nothing
 * is fused, so that this row gives the same bits on every machine.
 */
#include <math.h>
#include <string.h>

#include "engine/kernels/rows.h"

#define LANES 4

typedef float vec __attribute__((vector_size(LANES * sizeof(float))));

static inline vec splat(float a)
{
    return (vec){a, a, a, a};
}

static inline vec zero(void)
{
    return splat(0);
}

static inline vec load(const float *p)
{
    vec v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static inline void store(float *p, vec v)
{
    memcpy(p, &v, sizeof(v));
}

static inline vec load_some(const float *p, size_t n)
{
    vec v = zero();

    for (size_t i = 0; i < n && i < LANES; i++)
        v[i] = p[i];
    return v;
}

static inline void store_some(float *p, size_t n, vec v)
{
    for (size_t i = 0; i < n && i < LANES; i++)
        p[i] = v[i];
}

static inline vec add(vec a, vec b)
{
    return a + b;
}

static inline vec sub(vec a, vec b)
{
    return a - b;
}

static inline vec mul(vec a, vec b)
{
    return a * b;
}

static inline vec quotient(vec a, vec b)
{
    return a / b;
}

static inline vec madd(vec a, vec b, vec c)
{
    return a * b + c;
}

static inline vec root(vec v)
{
    for (size_t i = 0; i < LANES; i++)
        v[i] = sqrtf(v[i]);
    return v;
}

static inline float total(vec v)
{
    return (v[0] + v[2]) + (v[1] + v[3]);
}

/* Left to the compiler: without a fused operation there is little to fold into. */
static inline vec keep(vec v)
{
    return v;
}

#include "engine/kernels/lanes.h"

static bool always(void)
{
    return true;
}

const struct sona_kernels sona_kernels_row_c = SONA_KERNELS_ROW("c", always);
