/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See nodes.h. */
#include "engine/pending/nodes.h"

#include <string.h>

static sona_node_stats *row_of(struct sona_pending_nodes *nodes, uint32_t node)
{
    uint32_t i = 0;

    while (i < nodes->n && i < SONA_NODES_MAX && nodes->node[i].node != node)
        i++;
    if (i == nodes->n) {
        memset(&nodes->node[i], 0, sizeof nodes->node[i]);
        nodes->node[i].node = i < SONA_NODES_MAX ? node : UINT32_MAX;
        nodes->n++;
    }
    return &nodes->node[i];
}

void sona_pending_nodes_add(struct sona_pending_nodes *nodes, uint32_t node, float score,
                            float reward, uint32_t latency_us)
{
    sona_node_stats *row = row_of(nodes, node);

    row->steps++;
    row->mean_score += (double)score;
    row->mean_reward += (double)reward;
    row->mean_latency_us += latency_us;
}

void sona_pending_nodes_tell(const struct sona_pending_nodes *nodes, sona_stats *stats)
{
    stats->n_nodes = nodes->n;
    for (uint32_t i = 0; i < nodes->n; i++) {
        double steps = (double)nodes->node[i].steps;

        stats->node[i] = nodes->node[i];
        stats->node[i].mean_score /= steps;
        stats->node[i].mean_reward /= steps;
        stats->node[i].mean_latency_us /= steps;
    }
}
