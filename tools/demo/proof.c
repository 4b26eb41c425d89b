/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "tools/demo/proof.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sona/client.h>

#if defined(__x86_64__)
#define MACHINE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define MACHINE AUDIT_ARCH_AARCH64
#endif

#define WARM_ROUNDS 16u
#define PATTERNS    4u
/* Polls of the snapshot before a round gives up; it has no clock, which could be a system call. */
#define POLLS_MAX 200000000u

/* How the child ended, in its exit status. */
enum ending { DONE = 0, NO_CLIENT = 1, NO_FILTER = 2, CALL_FAILED = 3, NOTHING_MOVED = 4 };

/* What the child tells its parent, in memory they share. */
struct told {
    uint64_t calls;
    int error; /* errno of the filter, or the sona_err of the call */
};

struct child {
    sona_lane *lane;
    const struct sona_tools_dataset *set;
    float *y, *score;
    uint32_t routes_max;
    struct told *told;
};

/* One round: eight hot calls, two of which teach. */
static sona_err make_calls(struct child *child, uint32_t round)
{
    uint32_t dim = child->set->dim;
    const float *x = child->set->x + (size_t)(round % child->set->rows) * dim;
    sona_pattern pattern[PATTERNS];
    sona_decision decision;
    uint32_t count;
    uint64_t id = 0;
    sona_err err = sona_decide(child->lane, x, dim, NULL, &decision);

    if (err == SONA_OK)
        err = sona_outcome(child->lane, decision.id, 0.5f, NULL);
    if (err == SONA_OK)
        err = sona_apply(child->lane, x, dim, child->y, NULL);
    if (err == SONA_OK)
        err = sona_score(child->lane, x, dim, child->score, child->routes_max, NULL);
    if (err == SONA_OK)
        err = sona_find_patterns(child->lane, x, dim, PATTERNS, pattern, &count);
    if (err == SONA_OK)
        err = sona_trajectory_begin(child->lane, x, dim, &id);
    if (err == SONA_OK)
        err = sona_trajectory_route(child->lane, id, decision.route);
    if (err == SONA_OK)
        err = sona_trajectory_end(child->lane, id, 0.5f);
    return err;
}

/* Wait, without the kernel, until a snapshot of at least `step` is there. */
static bool wait_for(struct child *child, uint64_t step)
{
    sona_version_info version;

    for (uint32_t i = 0; i < POLLS_MAX; i++)
        if (sona_version_of(child->lane, &version) == SONA_OK && version.step >= step)
            return true;
    return false;
}

static enum ending rounds(struct child *child, uint32_t first, uint32_t n)
{
    sona_version_info version;

    for (uint32_t i = 0; i < n; i++) {
        sona_err err = sona_version_of(child->lane, &version);

        if (err == SONA_OK)
            err = make_calls(child, first + i);
        if (err != SONA_OK) {
            child->told->error = (int)err;
            return CALL_FAILED;
        }
        if (!wait_for(child, version.step + 2)) /* the outcome and the trajectory */
            return NOTHING_MOVED;
        child->told->calls += SONA_DEMO_PROOF_CALLS;
    }
    return DONE;
}

bool sona_demo_proof_close_door(void)
{
#ifdef MACHINE
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
#else
    errno = ENOSYS;
    return false;
#endif
}

/* The child: attach like any router (its threads and set-up come before the door closes), make the
 * calls once to have every page at hand, close the door, make them again. */
static enum ending be_a_router(struct child *child, const struct sona_tools_router *router)
{
    sona_client_options options = {
        .instance = sona_tools_router_instance(router),
        .runtime_dir = sona_tools_router_runtime_dir(router),
        .lanes = 1,
        .dim = child->set->dim,
        .no_maintenance_thread = true,
    };
    sona_client *client = NULL;
    enum ending ending;

    child->routes_max = sona_tools_router_routes_max(router);
    child->y = malloc(child->set->dim * sizeof *child->y);
    child->score = malloc(child->routes_max * sizeof *child->score);
    if (child->y == NULL || child->score == NULL ||
        sona_client_open(&client, &options, NULL) != SONA_OK ||
        sona_lane_claim(client, &child->lane, NULL) != SONA_OK)
        return NO_CLIENT;
    ending = rounds(child, 0, WARM_ROUNDS);
    child->told->calls = 0;
    if (ending != DONE)
        return ending;
    if (!sona_demo_proof_close_door()) {
        child->told->error = errno;
        return NO_FILTER;
    }
    return rounds(child, WARM_ROUNDS, SONA_DEMO_PROOF_ROUNDS);
}

/* Read how the child ended. */
static void judge(struct sona_demo_proof *ret, int status, const struct told *told)
{
    int ending = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

    ret->calls = told->calls;
    ret->ran = ending == DONE;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
        ret->ran = ret->entered = true;
        (void)snprintf(ret->reason, sizeof ret->reason, "a hot call entered the kernel after %llu",
                       (unsigned long long)told->calls);
    } else if (ending == NO_FILTER) {
        (void)snprintf(ret->reason, sizeof ret->reason,
                       "this kernel refuses the seccomp filter: %s", strerror(told->error));
    } else if (ending == NO_CLIENT) {
        (void)snprintf(ret->reason, sizeof ret->reason, "a second client could not attach");
    } else if (ending == CALL_FAILED) {
        (void)snprintf(ret->reason, sizeof ret->reason, "a call failed: %s",
                       sona_err_text((sona_err)told->error));
    } else if (ending == NOTHING_MOVED) {
        (void)snprintf(ret->reason, sizeof ret->reason, "the sidecar stopped publishing");
    } else if (ending != DONE) {
        (void)snprintf(ret->reason, sizeof ret->reason, "the child ended with status %#x", status);
    }
}

void sona_demo_proof_run(struct sona_demo_proof *ret, const struct sona_tools_router *router,
                         const struct sona_tools_dataset *set)
{
    struct told *told =
        mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct child child = {.set = set, .told = told};
    int status = 0;
    pid_t pid;

    memset(ret, 0, sizeof *ret);
    if (sona_tools_router_instance(router) == NULL || told == MAP_FAILED) {
        (void)snprintf(ret->reason, sizeof ret->reason,
                       told == MAP_FAILED ? "no memory" : "--embedded shares no memory");
        return;
    }
    pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        /* Not exit(): no handler and no buffer of the parent's may run in here. */
        (void)syscall(SYS_exit_group, be_a_router(&child, router));
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (pid > 0)
        judge(ret, status, told);
    else
        (void)snprintf(ret->reason, sizeof ret->reason, "cannot fork: %s", strerror(errno));
    (void)munmap(told, sizeof *told);
}
