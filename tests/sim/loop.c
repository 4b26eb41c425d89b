/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The functions of libevent that sidecar/control.c uses, over poll and the clock of the world, with
 * libevent's meaning: a persistent event with a timeout begins it again when it was called, one
 * without EV_PERSIST is called once.
 */
#include <poll.h>
#include <stdlib.h>
#include <sys/time.h>

#include <event2/event.h>

#include "tests/sim/world.h"
#include "tests/sim/wraps.h"

#define EVENTS_MAX 256u
#define NEVER      UINT64_MAX

struct event {
    struct event_base *base;
    int fd;
    short what;
    void (*call)(int fd, short what, void *arg);
    void *arg;
    bool added;
    uint64_t period_ns, due_ns; /* NEVER: no timeout */
};

struct event_base {
    struct event *event[EVENTS_MAX];
    uint32_t n, next; /* next: who is looked at first, so that each has its turn */
    bool stop;
};

struct event_base *__wrap_event_base_new(void)
{
    return calloc(1, sizeof(struct event_base));
}

void __wrap_event_base_free(struct event_base *base)
{
    free(base);
}

struct event *__wrap_event_new(struct event_base *base, int fd, short what,
                               void (*call)(int fd, short what, void *arg), void *arg)
{
    struct event *e = calloc(1, sizeof *e);

    if (!e || base->n == EVENTS_MAX)
        abort();
    *e = (struct event){
        .base = base, .fd = fd, .what = what, .call = call, .arg = arg, .due_ns = NEVER};
    base->event[base->n++] = e;
    return e;
}

void __wrap_event_free(struct event *event)
{
    struct event_base *b = event->base;

    for (uint32_t i = 0; i < b->n; i++)
        if (b->event[i] == event) {
            for (uint32_t k = i + 1; k < b->n; k++)
                b->event[k - 1] = b->event[k];
            b->n--;
            break;
        }
    free(event);
}

int __wrap_event_add(struct event *event, const struct timeval *timeout)
{
    event->added = true;
    event->period_ns = NEVER;
    event->due_ns = NEVER;
    if (timeout) {
        event->period_ns =
            (uint64_t)timeout->tv_sec * 1000000000u + (uint64_t)timeout->tv_usec * 1000u;
        event->due_ns = sim.now_ns + event->period_ns;
    }
    return 0;
}

int __wrap_event_del(struct event *event)
{
    event->added = false;
    return 0;
}

int __wrap_event_base_loopbreak(struct event_base *base)
{
    base->stop = true;
    return 0;
}

/* Why it is to be called now; 0: it is not. */
static short reason(const struct event *e)
{
    struct pollfd p = {.fd = e->fd, .events = POLLIN};

    if (!e->added)
        return 0;
    if (e->fd >= 0 && (e->what & EV_READ) && __real_poll(&p, 1, 0) > 0)
        return EV_READ;
    return sim.now_ns >= e->due_ns ? EV_TIMEOUT : 0;
}

static void call(struct event *e, short why)
{
    if (!(e->what & EV_PERSIST))
        e->added = false;
    else if (e->period_ns != NEVER)
        e->due_ns = sim.now_ns + e->period_ns;
    sim_yield();
    e->call(e->fd, why, e->arg); /* it may be freed in there */
}

int __wrap_event_base_dispatch(struct event_base *base)
{
    while (!base->stop) {
        uint64_t until = NEVER;
        bool called = false;

        for (uint32_t k = 0; k < base->n && !called; k++) {
            struct event *e = base->event[(base->next + k) % base->n];
            short why = reason(e);

            if (why != 0) {
                base->next += k + 1;
                call(e, why);
                called = true;
            } else if (e->added && e->due_ns < until) {
                until = e->due_ns;
            }
        }
        if (!called)
            sim_wait_io(until);
    }
    return 0;
}
