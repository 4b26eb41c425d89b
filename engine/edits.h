/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* How far two words are from each other: for "did you mean". */
#ifndef SONA_ENGINE_EDITS_H
#define SONA_ENGINE_EDITS_H

#include <stddef.h>

#define SONA_ENGINE_EDITS_MAX 63 /* bytes of `b` that count */

/* Edits (insert, delete, replace) from a to b: Levenshtein's distance. */
size_t sona_engine_edits(const char *a, const char *b);

#endif
