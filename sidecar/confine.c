/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * See confine.h. A list of what is denied, not of what is allowed: SQLite, glibc and libevent
 * choose their system calls by version, kernel and trouble at hand, and one that is missing from a
 * list would be found missing on the day the disk is full. The unit file has the other list, which
 * its owner can mend. Names that this kernel's library does not know are passed over.
 */
#include "sidecar/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(SONA_COVERAGE)
#define SANITIZED true
#else
#define SANITIZED false
#endif

static const char *const denied[] = {
    /* other programs and processes */
    "execve", "execveat", "fork", "vfork", "uselib",
    /* their memory and descriptors */
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd",
    /* other identities */
    "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid",
    "setgroups", "capset",
    /* mounts, namespaces, roots */
    "mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsconfig",
    "fsmount", "fspick", "mount_setattr", "unshare", "setns", "name_to_handle_at",
    "open_by_handle_at", "mknod", "mknodat", "quotactl", "quotactl_fd", "acct", "swapon", "swapoff",
    /* the kernel itself, and what has opened doors into it */
    "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter",
    "io_uring_register", "init_module", "finit_module", "delete_module", "kexec_load",
    "kexec_file_load", "reboot", "syslog", "fanotify_init", "add_key", "request_key", "keyctl",
    "iopl", "ioperm", "modify_ldt",
    /* clocks and names of the machine */
    "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname", "setdomainname"};

#define N_DENIED     (sizeof denied / sizeof denied[0])
#define PROGRAM_MAX  (2 * N_DENIED + 16)
#define NUMBER       offsetof(struct seccomp_data, nr)
#define ARCHITECTURE offsetof(struct seccomp_data, arch)
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define FIRST_LOW offsetof(struct seccomp_data, args[0])
#else
#define FIRST_LOW (offsetof(struct seccomp_data, args[0]) + sizeof(uint32_t))
#endif

struct program {
    struct sock_filter code[PROGRAM_MAX];
    unsigned short n;
};

static void say(struct program *p, uint16_t code, uint32_t k)
{
    p->code[p->n++] = (struct sock_filter){.code = code, .k = k};
}

/* The next instruction is taken when the word at hand compares so with k, and passed over when it
 * does not. */
static void when(struct program *p, uint16_t compares, uint32_t k)
{
    p->code[p->n++] =
        (struct sock_filter){.code = (uint16_t)(BPF_JMP | compares | BPF_K), .jf = 1, .k = k};
}

static void answer(struct program *p, uint32_t number, uint32_t error)
{
    when(p, BPF_JEQ, number);
    say(p, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error);
}

/* libseccomp names the calls. The program is written here, without an allocation: its own,
 * of 2.5.4, spins or frees twice where memory fails (tests/failing). */
static void write_program(struct program *p)
{
    p->n = 0;
    /* Another architecture has other numbers, and nobody here calls by them. */
    say(p, BPF_LD | BPF_W | BPF_ABS, ARCHITECTURE);
    p->code[p->n++] = (struct sock_filter){
        .code = BPF_JMP | BPF_JEQ | BPF_K, .jt = 1, .k = seccomp_arch_native()};
    say(p, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    say(p, BPF_LD | BPF_W | BPF_ABS, NUMBER);
#ifdef __X32_SYSCALL_BIT
    when(p, BPF_JGE, __X32_SYSCALL_BIT);
    say(p, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
#endif
    for (size_t i = 0; i < N_DENIED; i++) {
        int number = seccomp_syscall_resolve_name(denied[i]);

        if (number >= 0)
            answer(p, (uint32_t)number, EPERM);
    }
    /* Threads, and nothing else. What clone3 is asked for cannot be seen from here: without it, the
     * C library goes back to clone. */
    answer(p, SYS_clone3, ENOSYS);
    p->code[p->n++] =
        (struct sock_filter){.code = BPF_JMP | BPF_JEQ | BPF_K, .jf = 3, .k = SYS_clone};
    say(p, BPF_LD | BPF_W | BPF_ABS, FIRST_LOW);
    p->code[p->n++] =
        (struct sock_filter){.code = BPF_JMP | BPF_JSET | BPF_K, .jt = 1, .k = CLONE_THREAD};
    say(p, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    say(p, BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
}

static bool deny_calls(void)
{
    struct program program;

    write_program(&program);
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0,
                   &(struct sock_fprog){.len = program.n, .filter = program.code}) == 0;
}

/* As of Linux 6.12; the headers of this build may be older. */
struct ruleset {
    uint64_t fs, net, scoped;
};
#define FS_EXECUTE      (UINT64_C(1) << 0)
#define FS_WRITE_FILE   (UINT64_C(1) << 1)
#define FS_READ_FILE    (UINT64_C(1) << 2)
#define FS_READ_DIR     (UINT64_C(1) << 3)
#define FS_REMOVE_DIR   (UINT64_C(1) << 4)
#define FS_REMOVE_FILE  (UINT64_C(1) << 5)
#define FS_MAKE_CHAR    (UINT64_C(1) << 6)
#define FS_MAKE_DIR     (UINT64_C(1) << 7)
#define FS_MAKE_REG     (UINT64_C(1) << 8)
#define FS_MAKE_SOCK    (UINT64_C(1) << 9)
#define FS_MAKE_FIFO    (UINT64_C(1) << 10)
#define FS_MAKE_BLOCK   (UINT64_C(1) << 11)
#define FS_MAKE_SYM     (UINT64_C(1) << 12)
#define FS_TRUNCATE     (UINT64_C(1) << 14) /* version 3 */
#define FS_IOCTL_DEV    (UINT64_C(1) << 15) /* of devices that are opened from here on; version 5 */
#define NET_CONNECT_TCP (UINT64_C(1) << 1)  /* version 4 */
#define SCOPED_SIGNAL   (UINT64_C(1) << 1)  /* version 6 */
#define VERSION_ASKED   1u
#define PATH_BENEATH    1

#define FS_NOWHERE (FS_EXECUTE | FS_MAKE_CHAR | FS_MAKE_FIFO | FS_MAKE_BLOCK | FS_MAKE_SYM)
#define FS_READ    (FS_READ_FILE | FS_READ_DIR)
#define FS_KEPT                                                                           \
    (FS_READ | FS_WRITE_FILE | FS_TRUNCATE | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | \
     FS_MAKE_SOCK)
#define FS_PLACES (FS_KEPT | FS_REMOVE_DIR)

struct rule {
    uint64_t allowed;
    int32_t fd;
} __attribute__((packed));

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif

static const uint64_t rights[] = {[SONA_SIDECAR_PLACE_KEPT] = FS_KEPT,
                                  [SONA_SIDECAR_PLACE_READ] = FS_READ,
                                  [SONA_SIDECAR_PLACE_FILE] = FS_READ_FILE,
                                  [SONA_SIDECAR_PLACE_WRITTEN] = FS_READ_FILE | FS_WRITE_FILE,
                                  [SONA_SIDECAR_PLACE_EMPTIED] = FS_REMOVE_DIR};

/* The descriptors of what lies in /proc stay open: such an inode is another one when nobody had it
 * in use, and the rule is about the inode. */
static bool allow(int ruleset, const struct sona_sidecar_place *place, uint64_t handled)
{
    int fd = open(place->path, O_PATH | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT || errno == EACCES; /* it cannot be used either */
    bool ok = syscall(SYS_landlock_add_rule, ruleset, PATH_BENEATH,
                      &(struct rule){.allowed = rights[place->kind] & handled, .fd = fd}, 0) == 0;
    if (strncmp(place->path, "/proc/", strlen("/proc/")) != 0)
        (void)close(fd);
    return ok;
}

/* What a ruleset handles it denies everywhere but where a rule allows it. Returns its version;
 * 0: none is in effect. Null: no place is asked about. */
static int deny_paths(const struct sona_sidecar_places *places)
{
    struct ruleset rules = {.fs = FS_NOWHERE | (places ? FS_PLACES & ~FS_TRUNCATE : 0)};
    int version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, VERSION_ASKED);
    size_t bytes = sizeof rules.fs;

    if (version < 1)
        return 0;
    if (version >= 3 && places)
        rules.fs |= FS_TRUNCATE;
    if (version >= 4) {
        rules.net = NET_CONNECT_TCP;
        bytes = offsetof(struct ruleset, scoped);
    }
    if (version >= 5)
        rules.fs |= FS_IOCTL_DEV;
    if (version >= 6) {
        rules.scoped = SCOPED_SIGNAL;
        bytes = sizeof rules;
    }
    int fd = (int)syscall(SYS_landlock_create_ruleset, &rules, bytes, 0);
    if (fd < 0)
        return 0;
    bool ok = true;
    for (uint32_t i = 0; places && ok && i < places->n; i++)
        ok = allow(fd, &places->place[i], rules.fs);
    ok = ok && syscall(SYS_landlock_restrict_self, fd, 0) == 0;
    (void)close(fd);
    return ok ? version : 0;
}

struct sona_sidecar_confined sona_sidecar_confine(const struct sona_sidecar_places *places,
                                                  bool even_there)
{
    struct sona_sidecar_confined ret = {.why = "it is built with tools for tests that need it all"};

    if (SANITIZED && !even_there)
        return ret;
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (places && !places->too_many)
        ret.landlock = deny_paths(places);
    ret.paths = ret.landlock > 0;
    if (!ret.paths)
        ret.landlock = deny_paths(NULL);
    ret.seccomp = deny_calls();
    ret.why = !ret.seccomp && !ret.landlock ? "the kernel has neither seccomp filters nor landlock"
              : !ret.seccomp                ? "the kernel takes no seccomp filter"
              : !ret.landlock               ? "the kernel has no landlock"
              : !ret.paths ? "landlock took no rules for its directories: it may use any"
                           : NULL;
    return ret;
}
