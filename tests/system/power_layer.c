/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The sidecar on a machine whose power fails: linked into sona-sidecar-power, where SQLite writes
 * through the layer of tests/sidecar/store/faulty.h.
 *
 *     SONA_POWER=OPERATIONS:SEED:FILE
 *
 * At that write, truncation, sync or removal the files become what a disk may hold, when it was is
 * written to FILE (CLOCK_MONOTONIC, microseconds), and the process is gone.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#include "tests/sidecar/store/faulty.h"

static struct dice dice;
/* Opened at the start: a confined process could open nothing here any more. Null: it cannot be. */
static FILE *note;

static void cut(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    faulty_restore(&dice);
    if (note) {
        (void)fprintf(note, "%" PRIu64 "\n",
                      (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000);
        (void)fclose(note);
    }
    (void)kill(getpid(), SIGKILL);
    for (;;)
        (void)pause();
}

__attribute__((constructor)) static void install(void)
{
    const char *text = getenv("SONA_POWER");
    char name[128];
    uint64_t after = 0;

    if (!text)
        return;
    if (sscanf(text, "%" SCNu64 ":%" SCNu64 ":%127s", &after, &dice.state, name) != 3 ||
        after == 0) {
        (void)fprintf(stderr, "SONA_POWER=%s is not OPERATIONS:SEED:FILE\n", text);
        abort();
    }
    note = fopen(name, "we");
    (void)sqlite3_initialize();
    faulty_reset();
    faulty_on_cut(cut);
    faulty_cut_after(after);
    (void)sqlite3_vfs_register(sqlite3_vfs_find(FAULTY_VFS), 1);
}
