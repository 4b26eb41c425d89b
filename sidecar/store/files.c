/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See files.h. */
#include "sidecar/store/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/diag.h"

static_assert(SONA_STORE_PATH_MAX >= PATH_MAX, "realpath writes up to PATH_MAX bytes");

static sona_err refused(const char *what, const char *path, sona_diag *reterr)
{
    int e = errno;

    return sona_shm_diag_set(
        reterr, e == EACCES || e == EPERM || e == EROFS ? SONA_E_PERMISSION : SONA_E_SYSTEM, e,
        "cannot %s %s; make it writable for this user, or choose another directory", what, path);
}

/* Ours alone: what is in here is as personal as the prompts. */
static sona_err check_owner(const struct stat *st, const char *path, sona_diag *reterr)
{
    if (st->st_uid != geteuid())
        return sona_shm_diag_set(reterr, SONA_E_PERMISSION, 0,
                                 "%s belongs to user %u, not to %u who runs this; chown it, or "
                                 "choose another directory",
                                 path, st->st_uid, geteuid());
    if ((st->st_mode & 0077) != 0)
        return sona_shm_diag_set(reterr, SONA_E_PERMISSION, 0,
                                 "%s is open to other users (mode %03o); chmod %s it", path,
                                 st->st_mode & 0777, S_ISDIR(st->st_mode) ? "700" : "600");
    return SONA_OK;
}

/* Make and check a directory; *ret: its path without symbolic links, as SQLite wants it. */
static sona_err enter(const char *dir, char ret[SONA_STORE_PATH_MAX], sona_diag *reterr)
{
    struct stat st;

    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return refused("make the directory", dir, reterr);
    if (!realpath(dir, ret) || stat(ret, &st) != 0)
        return refused("examine the directory", dir, reterr);
    if (!S_ISDIR(st.st_mode)) {
        errno = ENOTDIR;
        return refused("use", dir, reterr);
    }
    sona_err err = check_owner(&st, dir, reterr);
    if (err == SONA_OK && access(ret, W_OK | X_OK) != 0)
        err = refused("write the directory", dir, reterr);
    return err;
}

/* An existing file is a regular one of ours, under this name alone. */
static sona_err check_file(const char *path, sona_diag *reterr)
{
    struct stat st;

    if (lstat(path, &st) != 0)
        return errno == ENOENT ? SONA_OK : refused("examine", path, reterr);
    if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
        return sona_shm_diag_set(reterr, SONA_E_PERMISSION, 0,
                                 "%s is no regular file, or a link; move it away", path);
    return check_owner(&st, path, reterr);
}

static sona_err check_files(const struct sona_store_files *files, sona_diag *reterr)
{
    static const char *const of_db[] = {"", "-wal", "-shm", ".lock"};
    char path[SONA_STORE_PATH_MAX + 8];
    sona_err err = check_file(files->intake, reterr);

    for (size_t i = 0; i < sizeof of_db / sizeof *of_db && err == SONA_OK; i++) {
        (void)snprintf(path, sizeof path, "%s%s", files->db, of_db[i]);
        err = check_file(path, reterr);
    }
    return err;
}

static sona_err name(struct sona_store_files *files, const struct sona_store_options *o,
                     sona_diag *reterr)
{
    char state[SONA_STORE_PATH_MAX], intake[SONA_STORE_PATH_MAX];
    const char *instance = o->instance;
    size_t length = instance ? strlen(instance) : 0;

    if (length < 1 || length > 63 || instance[0] == '.' ||
        strspn(instance, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") !=
            length)
        return sona_shm_diag_set(reterr, SONA_E_RANGE, 0,
                                 "an instance's name has 1 to 63 letters, digits, '.', '_' or '-', "
                                 "and begins with no dot");
    sona_err err = enter(o->state_dir, state, reterr);
    if (err == SONA_OK)
        err = enter(o->intake_dir ? o->intake_dir : o->state_dir, intake, reterr);
    if (err != SONA_OK)
        return err;
    if (strlen(state) + length + 16 > sizeof files->db ||
        strlen(intake) + length + 16 > sizeof files->db)
        return sona_shm_diag_set(reterr, SONA_E_RANGE, 0, "the directory's path is too long");
    (void)snprintf(files->db, sizeof files->db, "%s/%s.db", state, instance);
    (void)snprintf(files->lock, sizeof files->lock, "%s/%s.db.lock", state, instance);
    (void)snprintf(files->intake, sizeof files->intake, "%s/%s.intake", intake, instance);
    return check_files(files, reterr);
}

/* The file stays when the lock is let go: who removed it would race with who opens it. */
static sona_err take_lock(struct sona_store_files *files, sona_diag *reterr)
{
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    files->lock_fd = open(files->lock, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (files->lock_fd < 0)
        return refused("open", files->lock, reterr);
    if (fcntl(files->lock_fd, F_OFD_SETLK, &range) == 0)
        return SONA_OK;
    return sona_shm_diag_set(reterr, SONA_E_BUSY, 0,
                             "another sidecar has the store %s; stop it, or choose another "
                             "--instance name or state_dir",
                             files->db);
}

/* A new file's name is the directory's, and has to reach the disk as well. */
static void keep_name(const char *path)
{
    char dir[SONA_STORE_PATH_MAX];

    (void)snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(path, '/') - path), path);
    int fd = open(dir[0] ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
}

sona_err sona_store_files_open(struct sona_store_files *ret,
                               const struct sona_store_options *options, sona_diag *reterr)
{
    ret->lock_fd = -1;
    sona_err err = name(ret, options, reterr);

    if (err == SONA_OK)
        err = take_lock(ret, reterr);
    if (err == SONA_OK) {
        int fd = open(ret->db, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

        /* Before SQLite has it open: closing any descriptor of the file drops this process's
         * locks on it. */
        if (fd < 0)
            err = refused("open", ret->db, reterr);
        else
            (void)close(fd);
        if (err == SONA_OK)
            keep_name(ret->db);
    }
    if (err != SONA_OK)
        sona_store_files_close(ret);
    return err;
}

void sona_store_files_close(struct sona_store_files *files)
{
    if (files->lock_fd >= 0)
        (void)close(files->lock_fd);
    files->lock_fd = -1;
}
