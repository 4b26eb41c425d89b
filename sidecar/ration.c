/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See ration.h. */
#include "sidecar/ration.h"

#include "shm/record.h"
#include "shm/ring.h"
#include "sidecar/log.h"
#include "sidecar/store/store.h"

#define WINDOW_MS     100u
#define HALF          0.5
#define FULL          (15.0 / 16)
#define EASY          0.25 /* the way is free again: said, when it was said that it is not */
#define QUERY_SEED    0x51e2b7c9d0a4f683u
#define OUTCOME_SEED  0x8f1bbcdcbfa53e0bu
#define PER_WINDOW(r) ((double)(r)*WINDOW_MS / 1000)

void sona_sidecar_ration_init(struct sona_sidecar_ration *ret,
                              const struct sona_sidecar_ration_options *options)
{
    *ret = (struct sona_sidecar_ration){.options = *options, .query_share = 1, .outcome_share = 1};
}

/* Uniform in [0, 1). */
static double draw(uint64_t id, uint64_t seed)
{
    uint64_t h = (id ^ seed) * 0xd6e8feb86659fd93u;

    h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
    h ^= h >> 32;
    return (double)(h >> 11) * 0x1p-53;
}

/* A window is over: the next one is taken to be as busy. */
static void next_window(struct sona_sidecar_ration *r, uint64_t now_ms)
{
    double windows = (double)(now_ms - r->window_ms) / WINDOW_MS;
    double asked = (double)r->asked / windows;

    r->query_share = r->options.query_rate == 0 || asked <= PER_WINDOW(r->options.query_rate)
                         ? 1
                         : PER_WINDOW(r->options.query_rate) / asked;
    r->window_ms = now_ms;
    r->asked = 0;
}

static void tell(struct sona_sidecar_ration *r, double disk, uint64_t thinned)
{
    if (r->outcome_share < 1 && !r->thinning) {
        r->thinning = true;
        r->thinned = thinned;
        sona_sidecar_log(SONA_SIDECAR_WARN, "journal_slow",
                         "full=%.2f reason=\"the disk takes less than is told: a share of the "
                         "outcomes is learned, the others count as drop_thinned\"",
                         disk);
    } else if (disk < EASY && r->thinning) {
        r->thinning = false;
        sona_sidecar_log(SONA_SIDECAR_INFO, "journal_keeps_up", "thinned=%llu",
                         (unsigned long long)(thinned - r->thinned));
    }
}

void sona_sidecar_ration_look(struct sona_sidecar_ration *ration, double disk, double queue,
                              uint64_t thinned, uint64_t now_ms)
{
    struct sona_sidecar_ration *r = ration;
    double share = (FULL - disk) / (FULL - HALF);

    if (!r->options.active)
        return;
    if (now_ms - r->window_ms >= WINDOW_MS)
        next_window(r, now_ms);
    r->outcome_share = share >= 1 ? 1 : share <= 0 ? 0 : share;
    r->crowded = disk > HALF || queue > HALF;
    tell(r, disk, thinned);
}

void sona_sidecar_ration_measure(struct sona_sidecar_ration *ration, uint64_t thinned,
                                 uint64_t now_ms)
{
    const struct sona_sidecar_ration_options *o = &ration->options;

    if (!o->active)
        return;
    double queue = sona_shm_queue_full(o->queue), disk = sona_store_backlog(o->store);
    if (o->learn_durable && queue > disk)
        disk = queue;
    sona_sidecar_ration_look(ration, disk, queue, thinned, now_ms);
}

bool sona_sidecar_ration_withholds(struct sona_sidecar_ration *ration,
                                   const struct sona_record *record)
{
    struct sona_sidecar_ration *r = ration;

    if (!r->options.active ||
        (record->kind != SONA_RECORD_DECIDE && record->kind != SONA_RECORD_BEGIN))
        return false;
    r->asked++;
    return !r->options.queries || r->crowded ||
           (r->query_share < 1 && draw(record->id, QUERY_SEED) >= r->query_share);
}

bool sona_sidecar_ration_thins(struct sona_sidecar_ration *ration, uint64_t id)
{
    struct sona_sidecar_ration *r = ration;

    return r->options.active && r->outcome_share < 1 && draw(id, OUTCOME_SEED) >= r->outcome_share;
}
