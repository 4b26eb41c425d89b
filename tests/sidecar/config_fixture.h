/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* A directory for configuration files, and a sidecar's command line read in this process. */
#ifndef SONA_TESTS_SIDECAR_CONFIG_FIXTURE_H
#define SONA_TESTS_SIDECAR_CONFIG_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "sidecar/config/pages.h"
#include "sidecar/config/setting.h"

struct config_place {
    char dir[64], file[96], drop_ins[96];
};

static inline void config_write(const char *path, const char *text, size_t bytes)
{
    FILE *f = fopen(path, "w");

    cr_assert(ne(ptr, f, NULL), "%s", path);
    cr_assert(eq(sz, fwrite(text, 1, bytes, f), bytes));
    cr_assert(eq(int, fclose(f), 0));
}

/* The file; null text: none. */
static inline void config_open(struct config_place *p, const char *text)
{
    (void)snprintf(p->dir, sizeof p->dir, "/tmp/sona-config-XXXXXX");
    cr_assert(ne(ptr, mkdtemp(p->dir), NULL));
    (void)snprintf(p->file, sizeof p->file, "%s/sidecar.yaml", p->dir);
    (void)snprintf(p->drop_ins, sizeof p->drop_ins, "%s/conf.d", p->dir);
    if (text)
        config_write(p->file, text, strlen(text));
}

static inline void config_drop_in(const struct config_place *p, const char *name, const char *text)
{
    char path[160];

    (void)mkdir(p->drop_ins, 0755);
    (void)snprintf(path, sizeof path, "%s/%s", p->drop_ins, name);
    config_write(path, text, strlen(text));
}

static inline void config_close(const struct config_place *p)
{
    char command[128];

    (void)snprintf(command, sizeof command, "rm -rf '%s'", p->dir);
    cr_assert(eq(int, system(command), 0));
}

/* Parse "sona-sidecar -c FILE" and the null-terminated rest. */
static inline int config_parse(struct sona_sidecar_options *ret, const char *file,
                               const char *const *more)
{
    const char *argv[16] = {"sona-sidecar", "-c", file};
    int argc = 3;

    for (; more && *more; more++)
        argv[argc++] = *more;
    argv[argc] = NULL;
    return sona_sidecar_options_parse(ret, argc, (char **)(void *)argv);
}

/* What a page says, to be freed. */
static inline char *config_page(void (*page)(FILE *to))
{
    char *text = NULL;
    size_t bytes;
    FILE *to = open_memstream(&text, &bytes);

    page(to);
    cr_assert(eq(int, fclose(to), 0));
    return text;
}

static inline char *config_printed(const struct sona_sidecar_options *options)
{
    char *text = NULL;
    size_t bytes;
    FILE *to = open_memstream(&text, &bytes);

    sona_sidecar_pages_print(options, to);
    cr_assert(eq(int, fclose(to), 0));
    return text;
}

#endif
