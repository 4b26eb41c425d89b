/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Who is at the other end of a connection, and how its death would be noticed.
 *
 * Where the kernel cannot hand out the peer's process (before Linux 6.5), the number of whoever
 * said HELLO is opened, and a nonce is sent to be answered by that very number: a process that got
 * the number after the speaker's end has no part in the connection and cannot answer; and the
 * process that answers is alive after its number was opened, so that what was opened is itself.
 */
#ifndef SONA_SIDECAR_PEER_H
#define SONA_SIDECAR_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <sona/error.h>

#include "shm/wire.h"
#include "sidecar/attachment.h"

struct sona_sidecar_peer {
    pid_t pid; /* 0: not visible from here */
    uid_t uid;
    int pidfd; /* readable when the process has ended; -1: none */
    enum sona_sidecar_liveness liveness;
    bool challenged; /* a nonce is out, and nothing but its answer is listened to */
    uint8_t nonce[SONA_WIRE_NONCE_BYTES];
};

/* Ask the kernel. SONA_E_PERMISSION when the peer is neither of our own user nor root, nor in
 * `group` (SONA_SIDECAR_GROUP_NONE: there is none). */
sona_err sona_sidecar_peer_identify(int fd, uint32_t group, struct sona_sidecar_peer *ret,
                                    sona_diag *reterr);
/* A HELLO of ABI `minor` came: send a CHALLENGE if one is needed, which sets `challenged`. */
sona_err sona_sidecar_peer_challenge(int fd, struct sona_sidecar_peer *peer, uint16_t minor,
                                     const struct sona_wire_sender *sender, sona_diag *reterr);
/* Judge the answer: every nonce is good for one. SONA_E_PERMISSION. */
sona_err sona_sidecar_peer_judge(struct sona_sidecar_peer *peer,
                                 const struct sona_wire_challenge *answer,
                                 const struct sona_wire_sender *sender, sona_diag *reterr);
const char *sona_sidecar_liveness_name(enum sona_sidecar_liveness liveness);

#endif
