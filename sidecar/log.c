/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * See log.h. The voice of the process is global: stderr is, too.
 *
 * Which quotes of a line are ours? Those of the format. They are marked before the values are put
 * in, so that a quote, a backslash or a line end in a value can be escaped afterwards, and no value
 * can end its own quotes and go on with keys of its own.
 */
#include "sidecar/log.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <sona/client.h>

#include "sidecar/events.h"

#define LINE_BYTES   896
#define TEXT_BYTES   (LINE_BYTES - 288) /* the rest holds a name, too */
#define FORMAT_BYTES 512
#define MARK         '\x01' /* a quote of the format */

#define NAME(name, level, help) #name,
static const char *const names[] = {SONA_SIDECAR_EVENTS(NAME)};
#undef NAME
#define EVENTS (sizeof names / sizeof names[0])

struct rate {
    time_t second;
    uint32_t lines, left_out;
};

struct kept {
    uint64_t count;
    char text[sizeof((struct sona_shm_counters *)0)->error[0].text];
};

struct sona_sidecar_voice {
    char instance[SONA_INSTANCE_NAME_MAX]; /* "": the process */
    _Atomic int written_from;      /* enum sona_sidecar_level; relaxed: a line more or less */
    pthread_mutex_t lock;          /* of the two tables */
    struct rate rates[EVENTS + 1]; /* the last: names that are not in the table */
    struct kept kept[SONA_SHM_ERRORS_MAX];
};

static struct sona_sidecar_voice process = {.lock = PTHREAD_MUTEX_INITIALIZER};
static _Thread_local struct sona_sidecar_voice *own; /* null: the process */
static bool to_journal;                              /* written before there are threads */

static struct sona_sidecar_voice *own_voice(void)
{
    return own ? own : &process;
}

static struct rate *rate_of(struct sona_sidecar_voice *v, const char *event)
{
    size_t i = 0;

    while (i < EVENTS && strcmp(names[i], event) != 0)
        i++;
    return &v->rates[i];
}

/* True when a line of this event may be written now; *left_out: how many were not. */
static bool admitted(struct sona_sidecar_voice *v, const char *event, time_t second,
                     uint32_t *left_out)
{
    struct rate *rate = rate_of(v, event);

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
static void keep(struct sona_sidecar_voice *v, const char *event, const char *text)
{
    struct kept *kept = v->kept, *place = kept;
    char whole[sizeof kept[0].text];

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

/* ---- one line ---- */

static uint32_t count_of(const char *text, char what)
{
    uint32_t n = 0;

    for (; *text; text++)
        n += *text == what;
    return n;
}

/* Values into text: the quotes of the format become quotes, those of a value are escaped. A line
 * that is too long ends within its last value, and the quote is closed. */
static void escape(char ret[TEXT_BYTES], const char *text, bool structured)
{
    bool inside = !structured;
    size_t n = 0;

    if (!structured)
        n = (size_t)snprintf(ret, TEXT_BYTES, "text=\"");
    for (; *text && n < TEXT_BYTES - 3; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == MARK && structured) {
            inside = !inside;
            ret[n++] = '"';
        } else if (c == '"' || c == '\\' || c == '\n') {
            ret[n++] = '\\';
            ret[n++] = c == '\n' ? 'n' : (char)c;
        } else {
            ret[n++] = c < ' ' || c == 0x7f ? ' ' : (char)c;
        }
    }
    if (inside)
        ret[n++] = '"';
    ret[n] = '\0';
}

__attribute__((format(printf, 2, 0))) static void format_text(char ret[TEXT_BYTES],
                                                              const char *format, va_list args)
{
    char marked[FORMAT_BYTES], text[TEXT_BYTES];

    assert(strlen(format) < sizeof marked);
    (void)snprintf(marked, sizeof marked, "%s", format);
    for (char *c = marked; *c; c++)
        if (*c == '"')
            *c = MARK;
    (void)vsnprintf(text, sizeof text, marked, args);
    /* A value with the mark in it would pass for structure: then nothing does. */
    escape(ret, text, count_of(text, MARK) <= count_of(marked, MARK));
}

const char *sona_sidecar_log_priority(enum sona_sidecar_level level)
{
    static const char *const priorities[] = {"<6>", "<4>", "<3>"}; /* sd-daemon(3) */

    return to_journal ? priorities[level] : "";
}

/* One write, so that lines of two threads do not mix; a full disk stops nothing. */
static void write_line(const struct sona_sidecar_voice *v, enum sona_sidecar_level level,
                       const struct timespec *now, const char *event, const char *text)
{
    static const char *const words[] = {"info", "warn", "error"};
    char line[LINE_BYTES], stamp[32];
    struct tm utc;

    (void)gmtime_r(&now->tv_sec, &utc);
    (void)strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    int n = snprintf(line, sizeof line, "%sts=%s.%03dZ level=%s%s%s event=%s%s%s\n",
                     sona_sidecar_log_priority(level), stamp, (int)(now->tv_nsec / 1000000),
                     words[level], v->instance[0] ? " instance=" : "", v->instance, event,
                     text[0] ? " " : "", text);
    if (n > 0)
        (void)!write(STDERR_FILENO, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

/* ---- what others call ---- */

bool sona_sidecar_log_is_journal(const char *stream, int fd)
{
    uint64_t device, inode;
    struct stat st;

    return stream && sscanf(stream, "%" SCNu64 ":%" SCNu64, &device, &inode) == 2 &&
           fstat(fd, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void sona_sidecar_log_open(void)
{
    to_journal = sona_sidecar_log_is_journal(getenv("JOURNAL_STREAM"), STDERR_FILENO);
}

struct sona_sidecar_voice *sona_sidecar_voice_make(const char *instance)
{
    struct sona_sidecar_voice *v = calloc(1, sizeof *v);

    if (!v)
        return NULL;
    (void)snprintf(v->instance, sizeof v->instance, "%s", instance);
    (void)pthread_mutex_init(&v->lock, NULL);
    return v;
}

void sona_sidecar_voice_free(struct sona_sidecar_voice **voice)
{
    if (*voice)
        (void)pthread_mutex_destroy(&(*voice)->lock);
    free(*voice);
    *voice = NULL;
}

void sona_sidecar_voice_speak(struct sona_sidecar_voice *voice)
{
    own = voice;
}

struct sona_sidecar_voice *sona_sidecar_voice_current(void)
{
    return own;
}

const char *sona_sidecar_voice_instance(void)
{
    return own_voice()->instance;
}

void sona_sidecar_log_level(enum sona_sidecar_level level)
{
    atomic_store_explicit(&own_voice()->written_from, (int)level, memory_order_relaxed);
}

void sona_sidecar_log(enum sona_sidecar_level level, const char *event, const char *format, ...)
{
    struct sona_sidecar_voice *v = own_voice();
    char text[TEXT_BYTES + 32];
    uint32_t left_out = 0;
    struct timespec now;
    va_list args;

    va_start(args, format);
    format_text(text, format, args);
    va_end(args);
    (void)clock_gettime(CLOCK_REALTIME, &now);

    (void)pthread_mutex_lock(&v->lock);
    bool write_it = (int)level >= atomic_load_explicit(&v->written_from, memory_order_relaxed) &&
                    admitted(v, event, now.tv_sec, &left_out);
    if (level != SONA_SIDECAR_INFO)
        keep(v, event, text);
    (void)pthread_mutex_unlock(&v->lock);
    if (!write_it)
        return;
    if (left_out > 0)
        (void)snprintf(text + strlen(text), 32, " left_out=%" PRIu32, left_out);
    write_line(v, level, &now, event, text);
}

void sona_sidecar_log_settle(void)
{
    struct sona_sidecar_voice *v = own_voice();
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    for (size_t i = 0; i <= EVENTS; i++) {
        char text[96];

        (void)pthread_mutex_lock(&v->lock);
        uint32_t count = v->rates[i].second != now.tv_sec ? v->rates[i].left_out : 0;
        if (count > 0)
            v->rates[i].left_out = 0;
        (void)pthread_mutex_unlock(&v->lock);
        if (count == 0)
            continue;
        (void)snprintf(text, sizeof text, "of=%s count=%" PRIu32, i < EVENTS ? names[i] : "others",
                       count);
        write_line(v, SONA_SIDECAR_WARN, &now, "left_out", text);
    }
}

void sona_sidecar_log_keep(struct sona_shm_counters *page)
{
    struct sona_sidecar_voice *v = own_voice();
    const struct kept *kept = v->kept;

    (void)pthread_mutex_lock(&v->lock);
    for (size_t i = 0; i < SONA_SHM_ERRORS_MAX; i++) {
        if (kept[i].count == 0)
            continue;
        memcpy(page->error[i].text, kept[i].text, sizeof kept[i].text);
        /* Release: who sees the count sees the text, or, where it was replaced, a newer one. */
        atomic_store_explicit(&page->error[i].count, kept[i].count, memory_order_release);
    }
    (void)pthread_mutex_unlock(&v->lock);
}
