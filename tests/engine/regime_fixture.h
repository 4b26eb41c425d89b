/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* A small learner whose queries change kind, and what comes of them. */
#ifndef SONA_TESTS_ENGINE_REGIME_FIXTURE_H
#define SONA_TESTS_ENGINE_REGIME_FIXTURE_H

#include "tests/engine/learner_fixture.h"

#define HERE  0u  /* first topic of one regime of queries, */
#define THERE 16u /* and of another: other directions altogether */

struct world {
    struct sona_learner *l;
    struct dice dice;
    uint64_t id;
    float x[DIM]; /* the last query */
};

static inline struct world world_open(const char *name, const sona_config *config,
                                      uint32_t n_routes)
{
    return (struct world){.l = learner_open(config, n_routes), .dice = dice_open(name)};
}

/* What is added to each coordinate of a query is at most this much. At most DIM * NOISE^2 = 0.0032
 * of a query's energy then lies off its topic: a third of the smallest deviation that the gate
 * reckons with, so that no dice make it ring while queries stay of their kind. */
#define NOISE 0.01f

/* A query of one of 4 topics from `first` on; nothing comes of it yet. Returns its topic. */
static inline uint32_t ask(struct world *w, uint32_t first)
{
    struct sona_learner_event event = {.kind = SONA_LEARNER_QUERY, .id = ++w->id, .x = w->x};
    uint32_t topic = dice_below(&w->dice, 4);

    topic_query(w->x, first + topic, NOISE, &w->dice);
    cr_assert(eq(int, sona_learner_learn(w->l, &event), SONA_OK));
    return topic;
}

static inline sona_err tell(struct world *w, uint64_t id, const float *x, sona_route route,
                            float quality)
{
    struct sona_learner_event event = {
        .kind = SONA_LEARNER_OUTCOME, .id = id, .x = x, .route = route, .quality = quality};

    return sona_learner_learn(w->l, &event);
}

static inline void watch(struct world *w, uint32_t first, uint32_t n)
{
    while (n-- > 0)
        ask(w, first);
}

/* `n` queries with their outcomes over `routes` routes: here the route of the topic's own number is
 * good, there the next one. */
static inline void live(struct world *w, uint32_t first, uint32_t routes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t topic = ask(w, first), route = dice_below(&w->dice, routes);
        bool good = (topic + (first == THERE)) % routes == route;

        cr_assert(eq(int, tell(w, w->id, w->x, route, good ? 0.9f : 0.2f), SONA_OK));
    }
}

static inline uint64_t count(const struct world *w, sona_counter counter)
{
    return w->l->counter[counter];
}

#endif
