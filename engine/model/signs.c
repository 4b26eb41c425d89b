/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The short list of a bank that outgrew a scan: which rows may be nearest, told by their signs.
 *
 * The signature of a vector says on which side of SONA_MODEL_SIGNS planes through the origin it
 * lies (Charikar 2002): of two vectors at the angle a, about a / pi of the signs differ. The planes
 * are the rows of a Hadamard matrix with columns flipped by a fixed draw, so that a signature costs
 * additions only (Ailon and Chazelle 2006); a longer vector is folded, every fold with its own
 * flips. 32 bytes stand for a row of kilobytes:
 *
 *     signature of the query ─► bits in which each row differs ─► the SONA_MODEL_SHORT rows that
 *     differ least, earlier ones first ─► their exact distances (bank.c)
 *
 * A signature is a function of its row and of nothing else: no rows to group, nothing that ages,
 * and the same bits on every machine, for sums are taken in one order and nothing is multiplied.
 * Torn ones make a bad list of rows that exist.
 */
#include <string.h>

#include "engine/model/block.h"
#include "engine/model/model.h"

#define FLIP_SEED 0x534e474953u /* "SIGNS": any number, for ever the same */
#define LANES     4u
#define VECTORS   (SONA_MODEL_SIGNS / LANES)
#define DRAWN     32u /* vectors whose flips one draw gives: a bit of every lane for each */

_Static_assert(SONA_MODEL_SIGNS == 64 * SONA_KERNELS_SIGN_WORDS, "whole words");
_Static_assert(VECTORS == 2 * DRAWN && sizeof(uint32_t) * 8 == DRAWN, "whole draws");
_Static_assert(SONA_PATTERNS_MAX <= UINT16_MAX, "a candidate packs its index into 16 bits");

#define AT_ONCE 128u /* rows whose bits are counted before the limit is looked at again */
#define CANDIDATES \
    1024u /* kept before they are thinned out; of rows in any order there are fewer */

_Static_assert(AT_ONCE % 8 == 0 && CANDIDATES > 2 * SONA_MODEL_SHORT, "whole eights, and room");

typedef int16_t eight __attribute__((vector_size(8 * sizeof(int16_t))));
typedef float vec __attribute__((vector_size(LANES * sizeof(float))));
typedef uint32_t bits __attribute__((vector_size(LANES * sizeof(uint32_t))));

#define TOP 0x80000000u /* the sign of a float */

/* What lies in a lane changes sign where the bit on top of it is set. */
static inline vec flip(vec v, bits where)
{
    return (vec)((bits)v ^ (where & TOP));
}

/* Fold x into the sums, each fold with flips of its own. */
static void fold(const float *x, uint32_t padded, vec sum[VECTORS])
{
    bits draw = {0, 0, 0, 0};

    for (uint32_t k = 0; k < padded / LANES; k++) {
        vec v;

        if (k % DRAWN == 0) {
            const uint64_t random[2] = {sona_model_random(FLIP_SEED, 0, k / DRAWN),
                                        sona_model_random(FLIP_SEED, 1, k / DRAWN)};

            memcpy(&draw, random, sizeof draw);
        }
        memcpy(&v, x + k * LANES, sizeof v);
        sum[k % VECTORS] += flip(v, draw);
        draw += draw; /* the next bit on top */
    }
}

/* The Hadamard transform, unscaled, for only signs are asked for: first between vectors, then
 * between the lanes of each. */
static void transform(vec v[VECTORS])
{
    const bits odd = {0, TOP, 0, TOP}, late = {0, 0, TOP, TOP};

    for (uint32_t half = 1; half < VECTORS; half *= 2)
        for (uint32_t from = 0; from < VECTORS; from += 2 * half)
            for (uint32_t i = from; i < from + half; i++) {
                vec a = v[i], b = v[i + half];

                v[i] = a + b;
                v[i + half] = a - b;
            }
    for (uint32_t i = 0; i < VECTORS; i++) {
        v[i] = flip(v[i], odd) + __builtin_shufflevector(v[i], v[i], 1, 0, 3, 2);
        v[i] = flip(v[i], late) + __builtin_shufflevector(v[i], v[i], 2, 3, 0, 1);
    }
}

void sona_model_signs(const float *x, uint32_t padded, uint64_t ret[SONA_KERNELS_SIGN_WORDS])
{
    vec sum[VECTORS] = {{0}};
    bits signs[VECTORS / DRAWN] = {{0}};

    fold(x, padded, sum);
    transform(sum);
    for (uint32_t i = 0; i < VECTORS; i++)
        signs[i / DRAWN] += signs[i / DRAWN] - (bits)(sum[i] > 0); /* the next bit from below */
    memcpy(ret, signs, sizeof signs);
}

void sona_model_sign_bank(const struct sona_model_layout *layout, void *cold, uint32_t n)
{
    const struct sona_model_rows *rows = &layout->bank_signs;

    if (rows->count == 0)
        return;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t signs[SONA_KERNELS_SIGN_WORDS];

        sona_model_signs(sona_model_bank_part(layout, cold, i, layout->bank_centroid),
                         layout->dim_padded, signs);
        memcpy(sona_model_floats_of(cold, sona_model_at(rows, i, 0)), signs, sizeof signs);
    }
    memset(sona_model_floats_of(cold, sona_model_at(rows, n, 0)), 0,
           (rows->count - n) * rows->stride);
}

/* Rows that may be on the list: bits that differ above, the index below. */
struct candidates {
    uint32_t row[CANDIDATES + AT_ONCE];
    uint32_t count, counted;
    uint32_t limit;                      /* what differs in as many bits or more is too late */
    uint32_t below;                      /* candidates below the limit */
    uint16_t rows[SONA_MODEL_SIGNS + 1]; /* candidates that were counted, by bits that differ */
};

/* Append those of the rows [from, from + n) that are early enough: by eights, most of which have
 * none once the limit is low, and without a branch that is guessed wrong for each row. */
static void take(struct candidates *c, const uint16_t differ[AT_ONCE], uint32_t from, uint32_t n)
{
    uint32_t count = c->count, limit = c->limit;
    const int16_t most = (int16_t)limit;

    for (uint32_t i = 0; i < n; i += 8) {
        const eight limits = {most, most, most, most, most, most, most, most};
        uint64_t early[2];
        eight v;

        memcpy(&v, differ + i, sizeof v);
        v = v < limits;
        memcpy(early, &v, sizeof early);
        if (!(early[0] | early[1]))
            continue;
        for (uint32_t j = i; j < i + 8; j++) {
            c->row[count] = (uint32_t)differ[j] << 16 | (from + j);
            count += differ[j] < limit;
        }
    }
    c->count = count;
}

/* Count the new ones and lower the limit as far as SONA_MODEL_SHORT rows are left below it. */
static void tighten(struct candidates *c)
{
    c->below += c->count - c->counted;
    for (; c->counted < c->count; c->counted++)
        c->rows[c->row[c->counted] >> 16]++;
    while (c->limit > 0 && c->below - c->rows[c->limit - 1] >= SONA_MODEL_SHORT)
        c->below -= c->rows[--c->limit];
}

/* Keep the SONA_MODEL_SHORT first: all that lie below the last bits that are wanted, and as many of
 * those at them as there is room for, earlier ones first. */
static void keep(struct candidates *c)
{
    uint32_t last = c->limit - 1, room = SONA_MODEL_SHORT - (c->below - c->rows[last]), kept = 0;

    for (uint32_t i = 0; i < c->count; i++) {
        uint32_t row = c->row[i], differ = row >> 16;
        uint32_t at_last = (differ == last) & (room > 0);

        c->row[kept] = row;
        kept += (differ < last) | at_last;
        room -= at_last;
    }
    c->rows[last] = (uint16_t)(c->rows[last] - (c->below - kept));
    c->count = c->counted = c->below = kept;
}

uint32_t sona_model_short_list(const struct sona_model_view *view, const float *x, uint32_t n,
                               uint16_t ret[SONA_MODEL_SHORT])
{
    const struct sona_model_layout *l = view->layout;
    struct candidates c;
    uint64_t signs[SONA_KERNELS_SIGN_WORDS];
    uint16_t differ[AT_ONCE];

    c.count = c.counted = c.below = 0;
    c.limit = SONA_MODEL_SIGNS + 1;
    memset(c.rows, 0, sizeof c.rows);
    sona_model_signs(x, l->dim_padded, signs);
    for (uint32_t from = 0; from < n; from += AT_ONCE) {
        uint32_t some = n - from < AT_ONCE ? n - from : AT_ONCE;

        sona_kernels_active()->differ(
            (const void *)sona_model_floats(view->cold, sona_model_at(&l->bank_signs, from, 0)),
            some, signs, differ);
        for (uint32_t i = some; i < AT_ONCE; i++)
            differ[i] = INT16_MAX;
        take(&c, differ, from, some);
        tighten(&c);
        if (c.count > CANDIDATES)
            keep(&c);
    }
    if (c.count > SONA_MODEL_SHORT)
        keep(&c);
    for (uint32_t i = 0; i < c.count; i++)
        ret[i] = (uint16_t)c.row[i];
    return c.count;
}
