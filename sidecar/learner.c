/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * See learner.h. The order of a cycle: a cold slot is reserved, the job starts, runs on the
 * background thread while learning goes on, is installed here, and published next.
 */
#include "sidecar/learner.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "engine/model/block.h"
#include "shm/diag.h"
#include "shm/fault.h"
#include "sidecar/carry.h"
#include "sidecar/chronicle.h"
#include "sidecar/clock.h"
#include "sidecar/core.h"
#include "sidecar/keeper.h"
#include "sidecar/log.h"
#include "sidecar/publication.h"
#include "sidecar/pulse.h"
#include "sidecar/table.h"
#include "sidecar/thread.h"
#include "sidecar/worker.h"

#define LAST_NAP_US 1000u /* between two tries of the last publication */

struct sona_sidecar_learner {
    struct sona_sidecar_core core;
    struct sona_sidecar_chronicle chronicle;
    struct sona_sidecar_keeper keeper;
    struct sona_sidecar_publication out;
    struct sona_sidecar_stream *stream;
    struct sona_sidecar_worker *background; /* runs cycles; null: inline */
    pthread_t thread;
    bool started;

    struct sona_sidecar_histogram learn_times; /* an event's */

    uint64_t replayed; /* at the start; written before the thread is there */
    uint64_t now_us;
    bool finished;            /* the cycle that runs is done, and waits to be installed */
    bool postponed;           /* the cycle that is due was counted as put off */
    sona_cycle_report report; /* of the last cycle installed */

    struct sona_sidecar_commands *asked;
    struct sona_sidecar_command command;
    enum { NO_COMMAND, WAITING, CYCLING, KEEPING, APPLIED } commanded;
};

/* ---- cycles ---- */

static void run_job(void *work)
{
    sona_learner_cycle_run(work);
    SONA_FAULT(cycle_run);
}

/* False: the chronicle cannot take it now; again later. */
static bool install(struct sona_sidecar_learner *l)
{
    if (!sona_sidecar_chronicle_cycle(&l->chronicle, SONA_STORE_cycle_install, l->now_us / 1000))
        return false;
    SONA_FAULT(install_kept);
    sona_sidecar_core_cycle_install(&l->core, &l->report);
    SONA_FAULT(install_done);
    l->finished = false;
    sona_sidecar_publication_renew(&l->out);
    sona_sidecar_log(SONA_SIDECAR_INFO, "cycle_installed",
                     "step=%llu replayed=%llu patterns=%u ms=%.1f",
                     (unsigned long long)sona_learner_step(l->core.learner),
                     (unsigned long long)l->report.replayed, l->report.patterns, l->out.cycle_ms);
    return true;
}

/* At the event where it is due, whatever readers do: the same events give the same model. */
static bool cycle_inline(struct sona_sidecar_learner *l, uint64_t now_ms, bool force)
{
    if (l->core.running)
        return install(l); /* it was refused before */
    if (!(force || sona_learner_cycle_due(l->core.learner, now_ms)) ||
        !sona_sidecar_chronicle_cycle(&l->chronicle, SONA_STORE_cycle_start, now_ms) ||
        !sona_sidecar_core_cycle_start(&l->core, now_ms))
        return false;
    uint64_t start_us = sona_sidecar_now_us();
    run_job(l->core.job);
    l->out.cycle_ms = (double)(sona_sidecar_now_us() - start_us) / 1000;
    return install(l);
}

/* False: there is nothing to run a cycle for. True: it runs, or will when a cold slot is free. */
static bool cycle_start(struct sona_sidecar_learner *l, bool force)
{
    uint64_t now_ms = l->now_us / 1000;

    if (l->out.cold_new || l->core.running)
        return true;
    if (!force && !sona_learner_cycle_due(l->core.learner, now_ms))
        return false;
    if (!sona_sidecar_publication_reserve(&l->out, l->now_us)) {
        if (!l->postponed)
            sona_sidecar_tally_add(&l->out.tally, SONA_COUNTER_background_postponed, 1);
        l->postponed = true;
        return true;
    }
    l->postponed = false;
    bool kept = sona_sidecar_chronicle_cycle(&l->chronicle, SONA_STORE_cycle_start, now_ms);
    SONA_FAULT(cycle_kept);
    if (!kept || !sona_sidecar_core_cycle_start(&l->core, now_ms)) {
        sona_sidecar_publication_cancel(&l->out);
        return !kept;
    }
    sona_sidecar_worker_give(l->background, l->core.job);
    SONA_FAULT(cycle_started);
    return true;
}

static void cycle_threaded(struct sona_sidecar_learner *l)
{
    if (l->core.running) {
        l->finished |= sona_sidecar_worker_take(l->background, &l->out.cycle_ms);
        if (l->finished)
            (void)install(l);
        return;
    }
    (void)cycle_start(l, false);
    /* One that is due and starts while a forced one waits is as good. */
    if (l->core.running && l->commanded == WAITING && l->command.request.what == SONA_CONTROL_LEARN)
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
    struct sona_sidecar_joined *batch[SONA_SIDECAR_CHRONICLE_BATCH];
    /* An inline cycle comes right behind the event where it is due, in the chronicle as well. */
    uint32_t n = 0, limit = !l->background       ? 1
                            : l->chronicle.every ? SONA_SIDECAR_CHRONICLE_BATCH
                                                 : SONA_SIDECAR_CHRONICLE_PROMPT;

    if (!l->background && l->core.running && !install(l))
        return 0;
    while (n < limit && (batch[n] = sona_shm_queue_peek_at(l->stream->queue, n)) != NULL)
        n++;
    if (n > 0)
        n = sona_sidecar_chronicle_events(&l->chronicle, batch, n);
    if (n == 0)
        return 0;
    SONA_FAULT(learn_kept);
    /* Release: pairs with the intake's acquire, which may forget then where they came from. */
    atomic_store_explicit(&l->stream->kept, l->out.taken + n, memory_order_release);
    uint64_t start_ns = sona_sidecar_now_ns();
    for (uint32_t i = 0; i < n; i++) {
        enum sona_learner_kind kind = (enum sona_learner_kind)batch[i]->kind;
        uint64_t now_ms = batch[i]->now_ms;

        if (sona_sidecar_core_learn(&l->core, batch[i]) == SONA_OK && /* else it counted why */
            is_visible(l, kind))
            l->out.dirty = true;
        if (sona_learner_switched(l->core.learner)) /* all of it is another, as after an install */
            sona_sidecar_publication_renew(&l->out);
        sona_shm_queue_release(l->stream->queue);
        l->out.taken++;
        l->out.stale = true;
        SONA_FAULT(learn_done);
        if (!l->background && kind != SONA_LEARNER_QUERY && !waits(kind))
            (void)cycle_inline(l, now_ms, false);
    }
    sona_sidecar_histogram_add(&l->learn_times, n, sona_sidecar_now_ns() - start_ns);
    return n;
}

/* A forced cycle: after the one that runs, if one does, so that all learned so far takes part. */
static void command_cycle(struct sona_sidecar_learner *l)
{
    bool ran = false;

    if (l->commanded == CYCLING) {
        ran = !l->core.running;
        if (!ran)
            return;
    } else if (l->background && (l->core.running || l->out.cold_new)) {
        return;
    } else if (l->background) {
        if (cycle_start(l, true)) {
            l->commanded = l->core.running ? CYCLING : WAITING;
            return;
        }
    } else {
        ran = cycle_inline(l, l->now_us / 1000, true);
    }
    l->command.report = ran ? l->report : (sona_cycle_report){.ran = false};
    l->commanded = APPLIED;
}

/* A rollback is on its way to the disk: what is learned meanwhile would be on the wrong side. */
static bool is_held(const struct sona_sidecar_learner *l)
{
    return l->commanded == KEEPING && l->command.request.what == SONA_CONTROL_GENERATIONS_ROLLBACK;
}

/* The copy is durable at the end of the chronicle; now be what it says, under the configuration of
 * now. It was found good. If the journal does not take what makes it so, it is shown all the same:
 * the learner is another one already. */
static void become(struct sona_sidecar_learner *l, void *bytes, size_t n)
{
    const sona_config now = *sona_learner_configuration(l->core.learner);
    struct sona_model_view view = sona_learner_view(l->core.learner);
    uint32_t n_routes = sona_model_n_routes(&view);
    sona_err err = sona_sidecar_core_load(&l->core, bytes, n, &l->command.diag);

    free(bytes);
    if (err == SONA_OK)
        err = sona_sidecar_chronicle_configure(&l->chronicle, l->core.learner, &now, false,
                                               &l->command.diag);
    if (err == SONA_OK)
        err = sona_sidecar_table_restore(&l->core, &l->chronicle, n_routes, &l->command.diag);
    if (err != SONA_OK)
        l->command.diag.code = err;
    if (l->core.running && l->background)
        sona_sidecar_worker_give(l->background, l->core.job);
    else if (l->core.running)
        run_job(l->core.job);
    sona_sidecar_publication_replace(&l->out);
    l->out.route_changes++; /* the table is that of then */
    sona_sidecar_publication_show(&l->out, l->now_us);
    sona_sidecar_log(SONA_SIDECAR_WARN, "rolled_back", "to=%llu generation=%llu step=%llu",
                     (unsigned long long)l->command.request.number,
                     (unsigned long long)l->command.generation,
                     (unsigned long long)sona_learner_step(l->core.learner));
}

static void command_keeper(struct sona_sidecar_learner *l)
{
    bool rolls = l->command.request.what == SONA_CONTROL_GENERATIONS_ROLLBACK;
    void *bytes = NULL;
    size_t n;

    if (!l->keeper.worker) {
        (void)sona_shm_diag_set(&l->command.diag, SONA_E_ABSENT, 0,
                                "this sidecar keeps nothing; start it with --state-dir");
        l->commanded = APPLIED;
        return;
    }
    /* Neither a cycle nor what waits for the disk may come behind a rollback's position. */
    if (l->commanded == WAITING && rolls &&
        (l->core.running || l->out.cold_new || l->chronicle.ahead > 0))
        return;
    if (l->commanded == WAITING) {
        if (sona_sidecar_keeper_ask(&l->keeper, &l->core, &l->chronicle, &l->command.request))
            l->commanded = KEEPING;
        return;
    }
    if (!sona_sidecar_keeper_answer(&l->keeper, &l->command.generation, &l->command.diag, &bytes,
                                    &n))
        return;
    if (bytes)
        become(l, bytes, n);
    memcpy(l->command.found, l->keeper.found, sizeof l->command.found);
    l->commanded = APPLIED;
}

/* Take the next command, or go on with the one at hand. */
static void command(struct sona_sidecar_learner *l)
{
    if (l->commanded == NO_COMMAND && sona_sidecar_commands_take(l->asked, &l->command))
        l->commanded = WAITING;
    if (l->commanded == WAITING)
        sona_sidecar_command_date(l->core.learner, &l->command);
    if (l->commanded == NO_COMMAND || l->commanded == APPLIED)
        return;
    if (l->command.request.what == SONA_CONTROL_LEARN) {
        command_cycle(l);
    } else if (sona_sidecar_command_class(&l->command) == SONA_CONTROL_KEEPER) {
        command_keeper(l);
    } else if (l->command.request.what == SONA_CONTROL_FLUSH) {
        /* Acquire: pairs with the intake's release; the position is that of this flush or later. */
        if (atomic_load_explicit(&l->stream->flushed, memory_order_acquire) >= l->command.flush &&
            l->out.taken >= atomic_load_explicit(&l->stream->flush_handed, memory_order_relaxed))
            l->commanded = APPLIED;
    } else if (sona_sidecar_command_on_bank(&l->command)) {
        if (l->core.running || !sona_sidecar_chronicle_command(&l->chronicle, &l->command))
            return;
        SONA_FAULT(command_kept);
        sona_sidecar_command_apply(l->core.learner, &l->command);
        sona_sidecar_publication_renew(&l->out);
        l->commanded = APPLIED;
    } else if (sona_sidecar_carries(&l->command)) {
        if (sona_sidecar_carry(&l->core, &l->chronicle, &l->out, &l->command))
            l->commanded = APPLIED;
    } else if (sona_sidecar_chronicle_command(&l->chronicle, &l->command)) {
        SONA_FAULT(command_kept);
        sona_sidecar_command_apply(l->core.learner, &l->command);
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
    sona_sidecar_desk_answer(&l->command);
    l->commanded = NO_COMMAND;
}

/* `blocked`: there are events, and the chronicle cannot take them; another try comes in time. */
static void doze(struct sona_sidecar_learner *l, uint64_t wait_us, bool blocked)
{
    sona_sidecar_wake_prepare(&l->stream->wake);
    if ((!blocked && sona_shm_queue_peek(l->stream->queue)) ||
        (l->commanded == NO_COMMAND &&
         atomic_load_explicit(&l->asked->count, memory_order_relaxed) > 0) || /* after [W] */
        atomic_load_explicit(&l->stream->finished, memory_order_acquire))
        sona_sidecar_wake_cancel(&l->stream->wake);
    else
        sona_sidecar_wake_wait(&l->stream->wake, wait_us);
}

/* Readers may hold every slot; those of a dead sidecar's lanes count as held. No slot outlives the
 * lease, so that much patience gets one. */
static void publish_last(struct sona_sidecar_learner *l)
{
    const struct timespec nap = {.tv_nsec = LAST_NAP_US * 1000};
    uint64_t lease_us = (uint64_t)sona_shm_publisher_lease_ms(l->out.publisher) * 1000;
    uint64_t start_us = sona_sidecar_now_us();

    for (l->now_us = start_us; l->out.dirty && l->now_us - start_us <= lease_us + LAST_NAP_US;
         l->now_us = sona_sidecar_now_us()) {
        if (l->now_us - l->out.published_us >= SONA_SHM_G_TICK_US)
            sona_sidecar_publication_publish(&l->out, l->now_us);
        if (l->out.dirty)
            (void)nanosleep(&nap, NULL);
    }
}

/* The stream is finished and learned: wait for a running cycle, then show and keep everything. */
static void finish(struct sona_sidecar_learner *l)
{
    while (l->core.running && !l->chronicle.waits) {
        sona_sidecar_wake_prepare(&l->stream->wake);
        l->finished |= sona_sidecar_worker_take(l->background, &l->out.cycle_ms);
        if (l->finished) {
            sona_sidecar_wake_cancel(&l->stream->wake);
            (void)install(l);
        } else {
            sona_sidecar_wake_wait(&l->stream->wake, SONA_SIDECAR_IDLE_US);
        }
    }
    publish_last(l);
    sona_sidecar_publication_show(&l->out, l->now_us);
    sona_sidecar_keeper_done(&l->keeper, &l->core, &l->chronicle);
}

static void *learner_loop(void *arg)
{
    struct sona_sidecar_learner *l = arg;

    (void)prctl(PR_SET_TIMERSLACK, 1);
    sona_sidecar_version_enter();
    struct sona_sidecar_pulse *pulse = sona_sidecar_pulse_begin("learner");
    for (;;) {
        sona_sidecar_pulse_beat(pulse);
        bool held = is_held(l);
        uint32_t n = held ? 0 : learn(l);

        l->now_us = sona_sidecar_now_us();
        if (l->background && !held)
            cycle_threaded(l);
        else if (n == 0 && !held)
            (void)cycle_inline(l, l->now_us / 1000, false);
        command(l);
        sona_sidecar_keeper_step(&l->keeper, &l->core, &l->chronicle, l->now_us / 1000);
        bool blocked = l->chronicle.waits || is_held(l);
        bool idle = blocked || !sona_shm_queue_peek(l->stream->queue);
        uint64_t wait_us = sona_sidecar_publication_deliver(&l->out, l->now_us, idle);
        answer(l);
        if (!idle)
            continue;
        /* Acquire: pairs with the intake's release; then the queue is looked at once more. */
        if (atomic_load_explicit(&l->stream->finished, memory_order_acquire) && !is_held(l) &&
            (blocked || !sona_shm_queue_peek(l->stream->queue)))
            break;
        doze(l, wait_us, blocked);
    }
    finish(l);
    sona_sidecar_pulse_end(pulse);
    sona_sidecar_version_leave();
    return NULL;
}

/* ---- what others call ---- */

/* Be what the last sidecar was, and declare what is new. */
static sona_err resume(struct sona_sidecar_learner *l, const struct sona_sidecar_learner_options *o,
                       sona_diag *reterr)
{
    struct sona_sidecar_resumed resumed;

    l->chronicle = (struct sona_sidecar_chronicle){.store = o->store,
                                                   .dim = o->layout->geometry.dim,
                                                   .dim_padded = o->layout->dim_padded,
                                                   .every = o->learn_durable};
    sona_err err = sona_sidecar_chronicle_resume(&l->chronicle, &l->core, &resumed, reterr);
    if (o->check)
        l->chronicle.store = NULL;
    if (err == SONA_OK)
        err = sona_sidecar_chronicle_configure(&l->chronicle, l->core.learner, o->config,
                                               resumed.generation == 0 && resumed.replayed == 0,
                                               reterr);
    if (err == SONA_OK)
        err = sona_sidecar_table_shown(&l->core, &l->chronicle,
                                       sona_shm_publisher_adopted_hot(l->out.publisher), o->routes,
                                       o->n_routes, reterr);
    if (err == SONA_OK)
        err = sona_sidecar_table_declare(&l->core, &l->chronicle, o->routes, o->n_routes, reterr);
    if (err != SONA_OK)
        return err;
    if (resumed.generation != 0 || resumed.replayed != 0)
        sona_sidecar_log(SONA_SIDECAR_INFO, "resumed",
                         "generation=%llu passed=%llu replayed=%llu step=%llu",
                         (unsigned long long)resumed.generation, (unsigned long long)resumed.passed,
                         (unsigned long long)resumed.replayed,
                         (unsigned long long)sona_learner_step(l->core.learner));
    l->replayed = resumed.replayed;
    err = sona_sidecar_keeper_init(&l->keeper, l->chronicle.store, resumed.position,
                                   &l->stream->wake, reterr);
    l->keeper.instance = o->instance;
    l->keeper.clients = o->clients;
    return err;
}

static sona_err publish_first(struct sona_sidecar_learner *l, sona_diag *reterr)
{
    l->out.learner = l->core.learner;
    l->out.bytes = l->core.bytes;
    l->now_us = sona_sidecar_now_us();
    /* Until ours is published, readers see a dead sidecar's. */
    l->out.version = sona_shm_publisher_current(l->out.publisher);
    l->out.cold_new = l->out.dirty = true;
    sona_sidecar_publication_publish(&l->out, l->now_us);
    sona_sidecar_publication_show(&l->out, l->now_us);
    if (l->out.version == 0)
        return sona_shm_diag_set(reterr, SONA_E_FORMAT, 0,
                                 "the first model could not be published; this is a defect");
    return SONA_OK;
}

sona_err sona_sidecar_learner_create(struct sona_sidecar_learner **ret,
                                     const struct sona_sidecar_learner_options *options,
                                     sona_diag *reterr)
{
    struct sona_sidecar_learner *l = calloc(1, sizeof *l);

    if (!l)
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, errno, "no memory for the learner");
    l->stream = options->stream;
    l->out = (struct sona_sidecar_publication){.layout = options->layout,
                                               .publisher = options->publisher,
                                               .stream = options->stream,
                                               .versions = options->versions};
    l->asked = options->asked;
    sona_err err = sona_sidecar_core_init(&l->core, options->config, options->layout, reterr);
    if (err == SONA_OK)
        err = resume(l, options, reterr);
    if (err == SONA_OK && !options->background_inline)
        err = sona_sidecar_worker_create(&l->background, "sona-background", run_job,
                                         &l->stream->wake, reterr);
    if (err == SONA_OK)
        err = publish_first(l, reterr);
    if (err == SONA_OK && l->core.running) { /* it did when the last one ended */
        if (l->background)
            sona_sidecar_worker_give(l->background, l->core.job);
        else
            run_job(l->core.job);
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
    int rc = sona_sidecar_thread_create(&learner->thread, "sona-learner", learner_loop, learner);

    if (rc != 0)
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, rc, "cannot start the learner thread");
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
    if (l->commanded != NO_COMMAND)
        sona_sidecar_command_drop(&l->command);
    sona_sidecar_worker_destroy(&l->background);
    sona_sidecar_worker_destroy(&l->keeper.worker);
    sona_sidecar_core_done(&l->core);
    free(l);
    *learner = NULL;
}

uint64_t sona_sidecar_learner_events(const struct sona_sidecar_learner *learner)
{
    return learner->chronicle.events;
}

uint64_t sona_sidecar_learner_replayed(const struct sona_sidecar_learner *learner)
{
    return learner->replayed;
}

const struct sona_sidecar_histogram *
sona_sidecar_learner_learn_times(const struct sona_sidecar_learner *learner)
{
    return &learner->learn_times;
}

const struct sona_sidecar_histogram *
sona_sidecar_learner_publish_times(const struct sona_sidecar_learner *learner)
{
    return &learner->out.publish_times;
}

uint64_t sona_sidecar_learner_refused(const struct sona_sidecar_learner *learner)
{
    return atomic_load_explicit(&learner->out.refused, memory_order_relaxed);
}
