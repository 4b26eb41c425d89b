/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * kill -9 at random moments: a child appends, groups, saves and checkpoints; what it acknowledged
 * before the end is there afterwards, once. The same store goes on through all kills.
 */
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tests/engine/dice.h"
#include "tests/sidecar/store/store_fixture.h"

#define KILLS 60

/* What the child tells before it dies. */
struct told {
    _Atomic uint64_t acknowledged; /* release, after append returned */
    _Atomic uint64_t generation;
};

TestSuite(kill, .init = fixture_setup, .fini = fixture_teardown);

static struct sona_store_options options_of(int round)
{
    struct sona_store_options options = fixture_options();

    options.wal_bytes = 256u << 10;
    options.durability = round % 3;
    options.commit_ms = round % 4 == 0 ? 1000 : 1; /* a long one leaves more in the log */
    options.commit_records = round % 4 == 0 ? 100000 : 64;
    options.generations = 2;
    return options;
}

static _Noreturn void live(int round, struct told *told)
{
    struct sona_store_options options = options_of(round);
    struct sona_store *store = NULL;
    static uint8_t state[100000];

    if (sona_store_open(&store, &options, NULL) != SONA_OK)
        _exit(1);
    for (uint64_t n = sona_store_positions(store).appended + 1;; n++) {
        uint64_t number;

        while (fixture_append(store, n) == SONA_E_FULL)
            (void)usleep(100);
        /* Release: the parent, after waitpid, sees at least this. */
        atomic_store_explicit(&told->acknowledged, n, memory_order_release);
        if (n % 5000 == 0 && sona_store_generation_save(store, n, state, sizeof state, false,
                                                        &number, NULL) == SONA_OK)
            atomic_store_explicit(&told->generation, number, memory_order_release);
    }
}

Test(kill, at_any_moment_loses_and_doubles_nothing_acknowledged, .timeout = 280)
{
    struct told *told = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct dice dice = dice_open("kill");
    uint64_t recovered = 0, rows = 0;

    cr_assert(ne(ptr, told, MAP_FAILED));
    for (int round = 0; round < KILLS; round++) {
        struct sona_store_options options = options_of(round);
        struct sona_store_generation g;
        struct sona_store_stats stats;
        int status;
        pid_t pid = fork();

        if (pid == 0)
            live(round, told);
        (void)usleep(dice_below(&dice, 120000));
        (void)kill(pid, SIGKILL);
        cr_assert(eq(i64, waitpid(pid, &status, 0), pid));
        cr_assert(eq(int, WIFSIGNALED(status), 1));
        struct sona_store *store = fixture_open(&options);
        rows = sona_store_positions(store).committed;
        uint64_t told_rows = atomic_load_explicit(&told->acknowledged, memory_order_acquire);
        cr_assert(ge(u64, rows, told_rows));
        cr_assert(le(u64, rows, told_rows + 1), "one may be appended and not yet told");
        sona_store_stats(store, &stats);
        recovered += stats.recovered;
        cr_assert(eq(u64, stats.dropped, 0));
        uint64_t generation = atomic_load_explicit(&told->generation, memory_order_acquire);
        void *bytes = NULL;
        if (generation > 0) {
            cr_assert(
                eq(int, sona_store_generation_read(store, 0, &g, &bytes, &fixture_diag), SONA_OK));
            cr_assert(ge(u64, g.number, generation));
            free(bytes);
        }
        sona_store_close(&store);
    }
    struct sona_store_options options = options_of(0);
    struct sona_store *store = fixture_open(&options);
    struct fixture_seen seen = {.first = 1};
    /* Thinned rows are not what was appended: look behind those. */
    struct sona_store_stats stats;
    sona_store_stats(store, &stats);
    seen.last = stats.thinned_position;
    sona_err err = sona_store_replay(store, seen.last + 1, fixture_see, &seen, &fixture_diag);
    cr_expect(eq(int, err, SONA_OK), "%s", fixture_diag.text);
    cr_expect(eq(u64, seen.wrong, 0));
    cr_expect(eq(u64, seen.last, rows));
    cr_expect(eq(u32, fixture_findings(store), 0), "%s", fixture_notices);
    cr_log_info("%d kills: %llu records, %llu of them through the log at open", KILLS,
                (unsigned long long)rows, (unsigned long long)recovered);
    cr_expect(gt(u64, recovered, 0), "some kills came before the group was committed");
    sona_store_close(&store);
}
