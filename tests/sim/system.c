/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What the product asks of the kernel. Files, sockets and mappings are the kernel's own; this room
 * knows which process has which descriptor, so that a death closes them, and gives random numbers
 * and waits by the seed. Memory that nobody touches is not made: a log of 64 MiB costs its pages.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <urcu.h>

#include "sidecar/guard.h"
#include "sidecar/log.h"
#include "sidecar/options.h"
#include "sidecar/pulse.h"
#include "sidecar/startup.h"
#include "tests/sim/world.h"
#include "tests/sim/wraps.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define DESCRIPTORS_MAX 1024
#define MAPS_MAX        512u
#define PAGE            4096u
#define HOLE_MIN        (1u << 20)
#define BACKED_MAX      (4 << 20)

static uint8_t owner[DESCRIPTORS_MAX]; /* process + 1; 0: not one of ours */

/* ---- descriptors ---- */

static int own(int fd)
{
    if (fd >= DESCRIPTORS_MAX)
        abort();
    if (fd >= 0)
        owner[fd] = (uint8_t)(sim_process_current() + 1);
    return fd;
}

void sim_descriptors_close(uint32_t process)
{
    for (int fd = 0; fd < DESCRIPTORS_MAX; fd++)
        if (owner[fd] == process + 1) {
            owner[fd] = 0;
            (void)__real_close(fd);
        }
    sim.io++;
}

int __wrap_open64(const char *path, int flags, ...)
{
    va_list list;

    va_start(list, flags);
    mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
    va_end(list);
    return own(__real_open64(path, flags, mode));
}

int __wrap_shm_open(const char *name, int flags, mode_t mode)
{
    return own(__real_shm_open(name, flags, mode));
}

int __wrap_memfd_create(const char *name, unsigned flags)
{
    return own(__real_memfd_create(name, flags));
}

int __wrap_socket(int domain, int type, int protocol)
{
    return own(__real_socket(domain, type, protocol));
}

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *n, int flags)
{
    return own(__real_accept4(fd, address, n, flags));
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t n)
{
    sim_yield();
    sim.io++;
    return __real_connect(fd, address, n);
}

int __wrap_eventfd(unsigned value, int flags)
{
    return own(__real_eventfd(value, flags));
}

int __wrap_eventfd_write(int fd, eventfd_t value)
{
    sim.io++;
    return __real_eventfd_write(fd, value);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    sim_yield();
    sim.io++;
    return __real_sendmsg(fd, message, flags);
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
    sim_yield();
    ssize_t n = __real_recvmsg(fd, message, flags);

    for (struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
            for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
                int got;

                memcpy(&got, CMSG_DATA(c) + i * sizeof got, sizeof got);
                (void)own(got);
            }
    return n;
}

/* Everybody is one process to the kernel: a death shows as the hang-up that comes with it. */
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *n)
{
    if (level == SOL_SOCKET && name == SO_PEERPIDFD) {
        errno = ENOPROTOOPT;
        return -1;
    }
    return __real_getsockopt(fd, level, name, value, n);
}

int __wrap_fcntl64(int fd, int op, ...)
{
    va_list list;

    va_start(list, op);
    void *arg = va_arg(list, void *);
    va_end(list);
    int rc = __real_fcntl64(fd, op, arg);
    return op == F_DUPFD || op == F_DUPFD_CLOEXEC ? own(rc) : rc;
}

int __wrap_close(int fd)
{
    if (fd >= 0 && fd < DESCRIPTORS_MAX)
        owner[fd] = 0;
    sim.io++;
    return __real_close(fd);
}

int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout)
{
    uint64_t until = sim.now_ns + (uint64_t)(timeout < 0 ? 0 : timeout) * SIM_MS;

    if (timeout < 0)
        until = UINT64_MAX;
    sim_yield();
    for (;;) {
        int rc = __real_poll(fds, n, 0);

        if (rc != 0 || timeout == 0 || sim.now_ns >= until)
            return rc;
        sim_wait_io(until);
    }
}

/* ---- memory ---- */

/* Maps of files, for they keep the locks of a file that is closed. */
static struct {
    void *at;
    size_t n;
    uint32_t process;
} maps[MAPS_MAX];
static uint32_t n_maps;

void *__wrap_mmap64(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
    void *ret = __real_mmap64(at, n, protection, flags & ~MAP_POPULATE, fd, offset);

    if (ret == MAP_FAILED || fd < 0)
        return ret;
    if (n_maps == MAPS_MAX)
        abort();
    maps[n_maps].at = ret;
    maps[n_maps].n = n;
    maps[n_maps++].process = sim_process_current();
    return ret;
}

int __wrap_munmap(void *at, size_t n)
{
    const char *from = at;

    for (uint32_t i = n_maps; i-- > 0;)
        if ((char *)maps[i].at >= from && (char *)maps[i].at < from + n)
            maps[i] = maps[--n_maps];
    return __real_munmap(at, n);
}

/* A file that is cleared is made of holes again, which read as zeros. */
void *__wrap_memset(void *at, int value, size_t n)
{
    bool whole = value == 0 && n >= HOLE_MIN && ((uintptr_t)at | n) % PAGE == 0;

    return whole && madvise(at, n, MADV_REMOVE) == 0 ? at : __real_memset(at, value, n);
}

void sim_maps_close(uint32_t process)
{
    for (uint32_t i = n_maps; i-- > 0;)
        if (maps[i].process == process) {
            (void)__real_munmap(maps[i].at, maps[i].n);
            maps[i] = maps[--n_maps];
        }
}

int __wrap_mlock(const void *at, size_t n)
{
    (void)at;
    (void)n;
    return 0;
}

int __wrap_mlock2(const void *at, size_t n, unsigned flags)
{
    (void)flags;
    return __wrap_mlock(at, n);
}

int __wrap_posix_fallocate64(int fd, off_t from, off_t n)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return errno;
    if (n <= BACKED_MAX) /* a segment is taken over only if all of it is there */
        return __wrap_fallocate64(fd, 0, from, n) == 0 ? 0 : errno;
    return st.st_size >= from + n || ftruncate(fd, from + n) == 0 ? 0 : errno;
}

/* A lane memory is taken back only if all of it is there. */
int __wrap_fallocate64(int fd, int mode, off_t from, off_t n)
{
    return (int)__real_syscall(SYS_fallocate, fd, mode, from, n);
}

/* ---- the rest ---- */

ssize_t __wrap_getrandom(void *buffer, size_t n, unsigned flags)
{
    unsigned char *at = buffer;

    (void)flags;
    for (size_t i = 0; i < n; i++)
        at[i] = (unsigned char)dice_below(&sim.kernel, 256);
    return (ssize_t)n;
}

int __wrap_setpriority(__priority_which_t which, id_t who, int priority)
{
    (void)which;
    (void)who;
    (void)priority;
    return 0;
}

static long barrier(long command)
{
    return command == MEMBARRIER_CMD_QUERY
               ? MEMBARRIER_CMD_GLOBAL_EXPEDITED | MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED
               : 0; /* one thread: everybody sees everything */
}

long __wrap_syscall(long number, ...)
{
    long a[6];
    va_list list;

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_futex)
        return sim_futex((const uint32_t *)a[0], (int)a[1], (uint32_t)a[2],
                         (const struct timespec *)a[3]);
    if (number == SYS_membarrier)
        return barrier(a[0]);
    if (number == SYS_pidfd_open) {
        errno = ESRCH; /* as from another pid namespace */
        return -1;
    }
    return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- liburcu: no reader is interrupted here, so every grace period is over at once ---- */

static uint32_t readers, n_waiting;
static struct {
    struct rcu_head *head;
    void (*run)(struct rcu_head *head);
} waiting[64];

static void settle(void)
{
    while (readers == 0 && n_waiting > 0) {
        n_waiting--;
        waiting[n_waiting].run(waiting[n_waiting].head);
    }
}

void __wrap_urcu_memb_register_thread(void)
{
}

void __wrap_urcu_memb_unregister_thread(void)
{
}

void __wrap_urcu_memb_read_lock(void)
{
    readers++;
}

void __wrap_urcu_memb_read_unlock(void)
{
    readers--;
    settle();
}

void __wrap_urcu_memb_call_rcu(struct rcu_head *head, void (*run)(struct rcu_head *head))
{
    if (n_waiting == sizeof waiting / sizeof waiting[0])
        abort();
    waiting[n_waiting].head = head;
    waiting[n_waiting++].run = run;
    settle();
}

void __wrap_urcu_memb_barrier(void)
{
    settle();
}

/* ---- what is of a process, and lies in variables of the program ---- */

static struct {
    struct sona_sidecar_pulse *pulse;
    uint32_t process;
} pulses[SONA_SIDECAR_PULSES_MAX];
static uint32_t n_pulses;

struct sona_sidecar_pulse *__wrap_sona_sidecar_pulse_begin(const char *loop)
{
    struct sona_sidecar_pulse *pulse = __real_sona_sidecar_pulse_begin(loop);

    if (pulse) {
        pulses[n_pulses].process = sim_process_current();
        pulses[n_pulses++].pulse = pulse;
    }
    return pulse;
}

void __wrap_sona_sidecar_pulse_end(struct sona_sidecar_pulse *pulse)
{
    for (uint32_t i = 0; i < n_pulses; i++)
        if (pulses[i].pulse == pulse)
            pulses[i] = pulses[--n_pulses];
    __real_sona_sidecar_pulse_end(pulse);
}

static struct {
    int guard;
    uint32_t process;
} guards[256];
static uint32_t n_guards;

int __wrap_sona_sidecar_guard_add(void *map, size_t bytes)
{
    int guard = __real_sona_sidecar_guard_add(map, bytes);

    if (n_guards == sizeof guards / sizeof guards[0])
        abort();
    guards[n_guards].process = sim_process_current();
    guards[n_guards++].guard = guard;
    return guard;
}

void __wrap_sona_sidecar_guard_remove(int guard)
{
    for (uint32_t i = n_guards; i-- > 0;)
        if (guards[i].guard == guard)
            guards[i] = guards[--n_guards];
    __real_sona_sidecar_guard_remove(guard);
}

void sim_variables_reset(uint32_t process)
{
    for (uint32_t i = n_pulses; i-- > 0;)
        if (pulses[i].process == process) {
            __real_sona_sidecar_pulse_end(pulses[i].pulse);
            pulses[i] = pulses[--n_pulses];
        }
    for (uint32_t i = n_guards; i-- > 0;)
        if (guards[i].process == process) {
            __real_sona_sidecar_guard_remove(guards[i].guard);
            guards[i] = guards[--n_guards];
        }
    readers = 0; /* nobody else reads versions */
}

/* A look at the machine that it starts on, which is not this one. */
void __wrap_sona_sidecar_startup_log(const struct sona_sidecar_options *options)
{
    (void)options;
}

/* Its events are lines of the trace; their texts name files and processes that differ. */
void __wrap_sona_sidecar_log(enum sona_sidecar_level level, const char *name, const char *format,
                             ...)
{
    va_list list;

    sim_note(name, (uint64_t)level, 0);
    if (!sim.texts)
        return;
    va_start(list, format);
    (void)vfprintf(stderr, format, list);
    (void)fputc('\n', stderr);
    va_end(list);
}
