/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * See spawn.h. Between fork and exec the child makes system calls only: the caller may have
 * threads. Waiting is for events: the ready descriptor (closed by a child that failed), and a
 * pidfd.
 */
#include "tools/spawn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/fail.h"

#define READY_TIMEOUT_MS 20000
#define STOP_TIMEOUT_MS  5000
#define PATH_BYTES       512
#define READY_FD         3 /* in the child */

static bool executable(const char *path)
{
    return access(path, X_OK) == 0;
}

/* Where the sidecar is. `ret` may be a bare name: then exec searches PATH. */
static void find_sidecar(char ret[PATH_BYTES])
{
    static const char *const beside[] = {"sona-sidecar", "../sidecar/sona-sidecar",
                                         "../../sidecar/sona-sidecar"};
    const char *named = getenv("SONA_SIDECAR");
    char self[PATH_BYTES - 64];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    if (named && named[0] != '\0') {
        (void)snprintf(ret, PATH_BYTES, "%s", named);
        return;
    }
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    for (size_t i = 0; slash && i < sizeof beside / sizeof beside[0]; i++) {
        (void)snprintf(ret, PATH_BYTES, "%.*s/%s", (int)(slash - self), self, beside[i]);
        if (executable(ret))
            return;
    }
    (void)snprintf(ret, PATH_BYTES, "sona-sidecar");
}

static sona_err name_things(struct sona_spawn *s, const char *instance, const char *runtime_dir,
                            sona_diag *reterr)
{
    static _Atomic unsigned count;
    int n;

    if (instance)
        n = snprintf(s->instance, sizeof s->instance, "%s", instance);
    else /* relaxed: only the number matters */
        n = snprintf(s->instance, sizeof s->instance, "private-%d-%u", (int)getpid(),
                     atomic_fetch_add_explicit(&count, 1, memory_order_relaxed));
    if (n < 0 || (size_t)n >= sizeof s->instance)
        return sona_tools_fail(reterr, SONA_E_RANGE, "the instance's name is too long");
    if (runtime_dir) {
        n = snprintf(s->runtime_dir, sizeof s->runtime_dir, "%s", runtime_dir);
    } else {
        const char *tmp = getenv("TMPDIR");

        n = snprintf(s->runtime_dir, sizeof s->runtime_dir, "%s/sona-XXXXXX",
                     tmp && strlen(tmp) < 64 ? tmp : "/tmp");
    }
    if (n < 0 || (size_t)n >= sizeof s->runtime_dir)
        return sona_tools_fail(reterr, SONA_E_RANGE, "the runtime directory's path is too long");
    if (!runtime_dir) {
        if (!mkdtemp(s->runtime_dir))
            return sona_tools_fail(reterr, SONA_E_SYSTEM, "cannot make %s: %m", s->runtime_dir);
        s->own_dir = true;
    }
    return SONA_OK;
}

/* In the child. Never returns. */
__attribute__((noreturn)) static void become(const char *path, char *const *argv, int ready_fd,
                                             int log_fd, pid_t parent)
{
    sigset_t none;

    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) /* it ended before the line above */
        _exit(1);
    /* Move the descriptors away from where they are wanted before putting them there. */
    int ready = fcntl(ready_fd, F_DUPFD, READY_FD + 1);
    int log = fcntl(log_fd, F_DUPFD, READY_FD + 1);
    if (ready < 0 || log < 0 || dup2(ready, READY_FD) < 0 || dup2(log, STDERR_FILENO) < 0)
        _exit(126);
    (void)close(ready);
    (void)close(log);
    execvp(path, argv);
    static const char text[] = "cannot execute sona-sidecar; set SONA_SIDECAR to its path\n";
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(127);
}

static void close_log(struct sona_spawn *s)
{
    if (s->log_fd >= 0)
        (void)close(s->log_fd);
    s->log_fd = -1;
}

static void remove_files(const struct sona_spawn *s, const char *const *ends)
{
    char name[sizeof s->runtime_dir + sizeof s->instance + 16];

    for (; *ends; ends++) {
        (void)snprintf(name, sizeof name, "%s/%s.%s", s->runtime_dir, s->instance, *ends);
        (void)unlink(name);
    }
}

/* A killed sidecar that had no successor leaves its names behind. Those of a clean stop are gone.
 */
static void remove_names(const struct sona_spawn *s)
{
    static const char *const files[] = {"sock", "ctl", "lock", "lanes", NULL};
    char name[sizeof s->instance + 16];

    remove_files(s, files);
    (void)snprintf(name, sizeof name, "/sona.%s.model", s->instance);
    (void)shm_unlink(name);
}

/* With a state directory, a clean stop leaves what its successor would go on from. */
static void remove_dir(struct sona_spawn *s)
{
    static const char *const kept[] = {"arena", "intake", NULL};

    if (s->own_dir) {
        remove_files(s, kept);
        (void)rmdir(s->runtime_dir); /* not empty: then something was left behind, to be seen */
    }
    s->own_dir = false;
}

/* Wait for `fd` to be readable (or hung up); false after the time-out. */
static bool wait_for(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n;

    do
        n = poll(&p, 1, timeout_ms);
    while (n < 0 && errno == EINTR);
    return n > 0;
}

/* Its last word, "sona-sidecar: ..."; without one, the first line of what it logged. */
static void read_reason(int log_fd, char *ret, size_t size)
{
    static const char prefix[] = "sona-sidecar: ";
    char log[8192];
    const char *reason = log;
    off_t bytes = lseek(log_fd, 0, SEEK_END);
    off_t from = bytes > (off_t)sizeof log - 1 ? bytes - ((off_t)sizeof log - 1) : 0;
    ssize_t n = pread(log_fd, log, sizeof log - 1, from);

    if (n <= 0) {
        (void)snprintf(ret, size, "it said nothing");
        return;
    }
    log[n] = '\0';
    for (const char *at = log; at; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, prefix, sizeof prefix - 1) == 0)
            reason = at;
        if (*at == '\0')
            break;
    }
    (void)snprintf(ret, size, "%.*s", (int)strcspn(reason, "\n"), reason);
}

/* The child has ended, or never will: say why in its own words. */
static sona_err failed(struct sona_spawn *s, bool timed_out, sona_diag *reterr)
{
    char line[SONA_DIAG_TEXT_MAX - 64];
    int status = 0;

    if (timed_out)
        (void)kill(s->pid, SIGKILL);
    while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    s->pid = 0;
    read_reason(s->log_fd, line, sizeof line);
    close_log(s);
    if (timed_out && s->own_dir)
        remove_names(s);
    remove_dir(s);
    if (timed_out)
        return sona_tools_fail(reterr, SONA_E_TIMEOUT, "sona-sidecar did not get ready: %s", line);
    if (WIFSIGNALED(status))
        return sona_tools_fail(reterr, SONA_E_SYSTEM, "sona-sidecar was ended by signal %d: %s",
                               WTERMSIG(status), line);
    bool absent = WIFEXITED(status) && WEXITSTATUS(status) == 127;
    return sona_tools_fail(reterr, absent ? SONA_E_ABSENT : SONA_E_SYSTEM, "%s", line);
}

static sona_err launch(struct sona_spawn *s, const char *path, char *const *argv, sona_diag *reterr)
{
    int ready[2];
    pid_t parent = getpid();

    s->log_fd = memfd_create("sona-sidecar-log", MFD_CLOEXEC);
    if (s->log_fd < 0)
        return sona_tools_fail(reterr, SONA_E_SYSTEM, "cannot make a file in memory: %m");
    if (pipe2(ready, O_CLOEXEC) != 0)
        return sona_tools_fail(reterr, SONA_E_SYSTEM, "cannot make a pipe: %m");
    s->pid = fork();
    if (s->pid == 0)
        become(path, argv, ready[1], s->log_fd, parent);
    (void)close(ready[1]);
    if (s->pid < 0) {
        s->pid = 0;
        (void)close(ready[0]);
        return sona_tools_fail(reterr, SONA_E_SYSTEM, "cannot fork: %m");
    }
    char word[8];
    bool told = wait_for(ready[0], READY_TIMEOUT_MS);
    bool up = told && read(ready[0], word, sizeof word) > 0;
    (void)close(ready[0]);
    return up ? SONA_OK : failed(s, !told, reterr);
}

sona_err sona_spawn_start(struct sona_spawn *ret, const char *path, const char *instance,
                          const char *runtime_dir, const char *const *args, sona_diag *reterr)
{
    struct sona_spawn s = {.log_fd = -1};
    char found[PATH_BYTES];
    const char *argv[SONA_SPAWN_ARGS_MAX + 8];
    size_t n = 0;

    sona_err err = name_things(&s, instance, runtime_dir, reterr);
    if (err != SONA_OK)
        return err;
    if (!path) {
        find_sidecar(found);
        path = found;
    }
    argv[n++] = path;
    argv[n++] = "--isolated"; /* from whatever this machine's own sidecar is told */
    if (s.instance[0] != '\0') {
        argv[n++] = "--instance";
        argv[n++] = s.instance;
    }
    argv[n++] = "--runtime-dir";
    argv[n++] = s.runtime_dir;
    argv[n++] = "--ready-fd=3";
    static_assert(READY_FD == 3, "the number in the argument");
    for (size_t i = 0; args && args[i]; i++) {
        if (i == SONA_SPAWN_ARGS_MAX) {
            remove_dir(&s);
            return sona_tools_fail(reterr, SONA_E_LIMIT, "more than %d arguments",
                                   SONA_SPAWN_ARGS_MAX);
        }
        argv[n++] = args[i];
    }
    argv[n] = NULL;
    err = launch(&s, path, (char *const *)(void *)argv, reterr);
    if (err != SONA_OK) {
        close_log(&s);
        remove_dir(&s);
        return err;
    }
    *ret = s;
    return SONA_OK;
}

static void show_log(const struct sona_spawn *s)
{
    char part[4096];
    ssize_t n;

    (void)fprintf(stderr, "sona-sidecar of instance %s did not end well; its log:\n", s->instance);
    for (off_t at = 0; (n = pread(s->log_fd, part, sizeof part, at)) > 0; at += n)
        (void)fwrite(part, 1, (size_t)n, stderr);
}

static int reap(struct sona_spawn *s)
{
    int status = -1;

    while (waitpid(s->pid, &status, 0) < 0)
        if (errno != EINTR) {
            status = -1;
            break;
        }
    s->pid = 0;
    return status;
}

int sona_spawn_stop(struct sona_spawn *spawn)
{
    int status = -1;

    if (spawn->pid > 0) {
        int pidfd = (int)syscall(SYS_pidfd_open, spawn->pid, 0);

        (void)kill(spawn->pid, SIGTERM);
        if (pidfd < 0 || !wait_for(pidfd, STOP_TIMEOUT_MS))
            (void)kill(spawn->pid, SIGKILL);
        if (pidfd >= 0)
            (void)close(pidfd);
        status = reap(spawn);
        if (status != 0)
            show_log(spawn);
    }
    if (status != 0 && spawn->own_dir)
        remove_names(spawn);
    close_log(spawn);
    remove_dir(spawn);
    return status;
}

void sona_spawn_kill(struct sona_spawn *spawn)
{
    if (spawn->pid <= 0)
        return;
    (void)kill(spawn->pid, SIGKILL);
    (void)reap(spawn);
    close_log(spawn);
}
