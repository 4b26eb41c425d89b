/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What a sidecar takes from its host: processor while nothing happens, memory of its own for each
 * preset, shared memory of a lane, memory of a decision that waits. And what it gives: events a
 * second from end to end.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sona/engine.h>

#include "engine/facade.h"
#include "perf/bench/live.h"
#include "shm/layout.h"
#include "shm/record.h"
#include "tools/sample.h"

#define DIM 256u

/* Nanoseconds of processor that all threads of the sidecar have taken so far. */
static uint64_t cpu_of(const struct sona_bench_live *live)
{
    struct timespec t;
    clockid_t id;

    if (clock_getcpuclockid(live->sidecar.pid, &id) != 0 || clock_gettime(id, &t) != 0)
        sona_bench_die("the sidecar's processor time cannot be read");
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void pause_ms(uint32_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

/* entry->a: the longest nap in microseconds */
static void idle(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    struct sona_bench_shape shape = {.dim = DIM, .routes = 9};
    struct sona_bench_live *live;
    char text[32];
    uint64_t cpu, wall;

    (void)snprintf(text, sizeof text, "--idle-cap-us=%u", entry->a);
    shape.more[0] = text;
    live = sona_bench_live_get(bench, &shape);
    pause_ms(100);
    cpu = cpu_of(live);
    wall = sona_tools_now_ns();
    pause_ms(bench->quick ? 100 : 3000);
    cpu = cpu_of(live) - cpu;
    wall = sona_tools_now_ns() - wall;
    sona_bench_report_value(bench, entry->name, "%", 100 * (double)cpu / (double)wall,
                            "of one processor, one client attached, nothing to do");
    sona_bench_live_close(bench); /* its shape names a text that is gone */
}

/* Bytes of a line "Private_Clean:   12 kB" of the process's sums. */
static double smaps(const struct sona_bench_live *live, const char *key)
{
    char path[64], line[128];
    double bytes = 0, kib;
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)live->sidecar.pid);
    file = fopen(path, "r");
    if (!file)
        return (double)NAN;
    while (fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0 && sscanf(line + strlen(key), "%lf", &kib) == 1)
            bytes += kib * 1024;
    (void)fclose(file);
    return bytes;
}

static void preset(struct sona_bench *bench, const char *name, const char *argument)
{
    struct sona_bench_shape shape = {
        .dim = DIM, .routes = 3, .preset = argument, .learned = bench->quick ? 300 : 1000};
    struct sona_bench_live *live = sona_bench_live_get(bench, &shape);
    char row[SONA_BENCH_NAME_MAX];
    double bytes = smaps(live, "Private_Dirty:");
    char note[160];

    (void)snprintf(row, sizeof row, "memory/preset/%s", name);
    /* Clean pages are those of files: private or not as others happen to map them. */
    (void)snprintf(note, sizeof note,
                   "written by a sidecar that has learned, 256 dimensions; %.1f MB of its program "
                   "and libraries are mapped by nobody else",
                   smaps(live, "Private_Clean:") / 1e6);
    if (bytes > 0)
        sona_bench_report_value(bench, row, "bytes", bytes, note);
    sona_bench_live_close(bench);
}

static void presets(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    (void)entry;
    for (uint32_t i = 0; sona_config_preset_name(i) && !*bench->stop; i++) {
        char argument[64];

        if (bench->quick && strcmp(sona_config_preset_name(i), "default") != 0 &&
            strcmp(sona_config_preset_name(i), "edge_deployment") != 0)
            continue;
        (void)snprintf(argument, sizeof argument, "--preset=%s", sona_config_preset_name(i));
        preset(bench, sona_config_preset_name(i), argument);
    }
}

/* entry->a: dim */
static void lane(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    sona_geometry g = {.dim = entry->a, .attention_dim = 64};
    double record = sona_record_stride(&g);

    sona_bench_report_value(bench, entry->name, "bytes",
                            record * SONA_SHM_RING_SLOTS + (double)sizeof(struct sona_shm_lane),
                            "shared, of one lane: 1,024 records and its words");
}

/* What one more decision or trajectory that waits takes, beside its embedding. */
static void waiting(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    sona_engine_memory few, many;
    sona_config config;
    double each;
    char note[SONA_BENCH_TEXT_MAX];

    sona_config_init(&config);
    config.embedding_dim = entry->a;
    config.trajectory_capacity = 10000;
    if (sona_engine_memory_of(&config, &few, NULL) != SONA_OK)
        sona_bench_die("the memory of a configuration is not known");
    config.trajectory_capacity = 20000;
    (void)sona_engine_memory_of(&config, &many, NULL);
    each = (double)(many.total - few.total) / 10000;
    (void)snprintf(note, sizeof note, "%u of them its embedding, %.0f beside it",
                   (unsigned)(entry->a * sizeof(float)), each - entry->a * sizeof(float));
    sona_bench_report_value(bench, entry->name, "bytes", each, note);
}

static uint64_t own_cpu(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A router without any rest, or one that tells `per_s` outcomes a second (0: no rest). */
struct flow {
    uint64_t decided, recorded, told, wall_ns, own_ns, cpu_ns, learned; /* own: of the router */
};

static void flow(struct sona_bench_live *live, uint64_t for_ns, double per_s, struct flow *ret)
{
    uint64_t begin = sona_tools_now_ns(), cpu = cpu_of(live), now = begin, last = begin;
    uint64_t before = sona_bench_live_counter(live, "learned");

    memset(ret, 0, sizeof *ret);
    ret->own_ns = own_cpu();
    for (begin = sona_tools_now_ns(); (now = sona_tools_now_ns()) - begin < for_ns;) {
        sona_decision d;

        /* No burst after a pause: a router that was away has no queries to catch up with. */
        if (per_s > 0 && (double)(now - last) < 1e9 / per_s)
            continue;
        last = now;
        sona_err err = sona_decide(live->lane, sona_bench_live_query(live), DIM, NULL, &d);

        ret->decided++;
        ret->recorded += err == SONA_OK;
        if (err == SONA_OK)
            ret->told += sona_outcome(live->lane, d.id, (float)(ret->decided % 2), NULL) == SONA_OK;
    }
    ret->wall_ns = sona_tools_now_ns() - begin;
    ret->own_ns = own_cpu() - ret->own_ns;
    sona_bench_live_drain(live);
    sona_bench_live_settle(live, false);
    ret->cpu_ns = cpu_of(live) - cpu;
    ret->learned = sona_bench_live_counter(live, "learned") - before;
}

static void end_to_end(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    struct sona_bench_live *live =
        sona_bench_live_get(bench, &(struct sona_bench_shape){.dim = DIM, .routes = 9});
    uint64_t for_ns = bench->quick ? 100000000u : 3000000000u;
    struct flow f;
    char note[SONA_BENCH_TEXT_MAX];
    double rate, share;

    (void)entry;
    flow(live, for_ns, 0, &f);
    (void)snprintf(note, sizeof note, "%.1f %% of the decisions learned from, %.1f %% dropped",
                   100 * (double)f.learned / (double)f.decided,
                   100 * (double)(f.decided - f.told) / (double)f.decided);
    sona_bench_report_value(bench, "e2e/router", "1/s", (double)f.decided / (double)f.wall_ns * 1e9,
                            note);
    sona_bench_report_value(bench, "e2e/router/cpu", "1/s",
                            (double)f.decided / (double)f.own_ns * 1e9,
                            "for each second of processor that the router's thread had");
    rate = (double)f.learned / (double)f.wall_ns * 1e9;
    share = (double)f.cpu_ns / (double)f.wall_ns;
    (void)snprintf(note, sizeof note,
                   "learned with the ring always full; the sidecar had %.2f cores", share);
    sona_bench_report_value(bench, "e2e/learned", "1/s", rate, note);
    sona_bench_report_value(bench, "e2e/learned/core", "1/s",
                            (double)f.learned / (double)f.cpu_ns * 1e9,
                            "for each second of processor that the sidecar took");
    /* Half of what it managed while the router took all it could get of the machine. */
    flow(live, for_ns, rate / 2, &f);
    (void)snprintf(note, sizeof note, "asked %.0f, decided %.0f, learned %.0f a second", rate / 2,
                   (double)f.decided / (double)f.wall_ns * 1e9,
                   (double)f.learned / (double)f.wall_ns * 1e9);
    sona_bench_report_value(bench, "e2e/paced/drops", "events", (double)(f.decided - f.told), note);
}

/* entry->a: thousands of outcomes in the journal: how long until a killed sidecar is back. */
static void journal(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    char dir[] = "/tmp/sona-bench-XXXXXX", argument[64], command[64];
    struct sona_bench_shape shape = {
        .dim = DIM, .routes = 9, .learned = bench->quick ? 200 : 1000 * entry->a};
    struct sona_bench_histogram *h = sona_bench_memory(sizeof *h);
    struct sona_bench_live *live;
    struct sona_bench_row row;

    if (!mkdtemp(dir))
        sona_bench_die("no directory for a journal can be made in /tmp");
    (void)snprintf(argument, sizeof argument, "--state-dir=%s", dir);
    shape.more[0] = argument;
    live = sona_bench_live_get(bench, &shape);
    sona_bench_histogram_clear(h);
    for (uint32_t i = 0; i < (bench->quick ? 1u : 5u); i++) {
        sona_spawn_kill(&live->sidecar);
        uint64_t start = sona_tools_now_ns();

        sona_bench_live_start(live);
        sona_bench_histogram_add(h, sona_tools_now_ns() - start);
    }
    sona_bench_row_times(&row, entry->name, h, 1, 1, false);
    (void)snprintf(row.note, sizeof row.note, "from exec to ready, after SIGKILL");
    bench->report(bench, &row);
    sona_bench_live_close(bench);
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    if (system(command) != 0)
        sona_bench_die("%s cannot be removed", dir);
    free(h);
}

/* entry->a: further clients, attached and quiet; a call and its way to a snapshot */
static void clients(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    struct sona_bench_live *live =
        sona_bench_live_get(bench, &(struct sona_bench_shape){.dim = DIM, .routes = 9});
    sona_client *more[64] = {NULL};
    sona_client_options options = {.instance = live->sidecar.instance,
                                   .runtime_dir = live->sidecar.runtime_dir,
                                   .lanes = 1,
                                   .timeout_ms = 20000};
    struct sona_bench_histogram *h = sona_bench_memory(sizeof *h);
    struct sona_bench_row row;
    uint64_t cpu, told = 0, end;
    sona_diag diag;

    for (uint32_t i = 0; i + 1 < entry->a; i++)
        if (sona_client_open(&more[i], &options, &diag) != SONA_OK)
            sona_bench_die("%s", diag.text);
    sona_bench_histogram_clear(h);
    cpu = cpu_of(live);
    for (end = sona_tools_now_ns() + (bench->quick ? 50000000u : 1000000000u);
         sona_tools_now_ns() < end; told++) {
        sona_version_info before = {0}, now = {0};
        sona_decision d;
        uint64_t start;

        (void)sona_version_of(live->lane, &before);
        if (sona_decide(live->lane, sona_bench_live_query(live), DIM, NULL, &d) != SONA_OK)
            sona_bench_die("a query was not decided");
        start = sona_tools_now_ns();
        (void)sona_outcome(live->lane, d.id, (float)(told % 2), NULL);
        do
            (void)sona_version_of(live->lane, &now);
        while (now.step == before.step && sona_tools_now_ns() - start < 1000000000u);
        sona_bench_histogram_add(h, sona_tools_now_ns() - start);
    }
    cpu = cpu_of(live) - cpu;
    sona_bench_row_times(&row, entry->name, h, 1, 1, true);
    (void)snprintf(row.note, sizeof row.note,
                   "outcome to visible; the sidecar took %.1f us of processor for each",
                   (double)cpu / (double)told / 1000);
    bench->report(bench, &row);
    for (uint32_t i = 0; i + 1 < entry->a; i++)
        sona_client_close(&more[i]);
    free(h);
}

const struct sona_bench_entry sona_bench_host_entries[] = {
    {"idle/100us", idle, 100, 0, 0, false, "processor of an idle sidecar that naps 100 us at most"},
    {"idle/1000us", idle, 1000, 0, 0, false, "1 ms, the default"},
    {"idle/10000us", idle, 10000, 0, 0, false, "10 ms"},
    {"memory/preset", presets, 0, 0, 0, false, "private memory of a sidecar, by preset"},
    {"memory/lane/256", lane, 256, 0, 0, false, "shared memory of a lane"},
    {"memory/lane/1536", lane, 1536, 0, 0, false, ""},
    {"memory/trajectory/256", waiting, 256, 0, 0, false,
     "memory of a decision or trajectory that waits"},
    {"memory/trajectory/1536", waiting, 1536, 0, 0, false, ""},
    {"e2e", end_to_end, 0, 0, 0, false,
     "a router without rest, what a sidecar learns, and drops at half of that"},
    {"growth/visible/clients/1", clients, 1, 0, 0, true, ""},
    {"growth/visible/clients/4", clients, 4, 0, 0, true, ""},
    {"growth/visible/clients/16", clients, 16, 0, 0, true, ""},
    {"growth/visible/clients/64", clients, 64, 0, 0, true, ""},
    {"growth/restart/journal/1000", journal, 1, 0, 0, true, ""},
    {"growth/restart/journal/5000", journal, 5, 0, 0, true, ""},
    {"growth/restart/journal/20000", journal, 20, 0, 0, true, ""},
    {"growth/restart/journal/60000", journal, 60, 0, 0, true, ""},
    {NULL, NULL, 0, 0, 0, false, NULL},
};
