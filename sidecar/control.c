/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * See control.h. A connection begins without an attachment; HELLO gives it one, and its hang-up or
 * its peer's death ends that.
 *
 *     accepted ──HELLO──► attached ──hang-up or death──► closed; the attachment goes on to the
 *         │                  ▲                           intake, which gives it back when all is
 *         │     challenged ──┘ ANSWER                    learned
 *         └─HELLO─► │
 *                   └──or before: silence, nonsense, refusal──► closed
 */
#include "sidecar/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "shm/diag.h"
#include "shm/fault.h"
#include "shm/wire.h"
#include "sidecar/clock.h"
#include "sidecar/log.h"
#include "sidecar/pulse.h"
#include "sidecar/reload.h"
#include "sidecar/report.h"
#include "sidecar/sidecar.h"

#define CONNECTIONS_MAX (SONA_SHM_CLIENTS_MAX + 64u) /* clients, and those that try */
#define REFUSALS_MAX    64u                          /* beyond them, until they are told so */
#define PACKET_BYTES    4096u                        /* room for the HELLO of a later version */

struct control;

static const struct timeval silence = {.tv_sec = SONA_SIDECAR_SILENCE_MS / 1000,
                                       .tv_usec = SONA_SIDECAR_SILENCE_MS % 1000 * 1000};

struct connection {
    struct control *control;
    int fd;
    struct sona_sidecar_peer peer;
    struct sona_sidecar_attachment *attachment; /* null: none (yet) */
    sona_diag refusal; /* code not SONA_OK: its first packet is read, then this is the answer */
    struct sona_wire_hello hello; /* while it is challenged, */
    int old_fd;                   /* with the lanes that it hands back; -1: none */
    struct event *readable, *death;
    struct connection *next, **link; /* link: what points here */
};

struct control {
    struct sona_sidecar *sidecar;
    struct event_base *base;
    struct connection *connections;
    uint32_t n_connections;
    struct event *listen;
    struct sona_sidecar_orders *orders;
    struct sona_sidecar_reload reload;
    struct sona_sidecar_pulse *pulse;
    bool deaf; /* no connection is accepted; the backlog waits */
};

/* ---- connections ---- */

static void close_connection(struct connection *c)
{
    if (c->readable)
        event_free(c->readable);
    if (c->death)
        event_free(c->death);
    if (c->peer.pidfd >= 0)
        (void)close(c->peer.pidfd);
    if (c->old_fd >= 0)
        (void)close(c->old_fd);
    (void)close(c->fd);
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    c->control->n_connections--;
    free(c);
}

/* The client hung up, or its process ended. The intake drains what it committed. */
static void end_connection(struct connection *c, bool dead)
{
    struct sona_sidecar_attachment *a = c->attachment;

    if (a) {
        a->ended_us = sona_sidecar_now_us();
        a->dead = dead;
        sona_sidecar_intake_tell(c->control->sidecar->intake, SONA_SIDECAR_ENDED, a);
        sona_sidecar_roster_show(c->control->sidecar);
    }
    close_connection(c);
}

static void refuse(struct connection *c, const sona_diag *diag)
{
    struct sona_wire_refused packet = {.head.kind = SONA_WIRE_REFUSED, .code = diag->code};

    memcpy(packet.text, diag->text, sizeof packet.text);
    (void)sona_wire_send(c->fd, &packet.head, sizeof packet, NULL, 0, NULL); /* it may be gone */
    sona_sidecar_log(SONA_SIDECAR_WARN, "refused", "pid=%d uid=%u code=%s reason=\"%s\"",
                     (int)c->peer.pid, (unsigned)c->peer.uid, sona_err_name(diag->code),
                     diag->text);
    end_connection(c, false);
}

static void refuse_hello(struct connection *c, const sona_diag *diag)
{
    sona_sidecar_tally_add(&c->control->sidecar->clients.tally, SONA_COUNTER_clients_refused, 1);
    sona_sidecar_roster_show(c->control->sidecar);
    refuse(c, diag);
}

static void on_death(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    end_connection(arg, true);
}

/* ---- packets ---- */

static sona_err welcome(struct connection *c, int lane_fd, sona_diag *reterr)
{
    struct sona_sidecar *s = c->control->sidecar;
    struct sona_shm_live *live = sona_shm_publisher_live(s->publisher);
    const int fds[2] = {sona_shm_publisher_fd(s->publisher), lane_fd};
    struct sona_wire_welcome packet;

    memset(&packet, 0, sizeof packet); /* padding goes over the wire too */
    packet.head.kind = SONA_WIRE_WELCOME;
    packet.segment = *sona_shm_publisher_header(s->publisher);
    /* Relaxed: written before the threads were. */
    packet.incarnation = atomic_load_explicit(&live->incarnation, memory_order_relaxed);
    packet.lanes = c->attachment->n_lanes;
    packet.tag = c->attachment->tag;
    return sona_wire_send(c->fd, &packet.head, sizeof packet, fds, lane_fd < 0 ? 1 : 2, reterr);
}

/* It is known who says `hello`. old_fd: the lanes that it hands back, or -1; the caller's. */
static void attach(struct connection *c, const struct sona_wire_hello *hello, int old_fd)
{
    struct sona_sidecar *s = c->control->sidecar;
    int lane_fd = -1;
    sona_diag diag;

    sona_err err = sona_sidecar_clients_attach(&s->clients, &c->peer, hello, old_fd, &c->attachment,
                                               &lane_fd, &diag);
    if (err != SONA_OK) {
        refuse_hello(c, &diag);
        return;
    }
    /* The intake first: once the client has its answer, an outcome may name its decisions. */
    sona_sidecar_intake_tell(s->intake, SONA_SIDECAR_ATTACHED, c->attachment);
    SONA_FAULT(handback_watched);
    sona_sidecar_roster_show(s); /* and whoever asks knows of it, once it has */
    err = welcome(c, lane_fd, &diag);
    if (lane_fd >= 0)
        (void)close(lane_fd);
    SONA_FAULT(handback_answered);
    if (err != SONA_OK) {
        end_connection(c, false);
        return;
    }
    (void)event_del(c->readable);
    (void)event_add(c->readable, NULL); /* from now on it may be silent */
    if (c->peer.pidfd >= 0) {
        c->death = event_new(c->control->base, c->peer.pidfd, EV_READ, on_death, c);
        if (c->death)
            (void)event_add(c->death, NULL);
    }
    sona_sidecar_log(SONA_SIDECAR_INFO, "client_attached",
                     "pid=%d uid=%u lanes=%u tag=%u by=%s handed_back=%d", (int)c->peer.pid,
                     (unsigned)c->peer.uid, c->attachment->n_lanes, c->attachment->tag,
                     sona_sidecar_liveness_name(c->peer.liveness), c->attachment->came_back);
}

/* *old_fd is taken, and then -1, by a connection that has to answer first. */
static void on_hello(struct connection *c, const struct sona_wire_hello *hello,
                     const struct sona_wire_sender *sender, int *old_fd)
{
    sona_diag diag;
    sona_err err =
        sona_sidecar_peer_challenge(c->fd, &c->peer, hello->head.abi_minor, sender, &diag);

    if (err != SONA_OK) {
        refuse_hello(c, &diag);
    } else if (c->peer.challenged) {
        c->hello = *hello;
        c->old_fd = *old_fd;
        *old_fd = -1;
    } else {
        attach(c, hello, *old_fd);
    }
}

static void on_answer(struct connection *c, const struct sona_wire_challenge *answer,
                      const struct sona_wire_sender *sender)
{
    int old_fd = c->old_fd; /* the connection may be gone when the lanes are taken */
    sona_diag diag;

    c->old_fd = -1;
    if (sona_sidecar_peer_judge(&c->peer, answer, sender, &diag) == SONA_OK)
        attach(c, &c->hello, old_fd);
    else
        refuse_hello(c, &diag);
    if (old_fd >= 0)
        (void)close(old_fd);
}

/* Other options, unless those before are still being taken over. */
static void take_options(struct control *control)
{
    if (control->reload.wanted)
        return;
    struct sona_sidecar_options *wanted =
        atomic_exchange_explicit(&control->orders->wanted, NULL, memory_order_acq_rel);
    if (wanted)
        sona_sidecar_reload_begin(&control->reload, control->sidecar, wanted);
}

union packet {
    struct sona_wire_head head;
    struct sona_wire_hello hello;
    struct sona_wire_challenge answer;
    char room[PACKET_BYTES];
};

/* Is this packet one that we can answer? Only a HELLO brings a descriptor. */
static sona_err judge_packet(const struct connection *c, const struct sona_wire_head *head,
                             size_t bytes, int n_fds, sona_diag *reterr)
{
    if (head->abi_major != SONA_ABI_MAJOR)
        return sona_shm_diag_set(reterr, SONA_E_ABI, 0,
                                 "the peer speaks ABI %u.%u and this sidecar %u.%u; upgrade the "
                                 "older of the two",
                                 head->abi_major, head->abi_minor, SONA_ABI_MAJOR, SONA_ABI_MINOR);
    if (n_fds > (head->kind == SONA_WIRE_HELLO ? 1 : 0))
        return sona_shm_diag_set(reterr, SONA_E_FORMAT, 0,
                                 "a packet carries more descriptors than expected; it was refused");
    if (head->kind == SONA_WIRE_HELLO && bytes == sizeof(struct sona_wire_hello) &&
        !c->attachment && !c->peer.challenged)
        return SONA_OK;
    if (head->kind == SONA_WIRE_ANSWER && bytes == sizeof(struct sona_wire_challenge) &&
        c->peer.challenged)
        return SONA_OK;
    return sona_shm_diag_set(reterr, SONA_E_FORMAT, 0,
                             "a packet of kind %u and %zu bytes makes no sense here; use a client "
                             "of this sidecar's version",
                             head->kind, bytes);
}

static void on_packet(struct connection *c)
{
    union packet packet;
    int fds[SONA_WIRE_FDS_MAX] = {-1, -1}, n_fds = 0;
    struct sona_wire_sender sender;
    size_t bytes = 0;
    sona_diag diag;
    packet.head.kind = 0;
    sona_err err = sona_wire_receive_from(c->fd, &packet, sizeof packet, 0, &bytes, fds, &n_fds,
                                          &sender, &diag);
    if (err == SONA_E_TIMEOUT)
        return; /* woken for nothing */
    if (err == SONA_OK && bytes == 0) {
        end_connection(c, false);
        return;
    }
    if (c->refusal.code != SONA_OK) {
        err = c->refusal.code;
        diag = c->refusal;
    }
    if (err == SONA_OK)
        err = judge_packet(c, &packet.head, bytes, n_fds, &diag);
    if (err == SONA_OK && packet.head.kind == SONA_WIRE_ANSWER) {
        on_answer(c, &packet.answer, &sender);
    } else if (err == SONA_OK) {
        if (n_fds > 0)
            SONA_FAULT(handback_received);
        on_hello(c, &packet.hello, &sender, &fds[0]);
    } else if (c->attachment) {
        refuse(c, &diag);
    } else {
        refuse_hello(c, &diag);
    }
    for (int i = 0; i < n_fds; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    if (what & EV_TIMEOUT)
        end_connection(arg, false);
    else
        on_packet(arg);
}

/* Too many connections, or out of descriptors or memory: whoever connects waits in the backlog
 * until the next heartbeat. Looking again at once would use up a core. */
static void deafen(struct control *control)
{
    control->deaf = true;
    (void)event_del(control->listen);
    sona_sidecar_log(SONA_SIDECAR_WARN, "no_room", "connections=%u", control->n_connections);
}

static void on_connect(evutil_socket_t listen_fd, short what, void *arg)
{
    struct control *control = arg;

    (void)what;
    bool full = control->n_connections >= CONNECTIONS_MAX + REFUSALS_MAX;
    int fd = full ? -1 : accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct connection *c = fd < 0 ? NULL : calloc(1, sizeof *c);
    if (!c) {
        if (fd >= 0)
            (void)close(fd);
        if (full || errno != EAGAIN)
            deafen(control);
        return;
    }
    *c = (struct connection){
        .control = control, .fd = fd, .next = control->connections, .link = &control->connections};
    c->peer.pidfd = c->old_fd = -1;
    if (c->next)
        c->next->link = &c->next;
    control->connections = c;
    control->n_connections++;
    /* Refused after its packet was read: an answer before it would be lost with the connection. */
    if (sona_sidecar_peer_identify(fd, control->sidecar->options->group, &c->peer, &c->refusal) ==
            SONA_OK &&
        control->n_connections > CONNECTIONS_MAX)
        (void)sona_shm_diag_set(&c->refusal, SONA_E_LIMIT, 0,
                                "this sidecar has %u connections; close one", CONNECTIONS_MAX);
    c->readable = event_new(control->base, fd, EV_READ | EV_PERSIST, on_readable, c);
    if (!c->readable || event_add(c->readable, &silence) != 0)
        close_connection(c); /* out of memory */
}

/* ---- the rest of the loop ---- */

/* The intake gave attachments back, drained and learned, or the learner took over a change. */
static void on_gone(evutil_socket_t fd, short what, void *arg)
{
    struct control *control = arg;
    struct sona_sidecar_attachment *a;
    struct sona_sidecar_command command;
    eventfd_t count;

    (void)what;
    (void)eventfd_read((int)fd, &count);
    while ((a = sona_sidecar_intake_gone(control->sidecar->intake)))
        sona_sidecar_clients_free(&control->sidecar->clients, a, true);
    sona_sidecar_roster_show(control->sidecar);
    while (sona_sidecar_commands_take(&control->sidecar->desk.answered, &command))
        if (command.change) {
            sona_sidecar_reload_done(&control->reload, control->sidecar, &command);
            take_options(control);
        }
}

static void on_heartbeat(evutil_socket_t fd, short what, void *arg)
{
    struct control *control = arg;
    struct sona_shm_live *live = sona_shm_publisher_live(control->sidecar->publisher);

    (void)fd;
    (void)what;
    sona_sidecar_pulse_beat(control->pulse);
    /* Relaxed: clients look whether it moves. */
    (void)atomic_fetch_add_explicit(&live->heartbeat, 1, memory_order_relaxed);
    atomic_store_explicit(&control->sidecar->beat_ms, sona_sidecar_now_ms(), memory_order_relaxed);
    sona_sidecar_roster_show(control->sidecar);
    sona_sidecar_report_page(control->sidecar);
    sona_sidecar_log_settle();
    sona_sidecar_log_keep(sona_shm_publisher_counters(control->sidecar->publisher));
    sona_sidecar_remember(control->sidecar);
    if (control->deaf) {
        control->deaf = false;
        (void)event_add(control->listen, NULL);
    }
}

static void on_orders(evutil_socket_t fd, short what, void *arg)
{
    struct control *control = arg;
    eventfd_t count;

    (void)what;
    (void)eventfd_read((int)fd, &count);
    if (atomic_load_explicit(&control->orders->stop, memory_order_acquire))
        (void)event_base_loopbreak(control->base);
    else
        take_options(control);
}

/* What the loop looks at from the beginning. */
enum { LISTEN, GONE, HEARTBEAT, ORDERS, EVENTS };

static sona_err add_events(struct control *control, struct event *events[EVENTS], sona_diag *reterr)
{
    static const struct timeval beat = {.tv_usec = SONA_SIDECAR_HEARTBEAT_MS * 1000};
    struct sona_sidecar *s = control->sidecar;
    struct event_base *b = control->base;

    events[LISTEN] = event_new(b, s->instance.listen_fd, EV_READ | EV_PERSIST, on_connect, control);
    control->listen = events[LISTEN];
    events[GONE] = event_new(b, s->desk.fd, EV_READ | EV_PERSIST, on_gone, control);
    events[HEARTBEAT] = event_new(b, -1, EV_PERSIST, on_heartbeat, control);
    events[ORDERS] = event_new(b, control->orders->fd, EV_READ | EV_PERSIST, on_orders, control);
    for (int e = 0; e < EVENTS; e++)
        if (!events[e] || event_add(events[e], e == HEARTBEAT ? &beat : NULL) != 0)
            return sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno, "cannot set up the event loop");
    return SONA_OK;
}

static void say_ready(const struct sona_sidecar *s)
{
    const struct sona_shm_header *h = sona_shm_publisher_header(s->publisher);
    const struct sona_sidecar_version *v = sona_sidecar_version_read(&s->versions);
    uint32_t n_routes = 0;

    for (uint32_t k = 0; k < v->n_routes; k++)
        n_routes += v->route[k].state == SONA_ROUTE_ENABLED;
    sona_sidecar_version_unread();
    sona_sidecar_log(SONA_SIDECAR_INFO, "ready",
                     "pid=%d version=%s socket=%s segment_bytes=%llu generation=%llu dim=%u "
                     "routes=%u",
                     (int)getpid(), sona_version(), s->instance.socket_path,
                     (unsigned long long)h->total_bytes, (unsigned long long)h->generation,
                     h->geometry.dim, n_routes);
}

/* A stop, in order. The last look at the clients is before their connections are closed: what they
 * hold undrained then, they count themselves. */
static void stop(struct control *control)
{
    struct sona_sidecar *s = control->sidecar;
    const struct sona_sidecar_intake_figures *figures = sona_sidecar_intake_figures(s->intake);
    uint64_t start_us = sona_sidecar_now_us();
    /* Relaxed: a figure for people. */
    uint64_t taken = atomic_load_explicit(&figures->taken, memory_order_relaxed);
    sona_stats before, after;

    sona_sidecar_report_sum(s, &before);
    sona_sidecar_stop(s);
    sona_sidecar_report_sum(s, &after);
    taken = atomic_load_explicit(&figures->taken, memory_order_relaxed) - taken;
    sona_sidecar_log(SONA_SIDECAR_INFO, "drained", "records=%llu learned=%llu waiting=%llu ms=%llu",
                     (unsigned long long)taken,
                     (unsigned long long)(after.counter[SONA_COUNTER_learned] -
                                          before.counter[SONA_COUNTER_learned]),
                     (unsigned long long)after.pending,
                     (unsigned long long)((sona_sidecar_now_us() - start_us) / 1000));
    sona_sidecar_report_page(s);
    while (control->connections)
        close_connection(control->connections);
    sona_sidecar_reload_close(&control->reload);
}

sona_err sona_sidecar_control_run(struct sona_sidecar *sidecar, struct sona_sidecar_orders *orders,
                                  void (*ready)(void *arg), void *arg, sona_diag *reterr)
{
    struct control control = {.sidecar = sidecar, .orders = orders, .base = event_base_new()};
    struct event *events[EVENTS] = {NULL};

    if (!control.base)
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, errno, "cannot make the event loop");
    sona_err err = add_events(&control, events, reterr);
    if (err == SONA_OK) {
        control.pulse = sona_sidecar_pulse_begin("control");
        say_ready(sidecar);
        ready(arg);
        if (event_base_dispatch(control.base) < 0)
            err = sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno, "the event loop failed");
        sona_sidecar_pulse_end(control.pulse);
        stop(&control);
    }
    for (int e = 0; e < EVENTS; e++)
        if (events[e])
            event_free(events[e]);
    event_base_free(control.base);
    return err;
}
