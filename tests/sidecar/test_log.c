/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Lines: whole, rate limited; warnings kept for page 2. */
#include <stdio.h>
#include <string.h>
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

    cr_assert(ne(ptr, strstr(text, " level=warn event=refused pid=7 reason=\"two lines\"\n"), NULL),
              "%s", text);
    cr_assert(eq(int, strncmp(text, "ts=20", 5), 0), "%s", text);
}

Test(log, a_flood_of_one_event_is_cut_and_leaves_the_others_alone)
{
    for (int n = 0; n < 10000; n++)
        sona_sidecar_log(SONA_SIDECAR_INFO, "flood", "n=%d", n);
    sona_sidecar_log(SONA_SIDECAR_INFO, "other", "%s", "");
    const char *text = written();
    int lines = 0;

    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    cr_assert(ge(int, lines, SONA_SIDECAR_LOG_BURST + 1));
    cr_assert(le(int, lines, 10 * SONA_SIDECAR_LOG_BURST + 1), "a second may have begun meanwhile");
    cr_assert(ne(ptr, strstr(text, "event=other\n"), NULL), "%s", text);
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
