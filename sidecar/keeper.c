/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See keeper.h. */
#include "sidecar/keeper.h"

#include <stdlib.h>

#include "engine/state/container.h"
#include "shm/diag.h"
#include "shm/fault.h"
#include "sidecar/instance.h"
#include "sidecar/log.h"
#include "sidecar/verify.h"

#define LOOK_MS 1000u /* between two looks at the store's retention */

static void write_copy(struct sona_sidecar_keeper *k)
{
    (void)sona_state_seal(k->bytes, k->n);
    k->err = sona_store_generation_save(k->store, k->position, k->bytes, k->n, false, &k->number,
                                        &k->diag);
    SONA_FAULT(generation_kept);
    free(k->bytes);
    k->bytes = NULL;
}

/* The state that a generation holds, found good; the learner takes it when the copy is durable. */
static sona_err fetch(struct sona_sidecar_keeper *k)
{
    struct sona_store_generation g;
    struct sona_sidecar_core probe;
    void *bytes = NULL;
    sona_err err = sona_store_generation_read(k->store, k->wanted, &g, &bytes, &k->diag);

    if (err != SONA_OK)
        return err;
    err = sona_sidecar_core_init(&probe, k->core->config, k->core->layout, &k->diag);
    if (err == SONA_OK) {
        err = sona_sidecar_core_load(&probe, bytes, (size_t)g.bytes, &k->diag);
        sona_sidecar_core_done(&probe);
    }
    if (err != SONA_OK) {
        free(bytes);
        return err;
    }
    k->bytes = bytes;
    k->n = (size_t)g.bytes;
    return SONA_OK;
}

static void roll_back(struct sona_sidecar_keeper *k)
{
    k->err = k->wanted == 0
                 ? sona_shm_diag_set(&k->diag, SONA_E_RANGE, 0, "name the generation to go back to")
                 : fetch(k);
    if (k->err == SONA_OK)
        k->err = sona_store_generation_rollback(k->store, k->wanted, &k->number, &k->diag);
    if (k->err != SONA_OK) {
        free(k->bytes);
        k->bytes = NULL;
    }
}

/* The findings that there is room for, and how many there are in all. */
static void put_found(char ret[SONA_SIDECAR_FOUND_MAX], json_t *answer)
{
    json_t *list = json_object_get(answer, "findings");
    size_t n;

    (void)json_object_set_new(answer, "found", json_integer((json_int_t)json_array_size(list)));
    while ((n = json_dumpb(answer, ret, SONA_SIDECAR_FOUND_MAX - 1,
                           JSON_COMPACT | JSON_PRESERVE_ORDER)) > SONA_SIDECAR_FOUND_MAX - 1 &&
           json_array_size(list) > 0)
        (void)json_array_remove(list, json_array_size(list) - 1);
    ret[n < SONA_SIDECAR_FOUND_MAX ? n : 0] = '\0';
}

static void check(struct sona_sidecar_keeper *k)
{
    json_t *answer =
        sona_sidecar_verify(k->store, k->instance->dir, k->instance->name, k->clients, &k->diag);

    k->err = answer ? SONA_OK : k->diag.code;
    k->found[0] = '\0';
    if (answer)
        put_found(k->found, answer);
    json_decref(answer);
}

static void work(void *arg)
{
    struct sona_sidecar_keeper *k = arg;

    if (k->asked == SONA_CONTROL_GENERATIONS_ROLLBACK) {
        roll_back(k);
    } else if (k->asked == SONA_CONTROL_CHECK) {
        check(k);
    } else if (k->asked == SONA_CONTROL_GENERATIONS_PIN ||
               k->asked == SONA_CONTROL_GENERATIONS_UNPIN) {
        k->number = k->wanted;
        k->err = sona_store_generation_pin(k->store, k->wanted,
                                           k->asked == SONA_CONTROL_GENERATIONS_PIN, &k->diag);
    } else {
        write_copy(k);
    }
}

sona_err sona_sidecar_keeper_init(struct sona_sidecar_keeper *ret, struct sona_store *store,
                                  uint64_t position, struct sona_sidecar_wake *done,
                                  sona_diag *reterr)
{
    *ret = (struct sona_sidecar_keeper){.store = store, .kept = position};
    if (!store)
        return SONA_OK;
    return sona_sidecar_worker_create(&ret->worker, "sona-keeper", work, done, reterr);
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

/* What the worker had is done. */
static void finish(struct sona_sidecar_keeper *k, double ms)
{
    bool copied = k->asked == 0 || k->asked == SONA_CONTROL_GENERATIONS_SAVE;

    k->done = k->asked != 0;
    if (copied)
        note(k, ms);
    k->busy = false;
    if (k->asked == SONA_CONTROL_GENERATIONS_ROLLBACK && k->err == SONA_OK)
        k->kept = k->position;
}

bool sona_sidecar_keeper_ask(struct sona_sidecar_keeper *keeper,
                             const struct sona_sidecar_core *core,
                             const struct sona_sidecar_chronicle *chronicle,
                             const struct sona_control_request *request)
{
    struct sona_sidecar_keeper *k = keeper;

    if (k->busy || k->done)
        return false;
    k->asked = request->what;
    k->wanted = request->number;
    k->core = core;
    k->position = chronicle->position;
    if (request->what == SONA_CONTROL_GENERATIONS_SAVE && !copy(k, core, chronicle)) {
        k->done = true;
        k->err = sona_shm_diag_set(&k->diag, SONA_E_MEMORY, 0, "no memory for a copy");
        return true;
    }
    k->busy = true;
    sona_sidecar_worker_give(k->worker, k);
    return true;
}

bool sona_sidecar_keeper_answer(struct sona_sidecar_keeper *keeper, uint64_t *ret_number,
                                sona_diag *ret_diag, void **ret_bytes, size_t *ret_n)
{
    struct sona_sidecar_keeper *k = keeper;
    bool rolled = k->asked == SONA_CONTROL_GENERATIONS_ROLLBACK;

    if (!k->done)
        return false;
    if (k->err != SONA_OK)
        *ret_diag = k->diag;
    *ret_number = k->number;
    *ret_bytes = rolled ? k->bytes : NULL;
    *ret_n = k->n;
    k->bytes = rolled ? NULL : k->bytes;
    k->done = false;
    k->asked = 0;
    return true;
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
        finish(k, ms);
    if (k->busy || k->done || !is_due(k, chronicle, now_ms))
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
        finish(k, 0);
    if (chronicle->position > k->kept && copy(k, core, chronicle)) {
        write_copy(k);
        note(k, 0);
    }
}
