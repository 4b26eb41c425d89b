/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What the client library of the torture does between the pin and the validation of a snapshot: the
 * sum of both halves is taken, as the kernel would read them, and compared with the one that the
 * publisher left in the slot, when and only when the library believes what it read. Or the process
 * ends here, or is stopped, its hazard set.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "shm/reader.h"
#include "tests/torture/torture.h"

#define COLD_EVERY 8u   /* the cold half is larger, and rarely another one */
#define REST_EVERY 128u /* readers that hold a snapshot longer than the lease */

static _Thread_local struct {
    const struct torture_shared *shared;
    struct torture_log *log;
    struct torture_lane *lane;
    uint64_t hot_sum, hot_seal, cold_sum, cold_seal;
    bool cold, open;
} held;

static size_t hot_bytes, cold_bytes;

void torture_hold(const struct torture_shared *shared, struct torture_log *log,
                  struct torture_lane *lane)
{
    held.shared = shared;
    held.log = log;
    held.lane = lane;
}

static uint64_t seal_of(const void *pad)
{
    uint64_t sum;

    memcpy(&sum, pad, sizeof sum);
    return sum;
}

static uint64_t rest_of(uint64_t before, const void *bytes, size_t n)
{
    return sona_shm_sum(before, (const char *)bytes + n / 2, n - n / 2);
}

void torture_sizes(uint64_t hot, uint64_t cold)
{
    hot_bytes = (size_t)hot;
    cold_bytes = (size_t)cold;
}

/* The process stops or ends here; what it holds is written down before. */
static void fate(uint64_t n, const _Atomic uint64_t *hazard)
{
    struct torture_log *log = held.log;
    /* Relaxed, all: single words, read by another process after this one was stopped or reaped. */
    uint64_t word = atomic_load_explicit(hazard, memory_order_relaxed);

    uint64_t end = atomic_load_explicit(&log->ends_at, memory_order_relaxed);

    if (end != 0 && n >= end && (torture_in_hand(held.shared, log) || (log->seed >> 8) % 32 == 0)) {
        atomic_store_explicit(&log->held, word, memory_order_relaxed);
        atomic_store_explicit(&log->died_us, torture_now_us(), memory_order_relaxed);
        (void)kill(getpid(), SIGKILL);
    }
    if (n == atomic_load_explicit(&log->stops_at, memory_order_relaxed)) {
        atomic_store_explicit(&log->stopped, word, memory_order_relaxed);
        (void)kill(getpid(), SIGSTOP);
    }
}

void sona_shm_pinned(const struct sona_shm_pin *pin, const _Atomic uint64_t *hazard)
{
    if (!held.lane || hot_bytes == 0)
        return;
    uint64_t n = 1 + atomic_fetch_add_explicit(&held.log->holds, 1, memory_order_relaxed);
    held.lane->thrown_away += held.open;
    held.lane->reads++;
    held.open = true;
    held.hot_seal = seal_of(pin->hot_head->pad);
    held.hot_sum = sona_shm_sum(0, pin->hot, hot_bytes / 2);
    fate(n, hazard);
    if (n % REST_EVERY == 0)
        torture_nap_us(TORTURE_LEASE_MS * 1200);
    held.hot_sum = rest_of(held.hot_sum, pin->hot, hot_bytes);
    held.cold = n % COLD_EVERY == 0;
    if (held.cold) {
        held.cold_seal = seal_of(pin->cold_head->pad);
        held.cold_sum = sona_shm_sum(0, pin->cold, cold_bytes / 2);
        held.cold_sum = rest_of(held.cold_sum, pin->cold, cold_bytes);
    }
}

void sona_shm_accepted(const struct sona_shm_pin *pin, uint32_t halves)
{
    (void)pin;
    if (!held.lane || !held.open)
        return;
    held.open = false;
    if (halves & SONA_SHM_USE_HOT)
        held.lane->torn += held.hot_sum != held.hot_seal;
    if (halves & SONA_SHM_USE_COLD && held.cold)
        held.lane->torn += held.cold_sum != held.cold_seal;
}
