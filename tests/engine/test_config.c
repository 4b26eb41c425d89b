/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Every field of the configuration: default, range, alias; mistakes and what is said about them. */
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <sona/config.h>

/* The table once more, as text: what an operator would type. */
struct row {
    const char *type, *name, *alias;
    double low, high, preset;
};
static const struct row rows[] = {
#define ROW(type, name, def, min, max, alias, help) \
    {#type, #name, alias, (double)(min), (double)(max), (double)(def)},
    SONA_CONFIG_FIELDS(ROW)
#undef ROW
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static bool is_seed(const struct row *row)
{
    return strcmp(row->name, "seed") == 0;
}

static bool is_real(const struct row *row)
{
    return strcmp(row->type, "f32") == 0;
}

static const char *number(double value)
{
    static char text[2][40];
    static int turn;

    turn = !turn;
    snprintf(text[turn], sizeof(text[turn]), value == floor(value) ? "%.0f" : "%.9g", value);
    return text[turn];
}

/* What sona_config_each() shows for one key. */
struct lookup {
    const char *name;
    char value[64], alias[64], help[256];
    int visits;
};

static void look(void *arg, const char *name, const char *alias, const char *value,
                 const char *help)
{
    struct lookup *lookup = arg;

    lookup->visits++;
    if (strcmp(name, lookup->name) != 0)
        return;
    snprintf(lookup->value, sizeof(lookup->value), "%s", value);
    snprintf(lookup->alias, sizeof(lookup->alias), "%s", alias);
    snprintf(lookup->help, sizeof(lookup->help), "%s", help);
}

static struct lookup look_up(const sona_config *config, const char *name)
{
    struct lookup lookup = {.name = name};

    sona_config_each(look, &lookup, config);
    return lookup;
}

static double value_of(const sona_config *config, const struct row *row)
{
    struct lookup lookup = look_up(config, row->name);

    if (strcmp(row->type, "flag") == 0)
        return strcmp(lookup.value, "true") == 0;
    return strtod(lookup.value, NULL);
}

static void assert_refused(sona_config *config, const char *key, const char *value,
                           const char *expected)
{
    sona_config before = *config;
    sona_diag diag = {.text = ""};

    cr_assert(eq(int, sona_config_set(config, key, value, &diag), SONA_E_CONFIG), "%s=%s", key,
              value);
    cr_assert(eq(int, diag.code, SONA_E_CONFIG));
    cr_assert(ne(ptr, strstr(diag.text, expected), NULL), "\"%s\" does not say \"%s\"", diag.text,
              expected);
    cr_assert(zero(ptr, strchr(diag.text, '\n')));
    cr_assert(zero(int, memcmp(&before, config, sizeof(before))), "%s=%s changed something", key,
              value);
}

Test(config, the_defaults_are_those_of_the_table_and_are_accepted)
{
    sona_config config;

    sona_config_init(&config);
    cr_assert(eq(int, sona_config_check(&config, NULL), SONA_OK));
    for (size_t i = 0; i < ROWS; i++)
        cr_assert(eq(flt, (float)value_of(&config, &rows[i]), (float)rows[i].preset), "%s",
                  rows[i].name);
    cr_assert(eq(u32, config.micro_lora_rank, 2));
    cr_assert(eq(u32, config.base_lora_rank, 8));
    cr_assert(eq(flt, config.micro_lora_lr, 0.002f));
    cr_assert(config.normalize);
}

Test(config, each_shows_every_key_once_with_help)
{
    sona_config config;

    sona_config_init(&config);
    for (size_t i = 0; i < ROWS; i++) {
        struct lookup lookup = look_up(&config, rows[i].name);

        cr_assert(eq(int, lookup.visits, (int)ROWS));
        cr_assert(eq(str, lookup.alias, (char *)rows[i].alias));
        cr_assert(gt(sz, strlen(lookup.help), 0), "%s", rows[i].name);
    }
    cr_assert(eq(str, look_up(&config, "micro_lora_lr").value, "0.002"));
    cr_assert(eq(str, look_up(&config, "normalize").value, "true"));
}

Test(config, both_ends_of_every_range_are_accepted)
{
    for (size_t i = 0; i < ROWS; i++) {
        const double ends[] = {rows[i].low, rows[i].high};
        sona_config config;

        for (int end = 0; end < 2; end++) {
            const char *text =
                is_seed(&rows[i]) && end == 1 ? "18446744073709551615" : number(ends[end]);
            sona_diag diag = {.text = ""};

            sona_config_init(&config);
            config.base_lora_rank = SONA_BASE_RANK_MIN; /* fits every dimension */
            cr_assert(eq(int, sona_config_set(&config, rows[i].name, text, &diag), SONA_OK),
                      "%s=%s: %s", rows[i].name, text, diag.text);
            cr_assert(eq(flt, (float)value_of(&config, &rows[i]), (float)ends[end]), "%s",
                      rows[i].name);
            cr_assert(eq(int, sona_config_check(&config, &diag), SONA_OK), "%s=%s: %s",
                      rows[i].name, text, diag.text);
        }
    }
}

Test(config, what_lies_beyond_a_range_is_refused_with_the_range)
{
    for (size_t i = 0; i < ROWS; i++) {
        /* Floats tell 100000 from what is a millionth larger. */
        double step = !is_real(&rows[i]) ? 1 : rows[i].high > 1000 ? 1e-6 * rows[i].high : 0.001;
        sona_config config;

        sona_config_init(&config);
        if (strcmp(rows[i].type, "flag") == 0) {
            assert_refused(&config, rows[i].name, "2", "true, false, on, off");
            continue;
        }
        if (is_seed(&rows[i])) {
            assert_refused(&config, "seed", "18446744073709551616", "0..18446744073709551615");
            continue;
        }
        assert_refused(&config, rows[i].name, number(rows[i].high + step), number(rows[i].high));
        if (is_real(&rows[i]))
            assert_refused(&config, rows[i].name, number(rows[i].low - step), number(rows[i].low));
        else if (rows[i].low > 0)
            assert_refused(&config, rows[i].name, number(rows[i].low - step), number(rows[i].low));
        else
            assert_refused(&config, rows[i].name, "-1", "a whole number");
    }
}

Test(config, every_alias_sets_the_field_of_its_name)
{
    int aliases = 0;

    for (size_t i = 0; i < ROWS; i++) {
        sona_config by_name, by_alias;

        if (rows[i].alias[0] == '\0')
            continue;
        aliases++;
        sona_config_init(&by_name);
        sona_config_init(&by_alias);
        cr_assert(
            eq(int, sona_config_set(&by_name, rows[i].name, number(rows[i].high), NULL), SONA_OK));
        cr_assert(eq(int, sona_config_set(&by_alias, rows[i].alias, number(rows[i].high), NULL),
                     SONA_OK));
        cr_assert(zero(int, memcmp(&by_name, &by_alias, sizeof(by_name))), "%s", rows[i].alias);
    }
    cr_assert(gt(int, aliases, 0));
}

Test(config, flags_take_words_and_digits)
{
    static const char *const yes[] = {"true", "on", "1"}, *const no[] = {"false", "off", "0"};
    sona_config config;

    sona_config_init(&config);
    for (int i = 0; i < 3; i++) {
        cr_assert(eq(int, sona_config_set(&config, "drift", no[i], NULL), SONA_OK));
        cr_assert(not(config.drift));
        cr_assert(eq(int, sona_config_set(&config, "drift", yes[i], NULL), SONA_OK));
        cr_assert(config.drift);
    }
    assert_refused(&config, "drift", "maybe", "drift must be true, false");
    assert_refused(&config, "drift", "", "drift must be true, false");
}

Test(config, text_that_is_no_number_is_refused)
{
    static const char *const bad[] = {"",    " 4",  "4 ", "0x10", "four",
                                      "nan", "inf", "1e", "-",    "4,5"};
    sona_config config;

    sona_config_init(&config);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_refused(&config, "lambda", bad[i], "lambda must be a number");
        assert_refused(&config, "routes_max", bad[i], "routes_max must be a whole number");
    }
    assert_refused(&config, "routes_max", "8.0", "a whole number");
    assert_refused(&config, "routes_max", "99999999999999999999999", "routes_max must be 1..256");
    assert_refused(&config, "lambda", "1e99", "lambda must be 0..1000");
}

Test(config, the_micro_rank_is_refused_in_the_words_of_the_seed)
{
    sona_config config;
    sona_diag diag;

    sona_config_init(&config);
    assert_refused(&config, "micro_lora_rank", "3", "MicroLoRA rank must be 1-2");
    assert_refused(&config, "micro_lora_rank", "0", "use base_lora_rank for more");
    config.micro_lora_rank = 16;
    cr_assert(eq(int, sona_config_check(&config, &diag), SONA_E_CONFIG));
    cr_assert(ne(ptr, strstr(diag.text, "MicroLoRA rank must be 1-2"), NULL));
    cr_assert(ne(ptr, strstr(diag.text, "use base_lora_rank for more"), NULL));
}

Test(config, an_unknown_key_names_the_nearest_known_one)
{
    sona_config config;

    sona_config_init(&config);
    assert_refused(&config, "base_lora_rnk", "8", "did you mean base_lora_rank?");
    assert_refused(&config, "Lambda", "1", "did you mean lambda?");
    assert_refused(&config, "micro-lora-lr", "1", "did you mean micro_lora_lr?");
    assert_refused(&config, "dims", "8", "did you mean dim?");
    assert_refused(&config, "x", "1", "sona-sidecar --print-config");
    assert_refused(&config, "", "1", "sona-sidecar --print-config");
    assert_refused(&config, "temperature", "1", "unknown key \"temperature\"");
}

Test(config, a_very_long_key_or_value_is_refused_and_cut)
{
    char text[5000];
    sona_config config;

    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    sona_config_init(&config);
    assert_refused(&config, text, "1", "unknown key \"aaaa");
    assert_refused(&config, "lambda", text, "lambda must be a number");
    memset(text, '9', sizeof(text) - 1);
    assert_refused(&config, "routes_max", text, "routes_max must be 1..256");
}

Test(config, all_mistakes_are_reported_at_once)
{
    sona_config config;
    sona_diag diag;

    sona_config_init(&config);
    config.routes_max = 0;
    config.lambda = NAN;
    config.micro_lora_rank = 9;
    config.embedding_dim = 4;
    cr_assert(eq(int, sona_config_check(&config, &diag), SONA_E_CONFIG));
    cr_assert(ne(ptr, strstr(diag.text, "routes_max must be 1..256, not 0"), NULL));
    cr_assert(ne(ptr, strstr(diag.text, "MicroLoRA rank must be 1-2, not 9"), NULL));
    cr_assert(ne(ptr, strstr(diag.text, "lambda must be 0..1000, not "), NULL));
    cr_assert(ne(ptr, strstr(diag.text, "base_lora_rank 8 must not exceed embedding_dim 4"), NULL),
              "%s", diag.text);
}

Test(config, mistakes_that_do_not_fit_are_counted)
{
    sona_config config;
    sona_diag diag;

    memset(&config, 0xff, sizeof(config));
    cr_assert(eq(int, sona_config_check(&config, &diag), SONA_E_CONFIG));
    cr_assert(ne(ptr, strstr(diag.text, "; and "), NULL), "%s", diag.text);
    cr_assert(eq(str, diag.text + strlen(diag.text) - strlen(" more"), " more"), "%s", diag.text);
}

Test(config, a_field_out_of_range_is_found_whoever_wrote_it)
{
    for (size_t i = 0; i < ROWS; i++) {
        sona_config config;
        sona_diag diag;
        const char *named =
            strcmp(rows[i].name, "micro_lora_rank") == 0 ? "MicroLoRA rank" : rows[i].name;

        if (is_seed(&rows[i]))
            continue; /* every value is a seed */
        sona_config_init(&config);
#define SPOIL_u32(field)  config.field = UINT32_MAX
#define SPOIL_u64(field)  config.field = UINT64_MAX
#define SPOIL_f32(field)  config.field = -2.0f
#define SPOIL_flag(field) memset(&config.field, 2, sizeof(config.field))
#define SPOIL(type, key, def, min, max, alias_, help) \
    if (strcmp(rows[i].name, #key) == 0)              \
        SPOIL_##type(key);
        SONA_CONFIG_FIELDS(SPOIL)
#undef SPOIL
        cr_assert(eq(int, sona_config_check(&config, &diag), SONA_E_CONFIG), "%s", rows[i].name);
        cr_assert(zero(int, strncmp(diag.text, named, strlen(named))), "%s: %s", named, diag.text);
    }
}

Test(config, the_code_cannot_have_more_rows_than_the_embedding_has_floats)
{
    sona_config config;
    sona_diag diag;

    sona_config_init(&config);
    config.embedding_dim = 8;
    cr_assert(eq(int, sona_config_check(&config, &diag), SONA_OK));
    config.base_lora_rank = 9;
    cr_assert(eq(int, sona_config_check(&config, &diag), SONA_E_CONFIG));
    cr_assert(eq(str, diag.text, "base_lora_rank 9 must not exceed embedding_dim 8"));
}

Test(config, the_geometry_follows_from_the_fields)
{
    sona_geometry geometry;
    sona_config config;

    sona_config_init(&config);
    config.embedding_dim = 384;
    config.pattern_clusters = 7;
    config.base_lora_layers = 3;
    sona_config_geometry(&config, &geometry);
    cr_assert(eq(u32, geometry.dim, 384));
    cr_assert(eq(u32, geometry.routes_max, 16));
    cr_assert(eq(u32, geometry.micro_rank, 2));
    cr_assert(eq(u32, geometry.base_rank, 8));
    cr_assert(eq(u32, geometry.layers, 3));
    cr_assert(eq(u32, geometry.patterns_max, 7));
    cr_assert(eq(u32, geometry.attention_dim, 64));
    cr_assert(eq(u32, geometry.flags, SONA_GEOMETRY_NORMALIZE));
    config.normalize = false;
    sona_config_geometry(&config, &geometry);
    cr_assert(zero(u32, geometry.flags));
}

Test(config, embeddings_are_as_long_as_activations_unless_it_is_said)
{
    sona_geometry geometry;
    sona_config config;
    sona_diag diag;

    sona_config_init(&config);
    cr_assert(eq(int, sona_config_set(&config, "hidden_dim", "512", NULL), SONA_OK));
    sona_config_geometry(&config, &geometry);
    cr_assert(eq(u32, geometry.dim, 512));
    cr_assert(eq(int, sona_config_set(&config, "embedding_dim", "384", NULL), SONA_OK));
    sona_config_geometry(&config, &geometry);
    cr_assert(eq(u32, geometry.dim, 384));
    sona_config_resolve(&config);
    cr_assert(eq(u32, config.embedding_dim, 384));
    config.embedding_dim = 0;
    sona_config_resolve(&config);
    cr_assert(eq(u32, config.embedding_dim, 512));
    config.embedding_dim = 3;
    cr_assert(eq(int, sona_config_check(&config, &diag), SONA_E_CONFIG));
    cr_assert(
        ne(ptr, strstr(diag.text, "embedding_dim must be 4..4096, or 0 for hidden_dim"), NULL),
        "%s", diag.text);
}

Test(config, ewc_strength_is_lambda_on_the_other_dialects_scale)
{
    sona_config config;

    sona_config_init(&config);
    cr_assert(eq(flt, config.ewc_lambda, 2000));
    sona_config_resolve(&config);
    cr_assert(eq(flt, config.ewc_lambda, 2000), "not set: nothing happens");
    cr_assert(eq(int, sona_config_set(&config, "ewcStrength", "0.4", NULL), SONA_OK));
    sona_config_resolve(&config);
    cr_assert(eq(flt, config.ewc_lambda, 2000));
    cr_assert(eq(int, sona_config_set(&config, "ewc_strength", "1", NULL), SONA_OK));
    sona_config_resolve(&config);
    cr_assert(eq(flt, config.ewc_lambda, 5000));
    cr_assert(eq(int, sona_config_set(&config, "ewc_strength", "0", NULL), SONA_OK));
    sona_config_resolve(&config);
    cr_assert(zero(flt, config.ewc_lambda));
    cr_assert(eq(int, sona_config_set(&config, "ewc_strength", "1.1", NULL), SONA_E_CONFIG));
}

Test(config, keys_are_known_in_camel_case_too)
{
    static const char *const pairs[][3] = {{"hiddenDim", "hidden_dim", "512"},
                                           {"embeddingDim", "embedding_dim", "384"},
                                           {"microLoraRank", "micro_lora_rank", "1"},
                                           {"baseLoraRank", "base_lora_rank", "16"},
                                           {"microLoraLr", "micro_lora_lr", "0.5"},
                                           {"baseLoraLr", "base_lora_lr", "0.5"},
                                           {"patternClusters", "pattern_clusters", "7"},
                                           {"trajectoryCapacity", "trajectory_capacity", "70"},
                                           {"backgroundIntervalMs", "background_interval_ms", "9"},
                                           {"qualityThreshold", "pattern_quality_threshold", "1"},
                                           {"enableSimd", "enable_simd", "false"}};

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        sona_config camel, snake;

        sona_config_init(&camel);
        sona_config_init(&snake);
        cr_assert(eq(int, sona_config_set(&camel, pairs[i][0], pairs[i][2], NULL), SONA_OK), "%s",
                  pairs[i][0]);
        cr_assert(eq(int, sona_config_set(&snake, pairs[i][1], pairs[i][2], NULL), SONA_OK));
        cr_assert(zero(int, memcmp(&camel, &snake, sizeof(camel))), "%s", pairs[i][0]);
    }
    for (size_t i = 0; i < 4; i++) {
        static const char *const bad[] = {"HiddenDim", "hiddenDi", "hiddenDimX", "hidden_Dim"};
        sona_config config;

        sona_config_init(&config);
        assert_refused(&config, bad[i], "8", "unknown key");
    }
}

Test(config, numbers_have_a_point_in_every_locale)
{
    static const char *const comma[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "nl_NL.UTF-8"};
    sona_config config;

    for (size_t i = 0; i < 4 && localeconv()->decimal_point[0] != ','; i++)
        setlocale(LC_ALL, comma[i]);
    if (localeconv()->decimal_point[0] != ',')
        cr_skip_test("no locale with a decimal comma is installed");
    sona_config_init(&config);
    cr_assert(eq(int, sona_config_set(&config, "lambda", "0.25", NULL), SONA_OK));
    cr_assert(eq(flt, config.lambda, 0.25f));
    cr_assert(eq(str, look_up(&config, "lambda").value, "0.25"));
}

Test(config, null_arguments_are_refused)
{
    sona_config config;
    sona_diag diag;

    sona_config_init(&config);
    cr_assert(eq(int, sona_config_set(NULL, "dim", "8", &diag), SONA_E_ARGUMENT));
    cr_assert(eq(int, sona_config_set(&config, NULL, "8", &diag), SONA_E_ARGUMENT));
    cr_assert(eq(int, sona_config_set(&config, "dim", NULL, NULL), SONA_E_ARGUMENT));
    cr_assert(eq(int, sona_config_check(NULL, &diag), SONA_E_ARGUMENT));
}
