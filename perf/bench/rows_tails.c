/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The tails of a router's calls while something else goes on. Each call is timed by itself, in
 * short turns with the strain and without: what is seen without it, on the same machine in the same
 * second, is the floor. A row counts all turns; the ratio is that of the medians of a turn, and
 * its interval over the turns.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "perf/bench/strain.h"
#include "tools/sample.h"

#define DIM     256u
#define TURN_NS 60000000u
#define TURNS   24u
#define KILLS   8u
#define OPS     3u
#define REST_NS 2000000u /* a turn begins when the strain is under way */
#define DECIDED 64u

enum op { APPLY, DECIDE, FIND };
static const char *const op_name[OPS] = {"apply", "decide", "patterns"};

struct tails {
    struct sona_bench_live *live;
    struct sona_bench_strain strain;
    struct sona_bench_histogram all[2][OPS], turn[OPS]; /* [0] quiet, [1] with the strain */
    double median[2][OPS][TURNS];
    uint64_t full, decided;
    float y[DIM];
};

static uint64_t timed(struct tails *t, enum op op)
{
    const float *x = sona_bench_live_query(t->live);
    sona_pattern found[5];
    sona_decision d;
    uint32_t n;
    uint64_t start = sona_tools_now_ns();
    sona_err err = op == APPLY    ? sona_apply(t->live->lane, x, DIM, t->y, NULL)
                   : op == DECIDE ? sona_decide(t->live->lane, x, DIM, NULL, &d)
                                  : sona_find_patterns(t->live->lane, x, DIM, 5, found, &n);
    uint64_t ns = sona_tools_now_ns() - start;

    if (op == DECIDE) {
        t->decided++;
        t->full += err == SONA_E_FULL || err == SONA_E_DETACHED;
    }
    if (err != SONA_OK && err != SONA_E_FULL && err != SONA_E_DETACHED)
        sona_bench_die("a call was refused: %s", sona_err_text(err));
    return ns;
}

/* Nobody takes anything out of the lane while the sidecar is stopped or gone. */
static bool drained(const struct tails *t, bool on)
{
    return !on || (t->strain.kind != SONA_BENCH_STOPPED && t->strain.kind != SONA_BENCH_KILLED &&
                   t->strain.kind != SONA_BENCH_RESTARTED);
}

static void turn(struct tails *t, bool on, uint32_t at, uint64_t turn_ns)
{
    uint64_t begin;

    sona_bench_strain_switch(&t->strain, on);
    for (uint32_t op = 0; op < OPS; op++)
        sona_bench_histogram_clear(&t->turn[op]);
    for (begin = sona_tools_now_ns(); sona_tools_now_ns() - begin < REST_NS;)
        (void)timed(t, APPLY);
    for (uint32_t i = 0; sona_tools_now_ns() - begin < turn_ns; i++) {
        for (uint32_t op = 0; op < OPS; op++)
            sona_bench_histogram_add(&t->turn[op], timed(t, op));
        if (i % DECIDED == 0 && drained(t, on))
            sona_bench_live_drain(t->live);
    }
    if (on)
        sona_bench_strain_switch(&t->strain, false);
    for (uint32_t op = 0; op < OPS; op++) {
        sona_bench_histogram_merge(&t->all[on][op], &t->turn[op]);
        t->median[on][op][at] = sona_bench_histogram_percentile(&t->turn[op], 0.5);
    }
}

/* The row with the strain and, below its name, the one without. */
static void told(struct sona_bench *bench, const struct sona_bench_entry *entry, struct tails *t,
                 enum op op, uint32_t turns)
{
    struct sona_bench_row row;
    char name[SONA_BENCH_NAME_MAX];
    double ratio[TURNS];

    (void)snprintf(name, sizeof name, "%s/%s", entry->name, op_name[op]);
    sona_bench_row_times(&row, name, &t->all[1][op], 1, 1, true);
    for (uint32_t i = 0; i < turns; i++)
        ratio[i] = t->median[1][op][i] / t->median[0][op][i];
    row.floor_what = "without";
    row.floor_min = sona_bench_histogram_percentile(&t->all[0][op], 0);
    row.floor_p50 = sona_bench_histogram_percentile(&t->all[0][op], 0.5);
    row.ratio = sona_bench_median(ratio, turns, &row.low, &row.high);
    if (op == DECIDE)
        (void)snprintf(row.note, sizeof row.note, "%.1f %% of decisions not recorded",
                       100 * (double)t->full / (double)(t->decided + 1));
    else
        (void)snprintf(row.note, sizeof row.note, "%llu times it was under way",
                       (unsigned long long)t->strain.done);
    bench->report(bench, &row);
    (void)snprintf(name, sizeof name, "%s/%s/without", entry->name, op_name[op]);
    sona_bench_row_times(&row, name, &t->all[0][op], 1, 1, true);
    bench->report(bench, &row);
}

/* entry->a: which strain */
static void tails(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    struct tails *t = sona_bench_memory(sizeof *t);
    bool kills = entry->a == SONA_BENCH_KILLED || entry->a == SONA_BENCH_RESTARTED;
    uint32_t turns = bench->quick ? 2 : kills ? KILLS : TURNS;

    t->live = sona_bench_live_get(bench, &(struct sona_bench_shape){.dim = DIM, .routes = 9});
    for (uint32_t op = 0; op < OPS; op++) {
        sona_bench_histogram_clear(&t->all[0][op]);
        sona_bench_histogram_clear(&t->all[1][op]);
    }
    sona_bench_strain_init(&t->strain, t->live, (enum sona_bench_strain_kind)entry->a);
    for (uint32_t i = 0; i < turns && !*bench->stop; i++) {
        turn(t, false, i, TURN_NS);
        turn(t, true, i, TURN_NS);
    }
    sona_bench_strain_done(&t->strain);
    for (uint32_t op = 0; op < OPS; op++)
        told(bench, entry, t, op, turns);
    free(t);
}

/* One of several readers, each on its own lane: calls and the processor's time that they took. */
struct reader {
    struct sona_bench_live *live;
    pthread_t thread;
    sona_lane *lane;
    _Atomic bool *over;
    struct sona_bench_measured *measured;
    struct sona_bench_budget budget;
    float y[DIM];
};

static void run_reader(void *self, uint32_t n)
{
    struct reader *r = self;

    for (uint32_t i = 0; i < n; i++)
        (void)sona_apply_micro(r->lane, r->live->x, DIM, r->y, NULL);
}

static void *read_on(void *arg)
{
    struct reader *r = arg;
    struct sona_bench_side side = {
        .what = "reader", .run = run_reader, .self = r, .block = 200, .cpu = true};

    (void)sona_bench_measure(&side, 1, &r->budget, r->measured);
    return NULL;
}

/* Nanoseconds of a call, by the processor's time: median over blocks of all readers. */
static double read_together(struct sona_bench *bench, struct sona_bench_live *live, uint32_t n,
                            struct sona_bench_histogram *all)
{
    struct reader *readers = sona_bench_memory(n * sizeof *readers);
    struct sona_bench_measured *measured = sona_bench_memory(n * sizeof *measured);
    struct sona_bench_histogram *turn = sona_bench_memory(sizeof *turn);
    double median;

    sona_bench_histogram_clear(turn);
    for (uint32_t i = 0; i < n; i++) {
        sona_diag diag;

        readers[i].live = live;
        readers[i].measured = &measured[i];
        readers[i].budget = bench->budget;
        readers[i].budget.total_ns = 20000000;
        if (sona_lane_claim(live->client, &readers[i].lane, &diag) != SONA_OK)
            sona_bench_die("%s", diag.text);
    }
    for (uint32_t i = 0; i < n; i++)
        if (pthread_create(&readers[i].thread, NULL, read_on, &readers[i]) != 0)
            sona_bench_die("a thread cannot be started");
    for (uint32_t i = 0; i < n; i++) {
        (void)pthread_join(readers[i].thread, NULL);
        sona_lane_release(&readers[i].lane);
        sona_bench_histogram_merge(turn, &measured[i].ps);
    }
    sona_bench_histogram_merge(all, turn);
    median = sona_bench_histogram_percentile(turn, 0.5);
    free(readers);
    free(measured);
    free(turn);
    return median;
}

/* entry->a: readers at a time, in turns with one */
static void readers(struct sona_bench *bench, const struct sona_bench_entry *entry)
{
    struct sona_bench_live *live =
        sona_bench_live_get(bench, &(struct sona_bench_shape){.dim = DIM, .routes = 9});
    struct sona_bench_histogram *one = sona_bench_memory(sizeof *one),
                                *many = sona_bench_memory(sizeof *many);
    struct sona_bench_row row;
    double ratio[TURNS];
    uint32_t turns = bench->quick ? 3 : TURNS;

    sona_bench_histogram_clear(one);
    sona_bench_histogram_clear(many);
    for (uint32_t i = 0; i < turns; i++) {
        double alone = read_together(bench, live, 1, one);

        ratio[i] = read_together(bench, live, entry->a, many) / alone;
    }
    sona_bench_row_times(&row, entry->name, many, 1000, 200, false);
    row.floor_what = "one reader";
    row.floor_min = sona_bench_histogram_percentile(one, 0) / 1000;
    row.floor_p50 = sona_bench_histogram_percentile(one, 0.5) / 1000;
    row.ratio = sona_bench_median(ratio, turns, &row.low, &row.high);
    (void)snprintf(row.note, sizeof row.note, "sona_apply_micro(), by the processor's time");
    bench->report(bench, &row);
    free(one);
    free(many);
}

const struct sona_bench_entry sona_bench_tail_entries[] = {
    {"tail/publishing", tails, SONA_BENCH_PUBLISHING, 0, 0, false,
     "apply, decide, find_patterns while the sidecar publishes 1,000 times a second or more"},
    {"tail/cycles", tails, SONA_BENCH_CYCLES, 0, 0, false,
     "while it runs one background cycle after the other"},
    {"tail/neighbour", tails, SONA_BENCH_NEIGHBOUR, 0, 0, false,
     "while a thread for each processor streams through memory"},
    {"tail/stopped", tails, SONA_BENCH_STOPPED, 0, 0, false, "while the sidecar is stopped"},
    {"tail/killed", tails, SONA_BENCH_KILLED, 0, 0, false, "while it is gone"},
    {"tail/restarted", tails, SONA_BENCH_RESTARTED, 0, 0, false,
     "while it is killed and started, again and again"},
    {"readers/2", readers, 2, 0, 0, false, "a call among 2 readers, and of one alone"},
    {"readers/4", readers, 4, 0, 0, false, ""},
    {"readers/8", readers, 8, 0, 0, false, ""},
    {NULL, NULL, 0, 0, 0, false, NULL},
};
