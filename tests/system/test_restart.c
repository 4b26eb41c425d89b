/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* A sidecar in the place of one that was killed: what goes on, what is renewed, what is refused. */
#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "raw.h"
#include "sidecar/ledger.h"
#include "tests/support/settled.h"

#define AT_WRAP (UINT64_C(1) << 32)

/* Records that all sidecars took, the dead ones too. */
static uint64_t taken(const struct stage *stage)
{
    json_t *o = stage_stats(stage);
    json_int_t n = json_integer_value(json_object_get(o, "lost_killed")) +
                   json_integer_value(json_object_get(json_object_get(o, "records"), "taken"));

    json_decref(o);
    return (uint64_t)n;
}

static void await_taken(const struct stage *stage, uint64_t n)
{
    uint64_t end = stage_now_ms() + STAGE_LIMIT_MS;

    while (taken(stage) < n) {
        cr_assert(lt(u64, stage_now_ms(), end), "%llu taken, not %llu",
                  (unsigned long long)taken(stage), (unsigned long long)n);
        stage_pause();
    }
}

/* What status says about the segment. */
static void segment_of(const struct stage *stage, char uuid[40], uint64_t *generation)
{
    json_t *o = stage_status(stage);
    const json_t *segment = json_object_get(o, "segment");

    (void)snprintf(uuid, 40, "%s", json_string_value(json_object_get(segment, "uuid")));
    *generation = (uint64_t)json_integer_value(json_object_get(segment, "generation"));
    json_decref(o);
}

static void await_attachments(sona_client *client, uint64_t n)
{
    uint64_t end = stage_now_ms() + STAGE_LIMIT_MS;
    sona_client_stats s;

    do {
        cr_assert(eq(int, sona_client_stats_get(client, &s), SONA_OK));
        cr_assert(lt(u64, stage_now_ms(), end), "the client did not come back");
        stage_pause();
    } while (!s.attached || s.attachments < n);
    cr_assert(eq(u64, s.dropped_restart, 0));
}

/* One more decision of a lane: its number goes on, its version does not go back. */
static void decide(sona_lane *lane, uint64_t number, uint64_t *version)
{
    float x[STAGE_DIM];
    sona_decision d;

    stage_query(number, x);
    cr_assert(eq(int, sona_decide(lane, x, STAGE_DIM, NULL, &d), SONA_OK));
    cr_assert(eq(u64, SONA_ID_SEQ(d.id), number));
    cr_assert(ge(u64, d.version, *version), "a version went back");
    *version = d.version;
}

Test(restart, in_the_same_segment_rings_go_on_and_nothing_is_lost, .timeout = 60)
{
    struct stage stage;
    char uuid[2][40];
    uint64_t generation[2], version = 0;

    stage_open(&stage, NULL);
    segment_of(&stage, uuid[0], &generation[0]);
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    for (uint64_t n = 0; n < 10; n++)
        decide(lane, n, &version);
    sona_spawn_kill(&stage.spawn);
    for (uint64_t n = 10; n < 30; n++) /* nobody is there: the ring takes them */
        decide(lane, n, &version);
    stage_reopen(&stage);
    await_attachments(client, 2);
    for (uint64_t n = 30; n < 40; n++)
        decide(lane, n, &version);
    await_taken(&stage, 40);
    segment_of(&stage, uuid[1], &generation[1]);
    cr_assert(eq(str, uuid[0], uuid[1]));
    cr_assert(eq(u64, generation[0], generation[1]));
    cr_assert(eq(u64, stage_counter(&stage, "handed_back"), 1));
    cr_assert(eq(u64, stage_counter(&stage, "drop_malformed"), 0));
    sona_lane_release(&lane);
    sona_client_close(&client);
    stage_close(&stage);
}

/* What follows a restart in another segment. */
static void expect_new_generation(struct stage *stage, const char *const *more)
{
    char uuid[2][40];
    uint64_t generation[2], version = 0;

    segment_of(stage, uuid[0], &generation[0]);
    sona_client *client = stage_client(stage, 2);
    sona_lane *lane = stage_lane(client), *silent = stage_lane(client);
    for (uint64_t n = 0; n < 10; n++)
        decide(lane, n, &version);
    sona_spawn_kill(&stage->spawn);
    for (uint64_t n = 10; n < 30; n++)
        decide(lane, n, &version);
    stage_reopen_with(stage, more);
    await_attachments(client, 2);
    for (uint64_t n = 30; n < 40; n++)
        decide(lane, n, &version);
    decide(silent, 0, &version); /* its first word is in the new segment */
    await_taken(stage, 41);
    segment_of(stage, uuid[1], &generation[1]);
    cr_expect(ne(str, uuid[0], uuid[1]));
    cr_expect(gt(u64, generation[1], generation[0]));
    cr_expect(eq(u64, stage_counter(stage, "handed_back"), 1));
    cr_expect(eq(u64, stage_counter(stage, "drop_malformed"), 0));
    sona_lane_release(&lane);
    sona_lane_release(&silent);
    sona_client_close(&client);
}

Test(restart, of_a_container_with_a_fresh_dev_shm_begins_a_segment_and_keeps_the_lanes,
     .timeout = 60)
{
    struct stage stage;
    char name[128];

    /* In a mount namespace of our own, where that is allowed: the sidecar's second start finds
     * another /dev/shm. Else the name is taken away, which looks the same to it. */
    bool own =
        unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    stage_open(&stage, NULL);
    (void)snprintf(name, sizeof name, "/sona.%s.model", stage.spawn.instance);
    if (!own || mount("fresh", "/dev/shm", "tmpfs", 0, "size=64m") != 0)
        cr_assert(eq(int, shm_unlink(name), 0));
    expect_new_generation(&stage, NULL);
    stage_close(&stage);
}

Test(restart, with_more_routes_begins_a_segment_and_clients_move_on, .timeout = 60)
{
    static const char *const more[] = {"--set=routes_max=100", NULL};
    struct stage stage;
    struct raw witness; /* keeps the first segment mapped */
    sona_geometry g = {0};

    stage_open(&stage, NULL);
    raw_open(&witness, &stage);
    const struct sona_shm_live *live = (const void *)(witness.model + SONA_SHM_PAGE);
    expect_new_generation(&stage, more);
    cr_expect(eq(u32, atomic_load_explicit(&live->state, memory_order_acquire), SONA_SHM_RETIRED));
    sona_client *client = stage_client(&stage, 1);
    cr_assert(eq(int, sona_client_geometry(client, &g), SONA_OK));
    cr_expect(eq(u32, g.routes_max, 100));
    sona_client_close(&client);
    raw_close(&witness);
    stage_close(&stage);
}

Test(restart, with_another_dimension_is_refused_by_the_client_in_one_sentence, .timeout = 60)
{
    static const char *const more[] = {"--dim=32", NULL};
    struct stage stage;
    sona_client *client = NULL;
    struct sona_wire_refused refused;
    uint64_t version = 0;
    float x[STAGE_DIM];
    sona_decision d;
    sona_client_stats s;

    stage_open(&stage, NULL);
    const sona_client_options options = {.instance = stage.spawn.instance,
                                         .runtime_dir = stage.spawn.runtime_dir,
                                         .lanes = 1,
                                         .dim = STAGE_DIM,
                                         .no_maintenance_thread = true};
    cr_assert(eq(int, sona_client_open(&client, &options, NULL), SONA_OK));
    sona_lane *lane = stage_lane(client);
    decide(lane, 0, &version);
    await_taken(&stage, 1);
    sona_spawn_kill(&stage.spawn);
    stage_reopen_with(&stage, more);
    cr_assert(eq(int, sona_client_maintain(client), SONA_E_SHAPE));
    stage_query(1, x);
    cr_assert(eq(int, sona_decide(lane, x, STAGE_DIM, NULL, &d), SONA_E_DETACHED));
    cr_assert(eq(u64, d.version, version), "the last model answers");
    cr_assert(eq(int, sona_client_stats_get(client, &s), SONA_OK));
    cr_assert(not(s.attached));
    cr_assert(eq(u64, s.dropped_detached, 1));
    struct sona_wire_hello hello = {.head = {.magic = SONA_WIRE_MAGIC,
                                             .kind = SONA_WIRE_HELLO,
                                             .abi_major = SONA_ABI_MAJOR,
                                             .abi_minor = SONA_ABI_MINOR,
                                             .bytes = sizeof hello},
                                    .layout_hash = sona_shm_layout_hash(),
                                    .lanes = 1,
                                    .dim = STAGE_DIM,
                                    .fence_modes = SONA_SHM_FENCE_FULL};
    int fd = raw_send(&stage, &hello, sizeof hello);
    cr_assert(eq(sz, raw_receive(fd, &refused, sizeof refused), sizeof refused));
    cr_assert(eq(str, refused.text,
                 "this instance takes vectors of 32 floats and the client expects 16; start the "
                 "sidecar with --dim 16, or change the client"));
    (void)close(fd);
    sona_client_close(&client);
    stage_close(&stage);
}

static void await_death(const struct stage *stage)
{
    uint64_t end = stage_now_ms() + STAGE_LIMIT_MS;
    siginfo_t info = {.si_pid = 0};

    while (waitid(P_PID, (id_t)stage->spawn.pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == 0) {
        cr_assert(lt(u64, stage_now_ms(), end), "the fault point was not reached");
        stage_pause();
    }
}

static void commit(struct raw *raw, uint32_t lane, int n)
{
    for (int k = 0; k < n; k++) {
        (void)raw_record(raw, lane, SONA_RECORD_DECIDE);
        raw_commit(raw, lane);
    }
}

/* As if so many records had gone through lane 0: the ring's words, and what the ledger knows. */
static void age(struct raw *raw, const struct stage *stage, uint64_t committed, uint64_t noted)
{
    uint8_t identity[SONA_SHM_IDENTITY_BYTES];
    struct sona_sidecar_ledger *ledger = NULL;
    char path[256];
    sona_diag diag = {0};
    char *ring = (char *)raw_lane(raw, 0)->ring;

    atomic_store_explicit((_Atomic uint32_t *)(void *)ring, (uint32_t)committed,
                          memory_order_release); /* c_head */
    atomic_store_explicit((_Atomic uint32_t *)(void *)(ring + 64), (uint32_t)committed,
                          memory_order_release); /* p_tail */
    raw->seq[0] = committed;
    cr_assert(sona_shm_lanes_identity(raw->lanes_fd, identity));
    (void)snprintf(path, sizeof path, "%s/%s.lanes", stage->spawn.runtime_dir,
                   stage->spawn.instance);
    cr_assert(eq(int, sona_sidecar_ledger_open(&ledger, path, &diag), SONA_OK), "%s", diag.text);
    int slot = sona_sidecar_ledger_find(ledger, identity);
    cr_assert(ge(int, slot, 0));
    sona_sidecar_ledger_advance(ledger, slot, 0, noted);
    sona_sidecar_ledger_close(&ledger, false);
}

Test(restart, a_ring_wraps_at_32_bits_with_a_kill_between_append_and_c_head, .timeout = 60)
{
    struct stage stage;
    struct raw raw;
    const char *faults = getenv("SONA_SIDECAR_FAULTS"), *plain = getenv("SONA_SIDECAR");
    char whole[512];

    cr_assert(ne(ptr, (void *)(uintptr_t)faults, NULL));
    (void)snprintf(whole, sizeof whole, "%s", plain ? plain : "");
    stage_open(&stage, NULL);
    raw_open(&raw, &stage);
    sona_spawn_kill(&stage.spawn);

    /* Five are noted and not given back, three wait: eight short of the wrap. */
    age(&raw, &stage, AT_WRAP - 16, AT_WRAP - 11);
    commit(&raw, 0, 8);
    (void)setenv("SONA_SIDECAR", faults, 1);
    (void)setenv("SONA_FAULT", "drain_noted:2", 1); /* the three, then a batch over the wrap */
    stage_reopen(&stage);
    raw_reopen(&raw, &stage);
    await_taken(&stage, AT_WRAP - 8);
    uint64_t before = taken(&stage);
    cr_assert(eq(u64, before, AT_WRAP - 8), "the five are not taken again");
    /* All at once, so that one batch has both sides of the wrap. */
    cr_assert(eq(int, kill(stage.spawn.pid, SIGSTOP), 0));
    commit(&raw, 0, 20);
    cr_assert(eq(int, kill(stage.spawn.pid, SIGCONT), 0));
    await_death(&stage);
    sona_spawn_kill(&stage.spawn);

    (void)setenv("SONA_SIDECAR", whole, 1);
    (void)unsetenv("SONA_FAULT");
    stage_reopen(&stage);
    raw_reopen(&raw, &stage);
    cr_assert(eq(u64, taken(&stage), AT_WRAP + 12), "the twenty are not taken again");
    commit(&raw, 0, 5);
    await_taken(&stage, AT_WRAP + 17);
    cr_assert(eq(u64, stage_counter(&stage, "decisions"), 5));
    cr_assert(eq(u64, stage_counter(&stage, "drop_malformed"), 0));
    cr_assert(eq(u64, stage_counter(&stage, "lanes_quarantined"), 0));
    raw_close(&raw);
    (void)stage_await(&stage, "clients_reclaimed", 1);
    cr_assert(eq(u64, taken(&stage), AT_WRAP + 17));
    stage_close(&stage);
}

/* The same where the arena has records that the cursor does not know of. */
Test(restart, a_ring_wraps_at_32_bits_with_a_kill_between_the_arena_and_the_cursor, .timeout = 60)
{
    struct stage stage;
    struct raw raw;
    const char *faults = getenv("SONA_SIDECAR_FAULTS"), *plain = getenv("SONA_SIDECAR");
    char whole[512];

    (void)snprintf(whole, sizeof whole, "%s", plain ? plain : "");
    stage_open_kept(&stage, NULL);
    raw_open(&raw, &stage);
    sona_spawn_kill(&stage.spawn);
    age(&raw, &stage, AT_WRAP - 8, AT_WRAP - 8);
    (void)setenv("SONA_SIDECAR", faults, 1);
    (void)setenv("SONA_FAULT", "arena_appended:13", 1); /* 12 done, the 13th is in the arena */
    stage_reopen(&stage);
    raw_reopen(&raw, &stage);
    cr_assert(eq(int, kill(stage.spawn.pid, SIGSTOP), 0));
    commit(&raw, 0, 20); /* one batch with both sides of the wrap */
    cr_assert(eq(int, kill(stage.spawn.pid, SIGCONT), 0));
    await_death(&stage);
    sona_spawn_kill(&stage.spawn);

    (void)setenv("SONA_SIDECAR", whole, 1);
    (void)unsetenv("SONA_FAULT");
    stage_reopen(&stage);
    cr_assert(eq(u64, stage_counter(&stage, "pending"), 13), "they were recalled");
    raw_reopen(&raw, &stage);
    (void)stage_await(&stage, "decisions", 20);
    cr_assert(eq(u64, stage_counter(&stage, "pending"), 20), "each waits once");
    cr_assert(eq(u64, stage_counter(&stage, "drop_malformed"), 0));
    cr_assert(eq(u64, stage_counter(&stage, "drop_duplicate"), 0));
    cr_assert(eq(u64, stage_counter(&stage, "lanes_quarantined"), 0));
    raw_close(&raw);
    stage_close(&stage);
}

Test(restart, a_lane_that_is_ahead_of_what_was_drained_is_quarantined_alone, .timeout = 60)
{
    struct stage stage;
    struct raw raw;

    stage_open(&stage, NULL);
    raw_open(&raw, &stage);
    sona_spawn_kill(&stage.spawn);
    age(&raw, &stage, 7, 6);
    commit(&raw, 1, 3);
    stage_reopen(&stage);
    raw_reopen(&raw, &stage);
    (void)stage_await(&stage, "lanes_quarantined", 1);
    (void)stage_await(&stage, "decisions", 3);
    cr_assert(
        eq(u32, atomic_load_explicit(&raw_lane(&raw, 0)->control.closed, memory_order_acquire), 1));
    raw_close(&raw);
    stage_close(&stage);
}

Test(restart, an_outcome_waits_for_a_decision_whose_lane_comes_back_later, .timeout = 60)
{
    struct stage stage;
    struct raw decides, tells;

    stage_open(&stage, NULL);
    raw_open(&decides, &stage);
    raw_open(&tells, &stage);
    sona_spawn_kill(&stage.spawn);
    uint64_t id = raw_id(&decides, 0);
    commit(&decides, 0, 1);
    raw_record(&tells, 0, SONA_RECORD_OUTCOME)->id = id;
    raw_commit(&tells, 0);
    stage_reopen(&stage);
    raw_reopen(&tells, &stage);
    (void)stage_await(&stage, "parked", 1);
    raw_reopen(&decides, &stage);
    (void)stage_await(&stage, "learned", 1);
    cr_assert(eq(u64, stage_counter(&stage, "drop_unknown_id"), 0));
    raw_close(&decides);
    raw_close(&tells);
    stage_close(&stage);
}

/* Descriptors of ours that a process has open. */
static int ours_open_in(pid_t pid)
{
    char path[64], link[512], target[256];
    int n = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    cr_assert(ne(ptr, dir, NULL));
    for (struct dirent *entry; (entry = readdir(dir));) {
        (void)snprintf(link, sizeof link, "%s/%s", path, entry->d_name);
        ssize_t got = readlink(link, target, sizeof target - 1);
        target[got > 0 ? got : 0] = '\0';
        n += strstr(target, "sona") != NULL;
    }
    (void)closedir(dir);
    return n;
}

Test(restart, a_client_that_executes_another_program_is_drained_and_leaves_nothing, .timeout = 60)
{
    struct stage stage;
    float x[STAGE_DIM];

    stage_open(&stage, NULL);
    stage_query(1, x);
    pid_t pid = fork();
    if (pid == 0) {
        sona_client *client = stage_client(&stage, 1);
        sona_lane *lane = stage_lane(client);
        sona_decision d;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (int n = 0; n < 5; n++)
            if (sona_decide(lane, x, STAGE_DIM, NULL, &d) != SONA_OK ||
                sona_outcome(lane, d.id, 1, NULL) != SONA_OK)
                _exit(1);
        (void)execlp("sleep", "sleep", "60", (char *)NULL);
        _exit(127);
    }
    (void)stage_await(&stage, "clients_reclaimed", 1);
    cr_expect(eq(u64, stage_counter(&stage, "learned"), 5));
    cr_expect(eq(int, kill(pid, 0), 0), "it lives, as another program");
    cr_expect(eq(int, ours_open_in(pid), 0), "a descriptor of ours went with it");
    sona_spawn_kill(&stage.spawn);
    stage_reopen(&stage);
    cr_expect(eq(u64, stage_counter(&stage, "handed_back"), 0));
    cr_expect(eq(u64, stage_counter(&stage, "lost_killed"), 10));
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    stage_close(&stage);
}

/* A worker of a server that connected before it forked. */
static void serve_as_worker(const struct stage *stage, sona_client *inherited,
                            _Atomic uint64_t *committed, const _Atomic bool *stop)
{
    sona_client_options options = {
        .instance = stage->spawn.instance, .runtime_dir = stage->spawn.runtime_dir, .lanes = 1};
    sona_client *client;
    sona_lane *lane;
    float x[STAGE_DIM];
    sona_decision d;
    sona_client_stats s;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    sona_client_close(&inherited); /* our copy of it */
    if (sona_client_open(&client, &options, NULL) != SONA_OK ||
        sona_lane_claim(client, &lane, NULL) != SONA_OK)
        _exit(1);
    stage_query(3, x);
    while (!atomic_load_explicit(stop, memory_order_acquire)) {
        if (sona_decide(lane, x, STAGE_DIM, NULL, &d) == SONA_OK)
            atomic_fetch_add_explicit(committed, 1, memory_order_relaxed);
        stage_pause();
    }
    do
        (void)sona_client_stats_get(client, &s);
    while (!s.attached);
    sona_client_close(&client);
    _exit(0);
}

Test(restart, workers_of_a_prefork_server_come_back_each_with_its_own_lanes, .timeout = 60)
{
    struct stage stage;
    pid_t pid[2];

    stage_open(&stage, NULL);
    struct {
        _Atomic uint64_t committed[2];
        _Atomic bool stop;
    } *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert(ne(ptr, shared, MAP_FAILED));
    sona_client *client = stage_client(&stage, 1); /* connects, and never says anything */
    for (int k = 0; k < 2; k++)
        if ((pid[k] = settled_fork()) == 0)
            serve_as_worker(&stage, client, &shared->committed[k], &shared->stop);
    for (int k = 0; k < 2; k++)
        while (atomic_load(&shared->committed[k]) < 20)
            stage_pause(); /* the test's time-out is the bound */
    sona_client_close(&client);
    (void)stage_await(&stage, "clients_reclaimed", 1);
    sona_spawn_kill(&stage.spawn);
    stage_reopen(&stage);
    (void)stage_await(&stage, "handed_back", 2);
    atomic_store(&shared->stop, true);
    for (int k = 0; k < 2; k++) {
        int status = -1;

        cr_assert(eq(int, waitpid(pid[k], &status, 0), pid[k]));
        cr_assert(eq(int, status, 0));
    }
    (void)stage_await(&stage, "clients_reclaimed", 2);
    cr_assert(eq(u64, taken(&stage),
                 atomic_load(&shared->committed[0]) + atomic_load(&shared->committed[1])));
    stage_close(&stage);
}
