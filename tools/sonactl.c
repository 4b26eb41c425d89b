/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * sonactl: ask a running sidecar how it is, or have it change something; or look after the store
 * of one that is stopped (upkeep.h). The answer is JSON; this prints it, or lays it out for
 * reading. Exit status: 0 ok, 1 failed, 2 usage, 3 not running, 4 degraded (check), 5 version
 * mismatch.
 */
#include <argp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <sona/version.h>

#include "shm/wire.h"
#include "tools/answer.h"
#include "tools/query.h"
#include "tools/upkeep.h"

#define EXIT_FAILED   1
#define EXIT_USAGE    2
#define EXIT_ABSENT   3
#define EXIT_MISMATCH 5

enum key {
    KEY_INSTANCE = 0x100,
    KEY_RUNTIME_DIR,
    KEY_JSON,
    KEY_COST,
    KEY_PRIOR_QUALITY,
    KEY_PRIOR_WEIGHT,
    KEY_MIN_ACCESSES,
    KEY_MIN_AGE,
    KEY_STATE_DIR,
    KEY_CLIENT,
    KEY_TENANT,
    KEY_BEFORE,
    KEY_FROM,
    KEY_TO,
    KEY_FILE,
    KEY_JSONL
};

static const struct argp_option table[] = {
    {"instance", KEY_INSTANCE, "NAME", 0, "name of the instance (default: \"default\")", 0},
    {"runtime-dir", KEY_RUNTIME_DIR, "DIR", 0,
     "directory of its socket (default: /run/sona, else $XDG_RUNTIME_DIR/sona)", 0},
    {"json", KEY_JSON, NULL, 0, "print the sidecar's JSON as it is", 0},
    {"cost", KEY_COST, "C", 0, "routes add: relative cost, 0..1 (default: 0)", 0},
    {"prior-quality", KEY_PRIOR_QUALITY, "Q", 0,
     "routes add: believed quality before evidence, 0..1 (default: 0.5)", 0},
    {"prior-weight", KEY_PRIOR_WEIGHT, "W", 0,
     "routes add: what that belief weighs, in outcomes (default: 1)", 0},
    {"min-accesses", KEY_MIN_ACCESSES, "N", 0,
     "patterns prune: spare those that searches found N times (default: none)", 0},
    {"min-age", KEY_MIN_AGE, "STEPS", 0,
     "patterns prune: spare those younger than so many events (default: 0)", 0},
    {"state-dir", KEY_STATE_DIR, "DIR", 0,
     "generations, check, forget, export: the store of a sidecar that is stopped", 0},
    {"client", KEY_CLIENT, "UID", 0, "forget: what clients of this user brought", 0},
    {"tenant", KEY_TENANT, "T", 0, "forget: what was of this tenant", 0},
    {"before", KEY_BEFORE, "TIME", 0,
     "forget: what is older, as 2026-11-22 or 2026-11-22T10:00:00Z", 0},
    {"jsonl", KEY_JSONL, NULL, 0, "export: JSON lines, the one format there is", 0},
    {"from", KEY_FROM, "N", 0, "export: the first position (default: the oldest row)", 0},
    {"to", KEY_TO, "N", 0, "export: the last position (default: the newest row)", 0},
    {"file", KEY_FILE, "FILE", 0, "export: into this new file (default: standard output)", 0},
    {0},
};

#define WORDS_MAX 4 /* routes mode NAME MODE */

struct options {
    const char *instance, *runtime_dir;
    bool json;
    char *word[WORDS_MAX];
    int n_words;
    uint32_t query; /* enum sona_wire_query; 0: a command */
    struct sona_wire_command command;
    struct sona_tools_upkeep upkeep;
};

/* What can be typed, in words; those in capitals stand for any word, the rest for themselves. */
static const struct form {
    const char *word[WORDS_MAX];
    uint32_t query, command;
    enum sona_tools_upkeep_what upkeep; /* with --state-dir */
} forms[] = {
    {{"status"}, SONA_WIRE_STATUS, 0, SONA_TOOLS_NO_UPKEEP},
    {{"stats"}, SONA_WIRE_STATS, 0, SONA_TOOLS_NO_UPKEEP},
    {{"patterns"}, SONA_WIRE_PATTERNS, 0, SONA_TOOLS_NO_UPKEEP},
    {{"routes", "list"}, SONA_WIRE_ROUTES, 0, SONA_TOOLS_NO_UPKEEP},
    {{"config"}, SONA_WIRE_CONFIG, 0, SONA_TOOLS_NO_UPKEEP},
    {{"routes", "add", "NAME"}, 0, SONA_WIRE_ROUTE_ADD, SONA_TOOLS_NO_UPKEEP},
    {{"routes", "retire", "NAME"}, 0, SONA_WIRE_ROUTE_RETIRE, SONA_TOOLS_NO_UPKEEP},
    {{"routes", "mode", "NAME", "MODE"}, 0, SONA_WIRE_ROUTE_MODE, SONA_TOOLS_NO_UPKEEP},
    {{"routes", "cost", "NAME", "C"}, 0, SONA_WIRE_ROUTE_COST, SONA_TOOLS_NO_UPKEEP},
    {{"learn"}, 0, SONA_WIRE_LEARN, SONA_TOOLS_NO_UPKEEP},
    {{"flush"}, 0, SONA_WIRE_FLUSH, SONA_TOOLS_NO_UPKEEP},
    {{"enable"}, 0, SONA_WIRE_ENABLE, SONA_TOOLS_NO_UPKEEP},
    {{"disable"}, 0, SONA_WIRE_DISABLE, SONA_TOOLS_NO_UPKEEP},
    {{"patterns", "decay", "FACTOR"}, 0, SONA_WIRE_PATTERNS_DECAY, SONA_TOOLS_NO_UPKEEP},
    {{"patterns", "prune", "QUALITY"}, 0, SONA_WIRE_PATTERNS_PRUNE, SONA_TOOLS_NO_UPKEEP},
    {{"patterns", "consolidate", "COSINE"},
     0,
     SONA_WIRE_PATTERNS_CONSOLIDATE,
     SONA_TOOLS_NO_UPKEEP},
    {{"ewc"}, 0, SONA_WIRE_EWC, SONA_TOOLS_NO_UPKEEP},
    {{"ewc", "boundary"}, 0, SONA_WIRE_EWC_BOUNDARY, SONA_TOOLS_NO_UPKEEP},
    {{"ewc", "consolidate"}, 0, SONA_WIRE_EWC_CONSOLIDATE, SONA_TOOLS_NO_UPKEEP},
    {{"generations", "list"}, SONA_WIRE_GENERATIONS, 0, SONA_TOOLS_LIST},
    {{"generations", "pin", "N"}, 0, 0, SONA_TOOLS_PIN},
    {{"generations", "unpin", "N"}, 0, 0, SONA_TOOLS_UNPIN},
    {{"generations", "rollback", "N"}, 0, 0, SONA_TOOLS_ROLLBACK},
    {{"check"}, 0, 0, SONA_TOOLS_CHECK},
    {{"forget"}, 0, 0, SONA_TOOLS_FORGET},
    {{"export"}, 0, 0, SONA_TOOLS_EXPORT},
};

#define COMMANDS                                                                                  \
    "status, stats, config, patterns, patterns decay FACTOR|prune QUALITY|consolidate COSINE, "   \
    "routes list|add NAME|retire NAME|mode NAME apply|observe|bypass|cost NAME C, learn, flush, " \
    "enable, disable, ewc, ewc boundary, ewc consolidate, generations list|pin N|unpin N|"        \
    "rollback N, check, forget and export"

static bool matches(const struct form *form, const struct options *o)
{
    for (int i = 0; i < WORDS_MAX; i++) {
        const char *word = form->word[i];

        if (!word || i >= o->n_words)
            return !word && i >= o->n_words;
        if (word[0] >= 'a' && strcmp(word, o->word[i]) != 0)
            return false;
    }
    return true;
}

static float number_of(const char *text, struct argp_state *state)
{
    char *end;
    float value = strtof(text, &end);

    if (end == text || *end != '\0')
        argp_error(state, "\"%s\" is no number", text);
    return value;
}

static uint64_t count_of(const char *text, struct argp_state *state)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end != '\0')
        argp_error(state, "\"%s\" is no whole number", text);
    return value;
}

static void take_mode(struct options *o, struct argp_state *state)
{
    static const char *const modes[] = {"apply", "observe", "bypass"};

    for (uint32_t m = 0; m < sizeof modes / sizeof modes[0]; m++)
        if (strcmp(o->word[3], modes[m]) == 0) {
            o->command.mode = m;
            return;
        }
    argp_error(state, "\"%s\" is no mode; there are apply, observe and bypass", o->word[3]);
}

/* What is asked of a store. */
static void understand_upkeep(struct options *o, const struct form *form, struct argp_state *state)
{
    const struct sona_store_rule *rule = &o->upkeep.rule;

    if (!o->upkeep.state_dir) {
        if (form->query == 0 && form->command == 0)
            argp_error(state, "%s is about a store: name it with --state-dir", o->word[0]);
        return;
    }
    if (form->upkeep == SONA_TOOLS_NO_UPKEEP)
        argp_error(state, "%s is of a running sidecar; leave --state-dir out", o->word[0]);
    if (form->upkeep == SONA_TOOLS_FORGET && !rule->by_uid && !rule->by_tenant && !rule->by_before)
        argp_error(state, "forget whom, or what? there are --client, --tenant and --before");
    o->upkeep.what = form->upkeep;
    o->upkeep.instance = o->instance;
    o->upkeep.runtime_dir = o->runtime_dir;
    if (o->n_words == 3)
        o->upkeep.number = count_of(o->word[2], state);
}

/* All words are there: which form is it? */
static void understand(struct options *o, struct argp_state *state)
{
    const struct form *form = NULL;

    for (size_t i = 0; i < sizeof forms / sizeof forms[0] && !form; i++)
        form = matches(&forms[i], o) ? &forms[i] : NULL;
    if (o->n_words == 0)
        argp_error(state, "a command is missing; there are " COMMANDS);
    if (!form) {
        argp_error(state, "\"%s%s%s\" is no command; there are " COMMANDS, o->word[0],
                   o->n_words > 1 ? " " : "", o->n_words > 1 ? o->word[1] : "");
        return;
    }
    o->query = form->query;
    o->command.what = form->command;
    understand_upkeep(o, form, state);
    if (form->command >= SONA_WIRE_ROUTE_ADD && form->command <= SONA_WIRE_ROUTE_COST &&
        snprintf(o->command.spec.name, sizeof o->command.spec.name, "%s", o->word[2]) >=
            (int)sizeof o->command.spec.name)
        argp_error(state, "a route's name has at most %d bytes", SONA_ROUTE_NAME_MAX - 1);
    if (form->command == SONA_WIRE_ROUTE_MODE)
        take_mode(o, state);
    if (form->command == SONA_WIRE_ROUTE_COST)
        o->command.spec.cost = number_of(o->word[3], state);
    if (form->command == SONA_WIRE_PATTERNS_PRUNE)
        o->command.rule.min_quality = number_of(o->word[2], state);
    else if (form->command == SONA_WIRE_PATTERNS_DECAY ||
             form->command == SONA_WIRE_PATTERNS_CONSOLIDATE)
        o->command.amount = number_of(o->word[2], state);
}

static uint32_t id_of(const char *text, struct argp_state *state)
{
    uint64_t value = count_of(text, state);

    if (value > UINT32_MAX)
        argp_error(state, "\"%s\" is too large", text);
    return (uint32_t)value;
}

/* Options about a store; what else there is is not known here. */
static error_t take_upkeep(struct sona_tools_upkeep *u, int key, char *text,
                           struct argp_state *state)
{
    switch (key) {
    case KEY_STATE_DIR:
        u->state_dir = text;
        return 0;
    case KEY_CLIENT:
        u->rule.by_uid = true;
        u->rule.uid = id_of(text, state);
        return 0;
    case KEY_TENANT:
        u->rule.by_tenant = true;
        u->rule.tenant = id_of(text, state);
        return 0;
    case KEY_BEFORE:
        u->rule.by_before = true;
        if (!sona_tools_upkeep_time(text, &u->rule.before_ms))
            argp_error(state, "\"%s\" is no time, as 2026-11-22 or 2026-11-22T10:00:00Z", text);
        return 0;
    case KEY_FROM:
        u->from = count_of(text, state);
        return 0;
    case KEY_TO:
        u->to = count_of(text, state);
        return 0;
    case KEY_FILE:
        u->file = text;
        return 0;
    case KEY_JSONL:
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t take(int key, char *text, struct argp_state *state)
{
    struct options *o = state->input;

    switch (key) {
    case KEY_INSTANCE:
        o->instance = text;
        return 0;
    case KEY_RUNTIME_DIR:
        o->runtime_dir = text;
        return 0;
    case KEY_JSON:
        o->json = true;
        return 0;
    case KEY_COST:
        o->command.spec.cost = number_of(text, state);
        return 0;
    case KEY_PRIOR_QUALITY:
        o->command.spec.prior_quality = number_of(text, state);
        return 0;
    case KEY_PRIOR_WEIGHT:
        o->command.spec.prior_weight = number_of(text, state);
        return 0;
    case KEY_MIN_ACCESSES:
        o->command.rule.min_accesses = count_of(text, state);
        return 0;
    case KEY_MIN_AGE:
        o->command.rule.min_age = count_of(text, state);
        return 0;
    case ARGP_KEY_ARG:
        if (o->n_words == WORDS_MAX)
            argp_error(state, "\"%s\" is one word too many", text);
        else
            o->word[o->n_words++] = text;
        return 0;
    case ARGP_KEY_END:
        understand(o, state);
        return 0;
    default:
        return take_upkeep(&o->upkeep, key, text, state);
    }
}

static int print_answer(const struct options *options, const char *json)
{
    json_error_t error;

    if (options->json)
        return puts(json) < 0 ? EXIT_FAILED : 0;
    json_t *o = json_loads(json, 0, &error);
    if (!o) {
        (void)fprintf(stderr, "sonactl: the sidecar's answer is no JSON: %s\n", error.text);
        return EXIT_FAILED;
    }
    sona_tools_answer_print(options->query, options->command.what, o);
    json_decref(o);
    return fflush(stdout) != 0 ? EXIT_FAILED : 0;
}

static int fail(sona_err err, const sona_diag *diag)
{
    (void)fprintf(stderr, "sonactl: %s\n", diag->text);
    return err == SONA_E_ABSENT  ? EXIT_ABSENT
           : err == SONA_E_ABI   ? EXIT_MISMATCH
           : err == SONA_E_RANGE ? EXIT_USAGE
                                 : EXIT_FAILED;
}

static int look_after(const struct options *options)
{
    json_t *answer = NULL;
    int status = 0;
    sona_diag diag = {0};
    sona_err err = sona_tools_upkeep(&options->upkeep, &answer, &diag);

    if (err != SONA_OK)
        return fail(err, &diag);
    if (!answer)
        return 0;
    if (options->json) {
        char *text = json_dumps(answer, JSON_COMPACT | JSON_PRESERVE_ORDER);

        if (!text || puts(text) < 0)
            status = EXIT_FAILED;
        free(text);
    } else {
        sona_tools_upkeep_print(options->upkeep.what, answer);
    }
    if (status == 0 && options->upkeep.what == SONA_TOOLS_CHECK)
        status = sona_tools_upkeep_status(answer);
    json_decref(answer);
    return fflush(stdout) != 0 ? EXIT_FAILED : status;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {
        .options = table,
        .parser = take,
        .args_doc = "status|stats|config|patterns\n"
                    "routes list|add NAME|retire NAME\n"
                    "routes mode NAME apply|observe|bypass\n"
                    "routes cost NAME C\n"
                    "learn|flush|enable|disable\n"
                    "patterns decay FACTOR|prune QUALITY|consolidate COSINE\n"
                    "ewc [boundary|consolidate]\n"
                    "generations list|pin N|unpin N|rollback N --state-dir DIR\n"
                    "check|export --state-dir DIR\n"
                    "forget --client UID|--tenant T|--before TIME --state-dir DIR",
        .doc =
            "Ask a running sona-sidecar how it is, or have it change something: a command returns "
            "when its change is published. learn forces a background cycle; flush learns all "
            "that was accepted so far and discards nothing. patterns decay fades all evidence of "
            "the bank by a factor (0..1), prune removes the patterns below a mean quality, "
            "consolidate merges those at least so alike (-1..1). ewc says how EWC++ stands; ewc "
            "boundary ends a task, whose weights become an anchor, and ewc consolidate makes one "
            "of all anchors.\n\n"
            "With --state-dir, of a sidecar that is stopped: generations are the copies of its "
            "state; rollback makes an older one the newest, from which the next start goes on, "
            "and can be undone the same way. check verifies the store. forget blanks the rows "
            "that match all that is named; what they taught stays in the weights. export writes "
            "the journal.\v"
            "Exit status: 0 ok, 1 failed, 2 usage, 3 not running or no such store, 4 degraded "
            "(check: a start works, but something is lost), 5 version mismatch."};
    struct options options = {.command = {.spec = {.prior_quality = 0.5f, .prior_weight = 1},
                                          .rule.min_accesses = UINT64_MAX}};
    char *json = NULL;
    sona_diag diag = {0};

    argp_program_version = "sonactl " SONA_VERSION;
    argp_err_exit_status = EXIT_USAGE;
    if (argp_parse(&argp, argc, argv, 0, NULL, &options) != 0)
        return EXIT_USAGE;
    if (options.upkeep.what != SONA_TOOLS_NO_UPKEEP)
        return look_after(&options);
    sona_err err = options.query != 0 ? sona_tools_query(options.runtime_dir, options.instance,
                                                         options.query, &json, &diag)
                                      : sona_tools_command(options.runtime_dir, options.instance,
                                                           &options.command, &json, &diag);
    if (err != SONA_OK)
        return fail(err, &diag);
    int status = print_answer(&options, json);
    free(json);
    return status;
}
