/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See attachment.h. Letters are rare: one lock and one memmove are cheap enough. */
#include "sidecar/attachment.h"

#include <assert.h>
#include <string.h>

void sona_sidecar_mailbox_put(struct sona_sidecar_mailbox *box, enum sona_sidecar_letter_kind kind,
                              struct sona_sidecar_attachment *attachment)
{
    (void)pthread_mutex_lock(&box->lock);
    uint32_t n = atomic_load_explicit(&box->count, memory_order_relaxed); /* the lock orders it */

    assert(n < SONA_SIDECAR_LETTERS_MAX);
    box->letter[n] = (struct sona_sidecar_letter){.kind = kind, .attachment = attachment};
    /* Relaxed, and in take: whoever sees it late looks again; the lock hands over the letters. */
    atomic_store_explicit(&box->count, n + 1, memory_order_relaxed);
    (void)pthread_mutex_unlock(&box->lock);
}

bool sona_sidecar_mailbox_take(struct sona_sidecar_mailbox *box, struct sona_sidecar_letter *ret)
{
    if (atomic_load_explicit(&box->count, memory_order_relaxed) == 0)
        return false;
    (void)pthread_mutex_lock(&box->lock);
    uint32_t n = atomic_load_explicit(&box->count, memory_order_relaxed);
    if (n > 0) {
        *ret = box->letter[0];
        memmove(box->letter, box->letter + 1, (n - 1) * sizeof box->letter[0]);
        atomic_store_explicit(&box->count, n - 1, memory_order_relaxed);
    }
    (void)pthread_mutex_unlock(&box->lock);
    return n > 0;
}
