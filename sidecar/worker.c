/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See worker.h. The thread is nice: where cores are few, drains and feedback come first. */
#include "sidecar/worker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "shm/diag.h"
#include "sidecar/clock.h"
#include "sidecar/thread.h"

#define NICENESS 10
#define NAP_US   1000000u

enum phase { IDLE, RUNNING, DONE, QUIT };

struct sona_sidecar_worker {
    pthread_t thread;
    struct sona_sidecar_wake wake, *done;
    /* RUNNING: release by give, acquire by the thread: the work is complete. DONE: release by the
     * thread, acquire by take: what came of it is. QUIT ends the thread. */
    _Atomic int phase;
    void (*run)(void *work);
    void *work;
    double ms;
};

static void *worker_loop(void *arg)
{
    struct sona_sidecar_worker *w = arg;

    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICENESS); /* of this thread */
    for (;;) {
        int phase = atomic_load_explicit(&w->phase, memory_order_acquire);

        if (phase == QUIT)
            return NULL;
        if (phase == RUNNING) {
            uint64_t start_us = sona_sidecar_now_us();

            w->run(w->work);
            w->ms = (double)(sona_sidecar_now_us() - start_us) / 1000;
            atomic_store_explicit(&w->phase, DONE, memory_order_release);
            sona_sidecar_wake_notify(w->done);
            continue;
        }
        sona_sidecar_wake_prepare(&w->wake);
        if (atomic_load_explicit(&w->phase, memory_order_acquire) != phase)
            sona_sidecar_wake_cancel(&w->wake);
        else
            sona_sidecar_wake_wait(&w->wake, NAP_US);
    }
}

sona_err sona_sidecar_worker_create(struct sona_sidecar_worker **ret, const char *name,
                                    void (*run)(void *work), struct sona_sidecar_wake *done,
                                    sona_diag *reterr)
{
    struct sona_sidecar_worker *w = calloc(1, sizeof *w);

    if (!w)
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, 0, "no memory for thread %s", name);
    w->run = run;
    w->done = done;
    int rc = sona_sidecar_thread_create(&w->thread, name, worker_loop, w);
    if (rc != 0) {
        free(w);
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, rc, "cannot start thread %s", name);
    }
    *ret = w;
    return SONA_OK;
}

void sona_sidecar_worker_give(struct sona_sidecar_worker *worker, void *work)
{
    worker->work = work;
    atomic_store_explicit(&worker->phase, RUNNING, memory_order_release);
    sona_sidecar_wake_notify(&worker->wake);
}

bool sona_sidecar_worker_take(struct sona_sidecar_worker *worker, double *ret_ms)
{
    if (atomic_load_explicit(&worker->phase, memory_order_acquire) != DONE)
        return false;
    *ret_ms = worker->ms;
    /* Relaxed: the thread does nothing until RUNNING or QUIT. */
    atomic_store_explicit(&worker->phase, IDLE, memory_order_relaxed);
    return true;
}

void sona_sidecar_worker_destroy(struct sona_sidecar_worker **worker)
{
    struct sona_sidecar_worker *w = *worker;

    if (!w)
        return;
    /* A running job ends first: its own store of DONE must not overwrite QUIT. */
    int running = RUNNING;
    while (atomic_load_explicit(&w->phase, memory_order_acquire) == running) {
        sona_sidecar_wake_prepare(w->done);
        if (atomic_load_explicit(&w->phase, memory_order_acquire) == running)
            sona_sidecar_wake_wait(w->done, NAP_US);
        else
            sona_sidecar_wake_cancel(w->done);
    }
    atomic_store_explicit(&w->phase, QUIT, memory_order_release);
    sona_sidecar_wake_notify(&w->wake);
    (void)pthread_join(w->thread, NULL);
    free(w);
    *worker = NULL;
}
