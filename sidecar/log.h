/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The log: logfmt lines on stderr, one per event, with the stable names of events.h.
 *
 *     ts=2026-11-22T13:04:05.678Z level=info instance=default event=client_attached pid=4711
 *
 * Each instance has a voice, with which its threads speak: it names the instance, and what is
 * limited and kept is of that voice alone. A thread without one speaks for the process. A value in
 * quotes is escaped: whatever it is made of, it stays one value. At most SONA_SIDECAR_LOG_BURST
 * lines a second per event; the next one, or event=left_out when there is none, says how many were
 * left out. What somebody asked for, events "config_...", is written in full. Under systemd each
 * line begins with its priority. Warnings and errors are also kept, each distinct text once with a
 * count, for page 2 of the segment. Any thread.
 */
#ifndef SONA_SIDECAR_LOG_H
#define SONA_SIDECAR_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/layout.h"

#define SONA_SIDECAR_LOG_BURST 20

enum sona_sidecar_level { SONA_SIDECAR_INFO, SONA_SIDECAR_WARN, SONA_SIDECAR_ERROR };

/* Look whom stderr leads to. Before there are threads. */
void sona_sidecar_log_open(void);
/* True when `stream`, "device:inode" as the variable JOURNAL_STREAM has it, is what `fd` leads to:
 * journald reads it. Null is nobody's. */
bool sona_sidecar_log_is_journal(const char *stream, int fd);

/* What a line that is no event begins with: its priority, for the journal; else "". */
const char *sona_sidecar_log_priority(enum sona_sidecar_level level);

struct sona_sidecar_voice;

/* `instance`: copied. Null without memory. */
struct sona_sidecar_voice *sona_sidecar_voice_make(const char *instance);
/* No thread speaks with it any more. Takes null. */
void sona_sidecar_voice_free(struct sona_sidecar_voice **voice);
/* The calling thread speaks with this voice from now on; null: for the process. */
void sona_sidecar_voice_speak(struct sona_sidecar_voice *voice);
/* With which the calling thread speaks; null: for the process. */
struct sona_sidecar_voice *sona_sidecar_voice_current(void);

/* Its instance; "" for the process. */
const char *sona_sidecar_voice_instance(void);

/* What follows is of the calling thread's voice. */

/* From now on lines below `level` are not written. Warnings and errors are kept all the same. */
void sona_sidecar_log_level(enum sona_sidecar_level level);

/* `event` is a name of events.h; the rest, shorter than 512 bytes before its values are put in,
 * formats "key=value key=\"some text\" ...", or is "". */
__attribute__((format(printf, 3, 4))) void
sona_sidecar_log(enum sona_sidecar_level level, const char *event, const char *format, ...);

/* Say what was left out of events that are quiet since. Now and then; any thread. */
void sona_sidecar_log_settle(void);

/* Copy the kept texts to page 2. One thread. */
void sona_sidecar_log_keep(struct sona_shm_counters *page);

#endif
