/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* --print-config. What YAML could read otherwise than it is meant is in double quotes. */
#include <stdlib.h>
#include <string.h>

#include "sidecar/config/pages.h"

static void print_text(FILE *to, const char *text)
{
    (void)fputc('"', to);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\')
            (void)fprintf(to, "\\%c", c);
        else if (c < ' ' || c == 0x7F)
            (void)fprintf(to, "\\x%02x", c);
        else
            (void)fputc(c, to);
    }
    (void)fputc('"', to);
}

/* The shortest text that reads back as the same float. */
static void print_float(FILE *to, float value)
{
    char text[32];

    for (int digits = 6; digits <= 9; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    (void)fputs(text, to);
}

static void print_routes(const struct sona_sidecar_options *o, int indent, FILE *to)
{
    for (uint32_t k = 0; k < o->n_routes; k++) {
        const sona_route_spec *r = &o->routes[k];

        (void)fprintf(to, "%*s  - {name: ", indent, "");
        print_text(to, r->name);
        (void)fputs(", cost: ", to);
        print_float(to, r->cost);
        (void)fputs(", prior_quality: ", to);
        print_float(to, r->prior_quality);
        (void)fputs(", prior_weight: ", to);
        print_float(to, r->prior_weight);
        (void)fputs("}\n", to);
    }
}

static void print_comment(const char *text, FILE *to)
{
    (void)fputs("  # ", to);
    for (; *text; text++)
        (void)fputc((unsigned char)*text < ' ' ? '?' : *text, to);
    (void)fputc('\n', to);
}

/* One line; of routes, one more each. */
static void print_setting(const struct sona_sidecar_setting *s,
                          const struct sona_sidecar_options *o, int indent, FILE *to)
{
    char value[SONA_SIDECAR_VALUE_MAX];

    (void)fprintf(to, "%*s%s%s:%s", indent, "", s->section[0] ? "  " : "", s->key,
                  s->type == SONA_SIDECAR_ROUTES && o->n_routes > 0 ? "" : " ");
    sona_sidecar_setting_format(s, o, value);
    if (s->type == SONA_SIDECAR_ROUTES)
        (void)fputs(o->n_routes > 0 ? "" : "[]", to);
    else if (s->type == SONA_SIDECAR_NAME || s->type == SONA_SIDECAR_PATH ||
             s->type == SONA_SIDECAR_GROUP)
        print_text(to, value);
    else
        (void)fputs(value, to);
    print_comment(sona_sidecar_setting_origin(s, o), to);
    if (s->type == SONA_SIDECAR_ROUTES)
        print_routes(o, indent, to);
}

/* What is printed. */
struct page {
    const struct sona_sidecar_options *options;
    const struct sona_sidecar_options
        *common; /* what it inherits, which is there already; or null */
    bool named;  /* instances are named elsewhere */
    int indent;
};

static bool worth_a_line(const struct page *p, const struct sona_sidecar_setting *s)
{
    uint32_t i = sona_sidecar_setting_index(s);
    char value[SONA_SIDECAR_VALUE_MAX], inherited[SONA_SIDECAR_VALUE_MAX];

    if (s->type == SONA_SIDECAR_NAME)
        return !p->common && (!p->named || p->options->where[i][0] != '\0');
    if (!p->common)
        return true;
    sona_sidecar_setting_format(s, p->options, value);
    sona_sidecar_setting_format(s, p->common, inherited);
    return strcmp(value, inherited) != 0 || strcmp(p->options->where[i], p->common->where[i]) != 0;
}

static void print_page(const struct page *p, FILE *to)
{
    const char *section = "";

    for (uint32_t i = 0; i < sona_sidecar_setting_count(); i++) {
        const struct sona_sidecar_setting *s = &sona_sidecar_settings[i];

        if (!worth_a_line(p, s))
            continue;
        if (strcmp(section, s->section) != 0)
            (void)fprintf(to, "%*s%s:\n", p->indent, "", s->section);
        section = s->section;
        print_setting(s, p->options, p->indent, to);
    }
}

void sona_sidecar_pages_print(const struct sona_sidecar_options *options, FILE *to)
{
    const struct page page = {.options = options};

    print_page(&page, to);
}

void sona_sidecar_pages_print_whole(const struct sona_sidecar_whole *whole, FILE *to)
{
    const struct page common = {.options = whole->common, .named = true};

    if (!whole->named) {
        sona_sidecar_pages_print(whole->instance[0], to);
        return;
    }
    print_page(&common, to);
    (void)fputs("instances:\n", to);
    for (uint32_t i = 0; i < whole->n; i++) {
        const struct page own = {
            .options = whole->instance[i], .common = whole->common, .named = true, .indent = 4};

        (void)fputs("  ", to);
        print_text(to, own.options->instance);
        (void)fputs(":\n", to);
        print_page(&own, to);
    }
}
