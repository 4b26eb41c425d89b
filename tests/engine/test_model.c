/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The model block: where things are, what is refused, what the adapters and lookups answer. */
#include "tests/engine/model_fixture.h"

static const sona_geometry largest = {
    .dim = SONA_DIM_MAX,
    .routes_max = SONA_ROUTES_MAX,
    .micro_rank = SONA_MICRO_RANK_MAX,
    .base_rank = SONA_BASE_RANK_MAX,
    .layers = SONA_LAYERS_MAX,
    .patterns_max = SONA_PATTERNS_MAX,
    .attention_dim = SONA_ATTENTION_MAX,
    .flags = SONA_GEOMETRY_NORMALIZE,
};

Test(layout, every_part_is_aligned_and_ends_before_the_next_begins)
{
    const sona_geometry small = small_geometry();
    const sona_geometry *each[] = {&small, &largest};

    for (int i = 0; i < 2; i++) {
        struct sona_model_layout l;
        size_t vector, matrix;

        cr_assert(eq(int, sona_model_layout_init(&l, each[i]), SONA_OK));
        vector = l.dim_padded * sizeof(float);
        matrix = l.geometry.base_rank * vector;
        const size_t hot[] = {sizeof(struct sona_model_hot),
                              l.micro_a,
                              l.micro_a + l.geometry.micro_rank * vector,
                              l.micro_b,
                              l.micro_b + l.geometry.micro_rank * vector,
                              l.micro_heads,
                              l.hot_dense_bytes,
                              l.routes.offset,
                              l.routes.offset + l.routes.count * l.routes.stride,
                              l.pattern_stats.offset,
                              l.pattern_stats.offset +
                                  l.pattern_stats.count * l.pattern_stats.stride,
                              l.hot_bytes};
        const size_t cold[] = {sizeof(struct sona_model_cold),
                               l.code,
                               l.code + matrix,
                               l.base_a,
                               l.base_a + matrix,
                               l.base_b,
                               l.base_a + l.geometry.layers * l.layer_stride,
                               l.cold_dense_bytes,
                               l.refit.offset,
                               l.refit.offset + l.refit.count * l.refit.stride,
                               l.patterns.offset,
                               l.patterns.offset + l.patterns.count * l.patterns.stride,
                               l.cold_bytes};
        const size_t starts[] = {l.micro_a,
                                 l.micro_b,
                                 l.micro_heads,
                                 l.routes.offset,
                                 l.routes.stride,
                                 l.route_head,
                                 l.route_code,
                                 l.route_cov,
                                 l.pattern_stats.offset,
                                 l.pattern_stats.stride,
                                 l.code,
                                 l.base_a,
                                 l.base_b,
                                 l.layer_stride,
                                 l.refit.offset,
                                 l.refit.stride,
                                 l.patterns.offset,
                                 l.patterns.stride,
                                 l.pattern_centroid,
                                 l.pattern_lin,
                                 l.pattern_lifted};

        for (size_t at = 1; at < sizeof hot / sizeof *hot; at++)
            cr_assert(le(sz, hot[at - 1], hot[at]), "hot part %zu", at);
        for (size_t at = 1; at < sizeof cold / sizeof *cold; at++)
            cr_assert(le(sz, cold[at - 1], cold[at]), "cold part %zu", at);
        for (size_t at = 0; at < sizeof starts / sizeof *starts; at++)
            cr_assert(eq(sz, starts[at] % SONA_MODEL_ALIGN, 0), "part %zu", at);
    }
}

Test(layout, a_field_outside_its_limits_is_refused)
{
    struct sona_model_layout l;
    uint32_t which = 0;

    for (; which < 14; which++) {
        sona_geometry g = small_geometry();

        switch (which) {
        case 0:
            g.dim = SONA_DIM_MIN - 1;
            break;
        case 1:
            g.dim = SONA_DIM_MAX + 1;
            break;
        case 2:
            g.routes_max = 0;
            break;
        case 3:
            g.routes_max = SONA_ROUTES_MAX + 1;
            break;
        case 4:
            g.micro_rank = 0;
            break;
        case 5:
            g.micro_rank = SONA_MICRO_RANK_MAX + 1;
            break;
        case 6:
            g.base_rank = SONA_BASE_RANK_MIN - 1;
            break;
        case 7:
            g.base_rank = SONA_BASE_RANK_MAX + 1;
            break;
        case 8:
            g.layers = 0;
            break;
        case 9:
            g.layers = SONA_LAYERS_MAX + 1;
            break;
        case 10:
            g.patterns_max = 0;
            break;
        case 11:
            g.patterns_max = SONA_PATTERNS_MAX + 1;
            break;
        case 12:
            g.attention_dim = SONA_ATTENTION_MAX + 1;
            break;
        default:
            g.flags = 4;
            break;
        }
        cr_assert(eq(int, sona_model_layout_init(&l, &g), SONA_E_RANGE), "case %u", which);
    }
    sona_geometry g = small_geometry();
    g.dim = 5;
    g.base_rank = 6;
    cr_assert(eq(int, sona_model_layout_init(&l, &g), SONA_E_RANGE),
              "a code longer than the query");
}

Test(validate, empty_and_full_models_are_sound)
{
    sona_geometry g = small_geometry();
    struct dice dice = dice_open("empty_and_full_models_are_sound");
    struct model m;

    model_open(&m, &g);
    cr_assert(eq(int, sona_model_validate_hot(&m.layout, m.hot), SONA_OK));
    cr_assert(eq(int, sona_model_validate_cold(&m.layout, m.cold), SONA_OK));
    model_fill(&m, 8, 12, &dice);
    model_fill_bank(&m, 12, &dice);
    cr_assert(eq(int, sona_model_validate_hot(&m.layout, m.hot), SONA_OK));
    cr_assert(eq(int, sona_model_validate_cold(&m.layout, m.cold), SONA_OK));
}

/* Overwrite `bytes` at `at`, expect a refusal, put the old bytes back. */
static void assert_hot_refused(struct model *m, void *at, const void *bytes, size_t n,
                               const char *what)
{
    unsigned char keep[64];

    memcpy(keep, at, n);
    memcpy(at, bytes, n);
    cr_assert(eq(int, sona_model_validate_hot(&m->layout, m->hot), SONA_E_FORMAT), "%s", what);
    memcpy(at, keep, n);
    cr_assert(eq(int, sona_model_validate_hot(&m->layout, m->hot), SONA_OK), "%s undone", what);
}

static void assert_cold_refused(struct model *m, void *at, const void *bytes, size_t n,
                                const char *what)
{
    unsigned char keep[64];

    memcpy(keep, at, n);
    memcpy(at, bytes, n);
    cr_assert(eq(int, sona_model_validate_cold(&m->layout, m->cold), SONA_E_FORMAT), "%s", what);
    memcpy(at, keep, n);
    cr_assert(eq(int, sona_model_validate_cold(&m->layout, m->cold), SONA_OK), "%s undone", what);
}

Test(validate, a_damaged_hot_block_is_refused)
{
    sona_geometry g = small_geometry();
    struct dice dice = dice_open("a_damaged_hot_block_is_refused");
    const float nan = NAN, inf = INFINITY, minus = -1, huge = 3e30f;
    const uint32_t nine = 9, thirteen = 13, two = 2, three = 3;
    struct model m;
    struct sona_model_hot *head;
    struct sona_model_route *row;
    char name[SONA_ROUTE_NAME_MAX];

    memset(name, 'x', sizeof name);
    model_open(&m, &g);
    model_fill(&m, 8, 12, &dice);
    model_fill_bank(&m, 12, &dice);
    head = model_head(&m);
    row = model_route(&m, 5);
    assert_hot_refused(&m, &head->magic, "SONACLD1", 8, "magic");
    assert_hot_refused(&m, &head->bytes, &nine, 4, "bytes");
    assert_hot_refused(&m, &head->n_routes, &nine, 4, "routes");
    assert_hot_refused(&m, &head->n_patterns, &thirteen, 4, "patterns");
    assert_hot_refused(&m, &head->enabled, &two, 4, "enabled");
    assert_hot_refused(&m, &head->lambda, &minus, 4, "lambda");
    assert_hot_refused(&m, &head->max_explore, &nan, 4, "max_explore");
    assert_hot_refused(&m, &head->mse, &inf, 4, "mse");
    assert_hot_refused(&m, &head->stack[6], &nan, 4, "stack");
    assert_hot_refused(&m, hot_floats(&m, m.layout.micro_a) + 3, &inf, 4, "A");
    assert_hot_refused(&m, hot_floats(&m, m.layout.micro_b) + 3, &huge, 4, "B");
    assert_hot_refused(&m, hot_floats(&m, m.layout.micro_heads) + 3, &nan, 4, "B' w");
    assert_hot_refused(&m, &row->id, &three, 4, "id of another row");
    assert_hot_refused(&m, &row->state, &three, 4, "state");
    assert_hot_refused(&m, row->name, name, sizeof name, "name without end");
    assert_hot_refused(&m, row->name, "", 1, "empty name");
    assert_hot_refused(&m, &row->cost, &minus, 4, "cost");
    assert_hot_refused(&m, &row->n, &minus, 4, "count");
    assert_hot_refused(&m, &row->s, &nan, 4, "sum");
    assert_hot_refused(&m, &row->mean, &nan, 4, "mean");
    for (int i = 0; i < 3; i++) {
        const size_t part[] = {m.layout.route_head, m.layout.route_code, m.layout.route_cov};

        assert_hot_refused(&m, hot_floats(&m, sona_model_at(&m.layout.routes, 5, part[i])), &nan, 4,
                           "part of a route");
    }
    assert_hot_refused(&m, hot_floats(&m, sona_model_at(&m.layout.routes, 5, m.layout.route_cov)),
                       &minus, 4, "negative variance");
    assert_hot_refused(&m, hot_floats(&m, sona_model_at(&m.layout.pattern_stats, 11, 0)), &minus, 4,
                       "count of a pattern");
}

Test(validate, a_damaged_cold_block_is_refused)
{
    sona_geometry g = small_geometry();
    struct dice dice = dice_open("a_damaged_cold_block_is_refused");
    const float nan = NAN, zero = 0, two = 2;
    const uint32_t thirteen = 13, nine = 9;
    int16_t far[20];
    struct model m;
    struct sona_model_pattern *row;

    model_open(&m, &g);
    model_fill(&m, 8, 12, &dice);
    model_fill_bank(&m, 12, &dice);
    for (size_t i = 0; i < sizeof far / sizeof *far; i++)
        far[i] = INT16_MAX;
    row = (void *)(m.cold + sona_model_at(&m.layout.patterns, 7, 0));
    assert_cold_refused(&m, m.cold, "SONAHOT1", 8, "magic");
    assert_cold_refused(&m, &model_cold(&m)->bytes, &nine, 4, "bytes");
    assert_cold_refused(&m, &model_cold(&m)->n_patterns, &thirteen, 4, "patterns");
    assert_cold_refused(&m, &model_cold(&m)->pattern_width, &zero, 4, "width");
    assert_cold_refused(&m, cold_floats(&m, m.layout.code), &nan, 4, "code");
    assert_cold_refused(&m, cold_floats(&m, m.layout.base_b + m.layout.layer_stride), &nan, 4,
                        "second layer");
    assert_cold_refused(&m, cold_floats(&m, sona_model_at(&m.layout.refit, 7, 0)), &nan, 4,
                        "refit");
    assert_cold_refused(&m, &row->type, &nine, 4, "type");
    assert_cold_refused(&m, &row->quality, &two, 4, "quality");
    assert_cold_refused(
        &m, cold_floats(&m, sona_model_at(&m.layout.patterns, 7, m.layout.pattern_centroid)), &nan,
        4, "centroid");
    assert_cold_refused(
        &m, cold_floats(&m, sona_model_at(&m.layout.patterns, 7, m.layout.pattern_lifted)), far,
        sizeof far, "lifted centroid");
}

/* Every tier, and a y that no model stands behind: `want`, and where that is a refusal y is as it
 * was.
 */
static void assert_adapts(const struct model *m, const float *x, sona_err want)
{
    const uint32_t dim = m->layout.geometry.dim;
    float y[20], before[20];

    for (uint32_t i = 0; i < dim; i++)
        before[i] = y[i] = 7;
    for (uint32_t tier = 0; tier < 5; tier++) {
        sona_err err = tier == 0   ? sona_model_adapt(&m->view, SONA_MODEL_MICRO, 0, 1, x, y)
                       : tier == 1 ? sona_model_adapt(&m->view, SONA_MODEL_BASE, 0, 1, x, y)
                       : tier == 2 ? sona_model_adapt(&m->view, SONA_MODEL_BASE, 1, 1, x, y)
                       : tier == 3 ? sona_model_adapt(&m->view, SONA_MODEL_BOTH, 0, 1, x, y)
                                   : sona_model_apply_none(x, dim, y);

        cr_assert(eq(int, err, want), "tier %u", tier);
        cr_assert(want == SONA_OK || memcmp(y, before, dim * sizeof *y) == 0, "tier %u", tier);
    }
}

Test(adapt, only_a_nan_or_an_infinity_is_not_finite_whatever_the_size_and_wherever_it_is)
{
    static const float odd[] = {NAN, -NAN, INFINITY, -INFINITY};
    static const float sizes[] = {0, 1e-44f, 1, 1e20f, 3e38f};
    sona_geometry g = small_geometry();
    struct dice dice = dice_open("only_a_nan_or_an_infinity_is_not_finite");
    struct model m;
    float x[2 * 20], y[2 * 20];

    model_open(&m, &g);
    model_fill(&m, 3, 4, &dice);
    for (size_t i = 0; i < 2 * sizeof sizes / sizeof *sizes; i++) {
        float size = sizes[i / 2];

        if (i % 2) /* nor does an adapter of zeros hide it */
            memset(hot_floats(&m, m.layout.micro_a), 0, m.layout.dim_padded * sizeof(float));
        for (uint32_t at = 0; at < 2 * g.dim; at++)
            x[at] = at % 2 ? -size : size;
        assert_adapts(&m, x, SONA_OK);
        for (uint32_t at = 0; at < 2 * g.dim; at++) {
            float keep = x[at];

            x[at] = odd[at % 4];
            assert_adapts(&m, x, at < g.dim ? SONA_E_NOT_FINITE : SONA_OK);
            cr_assert(eq(int, sona_model_adapt_check(&g, SONA_MODEL_MICRO, 0, 2, x, g.dim, y),
                         SONA_E_NOT_FINITE),
                      "size %a, place %u", (double)size, at);
            x[at] = keep;
        }
    }
}

Test(prepare, a_query_becomes_unit_length_whatever_its_size)
{
    static const float sizes[] = {1e-44f, 1e-38f, 1e-20f, 1, 1e20f, 3e38f};
    sona_geometry g = small_geometry();
    struct sona_model_layout l;

    cr_assert(eq(int, sona_model_layout_init(&l, &g), SONA_OK));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        float x[20], y[32];
        double norm = 0;

        memset(y, 0x55, sizeof y);
        for (int at = 0; at < 20; at++)
            x[at] = at % 3 ? sizes[i] : -sizes[i];
        cr_assert(eq(int, sona_model_prepare(&l, x, y), SONA_OK));
        for (int at = 0; at < 32; at++)
            norm += (double)y[at] * (double)y[at];
        cr_assert(epsilon_eq(dbl, norm, 1, 1e-5), "size %g", (double)sizes[i]);
        cr_assert(eq(flt, y[20], 0), "padding is cleared");
        cr_assert(eq(flt, y[31], 0), "padding is cleared");
    }
}

Test(prepare, without_normalisation_a_query_keeps_its_length_up_to_the_bound)
{
    sona_geometry g = small_geometry();
    struct sona_model_layout l;
    float x[20] = {3, 4}, y[32];

    g.flags = 0;
    cr_assert(eq(int, sona_model_layout_init(&l, &g), SONA_OK));
    cr_assert(eq(int, sona_model_prepare(&l, x, y), SONA_OK));
    cr_assert(eq(flt, y[0], 3));
    cr_assert(eq(flt, y[1], 4));
    x[0] = 3e38f;
    cr_assert(eq(int, sona_model_prepare(&l, x, y), SONA_OK));
    cr_assert(ieee_ulp_eq(flt, y[0], SONA_MODEL_NORM_MAX, 4));
}

Test(prepare, what_has_no_direction_is_refused)
{
    sona_geometry g = small_geometry();
    struct sona_model_layout l;
    float x[20] = {0}, y[32];

    cr_assert(eq(int, sona_model_layout_init(&l, &g), SONA_OK));
    cr_assert(eq(int, sona_model_prepare(&l, x, y), SONA_E_ZERO_VECTOR));
    x[3] = -0.0f;
    cr_assert(eq(int, sona_model_prepare(&l, x, y), SONA_E_ZERO_VECTOR));
    for (int at = 0; at < 20; at++) {
        float keep = x[at];

        x[at] = at % 2 ? NAN : -INFINITY;
        cr_assert(eq(int, sona_model_prepare(&l, x, y), SONA_E_NOT_FINITE), "at %d", at);
        x[at] = keep;
    }
}

/* y = x + s B A x in double, straight from the definition. */
static void adapt(struct model *m, const float *b, const float *a, uint32_t rank, double scale,
                  const float *x, double *y)
{
    uint32_t n = m->layout.geometry.dim, stride = m->layout.dim_padded;

    for (uint32_t r = 0; r < rank; r++) {
        double c = 0;

        for (uint32_t i = 0; i < n; i++)
            c += (double)a[r * stride + i] * (double)x[i];
        for (uint32_t i = 0; i < n; i++)
            y[i] += scale * c * (double)b[r * stride + i];
    }
}

Test(apply, both_tiers_and_each_alone_follow_their_definition)
{
    sona_geometry g = small_geometry();
    struct dice dice = dice_open("both_tiers_and_each_alone_follow_their_definition");
    struct model m;
    float x[20], y[20];

    model_open(&m, &g);
    model_fill(&m, 3, 4, &dice);
    for (int round = 0; round < 50; round++) {
        double want[3][20];

        fill(x, 20, 20, 1, &dice);
        for (int i = 0; i < 60; i++)
            want[i / 20][i % 20] = (double)x[i % 20];
        adapt(&m, hot_floats(&m, m.layout.micro_b), hot_floats(&m, m.layout.micro_a), 2, 0.5, x,
              want[0]);
        adapt(&m, hot_floats(&m, m.layout.micro_b), hot_floats(&m, m.layout.micro_a), 2, 0.5, x,
              want[2]);
        adapt(&m, cold_floats(&m, m.layout.base_b), cold_floats(&m, m.layout.base_a), 4, 1, x,
              want[1]);
        adapt(&m, cold_floats(&m, m.layout.base_b), cold_floats(&m, m.layout.base_a), 4, 1, x,
              want[2]);
        for (int call = 0; call < 3; call++) {
            if (call == 0)
                sona_model_apply_micro(&m.view, x, y);
            else if (call == 1)
                sona_model_apply_base(&m.view, 0, x, y);
            else
                sona_model_apply(&m.view, x, y);
            for (int i = 0; i < 20; i++)
                cr_assert(epsilon_eq(dbl, (double)y[i], want[call][i], 1e-5), "call %d, seed %llu",
                          call, (unsigned long long)dice.seed);
        }
    }
}

Test(apply, a_layer_that_is_zero_or_unknown_is_the_identity)
{
    sona_geometry g = small_geometry();
    struct dice dice = dice_open("a_layer_that_is_zero_or_unknown_is_the_identity");
    struct model m;
    float x[20], y[20];

    model_open(&m, &g);
    model_fill(&m, 3, 4, &dice);
    fill(x, 20, 20, 1, &dice);
    for (uint32_t layer = 1; layer < 4; layer++) {
        memset(y, 0, sizeof y);
        sona_model_apply_base(&m.view, layer, x, y);
        cr_assert(eq(int, memcmp(x, y, sizeof x), 0), "layer %u", layer);
    }
}

Test(random, draws_differ_by_seed_stream_and_number_and_are_even)
{
    uint32_t count[16] = {0};
    uint64_t ones[64] = {0};

    cr_assert(ne(u64, sona_model_random(1, 0, 0), sona_model_random(2, 0, 0)));
    cr_assert(ne(u64, sona_model_random(1, 0, 0), sona_model_random(1, 1, 0)));
    cr_assert(ne(u64, sona_model_random(1, 0, 0), sona_model_random(1, 0, 1)));
    cr_assert(eq(u64, sona_model_random(7, 8, 9), sona_model_random(7, 8, 9)));
    for (uint64_t n = 0; n < 64000; n++) {
        uint64_t bits = sona_model_random(3, n % 4, n / 4);

        count[bits >> 60]++;
        for (int b = 0; b < 64; b++)
            ones[b] += bits >> b & 1;
    }
    for (int i = 0; i < 16; i++) /* 4000 expected, deviation 61 */
        cr_assert(lt(int, abs((int)count[i] - 4000), 5 * 61), "bin %d: %u", i, count[i]);
    for (int b = 0; b < 64; b++) /* 32000 expected, deviation 126 */
        cr_assert(lt(int, abs((int)ones[b] - 32000), 5 * 126), "bit %d", b);
}

Test(routes, the_table_is_copied_up_to_the_capacity)
{
    sona_geometry g = small_geometry();
    struct dice dice = dice_open("the_table_is_copied_up_to_the_capacity");
    sona_route_info info[4];
    struct model m;

    model_open(&m, &g);
    model_fill(&m, 3, 0, &dice);
    memset(info, 0x77, sizeof info);
    cr_assert(eq(u32, sona_model_routes(&m.view, info, 2), 3), "says how many there are");
    cr_assert(eq(str, info[1].name, "route-1"));
    cr_assert(eq(u32, info[1].id, SONA_ROUTE_ID(1, 3)));
    cr_assert(eq(flt, info[1].mean_quality, model_route(&m, 1)->mean));
    cr_assert(eq(int, (unsigned char)info[2].name[0], 0x77),
              "beyond the capacity nothing is written");
}

Test(routes, only_an_enabled_row_of_the_same_generation_passes)
{
    sona_geometry g = small_geometry();
    struct dice dice = dice_open("only_an_enabled_row_of_the_same_generation_passes");
    struct model m;

    model_open(&m, &g);
    model_fill(&m, 3, 0, &dice);
    cr_assert(eq(int, sona_model_route_check(&m.view, SONA_ROUTE_ID(1, 3)), SONA_OK));
    cr_assert(eq(int, sona_model_route_check(&m.view, SONA_ROUTE_ID(1, 2)), SONA_E_ROUTE));
    cr_assert(eq(int, sona_model_route_check(&m.view, 3), SONA_E_ROUTE));
    cr_assert(eq(int, sona_model_route_check(&m.view, SONA_ROUTE_NONE), SONA_E_ROUTE));
    model_route(&m, 2)->state = SONA_ROUTE_RETIRED;
    cr_assert(eq(int, sona_model_route_check(&m.view, 2), SONA_E_ROUTE));
}
