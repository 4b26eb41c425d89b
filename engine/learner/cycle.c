/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The background cycle as a job: start copies, run computes, install takes over.
 *
 * Invariant: the state after an install is a function of the state at the start and the events
 * since. run() sees only the job, so the thread and the moment it runs on cannot matter; install()
 * applies the events since the start to what the job made, in their order.
 */
#include <string.h>

#include "engine/learner/bank.h"
#include "engine/learner/job.h"

#define ALIGN(bytes) (((size_t)(bytes) + 63) & ~(size_t)63)

static void place(size_t *end, size_t *ret_offset, size_t bytes)
{
    *ret_offset = *end;
    *end = ALIGN(*end + bytes);
}

static size_t lay_out(struct sona_learner_job *j, const sona_config *config)
{
    size_t end = 0, vector, self, routes, outcomes = config->replay_capacity;
    size_t sample;
    sona_geometry geometry;

    sona_config_geometry(config, &geometry);
    if (sona_model_layout_init(&j->layout, &geometry) != SONA_OK)
        return 0;
    vector = j->layout.dim_padded * sizeof(float);
    routes = geometry.routes_max;
    sample = outcomes < SONA_LEARNER_CLUSTER_SAMPLE ? outcomes : SONA_LEARNER_CLUSTER_SAMPLE;
    sample = sample > routes + 1 ? sample : routes + 1; /* or the heads of all routes */
    j->archive_rows = geometry.patterns_max < SONA_LEARNER_PATTERNS ? geometry.patterns_max
                                                                    : SONA_LEARNER_PATTERNS;
    place(&end, &self, sizeof *j);
    place(&end, &j->hot, j->layout.pattern_stats.offset);
    place(&end, &j->entry, outcomes * sizeof(struct sona_learner_entry));
    place(&end, &j->x, outcomes * vector);
    place(&end, &j->cold, j->layout.cold_bytes);
    place(&end, &j->path, routes * (SONA_LEARNER_PATH - 1) * vector);
    place(&end, &j->common, vector);
    place(&end, &j->route, routes * sizeof(struct sona_learner_route));
    place(&end, &j->archive, j->archive_rows * j->layout.pattern_stats.stride);
    place(&end, &j->means, j->archive_rows * vector);
    place(&end, &j->tally, j->archive_rows * j->layout.pattern_stats.stride);
    place(&end, &j->label, outcomes * sizeof(uint32_t));
    place(&end, &j->order, outcomes * sizeof(uint32_t));
    place(&end, &j->residual, outcomes * sizeof(float));
    place(&end, &j->codes, outcomes * j->layout.code_padded * sizeof(float));
    place(&end, &j->heads, routes * vector);
    place(&end, &j->krylov, (SONA_LEARNER_KRYLOV + 2) * vector);
    place(&end, &j->sample, sample * vector);
    place(&end, &j->nearest, SONA_LEARNER_CLUSTER_SAMPLE * sizeof(float));
    place(&end, &j->pick, 2 * SONA_LEARNER_CLUSTER_SAMPLE * sizeof(uint32_t));
    place(&end, &j->scores, sona_model_scratch_bytes(&j->layout));
    place(&end, &j->archive_then, j->archive_rows * j->layout.pattern_stats.stride);
    j->bytes = end;
    return end;
}

size_t sona_learner_job_bytes(const sona_config *config)
{
    struct sona_learner_job probe;

    return lay_out(&probe, config);
}

struct sona_learner_job *sona_learner_job_init(void *memory, const sona_config *config)
{
    struct sona_learner_job *j = memory;

    memset(j, 0, sizeof *j);
    lay_out(j, config);
    sona_learner_config_copy(&j->config, config);
    return j;
}

static void *in_learner(const struct sona_learner *l, size_t offset)
{
    return (unsigned char *)(uintptr_t)l + offset;
}

/* The replay, oldest first. */
static void copy_replay(const struct sona_learner *l, struct sona_learner_job *j)
{
    const struct sona_learner_entry *entries = sona_learner_entries(l);
    size_t vector = l->layout.dim_padded * sizeof(float);
    uint32_t capacity = l->config.replay_capacity;
    uint32_t tail;

    j->count = l->replay_count;
    j->first_slot = l->replay_count == capacity ? l->replay_next : 0;
    tail = capacity - j->first_slot < j->count ? capacity - j->first_slot : j->count;
    memcpy(sona_learner_job_entries(j), entries + j->first_slot, tail * sizeof *entries);
    memcpy(sona_learner_job_entries(j) + tail, entries, (j->count - tail) * sizeof *entries);
    memcpy(sona_learner_job_at(j, j->x), sona_learner_replay_x(l, j->first_slot), tail * vector);
    memcpy((unsigned char *)sona_learner_job_at(j, j->x) + tail * vector,
           sona_learner_replay_x(l, 0), (j->count - tail) * vector);
}

void sona_learner_job_begin(const struct sona_learner *l, struct sona_learner_job *j)
{
    size_t vector = l->layout.dim_padded * sizeof(float);
    size_t archive = l->archive_rows * l->layout.pattern_stats.stride;

    j->step = l->cycle_start;
    j->pattern_id = l->pattern_id;
    j->bank_step = l->bank_step;
    j->bank_id = l->bank_id;
    j->draws = j->step << 20; /* no cycle draws a million numbers: none draws another's */
    j->n_routes = sona_learner_head(l)->n_routes;
    memcpy(sona_learner_job_at(j, j->hot), sona_learner_hot(l), l->layout.pattern_stats.offset);
    memcpy(sona_learner_job_at(j, j->cold), sona_learner_cold(l), l->layout.cold_bytes);
    memcpy(sona_learner_job_at(j, j->path), in_learner(l, l->path),
           l->layout.geometry.routes_max * (SONA_LEARNER_PATH - 1) * vector);
    memcpy(sona_learner_job_at(j, j->common), in_learner(l, l->common), vector);
    memcpy(sona_learner_job_at(j, j->route), sona_learner_routes(l),
           l->layout.geometry.routes_max * sizeof(struct sona_learner_route));
    memcpy(sona_learner_job_at(j, j->archive), in_learner(l, l->archive), archive);
    memcpy(sona_learner_job_at(j, j->archive_then), in_learner(l, l->archive), archive);
    memcpy(sona_learner_job_at(j, j->means), in_learner(l, l->means), l->archive_rows * vector);
}

bool sona_learner_cycle_start(struct sona_learner *learner, struct sona_learner_job *job,
                              uint64_t now_ms)
{
    struct sona_learner *l = learner;
    struct sona_learner_job *j = job;

    if (!l->config.background || l->cycle_running || (l->fresh == 0 && l->fresh_hits == 0) ||
        !sona_learner_enabled(l))
        return false;
    l->cycle_running = 1;
    j->config = l->config; /* it may have changed since the last one */
    j->fresh = l->fresh;
    l->fresh = l->fresh_hits = 0;
    sona_learner_hits_take(l);
    l->cycle_start = sona_learner_step(l);
    sona_learner_slots_clear(l);
    sona_learner_cycle_schedule(l, now_ms);

    j->consolidate =
        l->counter[SONA_COUNTER_learned] - l->consolidated >= l->config.consolidation_interval;
    if (j->consolidate)
        l->consolidated = l->counter[SONA_COUNTER_learned];
    sona_learner_job_begin(l, j);
    copy_replay(l, j);
    return true;
}

/* Outcomes with a route, grouped by route, in their order. */
static void group_by_route(struct sona_learner_job *j)
{
    const struct sona_learner_entry *entries = sona_learner_job_entries(j);
    uint32_t *order = sona_learner_job_at(j, j->order);
    uint32_t next[SONA_ROUTES_MAX];

    memset(j->first, 0, sizeof j->first);
    for (uint32_t i = 0; i < j->count; i++)
        if (entries[i].route < j->n_routes)
            j->first[entries[i].route + 1]++;
    for (uint32_t k = 0; k < j->n_routes; k++) {
        j->first[k + 1] += j->first[k];
        next[k] = j->first[k];
    }
    for (uint32_t i = 0; i < j->count; i++)
        if (entries[i].route < j->n_routes)
            order[next[entries[i].route]++] = i;
}

void sona_learner_cycle_run(struct sona_learner_job *job)
{
    SONA_MODEL_KERNELS(&job->layout);
    struct sona_model_cold *cold = sona_learner_job_at(job, job->cold);

    group_by_route(job);
    sona_learner_job_refit_heads(job);
    sona_learner_job_code(job);
    cold->has_code = 1;
    sona_learner_job_base(job);
    if (job->config.patterns) {
        sona_learner_job_cluster(job);
        sona_learner_job_bank(job);
    }
}

/* The route that the job knew under index k is the one that is there now. */
static bool same_route(const struct sona_learner *l, const struct sona_learner_job *j, uint32_t k)
{
    const struct sona_model_route *row = sona_learner_row(l, k);

    return k < j->n_routes && row->state == SONA_ROUTE_ENABLED &&
           row->id == sona_learner_job_row(j, k)->id;
}

/* Take the job's heads, except for a row that has another owner by now. */
static void take_routes(struct sona_learner *l, const struct sona_learner_job *j)
{
    const struct sona_model_layout *layout = &l->layout;

    for (uint32_t k = 0; k < sona_learner_head(l)->n_routes; k++) {
        size_t path = (size_t)k * (SONA_LEARNER_PATH - 1) * layout->dim_padded;

        sona_learner_touch_route(l, k);
        sona_learner_row(l, k)->fit = same_route(l, j, k);
        if (!sona_learner_row(l, k)->fit) {
            if (sona_learner_row(l, k)->state == SONA_ROUTE_ENABLED)
                sona_learner_cycle_soon(l);
            continue;
        }
        memcpy(sona_learner_part(l, k, layout->route_code),
               sona_learner_job_part(j, k, layout->route_code),
               layout->routes.stride - layout->route_code);
        memcpy(sona_learner_floats(l, l->path) + path, sona_learner_job_floats(j, j->path) + path,
               (SONA_LEARNER_PATH - 1) * layout->dim_padded * sizeof(float));
    }
}

static void take_patterns(struct sona_learner *l, const struct sona_learner_job *j)
{
    const struct sona_model_layout *layout = &l->layout;
    const struct sona_model_hot *made = sona_learner_job_at(j, j->hot);
    struct sona_model_hot *head = sona_learner_head(l);
    uint32_t before = head->n_patterns;

    head->n_patterns = made->n_patterns;
    for (uint32_t c = 0; c < before || c < head->n_patterns; c++) {
        if (c < head->n_patterns)
            memcpy(sona_learner_tally(l, c),
                   sona_learner_job_floats(j, j->tally + c * layout->pattern_stats.stride),
                   layout->pattern_stats.stride);
        else
            memset(sona_learner_tally(l, c), 0, layout->pattern_stats.stride);
        sona_learner_touch_pattern(l, c);
    }
    memcpy(in_learner(l, l->archive), sona_learner_job_at(j, j->archive),
           l->archive_rows * layout->pattern_stats.stride);
    memcpy(in_learner(l, l->means), sona_learner_job_at(j, j->means),
           l->archive_rows * layout->dim_padded * sizeof(float));
    l->pattern_id = j->pattern_id;
}

/* The bank came with the cold half; what belongs to it elsewhere. */
static void take_bank(struct sona_learner *l, const struct sona_learner_job *j)
{
    l->bank_step = j->step;
    l->bank_id = j->bank_id;
    l->counter[SONA_COUNTER_patterns_missed] += j->bank_missed;
    l->counter[SONA_COUNTER_patterns_merged] += j->bank_merged;
    l->counter[SONA_COUNTER_patterns_pruned] += j->bank_pruned;
    l->counter[SONA_COUNTER_consolidations] += j->consolidate;
    for (uint32_t k = 0; k < sona_learner_head(l)->n_routes; k++)
        if (!same_route(l, j, k))
            sona_learner_bank_forget_route(&l->layout, sona_learner_cold(l), k);
}

/* What was taken back while the job counted it, out of the new counts. */
static void uncount(struct sona_learner *l, const struct sona_learner_job *j, uint32_t i)
{
    const struct sona_learner_entry *seen = &sona_learner_job_entries(j)[i];
    struct sona_model_view view = sona_learner_view(l);
    struct sona_model_scores scores;

    sona_model_scratch_init(&l->layout, (unsigned char *)l + l->scores, &scores);
    sona_model_locate(&view, sona_learner_job_x(j, i), &scores);
    sona_learner_patterns_uncount(l, &scores.near, seen->route, seen->quality, seen->weight);
}

/* New labels for the outcomes that the job saw; those evicted since go to the new archive. */
static void relabel(struct sona_learner *l, const struct sona_learner_job *j)
{
    struct sona_learner_entry *entries = sona_learner_entries(l);
    const struct sona_learner_entry *seen = sona_learner_job_entries(j);
    const uint32_t *label = sona_learner_job_at(j, j->label);

    for (uint32_t i = 0; i < j->count; i++) {
        uint32_t slot = (j->first_slot + i) % l->config.replay_capacity;
        struct sona_learner_entry *now = &entries[slot];

        if (sona_learner_slot_gone(l, slot))
            uncount(l, j, i);
        else if (now->step == seen[i].step)
            now->pattern = label[i];
        else if (label[i] < l->archive_rows)
            sona_learner_patterns_add(&l->layout, sona_learner_archive(l, label[i]), seen[i].route,
                                      seen[i].quality, seen[i].weight);
    }
}

/* A route that drifted, or was retired, while the job ran: what the job still counted for it. */
static void discount_changed(struct sona_learner *l, const struct sona_learner_job *j)
{
    const struct sona_learner_route *then = sona_learner_job_at(j, j->route);

    for (uint32_t k = 0; k < j->n_routes; k++) {
        if (!same_route(l, j, k)) {
            sona_learner_patterns_discount(l, k, 0);
            sona_learner_replay_discount_archive(l, k, 0);
        } else if (sona_learner_routes(l)[k].resets != then[k].resets) {
            sona_learner_drift_discount_code(l, k);
        }
    }
}

/* What came since the start, once more, on top of the new code and patterns. */
static void reapply(struct sona_learner *l, const struct sona_learner_job *j)
{
    struct sona_model_view view = sona_learner_view(l);
    struct sona_learner_entry *entries = sona_learner_entries(l);
    uint32_t capacity = l->config.replay_capacity;
    uint32_t oldest = l->replay_count == capacity ? l->replay_next : 0;
    struct sona_model_scores scores;

    sona_model_scratch_init(&l->layout, (unsigned char *)l + l->scores, &scores);
    for (uint32_t i = 0; i < l->replay_count; i++) {
        uint32_t slot = (oldest + i) % capacity;
        struct sona_learner_entry *entry = &entries[slot];
        const float *x = sona_learner_replay_x(l, slot);

        if (entry->step <= j->step || sona_learner_entry_gone(entry))
            continue;
        sona_model_locate(&view, x, &scores);
        if (entry->route != SONA_LEARNER_NO_ROUTE && sona_learner_row(l, entry->route)->fit &&
            l->config.base)
            sona_learner_heads_code(l, entry->route, x, scores.code, entry->quality);
        entry->pattern = scores.near.count ? scores.near.index[0] : SONA_LEARNER_NO_ROUTE;
        if (l->config.patterns)
            sona_learner_patterns_count(l, &scores.near, entry->route, entry->quality);
    }
}

void sona_learner_cycle_install(struct sona_learner *learner, struct sona_learner_job *job,
                                sona_cycle_report *ret)
{
    SONA_MODEL_KERNELS(&learner->layout);
    struct sona_learner *l = learner;
    const struct sona_learner_job *j = job;
    struct sona_model_cold *cold = sona_learner_cold(l);

    memset(ret, 0, sizeof *ret);
    if (!l->cycle_running || l->cycle_start != j->step)
        return; /* not the job that was started last: it has nothing to give */
    l->cycle_running = 0;
    sona_learner_base_keep(l);
    sona_learner_hits_carry(l, job);
    memcpy(cold, sona_learner_job_at(j, j->cold), l->layout.cold_bytes);
    memcpy(in_learner(l, l->common), sona_learner_job_at(j, j->common),
           l->layout.dim_padded * sizeof(float));
    take_routes(l, j);
    if (l->config.patterns) {
        take_patterns(l, j);
        take_bank(l, j);
        relabel(l, j);
    }
    discount_changed(l, j);
    reapply(l, j);
    sona_learner_layers_install(l);
    if ((l->config.micro && l->counter[SONA_COUNTER_micro_updates] > 0) ||
        sona_learner_layer_trained(l, 0)) {
        ret->fold_discarded = sona_learner_fold(l);
        sona_learner_layers_folded(l);
        sona_learner_micro_reset(l);
    }
    ret->base_change = sona_learner_base_change(l);
    cold->cycle++;
    cold->step = sona_learner_step(l);
    l->counter[SONA_COUNTER_background_cycles]++;
    ret->ran = true;
    ret->replayed = j->count;
    ret->patterns = cold->n_bank;
    ret->routes_refit = j->routes_refit;
}
