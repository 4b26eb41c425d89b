/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The handshake: what is believed, what is refused and how, and that nothing is left behind. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "fake.h"

static struct fake fake;

static void start(void)
{
    fake_start(&fake);
}

static void stop(void)
{
    fake_stop(&fake);
}

TestSuite(attach, .init = start, .fini = stop);

/* Maps of the client in this process: read-only ones of the model, and those of lanes beyond the
 * fake's own. */
static int traces(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    int n = 0;

    (void)pthread_mutex_lock(&fake.lock); /* no handshake is half done */
    while (fgets(line, sizeof line, maps)) {
        n += strstr(line, "/dev/shm/sona.") && strstr(line, "r--s");
        n += strstr(line, "memfd:sona-lanes") != NULL;
    }
    for (uint32_t i = 0; i < fake.n_peers; i++)
        n -= fake.peer[i].lanes != NULL;
    (void)pthread_mutex_unlock(&fake.lock);
    (void)fclose(maps);
    return n;
}

/* Open against the spoilt fake; the error, with its diagnostic. Nothing may stay mapped. */
static sona_err open_refused(sona_diag *diag)
{
    sona_client_options options = fake_options(&fake);
    sona_client *client = (void *)&options; /* must not be written */
    int before = traces();
    sona_err err = sona_client_open(&client, &options, diag);

    cr_assert(ne(int, err, SONA_OK), "the client believed it");
    cr_assert(eq(ptr, client, (void *)&options), "written on success only");
    cr_assert(eq(int, diag->code, err), "the diagnostic names the error: %s", diag->text);
    cr_assert(eq(int, traces(), before), "a map was left behind: %s", diag->text);
    return err;
}

Test(attach, a_good_offer_is_taken)
{
    sona_client *client = fake_client(&fake);
    sona_client_stats stats;
    sona_geometry geometry;

    cr_assert(eq(int, sona_client_stats_get(client, &stats), SONA_OK));
    cr_assert(stats.attached);
    cr_assert(eq(u64, stats.attachments, 1));
    cr_assert(eq(u32, stats.dim, FAKE_DIM));
    cr_assert(eq(u32, stats.lanes_claimed, 0));
    cr_assert(eq(int, sona_client_geometry(client, &geometry), SONA_OK));
    cr_assert(eq(int, memcmp(&geometry, &fake.geometry, sizeof geometry), 0));
    cr_assert(eq(u32, fake.peer[0].hello.lanes, 2));
    cr_assert(eq(u32, fake.peer[0].hello.head.abi_major, SONA_ABI_MAJOR));
    cr_assert(eq(int, fake.peer[0].hello.pid, getpid()));
    sona_client_close(&client);
    cr_assert(eq(ptr, client, NULL));
}

Test(attach, full_fence_is_honoured_and_reported)
{
    sona_client_options options = fake_options(&fake);
    sona_client *client;
    sona_client_stats stats;

    options.full_fence = true;
    cr_assert(eq(int, sona_client_open(&client, &options, NULL), SONA_OK));
    cr_assert(eq(int, sona_client_stats_get(client, &stats), SONA_OK));
    cr_assert(stats.full_fence);
    cr_assert(eq(u32, fake.peer[0].hello.fence_modes, SONA_SHM_FENCE_FULL));
    sona_client_close(&client);
}

static bool other_abi_in_head(struct fake *f, struct sona_wire_welcome *w, int fds[3], int *n)
{
    (void)f, (void)n;
    w->head.bytes = sizeof *w;
    w->head.magic = SONA_WIRE_MAGIC;
    w->head.abi_major = SONA_ABI_MAJOR + 1;
    /* sona_wire_send() would put ours back. */
    (void)send(f->peer[f->n_peers - 1].socket, w, sizeof *w, 0);
    (void)fds;
    return false;
}

static bool other_abi_in_segment(struct fake *f, struct sona_wire_welcome *w, int fds[3], int *n)
{
    (void)f, (void)fds, (void)n;
    w->segment.abi_major++;
    fake_seal_header(&w->segment);
    return true;
}

static bool other_layout(struct fake *f, struct sona_wire_welcome *w, int fds[3], int *n)
{
    (void)f, (void)fds, (void)n;
    w->segment.layout_hash++;
    fake_seal_header(&w->segment);
    return true;
}

static bool other_model(struct fake *f, struct sona_wire_welcome *w, int fds[3], int *n)
{
    (void)f, (void)fds, (void)n;
    w->segment.hot_bytes += 64;
    fake_seal_header(&w->segment);
    return true;
}

Test(attach, another_abi_is_refused_as_such)
{
    static bool (*const spoils[])(struct fake *, struct sona_wire_welcome *, int[3], int *) = {
        other_abi_in_head, other_abi_in_segment, other_layout, other_model};

    for (size_t i = 0; i < sizeof spoils / sizeof spoils[0]; i++) {
        sona_diag diag;

        fake.spoil = spoils[i];
        cr_assert(eq(int, open_refused(&diag), SONA_E_ABI), "case %zu: %s", i, diag.text);
    }
}

static bool wrong_crc(struct fake *f, struct sona_wire_welcome *w, int fds[3], int *n)
{
    (void)f, (void)fds, (void)n;
    w->segment.crc ^= 1;
    return true;
}

static bool wrong_total(struct fake *f, struct sona_wire_welcome *w, int fds[3], int *n)
{
    (void)f, (void)fds, (void)n;
    w->segment.total_bytes += SONA_SHM_PAGE;
    fake_seal_header(&w->segment);
    return true;
}

static bool wrong_geometry(struct fake *f, struct sona_wire_welcome *w, int fds[3], int *n)
{
    (void)f, (void)fds, (void)n;
    w->segment.geometry.routes_max = SONA_ROUTES_MAX + 1;
    fake_seal_header(&w->segment);
    return true;
}

static bool wrong_slots(struct fake *f, struct sona_wire_welcome *w, int fds[3], int *n)
{
    (void)f, (void)fds, (void)n;
    w->segment.hot_slots = 200;
    fake_seal_header(&w->segment);
    return true;
}

static bool wrong_uuid(struct fake *f, struct sona_wire_welcome *w, int fds[3], int *n)
{
    (void)f, (void)fds, (void)n;
    w->segment.uuid[0]++;
    fake_seal_header(&w->segment);
    return true;
}

static bool fewer_lanes(struct fake *f, struct sona_wire_welcome *w, int fds[3], int *n)
{
    (void)f, (void)fds, (void)n;
    w->lanes--;
    return true;
}

static bool no_tag(struct fake *f, struct sona_wire_welcome *w, int fds[3], int *n)
{
    (void)f, (void)fds, (void)n;
    w->tag = 0;
    return true;
}

static bool wide_tag(struct fake *f, struct sona_wire_welcome *w, int fds[3], int *n)
{
    (void)f, (void)fds, (void)n;
    w->tag = 1u << 16;
    return true;
}

static bool short_model(struct fake *f, struct sona_wire_welcome *w, int fds[3], int *n)
{
    (void)f, (void)w, (void)n;
    fds[0] = memfd_create("short", MFD_CLOEXEC);
    return true;
}

Test(attach, an_offer_that_contradicts_itself_is_a_wrong_geometry)
{
    static bool (*const spoils[])(struct fake *, struct sona_wire_welcome *, int[3], int *) = {
        wrong_crc,   wrong_total, wrong_geometry, wrong_slots, wrong_uuid,
        fewer_lanes, no_tag,      wide_tag,       short_model};

    for (size_t i = 0; i < sizeof spoils / sizeof spoils[0]; i++) {
        sona_diag diag;

        if (i % 6 == 5) { /* a fake has room for so many peers */
            fake_end(&fake);
            fake_restart(&fake);
        }
        fake.spoil = spoils[i];
        cr_assert(eq(int, open_refused(&diag), SONA_E_GEOMETRY), "case %zu: %s", i, diag.text);
    }
}

static bool unsealed_lanes(struct fake *f, struct sona_wire_welcome *w, int fds[3], int *n)
{
    (void)w, (void)n;
    fds[1] = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fallocate(fds[1], 0, 0, (off_t)f->peer[f->n_peers - 1].plan.lanes_bytes) == 0;
}

static bool swapped(struct fake *f, struct sona_wire_welcome *w, int fds[3], int *n)
{
    int first = fds[0];

    (void)f, (void)w, (void)n;
    fds[0] = fds[1];
    fds[1] = first;
    return true;
}

static bool one_descriptor(struct fake *f, struct sona_wire_welcome *w, int fds[3], int *n)
{
    (void)f, (void)w, (void)fds;
    *n = 1;
    return true;
}

static bool no_descriptor(struct fake *f, struct sona_wire_welcome *w, int fds[3], int *n)
{
    (void)f, (void)w, (void)fds;
    *n = 0;
    return true;
}

Test(attach, wrong_descriptors_are_refused)
{
    static bool (*const spoils[])(struct fake *, struct sona_wire_welcome *, int[3],
                                  int *) = {unsealed_lanes, swapped, one_descriptor, no_descriptor};

    for (size_t i = 0; i < sizeof spoils / sizeof spoils[0]; i++) {
        sona_diag diag;

        fake.spoil = spoils[i];
        sona_err err = open_refused(&diag);
        cr_assert(err == SONA_E_FORMAT || err == SONA_E_GEOMETRY, "case %zu: %s", i, diag.text);
    }
}

Test(attach, a_refusal_carries_the_sidecars_own_sentence)
{
    sona_diag diag;

    fake.refuse = SONA_E_PERMISSION;
    cr_assert(eq(int, open_refused(&diag), SONA_E_PERMISSION));
    cr_assert(eq(str, diag.text, "the fake refuses; ask it nicely"));
    fake.refuse = (sona_err)4711;
    cr_assert(eq(int, open_refused(&diag), SONA_E_SYSTEM), "a code of another version");
}

static bool silence(struct fake *f, struct sona_wire_welcome *w, int fds[3], int *n)
{
    (void)f, (void)w, (void)fds, (void)n;
    return false;
}

Test(attach, a_silent_sidecar_is_waited_for_as_long_as_the_options_say)
{
    sona_client_options options = fake_options(&fake);
    sona_client *client = NULL;

    fake.spoil = silence;
    options.timeout_ms = 50;
    cr_assert(eq(int, sona_client_open(&client, &options, NULL), SONA_E_TIMEOUT));
    options.when_absent = SONA_DETACHED;
    cr_assert(eq(int, sona_client_open(&client, &options, NULL), SONA_E_TIMEOUT),
              "absent is forgiven, silent is not");
}

static bool hang_up(struct fake *f, struct sona_wire_welcome *w, int fds[3], int *n)
{
    (void)w, (void)fds, (void)n;
    (void)shutdown(f->peer[f->n_peers - 1].socket, SHUT_RDWR);
    return false;
}

Test(attach, a_hang_up_during_the_handshake_is_an_absent_sidecar)
{
    sona_diag diag;

    fake.spoil = hang_up;
    cr_assert(eq(int, open_refused(&diag), SONA_E_ABSENT), "%s", diag.text);
}

Test(attach, another_dimension_than_expected_is_refused)
{
    sona_client_options options = fake_options(&fake);
    sona_client *client = NULL;
    sona_diag diag;

    options.dim = FAKE_DIM + 1;
    cr_assert(eq(int, sona_client_open(&client, &options, &diag), SONA_E_SHAPE), "%s", diag.text);
    options.dim = FAKE_DIM;
    cr_assert(eq(int, sona_client_open(&client, &options, &diag), SONA_OK), "%s", diag.text);
    sona_client_close(&client);
}

Test(attach, options_out_of_range_are_refused_before_anything_is_opened)
{
    sona_client_options options = fake_options(&fake);
    sona_client *client = NULL;

    options.lanes = SONA_LANES_MAX + 1;
    cr_assert(eq(int, sona_client_open(&client, &options, NULL), SONA_E_RANGE));
    options = fake_options(&fake);
    options.dim = SONA_DIM_MIN - 1;
    cr_assert(eq(int, sona_client_open(&client, &options, NULL), SONA_E_RANGE));
    options.dim = SONA_DIM_MAX + 1;
    cr_assert(eq(int, sona_client_open(&client, &options, NULL), SONA_E_RANGE));
    options = fake_options(&fake);
    options.instance = "../elsewhere";
    cr_assert(eq(int, sona_client_open(&client, &options, NULL), SONA_E_RANGE));
    options = fake_options(&fake);
    options.when_absent = (sona_when_absent)7;
    cr_assert(eq(int, sona_client_open(&client, &options, NULL), SONA_E_RANGE));
    cr_assert(eq(int, sona_client_open(NULL, &options, NULL), SONA_E_ARGUMENT));
    cr_assert(eq(u32, fake.n_peers, 0));
}

Test(attach, closing_hangs_up_and_leaves_no_trace)
{
    int before = traces();
    sona_client *client = fake_client(&fake);
    char byte;

    cr_assert(eq(int, traces(), before + 2), "the model and the lanes");
    sona_client_close(&client);
    cr_assert(eq(int, traces(), before));
    cr_assert(eq(i64, recv(fake.peer[0].socket, &byte, 1, 0), 0), "the sidecar sees the hang-up");
    sona_client_close(&client);
    sona_client_close(NULL);
}

/* The sanitizers answer mlock() themselves, always with success. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* Take away what lets root lock as much memory as it likes. */
static void drop_lock_capability(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    cr_assert(eq(long, syscall(SYS_capget, &header, data), 0));
    data[0].effective &= ~(1u << CAP_IPC_LOCK);
    cr_assert(eq(long, syscall(SYS_capset, &header, data), 0));
}

Test(attach, memory_over_the_lock_limit_is_counted_and_never_an_error)
{
    const struct rlimit nothing = {0, 0};
    sona_client *client = fake_client(&fake);
    sona_client_stats stats;
    sona_lane *lane;
    float x[FAKE_DIM], y[FAKE_DIM];
    uint64_t version = 0;
    sona_diag diag;

    sona_client_close(&client);
    drop_lock_capability();
    cr_assert(eq(int, setrlimit(RLIMIT_MEMLOCK, &nothing), 0));
    const sona_client_options options = fake_options(&fake);
    cr_assert(eq(int, sona_client_open(&client, &options, &diag), SONA_OK));
    cr_assert(ne(ptr, strstr(diag.text, "RLIMIT_MEMLOCK"), NULL), "no warning");
    cr_assert(eq(int, sona_client_stats_get(client, &stats), SONA_OK));
    cr_assert(not(stats.memory_locked));
    cr_assert(gt(u64, stats.memlock_failures, 0));
    cr_assert(eq(int, sona_lane_claim(client, &lane, NULL), SONA_OK));
    fake_query(x, FAKE_DIM, 0);
    cr_assert(eq(int, sona_apply(lane, x, FAKE_DIM, y, &version), SONA_OK));
    cr_assert(ne(u64, version, 0));
    sona_client_close(&client);
}
#endif

/* Signals that the thread called `name` blocks, as the kernel shows them. */
static uint64_t blocked_signals(const char *name)
{
    DIR *tasks = opendir("/proc/self/task");
    uint64_t blocked = 0;

    for (struct dirent *task; (task = readdir(tasks));) {
        char path[300], line[128];
        bool ours = false;

        (void)snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
        FILE *status = fopen(path, "r");
        while (status && fgets(line, sizeof line, status)) {
            if (strncmp(line, "Name:\t", 6) == 0)
                ours = strncmp(line + 6, name, strlen(name)) == 0;
            if (ours && strncmp(line, "SigBlk:\t", 8) == 0)
                blocked = strtoull(line + 8, NULL, 16);
        }
        if (status)
            (void)fclose(status);
    }
    (void)closedir(tasks);
    return blocked;
}

Test(attach, the_maintenance_thread_takes_no_signal_of_the_host)
{
    static const int signals[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGUSR1, SIGUSR2,
                                  SIGALRM, SIGTERM, SIGCHLD, SIGWINCH};
    sona_client_options options = fake_options(&fake);
    sona_client *client;
    sona_client_stats stats;

    options.no_maintenance_thread = false;
    cr_assert(eq(int, sona_client_open(&client, &options, NULL), SONA_OK));
    /* A thread begins with everything blocked: wait until it has done something. */
    fake_end(&fake);
    do
        cr_assert(eq(int, sona_client_stats_get(client, &stats), SONA_OK));
    while (stats.attached); /* the test's time-out is the bound */
    uint64_t blocked = blocked_signals("sona-maintain");
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        cr_assert(blocked >> (signals[i] - 1) & 1, "signal %d", signals[i]);
    sigset_t mine;
    cr_assert(eq(int, pthread_sigmask(SIG_BLOCK, NULL, &mine), 0));
    cr_assert(not(sigismember(&mine, SIGUSR1)), "the caller's own mask is as it was");
    sona_client_close(&client);
    fake_restart(&fake);
}
