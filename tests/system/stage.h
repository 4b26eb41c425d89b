/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A private sona-sidecar for one test, and waiting for what it says about itself. Nothing here
 * sleeps in hope: every wait is for a condition, with a limit after which the test fails.
 */
#ifndef SONA_TESTS_SYSTEM_STAGE_H
#define SONA_TESTS_SYSTEM_STAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <jansson.h>

#include <sona/client.h>
#include <sona/stats.h>

#include "tools/spawn.h"

#define STAGE_LIMIT_MS 30000u
#define STAGE_DIM      16u

#define STAGE_ARGS_MAX 24

struct stage {
    struct sona_spawn spawn;
    const char *args[STAGE_ARGS_MAX];  /* null-terminated */
    int own_args;                      /* of them, those that every start has */
    char state_dir[48], state_arg[64]; /* "": it keeps nothing */
};

/* Start a sidecar of 16 dimensions and 3 routes, and `more` arguments (null-terminated, or null).
 */
void stage_open(struct stage *stage, const char *const *more);
/* The same with a state directory of its own. */
void stage_open_kept(struct stage *stage, const char *const *more);
/* Start again with the same names and arguments, after sona_spawn_kill(); with other arguments in
 * the place of `more`, too. */
void stage_reopen(struct stage *stage);
void stage_reopen_with(struct stage *stage, const char *const *more);
/* Stop it, and keep everything for stage_reopen(); fails the test unless it ended with 0. */
void stage_stop(struct stage *stage);
/* Stop it, and start it again likewise. */
void stage_restart(struct stage *stage);
/* Stop it, and remove what it kept; fails the test unless it ended with status 0. */
void stage_close(struct stage *stage);

/* A client of that sidecar with `lanes` lanes. */
sona_client *stage_client(const struct stage *stage, uint32_t lanes);
sona_lane *stage_lane(sona_client *client);
/* A unit vector of STAGE_DIM floats, different for each n. */
void stage_query(uint64_t n, float ret[STAGE_DIM]);

/* Ask once; the caller decrefs. */
json_t *stage_status(const struct stage *stage);
json_t *stage_stats(const struct stage *stage);
uint64_t stage_counter(const struct stage *stage, const char *name);
/* Does its journal wait for the disk, and learning for the journal? */
bool stage_waits(const struct stage *stage);
/* Wait until that is so, or is not. */
void stage_await_waits(const struct stage *stage, bool yes);
/* Wait until the counter (or gauge) reaches `value`; returns what it is then. */
uint64_t stage_await(const struct stage *stage, const char *name, uint64_t value);

/* No file of the sidecar grows beyond so much, as on a full disk; UINT64_MAX: there is room again.
 */
void stage_limit_files(const struct stage *stage, uint64_t bytes);

/* Run sonactl on this instance; returns its exit status and what it printed. */
int stage_sonactl(const struct stage *stage, const char *arguments, char *ret, size_t size);

uint64_t stage_now_ms(void);
/* A short wait between two looks at a condition. */
void stage_pause(void);

#endif
