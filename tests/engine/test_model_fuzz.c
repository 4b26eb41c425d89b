/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* A reader may be handed a slot in the middle of being overwritten. Whatever bytes are there, every
 * function ends, stays inside the block (a guard page follows it) and inside its outputs. */

#include "tests/engine/model_fixture.h"

#define ROUNDS 3000

static sona_geometry odd_geometry(struct dice *dice)
{
    return (sona_geometry){
        .dim = 16 + dice_below(dice, 40),
        .routes_max = 1 + dice_below(dice, 20),
        .micro_rank = 1 + dice_below(dice, 2),
        .base_rank = 4 + dice_below(dice, 13),
        .layers = 1 + dice_below(dice, 3),
        /* Now and then with a short list. */
        .patterns_max = 1 + dice_below(dice, dice_below(dice, 4) ? 40 : 600),
        .flags = SONA_GEOMETRY_NORMALIZE,
        .tenants_max = dice_below(dice, 40),
        .tenant_rank = dice_below(dice, 3),
    };
}

/* Noise of three kinds: bits, extreme words, and floats that look sensible. */
static void scribble(unsigned char *block, size_t bytes, struct dice *dice)
{
    static const uint32_t extreme[] = {0,          1,          0x7fffffff, 0xffffffff, 0x7f800000,
                                       0xff800000, 0x7fc00000, 0x00000001, 0x7f7fffff, 0xff7fffff};
    uint32_t kind = dice_below(dice, 3);

    for (size_t at = 0; at + 4 <= bytes; at += 4) {
        uint32_t word = (uint32_t)dice_next(dice);
        float value = 4 * dice_signed(dice);

        if (kind == 1)
            word = extreme[dice_below(dice, 10)];
        else if (kind == 2)
            memcpy(&word, &value, sizeof word);
        memcpy(block + at, &word, 4);
    }
}

/* Make what steers the readers plausible now and then, so that they get further. */
static void plausible(struct model *m, struct dice *dice)
{
    struct sona_model_hot *head = model_head(m);

    head->n_routes = dice_below(dice, 30);
    head->n_patterns = dice_below(dice, 60);
    model_cold(m)->n_patterns = dice_below(dice, 60);
    model_cold(m)->n_bank = dice_below(dice, dice_below(dice, 2) ? 60 : 700);
    model_cold(m)->has_code = 1;
    head->flags = 7;
    head->n_tenants = dice_below(dice, 60);
    for (uint32_t g = 0; g < m->layout.tenant_index.count; g++) {
        struct sona_model_tenant_group *group =
            (void *)(uintptr_t)sona_model_tenant_group_at(&m->layout, m->hot, g);

        for (uint32_t i = 0; i < SONA_MODEL_TENANT_GROUP; i++) {
            group->key[i] = 1 + dice_below(dice, 50);
            if (dice_below(dice, 2))
                group->row[i] = dice_below(dice, 50);
        }
    }
    for (uint32_t t = 0; t < m->layout.tenants.count; t++)
        ((struct sona_model_tenant *)(uintptr_t)sona_model_tenant_row(&m->layout, m->hot, t))->key =
            1 + dice_below(dice, 50);
    for (uint32_t k = 0; k < m->layout.geometry.routes_max; k++) {
        model_route(m, k)->state = SONA_ROUTE_ENABLED;
        if (dice_below(dice, 2))
            model_route(m, k)->id = k;
    }
}

static void read_everything(struct model *m, struct dice *dice)
{
    const uint32_t routes_max = m->layout.geometry.routes_max;
    sona_pattern found[8];
    sona_route_info info[4];
    sona_candidates c = {.restricted = dice_below(dice, 2), .set = {dice_next(dice)}};
    sona_decision d;
    float raw[64], x[64], y[64];
    uint32_t n;

    c.tenant = dice_below(dice, 2) ? 1 + dice_below(dice, 50) : (uint32_t)dice_next(dice);
    fill(raw, m->layout.geometry.dim, 64, 1, dice);
    cr_assert(eq(int, sona_model_prepare(&m->layout, raw, x), SONA_OK));
    sona_model_apply(&m->view, raw, y);
    sona_model_tenant_apply(&m->view, c.tenant, raw, y);
    sona_model_apply_micro(&m->view, raw, y);
    sona_model_apply_base(&m->view, dice_below(dice, 70), raw, y);
    (void)sona_model_score(&m->view, x, &c, &m->scores);
    if (sona_model_decide(&m->view, x, &c, dice_next(dice), &m->scores, &d) == SONA_OK) {
        cr_assert(lt(u32, SONA_ROUTE_INDEX(d.route), routes_max), "seed %llu",
                  (unsigned long long)dice->seed);
        cr_assert(eq(int, !c.restricted || (c.set[0] >> SONA_ROUTE_INDEX(d.route) & 1), 1),
                  "seed %llu", (unsigned long long)dice->seed);
        cr_assert(eq(int, d.propensity > 0 && d.propensity <= 1, 1), "%g, seed %llu",
                  (double)d.propensity, (unsigned long long)dice->seed);
        cr_assert(eq(int, d.expected >= 0 && d.expected <= 1, 1));
        cr_assert(le(u32, d.n_scores, routes_max));
    }
    c.mode = SONA_MODE_OBSERVE;
    c.forced = dice_below(dice, 30);
    (void)sona_model_decide(&m->view, x, &c, dice_next(dice), &m->scores, &d);
    n = sona_model_find_patterns(&m->view, x, 8, found);
    cr_assert(le(u32, n, 8));
    for (uint32_t i = 0; i < n; i++) {
        cr_assert(lt(u32, found[i].index, m->layout.geometry.patterns_max));
        cr_assert(le(int, found[i].type, SONA_PATTERN_CONVERSATIONAL));
        cr_assert(
            eq(int, found[i].best_route == UINT32_MAX || found[i].best_route < routes_max, 1));
    }
    cr_assert(le(u32, sona_model_routes(&m->view, info, 4), routes_max));
    (void)sona_model_route_check(&m->view, (sona_route)dice_next(dice));
    (void)sona_model_step(&m->view);
    (void)sona_model_validate_hot(&m->layout, m->hot);
    (void)sona_model_validate_cold(&m->layout, m->cold);
}

Test(fuzz, arbitrary_bytes_never_lead_a_reader_astray)
{
    struct dice dice = dice_open("arbitrary_bytes_never_lead_a_reader_astray");

    for (int shape = 0; shape < 6; shape++) {
        sona_geometry g = odd_geometry(&dice);
        struct model m;

        model_open(&m, &g);
        for (int round = 0; round < ROUNDS / 6; round++) {
            scribble(m.hot, m.layout.hot_bytes, &dice);
            scribble(m.cold, m.layout.cold_bytes, &dice);
            if (dice_below(&dice, 4))
                plausible(&m, &dice);
            read_everything(&m, &dice);
        }
    }
}

Test(fuzz, one_damaged_word_never_leads_a_reader_astray)
{
    struct dice dice = dice_open("one_damaged_word_never_leads_a_reader_astray");
    sona_geometry g = small_geometry();
    struct model m;

    model_open(&m, &g);
    model_fill(&m, 8, 12, &dice);
    model_fill_bank(&m, 12, &dice);
    for (int round = 0; round < ROUNDS; round++) {
        unsigned char *block = dice_below(&dice, 2) ? m.hot : m.cold;
        size_t bytes = block == m.hot ? m.layout.hot_bytes : m.layout.cold_bytes;
        /* Headers and route entries are small: aim at the first kilobyte half of the time. */
        size_t at = dice_below(&dice, (uint32_t)(dice_below(&dice, 2) ? 256 : bytes / 4)) * 4ul;
        uint32_t keep, word = (uint32_t)dice_next(&dice);

        memcpy(&keep, block + at, 4);
        memcpy(block + at, &word, 4);
        read_everything(&m, &dice);
        memcpy(block + at, &keep, 4);
    }
}
