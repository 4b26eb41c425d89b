/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See sidecar.h. */
#include "sidecar/sidecar.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "shm/diag.h"
#include "shm/segment.h"
#include "sidecar/clock.h"
#include "sidecar/guard.h"
#include "sidecar/log.h"
#include "sidecar/places.h"
#include "sidecar/startup.h"
#include "sidecar/store/store.h"

static sona_err make_layout(struct sona_model_layout *ret,
                            const struct sona_sidecar_options *options, sona_diag *reterr)
{
    sona_geometry geometry;

    sona_config_geometry(&options->config, &geometry);
    sona_err err = sona_model_layout_init(ret, &geometry);
    if (err != SONA_OK)
        return sona_shm_diag_set(reterr, err, 0, "the configuration makes no model: %s; %s",
                                 sona_err_text(err), sona_err_remedy(err));
    return SONA_OK;
}

#define EXPECT_MS 2000u /* clients look for a successor at least once a second */

static sona_err make_ledger(struct sona_sidecar *s, sona_diag *reterr)
{
    char path[sizeof s->instance.lock_path + 8];
    size_t stem = strlen(s->instance.lock_path) - strlen(".lock");

    (void)snprintf(path, sizeof path, "%.*s.lanes", (int)stem, s->instance.lock_path);
    return sona_sidecar_ledger_open(&s->ledger, path, reterr);
}

/* What readers of an old segment go on reading until the first publication. */
static bool is_sound(const void *arg, const void *hot, const void *cold)
{
    const struct sona_model_layout *layout = arg;

    return sona_model_validate_hot(layout, hot) == SONA_OK &&
           sona_model_validate_cold(layout, cold) == SONA_OK;
}

static sona_err make_segment(struct sona_sidecar *s, sona_diag *reterr)
{
    const struct sona_shm_segment_options options = {
        .instance = s->options->instance,
        .geometry = s->layout.geometry,
        .hot_bytes = s->layout.hot_bytes,
        .cold_bytes = s->layout.cold_bytes,
        .lease_ms = s->options->lease_ms,
        .wall_us = sona_sidecar_wall_us(),
        .floor_g = sona_sidecar_ledger_g(s->ledger),
        .adopt = !s->options->check,
        .now_ms = sona_sidecar_now_ms(),
        .judge = is_sound,
        .judge_arg = &s->layout,
    };
    sona_err err = sona_shm_publisher_create(&s->publisher, &options, reterr);

    if (err != SONA_OK)
        return err;
    /* Best effort: a page that is locked by one process stays in memory for all who map it. */
    (void)mlock((const char *)sona_shm_publisher_live(s->publisher) - SONA_SHM_PAGE,
                sona_shm_publisher_header(s->publisher)->total_bytes);
    bool adopted = sona_shm_publisher_adopted(s->publisher);
    const char *renewed = sona_shm_publisher_renewed(s->publisher);
    if (adopted || renewed)
        sona_sidecar_log(SONA_SIDECAR_INFO, adopted ? "segment_adopted" : "segment_renewed",
                         "lanes_expected=%u lost_killed=%llu reason=\"%s\"",
                         sona_sidecar_ledger_waiting(s->ledger),
                         (unsigned long long)(s->store ? 0 : sona_sidecar_ledger_taken(s->ledger)),
                         adopted ? "it fits" : renewed);
    if (sona_sidecar_ledger_waiting(s->ledger) == 0)
        sona_shm_publisher_grace_end(s->publisher);
    return SONA_OK;
}

/* What the store says on its own threads: what it survived, and what it could not do. */
static void store_notice(void *context, const char *event, const char *text)
{
    struct sona_sidecar_voice *before = sona_sidecar_voice_current();

    sona_sidecar_voice_speak(context);
    sona_sidecar_log(SONA_SIDECAR_WARN, event, "reason=\"%s\"", text);
    sona_sidecar_voice_speak(before);
}

static sona_err open_store(struct sona_sidecar *s, sona_diag *reterr)
{
    const struct sona_sidecar_options *o = s->options;

    return sona_store_open(
        &s->store,
        &(struct sona_store_options){.instance = s->instance.name,
                                     .state_dir = o->state_dir,
                                     .intake_dir = s->instance.dir,
                                     .durability = (enum sona_store_durability)o->durability,
                                     .journal_off = o->journal_off != 0,
                                     .retain_bytes = (uint64_t)o->retain_mb << 20,
                                     .retain_ms = (uint64_t)o->retain_days * 86400000u,
                                     .generations = o->generations,
                                     .sample = (float)o->sample_percent / 100,
                                     .seed = o->config.seed,
                                     .notice = store_notice,
                                     .context = sona_sidecar_voice_current()},
        reterr);
}

static sona_err make_store(struct sona_sidecar *s, sona_diag *reterr)
{
    struct sona_sidecar_options *o = s->options;

    if (!o->state_dir)
        return SONA_OK;
    (void)signal(SIGXFSZ, SIG_IGN); /* a limit of file sizes is a full disk: learning waits */
    (void)snprintf(s->arena_path, sizeof s->arena_path, "%s/%s.arena", s->instance.dir,
                   s->instance.name);
    if (!o->state_by_default)
        return open_store(s, reterr);
    sona_sidecar_places_make_parents(o->state_dir);
    sona_err err = open_store(s, reterr);
    if (err == SONA_OK || (err != SONA_E_PERMISSION && access(o->state_dir, F_OK) == 0))
        return err;
    /* Nobody asked for it, so nobody is refused for it. */
    sona_sidecar_log(SONA_SIDECAR_WARN, "state_not_kept",
                     "reason=\"%s; a restart will forget everything\"", reterr->text);
    o->state_dir = NULL;
    return SONA_OK;
}

static sona_err make_stream(struct sona_sidecar *s, sona_diag *reterr)
{
    uint32_t stride = sona_sidecar_joined_stride(s->layout.dim_padded);
    uint32_t slots = sona_sidecar_queue_slots(s->options->config.queue_capacity, stride);

    s->queue_memory = aligned_alloc(64, (sona_shm_queue_bytes(slots, stride) + 63) / 64 * 64);
    s->desk.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!s->queue_memory || s->desk.fd < 0)
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, errno, "no memory for the learner's queue");
    s->stream.queue = sona_shm_queue_init(s->queue_memory, slots, stride);
    return SONA_OK;
}

static sona_err make_threads(struct sona_sidecar *s, sona_diag *reterr)
{
    const struct sona_sidecar_options *o = s->options;
    sona_err err = sona_sidecar_learner_create(
        &s->learner,
        &(struct sona_sidecar_learner_options){.config = &o->config,
                                               .layout = &s->layout,
                                               .routes = o->routes,
                                               .n_routes = o->n_routes,
                                               .background_inline = o->background_inline,
                                               .store = s->store,
                                               .check = o->check,
                                               .instance = &s->instance,
                                               .clients = &s->clients,
                                               .learn_durable = o->durability == SONA_STORE_EVERY,
                                               .publisher = s->publisher,
                                               .stream = &s->stream,
                                               .versions = &s->versions,
                                               .asked = &s->asked},
        reterr);

    if (err == SONA_OK)
        err = sona_sidecar_intake_create(
            &s->intake,
            &(struct sona_sidecar_intake_options){
                .config = &o->config,
                .layout = &s->layout,
                .record_stride = sona_shm_publisher_header(s->publisher)->record_stride,
                .idle_cap_us = o->idle_cap_us,
                .hearing = {.queries = {.cap = o->influence_cap},
                            .words = {.cap = o->influence_cap},
                            .rate = o->client_rate},
                .arena_path = s->store && !o->check ? s->arena_path : NULL,
                .journal = s->store ? sona_store_identity(s->store) : 0,
                .taken = sona_sidecar_learner_events(s->learner),
                /* Inline, the same events give the same model: the clock has no say in them. */
                .ration = {.active = s->store && !o->background_inline && !o->journal_off,
                           .queries = sona_learner_watches(&o->config),
                           .query_rate = o->query_rate,
                           .store = s->store,
                           .queue = s->stream.queue,
                           .learn_durable = o->durability == SONA_STORE_EVERY},
                .stream = &s->stream,
                .ledger = s->ledger,
                .versions = &s->versions,
                .gone_fd = s->desk.fd},
            reterr);
    if (err == SONA_OK)
        err = sona_sidecar_clients_init(&s->clients, s->publisher, s->ledger, s->store != NULL,
                                        o->lanes_max, reterr);
    if (err == SONA_OK)
        err = sona_sidecar_learner_start(s->learner, reterr);
    if (err == SONA_OK)
        sona_sidecar_intake_recall(s->intake);
    if (err == SONA_OK)
        err = sona_sidecar_intake_start(s->intake, reterr);
    return err;
}

static void set_state(struct sona_sidecar *s, enum sona_shm_state state)
{
    s->state = state;
    sona_shm_publisher_set_state(s->publisher, state);
}

sona_err sona_sidecar_open(struct sona_sidecar *ret, struct sona_sidecar_options *options,
                           sona_diag *reterr)
{
    struct sona_sidecar *s = ret;

    memset(s, 0, sizeof *s);
    s->options = options;
    s->desk.fd = -1;
    sona_sidecar_commands_init(&s->asked);
    sona_sidecar_commands_init(&s->desk.answered);
    s->instance.lock_fd = s->instance.listen_fd = s->instance.control_fd = -1;
    s->started_us = sona_sidecar_now_us();
    if (!options->check)
        sona_sidecar_startup_log(options);
    sona_err err = make_layout(&s->layout, options, reterr);
    if (err == SONA_OK)
        err = sona_sidecar_instance_open(&s->instance, options->instance, options->runtime_dir,
                                         reterr);
    if (err == SONA_OK)
        err = sona_sidecar_guard_install(reterr);
    if (err == SONA_OK)
        err = make_ledger(s, reterr);
    if (err == SONA_OK)
        err = make_store(s, reterr);
    if (err == SONA_OK)
        err = make_segment(s, reterr);
    if (err == SONA_OK)
        err = make_stream(s, reterr);
    if (err == SONA_OK)
        err = make_threads(s, reterr);
    if (err != SONA_OK)
        sona_sidecar_close(s);
    return err;
}

sona_err sona_sidecar_listen(struct sona_sidecar *sidecar, sona_diag *reterr)
{
    set_state(sidecar, SONA_SHM_LIVE);
    sidecar->served = true;
    atomic_store_explicit(&sidecar->beat_ms, sona_sidecar_now_ms(), memory_order_relaxed);
    sona_sidecar_roster_renew(sidecar);
    sona_err err = sona_sidecar_instance_listen(&sidecar->instance, reterr);

    if (err == SONA_OK && sidecar->options->group != SONA_SIDECAR_GROUP_NONE)
        err = sona_sidecar_instance_admit(&sidecar->instance, sidecar->options->group, reterr);
    return err;
}

void sona_sidecar_remember(struct sona_sidecar *sidecar)
{
    struct sona_sidecar *s = sidecar;

    sona_sidecar_ledger_note_g(s->ledger, SONA_SHM_ID_G(sona_shm_publisher_current(s->publisher)));
    if (sona_sidecar_now_us() - s->started_us > EXPECT_MS * 1000)
        sona_sidecar_ledger_give_up(s->ledger);
}

/* A segment that was adopted and never served is somebody's last model: it is not touched. */
static bool is_ours(const struct sona_sidecar *s)
{
    return s->publisher && (s->served || !sona_shm_publisher_adopted(s->publisher));
}

/* The ledger stays where its lanes may be handed back to another, and where g has run ahead of the
 * clock, as after many quick restarts: the next sidecar must not begin below it. */
static bool may_forget(const struct sona_sidecar *s)
{
    uint64_t clock_g = sona_shm_segment_first_g(0, sona_sidecar_wall_us());

    return (s->served || sona_sidecar_ledger_waiting(s->ledger) == 0) &&
           sona_sidecar_ledger_g(s->ledger) <= clock_g;
}

void sona_sidecar_stop(struct sona_sidecar *sidecar)
{
    struct sona_sidecar *s = sidecar;

    sona_sidecar_instance_deafen(&s->instance);
    if (is_ours(s))
        set_state(s, SONA_SHM_DRAINING);
    if (s->roster)
        sona_sidecar_roster_show(s);
    if (s->intake)
        sona_sidecar_intake_stop(s->intake);
    /* Without an intake thread nobody else says that nothing follows. Release, as there. */
    atomic_store_explicit(&s->stream.finished, true, memory_order_release);
    sona_sidecar_wake_notify(&s->stream.wake);
    if (s->learner)
        sona_sidecar_learner_join(s->learner);
    if (is_ours(s))
        set_state(s, SONA_SHM_RETIRED);
    s->state = SONA_SHM_RETIRED;
    if (s->roster)
        sona_sidecar_roster_show(s);
}

void sona_sidecar_close(struct sona_sidecar *sidecar)
{
    struct sona_sidecar *s = sidecar;

    if (s->state != SONA_SHM_RETIRED)
        sona_sidecar_stop(s);
    sona_sidecar_clients_done(&s->clients);
    sona_sidecar_intake_destroy(&s->intake);
    sona_sidecar_learner_destroy(&s->learner);
    sona_store_close(&s->store);
    sona_sidecar_version_done(&s->versions);
    sona_sidecar_roster_done(s);
    if (s->publisher)
        sona_sidecar_remember(s);
    sona_shm_publisher_destroy(&s->publisher, is_ours(s));
    if (s->ledger)
        sona_sidecar_ledger_close(&s->ledger, may_forget(s));
    free(s->queue_memory);
    s->queue_memory = NULL;
    sona_sidecar_commands_done(&s->asked);
    sona_sidecar_commands_done(&s->desk.answered);
    if (s->desk.fd >= 0)
        (void)close(s->desk.fd);
    s->desk.fd = -1;
    sona_sidecar_instance_close(&s->instance);
}

sona_err sona_sidecar_check(struct sona_sidecar_options *options, sona_diag *reterr)
{
    enum sona_sidecar_grade grade = sona_sidecar_startup_print(options, stdout);
    struct sona_sidecar s;
    sona_err err = sona_sidecar_open(&s, options, reterr);

    if (err == SONA_E_BUSY) { /* the question is asked before a SIGHUP, too */
        (void)printf("ok: instance %s, %u routes; it is running now, so that whether another start "
                     "would find room is not known\n",
                     options->instance, options->n_routes);
        return SONA_OK;
    }
    if (err != SONA_OK)
        return err;
    const struct sona_shm_header *h = sona_shm_publisher_header(s.publisher);
    if (options->state_dir)
        (void)printf("fine   state        kept in %s\n", options->state_dir);
    else
        (void)printf("lacks  state        not kept: a restart forgets everything\n");
    (void)printf("ok: instance %s, %u routes, %llu bytes of shared memory, socket %s\n",
                 options->instance, options->n_routes, (unsigned long long)h->total_bytes,
                 s.instance.socket_path);
    sona_sidecar_close(&s);
    if (grade == SONA_SIDECAR_FATAL)
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, 0,
                                 "it starts here, and no client could attach: see above");
    return SONA_OK;
}
