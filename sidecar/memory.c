/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See memory.h. */
#include "sidecar/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <sona/engine.h>

#include "engine/learner/learner.h"
#include "engine/model/model.h"
#include "shm/layout.h"
#include "shm/publisher.h"
#include "shm/record.h"
#include "sidecar/intake.h"
#include "sidecar/joined.h"
#include "sidecar/options.h"

static uint64_t marked;

sona_err sona_sidecar_memory_of(const sona_config *config, struct sona_sidecar_memory *ret,
                                sona_diag *reterr)
{
    sona_engine_memory engine;
    sona_geometry geometry;
    struct sona_model_layout layout;
    sona_err err = sona_engine_memory_of(config, &engine, reterr);

    if (err != SONA_OK)
        return err;
    sona_config_geometry(config, &geometry);
    err = sona_model_layout_init(&layout, &geometry);
    struct sona_shm_plan plan = {
        .hot_slots = SONA_SHM_HOT_SLOTS,
        .cold_slots = SONA_SHM_COLD_SLOTS,
        .ring_slots = SONA_SHM_RING_SLOTS,
        .record_stride = sona_record_stride(&geometry),
        .hot_bytes = layout.hot_bytes,
        .cold_bytes = layout.cold_bytes,
    };
    if (err == SONA_OK)
        err = sona_shm_plan_init(&plan);
    if (err != SONA_OK)
        return err;
    *ret = (struct sona_sidecar_memory){
        .engine = engine.total,
        .learner = engine.learner,
        .job = engine.job,
        .waiting = sona_sidecar_intake_bytes_of(config, &layout),
        .queue = sona_sidecar_queue_bytes(config, layout.dim_padded),
        .segment = plan.model_bytes,
    };
    ret->total = ret->learner + ret->job + ret->waiting + ret->queue + ret->segment;
    return SONA_OK;
}

static void print_row(const char *name, const struct sona_sidecar_memory *m, bool json)
{
    static const char *const keys[] = {"engine", "learner", "job",  "waiting",
                                       "queue",  "segment", "total"};
    const uint64_t bytes[] = {m->engine, m->learner, m->job,  m->waiting,
                              m->queue,  m->segment, m->total};

    (void)printf(json ? "{\"preset\":\"%s\"" : "%-17s", name);
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++)
        if (json)
            (void)printf(",\"%s\":%" PRIu64, keys[i], bytes[i]);
        else
            (void)printf(" %10" PRIu64, bytes[i]);
    (void)puts(json ? "}" : "");
}

bool sona_sidecar_memory_print(const struct sona_sidecar_whole *whole)
{
    bool json = whole->common->memory == SONA_SIDECAR_MEMORY_JSON;
    struct sona_sidecar_memory memory;
    sona_config preset;

    if (!json)
        (void)printf("%-17s %10s %10s %10s %10s %10s %10s %10s\n", "bytes", "engine", "learner",
                     "job", "waiting", "queue", "segment", "sidecar");
    for (uint32_t i = 0; sona_config_preset_name(i); i++)
        if (sona_config_preset(&preset, sona_config_preset_name(i), NULL) == SONA_OK &&
            sona_sidecar_memory_of(&preset, &memory, NULL) == SONA_OK)
            print_row(sona_config_preset_name(i), &memory, json);
    for (uint32_t i = 0; i < whole->n; i++)
        if (sona_sidecar_memory_of(&whole->instance[i]->config, &memory, NULL) == SONA_OK)
            print_row(whole->named ? whole->instance[i]->instance : "(as configured)", &memory,
                      json);
    return fflush(stdout) == 0;
}

uint64_t sona_sidecar_memory_private(void)
{
    FILE *file = fopen("/proc/self/smaps_rollup", "re");
    uint64_t kib, sum = 0;
    char line[128];

    if (!file)
        return 0;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "Private_Dirty: %" SCNu64, &kib) == 1)
            sum += kib * 1024;
    (void)fclose(file);
    return sum;
}

void sona_sidecar_memory_mark(void)
{
    marked = sona_sidecar_memory_private();
}

uint64_t sona_sidecar_memory_marked(void)
{
    return marked;
}
