/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Walking a command line of long options, with the same words for the same mistakes everywhere. */
#ifndef SONA_TOOLS_OPTION_H
#define SONA_TOOLS_OPTION_H

#include <getopt.h>

#include <sona/error.h>

/* The next option's id in *ret_id, its value in optarg; -1 after the last, optind then names what
 * is left over. Set optind to 0 before the first call. SONA_E_ARGUMENT: not an option of `known`,
 * or without its value. */
sona_err sona_tools_option_next(const char *program, int argc, char **argv,
                                const struct option *known, int *ret_id, sona_diag *reterr);

/* The exit status after --help: 1, and a sentence on stderr, if stdout did not take it. */
int sona_tools_option_shown(const char *program);
/* Print what --version says. The exit status. */
int sona_tools_option_version(const char *program);

#endif
