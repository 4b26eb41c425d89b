/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See pulse.h. The table is the process's, as its service manager is. */
#include "sidecar/pulse.h"

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sidecar/log.h"

#define FEEDINGS 4u /* within the limit */

static struct sona_sidecar_pulse pulses[SONA_SIDECAR_PULSES_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of who begins */

struct sona_sidecar_pulse *sona_sidecar_pulse_begin(const char *loop)
{
    struct sona_sidecar_pulse *pulse = NULL;

    (void)pthread_mutex_lock(&lock);
    for (uint32_t i = 0; i < SONA_SIDECAR_PULSES_MAX && !pulse; i++)
        /* Acquire: pairs with end's release, who wrote here before. */
        if (!atomic_load_explicit(&pulses[i].beating, memory_order_acquire))
            pulse = &pulses[i];
    if (pulse) {
        pulse->loop = loop;
        pulse->thread = gettid();
        (void)snprintf(pulse->instance, sizeof pulse->instance, "%s",
                       sona_sidecar_voice_instance());
        sona_sidecar_pulse_beat(pulse); /* a new loop has begun, whatever was seen here before */
        atomic_store_explicit(&pulse->beating, true, memory_order_release);
    }
    (void)pthread_mutex_unlock(&lock);
    return pulse;
}

void sona_sidecar_pulse_end(struct sona_sidecar_pulse *pulse)
{
    if (pulse)
        atomic_store_explicit(&pulse->beating, false, memory_order_release);
}

void sona_sidecar_watchdog_init(struct sona_sidecar_watchdog *ret, uint64_t limit_us,
                                uint64_t now_us)
{
    *ret = (struct sona_sidecar_watchdog){.period_us = limit_us / FEEDINGS, .fed_us = now_us};
}

bool sona_sidecar_watchdog_look(struct sona_sidecar_watchdog *watchdog, uint64_t now_us)
{
    struct sona_sidecar_watchdog *w = watchdog;
    uint64_t rounds[SONA_SIDECAR_PULSES_MAX];

    if (w->period_us == 0 || now_us - w->fed_us < w->period_us)
        return false;
    w->held_by = NULL;
    for (uint32_t i = 0; i < SONA_SIDECAR_PULSES_MAX; i++) {
        rounds[i] = atomic_load_explicit(&pulses[i].rounds, memory_order_relaxed);
        if (rounds[i] == w->seen[i] &&
            atomic_load_explicit(&pulses[i].beating, memory_order_acquire)) {
            (void)pthread_mutex_lock(&lock);
            w->held_by = pulses[i].loop;
            w->held_thread = pulses[i].thread;
            memcpy(w->held_instance, pulses[i].instance, sizeof w->held_instance);
            (void)pthread_mutex_unlock(&lock);
            return false;
        }
    }
    for (uint32_t i = 0; i < SONA_SIDECAR_PULSES_MAX; i++)
        w->seen[i] = rounds[i];
    w->fed_us = now_us;
    return true;
}
