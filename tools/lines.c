/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See lines.h. */
#include "tools/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/fail.h"
#include "tools/query.h"
#include "tools/terminal.h"

#define LINE_MAX_BYTES (16u << 20) /* of one line: what a sidecar takes at once */

/* Parts that a sidecar takes at once: of patterns, and of decisions, which are learned meanwhile. A
 * line that is longer is a part of its own. */
#define PATTERNS_PART   (8u << 20)
#define DECISIONS_PART  (2u << 20)
#define DECISIONS_LINES 256u

/* What is being sent. */
struct sending {
    const struct sona_tools_lines *ask;
    const char *name; /* of the file, for people */
    FILE *from;
    uint64_t bytes, sent; /* of the file, 0 when nobody knows; and of it so far */
    struct sona_tools_terminal terminal;
    char *line; /* getline's */
    size_t line_size;
    uint64_t number;        /* of that line */
    char *part;             /* the first line, then lines as they are */
    size_t head, n, room;   /* bytes of the first line, of all, and that there are */
    uint64_t first, n_part; /* the part's first line but that one, and how many */
    uint64_t head_number;
    json_t *sum;
};

/* ---- answers ---- */

/* Does the value of this key grow from part to part? */
static bool is_count(const char *key)
{
    static const char *const last[] = {"patterns", "step", "version"};

    for (size_t i = 0; i < sizeof last / sizeof *last; i++)
        if (strcmp(key, last[i]) == 0)
            return false;
    return true;
}

/* The number in the file of a line of the part. */
static uint64_t line_of(const struct sending *s, uint64_t in_part)
{
    return in_part <= 1 ? s->head_number : s->first + in_part - 2;
}

static void name_refused(struct sending *s, const json_t *list)
{
    const json_t *o;
    size_t i;

    if (json_array_size(list) > 0)
        sona_tools_terminal_wipe(&s->terminal);
    json_array_foreach(list, i, o)(void)
        fprintf(stderr, "%s:%" PRIu64 ": %s\n", s->name,
                line_of(s, (uint64_t)json_integer_value(json_object_get(o, "line"))),
                json_string_value(json_object_get(o, "text")));
}

static void add_answer(struct sending *s, const json_t *answer)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)answer, key, value)
    {
        const json_t *before = json_object_get(s->sum, key);

        if (json_is_array(value))
            name_refused(s, value);
        else if (json_is_integer(value) && is_count(key))
            (void)json_object_set_new(
                s->sum, key, json_integer(json_integer_value(value) + json_integer_value(before)));
        else
            (void)json_object_set(s->sum, key, value);
    }
}

/* "line N: ..." of a part: where it is in the file, and what was done before it. */
static sona_err locate(const struct sending *s, sona_err err, sona_diag *reterr)
{
    const json_t *taken = json_object_get(s->sum, "taken");
    char text[SONA_DIAG_TEXT_MAX], before[80] = "";
    uint64_t line = 0;
    int at = 0;

    if (!reterr)
        return err;
    if (sscanf(reterr->text, "line %" SCNu64 ": %n", &line, &at) < 1)
        at = 0;
    if (json_integer_value(taken) > 0)
        (void)snprintf(before, sizeof before, "; %" JSON_INTEGER_FORMAT " before it are taken",
                       json_integer_value(taken));
    (void)snprintf(text, sizeof text, "%s", reterr->text + at);
    if (at > 0)
        return sona_tools_fail(reterr, err, "%s:%" PRIu64 ": %.*s%s", s->name, line_of(s, line),
                               (int)sizeof text - 160, text, before);
    return sona_tools_fail(reterr, err, "%.*s%s", (int)sizeof text - 80, text, before);
}

/* ---- parts ---- */

static sona_err send_part(struct sending *s, sona_diag *reterr)
{
    const struct sona_tools_lines *ask = s->ask;
    char *json = NULL;
    size_t bytes;
    sona_err err = sona_tools_ask_file(ask->runtime_dir, ask->instance, ask->command, s->part, s->n,
                                       &json, &bytes, reterr);

    if (err != SONA_OK)
        return locate(s, err, reterr);
    json_t *answer = json_loads(json, 0, NULL);
    free(json);
    if (!answer)
        return sona_tools_fail(reterr, SONA_E_FORMAT, "the sidecar's answer is no JSON");
    add_answer(s, answer);
    json_decref(answer);
    s->n = s->head;
    s->n_part = 0;
    if (s->bytes > 0 && s->terminal.tty)
        sona_tools_terminal_bar(&s->terminal, "import", (uint32_t)(s->sent * 1000 / s->bytes), 1000,
                                "");
    return SONA_OK;
}

static sona_err append(struct sending *s, size_t n, sona_diag *reterr)
{
    if (s->n + n + 1 > s->room) {
        size_t room = 2 * s->room + n + 1;
        char *more = realloc(s->part, room);

        if (!more)
            return sona_tools_fail(reterr, SONA_E_MEMORY, "no memory for %s", s->name);
        s->part = more;
        s->room = room;
    }
    memcpy(s->part + s->n, s->line, n);
    s->n += n;
    if (s->line[n - 1] != '\n')
        s->part[s->n++] = '\n';
    return SONA_OK;
}

/* The line that was read: the first one, or one more of the part. */
static sona_err take_line(struct sending *s, size_t n, sona_diag *reterr)
{
    const struct sona_tools_lines *ask = s->ask;
    sona_err err = SONA_OK;

    s->number++;
    s->sent += n;
    if (n > LINE_MAX_BYTES)
        return sona_tools_fail(reterr, SONA_E_LIMIT, "%s:%" PRIu64 ": this line has %zu bytes",
                               s->name, s->number, n);
    if (s->head == 0 && s->line[strspn(s->line, " \t\r\n")] == '\0')
        return SONA_OK;
    if (s->head == 0) {
        err = append(s, n, reterr);
        s->head = s->n;
        s->head_number = s->number;
        return err;
    }
    bool decisions = ask->command->what == SONA_CONTROL_IMPORT_DECISIONS;
    bool full = decisions ? s->n_part == DECISIONS_LINES || s->n + n > DECISIONS_PART
                          : s->n + n > PATTERNS_PART;

    if (s->n_part > 0 && full)
        err = send_part(s, reterr);
    if (err == SONA_OK)
        err = append(s, n, reterr);
    if (s->n_part++ == 0)
        s->first = s->number;
    return err;
}

static sona_err send_all(struct sending *s, sona_diag *reterr)
{
    sona_err err = SONA_OK;
    ssize_t n;

    while (err == SONA_OK && (n = getline(&s->line, &s->line_size, s->from)) > 0)
        err = take_line(s, (size_t)n, reterr);
    if (err == SONA_OK && ferror(s->from))
        return sona_tools_fail(reterr, SONA_E_SYSTEM, "cannot read %s: %s", s->name,
                               strerror(errno));
    /* A file without more than its first line is asked about all the same. */
    if (err == SONA_OK && (s->n_part > 0 || json_object_size(s->sum) == 0))
        err = send_part(s, reterr);
    return err;
}

sona_err sona_tools_lines_import(const struct sona_tools_lines *ask, json_t **ret,
                                 sona_diag *reterr)
{
    struct sending s = {.ask = ask,
                        .name = ask->file ? ask->file : "stdin",
                        .from = ask->file ? fopen(ask->file, "re") : stdin,
                        .head_number = 1,
                        .sum = json_object()};
    struct stat st;

    if (!s.from) {
        json_decref(s.sum);
        return sona_tools_fail(reterr, SONA_E_SYSTEM, "cannot open %s: %s", ask->file,
                               strerror(errno));
    }
    if (fstat(fileno(s.from), &st) == 0 && S_ISREG(st.st_mode))
        s.bytes = (uint64_t)st.st_size;
    sona_tools_terminal_init(&s.terminal, stderr);
    sona_err err = send_all(&s, reterr);
    sona_tools_terminal_wipe(&s.terminal);
    if (ask->file)
        (void)fclose(s.from);
    free(s.line);
    free(s.part);
    if (err == SONA_OK)
        *ret = s.sum;
    else
        json_decref(s.sum);
    return err;
}

/* ---- export ---- */

/* What is being written. */
struct writing {
    const struct sona_tools_lines *ask;
    FILE *to;
    uint64_t next, last, end, lines;
    bool headed;
};

/* Lines of a page up to a position; the first says where the next begins. */
static sona_err write_page(struct writing *w, char *page, sona_diag *reterr)
{
    char *line = page, *stop = strchr(page, '\n');
    json_t *head = stop ? json_loadb(page, (size_t)(stop - page), 0, NULL) : NULL;
    uint64_t next = (uint64_t)json_integer_value(json_object_get(head, "next"));

    if (next <= w->next && next <= w->end) {
        json_decref(head);
        return sona_tools_fail(reterr, SONA_E_FORMAT, "the sidecar's answer is no page");
    }
    w->end = (uint64_t)json_integer_value(json_object_get(head, "end"));
    if (!w->headed && (w->last == 0 || w->last > w->end))
        w->last = w->end; /* of the journal when it began; it may grow meanwhile */
    (void)json_object_del(head, "next");
    (void)json_object_del(head, "end");
    char *text = w->headed ? NULL : json_dumps(head, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(head);
    if (text)
        (void)fprintf(w->to, "%s\n", text);
    free(text);
    w->headed = true;
    for (line = stop + 1; (stop = strchr(line, '\n')) != NULL; line = stop + 1) {
        const char *at = strstr(line, "\"position\":");
        uint64_t position = at && at < stop ? strtoull(at + strlen("\"position\":"), NULL, 10) : 0;

        if (position > w->last)
            break;
        (void)fwrite(line, 1, (size_t)(stop - line) + 1, w->to);
        w->lines++;
    }
    w->next = next;
    return SONA_OK;
}

static sona_err write_pages(struct writing *w, uint64_t from, sona_diag *reterr)
{
    const struct sona_tools_lines *ask = w->ask;
    struct sona_tools_terminal terminal;
    sona_err err = SONA_OK;

    sona_tools_terminal_init(&terminal, stderr);
    w->next = from;
    do {
        char query[40], *page = NULL;
        size_t bytes;

        (void)snprintf(query, sizeof query, "from=%" PRIu64, w->next);
        err = sona_tools_ask_page(ask->runtime_dir, ask->instance, ask->command, query, &page,
                                  &bytes, reterr);
        if (err == SONA_OK)
            err = write_page(w, page, reterr);
        free(page);
        if (err == SONA_OK && terminal.tty && w->last > from)
            sona_tools_terminal_bar(&terminal, "export",
                                    (uint32_t)((w->next - from) * 1000 / (w->last - from + 1)),
                                    1000, "");
    } while (err == SONA_OK && !ferror(w->to) && w->next <= w->last);
    sona_tools_terminal_wipe(&terminal);
    return err;
}

sona_err sona_tools_lines_export(const struct sona_tools_lines *ask, uint64_t from, uint64_t to,
                                 json_t **ret, sona_diag *reterr)
{
    int fd = ask->file ? open(ask->file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    struct writing w = {.ask = ask,
                        .to = !ask->file ? stdout
                              : fd >= 0  ? fdopen(fd, "w")
                                         : NULL,
                        .last = to};

    if (!w.to)
        return sona_tools_fail(reterr, SONA_E_SYSTEM, "cannot make %s: %s", ask->file,
                               strerror(errno));
    sona_err err = write_pages(&w, from > 0 ? from : 1, reterr);
    bool written = fflush(w.to) == 0 && !ferror(w.to);
    if (ask->file)
        written = fclose(w.to) == 0 && written;
    if (err == SONA_OK && !written)
        err = sona_tools_fail(reterr, SONA_E_SYSTEM, "the lines could not be written: %s",
                              strerror(errno));
    if (err != SONA_OK) {
        if (ask->file)
            (void)unlink(ask->file);
        return err;
    }
    *ret = json_pack("{s:s, s:I, s:I}", "command", "export_decisions", "lines", (json_int_t)w.lines,
                     "end", (json_int_t)w.last);
    return SONA_OK;
}
