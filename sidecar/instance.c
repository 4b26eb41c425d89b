/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See instance.h. */
#include "sidecar/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "shm/control.h"
#include "shm/diag.h"
#include "shm/wire.h"

#define BACKLOG  128
#define ATTEMPTS 8 /* at a lock file that its owner removes meanwhile */

static sona_err dir_refused(const char *dir, const char *what, sona_diag *reterr)
{
    int e = errno;

    return sona_shm_diag_set(
        reterr, e == EACCES || e == EPERM || e == EROFS ? SONA_E_PERMISSION : SONA_E_SYSTEM, e,
        "cannot %s the runtime directory %s; make it writable, or choose another --runtime-dir",
        what, dir);
}

sona_err sona_sidecar_instance_name(struct sona_sidecar_instance *ret, const char *name,
                                    const char *runtime_dir, sona_diag *reterr)
{
    struct sona_sidecar_instance *s = ret;

    *s = (struct sona_sidecar_instance){.lock_fd = -1, .listen_fd = -1, .control_fd = -1};
    /* Root may make the system's directory, which is where clients look first. */
    if (!runtime_dir && geteuid() == 0)
        runtime_dir = SONA_WIRE_SYSTEM_DIR;
    sona_err err = sona_wire_path(runtime_dir, name, s->socket_path, sizeof s->socket_path, reterr);

    if (err != SONA_OK)
        return err;
    (void)snprintf(s->name, sizeof s->name, "%s", name);
    size_t stem = strlen(s->socket_path) - strlen(".sock");
    memcpy(s->lock_path, s->socket_path, stem);
    memcpy(s->lock_path + stem, ".lock", sizeof ".lock"); /* as long as the other */
    memcpy(s->control_path, s->socket_path, stem);
    memcpy(s->control_path + stem, SONA_CONTROL_SUFFIX, sizeof SONA_CONTROL_SUFFIX);
    size_t dir = (size_t)(strrchr(s->socket_path, '/') - s->socket_path);
    memcpy(s->dir, s->socket_path, dir);
    s->dir[dir] = '\0';
    return SONA_OK;
}

static sona_err enter_dir(struct sona_sidecar_instance *s, sona_diag *reterr)
{
    struct stat st;

    if (mkdir(s->dir, 0700) == 0)
        s->made_dir = true;
    else if (errno != EEXIST)
        return dir_refused(s->dir, "make", reterr);
    if (stat(s->dir, &st) != 0)
        return dir_refused(s->dir, "examine", reterr);
    if (!S_ISDIR(st.st_mode)) {
        errno = ENOTDIR;
        return dir_refused(s->dir, "use", reterr);
    }
    if (access(s->dir, W_OK | X_OK) != 0)
        return dir_refused(s->dir, "write", reterr);
    return SONA_OK;
}

/* True when the path still leads to the file that fd holds. */
static bool same_file(int fd, const char *path)
{
    struct stat held, named;

    return fstat(fd, &held) == 0 && lstat(path, &named) == 0 && held.st_ino == named.st_ino &&
           held.st_dev == named.st_dev;
}

/* An owner removes the file while it still holds the lock; whoever opened it before that gets the
 * lock of a file without a name, and begins again. */
static sona_err take_lock(struct sona_sidecar_instance *s, sona_diag *reterr)
{
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        int fd = open(s->lock_path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

        if (fd < 0)
            return sona_shm_diag_set(
                reterr, errno == EACCES ? SONA_E_PERMISSION : SONA_E_SYSTEM, errno,
                "cannot open the lock file %s; make it writable, or choose another --runtime-dir",
                s->lock_path);
        if (fcntl(fd, F_OFD_SETLK, &range) != 0) {
            (void)close(fd);
            break;
        }
        if (same_file(fd, s->lock_path)) {
            s->lock_fd = fd;
            return SONA_OK;
        }
        (void)close(fd);
    }
    return sona_shm_diag_set(reterr, SONA_E_BUSY, 0,
                             "instance %s is already running in %s; stop that sidecar, or choose "
                             "another --instance name",
                             s->name, s->dir);
}

sona_err sona_sidecar_instance_open(struct sona_sidecar_instance *ret, const char *name,
                                    const char *runtime_dir, sona_diag *reterr)
{
    sona_err err = sona_sidecar_instance_name(ret, name, runtime_dir, reterr);

    if (err == SONA_OK)
        err = enter_dir(ret, reterr);
    if (err == SONA_OK)
        err = take_lock(ret, reterr);
    if (err != SONA_OK)
        sona_sidecar_instance_close(ret);
    return err;
}

/* Remove a socket that a killed sidecar left. We hold the lock, so nobody listens on it; anything
 * but a socket is not ours to remove. */
static sona_err clear_path(const char *path, sona_diag *reterr)
{
    struct stat st;

    if (lstat(path, &st) != 0 && errno == ENOENT)
        return SONA_OK;
    if (!S_ISSOCK(st.st_mode))
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, 0,
                                 "%s is in the way and is no socket; remove it", path);
    if (unlink(path) != 0)
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno, "cannot remove the old %s", path);
    return SONA_OK;
}

static sona_err listen_on(const char *path, int type, int *ret_fd, sona_diag *reterr)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    sona_err err = clear_path(path, reterr);

    if (err != SONA_OK)
        return err;
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    *ret_fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* The process runs with umask 0077: the socket is born with mode 0700. Nobody executes one.
     * Connections have it from their listener, from the first packet on, that the sender is told.
     */
    if (*ret_fd < 0 || (type == SOCK_SEQPACKET && !sona_wire_ask_senders(*ret_fd)) ||
        bind(*ret_fd, (struct sockaddr *)&address, sizeof address) != 0 || chmod(path, 0600) != 0 ||
        listen(*ret_fd, BACKLOG) != 0)
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno, "cannot listen on %s", path);
    return SONA_OK;
}

sona_err sona_sidecar_instance_listen(struct sona_sidecar_instance *instance, sona_diag *reterr)
{
    struct sona_sidecar_instance *s = instance;
    sona_err err = listen_on(s->control_path, SOCK_STREAM, &s->control_fd, reterr);

    if (err == SONA_OK)
        err = listen_on(s->socket_path, SOCK_SEQPACKET, &s->listen_fd, reterr);
    return err;
}

static void shut(const char *path, int *fd)
{
    if (*fd < 0)
        return;
    (void)unlink(path);
    (void)close(*fd);
    *fd = -1;
}

sona_err sona_sidecar_instance_admit(const struct sona_sidecar_instance *instance, uint32_t group,
                                     sona_diag *reterr)
{
    const struct sona_sidecar_instance *s = instance;
    struct stat st;

    if (chown(s->socket_path, (uid_t)-1, (gid_t)group) != 0 || chmod(s->socket_path, 0660) != 0)
        return sona_shm_diag_set(reterr, SONA_E_PERMISSION, errno,
                                 "cannot give %s to group %u; put the sidecar's user into it",
                                 s->socket_path, group);
    /* Others may pass through, and see no names: everything else in there is its owner's alone. */
    if (stat(s->dir, &st) != 0 ||
        ((st.st_mode & S_IXOTH) == 0 && chmod(s->dir, (st.st_mode & 07777) | S_IXOTH) != 0))
        return sona_shm_diag_set(reterr, SONA_E_PERMISSION, errno,
                                 "members of group %u cannot reach %s; chmod o+x %s", group,
                                 s->socket_path, s->dir);
    return SONA_OK;
}

void sona_sidecar_instance_deafen(struct sona_sidecar_instance *instance)
{
    shut(instance->socket_path, &instance->listen_fd);
}

void sona_sidecar_instance_close(struct sona_sidecar_instance *instance)
{
    sona_sidecar_instance_deafen(instance);
    shut(instance->control_path, &instance->control_fd);
    if (instance->lock_fd >= 0) {
        (void)unlink(instance->lock_path); /* while the lock is held */
        (void)close(instance->lock_fd);
    }
    instance->lock_fd = -1;
    if (instance->made_dir)
        (void)rmdir(instance->dir); /* unless somebody else put something there */
    instance->made_dir = false;
}
