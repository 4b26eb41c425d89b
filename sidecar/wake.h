/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * One thread sleeps until others have something for it, without a system call on their side while
 * it is awake:
 *
 *     sleeper                              waker
 *     sona_sidecar_wake_prepare            put the work where it is looked for
 *     look for work once more:             sona_sidecar_wake_notify
 *       some: sona_sidecar_wake_cancel
 *       none: sona_sidecar_wake_wait
 *
 * Both sides exchange the same word [W]. Whichever exchange comes second sees the other's: either
 * the waker finds 1 and wakes, or the sleeper's exchange reads the waker's and so sees the work.
 */
#ifndef SONA_SIDECAR_WAKE_H
#define SONA_SIDECAR_WAKE_H

#include <stdatomic.h>
#include <stdint.h>

struct sona_sidecar_wake {
    _Atomic uint32_t asleep; /* 1: the sleeper is about to sleep, or sleeps */
};

void sona_sidecar_wake_prepare(struct sona_sidecar_wake *wake);
void sona_sidecar_wake_cancel(struct sona_sidecar_wake *wake);
/* Sleep until notified, at most timeout_us. May return early. */
void sona_sidecar_wake_wait(struct sona_sidecar_wake *wake, uint64_t timeout_us);
void sona_sidecar_wake_notify(struct sona_sidecar_wake *wake);

#endif
