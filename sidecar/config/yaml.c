/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See yaml.h. Events, not a document: nothing is expanded, and a mistake in one entry leaves the
 * next ones to be read. */
#include "sidecar/config/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libfyaml.h>

#include "sidecar/config/routes.h"
#include "sidecar/config/text.h"

#define SCALAR_MAX 4096u /* bytes of one value */

struct reader {
    struct sona_sidecar_gather *gather;
    const char *path;
    struct fy_parser *parser;
    struct fy_event *event; /* the last one; null after the end or a mistake in the syntax */
    uint32_t entries, depth;
    bool stopped;                                 /* a limit was reached, and told */
    bool instance;                                /* within the entry of an instance */
    char instances_where[SONA_SIDECAR_WHERE_MAX]; /* where they were said; "": not yet */
    char where[SONA_SIDECAR_WHERE_MAX];
};

static const char *place(struct reader *r, int line, int column)
{
    sona_sidecar_text_place(r->where, r->path, (unsigned)line + 1, (unsigned)column + 1);
    return r->where;
}

static bool is_quoted(const struct reader *r)
{
    enum fy_scalar_style style =
        r->event->scalar.value ? fy_token_scalar_style(r->event->scalar.value) : FYSS_PLAIN;

    return style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED;
}

/* Where the event is; an empty value is nowhere, and stays where its key was. */
static const char *here(struct reader *r)
{
    const struct fy_mark *mark = r->event ? fy_event_start_mark(r->event) : NULL;

    if (!mark)
        return r->where;
    /* The library's mark is behind the quote. */
    bool quoted = r->event->type == FYET_SCALAR && is_quoted(r) && mark->column > 0;
    return place(r, mark->line, mark->column - quoted);
}

static enum fy_event_type stop(struct reader *r, const char *what, unsigned limit)
{
    sona_sidecar_gather_mistake(r->gather, here(r), "%s %u", what, limit);
    r->stopped = true;
    return FYET_NONE;
}

static bool decorated(const struct fy_event *e)
{
    switch (e->type) {
    case FYET_SCALAR:
        return e->scalar.anchor || e->scalar.tag;
    case FYET_MAPPING_START:
        return e->mapping_start.anchor || e->mapping_start.tag;
    case FYET_SEQUENCE_START:
        return e->sequence_start.anchor || e->sequence_start.tag;
    default:
        return e->type == FYET_ALIAS;
    }
}

/* The next event; FYET_NONE at the end, after a mistake in the syntax and behind a limit. */
static enum fy_event_type next(struct reader *r)
{
    fy_parser_event_free(r->parser, r->event);
    r->event = NULL;
    if (r->stopped)
        return FYET_NONE;
    r->event = fy_parser_parse(r->parser);
    if (!r->event)
        return FYET_NONE;
    enum fy_event_type type = r->event->type;
    if (type == FYET_MAPPING_START || type == FYET_SEQUENCE_START)
        r->depth++;
    else if (type == FYET_MAPPING_END || type == FYET_SEQUENCE_END)
        r->depth--;
    if (r->depth > SONA_SIDECAR_YAML_DEPTH_MAX)
        return stop(r, "lists and mappings in each other, deeper than",
                    SONA_SIDECAR_YAML_DEPTH_MAX);
    if (++r->entries > SONA_SIDECAR_YAML_ENTRIES_MAX)
        return stop(r, "more entries than", SONA_SIDECAR_YAML_ENTRIES_MAX);
    if (decorated(r->event))
        sona_sidecar_gather_mistake(r->gather, here(r),
                                    "anchors, aliases and tags mean nothing here; write the value");
    return type;
}

/* Go past the value that begins with the event. */
static void skip(struct reader *r, enum fy_event_type type)
{
    uint32_t outside = r->depth - 1;

    if (type != FYET_MAPPING_START && type != FYET_SEQUENCE_START)
        return;
    while (r->depth > outside && next(r) != FYET_NONE)
        continue;
}

/* The text of the scalar event, cut at its size; false, and told: it is too long. */
static bool text_of(struct reader *r, char ret[SCALAR_MAX])
{
    size_t n = 0;
    const char *text = fy_token_get_text(r->event->scalar.value, &n); /* may have no end */
    bool fits = n < SCALAR_MAX;

    if (!fits)
        sona_sidecar_gather_mistake(r->gather, here(r), "a value of %zu bytes; at most %u make one",
                                    n, SCALAR_MAX - 1);
    if (!text || !fits)
        n = 0;
    memcpy(ret, text ? text : "", n);
    ret[n] = '\0';
    bool whole = strlen(ret) == n; /* "\0" in quotes would end it early */
    if (!whole)
        sona_sidecar_gather_mistake(r->gather, here(r), "a value with a NUL in it");
    return fits && whole;
}

/* A plain scalar with nothing in it: `key:`. */
static bool is_empty(const struct reader *r)
{
    size_t n = 0;

    return !r->event->scalar.value || (!fy_token_get_text(r->event->scalar.value, &n) || n == 0);
}

/* ---- routes ---- */

/* One of the list: a name, or a mapping with it. The name may stand behind its numbers. */
struct item {
    char name[SCALAR_MAX], where[SONA_SIDECAR_WHERE_MAX];
    bool named;
    uint32_t n;
    struct {
        char key[32], text[64], where[SONA_SIDECAR_WHERE_MAX];
    } number[3];
};

static void item_number(struct reader *r, struct item *item, const char *key, const char *value)
{
    for (uint32_t i = 0; i < item->n; i++)
        if (strcmp(item->number[i].key, key) == 0) {
            sona_sidecar_gather_mistake(r->gather, r->where, "%s is said twice", key);
            return;
        }
    (void)snprintf(item->number[item->n].key, sizeof item->number[0].key, "%s", key);
    (void)snprintf(item->number[item->n].text, sizeof item->number[0].text, "%s", value);
    memcpy(item->number[item->n++].where, r->where, sizeof r->where);
}

static void item_entry(struct reader *r, struct item *item)
{
    char key[SCALAR_MAX] = "", value[SCALAR_MAX] = "";
    bool readable = r->event->type == FYET_SCALAR && text_of(r, key);
    bool number = strcmp(key, "cost") == 0 || strcmp(key, "prior_quality") == 0 ||
                  strcmp(key, "prior_weight") == 0;

    if (!readable)
        skip(r, r->event->type);
    else if (!number && strcmp(key, "name") != 0)
        sona_sidecar_gather_mistake(r->gather, here(r),
                                    "unknown key \"%.64s\" of a route: there are name, cost, "
                                    "prior_quality and prior_weight",
                                    key);
    (void)here(r);
    enum fy_event_type type = next(r);
    if (type == FYET_SCALAR)
        readable = text_of(r, value) && readable;
    (void)here(r);
    if (type != FYET_SCALAR) {
        if (type != FYET_NONE)
            sona_sidecar_gather_mistake(r->gather, r->where, "%.64s must be a single value", key);
        skip(r, type);
    } else if (readable && number) {
        item_number(r, item, key, value);
    } else if (readable && strcmp(key, "name") == 0) {
        if (item->named)
            sona_sidecar_gather_mistake(r->gather, r->where, "name is said twice");
        item->named = true;
        memcpy(item->name, value, sizeof value);
        memcpy(item->where, r->where, sizeof r->where);
    }
}

static void read_route(struct reader *r, enum fy_event_type type,
                       struct sona_sidecar_routes *routes)
{
    struct item item = {.named = type == FYET_SCALAR};

    memcpy(item.where, here(r), sizeof item.where);
    if (type == FYET_SCALAR) {
        if (!text_of(r, item.name))
            return;
    } else if (type == FYET_MAPPING_START) {
        while (next(r) != FYET_NONE && r->event->type != FYET_MAPPING_END)
            item_entry(r, &item);
    } else {
        sona_sidecar_gather_mistake(r->gather, item.where,
                                    "a route is a name, or a mapping with name and cost");
        skip(r, type);
        return;
    }
    if (!r->event)
        return; /* the syntax is told of instead */
    if (!item.named) {
        sona_sidecar_gather_mistake(r->gather, item.where, "a route without a name");
        return;
    }
    sona_route_spec *spec = sona_sidecar_routes_add(r->gather, item.where, item.name, routes);
    for (uint32_t i = 0; spec && i < item.n; i++)
        (void)sona_sidecar_routes_number(r->gather, item.number[i].where, spec, item.number[i].key,
                                         item.number[i].text);
}

static void read_routes(struct reader *r, const struct sona_sidecar_setting *setting)
{
    struct sona_sidecar_routes *routes = calloc(1, sizeof *routes);
    char where[SONA_SIDECAR_WHERE_MAX];
    enum fy_event_type type;

    memcpy(where, here(r), sizeof where);
    if (!routes)
        sona_sidecar_gather_no_memory(r->gather, where);
    while (routes && (type = next(r)) != FYET_NONE && type != FYET_SEQUENCE_END)
        read_route(r, type, routes);
    if (routes)
        sona_sidecar_gather_say_routes(r->gather, setting, where, routes);
    else
        r->stopped = true;
    free(routes);
}

/* ---- options ---- */

static const char *kind_of(enum fy_event_type type)
{
    return type == FYET_MAPPING_START ? "a mapping" : "a list";
}

/* The value of a known option. */
static void read_value(struct reader *r, const struct sona_sidecar_setting *s)
{
    char value[SCALAR_MAX];
    enum fy_event_type type = next(r);

    if (type == FYET_NONE || type == FYET_ALIAS)
        return;
    (void)here(r);
    if (type == FYET_SEQUENCE_START && s->type == SONA_SIDECAR_ROUTES) {
        read_routes(r, s);
        return;
    }
    if (type != FYET_SCALAR) {
        sona_sidecar_gather_mistake(r->gather, r->where, "%s must be a %s, not %s", s->key, s->kind,
                                    kind_of(type));
        skip(r, type);
        return;
    }
    bool may_be_empty = s->type == SONA_SIDECAR_PATH || s->type == SONA_SIDECAR_GROUP;
    if (is_empty(r) && !(is_quoted(r) && may_be_empty)) {
        sona_sidecar_gather_mistake(
            r->gather, r->where, "%s has no value; leave the key out to keep what it is", s->key);
        return;
    }
    if (text_of(r, value))
        sona_sidecar_gather_say(r->gather, s, here(r), value);
}

static void read_mapping(struct reader *r, const char *section, uint32_t *seen);

/* The entry of one instance, its name being the last event: options, or nothing. */
static void read_instance(struct reader *r)
{
    char name[SCALAR_MAX] = "", where[SONA_SIDECAR_WHERE_MAX];
    uint32_t seen = 0;

    memcpy(where, here(r), sizeof where);
    bool named = r->event->type == FYET_SCALAR && text_of(r, name);
    if (!named && r->event->type != FYET_SCALAR) {
        sona_sidecar_gather_mistake(r->gather, where, "the name of an instance is a word, not %s",
                                    kind_of(r->event->type));
        skip(r, r->event->type);
    }
    named = named && sona_sidecar_gather_enter(r->gather, where, name);
    enum fy_event_type type = next(r);
    if (type == FYET_MAPPING_START && named) {
        r->instance = true;
        read_mapping(r, "", &seen);
        r->instance = false;
    } else {
        if (type != FYET_NONE && type != FYET_MAPPING_START &&
            (type != FYET_SCALAR || !is_empty(r)))
            sona_sidecar_gather_mistake(r->gather, here(r),
                                        "an instance is a mapping of options, or nothing");
        skip(r, type);
    }
    if (named)
        sona_sidecar_gather_leave(r->gather);
}

static void read_instances(struct reader *r)
{
    char where[SONA_SIDECAR_WHERE_MAX];
    uint32_t n = 0;

    memcpy(where, r->where, sizeof where);
    if (r->instance || r->instances_where[0] != '\0') {
        if (r->instance)
            sona_sidecar_gather_mistake(r->gather, where,
                                        "an instance has no instances of its own");
        else
            sona_sidecar_gather_mistake(r->gather, where, "instances is said twice: also at %s",
                                        r->instances_where);
        skip(r, next(r));
        return;
    }
    memcpy(r->instances_where, where, sizeof where);
    enum fy_event_type type = next(r);
    if (type == FYET_MAPPING_START) {
        for (; (type = next(r)) != FYET_NONE && type != FYET_MAPPING_END; n++)
            read_instance(r);
        if (n > 0)
            return;
    } else {
        skip(r, type);
    }
    if (type != FYET_NONE)
        sona_sidecar_gather_mistake(r->gather, where,
                                    "instances must name at least one: \"instances: {chat: "
                                    "{routes: [small, large]}}\"");
}

/* The value of `key`, which may be a section. */
static void read_entry(struct reader *r, const char *section, const char *key, uint32_t *seen)
{
    const struct sona_sidecar_setting *s = sona_sidecar_setting_find(section, key);
    char what[SONA_DIAG_TEXT_MAX];

    if (s) {
        bool renames = r->instance && s->type == SONA_SIDECAR_NAME;

        if (renames)
            sona_sidecar_gather_mistake(r->gather, r->where,
                                        "the key of its entry is the name of an instance");
        if (renames || sona_sidecar_gather_twice(r->gather, s, r->where))
            skip(r, next(r));
        else
            read_value(r, s);
        return;
    }
    for (uint32_t i = 0; section[0] == '\0' && sona_sidecar_section_name(i); i++) {
        if (strcmp(key, sona_sidecar_section_name(i)) != 0)
            continue;
        if (*seen & 1u << i)
            sona_sidecar_gather_mistake(r->gather, r->where, "%s is said twice", key);
        *seen |= 1u << i;
        enum fy_event_type type = next(r);
        if (type == FYET_MAPPING_START)
            read_mapping(r, sona_sidecar_section_name(i), seen);
        else if (type != FYET_NONE && (type != FYET_SCALAR || !is_empty(r)))
            sona_sidecar_gather_mistake(r->gather, here(r), "%s must be a mapping of options", key);
        if (type == FYET_SEQUENCE_START)
            skip(r, type);
        return;
    }
    if (section[0] == '\0' && strcmp(key, "instances") == 0) {
        read_instances(r);
        return;
    }
    sona_sidecar_setting_unknown(section, key, what);
    sona_sidecar_gather_mistake(r->gather, r->where, "%s", what);
    skip(r, next(r));
}

static void read_mapping(struct reader *r, const char *section, uint32_t *seen)
{
    char key[SCALAR_MAX];
    enum fy_event_type type;

    while ((type = next(r)) != FYET_NONE && type != FYET_MAPPING_END) {
        (void)here(r);
        if (type == FYET_SCALAR && text_of(r, key)) {
            read_entry(r, section, key, seen);
            continue;
        }
        if (type == FYET_MAPPING_START || type == FYET_SEQUENCE_START)
            sona_sidecar_gather_mistake(r->gather, r->where, "a key must be a word, not %s",
                                        kind_of(type));
        skip(r, type);
        skip(r, next(r));
    }
}

static void read_document(struct reader *r)
{
    uint32_t seen = 0;
    enum fy_event_type type = next(r);

    if (type == FYET_MAPPING_START) {
        read_mapping(r, "", &seen);
    } else if (type == FYET_SEQUENCE_START || (type == FYET_SCALAR && !is_empty(r))) {
        sona_sidecar_gather_mistake(r->gather, here(r),
                                    "a configuration is a mapping of options: \"key: value\"");
        skip(r, type);
    }
}

static void tell_syntax(struct reader *r, struct fy_diag *diag)
{
    void *at = NULL;
    const struct fy_diag_error *error = fy_diag_errors_iterate(diag, &at);

    if (error)
        sona_sidecar_gather_mistake(r->gather, place(r, error->line - 1, error->column - 1), "%s",
                                    error->msg);
    else if (!r->stopped)
        sona_sidecar_gather_mistake(r->gather, here(r), "this is no YAML");
}

static void read_stream(struct reader *r, struct fy_diag *diag)
{
    uint32_t documents = 0;
    enum fy_event_type type;

    while ((type = next(r)) != FYET_NONE && type != FYET_STREAM_END) {
        if (type == FYET_DOCUMENT_START && documents++ == 0)
            read_document(r);
        else if (type == FYET_MAPPING_START || type == FYET_SEQUENCE_START ||
                 (type == FYET_SCALAR && documents > 1)) {
            sona_sidecar_gather_mistake(r->gather, here(r),
                                        "a second document; one file holds one");
            skip(r, type);
        }
    }
    if (type == FYET_NONE)
        tell_syntax(r, diag);
}

static void discard(struct fy_diag *diag, void *user, const char *text, size_t bytes)
{
    (void)diag;
    (void)user;
    (void)text;
    (void)bytes;
}

void sona_sidecar_yaml_gather(struct sona_sidecar_gather *gather, const char *path,
                              const char *text, size_t bytes)
{
    struct reader r = {.gather = gather, .path = path};
    struct fy_diag_cfg diag_cfg;
    uint32_t before = gather->mistakes;

    sona_sidecar_text_judge(gather, path, text, bytes);
    if (gather->mistakes > before || bytes == 0)
        return;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.output_fn = discard;
    diag_cfg.colorize = false;
    struct fy_diag *diag = fy_diag_create(&diag_cfg);
    struct fy_parse_cfg cfg = {
        .search_path = "", .flags = FYPCF_QUIET | FYPCF_JSON_NONE, .diag = diag};
    if (diag)
        fy_diag_set_collect_errors(diag, true);
    r.parser = diag ? fy_parser_create(&cfg) : NULL;
    sona_sidecar_text_place(r.where, path, 1, 1);
    if (r.parser && fy_parser_set_string(r.parser, text, bytes) == 0)
        read_stream(&r, diag);
    else
        sona_sidecar_gather_no_memory(gather, path);
    if (r.parser)
        fy_parser_event_free(r.parser, r.event);
    fy_parser_destroy(r.parser);
    fy_diag_destroy(diag);
}
