/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The proof that hot calls stay out of the kernel, and that it could fail. */
#include "set_fixture.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tools/demo/proof.h"

/* Run one thing behind the closed door; returns the wait status. */
static int behind_the_door(bool system_call)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        if (!sona_demo_proof_close_door())
            (void)syscall(SYS_exit_group, 99);
        if (system_call)
            (void)syscall(SYS_getppid);
        (void)syscall(SYS_exit_group, 0);
    }
    cr_assert(pid > 0 && waitpid(pid, &status, 0) == pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 99)
        cr_skip_test("this kernel refuses seccomp filters");
    return status;
}

Test(proof, any_system_call_behind_the_door_kills)
{
    int status = behind_the_door(true);
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;

    cr_expect(killed, "status %#x", status);
}

Test(proof, no_system_call_behind_the_door_lives)
{
    int status = behind_the_door(false);

    cr_expect(eq(int, status, 0), "an exit with 0");
}

Test(proof, hot_calls_never_enter_the_kernel, .timeout = 120)
{
    struct sona_tools_dataset set = fixture_set(200, 3, 6);
    struct sona_tools_settings settings = {0};
    struct sona_tools_router_options options = {
        .settings = &settings, .routes = set.route, .n_routes = set.routes};
    struct sona_tools_router *router = NULL;
    struct sona_demo_proof proof;
    sona_diag diag = {0};

    (void)behind_the_door(false);
    cr_assert(eq(int, sona_tools_settings_add(&settings, &diag, "dim=%u", set.dim), SONA_OK));
    cr_assert(eq(int, sona_tools_router_open(&router, &options, &diag), SONA_OK), "%s", diag.text);
    sona_demo_proof_run(&proof, router, &set);
    cr_expect(proof.ran, "%s", proof.reason);
    cr_expect(not(proof.entered), "%s", proof.reason);
    cr_expect(eq(u64, proof.calls, SONA_DEMO_PROOF_ROUNDS * SONA_DEMO_PROOF_CALLS));
    sona_tools_router_close(&router);
    sona_tools_dataset_close(&set);
}

Test(proof, an_embedded_learner_has_nothing_to_prove)
{
    struct sona_tools_dataset set = fixture_set(20, 2, 2);
    struct sona_tools_settings settings = {0};
    struct sona_tools_router_options options = {
        .embedded = true, .settings = &settings, .routes = set.route, .n_routes = set.routes};
    struct sona_tools_router *router = NULL;
    struct sona_demo_proof proof;
    sona_diag diag = {0};

    cr_assert(eq(int, sona_tools_settings_add(&settings, &diag, "dim=%u", set.dim), SONA_OK));
    cr_assert(eq(int, sona_tools_router_open(&router, &options, &diag), SONA_OK), "%s", diag.text);
    sona_demo_proof_run(&proof, router, &set);
    cr_expect(not(proof.ran));
    cr_expect(ne(str, proof.reason, ""));
    sona_tools_router_close(&router);
    sona_tools_dataset_close(&set);
}
