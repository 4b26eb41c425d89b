/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See attachment.h. Letters are rare: one lock and one memmove are cheap enough. */
#include "sidecar/attachment.h"

#include <assert.h>
#include <string.h>

bool sona_sidecar_attachment_is_drained(const struct sona_sidecar_attachment *attachment)
{
    const struct sona_sidecar_attachment *a = attachment;

    for (uint32_t i = 0; i < a->n_lanes; i++)
        if (!a->lane[i].quarantined && sona_shm_drain_ready(&a->lane[i].drain) > 0)
            return false;
    return true;
}

void sona_sidecar_attachment_close_lane(struct sona_sidecar_lane *lane)
{
    /* Relaxed: a flag that is only ever set. */
    atomic_store_explicit(&lane->shared->control.closed, 1, memory_order_relaxed);
}

void sona_sidecar_attachment_close(struct sona_sidecar_attachment *attachment)
{
    for (uint32_t i = 0; i < attachment->n_lanes; i++)
        sona_sidecar_attachment_close_lane(&attachment->lane[i]);
}

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
