/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The configuration inside a state: every key as text, so that a later version can read it, and the
 * rule which keys may differ when the state is loaded.
 *
 * Fixed are the keys that say what the stored numbers mean or how many there are. All others may
 * differ: the new value counts from the load on. A key that the state does not have was added
 * later, and has its default.
 */
#ifndef SONA_ENGINE_STATE_SETTINGS_H
#define SONA_ENGINE_STATE_SETTINGS_H

#include <sona/config.h>

#include "engine/state/container.h"

#define SONA_STATE_CONFIG "config" /* the section of the whole state's */

/* X(key) */
#define SONA_STATE_FIXED(X) \
    X(hidden_dim)           \
    X(embedding_dim)        \
    X(attention_dim)        \
    X(routes_max)           \
    X(micro_lora_rank)      \
    X(base_lora_rank)       \
    X(base_lora_layers)     \
    X(lora_alpha)           \
    X(pattern_clusters)     \
    X(trajectory_capacity)  \
    X(replay_capacity)      \
    X(normalize)            \
    X(gate)                 \
    X(regimes_max)          \
    X(step_capacity)        \
    X(tenants_max)          \
    X(tenant_lora_rank)     \
    X(ewc)                  \
    X(ewc_online)           \
    X(ewc_tasks_max)

void sona_state_settings_put(struct sona_state_writer *writer, const char *section,
                             const sona_config *config);
/* SONA_OK with a configuration that was checked; SONA_E_VERSION for a key that is unknown here,
 * SONA_E_FORMAT. */
sona_err sona_state_settings_take(struct sona_state_reader *reader, const char *section,
                                  sona_config *ret);
/* SONA_E_CONFIG names the first fixed key in which the two differ. Both are resolved. */
sona_err sona_state_settings_compare(const sona_config *saved, const sona_config *now,
                                     sona_diag *reterr);

#endif
