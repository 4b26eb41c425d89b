/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Taking an outcome back, and putting another in its place.
 *
 *     at once        the route's n and s, the patterns' counts, the AdaGrad head and its
 *                    accumulator: sums, and the step of a head, have an exact opposite
 *     next cycle     refit heads, code and centroids are made from the replay, which has forgotten
 *     fades          stack weights, drift sums, MicroLoRA, running means: each forgets by itself,
 *                    and a step back from where they are now would be a new error
 *
 * The outcome is found by a walk over the replay, newest first: 40 bytes an entry, some 20 us at
 * 5,000 of them. Only revocations and replacements pay for it.
 *
 * A background job that runs meanwhile has its own copy of the outcome. Its slot is marked, and the
 * install takes what the job still counted out of the new counts; the mark outlives the slot's
 * content, which may be evicted before the install.
 */
#include <math.h>
#include <string.h>

#include "engine/learner/state.h"

static uint64_t *gone(const struct sona_learner *l)
{
    return (void *)((unsigned char *)(uintptr_t)l + l->gone);
}

bool sona_learner_slot_gone(const struct sona_learner *l, uint32_t slot)
{
    return gone(l)[slot / 64] >> (slot % 64) & 1u;
}

void sona_learner_slots_clear(struct sona_learner *l)
{
    memset(gone(l), 0, (l->config.replay_capacity + 63) / 64 * sizeof(uint64_t));
}

uint32_t sona_learner_replay_find(const struct sona_learner *l, uint64_t id)
{
    const struct sona_learner_entry *entries = sona_learner_entries(l);
    uint32_t capacity = l->replay_capacity, slot = l->replay_next;

    for (uint32_t i = 0; i < l->replay_count && id != 0; i++) { /* 0: nobody's */
        slot = slot == 0 ? capacity - 1 : slot - 1;
        if (entries[slot].id == id && !sona_learner_entry_gone(&entries[slot]))
            return slot;
    }
    return capacity;
}

static void take_back_route(struct sona_learner *l, const struct sona_learner_entry *entry,
                            const float *x)
{
    struct sona_model_hot *head = sona_learner_head(l);

    sona_learner_heads_uncount(l, entry->route, entry->quality, entry->weight);
    sona_learner_heads_step_back(l, entry->route, x, entry->error, entry->weight);
    sona_learner_ewc_measure(l, entry->route);
    sona_learner_micro_heads(l); /* they are made of the heads */
    if (head->outcomes > 0)
        head->outcomes--;
    sona_learner_touch_route(l, entry->route);
}

static void take_back(struct sona_learner *l, uint32_t slot)
{
    struct sona_learner_entry *entry = &sona_learner_entries(l)[slot];
    const float *x = sona_learner_replay_x(l, slot);
    struct sona_model_view view = sona_learner_view(l);
    struct sona_model_scores scores;

    sona_learner_head(l)->step++;
    if (entry->route != SONA_LEARNER_NO_ROUTE)
        take_back_route(l, entry, x);
    if (l->config.patterns) {
        /* The patterns have not moved since it was counted, or it was counted anew when they did:
         * the same weights come out. */
        sona_model_scratch_init(&l->layout, (unsigned char *)l + l->scores, &scores);
        sona_model_locate(&view, x, &scores);
        sona_learner_patterns_uncount(l, &scores.near, entry->route, entry->quality, entry->weight);
    }
    l->quality_count -= 1;
    l->quality_sum -= (double)entry->quality;
    if (l->cycle_running && entry->step <= l->cycle_start)
        gone(l)[slot / 64] |= 1ull << (slot % 64);
    entry->quality = -1;
    entry->weight = 0;
    entry->route = entry->pattern = SONA_LEARNER_NO_ROUTE;
    l->fresh++; /* a cycle has something to do */
    sona_learner_cycle_soon(l);
}

sona_err sona_learner_revise(struct sona_learner *l, const struct sona_learner_event *event)
{
    const struct sona_learner_entry *entry;
    struct sona_learner_event again = *event;
    uint32_t slot = sona_learner_replay_find(l, event->id), k;

    if (event->kind == SONA_LEARNER_REPLACE && !isfinite(event->quality))
        return sona_learner_count_as(l, SONA_COUNTER_drop_not_finite, SONA_E_NOT_FINITE);
    if (event->kind == SONA_LEARNER_REPLACE && !(event->quality >= 0 && event->quality <= 1))
        return sona_learner_count_as(l, SONA_COUNTER_drop_range, SONA_E_RANGE);
    if (!sona_learner_enabled(l))
        return sona_learner_count_as(l, SONA_COUNTER_drop_disabled, SONA_OK);
    if (slot == l->replay_capacity)
        return sona_learner_count_as(l, SONA_COUNTER_drop_revoke_late, SONA_E_TIMEOUT);
    if (event->kind == SONA_LEARNER_REVOKE) {
        take_back(l, slot);
        return sona_learner_count_as(l, SONA_COUNTER_revoked, SONA_OK);
    }
    entry = &sona_learner_entries(l)[slot];
    k = entry->route;
    if (k == SONA_LEARNER_NO_ROUTE && entry->weight == 0)
        return sona_learner_count_as(l, SONA_COUNTER_drop_route_retired, SONA_E_ROUTE);
    if (k != SONA_LEARNER_NO_ROUTE && sona_learner_row(l, k)->mode == SONA_MODE_BYPASS)
        return sona_learner_count_as(l, SONA_COUNTER_drop_bypass, SONA_OK);
    again.kind = SONA_LEARNER_OUTCOME;
    again.tenant = entry->tenant;
    again.type = entry->type;
    again.x = sona_learner_replay_x(l, slot);
    again.route = k == SONA_LEARNER_NO_ROUTE ? SONA_ROUTE_NONE : sona_learner_row(l, k)->id;
    take_back(l, slot);
    sona_learner_teach(l, &again, k);
    return sona_learner_count_as(l, SONA_COUNTER_replaced, SONA_OK);
}
