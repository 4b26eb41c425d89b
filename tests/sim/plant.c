/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What stands between two rooms of the sidecar: looked at by the oracle, and, when a defect is
 * planted, not as it should be. Without a plant each passes its call on.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/learner/learner.h"
#include "sidecar/ledger.h"
#include "tests/sim/director.h"
#include "tests/sim/wraps.h"

static struct sona_sidecar_ledger *ledger;
static struct sona_shm_publisher *publisher;
static uint64_t n_appends, n_entries;

/* ---- looked at ---- */

sona_err __wrap_sona_sidecar_clients_attach(struct sona_sidecar_clients *clients,
                                            const struct sona_sidecar_peer *peer,
                                            const struct sona_wire_hello *hello, int old_fd,
                                            struct sona_sidecar_attachment **ret, int *ret_fd,
                                            sona_diag *reterr)
{
    sona_err err =
        __real_sona_sidecar_clients_attach(clients, peer, hello, old_fd, ret, ret_fd, reterr);
    if (err == SONA_OK) {
        sim_lanes_taken((*ret)->tag);
        sim_note("attached", (*ret)->tag, (*ret)->came_back);
    }
    return err;
}

void __wrap_sona_sidecar_clients_free(struct sona_sidecar_clients *clients,
                                      struct sona_sidecar_attachment *attachment, bool reclaimed)
{
    if (reclaimed) {
        sim_lanes_given_back(attachment->tag);
        sim_note("reclaimed", attachment->tag, 0);
    }
    __real_sona_sidecar_clients_free(clients, attachment, reclaimed);
}

sona_err __wrap_sona_sidecar_core_learn(struct sona_sidecar_core *core,
                                        struct sona_sidecar_joined *joined)
{
    struct sim_word *w = sim_process_current() == SIM_WORLD ? NULL : sim_word_of(joined->id, NULL);

    if (w && w->learned_ns == 0 &&
        (joined->kind == SONA_LEARNER_OUTCOME || joined->kind == SONA_LEARNER_QUERY_OUTCOME))
        w->learned_ns = sim.now_ns;
    return __real_sona_sidecar_core_learn(core, joined);
}

/* Rows stay exact, so that the oracle's learner can be fed from the first one. */
int __wrap_sona_store_tidy(struct sona_store *store, bool *ret_more)
{
    (void)store;
    *ret_more = false;
    return 0;
}

sona_err __wrap_sona_sidecar_ledger_open(struct sona_sidecar_ledger **ret, const char *path,
                                         sona_diag *reterr)
{
    sona_err err = __real_sona_sidecar_ledger_open(ret, path, reterr);

    ledger = *ret;
    return err;
}

sona_err __wrap_sona_shm_publisher_create(struct sona_shm_publisher **ret,
                                          const struct sona_shm_segment_options *options,
                                          sona_diag *reterr)
{
    publisher = NULL;
    sona_err err = __real_sona_shm_publisher_create(ret, options, reterr);

    publisher = err == SONA_OK ? *ret : NULL;
    return err;
}

void __wrap_sona_shm_fault(enum sona_fault point)
{
    static const char *const names[] = {
#define NAME(name) #name,
        SONA_FAULTS_OF(NAME)
#undef NAME
    };

    sim_plant_point(point);
    sim_story_point(names[point], (uint32_t)point);
}

void __wrap_sona_shm_trace(uint32_t tag, uint32_t lane, uint64_t first, uint32_t n, uint32_t what)
{
    if (what == SONA_SHM_TAKEN || what == SONA_SHM_NOTED) /* the others name a process */
        sim_note(what == SONA_SHM_TAKEN ? "taken" : "noted", (uint64_t)tag << 32 | lane,
                 first << 8 | n);
}

/* ---- planted ---- */

/* The id that the next snapshot gets, in the slot that is being written. */
void sim_plant_point(enum sona_fault point)
{
    struct sona_shm_plan plan;

    if (sim.plant != SIM_PLANT_cur_early || point != SONA_FAULT_publish_cleared || !publisher ||
        sona_shm_header_plan(sona_shm_publisher_header(publisher), 1, &plan) != SONA_OK)
        return;
    struct sona_shm_live *live = sona_shm_publisher_live(publisher);
    char *hot = (char *)live - SONA_SHM_PAGE + plan.hot_offset;
    uint64_t cur = atomic_load_explicit(&live->cur, memory_order_relaxed);

    for (uint32_t i = 0; i < plan.hot_slots && cur != 0; i++) {
        struct sona_shm_hot *slot = (void *)(hot + i * plan.hot_stride);

        if (atomic_load_explicit(&slot->seq, memory_order_relaxed) != 0)
            continue;
        uint64_t id = (SONA_SHM_ID_G(cur) + 1) << 16 | (cur & 0xff00) | i;
        if (atomic_load_explicit(&slot->cold_id, memory_order_relaxed) == 0)
            continue; /* it never held anything */
        sim_note("planted", id, 0);
        atomic_store_explicit(&slot->seq, id, memory_order_relaxed);
        atomic_store_explicit(&live->cur, id, memory_order_release);
        sim_sleep(50000); /* what a copy may take */
        return;
    }
}

bool __wrap_sona_sidecar_recall_take(struct sona_sidecar_recall *recall,
                                     const struct sona_sidecar_taken *taken,
                                     struct sona_sidecar_joined *ret)
{
    if (sim.plant == SIM_PLANT_head_early)
        for (int slot = 0; slot < (int)SONA_SIDECAR_LEDGER_MAX; slot++) {
            const struct sona_sidecar_issue *issue = sona_sidecar_ledger_at(ledger, slot);

            if (issue && issue->tag == taken->origin.tag)
                sona_sidecar_ledger_advance(ledger, slot, taken->origin.lane,
                                            taken->origin.seq + 1);
        }
    return __real_sona_sidecar_recall_take(recall, taken, ret);
}

sona_err __wrap_sona_sidecar_recall_replay(struct sona_sidecar_recall *recall,
                                           const struct sona_sidecar_recall_hand *hand,
                                           sona_diag *reterr)
{
    sona_err err = __real_sona_sidecar_recall_replay(recall, hand, reterr);

    if (sim.plant == SIM_PLANT_lane_twice)
        recall->n_lanes = 0;
    return err;
}

uint64_t __wrap_sona_sidecar_learner_events(const struct sona_sidecar_learner *learner)
{
    uint64_t events = __real_sona_sidecar_learner_events(learner);

    return sim.plant == SIM_PLANT_events_twice && events > 0 ? events - 1 : events;
}

const struct sona_sidecar_entry *
__wrap_sona_sidecar_arena_next(const struct sona_sidecar_arena *arena,
                               const struct sona_sidecar_entry *entry)
{
    const struct sona_sidecar_entry *next = __real_sona_sidecar_arena_next(arena, entry);

    if (sim.plant == SIM_PLANT_pending_lost && next && ++n_entries % 8 == 0)
        next = __real_sona_sidecar_arena_next(arena, next);
    return next;
}

sona_err __wrap_sona_store_generation_save(struct sona_store *store, uint64_t position,
                                           const void *bytes, size_t n, bool pinned,
                                           uint64_t *ret_number, sona_diag *reterr)
{
    if (sim.plant == SIM_PLANT_generation_behind && position > 0)
        position--;
    return __real_sona_store_generation_save(store, position, bytes, n, pinned, ret_number, reterr);
}

bool __wrap_sona_sidecar_chronicle_cycle(struct sona_sidecar_chronicle *c,
                                         enum sona_store_kind kind, uint64_t now_ms)
{
    if (sim.plant == SIM_PLANT_install_silent && kind == SONA_STORE_cycle_install)
        return true;
    return __real_sona_sidecar_chronicle_cycle(c, kind, now_ms);
}

sona_err __wrap_sona_store_append(struct sona_store *store, const struct sona_store_record *records,
                                  uint32_t n, uint64_t *ret_position)
{
    if (sim.plant == SIM_PLANT_append_lost && ++n_appends % 16 == 0) {
        if (ret_position)
            *ret_position = sona_store_positions(store).appended;
        return SONA_OK;
    }
    return __real_sona_store_append(store, records, n, ret_position);
}
