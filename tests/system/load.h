/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A process that decides and tells outcomes as fast as it can, and keeps its own count of what it
 * committed in memory that survives its death.
 */
#ifndef SONA_TESTS_SYSTEM_LOAD_H
#define SONA_TESTS_SYSTEM_LOAD_H

#include <stdatomic.h>
#include <sys/types.h>

#include "stage.h"

struct load_count {
    _Atomic uint64_t decisions, outcomes; /* committed, by the client's own account */
    _Atomic uint64_t attachments;         /* sidecars found so far, looked at now and then */
    _Atomic bool stop;                    /* the parent: end in peace */
    _Atomic bool detached;                /* the client noticed that the sidecar stops */
    sona_client_stats stats;              /* written before a peaceful end */
};

struct load {
    struct load_count *count; /* shared */
    pid_t pid;
};

void load_start(struct load *load, const struct stage *stage);
/* Wait until so many outcomes were committed. */
void load_await(const struct load *load, uint64_t outcomes);
/* Wait until it has found so many sidecars: rings take records while nobody listens, so that
 * outcomes alone do not show it. */
void load_await_attachment(const struct load *load, uint64_t attachments);
void load_kill(struct load *load);
/* Ask it to end, and wait; its client's statistics are in count->stats. */
void load_stop(struct load *load);

#endif
