/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Pin, validate, unpin. The publisher's side of every pair is in publisher.c:
 *
 *   [P1] hazard store / cur re-load   with  the publisher's cur store / membarrier / hazard scan:
 *        if our re-load still finds c, the publisher's scan finds our hazard. FULL: both accesses
 * are seq_cst. ASYM: our store may linger in the store buffer, and the publisher's membarrier
 *        flushes it; the signal fence only keeps the compiler from swapping the two.
 *   [P2] cur, hot.seq, cold.seq loads (acquire)  with  the publisher's release stores of the same
 *        words: what was written before the slot was bound is seen.
 *   [P3] the kernel's loads, then the acquire fence, then the seq loads  with  the publisher's
 *        seq = 0, release fence, data stores: a reader that met a byte of the next image finds that
 *        seq has changed.
 *   [P4] unpin (release)  with  the scan's acquire load: our loads are done before the slot is
 *        written.
 *
 * No locked instruction and no fence instruction on the ASYM path.
 */
#include "shm/reader.h"

#include <stdatomic.h>

int sona_shm_pin(const struct sona_shm_reader *reader, _Atomic uint64_t *hazard,
                 struct sona_shm_pin *ret)
{
    /* Relaxed: the value is only believed after the re-load below. */
    uint64_t c = atomic_load_explicit(&reader->live->cur, memory_order_relaxed);
    uint64_t again;

    if (c == 0)
        return 0;
#ifdef SONA_TSAN
    bool full = true; /* membarrier is invisible to ThreadSanitizer */
#else
    bool full = reader->full_fence;
#endif
    if (full) {
        (void)atomic_exchange_explicit(hazard, c, memory_order_seq_cst);        /* [P1] */
        again = atomic_load_explicit(&reader->live->cur, memory_order_seq_cst); /* [P1] [P2] */
    } else {
        atomic_store_explicit(hazard, c, memory_order_relaxed); /* [P1] */
        atomic_signal_fence(memory_order_seq_cst);
        again = atomic_load_explicit(&reader->live->cur, memory_order_acquire); /* [P1] [P2] */
    }
    if (again != c)
        return -1;

    uint32_t i = SONA_SHM_ID_HOT(c), j = SONA_SHM_ID_COLD(c);
    if (i >= reader->hot_slots || j >= reader->cold_slots)
        return 0; /* no publisher of ours wrote this word */
    const char *hot = reader->hot + i * reader->hot_stride;
    const char *cold = reader->cold + j * reader->cold_stride;
    const struct sona_shm_hot *hot_head = (const struct sona_shm_hot *)(const void *)hot;
    const struct sona_shm_cold *cold_head = (const struct sona_shm_cold *)(const void *)cold;
    if (atomic_load_explicit(&hot_head->seq, memory_order_acquire) != c) /* [P2] */
        return -1;
    /* Relaxed: ordered behind hot.seq by the acquire above, and validated with the hot half. */
    uint64_t k = atomic_load_explicit(&hot_head->cold_id, memory_order_relaxed);
    if (k == 0 || atomic_load_explicit(&cold_head->seq, memory_order_acquire) != k) /* [P2] */
        return -1;

    *ret = (struct sona_shm_pin){.id = c,
                                 .cold_id = k,
                                 .hot = hot + sizeof *hot_head,
                                 .cold = cold + sizeof *cold_head,
                                 .hot_head = hot_head,
                                 .cold_head = cold_head};
    return 1;
}

bool sona_shm_validate(const struct sona_shm_pin *pin, uint32_t used)
{
#ifdef SONA_TSAN
    const memory_order order = memory_order_acquire; /* it does not model fences */
#else
    const memory_order order = memory_order_relaxed;
    atomic_thread_fence(memory_order_acquire); /* [P3] */
#endif
    bool ok = true;

    if (used & SONA_SHM_USE_COLD)
        ok &= atomic_load_explicit(&pin->cold_head->seq, order) == pin->cold_id; /* [P3] */
    if (used & SONA_SHM_USE_HOT)
        ok &= atomic_load_explicit(&pin->hot_head->seq, order) == pin->id; /* [P3] */
    return ok;
}

void sona_shm_unpin(_Atomic uint64_t *hazard)
{
    atomic_store_explicit(hazard, 0, memory_order_release); /* [P4] */
}
