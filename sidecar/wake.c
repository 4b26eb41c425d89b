/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See wake.h. */
#include "sidecar/wake.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void sona_sidecar_wake_prepare(struct sona_sidecar_wake *wake)
{
    (void)atomic_exchange_explicit(&wake->asleep, 1, memory_order_acq_rel); /* [W] */
}

void sona_sidecar_wake_cancel(struct sona_sidecar_wake *wake)
{
    /* Relaxed: a waker that still finds 1 makes one needless call. */
    atomic_store_explicit(&wake->asleep, 0, memory_order_relaxed);
}

void sona_sidecar_wake_wait(struct sona_sidecar_wake *wake, uint64_t timeout_us)
{
    struct timespec timeout = {.tv_sec = (time_t)(timeout_us / 1000000),
                               .tv_nsec = (long)(timeout_us % 1000000) * 1000};

    /* The kernel compares with 1 under its own lock: a notification since prepare is not missed. */
    (void)syscall(SYS_futex, &wake->asleep, FUTEX_WAIT_PRIVATE, 1, &timeout, NULL, 0);
    sona_sidecar_wake_cancel(wake);
}

void sona_sidecar_wake_notify(struct sona_sidecar_wake *wake)
{
    if (atomic_exchange_explicit(&wake->asleep, 0, memory_order_acq_rel) == 1) /* [W] */
        (void)syscall(SYS_futex, &wake->asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
