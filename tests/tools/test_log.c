/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* A router's own log: what is taken, what is passed over and why, and what is learned from it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tools/demo/log.h"
#include "tools/demo/validate.h"
#include "tools/random.h"
#include "tools/text.h"

static struct sona_demo_log log_read;
static sona_diag diag;

static sona_err read_bytes(const char *text, size_t n)
{
    FILE *in = fmemopen((void *)(uintptr_t)text, n, "r");
    sona_err err = sona_demo_log_read(&log_read, in, "the log", &diag);

    cr_assert(eq(int, fclose(in), 0));
    return err;
}

static sona_err read_text(const char *text)
{
    return read_bytes(text, strlen(text));
}

static void done(void)
{
    sona_demo_log_close(&log_read);
}

TestSuite(log, .fini = done);

Test(log, texts_and_routes_are_taken_in_their_order)
{
    cr_assert(eq(int,
                 read_text("{\"text\": \"sum two numbers\", \"route\": \"b\", \"quality\": 1}\n"
                           "\n"
                           "{\"route\":\"a\",\"quality\":0.25,\"text\":\"a poem\",\"more\":[]}"),
                 SONA_OK));
    cr_expect(eq(u32, log_read.rows, 2));
    cr_expect(eq(u32, log_read.dim, SONA_TOOLS_TEXT_DIM));
    cr_expect(eq(u32, log_read.n_routes, 2));
    cr_expect(eq(str, log_read.routes[0].name, "b"));
    cr_expect(eq(u32, log_read.route[1], 1));
    cr_expect(eq(flt, log_read.quality[1], 0.25f));
    cr_expect(eq(u64, log_read.malformed, 0));
}

/* A sound line, then the one to judge: it must be refused for `words`, with its number. */
static void expect_passed_over(const char *line, const char *words)
{
    char text[2000];

    (void)snprintf(text, sizeof text,
                   "{\"embedding\": [1, 0, 0, 0], \"route\": \"a\", \"quality\": 1}\n%s\n"
                   "{\"embedding\": [0, 1, 0, 0], \"route\": \"a\", \"quality\": 1}\n",
                   line);
    cr_assert(eq(int, read_text(text), SONA_OK), "%s", line);
    cr_expect(eq(u32, log_read.rows, 2), "%s", line);
    cr_expect(eq(u64, log_read.malformed, 1), "%s", line);
    cr_expect(strncmp(log_read.reason[0], "line 2: ", 8) == 0, "%s", log_read.reason[0]);
    cr_expect(strstr(log_read.reason[0], words) != NULL, "\"%s\" is not in \"%s\"", words,
              log_read.reason[0]);
    sona_demo_log_close(&log_read);
}

Test(log, every_kind_of_malformed_line_is_named_with_its_number_and_passed_over)
{
    static const char *const cases[][2] = {
        {"not json", "not JSON"},
        {"{\"embedding\": [1, 0, 0, 0], \"route\": \"a\", \"quality\": 1", "not JSON"},
        {"[1, 2]", "not a JSON object"},
        {"{\"route\": \"a\", \"quality\": 1}", "neither \"embedding\" nor \"text\""},
        {"{\"embedding\": 7, \"route\": \"a\", \"quality\": 1}", "not an array"},
        {"{\"embedding\": [1, 0, 0], \"route\": \"a\", \"quality\": 1}", "has 3 numbers"},
        {"{\"embedding\": [1, 0, \"x\", 0], \"route\": \"a\", \"quality\": 1}", "number 3"},
        {"{\"embedding\": [1, 0, 0, 1e300], \"route\": \"a\", \"quality\": 1}", "number 4"},
        {"{\"embedding\": [0, 0, 0, 0], \"route\": \"a\", \"quality\": 1}", "all zeros"},
        {"{\"text\": \"hello\", \"route\": \"a\", \"quality\": 1}", "in 256 dimensions"},
        {"{\"text\": 5, \"route\": \"a\", \"quality\": 1}", "not a string"},
        {"{\"embedding\": [1, 0, 0, 0], \"quality\": 1}", "\"route\" is missing"},
        {"{\"embedding\": [1, 0, 0, 0], \"route\": \"\", \"quality\": 1}", "\"route\" is missing"},
        {"{\"embedding\": [1, 0, 0, 0], \"route\": \"a\"}", "\"quality\" is missing"},
        {"{\"embedding\": [1, 0, 0, 0], \"route\": \"a\", \"quality\": \"1\"}", "\"quality\""},
        {"{\"embedding\": [1, 0, 0, 0], \"route\": \"a\", \"quality\": 1.5}", "1.5, not 0 to 1"},
        {"{\"embedding\": [1, 0, 0, 0], \"route\": \"a\", \"quality\": -1}", "-1, not 0 to 1"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_passed_over(cases[i][0], cases[i][1]);
}

Test(log, a_name_too_long_is_passed_over)
{
    char line[400];

    (void)snprintf(line, sizeof line,
                   "{\"embedding\": [1, 0, 0, 0], \"route\": \"%064d\", \"quality\": 1}", 0);
    expect_passed_over(line, "longer than 63 bytes");
}

Test(log, more_routes_than_possible_are_passed_over)
{
    size_t size = 400 * 80, at = 0;
    char *text = malloc(size);

    for (int i = 0; i < 300; i++)
        at += (size_t)snprintf(text + at, size - at,
                               "{\"embedding\":[1,2,3,4],\"route\":\"r%d\",\"quality\":0.5}\n", i);
    cr_assert(eq(int, read_bytes(text, at), SONA_OK));
    cr_expect(eq(u32, log_read.n_routes, SONA_ROUTES_MAX));
    cr_expect(eq(u32, log_read.rows, SONA_ROUTES_MAX));
    cr_expect(eq(u64, log_read.malformed, 300 - SONA_ROUTES_MAX));
    free(text);
}

Test(log, a_line_longer_than_the_limit_is_passed_over_whole)
{
    size_t n = SONA_DEMO_LOG_LINE_MAX + 100, at = 0;
    char *text = malloc(n + 200);

    memset(text, 'x', n);
    at = n;
    at += (size_t)sprintf(text + at, "\n{\"embedding\":[1,2,3,4],\"route\":\"a\",\"quality\":1}\n");
    cr_assert(eq(int, read_bytes(text, at), SONA_OK));
    cr_expect(eq(u32, log_read.rows, 1));
    cr_expect(eq(u64, log_read.malformed, 1));
    cr_expect(strstr(log_read.reason[0], "longer than") != NULL, "%s", log_read.reason[0]);
    free(text);
}

Test(log, a_log_without_a_usable_line_is_an_error_that_says_why)
{
    cr_expect(eq(int, read_text("garbage\nmore\n"), SONA_E_FORMAT));
    cr_expect(strstr(diag.text, "no usable line") != NULL, "%s", diag.text);
    cr_expect(strstr(diag.text, "line 1: not JSON") != NULL, "%s", diag.text);
    cr_expect(eq(int, read_text("\n \n"), SONA_E_FORMAT));
    cr_expect(strstr(diag.text, "is empty") != NULL, "%s", diag.text);
    cr_expect(eq(int, sona_demo_log_open(&log_read, "/tmp", &diag), SONA_E_SYSTEM));
    cr_expect(eq(int, sona_demo_log_open(&log_read, "/tmp/no/such.jsonl", &diag), SONA_E_SYSTEM));
}

/* Two topics, two routes, each right on one; the log chose at random. */
static void write_random_log(char *text, size_t size, uint32_t rows)
{
    struct sona_tools_random random = sona_tools_random_init(11, 1);
    size_t at = 0;

    for (uint32_t i = 0; i < rows; i++) {
        uint32_t topic = sona_tools_random_below(&random, 2);
        uint32_t route = sona_tools_random_below(&random, 2);

        at += (size_t)snprintf(text + at, size - at,
                               "{\"embedding\": [%d, %d, 0.%02u, -0.%02u], \"route\": \"%s\", "
                               "\"quality\": %s}\n",
                               topic == 0, topic == 1, sona_tools_random_below(&random, 30),
                               sona_tools_random_below(&random, 30),
                               route == 0 ? "vendor/small:7b" : "vendor/large, v2",
                               topic == route ? "0.9" : "0.2");
    }
}

static void validate_random_log(bool embedded)
{
    struct sona_demo_validate_options options = {.embedded = embedded, .seed = 3};
    struct sona_demo_validation validation;
    char *text = malloc(200000);
    double agreed;

    write_random_log(text, 200000, 800);
    cr_assert(eq(int, read_text(text), SONA_OK));
    cr_assert(eq(int, sona_demo_validate(&log_read, &options, &validation, &diag), SONA_OK), "%s",
              diag.text);
    cr_expect(eq(u32, validation.all.lines, 800));
    cr_expect(eq(u32, validation.second_half.lines, 400));
    cr_expect(eq(u64, validation.totals.counter[SONA_COUNTER_learned], 800));
    cr_expect(eq(u32, validation.route[0].logged + validation.route[1].logged, 800));
    cr_expect(eq(u32, validation.route[0].chosen + validation.route[1].chosen, 800));
    /* A learner that knows the two topics earns 0.9 where the log earned 0.55. */
    agreed = validation.second_half.agreed_quality / validation.second_half.agreed;
    cr_expect(gt(dbl, agreed, 0.85), "%f where both agree in the second half", agreed);
    cr_expect(lt(dbl, validation.all.quality / 800, 0.65));
    free(text);
}

Test(log, what_was_learned_from_a_random_log_shows_where_both_agree)
{
    validate_random_log(true);
}

Test(log, a_log_is_learned_through_a_sidecar_by_trajectories)
{
    validate_random_log(false);
}
