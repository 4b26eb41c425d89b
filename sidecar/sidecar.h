/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * An instance as a whole: what its parts are, and in which order they come and go. A process may
 * have several, which know nothing of each other (fleet.h).
 *
 *     lock ─► ledger ─► store ─► segment ─► learner (resumed; first pair) ─► intake (recalled)
 *     ─► listen, http ─► LIVE, READY
 *     kill -9 at any place; then ─► lock ─► ledger: who has which lanes ─► segment: adopted, or
 *     renewed ─► ... ─► READY, and clients hand their lanes back
 *     deafen ─► DRAINING ─► intake drains ─► learner learns, publishes, keeps ─► RETIRED ─►
 *     removed, but for what is kept
 *
 *     thread       owns                                 is told by
 *     control      socket, connections, attachments     the kernel: packets, deaths; main: orders
 *     http (one)   control sockets, TCP                 the kernel: requests; learner: answers
 *     intake       lanes' drains, waiting decisions     control: letters
 *     learner      learner, publisher, figures          intake: queue of joined events; control,
 *                                                       http: commands
 *     background   nothing: runs the learner's job      learner
 *     (liburcu's)  frees old versions and rosters
 */
#ifndef SONA_SIDECAR_SIDECAR_H
#define SONA_SIDECAR_SIDECAR_H

#include <stdint.h>

#include <sona/error.h>

#include "engine/model/model.h"
#include "sidecar/clients.h"
#include "sidecar/command.h"
#include "sidecar/instance.h"
#include "sidecar/intake.h"
#include "sidecar/joined.h"
#include "sidecar/learner.h"
#include "sidecar/ledger.h"
#include "sidecar/options.h"
#include "sidecar/roster.h"
#include "sidecar/version.h"

struct sona_sidecar {
    struct sona_sidecar_options *options; /* control changes them (reload.h) */
    struct sona_sidecar_instance instance;
    struct sona_store *store; /* null: nothing outlives the process */
    char arena_path[160];     /* with it */
    struct sona_model_layout layout;
    struct sona_sidecar_ledger *ledger;
    struct sona_shm_publisher *publisher;
    void *queue_memory;
    struct sona_sidecar_stream stream;
    struct sona_sidecar_versions versions;
    struct sona_sidecar_learner *learner;
    struct sona_sidecar_intake *intake;
    struct sona_sidecar_clients clients;
    struct sona_sidecar_commands asked;
    struct sona_sidecar_desk desk; /* control's; its fd is told of attachments given back, too */
    struct sona_sidecar_roster *roster; /* what control shows (roster.h) */
    _Atomic uint64_t beat_ms;           /* control's last heartbeat; relaxed */
    char *config_json;                  /* the options in effect; control's, copied by the roster */
    uint64_t started_us;
    bool served; /* clients could connect */
    enum sona_shm_state state;
};

/* Everything up to the threads; nothing is left behind on an error. The calling thread is control
 * from now on, has entered the versions (version.h), and speaks with the voice of the instance. */
sona_err sona_sidecar_open(struct sona_sidecar *ret, struct sona_sidecar_options *options,
                           sona_diag *reterr);
/* LIVE, and clients may connect; served by sona_sidecar_control_run(). */
sona_err sona_sidecar_listen(struct sona_sidecar *sidecar, sona_diag *reterr);
/* Now and then: note what the next sidecar has to know, and forget whom nobody expects any more. */
void sona_sidecar_remember(struct sona_sidecar *sidecar);
/* Drain, learn, publish, retire. */
void sona_sidecar_stop(struct sona_sidecar *sidecar);
/* Stop unless stopped, remove and free everything. What a killed sidecar left is left as it is by
 * one that never served. */
void sona_sidecar_close(struct sona_sidecar *sidecar);

/* What --check says: could this be opened here and now? */
sona_err sona_sidecar_check(struct sona_sidecar_options *options, sona_diag *reterr);

#endif
