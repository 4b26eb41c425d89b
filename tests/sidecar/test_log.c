/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Lines: whole, rate limited; warnings kept for page 2. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <criterion/redirect.h>

#include "sidecar/log.h"

static const char *written(void)
{
    static char text[65536];
    size_t n = fread(text, 1, sizeof text - 1, cr_get_redirected_stderr());

    text[n] = '\0';
    return text;
}

TestSuite(log, .init = cr_redirect_stderr);

Test(log, a_line_names_time_level_and_event)
{
    sona_sidecar_log(SONA_SIDECAR_WARN, "refused", "pid=%d reason=\"%s\"", 7, "two\nlines");
    const char *text = written();

    cr_assert(
        ne(ptr, strstr(text, " level=warn event=refused pid=7 reason=\"two\\nlines\"\n"), NULL),
        "%s", text);
    cr_assert(eq(int, strncmp(text, "ts=20", 5), 0), "%s", text);
}

Test(log, a_flood_of_one_event_is_cut_and_leaves_the_others_alone)
{
    for (int n = 0; n < 10000; n++)
        sona_sidecar_log(SONA_SIDECAR_INFO, "refused", "n=%d", n);
    sona_sidecar_log(SONA_SIDECAR_INFO, "ready", "%s", "");
    const char *text = written();
    int lines = 0;

    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    cr_assert(ge(int, lines, SONA_SIDECAR_LOG_BURST + 1));
    cr_assert(le(int, lines, 10 * SONA_SIDECAR_LOG_BURST + 1), "a second may have begun meanwhile");
    cr_assert(ne(ptr, strstr(text, "event=ready\n"), NULL), "%s", text);
}

Test(log, what_was_left_out_is_said_when_the_event_is_quiet_again)
{
    const struct timespec nap = {.tv_nsec = 20000000};
    uint32_t kept = 0, told = 0;
    static char all[262144];
    size_t length = 0;

    for (int n = 0; n < 500; n++)
        sona_sidecar_log(SONA_SIDECAR_INFO, "client_attached", "n=%d", n);
    /* Until the second of the flood is over. */
    for (int n = 0; n < 500 && !strstr(all, "event=left_out"); n++) {
        sona_sidecar_log_settle();
        (void)fflush(stderr);
        length += fread(all + length, 1, sizeof all - 1 - length, cr_get_redirected_stderr());
        (void)nanosleep(&nap, NULL);
    }
    for (const char *line = all; (line = strstr(line, "event=client_attached")); line++)
        kept++;
    for (const char *at = all; (at = strstr(at, "left_out=")); at++)
        told += (uint32_t)atoi(at + strlen("left_out="));
    const char *line = strstr(all, "level=warn event=left_out of=client_attached count=");

    cr_assert(ne(ptr, (void *)(uintptr_t)line, NULL), "%s", all);
    told += (uint32_t)atoi(strstr(line, "count=") + strlen("count="));
    cr_expect(eq(u32, kept + told, 500), "%u written and %u left out of 500", kept, told);
}

/* What one line says, without its time. */
static const char *said(const char *value)
{
    static char line[2048];

    sona_sidecar_log(SONA_SIDECAR_INFO, "refused", "pid=%d reason=\"%s\" code=%d", 7, value, 3);
    const char *text = written(), *at = strstr(text, "pid=");

    cr_assert(ne(ptr, (void *)(uintptr_t)at, NULL), "%s", text);
    (void)snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
    return line;
}

Test(log, a_quote_in_a_value_is_escaped)
{
    cr_assert(eq(str, (char *)(uintptr_t)said("a \"b\" \\ c\n\td"),
                 "pid=7 reason=\"a \\\"b\\\" \\\\ c\\n d\" code=3"));
}

Test(log, no_value_can_begin_a_key_or_a_line_of_its_own)
{
    cr_assert(eq(str, (char *)(uintptr_t)said("x\" level=error event=\"y"),
                 "pid=7 reason=\"x\\\" level=error event=\\\"y\" code=3"));
}

Test(log, the_mark_of_a_quote_in_a_value_makes_no_quote)
{
    const char *line = said("x\x01 level=error event=\x01y");

    cr_assert(eq(str, (char *)(uintptr_t)line, "pid=7 reason= x  level=error event= y  code=3\""));
}

Test(log, a_line_that_is_too_long_ends_in_a_closed_quote)
{
    char value[2000];

    memset(value, '"', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    const char *line = said(value);
    uint32_t quotes = 0;

    for (const char *c = line; *c; c++) {
        c += *c == '\\' && c[1] != '\0'; /* what is escaped is none */
        quotes += *c == '"' && c[-1] != '\\';
    }
    cr_expect(eq(u32, quotes, 2), "%s", line);
    cr_expect(eq(int, line[strlen(line) - 1], '"'), "%s", line);
}

Test(log, the_journal_is_known_by_the_file_that_stderr_is)
{
    char stream[64];
    int ends[2];
    struct stat st;

    cr_assert(zero(int, pipe(ends)));
    cr_assert(zero(int, fstat(ends[1], &st)));
    (void)snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)st.st_dev,
                   (unsigned long long)st.st_ino);
    cr_expect(sona_sidecar_log_is_journal(stream, ends[1]));
    cr_expect(not(sona_sidecar_log_is_journal(NULL, ends[1])));
    cr_expect(not(sona_sidecar_log_is_journal("8:x", ends[1])));
    cr_expect(not(sona_sidecar_log_is_journal("1:2", ends[1])));
    cr_expect(not(sona_sidecar_log_is_journal(stream, STDIN_FILENO)), "another file");
}

Test(log, a_line_for_the_journal_begins_with_its_priority)
{
    char stream[64];
    struct stat st;

    cr_assert(zero(int, fstat(STDERR_FILENO, &st)));
    (void)snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)st.st_dev,
                   (unsigned long long)st.st_ino);
    cr_assert(zero(int, setenv("JOURNAL_STREAM", stream, 1)));
    sona_sidecar_log_open();
    sona_sidecar_log(SONA_SIDECAR_INFO, "ready", "%s", "");
    sona_sidecar_log(SONA_SIDECAR_WARN, "refused", "%s", "");
    sona_sidecar_log(SONA_SIDECAR_ERROR, "journal_waits", "%s", "");
    const char *text = written();

    cr_expect(eq(int, strncmp(text, "<6>ts=", 6), 0), "%s", text);
    cr_expect(ne(ptr, strstr(text, "\n<4>ts="), NULL), "%s", text);
    cr_expect(ne(ptr, strstr(text, "\n<3>ts="), NULL), "%s", text);
}

Test(log, warnings_are_kept_once_each_with_a_count)
{
    static struct sona_shm_counters page;

    for (int n = 0; n < 3; n++)
        sona_sidecar_log(SONA_SIDECAR_WARN, "refused", "%s", "reason=first");
    sona_sidecar_log(SONA_SIDECAR_ERROR, "refused", "%s", "reason=second");
    sona_sidecar_log(SONA_SIDECAR_INFO, "ready", "%s", "");
    sona_sidecar_log_keep(&page);
    cr_assert(eq(u64, atomic_load(&page.error[0].count), 3));
    cr_assert(eq(str, page.error[0].text, "refused reason=first"));
    cr_assert(eq(u64, atomic_load(&page.error[1].count), 1));
    cr_assert(eq(u64, atomic_load(&page.error[2].count), 0));
}
