/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "tools/fail.h"

#include <stdarg.h>
#include <stdio.h>

sona_err sona_tools_fail(sona_diag *reterr, sona_err code, const char *format, ...)
{
    if (reterr != NULL) {
        va_list args;

        reterr->code = code;
        reterr->os_error = 0;
        va_start(args, format);
        (void)vsnprintf(reterr->text, sizeof reterr->text, format, args);
        va_end(args);
    }
    return code;
}
