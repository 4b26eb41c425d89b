/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Files that name instances: what each inherits, what wins, and what is wrong and where. */
#include "config_fixture.h"

struct told {
    char text[4096];
};

static int parse(struct sona_sidecar_whole *ret, const struct config_place *p,
                 const char *const *more)
{
    const char *argv[16] = {"sona-sidecar", "--isolated", "-c", p->file};
    int argc = 4;

    for (; more && *more; more++)
        argv[argc++] = *more;
    argv[argc] = NULL;
    return sona_sidecar_whole_parse(ret, argc, (char **)(void *)argv);
}

static void tell(void *arg, const char *where, const char *what)
{
    struct told *told = arg;
    size_t n = strlen(told->text);

    (void)snprintf(told->text + n, sizeof told->text - n, "%s: %s\n", strrchr(where, '/') + 1,
                   what);
}

/* Whatever is wrong with this file, in order. */
static struct told mistakes_of(const char *text)
{
    struct sona_sidecar_whole whole;
    struct config_place p;
    struct told told = {""};

    config_open(&p, "routes: [a]\n");
    cr_assert(zero(int, parse(&whole, &p, NULL)));
    sona_sidecar_whole_done(&whole);
    config_write(p.file, text, strlen(text));
    (void)sona_sidecar_whole_again(&whole, tell, &told);
    sona_sidecar_whole_done(&whole);
    config_close(&p);
    return told;
}

static const struct sona_sidecar_options *find(const struct sona_sidecar_whole *whole,
                                               const char *name)
{
    for (uint32_t i = 0; i < whole->n; i++)
        if (strcmp(whole->instance[i]->instance, name) == 0)
            return whole->instance[i];
    return NULL;
}

static char *printed(const struct sona_sidecar_whole *whole)
{
    char *text = NULL;
    size_t bytes;
    FILE *to = open_memstream(&text, &bytes);

    sona_sidecar_pages_print_whole(whole, to);
    cr_assert(zero(int, fclose(to)));
    return text;
}

Test(config_instances, an_instance_inherits_what_it_does_not_say)
{
    struct sona_sidecar_whole whole;
    struct config_place p;

    config_open(&p, "routes: [small, large]\n"
                    "learner: {lambda: 0.25, preset: edge_deployment}\n"
                    "state: {state_dir: /var/lib/sona}\n"
                    "instances:\n"
                    "  chat:\n"
                    "  search: {routes: [x], learner: {lambda: 0.5}, state: {state_dir: \"\"}}\n");
    cr_assert(zero(int, parse(&whole, &p, NULL)));
    cr_assert(eq(u32, whole.n, 2));
    const struct sona_sidecar_options *chat = find(&whole, "chat"),
                                      *search = find(&whole, "search");
    cr_assert(ne(ptr, (void *)(uintptr_t)chat, NULL));
    cr_assert(ne(ptr, (void *)(uintptr_t)search, NULL));
    cr_expect(eq(u32, chat->n_routes, 2));
    cr_expect(eq(u32, search->n_routes, 1));
    cr_expect(eq(flt, chat->config.lambda, 0.25f));
    cr_expect(eq(flt, search->config.lambda, 0.5f));
    cr_expect(eq(u32, search->preset, chat->preset));
    cr_expect(eq(str, (char *)(uintptr_t)chat->state_dir, "/var/lib/sona"));
    cr_expect(eq(ptr, (void *)(uintptr_t)search->state_dir, NULL));
    sona_sidecar_whole_done(&whole);
    config_close(&p);
}

Test(config_instances, the_special_wins_over_the_general_and_the_operator_over_both)
{
    const char *more[] = {"--set", "lambda=0.125", NULL};
    struct sona_sidecar_whole whole;
    struct config_place p;

    config_open(&p, "routes: [a]\ninstances: {chat: {learner: {lambda: 0.5, max_explore: 0.1}}}\n");
    config_drop_in(&p, "10-later.yaml",
                   "learner: {lambda: 0.25}\ninstances: {chat: {routes: [b, c]}, extra: }\n");
    cr_assert(zero(int, parse(&whole, &p, NULL)));
    cr_assert(eq(u32, whole.n, 2));
    cr_expect(eq(flt, find(&whole, "chat")->config.lambda, 0.5f), "a later file speaks of all");
    cr_expect(eq(flt, find(&whole, "extra")->config.lambda, 0.25f));
    cr_expect(eq(u32, find(&whole, "chat")->n_routes, 2), "entries of two files are one");
    sona_sidecar_whole_done(&whole);
    cr_assert(zero(int, parse(&whole, &p, more)));
    cr_expect(eq(flt, find(&whole, "chat")->config.lambda, 0.125f));
    cr_expect(eq(flt, find(&whole, "chat")->config.max_explore, 0.1f));
    sona_sidecar_whole_done(&whole);
    config_close(&p);
}

Test(config_instances, one_of_them_may_run_alone)
{
    const char *more[] = {"--instance", "search", NULL}, *absent[] = {"--instance=nope", NULL};
    struct sona_sidecar_whole whole;
    struct config_place p;

    config_open(&p, "routes: [a]\ninstances: {chat: , search: {routes: [b, c]}}\n");
    cr_assert(zero(int, parse(&whole, &p, more)));
    cr_expect(eq(u32, whole.n, 1));
    cr_expect(eq(str, (char *)(uintptr_t)whole.instance[0]->instance, "search"));
    cr_expect(eq(u32, whole.instance[0]->n_routes, 2));
    sona_sidecar_whole_done(&whole);
    cr_expect(eq(int, parse(&whole, &p, absent), 2));
    sona_sidecar_whole_done(&whole);
    config_close(&p);
}

Test(config_instances, what_is_printed_reads_back_as_the_same)
{
    struct sona_sidecar_whole whole;
    struct config_place p;

    config_open(&p, "routes: [small, {name: large, cost: 0.5}]\n"
                    "learner: {lambda: 0.25}\n"
                    "instances:\n"
                    "  chat:\n"
                    "  on: {routes: 40, learner: {preset: edge_deployment, micro_lora_lr: 0.01}}\n"
                    "  third: {clients: {group: 7, lanes_max: 3}}\n");
    cr_assert(zero(int, parse(&whole, &p, NULL)));
    char *first = printed(&whole);
    sona_sidecar_whole_done(&whole);
    config_write(p.file, first, strlen(first));
    cr_assert(zero(int, parse(&whole, &p, NULL)), "%s", first);
    char *second = printed(&whole);
    for (char *a = first, *b = second; *a; a++, b++) { /* but for where it was said */
        cr_assert(eq(chr, *a, *b), "%s", first);
        if (*a == '#') {
            a += strcspn(a, "\n");
            b += strcspn(b, "\n");
        }
    }
    cr_expect(eq(u32, find(&whole, "on")->n_routes, 40));
    cr_expect(eq(u32, find(&whole, "third")->group, 7));
    free(first);
    free(second);
    sona_sidecar_whole_done(&whole);
    config_close(&p);
}

Test(config_instances, every_mistake_is_told_at_its_place)
{
    struct told told = mistakes_of("instances:\n"
                                   "  chat:\n"
                                   "    instance: foo\n"
                                   "    lambda: 3\n"
                                   "    instances: {a: }\n"
                                   "    learner: {max_explore: 7}\n"
                                   "  chat: {}\n"
                                   "  b/d: {}\n"
                                   "  list: [1]\n"
                                   "  [x, y]: {}\n"
                                   "instances: 7\n"
                                   "instancs: x\n");
    static const char *const wanted[] = {
        "3:5: the key of its entry is the name",
        "4:5: unknown key \"lambda\" here: it belongs in learner",
        "5:5: an instance has no instances of its own",
        "6:28: max_explore",
        "7:3: instance chat is said twice: also at ",
        "8:3: the name of an instance is 1 to 63",
        "9:9: an instance is a mapping of options, or nothing",
        "10:3: the name of an instance is a word",
        "11:1: instances is said twice: also at ",
        "12:1: unknown key \"instancs\": did you mean instance",
    };

    const char *at = told.text;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        const char *found = strstr(at, wanted[i]);

        cr_assert(ne(ptr, (void *)(uintptr_t)found, NULL), "no %s in\n%s", wanted[i], told.text);
        at = found;
    }
    uint32_t lines = 0;
    for (const char *c = told.text; *c; c++)
        lines += *c == '\n';
    cr_expect(eq(u32, lines, 10), "%s", told.text);
}

Test(config_instances, what_an_instance_lacks_is_said_of_it)
{
    struct told told = mistakes_of("instances:\n"
                                   "  chat:\n"
                                   "  search: {routes: [x, y], learner: {routes_max: 1}}\n");

    cr_expect(ne(ptr, strstr(told.text, "2:3: instance chat: no routes"), NULL), "%s", told.text);
    cr_expect(ne(ptr, strstr(told.text, "3:50: instance search: there are 2 routes"), NULL), "%s",
              told.text);
    told = mistakes_of("instances: {}\n");
    cr_expect(ne(ptr, strstr(told.text, "1:1: instances must name at least one"), NULL), "%s",
              told.text);
    told = mistakes_of("routes: [a]\nclients: {group: no-such-group}\n");
    cr_expect(ne(ptr, strstr(told.text, "2:18: group must be the name"), NULL), "%s", told.text);
}

Test(config_instances, there_are_at_most_sixty_four)
{
    struct sona_sidecar_whole whole;
    struct config_place p;
    char text[2048] = "routes: [a]\ninstances:\n";

    for (int i = 0; i < 64; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "  i%d:\n", i);
    config_open(&p, text);
    cr_assert(zero(int, parse(&whole, &p, NULL)));
    cr_expect(eq(u32, whole.n, 64));
    sona_sidecar_whole_done(&whole);
    config_close(&p);
    (void)strcat(text, "  more:\n");
    struct told told = mistakes_of(text);
    cr_expect(ne(ptr, strstr(told.text, "67:3: there are more than 64 instances"), NULL), "%s",
              told.text);
}

Test(config_instances, a_state_of_its_own_is_not_overruled_in_silence)
{
    static const char *const all[] = {"--state-dir=/all", NULL};
    static const char *const equal[] = {"--state-dir=/own", NULL};
    static const char text[] = "routes: [a]\n"
                               "instances:\n"
                               "  chat:\n"
                               "  search: {state: {state_dir: /own}}\n";
    struct told told = {""};
    struct sona_sidecar_whole whole;
    struct config_place p;

    config_open(&p, "routes: [a]\n");
    cr_assert(zero(int, parse(&whole, &p, all)));
    config_write(p.file, text, strlen(text));
    (void)sona_sidecar_whole_again(&whole, tell, &told);
    sona_sidecar_whole_done(&whole);
    cr_expect(ne(ptr, strstr(told.text, ":4:"), NULL), "%s", told.text);
    cr_expect(
        ne(ptr,
           strstr(told.text,
                  "instance search: its state_dir is \"/own\", and --state-dir says \"/all\""),
           NULL),
        "%s", told.text);
    cr_assert(zero(int, parse(&whole, &p, equal)), "who says the same says nothing else");
    sona_sidecar_whole_done(&whole);

    const char *argv[] = {"sona-sidecar", "-c", p.file, NULL}; /* the isolated keep nothing */
    cr_assert(zero(int, setenv("STATE_DIRECTORY", "/managed:/more", 1)));
    cr_assert(zero(int, sona_sidecar_whole_parse(&whole, 3, (char **)(void *)argv)));
    cr_expect(eq(str, (char *)(uintptr_t)find(&whole, "search")->state_dir, "/own"));
    cr_expect(eq(str, (char *)(uintptr_t)find(&whole, "chat")->state_dir, "/managed"));
    cr_expect(not(find(&whole, "chat")->state_by_default), "a manager means it");
    sona_sidecar_whole_done(&whole);
    config_close(&p);
}
