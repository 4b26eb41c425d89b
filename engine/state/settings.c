/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See settings.h. A section is text: "key=value\n" for every key, in the order of config.h. */
#include "engine/state/settings.h"

#include <string.h>

#include "engine/diag.h"

#define LINE_MAX 128 /* bytes of a line, which is a key and a number */

struct text {
    char *to; /* null: only count */
    size_t length;
};

static void append(struct text *text, const char *part)
{
    size_t n = strlen(part);

    if (text->to != NULL)
        memcpy(text->to + text->length, part, n);
    text->length += n;
}

static void put_key(void *arg, const char *name, const char *alias, const char *value,
                    const char *help)
{
    (void)alias;
    (void)help;
    append(arg, name);
    append(arg, "=");
    append(arg, value);
    append(arg, "\n");
}

void sona_state_settings_put(struct sona_state_writer *writer, const char *section,
                             const sona_config *config)
{
    struct text text = {.to = NULL};

    sona_config_each(put_key, &text, config);
    text.to = sona_state_writer_add(writer, section, 1, text.length);
    text.length = 0;
    if (text.to != NULL)
        sona_config_each(put_key, &text, config);
}

/* The line at `from`, cut in two; returns the bytes it took, 0 when it is none. */
static size_t cut(const char *from, size_t left, char line[LINE_MAX], char **ret_value)
{
    const char *end = memchr(from, '\n', left);
    size_t n = end != NULL ? (size_t)(end - from) : LINE_MAX;

    if (n >= LINE_MAX || memchr(from, 0, n) != NULL)
        return 0;
    memcpy(line, from, n);
    line[n] = 0;
    *ret_value = strchr(line, '=');
    if (*ret_value == NULL)
        return 0;
    *(*ret_value)++ = 0;
    return n + 1;
}

sona_err sona_state_settings_take(struct sona_state_reader *reader, const char *section,
                                  sona_config *ret)
{
    uint64_t left;
    const char *at = sona_state_reader_find(reader, section, 1, &left);
    sona_config config;
    sona_diag diag;

    sona_config_init(&config);
    while (left > 0) {
        char line[LINE_MAX], *value;
        size_t n = cut(at, (size_t)left, line, &value);

        if (n == 0)
            return sona_state_reader_refuse(reader, section);
        if (sona_config_set(&config, line, value, &diag) != SONA_OK)
            return sona_engine_diag(reader->reterr, SONA_E_VERSION,
                                    "the state's configuration is of another version: %.160s",
                                    diag.text);
        at += n;
        left -= n;
    }
    if (at == NULL || sona_config_check(&config, NULL) != SONA_OK)
        return sona_state_reader_refuse(reader, section);
    sona_config_resolve(&config);
    *ret = config;
    return SONA_OK;
}

sona_err sona_state_settings_compare(const sona_config *saved, const sona_config *now,
                                     sona_diag *reterr)
{
#define COMPARE(key)                                                                            \
    if (saved->key < now->key || saved->key > now->key)                                         \
        return sona_engine_diag(reterr, SONA_E_CONFIG,                                          \
                                "the state was saved with " #key " %.9g, not %.9g: start with " \
                                "the saved value, or without the state",                        \
                                (double)saved->key, (double)now->key);
    SONA_STATE_FIXED(COMPARE)
#undef COMPARE
    return SONA_OK;
}
