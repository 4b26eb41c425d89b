/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The command line tool against the real daemon: answers, and exit statuses. */
#include <stdio.h>
#include <string.h>

#include "stage.h"
#include "tests/promised.h"

Test(sonactl, shows_status_and_stats_for_people_and_for_programs, .timeout = 60)
{
    static char text[65536];
    struct stage stage;
    json_error_t error;

    stage_open(&stage, NULL);
    sona_client *client = stage_client(&stage, 2);
    cr_assert(eq(int, stage_sonactl(&stage, "status", text, sizeof text), 0), "%s", text);
    cr_assert(ne(ptr, strstr(text, "live"), NULL), "%s", text);
    cr_assert(ne(ptr, strstr(text, "clients    1"), NULL), "%s", text);
    cr_assert(eq(int, stage_sonactl(&stage, "stats", text, sizeof text), 0), "%s", text);
    cr_assert(ne(ptr, strstr(text, "clients_attached"), NULL), "%s", text);
    cr_assert(eq(int, stage_sonactl(&stage, "--json stats", text, sizeof text), 0), "%s", text);
    json_t *o = json_loads(text, 0, &error);
    cr_assert(ne(ptr, o, NULL), "%s: %s", error.text, text);
    for (int c = 0; c < SONA_COUNTER_COUNT; c++) {
        bool found = json_is_integer(json_object_get(o, sona_counter_name((sona_counter)c)));

        cr_assert(found, "%s", sona_counter_name((sona_counter)c));
    }
    for (size_t n = 0; n < sizeof promised_statistics / sizeof promised_statistics[0]; n++)
        cr_assert(ne(ptr, json_object_get(o, promised_statistics[n]), NULL), "%s",
                  promised_statistics[n]);
    cr_assert(eq(sz, json_array_size(json_object_get(o, "routes")), 3));
    json_decref(o);
    sona_client_close(&client);
    stage_close(&stage);
}

/* `n` trajectories of one topic with a step for layer 1, which did so well. */
static void live(sona_lane *lane, uint64_t topic, float quality, int n)
{
    float x[STAGE_DIM], h[STAGE_DIM] = {[2] = 1};
    sona_step step = {.activations = h,
                      .n_activations = STAGE_DIM,
                      .layer = 1,
                      .node_id = 5,
                      .score = 0.5f,
                      .latency_us = 40};
    uint64_t id;

    stage_query(topic, x);
    for (int i = 0; i < n; i++) {
        cr_assert(eq(int, sona_trajectory_begin(lane, x, STAGE_DIM, &id), SONA_OK));
        cr_assert(eq(int, sona_trajectory_context(lane, id, "codegen"), SONA_OK));
        cr_assert(eq(int, sona_trajectory_route(lane, id, 1), SONA_OK));
        cr_assert(eq(int, sona_trajectory_step(lane, id, &step), SONA_OK));
        cr_assert(eq(int, sona_trajectory_end(lane, id, quality), SONA_OK));
    }
}

static json_t *ask(const struct stage *stage, const char *arguments)
{
    static char text[65536];
    json_error_t error;

    cr_assert(eq(int, stage_sonactl(stage, arguments, text, sizeof text), 0), "%s", text);
    json_t *o = json_loads(text, 0, &error);
    cr_assert(ne(ptr, o, NULL), "%s: %s", error.text, text);
    return o;
}

/* What trajectories taught is in the bank, in the layer their steps named, and in the statistics.
 */
Test(sonactl, shows_the_patterns_that_trajectories_made, .timeout = 60)
{
    struct stage stage;
    float x[STAGE_DIM], h[STAGE_DIM] = {[2] = 1}, y[3 * STAGE_DIM], three[3 * STAGE_DIM];
    sona_pattern found;
    uint32_t n = 0;

    stage_open(&stage, NULL);
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    live(lane, 1, 1, 32); /* the first background cycle */
    (void)stage_await(&stage, "background_cycles", 1);
    (void)stage_await(&stage, "learned", 32);
    stage_query(1, x);
    for (uint64_t end = stage_now_ms() + STAGE_LIMIT_MS; n == 0; stage_pause()) {
        cr_assert(lt(u64, stage_now_ms(), end), "no pattern was ever published");
        cr_assert(eq(int, sona_find_patterns(lane, x, STAGE_DIM, 1, &found, &n), SONA_OK));
    }
    cr_assert(eq(int, found.type, SONA_PATTERN_CODEGEN));
    cr_assert(eq(u32, found.n_routes, 1));
    cr_assert(eq(u32, found.routes[0].route, 1));
    cr_assert(eq(u32, found.n_examples, SONA_PATTERN_EXAMPLES));
    cr_assert(eq(int, sona_apply_base(lane, 1, h, STAGE_DIM, y, NULL), SONA_OK));
    cr_assert(gt(flt, y[2], h[2]), "the layer that the steps named");
    for (int i = 0; i < 3; i++)
        memcpy(three + i * STAGE_DIM, i == 1 ? x : h, sizeof x);
    cr_assert(eq(int, sona_apply_batch(lane, 3, three, STAGE_DIM, y, NULL), SONA_OK));
    cr_assert(eq(int, sona_apply(lane, x, STAGE_DIM, h, NULL), SONA_OK));
    cr_assert(eq(int, memcmp(y + STAGE_DIM, h, sizeof h), 0));

    json_t *o = ask(&stage, "--json patterns");
    const json_t *p = json_array_get(json_object_get(o, "patterns"), 0);
    cr_assert(eq(int, (int)json_integer_value(json_object_get(o, "patterns_stored")), 1));
    cr_assert(eq(str, (char *)json_string_value(json_object_get(p, "pattern_type")), "codegen"));
    cr_assert(eq(sz, json_array_size(json_object_get(p, "examples")), SONA_PATTERN_EXAMPLES));
    json_decref(o);
    o = ask(&stage, "--json stats");
    p = json_array_get(json_object_get(o, "nodes"), 0);
    cr_assert(eq(int, (int)json_integer_value(json_object_get(p, "node")), 5));
    cr_assert(eq(int, (int)json_integer_value(json_object_get(p, "steps")), 32));
    json_decref(o);
    sona_lane_release(&lane);
    sona_client_close(&client);
    stage_close(&stage);
}

/* Ask for what a command on the bank says of itself. */
static double told(const struct stage *stage, const char *arguments, const char *key)
{
    json_t *o = ask(stage, arguments);
    bool found = json_is_number(json_object_get(o, key));
    double value = json_number_value(json_object_get(o, key));

    cr_assert(found, "%s: %s", arguments, key);
    json_decref(o);
    return value;
}

/* The patterns near topic 1 that a client sees. */
static uint32_t seen(sona_lane *lane, sona_pattern ret[4])
{
    float x[STAGE_DIM];
    uint32_t n = 0;

    stage_query(1, x);
    cr_assert(eq(int, sona_find_patterns(lane, x, STAGE_DIM, 4, ret, &n), SONA_OK));
    return n;
}

/* When a command on the bank is answered, every client sees what it did. */
Test(sonactl, fades_prunes_and_consolidates_the_patterns, .timeout = 60)
{
    struct stage stage;
    sona_pattern before[4], after[4];

    stage_open(&stage, NULL);
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    cr_assert(zero(u32, seen(lane, before)));
    live(lane, 1, 0.9f, 8);
    live(lane, 3, 0.4f, 8);
    (void)stage_await(&stage, "learned", 16);
    cr_assert(eq(dbl, told(&stage, "--json learn", "patterns"), 2));
    cr_assert(eq(u32, seen(lane, before), 2));

    double weight = told(&stage, "--json patterns decay 1", "weight");
    cr_assert(gt(dbl, weight, 8));
    cr_assert(eq(dbl, told(&stage, "--json patterns decay 0.5", "weight"), weight / 2));
    cr_assert(eq(u32, seen(lane, after), 2));
    cr_assert(eq(flt, after[0].total_weight, before[0].total_weight / 2));
    cr_assert(eq(flt, after[1].total_weight, before[1].total_weight / 2));

    cr_assert(zero(dbl, told(&stage, "--json patterns prune 0.3", "pruned")));
    cr_assert(zero(dbl, told(&stage, "--json patterns prune 0.5 --min-age 1000000", "pruned")));
    cr_assert(zero(dbl, told(&stage, "--json patterns prune 0.5 --min-accesses 0", "pruned")));
    cr_assert(eq(dbl, told(&stage, "--json patterns prune 0.5", "pruned"), 1));
    cr_assert(eq(u32, seen(lane, after), 1));
    cr_assert(eq(u64, after[0].id, before[0].id), "the good one stays");
    json_t *o = ask(&stage, "--json patterns");
    cr_assert(eq(sz, json_array_size(json_object_get(o, "patterns")), 1), "and is shown alone");
    json_decref(o);

    live(lane, 5, 0.8f, 8);
    (void)stage_await(&stage, "learned", 24);
    cr_assert(eq(dbl, told(&stage, "--json learn", "patterns"), 2));
    cr_assert(zero(dbl, told(&stage, "--json patterns consolidate 1", "merged")));
    cr_assert(eq(dbl, told(&stage, "--json patterns consolidate -- -1", "merged"), 1));
    cr_assert(eq(u32, seen(lane, after), 1));
    cr_assert(eq(u64, after[0].id, before[0].id), "the older one keeps its name");
    cr_assert(eq(u32, after[0].cluster_size, 16));
    sona_lane_release(&lane);
    sona_client_close(&client);
    stage_close(&stage);
}

/* From the client's search through its lane into the bank, and out again to every client. */
Test(sonactl, a_search_is_an_access_of_the_pattern_it_found, .timeout = 60)
{
    struct stage stage;
    sona_pattern found[2], left[4];
    float x[STAGE_DIM];
    uint32_t n = 0;

    stage_open(&stage, NULL);
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    live(lane, 1, 0.9f, 8);
    live(lane, 3, 0.9f, 8);
    (void)stage_await(&stage, "learned", 16);
    cr_assert(eq(dbl, told(&stage, "--json learn", "patterns"), 2));
    stage_query(3, x);
    for (int i = 0; i < 5; i++)
        cr_assert(eq(int, sona_find_patterns(lane, x, STAGE_DIM, 2, found, &n), SONA_OK));
    cr_assert(eq(u64, stage_await(&stage, "pattern_hits", 5), 5));
    (void)told(&stage, "--json patterns decay 1", "patterns");
    cr_assert(eq(int, sona_find_patterns(lane, x, STAGE_DIM, 2, found, &n), SONA_OK));
    cr_assert(eq(u32, n, 2));
    cr_assert(eq(u64, found[0].access_count, 5));
    cr_assert(zero(u64, found[1].access_count));
    cr_assert(ge(u64, found[0].last_accessed, 16), "at the step of the search");
    cr_assert(eq(dbl, told(&stage, "--json patterns prune 2 --min-accesses 1", "pruned"), 1));
    cr_assert(eq(u32, seen(lane, left), 1));
    cr_assert(eq(u64, left[0].id, found[0].id), "nobody looked for the other");
    sona_lane_release(&lane);
    sona_client_close(&client);
    stage_close(&stage);
}

/* One that nobody ends, and one whose end comes too late: both have their counter. */
Test(sonactl, a_trajectory_that_nobody_ends_times_out_and_is_counted, .timeout = 60)
{
    static const char *const more[] = {"--set=feedback_window_ms=20", NULL};
    struct stage stage;
    float x[STAGE_DIM];
    uint64_t id, other;

    stage_open(&stage, more);
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    stage_query(1, x);
    cr_assert(eq(int, sona_trajectory_begin(lane, x, STAGE_DIM, &id), SONA_OK));
    cr_assert(eq(int, sona_trajectory_begin(lane, x, STAGE_DIM, &other), SONA_OK));
    cr_assert(eq(u64, stage_await(&stage, "drop_abandoned", 2), 2));
    cr_assert(eq(int, sona_trajectory_end(lane, id, 1), SONA_OK), "that is found out elsewhere");
    cr_assert(eq(u64, stage_await(&stage, "drop_expired", 1), 1));
    cr_assert(eq(u64, stage_counter(&stage, "trajectories_dropped"), 2));
    cr_assert(zero(u64, stage_counter(&stage, "learned")));
    cr_assert(zero(u64, stage_counter(&stage, "trajectories_buffered")));
    sona_lane_release(&lane);
    sona_client_close(&client);
    stage_close(&stage);
}

Test(sonactl, tells_not_running_from_wrong_usage, .timeout = 60)
{
    static char text[16384];
    struct stage stage = {.spawn = {.instance = "nobody", .runtime_dir = "/nowhere"}};

    cr_expect(eq(int, stage_sonactl(&stage, "status", text, sizeof text), 3), "%s", text);
    cr_expect(ne(ptr, strstr(text, "start sona-sidecar"), NULL), "%s", text);
    cr_expect(eq(int, stage_sonactl(&stage, "", text, sizeof text), 2), "%s", text);
    cr_expect(eq(int, stage_sonactl(&stage, "fly", text, sizeof text), 2), "%s", text);
    cr_expect(eq(int, stage_sonactl(&stage, "--bogus status", text, sizeof text), 2), "%s", text);
    cr_expect(eq(int, stage_sonactl(&stage, "--help", text, sizeof text), 0), "%s", text);
}

/* Run it; the status and a piece of the text must be these. */
static void expect(const struct stage *stage, const char *arguments, int status, const char *piece)
{
    static char text[65536];

    cr_expect(eq(int, stage_sonactl(stage, arguments, text, sizeof text), status), "%s: %s",
              arguments, text);
    cr_expect(ne(ptr, strstr(text, piece), NULL), "%s: %s", arguments, text);
}

/* Who names a part of the rows does not mean all of them. */
Test(sonactl, an_option_that_a_command_does_not_have_is_refused_and_not_ignored, .timeout = 60)
{
    const struct stage stage = {.spawn = {.instance = "nobody", .runtime_dir = "/nowhere"}};

    expect(&stage, "import decisions --from 7", 2, "takes neither --from nor --to");
    expect(&stage, "export patterns --to 7", 2, "takes neither --from nor --to");
    expect(&stage, "status --client 7", 2, "takes neither --client");
    expect(&stage, "top --from 7", 2, "takes neither --from nor --to");
    expect(&stage, "--state-dir /nowhere export --tenant 7", 2, "takes neither --client");
    expect(&stage, "--state-dir /nowhere forget --tenant 7 --from 7", 2, "takes neither --from");
    expect(&stage, "--state-dir /nowhere check --file f", 2, "takes no file");
    expect(&stage, "export decisions --from 7", 3, "start sona-sidecar");
}

Test(sonactl, changes_routes_and_loops_and_says_what_it_did, .timeout = 60)
{
    struct stage stage;

    stage_open(&stage, NULL);
    expect(&stage, "routes list", 0, "apply");
    expect(&stage, "routes add late --cost 0.25 --prior-quality 0.75 --prior-weight 9", 0,
           "route late, id 3");
    expect(&stage, "routes list", 0, "0.250        0.0    0.750");
    expect(&stage, "routes mode late observe", 0, "done");
    expect(&stage, "routes list", 0, "observe");
    expect(&stage, "routes cost late 0.5", 0, "done");
    expect(&stage, "--json routes list", 0, "\"mode\":\"observe\"");
    expect(&stage, "routes retire late", 0, "done");
    expect(&stage, "routes list", 0, "retired");
    expect(&stage, "learn", 0, "nothing to learn");
    expect(&stage, "--json learn", 0, "\"ran\":false");
    expect(&stage, "flush", 0, "flushed: 0 outcomes learned");
    expect(&stage, "disable", 0, "learning is off");
    expect(&stage, "--json stats", 0, "\"instant_enabled\":false");
    expect(&stage, "enable", 0, "learning is on");

    expect(&stage, "patterns decay 0.5", 0, "done: 0 patterns, 0 merged, 0 pruned");

    expect(&stage, "patterns decay 1.5", 2, "0..1");
    expect(&stage, "patterns consolidate nan", 2, "-1..1");
    expect(&stage, "patterns prune much", 2, "no number");
    expect(&stage, "patterns prune 0.5 --min-age -1", 2, "no whole number");
    expect(&stage, "patterns prune", 2, "patterns takes ");
    expect(&stage, "routes retire late", 1, "no enabled route has this name");
    expect(&stage, "routes add a", 1, "enabled already");
    expect(&stage, "routes add dear --cost 2", 2, "0..1");
    expect(&stage, "routes add dear --cost cheap", 2, "no number");
    expect(&stage, "routes mode a fast", 2, "apply, observe and bypass");
    expect(&stage, "routes fly a", 2, "is no command");
    expect(&stage, "routes", 2, "routes takes list, add NAME, ");
    expect(&stage, "routes mode a apply now", 2, "too many");
    stage_close(&stage);
    expect(&stage, "flush", 3, "start sona-sidecar");
}

Test(sonactl, ends_tasks_merges_anchors_and_shows_what_they_hold, .timeout = 60)
{
    static const char *const more[] = {"--set=ewc=on", "--set=ewc_online=off", NULL};
    struct stage stage;

    stage_open(&stage, NULL);
    expect(&stage, "ewc", 0, "EWC++ is off");
    stage_close(&stage);
    stage_open(&stage, more);
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    expect(&stage, "ewc boundary", 0, "nothing to end");
    live(lane, 1, 1, 20);
    (void)stage_await(&stage, "learned", 20);
    expect(&stage, "ewc boundary", 0, "1 remembered by an anchor each, 1 ended");
    expect(&stage, "ewc consolidate", 0, "nothing to merge");
    live(lane, 1, 1, 20);
    (void)stage_await(&stage, "learned", 40);
    json_t *o = ask(&stage, "--json ewc boundary");
    const json_t *top = json_array_get(json_object_get(o, "top"), 0);
    cr_assert(eq(int, (int)json_integer_value(json_object_get(o, "tasks")), 2));
    cr_assert(gt(dbl, json_real_value(json_object_get(o, "penalty")), 0));
    cr_assert(eq(str, (char *)json_string_value(json_object_get(top, "route")), "b"));
    cr_assert(eq(str, (char *)json_string_value(json_object_get(top, "index")), "bias"));
    json_decref(o);
    expect(&stage, "ewc consolidate", 0, "tasks      1 ");
    expect(&stage, "stats", 0, "ewc_penalty");
    sona_lane_release(&lane);
    sona_client_close(&client);
    stage_close(&stage);
}
