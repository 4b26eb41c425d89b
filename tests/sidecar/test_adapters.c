/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Adapters out of a learner, into a file and back: the same bits; and files that are none. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/adapters.h"
#include "tests/engine/learner_fixture.h"

/* A learner with something in every adapter. */
static struct sona_learner *taught(const sona_config *config, uint64_t seed)
{
    struct sona_learner *l = learner_open(config, 3);
    size_t n = sona_learner_adapters_floats(&l->layout.geometry);
    float *value = malloc(n * sizeof *value);
    uint64_t state = seed;

    for (size_t i = 0; i < n; i++) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        value[i] = ((float)(state >> 40) / (float)(1 << 24) - 0.5f) * 0.05f;
    }
    cr_assert(eq(int, sona_learner_adapters_take(l, value), SONA_OK));
    free(value);
    return l;
}

static void *file_of(const struct sona_learner *l, size_t *ret_bytes)
{
    struct sona_sidecar_adapters *a = sona_sidecar_adapters_make(&l->layout);

    cr_assert(ne(ptr, a, NULL));
    a->micro_scale = sona_learner_head(l)->micro_scale;
    sona_learner_adapters_copy(l, a->value);
    void *bytes = sona_sidecar_adapters_write(&l->layout, a, ret_bytes);
    cr_assert(ne(ptr, bytes, NULL));
    free(a);
    return bytes;
}

static sona_err read_file(const struct sona_learner *l, const void *bytes, size_t n,
                          struct sona_sidecar_adapters **ret, sona_diag *diag)
{
    *diag = (sona_diag){0};
    return sona_sidecar_adapters_read(&l->layout, sona_learner_head(l)->micro_scale, bytes, n, ret,
                                      diag);
}

/* What every adapter makes of this query, together. */
static void answers(const struct sona_learner *l, const float *x, float ret[4][DIM])
{
    struct sona_model_view view = sona_learner_view(l);

    sona_model_apply(&view, x, ret[0]);
    sona_model_apply_micro(&view, x, ret[1]);
    sona_model_apply_base(&view, 0, x, ret[2]);
    sona_model_apply_base(&view, 1, x, ret[3]);
}

Test(adapters, what_went_through_a_file_computes_the_same_bits)
{
    const sona_config config = learner_config();
    struct sona_learner *from = taught(&config, 7), *to = taught(&config, 8);
    struct sona_sidecar_adapters *a = NULL;
    size_t bytes, differed = 0;
    sona_diag diag;
    void *file = file_of(from, &bytes);

    for (int round = 0; round < 2; round++) {
        for (int q = 0; q < 100; q++) {
            float x[DIM], y[4][DIM], z[4][DIM];

            for (int i = 0; i < DIM; i++)
                x[i] = (float)sin(q * DIM + i);
            answers(from, x, y);
            answers(to, x, z);
            differed += memcmp(y, z, sizeof y) != 0;
        }
        cr_assert(eq(sz, differed, 100), "before they differ, then no more");
        if (round == 0) {
            cr_assert(eq(int, read_file(to, file, bytes, &a, &diag), SONA_OK), "%s", diag.text);
            cr_assert(eq(int, sona_learner_adapters_take(to, a->value), SONA_OK));
        }
    }
    size_t again_bytes;
    void *again = file_of(to, &again_bytes);
    cr_assert(eq(sz, again_bytes, bytes));
    cr_assert(zero(int, memcmp(file, again, bytes)));
    free(a);
    free(file);
    free(again);
    free(from);
    free(to);
}

/* Steps of layer 1: from now on it has a copy that is trained, and that installs bring. */
static void train_layer(struct sona_learner *l)
{
    float g[DIM_PADDED] = {0.5f, 0.25f}, base[DIM_PADDED] = {0, 1};
    const struct sona_learner_event event = {.kind = SONA_LEARNER_STEPS,
                                             .id = 1000,
                                             .x = g,
                                             .base = base,
                                             .route = SONA_ROUTE_NONE,
                                             .layer = 1,
                                             .credit = 1,
                                             .quality = 1};

    cr_assert(eq(int, sona_learner_learn(l, &event), SONA_OK));
}

Test(adapters, an_install_keeps_the_layers_that_were_taken)
{
    const sona_config config = learner_config();
    struct sona_learner *l = taught(&config, 7), *from = taught(&config, 8);
    struct sona_learner_job *job = job_open(&config);
    float *value = malloc(sona_learner_adapters_floats(&l->layout.geometry) * sizeof *value);
    float x[DIM] = {1}, before[4][DIM], after[4][DIM];

    train_layer(l);
    sona_learner_adapters_copy(from, value);
    cr_assert(eq(int, sona_learner_adapters_take(l, value), SONA_OK));
    answers(l, x, before);
    for (uint64_t i = 0; i < 60; i++) {
        float q[DIM_PADDED] = {0};
        struct sona_learner_event event = {.kind = SONA_LEARNER_OUTCOME,
                                           .id = i + 1,
                                           .x = q,
                                           .route = (sona_route)(i % 3),
                                           .quality = 0.5f};

        q[i % DIM] = 1;
        cr_assert(eq(int, sona_learner_learn(l, &event), SONA_OK));
    }
    sona_cycle_report report = cycle(l, job);
    cr_assert(report.ran);
    answers(l, x, after);
    cr_assert(zero(int, memcmp(before[3], after[3], sizeof before[3])), "layer 1 is what it was");
    free(value);
    free(from);
    free(job);
    free(l);
}

Test(adapters, what_the_learner_could_not_have_made_changes_nothing)
{
    const sona_config config = learner_config();
    struct sona_learner *l = taught(&config, 7), *copy = learner_copy(l);
    size_t n = sona_learner_adapters_floats(&l->layout.geometry);
    float *value = malloc(n * sizeof *value);
    static const float bad[] = {NAN, INFINITY, -INFINITY, 1e30f, 2e4f};

    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
        sona_learner_adapters_copy(l, value);
        value[(k * 977 + 13) % n] = bad[k];
        cr_expect(ne(int, sona_learner_adapters_take(l, value), SONA_OK), "%g", (double)bad[k]);
        cr_expect(zero(int, memcmp(l, copy, l->bytes)), "%g", (double)bad[k]);
    }
    free(value);
    free(copy);
    free(l);
}

/* The file with one text of its header in the place of another, of any length. */
static void *altered(const void *file, size_t bytes, const char *old, const char *new,
                     size_t *ret_bytes)
{
    uint64_t length;
    char *ret = malloc(bytes + 4096), *header = calloc(1, bytes);

    memcpy(&length, file, 8);
    memcpy(header, (const char *)file + 8, length);
    char *at = strstr(header, old);
    cr_assert(ne(ptr, at, NULL), "%s", header);
    size_t before = (size_t)(at - header), after = length - before - strlen(old);
    uint64_t whole = before + strlen(new) + after;
    memcpy(ret, &whole, 8);
    memcpy(ret + 8, header, before);
    memcpy(ret + 8 + before, new, strlen(new));
    memcpy(ret + 8 + before + strlen(new), at + strlen(old), after);
    memcpy(ret + 8 + whole, (const char *)file + 8 + length, bytes - 8 - length);
    *ret_bytes = 8 + whole + (bytes - 8 - length);
    free(header);
    return ret;
}

Test(adapters, a_file_that_is_none_is_refused_in_one_sentence)
{
    static const struct {
        const char *old, *new, *words;
        sona_err err;
    } cases[] = {
        {"F32", "F16", "must be of dtype F32, not F16", SONA_E_FORMAT},
        {"[2,32]", "[2,31]", "micro.lora_A must have the shape [2, 32]", SONA_E_SHAPE},
        {"[32,2]", "[2,32]", "micro.lora_B must have the shape [32, 2]", SONA_E_SHAPE},
        {"\"data_offsets\":[0,256]", "\"data_offsets\":[0,255]", "not those of its shape",
         SONA_E_FORMAT},
        {"\"data_offsets\":[0,256]", "\"data_offsets\":[-8,248]", "not those of its shape",
         SONA_E_FORMAT},
        {"\"data_offsets\":[0,256]", "\"data_offsets\":[9000000000000000000,256]",
         "not those of its shape", SONA_E_FORMAT},
        {"\"base.1.lora_A\"", "\"base.9.lora_A\"", "it has no tensor base.1.lora_A", SONA_E_SHAPE},
        {"\"base.1.lora_A\"", "\"more\":{},\"base.1.lora_A\"", "has no place for", SONA_E_SHAPE},
        {"\"base.1.lora_A\"", "\"base.0.lora_A\"", "no JSON object: duplicate", SONA_E_FORMAT},
        {"sona-adapters-1", "pt", "only what sonactl export wrote", SONA_E_FORMAT},
        {"\"micro_scale\":\"", "\"micro_scale\":\"9", "its micro_scale is 9", SONA_E_SHAPE},
        {"{\"__metadata__\"", "[\"__metadata__\"", "its header is no JSON object", SONA_E_FORMAT},
    };
    const sona_config config = learner_config();
    struct sona_learner *l = taught(&config, 7);
    struct sona_sidecar_adapters *a = NULL;
    size_t bytes, n;
    sona_diag diag;
    unsigned char *file = file_of(l, &bytes);

    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        void *bad = altered(file, bytes, cases[k].old, cases[k].new, &n);

        cr_expect(eq(int, read_file(l, bad, n, &a, &diag), cases[k].err), "%s: %s", cases[k].new,
                  diag.text);
        cr_expect(ne(ptr, strstr(diag.text, cases[k].words), NULL), "%s: %s", cases[k].new,
                  diag.text);
        free(bad);
    }
    uint64_t huge = 1ull << 40;
    memcpy(file, &huge, 8);
    cr_expect(eq(int, read_file(l, file, bytes, &a, &diag), SONA_E_FORMAT));
    cr_expect(ne(ptr, strstr(diag.text, "its header would have"), NULL), "%s", diag.text);
    free(file);
    free(l);
}

Test(adapters, a_file_that_is_cut_anywhere_or_goes_on_is_refused)
{
    const sona_config config = learner_config();
    struct sona_learner *l = taught(&config, 7);
    struct sona_sidecar_adapters *a = NULL;
    size_t bytes;
    sona_diag diag;
    char *file = file_of(l, &bytes);

    for (size_t n = 0; n < bytes; n += n < 64 ? 1 : 97) {
        char *cut = malloc(n + 1); /* of its own size, so that a sanitizer sees what is behind */

        memcpy(cut, file, n);
        cr_expect(ne(int, read_file(l, cut, n, &a, &diag), SONA_OK), "%zu bytes", n);
        cr_expect(ne(int, diag.text[0], 0));
        free(cut);
    }
    file = realloc(file, bytes + 4);
    memset(file + bytes, 0, 4);
    cr_expect(eq(int, read_file(l, file, bytes + 4, &a, &diag), SONA_E_FORMAT));
    free(file);
    free(l);
}
