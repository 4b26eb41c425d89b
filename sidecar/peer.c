/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See peer.h. */
#include "sidecar/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shm/diag.h"
#include "sidecar/options.h"

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5; older kernels refuse it */
#endif

/* The peer's process itself, where the kernel can name it; else its HELLO will say more. */
static void open_pidfd(int fd, struct sona_sidecar_peer *peer)
{
    socklen_t size = sizeof peer->pidfd;

    peer->liveness = SONA_SIDECAR_BY_PEER_PIDFD;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &peer->pidfd, &size) == 0) {
        (void)fcntl(peer->pidfd, F_SETFD, FD_CLOEXEC);
        return;
    }
    peer->pidfd = -1;
    peer->liveness = SONA_SIDECAR_BY_HANG_UP;
}

/* By its first group or any other; one that has too many to be told is not. */
static bool in_group(int fd, gid_t first, uint32_t group)
{
    gid_t others[256];
    socklen_t size = sizeof others;

    if (group == SONA_SIDECAR_GROUP_NONE || first == (gid_t)group)
        return group != SONA_SIDECAR_GROUP_NONE;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, others, &size) != 0)
        return false;
    for (size_t i = 0; i < size / sizeof others[0]; i++)
        if (others[i] == (gid_t)group)
            return true;
    return false;
}

sona_err sona_sidecar_peer_identify(int fd, uint32_t group, struct sona_sidecar_peer *ret,
                                    sona_diag *reterr)
{
    struct ucred credentials;
    socklen_t size = sizeof credentials;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno, "the peer cannot be identified");
    if (credentials.uid != geteuid() && credentials.uid != 0 &&
        !in_group(fd, credentials.gid, group))
        return sona_shm_diag_set(reterr, SONA_E_PERMISSION, 0,
                                 "this instance serves uid %u and root, not uid %u; run the client "
                                 "as the sidecar's user, or name a group of its user in "
                                 "clients.group",
                                 (unsigned)geteuid(), (unsigned)credentials.uid);
    *ret = (struct sona_sidecar_peer){.pid = credentials.pid, .uid = credentials.uid, .pidfd = -1};
    open_pidfd(fd, ret);
    return SONA_OK;
}

sona_err sona_sidecar_peer_challenge(int fd, struct sona_sidecar_peer *peer, uint16_t minor,
                                     const struct sona_wire_sender *sender, sona_diag *reterr)
{
    struct sona_wire_challenge packet = {.head.kind = SONA_WIRE_CHALLENGE};

    if (peer->liveness == SONA_SIDECAR_BY_PEER_PIDFD || sender->pid <= 0)
        return SONA_OK;
    peer->pid = sender->pid; /* connect may have been another's, as of a server that forks */
    peer->pidfd = (int)syscall(SYS_pidfd_open, sender->pid, 0);
    if (peer->pidfd < 0)
        return SONA_OK;
    peer->liveness = SONA_SIDECAR_BY_PID;
    if (minor < SONA_WIRE_ABI_ANSWERS)
        return SONA_OK;
    if (getrandom(peer->nonce, sizeof peer->nonce, 0) != (ssize_t)sizeof peer->nonce)
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno, "the kernel gives no random nonce");
    memcpy(packet.nonce, peer->nonce, sizeof packet.nonce);
    peer->challenged = true;
    return sona_wire_send(fd, &packet.head, sizeof packet, NULL, 0, reterr);
}

sona_err sona_sidecar_peer_judge(struct sona_sidecar_peer *peer,
                                 const struct sona_wire_challenge *answer,
                                 const struct sona_wire_sender *sender, sona_diag *reterr)
{
    struct pollfd ended = {.fd = peer->pidfd, .events = POLLIN};
    const char *why = NULL;

    peer->challenged = false;
    if (memcmp(answer->nonce, peer->nonce, sizeof peer->nonce) != 0)
        why = "it is not the nonce that was sent";
    else if (sender->pid != peer->pid)
        why = "another process answered than the one that said HELLO";
    else if (sender->uid != peer->uid)
        why = "another user answered than the one that connected";
    else if (poll(&ended, 1, 0) != 0)
        why = "the process that said HELLO has ended";
    if (why)
        return sona_shm_diag_set(reterr, SONA_E_PERMISSION, 0,
                                 "the challenge was not met: %s; one process connects, says HELLO "
                                 "and answers",
                                 why);
    peer->liveness = SONA_SIDECAR_BY_CHALLENGE;
    return SONA_OK;
}

const char *sona_sidecar_liveness_name(enum sona_sidecar_liveness liveness)
{
    static const char *const names[] = {"pidfd", "challenge", "pid", "hang-up"};

    return names[liveness];
}
