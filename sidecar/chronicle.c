/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * See chronicle.h. Joined events are one lane to the store, numbered by `events`: its cursor, moved
 * in the same transaction, tells the intake how much of what it handed over was taken.
 */
#include "sidecar/chronicle.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "engine/learner/learner.h"
#include "shm/diag.h"
#include "shm/fault.h"
#include "sidecar/log.h"
#include "sidecar/parts.h"

#define FLUSH_MS 1000u /* at a time, with durability "every" */

static const struct sona_store_lane events_lane = {.word = {1, 0}};

static struct sona_store_record record_of(const struct sona_sidecar_chronicle *c,
                                          struct sona_sidecar_joined *j)
{
    uint32_t vectors = sona_sidecar_joined_vectors(j->kind);

    return (struct sona_store_record){
        .kind = j->kind,
        .uid = j->uid,
        .tenant = j->tenant,
        .route = j->route,
        .lane = events_lane,
        .id = j->id,
        .version = j->version,
        .now_ms = j->now_ms,
        .type = j->type,
        .unrecorded = j->unrecorded,
        .layer = j->layer,
        .quality = j->quality,
        .propensity = j->propensity,
        .credit = j->credit,
        .x = vectors > 0 ? sona_sidecar_joined_x(j) : NULL,
        .x_n = vectors > 0 ? c->dim : 0,
        .base = vectors > 1 ? sona_sidecar_joined_base(j, c->dim_padded) : NULL,
        .base_n = vectors > 1 ? c->dim : 0,
    };
}

/* Said when it begins and when it ends. */
static bool took(struct sona_sidecar_chronicle *c, sona_err err)
{
    sona_diag diag = {.text = ""};

    if (err == SONA_OK) {
        if (c->waits)
            sona_sidecar_log(SONA_SIDECAR_INFO, "journal_resumed", "position=%llu",
                             (unsigned long long)c->position);
        c->waits = false;
        return true;
    }
    if (!c->waits) {
        (void)sona_store_health(c->store, &diag);
        sona_sidecar_log(SONA_SIDECAR_ERROR, "journal_waits",
                         "position=%llu reason=\"%s: %s; learning waits, clients go on\"",
                         (unsigned long long)c->position, sona_err_text(err), diag.text);
    }
    c->waits = true;
    return false;
}

uint32_t sona_sidecar_chronicle_events(struct sona_sidecar_chronicle *c,
                                       struct sona_sidecar_joined *const *joined, uint32_t n)
{
    struct sona_store_record records[SONA_SIDECAR_CHRONICLE_BATCH];

    if (!c->store)
        return n;
    if (c->ahead == 0) {
        for (uint32_t i = 0; i < n; i++) {
            records[i] = record_of(c, joined[i]);
            records[i].lane_seq = c->events + i;
        }
        if (!took(c, sona_store_append(c->store, records, n, &c->ahead_position)))
            return 0;
        c->ahead = n;
    }
    /* A disk that refuses is waited for outside, where a stop is heard. */
    if (c->every && !took(c, sona_store_flush(c->store, c->ahead_position, FLUSH_MS, NULL)))
        return 0;
    n = c->ahead;
    c->ahead = 0;
    c->events += n;
    c->position = c->ahead_position;
    return n;
}

static bool append(struct sona_sidecar_chronicle *c, const struct sona_store_record *record)
{
    return !c->store || took(c, sona_store_append(c->store, record, 1, &c->position));
}

bool sona_sidecar_chronicle_cycle(struct sona_sidecar_chronicle *c, enum sona_store_kind kind,
                                  uint64_t now_ms)
{
    return append(c, &(struct sona_store_record){.kind = kind, .now_ms = now_ms});
}

/* Of a change of configuration, the routes there are. */
static size_t change_bytes(uint32_t n_routes)
{
    return offsetof(struct sona_sidecar_change, route) + n_routes * sizeof(sona_route_spec);
}
static_assert(sizeof(struct sona_sidecar_change) <= SONA_STORE_PAYLOAD_MAX, "a payload");

bool sona_sidecar_chronicle_command(struct sona_sidecar_chronicle *c,
                                    const struct sona_sidecar_command *command)
{
    const struct sona_sidecar_change *change = command->change;

    if (command->request.what == SONA_SIDECAR_CONFIGURE)
        return append(c, &(struct sona_store_record){.kind = SONA_STORE_config,
                                                     .payload = change,
                                                     .payload_bytes =
                                                         (uint32_t)change_bytes(change->n_routes)});
    return append(c, &(struct sona_store_record){.kind = SONA_STORE_command,
                                                 .payload = &command->request,
                                                 .payload_bytes = sizeof command->request});
}

sona_err sona_sidecar_chronicle_configure(struct sona_sidecar_chronicle *c,
                                          struct sona_learner *learner, const sona_config *config,
                                          bool fresh, sona_diag *reterr)
{
    struct sona_sidecar_change *change;
    sona_err err = SONA_OK;

    if (!c->store || (!fresh && sona_learner_configured(learner, config)))
        return SONA_OK;
    change = calloc(1, sizeof *change);
    if (!change)
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, errno, "no memory for the configuration");
    change->config = *config;
    struct sona_sidecar_command command = {.request.what = SONA_SIDECAR_CONFIGURE,
                                           .change = change};
    if (sona_sidecar_chronicle_command(c, &command))
        sona_sidecar_command_apply(learner, &command);
    else
        err = sona_shm_diag_set(reterr, SONA_E_SYSTEM, 0,
                                "the configuration cannot be written to the journal");
    free(change);
    return err;
}

/* ---- what comes in several records, all or none of them ---- */

static_assert(SONA_SIDECAR_ADAPTERS_BYTES_MAX / SONA_SIDECAR_PART_BYTES < SONA_STORE_BATCH_MAX &&
                  SONA_SIDECAR_PATTERNS_BYTES_MAX / SONA_SIDECAR_PART_BYTES < SONA_STORE_BATCH_MAX,
              "an append");

static bool append_parts(struct sona_sidecar_chronicle *c, enum sona_store_kind kind,
                         const void *value, uint64_t n, uint32_t unit)
{
    uint32_t count;

    if (!c->store || n == 0)
        return true;
    struct sona_store_record *records = sona_sidecar_parts_cut(kind, value, n, unit, &count);
    bool ret = records && took(c, sona_store_append(c->store, records, count, &c->position));
    free(records);
    return ret;
}

bool sona_sidecar_chronicle_adapters(struct sona_sidecar_chronicle *c,
                                     const struct sona_sidecar_adapters *adapters)
{
    return append_parts(c, SONA_STORE_adapters, adapters->value, adapters->n, sizeof(float));
}

bool sona_sidecar_chronicle_patterns(struct sona_sidecar_chronicle *c,
                                     const struct sona_sidecar_patterns *patterns)
{
    return append_parts(c, SONA_STORE_patterns, patterns->row, patterns->n * patterns->bytes, 1);
}

/* ---- decisions ---- */

bool sona_sidecar_chronicle_imports(struct sona_sidecar_chronicle *c,
                                    struct sona_sidecar_joined *const *joined,
                                    const struct sona_store_import *imports, uint32_t n)
{
    struct sona_store_record records[SONA_SIDECAR_CHRONICLE_BATCH];

    for (uint32_t i = 0; i < n; i++) {
        records[i] = record_of(c, joined[i]);
        records[i].lane = SONA_STORE_IMPORTS;
        records[i].lane_seq = c->imports + i;
        records[i].payload = &imports[i];
        records[i].payload_bytes = sizeof imports[i];
    }
    if (!c->store || !took(c, sona_store_append(c->store, records, n, &c->position)))
        return false;
    c->imports += n;
    return true;
}

bool sona_sidecar_chronicle_imports_kept(struct sona_sidecar_chronicle *c, uint64_t position)
{
    return !c->every || took(c, sona_store_flush(c->store, position, FLUSH_MS, NULL));
}

bool sona_sidecar_chronicle_imports_known(const struct sona_sidecar_chronicle *c, uint64_t position)
{
    return sona_store_positions(c->store).committed >= position ||
           sona_store_health(c->store, NULL) != SONA_OK;
}

/* ---- resume ---- */

static bool replay_event(struct sona_sidecar_replay *r, const struct sona_store_record *record)
{
    const struct sona_sidecar_chronicle *c = r->chronicle;
    struct sona_sidecar_joined *j = r->joined;
    uint32_t vectors = sona_sidecar_joined_vectors(record->kind);
    struct sona_store_import import;

    if (record->x_n != (vectors > 0 ? c->dim : 0) || record->base_n != (vectors > 1 ? c->dim : 0) ||
        record->p_sample != 0)
        return false;
    memset(j, 0, sona_sidecar_joined_stride(c->dim_padded));
    *j = (struct sona_sidecar_joined){
        .id = record->id,
        .version = record->version,
        .now_ms = record->now_ms,
        .route = record->route,
        .quality = record->quality,
        .propensity = record->propensity,
        .kind = record->kind,
        .tenant = record->tenant,
        .type = record->type,
        .unrecorded = record->unrecorded,
        .layer = record->layer,
        .credit = record->credit,
        .uid = record->uid,
    };
    if (vectors > 0)
        memcpy(sona_sidecar_joined_x(j), record->x, c->dim * sizeof(float));
    if (vectors > 1)
        memcpy(sona_sidecar_joined_base(j, c->dim_padded), record->base, c->dim * sizeof(float));
    if (sona_store_import_of(record, &import))
        sona_learner_imported(r->core->learner);
    (void)sona_sidecar_core_learn(r->core, j); /* a refusal is counted, as it was */
    return true;
}

static bool replay_command(struct sona_sidecar_replay *r, const struct sona_store_record *record)
{
    struct sona_sidecar_command c = {.asker = 0};

    if (record->payload_bytes != sizeof c.request)
        return false;
    memcpy(&c.request, record->payload, sizeof c.request);
    sona_sidecar_command_apply(r->core->learner, &c);
    return true;
}

/* A change as it was written before `record_share`, the first key behind those that there were. */
#define OLDER_CONFIG offsetof(sona_config, record_share)
static_assert(sizeof(sona_config) > OLDER_CONFIG &&
                  (sizeof(sona_config) - OLDER_CONFIG) % sizeof(sona_route_spec) != 0,
              "no number of routes makes an older change as long as one of today");

/* False: it is no change of either length. */
static bool read_change(struct sona_sidecar_change *ret, const struct sona_store_record *record)
{
    size_t bytes = record->payload_bytes, head = change_bytes(0);
    const unsigned char *from = record->payload;

    if (bytes >= head && bytes <= sizeof *ret && (bytes - head) % sizeof *ret->route == 0) {
        memcpy(ret, from, bytes);
    } else {
        head -= sizeof ret->config - OLDER_CONFIG;
        if (bytes < head || bytes - head > sizeof ret->route)
            return false;
        sona_config_init(&ret->config);
        memcpy(&ret->config, from, OLDER_CONFIG);
        memcpy(&ret->n_routes, from + OLDER_CONFIG, sizeof ret->n_routes);
        memcpy(ret->route, from + head, bytes - head);
    }
    return ret->n_routes <= SONA_ROUTES_MAX && head + ret->n_routes * sizeof *ret->route == bytes;
}

static bool replay_config(struct sona_sidecar_replay *r, const struct sona_store_record *record)
{
    struct sona_sidecar_change *change = r->change;
    struct sona_sidecar_command c = {.request = {.what = SONA_SIDECAR_CONFIGURE}, .change = change};

    if (!read_change(change, record))
        return false;
    sona_sidecar_command_apply(r->core->learner, &c);
    return true;
}

/* Taken with the last part. */
static bool replay_adapters(struct sona_sidecar_replay *r, const struct sona_store_record *record)
{
    struct sona_sidecar_part part;

    if (!r->adapters)
        r->adapters = sona_sidecar_adapters_make(r->core->layout);
    if (!r->adapters || !sona_sidecar_part_read(record, sizeof(float), &part) ||
        part.n != r->adapters->n)
        return false;
    if (sona_sidecar_part_join(&part, r->adapters->value, &r->floats))
        (void)sona_learner_adapters_take(r->core->learner, r->adapters->value);
    return true;
}

/* The same for patterns. Those that were refused then are refused again. */
static bool replay_patterns(struct sona_sidecar_replay *r, const struct sona_store_record *record)
{
    const struct sona_model_layout *layout = r->core->layout;
    sona_bank_report ignored;
    struct sona_sidecar_part part;

    if (!sona_sidecar_part_read(record, 1, &part) || part.n > SONA_SIDECAR_PATTERNS_BYTES_MAX ||
        part.n % layout->bank.stride != 0)
        return false;
    if (part.at == 0) {
        free(r->patterns);
        r->patterns = sona_sidecar_patterns_make(layout, (uint32_t)(part.n / layout->bank.stride));
        if (!r->patterns)
            return false;
    }
    struct sona_sidecar_patterns *p = r->patterns;
    if (p && part.n == p->room * p->bytes &&
        sona_sidecar_part_join(&part, p->row, &r->pattern_bytes))
        (void)sona_learner_bank_add(r->core->learner, p->row, p->room, &ignored);
    return true;
}

static bool replay_install(struct sona_sidecar_replay *r)
{
    sona_cycle_report ignored;

    if (!r->core->running)
        return false;
    sona_learner_cycle_run(r->core->job);
    sona_sidecar_core_cycle_install(r->core, &ignored);
    return true;
}

static bool do_again(struct sona_sidecar_replay *r, const struct sona_store_record *record)
{
    if (record->kind < SONA_LEARNER_KINDS)
        return replay_event(r, record);
    switch ((enum sona_store_kind)record->kind) {
    case SONA_STORE_cycle_start:
        (void)sona_sidecar_core_cycle_start(r->core, record->now_ms); /* goes as it went then */
        return true;
    case SONA_STORE_cycle_install:
        return replay_install(r);
    case SONA_STORE_command:
        return replay_command(r, record);
    case SONA_STORE_config:
        return replay_config(r, record);
    case SONA_STORE_adapters:
        return replay_adapters(r, record);
    case SONA_STORE_patterns:
        return replay_patterns(r, record);
    case SONA_STORE_start:
    case SONA_STORE_rollback:
    case SONA_STORE_forgotten: /* its lesson is in a generation, or is left out as was asked for */
        return true;
    default:
        return false;
    }
}

bool sona_sidecar_replay_record(void *replay, const struct sona_store_record *record)
{
    struct sona_sidecar_replay *r = replay;

    if (!do_again(r, record)) {
        r->bad = record->position;
        return false;
    }
    SONA_FAULT(resume_record);
    r->chronicle->position = record->position;
    r->replayed++;
    return true;
}

/* The newest generation that loads; *ret_position: what it contains. */
static sona_err load_newest(struct sona_sidecar_chronicle *c, struct sona_sidecar_core *core,
                            struct sona_sidecar_resumed *ret, sona_diag *reterr)
{
    struct sona_store_generation generation = {.number = 0};
    uint64_t newest = 0;

    for (uint64_t number = 0;; number = generation.number - 1) {
        void *bytes = NULL;
        sona_err err;

        if (newest != 0 && number == 0)
            return SONA_E_FORMAT; /* with the sentence of the last one */
        err = sona_store_generation_read(c->store, number, &generation, &bytes, reterr);
        if (err == SONA_E_UNKNOWN_ID && newest == 0)
            return SONA_OK; /* nothing was ever learned */
        if (err == SONA_OK)
            err = sona_sidecar_core_load(core, bytes, (size_t)generation.bytes, reterr);
        else if (number != 0)
            generation.number = number;
        free(bytes);
        if (newest == 0)
            newest = generation.number;
        if (err == SONA_OK) {
            ret->generation = generation.number;
            ret->position = c->position = generation.position;
            SONA_FAULT(resume_loaded);
            return SONA_OK;
        }
        if (err != SONA_E_FORMAT && err != SONA_E_DAMAGED && err != SONA_E_UNKNOWN_ID)
            return err;
        ret->passed += err != SONA_E_UNKNOWN_ID;
        sona_sidecar_log(SONA_SIDECAR_ERROR, "generation_damaged", "number=%llu reason=\"%s\"",
                         (unsigned long long)generation.number, reterr->text);
    }
}

sona_err sona_sidecar_replay_begin(struct sona_sidecar_replay *ret,
                                   struct sona_sidecar_chronicle *c, struct sona_sidecar_core *core,
                                   sona_diag *reterr)
{
    *ret = (struct sona_sidecar_replay){.chronicle = c, .core = core};
    ret->joined = aligned_alloc(64, sona_sidecar_joined_stride(c->dim_padded));
    ret->change = malloc(sizeof *ret->change);
    if (ret->joined && ret->change)
        return SONA_OK;
    sona_sidecar_replay_end(ret);
    return sona_shm_diag_set(reterr, SONA_E_MEMORY, 0, "no memory to read the journal");
}

void sona_sidecar_replay_end(struct sona_sidecar_replay *replay)
{
    free(replay->joined);
    free(replay->change);
    free(replay->adapters);
    free(replay->patterns);
    replay->adapters = NULL;
    replay->patterns = NULL;
    replay->joined = NULL;
    replay->change = NULL;
}

sona_err sona_sidecar_chronicle_replay(struct sona_sidecar_chronicle *c,
                                       struct sona_sidecar_core *core, uint64_t *ret_replayed,
                                       sona_diag *reterr)
{
    struct sona_sidecar_replay r;
    sona_err err = sona_sidecar_replay_begin(&r, c, core, reterr);

    if (err != SONA_OK)
        return err;
    err = sona_store_replay(c->store, c->position + 1, sona_sidecar_replay_record, &r, reterr);
    sona_sidecar_replay_end(&r);
    *ret_replayed = r.replayed;
    if (err == SONA_OK && r.bad != 0)
        err = sona_shm_diag_set(reterr, SONA_E_FORMAT, 0,
                                "record %llu of the journal cannot be learned again; roll back to "
                                "a generation behind it, or move the state directory away",
                                (unsigned long long)r.bad);
    return err;
}

sona_err sona_sidecar_chronicle_resume(struct sona_sidecar_chronicle *c,
                                       struct sona_sidecar_core *core,
                                       struct sona_sidecar_resumed *ret, sona_diag *reterr)
{
    *ret = (struct sona_sidecar_resumed){.generation = 0};
    if (!c->store)
        return SONA_OK;
    sona_err err = load_newest(c, core, ret, reterr);
    if (err == SONA_OK)
        err = sona_sidecar_chronicle_replay(c, core, &ret->replayed, reterr);
    if (err == SONA_OK && !sona_store_cursor(c->store, events_lane, &c->events))
        c->events = 0;
    if (err == SONA_OK && !sona_store_cursor(c->store, SONA_STORE_IMPORTS, &c->imports))
        c->imports = 0;
    return err;
}
