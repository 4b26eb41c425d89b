/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Lock and socket: one sidecar an instance, nothing left behind, nothing of others removed. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "shm/wire.h"
#include "sidecar/instance.h"

static char dir[64];

static void setup(void)
{
    (void)snprintf(dir, sizeof dir, "/tmp/sona-test-XXXXXX");
    cr_assert(ne(ptr, mkdtemp(dir), NULL));
}

static void teardown(void)
{
    char command[128];

    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    (void)!system(command);
}

TestSuite(instance, .init = setup, .fini = teardown);

static bool exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

Test(instance, listens_on_a_private_socket_and_leaves_nothing_behind)
{
    struct sona_sidecar_instance s;
    struct stat st;
    sona_diag diag;
    int fd;

    (void)umask(0077); /* as main does */
    cr_assert(eq(int, sona_sidecar_instance_open(&s, "one", dir, &diag), SONA_OK));
    cr_assert(eq(int, sona_sidecar_instance_listen(&s, &diag), SONA_OK));
    cr_assert(eq(int, stat(s.socket_path, &st), 0));
    cr_assert(eq(u32, st.st_mode & 0077, 0));
    cr_assert(eq(int, sona_wire_connect(s.socket_path, 1000, &fd, &diag), SONA_OK));
    (void)close(fd);
    sona_sidecar_instance_close(&s);
    cr_assert(not(exists(s.socket_path)));
    cr_assert(not(exists(s.lock_path)));
}

Test(instance, runs_once)
{
    struct sona_sidecar_instance first, second, other;
    sona_diag diag;

    cr_assert(eq(int, sona_sidecar_instance_open(&first, "one", dir, &diag), SONA_OK));
    cr_assert(eq(int, sona_sidecar_instance_open(&second, "one", dir, &diag), SONA_E_BUSY));
    cr_assert(ne(ptr, strstr(diag.text, "--instance"), NULL), "%s", diag.text);
    cr_assert(exists(first.lock_path), "the refused one does not remove the other's lock");
    cr_assert(eq(int, sona_sidecar_instance_open(&other, "two", dir, &diag), SONA_OK));
    sona_sidecar_instance_close(&first);
    cr_assert(eq(int, sona_sidecar_instance_open(&second, "one", dir, &diag), SONA_OK));
    sona_sidecar_instance_close(&second);
    sona_sidecar_instance_close(&other);
}

Test(instance, takes_over_what_a_killed_sidecar_left)
{
    struct sona_sidecar_instance s;
    sona_diag diag;
    int up[2];
    char byte;

    cr_assert(eq(int, pipe(up), 0));
    pid_t pid = fork();
    if (pid == 0) {
        if (sona_sidecar_instance_open(&s, "one", dir, &diag) != SONA_OK ||
            sona_sidecar_instance_listen(&s, &diag) != SONA_OK || write(up[1], "u", 1) != 1)
            _exit(1);
        (void)pause();
    }
    cr_assert(eq(i64, read(up[0], &byte, 1), 1));
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    cr_assert(eq(int, sona_sidecar_instance_open(&s, "one", dir, &diag), SONA_OK), "%s", diag.text);
    cr_assert(exists(s.socket_path), "the dead one's socket is still there");
    cr_assert(eq(int, sona_sidecar_instance_listen(&s, &diag), SONA_OK), "%s", diag.text);
    sona_sidecar_instance_close(&s);
}

Test(instance, does_not_remove_a_file_that_is_no_socket)
{
    struct sona_sidecar_instance s;
    char path[128];
    sona_diag diag;

    (void)snprintf(path, sizeof path, "%s/one.sock", dir);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    cr_assert(ge(int, fd, 0));
    (void)close(fd);
    cr_assert(eq(int, sona_sidecar_instance_open(&s, "one", dir, &diag), SONA_OK));
    cr_assert(eq(int, sona_sidecar_instance_listen(&s, &diag), SONA_E_SYSTEM));
    cr_assert(ne(ptr, strstr(diag.text, "remove it"), NULL), "%s", diag.text);
    sona_sidecar_instance_close(&s);
    cr_assert(exists(path));
}

Test(instance, makes_its_directory_and_removes_it_again)
{
    struct sona_sidecar_instance s;
    struct stat st;
    char below[128];
    sona_diag diag;

    (void)snprintf(below, sizeof below, "%s/new", dir);
    cr_assert(eq(int, sona_sidecar_instance_open(&s, "one", below, &diag), SONA_OK));
    cr_assert(eq(int, stat(below, &st), 0));
    cr_assert(eq(u32, st.st_mode & 0777, 0700));
    sona_sidecar_instance_close(&s);
    cr_assert(not(exists(below)));
}

Test(instance, of_root_without_a_directory_lives_in_the_systems_one)
{
    struct sona_sidecar_instance s;
    bool was_there = exists(SONA_WIRE_SYSTEM_DIR);
    char name[32], path[128];
    sona_diag diag;

    if (geteuid() != 0)
        cr_skip("needs root, whose directory it is");
    (void)snprintf(name, sizeof name, "test-%d", (int)getpid()); /* nobody else's */
    (void)unsetenv("XDG_RUNTIME_DIR");
    cr_assert(eq(int, sona_sidecar_instance_open(&s, name, NULL, &diag), SONA_OK), "%s", diag.text);
    cr_assert(eq(str, s.dir, (char *)SONA_WIRE_SYSTEM_DIR));
    /* A client that names no directory looks in the same place. */
    cr_assert(eq(int, sona_wire_path(NULL, name, path, sizeof path, &diag), SONA_OK));
    cr_assert(eq(str, path, s.socket_path));
    sona_sidecar_instance_close(&s);
    cr_assert(eq(int, exists(SONA_WIRE_SYSTEM_DIR), was_there));
}

Test(instance, a_directory_that_cannot_be_used_is_named_with_the_remedy)
{
    struct sona_sidecar_instance s;
    char below[128];
    sona_diag diag;

    (void)snprintf(below, sizeof below, "%s/missing/deeper", dir);
    cr_expect(eq(int, sona_sidecar_instance_open(&s, "one", below, &diag), SONA_E_SYSTEM));
    cr_expect(ne(ptr, strstr(diag.text, "--runtime-dir"), NULL), "%s", diag.text);
    (void)snprintf(below, sizeof below, "%s/file", dir);
    int fd = open(below, O_CREAT | O_WRONLY, 0600);
    (void)close(fd);
    cr_expect(eq(int, sona_sidecar_instance_open(&s, "one", below, &diag), SONA_E_SYSTEM));
    cr_expect(ne(ptr, strstr(diag.text, "Not a directory"), NULL), "%s", diag.text);
}
