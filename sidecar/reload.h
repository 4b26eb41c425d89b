/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * SIGHUP, as an instance sees it: the main thread has read the configuration again and judged all
 * of it (fleet.h), and these are the options now. What may change is handed to the learner, which
 * takes it over between two events, as one event of its own; and the log says what changed and what
 * needs a restart.
 *
 *     options ─► begin: compare ──asked──► learner: configure, publish ──answered──► done
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
    uint32_t changed, restart;
};

/* `wanted` is ours from now on. None is running. */
void sona_sidecar_reload_begin(struct sona_sidecar_reload *reload, struct sona_sidecar *sidecar,
                               struct sona_sidecar_options *wanted);
/* The learner's answer. */
void sona_sidecar_reload_done(struct sona_sidecar_reload *reload, struct sona_sidecar *sidecar,
                              const struct sona_sidecar_command *command);
/* At the end; the learner has stopped. */
void sona_sidecar_reload_close(struct sona_sidecar_reload *reload);

#endif
