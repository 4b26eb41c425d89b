/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The short list of a bank that outgrew a scan. */
#include "tests/engine/model_fixture.h"

#define MANY  2000u
#define LEAST 70u /* percent; 84 on average, and a deviation of 2 */

static void open_bank(struct model *m, uint32_t dim, uint32_t patterns, struct dice *dice)
{
    sona_geometry g = small_geometry();

    g.dim = dim;
    g.patterns_max = patterns;
    model_open(m, &g);
    model_fill_bank(m, patterns, dice);
}

static uint64_t *signs_of(struct model *m, uint32_t row)
{
    return (void *)(m->cold + sona_model_at(&m->layout.bank_signs, row, 0));
}

static uint32_t differing(const uint64_t *a, const uint64_t *b)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < SONA_MODEL_SIGNS; i++)
        sum += (a[i / 64] ^ b[i / 64]) >> (i % 64) & 1;
    return sum;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Signatures that differ from `signs` in a drawn number of bits, in an order that is drawn too. */
static void scatter(struct model *m, const uint64_t *signs, uint32_t n, struct dice *dice)
{
    uint32_t order = dice_below(dice, 4), span = 1 + dice_below(dice, SONA_MODEL_SIGNS);

    for (uint32_t i = 0; i < n; i++) {
        uint32_t bits = order == 0   ? dice_below(dice, span)  /* any */
                        : order == 1 ? span - 1 - i * span / n /* ever nearer */
                        : order == 2 ? i * span / n            /* ever farther */
                                     : span / 2;               /* all alike */
        uint32_t at = dice_below(dice, SONA_MODEL_SIGNS);

        memcpy(signs_of(m, i), signs, SONA_MODEL_SIGNS / 8);
        for (uint32_t b = at; b < at + bits; b++)
            signs_of(m, i)[b / 64 % SONA_KERNELS_SIGN_WORDS] ^= 1ull << (b % 64);
    }
}

Test(signs, the_short_list_is_the_rows_that_differ_least_and_of_equals_the_first)
{
    struct dice dice = dice_open("the_short_list");
    struct model m;

    open_bank(&m, 40, MANY, &dice);
    for (int round = 0; round < 40; round++) {
        uint32_t n = 1 + dice_below(&dice, MANY), listed, expected[MANY];
        uint64_t signs[SONA_KERNELS_SIGN_WORDS];
        uint16_t list[SONA_MODEL_SHORT];
        float x[48];

        model_query(&m, x, &dice);
        sona_model_signs(x, m.layout.dim_padded, signs);
        scatter(&m, signs, n, &dice);
        for (uint32_t i = 0; i < n; i++)
            expected[i] = differing(signs_of(&m, i), signs) << 16 | i;
        qsort(expected, n, sizeof *expected, by_number);
        listed = n < SONA_MODEL_SHORT ? n : SONA_MODEL_SHORT;
        for (uint32_t i = 0; i < listed; i++)
            expected[i] &= 0xffff;
        qsort(expected, listed, sizeof *expected, by_number);
        cr_assert(eq(u32, sona_model_short_list(&m.view, x, n, list), listed), "n %u seed %llu", n,
                  (unsigned long long)dice.seed);
        for (uint32_t i = 0; i < listed; i++)
            cr_assert(eq(u32, list[i], expected[i]), "n %u seed %llu", n,
                      (unsigned long long)dice.seed);
    }
}

/* The planes are drawn once and for all; pairs are not. */
Test(signs, differ_in_the_share_of_the_angle)
{
    static const uint32_t dims[] = {64, 256, 300, 1536};
    struct dice dice = dice_open("differ_in_the_share_of_the_angle");

    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
        uint32_t dim = dims[d], padded = (dim + 15) / 16 * 16, pairs = 200;
        double off = 0;

        for (uint32_t pair = 0; pair < pairs; pair++) {
            uint64_t a[SONA_KERNELS_SIGN_WORDS], b[SONA_KERNELS_SIGN_WORDS];
            float x[1536], y[1536], share = dice_unit(&dice);
            double xy = 0, xx = 0, yy = 0;

            fill(x, dim, padded, 1, &dice);
            fill(y, dim, padded, 1, &dice);
            for (uint32_t i = 0; i < dim; i++) {
                y[i] = share * x[i] + (1 - share) * y[i];
                xy += (double)x[i] * (double)y[i];
                xx += (double)x[i] * (double)x[i];
                yy += (double)y[i] * (double)y[i];
            }
            sona_model_signs(x, padded, a);
            sona_model_signs(y, padded, b);
            off += differing(a, b) / 256.0 - acos(xy / sqrt(xx * yy)) / 3.14159265358979;
        }
        /* A share of 256 draws deviates by .031 at most, the mean of 200 by .0022. */
        cr_assert(lt(dbl, fabs(off / pairs), 0.014), "dim %u: %g, seed %llu", dim, off / pairs,
                  (unsigned long long)dice.seed);
    }
}

/* k beyond SONA_MODEL_SHORT_K is always a scan. Directions without any structure are the hardest
 * there are; ADR 0036 tells what real queries lose. */
Test(signs, a_search_of_many_finds_what_a_scan_finds)
{
    struct dice dice = dice_open("a_search_of_many");
    uint32_t queries = 100, same = 0;
    struct model m;

    open_bank(&m, 128, MANY, &dice);
    for (uint32_t q = 0; q < queries; q++) {
        sona_pattern found[5], all[SONA_MODEL_SHORT_K + 1];
        float x[128];
        uint32_t at = 0;

        model_query(&m, x, &dice);
        cr_assert(eq(u32, sona_model_find_patterns(&m.view, x, SONA_MODEL_SHORT_K + 1, all),
                     SONA_MODEL_SHORT_K + 1));
        cr_assert(eq(u32, sona_model_find_patterns(&m.view, x, 5, found), 5));
        for (uint32_t i = 0; i < 5; i++) {
            while (at < SONA_MODEL_SHORT_K + 1 && all[at].index != found[i].index)
                at++;
            if (at < 5)
                same++;
            if (at < SONA_MODEL_SHORT_K + 1) {
                cr_assert(eq(u64, found[i].id, all[at].id));
                cr_assert(eq(flt, found[i].distance, all[at].distance), "to the last bit");
            }
        }
    }
    cr_assert(gt(u32, same, queries * 5 * LEAST / 100), "%u of %u, seed %llu", same, queries * 5,
              (unsigned long long)dice.seed);
}

Test(signs, a_signature_that_is_not_its_rows_is_refused)
{
    struct dice dice = dice_open("a_signature_that_is_not_its_rows");
    struct model m;

    open_bank(&m, 40, SONA_MODEL_SCAN + 1, &dice);
    cr_assert(eq(int, sona_model_validate_cold(&m.layout, m.cold), SONA_OK));
    for (int round = 0; round < 20; round++) {
        uint32_t row = dice_below(&dice, SONA_MODEL_SCAN + 1), bit = dice_below(&dice, 256);

        signs_of(&m, row)[bit / 64] ^= 1ull << (bit % 64);
        cr_assert(eq(int, sona_model_validate_cold(&m.layout, m.cold), SONA_E_FORMAT));
        signs_of(&m, row)[bit / 64] ^= 1ull << (bit % 64);
    }
    cr_assert(eq(int, sona_model_validate_cold(&m.layout, m.cold), SONA_OK));
}

Test(signs, a_small_bank_has_none)
{
    sona_geometry g = small_geometry();
    struct model m;

    g.patterns_max = SONA_MODEL_SCAN;
    model_open(&m, &g);
    cr_assert(eq(u32, m.layout.bank_signs.count, 0));
    cr_assert(eq(sz, m.layout.bank_whole.offset,
                 m.layout.bank.offset + m.layout.bank.count * m.layout.bank.stride));
}
