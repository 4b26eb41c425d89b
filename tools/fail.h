/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * One sentence for the person at the terminal: what is wrong and how to mend it.
 */
#ifndef SONA_TOOLS_FAIL_H
#define SONA_TOOLS_FAIL_H

#include <sona/error.h>

/* Fill the diagnostic (null is fine) and return `code`. Text beyond its size is cut. */
sona_err sona_tools_fail(sona_diag *reterr, sona_err code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
