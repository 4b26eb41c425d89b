/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* An engine as bytes, and back: learner, what waits, and the engine's own few words. */
#include <stdlib.h>
#include <string.h>

#include "engine/diag.h"
#include "engine/facade.h"
#include "engine/learner/save.h"
#include "engine/pending/save.h"
#include "engine/state/container.h"
#include "engine/state/settings.h"

#define IDS_MAX (1ull << 62) /* the next ones go on without wrapping to 0 */

/* What neither learner nor table has. */
struct kept_head {
    uint64_t draws, ids, last_decision, flushed[3];
};

sona_err sona_engine_save(const sona_engine *engine, void *buffer, size_t size, size_t *ret_bytes)
{
    struct sona_state_writer writer;
    struct kept_head head;

    if (engine == NULL || ret_bytes == NULL || (buffer == NULL && size > 0))
        return SONA_E_ARGUMENT;
    head = (struct kept_head){
        .draws = engine->draws, .ids = engine->ids, .last_decision = engine->last_decision};
    memcpy(head.flushed, engine->flushed, sizeof head.flushed);
    sona_state_writer_init(&writer, buffer, size);
    sona_learner_save(engine->learner, engine->job, &writer);
    sona_pending_save(engine->pending, &writer);
    sona_state_writer_put(&writer, "engine.head", sizeof head, 1, &head);
    sona_state_writer_put(&writer, "engine.counter", sizeof(uint64_t), SONA_COUNTER_COUNT,
                          engine->counter);
    *ret_bytes = writer.end;
    if (!sona_state_writer_end(&writer, sona_learner_save_layout()))
        return SONA_E_LIMIT;
    (void)sona_state_seal(buffer, writer.end);
    return SONA_OK;
}

static sona_err load_head(sona_engine *engine, struct sona_state_reader *reader)
{
    struct kept_head head;
    uint64_t counters;
    const void *from;

    if (!sona_state_reader_take(reader, "engine.head", sizeof head, 1, &head) ||
        head.last_decision > head.ids || head.ids > IDS_MAX)
        return sona_state_reader_refuse(reader, "engine.head");
    from = sona_state_reader_find(reader, "engine.counter", sizeof(uint64_t), &counters);
    if (counters == 0 || counters > SONA_COUNTER_COUNT)
        return sona_state_reader_refuse(reader, "engine.counter");
    memcpy(engine->counter, from, (size_t)counters * sizeof(uint64_t));
    engine->draws = head.draws;
    engine->ids = head.ids;
    engine->last_decision = head.last_decision;
    memcpy(engine->flushed, head.flushed, sizeof engine->flushed);
    return SONA_OK;
}

/* A cycle that was running (a sidecar's) ends here and now: the engine has no other thread. */
static sona_err load_learner(sona_engine *engine, struct sona_state_reader *reader)
{
    sona_cycle_report ignored;
    bool running;
    sona_err err =
        sona_learner_load(engine->learner, engine->job, SONA_LEARNER_KEYS_NOW, reader, &running);

    if (err == SONA_OK && running) {
        sona_learner_cycle_run(engine->job);
        sona_learner_cycle_install(engine->learner, engine->job, &ignored);
    }
    return err;
}

sona_err sona_engine_load(sona_engine **ret, const sona_config *config, const void *bytes, size_t n,
                          sona_diag *reterr)
{
    struct sona_state_reader reader;
    sona_engine *engine = NULL;
    sona_config saved;
    sona_err err;

    if (ret == NULL || bytes == NULL)
        return sona_engine_diag(reterr, SONA_E_ARGUMENT, "the result or the state is null");
    err = sona_state_reader_open(&reader, bytes, n, sona_learner_save_layout(), reterr);
    if (err == SONA_OK && config == NULL) {
        err = sona_state_settings_take(&reader, SONA_STATE_CONFIG, &saved);
        config = &saved;
    }
    if (err == SONA_OK)
        err = sona_engine_make(&engine, config, reterr);
    if (err == SONA_OK)
        err = load_learner(engine, &reader);
    if (err == SONA_OK)
        err = sona_pending_load(engine->pending, &reader);
    if (err == SONA_OK)
        err = load_head(engine, &reader);
    if (err == SONA_OK)
        err = sona_state_reader_done(&reader);
    if (err != SONA_OK) {
        sona_engine_destroy(&engine);
        return err;
    }
    *ret = engine;
    return SONA_OK;
}
