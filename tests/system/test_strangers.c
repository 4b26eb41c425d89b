/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Who was not let in, or not for that: processes that crowd the socket, names that were planted
 * before the start, and what another user can do with what it was given.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "raw.h"

#define NOBODY 65534

static void socket_path(const struct stage *stage, char ret[256])
{
    (void)snprintf(ret, 256, "%s/%s.sock", stage->spawn.runtime_dir, stage->spawn.instance);
}

/* A connection that does not wait for anything; -1: the backlog is full. */
static int knock(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    (void)snprintf(address.sun_path, sizeof address.sun_path, "%.107s", path);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

/* One who is attached goes on, whatever happens at the door; that all of it is learned is asked
 * when there is room at the door again. */
static void expect_service(sona_lane *lane, uint64_t *told)
{
    float x[STAGE_DIM];
    sona_decision d;

    for (int n = 0; n < 50; n++) {
        stage_query((*told)++, x);
        cr_assert(eq(int, sona_decide(lane, x, STAGE_DIM, NULL, &d), SONA_OK));
        cr_assert(eq(int, sona_outcome(lane, d.id, 1, NULL), SONA_OK));
    }
}

Test(strangers, a_thousand_connections_keep_nobody_from_working_nor_for_ever_out, .timeout = 120)
{
    enum { CROWD = 1000, TURNS = 3 };
    static int fd[CROWD];
    struct stage stage;
    char path[256];
    uint64_t told = 0;
    struct rlimit limit = {.rlim_cur = 4096, .rlim_max = 4096};

    (void)setrlimit(RLIMIT_NOFILE, &limit);
    stage_open(&stage, NULL);
    socket_path(&stage, path);
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    for (int turn = 0; turn < TURNS; turn++) {
        int in = 0;

        for (int k = 0; k < CROWD; k++)
            in += (fd[k] = knock(path)) >= 0;
        cr_log_info("%d of %d connections were taken or wait", in, CROWD);
        expect_service(lane, &told);
        for (int k = 0; k < CROWD; k++)
            if (fd[k] >= 0)
                (void)close(fd[k]);
    }
    cr_assert(ge(u64, stage_await(&stage, "learned", told), told));
    sona_client *late = stage_client(&stage, 1);
    sona_client_close(&late);
    sona_lane_release(&lane);
    sona_client_close(&client);
    stage_close(&stage);
}

Test(strangers, a_slow_loris_loses_its_connection_and_nobody_else_his, .timeout = 120)
{
    enum { LORIS = 32 };
    struct stage stage;
    char path[256], byte = 0;
    int fd[LORIS];
    uint64_t told = 0;

    stage_open(&stage, NULL);
    socket_path(&stage, path);
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    for (int k = 0; k < LORIS; k++)
        cr_assert(ge(int, fd[k] = knock(path), 0));
    /* Half of them say something now and then that is no packet, the others nothing. */
    for (int k = 0; k < LORIS; k += 2)
        cr_assert(eq(i64, send(fd[k], &byte, 1, MSG_NOSIGNAL), 1));
    expect_service(lane, &told);
    sona_client *other = stage_client(&stage, 1);
    sona_client_close(&other);
    for (int k = 0; k < LORIS; k++) {
        struct sona_wire_refused refused;

        /* A refusal where something was said, then the end. */
        while (raw_receive(fd[k], &refused, sizeof refused) != 0)
            cr_assert(eq(u32, refused.head.kind, SONA_WIRE_REFUSED));
        (void)close(fd[k]);
    }
    expect_service(lane, &told);
    cr_assert(ge(u64, stage_await(&stage, "learned", told), told));
    sona_lane_release(&lane);
    sona_client_close(&client);
    stage_close(&stage);
}

/* Plant a link at `name`, start there, and see that the file behind it is as it was. */
static void expect_link_refused(const char *runtime_dir, const char *instance, const char *name)
{
    static const char *const args[] = {"--routes=2", NULL};
    char victim[] = "/tmp/sona-victim-XXXXXX", text[8] = "";
    struct sona_spawn spawn;
    sona_diag diag = {0};
    int fd = mkstemp(victim);

    cr_assert(eq(i64, write(fd, "before", 6), 6));
    cr_assert(eq(int, symlink(victim, name), 0));
    cr_expect(ne(int, sona_spawn_start(&spawn, NULL, instance, runtime_dir, args, &diag), SONA_OK),
              "%s was followed", name);
    cr_expect(gt(sz, strlen(diag.text), 20), "%s", diag.text);
    cr_log_info("%s", diag.text);
    cr_expect(eq(i64, pread(fd, text, 7, 0), 6));
    cr_expect(eq(str, text, "before"));
    (void)close(fd);
    (void)unlink(victim);
    cr_expect(eq(int, unlink(name), 0), "the link is not ours to remove");
}

Test(strangers, a_link_planted_under_a_name_of_ours_is_not_followed, .timeout = 60)
{
    char dir[] = "/tmp/sona-planted-XXXXXX", instance[64], name[160];

    cr_assert(ne(ptr, mkdtemp(dir), NULL));
    (void)snprintf(instance, sizeof instance, "planted-%d", (int)getpid());
    (void)snprintf(name, sizeof name, "/dev/shm/sona.%s.model", instance);
    expect_link_refused(dir, instance, name);
    (void)snprintf(name, sizeof name, "%s/%s.lock", dir, instance);
    expect_link_refused(dir, instance, name);
    (void)snprintf(name, sizeof name, "%s/%s.lanes", dir, instance);
    expect_link_refused(dir, instance, name);
    (void)snprintf(name, sizeof name, "%s/%s.lock", dir, instance);
    (void)unlink(name);
    cr_expect(eq(int, rmdir(dir), 0), "a start that failed left something behind");
}

static unsigned mode_of(const char *dir, const char *instance, const char *end)
{
    char path[256];
    struct stat st = {.st_mode = 0};

    (void)snprintf(path, sizeof path, "%s/%s%s", dir, instance, end);
    cr_expect(eq(int, lstat(path, &st), 0), "%s", path);
    cr_expect(eq(u32, st.st_uid, geteuid()), "%s", path);
    return st.st_mode & 07777;
}

Test(strangers, everything_that_is_kept_is_its_users_alone, .timeout = 60)
{
    struct stage stage;
    char segment[96];
    struct stat st;

    (void)umask(0); /* the tests', which it does not trust */
    stage_open_kept(&stage, NULL);
    const char *dir = stage.spawn.runtime_dir, *instance = stage.spawn.instance;
    cr_expect(eq(u32, mode_of(dir, instance, ".sock") & 077, 0));
    cr_expect(eq(u32, mode_of(dir, instance, ".lock"), 0600));
    cr_expect(eq(u32, mode_of(dir, instance, ".lanes"), 0600));
    cr_expect(eq(u32, mode_of(dir, instance, ".arena"), 0600));
    cr_expect(eq(u32, mode_of(dir, instance, ".intake"), 0600));
    cr_expect(eq(u32, mode_of(stage.state_dir, instance, ".db"), 0600));
    (void)snprintf(segment, sizeof segment, "/dev/shm/sona.%s.model", instance);
    cr_assert(eq(int, stat(segment, &st), 0));
    cr_expect(eq(u32, st.st_mode & 07777, 0600));
    stage_close(&stage);
}

/* In the other user's process: 0, or the number of what it could do. */
static int try_to_write(const struct stage *stage)
{
    struct sona_wire_hello hello = {.head.kind = SONA_WIRE_HELLO,
                                    .layout_hash = sona_shm_layout_hash(),
                                    .lanes = 1,
                                    .fence_modes = SONA_SHM_FENCE_FULL};
    struct sona_wire_welcome welcome;
    int fds[SONA_WIRE_FDS_MAX], n_fds = 0, fd;
    char path[256], name[128];
    size_t bytes;

    socket_path(stage, path);
    if (sona_wire_connect(path, 2000, &fd, NULL) != SONA_OK ||
        sona_wire_send(fd, &hello.head, sizeof hello, NULL, 0, NULL) != SONA_OK ||
        sona_wire_receive(fd, &welcome, sizeof welcome, 5000, &bytes, fds, &n_fds, NULL) !=
            SONA_OK ||
        n_fds != 2)
        return 1; /* it was not let in */
    int model = fds[0];
    void *map = mmap(NULL, SONA_SHM_PAGE, PROT_READ, MAP_SHARED, model, 0);
    if (map == MAP_FAILED)
        return 2;
    if (mprotect(map, SONA_SHM_PAGE, PROT_READ | PROT_WRITE) == 0)
        return 3;
    if (mmap(NULL, SONA_SHM_PAGE, PROT_WRITE, MAP_SHARED, model, 0) != MAP_FAILED)
        return 4;
    (void)snprintf(name, sizeof name, "/proc/self/fd/%d", model);
    if (open(name, O_RDWR) >= 0)
        return 5;
    (void)snprintf(name, sizeof name, "/dev/shm/sona.%s.model", stage->spawn.instance);
    if (open(name, O_RDONLY) >= 0 || open(name, O_RDWR) >= 0)
        return 6;
    if (fchmod(model, 0666) == 0 || ftruncate(model, 0) == 0 || pwrite(model, "x", 1, 0) == 1)
        return 7;
    if (unlink(name) == 0 || unlink(path) == 0)
        return 8;
    return 0;
}

Test(strangers, a_member_of_the_group_cannot_make_the_model_writable, .timeout = 60)
{
    static const char *const group[] = {"--group=nogroup", NULL};
    struct stage stage;
    int status = -1;

    if (geteuid() != 0 || !getgrnam("nogroup"))
        cr_skip("needs root to become another user, and a group nogroup");
    stage_open(&stage, group);
    pid_t pid = fork();
    if (pid == 0) {
        gid_t gid = getgrnam("nogroup")->gr_gid;

        if (setgroups(0, NULL) != 0 || setgid(gid) != 0 || setuid(NOBODY) != 0)
            _exit(99);
        _exit(try_to_write(&stage));
    }
    cr_assert(eq(int, waitpid(pid, &status, 0), pid));
    cr_expect(eq(int, status, 0), "what it could do: %d", WEXITSTATUS(status));
    (void)stage_await(&stage, "clients_reclaimed", 1);
    stage_close(&stage);
}
