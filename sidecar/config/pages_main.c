/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Run by the build: write a page of the table of options, or of that of events. usage: pages
 * manual|completion|document|log|events */
#include <stdio.h>
#include <string.h>

#include "sidecar/config/pages.h"
#include "sidecar/events.h"

#define ROW(name, level, help) {#name, level, help},
static const struct {
    const char *name, *level, *help;
} events[] = {SONA_SIDECAR_EVENTS(ROW)};
#undef ROW

#define EVENTS (sizeof events / sizeof events[0])

/* docs/log.md, from its table on. */
static void write_log(FILE *to)
{
    (void)fputs("| event | level | what it means |\n|---|---|---|\n", to);
    for (size_t i = 0; i < EVENTS; i++)
        (void)fprintf(to, "| `%s` | %s | %s |\n", events[i].name, events[i].level, events[i].help);
}

int main(int argc, char **argv)
{
    const char *page = argc == 2 ? argv[1] : "";

    if (strcmp(page, "manual") == 0)
        sona_sidecar_pages_manual(stdout);
    else if (strcmp(page, "completion") == 0)
        sona_sidecar_pages_completion(stdout);
    else if (strcmp(page, "document") == 0)
        sona_sidecar_pages_document(stdout);
    else if (strcmp(page, "log") == 0)
        write_log(stdout);
    else if (strcmp(page, "events") == 0)
        for (size_t i = 0; i < EVENTS; i++)
            (void)puts(events[i].name);
    else
        return 2;
    return fflush(stdout) != 0;
}
