/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Signed feature hashing (see text.h). The weights of the three kinds were chosen on package
 * descriptions, with rows that no reported figure uses.
 */
#include "tools/text.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A text of n bytes has at most n / 2 + 1 words, as many pairs, and one 4-gram per byte. */
#define FEATURES_MAX (2 * SONA_TOOLS_TEXT_MAX + 8)
#define GRAM         4u

enum kind { WORD, PAIR, GRAMS, KINDS };

static const float kind_weight[KINDS] = {1.0f, 0.25f, 0.7f};

/* Words that say nothing about a topic. */
static const char *const common[] = {
    "a",  "an",  "and", "are", "as", "at",   "be",  "by",   "for", "from", "in",  "into", "is",
    "it", "its", "of",  "on",  "or", "that", "the", "this", "to",  "with", "you", "your"};

struct features {
    uint64_t hash[FEATURES_MAX]; /* kind in the low two bits */
    uint32_t count;
};

struct word {
    const unsigned char *bytes; /* lower-cased, between '<' and '>' in the working copy */
    uint32_t length;
};

static uint64_t hash_bytes(uint64_t h, const unsigned char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ bytes[i]) * 0x510e527fade682d1ull;
    return h;
}

/* Spread the entropy over all bits: place and sign are taken from both ends. */
static uint64_t finish(uint64_t h)
{
    h = (h ^ h >> 31) * 0x9b05688c2b3e6c1full;
    h = (h ^ h >> 28) * 0x1f83d9abfb41bd6bull;
    return h ^ h >> 32;
}

static void add(struct features *features, enum kind kind, uint64_t h)
{
    if (features->count < FEATURES_MAX)
        features->hash[features->count++] = (finish(h + kind) & ~3ull) | kind;
}

/* Lower-case of a byte that belongs to a word, 0 for one that does not. */
static unsigned char word_byte(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return (unsigned char)(c - 'A' + 'a');
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c >= 0x80 ? c : 0;
}

static bool is_common(const struct word *word)
{
    for (size_t i = 0; i < sizeof common / sizeof *common; i++)
        if (strlen(common[i]) == word->length && memcmp(common[i], word->bytes, word->length) == 0)
            return true;
    return false;
}

static void add_word(struct features *features, const struct word *word,
                     const struct word *previous)
{
    const unsigned char *framed = word->bytes - 1; /* "<word>" */

    add(features, WORD, hash_bytes(1, word->bytes, word->length));
    if (previous->length != 0) {
        uint64_t h = hash_bytes(2, previous->bytes, previous->length);

        add(features, PAIR, hash_bytes(h * 3, word->bytes, word->length));
    }
    for (uint32_t i = 0; i + GRAM <= word->length + 2; i++)
        add(features, GRAMS, hash_bytes(3, framed + i, GRAM));
}

/* Cut the text into words, framing each as "<word>" in `copy` (three bytes for each of the text are
 * enough), and collect their features. */
static void collect(const char *text, size_t n, unsigned char *copy, struct features *features)
{
    struct word previous = {NULL, 0};
    size_t used = 0;

    features->count = 0;
    for (size_t i = 0; i < n;) {
        struct word word = {copy + used + 1, 0};

        copy[used] = '<';
        for (; i < n && word_byte((unsigned char)text[i]) != 0; i++)
            copy[used + 1 + word.length++] = word_byte((unsigned char)text[i]);
        if (word.length == 0) {
            i++;
            continue;
        }
        copy[used + 1 + word.length] = '>';
        used += word.length + 2;
        if (is_common(&word))
            continue;
        add_word(features, &word, &previous);
        previous = word;
    }
}

static int by_hash(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

bool sona_tools_text_embed(const char *text, size_t n, float *ret)
{
    unsigned char copy[3 * SONA_TOOLS_TEXT_MAX + 2];
    struct features features;
    double sum[SONA_TOOLS_TEXT_DIM] = {0};
    double square = 0;

    collect(text, n < SONA_TOOLS_TEXT_MAX ? n : SONA_TOOLS_TEXT_MAX, copy, &features);
    /* Sorting brings equal features together, and fixes the order of the additions. */
    qsort(features.hash, features.count, sizeof *features.hash, by_hash);
    for (uint32_t i = 0; i < features.count;) {
        uint64_t h = features.hash[i];
        uint32_t end = i;
        double weight;

        while (end < features.count && features.hash[end] == h)
            end++;
        weight = (double)kind_weight[h & 3] * (1 + log(end - i));
        sum[h >> 56] += h & 4 ? weight : -weight;
        i = end;
    }
    for (uint32_t j = 0; j < SONA_TOOLS_TEXT_DIM; j++)
        square += sum[j] * sum[j];
    for (uint32_t j = 0; j < SONA_TOOLS_TEXT_DIM; j++)
        ret[j] = square > 0 ? (float)(sum[j] / sqrt(square)) : 0;
    return square > 0;
}
