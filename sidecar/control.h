/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The control thread: one libevent loop over the listening socket, every connection, every client's
 * pidfd, the signals and the heartbeat. It answers handshakes and queries, notices deaths, and
 * never touches an event or a weight.
 */
#ifndef SONA_SIDECAR_CONTROL_H
#define SONA_SIDECAR_CONTROL_H

#include <sona/error.h>

struct sona_sidecar;

#define SONA_SIDECAR_HEARTBEAT_MS 100  /* also of the counters on page 2 */
#define SONA_SIDECAR_SILENCE_MS   2000 /* a connection that says nothing for so long is closed */

/* Serve until SIGTERM or SIGINT (SIGHUP: see reload.h), then stop the sidecar (drained, learned,
 * RETIRED) and close every connection. ready_fd: told once clients can attach; -1: nobody is. */
sona_err sona_sidecar_control_run(struct sona_sidecar *sidecar, int ready_fd, sona_diag *reterr);

#endif
