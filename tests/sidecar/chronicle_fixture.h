/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* A small learner with its journal, and what happens to it. */
#ifndef SONA_TESTS_SIDECAR_CHRONICLE_FIXTURE_H
#define SONA_TESTS_SIDECAR_CHRONICLE_FIXTURE_H

#include <math.h>

#include "engine/learner/learner.h"
#include "engine/state/container.h"
#include "sidecar/chronicle.h"
#include "sidecar/core.h"
#include "tests/sidecar/store/store_fixture.h"

#define DIM    FIXTURE_DIM
#define PADDED 16u
#define FIRST  40u /* outcomes before the change, so that there is something to change */

struct scene {
    sona_config config;
    struct sona_model_layout layout;
    struct sona_sidecar_core core;
    struct sona_sidecar_chronicle chronicle;
    uint64_t id, now_ms;
};

struct event {
    alignas(64) struct sona_sidecar_joined joined;
    float x[PADDED], base[PADDED];
};

static inline void make_core(const struct scene *s, struct sona_sidecar_core *core)
{
    cr_assert(
        eq(int, sona_sidecar_core_init(core, &s->config, &s->layout, &fixture_diag), SONA_OK));
}

static inline void tell(struct scene *s, const struct sona_sidecar_command *command)
{
    struct sona_sidecar_command c = *command;

    cr_assert(sona_sidecar_chronicle_command(&s->chronicle, &c));
    sona_sidecar_command_apply(s->core.learner, &c);
    cr_assert(eq(int, c.diag.code, SONA_OK), "%s", c.diag.text);
}

/* An event of the kind, about decision `id`. */
static inline void happen(struct scene *s, enum sona_learner_kind kind, uint64_t id, float quality)
{
    struct event e = {.joined = {.kind = (uint32_t)kind,
                                 .id = id,
                                 .now_ms = s->now_ms += 10,
                                 .route = (sona_route)(id % 2),
                                 .quality = quality,
                                 .propensity = 0.5f,
                                 .credit = 1,
                                 .version = 1}};
    struct sona_sidecar_joined *joined = &e.joined;
    double sum = 0;

    for (uint32_t i = 0; i < DIM; i++) {
        e.x[i] = e.base[i] = (float)sin((double)(id * DIM + i) * 1.618);
        sum += (double)e.x[i] * (double)e.x[i];
    }
    for (uint32_t i = 0; i < DIM; i++)
        e.x[i] = e.base[i] = (float)((double)e.x[i] / sqrt(sum));
    cr_assert(eq(u32, sona_sidecar_chronicle_events(&s->chronicle, &joined, 1), 1));
    (void)sona_sidecar_core_learn(&s->core, joined);
}

static inline void open_scene(struct scene *s)
{
    static const char *const names[] = {"a", "b"};
    const struct sona_store_options options = fixture_options();
    sona_geometry geometry;

    memset(s, 0, sizeof *s);
    sona_config_init(&s->config);
    s->config.hidden_dim = DIM;
    s->config.attention_dim = 4;
    s->config.base_lora_layers = 2;
    s->config.routes_max = 4;
    s->config.pattern_clusters = 8;
    s->config.replay_capacity = 128;
    s->config.ewc = 1;
    s->config.ewc_online = 0;
    s->config.tenants_max = 0;
    sona_config_geometry(&s->config, &geometry);
    cr_assert(eq(int, sona_model_layout_init(&s->layout, &geometry), SONA_OK));
    cr_assert(eq(u32, s->layout.dim_padded, PADDED));
    make_core(s, &s->core);
    s->chronicle = (struct sona_sidecar_chronicle){.dim = DIM, .dim_padded = PADDED};
    cr_assert(eq(int, sona_store_open(&s->chronicle.store, &options, &fixture_diag), SONA_OK));
    for (uint32_t k = 0; k < 2; k++) {
        struct sona_sidecar_command add = {.request = {.what = SONA_CONTROL_ROUTE_ADD}};

        (void)snprintf(add.request.spec.name, sizeof add.request.spec.name, "%s", names[k]);
        add.request.spec.prior_quality = 0.5f;
        add.request.spec.prior_weight = 1;
        tell(s, &add);
    }
    for (s->id = 1; s->id <= FIRST; s->id++) {
        happen(s, SONA_LEARNER_QUERY, s->id, 0);
        happen(s, SONA_LEARNER_OUTCOME, s->id, s->id % 3 == 0 ? 0.9f : 0.2f);
    }
}

static inline void *bytes_of(const struct sona_sidecar_core *core, size_t *ret)
{
    *ret = sona_sidecar_core_save_bytes(core);
    void *bytes = aligned_alloc(64, (*ret + 63) / 64 * 64);

    cr_assert(sona_sidecar_core_save(core, bytes, *ret));
    (void)sona_state_seal(bytes, *ret);
    return bytes;
}

static inline bool same(const struct sona_sidecar_core *core, const void *bytes, size_t n)
{
    size_t m;
    void *mine = bytes_of(core, &m);
    bool ret = m == n && memcmp(mine, bytes, n) == 0;

    free(mine);
    return ret;
}

#endif
