/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The control socket: each row of shm/control.h is a path. Questions are answered at once; a
 * command is handed to the learner with a ticket, and its request is answered when the learner's
 * answer lies on our desk. See inside.h.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <jansson.h>

#include "shm/control.h"
#include "shm/diag.h"
#include "sidecar/clock.h"
#include "sidecar/http/arguments.h"
#include "sidecar/http/inside.h"
#include "sidecar/log.h"
#include "sidecar/peer.h"
#include "sidecar/report.h"
#include "sidecar/sidecar.h"

/* ---- questions ---- */

static void put_text(json_t *o, const char *key, const char *value)
{
    (void)json_object_set_new(o, key, json_string(value));
}

static json_t *arguments_of(const struct sona_control_command *row)
{
    static const char *const types[] = {"string", "string", "number", "integer"};
    const struct sona_control_argument *a;
    json_t *list = json_array();
    bool needed;

    for (uint32_t n = 0; (a = sona_control_argument_of(row, n, &needed)) != NULL; n++) {
        json_t *o = json_object();

        put_text(o, "key", a->key);
        put_text(o, "type", types[a->type]);
        (void)json_object_set_new(o, "required", json_boolean(needed));
        put_text(o, "help", a->help);
        (void)json_array_append_new(list, o);
    }
    return list;
}

/* GET /v1: everything that can be asked. */
static char *list_commands(void)
{
    const struct sona_control_command *row;
    json_t *list = json_array(), *all = json_object();
    char path[SONA_CONTROL_PATH_MAX];

    for (uint32_t i = 0; (row = sona_control_command_at(i)) != NULL; i++) {
        json_t *o = json_object();

        sona_control_path(row, path);
        put_text(o, "method", sona_control_method(row));
        put_text(o, "path", path);
        put_text(o, "sonactl", row->words);
        put_text(o, "help", row->help);
        (void)json_object_set_new(o, "arguments", arguments_of(row));
        (void)json_array_append_new(list, o);
    }
    (void)json_object_set_new(all, "commands", list);
    char *text = json_dumps(all, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(all);
    return text;
}

static char *health(const struct sona_sidecar *s)
{
    bool ok;

    return sona_http_health(s, &ok);
}

static void answer_question(const struct sona_sidecar *s, struct evhttp_request *request,
                            uint32_t what)
{
    static char *(*const reports[])(const struct sona_sidecar *) = {
        [SONA_CONTROL_STATUS - SONA_CONTROL_STATUS] = sona_sidecar_report_status,
        [SONA_CONTROL_STATS - SONA_CONTROL_STATUS] = sona_sidecar_report_stats,
        [SONA_CONTROL_HEALTH - SONA_CONTROL_STATUS] = health,
        [SONA_CONTROL_CONFIG - SONA_CONTROL_STATUS] = sona_sidecar_report_config,
        [SONA_CONTROL_PATTERNS - SONA_CONTROL_STATUS] = sona_sidecar_report_patterns,
        [SONA_CONTROL_ROUTES - SONA_CONTROL_STATUS] = sona_sidecar_report_routes,
        [SONA_CONTROL_EXPLORE - SONA_CONTROL_STATUS] = sona_sidecar_report_explore,
    };
    sona_diag diag;

    if (what != SONA_CONTROL_GENERATIONS) {
        sona_http_reply_json(request, 200, reports[what - SONA_CONTROL_STATUS](s));
        return;
    }
    char *json = sona_sidecar_report_generations(s, &diag);
    if (json)
        sona_http_reply_json(request, 200, json);
    else
        sona_http_reply_error(request, &diag);
}

/* The body in one piece, which goes with the request; "" when it has none. */
static const char *body_of(struct evhttp_request *request, size_t *ret_bytes)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(request);

    *ret_bytes = evbuffer_get_length(in);
    return *ret_bytes > 0 ? (const char *)evbuffer_pullup(in, -1) : "";
}

static sona_err read_body(struct evhttp_request *request, const struct sona_control_command *row,
                          struct sona_control_request *ret, sona_diag *reterr)
{
    size_t bytes;
    const char *text = body_of(request, &bytes);

    return sona_http_arguments_read(row, bytes > 0 ? text : "{}", bytes > 0 ? bytes : 2, ret,
                                    reterr);
}

static void free_text(const void *text, size_t bytes, void *arg)
{
    (void)bytes;
    (void)arg;
    free((void *)(uintptr_t)text);
}

/* Send a text that may be large, and take it; null: there was no memory for it. */
static void reply_text(struct evhttp_request *request, char *text, size_t bytes, const char *type)
{
    struct evbuffer *body = text ? evbuffer_new() : NULL;

    if (body && evbuffer_add_reference(body, text, bytes, free_text, NULL) == 0) {
        sona_http_reply(request, 200, type, body);
        return;
    }
    free(text);
    if (body)
        evbuffer_free(body);
    sona_http_reply_refusal(request, 503, SONA_E_MEMORY, "no memory for the file; try again");
}

/* ---- commands ---- */

static void on_hang_up(struct evhttp_connection *connection, void *arg)
{
    struct sona_http_ticket *t = arg;

    (void)connection;
    t->request = NULL; /* it is evhttp's, and goes with the connection */
}

static struct sona_http_ticket *free_ticket(struct sona_http *http)
{
    for (uint32_t k = 0; k < SONA_SIDECAR_COMMANDS_MAX; k++)
        if (http->ticket[k].number == 0)
            return &http->ticket[k];
    return NULL;
}

static void log_command(struct evhttp_request *request, const struct sona_control_command *row,
                        const struct sona_control_request *asked)
{
    struct evhttp_connection *c = evhttp_request_get_connection(request);
    struct sona_sidecar_peer peer = {.pidfd = -1};

    (void)sona_sidecar_peer_identify(bufferevent_getfd(evhttp_connection_get_bufferevent(c)),
                                     SONA_SIDECAR_GROUP_NONE, &peer, NULL);
    if (peer.pidfd >= 0)
        (void)close(peer.pidfd);
    sona_sidecar_log(SONA_SIDECAR_INFO, "command", "pid=%d uid=%u what=\"%s\" route=%s",
                     (int)peer.pid, (unsigned)peer.uid, row->words, asked->spec.name);
}

/* A file: to be filled, or what the body says. Null but of its class; taken. */
struct carried {
    struct sona_sidecar_adapters *adapters;
    struct sona_sidecar_patterns *patterns;
    struct sona_sidecar_decisions *decisions;
};

static void ask_learner(struct sona_http_server *server, struct evhttp_request *request,
                        const struct sona_control_command *row,
                        const struct sona_control_request *asked, struct carried carried)
{
    struct sona_sidecar *s = server->sidecar;
    struct sona_http *http = server->http;
    struct sona_http_ticket *t = free_ticket(http);
    struct sona_sidecar_command command = {.desk = &http->desk,
                                           .asker = http->tickets + 1,
                                           .flush = server->flushes + 1,
                                           .request = *asked,
                                           .adapters = carried.adapters,
                                           .patterns = carried.patterns,
                                           .decisions = carried.decisions};
    sona_stats stats;

    sona_sidecar_report_sum(s, &stats);
    command.learned_before = stats.counter[SONA_COUNTER_learned];
    if (!t || !sona_sidecar_commands_put(&s->asked, &command)) {
        sona_sidecar_command_drop(&command);
        sona_http_reply_refusal(request, 503, SONA_E_LIMIT,
                                "%u commands wait already; try again in a moment",
                                SONA_SIDECAR_COMMANDS_MAX);
        return;
    }
    if (row->class == SONA_CONTROL_DRAIN) {
        server->flushes++;
        sona_sidecar_intake_tell(s->intake, SONA_SIDECAR_FLUSH, NULL);
    }
    sona_sidecar_wake_notify(&s->stream.wake);
    *t = (struct sona_http_ticket){.number = ++http->tickets,
                                   .deadline_ms = sona_sidecar_now_ms() + SONA_HTTP_COMMAND_MS,
                                   .server = server,
                                   .request = request,
                                   .what = asked->what};
    sona_http_deadline(server, request, SONA_HTTP_NEVER);
    evhttp_connection_set_closecb(evhttp_request_get_connection(request), on_hang_up, t);
    log_command(request, row, asked);
}

static bool is_live(const struct sona_sidecar *s)
{
    bool live = sona_sidecar_roster_read(s)->state == SONA_SHM_LIVE;

    sona_sidecar_roster_unread();
    return live;
}

/* Room for the adapters that are asked for, or those of the body. */
static sona_err read_adapters(const struct sona_sidecar *s, struct evhttp_request *request,
                              uint32_t what, struct sona_sidecar_adapters **ret, sona_diag *reterr)
{
    const sona_config *config = &s->options->config;
    size_t bytes;
    const char *text = body_of(request, &bytes);

    if (what == SONA_CONTROL_IMPORT_ADAPTERS)
        return sona_sidecar_adapters_read(&s->layout,
                                          config->lora_alpha / (float)config->micro_lora_rank, text,
                                          bytes, ret, reterr);
    *ret = sona_sidecar_adapters_make(&s->layout);
    return *ret ? SONA_OK
                : sona_shm_diag_set(reterr, SONA_E_MEMORY, 0, "no memory for the adapters");
}

/* The routes that the learner shows; freed by the caller. Null without memory. */
static sona_route_info *copy_routes(const struct sona_sidecar *s, uint32_t *ret_n)
{
    const struct sona_sidecar_version *v = sona_sidecar_version_read(&s->versions);
    sona_route_info *ret = malloc((v->n_routes + 1) * sizeof *ret);

    *ret_n = v->n_routes;
    if (ret)
        memcpy(ret, v->route, v->n_routes * sizeof *ret);
    sona_sidecar_version_unread();
    return ret;
}

/* Room for the patterns that are asked for, or those of the body. */
static sona_err read_patterns(const struct sona_sidecar *s, struct evhttp_request *request,
                              uint32_t what, struct sona_sidecar_patterns **ret, sona_diag *reterr)
{
    size_t bytes;
    const char *text = body_of(request, &bytes);
    uint32_t n = 0;
    sona_route_info *routes = NULL;
    sona_err err = SONA_OK;

    if (what == SONA_CONTROL_IMPORT_PATTERNS && (routes = copy_routes(s, &n)) != NULL)
        err = sona_sidecar_patterns_read(&s->layout, routes, n, text, bytes, ret, reterr);
    else if (what == SONA_CONTROL_EXPORT_PATTERNS)
        *ret = sona_sidecar_patterns_make(&s->layout, s->layout.bank.count);
    free(routes);
    if (err == SONA_OK && !*ret)
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, 0, "no memory for the patterns");
    return err;
}

/* Where decisions come from, and go to. SONA_E_ABSENT: this sidecar has no journal. */
static sona_err place_of(const struct sona_sidecar *s, struct sona_sidecar_decisions_place *ret,
                         sona_route_info **ret_routes, sona_diag *reterr)
{
    *ret_routes = NULL;
    if (!s->store || s->options->journal_off)
        return sona_shm_diag_set(reterr, SONA_E_ABSENT, 0,
                                 "this sidecar keeps no journal; start it with --state-dir");
    *ret = (struct sona_sidecar_decisions_place){
        .layout = &s->layout, .store = s->store, .now_ms = sona_sidecar_now_ms()};
    ret->routes = *ret_routes = copy_routes(s, &ret->n_routes);
    return ret->routes ? SONA_OK
                       : sona_shm_diag_set(reterr, SONA_E_MEMORY, 0, "no memory for the routes");
}

/* "from=7" of a request's query; 1 without, 0: it is something else. */
static uint64_t from_of(struct evhttp_request *request)
{
    const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
    unsigned long long from = 1;
    int end = 0;

    if (!query)
        return 1;
    if (sscanf(query, "from=%19llu%n", &from, &end) != 1 || query[end] != '\0')
        return 0;
    return from;
}

/* A page of the journal, at once: the learner is not asked, nor kept. */
static void reply_decisions(const struct sona_sidecar *s, struct evhttp_request *request)
{
    struct sona_sidecar_decisions_place place;
    sona_route_info *routes;
    uint64_t from = from_of(request);
    char *text = NULL;
    size_t bytes = 0;
    sona_diag diag;

    sona_err err = place_of(s, &place, &routes, &diag);
    if (err == SONA_OK && from == 0)
        err = sona_shm_diag_set(&diag, SONA_E_RANGE, 0,
                                "a page is asked for by from=N, the position that it begins with");
    if (err == SONA_OK)
        err = sona_sidecar_decisions_page(&place, from, &text, &bytes, &diag);
    free(routes);
    if (err == SONA_OK)
        reply_text(request, text, bytes, "application/jsonl");
    else
        sona_http_reply_error(request, &diag);
}

/* Two at one time could not tell what the other has taken. */
static bool is_importing(const struct sona_http_server *server)
{
    for (uint32_t k = 0; k < SONA_SIDECAR_COMMANDS_MAX; k++)
        if (server->http->ticket[k].number != 0 && server->http->ticket[k].server == server &&
            server->http->ticket[k].what == SONA_CONTROL_IMPORT_DECISIONS)
            return true;
    return false;
}

static sona_err read_decisions(const struct sona_http_server *server,
                               struct evhttp_request *request, struct sona_sidecar_decisions **ret,
                               sona_diag *reterr)
{
    struct sona_sidecar_decisions_place place;
    size_t bytes;
    const char *text = body_of(request, &bytes);
    sona_route_info *routes;

    if (is_importing(server))
        return sona_shm_diag_set(reterr, SONA_E_BUSY, 0,
                                 "another import of decisions is under way; wait for its end");
    sona_err err = place_of(server->sidecar, &place, &routes, reterr);
    /* What is known is what was committed: the same lines would be learned again meanwhile. */
    if (err == SONA_OK && sona_store_health(place.store, NULL) != SONA_OK)
        err = sona_shm_diag_set(reterr, SONA_E_BUSY, 0,
                                "the journal cannot be written now; see sonactl health, and import "
                                "again when it can");
    if (err == SONA_OK)
        err = sona_sidecar_decisions_read(&place, text, bytes, ret, reterr);
    free(routes);
    return err;
}

static void do_file(struct sona_http_server *server, struct evhttp_request *request,
                    const struct sona_control_command *row)
{
    const struct sona_control_request asked = sona_control_request_of(row->what);
    struct carried carried = {.adapters = NULL};
    sona_err err = SONA_OK;
    sona_diag diag;

    if (!is_live(server->sidecar)) {
        sona_http_reply_refusal(request, 503, SONA_E_ABSENT,
                                "this sidecar is stopping; ask the next one");
        return;
    }
    if (row->class == SONA_CONTROL_ADAPTERS)
        err = read_adapters(server->sidecar, request, row->what, &carried.adapters, &diag);
    else if (row->what == SONA_CONTROL_IMPORT_DECISIONS)
        err = read_decisions(server, request, &carried.decisions, &diag);
    else
        err = read_patterns(server->sidecar, request, row->what, &carried.patterns, &diag);
    if (err != SONA_OK)
        sona_http_reply_error(request, &diag);
    else
        ask_learner(server, request, row, &asked, carried);
}

bool sona_http_takes_file(const char *path)
{
    static const uint32_t takers[] = {SONA_CONTROL_IMPORT_ADAPTERS, SONA_CONTROL_IMPORT_PATTERNS,
                                      SONA_CONTROL_IMPORT_DECISIONS};
    char known[SONA_CONTROL_PATH_MAX];

    for (size_t i = 0; i < sizeof takers / sizeof *takers; i++) {
        sona_control_path(sona_control_command_of(takers[i]), known);
        if (strcmp(path, known) == 0)
            return true;
    }
    return false;
}

static void do_command(struct sona_http_server *server, struct evhttp_request *request,
                       const struct sona_control_command *row)
{
    struct sona_control_request asked;
    sona_diag diag;

    if (row->what == SONA_CONTROL_EXPORT_DECISIONS)
        reply_decisions(server->sidecar, request);
    else if (row->class == SONA_CONTROL_ADAPTERS || row->class == SONA_CONTROL_LINES)
        do_file(server, request, row);
    else if (read_body(request, row, &asked, &diag) != SONA_OK)
        sona_http_reply_error(request, &diag);
    else if (row->class == SONA_CONTROL_QUERY)
        answer_question(server->sidecar, request, row->what);
    else if (sona_sidecar_command_judge(&asked, &diag) != SONA_OK)
        sona_http_reply_error(request, &diag);
    else if (!is_live(server->sidecar))
        sona_http_reply_refusal(request, 503, SONA_E_ABSENT,
                                "this sidecar is stopping; ask the next one");
    else
        ask_learner(server, request, row, &asked, (struct carried){.adapters = NULL});
}

void sona_http_control(struct sona_http_server *server, struct evhttp_request *request,
                       const char *path)
{
    bool get = evhttp_request_get_command(request) == EVHTTP_REQ_GET;
    bool post = evhttp_request_get_command(request) == EVHTTP_REQ_POST;
    const struct sona_control_command *row;
    const char *allowed = strcmp(path, "/v1") == 0 ? "GET" : NULL;
    char known[SONA_CONTROL_PATH_MAX];

    for (uint32_t i = 0; (row = sona_control_command_at(i)) != NULL; i++) {
        sona_control_path(row, known);
        if (strcmp(path, known) != 0)
            continue;
        const char *method = sona_control_method(row);
        if (strcmp(method, get ? "GET" : post ? "POST" : "") == 0) {
            do_command(server, request, row);
            return;
        }
        allowed = allowed ? "GET, POST" : method; /* explore is both */
    }
    if (allowed && get && strcmp(path, "/v1") == 0)
        sona_http_reply_json(request, 200, list_commands());
    else if (allowed)
        sona_http_reply_method(request, allowed);
    else
        sona_http_reply_refusal(request, 404, SONA_E_ABI,
                                "this sidecar knows no such command; upgrade it, or see GET /v1");
}

/* ---- answers ---- */

/* The request of a ticket, which waits for the learner without it; null: whoever asked has gone. */
static struct evhttp_request *detach(struct sona_http_ticket *t)
{
    struct evhttp_request *request = t->request;

    if (request) {
        evhttp_connection_set_closecb(evhttp_request_get_connection(request), NULL, NULL);
        sona_http_deadline(t->server, request, sona_sidecar_now_ms() + SONA_HTTP_REPLY_MS);
    }
    t->request = NULL;
    t->deadline_ms = SONA_HTTP_NEVER;
    return request;
}

/* The same; the ticket is free now. */
static struct evhttp_request *redeem(struct sona_http_ticket *t)
{
    t->number = 0;
    return detach(t);
}

static void *write_patterns(const struct sona_sidecar *s, const struct sona_sidecar_patterns *p,
                            size_t *ret_bytes)
{
    uint32_t n = 0;
    sona_route_info *routes = copy_routes(s, &n);
    void *ret = routes ? sona_sidecar_patterns_write(&s->layout, routes, n, p, ret_bytes) : NULL;

    free(routes);
    return ret;
}

static void reply_file(struct evhttp_request *request, const struct sona_sidecar *s,
                       const struct sona_sidecar_command *command)
{
    bool lines = command->request.what == SONA_CONTROL_EXPORT_PATTERNS;
    size_t bytes = 0;
    void *file = lines ? write_patterns(s, command->patterns, &bytes)
                       : sona_sidecar_adapters_write(&s->layout, command->adapters, &bytes);

    reply_text(request, file, bytes, lines ? "application/jsonl" : "application/octet-stream");
}

static void reply_done(struct evhttp_request *request, const struct sona_sidecar *s,
                       const struct sona_sidecar_command *command)
{
    if (command->diag.code == SONA_E_LIMIT) /* of a table, not of time */
        sona_http_reply_refusal(request, 409, SONA_E_LIMIT, "%s", command->diag.text);
    else if (command->diag.code != SONA_OK)
        sona_http_reply_error(request, &command->diag);
    else if (command->request.what == SONA_CONTROL_EXPORT_ADAPTERS ||
             command->request.what == SONA_CONTROL_EXPORT_PATTERNS)
        reply_file(request, s, command);
    else
        sona_http_reply_json(request, 200, sona_sidecar_report_command(s, command));
}

void sona_http_commands_answer(struct sona_http *http)
{
    struct sona_sidecar_command command;

    while (sona_sidecar_commands_take(&http->desk.answered, &command)) {
        for (uint32_t k = 0; k < SONA_SIDECAR_COMMANDS_MAX; k++) {
            struct sona_http_ticket *t = &http->ticket[k];
            const struct sona_sidecar *s = t->number == command.asker ? t->server->sidecar : NULL;
            struct evhttp_request *request = s ? redeem(t) : NULL;

            if (request)
                reply_done(request, s, &command);
        }
        sona_sidecar_command_drop(&command);
    }
}

void sona_http_commands_expire(struct sona_http *http, uint64_t now_ms)
{
    for (uint32_t k = 0; k < SONA_SIDECAR_COMMANDS_MAX; k++) {
        struct sona_http_ticket *t = &http->ticket[k];
        bool late = t->number != 0 && now_ms >= t->deadline_ms;
        /* An import is under way until the learner says that it is not: see is_importing(). */
        struct evhttp_request *request = late ? detach(t) : NULL;

        if (request)
            sona_http_reply_refusal(request, 504, SONA_E_TIMEOUT,
                                    "the learner did not get to it within %u s; it will, look at "
                                    "status later",
                                    SONA_HTTP_COMMAND_MS / 1000);
    }
}

void sona_http_commands_end(struct sona_http *http, const struct sona_http_server *server)
{
    sona_http_commands_answer(http);
    for (uint32_t k = 0; k < SONA_SIDECAR_COMMANDS_MAX; k++) {
        struct sona_http_ticket *t = &http->ticket[k];
        struct evhttp_request *request = t->number != 0 && t->server == server ? redeem(t) : NULL;

        if (request)
            sona_http_reply_refusal(request, 503, SONA_E_ABSENT,
                                    "this sidecar stopped before it got to the command; ask the "
                                    "next one");
    }
}
