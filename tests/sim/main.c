/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The command line of sona-sim. Each seed runs in a process of its own, which begins as this one
 * was before the first: no seed knows of another, and one that crashes or hangs fails alone.
 */
#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "tests/sim/director.h"
#include "tests/sim/wraps.h"

#define JOBS_MAX  16u
#define STEPS_MAX 3000000u
#define HUNG_S    60u /* of wall clock: it waits for something that is not of this world */

/* What a seed's process says, in memory that both see. */
struct verdict {
    pid_t pid; /* 0: free */
    uint64_t seed, hash, steps, now_ns, rows, outcomes, lost, clients;
    uint64_t turns[SIM_TURN_COUNT], passed[SIM_POINTS];
    bool done, failed;
    char why[256];
};

struct arguments {
    uint64_t first, last, steps;
    uint32_t jobs, plant;
    bool json, verbose, texts, quiet, twice, found;
};

struct totals {
    uint64_t seeds, failed, steps, ns, rows, outcomes, lost, clients, hash;
    uint64_t turns[SIM_TURN_COUNT], passed[SIM_POINTS];
    uint64_t first_failed; /* the lowest */
    uint64_t tried;        /* seeds until the first that failed, in order */
};

static struct verdict *verdicts;

static const char *const plants[][2] = {
#define PLANT(name, text) {#name, text},
    SIM_PLANTS(PLANT)
#undef PLANT
};

static const char help[] =
    "Usage: sona-sim [OPTION...]\n"
    "Simulate clients, sidecars and their disk; the same seed is the same story, step by step.\n\n"
    "  --seed N        one seed (default: 1..1000)\n"
    "  --seeds A..B    those from A to B\n"
    "  --steps N       a story that is not done after so many has failed (default 3000000)\n"
    "  --jobs N        so many at one time (default 1)\n"
    "  --plant NAME    with a defect, which has to be found: exit 0 when a seed fails\n"
    "  --plants        name the defects, and end\n"
    "  --twice         run each seed twice and compare the traces\n"
    "  --json          the totals as one JSON object\n"
    "  --quiet         no progress\n"
    "  -v              print the trace of a seed; -vv: what the sidecar logs, too (to stderr)\n"
    "  --help          this text\n\n"
    "Exit codes: 0 no seed failed, 1 one did (the line that replays it is printed), 2 usage.\n";

/* ---- a seed ---- */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static void name_files(uint32_t slot)
{
    (void)snprintf(sim.instance, sizeof sim.instance, "sim-%07d-%02u", (int)getppid(), slot);
    (void)snprintf(sim.dir, sizeof sim.dir, "/dev/shm/%s", sim.instance);
}

static void clean(pid_t runner, uint32_t slot)
{
    char path[96];

    (void)snprintf(path, sizeof path, "/dev/shm/sim-%07d-%02u", (int)runner, slot);
    (void)nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    (void)snprintf(path, sizeof path, "/dev/shm/sona.sim-%07d-%02u.model", (int)runner, slot);
    (void)unlink(path);
}

static _Noreturn void live(const struct arguments *a, struct verdict *v, uint64_t seed,
                           uint32_t slot)
{
    static const uint32_t stickiness[] = {1, 2, 4, 16, 64};

    (void)alarm(HUNG_S);
    sim.seed = seed;
    sim.story.state = seed * 0x9e3779b97f4a7c15u + 1;
    sim.schedule.state = seed * 0xd1342543de82ef95u + 2;
    sim.kernel.state = seed * 0xaf251af3b0f025b5u + 3;
    sim.steps_max = a->steps;
    sim.now_ns = 1000000000ull * 1000;
    sim.wall_ns = 1790000000ull * 1000000000ull;
    sim.stickiness = stickiness[dice_below(&sim.schedule, 5)];
    sim.tick_ns = 100u << dice_below(&sim.schedule, 8);
    sim.hash = 0xcbf29ce484222325u;
    sim.verbose = a->verbose;
    sim.texts = a->texts;
    sim.plant = a->plant;
    name_files(slot);
    if (mkdir(sim.dir, 0700) != 0)
        sim_fail("cannot make %s: %s", sim.dir, strerror(errno));
    sim_disk_init();
    (void)sim_process_begin("world");
    (void)sim_task_begin(SIM_WORLD, "story", sim_story, NULL);
    sim_run();
    v->hash = sim.hash;
    v->steps = sim.steps;
    v->now_ns = sim.now_ns;
    v->rows = sim_rows;
    v->outcomes = sim_outcomes;
    v->lost = sim_lost;
    v->clients = sim_n_clients;
    memcpy(v->turns, sim_turns, sizeof sim_turns);
    memcpy(v->passed, sim_passed, sizeof sim_passed);
    v->failed = sim.failed;
    memcpy(v->why, sim.why, sizeof sim.why);
    v->done = true;
    (void)fflush(NULL);
    _exit(0);
}

/* ---- all of them ---- */

static void begin(const struct arguments *a, uint32_t slot, uint64_t seed)
{
    struct verdict *v = &verdicts[slot];

    memset(v, 0, sizeof *v);
    v->seed = seed;
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        live(a, v, seed, slot);
    v->pid = pid;
    if (pid < 0) {
        (void)fprintf(stderr, "sona-sim: cannot start a process: %s\n", strerror(errno));
        exit(1);
    }
}

static void tell(const struct arguments *a, const struct verdict *v)
{
    if (a->plant != SIM_PLANT_none && a->quiet)
        return;
    (void)fprintf(stderr, "seed %" PRIu64 " failed: %s\n  replay: sona-sim --seed %" PRIu64,
                  v->seed, v->why, v->seed);
    if (a->plant != SIM_PLANT_none)
        (void)fprintf(stderr, " --plant %s", plants[a->plant][0]);
    if (a->steps != STEPS_MAX)
        (void)fprintf(stderr, " --steps %" PRIu64, a->steps);
    (void)fprintf(stderr, " -v\n");
}

/* Wait for one; returns its slot. */
static uint32_t end_one(const struct arguments *a)
{
    int status;
    pid_t pid = waitpid(-1, &status, 0);
    uint32_t slot = 0;

    while (slot < a->jobs && verdicts[slot].pid != pid)
        slot++;
    if (pid < 0 || slot == a->jobs)
        exit(1);
    struct verdict *v = &verdicts[slot];
    v->pid = 0;
    if (!v->done) {
        v->failed = true;
        (void)snprintf(v->why, sizeof v->why, "%s",
                       WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM
                           ? "hung: nothing in it waits, and it does not end"
                       : WIFSIGNALED(status) ? strsignal(WTERMSIG(status))
                                             : "it ended by itself");
    }
    clean(getpid(), slot);
    return slot;
}

static void add(struct totals *t, const struct verdict *v)
{
    t->seeds++;
    t->failed += v->failed;
    t->steps += v->steps;
    t->ns += v->now_ns;
    t->rows += v->rows;
    t->outcomes += v->outcomes;
    t->lost += v->lost;
    t->clients += v->clients;
    t->hash ^= v->hash * (2 * v->seed + 1);
    for (uint32_t i = 0; i < SIM_TURN_COUNT; i++)
        t->turns[i] += v->turns[i];
    for (uint32_t i = 0; i < SIM_POINTS; i++)
        t->passed[i] += v->passed[i];
    if (v->failed && (t->first_failed == 0 || v->seed < t->first_failed))
        t->first_failed = v->seed;
}

static void progress(const struct arguments *a, const struct totals *t)
{
    static time_t told;
    time_t now = time(NULL);

    if (a->quiet || now - told < 5)
        return;
    if (told != 0)
        (void)fprintf(stderr, "%" PRIu64 " of %" PRIu64 " seeds, %" PRIu64 " failed\n", t->seeds,
                      a->last - a->first + 1, t->failed);
    told = now;
}

static void run(const struct arguments *a, struct totals *t)
{
    uint64_t next = a->first;
    uint32_t running = 0;

    while (next <= a->last || running > 0) {
        bool enough = a->plant != SIM_PLANT_none && t->failed > 0;

        for (uint32_t slot = 0; slot < a->jobs && next <= a->last && !enough; slot++)
            if (verdicts[slot].pid == 0) {
                begin(a, slot, next++);
                running++;
            }
        if (running == 0)
            break;
        uint32_t slot = end_one(a);
        running--;
        add(t, &verdicts[slot]);
        if (verdicts[slot].failed)
            tell(a, &verdicts[slot]);
        progress(a, t);
    }
    t->tried = t->failed > 0 ? t->first_failed - a->first + 1 : t->seeds;
}

/* ---- report ---- */

static const char *const turn_names[] = {
#define NAME(name) #name,
    SIM_TURNS(NAME)
#undef NAME
};
static const char *const point_names[] = {
#define NAME(name) #name,
    SONA_FAULTS_OF(NAME)
#undef NAME
        "pinned"};

static void print_json(const struct totals *t, double seconds)
{
    json_t *turns = json_object(), *points = json_object();

    for (uint32_t i = 0; i < SIM_TURN_COUNT; i++)
        (void)json_object_set_new(turns, turn_names[i], json_integer((json_int_t)t->turns[i]));
    for (uint32_t i = 0; i < SIM_POINTS; i++)
        (void)json_object_set_new(points, point_names[i], json_integer((json_int_t)t->passed[i]));
    json_t *o = json_pack("{sI sI sI sI sf sI sI sI sI sf so so}", "seeds", (json_int_t)t->seeds,
                          "failed", (json_int_t)t->failed, "first_failed",
                          (json_int_t)t->first_failed, "steps", (json_int_t)t->steps, "cpu_seconds",
                          seconds, "clients", (json_int_t)t->clients, "rows", (json_int_t)t->rows,
                          "outcomes", (json_int_t)t->outcomes, "not_promised", (json_int_t)t->lost,
                          "simulated_seconds", (double)t->ns / 1e9 - 1000.0 * (double)t->seeds,
                          "turns", turns, "points", points);

    (void)json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
    (void)printf("\n");
    json_decref(o);
}

static void print_text(const struct arguments *a, const struct totals *t, double seconds)
{
    (void)printf(
        "%" PRIu64 " seeds, %" PRIu64 " failed, %" PRIu64 " steps, %.1f s of CPU (%.2f ms a seed), "
        "%.0f simulated seconds\n%" PRIu64 " clients, %" PRIu64 " rows, %" PRIu64
        " outcomes; %" PRIu64 " that nobody promised are not there\nturns:",
        t->seeds, t->failed, t->steps, seconds, 1e3 * seconds / (double)t->seeds,
        (double)t->ns / 1e9 - 1000.0 * (double)t->seeds, t->clients, t->rows, t->outcomes, t->lost);
    for (uint32_t i = 0; i < SIM_TURN_COUNT; i++)
        (void)printf(" %s %" PRIu64, turn_names[i], t->turns[i]);
    (void)printf("\nnever passed:");
    for (uint32_t i = 0; i < SIM_POINTS; i++)
        if (t->passed[i] == 0)
            (void)printf(" %s", point_names[i]);
    (void)printf("\ntrace %016" PRIx64 "\n", t->hash);
    if (a->plant != SIM_PLANT_none)
        (void)printf("plant %s: %s after %" PRIu64 " seeds\n", plants[a->plant][0],
                     t->failed > 0 ? "found" : "NOT FOUND", t->tried);
}

/* Of the processors, ours and our children's: others may be at work here, too. */
static double now_s(void)
{
    struct rusage own, theirs;

    (void)getrusage(RUSAGE_SELF, &own);
    (void)getrusage(RUSAGE_CHILDREN, &theirs);
    return (double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec + theirs.ru_utime.tv_sec +
                    theirs.ru_stime.tv_sec) +
           (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec + theirs.ru_utime.tv_usec +
                    theirs.ru_stime.tv_usec) /
               1e6;
}

static int report(const struct arguments *a)
{
    struct totals t = {0}, again = {0};
    double start = now_s();

    run(a, &t);
    double seconds = now_s() - start;
    if (a->json)
        print_json(&t, seconds);
    else
        print_text(a, &t, seconds);
    if (a->twice) {
        run(a, &again);
        if (again.hash != t.hash || again.steps != t.steps) {
            (void)fprintf(stderr, "the same seeds made other traces\n");
            return 1;
        }
        (void)printf("the same seeds made the same traces\n");
    }
    return a->plant == SIM_PLANT_none ? t.failed > 0 : t.failed == 0;
}

/* ---- the command line ---- */

static bool number(const char *text, uint64_t *ret)
{
    char *end;

    errno = 0;
    *ret = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && text[0] != '-';
}

static bool range(const char *text, struct arguments *a)
{
    char first[32];
    const char *dots = strstr(text, "..");

    if (!dots || (size_t)(dots - text) >= sizeof first)
        return false;
    (void)snprintf(first, sizeof first, "%.*s", (int)(dots - text), text);
    return number(first, &a->first) && number(dots + 2, &a->last) && a->first <= a->last;
}

static bool find_plant(const char *name, uint32_t *ret)
{
    for (uint32_t i = 0; i < SIM_PLANT_COUNT; i++)
        if (strcmp(plants[i][0], name) == 0) {
            *ret = i;
            return true;
        }
    return false;
}

static bool parse(int argc, char **argv, struct arguments *a)
{
    enum { SEED = 256, SEEDS, STEPS, JOBS, PLANT, PLANTS, TWICE, JSON, QUIET, HELP };
    static const struct option options[] = {{"seed", required_argument, NULL, SEED},
                                            {"seeds", required_argument, NULL, SEEDS},
                                            {"steps", required_argument, NULL, STEPS},
                                            {"jobs", required_argument, NULL, JOBS},
                                            {"plant", required_argument, NULL, PLANT},
                                            {"plants", no_argument, NULL, PLANTS},
                                            {"twice", no_argument, NULL, TWICE},
                                            {"json", no_argument, NULL, JSON},
                                            {"quiet", no_argument, NULL, QUIET},
                                            {"help", no_argument, NULL, HELP},
                                            {NULL, 0, NULL, 0}};
    uint64_t jobs = 1;
    bool good = true;

    for (int c; good && (c = getopt_long(argc, argv, "v", options, NULL)) != -1;) {
        switch (c) {
        case SEED:
            good = number(optarg, &a->first);
            a->last = a->first;
            break;
        case SEEDS:
            good = range(optarg, a);
            break;
        case STEPS:
            good = number(optarg, &a->steps);
            break;
        case JOBS:
            good = number(optarg, &jobs) && jobs >= 1 && jobs <= JOBS_MAX;
            break;
        case PLANT:
            good = find_plant(optarg, &a->plant);
            break;
        case PLANTS:
            for (uint32_t i = 1; i < SIM_PLANT_COUNT; i++)
                (void)printf("%-18s %s\n", plants[i][0], plants[i][1]);
            exit(0);
        case TWICE:
            a->twice = true;
            break;
        case JSON:
            a->json = true;
            break;
        case QUIET:
            a->quiet = true;
            break;
        case HELP:
            (void)fputs(help, stdout);
            exit(0);
        case 'v':
            a->texts = a->verbose;
            a->verbose = true;
            break;
        default:
            good = false;
        }
    }
    a->jobs = (uint32_t)jobs;
    return good && optind == argc;
}

int main(int argc, char **argv)
{
    struct arguments a = {.first = 1, .last = 1000, .steps = STEPS_MAX};

    if (!parse(argc, argv, &a)) {
        (void)fputs(help, stderr);
        return 2;
    }
    (void)umask(0077);
    /* One heap, which grows in large steps: a child ends before it would give anything back. */
    (void)mallopt(M_MMAP_THRESHOLD, 64 << 20);
    (void)mallopt(M_TOP_PAD, 16 << 20);
    verdicts = __real_mmap64(NULL, JOBS_MAX * sizeof *verdicts, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (verdicts == MAP_FAILED) {
        (void)fprintf(stderr, "sona-sim: no memory\n");
        return 1;
    }
    return report(&a);
}
