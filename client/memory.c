/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Pages that a hot call may touch: present before the first call, not inherited by fork(), left out
 * of core dumps (they hold embeddings), and locked in memory where RLIMIT_MEMLOCK allows it.
 */
#include "client/client.h"

#include <sys/mman.h>

bool sona_client_pages_settle(void *map, size_t bytes, bool writable)
{
    char *base = map;

    (void)madvise(map, bytes, MADV_DONTFORK);
    (void)madvise(map, bytes, MADV_DONTDUMP);
    for (size_t at = 0; at < bytes; at += SONA_SHM_PAGE) {
        /* Relaxed: only the page counts. Adding nothing is a write that changes nothing, whoever
         * else writes there. */
        _Atomic unsigned char *byte = (_Atomic unsigned char *)(base + at);

        if (writable)
            (void)atomic_fetch_add_explicit(byte, 0, memory_order_relaxed);
        else
            (void)atomic_load_explicit(byte, memory_order_relaxed);
    }
    return mlock(map, bytes) == 0;
}

void *sona_client_pages_map(size_t bytes, bool *ret_locked)
{
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (map == MAP_FAILED)
        return NULL;
    *ret_locked = sona_client_pages_settle(map, bytes, true);
    return map;
}
