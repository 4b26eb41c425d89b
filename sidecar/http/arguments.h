/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The body of a command's request: one JSON object, whose keys are the row's arguments. */
#ifndef SONA_SIDECAR_HTTP_ARGUMENTS_H
#define SONA_SIDECAR_HTTP_ARGUMENTS_H

#include "shm/control.h"

/* What a body says, over the built-in values of what it does not. SONA_E_FORMAT, SONA_E_ARGUMENT,
 * SONA_E_RANGE, one sentence each. Pure. */
sona_err sona_http_arguments_read(const struct sona_control_command *row, const char *text,
                                  size_t bytes, struct sona_control_request *ret,
                                  sona_diag *reterr);

#endif
