/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Routes and loops of a running sidecar, changed by command and obeyed by the next snapshot. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/wire.h"
#include "stage.h"
#include "tools/query.h"

struct scene {
    struct stage stage;
    sona_client *client;
    sona_lane *lane;
    uint64_t learned; /* when learned_now() was last asked */
};

static void open_scene(struct scene *s, const char *const *more)
{
    stage_open(&s->stage, more);
    s->client = stage_client(&s->stage, 1);
    s->lane = stage_lane(s->client);
    s->learned = 0;
}

static void close_scene(struct scene *s)
{
    sona_lane_release(&s->lane);
    sona_client_close(&s->client);
    stage_close(&s->stage);
}

static sona_err send(const struct scene *s, struct sona_control_request command, char **ret_text)
{
    sona_diag diag = {0};
    sona_err err = sona_tools_ask(s->stage.spawn.runtime_dir, s->stage.spawn.instance, &command,
                                  ret_text, &diag);

    if (err != SONA_OK)
        cr_assert(gt(sz, strlen(diag.text), 10), "a refusal says why");
    return err;
}

/* One command about the route `name`, or about none; the answer is thrown away. */
static sona_err order(const struct scene *s, uint32_t what, const char *name, uint32_t mode,
                      float cost)
{
    struct sona_control_request command = {
        .what = what,
        .mode = mode,
        .spec = {.cost = cost, .prior_quality = 0.5f, .prior_weight = 1}};
    char *text = NULL;

    (void)snprintf(command.spec.name, sizeof command.spec.name, "%s", name);
    sona_err err = send(s, command, &text);
    free(text);
    return err;
}

static int64_t number_of(const struct scene *s, uint32_t what, const char *key)
{
    char *text = NULL;
    json_error_t error;

    cr_assert(eq(int, send(s, (struct sona_control_request){.what = what}, &text), SONA_OK));
    json_t *o = json_loads(text, 0, &error);
    cr_assert(ne(ptr, o, NULL), "%s", text);
    const json_t *value = json_object_get(o, key);
    int64_t number = json_is_boolean(value) ? json_is_true(value) : json_integer_value(value);
    json_decref(o);
    free(text);
    return number;
}

/* Outcomes learned since the last time: a flush leaves nothing to wait for. (What the flush itself
 * reports depends on how much was learned before it was read.) */
static uint64_t learned_now(struct scene *s)
{
    uint64_t before = s->learned;
    int64_t reported = number_of(s, SONA_CONTROL_FLUSH, "learned");

    s->learned = stage_counter(&s->stage, "learned");
    cr_assert(le(i64, reported, (int64_t)(s->learned - before)));
    return s->learned - before;
}

static sona_route_info row(const struct scene *s, uint32_t k)
{
    sona_route_info info[SONA_ROUTES_MAX];
    uint32_t n;

    cr_assert(eq(int, sona_routes(s->lane, info, SONA_ROUTES_MAX, &n), SONA_OK));
    cr_assert(lt(u32, k, n));
    return info[k];
}

static sona_decision force(const struct scene *s, sona_route route)
{
    sona_candidates forced = {.mode = SONA_MODE_OBSERVE, .forced = route};
    float x[STAGE_DIM];
    sona_decision d;

    stage_query(1, x);
    cr_assert(eq(int, sona_decide(s->lane, x, STAGE_DIM, &forced, &d), SONA_OK));
    return d;
}

Test(routes, a_new_one_is_in_the_next_snapshot_and_its_outcomes_are_learned, .timeout = 60)
{
    struct scene s;

    open_scene(&s, NULL);
    cr_assert(eq(int, order(&s, SONA_CONTROL_ROUTE_ADD, "late", 0, 0.25f), SONA_OK));
    cr_assert(eq(str, row(&s, 3).name, "late"), "when the answer is there, so is the snapshot");
    cr_assert(eq(flt, row(&s, 3).cost, 0.25f));
    sona_decision d = force(&s, 3);
    cr_assert(eq(int, sona_outcome(s.lane, d.id, 1, NULL), SONA_OK));
    cr_assert(eq(u64, learned_now(&s), 1), "judged by the new table");
    cr_assert(eq(flt, row(&s, 3).outcomes, 1));
    cr_assert(eq(int, order(&s, SONA_CONTROL_ROUTE_ADD, "late", 0, 0), SONA_E_DUPLICATE));
    cr_assert(eq(int, order(&s, SONA_CONTROL_ROUTE_ADD, "dear", 0, 1.5f), SONA_E_RANGE));
    cr_assert(eq(int, order(&s, SONA_CONTROL_ROUTE_ADD, "", 0, 0), SONA_E_RANGE));
    close_scene(&s);
}

Test(routes, two_hundred_and_fifty_six_fit_and_the_next_is_refused, .timeout = 120)
{
    static const char *const more[] = {"--set=routes_max=256", NULL};
    struct scene s;

    open_scene(&s, more);
    for (int k = 3; k < SONA_ROUTES_MAX; k++) {
        char name[24];

        (void)snprintf(name, sizeof name, "route-%d", k);
        cr_assert(eq(int, order(&s, SONA_CONTROL_ROUTE_ADD, name, 0, 0), SONA_OK), "%s", name);
    }
    cr_assert(eq(int, order(&s, SONA_CONTROL_ROUTE_ADD, "one-too-many", 0, 0), SONA_E_LIMIT));
    cr_assert(eq(str, row(&s, 255).name, "route-255"));
    sona_decision d = force(&s, 255);
    cr_assert(eq(int, sona_outcome(s.lane, d.id, 1, NULL), SONA_OK));
    cr_assert(eq(u64, learned_now(&s), 1));
    close_scene(&s);
}

Test(routes, a_late_outcome_of_a_retired_one_never_lands_on_its_successor, .timeout = 60)
{
    static const char *const more[] = {"--set=routes_max=3", NULL};
    struct scene s;

    open_scene(&s, more);
    sona_decision late = force(&s, 1);
    cr_assert(eq(int, order(&s, SONA_CONTROL_ROUTE_RETIRE, "b", 0, 0), SONA_OK));
    cr_assert(eq(int, row(&s, 1).state, SONA_ROUTE_RETIRED));
    cr_assert(eq(int, order(&s, SONA_CONTROL_ROUTE_ADD, "successor", 0, 0), SONA_OK));
    cr_assert(eq(str, row(&s, 1).name, "successor"));
    cr_assert(eq(u32, row(&s, 1).id, SONA_ROUTE_ID(1, 1)));
    cr_assert(eq(int, sona_outcome(s.lane, late.id, 1, NULL), SONA_OK));
    cr_assert(eq(u64, learned_now(&s), 0));
    cr_assert(eq(u64, stage_counter(&s.stage, "drop_route_retired"), 1));
    cr_assert(eq(flt, row(&s, 1).outcomes, 0));
    sona_decision own = force(&s, SONA_ROUTE_ID(1, 1));
    cr_assert(eq(int, sona_outcome(s.lane, own.id, 1, NULL), SONA_OK));
    cr_assert(eq(u64, learned_now(&s), 1), "its own is");
    cr_assert(eq(flt, row(&s, 1).outcomes, 1));
    cr_assert(eq(int, order(&s, SONA_CONTROL_ROUTE_RETIRE, "b", 0, 0), SONA_E_ROUTE));
    close_scene(&s);
}

Test(routes, modes_and_costs_are_obeyed_from_the_next_snapshot_on, .timeout = 60)
{
    static const char *const more[] = {"--set=lambda=1", NULL};
    struct scene s;
    float x[STAGE_DIM], before[16], after[16];
    sona_decision d;

    open_scene(&s, more);
    stage_query(2, x);
    cr_assert(eq(int, order(&s, SONA_CONTROL_ROUTE_MODE, "a", SONA_MODE_OBSERVE, 0), SONA_OK));
    cr_assert(eq(int, order(&s, SONA_CONTROL_ROUTE_MODE, "b", SONA_MODE_BYPASS, 0), SONA_OK));
    for (int i = 0; i < 200; i++) {
        cr_assert(eq(int, sona_decide(s.lane, x, STAGE_DIM, NULL, &d), SONA_OK));
        cr_assert(eq(u32, d.route, 2));
    }
    d = force(&s, 0);
    cr_assert(eq(int, sona_outcome(s.lane, d.id, 1, NULL), SONA_OK));
    d = force(&s, 1);
    cr_assert(eq(int, sona_outcome(s.lane, d.id, 1, NULL), SONA_OK));
    cr_assert(eq(u64, learned_now(&s), 1));
    cr_assert(eq(u64, stage_counter(&s.stage, "drop_bypass"), 1));
    cr_assert(eq(int, row(&s, 0).mode, SONA_MODE_OBSERVE));
    cr_assert(eq(flt, row(&s, 0).outcomes, 1));

    cr_assert(eq(int, sona_score(s.lane, x, STAGE_DIM, before, 16, NULL), SONA_OK));
    cr_assert(eq(int, order(&s, SONA_CONTROL_ROUTE_COST, "c", 0, 0.5f), SONA_OK));
    cr_assert(eq(int, sona_score(s.lane, x, STAGE_DIM, after, 16, NULL), SONA_OK));
    cr_assert(ieee_ulp_eq(flt, after[2], before[2] - 0.5f, 8));
    cr_assert(eq(int, order(&s, SONA_CONTROL_ROUTE_MODE, "c", 3, 0), SONA_E_RANGE));
    cr_assert(eq(int, order(&s, SONA_CONTROL_ROUTE_MODE, "nobody", 0, 0), SONA_E_ROUTE));
    close_scene(&s);
}

static void force_a_cycle(const char *background)
{
    const char *more[] = {"--background", background, NULL};
    struct scene s;

    open_scene(&s, more);
    cr_assert(zero(i64, number_of(&s, SONA_CONTROL_LEARN, "ran")), "there is nothing new");
    for (int i = 0; i < 8; i++) {
        sona_decision d = force(&s, (sona_route)(i % 3));

        cr_assert(eq(int, sona_outcome(s.lane, d.id, (float)(i % 2), NULL), SONA_OK));
    }
    cr_assert(eq(u64, learned_now(&s), 8));
    cr_assert(eq(i64, number_of(&s, SONA_CONTROL_LEARN, "replayed"), 8));
    cr_assert(eq(u64, stage_counter(&s.stage, "background_cycles"), 1));
    cr_assert(zero(i64, number_of(&s, SONA_CONTROL_LEARN, "ran")), "and nothing new since");
    close_scene(&s);
}

Test(loops, a_forced_cycle_says_what_it_changed, .timeout = 60)
{
    force_a_cycle("thread");
}

Test(loops, a_forced_cycle_between_two_events_likewise, .timeout = 60)
{
    force_a_cycle("inline");
}

Test(loops, a_flush_learns_all_that_was_committed_and_discards_nothing, .timeout = 60)
{
    struct scene s;
    uint64_t told = 0, total = 0;

    open_scene(&s, NULL);
    for (int round = 0; round < 5; round++) {
        float x[STAGE_DIM];
        sona_decision d;

        told = 0;
        for (uint64_t i = 0; i < 400; i++) {
            stage_query(i, x);
            if (sona_decide(s.lane, x, STAGE_DIM, NULL, &d) == SONA_OK)
                told += sona_outcome(s.lane, d.id, 0.5f, NULL) == SONA_OK;
        }
        total += told;
        (void)number_of(&s, SONA_CONTROL_FLUSH, "learned");
        cr_assert(eq(u64, stage_counter(&s.stage, "learned"), total), "without waiting for it");
    }
    cr_assert(gt(u64, total, 1000));
    close_scene(&s);
}

Test(loops, switched_off_nothing_is_learned_and_every_outcome_is_counted, .timeout = 60)
{
    struct scene s;

    open_scene(&s, NULL);
    cr_assert(eq(int, order(&s, SONA_CONTROL_DISABLE, "", 0, 0), SONA_OK));
    sona_decision d = force(&s, 0);
    cr_assert(eq(int, sona_outcome(s.lane, d.id, 1, NULL), SONA_OK));
    cr_assert(zero(u64, learned_now(&s)));
    cr_assert(eq(u64, stage_counter(&s.stage, "drop_disabled"), 1));
    cr_assert(zero(i64, number_of(&s, SONA_CONTROL_LEARN, "ran")));
    cr_assert(eq(int, order(&s, SONA_CONTROL_ENABLE, "", 0, 0), SONA_OK));
    d = force(&s, 0);
    cr_assert(eq(int, sona_outcome(s.lane, d.id, 1, NULL), SONA_OK));
    cr_assert(eq(u64, learned_now(&s), 1));
    close_scene(&s);
}

Test(loops, a_decision_nobody_answers_is_learned_with_the_default_quality, .timeout = 60)
{
    static const char *const more[] = {"--set=feedback_window_ms=50", "--set=default_quality=0.25",
                                       NULL};
    struct scene s;

    open_scene(&s, more);
    sona_decision d = force(&s, 2);
    (void)stage_await(&s.stage, "learned", 1);
    cr_assert(eq(u64, stage_counter(&s.stage, "defaulted"), 1));
    cr_assert(eq(int, sona_outcome(s.lane, d.id, 1, NULL), SONA_OK));
    (void)number_of(&s, SONA_CONTROL_FLUSH, "learned");
    cr_assert(eq(u64, stage_counter(&s.stage, "drop_expired"), 1));
    cr_assert(eq(flt, row(&s, 2).outcomes, 1));
    cr_assert(ieee_ulp_eq(flt, row(&s, 2).mean_quality, 0.375f, 8));
    close_scene(&s);
}

Test(commands, of_another_user_are_refused, .timeout = 60)
{
    struct scene s;
    char path[256];
    int status = -1;

    if (geteuid() != 0)
        cr_skip("needs root to become another user");
    open_scene(&s, NULL);
    (void)snprintf(path, sizeof path, "%s/%s.ctl", s.stage.spawn.runtime_dir,
                   s.stage.spawn.instance);
    cr_assert(eq(int, chmod(s.stage.spawn.runtime_dir, 0755), 0)); /* past the first wall */
    cr_assert(eq(int, chmod(path, 0777), 0));
    pid_t pid = fork();
    if (pid == 0) {
        struct sona_control_request command = {.what = SONA_CONTROL_DISABLE};
        char *text = NULL;
        sona_diag diag = {0};

        if (setgid(65534) != 0 || setuid(65534) != 0)
            _exit(1);
        _exit(sona_tools_ask(s.stage.spawn.runtime_dir, s.stage.spawn.instance, &command, &text,
                             &diag) == SONA_E_PERMISSION
                  ? 0
                  : 2);
    }
    cr_assert(eq(int, waitpid(pid, &status, 0), pid));
    cr_assert(eq(int, status, 0));
    sona_decision d = force(&s, 0);
    cr_assert(eq(int, sona_outcome(s.lane, d.id, 1, NULL), SONA_OK));
    cr_assert(eq(u64, learned_now(&s), 1), "it still learns");
    close_scene(&s);
}

static void say(const struct stage *stage, const char *arguments)
{
    char text[4096];

    cr_assert(eq(int, stage_sonactl(stage, arguments, text, sizeof text), 0), "%s", text);
}

/* A decision for a route that a rollback takes away, and then its outcome: it is nothing to the
 * route that is added next. */
static void roll_a_route_back(void (*roll)(struct stage *))
{
    sona_candidates forced = {.mode = SONA_MODE_OBSERVE};
    struct stage stage;
    sona_decision before, behind;
    float x[STAGE_DIM];

    stage_open_kept(&stage, NULL);
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    say(&stage, "generations save");
    say(&stage, "routes add early");
    stage_query(1, x);
    forced.forced = 3;
    cr_assert(eq(int, sona_decide(lane, x, STAGE_DIM, &forced, &before), SONA_OK));
    cr_assert(eq(u32, before.route, 3));
    (void)stage_await(&stage, "decisions", 1);

    roll(&stage);
    say(&stage, "routes add late");
    cr_assert(eq(int, sona_outcome(lane, before.id, 1, NULL), SONA_OK));
    (void)stage_await(&stage, "drop_route_retired", 1);
    cr_expect(eq(u64, stage_counter(&stage, "learned"), 0));
    sona_spawn_kill(&stage.spawn); /* and it is so again from the journal */
    stage_reopen(&stage);
    forced.forced = 4;
    cr_assert(eq(int, sona_decide(lane, x, STAGE_DIM, &forced, &behind), SONA_OK));
    cr_assert(eq(u32, behind.route, 4));
    cr_assert(eq(int, sona_outcome(lane, behind.id, 1, NULL), SONA_OK));
    (void)stage_await(&stage, "learned", 1);
    cr_expect(eq(u64, stage_counter(&stage, "drop_route_retired"), 1));
    sona_lane_release(&lane);
    sona_client_close(&client);
    stage_close(&stage);
}

static void roll_live(struct stage *stage)
{
    say(stage, "generations rollback 1");
}

/* The client goes on by the last snapshot, in which the route is. */
static void roll_dead(struct stage *stage)
{
    char line[160];

    sona_spawn_kill(&stage->spawn);
    (void)snprintf(line, sizeof line, "--state-dir '%s' generations rollback 1", stage->state_dir);
    say(stage, line);
    stage_reopen(stage);
}

Test(routes, a_route_behind_a_rollback_gets_no_outcome_of_one_before_it, .timeout = 120)
{
    roll_a_route_back(roll_live);
}

Test(routes, neither_behind_a_rollback_of_a_dead_sidecar, .timeout = 120)
{
    roll_a_route_back(roll_dead);
}

/* Nothing was kept, and what was declared is what readers of the segment know it as. */
Test(routes, what_is_declared_has_its_rows_again_after_a_death_without_a_state, .timeout = 120)
{
    static const char *const more[] = {"--routes=z,c,b,a", NULL};
    sona_route_info row[8];
    struct stage stage;

    stage_open(&stage, NULL);
    say(&stage, "routes add d");
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    sona_spawn_kill(&stage.spawn);
    stage_reopen_with(&stage, more);
    (void)stage_await(&stage, "handed_back", 1);
    static const char *const name[] = {"a", "b", "c", "rolled-back-3", "z"};
    uint32_t n = 0;
    cr_assert(eq(int, sona_routes(lane, row, 8, &n), SONA_OK));
    cr_assert(eq(u32, n, 5));
    for (uint32_t k = 0; k < 5; k++)
        cr_expect(eq(str, row[k].name, (char *)(uintptr_t)name[k]));
    sona_lane_release(&lane);
    sona_client_close(&client);
    stage_close(&stage);
}

/* Of a route, by name: its cost; -1: it is not enabled. */
static double cost_of(const struct stage *stage, const char *name)
{
    sona_route_info row[8];
    uint32_t n = 0;
    double ret = -1;
    sona_client *client = stage_client(stage, 1);
    sona_lane *lane = stage_lane(client);

    cr_assert(eq(int, sona_routes(lane, row, 8, &n), SONA_OK));
    for (uint32_t k = 0; k < n; k++)
        if (strcmp(row[k].name, name) == 0 && row[k].state == SONA_ROUTE_ENABLED)
            ret = (double)row[k].cost;
    sona_lane_release(&lane);
    sona_client_close(&client);
    return ret;
}

Test(routes, a_start_takes_over_costs_that_are_said_and_takes_no_route_away, .timeout = 60)
{
    static const char *const dearer[] = {"--routes=b,a:0.5", NULL};
    struct stage stage;

    stage_open_kept(&stage, NULL);
    say(&stage, "routes cost a 0.25");
    say(&stage, "routes cost b 0.125");
    stage_stop(&stage);
    stage_reopen_with(&stage, dearer);
    cr_expect(eq(dbl, cost_of(&stage, "a"), 0.5));
    cr_expect(eq(dbl, cost_of(&stage, "b"), 0.125), "none was said");
    cr_expect(eq(dbl, cost_of(&stage, "c"), 0), "left out, and not taken away");
    sona_spawn_kill(&stage.spawn);
    stage_reopen(&stage);
    cr_expect(eq(dbl, cost_of(&stage, "a"), 0.5));
    stage_close(&stage);
}

Test(routes, a_name_that_no_file_could_say_is_refused, .timeout = 60)
{
    static const char *const names[] = {"'x\ny'", "'\033[31mred'", "'p:q'", "'p,q'", "'my route'"};
    struct stage stage;
    char line[64], text[2048];

    stage_open(&stage, NULL);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)snprintf(line, sizeof line, "routes add %s", names[i]);
        cr_expect(eq(int, stage_sonactl(&stage, line, text, sizeof text), 2), "%s", text);
        cr_expect(ne(ptr, strstr(text, "printable"), NULL), "%s", text);
    }
    cr_expect(eq(dbl, cost_of(&stage, "x\ny"), -1));
    stage_close(&stage);
}
