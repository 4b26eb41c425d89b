/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The curve's means, its axis, and what is drawn of it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tools/demo/curve.h"

static const struct sona_demo_level levels[] = {{"best single", 0.2}, {"chance", 0.1}};

/* 1,000 queries, none right; then 1,000, all right. */
static struct sona_demo_curve step_curve(void)
{
    struct sona_demo_curve curve;

    cr_assert(sona_demo_curve_init(&curve, 2000, levels, 2));
    for (int t = 0; t < 2000; t++)
        sona_demo_curve_add(&curve, t >= 1000);
    return curve;
}

/* Draw without a terminal; the caller frees. */
static char *drawing(const struct sona_demo_curve *curve, bool unicode, uint32_t *ret_lines)
{
    struct sona_tools_terminal terminal = {.unicode = unicode, .columns = 80};
    char *text = NULL;
    size_t size = 0;

    terminal.out = open_memstream(&text, &size);
    *ret_lines = sona_demo_curve_draw(curve, &terminal);
    cr_assert(eq(int, fclose(terminal.out), 0));
    return text;
}

Test(curve, means_are_over_the_window_and_no_more)
{
    struct sona_demo_curve curve = step_curve();

    cr_expect(isnan(sona_demo_curve_at(&curve, 0)));
    cr_expect(eq(dbl, sona_demo_curve_at(&curve, 1000), 0));
    cr_expect(epsilon_eq(dbl, sona_demo_curve_at(&curve, 1250), 0.5, 1e-12));
    cr_expect(eq(dbl, sona_demo_curve_at(&curve, 1500), 1));
    cr_expect(epsilon_eq(dbl, sona_demo_curve_mean(&curve, 0, 2000), 0.5, 1e-12));
    cr_expect(isnan(sona_demo_curve_mean(&curve, 7, 7)));
    sona_demo_curve_add(&curve, 1);
    cr_expect(eq(u32, curve.done, 2000), "more than the length is not kept");
    sona_demo_curve_done(&curve);
}

Test(curve, the_axis_reaches_what_was_reached)
{
    struct sona_demo_curve curve = step_curve();

    cr_expect(ge(dbl, curve.high, 1 - 1e-9));
    cr_expect(le(dbl, curve.low, 0));
    sona_demo_curve_done(&curve);
}

Test(curve, the_drawing_has_its_lines_its_labels_and_no_byte_above_127_without_unicode)
{
    struct sona_demo_curve curve = step_curve();
    uint32_t lines, counted = 0;
    char *text = drawing(&curve, false, &lines);

    for (const char *c = text; *c != '\0'; c++) {
        counted += *c == '\n';
        cr_expect(lt(int, (unsigned char)*c, 128));
    }
    cr_expect(eq(u32, counted, lines));
    cr_expect(strstr(text, "best single 20.0 %") != NULL, "%s", text);
    cr_expect(strstr(text, "chance 10.0 %") != NULL);
    cr_expect(strstr(text, " 100.0 %") != NULL, "where the curve is now");
    cr_expect(strstr(text, "2,000 queries") != NULL);
    cr_expect(strchr(text, '*') != NULL);
    cr_expect(strchr(text, '\033') == NULL, "no control sequence without a terminal");
    free(text);
    text = drawing(&curve, true, &lines);
    cr_expect(strstr(text, "\u2514") != NULL, "%s", text);
    free(text);
    sona_demo_curve_done(&curve);
}

Test(curve, the_curve_is_low_while_nothing_is_right_and_high_when_all_is)
{
    struct sona_demo_curve curve = step_curve();
    uint32_t lines;
    char *text = drawing(&curve, false, &lines), *line = text, *rest;
    int first_star = 0, last_star = 0;

    for (int row = 0; (rest = strchr(line, '\n')) != NULL && row < (int)SONA_DEMO_CURVE_ROWS;
         row++, line = rest + 1) {
        char *bar = strpbrk(line, "|+"), *star = memchr(line, '*', (size_t)(rest - line));

        cr_assert(bar != NULL && bar < rest);
        if (star != NULL && first_star == 0) {
            first_star = row + 1;
            cr_expect(star - bar > 24, "the top is reached in the second half only");
        }
        last_star = star != NULL ? row + 1 : last_star;
    }
    cr_expect(eq(int, first_star, 1));
    cr_expect(eq(int, last_star, (int)SONA_DEMO_CURVE_ROWS));
    free(text);
    sona_demo_curve_done(&curve);
}

Test(curve, nothing_is_drawn_of_queries_to_come)
{
    struct sona_demo_curve curve;
    uint32_t lines;
    char *text;

    cr_assert(sona_demo_curve_init(&curve, 2000, levels, 2));
    text = drawing(&curve, false, &lines);
    cr_expect(strchr(text, '*') == NULL);
    free(text);
    sona_demo_curve_done(&curve);
}

Test(curve, durations_and_numbers_are_written_for_people)
{
    char text[SONA_TOOLS_DURATION_MAX];

    cr_expect(eq(str, (char *)sona_tools_duration(45, text), "45 ns"));
    cr_expect(eq(str, (char *)sona_tools_duration(1234, text), "1.2 us"));
    cr_expect(eq(str, (char *)sona_tools_duration(123456, text), "123 us"));
    cr_expect(eq(str, (char *)sona_tools_duration(5e6, text), "5.0 ms"));
    cr_expect(eq(str, (char *)sona_tools_duration((double)NAN, text), "-"));
    cr_expect(eq(str, (char *)sona_tools_grouped(0, text), "0"));
    cr_expect(eq(str, (char *)sona_tools_grouped(999, text), "999"));
    cr_expect(eq(str, (char *)sona_tools_grouped(1000, text), "1,000"));
    cr_expect(eq(str, (char *)sona_tools_grouped(UINT64_MAX, text), "18,446,744,073,709,551,615"));
}
