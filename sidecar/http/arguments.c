/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See arguments.h. */
#include "sidecar/http/arguments.h"

#include <math.h>
#include <string.h>

#include <jansson.h>

#include "shm/diag.h"

static sona_err refuse(const struct sona_control_argument *a, sona_diag *reterr)
{
    static const char *const types[] = {"a string", "one of the strings", "a number",
                                        "a whole number"};

    return sona_shm_diag_set(reterr, SONA_E_RANGE, 0, "\"%s\" takes %s: %s", a->key, types[a->type],
                             a->help);
}

static sona_err take(const struct sona_control_argument *a, const json_t *value,
                     struct sona_control_request *request, sona_diag *reterr)
{
    char *at = (char *)request + a->offset;
    size_t n = json_string_length(value);
    float real = (float)json_number_value(value);
    uint64_t count = (uint64_t)json_integer_value(value);
    uint32_t mode;

    switch (a->type) {
    case SONA_CONTROL_NAME:
        if (!json_is_string(value) || n == 0 || n >= SONA_ROUTE_NAME_MAX)
            return refuse(a, reterr);
        memcpy(at, json_string_value(value), n + 1);
        return SONA_OK;
    case SONA_CONTROL_MODE:
        if (!json_is_string(value) || !sona_control_mode_of(json_string_value(value), &mode))
            return refuse(a, reterr);
        memcpy(at, &mode, sizeof mode);
        return SONA_OK;
    case SONA_CONTROL_REAL:
        if (!json_is_number(value) || !isfinite(real))
            return refuse(a, reterr);
        memcpy(at, &real, sizeof real);
        return SONA_OK;
    case SONA_CONTROL_COUNT:
        if (!json_is_integer(value) || json_integer_value(value) < 0)
            return refuse(a, reterr);
        memcpy(at, &count, sizeof count);
        return SONA_OK;
    }
    return SONA_E_FORMAT; /* there is no other type */
}

/* All that is needed is there, and all that is there is known. */
static sona_err read_arguments(const struct sona_control_command *row, const json_t *body,
                               struct sona_control_request *request, sona_diag *reterr)
{
    const struct sona_control_argument *a;
    size_t known = 0;
    bool needed;

    for (uint32_t n = 0; (a = sona_control_argument_of(row, n, &needed)) != NULL; n++) {
        const json_t *value = json_object_get(body, a->key);
        sona_err err = SONA_OK;

        if (value)
            err = take(a, value, request, reterr);
        else if (needed)
            err = sona_shm_diag_set(reterr, SONA_E_ARGUMENT, 0, "\"%s\" is missing: %s", a->key,
                                    a->help);
        if (err != SONA_OK)
            return err;
        known += value != NULL;
    }
    if (known < json_object_size(body))
        return sona_shm_diag_set(reterr, SONA_E_ARGUMENT, 0,
                                 "the body has a key that \"%s\" does not know; see GET /v1",
                                 row->words);
    return SONA_OK;
}

sona_err sona_http_arguments_read(const struct sona_control_command *row, const char *text,
                                  size_t bytes, struct sona_control_request *ret, sona_diag *reterr)
{
    json_error_t error;
    json_t *body = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    sona_err err = SONA_OK;

    *ret = sona_control_request_of(row->what);
    if (!json_is_object(body))
        err = sona_shm_diag_set(reterr, SONA_E_FORMAT, 0, "the body must be one JSON object: %.80s",
                                body ? "it is none" : error.text);
    else
        err = read_arguments(row, body, ret, reterr);
    json_decref(body);
    return err;
}
