/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See join.h. */
#include "sidecar/join.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "engine/learner/learner.h"
#include "engine/pending/pending.h"
#include "engine/pending/save.h"
#include "shm/diag.h"

size_t sona_sidecar_join_bytes(const sona_config *config, const struct sona_model_layout *layout)
{
    return sona_pending_bytes(config->trajectory_capacity, layout->dim_padded) +
           sona_pending_sums_bytes(config->step_capacity, layout->dim_padded);
}

static void begin(struct sona_sidecar_join *ret, char *memory, const sona_config *config,
                  const struct sona_model_layout *layout)
{
    size_t table = sona_pending_bytes(config->trajectory_capacity, layout->dim_padded);

    memset(ret, 0, sizeof *ret);
    ret->bytes = sona_sidecar_join_bytes(config, layout);
    ret->pending = sona_pending_init(memory, config->trajectory_capacity, layout->dim_padded,
                                     config->feedback_window_ms, config->max_trajectory_steps,
                                     config->default_quality);
    ret->sums = sona_pending_sums_init(memory + table, config->step_capacity, layout->dim_padded);
    sona_pending_use_sums(ret->pending, ret->sums);
    ret->rules.geometry = layout->geometry;
    ret->rules.dim_padded = layout->dim_padded;
}

sona_err sona_sidecar_join_init(struct sona_sidecar_join *ret, const sona_config *config,
                                const struct sona_model_layout *layout, sona_diag *reterr)
{
    size_t bytes = sona_sidecar_join_bytes(config, layout);
    char *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);

    if (!memory)
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, 0,
                                 "no memory for %zu bytes of waiting decisions; lower "
                                 "trajectory_capacity or step_capacity",
                                 bytes);
    begin(ret, memory, config, layout);
    return SONA_OK;
}

void sona_sidecar_join_begin_anew(struct sona_sidecar_join *join, const sona_config *config,
                                  const struct sona_model_layout *layout)
{
    begin(join, (char *)join->pending, config, layout);
}

void sona_sidecar_join_done(struct sona_sidecar_join *join)
{
    free(join->pending);
    join->pending = NULL;
}

/* What a word about an entry is to the learner. */
static const enum sona_learner_kind word_kind[] = {
    [SONA_PENDING_JOINED] = SONA_LEARNER_OUTCOME,
    [SONA_PENDING_REPLACING] = SONA_LEARNER_REPLACE,
    [SONA_PENDING_REVOKING] = SONA_LEARNER_REVOKE,
};

/* Copy a joined event out of the table, whose vector is valid until its next call. */
static void hand_over(const struct sona_sidecar_join *join, const struct sona_pending_joined *from,
                      enum sona_learner_kind kind, uint64_t now_ms, struct sona_sidecar_joined *ret)
{
    *ret = (struct sona_sidecar_joined){
        .kind = (uint32_t)kind,
        .id = from->entry.id,
        .version = from->entry.version,
        .now_ms = now_ms,
        .route = from->entry.route,
        .quality = from->quality,
        .propensity = from->entry.propensity,
        .tenant = from->entry.tenant,
        .type = from->entry.type,
        .unrecorded = from->entry.unrecorded,
        .uid = (uint32_t)from->entry.owner,
    };
    if (from->entry.x)
        memcpy(sona_sidecar_joined_x(ret), from->entry.x,
               join->rules.dim_padded * sizeof *from->entry.x);
}

/* The learner sees every query that is remembered; one whose outcome was parked comes with it. */
static bool remember(struct sona_sidecar_join *join, const struct sona_sidecar_taken *t,
                     struct sona_sidecar_joined *ret)
{
    const struct sona_record *r = t->record;
    bool decision = r->kind == SONA_RECORD_DECIDE;
    struct sona_pending_entry entry = {
        .id = r->id,
        .owner = t->owner,
        .version = r->snapshot,
        .kind = decision ? SONA_PENDING_DECISION : SONA_PENDING_TRAJECTORY,
        .route = decision ? r->route : SONA_ROUTE_NONE,
        .propensity = decision ? r->value : 0,
        .tenant = r->node,
        .unrecorded = decision ? r->unrecorded : 0,
        .x = sona_record_floats(t->record),
    };
    struct sona_pending_joined joined = {.entry = entry};
    sona_err err; /* counted by the table */
    bool settled = sona_pending_add(join->pending, &entry, t->now_ms, &joined, &err);

    if (err != SONA_OK)
        return false;
    if (!settled && t->withheld) {
        join->refused[SONA_COUNTER_queries_withheld]++;
        return false;
    }
    hand_over(join, &joined, settled ? SONA_LEARNER_QUERY_OUTCOME : SONA_LEARNER_QUERY, t->now_ms,
              ret);
    return true;
}

static bool settle(struct sona_sidecar_join *join, const struct sona_sidecar_taken *t,
                   struct sona_sidecar_joined *ret)
{
    const struct sona_record *r = t->record;
    struct sona_pending_joined joined;
    bool found = false;
    sona_err err =
        r->kind == SONA_RECORD_REVOKE
            ? sona_pending_revoke(join->pending, r->id, t->owner, t->now_ms, t->on_its_way, &joined,
                                  &found)
            : sona_pending_outcome(join->pending, r->id, t->owner, r->value, r->latency_us,
                                   t->now_ms, t->on_its_way, &joined, &found);

    if (err != SONA_OK || !found) /* counted by the table, or parked in it */
        return false;
    if (joined.word == SONA_PENDING_JOINED && joined.entry.sums != SONA_PENDING_NO_SUM) {
        join->rest.joined = joined;
        join->rest.at = joined.entry.sums;
        join->rest.now_ms = t->now_ms;
        join->rest.open = true;
        return sona_sidecar_join_more(join, ret);
    }
    hand_over(join, &joined, word_kind[joined.word], t->now_ms, ret);
    return true;
}

bool sona_sidecar_join_more(struct sona_sidecar_join *join, struct sona_sidecar_joined *ret)
{
    const struct sona_pending_joined *from = &join->rest.joined;
    size_t bytes = join->rules.dim_padded * sizeof(float);
    struct sona_pending_layer layer;

    if (!join->rest.open)
        return false;
    if (!sona_pending_sums_next(join->sums, &join->rest.at, from->quality, &layer)) {
        join->rest.open = false;
        hand_over(join, from, SONA_LEARNER_OUTCOME, join->rest.now_ms, ret);
        return true;
    }
    *ret = (struct sona_sidecar_joined){
        .kind = SONA_LEARNER_STEPS,
        .id = from->entry.id,
        .now_ms = join->rest.now_ms,
        .route = from->entry.route,
        .quality = layer.reward,
        .layer = layer.layer,
        .credit = layer.credit,
        .uid = (uint32_t)from->entry.owner,
    };
    memcpy(sona_sidecar_joined_x(ret), layer.wins, bytes);
    memcpy(sona_sidecar_joined_base(ret, join->rules.dim_padded), layer.base, bytes);
    return true;
}

/* Steps are counted and summed by the table; what has no room there is counted too. */
static void step(struct sona_sidecar_join *join, struct sona_record *r)
{
    const float *floats = sona_record_floats(r);

    if (sona_pending_step(join->pending, r->id, r->value) != SONA_OK)
        return;
    sona_pending_note(join->pending, r->node, r->score, r->value, r->latency_us);
    if (r->n_floats > 0)
        sona_pending_activations(
            join->pending, r->id,
            &(struct sona_pending_activations){
                .h = floats,
                .n = r->n_floats,
                .layer = r->layer,
                .credit = sona_pending_credit(floats + join->rules.geometry.dim, r->n_attention),
                .reward = r->value,
                .rewarded = (r->flags & SONA_RECORD_REWARDED) != 0,
            });
}

static bool hit(const struct sona_sidecar_taken *t, struct sona_sidecar_joined *ret)
{
    *ret = (struct sona_sidecar_joined){.kind = SONA_LEARNER_HIT,
                                        .id = t->record->id,
                                        .now_ms = t->now_ms,
                                        .route = SONA_ROUTE_NONE,
                                        .layer = t->record->node,
                                        .uid = (uint32_t)t->owner};
    return true;
}

/* A direction, or a reward about nothing in particular: there is nothing to join it with. */
static bool signal(struct sona_sidecar_join *join, const struct sona_sidecar_taken *t,
                   struct sona_sidecar_joined *ret)
{
    struct sona_record *r = t->record;
    struct sona_pending_joined joined = {
        .entry = {.id = r->id,
                  .owner = t->owner,
                  .route = SONA_ROUTE_NONE,
                  .x = r->n_floats > 0 ? sona_record_floats(r) : NULL},
        .quality = r->value};

    join->signals++;
    hand_over(join, &joined, r->n_floats > 0 ? SONA_LEARNER_GRADIENT : SONA_LEARNER_BASELINE,
              t->now_ms, ret);
    return true;
}

static bool take(struct sona_sidecar_join *join, const struct sona_sidecar_taken *taken,
                 struct sona_sidecar_joined *ret)
{
    struct sona_record *r = taken->record;
    int verdict = sona_sidecar_judge(&join->rules, &taken->origin, r);

    join->taken++;
    if (verdict == SONA_SIDECAR_ACCEPTED && taken->muted)
        verdict = SONA_COUNTER_drop_influence;
    if (verdict != SONA_SIDECAR_ACCEPTED) {
        join->refused[verdict]++;
        return false;
    }
    join->accepted[r->kind]++;
    switch ((enum sona_record_kind)r->kind) {
    case SONA_RECORD_DECIDE:
    case SONA_RECORD_BEGIN:
        return remember(join, taken, ret);
    case SONA_RECORD_OUTCOME:
    case SONA_RECORD_END:
    case SONA_RECORD_REVOKE:
        return settle(join, taken, ret);
    case SONA_RECORD_SIGNAL:
        return signal(join, taken, ret);
    case SONA_RECORD_STEP:
        step(join, r);
        return false;
    case SONA_RECORD_ROUTE:
        (void)sona_pending_route(join->pending, r->id, r->route); /* counted by the table */
        return false;
    case SONA_RECORD_CONTEXT:
        (void)sona_pending_context(
            join->pending, r->id,
            sona_pattern_type_of((const char *)sona_record_floats(r))); /* counted by the table */
        return false;
    case SONA_RECORD_PATTERN_HIT:
        return hit(taken, ret);
    }
    return false;
}

bool sona_sidecar_join_thin(struct sona_sidecar_join *join, struct sona_sidecar_joined *event)
{
    switch ((enum sona_learner_kind)event->kind) {
    case SONA_LEARNER_OUTCOME:
    case SONA_LEARNER_QUERY_OUTCOME:
    case SONA_LEARNER_STEPS:
    case SONA_LEARNER_BASELINE:
    case SONA_LEARNER_GRADIENT:
        break;
    case SONA_LEARNER_QUERY: /* withheld, or not */
    case SONA_LEARNER_REVOKE:
    case SONA_LEARNER_REPLACE:
    case SONA_LEARNER_HIT:
    case SONA_LEARNER_KINDS:
        return false;
    }
    join->rest.open = false; /* a trajectory's sums go with its outcome */
    join->refused[SONA_COUNTER_drop_thinned]++;
    return true;
}

bool sona_sidecar_join_take(struct sona_sidecar_join *join, const struct sona_sidecar_taken *taken,
                            struct sona_sidecar_joined *ret)
{
    return take(join, taken, ret) && !(taken->thinned && sona_sidecar_join_thin(join, ret));
}

void sona_sidecar_join_forget_tag(struct sona_sidecar_join *join, uint32_t tag)
{
    sona_pending_unpark(join->pending, SONA_ID(tag, 0, 0), SONA_ID(0xffff, 0, 0));
}

bool sona_sidecar_join_expire(struct sona_sidecar_join *join, uint64_t now_ms, uint32_t *budget,
                              struct sona_sidecar_joined *ret)
{
    struct sona_pending_joined joined;

    if (!sona_pending_expire(join->pending, now_ms, budget, &joined))
        return false;
    hand_over(join, &joined, word_kind[joined.word], now_ms, ret);
    return true;
}

void sona_sidecar_join_save(const struct sona_sidecar_join *join, struct sona_state_writer *writer)
{
    const uint64_t head[] = {join->taken, join->signals};

    assert(!join->rest.open); /* its sums would be lost */
    sona_pending_save(join->pending, writer);
    sona_state_writer_put(writer, "join.head", sizeof head, 1, head);
    sona_state_writer_put(writer, "join.accepted", sizeof(uint64_t), SONA_SIDECAR_KINDS,
                          join->accepted);
    sona_state_writer_put(writer, "join.refused", sizeof(uint64_t), SONA_COUNTER_COUNT,
                          join->refused);
}

/* Kinds and reasons are appended: an older state has fewer of them. */
static bool load_counters(struct sona_state_reader *reader, const char *name, uint64_t most,
                          uint64_t *ret)
{
    uint64_t n;
    const void *from = sona_state_reader_find(reader, name, sizeof *ret, &n);

    if (n == 0 || n > most)
        return false;
    memcpy(ret, from, (size_t)n * sizeof *ret);
    return true;
}

sona_err sona_sidecar_join_load(struct sona_sidecar_join *join, struct sona_state_reader *reader)
{
    uint64_t head[2];
    sona_err err = sona_pending_load(join->pending, reader);

    if (err != SONA_OK)
        return err;
    if (!sona_state_reader_take(reader, "join.head", sizeof head, 1, head) ||
        !load_counters(reader, "join.accepted", SONA_SIDECAR_KINDS, join->accepted) ||
        !load_counters(reader, "join.refused", SONA_COUNTER_COUNT, join->refused))
        return sona_state_reader_refuse(reader, "join.head");
    join->taken = head[0];
    join->signals = head[1];
    return SONA_OK;
}

void sona_sidecar_join_stats(const struct sona_sidecar_join *join, sona_stats *stats)
{
    for (int c = 0; c < SONA_COUNTER_COUNT; c++)
        stats->counter[c] += join->refused[c];
    /* A word about another attachment's trajectory: booked as the table books its own strays. */
    stats->counter[SONA_COUNTER_strays] += join->refused[SONA_COUNTER_drop_unknown_id];
    stats->counter[SONA_COUNTER_signals] += join->signals;
    sona_pending_stats(join->pending, stats);
}
