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
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/sched.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
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

static bool deny_calls(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    bool ok = filter != NULL;

    for (size_t i = 0; ok && i < sizeof denied / sizeof denied[0]; i++) {
        int number = seccomp_syscall_resolve_name(denied[i]);

        if (number >= 0)
            ok = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), number, 0) == 0;
    }
    /* Threads, and nothing else. What clone3 is asked for cannot be seen from here: without it, the
     * C library goes back to clone. */
    if (ok)
        ok = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0 &&
             seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0)) == 0;
    if (ok)
        ok = seccomp_load(filter) == 0; /* sets no_new_privs, too */
    if (filter)
        seccomp_release(filter);
    return ok;
}

/* As of Linux 6.12; the headers of this build may be older. */
struct ruleset {
    uint64_t fs, net, scoped;
};
#define FS_EXECUTE      (UINT64_C(1) << 0)
#define FS_MAKE_CHAR    (UINT64_C(1) << 6)
#define FS_MAKE_FIFO    (UINT64_C(1) << 10)
#define FS_MAKE_BLOCK   (UINT64_C(1) << 11)
#define FS_MAKE_SYM     (UINT64_C(1) << 12)
#define FS_IOCTL_DEV    (UINT64_C(1) << 15) /* of devices that are opened from here on */
#define NET_CONNECT_TCP (UINT64_C(1) << 1)
#define SCOPED_SIGNAL   (UINT64_C(1) << 1)
#define VERSION_ASKED   1u

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_restrict_self  446
#endif

/* A ruleset with nothing on it denies what it handles everywhere. Returns its version. */
static int deny_paths(void)
{
    struct ruleset rules = {.fs = FS_EXECUTE | FS_MAKE_CHAR | FS_MAKE_FIFO | FS_MAKE_BLOCK |
                                  FS_MAKE_SYM};
    int version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, VERSION_ASKED);
    size_t bytes = sizeof rules.fs;

    if (version < 1)
        return 0;
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
    bool ok = syscall(SYS_landlock_restrict_self, fd, 0) == 0;
    (void)close(fd);
    return ok ? version : 0;
}

struct sona_sidecar_confined sona_sidecar_confine(bool even_there)
{
    struct sona_sidecar_confined ret = {.why =
                                            "it runs under a sanitizer, whose tools need it all"};

    if (SANITIZED && !even_there)
        return ret;
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    ret.landlock = deny_paths();
    ret.seccomp = deny_calls();
    ret.why = ret.seccomp && ret.landlock ? NULL
              : ret.seccomp               ? "the kernel has no landlock"
              : ret.landlock              ? "the kernel takes no seccomp filter"
                                          : "the kernel has neither seccomp filters nor landlock";
    return ret;
}
