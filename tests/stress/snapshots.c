/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * One publisher, several readers, one segment: every accepted read is exactly one published pair.
 *     snapshots [SECONDS [SEED]]
 *
 * A hot image says its step, the step of the cold half it belongs to, and a sum over all its words;
 * a cold image its step and a sum. Readers copy, validate, and only then judge the copy. Rounds:
 *   roomy   more slots than readers: nothing is revoked, no read is thrown away by validation
 *   cramped fewer slots than readers, a lease of 1 ms, readers that rest while they hold a pin:
 *           slots are revoked under them, and validation must catch it (left out under
 *           ThreadSanitizer: these races are the protocol's contract, see shm/reader.h)
 * each in both fence modes, where membarrier works.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shm/publisher.h"
#include "shm/reader.h"
#include "shm/wire.h"
#include "tap.h"

#define READERS    6u
#define ROWS       16u
#define ROW_WORDS  16u
#define HEAD_WORDS 16u
#define HOT_WORDS  (HEAD_WORDS + ROWS * ROW_WORDS)
#define COLD_WORDS 256u

enum { STEP, COLD_STEP, SUM };

struct round {
    const char *name;
    uint32_t hot_slots, cold_slots, lease_ms;
    bool full_fence, rest;
};

struct reader {
    struct sona_shm_reader view;
    _Atomic uint64_t *hazard;
    const struct round *round;
    uint64_t random;
    uint64_t accepted, torn, backwards, again, thrown_away, thrown_torn, empty;
};

static _Atomic bool stop;

static uint64_t sum_of(const uint64_t *words, size_t n)
{
    uint64_t sum = 1;

    for (size_t i = 0; i < n; i++)
        if (i != SUM)
            sum = sum * 31 + words[i];
    return sum;
}

/* Read one pair into private memory and judge it when it was accepted. */
static void read_once(struct reader *r, uint64_t *last)
{
    uint64_t hot[HOT_WORDS], cold[COLD_WORDS];
    struct sona_shm_pin pin;
    int got = sona_shm_pin(&r->view, r->hazard, &pin);

    r->again += got < 0;
    r->empty += got == 0;
    if (got > 0) {
        memcpy(hot, pin.hot, sizeof hot);
        if (r->round->rest && tap_random(&r->random) % 64 == 0)
            (void)usleep(3000);
        memcpy(cold, pin.cold, sizeof cold);
        bool valid = sona_shm_validate(&pin, SONA_SHM_USE_HOT | SONA_SHM_USE_COLD);
        bool torn = hot[SUM] != sum_of(hot, HOT_WORDS) || cold[SUM] != sum_of(cold, COLD_WORDS) ||
                    hot[COLD_STEP] != cold[STEP];

        if (valid) {
            r->accepted++;
            r->torn += torn;
            r->backwards += pin.id < *last;
            *last = pin.id;
        } else {
            r->thrown_away++;
            r->thrown_torn += torn;
        }
    }
    sona_shm_unpin(r->hazard);
}

static void *read_until_stop(void *arg)
{
    uint64_t last = 0;

    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        read_once(arg, &last);
    return NULL;
}

/* The learner's image: a few rows change at every step. */
struct source {
    uint64_t hot[HOT_WORDS];
    uint64_t changed_at[ROWS];
    uint64_t step, cold_step, pending_cold, random;
    struct sona_shm_image image;
};

static void source_init(struct source *s, uint64_t seed)
{
    memset(s, 0, sizeof *s);
    s->random = seed;
    s->image = (struct sona_shm_image){
        .bytes = s->hot,
        .size = sizeof s->hot,
        .dense_bytes = HEAD_WORDS * 8,
        .n_tables = 1,
        .table[0] = {.offset = HEAD_WORDS * 8,
                     .stride = ROW_WORDS * 8,
                     .count = ROWS,
                     .changed_at = s->changed_at},
    };
}

static void source_advance(struct source *s, bool with_cold)
{
    s->step++;
    for (uint32_t r = 0; r < ROWS; r++) {
        if (tap_random(&s->random) % 4 != 0)
            continue;
        for (uint32_t w = 0; w < ROW_WORDS; w++)
            s->hot[HEAD_WORDS + r * ROW_WORDS + w] = s->step * 1000 + r;
        s->changed_at[r] = s->step;
    }
    if (with_cold)
        s->cold_step = s->step;
    s->hot[STEP] = s->image.step = s->step;
    s->hot[COLD_STEP] = s->cold_step;
    s->hot[SUM] = sum_of(s->hot, HOT_WORDS);
}

static void fill_cold(uint64_t *cold, uint64_t step)
{
    for (uint32_t w = 0; w < COLD_WORDS; w++)
        cold[w] = step * 77 + w;
    cold[STEP] = step;
    cold[SUM] = sum_of(cold, COLD_WORDS);
}

struct totals {
    uint64_t published, coalesced, revoked, postponed;
};

/* Publish as fast as it goes until the time is over; every 5th time with a new cold half. */
static void publish_until(struct sona_shm_publisher *p, struct source *s, uint64_t end_ms,
                          bool clock_runs, struct totals *t)
{
    for (uint64_t n = 0; tap_now_ms() < end_ms; n++) {
        uint64_t now = clock_runs ? tap_now_ms() : 0;
        struct sona_shm_published published;
        uint64_t *cold = n % 5 == 0 ? sona_shm_publisher_reserve_cold(p, now) : NULL;

        t->postponed += n % 5 == 0 && !cold;
        source_advance(s, cold != NULL);
        if (cold)
            fill_cold(cold, s->step);
        do {
            sona_shm_publisher_publish(p, &s->image, cold != NULL, now, &published);
            now = clock_runs ? tap_now_ms() : 0;
            t->coalesced += published.id == 0;
        } while (published.id == 0 && cold); /* the fold is not forgotten */
        t->published += published.id != 0;
        t->revoked += published.revoked;
    }
}

static bool open_segment(const struct round *round, struct sona_shm_publisher **ret,
                         struct sona_shm_plan *plan)
{
    static uint64_t later; /* ids of one round are beyond those of the round before */
    char instance[48];
    struct timespec t;
    sona_diag diag = {.text = ""};

    (void)clock_gettime(CLOCK_REALTIME, &t);
    (void)snprintf(instance, sizeof instance, "stress-%d", (int)getpid());
    later += UINT64_C(3600000000);
    struct sona_shm_segment_options options = {
        .instance = instance,
        .geometry = {.dim = 16, .routes_max = 1, .layers = 1, .patterns_max = 1},
        .hot_bytes = HOT_WORDS * 8,
        .cold_bytes = COLD_WORDS * 8,
        .hot_slots = round->hot_slots,
        .cold_slots = round->cold_slots,
        .ring_slots = 16,
        .lease_ms = round->lease_ms,
        .wall_us = (uint64_t)t.tv_sec * 1000000 + later,
    };
    if (sona_shm_publisher_create(ret, &options, &diag) != SONA_OK) {
        (void)printf("# %s\n", diag.text);
        return false;
    }
    return sona_shm_header_plan(sona_shm_publisher_header(*ret), READERS, plan) == SONA_OK;
}

static void reader_init(struct reader *r, const struct round *round, const char *map, char *lane,
                        const struct sona_shm_plan *plan, uint64_t seed)
{
    *r = (struct reader){
        .view = {.live = (const void *)(map + SONA_SHM_PAGE),
                 .hot = map + plan->hot_offset,
                 .cold = map + plan->cold_offset,
                 .hot_stride = plan->hot_stride,
                 .cold_stride = plan->cold_stride,
                 .hot_slots = plan->hot_slots,
                 .cold_slots = plan->cold_slots,
                 .full_fence = round->full_fence},
        .hazard = &((struct sona_shm_lane *)(void *)lane)->hazard,
        .round = round,
        .random = seed,
    };
}

static void report(struct tap *tap, const struct round *round, const struct reader *readers,
                   const struct totals *t)
{
    struct reader all = {.accepted = 0};

    for (uint32_t i = 0; i < READERS; i++) {
        all.accepted += readers[i].accepted;
        all.torn += readers[i].torn;
        all.backwards += readers[i].backwards;
        all.again += readers[i].again;
        all.thrown_away += readers[i].thrown_away;
        all.thrown_torn += readers[i].thrown_torn;
        all.empty += readers[i].empty;
    }
    (void)printf(
        "# %s %s: published %llu, coalesced %llu, revoked %llu, postponed %llu; pinned anew "
        "%llu, thrown away %llu of which torn %llu\n",
        round->name, round->full_fence ? "FULL" : "ASYM", (unsigned long long)t->published,
        (unsigned long long)t->coalesced, (unsigned long long)t->revoked,
        (unsigned long long)t->postponed, (unsigned long long)all.again,
        (unsigned long long)all.thrown_away, (unsigned long long)all.thrown_torn);
    tap_ok(tap, all.torn == 0 && all.accepted > 0, "%s %s: torn %llu of %llu accepted reads",
           round->name, round->full_fence ? "FULL" : "ASYM", (unsigned long long)all.torn,
           (unsigned long long)all.accepted);
    tap_ok(tap, all.backwards == 0 && all.empty == 0, "%s: versions never go back, never away",
           round->name);
    if (round->rest)
        tap_ok(tap, t->revoked > 0 && all.thrown_away > 0,
               "%s: slots were taken from readers, and validation noticed", round->name);
    else
        tap_ok(tap, t->revoked == 0 && all.thrown_away == 0,
               "%s: with enough slots nobody is disturbed", round->name);
}

static void run(struct tap *tap, const struct round *round, double seconds, uint64_t seed)
{
    struct sona_shm_publisher *publisher;
    struct sona_shm_plan plan;
    struct reader readers[READERS];
    pthread_t thread[READERS];
    struct source *source = malloc(sizeof *source);
    struct totals totals = {0, 0, 0, 0};
    uint64_t *cold;

    if (!source || !open_segment(round, &publisher, &plan)) {
        tap_ok(tap, false, "%s: the segment opens", round->name);
        return;
    }
#ifdef SONA_TSAN
    /* It knows memory by its address: readers look at the publisher's own map. */
    const char *map = (const char *)sona_shm_publisher_live(publisher) - SONA_SHM_PAGE;
#else
    char *map =
        mmap(NULL, plan.model_bytes, PROT_READ, MAP_SHARED, sona_shm_publisher_fd(publisher), 0);
#endif
    char *lanes =
        mmap(NULL, plan.lanes_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    (void)sona_shm_publisher_scan_add(publisher, lanes, &plan);
    source_init(source, seed);
    source_advance(source, true);
    if ((cold = sona_shm_publisher_reserve_cold(publisher, 0))) {
        struct sona_shm_published first;

        fill_cold(cold, source->step);
        sona_shm_publisher_publish(publisher, &source->image, true, 0, &first);
    }
    atomic_store(&stop, false);
    for (uint32_t i = 0; i < READERS; i++) {
        reader_init(&readers[i], round, map, lanes + plan.lane_offset + i * plan.lane_stride, &plan,
                    seed + i + 1);
        (void)pthread_create(&thread[i], NULL, read_until_stop, &readers[i]);
    }
    publish_until(publisher, source, tap_now_ms() + (uint64_t)(seconds * 1000), round->rest,
                  &totals);
    atomic_store(&stop, true);
    for (uint32_t i = 0; i < READERS; i++)
        (void)pthread_join(thread[i], NULL);
    report(tap, round, readers, &totals);
    sona_shm_publisher_scan_remove(publisher, lanes);
#ifndef SONA_TSAN
    (void)munmap(map, plan.model_bytes);
#endif
    (void)munmap(lanes, plan.lanes_bytes);
    sona_shm_publisher_destroy(&publisher, true);
    free(source);
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 2;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)getpid() * 2654435761u + 1;
    struct tap tap = {0, 0};
#ifdef SONA_TSAN
    bool asymmetric = false; /* membarrier is invisible to it */
#else
    bool asymmetric = sona_shm_membarrier_available() && sona_shm_membarrier_register();
#endif

    (void)printf("# seed %llu\n", (unsigned long long)seed);
    for (int full = asymmetric ? 0 : 1; full < 2; full++) {
        const struct round roomy = {.name = "roomy",
                                    .hot_slots = SONA_SHM_HOT_MAX,
                                    .cold_slots = SONA_SHM_COLD_MAX,
                                    .lease_ms = 1000,
                                    .full_fence = full != 0};
        const struct round cramped = {.name = "cramped",
                                      .hot_slots = 3,
                                      .cold_slots = 3,
                                      .lease_ms = 1,
                                      .full_fence = full != 0,
                                      .rest = true};

        run(&tap, &roomy, seconds, seed);
#ifndef SONA_TSAN
        run(&tap, &cramped, seconds, seed);
#else
        (void)cramped;
#endif
    }
    return tap_done(&tap);
}
