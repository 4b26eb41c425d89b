/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Files between a running sidecar and this side: what it exports, and what it is to import. */
#ifndef SONA_TOOLS_TRANSFER_H
#define SONA_TOOLS_TRANSFER_H

#include <stddef.h>

#include <sona/error.h>

#include "shm/control.h"

/* Write what the command exports into a new file; null: to stdout, which must be no terminal.
 * SONA_E_SYSTEM, SONA_E_RANGE, or what sona_tools_ask_file() says; no file is left then. */
sona_err sona_tools_export(const char *runtime_dir, const char *instance,
                           const struct sona_control_command *command, const char *file,
                           size_t *ret_bytes, sona_diag *reterr);
/* Send a file (null: stdin), and return the answer, JSON that the caller frees. */
sona_err sona_tools_import(const char *runtime_dir, const char *instance,
                           const struct sona_control_command *command, const char *file,
                           char **ret_json, sona_diag *reterr);

#endif
