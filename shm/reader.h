/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The reader's half of the snapshot protocol: hazard, then re-validation. No system call, no lock.
 *
 *     for (tries) { if (!sona_shm_pin(...)) break; kernel; if (sona_shm_validate(...)) ok; }
 *     sona_shm_unpin(...)
 *
 * The kernel's plain loads race with a publisher that revoked the slot; that is the seqlock
 * contract (Boehm, MSPC 2012): whatever they read is thrown away unless validate says yes.
 */
#ifndef SONA_SHM_READER_H
#define SONA_SHM_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/layout.h"

#define SONA_SHM_READ_TRIES 4 /* then the caller answers with the identity, and counts */

/* One process's private view of a model segment: addresses and numbers checked at attach. */
struct sona_shm_reader {
    const struct sona_shm_live *live;
    const char *hot, *cold; /* slot 0 */
    uint64_t hot_stride, cold_stride;
    uint32_t hot_slots, cold_slots;
    bool full_fence;
};

/* A pinned pair. */
struct sona_shm_pin {
    uint64_t id; /* the cur word */
    uint64_t cold_id;
    const void *hot, *cold; /* model halves */
    const struct sona_shm_hot *hot_head;
    const struct sona_shm_cold *cold_head;
};

#define SONA_SHM_USE_HOT  1u
#define SONA_SHM_USE_COLD 2u

/* [hot] Pin the current pair through `hazard`. 1 pinned; 0 no model; -1 it changed, try again. */
int sona_shm_pin(const struct sona_shm_reader *reader, _Atomic uint64_t *hazard,
                 struct sona_shm_pin *ret);
/* [hot] True when the halves named in `used` did not change since the pin. */
bool sona_shm_validate(const struct sona_shm_pin *pin, uint32_t used);
/* [hot] Clear the hazard. */
void sona_shm_unpin(_Atomic uint64_t *hazard);

#endif
