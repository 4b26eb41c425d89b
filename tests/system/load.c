/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "load.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define QUERIES 64u

static void look_at_attachments(sona_client *client, struct load_count *count)
{
    sona_client_stats stats;

    if (sona_client_stats_get(client, &stats) == SONA_OK)
        atomic_store_explicit(&count->attachments, stats.attachments, memory_order_relaxed);
}

static void run(const struct stage *stage, struct load_count *count)
{
    static float x[QUERIES][STAGE_DIM];
    const sona_client_options options = {.instance = stage->spawn.instance,
                                         .runtime_dir = stage->spawn.runtime_dir,
                                         .dim = STAGE_DIM,
                                         .seed = 3};
    sona_client *client;
    sona_lane *lane;

    if (sona_client_open(&client, &options, NULL) != SONA_OK ||
        sona_lane_claim(client, &lane, NULL) != SONA_OK)
        _exit(1);
    for (uint64_t n = 0; n < QUERIES; n++)
        stage_query(n, x[n]);
    for (uint64_t n = 0; !atomic_load_explicit(&count->stop, memory_order_acquire); n++) {
        sona_decision d;
        sona_err err = sona_decide(lane, x[n % QUERIES], STAGE_DIM, NULL, &d);

        if (n % QUERIES == 0)
            look_at_attachments(client, count);
        if (err == SONA_E_DETACHED)
            atomic_store_explicit(&count->detached, true, memory_order_release);
        if (err != SONA_OK)
            continue;
        /* The count follows the commit: a kill in between leaves it one short. */
        atomic_fetch_add_explicit(&count->decisions, 1, memory_order_relaxed);
        do
            err = sona_outcome(lane, d.id, n % 3 == 0 ? 1 : 0, NULL);
        while (err == SONA_E_FULL && !atomic_load_explicit(&count->stop, memory_order_acquire));
        if (err == SONA_OK)
            atomic_fetch_add_explicit(&count->outcomes, 1, memory_order_relaxed);
    }
    (void)sona_client_stats_get(client, &count->stats);
    sona_lane_release(&lane);
    sona_client_close(&client);
    _exit(0);
}

void load_start(struct load *load, const struct stage *stage)
{
    load->count =
        mmap(NULL, sizeof *load->count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert(ne(ptr, load->count, MAP_FAILED));
    pid_t parent = getpid();
    load->pid = fork();
    cr_assert(ge(int, load->pid, 0));
    if (load->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves no load behind */
        if (getppid() != parent)
            _exit(1);
        run(stage, load->count);
    }
}

void load_await(const struct load *load, uint64_t outcomes)
{
    uint64_t end = stage_now_ms() + STAGE_LIMIT_MS;

    while (atomic_load_explicit(&load->count->outcomes, memory_order_relaxed) < outcomes) {
        cr_assert(
            lt(u64, stage_now_ms(), end), "the load committed only %llu outcomes",
            (unsigned long long)atomic_load_explicit(&load->count->outcomes, memory_order_relaxed));
        stage_pause();
    }
}

void load_await_attachment(const struct load *load, uint64_t attachments)
{
    uint64_t end = stage_now_ms() + STAGE_LIMIT_MS;

    while (atomic_load_explicit(&load->count->attachments, memory_order_relaxed) < attachments) {
        cr_assert(lt(u64, stage_now_ms(), end), "the load never found sidecar %llu",
                  (unsigned long long)attachments);
        stage_pause();
    }
}

static int reap(struct load *load)
{
    int status = -1;

    while (waitpid(load->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    load->pid = 0;
    return status;
}

void load_kill(struct load *load)
{
    cr_assert(eq(int, kill(load->pid, SIGKILL), 0));
    (void)reap(load);
}

void load_stop(struct load *load)
{
    atomic_store_explicit(&load->count->stop, true, memory_order_release);
    cr_assert(eq(int, reap(load), 0), "the load failed");
}
