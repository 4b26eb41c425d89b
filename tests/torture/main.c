/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* sona-torture: the command line and the report. Exit status: 0 nothing that must not happen did, 1
 * something did, or it could not be played, 2 a mistake on the command line. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/torture/torture.h"
#include "tools/option.h"
#include "tools/stop.h"

#define SMALL_SHM "size=8m" /* room for two segments of this size, and little more */
#define LOGS_MAX  200000u

enum { SECONDS = 1000, KILLS, STOPS, SIDECAR_KILLS, SEED, JSON, QUIET, HELP };

static const struct option known[] = {{"seconds", required_argument, NULL, SECONDS},
                                      {"kills", required_argument, NULL, KILLS},
                                      {"stops", required_argument, NULL, STOPS},
                                      {"sidecar-kills", required_argument, NULL, SIDECAR_KILLS},
                                      {"seed", required_argument, NULL, SEED},
                                      {"json", no_argument, NULL, JSON},
                                      {"quiet", no_argument, NULL, QUIET},
                                      {"help", no_argument, NULL, HELP},
                                      {NULL, 0, NULL, 0}};

static const char help[] =
    "usage: sona-torture [--seconds N] [--kills N] [--stops N] [--sidecar-kills N] [--seed S]\n"
    "                    [--json] [--quiet]\n"
    "Kill, stop and start again clients and sidecars that decide, apply and record, and count\n"
    "what must never happen: reads that are torn, records lost or taken twice, lanes, slots and\n"
    "processes that go on no more, and files, memory and descriptors left behind.\n"
    "\n"
    "  --seconds N        end after so long, whatever was reached       (10, without a count)\n"
    "  --kills N          until so many clients were killed, most while holding a snapshot\n"
    "  --stops N          until so many were stopped and went on\n"
    "  --sidecar-kills N  until so many sidecars were killed, half of those in a publication\n"
    "  --seed S           of what is done to whom; when it happens is up to the machine\n"
    "  --json             one object on one line\n"
    "  --quiet            no progress on stderr\n"
    "\n"
    "It needs the test variant of the sidecar: SONA_SIDECAR_FAULTS, or the one of its build tree.\n"
    "As root it has a small /dev/shm of its own, and clients in PID namespaces of their own.\n"
    "Exit status: 0 nothing was counted, 1 something was or it could not be played, 2 usage.\n";

static bool take_number(const char *text, uint64_t *ret)
{
    char *end;

    errno = 0;
    *ret = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0;
}

/* 0: go on; else the exit status, plus 1. */
static int parse(struct torture *t, bool *ret_json, int argc, char **argv)
{
    uint64_t ignored;
    sona_diag diag;
    int id;

    optind = 0;
    for (;;) {
        if (sona_tools_option_next("sona-torture", argc, argv, known, &id, &diag) != SONA_OK) {
            (void)fprintf(stderr, "%s\n", diag.text);
            return 3;
        }
        if (id < 0)
            break;
        uint64_t *number = id == SECONDS         ? &t->seconds
                           : id == KILLS         ? &t->kills
                           : id == STOPS         ? &t->stops
                           : id == SIDECAR_KILLS ? &t->sidecar_kills
                           : id == SEED          ? &t->seed
                                                 : &ignored;
        if (number != &ignored && !take_number(optarg, number)) {
            (void)fprintf(stderr, "sona-torture: \"%s\" is no whole number\n", optarg);
            return 3;
        }
        *ret_json |= id == JSON;
        t->quiet |= id == QUIET;
        if (id == HELP) {
            (void)fputs(help, stdout);
            return 1;
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr, "sona-torture: \"%s\" belongs to no option; see --help\n",
                      argv[optind]);
        return 3;
    }
    if (t->seconds + t->kills + t->stops + t->sidecar_kills == 0)
        t->seconds = 10;
    return 0;
}

/* Whether a process may have a PID namespace of its own here. */
static bool namespaces_allowed(void)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0)
        _exit(unshare(CLONE_NEWPID) == 0 ? 0 : 1);
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static bool shrink_shm(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("sona-torture", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, SMALL_SHM) == 0;
}

static bool prepare(struct torture *t, char trace_path[])
{
    size_t logs_bytes = LOGS_MAX * sizeof *t->logs;

    if (!getenv("SONA_SIDECAR_FAULTS")) {
        char self[400], path[512];
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

        self[n > 0 ? n : 0] = '\0';
        char *slash = strrchr(self, '/');
        if (slash)
            *slash = '\0';
        (void)snprintf(path, sizeof path, "%s/../../sidecar/sona-sidecar-faults", self);
        (void)setenv("SONA_SIDECAR_FAULTS", path, 1);
    }
    if (access(getenv("SONA_SIDECAR_FAULTS"), X_OK) != 0) {
        (void)fprintf(stderr,
                      "sona-torture: %s cannot be executed; build it, or set SONA_SIDECAR_FAULTS\n",
                      getenv("SONA_SIDECAR_FAULTS"));
        return false;
    }
    t->trace_fd = mkstemp(trace_path);
    t->shared =
        mmap(NULL, sizeof *t->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    t->logs = mmap(NULL, logs_bytes, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (t->trace_fd < 0 || t->shared == MAP_FAILED || t->logs == MAP_FAILED) {
        (void)fprintf(stderr, "sona-torture: no trace file in /tmp, or no memory: %s\n",
                      strerror(errno));
        return false;
    }
    t->logs_max = LOGS_MAX;
    (void)fcntl(t->trace_fd, F_SETFD, FD_CLOEXEC);
    (void)setenv("SONA_TRACE", trace_path, 1);
    atomic_store_explicit(&t->shared->alive_us, torture_now_us(), memory_order_relaxed);
    t->count.namespaces_tried = namespaces_allowed();
    t->count.small_shm = shrink_shm();
    return true;
}

static void print_json(struct torture *t, double seconds)
{
    const struct torture_counts *c = &t->count;

    (void)printf("{\"seed\":%" PRIu64 ",\"seconds\":%.1f,\"client_kills\":%" PRIu64
                 ",\"kills_holding\":%" PRIu64 ",\"stops\":%" PRIu64 ",\"stops_holding\":%" PRIu64
                 ",\"sidecar_kills\":%" PRIu64 ",\"sidecar_kills_publishing\":%" PRIu64
                 ",\"torn\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"doubled\":%" PRIu64
                 ",\"wedged\":%" PRIu64 ",\"leaked\":%" PRIu64 ",\"wrong\":%" PRIu64,
                 t->seed, seconds, c->client_kills, c->kills_holding, c->stops, c->stops_holding,
                 c->sidecar_kills, c->mid_publish, c->torn, c->lost, c->doubled, c->wedged,
                 c->leaked, c->wrong);
    (void)printf(",\"reads\":%" PRIu64 ",\"reads_thrown_away\":%" PRIu64 ",\"records\":%" PRIu64
                 ",\"both_dead\":%" PRIu64 ",\"both_dead_records\":%" PRIu64
                 ",\"lanes_renewed\":%" PRIu64 ",\"forks\":%" PRIu64 ",\"namespaces\":",
                 c->reads, c->thrown_away, c->records, c->both_dead, c->both_dead_records,
                 c->renewed, c->forks);
    if (c->namespaces_tried)
        (void)printf("%" PRIu64, c->namespaces);
    else
        (void)printf("null");
    (void)printf(",\"small_shm\":%s,\"reclaim_ms\":{\"p50\":%.3f,\"p99\":%.3f},"
                 "\"restart_ms\":{\"p50\":%.3f,\"p99\":%.3f}}\n",
                 c->small_shm ? "true" : "null", torture_percentile_ms(&t->reclaim, 0.5),
                 torture_percentile_ms(&t->reclaim, 0.99), torture_percentile_ms(&t->restart, 0.5),
                 torture_percentile_ms(&t->restart, 0.99));
}

static void print_text(struct torture *t, double seconds)
{
    const struct torture_counts *c = &t->count;

    (void)printf("seed %" PRIu64 ", %.1f s\n", t->seed, seconds);
    (void)printf("clients killed    %10" PRIu64 "   of them holding a snapshot %" PRIu64 "\n",
                 c->client_kills, c->kills_holding);
    (void)printf("clients stopped   %10" PRIu64 "   of them holding a snapshot %" PRIu64 "\n",
                 c->stops, c->stops_holding);
    (void)printf("sidecars killed   %10" PRIu64 "   of them in a publication %" PRIu64 "\n",
                 c->sidecar_kills, c->mid_publish);
    (void)printf("snapshots read    %10" PRIu64 "   thrown away, as they must be %" PRIu64 "\n",
                 c->reads, c->thrown_away);
    (void)printf("records taken     %10" PRIu64 "   gone with a client and its sidecar %" PRIu64
                 " of %" PRIu64 " clients\n",
                 c->records, c->both_dead_records, c->both_dead);
    (void)printf("children refused  %10" PRIu64 "\n", c->forks);
    if (c->namespaces_tried)
        (void)printf("PID namespaces    %10" PRIu64 "\n", c->namespaces);
    else
        (void)printf("PID namespaces     not tried: not permitted here\n");
    (void)printf("small /dev/shm    %s\n",
                 c->small_shm ? "        yes" : " not tried: not permitted");
    (void)printf("freed after a death, ms     p50 %.2f, p99 %.2f\n",
                 torture_percentile_ms(&t->reclaim, 0.5), torture_percentile_ms(&t->reclaim, 0.99));
    (void)printf("successor ready after, ms   p50 %.2f, p99 %.2f\n",
                 torture_percentile_ms(&t->restart, 0.5), torture_percentile_ms(&t->restart, 0.99));
    (void)printf("torn %" PRIu64 ", lost %" PRIu64 ", doubled %" PRIu64 ", wedged %" PRIu64
                 ", leaked %" PRIu64 ", wrong %" PRIu64 "\n",
                 c->torn, c->lost, c->doubled, c->wedged, c->leaked, c->wrong);
}

int main(int argc, char **argv)
{
    static struct torture t = {.trace_fd = -1, .sidecar = {.log_fd = -1}};
    char trace_path[] = "/tmp/sona-torture-XXXXXX";
    bool json = false;
    sona_diag diag = {.text = ""};

    int status = parse(&t, &json, argc, argv);
    if (status != 0)
        return status - 1;
    if (t.seed == 0)
        t.seed = torture_now_us() | 1;
    t.random = sona_tools_random_init(t.seed, 1);
    t.interrupted = sona_tools_stop_install();
    sona_err err = SONA_E_SYSTEM;
    if (prepare(&t, trace_path)) {
        err = torture_run(&t, &diag);
        if (err != SONA_OK)
            (void)fprintf(stderr, "sona-torture: %s\n", diag.text);
    }
    if (t.trace_fd >= 0)
        (void)unlink(trace_path);
    double seconds = (double)(torture_now_us() - t.started_us) / 1e6;
    if (err == SONA_OK && json)
        print_json(&t, seconds);
    else if (err == SONA_OK)
        print_text(&t, seconds);
    const struct torture_counts *c = &t.count;
    uint64_t bad = c->torn + c->lost + c->doubled + c->wedged + c->leaked + c->wrong;
    return err == SONA_OK && bad == 0 && fflush(stdout) == 0 ? 0 : 1;
}
