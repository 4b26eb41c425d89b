/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Does a hot call enter the kernel? Asked of the kernel itself: a child process attaches to the
 * running instance like any router, then puts itself under a seccomp filter that kills it at any
 * system call but the one that ends it, and makes many hot calls. If it lives to end, none of them
 * made a system call.
 */
#ifndef SONA_TOOLS_DEMO_PROOF_H
#define SONA_TOOLS_DEMO_PROOF_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/dataset.h"
#include "tools/router.h"

#define SONA_DEMO_PROOF_ROUNDS 1500u
#define SONA_DEMO_PROOF_CALLS  8u /* hot calls of a round */

struct sona_demo_proof {
    bool ran;       /* false: it could not be tried; `reason` says why */
    bool entered;   /* a hot call made a system call */
    uint64_t calls; /* hot calls made under the filter */
    char reason[128];
};

/* Close the door on this process: from here on any system call but exit_group kills it (SIGSYS).
 * False, with errno, where the kernel does not let us. */
bool sona_demo_proof_close_door(void);

/* Try it on the instance that `router` started, with queries of `set`. What the child teaches goes
 * to the running learner: call it when everything else is counted. */
void sona_demo_proof_run(struct sona_demo_proof *ret, const struct sona_tools_router *router,
                         const struct sona_tools_dataset *set);

#endif
