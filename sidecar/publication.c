/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See publication.h. */
#include "sidecar/publication.h"

#include <string.h>

#include "engine/learner/learner.h"
#include "sidecar/clock.h"
#include "sidecar/log.h"

#define BUSY_PUBLISH_US 500u  /* 2 kHz while there is more to learn */
#define BUSY_SHOW_US    5000u /* between two versions, busy */
#define IDLE_SHOW_US    1000u /* and idle */

static struct sona_model_view view_of(const struct sona_sidecar_publication *p)
{
    return sona_learner_view(p->learner);
}

bool sona_sidecar_publication_reserve(struct sona_sidecar_publication *p, uint64_t now_us)
{
    p->cold_slot = sona_shm_publisher_reserve_cold(p->publisher, now_us / 1000);
    return p->cold_slot != NULL;
}

void sona_sidecar_publication_cancel(struct sona_sidecar_publication *p)
{
    sona_shm_publisher_cancel_cold(p->publisher);
    p->cold_slot = NULL;
}

void sona_sidecar_publication_renew(struct sona_sidecar_publication *p)
{
    p->dirty = p->stale = p->cold_new = true;
    p->cold_written = false;
    p->cold_changes++;
}

void sona_sidecar_publication_replace(struct sona_sidecar_publication *p)
{
    sona_shm_publisher_forget_images(p->publisher);
    sona_sidecar_publication_renew(p);
}

static bool floats_ok(const char *at, size_t count)
{
    return sona_model_all_finite((const float *)(const void *)at, count);
}

/* What changed since the last publication is finite. The learner keeps its weights bounded; this is
 * the wall behind it: a router would multiply its embeddings with whatever is published. The whole
 * model is judged with every new cold half. */
static bool weights_ok(const struct sona_sidecar_publication *p)
{
    const struct sona_model_layout *layout = p->layout;
    struct sona_model_view view = view_of(p);
    const uint64_t *changed = sona_learner_route_changes(p->learner);
    size_t micro = (size_t)layout->geometry.micro_rank * layout->dim_padded;

    if (p->cold_new)
        return sona_model_validate_hot(layout, view.hot) == SONA_OK &&
               sona_model_validate_cold(layout, view.cold) == SONA_OK;
    const char *hot = view.hot;
    if (!floats_ok(hot + layout->micro_a, micro) || !floats_ok(hot + layout->micro_b, micro))
        return false;
    for (uint32_t k = 0; k < layout->routes.count; k++) {
        const char *row = hot + layout->routes.offset + k * layout->routes.stride;

        if (changed[k] >= p->published_step &&
            (!floats_ok(row + layout->route_head, layout->dim_padded) ||
             !floats_ok(row + layout->route_code, layout->code_padded)))
            return false;
    }
    changed = sona_learner_tenant_changes(p->learner);
    for (uint32_t i = 0; i < layout->tenants.count; i++)
        if (changed[i] >= p->published_step &&
            !floats_ok(hot + layout->tenants.offset + i * layout->tenants.stride + layout->tenant_a,
                       (layout->tenants.stride - layout->tenant_a) / sizeof(float)))
            return false;
    return true;
}

static void refuse(struct sona_sidecar_publication *p)
{
    uint64_t n = atomic_load_explicit(&p->refused, memory_order_relaxed);

    atomic_store_explicit(&p->refused, n + 1, memory_order_relaxed);
    p->dirty = false; /* until something is learned again */
    sona_sidecar_log(SONA_SIDECAR_ERROR, "weights_refused",
                     "step=%llu reason=\"the model is not sound; the last one stays\"",
                     (unsigned long long)sona_learner_step(p->learner));
}

/* The slot that the next cold half goes to, written; false: none is free now. */
static bool prepare_cold(struct sona_sidecar_publication *p, uint64_t now_us)
{
    if (!p->cold_slot && !sona_sidecar_publication_reserve(p, now_us))
        return false;
    if (!p->cold_written)
        memcpy(p->cold_slot, view_of(p).cold, p->layout->cold_bytes);
    p->cold_written = true;
    return true;
}

void sona_sidecar_publication_publish(struct sona_sidecar_publication *p, uint64_t now_us)
{
    const struct sona_model_layout *layout = p->layout;
    struct sona_shm_published published = {.id = 0};
    struct sona_shm_image image = {
        .bytes = view_of(p).hot,
        .size = layout->hot_bytes,
        .dense_bytes = layout->hot_dense_bytes,
        .step = sona_learner_step(p->learner),
        .n_tables = 4,
        .table = {{.offset = layout->routes.offset,
                   .stride = layout->routes.stride,
                   .count = layout->routes.count,
                   .changed_at = sona_learner_route_changes(p->learner)},
                  {.offset = layout->pattern_stats.offset,
                   .stride = layout->pattern_stats.stride,
                   .count = layout->pattern_stats.count,
                   .changed_at = sona_learner_pattern_changes(p->learner)},
                  {.offset = layout->tenant_index.offset,
                   .stride = layout->tenant_index.stride,
                   .count = layout->tenant_index.count,
                   .changed_at = sona_learner_index_changes(p->learner)},
                  {.offset = layout->tenants.offset,
                   .stride = layout->tenants.stride,
                   .count = layout->tenants.count,
                   .changed_at = sona_learner_tenant_changes(p->learner)}},
    };

    if (!weights_ok(p)) {
        refuse(p);
        return;
    }
    p->published_us = now_us; /* the attempt counts: no haste when readers hold every slot */
    uint64_t start_ns = sona_sidecar_now_ns();
    if (!p->cold_new || prepare_cold(p, now_us))
        sona_shm_publisher_publish(p->publisher, &image, p->cold_new, now_us / 1000, &published);
    sona_sidecar_histogram_add(&p->publish_times, 1, sona_sidecar_now_ns() - start_ns);
    p->stale = true;
    p->held = published.id == 0;
    if (p->held) {
        sona_sidecar_tally_add(&p->tally, SONA_COUNTER_coalesced, 1);
        return;
    }
    sona_sidecar_tally_add(&p->tally, SONA_COUNTER_snapshots, 1);
    sona_sidecar_tally_add(&p->tally, SONA_COUNTER_revoked_slots, published.revoked);
    p->version = published.id;
    p->snapshot_us = now_us;
    p->published_step = image.step;
    p->dirty = false;
    if (p->cold_new) {
        p->cold_new = p->cold_written = false;
        p->cold_slot = NULL;
    }
}

/* The bank changes with the cold half only. The version shown last may have it already. */
static void show_bank(const struct sona_sidecar_publication *p, struct sona_sidecar_version *v)
{
    struct sona_model_view view = view_of(p);
    const struct sona_sidecar_version *before = p->versions->current; /* we are the only writer */
    struct sona_sidecar_bank *bank = before ? before->bank : NULL;

    v->cycles = v->stats.counter[SONA_COUNTER_background_cycles];
    v->cold_changes = p->cold_changes;
    if (!bank || before->cold_changes != v->cold_changes) {
        bank = sona_sidecar_bank_make(v->stats.patterns);
        if (bank)
            bank->n = sona_model_list_patterns(&view, 0, bank->n, bank->pattern);
    }
    sona_sidecar_version_share(v, bank);
}

void sona_sidecar_publication_show(struct sona_sidecar_publication *p, uint64_t now_us)
{
    struct sona_model_view view = view_of(p);
    struct sona_sidecar_version *v = sona_sidecar_version_make(p->layout->geometry.routes_max);

    if (!v) { /* the one before stays; nothing is lost, a later one will show it */
        sona_sidecar_log(SONA_SIDECAR_WARN, "no_memory", "reason=\"figures are not up to date\"");
        return;
    }
    sona_learner_stats(p->learner, &v->stats);
    sona_sidecar_tally_sum(&p->tally, &v->stats);
    v->stats.version = p->version;
    v->published_us = p->snapshot_us;
    v->stats.last_cycle_ms = p->cycle_ms;
    v->stats.memory_bytes = p->bytes;
    v->enabled = sona_learner_enabled(p->learner);
    v->explores = sona_learner_explores(p->learner, &v->explores_configured);
    v->route_changes = p->route_changes;
    v->n_routes = sona_model_routes(&view, v->route, v->n_routes);
    show_bank(p, v);
    sona_sidecar_version_swap(p->versions, v);
    /* Release: pairs with the intake's acquire; whoever sees the position finds this version. */
    atomic_store_explicit(&p->stream->shown, p->taken, memory_order_release);
    p->shown_us = now_us;
    p->stale = false;
}

uint64_t sona_sidecar_publication_deliver(struct sona_sidecar_publication *p, uint64_t now_us,
                                          bool idle)
{
    uint64_t publish_us = idle && !p->held ? SONA_SHM_G_TICK_US : BUSY_PUBLISH_US;
    uint64_t show_us = idle ? IDLE_SHOW_US : BUSY_SHOW_US;
    uint64_t wait_us = SONA_SIDECAR_IDLE_US;

    if (p->dirty && now_us - p->published_us >= publish_us)
        sona_sidecar_publication_publish(p, now_us);
    if (p->stale && now_us - p->shown_us >= show_us)
        sona_sidecar_publication_show(p, now_us);
    if (p->dirty && p->published_us + publish_us - now_us < wait_us)
        wait_us = p->published_us + publish_us - now_us;
    if (p->stale && p->shown_us + show_us - now_us < wait_us)
        wait_us = p->shown_us + show_us - now_us;
    return wait_us;
}
