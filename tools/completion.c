/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See completion.h. A command is completed word by word: what may follow the words before. */
#include "tools/completion.h"

#include <string.h>

#include "shm/control.h"
#include "tools/top.h"
#include "tools/upkeep.h"

#define FORMS_MAX 64

/* The words of every command, once each. Returns how many. */
static uint32_t gather(const char *ret[FORMS_MAX])
{
    const struct sona_control_command *c;
    const struct sona_tools_upkeep_form *u;
    uint32_t n = 0;

    for (uint32_t i = 0; n < FORMS_MAX && (c = sona_control_command_at(i)) != NULL; i++)
        ret[n++] = c->words;
    ret[n++] = SONA_TOOLS_TOP_WORD;
    for (uint32_t i = 0; n < FORMS_MAX && (u = sona_tools_upkeep_form_at(i)) != NULL; i++)
        ret[n++] = u->words;
    return n;
}

static const char *second_of(const char *words)
{
    const char *space = strchr(words, ' ');

    return space && space[1] >= 'a' ? space + 1 : NULL;
}

/* Is there a form before the k-th with the same first word, or the same two? */
static bool is_new(const char *const form[], uint32_t k, bool two)
{
    size_t n = strcspn(form[k], " ");

    if (two)
        n += 1 + strcspn(form[k] + n + 1, " ");
    for (uint32_t i = 0; i < k; i++)
        if (strncmp(form[i], form[k], n) == 0 && (form[i][n] == ' ' || form[i][n] == '\0'))
            return false;
    return true;
}

/* Does the k-th have a second word, and none before it with the same first? */
static bool begins_case(const char *const form[], uint32_t k)
{
    size_t n = strcspn(form[k], " ") + 1;

    if (!second_of(form[k]))
        return false;
    for (uint32_t i = 0; i < k; i++)
        if (second_of(form[i]) && strncmp(form[i], form[k], n) == 0)
            return false;
    return true;
}

bool sona_tools_completion_print(const struct argp_option *options, FILE *to)
{
    const char *form[FORMS_MAX];
    uint32_t n = gather(form);

    (void)fputs(
        "# SPDX-License-Identifier: MIT OR Apache-2.0\n"
        "# Copyright (c) 2026 The SONA authors\n"
        "_sonactl() {\n"
        "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words\n"
        "    COMPREPLY=()\n"
        "    case $before in\n"
        "    --file) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n"
        "    --*-dir) COMPREPLY=($(compgen -d -- \"$word\")); return ;;\n",
        to);
    for (uint32_t k = 0; k < n; k++) {
        if (!begins_case(form, k))
            continue;
        (void)fprintf(to, "    %.*s) words=\"", (int)strcspn(form[k], " "), form[k]);
        for (uint32_t i = k; i < n; i++)
            if (strncmp(form[i], form[k], strcspn(form[k], " ") + 1) == 0 && second_of(form[i]) &&
                is_new(form, i, true))
                (void)fprintf(to, " %.*s", (int)strcspn(second_of(form[i]), " "),
                              second_of(form[i]));
        (void)fputs("\" ;;\n", to);
    }
    (void)fputs("    *) words=\"", to);
    for (uint32_t k = 0; k < n; k++)
        if (is_new(form, k, false))
            (void)fprintf(to, " %.*s", (int)strcspn(form[k], " "), form[k]);
    (void)fputs(" apply observe bypass\" ;;\n    esac\n    [[ $word == -* ]] && words=\"--help",
                to);
    for (; options->name; options++)
        (void)fprintf(to, " --%s", options->name);
    (void)fputs("\"\n    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n}\n"
                "complete -F _sonactl sonactl\n",
                to);
    return fflush(to) == 0 && !ferror(to);
}
