/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A router's calls, instruction by instruction: how many there are, and how many of them lock the
 * bus or fence it. A child attaches to the sidecar, warms the call up, and runs it once between two
 * stops while its parent steps through and reads the bytes at the instruction pointer. Only for
 * x86-64; the rows are missing elsewhere, and where tracing is not allowed.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "perf/bench/live.h"

#if defined(__x86_64__)
#include <sys/user.h>

#define DIM       256u
#define STEPS_MAX 2000000u

enum call { MICRO, DECIDE, OUTCOME, FIND };

struct counted {
    uint64_t instructions, locked, system_calls;
};

/* A prefix that may stand before an instruction of the old encodings. */
static bool is_prefix(unsigned char byte)
{
    static const unsigned char prefix[] = {0x66, 0xf2, 0xf3, 0x2e, 0x36, 0x3e,
                                           0x26, 0x64, 0x65, 0x67, 0xf0};

    return memchr(prefix, byte, sizeof prefix) != NULL;
}

/* A lock prefix, an exchange with memory (which locks without one), or a full fence. */
static void count(struct counted *c, const unsigned char *code)
{
    bool lock = false;

    for (; is_prefix(*code); code++)
        lock = lock || *code == 0xf0;
    if ((*code & 0xf0) == 0x40) /* REX */
        code++;
    c->instructions++;
    c->locked += lock || ((code[0] == 0x86 || code[0] == 0x87) && (code[1] & 0xc0) != 0xc0) ||
                 (code[0] == 0x0f && code[1] == 0xae && (code[2] & 0xf8) == 0xf0);
    c->system_calls += code[0] == 0x0f && code[1] == 0x05;
}

static void once(sona_lane *lane, enum call call, const float *x)
{
    static float y[DIM];
    static sona_pattern found[5];
    static uint64_t id;
    sona_decision d;
    uint32_t n;

    if (call == MICRO)
        (void)sona_apply_micro(lane, x, DIM, y, NULL);
    else if (call == FIND)
        (void)sona_find_patterns(lane, x, DIM, 5, found, &n);
    else if (call == DECIDE && sona_decide(lane, x, DIM, NULL, &d) == SONA_OK)
        id = d.id;
    else if (call == OUTCOME)
        (void)sona_outcome(lane, id ? id : 1, 0.5f, NULL);
}

/* The child: never returns. A client does not survive a fork, so it opens its own. */
__attribute__((noreturn)) static void traced(const struct sona_bench_live *live, enum call call,
                                             bool full)
{
    sona_client_options options = {.instance = live->sidecar.instance,
                                   .runtime_dir = live->sidecar.runtime_dir,
                                   .no_maintenance_thread = true,
                                   .timeout_ms = 20000,
                                   .full_fence = full};
    sona_client *client = NULL;
    sona_lane *lane = NULL;
    sona_diag diag;

    if (sona_client_open(&client, &options, &diag) != SONA_OK ||
        sona_lane_claim(client, &lane, &diag) != SONA_OK ||
        ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(1);
    for (int i = 0; i < 20; i++)
        once(lane, call, live->x);
    (void)raise(SIGSTOP);
    once(lane, call, live->x);
    (void)raise(SIGUSR1);
    _exit(0);
}

/* Step from the first stop to the second. False: tracing is not allowed here. */
static bool step_through(pid_t pid, struct counted *ret)
{
    struct user_regs_struct regs;
    int status;

    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) || WSTOPSIG(status) != SIGSTOP)
        return false;
    for (uint32_t i = 0; i < STEPS_MAX; i++) {
        unsigned char code[16];

        if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) != 0)
            return false;
        for (size_t w = 0; w < sizeof code; w += sizeof(long)) {
            long word = ptrace(PTRACE_PEEKTEXT, pid, (void *)(regs.rip + w), NULL);

            memcpy(code + w, &word, sizeof word);
        }
        count(ret, code);
        if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0 || waitpid(pid, &status, 0) != pid ||
            !WIFSTOPPED(status))
            return false;
        if (WSTOPSIG(status) == SIGUSR1)
            return true;
    }
    return false;
}

/* Twice, with the call and without it: raise() itself makes system calls. */
static bool count_of(const struct sona_bench_live *live, enum call call, bool full,
                     struct counted *ret)
{
    pid_t pid = fork();
    bool done;

    memset(ret, 0, sizeof *ret);
    if (pid == 0)
        traced(live, call, full);
    done = pid > 0 && step_through(pid, ret);
    if (pid > 0) {
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
    }
    return done;
}

/* entry->a: which call, b: 1 with fences of its own */
static void trace(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    struct sona_bench_live *live =
        sona_bench_live_get(bench, &(struct sona_bench_shape){.dim = DIM, .routes = 9});
    struct counted with, without;
    char note[SONA_BENCH_TEXT_MAX];

    if (!count_of(live, (enum call)entry->a, entry->b, &with) ||
        !count_of(live, (enum call)(FIND + 1), entry->b, &without)) {
        (void)fprintf(stderr, "sona-bench: %s: tracing a child is not allowed here\n", entry->name);
        return;
    }
    (void)snprintf(note, sizeof note, "%lld of them lock or fence, %lld enter the kernel",
                   (long long)(with.locked - without.locked),
                   (long long)(with.system_calls - without.system_calls));
    sona_bench_report_value(bench, entry->name, "instructions",
                            (double)(with.instructions - without.instructions), note);
}

const struct sona_bench_entry sona_bench_trace_entries[] = {
    {"trace/apply/micro/256", trace, MICRO, 0, 0, false,
     "instructions of a call, and those that lock"},
    {"trace/apply/micro/256/full", trace, MICRO, 1, 0, false,
     "the same in FULL mode, where it must fence: shows that they are seen"},
    {"trace/decide/256/9", trace, DECIDE, 0, 0, false, ""},
    {"trace/outcome/256", trace, OUTCOME, 0, 0, false, ""},
    {"trace/patterns/100/256", trace, FIND, 0, 0, false, ""},
    {NULL, NULL, 0, 0, 0, false, NULL},
};
#else
const struct sona_bench_entry sona_bench_trace_entries[] = {
    {NULL, NULL, 0, 0, 0, false, NULL},
};
#endif
