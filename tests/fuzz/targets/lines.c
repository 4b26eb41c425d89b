/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A file of JSON lines from a stranger, patterns or decisions: every line is refused in a sentence
 * that names it, or is something from which a learner learns and stays sound. Patterns that were
 * taken are written, and read back as the same.
 *
 *     byte 0: which | the file
 */
#include <math.h>
#include <stdlib.h>

#include "engine/learner/learner.h"
#include "engine/state/container.h"
#include "sidecar/core.h"
#include "sidecar/decisions.h"
#include "sidecar/patterns.h"
#include "tests/fuzz/targets/fuzz.h"

#define DIM 4u

static struct {
    sona_config config;
    struct sona_model_layout layout;
    struct sona_sidecar_core core;
    void *saved; /* before anything was learned */
    size_t saved_bytes;
    char dir[512];
    struct sona_store *store;
    sona_route_info routes[2];
} f;

static void begin(void)
{
    sona_geometry geometry;

    sona_config_init(&f.config);
    f.config.embedding_dim = f.config.hidden_dim = DIM;
    f.config.attention_dim = 1;
    f.config.routes_max = 2;
    f.config.base_lora_rank = 4;
    f.config.base_lora_layers = 1;
    f.config.pattern_clusters = 4;
    f.config.replay_capacity = 64;
    sona_config_geometry(&f.config, &geometry);
    FUZZ_HOLD(sona_model_layout_init(&f.layout, &geometry) == SONA_OK);
    FUZZ_HOLD(sona_sidecar_core_init(&f.core, &f.config, &f.layout, NULL) == SONA_OK);
    for (uint32_t k = 0; k < 2; k++) {
        const sona_route_spec spec = {
            .name = {(char)('a' + k)}, .prior_quality = 0.5f, .prior_weight = 1};

        FUZZ_HOLD(sona_learner_route_add(f.core.learner, &spec, &f.routes[k].id) == SONA_OK);
    }
    struct sona_model_view view = sona_learner_view(f.core.learner);
    FUZZ_HOLD(sona_model_routes(&view, f.routes, 2) == 2);
    f.saved_bytes = sona_sidecar_core_save_bytes(&f.core);
    f.saved = malloc(f.saved_bytes);
    FUZZ_HOLD(f.saved && sona_sidecar_core_save(&f.core, f.saved, f.saved_bytes));
    (void)sona_state_seal(f.saved, f.saved_bytes);
    const char *tmp = getenv("TMPDIR"); /* who runs us empties it: libFuzzer ends by _Exit() */
    (void)snprintf(f.dir, sizeof f.dir, "%s/sona-fuzz-XXXXXX", tmp ? tmp : "/tmp");
    FUZZ_HOLD(mkdtemp(f.dir) != NULL);
    const struct sona_store_options options = {.instance = "fuzz", .state_dir = f.dir};
    FUZZ_HOLD(sona_store_open(&f.store, &options, NULL) == SONA_OK);
}

static void hold_sound(void)
{
    struct sona_model_view view = sona_learner_view(f.core.learner);

    FUZZ_HOLD(sona_model_validate_hot(&f.layout, view.hot) == SONA_OK);
    FUZZ_HOLD(sona_model_validate_cold(&f.layout, view.cold) == SONA_OK);
    FUZZ_HOLD(sona_sidecar_core_load(&f.core, f.saved, f.saved_bytes, NULL) == SONA_OK);
}

static void hold_refusal(sona_err err, const sona_diag *diag)
{
    FUZZ_HOLD(err != SONA_OK && diag->code == err && strncmp(diag->text, "line ", 5) == 0);
}

static void patterns(const char *text, size_t n)
{
    struct sona_sidecar_patterns *p = NULL, *again = NULL;
    sona_bank_report report;
    sona_diag diag = {.code = SONA_OK};
    sona_err err = sona_sidecar_patterns_read(&f.layout, f.routes, 2, text, n, &p, &diag);

    if (err != SONA_OK) {
        hold_refusal(err, &diag);
        return;
    }
    size_t bytes = 0;
    char *file = sona_sidecar_patterns_write(&f.layout, f.routes, 2, p, &bytes);
    FUZZ_HOLD(file != NULL);
    FUZZ_HOLD(sona_sidecar_patterns_read(&f.layout, f.routes, 2, file, bytes, &again, &diag) ==
              SONA_OK);
    FUZZ_HOLD(again->n == p->n && again->bytes == p->bytes);
    FUZZ_HOLD(memcmp(again->row, p->row, p->n * p->bytes) == 0);
    (void)sona_learner_bank_add(f.core.learner, p->row, p->n, &report); /* or has no room */
    hold_sound();
    free(file);
    free(again);
    free(p);
}

static void decisions(const char *text, size_t n)
{
    const struct sona_sidecar_decisions_place place = {
        .layout = &f.layout, .routes = f.routes, .n_routes = 2, .store = f.store, .now_ms = 1000};
    struct sona_sidecar_decisions *d = NULL;
    sona_diag diag = {.code = SONA_OK};
    sona_err err = sona_sidecar_decisions_read(&place, text, n, &d, &diag);

    if (err != SONA_OK) {
        hold_refusal(err, &diag);
        return;
    }
    FUZZ_HOLD(d->n + d->duplicates + d->n_refused == d->lines);
    FUZZ_HOLD(json_array_size(d->refused) == d->n_refused);
    for (uint32_t i = 0; i < d->n; i++) {
        const struct sona_sidecar_joined *j = d->joined[i];

        FUZZ_HOLD(j->kind < SONA_LEARNER_KINDS && isfinite(j->quality));
        FUZZ_HOLD(sona_sidecar_joined_vectors(j->kind) == 0 ||
                  sona_model_all_finite(sona_sidecar_joined_x(d->joined[i]), DIM));
        (void)sona_sidecar_core_learn(&f.core, d->joined[i]); /* a refusal is counted */
    }
    sona_sidecar_decisions_free(d);
    hold_sound();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};

    if (!f.store)
        begin();
    bool which = fuzz_byte(&in) % 2;
    size_t n = in.left;
    char *text = malloc(n > 0 ? n : 1); /* to the byte: what lies behind it is not read */

    FUZZ_HOLD(text != NULL);
    (void)fuzz_take(&in, text, n);
    (which ? patterns : decisions)(text, n);
    free(text);
    return 0;
}
