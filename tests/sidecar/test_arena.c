/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The pending arena: what was committed is there after the process is gone, whole and in order. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "sidecar/arena.h"
#include "tests/engine/dice.h"

#define PAYLOAD_MAX 2048u

static char dir[] = "/tmp/sona-arena-XXXXXX";
static char path[64];

static void make_dir(void)
{
    cr_assert(mkdtemp(dir) != NULL);
    (void)snprintf(path, sizeof path, "%s/one.arena", dir);
}

static void remove_dir(void)
{
    (void)unlink(path);
    (void)rmdir(dir);
}

TestSuite(arena, .init = make_dir, .fini = remove_dir);

static struct sona_sidecar_arena_options small(void)
{
    return (struct sona_sidecar_arena_options){
        .path = path, .meaning = 7, .checkpoint_bytes = 64, .ring_bytes = 1};
}

static struct sona_sidecar_arena *open_small(enum sona_sidecar_arena_found expected)
{
    struct sona_sidecar_arena_options options = small();
    struct sona_sidecar_arena *arena = NULL;
    enum sona_sidecar_arena_found found;
    sona_diag diag = {.text = ""};

    cr_assert(eq(int, sona_sidecar_arena_open(&arena, &options, &found, &diag), SONA_OK), "%s",
              diag.text);
    cr_assert(eq(int, found, expected));
    return arena;
}

/* The state is the number of the last entry. */
static uint64_t state_of(const struct sona_sidecar_arena *arena)
{
    size_t bytes;
    const void *state = sona_sidecar_arena_checkpoint(arena, &bytes);
    uint64_t ret = 0;

    if (state) {
        cr_assert(eq(sz, bytes, sizeof ret));
        memcpy(&ret, state, sizeof ret);
    }
    return ret;
}

static void checkpoint(struct sona_sidecar_arena *arena, uint64_t state)
{
    memcpy(sona_sidecar_arena_checkpoint_begin(arena), &state, sizeof state);
    sona_sidecar_arena_checkpoint_commit(arena, sizeof state);
}

/* Entry n has a length and bytes that follow from n. */
static uint32_t length_of(uint64_t n)
{
    return (uint32_t)(n * 2654435761u % PAYLOAD_MAX);
}

static void append(struct sona_sidecar_arena *arena, uint64_t n)
{
    struct sona_sidecar_entry *e = sona_sidecar_arena_reserve(arena, 1, length_of(n));

    if (!e) {
        checkpoint(arena, n - 1);
        e = sona_sidecar_arena_reserve(arena, 1, length_of(n));
    }
    e->seq = n;
    memset(sona_sidecar_entry_payload(e), (int)(n % 251), length_of(n));
    sona_sidecar_arena_commit(arena);
}

static bool is_whole(const struct sona_sidecar_entry *e)
{
    const unsigned char *at = sona_sidecar_entry_payload(e);

    for (uint32_t i = 0; i < length_of(e->seq); i++)
        if (at[i] != e->seq % 251)
            return false;
    return e->kind == 1;
}

/* The number of the last entry; every one since the checkpoint is there, whole and in order. */
static uint64_t last_of(const struct sona_sidecar_arena *arena)
{
    uint64_t n = state_of(arena);

    for (const struct sona_sidecar_entry *e = NULL;
         (e = sona_sidecar_arena_next(arena, e)) != NULL;) {
        cr_assert(eq(u64, e->seq, ++n));
        cr_assert(is_whole(e), "entry %llu", (unsigned long long)n);
    }
    return n;
}

Test(arena, what_was_committed_is_read_back_over_many_laps)
{
    struct sona_sidecar_arena *arena = open_small(SONA_SIDECAR_ARENA_NEW);
    uint64_t n = 0;

    cr_assert(eq(u64, last_of(arena), 0));
    for (int process = 0; process < 40; process++) {
        for (int i = 0; i < 100 * process; i++)
            append(arena, ++n);
        if (process % 3 == 0)
            checkpoint(arena, n);
        sona_sidecar_arena_close(&arena, false);
        arena = open_small(SONA_SIDECAR_ARENA_KEPT);
        cr_assert(eq(u64, last_of(arena), n));
    }
    cr_assert(gt(u64, n * PAYLOAD_MAX / 2, 50ull * SONA_SIDECAR_ARENA_RING_MIN), "laps");
    sona_sidecar_arena_close(&arena, true);
    cr_assert(eq(int, access(path, F_OK), -1));
}

Test(arena, an_entry_that_was_not_committed_is_not_there)
{
    struct sona_sidecar_arena *arena = open_small(SONA_SIDECAR_ARENA_NEW);
    struct sona_sidecar_entry *e;

    append(arena, 1);
    e = sona_sidecar_arena_reserve(arena, 1, length_of(2));
    e->seq = 2;
    sona_sidecar_arena_close(&arena, false);
    arena = open_small(SONA_SIDECAR_ARENA_KEPT);
    cr_assert(eq(u64, last_of(arena), 1));
    sona_sidecar_arena_close(&arena, true);
}

/* A checkpoint that was begun changes nothing until it is committed. */
Test(arena, a_checkpoint_that_was_not_committed_is_not_there)
{
    struct sona_sidecar_arena *arena = open_small(SONA_SIDECAR_ARENA_NEW);

    for (uint64_t n = 1; n <= 10; n++)
        append(arena, n);
    for (int i = 0; i < 3; i++) {
        uint64_t wrong = 999;

        memcpy(sona_sidecar_arena_checkpoint_begin(arena), &wrong, sizeof wrong);
        sona_sidecar_arena_close(&arena, false);
        arena = open_small(SONA_SIDECAR_ARENA_KEPT);
        cr_assert(eq(u64, last_of(arena), 10));
        checkpoint(arena, 10);
    }
    sona_sidecar_arena_close(&arena, true);
}

/* Clients choose what payloads hold: here every word is one that an entry could begin with. */
Test(arena, bytes_of_an_older_lap_are_never_taken_for_an_entry)
{
    struct dice dice = dice_open("bytes_of_an_older_lap_are_never_taken_for_an_entry");
    struct sona_sidecar_arena *arena = open_small(SONA_SIDECAR_ARENA_NEW);
    uint64_t n = 0;

    for (int process = 0; process < 300; process++) {
        uint32_t entries = 1 + dice_below(&dice, 200);

        for (uint32_t i = 0; i < entries; i++) {
            uint32_t words = 8 * (1 + dice_below(&dice, 30));
            struct sona_sidecar_entry *e = sona_sidecar_arena_reserve(arena, 1, 8 * words);
            uint64_t *at;

            if (!e) {
                checkpoint(arena, n);
                e = sona_sidecar_arena_reserve(arena, 1, 8 * words);
            }
            e->seq = ++n;
            at = sona_sidecar_entry_payload(e);
            for (uint32_t w = 0; w < words; w += 8) {
                struct sona_sidecar_entry forged = {.bytes = 64, .kind = 1, .seq = 12345};

                memcpy(at + w, &forged, sizeof forged);
            }
            sona_sidecar_arena_commit(arena);
            /* Now its own position is known; write the next lap's over the forged ones. */
            for (uint32_t w = 0; w < words; w += 8)
                at[w] = e->position + 64 + 8 * w + SONA_SIDECAR_ARENA_RING_MIN;
        }
        sona_sidecar_arena_close(&arena, false);
        arena = open_small(SONA_SIDECAR_ARENA_KEPT);
        uint64_t last = state_of(arena);
        for (const struct sona_sidecar_entry *e = NULL;
             (e = sona_sidecar_arena_next(arena, e)) != NULL;)
            cr_assert(eq(u64, e->seq, ++last), "seed %llu", (unsigned long long)dice.seed);
        cr_assert(eq(u64, last, n), "seed %llu", (unsigned long long)dice.seed);
    }
    sona_sidecar_arena_close(&arena, true);
}

static _Noreturn void append_until_killed(uint64_t from, _Atomic uint64_t *done)
{
    struct sona_sidecar_arena_options options = small();
    struct sona_sidecar_arena *arena;
    enum sona_sidecar_arena_found found;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (sona_sidecar_arena_open(&arena, &options, &found, NULL) != SONA_OK)
        _exit(1);
    for (uint64_t n = from + 1;; n++) {
        append(arena, n);
        atomic_store_explicit(done, n, memory_order_relaxed);
    }
}

Test(arena, a_killed_process_loses_nothing_that_it_committed)
{
    struct dice dice = dice_open("a_killed_process_loses_nothing_that_it_committed");
    _Atomic uint64_t *done =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t n = 0;

    cr_assert(done != MAP_FAILED);
    for (int round = 0; round < 100; round++) {
        uint64_t until = n + 1 + dice_below(&dice, 3000);
        struct sona_sidecar_arena *arena;
        int status;
        pid_t pid = fork();

        cr_assert(ge(int, pid, 0));
        if (pid == 0)
            append_until_killed(n, done);
        while (atomic_load_explicit(done, memory_order_relaxed) < until &&
               waitpid(pid, &status, WNOHANG) == 0)
            continue;
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, &status, 0);
        cr_assert(eq(int, WTERMSIG(status), SIGKILL));
        arena = open_small(SONA_SIDECAR_ARENA_KEPT);
        n = last_of(arena);
        sona_sidecar_arena_close(&arena, false);
        /* It may have been killed between the commit and its own note. */
        uint64_t noted = atomic_load_explicit(done, memory_order_relaxed);
        cr_assert(lt(u64, n - noted, 2), "%llu noted, %llu there, seed %llu",
                  (unsigned long long)noted, (unsigned long long)n, (unsigned long long)dice.seed);
    }
    (void)munmap(done, 4096);
}

/* What the file says decides, and nothing of it is used when it is not ours to read. */
Test(arena, another_meaning_another_start_and_a_broken_header_begin_anew)
{
    struct sona_sidecar_arena_options options = small();
    enum sona_sidecar_arena_found found;
    struct sona_sidecar_arena *arena = open_small(SONA_SIDECAR_ARENA_NEW);
    FILE *file;

    append(arena, 1);
    sona_sidecar_arena_close(&arena, false);
    options.meaning++;
    cr_assert(eq(int, sona_sidecar_arena_open(&arena, &options, &found, NULL), SONA_OK));
    cr_assert(eq(int, found, SONA_SIDECAR_ARENA_FOREIGN));
    cr_assert(eq(u64, last_of(arena), 0));
    sona_sidecar_arena_close(&arena, false);

    options.checkpoint_bytes *= 1000; /* another size of file */
    cr_assert(eq(int, sona_sidecar_arena_open(&arena, &options, &found, NULL), SONA_OK));
    cr_assert(eq(int, found, SONA_SIDECAR_ARENA_NEW));
    sona_sidecar_arena_close(&arena, true);

    arena = open_small(SONA_SIDECAR_ARENA_NEW);
    checkpoint(arena, 1);
    sona_sidecar_arena_close(&arena, false);
    file = fopen(path, "r+");
    cr_assert(eq(int, fseek(file, 32, SEEK_SET), 0)); /* the boot id */
    cr_assert(ne(int, fputc('!', file), EOF));
    cr_assert(zero(int, fclose(file)));
    arena = open_small(SONA_SIDECAR_ARENA_FOREIGN);
    cr_assert(eq(u64, last_of(arena), 0));
    sona_sidecar_arena_close(&arena, true);
}

Test(arena, a_file_that_others_can_use_or_a_link_is_refused)
{
    struct sona_sidecar_arena_options options = small();
    enum sona_sidecar_arena_found found;
    struct sona_sidecar_arena *arena = open_small(SONA_SIDECAR_ARENA_NEW);
    char elsewhere[80];
    sona_diag diag;

    sona_sidecar_arena_close(&arena, false);
    cr_assert(zero(int, chmod(path, 0644)));
    cr_assert(eq(int, sona_sidecar_arena_open(&arena, &options, &found, &diag), SONA_E_PERMISSION));
    cr_assert(strstr(diag.text, path) != NULL);
    (void)snprintf(elsewhere, sizeof elsewhere, "%s.elsewhere", path);
    cr_assert(zero(int, rename(path, elsewhere)));
    cr_assert(zero(int, symlink(elsewhere, path)));
    cr_assert(eq(int, sona_sidecar_arena_open(&arena, &options, &found, &diag), SONA_E_SYSTEM));
    (void)unlink(elsewhere);
}
