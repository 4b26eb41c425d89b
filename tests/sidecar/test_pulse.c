/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The watchdog is fed by loops that go round, not by time. */
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "sidecar/pulse.h"

#define LIMIT_US 400u /* so fed every 100 */

Test(pulse, nothing_is_due_before_a_quarter_of_the_limit)
{
    struct sona_sidecar_watchdog w;

    sona_sidecar_watchdog_init(&w, LIMIT_US, 1000);
    cr_expect(not(sona_sidecar_watchdog_look(&w, 1099)));
    cr_expect(sona_sidecar_watchdog_look(&w, 1100), "no loop is watched");
    cr_expect(not(sona_sidecar_watchdog_look(&w, 1199)));
}

Test(pulse, without_a_limit_it_is_never_due)
{
    struct sona_sidecar_watchdog w;

    sona_sidecar_watchdog_init(&w, 0, 0);
    cr_expect(not(sona_sidecar_watchdog_look(&w, UINT64_MAX)));
}

Test(pulse, one_loop_that_does_not_go_round_holds_it_however_the_others_run)
{
    struct sona_sidecar_pulse *drain = sona_sidecar_pulse_begin("drain");
    struct sona_sidecar_pulse *learner = sona_sidecar_pulse_begin("learner");
    struct sona_sidecar_watchdog w;
    uint64_t now = 0;

    sona_sidecar_watchdog_init(&w, LIMIT_US, now);
    cr_assert(sona_sidecar_watchdog_look(&w, now += 100), "both began");
    for (int n = 0; n < 100; n++) {
        sona_sidecar_pulse_beat(drain);
        cr_assert(not(sona_sidecar_watchdog_look(&w, now += 100)));
        cr_assert(eq(str, (char *)(uintptr_t)w.held_by, "learner"));
    }
    sona_sidecar_pulse_beat(learner);
    cr_assert(sona_sidecar_watchdog_look(&w, now += 1), "at once, when it goes round again");
    cr_assert(eq(ptr, (void *)(uintptr_t)w.held_by, NULL));
    cr_assert(not(sona_sidecar_watchdog_look(&w, now += 100)), "a round counts once");
    sona_sidecar_pulse_end(drain);
    sona_sidecar_pulse_beat(learner);
    cr_assert(sona_sidecar_watchdog_look(&w, now += 100), "what has ended is not waited for");
    sona_sidecar_pulse_end(learner);
}

Test(pulse, a_loop_in_the_place_of_another_has_begun)
{
    struct sona_sidecar_watchdog w;

    sona_sidecar_watchdog_init(&w, LIMIT_US, 0);
    struct sona_sidecar_pulse *one = sona_sidecar_pulse_begin("one");
    cr_assert(sona_sidecar_watchdog_look(&w, 100));
    sona_sidecar_pulse_end(one);
    struct sona_sidecar_pulse *two = sona_sidecar_pulse_begin("two");
    cr_assert(eq(ptr, one, two), "the same place");
    cr_assert(sona_sidecar_watchdog_look(&w, 200));
    cr_assert(not(sona_sidecar_watchdog_look(&w, 300)));
    sona_sidecar_pulse_end(two);
}

Test(pulse, more_loops_than_places_are_not_watched)
{
    for (uint32_t i = 0; i < SONA_SIDECAR_PULSES_MAX; i++)
        cr_assert(ne(ptr, sona_sidecar_pulse_begin("loop"), NULL));
    struct sona_sidecar_pulse *none = sona_sidecar_pulse_begin("one too many");
    cr_assert(eq(ptr, none, NULL));
    sona_sidecar_pulse_beat(none);
    sona_sidecar_pulse_end(none);
}
