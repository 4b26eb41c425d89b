/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The table of options. A row is all there is to know about one: parser, environment variable,
 * --help, --print-config, manual page, completion, documentation and SIGHUP are made from it.
 * Engine fields are rows too, expanded from SONA_CONFIG_FIELDS; an option is added there or here,
 * and nowhere else.
 */
#ifndef SONA_SIDECAR_CONFIG_SETTING_H
#define SONA_SIDECAR_CONFIG_SETTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sona/error.h>

#include "sidecar/options.h"

enum sona_sidecar_type {
    SONA_SIDECAR_WHOLE,  /* a uint32_t of the options */
    SONA_SIDECAR_WORD,   /* one of `words`; its index is a uint32_t of the options */
    SONA_SIDECAR_PRESET, /* the same, one of the presets */
    SONA_SIDECAR_NAME,   /* of an instance */
    SONA_SIDECAR_PATH,   /* a directory */
    SONA_SIDECAR_GROUP,  /* of users */
    SONA_SIDECAR_ROUTES, /* the list of routes */
    SONA_SIDECAR_FIELD   /* a field of sona_config, which parses and judges it */
};

struct sona_sidecar_setting {
    const char *section; /* "" for the top level */
    const char *key, *alias;
    const char *flag; /* without its dashes; "": by --set alone */
    const char *help;
    const char *kind;  /* what a value is, for people: "whole number" */
    const char *words; /* WORD: "thread|inline" */
    enum sona_sidecar_type type;
    size_t offset; /* WHOLE, WORD, PRESET: in struct sona_sidecar_options */
    uint64_t min, max;
    double real_min, real_max; /* FIELD of type f32 */
    bool live;                 /* not FIELD: a running sidecar takes it over */
};

/* The rows, in the order in which they are printed; a section's stand together. */
extern const struct sona_sidecar_setting sona_sidecar_settings[];
uint32_t sona_sidecar_setting_count(void);
static inline uint32_t sona_sidecar_setting_index(const struct sona_sidecar_setting *setting)
{
    return (uint32_t)(setting - sona_sidecar_settings);
}

/* Does a running sidecar take over a new value? */
bool sona_sidecar_setting_live(const struct sona_sidecar_setting *setting);

/* The sections: "learner", ..., null past the last; and what each holds. */
const char *sona_sidecar_section_name(uint32_t index);
const char *sona_sidecar_section_help(uint32_t index);

/* The row of this key or alias, also in camel case; of any section when it is null. */
const struct sona_sidecar_setting *sona_sidecar_setting_find(const char *section, const char *key);
/* One sentence about a key that nobody knows, with what it probably means. */
void sona_sidecar_setting_unknown(const char *section, const char *key,
                                  char ret[SONA_DIAG_TEXT_MAX]);
/* The known key within a typing error or two of this one; null: none. */
const char *sona_sidecar_setting_nearest(const char *section, const char *key);

/* Set an option from text. False: it is unchanged, and `why` says in a sentence what it takes. Not
 * for ROUTES, which have more than one mistake in them (routes.h). */
bool sona_sidecar_setting_take(const struct sona_sidecar_setting *setting,
                               struct sona_sidecar_options *options, const char *text,
                               char why[SONA_DIAG_TEXT_MAX]);

#define SONA_SIDECAR_VALUE_MAX 256u
/* The value as text that reads back as the same; of ROUTES how many there are. */
void sona_sidecar_setting_format(const struct sona_sidecar_setting *setting,
                                 const struct sona_sidecar_options *options,
                                 char ret[SONA_SIDECAR_VALUE_MAX]);
/* Where the value is from: "file:line:column", a variable, a flag, "preset" or "built-in". */
const char *sona_sidecar_setting_origin(const struct sona_sidecar_setting *setting,
                                        const struct sona_sidecar_options *options);
/* "1..256", "0..1", "thread or inline"; "" when there is nothing to say. */
void sona_sidecar_setting_range(const struct sona_sidecar_setting *setting,
                                char ret[SONA_SIDECAR_VALUE_MAX]);
/* "milliseconds" and the like, by the end of the key; "" for a plain number. */
const char *sona_sidecar_setting_unit(const struct sona_sidecar_setting *setting);
/* SONA_LANES_MAX for lanes_max. */
void sona_sidecar_setting_variable(const struct sona_sidecar_setting *setting,
                                   char ret[SONA_SIDECAR_VALUE_MAX]);

/* The options before anybody said anything. `ret` is zero, or was filled in before. */
void sona_sidecar_options_init(struct sona_sidecar_options *ret);

#endif
