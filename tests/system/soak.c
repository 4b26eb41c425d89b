/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A sidecar under load with retention: what it needs of memory and disk in the second half is what
 * it needed in the first. It says nothing about speed: a slow machine only gets fewer outcomes.
 *
 * usage: soak [SECONDS]     60 by default; TAP on stdout, and the sizes at the start, after a
 *                           quarter, a half and at the end
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sona/client.h>

#include "tests/stress/tap.h"
#include "tools/query.h"
#include "tools/random.h"
#include "tools/spawn.h"

#define DIM        256u
#define RETAIN_MB  48u
#define PER_TICK   60u /* decisions in 20 ms, each with its outcome: 3,000 a second */
#define TICK_MS    20u
#define WARM_SHARE 8u /* of the time: tables fill, and the ring of the arena is used for once */

/* In bytes. */
struct sizes {
    uint64_t resident, database, wal, runtime;
};

struct soak {
    struct sona_spawn sidecar;
    char state_dir[64];
    sona_client *client;
    sona_lane *lane;
    struct sona_tools_random random;
    uint64_t told, refused;
};

static uint64_t bytes_of(const char *dir, const char *name, const char *suffix)
{
    char path[256];
    struct stat st;

    (void)snprintf(path, sizeof path, "%s/%s%s", dir, name, suffix);
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static struct sizes measure(const struct soak *s)
{
    const char *name = s->sidecar.instance, *runtime = s->sidecar.runtime_dir;
    struct sizes ret = {.database = bytes_of(s->state_dir, name, ".db"),
                        .wal = bytes_of(s->state_dir, name, ".db-wal"),
                        .runtime =
                            bytes_of(runtime, name, ".intake") + bytes_of(runtime, name, ".arena")};
    unsigned long pages = 0;
    char path[64];

    (void)snprintf(path, sizeof path, "/proc/%d/statm", (int)s->sidecar.pid);
    FILE *file = fopen(path, "r");
    if (file) {
        if (fscanf(file, "%*u %lu", &pages) != 1)
            pages = 0;
        (void)fclose(file);
    }
    ret.resident = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return ret;
}

static void rise(struct sizes *peak, const struct sizes *now)
{
#define RISE(what) peak->what = now->what > peak->what ? now->what : peak->what
    RISE(resident);
    RISE(database);
    RISE(wal);
    RISE(runtime);
#undef RISE
}

static void tell(struct soak *s)
{
    float x[DIM];
    sona_decision d;

    for (uint32_t i = 0; i < DIM; i++)
        x[i] = (float)sona_tools_random_unit(&s->random) - 0.5f;
    if (sona_decide(s->lane, x, DIM, NULL, &d) == SONA_OK &&
        sona_outcome(s->lane, d.id, d.route % 2 ? 0.9f : 0.2f, NULL) == SONA_OK)
        s->told++;
    else
        s->refused++;
}

/* Load until a time; the most that was seen. */
static struct sizes load(struct soak *s, uint64_t until_ms)
{
    struct sizes peak = {0};

    for (uint64_t now; (now = tap_now_ms()) < until_ms;) {
        for (uint32_t i = 0; i < PER_TICK; i++)
            tell(s);
        struct sizes sizes = measure(s);
        rise(&peak, &sizes);
        uint64_t took = tap_now_ms() - now;
        if (took < TICK_MS) /* the pace of the load */
            (void)usleep((useconds_t)(TICK_MS - took) * 1000);
    }
    return peak;
}

static bool start(struct soak *s, sona_diag *diag)
{
    char state[96], retain[32];
    const char *args[] = {"--dim=256",       "--routes=9",      state, retain,
                          "--generations=3", "--retain-days=0", NULL};

    (void)snprintf(s->state_dir, sizeof s->state_dir, "/var/tmp/sona-soak-XXXXXX");
    if (!mkdtemp(s->state_dir))
        return false;
    (void)snprintf(state, sizeof state, "--state-dir=%s", s->state_dir);
    (void)snprintf(retain, sizeof retain, "--retain-mb=%u", RETAIN_MB);
    if (sona_spawn_start(&s->sidecar, NULL, NULL, NULL, args, diag) != SONA_OK)
        return false;
    const sona_client_options options = {
        .instance = s->sidecar.instance, .runtime_dir = s->sidecar.runtime_dir, .dim = DIM};
    s->random = sona_tools_random_init(1, 1);
    return sona_client_open(&s->client, &options, diag) == SONA_OK &&
           sona_lane_claim(s->client, &s->lane, diag) == SONA_OK;
}

static void show(const struct soak *s, const char *when, const struct sizes *peak)
{
    (void)printf(
        "# %-8s %9llu told, resident %5.1f, database %5.1f, WAL %5.1f, runtime %5.1f MiB\n", when,
        (unsigned long long)s->told, (double)peak->resident / (1 << 20),
        (double)peak->database / (1 << 20), (double)peak->wal / (1 << 20),
        (double)peak->runtime / (1 << 20));
    (void)fflush(stdout);
}

static int finish(struct soak *s, struct tap *tap)
{
    char command[96];

    sona_lane_release(&s->lane);
    sona_client_close(&s->client);
    tap_ok(tap, sona_spawn_stop(&s->sidecar) == 0, "it stopped well");
    (void)snprintf(command, sizeof command, "rm -rf '%s'", s->state_dir);
    (void)!system(command);
    return tap_done(tap);
}

int main(int argc, char **argv)
{
    uint64_t ms = 1000 * (argc > 1 ? strtoull(argv[1], NULL, 10) : 60), begin;
    static struct soak s;
    struct tap tap = {0};
    sona_diag diag = {.text = "no directory"};

    if (!start(&s, &diag)) {
        tap_ok(&tap, false, "a sidecar starts: %s", diag.text);
        return tap_done(&tap);
    }
    begin = tap_now_ms();
    struct sizes warm = load(&s, begin + ms / WARM_SHARE);
    show(&s, "start", &warm);
    struct sizes quarter = load(&s, begin + ms / 4);
    show(&s, "quarter", &quarter);
    struct sizes half = load(&s, begin + ms / 2);
    show(&s, "half", &half);
    struct sizes end = load(&s, begin + ms);
    show(&s, "end", &end);
    (void)printf("# %llu calls met a full ring\n", (unsigned long long)s.refused);
    rise(&half, &quarter);
    tap_ok(&tap, s.told * DIM * sizeof(float) > 3ull * (RETAIN_MB << 20),
           "three times as much was told as retention keeps");
    tap_ok(&tap, end.resident <= half.resident + half.resident / 20,
           "resident memory stays within a twentieth of what it was");
    tap_ok(&tap, end.database <= half.database + ((uint64_t)RETAIN_MB << 20) / 2,
           "the database stays as it was");
    /* It grows while a checkpoint waits for the disk. */
    tap_ok(&tap, end.wal <= half.wal + (64u << 20), "the WAL stays short");
    tap_ok(&tap, end.runtime == half.runtime, "so do arena and intake log");
    return finish(&s, &tap);
}
