/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * See recall.h. The join is a function of what it was given, so that giving it the same again gives
 * the same events with the same numbers. What it cannot see from its input (whether a decision is
 * still on its way, whether its client says too much, the route table of the moment) is part of the
 * entry.
 */
#include "sidecar/recall.h"

#include <stdlib.h>
#include <string.h>

#include "engine/state/container.h"
#include "shm/diag.h"
#include "shm/fault.h"
#include "shm/layout.h"
#include "sidecar/log.h"

enum kind { RECORD = 1, RULES, EXPIRE, FORGET };
#define ON_ITS_WAY 1u
#define WITHHELD   2u
#define THINNED    4u
#define MUTED      8u

#define SECTION "intake"
/* Slots that a checkpoint may come after: of one visit to a lane, twice over. */
#define ENTRIES_MIN 256u
/* Headers of a checkpoint's sections, and their padding. */
#define SECTIONS_BYTES (64u << 10)

/* What a checkpoint has beside the join. */
struct rest {
    uint64_t made;
    uint32_t n_routes, reserved;
    struct sona_sidecar_route route[SONA_ROUTES_MAX];
};

/* Of the structs that entries and checkpoints consist of. */
static uint64_t meaning_of(const struct sona_sidecar_recall_options *o)
{
    const uint64_t part[] = {sizeof(struct rest),
                             sizeof(struct sona_record),
                             sizeof(struct sona_sidecar_entry),
                             SONA_STATE_VERSION,
                             SONA_RECORD_VERSION,
                             o->record_stride,
                             o->config->trajectory_capacity,
                             o->config->step_capacity,
                             o->layout->geometry.dim,
                             o->layout->geometry.attention_dim,
                             o->layout->geometry.flags,
                             o->journal};
    uint64_t ret = 1;

    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++)
        ret = (ret ^ part[i]) * 0x9e3779b97f4a7c15u;
    return ret;
}

/* Bytes of the state with its tables full: rows are stored as they lie in the tables, or shorter.
 */
static size_t save_bytes_max(const struct sona_sidecar_recall_options *o)
{
    return sona_sidecar_join_bytes(o->config, o->layout) + sizeof(struct rest) + SECTIONS_BYTES;
}

static struct sona_sidecar_arena_options
arena_options(const struct sona_sidecar_recall_options *options)
{
    size_t checkpoint = save_bytes_max(options);
    size_t entries = ENTRIES_MIN * (sizeof(struct sona_sidecar_entry) + options->record_stride);
    size_t ring = checkpoint > 4 * entries ? checkpoint : 4 * entries;

    return (struct sona_sidecar_arena_options){.path = options->path,
                                               .meaning = meaning_of(options),
                                               .checkpoint_bytes = checkpoint,
                                               .ring_bytes = ring};
}

size_t sona_sidecar_recall_arena_bytes(const struct sona_sidecar_recall_options *options)
{
    struct sona_sidecar_arena_options arena = arena_options(options);

    return sona_sidecar_arena_bytes(&arena);
}

sona_err sona_sidecar_recall_init(struct sona_sidecar_recall *ret,
                                  const struct sona_sidecar_recall_options *options,
                                  sona_diag *reterr)
{
    static const char *const found_text[] = {
        [SONA_SIDECAR_ARENA_NEW] = "new",
        [SONA_SIDECAR_ARENA_KEPT] = "kept",
        [SONA_SIDECAR_ARENA_FOREIGN] = "of another start of the machine, configuration or journal",
        [SONA_SIDECAR_ARENA_BROKEN] = "broken"};
    struct sona_sidecar_arena_options arena = arena_options(options);
    enum sona_sidecar_arena_found found;

    *ret = (struct sona_sidecar_recall){.config = options->config,
                                        .layout = options->layout,
                                        .taken = options->taken,
                                        .made = options->taken,
                                        .record_stride = options->record_stride,
                                        .checkpoint_bytes = arena.checkpoint_bytes};
    sona_err err = sona_sidecar_join_init(&ret->join, options->config, options->layout, reterr);
    if (err != SONA_OK || !options->path)
        return err;
    err = sona_sidecar_arena_open(&ret->arena, &arena, &found, reterr);
    if (err != SONA_OK) {
        sona_sidecar_join_done(&ret->join);
        return err;
    }
    if (found == SONA_SIDECAR_ARENA_FOREIGN || found == SONA_SIDECAR_ARENA_BROKEN)
        sona_sidecar_log(
            SONA_SIDECAR_WARN, "arena_begun_anew",
            "path=%s reason=\"the one there is %s; what waited for an outcome is gone\"",
            options->path, found_text[found]);
    return SONA_OK;
}

void sona_sidecar_recall_done(struct sona_sidecar_recall *recall, bool remove)
{
    sona_sidecar_arena_close(&recall->arena, remove);
    sona_sidecar_join_done(&recall->join);
    free(recall->lanes);
    recall->lanes = NULL;
}

void sona_sidecar_recall_verify(const char *path, sona_sidecar_finding *tell, void *context)
{
    sona_sidecar_arena_verify(path, sizeof(struct rest), tell, context);
}

/* ---- checkpoints ---- */

static void checkpoint(struct sona_sidecar_recall *recall)
{
    const struct sona_sidecar_rules *rules = &recall->join.rules;
    struct rest rest = {.made = recall->made, .n_routes = rules->n_routes};
    void *at = sona_sidecar_arena_checkpoint_begin(recall->arena);
    struct sona_state_writer writer;

    memcpy(rest.route, rules->route, rules->n_routes * sizeof *rules->route);
    sona_state_writer_init(&writer, at, recall->checkpoint_bytes);
    sona_sidecar_join_save(&recall->join, &writer);
    sona_state_writer_put(&writer, SECTION, sizeof rest, 1, &rest);
    if (!sona_state_writer_end(&writer, sizeof rest)) { /* room for the largest was made */
        sona_sidecar_log(SONA_SIDECAR_ERROR, "arena_given_up",
                         "bytes=%zu reason=\"a checkpoint has no room, which is a defect; what "
                         "waits for an outcome ends with this process\"",
                         writer.end);
        sona_sidecar_arena_close(&recall->arena, true);
        return;
    }
    (void)sona_state_seal(at, writer.end);
    SONA_FAULT(arena_saved);
    sona_sidecar_arena_checkpoint_commit(recall->arena, writer.end);
    SONA_FAULT(arena_checkpoint);
}

bool sona_sidecar_recall_has_room(const struct sona_sidecar_recall *recall)
{
    size_t rules = SONA_ROUTES_MAX * sizeof(struct sona_sidecar_route);
    size_t most = rules > recall->record_stride ? rules : recall->record_stride;

    return !recall->arena || sona_sidecar_arena_has_room(recall->arena, (uint32_t)most);
}

bool sona_sidecar_recall_ready(struct sona_sidecar_recall *recall, bool settled)
{
    if (recall->arena && settled && sona_sidecar_arena_is_half(recall->arena) &&
        !sona_sidecar_join_has_more(&recall->join))
        checkpoint(recall);
    return sona_sidecar_recall_has_room(recall);
}

/* ---- remembering ---- */

bool sona_sidecar_recall_take(struct sona_sidecar_recall *recall,
                              const struct sona_sidecar_taken *taken,
                              struct sona_sidecar_joined *ret)
{
    if (recall->arena) {
        struct sona_sidecar_entry *e =
            sona_sidecar_arena_reserve(recall->arena, RECORD, recall->record_stride);

        e->now_ms = taken->now_ms;
        e->owner = taken->owner;
        e->seq = taken->origin.seq;
        e->tag = taken->origin.tag;
        e->lane = taken->origin.lane;
        e->flags = (taken->on_its_way ? ON_ITS_WAY : 0u) | (taken->withheld ? WITHHELD : 0u) |
                   (taken->thinned ? THINNED : 0u) | (taken->muted ? MUTED : 0u);
        memcpy(sona_sidecar_entry_payload(e), taken->record, recall->record_stride);
        SONA_FAULT(arena_copied);
        sona_sidecar_arena_commit(recall->arena);
        SONA_FAULT(arena_appended);
    }
    bool found = sona_sidecar_join_take(&recall->join, taken, ret);
    recall->made += found;
    return found;
}

bool sona_sidecar_recall_more(struct sona_sidecar_recall *recall, struct sona_sidecar_joined *ret)
{
    bool found = sona_sidecar_join_more(&recall->join, ret);

    recall->made += found;
    return found;
}

/* An event came out, or would have. */
static bool keep(struct sona_sidecar_recall *recall, bool thinned,
                 struct sona_sidecar_joined *event)
{
    bool kept = !(thinned && sona_sidecar_join_thin(&recall->join, event));

    recall->made += kept;
    return kept;
}

bool sona_sidecar_recall_expire(struct sona_sidecar_recall *recall, uint64_t now_ms,
                                uint32_t *budget, bool thinned, struct sona_sidecar_joined *ret,
                                bool *ret_kept)
{
    if (!sona_pending_is_due(recall->join.pending, now_ms))
        return false; /* most of the time: nothing to remember */
    if (recall->arena) {
        struct sona_sidecar_entry *e = sona_sidecar_arena_reserve(recall->arena, EXPIRE, 0);

        e->now_ms = now_ms;
        e->seq = *budget;
        e->flags = thinned ? THINNED : 0;
        sona_sidecar_arena_commit(recall->arena);
    }
    bool found = sona_sidecar_join_expire(&recall->join, now_ms, budget, ret);

    *ret_kept = found && keep(recall, thinned, ret);
    return found;
}

void sona_sidecar_recall_forget_tag(struct sona_sidecar_recall *recall, uint32_t tag)
{
    if (recall->arena) {
        struct sona_sidecar_entry *e = sona_sidecar_arena_reserve(recall->arena, FORGET, 0);

        e->tag = tag;
        sona_sidecar_arena_commit(recall->arena);
    }
    sona_sidecar_join_forget_tag(&recall->join, tag);
}

static void set_rules(struct sona_sidecar_recall *recall, const struct sona_sidecar_route *routes,
                      uint32_t n_routes)
{
    recall->join.rules.n_routes = n_routes;
    memcpy(recall->join.rules.route, routes, n_routes * sizeof *routes);
}

void sona_sidecar_recall_rules(struct sona_sidecar_recall *recall,
                               const struct sona_sidecar_route *routes, uint32_t n_routes)
{
    if (recall->arena) {
        uint32_t bytes = n_routes * (uint32_t)sizeof *routes;
        struct sona_sidecar_entry *e = sona_sidecar_arena_reserve(recall->arena, RULES, bytes);

        e->seq = n_routes;
        memcpy(sona_sidecar_entry_payload(e), routes, bytes);
        sona_sidecar_arena_commit(recall->arena);
    }
    set_rules(recall, routes, n_routes);
}

/* ---- recalling ---- */

static sona_err load(struct sona_sidecar_recall *recall, const void *bytes, size_t n,
                     sona_diag *reterr)
{
    struct sona_state_reader reader;
    struct rest rest;
    sona_err err = sona_state_reader_open(&reader, bytes, n, sizeof rest, reterr);

    if (err == SONA_OK)
        err = sona_sidecar_join_load(&recall->join, &reader);
    if (err != SONA_OK)
        return err;
    if (!sona_state_reader_take(&reader, SECTION, sizeof rest, 1, &rest) ||
        rest.n_routes > SONA_ROUTES_MAX)
        return sona_state_reader_refuse(&reader, SECTION);
    recall->made = rest.made;
    set_rules(recall, rest.route, rest.n_routes);
    return sona_state_reader_done(&reader);
}

/* Note that everything of this lane up to the entry's record was taken. */
static void note_lane(struct sona_sidecar_recall *recall, const struct sona_sidecar_entry *entry)
{
    struct sona_sidecar_recalled_lane *more;
    uint32_t i = recall->n_lanes;

    while (i-- > 0)
        if (recall->lanes[i].tag == entry->tag && recall->lanes[i].lane == entry->lane) {
            recall->lanes[i].next = entry->seq + 1;
            return;
        }
    more = realloc(recall->lanes, (recall->n_lanes + 1) * sizeof *more);
    if (!more)
        return; /* then its last few records are seen twice, and told from new ones by their id */
    recall->lanes = more;
    more[recall->n_lanes++] = (struct sona_sidecar_recalled_lane){
        .tag = entry->tag, .lane = entry->lane, .next = entry->seq + 1};
}

struct again {
    struct sona_sidecar_recall *recall;
    const struct sona_sidecar_recall_hand *hand;
    struct sona_record *record;
    struct sona_sidecar_joined *joined;
    bool known; /* all of it: the numbers do not fit the learner's */
    uint64_t handed;
};

/* An event came out: the learner has it, or gets it. */
static void brought(struct again *g)
{
    struct sona_sidecar_recall *recall = g->recall;

    if (g->known || recall->made - 1 < recall->taken)
        return;
    struct sona_sidecar_joined *slot = g->hand->slot(g->hand->context);
    memcpy(slot, g->joined, sona_sidecar_joined_stride(recall->join.rules.dim_padded));
    g->hand->commit(g->hand->context);
    g->handed++;
}

static void take_again(struct again *g, const struct sona_sidecar_entry *e)
{
    struct sona_sidecar_recall *recall = g->recall;
    const struct sona_sidecar_taken taken = {
        .origin = {.tag = e->tag, .lane = e->lane, .seq = e->seq},
        .owner = e->owner,
        .on_its_way = (e->flags & ON_ITS_WAY) != 0,
        .withheld = (e->flags & WITHHELD) != 0,
        .thinned = (e->flags & THINNED) != 0,
        .muted = (e->flags & MUTED) != 0,
        .now_ms = e->now_ms,
        .record = g->record,
    };

    memcpy(g->record, sona_sidecar_entry_payload(e), recall->record_stride);
    note_lane(recall, e);
    if (!sona_sidecar_join_take(&recall->join, &taken, g->joined))
        return;
    recall->made++;
    brought(g);
    while (sona_sidecar_recall_more(recall, g->joined))
        brought(g);
}

static void do_again(struct again *g, const struct sona_sidecar_entry *e)
{
    struct sona_sidecar_recall *recall = g->recall;
    uint32_t budget = (uint32_t)e->seq;

    SONA_FAULT(recall_entry);
    switch ((enum kind)e->kind) {
    case RECORD:
        take_again(g, e);
        break;
    case RULES:
        if (e->seq <= SONA_ROUTES_MAX)
            set_rules(recall, sona_sidecar_entry_payload(e), (uint32_t)e->seq);
        break;
    case EXPIRE:
        if (sona_sidecar_join_expire(&recall->join, e->now_ms, &budget, g->joined) &&
            keep(recall, (e->flags & THINNED) != 0, g->joined))
            brought(g);
        break;
    case FORGET:
        sona_sidecar_join_forget_tag(&recall->join, e->tag);
        break;
    }
}

/* A table that was loaded in part is begun anew, where it is: this must not fail. */
static sona_err give_up(struct sona_sidecar_recall *recall, sona_err err)
{
    sona_sidecar_join_begin_anew(&recall->join, recall->config, recall->layout);
    recall->made = recall->taken;
    checkpoint(recall);
    return err;
}

sona_err sona_sidecar_recall_replay(struct sona_sidecar_recall *recall,
                                    const struct sona_sidecar_recall_hand *hand, sona_diag *reterr)
{
    uint32_t dim_padded = recall->layout->dim_padded;
    size_t n, room = sizeof(struct sona_record) + dim_padded * sizeof(float);
    struct again g = {.recall = recall, .hand = hand};
    const void *state;

    if (!recall->arena)
        return SONA_OK;
    state = sona_sidecar_arena_checkpoint(recall->arena, &n);
    sona_err err = state ? load(recall, state, n, reterr) : SONA_OK;
    SONA_FAULT(recall_loaded);
    if (err != SONA_OK)
        return give_up(recall, err);
    if (room < recall->record_stride)
        room = recall->record_stride;
    g.known = state && recall->made > recall->taken;
    g.record = aligned_alloc(64, (room + 63) / 64 * 64);
    g.joined = aligned_alloc(64, sona_sidecar_joined_stride(dim_padded));
    if (g.record && g.joined) {
        for (const struct sona_sidecar_entry *e = NULL;
             (e = sona_sidecar_arena_next(recall->arena, e)) != NULL;)
            do_again(&g, e);
        /* Else the numbers go on, and the next checkpoint waits until what was handed over is kept.
         */
        if (!state || g.known || recall->made < recall->taken) {
            recall->made = recall->taken;
            checkpoint(recall);
        }
    } else {
        err = give_up(recall,
                      sona_shm_diag_set(reterr, SONA_E_MEMORY, 0, "no memory to read the arena"));
    }
    SONA_FAULT(recall_done);
    free(g.record);
    free(g.joined);
    return err;
}
