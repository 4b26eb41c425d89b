/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The command line tool against the real daemon: answers, and exit statuses. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "stage.h"

/* Run sonactl; returns its exit status and what it printed. */
static int run(const struct stage *stage, const char *arguments, char *ret, size_t size)
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

Test(sonactl, shows_status_and_stats_for_people_and_for_programs, .timeout = 60)
{
    static char text[65536];
    struct stage stage;
    json_error_t error;

    stage_open(&stage, NULL);
    sona_client *client = stage_client(&stage, 2);
    cr_assert(eq(int, run(&stage, "status", text, sizeof text), 0), "%s", text);
    cr_assert(ne(ptr, strstr(text, "live"), NULL), "%s", text);
    cr_assert(ne(ptr, strstr(text, "clients    1"), NULL), "%s", text);
    cr_assert(eq(int, run(&stage, "stats", text, sizeof text), 0), "%s", text);
    cr_assert(ne(ptr, strstr(text, "clients_attached"), NULL), "%s", text);
    cr_assert(eq(int, run(&stage, "--json stats", text, sizeof text), 0), "%s", text);
    json_t *o = json_loads(text, 0, &error);
    cr_assert(ne(ptr, o, NULL), "%s: %s", error.text, text);
    for (int c = 0; c < SONA_COUNTER_COUNT; c++) {
        bool found = json_is_integer(json_object_get(o, sona_counter_name((sona_counter)c)));

        cr_assert(found, "%s", sona_counter_name((sona_counter)c));
    }
    static const char *const promised[] = {"trajectories_recorded", "trajectories",
                                           "patterns_stored",       "patterns",
                                           "patterns_extracted",    "micro_updates",
                                           "background_cycles",     "learning_cycles",
                                           "trajectories_buffered", "trajectories_dropped",
                                           "buffer_success_rate",   "instant_enabled",
                                           "background_enabled",    "total_requests",
                                           "total_learning_cycles", "positive_feedback",
                                           "negative_feedback",     "avg_latency_us",
                                           "feedback_ratio"};
    for (size_t n = 0; n < sizeof promised / sizeof promised[0]; n++)
        cr_assert(ne(ptr, json_object_get(o, promised[n]), NULL), "%s", promised[n]);
    cr_assert(eq(sz, json_array_size(json_object_get(o, "routes")), 3));
    json_decref(o);
    sona_client_close(&client);
    stage_close(&stage);
}

Test(sonactl, tells_not_running_from_wrong_usage, .timeout = 60)
{
    static char text[4096];
    struct stage stage = {.spawn = {.instance = "nobody", .runtime_dir = "/nowhere"}};

    cr_expect(eq(int, run(&stage, "status", text, sizeof text), 3), "%s", text);
    cr_expect(ne(ptr, strstr(text, "start sona-sidecar"), NULL), "%s", text);
    cr_expect(eq(int, run(&stage, "", text, sizeof text), 2), "%s", text);
    cr_expect(eq(int, run(&stage, "fly", text, sizeof text), 2), "%s", text);
    cr_expect(eq(int, run(&stage, "--bogus status", text, sizeof text), 2), "%s", text);
    cr_expect(eq(int, run(&stage, "--help", text, sizeof text), 0), "%s", text);
}

/* Run it; the status and a piece of the text must be these. */
static void expect(const struct stage *stage, const char *arguments, int status, const char *piece)
{
    static char text[65536];

    cr_expect(eq(int, run(stage, arguments, text, sizeof text), status), "%s: %s", arguments, text);
    cr_expect(ne(ptr, strstr(text, piece), NULL), "%s: %s", arguments, text);
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

    expect(&stage, "routes retire late", 1, "no enabled route has this name");
    expect(&stage, "routes add a", 1, "enabled already");
    expect(&stage, "routes add dear --cost 2", 2, "0..1");
    expect(&stage, "routes add dear --cost cheap", 2, "no number");
    expect(&stage, "routes mode a fast", 2, "apply, observe and bypass");
    expect(&stage, "routes fly a", 2, "is no command");
    expect(&stage, "routes", 2, "is no command");
    expect(&stage, "routes mode a apply now", 2, "too many");
    stage_close(&stage);
    expect(&stage, "flush", 3, "start sona-sidecar");
}
