/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* sonactl export and import of the adapters: the same bits come back, also after a kill. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "opinion.h"

/* What the adapters make of some queries, as bits. */
struct adapted {
    float y[QUERIES][STAGE_DIM];
};

static struct adapted adapted_now(const struct stage *stage)
{
    sona_client *client = stage_client(stage, 1);
    sona_lane *lane = stage_lane(client);
    struct adapted ret = {0};

    for (uint32_t n = 0; n < QUERIES; n++) {
        float x[STAGE_DIM];

        stage_query(1000 + n, x);
        cr_assert(eq(int, sona_apply(lane, x, STAGE_DIM, ret.y[n], NULL), SONA_OK));
    }
    sona_lane_release(&lane);
    sona_client_close(&client);
    return ret;
}

static bool same(const struct adapted *a, const struct adapted *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* sonactl with a file: "export adapters --file F"; fails the test unless it ends with `status`. */
static void transfer(const struct stage *stage, const char *words, const char *file, int status,
                     char said[1024])
{
    char arguments[256];

    (void)snprintf(arguments, sizeof arguments, "%s adapters --file '%s'", words, file);
    cr_assert(eq(int, stage_sonactl(stage, arguments, said, 1024), status), "%s", said);
}

Test(adapters, an_import_gives_identical_outputs_and_a_kill_takes_nothing_of_it, .timeout = 120)
{
    char dir[] = "/tmp/sona-adapters-XXXXXX", file[64], said[1024];
    struct stage stage;
    struct stat st;

    cr_assert(ne(ptr, mkdtemp(dir), NULL));
    (void)snprintf(file, sizeof file, "%s/a.safetensors", dir);
    stage_open_kept(&stage, NULL);
    struct adapted fresh = adapted_now(&stage);
    learn_here(&stage, 300);
    cr_assert(zero(int, stage_sonactl(&stage, "learn", said, sizeof said)), "%s", said);
    learn_here(&stage, 40);
    cr_assert(zero(int, stage_sonactl(&stage, "flush", said, sizeof said)), "%s", said);
    transfer(&stage, "export", file, 0, said);
    struct adapted exported = adapted_now(&stage);
    cr_assert(not(same(&fresh, &exported)));
    cr_assert(zero(int, stat(file, &st)));
    cr_expect(eq(u32, st.st_mode & 0777, 0600));
    transfer(&stage, "export", file, 1, said);
    cr_expect(ne(ptr, strstr(said, "File exists"), NULL), "%s", said);

    learn_here(&stage, 300);
    cr_assert(zero(int, stage_sonactl(&stage, "learn", said, sizeof said)), "%s", said);
    struct adapted other = adapted_now(&stage);
    cr_assert(not(same(&exported, &other)));
    transfer(&stage, "import", file, 0, said);
    struct adapted imported = adapted_now(&stage);
    cr_expect(same(&exported, &imported), "bit by bit");

    sona_spawn_kill(&stage.spawn);
    stage_reopen(&stage);
    /* Until the new one has published, readers see the dead one's last pair. */
    cr_assert(zero(int, stage_sonactl(&stage, "flush", said, sizeof said)), "%s", said);
    struct adapted back = adapted_now(&stage);
    cr_expect(same(&exported, &back), "after a kill");
    stage_restart(&stage);
    back = adapted_now(&stage);
    cr_expect(same(&exported, &back), "after a stop");
    stage_close(&stage);
    cr_assert(zero(int, unlink(file)));
    cr_assert(zero(int, rmdir(dir)));
}

/* What a program that knows the format alone makes of the file. */
Test(adapters, python_reads_the_file_and_computes_what_the_client_does, .timeout = 60)
{
    char dir[] = "/tmp/sona-adapters-XXXXXX", file[64], said[1024], command[1024];
    const char *script = getenv("SONA_ADAPTERS_PY");
    struct stage stage;
    size_t n;

    if (!script || system("python3 -c 1 2>/dev/null") != 0)
        cr_skip("there is no python3 here");
    cr_assert(ne(ptr, mkdtemp(dir), NULL));
    (void)snprintf(file, sizeof file, "%s/a.safetensors", dir);
    stage_open(&stage, NULL);
    learn_here(&stage, 300);
    cr_assert(zero(int, stage_sonactl(&stage, "learn", said, sizeof said)), "%s", said);
    learn_here(&stage, 20);
    cr_assert(zero(int, stage_sonactl(&stage, "flush", said, sizeof said)), "%s", said);
    transfer(&stage, "export", file, 0, said);
    struct adapted a = adapted_now(&stage);
    double moved = 0;
    for (uint32_t q = 0; q < 3; q++) {
        float x[STAGE_DIM], y[STAGE_DIM];

        stage_query(1000 + q, x);
        n = (size_t)snprintf(command, sizeof command, "python3 '%s' '%s'", script, file);
        for (uint32_t i = 0; i < STAGE_DIM; i++)
            n += (size_t)snprintf(command + n, sizeof command - n, " %.9g", (double)x[i]);
        FILE *pipe = popen(command, "r");
        cr_assert(ne(ptr, pipe, NULL));
        for (uint32_t i = 0; i < STAGE_DIM; i++) {
            cr_assert(eq(int, fscanf(pipe, "%f", &y[i]), 1));
            cr_expect(lt(dbl, fabs((double)y[i] - (double)a.y[q][i]), 1e-5), "%u", i);
            moved += fabs((double)y[i] - (double)x[i]);
        }
        cr_assert(zero(int, pclose(pipe)));
    }
    cr_expect(gt(dbl, moved, 1e-3), "there is something to compute");
    stage_close(&stage);
    cr_assert(zero(int, unlink(file)));
    cr_assert(zero(int, rmdir(dir)));
}

Test(adapters, another_instance_takes_them_and_a_bad_file_changes_nothing, .timeout = 60)
{
    static const char *const wider[] = {"--set=base_lora_rank=6", NULL};
    char dir[] = "/tmp/sona-adapters-XXXXXX", file[64], said[1024];
    struct stage from, to, wide;

    cr_assert(ne(ptr, mkdtemp(dir), NULL));
    (void)snprintf(file, sizeof file, "%s/a.safetensors", dir);
    stage_open(&from, NULL);
    stage_open(&to, NULL);
    stage_open(&wide, wider);
    learn_here(&from, 100);
    cr_assert(zero(int, stage_sonactl(&from, "flush", said, sizeof said)), "%s", said);
    transfer(&from, "export", file, 0, said);
    transfer(&to, "import", file, 0, said);
    struct adapted a = adapted_now(&from), b = adapted_now(&to);
    cr_expect(same(&a, &b), "bit by bit");

    transfer(&wide, "import", file, 1, said);
    cr_expect(ne(ptr, strstr(said, "base.0.lora_A must have the shape [6, 16]"), NULL), "%s", said);
    cr_assert(zero(int, truncate(file, 1000)));
    transfer(&to, "import", file, 1, said);
    cr_expect(ne(ptr, strstr(said, "cut off within"), NULL), "%s", said);
    struct adapted c = adapted_now(&to);
    cr_expect(same(&b, &c), "the refused file changed nothing");
    transfer(&to, "import", "/nonexistent", 1, said);
    cr_expect(ne(ptr, strstr(said, "cannot open /nonexistent"), NULL), "%s", said);
    stage_close(&from);
    stage_close(&to);
    stage_close(&wide);
    cr_assert(zero(int, unlink(file)));
    cr_assert(zero(int, rmdir(dir)));
}
