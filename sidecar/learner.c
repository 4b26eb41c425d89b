/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * See learner.h. The order of a cycle: a cold slot is reserved, the job starts, runs on the
 * background thread while learning goes on, is installed here, and published next.
 */
#include "sidecar/learner.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

#include "engine/learner/learner.h"
#include "shm/diag.h"
#include "sidecar/background.h"
#include "sidecar/clock.h"
#include "sidecar/log.h"
#include "sidecar/publication.h"

#define BATCH      64u  /* events between two looks at the clock */
#define LAST_TRIES 1000 /* at the last publication, while readers hold every slot */

struct sona_sidecar_learner {
    const struct sona_model_layout *layout;
    struct sona_learner *learner;
    struct sona_learner_job *job;
    struct sona_sidecar_stream *stream;
    struct sona_sidecar_background *background; /* null: inline */
    pthread_t thread;
    bool started;

    struct sona_sidecar_publication out;
    uint64_t now_us;
    bool running;             /* a cycle is under way */
    bool postponed;           /* the cycle that is due was counted as put off */
    sona_cycle_report report; /* of the last cycle installed */

    struct sona_sidecar_commands *asked, *answered;
    int answered_fd;
    struct sona_sidecar_command command;
    enum { NO_COMMAND, WAITING, CYCLING, APPLIED } commanded;
};

/* ---- cycles ---- */

static void install(struct sona_sidecar_learner *l)
{
    sona_learner_cycle_install(l->learner, l->job, &l->report);
    l->running = false;
    sona_sidecar_publication_renew(&l->out);
    sona_sidecar_log(SONA_SIDECAR_INFO, "cycle_installed",
                     "step=%llu replayed=%llu patterns=%u ms=%.1f",
                     (unsigned long long)sona_learner_step(l->learner),
                     (unsigned long long)l->report.replayed, l->report.patterns, l->out.cycle_ms);
}

/* At the event where it is due, whatever readers do: the same events give the same model. */
static bool cycle_inline(struct sona_sidecar_learner *l, uint64_t now_ms, bool force)
{
    if (!(force || sona_learner_cycle_due(l->learner, now_ms)) ||
        !sona_learner_cycle_start(l->learner, l->job, now_ms))
        return false;
    uint64_t start_us = sona_sidecar_now_us();
    sona_learner_cycle_run(l->job);
    l->out.cycle_ms = (double)(sona_sidecar_now_us() - start_us) / 1000;
    install(l);
    return true;
}

/* False: there is nothing to run a cycle for. True: it runs, or will when a cold slot is free. */
static bool cycle_start(struct sona_sidecar_learner *l, bool force)
{
    uint64_t now_ms = l->now_us / 1000;

    if (l->out.cold_new || l->running)
        return true;
    if (!force && !sona_learner_cycle_due(l->learner, now_ms))
        return false;
    if (!sona_sidecar_publication_reserve(&l->out, l->now_us)) {
        if (!l->postponed)
            sona_sidecar_tally_add(&l->out.tally, SONA_COUNTER_background_postponed, 1);
        l->postponed = true;
        return true;
    }
    l->postponed = false;
    if (!sona_learner_cycle_start(l->learner, l->job, now_ms)) {
        sona_sidecar_publication_cancel(&l->out);
        return false;
    }
    l->running = true;
    sona_sidecar_background_give(l->background, l->job);
    return true;
}

static void cycle_threaded(struct sona_sidecar_learner *l)
{
    if (l->running) {
        if (sona_sidecar_background_take(l->background, &l->out.cycle_ms))
            install(l);
        return;
    }
    (void)cycle_start(l, false);
    /* One that is due and starts while a forced one waits is as good. */
    if (l->running && l->commanded == WAITING && l->command.request.what == SONA_WIRE_LEARN)
        l->commanded = CYCLING;
}

/* ---- the thread ---- */

/* Readers see what these do after the next install. */
static bool waits(enum sona_learner_kind kind)
{
    return kind == SONA_LEARNER_STEPS || kind == SONA_LEARNER_HIT;
}

/* A query alone shows only in lock-step, where the next decision waits for it. */
static bool is_visible(const struct sona_sidecar_learner *l, enum sona_learner_kind kind)
{
    return !waits(kind) && (kind != SONA_LEARNER_QUERY || !l->background);
}

/* Learn from what is there, a batch at most. Returns how many events were taken. */
static uint32_t learn(struct sona_sidecar_learner *l)
{
    uint32_t n = 0;

    for (; n < BATCH; n++) {
        struct sona_sidecar_joined *j = sona_shm_queue_peek(l->stream->queue);

        if (!j)
            break;
        struct sona_learner_event event = {
            .kind = (enum sona_learner_kind)j->kind,
            .tenant = j->tenant,
            .id = j->id,
            .x = sona_sidecar_joined_x(j),
            .route = j->route,
            .quality = j->quality,
            .propensity = j->propensity,
            .version = j->version,
            .now_ms = j->now_ms,
            .type = j->type,
            .layer = j->layer,
            .credit = j->credit,
            .base = sona_sidecar_joined_base(j, l->layout->dim_padded),
        };
        if (sona_learner_learn(l->learner, &event) == SONA_OK && /* else it counted why */
            is_visible(l, event.kind))
            l->out.dirty = true;
        if (sona_learner_switched(l->learner)) /* all of it is another, as after an install */
            sona_sidecar_publication_renew(&l->out);
        sona_shm_queue_release(l->stream->queue);
        l->out.taken++;
        l->out.stale = true;
        if (!l->background && event.kind != SONA_LEARNER_QUERY && !waits(event.kind))
            (void)cycle_inline(l, event.now_ms, false);
    }
    return n;
}

/* A forced cycle: after the one that runs, if one does, so that all learned so far takes part. */
static void command_cycle(struct sona_sidecar_learner *l)
{
    bool ran = false;

    if (l->commanded == CYCLING) {
        ran = !l->running;
        if (!ran)
            return;
    } else if (l->background && (l->running || l->out.cold_new)) {
        return;
    } else if (l->background) {
        if (cycle_start(l, true)) {
            l->commanded = l->running ? CYCLING : WAITING;
            return;
        }
    } else {
        ran = cycle_inline(l, l->now_us / 1000, true);
    }
    l->command.report = ran ? l->report : (sona_cycle_report){.ran = false};
    l->commanded = APPLIED;
}

/* Take the next command, or go on with the one at hand. */
static void command(struct sona_sidecar_learner *l)
{
    if (l->commanded == NO_COMMAND && sona_sidecar_commands_take(l->asked, &l->command))
        l->commanded = WAITING;
    if (l->commanded == NO_COMMAND || l->commanded == APPLIED)
        return;
    if (l->command.request.what == SONA_WIRE_LEARN) {
        command_cycle(l);
    } else if (l->command.request.what == SONA_WIRE_FLUSH) {
        /* Acquire: pairs with the intake's release; the position is that of this flush or later. */
        if (atomic_load_explicit(&l->stream->flushed, memory_order_acquire) >= l->command.flush &&
            l->out.taken >= atomic_load_explicit(&l->stream->flush_handed, memory_order_relaxed))
            l->commanded = APPLIED;
    } else if (sona_sidecar_command_on_bank(&l->command)) {
        if (l->running)
            return;
        sona_sidecar_command_apply(l->learner, &l->command);
        sona_sidecar_publication_renew(&l->out);
        l->commanded = APPLIED;
    } else {
        sona_sidecar_command_apply(l->learner, &l->command);
        l->out.route_changes++;
        l->out.dirty = true;
        l->commanded = APPLIED;
        /* The intake knows a new route before a client can choose it. */
        sona_sidecar_publication_show(&l->out, l->now_us);
    }
}

/* What was applied is published: show it, then say so. */
static void answer(struct sona_sidecar_learner *l)
{
    if (l->commanded != APPLIED || l->out.dirty)
        return;
    sona_sidecar_publication_show(&l->out, l->now_us);
    (void)sona_sidecar_commands_put(l->answered, &l->command); /* no room: the asker times out */
    (void)eventfd_write(l->answered_fd, 1);
    l->commanded = NO_COMMAND;
}

static void doze(struct sona_sidecar_learner *l, uint64_t wait_us)
{
    sona_sidecar_wake_prepare(&l->stream->wake);
    if (sona_shm_queue_peek(l->stream->queue) ||
        (l->commanded == NO_COMMAND &&
         atomic_load_explicit(&l->asked->count, memory_order_relaxed) > 0) || /* after [W] */
        atomic_load_explicit(&l->stream->finished, memory_order_acquire))
        sona_sidecar_wake_cancel(&l->stream->wake);
    else
        sona_sidecar_wake_wait(&l->stream->wake, wait_us);
}

/* The stream is finished and learned: wait for a running cycle, then show everything. */
static void finish(struct sona_sidecar_learner *l)
{
    while (l->running) {
        sona_sidecar_wake_prepare(&l->stream->wake);
        if (sona_sidecar_background_take(l->background, &l->out.cycle_ms)) {
            sona_sidecar_wake_cancel(&l->stream->wake);
            install(l);
        } else {
            sona_sidecar_wake_wait(&l->stream->wake, SONA_SIDECAR_IDLE_US);
        }
    }
    for (int n = 0; l->out.dirty && n < LAST_TRIES; n++) {
        l->now_us = sona_sidecar_now_us();
        if (l->now_us - l->out.published_us >= SONA_SHM_G_TICK_US)
            sona_sidecar_publication_publish(&l->out, l->now_us);
        (void)sched_yield();
    }
    sona_sidecar_publication_show(&l->out, l->now_us);
}

static void *learner_loop(void *arg)
{
    struct sona_sidecar_learner *l = arg;

    (void)prctl(PR_SET_TIMERSLACK, 1);
    sona_sidecar_version_enter();
    for (;;) {
        uint32_t n = learn(l);

        l->now_us = sona_sidecar_now_us();
        if (l->background)
            cycle_threaded(l);
        else if (n == 0)
            (void)cycle_inline(l, l->now_us / 1000, false);
        command(l);
        bool idle = !sona_shm_queue_peek(l->stream->queue);
        uint64_t wait_us = sona_sidecar_publication_deliver(&l->out, l->now_us, idle);
        answer(l);
        if (!idle)
            continue;
        /* Acquire: pairs with the intake's release; then the queue is looked at once more. */
        if (atomic_load_explicit(&l->stream->finished, memory_order_acquire) &&
            !sona_shm_queue_peek(l->stream->queue))
            break;
        doze(l, wait_us);
    }
    finish(l);
    sona_sidecar_version_leave();
    return NULL;
}

/* ---- what others call ---- */

static sona_err allocate(struct sona_sidecar_learner *l, const sona_config *config,
                         sona_diag *reterr)
{
    size_t learner_bytes = (sona_learner_bytes(config) + 63) / 64 * 64;
    size_t job_bytes = (sona_learner_job_bytes(config) + 63) / 64 * 64;
    void *learner = aligned_alloc(64, learner_bytes), *job = aligned_alloc(64, job_bytes);

    if (!learner || !job) {
        free(learner);
        free(job);
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, errno,
                                 "no memory for %zu bytes of learner; lower dimension, routes, "
                                 "patterns or replay_capacity",
                                 learner_bytes + job_bytes);
    }
    l->learner = sona_learner_init(learner, config);
    l->job = sona_learner_job_init(job, config);
    l->out.learner = l->learner;
    l->out.bytes = learner_bytes + job_bytes;
    return SONA_OK;
}

static sona_err declare(struct sona_sidecar_learner *l,
                        const struct sona_sidecar_learner_options *o, sona_diag *reterr)
{
    for (uint32_t k = 0; k < o->n_routes; k++) {
        sona_route ignored;
        sona_err err = sona_learner_route_add(l->learner, &o->routes[k], &ignored);

        if (err != SONA_OK)
            return sona_shm_diag_set(reterr, err, 0, "route %s: %s; %s", o->routes[k].name,
                                     sona_err_text(err), sona_err_remedy(err));
    }
    return SONA_OK;
}

sona_err sona_sidecar_learner_create(struct sona_sidecar_learner **ret,
                                     const struct sona_sidecar_learner_options *options,
                                     sona_diag *reterr)
{
    struct sona_sidecar_learner *l = calloc(1, sizeof *l);

    if (!l)
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, errno, "no memory for the learner");
    l->layout = options->layout;
    l->stream = options->stream;
    l->out = (struct sona_sidecar_publication){.layout = options->layout,
                                               .publisher = options->publisher,
                                               .stream = options->stream,
                                               .versions = options->versions};
    l->asked = options->asked;
    l->answered = options->answered;
    l->answered_fd = options->answered_fd;
    sona_err err = allocate(l, options->config, reterr);
    if (err == SONA_OK)
        err = declare(l, options, reterr);
    if (err == SONA_OK && !options->background_inline)
        err = sona_sidecar_background_create(&l->background, &l->stream->wake, reterr);
    if (err == SONA_OK) {
        l->now_us = sona_sidecar_now_us();
        /* Until ours is published, readers see a dead sidecar's. */
        l->out.version = sona_shm_publisher_current(options->publisher);
        l->out.cold_new = l->out.dirty = true;
        sona_sidecar_publication_publish(&l->out, l->now_us);
        sona_sidecar_publication_show(&l->out, l->now_us);
        if (l->out.version == 0)
            err = sona_shm_diag_set(reterr, SONA_E_FORMAT, 0,
                                    "the first model could not be published; this is a defect");
    }
    if (err != SONA_OK) {
        sona_sidecar_learner_destroy(&l);
        return err;
    }
    *ret = l;
    return SONA_OK;
}

sona_err sona_sidecar_learner_start(struct sona_sidecar_learner *learner, sona_diag *reterr)
{
    int rc = pthread_create(&learner->thread, NULL, learner_loop, learner);

    if (rc != 0)
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, rc, "cannot start the learner thread");
    (void)pthread_setname_np(learner->thread, "sona-learner");
    learner->started = true;
    return SONA_OK;
}

void sona_sidecar_learner_join(struct sona_sidecar_learner *learner)
{
    if (learner->started)
        (void)pthread_join(learner->thread, NULL);
    learner->started = false;
}

void sona_sidecar_learner_destroy(struct sona_sidecar_learner **learner)
{
    struct sona_sidecar_learner *l = *learner;

    if (!l)
        return;
    sona_sidecar_background_destroy(&l->background);
    free(l->learner);
    free(l->job);
    free(l);
    *learner = NULL;
}

uint64_t sona_sidecar_learner_refused(const struct sona_sidecar_learner *learner)
{
    return atomic_load_explicit(&learner->out.refused, memory_order_relaxed);
}
