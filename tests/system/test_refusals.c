/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What the sidecar does not accept, and what it says instead. */
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "raw.h"

Test(refusals, a_second_sidecar_of_one_instance_is_told_so, .timeout = 60)
{
    static const char *const args[] = {"--routes=2", NULL};
    struct stage stage;
    struct sona_spawn second;
    sona_diag diag = {0};

    stage_open(&stage, NULL);
    cr_assert(ne(
        int,
        sona_spawn_start(&second, NULL, stage.spawn.instance, stage.spawn.runtime_dir, args, &diag),
        SONA_OK));
    cr_assert(ne(ptr, strstr(diag.text, "already running"), NULL), "%s", diag.text);
    cr_assert(
        ne(int, sona_spawn_start(&second, NULL, stage.spawn.instance, NULL, args, &diag), SONA_OK));
    cr_assert(ne(ptr, strstr(diag.text, "a live sidecar writes"), NULL),
              "in another runtime directory the segment's own lock holds: %s", diag.text);
    cr_assert(eq(u64, stage_counter(&stage, "learned"), 0), "the first one goes on");
    stage_close(&stage);
}

/* A HELLO as a client of another version would send it. */
static void hello_of(struct sona_wire_hello *ret, uint16_t abi_major)
{
    memset(ret, 0, sizeof *ret);
    ret->head = (struct sona_wire_head){.magic = SONA_WIRE_MAGIC,
                                        .kind = SONA_WIRE_HELLO,
                                        .abi_major = abi_major,
                                        .bytes = sizeof *ret};
    ret->layout_hash = sona_shm_layout_hash();
    ret->lanes = 1;
    ret->fence_modes = SONA_SHM_FENCE_FULL;
}

static void expect_refusal(int fd, sona_err code, const char *words)
{
    struct sona_wire_refused refused;

    cr_assert(eq(sz, raw_receive(fd, &refused, sizeof refused), sizeof refused));
    cr_expect(eq(u32, refused.head.kind, SONA_WIRE_REFUSED));
    cr_expect(eq(u32, refused.code, (uint32_t)code));
    cr_expect(ne(ptr, strstr(refused.text, words), NULL), "%s", refused.text);
    cr_expect(eq(sz, raw_receive(fd, &refused, sizeof refused), 0), "then it hangs up");
    (void)close(fd);
}

Test(refusals, a_hello_of_another_abi_is_refused_with_both_versions, .timeout = 60)
{
    struct stage stage;
    struct sona_wire_hello hello;

    stage_open(&stage, NULL);
    hello_of(&hello, SONA_ABI_MAJOR + 1);
    expect_refusal(raw_send(&stage, &hello, sizeof hello), SONA_E_ABI, "upgrade the older");
    hello_of(&hello, SONA_ABI_MAJOR);
    hello.layout_hash ^= 1;
    expect_refusal(raw_send(&stage, &hello, sizeof hello), SONA_E_ABI, "same version");
    hello_of(&hello, SONA_ABI_MAJOR);
    hello.dim = STAGE_DIM + 1;
    expect_refusal(raw_send(&stage, &hello, sizeof hello), SONA_E_SHAPE, "--dim 17");
    (void)stage_await(&stage, "clients_refused", 3);
    cr_assert(eq(u64, stage_counter(&stage, "clients_attached"), 0));
    stage_close(&stage);
}

Test(refusals, a_user_that_is_not_served_is_told_whom_it_serves, .timeout = 60)
{
    struct stage stage;
    struct sona_wire_hello hello;
    char path[256];
    int status = -1;

    if (geteuid() != 0)
        cr_skip("needs root to become another user");
    stage_open(&stage, NULL);
    (void)snprintf(path, sizeof path, "%s/%s.sock", stage.spawn.runtime_dir, stage.spawn.instance);
    cr_assert(eq(int, chmod(stage.spawn.runtime_dir, 0755), 0)); /* past the first wall */
    cr_assert(eq(int, chmod(path, 0777), 0));
    pid_t pid = fork();
    if (pid == 0) {
        if (setgid(65534) != 0 || setuid(65534) != 0)
            _exit(1);
        hello_of(&hello, SONA_ABI_MAJOR);
        expect_refusal(raw_send(&stage, &hello, sizeof hello), SONA_E_PERMISSION, "not uid 65534");
        _exit(0);
    }
    cr_assert(eq(int, waitpid(pid, &status, 0), pid));
    cr_assert(eq(int, status, 0));
    cr_assert(eq(u64, stage_counter(&stage, "clients_attached"), 0));
    stage_close(&stage);
}

Test(refusals, a_flood_of_connections_does_not_keep_the_next_client_out, .timeout = 120)
{
    enum { FLOOD = 450 }; /* more than are served and refused at one time */
    struct stage stage;
    char path[256];
    int fd[FLOOD], n = 0;
    sona_diag diag = {0};

    stage_open(&stage, NULL);
    (void)snprintf(path, sizeof path, "%s/%s.sock", stage.spawn.runtime_dir, stage.spawn.instance);
    while (n < FLOOD && sona_wire_connect(path, 200, &fd[n], &diag) == SONA_OK)
        n++;
    cr_log_info("%d connections that say nothing", n);
    for (int k = 0; k < n; k++)
        (void)close(fd[k]);
    sona_client *client = stage_client(&stage, 1);
    sona_client_close(&client);
    (void)stage_await(&stage, "clients_reclaimed", 1);
    stage_close(&stage);
}

Test(refusals, packets_that_make_no_sense_do_no_harm, .timeout = 60)
{
    struct stage stage;
    char noise[512];
    struct sona_wire_hello hello;

    stage_open(&stage, NULL);
    memset(noise, 0x5a, sizeof noise);
    for (size_t bytes = 1; bytes <= sizeof noise; bytes *= 2)
        expect_refusal(raw_send(&stage, noise, bytes), SONA_E_FORMAT, "refused");
    hello_of(&hello, SONA_ABI_MAJOR);
    hello.head.bytes--;
    expect_refusal(raw_send(&stage, &hello, sizeof hello), SONA_E_FORMAT, "length");
    hello_of(&hello, SONA_ABI_MAJOR);
    hello.head.kind = SONA_WIRE_WELCOME;
    expect_refusal(raw_send(&stage, &hello, sizeof hello), SONA_E_FORMAT, "makes no sense");
    stage_close(&stage);
}

Test(refusals, a_connection_that_says_nothing_is_closed, .timeout = 60)
{
    struct stage stage;
    char byte, path[256];
    sona_diag diag = {0};
    int fd = -1;

    stage_open(&stage, NULL);
    (void)snprintf(path, sizeof path, "%s/%s.sock", stage.spawn.runtime_dir, stage.spawn.instance);
    cr_assert(eq(int, sona_wire_connect(path, 2000, &fd, &diag), SONA_OK), "%s", diag.text);
    cr_assert(eq(sz, raw_receive(fd, &byte, 1), 0), "it waits for a HELLO in vain");
    (void)close(fd);
    stage_close(&stage);
}

Test(refusals, malformed_records_are_counted_and_the_next_ones_taken, .timeout = 60)
{
    struct stage stage;
    struct raw raw;

    stage_open(&stage, NULL);
    raw_open(&raw, &stage);
    raw_record(&raw, 0, SONA_RECORD_DECIDE)->magic ^= 1;
    raw_commit(&raw, 0);
    raw_record(&raw, 0, SONA_RECORD_DECIDE)->lane_seq += 7;
    raw_commit(&raw, 0);
    raw_record(&raw, 0, SONA_RECORD_DECIDE)->id ^= SONA_ID(1, 0, 0); /* in another's name */
    raw_commit(&raw, 0);
    sona_record_floats(raw_record(&raw, 0, SONA_RECORD_DECIDE))[3] = __builtin_nanf("");
    raw_commit(&raw, 0);
    raw_record(&raw, 0, SONA_RECORD_DECIDE)->route = 9;
    raw_commit(&raw, 0);
    raw_record(&raw, 0, SONA_RECORD_DECIDE)->value = 2;
    raw_commit(&raw, 0);
    sona_record_floats(raw_record(&raw, 0, SONA_RECORD_BEGIN))[0] = 0;
    raw_commit(&raw, 0);
    raw_record(&raw, 0, SONA_RECORD_STEP)->n_floats = STAGE_DIM + 1;
    raw_commit(&raw, 0);
    uint64_t id = raw_id(&raw, 0);
    (void)raw_record(&raw, 0, SONA_RECORD_DECIDE);
    raw_commit(&raw, 0);
    raw_record(&raw, 0, SONA_RECORD_OUTCOME)->id = id;
    raw_commit(&raw, 0);
    (void)stage_await(&stage, "learned", 1);
    cr_expect(eq(u64, stage_counter(&stage, "drop_malformed"), 3));
    cr_expect(eq(u64, stage_counter(&stage, "drop_not_finite"), 1));
    cr_expect(eq(u64, stage_counter(&stage, "drop_route"), 1));
    cr_expect(eq(u64, stage_counter(&stage, "drop_range"), 1));
    cr_expect(eq(u64, stage_counter(&stage, "drop_zero_vector"), 1));
    cr_expect(eq(u64, stage_counter(&stage, "drop_shape"), 1));
    raw_close(&raw);
    stage_close(&stage);
}

Test(refusals, a_lane_whose_index_makes_no_sense_is_quarantined_alone, .timeout = 60)
{
    struct stage stage;
    struct raw raw;

    stage_open(&stage, NULL);
    raw_open(&raw, &stage);
    _Atomic uint32_t *p_tail = (void *)(raw_lane(&raw, 0)->ring + 64);
    atomic_store_explicit(p_tail, raw.plan.ring_slots + 17, memory_order_release);
    (void)stage_await(&stage, "lanes_quarantined", 1);
    cr_expect(
        eq(u32, atomic_load_explicit(&raw_lane(&raw, 0)->control.closed, memory_order_acquire), 1));
    uint64_t id = raw_id(&raw, 1);
    (void)raw_record(&raw, 1, SONA_RECORD_DECIDE);
    raw_commit(&raw, 1);
    raw_record(&raw, 2, SONA_RECORD_OUTCOME)->id = id;
    raw_commit(&raw, 2);
    (void)stage_await(&stage, "learned", 1);
    raw_close(&raw);
    (void)stage_await(&stage, "clients_reclaimed", 1);
    cr_expect(eq(u64, stage_counter(&stage, "lanes_quarantined"), 1));
    stage_close(&stage);
}

/* Start a sidecar that must fail, and check its first words. */
static void expect_no_start(const char *runtime_dir, const char *const *args, const char *words)
{
    struct sona_spawn spawn;
    sona_diag diag = {0};

    cr_assert(ne(int, sona_spawn_start(&spawn, NULL, NULL, runtime_dir, args, &diag), SONA_OK));
    cr_expect(ne(ptr, strstr(diag.text, words), NULL), "%s", diag.text);
}

Test(refusals, a_start_that_cannot_succeed_says_why, .timeout = 60)
{
    static const char *const fine[] = {"--routes=2", NULL}, *const none[] = {NULL},
                             *const key[] = {"--routes=2", "--set=no_such=1", NULL};

    expect_no_start("/nowhere/at/all", fine, "--runtime-dir");
    expect_no_start(NULL, none, "--routes");
    expect_no_start(NULL, key, "no_such");
}

Test(refusals, too_little_shared_memory_is_said_and_leaves_nothing, .timeout = 60)
{
    static const char *const args[] = {"--routes=2", NULL};

    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("small", "/dev/shm", "tmpfs", 0, "size=64k") != 0)
        cr_skip("cannot mount a small /dev/shm here");
    expect_no_start(NULL, args, "shared memory");
    cr_expect(eq(int, rmdir("/dev/shm/x"), -1));
    struct stat st;
    cr_expect(eq(int, stat("/dev/shm", &st), 0));
    cr_expect(eq(int, (int)st.st_nlink, 2));
}
