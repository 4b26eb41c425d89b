/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Packets and descriptors over the instance's socket. One packet is one message; a packet that was
 * cut, lies about its length or carries more descriptors than the protocol knows is refused, and
 * every descriptor that came with it is closed. Each wait is bounded. Who sent a packet is the
 * kernel's word, and only there when the receiver asked for it.
 */
#include "shm/wire.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <sona/client.h>

#include "shm/diag.h"

/* Room for more descriptors than we accept, so that the surplus arrives here and is closed here. */
#define FDS_ROOM 16
/* And for the sender; where nobody asked for one, descriptors may lie there, too. */
#define CONTROL_BYTES (CMSG_SPACE(FDS_ROOM * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred)))
#define FDS_ARRIVING  (CONTROL_BYTES / sizeof(int))

bool sona_wire_instance_ok(const char *instance)
{
    size_t n = strnlen(instance, SONA_INSTANCE_NAME_MAX);

    if (n == 0 || n >= SONA_INSTANCE_NAME_MAX || instance[0] == '.')
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = instance[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

sona_err sona_wire_path(const char *runtime_dir, const char *instance, char *ret, size_t size,
                        sona_diag *reterr)
{
    const char *below = "";

    if (!sona_wire_instance_ok(instance))
        return sona_shm_diag_set(reterr, SONA_E_RANGE, 0,
                                 "an instance's name is 1..%d letters, digits, '.', '_' or '-', "
                                 "not beginning with '.'",
                                 SONA_INSTANCE_NAME_MAX - 1);
    if (!runtime_dir) {
        runtime_dir = SONA_WIRE_SYSTEM_DIR;
        if (access(runtime_dir, X_OK) != 0) {
            runtime_dir = getenv("XDG_RUNTIME_DIR");
            below = "/sona";
            if (!runtime_dir || runtime_dir[0] != '/')
                return sona_shm_diag_set(reterr, SONA_E_ABSENT, 0,
                                         "/run/sona cannot be entered and XDG_RUNTIME_DIR is not "
                                         "set; name a runtime directory");
        }
    }
    size_t limit = sizeof((struct sockaddr_un){0}.sun_path);
    int n = snprintf(ret, size, "%s%s/%s.sock", runtime_dir, below, instance);
    if (n < 0 || (size_t)n >= size || (size_t)n >= limit)
        return sona_shm_diag_set(reterr, SONA_E_RANGE, 0,
                                 "the socket path of instance %s is longer than %zu bytes; choose "
                                 "a shorter runtime directory",
                                 instance, limit - 1);
    return SONA_OK;
}

static sona_err connect_failed(const char *path, int e, sona_diag *reterr)
{
    switch (e) {
    case ENOENT:
    case ENOTDIR:
    case ECONNREFUSED:
        return sona_shm_diag_set(reterr, SONA_E_ABSENT, e,
                                 "no sidecar answers at %s; start sona-sidecar", path);
    case EACCES:
    case EPERM:
        return sona_shm_diag_set(reterr, SONA_E_PERMISSION, e,
                                 "%s may not be opened; run as the sidecar's user", path);
    case EAGAIN:
        return sona_shm_diag_set(reterr, SONA_E_TIMEOUT, e,
                                 "the sidecar at %s does not accept connections", path);
    default:
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, e, "cannot connect to %s", path);
    }
}

sona_err sona_wire_connect(const char *path, uint32_t timeout_ms, int *ret_fd, sona_diag *reterr)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t n = strlen(path);

    if (n == 0 || n >= sizeof address.sun_path)
        return sona_shm_diag_set(reterr, SONA_E_RANGE, 0, "the socket path is empty or too long");
    memcpy(address.sun_path, path, n);

    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno, "cannot create a socket");
    /* Bounds connect (a full backlog) and every send. 0 would mean for ever. */
    if (timeout_ms == 0)
        timeout_ms = 1;
    struct timeval limit = {.tv_sec = timeout_ms / 1000,
                            .tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000};
    int rc = setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (rc == 0)
        do
            rc = connect(fd, (const struct sockaddr *)&address, sizeof address);
        while (rc != 0 && errno == EINTR);
    if (rc != 0) {
        sona_err err = connect_failed(path, errno, reterr);

        (void)close(fd);
        return err;
    }
    *ret_fd = fd;
    return SONA_OK;
}

/* With what goes beside the packet: `bytes` of one kind, or none. */
static sona_err transmit(int fd, struct sona_wire_head *packet, size_t bytes, int kind,
                         const void *beside, size_t beside_bytes, sona_diag *reterr)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(SONA_WIRE_FDS_MAX * sizeof(int) + sizeof(struct ucred))];
    } control;
    struct iovec part = {.iov_base = packet, .iov_len = bytes};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    packet->magic = SONA_WIRE_MAGIC;
    packet->abi_major = SONA_ABI_MAJOR;
    packet->abi_minor = SONA_ABI_MINOR;
    packet->bytes = (uint32_t)bytes;
    if (beside_bytes > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(beside_bytes);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = kind;
        c->cmsg_len = CMSG_LEN(beside_bytes);
        memcpy(CMSG_DATA(c), beside, beside_bytes);
    }
    ssize_t sent;
    do
        sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return SONA_OK; /* a packet goes whole or not at all */
    if (errno == EAGAIN)
        return sona_shm_diag_set(reterr, SONA_E_TIMEOUT, errno, "the peer does not read");
    if (errno == EPIPE || errno == ECONNRESET)
        return sona_shm_diag_set(reterr, SONA_E_ABSENT, errno, "the peer hung up");
    return sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno, "cannot send a packet");
}

sona_err sona_wire_send(int fd, struct sona_wire_head *packet, size_t bytes, const int *fds,
                        int n_fds, sona_diag *reterr)
{
    if (bytes < sizeof *packet || bytes > SONA_WIRE_PACKET_MAX || n_fds < 0 ||
        n_fds > SONA_WIRE_FDS_MAX)
        return sona_shm_diag_set(reterr, SONA_E_RANGE, 0, "a packet of %zu bytes is not sent",
                                 bytes);
    return transmit(fd, packet, bytes, SCM_RIGHTS, fds, (size_t)n_fds * sizeof(int), reterr);
}

sona_err sona_wire_answer(int fd, const uint8_t nonce[SONA_WIRE_NONCE_BYTES], sona_diag *reterr)
{
    const struct ucred self = {.pid = getpid(), .uid = geteuid(), .gid = getegid()};
    struct sona_wire_challenge packet = {.head.kind = SONA_WIRE_ANSWER};

    memcpy(packet.nonce, nonce, sizeof packet.nonce);
    return transmit(fd, &packet.head, sizeof packet, SCM_CREDENTIALS, &self, sizeof self, reterr);
}

bool sona_wire_ask_senders(int fd)
{
    const int on = 1;

    return setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0;
}

static int64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Wait until fd has something to read; interrupted waits go on with what is left. */
static sona_err wait_readable(int fd, uint32_t timeout_ms, sona_diag *reterr)
{
    const int64_t end = now_ms() + timeout_ms;

    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = end - now_ms();
        int n = poll(&p, 1, left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left);

        if (n > 0)
            return SONA_OK; /* readable, hung up or broken: recvmsg says which */
        if (n == 0)
            return sona_shm_diag_set(reterr, SONA_E_TIMEOUT, 0,
                                     "the peer did not answer within %u ms", timeout_ms);
        if (errno != EINTR)
            return sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno, "cannot wait for the peer");
    }
}

/* Collect the descriptors of a received message, all of them, wanted or not; and its sender. */
static int collect(struct msghdr *message, int fds[FDS_ARRIVING],
                   struct sona_wire_sender *ret_sender)
{
    int n = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_type == SCM_CREDENTIALS && ret_sender) {
            struct ucred from;

            memcpy(&from, CMSG_DATA(c), sizeof from);
            *ret_sender = (struct sona_wire_sender){.pid = from.pid, .uid = from.uid};
        }
        if (c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count && n < (int)FDS_ARRIVING; i++)
            memcpy(&fds[n++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
    }
    return n;
}

/* What is wrong with a packet as it arrived; null: nothing. */
static const char *fault_of(const struct msghdr *message, const void *buf, size_t bytes, int n_fds,
                            int fds_wanted)
{
    struct sona_wire_head head;

    if (message->msg_flags & MSG_CTRUNC)
        return "a packet's descriptors were cut off";
    if (message->msg_flags & MSG_TRUNC)
        return "a packet is longer than expected";
    if (n_fds > fds_wanted)
        return "a packet carries more descriptors than expected";
    if (bytes < sizeof head)
        return "a packet is shorter than its head";
    memcpy(&head, buf, sizeof head);
    if (head.magic != SONA_WIRE_MAGIC)
        return "a packet does not begin with SONA's magic";
    if (head.bytes != bytes)
        return "a packet's length is not what its head says";
    return NULL;
}

sona_err sona_wire_receive(int fd, void *buf, size_t size, uint32_t timeout_ms, size_t *ret_bytes,
                           int *ret_fds, int *ret_n_fds, sona_diag *reterr)
{
    return sona_wire_receive_from(fd, buf, size, timeout_ms, ret_bytes, ret_fds, ret_n_fds, NULL,
                                  reterr);
}

sona_err sona_wire_receive_from(int fd, void *buf, size_t size, uint32_t timeout_ms,
                                size_t *ret_bytes, int *ret_fds, int *ret_n_fds,
                                struct sona_wire_sender *ret_sender, sona_diag *reterr)
{
    union {
        struct cmsghdr align;
        char bytes[CONTROL_BYTES];
    } control;
    struct iovec part = {.iov_base = buf, .iov_len = size};
    struct msghdr message;
    ssize_t got;

    do {
        sona_err err = wait_readable(fd, timeout_ms, reterr);
        if (err != SONA_OK)
            return err;
        message = (struct msghdr){.msg_iov = &part,
                                  .msg_iovlen = 1,
                                  .msg_control = control.bytes,
                                  .msg_controllen = sizeof control.bytes};
        got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN)
        return sona_shm_diag_set(reterr, SONA_E_TIMEOUT, errno, "the peer did not answer");
    if (got < 0 && errno != ECONNRESET)
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno, "cannot receive a packet");

    int fds[FDS_ARRIVING];
    if (ret_sender)
        *ret_sender = (struct sona_wire_sender){.pid = 0};
    int n = got < 0 ? 0 : collect(&message, fds, ret_sender);
    const char *fault = NULL;
    if (got > 0)
        fault = fault_of(&message, buf, (size_t)got, n, ret_fds ? SONA_WIRE_FDS_MAX : 0);
    if (got <= 0 || fault) {
        for (int i = 0; i < n; i++)
            (void)close(fds[i]);
        n = 0;
    }
    if (fault)
        return sona_shm_diag_set(reterr, SONA_E_FORMAT, 0, "%s; it was refused", fault);
    *ret_bytes = got > 0 ? (size_t)got : 0;
    if (ret_fds)
        memcpy(ret_fds, fds, (size_t)n * sizeof(int));
    if (ret_n_fds)
        *ret_n_fds = n;
    return SONA_OK;
}
