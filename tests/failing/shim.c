/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Loaded before a program (LD_PRELOAD), it makes one call of one kind fail, once:
 *
 *     SONA_FAIL=memory:17     the 17th allocation
 *     SONA_FAIL=file:3        the third operation on a file, a socket, a map or a thread
 *     SONA_FAIL=database:5    the fifth call of SQLite, with an I/O error
 *     SONA_FAIL=file:0        none; at the end of main() the number of them goes to descriptor 9
 *
 * and says so to descriptor 9: a byte, so that whoever counts up knows when there are no more, and
 * who called.
 * Counting begins with main(): what the loader does before is not the program's.
 */
/* Each name is a function of its own here, with large offsets or without. */
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <sqlite3.h>

#define TELL_FD 9
#define FRAMES  24
#define EXPORT  __attribute__((visibility("default")))

enum kind { NONE, MEMORY, FILE_, DATABASE };

static enum kind chosen;
static unsigned long at;
static _Atomic unsigned long passed;
static _Atomic bool counting;

/* A byte, and the functions that were on their way, those that have a name. */
static void tell_where(void)
{
    void *frame[FRAMES];
    int n = backtrace(frame, FRAMES);
    Dl_info info;

    (void)syscall(SYS_write, TELL_FD, "x", 1);
    for (int i = 0; i < n; i++)
        if (dladdr(frame[i], &info) != 0 && info.dli_sname)
            (void)dprintf(TELL_FD, " %s", info.dli_sname);
}

static bool fails(enum kind kind, int error)
{
    if (kind != chosen || !atomic_load_explicit(&counting, memory_order_relaxed))
        return false;
    if (atomic_fetch_add_explicit(&passed, 1, memory_order_relaxed) + 1 != at)
        return false;
    tell_where();
    errno = error;
    return true;
}

/* ---- the program begins ---- */

static int (*real_main)(int, char **, char **);

static int begin(int argc, char **argv, char **envp)
{
    const char *text = getenv("SONA_FAIL");

    if (text) {
        chosen = text[0] == 'm' ? MEMORY : text[0] == 'f' ? FILE_ : DATABASE;
        at = strtoul(strchr(text, ':') + 1, NULL, 10);
    }
    void *frame;
    (void)backtrace(&frame, 1); /* which loads what it needs */
    atomic_store_explicit(&counting, true, memory_order_relaxed);
    int status = real_main(argc, argv, envp);
    atomic_store_explicit(&counting, false, memory_order_relaxed);
    if (text && at == 0)
        (void)dprintf(TELL_FD, "%lu\n", atomic_load_explicit(&passed, memory_order_relaxed));
    return status;
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

/* As libraries with large offsets call them. */
FAILING(int, ftruncate64, FILE_, ENOSPC, -1, (int fd, off64_t n), (fd, n))
FAILING(int, fallocate64, FILE_, ENOSPC, -1, (int fd, int m, off64_t o, off64_t n), (fd, m, o, n))
static bool is_of(const void *caller, const char *library)
{
    Dl_info info;

    return dladdr(caller, &info) != 0 && info.dli_fname && strstr(info.dli_fname, library);
}

/* jemalloc 5.3 crashes when the kernel refuses it pages for its own books. What it cannot get is an
 * allocation that fails, and that is the other kind. */
#define FAILING_MMAP(name, offset)                                                     \
    EXPORT void *name(void *a, size_t n, int p, int f, int fd, offset o)               \
    {                                                                                  \
        REAL(name);                                                                    \
        bool theirs = is_of(__builtin_return_address(0), "jemalloc");                  \
        return !theirs && fails(FILE_, ENOMEM) ? MAP_FAILED : real(a, n, p, f, fd, o); \
    }

FAILING_MMAP(mmap, off_t)
FAILING_MMAP(mmap64, off64_t)
FAILING(ssize_t, pwrite64, FILE_, ENOSPC, -1, (int fd, const void *b, size_t n, off64_t o),
        (fd, b, n, o))
FAILING(ssize_t, pread64, FILE_, EIO, -1, (int fd, void *b, size_t n, off64_t o), (fd, b, n, o))

FAILING(int, accept4, FILE_, EMFILE, -1,
        (int fd, struct sockaddr *restrict a, socklen_t *restrict n, int f), (fd, a, n, f))
FAILING(ssize_t, sendmsg, FILE_, ENOBUFS, -1, (int fd, const struct msghdr *m, int f), (fd, m, f))
FAILING(ssize_t, recvmsg, FILE_, ENOMEM, -1, (int fd, struct msghdr *m, int f), (fd, m, f))
FAILING(int, fstat, FILE_, EIO, -1, (int fd, struct stat *st), (fd, st))
FAILING(int, fstat64, FILE_, EIO, -1, (int fd, struct stat64 *st), (fd, st))
FAILING(int, fstatfs, FILE_, EIO, -1, (int fd, struct statfs *st), (fd, st))
FAILING(int, fstatfs64, FILE_, EIO, -1, (int fd, struct statfs64 *st), (fd, st))
FAILING(int, fstatvfs, FILE_, EIO, -1, (int fd, struct statvfs *st), (fd, st))
FAILING(int, fstatvfs64, FILE_, EIO, -1, (int fd, struct statvfs64 *st), (fd, st))
FAILING(int, posix_fallocate64, FILE_, ENOSPC, ENOSPC, (int fd, off64_t o, off64_t n), (fd, o, n))
FAILING(int, signalfd, FILE_, EMFILE, -1, (int fd, const sigset_t *s, int f), (fd, s, f))
FAILING(int, chmod, FILE_, EPERM, -1, (const char *p, mode_t m), (p, m))
FAILING(int, fchmod, FILE_, EPERM, -1, (int fd, mode_t m), (fd, m))
FAILING(int, rename, FILE_, ENOSPC, -1, (const char *from, const char *to), (from, to))
FAILING(int, unlink, FILE_, EACCES, -1, (const char *p), (p))
FAILING(int, shm_unlink, FILE_, EACCES, -1, (const char *p), (p))
FAILING(ssize_t, getrandom, FILE_, EAGAIN, -1, (void *b, size_t n, unsigned f), (b, n, f))

#define FAILING_OPEN(name)                                          \
    EXPORT int name(const char *path, int flags, ...)               \
    {                                                               \
        va_list args;                                               \
        REAL(name);                                                 \
                                                                    \
        va_start(args, flags);                                      \
        mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;   \
        va_end(args);                                               \
        return fails(FILE_, EMFILE) ? -1 : real(path, flags, mode); \
    }

FAILING_OPEN(open)
FAILING_OPEN(open64)

/* What SQLite asks of itself does not count: it would go on as if that had been done. */
#define FAILING_DATABASE(name, ret, params, args)                    \
    EXPORT int name params;                                          \
    int name params                                                  \
    {                                                                \
        REAL(name);                                                  \
        bool theirs = is_of(__builtin_return_address(0), "sqlite3"); \
                                                                     \
        if (theirs || !fails(DATABASE, EIO))                         \
            return real args;                                        \
        ret;                                                         \
        return SQLITE_IOERR_READ;                                    \
    }

FAILING_DATABASE(sqlite3_open_v2, *db = NULL,
                 (const char *path, sqlite3 **db, int flags, const char *vfs),
                 (path, db, flags, vfs))
FAILING_DATABASE(sqlite3_prepare_v2, *stmt = NULL,
                 (sqlite3 * db, const char *sql, int n, sqlite3_stmt **stmt, const char **tail),
                 (db, sql, n, stmt, tail))
FAILING_DATABASE(sqlite3_prepare_v3, *stmt = NULL,
                 (sqlite3 * db, const char *sql, int n, unsigned flags, sqlite3_stmt **stmt,
                  const char **tail),
                 (db, sql, n, flags, stmt, tail))
FAILING_DATABASE(sqlite3_step, (void)stmt, (sqlite3_stmt * stmt), (stmt))
FAILING_DATABASE(sqlite3_exec, (void)sql,
                 (sqlite3 * db, const char *sql, int (*f)(void *, int, char **, char **), void *x,
                  char **text),
                 (db, sql, f, x, text))
FAILING_DATABASE(sqlite3_wal_checkpoint_v2, (void)name,
                 (sqlite3 * db, const char *name, int mode, int *in_wal, int *copied),
                 (db, name, mode, in_wal, copied))
FAILING_DATABASE(sqlite3_file_control, (void)name,
                 (sqlite3 * db, const char *name, int what, void *argument),
                 (db, name, what, argument))
