/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Filling a sona_diag: one sentence, no newline, never more than its buffer. Libraries do not log;
 * this is how they speak.
 */
#ifndef SONA_SHM_DIAG_H
#define SONA_SHM_DIAG_H

#include <sona/error.h>

/* Write code and sentence into `ret` (may be null) and return `code`. With `os_error` other than 0
 * its text is appended in brackets. */
__attribute__((format(printf, 4, 5))) sona_err
sona_shm_diag_set(sona_diag *ret, sona_err code, int os_error, const char *format, ...);

#endif
