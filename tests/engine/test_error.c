/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Names, texts and remedies; names of counters; the version. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <sona/error.h>
#include <sona/stats.h>
#include <sona/version.h>

static const sona_err every[] = {
#define VALUE(name, value, text, remedy) SONA_##name,
    SONA_ERRORS(VALUE)
#undef VALUE
};
#define EVERY (sizeof(every) / sizeof(every[0]))

Test(error, each_name_is_the_symbol)
{
    cr_assert(eq(str, (char *)sona_err_name(SONA_OK), "SONA_OK"));
    cr_assert(eq(str, (char *)sona_err_name(SONA_E_SHAPE), "SONA_E_SHAPE"));
    cr_assert(eq(str, (char *)sona_err_name(SONA_E_TIMEOUT), "SONA_E_TIMEOUT"));
    for (size_t i = 0; i < EVERY; i++)
        for (size_t j = 0; j < i; j++)
            cr_assert(ne(str, (char *)sona_err_name(every[i]), (char *)sona_err_name(every[j])));
}

Test(error, values_are_those_of_the_abi)
{
    for (size_t i = 0; i < EVERY; i++)
        cr_assert(eq(int, (int)every[i], (int)i), "errors are appended, never renumbered");
    cr_assert(eq(int, SONA_E_NOT_FINITE, 3));
    cr_assert(eq(int, SONA_E_UNKNOWN_ID, 21));
}

Test(error, every_error_has_a_text_and_a_remedy)
{
    for (size_t i = 0; i < EVERY; i++) {
        cr_assert(gt(sz, strlen(sona_err_text(every[i])), 0));
        cr_assert(eq(int, strlen(sona_err_remedy(every[i])) == 0, every[i] == SONA_OK),
                  "%s: only success needs no remedy", sona_err_name(every[i]));
        cr_assert(zero(ptr, strchr(sona_err_text(every[i]), '\n')));
    }
}

Test(error, a_value_of_another_version_has_an_answer)
{
    static const int strange[] = {-1, EVERY, 1000};

    for (size_t i = 0; i < 3; i++) {
        cr_assert(eq(str, (char *)sona_err_name((sona_err)strange[i]), "SONA_E_?"));
        cr_assert(gt(sz, strlen(sona_err_text((sona_err)strange[i])), 0));
        cr_assert(gt(sz, strlen(sona_err_remedy((sona_err)strange[i])), 0));
    }
}

Test(stats, every_counter_has_its_own_name_and_help)
{
    for (int i = 0; i < SONA_COUNTER_COUNT; i++) {
        cr_assert(gt(sz, strlen(sona_counter_help((sona_counter)i)), 0));
        for (int j = 0; j < i; j++) {
            cr_assert(ne(str, (char *)sona_counter_name((sona_counter)i),
                         (char *)sona_counter_name((sona_counter)j)));
            cr_assert(ne(str, (char *)sona_counter_help((sona_counter)i),
                         (char *)sona_counter_help((sona_counter)j)));
        }
    }
    cr_assert(eq(str, (char *)sona_counter_name(SONA_COUNTER_drop_duplicate), "drop_duplicate"));
    cr_assert(eq(str, (char *)sona_counter_name(SONA_COUNTER_COUNT), "?"));
}

Test(version, text_and_numbers_agree)
{
    char text[32];

    snprintf(text, sizeof(text), "%d.%d.%d", SONA_VERSION_MAJOR, SONA_VERSION_MINOR,
             SONA_VERSION_PATCH);
    cr_assert(eq(str, (char *)sona_version(), text));
    cr_assert(eq(str, (char *)sona_version(), SONA_VERSION));
}
