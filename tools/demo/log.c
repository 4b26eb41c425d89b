/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "tools/demo/log.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "tools/fail.h"
#include "tools/text.h"

#define ROWS_FIRST 1024u

void sona_demo_log_close(struct sona_demo_log *log)
{
    free(log->x);
    free(log->route);
    free(log->quality);
    memset(log, 0, sizeof *log);
}

/* Count a line that cannot be used, and keep the first reasons. Returns false. */
__attribute__((format(printf, 2, 3))) static bool refuse(struct sona_demo_log *log,
                                                         const char *format, ...)
{
    if (log->malformed < SONA_DEMO_LOG_REASONS_MAX) {
        char *reason = log->reason[log->malformed];
        int n = snprintf(reason, SONA_DEMO_LOG_REASON_MAX,
                         "line %llu: ", (unsigned long long)log->lines);
        va_list args;

        va_start(args, format);
        (void)vsnprintf(reason + n, SONA_DEMO_LOG_REASON_MAX - (size_t)n, format, args);
        va_end(args);
    }
    log->malformed++;
    return false;
}

static bool grow(struct sona_demo_log *log)
{
    uint32_t capacity = log->capacity > 0 ? 2 * log->capacity : ROWS_FIRST;
    float *x = realloc(log->x, (size_t)capacity * log->dim * sizeof *x), *quality;
    uint32_t *route;

    log->x = x != NULL ? x : log->x;
    route = realloc(log->route, capacity * sizeof *route);
    log->route = route != NULL ? route : log->route;
    quality = realloc(log->quality, capacity * sizeof *quality);
    log->quality = quality != NULL ? quality : log->quality;
    if (x == NULL || route == NULL || quality == NULL)
        return false;
    log->capacity = capacity;
    return true;
}

/* Read the numbers of "embedding"; the dimension must be the log's. */
static bool read_embedding(struct sona_demo_log *log, const json_t *array, float *ret)
{
    size_t n = json_array_size(array);
    double square = 0;

    if (!json_is_array(array))
        return refuse(log, "\"embedding\" is not an array of numbers");
    if (n != log->dim)
        return refuse(log, "the embedding has %zu numbers, the first usable line has %u", n,
                      log->dim);
    for (size_t j = 0; j < n; j++) {
        const json_t *number = json_array_get(array, j);

        ret[j] = (float)json_number_value(number);
        square += (double)ret[j] * (double)ret[j];
        if (!json_is_number(number) || !isfinite(ret[j]))
            return refuse(log, "number %zu of the embedding is not a finite number", j + 1);
    }
    return square > 0 ? true : refuse(log, "the embedding is all zeros");
}

static bool read_text(struct sona_demo_log *log, const json_t *text, float *ret)
{
    if (!json_is_string(text))
        return refuse(log, "\"text\" is not a string");
    if (log->dim != SONA_TOOLS_TEXT_DIM)
        return refuse(log, "a text is embedded in %u dimensions, the first usable line has %u",
                      SONA_TOOLS_TEXT_DIM, log->dim);
    if (!sona_tools_text_embed(json_string_value(text), json_string_length(text), ret))
        return refuse(log, "the text has no word in it");
    return true;
}

/* The first line that says an embedding's length fixes it. */
static bool fix_dim(struct sona_demo_log *log, const json_t *embedding)
{
    size_t n = embedding != NULL ? json_array_size(embedding) : SONA_TOOLS_TEXT_DIM;

    if (log->rows > 0)
        return true;
    if (n < SONA_DIM_MIN || n > SONA_DIM_MAX)
        return refuse(log, "the embedding has %zu numbers; %d to %d are possible", n, SONA_DIM_MIN,
                      SONA_DIM_MAX);
    if (log->dim != (uint32_t)n)
        log->capacity = 0; /* what is there has rows of another length */
    log->dim = (uint32_t)n;
    return true;
}

/* Index of the route's name, declared when it is new. */
static bool find_route(struct sona_demo_log *log, const json_t *route, uint32_t *ret)
{
    const char *name = json_string_value(route);
    uint32_t k = 0;

    if (name == NULL || name[0] == '\0')
        return refuse(log, "\"route\" is missing or not a name");
    if (strlen(name) >= SONA_ROUTE_NAME_MAX)
        return refuse(log, "the route's name is longer than %d bytes", SONA_ROUTE_NAME_MAX - 1);
    while (k < log->n_routes && strcmp(log->routes[k].name, name) != 0)
        k++;
    if (k == SONA_ROUTES_MAX)
        return refuse(log, "\"%.40s\" would be route %u; at most %d are possible", name, k + 1,
                      SONA_ROUTES_MAX);
    if (k == log->n_routes) {
        sona_route_spec *spec = &log->routes[log->n_routes++];

        *spec = (sona_route_spec){.prior_quality = 0.5f, .prior_weight = 1};
        (void)snprintf(spec->name, sizeof spec->name, "%s", name);
    }
    *ret = k;
    return true;
}

/* Take one parsed line; false when it was refused. *ret_memory false: no memory is left. */
static bool take(struct sona_demo_log *log, const json_t *root, bool *ret_memory)
{
    const json_t *embedding = json_object_get(root, "embedding");
    const json_t *text = json_object_get(root, "text");
    const json_t *quality = json_object_get(root, "quality");
    double q = json_number_value(quality);
    float *x;

    if (!json_is_object(root))
        return refuse(log, "not a JSON object");
    if (embedding == NULL && text == NULL)
        return refuse(log, "neither \"embedding\" nor \"text\" is there");
    if (!json_is_number(quality))
        return refuse(log, "\"quality\" is missing or not a number");
    if (!(q >= 0 && q <= 1))
        return refuse(log, "the quality is %g, not 0 to 1", q);
    if (!fix_dim(log, embedding))
        return false;
    if (log->rows == log->capacity && !grow(log)) {
        *ret_memory = false;
        return false;
    }
    x = log->x + (size_t)log->rows * log->dim;
    if (embedding != NULL ? !read_embedding(log, embedding, x) : !read_text(log, text, x))
        return false;
    if (!find_route(log, json_object_get(root, "route"), &log->route[log->rows]))
        return false;
    log->quality[log->rows++] = (float)q;
    return true;
}

static bool is_blank(const char *line)
{
    return line[strspn(line, " \t\r\n")] == '\0';
}

/* Read lines until the end, the limit of rows, or no memory (false). */
static bool read_lines(struct sona_demo_log *log, FILE *in)
{
    char *line = malloc(SONA_DEMO_LOG_LINE_MAX + 2);
    bool memory = line != NULL;

    while (memory && log->rows < SONA_DEMO_LOG_ROWS_MAX) {
        json_error_t error;
        bool whole;
        json_t *root;
        int c = 0;

        line[SONA_DEMO_LOG_LINE_MAX] =
            '\0'; /* written by a line that does not fit, and only then */
        if (fgets(line, SONA_DEMO_LOG_LINE_MAX + 2, in) == NULL)
            break;
        log->lines++;
        whole = line[SONA_DEMO_LOG_LINE_MAX] == '\0' || line[SONA_DEMO_LOG_LINE_MAX] == '\n';
        while (!whole && c != '\n' && c != EOF)
            c = fgetc(in);
        if (!whole) {
            (void)refuse(log, "longer than %u bytes", SONA_DEMO_LOG_LINE_MAX);
            continue;
        }
        if (is_blank(line))
            continue;
        root = json_loads(line, JSON_REJECT_DUPLICATES, &error);
        if (root == NULL)
            (void)refuse(log, "not JSON: %.80s (column %d)", error.text, error.column);
        else
            (void)take(log, root, &memory);
        json_decref(root);
    }
    log->cut = log->rows == SONA_DEMO_LOG_ROWS_MAX && fgetc(in) != EOF;
    free(line);
    return memory;
}

sona_err sona_demo_log_read(struct sona_demo_log *ret, FILE *in, const char *name,
                            sona_diag *reterr)
{
    memset(ret, 0, sizeof *ret);
    if (!read_lines(ret, in)) {
        sona_demo_log_close(ret);
        return sona_tools_fail(reterr, SONA_E_MEMORY, "not enough memory for the log %s", name);
    }
    if (ferror(in)) {
        sona_demo_log_close(ret);
        return sona_tools_fail(reterr, SONA_E_SYSTEM, "cannot read %s; name a file of lines", name);
    }
    if (ret->rows == 0) {
        sona_err err =
            ret->malformed > 0
                ? sona_tools_fail(reterr, SONA_E_FORMAT, "no usable line in %.60s (%llu lines); %s",
                                  name, (unsigned long long)ret->lines, ret->reason[0])
                : sona_tools_fail(reterr, SONA_E_FORMAT,
                                  "%.60s is empty; it needs lines of "
                                  "{\"text\", \"route\", \"quality\"}",
                                  name);

        sona_demo_log_close(ret);
        return err;
    }
    return SONA_OK;
}

sona_err sona_demo_log_open(struct sona_demo_log *ret, const char *path, sona_diag *reterr)
{
    FILE *in = fopen(path, "re");
    sona_err err;

    if (in == NULL)
        return sona_tools_fail(reterr, SONA_E_SYSTEM, "cannot open %s: %s; check the path", path,
                               strerror(errno));
    err = sona_demo_log_read(ret, in, path, reterr);
    (void)fclose(in);
    return err;
}
