/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Ctrl-C ends a run, not just the process: the private sidecar is stopped and what it made removed.
 */
#ifndef SONA_TOOLS_STOP_H
#define SONA_TOOLS_STOP_H

#include <signal.h>

/* Catch SIGINT, SIGTERM and SIGHUP; the flag returned becomes 1. A second signal ends the process
 * at once (the sidecar ends with its parent). Ignores SIGPIPE, so that a closed pipe ends in an
 * error of the write. */
const volatile sig_atomic_t *sona_tools_stop_install(void);

#endif
