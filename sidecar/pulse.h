/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Is every loop still going round? Each loop that must has a pulse, which it beats once a round;
 * the watchdog is fed only when each of them beat since it was fed last. So a service manager
 * restarts a sidecar that no longer drains or learns, though its other threads are well; and it
 * does not restart one whose learning waits for the disk, since that one goes round, and would wait
 * again.
 */
#ifndef SONA_SIDECAR_PULSE_H
#define SONA_SIDECAR_PULSE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <sona/client.h>

#define SONA_SIDECAR_PULSES_MAX 256u

struct sona_sidecar_pulse {
    /* Relaxed: only whether it moves is looked at. It never goes back, whoever has the place. */
    _Atomic uint64_t rounds;
    /* Release by begin, acquire by the watchdog: the name and the thread are written. */
    _Atomic bool beating;
    const char *loop;                      /* static */
    char instance[SONA_INSTANCE_NAME_MAX]; /* of the log's voice; "": the process */
    pid_t thread;
};

/* The calling thread is in `loop` from now on. Null: every place is taken, and nobody watches. */
struct sona_sidecar_pulse *sona_sidecar_pulse_begin(const char *loop);
/* [hot] A round. Takes null. */
static inline void sona_sidecar_pulse_beat(struct sona_sidecar_pulse *pulse)
{
    if (pulse)
        (void)atomic_fetch_add_explicit(&pulse->rounds, 1, memory_order_relaxed);
}
/* The loop ended as it should. Takes null. */
void sona_sidecar_pulse_end(struct sona_sidecar_pulse *pulse);

struct sona_sidecar_watchdog {
    uint64_t period_us; /* between two feedings; 0: nobody asked for any */
    uint64_t fed_us;
    /* Because of which it was not fed when it was due; null: none. */
    const char *held_by; /* its loop */
    char held_instance[SONA_INSTANCE_NAME_MAX];
    pid_t held_thread;
    uint64_t seen[SONA_SIDECAR_PULSES_MAX]; /* rounds, when it was fed */
};

/* limit_us: unless fed so often the process is killed; it is fed four times as often. 0: never. */
void sona_sidecar_watchdog_init(struct sona_sidecar_watchdog *ret, uint64_t limit_us,
                                uint64_t now_us);
/* Look; to be called more often than it is fed. True: feed it now. */
bool sona_sidecar_watchdog_look(struct sona_sidecar_watchdog *watchdog, uint64_t now_us);

#endif
