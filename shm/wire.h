/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The handshake: one unix SEQPACKET socket per instance, one message per packet, descriptors by
 * SCM_RIGHTS. Fixed-size structs; strings NUL-terminated. Both sides judge every field.
 *
 *     client                         sidecar
 *     HELLO {abi, lanes, dim}   ──►  peer credentials, quota, ABI
 *       [+ old lane memfd]      ◄──  WELCOME {header copy, tag, incarnation} + model fd, lane memfd
 *                                    (no lane memfd: the old one goes on, under its old tag)
 *                                    or REFUSED {code, sentence}
 *       where the kernel cannot name the peer's process (SO_PEERPIDFD, Linux 6.5), before that:
 *                             ◄──  CHALLENGE {nonce}
 *     ANSWER {the same nonce}   ──►  and the kernel's word of who sent it (SCM_CREDENTIALS)
 *     (the connection stays open: its hang-up, and the peer's pidfd, tell its death)
 *
 * What sonactl asks goes over another socket beside it (control.h).
 */
#ifndef SONA_SHM_WIRE_H
#define SONA_SHM_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <sona/error.h>

#include "shm/layout.h"

#define SONA_WIRE_MAGIC      0x45524957u /* "WIRE" */
#define SONA_WIRE_PACKET_MAX (192 * 1024)
#define SONA_WIRE_FDS_MAX    2

#define SONA_WIRE_NONCE_BYTES 16
#define SONA_WIRE_ABI_ANSWERS 2 /* minor; clients before it do not know a CHALLENGE */

enum sona_wire_kind {
    SONA_WIRE_HELLO = 1,
    SONA_WIRE_WELCOME = 2,
    SONA_WIRE_REFUSED = 3,
    SONA_WIRE_CHALLENGE = 4,
    SONA_WIRE_ANSWER = 5
};

struct sona_wire_head {
    uint32_t magic;
    uint32_t kind; /* enum sona_wire_kind */
    uint16_t abi_major, abi_minor;
    uint32_t bytes; /* of the whole packet */
};

struct sona_wire_hello {
    struct sona_wire_head head;
    uint64_t layout_hash;
    uint32_t lanes;       /* wanted, 1..SONA_LANES_MAX */
    uint32_t dim;         /* expected, 0 = any */
    uint32_t fence_modes; /* what the client can do */
    int32_t pid;          /* of the caller, for people; the kernel's word counts */
    uint64_t previous_incarnation;
};

struct sona_wire_welcome {
    struct sona_wire_head head;
    struct sona_shm_header segment; /* copy of page 0 */
    uint64_t incarnation;
    uint32_t lanes;
    uint32_t tag; /* of this attachment's ids */
    /* descriptors: model (read only), lanes; without lanes: those that were handed back go on */
};

struct sona_wire_refused {
    struct sona_wire_head head;
    uint32_t code; /* sona_err */
    char text[SONA_DIAG_TEXT_MAX];
};

/* CHALLENGE, and the ANSWER to it. */
struct sona_wire_challenge {
    struct sona_wire_head head;
    uint8_t nonce[SONA_WIRE_NONCE_BYTES];
};

/* Who sent a packet, by the kernel's word, in the receiver's name spaces. */
struct sona_wire_sender {
    pid_t pid; /* 0: not visible from here, or not asked for */
    uid_t uid;
};

#define SONA_WIRE_SYSTEM_DIR "/run/sona"

/* Path of an instance's socket: <runtime_dir>/<instance>.sock. runtime_dir null: /run/sona if it
 * exists and may be entered, else $XDG_RUNTIME_DIR/sona. SONA_E_RANGE for a bad name or a path too
 * long for a socket address. */
sona_err sona_wire_path(const char *runtime_dir, const char *instance, char *ret, size_t size,
                        sona_diag *reterr);
/* True for 1..63 letters, digits, '.', '_', '-', not beginning with '.'. */
bool sona_wire_instance_ok(const char *instance);

/* Connect within timeout_ms. SONA_E_ABSENT, SONA_E_PERMISSION, SONA_E_TIMEOUT, SONA_E_SYSTEM. */
sona_err sona_wire_connect(const char *path, uint32_t timeout_ms, int *ret_fd, sona_diag *reterr);
/* Send one packet (and descriptors). head.magic, abi and bytes are filled in. */
sona_err sona_wire_send(int fd, struct sona_wire_head *packet, size_t bytes, const int *fds,
                        int n_fds, sona_diag *reterr);
/* Receive one packet into buf. Descriptors are close-on-exec; surplus ones are closed and the
 * packet refused (MSG_CTRUNC too). *ret_bytes 0: the peer hung up. Descriptors received are the
 * caller's. */
sona_err sona_wire_receive(int fd, void *buf, size_t size, uint32_t timeout_ms, size_t *ret_bytes,
                           int *ret_fds, int *ret_n_fds, sona_diag *reterr);

/* From now on the kernel says who sends; of a listening socket, to those that connect to it. */
bool sona_wire_ask_senders(int fd);
/* sona_wire_receive(), and who sent it; ret_sender null: nobody wants to know. */
sona_err sona_wire_receive_from(int fd, void *buf, size_t size, uint32_t timeout_ms,
                                size_t *ret_bytes, int *ret_fds, int *ret_n_fds,
                                struct sona_wire_sender *ret_sender, sona_diag *reterr);
/* Answer a challenge, as this very process. */
sona_err sona_wire_answer(int fd, const uint8_t nonce[SONA_WIRE_NONCE_BYTES], sona_diag *reterr);

/* Create the lane memfd (zeroed, rings initialised, sealed SHRINK|GROW|SEAL) and map it. */
sona_err sona_shm_lanes_create(const struct sona_shm_plan *plan, const uint8_t segment_uuid[16],
                               uint32_t tag, uint32_t pid, int *ret_fd, void **ret_map,
                               sona_diag *reterr);

/* Judge a lane memfd that came over the wire, before it is mapped: sealed exactly so, tmpfs, of
 * `bytes` bytes, fully backed. SONA_E_FORMAT, SONA_E_SYSTEM. */
sona_err sona_shm_lanes_check(int fd, uint64_t bytes, sona_diag *reterr);

/* Read the identity from page 0 of a judged lane memfd. False: it cannot be read. */
bool sona_shm_lanes_identity(int fd, uint8_t ret[SONA_SHM_IDENTITY_BYTES]);

/* membarrier(2) in the GLOBAL_EXPEDITED form. EPERM counts as absent, like ENOSYS. */
bool sona_shm_membarrier_available(void);
bool sona_shm_membarrier_register(void); /* client: before its first hazard store */
bool sona_shm_membarrier(void);          /* publisher */

#endif
