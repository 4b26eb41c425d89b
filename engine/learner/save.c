/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See save.h. Whoever adds to struct sona_learner or its tables adds a part here, of a version of
 * its own; a test finds bytes that no part covers. */
#include "engine/learner/save.h"

#include <stdio.h>
#include <string.h>

#include "engine/diag.h"
#include "engine/learner/job.h"
#include "engine/learner/state.h"
#include "engine/state/settings.h"

struct tour {
    void (*visit)(void *arg, const struct sona_learner_part *part);
    void *arg;
};

/* ---- the parts ---- */

static void tell_since(const struct tour *tour, uint32_t since, const char *name, size_t offset,
                       size_t row_bytes, uint64_t rows, uint64_t room)
{
    struct sona_learner_part part = {.offset = offset,
                                     .row_bytes = (uint32_t)row_bytes,
                                     .rows = rows,
                                     .room = room,
                                     .since = since};

    memcpy(part.name, name, strnlen(name, sizeof part.name - 1));
    tour->visit(tour->arg, &part);
}

static void tell(const struct tour *tour, const char *name, size_t offset, size_t row_bytes,
                 uint64_t rows, uint64_t room)
{
    tell_since(tour, 1, name, offset, row_bytes, rows, room);
}

#define MEMBER(member)                                                    \
    tell(tour, "learner." #member, offsetof(struct sona_learner, member), \
         sizeof(((struct sona_learner *)NULL)->member), 1, 1)
/* From one member up to another: what sona_learner_init() makes of the configuration. */
#define DERIVED(first, behind)                                 \
    tell(tour, "", offsetof(struct sona_learner, first), 1, 0, \
         offsetof(struct sona_learner, behind) - offsetof(struct sona_learner, first))

static void tell_members(const struct tour *tour)
{
    DERIVED(config, replay_next);
    MEMBER(replay_next);
    MEMBER(replay_count);
    DERIVED(replay_capacity, gate);
    MEMBER(gate);
    DERIVED(visit, counter); /* nobody is on a visit between two events */
    tell(tour, "learner.counter", offsetof(struct sona_learner, counter), sizeof(uint64_t),
         SONA_COUNTER_COUNT, SONA_COUNTER_COUNT);
    MEMBER(stack);
    MEMBER(quality_sum);
    MEMBER(quality_count);
    MEMBER(recent_quality);
    MEMBER(bare_n);
    MEMBER(bare_s);
    MEMBER(taught);
    MEMBER(next_cycle);
    MEMBER(cycle_start);
    MEMBER(fresh);
    MEMBER(last_cycle_ms);
    MEMBER(pattern_id);
    MEMBER(resets);
    MEMBER(fold_discarded);
    MEMBER(spread_n);
    MEMBER(spread_s);
    MEMBER(cycle_running);
    MEMBER(clock_started);
    MEMBER(trained);
    MEMBER(layer_starts);
    MEMBER(layer0);
    /* Under the name that it has in older states, where it is 0. */
    tell(tour, "learner.reserved0", offsetof(struct sona_learner, explored), sizeof(uint32_t), 1,
         1);
    MEMBER(bank_step);
    MEMBER(bank_id);
    MEMBER(fresh_hits);
    MEMBER(consolidated);
}

static void tell_rows(const struct tour *tour, const char *name, size_t block,
                      const struct sona_model_rows *rows, uint64_t used)
{
    if (rows->count > 0)
        tell(tour, name, block + rows->offset, rows->stride, used, rows->count);
}

static void tell_model(const struct tour *tour, const struct sona_learner *l)
{
    const struct sona_model_layout *m = &l->layout;
    const struct sona_model_hot *hot = sona_learner_head(l);
    const struct sona_model_cold *cold = sona_learner_cold(l);
    size_t base = m->geometry.layers * m->layer_stride;

    tell(tour, "hot.head", l->hot, sizeof *hot, 1, 1);
    tell(tour, "hot.micro", l->hot + m->micro_a, m->hot_dense_bytes - m->micro_a, 1, 1);
    tell_rows(tour, "hot.routes", l->hot, &m->routes, hot->n_routes);
    tell_rows(tour, "hot.patterns", l->hot, &m->pattern_stats, m->pattern_stats.count);
    tell_rows(tour, "hot.tenant_index", l->hot, &m->tenant_index, m->tenant_index.count);
    tell_rows(tour, "hot.tenants", l->hot, &m->tenants, hot->n_tenants);
    tell(tour, "cold.head", l->cold, sizeof *cold, 1, 1);
    tell(tour, "cold.code", l->cold + m->code, m->layer_stride / 2, 1, 1);
    tell(tour, "cold.base", l->cold + m->base_a, m->layer_stride, m->geometry.layers,
         base / m->layer_stride);
    tell_rows(tour, "cold.refit", l->cold, &m->refit, hot->n_routes);
    tell_rows(tour, "cold.patterns", l->cold, &m->patterns, m->patterns.count);
    tell_rows(tour, "cold.bank", l->cold, &m->bank, cold->n_bank);
    tell_rows(tour, "cold.signs", l->cold, &m->bank_signs, cold->n_bank);
    /* Follows from the bank, as signatures do, which older states have. */
    tell(tour, "", l->cold + m->bank_whole.offset, 1, 0, m->cold_bytes - m->bank_whole.offset);
}

static void tell_tables(const struct tour *tour, const struct sona_learner *l)
{
    const struct sona_model_layout *m = &l->layout;
    const struct sona_model_hot *hot = sona_learner_head(l);
    uint32_t routes = m->geometry.routes_max, replay = l->config.replay_capacity;
    size_t vector = m->dim_padded * sizeof(float), words = (replay + 63) / 64;
    uint32_t n_bank = ((const struct sona_model_cold *)sona_learner_cold(l))->n_bank;

    tell(tour, "learner.grad2", l->grad2, vector, hot->n_routes, routes);
    tell(tour, "learner.path", l->path, (SONA_LEARNER_PATH - 1) * vector, hot->n_routes, routes);
    tell(tour, "learner.common", l->common, vector, 1, 1);
    tell(tour, "learner.routes", l->route, sizeof(struct sona_learner_route), hot->n_routes,
         routes);
    tell(tour, "learner.archive", l->archive, m->pattern_stats.stride, l->archive_rows,
         l->archive_rows);
    tell(tour, "learner.means", l->means, vector, l->archive_rows, l->archive_rows);
    tell(tour, "replay.entries", l->entry, sizeof(struct sona_learner_entry), l->replay_count,
         replay);
    tell(tour, "replay.x", l->replay, vector, l->replay_count, replay);
    tell(tour, "replay.gone", l->gone, sizeof(uint64_t), words, words);
    tell(tour, "changed.routes", l->route_changes, sizeof(uint64_t), routes, routes);
    tell(tour, "changed.patterns", l->pattern_changes, sizeof(uint64_t), m->pattern_stats.count,
         m->geometry.patterns_max);
    if (m->tenants.count > 0) {
        tell(tour, "changed.index", l->index_changes, sizeof(uint64_t), m->tenant_index.count,
             m->tenant_index.count);
        tell(tour, "changed.tenants", l->tenant_changes, sizeof(uint64_t), hot->n_tenants,
             m->tenants.count);
        tell(tour, "tenants.seen", l->tenant_seen, sizeof(uint64_t), hot->n_tenants,
             m->tenants.count);
    }
    tell(tour, "bank.hits", l->hits, sizeof(struct sona_learner_hits), n_bank,
         m->geometry.patterns_max);
    tell(tour, "", l->scores, 1, 0, sona_model_scratch_bytes(m));
    tell(tour, "", l->scratch, 1, 0, 2 * (size_t)SONA_LEARNER_FOLD_ROWS * vector);
    tell(tour, "", l->kept, 1, 0, m->layer_stride); /* of one install */
}

static void tell_layers(const struct tour *tour, const struct sona_learner *l)
{
    const sona_geometry *g = &l->layout.geometry;
    char name[SONA_STATE_NAME_MAX];

    for (uint32_t layer = 0; layer < g->layers; layer++) {
        (void)snprintf(name, sizeof name, "layers.%u", layer);
        tell(tour, name, l->layers + layer * l->layout.layer_stride, l->layout.layer_stride,
             sona_learner_layer_trained(l, layer), 1);
    }
    tell(tour, "layers.baselines", l->baselines, 2 * sizeof(float),
         (uint64_t)g->layers * (g->routes_max + 1), (uint64_t)g->layers * (g->routes_max + 1));
}

/* Outcomes of regime r that are stored beside the active one's: none of a free or active one. */
static bool is_stored(const struct sona_learner *l, uint32_t r)
{
    return sona_learner_regimes(l)[r].id != 0 && r != l->gate.active;
}

static void tell_regimes(const struct tour *tour, const struct sona_learner *l)
{
    size_t vector = l->layout.dim_padded * sizeof(float);
    uint32_t n = l->config.regimes_max;
    char name[SONA_STATE_NAME_MAX];

    if (!sona_learner_gate_watches(&l->config))
        return;
    tell(tour, "gate.directions", l->directions, SONA_LEARNER_DIRECTIONS * vector, n + 1, n + 1);
    tell_since(tour, 2, "gate.marks", l->marks, SONA_LEARNER_MARKS * sizeof(uint64_t), n + 1,
               n + 1);
    tell(tour, "gate.collected", l->collected, vector, SONA_LEARNER_COLLECT, SONA_LEARNER_COLLECT);
    tell(tour, "gate.recent", l->recent, vector, SONA_LEARNER_RECENT, SONA_LEARNER_RECENT);
    tell(tour, "gate.recent_id", l->recent_id, sizeof(uint64_t), SONA_LEARNER_RECENT,
         SONA_LEARNER_RECENT);
    tell(tour, "gate.regimes", l->regime, sizeof(struct sona_learner_regime), n, n);
    if (!l->config.gate) /* EWC++ alone: one learner, and nothing stored */
        return;
    tell(tour, "gate.seen", l->seen, sizeof(struct sona_learner_seen), l->seen_count,
         l->seen_count);
    for (uint32_t r = 0; r < n; r++) {
        uint32_t count = is_stored(l, r) ? sona_learner_regimes(l)[r].count : 0;
        size_t ring = l->ring + r * l->ring_bytes;

        (void)snprintf(name, sizeof name, "regime.%u.tables", r);
        tell(tour, name, l->store + r * l->store_bytes, l->store_bytes, is_stored(l, r), 1);
        (void)snprintf(name, sizeof name, "regime.%u.entries", r);
        tell(tour, name, ring, sizeof(struct sona_learner_entry), count, l->ring_capacity);
        (void)snprintf(name, sizeof name, "regime.%u.x", r);
        tell(tour, name, sona_learner_ring_x(l, r), vector, count, l->ring_capacity);
    }
}

void sona_learner_parts(const struct sona_learner *l,
                        void (*visit)(void *arg, const struct sona_learner_part *part), void *arg)
{
    const struct tour tour = {visit, arg};

    tell_members(&tour);
    tell_model(&tour, l);
    tell_tables(&tour, l);
    tell_layers(&tour, l);
    if (l->config.ewc)
        tell(&tour, "ewc.memory", l->ewc.head, l->ewc.bytes, 1, 1);
    tell_regimes(&tour, l);
}

uint64_t sona_learner_save_layout(void)
{
    static const size_t where[] = {
        sizeof(struct sona_learner_entry),
        offsetof(struct sona_learner_entry, quality),
        offsetof(struct sona_learner_entry, type),
        sizeof(struct sona_learner_route),
        offsetof(struct sona_learner_route, resets),
        sizeof(struct sona_learner_regime),
        offsetof(struct sona_learner_regime, next),
        sizeof(struct sona_learner_gate),
        offsetof(struct sona_learner_gate, alarm),
        sizeof(struct sona_learner_stack),
        sizeof(struct sona_learner_hits),
        sizeof(struct sona_learner_ewc),
        sizeof(struct sona_learner_ewc_route),
        sizeof(struct sona_learner_ewc_probe),
        SONA_LEARNER_PROBES,
        sizeof(struct sona_model_hot),
        offsetof(struct sona_model_hot, tenant_spread),
        sizeof(struct sona_model_route),
        offsetof(struct sona_model_route, mode),
        sizeof(struct sona_model_cold),
        sizeof(struct sona_model_pattern),
        sizeof(struct sona_model_bank),
        offsetof(struct sona_model_bank, typed),
        sizeof(struct sona_model_tenant),
        sizeof(struct sona_model_tenant_group),
        SONA_LEARNER_PATH,
        SONA_LEARNER_DIRECTIONS,
        SONA_LEARNER_COLLECT,
        SONA_LEARNER_RECENT,
        SONA_LEARNER_KEPT,
        SONA_MODEL_STACK,
    };
    uint64_t hash = 1;

    for (size_t i = 0; i < sizeof where / sizeof *where; i++) {
        hash = (hash ^ where[i]) * 0x9b05688c2b3e6c1full;
        hash ^= hash >> 29;
    }
    return hash;
}

/* ---- a running job ---- */

/* What of it is neither in its rows nor in the learner. */
struct job_head {
    uint64_t step, fresh;
    uint32_t count, first_slot, n_routes, consolidate;
    float mse;
    uint32_t reserved;
};

/* The learner still has the query of the job's outcome i, in the slot that it came from. */
static bool has_query(const struct sona_learner *l, const struct sona_learner_entry *seen,
                      uint32_t first_slot, uint32_t i)
{
    uint32_t slot = (first_slot + i) % l->config.replay_capacity;

    return slot < l->replay_count && sona_learner_entries(l)[slot].step == seen[i].step;
}

static void save_job(const struct sona_learner *l, const struct sona_learner_job *j,
                     struct sona_state_writer *writer)
{
    const struct sona_model_layout *m = &l->layout;
    const struct sona_learner_entry *seen = sona_learner_job_entries(j);
    size_t vector = m->dim_padded * sizeof(float), row = m->route_code, evicted = 0;
    const struct sona_model_hot *hot = sona_learner_job_at(j, j->hot);
    const struct job_head head = {
        .step = j->step,
        .fresh = j->fresh,
        .count = j->count,
        .first_slot = j->first_slot,
        .n_routes = j->n_routes,
        .consolidate = j->consolidate,
        .mse = hot->mse,
    };
    unsigned char *to;

    sona_state_writer_put(writer, "job.head", sizeof head, 1, &head);
    sona_state_settings_put(writer, "job.config", &j->config); /* of its start */
    sona_state_writer_put(writer, "job.entries", sizeof *seen, j->count, seen);
    sona_state_writer_put(writer, "job.memory", sizeof(struct sona_learner_route), j->n_routes,
                          sona_learner_job_at(j, j->route));
    sona_state_writer_put(writer, "job.archive", (uint32_t)m->pattern_stats.stride, j->archive_rows,
                          sona_learner_job_at(j, j->archive_then));
    /* Of a route its entry and head: the rest of the row is the job's to write. */
    to = sona_state_writer_add(writer, "job.routes", (uint32_t)row, j->n_routes);
    for (uint32_t k = 0; k < j->n_routes && to != NULL; k++)
        memcpy(to + k * row, sona_learner_job_row(j, k), row);
    for (uint32_t i = 0; i < j->count; i++)
        evicted += !has_query(l, seen, j->first_slot, i);
    to = sona_state_writer_add(writer, "job.x", (uint32_t)vector, evicted);
    for (uint32_t i = 0; i < j->count && to != NULL; i++)
        if (!has_query(l, seen, j->first_slot, i)) {
            memcpy(to, sona_learner_job_x(j, i), vector);
            to += vector;
        }
}

static bool load_queries(const struct sona_learner *l, struct sona_learner_job *j,
                         struct sona_state_reader *reader)
{
    const struct sona_learner_entry *seen = sona_learner_job_entries(j);
    size_t vector = l->layout.dim_padded * sizeof(float);
    uint64_t left;
    const unsigned char *from = sona_state_reader_find(reader, "job.x", (uint32_t)vector, &left);

    for (uint32_t i = 0; i < j->count; i++) {
        unsigned char *to = (unsigned char *)sona_learner_job_at(j, j->x) + i * vector;

        if (has_query(l, seen, j->first_slot, i)) {
            memcpy(to, sona_learner_replay_x(l, (j->first_slot + i) % l->config.replay_capacity),
                   vector);
        } else if (left > 0) {
            memcpy(to, from, vector);
            from += vector;
            left--;
        } else {
            return false;
        }
    }
    return left == 0;
}

static bool load_job_rows(const struct sona_learner *l, struct sona_learner_job *j,
                          struct sona_state_reader *reader)
{
    const struct sona_model_layout *m = &l->layout;
    size_t row = m->route_code;
    uint64_t routes;
    const unsigned char *from =
        sona_state_reader_find(reader, "job.routes", (uint32_t)row, &routes);

    if (routes != j->n_routes)
        return false;
    for (uint32_t k = 0; k < j->n_routes; k++)
        memcpy(sona_learner_job_row(j, k), from + k * row, row);
    return sona_state_reader_take(reader, "job.entries", sizeof(struct sona_learner_entry),
                                  j->count, sona_learner_job_entries(j)) &&
           sona_state_reader_take(reader, "job.memory", sizeof(struct sona_learner_route),
                                  j->n_routes, sona_learner_job_at(j, j->route)) &&
           sona_state_reader_take(reader, "job.archive", (uint32_t)m->pattern_stats.stride,
                                  j->archive_rows, sona_learner_job_at(j, j->archive_then)) &&
           load_queries(l, j, reader);
}

static bool job_is_sound(const struct sona_learner *l, const struct sona_learner_job *j)
{
    const struct sona_model_hot *hot = sona_learner_job_at(j, j->hot);

    return hot->mse >= 0 && hot->mse <= 4 &&
           sona_model_validate_routes(&j->layout, hot, j->n_routes) == SONA_OK &&
           sona_learner_entries_are_sound(l, sona_learner_job_entries(j), j->count) &&
           sona_learner_rows_are_bounded(sona_learner_job_x(j, 0), j->count,
                                         j->layout.dim_padded) &&
           sona_learner_memory_is_sound(sona_learner_job_at(j, j->route), j->n_routes) &&
           sona_learner_tallies_are_sound(&j->layout, sona_learner_job_floats(j, j->archive),
                                          j->archive_rows);
}

static bool load_job(const struct sona_learner *l, struct sona_learner_job *j,
                     struct sona_state_reader *reader)
{
    struct sona_model_hot *hot = sona_learner_job_at(j, j->hot);
    struct job_head head;
    sona_config config; /* of its start */

    if (sona_state_settings_take(reader, "job.config", &config) != SONA_OK ||
        sona_state_settings_compare(&config, &l->config, NULL) != SONA_OK)
        return false;
    sona_learner_config_copy(&j->config, &config);
    if (!sona_state_reader_take(reader, "job.head", sizeof head, 1, &head) ||
        head.count > l->config.replay_capacity || head.first_slot >= l->config.replay_capacity ||
        head.n_routes > sona_learner_head(l)->n_routes || head.step != l->cycle_start ||
        head.consolidate > 1)
        return false;
    sona_learner_job_begin(l, j);
    j->step = head.step;
    j->fresh = head.fresh;
    j->count = head.count;
    j->first_slot = head.first_slot;
    j->n_routes = head.n_routes;
    j->consolidate = head.consolidate;
    hot->mse = head.mse;
    if (!load_job_rows(l, j, reader))
        return false;
    memcpy(sona_learner_job_at(j, j->archive), sona_learner_job_at(j, j->archive_then),
           j->archive_rows * j->layout.pattern_stats.stride);
    return job_is_sound(l, j);
}

/* ---- the whole ---- */

struct saving {
    const struct sona_learner *learner;
    struct sona_state_writer *writer;
};

static void save_part(void *arg, const struct sona_learner_part *part)
{
    const struct saving *s = arg;

    if (part->name[0] != 0)
        sona_state_writer_put(s->writer, part->name, part->row_bytes, part->rows,
                              (const unsigned char *)s->learner + part->offset);
}

void sona_learner_save(const struct sona_learner *learner, const struct sona_learner_job *job,
                       struct sona_state_writer *writer)
{
    struct saving saving = {learner, writer};

    sona_state_settings_put(writer, SONA_STATE_CONFIG, &learner->config);
    sona_learner_parts(learner, save_part, &saving);
    if (learner->cycle_running)
        save_job(learner, job, writer);
}

struct loading {
    struct sona_learner *learner;
    struct sona_state_reader *reader;
    char fault[SONA_STATE_NAME_MAX]; /* the first section that is not what it should be */
};

static void take_part(void *arg, const struct sona_learner_part *part)
{
    struct loading *s = arg;
    uint64_t rows;
    const void *from;

    if (part->name[0] == 0 || s->fault[0] != 0)
        return;
    from = sona_state_reader_find(s->reader, part->name, part->row_bytes, &rows);
    if (rows > part->room)
        memcpy(s->fault, part->name, sizeof s->fault);
    else if (rows > 0)
        memcpy((unsigned char *)s->learner + part->offset, from, (size_t)rows * part->row_bytes);
}

/* As many rows as the loaded state says are in use. Counters are appended: an older state has fewer
 * of them. */
static void check_part(void *arg, const struct sona_learner_part *part)
{
    struct loading *s = arg;
    uint64_t rows;
    bool grows = strcmp(part->name, "learner.counter") == 0;

    if (part->name[0] == 0 || s->fault[0] != 0)
        return;
    (void)sona_state_reader_find(s->reader, part->name, part->row_bytes, &rows);
    if (rows == part->rows || (grows && rows > 0 && rows < part->rows) ||
        (rows == 0 && part->since > s->reader->version))
        return;
    memcpy(s->fault, part->name, sizeof s->fault);
}

/* What is of the configuration is that of now; but what people said of one that had the same value
 * still counts. */
static void keep_configured(struct sona_learner *l, const struct sona_model_hot *now,
                            const sona_config *saved)
{
    struct sona_model_hot *head = sona_learner_head(l);

    l->explored &= saved->max_explore == l->config.max_explore;
    if (!l->explored)
        head->max_explore = now->max_explore;
    head->lambda = now->lambda;
    head->micro_scale = now->micro_scale;
    head->tenant_scale = now->tenant_scale;
    head->flags = now->flags;
    head->unrecorded = now->unrecorded;
}

/* What follows from the bank lies at the end of the cold half. States were saved when that had no
 * such end; their sections are those of now. */
static void index_older(struct sona_learner *l)
{
    struct sona_model_cold *cold = sona_learner_cold(l);

    if (cold->bytes == l->layout.bank_whole.offset)
        cold->bytes = (uint32_t)l->layout.cold_bytes;
    sona_model_round_bank(&l->layout, cold, cold->n_bank);
}

static sona_err take_parts(struct sona_learner *l, const sona_config *saved,
                           struct sona_state_reader *reader)
{
    struct loading loading = {.learner = l, .reader = reader};
    const struct sona_model_hot now = *sona_learner_head(l); /* what is of the configuration */

    sona_learner_parts(l, take_part, &loading);
    if (loading.fault[0] == 0 && sona_learner_gate_watches(&l->config) &&
        l->gate.active >= l->config.regimes_max)
        memcpy(loading.fault, "learner.gate", sizeof "learner.gate");
    if (loading.fault[0] == 0)
        sona_learner_parts(l, check_part, &loading);
    if (loading.fault[0] != 0)
        return sona_state_reader_refuse(reader, loading.fault);
    index_older(l);
    keep_configured(l, &now, saved);
    return SONA_OK;
}

sona_err sona_learner_load(struct sona_learner *learner, struct sona_learner_job *job,
                           enum sona_learner_keys keys, struct sona_state_reader *reader,
                           bool *ret_running)
{
    struct sona_learner *l = learner;
    const char *fault;
    sona_config saved;
    sona_err err = sona_state_settings_take(reader, SONA_STATE_CONFIG, &saved);

    if (err == SONA_OK)
        err = sona_state_settings_compare(&saved, &l->config, reader->reterr);
    if (err == SONA_OK && keys == SONA_LEARNER_KEYS_SAVED)
        sona_learner_configure(l, &saved);
    if (err == SONA_OK)
        err = take_parts(l, &saved, reader);
    if (err != SONA_OK)
        return err;
    fault = sona_learner_fault(l);
    if (fault != NULL)
        return sona_state_reader_refuse(reader, fault);
    if (l->cycle_running && (job == NULL || !load_job(l, job, reader)))
        return sona_state_reader_refuse(reader, "job.head");
    *ret_running = l->cycle_running;
    return SONA_OK;
}
