/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * sonactl: ask a running sidecar how it is, or have it change something (the table of
 * shm/control.h); or look after the store of one that is stopped (upkeep.h). The answer is JSON;
 * this prints it, or lays it out for reading. Exit status: 0 ok, 1 failed, 2 usage, 3 not running,
 * 4 degraded (check, health), 5 version mismatch.
 */
#include <argp.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include <sona/version.h>

#include "shm/control.h"
#include "tools/answer.h"
#include "tools/completion.h"
#include "tools/lines.h"
#include "tools/option.h"
#include "tools/query.h"
#include "tools/top.h"
#include "tools/transfer.h"
#include "tools/typed.h"
#include "tools/upkeep.h"

#define EXIT_FAILED   1
#define EXIT_USAGE    2
#define EXIT_ABSENT   3
#define EXIT_DEGRADED 4
#define EXIT_MISMATCH 5

enum key {
    KEY_INSTANCE = 0x100,
    KEY_RUNTIME_DIR,
    KEY_JSON,
    KEY_COMPLETION,
    KEY_STATE_DIR,
    KEY_CLIENT,
    KEY_TENANT,
    KEY_BEFORE,
    KEY_FROM,
    KEY_TO,
    KEY_FILE,
    KEY_JSONL,
    KEY_COUNT,
    KEY_ARGUMENT = 0x200 /* and the index of one in shm/control.h */
};

static const struct argp_option own[] = {
    {"instance", KEY_INSTANCE, "NAME", 0, "name of the instance (default: \"default\")", 0},
    {"runtime-dir", KEY_RUNTIME_DIR, "DIR", 0,
     "directory of its socket (default: /run/sona, else $XDG_RUNTIME_DIR/sona)", 0},
    {"json", KEY_JSON, NULL, 0, "print the sidecar's JSON as it is", 0},
    {"completion", KEY_COMPLETION, NULL, 0, "print the completion for bash, and end", 0},
    {"state-dir", KEY_STATE_DIR, "DIR", 0,
     "generations, check, forget, export: the store of a sidecar that is stopped", 0},
    {"client", KEY_CLIENT, "UID", 0, "forget: what clients of this user brought", 0},
    {"tenant", KEY_TENANT, "T", 0, "forget: what was of this tenant", 0},
    {"before", KEY_BEFORE, "TIME", 0,
     "forget: what is older, as 2026-11-22 or 2026-11-22T10:00:00Z", 0},
    {"jsonl", KEY_JSONL, NULL, 0, "export: JSON lines, the one format there is", 0},
    {"from", KEY_FROM, "N", 0, "export: the first position (default: the oldest row)", 0},
    {"to", KEY_TO, "N", 0, "export: the last position (default: the newest row)", 0},
    {"count", KEY_COUNT, "N", 0, "top: end after N seconds (default: when q is typed)", 0},
    {"file", KEY_FILE, "FILE", 0,
     "export: into this new file; import: from this one (default: standard output, input)", 0},
};

#define OWN         (sizeof own / sizeof own[0])
#define OPTIONS_MAX 48
#define WORDS_MAX   4 /* routes mode NAME MODE */

/* Those above, and one for each argument that is an option of some command. */
static struct argp_option table[OPTIONS_MAX];

struct options {
    const char *instance, *runtime_dir;
    bool json, below_zero;
    char *word[WORDS_MAX];
    int n_words;
    const struct sona_control_command *command; /* null: one on a store */
    bool top;                                   /* look at it each second */
    uint64_t count;                             /* seconds of that; 0: no end */
    uint64_t given;                             /* options of commands, by index */
    const char *text[OPTIONS_MAX];              /* what was said of each */
    struct sona_control_request request;
    struct sona_tools_upkeep upkeep;
};

/* ---- what can be typed ---- */

/* Words in capitals stand for any word, the rest for themselves. */
static bool matches(const char *words, const struct options *o)
{
    for (int i = 0;; i++) {
        size_t n = strcspn(words, " ");

        if (n == 0 || i >= o->n_words)
            return n == 0 && i >= o->n_words;
        if (words[0] >= 'a' && (strlen(o->word[i]) != n || strncmp(words, o->word[i], n) != 0))
            return false;
        words += n + (words[n] == ' ');
    }
}

static uint32_t index_of(const struct sona_control_argument *argument)
{
    uint32_t i = 0;

    while (sona_control_argument_at(i) != argument)
        i++;
    return i;
}

/* --help, between the head and the options: every form with its sentence. */
static char *filter_help(int key, const char *text, void *input)
{
    const struct sona_control_command *c;
    const struct sona_tools_upkeep_form *u;
    char *ret = NULL;
    size_t bytes;
    FILE *to = key == ARGP_KEY_HELP_PRE_DOC ? open_memstream(&ret, &bytes) : NULL;

    (void)input;
    if (!to)
        return (char *)(uintptr_t)text;
    (void)fprintf(to, "%s\n\nOf a running sidecar:\n", text);
    for (uint32_t i = 0; (c = sona_control_command_at(i)) != NULL; i++)
        (void)fprintf(to, "  %-28s %s\n", c->words, c->help);
    (void)fprintf(to, "  %-28s %s\n", SONA_TOOLS_TOP_WORD, SONA_TOOLS_TOP_HELP);
    (void)fprintf(to, "\nOf a stopped one, with --state-dir DIR:\n");
    for (uint32_t i = 0; (u = sona_tools_upkeep_form_at(i)) != NULL; i++)
        (void)fprintf(to, "  %-28s %s\n", u->words, u->help);
    return fclose(to) == 0 ? ret : (char *)(uintptr_t)text;
}

/* Our own options, and the arguments of commands that need not be given, once each. */
static void make_table(void)
{
    static char name[OPTIONS_MAX][32], help[OPTIONS_MAX][192];
    const struct sona_control_command *c;
    const struct sona_control_argument *a;
    size_t at = OWN;
    bool needed;

    memcpy(table, own, sizeof own);
    for (uint32_t i = 0; (c = sona_control_command_at(i)) != NULL; i++)
        for (uint32_t n = 0; (a = sona_control_argument_of(c, n, &needed)) != NULL; n++) {
            uint32_t key = index_of(a);

            if (needed || name[key][0] || at == OPTIONS_MAX - 1)
                continue;
            (void)snprintf(name[key], sizeof name[key], "%s", a->key);
            for (char *dash = name[key]; *dash; dash++)
                *dash = *dash == '_' ? '-' : *dash;
            (void)snprintf(help[key], sizeof help[key], "%s: %s", c->words, a->help);
            table[at++] = (struct argp_option){.name = name[key],
                                               .key = KEY_ARGUMENT + (int)key,
                                               .arg = a->metavar,
                                               .doc = help[key]};
        }
    for (int digit = '0'; digit <= '9' && at < OPTIONS_MAX - 1; digit++) /* "-1" is no option */
        table[at++] = (struct argp_option){.key = digit, .flags = OPTION_HIDDEN, .doc = ""};
}

static uint64_t count_of(const char *text, struct argp_state *state)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end != '\0')
        argp_error(state, "\"%s\" is no whole number", text);
    return value;
}

/* What was typed for an argument, into the request. */
static void take_argument(struct sona_control_request *request,
                          const struct sona_control_argument *a, const char *text,
                          struct argp_state *state)
{
    char *at = (char *)request + a->offset, *end;
    uint64_t count;
    uint32_t mode;
    float real;

    switch (a->type) {
    case SONA_CONTROL_NAME:
        if (snprintf(at, SONA_ROUTE_NAME_MAX, "%s", text) >= SONA_ROUTE_NAME_MAX)
            argp_error(state, "a route's name has at most %d bytes", SONA_ROUTE_NAME_MAX - 1);
        return;
    case SONA_CONTROL_MODE:
        if (!sona_control_mode_of(text, &mode))
            argp_error(state, "\"%s\" is no mode; there are %s", text, "apply, observe and bypass");
        memcpy(at, &mode, sizeof mode);
        return;
    case SONA_CONTROL_REAL:
        real = strtof(text, &end);
        if (end == text || *end != '\0')
            argp_error(state, "\"%s\" is no number", text);
        memcpy(at, &real, sizeof real);
        return;
    case SONA_CONTROL_COUNT:
        count = count_of(text, state);
        memcpy(at, &count, sizeof count);
        return;
    }
}

/* Options of which rows: nobody who typed them meant all rows. */
static void refuse_ranges(const struct sona_tools_upkeep *u, bool ranges, bool rules,
                          const char *words, struct argp_state *state)
{
    if (!ranges && (u->from > 0 || u->to > 0))
        argp_error(state, "\"%s\" takes neither --from nor --to", words);
    if (!rules && (u->rule.by_uid || u->rule.by_tenant || u->rule.by_before))
        argp_error(state, "\"%s\" takes neither --client nor --tenant nor --before", words);
}

/* The words and options of a command become a request. */
static void understand_command(struct options *o, struct argp_state *state)
{
    const struct sona_control_argument *a;
    uint64_t known = 0;
    int word = 0;
    bool needed;

    o->request = sona_control_request_of(o->command->what);
    if (o->upkeep.file && o->command->class != SONA_CONTROL_ADAPTERS &&
        o->command->class != SONA_CONTROL_LINES)
        argp_error(state, "\"%s\" takes no file", o->command->words);
    refuse_ranges(&o->upkeep, o->command->what == SONA_CONTROL_EXPORT_DECISIONS, false,
                  o->command->words, state);
    for (uint32_t n = 0; (a = sona_control_argument_of(o->command, n, &needed)) != NULL; n++) {
        uint32_t i = index_of(a);

        while (needed && !sona_control_word_is_argument(o->command, (uint32_t)word))
            word++; /* as many as were typed: they match */
        if (needed)
            take_argument(&o->request, a, o->word[word++], state);
        else if (o->given & 1ull << i)
            take_argument(&o->request, a, o->text[i], state);
        if (!needed)
            known |= 1ull << i;
    }
    for (uint32_t i = 0; (a = sona_control_argument_at(i)) != NULL; i++)
        if (o->given & ~known & 1ull << i)
            argp_error(state, "\"%s\" takes no such option: %s", o->command->words, a->key);
}

/* What is asked of a store. */
static void understand_upkeep(struct options *o, const struct sona_tools_upkeep_form *form,
                              struct argp_state *state)
{
    const struct sona_store_rule *rule = &o->upkeep.rule;

    if (o->given != 0)
        argp_error(state, "\"%s\" takes no option of a running sidecar", form->words);
    if (o->upkeep.file && form->what != SONA_TOOLS_EXPORT)
        argp_error(state, "\"%s\" takes no file", form->words);
    refuse_ranges(&o->upkeep, form->what == SONA_TOOLS_EXPORT, form->what == SONA_TOOLS_FORGET,
                  form->words, state);
    if (form->what == SONA_TOOLS_FORGET && !rule->by_uid && !rule->by_tenant && !rule->by_before)
        argp_error(state, "forget whom, or what? there are --client, --tenant and --before");
    o->upkeep.what = form->what;
    o->upkeep.instance = o->instance;
    o->upkeep.runtime_dir = o->runtime_dir;
    if (o->n_words == 3)
        o->upkeep.number = count_of(o->word[2], state);
}

/* All words are there: which form is it? */
static void understand(struct options *o, struct argp_state *state)
{
    const struct sona_control_command *c = NULL;
    const struct sona_tools_upkeep_form *u = NULL;
    uint32_t i;

    if (o->below_zero)
        sona_tools_typed_refuse_dash(o->word, o->n_words);
    if (o->n_words == 0)
        sona_tools_typed_refuse(o->word, o->n_words);
    o->top = o->n_words == 1 && strcmp(o->word[0], SONA_TOOLS_TOP_WORD) == 0;
    if (o->top)
        refuse_ranges(&o->upkeep, false, false, "top", state);
    if (o->top && (o->given != 0 || o->upkeep.file || o->upkeep.state_dir))
        argp_error(state, "top takes --count alone, and what names the sidecar");
    if (o->count > 0 && !o->top)
        argp_error(state, "--count is of top");
    if (o->top)
        return;
    for (i = 0; (c = sona_control_command_at(i)) != NULL && !matches(c->words, o);)
        i++;
    for (i = 0; (u = sona_tools_upkeep_form_at(i)) != NULL && !matches(u->words, o);)
        i++;
    if (u && o->upkeep.state_dir) {
        understand_upkeep(o, u, state);
    } else if (c && !o->upkeep.state_dir) {
        o->command = c;
        understand_command(o, state);
    } else if (c) {
        argp_error(state, "%s is of a running sidecar; leave --state-dir out", o->word[0]);
    } else if (u) {
        argp_error(state, "%s is about a store: name it with --state-dir", o->word[0]);
    } else {
        sona_tools_typed_refuse(o->word, o->n_words);
    }
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
        u->state_dir = text[0] != '\0' ? text : NULL; /* empty: none, as the sidecar's */
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
        o->runtime_dir = text[0] != '\0' ? text : NULL; /* empty: the default, as the sidecar's */
        return 0;
    case KEY_COUNT:
        o->count = count_of(text, state);
        return 0;
    case KEY_JSON:
        o->json = true;
        return 0;
    case KEY_COMPLETION:
        exit(sona_tools_completion_print(table, stdout) ? 0 : EXIT_FAILED);
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
        o->below_zero = o->below_zero || (key >= '0' && key <= '9');
        if (key >= '0' && key <= '9')
            return 0;
        if (key >= KEY_ARGUMENT && sona_control_argument_at((uint32_t)key - KEY_ARGUMENT)) {
            o->given |= 1ull << (key - KEY_ARGUMENT);
            o->text[key - KEY_ARGUMENT] = text;
            return 0;
        }
        return take_upkeep(&o->upkeep, key, text, state);
    }
}

static int print_answer(const struct options *options, const char *json)
{
    json_error_t error;
    json_t *o = json_loads(json, 0, &error);

    if (!o) {
        (void)fprintf(stderr, "sonactl: the sidecar's answer is no JSON: %s\n", error.text);
        return EXIT_FAILED;
    }
    bool degraded = options->command->what == SONA_CONTROL_HEALTH &&
                    !json_is_true(json_object_get(o, "healthy"));
    if (options->json)
        (void)fputs(json, stdout);
    else
        sona_tools_answer_print(options->command->what, o);
    int status = options->command->what == SONA_CONTROL_CHECK ? sona_tools_upkeep_status(o)
                 : degraded                                   ? EXIT_DEGRADED
                                                              : 0;
    json_decref(o);
    return fflush(stdout) != 0 || ferror(stdout) ? EXIT_FAILED : status;
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

static int watch(const struct options *options)
{
    const struct sona_tools_top top = {.runtime_dir = options->runtime_dir,
                                       .instance = options->instance,
                                       .json = options->json,
                                       .count = options->count};
    sona_diag diag = {0};
    sona_err err = sona_tools_top(&top, &diag);

    return err == SONA_OK ? 0 : fail(err, &diag);
}

static struct sona_tools_lines lines_of(const struct options *options)
{
    return (struct sona_tools_lines){.runtime_dir = options->runtime_dir,
                                     .instance = options->instance,
                                     .command = options->command,
                                     .file = options->upkeep.file};
}

static int import_lines(const struct options *options)
{
    const struct sona_tools_lines ask = lines_of(options);
    json_t *answer = NULL;
    sona_diag diag = {0};
    sona_err err = sona_tools_lines_import(&ask, &answer, &diag);

    if (err != SONA_OK)
        return fail(err, &diag);
    char *json = json_dumps(answer, JSON_COMPACT | JSON_PRESERVE_ORDER);
    int status = json ? print_answer(options, json) : EXIT_FAILED;
    if (options->json)
        (void)putchar('\n');
    if (status == 0 && json_integer_value(json_object_get(answer, "refused")) > 0)
        status = EXIT_FAILED;
    free(json);
    json_decref(answer);
    return status;
}

static int export_lines(const struct options *options)
{
    const struct sona_tools_lines ask = lines_of(options);
    json_t *answer = NULL;
    sona_diag diag = {0};
    sona_err err =
        sona_tools_lines_export(&ask, options->upkeep.from, options->upkeep.to, &answer, &diag);

    if (err != SONA_OK)
        return fail(err, &diag);
    if (ask.file && options->json)
        (void)json_dumpf(answer, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
    else if (ask.file)
        (void)printf("exported: %lld lines of the journal up to position %lld, to %s",
                     (long long)json_integer_value(json_object_get(answer, "lines")),
                     (long long)json_integer_value(json_object_get(answer, "end")), ask.file);
    if (ask.file)
        (void)putchar('\n');
    json_decref(answer);
    return fflush(stdout) != 0 ? EXIT_FAILED : 0;
}

static int transfer(const struct options *options)
{
    const struct sona_control_command *command = options->command;
    const char *file = options->upkeep.file;
    size_t bytes = 0;
    char *json = NULL;
    sona_diag diag = {0};

    if (command->what == SONA_CONTROL_IMPORT_PATTERNS ||
        command->what == SONA_CONTROL_IMPORT_DECISIONS)
        return import_lines(options);
    if (command->what == SONA_CONTROL_EXPORT_DECISIONS)
        return export_lines(options);
    if (command->what == SONA_CONTROL_IMPORT_ADAPTERS) {
        sona_err err =
            sona_tools_import(options->runtime_dir, options->instance, command, file, &json, &diag);
        int status = err == SONA_OK ? print_answer(options, json) : fail(err, &diag);

        free(json);
        return status;
    }
    sona_err err =
        sona_tools_export(options->runtime_dir, options->instance, command, file, &bytes, &diag);
    if (err != SONA_OK)
        return fail(err, &diag);
    if (file && options->json)
        (void)printf("{\"command\":\"export_%s\",\"bytes\":%zu}\n",
                     command->words + strlen("export "), bytes);
    else if (file)
        (void)printf("exported: %zu bytes to %s\n", bytes, file);
    return fflush(stdout) != 0 ? EXIT_FAILED : 0;
}

/* argp ends --help by itself, and with 0. Who closed a pipe had enough. */
static void end(void)
{
    errno = 0;
    if ((fflush(stdout) == 0 && !ferror(stdout)) || errno == EPIPE)
        return;
    (void)sona_tools_option_shown("sonactl");
    _exit(EXIT_FAILED);
}

int main(int argc, char **argv)
{
    static const struct argp argp = {
        .options = table,
        .parser = take,
        .args_doc = "COMMAND...",
        .doc = "Ask a running sona-sidecar how it is, or have it change something: a command "
               "returns when its change is published. Or look after the store of one that is "
               "stopped: generations are the copies of its state.\v"
               "Exit status: 0 ok, 1 failed, 2 usage, 3 not running or no such store, 4 degraded "
               "(health; check: a start works, but something is lost), 5 version mismatch.",
        .help_filter = filter_help};
    struct options options = {.instance = NULL};
    char *json = NULL;
    sona_diag diag = {0};

    (void)atexit(end);
    argp_program_version = "sonactl " SONA_VERSION;
    argp_err_exit_status = EXIT_USAGE;
    make_table();
    if (argp_parse(&argp, argc, argv, 0, NULL, &options) != 0)
        return EXIT_USAGE;
    if (options.top)
        return watch(&options);
    if (options.upkeep.what != SONA_TOOLS_NO_UPKEEP)
        return look_after(&options);
    if (options.command->class == SONA_CONTROL_ADAPTERS ||
        options.command->class == SONA_CONTROL_LINES)
        return transfer(&options);
    sona_err err =
        sona_tools_ask(options.runtime_dir, options.instance, &options.request, &json, &diag);
    if (err != SONA_OK)
        return fail(err, &diag);
    int status = print_answer(&options, json);
    free(json);
    return status;
}
