/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The completion of sonactl for bash, from the tables of its commands and options. */
#ifndef SONA_TOOLS_COMPLETION_H
#define SONA_TOOLS_COMPLETION_H

#include <argp.h>
#include <stdbool.h>
#include <stdio.h>

/* `options`: all of them, an empty row behind the last. False: it could not be written. */
bool sona_tools_completion_print(const struct argp_option *options, FILE *to);

#endif
