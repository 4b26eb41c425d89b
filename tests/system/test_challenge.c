/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A kernel that cannot name a peer's process: whoever says HELLO has to prove that the number that
 * was opened is its own. Those who cannot are refused, and hold nothing.
 */
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "older.h"
#include "raw.h"

#define NOBODY 65534

/* As it is on such a kernel. */
static void open_older(struct stage *stage)
{
    older_without_peerpidfd();
    stage_open(stage, NULL);
}

static struct sona_wire_hello hello_of_minor(uint16_t minor)
{
    return (struct sona_wire_hello){.head = {.magic = SONA_WIRE_MAGIC,
                                             .kind = SONA_WIRE_HELLO,
                                             .abi_major = SONA_ABI_MAJOR,
                                             .abi_minor = minor,
                                             .bytes = sizeof(struct sona_wire_hello)},
                                    .layout_hash = sona_shm_layout_hash(),
                                    .lanes = 1,
                                    .fence_modes = SONA_SHM_FENCE_FULL};
}

/* Say HELLO; returns the socket, and the challenge that came. */
static int challenged(const struct stage *stage, struct sona_wire_challenge *ret)
{
    struct sona_wire_hello hello = hello_of_minor(SONA_ABI_MINOR);
    int fd = raw_send(stage, &hello, sizeof hello);

    cr_assert(eq(sz, raw_receive(fd, ret, sizeof *ret), sizeof *ret));
    cr_assert(eq(u32, ret->head.kind, SONA_WIRE_CHALLENGE));
    return fd;
}

static bool refusal_says(int fd, const char *words)
{
    struct sona_wire_refused refused = {.head.kind = 0};

    return raw_receive(fd, &refused, sizeof refused) == sizeof refused &&
           refused.head.kind == SONA_WIRE_REFUSED && strstr(refused.text, words) != NULL;
}

static void expect_refusal(int fd, const char *words)
{
    char byte;

    cr_expect(refusal_says(fd, words), "%s", words);
    cr_expect(eq(sz, raw_receive(fd, &byte, 1), 0), "then it hangs up");
    (void)close(fd);
}

/* WELCOME, with the descriptors closed. */
static void expect_welcome(int fd)
{
    struct sona_wire_welcome welcome;
    int fds[SONA_WIRE_FDS_MAX], n_fds = 0;
    size_t bytes = 0;

    cr_assert(eq(int,
                 sona_wire_receive(fd, &welcome, sizeof welcome, 5000, &bytes, fds, &n_fds, NULL),
                 SONA_OK));
    cr_assert(eq(u32, welcome.head.kind, SONA_WIRE_WELCOME));
    for (int i = 0; i < n_fds; i++)
        (void)close(fds[i]);
}

/* Nothing of anybody is left, and the next client is served. */
static void expect_service_and_close(struct stage *stage, uint64_t refused)
{
    (void)stage_await(stage, "clients_refused", refused);
    cr_expect(eq(u64, stage_counter(stage, "clients"), 0));
    cr_expect(eq(u64, stage_counter(stage, "lanes"), 0));
    sona_client *client = stage_client(stage, 1);
    sona_client_close(&client);
    (void)stage_await(stage, "clients_reclaimed", 1);
    stage_close(stage);
}

static void expect_liveness(const struct stage *stage, const char *name)
{
    json_t *status = stage_status(stage);
    const json_t *guest = json_array_get(json_object_get(status, "clients"), 0);
    const char *text = json_string_value(json_object_get(guest, "liveness"));

    cr_expect(eq(str, (char *)(uintptr_t)(text ? text : "nothing"), (char *)(uintptr_t)name));
    json_decref(status);
}

Test(challenge, a_client_proves_itself_and_is_served_and_goes_on_after_a_restart, .timeout = 60)
{
    struct stage stage;
    sona_decision d;
    float x[STAGE_DIM];

    open_older(&stage);
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    expect_liveness(&stage, "challenge");
    stage_query(1, x);
    sona_spawn_kill(&stage.spawn);
    stage_reopen(&stage);
    (void)stage_await(&stage, "handed_back", 1); /* the lanes waited for the answer */
    expect_liveness(&stage, "challenge");
    cr_expect(eq(int, sona_decide(lane, x, STAGE_DIM, NULL, &d), SONA_OK));
    cr_expect(eq(int, sona_outcome(lane, d.id, 1, NULL), SONA_OK));
    (void)stage_await(&stage, "learned", 1);
    sona_lane_release(&lane);
    sona_client_close(&client);
    stage_close(&stage);
}

Test(challenge, a_death_is_noticed_while_another_holds_the_connection, .timeout = 60)
{
    struct stage stage;
    int up[2], hold[2];
    char byte;

    open_older(&stage);
    cr_assert(zero(int, pipe(up)));
    cr_assert(zero(int, pipe(hold)));
    pid_t pid = fork();
    if (pid == 0) {
        struct sona_wire_challenge challenge;
        int fd = challenged(&stage, &challenge);

        cr_assert(eq(int, sona_wire_answer(fd, challenge.nonce, NULL), SONA_OK));
        expect_welcome(fd);
        if (fork() == 0) { /* the socket stays open here until the test closes `hold` */
            (void)close(hold[1]);
            (void)close(up[1]);
            (void)!read(hold[0], &byte, 1);
            _exit(0);
        }
        (void)!write(up[1], "u", 1);
        (void)pause();
        _exit(0);
    }
    (void)close(hold[0]);
    cr_assert(eq(i64, read(up[0], &byte, 1), 1));
    (void)stage_await(&stage, "clients", 1);
    expect_liveness(&stage, "challenge");
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    (void)stage_await(&stage, "clients_reclaimed", 1);
    (void)close(hold[1]);
    stage_close(&stage);
}

Test(challenge, a_wrong_nonce_is_refused, .timeout = 60)
{
    struct sona_wire_challenge challenge;
    struct stage stage;

    open_older(&stage);
    int fd = challenged(&stage, &challenge);
    challenge.nonce[SONA_WIRE_NONCE_BYTES - 1] ^= 1;
    cr_assert(eq(int, sona_wire_answer(fd, challenge.nonce, NULL), SONA_OK));
    expect_refusal(fd, "not the nonce that was sent");
    expect_service_and_close(&stage, 1);
}

Test(challenge, a_replayed_nonce_is_refused, .timeout = 60)
{
    struct sona_wire_challenge first, second;
    struct stage stage;

    open_older(&stage);
    int one = challenged(&stage, &first);
    cr_assert(eq(int, sona_wire_answer(one, first.nonce, NULL), SONA_OK));
    expect_welcome(one);
    /* It was good once: not for another connection, and not for the same again. */
    int two = challenged(&stage, &second);
    cr_assert(ne(int, memcmp(first.nonce, second.nonce, sizeof first.nonce), 0));
    cr_assert(eq(int, sona_wire_answer(two, first.nonce, NULL), SONA_OK));
    expect_refusal(two, "not the nonce that was sent");
    cr_assert(eq(int, sona_wire_answer(one, first.nonce, NULL), SONA_OK));
    expect_refusal(one, "makes no sense here");
    (void)stage_await(&stage, "clients_reclaimed", 1);
    cr_expect(eq(u64, stage_counter(&stage, "clients_attached"), 1));
    stage_close(&stage);
}

Test(challenge, somebody_elses_nonce_is_refused, .timeout = 60)
{
    struct sona_wire_challenge mine, theirs;
    struct stage stage;

    open_older(&stage);
    int one = challenged(&stage, &mine), two = challenged(&stage, &theirs);
    cr_assert(eq(int, sona_wire_answer(one, theirs.nonce, NULL), SONA_OK));
    expect_refusal(one, "not the nonce that was sent");
    cr_assert(eq(int, sona_wire_answer(two, theirs.nonce, NULL), SONA_OK));
    expect_welcome(two); /* whose it is, he is served */
    (void)close(two);
    (void)stage_await(&stage, "clients_reclaimed", 1);
    cr_expect(eq(u64, stage_counter(&stage, "clients_refused"), 1));
    stage_close(&stage);
}

Test(challenge, an_answer_of_another_process_is_refused, .timeout = 60)
{
    struct sona_wire_challenge challenge;
    struct stage stage;
    int status = -1;

    open_older(&stage);
    int fd = challenged(&stage, &challenge);
    pid_t pid = fork();
    if (pid == 0)
        _exit(sona_wire_answer(fd, challenge.nonce, NULL) == SONA_OK ? 0 : 1);
    cr_assert(eq(int, waitpid(pid, &status, 0), pid));
    cr_assert(zero(int, status));
    expect_refusal(fd, "another process answered");
    expect_service_and_close(&stage, 1);
}

/* Another process under the number of one that has ended; -1: that takes rights we do not have. */
static pid_t fork_as(pid_t pid)
{
    struct clone_args args = {
        .exit_signal = SIGCHLD, .set_tid = (uint64_t)(uintptr_t)&pid, .set_tid_size = 1};

    return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

Test(challenge, a_recycled_pid_cannot_answer, .timeout = 60)
{
    struct sona_wire_challenge challenge;
    struct stage stage;
    int status = -1;

    open_older(&stage);
    struct sona_wire_hello hello = hello_of_minor(SONA_ABI_MINOR);
    int fd = raw_connect(&stage);
    pid_t pid = fork();
    if (pid == 0) {
        (void)send(fd, &hello, sizeof hello, MSG_NOSIGNAL);
        (void)pause();
    }
    cr_assert(eq(sz, raw_receive(fd, &challenge, sizeof challenge), sizeof challenge));
    cr_assert(eq(u32, challenge.head.kind, SONA_WIRE_CHALLENGE));
    (void)kill(pid, SIGKILL);
    cr_assert(eq(int, waitpid(pid, NULL, 0), pid));
    pid_t again = fork_as(pid);
    if (again == 0)
        _exit(sona_wire_answer(fd, challenge.nonce, NULL) == SONA_OK ? 0 : 1);
    if (again > 0) {
        cr_assert(eq(int, again, pid));
        cr_assert(eq(int, waitpid(again, &status, 0), again));
        cr_assert(zero(int, status));
        expect_refusal(fd, "has ended");
    } else {
        cr_log_info("a number cannot be chosen here: %m");
        cr_assert(eq(int, sona_wire_answer(fd, challenge.nonce, NULL), SONA_OK));
        expect_refusal(fd, "another process answered");
    }
    expect_service_and_close(&stage, 1);
}

Test(challenge, an_answer_of_another_user_is_refused, .timeout = 60)
{
    struct sona_wire_challenge challenge;
    struct stage stage;
    int status = -1;

    if (geteuid() != 0)
        cr_skip("needs root to become another user");
    open_older(&stage);
    struct sona_wire_hello hello = hello_of_minor(SONA_ABI_MINOR);
    int fd = raw_connect(&stage);
    pid_t pid = fork();
    if (pid == 0) {
        if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0 ||
            send(fd, &hello, sizeof hello, MSG_NOSIGNAL) != (ssize_t)sizeof hello ||
            raw_receive(fd, &challenge, sizeof challenge) != sizeof challenge)
            _exit(1);
        _exit(sona_wire_answer(fd, challenge.nonce, NULL) == SONA_OK &&
                      refusal_says(fd, "another user answered")
                  ? 0
                  : 2);
    }
    cr_assert(eq(int, waitpid(pid, &status, 0), pid));
    cr_expect(zero(int, status), "%d", status);
    (void)close(fd);
    expect_service_and_close(&stage, 1);
}

Test(challenge, silence_after_it_is_cut_off_and_others_are_served_meanwhile, .timeout = 60)
{
    enum { LORIS = 16 };
    struct sona_wire_challenge challenge;
    struct stage stage;
    int fd[LORIS];
    char byte;

    open_older(&stage);
    for (int k = 0; k < LORIS; k++)
        fd[k] = challenged(&stage, &challenge);
    sona_client *client = stage_client(&stage, 1);
    expect_liveness(&stage, "challenge");
    for (int k = 0; k < LORIS; k++) {
        cr_expect(eq(sz, raw_receive(fd[k], &byte, 1), 0), "it waits for an answer in vain");
        (void)close(fd[k]);
    }
    cr_expect(eq(u64, stage_counter(&stage, "clients"), 1));
    sona_client_close(&client);
    (void)stage_await(&stage, "clients_reclaimed", 1);
    cr_expect(eq(u64, stage_counter(&stage, "clients_attached"), 1));
    stage_close(&stage);
}

Test(challenge, nothing_but_its_answer_is_listened_to, .timeout = 60)
{
    struct sona_wire_challenge challenge;
    struct sona_wire_hello hello = hello_of_minor(SONA_ABI_MINOR);
    struct stage stage;

    open_older(&stage);
    int fd = challenged(&stage, &challenge);
    cr_assert(eq(i64, send(fd, &hello, sizeof hello, MSG_NOSIGNAL), (int64_t)sizeof hello));
    expect_refusal(fd, "makes no sense here");
    fd = challenged(&stage, &challenge); /* an answer with a descriptor */
    challenge.head.kind = SONA_WIRE_ANSWER;
    cr_assert(eq(
        int, sona_wire_send(fd, &challenge.head, sizeof challenge, &(int){STDERR_FILENO}, 1, NULL),
        SONA_OK));
    expect_refusal(fd, "more descriptors than expected");
    fd = challenged(&stage, &challenge); /* an answer that is cut */
    challenge.head.kind = SONA_WIRE_ANSWER;
    cr_assert(
        eq(int, sona_wire_send(fd, &challenge.head, sizeof challenge - 1, NULL, 0, NULL), SONA_OK));
    expect_refusal(fd, "makes no sense here");
    expect_service_and_close(&stage, 3);
}

Test(challenge, an_answer_to_nothing_is_refused, .timeout = 60)
{
    struct sona_wire_challenge answer = {.head = {.magic = SONA_WIRE_MAGIC,
                                                  .kind = SONA_WIRE_ANSWER,
                                                  .abi_major = SONA_ABI_MAJOR,
                                                  .abi_minor = SONA_ABI_MINOR,
                                                  .bytes = sizeof answer}};
    struct stage stage;

    open_older(&stage);
    expect_refusal(raw_send(&stage, &answer, sizeof answer), "makes no sense here");
    expect_service_and_close(&stage, 1);
}

Test(challenge, a_client_that_does_not_know_it_is_watched_by_its_number, .timeout = 60)
{
    struct sona_wire_hello hello = hello_of_minor(SONA_WIRE_ABI_ANSWERS - 1);
    struct stage stage;

    open_older(&stage);
    int fd = raw_send(&stage, &hello, sizeof hello);
    expect_welcome(fd);
    expect_liveness(&stage, "pid");
    (void)close(fd);
    (void)stage_await(&stage, "clients_reclaimed", 1);
    stage_close(&stage);
}

Test(challenge, without_any_pidfd_nobody_is_asked_and_a_hang_up_tells, .timeout = 60)
{
    struct stage stage;

    older_without(SYS_pidfd_open, OLDER_ANY, ENOSYS);
    open_older(&stage);
    sona_client *client = stage_client(&stage, 1);
    expect_liveness(&stage, "hang-up");
    sona_client_close(&client);
    (void)stage_await(&stage, "clients_reclaimed", 1);
    sona_spawn_kill(&stage.spawn); /* to wait for an end without a pidfd is not for here */
    (void)sona_spawn_stop(&stage.spawn);
}

Test(challenge, is_not_made_where_the_kernel_names_the_peer, .timeout = 60)
{
    struct stage stage;
    json_t *status;
    const char *text;

    stage_open(&stage, NULL);
    sona_client *client = stage_client(&stage, 1);
    status = stage_status(&stage);
    text = json_string_value(
        json_object_get(json_array_get(json_object_get(status, "clients"), 0), "liveness"));
    cr_expect(strcmp(text, "pidfd") == 0 || strcmp(text, "challenge") == 0, "%s", text);
    json_decref(status);
    sona_client_close(&client);
    stage_close(&stage);
}
