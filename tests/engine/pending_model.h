/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What the pending table must do, as plainly as it can be said: lists in order of arrival, searched
 * from end to end. */
#ifndef SONA_TESTS_ENGINE_PENDING_MODEL_H
#define SONA_TESTS_ENGINE_PENDING_MODEL_H

#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "engine/pending/pending.h"

#define CAPACITY  6   /* of the random test */
#define WINDOW    100 /* ms */
#define STEPS     3
#define MODEL_MAX 512

#define LATENCY_US 31 /* of every outcome */

enum state { WAITING, TOLD, ABANDONED, DEFAULTED, WITHDRAWN, TAKEN_BACK };

struct item {
    uint64_t id, owner, at_ms;
    enum sona_pending_kind kind;
    enum state state;
    sona_route route;
    uint32_t steps;
    float value;   /* reward sum, or quality of a parked outcome */
    float quality; /* as told last */
    bool revoke;   /* parked: a revocation */
};

struct list {
    struct item item[MODEL_MAX];
    int n;
};

struct model {
    struct list waiting, settled, parked;
    uint64_t counter[SONA_COUNTER_COUNT];
    bool has_default;
};

static inline void list_push(struct list *list, struct item item)
{
    cr_assert(lt(int, list->n, MODEL_MAX));
    list->item[list->n++] = item;
}

static inline void list_drop(struct list *list, int i)
{
    memmove(&list->item[i], &list->item[i + 1], (size_t)(--list->n - i) * sizeof(struct item));
}

static inline int list_find(const struct list *list, uint64_t id)
{
    for (int i = 0; i < list->n; i++)
        if (list->item[i].id == id)
            return i;
    return -1;
}

static inline void model_settle(struct model *m, int i, enum state state, float quality)
{
    static const sona_counter counters[] = {[TOLD] = SONA_COUNTER_joined,
                                            [ABANDONED] = SONA_COUNTER_drop_abandoned,
                                            [DEFAULTED] = SONA_COUNTER_defaulted,
                                            [WITHDRAWN] = SONA_COUNTER_withdrawn};
    struct item item = m->waiting.item[i];

    item.state = state;
    item.quality = quality;
    list_drop(&m->waiting, i);
    if (m->settled.n == CAPACITY)
        list_drop(&m->settled, 0);
    list_push(&m->settled, item);
    m->counter[counters[state]]++;
    if (state == TOLD) {
        m->counter[quality >= 0.5f ? SONA_COUNTER_positive_feedback
                                   : SONA_COUNTER_negative_feedback]++;
        m->counter[SONA_COUNTER_latencies]++;
        m->counter[SONA_COUNTER_latency_us] += LATENCY_US;
    }
}

static inline sona_err model_refuse(struct model *m, sona_counter counter, sona_err err)
{
    m->counter[counter]++;
    return err;
}

static inline sona_err model_stray(struct model *m, sona_counter counter, sona_err err)
{
    m->counter[SONA_COUNTER_strays]++;
    return model_refuse(m, counter, err);
}

static inline sona_err model_add(struct model *m, struct item item, bool *found, float *quality)
{
    bool revoked = false;

    *found = false;
    if (list_find(&m->waiting, item.id) >= 0 || list_find(&m->settled, item.id) >= 0)
        return model_stray(m, SONA_COUNTER_drop_duplicate, SONA_E_DUPLICATE);
    m->counter[item.kind == SONA_PENDING_DECISION ? SONA_COUNTER_decisions
                                                  : SONA_COUNTER_trajectories]++;
    if (m->waiting.n == CAPACITY) {
        list_drop(&m->waiting, 0);
        m->counter[SONA_COUNTER_drop_evicted]++;
    }
    list_push(&m->waiting, item);
    for (int i = 0; i < m->parked.n;) {
        if (m->parked.item[i].id != item.id) {
            i++;
            continue;
        }
        if (m->parked.item[i].owner != item.owner) {
            m->counter[SONA_COUNTER_drop_foreign]++;
        } else if (m->parked.item[i].revoke) {
            revoked = true;
        } else {
            *found = true;
            *quality = m->parked.item[i].value;
        }
        list_drop(&m->parked, i);
    }
    if (*found || revoked)
        model_settle(m, m->waiting.n - 1, *found ? TOLD : WITHDRAWN, *found ? *quality : 0);
    return SONA_OK;
}

/* A second word of the same owner on a parked one. */
static inline sona_err model_park_again(struct model *m, struct item *first, float quality,
                                        bool revoke)
{
    if (first->revoke)
        return model_refuse(m, SONA_COUNTER_drop_revoked, SONA_E_DUPLICATE);
    if (revoke) {
        first->revoke = true;
        return model_refuse(m, SONA_COUNTER_drop_revoked, SONA_OK);
    }
    if (first->value == quality)
        return model_refuse(m, SONA_COUNTER_drop_duplicate, SONA_E_DUPLICATE);
    first->value = quality;
    m->counter[SONA_COUNTER_replacing]++;
    return model_refuse(m, SONA_COUNTER_replaced, SONA_OK);
}

static inline sona_err model_again(struct model *m, struct item *item, float quality,
                                   uint64_t now_ms, bool revoke, bool *found)
{
    if (item->state == WITHDRAWN || item->state == TAKEN_BACK)
        return model_refuse(m, SONA_COUNTER_drop_revoked, SONA_E_DUPLICATE);
    if (item->state == TOLD && !revoke && item->quality == quality)
        return model_refuse(m, SONA_COUNTER_drop_duplicate, SONA_E_DUPLICATE);
    if (item->state != TOLD || now_ms > item->at_ms + WINDOW)
        return model_refuse(m, SONA_COUNTER_drop_expired, SONA_E_TIMEOUT);
    *found = true;
    if (revoke)
        item->state = TAKEN_BACK;
    else
        item->quality = quality;
    return model_refuse(m, revoke ? SONA_COUNTER_revoking : SONA_COUNTER_replacing, SONA_OK);
}

static inline bool model_defaults(const struct model *m, int i)
{
    return m->has_default && m->waiting.item[i].kind == SONA_PENDING_DECISION;
}

static inline sona_err model_word(struct model *m, uint64_t id, uint64_t owner, float quality,
                                  uint64_t now_ms, bool on_its_way, bool revoke, bool *found)
{
    int i = list_find(&m->waiting, id), done = list_find(&m->settled, id);

    *found = false;
    m->counter[revoke ? SONA_COUNTER_revokes : SONA_COUNTER_outcomes]++;
    if ((i >= 0 && m->waiting.item[i].owner != owner) ||
        (done >= 0 && m->settled.item[done].owner != owner))
        return model_refuse(m, SONA_COUNTER_drop_foreign, SONA_E_PERMISSION);
    if (i >= 0 && now_ms > m->waiting.item[i].at_ms + WINDOW) {
        if (!model_defaults(m, i))
            model_settle(m, i, ABANDONED, 0);
        return model_refuse(m, SONA_COUNTER_drop_expired, SONA_E_TIMEOUT);
    }
    if (i >= 0) {
        *found = !revoke;
        model_settle(m, i, revoke ? WITHDRAWN : TOLD, quality);
        return SONA_OK;
    }
    if (done >= 0)
        return model_again(m, &m->settled.item[done], quality, now_ms, revoke, found);
    if (!on_its_way)
        return model_refuse(m, SONA_COUNTER_drop_unknown_id, SONA_E_UNKNOWN_ID);
    for (int p = 0; p < m->parked.n; p++)
        if (m->parked.item[p].id == id && m->parked.item[p].owner == owner)
            return model_park_again(m, &m->parked.item[p], quality, revoke);
    m->counter[SONA_COUNTER_parked]++;
    list_push(&m->parked,
              (struct item){
                  .id = id, .owner = owner, .at_ms = now_ms, .value = quality, .revoke = revoke});
    return SONA_OK;
}

static inline sona_err model_absent(struct model *m, uint64_t id)
{
    return list_find(&m->settled, id) >= 0
               ? model_stray(m, SONA_COUNTER_drop_duplicate, SONA_E_DUPLICATE)
               : model_stray(m, SONA_COUNTER_drop_unknown_id, SONA_E_UNKNOWN_ID);
}

static inline sona_err model_step(struct model *m, uint64_t id, float reward)
{
    int i = list_find(&m->waiting, id);

    if (i < 0)
        return model_absent(m, id);
    if (m->waiting.item[i].steps == STEPS)
        return model_refuse(m, SONA_COUNTER_drop_steps, SONA_E_LIMIT);
    m->waiting.item[i].steps++;
    m->waiting.item[i].value += reward;
    m->counter[SONA_COUNTER_steps]++;
    return SONA_OK;
}

static inline sona_err model_route(struct model *m, uint64_t id, sona_route route)
{
    int i = list_find(&m->waiting, id);

    if (i < 0)
        return model_absent(m, id);
    if (m->waiting.item[i].kind == SONA_PENDING_DECISION)
        return model_stray(m, SONA_COUNTER_drop_unknown_id, SONA_E_UNKNOWN_ID);
    m->waiting.item[i].route = route;
    return SONA_OK;
}

/* Returns how many defaults were given. */
static inline uint32_t model_expire(struct model *m, uint64_t now_ms, uint32_t budget)
{
    uint32_t defaults = 0;

    for (; budget > 0 && m->waiting.n > 0; budget--) {
        if (now_ms <= m->waiting.item[0].at_ms + WINDOW)
            break;
        defaults += model_defaults(m, 0);
        model_settle(m, 0, model_defaults(m, 0) ? DEFAULTED : ABANDONED, 0);
    }
    for (; budget > 0 && m->parked.n > 0; budget--) {
        if (now_ms <= m->parked.item[0].at_ms + WINDOW)
            break;
        list_drop(&m->parked, 0);
        m->counter[SONA_COUNTER_drop_unknown_id]++;
    }
    return defaults;
}

static inline void model_unpark(struct model *m, uint64_t tag, uint64_t mask)
{
    for (int i = 0; i < m->parked.n;) {
        if ((m->parked.item[i].id & mask) == tag) {
            list_drop(&m->parked, i);
            m->counter[SONA_COUNTER_drop_unknown_id]++;
        } else {
            i++;
        }
    }
}

#endif
