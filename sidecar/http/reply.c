/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Answers, and what every one of them says of itself. See inside.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <jansson.h>

#include <sona/version.h>

#include "shm/control.h"
#include "shm/layout.h"
#include "sidecar/http/inside.h"

#define TEXT(number)    TEXT_OF(number)
#define TEXT_OF(number) #number
#define ABI_TEXT        TEXT(SONA_ABI_MAJOR) "." TEXT(SONA_ABI_MINOR)

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {{200, "OK"},
                   {400, "Bad Request"},
                   {401, "Unauthorized"},
                   {403, "Forbidden"},
                   {404, "Not Found"},
                   {405, "Method Not Allowed"},
                   {409, "Conflict"},
                   {413, "Content Too Large"},
                   {421, "Misdirected Request"},
                   {426, "Upgrade Required"},
                   {500, "Internal Server Error"},
                   {503, "Service Unavailable"},
                   {504, "Gateway Timeout"}};

    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Error";
}

static int status_of(sona_err err)
{
    switch (err) {
    case SONA_OK:
        return 200;
    case SONA_E_ARGUMENT:
    case SONA_E_RANGE:
    case SONA_E_SHAPE:
    case SONA_E_NOT_FINITE:
    case SONA_E_FORMAT:
        return 400;
    case SONA_E_PERMISSION:
        return 403;
    case SONA_E_ROUTE:
    case SONA_E_ABSENT:
    case SONA_E_UNKNOWN_ID:
        return 404;
    case SONA_E_DUPLICATE:
    case SONA_E_BUSY:
        return 409;
    case SONA_E_ABI:
    case SONA_E_VERSION:
        return 426;
    case SONA_E_LIMIT:
    case SONA_E_FULL:
    case SONA_E_MEMORY:
        return 503;
    case SONA_E_TIMEOUT:
        return 504;
    default:
        return 500;
    }
}

void sona_http_reply(struct evhttp_request *request, int status, const char *type,
                     struct evbuffer *body)
{
    struct evkeyvalq *h = evhttp_request_get_output_headers(request);

    (void)evhttp_add_header(h, "Content-Type", type);
    (void)evhttp_add_header(h, "Server", "sona-sidecar/" SONA_VERSION);
    (void)evhttp_add_header(h, SONA_CONTROL_ABI_HEADER, ABI_TEXT);
    (void)evhttp_add_header(h, "Cache-Control", "no-store");
    (void)evhttp_add_header(h, "X-Content-Type-Options", "nosniff");
    evhttp_send_reply(request, status, reason_of(status), body);
    if (body)
        evbuffer_free(body);
}

void sona_http_reply_json(struct evhttp_request *request, int status, char *json)
{
    struct evbuffer *body = evbuffer_new();

    if (!body || !json || evbuffer_add(body, json, strlen(json)) != 0 ||
        evbuffer_add(body, "\n", 1) != 0) {
        status = 503;
        if (body)
            (void)evbuffer_drain(body, evbuffer_get_length(body));
    }
    free(json);
    sona_http_reply(request, status, "application/json", body);
}

/* A diagnostic says what is wrong, and, behind a semicolon, what to do about it. */
static void send_error(struct evhttp_request *request, int status, const sona_diag *diag)
{
    const char *end = strstr(diag->text, "; ");
    const char *remedy = end             ? end + 2
                         : status == 400 ? "see sonactl --help, or GET /v1"
                                         : sona_err_remedy(diag->code);
    json_t *o = json_object(), *error = json_object();

    (void)json_object_set_new(error, "code", json_string(sona_err_name(diag->code)));
    (void)json_object_set_new(
        error, "text",
        json_stringn(diag->text, end ? (size_t)(end - diag->text) : strlen(diag->text)));
    (void)json_object_set_new(error, "remedy", json_string(remedy));
    (void)json_object_set_new(o, "error", error);
    char *json = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(o);
    sona_http_reply_json(request, status, json);
}

void sona_http_reply_error(struct evhttp_request *request, const sona_diag *diag)
{
    send_error(request, status_of(diag->code), diag);
}

void sona_http_reply_refusal(struct evhttp_request *request, int status, sona_err code,
                             const char *format, ...)
{
    sona_diag diag = {.code = code};
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(diag.text, sizeof diag.text, format, arguments);
    va_end(arguments);
    send_error(request, status, &diag);
}

void sona_http_reply_method(struct evhttp_request *request, const char *allowed)
{
    (void)evhttp_add_header(evhttp_request_get_output_headers(request), "Allow", allowed);
    sona_http_reply_refusal(request, 405, SONA_E_FORMAT, "this path takes %s alone", allowed);
}
