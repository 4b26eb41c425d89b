/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The seven presets: one row each, in the order of the documentation. A row starts from the
 * defaults; what it does not name, it leaves.
 *
 * edge_deployment is bound to 5 MB, for the engine and for the sidecar's private memory alike, and
 * gives up replay, layers, room for routes and stored regimes for it: with less replay the
 * background loop refits from fewer outcomes, so its figures are lower than those of the other
 * presets.
 */
#include <stddef.h>
#include <string.h>

#include <sona/config.h>

#include "engine/diag.h"

struct preset {
    const char *name, *help;
    uint32_t micro_lora_rank, base_lora_rank;
    float micro_lora_lr, base_lora_lr;
    uint32_t pattern_clusters, trajectory_capacity;
    uint64_t background_interval_ms;
    float pattern_quality_threshold, ewc_lambda;
    /* 0: as by default */
    uint32_t replay_capacity, base_lora_layers, queue_capacity, step_capacity;
    bool without_gate; /* a stored regime takes about a megabyte */
};

static const struct preset presets[] = {
    {"default", "what the seeds measured to be good", 2, 8, 0.002f, 0.0001f, 100, 10000, 3600000,
     0.3f, 2000, 0, 0, 0, 0, false},
    {"max_throughput", "real-time chat: small ranks, rare cycles", 2, 4, 0.0005f, 0.0001f, 100,
     5000, 7200000, 0.4f, 2000, 0, 0, 0, 0, false},
    {"max_quality", "research: large ranks, frequent cycles", 2, 16, 0.002f, 0.001f, 100, 20000,
     1800000, 0.2f, 2000, 0, 0, 0, 0, false},
    {"edge_deployment", "phones and small boxes: less than 5 MB", 1, 4, 0.001f, 0.0001f, 50, 200,
     3600000, 0.5f, 1000, 256, 2, 64, 64, true},
    {"batch_processing", "many queries at a time", 2, 8, 0.001f, 0.0001f, 100, 10000, 3600000, 0.3f,
     2000, 0, 0, 0, 0, false},
    {"for_ephemeral", "short-lived learners: little memory, a cycle a minute", 2, 4, 0.002f,
     0.0001f, 50, 500, 60000, 0.3f, 1000, 0, 0, 0, 0, false},
    {"for_coordinator", "one learner for the experience of many: large and patient", 2, 16, 0.001f,
     0.0005f, 200, 50000, 300000, 0.4f, 2000, 0, 0, 0, 0, false},
};

#define PRESETS (sizeof(presets) / sizeof(presets[0]))

static sona_err unknown_preset(const char *name, sona_diag *reterr)
{
    char known[SONA_DIAG_TEXT_MAX] = "";
    size_t length = 0;

    for (size_t i = 0; i < PRESETS; i++)
        length += (size_t)snprintf(known + length, sizeof(known) - length, "%s%s",
                                   i == 0             ? ""
                                   : i == PRESETS - 1 ? " and "
                                                      : ", ",
                                   presets[i].name);
    return sona_engine_diag(reterr, SONA_E_CONFIG, "unknown preset \"%.32s\": there are %s", name,
                            known);
}

static void fill(sona_config *ret, const struct preset *preset)
{
    sona_config_init(ret);
    ret->micro_lora_rank = preset->micro_lora_rank;
    ret->base_lora_rank = preset->base_lora_rank;
    ret->micro_lora_lr = preset->micro_lora_lr;
    ret->base_lora_lr = preset->base_lora_lr;
    ret->pattern_clusters = preset->pattern_clusters;
    ret->trajectory_capacity = preset->trajectory_capacity;
    ret->background_interval_ms = preset->background_interval_ms;
    ret->pattern_quality_threshold = preset->pattern_quality_threshold;
    ret->ewc_lambda = preset->ewc_lambda;
    if (preset->replay_capacity > 0)
        ret->replay_capacity = preset->replay_capacity;
    if (preset->base_lora_layers > 0)
        ret->base_lora_layers = preset->base_lora_layers;
    if (preset->queue_capacity > 0)
        ret->queue_capacity = preset->queue_capacity;
    if (preset->step_capacity > 0)
        ret->step_capacity = preset->step_capacity;
    if (preset->without_gate)
        ret->gate = false;
}

sona_err sona_config_preset(sona_config *ret, const char *name, sona_diag *reterr)
{
    if (ret == NULL || name == NULL)
        return sona_engine_diag(reterr, SONA_E_ARGUMENT, "the result or the name is null");
    for (size_t i = 0; i < PRESETS; i++) {
        if (strcmp(presets[i].name, name) == 0) {
            fill(ret, &presets[i]);
            return SONA_OK;
        }
    }
    return unknown_preset(name, reterr);
}

const char *sona_config_preset_name(uint32_t index)
{
    return index < PRESETS ? presets[index].name : NULL;
}

const char *sona_config_preset_help(uint32_t index)
{
    return index < PRESETS ? presets[index].help : NULL;
}
