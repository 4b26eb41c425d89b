/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * See learner.h. The order of a cycle: a cold slot is reserved, the job starts, runs on the
 * background thread while learning goes on, is installed here, and the next publication carries
 * both new halves under one word. Between install and that publication nothing else is published,
 * so that no reader sees a fold half done.
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

#define BATCH           64u    /* events between two looks at the clock */
#define BUSY_PUBLISH_US 500u   /* 2 kHz while there is more to learn */
#define BUSY_SHOW_US    5000u  /* between two versions, busy */
#define IDLE_SHOW_US    1000u  /* and idle */
#define IDLE_US         20000u /* between two looks at whether a cycle is due */
#define LAST_TRIES      1000   /* at the last publication, while readers hold every slot */

struct sona_sidecar_learner {
    const struct sona_model_layout *layout;
    struct sona_learner *learner;
    struct sona_learner_job *job;
    uint64_t bytes; /* of both */
    struct sona_shm_publisher *publisher;
    struct sona_sidecar_stream *stream;
    struct sona_sidecar_versions *versions;
    struct sona_sidecar_background *background; /* null: inline */
    pthread_t thread;
    bool started;

    uint64_t now_us;
    uint64_t taken; /* events taken from the queue */
    bool dirty;     /* learned since the last publication */
    bool stale;     /* something to show since the last version */
    uint64_t published_us, shown_us;
    uint64_t published_step, version; /* last published */
    bool running;                     /* a cycle is under way */
    bool cold_new;                    /* installed, not published */
    bool cold_written;                /* and copied into the reserved slot */
    bool held;       /* the last publication was coalesced: readers hold every slot */
    bool postponed;  /* the cycle that is due was counted as put off */
    void *cold_slot; /* reserved, null: none */
    double cycle_ms;
    sona_cycle_report report; /* of the last cycle installed */

    struct sona_sidecar_commands *asked, *answered;
    int answered_fd;
    struct sona_sidecar_command command;
    enum { NO_COMMAND, WAITING, CYCLING, APPLIED } commanded;
    uint64_t route_changes;
    struct sona_sidecar_tally tally;
    _Atomic uint64_t refused; /* relaxed: a figure for people */
};

static struct sona_model_view view_of(const struct sona_sidecar_learner *l)
{
    return sona_learner_view(l->learner);
}

/* ---- publishing ---- */

static bool floats_ok(const char *at, size_t count)
{
    return sona_model_all_finite((const float *)(const void *)at, count);
}

/* What changed since the last publication is finite. The learner keeps its weights bounded; this is
 * the wall behind it: a router would multiply its embeddings with whatever is published. The whole
 * model is judged with every new cold half. */
static bool weights_ok(const struct sona_sidecar_learner *l)
{
    const struct sona_model_layout *layout = l->layout;
    struct sona_model_view view = view_of(l);
    const uint64_t *changed = sona_learner_route_changes(l->learner);
    size_t micro = (size_t)layout->geometry.micro_rank * layout->dim_padded;

    if (l->cold_new)
        return sona_model_validate_hot(layout, view.hot) == SONA_OK &&
               sona_model_validate_cold(layout, view.cold) == SONA_OK;
    const char *hot = view.hot;
    if (!floats_ok(hot + layout->micro_a, micro) || !floats_ok(hot + layout->micro_b, micro))
        return false;
    for (uint32_t k = 0; k < layout->routes.count; k++) {
        const char *row = hot + layout->routes.offset + k * layout->routes.stride;

        if (changed[k] >= l->published_step &&
            (!floats_ok(row + layout->route_head, layout->dim_padded) ||
             !floats_ok(row + layout->route_code, layout->code_padded)))
            return false;
    }
    changed = sona_learner_tenant_changes(l->learner);
    for (uint32_t i = 0; i < layout->tenants.count; i++)
        if (changed[i] >= l->published_step &&
            !floats_ok(hot + layout->tenants.offset + i * layout->tenants.stride + layout->tenant_a,
                       (layout->tenants.stride - layout->tenant_a) / sizeof(float)))
            return false;
    return true;
}

static void refuse(struct sona_sidecar_learner *l)
{
    uint64_t n = atomic_load_explicit(&l->refused, memory_order_relaxed);

    atomic_store_explicit(&l->refused, n + 1, memory_order_relaxed);
    l->dirty = false; /* until something is learned again */
    sona_sidecar_log(SONA_SIDECAR_ERROR, "weights_refused",
                     "step=%llu reason=\"the model is not sound; the last one stays\"",
                     (unsigned long long)sona_learner_step(l->learner));
}

/* The slot that the next cold half goes to, written; false: none is free now. */
static bool prepare_cold(struct sona_sidecar_learner *l)
{
    if (!l->cold_slot)
        l->cold_slot = sona_shm_publisher_reserve_cold(l->publisher, l->now_us / 1000);
    if (!l->cold_slot)
        return false;
    if (!l->cold_written)
        memcpy(l->cold_slot, view_of(l).cold, l->layout->cold_bytes);
    l->cold_written = true;
    return true;
}

static void publish(struct sona_sidecar_learner *l)
{
    const struct sona_model_layout *layout = l->layout;
    struct sona_shm_published p = {.id = 0};
    struct sona_shm_image image = {
        .bytes = view_of(l).hot,
        .size = layout->hot_bytes,
        .dense_bytes = layout->hot_dense_bytes,
        .step = sona_learner_step(l->learner),
        .n_tables = 4,
        .table = {{.offset = layout->routes.offset,
                   .stride = layout->routes.stride,
                   .count = layout->routes.count,
                   .changed_at = sona_learner_route_changes(l->learner)},
                  {.offset = layout->pattern_stats.offset,
                   .stride = layout->pattern_stats.stride,
                   .count = layout->pattern_stats.count,
                   .changed_at = sona_learner_pattern_changes(l->learner)},
                  {.offset = layout->tenant_index.offset,
                   .stride = layout->tenant_index.stride,
                   .count = layout->tenant_index.count,
                   .changed_at = sona_learner_index_changes(l->learner)},
                  {.offset = layout->tenants.offset,
                   .stride = layout->tenants.stride,
                   .count = layout->tenants.count,
                   .changed_at = sona_learner_tenant_changes(l->learner)}},
    };

    if (!weights_ok(l)) {
        refuse(l);
        return;
    }
    l->published_us = l->now_us; /* the attempt counts: no haste when readers hold every slot */
    if (!l->cold_new || prepare_cold(l))
        sona_shm_publisher_publish(l->publisher, &image, l->cold_new, l->now_us / 1000, &p);
    l->stale = true;
    l->held = p.id == 0;
    if (l->held) {
        sona_sidecar_tally_add(&l->tally, SONA_COUNTER_coalesced, 1);
        return;
    }
    sona_sidecar_tally_add(&l->tally, SONA_COUNTER_snapshots, 1);
    sona_sidecar_tally_add(&l->tally, SONA_COUNTER_revoked_slots, p.revoked);
    l->version = p.id;
    l->published_step = image.step;
    l->dirty = false;
    if (l->cold_new) {
        l->cold_new = l->cold_written = false;
        l->cold_slot = NULL;
    }
}

/* ---- showing ---- */

/* The bank changes with the cold half only. The version shown last has the one of its cycle. */
static void show_bank(const struct sona_sidecar_learner *l, struct sona_sidecar_version *v)
{
    struct sona_model_view view = view_of(l);
    const struct sona_sidecar_version *before = l->versions->current; /* we are the only writer */
    struct sona_sidecar_bank *bank = before ? before->bank : NULL;

    v->cycles = v->stats.counter[SONA_COUNTER_background_cycles];
    if (!bank || before->cycles != v->cycles) {
        bank = sona_sidecar_bank_make(v->stats.patterns);
        if (bank)
            bank->n = sona_model_list_patterns(&view, 0, bank->n, bank->pattern);
    }
    sona_sidecar_version_share(v, bank);
}

static void show(struct sona_sidecar_learner *l)
{
    struct sona_model_view view = view_of(l);
    struct sona_sidecar_version *v = sona_sidecar_version_make(l->layout->geometry.routes_max);

    if (!v) { /* the one before stays; nothing is lost, a later one will show it */
        sona_sidecar_log(SONA_SIDECAR_WARN, "no_memory", "reason=\"figures are not up to date\"");
        return;
    }
    sona_learner_stats(l->learner, &v->stats);
    sona_sidecar_tally_sum(&l->tally, &v->stats);
    v->stats.version = l->version;
    v->stats.last_cycle_ms = l->cycle_ms;
    v->stats.memory_bytes = l->bytes;
    v->enabled = sona_learner_enabled(l->learner);
    v->route_changes = l->route_changes;
    v->n_routes = sona_model_routes(&view, v->route, v->n_routes);
    show_bank(l, v);
    sona_sidecar_version_swap(l->versions, v);
    /* Release: pairs with the intake's acquire; whoever sees the position finds this version. */
    atomic_store_explicit(&l->stream->shown, l->taken, memory_order_release);
    l->shown_us = l->now_us;
    l->stale = false;
}

/* ---- cycles ---- */

static void install(struct sona_sidecar_learner *l)
{
    sona_learner_cycle_install(l->learner, l->job, &l->report);
    l->running = false;
    l->dirty = l->stale = true;
    l->cold_new = true;
    l->cold_written = false;
    sona_sidecar_log(SONA_SIDECAR_INFO, "cycle_installed",
                     "step=%llu replayed=%llu patterns=%u ms=%.1f",
                     (unsigned long long)sona_learner_step(l->learner),
                     (unsigned long long)l->report.replayed, l->report.patterns, l->cycle_ms);
}

/* At the event where it is due, whatever readers do: the same events give the same model. */
static bool cycle_inline(struct sona_sidecar_learner *l, uint64_t now_ms, bool force)
{
    if (!(force || sona_learner_cycle_due(l->learner, now_ms)) ||
        !sona_learner_cycle_start(l->learner, l->job, now_ms))
        return false;
    uint64_t start_us = sona_sidecar_now_us();
    sona_learner_cycle_run(l->job);
    l->cycle_ms = (double)(sona_sidecar_now_us() - start_us) / 1000;
    install(l);
    return true;
}

/* False: there is nothing to run a cycle for. True: it runs, or will when a cold slot is free. */
static bool cycle_start(struct sona_sidecar_learner *l, bool force)
{
    uint64_t now_ms = l->now_us / 1000;

    if (l->cold_new || l->running)
        return true;
    if (!force && !sona_learner_cycle_due(l->learner, now_ms))
        return false;
    l->cold_slot = sona_shm_publisher_reserve_cold(l->publisher, now_ms);
    if (!l->cold_slot) {
        if (!l->postponed)
            sona_sidecar_tally_add(&l->tally, SONA_COUNTER_background_postponed, 1);
        l->postponed = true;
        return true;
    }
    l->postponed = false;
    if (!sona_learner_cycle_start(l->learner, l->job, now_ms)) {
        sona_shm_publisher_cancel_cold(l->publisher);
        l->cold_slot = NULL;
        return false;
    }
    l->running = true;
    sona_sidecar_background_give(l->background, l->job);
    return true;
}

static void cycle_threaded(struct sona_sidecar_learner *l)
{
    if (l->running) {
        if (sona_sidecar_background_take(l->background, &l->cycle_ms))
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
            l->dirty = true;
        if (sona_learner_switched(l->learner)) /* all of it is another, as after an install */
            l->dirty = l->cold_new = true, l->cold_written = false;
        sona_shm_queue_release(l->stream->queue);
        l->taken++;
        l->stale = true;
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
    } else if (l->background && (l->running || l->cold_new)) {
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
            l->taken >= atomic_load_explicit(&l->stream->flush_handed, memory_order_relaxed))
            l->commanded = APPLIED;
    } else {
        sona_sidecar_command_apply(l->learner, &l->command);
        l->route_changes++;
        l->dirty = true;
        l->commanded = APPLIED;
        show(l); /* the intake knows a new route before a client can choose it */
    }
}

/* What was applied is published: show it, then say so. */
static void answer(struct sona_sidecar_learner *l)
{
    if (l->commanded != APPLIED || l->dirty)
        return;
    show(l);
    (void)sona_sidecar_commands_put(l->answered, &l->command); /* no room: the asker times out */
    (void)eventfd_write(l->answered_fd, 1);
    l->commanded = NO_COMMAND;
}

/* Publish and show what is due; returns in how many microseconds the next of them is. */
static uint64_t deliver(struct sona_sidecar_learner *l, bool idle)
{
    uint64_t publish_us = idle && !l->held ? SONA_SHM_G_TICK_US : BUSY_PUBLISH_US;
    uint64_t show_us = idle ? IDLE_SHOW_US : BUSY_SHOW_US;
    uint64_t wait_us = IDLE_US;

    if (l->dirty && l->now_us - l->published_us >= publish_us)
        publish(l);
    if (l->stale && l->now_us - l->shown_us >= show_us)
        show(l);
    if (l->dirty && l->published_us + publish_us - l->now_us < wait_us)
        wait_us = l->published_us + publish_us - l->now_us;
    if (l->stale && l->shown_us + show_us - l->now_us < wait_us)
        wait_us = l->shown_us + show_us - l->now_us;
    return wait_us;
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
        if (sona_sidecar_background_take(l->background, &l->cycle_ms)) {
            sona_sidecar_wake_cancel(&l->stream->wake);
            install(l);
        } else {
            sona_sidecar_wake_wait(&l->stream->wake, IDLE_US);
        }
    }
    for (int n = 0; l->dirty && n < LAST_TRIES; n++) {
        l->now_us = sona_sidecar_now_us();
        if (l->now_us - l->published_us >= SONA_SHM_G_TICK_US)
            publish(l);
        (void)sched_yield();
    }
    show(l);
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
        uint64_t wait_us = deliver(l, idle);
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
    l->bytes = learner_bytes + job_bytes;
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
    l->publisher = options->publisher;
    l->stream = options->stream;
    l->versions = options->versions;
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
        l->cold_new = true;
        publish(l);
        show(l);
        if (l->version == 0)
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
    return atomic_load_explicit(&learner->refused, memory_order_relaxed);
}
