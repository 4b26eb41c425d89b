/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The learners of regimes that are not active. A store holds what belongs to one regime:
 *
 *     struct own | route rows | pattern rows | code | refit rows | pattern table
 *                | AdaGrad accumulators | ridge paths | common head | route memory | archive |
 * means, EWC++ memory and a ring of its SONA_LEARNER_KEPT newest outcomes
 *
 * Shared by all regimes: the table part of the route rows, the ReasoningBank that people ask,
 * BaseLoRA and MicroLoRA (an adapter that routers apply should not jump because queries changed),
 * counters, clock. Of the route rows the
 * store keeps the ids, so that a route that was retired or replaced meanwhile is recognised and
 * starts anew.
 *
 * Invariant: after a switch the active learner is the very bytes that were stored, but for routes
 * that changed; a store is read and written whole.
 */
#include <string.h>

#include "engine/learner/state.h"

#define SECTIONS  12u
#define CHUNK     4096u /* bytes exchanged at a time */
#define NEW_PRIOR 0.0f  /* outcomes that a new regime believes of a route's old mean */

/* What a regime owns beside its tables. */
struct own {
    struct sona_learner_stack stack;
    uint64_t outcomes, taught, next_cycle, bank_step;
    float trust[SONA_MODEL_STACK];
    float mse, pattern_width, bare_n, bare_s;
    uint32_t n_patterns, has_code;
};

struct section {
    size_t offset, bytes; /* in the learner */
};

void sona_learner_place(size_t *end, size_t *ret_offset, size_t bytes)
{
    *ret_offset = *end;
    *end = (*end + bytes + 63) & ~(size_t)63;
}

static void sections(const struct sona_learner *l, struct section ret[SECTIONS])
{
    const struct sona_model_layout *m = &l->layout;
    size_t vector = m->dim_padded * sizeof(float), routes = m->geometry.routes_max;

    const struct section all[SECTIONS] = {
        {l->hot + m->routes.offset, m->routes.count * m->routes.stride},
        {l->hot + m->pattern_stats.offset, m->pattern_stats.count * m->pattern_stats.stride},
        {l->cold + m->code, m->geometry.base_rank * vector},
        {l->cold + m->refit.offset, m->refit.count * m->refit.stride},
        {l->cold + m->patterns.offset, m->patterns.count * m->patterns.stride},
        {l->grad2, routes * vector},
        {l->path, routes * (SONA_LEARNER_PATH - 1) * vector},
        {l->common, vector},
        {l->route, routes * sizeof(struct sona_learner_route)},
        {l->archive, l->archive_rows * m->pattern_stats.stride},
        {l->means, l->archive_rows * vector},
        {l->ewc.head, l->ewc.bytes},
    };

    memcpy(ret, all, sizeof all);
}

void sona_learner_regime_place(struct sona_learner *l, const sona_config *config, size_t *end)
{
    uint32_t n = config->gate ? config->regimes_max : 0;
    struct section section[SECTIONS];

    l->ring_capacity =
        config->replay_capacity < SONA_LEARNER_KEPT ? config->replay_capacity : SONA_LEARNER_KEPT;
    sections(l, section);
    l->store_bytes = 0;
    sona_learner_place(&l->store_bytes, &l->store, sizeof(struct own));
    for (uint32_t i = 0; i < SECTIONS; i++)
        sona_learner_place(&l->store_bytes, &l->store, section[i].bytes);
    l->ring_bytes = 0;
    sona_learner_place(&l->ring_bytes, &l->ring,
                       l->ring_capacity * sizeof(struct sona_learner_entry));
    sona_learner_place(&l->ring_bytes, &l->ring,
                       (size_t)l->ring_capacity * l->layout.dim_padded * sizeof(float));
    sona_learner_place(end, &l->store, n * l->store_bytes);
    sona_learner_place(end, &l->ring, n * l->ring_bytes);
}

static unsigned char *at(const struct sona_learner *l, size_t offset)
{
    return (unsigned char *)(uintptr_t)l + offset;
}

/* ---- what is not a table ---- */

static void own_get(const struct sona_learner *l, struct own *ret)
{
    const struct sona_model_hot *hot = sona_learner_head(l);
    const struct sona_model_cold *cold = sona_learner_cold(l);

    memset(ret, 0, sizeof *ret);
    ret->stack = l->stack;
    ret->outcomes = hot->outcomes;
    ret->taught = l->taught;
    ret->next_cycle = l->next_cycle;
    ret->bank_step = l->bank_step;
    memcpy(ret->trust, hot->stack, sizeof ret->trust);
    ret->mse = hot->mse;
    ret->pattern_width = cold->pattern_width;
    ret->bare_n = l->bare_n;
    ret->bare_s = l->bare_s;
    ret->n_patterns = hot->n_patterns;
    ret->has_code = cold->has_code;
}

static void own_set(struct sona_learner *l, const struct own *own)
{
    struct sona_model_hot *hot = sona_learner_head(l);
    struct sona_model_cold *cold = sona_learner_cold(l);

    l->stack = own->stack;
    hot->outcomes = own->outcomes;
    l->taught = own->taught;
    l->next_cycle = own->next_cycle;
    l->bank_step = own->bank_step;
    memcpy(hot->stack, own->trust, sizeof own->trust);
    hot->mse = own->mse;
    cold->pattern_width = own->pattern_width;
    l->bare_n = own->bare_n;
    l->bare_s = own->bare_s;
    hot->n_patterns = cold->n_patterns = own->n_patterns;
    cold->has_code = own->has_code;
}

/* ---- a store against the active learner ---- */

static void exchange(unsigned char *a, unsigned char *b, size_t bytes)
{
    unsigned char chunk[CHUNK];

    for (size_t from = 0; from < bytes; from += CHUNK) {
        size_t n = bytes - from < CHUNK ? bytes - from : CHUNK;

        memcpy(chunk, a + from, n);
        memcpy(a + from, b + from, n);
        memcpy(b + from, chunk, n);
    }
}

/* The table part of a route row is everybody's; where the route is not the one that the regime
 * knew, nothing it learned about that row counts. `table`: the rows as they were a moment ago. */
static void reconcile_row(struct sona_learner *l, uint32_t k, const struct sona_model_route *table)
{
    struct sona_model_route *row = sona_learner_row(l, k), knew = *row;

    *row = *table;
    row->n = knew.n;
    row->s = knew.s;
    row->mean = knew.mean;
    row->bias = knew.bias;
    row->fit = knew.fit;
    if (knew.id == row->id && knew.state == row->state)
        return;
    row->n = row->s = 0;
    row->mean = row->bias = row->prior_n > 0 ? row->prior_s / row->prior_n : 0;
    row->fit = 0;
    if (knew.state == SONA_ROUTE_FREE && row->state == SONA_ROUTE_FREE)
        return;
    sona_learner_heads_init(l, k);
    sona_learner_patterns_discount(l, k, 0);
    sona_learner_replay_forget(l, k);
}

/* Exchange everything but the outcomes kept. */
static void exchange_all(struct sona_learner *l, uint32_t index)
{
    unsigned char *store = at(l, l->store + index * l->store_bytes);
    struct section section[SECTIONS];
    struct own stored, active;
    size_t from = 0, offset;

    sona_learner_place(&from, &offset, sizeof(struct own));
    memcpy(&stored, store, sizeof stored);
    own_get(l, &active);
    own_set(l, &stored);
    memcpy(store, &active, sizeof active);
    sections(l, section);
    for (uint32_t i = 0; i < SECTIONS; i++) {
        sona_learner_place(&from, &offset, section[i].bytes);
        exchange(at(l, section[i].offset), store + offset, section[i].bytes);
    }
}

static void reconcile(struct sona_learner *l, uint32_t index)
{
    const struct sona_model_layout *m = &l->layout;
    size_t rows = 0, offset;

    sona_learner_place(&rows, &offset, sizeof(struct own));
    for (uint32_t k = 0; k < m->routes.count; k++)
        reconcile_row(
            l, k,
            (const void *)at(l, l->store + index * l->store_bytes + rows + k * m->routes.stride));
    sona_learner_micro_heads(l);
}

/* ---- outcomes ---- */

static struct sona_learner_entry *ring_entries(const struct sona_learner *l, uint32_t index)
{
    return (void *)at(l, l->ring + index * l->ring_bytes);
}

size_t sona_learner_ring_x(const struct sona_learner *l, uint32_t index)
{
    size_t end = 0, x;

    sona_learner_place(&end, &x, l->ring_capacity * sizeof(struct sona_learner_entry));
    return l->ring + index * l->ring_bytes + end;
}

static float *ring_x(const struct sona_learner *l, uint32_t index)
{
    return sona_learner_floats(l, sona_learner_ring_x(l, index));
}

/* The newest outcomes to the ring of `index`; what does not fit leaves its counts in the archive.
 */
static void keep_outcomes(struct sona_learner *l, uint32_t index)
{
    struct sona_learner_regime *regime = &sona_learner_regimes(l)[index];
    uint32_t oldest = l->replay_count == l->replay_capacity ? l->replay_next : 0;
    uint32_t over = l->replay_count > l->ring_capacity ? l->replay_count - l->ring_capacity : 0;
    uint32_t n = l->layout.dim_padded;

    for (uint32_t i = 0; i < l->replay_count; i++) {
        uint32_t slot = (oldest + i) % l->replay_capacity;

        if (i < over) {
            sona_learner_replay_archive(l, &sona_learner_entries(l)[slot]);
            continue;
        }
        ring_entries(l, index)[i - over] = sona_learner_entries(l)[slot];
        memcpy(ring_x(l, index) + (size_t)(i - over) * n, sona_learner_replay_x(l, slot),
               n * sizeof(float));
    }
    regime->count = l->replay_count - over;
    regime->next = regime->count % l->ring_capacity;
}

static void take_outcomes(struct sona_learner *l, uint32_t index)
{
    const struct sona_learner_regime *regime = &sona_learner_regimes(l)[index];
    uint32_t oldest = regime->count == l->ring_capacity ? regime->next : 0;
    uint32_t n = l->layout.dim_padded;

    for (uint32_t i = 0; i < regime->count; i++) {
        uint32_t slot = (oldest + i) % l->ring_capacity;

        sona_learner_entries(l)[i] = ring_entries(l, index)[slot];
        memcpy(sona_learner_replay_x(l, i), ring_x(l, index) + (size_t)slot * n, n * sizeof(float));
    }
    l->replay_count = regime->count;
    l->replay_next = regime->count % l->replay_capacity;
}

/* ---- switching ---- */

/* What nobody has taught anything yet. How far predictors are to be trusted is not a matter of the
 * regime: stack weights and error level go on. */
static void make_fresh(struct sona_learner *l)
{
    struct sona_model_cold *cold = sona_learner_cold(l);
    struct section section[SECTIONS];
    struct own own;

    sections(l, section);
    for (uint32_t k = 0; k < l->layout.routes.count; k++) {
        struct sona_model_route *row = sona_learner_row(l, k);
        float weight = row->n < NEW_PRIOR ? row->n : NEW_PRIOR;

        row->s = row->n > 0 ? row->s / row->n * weight : 0;
        row->n = weight;
        row->fit = 0;
        if (row->state != SONA_ROUTE_ENABLED)
            continue;
        row->mean = (row->s + row->prior_s) / (row->n + row->prior_n);
        row->bias = row->mean;
        sona_learner_heads_init(l, k);
    }
    for (uint32_t i = 1; i < SECTIONS; i++)
        if (section[i].offset != l->route)
            memset(at(l, section[i].offset), 0, section[i].bytes);
    own_get(l, &own);
    own.outcomes = own.taught = 0;
    own.next_cycle = 0;
    own.bank_step = sona_learner_step(l);
    own.n_patterns = own.has_code = 0;
    own.bare_n = own.bare_s = 0;
    own_set(l, &own);
    cold->n_patterns = 0;
    l->replay_count = l->replay_next = 0;
    sona_learner_micro_heads(l);
    sona_learner_cycle_schedule(l, l->last_cycle_ms);
}

static void touch_all(struct sona_learner *l)
{
    for (uint32_t k = 0; k < l->layout.routes.count; k++)
        sona_learner_touch_route(l, k);
    for (uint32_t c = 0; c < l->layout.pattern_stats.count; c++)
        sona_learner_touch_pattern(l, c);
}

void sona_learner_regime_switch(struct sona_learner *l, uint32_t from, uint32_t to, bool fresh)
{
    struct section section[SECTIONS];
    struct own own;
    size_t end = 0, offset;

    if (l->cycle_running) { /* what it read is not what there is */
        l->cycle_running = 0;
        l->next_cycle = l->taught;
        l->counter[SONA_COUNTER_background_discarded]++;
    }
    keep_outcomes(l, from);
    own_get(l, &own);
    memcpy(at(l, l->store + from * l->store_bytes), &own, sizeof own);
    sections(l, section);
    sona_learner_place(&end, &offset, sizeof own);
    for (uint32_t i = 0; i < SECTIONS; i++) {
        sona_learner_place(&end, &offset, section[i].bytes);
        memcpy(at(l, l->store + from * l->store_bytes + offset), at(l, section[i].offset),
               section[i].bytes);
    }
    if (fresh) {
        make_fresh(l);
    } else {
        exchange_all(l, to);
        take_outcomes(l, to);
        reconcile(l, to);
    }
    l->fresh = 0;                /* a cycle waits for the first outcome */
    sona_learner_tenants_tie(l); /* tenants are of all regimes; the heads they lean on are not */
    touch_all(l);
}

/* The stored learner in the place of the active one, which is put aside. */
static void visit_begin(struct sona_learner *l, uint32_t index)
{
    struct sona_learner_regime *regime = &sona_learner_regimes(l)[index];
    struct sona_learner_visit *visit = &l->visit;

    *visit = (struct sona_learner_visit){
        .entry = l->entry,
        .replay = l->replay,
        .next = l->replay_next,
        .count = l->replay_count,
        .fresh = l->fresh,
        .cycle_running = l->cycle_running,
    };
    exchange_all(l, index);
    l->entry = l->ring + index * l->ring_bytes;
    l->replay = sona_learner_ring_x(l, index);
    l->replay_capacity = l->ring_capacity;
    l->replay_next = regime->next;
    l->replay_count = regime->count;
    l->cycle_running = 0; /* the job is not about these outcomes */
}

static void visit_end(struct sona_learner *l, uint32_t index)
{
    struct sona_learner_regime *regime = &sona_learner_regimes(l)[index];
    const struct sona_learner_visit *visit = &l->visit;

    regime->next = l->replay_next;
    regime->count = l->replay_count;
    l->entry = visit->entry;
    l->replay = visit->replay;
    l->replay_capacity = l->config.replay_capacity;
    l->replay_next = visit->next;
    l->replay_count = visit->count;
    l->fresh = visit->fresh;
    l->cycle_running = visit->cycle_running;
    exchange_all(l, index);
}

void sona_learner_regime_enter(struct sona_learner *l, uint32_t index)
{
    visit_begin(l, index);
    reconcile(l, index);
}

void sona_learner_regime_leave(struct sona_learner *l, uint32_t index)
{
    visit_end(l, index);
    reconcile(l, index);
}

bool sona_learner_regime_is_sound(struct sona_learner *l, uint32_t index,
                                  bool (*is_sound)(const struct sona_learner *l))
{
    bool ret;

    visit_begin(l, index);
    ret = is_sound(l);
    visit_end(l, index);
    return ret;
}
