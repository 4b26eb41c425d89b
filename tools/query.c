/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "tools/query.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include <sona/version.h>

#include "shm/wire.h"
#include "tools/fail.h"
#include "tools/http.h"

#define QUERY_TIMEOUT_MS   2000u
#define COMMAND_TIMEOUT_MS 61000u /* the sidecar itself gives up a second before */
#define NAMES_MAX          256    /* of errors */

/* Null: it cannot be said. */
static json_t *value_of(const struct sona_control_argument *a,
                        const struct sona_control_request *request)
{
    const char *at = (const char *)request + a->offset;
    float real = 0;
    uint32_t mode = 0;
    uint64_t count = 0;

    switch (a->type) {
    case SONA_CONTROL_NAME:
        return json_string(at);
    case SONA_CONTROL_MODE:
        memcpy(&mode, at, sizeof mode);
        return sona_control_mode_name(mode) ? json_string(sona_control_mode_name(mode)) : NULL;
    case SONA_CONTROL_REAL:
        memcpy(&real, at, sizeof real);
        return json_real((double)real); /* null when it is not finite */
    case SONA_CONTROL_COUNT:
        memcpy(&count, at, sizeof count);
        return json_integer(count > INT64_MAX ? INT64_MAX : (json_int_t)count);
    }
    return NULL;
}

/* The arguments as the body says them; null: there are none. */
static sona_err body_of(const struct sona_control_command *row,
                        const struct sona_control_request *request, char **ret, sona_diag *reterr)
{
    const struct sona_control_argument *a;
    json_t *o = json_object();
    bool needed;

    for (uint32_t n = 0; (a = sona_control_argument_of(row, n, &needed)) != NULL; n++) {
        if (json_object_set_new(o, a->key, value_of(a, request)) == 0)
            continue;
        json_decref(o);
        return sona_tools_fail(reterr, SONA_E_RANGE, "%s: %s", a->key, a->help);
    }
    *ret = json_object_size(o) > 0 ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    return SONA_OK;
}

static sona_err error_named(const char *name)
{
    for (int e = 0; name && e < NAMES_MAX; e++)
        if (strcmp(sona_err_name((sona_err)e), name) == 0)
            return (sona_err)e;
    return SONA_E_SYSTEM;
}

/* What the sidecar says of its refusal. */
static sona_err refused(const struct sona_tools_reply *reply, sona_diag *reterr)
{
    json_t *o = json_loadb(reply->body, reply->bytes, 0, NULL);
    const json_t *error = json_object_get(o, "error");
    const char *text = json_string_value(json_object_get(error, "text"));
    const char *remedy = json_string_value(json_object_get(error, "remedy"));
    sona_err err = error_named(json_string_value(json_object_get(error, "code")));

    if (text)
        (void)sona_tools_fail(reterr, err, "%s%s%s", text, remedy && remedy[0] ? "; " : "",
                              remedy ? remedy : "");
    else
        (void)sona_tools_fail(reterr, err, "the sidecar answers with HTTP status %d",
                              reply->status);
    json_decref(o);
    return err;
}

/* Where clients can connect and nobody can ask, the sidecar is of a version before the control
 * socket. */
static sona_err absent(const char *runtime_dir, const char *instance, sona_diag *reterr)
{
    char path[256];
    int fd = -1;

    if (sona_wire_path(runtime_dir, instance, path, sizeof path, NULL) != SONA_OK ||
        sona_wire_connect(path, QUERY_TIMEOUT_MS, &fd, NULL) != SONA_OK)
        return SONA_E_ABSENT;
    (void)close(fd);
    return sona_tools_fail(reterr, SONA_E_ABI,
                           "the sidecar at %s is of an older version, without a control socket; "
                           "upgrade it",
                           path);
}

static sona_err ask(const char *runtime_dir, const char *instance,
                    const struct sona_control_command *command, const char *query, const void *file,
                    size_t file_bytes, char **ret, size_t *ret_bytes, sona_diag *reterr)
{
    const char *name = instance ? instance : "default";
    struct sona_tools_reply reply = {.body = NULL};
    char socket_path[256], path[2 * SONA_CONTROL_PATH_MAX];
    size_t n;
    sona_err err = sona_control_socket(runtime_dir, name, socket_path, sizeof socket_path, reterr);

    if (err != SONA_OK)
        return err;
    sona_control_path(command, path);
    n = strlen(path);
    (void)snprintf(path + n, sizeof path - n, "%s%s", query[0] != '\0' ? "?" : "", query);
    err = sona_tools_http(socket_path, sona_control_method(command), path, file, file_bytes,
                          command->class == SONA_CONTROL_QUERY ? QUERY_TIMEOUT_MS
                                                               : COMMAND_TIMEOUT_MS,
                          &reply, reterr);
    if (err == SONA_E_ABSENT && access(socket_path, F_OK) != 0)
        return absent(runtime_dir, name, reterr);
    if (err == SONA_OK && reply.abi != SONA_ABI_MAJOR)
        err =
            sona_tools_fail(reterr, SONA_E_ABI,
                            "the sidecar speaks ABI %s and this sonactl %d.%d; upgrade the older "
                            "of the two",
                            reply.abi ? reply.abi_text : "unknown", SONA_ABI_MAJOR, SONA_ABI_MINOR);
    else if (err == SONA_OK && reply.status != 200)
        err = refused(&reply, reterr);
    if (err != SONA_OK) {
        free(reply.body);
        return err;
    }
    *ret = reply.body;
    *ret_bytes = reply.bytes;
    return SONA_OK;
}

sona_err sona_tools_ask_file(const char *runtime_dir, const char *instance,
                             const struct sona_control_command *command, const void *file,
                             size_t file_bytes, char **ret, size_t *ret_bytes, sona_diag *reterr)
{
    return ask(runtime_dir, instance, command, "", file, file_bytes, ret, ret_bytes, reterr);
}

sona_err sona_tools_ask_page(const char *runtime_dir, const char *instance,
                             const struct sona_control_command *command, const char *query,
                             char **ret, size_t *ret_bytes, sona_diag *reterr)
{
    return ask(runtime_dir, instance, command, query, NULL, 0, ret, ret_bytes, reterr);
}

sona_err sona_tools_ask(const char *runtime_dir, const char *instance,
                        const struct sona_control_request *request, char **ret_json,
                        sona_diag *reterr)
{
    const struct sona_control_command *row = sona_control_command_of(request->what);
    char *body = NULL;
    size_t bytes;
    sona_err err = body_of(row, request, &body, reterr);

    if (err == SONA_OK)
        err = sona_tools_ask_file(runtime_dir, instance, row, body, body ? strlen(body) : 0,
                                  ret_json, &bytes, reterr);
    free(body);
    return err;
}

sona_err sona_tools_query(const char *runtime_dir, const char *instance, uint32_t what,
                          char **ret_json, sona_diag *reterr)
{
    struct sona_control_request request = sona_control_request_of(what);

    return sona_tools_ask(runtime_dir, instance, &request, ret_json, reterr);
}
