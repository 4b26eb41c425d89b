/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The configuration of a running sidecar: what SIGHUP takes over, and what it leaves. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reload_fixture.h"

struct scene {
    struct stage stage;
    struct reload_file file;
};

static void open_scene(struct scene *s, const char *text)
{
    const char *more[] = {"-c", s->file.path, NULL};

    reload_open(&s->file, text);
    stage_open(&s->stage, more);
}

static void close_scene(struct scene *s)
{
    stage_close(&s->stage);
    reload_close(&s->file);
}

/* The whole log so far; the caller's to free. */
static char *log_of(const struct scene *s)
{
    struct stat st;

    cr_assert(eq(int, fstat(s->stage.spawn.log_fd, &st), 0));
    char *text = calloc(1, (size_t)st.st_size + 1);
    cr_assert(ne(ptr, text, NULL));
    cr_assert(ge(i64, pread(s->stage.spawn.log_fd, text, (size_t)st.st_size, 0), 0));
    return text;
}

static uint32_t count_of(const struct scene *s, const char *words)
{
    char *text = log_of(s), *at = text;
    uint32_t n = 0;

    while ((at = strstr(at, words))) {
        n++;
        at += strlen(words);
    }
    free(text);
    return n;
}

/* SIGHUP, and wait until the log has `event` once more. */
static void reload(const struct scene *s, const char *event)
{
    uint64_t limit = stage_now_ms() + STAGE_LIMIT_MS;
    uint32_t before = count_of(s, event);

    cr_assert(eq(int, kill(s->stage.spawn.pid, SIGHUP), 0));
    while (count_of(s, event) == before) {
        char *text = log_of(s);

        cr_assert(lt(u64, stage_now_ms(), limit), "no %s in:\n%s", event, text);
        free(text);
        stage_pause();
    }
}

static void assert_value(const struct scene *s, const char *key, const char *value)
{
    char is[64];

    reload_value(&s->stage, key, is);
    cr_assert(eq(str, is, (char *)(uintptr_t)value), "%s", key);
}

/* How far MicroLoRA moves under fifty equal outcomes. */
static double moved_by_fifty(sona_lane *lane, const struct scene *s)
{
    double before, after;
    json_t *o = stage_stats(&s->stage);
    uint64_t learned = stage_counter(&s->stage, "learned");

    before = json_number_value(json_object_get(o, "micro_norm"));
    json_decref(o);
    for (uint64_t i = 0; i < 50; i++) {
        float x[STAGE_DIM];
        sona_decision d;

        stage_query(i, x);
        cr_assert(eq(int, sona_decide(lane, x, STAGE_DIM, NULL, &d), SONA_OK));
        cr_assert(eq(int, sona_outcome(lane, d.id, (float)(i % 2), NULL), SONA_OK));
    }
    (void)stage_await(&s->stage, "learned", learned + 50);
    o = stage_stats(&s->stage);
    after = json_number_value(json_object_get(o, "micro_norm"));
    json_decref(o);
    return after - before;
}

Test(configuration, a_changed_rate_is_learned_with_and_a_changed_size_says_restart, .timeout = 60)
{
    struct scene s;

    open_scene(&s, "learner: {micro_lora_lr: 0, background: off}\n");
    sona_client *client = stage_client(&s.stage, 1);
    sona_lane *lane = stage_lane(client);
    assert_value(&s, "learner.micro_lora_lr", "0");
    cr_assert(lt(dbl, moved_by_fifty(lane, &s), 1e-6), "a rate of nothing moves nothing");

    reload_write(&s.file,
                 "learner: {micro_lora_lr: 0.05, background: off, replay_capacity: 999}\n");
    reload(&s, "event=config_reloaded");
    assert_value(&s, "learner.micro_lora_lr", "0.05");
    assert_value(&s, "learner.replay_capacity", "5000");
    cr_assert(gt(dbl, moved_by_fifty(lane, &s), 1e-4), "the client's outcomes move it now");
    cr_assert(
        eq(u32, count_of(&s, "event=config_changed key=micro_lora_lr from=\"0\" to=\"0.05\""), 1));
    cr_assert(eq(u32,
                 count_of(&s, "event=config_restart key=replay_capacity running=\"5000\" "
                              "wanted=\"999\""),
                 1));
    cr_assert(eq(u32, count_of(&s, "changed=1 need_restart=1"), 1));
    sona_lane_release(&lane);
    sona_client_close(&client);
    close_scene(&s);
}

Test(configuration, with_mistakes_everything_stays_and_each_is_in_the_log, .timeout = 60)
{
    struct scene s;

    open_scene(&s, "learner: {lambda: 0.25}\n");
    reload_write(&s.file,
                 "learner: {lambda: 0.5, max_explore: 7}\nclients:\n  lanes_max: many\ntypo: 1\n");
    reload(&s, "event=config_refused mistakes=3");
    assert_value(&s, "learner.lambda", "0.25");
    cr_assert(eq(u32, count_of(&s, "sidecar.yaml:1:37\" reason=\"max_explore must be"), 1));
    cr_assert(eq(u32, count_of(&s, "sidecar.yaml:3:14\" reason=\"lanes_max must be"), 1));
    cr_assert(eq(u32, count_of(&s, "sidecar.yaml:4:1\" reason=\"unknown key"), 1));
    cr_assert(eq(int, unlink(s.file.path), 0));
    reload(&s, "event=config_refused mistakes=1");
    reload_write(&s.file, "learner: {lambda: 0.5}\n");
    reload(&s, "event=config_reloaded");
    assert_value(&s, "learner.lambda", "0.5");
    close_scene(&s);
}

Test(configuration, routes_of_a_new_file_are_added_and_priced_but_none_is_taken_away, .timeout = 60)
{
    const char *more[] = {"-c", NULL, NULL};
    struct scene s = {0};
    sona_route_info row[16];
    uint32_t n;

    /* The stage names its routes on the command line, which wins: a sidecar of its own. */
    reload_open(&s.file, "routes: [small, {name: large, cost: 1}]\nlearner: {dim: 16}\n");
    more[1] = s.file.path;
    sona_diag diag;
    cr_assert(eq(int, sona_spawn_start(&s.stage.spawn, NULL, NULL, NULL, more, &diag), SONA_OK),
              "%s", diag.text);
    reload_write(&s.file, "routes: [{name: small, cost: 0.5}, fresh]\nlearner: {dim: 16}\n");
    reload(&s, "event=config_reloaded changed=2 need_restart=1");
    sona_client *client = stage_client(&s.stage, 1);
    sona_lane *lane = stage_lane(client);
    cr_assert(eq(int, sona_routes(lane, row, 16, &n), SONA_OK));
    cr_assert(eq(u32, n, 3));
    cr_assert(eq(str, row[0].name, "small"));
    cr_assert(eq(flt, row[0].cost, 0.5f));
    cr_assert(eq(str, row[1].name, "large"));
    cr_assert(eq(int, row[1].state, SONA_ROUTE_ENABLED));
    cr_assert(eq(str, row[2].name, "fresh"));
    assert_value(&s, "routes", "3");
    sona_lane_release(&lane);
    sona_client_close(&client);
    close_scene(&s);
}

/* What `sona-sidecar --check` says; returns its exit status. */
static int check(const struct scene *s, const char *instance, char said[1024])
{
    char command[640];

    (void)snprintf(command, sizeof command,
                   "'%s' --isolated -c '%s' --instance %s --runtime-dir '%s' --check 2>&1",
                   getenv("SONA_SIDECAR"), s->file.path, instance, s->stage.spawn.runtime_dir);
    FILE *out = popen(command, "r");
    cr_assert(ne(ptr, out, NULL));
    size_t n = fread(said, 1, 1023, out);
    said[n] = '\0';
    int status = pclose(out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(configuration, a_check_disturbs_nobody_and_works_beside_the_one_that_runs, .timeout = 60)
{
    struct scene s;
    char said[1024];

    open_scene(&s, "routes: [a, b]\n");
    cr_expect(eq(int, check(&s, s.stage.spawn.instance, said), 0), "%s", said);
    cr_expect(ne(ptr, strstr(said, "2 routes; it is running now"), NULL), "%s", said);
    cr_expect(eq(int, check(&s, "another", said), 0), "%s", said);
    cr_expect(ne(ptr, strstr(said, "bytes of shared memory"), NULL), "%s", said);
    reload_write(&s.file, "routes: [a, b]\nlog_level: loud\n");
    cr_expect(eq(int, check(&s, s.stage.spawn.instance, said), 2), "%s", said);
    cr_expect(ne(ptr, strstr(said, "sidecar.yaml:2:12: log_level"), NULL), "%s", said);
    assert_value(&s, "log_level", "info");
    close_scene(&s);
}

Test(configuration, fewer_lanes_and_a_quieter_log_are_taken_over, .timeout = 60)
{
    struct scene s;

    open_scene(&s, "");
    reload_write(&s.file, "clients: {lanes_max: 1}\nlog_level: error\n");
    reload_await(&s.stage, "clients.lanes_max", "1");
    assert_value(&s, "log_level", "error");
    sona_client *client = stage_client(&s.stage, 1);
    cr_assert(eq(u32, count_of(&s, "event=client_attached"), 0), "that is news, no error");
    sona_client_close(&client);
    close_scene(&s);
}
