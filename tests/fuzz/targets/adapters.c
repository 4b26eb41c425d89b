/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A safetensors file from a stranger: refused in one sentence, or its numbers are finite and a file
 * of them reads back as the same.
 *
 *     byte 0: the header's length is put right | the file
 */
#include "sidecar/adapters.h"

#include <sona/config.h>

#include "tests/fuzz/targets/fuzz.h"

#define LENGTH 8u

static struct sona_model_layout layout;

static void begin(void)
{
    const sona_geometry geometry = {.dim = 16,
                                    .routes_max = 2,
                                    .micro_rank = 1,
                                    .base_rank = 4,
                                    .layers = 1,
                                    .patterns_max = 1,
                                    .flags = SONA_GEOMETRY_NORMALIZE};

    FUZZ_HOLD(sona_model_layout_init(&layout, &geometry) == SONA_OK);
}

/* What was taken is written, and taken again. */
static void hold_adapters(const struct sona_sidecar_adapters *a)
{
    struct sona_sidecar_adapters *b = NULL;
    size_t bytes = 0;
    void *file = sona_sidecar_adapters_write(&layout, a, &bytes);

    FUZZ_HOLD(sona_model_all_finite(a->value, a->n));
    FUZZ_HOLD(file != NULL);
    FUZZ_HOLD(sona_sidecar_adapters_read(&layout, a->micro_scale, file, bytes, &b, NULL) ==
              SONA_OK);
    FUZZ_HOLD(b->n == a->n && memcmp(a->value, b->value, a->n * sizeof(float)) == 0);
    free(file);
    free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sona_sidecar_adapters *a = NULL;
    struct fuzz_input in = {data, size};
    sona_diag diag = {.code = SONA_OK};

    if (layout.geometry.dim == 0)
        begin();
    bool mend = fuzz_byte(&in) % 2;
    size_t n = in.left;
    unsigned char *file = malloc(n + 1);
    FUZZ_HOLD(file != NULL);
    (void)fuzz_take(&in, file, n);
    if (mend && n > LENGTH) { /* the header ends at its last brace, as far as that is one */
        const unsigned char *brace = memrchr(file + LENGTH, '}', n - LENGTH);
        uint64_t length = brace ? (uint64_t)(brace + 1 - file) - LENGTH : n - LENGTH;

        memcpy(file, &length, sizeof length);
    }
    sona_err err = sona_sidecar_adapters_read(&layout, 1, file, n, &a, &diag);
    FUZZ_HOLD(err == SONA_OK || (diag.code == err && diag.text[0] != 0));
    if (err == SONA_OK)
        hold_adapters(a);
    free(a);
    free(file);
    return 0;
}
