/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * One life of a part of the sidecar that outlives it, from what an earlier life left: 0; or 1, with
 * the sentence on stderr. Anything else is a defect.
 * usage: parts store|bare|segment|ledger DIRECTORY
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/publisher.h"
#include "shm/wire.h"
#include "sidecar/ledger.h"
#include "sidecar/store/describe.h"
#include "sidecar/store/store.h"

static sona_diag diag;

/* The first that went wrong; what follows is tried all the same. */
static sona_err first;

static bool ok(sona_err err)
{
    if (err != SONA_OK && first == SONA_OK) {
        first = err;
        (void)fprintf(stderr, "parts: %s\n", diag.text[0] ? diag.text : sona_err_text(err));
    }
    return err == SONA_OK;
}

/* ---- the store ---- */

static bool visit(void *context, const struct sona_store_record *record)
{
    *(uint64_t *)context += record->position;
    return true;
}

static bool visit_cursor(void *context, struct sona_store_lane lane, uint32_t uid, uint64_t next)
{
    (void)lane;
    *(uint64_t *)context += next + uid;
    return true;
}

static void finding(void *context, const char *text)
{
    (void)context;
    (void)text;
}

static void append(struct sona_store *store, uint64_t lane_seq, uint32_t n)
{
    static const float x[16] = {1, 2, 3}, base[16] = {4};
    struct sona_store_record r[8];
    uint64_t position;

    for (uint32_t i = 0; i < n; i++)
        r[i] = (struct sona_store_record){.kind = SONA_STORE_outcome,
                                          .uid = i,
                                          .tenant = i % 2,
                                          .lane = {{7, i}},
                                          .lane_seq = lane_seq,
                                          .id = lane_seq,
                                          .x = x,
                                          .base = base,
                                          .payload = "payload",
                                          .x_n = 16,
                                          .base_n = 16,
                                          .payload_bytes = 8};
    if (ok(sona_store_append(store, r, n, &position)))
        (void)ok(sona_store_flush(store, position, 5000, &diag));
}

/* What came from a file, once; and what is known of it. */
static void import(struct sona_store *store)
{
    const struct sona_store_import known[2] = {{.key = 7}, {.key = 8}};
    bool found[2] = {false, false};
    uint64_t position, sum = 0;

    if (!ok(sona_store_imported(store, known, 2, found, &diag)))
        return;
    for (uint32_t i = 0; i < 2; i++) {
        const struct sona_store_record r = {.kind = SONA_STORE_query_outcome,
                                            .lane = SONA_STORE_IMPORTS,
                                            .lane_seq = i,
                                            .payload = &known[i],
                                            .payload_bytes = sizeof known[i]};

        if (!found[i] && sona_store_append(store, &r, 1, &position) == SONA_OK)
            (void)ok(sona_store_flush(store, position, 5000, &diag));
    }
    (void)ok(sona_store_page(store, 1, visit, &sum, &diag));
}

static void read_back(struct sona_store *store)
{
    struct sona_store_generation g[4];
    struct sona_store_stats stats;
    uint32_t n = 0, findings = 0;
    uint64_t sum = 0;
    void *bytes = NULL;
    FILE *file = fopen("/dev/null", "w");

    if (ok(sona_store_generation_read(store, 0, &g[0], &bytes, &diag)))
        free(bytes);
    (void)ok(sona_store_generation_list(store, g, 4, &n, &diag));
    (void)sona_store_replay(store, 1, visit, &sum, &diag); /* rows may be gone by retention */
    if (file) {
        (void)ok(sona_store_export(store, 1, UINT64_MAX, file, &diag));
        (void)fclose(file);
    }
    sona_store_cursors(store, visit_cursor, &sum);
    (void)ok(sona_store_check(store, finding, NULL, &findings, &diag));
    sona_store_stats(store, &stats);
    json_decref(sona_store_describe(store));
    json_decref(sona_store_describe_generations(store, &diag));
}

static void live_store(const char *dir)
{
    struct sona_store_options options = {.instance = "one",
                                         .state_dir = dir,
                                         .intake_bytes = SONA_STORE_INTAKE_MIN,
                                         .durability = SONA_STORE_INTERVAL,
                                         .sync_ms = 5,
                                         .wal_bytes = 1 << 20,
                                         .retain_bytes = 200000,
                                         .retain_ms = 1, /* as soon as a resume can do without */
                                         .generations = 2,
                                         .sample = 0.5f};
    static char state[3000] = "state";
    struct sona_store *store = NULL;
    uint64_t next = 1, number = 0, rows = 0;

    if (!ok(sona_store_open(&store, &options, &diag)))
        return;
    if (sona_store_cursor(store, (struct sona_store_lane){{7, 0}}, &next) && next > 400)
        options.retain_bytes = 1;
    for (uint32_t i = 0; i < 3; i++) {
        append(store, next + i, 8);
        (void)ok(sona_store_generation_save(store, sona_store_positions(store).appended, state,
                                            sizeof state, i == 1, &number, &diag));
    }
    if (number != 0 && ok(sona_store_generation_pin(store, number, true, &diag)))
        (void)ok(sona_store_generation_pin(store, number, false, &diag));
    if (number != 0)
        (void)ok(sona_store_generation_rollback(store, number, &number, &diag));
    import(store);
    const struct sona_store_rule rule = {.by_uid = true, .uid = 3};
    (void)ok(sona_store_forget(store, &rule, &rows, &diag));
    read_back(store);
    append(store, next + 3, 8); /* waits for the next life, some of it */
    sona_store_close(&store);
}

/* Without a journal: copies of the state, and positions. */
static void live_bare(const char *dir)
{
    struct sona_store_options options = {.instance = "bare",
                                         .state_dir = dir,
                                         .journal_off = true,
                                         .generations = 2,
                                         .durability = SONA_STORE_EVERY};
    struct sona_store *store = NULL;
    uint64_t position = 0;

    if (!ok(sona_store_open(&store, &options, &diag)))
        return;
    const struct sona_store_record r = {.kind = SONA_STORE_query};
    for (uint32_t i = 0; i < 4; i++)
        if (ok(sona_store_append(store, &r, 1, &position)))
            (void)ok(sona_store_generation_save(store, position, "state", i, false, NULL, &diag));
    read_back(store);
    sona_store_close(&store);
}

/* ---- the segment, and lanes ---- */

static void publish(struct sona_shm_publisher *p, uint64_t n)
{
    static const char hot[256];
    const struct sona_shm_image image = {
        .bytes = hot, .size = sizeof hot, .dense_bytes = sizeof hot, .step = n};
    struct sona_shm_published published;
    void *cold = sona_shm_publisher_reserve_cold(p, n);

    if (cold)
        memset(cold, 0, 256);
    sona_shm_publisher_publish(p, &image, cold != NULL, n, &published);
}

static void live_segment(const char *dir)
{
    static char name[64];
    struct sona_shm_segment_options options = {
        .instance = name,
        .geometry = {.dim = 16, .routes_max = 4, .base_rank = 4, .layers = 1, .patterns_max = 4},
        .hot_bytes = 256,
        .cold_bytes = 256,
        .ring_slots = 2,
        .wall_us = 1,
        .adopt = true};
    struct sona_shm_publisher *p = NULL;
    uint8_t identity[SONA_SHM_IDENTITY_BYTES];
    struct sona_shm_plan plan;
    void *map;
    int fd;

    (void)snprintf(name, sizeof name, "%.60s", strrchr(dir, '/') + 1);
    for (uint64_t life = 0; life < 3; life++) { /* made; adopted; renewed, of another geometry */
        options.geometry.routes_max = 4 + (life == 2);
        options.hot_bytes = 256 + (life == 2 ? 4096 : 0);
        if (!ok(sona_shm_publisher_create(&p, &options, &diag)))
            return;
        if (life < 2)
            publish(p, 1 + life);
        sona_shm_publisher_set_state(p, SONA_SHM_LIVE);
        if (sona_shm_header_plan(sona_shm_publisher_header(p), 2, &plan) == SONA_OK &&
            ok(sona_shm_lanes_create(&plan, sona_shm_publisher_header(p)->uuid, 1, 1, &fd, &map,
                                     &diag))) {
            (void)ok(sona_shm_lanes_check(fd, plan.lanes_bytes, &diag));
            (void)sona_shm_lanes_identity(fd, identity);
            (void)close(fd);
        }
        sona_shm_publisher_destroy(&p, life == 2);
    }
}

/* ---- the ledger ---- */

static void live_ledger(const char *dir)
{
    struct sona_sidecar_issue issue = {
        .identity = {1}, .inode = 1, .tag = 5, .n_lanes = 2, .ring_slots = 2, .record_stride = 128};
    struct sona_sidecar_ledger *ledger = NULL;
    char path[160];

    (void)snprintf(path, sizeof path, "%s/ledger", dir);
    for (int life = 0; life < 2; life++) {
        if (!ok(sona_sidecar_ledger_open(&ledger, path, &diag)))
            return;
        int slot = sona_sidecar_ledger_find(ledger, issue.identity);
        if (slot == SONA_SIDECAR_LEDGER_NONE)
            slot = sona_sidecar_ledger_issue(ledger, &issue);
        sona_sidecar_ledger_advance(ledger, slot, 1, 7);
        sona_sidecar_ledger_verify(path, finding, NULL);
        sona_sidecar_ledger_close(&ledger, life == 1);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    if (strcmp(argv[1], "store") == 0)
        live_store(argv[2]);
    else if (strcmp(argv[1], "bare") == 0)
        live_bare(argv[2]);
    else if (strcmp(argv[1], "segment") == 0)
        live_segment(argv[2]);
    else
        live_ledger(argv[2]);
    return first == SONA_OK ? 0 : 1;
}
