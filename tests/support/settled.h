/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * fork() in a process with threads. The C library's allocator comes through it whole; that of
 * AddressSanitizer (gcc 12) does not: a lock that another thread holds at that moment stays closed
 * in the child for good.
 */
#ifndef SONA_TESTS_SUPPORT_SETTLED_H
#define SONA_TESTS_SUPPORT_SETTLED_H

#include <sys/types.h>

/* fork(), as soon as every other thread of the process sleeps; their waiting must not allocate. */
pid_t settled_fork(void);

#endif
