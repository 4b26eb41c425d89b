/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See carry.h. */
#include "sidecar/carry.h"

#include "shm/diag.h"
#include "shm/fault.h"

bool sona_sidecar_carries(const struct sona_sidecar_command *command)
{
    enum sona_control_class class = sona_sidecar_command_class(command);

    return class == SONA_CONTROL_ADAPTERS || class == SONA_CONTROL_LINES;
}

static void copy_adapters(const struct sona_sidecar_core *core, struct sona_sidecar_adapters *a)
{
    struct sona_model_view view = sona_learner_view(core->learner);

    a->micro_scale = ((const struct sona_model_hot *)view.hot)->micro_scale;
    sona_learner_adapters_copy(core->learner, a->value);
}

static void take_adapters(struct sona_sidecar_core *core, struct sona_sidecar_command *command)
{
    if (sona_learner_adapters_take(core->learner, command->adapters->value) != SONA_OK)
        (void)sona_shm_diag_set(&command->diag, SONA_E_RANGE, 0,
                                "the adapters cannot be taken"); /* it was checked */
}

static void copy_patterns(const struct sona_sidecar_core *core, struct sona_sidecar_patterns *p)
{
    p->step = sona_learner_step(core->learner);
    p->n = sona_learner_bank_rows(core->learner, p->row);
}

static void take_patterns(struct sona_sidecar_core *core, struct sona_sidecar_command *command)
{
    const struct sona_sidecar_patterns *p = command->patterns;
    sona_err err = sona_learner_bank_add(core->learner, p->row, p->n, &command->bank);

    if (err == SONA_E_LIMIT)
        (void)sona_shm_diag_set(&command->diag, err, 0,
                                "the bank has no room for all that is new to it; raise "
                                "patterns_max, or make room (sonactl patterns prune)");
    else if (err != SONA_OK)
        (void)sona_shm_diag_set(&command->diag, err, 0, "the patterns cannot be taken");
}

/* Appended, kept, learned, known: each once, however often this is asked. */
static bool take_decisions(struct sona_sidecar_core *core, struct sona_sidecar_chronicle *chronicle,
                           struct sona_sidecar_publication *out,
                           struct sona_sidecar_command *command)
{
    struct sona_sidecar_decisions *d = command->decisions;

    if (!d->appended && !sona_learner_enabled(core->learner)) {
        (void)sona_shm_diag_set(&command->diag, SONA_E_BUSY, 0,
                                "learning is switched off; switch it on first (sonactl enable)");
        return true;
    }
    if (!d->appended && d->n > 0 &&
        !sona_sidecar_chronicle_imports(chronicle, d->joined, d->import, d->n))
        return false;
    if (!d->appended)
        d->position = chronicle->position;
    d->appended = true;
    if (d->n > 0 && d->done == 0 && !sona_sidecar_chronicle_imports_kept(chronicle, d->position))
        return false;
    SONA_FAULT(command_kept);
    for (; d->done < d->n; d->done++) {
        sona_learner_imported(core->learner);
        d->err[d->done] = sona_sidecar_core_learn(core, d->joined[d->done]);
        if (sona_learner_switched(core->learner))
            sona_sidecar_publication_renew(out);
        out->dirty = out->stale = true;
    }
    if (d->n > 0 && !sona_sidecar_chronicle_imports_known(chronicle, d->position))
        return false;
    sona_sidecar_tally_add(&out->tally, SONA_COUNTER_import_duplicates, d->duplicates);
    sona_sidecar_tally_add(&out->tally, SONA_COUNTER_import_refused, d->n_refused);
    out->stale = true;
    return true;
}

bool sona_sidecar_carry(struct sona_sidecar_core *core, struct sona_sidecar_chronicle *chronicle,
                        struct sona_sidecar_publication *out, struct sona_sidecar_command *command)
{
    switch (command->request.what) {
    case SONA_CONTROL_EXPORT_ADAPTERS:
        copy_adapters(core, command->adapters);
        return true;
    case SONA_CONTROL_EXPORT_PATTERNS:
        copy_patterns(core, command->patterns);
        return true;
    case SONA_CONTROL_IMPORT_DECISIONS:
        return take_decisions(core, chronicle, out, command);
    default:
        break;
    }
    bool adapters = command->request.what == SONA_CONTROL_IMPORT_ADAPTERS;
    if (core->running || out->cold_new ||
        !(adapters ? sona_sidecar_chronicle_adapters(chronicle, command->adapters)
                   : sona_sidecar_chronicle_patterns(chronicle, command->patterns)))
        return false;
    SONA_FAULT(command_kept);
    if (adapters)
        take_adapters(core, command);
    else
        take_patterns(core, command);
    sona_sidecar_publication_renew(out);
    return true;
}
