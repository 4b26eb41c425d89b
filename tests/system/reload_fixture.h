/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* A configuration file of a stage, and what the sidecar says is in effect. */
#ifndef SONA_TESTS_SYSTEM_RELOAD_FIXTURE_H
#define SONA_TESTS_SYSTEM_RELOAD_FIXTURE_H

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shm/wire.h"
#include "stage.h"
#include "tools/query.h"

struct reload_file {
    char dir[64], path[96];
};

static inline void reload_write(const struct reload_file *file, const char *text)
{
    FILE *f = fopen(file->path, "w");

    cr_assert(ne(ptr, f, NULL));
    cr_assert(ge(int, fputs(text, f), 0));
    cr_assert(eq(int, fclose(f), 0));
}

static inline void reload_open(struct reload_file *file, const char *text)
{
    (void)snprintf(file->dir, sizeof file->dir, "/tmp/sona-configuration-XXXXXX");
    cr_assert(ne(ptr, mkdtemp(file->dir), NULL));
    (void)snprintf(file->path, sizeof file->path, "%s/sidecar.yaml", file->dir);
    reload_write(file, text);
}

static inline void reload_close(const struct reload_file *file)
{
    cr_assert(eq(int, unlink(file->path), 0));
    cr_assert(eq(int, rmdir(file->dir), 0));
}

/* The value of an option, as the sidecar itself says it is in effect. */
static inline void reload_value(const struct stage *stage, const char *key, char ret[64])
{
    char *text = NULL;
    json_error_t error;
    const json_t *row;
    sona_diag diag;
    size_t i;

    cr_assert(eq(int,
                 sona_tools_query(stage->spawn.runtime_dir, stage->spawn.instance,
                                  SONA_CONTROL_CONFIG, &text, &diag),
                 SONA_OK),
              "%s", diag.text);
    json_t *o = json_loads(text, 0, &error);
    cr_assert(ne(ptr, o, NULL), "%s", text);
    ret[0] = '\0';
    json_array_foreach(json_object_get(o, "options"), i, row)
    {
        if (strcmp(json_string_value(json_object_get(row, "key")), key) == 0)
            (void)snprintf(ret, 64, "%s", json_string_value(json_object_get(row, "value")));
    }
    json_decref(o);
    free(text);
}

/* SIGHUP, and wait until the option has this value: all of the change is taken over then. */
static inline void reload_await(const struct stage *stage, const char *key, const char *value)
{
    uint64_t limit = stage_now_ms() + STAGE_LIMIT_MS;
    char is[64];

    cr_assert(eq(int, kill(stage->spawn.pid, SIGHUP), 0));
    for (reload_value(stage, key, is); strcmp(is, value) != 0; reload_value(stage, key, is)) {
        cr_assert(lt(u64, stage_now_ms(), limit), "%s is %s, not %s", key, is, value);
        stage_pause();
    }
}

#endif
