/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Patterns out of a bank, as lines and back: the same answers; and lines that are none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/learner/bank.h"
#include "sidecar/lines.h"
#include "sidecar/patterns.h"
#include "tests/engine/learner_fixture.h"

#define FOUND 8u

static const sona_route_info routes[] = {{.id = 0, .state = SONA_ROUTE_ENABLED, .name = "route-0"},
                                         {.id = 1, .state = SONA_ROUTE_ENABLED, .name = "route-1"},
                                         {.id = 2, .state = SONA_ROUTE_ENABLED, .name = "route-2"}};

/* Outcomes about topics `from` and up to `to`, and a cycle. */
static void instruct(struct sona_learner *l, const sona_config *config, uint32_t from, uint32_t to,
                     uint32_t n, struct dice *dice)
{
    struct sona_learner_job *job = job_open(config);

    for (uint32_t i = 0; i < n; i++) {
        float x[DIM_PADDED] = {0}, norm = 0;
        struct sona_learner_event event = {.kind = SONA_LEARNER_OUTCOME,
                                           .id = i + 1,
                                           .x = x,
                                           .route = (sona_route)(i % 3),
                                           .quality = 0.6f + 0.4f * (float)(i % 7) / 7,
                                           .type = i % 6};

        for (int d = 0; d < DIM; d++)
            x[d] = 0.03f * dice_signed(dice);
        x[from + i % (to - from)] += 1;
        for (int d = 0; d < DIM; d++)
            norm += x[d] * x[d];
        for (int d = 0; d < DIM; d++)
            x[d] /= sqrtf(norm);
        cr_assert(eq(int, sona_learner_learn(l, &event), SONA_OK));
    }
    (void)cycle(l, job);
    free(job);
}

/* A learner whose bank knows these topics. */
static struct sona_learner *taught(const sona_config *config, uint32_t from, uint32_t to,
                                   struct dice *dice)
{
    struct sona_learner *l = learner_open(config, 3);

    instruct(l, config, from, to, 300, dice);
    return l;
}

static uint32_t n_bank(const struct sona_learner *l)
{
    return ((const struct sona_model_cold *)sona_learner_view(l).cold)->n_bank;
}

static char *file_of(const struct sona_learner *l, size_t *ret_bytes)
{
    struct sona_sidecar_patterns *p = sona_sidecar_patterns_make(&l->layout, l->layout.bank.count);

    p->n = sona_learner_bank_rows(l, p->row);
    char *ret = sona_sidecar_patterns_write(&l->layout, routes, 3, p, ret_bytes);
    cr_assert(ne(ptr, ret, NULL));
    free(p);
    return ret;
}

static sona_err read_text(const struct sona_learner *l, const char *text, size_t n,
                          struct sona_sidecar_patterns **ret, sona_diag *diag)
{
    *diag = (sona_diag){0};
    *ret = NULL;
    return sona_sidecar_patterns_read(&l->layout, routes, 3, text, n, ret, diag);
}

static sona_err take(struct sona_learner *l, const char *text, size_t n, sona_bank_report *report)
{
    struct sona_sidecar_patterns *p;
    sona_diag diag;

    cr_assert(eq(int, read_text(l, text, n, &p, &diag), SONA_OK), "%s", diag.text);
    sona_err err = sona_learner_bank_add(l, p->row, p->n, report);
    free(p);
    return err;
}

static uint32_t find(const struct sona_learner *l, int query, sona_pattern ret[FOUND])
{
    struct sona_model_view view = sona_learner_view(l);
    float x[DIM_PADDED] = {0};

    for (int i = 0; i < DIM; i++)
        x[i] = (float)sin(query * DIM + i);
    memset(ret, 0, FOUND * sizeof *ret);
    return sona_model_find_patterns(&view, x, FOUND, ret);
}

Test(patterns, from_a_file_in_an_empty_bank_searches_find_the_same_bits)
{
    struct dice dice = dice_open("patterns in a file");
    const sona_config config = learner_config();
    struct sona_learner *from = taught(&config, 0, 6, &dice), *to = learner_open(&config, 3);
    sona_bank_report report;
    size_t n, again_n;
    char *text = file_of(from, &n);

    cr_assert(ge(u32, n_bank(from), 6));
    cr_assert(eq(int, take(to, text, n, &report), SONA_OK));
    cr_expect(eq(u32, report.patterns, n_bank(from)));
    cr_expect(eq(u32, report.merged, 0));
    for (int q = 0; q < 50; q++) {
        sona_pattern a[FOUND], b[FOUND];

        cr_assert(eq(u32, find(from, q, a), find(to, q, b)));
        cr_assert(zero(int, memcmp(a, b, sizeof a)), "query %d, seed %llu", q,
                  (unsigned long long)dice.seed);
    }
    char *again = file_of(to, &again_n);
    cr_assert(eq(sz, n, again_n));
    cr_expect(zero(int, memcmp(text, again, n)));
    free(again);
    free(text);
    free(from);
    free(to);
}

Test(patterns, that_are_alike_add_up_and_others_become_rows_with_numbers_of_their_own)
{
    struct dice dice = dice_open("patterns twice");
    const sona_config config = learner_config();
    struct sona_learner *a = taught(&config, 0, 3, &dice), *b = taught(&config, 3, 6, &dice);
    uint32_t n_a = n_bank(a), n_b = n_bank(b);
    double weight = sona_learner_bank_weight(&a->layout, sona_learner_cold(a));
    double more = sona_learner_bank_weight(&b->layout, sona_learner_cold(b));
    sona_bank_report report;
    size_t n;
    char *text = file_of(b, &n);

    cr_assert(eq(int, take(a, text, n, &report), SONA_OK));
    cr_expect(eq(u32, report.patterns, n_a + n_b), "all of them are new");
    cr_expect(eq(u32, report.merged, 0));
    for (uint32_t i = 0; i < n_a + n_b; i++)
        for (uint32_t j = 0; j < i; j++)
            cr_expect(ne(u64, sona_model_bank_row(&a->layout, sona_learner_cold(a), i)->id,
                         sona_model_bank_row(&a->layout, sona_learner_cold(a), j)->id));
    cr_assert(eq(int, take(a, text, n, &report), SONA_OK));
    cr_expect(eq(u32, report.patterns, n_a + n_b), "none of them is");
    cr_expect(eq(u32, report.merged, n_b));
    cr_expect(lt(dbl, fabs(report.weight - weight - 2 * more), 1e-3 * report.weight));
    cr_expect(eq(int, sona_model_validate_cold(&a->layout, sona_learner_cold(a)), SONA_OK));
    free(text);
    free(a);
    free(b);
}

/* Outcomes that the bank knows of route 1. */
static double evidence(const struct sona_learner *l)
{
    double ret = 0;

    for (uint32_t c = 0; c < n_bank(l); c++)
        ret += (double)sona_model_bank_part(&l->layout, sona_learner_view(l).cold, c,
                                            l->layout.bank_n)[1];
    return ret;
}

Test(patterns, of_routes_that_no_cycle_has_seen_are_what_the_next_one_goes_on_from)
{
    struct dice dice = dice_open("patterns and a cycle");
    const sona_config config = learner_config();
    struct sona_learner *from = taught(&config, 0, 6, &dice), *to = learner_open(&config, 3);
    sona_bank_report report;
    size_t n;
    char *text = file_of(from, &n);
    double brought = evidence(from);

    cr_assert(ge(dbl, brought, 50));
    cr_assert(eq(int, take(to, text, n, &report), SONA_OK));
    instruct(to, &config, 0, 6, 30, &dice);
    cr_expect(ge(dbl, evidence(to), 0.9 * brought), "%g of %g, seed %llu", evidence(to), brought,
              (unsigned long long)dice.seed);
    free(text);
    free(from);
    free(to);
}

Test(patterns, that_find_no_room_change_nothing)
{
    struct dice dice = dice_open("patterns without room");
    sona_config config = learner_config();
    config.pattern_clusters = 4;
    struct sona_learner *a = taught(&config, 0, 4, &dice), *b = taught(&config, 4, 8, &dice);
    struct sona_learner *copy = learner_copy(a);
    sona_bank_report report;
    size_t n;
    char *text = file_of(b, &n);

    cr_assert(eq(u32, n_bank(a), a->layout.bank.count));
    cr_expect(eq(int, take(a, text, n, &report), SONA_E_LIMIT));
    cr_expect(zero(int, memcmp(a, copy, a->bytes)));
    free(text);
    free(copy);
    free(a);
    free(b);
}

Test(patterns, brought_again_and_again_stay_within_what_a_state_is_loaded_with)
{
    const sona_config config = learner_config();
    struct sona_learner *l = learner_open(&config, 3);
    char text[2048];
    size_t n = (size_t)snprintf(text, sizeof text,
                                "{\"format\":\"sona-patterns-1\",\"dim\":32}\n"
                                "{\"id\":1,\"weight\":1e7,\"sum\":1e7,\"mass\":1e7,"
                                "\"cluster_size\":10000000,\"types\":{\"codegen\":1e7},"
                                "\"routes\":{\"route-1\":{\"outcomes\":1e7,\"sum\":1e7}},"
                                "\"centroid\":[1");
    sona_bank_report report;

    for (int i = 1; i < DIM; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, ",0");
    n += (size_t)snprintf(text + n, sizeof text - n, "]}\n");
    for (int i = 0; i < 500; i++)
        cr_assert(eq(int, take(l, text, n, &report), SONA_OK));
    cr_expect(eq(u32, report.patterns, 1));
    cr_expect(eq(int, sona_model_validate_cold(&l->layout, sona_learner_cold(l)), SONA_OK));
    char *file = file_of(l, &n);
    cr_expect(eq(int, take(l, file, n, &report), SONA_OK), "what it has become is a file, too");
    free(file);
    free(l);
}

/* By hand: what a pattern needs and no more. */
Test(patterns, without_a_mass_are_found_where_they_were_after_another_of_them_and_a_cycle)
{
    static const char *const more[] = {"", ",\"mass\":0"};
    struct dice dice = dice_open("patterns without a mass");
    const sona_config config = learner_config();

    for (size_t k = 0; k < 2; k++) {
        struct sona_learner *l = learner_open(&config, 3);
        char text[1024];
        sona_bank_report report;
        size_t n = (size_t)snprintf(text, sizeof text,
                                    "{\"format\":\"sona-patterns-1\",\"dim\":32}\n"
                                    "{\"id\":1,\"weight\":5%s,\"centroid\":[1",
                                    more[k]);

        for (int i = 1; i < DIM; i++)
            n += (size_t)snprintf(text + n, sizeof text - n, ",0");
        n += (size_t)snprintf(text + n, sizeof text - n, "]}\n");
        for (int i = 0; i < 2; i++)
            cr_assert(eq(int, take(l, text, n, &report), SONA_OK));
        cr_expect(eq(u32, report.patterns, 1));
        cr_expect(eq(
            flt,
            sona_model_bank_part(&l->layout, sona_learner_cold(l), 0, l->layout.bank_centroid)[0],
            1));
        instruct(l, &config, 6, 8, 30, &dice);
        if (k == 0)
            cr_expect(eq(u64, sona_model_bank_row(&l->layout, sona_learner_cold(l), 0)->id, 1));
        free(l);
    }
}

/* A file with one text in the place of another. */
static char *altered(const char *file, const char *old, const char *new)
{
    char *ret = malloc(strlen(file) + strlen(new) + 1);
    char *at = strstr(file, old);

    cr_assert(ne(ptr, at, NULL), "%s", old);
    memcpy(ret, file, (size_t)(at - file));
    (void)sprintf(ret + (at - file), "%s%s", new, at + strlen(old));
    return ret;
}

/* 35 bytes are quoted of them behind the words: what is left is half of one. */
#define ACCENTS                                                                                  \
    "\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9" \
    "\u00e9\u00e9"

Test(patterns, that_are_none_are_refused_by_their_line)
{
    static const struct {
        const char *old, *new, *words;
        sona_err err;
    } cases[] = {
        {"sona-patterns-1", "sona-patterns-9", "line 1: the first line must say", SONA_E_FORMAT},
        {"\"dim\":32", "\"dim\":31", "line 1: the file is of 31 dimensions", SONA_E_SHAPE},
        {"{\"format\"", "[\"format\"", "line 1: column", SONA_E_FORMAT},
        {"{\"id\":", "{\"id\":-", "line 2: \"id\" must be a whole number", SONA_E_RANGE},
        {"{\"id\":", "{\"colour\":1,\"id\":", "line 2: \"colour\" is no key", SONA_E_FORMAT},
        {"{\"id\":", "{\"mass\":1,\"id\":", "line 2: column", SONA_E_FORMAT},
        {"\"weight\":", "\"weight\":-", "line 2: no bank has such", SONA_E_RANGE},
        {"\"sum\":", "\"sum\":12345", "line 2: no bank has such", SONA_E_RANGE},
        {"\"codegen\"", "\"poetry\"", "line 2: \"types\" has \"poetry\"", SONA_E_FORMAT},
        {"\"route-1\"", "\"route-9\"", "line 2: there is no enabled route \"route-9\"",
         SONA_E_ROUTE},
        {"{\"outcomes\"", "{\"income\"", "\"routes\" says of", SONA_E_FORMAT},
        {"\"route-1\"", "\"\\u001b[2J\\u009b1mroutes with many of " ACCENTS ACCENTS "\"",
         "\"?[2J??1mroutes with many of " ACCENTS "?\" here", SONA_E_ROUTE},
        {"\"examples\":[\"", "\"examples\":[\"99999999999999999999",
         "\"examples\"[0] must be an id", SONA_E_FORMAT},
        {"\"examples\":[\"", "\"examples\":[\"x", "\"examples\"[0] must be an id", SONA_E_FORMAT},
        {"\"centroid\":[", "\"centroid\":[0,", "\"centroid\" has 33 numbers", SONA_E_SHAPE},
        {"\"centroid\":[", "\"centroid\":[true,", "\"centroid\" has 33 numbers", SONA_E_SHAPE},
        {"\"centroid\":[", "\"centroid\":[1e", "line 2: column", SONA_E_FORMAT},
    };
    struct dice dice = dice_open("lines that are none");
    const sona_config config = learner_config();
    struct sona_learner *l = taught(&config, 0, 1, &dice);
    struct sona_sidecar_patterns *p;
    sona_diag diag;
    size_t n;
    char *text = file_of(l, &n);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *bad = altered(text, cases[i].old, cases[i].new);
        cr_expect(eq(int, read_text(l, bad, strlen(bad), &p, &diag), cases[i].err), "%s: %s",
                  cases[i].new, diag.text);
        cr_expect(ne(ptr, strstr(diag.text, cases[i].words), NULL), "%s", diag.text);
        free(bad);
    }
    char *wide = malloc(SONA_SIDECAR_LINE_MAX + 1);
    memset(wide, '[', SONA_SIDECAR_LINE_MAX + 1);
    cr_expect(eq(int, read_text(l, wide, SONA_SIDECAR_LINE_MAX + 1, &p, &diag), SONA_E_LIMIT), "%s",
              diag.text);
    free(wide);
    cr_expect(eq(int, read_text(l, "", 0, &p, &diag), SONA_E_FORMAT), "an empty file");
    cr_expect(eq(int, read_text(l, "\n \n", 3, &p, &diag), SONA_E_FORMAT), "a blank one");
    free(text);
    free(l);
}

/* Whatever bytes a file has: a sentence with its line, or rows that leave a sound bank. */
Test(patterns, of_damaged_files_are_refused_or_leave_a_sound_bank)
{
    struct dice dice = dice_open("damaged patterns");
    const sona_config config = learner_config();
    struct sona_learner *from = taught(&config, 0, 3, &dice), *to = learner_open(&config, 3);
    static const char noise[] = "0123456789-+.eE\"{}[],:nulltrue \n\\u\xff";
    uint32_t taken = 0;
    size_t n;
    char *text = file_of(from, &n), *bad = malloc(n);

    for (int round = 0; round < 400; round++) {
        struct sona_sidecar_patterns *p;
        sona_bank_report report;
        sona_diag diag;

        memcpy(bad, text, n);
        for (uint32_t k = 0; k < 1 + (uint32_t)round % 3; k++)
            bad[dice_below(&dice, (uint32_t)n)] = noise[dice_below(&dice, sizeof noise - 1)];
        sona_err err = read_text(to, bad, dice_below(&dice, 8) ? n : dice_below(&dice, (uint32_t)n),
                                 &p, &diag);
        if (err != SONA_OK) {
            cr_expect(eq(int, strncmp(diag.text, "line ", 5), 0), "%s", diag.text);
            continue;
        }
        taken++;
        (void)sona_learner_bank_add(to, p->row, p->n, &report);
        free(p);
        cr_assert(eq(int, sona_model_validate_cold(&to->layout, sona_learner_cold(to)), SONA_OK),
                  "seed %llu", (unsigned long long)dice.seed);
    }
    cr_expect(gt(u32, taken, 0), "a digit of a number is still a number");
    free(bad);
    free(text);
    free(from);
    free(to);
}
