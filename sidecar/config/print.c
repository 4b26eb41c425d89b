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

static void print_routes(const struct sona_sidecar_options *o, FILE *to)
{
    for (uint32_t k = 0; k < o->n_routes; k++) {
        const sona_route_spec *r = &o->routes[k];

        (void)fputs("  - {name: ", to);
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

void sona_sidecar_pages_print(const struct sona_sidecar_options *options, FILE *to)
{
    const char *section = "";
    char value[SONA_SIDECAR_VALUE_MAX];

    for (uint32_t i = 0; i < sona_sidecar_setting_count(); i++) {
        const struct sona_sidecar_setting *s = &sona_sidecar_settings[i];

        if (strcmp(section, s->section) != 0)
            (void)fprintf(to, "%s:\n", s->section);
        section = s->section;
        (void)fprintf(to, "%s%s:%s", section[0] ? "  " : "", s->key,
                      s->type == SONA_SIDECAR_ROUTES && options->n_routes > 0 ? "" : " ");
        sona_sidecar_setting_format(s, options, value);
        if (s->type == SONA_SIDECAR_ROUTES)
            (void)fputs(options->n_routes > 0 ? "" : "[]", to);
        else if (s->type == SONA_SIDECAR_NAME || s->type == SONA_SIDECAR_PATH)
            print_text(to, value);
        else
            (void)fputs(value, to);
        print_comment(sona_sidecar_setting_origin(s, options), to);
        if (s->type == SONA_SIDECAR_ROUTES)
            print_routes(options, to);
    }
}
