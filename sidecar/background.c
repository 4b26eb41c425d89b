/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See background.h. The thread is nice: where cores are few, drains and feedback come first. */
#include "sidecar/background.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine/learner/learner.h"
#include "shm/diag.h"
#include "sidecar/clock.h"

#define NICENESS 10
#define NAP_US   1000000u

enum phase { IDLE, RUNNING, DONE, QUIT };

struct sona_sidecar_background {
    pthread_t thread;
    struct sona_sidecar_wake wake, *done;
    /* RUNNING: release by give, acquire by the thread: the job's input is complete. DONE: release
     * by the thread, acquire by take: its output is. QUIT ends the thread. */
    _Atomic int phase;
    struct sona_learner_job *job;
    double ms;
};

static void *background_loop(void *arg)
{
    struct sona_sidecar_background *b = arg;

    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICENESS); /* of this thread */
    for (;;) {
        int phase = atomic_load_explicit(&b->phase, memory_order_acquire);

        if (phase == QUIT)
            return NULL;
        if (phase == RUNNING) {
            uint64_t start_us = sona_sidecar_now_us();

            sona_learner_cycle_run(b->job);
            b->ms = (double)(sona_sidecar_now_us() - start_us) / 1000;
            atomic_store_explicit(&b->phase, DONE, memory_order_release);
            sona_sidecar_wake_notify(b->done);
            continue;
        }
        sona_sidecar_wake_prepare(&b->wake);
        if (atomic_load_explicit(&b->phase, memory_order_acquire) != phase)
            sona_sidecar_wake_cancel(&b->wake);
        else
            sona_sidecar_wake_wait(&b->wake, NAP_US);
    }
}

sona_err sona_sidecar_background_create(struct sona_sidecar_background **ret,
                                        struct sona_sidecar_wake *done, sona_diag *reterr)
{
    struct sona_sidecar_background *b = calloc(1, sizeof *b);

    if (!b)
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, 0, "no memory for the background thread");
    b->done = done;
    int rc = pthread_create(&b->thread, NULL, background_loop, b);
    if (rc != 0) {
        free(b);
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, rc, "cannot start the background thread");
    }
    (void)pthread_setname_np(b->thread, "sona-background");
    *ret = b;
    return SONA_OK;
}

void sona_sidecar_background_give(struct sona_sidecar_background *background,
                                  struct sona_learner_job *job)
{
    background->job = job;
    atomic_store_explicit(&background->phase, RUNNING, memory_order_release);
    sona_sidecar_wake_notify(&background->wake);
}

struct sona_learner_job *sona_sidecar_background_take(struct sona_sidecar_background *background,
                                                      double *ret_ms)
{
    if (atomic_load_explicit(&background->phase, memory_order_acquire) != DONE)
        return NULL;
    *ret_ms = background->ms;
    /* Relaxed: the thread does nothing until RUNNING or QUIT. */
    atomic_store_explicit(&background->phase, IDLE, memory_order_relaxed);
    return background->job;
}

void sona_sidecar_background_destroy(struct sona_sidecar_background **background)
{
    struct sona_sidecar_background *b = *background;

    if (!b)
        return;
    /* A running job ends first: its own store of DONE must not overwrite QUIT. */
    int running = RUNNING;
    while (atomic_load_explicit(&b->phase, memory_order_acquire) == running) {
        sona_sidecar_wake_prepare(b->done);
        if (atomic_load_explicit(&b->phase, memory_order_acquire) == running)
            sona_sidecar_wake_wait(b->done, NAP_US);
        else
            sona_sidecar_wake_cancel(b->done);
    }
    atomic_store_explicit(&b->phase, QUIT, memory_order_release);
    sona_sidecar_wake_notify(&b->wake);
    (void)pthread_join(b->thread, NULL);
    free(b);
    *background = NULL;
}
