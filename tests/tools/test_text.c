/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The embedding of text: same bytes, same numbers; unit norm; like texts are near. */
#include <math.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tools/random.h"
#include "tools/text.h"

#define DIM SONA_TOOLS_TEXT_DIM

static bool embed(const char *text, float *ret)
{
    return sona_tools_text_embed(text, strlen(text), ret);
}

static double dot(const float *a, const float *b)
{
    double sum = 0;

    for (uint32_t j = 0; j < DIM; j++)
        sum += (double)a[j] * (double)b[j];
    return sum;
}

static double cosine(const char *a, const char *b)
{
    float x[DIM], y[DIM];

    cr_assert(embed(a, x) && embed(b, y));
    return dot(x, y);
}

/* Computed once on x86-64 and again here: another hash or order of additions would show. */
Test(text, the_same_bytes_give_the_same_numbers_on_every_machine)
{
    float x[DIM], y[DIM];
    uint64_t hash = 0;

    cr_assert(embed("real-time strategy game of ancient warfare", x));
    cr_assert(embed("real-time strategy game of ancient warfare", y));
    cr_expect(memcmp(x, y, sizeof x) == 0);
    for (uint32_t j = 0; j < DIM; j++)
        hash = hash * 31 + (uint64_t)(x[j] > 0 ? 2 : x[j] < 0);
    cr_expect(eq(u64, hash, 0x5bf0bc8d1c8c7abb), "signs hash to %#llx", (unsigned long long)hash);
}

Test(text, every_embedding_has_unit_norm)
{
    struct sona_tools_random random = sona_tools_random_init(2026, 1);
    float x[DIM];

    for (int round = 0; round < 300; round++) {
        char text[400];
        uint32_t n = 1 + sona_tools_random_below(&random, sizeof text - 1);

        for (uint32_t i = 0; i < n; i++)
            text[i] = (char)sona_tools_random_below(&random, 256); /* any bytes, NUL too */
        if (sona_tools_text_embed(text, n, x))
            cr_expect(fabs(dot(x, x) - 1) < 1e-5, "round %d of seed 2026", round);
    }
}

Test(text, a_text_without_a_word_has_no_direction)
{
    float x[DIM];

    memset(x, 0x7f, sizeof x);
    cr_expect(not(embed("", x)));
    cr_expect(eq(dbl, dot(x, x), 0));
    cr_expect(not(embed(" ,.;:-!\n\t", x)));
    cr_expect(not(embed("of the and", x)), "common words alone say nothing");
}

Test(text, case_does_not_matter_and_bytes_above_127_do)
{
    cr_expect(cosine("Chess Game", "chess game") > 0.9999);
    cr_expect(cosine("caf\xc3\xa9 bar", "caf\xc3\xa8 bar") < 0.95);
}

Test(text, texts_on_one_topic_are_nearer_than_others)
{
    const char *chess = "chess program that plays against the computer";
    const char *also_chess = "play chess against strong computer opponents";
    const char *mail = "mail transport agent with spam filter";

    cr_expect(cosine(chess, also_chess) > cosine(chess, mail) + 0.2, "%f against %f",
              cosine(chess, also_chess), cosine(chess, mail));
    cr_expect(fabs(cosine(chess, mail)) < 0.35);
}

Test(text, a_repeated_word_does_not_drown_the_rest)
{
    char refrain[2000] = "tetris";

    for (int i = 0; i < 100; i++)
        (void)strcat(refrain, " data");
    cr_expect(cosine(refrain, "tetris") > 0.15);
}

Test(text, what_lies_beyond_the_limit_does_not_count)
{
    static char long_text[SONA_TOOLS_TEXT_MAX + 5000];
    float x[DIM], y[DIM];

    for (size_t i = 0; i < sizeof long_text; i++)
        long_text[i] = (char)('a' + i * i % 23);
    for (size_t i = 9; i < sizeof long_text; i += 10)
        long_text[i] = ' ';
    cr_assert(sona_tools_text_embed(long_text, SONA_TOOLS_TEXT_MAX, x));
    cr_assert(sona_tools_text_embed(long_text, sizeof long_text, y));
    cr_expect(memcmp(x, y, sizeof x) == 0);
    memset(long_text, 'a', sizeof long_text); /* one word as long as the limit */
    cr_expect(sona_tools_text_embed(long_text, sizeof long_text, x));
    for (size_t i = 0; i < sizeof long_text; i++) /* as many words as fit */
        long_text[i] = i % 2 ? ' ' : 'z';
    cr_expect(sona_tools_text_embed(long_text, sizeof long_text, x));
}
