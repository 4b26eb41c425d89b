/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * An older kernel: a filter of system calls, which a process that was forked for one test puts on
 * itself. Sidecar and client inherit it.
 */
#ifndef SONA_TESTS_SYSTEM_OLDER_H
#define SONA_TESTS_SYSTEM_OLDER_H

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#define OLDER_ANY          (-1)
#define OLDER_SO_PEERPIDFD 77

/* From here on the system call fails with `e`; only where its third argument is `third`, unless
 * that is OLDER_ANY. */
static inline void older_without(long number, int third, int e)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)third, 0, third == OLDER_ANY ? 0 : 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)e),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};

    cr_assert(zero(int, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)));
    cr_assert(zero(int, prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)), "%m");
}

/* Before Linux 6.5. */
static inline void older_without_peerpidfd(void)
{
    older_without(SYS_getsockopt, OLDER_SO_PEERPIDFD, ENOPROTOOPT);
}

#endif
