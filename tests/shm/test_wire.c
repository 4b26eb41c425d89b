/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Packets and descriptors: whole, in time, no surplus, nothing leaked; the lane memfd and its
 * seals. */
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "shm/ring.h"
#include "shm/wire.h"

static int a, b; /* the two ends */

static void connect_pair(void)
{
    int fds[2];

    cr_assert(eq(int, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0));
    a = fds[0];
    b = fds[1];
}

static int open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    cr_assert(ne(ptr, dir, NULL));
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Send raw bytes with descriptors, as a stranger might. */
static void send_raw(int fd, void *bytes, size_t n, const int *fds, size_t n_fds)
{
    char control[CMSG_SPACE(64 * sizeof(int))] = {0};
    struct iovec part = {bytes, n};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};

    if (n_fds > 0) {
        m.msg_control = control;
        m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
    }
    cr_assert(eq(i64, sendmsg(fd, &m, 0), (int64_t)n));
}

static struct sona_wire_hello hello(void)
{
    return (struct sona_wire_hello){.head = {.magic = SONA_WIRE_MAGIC,
                                             .kind = SONA_WIRE_HELLO,
                                             .bytes = sizeof(struct sona_wire_hello)},
                                    .lanes = 3};
}

Test(wire, a_packet_and_its_descriptors_arrive_whole_and_close_on_exec, .init = connect_pair)
{
    struct sona_wire_hello sent = hello(), got;
    int pipes[2], fds[SONA_WIRE_FDS_MAX], n = 0;
    size_t bytes;

    cr_assert(eq(int, pipe(pipes), 0));
    cr_assert(eq(int, sona_wire_send(a, &sent.head, sizeof sent, pipes, 2, NULL), SONA_OK));
    cr_assert(
        eq(int, sona_wire_receive(b, &got, sizeof got, 1000, &bytes, fds, &n, NULL), SONA_OK));
    cr_assert(eq(sz, bytes, sizeof got));
    cr_assert(eq(u32, got.lanes, 3));
    cr_assert(eq(u32, got.head.abi_major, SONA_ABI_MAJOR));
    cr_assert(eq(int, n, 2));
    for (int i = 0; i < 2; i++) {
        struct stat mine, theirs;

        cr_assert(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
        fstat(pipes[i], &mine);
        fstat(fds[i], &theirs);
        cr_assert(eq(u64, mine.st_ino, theirs.st_ino));
    }
}

static void expect_surplus_refused(void)
{
    static const size_t counts[] = {3, 8, 16, 17, 18, 21, 24, 25, 40};

    for (size_t k = 0; k < sizeof counts / sizeof counts[0]; k++) {
        struct sona_wire_hello packet = hello();
        int fds[40], got[SONA_WIRE_FDS_MAX], n = 77;
        size_t bytes = 77;
        sona_diag diag;

        for (size_t i = 0; i < counts[k]; i++)
            fds[i] = a;
        int before = open_descriptors();
        send_raw(a, &packet, sizeof packet, fds, counts[k]);
        cr_assert(eq(int,
                     sona_wire_receive(b, &packet, sizeof packet, 1000, &bytes, got, &n, &diag),
                     SONA_E_FORMAT));
        cr_assert(eq(int, open_descriptors(), before), "%zu descriptors: none is left open",
                  counts[k]);
        cr_assert(eq(int, n, 77), "written on success only");
        cr_assert(ne(ptr, strstr(diag.text, "descriptors"), NULL), "%s", diag.text);
    }
}

Test(wire, surplus_descriptors_are_closed_and_the_packet_refused, .init = connect_pair)
{
    expect_surplus_refused();
    cr_assert(sona_wire_ask_senders(b)); /* less room for them */
    expect_surplus_refused();
}

Test(wire, the_kernel_says_who_sent_a_packet_to_whoever_asked, .init = connect_pair)
{
    struct sona_wire_sender sender = {.pid = 77};
    struct sona_wire_hello packet = hello();
    struct sona_wire_challenge answer;
    const uint8_t nonce[SONA_WIRE_NONCE_BYTES] = {1, 2, 3};
    size_t bytes;

    cr_assert(eq(int, sona_wire_send(a, &packet.head, sizeof packet, NULL, 0, NULL), SONA_OK));
    cr_assert(eq(
        int,
        sona_wire_receive_from(b, &packet, sizeof packet, 1000, &bytes, NULL, NULL, &sender, NULL),
        SONA_OK));
    cr_expect(eq(int, sender.pid, 0), "nobody asked");
    cr_assert(sona_wire_ask_senders(b));
    cr_assert(eq(int, sona_wire_answer(a, nonce, NULL), SONA_OK));
    cr_assert(eq(
        int,
        sona_wire_receive_from(b, &answer, sizeof answer, 1000, &bytes, NULL, NULL, &sender, NULL),
        SONA_OK));
    cr_expect(eq(sz, bytes, sizeof answer));
    cr_expect(eq(u32, answer.head.kind, SONA_WIRE_ANSWER));
    cr_expect(eq(int, memcmp(answer.nonce, nonce, sizeof nonce), 0));
    cr_expect(eq(int, sender.pid, getpid()));
    cr_expect(eq(u32, sender.uid, geteuid()));
    cr_assert(not(sona_wire_ask_senders(-1)));
}

Test(wire, descriptors_that_nobody_asked_for_are_refused, .init = connect_pair)
{
    struct sona_wire_hello packet = hello();
    size_t bytes;
    int before = open_descriptors();

    send_raw(a, &packet, sizeof packet, &a, 1);
    cr_assert(eq(int, sona_wire_receive(b, &packet, sizeof packet, 1000, &bytes, NULL, NULL, NULL),
                 SONA_E_FORMAT));
    cr_assert(eq(int, open_descriptors(), before));
}

Test(wire, packets_that_are_cut_short_or_lie_are_refused, .init = connect_pair)
{
    struct sona_wire_hello packet = hello(), got;
    size_t bytes;

    send_raw(a, &packet, sizeof packet.head - 1, NULL, 0);
    cr_assert(eq(int, sona_wire_receive(b, &got, sizeof got, 1000, &bytes, NULL, NULL, NULL),
                 SONA_E_FORMAT),
              "shorter than a head");
    send_raw(a, &packet, sizeof packet - 1, NULL, 0);
    cr_assert(eq(int, sona_wire_receive(b, &got, sizeof got, 1000, &bytes, NULL, NULL, NULL),
                 SONA_E_FORMAT),
              "shorter than it says");
    send_raw(a, &packet, sizeof packet, NULL, 0);
    cr_assert(eq(int, sona_wire_receive(b, &got, sizeof got - 1, 1000, &bytes, NULL, NULL, NULL),
                 SONA_E_FORMAT),
              "longer than the reader has room for");
    packet.head.magic ^= 1;
    send_raw(a, &packet, sizeof packet, NULL, 0);
    cr_assert(eq(int, sona_wire_receive(b, &got, sizeof got, 1000, &bytes, NULL, NULL, NULL),
                 SONA_E_FORMAT),
              "another magic");
}

Test(wire, a_hang_up_is_told_as_no_bytes, .init = connect_pair)
{
    struct sona_wire_hello got;
    struct sona_wire_hello packet = hello();
    size_t bytes = 77;

    close(a);
    cr_assert(
        eq(int, sona_wire_receive(b, &got, sizeof got, 1000, &bytes, NULL, NULL, NULL), SONA_OK));
    cr_assert(eq(sz, bytes, 0));
    cr_assert(eq(int, sona_wire_send(b, &packet.head, sizeof packet, NULL, 0, NULL), SONA_E_ABSENT),
              "and no signal kills the sender");
}

Test(wire, a_silent_peer_is_waited_for_so_long_and_no_longer, .init = connect_pair)
{
    struct sona_wire_hello got;
    size_t bytes;
    int64_t begin = now_ms();

    cr_assert(eq(int, sona_wire_receive(b, &got, sizeof got, 50, &bytes, NULL, NULL, NULL),
                 SONA_E_TIMEOUT));
    int64_t took = now_ms() - begin;
    cr_assert(ge(i64, took, 49));
    cr_assert(lt(i64, took, 5000));
    cr_assert(eq(int, sona_wire_receive(b, &got, sizeof got, 0, &bytes, NULL, NULL, NULL),
                 SONA_E_TIMEOUT));
}

Test(wire, packets_out_of_range_are_not_sent, .init = connect_pair)
{
    struct sona_wire_hello packet = hello();
    const int fds[] = {a, a, a};

    cr_assert(eq(int, sona_wire_send(a, &packet.head, 4, NULL, 0, NULL), SONA_E_RANGE));
    cr_assert(eq(int, sona_wire_send(a, &packet.head, SONA_WIRE_PACKET_MAX + 1, NULL, 0, NULL),
                 SONA_E_RANGE));
    cr_assert(eq(int, sona_wire_send(a, &packet.head, sizeof packet, fds, 3, NULL), SONA_E_RANGE));
    cr_assert(eq(int, sona_wire_send(a, &packet.head, sizeof packet, fds, -1, NULL), SONA_E_RANGE));
}

Test(wire, the_largest_packet_arrives, .init = connect_pair)
{
    struct sona_wire_head *packet = calloc(1, SONA_WIRE_PACKET_MAX);
    size_t bytes;

    packet->kind = SONA_WIRE_WELCOME;
    ((char *)packet)[SONA_WIRE_PACKET_MAX - 1] = 42;
    cr_assert(eq(int, sona_wire_send(a, packet, SONA_WIRE_PACKET_MAX, NULL, 0, NULL), SONA_OK));
    ((char *)packet)[SONA_WIRE_PACKET_MAX - 1] = 0;
    cr_assert(eq(int,
                 sona_wire_receive(b, packet, SONA_WIRE_PACKET_MAX, 1000, &bytes, NULL, NULL, NULL),
                 SONA_OK));
    cr_assert(eq(sz, bytes, SONA_WIRE_PACKET_MAX));
    cr_assert(eq(int, ((char *)packet)[SONA_WIRE_PACKET_MAX - 1], 42));
    free(packet);
}

Test(wire, connecting_says_what_is_the_matter)
{
    char dir[] = "/tmp/sona-wire-XXXXXX", path[64];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    sona_diag diag;
    int fd;

    cr_assert(ne(ptr, mkdtemp(dir), NULL));
    (void)snprintf(path, sizeof path, "%s/default.sock", dir);
    cr_assert(eq(int, sona_wire_connect(path, 100, &fd, &diag), SONA_E_ABSENT));
    cr_assert(eq(int, diag.os_error, ENOENT));
    cr_assert(ne(ptr, strstr(diag.text, path), NULL), "%s", diag.text);

    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    memcpy(address.sun_path, path, strlen(path) + 1);
    cr_assert(eq(int, bind(listener, (struct sockaddr *)&address, sizeof address), 0));
    cr_assert(eq(int, sona_wire_connect(path, 100, &fd, &diag), SONA_E_ABSENT), "not listening");
    cr_assert(eq(int, listen(listener, 0), 0));
    cr_assert(eq(int, sona_wire_connect(path, 100, &fd, &diag), SONA_OK));
    cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    int64_t begin = now_ms();
    sona_err err = SONA_OK;
    for (int i = 0; i < 8 && err == SONA_OK; i++)
        err = sona_wire_connect(path, 100, &fd, &diag);
    cr_assert(eq(int, err, SONA_E_TIMEOUT), "nobody accepts: %s", diag.text);
    cr_assert(lt(i64, now_ms() - begin, 5000));
    close(listener);
    cr_assert(eq(int, sona_wire_connect(path, 100, &fd, &diag), SONA_E_ABSENT), "left behind");
    unlink(path);
    rmdir(dir);
}

Test(wire, names_of_instances_are_judged)
{
    static const char *const good[] = {"default", "a", "A-1_b.c", "9"};
    static const char *const bad[] = {"",    ".",   ".hidden", "a/b", "a b", "\xc3\xa4",
                                      "a\n", "a{b", "a@b",     "a[b", "a:b"};
    char long_name[80];

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_assert(sona_wire_instance_ok(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert(not(sona_wire_instance_ok(bad[i])), "case %zu", i);
    memset(long_name, 'x', sizeof long_name);
    long_name[63] = '\0';
    cr_assert(sona_wire_instance_ok(long_name));
    long_name[63] = 'x';
    long_name[64] = '\0';
    cr_assert(not(sona_wire_instance_ok(long_name)));
}

Test(wire, the_socket_path_fits_or_is_refused)
{
    char path[128], deep[200];

    cr_assert(eq(int, sona_wire_path("/x", "one", path, sizeof path, NULL), SONA_OK));
    cr_assert(eq(str, path, "/x/one.sock"));
    cr_assert(eq(int, sona_wire_path("/x", "../one", path, sizeof path, NULL), SONA_E_RANGE));
    memset(deep, 'd', sizeof deep);
    deep[0] = '/';
    deep[sizeof deep - 1] = '\0';
    cr_assert(eq(int, sona_wire_path(deep, "one", path, sizeof path, NULL), SONA_E_RANGE));
    deep[100] = '\0';
    cr_assert(eq(int, sona_wire_path(deep, "one", path, sizeof path, NULL), SONA_E_RANGE),
              "fits the buffer but not a socket address");
}

static struct sona_shm_plan plan_make(void)
{
    struct sona_shm_plan p = {.hot_slots = 2,
                              .cold_slots = 2,
                              .ring_slots = 16,
                              .record_stride = 128,
                              .n_lanes = 3,
                              .hot_bytes = 64,
                              .cold_bytes = 64};

    cr_assert(eq(int, sona_shm_plan_init(&p), SONA_OK));
    return p;
}

Test(wire, the_lane_memfd_is_sealed_backed_and_ready)
{
    struct sona_shm_plan p = plan_make();
    const uint8_t uuid[16] = {1, 2, 3};
    int fd;
    char *map;

    cr_assert(
        eq(int, sona_shm_lanes_create(&p, uuid, 42, 4711, &fd, (void **)&map, NULL), SONA_OK));
    cr_assert(eq(int, sona_shm_lanes_check(fd, p.lanes_bytes, NULL), SONA_OK));
    cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    cr_assert(eq(int, ftruncate(fd, 0), -1), "nobody can shrink it");
    cr_assert(eq(int, ftruncate(fd, (off_t)p.lanes_bytes + 1), -1), "or grow it");
    cr_assert(eq(int, fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1), "or add a seal");
    for (uint32_t i = 0; i < p.n_lanes; i++) {
        struct sona_shm_lane *lane = (void *)(map + p.lane_offset + i * p.lane_stride);
        struct sona_shm_ring ring;

        cr_assert(eq(u64, atomic_load(&lane->hazard), 0));
        sona_shm_ring_bind(&ring, lane->ring, (char *)lane + p.records_offset, p.ring_slots,
                           p.record_stride);
        cr_assert(eq(ptr, sona_shm_ring_reserve(&ring), (char *)lane + p.records_offset));
    }
    munmap(map, p.lanes_bytes);
    close(fd);
}

Test(wire, a_lane_memfd_of_another_make_is_refused)
{
    struct sona_shm_plan p = plan_make();
    const uint8_t uuid[16] = {0};
    const off_t size = (off_t)p.lanes_bytes;
    int fd;
    void *map;

    cr_assert(eq(int, sona_shm_lanes_create(&p, uuid, 1, 1, &fd, &map, NULL), SONA_OK));
    cr_assert(eq(int, sona_shm_lanes_check(fd, p.lanes_bytes + 4096, NULL), SONA_E_FORMAT), "size");
    cr_assert(eq(int, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096), 0));
    cr_assert(eq(int, sona_shm_lanes_check(fd, p.lanes_bytes, NULL), SONA_E_FORMAT), "a hole");
    close(fd);

    fd = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    cr_assert(eq(int, fallocate(fd, 0, 0, size), 0));
    cr_assert(eq(int, sona_shm_lanes_check(fd, p.lanes_bytes, NULL), SONA_E_FORMAT), "no seals");
    cr_assert(eq(int, fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0));
    cr_assert(eq(int, sona_shm_lanes_check(fd, p.lanes_bytes, NULL), SONA_E_FORMAT), "one missing");
    cr_assert(eq(int, fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL), 0));
    cr_assert(eq(int, sona_shm_lanes_check(fd, p.lanes_bytes, NULL), SONA_E_FORMAT), "one more");
    close(fd);
    fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    cr_assert(ne(int, sona_shm_lanes_check(fd, p.lanes_bytes, NULL), SONA_OK), "no memory at all");
    close(fd);
}

/* Its holes are filled from a pool that may be empty: whoever touches one is killed. */
Test(wire, a_lane_memfd_of_huge_pages_is_refused)
{
    struct sona_shm_plan p = plan_make();
    sona_diag diag = {0};
    int fd = memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);

    if (fd < 0)
        cr_skip("no huge pages here");
    if (ftruncate(fd, 1 << 21) != 0) {
        close(fd);
        cr_skip("huge pages of another size here");
    }
    cr_assert(eq(int, fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0));
    cr_expect(eq(int, sona_shm_lanes_check(fd, p.lanes_bytes, &diag), SONA_E_FORMAT));
    cr_expect(ne(ptr, strstr(diag.text, "not on tmpfs"), NULL), "%s", diag.text);
    close(fd);
}

Test(wire, membarrier_works_after_registration_or_is_reported_absent)
{
    if (!sona_shm_membarrier_available()) {
        cr_assert(not(sona_shm_membarrier_register()));
        return;
    }
    cr_assert(sona_shm_membarrier_register());
    cr_assert(sona_shm_membarrier());
}
