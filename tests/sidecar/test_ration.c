/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What gives way when more comes than the journal can take, and how much of it. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "shm/record.h"
#include "sidecar/ration.h"

#define MANY 100000u

static void start(struct sona_sidecar_ration *ret, bool active, bool queries, uint32_t rate)
{
    sona_sidecar_ration_init(ret, &(struct sona_sidecar_ration_options){
                                      .active = active, .queries = queries, .query_rate = rate});
}

static uint32_t withheld_of(struct sona_sidecar_ration *r, uint32_t n, uint64_t *id)
{
    uint32_t ret = 0;

    for (uint32_t i = 0; i < n; i++) {
        const struct sona_record record = {.kind = i % 2 ? SONA_RECORD_DECIDE : SONA_RECORD_BEGIN,
                                           .id = SONA_ID(7, i % 4, (*id)++)};

        ret += sona_sidecar_ration_withholds(r, &record);
    }
    return ret;
}

static double thinned_share(struct sona_sidecar_ration *r, double disk)
{
    uint32_t n = 0;

    sona_sidecar_ration_look(r, disk, 0, 0, 1);
    for (uint32_t i = 0; i < MANY; i++)
        n += sona_sidecar_ration_thins(r, SONA_ID(7, i % 4, i));
    return (double)n / MANY;
}

Test(ration, a_rate_is_kept_to_whatever_comes)
{
    struct sona_sidecar_ration r;
    uint64_t id = 0, now = 0;
    uint32_t kept = 0;

    start(&r, true, true, 1000);
    for (; now < 2000; now += 10) { /* 500 a second: all are seen */
        sona_sidecar_ration_look(&r, 0, 0, 0, now);
        cr_assert(zero(u32, withheld_of(&r, 5, &id)));
    }
    for (; now < 12000; now += 10) { /* 50,000 a second for ten seconds */
        sona_sidecar_ration_look(&r, 0, 0, 0, now);
        kept += 500 - withheld_of(&r, 500, &id);
    }
    cr_expect(ge(u32, kept, 9000));
    cr_expect(le(u32, kept, 10000 + 5500), "the first window is let through");
    for (; now < 12200; now += 10) {
        sona_sidecar_ration_look(&r, 0, 0, 0, now);
        kept = withheld_of(&r, 5, &id);
    }
    cr_expect(zero(u32, kept), "it is quiet again");
}

Test(ration, without_a_rate_a_gate_or_a_journal_all_or_nothing_gives_way)
{
    struct sona_sidecar_ration r;
    uint64_t id = 0;

    start(&r, true, true, 0);
    sona_sidecar_ration_look(&r, 0, 0, 0, 1000);
    cr_expect(zero(u32, withheld_of(&r, MANY, &id)));
    sona_sidecar_ration_look(&r, 0, 0, 0, 2000);
    cr_expect(zero(u32, withheld_of(&r, MANY, &id)));
    start(&r, true, false, 0); /* nobody looks at queries */
    cr_expect(eq(u32, withheld_of(&r, MANY, &id), MANY));
    start(&r, false, false, 1); /* nothing is journaled */
    sona_sidecar_ration_look(&r, 1, 1, 0, 1000);
    cr_expect(zero(u32, withheld_of(&r, MANY, &id)));
    cr_expect(zero(dbl, thinned_share(&r, 1)));
}

Test(ration, queries_give_way_before_outcomes_do)
{
    struct sona_sidecar_ration r;
    uint64_t id = 0;

    start(&r, true, true, 0);
    sona_sidecar_ration_look(&r, 0.1, 0.6, 0, 1);
    cr_expect(eq(u32, withheld_of(&r, 100, &id), 100), "the learner is behind");
    cr_expect(zero(dbl, thinned_share(&r, 0.5)), "that is not the journal's fault");
    cr_expect(zero(u32, withheld_of(&r, 100, &id)));
}

Test(ration, outcomes_give_way_by_a_share_that_grows_with_the_backlog)
{
    struct sona_sidecar_ration r;

    start(&r, true, true, 0);
    cr_expect(zero(dbl, thinned_share(&r, 0)));
    cr_expect(zero(dbl, thinned_share(&r, 0.5)));
    cr_expect(epsilon_eq(dbl, thinned_share(&r, 0.5 + 7.0 / 32), 0.5, 0.01));
    cr_expect(epsilon_eq(dbl, thinned_share(&r, 0.5 + 7.0 / 64), 0.25, 0.01));
    cr_expect(eq(dbl, thinned_share(&r, 15.0 / 16), 1.0));
    cr_expect(eq(dbl, thinned_share(&r, 1), 1.0));
    cr_expect(zero(dbl, thinned_share(&r, 0.2)), "and all is kept again");
}
