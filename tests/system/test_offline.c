/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* sonactl where no sidecar is, nor the directory of its socket: what it does with a store alone,
 * and what it says to who mistypes. */
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "stage.h"

static char text[1 << 16]; /* what sonactl printed last */

/* Run it with the arguments, and with nothing else said. */
static int run(const char *before, const char *arguments)
{
    char command[1024];

    (void)snprintf(command, sizeof command, "%s '%s' %s 2>&1", before, getenv("SONA_SONACTL"),
                   arguments);
    FILE *pipe = popen(command, "r");
    cr_assert(ne(ptr, pipe, NULL));
    size_t n = fread(text, 1, sizeof text - 1, pipe);
    text[n] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void expect(int status, const char *words)
{
    cr_expect(ne(ptr, strstr(text, words), NULL), "no \"%s\" (status %d) in: %s", words, status,
              text);
}

/* No /run/sona can be entered from here on; false: this machine has one, and it stays. */
static bool hide_the_system_directory(void)
{
    return access("/run/sona", X_OK) != 0 ||
           (unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
            mount("none", "/run", "tmpfs", 0, NULL) == 0);
}

static int keep(const struct stage *stage, const char *arguments)
{
    char line[512];

    (void)snprintf(line, sizeof line, "--instance '%s' --state-dir '%s' %s", stage->spawn.instance,
                   stage->state_dir, arguments);
    return run("env -u XDG_RUNTIME_DIR", line);
}

/* What begins with a dot is left of a directory of ours. */
static int count_hidden(const char *path)
{
    DIR *dir = opendir(path);
    int n = 0;

    cr_assert(ne(ptr, dir, NULL));
    for (struct dirent *e = readdir(dir); e; e = readdir(dir))
        n += e->d_name[0] == '.' && strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    (void)closedir(dir);
    return n;
}

static void expect_refused(const char *arguments, const char *sentence)
{
    int status = run("", arguments);

    cr_expect(eq(int, status, 2), "%s: %s", arguments, text);
    cr_expect(eq(str, text, (char *)(uintptr_t)sentence), "%s", arguments);
}

Test(offline, what_is_mistyped_is_told_in_one_sentence)
{
    expect_refused("statsu", "sonactl: \"statsu\" is no command; did you mean stats; see sonactl "
                             "--help\n");
    expect_refused("generation list", "sonactl: \"generation\" is no command; did you mean "
                                      "generations; see sonactl --help\n");
    expect_refused("xyzzy", "sonactl: \"xyzzy\" is no command; see sonactl --help\n");
    expect_refused("", "sonactl: a command is missing, such as status; see sonactl --help\n");
    expect_refused("stats extra", "sonactl: \"stats extra\" is no command; stats takes no other "
                                  "word; see sonactl --help\n");
    expect_refused("generations rollback",
                   "sonactl: \"generations rollback\" is no command; generations takes list, save, "
                   "pin N, unpin N, rollback N; see sonactl --help\n");
    expect_refused("generations rollback -1",
                   "sonactl: N must be the number of a generation, 1 or more; see sonactl "
                   "generations list\n");
}

Test(offline, an_answer_that_nobody_gets_is_a_failure)
{
    cr_expect(eq(int, run("", "--help >/dev/full"), 1));
    cr_expect(eq(int, run("", "--version >/dev/full"), 1));
    cr_expect(zero(int, run("", "--help")));
    cr_expect(zero(int, run("", "--completion")));
}

Test(offline, an_empty_directory_is_the_default_one)
{
    (void)run("", "--instance nobody-here status");
    char *by_default = strdup(text);
    cr_expect(eq(int, run("", "--instance nobody-here --runtime-dir '' --state-dir '' status"), 3));
    cr_expect(eq(str, text, by_default));
    free(by_default);
}

Test(offline, a_store_is_looked_at_where_no_runtime_directory_is_known, .timeout = 60)
{
    struct stage stage;

    stage_open_kept(&stage, NULL);
    stage_stop(&stage);
    if (!hide_the_system_directory()) {
        stage_reopen(&stage);
        stage_close(&stage);
        cr_skip("/run/sona is there, and cannot be hidden");
    }
    int status = keep(&stage, "check");
    cr_expect(zero(int, status), "%s", text);
    expect(status, "sound: 0 findings");
    expect(status, "name that directory with --runtime-dir");
    status = keep(&stage, "generations list");
    cr_expect(zero(int, status), "%s", text);
    expect(status, "pinned  exact  copy-of\n");
    cr_expect(zero(int, keep(&stage, "generations pin 1")), "%s", text);
    cr_expect(zero(int, keep(&stage, "export")), "%s", text);
    /* These two need to know what the intake log holds. */
    cr_expect(eq(int, keep(&stage, "generations rollback 1"), 3), "%s", text);
    cr_expect(eq(int, keep(&stage, "forget --tenant 7"), 3), "%s", text);
    cr_expect(eq(int, run("env -u XDG_RUNTIME_DIR", "--instance none --state-dir /tmp check"), 3));
    expect(3, "there is no store");
    cr_expect(zero(int, count_hidden(stage.state_dir)), "a directory was left behind");
    stage_reopen(&stage);
    stage_close(&stage);
}
