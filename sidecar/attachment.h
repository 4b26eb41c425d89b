/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * One attachment of a client, and the letters by which it changes hands.
 *
 *   control makes it ──ATTACHED──► intake drains it
 *   control sees its end ──ENDED──► intake drains the rest, waits until it is learned
 *                                    ──GONE──► control frees it
 *
 * The part above the line belongs to control, the part below it to the thread that was last named
 * in the picture; a letter hands over (a mutex orders what was written before it).
 */
#ifndef SONA_SIDECAR_ATTACHMENT_H
#define SONA_SIDECAR_ATTACHMENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shm/layout.h"
#include "shm/ring.h"
#include "sidecar/influence.h"

/* How the end of a client would be noticed. */
enum sona_sidecar_liveness {
    SONA_SIDECAR_BY_PEER_PIDFD, /* the kernel named the peer's process itself */
    SONA_SIDECAR_BY_CHALLENGE, /* its pid was opened, and then it proved that the pid was its own */
    SONA_SIDECAR_BY_PID,       /* its pid was opened, and is another's if it was given on since */
    SONA_SIDECAR_BY_HANG_UP    /* its pid is not visible from here */
};

struct sona_sidecar_lane {
    struct sona_shm_lane *shared;
    struct sona_shm_drain drain;
    uint64_t next;    /* sequence of the next record to take; ahead of the drain within a visit */
    bool quarantined; /* nothing is drained any more */
};

struct sona_sidecar_attachment {
    pid_t pid;
    uid_t uid;
    uint32_t tag;
    enum sona_sidecar_liveness liveness;
    void *map; /* the lane memfd */
    struct sona_shm_plan plan;
    int slot;          /* in the ledger */
    int guard;         /* of the map */
    bool came_back;    /* its lanes were issued by a sidecar that is dead */
    uint64_t ended_us; /* first sign of its end, 0: none */
    bool dead;         /* the process ended; else it hung up */
    /* ---- */
    bool ending, drained;
    uint64_t handed;                          /* events handed to the learner when it was drained */
    struct sona_sidecar_voice queries, words; /* its share of what is learned */
    _Atomic uint64_t held_back; /* visits that ended early for it; relaxed, for people */
    uint64_t tokens, tokens_us; /* records that may be taken at once, and when they were counted */
    uint32_t n_lanes;
    struct sona_sidecar_lane lane[];
};

/* Nothing that is committed waits in it. */
bool sona_sidecar_attachment_is_drained(const struct sona_sidecar_attachment *attachment);
/* Tell the client that nothing is drained any more. */
void sona_sidecar_attachment_close_lane(struct sona_sidecar_lane *lane);
void sona_sidecar_attachment_close(struct sona_sidecar_attachment *attachment);

enum sona_sidecar_letter_kind {
    SONA_SIDECAR_ATTACHED,
    SONA_SIDECAR_ENDED,
    SONA_SIDECAR_GONE,
    SONA_SIDECAR_STOP,
    SONA_SIDECAR_FLUSH
};

struct sona_sidecar_letter {
    enum sona_sidecar_letter_kind kind;
    struct sona_sidecar_attachment *attachment;
};

/* Room for every letter that can be under way: each attachment's two, one to stop, and those of the
 * flushes that wait (SONA_SIDECAR_COMMANDS_MAX, and as many that were just answered). */
#define SONA_SIDECAR_LETTERS_MAX (2 * SONA_SHM_CLIENTS_MAX + 1 + 32)

struct sona_sidecar_mailbox {
    pthread_mutex_t lock;
    _Atomic uint32_t count; /* written under the lock; read without it to see whether to look */
    struct sona_sidecar_letter letter[SONA_SIDECAR_LETTERS_MAX];
};

static inline void sona_sidecar_mailbox_init(struct sona_sidecar_mailbox *box)
{
    (void)pthread_mutex_init(&box->lock, NULL);
    atomic_store_explicit(&box->count, 0, memory_order_relaxed); /* no other thread yet */
}

void sona_sidecar_mailbox_put(struct sona_sidecar_mailbox *box, enum sona_sidecar_letter_kind kind,
                              struct sona_sidecar_attachment *attachment);
/* Take the oldest letter; false when there is none. One atomic load when the box is empty. */
bool sona_sidecar_mailbox_take(struct sona_sidecar_mailbox *box, struct sona_sidecar_letter *ret);

#endif
