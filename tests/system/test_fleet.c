/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Several instances in one sidecar: what they share, which is nothing, and how they come and go. */
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "opinion.h"
#include "reload_fixture.h"

#define INSTANCES  10
#define NOBODY     65534u
#define TEXT_BYTES 4096

struct scene {
    struct sona_spawn spawn;
    struct reload_file file;
    char state[48]; /* for the directories of states */
};

/* Segments are named in one place for the whole machine: '@' makes a name this process's own. */
static const char *own(const char *text, char ret[TEXT_BYTES])
{
    size_t n = 0;

    for (; *text && n < TEXT_BYTES - 16; text++)
        if (*text == '@')
            n += (size_t)snprintf(ret + n, TEXT_BYTES - n, "-%d", (int)getpid());
        else
            ret[n++] = *text;
    ret[n] = '\0';
    return ret;
}

/* What all of them inherit; then the text of `instances`. */
static void write_file(const struct scene *s, const char *instances)
{
    char text[2 * TEXT_BYTES], names[TEXT_BYTES];

    (void)snprintf(text, sizeof text,
                   "routes: [a, b, c]\n"
                   "learner: {dim: 16, hidden_dim: 16, attention_dim: 4, base_lora_layers: 2,\n"
                   "          background: off}\n"
                   "state: {state_dir: %s/common}\n"
                   "instances:\n%s",
                   s->state, own(instances, names));
    reload_write(&s->file, text);
}

static void start(struct scene *s)
{
    const char *args[] = {"-c", s->file.path, NULL};
    const struct sona_spawn before = s->spawn;
    sona_diag diag = {0};

    cr_assert(eq(int,
                 sona_spawn_start(&s->spawn, NULL, "",
                                  before.runtime_dir[0] ? before.runtime_dir : NULL, args, &diag),
                 SONA_OK),
              "%s", diag.text);
    s->spawn.own_dir |= before.own_dir;
}

static void open_scene(struct scene *s, const char *instances)
{
    *s = (struct scene){.state = "/tmp/sona-fleet-XXXXXX"};
    cr_assert(ne(ptr, mkdtemp(s->state), NULL));
    reload_open(&s->file, "");
    write_file(s, instances);
    start(s);
}

static void close_scene(struct scene *s)
{
    char command[256];

    s->spawn.own_dir = false;
    cr_assert(eq(int, sona_spawn_stop(&s->spawn), 0), "the sidecar did not stop cleanly");
    reload_close(&s->file);
    (void)snprintf(command, sizeof command, "rm -rf '%s' '%s'", s->state, s->spawn.runtime_dir);
    cr_assert(eq(int, system(command), 0));
}

/* One of them, for what a stage can be asked. */
static struct stage one(const struct scene *s, const char *name)
{
    struct stage ret = {.spawn = s->spawn};
    char names[TEXT_BYTES];

    (void)snprintf(ret.spawn.instance, sizeof ret.spawn.instance, "%.63s", own(name, names));
    return ret;
}

/* Fifty decisions; the outcome says that route `best` is the best of all. */
static void teach_lane(sona_lane *lane, uint32_t best)
{
    for (uint32_t i = 0; i < 50; i++) {
        float x[STAGE_DIM];
        sona_decision d;

        stage_query(i % QUERIES, x);
        cr_assert(eq(int, sona_decide(lane, x, STAGE_DIM, NULL, &d), SONA_OK));
        cr_assert(eq(int, sona_outcome(lane, d.id, SONA_ROUTE_INDEX(d.route) == best ? 1 : 0, NULL),
                     SONA_OK));
    }
}

/* The same with a client of its own; back when it is learned. */
static void teach_best(const struct stage *stage, uint32_t best)
{
    uint64_t before = stage_counter(stage, "learned");
    sona_client *client = stage_client(stage, 1);
    sona_lane *lane = stage_lane(client);

    teach_lane(lane, best);
    sona_lane_release(&lane);
    sona_client_close(&client);
    (void)stage_await(stage, "learned", before + 50);
}

/* For how many of the queries this route has the highest score. */
static uint32_t preferred(const struct opinion *o, uint32_t route)
{
    uint32_t n = 0;

    for (uint32_t q = 0; q < QUERIES; q++) {
        uint32_t best = 0;

        for (uint32_t k = 1; k < 3; k++)
            best = o->score[q][k] > o->score[q][best] ? k : best;
        n += best == route;
    }
    return n;
}

static bool exists(const struct scene *s, const char *dir, const char *file)
{
    char path[192], names[TEXT_BYTES];

    (void)snprintf(path, sizeof path, "%s/%s/%.99s", s->state, dir, own(file, names));
    return access(path, F_OK) == 0;
}

static const char *log_now(const struct scene *s)
{
    static char text[1 << 18];
    ssize_t n = pread(s->spawn.log_fd, text, sizeof text - 1, 0);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

/* Wait until the log has these words, `count` times. */
static void await_log(const struct scene *s, const char *words, uint32_t count)
{
    uint64_t end = stage_now_ms() + STAGE_LIMIT_MS;
    char names[TEXT_BYTES];

    words = own(words, names);
    for (;;) {
        const char *text = log_now(s);
        uint32_t found = 0;

        for (const char *at = text; (at = strstr(at, words)); at++)
            found++;
        if (found >= count)
            return;
        cr_assert(lt(u64, stage_now_ms(), end), "no %s in:\n%s", words, text);
        stage_pause();
    }
}

static void hang_up(const struct scene *s)
{
    cr_assert(eq(int, kill(s->spawn.pid, SIGHUP), 0));
}

Test(fleet, two_instances_learn_different_things_from_the_same_queries, .timeout = 60)
{
    struct scene s;

    open_scene(&s, "  chat@:\n  search@: {learner: {lambda: 0.25}}\n");
    struct stage chat = one(&s, "chat@"), search = one(&s, "search@");
    for (int round = 0; round < 4; round++) {
        teach_best(&chat, 0);
        teach_best(&search, 2);
    }
    struct opinion first = opinion_now(&chat), second = opinion_now(&search);
    cr_expect(ge(u32, preferred(&first, 0), QUERIES * 3 / 4));
    cr_expect(ge(u32, preferred(&second, 2), QUERIES * 3 / 4));
    cr_expect(eq(u64, stage_counter(&chat, "learned"), 200));
    cr_expect(eq(u64, stage_counter(&search, "learned"), 200));
    char value[64];
    reload_value(&chat, "learner.lambda", value);
    cr_expect(ne(str, value, "0.25"));
    reload_value(&search, "learner.lambda", value);
    cr_expect(eq(str, value, "0.25"));
    await_log(&s, "instance=chat@ event=client_attached", 1);
    await_log(&s, "instance=search@ event=client_attached", 1);
    close_scene(&s);
}

Test(fleet, both_come_back_after_a_kill_with_what_each_had_learned, .timeout = 60)
{
    struct scene s;

    open_scene(&s, "  chat@:\n  search@:\n");
    struct stage chat = one(&s, "chat@"), search = one(&s, "search@");
    teach_best(&chat, 0);
    teach_best(&search, 2);
    struct opinion first = opinion_now(&chat), second = opinion_now(&search);
    cr_assert(ne(int, memcmp(&first, &second, sizeof first), 0));
    sona_spawn_kill(&s.spawn);
    start(&s);
    chat = one(&s, "chat@");
    search = one(&s, "search@");
    struct opinion first_again = opinion_now(&chat), second_again = opinion_now(&search);
    cr_expect(eq(int, memcmp(&first, &first_again, sizeof first), 0), "chat is another");
    cr_expect(eq(int, memcmp(&second, &second_again, sizeof second), 0), "search is another");
    cr_expect(eq(u64, stage_counter(&chat, "learned"), 50));
    close_scene(&s);
}

Test(fleet, the_states_of_two_instances_do_not_mix, .timeout = 60)
{
    char instances[256];
    struct scene s = {.state = "/tmp/sona-fleet-XXXXXX"};

    cr_assert(ne(ptr, mkdtemp(s.state), NULL));
    (void)snprintf(instances, sizeof instances,
                   "  chat@:\n  search@:\n  apart@: {state: {state_dir: %s/own}}\n", s.state);
    reload_open(&s.file, "");
    write_file(&s, instances);
    start(&s);
    struct stage chat = one(&s, "chat@"), apart = one(&s, "apart@");
    teach_best(&chat, 0);
    teach_best(&apart, 1);
    teach_best(&apart, 1);
    cr_expect(exists(&s, "common", "chat@.db"));
    cr_expect(exists(&s, "common", "search@.db"));
    cr_expect(not(exists(&s, "common", "apart@.db")));
    cr_expect(exists(&s, "own", "apart@.db"));
    cr_expect(not(exists(&s, "own", "chat@.db")));
    cr_assert(eq(int, sona_spawn_stop(&s.spawn), 0));
    start(&s);
    struct stage search = one(&s, "search@");
    chat = one(&s, "chat@");
    apart = one(&s, "apart@");
    cr_expect(eq(u64, stage_counter(&chat, "learned"), 50));
    cr_expect(eq(u64, stage_counter(&search, "learned"), 0));
    cr_expect(eq(u64, stage_counter(&apart, "learned"), 100));
    close_scene(&s);
}

/* As another user, with this group alone: what the attempt comes to. */
static sona_err attach_as_nobody(const struct stage *stage, gid_t group)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        const sona_client_options options = {.instance = stage->spawn.instance,
                                             .runtime_dir = stage->spawn.runtime_dir,
                                             .lanes = 1,
                                             .seed = 1};
        sona_client *client = NULL;
        sona_diag diag;

        if (setgroups(1, &group) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
            _exit(255);
        sona_err err = sona_client_open(&client, &options, &diag);
        sona_client_close(&client);
        _exit((int)err);
    }
    cr_assert(eq(int, waitpid(pid, &status, 0), pid));
    int said = WIFEXITED(status) ? WEXITSTATUS(status) : 255;

    cr_assert(ne(int, said, 255), "it could not become nobody");
    return (sona_err)said;
}

Test(fleet, who_may_attach_is_said_of_each_instance, .timeout = 60)
{
    struct scene s;
    char path[192];
    struct stat st;

    if (geteuid() != 0)
        cr_skip("only root can become somebody else");
    open_scene(&s, "  chat@: {clients: {group: 54321}}\n  search@:\n");
    struct stage chat = one(&s, "chat@"), search = one(&s, "search@");
    cr_expect(eq(int, attach_as_nobody(&chat, 54321), SONA_OK));
    cr_expect(eq(int, attach_as_nobody(&chat, 54322), SONA_E_PERMISSION));
    cr_expect(eq(int, attach_as_nobody(&search, 54321), SONA_E_PERMISSION));
    (void)snprintf(path, sizeof path, "%s/%s.sock", s.spawn.runtime_dir, search.spawn.instance);
    cr_assert(zero(int, stat(path, &st)));
    cr_expect(zero(u32, st.st_mode & 077));
    /* A door left open does not help: the sidecar asks the kernel who it is. */
    cr_assert(zero(int, chmod(path, 0666)));
    cr_expect(eq(int, attach_as_nobody(&search, 54321), SONA_E_PERMISSION));
    close_scene(&s);
}

Test(fleet, ten_instances_serve_and_learn_beside_each_other, .timeout = 120)
{
    char instances[TEXT_BYTES] = "", name[16];
    struct stage stage[INSTANCES];
    size_t n = 0;
    struct scene s;

    for (int i = 0; i < INSTANCES; i++)
        n += (size_t)snprintf(instances + n, sizeof instances - n, "  team-%d@:%s\n", i,
                              i < 2 ? "" : " {state: {state_dir: \"\"}}");
    open_scene(&s, instances);
    for (int i = 0; i < INSTANCES; i++) {
        (void)snprintf(name, sizeof name, "team-%d@", i);
        stage[i] = one(&s, name);
        teach_best(&stage[i], (uint32_t)i % 3);
    }
    for (int i = 0; i < INSTANCES; i++) {
        json_t *o = stage_status(&stage[i]);

        cr_expect(eq(u64, stage_counter(&stage[i], "learned"), 50), "team-%d", i);
        cr_expect(eq(int, (int)json_integer_value(json_object_get(o, "pid")), s.spawn.pid));
        json_decref(o);
    }
    close_scene(&s);
}

Test(fleet, one_that_cannot_start_is_told_by_name_and_comes_up_when_it_is_mended, .timeout = 60)
{
    char instances[256], dir[64];
    struct scene s = {.state = "/tmp/sona-fleet-XXXXXX"};

    cr_assert(ne(ptr, mkdtemp(s.state), NULL));
    (void)snprintf(dir, sizeof dir, "%s/open", s.state);
    cr_assert(zero(int, mkdir(dir, 0755)));
    cr_assert(zero(int, chmod(dir, 0755)));
    (void)snprintf(instances, sizeof instances, "  good@:\n  bad@: {state: {state_dir: %s}}\n",
                   dir);
    reload_open(&s.file, "");
    write_file(&s, instances);
    start(&s);
    await_log(&s, "event=instance_failed failed=bad@ reason=\"", 1);
    struct stage good = one(&s, "good@"), bad = one(&s, "bad@");
    teach_best(&good, 0);
    cr_assert(zero(int, chmod(dir, 0700)));
    hang_up(&s);
    await_log(&s, "instance=bad@ event=ready", 1);
    teach_best(&bad, 0);
    cr_expect(eq(u64, stage_counter(&good, "learned"), 50));
    close_scene(&s);
}

Test(fleet, while_the_disk_of_one_is_full_the_others_learn, .timeout = 60)
{
    struct scene s;

    open_scene(&s, "  kept@:\n  free@: {state: {state_dir: \"\"}}\n");
    struct stage kept = one(&s, "kept@"), unkept = one(&s, "free@");
    sona_client *client[] = {stage_client(&kept, 1), stage_client(&unkept, 1)};
    sona_lane *lane[] = {stage_lane(client[0]), stage_lane(client[1])};

    stage_limit_files(&kept, 4096);
    teach_lane(lane[0], 0);
    await_log(&s, "instance=kept@ event=journal_", 1);
    teach_lane(lane[1], 0);
    (void)stage_await(&unkept, "learned", 50);
    stage_limit_files(&kept, UINT64_MAX);
    (void)stage_await(&kept, "learned", 50);
    for (int i = 0; i < 2; i++) {
        sona_lane_release(&lane[i]);
        sona_client_close(&client[i]);
    }
    close_scene(&s);
}

Test(fleet, a_sighup_starts_the_new_stops_the_kept_and_leaves_what_would_be_forgotten,
     .timeout = 60)
{
    struct scene s;
    char path[192];

    open_scene(&s, "  chat@:\n  search@:\n  loose@: {state: {state_dir: \"\"}}\n");
    struct stage search = one(&s, "search@"), loose = one(&s, "loose@"), fresh = one(&s, "fresh@");
    teach_best(&search, 2);
    struct opinion before = opinion_now(&search);

    write_file(&s, "  chat@: {learner: {lambda: 0.125}}\n  fresh@:\n");
    hang_up(&s);
    await_log(&s, "event=config_instance_removed removed=search@", 1);
    await_log(&s, "instance=search@ event=stopped", 1);
    await_log(&s, "event=config_restart key=instances running=\"loose@\"", 1);
    await_log(&s, "event=config_instance_added added=fresh@", 1);
    await_log(&s, "instance=fresh@ event=ready", 1);
    await_log(&s, "instance=chat@ event=config_reloaded changed=1", 1);
    teach_best(&fresh, 0);
    teach_best(&loose, 0);
    (void)snprintf(path, sizeof path, "%s/%s.sock", s.spawn.runtime_dir, search.spawn.instance);
    cr_expect(ne(int, access(path, F_OK), 0), "nobody can attach to it any more");

    write_file(&s, "  chat@:\n  search@:\n  typo@: {learner: {lamda: 1}}\n");
    hang_up(&s);
    await_log(&s, "event=config_refused mistakes=1", 1);
    write_file(&s, "  chat@:\n  search@:\n");
    hang_up(&s);
    await_log(&s, "instance=search@ event=ready", 2);
    struct opinion after = opinion_now(&search);
    cr_expect(eq(int, memcmp(&before, &after, sizeof before), 0), "search is another");
    close_scene(&s);
}

Test(fleet, a_new_one_outside_of_what_the_process_kept_for_itself_waits_for_a_restart,
     .timeout = 60)
{
    char instances[512];
    struct scene s;

    open_scene(&s, "  chat@:\n");
    bool places = strstr(log_now(&s), " paths=yes") != NULL;
    (void)snprintf(instances, sizeof instances,
                   "  chat@:\n  away@: {state: {state_dir: %s/away}}\n"
                   "  near@: {state: {state_dir: %s/common/near}}\n",
                   s.state, s.state);
    write_file(&s, instances);
    hang_up(&s);
    await_log(&s, "instance=near@ event=ready", 1);
    await_log(&s,
              places ? "event=config_restart key=instances wanted=\"away@\" reason=\""
                     : "instance=away@ event=ready",
              1);
    cr_expect(eq(int, exists(&s, "away", "away@.db"), !places));
    struct stage near = one(&s, "near@");
    teach_best(&near, 0);
    close_scene(&s);
}
