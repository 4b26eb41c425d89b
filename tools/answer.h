/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What a sidecar answered, laid out for reading on stdout. What is not there reads as nothing. */
#ifndef SONA_TOOLS_ANSWER_H
#define SONA_TOOLS_ANSWER_H

#include <stdint.h>

#include <jansson.h>

/* query: enum sona_wire_query, or 0 after `command` (enum sona_wire_command_what). */
void sona_tools_answer_print(uint32_t query, uint32_t command, const json_t *answer);

#endif
