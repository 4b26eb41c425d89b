/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The attachments of this sidecar, as control sees them: made at HELLO, ended at the client's end,
 * freed when the intake gave them back. Control's alone, but for a look by `sonactl check`.
 *
 * A client of a sidecar that is dead hands its lane memory back: then it goes on where it was,
 * ring, tag and all, and the drain goes on at the ledger's cursor. What is handed back is a
 * stranger's claim. It is taken only if it is the very memory that this instance issued to this
 * user, still whole; else the client gets a new one, and counts what the old one held.
 */
#ifndef SONA_SIDECAR_CLIENTS_H
#define SONA_SIDECAR_CLIENTS_H

#include <pthread.h>
#include <stdint.h>

#include <sona/error.h>
#include <sona/stats.h>

#include "shm/publisher.h"
#include "shm/wire.h"
#include "sidecar/attachment.h"
#include "sidecar/ledger.h"
#include "sidecar/peer.h"
#include "sidecar/tally.h"

struct sona_sidecar_clients {
    pthread_mutex_t lock; /* of `attachment`, `n` and the maps behind them, against a check */
    struct sona_shm_publisher *publisher;
    struct sona_sidecar_ledger *ledger;
    uint32_t lanes_max;
    uint32_t n, lanes; /* attached now */
    struct sona_sidecar_attachment *attachment[SONA_SHM_CLIENTS_MAX];
    uint16_t last_tag;
    uint64_t gone_full, gone_refused; /* counted by clients that are gone */
    uint64_t last_reclaim_us, max_reclaim_us;
    struct sona_sidecar_tally tally;
};

/* `kept`: what earlier sidecars learned is not lost. */
sona_err sona_sidecar_clients_init(struct sona_sidecar_clients *ret,
                                   struct sona_shm_publisher *publisher,
                                   struct sona_sidecar_ledger *ledger, bool kept,
                                   uint32_t lanes_max, sona_diag *reterr);

/* Judge a HELLO and make its attachment, with its lanes in the publisher's scan. Every refusal is
 * one sentence with the remedy. old_fd: the lane memfd that came with it, or -1; the caller's to
 * close. *ret_fd: the lane memfd to send, the caller's to close, or -1: the old one goes on. */
sona_err sona_sidecar_clients_attach(struct sona_sidecar_clients *clients,
                                     const struct sona_sidecar_peer *peer,
                                     const struct sona_wire_hello *hello, int old_fd,
                                     struct sona_sidecar_attachment **ret, int *ret_fd,
                                     sona_diag *reterr);
/* Take an attachment out of scan and table, unmap and free it. `reclaimed`: its client ended and it
 * is drained and learned; counted, and its time from the first sign of the end is kept. */
void sona_sidecar_clients_free(struct sona_sidecar_clients *clients,
                               struct sona_sidecar_attachment *attachment, bool reclaimed);
/* What `sonactl check` says of their lane memories (rings.h); returns how many it looked at. Any
 * thread; control waits meanwhile, some 50 us a ring that is full. */
uint32_t sona_sidecar_clients_verify(struct sona_sidecar_clients *clients,
                                     sona_sidecar_finding *tell, void *context);
/* Free all, at the end. */
void sona_sidecar_clients_done(struct sona_sidecar_clients *clients);

/* Add control's counters and gauges, and what the clients counted themselves. */
void sona_sidecar_clients_stats(const struct sona_sidecar_clients *clients, sona_stats *stats);

#endif
