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

#include <errno.h>
#include <fcntl.h>

#include "engine/learner/learner.h"
#include "engine/state/container.h"
#include "sidecar/recall.h"
#include "tests/engine/dice.h"
#include "tests/support/wrapped.h"

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

/* ---- what does not fit, is not there, or was never written so ---- */

/* A scene with events in its queue and, with `whole`, a checkpoint that has them. */
static void open_busy(struct scene *s, bool whole)
{
    struct dice dice = {.seed = 1, .state = 1};
    uint64_t seq = 0;

    open_scene(s, 48);
    replay(s);
    for (uint64_t i = 0; i < 500; i++)
        happen(s, &dice, &seq, i);
    learn(s, s->queue.n);
    while (whole && sona_sidecar_arena_is_half(s->recall.arena) == false)
        happen(s, &dice, &seq, 500);
    if (whole)
        cr_assert(sona_sidecar_recall_ready(&s->recall, true));
    learn(s, s->queue.n);
}

static sona_err replay_of(struct scene *s, sona_diag *diag)
{
    const struct sona_sidecar_recall_hand to = {.context = s, .slot = hand_slot, .commit = hand};

    return sona_sidecar_recall_replay(&s->recall, &to, diag);
}

/* The arena is given up, not the sidecar: what waits for an outcome ends with the process. */
Test(recall, a_checkpoint_without_room_ends_the_arena_and_nothing_else)
{
    struct dice dice = {.seed = 1, .state = 1};
    static struct scene s;
    uint64_t seq = 5000;

    open_busy(&s, false);
    while (!sona_sidecar_arena_is_half(s.recall.arena))
        happen(&s, &dice, &seq, 500);
    s.recall.checkpoint_bytes = 100;
    cr_expect(sona_sidecar_recall_ready(&s.recall, true));
    cr_expect(eq(ptr, s.recall.arena, NULL));
    cr_expect(eq(int, access(s.path, F_OK), -1), "nobody is misled by half of it");
    uint64_t made = s.recall.made;
    for (uint64_t i = 0; i < 500; i++)
        happen(&s, &dice, &seq, 500 + i);
    cr_expect(gt(u64, s.recall.made, made), "it goes on");
    cr_expect(eq(int, replay_of(&s, NULL), SONA_OK));
    close_scene(&s);
}

Test(recall, without_a_path_everything_is_joined_and_nothing_is_remembered)
{
    struct dice dice = {.seed = 1, .state = 1};
    static struct scene s;
    uint64_t seq = 0;

    open_scene(&s, 48);
    sona_sidecar_recall_done(&s.recall, true);
    s.options.path = NULL;
    open_recall(&s);
    for (uint64_t i = 0; i < 500; i++) {
        cr_assert(sona_sidecar_recall_ready(&s.recall, true));
        happen(&s, &dice, &seq, i);
    }
    cr_expect(gt(u64, s.queue.n, 100));
    cr_expect(eq(ptr, s.recall.arena, NULL));
    close_scene(&s);
}

Test(recall, without_memory_or_a_file_nothing_is_opened_and_nothing_lost)
{
    static const char *const opens[] = {"aligned_alloc", "open64"};
    static struct scene s;
    sona_diag diag;

    open_busy(&s, false);
    sona_sidecar_recall_done(&s.recall, false);
    s.options.taken = s.learned.n;
    for (int i = 0; i < 2; i++) {
        wrapped_fail(opens[i], 0, 1, ENOMEM);
        cr_expect(ne(int, sona_sidecar_recall_init(&s.recall, &s.options, &diag), SONA_OK), "%s",
                  opens[i]);
        cr_expect(eq(u32, wrapped_failed(opens[i]), 1), "%s", opens[i]);
    }
    for (unsigned pass = 0; pass < 2; pass++) { /* of the record, of the event */
        open_recall(&s);
        wrapped_fail("aligned_alloc", pass, 1, ENOMEM);
        cr_expect(eq(int, replay_of(&s, &diag), SONA_E_MEMORY));
        cr_expect(ne(ptr, strstr(diag.text, "no memory to read the arena"), NULL));
        cr_expect(eq(u64, s.recall.made, s.learned.n), "begun anew behind what was learned");
        sona_sidecar_recall_done(&s.recall, false);
    }
    struct dice dice = {.seed = 1, .state = 1};
    uint64_t seq = 5000;
    open_recall(&s);
    wrapped_fail("aligned_alloc", 0, 100, ENOMEM); /* nor for anything that follows */
    cr_expect(eq(int, replay_of(&s, &diag), SONA_E_MEMORY));
    for (uint64_t i = 0; i < 500; i++)
        happen(&s, &dice, &seq, 1000 + i);
    cr_expect(gt(u64, s.queue.n, 100), "what comes is joined all the same");
    cr_expect(eq(u64, s.recall.made, s.learned.n + s.queue.n));
    wrapped_fail("aligned_alloc", 0, 0, 0);
    sona_sidecar_recall_done(&s.recall, true);
    open_recall(&s);
    close_scene(&s);
}

/* Its lane is then looked at from its beginning; ids tell what was seen. */
Test(recall, a_lane_that_cannot_be_noted_is_not)
{
    struct dice dice = {.seed = 1, .state = 1};
    static struct scene s;
    uint64_t seq = 0;

    open_scene(&s, 48);
    replay(&s);
    for (uint64_t i = 0; i < 100; i++)
        happen(&s, &dice, &seq, i);
    learn(&s, s.queue.n);
    wrapped_fail("realloc", 0, 1000, ENOMEM);
    die(&s);
    cr_expect(eq(u32, s.recall.n_lanes, 0));
    cr_expect(gt(u32, wrapped_failed("realloc"), 0));
    wrapped_fail("realloc", 0, 0, 0);
    die(&s);
    cr_expect(eq(u32, s.recall.n_lanes, 1), "with memory it is");
    close_scene(&s);
}

Test(recall, each_lane_is_noted_by_itself)
{
    struct room room;
    static struct scene s;

    open_scene(&s, 48);
    replay(&s);
    for (uint32_t i = 0; i < 60; i++) {
        const struct sona_sidecar_taken taken = {
            .origin = {.tag = TAG + i % 2, .lane = LANE + i % 3, .seq = i},
            .owner = 1,
            .now_ms = 1,
            .record = record_init(&room, SONA_RECORD_DECIDE, i)};

        if (sona_sidecar_recall_take(&s.recall, &taken, hand_slot(&s)))
            hand(&s);
    }
    die(&s);
    cr_assert(eq(u32, s.recall.n_lanes, 6));
    for (uint32_t i = 0; i < 6; i++)
        cr_expect(eq(u64, s.recall.lanes[i].next, 55 + i), "tag %u, lane %u", s.recall.lanes[i].tag,
                  s.recall.lanes[i].lane);
    close_scene(&s);
}

/* The newest checkpoint of the arena, to be spoilt; `routes`: how many it says that there are. */
static unsigned char *checkpoint_of(struct scene *s, size_t *ret_n, uint32_t **ret_routes)
{
    unsigned char *bytes =
        (unsigned char *)(uintptr_t)sona_sidecar_arena_checkpoint(s->recall.arena, ret_n);
    const uint32_t n_routes = s->recall.join.rules.n_routes;
    uint64_t head[2] = {s->recall.made, n_routes};

    cr_assert(ne(ptr, bytes, NULL));
    unsigned char *at = memmem(bytes, *ret_n, head, sizeof head);
    cr_assert(ne(ptr, at, NULL));
    *ret_routes = (uint32_t *)(void *)(at + sizeof head[0]);
    return bytes;
}

Test(recall, a_checkpoint_that_is_not_sound_is_begun_anew_behind_what_was_learned)
{
    for (int what = 0; what < 4; what++) {
        static struct scene s;
        sona_diag diag = {.text = ""};
        uint32_t *routes;
        size_t n;

        open_busy(&s, true);
        unsigned char *bytes = checkpoint_of(&s, &n, &routes);
        if (what == 0) {
            *routes = SONA_ROUTES_MAX + 1;
        } else if (what == 1) { /* no such section */
            for (unsigned char *at = bytes;
                 (at = memmem(at, n - (size_t)(at - bytes), "intake", 6));)
                *at++ = 'x';
        } else if (what == 2) { /* of a join, none that is known */
            memset(memmem(bytes, n, "join.head", 9), 'x', 9);
        }
        if (what < 3)
            (void)sona_state_seal(bytes, n);
        else
            *routes ^= 1; /* against its checksum */
        sona_sidecar_recall_done(&s.recall, false);
        open_recall(&s);
        cr_expect(ne(int, replay_of(&s, &diag), SONA_OK), "case %d", what);
        cr_expect(eq(u64, s.queue.n, 0), "case %d", what);
        cr_expect(eq(u64, s.recall.made, s.learned.n), "case %d", what);
        die(&s);
        cr_expect(eq(u64, s.queue.n, 0), "case %d", what);
        close_scene(&s);
    }
}

/* Kinds that no version wrote, and a table of routes that is longer than one can be. */
Test(recall, entries_that_nobody_wrote_change_nothing)
{
    static struct scene s;

    open_busy(&s, false);
    struct sona_sidecar_rules before = s.recall.join.rules;
    for (uint32_t kind = 1; kind < 100; kind += 98) {
        struct sona_sidecar_entry *e = sona_sidecar_arena_reserve(s.recall.arena, kind + 1, 0);

        e->seq = SONA_ROUTES_MAX + 1;
        sona_sidecar_arena_commit(s.recall.arena);
    }
    die(&s);
    cr_expect(eq(u32, s.recall.join.rules.n_routes, before.n_routes));
    cr_expect(eq(u64, s.queue.n, 0));
    cr_expect(eq(u64, s.recall.made, s.learned.n));
    close_scene(&s);
}

Test(recall, a_broken_arena_is_said_and_begun_anew)
{
    static struct scene s;

    open_busy(&s, true);
    sona_sidecar_recall_done(&s.recall, false);
    int fd = open(s.path, O_RDWR | O_CLOEXEC);
    const uint64_t more = UINT64_MAX / 2; /* bytes of a checkpoint: 16 behind its number */
    for (off_t at = 72 + 16; at < 72 + 2 * 32; at += 32)
        cr_assert(eq(i64, pwrite(fd, &more, sizeof more, at), sizeof more));
    (void)close(fd);
    open_recall(&s);
    replay(&s);
    cr_expect(eq(u64, s.queue.n, 0));
    cr_expect(eq(u64, s.recall.made, s.learned.n));
    close_scene(&s);
}
