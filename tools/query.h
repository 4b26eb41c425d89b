/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Ask a running sidecar one question over its control socket, or tell it to do something; it
 * answers in JSON.
 */
#ifndef SONA_TOOLS_QUERY_H
#define SONA_TOOLS_QUERY_H

#include <stddef.h>
#include <stdint.h>

#include <sona/error.h>

#include "shm/control.h"

/* Ask, and return the answer as text that the caller frees. A command is answered when its change
 * is published. SONA_E_ABSENT (also: it is stopped), SONA_E_PERMISSION, SONA_E_TIMEOUT, SONA_E_ABI,
 * SONA_E_FORMAT, SONA_E_MEMORY, SONA_E_RANGE for an argument that no body can carry, or the
 * sidecar's own refusal. runtime_dir null: the default; instance null: "default". */
sona_err sona_tools_ask(const char *runtime_dir, const char *instance,
                        const struct sona_control_request *request, char **ret_json,
                        sona_diag *reterr);
/* The same for what has a file in the place of JSON: it sends `file` (null: none), and returns what
 * comes back and how long it is. */
sona_err sona_tools_ask_file(const char *runtime_dir, const char *instance,
                             const struct sona_control_command *command, const void *file,
                             size_t file_bytes, char **ret, size_t *ret_bytes, sona_diag *reterr);
/* The same for a page of what is larger: `query` follows the path, as in "from=7". */
sona_err sona_tools_ask_page(const char *runtime_dir, const char *instance,
                             const struct sona_control_command *command, const char *query,
                             char **ret, size_t *ret_bytes, sona_diag *reterr);
/* The same for what takes no argument. */
sona_err sona_tools_query(const char *runtime_dir, const char *instance, uint32_t what,
                          char **ret_json, sona_diag *reterr);

#endif
