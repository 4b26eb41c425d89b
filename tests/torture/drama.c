/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * One act is one life of a sidecar. It ends at a fault point (shm/fault.h) or by a kill from
 * outside, when the clients have had their share of kills and stops; the next one starts at once,
 * or after a while. In the last act nobody is killed any more: everything must come to an end.
 */
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "shm/wire.h"
#include "tests/torture/torture.h"
#include "tools/fail.h"
#include "tools/query.h"

#define FAULT_US   400000u /* to reach a fault point; then it is killed from outside */
#define REPORT_US  5000000u
#define SETTLE_US  100000u
#define HOLDING    70u /* percent of the clients end by their own hand, holding */
#define SELF_STOPS 60u /* percent stop by their own hand, holding */
#define LIFE_HOLDS 400u
#define LIFE_US    30000u

static const char *const points[] = {
#define NAME(name) #name,
    SONA_FAULTS_OF(NAME)
#undef NAME
};

static uint64_t below(struct torture *t, uint32_t n)
{
    return sona_tools_random_below(&t->random, n);
}

/* For the clients, too, who see it a little late. */
static void say_up(struct torture *t, bool up)
{
    t->sidecar_up = up;
    atomic_store_explicit(&t->shared->sidecar, up ? (uint64_t)t->sidecar.pid : 0,
                          memory_order_relaxed);
}

/* ---- clients ---- */

/* In a PID namespace of its own, the client is the first process there. The one in between ends,
 * and the client is ours again (PR_SET_CHILD_SUBREAPER). */
static void start_apart(struct torture *t, struct torture_log *log)
{
    pid_t pid;

    if (unshare(CLONE_NEWPID) != 0)
        _exit(9);
    pid = fork();
    if (pid == 0)
        torture_actor(&t->sidecar, t->shared, log);
    atomic_store_explicit(&log->pid, pid, memory_order_release);
    _exit(pid < 0 ? 9 : 0);
}

static void start_actor(struct torture *t)
{
    struct torture_log *log;
    uint32_t which = (uint32_t)below(t, 100);
    int status;

    if (t->n_logs == t->logs_max)
        return;
    log = &t->logs[t->n_logs];
    log->seed = sona_tools_random_next(&t->random) | 1;
    log->kind = which < 4                                ? TORTURE_FORKS
                : which < 8 && t->count.namespaces_tried ? TORTURE_NAMESPACE
                                                         : TORTURE_PLAIN;
    /* The first process of a namespace does not hear its own signals. */
    if (log->kind != TORTURE_NAMESPACE && below(t, 100) < HOLDING)
        atomic_store_explicit(&log->ends_at, 1 + below(t, LIFE_HOLDS), memory_order_relaxed);
    if (log->kind != TORTURE_NAMESPACE && below(t, 100) < SELF_STOPS)
        atomic_store_explicit(&log->stops_at, 1 + below(t, LIFE_HOLDS), memory_order_relaxed);
    log->act_us = torture_now_us() + below(t, LIFE_US);
    log->moved_us = torture_now_us();
    pid_t pid = fork();
    if (pid == 0) {
        if (log->kind == TORTURE_NAMESPACE)
            start_apart(t, log);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        torture_actor(&t->sidecar, t->shared, log);
    }
    if (pid < 0)
        return;
    if (log->kind != TORTURE_NAMESPACE)
        atomic_store_explicit(&log->pid, pid, memory_order_relaxed);
    else if (waitpid(pid, &status, 0) != pid || status != 0)
        return;
    t->live[t->n_live++] = t->n_logs++;
}

static void ended(struct torture *t, struct torture_log *log, int status)
{
    struct torture_counts *c = &t->count;

    log->state = TORTURE_REAPED;
    log->reaped_us = torture_now_us();
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
        c->client_kills++;
        c->kills_holding += atomic_load_explicit(&log->held, memory_order_relaxed) != 0;
    } else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        (void)fprintf(stderr, "sona-torture: a client ended with status %#x\n", (unsigned)status);
        c->wrong++;
    }
}

/* Whoever ended or was stopped. */
static void look_after(struct torture *t)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
        if (pid == t->sidecar.pid) { /* by its fault point; end_act() finds it gone */
            say_up(t, false);
            continue;
        }
        for (uint32_t k = 0; k < t->n_live; k++) {
            struct torture_log *log = &t->logs[t->live[k]];

            if (atomic_load_explicit(&log->pid, memory_order_relaxed) != pid)
                continue;
            if (WIFSTOPPED(status)) {
                t->count.stops++;
                t->count.stops_holding +=
                    atomic_exchange_explicit(&log->stopped, 0, memory_order_relaxed) != 0;
                log->paused = true;
                log->act_us = torture_now_us() + below(t, 8 * TORTURE_LEASE_MS * 1000);
            } else {
                ended(t, log, status);
                t->live[k] = t->live[--t->n_live];
            }
            break;
        }
    }
}

static bool wants(uint64_t had, uint64_t asked)
{
    return asked == 0 || had < asked;
}

/* What is due for one client: it goes on, is stopped, or is killed from outside. */
static void act(struct torture *t, struct torture_log *log)
{
    uint64_t now = torture_now_us(), calls = 0;
    pid_t pid = atomic_load_explicit(&log->pid, memory_order_relaxed);

    for (uint32_t i = 0; i < TORTURE_LANES; i++)
        calls += atomic_load_explicit(&log->lane[i].calls, memory_order_relaxed);
    if (calls != log->calls || log->paused) {
        log->calls = calls;
        log->moved_us = now;
    } else if (now - log->moved_us > TORTURE_LIMIT_US) {
        (void)fprintf(stderr, "sona-torture: client %d makes no progress\n", (int)pid);
        t->count.wedged++;
        (void)kill(pid, SIGKILL);
    }
    if (now < log->act_us)
        return;
    log->act_us = now + below(t, LIFE_US);
    if (log->paused) {
        log->paused = false;
        (void)kill(pid, SIGCONT);
    } else if (below(t, 3) != 0 || atomic_load_explicit(&log->ends_at, memory_order_relaxed) != 0) {
        (void)kill(pid, SIGSTOP); /* counted when it is seen */
    } else if (calls > 0 && (torture_in_hand(t->shared, log) || below(t, 32) == 0)) {
        atomic_store_explicit(&log->died_us, now, memory_order_relaxed);
        (void)kill(pid, SIGKILL);
    }
}

/* ---- sidecars ---- */

static sona_err start_sidecar(struct torture *t, const char *fault, sona_diag *reterr)
{
    static const char *const args[] = {"--routes=a,b,c",
                                       "--dim=16",
                                       "--set=hidden_dim=16",
                                       "--set=attention_dim=4",
                                       "--lease-ms=5",
                                       "--set=base_lora_layers=2",
                                       "--set=pattern_clusters=16",
                                       NULL};
    const struct sona_spawn before = t->sidecar;
    bool first = before.instance[0] == '\0';
    uint64_t begin = torture_now_us();

    (void)setenv("SONA_FAULT", fault, 1);
    sona_err err =
        sona_spawn_start(&t->sidecar, getenv("SONA_SIDECAR_FAULTS"), first ? NULL : before.instance,
                         first ? NULL : before.runtime_dir, args, reterr);
    if (err != SONA_OK) {
        t->sidecar = before; /* it died before it was ready, and is reaped */
        t->sidecar.pid = 0;
        return err;
    }
    if (!first)
        t->sidecar.own_dir = before.own_dir;
    say_up(t, true);
    torture_sample(&t->restart, torture_now_us() - begin);
    return SONA_OK;
}

static bool is_publish(uint32_t point)
{
    return point >= SONA_FAULT_publish_cleared && point < SONA_FAULT_publish_done;
}

/* Half of the deaths from inside are those of the publisher. */
static uint32_t choose_point(struct torture *t)
{
    return below(t, 2) ? SONA_FAULT_publish_cleared + (uint32_t)below(t, 3)
                       : (uint32_t)below(t, SONA_FAULT_COUNT);
}

static void progress(struct torture *t)
{
    static uint64_t shown_us;
    const struct torture_counts *c = &t->count;
    uint64_t now = torture_now_us();

    atomic_store_explicit(&t->shared->alive_us, now, memory_order_relaxed);
    if (t->quiet || now - shown_us < REPORT_US)
        return;
    shown_us = now;
    (void)fprintf(
        stderr,
        "%5llu s: %llu clients killed (%llu holding), %llu stopped, %llu sidecars killed, "
        "%llu reads, %llu records\n",
        (unsigned long long)((now - t->started_us) / 1000000), (unsigned long long)c->client_kills,
        (unsigned long long)c->kills_holding, (unsigned long long)c->stops,
        (unsigned long long)c->sidecar_kills, (unsigned long long)c->reads,
        (unsigned long long)c->records);
}

static void step(struct torture *t, bool spawn)
{
    while (spawn && t->n_live < TORTURE_ACTORS && t->n_logs < t->logs_max) {
        uint32_t before = t->n_live;

        start_actor(t);
        if (t->n_live == before)
            break;
    }
    look_after(t);
    for (uint32_t k = 0; k < t->n_live; k++)
        act(t, &t->logs[t->live[k]]);
    torture_oracle_read(t);
    torture_oracle_judge(t);
    progress(t);
    torture_nap_us(500);
}

static bool over(const struct torture *t)
{
    const struct torture_counts *c = &t->count;
    bool counted = t->kills + t->stops + t->sidecar_kills > 0;

    if (*t->interrupted || t->n_logs == t->logs_max)
        return true;
    if (t->seconds > 0 && torture_now_us() - t->started_us > t->seconds * 1000000)
        return true;
    return counted && !(t->kills && wants(c->client_kills, t->kills)) &&
           !(t->stops && wants(c->stops, t->stops)) &&
           !(t->sidecar_kills && wants(c->sidecar_kills, t->sidecar_kills));
}

/* How many clients an act kills: so that the counts asked for are reached together. */
static uint64_t share_of(const struct torture *t)
{
    return t->sidecar_kills > 0 && t->kills > 0 ? t->kills / t->sidecar_kills : 10;
}

/* The sidecar is dead or dies now; what it said is read, and who had nobody else is judged. */
static void end_act(struct torture *t, bool inside, uint32_t point)
{
    int log_fd = t->sidecar.log_fd;

    if (t->sidecar_up) {
        sona_spawn_kill(&t->sidecar);
    } else if (log_fd >= 0) { /* it was reaped */
        (void)close(log_fd);
        t->count.mid_publish += inside && is_publish(point);
    }
    t->sidecar.pid = 0;
    t->sidecar.log_fd = -1;
    say_up(t, false);
    t->count.sidecar_kills++;
    look_after(t);
    torture_oracle_read(t);
    torture_oracle_judge(t);
    torture_oracle_orphans(t);
}

/* One life of a sidecar. */
static sona_err play(struct torture *t, sona_diag *reterr)
{
    bool inside = below(t, 4) != 0;
    uint32_t point = choose_point(t);
    uint64_t kills = t->count.client_kills + share_of(t);
    char fault[48] = "";

    /* Points of the start and of the hand-back are passed once or twice in a life. */
    uint32_t times = (uint32_t)(1 + below(t, point < SONA_FAULT_drain_copied ? 2 : 600));
    if (inside)
        (void)snprintf(fault, sizeof fault, "%s:%u", points[point], times);
    sona_err err = start_sidecar(t, fault, reterr);
    if (err != SONA_OK) {
        if (!inside)
            return err; /* only a fault may end a start */
        t->count.sidecar_kills++;
        t->count.mid_publish += is_publish(point);
        return SONA_OK;
    }
    /* A point that is reached ends it early; the clients' share of kills is made up for later. */
    while (t->sidecar_up && !over(t) && t->count.client_kills < kills)
        step(t, true);
    for (uint64_t end = torture_now_us() + FAULT_US;
         inside && t->sidecar_up && torture_now_us() < end && !over(t);)
        step(t, true);
    /* Most of those that died are given back first; whoever is not dies with its sidecar. */
    for (uint64_t end = torture_now_us() + SETTLE_US;
         t->sidecar_up && below(t, 64) != 0 && torture_oracle_waits(t) && torture_now_us() < end;)
        step(t, false);
    end_act(t, inside, point);
    for (uint64_t end = torture_now_us() + below(t, 20000); torture_now_us() < end;)
        step(t, below(t, 2));
    return SONA_OK;
}

/* ---- the last act ---- */

static int64_t number(const json_t *o, const char *name)
{
    return json_integer_value(json_object_get(o, name));
}

/* Entries of a directory below /proc whose link leads to `text`; null: all. */
static uint64_t entries_of(pid_t pid, const char *what, const char *text)
{
    char path[64], at[320], target[256];
    const struct dirent *e;
    uint64_t n = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, what);
    DIR *dir = opendir(path);
    while (dir && (e = readdir(dir))) {
        (void)snprintf(at, sizeof at, "%s/%s", path, e->d_name);
        ssize_t length = readlink(at, target, sizeof target - 1);

        target[length > 0 ? length : 0] = '\0';
        n += e->d_name[0] != '.' && (!text || strstr(target, text));
    }
    if (dir)
        (void)closedir(dir);
    return n;
}

/* Every lane, slot and mapping of the last sidecar is free when its last client is gone. */
static void count_leaks(struct torture *t)
{
    uint64_t end = torture_now_us() + TORTURE_LIMIT_US, left = UINT64_MAX;

    while (left != 0 && torture_now_us() < end) {
        char *text = NULL;
        json_t *o = NULL;

        if (sona_tools_query(t->sidecar.runtime_dir, t->sidecar.instance, SONA_CONTROL_STATS, &text,
                             NULL) == SONA_OK)
            o = json_loads(text, 0, NULL);
        if (o)
            left = (uint64_t)(number(o, "clients") + number(o, "lanes")) +
                   entries_of(t->sidecar.pid, "map_files", "sona-lanes") +
                   entries_of(t->sidecar.pid, "fd", "sona-lanes");
        free(text);
        json_decref(o);
        torture_nap_us(20000);
    }
    if (left != 0)
        (void)fprintf(stderr, "sona-torture: the last sidecar still has %llu things of clients\n",
                      (unsigned long long)left);
    t->count.leaked += left;
}

/* A directory has nothing whose name contains `text`, or is not there. */
static uint64_t names_in(const char *path, const char *text)
{
    const struct dirent *e;
    uint64_t n = 0;
    DIR *dir = opendir(path);

    while (dir && (e = readdir(dir)))
        if (e->d_name[0] != '.' && strstr(e->d_name, text)) {
            (void)fprintf(stderr, "sona-torture: %s/%s was left behind\n", path, e->d_name);
            n++;
        }
    if (dir)
        (void)closedir(dir);
    return n;
}

static sona_err finish(struct torture *t, sona_diag *reterr)
{
    uint64_t end = torture_now_us() + TORTURE_LIMIT_US;
    struct statvfs fs;

    sona_err err = start_sidecar(t, "", reterr);
    if (err != SONA_OK)
        return err;
    for (uint32_t k = 0; k < t->n_live; k++) {
        struct torture_log *log = &t->logs[t->live[k]];

        atomic_store_explicit(&log->ends_at, 0, memory_order_relaxed);
        atomic_store_explicit(&log->stops_at, 0, memory_order_relaxed);
        log->paused = false;
        (void)kill(atomic_load_explicit(&log->pid, memory_order_relaxed), SIGCONT);
    }
    atomic_store_explicit(&t->shared->stop, true, memory_order_relaxed);
    while (torture_oracle_expects(t) && torture_now_us() < end) {
        look_after(t);
        for (uint32_t k = 0; k < t->n_live; k++) /* one that stopped itself at the last moment */
            (void)kill(atomic_load_explicit(&t->logs[t->live[k]].pid, memory_order_relaxed),
                       SIGCONT);
        torture_oracle_read(t);
        torture_oracle_judge(t);
        torture_nap_us(1000);
    }
    t->count.wedged += t->n_live;
    /* Who died without a sidecar, and whom the last one never met. */
    for (uint32_t i = t->unjudged; i < t->n_logs; i++)
        t->count.leaked +=
            t->logs[i].state == TORTURE_REAPED && torture_in_hand(t->shared, &t->logs[i]);
    torture_oracle_orphans(t);
    count_leaks(t);
    bool fine = sona_spawn_stop(&t->sidecar) == 0;
    t->count.wedged += !fine;
    t->count.leaked += names_in("/dev/shm", t->sidecar.instance);
    /* After many quick restarts the ledger stays, on purpose: g is ahead of the clock (adr 0020).
     */
    char ledger[sizeof t->sidecar.runtime_dir + sizeof t->sidecar.instance + 16];
    (void)snprintf(ledger, sizeof ledger, "%s/%s.lanes", t->sidecar.runtime_dir,
                   t->sidecar.instance);
    (void)unlink(ledger);
    t->count.leaked += names_in(t->sidecar.runtime_dir, "");
    (void)rmdir(t->sidecar.runtime_dir);
    if (t->count.small_shm && statvfs("/dev/shm", &fs) == 0 && fs.f_bfree != fs.f_blocks) {
        (void)fprintf(stderr, "sona-torture: %llu blocks of /dev/shm are in use\n",
                      (unsigned long long)(fs.f_blocks - fs.f_bfree));
        t->count.leaked++;
    }
    return SONA_OK;
}

sona_err torture_run(struct torture *t, sona_diag *reterr)
{
    sona_err err = SONA_OK;

    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    t->started_us = torture_now_us();
    while (err == SONA_OK && !over(t))
        err = play(t, reterr);
    if (err == SONA_OK)
        err = finish(t, reterr);
    for (uint32_t k = 0; k < t->n_live; k++)
        (void)kill(atomic_load_explicit(&t->logs[t->live[k]].pid, memory_order_relaxed), SIGKILL);
    if (t->sidecar_up)
        (void)sona_spawn_stop(&t->sidecar);
    return err;
}
