/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See edits.h. */
#include "engine/edits.h"

#include <string.h>

/* One row of the table at a time. */
size_t sona_engine_edits(const char *a, const char *b)
{
    size_t row[SONA_ENGINE_EDITS_MAX + 1];
    size_t length = strnlen(b, SONA_ENGINE_EDITS_MAX);

    for (size_t j = 0; j <= length; j++)
        row[j] = j;
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t diagonal = row[0];

        row[0] = i + 1;
        for (size_t j = 0; j < length; j++) {
            size_t best = diagonal + (a[i] != b[j]);

            diagonal = row[j + 1];
            if (row[j + 1] + 1 < best)
                best = row[j + 1] + 1;
            if (row[j] + 1 < best)
                best = row[j] + 1;
            row[j + 1] = best;
        }
    }
    return row[length];
}
