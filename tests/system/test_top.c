/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* sonactl top: what a second of it says, on a terminal and off one. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load.h"

/* The n-th line of a text as JSON; the caller decrefs. */
static json_t *line_of(const char *text, int n)
{
    for (; n > 0; n--)
        text = strchr(text, '\n') + 1;
    json_t *o = json_loadb(text, strcspn(text, "\n"), 0, NULL);
    cr_assert(ne(ptr, o, NULL), "%s", text);
    return o;
}

static double real(const json_t *o, const char *key)
{
    const json_t *value = json_object_get(o, key);
    bool found = json_is_number(value);

    cr_assert(found, "there is no %s", key);
    return json_number_value(value);
}

Test(top, a_second_has_rates_shares_and_ages, .timeout = 60)
{
    char said[8192];
    struct stage stage;
    struct load load;
    double share = 0;
    const json_t *r;
    size_t i;

    stage_open(&stage, NULL);
    load_start(&load, &stage);
    load_await(&load, 100);
    cr_assert(zero(int, stage_sonactl(&stage, "top --json --count 2", said, sizeof said)), "%s",
              said);
    load_stop(&load);
    json_t *o = line_of(said, 1);
    cr_expect(eq(str, (char *)(uintptr_t)json_string_value(json_object_get(o, "instance")),
                 stage.spawn.instance));
    cr_expect(gt(dbl, real(o, "decisions_per_s"), 1));
    cr_expect(gt(dbl, real(o, "learned_per_s"), 1));
    cr_expect(lt(dbl, real(o, "snapshot_age_ms"), 5000));
    cr_expect(gt(dbl, real(o, "memory_bytes"), 1e5));
    cr_expect(eq(dbl, real(o, "clients"), 1));
    cr_expect(eq(sz, json_array_size(json_object_get(o, "routes")), 3));
    json_array_foreach(json_object_get(o, "routes"), i, r) share += real(r, "share");
    cr_expect(gt(dbl, share, 0.999));
    cr_expect(lt(dbl, share, 1.001));
    json_decref(o);
    stage_close(&stage);
}

/* Counters go back to those of the generation, which is not how many there were in a second. */
Test(top, a_rollback_is_no_burst_of_outcomes, .timeout = 60)
{
    char said[8192], name[32];
    struct stage stage;
    struct load load;
    int n = 0, status;

    stage_open_kept(&stage, NULL);
    load_start(&load, &stage);
    load_await(&load, 1000);
    load_stop(&load);
    (void)stage_await(&stage, "clients_reclaimed", 1);
    uint64_t kept = stage_counter(&stage, "learned");
    cr_assert(zero(int, stage_sonactl(&stage, "generations save", said, sizeof said)), "%s", said);
    load_start(&load, &stage);
    load_await(&load, 500);
    load_stop(&load);
    (void)stage_await(&stage, "clients_reclaimed", 2);
    (void)snprintf(name, sizeof name, "/tmp/sona-top-XXXXXX");
    int fd = mkstemp(name);
    cr_assert(ge(int, fd, 0));
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(fd, STDOUT_FILENO);
        (void)execl(getenv("SONA_SONACTL"), "sonactl", "--instance", stage.spawn.instance,
                    "--runtime-dir", stage.spawn.runtime_dir, "top", "--json", "--count", "2",
                    (char *)NULL);
        _exit(127);
    }
    uint64_t end = stage_now_ms() + STAGE_LIMIT_MS;
    struct stat st = {.st_size = 0};
    while (st.st_size == 0 && stage_now_ms() < end) { /* it has looked at the counters of now */
        cr_assert(zero(int, fstat(fd, &st)));
        stage_pause();
    }
    cr_assert(zero(int, stage_sonactl(&stage, "generations rollback 1", said, sizeof said)), "%s",
              said);
    cr_assert(eq(u64, stage_counter(&stage, "learned"), kept));
    cr_assert(eq(int, waitpid(pid, &status, 0), pid));
    cr_assert(zero(int, status));
    FILE *f = fopen(name, "r");
    cr_assert(ne(ptr, f, NULL));
    for (; fgets(said, sizeof said, f); n++) {
        json_t *o = line_of(said, 0);

        cr_expect(eq(dbl, real(o, "learned_per_s"), 0), "second %d", n);
        json_decref(o);
    }
    cr_expect(eq(int, n, 2));
    (void)fclose(f);
    (void)close(fd);
    (void)unlink(name);
    stage_close(&stage);
}

Test(top, without_a_terminal_it_is_a_line_a_second_and_without_a_sidecar_status_3, .timeout = 60)
{
    char said[1024];
    struct stage stage;

    stage_open(&stage, NULL);
    cr_assert(zero(int, stage_sonactl(&stage, "top --count 1", said, sizeof said)), "%s", said);
    cr_expect(eq(ptr, strchr(said, '\033'), NULL), "%s", said);
    cr_expect(eq(int, strncmp(said, "decisions/s 0 ", 14), 0), "%s", said);
    cr_expect(eq(int, stage_sonactl(&stage, "stats --count 1", said, sizeof said), 2), "%s", said);
    struct stage absent = stage;
    (void)snprintf(absent.spawn.instance, sizeof absent.spawn.instance, "absent-%d", (int)getpid());
    cr_expect(eq(int, stage_sonactl(&absent, "top", said, sizeof said), 3), "%s", said);
    stage_close(&stage);
}

/* Read what is shown until it has these words, and return it. */
static const char *await_page(int fd, const char *words)
{
    static char text[1 << 16];
    uint64_t end = stage_now_ms() + STAGE_LIMIT_MS;
    size_t n = 0;

    text[0] = '\0';
    while (!strstr(text, words)) {
        struct pollfd p = {.fd = fd, .events = POLLIN};

        cr_assert(lt(u64, stage_now_ms(), end), "no %s in: %s", words, text);
        if (poll(&p, 1, 100) > 0) {
            ssize_t more = read(fd, text + n, sizeof text - 1 - n);

            n += more > 0 ? (size_t)more : 0;
            text[n] = '\0';
        }
    }
    return text;
}

/* top on a terminal of that kind; *ret_fd is who sits before it. */
static pid_t start_on_terminal(const struct stage *stage, const char *kind, int *ret_fd)
{
    int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

    cr_assert(ge(int, fd, 0));
    cr_assert(zero(int, grantpt(fd)));
    cr_assert(zero(int, unlockpt(fd)));
    const char *name = ptsname(fd);
    pid_t pid = fork();
    if (pid == 0) {
        int terminal = open(name, O_RDWR | O_NOCTTY);

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails waits for nobody */
        (void)dup2(terminal, STDIN_FILENO);
        (void)dup2(terminal, STDOUT_FILENO);
        (void)setenv("TERM", kind, 1);
        (void)execl(getenv("SONA_SONACTL"), "sonactl", "--instance", stage->spawn.instance,
                    "--runtime-dir", stage->spawn.runtime_dir, "top", (char *)NULL);
        _exit(127);
    }
    *ret_fd = fd;
    return pid;
}

static void expect_end(pid_t pid, int fd)
{
    int status;

    cr_assert(eq(int, waitpid(pid, &status, 0), pid));
    cr_expect(zero(int, status));
    (void)close(fd);
}

Test(top, on_a_terminal_a_page_is_drawn_and_q_ends_it, .timeout = 60)
{
    struct stage stage;
    int fd;

    stage_open(&stage, NULL);
    pid_t pid = start_on_terminal(&stage, "xterm", &fd);
    (void)await_page(fd, "q ends");
    cr_assert(eq(i64, write(fd, "q", 1), 1));
    (void)await_page(fd, "\033[?1049l"); /* the screen is as it was */
    expect_end(pid, fd);
    stage_close(&stage);
}

Test(top, a_page_without_a_sidecar_shows_no_figures_any_more, .timeout = 60)
{
    struct stage stage;
    int fd;

    stage_open_kept(&stage, NULL);
    pid_t pid = start_on_terminal(&stage, "xterm", &fd);
    (void)await_page(fd, "q ends");
    stage_stop(&stage);
    (void)await_page(fd, "\033[K\r\n\033[J"); /* behind the sentence all is wiped */
    cr_assert(eq(i64, write(fd, "q", 1), 1));
    (void)await_page(fd, "\033[?1049l");
    expect_end(pid, fd);
    stage_reopen(&stage);
    stage_close(&stage);
}

Test(top, a_terminal_that_cannot_redraw_gets_a_line_a_second, .timeout = 60)
{
    struct stage stage;
    int fd;

    stage_open(&stage, NULL);
    pid_t pid = start_on_terminal(&stage, "dumb", &fd);
    const char *said = await_page(fd, "MiB\r\n");
    cr_expect(eq(ptr, strchr(said, '\033'), NULL), "%s", said);
    cr_expect(eq(int, strncmp(said, "decisions/s 0 ", 14), 0), "%s", said);
    cr_assert(zero(int, kill(pid, SIGINT)));
    expect_end(pid, fd);
    stage_close(&stage);
}
