/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See service.h. */
#include "sidecar/service.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sidecar/clock.h"
#include "sidecar/log.h"
#include "sidecar/pulse.h"

#define BEAT_MS 100 /* also where the limit is less than 400 ms, which no unit of ours says */

static struct {
    int fd; /* -1: nobody listens */
    struct sona_sidecar_watchdog watchdog;
    bool held, failed; /* told of, in the log */
} service = {.fd = -1};

/* One datagram. One that is lost is told of once, and costs no more than what the manager then does
 * not know. */
__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    char text[512];
    va_list args;

    if (service.fd < 0)
        return;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    bool sent = n > 0 && (size_t)n < sizeof text &&
                send(service.fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) == n;
    if (!sent && !service.failed)
        sona_sidecar_log(SONA_SIDECAR_WARN, "manager_deaf", "reason=\"%s\"", strerror(errno));
    service.failed = !sent;
}

/* A path, or with '@' a name that is no file. */
static int connect_to(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t n = strlen(name);

    if ((name[0] != '/' && name[0] != '@') || n < 2 || n >= sizeof address.sun_path)
        return -1;
    memcpy(address.sun_path, name, n);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, bytes) != 0) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

/* The limit, if it is meant for this process. */
static uint64_t limit_us(void)
{
    const char *limit = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

    if (!limit || (pid && strtoll(pid, NULL, 10) != (long long)getpid()))
        return 0;
    return strtoull(limit, NULL, 10);
}

void sona_sidecar_service_open(void)
{
    const char *name = getenv("NOTIFY_SOCKET");

    service.fd = name ? connect_to(name) : -1;
    if (name && service.fd < 0)
        sona_sidecar_log(SONA_SIDECAR_WARN, "manager_deaf", "socket=\"%s\" reason=\"%s\"", name,
                         strerror(errno));
    sona_sidecar_watchdog_init(&service.watchdog, service.fd < 0 ? 0 : limit_us(),
                               sona_sidecar_now_us());
}

void sona_sidecar_service_done(void)
{
    if (service.fd >= 0)
        (void)close(service.fd);
    service.fd = -1;
}

void sona_sidecar_service_ready(uint32_t instances)
{
    say("READY=1\nSTATUS=%" PRIu32 " instance%s; clients can attach.", instances,
        instances == 1 ? "" : "s");
}

void sona_sidecar_service_reloading(void)
{
    say("RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=Reading the configuration again.",
        sona_sidecar_now_us());
}

void sona_sidecar_service_stopping(void)
{
    say("STOPPING=1\nSTATUS=Draining what clients committed.");
}

int sona_sidecar_service_wait_ms(void)
{
    return service.watchdog.period_us > 0 ? BEAT_MS : -1;
}

void sona_sidecar_service_beat(uint64_t now_us)
{
    const struct sona_sidecar_watchdog *w = &service.watchdog;
    uint64_t fed_us = w->fed_us;
    const char *whose;

    if (sona_sidecar_watchdog_look(&service.watchdog, now_us)) {
        say("WATCHDOG=1");
        if (service.held)
            sona_sidecar_log(SONA_SIDECAR_WARN, "watchdog_fed", "after_ms=%" PRIu64,
                             (now_us - fed_us) / 1000);
        service.held = false;
    } else if (w->held_by && !service.held) {
        whose = w->held_instance[0] != '\0' ? w->held_instance : "all instances";
        sona_sidecar_log(SONA_SIDECAR_ERROR, "watchdog_held",
                         "held_by=%s of=%s thread=%d since_ms=%" PRIu64
                         " reason=\"it does not go round; unless it does, the service manager ends "
                         "this process after %" PRIu64 " ms\"",
                         w->held_by, w->held_instance[0] != '\0' ? w->held_instance : "all",
                         (int)w->held_thread, (now_us - fed_us) / 1000, w->period_us * 4 / 1000);
        say("STATUS=The %s loop of %s (thread %d) does not go round.", w->held_by, whose,
            (int)w->held_thread);
        service.held = true;
    }
}
