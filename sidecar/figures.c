/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See figures.h. */
#include "sidecar/figures.h"

#include <string.h>

/* A row that did not change is not written. */
static void refresh_nodes(struct sona_sidecar_intake_figures *figures, const sona_stats *stats)
{
    for (uint32_t i = 0; i < stats->n_nodes; i++) {
        const sona_node_stats *from = &stats->node[i];

        if (atomic_load_explicit(&figures->node[i].steps, memory_order_relaxed) == from->steps)
            continue;
        atomic_store_explicit(&figures->node[i].node, from->node, memory_order_relaxed);
        atomic_store_explicit(&figures->node[i].score, from->mean_score, memory_order_relaxed);
        atomic_store_explicit(&figures->node[i].reward, from->mean_reward, memory_order_relaxed);
        atomic_store_explicit(&figures->node[i].latency_us, from->mean_latency_us,
                              memory_order_relaxed);
        atomic_store_explicit(&figures->node[i].steps, from->steps, memory_order_relaxed);
    }
}

void sona_sidecar_figures_refresh(struct sona_sidecar_intake_figures *figures,
                                  const struct sona_sidecar_join *join)
{
    sona_stats stats;

    memset(&stats, 0, sizeof stats);
    sona_sidecar_join_stats(join, &stats);
    for (int c = 0; c < SONA_COUNTER_COUNT; c++)
        sona_sidecar_tally_set(&figures->tally, (sona_counter)c, stats.counter[c]);
    atomic_store_explicit(&figures->taken, join->taken, memory_order_relaxed);
    for (int k = 0; k < SONA_SIDECAR_KINDS; k++)
        atomic_store_explicit(&figures->accepted[k], join->accepted[k], memory_order_relaxed);
    atomic_store_explicit(&figures->pending, stats.pending, memory_order_relaxed);
    atomic_store_explicit(&figures->parked_now, stats.parked_now, memory_order_relaxed);
    refresh_nodes(figures, &stats);
}
