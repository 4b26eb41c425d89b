/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * membarrier(2), the half of a fence that readers do not pay for. Anything but success means
 * "absent": old kernels say ENOSYS, seccomp filters say EPERM, and both get the FULL mode.
 */
#include "shm/wire.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

static long membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0);
}

bool sona_shm_membarrier_available(void)
{
    const long wanted = MEMBARRIER_CMD_GLOBAL_EXPEDITED | MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED;
    int saved = errno;
    long supported = membarrier(MEMBARRIER_CMD_QUERY);

    errno = saved;
    return supported >= 0 && (supported & wanted) == wanted;
}

bool sona_shm_membarrier_register(void)
{
    int saved = errno;
    bool ok = membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) == 0;

    errno = saved;
    return ok;
}

bool sona_shm_membarrier(void)
{
    int saved = errno;
    bool ok = membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED) == 0;

    errno = saved;
    return ok;
}
