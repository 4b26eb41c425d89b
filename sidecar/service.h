/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What the service manager is told (sd_notify(3), a few datagrams to a socket; no library): when
 * clients can attach, while the configuration is read again, that the end begins, how it goes, and
 * the watchdog. Without NOTIFY_SOCKET nothing is said, and all of this does nothing.
 *
 *     open ─► ready ─► (beat ...) ─► reloading ─► ready ─► ... ─► stopping ─► done
 *
 * One per process, as its manager is. The main thread's.
 */
#ifndef SONA_SIDECAR_SERVICE_H
#define SONA_SIDECAR_SERVICE_H

#include <stdint.h>

/* Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. The socket is opened here, so that whatever
 * the process forbids itself later does not matter. */
void sona_sidecar_service_open(void);
void sona_sidecar_service_done(void);

/* Everybody who can serve does, `instances` of them; also after a reload. */
void sona_sidecar_service_ready(uint32_t instances);
void sona_sidecar_service_reloading(void);
void sona_sidecar_service_stopping(void);

/* How long its thread may wait between two beats; -1: for ever, nobody listens. */
int sona_sidecar_service_wait_ms(void);
/* Feed the watchdog if it is due and every loop went round (pulse.h); log when one did not. */
void sona_sidecar_service_beat(uint64_t now_us);

#endif
