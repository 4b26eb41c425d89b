/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See places.h. */
#include "sidecar/places.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sidecar/config/text.h"
#include "sidecar/instance.h"

/* ---- the list ---- */

/* Takes the path, which is real, or null when there was no memory for it. */
static void keep(struct sona_sidecar_places *p, enum sona_sidecar_place_kind kind, char *path,
                 bool made)
{
    p->no_memory |= !path;
    for (uint32_t i = 0; path && i < p->n; i++)
        if (p->place[i].kind == kind && strcmp(p->place[i].path, path) == 0) {
            p->place[i].made |= made;
            free(path);
            return;
        }
    p->too_many |= p->n == SONA_SIDECAR_PLACES_MAX;
    if (!path || p->n == SONA_SIDECAR_PLACES_MAX)
        free(path);
    else
        p->place[p->n++] = (struct sona_sidecar_place){.kind = kind, .made = made, .path = path};
}

static void add(struct sona_sidecar_places *p, enum sona_sidecar_place_kind kind, const char *path,
                bool made)
{
    char *real = realpath(path, NULL);

    if (real || errno == ENOMEM)
        keep(p, kind, real, made);
}

/* The directory that a path ends in; "." for a mere name. */
static void parent_of(const char *path, char ret[PATH_MAX])
{
    const char *slash = strrchr(path, '/');

    if (slash)
        (void)snprintf(ret, PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    else
        (void)snprintf(ret, PATH_MAX, ".");
}

/* ---- instances ---- */

void sona_sidecar_places_make_parents(const char *path)
{
    char parent[SONA_SIDECAR_DIR_MAX];

    (void)snprintf(parent, sizeof parent, "%s", path);
    for (char *end = parent + 1; (end = strchr(end, '/')); *end++ = '/') {
        *end = '\0';
        (void)mkdir(parent, 0700);
    }
}

/* Null: its path is too long, which its start tells. */
static const char *runtime_dir_of(const struct sona_sidecar_options *o,
                                  struct sona_sidecar_instance *instance)
{
    sona_diag diag;
    sona_err err = sona_sidecar_instance_name(instance, o->instance, o->runtime_dir, &diag);

    return err == SONA_OK ? instance->dir : NULL;
}

static void add_runtime_dir(struct sona_sidecar_places *p, const struct sona_sidecar_options *o)
{
    struct sona_sidecar_instance instance;
    const char *dir = runtime_dir_of(o, &instance);
    char parent[PATH_MAX];

    if (!dir)
        return;
    bool made = mkdir(dir, 0700) == 0;
    add(p, SONA_SIDECAR_PLACE_KEPT, dir, made);
    parent_of(dir, parent);
    if (made)
        add(p, SONA_SIDECAR_PLACE_EMPTIED, parent, false);
}

static void add_instance(struct sona_sidecar_places *p, const struct sona_sidecar_options *o)
{
    add_runtime_dir(p, o);
    if (!o->state_dir)
        return;
    if (o->state_by_default)
        sona_sidecar_places_make_parents(o->state_dir);
    (void)mkdir(o->state_dir, 0700);
    add(p, SONA_SIDECAR_PLACE_KEPT, o->state_dir, false);
}

/* ---- configuration ---- */

/* Where a new one will lie, and where a link leads. A directory for that alone is not worth all of
 * the file system. */
static void add_config_file(struct sona_sidecar_places *p, const char *path)
{
    char dir[PATH_MAX], *real = realpath(path, NULL);
    struct stat st;

    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        free(real);
        return;
    }
    parent_of(path, dir);
    if (strcmp(dir, "/") != 0)
        add(p, SONA_SIDECAR_PLACE_READ, dir, false);
    if (real) {
        parent_of(real, dir);
        add(p, strcmp(dir, "/") != 0 ? SONA_SIDECAR_PLACE_READ : SONA_SIDECAR_PLACE_FILE,
            strcmp(dir, "/") != 0 ? dir : real, false);
    }
    free(real);
}

/* Those that are links; the rest lies in the directory. */
static void add_drop_ins(struct sona_sidecar_places *p, const char *dir)
{
    char path[PATH_MAX + NAME_MAX + 2];
    struct dirent *entry;
    DIR *open = opendir(dir);

    add(p, SONA_SIDECAR_PLACE_READ, dir, false);
    while (open && (entry = readdir(open)))
        if (entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN) {
            (void)snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
            add_config_file(p, path);
        }
    if (open)
        (void)closedir(open);
}

static void add_config(struct sona_sidecar_places *p, const char *file)
{
    char dir[PATH_MAX];

    if (!file)
        return;
    add_config_file(p, file);
    if (sona_sidecar_text_drop_ins(file, dir))
        add_drop_ins(p, dir);
}

/* ---- all ---- */

bool sona_sidecar_places_find(struct sona_sidecar_places *ret,
                              const struct sona_sidecar_whole *whole)
{
    static const struct {
        enum sona_sidecar_place_kind kind;
        const char *path;
    } fixed[] = {{SONA_SIDECAR_PLACE_KEPT, "/dev/shm"},
                 {SONA_SIDECAR_PLACE_WRITTEN, "/dev/null"},
                 {SONA_SIDECAR_PLACE_FILE, "/dev/urandom"},
                 {SONA_SIDECAR_PLACE_FILE, "/proc/sys/kernel/random/boot_id"},
                 {SONA_SIDECAR_PLACE_WRITTEN, "/proc/self"}};

    *ret = (struct sona_sidecar_places){0};
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        add(ret, fixed[i].kind, fixed[i].path, false);
    for (uint32_t i = 0; i < whole->n; i++)
        if (whole->instance[i])
            add_instance(ret, whole->instance[i]);
    /* What an instance that is named later inherits. */
    if (whole->common->state_dir)
        add(ret, SONA_SIDECAR_PLACE_KEPT, whole->common->state_dir, false);
    if (whole->common->runtime_dir)
        add(ret, SONA_SIDECAR_PLACE_KEPT, whole->common->runtime_dir, false);
    if (whole->common->token_file_text[0] != '\0')
        add(ret, SONA_SIDECAR_PLACE_FILE, whole->common->token_file_text, false);
    add_config(ret, sona_sidecar_options_file());
    if (ret->no_memory)
        sona_sidecar_places_done(ret);
    return !ret->no_memory;
}

/* Beneath a directory that is kept, or that directory itself; it need not be there. */
static bool is_kept(const struct sona_sidecar_places *p, const char *dir)
{
    char path[PATH_MAX], *real;

    (void)snprintf(path, sizeof path, "%s", dir);
    while (!(real = realpath(path, NULL)) && errno == ENOENT && strcmp(path, "/") != 0 &&
           strcmp(path, ".") != 0) {
        char above[PATH_MAX];

        parent_of(path, above);
        memcpy(path, above, sizeof path);
    }
    bool found = false;
    for (uint32_t i = 0; real && !found && i < p->n; i++) {
        size_t n = strlen(p->place[i].path);

        found = p->place[i].kind == SONA_SIDECAR_PLACE_KEPT &&
                strncmp(real, p->place[i].path, n) == 0 && (real[n] == '/' || real[n] == '\0');
    }
    free(real);
    return found;
}

const char *sona_sidecar_places_lack(const struct sona_sidecar_places *places,
                                     const struct sona_sidecar_options *options)
{
    static struct sona_sidecar_instance instance;
    const char *dir = runtime_dir_of(options, &instance);

    if (dir && !is_kept(places, dir))
        return dir;
    return options->state_dir && !is_kept(places, options->state_dir) ? options->state_dir : NULL;
}

void sona_sidecar_places_done(struct sona_sidecar_places *places)
{
    for (uint32_t i = 0; i < places->n; i++) {
        if (places->place[i].made)
            (void)rmdir(places->place[i].path);
        free(places->place[i].path);
    }
    places->n = 0;
}
