/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See http.h. */
#include "sidecar/http/http.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>

#include "shm/diag.h"
#include "sidecar/clock.h"
#include "sidecar/control.h"
#include "sidecar/http/inside.h"
#include "sidecar/log.h"
#include "sidecar/sidecar.h"
#include "sidecar/thread.h"

#define NICENESS 5 /* where cores are few, drains and feedback come first */
#define TICK_MS  250
#define BACKLOG  64

/* ---- connections ---- */

static void look_again(struct sona_http *http)
{
    static const struct timeval tick = {.tv_usec = TICK_MS * 1000};

    if (!event_pending(http->tick, EV_TIMEOUT, NULL))
        (void)event_add(http->tick, &tick);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg; /* the loop looks at every deadline after each event */
}

/* So that the loop goes round also when nobody asks. */
static void on_beat(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    sona_sidecar_pulse_beat(((struct sona_http *)arg)->pulse);
}

/* evhttp is about to accept. With the last place taken it waits until one is free. */
static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
    struct sona_http_server *s = arg;
    struct bufferevent *bev = bufferevent_socket_new(base, -1, 0);

    if (!bev || s->n == SONA_HTTP_CONNECTIONS_MAX)
        return bev;
    bufferevent_incref(bev);
    s->connection[s->n++] = (struct sona_http_connection){
        .bev = bev, .deadline_ms = sona_sidecar_now_ms() + SONA_HTTP_REQUEST_MS};
    if (s->n == SONA_HTTP_CONNECTIONS_MAX) {
        sona_sidecar_voice_speak(s->voice);
        (void)evconnlistener_disable(s->listener);
        sona_sidecar_log(SONA_SIDECAR_WARN, "http_no_room", "connections=%u", s->n);
    }
    look_again(s->http);
    return bev;
}

static bool is_closed(struct bufferevent *bev)
{
    bufferevent_event_cb on_event = NULL;

    bufferevent_getcb(bev, NULL, NULL, &on_event, NULL);
    return on_event == NULL;
}

/* Forget those that evhttp closed, and end those whose time is over. */
static void sweep(struct sona_http_server *s, uint64_t now_ms)
{
    bool was_full = s->n == SONA_HTTP_CONNECTIONS_MAX;

    for (uint32_t k = 0; k < s->n; k++) {
        struct bufferevent *bev = s->connection[k].bev;

        if (!is_closed(bev) && now_ms >= s->connection[k].deadline_ms)
            bufferevent_trigger_event(bev, BEV_EVENT_READING | BEV_EVENT_TIMEOUT, 0);
        if (is_closed(bev)) {
            (void)bufferevent_decref(bev);
            s->connection[k--] = s->connection[--s->n];
        }
    }
    if (was_full && s->n < SONA_HTTP_CONNECTIONS_MAX)
        (void)evconnlistener_enable(s->listener);
    if (s->n > 0)
        look_again(s->http);
}

void sona_http_deadline(struct sona_http_server *server, struct evhttp_request *request,
                        uint64_t deadline_ms)
{
    struct evhttp_connection *c = evhttp_request_get_connection(request);
    const struct bufferevent *bev = c ? evhttp_connection_get_bufferevent(c) : NULL;

    for (uint32_t k = 0; k < server->n; k++)
        if (server->connection[k].bev == bev)
            server->connection[k].deadline_ms = deadline_ms;
}

/* ---- requests ---- */

uint32_t sona_http_instances(const struct sona_http_server *server,
                             const struct sona_sidecar *ret[SONA_HTTP_INSTANCES_MAX])
{
    const struct sona_http *http = server->http;
    uint32_t n = 0;

    if (server->sidecar) {
        ret[0] = server->sidecar;
        return 1;
    }
    for (uint32_t k = 0; k < http->n_servers; k++)
        if (http->server[k]->sidecar)
            ret[n++] = http->server[k]->sidecar;
    return n;
}

/* What every server has. False: there is nothing of this name here. */
static bool serve_page(const struct sona_http_server *s, struct evhttp_request *request,
                       const char *path)
{
    static const char *const probes[] = {[SONA_HTTP_LIVEZ] = "/livez",
                                         [SONA_HTTP_READYZ] = "/readyz",
                                         [SONA_HTTP_HEALTHZ] = "/healthz"};
    int probe = 0;

    while (probe <= SONA_HTTP_HEALTHZ && strcmp(path, probes[probe]) != 0)
        probe++;
    if (probe > SONA_HTTP_HEALTHZ && strcmp(path, "/metrics") != 0)
        return false;
    if (evhttp_request_get_command(request) != EVHTTP_REQ_GET)
        sona_http_reply_method(request, "GET");
    else if (probe <= SONA_HTTP_HEALTHZ)
        sona_http_probe(s, request, (enum sona_http_probe)probe);
    else
        sona_http_metrics(s, request);
    return true;
}

static void on_request(struct evhttp_request *request, void *arg)
{
    struct sona_http_server *s = arg;
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));

    sona_sidecar_voice_speak(s->voice);
    sona_http_deadline(s, request, sona_sidecar_now_ms() + SONA_HTTP_REPLY_MS);
    if (!sona_http_admit(s, request))
        return;
    bool file = s->sidecar && path && sona_http_takes_file(path);
    if (!file &&
        evbuffer_get_length(evhttp_request_get_input_buffer(request)) > SONA_HTTP_BODY_BYTES)
        sona_http_reply_refusal(request, 413, SONA_E_LIMIT,
                                "a body has at most %u bytes; send the arguments alone",
                                SONA_HTTP_BODY_BYTES);
    else if (path && serve_page(s, request, path))
        return;
    else if (path && s->sidecar && strncmp(path, "/v1", 3) == 0)
        sona_http_control(s, request, path);
    else
        sona_http_reply_refusal(
            request, 404, SONA_E_ABSENT,
            s->sidecar
                ? "there is nothing here; ask /v1, /metrics, /livez, /readyz or /healthz"
                : "there is nothing here; ask /metrics, /livez, /readyz or /healthz, and all "
                  "else at the control socket (sonactl)");
}

/* ---- servers ---- */

static void close_server(struct sona_http_server *s)
{
    struct sona_http *http = s->http;

    for (uint32_t k = 0; k < http->n_servers; k++)
        if (http->server[k] == s)
            http->server[k--] = http->server[--http->n_servers];
    if (s->evhttp)
        evhttp_free(s->evhttp); /* and its listener and connections */
    for (uint32_t k = 0; k < s->n; k++)
        (void)bufferevent_decref(s->connection[k].bev);
    free(s);
}

/* `fd` stays the caller's when `sidecar` is not null. */
static sona_err open_server(struct sona_http *http, struct sona_sidecar *sidecar, int fd,
                            sona_diag *reterr)
{
    unsigned flags = LEV_OPT_CLOSE_ON_EXEC | (sidecar ? 0 : LEV_OPT_CLOSE_ON_FREE);
    struct sona_http_server *s = calloc(1, sizeof *s);

    if (s) {
        s->http = http;
        s->sidecar = sidecar;
        s->evhttp = evhttp_new(http->base);
        s->listener = evconnlistener_new(http->base, NULL, NULL, flags, 0, fd);
    }
    if (!s || !s->evhttp || !s->listener || !evhttp_bind_listener(s->evhttp, s->listener)) {
        if (s && s->listener)
            evconnlistener_free(s->listener);
        else if (!sidecar)
            (void)close(fd);
        if (s)
            close_server(s);
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, errno, "no memory for the HTTP server");
    }
    evhttp_set_bevcb(s->evhttp, on_accept, s);
    evhttp_set_gencb(s->evhttp, on_request, s);
    evhttp_set_max_headers_size(s->evhttp, SONA_HTTP_HEAD_BYTES);
    evhttp_set_max_body_size(s->evhttp, sidecar ? SONA_HTTP_FILE_BYTES : SONA_HTTP_BODY_LIMIT);
    /* Every method: one that is not allowed has its answer from us, with the remedy. */
    evhttp_set_allowed_methods(s->evhttp, UINT16_MAX);
    http->server[http->n_servers++] = s;
    return SONA_OK;
}

static sona_err open_port(struct sona_http *http, uint16_t port, sona_diag *reterr)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fd, BACKLOG) != 0) {
        (void)sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno,
                                "cannot listen on 127.0.0.1:%u; free it, or choose another "
                                "http.listen_port",
                                port);
        if (fd >= 0)
            (void)close(fd);
        return SONA_E_SYSTEM;
    }
    http->port = port;
    return open_server(http, NULL, fd, reterr);
}

/* ---- instances come and go ---- */

static void join(struct sona_http *http, struct sona_http_order *o)
{
    if (http->n_servers > SONA_HTTP_INSTANCES_MAX - 1) {
        o->err = sona_shm_diag_set(o->diag, SONA_E_LIMIT, 0,
                                   "one sidecar serves at most %u instances; start another",
                                   SONA_HTTP_INSTANCES_MAX - 1);
        return;
    }
    o->err = open_server(http, o->sidecar, o->sidecar->instance.control_fd, o->diag);
    if (o->err == SONA_OK)
        http->server[http->n_servers - 1]->voice = o->voice;
}

static void leave(struct sona_http *http, const struct sona_sidecar *sidecar)
{
    for (uint32_t k = 0; k < http->n_servers; k++) {
        struct sona_http_server *s = http->server[k];

        if (s->sidecar != sidecar)
            continue;
        sona_http_commands_end(http, s);
        (void)event_base_loop(http->base, EVLOOP_NONBLOCK); /* what was said last goes out */
        close_server(s);
        return;
    }
}

static void obey(struct sona_http *http)
{
    (void)pthread_mutex_lock(&http->lock);
    struct sona_http_order *o = http->order;
    if (o && !o->done) {
        if (o->joins)
            join(http, o);
        else
            leave(http, o->sidecar);
        o->done = true;
        (void)pthread_cond_broadcast(&http->told);
    }
    (void)pthread_mutex_unlock(&http->lock);
}

/* Give an order, and wait until it is obeyed. */
static void give(struct sona_http *http, struct sona_http_order *order)
{
    (void)pthread_mutex_lock(&http->lock);
    while (http->order)
        (void)pthread_cond_wait(&http->told, &http->lock);
    http->order = order;
    (void)eventfd_write(http->desk.fd, 1);
    while (!order->done)
        (void)pthread_cond_wait(&http->told, &http->lock);
    http->order = NULL;
    (void)pthread_cond_broadcast(&http->told);
    (void)pthread_mutex_unlock(&http->lock);
}

sona_err sona_http_join(struct sona_http *http, struct sona_sidecar *sidecar, sona_diag *reterr)
{
    struct sona_http_order order = {
        .sidecar = sidecar, .voice = sona_sidecar_voice_current(), .joins = true, .diag = reterr};

    give(http, &order);
    return order.err;
}

void sona_http_leave(struct sona_http *http, struct sona_sidecar *sidecar)
{
    struct sona_http_order order = {.sidecar = sidecar};

    give(http, &order);
}

/* ---- the thread ---- */

static void on_woken(evutil_socket_t fd, short what, void *arg)
{
    eventfd_t count;

    (void)what;
    (void)eventfd_read((int)fd, &count);
    sona_http_commands_answer(arg);
}

/* Servers are swapped and closed between two rounds alone. */
static void one_round(struct sona_http *http)
{
    (void)event_base_loop(http->base, EVLOOP_ONCE);
    uint64_t now_ms = sona_sidecar_now_ms();
    sona_http_commands_expire(http, now_ms);
    for (uint32_t k = 0; k < http->n_servers; k++)
        sweep(http->server[k], now_ms);
    obey(http);
}

static void *http_loop(void *arg)
{
    struct sona_http *http = arg;

    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICENESS); /* of this thread */
    sona_sidecar_version_enter();
    http->pulse = sona_sidecar_pulse_begin("http");
    while (!atomic_load_explicit(&http->stopping, memory_order_relaxed))
        one_round(http);
    sona_sidecar_pulse_end(http->pulse);
    sona_sidecar_version_leave();
    return NULL;
}

sona_err sona_http_create(struct sona_http **ret, const struct sona_http_options *options,
                          sona_diag *reterr)
{
    static const struct timeval beat = {.tv_usec = SONA_SIDECAR_HEARTBEAT_MS * 1000};
    struct sona_http *http = calloc(1, sizeof *http);
    sona_err err = SONA_OK;

    if (!http)
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, errno, "no memory for the HTTP server");
    (void)pthread_mutex_init(&http->lock, NULL);
    (void)pthread_cond_init(&http->told, NULL);
    sona_sidecar_commands_init(&http->desk.answered);
    http->desk.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    http->base = event_base_new();
    if (http->base) {
        http->woken = event_new(http->base, http->desk.fd, EV_READ | EV_PERSIST, on_woken, http);
        http->tick = event_new(http->base, -1, 0, on_tick, http);
        http->beat = event_new(http->base, -1, EV_PERSIST, on_beat, http);
    }
    if (http->desk.fd < 0 || !http->woken || !http->tick || !http->beat ||
        event_add(http->woken, NULL) != 0 || event_add(http->beat, &beat) != 0)
        err = sona_shm_diag_set(reterr, SONA_E_MEMORY, errno, "cannot make the HTTP loop");
    if (err == SONA_OK && options->port != 0)
        err = sona_http_token_read(options->token_file, http->token, reterr);
    if (err == SONA_OK && options->port != 0)
        err = open_port(http, (uint16_t)options->port, reterr);
    if (err == SONA_OK) {
        int rc = sona_sidecar_thread_create(&http->thread, "sona-http", http_loop, http);

        http->started = rc == 0;
        if (rc != 0)
            err = sona_shm_diag_set(reterr, SONA_E_SYSTEM, rc, "cannot start the HTTP thread");
    }
    if (err != SONA_OK) {
        sona_http_destroy(&http);
        return err;
    }
    *ret = http;
    return SONA_OK;
}

void sona_http_destroy(struct sona_http **http)
{
    struct sona_http *h = *http;

    if (!h)
        return;
    if (h->started) {
        atomic_store_explicit(&h->stopping, true, memory_order_relaxed);
        (void)eventfd_write(h->desk.fd, 1);
        (void)pthread_join(h->thread, NULL);
    }
    while (h->n_servers > 0)
        close_server(h->server[0]);
    if (h->woken)
        event_free(h->woken);
    if (h->tick)
        event_free(h->tick);
    if (h->beat)
        event_free(h->beat);
    if (h->base)
        event_base_free(h->base);
    if (h->desk.fd >= 0)
        (void)close(h->desk.fd);
    sona_sidecar_commands_done(&h->desk.answered);
    (void)pthread_cond_destroy(&h->told);
    (void)pthread_mutex_destroy(&h->lock);
    explicit_bzero(h->token, sizeof h->token);
    free(h);
    *http = NULL;
}
