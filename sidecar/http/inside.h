/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What the files of this folder share. All of it is the HTTP thread's. */
#ifndef SONA_SIDECAR_HTTP_INSIDE_H
#define SONA_SIDECAR_HTTP_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>

#include <sona/error.h>

#include "sidecar/command.h"
#include "sidecar/http/http.h"
#include "sidecar/log.h"
#include "sidecar/pulse.h"

#define SONA_HTTP_TOKEN_MAX 256u /* bytes, its end included */
#define SONA_HTTP_NEVER     UINT64_MAX

/* evhttp closes its connections itself and says so to nobody. A reference to each bufferevent keeps
 * them countable: one that has lost its callbacks was closed. */
struct sona_http_connection {
    struct bufferevent *bev;
    uint64_t deadline_ms; /* SONA_HTTP_NEVER: the learner has it */
};

struct sona_http_server {
    struct sona_http *http;
    struct sona_sidecar *sidecar; /* null: the port */
    struct evhttp *evhttp;
    struct evconnlistener *listener; /* evhttp's */
    uint32_t n;
    struct sona_http_connection connection[SONA_HTTP_CONNECTIONS_MAX];
    uint64_t flushes; /* asked of its intake */
    struct sona_sidecar_voice *voice;
};

/* A command under way. */
struct sona_http_ticket {
    uint64_t number; /* among all; 0: free */
    uint64_t deadline_ms;
    struct sona_http_server *server;
    struct evhttp_request *request;
    uint32_t what; /* enum sona_control_what */
};

/* What another thread wants of ours, and waits for. */
struct sona_http_order {
    struct sona_sidecar *sidecar; /* null: none is given */
    struct sona_sidecar_voice *voice;
    bool joins, done;
    sona_err err;
    sona_diag *diag; /* may be null */
};

struct sona_http {
    pthread_mutex_t lock; /* of `order` */
    pthread_cond_t told;
    struct sona_http_order *order; /* null: none; the giver's */
    struct event_base *base;
    struct event *woken, *tick, *beat;
    struct sona_sidecar_pulse *pulse;
    struct sona_sidecar_desk desk; /* its fd is told of a stop, too */
    uint32_t n_servers;
    struct sona_http_server *server[SONA_HTTP_INSTANCES_MAX + 1];
    struct sona_http_ticket ticket[SONA_SIDECAR_COMMANDS_MAX];
    uint64_t tickets; /* given so far */
    uint16_t port;
    char token[SONA_HTTP_TOKEN_MAX]; /* the rest is zero */
    pthread_t thread;
    bool started;
    _Atomic bool stopping; /* relaxed: the desk's fd orders it */
};

/* ---- answers (reply.c) ---- */

/* Send what is in `body`, and take it. */
void sona_http_reply(struct evhttp_request *request, int status, const char *type,
                     struct evbuffer *body);
/* The text is freed, and may be null: then there was no memory. */
void sona_http_reply_json(struct evhttp_request *request, int status, char *json);
/* {"error": {"code", "text", "remedy"}}, with the status that the code stands for, or another. */
void sona_http_reply_error(struct evhttp_request *request, const sona_diag *diag);
/* 405: another method is meant. */
void sona_http_reply_method(struct evhttp_request *request, const char *allowed);
__attribute__((format(printf, 4, 5))) void sona_http_reply_refusal(struct evhttp_request *request,
                                                                   int status, sona_err code,
                                                                   const char *format, ...);

/* ---- who may ask (access.c) ---- */

/* SONA_E_PERMISSION, SONA_E_RANGE, SONA_E_SYSTEM. */
sona_err sona_http_token_read(const char *path, char ret[SONA_HTTP_TOKEN_MAX], sona_diag *reterr);
/* False: it was answered. */
bool sona_http_admit(const struct sona_http_server *server, struct evhttp_request *request);

/* ---- what is asked ---- */

/* commands.c: "/v1...", of the control socket. */
void sona_http_control(struct sona_http_server *server, struct evhttp_request *request,
                       const char *path);
/* Is the body of a request for this path a file? */
bool sona_http_takes_file(const char *path);
/* Answers of the learner, and deadlines. */
void sona_http_commands_answer(struct sona_http *http);
void sona_http_commands_expire(struct sona_http *http, uint64_t now_ms);
/* An instance leaves: who waits for it is told so. */
void sona_http_commands_end(struct sona_http *http, const struct sona_http_server *server);

/* metrics.c: the page of one instance, or of all at the port. */
void sona_http_metrics(const struct sona_http_server *server, struct evhttp_request *request);

/* health.c */
enum sona_http_probe { SONA_HTTP_LIVEZ, SONA_HTTP_READYZ, SONA_HTTP_HEALTHZ };
void sona_http_probe(const struct sona_http_server *server, struct evhttp_request *request,
                     enum sona_http_probe probe);
/* What GET /v1/health says; freed by the caller. *ret_ok: nothing is wrong. */
char *sona_http_health(const struct sona_sidecar *sidecar, bool *ret_ok);

/* The instances that a server speaks of: its own, or all. Returns how many. */
uint32_t sona_http_instances(const struct sona_http_server *server,
                             const struct sona_sidecar *ret[SONA_HTTP_INSTANCES_MAX]);

/* http.c: its connection ends then, unless it asks again. */
void sona_http_deadline(struct sona_http_server *server, struct evhttp_request *request,
                        uint64_t deadline_ms);

#endif
