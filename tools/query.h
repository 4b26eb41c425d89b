/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Ask a running sidecar one question over its socket, or tell it to do something; it answers in
 * JSON.
 */
#ifndef SONA_TOOLS_QUERY_H
#define SONA_TOOLS_QUERY_H

#include <stdint.h>

#include <sona/error.h>

/* Ask (`what`: enum sona_wire_query) and return the answer as text that the caller frees.
 * SONA_E_ABSENT, SONA_E_PERMISSION, SONA_E_TIMEOUT, SONA_E_ABI, SONA_E_FORMAT, SONA_E_MEMORY, or
 * the sidecar's own refusal. runtime_dir null: the default; instance null: "default". */
sona_err sona_tools_query(const char *runtime_dir, const char *instance, uint32_t what,
                          char **ret_json, sona_diag *reterr);

/* Have a command carried out; its answer comes when the change is published. As above. */
struct sona_wire_command;
sona_err sona_tools_command(const char *runtime_dir, const char *instance,
                            const struct sona_wire_command *command, char **ret_json,
                            sona_diag *reterr);

#endif
