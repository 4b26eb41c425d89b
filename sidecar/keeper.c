/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See keeper.h. */
#include "sidecar/keeper.h"

#include <stdlib.h>

#include "engine/state/container.h"
#include "shm/fault.h"
#include "sidecar/log.h"

#define LOOK_MS 1000u /* between two looks at the store's retention */

static void write_generation(void *work)
{
    struct sona_sidecar_keeper *k = work;

    (void)sona_state_seal(k->bytes, k->n);
    k->err = sona_store_generation_save(k->store, k->position, k->bytes, k->n, false, &k->number,
                                        &k->diag);
    SONA_FAULT(generation_kept);
    free(k->bytes);
    k->bytes = NULL;
}

sona_err sona_sidecar_keeper_init(struct sona_sidecar_keeper *ret, struct sona_store *store,
                                  uint64_t position, struct sona_sidecar_wake *done,
                                  sona_diag *reterr)
{
    *ret = (struct sona_sidecar_keeper){.store = store, .kept = position};
    if (!store)
        return SONA_OK;
    return sona_sidecar_worker_create(&ret->worker, "sona-keeper", write_generation, done, reterr);
}

static bool is_due(struct sona_sidecar_keeper *k, const struct sona_sidecar_chronicle *chronicle,
                   uint64_t now_ms)
{
    struct sona_store_stats stats;

    if (chronicle->position <= k->kept)
        return false;
    if (chronicle->position - k->kept >= SONA_SIDECAR_KEEP_RECORDS ||
        now_ms - k->kept_ms >= SONA_SIDECAR_KEEP_MS)
        return true;
    if (now_ms - k->looked_ms < LOOK_MS)
        return false;
    k->looked_ms = now_ms;
    sona_store_stats(k->store, &stats);
    return stats.generation_due;
}

/* Copy the state; false: no memory for it. */
static bool copy(struct sona_sidecar_keeper *k, const struct sona_sidecar_core *core,
                 const struct sona_sidecar_chronicle *chronicle)
{
    k->n = sona_sidecar_core_save_bytes(core);
    k->bytes = aligned_alloc(64, (k->n + 63) / 64 * 64);
    if (k->bytes && sona_sidecar_core_save(core, k->bytes, k->n)) {
        k->position = chronicle->position;
        SONA_FAULT(generation_copied);
        return true;
    }
    free(k->bytes);
    k->bytes = NULL;
    sona_sidecar_log(SONA_SIDECAR_ERROR, "generation_failed",
                     "position=%llu reason=\"no memory for %zu bytes; the journal keeps it\"",
                     (unsigned long long)chronicle->position, k->n);
    return false;
}

static void note(struct sona_sidecar_keeper *k, double ms)
{
    k->busy = false;
    if (k->err != SONA_OK) {
        sona_sidecar_log(SONA_SIDECAR_ERROR, "generation_failed", "position=%llu reason=\"%s\"",
                         (unsigned long long)k->position, k->diag.text);
        return;
    }
    k->kept = k->position;
    sona_sidecar_log(SONA_SIDECAR_INFO, "generation_kept",
                     "number=%llu position=%llu bytes=%zu ms=%.1f", (unsigned long long)k->number,
                     (unsigned long long)k->position, k->n, ms);
}

void sona_sidecar_keeper_step(struct sona_sidecar_keeper *keeper,
                              const struct sona_sidecar_core *core,
                              const struct sona_sidecar_chronicle *chronicle, uint64_t now_ms)
{
    struct sona_sidecar_keeper *k = keeper;
    double ms;

    if (!k->worker)
        return;
    if (k->kept_ms == 0)
        k->kept_ms = now_ms;
    if (k->busy && sona_sidecar_worker_take(k->worker, &ms))
        note(k, ms);
    if (k->busy || !is_due(k, chronicle, now_ms))
        return;
    k->kept_ms = now_ms; /* one that fails is tried again as late as the next is due */
    if (!copy(k, core, chronicle))
        return;
    k->busy = true;
    sona_sidecar_worker_give(k->worker, k);
}

void sona_sidecar_keeper_done(struct sona_sidecar_keeper *keeper,
                              const struct sona_sidecar_core *core,
                              const struct sona_sidecar_chronicle *chronicle)
{
    struct sona_sidecar_keeper *k = keeper;

    if (!k->worker)
        return;
    sona_sidecar_worker_destroy(&k->worker); /* waits for the one that is written */
    if (k->busy)
        note(k, 0);
    if (chronicle->position > k->kept && copy(k, core, chronicle)) {
        write_generation(k);
        note(k, 0);
    }
}
