/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See decisions.h. */
#include "sidecar/decisions.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/diag.h"
#include "sidecar/lines.h"

#define FORMAT     "sona-decisions-1"
#define PAGE_ROWS  1024u      /* that one page looks at */
#define PAGE_BYTES (1u << 20) /* that it has, about */

static const struct {
    const char *name;
    uint32_t kind;
} kinds[] = {{"outcome", SONA_LEARNER_OUTCOME},
             {"query_outcome", SONA_LEARNER_QUERY_OUTCOME},
             {"replace", SONA_LEARNER_REPLACE},
             {"revoke", SONA_LEARNER_REVOKE}};
#define KINDS (sizeof kinds / sizeof *kinds)

void sona_sidecar_decisions_free(struct sona_sidecar_decisions *decisions)
{
    if (!decisions)
        return;
    json_decref(decisions->refused);
    free(decisions->room);
    free(decisions);
}

static struct sona_sidecar_decisions *make(const struct sona_model_layout *layout)
{
    size_t stride = sona_sidecar_joined_stride(layout->dim_padded);
    struct sona_sidecar_decisions *ret = calloc(1, sizeof *ret);

    if (!ret)
        return NULL;
    ret->refused = json_array();
    ret->room = aligned_alloc(64, (SONA_SIDECAR_DECISIONS_MAX * stride + 63) / 64 * 64);
    if (!ret->refused || !ret->room) {
        sona_sidecar_decisions_free(ret);
        return NULL;
    }
    memset(ret->room, 0, SONA_SIDECAR_DECISIONS_MAX * stride);
    for (uint32_t i = 0; i < SONA_SIDECAR_DECISIONS_MAX; i++)
        ret->joined[i] = (void *)((unsigned char *)ret->room + i * stride);
    return ret;
}

/* ---- from a file ---- */

/* A number of 64 bits as text: "00c0ffee00000001". */
static bool read_word(const json_t *o, const char *key, uint64_t *ret)
{
    const char *text = json_string_value(json_object_get(o, key));

    if (!text || strlen(text) == 0 || strlen(text) > 16 ||
        strspn(text, "0123456789abcdefABCDEF") != strlen(text))
        return false;
    *ret = strtoull(text, NULL, 16);
    return true;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t ret = (a ^ (b + 0x9e3779b97f4a7c15u)) * 0xbf58476d1ce4e5b9u;

    return ret ^ ret >> 31;
}

/* An id is told from all others while it is in use: the next client of its tag begins again, and
 * so does another sidecar. So an outcome is known by where it was told, too, and what changes one
 * by what it says. */
static uint64_t key_of(const struct sona_sidecar_joined *j, uint64_t source, uint64_t position)
{
    uint64_t told = mix(mix(source, j->id), position);
    uint32_t bits;

    if (j->kind == SONA_LEARNER_OUTCOME || j->kind == SONA_LEARNER_QUERY_OUTCOME)
        return told;
    memcpy(&bits, &j->quality, sizeof bits);
    return mix(mix(told, j->kind), bits);
}

struct reading {
    const struct sona_sidecar_decisions_place *place;
    struct sona_sidecar_lines lines;
    struct sona_sidecar_decisions *d;
    uint64_t own, source; /* number of this journal, and of that which the file is of */
};

static sona_err read_route(const struct reading *r, const json_t *o, struct sona_sidecar_joined *j,
                           sona_diag *reterr)
{
    const json_t *value = json_object_get(o, "route");
    const sona_route_info *route = NULL;
    const char *name = json_string_value(value);

    j->route = SONA_ROUTE_NONE;
    if (!value || json_is_null(value))
        return SONA_OK;
    if (name)
        route = sona_sidecar_lines_route(r->place->routes, r->place->n_routes, name);
    for (uint32_t k = 0; !name && !route && json_is_integer(value) && k < r->place->n_routes; k++)
        if (r->place->routes[k].id == json_integer_value(value) &&
            r->place->routes[k].state == SONA_ROUTE_ENABLED)
            route = &r->place->routes[k];
    if (!route)
        return sona_sidecar_lines_refuse(&r->lines, reterr, SONA_E_ROUTE,
                                         "there is no enabled route \"%.63s\" here; add it "
                                         "(sonactl routes add)",
                                         name ? name : "of this id");
    j->route = route->id;
    return SONA_OK;
}

static sona_err read_numbers(const struct reading *r, const json_t *o,
                             struct sona_sidecar_joined *j, sona_diag *reterr)
{
    uint64_t tenant = 0, type = 0, uid = geteuid();
    float share = 1;

    j->quality = -1;
    if (!sona_sidecar_lines_real(o, "quality", &j->quality) ||
        (j->kind != SONA_LEARNER_REVOKE && !(j->quality >= 0 && j->quality <= 1)))
        return sona_sidecar_lines_refuse(&r->lines, reterr, SONA_E_RANGE,
                                         "\"quality\" must be a number, 0..1");
    if (j->kind == SONA_LEARNER_REVOKE)
        j->quality = 0;
    if (!sona_sidecar_lines_real(o, "propensity", &j->propensity) ||
        !(j->propensity >= 0 && j->propensity <= 1))
        return sona_sidecar_lines_refuse(&r->lines, reterr, SONA_E_RANGE,
                                         "\"propensity\" must be a number, 0..1 (0: unknown)");
    if (!sona_sidecar_lines_count(o, "tenant", UINT32_MAX, &tenant) ||
        !sona_sidecar_lines_count(o, "uid", UINT32_MAX, &uid) ||
        !sona_sidecar_lines_count(o, "type", SONA_PATTERN_CONVERSATIONAL, &type))
        return sona_sidecar_lines_refuse(&r->lines, reterr, SONA_E_RANGE,
                                         "\"tenant\", \"uid\" and \"type\" must be whole numbers, "
                                         "the last of them 0..5");
    if (!sona_sidecar_lines_real(o, "share", &share) || !(share > 0 && share <= 1))
        return sona_sidecar_lines_refuse(&r->lines, reterr, SONA_E_RANGE,
                                         "\"share\" must be a number above 0, up to 1");
    j->unrecorded = sona_model_unrecorded(share);
    j->tenant = (uint32_t)tenant;
    j->uid = (uint32_t)uid;
    j->type = (uint16_t)type;
    return SONA_OK;
}

static sona_err read_x(const struct reading *r, const json_t *o, struct sona_sidecar_joined *j,
                       sona_diag *reterr)
{
    const struct sona_model_layout *layout = r->place->layout;
    float *x = sona_sidecar_joined_x(j);

    if (sona_sidecar_joined_vectors(j->kind) == 0)
        return SONA_OK;
    if (!json_object_get(o, "x"))
        return sona_sidecar_lines_refuse(&r->lines, reterr, SONA_E_FORMAT,
                                         "it has no embedding \"x\"; the journal keeps those of "
                                         "older rows for a sample alone");
    float *said = malloc(layout->geometry.dim * sizeof *said);
    if (!said)
        return sona_sidecar_lines_refuse(&r->lines, reterr, SONA_E_MEMORY, "no memory for it");
    sona_err err = sona_sidecar_lines_vector(&r->lines, o, "x", layout->geometry.dim, said, reterr);
    if (err == SONA_OK) {
        err = sona_model_prepare(layout, said, x);
        if (err != SONA_OK)
            err = sona_sidecar_lines_refuse(&r->lines, reterr, err, "\"x\" has no direction");
    }
    free(said);
    return err;
}

static sona_err read_decision(const struct reading *r, const json_t *o,
                              struct sona_sidecar_joined *j, struct sona_store_import *ret,
                              sona_diag *reterr)
{
    const char *kind = json_string_value(json_object_get(o, "kind"));
    uint64_t position = 0;
    size_t k = 0;

    memset(j, 0, sona_sidecar_joined_stride(r->place->layout->dim_padded));
    while (k < KINDS && (!kind || strcmp(kinds[k].name, kind) != 0))
        k++;
    if (k == KINDS)
        return sona_sidecar_lines_refuse(&r->lines, reterr, SONA_E_FORMAT,
                                         "kind \"%.40s\" is nothing to learn from; there are "
                                         "outcome, query_outcome, replace and revoke",
                                         kind ? kind : "");
    j->kind = kinds[k].kind;
    j->now_ms = r->place->now_ms;
    if (!read_word(o, "id", &j->id) || j->id == 0)
        return sona_sidecar_lines_refuse(&r->lines, reterr, SONA_E_FORMAT,
                                         "\"id\" must be up to 16 hexadecimal digits as text, and "
                                         "not 0");
    if (!sona_sidecar_lines_count(o, "position", INT64_MAX, &position))
        return sona_sidecar_lines_refuse(&r->lines, reterr, SONA_E_FORMAT,
                                         "\"position\" must be a whole number");
    sona_err err = read_route(r, o, j, reterr);
    if (err == SONA_OK)
        err = read_numbers(r, o, j, reterr);
    if (err == SONA_OK)
        err = read_x(r, o, j, reterr);
    bool own_source = read_word(o, "source", &ret->source);
    if (!own_source)
        ret->source = r->source;
    if (!own_source || !read_word(o, "key", &ret->key)) /* with it, it went through another */
        ret->key = key_of(j, ret->source, position);
    return err;
}

/* What sona_sidecar_lines_refuse() said, its line as a number of its own. */
static void name_line(struct sona_sidecar_decisions *d, uint64_t line, const sona_diag *why)
{
    int at = 0;

    (void)sscanf(why->text, "line %*u: %n", &at);
    d->n_refused++;
    (void)json_array_append_new(
        d->refused, json_pack("{s:I, s:s}", "line", (json_int_t)line, "text", why->text + at));
}

static bool is_twice(const struct sona_sidecar_decisions *d, uint64_t key)
{
    for (uint32_t i = 0; i < d->n; i++)
        if (d->import[i].key == key)
            return true;
    return false;
}

/* A line: to be learned, known, or refused. */
static void take_line(struct reading *r, const json_t *o)
{
    struct sona_sidecar_decisions *d = r->d;
    struct sona_store_import import;
    sona_diag diag;

    d->lines++;
    if (read_decision(r, o, d->joined[d->n], &import, &diag) != SONA_OK) {
        name_line(d, r->lines.number, &diag);
        return;
    }
    if (import.source == r->own || is_twice(d, import.key)) {
        d->duplicates++;
        return;
    }
    d->import[d->n] = import;
    d->line[d->n++] = r->lines.number;
}

/* Leave out what is known of earlier files. */
static sona_err leave_out(const struct sona_sidecar_decisions_place *place,
                          struct sona_sidecar_decisions *d, sona_diag *reterr)
{
    bool known[SONA_SIDECAR_DECISIONS_MAX];
    uint32_t left = 0;
    sona_err err = sona_store_imported(place->store, d->import, d->n, known, reterr);

    for (uint32_t i = 0; err == SONA_OK && i < d->n; i++) {
        struct sona_sidecar_joined *other = d->joined[left];

        d->duplicates += known[i];
        if (known[i])
            continue;
        d->import[left] = d->import[i];
        d->line[left] = d->line[i];
        d->joined[left++] = d->joined[i];
        d->joined[i] = other; /* none is lost: each has its room */
    }
    if (err == SONA_OK)
        d->n = left;
    return err;
}

static sona_err read_all(struct reading *r, sona_diag *reterr)
{
    json_t *o = NULL;
    sona_diag diag;
    sona_err err = sona_sidecar_lines_next(&r->lines, &o, reterr);

    if (err == SONA_OK && !o)
        return sona_sidecar_lines_refuse(&r->lines, reterr, SONA_E_FORMAT, "the file is empty");
    if (err == SONA_OK)
        err = sona_sidecar_lines_head(&r->lines, o, FORMAT, r->place->layout->geometry.dim, reterr);
    if (err == SONA_OK)
        (void)read_word(o, "source", &r->source);
    json_decref(o);
    while (err == SONA_OK) {
        sona_err line = sona_sidecar_lines_next(&r->lines, &o, &diag);

        if (line == SONA_OK && !o)
            break;
        if (r->d->lines == SONA_SIDECAR_DECISIONS_MAX) {
            err = sona_sidecar_lines_refuse(&r->lines, reterr, SONA_E_LIMIT,
                                            "no more than %u lines can be taken at once",
                                            SONA_SIDECAR_DECISIONS_MAX);
        } else if (line == SONA_OK) {
            take_line(r, o);
        } else {
            r->d->lines++;
            name_line(r->d, r->lines.number, &diag);
        }
        json_decref(o);
    }
    return err;
}

sona_err sona_sidecar_decisions_read(const struct sona_sidecar_decisions_place *place,
                                     const char *text, size_t n,
                                     struct sona_sidecar_decisions **ret, sona_diag *reterr)
{
    struct reading r = {.place = place, .lines = {.at = text, .end = text + n}};

    r.d = make(place->layout);
    if (!r.d)
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, 0, "no memory for the decisions");
    r.own = sona_store_identity(place->store);
    sona_err err = read_all(&r, reterr);
    if (err == SONA_OK)
        err = leave_out(place, r.d, reterr);
    if (err == SONA_OK)
        *ret = r.d;
    else
        sona_sidecar_decisions_free(r.d);
    return err;
}

void sona_sidecar_decisions_report(const struct sona_sidecar_decisions *decisions, json_t *answer)
{
    const struct sona_sidecar_decisions *d = decisions;
    json_t *refused = json_deep_copy(d->refused);
    json_int_t taken = 0;

    for (uint32_t i = 0; i < d->done; i++) {
        const char *why = d->err[i] == SONA_E_TIMEOUT ? "the outcome that it is about is not in "
                                                        "the replay"
                                                      : sona_err_text(d->err[i]);

        if (d->err[i] == SONA_OK)
            taken++;
        else
            (void)json_array_append_new(
                refused, json_pack("{s:I, s:s}", "line", (json_int_t)d->line[i], "text", why));
    }
    (void)json_object_set_new(answer, "lines", json_integer((json_int_t)d->lines));
    (void)json_object_set_new(answer, "taken", json_integer(taken));
    (void)json_object_set_new(answer, "duplicates", json_integer((json_int_t)d->duplicates));
    (void)json_object_set_new(answer, "refused",
                              json_integer((json_int_t)json_array_size(refused)));
    (void)json_object_set_new(answer, "refused_lines", refused);
}

/* ---- to a file ---- */

struct page {
    const struct sona_sidecar_decisions_place *place;
    FILE *to;
    uint64_t next;
    uint32_t rows;
};

static void put_row(const struct page *p, const struct sona_store_record *r, const char *kind)
{
    struct sona_store_import import;
    const char *name = NULL;

    for (uint32_t k = 0; k < p->place->n_routes; k++)
        if (p->place->routes[k].id == r->route)
            name = p->place->routes[k].name;
    (void)fprintf(p->to,
                  "{\"kind\":\"%s\",\"id\":\"%016" PRIx64 "\",\"position\":%" PRIu64
                  ",\"written_ms\":%" PRIu64 ",\"uid\":%u,\"tenant\":%u,\"type\":%u,"
                  "\"quality\":%.9g,\"propensity\":%.9g",
                  kind, r->id, r->position, r->written_ms, r->uid, r->tenant, r->type,
                  (double)r->quality, (double)r->propensity);
    if (r->route != SONA_ROUTE_NONE && name) {
        (void)fputs(",\"route\":", p->to);
        sona_sidecar_lines_put_text(p->to, name);
    } else if (r->route != SONA_ROUTE_NONE) {
        (void)fprintf(p->to, ",\"route\":%u", r->route);
    }
    if (sona_store_import_of(r, &import))
        (void)fprintf(p->to, ",\"source\":\"%016" PRIx64 "\",\"key\":\"%016" PRIx64 "\"",
                      import.source, import.key);
    if (r->unrecorded > 0)
        (void)fprintf(p->to, ",\"share\":%.9g", sona_store_share_of(r));
    if (r->p_sample > 0)
        (void)fprintf(p->to, ",\"p_sample\":%.9g", (double)r->p_sample);
    sona_store_put_vector(p->to, "x", r->x, r->x_n);
    (void)fputs("}\n", p->to);
}

static bool visit(void *context, const struct sona_store_record *r)
{
    struct page *p = context;

    p->next = r->position + 1;
    for (size_t k = 0; k < KINDS; k++)
        if (r->kind == kinds[k].kind)
            put_row(p, r, kinds[k].name);
    return ++p->rows < PAGE_ROWS && ftell(p->to) < (long)PAGE_BYTES;
}

sona_err sona_sidecar_decisions_page(const struct sona_sidecar_decisions_place *place,
                                     uint64_t from, char **ret, size_t *ret_bytes,
                                     sona_diag *reterr)
{
    uint64_t end = sona_store_positions(place->store).committed;
    struct page p = {.place = place, .next = from};
    char *body = NULL, *text = NULL;
    size_t bytes = 0;

    p.to = open_memstream(&body, &bytes);
    if (!p.to)
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, 0, "no memory for a page");
    sona_err err = sona_store_page(place->store, from, visit, &p, reterr);
    bool whole = fclose(p.to) == 0;
    if (p.rows == 0)
        p.next = end + 1;
    FILE *to = err == SONA_OK && whole ? open_memstream(&text, ret_bytes) : NULL;
    if (to) {
        (void)fprintf(to,
                      "{\"format\":\"" FORMAT "\",\"dim\":%u,\"source\":\"%016" PRIx64
                      "\",\"next\":%" PRIu64 ",\"end\":%" PRIu64 "}\n",
                      place->layout->geometry.dim, sona_store_identity(place->store), p.next, end);
        (void)fwrite(body, 1, bytes, to);
        whole = fclose(to) == 0;
    }
    free(body);
    if (err != SONA_OK)
        return err;
    if (!to || !whole) {
        free(text);
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, 0, "no memory for a page");
    }
    *ret = text;
    return SONA_OK;
}
