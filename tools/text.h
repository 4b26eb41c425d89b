/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Text to embedding, without a model: signed feature hashing.
 *
 * The text is cut into words (runs of ASCII letters, digits and bytes above 127, lower-cased in
 * ASCII). Three kinds of features are counted: words, pairs of neighbouring words, and the 4-grams
 * of bytes in "<word>". Very common English words count as neither. A feature that occurs c times
 * weighs its kind's weight times 1 + ln c, so that a long text is not ruled by its refrain. Each
 * feature is hashed to one of 256 places and to a sign; what lands on one place is added up, and
 * the vector is scaled to unit norm. Unrelated texts meet with random signs and cancel on average.
 *
 * It is deterministic, needs no table and no locale, and takes any bytes. It is good enough to tell
 * topics apart; a router that has a sentence encoder should use that.
 */
#ifndef SONA_TOOLS_TEXT_H
#define SONA_TOOLS_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#define SONA_TOOLS_TEXT_DIM 256u
#define SONA_TOOLS_TEXT_MAX 4096u /* bytes read of a text; what follows does not count */

/* Embed n bytes into SONA_TOOLS_TEXT_DIM floats. False when there is no word in the text: then
 * there is no direction either, and `ret` is all zeros. */
bool sona_tools_text_embed(const char *text, size_t n, float *ret);

#endif
