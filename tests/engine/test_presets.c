/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The presets, value by value, as the documents promise them. */
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <sona/config.h>
#include <sona/engine.h>

#define PRESETS 7

static const struct {
    const char *name;
    const char *value[9]; /* in the order of `key` */
} promised[PRESETS] = {
    {"default", {"2", "8", "0.002", "0.0001", "100", "10000", "3600000", "0.3", "2000"}},
    {"max_throughput", {"2", "4", "0.0005", "0.0001", "100", "5000", "7200000", "0.4", "2000"}},
    {"max_quality", {"2", "16", "0.002", "0.001", "100", "20000", "1800000", "0.2", "2000"}},
    {"edge_deployment", {"1", "4", "0.001", "0.0001", "50", "200", "3600000", "0.5", "1000"}},
    {"batch_processing", {"2", "8", "0.001", "0.0001", "100", "10000", "3600000", "0.3", "2000"}},
    {"for_ephemeral", {"2", "4", "0.002", "0.0001", "50", "500", "60000", "0.3", "1000"}},
    {"for_coordinator", {"2", "16", "0.001", "0.0005", "200", "50000", "300000", "0.4", "2000"}},
};
static const char *const key[9] = {
    "micro_lora_rank",        "base_lora_rank",    "micro_lora_lr",
    "base_lora_lr",           "pattern_clusters",  "trajectory_capacity",
    "background_interval_ms", "quality_threshold", "ewc_lambda"};

static sona_config preset(const char *name)
{
    sona_config config;
    sona_diag diag = {.text = ""};

    cr_assert(eq(int, sona_config_preset(&config, name, &diag), SONA_OK), "%s", diag.text);
    return config;
}

Test(presets, each_has_the_values_that_were_promised)
{
    for (int i = 0; i < PRESETS; i++) {
        sona_config config = preset(promised[i].name);

        for (int j = 0; j < 9; j++) {
            sona_config same = config;

            cr_assert(eq(int, sona_config_set(&same, key[j], promised[i].value[j], NULL), 0));
            cr_assert(zero(int, memcmp(&same, &config, sizeof same)), "%s: %s is not %s",
                      promised[i].name, key[j], promised[i].value[j]);
        }
    }
}

Test(presets, all_have_256_floats_and_simd_and_pass_the_check)
{
    for (int i = 0; i < PRESETS; i++) {
        sona_config config = preset(promised[i].name);
        sona_geometry geometry;
        sona_diag diag = {.text = ""};

        sona_config_geometry(&config, &geometry);
        cr_assert(eq(u32, geometry.dim, 256));
        cr_assert(eq(u32, config.hidden_dim, 256));
        cr_assert(config.enable_simd);
        cr_assert(eq(int, sona_config_check(&config, &diag), SONA_OK), "%s", diag.text);
    }
}

Test(presets, the_one_named_default_is_the_default)
{
    sona_config config = preset("default"), defaults;

    sona_config_init(&defaults);
    cr_assert(zero(int, memcmp(&config, &defaults, sizeof config)));
}

Test(presets, the_list_names_all_of_them_in_order_and_ends)
{
    for (uint32_t i = 0; i < PRESETS; i++) {
        cr_assert(eq(str, (char *)(uintptr_t)sona_config_preset_name(i),
                     (char *)(uintptr_t)promised[i].name));
        cr_assert(gt(sz, strlen(sona_config_preset_help(i)), 10));
    }
    cr_assert(zero(ptr, (void *)(uintptr_t)sona_config_preset_name(PRESETS)));
    cr_assert(zero(ptr, (void *)(uintptr_t)sona_config_preset_help(PRESETS)));
}

Test(presets, an_unknown_name_is_refused_with_the_known_ones)
{
    sona_config config, before;
    sona_diag diag;

    memset(&config, 7, sizeof config);
    before = config;
    cr_assert(eq(int, sona_config_preset(&config, "fastest", &diag), SONA_E_CONFIG));
    for (int i = 0; i < PRESETS; i++)
        cr_assert(ne(ptr, strstr(diag.text, promised[i].name), NULL), "%s", diag.text);
    cr_assert(eq(int, sona_config_preset(&config, NULL, &diag), SONA_E_ARGUMENT));
    cr_assert(eq(int, sona_config_preset(NULL, "default", NULL), SONA_E_ARGUMENT));
    cr_assert(zero(int, memcmp(&before, &config, sizeof config)));
}

Test(presets, the_key_preset_begins_anew)
{
    sona_config config, expected = preset("max_quality");

    sona_config_init(&config);
    cr_assert(eq(int, sona_config_set(&config, "lambda", "0.5", NULL), SONA_OK));
    cr_assert(eq(int, sona_config_set(&config, "preset", "max_quality", NULL), SONA_OK));
    cr_assert(zero(int, memcmp(&config, &expected, sizeof config)));
    cr_assert(eq(int, sona_config_set(&config, "preset", "best", NULL), SONA_E_CONFIG));
}

Test(presets, an_engine_of_the_edge_preset_takes_less_than_five_megabytes)
{
    sona_config config = preset("edge_deployment");
    size_t bytes = sona_engine_bytes(&config);

    cr_assert(gt(sz, bytes, 0));
    cr_assert(lt(sz, bytes, 5000000), "%zu", bytes);
    config.ewc = true;
    cr_assert(lt(sz, sona_engine_bytes(&config), 5000000), "with EWC++, too");
}
