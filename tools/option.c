/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See option.h. */
#include "tools/option.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <sona/version.h>

#include "tools/fail.h"

sona_err sona_tools_option_next(const char *program, int argc, char **argv,
                                const struct option *known, int *ret_id, sona_diag *reterr)
{
    opterr = 0;
    int id = getopt_long(argc, argv, ":", known, NULL);

    if (id == '?' || id == ':')
        return sona_tools_fail(reterr, SONA_E_ARGUMENT, "%.60s %s; see %s --help", argv[optind - 1],
                               id == ':' ? "needs a value" : "is not an option", program);
    *ret_id = id;
    return SONA_OK;
}

int sona_tools_option_shown(const char *program)
{
    errno = 0; /* an earlier write may have failed, and nobody knows why */
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    (void)fprintf(stderr, "%s: cannot write to standard output%s%s\n", program,
                  errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
    return 1;
}

int sona_tools_option_version(const char *program)
{
    (void)printf("%s %s\n", program, SONA_VERSION);
    return sona_tools_option_shown(program);
}
