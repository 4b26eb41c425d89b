/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See core.h. */
#include "sidecar/core.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/learner/save.h"
#include "engine/state/container.h"
#include "shm/diag.h"

sona_err sona_sidecar_core_init(struct sona_sidecar_core *ret, const sona_config *config,
                                const struct sona_model_layout *layout, sona_diag *reterr)
{
    size_t learner_bytes = (sona_learner_bytes(config) + 63) / 64 * 64;
    size_t job_bytes = (sona_learner_job_bytes(config) + 63) / 64 * 64;
    void *learner = aligned_alloc(64, learner_bytes), *job = aligned_alloc(64, job_bytes);

    *ret = (struct sona_sidecar_core){.config = config, .layout = layout};
    if (!learner || !job) {
        free(learner);
        free(job);
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, errno,
                                 "no memory for %zu bytes of learner; lower dimension, routes, "
                                 "patterns or replay_capacity",
                                 learner_bytes + job_bytes);
    }
    ret->learner = sona_learner_init(learner, config);
    ret->job = sona_learner_job_init(job, config);
    ret->bytes = learner_bytes + job_bytes;
    return SONA_OK;
}

void sona_sidecar_core_done(struct sona_sidecar_core *core)
{
    free(core->learner);
    free(core->job);
    core->learner = NULL;
    core->job = NULL;
}

bool sona_sidecar_core_knows(const struct sona_sidecar_core *core, const char *route)
{
    struct sona_model_view view = sona_learner_view(core->learner);
    sona_route_info rows[SONA_ROUTES_MAX];
    uint32_t n = sona_model_routes(&view, rows, SONA_ROUTES_MAX);

    for (uint32_t k = 0; k < n; k++)
        if (strcmp(rows[k].name, route) == 0)
            return true;
    return false;
}

sona_err sona_sidecar_core_learn(struct sona_sidecar_core *core, struct sona_sidecar_joined *joined)
{
    const struct sona_learner_event event = {
        .kind = (enum sona_learner_kind)joined->kind,
        .tenant = joined->tenant,
        .id = joined->id,
        .x = sona_sidecar_joined_x(joined),
        .route = joined->route,
        .quality = joined->quality,
        .propensity = joined->propensity,
        .version = joined->version,
        .now_ms = joined->now_ms,
        .type = joined->type,
        .layer = joined->layer,
        .credit = joined->credit,
        .base = sona_sidecar_joined_base(joined, core->layout->dim_padded),
    };

    return sona_learner_learn(core->learner, &event);
}

bool sona_sidecar_core_cycle_start(struct sona_sidecar_core *core, uint64_t now_ms)
{
    if (core->running || !sona_learner_cycle_start(core->learner, core->job, now_ms))
        return false;
    core->running = true;
    return true;
}

void sona_sidecar_core_cycle_install(struct sona_sidecar_core *core, sona_cycle_report *ret)
{
    sona_learner_cycle_install(core->learner, core->job, ret);
    core->running = false;
}

/* The bytes needed; written when `buffer` has room for them. */
static size_t save(const struct sona_sidecar_core *core, void *buffer, size_t bytes, bool *ret_fit)
{
    struct sona_state_writer writer;

    sona_state_writer_init(&writer, buffer, bytes);
    sona_learner_save(core->learner, core->running ? core->job : NULL, &writer);
    *ret_fit = sona_state_writer_end(&writer, sona_learner_save_layout());
    return writer.end;
}

size_t sona_sidecar_core_save_bytes(const struct sona_sidecar_core *core)
{
    bool ignored;

    return save(core, NULL, 0, &ignored);
}

bool sona_sidecar_core_save(const struct sona_sidecar_core *core, void *buffer, size_t bytes)
{
    bool fit;

    (void)save(core, buffer, bytes, &fit);
    return fit;
}

/* As after init. */
static void clear(struct sona_sidecar_core *core)
{
    (void)sona_learner_init(core->learner, core->config);
    (void)sona_learner_job_init(core->job, core->config);
    core->running = false;
}

sona_err sona_sidecar_core_load(struct sona_sidecar_core *core, const void *bytes, size_t n,
                                sona_diag *reterr)
{
    struct sona_state_reader reader;

    clear(core);
    sona_err err = sona_state_reader_open(&reader, bytes, n, sona_learner_save_layout(), reterr);

    if (err == SONA_OK)
        err = sona_learner_load(core->learner, core->job, SONA_LEARNER_KEYS_SAVED, &reader,
                                &core->running);
    if (err == SONA_OK)
        err = sona_state_reader_done(&reader);
    if (err != SONA_OK) /* half of it may be there */
        clear(core);
    return err;
}
