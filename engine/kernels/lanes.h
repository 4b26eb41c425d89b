/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The kernels, written once over a vector of LANES floats. A row is a file that defines the
 * primitives below for its instruction set and then includes this one, once.
 *
 *     LANES                      floats of a `vec`
 *     zero(), splat(a)           all lanes 0, all lanes a
 *     load(p), store(p, v)       LANES floats, any alignment
 *     load_some(p, n)            the first n < LANES floats, other lanes 0; touches no byte more
 *     store_some(p, n, v)        likewise
 *     add, sub, mul, quotient    lane by lane
 *     madd(a, b, c)              a b + c; whether it is fused is the row's own choice
 *     root(v)                    correctly rounded, as the division: an estimate refined by
 *                                Newton differs between makers of one instruction set, and equal
 *                                bytes from equal events are a promise
 *     total(v)                   sum over the lanes in a fixed order
 * And, where the compiler does not get as much out of the plain loop over whole numbers:
 *
 *     WHOLES                     int16 of a `whole`, in which as many products are added up in
 * pairs whole_zero(), whole_load(p), whole_madd(v, p, sum)   the products of v with those at p
 *     whole_totals(sum[4], out)  out[k] = the sum over sum[k], modulo 2^32
 *
 *     COUNTS_BITS                defined where the processor counts the bits of a word
 *     OWN_DIFFER                 defined where the row brings a differ() of its own
 *
 *     keep(v)                    v, in a register: a compiler that folds the load of x into each of
 *                                its uses would load it once per row
 *
 * Sums are spread over four accumulators of LANES lanes: one would wait for the latency of its own
 * addition, and strict floating point forbids the compiler to split it. The order in which they
 * are filled and added up depends on n alone, so equal inputs give equal bits at any alignment,
 * and dot_rows() gives the bits of dot().
 */
#include <stdint.h>
#include <string.h>

#ifndef LANES
#error "define the primitives before including lanes.h"
#endif

#define ACCUMULATORS    4
#define BLOCK           (ACCUMULATORS * (size_t)LANES)
#define COLUMNS_AT_ONCE 8
#ifndef ROWS_AT_ONCE
#define ROWS_AT_ONCE 3 /* 12 accumulators of 16 registers; as many loads of x are saved */
#endif

/* Where p is, and no more how it got there: with one index for several arrays, each product with a
 * number in memory would be two operations. */
static inline const void *apart(const void *p)
{
    __asm__("" : "+r"(p));
    return p;
}

static inline float total_of(const vec *sum)
{
    return total(add(add(sum[0], sum[1]), add(sum[2], sum[3])));
}

/* `vectors` of x, a constant, against as many of each row. */
__attribute__((always_inline)) static inline void
dot_step(vec sum[][ACCUMULATORS], const float **at, size_t count, const float *x, size_t vectors)
{
#pragma GCC unroll 8
    for (size_t k = 0; k < vectors; k++) {
        vec v = keep(load(x + k * LANES));

#pragma GCC unroll 8
        for (size_t r = 0; r < count; r++)
            sum[r][k % ACCUMULATORS] = madd(load(at[r] + k * LANES), v, sum[r][k % ACCUMULATORS]);
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < count; r++)
        at[r] = apart(at[r] + vectors * LANES);
}

/* `count` rows against one x, each in its own accumulators. For rows that share the loads of x the
 * count is a constant, and loops over it are none before the compiler decides what may stand in
 * registers; a row's bits do not depend on it. The longer the step, the farther ahead a processor
 * fetches that tells the next address by the last two. */
__attribute__((always_inline)) static inline void
dot_some(const float *rows, size_t stride, size_t count, const float *x, size_t n, float *out)
{
    vec sum[ROWS_AT_ONCE][ACCUMULATORS];
    const float *at[ROWS_AT_ONCE], *end = x + n;

#pragma GCC unroll 8
    for (size_t r = 0; r < count; r++) {
        at[r] = apart(rows + r * stride);
        for (size_t k = 0; k < ACCUMULATORS; k++)
            sum[r][k] = zero();
    }
    for (const float *last = end - n % (2 * BLOCK); x < last; x += 2 * BLOCK)
        dot_step(sum, at, count, x, 2 * ACCUMULATORS);
    for (const float *last = end - n % BLOCK; x < last; x += BLOCK)
        dot_step(sum, at, count, x, ACCUMULATORS);
    for (const float *last = end - n % LANES; x < last; x += LANES) {
        vec v = load(x);

#pragma GCC unroll 8
        for (size_t r = 0; r < count; r++) {
            sum[r][0] = madd(load(at[r]), v, sum[r][0]);
            at[r] += LANES;
        }
    }
    if (x < end) {
        vec v = load_some(x, n % LANES);

#pragma GCC unroll 8
        for (size_t r = 0; r < count; r++)
            sum[r][1] = madd(load_some(at[r], n % LANES), v, sum[r][1]);
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < count; r++)
        out[r] = total_of(sum[r]);
}

/* One and two rows by themselves: a call of these needs little more than its loop. */
__attribute__((noinline)) static void dot_one(const float *row, const float *x, size_t n,
                                              float *out)
{
    dot_some(row, 0, 1, x, n, out);
}

__attribute__((noinline)) static void dot_two(const float *rows, size_t stride, const float *x,
                                              size_t n, float *out)
{
    dot_some(rows, stride, 2, x, n, out);
}

static float dot(const float *x, const float *y, size_t n)
{
    float ret;

    dot_some(x, 0, 1, y, n, &ret);
    return ret;
}

__attribute__((noinline)) static void dot_many(const float *rows, size_t stride, size_t n_rows,
                                               const float *x, size_t n, float *out)
{
    for (; n_rows >= ROWS_AT_ONCE; n_rows -= ROWS_AT_ONCE) {
        dot_some(rows, stride, ROWS_AT_ONCE, x, n, out);
        rows += ROWS_AT_ONCE * stride;
        out += ROWS_AT_ONCE;
    }
    if (n_rows == 2)
        dot_two(rows, stride, x, n, out);
    else if (n_rows == 1)
        dot_one(rows, x, n, out);
}

static void dot_rows(const float *rows, size_t stride, size_t n_rows, const float *x, size_t n,
                     float *out)
{
    if (n_rows == 2)
        dot_two(rows, stride, x, n, out);
    else
        dot_many(rows, stride, n_rows, x, n, out);
}

static void scale(float a, const float *x, float *y, size_t n)
{
    const vec factor = splat(a);
    size_t i = 0;

    for (; i + BLOCK <= n; i += BLOCK)
        for (size_t k = 0; k < ACCUMULATORS; k++)
            store(y + i + k * LANES, mul(factor, load(x + i + k * LANES)));
    for (; i + LANES <= n; i += LANES)
        store(y + i, mul(factor, load(x + i)));
    if (i < n)
        store_some(y + i, n - i, mul(factor, load_some(x + i, n - i)));
}

static void axpy(float a, const float *x, float *y, size_t n)
{
    const vec factor = splat(a);
    size_t i = 0;

    for (; i + BLOCK <= n; i += BLOCK)
        for (size_t k = 0; k < ACCUMULATORS; k++)
            store(y + i + k * LANES,
                  madd(factor, load(x + i + k * LANES), load(y + i + k * LANES)));
    for (; i + LANES <= n; i += LANES)
        store(y + i, madd(factor, load(x + i), load(y + i)));
    if (i < n)
        store_some(y + i, n - i, madd(factor, load_some(x + i, n - i), load_some(y + i, n - i)));
}

static float axpy_square(float a, const float *x, float *y, size_t n)
{
    const vec factor = splat(a);
    vec sum[ACCUMULATORS] = {zero(), zero(), zero(), zero()};
    size_t i = 0;

    for (; i + BLOCK <= n; i += BLOCK) {
        for (size_t k = 0; k < ACCUMULATORS; k++) {
            vec v = madd(factor, load(x + i + k * LANES), load(y + i + k * LANES));

            store(y + i + k * LANES, v);
            sum[k] = madd(v, v, sum[k]);
        }
    }
    for (; i + LANES <= n; i += LANES) {
        vec v = madd(factor, load(x + i), load(y + i));

        store(y + i, v);
        sum[0] = madd(v, v, sum[0]);
    }
    if (i < n) {
        vec v = madd(factor, load_some(x + i, n - i), load_some(y + i, n - i));

        store_some(y + i, n - i, v);
        sum[1] = madd(v, v, sum[1]);
    }
    return total_of(sum);
}

static float distance(const float *x, const float *y, size_t n)
{
    vec sum[ACCUMULATORS] = {zero(), zero(), zero(), zero()};
    size_t i = 0;

    for (; i + BLOCK <= n; i += BLOCK) {
        for (size_t k = 0; k < ACCUMULATORS; k++) {
            vec d = sub(load(x + i + k * LANES), load(y + i + k * LANES));

            sum[k] = madd(d, d, sum[k]);
        }
    }
    for (; i + LANES <= n; i += LANES) {
        vec d = sub(load(x + i), load(y + i));

        sum[0] = madd(d, d, sum[0]);
    }
    if (i < n) {
        vec d = sub(load_some(x + i, n - i), load_some(y + i, n - i));

        sum[1] = madd(d, d, sum[1]);
    }
    return total_of(sum);
}

/* One vector of AdaGrad: takes x, G and w, leaves G and w. */
static inline void adagrad_lanes(vec e, vec rate, vec epsilon, vec x, vec *grad2, vec *w)
{
    vec g = mul(e, x);

    *grad2 = madd(g, g, *grad2);
    *w = add(*w, quotient(mul(rate, g), root(add(*grad2, epsilon))));
}

static float adagrad(float e, float rate, float epsilon, const float *x, float *grad2, float *w,
                     size_t n)
{
    const vec error = splat(e), step = splat(rate), small = splat(epsilon);
    vec sum[2] = {zero(), zero()};
    size_t i = 0;

    for (; i + LANES <= n; i += LANES) {
        vec g2 = load(grad2 + i), weight = load(w + i);

        adagrad_lanes(error, step, small, load(x + i), &g2, &weight);
        store(grad2 + i, g2);
        store(w + i, weight);
        sum[0] = madd(weight, weight, sum[0]);
    }
    if (i < n) {
        vec g2 = load_some(grad2 + i, n - i), weight = load_some(w + i, n - i);

        adagrad_lanes(error, step, small, load_some(x + i, n - i), &g2, &weight);
        store_some(grad2 + i, n - i, g2);
        store_some(w + i, n - i, weight);
        sum[1] = madd(weight, weight, sum[1]);
    }
    return total(add(sum[0], sum[1]));
}

/* `count` vectors of y at once, a constant: each is written once and not once per row of B, and
 * together they hide the latency of the sums over the rows. */
__attribute__((always_inline)) static inline void expand_some(const float *x, const float *b,
                                                              size_t stride, const float *c,
                                                              size_t rank, float *y, size_t count)
{
    vec sum[COLUMNS_AT_ONCE];

    for (size_t k = 0; k < count; k++)
        sum[k] = load(x + k * LANES);
    for (size_t r = 0; r < rank; r++) {
        const float *row = apart(b + r * stride);
        vec factor = splat(c[r]);

        for (size_t k = 0; k < count; k++)
            sum[k] = madd(factor, load(row + k * LANES), sum[k]);
    }
    for (size_t k = 0; k < count; k++)
        store(y + k * LANES, sum[k]);
}

/* Of a rank that is a constant, c stays in registers. */
__attribute__((always_inline)) static inline void expand_rank(const float *x, const float *b,
                                                              size_t stride, const float *c,
                                                              size_t rank, float *y, size_t n)
{
    const float *end = x + n;

    for (const float *last = end - n % (COLUMNS_AT_ONCE * LANES); x < last;) {
        expand_some(x, b, stride, c, rank, y, COLUMNS_AT_ONCE);
        x = apart(x + COLUMNS_AT_ONCE * LANES);
        b = apart(b + COLUMNS_AT_ONCE * LANES);
        y += COLUMNS_AT_ONCE * LANES;
    }
    for (const float *last = end - n % LANES; x < last; x += LANES, b += LANES, y += LANES)
        expand_some(x, b, stride, c, rank, y, 1);
    if (x < end) {
        vec sum = load_some(x, n % LANES);

        for (size_t r = 0; r < rank; r++)
            sum = madd(splat(c[r]), load_some(b + r * stride, n % LANES), sum);
        store_some(y, n % LANES, sum);
    }
}

__attribute__((noinline)) static void expand_two(const float *x, const float *b, size_t stride,
                                                 const float *c, float *y, size_t n)
{
    expand_rank(x, b, stride, c, 2, y, n);
}

__attribute__((noinline)) static void expand_any(const float *x, const float *b, size_t stride,
                                                 const float *c, size_t rank, float *y, size_t n)
{
    expand_rank(x, b, stride, c, rank, y, n);
}

static void expand(const float *x, const float *b, size_t stride, const float *c, size_t rank,
                   float *y, size_t n)
{
    if (rank == 2)
        expand_two(x, b, stride, c, y, n);
    else
        expand_any(x, b, stride, c, rank, y, n);
}

#define FORM_COLUMNS 16 /* what `padded` is a multiple of */

static void forms(const float *p, size_t stride, size_t count, const float *z, size_t n,
                  size_t padded, float *out)
{
    for (size_t m = 0; m < count; m++, p += stride) {
        vec all[FORM_COLUMNS / LANES];

        for (size_t k = 0; k < FORM_COLUMNS / LANES; k++)
            all[k] = zero();
        for (size_t at = 0; at < padded; at += FORM_COLUMNS) {
            vec sum[FORM_COLUMNS / LANES];

            /* P z as a sum of rows of P, which is symmetric: no sum across lanes for each. */
            for (size_t k = 0; k < FORM_COLUMNS / LANES; k++)
                sum[k] = zero();
            for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < FORM_COLUMNS / LANES; k++)
                    sum[k] = madd(splat(z[i]), load(p + i * padded + at + k * LANES), sum[k]);
            for (size_t k = 0; k < FORM_COLUMNS / LANES; k++)
                all[k] = madd(sum[k], load(z + at + k * LANES), all[k]);
        }
        for (size_t k = 1; k < FORM_COLUMNS / LANES; k++)
            all[0] = add(all[0], all[k]);
        out[m] = total(all[0]);
    }
}

/* What is added moves the whole part of a float into its last bits, rounded as floats are. */
#define WHOLE 12582912.0f /* 1.5 * 2^23 */

/* Left to the compiler: no sum, hence no order that it must keep. */
static void fix(const float *x, float scale, size_t n, int16_t *restrict out)
{
    for (size_t i = 0; i < n; i++) {
        float moved = x[i] * scale + WHOLE;
        uint32_t bits;

        memcpy(&bits, &moved, sizeof bits);
        out[i] = (int16_t)(uint16_t)bits;
    }
}

#ifdef WHOLES
#define WHOLE_BLOCK (2 * (size_t)WHOLES)
#else
#define WHOLE_BLOCK ((size_t)1)
#endif

static inline uint32_t product(int16_t a, int16_t b)
{
    return (uint32_t)((int32_t)a * b);
}

static uint32_t dot_fixed(const int16_t *x, const int16_t *y, size_t n)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += product(x[i], y[i]);
    return sum;
}

#define FIXED_AT_ONCE 4

/* Four rows against one x: out[k] = their products over the first n, a multiple of 2 WHOLES. */
static inline void dot_four(const int16_t *rows, size_t stride, const int16_t *x, size_t n,
                            int32_t *out)
{
    const int16_t *a = rows, *b = a + stride, *c = b + stride, *d = c + stride, *end = x + n;
#ifdef WHOLES
    whole sum[FIXED_AT_ONCE] = {whole_zero(), whole_zero(), whole_zero(), whole_zero()};

    for (; x < end; x += 2 * WHOLES) {
        for (size_t i = 0; i < 2 * WHOLES; i += WHOLES) {
            whole v = whole_load(x + i);

            sum[0] = whole_madd(v, a + i, sum[0]);
            sum[1] = whole_madd(v, b + i, sum[1]);
            sum[2] = whole_madd(v, c + i, sum[2]);
            sum[3] = whole_madd(v, d + i, sum[3]);
        }
        a = apart(a + 2 * WHOLES);
        b = apart(b + 2 * WHOLES);
        c = apart(c + 2 * WHOLES);
        d = apart(d + 2 * WHOLES);
    }
    whole_totals(sum, out);
#else
    uint32_t sum[FIXED_AT_ONCE] = {0, 0, 0, 0};

    for (; x < end; x++) {
        sum[0] += product(*a++, *x);
        sum[1] += product(*b++, *x);
        sum[2] += product(*c++, *x);
        sum[3] += product(*d++, *x);
    }
    memcpy(out, sum, sizeof sum);
#endif
}

static void dot_rows_fixed(const int16_t *rows, size_t stride, size_t n_rows, const int16_t *x,
                           size_t n, int32_t *out)
{
    size_t whole_n = n - n % WHOLE_BLOCK, r = 0;

    for (; r + FIXED_AT_ONCE <= n_rows; r += FIXED_AT_ONCE) {
        dot_four(rows + r * stride, stride, x, whole_n, out + r);
        for (size_t k = 0; whole_n < n && k < FIXED_AT_ONCE; k++)
            out[r + k] =
                (int32_t)((uint32_t)out[r + k] +
                          dot_fixed(rows + (r + k) * stride + whole_n, x + whole_n, n - whole_n));
    }
    for (; r < n_rows; r++)
        out[r] = (int32_t)dot_fixed(rows + r * stride, x, n);
}

#ifndef OWN_DIFFER
/* The word as sums of ever wider fields, all of them side by side. */
static inline uint32_t bits_of(uint64_t v)
{
#ifdef COUNTS_BITS
    return (uint32_t)__builtin_popcountll(v);
#else
    v -= v >> 1 & 0x5555555555555555u;
    v = (v & 0x3333333333333333u) + (v >> 2 & 0x3333333333333333u);
    v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return (uint32_t)(v * 0x0101010101010101u >> 56);
#endif
}

static void differ(const uint64_t *rows, size_t n_rows, const uint64_t *x, uint16_t *out)
{
    for (size_t r = 0; r < n_rows; r++, rows += SONA_KERNELS_SIGN_WORDS) {
        uint32_t sum = 0;

        for (size_t w = 0; w < SONA_KERNELS_SIGN_WORDS; w++)
            sum += bits_of(rows[w] ^ x[w]);
        out[r] = (uint16_t)sum;
    }
}
#endif

#define SONA_KERNELS_ROW(row_name, row_usable)                                          \
    {                                                                                   \
        .name = (row_name), .usable = (row_usable), .dot = dot, .dot_rows = dot_rows,   \
        .scale = scale, .axpy = axpy, .axpy_square = axpy_square, .distance = distance, \
        .adagrad = adagrad, .expand = expand, .forms = forms, .fix = fix,               \
        .dot_rows_fixed = dot_rows_fixed, .differ = differ                              \
    }
