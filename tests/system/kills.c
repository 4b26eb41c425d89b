/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The sidecar, with a state directory, is killed again and again under two live client processes of
 * two lanes each: every record that they committed is drained once, every word is in the journal
 * once, and the state that is resumed is that of a learner which never stopped.
 *     kills [ROUNDS [SEED]]            default 50 rounds; the seed is printed
 *
 * Most of the kills come from inside, at a fault point (shm/fault.h) and after a random number of
 * passages; the others from outside, at a random moment. What is compared:
 *   - the journal with what the clients wrote down themselves (witness.h): decisions, outcomes told
 *     at once or many lives later, corrections, revocations, directions, trajectories and steps;
 *   - the state of generation and replay with that of an uninterrupted learner which is fed the
 *     same journal (follower.h), now and then and at the end, bit by bit;
 *   - each lane's count of what it committed with the trace of what every sidecar took: a batch
 *     before its cursor was moved, and after. Where one sidecar ended, the next must go on: at the
 *     end of the last batch that was noted, or at the beginning of one that was not, or, where the
 *     arena had some of it, in between;
 *   - versions, which no thread may see going back; answers without a model, of which there are
 *     none; and calls made while no sidecar lives, of which there must be some.
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

#include "shm/fault.h"
#include "shm/record.h"
#include "shm/wire.h"
#include "tests/stress/tap.h"
#include "tests/system/follower.h"
#include "tests/system/verdict.h"
#include "tests/system/witness.h"
#include "tools/query.h"
#include "tools/spawn.h"

#define CLIENTS  2u
#define ALIVE_MS 40u    /* at most, before a kill from outside */
#define FAULT_MS 1000u  /* to reach a fault point; then it is killed from outside */
#define LIMIT_MS 30000u /* to wait for anything else */
#define AGREE    100u   /* rounds between two looks at the resumed state */

static const char *const points[] = {
#define NAME(name) #name,
    SONA_FAULTS_OF(NAME)
#undef NAME
};

static char state_dir[] = "/tmp/sona-kills-state-XXXXXX", state_arg[64];
static const char *const args[] = {"--routes=a,b,c",
                                   "--dim=16",
                                   "--set=hidden_dim=16",
                                   "--set=attention_dim=4",
                                   "--set=base_lora_layers=2",
                                   "--set=trajectory_capacity=4000",
                                   "--set=consolidation_interval=500",
                                   state_arg,
                                   NULL};

static struct shared {
    _Atomic bool stop;
    struct witness client[CLIENTS];
} * shared;

/* ---- the sidecars ---- */

static uint64_t calls(void)
{
    uint64_t n = 0;

    for (uint32_t c = 0; c < CLIENTS; c++)
        for (uint32_t i = 0; i < WITNESS_LANES; i++)
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
    bool progress;          /* clients were served while no sidecar lived */
    uint64_t looks, agreed; /* at the resumed state */
    sona_diag diag;         /* of the first thing that went wrong */
};

static bool is_of(uint32_t point, const char *family)
{
    return strncmp(points[point], family, strlen(family)) == 0;
}

/* How often a life passes it, about; of what is not named, once or twice. */
static uint32_t passages(uint32_t point)
{
    static const struct {
        const char *family;
        uint32_t times;
    } of[] = {{"journal_synced", 1},  {"journal_", 30},      {"drain_copied", 150}, {"drain_", 30},
              {"publish_", 30},       {"arena_copied", 150}, {"arena_app", 150},    {"learn_", 150},
              {"resume_record", 300}, {"recall_entry", 300}, {"cycle_", 1},         {"install_", 1},
              {"generation_", 1},     {"arena_", 1}};

    for (size_t i = 0; i < sizeof of / sizeof of[0]; i++)
        if (is_of(point, of[i].family))
            return of[i].times;
    return 2;
}

/* Those of drain and arena, where records could be lost or doubled, twice as often as others. */
static uint32_t choose_point(uint64_t *random)
{
    uint32_t point = (uint32_t)(tap_random(random) % SONA_FAULT_COUNT);

    if (!is_of(point, "drain_") && !is_of(point, "arena_") && tap_random(random) % 2 == 0)
        point = (uint32_t)(tap_random(random) % SONA_FAULT_COUNT);
    return point;
}

/* A cycle, or a cost of a route: asked for by a process that does not wait for us. */
static void command(const struct sona_spawn *s, uint64_t *random)
{
    struct sona_control_request request = {.what = SONA_CONTROL_LEARN};
    uint64_t dice = tap_random(random);

    if (dice % 3 == 0) {
        request.what = SONA_CONTROL_ROUTE_COST;
        request.spec = (sona_route_spec){.name = "b", .cost = (float)(dice % 64) / 64};
    }
    if (fork() == 0) { /* twice, so that nobody has to reap it */
        if (fork() == 0) {
            char *text = NULL;

            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            (void)sona_tools_ask(s->runtime_dir, s->instance, &request, &text, NULL);
        }
        _exit(0);
    }
    (void)waitpid(-1, NULL, 0);
}

/* One life: start, let it die, see that the clients go on meanwhile. */
static bool round_of(struct sona_spawn *s, uint64_t *random, struct kills *k)
{
    char fault[48] = "";
    bool inside = tap_random(random) % 5 != 0;
    uint32_t point = choose_point(random);
    uint32_t times = (uint32_t)(1 + tap_random(random) % passages(point));

    if (inside)
        (void)snprintf(fault, sizeof fault, "%s:%u", points[point], times);
    sona_err err = start(s, fault, &k->diag);
    if (err != SONA_OK) {
        k->at_start++;
        k->at_point[point]++;
        /* Only a fault may end a start. */
        return inside && strstr(k->diag.text, "ended by signal 9") != NULL;
    }
    if (!inside || is_of(point, "c") || is_of(point, "install") || tap_random(random) % 4 == 0)
        command(s, random);
    if (inside && dies(s, FAULT_MS)) {
        k->at_point[point]++;
    } else {
        nap_ms(tap_random(random) % ALIVE_MS);
        k->outside++;
    }
    sona_spawn_kill(s);
    uint64_t before = calls(), end = tap_now_ms() + LIMIT_MS;
    while (calls() < before + CLIENTS * WITNESS_LANES * 4 && tap_now_ms() < end)
        nap_ms(1);
    k->progress &= calls() >= before + CLIENTS * WITNESS_LANES * 4;
    return true;
}

/* ---- the comparison ---- */

/* Walk through a lane's trace. Returns how far it was drained; *ret_breaks: records lost or doubled
 * at places where one batch does not go on from the one before. */
static uint64_t walk(const struct sona_shm_trace *trace, size_t n, const struct witness_lane *log,
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
        } else if (t->pid == last.pid) {
            *ret_breaks += !last_noted || t->first != last.first + last.n;
        } else { /* what was not noted is in the arena, whole or in part, or is taken again; lives
                  * that left no trace may have left more of it there */
            *ret_breaks += t->first < (last_noted ? last.first + last.n : last.first);
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

        if (sona_tools_query(s->runtime_dir, s->instance, SONA_CONTROL_STATS, &text, NULL) ==
            SONA_OK)
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
             full = 0, lost = 0;
    bool each = true;

    for (uint32_t c = 0; c < CLIENTS; c++) {
        for (uint32_t i = 0; i < WITNESS_LANES; i++) {
            const struct witness_lane *log = &shared->client[c].lane[i];
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
    uint64_t taken = number(json_object_get(stats, "records"), "taken");

    (void)printf("# %llu calls met a full ring\n", (unsigned long long)full);
    tap_ok(tap, each && drained == committed, "%llu records committed, %llu drained, lane by lane",
           (unsigned long long)committed, (unsigned long long)drained);
    tap_ok(tap, breaks == 0, "%llu places where a record was lost or taken twice",
           (unsigned long long)breaks);
    tap_ok(tap, taken == committed, "the counters of all lives say so, too: %llu",
           (unsigned long long)taken);
    tap_ok(tap,
           number(stats, "drop_malformed") + number(stats, "drop_unknown_id") == 0 &&
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

static void show(const struct kills *k, const struct follower *f)
{
    (void)printf("# killed from outside: %llu; before it was ready: %llu; at",
                 (unsigned long long)k->outside, (unsigned long long)k->at_start);
    for (int point = 0; point < SONA_FAULT_COUNT; point++)
        if (k->at_point[point] > 0)
            (void)printf(" %s %llu", points[point], (unsigned long long)k->at_point[point]);
    (void)printf("\n# %llu rows;", (unsigned long long)f->rows);
#define SHOW(name, number)    \
    if (f->kinds[number] > 0) \
        (void)printf(" " #name " %llu", (unsigned long long)f->kinds[number]);
    SONA_STORE_KINDS(SHOW)
#undef SHOW
    (void)printf("\n");
}

/* All the lives. False: one could not be started, or the journal cannot be followed. */
static bool live(struct sona_spawn *sidecar, struct follower *f, struct kills *k, uint64_t rounds,
                 uint64_t random)
{
    for (uint64_t round = 0; round < rounds; round++) {
        if (!round_of(sidecar, &random, k) || follower_read(f, &k->diag) != SONA_OK)
            return false;
        if (round % AGREE != AGREE - 1)
            continue;
        k->looks++;
        k->agreed += follower_agrees(f, sidecar, state_dir, &k->diag);
        if (k->agreed < k->looks)
            return false;
    }
    return true;
}

static json_t *last_life(struct tap *tap, struct sona_spawn *sidecar, const pid_t pid[CLIENTS])
{
    sona_diag diag = {.text = ""};

    if (start(sidecar, "", &diag) != SONA_OK) {
        tap_ok(tap, false, "the last start: %s", diag.text);
        return NULL;
    }
    atomic_store_explicit(&shared->stop, true, memory_order_relaxed);
    tap_ok(tap, reap(pid), "both clients ended in peace");
    json_t *stats = last_stats(sidecar);
    tap_ok(tap, stats != NULL, "both were reclaimed");
    return stats;
}

static void look_at_trace(struct tap *tap, const json_t *stats, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st = {.st_size = 0};

    (void)fstat(fd, &st);
    void *trace = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (trace == MAP_FAILED)
        tap_ok(tap, false, "there is no trace");
    else
        compare(tap, stats, trace, (size_t)st.st_size / sizeof(struct sona_shm_trace));
    (void)close(fd);
}

/* Killed once more, resumed, and stopped at last: three times the same bytes. */
static void end(struct tap *tap, struct sona_spawn *sidecar, struct follower *f)
{
    sona_diag diag = {.text = ""};

    sona_spawn_kill(sidecar);
    bool killed = follower_agrees(f, sidecar, state_dir, &diag);
    tap_ok(tap, killed,
           "what resumes after the last kill is what never stopped, %llu records long%s%s",
           (unsigned long long)f->chronicle.position, killed ? "" : ": ", diag.text);
    bool up = start(sidecar, "", &diag) == SONA_OK;
    bool own_dir = sidecar->own_dir;
    sidecar->own_dir = false;
    tap_ok(tap, up && sona_spawn_stop(sidecar) == 0, "the last sidecar stopped well%s%s",
           up ? "" : ": ", up ? "" : diag.text);
    sidecar->own_dir = own_dir;
    bool stopped = follower_agrees(f, sidecar, state_dir, &diag);
    tap_ok(tap, stopped, "so is what it kept%s%s", stopped ? "" : ": ", diag.text);
}

static void remove_state(const char *instance)
{
    static const char *const ends[] = {"", "-wal", "-shm", ".lock"};
    char path[160];

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s.db%s", state_dir, instance, ends[i]);
        (void)unlink(path);
    }
    (void)rmdir(state_dir);
}

static int run(struct tap *tap, uint64_t rounds, uint64_t random, const char *trace_path)
{
    struct kills kills = {.progress = true};
    struct sona_spawn sidecar = {.pid = 0};
    struct verdict verdict = {.witness = shared->client, .n = CLIENTS};
    struct follower follower;
    pid_t pid[CLIENTS];

    if (start(&sidecar, "", &kills.diag) != SONA_OK ||
        follower_open(&follower, state_dir, sidecar.instance, args, &kills.diag) != SONA_OK) {
        (void)printf("Bail out! %s\n", kills.diag.text);
        return 1;
    }
    follower.visit = verdict_row;
    follower.context = &verdict;
    for (uint32_t c = 0; c < CLIENTS; c++)
        if ((pid[c] = fork()) == 0)
            witness_run(&shared->client[c], &sidecar);
    while (calls() < 1000)
        nap_ms(1); /* the test's time-out is the bound */
    sona_spawn_kill(&sidecar);
    bool fine = live(&sidecar, &follower, &kills, rounds, random);
    tap_ok(tap, fine, "%llu sidecars were started, each in the place of one that was killed%s%s",
           (unsigned long long)rounds, fine ? "" : ": ", fine ? "" : kills.diag.text);
    tap_ok(tap, kills.agreed == kills.looks, "%llu looks at what would be resumed",
           (unsigned long long)kills.looks);
    tap_ok(tap, kills.progress, "every lane was served while there was none");
    json_t *stats = last_life(tap, &sidecar, pid);
    if (stats) {
        look_at_trace(tap, stats, trace_path);
        end(tap, &sidecar, &follower);
        verdict_say(&verdict, tap);
    }
    show(&kills, &follower);
    json_decref(stats);
    follower_close(&follower);
    (void)sona_spawn_stop(&sidecar);
    if (tap->failed == 0)
        remove_state(sidecar.instance);
    else
        (void)printf("# the state is left in %s\n", state_dir);
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
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (fd < 0 || shared == MAP_FAILED || !getenv("SONA_SIDECAR_FAULTS") || !mkdtemp(state_dir)) {
        (void)printf("Bail out! no trace file, no memory, or SONA_SIDECAR_FAULTS is not set\n");
        return 1;
    }
    (void)snprintf(state_arg, sizeof state_arg, "--state-dir=%s", state_dir);
    for (uint32_t c = 0; c < CLIENTS; c++) {
        shared->client[c].stop = &shared->stop;
        shared->client[c].seed = seed + 1000003 * c;
    }
    (void)close(fd);
    (void)setenv("SONA_TRACE", trace_path, 1);
    int status = run(&tap, rounds, seed, trace_path);
    (void)unlink(trace_path);
    return status;
}
