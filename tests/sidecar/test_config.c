/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Configuration from files, environment and flags: what wins, what reads back, and that every
 * option is everywhere. */
#include <criterion/redirect.h>

#include "sidecar/config/gather.h"
#include "sidecar/config/yaml.h"
#include "tests/engine/dice.h"
#include "tests/sidecar/config_fixture.h"

static struct sona_sidecar_options options, again;

/* Nothing of this machine: no variable that is an option. */
static void clear(void)
{
    char variable[SONA_SIDECAR_VALUE_MAX];

    for (uint32_t i = 0; i < sona_sidecar_setting_count(); i++) {
        sona_sidecar_setting_variable(&sona_sidecar_settings[i], variable);
        (void)unsetenv(variable);
    }
    cr_redirect_stderr();
}

TestSuite(config_files, .init = clear);

static const char *complaints(void)
{
    static char text[65536];

    (void)fflush(stderr);
    size_t n = fread(text, 1, sizeof text - 1, cr_get_redirected_stderr());
    text[n] = '\0';
    return text;
}

/* A value of a row that is not its default. */
static void other_value(const struct sona_sidecar_setting *s, char ret[SONA_SIDECAR_VALUE_MAX])
{
    struct sona_sidecar_options standard;
    char now[SONA_SIDECAR_VALUE_MAX], why[SONA_DIAG_TEXT_MAX];
    const char *tries[] = {"true",       "off",          "64",     "4",     "2",
                           "1",          "0.5",          "inline", "error", "max_quality",
                           "other.name", "/other/place", "every",  NULL};

    (void)snprintf(ret, SONA_SIDECAR_VALUE_MAX, "a,b:0.25:0.5:3");
    if (s->type == SONA_SIDECAR_ROUTES)
        return;
    for (const char **text = tries; *text; text++) {
        sona_sidecar_options_init(&standard);
        sona_sidecar_setting_format(s, &standard, now);
        (void)snprintf(ret, SONA_SIDECAR_VALUE_MAX, "%s", *text);
        if (sona_sidecar_setting_take(s, &standard, *text, why)) {
            sona_sidecar_setting_format(s, &standard, ret);
            if (strcmp(ret, now) != 0)
                return;
        }
    }
    cr_fatal("no other value for %s is known to this test: add one", s->key);
}

static void assert_took(const struct sona_sidecar_setting *s, const char *wanted, const char *from)
{
    char value[SONA_SIDECAR_VALUE_MAX];

    sona_sidecar_setting_format(s, &options, value);
    cr_expect(eq(str, value, (char *)(uintptr_t)(s->type == SONA_SIDECAR_ROUTES ? "2" : wanted)),
              "%s from %s", s->key, from);
}

Test(config_files, every_option_is_taken_from_file_environment_and_command_line)
{
    for (uint32_t i = 0; i < sona_sidecar_setting_count(); i++) {
        const struct sona_sidecar_setting *s = &sona_sidecar_settings[i];
        char value[SONA_SIDECAR_VALUE_MAX], text[2 * SONA_SIDECAR_VALUE_MAX],
            name[SONA_SIDECAR_VALUE_MAX];
        bool is_routes = s->type == SONA_SIDECAR_ROUTES;
        bool is_token = strcmp(s->key, "token_file") == 0;
        /* The option first, then what it owes: there are routes, and a port has a token. */
        const char *flag[4] = {text}, *const *owed = flag + 1;
        int n = 1;
        struct config_place p;

        if (!is_routes)
            flag[n++] = "--routes=1";
        if (!is_token)
            flag[n++] = "--token-file=/t";
        other_value(s, value);
        (void)snprintf(text, sizeof text, "%s%s%s: %s\n", s->section, s->section[0] ? ":\n  " : "",
                       s->key, value);
        config_open(&p, text);
        cr_assert(eq(int, config_parse(&options, p.file, owed), 0), "%s: %s", s->key, complaints());
        assert_took(s, value, "file");
        config_close(&p);

        sona_sidecar_setting_variable(s, name);
        cr_assert(eq(int, setenv(name, value, 1), 0));
        cr_assert(eq(int, config_parse(&options, "/dev/null", owed), 0), "%s: %s", name,
                  complaints());
        assert_took(s, value, "environment");
        cr_expect(eq(str, options.where[i], name));
        cr_assert(eq(int, unsetenv(name), 0));

        (void)snprintf(text, sizeof text, "--set=%s=%s", s->key, value);
        cr_assert(eq(int, config_parse(&options, "/dev/null", flag), 0), "%s", complaints());
        assert_took(s, value, "--set");
        if (s->flag[0] == '\0')
            continue;
        (void)snprintf(text, sizeof text, "--%s=%s", s->flag, value);
        cr_assert(eq(int, config_parse(&options, "/dev/null", flag), 0), "%s", complaints());
        assert_took(s, value, "its flag");
    }
}

Test(config_files, every_alias_and_camel_case_mean_the_same_option)
{
    static const char *const more[] = {"--routes=1", NULL};

    for (uint32_t i = 0; i < sona_sidecar_setting_count(); i++) {
        const struct sona_sidecar_setting *s = &sona_sidecar_settings[i];
        char value[SONA_SIDECAR_VALUE_MAX], text[2 * SONA_SIDECAR_VALUE_MAX];
        struct config_place p;

        if (s->alias[0] == '\0')
            continue;
        other_value(s, value);
        (void)snprintf(text, sizeof text, "%s: {%s: %s}\n", s->section, s->alias, value);
        config_open(&p, text);
        cr_assert(eq(int, config_parse(&options, p.file, more), 0), "%s", complaints());
        assert_took(s, value, "alias");
        config_close(&p);
    }
    cr_assert(eq(ptr, (void *)(uintptr_t)sona_sidecar_setting_find("learner", "microLoraRank"),
                 (void *)(uintptr_t)sona_sidecar_setting_find("learner", "micro_lora_rank")));
}

Test(config_files, every_option_is_in_help_manual_completion_document_and_print)
{
    static const char *const more[] = {"--routes=1", NULL};
    char *help = config_page(sona_sidecar_pages_help), *manual;
    char *completion = config_page(sona_sidecar_pages_completion);
    char *document = config_page(sona_sidecar_pages_document);

    manual = config_page(sona_sidecar_pages_manual);
    cr_assert(eq(int, config_parse(&options, "/dev/null", more), 0));
    char *printed = config_printed(&options);
    for (uint32_t i = 0; i < sona_sidecar_setting_count(); i++) {
        const struct sona_sidecar_setting *s = &sona_sidecar_settings[i];
        char words[SONA_SIDECAR_VALUE_MAX], name[SONA_SIDECAR_VALUE_MAX];

        sona_sidecar_setting_variable(s, name);
        cr_expect(ne(ptr, strstr(manual, name), NULL), "%s", name);
        cr_expect(ne(ptr, strstr(document, name), NULL), "%s", name);
        (void)snprintf(words, sizeof words, "\n  %s: ", s->key);
        cr_expect(ne(ptr, strstr(help, words), NULL), "%s", s->key);
        (void)snprintf(words, sizeof words, " %s=", s->key);
        cr_expect(ne(ptr, strstr(completion, words), NULL), "%s", s->key);
        (void)snprintf(words, sizeof words, "%s%s:", s->section[0] ? "\n  " : "", s->key);
        cr_expect(ne(ptr, strstr(printed, words), NULL), "%s", s->key);
        (void)snprintf(words, sizeof words, " --%s", s->flag);
        if (s->flag[0] != '\0')
            cr_expect(ne(ptr, strstr(completion, words), NULL), "%s", s->flag);
    }
    free(help);
    free(manual);
    free(completion);
    free(document);
    free(printed);
}

Test(config_files, flags_win_over_environment_over_drop_ins_by_name_over_the_file)
{
    static const char *const none[] = {"--routes=1", NULL};
    static const char *const flag[] = {"--routes=1", "--set=lambda=5", NULL};
    struct config_place p;

    config_open(&p, "learner: {lambda: 1, max_explore: 0.5, seed: 7}\n");
    cr_assert(eq(int, config_parse(&options, p.file, none), 0), "%s", complaints());
    cr_assert(eq(flt, options.config.lambda, 1));
    config_drop_in(&p, "20-b.yaml", "learner: {lambda: 3}\n");
    config_drop_in(&p, "10-a.yaml", "learner: {lambda: 2, max_explore: 0.25}\n");
    config_drop_in(&p, "30-c.yaml.bak", "learner: {lambda: 99}\n");
    config_drop_in(&p, ".hidden.yaml", "learner: {lambda: 98}\n");
    cr_assert(eq(int, config_parse(&options, p.file, none), 0), "%s", complaints());
    cr_assert(eq(flt, options.config.lambda, 3));
    cr_assert(eq(flt, options.config.max_explore, 0.25f));
    cr_assert(eq(u64, options.config.seed, 7));
    cr_assert(eq(int, setenv("SONA_LAMBDA", "4", 1), 0));
    cr_assert(eq(int, config_parse(&options, p.file, none), 0), "%s", complaints());
    cr_assert(eq(flt, options.config.lambda, 4));
    cr_assert(eq(int, config_parse(&options, p.file, flag), 0), "%s", complaints());
    cr_assert(eq(flt, options.config.lambda, 5));
    config_close(&p);
}

Test(config_files, a_preset_of_any_layer_goes_before_the_keys_of_all)
{
    static const char *const more[] = {"--routes=1", "--preset=edge_deployment", NULL};
    struct config_place p;

    config_open(&p, "learner: {base_lora_rank: 8, preset: max_quality}\n");
    cr_assert(eq(int, config_parse(&options, p.file, more), 0), "%s", complaints());
    cr_assert(eq(u32, options.config.base_lora_rank, 8));
    cr_assert(eq(u32, options.config.trajectory_capacity, 200));
    config_close(&p);
}

Test(config_files, isolated_reads_no_environment_and_a_variable_of_nobody_is_not_read)
{
    static const char *const more[] = {"--routes=1", "--isolated", NULL};

    cr_assert(eq(int, setenv("SONA_LAMBDA", "4", 1), 0));
    cr_assert(eq(int, setenv("SONA_SERVICE_HOST", "10.0.0.1", 1), 0));
    cr_assert(eq(int, setenv("SONA_MICRO_LORA_LRR", "1", 1), 0));
    cr_assert(eq(int, config_parse(&options, "/dev/null", more), 0), "%s", complaints());
    cr_assert(eq(flt, options.config.lambda, 0));
    cr_assert(
        eq(int, config_parse(&options, "/dev/null", (const char *const[]){more[0], NULL}), 0));
    cr_assert(eq(flt, options.config.lambda, 4));
    const char *text = complaints();
    cr_expect(ne(ptr, strstr(text, "SONA_MICRO_LORA_LRR"), NULL), "nearly an option: said");
    cr_expect(eq(ptr, strstr(text, "SONA_SERVICE_HOST"), NULL), "%s", text);
}

Test(config_files, state_is_kept_by_default_but_for_who_says_no_and_for_the_isolated)
{
    static const char *const one[] = {"--routes=1", NULL};
    static const char *const isolated[] = {"--routes=1", "--isolated", NULL};
    static const char *const no[] = {"--routes=1", "--state-dir=", NULL};
    static const char *const there[] = {"--routes=1", "--state-dir=/there", NULL};

    cr_assert(eq(int, setenv("XDG_STATE_HOME", "/state/home", 1), 0));
    cr_assert(eq(int, config_parse(&options, "/dev/null", one), 0));
    cr_expect(eq(str, (char *)(uintptr_t)options.state_dir, "/state/home/sona"));
    char *printed = config_printed(&options);
    cr_expect(ne(ptr, strstr(printed, "/state/home/sona"), NULL), "%s", printed);
    free(printed);
    cr_assert(eq(int, config_parse(&options, "/dev/null", isolated), 0));
    cr_expect(eq(ptr, (void *)(uintptr_t)options.state_dir, NULL));
    cr_assert(eq(int, config_parse(&options, "/dev/null", no), 0));
    cr_expect(eq(ptr, (void *)(uintptr_t)options.state_dir, NULL));
    cr_assert(eq(int, config_parse(&options, "/dev/null", there), 0));
    cr_expect(eq(str, (char *)(uintptr_t)options.state_dir, "/there"));
    cr_expect(not(options.state_by_default));
    cr_assert(eq(int, setenv("XDG_STATE_HOME", "not/absolute", 1), 0));
    cr_assert(eq(int, setenv("HOME", "/me", 1), 0));
    cr_assert(eq(int, config_parse(&options, "/dev/null", one), 0));
    cr_expect(eq(str, (char *)(uintptr_t)options.state_dir,
                 geteuid() == 0 ? "/var/lib/sona" : "/me/.local/state/sona"));
}

static void assert_reads_back(const char *text)
{
    struct config_place p, q;

    config_open(&p, text);
    cr_assert(eq(int, config_parse(&options, p.file, NULL), 0), "%s", complaints());
    char *printed = config_printed(&options);
    config_open(&q, printed);
    cr_assert(eq(int, config_parse(&again, q.file, NULL), 0), "%s\n%s", complaints(), printed);
    for (uint32_t i = 0; i < sona_sidecar_setting_count(); i++) {
        char one[SONA_SIDECAR_VALUE_MAX], other[SONA_SIDECAR_VALUE_MAX];

        sona_sidecar_setting_format(&sona_sidecar_settings[i], &options, one);
        sona_sidecar_setting_format(&sona_sidecar_settings[i], &again, other);
        cr_expect(eq(str, one, other), "%s", sona_sidecar_settings[i].key);
    }
    cr_expect(zero(int, memcmp(&options.config, &again.config, sizeof options.config)),
              "to the last bit");
    cr_expect(zero(int, memcmp(options.routes, again.routes, sizeof options.routes)));
    free(printed);
    config_close(&p);
    config_close(&q);
}

Test(config_files, what_print_config_writes_reads_back_as_the_same)
{
    assert_reads_back("routes: [a]\n");
    assert_reads_back("instance: on\nroutes: 30\nlearner: {seed: 18446744073709551615, "
                      "lambda: 0.1, micro_lora_lr: 1e-7, normalize: off, preset: max_quality}\n");
    assert_reads_back("runtime_dir: \"/tmp/with \\\"quotes\\\" and \\\\ # hash: colon\"\n"
                      "routes: [{name: '-a\"b\"{c}#d'}, {name: \"null\", cost: 0.333333343}]\n"
                      "log_level: warn\nclients: {lanes_max: 3}\n");
}

Test(config_files, an_empty_file_and_comments_alone_say_nothing)
{
    static const char *const texts[] = {"",
                                        "\n\n",
                                        "# nothing\n",
                                        "---\n",
                                        "--- # none\n...\n",
                                        "learner:\nclients:\n",
                                        "\xEF\xBB\xBFlog_level: info\n"};
    static const char *const more[] = {"--routes=1", NULL};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct config_place p;

        config_open(&p, texts[i]);
        cr_expect(eq(int, config_parse(&options, p.file, more), 0), "\"%s\": %s", texts[i],
                  complaints());
        config_close(&p);
    }
}

static void assert_refused(const char *path, const char *words)
{
    static const char *const more[] = {"--routes=1", NULL};

    cr_expect(eq(int, config_parse(&options, path, more), 2), "%s", path);
    const char *text = complaints();
    cr_expect(ne(ptr, strstr(text, words), NULL), "%s is not in:\n%s", words, text);
}

Test(config_files, what_is_no_readable_file_of_ours_is_refused)
{
    struct config_place p;
    char *large = calloc(1, 300000);

    config_open(&p, "log_level: info\n");
    assert_refused(p.dir, "it is a directory");
    assert_refused("/no/such/file.yaml", "cannot open it");
    config_drop_in(&p, "1.yaml", "nonsense: 1\n");
    assert_refused(p.file, "conf.d/1.yaml:1:1: unknown key");
    config_drop_in(&p, "1.yaml", "");
    cr_assert(eq(int, chmod(p.file, 0666), 0));
    if (geteuid() == 0)
        assert_refused(p.file, "everybody may write it");
    cr_assert(eq(int, chmod(p.file, 0), 0));
    if (geteuid() != 0)
        assert_refused(p.file, "cannot open it");
    cr_assert(eq(int, chmod(p.file, 0644), 0));
    memset(large, '#', 300000);
    config_write(p.file, large, 300000);
    assert_refused(p.file, "at most 262144 are read");
    for (int i = 0; i < 60000; i++)
        large[i] = i == 0 ? '[' : i == 59999 ? ']' : i % 2 ? '1' : ',';
    config_write(p.file, large, 60000);
    assert_refused(p.file, "more entries than 20000");
    cr_assert(eq(int, unlink(p.file), 0));
    cr_assert(eq(int, mkfifo(p.file, 0600), 0));
    assert_refused(p.file, "no regular file");
    for (int i = 0; i < 65; i++) {
        char name[16];

        (void)snprintf(name, sizeof name, "%d.yaml", i);
        config_drop_in(&p, name, "");
    }
    assert_refused(p.file, "it has 65 files");
    free(large);
    config_close(&p);
}

Test(config_files, a_mistake_between_two_options_is_told_where_one_was_said)
{
    static const char *const texts[][2] = {
        {"routes: [a, b, c]\nlearner:\n  routes_max: 2\n", ":3:15: there are 3 routes"},
        {"routes: 1\nlearner: {dim: 4, base_lora_rank: 8}\n", ":2:35: base_lora_rank 8"},
        {"routes: 1\nlearner:\n  dim: 2\n", ":3:8: embedding_dim must be"},
        {"routes: []\n", ":1:9: no routes"},
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct config_place p;

        config_open(&p, texts[i][0]);
        cr_expect(eq(int, config_parse(&options, p.file, NULL), 2), "%s", texts[i][0]);
        const char *text = complaints();
        cr_expect(ne(ptr, strstr(text, texts[i][1]), NULL), "%s is not in:\n%s", texts[i][1], text);
        config_close(&p);
    }
}

/* ---- bytes thrown in ---- */

static void judge_place(void *arg, const char *where, const char *what)
{
    uint32_t *told = arg;
    unsigned line = 0, column = 0;

    (*told)++;
    cr_expect(eq(int, sscanf(where, "file:%u:%u", &line, &column), 2), "\"%s\": %s", where, what);
    cr_expect(gt(u32, line, 0));
    cr_expect(gt(u32, column, 0), "%s: %s", where, what);
    cr_expect(gt(sz, strlen(what), 3), "%s", where);
}

/* One to three strokes of somebody who is not looking. */
static size_t spoil(char *text, size_t n, size_t room, struct dice *dice)
{
    static const char strokes[] = "{}[],:#&*!|>'\"%@`-? \t\n\r\\~<.0eE\x00\x1b\x7f\x80\xc3\xff";

    for (uint32_t k = 1 + dice_below(dice, 3); k > 0; k--) {
        uint32_t at = dice_below(dice, (uint32_t)n);
        char stroke = strokes[dice_below(dice, sizeof strokes - 1)];

        switch (dice_below(dice, 4)) {
        case 0:
            text[at] = stroke;
            break;
        case 1:
            memmove(text + at, text + at + 1, n - at - 1);
            n--;
            break;
        case 2:
            if (n + 1 < room) {
                memmove(text + at + 1, text + at, n - at);
                text[at] = stroke;
                n++;
            }
            break;
        default:
            n = n > 200 ? n - dice_below(dice, 100) : n;
        }
    }
    return n;
}

Test(config_files, whatever_bytes_are_thrown_in_each_mistake_has_its_place, .timeout = 120)
{
    static const char *const more[] = {"--routes=small:0.1,large", NULL};
    struct dice dice = dice_open("whatever bytes");
    uint32_t sound = 0, refused = 0;

    cr_assert(eq(int, config_parse(&options, "/dev/null", more), 0));
    char *good = config_printed(&options);
    size_t bytes = strlen(good), room = bytes + 16;
    char *text = malloc(room);
    for (int i = 0; i < 2000; i++) {
        uint32_t told = 0;
        struct sona_sidecar_gather *g = sona_sidecar_gather_open(judge_place, &told);

        memcpy(text, good, bytes);
        size_t n = spoil(text, bytes, room, &dice);
        sona_sidecar_yaml_gather(g, "file", text, n);
        cr_assert(eq(u32, told, g->mistakes));
        sound += told == 0;
        refused += told > 0;
        sona_sidecar_gather_close(&g);
    }
    cr_expect(gt(u32, sound, 50), "%u: comments and what looks like a value pass", sound);
    cr_expect(gt(u32, refused, 500), "%u", refused);
    free(text);
    free(good);
}
