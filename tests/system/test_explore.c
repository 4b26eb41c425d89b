/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* sonactl explore: how much decisions explore, said to a sidecar that runs, and for how long. */
#include <string.h>

#include "opinion.h"
#include "reload_fixture.h"

#define DECISIONS 60u

/* sonactl; must end with `status` and say `piece`. */
static void expect(const struct stage *stage, const char *arguments, int status, const char *piece)
{
    static char text[65536];

    cr_expect(eq(int, stage_sonactl(stage, arguments, text, sizeof text), status), "%s: %s",
              arguments, text);
    cr_expect(ne(ptr, strstr(text, piece), NULL), "%s: %s", arguments, text);
}

/* The share in effect, as sonactl says it. */
static float said(const struct stage *stage)
{
    char text[1024];

    cr_assert(zero(int, stage_sonactl(stage, "--json explore", text, sizeof text)), "%s", text);
    json_t *o = json_loads(text, 0, NULL);
    cr_assert(ne(ptr, json_object_get(o, "configured"), NULL), "%s", text);
    float ret = (float)json_real_value(json_object_get(o, "max_explore"));
    json_decref(o);
    return ret;
}

/* What the largest exploring share was among some decisions, at least: a propensity is of the best
 * route, which leaves it, or within it. */
static float explored(const struct stage *stage)
{
    char text[1024];
    float x[STAGE_DIM], ret = 0;
    sona_decision d;

    /* Until a new sidecar has published, readers see the dead one's last pair. */
    cr_assert(zero(int, stage_sonactl(stage, "flush", text, sizeof text)), "%s", text);
    sona_client *client = stage_client(stage, 1);
    sona_lane *lane = stage_lane(client);
    for (uint32_t n = 0; n < DECISIONS; n++) {
        stage_query(n % QUERIES, x);
        cr_assert(eq(int, sona_decide(lane, x, STAGE_DIM, NULL, &d), SONA_OK));
        float share = d.propensity < 0.5f ? d.propensity : 1 - d.propensity;
        ret = share > ret ? share : ret;
    }
    sona_lane_release(&lane);
    sona_client_close(&client);
    return ret;
}

static void expect_share(const struct stage *stage, float share, const char *when)
{
    cr_expect(eq(flt, said(stage), share), "%s", when);
    if (share <= 0)
        cr_expect(eq(flt, explored(stage), 0), "%s: each takes the best route", when);
    else
        cr_expect(gt(flt, explored(stage), 0), "%s: some may explore", when);
}

Test(explore, a_share_that_was_said_bounds_propensities_over_a_kill_and_a_restart, .timeout = 120)
{
    struct stage stage;

    stage_open_kept(&stage, NULL);
    expect(&stage, "explore", 0, "at most 100 % of the decisions explore, as configured");
    cr_expect(gt(flt, explored(&stage), 0.3f), "of three routes of which nothing is known");
    learn_here(&stage, 30);
    expect(&stage, "explore 0", 0,
           "at most 0 % of the decisions explore, as was said here; the "
           "configuration says 100 %");
    expect_share(&stage, 0, "at once");
    sona_spawn_kill(&stage.spawn);
    stage_reopen(&stage);
    expect_share(&stage, 0, "from the journal");
    stage_restart(&stage);
    expect_share(&stage, 0, "from a generation");
    learn_here(&stage, 10);
    sona_spawn_kill(&stage.spawn);
    stage_reopen(&stage);
    expect_share(&stage, 0, "from a generation and the journal");

    expect(&stage, "--json explore 0.0625", 0, "\"max_explore\":0.0625,\"configured\":1.0");
    cr_expect(le(flt, explored(&stage), 0.0625f));
    cr_expect(gt(flt, explored(&stage), 0));
    cr_expect(eq(flt, said(&stage), 0.0625f));
    expect(&stage, "explore 1.5", 2, "0..1");
    expect(&stage, "explore -0.1", 2, "");
    expect(&stage, "explore nan", 2, "");
    expect(&stage, "explore much", 2, "no number");
    cr_expect(eq(flt, said(&stage), 0.0625f), "a mistake changes nothing");
    expect(&stage, "explore 1", 0, "as configured");
    stage_close(&stage);
}

Test(explore, the_last_word_counts_whether_it_was_said_or_configured, .timeout = 120)
{
    static const char half[] = "learner: {max_explore: 0.5}\n",
                      none[] = "learner: {max_explore: 0}\n";
    struct reload_file file;
    struct stage stage;

    reload_open(&file, half);
    stage_open_kept(&stage, (const char *const[]){"-c", file.path, NULL});
    expect(&stage, "explore 0.25", 0, "the configuration says 50 %");
    expect(&stage, "explore 0", 0, "the configuration says 50 %");
    reload_write(&file, "learner: {max_explore: 0.75}\n");
    reload_await(&stage, "learner.max_explore", "0.75");
    expect_share(&stage, 0.75f, "configured since");
    sona_spawn_kill(&stage.spawn);
    stage_reopen(&stage);
    expect_share(&stage, 0.75f, "the events once more, begun with the last configuration");

    expect(&stage, "explore 0", 0, "the configuration says 75 %");
    reload_write(&file, "learner: {max_explore: 0.75, lambda: 0.25}\n");
    stage_restart(&stage);
    expect_share(&stage, 0, "another key changed");
    reload_write(&file, half);
    stage_restart(&stage);
    expect_share(&stage, 0.5f, "configured before a start");
    expect(&stage, "explore 0.125", 0, "the configuration says 50 %");
    sona_spawn_kill(&stage.spawn);
    reload_write(&file, none);
    stage_reopen(&stage);
    expect_share(&stage, 0, "configured before a start that reads the journal");
    stage_close(&stage);
    reload_close(&file);
}
