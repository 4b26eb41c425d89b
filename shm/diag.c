/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See diag.h. */
#include "shm/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

sona_err sona_shm_diag_set(sona_diag *ret, sona_err code, int os_error, const char *format, ...)
{
    if (!ret)
        return code;
    ret->code = code;
    ret->os_error = os_error;

    va_list args;
    va_start(args, format);
    int n = vsnprintf(ret->text, sizeof ret->text, format, args);
    va_end(args);
    if (n < 0)
        ret->text[0] = '\0';
    if (os_error != 0 && n >= 0 && (size_t)n < sizeof ret->text) {
        char buffer[96]; /* strerror_r (GNU): may or may not use it; thread-safe either way */
        const char *text = strerror_r(os_error, buffer, sizeof buffer);

        (void)snprintf(ret->text + n, sizeof ret->text - (size_t)n, " (%s)", text);
    }
    for (char *c = ret->text; *c != '\0'; c++)
        if (*c == '\n')
            *c = ' ';
    return code;
}
