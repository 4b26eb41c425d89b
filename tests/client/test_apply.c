/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Adapters for many vectors at once, and merged into a caller's weights. */
#include <math.h>
#include <string.h>

#include "client_fixture.h"
#include "watch.h"

#define ROWS 5
#define LONG 10000 /* rows: more than one chunk of a batch */

TestSuite(adapters, .init = client_start, .fini = client_stop);

/* Rows of a matrix, or vectors: nowhere zero, none like another. */
static void fill(float *ret, uint32_t rows)
{
    for (uint32_t i = 0; i < rows * FAKE_DIM; i++)
        ret[i] = sinf((float)i + 1);
}

static sona_err batch(int tier, uint32_t n, const float *from, uint32_t dim, float *to, uint64_t *v)
{
    return tier == 0   ? sona_apply_batch(lane, n, from, dim, to, v)
           : tier == 1 ? sona_apply_micro_batch(lane, n, from, dim, to, v)
                       : sona_apply_base_batch(lane, 0, n, from, dim, to, v);
}

static sona_err single(int tier, const float *from, float *to)
{
    return tier == 0   ? sona_apply(lane, from, FAKE_DIM, to, NULL)
           : tier == 1 ? sona_apply_micro(lane, from, FAKE_DIM, to, NULL)
                       : sona_apply_base(lane, 0, from, FAKE_DIM, to, NULL);
}

Test(adapters, a_batch_of_any_length_is_its_rows_one_by_one)
{
    static const uint32_t lengths[] = {1, ROWS, LONG};
    static float from[LONG * FAKE_DIM], to[LONG * FAKE_DIM];
    float one[FAKE_DIM];

    fill(from, LONG);
    for (int tier = 0; tier < 3; tier++)
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            uint64_t version = 0;

            memset(to, 0, sizeof to);
            cr_assert(eq(int, batch(tier, lengths[l], from, FAKE_DIM, to, &version), SONA_OK));
            cr_assert(gt(u64, version, 0));
            for (uint32_t i = 0; i < lengths[l]; i++) {
                cr_assert(eq(int, single(tier, from + i * FAKE_DIM, one), SONA_OK));
                cr_assert(zero(int, memcmp(to + i * FAKE_DIM, one, sizeof one)), "tier %d row %u",
                          tier, i);
            }
            cr_assert(ne(int, memcmp(to, from, sizeof one), 0), "tier %d adds something", tier);
            cr_assert(lengths[l] == LONG || to[lengths[l] * FAKE_DIM] == 0, "and no more");
        }
}

static double product(const float *w, const float *v)
{
    double sum = 0;

    for (uint32_t i = 0; i < FAKE_DIM; i++)
        sum += (double)w[i] * (double)v[i];
    return sum;
}

Test(adapters, merged_weights_do_to_x_what_the_weights_do_to_the_adapted_x)
{
    static const uint32_t layers[] = {0, SONA_LAYER_BOTH};
    float w[ROWS * FAKE_DIM], merged[ROWS * FAKE_DIM], y[FAKE_DIM];
    uint64_t version, applied;

    fill(w, ROWS);
    for (size_t l = 0; l < 2; l++) {
        double change = 0;

        cr_assert(eq(int, sona_merge_into(lane, layers[l], w, ROWS, FAKE_DIM, merged, &version),
                     SONA_OK));
        if (layers[l] == SONA_LAYER_BOTH)
            cr_assert(eq(int, sona_apply(lane, x, FAKE_DIM, y, &applied), SONA_OK));
        else
            cr_assert(eq(int, sona_apply_base(lane, 0, x, FAKE_DIM, y, &applied), SONA_OK));
        cr_assert(eq(u64, version, applied), "of one snapshot");
        for (uint32_t r = 0; r < ROWS; r++) {
            double adapted = product(w + r * FAKE_DIM, y), plain = product(w + r * FAKE_DIM, x);

            cr_assert(epsilon_eq(dbl, product(merged + r * FAKE_DIM, x), adapted, 1e-3));
            change += fabs(adapted - plain);
        }
        cr_assert(gt(dbl, change, 0.1), "and that is something");
    }
    cr_assert(eq(int, sona_merge_into(lane, 1, w, ROWS, FAKE_DIM, merged, NULL), SONA_OK));
    cr_assert(zero(int, memcmp(merged, w, sizeof w)), "a layer that has learned nothing");
}

Test(adapters, batches_and_merges_are_refused_whole_and_counted)
{
    float from[(ROWS + 1) * FAKE_DIM], to[ROWS * FAKE_DIM] = {0};
    static const float nothing[ROWS * FAKE_DIM];

    fill(from, ROWS + 1);
    for (int tier = 0; tier < 3; tier++) {
#define REFUSED(n, in, dim, out, error, counter) \
    WATCH_REFUSED(client, batch(tier, n, in, dim, out, NULL), error, counter)
        REFUSED(0, from, FAKE_DIM, to, SONA_E_RANGE, refused_range);
        REFUSED(ROWS, from, FAKE_DIM + 1, to, SONA_E_SHAPE, refused_shape);
        REFUSED(ROWS, NULL, FAKE_DIM, to, SONA_E_ARGUMENT, refused_argument);
        REFUSED(ROWS, from, FAKE_DIM, NULL, SONA_E_ARGUMENT, refused_argument);
        REFUSED(ROWS, from, FAKE_DIM, from + FAKE_DIM, SONA_E_ARGUMENT, refused_argument);
        REFUSED(ROWS, from + FAKE_DIM, FAKE_DIM, from, SONA_E_ARGUMENT, refused_argument);
        from[ROWS * FAKE_DIM - 1] = INFINITY; /* in the last row */
        REFUSED(ROWS, from, FAKE_DIM, to, SONA_E_NOT_FINITE, refused_not_finite);
        from[ROWS * FAKE_DIM - 1] = 1;
#undef REFUSED
    }
#define REFUSED(layer, rows, in, cols, out, error, counter) \
    WATCH_REFUSED(client, sona_merge_into(lane, layer, in, rows, cols, out, NULL), error, counter)
    REFUSED(0, 0, from, FAKE_DIM, to, SONA_E_RANGE, refused_range);
    REFUSED(2, ROWS, from, FAKE_DIM, to, SONA_E_RANGE, refused_range);
    REFUSED(SONA_LAYER_BOTH - 1, ROWS, from, FAKE_DIM, to, SONA_E_RANGE, refused_range);
    REFUSED(0, ROWS, from, FAKE_DIM - 1, to, SONA_E_SHAPE, refused_shape);
    REFUSED(0, ROWS, from, FAKE_DIM, from, SONA_E_ARGUMENT, refused_argument);
    REFUSED(0, ROWS, from, FAKE_DIM, NULL, SONA_E_ARGUMENT, refused_argument);
    from[0] = NAN;
    REFUSED(0, ROWS, from, FAKE_DIM, to, SONA_E_NOT_FINITE, refused_not_finite);
    REFUSED(0, 1, from, FAKE_DIM, to, SONA_E_NOT_FINITE, refused_not_finite);
#undef REFUSED
    /* What stands for both tiers in a merge is no layer of its own. */
    WATCH_REFUSED(client, sona_apply_base(lane, SONA_LAYER_BOTH, x, FAKE_DIM, to, NULL),
                  SONA_E_RANGE, refused_range);
    WATCH_REFUSED(client, sona_apply_base_batch(lane, SONA_LAYER_BOTH, 1, x, FAKE_DIM, to, NULL),
                  SONA_E_RANGE, refused_range);
    cr_assert(zero(int, memcmp(to, nothing, sizeof to)), "nothing was written");
}

Test(adapters, without_a_model_rows_and_weights_come_back_as_they_are)
{
    sona_client_options options = fake_options(&fake);
    float from[ROWS * FAKE_DIM], to[ROWS * FAKE_DIM];
    sona_client *alone = NULL;
    sona_lane *its;
    uint64_t version = 1;

    options.instance = "nobody";
    options.when_absent = SONA_DETACHED;
    options.dim = FAKE_DIM;
    fill(from, ROWS);
    cr_assert(eq(int, sona_client_open(&alone, &options, NULL), SONA_OK));
    cr_assert(eq(int, sona_lane_claim(alone, &its, NULL), SONA_OK));
    cr_assert(eq(int, sona_apply_batch(its, ROWS, from, FAKE_DIM, to, &version), SONA_OK));
    cr_assert(zero(u64, version));
    cr_assert(zero(int, memcmp(to, from, sizeof to)));
    memset(to, 0, sizeof to);
    version = 1;
    cr_assert(eq(int, sona_merge_into(its, SONA_LAYER_BOTH, from, ROWS, FAKE_DIM, to, &version),
                 SONA_OK));
    cr_assert(zero(u64, version));
    cr_assert(zero(int, memcmp(to, from, sizeof to)));
    cr_assert(eq(u64, watch_stats(alone).identity, 2));
    sona_client_close(&alone);
}
