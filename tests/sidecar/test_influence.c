/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* One client among many gets its share, and one alone gets everything. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "sidecar/influence.h"
#include "tools/random.h"

enum { VOICES = 10 };

/* `n` words of one voice; returns how many were taken. */
static uint64_t say(struct sona_sidecar_influence *in, struct sona_sidecar_voice *v, uint64_t n,
                    uint64_t now_ms)
{
    uint64_t taken = 0;

    while (n-- > 0)
        taken += sona_sidecar_influence_word(in, v, now_ms);
    return taken;
}

Test(influence, of_a_client_that_is_alone_is_never_capped)
{
    struct sona_sidecar_influence in = {.cap = 1};
    struct sona_sidecar_voice voice = {0}, idle = {0};

    cr_expect(eq(u64, say(&in, &voice, 100000, 1), 100000));
    (void)say(&in, &idle, 1, 2);
    cr_expect(eq(u64, say(&in, &voice, 100000, 3), 100000), "one other says nothing, nearly");
}

Test(influence, of_few_clients_is_not_capped_whatever_they_say)
{
    struct sona_sidecar_influence in = {.cap = 4};
    struct sona_sidecar_voice voice[5] = {{0}};

    for (int k = 0; k < 5; k++)
        cr_expect(eq(u64, say(&in, &voice[k], k == 0 ? 100000 : 1, 1), k == 0 ? 100000u : 1u));
    cr_expect(eq(u64, say(&in, &voice[0], 100000, 1), 100000));
}

Test(influence, of_equals_is_not_capped)
{
    struct sona_sidecar_influence in = {.cap = 1};
    struct sona_sidecar_voice voice[VOICES] = {{0}};
    uint64_t refused = 0;

    for (int round = 0; round < 10000; round++)
        for (int k = 0; k < VOICES; k++)
            refused += !sona_sidecar_influence_word(&in, &voice[k], 1);
    cr_expect(le(u64, refused, 4 * VOICES), "%llu of 100000 words", (unsigned long long)refused);
}

/* The bound of influence.h, over every stretch that begins with the stream, in random order. */
Test(influence, of_one_among_many_is_bounded_by_the_mean_of_the_others)
{
    struct sona_tools_random random = sona_tools_random_init(1122, 1);

    cr_log_info("seed 1122");
    for (uint32_t cap = 1; cap < 9; cap += 3) {
        struct sona_sidecar_influence in = {.cap = cap};
        struct sona_sidecar_voice voice[VOICES] = {{0}};
        uint64_t taken[VOICES] = {0}, others = 0;

        for (int k = 0; k < VOICES; k++)
            (void)say(&in, &voice[k], 1, 1); /* all of them are there */
        for (int n = 0; n < 200000; n++) {
            uint32_t k = sona_tools_random_below(&random, 40);

            k = k < VOICES ? k : 0; /* three quarters of all words are the first one's */
            uint64_t heard = say(&in, &voice[k], 1, 1);
            taken[k] += heard;
            others += k != 0 ? heard : 0;
            double most = SONA_SIDECAR_BURST + cap * (double)others / (VOICES - 1) + 1;
            cr_assert(le(dbl, (double)taken[0], most));
        }
        cr_expect(ge(u64, others, cap == 1 ? 25000u : 42000u), "of 45000 %llu were heard at once",
                  (unsigned long long)others);
        cr_expect(ge(dbl, (double)taken[0], 0.9 * cap * (double)others / (VOICES - 1)));
    }
}

Test(influence, is_not_renewed_by_coming_again)
{
    struct sona_sidecar_influence in = {.cap = 2};
    struct sona_sidecar_voice voice[VOICES] = {{0}}, hostile = {0};
    uint64_t taken = 0;

    for (int k = 0; k < VOICES; k++)
        (void)say(&in, &voice[k], 10, 1);
    for (int n = 0; n < 1000; n++) {
        taken += say(&in, &hostile, 100, 1);
        sona_sidecar_influence_leave(&in, &hostile);
        hostile = (struct sona_sidecar_voice){0};
    }
    cr_expect(eq(u64, taken, 0), "nobody else spoke meanwhile");
    cr_expect(eq(u32, in.voices, VOICES));
}

Test(influence, of_many_that_end_at_once_is_not_capped)
{
    struct sona_sidecar_influence in = {.cap = 2};
    struct sona_sidecar_voice voice[VOICES] = {{0}};

    for (int k = 0; k < VOICES; k++)
        (void)say(&in, &voice[k], 10, 1);
    for (int k = 0; k < VOICES; k++)
        sona_sidecar_influence_end(&in, &voice[k]);
    for (int k = 0; k < VOICES; k++)
        cr_expect(eq(u64, say(&in, &voice[k], 1000, 1), 1000), "what it left behind");
    cr_expect(eq(u32, in.voices, 0));
}

Test(influence, does_not_count_those_who_are_silent)
{
    struct sona_sidecar_influence in = {.cap = 2};
    struct sona_sidecar_voice voice[VOICES] = {{0}};
    uint64_t late = SONA_SIDECAR_SILENT_MS + 2;

    for (int k = 0; k < VOICES; k++)
        (void)say(&in, &voice[k], 1, 1);
    (void)say(&in, &voice[0], 10000, 1);
    cr_expect(eq(u64, say(&in, &voice[0], 100, 1), 0));
    for (int k = 1; k < VOICES; k++)
        sona_sidecar_influence_fade(&in, &voice[k], late);
    cr_expect(eq(u64, say(&in, &voice[0], 100, late), 100), "the others went home");
    for (int k = 1; k < VOICES; k++)
        sona_sidecar_influence_leave(&in, &voice[k]);
    cr_expect(eq(u32, in.voices, 1));
}
