/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What a sidecar answered, laid out for reading on stdout. What is not there reads as nothing. */
#ifndef SONA_TOOLS_ANSWER_H
#define SONA_TOOLS_ANSWER_H

#include <stdint.h>

#include <jansson.h>

/* `what` was asked: enum sona_control_what. */
void sona_tools_answer_print(uint32_t what, const json_t *answer);

#endif
