/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Model blocks and the segment's header, as another version, a torn copy or a stranger shows them.
 * A reader ends, stays inside the block and its outputs, and answers within its ranges, whatever is
 * there. A header that is taken makes a plan and a layout that lie within their sizes.
 *
 *     byte 0: what | HEADER: the header's bytes, its checksum put right when bit 7 is set
 *                  | else: {half and offset: 4 bytes, word: 4 bytes} written over a learned model
 */
#include <math.h>

#include <sona/engine.h>

#include "engine/facade.h"
#include "shm/layout.h"
#include "shm/record.h"
#include "tests/engine/dice.h"
#include "tests/fuzz/targets/fuzz.h"

#define DIM    20u
#define ROUTES 5u
#define HEADER 1u
#define MENDED 0x80u

static struct {
    struct sona_model_layout layout;
    unsigned char *hot, *cold, *kept_hot, *kept_cold, *scratch;
    struct sona_model_scores scores;
    float query[32];
} f;

static void teach(sona_engine *engine, struct dice *dice)
{
    for (uint32_t i = 0; i < 600; i++) {
        sona_candidates c = {.tenant = i % 4};
        sona_decision d;
        float x[DIM];

        for (uint32_t k = 0; k < DIM; k++)
            x[k] = dice_signed(dice) + (k == i % 3 ? 4.0f : 0);
        FUZZ_HOLD(sona_engine_decide(engine, x, DIM, &c, i, &d) == SONA_OK);
        (void)sona_engine_outcome(engine, d.id, SONA_ROUTE_INDEX(d.route) == i % 3 ? 1 : 0, 0, i);
        if (i % 200 == 199)
            (void)sona_engine_learn_now(engine, i, NULL);
    }
}

static void begin(void)
{
    sona_config config;
    sona_route_spec routes[ROUTES];
    struct dice dice = {.state = 1};
    sona_engine *engine = NULL;

    sona_config_init(&config);
    config.embedding_dim = config.hidden_dim = DIM;
    config.routes_max = 8;
    config.base_lora_rank = 4;
    config.base_lora_layers = 2;
    config.pattern_clusters = 12;
    config.tenants_max = 5;
    for (uint32_t k = 0; k < ROUTES; k++) {
        routes[k] = (sona_route_spec){.prior_quality = 0.5f, .prior_weight = 1, .cost = 0.1f};
        (void)snprintf(routes[k].name, sizeof routes[k].name, "route-%u", k);
    }
    FUZZ_HOLD(sona_engine_create(&engine, &config, routes, ROUTES, NULL) == SONA_OK);
    teach(engine, &dice);
    struct sona_model_view view = sona_learner_view(engine->learner);
    f.layout = *view.layout;
    f.hot = fuzz_block(f.layout.hot_bytes);
    f.cold = fuzz_block(f.layout.cold_bytes);
    f.kept_hot = fuzz_block(f.layout.hot_bytes);
    f.kept_cold = fuzz_block(f.layout.cold_bytes);
    memcpy(f.kept_hot, view.hot, f.layout.hot_bytes);
    memcpy(f.kept_cold, view.cold, f.layout.cold_bytes);
    FUZZ_HOLD(sona_model_validate_hot(&f.layout, f.kept_hot) == SONA_OK);
    FUZZ_HOLD(sona_model_validate_cold(&f.layout, f.kept_cold) == SONA_OK);
    FUZZ_HOLD(((const struct sona_model_cold *)view.cold)->n_bank > 0);
    f.scratch = fuzz_block((sona_model_scratch_bytes(&f.layout) + 63) / 64 * 64);
    sona_model_scratch_init(&f.layout, f.scratch, &f.scores);
    for (uint32_t k = 0; k < DIM; k++)
        f.query[k] = dice_signed(&dice);
    sona_engine_destroy(&engine);
}

static void hold_patterns(const sona_pattern *found, uint32_t n)
{
    FUZZ_HOLD(n <= 8);
    for (uint32_t i = 0; i < n; i++)
        FUZZ_HOLD(found[i].index < f.layout.geometry.patterns_max &&
                  found[i].type <= SONA_PATTERN_CONVERSATIONAL &&
                  (found[i].best_route == UINT32_MAX ||
                   found[i].best_route < f.layout.geometry.routes_max));
}

static void decide(const struct sona_model_view *view, const float *x, uint32_t steer)
{
    sona_candidates c = {
        .restricted = steer & 1, .set = {steer >> 1 & 0xff}, .tenant = steer >> 9 & 7};
    sona_decision d;

    if (sona_model_decide(view, x, &c, steer * 0x9e3779b97f4a7c15u, &f.scores, &d) == SONA_OK) {
        FUZZ_HOLD(SONA_ROUTE_INDEX(d.route) < f.layout.geometry.routes_max);
        FUZZ_HOLD(!c.restricted || c.set[0] >> SONA_ROUTE_INDEX(d.route) & 1);
        FUZZ_HOLD(d.propensity > 0 && d.propensity <= 1);
        FUZZ_HOLD(d.expected >= 0 && d.expected <= 1);
        FUZZ_HOLD(d.n_scores <= f.layout.geometry.routes_max);
    }
    c.mode = SONA_MODE_OBSERVE;
    c.forced = steer >> 12 & 15;
    (void)sona_model_decide(view, x, &c, steer, &f.scores, &d);
}

static void read_everything(uint32_t steer)
{
    const struct sona_model_view view = {&f.layout, f.hot, f.cold};
    bool sound = sona_model_validate_hot(&f.layout, f.hot) == SONA_OK;
    sona_route_info info[4];
    sona_pattern found[8];
    float x[32], y[DIM];

    sound = sona_model_validate_cold(&f.layout, f.cold) == SONA_OK && sound;
    (void)sona_model_validate_regime(&f.layout, f.hot, f.cold);
    FUZZ_HOLD(sona_model_prepare(&f.layout, f.query, x) == SONA_OK);
    sona_model_apply(&view, f.query, y);
    FUZZ_HOLD(!sound || sona_model_all_finite(y, DIM));
    sona_model_apply_micro(&view, f.query, y);
    sona_model_tenant_apply(&view, steer >> 9 & 7, f.query, y);
    sona_model_apply_base(&view, steer & 3, f.query, y);
    sona_model_merge(&view, steer >> 4 & 3, f.query, y);
    decide(&view, x, steer);
    hold_patterns(found, sona_model_find_patterns(&view, x, 8, found));
    hold_patterns(found, sona_model_list_patterns(&view, steer & 15, 8, found));
    (void)sona_model_pattern_centroid(&view, steer & 15, y);
    FUZZ_HOLD(sona_model_routes(&view, info, 4) <= f.layout.geometry.routes_max);
    (void)sona_model_route_check(&view, steer);
    (void)sona_model_step(&view);
    (void)sona_model_observed(&view);
}

static void read_header(struct fuzz_input *in, bool mended)
{
    struct sona_model_layout layout;
    struct sona_shm_header h;
    struct sona_shm_plan p;

    (void)fuzz_take(in, &h, sizeof h);
    if (mended) {
        h.magic = SONA_SHM_MAGIC;
        h.abi_major = SONA_ABI_MAJOR;
        h.endianness = SONA_SHM_ENDIANNESS;
        h.header_bytes = sizeof h;
        h.layout_hash = sona_shm_layout_hash();
        h.record_stride = sona_record_stride(&h.geometry);
        h.crc = sona_shm_crc32c(&h, offsetof(struct sona_shm_header, crc));
    }
    if (sona_shm_header_check(&h, NULL) != SONA_OK ||
        sona_model_layout_init(&layout, &h.geometry) != SONA_OK)
        return;
    if (mended) {
        h.hot_bytes = layout.hot_bytes;
        h.cold_bytes = layout.cold_bytes;
    }
    FUZZ_HOLD(layout.dim_padded >= layout.geometry.dim && layout.hot_bytes > 0);
    if (sona_shm_header_plan(&h, fuzz_byte(in), &p) != SONA_OK)
        return;
    FUZZ_HOLD(p.hot_offset + p.hot_slots * p.hot_stride <= p.cold_offset);
    FUZZ_HOLD(p.cold_offset + p.cold_slots * p.cold_stride <= p.model_bytes);
    FUZZ_HOLD(p.hot_stride >= h.hot_bytes + SONA_SHM_SPACING);
    FUZZ_HOLD(p.lane_offset + p.n_lanes * p.lane_stride <= p.lanes_bytes);
    FUZZ_HOLD(p.records_offset + (uint64_t)p.ring_slots * p.record_stride <= p.lane_stride);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    uint8_t what = fuzz_byte(&in);

    if (!f.hot)
        begin();
    if ((what & 0x7f) == HEADER) {
        read_header(&in, what & MENDED);
        return 0;
    }
    uint32_t steer = fuzz_word(&in);
    memcpy(f.hot, f.kept_hot, f.layout.hot_bytes);
    memcpy(f.cold, f.kept_cold, f.layout.cold_bytes);
    while (in.left > 0) {
        uint32_t at = fuzz_word(&in), word = fuzz_word(&in);
        size_t bytes = at & 1 ? f.layout.cold_bytes : f.layout.hot_bytes;

        memcpy((at & 1 ? f.cold : f.hot) + (at >> 1) % (bytes / 4) * 4, &word, sizeof word);
    }
    read_everything(steer);
    return 0;
}
