/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Who is at the other end of a connection, and how its death would be noticed. */
#ifndef SONA_SIDECAR_PEER_H
#define SONA_SIDECAR_PEER_H

#include <sys/types.h>

#include <sona/error.h>

#include "sidecar/attachment.h"

struct sona_sidecar_peer {
    pid_t pid; /* 0: not visible from here */
    uid_t uid;
    int pidfd; /* readable when the process has ended; -1: none */
    enum sona_sidecar_liveness liveness;
};

/* Ask the kernel. SONA_E_PERMISSION when the peer is neither of our own user nor root, nor in
 * `group` (SONA_SIDECAR_GROUP_NONE: there is none). */
sona_err sona_sidecar_peer_identify(int fd, uint32_t group, struct sona_sidecar_peer *ret,
                                    sona_diag *reterr);
const char *sona_sidecar_liveness_name(enum sona_sidecar_liveness liveness);

#endif
