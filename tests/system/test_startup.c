/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Surroundings that lack something. A kernel without an ability is faked by a filter of system
 * calls, which this process, forked for one test, puts on itself: sidecar and client inherit it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "older.h"
#include "stage.h"

static void limit(int what, rlim_t soft)
{
    struct rlimit l;

    cr_assert(zero(int, getrlimit((__rlimit_resource_t)what, &l)));
    l.rlim_cur = soft;
    cr_assert(zero(int, setrlimit((__rlimit_resource_t)what, &l)));
}

/* A file system of our own at `path`; false: that is not allowed here. */
static bool mount_small(const char *path, const char *size)
{
    if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
        (void)fprintf(stderr, "skipped: no mount namespace here: %m\n");
        return false;
    }
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", path, "tmpfs", 0, size) != 0) {
        (void)fprintf(stderr, "skipped: nothing can be mounted here: %m\n");
        return false;
    }
    return true;
}

struct checked {
    int status;
    char said[8192];
};

/* What --check says, and how it ends. */
static void check(struct checked *ret, const char *more)
{
    const char *program = getenv("SONA_SIDECAR");
    char command[512];

    cr_assert(ne(ptr, (void *)(uintptr_t)program, NULL), "SONA_SIDECAR names no program");
    (void)snprintf(command, sizeof command,
                   "'%s' --isolated --check --instance startup-%d --routes 2 --dim 64 %s 2>&1",
                   program, (int)getpid(), more);
    FILE *pipe = popen(command, "r");
    cr_assert(ne(ptr, pipe, NULL));
    size_t n = fread(ret->said, 1, sizeof ret->said - 1, pipe);
    ret->said[n] = '\0';
    int status = pclose(pipe);
    ret->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The line about `what` begins with the grade and has the words in it. */
static void expect_line(const struct checked *c, const char *grade, const char *what,
                        const char *words)
{
    char begin[64];

    (void)snprintf(begin, sizeof begin, "%-5s  %-11s  ", grade, what);
    const char *line = strstr(c->said, begin);
    cr_assert(ne(ptr, (void *)(uintptr_t)line, NULL), "no \"%s\" in:\n%s", begin, c->said);
    const char *found = strstr(line, words);
    cr_expect(ne(ptr, (void *)(uintptr_t)found, NULL), "no \"%s\" in:\n%s", words, line);
    cr_expect(lt(ptr, (void *)(uintptr_t)found, (void *)(uintptr_t)strchr(line, '\n')), "%s", line);
}

Test(startup, with_everything_there_each_finding_is_named_and_the_status_is_0, .timeout = 60)
{
    static const char *const names[] = {"shm",     "memlock", "descriptors", "membarrier",
                                        "sealing", "pidfd",   "fork",        "cpu"};
    static struct checked c;

    check(&c, "");
    cr_expect(zero(int, c.status), "%s", c.said);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        cr_expect(ne(ptr, strstr(c.said, names[i]), NULL), "no %s in:\n%s", names[i], c.said);
    cr_expect(eq(ptr, strstr(c.said, "fatal"), NULL), "%s", c.said);
}

Test(startup, without_membarrier_readers_fence_and_all_else_goes_on, .timeout = 60)
{
    static struct checked c;
    struct stage stage;
    sona_decision decision;
    float x[STAGE_DIM];

    older_without(SYS_membarrier, OLDER_ANY, ENOSYS);
    check(&c, "");
    cr_expect(zero(int, c.status), "%s", c.said);
    expect_line(&c, "lacks", "membarrier", "every call of a client makes a full fence");

    stage_open(&stage, NULL);
    json_t *status = stage_status(&stage);
    cr_expect(eq(sz, json_array_size(json_object_get(status, "fence_modes")), 1));
    json_decref(status);
    sona_client *client = stage_client(&stage, 1);
    sona_lane *lane = stage_lane(client);
    stage_query(1, x);
    cr_expect(eq(int, sona_decide(lane, x, STAGE_DIM, NULL, &decision), SONA_OK));
    cr_expect(eq(int, sona_outcome(lane, decision.id, 1, NULL), SONA_OK));
    (void)stage_await(&stage, "learned", 1);
    sona_client_close(&client);
    stage_close(&stage);
}

Test(startup, without_sealed_memory_nobody_could_attach_and_the_status_says_so, .timeout = 60)
{
    static struct checked c;

    older_without(SYS_memfd_create, OLDER_ANY, EPERM);
    check(&c, "");
    cr_expect(eq(int, c.status, 1), "%s", c.said);
    expect_line(&c, "fatal", "sealing", "no client can attach");
}

Test(startup, without_a_peers_pidfd_clients_are_challenged, .timeout = 60)
{
    static struct checked c;

    older_without_peerpidfd();
    check(&c, "");
    cr_expect(zero(int, c.status), "%s", c.said);
    expect_line(&c, "fine", "pidfd", "prove by a challenge");
}

Test(startup, without_any_pidfd_a_hang_up_is_what_tells, .timeout = 60)
{
    static struct checked c;

    older_without_peerpidfd();
    older_without(SYS_pidfd_open, OLDER_ANY, ENOSYS);
    check(&c, "");
    cr_expect(zero(int, c.status), "%s", c.said);
    expect_line(&c, "lacks", "pidfd", "hang-up alone");
}

Test(startup, without_pages_that_are_wiped_on_fork_no_client_can_open, .timeout = 60)
{
    static struct checked c;

    older_without(SYS_madvise, MADV_WIPEONFORK, EINVAL);
    check(&c, "");
    cr_expect(eq(int, c.status, 1), "%s", c.said);
    expect_line(&c, "fatal", "fork", "no client can open");
}

/* Kilobytes that the process has locked. */
static unsigned long locked_kb(pid_t pid)
{
    char path[64], line[256];
    unsigned long kb = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    cr_assert(ne(ptr, f, NULL));
    while (fgets(line, sizeof line, f))
        (void)sscanf(line, "VmLck: %lu", &kb);
    (void)fclose(f);
    return kb;
}

Test(startup, the_segment_is_locked_into_memory, .timeout = 60)
{
    const char *sanitized = getenv("SONA_TEST_SANITIZED");
    struct stage stage;

    if (sanitized && sanitized[0] != '\0')
        return; /* a sanitizer makes nothing of mlock() */
    stage_open(&stage, NULL);
    json_t *status = stage_status(&stage);
    uint64_t bytes =
        (uint64_t)json_integer_value(json_object_get(json_object_get(status, "segment"), "bytes"));
    json_decref(status);
    cr_expect(ge(u64, locked_kb(stage.spawn.pid), bytes / 1024));
    stage_close(&stage);
}

Test(startup, memory_that_may_not_be_locked_is_told_of, .timeout = 60)
{
    static struct checked c;

    older_without(SYS_mlock2, OLDER_ANY, EPERM);
    check(&c, "");
    cr_expect(zero(int, c.status), "%s", c.said);
    expect_line(&c, "lacks", "memlock", "LimitMEMLOCK=");
}

Test(startup, few_descriptors_are_told_of_in_clients, .timeout = 60)
{
    static struct checked c;

    limit(RLIMIT_NOFILE, 364);
    check(&c, "");
    cr_expect(zero(int, c.status), "%s", c.said);
    expect_line(&c, "lacks", "descriptors", "364 descriptors are for 100 clients");
}

Test(startup, without_kernels_of_the_processor_the_cost_is_told, .timeout = 60)
{
    static struct checked c;

    cr_assert(zero(int, setenv("SONA_SIMD", "c", 1)));
    check(&c, "");
    cr_expect(zero(int, c.status), "%s", c.said);
    expect_line(&c, "lacks", "cpu", "SONA_SIMD=c");
}

Test(startup, a_small_dev_shm_is_refused_with_what_is_needed, .timeout = 60)
{
    static struct checked c;

    if (!mount_small("/dev/shm", "size=64k"))
        return;
    check(&c, "");
    cr_expect(eq(int, c.status, 1), "%s", c.said);
    expect_line(&c, "fatal", "shm", "/dev/shm has room for 0.1 MB and the segment takes");
}

Test(startup, a_small_runtime_directory_is_refused_with_what_is_needed, .timeout = 60)
{
    static struct checked c;
    char dir[] = "/tmp/sona-startup-XXXXXX", more[128];

    cr_assert(ne(ptr, mkdtemp(dir), NULL));
    if (mount_small(dir, "size=8m,mode=700")) {
        (void)snprintf(more, sizeof more, "--runtime-dir %s/run --state-dir %s/state", dir, dir);
        check(&c, more);
        cr_expect(eq(int, c.status, 1), "%s", c.said);
        expect_line(&c, "fatal", "runtime", "lower trajectory_capacity");
        cr_expect(zero(int, umount2(dir, MNT_DETACH)));
    }
    cr_expect(zero(int, rmdir(dir)));
}

Test(startup, a_relative_runtime_directory_that_is_not_there_yet_has_the_room_around_it,
     .timeout = 60)
{
    static struct checked c;
    char dir[] = "/dev/shm/sona-startup-XXXXXX", left[64];

    cr_assert(ne(ptr, mkdtemp(dir), NULL));
    cr_assert(zero(int, chdir(dir)));
    check(&c, "--runtime-dir run --state-dir state");
    cr_expect(zero(int, c.status), "%s", c.said);
    expect_line(&c, "fine", "runtime", "that . has room for");
    cr_assert(zero(int, chdir("/")));
    (void)snprintf(left, sizeof left, "rm -r '%s'", dir);
    cr_expect(zero(int, system(left)));
}

Test(startup, what_nobody_gets_to_read_is_a_failure, .timeout = 60)
{
    static const char *const asked[] = {"--help", "--version", "--print-config", "--memory", ""};
    static struct checked c;
    char more[64];

    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        (void)snprintf(more, sizeof more, "%s >/dev/full", asked[i]);
        check(&c, more);
        cr_expect(eq(int, c.status, 1), "%s", asked[i]);
        (void)snprintf(more, sizeof more, "%s >/dev/null", asked[i]);
        check(&c, more);
        cr_expect(zero(int, c.status), "%s", asked[i]);
    }
}

Test(startup, what_is_missing_is_in_the_log_of_a_start, .timeout = 60)
{
    struct stage stage;
    char text[16384];

    older_without(SYS_membarrier, OLDER_ANY, ENOSYS);
    stage_open(&stage, NULL);
    ssize_t n = pread(stage.spawn.log_fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    cr_expect(ne(ptr, strstr(text, "event=surroundings_lack what=membarrier reason="), NULL), "%s",
              text);
    stage_close(&stage);
}
