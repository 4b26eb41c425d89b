/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See lines.h. */
#include "sidecar/lines.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "shm/diag.h"

/* Bytes of the character that this is in UTF-8, if it can be shown; else 0. */
static size_t visible(const unsigned char *at)
{
    unsigned char c = at[0], least = 0x80, most = 0xbf;
    size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

    if (c < ' ' || c == 0x7f || (c > 0x7f && c < 0xc2) || c > 0xf4)
        return 0;
    if (c == 0xc2 || c == 0xe0) /* control characters of 8 bits; what is longer than it must be */
        least = 0xa0;
    if (c == 0xf0)
        least = 0x90;
    if (c == 0xed || c == 0xf4) /* halves of pairs; beyond the last character */
        most = c == 0xed ? 0x9f : 0x8f;
    for (size_t i = 1; i < n; i++, least = 0x80, most = 0xbf)
        if (at[i] < least || at[i] > most)
            return 0;
    return n;
}

/* A sentence quotes what a stranger wrote, cut anywhere: it goes to a terminal, and through JSON,
 * which has no room for half a character. */
static void clean(char *text)
{
    for (unsigned char *at = (unsigned char *)text; *at != '\0';) {
        size_t n = visible(at);

        if (n == 0)
            *at = '?';
        at += n > 0 ? n : 1;
    }
}

sona_err sona_sidecar_lines_refuse(const struct sona_sidecar_lines *lines, sona_diag *reterr,
                                   sona_err err, const char *format, ...)
{
    char text[SONA_DIAG_TEXT_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    text[sizeof text - 32] = '\0'; /* room for "line N: " */
    clean(text);
    return sona_shm_diag_set(reterr, err, 0, "line %" PRIu64 ": %s", lines->number, text);
}

static bool is_empty(const char *line, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
            return false;
    return true;
}

sona_err sona_sidecar_lines_next(struct sona_sidecar_lines *lines, json_t **ret, sona_diag *reterr)
{
    *ret = NULL;
    while (lines->at < lines->end) {
        const char *line = lines->at;
        const char *stop = memchr(line, '\n', (size_t)(lines->end - line));
        size_t n = (size_t)((stop ? stop : lines->end) - line);
        json_error_t error;

        lines->at = stop ? stop + 1 : lines->end;
        lines->number++;
        if (is_empty(line, n))
            continue;
        if (n > SONA_SIDECAR_LINE_MAX)
            return sona_sidecar_lines_refuse(lines, reterr, SONA_E_LIMIT,
                                             "a line has at most %u bytes, and this one %zu; is "
                                             "an end of line missing?",
                                             SONA_SIDECAR_LINE_MAX, n);
        *ret = json_loadb(line, n, JSON_REJECT_DUPLICATES, &error);
        if (!*ret)
            return sona_sidecar_lines_refuse(lines, reterr, SONA_E_FORMAT,
                                             "column %d: this is no JSON object: %.100s",
                                             error.column, error.text);
        if (json_is_object(*ret))
            return SONA_OK;
        json_decref(*ret);
        *ret = NULL;
        return sona_sidecar_lines_refuse(lines, reterr, SONA_E_FORMAT,
                                         "this is no JSON object, but something else");
    }
    return SONA_OK;
}

sona_err sona_sidecar_lines_head(const struct sona_sidecar_lines *lines, const json_t *head,
                                 const char *format, uint32_t dim, sona_diag *reterr)
{
    const char *said = json_string_value(json_object_get(head, "format"));
    const json_t *its_dim = json_object_get(head, "dim");

    if (!said || strcmp(said, format) != 0)
        return sona_sidecar_lines_refuse(lines, reterr, SONA_E_FORMAT,
                                         "the first line must say \"format\": \"%s\"; is it the "
                                         "file that you mean?",
                                         format);
    if (!json_is_integer(its_dim) || json_integer_value(its_dim) != (json_int_t)dim)
        return sona_sidecar_lines_refuse(lines, reterr, SONA_E_SHAPE,
                                         "the file is of %" JSON_INTEGER_FORMAT
                                         " dimensions, and this instance of %u",
                                         json_integer_value(its_dim), dim);
    return SONA_OK;
}

bool sona_sidecar_lines_real(const json_t *o, const char *key, float *ret)
{
    const json_t *value = json_object_get(o, key);

    if (!value)
        return true;
    if (!json_is_number(value) || !isfinite((float)json_number_value(value)))
        return false;
    *ret = (float)json_number_value(value);
    return true;
}

bool sona_sidecar_lines_count(const json_t *o, const char *key, uint64_t max, uint64_t *ret)
{
    const json_t *value = json_object_get(o, key);

    if (!value)
        return true;
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) > max)
        return false;
    *ret = (uint64_t)json_integer_value(value);
    return true;
}

sona_err sona_sidecar_lines_vector(const struct sona_sidecar_lines *lines, const json_t *o,
                                   const char *key, uint32_t dim, float *ret, sona_diag *reterr)
{
    const json_t *list = json_object_get(o, key), *value;
    size_t i;

    if (!json_is_array(list))
        return sona_sidecar_lines_refuse(lines, reterr, SONA_E_FORMAT,
                                         "\"%s\" must be an array of %u numbers", key, dim);
    if (json_array_size(list) != dim)
        return sona_sidecar_lines_refuse(
            lines, reterr, SONA_E_SHAPE,
            "\"%s\" has %zu numbers, and this instance has %u dimensions", key,
            json_array_size(list), dim);
    json_array_foreach(list, i, value)
    {
        if (!json_is_number(value) || !isfinite((float)json_number_value(value)))
            return sona_sidecar_lines_refuse(lines, reterr, SONA_E_NOT_FINITE,
                                             "\"%s\"[%zu] is no finite number", key, i);
        ret[i] = (float)json_number_value(value);
    }
    return SONA_OK;
}

const char *sona_sidecar_lines_stranger(const json_t *o, const char *const *known)
{
    const char *key;
    const json_t *value;

    json_object_foreach((json_t *)(uintptr_t)o, key, value)
    {
        size_t i = 0;

        while (known[i] && strcmp(known[i], key) != 0)
            i++;
        if (!known[i])
            return key;
    }
    return NULL;
}

const sona_route_info *sona_sidecar_lines_route(const sona_route_info *routes, uint32_t n,
                                                const char *name)
{
    for (uint32_t k = 0; k < n; k++)
        if (routes[k].state == SONA_ROUTE_ENABLED && strcmp(routes[k].name, name) == 0)
            return &routes[k];
    return NULL;
}

void sona_sidecar_lines_put_text(FILE *to, const char *text)
{
    json_t *o = json_string(text); /* null: it is no UTF-8 */
    char *quoted = o ? json_dumps(o, JSON_ENCODE_ANY) : NULL;

    (void)fputs(quoted ? quoted : "\"?\"", to);
    free(quoted);
    json_decref(o);
}
