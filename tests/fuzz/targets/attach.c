/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What a stranger sends to the socket of the clients: a packet of any bytes with up to four
 * descriptors of any kind. It is refused, or makes an attachment that is taken apart again; no
 * descriptor stays open.
 *
 *     byte 0: packet is put right (bits) | byte 1: how many descriptors | byte 2: of which kind
 *     | the packet
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sona/client.h>

#include "shm/wire.h"
#include "sidecar/clients.h"
#include "sidecar/log.h"
#include "tests/fuzz/targets/fuzz.h"

#define MEND_HEAD  1u /* magic, length, ABI, kind */
#define MEND_HELLO 2u /* layout, fence mode, few lanes */
#define FDS        4u

static struct {
    struct sona_shm_publisher *publisher;
    struct sona_sidecar_ledger *ledger;
    struct sona_sidecar_clients clients;
    char path[64];
    int pair[2], old;
} f;

static int lowest_free(void)
{
    int fd = fcntl(f.pair[0], F_DUPFD_CLOEXEC, 0);

    (void)close(fd);
    return fd;
}

/* The names are gone at once: libFuzzer does not come back to us at its end. */
static void begin(void)
{
    char name[64], shm[80];
    sona_diag diag;

    (void)snprintf(name, sizeof name, "t-fuzz-%d", (int)getpid());
    struct sona_shm_segment_options options = {
        .instance = name,
        .geometry = {.dim = 16, .routes_max = 4, .base_rank = 4, .layers = 1, .patterns_max = 4},
        .hot_bytes = 256,
        .cold_bytes = 256,
        .ring_slots = 2,
        .wall_us = 1,
    };
    FUZZ_HOLD(sona_shm_publisher_create(&f.publisher, &options, &diag) == SONA_OK);
    (void)snprintf(f.path, sizeof f.path, "/dev/shm/t-fuzz-%d.lanes", (int)getpid());
    FUZZ_HOLD(sona_sidecar_ledger_open(&f.ledger, f.path, &diag) == SONA_OK);
    (void)snprintf(shm, sizeof shm, "/sona.%s.model", name);
    FUZZ_HOLD(shm_unlink(shm) == 0 && unlink(f.path) == 0);
    FUZZ_HOLD(sona_sidecar_clients_init(&f.clients, f.publisher, f.ledger, false, 8, &diag) ==
              SONA_OK);
    FUZZ_HOLD(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, f.pair) == 0);
    f.old = memfd_create("old", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    FUZZ_HOLD(f.old >= 0 && ftruncate(f.old, 8192) == 0);
}

/* As a stranger sends it: nothing of sona_wire_send()'s care. */
static void send_packet(const void *packet, size_t bytes, uint32_t n_fds, uint32_t kind)
{
    const int kinds[] = {f.old, f.pair[1], STDERR_FILENO, f.pair[0]};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(FDS * sizeof(int))];
    } control = {.bytes = {0}};
    struct iovec part = {.iov_base = (void *)(uintptr_t)packet, .iov_len = bytes};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (n_fds > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        for (uint32_t i = 0; i < n_fds; i++)
            memcpy(CMSG_DATA(c) + i * sizeof(int), &kinds[(kind + i) % 4], sizeof(int));
    }
    FUZZ_HOLD(sendmsg(f.pair[1], &message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)bytes);
}

static void attach(const struct sona_wire_hello *hello, int old_fd)
{
    const struct sona_sidecar_peer peer = {.pid = 1, .uid = getuid(), .pidfd = -1};
    struct sona_sidecar_attachment *a = NULL;
    sona_diag diag = {.code = SONA_OK};
    int fd = -1;
    sona_err err = sona_sidecar_clients_attach(&f.clients, &peer, hello, old_fd, &a, &fd, &diag);

    FUZZ_HOLD(err == SONA_OK || diag.code == err);
    if (err != SONA_OK)
        return;
    FUZZ_HOLD(a->n_lanes == hello->lanes && a->n_lanes <= 8 && a->tag != 0);
    if (fd >= 0) {
        FUZZ_HOLD(sona_shm_lanes_check(fd, a->plan.lanes_bytes, &diag) == SONA_OK);
        (void)close(fd);
    }
    sona_sidecar_clients_free(&f.clients, a, true);
}

/* What the sidecar does with it. */
static void receive(void)
{
    union {
        struct sona_wire_head head;
        struct sona_wire_hello hello;
        char room[4096];
    } packet;
    int fds[SONA_WIRE_FDS_MAX], n_fds = 0;
    size_t bytes = 0;
    sona_diag diag = {.code = SONA_OK};
    sona_err err =
        sona_wire_receive(f.pair[0], &packet, sizeof packet, 0, &bytes, fds, &n_fds, &diag);

    FUZZ_HOLD(err == SONA_OK || diag.code == err);
    FUZZ_HOLD(n_fds >= 0 && n_fds <= SONA_WIRE_FDS_MAX);
    if (err == SONA_OK && packet.head.kind == SONA_WIRE_HELLO && bytes == sizeof packet.hello &&
        n_fds <= 1)
        attach(&packet.hello, n_fds == 1 ? fds[0] : -1);
    for (int i = 0; i < n_fds; i++)
        (void)close(fds[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    union {
        struct sona_wire_hello hello;
        char room[8192];
    } packet;
    struct fuzz_input in = {data, size};

    if (!f.publisher)
        begin();
    uint8_t mend = fuzz_byte(&in), n_fds = fuzz_byte(&in) % (FDS + 1), kind = fuzz_byte(&in);
    size_t bytes = fuzz_take(&in, &packet, sizeof packet);
    if (mend & MEND_HEAD) {
        bytes = mend & MEND_HELLO || bytes < sizeof packet.hello ? sizeof packet.hello : bytes;
        packet.hello.head = (struct sona_wire_head){.magic = SONA_WIRE_MAGIC,
                                                    .kind = SONA_WIRE_HELLO,
                                                    .abi_major = SONA_ABI_MAJOR,
                                                    .abi_minor = SONA_ABI_MINOR,
                                                    .bytes = (uint32_t)bytes};
    }
    if (mend & MEND_HELLO) {
        packet.hello.layout_hash = sona_shm_layout_hash();
        packet.hello.fence_modes |= SONA_SHM_FENCE_FULL;
        packet.hello.lanes %= 10;
        packet.hello.dim = packet.hello.dim % 2 ? 16 : 0;
    }
    if (bytes == 0)
        return 0; /* a packet of no bytes looks like a hang-up */
    int first = lowest_free();
    send_packet(&packet, bytes, n_fds, kind);
    receive();
    FUZZ_HOLD(lowest_free() == first);
    return 0;
}
