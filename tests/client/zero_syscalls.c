/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A router's request path makes no system call and meets no page fault, whatever the sidecar does.
 *     zero_syscalls [ITERATIONS]        default 10 million, each decide + outcome + apply
 *
 * Each run is a fresh process with a sidecar of its own, which is alive, stopped (the ring is
 * full), killed (the ring fills, then detached), or killed and started again in the middle of it
 * (the maintenance thread hands the lanes back, the request path notices nothing). Twice each: once
 * under a seccomp filter that kills the process on any system call but exit and exit_group; once
 * without, reading the page-fault counters before and after. A control run makes one getpid() under
 * the filter and must die of it. Results come back through shared memory, because a process under
 * the filter cannot write anywhere else.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <sona/client.h>

#include "shm/layout.h"
#include "tests/stress/tap.h"
#include "tools/spawn.h"

#define DIM     64u
#define TENANTS 6u
#define QUERIES 64u
#define WARM_UP 20000u

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "name the audit architecture of this processor"
#endif

enum world { ALIVE, STOPPED, KILLED, RESTARTED };
static const char *const world_names[] = {"alive", "stopped, ring full", "killed",
                                          "killed and restarted"};

enum check { FILTERED, FAULTS, CONTROL };

/* The kernel moves and reclaims pages by its own will, a few in an hour: a fault of ours comes
 * every time. */
#define TRIES 3

#define CHUNK 1000u

/* What a run leaves behind. */
struct result {
    _Atomic uint64_t chunks; /* served so far, for the parent */
    _Atomic bool restarted;  /* by the parent */
    uint64_t iterations, recorded, full, detached, wrong, identity, backwards;
    long minor_faults, major_faults;
    char failure[SONA_DIAG_TEXT_MAX + 16]; /* before the loop began; empty: it began */
};

/* Kill this process at its next system call, exit and exit_group excepted. This thread only: the
 * maintenance thread is not on the request path. */
static bool forbid_system_calls(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_exit_group, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_exit, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static float queries[QUERIES][DIM];

/* The request path. */
static void serve(sona_lane *lane, uint64_t iterations, struct result *r)
{
    float y[DIM];
    uint64_t last = 0;

    for (uint64_t n = 0; n < iterations; n++) {
        const float *x = queries[n % QUERIES];
        /* One more than there is room for, and nobody in particular. */
        const sona_candidates all = {.tenant = (uint32_t)(n % (TENANTS + 2))};
        sona_decision d = {.id = 0};
        uint64_t version = 0;
        sona_err decided = sona_decide(lane, x, DIM, &all, &d);
        sona_err told = d.id ? sona_outcome(lane, d.id, (float)(d.route & 1), NULL) : SONA_OK;
        sona_signal signal = sona_signal_with_gradient(sona_signal_positive(1, 0.5f), x, DIM);
        sona_err taken = n % 4 == 0 && d.id ? sona_outcome_revoke(lane, d.id) : SONA_OK;
        sona_err learned = n % 4 == 1 ? sona_learn(lane, &signal, NULL) : SONA_OK;
        sona_err applied = sona_apply_tenant(lane, all.tenant, x, DIM, y, &version);

        r->recorded += d.id != 0;
        r->full += (decided == SONA_E_FULL) + (told == SONA_E_FULL);
        r->detached += (decided == SONA_E_DETACHED) + (told == SONA_E_DETACHED);
        r->wrong += (decided != SONA_OK && decided != SONA_E_FULL && decided != SONA_E_DETACHED) ||
                    (told != SONA_OK && told != SONA_E_FULL && told != SONA_E_DETACHED) ||
                    (taken != SONA_OK && taken != SONA_E_FULL && taken != SONA_E_DETACHED) ||
                    (learned != SONA_OK && learned != SONA_E_FULL && learned != SONA_E_DETACHED) ||
                    applied != SONA_OK || !(d.propensity > 0);
        r->identity += version == 0 || d.version == 0;
        r->backwards += d.version < last || version < d.version;
        last = version;
        r->iterations++;
    }
}

/* The same until the sidecar was killed and started again, and takes events as before. */
static void serve_through(sona_lane *lane, uint64_t iterations, struct result *r)
{
    uint64_t wanted = UINT64_MAX;

    while (r->iterations < iterations || r->recorded < wanted) {
        serve(lane, CHUNK, r);
        atomic_fetch_add_explicit(&r->chunks, 1, memory_order_relaxed);
        if (wanted == UINT64_MAX && atomic_load_explicit(&r->restarted, memory_order_acquire))
            wanted = r->recorded + 10 * CHUNK;
    }
}

/* Tell the parent that the world may change now, and wait until it has. */
static bool meet(int channel)
{
    char byte = 'r';

    return write(channel, &byte, 1) == 1 && read(channel, &byte, 1) == 1;
}

static bool attached(sona_client *client)
{
    sona_client_stats stats;

    return sona_client_stats_get(client, &stats) == SONA_OK && stats.attached;
}

static int give_up(struct result *r, const char *what, const char *why)
{
    (void)snprintf(r->failure, sizeof r->failure, "%s: %s", what, why);
    return 1;
}

/* The child: open a client, warm up, let the world change, then serve under observation. */
static int run(struct result *r, int channel, enum world world, enum check check,
               uint64_t iterations, const char *instance, const char *runtime_dir)
{
    const sona_client_options options = {.instance = instance, .runtime_dir = runtime_dir};
    struct result warm = {.iterations = 0};
    struct rusage before, after;
    sona_client *client;
    sona_lane *lane;
    sona_diag diag = {.text = ""};

    if (sona_client_open(&client, &options, &diag) != SONA_OK)
        return give_up(r, "open", diag.text);
    if (sona_lane_claim(client, &lane, &diag) != SONA_OK)
        return give_up(r, "claim", diag.text);
    for (uint32_t q = 0; q < QUERIES; q++)
        for (uint32_t i = 0; i < DIM; i++)
            queries[q][i] = (float)((q * 37 + i * 11) % 29) - 14.5f;
    serve(lane, WARM_UP, &warm);
    if (!meet(channel))
        return give_up(r, "meet", strerror(errno));
    if (world == STOPPED)
        serve(lane, WARM_UP, &warm); /* nobody drains: the ring is full after this */
    while (world == KILLED && attached(client))
        continue; /* the maintenance thread notices; the parent's time-out is the bound */

    (void)getrusage(RUSAGE_THREAD, &before);
    (void)getrusage(RUSAGE_THREAD, &before); /* the first call touched what it needs */
    if (check != FAULTS && !forbid_system_calls())
        return give_up(r, "seccomp", strerror(errno));
    if (check == CONTROL)
        (void)syscall(SYS_getpid);
    if (world == RESTARTED)
        serve_through(lane, iterations, r);
    else
        serve(lane, iterations, r);
    if (check == FAULTS) {
        (void)getrusage(RUSAGE_THREAD, &after);
        r->minor_faults = after.ru_minflt - before.ru_minflt;
        r->major_faults = after.ru_majflt - before.ru_majflt;
    }
    _exit(0); /* closing the client would be system calls */
}

/* Start this program again as the child of one run. */
static pid_t start(int memory, int channel, enum world world, enum check check, uint64_t iterations,
                   const struct sona_spawn *sidecar)
{
    char text[5][24];
    pid_t pid;

    (void)snprintf(text[0], sizeof text[0], "%d", memory);
    (void)snprintf(text[1], sizeof text[1], "%d", channel);
    (void)snprintf(text[2], sizeof text[2], "%d", (int)world);
    (void)snprintf(text[3], sizeof text[3], "%d", (int)check);
    (void)snprintf(text[4], sizeof text[4], "%llu", (unsigned long long)iterations);
    pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)execl("/proc/self/exe", "zero_syscalls", "--run", text[0], text[1], text[2], text[3],
                    text[4], sidecar->instance, sidecar->runtime_dir, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static void change(struct sona_spawn *sidecar, enum world world)
{
    if (world == STOPPED)
        (void)kill(sidecar->pid, SIGSTOP);
    else if (world == KILLED)
        sona_spawn_kill(sidecar);
}

/* Let so many chunks be served, or the child die. */
static void let_serve(const struct result *r, pid_t pid, uint64_t chunks)
{
    static const struct timespec nap = {.tv_nsec = 200000};
    uint64_t begin = atomic_load_explicit(&r->chunks, memory_order_relaxed);
    siginfo_t info = {.si_pid = 0};

    while (atomic_load_explicit(&r->chunks, memory_order_relaxed) < begin + chunks &&
           info.si_pid == 0 && waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0)
        (void)nanosleep(&nap, NULL);
}

/* Kill the sidecar under the child that serves, and start it again a while later. */
static void restart(struct sona_spawn *sidecar, pid_t pid, struct result *r,
                    const char *const *args)
{
    struct sona_spawn before = *sidecar;
    sona_diag diag = {.text = ""};

    let_serve(r, pid, 10);
    sona_spawn_kill(sidecar);
    let_serve(r, pid, 100);
    if (sona_spawn_start(sidecar, NULL, before.instance, before.runtime_dir, args, &diag) !=
        SONA_OK) {
        (void)give_up(r, "restart", diag.text);
        (void)kill(pid, SIGKILL);
        return;
    }
    sidecar->own_dir = before.own_dir;
    atomic_store_explicit(&r->restarted, true, memory_order_release);
}

/* One run; *ret is what it left. Returns its wait status, -1 when it could not be started. */
static int observe(enum world world, enum check check, uint64_t iterations, struct result *ret)
{
    const char *const args[] = {"--dim", "64", "--routes", "4", "--set", "tenants_max=6", NULL};
    struct sona_spawn sidecar;
    sona_diag diag = {.text = ""};
    int memory = memfd_create("zero-syscalls", 0), channel[2], status = -1;
    struct result *r;
    char byte;

    memset(ret, 0, sizeof *ret);
    if (sona_spawn_start(&sidecar, NULL, NULL, NULL, args, &diag) != SONA_OK) {
        (void)give_up(ret, "sidecar", diag.text);
        return -1;
    }
    if (memory < 0 || ftruncate(memory, sizeof *r) != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM, 0, channel) != 0) {
        (void)give_up(ret, "parent", strerror(errno));
        return -1;
    }
    r = mmap(NULL, sizeof *r, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    pid_t pid = start(memory, channel[1], world, check, iterations, &sidecar);
    (void)close(channel[1]);
    if (read(channel[0], &byte, 1) == 1) {
        change(&sidecar, world);
        (void)!write(channel[0], &byte, 1);
        if (world == RESTARTED)
            restart(&sidecar, pid, r, args);
    }
    (void)waitpid(pid, &status, 0);
    *ret = *r;
    (void)munmap(r, sizeof *r);
    (void)close(memory);
    (void)close(channel[0]);
    if (world == STOPPED)
        (void)kill(sidecar.pid, SIGCONT);
    (void)sona_spawn_stop(&sidecar);
    return status;
}

/* Whether the loop met the world it was meant for. */
static bool right_world(enum world world, const struct result *r)
{
    switch (world) {
    case ALIVE:
        return r->recorded > 0 && r->detached == 0;
    case STOPPED:
        return r->recorded == 0 && r->full == r->iterations;
    case KILLED: /* what the ring has room for */
        return r->recorded < SONA_SHM_RING_SLOTS && r->full == 0 &&
               r->detached >= r->iterations - r->recorded;
    default:
        return r->recorded > 10 * CHUNK;
    }
}

static void report(struct tap *tap, enum world world, enum check check, int status, uint64_t wanted,
                   const struct result *r)
{
    bool good = status == 0 && r->iterations >= wanted && r->wrong == 0 && r->identity == 0 &&
                r->backwards == 0 && right_world(world, r);

    if (r->failure[0] != '\0')
        (void)printf("# %s\n", r->failure);
    if (WIFSIGNALED(status))
        (void)printf("# died of signal %d (%s) after %llu iterations\n", WTERMSIG(status),
                     strsignal(WTERMSIG(status)), (unsigned long long)r->iterations);
    (void)printf("# recorded %llu, full %llu, detached %llu, wrong %llu, without a model %llu\n",
                 (unsigned long long)r->recorded, (unsigned long long)r->full,
                 (unsigned long long)r->detached, (unsigned long long)r->wrong,
                 (unsigned long long)r->identity);
    if (check == FILTERED)
        tap_ok(tap, good, "sidecar %s: no system call in %llu x (decide, outcome, apply)",
               world_names[world], (unsigned long long)r->iterations);
    else
        tap_ok(tap, good && r->minor_faults == 0 && r->major_faults == 0,
               "sidecar %s: %ld minor and %ld major page faults in %llu iterations",
               world_names[world], r->minor_faults, r->major_faults,
               (unsigned long long)r->iterations);
}

static int run_child(char **argv)
{
    int memory = atoi(argv[2]);
    struct result *r =
        mmap(NULL, sizeof *r, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, memory, 0);

    if (r == MAP_FAILED)
        return 1;
    r->iterations = 0; /* a write, so that the page is ours to write */
    return run(r, atoi(argv[3]), (enum world)atoi(argv[4]), (enum check)atoi(argv[5]),
               strtoull(argv[6], NULL, 10), argv[7], argv[8]);
}

int main(int argc, char **argv)
{
    uint64_t iterations = argc == 2 ? strtoull(argv[1], NULL, 10) : 10000000;
    struct tap tap = {0, 0};
    struct result r;

    if (argc == 9 && strcmp(argv[1], "--run") == 0)
        return run_child(argv);
    int status = observe(ALIVE, CONTROL, 1, &r);
    if (r.failure[0] != '\0')
        (void)printf("# %s\n", r.failure);
    tap_ok(&tap, status != -1 && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS,
           "control: one getpid() under the filter is death by SIGSYS");
    for (int world = ALIVE; world <= RESTARTED; world++) {
        for (int check = FILTERED; check <= FAULTS; check++) {
            status = observe((enum world)world, (enum check)check, iterations, &r);
            for (int tries = 1; check == FAULTS && tries < TRIES && status == 0 &&
                                r.minor_faults + r.major_faults > 0;
                 tries++) {
                (void)printf("# %ld minor and %ld major page faults: again, to tell ours from the "
                             "kernel's\n",
                             r.minor_faults, r.major_faults);
                status = observe((enum world)world, (enum check)check, iterations, &r);
            }
            report(&tap, (enum world)world, (enum check)check, status, iterations, &r);
        }
    }
    return tap_done(&tap);
}
