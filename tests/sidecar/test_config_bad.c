/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Configurations with a mistake, written by hand and made from good ones: the program ends with 2,
 * every line that it says begins with a place, and nothing was started. */
#include <dirent.h>
#include <fcntl.h>
#include <regex.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tests/sidecar/config_fixture.h"

extern char **environ;

#define SAID_MAX 65536

/* Run the real program with the file; what it wrote to stderr. */
static int run(const struct config_place *p, const char *file, char said[SAID_MAX])
{
    const char *program = getenv("SONA_SIDECAR");
    const char *argv[] = {program, "--isolated", "-c", file, "--runtime-dir", p->dir, NULL};
    int log_fd = memfd_create("said", MFD_CLOEXEC), status = -1;
    posix_spawn_file_actions_t actions;
    pid_t pid;

    cr_assert(ne(ptr, (void *)(uintptr_t)program, NULL), "SONA_SIDECAR names no program");
    cr_assert(zero(int, posix_spawn_file_actions_init(&actions)));
    cr_assert(zero(int, posix_spawn_file_actions_adddup2(&actions, log_fd, STDERR_FILENO)));
    cr_assert(zero(int, posix_spawn(&pid, program, &actions, NULL, (char **)(void *)argv, environ)),
              "%s", program);
    cr_assert(eq(int, waitpid(pid, &status, 0), pid));
    (void)posix_spawn_file_actions_destroy(&actions);
    ssize_t n = pread(log_fd, said, SAID_MAX - 1, 0);
    said[n > 0 ? n : 0] = '\0';
    (void)close(log_fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static uint32_t entries_of(const char *dir)
{
    DIR *d = opendir(dir);
    uint32_t n = 0;

    cr_assert(ne(ptr, d, NULL), "%s", dir);
    while (readdir(d))
        n++;
    (void)closedir(d);
    return n;
}

/* Every line is "file:line:column: what". */
static void assert_located(const char *file, const char *said)
{
    char pattern[512];
    regex_t place;

    (void)snprintf(pattern, sizeof pattern, "^%s:[1-9][0-9]*:[1-9][0-9]*: .", file);
    cr_assert(zero(int, regcomp(&place, pattern, REG_EXTENDED | REG_NOSUB)));
    cr_expect(ne(int, said[0], '\0'), "%s: not a word", file);
    for (const char *line = said; *line;) {
        size_t n = strcspn(line, "\n");
        char text[2048];

        (void)snprintf(text, sizeof text, "%.*s", (int)n, line);
        cr_expect(zero(int, regexec(&place, text, 0, NULL, 0)), "no place in: %s", text);
        line += n + (line[n] == '\n');
    }
    regfree(&place);
}

/* It is refused, with "line:column: words" for each that is expected. */
static void assert_refused(const struct config_place *p, const char *file, const char *expected)
{
    static char said[SAID_MAX];
    uint32_t before = entries_of(p->dir);
    int status = run(p, file, said);

    cr_expect(eq(int, status, 2), "%s: %s", file, said);
    cr_expect(eq(u32, entries_of(p->dir), before), "%s: it has started", file);
    assert_located(file, said);
    if (expected)
        cr_expect(ne(ptr, strstr(said, expected), NULL), "%s: not \"%s\" but: %s", file, expected,
                  said);
}

/* The first lines "# expect: 3:4: words" of a file, each of which must be said; returns how many.
 */
static uint32_t check_expected(const struct config_place *p, const char *path)
{
    char line[512], expected[1024];
    FILE *f = fopen(path, "r");
    uint32_t n = 0;

    cr_assert(ne(ptr, f, NULL), "%s", path);
    while (fgets(line, sizeof line, f) && strncmp(line, "# expect: ", 10) == 0) {
        line[strcspn(line, "\n")] = '\0';
        (void)snprintf(expected, sizeof expected, "%s:%s", path, line + 10);
        assert_refused(p, path, expected);
        n++;
    }
    (void)fclose(f);
    return n;
}

Test(config_bad, each_of_the_corpus_is_refused_where_its_mistake_is, .timeout = 300)
{
    const char *corpus = getenv("SONA_CORPUS");
    struct dirent **entries;
    struct config_place p;
    uint32_t files = 0;

    cr_assert(ne(ptr, (void *)(uintptr_t)corpus, NULL), "SONA_CORPUS names no directory");
    config_open(&p, NULL);
    int n = scandir(corpus, &entries, NULL, alphasort);
    cr_assert(gt(int, n, 0), "%s", corpus);
    for (int i = 0; i < n; i++) {
        char path[512];

        (void)snprintf(path, sizeof path, "%s/%s", corpus, entries[i]->d_name);
        if (strstr(entries[i]->d_name, ".yaml")) {
            cr_expect(gt(u32, check_expected(&p, path), 0), "%s expects nothing", path);
            files++;
        }
        free(entries[i]);
    }
    free(entries);
    cr_expect(ge(u32, files, 100), "%u files", files);
    config_close(&p);
}

/* A file with one option, said wrong, and what is to be said of it. */
struct mutant {
    char text[4096], expected[256];
};

static void say(struct mutant *m, const struct sona_sidecar_setting *s, const char *key,
                const char *value)
{
    (void)snprintf(m->text, sizeof m->text, "# one option\n%s%s%s%s: %s\n", s->section,
                   s->section[0] ? ":\n" : "", s->section[0] ? "  " : "", key, value);
}

static void expect_value(struct mutant *m, const struct sona_sidecar_setting *s, const char *what)
{
    bool nested = s->section[0] != '\0';

    (void)snprintf(m->expected, sizeof m->expected, ":%d:%zu: %s", nested ? 3 : 2,
                   strlen(s->key) + (nested ? 5 : 3), what);
}

/* The n-th way to say it wrong; false: there are fewer. */
static bool mutate(const struct sona_sidecar_setting *s, uint32_t n, struct mutant *m)
{
    char key[128], value[4000];
    size_t length = strlen(s->key);

    switch (n) {
    case 0: /* another type */
        say(m, s, s->key, "{a: {b: [c]}}");
        expect_value(m, s, s->key);
        return true;
    case 1: /* a key with a typing error, and what it means */
        (void)snprintf(key, sizeof key, "%.*s%c%s", (int)length - 1, s->key,
                       s->key[length - 1] == 'x' ? 'y' : 'x', s->key + length);
        say(m, s, key, "1");
        (void)snprintf(m->expected, sizeof m->expected, ": unknown key \"%s\"", key);
        return true;
    case 2: /* said twice */
        (void)snprintf(value, sizeof value, "1\n%s%s: 1", s->section[0] ? "  " : "", s->key);
        say(m, s, s->key, value);
        (void)snprintf(m->expected, sizeof m->expected, ":%d:%d: %s is said twice",
                       s->section[0] ? 4 : 3, s->section[0] ? 3 : 1, s->key);
        return true;
    case 3: /* nothing */
        say(m, s, s->key, "");
        (void)snprintf(m->expected, sizeof m->expected, ": %s has no value", s->key);
        return true;
    case 4: /* out of any range, or no word of it */
        memset(value, '9', 300);
        value[300] = '\0';
        say(m, s, s->key, s->type == SONA_SIDECAR_ROUTES ? value : "\"99999999999999999999999 !\"");
        expect_value(m, s, "");
        return s->type != SONA_SIDECAR_PATH;
    default:
        return false;
    }
}

Test(config_bad, every_option_said_wrong_in_five_ways_is_refused_at_its_place, .timeout = 300)
{
    struct config_place p;
    uint32_t mutants = 0;

    config_open(&p, "");
    for (uint32_t i = 0; i < sona_sidecar_setting_count(); i++) {
        static struct mutant m;

        for (uint32_t n = 0; mutate(&sona_sidecar_settings[i], n, &m); n++, mutants++) {
            config_write(p.file, m.text, strlen(m.text));
            assert_refused(&p, p.file, m.expected);
        }
    }
    cr_expect(ge(u32, mutants, 140), "%u of them", mutants);
    config_close(&p);
}

Test(config_bad, the_range_is_said_to_who_leaves_it)
{
    struct config_place p;

    config_open(&p, "");
    for (uint32_t i = 0; i < sona_sidecar_setting_count(); i++) {
        const struct sona_sidecar_setting *s = &sona_sidecar_settings[i];
        char range[SONA_SIDECAR_VALUE_MAX], text[1024];
        static char said[SAID_MAX];

        sona_sidecar_setting_range(s, range);
        /* Rank has the seed's own words, with '-' between. */
        if (strstr(range, "..") == NULL || strcmp(s->key, "micro_lora_rank") == 0)
            continue;
        (void)snprintf(text, sizeof text, "%s: {%s: %s}\n", s->section, s->key,
                       "99999999999999999999999");
        config_write(p.file, text, strlen(text));
        cr_expect(eq(int, run(&p, p.file, said), 2), "%s", text);
        cr_expect(ne(ptr, strstr(said, s->key), NULL), "%s", said);
        cr_expect(ne(ptr, strstr(said, ".."), NULL), "%s is not in: %s", range, said);
    }
    config_close(&p);
}
