/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Tenants: who differs is served differently, and the others do not notice. */
#include "tests/engine/learner_fixture.h"

#define TENANTS 40u

static sona_config tenants_config(uint32_t tenants_max)
{
    sona_config config = learner_config();

    config.tenants_max = tenants_max;
    return config;
}

static void teach_tenant(struct sona_learner *l, uint32_t tenant, const float *x, sona_route route,
                         float quality)
{
    struct sona_learner_event event = {
        .tenant = tenant, .x = x, .route = route, .quality = quality};

    cr_assert(eq(int, sona_learner_learn(l, &event), SONA_OK));
}

static uint32_t row_of(const struct sona_learner *l, uint32_t tenant)
{
    struct sona_model_view view = sona_learner_view(l);

    return sona_model_tenant_find(&view, tenant);
}

static const float *part_of(const struct sona_learner *l, uint32_t row, size_t part)
{
    return sona_model_tenant_part(&l->layout, sona_learner_hot(l), row, part);
}

/* Quality of route k at x, and the route that would be taken for certain, for a tenant. */
static float asked(const struct sona_learner *l, uint32_t tenant, const float *x, uint32_t k,
                   sona_route *ret_best)
{
    struct sona_model_view view = sona_learner_view(l);
    const sona_candidates c = {.tenant = tenant, .no_explore = true};
    void *memory = aligned_alloc(64, sona_model_scratch_bytes(&l->layout));
    struct sona_model_scores scores;
    sona_decision decision;
    float quality;

    sona_model_scratch_init(&l->layout, memory, &scores);
    cr_assert(eq(int, sona_model_decide(&view, x, &c, 0, &scores, &decision), SONA_OK));
    if (ret_best)
        *ret_best = decision.route;
    quality = scores.quality[k];
    free(memory);
    return quality;
}

static float quality_for(const struct sona_learner *l, uint32_t tenant, const float *x, uint32_t k)
{
    return asked(l, tenant, x, k, NULL);
}

static sona_route route_for(const struct sona_learner *l, uint32_t tenant, const float *x)
{
    sona_route best;

    (void)asked(l, tenant, x, 0, &best);
    return best;
}

Test(tenants, a_name_has_always_the_same_key_and_no_name_has_none)
{
    cr_expect(eq(u32, sona_tenant_key("a"), 0xe40c292c)); /* the hash's own test vectors */
    cr_expect(eq(u32, sona_tenant_key("foobar"), 0xbf9cf968));
    cr_expect(eq(u32, sona_tenant_key(""), 0));
    cr_expect(eq(u32, sona_tenant_key(NULL), 0));
}

Test(tenants, two_with_opposite_feedback_on_one_query_get_different_routes)
{
    struct dice dice = dice_open("two_with_opposite_feedback_on_one_query_get_different_routes");
    sona_config config = tenants_config(TENANTS);
    struct sona_learner *l = learner_open(&config, 2);
    float x[DIM];

    topic_query(x, 1, 0.1f, &dice);
    for (int i = 0; i < 40; i++) {
        uint32_t route = dice_below(&dice, 2);

        teach_tenant(l, 11, x, route, route == 0 ? 0.9f : 0.1f);
        teach_tenant(l, 12, x, route, route == 1 ? 0.9f : 0.1f);
    }
    cr_expect(eq(u32, route_for(l, 11, x), 0));
    cr_expect(eq(u32, route_for(l, 12, x), 1));
    assert_sound(l, dice.seed);
    free(l);
}

Test(tenants, what_a_new_one_says_moves_its_own_routes_far_more_than_those_of_others)
{
    struct dice dice = dice_open("what_one_says_moves_its_own_routes");
    sona_config config = tenants_config(TENANTS);
    struct sona_learner *l = learner_open(&config, 4);
    float x[DIM], own, other, nobody;

    for (int i = 0; i < 2000; i++) {
        uint32_t topic = dice_below(&dice, 4), route = dice_below(&dice, 4);

        topic_query(x, topic, 0.1f, &dice);
        /* They differ, so that the learner finds out that tenants do. */
        teach_tenant(l, 1 + dice_below(&dice, 8), x, route, topic == route ? 0.9f : 0.3f);
        teach_tenant(l, 20, x, route, 0.5f);
        teach_tenant(l, 21, x, route, route == 0 ? 0.9f : 0.1f);
    }
    topic_query(x, 2, 0.1f, &dice);
    own = quality_for(l, 30, x, 2);
    other = quality_for(l, 4, x, 2);
    nobody = quality_for(l, 0, x, 2);
    for (int i = 0; i < 8; i++)
        teach_tenant(l, 30, x, 2, 0);
    own -= quality_for(l, 30, x, 2);
    other -= quality_for(l, 4, x, 2);
    nobody -= quality_for(l, 0, x, 2);
    cr_expect(gt(flt, own, 0.2f), "moved %g, seed %llu", (double)own,
              (unsigned long long)dice.seed);
    cr_expect(lt(flt, fabsf(other), own / 3), "moved %g of %g, seed %llu", (double)other,
              (double)own, (unsigned long long)dice.seed);
    cr_expect(lt(flt, fabsf(nobody), own / 3), "moved %g of %g, seed %llu", (double)nobody,
              (double)own, (unsigned long long)dice.seed);
    free(l);
}

Test(tenants, an_event_of_nobody_in_particular_is_learned_as_if_there_were_none)
{
    struct dice dice = dice_open("an_event_of_nobody_in_particular");
    sona_config with = tenants_config(TENANTS), without = tenants_config(0);
    struct sona_learner *a = learner_open(&with, 4), *b = learner_open(&without, 4);

    cr_expect(eq(sz, b->layout.hot_bytes, a->layout.tenant_index.offset));
    cr_expect(eq(sz, a->layout.hot_dense_bytes, b->layout.hot_dense_bytes));
    for (int i = 0; i < 300; i++) {
        uint32_t topic = dice_below(&dice, 4), route = dice_below(&dice, 4);
        float x[DIM];

        topic_query(x, topic, 0.1f, &dice);
        teach_tenant(a, 0, x, route, topic == route ? 0.9f : 0.2f);
        /* Where there is no room for tenants, whose query it is makes no difference. */
        teach_tenant(b, 7, x, route, topic == route ? 0.9f : 0.2f);
    }
    /* But for the size, which the header says. */
    sona_learner_head(a)->bytes = sona_learner_head(b)->bytes;
    cr_expect(eq(int, memcmp(sona_learner_hot(a), sona_learner_hot(b), b->layout.hot_bytes), 0));
    free(a);
    free(b);
}

Test(tenants, those_who_agree_are_soon_believed_to)
{
    struct dice dice = dice_open("those_who_agree_are_soon_believed_to");
    sona_config config = tenants_config(TENANTS);
    struct sona_learner *agree = learner_open(&config, 4), *differ = learner_open(&config, 4);

    for (int i = 0; i < 3000; i++) {
        uint32_t topic = dice_below(&dice, 4), route = dice_below(&dice, 4);
        uint32_t tenant = 1 + dice_below(&dice, 8);
        float x[DIM], noise = 0.2f * dice_signed(&dice);

        topic_query(x, topic, 0.1f, &dice);
        teach_tenant(agree, tenant, x, route, 0.5f + noise + (topic == route ? 0.3f : 0));
        teach_tenant(differ, tenant, x, route, 0.5f + noise + (tenant % 4 == route ? 0.3f : 0));
    }
    cr_expect(lt(flt, sona_learner_head(agree)->tenant_spread, 0.002f), "%g, seed %llu",
              (double)sona_learner_head(agree)->tenant_spread, (unsigned long long)dice.seed);
    cr_expect(gt(flt, sona_learner_head(differ)->tenant_spread, 0.008f), "%g, seed %llu",
              (double)sona_learner_head(differ)->tenant_spread, (unsigned long long)dice.seed);
    free(agree);
    free(differ);
}

Test(tenants, a_full_table_forgets_who_learned_least_recently)
{
    struct dice dice = dice_open("a_full_table_forgets_who_learned_least_recently");
    sona_config config = tenants_config(5);
    struct sona_learner *l = learner_open(&config, 2);
    float x[DIM];

    topic_query(x, 0, 0.1f, &dice);
    for (uint32_t tenant = 1; tenant <= 5; tenant++)
        teach_tenant(l, tenant, x, 0, 0.1f);
    teach_tenant(l, 1, x, 0, 0.1f);
    cr_assert(eq(u64, l->counter[SONA_COUNTER_tenants_evicted], 0));
    teach_tenant(l, 6, x, 1, 0.9f);
    cr_expect(eq(u64, l->counter[SONA_COUNTER_tenants_evicted], 1));
    cr_expect(eq(u32, row_of(l, 2), SONA_MODEL_NO_TENANT));
    cr_expect(eq(u32, sona_learner_head(l)->n_tenants, 5));
    for (uint32_t tenant = 1; tenant <= 6; tenant++)
        cr_expect(eq(int, row_of(l, tenant) == SONA_MODEL_NO_TENANT, tenant == 2), "tenant %u",
                  tenant);
    /* Nothing of its predecessor is left in the row. */
    cr_expect(eq(flt, part_of(l, row_of(l, 6), l->layout.tenant_n)[0], 0));
    cr_expect(eq(flt, part_of(l, row_of(l, 6), l->layout.tenant_bias)[0], 0));
    assert_sound(l, dice.seed);
    free(l);
}

/* More tenants than two groups of the index hold, all of them in the same. */
Test(tenants, keys_that_collide_are_kept_apart_and_at_last_replace_each_other)
{
    struct dice dice = dice_open("keys_that_collide_are_kept_apart");
    sona_config config = tenants_config(200);
    struct sona_learner *l = learner_open(&config, 2);
    uint32_t key[40], n = 0;
    float x[DIM];

    topic_query(x, 0, 0.1f, &dice);
    for (uint32_t k = 1; n < 40; k++)
        if (sona_model_tenant_group(&l->layout, k) == 3)
            key[n++] = k;
    for (uint32_t i = 0; i < 32; i++) {
        teach_tenant(l, key[i], x, 0, 0.5f);
        cr_assert(eq(u32, row_of(l, key[i]), i));
    }
    cr_assert(eq(u64, l->counter[SONA_COUNTER_tenants_evicted], 0));
    for (uint32_t i = 32; i < 40; i++)
        teach_tenant(l, key[i], x, 0, 0.5f);
    cr_expect(eq(u64, l->counter[SONA_COUNTER_tenants_evicted], 8));
    for (uint32_t i = 0; i < 40; i++)
        cr_expect(eq(int, row_of(l, key[i]) == SONA_MODEL_NO_TENANT, i < 8), "key %u", i);
    assert_sound(l, dice.seed);
    free(l);
}

Test(tenants, an_adapter_bends_y_by_what_it_adds_to_the_quality)
{
    struct dice dice = dice_open("an_adapter_bends_y_by_what_it_adds_to_the_quality");
    sona_config config = tenants_config(TENANTS);
    struct sona_learner *l = learner_open(&config, 3);
    struct sona_model_view view = sona_learner_view(l);
    float x[DIM], y[DIM], term[6];

    for (int i = 0; i < 60; i++) {
        topic_query(x, dice_below(&dice, 4), 0.1f, &dice);
        teach_tenant(l, 9, x, dice_below(&dice, 3), dice_unit(&dice));
    }
    memset(y, 0, sizeof y);
    sona_model_tenant_apply(&view, 9, x, y);
    sona_model_tenant_terms(&view, row_of(l, 9), x, 3, term);
    for (uint32_t k = 0; k < 3; k++) {
        double bent = 0;

        for (uint32_t i = 0; i < DIM; i++)
            bent += (double)head_of(l, k)[i] * (double)y[i];
        cr_expect(lt(dbl,
                     fabs(bent - (double)term[k] +
                          (double)part_of(l, row_of(l, 9), l->layout.tenant_bias)[k]),
                     1e-5),
                  "route %u, seed %llu", k, (unsigned long long)dice.seed);
        cr_expect(gt(dbl, fabs(bent), 1e-6), "seed %llu", (unsigned long long)dice.seed);
    }
    /* To a stranger, and to nobody, nothing is added. */
    memset(y, 0, sizeof y);
    sona_model_tenant_apply(&view, 10, x, y);
    sona_model_tenant_apply(&view, 0, x, y);
    for (uint32_t i = 0; i < DIM; i++)
        cr_assert(eq(flt, y[i], 0));
    free(l);
}

/* s w.(B A x), the head as it is now and the adapter as given. */
static double adapted(const struct sona_learner *l, const float *ab, const float *w, const float *x)
{
    double sum = 0;

    for (uint32_t r = 0; r < 2; r++) {
        double ax = 0, bw = 0;

        for (uint32_t i = 0; i < DIM; i++) {
            ax += (double)ab[r * DIM_PADDED + i] * (double)x[i];
            bw += (double)ab[(2 + r) * DIM_PADDED + i] * (double)w[i];
        }
        sum += ax * bw;
    }
    return sum * (double)sona_learner_head(l)->tenant_scale;
}

Test(tenants, a_step_of_the_adapter_goes_down_the_gradient_of_the_error)
{
    struct dice dice = dice_open("a_step_of_the_adapter_goes_down_the_gradient_of_the_error");
    sona_config config = tenants_config(TENANTS);
    struct sona_learner *l = learner_open(&config, 3);
    const uint32_t n = 4 * DIM_PADDED; /* A and B */
    float x[DIM], before[4 * DIM_PADDED];

    for (int i = 0; i < 30; i++) {
        topic_query(x, dice_below(&dice, 4), 0.1f, &dice);
        teach_tenant(l, 9, x, dice_below(&dice, 3), dice_unit(&dice));
    }
    for (int i = 0; i < 10; i++) {
        const float *now = part_of(l, row_of(l, 9), l->layout.tenant_a);
        float quality = (float)(i % 2);
        double dot = 0, step2 = 0, slope2 = 0, sign = i % 2 ? 1 : -1; /* of the error */

        topic_query(x, dice_below(&dice, 4), 0.1f, &dice);
        memcpy(before, now, sizeof before);
        teach_tenant(l, 9, x, 1, quality);
        for (uint32_t j = 0; j < n; j++) {
            float keep = before[j];
            double up, slope, moved;

            if (j % DIM_PADDED >= DIM)
                continue;
            before[j] = keep + 1e-2f;
            up = adapted(l, before, head_of(l, 1), x);
            before[j] = keep - 1e-2f;
            slope = sign * (up - adapted(l, before, head_of(l, 1), x));
            before[j] = keep;
            moved = (double)now[j] - (double)keep;
            dot += slope * moved;
            step2 += moved * moved;
            slope2 += slope * slope;
        }
        cr_expect(gt(dbl, dot / sqrt(step2 * slope2 + 1e-30), 0.99),
                  "step %d: cosine %g, seed %llu", i, dot / sqrt(step2 * slope2),
                  (unsigned long long)dice.seed);
    }
    free(l);
}

Test(tenants, what_they_know_of_a_retired_route_does_not_reach_its_successor)
{
    struct dice dice = dice_open("what_they_know_of_a_retired_route_does_not_reach_its_successor");
    sona_config config = tenants_config(TENANTS);
    struct sona_learner *l;
    sona_route fresh;
    float x[DIM];

    config.routes_max = 2;
    l = learner_open(&config, 2);
    topic_query(x, 0, 0.1f, &dice);
    for (int i = 0; i < 60; i++)
        teach_tenant(l, 1 + dice_below(&dice, 3), x, dice_below(&dice, 2), dice_unit(&dice) / 4);
    cr_assert(eq(int, sona_learner_route_retire(l, 1), SONA_OK));
    learner_add_route(l, "fresh", &fresh);
    cr_assert(eq(u32, SONA_ROUTE_INDEX(fresh), 1));
    for (uint32_t tenant = 1; tenant <= 3; tenant++) {
        float term[2];
        struct sona_model_view view = sona_learner_view(l);

        sona_model_tenant_terms(&view, row_of(l, tenant), x, 2, term);
        cr_expect(eq(flt, term[1], 0), "tenant %u", tenant);
        cr_expect(ne(flt, term[0], 0), "tenant %u", tenant);
    }
    free(l);
}

Test(tenants, nothing_that_comes_makes_a_row_unsound)
{
    struct dice dice = dice_open("nothing_that_comes_makes_a_row_unsound");

    for (uint32_t shape = 0; shape < 8; shape++) {
        sona_config config = tenants_config(1 + dice_below(&dice, 30));
        struct sona_learner *l;

        config.normalize = shape % 2;
        config.tenant_lora_rank = shape % 3;
        config.lora_alpha = shape == 7 ? 0 : shape == 6 ? 64 : 1;
        l = learner_open(&config, 3);
        for (int i = 0; i < 3000; i++) {
            float raw[DIM], x[DIM_PADDED], size = powf(10, 8 * dice_signed(&dice));

            topic_query(raw, dice_below(&dice, 4), 1, &dice);
            for (uint32_t j = 0; j < DIM; j++)
                raw[j] *= size;
            if (sona_model_prepare(&l->layout, raw, x) != SONA_OK)
                continue;
            teach_tenant(l, 1 + dice_below(&dice, 60), x, dice_below(&dice, 3),
                         (float)dice_below(&dice, 2));
        }
        assert_sound(l, dice.seed);
        free(l);
    }
}

Test(tenants, a_damaged_row_or_index_is_refused)
{
    struct dice dice = dice_open("a_damaged_row_or_index_is_refused");
    sona_config config = tenants_config(6);
    struct sona_learner *l = learner_open(&config, 3);
    struct sona_model_tenant_group *group = NULL;
    struct sona_model_tenant *row;
    uint32_t place = 0;
    float x[DIM];

    for (uint32_t i = 0; i < 40; i++) {
        topic_query(x, dice_below(&dice, 4), 0.1f, &dice);
        teach_tenant(l, 1 + i % 4, x, i % 3, 0.5f);
    }
    assert_sound(l, dice.seed);
    for (uint32_t g = 0; g < l->layout.tenant_index.count && !group; g++)
        for (place = 0; place < SONA_MODEL_TENANT_GROUP; place++) {
            struct sona_model_tenant_group *at =
                (void *)(uintptr_t)sona_model_tenant_group_at(&l->layout, sona_learner_hot(l), g);

            if (at->key[place] != 0) {
                group = at;
                break;
            }
        }
    cr_assert(ne(ptr, group, NULL));
    row = (void *)(uintptr_t)sona_model_tenant_row(&l->layout, sona_learner_hot(l), 1);
    struct {
        const char *what;
        void *word;
        uint32_t value;
    } damage[] = {
        {"a key twice", &row->key, 1},
        {"a row without a key", &row->key, 0},
        {"a key that leads elsewhere", &group->row[place], 3 - group->row[place]},
        {"a key that leads nowhere", &group->row[place], 5},
        {"a key that is gone", &group->key[place], 0},
        {"more rows than there are", &sona_learner_head(l)->n_tenants, 7},
        {"a bias beyond a quality", (void *)(uintptr_t)part_of(l, 1, l->layout.tenant_bias),
         0x40000000},
        {"an adapter that is no number", (void *)(uintptr_t)part_of(l, 1, l->layout.tenant_a),
         0x7fc00000},
        {"heads that are infinite", (void *)(uintptr_t)part_of(l, 1, l->layout.tenant_heads),
         0x7f800000},
    };

    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        uint32_t keep;

        memcpy(&keep, damage[i].word, sizeof keep);
        memcpy(damage[i].word, &damage[i].value, sizeof keep);
        cr_expect(eq(int, sona_model_validate_hot(&l->layout, sona_learner_hot(l)), SONA_E_FORMAT),
                  "%s", damage[i].what);
        memcpy(damage[i].word, &keep, sizeof keep);
    }
    assert_sound(l, dice.seed);
    free(l);
}
