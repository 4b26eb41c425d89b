/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See patterns.h. */
#include "sidecar/patterns.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/learner/bank.h"
#include "engine/learner/learner.h"
#include "sidecar/lines.h"
#include "sidecar/store/store.h"

#define FORMAT "sona-patterns-1"

struct sona_sidecar_patterns *sona_sidecar_patterns_make(const struct sona_model_layout *layout,
                                                         uint32_t room)
{
    size_t bytes = sizeof(struct sona_sidecar_patterns) + (size_t)room * layout->bank.stride;
    struct sona_sidecar_patterns *ret = aligned_alloc(64, (bytes + 63) / 64 * 64);

    if (!ret)
        return NULL;
    memset(ret, 0, bytes); /* here, so that the learner meets no page that is not there */
    ret->room = room;
    ret->bytes = layout->bank.stride;
    return ret;
}

static struct sona_model_bank *row_at(const struct sona_sidecar_patterns *p, uint32_t i)
{
    return (struct sona_model_bank *)(uintptr_t)(p->row + i * p->bytes);
}

static float *part_of(const struct sona_model_bank *row, size_t part)
{
    return (float *)(uintptr_t)((const unsigned char *)row + part);
}

/* ---- to a file ---- */

static void put_routes(FILE *to, const struct sona_model_layout *layout,
                       const sona_route_info *routes, uint32_t n_routes,
                       const struct sona_model_bank *row)
{
    const float *n = part_of(row, layout->bank_n), *s = part_of(row, layout->bank_s);
    bool first = true;

    (void)fputs(",\"routes\":{", to);
    for (uint32_t r = 0; r < n_routes; r++) {
        uint32_t k = SONA_ROUTE_INDEX(routes[r].id);

        if (routes[r].state != SONA_ROUTE_ENABLED || k >= layout->geometry.routes_max ||
            !(n[k] > 0))
            continue;
        (void)fputs(first ? "" : ",", to);
        sona_sidecar_lines_put_text(to, routes[r].name);
        (void)fprintf(to, ":{\"outcomes\":%.9g,\"sum\":%.9g}", (double)n[k], (double)s[k]);
        first = false;
    }
    (void)fputc('}', to);
}

static void put_row(FILE *to, const struct sona_model_layout *layout, const sona_route_info *routes,
                    uint32_t n_routes, const struct sona_model_bank *row)
{
    uint32_t kept =
        row->n_examples < SONA_PATTERN_EXAMPLES ? row->n_examples : SONA_PATTERN_EXAMPLES;

    (void)fprintf(to,
                  "{\"id\":%" PRIu64 ",\"created_at\":%" PRIu64 ",\"last_accessed\":%" PRIu64
                  ",\"access_count\":%" PRIu64 ",\"cluster_size\":%u,\"mass\":%.9g,"
                  "\"weight\":%.9g,\"sum\":%.9g,\"types\":{",
                  row->id, row->created_at, row->last_accessed, row->access_count,
                  row->cluster_size, (double)row->mass, (double)row->weight, (double)row->sum);
    for (uint32_t t = 1, n = 0; t < SONA_MODEL_TYPES; t++)
        if (row->typed[t] > 0)
            (void)fprintf(to, "%s\"%s\":%.9g", n++ > 0 ? "," : "",
                          sona_pattern_type_name((sona_pattern_type)t), (double)row->typed[t]);
    (void)fputs("},\"examples\":[", to);
    for (uint32_t i = 0; i < kept; i++) /* the oldest first; text, since they have 64 bits */
        (void)fprintf(to, "%s\"%" PRIu64 "\"", i > 0 ? "," : "",
                      row->example[(row->n_examples - kept + i) % SONA_PATTERN_EXAMPLES]);
    (void)fputc(']', to);
    put_routes(to, layout, routes, n_routes, row);
    sona_store_put_vector(to, "centroid", part_of(row, layout->bank_centroid),
                          layout->geometry.dim);
    (void)fputs("}\n", to);
}

char *sona_sidecar_patterns_write(const struct sona_model_layout *layout,
                                  const sona_route_info *routes, uint32_t n_routes,
                                  const struct sona_sidecar_patterns *patterns, size_t *ret_bytes)
{
    char *text = NULL;
    FILE *to = open_memstream(&text, ret_bytes);

    if (!to)
        return NULL;
    (void)fprintf(to,
                  "{\"format\":\"" FORMAT "\",\"dim\":%u,\"patterns\":%u,\"step\":%" PRIu64 "}\n",
                  layout->geometry.dim, patterns->n, patterns->step);
    for (uint32_t i = 0; i < patterns->n; i++)
        put_row(to, layout, routes, n_routes, row_at(patterns, i));
    bool failed = ferror(to) != 0;
    if (fclose(to) == 0 && !failed)
        return text;
    free(text);
    return NULL;
}

/* ---- from a file ---- */

static const char *const row_keys[] = {
    "id",  "created_at", "last_accessed", "access_count", "cluster_size", "mass", "weight",
    "sum", "types",      "examples",      "routes",       "centroid",     NULL};

/* A line, and where it goes. */
struct reading {
    struct sona_sidecar_lines lines;
    const struct sona_model_layout *layout;
    const sona_route_info *routes;
    uint32_t n_routes;
    sona_diag *reterr;
};

static sona_err read_numbers(const struct reading *r, const json_t *o, struct sona_model_bank *row)
{
    const struct {
        const char *key;
        uint64_t *to;
    } counts[] = {{"id", &row->id},
                  {"created_at", &row->created_at},
                  {"last_accessed", &row->last_accessed},
                  {"access_count", &row->access_count}};
    const struct {
        const char *key;
        float *to;
    } reals[] = {{"mass", &row->mass}, {"weight", &row->weight}, {"sum", &row->sum}};
    uint64_t size = 0;

    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (!sona_sidecar_lines_count(o, counts[i].key, SONA_LEARNER_BANK_NUMBERS - 1,
                                      counts[i].to))
            return sona_sidecar_lines_refuse(&r->lines, r->reterr, SONA_E_RANGE,
                                             "\"%s\" must be a whole number, 0 to 2^53 - 1",
                                             counts[i].key);
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        if (!sona_sidecar_lines_real(o, reals[i].key, reals[i].to))
            return sona_sidecar_lines_refuse(&r->lines, r->reterr, SONA_E_NOT_FINITE,
                                             "\"%s\" must be a finite number", reals[i].key);
    if (!json_object_get(o, "mass")) /* none would not outlive the next cycle */
        row->mass = row->weight;
    if (!sona_sidecar_lines_count(o, "cluster_size", 10000000, &size))
        return sona_sidecar_lines_refuse(&r->lines, r->reterr, SONA_E_RANGE,
                                         "\"cluster_size\" must be a whole number, 0 to 1e7");
    row->cluster_size = (uint32_t)size;
    return SONA_OK;
}

static sona_err read_types(const struct reading *r, const json_t *o, struct sona_model_bank *row)
{
    const json_t *types = json_object_get(o, "types"), *value;
    const char *key;

    if (types && !json_is_object(types))
        return sona_sidecar_lines_refuse(&r->lines, r->reterr, SONA_E_FORMAT,
                                         "\"types\" must be an object");
    json_object_foreach((json_t *)(uintptr_t)types, key, value)
    {
        uint32_t t = 1;

        while (t < SONA_MODEL_TYPES &&
               strcmp(sona_pattern_type_name((sona_pattern_type)t), key) != 0)
            t++;
        if (t == SONA_MODEL_TYPES || !sona_sidecar_lines_real(types, key, &row->typed[t]))
            return sona_sidecar_lines_refuse(&r->lines, r->reterr, SONA_E_FORMAT,
                                             "\"types\" has \"%.40s\": there are reasoning, "
                                             "factual, creative, codegen and conversational, each "
                                             "with a number",
                                             key);
    }
    return SONA_OK;
}

static sona_err read_examples(const struct reading *r, const json_t *o, struct sona_model_bank *row)
{
    const json_t *list = json_object_get(o, "examples"), *value;
    size_t i;

    if (list && (!json_is_array(list) || json_array_size(list) > SONA_PATTERN_EXAMPLES))
        return sona_sidecar_lines_refuse(&r->lines, r->reterr, SONA_E_FORMAT,
                                         "\"examples\" must be an array of at most %u ids",
                                         SONA_PATTERN_EXAMPLES);
    json_array_foreach(list, i, value)
    {
        const char *text = json_string_value(value);
        char *end = NULL;

        errno = 0;
        if (text && text[0] >= '0' && text[0] <= '9')
            row->example[i] = strtoull(text, &end, 10);
        if (!end || *end != '\0' || errno == ERANGE)
            return sona_sidecar_lines_refuse(&r->lines, r->reterr, SONA_E_FORMAT,
                                             "\"examples\"[%zu] must be an id as text, such as "
                                             "\"4294967297\"",
                                             i);
    }
    row->n_examples = (uint32_t)json_array_size(list);
    return SONA_OK;
}

static sona_err read_routes(const struct reading *r, const json_t *o, struct sona_model_bank *row)
{
    const json_t *list = json_object_get(o, "routes"), *value;
    const char *name;

    if (list && !json_is_object(list))
        return sona_sidecar_lines_refuse(&r->lines, r->reterr, SONA_E_FORMAT,
                                         "\"routes\" must be an object");
    json_object_foreach((json_t *)(uintptr_t)list, name, value)
    {
        const sona_route_info *route = sona_sidecar_lines_route(r->routes, r->n_routes, name);
        uint32_t k = route ? SONA_ROUTE_INDEX(route->id) : 0;

        if (!route)
            return sona_sidecar_lines_refuse(&r->lines, r->reterr, SONA_E_ROUTE,
                                             "there is no enabled route \"%.63s\" here; add it "
                                             "(sonactl routes add), or take it out of the line",
                                             name);
        if (!json_is_object(value) || json_object_size(value) != 2 ||
            !json_object_get(value, "outcomes") || !json_object_get(value, "sum") ||
            !sona_sidecar_lines_real(value, "outcomes", part_of(row, r->layout->bank_n) + k) ||
            !sona_sidecar_lines_real(value, "sum", part_of(row, r->layout->bank_s) + k))
            return sona_sidecar_lines_refuse(&r->lines, r->reterr, SONA_E_FORMAT,
                                             "what \"routes\" says of \"%.63s\" must be "
                                             "{\"outcomes\": number, \"sum\": number}",
                                             name);
    }
    return SONA_OK;
}

static sona_err read_row(const struct reading *r, const json_t *o, struct sona_model_bank *row)
{
    const char *stranger = sona_sidecar_lines_stranger(o, row_keys);
    sona_err err = SONA_OK;

    if (stranger)
        return sona_sidecar_lines_refuse(&r->lines, r->reterr, SONA_E_FORMAT,
                                         "\"%.40s\" is no key of a pattern; see docs/jsonl.md",
                                         stranger);
    if (!json_object_get(o, "id") || !json_object_get(o, "weight"))
        return sona_sidecar_lines_refuse(&r->lines, r->reterr, SONA_E_FORMAT,
                                         "a pattern has \"id\", \"weight\" and \"centroid\" at "
                                         "least");
    err = read_numbers(r, o, row);
    if (err == SONA_OK)
        err = read_types(r, o, row);
    if (err == SONA_OK)
        err = read_examples(r, o, row);
    if (err == SONA_OK)
        err = read_routes(r, o, row);
    if (err == SONA_OK)
        err = sona_sidecar_lines_vector(&r->lines, o, "centroid", r->layout->geometry.dim,
                                        part_of(row, r->layout->bank_centroid), r->reterr);
    if (err != SONA_OK)
        return err;
    err = sona_learner_bank_check(r->layout, row);
    if (err == SONA_OK)
        return SONA_OK;
    return sona_sidecar_lines_refuse(&r->lines, r->reterr, err,
                                     "no bank has such a pattern: the centroid is of length 1, id "
                                     "is not 0, counts are 0 to 1e7, and a sum of qualities is no "
                                     "more than its count");
}

/* Lines with something in them, at most. */
static uint32_t count_lines(const char *text, size_t n)
{
    uint32_t ret = 1;

    for (size_t i = 0; i < n; i++)
        ret += text[i] == '\n';
    return ret;
}

static sona_err read_rows(struct reading *r, struct sona_sidecar_patterns *p)
{
    json_t *o = NULL;
    sona_err err = sona_sidecar_lines_next(&r->lines, &o, r->reterr);

    if (err == SONA_OK && !o)
        return sona_sidecar_lines_refuse(&r->lines, r->reterr, SONA_E_FORMAT, "the file is empty");
    if (err == SONA_OK) {
        err = sona_sidecar_lines_head(&r->lines, o, FORMAT, r->layout->geometry.dim, r->reterr);
        json_decref(o);
    }
    while (err == SONA_OK) {
        err = sona_sidecar_lines_next(&r->lines, &o, r->reterr);
        if (err != SONA_OK || !o)
            break;
        err = p->n == p->room
                  ? sona_sidecar_lines_refuse(&r->lines, r->reterr, SONA_E_LIMIT,
                                              "no more than %u patterns can be taken at once",
                                              p->room)
                  : read_row(r, o, row_at(p, p->n));
        json_decref(o);
        p->n += err == SONA_OK;
    }
    return err;
}

sona_err sona_sidecar_patterns_read(const struct sona_model_layout *layout,
                                    const sona_route_info *routes, uint32_t n_routes,
                                    const char *text, size_t n, struct sona_sidecar_patterns **ret,
                                    sona_diag *reterr)
{
    struct reading r = {.lines = {.at = text, .end = text + n},
                        .layout = layout,
                        .routes = routes,
                        .n_routes = n_routes,
                        .reterr = reterr};
    uint32_t most = SONA_SIDECAR_PATTERNS_BYTES_MAX / (uint32_t)layout->bank.stride;
    uint32_t lines = count_lines(text, n);
    struct sona_sidecar_patterns *p =
        sona_sidecar_patterns_make(layout, lines < most ? lines : most);

    if (!p)
        return sona_sidecar_lines_refuse(&r.lines, reterr, SONA_E_MEMORY, "no memory for it");
    sona_err err = read_rows(&r, p);
    if (err == SONA_OK)
        *ret = p;
    else
        free(p);
    return err;
}
