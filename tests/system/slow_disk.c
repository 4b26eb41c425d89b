/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A slow disk, for a sidecar that is started with this library in LD_PRELOAD: each write at an
 * offset (SQLite's; the log goes to stderr) takes SONA_TEST_WRITE_US longer, each fdatasync
 * SONA_TEST_SYNC_US. While the file SONA_TEST_READ_ONLY is there, it is read-only, as the kernel
 * makes one that fails.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define SEEN __attribute__((visibility("default")))

static void nap(const char *name)
{
    const char *text = getenv(name);
    long us = text ? strtol(text, NULL, 10) : 0;
    const struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};

    (void)nanosleep(&t, NULL);
}

/* Then errno says so. */
static bool is_read_only(void)
{
    const char *file = getenv("SONA_TEST_READ_ONLY");
    bool ret = file && access(file, F_OK) == 0;

    if (ret)
        errno = EROFS;
    return ret;
}

/* With offsets of 64 bits these are pwrite64 and ftruncate64, which SQLite calls. */
SEEN ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    if (is_read_only())
        return -1;
    nap("SONA_TEST_WRITE_US");
    return syscall(SYS_pwrite64, fd, bytes, n, at);
}

SEEN int ftruncate(int fd, off_t size)
{
    return is_read_only() ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

SEEN int fdatasync(int fd)
{
    nap("SONA_TEST_SYNC_US");
    return (int)syscall(SYS_fdatasync, fd);
}
