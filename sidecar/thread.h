/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* A thread of an instance: it has a name, and speaks in the log with the voice of its maker. */
#ifndef SONA_SIDECAR_THREAD_H
#define SONA_SIDECAR_THREAD_H

#include <pthread.h>

/* `name`: at most 15 bytes. What pthread_create says. */
int sona_sidecar_thread_create(pthread_t *ret, const char *name, void *(*run)(void *arg),
                               void *arg);

#endif
