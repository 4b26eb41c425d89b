/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What a sidecar takes: as announced, and, on the edge, less than 5 MB of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/system/stage.h"

#define DIM       256
#define EDGE_MAX  5000000u
#define FEEDBACKS 1500u /* many times the replay of the preset */

static const char *const edge[] = {"--preset=edge_deployment", "--dim=256", "--set=hidden_dim=256",
                                   "--set=attention_dim=64", NULL};

/* The line of `preset` in what sona-sidecar --memory=json says for the edge. */
static json_t *announced(const char *preset)
{
    char command[512], line[1024];
    json_t *found = NULL;
    FILE *pipe;

    (void)snprintf(
        command, sizeof command,
        "'%s' --memory=json --preset=edge_deployment --set=base_lora_layers=2 --routes=3",
        getenv("SONA_SIDECAR"));
    pipe = popen(command, "re");
    cr_assert(ne(ptr, pipe, NULL));
    while (fgets(line, sizeof line, pipe)) {
        json_t *o = json_loads(line, 0, NULL);

        cr_assert(ne(ptr, o, NULL), "%s", line);
        if (strcmp(json_string_value(json_object_get(o, "preset")), preset) == 0)
            found = o;
        else
            json_decref(o);
    }
    cr_assert(zero(int, pclose(pipe)));
    cr_assert(ne(ptr, found, NULL), "%s", preset);
    return found;
}

static uint64_t figure(const json_t *o, const char *key)
{
    bool found = json_is_integer(json_object_get(o, key));

    cr_assert(found, "%s", key);
    return (uint64_t)json_integer_value(json_object_get(o, key));
}

/* Every part in use: decisions, outcomes, background cycles, a trajectory with steps. */
static void use(const struct stage *stage)
{
    const sona_client_options options = {.instance = stage->spawn.instance,
                                         .runtime_dir = stage->spawn.runtime_dir,
                                         .lanes = 1,
                                         .dim = DIM};
    sona_client *client = NULL;
    sona_diag diag = {0};
    float x[DIM] = {0};

    cr_assert(eq(int, sona_client_open(&client, &options, &diag), SONA_OK), "%s", diag.text);
    sona_lane *lane = stage_lane(client);
    for (uint32_t i = 0; i < FEEDBACKS; i++) {
        sona_decision decision;

        for (uint32_t j = 0; j < DIM; j++)
            x[j] = (float)((i * 7919u + j * 104729u) % 1000u) / 1000.0f - 0.5f;
        cr_assert(eq(int, sona_decide(lane, x, DIM, NULL, &decision), SONA_OK));
        while (sona_outcome(lane, decision.id, i % 3 == 0 ? 0.9f : 0.1f, NULL) == SONA_E_FULL)
            stage_pause();
        if (i % 100 == 99)
            (void)stage_await(stage, "learned", i + 1);
    }
    /* How many there are is a matter of how long each takes. */
    (void)stage_await(stage, "background_cycles", 1);
    sona_client_close(&client);
    /* Until it is reclaimed, its lanes are mapped by the sidecar alone, and look like its own. */
    (void)stage_await(stage, "clients_reclaimed", 1);
}

Test(memory, an_edge_sidecar_in_use_has_less_than_five_megabytes_of_its_own, .timeout = 120)
{
    struct stage stage;

    stage_open(&stage, edge);
    use(&stage);
    json_t *status = stage_status(&stage);
    uint64_t all = figure(status, "private_bytes"), own = figure(status, "own_bytes");
    json_decref(status);
    stage_close(&stage);
    cr_assert(gt(u64, own, 1000000)); /* the replay alone, twice */
    cr_assert(lt(u64, own, all));
    const char *sanitized = getenv("SONA_TEST_SANITIZED");

    /* A sanitizer keeps what is freed, and shadows of all of it. */
    if (!sanitized || sanitized[0] == '\0')
        cr_assert(lt(u64, own, EDGE_MAX), "%llu", (unsigned long long)own);
}

Test(memory, what_is_announced_is_what_a_sidecar_allocates, .timeout = 60)
{
    json_t *edge_row = announced("edge_deployment"), *row = announced("(as configured)");
    struct stage stage;

    stage_open(&stage, edge);
    uint64_t bytes = stage_counter(&stage, "memory_bytes");
    json_t *status = stage_status(&stage);
    uint64_t segment = figure(json_object_get(status, "segment"), "bytes");
    json_decref(status);
    stage_close(&stage);
    cr_assert(eq(u64, figure(row, "total"), bytes));
    cr_assert(eq(u64, figure(row, "segment"), segment));
    cr_assert(lt(u64, figure(edge_row, "engine"), EDGE_MAX));
    cr_assert(lt(u64, figure(edge_row, "total"), EDGE_MAX));
    json_decref(row);
    json_decref(edge_row);
}
