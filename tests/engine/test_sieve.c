/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Searching a small bank by whole numbers first: nobody can tell it from a scan. */
#include "tests/engine/model_fixture.h"

#define ROUNDS 60
#define K_MAX  20u

static void open_bank(struct model *m, uint32_t dim, uint32_t patterns, uint32_t flags)
{
    sona_geometry g = small_geometry();

    g.dim = dim;
    g.patterns_max = patterns;
    g.flags = flags;
    model_open(m, &g);
}

static float *centroid(struct model *m, uint32_t row)
{
    return sona_model_bank_part(&m->layout, m->cold, row, m->layout.bank_centroid);
}

static int16_t *whole(struct model *m, uint32_t row)
{
    return (void *)(m->cold + sona_model_at(&m->layout.bank_whole, row, 0));
}

static uint32_t *rough(struct model *m)
{
    return (void *)(m->cold + m->layout.bank_rough);
}

static void to_unit(float *x, uint32_t dim, float length)
{
    double square = 0;

    for (uint32_t i = 0; i < dim; i++)
        square += (double)x[i] * (double)x[i];
    for (uint32_t i = 0; i < dim && square > 0; i++)
        x[i] = (float)((double)x[i] / sqrt(square)) * length;
}

/* A row of one of the kinds that are hard to tell apart, near or far from the unit query. */
static void draw_row(struct model *m, uint32_t row, const float *unit, struct dice *dice)
{
    uint32_t dim = m->layout.geometry.dim, kind = dice_below(dice, 9);
    float *x = centroid(m, row), off = powf(10, -(float)dice_below(dice, 9));
    float side = dice_below(dice, 2) ? 0.499f : -0.499f;

    fill(x, dim, m->layout.dim_padded, 1, dice);
    if (kind == 0 && row > 0) { /* some other row, or nearly */
        memcpy(x, centroid(m, dice_below(dice, row)), dim * sizeof *x);
        x[dice_below(dice, dim)] *= dice_below(dice, 2) ? 1 : 0.9999f;
        return;
    }
    if (kind == 1 || kind == 2) /* about where the query is, or opposite */
        for (uint32_t i = 0; i < dim; i++)
            x[i] = (kind == 1 ? unit[i] : -unit[i]) + off * x[i] / sqrtf((float)dim);
    if (kind == 3) /* nothing, or hardly more */
        for (uint32_t i = 0; i < dim; i++)
            x[i] *= dice_below(dice, 2) ? 0 : 1e-40f;
    if (kind == 4) /* one axis */
        for (uint32_t i = 0, at = dice_below(dice, dim); i < dim; i++)
            x[i] = i == at;
    if (kind > 4 && kind < 8) /* all numbers off by half a unit, all the same way */
        for (uint32_t i = 0; i < dim; i++)
            x[i] = (roundf(unit[i] * SONA_MODEL_POINT * 0.9f) + copysignf(side, side * unit[i])) /
                   SONA_MODEL_POINT;
    else if (kind != 3)
        to_unit(x, dim, dice_below(dice, 4) ? 1 : 1.0f + 0.006f * dice_signed(dice));
}

static void draw_bank(struct model *m, uint32_t n, const float *unit, struct dice *dice)
{
    uint32_t dim = m->layout.geometry.dim, kind = dice_below(dice, 5);

    model_fill_bank(m, n, dice);
    for (uint32_t c = 0; c < n; c++) {
        if (kind > 1) /* any of the hard ones */
            draw_row(m, c, unit, dice);
        else if (kind == 1) /* all as far away as can be, or a little farther */
            for (uint32_t i = 0; i < dim; i++)
                centroid(m, c)[i] = -unit[i];
        if (kind == 1)
            to_unit(centroid(m, c), dim, 1 + 0.006f * dice_unit(dice));
    }
    sona_model_index_bank(&m->layout, m->cold, n);
}

/* A prepared query, and its direction. */
static void draw_query(struct model *m, float *x, float *unit, struct dice *dice)
{
    uint32_t dim = m->layout.geometry.dim, kind = dice_below(dice, 3);
    float raw[SONA_DIM_MAX], scale = powf(10, (float)dice_below(dice, 12) - 6);

    fill(raw, dim, dim, 1, dice);
    for (uint32_t i = 0; i < dim; i++)
        raw[i] = scale * (kind == 0 ? (raw[i] < 0 ? -1.0f : 1.0f) : raw[i]);
    cr_assert(eq(int, sona_model_prepare(&m->layout, raw, x), SONA_OK));
    memcpy(unit, x, dim * sizeof *x);
    to_unit(unit, dim, 1);
}

/* One search by the sieve and one by the scan; true when the sieve left rows out. */
static bool search_both(struct model *m, uint32_t n, struct dice *dice, const char *row)
{
    sona_pattern found[K_MAX], scanned[K_MAX];
    float x[SONA_DIM_MAX] __attribute__((aligned(64))), unit[SONA_DIM_MAX];
    uint32_t k = 1 + dice_below(dice, K_MAX), count, listed;
    uint16_t list[SONA_MODEL_SCAN];

    draw_query(m, x, unit, dice);
    draw_bank(m, n, unit, dice);
    cr_assert(eq(u32, *rough(m), 0));
    memset(found, 0, sizeof found);
    memset(scanned, 0, sizeof scanned);
    count = sona_model_find_patterns(&m->view, x, k, found);
    listed = sona_model_sieve(
        &m->view, x, sqrtf(sona_kernels_active()->dot(x, x, m->layout.dim_padded)), n, k, list);
    *rough(m) = 1;
    cr_assert(eq(u32, sona_model_find_patterns(&m->view, x, k, scanned), count));
    for (uint32_t i = 0; i < count; i++)
        cr_assert(eq(u32, found[i].index, scanned[i].index),
                  "%u of %u, k %u, %s, dim %u, seed %llu", i, n, k, row, m->layout.geometry.dim,
                  (unsigned long long)dice->seed);
    cr_assert(eq(int, memcmp(found, scanned, sizeof found), 0), "n %u k %u, %s, seed %llu", n, k,
              row, (unsigned long long)dice->seed);
    return listed > 0 && listed < n;
}

Test(sieve, a_search_through_it_is_a_scan_bit_by_bit_whatever_the_rows_are)
{
    struct dice dice = dice_open("a_search_through_it");

    for (const struct sona_kernels *const *row = sona_kernels_all(); *row; row++) {
        uint32_t used = 0;

        if (!sona_kernels_select((*row)->name))
            continue;
        for (int round = 0; round < ROUNDS; round++) {
            uint32_t dim = 16 + dice_below(&dice, round % 8 ? 300 : SONA_DIM_MAX - 15);
            uint32_t n = 1 + dice_below(&dice, SONA_MODEL_SCAN);
            struct model m;

            open_bank(&m, dim, n + dice_below(&dice, 2 * SONA_MODEL_SCAN),
                      dice_below(&dice, 2) ? SONA_GEOMETRY_NORMALIZE : 0);
            used += search_both(&m, n, &dice, (*row)->name);
            model_close(&m);
        }
        cr_assert(gt(u32, used, ROUNDS / 10), "%u of %d, seed %llu", used, ROUNDS,
                  (unsigned long long)dice.seed);
    }
}

Test(sieve, a_few_rows_of_a_usual_bank_are_left)
{
    struct dice dice = dice_open("a_few_rows");
    uint32_t listed = 0, queries = 200;
    struct model m;

    open_bank(&m, 256, 100, SONA_GEOMETRY_NORMALIZE);
    model_fill_bank(&m, 100, &dice);
    for (uint32_t q = 0; q < queries; q++) {
        uint16_t list[SONA_MODEL_SCAN];
        float x[256];

        model_query(&m, x, &dice);
        listed += sona_model_sieve(&m.view, x, 1, 100, 5, list);
    }
    /* 5.7 by the groups, and those within two slacks. */
    cr_assert(ge(u32, listed, 5 * queries), "seed %llu", (unsigned long long)dice.seed);
    cr_assert(lt(u32, listed, 10 * queries), "%u, seed %llu", listed,
              (unsigned long long)dice.seed);
    model_close(&m);
}

Test(sieve, a_bank_that_whole_numbers_cannot_tell_is_scanned)
{
    static const float bad[] = {1.1f, 1e4f, 1e30f, INFINITY, NAN};
    struct dice dice = dice_open("a_bank_that_whole_numbers_cannot_tell");

    for (size_t b = 0; b < sizeof bad / sizeof *bad; b++) {
        uint16_t list[SONA_MODEL_SCAN];
        float x[48];
        struct model m;

        open_bank(&m, 40, 100, SONA_GEOMETRY_NORMALIZE);
        model_fill_bank(&m, 100, &dice);
        model_query(&m, x, &dice);
        cr_assert(gt(u32, sona_model_sieve(&m.view, x, 1, 100, 5, list), 0));
        memset(centroid(&m, 40), 0, 40 * sizeof(float));
        centroid(&m, 40)[3] = bad[b];
        sona_model_index_bank(&m.layout, m.cold, 100);
        cr_assert(eq(u32, *rough(&m), 1), "%g", (double)bad[b]);
        cr_assert(eq(u32, sona_model_sieve(&m.view, x, 1, 100, 5, list), 0));
        model_close(&m);
    }
}

Test(sieve, a_row_that_is_not_its_centroids_is_refused)
{
    struct dice dice = dice_open("a_row_that_is_not_its_centroids");
    struct model m;

    open_bank(&m, 40, 100, SONA_GEOMETRY_NORMALIZE);
    model_fill_bank(&m, 100, &dice);
    cr_assert(eq(int, sona_model_validate_cold(&m.layout, m.cold), SONA_OK));
    for (int round = 0; round < 20; round++) {
        int16_t *at = whole(&m, dice_below(&dice, 100)) + dice_below(&dice, 40);

        *at ^= (int16_t)(1 << dice_below(&dice, 15));
        cr_assert(eq(int, sona_model_validate_cold(&m.layout, m.cold), SONA_E_FORMAT), "seed %llu",
                  (unsigned long long)dice.seed);
        sona_model_index_bank(&m.layout, m.cold, 100);
        cr_assert(eq(int, sona_model_validate_cold(&m.layout, m.cold), SONA_OK));
    }
    *rough(&m) = 1;
    cr_assert(eq(int, sona_model_validate_cold(&m.layout, m.cold), SONA_E_FORMAT));
    model_close(&m);
}
