/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A join that remembers. The model is a join that never ends: whatever the moments at which the
 * other one's process dies, its learner gets the same events, each once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "record_fixture.h"

#include "engine/learner/learner.h"
#include "sidecar/recall.h"
#include "tests/engine/dice.h"

#define PADDED 32u
#define MANY   40000u

struct event {
    alignas(64) struct sona_sidecar_joined joined;
    float vectors[2 * PADDED];
};
static_assert(sizeof(struct event) == sizeof(struct sona_sidecar_joined) + 2 * PADDED * 4, "one");

/* Events in order: those of a queue, or all that a learner took. */
struct events {
    struct event *event;
    uint64_t n;
};

struct scene {
    sona_config config;
    struct sona_model_layout layout;
    struct sona_sidecar_recall_options options;
    char dir[32], path[64];
    struct sona_sidecar_recall recall;
    struct events queue, learned; /* what is in the queue was handed over, and may die */
    struct event slot;
};

static void open_recall(struct scene *s)
{
    sona_diag diag = {.text = ""};

    s->options.taken = s->learned.n;
    cr_assert(eq(int, sona_sidecar_recall_init(&s->recall, &s->options, &diag), SONA_OK), "%s",
              diag.text);
}

static void open_scene(struct scene *s, uint32_t capacity)
{
    sona_geometry geometry;

    memset(s, 0, sizeof *s);
    sona_config_init(&s->config);
    s->config.embedding_dim = s->config.hidden_dim = DIM;
    s->config.attention_dim = ATTENTION;
    s->config.trajectory_capacity = capacity;
    s->config.feedback_window_ms = 400;
    s->config.default_quality = 0.3f;
    s->config.max_trajectory_steps = 3;
    s->config.step_capacity = 64;
    sona_config_geometry(&s->config, &geometry);
    cr_assert(eq(int, sona_model_layout_init(&s->layout, &geometry), SONA_OK));
    (void)snprintf(s->dir, sizeof s->dir, "/tmp/sona-recall-XXXXXX");
    cr_assert(ne(ptr, mkdtemp(s->dir), NULL));
    (void)snprintf(s->path, sizeof s->path, "%s/one.arena", s->dir);
    s->options = (struct sona_sidecar_recall_options){
        .config = &s->config,
        .layout = &s->layout,
        .record_stride = sona_record_stride(&geometry),
        .path = s->path,
    };
    s->queue.event = aligned_alloc(64, MANY * sizeof *s->queue.event);
    s->learned.event = aligned_alloc(64, MANY * sizeof *s->learned.event);
    open_recall(s);
}

static void close_scene(struct scene *s)
{
    sona_sidecar_recall_done(&s->recall, true);
    cr_assert(zero(int, rmdir(s->dir)));
    free(s->queue.event);
    free(s->learned.event);
}

static struct sona_sidecar_joined *hand_slot(void *context)
{
    struct scene *s = context;

    memset(&s->slot, 0, sizeof s->slot);
    return &s->slot.joined;
}

static void hand(void *context)
{
    struct scene *s = context;

    cr_assert(lt(u64, s->queue.n + s->learned.n, MANY));
    s->queue.event[s->queue.n++] = s->slot;
}

static void replay(struct scene *s)
{
    const struct sona_sidecar_recall_hand to = {.context = s, .slot = hand_slot, .commit = hand};
    sona_diag diag = {.text = ""};

    cr_assert(eq(int, sona_sidecar_recall_replay(&s->recall, &to, &diag), SONA_OK), "%s",
              diag.text);
}

/* The learner takes some of what is in the queue. */
static void learn(struct scene *s, uint64_t n)
{
    memcpy(s->learned.event + s->learned.n, s->queue.event, n * sizeof *s->queue.event);
    s->learned.n += n;
    s->queue.n -= n;
    memmove(s->queue.event, s->queue.event + n, s->queue.n * sizeof *s->queue.event);
}

/* The process dies: what was learned is in the journal, what was in the queue is nowhere. */
static void die(struct scene *s)
{
    sona_sidecar_recall_done(&s->recall, false);
    s->queue.n = 0;
    open_recall(s);
    replay(s);
}

static void make_record(struct room *room, struct dice *dice, uint64_t seq)
{
    static const int kinds[] = {SONA_RECORD_DECIDE,      SONA_RECORD_DECIDE, SONA_RECORD_OUTCOME,
                                SONA_RECORD_OUTCOME,     SONA_RECORD_BEGIN,  SONA_RECORD_STEP,
                                SONA_RECORD_END,         SONA_RECORD_REVOKE, SONA_RECORD_SIGNAL,
                                SONA_RECORD_PATTERN_HIT, SONA_RECORD_ROUTE,  99};
    int kind = kinds[dice_below(dice, sizeof kinds / sizeof kinds[0])];
    struct sona_record *r = record_init(room, kind, seq);
    /* About something not long ago, mostly; also about what is not there yet. */
    uint64_t about = seq + 3 - dice_below(dice, seq > 60 ? 60 : (uint32_t)seq + 1);

    r->value = dice_unit(dice);
    r->snapshot = seq;
    if (kind == SONA_RECORD_STEP) {
        r->n_floats = DIM;
        r->layer = (uint16_t)dice_below(dice, 2);
        r->flags = SONA_RECORD_REWARDED;
    }
    if (kind == SONA_RECORD_SIGNAL)
        r->n_floats = DIM;
    if (kind != SONA_RECORD_DECIDE && kind != SONA_RECORD_BEGIN)
        r->id = SONA_ID(TAG, LANE, about);
}

/* One thing that can happen to an intake, to either of the two; the same for the same dice. */
static void happen(struct scene *s, struct dice *dice, uint64_t *seq, uint64_t now_ms)
{
    uint32_t what = dice_below(dice, 100), budget = SONA_SIDECAR_EXPIRE_BUDGET;
    struct sona_sidecar_rules rules;
    struct room room;

    if (what == 0) {
        rules_init(&rules);
        rules.route[1].state = dice_below(dice, 2) ? SONA_ROUTE_ENABLED : SONA_ROUTE_RETIRED;
        sona_sidecar_recall_rules(&s->recall, rules.route, rules.n_routes);
    } else if (what == 1) {
        sona_sidecar_recall_forget_tag(&s->recall, TAG);
    } else if (what < 8) {
        bool thinned = dice_below(dice, 4) == 0, kept;

        while (
            sona_sidecar_recall_expire(&s->recall, now_ms, &budget, thinned, hand_slot(s), &kept))
            if (kept)
                hand(s);
    } else {
        make_record(&room, dice, *seq);
        struct sona_sidecar_taken taken = {
            .origin = {.tag = TAG, .lane = LANE, .seq = (*seq)++},
            .owner = 1,
            .on_its_way = dice_below(dice, 2) == 0,
            .withheld = dice_below(dice, 3) == 0,
            .thinned = dice_below(dice, 4) == 0,
            .muted = dice_below(dice, 8) == 0,
            .now_ms = now_ms,
            .record = &room.record,
        };
        if (sona_sidecar_recall_take(&s->recall, &taken, hand_slot(s)))
            hand(s);
        while (sona_sidecar_join_has_more(&s->recall.join) &&
               sona_sidecar_recall_more(&s->recall, hand_slot(s)))
            hand(s);
    }
}

static void assert_same(const struct events *a, const struct events *b, const struct dice *dice)
{
    cr_assert(eq(u64, a->n, b->n), "seed %llu", (unsigned long long)dice->seed);
    for (uint64_t i = 0; i < a->n; i++) {
        const struct event *x = &a->event[i], *y = &b->event[i];
        size_t bytes = sona_sidecar_joined_vectors(x->joined.kind) * PADDED * sizeof(float);

        cr_assert(zero(int, memcmp(&x->joined, &y->joined, sizeof x->joined)),
                  "event %llu, seed %llu", (unsigned long long)i, (unsigned long long)dice->seed);
        cr_assert(zero(int, memcmp(x->vectors, y->vectors, bytes)),
                  "vectors of event %llu, seed %llu", (unsigned long long)i,
                  (unsigned long long)dice->seed);
    }
}

Test(recall, a_learner_gets_each_event_once_however_often_the_intake_dies)
{
    struct dice dice = dice_open("a_learner_gets_each_event_once_however_often_the_intake_dies");
    struct dice same = dice, fate = {.state = dice.seed ^ 77};
    uint64_t seq = 0, other_seq = 0, checkpoints = 0;
    static struct scene mortal, model;

    open_scene(&mortal, 48);
    open_scene(&model, 48);
    replay(&mortal);
    replay(&model);
    for (uint64_t i = 0; i < 20000; i++) {
        bool full = sona_sidecar_arena_is_half(mortal.recall.arena);

        while (!sona_sidecar_recall_ready(&mortal.recall, mortal.queue.n == 0))
            learn(&mortal, mortal.queue.n); /* it waits for the learner */
        if (full && !sona_sidecar_arena_is_half(mortal.recall.arena)) {
            checkpoints++;
            die(&mortal); /* what the checkpoint does not have is nowhere else */
        }
        (void)sona_sidecar_recall_ready(&model.recall, true);
        happen(&mortal, &dice, &seq, i);
        happen(&model, &same, &other_seq, i);
        if (dice_below(&fate, 4) == 0)
            learn(&mortal, dice_below(&fate, (uint32_t)mortal.queue.n + 1));
        if (dice_below(&fate, 150) == 0)
            for (uint32_t deaths = 1 + dice_below(&fate, 3); deaths > 0; deaths--) {
                die(&mortal);
                learn(&mortal, dice_below(&fate, (uint32_t)mortal.queue.n + 1));
            }
    }
    learn(&mortal, mortal.queue.n);
    learn(&model, model.queue.n);
    cr_assert(gt(u64, model.learned.n, 5000));
    cr_assert(gt(u64, checkpoints, 3));
    assert_same(&mortal.learned, &model.learned, &dice);
    const uint64_t *counts = mortal.recall.join.refused;
    cr_assert(
        zero(int, memcmp(counts, model.recall.join.refused, sizeof model.recall.join.refused)),
        "what gave way is counted once, too; seed %llu", (unsigned long long)dice.seed);
    cr_assert(gt(u64, counts[SONA_COUNTER_drop_thinned], 100));
    cr_assert(gt(u64, counts[SONA_COUNTER_queries_withheld], 100));
    close_scene(&mortal);
    close_scene(&model);
}

Test(recall, an_arena_whose_numbers_are_not_the_learners_hands_nothing_over_twice)
{
    struct dice dice = dice_open("an_arena_whose_numbers_are_not_the_learners");
    static struct scene s;
    uint64_t seq = 0;

    open_scene(&s, 48);
    replay(&s);
    for (uint64_t i = 0; i < 500; i++)
        happen(&s, &dice, &seq, i);
    learn(&s, s.queue.n);
    uint64_t waiting = s.recall.made;
    cr_assert(eq(u64, waiting, s.learned.n));
    /* The journal is another one, which knows of fewer events, or of more. */
    s.learned.n += 1000;
    die(&s);
    cr_assert(eq(u64, s.queue.n, 0));
    cr_assert(eq(u64, s.recall.made, s.learned.n), "and goes on with the journal's numbers");
    s.learned.n = 3;
    die(&s);
    cr_assert(eq(u64, s.queue.n, 0));
    cr_assert(eq(u64, s.recall.made, 3));
    close_scene(&s);
}

/* Two state directories in turn over one runtime directory: a store that is new counts from 0, and
 * so did the one that the arena was kept beside. */
Test(recall, an_arena_beside_another_journal_is_begun_anew)
{
    struct dice dice = dice_open("an_arena_beside_another_journal");
    static struct scene s;
    uint64_t seq = 0;

    open_scene(&s, 48);
    replay(&s);
    for (uint64_t i = 0; i < 500; i++)
        happen(&s, &dice, &seq, i);
    uint64_t told = s.queue.n;
    cr_assert(gt(u64, told, 0));
    die(&s);
    cr_assert(eq(u64, s.queue.n, told), "the same journal: again, for nobody learned them");
    s.options.journal = 7;
    die(&s);
    cr_assert(eq(u64, s.queue.n, 0), "they were told to another learner");
    cr_assert(eq(u64, s.recall.made, 0));
    close_scene(&s);
}
