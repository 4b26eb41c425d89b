/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See patience.h. */
#include "sidecar/patience.h"

#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include "sidecar/log.h"

static sona_sidecar_patience_source source;

static void *wait_for(void *at, size_t bytes)
{
    void *ret = source(at, bytes);

    for (int n = 0; !ret && bytes > 0 && n < SONA_SIDECAR_PATIENCE_TRIES; n++) {
        (void)usleep(SONA_SIDECAR_PATIENCE_WAIT_US);
        ret = source(at, bytes);
    }
    if (!ret && bytes > 0 && bytes <= SONA_SIDECAR_PATIENCE_SMALL) {
        sona_sidecar_log(SONA_SIDECAR_ERROR, "memory_gone", "bytes=%zu waited_ms=%d", bytes,
                         SONA_SIDECAR_PATIENCE_TRIES * SONA_SIDECAR_PATIENCE_WAIT_US / 1000);
        _exit(1);
    }
    return ret;
}

static void *allocate(size_t bytes)
{
    return wait_for(NULL, bytes);
}

void sona_sidecar_patience_begin(sona_sidecar_patience_source of)
{
    source = of;
    event_set_mem_functions(allocate, wait_for, free);
}
