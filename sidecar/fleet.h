/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The instances of one process. Each is a sidecar of its own, with its own threads, files and
 * clients (sidecar.h); its control thread opens, serves and closes it. The main thread has the
 * rest: the signals, the configuration, and who is there.
 *
 *     options ─► STARTING ─► SERVING ─► ENDED ─► joined, and gone
 *                    └── failed: told by name ──┘
 *
 * They share the address space, liburcu's reclaimer and nothing else. One that fails is told by
 * name, and the others serve; the process fails when none is left.
 */
#ifndef SONA_SIDECAR_FLEET_H
#define SONA_SIDECAR_FLEET_H

#include "sidecar/places.h"

/* Run them until SIGTERM or SIGINT; at SIGHUP read the configuration again. Every signal is blocked
 * in the calling thread. Takes the instances out of `whole`. An instance that SIGHUP adds has
 * to lie in `places`; null: it may lie anywhere. Returns the exit status. */
int sona_sidecar_fleet_run(struct sona_sidecar_whole *whole,
                           const struct sona_sidecar_places *places);

#endif
