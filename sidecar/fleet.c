/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See fleet.h. */
#include "sidecar/fleet.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "shm/diag.h"
#include "sidecar/clock.h"
#include "sidecar/control.h"
#include "sidecar/http/http.h"
#include "sidecar/log.h"
#include "sidecar/service.h"
#include "sidecar/sidecar.h"
#include "sidecar/thread.h"

enum phase { STARTING, SERVING, ENDED };

struct member {
    char name[SONA_INSTANCE_NAME_MAX];
    bool kept;                            /* it has a state directory: a stop forgets nothing */
    bool leaving;                         /* told to stop */
    struct sona_sidecar_options *options; /* its thread's, while it runs */
    struct sona_sidecar_voice *voice;
    struct sona_sidecar_orders orders;
    pthread_t thread;
    int told_fd; /* the fleet's */
    struct sona_http *http;
    /* Release by the thread, acquire by main: ENDED, and all that it wrote is there. */
    _Atomic int phase;
    sona_diag diag; /* with ENDED: SONA_OK, or why */
    struct sona_sidecar sidecar;
    struct member *next;
};

struct fleet {
    struct member *members;
    uint32_t n;
    bool named;    /* the files name the instances */
    bool stopping; /* for good */
    bool ready;    /* that was said */
    int ready_fd, told_fd, signal_fd;
    int status;
    struct sona_http *http;                   /* of all */
    const struct sona_sidecar_places *places; /* null: not confined to any */
};

/* ---- the thread of one ---- */

static void say_serving(void *arg)
{
    struct member *m = arg;

    atomic_store_explicit(&m->phase, SERVING, memory_order_release);
    (void)eventfd_write(m->told_fd, 1);
}

static void *member_main(void *arg)
{
    struct member *m = arg;

    sona_sidecar_voice_speak(m->voice);
    sona_sidecar_log_level((enum sona_sidecar_level)m->options->log_level);
    sona_sidecar_version_enter();
    sona_err err = sona_sidecar_open(&m->sidecar, m->options, &m->diag);
    if (err == SONA_OK) {
        err = sona_sidecar_listen(&m->sidecar, &m->diag);
        if (err == SONA_OK)
            err = sona_http_join(m->http, &m->sidecar, &m->diag);
        if (err == SONA_OK)
            err = sona_sidecar_control_run(&m->sidecar, &m->orders, say_serving, m, &m->diag);
        sona_http_leave(m->http, &m->sidecar);
        sona_sidecar_close(&m->sidecar);
    }
    sona_sidecar_version_leave();
    if (err == SONA_OK) {
        m->diag.code = SONA_OK;
        sona_sidecar_log(SONA_SIDECAR_INFO, "stopped", "%s", "");
    }
    atomic_store_explicit(&m->phase, ENDED, memory_order_release);
    (void)eventfd_write(m->told_fd, 1);
    return NULL;
}

/* ---- the main thread ---- */

static struct member *find(const struct fleet *f, const char *name)
{
    struct member *m = f->members;

    while (m && strcmp(m->name, name) != 0)
        m = m->next;
    return m;
}

static void free_member(struct member *m)
{
    struct sona_sidecar_options *wanted =
        atomic_exchange_explicit(&m->orders.wanted, NULL, memory_order_acq_rel);

    sona_sidecar_options_free(&wanted);
    sona_sidecar_options_free(&m->options);
    sona_sidecar_voice_free(&m->voice);
    if (m->orders.fd >= 0)
        (void)close(m->orders.fd);
    free(m);
}

/* Why there is one less; in the words of a program that ends when it was the last. */
static void tell_failure(struct fleet *f, const char *name, const char *text)
{
    f->status |= f->n == 0 || f->stopping;
    if (f->n > 0 || f->stopping)
        sona_sidecar_log(SONA_SIDECAR_ERROR, "instance_failed", "failed=%s reason=\"%s\"", name,
                         text);
    else if (f->named)
        (void)fprintf(stderr, "%ssona-sidecar: instance %s: %s\n",
                      sona_sidecar_log_priority(SONA_SIDECAR_ERROR), name, text);
    else
        (void)fprintf(stderr, "%ssona-sidecar: %s\n", sona_sidecar_log_priority(SONA_SIDECAR_ERROR),
                      text);
}

/* Start one; the options are its own, or gone. */
static void start(struct fleet *f, struct sona_sidecar_options *options)
{
    struct member *m = calloc(1, sizeof *m);
    char name[SONA_INSTANCE_NAME_MAX];
    int rc = ENOMEM;

    (void)snprintf(name, sizeof name, "%s", options->instance);
    if (m) {
        (void)snprintf(m->name, sizeof m->name, "%s", name);
        m->kept = options->state_dir != NULL;
        m->options = options;
        m->voice = sona_sidecar_voice_make(name);
        m->orders.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        m->told_fd = f->told_fd;
        m->http = f->http;
        rc = !m->voice ? ENOMEM
             : m->orders.fd < 0
                 ? errno
                 : sona_sidecar_thread_create(&m->thread, "sona-control", member_main, m);
    }
    if (rc == 0) {
        m->next = f->members;
        f->members = m;
        f->n++;
        return;
    }
    if (m)
        free_member(m);
    else
        sona_sidecar_options_free(&options);
    tell_failure(f, name, strerror(rc));
}

static void stop_member(struct member *m)
{
    m->leaving = true;
    atomic_store_explicit(&m->orders.stop, true, memory_order_release);
    (void)eventfd_write(m->orders.fd, 1);
}

/* Those that ended leave; returns how many are still starting. */
static uint32_t reap(struct fleet *f)
{
    uint32_t starting = 0;

    for (struct member **link = &f->members; *link;) {
        struct member *m = *link;
        int phase = atomic_load_explicit(&m->phase, memory_order_acquire);

        starting += phase == STARTING;
        if (phase != ENDED) {
            link = &m->next;
            continue;
        }
        (void)pthread_join(m->thread, NULL);
        *link = m->next;
        f->n--;
        if (m->diag.code != SONA_OK)
            tell_failure(f, m->name, m->diag.text);
        free_member(m);
    }
    return starting;
}

static void say_ready(struct fleet *f)
{
    f->ready = true;
    sona_sidecar_service_ready(f->n);
    if (f->ready_fd < 0)
        return;
    (void)!write(f->ready_fd, "READY\n", 6); /* whoever waits sees the end of it otherwise */
    (void)close(f->ready_fd);
    f->ready_fd = -1;
}

/* ---- SIGHUP ---- */

static void tell_mistake(void *arg, const char *where, const char *what)
{
    (void)arg;
    sona_sidecar_log(SONA_SIDECAR_ERROR, "config_mistake", "at=\"%s\" reason=\"%s\"", where, what);
}

static void hand_over(struct member *m, struct sona_sidecar_options *options)
{
    struct sona_sidecar_options *unread =
        atomic_exchange_explicit(&m->orders.wanted, options, memory_order_acq_rel);

    sona_sidecar_options_free(&unread);
    (void)eventfd_write(m->orders.fd, 1);
}

/* One that no file names any more. What it learned must not go with a line. */
static void drop(struct member *m)
{
    if (m->leaving)
        return;
    if (m->kept) {
        sona_sidecar_log(SONA_SIDECAR_INFO, "config_instance_removed",
                         "removed=%s reason=\"it stops; named again, it goes on from its state\"",
                         m->name);
        stop_member(m);
    } else {
        sona_sidecar_log(SONA_SIDECAR_WARN, "config_restart",
                         "key=instances running=\"%s\" wanted=\"none\" reason=\"it has no "
                         "state_dir and would forget everything: it goes on until a restart\"",
                         m->name);
    }
}

static bool is_wanted(const struct sona_sidecar_whole *whole, const char *name)
{
    for (uint32_t i = 0; i < whole->n; i++)
        if (whole->instance[i] && strcmp(whole->instance[i]->instance, name) == 0)
            return true;
    return false;
}

/* A rule of landlock cannot be added later. */
static bool is_out_of_reach(const struct fleet *f, const struct sona_sidecar_options *o)
{
    const char *dir = f->places ? sona_sidecar_places_lack(f->places, o) : NULL;

    if (dir)
        sona_sidecar_log(SONA_SIDECAR_WARN, "config_restart",
                         "key=instances wanted=\"%s\" reason=\"%s is in none of the directories "
                         "that this process kept for itself when it started: restart it\"",
                         o->instance, dir);
    return dir != NULL;
}

/* The options of each to the one that runs under that name; the rest are new. A process of one
 * instance keeps it under another name, too, which takes a restart. */
static void change(struct fleet *f, struct sona_sidecar_whole *whole)
{
    bool one = !f->named && !whole->named;

    for (struct member *m = f->members; m && !one; m = m->next)
        if (!is_wanted(whole, m->name))
            drop(m);
    for (uint32_t i = 0; i < whole->n; i++) {
        struct sona_sidecar_options *o = whole->instance[i];
        struct member *m = one ? f->members : find(f, o->instance);

        if (m && m->leaving) {
            sona_sidecar_log(SONA_SIDECAR_WARN, "config_restart",
                             "key=instances wanted=\"%s\" reason=\"it is about to stop; send "
                             "SIGHUP again when it has\"",
                             m->name);
            continue;
        }
        if (!m && is_out_of_reach(f, o))
            continue;
        whole->instance[i] = NULL;
        if (m) {
            hand_over(m, o);
        } else {
            sona_sidecar_log(SONA_SIDECAR_INFO, "config_instance_added", "added=%s", o->instance);
            start(f, o);
        }
    }
    f->named = whole->named;
}

static void reload(struct fleet *f)
{
    struct sona_sidecar_whole whole;

    sona_sidecar_service_reloading();
    uint32_t mistakes = sona_sidecar_whole_again(&whole, tell_mistake, NULL);

    if (mistakes > 0) {
        sona_sidecar_log(SONA_SIDECAR_ERROR, "config_refused",
                         "mistakes=%u reason=\"the configuration stays what it was\"", mistakes);
    } else {
        sona_sidecar_log_level((enum sona_sidecar_level)whole.common->log_level);
        change(f, &whole);
    }
    sona_sidecar_whole_done(&whole);
    sona_sidecar_service_ready(f->n);
}

/* ---- the loop ---- */

static void on_signal(struct fleet *f)
{
    struct signalfd_siginfo info;

    if (read(f->signal_fd, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    if (info.ssi_signo == SIGHUP) {
        if (!f->stopping)
            reload(f);
        return;
    }
    sona_sidecar_log(SONA_SIDECAR_INFO, "stopping", "signal=%u", info.ssi_signo);
    sona_sidecar_service_stopping();
    f->stopping = true;
    for (struct member *m = f->members; m; m = m->next)
        stop_member(m);
}

static void serve(struct fleet *f)
{
    struct pollfd fds[] = {{.fd = f->signal_fd, .events = POLLIN},
                           {.fd = f->told_fd, .events = POLLIN}};
    eventfd_t count;

    for (;;) {
        uint32_t starting = reap(f);

        if (f->n == 0)
            return;
        if (!f->ready && starting == 0)
            say_ready(f);
        if (poll(fds, 2, sona_sidecar_service_wait_ms()) < 0)
            continue; /* EINTR: of a debugger */
        sona_sidecar_service_beat(sona_sidecar_now_us());
        if (fds[1].revents)
            (void)eventfd_read(f->told_fd, &count);
        if (fds[0].revents)
            on_signal(f);
    }
}

int sona_sidecar_fleet_run(struct sona_sidecar_whole *whole,
                           const struct sona_sidecar_places *places)
{
    struct fleet f = {.named = whole->named, .ready_fd = whole->common->ready_fd, .places = places};
    sigset_t wanted;
    sona_diag diag;
    sona_err err;

    (void)sigemptyset(&wanted);
    (void)sigaddset(&wanted, SIGTERM);
    (void)sigaddset(&wanted, SIGINT);
    (void)sigaddset(&wanted, SIGHUP);
    f.told_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    f.signal_fd = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    if (f.told_fd < 0 || f.signal_fd < 0) {
        (void)fprintf(stderr, "sona-sidecar: cannot wait for signals: %s\n", strerror(errno));
        return 1; /* the process ends, and its descriptors with it */
    }
    err =
        sona_http_create(&f.http,
                         &(struct sona_http_options){.port = whole->common->http_port,
                                                     .token_file = whole->common->token_file_text},
                         &diag);
    if (err != SONA_OK) {
        (void)fprintf(stderr, "sona-sidecar: %s\n", diag.text);
        return 1;
    }
    for (uint32_t i = 0; i < whole->n; i++) {
        start(&f, whole->instance[i]);
        whole->instance[i] = NULL;
    }
    sona_sidecar_service_open();
    serve(&f);
    sona_http_destroy(&f.http);
    sona_sidecar_service_done();
    (void)close(f.told_fd);
    (void)close(f.signal_fd);
    return f.status;
}
