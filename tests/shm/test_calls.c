/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What is said when the kernel refuses a call, or a signal breaks it off: the code, the sentence,
 * and that nothing is left behind. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "shm/diag.h"
#include "shm/wire.h"
#include "tests/support/wrapped.h"

#define COUNT(table) (sizeof(table) / sizeof *(table))

static int a, b; /* the two ends */
static struct sona_wire_hello packet;

static void connect_pair(void)
{
    int fds[2];

    cr_assert(eq(int, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0));
    a = fds[0];
    b = fds[1];
    packet = (struct sona_wire_hello){.head.kind = SONA_WIRE_HELLO, .lanes = 3};
}

TestSuite(calls, .init = connect_pair);

static int next_descriptor(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)close(fd);
    return fd;
}

/* Code and sentence of a call that failed with an error of the kernel's. */
struct verdict {
    const char *call;
    int error;
    sona_err code;
    const char *words;
};

static void expect(const struct verdict *v, sona_err err, const sona_diag *diag)
{
    cr_expect(eq(u32, wrapped_failed(v->call), 1), "%s was not called", v->call);
    cr_expect(eq(int, err, v->code), "%s, %s", v->call, strerror(v->error));
    cr_expect(eq(int, diag->code, v->code));
    cr_expect(eq(int, diag->os_error, v->error));
    cr_expect(ne(ptr, strstr(diag->text, v->words), NULL), "%s: %s", v->call, diag->text);
    cr_expect(ne(ptr, strstr(diag->text, strerror(v->error)), NULL), "%s", diag->text);
}

Test(calls, a_connection_that_fails_says_why_and_leaves_no_descriptor)
{
    static const struct verdict cases[] = {
        {"socket", EMFILE, SONA_E_SYSTEM, "cannot create a socket"},
        {"setsockopt", ENOBUFS, SONA_E_SYSTEM, "cannot connect to /x.sock"},
        {"connect", ENOENT, SONA_E_ABSENT, "start sona-sidecar"},
        {"connect", ENOTDIR, SONA_E_ABSENT, "start sona-sidecar"},
        {"connect", ECONNREFUSED, SONA_E_ABSENT, "start sona-sidecar"},
        {"connect", EACCES, SONA_E_PERMISSION, "run as the sidecar's user"},
        {"connect", EPERM, SONA_E_PERMISSION, "run as the sidecar's user"},
        {"connect", EAGAIN, SONA_E_TIMEOUT, "does not accept connections"},
        {"connect", EPROTOTYPE, SONA_E_SYSTEM, "cannot connect to /x.sock"},
    };
    const int next = next_descriptor();

    for (size_t i = 0; i < COUNT(cases); i++) {
        sona_diag diag = {0};
        int fd = 77;

        wrapped_fail(cases[i].call, 0, 1, cases[i].error);
        expect(&cases[i], sona_wire_connect("/x.sock", 100, &fd, &diag), &diag);
        cr_expect(eq(int, fd, 77), "written on success only");
        cr_expect(eq(int, next_descriptor(), next), "%s leaves one open", cases[i].call);
    }
}

Test(calls, a_path_that_is_no_address_is_refused_before_a_socket_is_made)
{
    char path[sizeof((struct sockaddr_un){0}.sun_path) + 1];
    sona_diag diag;
    int fd = 77;

    memset(path, 'x', sizeof path);
    path[sizeof path - 1] = '\0';
    wrapped_fail("socket", 0, 2, EMFILE);
    cr_expect(eq(int, sona_wire_connect(path, 0, &fd, &diag), SONA_E_RANGE));
    cr_expect(eq(int, sona_wire_connect("", 0, &fd, &diag), SONA_E_RANGE));
    cr_expect(eq(u32, wrapped_failed("socket"), 0));
    cr_expect(eq(int, fd, 77));
}

Test(calls, a_signal_does_not_break_off_connect_send_or_receive)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct sona_wire_hello got = {.lanes = 0};
    size_t bytes = 0;
    int fd = -1, n = (int)sizeof address.sun_path;

    (void)snprintf(address.sun_path, (size_t)n, "/tmp/sona-calls-%d.sock", (int)getpid());
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    cr_assert(eq(int, bind(listener, (struct sockaddr *)&address, sizeof address), 0));
    cr_assert(eq(int, listen(listener, 1), 0));
    wrapped_fail("connect", 0, 3, EINTR);
    cr_expect(eq(int, sona_wire_connect(address.sun_path, 0, &fd, NULL), SONA_OK));
    cr_expect(eq(u32, wrapped_failed("connect"), 3));
    (void)unlink(address.sun_path);
    (void)close(fd);
    (void)close(listener);

    wrapped_fail("sendmsg", 0, 3, EINTR);
    cr_assert(eq(int, sona_wire_send(a, &packet.head, sizeof packet, NULL, 0, NULL), SONA_OK));
    cr_expect(eq(u32, wrapped_failed("sendmsg"), 3));
    wrapped_fail("recvmsg", 0, 3, EINTR);
    wrapped_fail("poll", 0, 3, EINTR);
    cr_assert(eq(int, sona_wire_receive(b, &got, sizeof got, UINT32_MAX, &bytes, NULL, NULL, NULL),
                 SONA_OK));
    cr_expect(eq(u32, wrapped_failed("recvmsg"), 3));
    cr_expect(eq(u32, wrapped_failed("poll"), 3));
    cr_expect(eq(sz, bytes, sizeof got));
    cr_expect(eq(u32, got.lanes, 3));
}

Test(calls, signals_without_end_do_not_prolong_a_wait)
{
    struct sona_wire_hello got;
    sona_diag diag;
    size_t bytes;

    wrapped_fail("poll", 0, 2000000, EINTR); /* of a bound that has passed long before */
    cr_expect(eq(int, sona_wire_receive(b, &got, sizeof got, 0, &bytes, NULL, NULL, &diag),
                 SONA_E_TIMEOUT));
    cr_expect(ne(ptr, strstr(diag.text, "did not answer within 0 ms"), NULL), "%s", diag.text);
}

Test(calls, a_packet_that_cannot_be_sent_says_why)
{
    static const struct verdict cases[] = {
        {"sendmsg", EAGAIN, SONA_E_TIMEOUT, "the peer does not read"},
        {"sendmsg", EPIPE, SONA_E_ABSENT, "the peer hung up"},
        {"sendmsg", ECONNRESET, SONA_E_ABSENT, "the peer hung up"},
        {"sendmsg", ENOBUFS, SONA_E_SYSTEM, "cannot send a packet"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        sona_diag diag = {0};

        wrapped_fail("sendmsg", 0, 1, cases[i].error);
        expect(&cases[i], sona_wire_send(a, &packet.head, sizeof packet, NULL, 0, &diag), &diag);
    }
}

Test(calls, a_packet_that_cannot_be_received_says_why)
{
    static const struct verdict cases[] = {
        {"poll", ENOMEM, SONA_E_SYSTEM, "cannot wait for the peer"},
        {"recvmsg", EAGAIN, SONA_E_TIMEOUT, "the peer did not answer"},
        {"recvmsg", ENOMEM, SONA_E_SYSTEM, "cannot receive a packet"},
    };
    struct sona_wire_hello got;
    size_t bytes = 77;

    cr_assert(eq(int, sona_wire_send(a, &packet.head, sizeof packet, NULL, 0, NULL), SONA_OK));
    for (size_t i = 0; i < COUNT(cases); i++) {
        sona_diag diag = {0};

        wrapped_fail(cases[i].call, 0, 1, cases[i].error);
        expect(&cases[i], sona_wire_receive(b, &got, sizeof got, 1000, &bytes, NULL, NULL, &diag),
               &diag);
        cr_expect(eq(sz, bytes, 77), "written on success only");
    }
    wrapped_fail("recvmsg", 0, 1, ECONNRESET);
    cr_expect(
        eq(int, sona_wire_receive(b, &got, sizeof got, 1000, &bytes, NULL, NULL, NULL), SONA_OK));
    cr_expect(eq(sz, bytes, 0), "a peer that died hung up");
}

Test(calls, who_asked_for_senders_need_not_look_at_them)
{
    struct sona_wire_hello got;
    size_t bytes = 0;
    int fds[SONA_WIRE_FDS_MAX], n = 0;

    cr_assert(sona_wire_ask_senders(b));
    cr_assert(eq(int, sona_wire_send(a, &packet.head, sizeof packet, &a, 1, NULL), SONA_OK));
    cr_assert(
        eq(int, sona_wire_receive(b, &got, sizeof got, 1000, &bytes, fds, &n, NULL), SONA_OK));
    cr_expect(eq(int, n, 1), "credentials are no descriptor");
    cr_expect(eq(sz, bytes, sizeof got));
}

Test(calls, the_runtime_directory_is_the_systems_or_the_users)
{
    static const char *const none[] = {NULL, "", "run/user/1000"};
    char path[128], brief[16];
    sona_diag diag;

    wrapped_fail("access", 0, 1, EACCES);
    cr_assert(eq(int, setenv("XDG_RUNTIME_DIR", "/run/user/7", 1), 0));
    cr_expect(eq(int, sona_wire_path(NULL, "one", path, sizeof path, &diag), SONA_OK));
    cr_expect(eq(str, path, "/run/user/7/sona/one.sock"));
    for (size_t i = 0; i < COUNT(none); i++) {
        cr_assert(eq(
            int, none[i] ? setenv("XDG_RUNTIME_DIR", none[i], 1) : unsetenv("XDG_RUNTIME_DIR"), 0));
        wrapped_fail("access", 0, 1, ENOENT);
        cr_expect(eq(int, sona_wire_path(NULL, "one", path, sizeof path, &diag), SONA_E_ABSENT));
        cr_expect(ne(ptr, strstr(diag.text, "name a runtime directory"), NULL), "%s", diag.text);
    }
    cr_expect(
        eq(int, sona_wire_path("/a/longer/one", "one", brief, sizeof brief, &diag), SONA_E_RANGE));
}

Test(calls, the_systems_runtime_directory_comes_first_where_it_can_be_entered)
{
    char path[128];

    cr_assert(eq(int, setenv("XDG_RUNTIME_DIR", "/run/user/7", 1), 0));
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", "/run", "tmpfs", 0, "size=16k") != 0 || mkdir("/run/sona", 0755) != 0)
        cr_skip("cannot mount a /run here");
    cr_expect(eq(int, sona_wire_path(NULL, "one", path, sizeof path, NULL), SONA_OK));
    cr_expect(eq(str, path, "/run/sona/one.sock"));
}

Test(calls, a_kernel_without_membarrier_is_told_and_errno_is_kept)
{
    errno = EXDEV;
    wrapped_fail("syscall", 0, 3, ENOSYS);
    cr_expect(not(sona_shm_membarrier_available()));
    cr_expect(not(sona_shm_membarrier_register()));
    cr_expect(not(sona_shm_membarrier()));
    cr_expect(eq(int, errno, EXDEV));
    cr_expect(eq(u32, wrapped_failed("syscall"), 3));
    wrapped_fail("syscall", 0, 1, 0);
    cr_expect(not(sona_shm_membarrier_available()), "there, but not the command that is needed");
}

Test(calls, lane_memory_that_cannot_be_made_leaves_nothing)
{
    static const struct verdict cases[] = {
        {"mmap64", ENOMEM, SONA_E_MEMORY, "cannot map the lane memory"},
        {"fcntl64", EPERM, SONA_E_SYSTEM, "cannot seal the lane memory"},
        {"getrandom", EAGAIN, SONA_E_SYSTEM, "cannot draw the identity of the lane memory"},
    };
    struct sona_shm_plan plan = {.hot_slots = 2,
                                 .cold_slots = 2,
                                 .ring_slots = 16,
                                 .record_stride = 128,
                                 .n_lanes = 3,
                                 .hot_bytes = 64,
                                 .cold_bytes = 64};
    const uint8_t uuid[16] = {1};
    const int next = next_descriptor();

    cr_assert(eq(int, sona_shm_plan_init(&plan), SONA_OK));
    for (size_t i = 0; i < COUNT(cases); i++) {
        sona_diag diag = {0};
        void *map = NULL;
        int fd = 77;

        wrapped_fail(cases[i].call, 0, 1, cases[i].error);
        expect(&cases[i], sona_shm_lanes_create(&plan, uuid, 1, 1, &fd, &map, &diag), &diag);
        cr_expect(eq(int, fd, 77));
        cr_expect(eq(ptr, map, NULL));
        cr_expect(eq(int, next_descriptor(), next), "%s leaves one open", cases[i].call);
    }
}

Test(calls, a_file_without_a_lane_header_has_no_identity)
{
    uint8_t identity[SONA_SHM_IDENTITY_BYTES] = {7};
    char zeros[4096] = {0};
    int fd = memfd_create("none", MFD_CLOEXEC);

    cr_expect(not(sona_shm_lanes_identity(fd, identity)), "empty");
    cr_assert(eq(i64, write(fd, zeros, sizeof zeros), sizeof zeros));
    cr_expect(not(sona_shm_lanes_identity(fd, identity)), "no magic");
    cr_expect(eq(u8, identity[0], 7), "written on success only");
    (void)close(fd);
}

Test(diagnosis, is_one_line_that_ends_whatever_it_is_made_of)
{
    char longer[sizeof((sona_diag){0}.text) + 100];
    sona_diag diag;

    cr_expect(eq(int, sona_shm_diag_set(NULL, SONA_E_RANGE, 0, "unheard"), SONA_E_RANGE));
    cr_expect(
        eq(int, sona_shm_diag_set(&diag, SONA_E_SYSTEM, EIO, "of\ntwo lines"), SONA_E_SYSTEM));
    cr_expect(eq(int, strncmp(diag.text, "of two lines (", 14), 0), "%s", diag.text);
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    (void)sona_shm_diag_set(&diag, SONA_E_SYSTEM, EIO, "%s", longer);
    cr_expect(eq(sz, strlen(diag.text), sizeof diag.text - 1));
    const wchar_t invalid[] = {(wchar_t)0x7fffffff, 0}; /* no character: nothing can be printed */
    (void)sona_shm_diag_set(&diag, SONA_E_SYSTEM, EIO, "%ls", invalid);
    cr_expect(eq(str, diag.text, ""));
    cr_expect(eq(int, diag.os_error, EIO));
}
