/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The pattern bank, at the caller's word: what it holds, decay, prune, consolidate. */
#include "engine/facade.h"

sona_err sona_engine_patterns(const sona_engine *engine, uint32_t from, uint32_t capacity,
                              sona_pattern *ret, uint32_t *ret_count)
{
    struct sona_model_view view;

    if (engine == NULL || ret_count == NULL || (ret == NULL && capacity > 0))
        return SONA_E_ARGUMENT;
    view = sona_learner_view(engine->learner);
    *ret_count = sona_model_list_patterns(&view, from, capacity, ret);
    return SONA_OK;
}

/* What the report is written to, wanted or not. */
static sona_bank_report *room(sona_bank_report *ret, sona_bank_report *spare)
{
    return ret != NULL ? ret : spare;
}

sona_err sona_engine_patterns_decay(sona_engine *engine, float factor, sona_bank_report *ret_report)
{
    sona_bank_report spare;

    if (engine == NULL)
        return SONA_E_ARGUMENT;
    return sona_learner_decay(engine->learner, factor, room(ret_report, &spare));
}

sona_err sona_engine_patterns_prune(sona_engine *engine, const sona_prune_rule *rule,
                                    sona_bank_report *ret_report)
{
    sona_bank_report spare;

    if (engine == NULL || rule == NULL)
        return SONA_E_ARGUMENT;
    return sona_learner_prune(engine->learner, rule, room(ret_report, &spare));
}

sona_err sona_engine_patterns_consolidate(sona_engine *engine, float similarity,
                                          sona_bank_report *ret_report)
{
    sona_bank_report spare;

    if (engine == NULL)
        return SONA_E_ARGUMENT;
    return sona_learner_consolidate(engine->learner, similarity, room(ret_report, &spare));
}
