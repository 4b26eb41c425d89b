/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What a small bank's rows are in whole numbers, and which of them can be among the k nearest.
 *
 * Beside the first SONA_MODEL_SCAN rows lie their centroids in 16 bits, SONA_MODEL_POINT to 1: half
 * the bytes. With u = x / |x|, S = SONA_MODEL_POINT and each number off by half a unit at most, a
 * product of whole numbers P tells the cosine within `slack`:
 *
 *     h = sqrt(dim) / 2S                          as far is a rounded vector off
 *     |u.c - P / S^2| <= h (1 + |c| + h)          |c| < 1.02, or the bank is `rough`: no sieve
 *     slack = 2.1 h + dim 1e-7 + 1e-6             the sums of floats that will be compared, too
 *
 * A row whose P is less than the k-th largest by more than two slacks is farther than k others,
 * also after their floats were rounded. Only the rest is measured, by the kernel of a scan: the
 * answer of a search is that of a scan, bit by bit.
 *
 *     the rows' products ─► largest of each of GROUPS groups ─► the k-th of those, which the k-th
 * of all is not below ─► rows that are not below it by more than two slacks
 *
 * The rows are a function of the centroids and of nothing else; products and rounding are of whole
 * numbers, equal in all rows of the kernel table. Torn ones make a bad list of rows that exist.
 */
#include <math.h>
#include <string.h>

#include "engine/model/block.h"
#include "engine/model/model.h"

#define GROUPS     16u
#define LANES      4u
#define VECTORS    (GROUPS / LANES)
#define ONE        (SONA_MODEL_POINT * SONA_MODEL_POINT) /* P of equal unit vectors */
#define LENGTH_MAX 1.01f                                 /* of a row as whole numbers; h is left */
#define LEAST      (2 * GROUPS) /* rows for which it pays, and no group is empty */
#define NORM_MIN   1e-15f       /* of a query whose reciprocal is far from the end of a float */

_Static_assert(SONA_MODEL_SIEVE_K <= GROUPS, "a k-th of the groups");
_Static_assert(SONA_MODEL_SCAN % GROUPS == 0, "whole groups");

typedef int32_t four __attribute__((vector_size(LANES * sizeof(int32_t))));

static int16_t *whole_row(const struct sona_model_layout *layout, const void *cold, uint32_t index)
{
    return (int16_t *)(void *)((unsigned char *)(uintptr_t)cold +
                               sona_model_at(&layout->bank_whole, index, 0));
}

/* The centroid in whole numbers; all 0, and false, when it is longer than a unit vector. */
static bool round_row(const float *centroid, uint32_t padded, int16_t *ret)
{
    const float most = 1.5f; /* 16 bits hold it */
    int64_t square = 0;
    bool fits = true;

    for (uint32_t i = 0; i < padded; i++)
        fits &= fabsf(centroid[i]) < most; /* a NaN is not */
    if (fits)
        sona_kernels_active()->fix(centroid, SONA_MODEL_POINT, padded, ret);
    for (uint32_t i = 0; fits && i < padded; i++)
        square += ret[i] * ret[i];
    fits = fits && square <= (int64_t)(LENGTH_MAX * LENGTH_MAX * ONE);
    if (!fits)
        memset(ret, 0, padded * sizeof *ret);
    return fits;
}

void sona_model_round_bank(const struct sona_model_layout *layout, void *cold, uint32_t n)
{
    uint32_t rough = 0, rows = n < layout->bank_whole.count ? n : layout->bank_whole.count;

    for (uint32_t i = 0; i < rows; i++)
        rough |= !round_row(sona_model_bank_part(layout, cold, i, layout->bank_centroid),
                            layout->dim_padded, whole_row(layout, cold, i));
    memset(whole_row(layout, cold, rows), 0,
           (layout->bank_whole.count - rows) * layout->bank_whole.stride);
    memcpy((unsigned char *)cold + layout->bank_rough, &rough, sizeof rough);
}

bool sona_model_rounded_bank_is_sound(const struct sona_model_layout *layout, const void *cold,
                                      uint32_t n)
{
    uint32_t rough = 0, rows = n < layout->bank_whole.count ? n : layout->bank_whole.count;
    int16_t row[SONA_DIM_MAX];

    for (uint32_t i = 0; i < rows; i++) {
        rough |= !round_row(sona_model_bank_part(layout, cold, i, layout->bank_centroid),
                            layout->dim_padded, row);
        if (memcmp(row, whole_row(layout, cold, i), layout->dim_padded * sizeof *row) != 0)
            return false;
    }
    return memcmp((const unsigned char *)cold + layout->bank_rough, &rough, sizeof rough) == 0;
}

/* The k-th largest of the groups' largest: not above the k-th largest of all. `n` is a multiple of
 * GROUPS. */
static int32_t kth_of_groups(const int32_t *product, uint32_t n, uint32_t k)
{
    four most[VECTORS];
    int32_t each[GROUPS], ret = INT32_MIN;

    memcpy(most, product, sizeof most);
    for (uint32_t i = GROUPS; i < n; i += GROUPS)
        for (uint32_t g = 0; g < VECTORS; g++) {
            four v, above;

            memcpy(&v, product + i + g * LANES, sizeof v);
            above = v > most[g];
            most[g] = (v & above) | (most[g] & ~above);
        }
    memcpy(each, most, sizeof each);
    for (uint32_t i = 0; i < GROUPS; i++) {
        const four own = {each[i], each[i], each[i], each[i]};
        four below = {0, 0, 0, 0};

        for (uint32_t g = 0; g < VECTORS; g++)
            below += most[g] >= own; /* -1 for each */
        if (-(below[0] + below[1] + below[2] + below[3]) >= (int32_t)k && each[i] > ret)
            ret = each[i];
    }
    return ret;
}

/* Two slacks in products, and one unit for what is cut off. */
static int32_t two_slacks(const struct sona_model_layout *l)
{
    float dim = (float)l->dim_padded, h = sqrtf(dim) / (2 * SONA_MODEL_POINT);

    return (int32_t)(2 * ONE * (2.1f * h + dim * 1e-7f + 1e-6f)) + 1;
}

uint32_t sona_model_sieve(const struct sona_model_view *view, const float *x, float norm,
                          uint32_t n, uint32_t k, uint16_t ret[SONA_MODEL_SCAN])
{
    const struct sona_model_layout *l = view->layout;
    const struct sona_kernels *kernels = sona_kernels_active();
    const uint32_t *rough = (const void *)sona_model_floats(view->cold, l->bank_rough);
    int32_t product[SONA_MODEL_SCAN], least, slacks = two_slacks(l);
    int16_t whole[SONA_DIM_MAX];
    uint32_t count = 0;

    if (n < LEAST || n > l->bank_whole.count || k > SONA_MODEL_SIEVE_K || !(norm > NORM_MIN) ||
        sona_model_word(rough) != 0)
        return 0;
    kernels->fix(x, SONA_MODEL_POINT / norm, l->dim_padded, whole);
    kernels->dot_rows_fixed(whole_row(l, view->cold, 0), l->bank_whole.stride / sizeof(int16_t), n,
                            whole, l->dim_padded, product);
    for (uint32_t i = n; i % GROUPS != 0; i++)
        product[i] = INT32_MIN;
    least = kth_of_groups(product, (n + GROUPS - 1) / GROUPS * GROUPS, k);
    /* As far away as can be: distances end at 4, so that more of them are equal. */
    if (least <= slacks - (int32_t)ONE)
        return 0;
    least -= slacks;
    /* As near as can be: likewise. */
    if (least > (int32_t)ONE - slacks)
        least = (int32_t)ONE - slacks;
    for (uint32_t i = 0; i < n; i++) {
        ret[count] = (uint16_t)i;
        count += product[i] >= least;
    }
    return count;
}
