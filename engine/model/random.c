/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Random numbers by counter: the n-th draw of a stream is a function of (seed, stream, n), so that
 * nobody has to keep a generator's state in step with anybody else's.
 */
#include "engine/model/model.h"

/* The fractions of the square roots of 2, 3, 5 and 7 in 64 bits, made odd: nothing up the sleeve.
 */
#define ROOT2 0x6a09e667f3bcc909ull
#define ROOT3 0xbb67ae8584caa73bull
#define ROOT5 0x3c6ef372fe94f82bull
#define ROOT7 0xa54ff53a5f1d36f1ull

/* A bijection on 64 bits (each step is one: xor with a shift, product with an odd number) in which
 * every input bit reaches every output bit. */
static uint64_t mix(uint64_t v)
{
    v = (v ^ v >> 32) * ROOT2;
    v = (v ^ v >> 29) * ROOT3;
    v = (v ^ v >> 32) * ROOT5;
    return v ^ v >> 30;
}

/* Streams of the draws that leave decisions out: no lane's. */
#define LEAVES_OUT 0x100000000ull

uint64_t sona_model_random(uint64_t seed, uint64_t stream, uint64_t n)
{
    uint64_t key = mix(seed + ROOT7);

    key = mix(key ^ (stream * ROOT3 + 1));
    /* n times an odd number is a bijection too: no two draws of one stream share their input. */
    return mix(key + n * ROOT5);
}

uint16_t sona_model_unrecorded(float share)
{
    double rest = (1 - (double)share) * 0x1p16;

    if (!(share > 0))
        return UINT16_MAX;
    return (uint16_t)(rest < UINT16_MAX - 1 ? rest : UINT16_MAX - 1);
}

bool sona_model_leaves_out(uint16_t unrecorded, uint64_t seed, uint64_t stream, uint64_t n)
{
    if (unrecorded == 0)
        return false;
    return unrecorded == UINT16_MAX ||
           sona_model_random(seed, LEAVES_OUT | stream, n) >> 48 < unrecorded;
}
