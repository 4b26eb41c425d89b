/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See options.h. The command line is remembered word by word and said after everything else, so
 * that it wins, at a reload as at the start. */
#include "sidecar/options.h"

#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sona/version.h>

#include "sidecar/config/gather.h"
#include "sidecar/config/pages.h"
#include "sidecar/config/text.h"
#include "sidecar/log.h"

#define EXIT_USAGE  2
#define WORDS_MAX   1024
#define KEY_SETTING 0x1000 /* + row of the table */

enum flag {
    FLAG_CONFIG = 0x100,
    FLAG_ISOLATED,
    FLAG_SET,
    FLAG_DIM,
    FLAG_READY_FD,
    FLAG_CHECK,
    FLAG_PRINT,
    FLAG_MEMORY
};

static const struct {
    enum flag key;
    int letter;
    const char *name, *argument, *help;
    bool optional;
} flags[] = {
    {FLAG_CONFIG, 'c', "config", "FILE",
     "the configuration (default: " SONA_SIDECAR_CONFIG_FILE
     "); conf.d/*.yaml beside it are read after it",
     false},
    {FLAG_ISOLATED, 0, "isolated", NULL, "read neither the environment nor, without -c, any file",
     false},
    {FLAG_SET, 0, "set", "KEY=VALUE", "set any key; they are listed below", false},
    {FLAG_DIM, 0, "dim", "N", "the same as --set embedding_dim=N", false},
    {FLAG_READY_FD, 0, "ready-fd", "FD", "write READY and a newline there once clients can attach",
     false},
    {FLAG_CHECK, 0, "check", NULL, "check configuration and surroundings, say so, and exit", false},
    {FLAG_PRINT, 0, "print-config", NULL,
     "write the whole configuration in effect, which can be read back, and exit", false},
    {FLAG_MEMORY, 0, "memory", "json",
     "write the bytes that each preset, and this configuration, will take, and exit", true},
};
#define FLAGS (sizeof flags / sizeof flags[0])

/* What was typed. */
static struct {
    struct word {
        int key;
        char *text; /* null: without an argument */
    } word[WORDS_MAX];
    uint32_t n;
    uint32_t lost; /* words that were too many */
} line;

void sona_sidecar_options_done(void)
{
    for (uint32_t i = 0; i < line.n; i++)
        free(line.word[i].text);
    line.n = line.lost = 0;
}

void sona_sidecar_options_each_flag(void (*visit)(void *arg, const char *name, int letter,
                                                  const char *argument, const char *help),
                                    void *arg)
{
    for (size_t i = 0; i < FLAGS; i++)
        visit(arg, flags[i].name, flags[i].letter, flags[i].argument, flags[i].help);
}

static error_t take(int key, char *text, struct argp_state *state)
{
    (void)state;
    if (key < FLAG_CONFIG && key != ARGP_KEY_ARG && key != 'c')
        return ARGP_ERR_UNKNOWN;
    if (key > KEY_SETTING + (int)SONA_SIDECAR_SETTINGS_MAX)
        return ARGP_ERR_UNKNOWN;
    char *copy = text ? strdup(text) : NULL;
    if (text && !copy)
        return ENOMEM;
    if (line.n == WORDS_MAX) {
        free(copy);
        line.lost++;
        return 0;
    }
    line.word[line.n++] = (struct word){.key = key == 'c' ? FLAG_CONFIG : key, .text = copy};
    return 0;
}

/* ---- what the words mean ---- */

static const char *last_of(enum flag flag)
{
    const char *ret = NULL;

    for (uint32_t i = 0; i < line.n; i++)
        if (line.word[i].key == (int)flag)
            ret = line.word[i].text ? line.word[i].text : "";
    return ret;
}

static void say_key(struct sona_sidecar_gather *g, const char *text)
{
    size_t n = strcspn(text, "=");
    char key[SONA_SIDECAR_VALUE_MAX], where[SONA_SIDECAR_VALUE_MAX + 8], what[SONA_DIAG_TEXT_MAX];

    (void)snprintf(key, sizeof key, "%.*s", (int)(n < 64 ? n : 64), text);
    (void)snprintf(where, sizeof where, "--set %s", key);
    const struct sona_sidecar_setting *s = sona_sidecar_setting_find(NULL, key);
    if (text[n] == '\0') {
        sona_sidecar_gather_mistake(g, "--set", "it takes key=value, not \"%.64s\"", text);
    } else if (!s) {
        sona_sidecar_setting_unknown(NULL, key, what);
        sona_sidecar_gather_mistake(g, where, "%s", what);
    } else {
        sona_sidecar_gather_say(g, s, where, text + n + 1);
    }
}

static void take_ready_fd(struct sona_sidecar_gather *g, struct sona_sidecar_options *o,
                          const char *text)
{
    char *end;

    errno = 0;
    long value = strtol(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value > INT32_MAX)
        sona_sidecar_gather_mistake(g, "--ready-fd", "it takes a file descriptor, not \"%.64s\"",
                                    text);
    else
        o->ready_fd = (int)value;
}

static void take_memory(struct sona_sidecar_gather *g, struct sona_sidecar_options *o,
                        const char *text)
{
    o->memory = text ? SONA_SIDECAR_MEMORY_JSON : SONA_SIDECAR_MEMORY_TABLE;
    if (text && strcmp(text, "json") != 0)
        sona_sidecar_gather_mistake(g, "--memory", "it takes json or nothing, not \"%.64s\"", text);
}

static void say_word(struct sona_sidecar_gather *g, struct sona_sidecar_options *o,
                     const struct word *word)
{
    const struct sona_sidecar_setting *s;
    char where[SONA_SIDECAR_VALUE_MAX];

    switch (word->key) {
    case FLAG_CONFIG:
    case FLAG_ISOLATED:
        return; /* looked at before */
    case FLAG_SET:
        say_key(g, word->text);
        return;
    case FLAG_DIM:
        sona_sidecar_gather_say(g, sona_sidecar_setting_find(NULL, "embedding_dim"), "--dim",
                                word->text);
        return;
    case FLAG_READY_FD:
        take_ready_fd(g, o, word->text);
        return;
    case FLAG_CHECK:
        o->check = true;
        return;
    case FLAG_PRINT:
        o->print_config = true;
        return;
    case FLAG_MEMORY:
        take_memory(g, o, word->text);
        return;
    case ARGP_KEY_ARG:
        sona_sidecar_gather_mistake(g, "sona-sidecar", "\"%.64s\" belongs to no option; see --help",
                                    word->text);
        return;
    default:
        s = &sona_sidecar_settings[word->key - KEY_SETTING];
        (void)snprintf(where, sizeof where, "--%s", s->flag);
        sona_sidecar_gather_say(g, s, where, word->text);
    }
}

/* SONA_LANES_MAX=7. A service called sona gives every container beside it SONA_PORT and the like:
 * what is no key is none of ours, but what is nearly one is told of. */
static void say_variable(struct sona_sidecar_gather *g, const char *variable)
{
    static const char prefix[] = "SONA_";
    size_t n = strcspn(variable, "=");
    char name[SONA_SIDECAR_VALUE_MAX], key[SONA_SIDECAR_VALUE_MAX];

    if (strncmp(variable, prefix, strlen(prefix)) != 0 || n >= sizeof name || variable[n] != '=')
        return;
    (void)snprintf(name, sizeof name, "%.*s", (int)n, variable);
    (void)snprintf(key, sizeof key, "%s", name + strlen(prefix));
    for (char *c = key; *c; c++) {
        if (islower((unsigned char)*c))
            return;
        *c = (char)tolower((unsigned char)*c);
    }
    const struct sona_sidecar_setting *s = sona_sidecar_setting_find(NULL, key);
    const char *guess = s ? NULL : sona_sidecar_setting_nearest(NULL, key);
    if (s && !sona_sidecar_gather_twice(g, s, name))
        sona_sidecar_gather_say(g, s, name, variable + n + 1);
    else if (guess)
        sona_sidecar_log(SONA_SIDECAR_WARN, "variable_unknown",
                         "variable=%s reason=\"no option of that name; the nearest is %s\"", name,
                         guess);
}

const char *sona_sidecar_options_file(void)
{
    const char *file = last_of(FLAG_CONFIG);

    return file ? file : last_of(FLAG_ISOLATED) ? NULL : SONA_SIDECAR_CONFIG_FILE;
}

/* Everything that is said; what only the command line says goes to `o`. */
static void gather_all(struct sona_sidecar_gather *g, struct sona_sidecar_options *o)
{
    const char *file = sona_sidecar_options_file();
    bool isolated = last_of(FLAG_ISOLATED) != NULL;

    if (file)
        sona_sidecar_text_gather(g, file, last_of(FLAG_CONFIG) != NULL);
    sona_sidecar_gather_over(g);
    sona_sidecar_gather_layer(g);
    for (char **variable = environ; !isolated && variable && *variable; variable++)
        say_variable(g, *variable);
    sona_sidecar_gather_layer(g);
    for (uint32_t i = 0; i < line.n; i++)
        say_word(g, o, &line.word[i]);
    if (line.lost > 0)
        sona_sidecar_gather_mistake(g, "sona-sidecar", "more than %d words", WORDS_MAX);
}

/* ---- a whole process ---- */

/* Its own mapping, for what nobody says is never touched, and all of it is given back at the end.
 */
struct sona_sidecar_options *sona_sidecar_options_make(void)
{
    struct sona_sidecar_options *o =
        mmap(NULL, sizeof *o, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (o == MAP_FAILED)
        return NULL;
    sona_sidecar_options_init(o);
    return o;
}

void sona_sidecar_options_free(struct sona_sidecar_options **options)
{
    if (*options)
        (void)munmap(*options, sizeof **options);
    *options = NULL;
}

void sona_sidecar_whole_done(struct sona_sidecar_whole *whole)
{
    sona_sidecar_options_free(&whole->common);
    for (uint32_t i = 0; i < whole->n; i++)
        sona_sidecar_options_free(&whole->instance[i]);
    whole->n = 0;
}

/* A service manager that made a directory says so ("/var/lib/sona", or several with colons). It is
 * said by somebody, but by no file of the configuration: an instance that says its own has its own.
 */
static bool use_managed_state(struct sona_sidecar_options *o)
{
    const char *dirs = getenv("STATE_DIRECTORY");
    size_t n = dirs ? strcspn(dirs, ":") : 0;

    if (n == 0 || dirs[0] != '/' || n >= sizeof o->state_dir_text)
        return false;
    memcpy(o->state_dir_text, dirs, n);
    o->state_dir_text[n] = '\0';
    o->state_dir = o->state_dir_text;
    return true;
}

/* Where state belongs when nobody says: a restart that forgets everything is nobody's wish. Without
 * such a place, or isolated, nothing is kept. */
static void use_default_state(struct sona_sidecar_options *o)
{
    const char *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char text[SONA_SIDECAR_DIR_MAX];
    const struct sona_sidecar_setting *s = sona_sidecar_setting_find("state", "state_dir");
    int n = -1;

    if (last_of(FLAG_ISOLATED) || o->where[sona_sidecar_setting_index(s)][0] != '\0' ||
        use_managed_state(o))
        return;
    if (xdg && xdg[0] == '/')
        n = snprintf(text, sizeof text, "%s/sona", xdg);
    else if (geteuid() == 0)
        n = snprintf(text, sizeof text, "%s", SONA_SIDECAR_STATE_DIR);
    else if (home && home[0] == '/')
        n = snprintf(text, sizeof text, "%s/.local/state/sona", home);
    if (n < 0 || n >= (int)sizeof text)
        return;
    memcpy(o->state_dir_text, text, sizeof text);
    o->state_dir = o->state_dir_text;
    o->state_by_default = true;
}

/* The n-th instance; 0: the one of a process that names none. */
static void make_instance(struct sona_sidecar_gather *g, uint32_t n, struct sona_sidecar_whole *ret)
{
    struct sona_sidecar_options *o = sona_sidecar_options_make();
    const struct sona_sidecar_options *common = ret->common;

    if (!o) {
        sona_sidecar_gather_no_memory(g, "sona-sidecar");
        return;
    }
    o->check = common->check;
    o->print_config = common->print_config;
    o->memory = common->memory;
    sona_sidecar_gather_apply(g, n, o);
    use_default_state(o);
    if (n > 0)
        (void)snprintf(o->instance_text, sizeof o->instance_text, "%s", g->named[n - 1].name);
    ret->instance[ret->n++] = o;
}

/* `instance` beside `instances`: that one alone. */
static void make_instances(struct sona_sidecar_gather *g, struct sona_sidecar_whole *ret)
{
    const char *where =
        ret->common->where[sona_sidecar_setting_index(sona_sidecar_setting_find("", "instance"))];
    uint32_t only = sona_sidecar_gather_find(g, ret->common->instance);

    ret->named = g->n_named > 0;
    if (ret->named && where[0] != '\0' && only == 0)
        sona_sidecar_gather_mistake(g, where, "instances does not name \"%.64s\"",
                                    ret->common->instance);
    for (uint32_t n = 1; n <= g->n_named; n++)
        if (where[0] == '\0' || n == only)
            make_instance(g, n, ret);
    if (!ret->named)
        make_instance(g, 0, ret);
}

uint32_t sona_sidecar_whole_again(struct sona_sidecar_whole *ret,
                                  void (*told)(void *arg, const char *where, const char *what),
                                  void *arg)
{
    struct sona_sidecar_gather *g = sona_sidecar_gather_open(told, arg);

    *ret = (struct sona_sidecar_whole){.common = sona_sidecar_options_make()};
    if (!g || !ret->common) {
        told(arg, "sona-sidecar", "out of memory");
        ret->no_memory = true;
        sona_sidecar_gather_close(&g);
        return 1;
    }
    gather_all(g, ret->common);
    sona_sidecar_gather_apply(g, SONA_SIDECAR_NOBODY, ret->common);
    make_instances(g, ret);
    uint32_t mistakes = g->mistakes;
    ret->no_memory = g->no_memory;
    sona_sidecar_gather_close(&g);
    return mistakes;
}

/* ---- argp ---- */

static void complain(void *arg, const char *where, const char *what)
{
    (void)arg;
    (void)fprintf(stderr, "%s%s: %s\n", sona_sidecar_log_priority(SONA_SIDECAR_ERROR), where, what);
}

/* The end of --help: presets and keys, then the rest of the documentation. */
static char *help(int key, const char *text, void *input)
{
    char *ret = NULL;
    size_t size;

    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC)
        return (char *)(uintptr_t)text;
    FILE *stream = open_memstream(&ret, &size);
    if (!stream)
        return (char *)(uintptr_t)text;
    sona_sidecar_pages_help(stream);
    (void)fprintf(stream, "\n%s", text);
    (void)fclose(stream);
    return ret; /* argp frees it */
}

static const char *argument_of(const struct sona_sidecar_setting *s)
{
    static const char *const names[] = {"N",   "WORD",  "NAME", "NAME",
                                        "DIR", "GROUP", "LIST", "VALUE"};

    return s->type == SONA_SIDECAR_PATH && strcmp(s->kind, "file") == 0 ? "FILE" : names[s->type];
}

static void make_table(struct argp_option ret[FLAGS + SONA_SIDECAR_SETTINGS_MAX + 1])
{
    size_t n = 0;

    for (size_t i = 0; i < FLAGS; i++)
        ret[n++] =
            (struct argp_option){.name = flags[i].name,
                                 .key = flags[i].letter ? flags[i].letter : (int)flags[i].key,
                                 .arg = flags[i].argument,
                                 .flags = flags[i].optional ? OPTION_ARG_OPTIONAL : 0,
                                 .doc = flags[i].help,
                                 .group = 1};
    for (uint32_t i = 0; i < sona_sidecar_setting_count(); i++) {
        const struct sona_sidecar_setting *s = &sona_sidecar_settings[i];

        if (s->flag[0] != '\0')
            ret[n++] = (struct argp_option){.name = s->flag,
                                            .key = KEY_SETTING + (int)i,
                                            .arg = argument_of(s),
                                            .doc = s->help,
                                            .group = 2};
    }
    ret[n] = (struct argp_option){0};
}

/* Keep the words. Returns 0, or the exit status after the reason was told. */
static int read_line(int argc, char **argv)
{
    struct argp_option table[FLAGS + SONA_SIDECAR_SETTINGS_MAX + 1];
    const struct argp argp = {
        .options = table,
        .parser = take,
        .help_filter = help,
        .doc = "Learn which route serves which query best, beside a router.\v"
               "Exit status: 0 a clean stop, 1 a failure, 2 a mistake in the configuration or on "
               "the command line."};

    make_table(table);
    sona_sidecar_options_done();
    argp_program_version = "sona-sidecar " SONA_VERSION;
    argp_err_exit_status = EXIT_USAGE;
    int rc = argp_parse(&argp, argc, argv, 0, NULL, NULL);
    if (rc == ENOMEM) /* what else it does not like, it says itself */
        complain(NULL, "sona-sidecar", "out of memory");
    return rc == 0 ? 0 : rc == ENOMEM ? EXIT_FAILURE : EXIT_USAGE;
}

int sona_sidecar_whole_parse(struct sona_sidecar_whole *ret, int argc, char **argv)
{
    *ret = (struct sona_sidecar_whole){0};
    int status = read_line(argc, argv);
    if (status != 0)
        return status;
    if (sona_sidecar_whole_again(ret, complain, NULL) == 0)
        return 0;
    return ret->no_memory ? EXIT_FAILURE : EXIT_USAGE; /* which is no mistake of anybody's */
}

int sona_sidecar_options_parse(struct sona_sidecar_options *ret, int argc, char **argv)
{
    struct sona_sidecar_gather *g =
        read_line(argc, argv) == 0 ? sona_sidecar_gather_open(complain, NULL) : NULL;

    if (!g)
        return EXIT_USAGE;
    sona_sidecar_options_init(ret);
    gather_all(g, ret);
    sona_sidecar_gather_apply(g, 0, ret);
    use_default_state(ret);
    uint32_t mistakes = g->mistakes;
    sona_sidecar_gather_close(&g);
    return mistakes == 0 ? 0 : EXIT_USAGE;
}
