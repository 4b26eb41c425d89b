/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Loaded before a program (LD_PRELOAD), it makes one call of one kind fail, once:
 *
 *     SONA_FAIL=memory:17     the 17th allocation
 *     SONA_FAIL=file:3        the third operation on a file, a socket, a map or a thread
 *
 * and says so by a byte to descriptor 9, so that whoever counts up knows when there are no more.
 * Counting begins with main(): what the loader does before is not the program's.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define TELL_FD 9
#define EXPORT  __attribute__((visibility("default")))

enum kind { NONE, MEMORY, FILE_ };

static enum kind chosen;
static unsigned long at;
static _Atomic unsigned long passed;
static _Atomic bool counting;

static bool fails(enum kind kind, int error)
{
    if (kind != chosen || !atomic_load_explicit(&counting, memory_order_relaxed))
        return false;
    if (atomic_fetch_add_explicit(&passed, 1, memory_order_relaxed) + 1 != at)
        return false;
    (void)!write(TELL_FD, "x", 1);
    errno = error;
    return true;
}

/* ---- the program begins ---- */

static int (*real_main)(int, char **, char **);

static int begin(int argc, char **argv, char **envp)
{
    const char *text = getenv("SONA_FAIL");

    if (text) {
        chosen = strncmp(text, "memory:", 7) == 0 ? MEMORY : FILE_;
        at = strtoul(strchr(text, ':') + 1, NULL, 10);
    }
    atomic_store_explicit(&counting, true, memory_order_relaxed);
    return real_main(argc, argv, envp);
}

EXPORT int __libc_start_main(int (*)(int, char **, char **), int, char **, void (*)(void),
                             void (*)(void), void (*)(void), void *);
int __libc_start_main(int (*program)(int, char **, char **), int argc, char **argv,
                      void (*init)(void), void (*fini)(void), void (*rtld)(void), void *stack)
{
    __typeof__(&__libc_start_main) real = dlsym(RTLD_NEXT, "__libc_start_main");

    real_main = program;
    return real(begin, argc, argv, init, fini, rtld, stack);
}

/* ---- what fails: found on first use, which is before main() for malloc and before threads ---- */

#define REAL(name)                 \
    static __typeof__(&name) real; \
    if (!real)                     \
    real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define FAILING(type, name, kind, error, bad, params, args) \
    EXPORT type name params;                                \
    type name params                                        \
    {                                                       \
        REAL(name);                                         \
        return fails(kind, error) ? (bad) : real args;      \
    }

FAILING(void *, malloc, MEMORY, ENOMEM, NULL, (size_t n), (n))
FAILING(void *, realloc, MEMORY, ENOMEM, NULL, (void *p, size_t n), (p, n))
FAILING(void *, aligned_alloc, MEMORY, ENOMEM, NULL, (size_t a, size_t n), (a, n))
FAILING(int, posix_memalign, MEMORY, ENOMEM, ENOMEM, (void **p, size_t a, size_t n), (p, a, n))

/* dlsym() itself asks for a little of this. */
EXPORT void *calloc(size_t n, size_t size)
{
    static _Alignas(64) char first[4096];
    static size_t used;
    static bool looking;
    static void *(*real)(size_t, size_t);

    if (!real && looking) {
        char *ret = first + used;

        used += (n * size + 63) / 64 * 64;
        return used <= sizeof first ? ret : NULL;
    }
    if (!real) {
        looking = true;
        real = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
    }
    return fails(MEMORY, ENOMEM) ? NULL : real(n, size);
}

FAILING(int, ftruncate, FILE_, ENOSPC, -1, (int fd, off_t n), (fd, n))
FAILING(int, fallocate, FILE_, ENOSPC, -1, (int fd, int m, off_t o, off_t n), (fd, m, o, n))
FAILING(int, posix_fallocate, FILE_, ENOSPC, ENOSPC, (int fd, off_t o, off_t n), (fd, o, n))
FAILING(void *, mmap, FILE_, ENOMEM, MAP_FAILED, (void *a, size_t n, int p, int f, int fd, off_t o),
        (a, n, p, f, fd, o))
FAILING(int, mkdir, FILE_, ENOSPC, -1, (const char *p, mode_t m), (p, m))
FAILING(int, socket, FILE_, EMFILE, -1, (int d, int t, int p), (d, t, p))
FAILING(int, bind, FILE_, EACCES, -1, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
FAILING(int, listen, FILE_, EADDRINUSE, -1, (int fd, int n), (fd, n))
FAILING(int, connect, FILE_, EACCES, -1, (int fd, const struct sockaddr *a, socklen_t n),
        (fd, a, n))
FAILING(int, eventfd, FILE_, EMFILE, -1, (unsigned n, int f), (n, f))
FAILING(int, epoll_create1, FILE_, EMFILE, -1, (int f), (f))
FAILING(int, memfd_create, FILE_, EMFILE, -1, (const char *n, unsigned f), (n, f))
FAILING(int, shm_open, FILE_, EMFILE, -1, (const char *n, int f, mode_t m), (n, f, m))
FAILING(int, fdatasync, FILE_, EIO, -1, (int fd), (fd))
FAILING(int, fsync, FILE_, EIO, -1, (int fd), (fd))
FAILING(ssize_t, pwrite, FILE_, ENOSPC, -1, (int fd, const void *b, size_t n, off_t o),
        (fd, b, n, o))
FAILING(ssize_t, pread, FILE_, EIO, -1, (int fd, void *b, size_t n, off_t o), (fd, b, n, o))
FAILING(int, pthread_create, FILE_, EAGAIN, EAGAIN,
        (pthread_t * t, const pthread_attr_t *a, void *(*f)(void *), void *x), (t, a, f, x))

EXPORT int open(const char *path, int flags, ...)
{
    va_list args;
    REAL(open);

    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return fails(FILE_, EMFILE) ? -1 : real(path, flags, mode);
}
