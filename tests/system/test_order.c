/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Outcomes that come early, twice, for nothing, from elsewhere. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "raw.h"

Test(order, an_outcome_that_overtakes_its_decision_is_parked_and_learned, .timeout = 60)
{
    struct stage stage;
    struct raw raw;

    stage_open(&stage, NULL);
    raw_open(&raw, &stage);
    raw_record(&raw, 1, SONA_RECORD_OUTCOME)->id = raw_id(&raw, 0); /* not decided yet */
    raw_commit(&raw, 1);
    (void)stage_await(&stage, "parked", 1);
    cr_assert(eq(u64, stage_counter(&stage, "parked_now"), 1));
    cr_assert(eq(u64, stage_counter(&stage, "learned"), 0));

    (void)raw_record(&raw, 0, SONA_RECORD_DECIDE);
    raw_commit(&raw, 0);
    (void)stage_await(&stage, "learned", 1);
    cr_assert(eq(u64, stage_counter(&stage, "parked_now"), 0));
    cr_assert(eq(u64, stage_counter(&stage, "drop_unknown_id"), 0));
    raw_close(&raw);
    stage_close(&stage);
}

Test(order, an_outcome_beyond_what_a_lane_can_hold_is_unknown, .timeout = 60)
{
    struct stage stage;
    struct raw raw;

    stage_open(&stage, NULL);
    raw_open(&raw, &stage);
    raw_record(&raw, 1, SONA_RECORD_OUTCOME)->id = SONA_ID(raw.welcome.tag, 0, raw.plan.ring_slots);
    raw_commit(&raw, 1);
    raw_record(&raw, 1, SONA_RECORD_OUTCOME)->id =
        SONA_ID(raw.welcome.tag, RAW_LANES, 0); /* no such lane */
    raw_commit(&raw, 1);
    raw_record(&raw, 1, SONA_RECORD_OUTCOME)->id =
        SONA_ID((raw.welcome.tag + 1) & 0xffff, 0, 0); /* no such client */
    raw_commit(&raw, 1);
    (void)stage_await(&stage, "drop_unknown_id", 3);
    cr_assert(eq(u64, stage_counter(&stage, "parked"), 0));
    raw_close(&raw);
    stage_close(&stage);
}

Test(order, what_is_parked_for_a_client_that_dies_is_unknown, .timeout = 60)
{
    struct stage stage;
    struct raw dying, other;

    stage_open(&stage, NULL);
    raw_open(&dying, &stage);
    raw_open(&other, &stage);
    raw_record(&other, 0, SONA_RECORD_OUTCOME)->id = raw_id(&dying, 0);
    raw_commit(&other, 0);
    (void)stage_await(&stage, "parked", 1);
    raw_close(&dying);
    (void)stage_await(&stage, "clients_reclaimed", 1);
    cr_assert(eq(u64, stage_counter(&stage, "drop_unknown_id"), 1));
    cr_assert(eq(u64, stage_counter(&stage, "parked_now"), 0));
    raw_close(&other);
    stage_close(&stage);
}

Test(order, unknown_ids_and_second_outcomes_are_counted_under_their_names, .timeout = 60)
{
    struct stage stage;
    float x[STAGE_DIM];
    sona_decision d;

    stage_open(&stage, NULL);
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    stage_query(0, x);
    cr_assert(eq(int, sona_decide(lane, x, STAGE_DIM, NULL, &d), SONA_OK));
    cr_assert(eq(int, sona_outcome(lane, d.id, 1, NULL), SONA_OK));
    cr_assert(eq(int, sona_outcome(lane, d.id, 1, NULL), SONA_OK));
    cr_assert(eq(int, sona_outcome(lane, 4711, 1, NULL), SONA_OK), "only the sidecar can tell");
    (void)stage_await(&stage, "outcomes", 3);
    (void)stage_await(&stage, "learned", 1);
    cr_expect(eq(u64, stage_counter(&stage, "drop_duplicate"), 1));
    cr_expect(eq(u64, stage_counter(&stage, "drop_unknown_id"), 1));
    sona_lane_release(&lane);
    sona_client_close(&client);
    stage_close(&stage);
}

/* In another process: tell the outcomes of the decisions that come through the pipe. */
static void tell(const struct stage *stage, int from)
{
    sona_client *client = stage_client(stage, 1);
    sona_lane *lane = stage_lane(client);
    uint64_t id;

    while (read(from, &id, sizeof id) == (ssize_t)sizeof id)
        if (sona_outcome(lane, id, 1, NULL) != SONA_OK)
            _exit(1);
    sona_lane_release(&lane);
    sona_client_close(&client);
    _exit(0);
}

Test(order, outcomes_from_a_second_process_are_learned, .timeout = 60)
{
    enum { DECISIONS = 200 };
    struct stage stage;
    float x[STAGE_DIM];
    int to[2], status = -1;

    stage_open(&stage, NULL);
    cr_assert(eq(int, pipe(to), 0));
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(to[1]);
        tell(&stage, to[0]);
    }
    (void)close(to[0]);
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    for (uint64_t n = 0; n < DECISIONS; n++) {
        sona_decision d;

        stage_query(n, x);
        cr_assert(eq(int, sona_decide(lane, x, STAGE_DIM, NULL, &d), SONA_OK));
        cr_assert(eq(i64, write(to[1], &d.id, sizeof d.id), (int64_t)sizeof d.id));
    }
    (void)close(to[1]);
    cr_assert(eq(int, waitpid(pid, &status, 0), pid));
    cr_assert(eq(int, status, 0));
    (void)stage_await(&stage, "learned", DECISIONS);
    cr_expect(eq(u64, stage_counter(&stage, "drop_unknown_id"), 0));
    cr_expect(eq(u64, stage_counter(&stage, "drop_foreign"), 0));
    sona_lane_release(&lane);
    sona_client_close(&client);
    stage_close(&stage);
}

/* A copy of the sidecar where every user may run it: the build directory may be root's alone. */
static void copy_sidecar(char dir[64], char path[96])
{
    const char *from = getenv("SONA_SIDECAR");
    struct stat st;

    (void)snprintf(dir, 64, "/tmp/sona-other-XXXXXX");
    cr_assert(ne(ptr, mkdtemp(dir), NULL));
    cr_assert(eq(int, chmod(dir, 0755), 0));
    (void)snprintf(path, 96, "%s/sona-sidecar", dir);
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    cr_assert(eq(int, fstat(in, &st), 0));
    for (off_t left = st.st_size; left > 0;) {
        ssize_t n = sendfile(out, in, NULL, (size_t)left);

        cr_assert(gt(i64, n, 0));
        left -= n;
    }
    cr_assert(eq(int, fchmod(out, 0755), 0)); /* whatever the umask was */
    (void)close(in);
    (void)close(out);
}

/* As another user: a sidecar, a decision, whose id goes through the pipe; then wait for the
 * verdict. */
static void decide_as_other(const char *sidecar, int to, int from)
{
    struct stage stage;
    float x[STAGE_DIM];
    sona_decision d;
    char byte;

    /* The last: nobody outlives the test, not even one whose assertion failed here. */
    if (setgid(65534) != 0 || setuid(65534) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        _exit(1);
    if (setenv("SONA_SIDECAR", sidecar, 1) != 0)
        _exit(1);
    stage_open(&stage, NULL);
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    stage_query(0, x);
    if (sona_decide(lane, x, STAGE_DIM, NULL, &d) != SONA_OK ||
        write(to, &stage.spawn, sizeof stage.spawn) != (ssize_t)sizeof stage.spawn ||
        write(to, &d.id, sizeof d.id) != (ssize_t)sizeof d.id || read(from, &byte, 1) != 1)
        _exit(2);
    (void)stage_await(&stage, "drop_foreign", 1);
    if (stage_counter(&stage, "learned") != 0 || sona_outcome(lane, d.id, 1, NULL) != SONA_OK)
        _exit(3);
    (void)stage_await(&stage, "learned", 1); /* its owner's still counts */
    sona_client_close(&client);
    stage_close(&stage);
    _exit(0);
}

Test(order, an_outcome_for_another_users_decision_is_foreign, .timeout = 60)
{
    int there[2], back[2], status = -1;
    char dir[64], sidecar[96];
    struct stage stage;
    uint64_t id;

    if (geteuid() != 0)
        cr_skip("needs root to become another user");
    copy_sidecar(dir, sidecar);
    cr_assert(eq(int, pipe(there), 0));
    cr_assert(eq(int, pipe(back), 0));
    pid_t pid = fork();
    if (pid == 0)
        decide_as_other(sidecar, there[1], back[0]);
    (void)close(there[1]);
    cr_assert(eq(i64, read(there[0], &stage.spawn, sizeof stage.spawn), sizeof stage.spawn),
              "the other user's sidecar did not start");
    cr_assert(eq(i64, read(there[0], &id, sizeof id), sizeof id));
    sona_client *client = stage_client(&stage, 1); /* root is served by everybody's sidecar */
    sona_lane *lane = stage_lane(client);
    cr_assert(eq(int, sona_outcome(lane, id, 1, NULL), SONA_OK));
    cr_assert(eq(i64, write(back[1], "d", 1), 1));
    cr_assert(eq(int, waitpid(pid, &status, 0), pid));
    cr_assert(eq(int, status, 0));
    (void)unlink(sidecar);
    (void)rmdir(dir);
    sona_lane_release(&lane);
    sona_client_close(&client);
}
