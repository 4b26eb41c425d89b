/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "tools/replay/resume.h"

#include <stdlib.h>

#include <sona/engine.h>

#include "tools/fail.h"
#include "tools/sample.h"

static sona_err restart(sona_engine **engine, struct sona_replay_resumed *resumed,
                        sona_diag *reterr)
{
    uint64_t start = sona_tools_now_ns();
    size_t size = 0, needed;
    void *bytes;
    sona_err err;

    (void)sona_engine_save(*engine, NULL, 0, &size); /* how much it takes */
    bytes = malloc(size);
    if (bytes == NULL)
        return sona_tools_fail(reterr, SONA_E_MEMORY, "no memory for a state of %zu bytes", size);
    err = sona_engine_save(*engine, bytes, size, &needed);
    resumed->save_ns += (double)(sona_tools_now_ns() - start);
    resumed->bytes += size;
    sona_engine_destroy(engine);
    start = sona_tools_now_ns();
    if (err == SONA_OK)
        err = sona_engine_load(engine, NULL, bytes, size, reterr);
    resumed->load_ns += (double)(sona_tools_now_ns() - start);
    free(bytes);
    return err;
}

sona_err sona_replay_resume(struct sona_tools_router *router, struct sona_replay_resumed *ret,
                            sona_diag *reterr)
{
    struct sona_replay_resumed resumed = {.bytes = 0};
    sona_engine **engine;

    for (uint32_t i = 0; (engine = sona_tools_router_engine(router, i)) != NULL; i++) {
        sona_err err = restart(engine, &resumed, reterr);

        if (err != SONA_OK)
            return err;
    }
    *ret = resumed;
    return SONA_OK;
}
