/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See wrapped.h. One word of state a call: threads of a store may be on their way in it. */
#include "tests/support/wrapped.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

struct order {
    unsigned pass, times, failed;
    int error;
    void (*rival)(void);
};

/* Name, type of the result, what it returns when it fails, parameters and arguments. */
#define WRAPPED(X)                                                                                 \
    X(poll, int, -1, (struct pollfd * p, nfds_t n, int ms), (p, n, ms))                            \
    X(recvmsg, ssize_t, -1, (int fd, struct msghdr *m, int flags), (fd, m, flags))                 \
    X(sendmsg, ssize_t, -1, (int fd, const struct msghdr *m, int flags), (fd, m, flags))           \
    X(connect, int, -1, (int fd, const struct sockaddr *to, socklen_t n), (fd, to, n))             \
    X(setsockopt, int, -1, (int fd, int level, int name, const void *value, socklen_t n),          \
      (fd, level, name, value, n))                                                                 \
    X(socket, int, -1, (int domain, int type, int protocol), (domain, type, protocol))             \
    X(access, int, -1, (const char *path, int mode), (path, mode))                                 \
    X(fstat64, int, -1, (int fd, struct stat64 *st), (fd, st))                                     \
    X(lstat64, int, -1, (const char *path, struct stat64 *st), (path, st))                         \
    X(mmap64, void *, MAP_FAILED, (void *at, size_t n, int prot, int flags, int fd, off64_t from), \
      (at, n, prot, flags, fd, from))                                                              \
    X(posix_fallocate64, int, order->error, (int fd, off64_t from, off64_t n), (fd, from, n))      \
    X(getrandom, ssize_t, -1, (void *to, size_t n, unsigned flags), (to, n, flags))                \
    X(fchmod, int, -1, (int fd, mode_t mode), (fd, mode))                                          \
    X(shm_open, int, -1, (const char *name, int flags, mode_t mode), (name, flags, mode))          \
    X(shm_unlink, int, -1, (const char *name), (name))                                             \
    X(realpath, char *, NULL, (const char *path, char *to), (path, to))                            \
    X(stat64, int, -1, (const char *path, struct stat64 *st), (path, st))                          \
    X(fstatfs64, int, -1, (int fd, struct statfs64 *fs), (fd, fs))                                 \
    X(fstatvfs64, int, -1, (int fd, struct statvfs64 *fs), (fd, fs))                               \
    X(rename, int, -1, (const char *from, const char *to), (from, to))                             \
    X(ftruncate64, int, -1, (int fd, off64_t n), (fd, n))                                          \
    X(malloc, void *, NULL, (size_t n), (n))                                                       \
    X(realloc, void *, NULL, (void *at, size_t n), (at, n))                                        \
    X(aligned_alloc, void *, NULL, (size_t align, size_t n), (align, n))                           \
    X(calloc, void *, NULL, (size_t n, size_t size), (n, size))                                    \
    X(open64, int, -1, (const char *path, int flags, mode_t mode), (path, flags, mode))            \
    X(fcntl64, int, -1, (int fd, int command, void *argument), (fd, command, argument))            \
    X(syscall, long, -(long)(order->error != 0), (long number, long a, long b, long c, long d),    \
      (number, a, b, c, d))

#define NUMBER(name, ...) CALL_##name,
enum call { WRAPPED(NUMBER) CALLS };
#define NAME(name, ...) #name,
static const char *const names[] = {WRAPPED(NAME)};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the orders */
static struct order orders[CALLS];

static struct order *order_of(const char *name)
{
    for (int i = 0; i < CALLS; i++)
        if (strcmp(names[i], name) == 0)
            return &orders[i];
    abort(); /* not wrapped: the test would prove nothing */
}

void wrapped_fail(const char *name, unsigned pass, unsigned times, int error)
{
    (void)pthread_mutex_lock(&lock);
    *order_of(name) = (struct order){.pass = pass, .times = times, .error = error};
    (void)pthread_mutex_unlock(&lock);
}

void wrapped_race(const char *name, unsigned pass, void (*rival)(void))
{
    (void)pthread_mutex_lock(&lock);
    *order_of(name) = (struct order){.pass = pass, .rival = rival};
    (void)pthread_mutex_unlock(&lock);
}

unsigned wrapped_failed(const char *name)
{
    (void)pthread_mutex_lock(&lock);
    unsigned failed = order_of(name)->failed;
    (void)pthread_mutex_unlock(&lock);
    return failed;
}

static bool fails(enum call call)
{
    struct order *order = &orders[call];

    (void)pthread_mutex_lock(&lock);
    bool fail = order->pass == 0 && order->times > 0;
    void (*rival)(void) = order->pass == 0 ? order->rival : NULL;
    if (rival)
        order->rival = NULL;
    if (fail) {
        order->times--;
        order->failed++;
        errno = order->error;
    } else if (order->pass > 0) {
        order->pass--;
    }
    (void)pthread_mutex_unlock(&lock);
    if (rival)
        rival(); /* may call what is wrapped */
    return fail;
}

/* What is variadic takes a register more than it is given; that one is not looked at. */
#define WRAP(name, type, bad, params, args)                     \
    type __real_##name params;                                  \
    type __wrap_##name params;                                  \
    type __wrap_##name params                                   \
    {                                                           \
        struct order *order = &orders[CALL_##name];             \
                                                                \
        (void)order;                                            \
        return fails(CALL_##name) ? (bad) : __real_##name args; \
    }
WRAPPED(WRAP)
