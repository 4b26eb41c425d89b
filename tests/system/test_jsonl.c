/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* sonactl export and import of JSON lines: what a bank knew, another knows. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "opinion.h"

#define FOUND 8u

/* What searches find, without what a search itself changes. */
struct found {
    uint32_t n[QUERIES];
    sona_pattern pattern[QUERIES][FOUND];
};

static struct found found_now(const struct stage *stage)
{
    static struct found ret;
    char said[256];

    cr_assert(zero(int, stage_sonactl(stage, "flush", said, sizeof said)), "%s", said);
    sona_client *client = stage_client(stage, 1);
    sona_lane *lane = stage_lane(client);
    memset(&ret, 0, sizeof ret);
    for (uint32_t q = 0; q < QUERIES; q++) {
        float x[STAGE_DIM];

        stage_query(q, x);
        cr_assert(eq(int, sona_find_patterns(lane, x, STAGE_DIM, FOUND, ret.pattern[q], &ret.n[q]),
                     SONA_OK));
        for (uint32_t i = 0; i < ret.n[q]; i++) /* the searches of this test are noted */
            ret.pattern[q][i].access_count = ret.pattern[q][i].last_accessed = 0;
    }
    sona_lane_release(&lane);
    sona_client_close(&client);
    return ret;
}

static bool same(const struct found *a, const struct found *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* sonactl with a file; fails the test unless it ends with `status`. */
static void transfer(const struct stage *stage, const char *words, const char *file, int status,
                     char said[2048])
{
    char arguments[256];

    (void)snprintf(arguments, sizeof arguments, "%s --file '%s'", words, file);
    cr_assert(eq(int, stage_sonactl(stage, arguments, said, 2048), status), "%s", said);
}

static void write_file(const char *file, const char *text)
{
    FILE *to = fopen(file, "w");

    cr_assert(ne(ptr, to, NULL));
    cr_assert(ge(int, fputs(text, to), 0));
    cr_assert(zero(int, fclose(to)));
}

Test(jsonl, patterns_are_found_the_same_in_another_sidecar_and_after_its_death, .timeout = 120)
{
    char dir[] = "/tmp/sona-jsonl-XXXXXX", file[64], said[2048];
    struct stage from, to;
    struct stat st;

    cr_assert(ne(ptr, mkdtemp(dir), NULL));
    (void)snprintf(file, sizeof file, "%s/p.jsonl", dir);
    stage_open(&from, NULL);
    stage_open_kept(&to, NULL);
    learn_here(&from, 300);
    cr_assert(zero(int, stage_sonactl(&from, "learn", said, sizeof said)), "%s", said);
    struct found there = found_now(&from), none = found_now(&to);
    cr_assert(ge(u32, there.n[0], 1));
    transfer(&from, "export patterns", file, 0, said);
    cr_assert(zero(int, stat(file, &st)));
    cr_expect(eq(u32, st.st_mode & 0777, 0600));

    cr_expect(eq(u32, none.n[0], 0));
    transfer(&to, "import patterns", file, 0, said);
    cr_expect(ne(ptr, strstr(said, "0 of them into one that was alike"), NULL), "%s", said);
    cr_assert(zero(int, stage_sonactl(&to, "patterns", said, sizeof said)), "%s", said);
    cr_expect(eq(ptr, strstr(said, "0 patterns, 0 shown"), NULL), "at once: %s", said);
    struct found here = found_now(&to);
    cr_expect(same(&there, &here), "bit by bit");

    sona_spawn_kill(&to.spawn);
    stage_reopen(&to);
    here = found_now(&to);
    cr_expect(same(&there, &here), "after a kill");
    stage_restart(&to);
    here = found_now(&to);
    cr_expect(same(&there, &here), "after a stop");
    learn_here(&to, 60);
    cr_assert(zero(int, stage_sonactl(&to, "learn", said, sizeof said)), "%s", said);
    here = found_now(&to);
    for (uint32_t q = 0; q < QUERIES; q++)
        cr_expect(ge(u32, here.pattern[q][0].n_routes, there.pattern[q][0].n_routes),
                  "the next cycle goes on from it");
    transfer(&to, "import patterns", file, 0, said);
    cr_expect(eq(ptr, strstr(said, " 0 of them into"), NULL), "%s", said);
    stage_close(&from);
    stage_close(&to);
    cr_assert(zero(int, unlink(file)));
    cr_assert(zero(int, rmdir(dir)));
}

Test(jsonl, patterns_that_are_none_are_named_by_file_and_line_and_change_nothing, .timeout = 60)
{
    static const char *const wider[] = {"--dim=24", "--set=hidden_dim=24", NULL};
    char dir[] = "/tmp/sona-jsonl-XXXXXX", file[64], said[2048], want[128];
    struct stage stage, wide;

    cr_assert(ne(ptr, mkdtemp(dir), NULL));
    (void)snprintf(file, sizeof file, "%s/p.jsonl", dir);
    stage_open(&stage, NULL);
    stage_open(&wide, wider);
    learn_here(&stage, 100);
    cr_assert(zero(int, stage_sonactl(&stage, "learn", said, sizeof said)), "%s", said);
    struct found before = found_now(&stage);
    transfer(&stage, "export patterns", file, 0, said);
    transfer(&wide, "import patterns", file, 1, said);
    (void)snprintf(want, sizeof want, "%s:1: the file is of 16 dimensions, and this instance of 24",
                   file);
    cr_expect(ne(ptr, strstr(said, want), NULL), "%s", said);
    write_file(file, "\n{\"format\":\"sona-patterns-1\",\"dim\":16}\n\n{\"id\":\"seven\"}\n");
    transfer(&stage, "import patterns", file, 1, said);
    (void)snprintf(want, sizeof want, "%s:4: a pattern has \"id\", \"weight\"", file);
    cr_expect(ne(ptr, strstr(said, want), NULL), "%s", said);
    transfer(&stage, "import patterns", "/nonexistent", 1, said);
    cr_expect(ne(ptr, strstr(said, "cannot open /nonexistent"), NULL), "%s", said);
    write_file(file, "");
    transfer(&stage, "import patterns", file, 1, said);
    cr_expect(ne(ptr, strstr(said, "is empty"), NULL), "%s", said);
    struct found after = found_now(&stage);
    cr_expect(same(&before, &after));
    stage_close(&stage);
    stage_close(&wide);
    cr_assert(zero(int, unlink(file)));
    cr_assert(zero(int, rmdir(dir)));
}
