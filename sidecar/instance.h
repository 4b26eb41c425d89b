/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The files of one instance in its runtime directory, and who may use them: a lock file, which says
 * that a sidecar runs, the socket of clients, and that of people (HTTP). They are removed at a
 * clean stop; a killed sidecar leaves them, and the next one takes them over, since the lock died
 * with its process.
 */
#ifndef SONA_SIDECAR_INSTANCE_H
#define SONA_SIDECAR_INSTANCE_H

#include <stdbool.h>
#include <stdint.h>

#include <sona/client.h>
#include <sona/error.h>

struct sona_sidecar_instance {
    char name[SONA_INSTANCE_NAME_MAX];
    char dir[108], socket_path[108], control_path[108], lock_path[108];
    int lock_fd, listen_fd, control_fd; /* -1: none */
    bool made_dir;
};

/* The directory, made or not, and the paths in it; nothing is looked at but which directory clients
 * would use. SONA_E_RANGE, SONA_E_ABSENT. */
sona_err sona_sidecar_instance_name(struct sona_sidecar_instance *ret, const char *name,
                                    const char *runtime_dir, sona_diag *reterr);
/* Find the runtime directory (made with mode 0700 when absent; null: as clients do, and /run/sona
 * for root) and take the lock. SONA_E_BUSY when the instance runs; SONA_E_RANGE, SONA_E_PERMISSION,
 * SONA_E_SYSTEM. */
sona_err sona_sidecar_instance_open(struct sona_sidecar_instance *ret, const char *name,
                                    const char *runtime_dir, sona_diag *reterr);
/* Replace the sockets left behind, bind, and listen: first that of people, so that where clients
 * can connect, people can. */
sona_err sona_sidecar_instance_listen(struct sona_sidecar_instance *instance, sona_diag *reterr);
/* Whoever is in this group may connect, too: the socket is its, and the directory may be passed
 * through, for which it must be ours. SONA_E_PERMISSION. */
sona_err sona_sidecar_instance_admit(const struct sona_sidecar_instance *instance, uint32_t group,
                                     sona_diag *reterr);
/* No client can connect any more: its socket is closed and gone. People can, until close. */
void sona_sidecar_instance_deafen(struct sona_sidecar_instance *instance);
/* Remove everything and let go of the lock. */
void sona_sidecar_instance_close(struct sona_sidecar_instance *instance);

#endif
