/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See save.h. */
#include "engine/pending/save.h"

#include <math.h>
#include <string.h>

#include "engine/model/model.h"
#include "engine/pending/table.h"

#define SUM_MAX 1e9f /* of steps of bounded credit and reward */

/* Rows as they are stored, oldest first. */
struct kept_entry {
    uint64_t id, owner, begun_ms, version;
    uint32_t kind, route;
    float propensity, reward_sum;
    uint32_t steps;
    uint16_t type, unrecorded; /* the latter 0 where it was not known yet */
    uint32_t tenant;
    uint32_t sums; /* so many of the next rows of sums are its */
};

struct kept_settled {
    uint64_t id, owner, begun_ms;
    uint32_t fate;
    float quality;
};

struct kept_parked {
    uint64_t id, owner, since_ms;
    float quality;
    uint32_t latency_us, revoke, reserved;
};

/* ---- saving ---- */

static uint32_t sums_of(const struct sona_pending *pending, uint32_t at)
{
    struct sona_pending_sum sum;
    const float *vectors;
    uint32_t n = 0;

    while (pending->sums != NULL && sona_pending_sums_peek(pending->sums, &at, &sum, &vectors))
        n++;
    return n;
}

static void save_entries(const struct sona_pending *pending, struct sona_state_writer *writer)
{
    const struct sona_pending_pool *pool = &pending->waiting_pool;
    struct kept_entry *to =
        sona_state_writer_add(writer, "pending.entries", sizeof *to, pool->taken);

    for (uint32_t at = pool->oldest; at != SONA_PENDING_NONE && to != NULL;
         at = pool->links[at].newer) {
        const struct sona_pending_entry *e = &pending->waiting[at];
        struct kept_entry kept = {
            .id = e->id,
            .owner = e->owner,
            .begun_ms = e->begun_ms,
            .version = e->version,
            .kind = (uint32_t)e->kind,
            .route = e->route,
            .propensity = e->propensity,
            .reward_sum = e->reward_sum,
            .steps = e->steps,
            .type = e->type,
            .unrecorded = e->unrecorded,
            .tenant = e->tenant,
            .sums = sums_of(pending, e->sums),
        };

        memcpy(to++, &kept, sizeof kept);
    }
}

static void save_queries(const struct sona_pending *pending, struct sona_state_writer *writer)
{
    const struct sona_pending_pool *pool = &pending->waiting_pool;
    size_t bytes = pending->dim_padded * sizeof(float);
    unsigned char *to = sona_state_writer_add(writer, "pending.x", (uint32_t)bytes, pool->taken);

    for (uint32_t at = pool->oldest; at != SONA_PENDING_NONE && to != NULL;
         at = pool->links[at].newer, to += bytes)
        memcpy(to, pending->waiting[at].x, bytes);
}

/* Of all entries, one after another. */
static void save_sums(const struct sona_pending *pending, struct sona_state_writer *writer)
{
    const struct sona_pending_pool *pool = &pending->waiting_pool;
    uint32_t n = sona_pending_sums_taken(pending->sums);
    uint32_t bytes = sona_pending_sums_vector_bytes(pending->sums);
    unsigned char *sums =
        sona_state_writer_add(writer, "pending.sums", sizeof(struct sona_pending_sum), n);
    unsigned char *vectors = sona_state_writer_add(writer, "pending.sum_vectors", bytes, n);

    for (uint32_t at = pool->oldest; at != SONA_PENDING_NONE && vectors != NULL;
         at = pool->links[at].newer) {
        uint32_t list = pending->waiting[at].sums;
        struct sona_pending_sum sum;
        const float *from;

        for (; sona_pending_sums_peek(pending->sums, &list, &sum, &from);
             sums += sizeof sum, vectors += bytes) {
            memcpy(sums, &sum, sizeof sum);
            memcpy(vectors, from, bytes);
        }
    }
}

static void save_settled(const struct sona_pending *pending, struct sona_state_writer *writer)
{
    const struct sona_pending_pool *pool = &pending->settled_pool;
    struct kept_settled *to =
        sona_state_writer_add(writer, "pending.settled", sizeof *to, pool->taken);

    for (uint32_t at = pool->oldest; at != SONA_PENDING_NONE && to != NULL;
         at = pool->links[at].newer) {
        const struct sona_pending_settled *s = &pending->settled[at];
        struct kept_settled kept = {.id = pool->links[at].id,
                                    .owner = s->owner,
                                    .begun_ms = s->begun_ms,
                                    .fate = (uint32_t)s->fate,
                                    .quality = s->quality};

        memcpy(to++, &kept, sizeof kept);
    }
}

static void save_parked(const struct sona_pending *pending, struct sona_state_writer *writer)
{
    const struct sona_pending_pool *pool = &pending->parked_pool;
    struct kept_parked *to =
        sona_state_writer_add(writer, "pending.parked", sizeof *to, pool->taken);

    for (uint32_t at = pool->oldest; at != SONA_PENDING_NONE && to != NULL;
         at = pool->links[at].newer) {
        const struct sona_pending_parked *p = &pending->parked[at];
        struct kept_parked kept = {.id = pool->links[at].id,
                                   .owner = p->owner,
                                   .since_ms = p->since_ms,
                                   .quality = p->quality,
                                   .latency_us = p->latency_us,
                                   .revoke = p->revoke};

        memcpy(to++, &kept, sizeof kept);
    }
}

void sona_pending_save(const struct sona_pending *pending, struct sona_state_writer *writer)
{
    save_entries(pending, writer);
    save_queries(pending, writer);
    if (pending->sums != NULL)
        save_sums(pending, writer);
    save_settled(pending, writer);
    save_parked(pending, writer);
    sona_state_writer_put(writer, "pending.nodes", sizeof(sona_node_stats), pending->nodes.n,
                          pending->nodes.node);
    sona_state_writer_put(writer, "pending.counter", sizeof(uint64_t), SONA_COUNTER_COUNT,
                          pending->counter);
}

/* ---- loading ---- */

static bool is_share(float value)
{
    return value >= 0 && value <= 1;
}

static bool entry_is_sound(const struct kept_entry *kept)
{
    return kept->kind <= SONA_PENDING_TRAJECTORY && is_share(kept->propensity) &&
           kept->type < SONA_MODEL_TYPES && kept->unrecorded < UINT16_MAX;
}

static bool load_entry(struct sona_pending *pending, const struct kept_entry *kept,
                       const unsigned char *x)
{
    struct sona_pending_pool *pool = &pending->waiting_pool;
    size_t bytes = pending->dim_padded * sizeof(float);
    uint32_t place;
    float *vector;

    if (!entry_is_sound(kept) || sona_pending_pool_find(pool, kept->id) != SONA_PENDING_NONE)
        return false;
    place = sona_pending_pool_take(pool, kept->id);
    if (place == SONA_PENDING_NONE)
        return false;
    vector = pending->vectors + (size_t)place * pending->dim_padded;
    memcpy(vector, x, bytes);
    pending->waiting[place] = (struct sona_pending_entry){
        .id = kept->id,
        .owner = kept->owner,
        .begun_ms = kept->begun_ms,
        .version = kept->version,
        .kind = (enum sona_pending_kind)kept->kind,
        .route = kept->route,
        .propensity = kept->propensity,
        .steps = kept->steps,
        .reward_sum = kept->reward_sum,
        .sums = SONA_PENDING_NO_SUM,
        .type = kept->type,
        .unrecorded = kept->unrecorded,
        .tenant = kept->tenant,
        .x = vector,
    };
    return sona_model_vectors_are_bounded(vector, pending->dim_padded, 1, pending->dim_padded);
}

/* Rows of the container and how many are left of them. */
struct rows {
    const unsigned char *at;
    uint64_t left;
};

static struct rows rows_of(struct sona_state_reader *reader, const char *name, uint32_t row_bytes)
{
    struct rows ret = {0};

    ret.at = sona_state_reader_find(reader, name, row_bytes, &ret.left);
    return ret;
}

static bool sum_is_sound(const struct sona_pending *pending, const struct sona_pending_sum *sum,
                         const unsigned char *vectors)
{
    uint32_t n = sona_pending_sums_vector_bytes(pending->sums) / sizeof(float);

    if (sum->layer >= SONA_LAYERS_MAX || !(sum->credit >= 0 && sum->credit <= SUM_MAX) ||
        !(sum->open >= 0 && sum->open <= SUM_MAX) || !(fabsf(sum->rewarded) <= SUM_MAX))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        float value;

        memcpy(&value, vectors + i * sizeof value, sizeof value);
        if (!(fabsf(value) <= SUM_MAX))
            return false;
    }
    return true;
}

/* The sums of the entry in `place`: the next `count` of both, restored from the last on, since each
 * goes before those that are there. */
static bool load_sums(struct sona_pending *pending, uint32_t place, uint32_t count,
                      struct rows *sums, struct rows *vectors)
{
    uint32_t bytes = pending->sums != NULL ? sona_pending_sums_vector_bytes(pending->sums) : 0;
    uint64_t layers = 0; /* those of this entry */

    if (count == 0)
        return true;
    if (pending->sums == NULL || count > sums->left || count > vectors->left)
        return false;
    for (uint32_t i = count; i-- > 0;) {
        struct sona_pending_sum sum;

        memcpy(&sum, sums->at + i * sizeof sum, sizeof sum);
        if (!sum_is_sound(pending, &sum, vectors->at + (size_t)i * bytes) ||
            (layers >> sum.layer & 1) ||
            !sona_pending_sums_restore(pending->sums, &pending->waiting[place].sums, &sum,
                                       vectors->at + (size_t)i * bytes))
            return false;
        layers |= 1ull << sum.layer;
    }
    sums->at += count * sizeof(struct sona_pending_sum);
    vectors->at += (size_t)count * bytes;
    sums->left -= count;
    vectors->left -= count;
    return true;
}

static bool load_entries(struct sona_pending *pending, struct sona_state_reader *reader)
{
    size_t bytes = pending->dim_padded * sizeof(float);
    struct rows entries = rows_of(reader, "pending.entries", sizeof(struct kept_entry));
    struct rows x = rows_of(reader, "pending.x", (uint32_t)bytes);
    struct rows sums = {0}, vectors = {0};

    if (pending->sums != NULL) {
        sums = rows_of(reader, "pending.sums", sizeof(struct sona_pending_sum));
        vectors =
            rows_of(reader, "pending.sum_vectors", sona_pending_sums_vector_bytes(pending->sums));
    }
    if (x.left != entries.left || entries.left > pending->waiting_pool.capacity)
        return false;
    for (; entries.left > 0; entries.left--, entries.at += sizeof(struct kept_entry)) {
        struct kept_entry kept;

        memcpy(&kept, entries.at, sizeof kept);
        if (!load_entry(pending, &kept, x.at) ||
            !load_sums(pending, pending->waiting_pool.newest, kept.sums, &sums, &vectors))
            return false;
        x.at += bytes;
    }
    return sums.left == 0 && vectors.left == 0;
}

static bool load_settled(struct sona_pending *pending, struct sona_state_reader *reader)
{
    struct sona_pending_pool *pool = &pending->settled_pool;
    struct rows rows = rows_of(reader, "pending.settled", sizeof(struct kept_settled));

    if (rows.at == NULL)
        return false;
    for (; rows.left > 0; rows.left--, rows.at += sizeof(struct kept_settled)) {
        struct kept_settled kept;
        uint32_t place;

        memcpy(&kept, rows.at, sizeof kept);
        if (kept.fate > SONA_PENDING_REVOKED || !is_share(kept.quality) ||
            sona_pending_pool_find(pool, kept.id) != SONA_PENDING_NONE ||
            sona_pending_pool_find(&pending->waiting_pool, kept.id) != SONA_PENDING_NONE)
            return false;
        place = sona_pending_pool_take(pool, kept.id);
        if (place == SONA_PENDING_NONE)
            return false;
        pending->settled[place] =
            (struct sona_pending_settled){.owner = kept.owner,
                                          .begun_ms = kept.begun_ms,
                                          .fate = (enum sona_pending_fate)kept.fate,
                                          .quality = kept.quality};
    }
    return true;
}

/* One word per id and owner, and none about what is known. */
static bool is_new_word(const struct sona_pending *pending, const struct kept_parked *kept)
{
    const struct sona_pending_pool *pool = &pending->parked_pool;

    for (uint32_t at = sona_pending_pool_find(pool, kept->id); at != SONA_PENDING_NONE;
         at = sona_pending_pool_find_next(pool, at))
        if (pending->parked[at].owner == kept->owner)
            return false;
    return sona_pending_pool_find(&pending->waiting_pool, kept->id) == SONA_PENDING_NONE &&
           sona_pending_pool_find(&pending->settled_pool, kept->id) == SONA_PENDING_NONE;
}

static bool load_parked(struct sona_pending *pending, struct sona_state_reader *reader)
{
    struct sona_pending_pool *pool = &pending->parked_pool;
    struct rows rows = rows_of(reader, "pending.parked", sizeof(struct kept_parked));

    if (rows.at == NULL)
        return false;
    for (; rows.left > 0; rows.left--, rows.at += sizeof(struct kept_parked)) {
        struct kept_parked kept;
        uint32_t place;

        memcpy(&kept, rows.at, sizeof kept);
        if (!is_share(kept.quality) || kept.revoke > 1 || !is_new_word(pending, &kept))
            return false;
        place = sona_pending_pool_take(pool, kept.id);
        if (place == SONA_PENDING_NONE)
            return false;
        pending->parked[place] = (struct sona_pending_parked){.owner = kept.owner,
                                                              .since_ms = kept.since_ms,
                                                              .quality = kept.quality,
                                                              .latency_us = kept.latency_us,
                                                              .revoke = kept.revoke != 0};
    }
    return true;
}

/* Counters are appended: an older state has fewer of them. */
static bool load_figures(struct sona_pending *pending, struct sona_state_reader *reader)
{
    struct rows counters = rows_of(reader, "pending.counter", sizeof(uint64_t));
    struct rows nodes = rows_of(reader, "pending.nodes", sizeof(sona_node_stats));

    if (counters.left == 0 || counters.left > SONA_COUNTER_COUNT || nodes.left > SONA_NODES_MAX + 1)
        return false;
    memcpy(pending->counter, counters.at, (size_t)counters.left * sizeof(uint64_t));
    if (nodes.left > 0)
        memcpy(pending->nodes.node, nodes.at, (size_t)nodes.left * sizeof(sona_node_stats));
    pending->nodes.n = (uint32_t)nodes.left;
    for (uint32_t i = 0; i < pending->nodes.n; i++)
        if (pending->nodes.node[i].steps == 0)
            return false; /* its means are quotients */
    return true;
}

sona_err sona_pending_load(struct sona_pending *pending, struct sona_state_reader *reader)
{
    static const struct {
        const char *name;
        bool (*load)(struct sona_pending *pending, struct sona_state_reader *reader);
    } parts[] = {
        {"pending.entries", load_entries},
        {"pending.settled", load_settled},
        {"pending.parked", load_parked},
        {"pending.counter", load_figures},
    };

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!parts[i].load(pending, reader))
            return sona_state_reader_refuse(reader, parts[i].name);
    return SONA_OK;
}
