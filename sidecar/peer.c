/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See peer.h. */
#include "sidecar/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shm/diag.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5; older kernels refuse it */
#endif

/* The peer's process itself where the kernel can name it; else the process that now has its pid,
 * which a peer that is still connected is very likely, but not certainly. */
static void open_pidfd(int fd, struct sona_sidecar_peer *peer)
{
    socklen_t size = sizeof peer->pidfd;

    peer->liveness = SONA_SIDECAR_BY_PEER_PIDFD;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &peer->pidfd, &size) == 0) {
        (void)fcntl(peer->pidfd, F_SETFD, FD_CLOEXEC);
        return;
    }
    peer->liveness = SONA_SIDECAR_BY_PID;
    peer->pidfd = peer->pid > 0 ? (int)syscall(SYS_pidfd_open, peer->pid, 0) : -1;
    if (peer->pidfd < 0)
        peer->liveness = SONA_SIDECAR_BY_HANG_UP;
}

sona_err sona_sidecar_peer_identify(int fd, struct sona_sidecar_peer *ret, sona_diag *reterr)
{
    struct ucred credentials;
    socklen_t size = sizeof credentials;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno, "the peer cannot be identified");
    if (credentials.uid != geteuid() && credentials.uid != 0)
        return sona_shm_diag_set(reterr, SONA_E_PERMISSION, 0,
                                 "this sidecar serves uid %u and root, not uid %u; run the client "
                                 "as the sidecar's user",
                                 (unsigned)geteuid(), (unsigned)credentials.uid);
    *ret = (struct sona_sidecar_peer){.pid = credentials.pid, .uid = credentials.uid, .pidfd = -1};
    open_pidfd(fd, ret);
    return SONA_OK;
}

const char *sona_sidecar_liveness_name(enum sona_sidecar_liveness liveness)
{
    static const char *const names[] = {"pidfd", "pid", "hang-up"};

    return names[liveness];
}
