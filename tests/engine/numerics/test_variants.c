/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * How far two SIMD variants drift apart on the same events: the bound that sona/engine.h states.
 * Each variant rounds its sums in its own order; what is equal to the bit is one variant with
 * itself.
 */
#include <math.h>

#include "engine/kernels/kernels.h"
#include "tests/engine/engine_fixture.h"

#define EVENTS 5000u
#define EVERY  5u /* events between two looks */
#define LOOKS  (EVENTS / EVERY)

struct history {
    float scores[LOOKS][ROUTES];
    sona_route route[LOOKS];
};

/* Specialists with noise, taught by the caller's choice of route, so that the events are the same
 * whatever the learner would have decided. */
static void live(const struct dice *start, struct history *ret)
{
    struct dice dice = *start;
    sona_engine *engine = engine_open();

    for (uint32_t i = 0; i < EVENTS; i++) {
        uint32_t topic = dice_below(&dice, 5);
        sona_candidates forced = {.mode = SONA_MODE_OBSERVE, .forced = dice_below(&dice, ROUTES)};
        float x[DIM],
            quality = (topic % ROUTES == forced.forced ? 0.6f : 0.1f) + 0.4f * dice_unit(&dice);
        sona_decision d;

        query(x, topic, &dice);
        cr_assert(eq(int, sona_engine_decide(engine, x, DIM, &forced, i, &d), SONA_OK));
        cr_assert(eq(int, sona_engine_outcome(engine, d.id, quality, 0, i), SONA_OK));
        if (i % EVERY != EVERY - 1)
            continue;
        query(x, dice_below(&dice, 5), &dice);
        cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, i, &d), SONA_OK));
        memcpy(ret->scores[i / EVERY], d.scores, sizeof ret->scores[0]);
        ret->route[i / EVERY] = d.route;
    }
    sona_engine_destroy(&engine);
}

Test(variants, stay_within_the_stated_bound_of_each_other, .timeout = 120)
{
    struct dice dice = dice_open("stay_within_the_stated_bound_of_each_other");
    struct history *first = malloc(sizeof *first), *other = malloc(sizeof *other);
    const char *name = sona_kernels_active()->name;

    live(&dice, first);
    for (const struct sona_kernels *const *row = sona_kernels_all(); *row != NULL; row++) {
        uint32_t differing = 0;
        double most = 0;

        if (!sona_kernels_select((*row)->name))
            continue;
        live(&dice, other);
        for (uint32_t i = 0; i < LOOKS; i++) {
            differing += first->route[i] != other->route[i];
            for (uint32_t k = 0; k < ROUTES; k++)
                most = fmax(most, fabs((double)first->scores[i][k] - (double)other->scores[i][k]));
        }
        cr_log_info("%s and %s: scores within %g, %u of %u decisions differ", name, (*row)->name,
                    most, differing, LOOKS);
        cr_expect(le(dbl, most, strcmp(name, (*row)->name) == 0 ? 0 : 0.1), "%s and %s, seed %llu",
                  name, (*row)->name, (unsigned long long)dice.seed);
        cr_expect(le(u32, differing, strcmp(name, (*row)->name) == 0 ? 0 : LOOKS / 100 - 1),
                  "%s and %s, seed %llu", name, (*row)->name, (unsigned long long)dice.seed);
    }
    free(first);
    free(other);
}
