/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* sonactl export and import of JSON lines: what a bank knew, another knows. */
#include <stdio.h>
#include <stdlib.h>
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

/* So that no cycle ends between what is compared. */
static const char *const in_line[] = {"--background=inline", NULL};

Test(jsonl, patterns_are_found_the_same_in_another_sidecar_and_after_its_death, .timeout = 120)
{
    char dir[] = "/tmp/sona-jsonl-XXXXXX", file[64], said[2048];
    struct stage from, to;
    struct stat st;

    cr_assert(ne(ptr, mkdtemp(dir), NULL));
    (void)snprintf(file, sizeof file, "%s/p.jsonl", dir);
    stage_open(&from, in_line);
    stage_open_kept(&to, in_line);
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

/* The number behind a key of sonactl's JSON. */
static long long number_of(const char *json, const char *key)
{
    char text[64];
    const char *at;

    (void)snprintf(text, sizeof text, "\"%s\":", key);
    at = strstr(json, text);
    cr_assert(ne(ptr, (void *)(uintptr_t)at, NULL), "%s: %s", key, json);
    return strtoll(at + strlen(text), NULL, 10);
}

/* What sonactl says of an import, as JSON. */
static void import_decisions(const struct stage *stage, const char *file, int status,
                             char said[2048])
{
    char arguments[256];

    (void)snprintf(arguments, sizeof arguments, "--json import decisions --file '%s'", file);
    cr_assert(eq(int, stage_sonactl(stage, arguments, said, 2048), status), "%s", said);
}

static double mean_quality(const struct stage *stage)
{
    json_t *stats = stage_stats(stage);
    double ret = json_number_value(json_object_get(stats, "mean_quality"));

    json_decref(stats);
    return ret;
}

Test(jsonl, decisions_of_one_sidecar_teach_another_once_and_for_good, .timeout = 180)
{
    char dir[] = "/tmp/sona-jsonl-XXXXXX", file[64], back[64], said[2048];
    struct stage from, to;

    cr_assert(ne(ptr, mkdtemp(dir), NULL));
    (void)snprintf(file, sizeof file, "%s/d.jsonl", dir);
    (void)snprintf(back, sizeof back, "%s/back.jsonl", dir);
    stage_open_kept(&from, in_line);
    stage_open_kept(&to, in_line);
    learn_here(&from, 600);
    cr_assert(zero(int, stage_sonactl(&from, "flush", said, sizeof said)), "%s", said);
    /* What was learned is in the database a moment later; the test's time-out is the bound. */
    do {
        (void)unlink(file);
        transfer(&from, "export decisions", file, 0, said);
    } while (!strstr(said, "600 lines"));

    struct opinion fresh = opinion_now(&to);
    import_decisions(&to, file, 0, said);
    cr_expect(eq(i64, number_of(said, "lines"), 600), "%s", said);
    cr_expect(eq(i64, number_of(said, "taken"), 600), "%s", said);
    cr_expect(eq(u64, stage_counter(&to, "learned"), 600));
    cr_expect(eq(u64, stage_counter(&to, "imported"), 600));
    struct opinion taught = opinion_now(&to);
    cr_expect(ne(int, memcmp(&fresh, &taught, sizeof fresh), 0));
    cr_expect(eq(dbl, mean_quality(&from), mean_quality(&to)), "the same outcomes, in their order");

    import_decisions(&to, file, 0, said);
    cr_expect(eq(i64, number_of(said, "taken"), 0), "%s", said);
    cr_expect(eq(i64, number_of(said, "duplicates"), 600), "%s", said);
    struct opinion again = opinion_now(&to);
    cr_expect(zero(int, memcmp(&taught, &again, sizeof taught)), "a second time changes nothing");
    import_decisions(&from, file, 0, said);
    cr_expect(eq(i64, number_of(said, "duplicates"), 600), "it learned them itself: %s", said);
    transfer(&to, "export decisions", back, 0, said);
    import_decisions(&from, back, 0, said);
    cr_expect(eq(i64, number_of(said, "duplicates"), 600), "also by way of another: %s", said);

    sona_spawn_kill(&to.spawn);
    stage_reopen(&to);
    again = opinion_now(&to);
    cr_expect(zero(int, memcmp(&taught, &again, sizeof taught)), "after a kill");
    cr_expect(eq(u64, stage_counter(&to, "imported"), 600));
    import_decisions(&to, file, 0, said);
    cr_expect(eq(i64, number_of(said, "duplicates"), 600), "%s", said);
    cr_expect(eq(u64, stage_counter(&to, "import_duplicates"), 600), "of this process");
    stage_close(&from);
    stage_close(&to);
    cr_assert(zero(int, unlink(file)));
    cr_assert(zero(int, unlink(back)));
    cr_assert(zero(int, rmdir(dir)));
}

#define X16 "\"x\":[1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]"

/* More of them than a sentence quotes, and at odd bytes: it ends within one. */
#define ACCENTS                                                                                  \
    "\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9" \
    "\u00e9"                                                                                     \
    "\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9" \
    "\u00e9y"

Test(jsonl, every_line_of_decisions_is_counted_and_what_is_refused_is_named, .timeout = 60)
{
    static const char lines[] =
        "{\"format\":\"sona-decisions-1\",\"dim\":16}\n"
        "{\"kind\":\"outcome\",\"id\":\"a1\",\"route\":\"a\",\"quality\":0.5," X16 "}\n"
        "{\"kind\":\"outcome\",\"id\":\"a1\",\"route\":\"a\",\"quality\":0.5," X16 "}\n"
        "nonsense\n"
        "{\"kind\":\"hit\",\"id\":\"a2\"}\n"
        "\n"
        "{\"kind\":\"outcome\",\"id\":\"a3\",\"route\":\"z\",\"quality\":0.5," X16 "}\n"
        "{\"kind\":\"outcome\",\"id\":\"a4\",\"route\":\"a\",\"quality\":1.5," X16 "}\n"
        "{\"kind\":\"outcome\",\"id\":\"a5\",\"route\":\"a\",\"quality\":0.5,\"x\":[1]}\n"
        "{\"kind\":\"outcome\",\"id\":\"a6\",\"route\":\"a\",\"quality\":0.5}\n"
        "{\"kind\":\"outcome\",\"id\":\"xyz\",\"route\":\"a\",\"quality\":0.5," X16 "}\n"
        "{\"id\":\"a8\",\"route\":\"a\",\"quality\":0.5," X16 "}\n"
        "{\"kind\":\"outcome\",\"id\":\"a9\",\"route\":\"a\\u001b" ACCENTS "\",\"quality\":1," X16
        "}\n"
        "{\"kind\":\"revoke\",\"id\":\"ffff\"}\n"
        "{\"kind\":\"revoke\",\"id\":\"a1\"}\n"
        "{\"kind\":\"outcome\",\"id\":\"a7\",\"quality\":1," X16 "}\n";
    static const char *const named[] = {":4: column",
                                        ":5: kind \"hit\" is nothing to learn from",
                                        ":7: there is no enabled route",
                                        ":8: \"quality\" must be",
                                        ":9: \"x\" has 1 numbers",
                                        ":10: it has no embedding",
                                        ":11: \"id\" must be",
                                        ":12: kind \"\" is nothing to learn from",
                                        ":13: there is no enabled route \"a?",
                                        ":14: the outcome that it is about"};
    char dir[] = "/tmp/sona-jsonl-XXXXXX", file[64], said[2048];
    struct stage stage, bare;

    cr_assert(ne(ptr, mkdtemp(dir), NULL));
    (void)snprintf(file, sizeof file, "%s/d.jsonl", dir);
    stage_open_kept(&stage, NULL);
    stage_open(&bare, NULL);
    write_file(file, lines);
    import_decisions(&stage, file, 1, said);
    cr_expect(eq(i64, number_of(said, "lines"), 14), "%s", said);
    cr_expect(eq(i64, number_of(said, "taken"), 3), "%s", said);
    cr_expect(eq(i64, number_of(said, "duplicates"), 1), "%s", said);
    cr_expect(eq(i64, number_of(said, "refused"), 10), "%s", said);
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        cr_expect(ne(ptr, strstr(said, named[i]), NULL), "%s: %s", named[i], said);
    cr_expect(eq(u64, stage_counter(&stage, "imported"), 4));
    cr_expect(eq(u64,
                 stage_counter(&stage, "learned") + stage_counter(&stage, "revoked") +
                     stage_counter(&stage, "drop_revoke_late"),
                 4));

    cr_assert(zero(int, stage_sonactl(&stage, "disable", said, sizeof said)), "%s", said);
    transfer(&stage, "import decisions", file, 1, said);
    cr_expect(ne(ptr, strstr(said, "learning is switched off"), NULL), "%s", said);
    transfer(&bare, "import decisions", file, 3, said);
    cr_expect(ne(ptr, strstr(said, "keeps no journal"), NULL), "%s", said);
    transfer(&bare, "export decisions", "/tmp/sona-jsonl-none", 3, said);
    cr_expect(ne(ptr, strstr(said, "keeps no journal"), NULL), "%s", said);
    cr_expect(eq(int, access("/tmp/sona-jsonl-none", F_OK), -1), "no file is left");
    write_file(file, strchr(lines, '\n') + 1);
    transfer(&stage, "import decisions", file, 1, said);
    cr_expect(ne(ptr, strstr(said, ":1: the first line must say"), NULL), "%s", said);
    stage_close(&stage);
    stage_close(&bare);
    cr_assert(zero(int, unlink(file)));
    cr_assert(zero(int, rmdir(dir)));
}

/* Ids are told from others while they are in use; later clients and other sidecars have them
 * again. */
Test(jsonl, outcomes_of_one_id_are_told_apart_by_where_they_were_told_by_whichever_way,
     .timeout = 60)
{
    static const char lines[] =
        "{\"format\":\"sona-decisions-1\",\"dim\":16,\"source\":\"a0\"}\n"
        "{\"kind\":\"outcome\",\"id\":\"c1\",\"position\":3,\"quality\":1," X16 "}\n"
        "{\"kind\":\"outcome\",\"id\":\"c1\",\"position\":9,\"quality\":1," X16 "}\n"
        "{\"kind\":\"replace\",\"id\":\"c1\",\"position\":10,\"quality\":0.5}\n"
        "{\"kind\":\"outcome\",\"id\":\"c1\",\"position\":3,\"source\":\"b0\",\"quality\":1," X16
        "}\n";
    char dir[] = "/tmp/sona-jsonl-XXXXXX", file[64], back[64], said[2048];
    struct stage one, other;

    cr_assert(ne(ptr, mkdtemp(dir), NULL));
    (void)snprintf(file, sizeof file, "%s/d.jsonl", dir);
    (void)snprintf(back, sizeof back, "%s/back.jsonl", dir);
    stage_open_kept(&one, NULL);
    stage_open_kept(&other, NULL);
    write_file(file, lines);
    import_decisions(&one, file, 0, said);
    cr_expect(eq(i64, number_of(said, "taken"), 4), "%s", said);
    import_decisions(&one, file, 0, said);
    cr_expect(eq(i64, number_of(said, "duplicates"), 4), "%s", said);
    transfer(&one, "export decisions --to 1000000", back, 0, said); /* there are fewer */
    import_decisions(&other, back, 0, said);
    cr_expect(eq(i64, number_of(said, "taken"), 4), "%s", said);
    import_decisions(&other, file, 0, said);
    cr_expect(eq(i64, number_of(said, "duplicates"), 4), "by way of the first: %s", said);
    stage_close(&one);
    stage_close(&other);
    cr_assert(zero(int, unlink(file)));
    cr_assert(zero(int, unlink(back)));
    cr_assert(zero(int, rmdir(dir)));
}

/* What was learned is known when it is committed: nobody may bring it again before. */
Test(jsonl, decisions_are_not_learned_twice_while_the_disk_is_full, .timeout = 120)
{
    static const char lines[] =
        "{\"format\":\"sona-decisions-1\",\"dim\":16}\n"
        "{\"kind\":\"outcome\",\"id\":\"d1\",\"route\":\"a\",\"quality\":0.5," X16 "}\n";
    char dir[] = "/tmp/sona-jsonl-XXXXXX", file[64], said[2048], arguments[128];
    uint64_t end = stage_now_ms() + 30000;
    struct stage stage;

    cr_assert(ne(ptr, mkdtemp(dir), NULL));
    (void)snprintf(file, sizeof file, "%s/d.jsonl", dir);
    (void)snprintf(arguments, sizeof arguments, "--json import decisions --file '%s'", file);
    write_file(file, lines);
    stage_open_kept(&stage, NULL);
    stage_limit_files(&stage, 4096);
    import_decisions(&stage, file, 0, said);
    cr_expect(eq(i64, number_of(said, "taken"), 1), "%s", said);
    transfer(&stage, "import decisions", file, 1, said);
    cr_expect(ne(ptr, strstr(said, "the journal cannot be written now"), NULL), "%s", said);
    stage_limit_files(&stage, UINT64_MAX);
    while (stage_sonactl(&stage, arguments, said, sizeof said) != 0 && stage_now_ms() < end)
        stage_pause();
    cr_expect(eq(i64, number_of(said, "duplicates"), 1), "%s", said);
    cr_expect(eq(u64, stage_counter(&stage, "learned"), 1));
    stage_close(&stage);
    cr_assert(zero(int, unlink(file)));
    cr_assert(zero(int, rmdir(dir)));
}

/* A rollback to before an import makes it as if it had not been, and it can be taken again. */
Test(jsonl, a_rollback_forgets_which_decisions_were_imported, .timeout = 60)
{
    static const char lines[] =
        "{\"format\":\"sona-decisions-1\",\"dim\":16}\n"
        "{\"kind\":\"outcome\",\"id\":\"b1\",\"route\":\"a\",\"quality\":0.5," X16 "}\n";
    char dir[] = "/tmp/sona-jsonl-XXXXXX", file[64], said[2048], roll[64];
    struct stage stage;

    cr_assert(ne(ptr, mkdtemp(dir), NULL));
    (void)snprintf(file, sizeof file, "%s/d.jsonl", dir);
    stage_open_kept(&stage, NULL);
    learn_here(&stage, 20);
    cr_assert(zero(int, stage_sonactl(&stage, "--json generations save", said, sizeof said)), "%s",
              said);
    (void)snprintf(roll, sizeof roll, "generations rollback %lld", number_of(said, "generation"));
    struct opinion before = opinion_now(&stage);
    write_file(file, lines);
    import_decisions(&stage, file, 0, said);
    cr_expect(eq(i64, number_of(said, "taken"), 1), "%s", said);
    import_decisions(&stage, file, 0, said);
    cr_expect(eq(i64, number_of(said, "taken"), 0), "%s", said);
    cr_assert(zero(int, stage_sonactl(&stage, roll, said, sizeof said)), "%s", said);
    struct opinion after = opinion_now(&stage);
    cr_expect(zero(int, memcmp(&before, &after, sizeof before)));
    import_decisions(&stage, file, 0, said);
    cr_expect(eq(i64, number_of(said, "taken"), 1), "%s", said);
    stage_close(&stage);
    cr_assert(zero(int, unlink(file)));
    cr_assert(zero(int, rmdir(dir)));
}
