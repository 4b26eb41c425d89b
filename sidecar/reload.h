/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * SIGHUP: the configuration is read again, and all of it judged. With a mistake in it everything
 * stays as it is. Else what may change is handed to the learner, which takes it over between two
 * events, as one event of its own; and the log says what changed and what needs a restart.
 *
 *     SIGHUP ─► begin: read, judge, compare ──asked──► learner: configure, publish ──answered──►
 * done
 *
 * Control's alone, but for `change`, which is the learner's from begin to done.
 */
#ifndef SONA_SIDECAR_RELOAD_H
#define SONA_SIDECAR_RELOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "sidecar/command.h"

struct sona_sidecar;
struct sona_sidecar_options;

struct sona_sidecar_reload {
    struct sona_sidecar_options *wanted; /* null: none is running */
    struct sona_sidecar_change *change;
    bool again; /* SIGHUP came while one was running */
    uint32_t changed, restart;
};

void sona_sidecar_reload_begin(struct sona_sidecar_reload *reload, struct sona_sidecar *sidecar);
/* The learner's answer. */
void sona_sidecar_reload_done(struct sona_sidecar_reload *reload, struct sona_sidecar *sidecar,
                              const struct sona_sidecar_command *command);
/* At the end; the learner has stopped. */
void sona_sidecar_reload_close(struct sona_sidecar_reload *reload);

#endif
