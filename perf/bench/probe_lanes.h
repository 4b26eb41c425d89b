/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The probes of one width, for roofline.c: included once for each, with VEC (the vector type),
 * NAME, TARGET (attributes), KEEP (the constraint of a vector register) and MADD(a, b, c) defined.
 */
#define JOIN_(a, b) a##_##b
#define JOIN(a, b)  JOIN_(a, b)
#define FN(name)    JOIN(name, NAME)
#define STEP        16 /* vectors of a turn */

/* A load into a register that nothing waits for; a store of one that never changes. */
#define TAKE(k)                                                    \
    do {                                                           \
        VEC v_;                                                    \
        memcpy(&v_, buffer + at + (k) * sizeof(VEC), sizeof(VEC)); \
        __asm__ volatile("" ::KEEP(v_));                           \
    } while (0)
#define PUT(k) memcpy(buffer + at + (k) * sizeof(VEC), &v, sizeof(VEC))

/* Around and around in the buffer from `at` on, without a branch that could be guessed wrongly at
 * its end; returns where to go on. */
TARGET static size_t FN(load)(char *buffer, size_t size, size_t at, uint64_t total)
{
    const size_t step = STEP * sizeof(VEC);

    for (uint64_t left = total / step; left > 0; left--) {
        TAKE(0);
        TAKE(1);
        TAKE(2);
        TAKE(3);
        TAKE(4);
        TAKE(5);
        TAKE(6);
        TAKE(7);
        TAKE(8);
        TAKE(9);
        TAKE(10);
        TAKE(11);
        TAKE(12);
        TAKE(13);
        TAKE(14);
        TAKE(15);
        at = at + step < size ? at + step : 0;
        __asm__ volatile("" : "+r"(at));
    }
    return at;
}

TARGET static size_t FN(store)(char *buffer, size_t size, size_t at, uint64_t total)
{
    const size_t step = STEP * sizeof(VEC);
    VEC v = {0};

    for (uint64_t left = total / step; left > 0; left--) {
        PUT(0);
        PUT(1);
        PUT(2);
        PUT(3);
        PUT(4);
        PUT(5);
        PUT(6);
        PUT(7);
        PUT(8);
        PUT(9);
        PUT(10);
        PUT(11);
        PUT(12);
        PUT(13);
        PUT(14);
        PUT(15);
        at = at + step < size ? at + step : 0;
        __asm__ volatile("" : "+r"(at)::"memory");
    }
    return at;
}

/* Eight chains: a multiply-add takes four cycles, and two may start in each. */
TARGET static float FN(madd)(uint64_t steps)
{
    VEC a = {0}, b = {0}, c0 = {0}, c1 = {0}, c2 = {0}, c3 = {0}, c4 = {0}, c5 = {0}, c6 = {0},
        c7 = {0};

    a += 0.999f;
    b += 1e-3f;
    for (uint64_t i = 0; i < steps; i++) {
        c0 = MADD(a, c0, b);
        c1 = MADD(a, c1, b);
        c2 = MADD(a, c2, b);
        c3 = MADD(a, c3, b);
        c4 = MADD(a, c4, b);
        c5 = MADD(a, c5, b);
        c6 = MADD(a, c6, b);
        c7 = MADD(a, c7, b);
        /* Not to be computed ahead of time. */
        __asm__ volatile("" : "+" KEEP(a));
    }
    return (c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7)[0];
}

#undef TAKE
#undef PUT
#undef JOIN_
#undef JOIN
#undef FN
#undef STEP
#undef VEC
#undef NAME
#undef TARGET
#undef KEEP
#undef MADD
