/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See typed.h. */
#include "tools/typed.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/control.h"
#include "tools/top.h"
#include "tools/upkeep.h"

#define EXIT_USAGE  2
#define FAR         3  /* so many mistakes are no slip any more */
#define LETTERS_MAX 24 /* bytes of a word that are compared */

/* The words of the index-th form, of any kind; null past the last. */
static const char *form_at(uint32_t index)
{
    const struct sona_control_command *c;
    const struct sona_tools_upkeep_form *u;
    uint32_t n = 0;

    for (; (c = sona_control_command_at(n)) != NULL; n++)
        if (n == index)
            return c->words;
    if (index == n)
        return SONA_TOOLS_TOP_WORD;
    u = sona_tools_upkeep_form_at(index - n - 1);
    return u ? u->words : NULL;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Letters that are missing, too many or wrong: the distance of Levenshtein, row by row. */
static size_t mistakes(const char *a, const char *b, size_t n_b)
{
    size_t row[2][LETTERS_MAX + 1], n_a = strlen(a);

    if (n_a > LETTERS_MAX || n_b > LETTERS_MAX)
        return FAR;
    for (size_t j = 0; j <= n_b; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= n_a; i++) {
        size_t *now = row[i % 2], *last = row[1 - i % 2];

        now[0] = i;
        for (size_t j = 1; j <= n_b; j++)
            now[j] =
                smaller(last[j - 1] + (a[i - 1] != b[j - 1]), 1 + smaller(last[j], now[j - 1]));
    }
    return row[n_a % 2][n_b];
}

static bool begins_with(const char *words, const char *word)
{
    size_t n = strlen(word);

    return strncmp(words, word, n) == 0 && (words[n] == ' ' || words[n] == '\0');
}

/* Was this form listed before, by an earlier row? Two kinds share some. */
static bool is_again(uint32_t index)
{
    for (uint32_t i = 0; i < index; i++)
        if (strcmp(form_at(i), form_at(index)) == 0)
            return true;
    return false;
}

/* The first word of the form that is nearest to what was typed; null: none is near. */
static const char *nearest(const char *word)
{
    const char *ret = NULL;
    size_t least = FAR;

    for (uint32_t i = 0; form_at(i) != NULL; i++) {
        size_t n = mistakes(word, form_at(i), strcspn(form_at(i), " "));

        if (n < least && n < strlen(word)) {
            least = n;
            ret = form_at(i);
        }
    }
    return ret;
}

static void explain_unknown(FILE *to, const char *word)
{
    const char *near = nearest(word);

    (void)fprintf(to, "\"%s\" is no command", word);
    if (near)
        (void)fprintf(to, "; did you mean %.*s", (int)strcspn(near, " "), near);
}

/* "generations takes list, save, rollback N", of every form that begins so. */
static void explain_word(FILE *to, char *const typed[], int n)
{
    const char *before = " takes";
    bool alone = false;

    (void)fprintf(to, "\"%s", typed[0]);
    for (int i = 1; i < n; i++)
        (void)fprintf(to, " %s", typed[i]);
    (void)fprintf(to, "\" is no command; %s", typed[0]);
    for (uint32_t i = 0; form_at(i) != NULL; i++) {
        size_t word = strlen(typed[0]);

        if (!begins_with(form_at(i), typed[0]) || is_again(i))
            continue;
        alone = alone || form_at(i)[word] == '\0';
        if (form_at(i)[word] == '\0')
            continue;
        (void)fprintf(to, "%s %s", before, form_at(i) + word + 1);
        before = ",";
    }
    if (alone)
        (void)fputs(before[0] == ',' ? ", or nothing" : " takes no other word", to);
}

void sona_tools_typed_refuse(char *const typed[], int n)
{
    bool known = false;

    for (uint32_t i = 0; n > 0 && form_at(i) != NULL; i++)
        known = known || begins_with(form_at(i), typed[0]);
    (void)fputs("sonactl: ", stderr);
    if (n == 0)
        (void)fputs("a command is missing, such as status", stderr);
    else if (known)
        explain_word(stderr, typed, n);
    else
        explain_unknown(stderr, typed[0]);
    (void)fputs("; see sonactl --help\n", stderr);
    exit(EXIT_USAGE);
}

void sona_tools_typed_refuse_dash(char *const typed[], int n)
{
    if (n > 0 && strcmp(typed[0], "generations") == 0)
        (void)fputs("sonactl: N must be the number of a generation, 1 or more; see sonactl "
                    "generations list\n",
                    stderr);
    else
        (void)fputs("sonactl: a number below 0 goes behind --, as in: sonactl patterns consolidate "
                    "-- -0.5\n",
                    stderr);
    exit(EXIT_USAGE);
}
