/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The table of commands: what can be found in it, what a row of it is read as, and what not. */
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "shm/control.h"

Test(control, each_command_is_found_by_its_number_and_others_are_not)
{
    uint32_t n = 0;

    for (const struct sona_control_command *c; (c = sona_control_command_at(n)) != NULL; n++)
        cr_expect(
            eq(ptr, (void *)(uintptr_t)sona_control_command_of(c->what), (void *)(uintptr_t)c),
            "%s", c->words);
    cr_expect(gt(u32, n, 20));
    cr_expect(eq(ptr, (void *)(uintptr_t)sona_control_command_of(9999), NULL));
    cr_expect(eq(ptr, (void *)(uintptr_t)sona_control_argument_at(9999), NULL));
}

Test(control, what_changes_nothing_is_got_and_the_rest_is_posted)
{
    static const uint32_t reads[] = {SONA_CONTROL_EWC, SONA_CONTROL_EXPORT_ADAPTERS,
                                     SONA_CONTROL_EXPORT_PATTERNS, SONA_CONTROL_EXPORT_DECISIONS};
    const struct sona_control_command *c;

    for (uint32_t n = 0; (c = sona_control_command_at(n)) != NULL; n++) {
        bool get = c->class == SONA_CONTROL_QUERY;

        for (size_t i = 0; i < sizeof reads / sizeof reads[0]; i++)
            get = get || c->what == reads[i];
        cr_expect(eq(str, (char *)(uintptr_t)sona_control_method(c), get ? "GET" : "POST"), "%s",
                  c->words);
    }
}

Test(control, arguments_come_in_order_and_end)
{
    const struct sona_control_command *add = sona_control_command_of(SONA_CONTROL_ROUTE_ADD);
    static const char *const keys[] = {"name", "cost", "prior_quality", "prior_weight"};
    bool needed;

    for (uint32_t n = 0; n < 4; n++) {
        const struct sona_control_argument *a = sona_control_argument_of(add, n, &needed);

        cr_assert(ne(ptr, (void *)(uintptr_t)a, NULL));
        cr_expect(eq(str, (char *)(uintptr_t)a->key, (char *)(uintptr_t)keys[n]));
        cr_expect(eq(int, needed, n == 0));
    }
    for (uint32_t n = 4; n < 8; n++)
        cr_expect(eq(ptr, (void *)(uintptr_t)sona_control_argument_of(add, n, &needed), NULL));
    cr_expect(sona_control_word_is_argument(add, 2));
    cr_expect(not(sona_control_word_is_argument(add, 1)));
    cr_expect(not(sona_control_word_is_argument(add, 3)), "there is none");
}

/* A row that somebody adds to the table: digits, an argument that is in no table, and a path that
 * is longer than a path may be. */
Test(control, a_row_that_is_wrong_is_read_within_its_bounds)
{
    const struct sona_control_command row = {
        .words = "2nd NOBODY "
                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa end",
        .options = "nothing"};
    char path[SONA_CONTROL_PATH_MAX];
    bool needed;

    cr_expect(not(sona_control_word_is_argument(&row, 0)));
    cr_expect(eq(ptr, (void *)(uintptr_t)sona_control_argument_of(&row, 0, &needed), NULL));
    cr_expect(needed);
    cr_expect(eq(ptr, (void *)(uintptr_t)sona_control_argument_of(&row, 1, &needed), NULL));
    cr_expect(not(needed));
    sona_control_path(&row, path);
    cr_expect(eq(str, path, "/v1/2nd/end"));
}

Test(control, names_of_routes_are_judged)
{
    static const char *const bad[] = {"", "a b", "a,b", "a:b", "a\x7f", "\xc3\xa4", "a\n"};
    char longer[SONA_ROUTE_NAME_MAX + 1];

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect(not(sona_control_name_ok(bad[i])), "case %zu", i);
    memset(longer, '~', sizeof longer);
    longer[SONA_ROUTE_NAME_MAX] = '\0';
    cr_expect(not(sona_control_name_ok(longer)));
    longer[SONA_ROUTE_NAME_MAX - 1] = '\0';
    cr_expect(sona_control_name_ok(longer));
    cr_expect(sona_control_name_ok("!"));
}

Test(control, modes_have_names_both_ways)
{
    uint32_t mode = 77;

    cr_expect(sona_control_mode_of("bypass", &mode));
    cr_expect(eq(str, (char *)(uintptr_t)sona_control_mode_name(mode), "bypass"));
    cr_expect(not(sona_control_mode_of("none", &mode)));
    cr_expect(eq(str, (char *)(uintptr_t)sona_control_mode_name(mode), "bypass"), "as it was");
}

Test(control, the_socket_lies_beside_that_of_the_clients)
{
    sona_diag diag;
    char path[128];

    cr_expect(eq(int, sona_control_socket("/x", "one", path, sizeof path, &diag), SONA_OK));
    cr_expect(eq(str, path, "/x/one.ctl"));
    cr_expect(eq(int, sona_control_socket("/x", "../one", path, sizeof path, &diag), SONA_E_RANGE));
}
