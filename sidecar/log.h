/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The log: logfmt lines on stderr, one per event, with stable event names.
 *
 *     ts=2026-11-22T13:04:05.678Z level=info event=client_attached pid=4711 lanes=4
 *
 * At most SONA_SIDECAR_LOG_BURST lines a second per event name; the next one says how many were
 * left out. What somebody asked for, events "config_...", is written in full. Warnings and errors
 * are also kept, each distinct text once with a count, for page 2 of the segment. Any thread.
 */
#ifndef SONA_SIDECAR_LOG_H
#define SONA_SIDECAR_LOG_H

#include <stdint.h>

#include "shm/layout.h"

#define SONA_SIDECAR_LOG_BURST 20

enum sona_sidecar_level { SONA_SIDECAR_INFO, SONA_SIDECAR_WARN, SONA_SIDECAR_ERROR };

/* From now on lines below `level` are not written. Warnings and errors are kept all the same. */
void sona_sidecar_log_level(enum sona_sidecar_level level);

/* `event` is a static string; the rest formats "key=value key=\"some text\" ...", or is "". */
__attribute__((format(printf, 3, 4))) void
sona_sidecar_log(enum sona_sidecar_level level, const char *event, const char *format, ...);

/* Copy the kept texts to page 2. One thread. */
void sona_sidecar_log_keep(struct sona_shm_counters *page);

#endif
