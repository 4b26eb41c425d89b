/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The configuration: one table of fields, expanded from config.h, serves defaults, parsing, range
 * checks, suggestions and listings. A key is added in config.h and nowhere else; only what two
 * fields owe each other is written here by hand.
 *
 * Numbers are read and written in the C locale: a host program with LC_NUMERIC=de_DE still writes
 * "0.002".
 */
#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <sona/config.h>

#include "engine/diag.h"
#include "engine/edits.h"

enum type { TYPE_u32, TYPE_u64, TYPE_f32, TYPE_flag };

/* Bounds in both forms: a double cannot hold every 64-bit seed. */
struct field {
    const char *name, *alias;
    const char *help;
    size_t offset;
    enum type type;
    uint64_t whole, whole_min, whole_max;
    double real, real_min, real_max;
};

static const struct field fields[] = {
#define FIELD(type_, name_, default_, min_, max_, alias_, help_) \
    {                                                            \
        .name = #name_,                                          \
        .alias = (alias_),                                       \
        .help = (help_),                                         \
        .offset = offsetof(sona_config, name_),                  \
        .type = TYPE_##type_,                                    \
        .whole = (uint64_t)(default_),                           \
        .whole_min = (uint64_t)(min_),                           \
        .whole_max = (uint64_t)(max_),                           \
        .real = (double)(default_),                              \
        .real_min = (double)(min_),                              \
        .real_max = (double)(max_),                              \
    },
    SONA_CONFIG_FIELDS(FIELD)
#undef FIELD
};

#define FIELDS          (sizeof(fields) / sizeof(fields[0]))
#define VALUE_MAX       32 /* bytes of a value as text: 20 digits, or a float with exponent */
#define KEY_MAX         SONA_ENGINE_EDITS_MAX /* longest key that is compared for a suggestion */
#define DISTANCE_MAX    3                     /* misspellings beyond it are not guessed at */
#define EWC_LAMBDA_FULL 5000.0f               /* ewc_lambda of ewc_strength 1 */

union value {
    uint64_t whole;
    double real;
};

static union value value_of(const sona_config *config, const struct field *field)
{
    const char *at = (const char *)config + field->offset;
    union value ret = {0};
    uint32_t u32;
    float f32;
    uint8_t flag; /* not a bool: the caller's bytes may be neither of its two values */

    switch (field->type) {
    case TYPE_u32:
        memcpy(&u32, at, sizeof(u32));
        ret.whole = u32;
        break;
    case TYPE_u64:
        memcpy(&ret.whole, at, sizeof(ret.whole));
        break;
    case TYPE_f32:
        memcpy(&f32, at, sizeof(f32));
        ret.real = (double)f32;
        break;
    case TYPE_flag:
        memcpy(&flag, at, sizeof(flag));
        ret.whole = flag;
        break;
    }
    return ret;
}

static void value_store(sona_config *config, const struct field *field, union value value)
{
    char *at = (char *)config + field->offset;
    uint32_t u32 = (uint32_t)value.whole;
    bool flag = value.whole != 0;
    float f32;

    switch (field->type) {
    case TYPE_u32:
        memcpy(at, &u32, sizeof(u32));
        break;
    case TYPE_u64:
        memcpy(at, &value.whole, sizeof(value.whole));
        break;
    case TYPE_f32:
        f32 = (float)value.real;
        memcpy(at, &f32, sizeof(f32));
        break;
    case TYPE_flag:
        memcpy(at, &flag, sizeof(flag));
        break;
    }
}

/* Bounds are compared as floats: 0.3f read back as a double lies a little above 0.3. */
static bool in_range(const struct field *field, union value value)
{
    if (field->type == TYPE_f32)
        return (float)value.real >= (float)field->real_min &&
               (float)value.real <= (float)field->real_max;
    return value.whole >= field->whole_min && value.whole <= field->whole_max;
}

/* The shortest text that reads back as the same float. Called in the C locale. */
static void real_format(double value, char text[VALUE_MAX])
{
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, VALUE_MAX, "%.*g", digits, value);
        if (strtof(text, NULL) == (float)value)
            return;
    }
}

static void value_format(const struct field *field, union value value, char text[VALUE_MAX])
{
    if (field->type == TYPE_f32)
        real_format(value.real, text);
    else if (field->type == TYPE_flag)
        snprintf(text, VALUE_MAX, "%s", value.whole != 0 ? "true" : "false");
    else
        snprintf(text, VALUE_MAX, "%" PRIu64, value.whole);
}

static void range_format(const struct field *field, char low[VALUE_MAX], char high[VALUE_MAX])
{
    value_format(field,
                 field->type == TYPE_f32 ? (union value){.real = field->real_min}
                                         : (union value){.whole = field->whole_min},
                 low);
    value_format(field,
                 field->type == TYPE_f32 ? (union value){.real = field->real_max}
                                         : (union value){.whole = field->whole_max},
                 high);
}

/* One sentence about a value out of range; the seed's own words for the rank people most often
 * get wrong. */
static void describe_range(const struct field *field, const char *value,
                           char text[SONA_DIAG_TEXT_MAX])
{
    char low[VALUE_MAX], high[VALUE_MAX];

    range_format(field, low, high);
    if (field->offset == offsetof(sona_config, micro_lora_rank))
        snprintf(text, SONA_DIAG_TEXT_MAX,
                 "MicroLoRA rank must be %s-%s, not %.64s: use base_lora_rank for more", low, high,
                 value);
    else
        snprintf(text, SONA_DIAG_TEXT_MAX, "%s must be %s..%s, not %.64s", field->name, low, high,
                 value);
}

/* Run in the C locale; the caller's comes back afterwards. Without memory for a locale object the
 * caller's own serves: a wrong decimal point then is an error message, not a wrong value. */
static locale_t locale_enter(locale_t *ret_before)
{
    locale_t plain = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);

    *ret_before = plain != (locale_t)0 ? uselocale(plain) : (locale_t)0;
    return plain;
}

static void locale_leave(locale_t plain, locale_t before)
{
    if (plain == (locale_t)0)
        return;
    uselocale(before);
    freelocale(plain);
}

void sona_config_init(sona_config *ret)
{
    memset(ret, 0, sizeof(*ret)); /* the padding too: configurations are compared and hashed */
    for (size_t i = 0; i < FIELDS; i++)
        value_store(ret, &fields[i],
                    fields[i].type == TYPE_f32 ? (union value){.real = fields[i].real}
                                               : (union value){.whole = fields[i].whole});
}

/* Whether `key` is `name`, or the camel case of it: microLoraRank is micro_lora_rank. */
static bool same_key(const char *name, const char *key)
{
    for (; *name != '\0'; name++, key++) {
        bool hump = *name == '_' && *key >= 'A' && *key <= 'Z';

        if (hump)
            name++;
        if (*name != (hump ? *key - 'A' + 'a' : *key))
            return false;
    }
    return *key == '\0';
}

static const struct field *field_find(const char *key)
{
    for (size_t i = 0; i < FIELDS; i++) {
        if (same_key(fields[i].name, key))
            return &fields[i];
        if (fields[i].alias[0] != '\0' && same_key(fields[i].alias, key))
            return &fields[i];
    }
    return NULL;
}

/* The known key that `key` probably means, or null. */
static const char *nearest(const char *key)
{
    const char *best = NULL;
    size_t best_edits = DISTANCE_MAX + 1;

    if (strnlen(key, KEY_MAX + 1) > KEY_MAX)
        return NULL;
    for (size_t i = 0; i < FIELDS; i++) {
        const char *names[] = {fields[i].name, fields[i].alias};

        for (size_t j = 0; j < 2; j++) {
            size_t distance = names[j][0] != '\0' ? sona_engine_edits(key, names[j]) : best_edits;

            /* "x" is one replacement from any one-letter key: at least half must agree. */
            if (distance < best_edits && 2 * distance <= strlen(names[j])) {
                best = names[j];
                best_edits = distance;
            }
        }
    }
    return best;
}

static sona_err unknown_key(const char *key, sona_diag *reterr)
{
    const char *guess = nearest(key);

    if (guess != NULL)
        return sona_engine_diag(reterr, SONA_E_CONFIG, "unknown key \"%.64s\": did you mean %s?",
                                key, guess);
    return sona_engine_diag(reterr, SONA_E_CONFIG,
                            "unknown key \"%.64s\": the known ones are in sona/config.h and in "
                            "sona-sidecar --print-config",
                            key);
}

static bool parse_flag(const char *text, uint64_t *ret)
{
    static const char *const words[] = {"false", "true", "off", "on", "0", "1"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(text, words[i]) == 0) {
            *ret = i % 2;
            return true;
        }
    }
    return false;
}

/* Digits only: strtoull alone would take "-1" for 18446744073709551615. */
static bool parse_whole(const char *text, uint64_t *ret)
{
    char *end;
    unsigned long long value;

    if (text[0] == '\0' || strspn(text, "0123456789") != strlen(text))
        return false;
    errno = 0;
    value = strtoull(text, &end, 10);
    *ret = errno == ERANGE ? UINT64_MAX : value;
    return true;
}

/* Decimal only: no "nan", "inf", hexadecimal or leading space. */
static bool parse_real(const char *text, double *ret)
{
    char *end;

    if (text[0] == '\0' || strspn(text, "+-.0123456789eE") != strlen(text))
        return false;
    *ret = strtod(text, &end);
    return *end == '\0' && end != text;
}

static bool parse(const struct field *field, const char *text, union value *ret)
{
    if (field->type == TYPE_flag)
        return parse_flag(text, &ret->whole);
    if (field->type == TYPE_f32)
        return parse_real(text, &ret->real);
    return parse_whole(text, &ret->whole);
}

/* A whole number too large for 64 bits was read as the largest one: out of any range but the
 * seed's. */
static bool overflowed(const struct field *field, const char *text, union value value)
{
    char back[VALUE_MAX];

    if (field->type != TYPE_u64 || value.whole != UINT64_MAX)
        return false;
    snprintf(back, sizeof(back), "%" PRIu64, UINT64_MAX);
    return strcmp(text + strspn(text, "0"), back) != 0;
}

sona_err sona_config_set(sona_config *config, const char *key, const char *value, sona_diag *reterr)
{
    static const char *const kinds[] = {"a whole number", "a whole number", "a number",
                                        "true, false, on, off, 1 or 0"};
    const struct field *field;
    union value parsed = {0};
    locale_t plain, before;
    sona_err err = SONA_OK;
    char text[SONA_DIAG_TEXT_MAX];

    if (config == NULL || key == NULL || value == NULL)
        return sona_engine_diag(reterr, SONA_E_ARGUMENT, "configuration, key or value is null");
    if (strcmp(key, "preset") == 0)
        return sona_config_preset(config, value, reterr);
    field = field_find(key);
    if (field == NULL)
        return unknown_key(key, reterr);

    plain = locale_enter(&before);
    if (!parse(field, value, &parsed)) {
        err = sona_engine_diag(reterr, SONA_E_CONFIG, "%s must be %s, not \"%.64s\"", field->name,
                               kinds[field->type], value);
    } else if (!in_range(field, parsed) || overflowed(field, value, parsed)) {
        describe_range(field, value, text);
        err = sona_engine_diag(reterr, SONA_E_CONFIG, "%s", text);
    }
    locale_leave(plain, before);
    if (err == SONA_OK)
        value_store(config, field, parsed);
    return err;
}

/* The mistakes found so far, joined by "; ". What does not fit is counted. */
struct mistakes {
    char text[SONA_DIAG_TEXT_MAX];
    size_t length;
    unsigned count, hidden;
};

#define MISTAKES_TAIL 16 /* bytes kept free for "; and 99 more" */

static void mistake(struct mistakes *all, const char *text)
{
    const char *joint = all->count > 0 ? "; " : "";
    size_t needed = strlen(joint) + strlen(text);

    all->count++;
    /* Once one is hidden, all later ones are: the list stays in the order of the fields. */
    if (all->hidden > 0 || all->length + needed + MISTAKES_TAIL > sizeof(all->text)) {
        all->hidden++;
        return;
    }
    memcpy(all->text + all->length, joint, strlen(joint));
    memcpy(all->text + all->length + strlen(joint), text, strlen(text) + 1);
    all->length += needed;
}

/* What two fields owe each other. */
static void check_together(const sona_config *config, struct mistakes *all)
{
    char text[SONA_DIAG_TEXT_MAX];
    sona_config resolved = *config;

    sona_config_resolve(&resolved);
    if (config->embedding_dim > 0 && config->embedding_dim < SONA_DIM_MIN) {
        snprintf(text, sizeof(text),
                 "embedding_dim must be %d..%d, or 0 for hidden_dim, not %" PRIu32, SONA_DIM_MIN,
                 SONA_DIM_MAX, config->embedding_dim);
        mistake(all, text);
    }
    if (resolved.base_lora_rank > resolved.embedding_dim) {
        snprintf(text, sizeof(text),
                 "base_lora_rank %" PRIu32 " must not exceed embedding_dim %" PRIu32,
                 resolved.base_lora_rank, resolved.embedding_dim);
        mistake(all, text);
    }
}

sona_err sona_config_check(const sona_config *config, sona_diag *reterr)
{
    struct mistakes all = {.count = 0};
    char text[SONA_DIAG_TEXT_MAX], value[VALUE_MAX];
    locale_t plain, before;

    if (config == NULL)
        return sona_engine_diag(reterr, SONA_E_ARGUMENT, "the configuration is null");
    plain = locale_enter(&before);
    for (size_t i = 0; i < FIELDS; i++) {
        if (in_range(&fields[i], value_of(config, &fields[i])))
            continue;
        value_format(&fields[i], value_of(config, &fields[i]), value);
        describe_range(&fields[i], value, text);
        mistake(&all, text);
    }
    locale_leave(plain, before);
    check_together(config, &all);
    if (all.count == 0)
        return SONA_OK;
    if (all.hidden > 0)
        return sona_engine_diag(reterr, SONA_E_CONFIG, "%.239s; and %u more", all.text, all.hidden);
    return sona_engine_diag(reterr, SONA_E_CONFIG, "%s", all.text);
}

void sona_config_resolve(sona_config *config)
{
    if (config->embedding_dim == 0)
        config->embedding_dim = config->hidden_dim;
    if (config->ewc_strength >= 0)
        config->ewc_lambda = EWC_LAMBDA_FULL * config->ewc_strength;
}

void sona_config_geometry(const sona_config *config, sona_geometry *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->dim = config->embedding_dim != 0 ? config->embedding_dim : config->hidden_dim;
    ret->routes_max = config->routes_max;
    ret->micro_rank = config->micro_lora_rank;
    ret->base_rank = config->base_lora_rank;
    ret->layers = config->base_lora_layers;
    ret->patterns_max = config->pattern_clusters;
    ret->attention_dim = config->attention_dim;
    ret->flags = (config->normalize ? SONA_GEOMETRY_NORMALIZE : 0) |
                 (config->enable_simd ? 0 : SONA_GEOMETRY_PLAIN);
    ret->hidden_dim = config->hidden_dim;
    ret->tenants_max = config->tenants_max;
    ret->tenant_rank = config->tenants_max > 0 ? config->tenant_lora_rank : 0;
}

void sona_config_each(void (*visit)(void *arg, const char *name, const char *alias,
                                    const char *value, const char *help),
                      void *arg, const sona_config *config)
{
    char value[VALUE_MAX];

    for (size_t i = 0; i < FIELDS; i++) {
        locale_t before, plain = locale_enter(&before);

        value_format(&fields[i], value_of(config, &fields[i]), value);
        locale_leave(plain, before); /* before the caller's function runs */
        visit(arg, fields[i].name, fields[i].alias, value, fields[i].help);
    }
}
