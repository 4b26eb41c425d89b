/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A file of JSON lines to a running sidecar, in parts of a size that it takes at once, each with
 * the file's first line before it. A part is taken as a whole or not at all.
 */
#ifndef SONA_TOOLS_LINES_H
#define SONA_TOOLS_LINES_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>
#include <sona/error.h>

#include "shm/control.h"

struct sona_tools_lines {
    const char *runtime_dir, *instance; /* null: the defaults */
    const struct sona_control_command *command;
    const char *file; /* null: stdin, stdout */
};

/*
 * Send it, with a bar on a terminal where it takes long, and return the answers as one object:
 * counts are summed, the rest is as it was said last. Lines that the sidecar refuses and goes on
 * are named on stderr as FILE:LINE. SONA_E_SYSTEM, or what a part was refused for: the text begins
 * with FILE:LINE then, and says what was taken before.
 */
sona_err sona_tools_lines_import(const struct sona_tools_lines *ask, json_t **ret,
                                 sona_diag *reterr);

/*
 * Write what the journal of a running sidecar says, page by page, into a new file (null: stdout),
 * and say how much it was. from, to: positions; 0: the first, the last. SONA_E_SYSTEM, or what
 * sona_tools_ask_page() says; no file is left then.
 */
sona_err sona_tools_lines_export(const struct sona_tools_lines *ask, uint64_t from, uint64_t to,
                                 json_t **ret, sona_diag *reterr);

#endif
