/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What control shows to the other threads: who is attached, what control and the clients count, and
 * the options in effect. An immutable object, swapped by liburcu as the learner's version is
 * (version.h), so that nobody who reads it can keep control waiting. Control is the only writer.
 *
 * Whoever wants both reads the roster first: a client that it calls reclaimed is in the statistics
 * of every version read after it.
 */
#ifndef SONA_SIDECAR_ROSTER_H
#define SONA_SIDECAR_ROSTER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <urcu.h>

#include <sona/stats.h>

#include "shm/layout.h"
#include "sidecar/attachment.h"

struct sona_sidecar;

struct sona_sidecar_guest {
    pid_t pid;
    uid_t uid;
    uint32_t lanes, tag;
    enum sona_sidecar_liveness liveness;
    bool ending;
    uint64_t held_back; /* by the judge, as of the last heartbeat */
};

struct sona_sidecar_roster {
    struct rcu_head rcu;
    enum sona_shm_state state;
    uint64_t counter[SONA_COUNTER_COUNT]; /* control's, and what clients counted themselves */
    uint32_t lanes, n_guests;
    uint64_t last_reclaim_us, max_reclaim_us;
    bool background;                   /* the configuration wants cycles */
    const char *config;                /* the options in effect, as JSON; behind the guests */
    struct sona_sidecar_guest guest[]; /* n_guests */
};

/* Control: show how it is now. Without memory the one before stays. */
void sona_sidecar_roster_show(struct sona_sidecar *sidecar);
/* Control: the options are other ones. */
void sona_sidecar_roster_renew(struct sona_sidecar *sidecar);
/* Free the last one. Every other thread has left. */
void sona_sidecar_roster_done(struct sona_sidecar *sidecar);

/* The current one, valid until unread; there is one before the first thread. Any thread that has
 * entered (version.h). Do not block in between. */
const struct sona_sidecar_roster *sona_sidecar_roster_read(const struct sona_sidecar *sidecar);
void sona_sidecar_roster_unread(void);

#endif
