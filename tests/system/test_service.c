/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What the service manager hears, the manager being this test: a datagram socket, as systemd's. */
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "reload_fixture.h"

#define LIMIT_MS 400u /* of the watchdog: fed every 100 ms */

struct manager {
    int fd;
    char dir[64], path[96];
    char heard[4096]; /* the last datagram */
};

/* From here on a sidecar that is started tells us. */
static void manager_open(struct manager *m, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char limit[32];

    *m = (struct manager){.dir = "/tmp/sona-manager-XXXXXX"};
    cr_assert(ne(ptr, mkdtemp(m->dir), NULL));
    if (name)
        (void)snprintf(m->path, sizeof m->path, "%s-%d", name, (int)getpid());
    else
        (void)snprintf(m->path, sizeof m->path, "%s/notify", m->dir);
    size_t n = strlen(m->path);
    memcpy(address.sun_path, m->path, n);
    if (name)
        address.sun_path[0] = '\0';
    m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert(zero(int, bind(m->fd, (struct sockaddr *)&address,
                             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n))),
              "%m");
    (void)snprintf(limit, sizeof limit, "%u", LIMIT_MS * 1000);
    cr_assert(zero(int, setenv("NOTIFY_SOCKET", m->path, 1)));
    cr_assert(zero(int, setenv("WATCHDOG_USEC", limit, 1)));
}

static void manager_close(struct manager *m)
{
    cr_assert(zero(int, unsetenv("NOTIFY_SOCKET")));
    cr_assert(zero(int, unsetenv("WATCHDOG_USEC")));
    (void)close(m->fd);
    if (m->path[0] == '/')
        cr_expect(zero(int, unlink(m->path)));
    cr_expect(zero(int, rmdir(m->dir)));
}

/* The next datagram; false: none within `ms`. */
static bool hear(struct manager *m, uint32_t ms)
{
    struct pollfd p = {.fd = m->fd, .events = POLLIN};

    if (poll(&p, 1, (int)ms) != 1)
        return false;
    ssize_t n = recv(m->fd, m->heard, sizeof m->heard - 1, 0);
    cr_assert(gt(i64, n, 0));
    m->heard[n] = '\0';
    return true;
}

/* Go on until a datagram has these words in it. */
static void await(struct manager *m, const char *words)
{
    uint64_t end = stage_now_ms() + STAGE_LIMIT_MS;

    do
        cr_assert(lt(u64, stage_now_ms(), end), "never heard \"%s\", last \"%s\"", words, m->heard);
    while (!hear(m, 1000) || !strstr(m->heard, words));
}

/* Whether WATCHDOG=1 comes within that time. */
static bool fed_within(struct manager *m, uint32_t ms)
{
    uint64_t now, end = stage_now_ms() + ms;

    while ((now = stage_now_ms()) < end)
        if (hear(m, (uint32_t)(end - now)) && strcmp(m->heard, "WATCHDOG=1") == 0)
            return true;
    return false;
}

Test(service, hears_ready_reload_watchdog_and_stop_in_their_order, .timeout = 120)
{
    struct reload_file file;
    struct manager m;
    struct stage stage;

    manager_open(&m, NULL);
    reload_open(&file, "log_level: info\n");
    stage_open(&stage, (const char *const[]){"-c", file.path, NULL});
    await(&m, "READY=1\nSTATUS=1 instance;"); /* fed before, too, if the start takes long */
    await(&m, "WATCHDOG=1");

    reload_write(&file, "log_level: warn\n");
    cr_assert(zero(int, kill(stage.spawn.pid, SIGHUP)));
    await(&m, "RELOADING=1\nMONOTONIC_USEC=");
    uint64_t stamp_ms = strtoull(strstr(m.heard, "USEC=") + 5, NULL, 10) / 1000;
    cr_expect(le(u64, stamp_ms, stage_now_ms()), "the clock of the manager");
    cr_expect(ge(u64, stamp_ms + STAGE_LIMIT_MS, stage_now_ms()));
    await(&m, "READY=1");

    reload_write(&file, "log_level: loud\n");
    cr_assert(zero(int, kill(stage.spawn.pid, SIGHUP)));
    await(&m, "RELOADING=1");
    await(&m, "READY=1"); /* refused is over, too */

    stage_close(&stage);
    await(&m, "STOPPING=1");
    reload_close(&file);
    manager_close(&m);
}

Test(service, an_abstract_socket_hears_as_well, .timeout = 60)
{
    struct manager m;
    struct stage stage;

    manager_open(&m, "@sona-manager");
    stage_open(&stage, NULL);
    await(&m, "READY=1");
    stage_close(&stage);
    manager_close(&m);
}

Test(service, a_watchdog_that_is_meant_for_another_process_is_not_fed, .timeout = 60)
{
    struct manager m;
    struct stage stage;

    manager_open(&m, NULL);
    cr_assert(zero(int, setenv("WATCHDOG_PID", "1", 1)));
    stage_open(&stage, NULL);
    await(&m, "READY=1");
    cr_expect(not(fed_within(&m, 2 * LIMIT_MS)));
    cr_assert(zero(int, unsetenv("WATCHDOG_PID")));
    stage_close(&stage);
    manager_close(&m);
}

/* The thread of this name; 0: there is none. */
static pid_t thread_of(pid_t pid, const char *name)
{
    char path[96], comm[64];
    struct dirent *entry;
    pid_t ret = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *d = opendir(path);
    cr_assert(ne(ptr, d, NULL));
    while (!ret && (entry = readdir(d))) {
        (void)snprintf(path, sizeof path, "/proc/%d/task/%.20s/comm", (int)pid, entry->d_name);
        FILE *f = fopen(path, "r");
        if (f && fgets(comm, sizeof comm, f)) {
            comm[strcspn(comm, "\n")] = '\0';
            ret = strcmp(comm, name) == 0 ? (pid_t)atoi(entry->d_name) : 0;
        }
        if (f)
            (void)fclose(f);
    }
    (void)closedir(d);
    return ret;
}

/* Stop a thread, as a debugger does, until a loop is named. */
static bool seize(struct manager *m, pid_t tid)
{
    if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) != 0)
        return false;
    cr_assert(zero(i64, ptrace(PTRACE_INTERRUPT, tid, NULL, NULL)));
    cr_assert(eq(int, waitpid(tid, NULL, __WALL), tid));
    await(m, "does not go");
    return true;
}

/* Stop one thread, and see that the process is given up. */
static void hold(const char *thread, const char *loop)
{
    struct manager m;
    struct stage stage;
    char words[160];

    manager_open(&m, NULL);
    stage_open(&stage, NULL);
    await(&m, "WATCHDOG=1");
    pid_t tid = thread_of(stage.spawn.pid, thread);
    cr_assert(gt(int, tid, 0), "no thread is called %s", thread);
    (void)snprintf(words, sizeof words, "STATUS=The %s loop of %s (thread %d) does not go", loop,
                   strcmp(loop, "http") == 0 ? "all instances" : stage.spawn.instance, (int)tid);
    if (!seize(&m, tid)) {
        (void)fprintf(stderr, "skipped: no debugger may be attached here: %m\n");
    } else {
        /* It may have had a lock that another waits for: then that one stands as well, and one of
         * them is named. */
        for (int turn = 0; !strstr(m.heard, words); turn++) {
            cr_assert(lt(int, turn, 10), "never heard \"%s\", last \"%s\"", words, m.heard);
            cr_assert(zero(i64, ptrace(PTRACE_DETACH, tid, NULL, NULL)));
            cr_assert(fed_within(&m, STAGE_LIMIT_MS), "%s goes round again", thread);
            cr_assert(seize(&m, tid));
        }
        cr_expect(not(fed_within(&m, 2 * LIMIT_MS)), "fed though %s stands still", thread);
        cr_assert(zero(i64, ptrace(PTRACE_DETACH, tid, NULL, NULL)));
        cr_expect(fed_within(&m, STAGE_LIMIT_MS), "%s goes round again", thread);
    }
    stage_close(&stage);
    manager_close(&m);
}

Test(service, a_learner_that_stands_still_starves_the_watchdog, .timeout = 120)
{
    hold("sona-learner", "learner");
}

Test(service, a_control_that_stands_still_starves_the_watchdog, .timeout = 120)
{
    hold("sona-control", "control");
}

Test(service, a_drain_that_stands_still_starves_the_watchdog, .timeout = 120)
{
    hold("sona-intake", "drain");
}

Test(service, an_http_that_stands_still_starves_the_watchdog, .timeout = 120)
{
    hold("sona-http", "http");
}
