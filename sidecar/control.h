/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The control thread of an instance: one libevent loop over the listening socket, every connection,
 * every client's pidfd, the heartbeat and the orders of the main thread. It answers handshakes,
 * notices deaths, and never touches an event or a weight. People talk to another thread
 * (http/http.h).
 */
#ifndef SONA_SIDECAR_CONTROL_H
#define SONA_SIDECAR_CONTROL_H

#include <stdatomic.h>
#include <stdbool.h>

#include <sona/error.h>

struct sona_sidecar;
struct sona_sidecar_options;

/* What the main thread wants of an instance (fleet.h). */
struct sona_sidecar_orders {
    int fd; /* eventfd, of both: there is something new */
    /* Release by the main thread, acquire by control. */
    _Atomic bool stop;
    /* Exchanged by both, acquire and release: who gets it owns it. Null: none. */
    struct sona_sidecar_options *_Atomic wanted;
};

#define SONA_SIDECAR_HEARTBEAT_MS 100  /* also of the counters on page 2 */
#define SONA_SIDECAR_SILENCE_MS   2000 /* a connection that says nothing for so long is closed */

/* Serve until the orders are to stop (other options: see reload.h), then stop the sidecar (drained,
 * learned, RETIRED) and close every connection. `ready` is called once clients can attach. */
sona_err sona_sidecar_control_run(struct sona_sidecar *sidecar, struct sona_sidecar_orders *orders,
                                  void (*ready)(void *arg), void *arg, sona_diag *reterr);

#endif
