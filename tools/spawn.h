/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A private sona-sidecar as a child process: for the demo, the replay and the tests, so that none
 * of them ever meets another instance. The child stops when the thread that started it ends
 * (PR_SET_PDEATHSIG), cleanly, so that it leaves nothing behind either.
 */
#ifndef SONA_TOOLS_SPAWN_H
#define SONA_TOOLS_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#include <sona/error.h>

struct sona_spawn {
    pid_t pid; /* 0: not running */
    char instance[64];
    char runtime_dir[96];
    bool own_dir; /* the directory was made here and is removed at stop */
    int log_fd;   /* what it wrote to stderr, in memory */
};

#define SONA_SPAWN_ARGS_MAX 64 /* arguments of a caller */

/* Start `<path> --instance I --runtime-dir D <args...>` and wait until it is ready (its
 * --ready-fd), or failed: then the diagnostic carries the first line it printed on stderr. path
 * null: $SONA_SIDECAR if set, else the one beside the running executable or in the build tree, else
 * from PATH. runtime_dir null: a new private directory. instance null: "private-<pid>-<n>"; "":
 * those that the configuration names, and no `--instance`. args: null-terminated, may be null.
 * SONA_E_ABSENT (no such program), SONA_E_RANGE, SONA_E_LIMIT, SONA_E_TIMEOUT, SONA_E_SYSTEM (also
 * when the child failed). */
sona_err sona_spawn_start(struct sona_spawn *ret, const char *path, const char *instance,
                          const char *runtime_dir, const char *const *args, sona_diag *reterr);
/* SIGTERM and wait; SIGKILL after 5 s. Returns the wait status, -1 if it was not running. Removes
 * what start made, also after sona_spawn_kill() without a restart. When it did not end well, what
 * it had logged goes to our stderr. */
int sona_spawn_stop(struct sona_spawn *spawn);
/* SIGKILL and wait; the runtime directory stays for a restart with the same names. */
void sona_spawn_kill(struct sona_spawn *spawn);

#endif
