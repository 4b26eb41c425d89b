/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Every kth allocation and every kth operation on files, sockets, maps and threads of a client that
 * is opened, used and closed fails, for all k: it ends by itself, well or with a sentence, and the
 * sidecar has nothing of it then.
 *     run SHIM CLIENT      SONA_SIDECAR: the sidecar
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "tests/stress/tap.h"
#include "tools/query.h"
#include "tools/spawn.h"

#define LIMIT_MS 30000
#define TELL_FD  9

struct lab {
    const char *shim, *client;
    uint64_t signals, silent, hung, odd, refused, served;
};

/* One program, with one failure in it. */
struct run {
    pid_t pid;
    int said, told; /* its stderr, in memory; a pipe */
    int status;
};

static void set_up(struct run *r, const struct lab *lab, const char *kind, unsigned long k,
                   char *const *argv)
{
    int told[2];
    char fail[32];

    r->said = memfd_create("said", MFD_CLOEXEC);
    if (r->said < 0 || pipe2(told, O_CLOEXEC) != 0)
        abort();
    (void)snprintf(fail, sizeof fail, "%s:%lu", kind, k);
    r->pid = fork();
    if (r->pid == 0) {
        /* Out of the way first. */
        int out = fcntl(r->said, F_DUPFD, 20), tell = fcntl(told[1], F_DUPFD, 20);

        (void)dup2(out, STDERR_FILENO);
        (void)dup2(tell, TELL_FD);
        (void)close(out);
        (void)close(tell);
        (void)setenv("SONA_FAIL", fail, 1);
        (void)setenv("LD_PRELOAD", lab->shim, 1);
        (void)execv(argv[0], argv);
        _exit(127);
    }
    (void)close(told[1]);
    r->told = told[0];
}

/* Wait for its end; false: it hangs. */
static bool ends(struct run *r)
{
    uint64_t end = tap_now_ms() + LIMIT_MS;
    const struct timespec nap = {.tv_nsec = 500000};

    while (tap_now_ms() < end) {
        if (waitpid(r->pid, &r->status, WNOHANG) == r->pid)
            return true;
        (void)nanosleep(&nap, NULL);
    }
    (void)kill(r->pid, SIGKILL);
    (void)waitpid(r->pid, &r->status, 0);
    return false;
}

/* Judge an end; true: the failure took place. */
static bool judge(struct lab *lab, struct run *r, bool ended, const char *what, const char *kind,
                  unsigned long k)
{
    char said[2048] = "", byte;
    bool told = read(r->told, &byte, 1) == 1;
    ssize_t n = pread(r->said, said, sizeof said - 1, 0);

    said[n > 0 ? n : 0] = '\0';
    bool signalled = WIFSIGNALED(r->status);
    int status = WIFEXITED(r->status) ? WEXITSTATUS(r->status) : -1;
    lab->hung += !ended;
    lab->signals += ended && signalled;
    lab->silent += ended && !signalled && status != 0 && n < 20;
    lab->odd += ended && !signalled && status > 1;
    lab->refused += status == 1;
    lab->served += status == 0;
    if (!ended || signalled || (status != 0 && n < 20) || status > 1)
        (void)printf("# %s, %s %lu: %s %d; it said: %s\n", what, kind, k,
                     ended ? signalled ? "signal" : "status" : "hung", r->status, said);
    (void)close(r->said);
    (void)close(r->told);
    return told;
}

static bool open_once(struct lab *lab, const struct sona_spawn *sidecar, const char *kind,
                      unsigned long k)
{
    char *argv[] = {(char *)(uintptr_t)lab->client, (char *)(uintptr_t)sidecar->instance,
                    (char *)(uintptr_t)sidecar->runtime_dir, NULL};
    struct run r;

    set_up(&r, lab, kind, k, argv);
    return judge(lab, &r, ends(&r), "client", kind, k);
}

static uint64_t clients_of(const struct sona_spawn *sidecar)
{
    uint64_t n = UINT64_MAX;
    char *text = NULL;

    if (sona_tools_query(sidecar->runtime_dir, sidecar->instance, SONA_CONTROL_STATS, &text,
                         NULL) == SONA_OK) {
        json_t *o = json_loads(text, 0, NULL);

        n = (uint64_t)(json_integer_value(json_object_get(o, "clients")) +
                       json_integer_value(json_object_get(o, "lanes")));
        json_decref(o);
    }
    free(text);
    return n;
}

static void report(struct tap *tap, struct lab *lab, const char *kind, unsigned long n)
{
    (void)printf("# %s: %lu failures, %llu ended with a sentence, %llu went on\n", kind, n,
                 (unsigned long long)lab->refused, (unsigned long long)lab->served);
    tap_ok(tap, lab->refused > 0 && lab->signals == 0, "%s: none of %lu ended in a signal", kind,
           n);
    tap_ok(tap, lab->hung == 0, "%s: none of them hung", kind);
    tap_ok(tap, lab->silent + lab->odd == 0, "%s: each that ended said why", kind);
    lab->signals = lab->silent = lab->hung = lab->odd = lab->refused = lab->served = 0;
}

int main(int argc, char **argv)
{
    static const char *const kinds[] = {"memory", "file"};
    static const char *const args[] = {"--routes=a,b", "--dim=16", "--set=hidden_dim=16", NULL};
    const struct timespec nap = {.tv_nsec = 5000000};
    struct sona_spawn sidecar;
    struct tap tap = {0, 0};
    sona_diag diag = {.text = ""};

    if (argc != 3) {
        (void)fprintf(stderr, "usage: run SHIM CLIENT, with SONA_SIDECAR\n");
        return 2;
    }
    struct lab lab = {.shim = argv[1], .client = argv[2]};
    if (sona_spawn_start(&sidecar, NULL, NULL, NULL, args, &diag) != SONA_OK) {
        (void)printf("Bail out! %s\n", diag.text);
        return 1;
    }
    for (int i = 0; i < 2; i++) {
        unsigned long n = 0;

        while (open_once(&lab, &sidecar, kinds[i], n + 1))
            n++;
        report(&tap, &lab, kinds[i], n);
    }
    uint64_t end = tap_now_ms() + LIMIT_MS;
    while (clients_of(&sidecar) != 0 && tap_now_ms() < end)
        (void)nanosleep(&nap, NULL);
    tap_ok(&tap, clients_of(&sidecar) == 0, "the sidecar has nothing of any of them");
    tap_ok(&tap, sona_spawn_stop(&sidecar) == 0, "and stopped well");
    return tap_done(&tap);
}
