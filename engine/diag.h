/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Filling the caller's diagnostic; a null one is fine. */
#ifndef SONA_ENGINE_DIAG_H
#define SONA_ENGINE_DIAG_H

#include <stdarg.h>
#include <stdio.h>

#include <sona/error.h>

/* Write code and sentence to `ret`, cut at its size, and return the code. */
__attribute__((format(printf, 3, 4))) static inline sona_err
sona_engine_diag(sona_diag *ret, sona_err code, const char *format, ...)
{
    if (ret != NULL) {
        va_list args;

        ret->code = code;
        ret->os_error = 0;
        va_start(args, format);
        vsnprintf(ret->text, sizeof(ret->text), format, args);
        va_end(args);
    }
    return code;
}

#endif
