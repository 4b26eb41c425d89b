/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Sizes and offsets: areas never overlap, products never wrap; page 0 is judged before it is used.
 */
#include <stdint.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <sona/client.h>

#include "shm/layout.h"
#include "shm/record.h"

static struct sona_shm_plan usual(void)
{
    return (struct sona_shm_plan){.hot_slots = SONA_SHM_HOT_SLOTS,
                                  .cold_slots = SONA_SHM_COLD_SLOTS,
                                  .ring_slots = SONA_SHM_RING_SLOTS,
                                  .record_stride = 1344,
                                  .n_lanes = 4,
                                  .hot_bytes = 70000,
                                  .cold_bytes = 1000001};
}

Test(plan, areas_follow_one_another_without_overlap)
{
    struct sona_shm_plan p = usual();

    cr_assert(eq(int, sona_shm_plan_init(&p), SONA_OK));
    cr_assert(ge(u64, p.hot_offset, 3 * SONA_SHM_PAGE));
    cr_assert(ge(u64, p.hot_stride, p.hot_bytes + sizeof(struct sona_shm_hot)));
    cr_assert(eq(u64, p.hot_stride % SONA_SHM_SPACING, 0));
    cr_assert(ge(u64, p.cold_offset, p.hot_offset + p.hot_slots * p.hot_stride));
    cr_assert(ge(u64, p.cold_stride, p.cold_bytes + sizeof(struct sona_shm_cold)));
    cr_assert(eq(u64, p.cold_stride % SONA_SHM_SPACING, 0));
    cr_assert(ge(u64, p.model_bytes, p.cold_offset + p.cold_slots * p.cold_stride));
    cr_assert(eq(u64, p.model_bytes % SONA_SHM_PAGE, 0));
    cr_assert(ge(u64, p.records_offset, sizeof(struct sona_shm_lane)));
    cr_assert(ge(u64, p.lane_stride, p.records_offset + p.ring_slots * p.record_stride));
    cr_assert(ge(u64, p.lanes_bytes, p.lane_offset + p.n_lanes * p.lane_stride));
    cr_assert(eq(u64, p.lane_offset % SONA_SHM_PAGE, 0));
}

Test(plan, numbers_outside_their_limits_are_refused_and_change_nothing)
{
    struct sona_shm_plan wrong[] = {usual(), usual(), usual(), usual(), usual(), usual(), usual(),
                                    usual(), usual(), usual(), usual(), usual(), usual()};
    size_t n = 0;

    wrong[n++].hot_slots = 1;
    wrong[n++].hot_slots = SONA_SHM_HOT_MAX + 1;
    wrong[n++].cold_slots = 1;
    wrong[n++].cold_slots = SONA_SHM_COLD_MAX + 1;
    wrong[n++].ring_slots = 0;
    wrong[n++].ring_slots = 1000;
    wrong[n++].ring_slots = 2 * SONA_SHM_RING_SLOTS_MAX;
    wrong[n++].record_stride = 0;
    wrong[n++].record_stride = 1340;
    wrong[n++].record_stride = SONA_SHM_STRIDE_MAX + 64;
    wrong[n++].n_lanes = SONA_LANES_MAX + 1;
    wrong[n++].hot_bytes = 0;
    wrong[n++].cold_bytes = 0;
    cr_assert(eq(sz, n, sizeof wrong / sizeof wrong[0]));
    for (size_t i = 0; i < n; i++) {
        struct sona_shm_plan p = wrong[i];

        cr_assert(eq(int, sona_shm_plan_init(&p), SONA_E_RANGE), "case %zu", i);
        cr_assert(eq(int, memcmp(&p, &wrong[i], sizeof p), 0), "case %zu", i);
    }
}

Test(plan, sums_and_products_that_overflow_are_refused)
{
    static const uint64_t huge[] = {UINT64_MAX,
                                    UINT64_MAX - sizeof(struct sona_shm_hot),
                                    UINT64_MAX - 3 * SONA_SHM_PAGE,
                                    UINT64_MAX / 2,
                                    UINT64_MAX / SONA_SHM_COLD_SLOTS,
                                    (uint64_t)INT64_MAX,
                                    (uint64_t)INT64_MAX / SONA_SHM_COLD_SLOTS};

    for (size_t i = 0; i < sizeof huge / sizeof huge[0]; i++) {
        struct sona_shm_plan hot = usual(), cold = usual();

        hot.hot_bytes = huge[i];
        cold.cold_bytes = huge[i];
        cr_assert(eq(int, sona_shm_plan_init(&hot), SONA_E_RANGE), "hot, case %zu", i);
        cr_assert(eq(int, sona_shm_plan_init(&cold), SONA_E_RANGE), "cold, case %zu", i);
    }
}

/* Two hot slots whose end is just within 64 bits: what comes behind them is not. */
Test(plan, an_area_that_ends_at_the_edge_of_64_bits_is_refused_with_what_is_before_it)
{
    const uint64_t half = UINT64_C(1) << 63, head = sizeof(struct sona_shm_hot);
    const uint64_t strides[] = {half - SONA_SHM_SPACING, /* with what comes before: beyond */
                                half - 3 * SONA_SHM_PAGE / 2 - SONA_SHM_SPACING}; /* rounded up */

    for (size_t i = 0; i < sizeof strides / sizeof strides[0]; i++) {
        struct sona_shm_plan p = usual();

        cr_assert(eq(u64, strides[i] % SONA_SHM_SPACING, 0));
        p.hot_slots = 2;
        p.hot_bytes = strides[i] - head;
        cr_expect(eq(int, sona_shm_plan_init(&p), SONA_E_RANGE), "case %zu", i);
        cr_expect(eq(u64, p.cold_offset, 0));
    }
}

Test(plan, crc32c_agrees_with_the_check_value_of_the_standard)
{
    cr_assert(eq(u32, sona_shm_crc32c("123456789", 9), 0xe3069283u));
    cr_assert(eq(u32, sona_shm_crc32c("", 0), 0));
}

static struct sona_shm_header header_make(void)
{
    struct sona_shm_header h;

    memset(&h, 0, sizeof h);
    h.magic = SONA_SHM_MAGIC;
    h.abi_major = SONA_ABI_MAJOR;
    h.abi_minor = SONA_ABI_MINOR;
    h.header_bytes = sizeof h;
    h.layout_hash = sona_shm_layout_hash();
    h.endianness = SONA_SHM_ENDIANNESS;
    h.geometry = (sona_geometry){.dim = 64, .attention_dim = 8};
    h.hot_slots = SONA_SHM_HOT_SLOTS;
    h.cold_slots = SONA_SHM_COLD_SLOTS;
    h.hot_bytes = h.cold_bytes = 4096;
    h.ring_slots = 64;
    h.record_stride = sona_record_stride(&h.geometry);
    h.crc = sona_shm_crc32c(&h, offsetof(struct sona_shm_header, crc));
    return h;
}

static sona_err check_again(struct sona_shm_header *h)
{
    h->crc = sona_shm_crc32c(h, offsetof(struct sona_shm_header, crc));
    return sona_shm_header_check(h, NULL);
}

Test(plan, a_header_of_another_kind_is_refused_with_its_reason)
{
    struct sona_shm_header h = header_make();
    sona_diag diag = {.code = SONA_OK};

    cr_assert(eq(int, sona_shm_header_check(&h, NULL), SONA_OK));
    h.abi_major++;
    cr_assert(eq(int, sona_shm_header_check(&h, &diag), SONA_E_ABI));
    cr_assert(eq(int, diag.code, SONA_E_ABI));
    cr_assert(ne(ptr, strstr(diag.text, "upgrade"), NULL), "%s", diag.text);
    h = header_make();
    h.layout_hash ^= 1;
    cr_assert(eq(int, check_again(&h), SONA_E_ABI));
    h = header_make();
    h.endianness = 0x04030201;
    cr_assert(eq(int, check_again(&h), SONA_E_ABI));
    h = header_make();
    h.record_stride += 64;
    cr_assert(eq(int, check_again(&h), SONA_E_GEOMETRY));
    h = header_make();
    h.magic ^= 1;
    cr_assert(eq(int, check_again(&h), SONA_E_GEOMETRY));
}

Test(plan, a_header_of_impossible_vectors_is_refused_though_its_records_fit_them)
{
    const sona_geometry wrong[] = {{.dim = SONA_DIM_MIN - 1},
                                   {.dim = SONA_DIM_MAX + 1},
                                   {.dim = 64, .attention_dim = SONA_ATTENTION_MAX + 1}};

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct sona_shm_header h = header_make();

        h.geometry = wrong[i];
        h.record_stride = sona_record_stride(&h.geometry);
        cr_expect(eq(int, check_again(&h), SONA_E_GEOMETRY), "case %zu", i);
    }
}

Test(plan, any_flipped_byte_of_a_header_is_noticed)
{
    for (size_t i = 0; i < sizeof(struct sona_shm_header); i++) {
        struct sona_shm_header h = header_make();

        ((unsigned char *)&h)[i] ^= 0x10;
        if (i >= offsetof(struct sona_shm_header, crc) + sizeof h.crc)
            continue; /* the tail that aligns the struct */
        cr_assert(ne(int, sona_shm_header_check(&h, NULL), SONA_OK), "byte %zu", i);
    }
}

Test(plan, the_smallest_record_holds_a_context)
{
    sona_geometry g = {.dim = SONA_DIM_MIN};

    cr_assert(ge(u32, sona_record_stride(&g), sizeof(struct sona_record) + 64));
    g = (sona_geometry){.dim = SONA_DIM_MAX, .attention_dim = SONA_ATTENTION_MAX};
    cr_assert(le(u32, sona_record_stride(&g), SONA_SHM_STRIDE_MAX));
}
