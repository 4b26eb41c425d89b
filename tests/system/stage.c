/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "stage.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shm/wire.h"
#include "tools/query.h"

uint64_t stage_now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void stage_pause(void)
{
    const struct timespec nap = {.tv_nsec = 500000};

    (void)nanosleep(&nap, NULL);
}

/* Under the names of `before`; null: under new ones. */
static void start(struct stage *stage, const struct sona_spawn *before)
{
    sona_diag diag = {0};

    cr_assert(eq(int,
                 sona_spawn_start(&stage->spawn, NULL, before ? before->instance : NULL,
                                  before ? before->runtime_dir : NULL, stage->args, &diag),
                 SONA_OK),
              "%s", diag.text);
    if (before)
        stage->spawn.own_dir = before->own_dir; /* the first start made it */
}

static void add_args(struct stage *stage, const char *const *more)
{
    int n = stage->own_args;

    for (; more && *more && n < STAGE_ARGS_MAX - 1; more++)
        stage->args[n++] = *more;
    stage->args[n] = NULL;
}

void stage_open(struct stage *stage, const char *const *more)
{
    *stage = (struct stage){.args = {"--routes=a,b,c", "--dim=16", "--set=hidden_dim=16",
                                     "--set=attention_dim=4", "--set=base_lora_layers=2"},
                            .own_args = 5};
    add_args(stage, more);
    start(stage, NULL);
}

void stage_open_kept(struct stage *stage, const char *const *more)
{
    *stage = (struct stage){.args = {"--routes=a,b,c", "--dim=16", "--set=hidden_dim=16",
                                     "--set=attention_dim=4", "--set=base_lora_layers=2",
                                     stage->state_arg},
                            .own_args = 6,
                            .state_dir = "/tmp/sona-state-XXXXXX"};
    cr_assert(ne(ptr, mkdtemp(stage->state_dir), NULL));
    (void)snprintf(stage->state_arg, sizeof stage->state_arg, "--state-dir=%s", stage->state_dir);
    add_args(stage, more);
    start(stage, NULL);
}

void stage_reopen(struct stage *stage)
{
    const struct sona_spawn before = stage->spawn;

    start(stage, &before);
}

void stage_reopen_with(struct stage *stage, const char *const *more)
{
    add_args(stage, more);
    stage_reopen(stage);
}

void stage_stop(struct stage *stage)
{
    bool own_dir = stage->spawn.own_dir;

    stage->spawn.own_dir = false; /* it stays for the next */
    cr_assert(eq(int, sona_spawn_stop(&stage->spawn), 0), "the sidecar did not stop cleanly");
    stage->spawn.own_dir = own_dir;
}

void stage_restart(struct stage *stage)
{
    stage_stop(stage);
    stage_reopen(stage);
}

void stage_close(struct stage *stage)
{
    static const char *const ends[] = {".db", ".db-wal", ".db-shm", ".db.lock"};

    cr_assert(eq(int, sona_spawn_stop(&stage->spawn), 0), "the sidecar did not stop cleanly");
    if (stage->state_dir[0] == '\0')
        return;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        char path[160];

        (void)snprintf(path, sizeof path, "%s/%s%s", stage->state_dir, stage->spawn.instance,
                       ends[i]);
        (void)unlink(path);
    }
    cr_expect(zero(int, rmdir(stage->state_dir)), "it left more in %s", stage->state_dir);
}

sona_client *stage_client(const struct stage *stage, uint32_t lanes)
{
    sona_client *client = NULL;
    sona_diag diag = {0};
    const sona_client_options options = {.instance = stage->spawn.instance,
                                         .runtime_dir = stage->spawn.runtime_dir,
                                         .lanes = lanes,
                                         .dim = STAGE_DIM,
                                         .seed = 1};

    cr_assert(eq(int, sona_client_open(&client, &options, &diag), SONA_OK), "%s", diag.text);
    return client;
}

sona_lane *stage_lane(sona_client *client)
{
    sona_lane *lane = NULL;
    sona_diag diag = {0};

    cr_assert(eq(int, sona_lane_claim(client, &lane, &diag), SONA_OK), "%s", diag.text);
    return lane;
}

void stage_query(uint64_t n, float ret[STAGE_DIM])
{
    double sum = 0;

    for (uint32_t i = 0; i < STAGE_DIM; i++) {
        ret[i] = (float)sin((double)(n * STAGE_DIM + i + 1) * 1.618);
        sum += (double)ret[i] * (double)ret[i];
    }
    for (uint32_t i = 0; i < STAGE_DIM; i++)
        ret[i] = (float)((double)ret[i] / sqrt(sum));
}

static json_t *ask(const struct stage *stage, uint32_t what)
{
    char *text = NULL;
    sona_diag diag = {0};
    json_error_t error;

    cr_assert(
        eq(int,
           sona_tools_query(stage->spawn.runtime_dir, stage->spawn.instance, what, &text, &diag),
           SONA_OK),
        "%s", diag.text);
    json_t *o = json_loads(text, 0, &error);
    cr_assert(ne(ptr, o, NULL), "the answer is no JSON: %s", error.text);
    free(text);
    return o;
}

json_t *stage_status(const struct stage *stage)
{
    return ask(stage, SONA_CONTROL_STATUS);
}

json_t *stage_stats(const struct stage *stage)
{
    return ask(stage, SONA_CONTROL_STATS);
}

uint64_t stage_counter(const struct stage *stage, const char *name)
{
    json_t *o = stage_stats(stage);
    const json_t *value = json_object_get(o, name);

    bool found = json_is_integer(value);

    cr_assert(found, "the stats have no %s", name);
    uint64_t n = (uint64_t)json_integer_value(value);
    json_decref(o);
    return n;
}

bool stage_waits(const struct stage *stage)
{
    json_t *o = stage_status(stage);
    const char *waits = json_string_value(json_object_get(json_object_get(o, "journal"), "waits"));
    bool ret = waits && waits[0] != '\0';

    json_decref(o);
    return ret;
}

void stage_await_waits(const struct stage *stage, bool yes)
{
    uint64_t end = stage_now_ms() + STAGE_LIMIT_MS;

    while (stage_waits(stage) != yes) {
        cr_assert(lt(u64, stage_now_ms(), end), "the journal %s", yes ? "never waited" : "waits");
        stage_pause();
    }
}

uint64_t stage_await(const struct stage *stage, const char *name, uint64_t value)
{
    uint64_t end = stage_now_ms() + STAGE_LIMIT_MS, n;

    while ((n = stage_counter(stage, name)) < value) {
        cr_assert(lt(u64, stage_now_ms(), end), "%s is %llu and not %llu", name,
                  (unsigned long long)n, (unsigned long long)value);
        stage_pause();
    }
    return n;
}

void stage_limit_files(const struct stage *stage, uint64_t bytes)
{
    struct rlimit limit;

    cr_assert(zero(int, prlimit(stage->spawn.pid, RLIMIT_FSIZE, NULL, &limit)));
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    cr_assert(zero(int, prlimit(stage->spawn.pid, RLIMIT_FSIZE, &limit, NULL)));
}

int stage_sonactl(const struct stage *stage, const char *arguments, char *ret, size_t size)
{
    const char *path = getenv("SONA_SONACTL");
    char command[1024];

    cr_assert(ne(ptr, (void *)(uintptr_t)path, NULL), "SONA_SONACTL is not set; run by meson test");
    (void)snprintf(command, sizeof command, "'%s' --instance '%s' --runtime-dir '%s' %s 2>&1", path,
                   stage->spawn.instance, stage->spawn.runtime_dir, arguments);
    FILE *pipe = popen(command, "r");
    cr_assert(ne(ptr, pipe, NULL));
    size_t n = fread(ret, 1, size - 1, pipe);
    ret[n] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
