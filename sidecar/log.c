/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See log.h. The only state of the process that is global: stderr is, too. */
#include "sidecar/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 64 /* names with a rate limit of their own; more share the last */
#define LINE_BYTES 768

struct rate {
    const char *event;
    time_t second;
    uint32_t lines, left_out;
};

struct kept {
    uint64_t count;
    char text[sizeof((struct sona_shm_counters *)0)->error[0].text];
};

static _Atomic int written_from; /* enum sona_sidecar_level; relaxed: a line more or less */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the two tables */
static struct rate rates[EVENTS_MAX];
static struct kept kept[SONA_SHM_ERRORS_MAX];

static struct rate *rate_of(const char *event)
{
    for (int i = 0; i < EVENTS_MAX - 1; i++) {
        if (!rates[i].event)
            rates[i].event = event;
        if (strcmp(rates[i].event, event) == 0)
            return &rates[i];
    }
    return &rates[EVENTS_MAX - 1];
}

/* True when a line of this event may be written now; *left_out: how many were not. */
static bool admitted(const char *event, time_t second, uint32_t *left_out)
{
    struct rate *rate = rate_of(event);

    if (rate->second != second) {
        rate->second = second;
        rate->lines = 0;
    }
    if (rate->lines >= SONA_SIDECAR_LOG_BURST && strncmp(event, "config_", 7) != 0) {
        rate->left_out++;
        return false;
    }
    rate->lines++;
    *left_out = rate->left_out;
    rate->left_out = 0;
    return true;
}

/* Count a text, in the place of the rarest when all are taken by others. */
static void keep(const char *event, const char *text)
{
    char whole[sizeof kept[0].text];
    struct kept *place = &kept[0];

    (void)snprintf(whole, sizeof whole, "%.30s %.79s", event, text);
    for (size_t i = 0; i < SONA_SHM_ERRORS_MAX; i++) {
        if (kept[i].count > 0 && strcmp(kept[i].text, whole) == 0) {
            kept[i].count++;
            return;
        }
        if (kept[i].count < place->count)
            place = &kept[i];
    }
    place->count = 1;
    memcpy(place->text, whole, sizeof whole);
}

void sona_sidecar_log_level(enum sona_sidecar_level level)
{
    atomic_store_explicit(&written_from, (int)level, memory_order_relaxed);
}

void sona_sidecar_log(enum sona_sidecar_level level, const char *event, const char *format, ...)
{
    static const char *const names[] = {"info", "warn", "error"};
    char text[LINE_BYTES - 160], line[LINE_BYTES];
    uint32_t left_out = 0;
    struct timespec now;
    struct tm utc;
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (char *c = text; *c; c++)
        if (*c == '\n')
            *c = ' ';
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);

    (void)pthread_mutex_lock(&lock);
    bool write_it = (int)level >= atomic_load_explicit(&written_from, memory_order_relaxed) &&
                    admitted(event, now.tv_sec, &left_out);
    if (level != SONA_SIDECAR_INFO)
        keep(event, text);
    (void)pthread_mutex_unlock(&lock);
    if (!write_it)
        return;

    char stamp[32], more[32] = "";
    (void)strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    if (left_out > 0)
        (void)snprintf(more, sizeof more, " left_out=%u", left_out);
    int n =
        snprintf(line, sizeof line, "ts=%s.%03dZ level=%s event=%s%s%s%s\n", stamp,
                 (int)(now.tv_nsec / 1000000), names[level], event, text[0] ? " " : "", text, more);
    if (n > 0) /* one write, so that lines of two threads do not mix; a full disk stops nothing */
        (void)!write(STDERR_FILENO, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

void sona_sidecar_log_keep(struct sona_shm_counters *page)
{
    (void)pthread_mutex_lock(&lock);
    for (size_t i = 0; i < SONA_SHM_ERRORS_MAX; i++) {
        if (kept[i].count == 0)
            continue;
        memcpy(page->error[i].text, kept[i].text, sizeof kept[i].text);
        /* Release: who sees the count sees the text, or, where it was replaced, a newer one. */
        atomic_store_explicit(&page->error[i].count, kept[i].count, memory_order_release);
    }
    (void)pthread_mutex_unlock(&lock);
}
