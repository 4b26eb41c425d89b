/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * ThreadSanitizer does not see inside liburcu; these tell it what liburcu promises: what was
 * written before a swap is seen after a dereference, and a reader is done before what it read is
 * freed.
 */
#ifndef SONA_SIDECAR_PROMISE_H
#define SONA_SIDECAR_PROMISE_H

#ifdef SONA_TSAN
#include <sanitizer/tsan_interface.h>
#define PROMISED_BY(tag) __tsan_release((void *)(uintptr_t)(tag))
#define RELIED_ON(tag)   __tsan_acquire((void *)(uintptr_t)(tag))
#else
#define PROMISED_BY(tag) ((void)0)
#define RELIED_ON(tag)   ((void)0)
#endif

#endif
