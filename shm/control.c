/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See control.h. */
#include "shm/control.h"

#include <stdio.h>
#include <string.h>

#include "shm/diag.h"
#include "shm/wire.h"

static const struct sona_control_command commands[] = {
#define ROW(id, number, class_, words_, options_, help_) \
    {.what = (number),                                   \
     .class = SONA_CONTROL_##class_,                     \
     .words = (words_),                                  \
     .options = (options_),                              \
     .help = (help_)},
    SONA_CONTROL_COMMANDS(ROW)
#undef ROW
};

#define AT(member) offsetof(struct sona_control_request, member)

static const struct sona_control_argument arguments[] = {
    {"name", "NAME", "NAME", SONA_CONTROL_NAME, AT(spec.name),
     "of a route, 1..63 " SONA_CONTROL_NAME_RULE},
    {"mode", "MODE", "MODE", SONA_CONTROL_MODE, AT(mode), "apply, observe or bypass"},
    {"cost", "C", "C", SONA_CONTROL_REAL, AT(spec.cost), "relative cost, 0..1 (default: 0)"},
    {"prior_quality", "", "Q", SONA_CONTROL_REAL, AT(spec.prior_quality),
     "believed quality before evidence, 0..1 (default: 0.5)"},
    {"prior_weight", "", "W", SONA_CONTROL_REAL, AT(spec.prior_weight),
     "what that belief weighs, in outcomes, 0..1e6 (default: 1)"},
    {"factor", "FACTOR", "F", SONA_CONTROL_REAL, AT(amount), "what is left of it, 0..1"},
    {"quality", "QUALITY", "Q", SONA_CONTROL_REAL, AT(rule.min_quality), "mean quality, 0..2"},
    {"cosine", "COSINE", "C", SONA_CONTROL_REAL, AT(amount), "similarity, -1..1"},
    {"min_accesses", "", "N", SONA_CONTROL_COUNT, AT(rule.min_accesses),
     "spare those that searches found N times (default: none)"},
    {"min_age", "", "STEPS", SONA_CONTROL_COUNT, AT(rule.min_age),
     "spare those younger than so many events (default: 0)"},
    {"value", "VALUE", "V", SONA_CONTROL_REAL, AT(amount), "share of decisions, 0..1"},
    {"number", "N", "N", SONA_CONTROL_COUNT, AT(number), "of a generation; see generations list"},
};

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

bool sona_control_name_ok(const char *name)
{
    size_t n = strlen(name);

    for (size_t i = 0; i < n; i++)
        if (name[i] <= ' ' || name[i] > '~' || name[i] == ',' || name[i] == ':')
            return false;
    return n > 0 && n < SONA_ROUTE_NAME_MAX;
}

const struct sona_control_command *sona_control_command_at(uint32_t index)
{
    return index < COUNT(commands) ? &commands[index] : NULL;
}

const struct sona_control_command *sona_control_command_of(uint32_t what)
{
    for (size_t i = 0; i < COUNT(commands); i++)
        if (commands[i].what == what)
            return &commands[i];
    return NULL;
}

const struct sona_control_argument *sona_control_argument_at(uint32_t index)
{
    return index < COUNT(arguments) ? &arguments[index] : NULL;
}

/* The n-th word of a text; its length, 0 past the last. */
static size_t word_at(const char *text, uint32_t n, const char **ret)
{
    for (; n > 0 && *text; n--) {
        text += strcspn(text, " ");
        text += *text == ' ';
    }
    *ret = text;
    return strcspn(text, " ");
}

static bool is_argument(const char *word)
{
    return word[0] >= 'A' && word[0] <= 'Z';
}

static const struct sona_control_argument *find(const char *word, size_t n, bool by_key)
{
    for (size_t i = 0; i < COUNT(arguments); i++) {
        const char *name = by_key ? arguments[i].key : arguments[i].word;

        if (strlen(name) == n && strncmp(name, word, n) == 0)
            return &arguments[i];
    }
    return NULL;
}

const struct sona_control_argument *
sona_control_argument_of(const struct sona_control_command *command, uint32_t n, bool *ret_needed)
{
    const char *word;
    size_t bytes;

    *ret_needed = true;
    for (uint32_t k = 0; (bytes = word_at(command->words, k, &word)) > 0; k++)
        if (is_argument(word) && n-- == 0)
            return find(word, bytes, false);
    *ret_needed = false;
    bytes = word_at(command->options, n, &word);
    return bytes > 0 ? find(word, bytes, true) : NULL;
}

bool sona_control_word_is_argument(const struct sona_control_command *command, uint32_t k)
{
    const char *word;

    return word_at(command->words, k, &word) > 0 && is_argument(word);
}

const char *sona_control_method(const struct sona_control_command *command)
{
    bool reads = command->class == SONA_CONTROL_QUERY || command->what == SONA_CONTROL_EWC ||
                 command->what == SONA_CONTROL_EXPORT_ADAPTERS ||
                 command->what == SONA_CONTROL_EXPORT_PATTERNS ||
                 command->what == SONA_CONTROL_EXPORT_DECISIONS;

    return reads ? "GET" : "POST";
}

void sona_control_path(const struct sona_control_command *command, char ret[SONA_CONTROL_PATH_MAX])
{
    size_t at = (size_t)snprintf(ret, SONA_CONTROL_PATH_MAX, "/v1"), bytes;
    const char *word;

    for (uint32_t k = 0; (bytes = word_at(command->words, k, &word)) > 0; k++)
        if (!is_argument(word) && at + bytes + 1 < SONA_CONTROL_PATH_MAX)
            at += (size_t)snprintf(ret + at, SONA_CONTROL_PATH_MAX - at, "/%.*s", (int)bytes, word);
}

struct sona_control_request sona_control_request_of(uint32_t what)
{
    struct sona_control_request request;

    memset(&request, 0, sizeof request); /* padding is kept in the journal, too */
    request.what = what;
    request.spec.prior_quality = 0.5f;
    request.spec.prior_weight = 1;
    request.rule.min_accesses = UINT64_MAX;
    return request;
}

const char *sona_control_mode_name(uint32_t mode)
{
    static const char *const names[] = {"apply", "observe", "bypass"};

    return mode < COUNT(names) ? names[mode] : NULL;
}

bool sona_control_mode_of(const char *name, uint32_t *ret)
{
    for (uint32_t m = 0; sona_control_mode_name(m); m++)
        if (strcmp(name, sona_control_mode_name(m)) == 0) {
            *ret = m;
            return true;
        }
    return false;
}

sona_err sona_control_socket(const char *runtime_dir, const char *instance, char *ret, size_t size,
                             sona_diag *reterr)
{
    sona_err err = sona_wire_path(runtime_dir, instance, ret, size, reterr);

    if (err == SONA_OK) /* no longer than the other end */
        memcpy(ret + strlen(ret) - strlen(".sock"), SONA_CONTROL_SUFFIX,
               sizeof SONA_CONTROL_SUFFIX);
    return err;
}
