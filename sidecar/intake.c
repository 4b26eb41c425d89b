/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * See intake.h. One round visits every lane once, with a budget for each, so that no client starves
 * another. Per record one copy out of shared memory, and what is judged is the copy. Once per
 * visit, after the records were remembered or handed on and not after learning, the ledger's cursor
 * is moved, and then the lane's slots are given back: killed before the first, the next sidecar
 * takes them again, and what this one did with them is gone with it; killed between the two, it
 * skips them.
 *
 * Parking: an outcome whose decision lies at or beyond the place its lane is drained to, and within
 * one ring of it, is on its way and worth waiting for; so is one whose lane may still be handed
 * back after a restart. Anything else is unknown.
 */
#include "sidecar/intake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

#include "shm/diag.h"
#include "shm/fault.h"
#include "sidecar/clock.h"
#include "sidecar/figures.h"
#include "sidecar/guard.h"
#include "sidecar/hearing.h"
#include "sidecar/log.h"
#include "sidecar/pulse.h"
#include "sidecar/recall.h"
#include "sidecar/thread.h"

#define BUDGET          64u     /* records of one lane in one round */
#define SPIN_US         20u     /* idle: look again at once for so long, */
#define NAP_US          50u     /* then nap so long, */
#define NAPS            16u     /* so often, then double up to the cap */
#define LONELY_US       100000u /* without a client: between two looks at what expired */
#define EXPIRE_MS       10u
#define STOP_CLIENTS_MS 120u  /* clients look at the segment's state every 100 ms and stop */
#define STOP_QUIET_MS   5u    /* a stop ends after so long without a record */
#define STOP_MAX_MS     1000u /* or now: a client that does not stop counts its own loss */

struct sona_sidecar_intake {
    struct sona_sidecar_recall recall;
    struct sona_sidecar_ration ration;
    struct sona_sidecar_stream *stream;
    struct sona_sidecar_ledger *ledger;
    const struct sona_sidecar_versions *versions;
    uint64_t route_changes; /* of the version the rules were taken from, plus 1; 0: none yet */
    uint32_t idle_cap_us;
    struct sona_sidecar_hearing hearing;
    int gone_fd;
    pthread_t thread;
    bool started;

    struct sona_record *record; /* private copy, room for dim_padded floats at least */
    uint64_t handed;            /* events given to the learner */
    uint64_t now_us, expired_ms, idle_since_us, stop_since_us, last_record_us;
    uint32_t naps, nap_us;
    bool stopping, blocked; /* blocked: the learner's queue was full */
    uint64_t flushes;       /* asked for */
    uint32_t flush_rounds;  /* until all is drained that was committed when the last one was */

    uint32_t n_attached;
    struct sona_sidecar_attachment *attached[SONA_SHM_CLIENTS_MAX];
    uint16_t by_tag[UINT16_MAX + 1]; /* index in attached + 1; 0: none */

    struct sona_sidecar_mailbox inbox, outbox;
    struct sona_sidecar_wake wake;
    struct sona_sidecar_intake_figures figures;
};

/* ---- what the thread does ---- */

/* Take the published route table into the rules, when it changed. */
static void refresh_rules(struct sona_sidecar_intake *in)
{
    const struct sona_sidecar_version *v = sona_sidecar_version_read(in->versions);
    struct sona_sidecar_route routes[SONA_ROUTES_MAX];

    if (v && v->route_changes + 1 != in->route_changes) {
        for (uint32_t i = 0; i < v->n_routes; i++)
            routes[i] = (struct sona_sidecar_route){.id = v->route[i].id,
                                                    .state = (uint32_t)v->route[i].state};
        sona_sidecar_recall_rules(&in->recall, routes, v->n_routes);
        in->route_changes = v->route_changes + 1;
    }
    sona_sidecar_version_unread();
}

static void refresh_figures(struct sona_sidecar_intake *in)
{
    sona_sidecar_figures_refresh(&in->figures, &in->recall.join);
}

static bool on_its_way(const struct sona_sidecar_intake *in, uint64_t id)
{
    uint32_t at = in->by_tag[SONA_ID_TAG(id)];

    if (at == 0)
        return sona_sidecar_ledger_expects(in->ledger, SONA_ID_TAG(id));
    const struct sona_sidecar_attachment *a = in->attached[at - 1];
    uint32_t lane = SONA_ID_LANE(id);
    if (lane >= a->n_lanes || a->lane[lane].quarantined || a->drained)
        return false;
    uint64_t ahead = (SONA_ID_SEQ(id) - a->lane[lane].next) & SONA_ID_SEQ(UINT64_MAX);
    return ahead < a->plan.ring_slots;
}

static void quarantine(struct sona_sidecar_intake *in, struct sona_sidecar_attachment *a,
                       uint32_t index, const char *why)
{
    a->lane[index].quarantined = true;
    sona_sidecar_attachment_close_lane(&a->lane[index]);
    in->recall.join.refused[SONA_COUNTER_lanes_quarantined]++;
    refresh_figures(in);
    sona_sidecar_log(SONA_SIDECAR_WARN, "lane_quarantined", "pid=%d lane=%u reason=\"%s\"",
                     (int)a->pid, index, why);
}

/* Hand over what the last record still brings. False: the learner's queue is full, and nothing else
 * may be taken before. */
static bool finish_record(struct sona_sidecar_intake *in)
{
    while (sona_sidecar_join_has_more(&in->recall.join)) {
        struct sona_sidecar_joined *slot = sona_shm_queue_reserve(in->stream->queue);

        if (!slot || !sona_sidecar_recall_more(&in->recall, slot)) {
            in->blocked = true;
            return false;
        }
        sona_shm_queue_commit(in->stream->queue);
        in->handed++;
    }
    return true;
}

/* `k` records are taken. */
static void give_back(struct sona_sidecar_intake *in, const struct sona_sidecar_attachment *a,
                      uint32_t index, struct sona_sidecar_lane *lane, uint32_t k)
{
    SONA_FAULT(drain_taken);
    SONA_TRACE(a->tag, index, lane->next - k, k, SONA_SHM_TAKEN);
    sona_sidecar_ledger_advance(in->ledger, a->slot, index, lane->next);
    SONA_TRACE(a->tag, index, lane->next - k, k, SONA_SHM_NOTED);
    SONA_FAULT(drain_noted);
    sona_shm_drain_advance(&lane->drain, k);
    SONA_FAULT(drain_given_back);
}

static void look_ahead(struct sona_sidecar_intake *in)
{
    sona_sidecar_ration_measure(&in->ration, in->recall.join.refused[SONA_COUNTER_drop_thinned],
                                in->now_us / 1000);
}

/* Acquire: pairs with the learner's release. */
static bool may_take(struct sona_sidecar_intake *in)
{
    return sona_sidecar_recall_ready(
        &in->recall, atomic_load_explicit(&in->stream->kept, memory_order_acquire) == in->handed);
}

/* One visit: up to BUDGET records. Returns how many were taken. */
static uint32_t visit(struct sona_sidecar_intake *in, struct sona_sidecar_attachment *a,
                      uint32_t index)
{
    struct sona_sidecar_lane *lane = &a->lane[index];
    uint32_t k = 0;

    if (lane->quarantined)
        return 0;
    if (!may_take(in)) {
        in->blocked = true;
        return 0;
    }
    int64_t ready = sona_shm_drain_ready(&lane->drain);
    if (ready < 0 || sona_sidecar_guard_broken(a->guard)) {
        quarantine(in, a, index, ready < 0 ? "its indices make no sense" : "a page is missing");
        return 0;
    }
    /* After the look at the ring: whoever decided by a snapshot with a new route commits after the
     * version that shows the route. */
    if (ready > 0) {
        refresh_rules(in);
        look_ahead(in);
    }
    uint32_t budget = sona_sidecar_hearing_allowance(&in->hearing, a, in->now_us, BUDGET);
    for (uint32_t n = ready < budget ? (uint32_t)ready : budget; k < n; k++) {
        struct sona_sidecar_joined *slot = NULL;

        if (finish_record(in) && sona_sidecar_recall_has_room(&in->recall))
            slot = sona_shm_queue_reserve(in->stream->queue);
        if (!slot) {
            in->blocked = true;
            break;
        }
        sona_shm_drain_copy(&lane->drain, k, in->record);
        SONA_FAULT(drain_copied);
        bool too_much = !sona_sidecar_hearing_word(&in->hearing, a, in->record, in->now_us);
        if (too_much && sona_sidecar_hearing_waits(a, in->now_us)) {
            in->recall.join.refused[SONA_COUNTER_influence_waits]++;
            break;
        }
        struct sona_sidecar_taken taken = {
            .origin = {.tag = a->tag, .lane = index, .seq = lane->next++},
            .owner = a->uid,
            .muted = too_much,
            .on_its_way = on_its_way(in, in->record->id),
            .withheld = sona_sidecar_ration_withholds(&in->ration, in->record),
            .thinned = sona_sidecar_ration_thins(&in->ration, in->record->id),
            .now_ms = in->now_us / 1000,
            .record = in->record,
        };
        if (sona_sidecar_recall_take(&in->recall, &taken, slot)) {
            sona_shm_queue_commit(in->stream->queue);
            in->handed++;
        }
    }
    a->tokens -= k < a->tokens ? k : a->tokens;
    if (k > 0)
        give_back(in, a, index, lane, k);
    return k;
}

static void detach(struct sona_sidecar_intake *in, uint32_t at)
{
    struct sona_sidecar_attachment *a = in->attached[at], *last;

    last = in->attached[--in->n_attached];
    in->attached[at] = last;
    in->by_tag[last->tag] = (uint16_t)(at + 1);
    in->by_tag[a->tag] = 0;
    SONA_TRACE(a->tag, 0, (uint64_t)a->pid, a->n_lanes, SONA_SHM_GONE);
    sona_sidecar_mailbox_put(&in->outbox, SONA_SIDECAR_GONE, a);
    (void)eventfd_write(in->gone_fd, 1);
}

/* Look after the attachments whose client is gone: drained, then learned, then given back. */
static void finish_ended(struct sona_sidecar_intake *in)
{
    /* Acquire: pairs with the learner's release; the counters of the version it shows are seen. */
    uint64_t shown = atomic_load_explicit(&in->stream->shown, memory_order_acquire);

    for (uint32_t at = in->n_attached; at-- > 0;) {
        struct sona_sidecar_attachment *a = in->attached[at];

        if (!a->ending)
            continue;
        if (!a->drained && sona_sidecar_attachment_is_drained(a) && may_take(in) &&
            !sona_sidecar_join_has_more(&in->recall.join)) {
            a->drained = true;
            a->handed = in->handed;
            sona_sidecar_recall_forget_tag(&in->recall, a->tag);
            refresh_figures(in);
        }
        if (a->drained && shown >= a->handed)
            detach(in, at);
    }
}

/* Rounds that empty the fullest ring, each taking BUDGET records of every lane. */
static uint32_t rounds_of_a_ring(const struct sona_sidecar_intake *in)
{
    uint32_t slots = 0;

    for (uint32_t at = 0; at < in->n_attached; at++)
        if (in->attached[at]->plan.ring_slots > slots)
            slots = in->attached[at]->plan.ring_slots;
    return slots / BUDGET + 1;
}

static void read_letters(struct sona_sidecar_intake *in)
{
    struct sona_sidecar_letter letter;

    while (sona_sidecar_mailbox_take(&in->inbox, &letter)) {
        switch (letter.kind) {
        case SONA_SIDECAR_ATTACHED:
            in->attached[in->n_attached++] = letter.attachment;
            in->by_tag[letter.attachment->tag] = (uint16_t)in->n_attached;
            break;
        case SONA_SIDECAR_ENDED:
            letter.attachment->ending = true;
            sona_sidecar_hearing_end(&in->hearing, letter.attachment);
            sona_sidecar_attachment_close(letter.attachment);
            break;
        case SONA_SIDECAR_STOP:
            in->stopping = true;
            in->stop_since_us = in->last_record_us = in->now_us;
            break;
        case SONA_SIDECAR_FLUSH:
            in->flushes++;
            in->flush_rounds = rounds_of_a_ring(in);
            break;
        case SONA_SIDECAR_GONE: /* never sent this way */
            break;
        }
    }
}

/* True when a stop may end: the clients have had time to see it, and are quiet. */
static bool may_stop(const struct sona_sidecar_intake *in)
{
    uint64_t stopping_ms = (in->now_us - in->stop_since_us) / 1000;
    uint64_t quiet_ms = (in->now_us - in->last_record_us) / 1000;

    if (in->blocked && stopping_ms < STOP_MAX_MS)
        return false; /* the learner takes what it has, and then there is room */
    if (in->n_attached == 0 || stopping_ms >= STOP_MAX_MS)
        return true;
    return stopping_ms >= STOP_CLIENTS_MS && quiet_ms >= STOP_QUIET_MS;
}

static void idle(struct sona_sidecar_intake *in)
{
    if (in->n_attached == 0 && !in->stopping) {
        sona_sidecar_wake_prepare(&in->wake);
        if (atomic_load_explicit(&in->inbox.count, memory_order_relaxed) > 0) /* after [W] */
            sona_sidecar_wake_cancel(&in->wake);
        else
            sona_sidecar_wake_wait(&in->wake, LONELY_US);
        return;
    }
    if (in->idle_since_us == 0) {
        in->idle_since_us = in->now_us;
        in->naps = 0;
        in->nap_us = NAP_US < in->idle_cap_us ? NAP_US : in->idle_cap_us;
    }
    if (in->now_us - in->idle_since_us < SPIN_US)
        return;
    struct timespec nap = {.tv_nsec = (long)in->nap_us * 1000};
    (void)nanosleep(&nap, NULL);
    if (++in->naps >= NAPS)
        in->nap_us = in->nap_us * 2 < in->idle_cap_us ? in->nap_us * 2 : in->idle_cap_us;
}

/* After a round: is a flush drained? A round that met a full queue does not count. */
static void finish_flush(struct sona_sidecar_intake *in, uint32_t taken)
{
    if (in->flush_rounds == 0 || in->blocked)
        return;
    in->flush_rounds = taken == 0 ? 0 : in->flush_rounds - 1;
    if (in->flush_rounds > 0)
        return;
    atomic_store_explicit(&in->stream->flush_handed, in->handed, memory_order_relaxed);
    atomic_store_explicit(&in->stream->flushed, in->flushes, memory_order_release);
    sona_sidecar_wake_notify(&in->stream->wake);
}

/* Visit every lane once. Returns how many records were taken. */
static uint32_t drain_round(struct sona_sidecar_intake *in)
{
    uint64_t before = in->handed;
    uint32_t taken = 0;

    in->blocked = false;
    (void)finish_record(in);
    for (uint32_t at = 0; at < in->n_attached; at++)
        for (uint32_t i = 0; i < in->attached[at]->n_lanes; i++)
            taken += visit(in, in->attached[at], i);
    if (in->handed != before || in->blocked)
        sona_sidecar_wake_notify(&in->stream->wake);
    return taken;
}

/* Windows that ended; a default quality goes to the learner like any outcome. */
static void expire(struct sona_sidecar_intake *in)
{
    uint32_t budget = SONA_SIDECAR_EXPIRE_BUDGET;
    uint64_t before = in->handed;
    struct sona_sidecar_joined *slot;
    bool kept;

    look_ahead(in);
    for (uint32_t at = 0; at < in->n_attached; at++)
        sona_sidecar_hearing_fade(&in->hearing, in->attached[at], in->expired_ms);
    while (finish_record(in) && may_take(in) &&
           (slot = sona_shm_queue_reserve(in->stream->queue)) &&
           sona_sidecar_recall_expire(&in->recall, in->expired_ms, &budget,
                                      sona_sidecar_ration_thins(&in->ration, in->recall.made), slot,
                                      &kept)) {
        if (!kept)
            continue;
        sona_shm_queue_commit(in->stream->queue);
        in->handed++;
    }
    if (in->handed != before)
        sona_sidecar_wake_notify(&in->stream->wake);
}

static struct sona_sidecar_joined *wait_for_slot(void *context)
{
    const struct timespec nap = {.tv_nsec = NAP_US * 1000};
    struct sona_sidecar_intake *in = context;
    struct sona_sidecar_joined *slot;

    while (!(slot = sona_shm_queue_reserve(in->stream->queue)))
        (void)nanosleep(&nap, NULL);
    return slot;
}

static void commit_slot(void *context)
{
    struct sona_sidecar_intake *in = context;

    sona_shm_queue_commit(in->stream->queue);
    in->handed++;
    sona_sidecar_wake_notify(&in->stream->wake);
}

static void *intake_loop(void *arg)
{
    struct sona_sidecar_intake *in = arg;

    (void)prctl(PR_SET_TIMERSLACK, 1);
    sona_sidecar_version_enter();
    struct sona_sidecar_pulse *pulse = sona_sidecar_pulse_begin("drain");
    for (;;) {
        sona_sidecar_pulse_beat(pulse);
        in->now_us = sona_sidecar_now_us();
        read_letters(in);
        uint32_t taken = drain_round(in);
        if (in->now_us / 1000 - in->expired_ms >= EXPIRE_MS) {
            in->expired_ms = in->now_us / 1000;
            expire(in);
            refresh_figures(in);
        }
        if (taken > 0) {
            in->idle_since_us = 0;
            in->last_record_us = in->now_us;
            refresh_figures(in);
        }
        finish_flush(in, taken);
        finish_ended(in);
        if (taken > 0)
            continue;
        if (in->stopping && may_stop(in))
            break;
        idle(in);
    }
    sona_sidecar_pulse_end(pulse);
    for (uint32_t at = 0; at < in->n_attached; at++)
        sona_sidecar_attachment_close(in->attached[at]);
    refresh_figures(in);
    /* Release: pairs with the learner's acquire; it then finds every event in the queue. */
    atomic_store_explicit(&in->stream->finished, true, memory_order_release);
    sona_sidecar_wake_notify(&in->stream->wake);
    sona_sidecar_version_leave();
    return NULL;
}

/* ---- what others call ---- */

sona_err sona_sidecar_intake_create(struct sona_sidecar_intake **ret,
                                    const struct sona_sidecar_intake_options *options,
                                    sona_diag *reterr)
{
    struct sona_sidecar_intake *in = calloc(1, sizeof *in);
    size_t room = sizeof(struct sona_record) + options->layout->dim_padded * sizeof(float);

    static_assert(SONA_RECORD_TEXT <= 16 * sizeof(float), "a padded vector holds a context");

    if (room < options->record_stride)
        room = options->record_stride;
    if (in)
        in->record = aligned_alloc(64, (room + 63) / 64 * 64);
    if (!in || !in->record) {
        free(in);
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, errno, "no memory for the intake");
    }
    const struct sona_sidecar_recall_options recall = {.config = options->config,
                                                       .layout = options->layout,
                                                       .record_stride = options->record_stride,
                                                       .path = options->arena_path,
                                                       .journal = options->journal,
                                                       .taken = options->taken};
    sona_err err = sona_sidecar_recall_init(&in->recall, &recall, reterr);
    if (err != SONA_OK) {
        free(in->record);
        free(in);
        return err;
    }
    sona_sidecar_ration_init(&in->ration, &options->ration);
    in->stream = options->stream;
    in->ledger = options->ledger;
    in->versions = options->versions;
    in->gone_fd = options->gone_fd;
    in->hearing = options->hearing;
    in->idle_cap_us = options->idle_cap_us ? options->idle_cap_us : SONA_SIDECAR_IDLE_CAP_US;
    sona_sidecar_mailbox_init(&in->inbox);
    sona_sidecar_mailbox_init(&in->outbox);
    *ret = in;
    return SONA_OK;
}

/* What the arena has of a lane was taken, though the ledger may not know it yet. */
static void settle_lanes(struct sona_sidecar_intake *in)
{
    for (uint32_t i = 0; i < in->recall.n_lanes; i++)
        for (int slot = 0; slot < (int)SONA_SIDECAR_LEDGER_MAX; slot++) {
            const struct sona_sidecar_recalled_lane *lane = &in->recall.lanes[i];
            const struct sona_sidecar_issue *issue = sona_sidecar_ledger_at(in->ledger, slot);

            if (issue && issue->tag == lane->tag && lane->lane < issue->n_lanes &&
                sona_sidecar_ledger_cursor(in->ledger, slot, lane->lane) < lane->next)
                sona_sidecar_ledger_advance(in->ledger, slot, lane->lane, lane->next);
        }
}

void sona_sidecar_intake_recall(struct sona_sidecar_intake *intake)
{
    struct sona_sidecar_intake *in = intake;
    const struct sona_sidecar_recall_hand hand = {
        .context = in, .slot = wait_for_slot, .commit = commit_slot};
    sona_diag diag;

    if (sona_sidecar_recall_replay(&in->recall, &hand, &diag) != SONA_OK)
        sona_sidecar_log(SONA_SIDECAR_ERROR, "arena_not_recalled",
                         "reason=\"%s; what waited for an outcome is gone\"", diag.text);
    else if (in->recall.arena)
        sona_sidecar_log(SONA_SIDECAR_INFO, "arena_recalled", "handed=%llu next=%llu",
                         (unsigned long long)in->handed, (unsigned long long)in->recall.made);
    settle_lanes(in);
    refresh_figures(in);
}

sona_err sona_sidecar_intake_start(struct sona_sidecar_intake *intake, sona_diag *reterr)
{
    int rc = sona_sidecar_thread_create(&intake->thread, "sona-intake", intake_loop, intake);

    if (rc != 0)
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, rc, "cannot start the intake thread");
    intake->started = true;
    return SONA_OK;
}

void sona_sidecar_intake_tell(struct sona_sidecar_intake *intake,
                              enum sona_sidecar_letter_kind kind,
                              struct sona_sidecar_attachment *attachment)
{
    sona_sidecar_mailbox_put(&intake->inbox, kind, attachment);
    sona_sidecar_wake_notify(&intake->wake);
}

struct sona_sidecar_attachment *sona_sidecar_intake_gone(struct sona_sidecar_intake *intake)
{
    struct sona_sidecar_letter letter;

    return sona_sidecar_mailbox_take(&intake->outbox, &letter) ? letter.attachment : NULL;
}

void sona_sidecar_intake_stop(struct sona_sidecar_intake *intake)
{
    if (!intake->started)
        return;
    sona_sidecar_intake_tell(intake, SONA_SIDECAR_STOP, NULL);
    (void)pthread_join(intake->thread, NULL);
    intake->started = false;
}

void sona_sidecar_intake_destroy(struct sona_sidecar_intake **intake)
{
    struct sona_sidecar_intake *in = *intake;

    if (!in)
        return;
    sona_sidecar_recall_done(&in->recall, false);
    (void)pthread_mutex_destroy(&in->inbox.lock);
    (void)pthread_mutex_destroy(&in->outbox.lock);
    free(in->record);
    free(in);
    *intake = NULL;
}

const struct sona_sidecar_intake_figures *
sona_sidecar_intake_figures(const struct sona_sidecar_intake *intake)
{
    return &intake->figures;
}

uint64_t sona_sidecar_intake_bytes(const struct sona_sidecar_intake *intake)
{
    return intake->recall.join.bytes + sizeof *intake;
}

uint64_t sona_sidecar_intake_bytes_of(const sona_config *config,
                                      const struct sona_model_layout *layout)
{
    return sona_sidecar_join_bytes(config, layout) + sizeof(struct sona_sidecar_intake);
}
