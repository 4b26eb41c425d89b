/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See routes.h. */
#include "sidecar/config/routes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/control.h"

#define WEIGHT_MAX 1e6f

static const struct {
    const char *key, *words;
    size_t offset;
    float max;
} numbers[] = {
    {"cost", "cost", offsetof(sona_route_spec, cost), 1},
    {"prior_quality", "prior quality", offsetof(sona_route_spec, prior_quality), 1},
    {"prior_weight", "prior weight", offsetof(sona_route_spec, prior_weight), WEIGHT_MAX},
};
#define NUMBERS (sizeof numbers / sizeof numbers[0])

bool sona_sidecar_routes_number(struct sona_sidecar_gather *gather, const char *where,
                                sona_route_spec *spec, const char *key, const char *text)
{
    for (size_t i = 0; i < NUMBERS; i++) {
        if (strcmp(numbers[i].key, key) != 0)
            continue;
        char *end;
        float value = strtof(text, &end);

        /* Decimal only: no "nan", "inf", hexadecimal or leading space. */
        if (text[0] == '\0' || strspn(text, "+-.0123456789eE") != strlen(text) || *end != '\0' ||
            !isfinite(value) || value < 0 || value > numbers[i].max)
            sona_sidecar_gather_mistake(gather, where,
                                        "the %s of \"%s\" must be a number 0..%g, not \"%.64s\"",
                                        numbers[i].words, spec->name, (double)numbers[i].max, text);
        else
            memcpy((char *)spec + numbers[i].offset, &value, sizeof value);
        return true;
    }
    return false;
}

sona_route_spec *sona_sidecar_routes_add(struct sona_sidecar_gather *gather, const char *where,
                                         const char *name, struct sona_sidecar_routes *routes)
{
    if (routes->n == SONA_ROUTES_MAX) {
        sona_sidecar_gather_mistake(gather, where, "there are more than %d routes",
                                    SONA_ROUTES_MAX);
        return NULL;
    }
    sona_route_spec *spec = &routes->spec[routes->n];
    if (!sona_control_name_ok(name)) {
        sona_sidecar_gather_mistake(
            gather, where, "a route's name is 1 to %zu " SONA_CONTROL_NAME_RULE ", not \"%.64s\"",
            sizeof spec->name - 1, name);
        return NULL;
    }
    for (uint32_t k = 0; k < routes->n; k++)
        if (strcmp(routes->spec[k].name, name) == 0) {
            sona_sidecar_gather_mistake(gather, where, "the routes name \"%s\" twice", name);
            return NULL;
        }
    *spec = (sona_route_spec){.prior_quality = 0.5f, .prior_weight = 1};
    (void)snprintf(spec->name, sizeof spec->name, "%s", name);
    routes->n++;
    return spec;
}

static void take_route(struct sona_sidecar_gather *gather, const char *where, char *text,
                       struct sona_sidecar_routes *ret)
{
    const char *name = strsep(&text, ":");
    sona_route_spec *spec = sona_sidecar_routes_add(gather, where, name, ret);

    for (size_t i = 0; spec && text && i < NUMBERS; i++) {
        const char *number = strsep(&text, ":");

        if (number[0] != '\0') /* an empty one keeps its default */
            (void)sona_sidecar_routes_number(gather, where, spec, numbers[i].key, number);
    }
    if (spec && text)
        sona_sidecar_gather_mistake(
            gather, where, "\"%s\" has more than name:cost:prior_quality:prior_weight", name);
}

void sona_sidecar_routes_parse(struct sona_sidecar_gather *gather, const char *where,
                               const char *text, struct sona_sidecar_routes *ret)
{
    ret->n = 0;
    if (text[0] != '\0' && strspn(text, "0123456789") == strlen(text)) {
        unsigned long count = strlen(text) < 9 ? strtoul(text, NULL, 10) : 0;

        if (count == 0 || count > SONA_ROUTES_MAX)
            sona_sidecar_gather_mistake(gather, where,
                                        "the number of routes must be 1..%d, not %.64s",
                                        SONA_ROUTES_MAX, text);
        for (unsigned long k = 0; count <= SONA_ROUTES_MAX && k < count; k++) {
            char name[SONA_ROUTE_NAME_MAX];

            (void)snprintf(name, sizeof name, "route-%lu", k);
            (void)sona_sidecar_routes_add(gather, where, name, ret);
        }
        return;
    }
    char *copy = strdup(text), *rest = copy, *part;
    if (!copy) {
        sona_sidecar_gather_no_memory(gather, where);
        return;
    }
    while ((part = strsep(&rest, ",")))
        take_route(gather, where, part, ret);
    free(copy);
}
