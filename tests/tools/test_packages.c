/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The listing of `apt-cache dumpavail`: sections with and without a prefix, long descriptions,
 * duplicates, and lines as they should not be. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tools/demo/packages.h"
#include "tools/text.h"

static struct sona_demo_packages packages;

static sona_err read_listing(const char *text, size_t n)
{
    sona_diag diag = {0};
    FILE *listing = fmemopen((void *)(uintptr_t)text, n, "r");
    sona_err err = sona_demo_packages_read(&packages, listing, &diag);

    cr_assert(eq(int, fclose(listing), 0));
    return err;
}

static sona_err read_text(const char *text)
{
    return read_listing(text, strlen(text));
}

static void done(void)
{
    sona_demo_packages_done(&packages);
}

TestSuite(packages, .fini = done);

Test(packages, desks_are_sections_whatever_archive_they_are_in)
{
    cr_assert(eq(int,
                 read_text("Package: chess\nSection: games\nDescription: plays chess\n\n"
                           "Package: firmware\nSection: non-free/net\n"
                           "Description: card firmware\n\n"
                           "Package: c\nSection: contrib/non/web\nDescription: a browser\n\n"
                           "Package: d\nSection: libs\nDescription: a library\n"),
                 SONA_OK));
    cr_expect(eq(u32, packages.set.rows, 3));
    cr_expect(eq(u32, packages.seen, 4));
    cr_expect(eq(str, packages.set.route[0].name, "games"));
    cr_expect(eq(int, packages.set.group[0], 0));
    cr_expect(eq(flt, packages.set.quality[0], 1));
    cr_expect(eq(str, packages.set.route[packages.set.group[1]].name, "net"));
    cr_expect(eq(str, packages.set.route[packages.set.group[2]].name, "web"));
    for (uint32_t r = 0; r < 3; r++) {
        float sum = 0;

        for (uint32_t d = 0; d < SONA_DEMO_DESKS; d++)
            sum += packages.set.quality[r * SONA_DEMO_DESKS + d];
        cr_expect(eq(flt, sum, 1), "one desk is right");
    }
}

Test(packages, name_and_long_description_are_embedded_and_nothing_else)
{
    float x[SONA_TOOLS_TEXT_DIM];
    const char *text = "xboard chess user interface plays over mail";

    cr_assert(eq(int,
                 read_text("Package: xboard\nMaintainer: Games Team\nTag: game::board\n"
                           "Section: games\nDescription: chess user interface\n"
                           " plays over mail\nDescription-md5: 0123\n more of the md5\n"),
                 SONA_OK));
    cr_assert(sona_tools_text_embed(text, strlen(text), x));
    cr_expect(memcmp(x, packages.set.x, sizeof x) == 0);
}

Test(packages, a_name_or_description_seen_before_is_a_duplicate)
{
    cr_assert(eq(int,
                 read_text("Package: a\nSection: net\nDescription: one thing\n\n"
                           "Package: a\nSection: net\nDescription: another thing\n\n"
                           "Package: b\nSection: mail\nDescription: one thing\n\n"
                           "Package: c\nSection: mail\nDescription: a third thing\n\n"),
                 SONA_OK));
    cr_expect(eq(u32, packages.set.rows, 2));
    cr_expect(eq(u32, packages.duplicates, 2));
}

Test(packages, stanzas_without_name_section_or_words_are_passed_over)
{
    cr_assert(eq(int,
                 read_text("\n\n\nSection: net\nDescription: no name\n\n"
                           "Package: x\nDescription: no section\n\n"
                           "Package: y\nSection: net\n\n"
                           "Package: z\nSection: net\nDescription: \n\n"
                           "Package: -\nSection: net\nDescription: ...\n\n"
                           " stray continuation\nno colon\n:\n\n"
                           "Package: ok\nSection: net\nDescription: ok"),
                 SONA_OK));
    cr_expect(eq(u32, packages.set.rows, 1));
}

Test(packages, a_listing_without_a_desk_is_an_error)
{
    cr_expect(
        eq(int, read_text("Package: d\nSection: libs\nDescription: a library\n\n"), SONA_E_FORMAT));
    cr_expect(eq(int, read_text("\n"), SONA_E_FORMAT));
}

Test(packages, lines_longer_than_any_buffer_and_bytes_that_are_no_text_do_no_harm)
{
    size_t n = 300000, at = 0;
    char *text = malloc(n);

    at += (size_t)sprintf(text, "Package: long\nDepends: ");
    while (at < 100000)
        text[at++] = 'x';
    at += (size_t)sprintf(text + at, "\nSection: math\nDescription: ");
    while (at < 200000) {
        text[at] = (char)(0x80 + at % 127);
        at++;
    }
    at += (size_t)sprintf(text + at, "\n\xff\xfe\xc3(\n");
    while (at < 290000)
        at += (size_t)sprintf(text + at, " line after line of a long description\n");
    cr_assert(eq(int, read_listing(text, at), SONA_OK));
    cr_expect(eq(u32, packages.set.rows, 1));
    free(text);
}
