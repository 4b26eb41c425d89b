/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* IEEE 754 half precision, to the nearest even; beyond its range: infinity. */
#ifndef SONA_SIDECAR_STORE_HALF_H
#define SONA_SIDECAR_STORE_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint16_t sona_store_half_of(float value)
{
    uint32_t bits, sign, rest;

    memcpy(&bits, &value, sizeof bits);
    sign = bits >> 16 & 0x8000u;
    bits &= 0x7fffffffu;
    if (bits > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u); /* NaN */
    if (bits >= 0x477ff000u)
        return (uint16_t)(sign | 0x7c00u); /* 65520 and more rounds to infinity */
    if (bits < 0x33000000u)
        return (uint16_t)sign; /* below half the least subnormal */
    /* Mantissa with its leading 1; a subnormal half loses more of it. */
    uint32_t exponent = bits >> 23;
    uint32_t shift = exponent < 113 ? 126 - exponent : 13;
    uint32_t mantissa = exponent < 113 ? (bits & 0x7fffffu) | 0x800000u : bits - (112u << 23);

    rest = mantissa & ((1u << shift) - 1);
    mantissa >>= shift;
    mantissa += rest > 1u << (shift - 1) || (rest == 1u << (shift - 1) && (mantissa & 1) != 0);
    return (uint16_t)(sign | mantissa);
}

static inline float sona_store_half_to(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = half >> 10 & 31, mantissa = half & 0x3ffu, bits;
    float value;

    if (exponent == 0) { /* zero or subnormal: mantissa * 2^-24, exactly */
        value = (float)mantissa * 0x1p-24f;
        memcpy(&bits, &value, sizeof bits);
    } else if (exponent == 31) {
        bits = 0x7f800000u | mantissa << 13;
    } else {
        bits = (exponent + 112) << 23 | mantissa << 13;
    }
    bits |= sign;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
