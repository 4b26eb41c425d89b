/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The command line: what it means, and that every mistake in it is told. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <criterion/redirect.h>

#include "sidecar/options.h"

static struct sona_sidecar_options options;

/* Parse the null-terminated arguments. */
static int parse(const char *const *args)
{
    static char text[18][160];
    char *argv[19] = {text[0], text[1]};
    int argc = 2;

    (void)snprintf(text[0], sizeof text[0], "sona-sidecar");
    (void)snprintf(text[1], sizeof text[1], "--isolated"); /* from this machine's configuration */
    for (; args[argc - 2]; argc++) {
        (void)snprintf(text[argc], sizeof text[argc], "%s", args[argc - 2]);
        argv[argc] = text[argc];
    }
    argv[argc] = NULL;
    return sona_sidecar_options_parse(&options, argc, argv);
}

/* What was written to stderr, in one buffer. */
static const char *complaints(void)
{
    static char text[4096];

    (void)fflush(stderr);
    size_t n = fread(text, 1, sizeof text - 1, cr_get_redirected_stderr());
    text[n] = '\0';
    return text;
}

TestSuite(options, .init = cr_redirect_stderr);

Test(options, routes_are_named_with_cost_and_belief)
{
    static const char *const args[] = {"--routes", "small:0.1,large:1:0.9:20,plain,half::0.3",
                                       NULL};

    cr_assert(eq(int, parse(args), 0), "%s", complaints());
    cr_assert(eq(u32, options.n_routes, 4));
    cr_assert(eq(str, options.routes[0].name, "small"));
    cr_assert(eq(flt, options.routes[0].cost, 0.1f));
    cr_assert(eq(flt, options.routes[0].prior_quality, 0.5f));
    cr_assert(eq(flt, options.routes[0].prior_weight, 1.0f));
    cr_assert(eq(flt, options.routes[1].prior_quality, 0.9f));
    cr_assert(eq(flt, options.routes[1].prior_weight, 20.0f));
    cr_assert(eq(flt, options.routes[2].cost, 0.0f));
    cr_assert(eq(flt, options.routes[3].cost, 0.0f));
    cr_assert(eq(flt, options.routes[3].prior_quality, 0.3f));
}

Test(options, a_number_makes_so_many_routes_and_room_for_them)
{
    static const char *const args[] = {"--routes", "30", "--dim", "64", NULL};

    cr_assert(eq(int, parse(args), 0), "%s", complaints());
    cr_assert(eq(u32, options.n_routes, 30));
    cr_assert(eq(str, options.routes[29].name, "route-29"));
    cr_assert(eq(u32, options.config.routes_max, 30));
    cr_assert(eq(u32, options.config.embedding_dim, 64));
}

Test(options, settings_and_limits_are_taken)
{
    static const char *const args[] = {
        "--routes=2",          "--set",          "lambda=0.25",       "--set=micro_lora_rank=1",
        "--background=inline", "--lanes-max=7",  "--idle-cap-us=200", "--lease-ms=50",
        "--ready-fd=9",        "--instance=a.b", "--runtime-dir=/r",  NULL};

    cr_assert(eq(int, parse(args), 0), "%s", complaints());
    cr_assert(eq(flt, options.config.lambda, 0.25f));
    cr_assert(eq(u32, options.config.micro_lora_rank, 1));
    cr_assert(options.background_inline);
    cr_assert(eq(u32, options.lanes_max, 7));
    cr_assert(eq(u32, options.idle_cap_us, 200));
    cr_assert(eq(u32, options.lease_ms, 50));
    cr_assert(eq(int, options.ready_fd, 9));
    cr_assert(eq(str, (char *)(uintptr_t)options.instance, "a.b"));
    cr_assert(eq(str, (char *)(uintptr_t)options.runtime_dir, "/r"));
}

Test(options, a_preset_goes_before_all_settings_wherever_it_stands)
{
    static const char *const args[] = {"--routes=2",      "--set=lambda=0.25",      "--preset",
                                       "edge_deployment", "--set=base_lora_rank=8", NULL};
    static const char *const unknown[] = {"--routes=2", "--preset=tiny", NULL};

    cr_assert(eq(int, parse(args), 0), "%s", complaints());
    cr_assert(eq(flt, options.config.lambda, 0.25f));
    cr_assert(eq(u32, options.config.micro_lora_rank, 1));
    cr_assert(eq(u32, options.config.base_lora_rank, 8));
    cr_assert(eq(u32, options.config.embedding_dim, 256)); /* written out */
    cr_assert(eq(int, parse(unknown), 2));
    cr_assert(ne(ptr, strstr(complaints(), "for_coordinator"), NULL));
}

Test(options, every_mistake_is_told_in_a_sentence_of_its_own)
{
    static const char *const args[] = {"--routes",     "a,a,b:2,c:0:0:0:0,d:x",
                                       "--set",        "no_such_key=1",
                                       "--set",        "lambda",
                                       "--lanes-max",  "0",
                                       "--background", "sometimes",
                                       "--instance",   "../up",
                                       "stray",        NULL};
    static const char *const told[] = {
        "\"a\" twice", "cost of \"b\"", "\"c\" has more", "cost of \"d\"", "no_such_key",
        "key=value",   "--lanes-max",   "sometimes",      "../up",         "\"stray\""};

    cr_assert(eq(int, parse(args), 2));
    const char *text = complaints();
    for (size_t n = 0; n < sizeof told / sizeof told[0]; n++)
        cr_expect(ne(ptr, strstr(text, told[n]), NULL), "%s is not in:\n%s", told[n], text);
}

Test(options, bad_route_names_are_refused)
{
    static const char *const lists[] = {"",     ",", "a,,b", "with space", "tab\there",
                                        "\xff", "0", "257",  "-1:5"};

    for (size_t n = 0; n < sizeof lists / sizeof lists[0]; n++) {
        const char *args[] = {"--routes", lists[n], NULL};

        cr_expect(eq(int, parse(args), 2), "--routes \"%s\" was taken", lists[n]);
    }
}

Test(options, no_routes_is_a_mistake_unless_only_the_configuration_is_printed)
{
    static const char *const bare[] = {NULL}, *const print[] = {"--print-config", NULL};

    cr_assert(eq(int, parse(bare), 2));
    cr_assert(ne(ptr, strstr(complaints(), "--routes"), NULL));
    cr_assert(eq(int, parse(print), 0));
}

Test(options, what_does_not_fit_together_is_told)
{
    static const char *const routes[] = {"--routes=5", "--set=routes_max=4", NULL};
    static const char *const rank[] = {"--routes=2", "--dim=4", "--set=base_lora_rank=8", NULL};

    cr_assert(eq(int, parse(routes), 2));
    cr_assert(eq(int, parse(rank), 2));
    const char *text = complaints();
    cr_assert(ne(ptr, strstr(text, "routes_max is 4"), NULL), "%s", text);
    cr_assert(ne(ptr, strstr(text, "base_lora_rank"), NULL), "%s", text);
}
