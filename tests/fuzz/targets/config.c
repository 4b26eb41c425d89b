/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A configuration file of any bytes: it is refused with mistakes that say where, or makes options
 * that lie within their ranges, read back as the same text.
 */
#include "sidecar/config/gather.h"
#include "sidecar/config/yaml.h"
#include "tests/fuzz/targets/fuzz.h"

static void told(void *arg, const char *where, const char *what)
{
    FUZZ_HOLD(*where != 0 && *what != 0);
    ++*(uint32_t *)arg;
}

static struct sona_sidecar_options options, again;

/* Every value as text, and back. */
static void hold_options(void)
{
    char text[SONA_SIDECAR_VALUE_MAX], why[SONA_DIAG_TEXT_MAX];

    sona_sidecar_options_init(&again);
    for (uint32_t i = 0; i < sona_sidecar_setting_count(); i++) {
        const struct sona_sidecar_setting *s = &sona_sidecar_settings[i];
        char second[SONA_SIDECAR_VALUE_MAX];

        sona_sidecar_setting_format(s, &options, text);
        FUZZ_HOLD(sona_sidecar_setting_origin(s, &options) != NULL);
        if (s->type == SONA_SIDECAR_ROUTES || text[0] == 0)
            continue;
        if (!sona_sidecar_setting_take(s, &again, text, why))
            continue; /* what nobody set may be no value: "built-in" */
        sona_sidecar_setting_format(s, &again, second);
        FUZZ_HOLD(strcmp(text, second) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t mistakes = 0;
    struct sona_sidecar_gather *gather = sona_sidecar_gather_open(told, &mistakes);
    char *text = malloc(size > 0 ? size : 1); /* to the byte: what lies behind it is not read */

    FUZZ_HOLD(gather && text);
    if (size > 0)
        memcpy(text, data, size);
    sona_sidecar_gather_layer(gather);
    sona_sidecar_yaml_gather(gather, "fuzz.yaml", text, size);
    FUZZ_HOLD(gather->n_named <= SONA_SIDECAR_INSTANCES_MAX);
    for (uint32_t i = 0; i <= (gather->n_named > 2 ? 2 : gather->n_named); i++) {
        sona_sidecar_options_init(&options);
        sona_sidecar_gather_apply(gather, i, &options);
        if (mistakes == 0)
            hold_options();
    }
    FUZZ_HOLD(mistakes <= SONA_SIDECAR_MISTAKES_MAX + 1);
    sona_sidecar_gather_close(&gather);
    free(text);
    return 0;
}
