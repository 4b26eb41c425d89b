/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The sidecar is killed again and again under two live client processes of two lanes each, and
 * every record that they committed is drained exactly once.
 *     kills [ROUNDS [SEED]]            default 50 rounds; the seed is printed
 *
 * Most of the kills come from inside, at a fault point (shm/fault.h) and after a random number of
 * passages; the others from outside, at a random moment. What is compared:
 *   - each lane's own log of what it committed, kept in memory that all processes share;
 *   - the trace of what every sidecar took: a batch before its cursor was moved, and after. Where
 *     one sidecar ended, the next must go on: at the end of the last batch that was noted, or at
 * the beginning of one that was not (what was done with it died with its process). Anything else is
 * a record lost or doubled;
 *   - the counters of the last sidecar: what its predecessors took plus what it took itself;
 *   - versions, which no thread may see going back; answers without a model, of which there are
 * none; and calls made while no sidecar lives, of which there must be some.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include <sona/client.h>

#include "shm/fault.h"
#include "shm/record.h"
#include "shm/wire.h"
#include "tests/stress/tap.h"
#include "tools/query.h"
#include "tools/spawn.h"

#define DIM      16u
#define CLIENTS  2u
#define LANES    2u /* of a client, each with a thread */
#define QUERIES  16u
#define ALIVE_MS 40u    /* at most, before a kill from outside */
#define FAULT_MS 400u   /* to reach a fault point; then it is killed from outside */
#define LIMIT_MS 30000u /* to wait for anything else */

static const char *const points[] = {
#define NAME(name) #name,
    SONA_FAULTS_OF(NAME)
#undef NAME
};

/* What a lane writes down itself. */
struct lane_log {
    _Atomic uint64_t calls;
    _Atomic uint64_t committed;
    uint64_t tag, lane, version;
    uint64_t backwards, without_model, wrong, full;
};

struct client_log {
    struct lane_log lane[LANES];
    sona_client_stats stats;
};

static struct shared {
    _Atomic bool stop;
    struct client_log client[CLIENTS];
} * shared;

/* ---- a client ---- */

struct worker {
    sona_client *client;
    struct lane_log *log;
    pthread_t thread;
};

/* Versions go on for ever, over restarts too. */
static void see(struct lane_log *log, uint64_t version)
{
    log->without_model += version == 0;
    log->backwards += version < log->version;
    if (version > log->version)
        log->version = version;
}

/* One more record of this lane: its number is the lane's count, under one tag for ever. */
static void note(struct lane_log *log, uint64_t id)
{
    uint64_t n = atomic_load_explicit(&log->committed, memory_order_relaxed);

    if (id != 0) {
        if (n == 0) {
            log->tag = SONA_ID_TAG(id);
            log->lane = SONA_ID_LANE(id);
        }
        log->wrong +=
            SONA_ID_SEQ(id) != n || SONA_ID_TAG(id) != log->tag || SONA_ID_LANE(id) != log->lane;
    }
    atomic_store_explicit(&log->committed, n + 1, memory_order_relaxed);
}

static void *work(void *arg)
{
    static const struct timespec pause = {.tv_nsec = 20000};
    struct worker *w = arg;
    struct lane_log *log = w->log;
    float x[QUERIES][DIM], y[DIM];
    sona_lane *lane;

    if (sona_lane_claim(w->client, &lane, NULL) != SONA_OK)
        _exit(3);
    for (uint32_t q = 0; q < QUERIES; q++)
        for (uint32_t i = 0; i < DIM; i++)
            x[q][i] = (float)((q * 37 + i * 11) % 29) - 14.5f;
    for (uint64_t n = 0; !atomic_load_explicit(&shared->stop, memory_order_relaxed); n++) {
        uint64_t version = 0;
        sona_decision d = {.id = 0};

        log->wrong += sona_apply(lane, x[n % QUERIES], DIM, y, &version) != SONA_OK;
        see(log, version);
        sona_err err = sona_decide(lane, x[n % QUERIES], DIM, NULL, &d);
        see(log, d.version);
        log->full += err == SONA_E_FULL || err == SONA_E_DETACHED;
        log->wrong += err != SONA_OK && err != SONA_E_FULL && err != SONA_E_DETACHED;
        if (d.id != 0) {
            note(log, d.id);
            if (sona_outcome(lane, d.id, n % 3 == 0 ? 1 : 0, NULL) == SONA_OK)
                note(log, 0);
        }
        atomic_fetch_add_explicit(&log->calls, 1, memory_order_relaxed);
        if (n % 4 == 0)
            (void)nanosleep(&pause, NULL); /* two processors are shared with the sidecar */
    }
    sona_lane_release(&lane);
    return NULL;
}

static void run_client(const struct sona_spawn *sidecar, struct client_log *log)
{
    const sona_client_options options = {.instance = sidecar->instance,
                                         .runtime_dir = sidecar->runtime_dir,
                                         .lanes = LANES,
                                         .dim = DIM};
    struct worker worker[LANES];
    sona_client *client;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (sona_client_open(&client, &options, NULL) != SONA_OK)
        _exit(1);
    for (uint32_t i = 0; i < LANES; i++) {
        worker[i] = (struct worker){.client = client, .log = &log->lane[i]};
        if (pthread_create(&worker[i].thread, NULL, work, &worker[i]) != 0)
            _exit(2);
    }
    for (uint32_t i = 0; i < LANES; i++)
        (void)pthread_join(worker[i].thread, NULL);
    do /* what waits in the rings is for the last sidecar */
        (void)sona_client_stats_get(client, &log->stats);
    while (!log->stats.attached);
    sona_client_close(&client);
    _exit(0);
}

/* ---- the sidecars ---- */

static uint64_t calls(void)
{
    uint64_t n = 0;

    for (uint32_t c = 0; c < CLIENTS; c++)
        for (uint32_t i = 0; i < LANES; i++)
            n += atomic_load_explicit(&shared->client[c].lane[i].calls, memory_order_relaxed);
    return n;
}

static void nap_ms(uint64_t ms)
{
    const struct timespec t = {.tv_sec = (time_t)(ms / 1000),
                               .tv_nsec = (long)(ms % 1000) * 1000000};

    (void)nanosleep(&t, NULL);
}

/* Wait until the sidecar died by itself; false: it lives on. */
static bool dies(const struct sona_spawn *s, uint64_t ms)
{
    uint64_t end = tap_now_ms() + ms;
    siginfo_t info;

    do {
        info.si_pid = 0;
        if (waitid(P_PID, (id_t)s->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            info.si_pid != 0)
            return true;
        nap_ms(1);
    } while (tap_now_ms() < end);
    return false;
}

static sona_err start(struct sona_spawn *s, const char *fault, sona_diag *diag)
{
    static const char *const args[] = {"--routes=a,b,c", "--dim=16", "--set=hidden_dim=16",
                                       "--set=attention_dim=4", NULL};
    struct sona_spawn before = *s;

    (void)setenv("SONA_FAULT", fault, 1);
    sona_err err = sona_spawn_start(s, getenv("SONA_SIDECAR_FAULTS"),
                                    before.instance[0] ? before.instance : NULL,
                                    before.instance[0] ? before.runtime_dir : NULL, args, diag);
    if (err != SONA_OK)
        *s = before; /* it died before it was ready, and is reaped */
    else if (before.instance[0])
        s->own_dir = before.own_dir;
    return err;
}

struct kills {
    uint64_t at_point[SONA_FAULT_COUNT], outside, at_start;
    bool progress; /* clients were served while no sidecar lived */
};

/* Those of the drain, where records could be lost or doubled, three times as often as the others.
 */
static uint32_t choose_point(uint64_t *random)
{
    const uint32_t drains = SONA_FAULT_publish_cleared - SONA_FAULT_drain_copied;
    uint32_t n = (uint32_t)(tap_random(random) % (SONA_FAULT_COUNT + 2 * drains));

    return n < SONA_FAULT_COUNT ? n : SONA_FAULT_drain_copied + (n - SONA_FAULT_COUNT) % drains;
}

/* One life: start, let it die, see that the clients go on meanwhile. */
static bool round_of(struct sona_spawn *s, uint64_t *random, struct kills *k)
{
    char fault[48] = "";
    bool inside = tap_random(random) % 4 != 0;
    uint32_t point = choose_point(random);
    /* Points of the start and of the hand-back are passed once or twice in a life. */
    uint32_t times =
        (uint32_t)(1 + tap_random(random) % (point < SONA_FAULT_drain_copied ? 2 : 150));
    sona_diag diag = {.text = ""};

    if (inside)
        (void)snprintf(fault, sizeof fault, "%s:%u", points[point], times);
    sona_err err = start(s, fault, &diag);
    if (err != SONA_OK) {
        k->at_start++;
        k->at_point[point]++;
        return inside; /* only a fault may end a start */
    }
    if (inside && dies(s, FAULT_MS)) {
        k->at_point[point]++;
    } else {
        nap_ms(tap_random(random) % ALIVE_MS);
        k->outside++;
    }
    sona_spawn_kill(s);
    uint64_t before = calls(), end = tap_now_ms() + LIMIT_MS;
    while (calls() < before + CLIENTS * LANES * 4 && tap_now_ms() < end)
        nap_ms(1);
    k->progress &= calls() >= before + CLIENTS * LANES * 4;
    return true;
}

/* ---- the comparison ---- */

/* Walk through a lane's trace. Returns how far it was drained; *ret_breaks: records lost or doubled
 * at places where one batch does not go on from the one before. */
static uint64_t walk(const struct sona_shm_trace *trace, size_t n, const struct lane_log *log,
                     uint64_t *ret_breaks)
{
    struct sona_shm_trace last = {.what = SONA_SHM_NOTED};
    uint64_t drained = 0;

    for (size_t i = 0; i < n; i++) {
        const struct sona_shm_trace *t = &trace[i];

        bool noted = t->what == SONA_SHM_NOTED, last_noted = last.what == SONA_SHM_NOTED;

        if (t->tag != log->tag || t->lane != log->lane || (!noted && t->what != SONA_SHM_TAKEN))
            continue;
        if (noted) { /* of the batch just traced, or of nothing */
            *ret_breaks +=
                last_noted || t->first != last.first || t->n != last.n || t->pid != last.pid;
        } else {
            bool goes_on = t->first == last.first + last.n;
            bool again = !last_noted && t->pid != last.pid && t->first == last.first;

            *ret_breaks += !(goes_on && (last_noted || t->pid != last.pid)) && !again;
        }
        last = *t;
        drained = noted ? t->first + t->n : drained;
    }
    return drained;
}

static uint64_t number(const json_t *o, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(o, name));
}

/* Ask until both clients are reclaimed: then all they had committed is drained. Null: never. */
static json_t *last_stats(const struct sona_spawn *s)
{
    uint64_t end = tap_now_ms() + LIMIT_MS;

    while (tap_now_ms() < end) {
        char *text = NULL;
        json_t *o = NULL;

        if (sona_tools_query(s->runtime_dir, s->instance, SONA_WIRE_STATS, &text, NULL) == SONA_OK)
            o = json_loads(text, 0, NULL);
        free(text);
        if (o && number(o, "clients_reclaimed") == CLIENTS)
            return o;
        json_decref(o);
        nap_ms(5);
    }
    return NULL;
}

static void compare(struct tap *tap, const json_t *stats, const struct sona_shm_trace *trace,
                    size_t n)
{
    uint64_t committed = 0, drained = 0, breaks = 0, backwards = 0, without = 0, wrong = 0,
             full = 0;
    uint64_t lost = 0;
    bool each = true;

    for (uint32_t c = 0; c < CLIENTS; c++) {
        for (uint32_t i = 0; i < LANES; i++) {
            const struct lane_log *log = &shared->client[c].lane[i];
            uint64_t mine = atomic_load_explicit(&log->committed, memory_order_relaxed);
            uint64_t theirs = walk(trace, n, log, &breaks);

            (void)printf("# client %u lane %u: %llu committed, %llu drained, tag %llu\n", c, i,
                         (unsigned long long)mine, (unsigned long long)theirs,
                         (unsigned long long)log->tag);
            each &= mine == theirs && mine > 0;
            committed += mine;
            drained += theirs;
            backwards += log->backwards;
            without += log->without_model;
            wrong += log->wrong;
            full += log->full;
        }
        lost += shared->client[c].stats.dropped_restart;
    }
    uint64_t before = number(stats, "lost_killed");
    uint64_t taken = number(json_object_get(stats, "records"), "taken");

    (void)printf("# %llu calls met a full ring\n", (unsigned long long)full);
    tap_ok(tap, each && drained == committed, "%llu records committed, %llu drained, lane by lane",
           (unsigned long long)committed, (unsigned long long)drained);
    tap_ok(tap, breaks == 0, "%llu places where a record was lost or taken twice",
           (unsigned long long)breaks);
    tap_ok(tap, before + taken == committed,
           "the counters say so, too: %llu by those that were killed, %llu by the last",
           (unsigned long long)before, (unsigned long long)taken);
    tap_ok(tap,
           number(stats, "drop_malformed") + number(stats, "drop_duplicate") == 0 &&
               number(stats, "lanes_quarantined") == 0,
           "no record was where it does not belong");
    tap_ok(tap, number(stats, "handed_back") == CLIENTS && number(stats, "handback_refused") == 0,
           "both clients came back to the last one with their lanes");
    tap_ok(tap, lost == 0, "the clients lost nothing by their own account");
    tap_ok(tap, backwards == 0, "%llu versions went back", (unsigned long long)backwards);
    tap_ok(tap, without == 0, "%llu answers without a model", (unsigned long long)without);
    tap_ok(tap, wrong == 0, "%llu answers that make no sense", (unsigned long long)wrong);
}

static bool reap(const pid_t pid[CLIENTS])
{
    bool good = true;

    for (uint32_t c = 0; c < CLIENTS; c++) {
        int status = -1;

        while (waitpid(pid[c], &status, 0) < 0 && errno == EINTR)
            continue;
        good &= status == 0;
    }
    return good;
}

static void show(const struct kills *k)
{
    (void)printf("# killed from outside: %llu; before it was ready: %llu; at",
                 (unsigned long long)k->outside, (unsigned long long)k->at_start);
    for (int point = 0; point < SONA_FAULT_COUNT; point++)
        if (k->at_point[point] > 0)
            (void)printf(" %s %llu", points[point], (unsigned long long)k->at_point[point]);
    (void)printf("\n");
}

static int run(struct tap *tap, uint64_t rounds, uint64_t random, const char *trace_path)
{
    struct kills kills = {.progress = true};
    struct sona_spawn sidecar = {.pid = 0};
    sona_diag diag = {.text = ""};
    pid_t pid[CLIENTS];
    bool fine = true;

    if (start(&sidecar, "", &diag) != SONA_OK) {
        (void)printf("Bail out! %s\n", diag.text);
        return 1;
    }
    for (uint32_t c = 0; c < CLIENTS; c++)
        if ((pid[c] = fork()) == 0)
            run_client(&sidecar, &shared->client[c]);
    while (calls() < 1000)
        nap_ms(1); /* the test's time-out is the bound */
    sona_spawn_kill(&sidecar);
    for (uint64_t round = 0; round < rounds && fine; round++)
        fine = round_of(&sidecar, &random, &kills);
    show(&kills);
    tap_ok(tap, fine, "%llu sidecars were started, each in the place of one that was killed",
           (unsigned long long)rounds);
    tap_ok(tap, kills.progress, "every lane was served while there was none");
    if (start(&sidecar, "", &diag) != SONA_OK) {
        (void)printf("Bail out! %s\n", diag.text);
        return 1;
    }
    atomic_store_explicit(&shared->stop, true, memory_order_relaxed);
    tap_ok(tap, reap(pid), "both clients ended in peace");
    json_t *stats = last_stats(&sidecar);
    tap_ok(tap, stats != NULL, "both were reclaimed");

    int fd = open(trace_path, O_RDONLY | O_CLOEXEC);
    struct stat st = {.st_size = 0};
    (void)fstat(fd, &st);
    void *trace = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (stats && trace != MAP_FAILED)
        compare(tap, stats, trace, (size_t)st.st_size / sizeof(struct sona_shm_trace));
    json_decref(stats);
    (void)close(fd);
    tap_ok(tap, sona_spawn_stop(&sidecar) == 0, "the last sidecar stopped and left nothing");
    return tap_done(tap);
}

int main(int argc, char **argv)
{
    uint64_t rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : 50;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : tap_now_ms() | 1;
    char trace_path[] = "/tmp/sona-kills-XXXXXX";
    int fd = mkstemp(trace_path);
    struct tap tap = {0, 0};

    (void)printf("# seed %llu\n", (unsigned long long)seed);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (fd < 0 || shared == MAP_FAILED || !getenv("SONA_SIDECAR_FAULTS")) {
        (void)printf("Bail out! no trace file, no memory, or SONA_SIDECAR_FAULTS is not set\n");
        return 1;
    }
    (void)close(fd);
    (void)setenv("SONA_TRACE", trace_path, 1);
    int status = run(&tap, rounds, seed, trace_path);
    (void)unlink(trace_path);
    return status;
}
