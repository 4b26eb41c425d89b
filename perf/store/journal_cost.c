/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What the journal costs a sidecar: from an outcome that is told to the snapshot that contains it,
 * and outcomes learned a second, with nothing kept and with each durability. Four sidecars side by
 * side, asked in turns whose order rotates, so that all meet the same noise.
 *
 * usage: journal-cost [ROUNDS [DIR]]     100 rounds; state in DIR; one JSON object per line
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sona/client.h>

#include "tools/random.h"
#include "tools/sample.h"
#include "tools/spawn.h"

#define DIM      256u
#define QUERIES  1024u
#define SINGLE   20u  /* outcomes that are waited for one by one, in a turn */
#define BURST    500u /* and told at once; what the smallest ring holds twice over */
#define LIMIT_NS 5000000000u
#define MODES    4u

static const char *const modes[MODES] = {"off", "process", "interval", "every"};

struct side {
    struct sona_spawn sidecar;
    sona_client *client;
    sona_lane *lane;
    struct sona_tools_sample visible, rate;
    uint64_t left_out; /* of bursts: thinned, or never learned in time */
};

static float x[QUERIES][DIM];
static uint64_t turn;

static void die(const char *what)
{
    (void)fprintf(stderr, "journal-cost: %s\n", what);
    exit(1);
}

static void open_side(struct side *s, const char *mode, const char *dir, uint32_t rounds)
{
    char state[256], durability[32];
    const char *args[] = {"--dim=256", "--routes=9", state, durability, NULL};
    sona_diag diag = {.text = ""};

    (void)snprintf(state, sizeof state, "--state-dir=%s", dir);
    (void)snprintf(durability, sizeof durability, "--durability=%s", mode);
    if (strcmp(mode, "off") == 0)
        args[2] = NULL;
    if (sona_spawn_start(&s->sidecar, NULL, NULL, NULL, args, &diag) != SONA_OK)
        die(diag.text);
    const sona_client_options options = {.instance = s->sidecar.instance,
                                         .runtime_dir = s->sidecar.runtime_dir,
                                         .dim = DIM,
                                         .seed = 1};
    if (sona_client_open(&s->client, &options, &diag) != SONA_OK ||
        sona_lane_claim(s->client, &s->lane, &diag) != SONA_OK)
        die(diag.text);
    if (!sona_tools_sample_init(&s->visible, rounds * SINGLE) ||
        !sona_tools_sample_init(&s->rate, rounds))
        die("no memory");
}

static uint64_t step_of(const struct side *s)
{
    sona_version_info version = {0};

    (void)sona_version_of(s->lane, &version);
    return version.step;
}

static void tell(const struct side *s)
{
    const float *query = x[turn % QUERIES];
    sona_decision d;
    sona_err err;

    while ((err = sona_decide(s->lane, query, DIM, NULL, &d)) == SONA_E_FULL)
        ;
    if (err != SONA_OK)
        die(sona_err_text(err));
    while ((err = sona_outcome(s->lane, d.id, (float)(turn % 2), NULL)) == SONA_E_FULL)
        ;
    if (err != SONA_OK)
        die(sona_err_text(err));
    turn++;
}

/* Wait until `step` is reached. False: it was not in time. */
static bool reach(const struct side *s, uint64_t step, uint64_t start)
{
    while (step_of(s) < step)
        if (sona_tools_now_ns() - start > LIMIT_NS)
            return false;
    return true;
}

static void one_by_one(struct side *s)
{
    tell(s); /* wakes the sidecar */
    (void)reach(s, 1, sona_tools_now_ns());
    for (uint32_t i = 0; i < SINGLE; i++) {
        uint64_t before = step_of(s), start = sona_tools_now_ns();

        tell(s);
        if (reach(s, before + 1, start))
            sona_tools_sample_add(&s->visible, sona_tools_now_ns() - start);
    }
}

static void burst(struct side *s)
{
    uint64_t before = step_of(s), start = sona_tools_now_ns();

    for (uint32_t i = 0; i < BURST; i++)
        tell(s);
    if (!reach(s, before + BURST, start))
        s->left_out += before + BURST - step_of(s);
    sona_tools_sample_add(&s->rate, (uint64_t)((double)(step_of(s) - before) * 1e9 /
                                               (double)(sona_tools_now_ns() - start)));
}

static void show(struct side *s, const char *mode, struct side *off)
{
    (void)printf(
        "{\"name\": \"journal/%s\", \"visible_us\": {\"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, "
        "\"p999\": %.1f}, \"learned_per_s\": {\"p10\": %.0f, \"p50\": %.0f, \"p90\": %.0f}, "
        "\"left_out\": %llu, \"visible_to_off\": %.3f, \"learned_to_off\": %.3f}\n",
        mode, sona_tools_sample_percentile(&s->visible, 0.5) / 1000,
        sona_tools_sample_percentile(&s->visible, 0.9) / 1000,
        sona_tools_sample_percentile(&s->visible, 0.99) / 1000,
        sona_tools_sample_percentile(&s->visible, 0.999) / 1000,
        sona_tools_sample_percentile(&s->rate, 0.1), sona_tools_sample_percentile(&s->rate, 0.5),
        sona_tools_sample_percentile(&s->rate, 0.9), (unsigned long long)s->left_out,
        sona_tools_sample_percentile(&s->visible, 0.5) /
            sona_tools_sample_percentile(&off->visible, 0.5),
        sona_tools_sample_percentile(&s->rate, 0.5) /
            sona_tools_sample_percentile(&off->rate, 0.5));
}

static void close_side(struct side *s)
{
    sona_lane_release(&s->lane);
    sona_client_close(&s->client);
    (void)sona_spawn_stop(&s->sidecar);
    sona_tools_sample_done(&s->visible);
    sona_tools_sample_done(&s->rate);
}

int main(int argc, char **argv)
{
    uint32_t rounds = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 100;
    struct sona_tools_random random = sona_tools_random_init(1, 1);
    char made[] = "/var/tmp/sona-journal-cost-XXXXXX", command[96];
    const char *dir = argc > 2 ? argv[2] : mkdtemp(made);
    static struct side side[MODES];

    if (!dir || rounds < 1 || rounds > 100000)
        die("usage: journal-cost [ROUNDS [DIR]]");
    for (uint32_t i = 0; i < QUERIES; i++)
        for (uint32_t k = 0; k < DIM; k++)
            x[i][k] = (float)sona_tools_random_unit(&random) - 0.5f;
    for (uint32_t m = 0; m < MODES; m++)
        open_side(&side[m], modes[m], dir, rounds);
    for (uint32_t r = 0; r < rounds; r++) {
        for (uint32_t m = 0; m < MODES; m++)
            one_by_one(&side[(m + r) % MODES]);
        for (uint32_t m = 0; m < MODES; m++)
            burst(&side[(m + r) % MODES]);
    }
    for (uint32_t m = 0; m < MODES; m++)
        show(&side[m], modes[m], &side[0]);
    for (uint32_t m = 0; m < MODES; m++)
        close_side(&side[m]);
    if (argc <= 2) {
        (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
        return system(command) != 0;
    }
    return 0;
}
