/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* A restart in the middle of a run: every engine is saved, destroyed and loaded. */
#ifndef SONA_TOOLS_REPLAY_RESUME_H
#define SONA_TOOLS_REPLAY_RESUME_H

#include <stddef.h>

#include "tools/router.h"

struct sona_replay_resumed {
    size_t bytes;            /* of all states; 0: there was no restart */
    double save_ns, load_ns; /* for all of them */
};

/* Embedded learners only. The diagnostic says what failed. */
sona_err sona_replay_resume(struct sona_tools_router *router, struct sona_replay_resumed *ret,
                            sona_diag *reterr);

#endif
