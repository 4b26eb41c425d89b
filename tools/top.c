/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * See top.h. A second is the difference of two looks at the counters: first it becomes one JSON
 * object, which is what --json prints, and then that is laid out.
 */
#include "tools/top.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>
#include <sona/stats.h>

#include "tools/query.h"
#include "tools/stop.h"
#include "tools/terminal.h"

#define INTERVAL_MS 1000
#define DRAW_BEGIN  "\033[?1049h\033[?25l" /* another screen, no cursor */
#define DRAW_END    "\033[?25h\033[?1049l"
#define DRAW_HOME   "\033[H"
#define DRAW_REST   "\033[K\n" /* the rest of an old line is wiped */
#define DRAW_BELOW  "\033[J"

/* One look. */
struct look {
    double at_s;
    json_t *stats, *status; /* null: there was none */
};

static double now_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void forget(struct look *l)
{
    json_decref(l->stats);
    json_decref(l->status);
    l->stats = l->status = NULL;
}

static sona_err ask_one(const struct sona_tools_top *ask, uint32_t what, json_t **ret,
                        sona_diag *reterr)
{
    char *text = NULL;
    sona_err err = sona_tools_query(ask->runtime_dir, ask->instance, what, &text, reterr);

    if (err != SONA_OK)
        return err;
    *ret = json_loads(text, 0, NULL);
    free(text);
    return SONA_OK;
}

static sona_err look(const struct sona_tools_top *ask, struct look *ret, sona_diag *reterr)
{
    *ret = (struct look){.at_s = now_s()};
    sona_err err = ask_one(ask, SONA_CONTROL_STATS, &ret->stats, reterr);

    if (err == SONA_OK)
        err = ask_one(ask, SONA_CONTROL_STATUS, &ret->status, reterr);
    if (err != SONA_OK)
        forget(ret);
    return err;
}

/* ---- a second, as JSON ---- */

static json_int_t whole(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static double real(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

/* What a counter grew by. One that went back counts from zero if the sidecar started again; else
 * the learner is an older one by a rollback, and nothing happened in this second that can be told.
 */
static json_int_t grown(const struct look *from, const struct look *to, const char *key)
{
    json_int_t before = whole(from->stats, key), after = whole(to->stats, key);

    if (after >= before)
        return after - before;
    return real(to->status, "uptime_s") < real(from->status, "uptime_s") ? after : 0;
}

static void put(json_t *o, const char *key, json_t *value)
{
    (void)json_object_set_new(o, key, value);
}

static void put_rate(json_t *o, const char *key, const struct look *from, const struct look *to,
                     const char *counter)
{
    double s = to->at_s - from->at_s;

    put(o, key, json_real(s > 0 ? (double)grown(from, to, counter) / s : 0));
}

/* Of what was dropped in this second, by reason. */
static json_t *drops_of(const struct look *from, const struct look *to)
{
    json_t *o = json_object();

    for (int c = 0; c < SONA_COUNTER_COUNT; c++) {
        const char *name = sona_counter_name((sona_counter)c);
        bool is_drop = strncmp(name, "drop_", strlen("drop_")) == 0;

        if (is_drop && grown(from, to, name) > 0)
            put(o, name, json_integer(grown(from, to, name)));
    }
    return o;
}

/* The share is of the outcomes of all enabled routes, as on the page of metrics. */
static json_t *routes_of(const json_t *stats)
{
    const json_t *list = json_object_get(stats, "routes"), *r;
    json_t *ret = json_array();
    double sum = 0;
    size_t i;

    json_array_foreach(list, i, r)
    {
        const char *state = json_string_value(json_object_get(r, "state"));

        sum += state && strcmp(state, "enabled") == 0 ? real(r, "outcomes") : 0;
    }
    json_array_foreach(list, i, r)
    {
        const char *state = json_string_value(json_object_get(r, "state"));
        json_t *o = json_object();

        put(o, "name", json_incref(json_object_get(r, "name")));
        put(o, "mode", json_incref(json_object_get(r, "mode")));
        put(o, "share", json_real(sum > 0 ? real(r, "outcomes") / sum : 0));
        put(o, "mean_quality", json_real(real(r, "mean_quality")));
        if (state && strcmp(state, "enabled") == 0)
            (void)json_array_append_new(ret, o);
        else
            json_decref(o);
    }
    return ret;
}

static json_t *second_of(const struct look *from, const struct look *to)
{
    const json_t *learner = json_object_get(to->status, "learner");
    const json_t *journal = json_object_get(to->status, "journal");
    json_t *o = json_object();

    put(o, "instance", json_incref(json_object_get(to->status, "instance")));
    put(o, "state", json_incref(json_object_get(to->status, "state")));
    put(o, "uptime_s", json_real(real(to->status, "uptime_s")));
    put(o, "clients", json_integer(whole(to->stats, "clients")));
    put_rate(o, "decisions_per_s", from, to, "decisions");
    put_rate(o, "outcomes_per_s", from, to, "outcomes");
    put_rate(o, "learned_per_s", from, to, "learned");
    put(o, "dropped", drops_of(from, to));
    put(o, "recent_quality", json_real(real(to->stats, "recent_quality")));
    put(o, "routes", routes_of(to->stats));
    put(o, "snapshot_age_ms", json_real(real(learner, "snapshot_age_ms")));
    put(o, "pending", json_integer(whole(to->stats, "pending")));
    put(o, "journal_lag",
        json_is_object(journal) ? json_integer(whole(journal, "lag")) : json_null());
    put(o, "memory_bytes", json_integer(whole(to->stats, "memory_bytes")));
    put(o, "private_bytes", json_integer(whole(to->status, "private_bytes")));
    return o;
}

/* ---- laid out ---- */

static void print_json(const json_t *second)
{
    char *text = json_dumps(second, JSON_COMPACT | JSON_PRESERVE_ORDER);

    (void)puts(text ? text : "{}");
    free(text);
}

static json_int_t dropped(const json_t *second)
{
    const char *key;
    json_t *value;
    json_int_t sum = 0;

    json_object_foreach(json_object_get(second, "dropped"), key, value) sum +=
        json_integer_value(value);
    return sum;
}

static void print_line(const json_t *second)
{
    (void)printf("decisions/s %.0f  outcomes/s %.0f  learned/s %.0f  dropped %" PRId64
                 "  quality %.3f  snapshot %.0f ms  pending %" PRId64 "  memory %.1f MiB\n",
                 real(second, "decisions_per_s"), real(second, "outcomes_per_s"),
                 real(second, "learned_per_s"), (int64_t)dropped(second),
                 real(second, "recent_quality"), real(second, "snapshot_age_ms"),
                 (int64_t)whole(second, "pending"), real(second, "memory_bytes") / (1 << 20));
}

static void draw_routes(const json_t *second)
{
    const json_t *r;
    size_t i;

    (void)fputs(DRAW_REST, stdout);
    (void)printf("%-24s %-8s %8s %8s%s", "route", "mode", "share", "quality", DRAW_REST);
    json_array_foreach(json_object_get(second, "routes"), i, r)
    {
        const char *name = json_string_value(json_object_get(r, "name"));
        const char *mode = json_string_value(json_object_get(r, "mode"));

        (void)printf("%-24.24s %-8s %7.1f%% %8.3f%s", name ? name : "", mode ? mode : "",
                     100 * real(r, "share"), real(r, "mean_quality"), DRAW_REST);
    }
}

static void draw(const json_t *second)
{
    const char *name = json_string_value(json_object_get(second, "instance"));
    const char *state = json_string_value(json_object_get(second, "state"));
    const char *key;
    json_t *value;

    (void)printf(DRAW_HOME "%s  %s  up %.0f s  %" PRId64 " clients%s%s", name ? name : "",
                 state ? state : "", real(second, "uptime_s"), (int64_t)whole(second, "clients"),
                 DRAW_REST, DRAW_REST);
    (void)printf("decisions/s %12.1f    snapshot age %10.0f ms%s", real(second, "decisions_per_s"),
                 real(second, "snapshot_age_ms"), DRAW_REST);
    (void)printf("outcomes/s  %12.1f    pending      %10" PRId64 "%s",
                 real(second, "outcomes_per_s"), (int64_t)whole(second, "pending"), DRAW_REST);
    (void)printf("learned/s   %12.1f    journal lag  %10" PRId64 "%s",
                 real(second, "learned_per_s"), (int64_t)whole(second, "journal_lag"), DRAW_REST);
    (void)printf("quality     %12.3f    memory       %10.1f MiB%s", real(second, "recent_quality"),
                 real(second, "memory_bytes") / (1 << 20), DRAW_REST);
    draw_routes(second);
    (void)printf("%sdropped in this second: %" PRId64 "%s", DRAW_REST, (int64_t)dropped(second),
                 DRAW_REST);
    json_object_foreach(json_object_get(second, "dropped"), key, value)(void)
        printf("  %-22s %10" PRId64 "%s", key, (int64_t)json_integer_value(value), DRAW_REST);
    (void)fputs(DRAW_REST "q ends" DRAW_BELOW, stdout);
}

/* ---- the loop ---- */

/* A key ends it, or the time is over. */
static bool key_within(bool keys, int ms)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    char key = 0;

    if (poll(&p, keys ? 1 : 0, ms) <= 0)
        return false;
    return read(STDIN_FILENO, &key, 1) <= 0 || key == 'q' || key == 'Q';
}

/* Wait for the end of the second; true: somebody wants it to end. */
static bool wait_until(double end_s, bool keys, const volatile sig_atomic_t *stop)
{
    for (double now = now_s(); now < end_s && !*stop; now = now_s())
        if (key_within(keys, (int)((end_s - now) * 1000) + 1))
            return true;
    return *stop;
}

static void show(const struct sona_tools_top *ask, bool drawn, const struct look *from,
                 const struct look *to)
{
    json_t *second = second_of(from, to);

    if (ask->json)
        print_json(second);
    else if (drawn)
        draw(second);
    else
        print_line(second);
    json_decref(second);
}

static sona_err run(const struct sona_tools_top *ask, bool drawn, const volatile sig_atomic_t *stop,
                    sona_diag *reterr)
{
    struct look before, after;
    sona_err err = look(ask, &before, reterr);
    double next_s = now_s();

    for (uint64_t n = 0; err == SONA_OK && (ask->count == 0 || n < ask->count); n++) {
        next_s += INTERVAL_MS / 1000.0;
        if (wait_until(next_s, drawn, stop))
            break;
        err = look(ask, &after, reterr);
        if (err == SONA_OK) {
            show(ask, drawn, &before, &after);
            forget(&before);
            before = after;
        } else if (drawn) { /* a restart, perhaps: it is waited for */
            (void)printf(DRAW_HOME "%s%s" DRAW_BELOW, reterr->text, DRAW_REST);
            err = SONA_OK;
        }
        if (fflush(stdout) != 0)
            break; /* nobody reads on */
    }
    forget(&before);
    return err;
}

sona_err sona_tools_top(const struct sona_tools_top *ask, sona_diag *reterr)
{
    const volatile sig_atomic_t *stop = sona_tools_stop_install();
    struct sona_tools_terminal terminal;
    struct termios before, raw;

    sona_tools_terminal_init(&terminal, stdout);
    bool drawn = !ask->json && terminal.tty && isatty(STDIN_FILENO);
    drawn = drawn && tcgetattr(STDIN_FILENO, &before) == 0;
    if (!drawn)
        return run(ask, false, stop, reterr);
    raw = before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
    (void)fputs(DRAW_BEGIN, stdout);
    sona_err err = run(ask, true, stop, reterr);
    (void)fputs(DRAW_END, stdout);
    (void)fflush(stdout);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    return err;
}
